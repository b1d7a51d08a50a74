"""Origin files through Scrapy's own downloader: once per file, however many requests and crawls wait for it.

The rules are those of `heedful.origins`; what differs is who waits, and who connects. Requests take the
crawl's way to the network: its proxies, its handlers, its politeness.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final, Literal
from weakref import WeakKeyDictionary

from scrapy import Request, signals
from scrapy.exceptions import StopDownload
from scrapy.http.request import NO_CALLBACK
from scrapy.utils.defer import deferred_from_coro, maybe_deferred_to_future
from twisted.internet.defer import Deferred

from heedful.model import OriginFile, printable
from heedful.origins import FILE_MAX, TIMEOUT, TOTAL, Exchange, stale
from heedful.origins._resolving import Resolver
from heedful.origins.addresses import RefusedError, literal
from heedful.origins.cache import PAUSE_MAX, PAUSE_MIN, OriginCache
from heedful.origins.known import Known
from heedful.origins.memory import Memory
from heedful.origins.target import Target, host_of, is_askable
from heedful.scrapy._waiting import Listener, Threads, pause

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from scrapy import Spider
    from scrapy.crawler import Crawler
    from scrapy.http import Headers as ScrapyHeaders
    from scrapy.http import Response

    from heedful.model import Headers

logger = logging.getLogger(__name__)

INTERNAL: Final = "heedful_internal"
"""Request meta key of our own requests: the host of the picture for which they are made."""

RESOLVING_MAX: Final = 32
"""Names of other hosts, to which origin files lead, that are looked up at once."""

NO_TIME: Final = 0.001
"""Seconds for a request that still waits for its turn when its host has turned out to be dead."""

Counted = Literal["requests", "cached", "stale", "unreachable", "refused"]
"""What is counted under `heedful/origin_files/`."""

_META: Final = {
    "dont_obey_robotstxt": True,  # or Scrapy's robots middleware and ours wait for each other
    "allow_offsite": True,
    "dont_cache": True,
    "dont_redirect": True,  # redirects are followed, and requests repeated, by rules of our own
    "dont_retry": True,
    "dont_merge_cookies": True,
    "handle_httpstatus_all": True,
    "download_fail_on_dataloss": True,  # half a robots.txt allows what its other half forbids
    "autothrottle_dont_adjust_delay": True,
}

_Flight = tuple[str, str]
"""A file that is being asked for: its URL, and the host of the picture for which that is done."""


def pairs(headers: ScrapyHeaders) -> Headers:
    """Scrapy's headers as lines, repeated ones kept apart."""
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, values in headers.items()
        for value in values
    )


class OriginFiles:
    """The origin files of one crawl, which shares them with all others on its machine.

    Nothing that comes from the network or the disk is raised: a file that could not be had has the status 0,
    which the gate takes for a doubt.
    """

    def __init__(self, crawler: Crawler, folder: Path) -> None:
        """Make it.

        Args:
            crawler: whose downloader asks.
            folder: where the machine's cache is, or will be.
        """
        self._crawler = crawler
        self._cache = OriginCache(folder, now=time.time)
        self._known = Known(self._cache, Memory(), now=time.time)
        # Another process that writes, or a slow disk, holds up this thread and not the crawl.
        self._disk = Threads(1)
        self._resolver = Resolver()
        self._names = Threads(RESOLVING_MAX)
        self._waiting: dict[_Flight, list[Deferred[OriginFile]]] = {}
        self._asking: dict[str, set[Request]] = {}
        self._received: WeakKeyDictionary[Request, int] = WeakKeyDictionary()
        self._bytes = Listener(crawler, self._bytes_received, signals.bytes_received)

    def at_hand(self, urls: Iterable[str]) -> dict[str, OriginFile]:
        """Those of `urls` that are in memory, and fresh."""
        return self._known.at_hand(urls)

    async def get(self, urls: Iterable[str], for_url: str) -> dict[str, OriginFile]:
        """All of `urls`; those that are missing are fetched side by side, each once.

        Args:
            urls: origin files, as the gate names them.
            for_url: the picture's URL.
        """
        urls = tuple(urls)
        files = self.at_hand(urls)
        picture_host = host_of(for_url)
        waiters = []
        begun = []
        for url in urls:
            if url in files:
                continue
            if not is_askable(url):
                files[url] = OriginFile(url, 0, fetched=time.time())
                continue
            # Whether an address may be asked depends on the picture's host.
            flight = url, picture_host
            # Each waiter has a Deferred of its own: awaiting a shared one hands the third waiter None.
            waiter: Deferred[OriginFile] = Deferred()
            waiters.append((url, waiter))
            if flight not in self._waiting:
                self._waiting[flight] = []
                begun.append(flight)
            self._waiting[flight].append(waiter)
        if begun:
            deferred_from_coro(self._begin(begun))
        for url, waiter in waiters:
            files[url] = await maybe_deferred_to_future(waiter)
        return files

    def close(self) -> None:
        """Close the cache. Nothing is asked for any more."""
        self._disk.close()
        self._names.close()
        self._cache.close()

    # -- one file, one flight ------------------------------------------------------------------------------

    async def _begin(self, flights: list[_Flight]) -> None:
        found: dict[str, OriginFile] = {}
        ours: list[str] = []
        try:
            found, ours = await self._disk.run(self._look, [url for url, _ in flights])
        finally:
            for flight in flights:
                url, _ = flight
                if url in found:
                    self._land(flight, found[url], cached=True)
                else:
                    deferred_from_coro(self._bring(flight, ours=url in ours))

    def _look(self, urls: Iterable[str]) -> tuple[dict[str, OriginFile], list[str]]:
        """What is known by now, and which of the others are ours to ask for."""
        found = self._known.files(urls)
        ours = [url for url in urls if url not in found and self._cache.claim(url)]
        if ours:  # another process may have finished just before
            for url, file in self._known.files(ours).items():
                self._cache.release(url)
                found[url] = file
        return found, ours

    async def _bring(self, flight: _Flight, *, ours: bool) -> None:
        """Land `flight`, with whatever its file is, from whoever fetches it."""
        url, picture_host = flight
        file, cached = None, False
        try:
            seconds = PAUSE_MIN
            while not ours:
                await pause(seconds)
                seconds = min(2 * seconds, PAUSE_MAX)
                found, claimed = await self._disk.run(self._look, (url,))
                if found:
                    file, cached = found[url], True
                    return
                ours = bool(claimed)
            try:
                fetched = await self._fetch(url, picture_host)
                file = await self._disk.run(self._known.keep, fetched)
            except Exception:
                await self._disk.run(self._cache.release, url)
                raise
        except RefusedError as refused:  # not kept: for a picture elsewhere it may be asked
            logger.info("Not asked: %s: %s", printable(url), printable(str(refused)))
        except Exception:
            logger.exception("An origin file cannot be fetched: %s", printable(url))
        finally:
            self._land(flight, file, cached=cached)

    def _land(self, flight: _Flight, file: OriginFile | None, *, cached: bool) -> None:
        now = time.time()
        if file is None:
            file = OriginFile(flight[0], 0, fetched=now)
        if cached:
            self._count("cached")
        if file.unreachable:
            self._count("unreachable")
        elif stale(file, now):
            self._count("stale")
        for waiter in self._waiting.pop(flight):
            if not waiter.called:
                waiter.callback(file)

    async def _fetch(self, url: str, picture_host: str) -> OriginFile:
        exchange = Exchange(url)
        left = TOTAL * TIMEOUT
        file = None
        while file is None:
            request = Request(
                exchange.next_url,
                callback=NO_CALLBACK,
                headers={"Accept-Encoding": "identity"},  # so that a body cut at the limit can be read
                meta={**_META, INTERNAL: picture_host, "download_timeout": min(left, TIMEOUT)},
                dont_filter=True,
            )
            try:
                response = await self._ask(request, left)
            except RefusedError as refused:
                self._count("refused")
                if exchange.next_url == url:
                    raise
                logger.info("Not followed: %s: %s", printable(url), printable(str(refused)))
                file = OriginFile(url, 0, fetched=time.time())
            except Exception as error:  # whatever a handler or middleware raised, there is no answer
                logger.debug("No answer from %s", printable(request.url), exc_info=True)
                file = exchange.failed(now=time.time(), timed_out=_timed_out(error))
            else:
                # Only what the network took: requests also wait for their turn, as the crawl is polite.
                left -= request.meta.get("download_latency", 0.0)
                file = exchange.received(
                    response.status,
                    pairs(response.headers),
                    response.body,
                    now=time.time(),
                    truncated="download_stopped" in response.flags,
                )
        return file

    async def _ask(self, request: Request, left: float) -> Response:
        target = Target.of(request.url)
        host = f"{target.host}:{target.port}"
        if left <= 0 or await self._disk.run(self._known.silent, host):
            raise TimeoutError(f"{host} is not waited for")
        engine = self._crawler.engine
        assert engine is not None  # noqa: S101
        asking = self._asking.setdefault(host, set())
        asking.add(request)
        self._bytes.begin()
        self._count("requests")
        try:
            return await engine.download_async(request)
        except Exception as error:
            # It had all the time that there is for a host: no need to wait for it once for each file.
            if left >= TIMEOUT and request.meta["download_timeout"] > NO_TIME and _timed_out(error):
                for other in asking:
                    other.meta["download_timeout"] = NO_TIME
                await self._disk.run(self._known.silence, host)
            raise
        finally:
            self._bytes.end()
            asking.discard(request)
            if not asking:
                self._asking.pop(host, None)

    def _bytes_received(self, data: bytes, request: Request, spider: Spider) -> None:  # noqa: ARG002
        if INTERNAL not in request.meta:
            return
        received = self._received[request] = self._received.get(request, 0) + len(data)
        if received > FILE_MAX:
            raise StopDownload(fail=False)

    # -- where requests may go -----------------------------------------------------------------------------

    async def check(self, request: Request) -> None:
        """See to it that a request of ours goes only where the picture's own host leads.

        Through a proxy, it is the proxy that resolves names: only an address in the URL itself can be judged.

        Raises:
            RefusedError: it may not be made.
            OSError: its host has no address, or none in time.
        """
        host, picture_host = host_of(request.url), str(request.meta[INTERNAL])
        if host != picture_host and (literal(host) or not request.meta.get("proxy")):
            await self._names.run(self._resolver.permitted, host, picture_host, TIMEOUT, every=True)

    async def check_answer(self, request: Request, response: Response) -> None:
        """As `check`, for the address that was connected to: it may be another than the one looked up.

        Raises:
            RefusedError: the answer may not be used.
        """
        address, picture_host = response.ip_address, str(request.meta[INTERNAL])
        if address is None or request.meta.get("proxy") or host_of(request.url) == picture_host:
            return
        await self._names.run(self._resolver.permitted, str(address), picture_host, TIMEOUT)

    def _count(self, what: Counted) -> None:
        stats = self._crawler.stats
        assert stats is not None  # noqa: S101
        stats.inc_value(f"heedful/origin_files/{what}")


def _timed_out(error: Exception) -> bool:
    """Whether it was waited for in vain: the names differ between the versions of Scrapy and Twisted."""
    name = type(error).__name__
    return "Timeout" in name or "TimedOut" in name
