"""The URLs of a recheck: each once, no host's all in a row; on disk, as there may be millions."""

from __future__ import annotations

import hashlib
import sqlite3
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from heedful.signals._paths import split_url

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

_SCHEMA: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE urls (digest BLOB NOT NULL PRIMARY KEY, state INTEGER NOT NULL, url BLOB) WITHOUT ROWID;
"""


class State(IntEnum):
    """What is known of a URL."""

    DECIDED = 0
    """It was decided before, and nobody has asked for it so far."""
    DECIDED_BEFORE = 1
    """It was decided before, and is asked for once more."""
    WAITING = 2
    UNASKABLE = 3
    """It is no http(s) URL."""


class Queue:
    """A file of URLs, of which each is handed out once, in the order of their hashes.

    Lists name pictures site by site; in this order a site's are spread over the whole run. It is the same
    order whenever the same URLs are put in.
    """

    def __init__(self, path: Path) -> None:
        """Begin with none; a file that is there is replaced.

        Raises:
            OSError: it cannot be.
        """
        path.unlink(missing_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def decided(self, urls: Iterable[str]) -> None:
        """Never hand out these. To be called first."""
        self._insert("DO NOTHING", ((_digest(url), State.DECIDED, None) for url in urls))

    def put(self, urls: Iterable[str]) -> None:
        """Hand out these, but those that are decided, or cannot be asked for."""
        known = f"DO UPDATE SET state = {State.DECIDED_BEFORE:d} WHERE state = {State.DECIDED:d}"
        self._insert(known, map(_row, urls))

    def count(self) -> dict[State, int]:
        """How many different URLs there are of each state."""
        found = dict(self._connection.execute("SELECT state, count(*) FROM urls GROUP BY state"))
        return {state: found.get(state, 0) for state in State}

    def _insert(self, known: str, rows: Iterable[tuple[bytes, State, bytes | None]]) -> None:
        self._connection.execute("BEGIN")
        self._connection.executemany(
            f"INSERT INTO urls VALUES (?, ?, ?) ON CONFLICT (digest) {known}",  # noqa: S608 - our own words
            rows,
        )
        self._connection.execute("COMMIT")


def waiting(path: Path) -> Generator[str, None, None]:
    """The URLs that a queue's file hands out."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        for (url,) in connection.execute("SELECT url FROM urls WHERE url IS NOT NULL ORDER BY digest"):
            yield url.decode()
    finally:
        connection.close()


def _row(url: str) -> tuple[bytes, State, bytes | None]:
    askable = split_url(url) is not None  # what is no Unicode text is no URL
    return _digest(url), State.WAITING if askable else State.UNASKABLE, url.encode() if askable else None


def _digest(url: str) -> bytes:
    # Not a faster one: who can make two URLs with one hash could have the second one passed over.
    return hashlib.blake2b(url.encode("utf-8", "surrogatepass"), digest_size=16).digest()
