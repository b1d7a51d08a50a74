"""Origin files over the network, for programs with threads: each is asked for once, whoever waits for it.

The driver of the rules in this package. What must hold whatever the load: one request per file, over threads
and, with an `OriginCache`, processes; who waits for a dead host holds up nobody else; a dead host costs one
timeout in all; and no side request goes where the picture's own host does not lead.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import weakref
from concurrent.futures import Future
from functools import partial
from http.client import HTTPException
from typing import TYPE_CHECKING, Final

from heedful.model import OriginFile, printable
from heedful.origins._http import Client
from heedful.origins._resolving import Resolver, system
from heedful.origins._workers import Workers
from heedful.origins.addresses import RefusedError
from heedful.origins.cache import PAUSE_MAX, PAUSE_MIN
from heedful.origins.exchange import TIMEOUT, TOTAL, Exchange
from heedful.origins.known import Known
from heedful.origins.memory import Memory
from heedful.origins.target import Target, host_of, is_askable

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable

    from heedful.origins._http import Answer
    from heedful.origins._resolving import Resolve
    from heedful.origins.cache import OriginCache

logger = logging.getLogger(__name__)

WORKERS_MAX: Final = 256
"""Threads for files that somebody waits for; he lends his own besides, so that fewer only take longer."""

PREFETCHING_MAX: Final = 192
"""Threads for files that nobody waits for yet: at 100 ms an answer, so many keep one core busy (measured)."""


class _Flight:
    """A file that is being asked for. Who takes it runs it; all others wait for `answer`.

    Attributes:
        claimed: this process has the claim to the file already.
    """

    __slots__ = ("_free", "answer", "claimed", "key", "picture_host", "url")

    def __init__(self, url: str, picture_host: str, key: tuple[str, str]) -> None:
        self.url = url
        self.picture_host = picture_host
        self.key = key
        self.answer: Future[OriginFile] = Future()
        self.answer.set_running_or_notify_cancel()  # one that gives up waiting must not cancel it for others
        self.claimed = False
        self._free = threading.Lock()

    def take(self) -> bool:
        """Whether it is for the caller to run it."""
        return self._free.acquire(blocking=False)


class OriginFetcher:
    """Fetches origin files and keeps them. Safe to share between threads, and to carry over a fork.

    Its methods raise nothing that comes from the network or the disk: a file that could not be had has the
    status 0, which the gate takes for a doubt.
    """

    def __init__(
        self,
        cache: OriginCache | None,
        *,
        user_agent: str,
        timeout: float = TIMEOUT,
        allow_private: bool = False,
        memory: Memory | None = None,
        resolve: Resolve = system,
        tls: ssl.SSLContext | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Make one; no thread is started, and nothing connected to, before there is something to fetch.

        Args:
            cache: what the processes of this machine share; it stays the caller's to close. None: what was
                fetched is in this process's memory only.
            user_agent: what we call ourselves.
            timeout: seconds for one request; a file takes at most `TOTAL` times as much.
            allow_private: side requests may go to every address, see `heedful.origins.addresses`.
            memory: keeps files, with the rules parsed from them, in this process; None: one of usual size.
            resolve: gives the addresses of a host name; raises `OSError` if there are none.
            tls: how servers are verified; None: against the system's certificates.
            now: Unix time in seconds.

        Raises:
            ConfigurationError: the user agent cannot be sent, or the environment names a proxy that cannot be
                used.
        """
        self._cache = cache
        self._known = Known(cache, Memory() if memory is None else memory, now=now)
        self._timeout = timeout
        self._now = now
        self._resolver = Resolver(resolve)
        self._client = Client(self._resolver, user_agent=user_agent, allow_private=allow_private, tls=tls)
        self._lock = threading.Lock()
        self._flights: dict[tuple[str, str], _Flight] = {}
        self._workers = Workers(WORKERS_MAX)
        self._background = Workers(PREFETCHING_MAX)
        self._closing = threading.Event()
        with _FORKING:
            _FORKED.add(self)

    def kept(self, urls: Iterable[str]) -> dict[str, OriginFile]:
        """Those of `urls` that need not be asked for, from memory and disk."""
        return self._known.files(urls)

    def files(self, urls: Iterable[str], for_url: str) -> dict[str, OriginFile]:
        """All of `urls`, in their order; what must be asked for is asked for side by side, and waited for.

        Args:
            urls: origin files, as the gate names them.
            for_url: the picture's URL.
        """
        wanted = tuple(dict.fromkeys(urls))
        found = self.kept(wanted)
        flights = self._board([url for url in wanted if url not in found], for_url, found)
        for flight in flights[1:]:
            self._hand_over(flight)
        for flight in flights:
            # Workers that are busy with dead hosts hold nobody up.
            if flight.take():
                self._run(flight)
        for flight in flights:
            found[flight.url] = flight.answer.result()
        return {url: found[url] for url in wanted}

    async def files_async(self, urls: Iterable[str], for_url: str) -> dict[str, OriginFile]:
        """As `files`, for a program with an asyncio event loop: the loop goes on meanwhile."""
        wanted = tuple(dict.fromkeys(urls))
        found = self.kept(wanted)
        flights = self._board([url for url in wanted if url not in found], for_url, found)
        for flight in flights:
            self._hand_over(flight)
        for flight in flights:
            found[flight.url] = await asyncio.wrap_future(flight.answer)
        return {url: found[url] for url in wanted}

    def prefetch(self, urls: Iterable[str]) -> None:
        """Have `urls` fetched in the background, one origin's files one after another; returns at once.

        Args:
            urls: origin files, each for the pictures of its own origin.
        """
        wanted = dict.fromkeys(urls)
        at_hand = self._known.at_hand(wanted)
        origins: dict[str, list[str]] = {}
        for url in wanted:
            if is_askable(url) and url not in at_hand:
                origins.setdefault("/".join(url.split("/", 3)[:3]), []).append(url)
        for group in origins.values():
            self._background.submit(partial(self._prefetch, group))

    def close(self) -> None:
        """Begin nothing more in the background. What is being fetched is not waited for."""
        self._closing.set()
        self._background.close()
        self._workers.close()
        with self._lock:
            flights = tuple(self._flights.values())
        for flight in flights:
            if self._cache is not None:  # with this process it may end, and no other is to wait for it
                self._cache.release(flight.url)
            if flight.take():  # nobody has begun, and no worker will
                self._land(flight, None)

    # -- one file, one flight ------------------------------------------------------------------------------

    def _board(self, urls: Iterable[str], for_url: str | None, found: dict[str, OriginFile]) -> list[_Flight]:
        """The flights of `urls`, begun or not; what has come in meanwhile is put into `found`."""
        flights = []
        now = self._now()
        for url in urls:
            host = host_of(url) if is_askable(url) else ""
            if not host:
                found[url] = OriginFile(url, 0, fetched=now)
                continue
            picture_host = host if for_url is None else host_of(for_url)
            # Whether an address may be asked depends on the picture's host.
            key = (url, "" if picture_host == host else picture_host)
            with self._lock:
                if at_hand := self._known.at_hand((url,)):  # a flight is there until its file is in memory
                    found |= at_hand
                    continue
                flight = self._flights.get(key)
                if flight is None:
                    flight = self._flights[key] = _Flight(url, picture_host, key)
                flights.append(flight)
        return flights

    def _hand_over(self, flight: _Flight) -> None:
        self._workers.submit(lambda: self._run(flight) if flight.take() else None)

    def _prefetch(self, urls: list[str]) -> None:
        found = self.kept(urls)
        flights = self._board([url for url in urls if url not in found], None, found)
        if self._cache is not None:
            self._claim([flight for flight in flights if not flight.claimed], self._cache)
        for flight in flights:
            if flight.take():
                self._run(flight)

    def _claim(self, flights: list[_Flight], cache: OriginCache) -> None:
        """Claim what these are about, all at once: whoever takes one then has the claim with it."""
        claimed = cache.claim_all([flight.url for flight in flights]) if flights else set()
        found = self.kept(claimed)  # another process may have finished just before
        for flight in flights:
            if flight.url in claimed:
                if flight.url in found or flight.answer.done():
                    cache.release(flight.url)
                else:
                    flight.claimed = True

    def _run(self, flight: _Flight) -> None:
        file = None
        try:
            file = self._obtain(flight)
        except RefusedError as refused:  # not kept: for a picture elsewhere it may be asked
            logger.info("Not asked: %s: %s", printable(flight.url), printable(str(refused)))
        except Exception:
            logger.exception("An origin file cannot be fetched: %s", printable(flight.url))
        finally:
            self._land(flight, file)

    def _land(self, flight: _Flight, file: OriginFile | None) -> None:
        with self._lock:
            self._flights.pop(flight.key, None)
        flight.answer.set_result(OriginFile(flight.url, 0, fetched=self._now()) if file is None else file)

    def _obtain(self, flight: _Flight) -> OriginFile | None:
        """The file, from whoever fetches it."""
        cache, url = self._cache, flight.url
        if cache is None:
            return self._fetch(flight)
        pause = PAUSE_MIN
        while not (flight.claimed or cache.claim(url)):
            if self._closing.wait(pause):
                return None
            pause = min(2 * pause, PAUSE_MAX)
            if found := self.kept((url,)):
                return found[url]
        try:
            # Another process may have finished just before.
            found = {} if flight.claimed else self.kept((url,))
            if not found:
                return self._fetch(flight)
        except BaseException:
            cache.release(url)
            raise
        cache.release(url)
        return found[url]

    def _fetch(self, flight: _Flight) -> OriginFile:
        exchange = Exchange(flight.url)
        end = time.monotonic() + TOTAL * self._timeout
        file = None
        while file is None:
            hop = exchange.next_url
            try:
                answer = self._ask(hop, flight.picture_host, end)
            except RefusedError:
                if hop == flight.url:
                    raise
                logger.info("Not followed: %s to %s", printable(flight.url), printable(hop))
                file = OriginFile(flight.url, 0, fetched=self._now())
            except TimeoutError:
                file = exchange.failed(now=self._now(), timed_out=True)
            except (OSError, HTTPException, ValueError):
                logger.debug("No answer from %s", printable(hop), exc_info=True)
                file = exchange.failed(now=self._now())
            else:
                file = exchange.received(
                    answer.status, answer.headers, answer.body, now=self._now(), truncated=answer.truncated
                )
        return self._known.keep(file)

    def _ask(self, url: str, picture_host: str, end: float) -> Answer:
        target = Target.of(url)
        host = f"{target.host}:{target.port}"
        left = end - time.monotonic()
        if left <= 0 or self._known.silent(host):
            raise TimeoutError(f"{host} is not waited for")
        try:
            return self._client.get(target, picture_host, min(left, self._timeout))
        except TimeoutError:
            if left >= self._timeout:  # it had all the time that there is for a host
                self._known.silence(host)
            raise

    # -- forks ---------------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Let no thread change anything until `after_fork`."""
        self._lock.acquire()
        self._known.before_fork()

    def after_fork(self, *, child: bool) -> None:
        """Go on; a child has none of its parent's threads, nor what they were about."""
        self._known.after_fork()
        self._lock.release()
        if child:
            self._flights.clear()
            self._resolver.after_fork()
            self._workers = Workers(WORKERS_MAX)
            self._background = Workers(PREFETCHING_MAX)
            self._closing = threading.Event()


_FORKED: Final[weakref.WeakSet[OriginFetcher]] = weakref.WeakSet()
_FORKING: Final = threading.Lock()
_paused: list[OriginFetcher] = []  # while `_FORKING` is held


def _before_fork() -> None:
    _FORKING.acquire()
    for fetcher in list(_FORKED):
        fetcher.before_fork()
        _paused.append(fetcher)


def _after_fork(*, child: bool) -> None:
    while _paused:
        _paused.pop().after_fork(child=child)
    _FORKING.release()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=lambda: _after_fork(child=False),
        after_in_child=lambda: _after_fork(child=True),
    )
