"""From a source to its entries."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

from heedful.registry.entries import Kind
from heedful.registry.sources import (
    _adblock,
    _denypath,
    _files,
    _formats,
    _lines,
    _pictures,
    _rows,
    _spawning,
)
from heedful.registry.sources._formats import Format
from heedful.registry.sources._items import Defaults, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heedful.registry.entries import Entry
    from heedful.registry.sources._files import File
    from heedful.registry.sources._items import Reject, Urls
    from heedful.registry.sources._pictures import Pictures

_BARE: Final = frozenset({Format.URLS, Format.DOMAINS, Format.HOSTS})
"""Formats of bare names, whose kind may be given."""

_SPEAKS: Final = frozenset({Format.ADBLOCK, Format.DENYPATH, Format.SPAWNING})
"""Formats that say themselves whether an entry declines or agrees."""

_SUFFIXES: Final = frozenset(
    {"csv", "tsv", "txt", "text", "json", "jsonl", "ndjson", "parquet", "pq", "list", "lst", "hosts"}
    | {"gz", "bz2", "xz", "zst", "zstd"}
)
"""What is no part of a list's name at the end of a file's."""


def list_name(source: str) -> str:
    """The name of a list whose source has none: the file's without suffixes, or the folder's."""
    parts = source.partition("?")[0].replace("\\", "/").rstrip("/").split("/")
    while len(parts) > 1 and any(sign in parts[-1] for sign in "*?["):
        parts.pop()
    name = "stdin" if source == _files.STDIN else parts[-1]
    while "." in name.lstrip(".") and name.rpartition(".")[2].lower() in _SUFFIXES:
        name = name.rpartition(".")[0]
    return name


class Source:
    """A file of a source, opened: its format is known, its entries are there to be read once.

    Attributes:
        name: its path or URL.
        format: its format.
        columns: for tables, the columns that are read.
        size: octets as stored, None if not known.
    """

    def __init__(self, file: File, *, format: Format | None, defaults: Defaults) -> None:  # noqa: A002 - the option's name
        """Open a file.

        Raises:
            SourceError: it cannot be read, or its format cannot be told.
        """
        self.name = file.name
        self.size = file.size
        self.columns: tuple[str, ...] = ()
        self._stream = _files.Stream(file)
        try:
            head, whole = self._stream.head(_formats.HEAD)
            if head.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise SourceError("it is UTF-16: make it UTF-8 first")
            self.format, self._items = self._start(head, format, defaults, whole=whole)
        except SourceError as error:
            self.close()
            raise SourceError(*(_placed(self.name, fault) for fault in error.faults)) from error

    def _start(
        self, head: bytes, forced: Format | None, defaults: Defaults, *, whole: bool
    ) -> tuple[Format, Iterator[Entry | Reject | Urls]]:
        kind = defaults.kind
        parquet = head.startswith(_formats.PARQUET)
        if forced is None and kind is not None and not parquet:
            forced = Format.DOMAINS if kind in {Kind.HOST, Kind.DOMAIN} else Format.URLS
        if parquet and forced in {None, Format.ENTRIES, Format.COLUMNS}:
            if self._stream.compressed or not self._stream.raw.seekable():
                raise SourceError("it is Parquet, which is read from plain files only: save it as one first")
            found = forced or _formats.table_format(_rows.parquet_names(self._stream.raw))
        else:
            found = forced or _formats.recognise(head, whole=whole)
        if kind is not None and found not in _BARE:
            raise SourceError(f"it is in the format {found}, but --kind is for bare lines: leave it out")
        if defaults.terms.opt_in and found in _SPEAKS:
            raise SourceError(f"the format {found} itself says who opted in: leave --opt-in out")
        if found in {Format.ENTRIES, Format.COLUMNS}:
            general = found is Format.ENTRIES
            if parquet:
                table = _rows.parquet_table(self._stream.raw, general=general)
            elif _formats.is_json(head):
                table = _rows.json_table(self._stream, general=general)
            else:
                table = _rows.csv_table(self._stream, general=general)
            self.columns = table.columns
            return found, (_rows.read_entries if general else _rows.read_columns)(table, defaults)
        read = {
            Format.URLS: _lines.read_urls,
            Format.DOMAINS: _lines.read_domains,
            Format.HOSTS: _lines.read_hosts,
            Format.ADBLOCK: _adblock.read,
            Format.DENYPATH: _denypath.read,
            Format.SPAWNING: _spawning.read,
        }[found]
        return found, read(self._stream, defaults)

    def __iter__(self) -> Iterator[Entry | Reject | Urls]:
        try:
            yield from self._items
        except SourceError as error:
            raise SourceError(*(_placed(self.name, fault) for fault in error.faults)) from error

    @property
    def position(self) -> int:
        """Octets, as stored, that were read so far."""
        return self._stream.position

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def _placed(name: str, fault: str) -> str:
    return fault if fault.startswith(f"{name} ") else f"{name}: {fault}."


def open_source(
    source: str,
    *,
    format: Format | str | None = None,  # noqa: A002 - the option's name
    defaults: Defaults,
) -> Iterator[Source | Pictures]:
    """The files of a source, one after the other, and then all its pictures as one; each is to be closed
    before the next one.

    Args:
        source: a path or a URL that fsspec understands, of a file or folder, perhaps with wildcards; `-`.
        format: its format; None: each file's is told from its beginning. Empty files among several have none.
        defaults: what its entries say where it does not.

    Raises:
        SourceError: there is no such file, it cannot be read, or its format cannot be told.
    """  # noqa: D205 - one sentence
    files = _files.find(source)
    forced = None if format is None else Format(format)
    pictures = _pictures_of(files, forced)
    for file in files:
        if file in pictures or (file.size == 0 and len(files) > 1):
            continue
        yield Source(file, format=forced, defaults=defaults)
    if pictures:
        yield _pictures.Pictures(source, [*pictures], defaults)


def _pictures_of(files: list[File], forced: Format | None) -> dict[File, None]:
    """Those of the files that are pictures, or are said to be."""
    if forced is not None:
        return dict.fromkeys(files if forced is Format.IMAGES else ())
    return dict.fromkeys(filter(_pictures.is_picture, files))


def read(
    source: str,
    *,
    format: Format | str | None = None,  # noqa: A002 - the option's name
    defaults: Defaults,
) -> Iterator[Entry | Reject | Urls]:
    """All that a source holds: entries, plain URLs in bulk, rejects. Arguments and errors: `open_source`."""
    for opened in open_source(source, format=format, defaults=defaults):
        with closing(opened):
            yield from opened
