"""What the page on which a picture was found says of it, carried on to the picture's request."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from scrapy.http import HtmlResponse

from heedful.model import Page
from heedful.scrapy._origins import pairs
from heedful.signals import meta_robots

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy import Request
    from scrapy.http import Response

PAGE: Final = "heedful_page"
"""Request meta key: the signals of the page on which the request was found."""

_ITEM_PAGE: ContextVar[Page | None] = ContextVar("heedful_item_page", default=None)
"""The page of the item that is being processed: pipelines may replace the item, but not its task."""


class Pages:
    """The pages of items that are on their way from the spider to the pipelines."""

    def __init__(self) -> None:
        self._items: dict[int, tuple[Any, Page]] = {}

    def note(self, item: Any, page: Page | None) -> None:
        """The item was found on `page`."""
        if page is not None:
            self._items[id(item)] = item, page

    def enter(self, item: Any) -> None:
        """The item enters the pipelines: `pin` will note its page."""
        # Always, also where there is no page: one task may process several items.
        _ITEM_PAGE.set(self._items.pop(id(item), (None, None))[1])


def signals_of(response: Response | None) -> Page | None:
    """The page, cut down to what it says of its pictures; None: nothing."""
    if response is None:
        return None
    headers = tuple(pair for pair in pairs(response.headers) if pair[0].lower() == "x-robots-tag")
    html = "".join(meta_robots.tags(response.text)) if isinstance(response, HtmlResponse) else ""
    return Page(response.url, headers, html, time.time()) if headers or html else None


def pin(requests: Iterable[Request]) -> list[Request]:
    """Note the page of the item that is being processed on its media requests."""
    page = _ITEM_PAGE.get()
    pinned = list(requests)
    for request in pinned:
        request.meta.pop(PAGE, None)
        if page is not None:
            request.meta[PAGE] = page
    return pinned
