"""SURT keys, as in the indexes of Common Crawl: `com,example)/path?query`.

The form is that of webarchive-commons' WaybackURLKeyMaker: no scheme, no user; a leading `www.`, `www1.` and
so on is dropped; labels reversed; a port only if it is not the scheme's default; path and query unescaped
until nothing changes, escaped once, in lower case; no empty or dot segments, no slash at the end; session
ids gone; parameters sorted; no empty query. Many URLs share a key, so it finds candidates: the entry decides.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from heedful.registry.entries import Kind, address, index, url_key

if TYPE_CHECKING:
    from heedful.registry.entries import Address, Entry

_WWW: Final = re.compile(r"www[0-9]*\.")

_ESCAPED: Final = re.compile(rb"[^!-~]|[#%]")

_PATH_SESSIONS: Final = (
    re.compile(r"(.*/)\((?:[a-z]\([0-9a-z]{24}\))+\)/([^?]+\.aspx.*)", re.DOTALL),
    re.compile(r"(.*/)\([0-9a-z]{24}\)/([^?]+\.aspx.*)", re.DOTALL),
)

_QUERY_SESSIONS: Final = tuple(
    re.compile(rf"(.*){session}(?:&(.*))?", re.DOTALL)
    for session in (
        "jsessionid=[0-9a-z]{32}",
        "phpsessid=[0-9a-z]{32}",
        "sid=[0-9a-z]{32}",
        "aspsessionid[a-z]{8}=[a-z]{24}",
        "cfid=[^&]+&cftoken=[^&]+",
    )
)

_UNSURE: Final = re.compile(r"[?(]|%25|%[0-9A-Fa-f]?$")
"""From here on the key of a URL may go on otherwise than its path: parameters are sorted, sessions dropped,
what is escaped twice is unescaped."""


def surt(url: str) -> str:
    """The key of a URL; empty for what is none of http(s)."""
    found = address(url)
    return "" if found is None else _host(found.host) + found.port + ")" + _target(found)


def surt_of(entry: Entry) -> str:
    """The key of what an entry names.

    Of a URL its key; of a host that of its start page; of a path or pattern what the keys of all that it
    names begin with, as far as that is certain; of a domain the same, where `)` or `,` must follow. Of a
    digest, a fingerprint, and of a URL that does not parse, the empty string.
    """
    if entry.kind is Kind.URL:
        return surt(entry.text) or (surt("http://" + entry.text) if url_key(entry.text)[:1] == b"u" else "")
    if entry.kind in {Kind.SHA256, Kind.MD5, Kind.PHASH}:
        return ""
    key = index(entry.kind, entry.text).key[1:].decode()
    if entry.kind is Kind.HOST:
        return _host(key) + ")/"
    if entry.kind is Kind.DOMAIN:
        return _host(key)
    scope, slash, path = key.partition("/")
    host, colon, port = scope.removeprefix("*.").rpartition(":")
    if not port.isdigit():
        host, colon, port = scope.removeprefix("*."), "", ""
    if scope.startswith("*."):
        return _host(host)  # the labels below it come before the path
    return _host(host) + colon + port + ")" + _path(_UNSURE.split(slash + path, maxsplit=1)[0])


def _host(host: str) -> str:
    if www := _WWW.match(host):
        host = host[www.end() :]
    return ",".join(reversed(host.split(".")))


def _target(found: Address) -> str:
    path, _, query = found.target.partition("?")
    path = _path(path)
    for pattern in _PATH_SESSIONS:
        if session := pattern.fullmatch(path):
            path = session[1] + session[2]
    query = _unescaped(query)
    for pattern in _QUERY_SESSIONS:
        if session := pattern.fullmatch(query):
            query = session[1] + (session[2] or "")
    if not query:
        return path
    return path + "?" + "&".join(sorted(query.split("&"), key=lambda pair: tuple(pair.split("=", 1))))


def _path(path: str) -> str:
    kept: list[str] = []
    for segment in _unescaped(path).split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in {"", "."}:
            kept.append(segment)
    return "/" + "/".join(kept)


def _unescaped(text: str) -> str:
    """Unescaped until nothing changes, then escaped once; in lower case."""
    octets = text.encode()
    while (further := unquote_to_bytes(octets)) != octets:
        octets = further
    return _ESCAPED.sub(lambda sign: b"%%%02x" % sign[0][0], octets).decode().lower()
