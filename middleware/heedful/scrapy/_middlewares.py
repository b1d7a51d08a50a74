"""What Scrapy calls: two downloader middlewares, a spider middleware, a pipeline. They hold no rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from scrapy import signals
from scrapy.exceptions import StopDownload
from scrapy.spidermiddlewares.base import BaseSpiderMiddleware

from heedful.scrapy._enforcer import HEADERS_ONLY, Enforcer
from heedful.scrapy._exceptions import OptedOut
from heedful.scrapy._origins import INTERNAL
from heedful.scrapy._pages import PAGE, signals_of
from heedful.scrapy._waiting import Listener

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.crawler import Crawler
    from scrapy.http import Headers, Response
    from typing_extensions import Self

    from heedful.model import Page, Verdict
    from heedful.signals.embedded import Watch


class _Component:
    def __init__(self, crawler: Crawler) -> None:
        self._enforcer = Enforcer.of(crawler)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)


class PolicyMiddleware(_Component):
    """Judges every request before it is made, and every picture as the spider or pipeline will see it."""

    async def process_request(self, request: Request) -> None:
        """Refuse what must not be contacted: on every hop, retry and cache hit."""
        if INTERNAL not in request.meta:
            await self._enforcer.before(request)

    async def process_response(self, request: Request, response: Response) -> Response:
        """Refuse what is opted out by its headers; record what is released."""
        if INTERNAL not in request.meta:
            await self._enforcer.after(request, response, final=True)
        return response

    async def process_exception(self, request: Request, exception: Exception) -> None:
        """Record pictures that could not be fetched."""
        if INTERNAL not in request.meta and not isinstance(exception, OptedOut):
            await self._enforcer.failed(request, exception)


class GuardMiddleware(_Component):
    """Stands next to the network: no opted-out body reaches a cache, and none is read that is large."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._stopped: WeakKeyDictionary[Request, Verdict] = WeakKeyDictionary()
        self._watched: WeakKeyDictionary[Request, tuple[Watch, Headers]] = WeakKeyDictionary()
        crawler.signals.connect(self.headers_received, signals.headers_received)
        self._bytes = Listener(crawler, self.bytes_received, signals.bytes_received)

    def headers_received(
        self,
        headers: Headers,
        body_length: object,
        request: Request,
        spider: Spider,  # noqa: ARG002 - part of the signal
    ) -> None:
        """Stop a large body before it is read. An optimisation: some handlers never send this signal."""
        if INTERNAL in request.meta:
            return
        if request.meta.get(HEADERS_ONLY) and request.method != "HEAD":
            raise StopDownload(fail=False)  # whatever it will be judged by, all of it is there
        verdict = self._enforcer.not_to_be_read(request, headers, body_length)
        if verdict is not None:
            self._stop(request, verdict)
        watch = self._enforcer.watch(request, headers, body_length)
        if watch is not None:
            self._watched[request] = watch, headers
            self._bytes.begin()

    def bytes_received(self, data: bytes, request: Request, spider: Spider) -> None:  # noqa: ARG002
        """Stop a large body as soon as it denies. An optimisation, too."""
        watched = self._watched.get(request)
        if watched is None:
            return
        with self._enforcer.stopwatch:
            spoken = watched[0].feed(data)
        if not spoken:
            return
        self._forget(request)  # it has spoken
        verdict = self._enforcer.not_to_be_read_on(request, watched[1], watched[0])
        if verdict is not None:
            self._stop(request, verdict)

    def _forget(self, request: Request) -> None:
        if self._watched.pop(request, None) is not None:
            self._bytes.end()

    def _stop(self, request: Request, verdict: Verdict) -> None:
        self._stopped[request] = verdict
        raise StopDownload(fail=True)  # fail=False: HttpCache would keep the body

    async def process_request(self, request: Request) -> None:
        """Let our own requests go only where they may: here it is known which proxy they take."""
        if INTERNAL in request.meta:
            await self._enforcer.origins.check(request)

    async def process_response(self, request: Request, response: Response) -> Response:
        """Refuse what the headers deny, redirects' own headers too, before anything is cached or followed."""
        self._forget(request)
        if INTERNAL in request.meta:
            await self._enforcer.origins.check_answer(request, response)
        else:
            await self._enforcer.after(request, response, final=False)
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:
        """Turn our own stop into the refusal that it is."""
        self._forget(request)
        verdict = self._stopped.pop(request, None)
        if verdict is not None and isinstance(exception, StopDownload):
            self._enforcer.refuse(request, verdict, exception.response)


class PageMiddleware(BaseSpiderMiddleware):
    """Notes on items and requests what the page says that they come from."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
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


class PagePipeline(_Component):
    """The first pipeline: it still sees the very object that the spider yielded."""

    def process_item(self, item: Any) -> Any:
        """Hand the item's page to the media pipelines that follow."""
        self._enforcer.pages.enter(item)
        return item
