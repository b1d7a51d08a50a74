"""What drivers of the gate share, whoever waits and whoever connects: threads, Scrapy's way, asyncio."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from heedful.model import (
    RAW_MAX,
    Action,
    Evidence,
    Preference,
    Reason,
    Stage,
    Statement,
    Verdict,
    printable,
)

if TYPE_CHECKING:
    from heedful.gate import Gate
    from heedful.model import Needs

logger = logging.getLogger(__name__)

READ_ANYWAY: Final = 64 * 1024
"""Bytes up to which a body is read although it is opted out: that keeps the connection usable."""

FURTHER_MAX: Final = 20_000
"""Origins of which it is remembered what their files led to."""

CRASHES_MAX: Final = 100
"""Different faults of which the traceback is logged."""


class OriginFileUrls:
    """Which origin files a URL is judged by, as far as that is known before they are read.

    Safe to share between threads.
    """

    def __init__(self, gate: Gate) -> None:
        """Begin with the files that every origin is asked for."""
        self._gate = gate
        self._further: dict[str, tuple[str, ...]] = {}
        self._lock = threading.Lock()

    def of(self, url: str) -> tuple[str, ...]:
        """Those of `url`; none if it cannot be judged."""
        first = self._gate.origin_files(url)
        return (*first, *self._further.get(first[0], ())) if first else ()

    def note(self, url: str, needs: Needs) -> None:
        """Remember what an origin's files led to, so that the gate need not ask for it each time."""
        first = self._gate.origin_files(url)
        further = tuple(each for each in needs.urls if each not in first)
        if further:
            with self._lock:
                if len(self._further) > FURTHER_MAX:
                    self._further.clear()
                known = self._further.get(first[0], ())
                self._further[first[0]] = tuple(dict.fromkeys(known + further))


class Crashes:
    """Makes doubts of checks that raised, and logs each fault once. Safe to share between threads."""

    def __init__(self) -> None:
        """Begin with none."""
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def doubt(self, url: str, stage: Stage, error: Exception) -> Verdict:
        """What follows from a check that raised `error`."""
        words = f"{type(error).__name__}: {error}"
        with self._lock:
            new = words not in self._known and len(self._known) < CRASHES_MAX
            if new:
                self._known.add(words)
        if new:
            logger.error("A check failed, the picture is not stored: %s", printable(url), exc_info=error)
        return doubt(url, stage, "the check failed", words)


def doubt(url: str, stage: Stage, rule: str, raw: str) -> Verdict:
    """What could not be determined: the URL is deferred."""
    evidence = Evidence(url, "check", raw[:RAW_MAX])
    statement = Statement(Reason.UNDETERMINED, Preference.UNDETERMINED, rule, evidence)
    return Verdict(url, Action.DEFER, (Reason.UNDETERMINED,), stage, (statement,))
