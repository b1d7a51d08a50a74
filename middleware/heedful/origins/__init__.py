"""Origin-wide files: how they are asked for, what an answer means, how long it may be kept."""

from heedful.origins.exchange import FILE_MAX, REDIRECTS_MAX, TIMEOUT, Exchange
from heedful.origins.freshness import lifetime

__all__ = ["FILE_MAX", "REDIRECTS_MAX", "TIMEOUT", "Exchange", "lifetime"]
