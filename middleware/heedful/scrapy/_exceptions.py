"""heedful's exceptions as Scrapy knows them: an `IgnoreRequest` is quiet, final and never retried."""

from __future__ import annotations

from scrapy.exceptions import IgnoreRequest

import heedful


class OptedOut(heedful.OptedOut, IgnoreRequest):
    """The picture must not be stored; errbacks find the verdict in `verdict`."""


class Deferred(OptedOut, heedful.Deferred):
    """It could not be determined whether the picture is opted out; it is not asked for again in this run."""


class LedgerFailed(heedful.LedgerError, IgnoreRequest):
    """The decision could not be recorded, so the picture is not stored and the spider is closed."""
