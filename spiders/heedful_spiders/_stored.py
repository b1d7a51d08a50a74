"""The URLs of stored pictures: from ledgers, the metadata of crawls and of img2dataset, and lists of URLs."""

from __future__ import annotations

import csv
import glob
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import fsspec

from heedful._places import within
from heedful.model import Action
from heedful.registry.sources import SourceError
from heedful.registry.sources._files import STDIN, File, Stream, find
from heedful.registry.sources._text import batches, decoded, lines
from heedful_spiders.crawl import METADATA

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

URL_COLUMN: Final = "url"
"""The column of tables that has the URLs, in whatever case: LAION's is `URL`."""

SUCCESS: Final = "success"
"""What img2dataset's metadata say in `status` of a picture that was stored."""

_IMG2DATASET: Final = frozenset({"status", "error_message"})
"""Columns that tell img2dataset's metadata from other tables."""

_IN_FOLDERS: Final = (METADATA, "*.jsonl", "*.parquet", "*.csv", "*.txt")
"""What is looked for in a folder, in this order: the first that is there is read. What a crawl stored is in
its metadata; a ledger consists of `*.jsonl` files; img2dataset writes a Parquet file for each shard."""

_LEDGERS: Final = ("ledger", "_heedful/ledger")
"""Where, in a dataset's folder, `heedful crawl` and `heedful img2dataset` have their ledgers."""

_COMPRESSIONS: Final = (".gz", ".bz2", ".xz", ".zst")

_DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}

_ROWS_AT_ONCE: Final = 16_384


class Stored:
    """Iterates over the URLs of sources. A URL that is there twice comes twice.

    Attributes:
        passed_over: lines that are no JSON objects, as far as they were read: a killed crawl's last one.
        ledgers: ledgers among the sources, as far as they were read, and those that lie with them.
    """

    def __init__(self, sources: Iterable[str], *, column: str = URL_COLUMN) -> None:
        """Find the files.

        Args:
            sources: ledgers, folders of `heedful crawl` and img2dataset, and lists of URLs (`.txt`, `.csv`,
                `.tsv`, `.jsonl`, `.parquet`, also compressed): paths, perhaps with wildcards, or URLs that
                fsspec understands; `-` for lines on standard input.
            column: the column of tables that has the URLs.

        Raises:
            SourceError: one of them is not there.
        """
        self.passed_over = 0
        self.ledgers: list[str] = []
        self._column = column.lower()
        self._files: list[File] = []
        for source in sources:
            files, ledgers = _find(source)
            self._files += files
            self.ledgers += ledgers

    def __iter__(self) -> Iterator[str]:
        """The URLs.

        Raises:
            SourceError: a file cannot be read.
        """
        self.passed_over = 0
        for file in self._files:
            kind = _kind(file.name)
            if kind == ".parquet":
                yield from self._in_parquet(file)
                continue
            stream = Stream(file)
            try:
                if kind == ".jsonl":
                    yield from self._in_json(stream, file.name)
                elif kind in _DELIMITERS:
                    yield from self._in_csv(stream, file.name, _DELIMITERS[kind])
                else:
                    yield from (line for _, line in lines(stream))
            finally:
                stream.close()

    def _in_json(self, stream: Stream, name: str) -> Iterator[str]:
        """Records of a ledger, items of a crawl, or a table."""
        known = name in self.ledgers
        for _, line in lines(stream):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            if not isinstance(row, dict):
                self.passed_over += 1
            elif "schema" in row and "action" in row:
                if not known:
                    known = True
                    self.ledgers.append(name)
                if row["action"] == Action.STORE:
                    yield from _texts((row.get("hop_of") or row.get("url"),))
            elif isinstance(images := row.get("images"), list):
                yield from _texts(image.get("url") for image in images if isinstance(image, dict))
            else:
                yield from _texts(value for key, value in row.items() if key.lower() == self._column)

    def _in_csv(self, stream: Stream, name: str, delimiter: str) -> Iterator[str]:
        texts = (line + "\n" for _, batch in batches(decoded(stream)) for line in batch)
        rows = csv.reader(texts, delimiter=delimiter)
        try:
            names = next(rows, [])
            place = self._place(names, name)
            status = _status(names)
            for row in rows:
                if len(row) > place and (status is None or _cell(row, status) == SUCCESS):
                    yield row[place]
        except csv.Error as error:
            raise SourceError(f"{name} cannot be read: near line {rows.line_num}: {error}.") from error

    def _in_parquet(self, file: File) -> Iterator[str]:
        try:
            import pyarrow.parquet as pq  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise SourceError(f"{file.name} needs pyarrow: pip install 'heedful[bulk]'") from error
        try:
            with file.fs.open(file.path, "rb") as opened, pq.ParquetFile(opened) as table:
                names = table.schema_arrow.names
                url = names[self._place(names, file.name)]
                status = _status(names)
                columns = [url] if status is None else [url, names[status]]
                for batch in table.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns):
                    cells = batch.column(url).to_pylist()
                    if status is not None:
                        said = batch.column(names[status]).to_pylist()
                        cells = [cell for cell, word in zip(cells, said, strict=True) if word == SUCCESS]
                    yield from _texts(cells)
        except (OSError, ValueError) as error:  # pyarrow's own are both
            raise SourceError(f"{file.name} cannot be read: {error}.") from error

    def _place(self, names: list[str], file: str) -> int:
        for place, name in enumerate(names):
            if name.strip().lower() == self._column:
                return place
        raise SourceError(f"{file} has no column {self._column}: name the one that has the URLs.")


def _find(source: str) -> tuple[list[File], list[str]]:
    """The files of a source, and the ledgers that lie with them."""
    if source == STDIN:
        return find(source), []
    escaped = glob.escape(source.rstrip("/"))
    try:
        fs, path = fsspec.core.url_to_fs(source)
        if not fs.isdir(path):
            return find(source), []
        there = [place for place in _LEDGERS if within(fs, path, f"{place}/*.jsonl")]
    except (OSError, ValueError, ImportError) as error:
        raise SourceError(f"{source} cannot be read: {error}.") from error
    for pattern in _IN_FOLDERS:
        with suppress(SourceError):
            return find(f"{escaped}/{pattern}"), [f"{source.rstrip('/')}/{place}" for place in there]
    raise SourceError(f"{source} is no ledger and no dataset: it has none of {', '.join(_IN_FOLDERS)}.")


def _kind(name: str) -> str:
    """A file's kind, by its name, without what it is compressed with."""
    name = name.lower()
    for suffix in _COMPRESSIONS:
        name = name.removesuffix(suffix)
    return next((kind for kind in (".parquet", ".jsonl", *_DELIMITERS) if name.endswith(kind)), ".txt")


def _status(names: list[str]) -> int | None:
    """The place of img2dataset's status; None: it is another's table."""
    return names.index("status") if _IMG2DATASET.issubset(names) else None


def _cell(row: list[str], place: int) -> str | None:
    return row[place] if len(row) > place else None


def _texts(cells: Iterable[Any]) -> Iterator[str]:
    for cell in cells:
        if isinstance(cell, str):
            yield cell
        elif isinstance(cell, bytes):
            yield cell.decode("utf-8", "surrogateescape")
