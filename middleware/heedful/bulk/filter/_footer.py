"""Parquet files put one after another as one file: their bytes as they are, with one footer for all.

Row groups are independent of each other, so that several processes can write those of one file; what binds
them is the footer, `FileMetaData` in Thrift's compact protocol, which says at which octet each begins. It is
read as plain values, shifted, and written again. https://github.com/apache/parquet-format (parquet.thrift),
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

MAGIC: Final = b"PAR1"

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_INTEGERS: Final = frozenset({4, 5, 6})
_NUMBER: Final = 6
"""Type numbers of the compact protocol; `_NUMBER` is that of 64 bits."""

_ROWS: Final = 3
_GROUPS: Final = 4
"""Fields of `FileMetaData`: how many rows, and the row groups."""

_CHUNKS: Final = 1
_GROUP_OFFSET: Final = 5
_ORDINAL: Final = 7
"""Fields of `RowGroup`."""

_CHUNK_OFFSET: Final = 2
_META: Final = 3
_CHUNK_OFFSETS: Final = (4, 6)
"""Fields of `ColumnChunk`: where its metadata is (or 0), that metadata, offset index and column index."""

_META_OFFSETS: Final = (9, 10, 11, 14)
"""Fields of `ColumnMetaData`: where data pages, index pages, dictionary page and bloom filter begin."""

_BLOCK: Final = 2**20


class _List(NamedTuple):
    """A list and the type of what is in it."""

    kind: int
    values: list[Any]


_Struct = dict[int, tuple[int, Any]]
"""Fields by their numbers, each with its type."""


def join(parts: Sequence[Path], out: IO[bytes]) -> None:
    """Write the row groups of Parquet files, which were written alike, as one file.

    Args:
        parts: the files, at least one.
        out: the file, to be written from its start.

    Raises:
        OSError: something cannot be read or written.
    """
    whole: _Struct = {}
    groups: list[_Struct] = []
    rows = 0
    at = out.write(MAGIC)
    for part in parts:
        with part.open("rb") as file:
            size = part.stat().st_size
            file.seek(size - 8)
            length = int.from_bytes(file.read(4), "little")
            file.seek(size - 8 - length)
            footer = _Reader(file.read(length)).struct()
            file.seek(len(MAGIC))
            body = size - 8 - length - len(MAGIC)
            _copy(file, out, body)
        rows += footer[_ROWS][1]
        for group in footer[_GROUPS][1].values:
            _shift(group, at - len(MAGIC))
            groups.append(group)
        at += body
        whole = whole or footer
    for group in groups:
        group.pop(_ORDINAL, None)  # optional, and the same in all parts
    whole[_ROWS] = (_NUMBER, rows)
    whole[_GROUPS] = (_LIST, _List(_STRUCT, groups))
    footer_bytes = _written(whole)
    out.write(footer_bytes + len(footer_bytes).to_bytes(4, "little") + MAGIC)


def _copy(file: IO[bytes], out: IO[bytes], size: int) -> None:
    while size and (block := file.read(min(size, _BLOCK))):
        out.write(block)
        size -= len(block)


def _shift(group: _Struct, by: int) -> None:
    """Say of a row group that it lies so many octets further on."""
    _move(group, _GROUP_OFFSET, by)
    for chunk in group[_CHUNKS][1].values:
        if chunk[_CHUNK_OFFSET][1]:
            _move(chunk, _CHUNK_OFFSET, by)
        for field in _CHUNK_OFFSETS:
            _move(chunk, field, by)
        for field in _META_OFFSETS:
            _move(chunk[_META][1], field, by)


def _move(struct: _Struct, field: int, by: int) -> None:
    if field in struct:
        kind, offset = struct[field]
        struct[field] = (kind, offset + by)


class _Reader:
    """Reads values of the compact protocol."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def struct(self) -> _Struct:
        fields: _Struct = {}
        number = 0
        while head := self._octet():
            kind, step = head & 15, head >> 4
            number = number + step if step else self._integer()
            fields[number] = (kind, self._value(kind))
        return fields

    def _value(self, kind: int) -> Any:
        if kind in {_TRUE, _FALSE}:
            return kind == _TRUE
        return self._element(kind)

    def _element(self, kind: int) -> Any:
        if kind in _INTEGERS:
            return self._integer()
        if kind == _BINARY:
            return self._take(self._varint())
        if kind == _STRUCT:
            return self.struct()
        if kind in {_LIST, _SET}:
            return self._list()
        if kind in {_TRUE, _FALSE, _BYTE}:
            return self._octet()
        if kind == _DOUBLE:
            return self._take(8)
        raise ValueError(f"type {kind} is not used by Parquet")

    def _list(self) -> _List:
        head = self._octet()
        kind, size = head & 15, head >> 4
        if size == 15:
            size = self._varint()
        read: Callable[[int], Any] = self._element
        return _List(kind, [read(kind) for _ in range(size)])

    def _octet(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _take(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            octet = self._octet()
            value |= (octet & 127) << shift
            if octet < 128:
                return value
            shift += 7

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


def _written(struct: _Struct) -> bytes:
    out = bytearray()
    _write_struct(struct, out)
    return bytes(out)


def _write_struct(struct: _Struct, out: bytearray) -> None:
    before = 0
    for number in sorted(struct):
        kind, value = struct[number]
        if kind in {_TRUE, _FALSE}:
            kind = _TRUE if value else _FALSE
        step = number - before
        if 0 < step < 16:
            out.append(step << 4 | kind)
        else:
            out.append(kind)
            _write_varint(number << 1, out)
        before = number
        if kind not in {_TRUE, _FALSE}:
            _write(kind, value, out)
    out.append(0)


def _write(kind: int, value: Any, out: bytearray) -> None:
    if kind in _INTEGERS:
        _write_varint(value << 1 if value >= 0 else (-value << 1) - 1, out)
    elif kind == _BINARY:
        _write_varint(len(value), out)
        out += value
    elif kind == _STRUCT:
        _write_struct(value, out)
    elif kind in {_LIST, _SET}:
        size = len(value.values)
        out.append(min(size, 15) << 4 | value.kind)
        if size >= 15:
            _write_varint(size, out)
        for each in value.values:
            _write(value.kind, each, out)
    elif kind == _DOUBLE:
        out += value
    else:
        out.append(value)


def _write_varint(value: int, out: bytearray) -> None:
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
