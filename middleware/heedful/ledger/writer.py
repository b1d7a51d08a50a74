"""Writes a worker's records so that what is in the ledger is whole.

On a local disk each record is one appended line, handed to the system before the picture goes on: kill -9
costs at most a torn last line. On other file systems, which cannot append, whole shards are written.
"""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from heedful.errors import LedgerError
from heedful.ledger.records import Record, Run, to_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from heedful.model import Action, Verdict

SHARD_BYTES: Final = 8 * 2**20
"""A remote shard is closed at this size; what a killed worker can lose at most."""


class _LocalFile:
    """One append-only file."""

    def __init__(self, folder: str, name: str) -> None:
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - fsspec paths are strings
        self.path = os.path.join(folder, name + ".jsonl")  # noqa: PTH118
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._size = os.fstat(self._fd).st_size

    def write(self, line: bytes) -> None:
        try:
            written = os.write(self._fd, line)
            if written < len(line):
                raise OSError(None, f"only {written} of {len(line)} bytes could be written")
        except OSError:
            os.ftruncate(self._fd, self._size)  # complete lines only
            raise
        self._size += written

    def close(self) -> None:
        os.close(self._fd)


class _RemoteShards:
    """Numbered whole files, on a file system that cannot append."""

    def __init__(self, fs: Any, folder: str, name: str) -> None:
        self._fs = fs
        self._base = f"{folder.rstrip('/')}/{name}"
        self._numbers = itertools.count()
        self._lines: list[bytes] = []
        self._size = 0
        fs.makedirs(folder, exist_ok=True)
        probe = f"{self._base}.probe"
        fs.pipe_file(probe, b"")  # an unwritable folder is told before the run, not after it
        fs.rm_file(probe)

    def write(self, line: bytes) -> None:
        self._lines.append(line)
        self._size += len(line)
        if self._size >= SHARD_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._lines:
            self._fs.pipe_file(f"{self._base}-{next(self._numbers):05d}.jsonl", b"".join(self._lines))
            self._lines, self._size = [], 0

    def close(self) -> None:
        self._flush()


class LedgerWriter:
    """A worker's own part of the ledger. Use it from one thread."""

    def __init__(
        self, ledger: str, run: Run, *, worker: str = "0", clock: Callable[[], float] = time.time
    ) -> None:
        """Open the ledger for writing.

        Args:
            ledger: a folder, or a folder's URL that fsspec understands; made if it is not there.
            run: what all records have in common.
            worker: unique among the writers of the run.
            clock: gives the Unix time in seconds.

        Raises:
            LedgerError: it cannot be written there.
        """
        self.ledger = ledger
        self.run = run
        self._clock = clock
        self._prefix = f"{run.id}-{worker}"
        self._numbers = itertools.count(1)
        try:
            fs, folder = fsspec.core.url_to_fs(ledger)
            self._out: _LocalFile | _RemoteShards = (
                _LocalFile(folder, self._prefix)
                if isinstance(fs, LocalFileSystem)
                else _RemoteShards(fs, folder, self._prefix)
            )
        except (OSError, ValueError, ImportError) as error:
            raise LedgerError(f"The ledger {ledger} cannot be written: {_words(error)}.") from error

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
            **({} if verdict is None else _of_verdict(verdict)),
        )
        try:
            self._out.write(to_line(record))
        except OSError as failure:
            raise LedgerError(f"The ledger {self.ledger} cannot be written: {_words(failure)}.") from failure
        return record

    def close(self) -> None:
        """Write what is not yet written.

        Raises:
            LedgerError: it could not be.
        """
        try:
            self._out.close()
        except OSError as error:
            raise LedgerError(f"The ledger {self.ledger} cannot be written: {_words(error)}.") from error


def _of_verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "stage": verdict.stage,
        "reasons": verdict.reasons,
        "evidence": tuple(statement.as_dict() for statement in verdict.evidence),
        "overridden": tuple(statement.as_dict() for statement in verdict.overridden),
        "warnings": tuple(warning.as_dict() for warning in verdict.warnings),
        "snapshots": dict(verdict.snapshots),
        "registries": verdict.registries,
    }


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def absolute(ledger: str | Path) -> str:
    """`ledger` made independent of the working folder; a URL stays as it is."""
    text = str(ledger)
    return text if "://" in text else str(Path(text).absolute())
