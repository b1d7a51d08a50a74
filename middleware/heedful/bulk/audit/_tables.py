"""img2dataset's tables: what is known of each picture, and rows that are emptied in place.

A row whose picture is removed stays, so that numbers of rows and what is done do not change. It keeps its key
and its URL, by which it is not fetched again unawares; all else in it becomes null, caption and exif too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from heedful.bulk.audit._stored import PICTURES, UnreadableError, digest
from heedful.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import IO

    import pyarrow as pa

    from heedful.bulk.audit._folder import Folder

KEY: Final = "key"
URL: Final = "url"
STATUS: Final = "status"
REMOVED: Final = "removed_opt_out"
"""The `status` of a row whose picture was removed; `error_message` has the reason."""

SUCCESS: Final = "success"
_MESSAGE: Final = "error_message"
_KEPT: Final = (KEY, URL)
_KNOWN: Final = (KEY, URL, "sha256", "md5", STATUS)

_ROWS: Final = 4096
"""Rows that are read at once."""

_PICTURES: Final = 32
"""Rows with pictures in them that are read at once."""


def arrow() -> Any:
    """The package pyarrow, with its modules `compute` and `parquet`.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import pyarrow  # noqa: ICN001, PLC0415 - of an extra
        import pyarrow.compute  # noqa: PLC0415
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError("This needs pyarrow: pip install 'heedful[bulk]'") from error
    return pyarrow


class Row(NamedTuple):
    """What a table has about a picture."""

    url: str | None
    sha256: bytes | None
    md5: bytes | None
    status: str | None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Row:
        """From columns by name; of other types than they should be, nothing is taken."""
        url, status = data.get(URL), data.get(STATUS)
        return cls(
            url if isinstance(url, str) else None,
            digest(data.get("sha256"), 32),
            digest(data.get("md5"), 16),
            status if isinstance(status, str) else None,
        )


class Table:
    """A shard's table, open."""

    def __init__(self, file: IO[bytes]) -> None:
        """Open it.

        Raises:
            UnreadableError: it is none.
        """
        self._arrow = arrow()
        try:
            self._file = self._arrow.parquet.ParquetFile(file)
        except (self._arrow.ArrowException, OSError) as error:
            raise _unreadable(error) from error
        self.schema = self._file.schema_arrow
        self.pictures = _picture_column(self.schema)

    def rows(self) -> Iterator[tuple[str, Row]]:
        """Each row's key, and what is known of it.

        Raises:
            UnreadableError: it cannot be read to its end.
        """
        for batch in self._batches(_ROWS, _KNOWN):
            for data in batch.to_pylist():
                if isinstance(data.get(KEY), str):
                    yield data[KEY], Row.of(data)

    def stored(self) -> Iterator[tuple[str, Row, bytes]]:
        """The rows with pictures in them.

        Raises:
            UnreadableError: it cannot be read to its end.
        """
        assert self.pictures is not None  # noqa: S101 - asked for where there are some
        for batch in self._batches(_PICTURES, (*_KNOWN, self.pictures)):
            for data in batch.to_pylist():
                picture = data.pop(self.pictures)
                if picture is None:
                    continue
                if not isinstance(data.get(KEY), str):
                    raise UnreadableError("its table has a picture without a key")
                yield data[KEY], Row.of(data), picture

    def _batches(self, rows: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        there = [name for name in columns if name in self.schema.names]
        try:
            yield from self._file.iter_batches(rows, columns=there)
        except (self._arrow.ArrowException, OSError) as error:
            raise _unreadable(error) from error

    def empty_rows(self, removed: Mapping[str, str], target: IO[bytes]) -> None:
        """Write it anew with some rows emptied.

        Metadata, row groups and compression stay, and the schema, but that more columns may be null.

        Args:
            removed: the reasons by the rows' keys.
            target: where to.

        Raises:
            UnreadableError: it cannot be read to its end.
        """
        arrow = self._arrow
        schema = arrow.schema(
            [field if field.name in _KEPT else field.with_nullable(nullable=True) for field in self.schema],
            self.schema.metadata,
        )
        keys = arrow.array(list(removed), arrow.string())
        try:
            with arrow.parquet.ParquetWriter(target, schema, compression=self._compression()) as writer:
                for number in range(self._file.num_row_groups):
                    group = self._file.read_row_group(number)
                    writer.write_table(_emptied(group, schema, keys, removed), max(len(group), 1))
        except (self._arrow.ArrowException, OSError) as error:
            raise _unreadable(error) from error

    def _compression(self) -> dict[str, str] | str:
        """The columns' codecs, in the words of the writer."""
        if not self._file.num_row_groups:
            return "snappy"
        group = self._file.metadata.row_group(0)
        columns = [group.column(number) for number in range(group.num_columns)]
        return {each.path_in_schema: _codec(each.compression) for each in columns}


def _codec(name: str) -> str:
    return {"UNCOMPRESSED": "none"}.get(name, name.lower())


def _picture_column(schema: pa.Schema) -> str | None:
    types = arrow().types
    binary = (types.is_binary, types.is_large_binary, types.is_binary_view)
    return next(
        (each.name for each in schema if each.name in PICTURES and any(is_(each.type) for is_ in binary)),
        None,
    )


def _emptied(group: pa.Table, schema: pa.Schema, keys: pa.Array, removed: Mapping[str, str]) -> pa.Table:
    pyarrow = arrow()
    names = group.column(KEY).cast(pyarrow.string())
    gone = pyarrow.compute.is_in(names, value_set=keys)
    if not pyarrow.compute.any(gone).as_py():
        return group.cast(schema)
    columns = []
    for field, column in zip(schema, group.columns, strict=True):
        if field.name in _KEPT:
            columns.append(column)
        elif field.name == STATUS:
            columns.append(_chosen(gone, [REMOVED] * len(group), column))
        elif field.name == _MESSAGE:
            columns.append(_chosen(gone, [removed.get(name) for name in names.to_pylist()], column))
        else:
            columns.append(_chosen(gone, [None] * len(group), column))
    return pyarrow.table(columns, schema=schema)


def _chosen(gone: pa.ChunkedArray, instead: list[str | None], column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column, but where `gone` is true, what is to stand there instead."""
    pyarrow = arrow()
    try:
        return pyarrow.compute.if_else(gone, pyarrow.array(instead, column.type), column)
    except pyarrow.ArrowNotImplementedError:  # for views of strings, say
        rows = zip(gone.to_pylist(), instead, column.to_pylist(), strict=True)
        values = [new if yes else old for yes, new, old in rows]
        return pyarrow.chunked_array([pyarrow.array(values, column.type)])


def read(folder: Folder, name: str) -> dict[str, Row] | None:
    """What a shard's table has, by key; None: there is none.

    Raises:
        UnreadableError: it is damaged.
    """
    try:
        with folder.open(name) as file:
            return dict(Table(file).rows())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> UnreadableError:
    return UnreadableError(f"its table cannot be read: {error}")
