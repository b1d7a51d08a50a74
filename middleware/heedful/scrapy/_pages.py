"""What the page on which a picture was found says of it, carried on to the picture's request."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from scrapy.http import HtmlResponse
from scrapy.spidermiddlewares.base import BaseSpiderMiddleware

from heedful.model import Page
from heedful.scrapy._origins import pairs
from heedful.signals import meta_robots

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from typing_extensions import Self

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

    def take(self, item: Any) -> Page | None:
        """The page that was noted for the item."""
        return self._items.pop(id(item), (None, None))[1]


def signals_of(response: Response | None) -> Page | None:
    """The page, cut down to what it says of its pictures; None: nothing."""
    if response is None:
        return None
    headers = tuple(pair for pair in pairs(response.headers) if pair[0].lower() == "x-robots-tag")
    html = "".join(meta_robots.tags(response.text)) if isinstance(response, HtmlResponse) else ""
    return Page(response.url, headers, html) if headers or html else None


class PageMiddleware(BaseSpiderMiddleware):
    """Notes on items and requests what the page says that they come from."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        from heedful.scrapy._enforcer import Enforcer  # noqa: PLC0415 - the enforcer imports this module

        self._pages = Enforcer.of(crawler).pages
        self._seen: WeakKeyDictionary[Response, Page | None] = WeakKeyDictionary()

    def _page(self, response: Response | None) -> Page | None:
        if response is None:
            return None
        if response not in self._seen:
            self._seen[response] = signals_of(response)
        return self._seen[response]

    def get_processed_request(self, request: Request, response: Response | None) -> Request:
        """Note the page on a request."""
        request.meta.pop(PAGE, None)  # a spider may have handed on its own request's meta
        if (page := self._page(response)) is not None:
            request.meta[PAGE] = page
        return request

    def get_processed_item(self, item: Any, response: Response | None) -> Any:
        """Note the page for an item."""
        self._pages.note(item, self._page(response))
        return item


class PagePipeline:
    """The first pipeline: it still sees the very object that the spider yielded."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Share the crawler's pages."""
        from heedful.scrapy._enforcer import Enforcer  # noqa: PLC0415 - the enforcer imports this module

        return cls(Enforcer.of(crawler).pages)

    def process_item(self, item: Any) -> Any:
        """Hand the item's page to the media pipelines that follow."""
        _ITEM_PAGE.set(self._pages.take(item))  # always: one task may process several items
        return item


def pin(requests: Iterable[Request]) -> list[Request]:
    """Note the page of the item that is being processed on its media requests."""
    page = _ITEM_PAGE.get()
    pinned = list(requests)
    for request in pinned:
        request.meta.pop(PAGE, None)
        if page is not None:
            request.meta[PAGE] = page
    return pinned
