"""Origin-wide files: how they are asked for, what an answer means, how long it may be kept.

These are the rules, which open nothing. `heedful.origins.cache` keeps files on disk, `heedful.origins.memory`
in a process; `heedful.origins.fetch` gets them over the network.
"""

from heedful.origins.exchange import FILE_MAX, REDIRECTS_MAX, TIMEOUT, TOTAL, Exchange
from heedful.origins.freshness import Entry, lifetime, stale

__all__ = ["FILE_MAX", "REDIRECTS_MAX", "TIMEOUT", "TOTAL", "Entry", "Exchange", "lifetime", "stale"]
