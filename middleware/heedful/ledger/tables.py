"""Ledgers as a table that DuckDB reads: any number of workers' files, millions of records in seconds.

Lines that are no records are left out and named, as `LedgerReader` names them.
"""

# ruff: noqa: S608 - what stands in the SQL are our own constants, and quoted paths

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from heedful.errors import ConfigurationError, LedgerError
from heedful.ledger.reader import Fault, LedgerReader
from heedful.ledger.records import SCHEMA
from heedful.model import Action

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

LINE_MAX: Final = 64 * 2**20
"""Longest line that is read, in bytes."""

_BLOCK: Final = 2**20


def _struct(*names: str) -> str:
    return f"STRUCT({', '.join(f'{quoted(name)} VARCHAR' for name in names)})[]"


def quoted(name: str) -> str:
    """`name` as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """`text` as a string of SQL."""
    return "'" + text.replace("'", "''") + "'"


_STATEMENTS: Final = _struct(
    *("signal", "statement", "rule", "strength", "covers", "switch", "stage", "protocol"),
    *("source_url", "where", "raw", "sha256", "fetched"),
)

_TYPES: Final[Mapping[str, str]] = {
    "schema": "INTEGER",
    "id": "VARCHAR",
    "time": "TIMESTAMPTZ",
    "run": "VARCHAR",
    "crawler": "VARCHAR",
    "url": "VARCHAR",
    "hop_of": "VARCHAR",
    "action": "VARCHAR",
    "reason": "VARCHAR",
    "reasons": "VARCHAR[]",
    "stage": "VARCHAR",
    "evidence": _STATEMENTS,
    "policy": "STRUCT(name VARCHAR, hash VARCHAR)",
    "registries": "STRUCT(name VARCHAR, version BIGINT)[]",
    "token": "VARCHAR",
    "status": "INTEGER",
    "bytes_read": "BIGINT",
    "bytes_avoided": "BIGINT",
    "enforced": "BOOLEAN",
    "error": "VARCHAR",
    "overridden": _STATEMENTS,
    "ignored": _STATEMENTS,
    "warnings": _struct("signal", "message", "source_url", "where", "raw"),
    "snapshots": "MAP(VARCHAR, VARCHAR)",
}
"""Each field of a record. What a line leaves out is NULL in the file and its empty value in the view."""

_EMPTY: Final[Mapping[str, str]] = {
    "reasons": "[]",
    "evidence": "[]",
    "registries": "[]",
    "overridden": "[]",
    "ignored": "[]",
    "warnings": "[]",
    "snapshots": "MAP {}",
    "bytes_read": "0",
    "enforced": "true",
}

# The host as the WHATWG URL Standard finds it: userinfo before the last @, a backslash ends it like a slash.
_HOST: Final = r"^[a-z][a-z0-9+.-]*://(?:[^/?#\\]*@)?(\[[^\]]*\]|[^/?#:\\]*)"

_RECORD: Final = (
    f"schema IS NOT DISTINCT FROM {SCHEMA} AND id IS NOT NULL AND time IS NOT NULL AND url IS NOT NULL "
    f"AND action IN ({', '.join(literal(action.value) for action in Action)})"
)

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class LedgerTables:
    """The view `records` over ledgers, in a database of its own that lies in memory.

    Its columns are the fields of a record, with `policy` and `policy_hash` apart, and the URL's `host`.

    Attributes:
        files: the record files.
        faults: the lines that are no records.
    """

    def __init__(self, *ledgers: str) -> None:
        """Find the files and check every line. Use it as a context manager, or close it.

        Files of other file systems are copied to a temporary folder first, each once.

        Args:
            ledgers: folders or `*.jsonl` files, or URLs of such that fsspec understands.

        Raises:
            ConfigurationError: DuckDB is not installed.
            LedgerError: one of them is not there, or cannot be read.
        """
        try:
            import duckdb  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ConfigurationError("This command needs duckdb: pip install 'heedful[report]'") from error
        self.files: list[str] = []
        self.faults: list[Fault] = []
        self._functions: set[str] = set()
        self._stack = contextlib.ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="heedful-")))
        try:
            local = [path for ledger in ledgers for path in self._local(ledger)]
            self._database = self._stack.enter_context(duckdb.connect(config=_config(self._folder)))
            self._database.execute("SET TimeZone = 'UTC'")
            self._read(local)
            self._read(self._mended(local))
            self._database.execute(f"CREATE VIEW records AS SELECT {_view()} FROM lines WHERE {_RECORD}")
        except (duckdb.Error, OSError) as error:
            self.close()
            raise LedgerError(f"The ledger cannot be read: {error}.") from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the database and what was copied."""
        self._stack.close()

    def execute(self, sql: str, values: Sequence[Any] | Mapping[str, Any] | None = None) -> Any:
        """Run SQL.

        Returns:
            The DuckDB connection, which has the result.

        Raises:
            LedgerError: it failed, for example as the disk is full.
        """
        import duckdb  # noqa: PLC0415 - an extra

        try:
            return self._database.execute(sql, values)
        except (duckdb.Error, OSError) as error:
            raise LedgerError(f"The ledger cannot be read: {error}.") from error

    def rows(self, sql: str, values: Sequence[Any] | Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The rows of a query, by the names of its columns."""
        found = self.execute(sql, values)
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def function(self, name: str, call: Callable[[str], str]) -> None:
        """Let SQL call `call`, from text to text, as `name`; NULL stays NULL."""
        if name not in self._functions:
            self._functions.add(name)
            self._database.create_function(name, call, ["VARCHAR"], "VARCHAR")

    # -- files -------------------------------------------------------------------------------------------

    def _local(self, ledger: str) -> Iterator[str]:
        """Paths of the ledger's files, those of other file systems copied."""
        names = LedgerReader(ledger).files
        first = len(self.files)
        self.files += names
        fs, _ = fsspec.core.url_to_fs(ledger)
        if isinstance(fs, LocalFileSystem):
            yield from names
            return
        copies = [str(self._folder / f"{first + number}.jsonl") for number in range(len(names))]
        try:
            fs.get(names, copies)
        except (OSError, ValueError) as error:
            raise LedgerError(f"The ledger {ledger} cannot be read: {error}.") from error
        yield from copies

    def _read(self, paths: list[str]) -> None:
        """Let the view `lines` be these files, NULL in every column where a line is no JSON object."""
        self._database.execute("SET VARIABLE files = ?", [paths])
        columns = ", ".join(f"{quoted(name)}: {literal(kind)}" for name, kind in _TYPES.items())
        self._database.execute(
            "CREATE OR REPLACE VIEW lines AS SELECT * FROM read_json(getvariable('files'), "
            f"format = 'newline_delimited', columns = {{{columns}}}, ignore_errors = true, "
            f"maximum_object_size = {LINE_MAX}, filename = 'file')"
        )

    def _mended(self, paths: list[str]) -> list[str]:
        """The files with those replaced that hold what is no record, or what DuckDB does not take for one.

        Of most torn files nothing is copied: DuckDB passes over their last line as well.
        """
        bad = dict(
            self._database.execute(
                f"SELECT file, count(*) FROM lines WHERE NOT coalesce({_RECORD}, false) GROUP BY file"
            ).fetchall()
        )
        good = []
        for name, path in zip(self.files, paths, strict=True):
            torn = _torn(path)
            wrong = bad.get(path, 0)
            if torn is not None and wrong == 1 and not _is_json(torn):
                self.faults.append(
                    Fault(name, _line_feeds(path) + 1, "torn", f"{len(torn)} bytes without an end of line")
                )
            elif torn is not None or wrong:
                path = self._rewritten(name, path)  # noqa: PLW2901
            good.append(path)
        return good

    def _rewritten(self, name: str, path: str) -> str:
        """A copy of the file's records alone, its faults noted under `name`."""
        handle, copy = tempfile.mkstemp(dir=self._folder, suffix=".jsonl")
        reader = LedgerReader(path)
        with open(handle, "w", encoding="utf-8", newline="\n") as file:  # noqa: PTH123 - it is open already
            file.writelines(
                _whole(json.dumps(record.as_dict(), ensure_ascii=False)) + "\n" for record in reader
            )
        self.faults += [Fault(name, fault.line, fault.kind, fault.message) for fault in reader.faults]
        return copy


def _config(folder: Path) -> dict[str, Any]:
    return {
        "autoinstall_known_extensions": "false",  # nothing is fetched from the network
        "temp_directory": str(folder),
    }


def _view() -> str:
    columns = []
    for name in _TYPES:
        if name == "policy":
            columns += ["policy.name AS policy", "policy.hash AS policy_hash"]
        elif name in _EMPTY:
            columns.append(f"coalesce({quoted(name)}, {_EMPTY[name]}) AS {quoted(name)}")
        else:
            columns.append(quoted(name))
        if name == "url":
            columns.append(f"regexp_extract(lower(url), {literal(_HOST)}, 1) AS host")
    return ", ".join(columns)


def _whole(text: str) -> str:
    """JSON text in which lone surrogates, which are no characters, are spelled out."""
    return _SURROGATE.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text)


def _torn(path: str) -> bytes | None:
    """What follows the last line feed; None where nothing does."""
    with open(path, "rb") as file:  # noqa: PTH123 - fsspec paths are strings
        start = end = file.seek(0, os.SEEK_END)
        tail = b""
        while start and b"\n" not in tail:
            start = max(0, start - (1 if start == end else _BLOCK))
            file.seek(start)
            tail = file.read(end - start)
    return tail.rpartition(b"\n")[2] or None


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _line_feeds(path: str) -> int:
    with open(path, "rb") as file:  # noqa: PTH123 - fsspec paths are strings
        return sum(block.count(b"\n") for block in iter(lambda: file.read(_BLOCK), b""))
