"""Lists with a name a line: URLs, domains, hosts files."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from heedful.registry.entries import TEXT_MAX, Entry, Kind, url_key
from heedful.registry.sources._items import PLAIN, Defaults, Reject, Urls, checked, reject
from heedful.registry.sources._text import LINE_MAX, TOO_LONG, batches, decoded, lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ANY_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")

_COMMENT: Final = re.compile(r"(?:^|\s)#.*")

NO_URL: Final = "it is no URL"


def is_url(text: str) -> bool:
    """Whether a bare text is meant as a URL: it parses as one, perhaps without scheme, or has a scheme."""
    return url_key(text)[:1] == b"u" or _ANY_SCHEME.match(text) is not None


def read_urls(chunks: Iterable[bytes], defaults: Defaults) -> Iterator[Entry | Reject | Urls]:
    """A URL a line; lines that begin with `#` are comments. With a `kind`, an entry of it a line."""
    kind, terms = defaults.kind or Kind.URL, defaults.terms
    for first, batch in batches(decoded(chunks)):
        plain: list[str] = []
        for number, line in enumerate(batch, first):
            text = line.strip()
            if kind is Kind.URL and text.startswith(PLAIN) and len(text) <= TEXT_MAX:
                plain.append(text)
            elif not text or text[0] == "#":
                continue
            elif len(line) > LINE_MAX:
                yield reject(number, text, TOO_LONG)
            elif kind is Kind.URL and len(text) <= TEXT_MAX and not is_url(text):
                yield reject(number, text, f"{NO_URL}; for bare names use the format domains")
            else:
                yield checked(terms, kind, text, number)
        if plain:
            yield Urls(plain, terms)


def bare_name(text: str) -> str:
    """A host's or domain's name from a line that has nothing else.

    Raises:
        ValueError: it is a single word: taken as a top-level domain it would cover more than anyone meant.
    """
    name = text.removesuffix("/").removesuffix(".")
    if "." not in name.removeprefix("*.").removeprefix(".") and "[" not in name:
        raise ValueError("it has no dot: for a whole top-level domain write domain,NAME below kind,entry")
    return text


def read_domains(chunks: Iterable[bytes], defaults: Defaults) -> Iterator[Entry | Reject]:
    """A domain a line, perhaps after `*.`; `#` begins a comment."""
    kind = defaults.kind or Kind.DOMAIN
    for number, line in lines(chunks):
        text = _COMMENT.sub("", line).rstrip() if "#" in line else line
        if len(line) > LINE_MAX:
            yield reject(number, line, TOO_LONG)
        elif text:
            try:
                bare_name(text)
            except ValueError as error:
                yield reject(number, line, str(error))
            else:
                yield checked(defaults.terms, kind, text, number, line)


_LOCAL: Final = frozenset(
    {
        "localhost",
        "localhost.localdomain",
        "localhost4",
        "localhost4.localdomain4",
        "localhost6",
        "localhost6.localdomain6",
        "local",
        "broadcasthost",
        "ip6-localhost",
        "ip6-loopback",
        "ip6-localnet",
        "ip6-mcastprefix",
        "ip6-allnodes",
        "ip6-allrouters",
        "ip6-allhosts",
        "0.0.0.0",  # noqa: S104 - common block lists name it
    }
)
"""Names that hosts files give to the machine itself and to its network."""


@lru_cache(maxsize=64)
def blocks(address: str) -> bool | None:
    """Whether a hosts file's address leads nowhere: unspecified or loopback; None: it is no address."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return None
    return ip.is_unspecified or ip.is_loopback


def read_hosts(chunks: Iterable[bytes], defaults: Defaults) -> Iterator[Entry | Reject]:
    """A hosts file: an address that leads nowhere, then names; `#` begins a comment."""
    kind = defaults.kind or Kind.HOST
    for number, line in lines(chunks):
        if len(line) > LINE_MAX:
            yield reject(number, line, TOO_LONG)
            continue
        address, *given = line.partition("#")[0].split() or [""]
        names = [name for name in given if name.lower() not in _LOCAL]
        if not address or (given and not names):
            continue
        if not names:
            yield reject(number, line, "it has no names after an address, as in 0.0.0.0 example.com")
        elif (leads_nowhere := blocks(address)) is None:
            yield reject(number, line, "it does not begin with an IP address")
        elif not leads_nowhere:
            yield reject(number, line, f"{address} does not block; 0.0.0.0, ::, 127.0.0.1 and ::1 do")
        else:
            for name in names:
                try:
                    bare_name(name)
                except ValueError as error:
                    yield reject(number, line, f"{name}: {error}")
                else:
                    yield checked(defaults.terms, kind, name, number, line)
