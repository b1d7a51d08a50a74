"""An SQLite file that all processes of a machine share, and that none of them depends on.

It can only save work. What is wrong with it is a warning and an empty file, never an answer: a damaged file
is moved aside and begun anew; a full disk, a folder that cannot be written, a lock that is not given are
waited out. Threads share one connection; a fork closes it.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import threading
import time
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)

BUSY: Final = 5.0
"""Seconds to wait for another process that is writing."""

HURRY: Final = 0.05
"""Seconds to wait where that has just been in vain: a process halted amid a write must not halt others."""

HURRIED_FOR: Final = 30.0
"""Seconds for which there is such hurry."""

RENEWALS_MAX: Final = 3
"""Damaged files that are moved aside before a process goes on without: the disk may be failing."""

DAMAGED: Final = ".damaged"
"""What the name of a file that was moved aside ends with."""

_SUFFIX: Final = ".sqlite3"
_PAUSE: Final = 0.01  # seconds between two attempts to open a file that others are just making

_LOCKED: Final = "database is locked"

_PASSING: Final = (
    _LOCKED,
    "database table is locked",
    "database or disk is full",
    "attempt to write a readonly database",
    "unable to open database file",
    "disk I/O error",
    "locking protocol",
    "access permission denied",
)
"""SQLite's words for what is about the disk or other processes, not about what is in the file.

Python 3.10 tells no error codes.
"""

_T = TypeVar("_T")


class DamagedError(Exception):
    """What stands in the file is not what was written."""


class SqliteFile:
    """One such file. Safe to share between threads, and to carry over a fork."""

    def __init__(self, folder: Path, stem: str, schema: str, what: str) -> None:
        """Make it; it is opened when it is needed.

        Args:
            folder: where the file is, or will be.
            stem: what its name begins with; it names the version of the schema.
            schema: SQL that makes the tables that are not there yet.
            what: what it holds, in words, for warnings.
        """
        self.path = folder
        self._folder = folder
        self._stem = stem
        self._numbered = re.compile(re.escape(stem) + r"-([0-9]{1,9})\..+")
        self._schema = schema
        self._what = what
        self._lock = threading.Lock()
        self._renewals = 0
        self._warned = False
        self._hurried_until: float | None = None
        self._connection: sqlite3.Connection | None = None
        with _FORKING:
            _FORKED.add(self)

    def run(self, act: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """What `act` gives, one thread at a time; None if the file is of no use now."""
        with self._lock:
            if self._renewals > RENEWALS_MAX:
                return None
            if self._hurried_until is not None and time.monotonic() >= self._hurried_until:
                self._hurried_until = None
                self._drop()  # to be opened with more patience
            try:
                if self._connection is None:
                    self._connection = self._open()
                return act(self._connection)
            except (sqlite3.Error, DamagedError, OSError) as error:
                self._drop()
                if str(error).startswith(_LOCKED):
                    self._hurried_until = time.monotonic() + HURRIED_FOR
                if isinstance(error, OSError) or str(error).startswith(_PASSING):
                    if not self._warned:
                        self._warned = True
                        logger.warning("%s cannot be kept in %s now: %s.", self._what, self.path, error)
                else:
                    self._move_aside(error)
                return None

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

    def _open(self) -> sqlite3.Connection:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.path = self._folder / f"{self._stem}-{self._generation()}{_SUFFIX}"
        wait = BUSY if self._hurried_until is None else HURRY
        connection = sqlite3.connect(self.path, timeout=wait, isolation_level=None, check_same_thread=False)
        try:
            end = time.monotonic() + wait
            while not self._prepared(connection, last=time.monotonic() > end):
                time.sleep(_PAUSE)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepared(self, connection: sqlite3.Connection, *, last: bool) -> bool:
        """Whether the tables are there. A new file is refused at once, unwaited, while another makes it."""
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(self._schema)
        except sqlite3.OperationalError as error:
            if last or not str(error).startswith(_LOCKED):
                raise
            return False
        return True

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _files(self) -> Iterator[tuple[int, Path]]:
        for path in self._folder.iterdir():
            if found := self._numbered.fullmatch(path.name):
                yield int(found[1]), path

    def _generation(self) -> int:
        """The number of the file in use: one more than that of the last damaged one.

        A file that other processes have open may not be replaced by one of the same name: with their last
        connection they would remove the write-ahead log of the new one.
        """
        return 1 + max((number for number, path in self._files() if path.suffix == DAMAGED), default=0)

    def _move_aside(self, error: Exception) -> None:
        self._renewals += 1
        damaged = self.path.with_suffix(DAMAGED)
        logger.warning("%s in %s are damaged (%s): set aside, begun anew.", self._what, self.path, error)
        try:
            with suppress(FileNotFoundError):  # another process was quicker
                self.path.replace(damaged)
            last = self._generation() - 1
            for number, path in list(self._files()):
                if number < last:
                    path.unlink(missing_ok=True)
        except OSError as why:
            self._renewals = RENEWALS_MAX + 1
            logger.warning("%s cannot be moved aside (%s): nothing is kept.", self.path, why)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All that is written within, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def used(connection: sqlite3.Connection) -> int:
    """Bytes in use; what was deleted is used again before the file grows."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


# -- forks -----------------------------------------------------------------------------------------------

_FORKED: Final[weakref.WeakSet[SqliteFile]] = weakref.WeakSet()
_FORKING: Final = threading.Lock()
_paused: list[SqliteFile] = []  # while `_FORKING` is held


def _before_fork() -> None:
    _FORKING.acquire()
    for file in list(_FORKED):
        file.before_fork()
        _paused.append(file)


def _after_fork() -> None:
    while _paused:
        _paused.pop().after_fork()
    _FORKING.release()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
