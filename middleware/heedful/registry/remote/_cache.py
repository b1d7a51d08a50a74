"""Answers of remote registries on disk: one SQLite file that all processes of a machine share.

It can only save requests. What is wrong with it is a warning and an empty cache, never an answer: each row
carries a checksum, and a damaged file is moved aside.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import re
import sqlite3
import threading
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from heedful.registry.remote._answers import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)

CACHE_MAX: Final = 2**30
"""Bytes of the file, above which the answers that expire first are dropped: some three million."""

PRUNE_EVERY: Final = 64
"""Writes between two looks at the size."""

BUSY: Final = 5.0
"""Seconds to wait for another process that is writing."""

RENEWALS_MAX: Final = 3
"""Damaged files that are moved aside before a process goes on without a cache: the disk may be failing."""

_PRUNED: Final = 10_000  # rows dropped at once
_ASKED: Final = 900  # keys in one query; SQLite's limit on variables was 999 before 3.32

_FILE: Final = "remote-answers-v1-{}.sqlite3"  # v1: the form of the table below
_NUMBERED: Final = re.compile(r"remote-answers-v1-([0-9]{1,9})\..+")
_DAMAGED: Final = ".damaged"

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

_PASSING: Final = (
    "database is locked",
    "database table is locked",
    "database or disk is full",
    "attempt to write a readonly database",
    "unable to open database file",
    "disk I/O error",
    "access permission denied",
)
"""SQLite's words for what is about the disk or other processes, not about what is in the file.

Python 3.10 tells no error codes.
"""

_T = TypeVar("_T")
_Values = tuple[bytes, bytes, str, int, int, str, float, float]


class Row(NamedTuple):
    """An answer, and the key and text that it answers."""

    key: bytes
    text: str
    answer: Answer


class _DamagedError(Exception):
    """A row is not what was written."""


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
        self._folder = folder
        self._registry = hashlib.blake2b(registry.encode(), digest_size=16).digest()
        self._lifetime = lifetime
        self._now = now
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._writes = itertools.count(1)
        self._renewals = 0
        self._warned = False
        self._connection: sqlite3.Connection | None = None
        self._path = folder
        with self._lock:
            self._try(self._prune)
        _FORKED.add(self)

    def get(self, keys: Iterable[bytes]) -> dict[bytes, dict[str, Answer]]:
        """The answers that are still good, by key, then by the text that was asked for."""
        wanted = list(dict.fromkeys(keys))
        with self._lock:
            return self._try(lambda connection: self._get(connection, wanted)) or {}

    def put(self, rows: Iterable[Row]) -> None:
        """Keep answers; an older one to the same text is replaced."""
        expires = self._now() + self._lifetime
        values = [self._values(row, expires) for row in rows]
        with self._lock:
            self._try(lambda connection: self._put(connection, values))

    def close(self) -> None:
        """Close the file; what comes later is neither found nor kept."""
        with self._lock:
            self._renewals = RENEWALS_MAX + 1
            self._drop()

    def before_fork(self) -> None:
        """Close the file, as SQLite wants it before a fork; it is opened again when it is needed."""
        self._lock.acquire()
        self._drop()

    def after_fork(self) -> None:
        """Go on."""
        self._lock.release()

    # -- the lock is held ----------------------------------------------------------------------------------

    def _try(self, act: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """What `act` gives; None if the file is of no use."""
        if self._renewals > RENEWALS_MAX:
            return None
        try:
            if self._connection is None:
                self._connection = self._open()
            return act(self._connection)
        except (sqlite3.Error, _DamagedError, OSError) as error:
            self._drop()
            if isinstance(error, OSError) or str(error).startswith(_PASSING):
                if not self._warned:
                    self._warned = True
                    logger.warning("Registry answers cannot be kept in %s now: %s.", self._path, error)
            else:
                self._move_aside(error)
            return None

    def _open(self) -> sqlite3.Connection:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path = self._folder / _FILE.format(self._generation())
        connection = sqlite3.connect(self._path, timeout=BUSY, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        return connection

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _files(self) -> Iterator[tuple[int, Path]]:
        for path in self._folder.iterdir():
            if found := _NUMBERED.fullmatch(path.name):
                yield int(found[1]), path

    def _generation(self) -> int:
        """The number of the file in use: one more than that of the last damaged one.

        A file that other processes have open may not be replaced by one of the same name: with their last
        connection they would remove the write-ahead log of the new one.
        """
        return 1 + max((number for number, path in self._files() if path.suffix == _DAMAGED), default=0)

    def _move_aside(self, error: Exception) -> None:
        self._renewals += 1
        damaged = self._path.with_suffix(_DAMAGED)
        logger.warning("The registry answers in %s are damaged (%s): begun anew.", self._path, error)
        try:
            with suppress(FileNotFoundError):  # another process was quicker
                self._path.replace(damaged)
            last = self._generation() - 1
            for number, path in list(self._files()):
                if number < last:
                    path.unlink(missing_ok=True)
        except OSError as why:
            self._renewals = RENEWALS_MAX + 1
            logger.warning("%s cannot be moved aside (%s): answers are not kept.", self._path, why)

    def _get(self, connection: sqlite3.Connection, keys: list[bytes]) -> dict[bytes, dict[str, Answer]]:
        now = self._now()
        found: dict[bytes, dict[str, Answer]] = {}
        for start in range(0, len(keys), _ASKED):
            some = keys[start : start + _ASKED]
            query = _SELECT.format(",".join("?" * len(some)))
            for row in connection.execute(query, (self._registry, *some)):
                values: _Values = row[:-1]
                if row[-1] != _seal(values):
                    raise _DamagedError("a checksum does not fit")
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
        with _transaction(connection):
            connection.executemany(_INSERT, [(*values, _seal(values)) for values in rows])
        if next(self._writes) % PRUNE_EVERY == 0:
            self._prune(connection)

    def _prune(self, connection: sqlite3.Connection) -> None:
        """Drop what has expired; then, while the file is too large, what expires first."""
        with _transaction(connection):
            connection.execute("DELETE FROM answers WHERE expires <= ?", (self._now(),))
        dropped = 1
        while dropped > 0 and _used(connection) > self._bytes_max:
            with _transaction(connection):
                dropped = connection.execute(_DELETE_FIRST, (_PRUNED,)).rowcount


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _used(connection: sqlite3.Connection) -> int:
    """Bytes in use; what was deleted is used again before the file grows."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _seal(values: _Values) -> bytes:
    return hashlib.blake2b(repr(values).encode("utf-8", "surrogatepass"), digest_size=8).digest()


# -- forks -----------------------------------------------------------------------------------------------


_FORKED: Final[weakref.WeakSet[AnswerCache]] = weakref.WeakSet()
_FORKING: Final = threading.Lock()
_paused: list[AnswerCache] = []  # while `_FORKING` is held


def _before_fork() -> None:
    _FORKING.acquire()
    for cache in list(_FORKED):
        cache.before_fork()
        _paused.append(cache)


def _after_fork() -> None:
    while _paused:
        _paused.pop().after_fork()
    _FORKING.release()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
