"""A process beside the workers that asks the origins of the shards that come next.

A worker decodes pictures in one thread, which Python's lock holds up while other threads of its process fetch
origin files: at many hosts it would take twice as long. What this process fetches, workers find in the
machine's cache; what it has not got to yet, they fetch as ever. It is nothing that anything relies on.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import fsspec

from heedful.img2dataset._shard import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

    from heedful.img2dataset._shard import Guard

AHEAD: Final = 2
"""Shards for each worker that are asked before it has them: what was asked long before is stale by then."""

EVERY: Final = 0.2
"""Seconds between two looks at which shards are done."""


@contextmanager
def asking_ahead(guard: Guard) -> Iterator[Callable[[str], None]]:
    """Have origins asked before workers get to them, as long as this lasts.

    Args:
        guard: what the workers are told.

    Yields:
        What is to be told the file of each shard, in the order in which they are downloaded. The process is
        started with the second one: the first is a worker's before anything else could be done.
    """
    waiting: list[str] = []
    telling: list[Connection] = []
    context = multiprocessing.get_context("spawn")
    running = None

    def tell(path: str) -> None:
        nonlocal running
        waiting.append(path)
        if running is None and len(waiting) > 1:
            reader, writer = context.Pipe(duplex=False)
            running = context.Process(target=ask, args=(guard, reader), name="heedful ahead", daemon=True)
            running.start()
            reader.close()
            telling.append(writer)
        if telling:
            with suppress(OSError):  # it is gone
                while waiting:
                    telling[0].send(waiting.pop(0))

    try:
        yield tell
    finally:
        for writer in telling:
            writer.close()
        if running is not None:
            running.terminate()
            running.join()


def ask(guard: Guard, paths: Connection) -> None:
    """Ask for what the shards at `paths` need, until there are no more; what the process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with its parent
    worker = Worker(guard)
    told: deque[str] = deque()
    asked: list[str] = []
    with worker.enforcer:
        while True:
            try:
                busy = told and len(asked) < guard.processes * (1 + AHEAD)
                while paths.poll(0 if busy else EVERY):
                    told.append(paths.recv())
                    busy = True
            except EOFError:
                return
            asked = [path for path in asked if _exists(path)]
            if told and len(asked) < guard.processes * (1 + AHEAD):
                path = told.popleft()
                with suppress(OSError, ValueError):  # a worker was quicker, and has removed it
                    worker.ask(path)
                    asked.append(path)


def _exists(path: str) -> bool:
    """Whether a shard is not done yet: img2dataset removes its file then."""
    fs, local = fsspec.core.url_to_fs(path)
    return bool(fs.exists(local))
