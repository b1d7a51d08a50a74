"""What is known of origin files and of their hosts: in this process, and on this machine.

What every driver goes by before it asks for anything, and where it puts what it got.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from heedful.origins.freshness import CLOCK_SKEW, RETRY_AFTER
from heedful.origins.target import is_askable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from heedful.model import OriginFile
    from heedful.origins.cache import OriginCache
    from heedful.origins.memory import Memory

SILENT_MAX: Final = 10_000
"""Silent hosts that are remembered in memory."""


class Known:
    """Memory before disk, in both directions. Safe to share between threads, and to carry over a fork."""

    def __init__(self, cache: OriginCache | None, memory: Memory, *, now: Callable[[], float]) -> None:
        """Make it.

        Args:
            cache: what the processes of this machine share; it stays the caller's to close. None: nothing.
            memory: what this process keeps.
            now: Unix time in seconds.
        """
        self._cache = cache
        self._memory = memory
        self._now = now
        self._silent: dict[str, float] = {}
        self._lock = threading.Lock()

    def at_hand(self, urls: Iterable[str]) -> dict[str, OriginFile]:
        """Those of `urls` that need not be asked for, as far as this process knows."""
        return self._memory.files(urls, self._now())

    def files(self, urls: Iterable[str]) -> dict[str, OriginFile]:
        """Those of `urls` that need not be asked for, from memory and disk."""
        urls = tuple(urls)
        found = self.at_hand(urls)
        if len(found) == len(urls) or self._cache is None:
            return found
        missing = [url for url in urls if url not in found and is_askable(url)]
        if missing:
            now = self._now()
            for url, entry in self._cache.get(missing).items():
                use = entry.use(now)
                if use is not None:
                    self._memory.put(url, entry, use)
                    found[url] = use.file
        return found

    def keep(self, file: OriginFile) -> OriginFile:
        """Keep what was fetched; a claim to it is released.

        Returns:
            What is to be used now, which may be an older copy.
        """
        entry = None if self._cache is None else self._cache.put(file)
        if entry is None:
            entry = self._memory.entry(file.url).after(file)
        use = entry.use(self._now())
        if use is None:  # the clock has just been set
            return file
        self._memory.put(file.url, entry, use)
        return use.file

    def silent(self, host: str) -> bool:
        """Whether `host`, which is `name:port`, has lately been waited for in vain."""
        now = self._now()
        until = self._silent.get(host, 0.0)
        if now < until <= now + RETRY_AFTER + CLOCK_SKEW:
            return True
        return self._cache is not None and self._cache.silent(host)

    def silence(self, host: str) -> None:
        """Note that `host` was given all the time there is, and did not answer."""
        until = self._now() + RETRY_AFTER
        with self._lock:
            if len(self._silent) >= SILENT_MAX:
                self._silent.clear()
            self._silent[host] = until
        if self._cache is not None:
            self._cache.silence(host, until)

    def before_fork(self) -> None:
        """Let no thread change anything until `after_fork`."""
        self._lock.acquire()
        self._memory.before_fork()

    def after_fork(self) -> None:
        """Go on."""
        self._memory.after_fork()
        self._lock.release()
