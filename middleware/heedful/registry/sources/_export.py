"""Entries written as a table in the general form, which is read back as the same entries."""

from __future__ import annotations

import csv
import heapq
import json
import secrets
import tempfile
from contextlib import ExitStack, contextmanager
from datetime import date
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from heedful.errors import ConfigurationError
from heedful.model import Purpose
from heedful.registry.entries import Entry, Kind
from heedful.registry.sources._surt import surt_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

COLUMNS: Final = ("kind", "entry", "list", "date", "purpose", "expires", "opt_in")

SURT: Final = "surt"
"""The column of keys, which comes first."""

RUN_MAX: Final = 67_108_864
"""Characters that are sorted at once in memory."""

FAN: Final = 64
"""Most sorted files that are merged, and thus open, at once for each power of it."""

_ROW_GROUP: Final = 65_536

_Row = tuple[str, Entry]


def export(entries: Iterable[Entry], out: Path, *, by_surt: bool = False) -> int:
    """Write entries to a file, which is replaced when it is complete.

    Args:
        entries: the entries.
        out: a path ending in `.csv` or `.parquet`.
        by_surt: a first column has their SURT keys, and they are sorted by it (as octets), in bounded memory.

    Returns:
        How many there are.

    Raises:
        ConfigurationError: it cannot be written, or not in that format.
    """
    write = {".csv": _write_csv, ".parquet": _write_parquet}.get(out.suffix.lower())
    if write is None:
        raise ConfigurationError(f"{out} must end in .csv or .parquet.")
    try:
        with ExitStack() as stack:
            temporary = stack.enter_context(_temporary(out))
            rows: Iterable[_Row] = (("", entry) for entry in entries)
            if by_surt:
                folder = stack.enter_context(tempfile.TemporaryDirectory(dir=out.parent, prefix=".sorting-"))
                rows = _sorted(entries, Path(folder))
            count = write(rows, temporary, by_surt)
            temporary.replace(out)
            return count
    except OSError as error:
        raise ConfigurationError(f"{out} cannot be written: {error.strerror or error}.") from error


@contextmanager
def _temporary(out: Path) -> Iterator[Path]:
    path = out.with_name(f".{out.name}-{secrets.token_hex(4)}")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _write_csv(rows: Iterable[_Row], path: Path, by_surt: bool) -> int:  # noqa: FBT001
    count = 0
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((SURT, *COLUMNS) if by_surt else COLUMNS)
        for count, (key, entry) in enumerate(rows, 1):  # noqa: B007 - the count is wanted
            cells = _cells(entry)
            writer.writerow((key, *cells) if by_surt else cells)
    return count


def _cells(entry: Entry) -> tuple[str, ...]:
    return (
        entry.kind.value,
        entry.text,
        entry.list,
        entry.date.isoformat() if entry.date else "",
        entry.purpose.value,
        entry.expires.isoformat() if entry.expires else "",
        "true" if entry.opt_in else "false",
    )


def _write_parquet(rows: Iterable[_Row], path: Path, by_surt: bool) -> int:  # noqa: FBT001
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError("Parquet needs pyarrow: pip install 'heedful[bulk]'") from error
    text = pa.string()
    kinds = (text, text, text, pa.date32(), text, pa.date32(), pa.bool_())
    fields = list(zip(COLUMNS, kinds, strict=True))
    schema = pa.schema([(SURT, text), *fields] if by_surt else fields)
    count = 0
    rows = iter(rows)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while group := list(islice(rows, _ROW_GROUP)):
            columns: list[list[Any]] = [
                [entry.kind.value for _, entry in group],
                [_text(entry.text) for _, entry in group],
                [_text(entry.list) for _, entry in group],
                [entry.date for _, entry in group],
                [entry.purpose.value for _, entry in group],
                [entry.expires for _, entry in group],
                [entry.opt_in for _, entry in group],
            ]
            if by_surt:
                columns.insert(0, [key for key, _ in group])
            writer.write_table(pa.table(columns, schema=schema))
            count += len(group)
    return count


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"{text!r} holds bytes that are not UTF-8, which Parquet cannot: export to .csv."
        ) from None
    return text


# -- sorting ---------------------------------------------------------------------------------------------


def _sorted(entries: Iterable[Entry], folder: Path) -> Iterator[_Row]:
    """Entries with their keys, sorted: runs in memory, then merged from files."""
    levels: list[list[Path]] = []
    run: list[str] = []
    size = 0
    for entry in entries:
        line = _line(entry)
        run.append(line)
        size += len(line)
        if size >= RUN_MAX:
            run.sort()
            _spill(run, levels, 0, folder)
            run, size = [], 0
    run.sort()
    with ExitStack() as stack:
        files = [stack.enter_context(_reading(path)) for level in levels for path in level]
        for line in heapq.merge(run, *files):
            key, _, rest = line.partition("\t")
            yield key, _entry(rest)


def _spill(run: Iterable[str], levels: list[list[Path]], level: int, folder: Path) -> None:
    """Write a run; as many as `FAN` of a level become one of the next."""
    if level == len(levels):
        levels.append([])
    handle, name = tempfile.mkstemp(dir=folder)
    with open(handle, "w", encoding="ascii", newline="\n") as file:  # noqa: PTH123 - it is open already
        file.writelines(run)
    levels[level].append(Path(name))
    if len(levels[level]) == FAN:
        with ExitStack() as stack:
            files = [stack.enter_context(_reading(path)) for path in levels[level]]
            _spill(heapq.merge(*files), levels, level + 1, folder)
        for path in levels[level]:
            path.unlink()
        levels[level].clear()


def _reading(path: Path) -> IO[str]:
    return path.open(encoding="ascii", newline="\n")


def _line(entry: Entry) -> str:
    """A line that sorts by its key: ASCII, where no key has a sign as low as the tab."""
    return f"{surt_of(entry)}\t{json.dumps(_cells(entry))}\n"


def _entry(line: str) -> Entry:
    kind, text, name, registered, use, expires, opt_in = json.loads(line)
    return Entry(
        Kind(kind),
        text,
        name,
        opt_in == "true",
        date.fromisoformat(registered) if registered else None,
        Purpose(use),
        date.fromisoformat(expires) if expires else None,
    )
