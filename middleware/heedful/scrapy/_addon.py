"""Switches everything on: `ADDONS = {"heedful.scrapy.Addon": 500}`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from heedful.scrapy import _options
from heedful.scrapy._middlewares import (
    GuardMiddleware,
    PageMiddleware,
    PagePipeline,
    PolicyMiddleware,
)

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

POLICY_ORDER: Final = 120
"""After Offsite (50) and RobotsTxt (100), before all that sends cookies, credentials or reads a cache."""

GUARD_ORDER: Final = 950
"""Next to the network, outside HttpCache (900): what is opted out is never cached."""

PAGE_ORDER: Final = 10
"""The last spider middleware to touch items and requests on their way to the engine."""

PIPELINE_ORDER: Final = -1000
"""Before every other pipeline."""


class Addon:
    """The add-on. An order that you gave one of the middlewares yourself is kept."""

    def update_settings(self, settings: BaseSettings) -> None:
        """Check the `HEEDFUL_` settings and put the middlewares in.

        Raises:
            heedful.ConfigurationError: a setting is wrong; the run does not start.
        """
        options = _options.read(settings, now=time.time(), verify=False)
        settings.set("HEEDFUL_LEDGER", options.ledger, settings.getpriority("HEEDFUL_LEDGER") or "addon")
        if not settings.getpriority("USER_AGENT"):
            settings.set("USER_AGENT", options.user_agent, "addon")
        add = settings.setdefault_in_component_priority_dict
        add("DOWNLOADER_MIDDLEWARES", PolicyMiddleware, POLICY_ORDER)
        add("DOWNLOADER_MIDDLEWARES", GuardMiddleware, GUARD_ORDER)
        add("SPIDER_MIDDLEWARES", PageMiddleware, PAGE_ORDER)
        add("ITEM_PIPELINES", PagePipeline, PIPELINE_ORDER)
