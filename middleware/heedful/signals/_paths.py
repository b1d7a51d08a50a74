"""Path patterns with `*` and a trailing `$`, as robots.txt, TDMRep and others share them.

Both sides are brought into one percent-encoded form before they are compared (RFC 9309, section 2.2.2):
escapes of unreserved characters are decoded, what cannot stand in a URL is encoded, the rest keeps its form,
so that `%2F` and `/` stay distinct. A literal `*` or `$` becomes `%2A` or `%24` on both sides.
"""

from __future__ import annotations

import re
from functools import lru_cache

import can_ada

URL_MAX = 16_384
"""Longest URL that is judged, in characters; twice what common servers accept (8 KiB)."""

_REMEMBERED_MAX = 1024
"""Longest URL of which it is remembered how it is taken apart, in characters."""

_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPE_OR_FOREIGN = re.compile(r"%[0-9A-Fa-f]{2}|[^!&'()+,\-./:;=?@\[\]_~0-9A-Za-z%]")


def _canonical(match: re.Match[str]) -> str:
    text = match[0]
    if len(text) == 3:
        octet = chr(int(text[1:], 16))
        return octet if octet in _UNRESERVED else text.upper()
    undecodable = "\udc80" <= text <= "\udcff"
    octets = text.encode("utf-8", "surrogateescape" if undecodable else "surrogatepass")
    return "".join(f"%{octet:02X}" for octet in octets)


def canonical(text: str) -> str:
    """`text` in the one percent-encoded form; `*` and `$` are taken as literals.

    A character that came from undecodable bytes (surrogateescape) stands for these bytes.
    """
    return _ESCAPE_OR_FOREIGN.sub(_canonical, text)


def split_url(url: str) -> tuple[str, str] | None:
    """The origin (`scheme://host[:port]`) and the canonical path and query of an http(s) URL.

    None for what is no such URL, or is longer than `URL_MAX`.
    """
    if len(url) > _REMEMBERED_MAX:
        return None if len(url) > URL_MAX else _split_url.__wrapped__(url)
    return _split_url(url)


@lru_cache(maxsize=4096)  # a picture's URL is judged at every stage
def _split_url(url: str) -> tuple[str, str] | None:
    try:
        parsed = can_ada.parse(url)
    except (ValueError, TypeError):  # TypeError: lone surrogates
        return None
    if parsed.protocol not in {"http:", "https:"}:
        return None
    query = parsed.search or ("?" if parsed.has_search() else "")
    return parsed.origin, canonical(parsed.pathname + query)


class PathPattern:
    """One pattern, ready to be matched against targets in canonical form.

    Attributes:
        length: octets of the pattern in canonical form, by which the most specific one is found.
        head: the literal start, up to the first `*`.
    """

    __slots__ = ("_anchored", "_middle", "_tail", "head", "length")

    def __init__(self, pattern: str) -> None:
        anchored = pattern.endswith("$")
        parts = [canonical(part) for part in (pattern[:-1] if anchored else pattern).split("*")]
        self.length = sum(map(len, parts)) + len(parts) - 1 + anchored
        self.head = parts[0]
        self._anchored = anchored
        self._tail: str | None = parts[-1] if anchored and len(parts) > 1 else None
        middle = parts[1:-1] if self._tail is not None else parts[1:]
        self._middle = tuple(part for part in middle if part)

    @property
    def literal(self) -> bool:
        """The pattern is a plain prefix: neither `*` nor `$` in it."""
        return not self._middle and not self._anchored

    def matches(self, target: str) -> bool:
        """Whether the pattern matches `target` from its start; linear in the target for each `*`."""
        if not target.startswith(self.head):
            return False
        position = len(self.head)
        for part in self._middle:
            found = target.find(part, position)
            if found < 0:
                return False
            position = found + len(part)
        if self._tail is not None:
            return len(target) - len(self._tail) >= position and target.endswith(self._tail)
        return not self._anchored or position == len(target)
