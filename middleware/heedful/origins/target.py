"""Where the URL of an origin file leads, and whether it is asked for at all."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final, NamedTuple

import can_ada

URL_MAX: Final = 8000
"""Length of a URL that is asked for; RFC 9110, section 4.1: at least 8000 octets should be supported."""

_ASKABLE: Final = re.compile(r"https?://[!-~]+")
_PORTS: Final = {"http:": 80, "https:": 443}


class Target(NamedTuple):
    """Where a URL leads.

    Attributes:
        secure: by TLS.
        host: name or address, an IPv6 address without its brackets.
        port: the port.
        authority: host and port as in a Host header: the port only where it is not the scheme's own.
        path: path and query.
    """

    secure: bool
    host: str
    port: int
    authority: str
    path: str

    @classmethod
    def of(cls, url: str) -> Target:
        """Take `url` apart.

        Raises:
            ValueError: no URL, or none of http(s).
        """
        parts = can_ada.parse(url)
        default = _PORTS.get(parts.protocol)
        if default is None or not parts.hostname:
            raise ValueError(f"{url} is no http(s) URL")
        host = str(parts.hostname).removeprefix("[").removesuffix("]")
        port = int(parts.port) if parts.port else default
        return cls(parts.protocol == "https:", host, port, parts.host, parts.pathname + parts.search)


def is_askable(url: str) -> bool:
    """Whether `url` is asked for, going by its form."""
    return len(url) <= URL_MAX and _ASKABLE.fullmatch(url) is not None


def host_of(url: str) -> str:
    """The host of `url`, as `Target.host`; empty if it has none."""
    with suppress(ValueError):
        return Target.of(url).host
    return ""
