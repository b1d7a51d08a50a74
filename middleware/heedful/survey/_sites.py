"""What is to be surveyed: domains, hosts and URLs, as they come; each site once, in a queue on disk."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import can_ada

from heedful.origins.addresses import literal
from heedful.registry.sources import _files, _formats, _rows, _text
from heedful.registry.sources._items import Reject, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HOST_MAX: Final = 253
"""Longest host name, in characters (RFC 1035, section 2.3.4, less the length octets)."""

SCHEMES: Final = ("https", "http")
"""What a site without a scheme is asked by: the second only when the first gives no answer at all."""

_AT_ONCE: Final = 1_000
_COMMENT: Final = re.compile(r"(?:^|\s)#.*")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HOST: Final = re.compile(r"[a-z0-9_.-]+")
_COLUMNS: Final = ("url", "domain", "host")


class Site(NamedTuple):
    """A site to be asked.

    Attributes:
        name: host and port, as `example.com`; with a scheme before it where one was given: the origin.
        origins: the origins that are tried, in their order.
    """

    name: str
    origins: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Site:
        """The site of a domain, a host, perhaps with a port, or a URL.

        Nothing is added to a name: `example.com` and `www.example.com` are two sites.

        Raises:
            ValueError: it is none.
        """
        text = text.strip()
        scheme = _SCHEME.match(text)
        if scheme is not None and scheme[0].lower() not in {"http://", "https://"}:
            raise ValueError("it is neither a domain nor an http(s) URL")
        # All that tells one origin from another stands before the path.
        start = scheme.end() if scheme is not None else 0
        authority = re.split(r"[/?#\\]", text[start:], maxsplit=1)[0]
        return _site(scheme[0].lower() if scheme is not None else "", authority)


@lru_cache(maxsize=4096)  # lists of URLs name the same hosts again and again
def _site(scheme: str, authority: str) -> Site:
    if not authority:
        raise ValueError("it has no host")
    if "@" in authority:
        raise ValueError("it has an @: neither a domain nor a URL without a user's name")
    try:
        parsed = can_ada.parse((scheme or "https://") + authority)
    except (ValueError, TypeError) as error:  # TypeError: lone surrogates
        raise ValueError("it is no host name") from error
    name = str(parsed.hostname)
    host = name.rstrip(".")
    address = literal(host)
    if address and host.strip("[]") not in authority.lower() and ":" not in host:
        raise ValueError(f"it is read as the address {host}: write it so")
    if not address and (not _HOST.fullmatch(host) or len(host) > HOST_MAX or ".." in host):
        raise ValueError("it is no host name")
    if not address and "." not in host:
        raise ValueError("it has no dot: a domain is such as example.com")
    port = f":{parsed.port}" if parsed.port else ""
    if scheme:
        origin = f"{scheme}{host}{port}"
        return Site(origin, (origin,))
    return Site(host + port, tuple(f"{each}://{host}{port}" for each in SCHEMES))


class Rejected(NamedTuple):
    """Something in the input that is no site.

    Attributes:
        source: the file, or `arguments`.
        line: its line or row there, from 1.
        text: what stands there, cut.
        why: what is wrong with it.
    """

    source: str
    line: int
    text: str
    why: str


def from_arguments(texts: Iterable[str]) -> Iterator[Site | Rejected]:
    """The sites that were named one by one."""
    for number, text in enumerate(texts, 1):
        yield _parsed("arguments", number, text)


def from_file(source: str) -> Iterator[Site | Rejected]:
    """The sites of a list: one a line, or a table with a column `domain`, `host` or `url`.

    Args:
        source: a path or URL, of a file or a folder, perhaps with wildcards; `-` for standard input. Tables
            are CSV and the like, JSON Lines or Parquet; text may be compressed. `#` begins a comment.

    Raises:
        SourceError: it cannot be read.
    """
    for file in _files.find(source):
        if file.size == 0:
            continue
        with closing(_files.Stream(file)) as stream:
            try:
                yield from _from_stream(stream, file.name)
            except SourceError as error:
                faults = (fault if file.name in fault else f"{file.name}: {fault}." for fault in error.faults)
                raise SourceError(*faults) from error


def _from_stream(stream: _files.Stream, name: str) -> Iterator[Site | Rejected]:
    head, _ = stream.head(_formats.HEAD)
    table = None
    if head.startswith(_formats.PARQUET):
        if stream.compressed or not stream.raw.seekable():
            raise SourceError("it is Parquet, which is read from plain files only")
        table = _rows.parquet_table(stream.raw, general=False)
    elif _formats.is_json(head):
        table = _rows.json_table(stream, general=False)
    elif _rows.header(_first_line(head)) is not None:
        table = _rows.csv_table(stream, general=False)
    if table is None:
        for number, line in _text.lines(stream):
            if text := _COMMENT.sub("", line).strip():
                yield _parsed(name, number, text)
        return
    places = [place for place, column in enumerate(table.columns) if column in _COLUMNS]
    if not places:
        raise SourceError("it has no column domain, host or url")
    for row in table.rows:
        if isinstance(row, Reject):
            yield Rejected(name, row.line, row.text, row.why)
            continue
        number, cells = row
        cell = next((cells[place] for place in places if cells[place]), None)
        if cell is not None:
            yield _parsed(name, number, cell)


def _first_line(head: bytes) -> str:
    lines = head.decode("utf-8-sig", "replace").split("\n")
    return next((line.strip() for line in lines if line.strip()), "")


def _parsed(source: str, number: int, cell: Any) -> Site | Rejected:
    if not isinstance(cell, str):
        return Rejected(source, number, str(cell)[:200], "it is no text")
    try:
        return Site.parse(cell)
    except ValueError as error:
        return Rejected(source, number, cell[:200], str(error))


class Queue:
    """The sites that are still to be asked, each once, in the order in which they came.

    It lies in a temporary file of SQLite's, which ends with the process: memory stays small however long the
    list is. Not safe to share between threads.
    """

    def __init__(self) -> None:
        """Make an empty one."""
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            "CREATE TABLE sites (number INTEGER PRIMARY KEY, name TEXT UNIQUE, done INTEGER DEFAULT 0)"
        )
        self.given = 0

    def add(self, sites: Iterable[Site]) -> None:
        """Put sites in, unless they are there already."""
        with self._transaction():
            for site in sites:
                self.given += 1
                self._database.execute("INSERT OR IGNORE INTO sites (name) VALUES (?)", (site.name,))

    def done(self, names: Iterable[str]) -> None:
        """Take out what needs not be asked any more."""
        with self._transaction():
            self._database.executemany(
                "UPDATE sites SET done = 1 WHERE name = ?", ((name,) for name in names)
            )

    @property
    def all(self) -> int:
        """How many different sites were put in."""
        return int(self._database.execute("SELECT count(*) FROM sites").fetchone()[0])

    def __len__(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM sites WHERE NOT done").fetchone()[0])

    def __iter__(self) -> Iterator[Site]:
        last = 0
        while found := self._database.execute(
            "SELECT number, name FROM sites WHERE number > ? AND NOT done ORDER BY number LIMIT ?",
            (last, _AT_ONCE),
        ).fetchall():
            for last, name in found:  # noqa: B007 - the next question begins after the last of them
                yield Site.parse(name)

    def close(self) -> None:
        """Remove it."""
        self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN")
        yield
        self._database.execute("COMMIT")
