"""Answers of remote registries on disk: one SQLite file that all processes of a machine share.

It can only save requests. What is wrong with it is a warning and an empty cache, never an answer: each row
carries a checksum, and a damaged file is moved aside.
"""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING, Final, NamedTuple

from heedful._sqlite import DamagedError, SqliteFile, transaction, used
from heedful.registry.remote._answers import Answer

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

CACHE_MAX: Final = 2**30
"""Bytes of the file, above which the answers that expire first are dropped: some three million."""

PRUNE_EVERY: Final = 64
"""Writes between two looks at the size."""

_PRUNED: Final = 10_000  # rows dropped at once
_ASKED: Final = 900  # keys in one query; SQLite's limit on variables was 999 before 3.32

_STEM: Final = "remote-answers-v1"  # v1: the form of the table below

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS answers (
    registry BLOB NOT NULL, key BLOB NOT NULL, text TEXT NOT NULL,
    opt_out INTEGER NOT NULL, opt_in INTEGER NOT NULL, raw TEXT NOT NULL,
    fetched REAL NOT NULL, expires REAL NOT NULL, seal BLOB NOT NULL,
    PRIMARY KEY (registry, key, text)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_expiry ON answers (expires);
"""
_SELECT: Final = "SELECT * FROM answers WHERE registry = ? AND key IN ({})"
_INSERT: Final = "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_DELETE_FIRST: Final = """
DELETE FROM answers
WHERE expires <= (SELECT max(expires) FROM (SELECT expires FROM answers ORDER BY expires LIMIT ?))
"""

_Values = tuple[bytes, bytes, str, int, int, str, float, float]


class Row(NamedTuple):
    """An answer, and the key and text that it answers."""

    key: bytes
    text: str
    answer: Answer


class AnswerCache:
    """The answers of one registry. Safe to share between threads, and to carry over a fork."""

    def __init__(
        self,
        folder: Path,
        registry: str,
        *,
        lifetime: float,
        now: Callable[[], float],
        bytes_max: int = CACHE_MAX,
    ) -> None:
        """Open it.

        Args:
            folder: where the file is, or will be.
            registry: what tells this registry's answers from those of others.
            lifetime: seconds for which an answer is good.
            now: Unix time in seconds.
            bytes_max: size of the file that is aimed at.
        """
        self._registry = hashlib.blake2b(registry.encode(), digest_size=16).digest()
        self._lifetime = lifetime
        self._now = now
        self._bytes_max = bytes_max
        self._writes = itertools.count(1)
        self._file = SqliteFile(folder, _STEM, _SCHEMA, "Registry answers")
        self._file.run(self._prune)

    def get(self, keys: Iterable[bytes]) -> dict[bytes, dict[str, Answer]]:
        """The answers that are still good, by key, then by the text that was asked for."""
        wanted = list(dict.fromkeys(keys))
        return self._file.run(lambda connection: self._get(connection, wanted)) or {}

    def put(self, rows: Iterable[Row]) -> None:
        """Keep answers; an older one to the same text is replaced."""
        expires = self._now() + self._lifetime
        values = [self._values(row, expires) for row in rows]
        self._file.run(lambda connection: self._put(connection, values))

    def close(self) -> None:
        """Close the file; what comes later is neither found nor kept."""
        self._file.close()

    def _get(self, connection: sqlite3.Connection, keys: list[bytes]) -> dict[bytes, dict[str, Answer]]:
        now = self._now()
        found: dict[bytes, dict[str, Answer]] = {}
        for start in range(0, len(keys), _ASKED):
            some = keys[start : start + _ASKED]
            query = _SELECT.format(",".join("?" * len(some)))
            for row in connection.execute(query, (self._registry, *some)):
                values: _Values = row[:-1]
                if row[-1] != _seal(values):
                    raise DamagedError("a checksum does not fit")
                _, key, text, opt_out, opt_in, raw, fetched, expires = values
                # a clock that was set back does not make answers last longer
                if fetched <= now < min(expires, fetched + self._lifetime):
                    answer = Answer(opt_out=bool(opt_out), opt_in=bool(opt_in), fetched=fetched, raw=raw)
                    found.setdefault(key, {})[text] = answer
        return found

    def _values(self, row: Row, expires: float) -> _Values:
        answer = row.answer
        return (
            self._registry,
            row.key,
            row.text,
            int(answer.opt_out),
            int(answer.opt_in),
            answer.raw,
            float(answer.fetched),
            float(expires),
        )

    def _put(self, connection: sqlite3.Connection, rows: Sequence[_Values]) -> None:
        with transaction(connection):
            connection.executemany(_INSERT, [(*values, _seal(values)) for values in rows])
        if next(self._writes) % PRUNE_EVERY == 0:
            self._prune(connection)

    def _prune(self, connection: sqlite3.Connection) -> None:
        """Drop what has expired; then, while the file is too large, what expires first."""
        with transaction(connection):
            connection.execute("DELETE FROM answers WHERE expires <= ?", (self._now(),))
        dropped = 1
        while dropped > 0 and used(connection) > self._bytes_max:
            with transaction(connection):
                dropped = connection.execute(_DELETE_FIRST, (_PRUNED,)).rowcount


def _seal(values: _Values) -> bytes:
    return hashlib.blake2b(repr(values).encode("utf-8", "surrogatepass"), digest_size=8).digest()
