"""Origin files through Scrapy's own downloader: once per file, however many requests wait for it."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from scrapy import Request, signals
from scrapy.exceptions import StopDownload
from scrapy.http.request import NO_CALLBACK
from scrapy.utils.defer import deferred_from_coro, maybe_deferred_to_future
from twisted.internet.defer import Deferred

from heedful.model import OriginFile, printable
from heedful.origins import FILE_MAX, TIMEOUT, Exchange, lifetime

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy import Spider
    from scrapy.crawler import Crawler
    from scrapy.http import Headers as ScrapyHeaders
    from scrapy.http import Response

    from heedful.model import Headers

logger = logging.getLogger(__name__)

INTERNAL: Final = "heedful_internal"
"""Request meta key of our own requests, which our middlewares let through."""

FILES_KEPT: Final = 20_000
"""Origin files kept in memory; broad crawls see each origin for a while and then no more."""

_META: Final = {
    INTERNAL: True,
    "dont_obey_robotstxt": True,  # or Scrapy's robots middleware and ours wait for each other
    "allow_offsite": True,
    "dont_cache": True,
    "dont_redirect": True,  # redirects are followed, and requests repeated, by rules of our own
    "dont_retry": True,
    "dont_merge_cookies": True,
    "handle_httpstatus_all": True,
    "download_fail_on_dataloss": True,  # half a robots.txt allows what its other half forbids
    "download_timeout": TIMEOUT,
    "autothrottle_dont_adjust_delay": True,
}


def pairs(headers: ScrapyHeaders) -> Headers:
    """Scrapy's headers as lines, repeated ones kept apart."""
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, values in headers.items()
        for value in values
    )


class OriginFiles:
    """The origin files of one crawl."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._kept: OrderedDict[str, tuple[float, OriginFile]] = OrderedDict()
        self._waiting: dict[str, list[Deferred[OriginFile]]] = {}
        self._received: WeakKeyDictionary[Request, int] = WeakKeyDictionary()
        crawler.signals.connect(self._bytes_received, signals.bytes_received)

    def kept(self, urls: Iterable[str]) -> dict[str, OriginFile]:
        """Those of `urls` that are there and fresh."""
        now = time.time()
        found = {}
        for url in urls:
            entry = self._kept.get(url)
            if entry is not None and entry[0] > now:
                found[url] = entry[1]
        return found

    async def get(self, urls: Iterable[str]) -> dict[str, OriginFile]:
        """All of `urls`; those that are missing are fetched side by side, each once."""
        urls = tuple(urls)
        files = self.kept(urls)
        waiters = []
        for url in urls:
            if url not in files:
                # Each waiter has a Deferred of its own: awaiting a shared one hands the third waiter None.
                waiter: Deferred[OriginFile] = Deferred()
                waiters.append((url, waiter))
                if url in self._waiting:
                    self._waiting[url].append(waiter)
                else:
                    self._waiting[url] = [waiter]
                    deferred_from_coro(self._fetch(url))
        for url, waiter in waiters:
            files[url] = await maybe_deferred_to_future(waiter)
        return files

    async def _fetch(self, url: str) -> None:
        file = OriginFile(url, 0, fetched=time.time())
        try:
            file = await self._follow(Exchange(url))
        finally:
            self._kept[url] = (time.time() + lifetime(file), file)
            self._kept.move_to_end(url)
            if len(self._kept) > FILES_KEPT:
                self._kept.popitem(last=False)
            for waiter in self._waiting.pop(url):
                if not waiter.called:
                    waiter.callback(file)

    async def _follow(self, exchange: Exchange) -> OriginFile:
        file = None
        while file is None:
            try:
                response = await self._download(exchange.next_url)
            except Exception as error:  # whatever a handler or middleware raised, there is no answer
                logger.debug("No answer from %s", printable(exchange.next_url), exc_info=True)
                # Scrapy's and Twisted's names for it differ between versions.
                timed_out = "Timeout" in type(error).__name__
                file = exchange.failed(now=time.time(), timed_out=timed_out)
            else:
                file = exchange.received(
                    response.status,
                    pairs(response.headers),
                    response.body,
                    now=time.time(),
                    truncated="download_stopped" in response.flags,
                )
        return file

    async def _download(self, url: str) -> Response:
        engine, stats = self._crawler.engine, self._crawler.stats
        assert engine is not None  # noqa: S101
        assert stats is not None  # noqa: S101
        stats.inc_value("heedful/origin_files/requests")
        request = Request(
            url,
            callback=NO_CALLBACK,
            headers={"Accept-Encoding": "identity"},  # so that a body cut at the limit can be read
            meta=dict(_META),
            dont_filter=True,
            priority=1000,
        )
        return await engine.download_async(request)

    def _bytes_received(self, data: bytes, request: Request, spider: Spider) -> None:  # noqa: ARG002
        if not request.meta.get(INTERNAL):
            return
        received = self._received[request] = self._received.get(request, 0) + len(data)
        if received > FILE_MAX:
            raise StopDownload(fail=False)
