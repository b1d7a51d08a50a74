"""Waiting without holding up the crawl, with every reactor and without one."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from scrapy.utils.asyncio import call_later, is_asyncio_available
from scrapy.utils.defer import maybe_deferred_to_future
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from heedful.origins._workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.crawler import Crawler

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def pause(seconds: float) -> None:
    """Let the crawl go on for a while."""
    over: Deferred[None] = Deferred()
    call_later(seconds, over.callback, None)
    await maybe_deferred_to_future(over)


async def in_thread(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run what blocks in one of the threads that the crawl has for that."""
    if is_asyncio_available():
        return await asyncio.to_thread(function, *args, **kwargs)
    return await maybe_deferred_to_future(deferToThread(function, *args, **kwargs))


class Listener:
    """Connected to a signal only while that is of use: Scrapy's way of sending them is slow."""

    def __init__(self, crawler: Crawler, receiver: Callable[..., object], signal: object) -> None:
        self._signals = crawler.signals
        self._receiver = receiver
        self._signal = signal
        self._uses = 0

    def begin(self) -> None:
        """One more use."""
        self._uses += 1
        if self._uses == 1:
            self._signals.connect(self._receiver, self._signal)

    def end(self) -> None:
        """One less."""
        self._uses -= 1
        if not self._uses:
            self._signals.disconnect(self._receiver, self._signal)


class Threads:
    """Threads apart from the crawl's own: what hangs in them keeps neither names nor pictures waiting."""

    def __init__(self, threads_max: int) -> None:
        """Make it; threads are started when there is something to do.

        Args:
            threads_max: threads at most.
        """
        self._workers = Workers(threads_max)

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run what blocks in one of them."""
        future: Future[_T] = Future()
        self._workers.submit(partial(_settle, future, partial(function, *args, **kwargs)))
        if is_asyncio_available():
            return await asyncio.wrap_future(future)
        from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one

        done: Deferred[None] = Deferred()
        future.add_done_callback(lambda _: reactor.callFromThread(done.callback, None))
        await maybe_deferred_to_future(done)
        return future.result()

    def close(self) -> None:
        """Begin nothing more; what runs is not waited for."""
        self._workers.close()


def _settle(future: Future[_T], act: Callable[[], _T]) -> None:
    try:
        future.set_result(act())
    except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
        future.set_exception(error)
