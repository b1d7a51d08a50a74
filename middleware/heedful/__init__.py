"""heedful: skip pictures whose owners opted out of AI training, before they are stored, with evidence.

The adapters live in `heedful.scrapy` and its siblings; importing this package needs none of their libraries.
"""

from heedful._version import __version__
from heedful.errors import ConfigurationError, Deferred, HeedfulError, LedgerError, OptedOut
from heedful.gate import Gate
from heedful.model import (
    Action,
    Evidence,
    Needs,
    OriginFile,
    Page,
    Preference,
    Purpose,
    Reason,
    Response,
    Stage,
    Statement,
    Strength,
    Verdict,
)
from heedful.policy import Policy

__all__ = [
    "Action",
    "ConfigurationError",
    "Deferred",
    "Evidence",
    "Gate",
    "HeedfulError",
    "LedgerError",
    "Needs",
    "OptedOut",
    "OriginFile",
    "Page",
    "Policy",
    "Preference",
    "Purpose",
    "Reason",
    "Response",
    "Stage",
    "Statement",
    "Strength",
    "Verdict",
    "__version__",
]
