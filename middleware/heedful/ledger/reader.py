"""Reads ledgers back: one or many folders or files, of any number of workers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import fsspec

from heedful._places import within
from heedful.errors import LedgerError
from heedful.ledger.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that is no record: `torn` (the last one of a file, without its end) or `invalid`."""

    file: str
    line: int
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}: {self.message}"


class LedgerReader:
    """Iterates over the records of ledgers; lines that are none are in `faults` once they were passed."""

    def __init__(self, *ledgers: str) -> None:
        """Find the record files.

        Args:
            ledgers: folders or `*.jsonl` files, or URLs of such that fsspec understands.

        Raises:
            LedgerError: one of them is not there, or holds no record file.
        """
        self.faults: list[Fault] = []
        self._files: list[tuple[Any, str]] = []
        for ledger in ledgers:
            try:
                fs, path = fsspec.core.url_to_fs(ledger)
                names = within(fs, path, "*.jsonl") if fs.isdir(path) else [path]
                if not names or not fs.exists(names[0]):
                    raise LedgerError(f"There is no ledger at {ledger}: no *.jsonl file is there.")
            except (OSError, ValueError, ImportError) as error:
                raise LedgerError(f"The ledger {ledger} cannot be read: {error}.") from error
            self._files += [(fs, name) for name in names]

    @property
    def files(self) -> list[str]:
        """The record files, in the order in which they are read."""
        return [name for _, name in self._files]

    def lines(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Each file's name, and its lines, which are to be read before the next file's.

        Raises:
            LedgerError: a file cannot be read.
        """
        for fs, name in self._files:
            yield name, _lines(fs, name)

    def __iter__(self) -> Iterator[Record]:
        return self.reading()

    def reading(self, done: Callable[[], object] = lambda: None) -> Iterator[Record]:
        """As iterating over it, but that `done` is called after each file.

        Raises:
            LedgerError: a file cannot be read.
        """
        self.faults.clear()
        for name, lines in self.lines():
            for number, line in enumerate(lines, 1):
                record = self._record(name, number, line)
                if record is not None:
                    yield record
            done()

    def _record(self, name: str, number: int, line: bytes) -> Record | None:
        if not line.endswith(b"\n"):
            self.faults.append(Fault(name, number, "torn", f"{len(line)} bytes without an end of line"))
            return None
        try:
            return Record.from_dict(json.loads(line))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self.faults.append(Fault(name, number, "invalid", f"{type(error).__name__}: {error}"))
            return None


def _lines(fs: Any, name: str) -> Iterator[bytes]:
    try:
        with fs.open(name, "rb") as file:
            yield from file
    except OSError as error:
        raise LedgerError(f"{name} cannot be read: {error.strerror or error}.") from error
