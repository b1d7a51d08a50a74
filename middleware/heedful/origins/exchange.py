"""The asking for one origin file, without a socket: the caller fetches, and hands in the answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

import can_ada

from heedful.model import OriginFile

if TYPE_CHECKING:
    from heedful.model import Headers

FILE_MAX: Final = 2**20
"""Body bytes that are read; RFC 9309 (section 2.5) demands at least 500 KiB of a robots.txt."""

REDIRECTS_MAX: Final = 5
"""RFC 9309, section 2.3.1.2: at least five consecutive redirects are followed, also across hosts."""

TIMEOUT: Final = 15.0
"""Seconds that one request for an origin file may take: a dead host must not hold its pictures for long."""

TOTAL: Final = 2.0
"""Timeouts that one file may take in all, its redirects and its second chance included."""

RETRIES: Final = 1
"""How often a server fault, a 429 or a network error is given another chance; a time-out is none."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

_NO_SUCH_FILE: Final = 404


@dataclass
class Exchange:
    """Follows one origin file to its end.

    Fetch `next_url` and hand the answer to `received`, or say `failed`: both return the file when it is
    there. Without it, fetch again: `next_url` may have changed.

    Attributes:
        url: the file asked for.
        next_url: what to fetch now.
    """

    url: str
    next_url: str = field(init=False)
    _followed: set[str] = field(init=False, default_factory=set)
    _retries: int = field(init=False, default=RETRIES)

    def __post_init__(self) -> None:
        self.next_url = self.url

    def received(
        self, status: int, headers: Headers, body: bytes, *, now: float | None, truncated: bool = False
    ) -> OriginFile | None:
        """An answer is there.

        Args:
            status: its HTTP status.
            headers: its header lines.
            body: its body, content encoding undone; what is beyond `FILE_MAX` is cut off.
            now: Unix time in seconds.
            truncated: the body was cut off already.
        """
        if status in _REDIRECTS:
            target = self._target(headers)
            if target is not None:
                self.next_url = target
                return None
            # More than five, a loop, no Location, another scheme: as for any 4xx, there are no rules.
            status, body = _NO_SUCH_FILE, b""
        truncated = truncated or len(body) > FILE_MAX
        file = OriginFile(self.url, status, headers, body[:FILE_MAX], now, truncated)
        return None if file.unreachable and self._try_again() else file

    def failed(self, *, now: float | None, timed_out: bool = False) -> OriginFile | None:
        """No answer could be had.

        Args:
            now: Unix time in seconds.
            timed_out: it was waited for in vain; else a DNS, TLS or network error.
        """
        if not timed_out and self._try_again():
            return None
        return OriginFile(self.url, 0, fetched=now)

    def _try_again(self) -> bool:
        self._retries -= 1
        return self._retries >= 0

    def _target(self, headers: Headers) -> str | None:
        self._followed.add(self.next_url)
        location = next((value for name, value in headers if name.lower() == "location"), "").strip()
        if not location or len(self._followed) > REDIRECTS_MAX:
            return None
        try:
            target = can_ada.parse(urljoin(self.next_url, location))
        except (ValueError, TypeError):
            return None
        target.hash = ""
        if target.protocol not in {"http:", "https:"} or target.href in self._followed:
            return None
        return str(target.href)
