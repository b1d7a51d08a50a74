"""Lists as text: a URL a line, or a CSV or TSV table with a head.

What is kept is written as it was read, octet by octet: only the URL's cell is read, nothing is quoted anew.
Blank lines are no rows, and stay. A record ends at a line end that is not inside quotes (RFC 4180; quotes
count only at the beginning of a cell, as in Python's `csv`).
"""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import re
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

import fsspec
import pyarrow as pa
import zstandard

from heedful.bulk.filter._pieces import Piece, UnreadableError
from heedful.bulk.filter._task import BATCH, REFUSED, TAGS, Counts
from heedful.ledger._export import harmless
from heedful.model import printable
from heedful.registry.sources._files import File, Stream
from heedful.registry.sources._items import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from heedful.bulk.filter._task import Mark, Recorder, Tagger, Task

DELIMITERS: Final = {"csv": b",", "tsv": b"\t"}

# ruff: noqa: SIM115 - who calls these closes what they return
COMPRESSIONS: Final[dict[str, Callable[[IO[bytes]], Any]]] = {
    "": lambda file: file,
    ".gz": lambda file: gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0),
    ".zst": lambda file: zstandard.ZstdCompressor().stream_writer(file, closefd=False),
    ".bz2": lambda file: bz2.BZ2File(file, "wb"),
    ".xz": lambda file: lzma.LZMAFile(file, "wb"),
}
"""What writes a file whose name ends so."""

PIECE_BYTES: Final = 64 * 2**20
"""Octets of a piece of a `txt` list that is not compressed; other files are one piece."""

RECORD_MAX: Final = 16 * 2**20
"""Most octets of a record: with more, its quotes do not match, or it is no text."""

BATCH_BYTES: Final = 32 * 2**20
"""Octets of records after which a batch ends."""

_SHOWN: Final = 80
"""Octets of a record that are shown, so that it can be found."""

_BOM: Final = b"\xef\xbb\xbf"
_ENDS: Final = b"\r\n"
_QUOTE: Final = b'"'


class _Record(NamedTuple):
    """A record as it stands in the file, with its end, and the cell that is the URL, or None; or no row."""

    raw: bytes
    url: bytes | None
    is_row: bool = True


def plan(task: Task, path: str, kind: str, compression: str) -> list[Piece]:
    """The pieces of a file.

    Raises:
        UnreadableError: it cannot be read, or has no column of URLs.
    """
    if kind != "txt":
        with _records(path) as lines, _long_cells():
            _Table(task, path, kind, lines)
        return [Piece(0, 0, 0)]
    if compression:
        return [Piece(0, 0, 0)]
    with _reading(path):
        fs, inner = fsspec.core.url_to_fs(path)
        size = fs.size(inner)
    starts = range(0, max(size, 1), PIECE_BYTES)
    return [Piece(number, start, min(start + PIECE_BYTES, size)) for number, start in enumerate(starts)]


def work(
    tagger: Tagger, path: str, piece: Piece, target: Path, recorder: Recorder, kind: str, compression: str
) -> Counts:
    """Filter a piece into a file of its own.

    Raises:
        UnreadableError: it cannot be read.
        OSError: the target cannot be written.
    """
    counts = Counts()
    with target.open("wb") as file, COMPRESSIONS[compression](file) as out:
        if kind == "txt":
            with _lines_of(path, piece) as lines:
                _filter(tagger, _urls(lines), None, out, recorder, counts)
        else:
            with _records(path) as lines, _long_cells():
                table = _Table(tagger.task, path, kind, lines)
                out.write(table.head)
                _filter(tagger, table.records(), table, out, recorder, counts)
    return counts


def join(parts: Sequence[Path], out: IO[bytes]) -> None:
    """Put the files of all pieces together."""
    for part in parts:
        with part.open("rb") as file:
            while block := file.read(2**20):
                out.write(block)


def _filter(
    tagger: Tagger,
    records: Iterable[_Record],
    table: _Table | None,
    out: Any,
    recorder: Recorder,
    counts: Counts,
) -> None:
    for batch in _batches(records):
        rows = [record for record in batch if record.is_row]
        marks, counted = tagger.mark(pa.array([record.url for record in rows], pa.large_binary()))
        recorder.record(marks)
        counts.add(counted)
        if tagger.task.tag and table is not None:
            out.write(b"".join(table.tagged(tagger, batch, marks)))
            continue
        refused = {id(rows[mark.place]) for mark in marks if mark.verdict.action in REFUSED}
        out.write(b"".join([record.raw for record in batch if id(record) not in refused]))


def _batches(records: Iterable[_Record]) -> Iterator[list[_Record]]:
    batch: list[_Record] = []
    size = 0
    for record in records:
        batch.append(record)
        size += len(record.raw)
        if len(batch) == BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


# -- lines -----------------------------------------------------------------------------------------------


@contextmanager
def _records(path: str) -> Iterator[Iterator[bytes]]:
    """The lines of a whole file, decompressed."""
    with _reading(path):
        fs, inner = fsspec.core.url_to_fs(path)
        stream = Stream(File(path, None, fs, inner))
    try:
        yield _lines(path, stream)
    finally:
        stream.close()


@contextmanager
def _lines_of(path: str, piece: Piece) -> Iterator[Iterator[bytes]]:
    """The lines that begin in a piece."""
    if piece.stop == 0:
        with _records(path) as lines:
            yield lines
        return
    with _reading(path):
        fs, inner = fsspec.core.url_to_fs(path)
        file = fs.open(inner, "rb")
    try:
        yield _part(path, file, piece)
    finally:
        file.close()


def _part(path: str, file: Any, piece: Piece) -> Iterator[bytes]:
    at = max(piece.start - 1, 0)  # an end of line just before the piece is seen
    with _reading(path):
        file.seek(at)
    lines = _lines(path, iter(lambda: file.read(2**20), b""))
    if piece.start:
        at += len(next(lines, b""))
    while at < piece.stop and (line := next(lines, None)) is not None:
        at += len(line)
        yield line


def _lines(path: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines with their ends."""
    rest = b""
    with _reading(path):
        for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > RECORD_MAX:
                raise UnreadableError(path, f"a line is longer than {RECORD_MAX:,} octets")
            for line in lines:
                yield line + b"\n"
    if rest:
        yield rest


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """Tell what goes wrong in reading from all else."""
    try:
        yield
    except (SourceError, OSError, ValueError, ImportError) as error:
        words = str(error).removeprefix(f"{path} cannot be read: ").rstrip(".")
        raise UnreadableError(path, words or type(error).__name__) from error


def _urls(lines: Iterable[bytes]) -> Iterator[_Record]:
    for line in lines:
        url = line.removeprefix(_BOM).strip()
        yield _Record(line, url, bool(url))


# -- tables ----------------------------------------------------------------------------------------------


class _Table:
    """A table: its head, then its records, read line by line."""

    def __init__(self, task: Task, path: str, kind: str, lines: Iterator[bytes]) -> None:
        """Read the head.

        Raises:
            UnreadableError: there is none, or it has no column of URLs.
        """
        self._path = path
        self._kind = kind.upper()
        self._delimiter = DELIMITERS[kind]
        self._lines = lines
        self._next: list[bytes] = []
        self._held: list[bytes] = []
        self._ended = False
        self._reader = csv.reader(self._fed(), delimiter=self._delimiter.decode())
        self._cell = re.compile(rb'(?:"(?:[^"]|"")*")?[^%b]*(%b|$)' % (self._delimiter, self._delimiter))
        try:
            first = next(lines)
        except StopIteration:
            raise UnreadableError(path, "it is empty, and has no head") from None
        bom = _BOM if first.startswith(_BOM) else b""
        raw, cells = self._parsed(first.removeprefix(bom))
        names = [cell.encode("latin-1").decode("utf-8", "surrogateescape") for cell in cells]
        try:
            self._column = task.url_column(names)
        except ValueError as error:
            raise UnreadableError(path, str(error)) from error
        self._width = len(names)
        self._old = [names.index(name) if name in names else None for name in TAGS]
        self.head = bom + (self._with(raw, [name.encode() for name in TAGS]) if task.tag else raw)

    def records(self) -> Iterator[_Record]:
        """All records.

        Raises:
            UnreadableError: quotes do not match.
        """
        column, delimiter = self._column, self._delimiter
        for line in self._lines:
            if _QUOTE in line:
                raw, row = self._parsed(line)
                url = row[column].encode("latin-1") if len(row) > column else None
                yield _Record(raw, url)
            elif text := line.rstrip(_ENDS):
                cells = text.split(delimiter, column + 1)
                yield _Record(line, cells[column] if len(cells) > column else None)
            else:
                yield _Record(line, None, is_row=False)

    def tagged(self, tagger: Tagger, records: Iterable[_Record], marks: Iterable[Mark]) -> Iterator[bytes]:
        """Records with the columns `TAGS`.

        Raises:
            UnreadableError: one has more cells than the head.
        """
        by_place = {mark.place: mark for mark in marks}
        unmarked = [self._written(value) for value in tagger.unmarked]
        place = 0
        for record in records:
            if not record.is_row:
                yield record.raw
                continue
            mark = by_place.get(place)
            tags = unmarked if mark is None else [self._written(value) for value in tagger.tags(mark)]
            yield self._with(record.raw, tags)
            place += 1

    def _with(self, raw: bytes, tags: Sequence[bytes]) -> bytes:
        """A record in which these cells stand where their columns are, or at the end."""
        text = raw.rstrip(_ENDS)
        end = raw[len(text) :]
        cells = text.split(self._delimiter) if _QUOTE not in text else self._cells(text)
        if len(cells) > self._width:
            words = _start(text)
            raise UnreadableError(self._path, f"a row has more cells than the head: {words}")
        cells += [b""] * (self._width - len(cells))
        for old, tag in zip(self._old, tags, strict=True):
            if old is None:
                cells.append(tag)
            else:
                cells[old] = tag
        return self._delimiter.join(cells) + end

    def _cells(self, text: bytes) -> list[bytes]:
        """The cells as they are written."""
        cells = []
        at = 0
        while True:
            found = self._cell.match(text, at)
            assert found is not None  # noqa: S101 - it matches anything
            cells.append(text[at : found.start(1)])
            if found[1] != self._delimiter:
                return cells
            at = found.end()

    def _written(self, value: str | None) -> bytes:
        """A cell: one that begins like a formula becomes text, as in exported ledgers."""
        cell = harmless(value or "").encode("utf-8", "backslashreplace")
        if self._delimiter in cell or _QUOTE in cell:
            return _QUOTE + cell.replace(_QUOTE, b'""') + _QUOTE
        return cell

    def _parsed(self, line: bytes) -> tuple[bytes, list[str]]:
        """A record that begins with a line, and its cells, each octet a character."""
        self._next.append(line)
        try:
            cells = next(self._reader)
        except csv.Error as error:
            words = f"a row is no {self._kind}: {error}: {_start(line)}"
            raise UnreadableError(self._path, words) from error
        if self._ended:
            raise UnreadableError(self._path, f"quotes are opened and not closed: {_start(line)}")
        raw = b"".join(self._held)
        self._held.clear()
        return raw, cells

    def _fed(self) -> Iterator[str]:
        """Lines, as the reader asks for them: the first of a record, and more inside quotes."""
        while True:
            line = self._next.pop() if self._next else next(self._lines, b"")
            self._ended = not line
            if self._ended:
                return
            self._held.append(line)
            yield line.decode("latin-1")


def _start(text: bytes) -> str:
    """Of a record, enough to find it."""
    return printable(text[:_SHOWN].decode("utf-8", "replace"))


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let `csv` read cells that are as long as records may be."""
    before = csv.field_size_limit(RECORD_MAX)
    try:
        yield
    finally:
        csv.field_size_limit(before)
