"""Origin files in the memory of one process, whose parsed rules stay with them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from heedful.origins.freshness import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from heedful.model import OriginFile
    from heedful.origins.freshness import Use

FILES_MAX: Final = 20_000
"""Files kept; broad crawls see each origin for a while and then no more."""

BYTES_MAX: Final = 64 * 2**20
"""Bytes of the bodies kept; the rules parsed from them take several times as much."""


class _Kept(NamedTuple):
    use: Use
    entry: Entry
    size: int


class Memory:
    """The files that were used last. Safe to share between threads."""

    def __init__(self, *, files_max: int = FILES_MAX, bytes_max: int = BYTES_MAX) -> None:
        """Make an empty one.

        Args:
            files_max: files kept at most.
            bytes_max: bytes of their bodies kept at most.
        """
        self._files_max = files_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def files(self, urls: Iterable[str], now: float) -> dict[str, OriginFile]:
        """The files that are to be used at `now`: those of `urls` that are here and need not be asked for."""
        found = {}
        with self._lock:
            for url in urls:
                kept = self._kept.get(url)
                if kept is not None and kept.use.holds(now):
                    self._kept.move_to_end(url)
                    found[url] = kept.use.file
        return found

    def entry(self, url: str) -> Entry:
        """What is known of `url`, however old."""
        kept = self._kept.get(url)
        return Entry() if kept is None else kept.entry

    def put(self, url: str, entry: Entry, use: Use) -> None:
        """Keep what is known of `url`, and the use that follows from it."""
        answer = entry.answer
        size = 0 if answer is None else len(answer.body)
        with self._lock:
            old = self._kept.pop(url, None)
            if old is not None:
                self._bytes -= old.size
            self._kept[url] = _Kept(use, entry, size)
            self._bytes += size
            while len(self._kept) > self._files_max or self._bytes > self._bytes_max:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= dropped.size

    def before_fork(self) -> None:
        """Let no thread change anything until `after_fork`."""
        self._lock.acquire()

    def after_fork(self) -> None:
        """Go on."""
        self._lock.release()
