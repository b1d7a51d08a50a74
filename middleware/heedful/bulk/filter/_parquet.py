"""Parquet lists: a piece is some row groups, and each row group stays one.

A batch is read, judged and kept or dropped; what is kept of a row group is written as one, with the schema,
the key-value metadata, the compression and the dictionaries of the input. Held at once are a batch and a row
group, of which `GROUP_BYTES` at most: a larger one becomes several.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from heedful.bulk.filter import _footer
from heedful.bulk.filter._pieces import Piece, UnreadableError
from heedful.bulk.filter._task import BATCH, Counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from heedful.bulk.filter._task import Recorder, Tagger, Task

GROUP_BYTES: Final = 128 * 2**20
"""Octets of Arrow's memory that are held of a row group before it is written."""

BATCH_BYTES: Final = 32 * 2**20
"""Octets that a batch should not exceed, by what the footer says of its row group."""

PIECE_BYTES: Final = 256 * 2**20
"""Octets, uncompressed, of the row groups of a piece, unless a single one has more."""

READ_BUFFER: Final = 2**20
"""Octets that are read of a column at once."""

_COMPRESSIONS: Final = {"UNCOMPRESSED": "NONE", "LZ4_RAW": "LZ4"}
"""What pyarrow's writer calls a compression that its reader calls otherwise."""

_DICTIONARIES: Final = frozenset({"PLAIN_DICTIONARY", "RLE_DICTIONARY"})

_ARROW: Final = b"ARROW:schema"
"""The key under which a file has the Arrow types that Parquet lacks."""


def plan(task: Task, path: str) -> list[Piece]:
    """The pieces of a file.

    Raises:
        UnreadableError: it is damaged, or has no column of URLs.
    """
    pieces: list[Piece] = []
    with _open(path) as file, _reading(path):
        metadata = file.metadata
        names = file.schema_arrow.names
        start = size = 0
        for number in range(metadata.num_row_groups):
            more = metadata.row_group(number).total_byte_size
            if number > start and size + more > PIECE_BYTES:
                pieces.append(Piece(len(pieces), start, number))
                start, size = number, 0
            size += more
        pieces.append(Piece(len(pieces), start, metadata.num_row_groups))
    _url_column(task, path, names)
    return pieces


def work(tagger: Tagger, path: str, piece: Piece, target: Path, recorder: Recorder) -> Counts:
    """Filter a piece into a Parquet file of its own.

    Raises:
        UnreadableError: it is damaged.
        OSError: the target cannot be written.
    """
    counts = Counts()
    with _open(path) as file:
        schema = tagger.task.schema(file.schema_arrow)
        with pq.ParquetWriter(target, schema, **_manner(file, schema)) as writer:
            for number in range(piece.start, piece.stop):
                held: list[pa.RecordBatch] = []
                size = 0
                for batch in _batches(file, number, path):
                    try:
                        applied = tagger.apply(batch)
                    except ValueError as error:
                        raise UnreadableError(path, str(error)) from error
                    recorder.record(applied.marks)
                    counts.add(applied.counts)
                    if applied.batch.num_rows:
                        held.append(applied.batch)
                        size += applied.batch.get_total_buffer_size()
                    if size >= GROUP_BYTES:
                        _write(writer, held)
                        held, size = [], 0
                _write(writer, held)
    return counts


def join(parts: Sequence[Path], out: Any) -> None:
    """Put the files of all pieces together."""
    _footer.join(parts, out)


def _write(writer: pq.ParquetWriter, held: Sequence[pa.RecordBatch]) -> None:
    if held:
        table = pa.Table.from_batches(held)
        writer.write_table(table, row_group_size=table.num_rows)


def _batches(file: pq.ParquetFile, number: int, path: str) -> Iterator[pa.RecordBatch]:
    group = file.metadata.row_group(number)
    rows = BATCH_BYTES * group.num_rows // max(group.total_byte_size, 1)
    size = min(BATCH, max(rows, 1))
    with _reading(path):
        batches = file.iter_batches(batch_size=size, row_groups=[number], use_threads=False)
    while True:
        with _reading(path):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _manner(file: pq.ParquetFile, schema: pa.Schema) -> dict[str, Any]:
    """How the input was written, as arguments for a writer."""
    metadata = file.metadata
    manner: dict[str, Any] = {"store_schema": _ARROW in (metadata.metadata or {})}
    if not metadata.num_row_groups:
        return manner
    group = metadata.row_group(0)
    chunks = [group.column(number) for number in range(group.num_columns)]
    compressions = {chunk.path_in_schema: chunk.compression for chunk in chunks}
    usual = chunks[0].compression if chunks else "SNAPPY"
    known = {field.name for field in schema}
    ours = {name: usual for name in known if name not in file.schema_arrow.names}
    manner["compression"] = {
        name: _COMPRESSIONS.get(each, each) for name, each in (compressions | ours).items()
    }
    dictionaries = [chunk.path_in_schema for chunk in chunks if not _DICTIONARIES.isdisjoint(chunk.encodings)]
    manner["use_dictionary"] = [*dictionaries, *ours] or False
    manner["write_page_index"] = any(chunk.has_offset_index for chunk in chunks)
    if any(chunk.physical_type == "INT96" for chunk in chunks):
        manner["use_deprecated_int96_timestamps"] = True
    if group.sorting_columns:
        manner["sorting_columns"] = group.sorting_columns
    return manner


def _url_column(task: Task, path: str, names: Sequence[str]) -> int:
    try:
        return task.url_column(names)
    except ValueError as error:
        raise UnreadableError(path, str(error)) from error


@contextmanager
def _open(path: str) -> Iterator[pq.ParquetFile]:
    """A file, opened.

    Raises:
        UnreadableError: it is none.
    """
    with _reading(path):
        fs, inner = fsspec.core.url_to_fs(path)
        source = pa.OSFile(inner) if isinstance(fs, LocalFileSystem) else fs.open(inner, "rb")
    try:
        with _reading(path):
            file = pq.ParquetFile(source, pre_buffer=False, buffer_size=READ_BUFFER)
        yield file
    finally:
        source.close()


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """Tell what goes wrong in reading from all else."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, ImportError) as error:
        words = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        raise UnreadableError(path, words) from error
