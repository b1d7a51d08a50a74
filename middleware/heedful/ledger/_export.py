"""Records as a table in a file: Parquet for programs, CSV for people with spreadsheets as well."""

# ruff: noqa: S608 - what stands in the SQL are our own constants, and quoted paths

from __future__ import annotations

import json
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from heedful.errors import ConfigurationError
from heedful.ledger.tables import literal, quoted
from heedful.model import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from heedful.ledger.tables import LedgerTables

FORMULA_SIGNS: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How a cell begins that spreadsheets take for a formula (OWASP, "CSV Injection"); full-width forms too."""

_COLUMNS: Final = (
    *("id", "time", "run", "crawler", "url", "host", "hop_of", "action", "reason", "reasons", "stage"),
    *("status", "bytes_read", "bytes_avoided", "enforced", "error", "token", "policy", "policy_hash"),
    *("registries", "evidence", "overridden", "ignored", "warnings", "snapshots"),
)

_FIRST: Final = ("signal", "statement", "rule", "source_url", "where", "raw")
"""What CSV tells of the first piece of evidence in columns of its own, beside all of it as JSON."""

_JSON: Final = ("registries", "evidence", "overridden", "ignored", "warnings", "snapshots")

_PLAIN: Final[Mapping[str, str]] = {
    "time": "strftime(time, '%Y-%m-%dT%H:%M:%S.%f+00:00')",
    "status": "status",
    "bytes_read": "bytes_read",
    "bytes_avoided": "bytes_avoided",
    "enforced": "enforced",
}

# Most cells need no care, and only the others are handed to Python.
_SUSPECT: Final = r"[^\x20-\x7e]|^\s*[=+@-]"

_BLOCK: Final = 2**20


def export_parquet(tables: LedgerTables, out: Path) -> int:
    """Write the records as Parquet, which is replaced when it is complete.

    Lists stay lists, evidence a list of structs; `time` is a UTC timestamp.

    Returns:
        How many there are.

    Raises:
        ConfigurationError: it cannot be written.
        LedgerError: the ledger cannot be read.
    """
    columns = ", ".join(map(quoted, _COLUMNS))
    with replacing(out) as temporary:
        target = literal(str(temporary))
        (count,) = tables.execute(
            f"COPY (SELECT {columns} FROM records) TO {target} (FORMAT parquet, COMPRESSION zstd)"
        ).fetchone()
    return int(count)


def export_csv(tables: LedgerTables, out: Path) -> int:
    r"""Write the records as CSV (RFC 4180: UTF-8, commas, CRLF), which is replaced when it is complete.

    What comes from the web is made harmless. Control characters, and what else cannot be seen, are written as
    in the log (a tab as `\t`), so that each record is one line, and no cell begins with a tab or a carriage
    return. A cell that begins like a formula (`FORMULA_SIGNS`) gets an apostrophe before it: then it is text.

    Lists of words are separated by spaces; evidence, registries, warnings and snapshots are JSON; the first
    evidence, which carries the decision, has columns of its own, `evidence_signal` to `evidence_raw`.

    Returns:
        How many there are.

    Raises:
        ConfigurationError: it cannot be written.
        LedgerError: the ledger cannot be read.
    """
    tables.function("harmless", harmless)
    tables.function("harmless_json", harmless_json)
    columns = [f"{_in_csv(name)} AS {quoted(name)}" for name in _COLUMNS]
    columns += [f"{_cared('harmless', f'evidence[1].{quoted(name)}')} AS evidence_{name}" for name in _FIRST]
    with replacing(out) as temporary, replacing(temporary.with_suffix(".csv")) as lines:
        (count,) = tables.execute(
            f"COPY (SELECT {', '.join(columns)} FROM records) TO {literal(str(lines))} (FORMAT csv, HEADER)"
        ).fetchone()
        _crlf(lines, temporary)
    return int(count)


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A file beside `out` to be written, which takes its place at the end."""
    temporary = out.with_name(f".{out.name}-{secrets.token_hex(4)}")
    try:
        if not out.parent.is_dir():
            raise ConfigurationError(f"{out} cannot be written: there is no folder {out.parent}.")
        yield temporary
        temporary.replace(out)
    except OSError as error:
        raise ConfigurationError(f"{out} cannot be written: {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _in_csv(name: str) -> str:
    """The SQL of a column's cells."""
    if name in _JSON:
        return _cared("harmless_json", f"to_json({name})::VARCHAR")
    if name == "reasons":
        return _cared("harmless", "array_to_string(reasons, ' ')")
    return _PLAIN.get(name) or _cared("harmless", quoted(name))


def _cared(function: str, cell: str) -> str:
    return f"CASE WHEN regexp_matches({cell}, {literal(_SUSPECT)}) THEN {function}({cell}) ELSE {cell} END"


def _crlf(source: Path, target: Path) -> None:
    """Copy a file whose only line feeds end records, with the line ends of RFC 4180."""
    with source.open("rb") as lines, target.open("wb") as file:
        while block := lines.read(_BLOCK):
            file.write(block.replace(b"\n", b"\r\n"))


def harmless_json(text: str) -> str:
    """JSON, in which what cannot be seen is written as JSON escapes."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else json.dumps(sign)[1:-1] for sign in text)


def harmless(text: str) -> str:
    """Text as a cell that shows what it is and does nothing."""
    text = printable(text)
    return f"'{text}" if text.lstrip().startswith(FORMULA_SIGNS) else text
