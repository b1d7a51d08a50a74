"""Tables: CSV and the like, JSON Lines, Parquet; in the general form (`kind`, `entry`) or of URLs."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from heedful.registry.entries import Entry, Kind
from heedful.registry.sources._items import (
    Bulk,
    Defaults,
    Reject,
    SourceError,
    Terms,
    Urls,
    boolean,
    checked,
    day,
    plain_url,
    purpose,
    reject,
    shown,
    words,
)
from heedful.registry.sources._lines import NO_URL, bare_name, is_url
from heedful.registry.sources._text import LINE_MAX, TOO_LONG, batches, decoded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

GENERAL: Final = ("kind", "entry")
"""The columns that make a table one in the general form."""

TERMS: Final = ("list", "opt_in", "date", "purpose", "expires")
"""Optional columns, of either kind of table."""

PICTURES: Final = ("url", "sha256", "md5", "phash")
"""Columns that name single pictures."""

LARGE: Final = "phash256"
"""The column with the large half of the fingerprint in `phash`, where that has the small one only."""

SITES: Final = ("domain", "host")
"""Columns that name sites; beside one of `PICTURES` they only describe it, and are not read."""

RECORD_LINES_MAX: Final = 100
"""Most lines that one record of a CSV goes over; with more, a quote that is never closed is assumed."""

DELIMITERS: Final = (",", "\t", ";", "|")
"""What may stand between the columns of a CSV."""

_NONE: Final = "\x1f"
"""The delimiter of a table of one column: a sign that no text has (ASCII unit separator)."""


class Table(NamedTuple):
    """A table, as far as its columns are known.

    Attributes:
        columns: names of the columns that are read.
        rows: the cells of these columns, each row with its number (that of its first line), and rejects.
    """

    columns: tuple[str, ...]
    rows: Iterator[tuple[int, Sequence[Any]] | Reject]


def wanted(names: Iterable[str], *, general: bool) -> tuple[str, ...]:
    """Those of a table's columns that are read.

    Args:
        names: all its columns, in lower case.
        general: it is to be read in the general form.

    Raises:
        SourceError: a column is there twice, or those that are needed are not there.
    """
    names = list(names)
    present = set(names)
    if general:
        things = [*GENERAL] if present.issuperset(GENERAL) else []
    else:
        pictures = [name for name in PICTURES if name in present]
        things = [*pictures] or [name for name in SITES if name in present]
        things += [LARGE] if Kind.PHASH.value in pictures and LARGE in present else []
    if not things:
        needed = "columns kind and entry" if general else "column url, sha256, md5, phash, domain or host"
        raise SourceError(f"it has no {needed} in its first line")
    columns = (*things, *(name for name in TERMS if name in present))
    for name in columns:
        if names.count(name) > 1:
            raise SourceError(f"two of its columns are called {name}")
    return columns


# -- CSV -------------------------------------------------------------------------------------------------


def header(line: str) -> tuple[str, list[str]] | None:
    """Delimiter and column names, if a line is a table's header; names in lower case."""
    best: tuple[int, str, list[str]] | None = None
    for delimiter in DELIMITERS:
        try:
            fields = next(csv.reader([line], delimiter=delimiter, strict=True), [])
        except csv.Error:
            continue
        names = [field.strip().lower() for field in fields]
        known = len({*GENERAL, *PICTURES, *SITES, *TERMS}.intersection(names))
        useful = {*PICTURES, *SITES}.intersection(names) or set(GENERAL).issubset(names)
        if useful and (best is None or known > best[0]):
            best = known, _NONE if len(names) == 1 else delimiter, names
    return best and best[1:]


class _Feed:
    """Lines for the csv module, which remembers those of the record that is being read."""

    def __init__(self, found: Iterable[tuple[int, list[str]]]) -> None:
        self._found = ((number, line) for first, batch in found for number, line in enumerate(batch, first))
        self._again: list[tuple[int, str]] = []
        self.record: list[tuple[int, str]] = []

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        if len(self.record) >= RECORD_LINES_MAX:
            raise StopIteration
        number, line = self._again.pop() if self._again else next(self._found)
        self.record.append((number, line))
        # what follows a closing quote is refused by the csv module, inside of a quoted field and outside
        return line + "\n" if len(line) <= LINE_MAX else '"a"b'

    def put_back(self) -> None:
        """Have all lines of the record but its first one come again."""
        self._again += reversed(self.record[1:])


def csv_table(chunks: Iterable[bytes], *, general: bool) -> Table:
    """A table of text, columns separated by comma, tab, semicolon or bar.

    Raises:
        SourceError: its first line does not name the columns that are needed.
    """
    feed = _Feed(batches(decoded(chunks, newlines=False)))
    first = next((line for line in feed if line.strip() or feed.record.clear()), "")  # type: ignore[func-returns-value]
    feed.record.clear()
    delimiter, names = header(first.rstrip("\r\n")) or (",", [])
    columns = wanted(names, general=general)
    return Table(columns, _csv_rows(feed, delimiter, len(names), [names.index(name) for name in columns]))


def _csv_rows(
    feed: _Feed, delimiter: str, width: int, places: list[int]
) -> Iterator[tuple[int, Sequence[str]] | Reject]:
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        feed.record.clear()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            number, line = feed.record[0]
            why = _csv_fault(str(error), line, len(feed.record))
            feed.put_back()
            yield reject(number, line.rstrip("\r"), why)
            continue
        if len(fields) == width:
            yield feed.record[0][0], [fields[place] for place in places]
        elif any(field.strip() for field in fields):
            number, line = feed.record[0]
            yield reject(
                number, line.rstrip("\r"), f"it has {len(fields)} columns, the first line has {width}"
            )


def _csv_fault(message: str, line: str, count: int) -> str:
    if len(line) > LINE_MAX:
        return TOO_LONG
    if "unexpected end of data" in message:
        reach = f"within {RECORD_LINES_MAX} lines" if count >= RECORD_LINES_MAX else "at all"
        return f"a quote in it is not closed {reach}"
    return message


# -- JSON Lines ------------------------------------------------------------------------------------------


def json_table(chunks: Iterable[bytes], *, general: bool) -> Table:
    """A JSON object a line; its keys are the columns."""
    columns = (*GENERAL, *TERMS) if general else (*PICTURES, LARGE, *SITES, *TERMS)
    return Table(columns, _json_rows(chunks, columns))


def _json_rows(
    chunks: Iterable[bytes], columns: tuple[str, ...]
) -> Iterator[tuple[int, Sequence[Any]] | Reject]:
    for first, batch in batches(decoded(chunks)):
        for number, line in enumerate(batch, first):
            if len(line) > LINE_MAX:
                yield reject(number, line, TOO_LONG)
            elif line.strip():
                try:
                    data = json.loads(line)
                except (ValueError, RecursionError):
                    data = None
                if not isinstance(data, dict):
                    yield reject(number, line.strip(), "it is no JSON object")
                    continue
                cells = {key.strip().lower(): cell for key, cell in data.items()}
                if not cells.keys().isdisjoint(PICTURES):
                    for name in SITES:
                        cells.pop(name, None)
                yield number, [cells.get(name) for name in columns]


# -- Parquet ---------------------------------------------------------------------------------------------

_ROWS_AT_ONCE: Final = 16_384


def parquet_names(file: Any) -> list[str]:
    """The columns of an open Parquet file, in lower case.

    Raises:
        SourceError: pyarrow is missing, or it is no Parquet file.
    """
    return [name.strip().lower() for name in _parquet(file).schema_arrow.names]


def parquet_table(file: Any, *, general: bool) -> Table:
    """A Parquet file, open and seekable; its rows are numbered from 1.

    Raises:
        SourceError: pyarrow is missing, it is no Parquet file, or it has not the columns that are needed.
    """
    opened = _parquet(file)
    given = opened.schema_arrow.names
    names = [name.strip().lower() for name in given]
    columns = wanted(names, general=general)
    return Table(columns, _parquet_rows(opened, [given[names.index(name)] for name in columns]))


def _parquet(file: Any) -> Any:
    try:
        import pyarrow.parquet as pq  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SourceError("it is Parquet, which needs pyarrow: pip install 'heedful[bulk]'") from error
    try:
        return pq.ParquetFile(file)
    except (OSError, ValueError) as error:  # pyarrow's own are both
        raise SourceError(f"it is damaged: {error}") from error


def _parquet_rows(opened: Any, names: list[str]) -> Iterator[tuple[int, Sequence[Any]]]:
    number = 1
    try:
        for batch in opened.iter_batches(batch_size=_ROWS_AT_ONCE, columns=names):
            cells = [_cells(batch.column(name)) for name in names]
            yield from enumerate(zip(*cells, strict=True), number)
            number += batch.num_rows
    except (OSError, ValueError, OverflowError) as error:
        raise SourceError(f"it is damaged near row {number}: {error}") from error


def _cells(column: pa.Array) -> list[Any]:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    kind = column.type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp(kind.unit)).cast(pa.date32(), safe=False)
    if pa.types.is_date(column.type):
        column = column.cast(pa.string())  # a date may lie outside of Python's range
    try:
        cells: list[Any] = column.to_pylist()
    except UnicodeDecodeError:  # its strings are not UTF-8
        cells = column.cast(pa.large_binary()).to_pylist()
    if any(isinstance(cell, bytes) for cell in cells):
        return [_decoded(cell) if isinstance(cell, bytes) else cell for cell in cells]
    return cells


def _decoded(cell: bytes) -> str:
    return cell.decode("utf-8", "surrogateescape")


# -- rows into entries -----------------------------------------------------------------------------------


def _terms_reader(columns: tuple[str, ...], defaults: Terms) -> Callable[[Sequence[Any]], Terms]:
    """What reads a row's terms; it raises ValueError for a fault. Rows mostly agree, so it remembers."""
    places = [columns.index(name) if name in columns else None for name in TERMS]
    if not any(place is not None for place in places):
        return lambda _: defaults
    last: tuple[list[Any], Terms] | None = None

    def read(cells: Sequence[Any]) -> Terms:
        nonlocal last
        mine = [None if place is None else cells[place] for place in places]
        if last is not None and last[0] == mine:
            return last[1]
        name, opt_in, registered, use, expires = mine
        agrees = boolean(opt_in, "opt_in")
        terms = Terms(
            words(name, "list") or defaults.list,
            defaults.opt_in if agrees is None else agrees,
            day(registered, "date") or defaults.date,
            purpose(use) or defaults.purpose,
            day(expires, "expires") or defaults.expires,
        )
        last = mine, terms
        return terms

    return read


def read_entries(table: Table, defaults: Defaults) -> Iterator[Entry | Reject | Urls]:
    """A table in the general form."""
    terms_of = _terms_reader(table.columns, defaults.terms)
    kind_at, entry_at = (table.columns.index(name) for name in GENERAL)
    bulk = Bulk()
    for row in table.rows:
        if isinstance(row, Reject):
            yield row
            continue
        line, cells = row
        try:
            kind = _kind(words(cells[kind_at], "kind"))
            text = words(cells[entry_at], "entry")
            terms = terms_of(cells)
        except ValueError as error:
            yield reject(line, _raw(cells), str(error))
            continue
        if kind is Kind.URL and plain_url(text):
            if bulk.add(text, terms):
                yield from bulk.flush()
        else:
            yield checked(terms, kind, text, line, _raw(cells))
    yield from bulk.flush()


def _kind(word: str) -> Kind:
    try:
        return Kind(word.lower())
    except ValueError:
        known = ", ".join(kind.value for kind in Kind)
        raise ValueError(f"its kind {word!r} is none of {known}") from None


def read_columns(table: Table, defaults: Defaults) -> Iterator[Entry | Reject | Urls]:
    """A table whose columns name pictures or sites; each cell of a row is an entry of its own."""
    terms_of = _terms_reader(table.columns, defaults.terms)
    things = [
        (at, Kind(name)) for at, name in enumerate(table.columns) if name not in TERMS and name != LARGE
    ]
    large_at = table.columns.index(LARGE) if LARGE in table.columns else None
    bulk = Bulk()
    for row in table.rows:
        if isinstance(row, Reject):
            yield row
            continue
        line, cells = row
        try:
            terms = terms_of(cells)
        except ValueError as error:
            yield reject(line, _raw(cells), str(error))
            continue
        large = None if large_at is None else cells[large_at]
        found = [_thing(cells[at], kind, terms, line, cells, large) for at, kind in things]
        faults = [each for each in found if isinstance(each, Reject)]
        if not faults and not any(found):
            yield reject(line, _raw(cells), f"it is empty: no {', '.join(kind.value for _, kind in things)}")
        if faults and terms.opt_in:  # what is malformed does not allow
            yield from faults
            continue
        for each in found:
            if isinstance(each, str):
                if bulk.add(each, terms):
                    yield from bulk.flush()
            elif each is not None:
                yield each
    yield from bulk.flush()


def _thing(
    cell: Any, kind: Kind, terms: Terms, line: int, cells: Sequence[Any], large: Any
) -> str | Entry | Reject | None:
    """A plain URL as text, any other entry, a reject, or None for an empty cell."""
    try:
        text = words(cell, kind.value)
        if kind is Kind.PHASH and (half := words(large, LARGE)):
            if not text:
                raise ValueError(f"its {LARGE} stands there without a {kind}")
            text += ":" + half
        if not text:
            return None
        if kind is Kind.URL:
            if plain_url(text):
                return text
            if not is_url(text):
                raise ValueError(NO_URL)
        elif kind in {Kind.HOST, Kind.DOMAIN}:
            bare_name(text)
    except ValueError as error:
        return reject(line, _raw(cells), str(error))
    return checked(terms, kind, text, line, _raw(cells))


def _raw(cells: Sequence[Any]) -> str:
    return "\t".join("" if cell is None else cell if isinstance(cell, str) else shown(cell) for cell in cells)
