"""The Scrapy add-on: `ADDONS = {"heedful.scrapy.Addon": 500}`."""

try:
    import scrapy as _scrapy  # noqa: F401 - only to tell what is missing
except ImportError as error:  # pragma: no cover
    raise ImportError("heedful.scrapy needs Scrapy: pip install 'heedful[scrapy]'") from error

from heedful.scrapy._addon import Addon
from heedful.scrapy._exceptions import Deferred, LedgerFailed, OptedOut
from heedful.scrapy._middlewares import (
    GuardMiddleware,
    PageMiddleware,
    PagePipeline,
    PolicyMiddleware,
)
from heedful.scrapy._options import SETTINGS

__all__ = [
    "SETTINGS",
    "Addon",
    "Deferred",
    "GuardMiddleware",
    "LedgerFailed",
    "OptedOut",
    "PageMiddleware",
    "PagePipeline",
    "PolicyMiddleware",
]
