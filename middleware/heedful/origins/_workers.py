"""Threads that are there when they are needed, and hold nothing up when the program ends."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

IDLE: Final = 10.0
"""Seconds after which a thread that has nothing to do ends."""


class Workers:
    """Runs tasks, which may raise nothing, in at most so many daemon threads."""

    def __init__(self, threads_max: int) -> None:
        """Make it; threads are started when there is something to do.

        Args:
            threads_max: threads at most.
        """
        self._threads_max = threads_max
        self._threads = 0
        self._idle = 0
        self._closed = False
        self._tasks: deque[Callable[[], object]] = deque()
        self._changed = threading.Condition()

    def submit(self, task: Callable[[], object]) -> None:
        """Have `task` run after those that wait; after `close` it is dropped."""
        with self._changed:
            if self._closed:
                return
            self._tasks.append(task)
            if self._idle >= len(self._tasks):
                self._changed.notify()
            elif self._threads < self._threads_max:
                self._threads += 1
                threading.Thread(target=self._work, name="heedful origins", daemon=True).start()

    def close(self) -> None:
        """Drop what waits; what runs is not waited for."""
        with self._changed:
            self._closed = True
            self._tasks.clear()
            self._changed.notify_all()

    def _work(self) -> None:
        try:
            while (task := self._next()) is not None:
                task()
        except BaseException:
            with self._changed:
                self._threads -= 1
            raise

    def _next(self) -> Callable[[], object] | None:
        with self._changed:
            self._idle += 1
            awake = self._changed.wait_for(lambda: self._tasks or self._closed, IDLE)
            self._idle -= 1
            if awake and self._tasks:
                return self._tasks.popleft()
            self._threads -= 1
            return None
