"""Writes a worker's records so that what is in the ledger is whole.

On a local disk each record is one appended line, handed to the system before the picture goes on: kill -9
costs at most a torn last line. On other file systems, which cannot append, whole shards are written.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import fsspec
from fsspec.implementations.local import LocalFileSystem

from heedful.errors import LedgerError
from heedful.ledger.records import SUFFIX, Record, Run, first_link, to_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from heedful.model import Action, Reason, Verdict

PART: Final = ".part"
"""What the name of an atomic file ends with until it is whole."""

SHARD_BYTES: Final = 8 * 2**20
"""A remote shard is closed at this size; what a killed worker can lose at most, and as much under way."""


class Part(NamedTuple):
    """A record file that was closed.

    Attributes:
        name: its name, without `.jsonl`.
        records: how many there are in it.
        chain: what its last line is linked with, in hexadecimal digits.
    """

    name: str
    records: int
    chain: str


class _File:
    """The lines of one file, each linked to the one before."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._records = 0
        self._link = first_link(name)

    def add(self, record: Record, write: Callable[[bytes], object]) -> int:
        """Write a record; the bytes of its line."""
        line, link = to_line(record, self._link)
        write(line)
        self._link = link
        self._records += 1
        return len(line)

    @property
    def part(self) -> Part:
        return Part(self.name, self._records, self._link.hex())


class _Local:
    """One append-only file on a disk of this machine."""

    def __init__(self, folder: str, name: str, *, atomic: bool) -> None:
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - fsspec paths are strings
        self._path = os.path.join(folder, name + SUFFIX)  # noqa: PTH118
        self._part = self._path + PART if atomic else self._path
        begin = os.O_TRUNC if atomic else os.O_EXCL
        self._fd = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | begin, 0o644)
        self._size = 0
        self._file = _File(name)

    def add(self, record: Record) -> None:
        self._size += self._file.add(record, self._write)

    def _write(self, line: bytes) -> None:
        try:
            written = os.write(self._fd, line)
            if written < len(line):
                raise OSError(None, f"only {written} of {len(line)} bytes could be written")
        except OSError:
            os.ftruncate(self._fd, self._size)  # complete lines only
            raise

    def close(self) -> tuple[Part, ...]:
        os.close(self._fd)
        if self._part != self._path:
            os.replace(self._part, self._path)  # noqa: PTH105
        return (self._file.part,)


class _Remote:
    """Numbered whole files, or with `atomic` one, on a file system that cannot append.

    They are sent beside the crawl, one at a time: a slow store is waited for once a second shard is full.
    """

    def __init__(self, fs: Any, folder: str, name: str, *, atomic: bool) -> None:
        self._fs = fs
        self._folder = folder.rstrip("/")
        self._name = name
        self._atomic = atomic
        self._numbers = itertools.count()
        self._parts: list[Part] = []
        self._sending: Future[None] | None = None
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="heedful ledger")
        fs.makedirs(folder, exist_ok=True)
        probe = f"{self._folder}/{name}.probe"
        fs.pipe_file(probe, b"")  # an unwritable folder is told before the run, not after it
        fs.rm_file(probe)
        self._begin()

    def _begin(self) -> None:
        self._lines: list[bytes] = []
        self._size = 0
        self._file = _File(self._name if self._atomic else f"{self._name}-{next(self._numbers):05d}")

    def add(self, record: Record) -> None:
        if self._sending is not None and self._sending.done():
            self._sent()  # raises what went wrong, from then on each time: a shard is lost
        self._size += self._file.add(record, self._lines.append)
        if self._size >= SHARD_BYTES and not self._atomic:
            self._send()

    def _send(self) -> None:
        self._sent()
        path = f"{self._folder}/{self._file.name}{SUFFIX}"
        self._sending = self._sender.submit(self._fs.pipe_file, path, b"".join(self._lines))
        self._parts.append(self._file.part)
        self._begin()

    def _sent(self) -> None:
        if self._sending is not None:
            self._sending.result()
            self._sending = None

    def close(self) -> tuple[Part, ...]:
        with self._sender:
            if self._lines or self._atomic:
                self._send()
            self._sent()
        return tuple(self._parts)


class LedgerWriter:
    """A worker's own part of the ledger. Safe to share between threads.

    Attributes:
        ledger: the folder, or its URL.
        run: what all records have in common.
        totals: decisions by action, and by action and first reason, such as `skip/tdmrep`.
        counted: how many of them were only counted.
    """

    def __init__(
        self,
        ledger: str,
        run: Run,
        *,
        worker: str = "0",
        atomic: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the ledger for writing.

        Args:
            ledger: a folder, or a folder's URL that fsspec understands; made if it is not there.
            run: what all records have in common.
            worker: unique among the writers of the run.
            atomic: the file, named by `worker` alone, is there once it is closed, and takes the place of an
                earlier one: a shard's, which is done as a whole or anew.
            clock: gives the Unix time in seconds.

        Raises:
            LedgerError: it cannot be written there.
        """
        self.ledger = ledger
        self.run = run
        self.totals: Counter[str] = Counter()
        self.counted = 0
        self._clock = clock
        self._prefix = worker if worker.startswith(f"{run.id}-") else f"{run.id}-{worker}"
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._parts: tuple[Part, ...] | None = None
        name = worker if atomic else self._prefix
        try:
            fs, folder = fsspec.core.url_to_fs(ledger)
            self._out: _Local | _Remote = (
                _Local(folder, name, atomic=atomic)
                if isinstance(fs, LocalFileSystem)
                else _Remote(fs, folder, name, atomic=atomic)
            )
        except (OSError, ValueError, ImportError) as error:
            raise unwritable(ledger, error) from error

    def record(
        self,
        url: str,
        action: Action,
        verdict: Verdict | None = None,
        *,
        hop_of: str | None = None,
        status: int | None = None,
        bytes_read: int = 0,
        bytes_avoided: int | None = None,
        error: str | None = None,
    ) -> Record:
        """Write one decision; it is in the ledger when this returns (in a shard, for a remote one).

        Raises:
            LedgerError: it could not be written; the picture must not be stored.
        """
        told = {} if verdict is None else _of_verdict(verdict)
        with self._lock:
            record = Record(
                id=f"{self._prefix}-{next(self._numbers)}",
                time=self._clock(),
                run=self.run,
                url=url,
                action=action,
                hop_of=hop_of,
                status=status,
                bytes_read=bytes_read,
                bytes_avoided=bytes_avoided,
                error=error,
                **told,
            )
            if self._parts is not None:
                raise LedgerError(f"The ledger {self.ledger} is closed.")
            try:
                self._out.add(record)
            except Exception as failure:  # whatever a remote file system raises
                raise unwritable(self.ledger, failure) from failure
            self._count(action, record.reason)
        return record

    def count(self, action: Action, reason: Reason | None = None) -> None:
        """Count a decision that is not recorded."""
        with self._lock:
            self.counted += 1
            self._count(action, reason)

    def _count(self, action: Action, reason: Reason | None) -> None:
        self.totals[str(action)] += 1
        if reason is not None:
            self.totals[f"{action}/{reason}"] += 1

    def close(self) -> tuple[Part, ...]:
        """Write what is not yet written; the files that there are then. May be called twice.

        Raises:
            LedgerError: it could not be.
        """
        with self._lock:
            if self._parts is None:
                self._parts = ()
                try:
                    self._parts = self._out.close()
                except Exception as error:
                    raise unwritable(self.ledger, error) from error
            return self._parts


def unwritable(ledger: str, error: Exception) -> LedgerError:
    """What is raised when a ledger cannot be written."""
    words = getattr(error, "strerror", None) or str(error)
    return LedgerError(f"The ledger {ledger} cannot be written: {words}.")


def _of_verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "stage": verdict.stage,
        "reasons": verdict.reasons,
        **{name: tuple(statements) for name, statements in verdict.told().items()},
        "warnings": tuple(warning.as_dict() for warning in verdict.warnings),
        "snapshots": dict(verdict.snapshots) or None,
        "registries": verdict.registries,
        "complete": verdict.complete,
    }


def absolute(ledger: str | Path) -> str:
    """`ledger` made independent of the working folder; a URL stays as it is."""
    text = str(ledger)
    return text if "://" in text else str(Path(text).absolute())
