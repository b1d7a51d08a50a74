"""A process beside the workers that asks the origins of the shards that come next.

A worker decodes pictures in one thread, and every other thread of its process that fetches origin files holds
that one up: where hosts are many, it would take half as long again. What this process fetches, the workers
find in the machine's cache; what it has not got to yet, they fetch as ever: nothing depends on it.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import fsspec

from heedful._processes import ignore_interrupts
from heedful.img2dataset._shard import _Process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

    from heedful.img2dataset._shard import Guard

AHEAD: Final = 2
"""Shards for each worker that are asked before it has them; what is asked too early, is stale by then."""

EVERY: Final = 0.2
"""Seconds between two looks at which shards are done."""

END: Final = 5.0
"""Seconds in which the process ends by itself."""


@contextmanager
def asking_ahead(guard: Guard) -> Iterator[Callable[[str], None]]:
    """Have origins asked before workers get to them, as long as this lasts.

    Args:
        guard: what the workers are told.

    Yields:
        What is to be told the file of each shard, in their order. The process is started with the second
        one: a single shard is asked by its worker.
    """
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=ask, args=(guard, reader), name="heedful ahead", daemon=True)
    untold: list[str] = []

    def tell(path: str) -> None:
        untold.append(path)
        if len(untold) == 1 and process.pid is None:
            return
        if process.pid is None:
            process.start()  # sooner ready than a worker, which imports img2dataset
            reader.close()
        with suppress(OSError):  # it is gone
            while untold:
                writer.send(untold.pop(0))

    try:
        yield tell
    finally:
        reader.close()
        writer.close()
        if process.pid is not None:
            process.join(END)
            process.terminate()
            process.join()


def ask(guard: Guard, paths: Connection) -> None:
    """What the process does: ask for what the shards at `paths` need, until there is nobody to tell more."""
    ignore_interrupts()
    worker = _Process(guard, ahead=True)
    shards_max = guard.processes * (1 + AHEAD)
    told: deque[str] = deque()
    asked: list[str] = []
    with worker.enforcer:
        while True:
            busy = bool(told) and len(asked) < shards_max
            try:
                while paths.poll(0 if busy else EVERY):
                    told.append(paths.recv())
                    busy = True
            except EOFError:
                return
            asked = [path for path in asked if _is_waiting(path)]
            if told and len(asked) < shards_max:
                path = told.popleft()
                with suppress(OSError, ValueError):  # a worker was quicker, and has removed it
                    worker.ask(path)
                    asked.append(path)


def _is_waiting(path: str) -> bool:
    """Whether a shard is not done yet: img2dataset removes its file then."""
    fs, local = fsspec.core.url_to_fs(path)
    return bool(fs.exists(local))
