"""How fast a registry is asked, and when it is left in peace; shared by all threads of a process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

FAILURES_MAX: Final = 3
"""Failed batches in a row after which the registry is left in peace; each was tried several times."""

REST: Final = 60.0
"""Seconds for which it is left in peace; then a single batch tries whether it is back."""

REST_MAX: Final = 3600.0
"""Longest rest that a registry can ask for, in seconds."""


class Limiter:
    """Gives requests their turn, evenly spaced: no bursts, and never more than the rate in any second."""

    def __init__(self, rate: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._interval = 1 / rate
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = self._held = clock()

    def wait(self) -> float:
        """Wait for the caller's turn; returns when that is, by the clock."""
        while True:
            with self._lock:
                now = self._clock()
                turn = max(now, self._next)
                self._next = turn + self._interval
            if turn > now:
                self._sleep(turn - now)
            if turn >= self._held:  # else the turn was taken back while it was waited for
                return turn

    def hold(self, seconds: float) -> None:
        """Nobody gets a turn for so long, nor those who wait for one."""
        with self._lock:
            self._held = max(self._held, self._clock() + seconds)
            self._next = max(self._next, self._held)


class Breaker:
    """Stops asking a registry that does not answer, so that a dead one costs minutes, not the run."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._until = 0.0

    def admits(self) -> bool:
        """Whether a batch may be asked for now; after a rest, one caller may, and the others wait for it."""
        with self._lock:
            if self._failures < FAILURES_MAX:
                return True
            now = self._clock()
            if now < self._until:
                return False
            self._until = now + REST
            return True

    def succeeded(self) -> None:
        """A batch was answered."""
        with self._lock:
            self._failures = 0

    def failed(self, *, rest: float | None = None) -> None:
        """A batch was not answered; with `rest` (seconds), the next ones would not be either."""
        with self._lock:
            self._failures = FAILURES_MAX if rest is not None else self._failures + 1
            if self._failures >= FAILURES_MAX:
                seconds = min(max(REST, rest or 0.0), REST_MAX)
                self._until = max(self._until, self._clock() + seconds)
