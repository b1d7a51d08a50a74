"""Finds records by a text that they hold: without an index, and without parsing all the others."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import fsspec

from heedful.errors import LedgerError
from heedful.ledger import Fault, LedgerReader, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK: Final = 4 * 2**20
"""Bytes that are read at once."""


class Line(NamedTuple):
    """A line of a record file.

    Attributes:
        file: the file.
        number: of the line, counted from 1.
        raw: the line without its end.
    """

    file: str
    number: int
    raw: bytes


class Lines:
    """The lines of ledgers. Those that are no records are in `faults` once they were passed.

    Attributes:
        count: complete lines that the last search passed.
    """

    def __init__(self, *ledgers: str) -> None:
        """Find the record files.

        Args:
            ledgers: as for `LedgerReader`.

        Raises:
            LedgerError: one of them is not there, or holds no record file.
        """
        self.count = 0
        self._faults: dict[tuple[str, int], Fault] = {}
        self._files: list[tuple[Any, str]] = []
        for ledger in ledgers:
            names = LedgerReader(ledger).files
            fs, _ = fsspec.core.url_to_fs(ledger)
            self._files += [(fs, name) for name in names]

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The lines that are no records, each once, however often it was passed."""
        return tuple(self._faults.values())

    def holding(self, *texts: bytes, fold_case: bool = False) -> Iterator[Line]:
        """The complete lines that hold one of `texts`, in order.

        Args:
            texts: without a line feed; none: every line.
            fold_case: ASCII letters of `texts`, which are in lower case, stand for those in upper case too.

        Raises:
            LedgerError: a file cannot be read.
        """
        self.count = 0
        for fs, name in self._files:
            try:
                with fs.open(name, "rb") as file:
                    yield from self._of_file(file, name, texts, fold_case=fold_case)
            except OSError as error:
                raise LedgerError(f"The ledger {name} cannot be read: {error}.") from error

    def record(self, line: Line) -> Record | None:
        """The record that a line holds; None, and a fault, if it is none."""
        try:
            return Record.from_dict(json.loads(line.raw))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self._fault(line.file, line.number, "invalid", f"{type(error).__name__}: {error}")
            return None

    def _of_file(self, file: Any, name: str, texts: tuple[bytes, ...], *, fold_case: bool) -> Iterator[Line]:
        passed, rest = 0, b""
        while chunk := file.read(CHUNK):
            end = chunk.rfind(b"\n") + 1
            if not end:
                rest += chunk
                continue
            block = rest + chunk[:end]
            rest = chunk[end:]
            counted = 0
            for start, stop in _found(block.lower() if fold_case else block, texts):
                passed += block.count(b"\n", counted, start)
                counted = start
                yield Line(name, passed + 1, block[start:stop])
            passed += block.count(b"\n", counted)
        self.count += passed
        if rest:
            self._fault(name, passed + 1, "torn", f"{len(rest)} bytes without an end of line")

    def _fault(self, name: str, number: int, kind: str, message: str) -> None:
        self._faults.setdefault((name, number), Fault(name, number, kind, message))


def _found(block: bytes, texts: tuple[bytes, ...]) -> list[tuple[int, int]]:
    """Start and end of each line of `block`, which ends with one, that holds one of `texts`."""
    found: dict[int, int] = {}
    for text in texts or (b"",):
        stop, last = -1, len(block) - 1
        while stop < last and (at := block.find(text, stop + 1)) >= 0:
            start = block.rfind(b"\n", 0, at) + 1
            stop = block.index(b"\n", at)
            found[start] = stop
    return sorted(found.items())


def quoted(text: str) -> bytes:
    """A string as it stands in a line of a ledger, quotation marks and all."""
    return json.dumps(text).replace("\x7f", "\\u007f").encode("ascii")


# Inside a JSON string, a quotation mark has a backslash before it: neither of these can be part of one.
_KEYS: Final = (b'"url":', b'"hop_of":')
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')


def urls_in(raw: bytes) -> list[bytes]:
    """The URL of the line's record, and the one that was asked for first, as `quoted` writes them."""
    found = []
    for key in _KEYS:
        at = raw.find(key)
        if at >= 0 and (string := _STRING.match(raw, at + len(key))):
            found.append(string[0])
    return found
