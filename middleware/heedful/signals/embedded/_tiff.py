"""TIFF 6.0, BigTIFF and DNG, and Exif, which is a TIFF file inside others: XMP, C2PA's store, Copyright."""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from heedful.signals.embedded._parts import Kind, Part, Unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heedful.signals.embedded._parts import Buffer, Walk

DIRECTORIES_MAX: Final = 256
"""Most directories that are looked at; each page of a scan has one."""

ENTRIES_MAX: Final = 65_536
"""Most entries of all directories that are looked at; a DNG file has some hundred, a scan twenty a page."""

TEXT_MAX: Final = 4_096
"""Octets of Copyright that are read."""

PICTURES_MAX: Final = 64
"""Most pictures of a Multi-Picture index; cameras write two or three."""

_XMP: Final = 700
_COPYRIGHT: Final = 0x8298
_STORE: Final = 0xCD41
_SUB_DIRECTORIES: Final = 330
_MULTIPLE_PICTURES: Final = 0xB002
_WANTED: Final = frozenset((_XMP, _COPYRIGHT, _STORE, _SUB_DIRECTORIES))
_KINDS: Final = {_XMP: (Kind.XMP, "XMP"), _STORE: (Kind.JUMBF, "C2PA")}

_WIDTHS: Final = {3: 2, 8: 2, 4: 4, 9: 4, 11: 4, 13: 4, 5: 8, 10: 8, 12: 8, 16: 8, 17: 8, 18: 8}
"""Octets of a value by its type; the others have one."""

_PICTURE_BYTES: Final = 16
_PICTURE_OFFSET: Final = 8


class _Layout(NamedTuple):
    """How a file is written.

    Attributes:
        first: where the offset of the first directory stands.
        number: reads the number of a directory's entries.
        entry: reads an entry: tag, type, number of values, value or its offset.
        offset: reads an offset.
        offsets: code of an offset by its octets.
    """

    first: int
    number: struct.Struct
    entry: struct.Struct
    offset: struct.Struct
    offsets: dict[int, struct.Struct]


def _layout(order: str, *, big: bool) -> _Layout:
    offsets = {4: struct.Struct(order + "I"), 8: struct.Struct(order + "Q")}
    if big:
        return _Layout(8, struct.Struct(order + "Q"), struct.Struct(order + "HHQ8s"), offsets[8], offsets)
    return _Layout(4, struct.Struct(order + "H"), struct.Struct(order + "HHI4s"), offsets[4], offsets)


_LAYOUTS: Final = {
    b"II*\0": _layout("<", big=False),
    b"MM\0*": _layout(">", big=False),
    b"II+\0": _layout("<", big=True),
    b"MM\0+": _layout(">", big=True),
}

STARTS: Final = tuple(_LAYOUTS)
"""What such a file begins with."""


def walk(buffer: Buffer) -> Walk:
    """Walk through a TIFF file."""
    return _walk(buffer, "TIFF", whole=True)


def exif(data: bytes, where: str, *, whole: bool) -> Iterator[Part | Unread]:
    """What the Exif data of another container hold.

    Args:
        data: a TIFF file.
        where: its place.
        whole: False if it is cut off or damaged.
    """
    for step in _walk(data, where, whole=whole):
        if not isinstance(step, int):
            yield step


def _walk(buffer: Buffer, where: str, *, whole: bool) -> Walk:
    if len(buffer) < 16:
        yield 16
    layout = _LAYOUTS.get(bytes(buffer[:4]))
    if layout is None or len(buffer) < layout.first + layout.offset.size:
        return
    waiting = deque(layout.offset.unpack_from(buffer, layout.first))
    seen = {0}
    left = ENTRIES_MAX
    while waiting:
        at = waiting.popleft()
        if at in seen:
            continue
        if len(seen) > DIRECTORIES_MAX or not left:
            yield Unread(where, f"more than {DIRECTORIES_MAX} directories or {ENTRIES_MAX} entries")
            return
        seen.add(at)
        place = f"{where}, directory at byte {at}"
        begin = at + layout.number.size
        if len(buffer) < begin:
            yield begin
            if len(buffer) < begin:
                yield Unread(place, "it is cut off")
                continue
        (number,) = layout.number.unpack_from(buffer, at)
        read = min(number, left)
        left -= read
        end = begin + read * layout.entry.size
        if len(buffer) < end + layout.offset.size:
            yield end + layout.offset.size
        there = min(read, (len(buffer) - begin) // layout.entry.size)
        if there < number:
            yield Unread(place, "it is cut off")
        entries = bytes(buffer[begin : begin + there * layout.entry.size])
        for entry in layout.entry.iter_unpack(entries):
            if entry[0] in _WANTED:
                yield from _value(buffer, entry, layout, where, waiting, whole)
        if read == number and len(buffer) >= end + layout.offset.size:
            waiting += layout.offset.unpack_from(buffer, end)


def _value(
    buffer: Buffer,
    entry: tuple[int, int, int, bytes],
    layout: _Layout,
    where: str,
    waiting: deque[int],
    whole: bool,  # noqa: FBT001 - as in `Part`
) -> Walk:
    tag, kind, number, value = entry
    width = _WIDTHS.get(kind, 1)
    size = number * width
    if tag == _COPYRIGHT:
        size = min(size, TEXT_MAX)
    elif tag == _SUB_DIRECTORIES:
        size = min(size, DIRECTORIES_MAX * width)
    if size <= len(value):
        data = value[:size]
    else:
        (at,) = layout.offset.unpack(value)
        if len(buffer) < at + size:
            yield at + size
        data = bytes(buffer[at : at + size])
    if tag in _KINDS:
        what, name = _KINDS[tag]
        yield Part(what, f"{where}, {name}", data, whole and len(data) == size)
    elif tag == _COPYRIGHT:
        yield Part(Kind.COPYRIGHT, f"{where}, Copyright", data)
    elif width in layout.offsets and len(waiting) <= DIRECTORIES_MAX:
        usable = len(data) // width * width
        waiting += [offset for (offset,) in layout.offsets[width].iter_unpack(data[:usable])]


def multiple_pictures(data: bytes) -> list[int]:
    """The offsets of the pictures of a Multi-Picture index (CIPA DC-007, 5.2.3), from its own beginning."""
    layout = _LAYOUTS.get(data[:4])
    if layout is None or layout.offset.size != 4 or len(data) < 8:
        return []
    (at,) = layout.offset.unpack_from(data, layout.first)
    begin = at + layout.number.size
    if len(data) < begin:
        return []
    (number,) = layout.number.unpack_from(data, at)
    there = min(number, (len(data) - begin) // layout.entry.size)
    for tag, _, size, value in layout.entry.iter_unpack(data[begin : begin + there * layout.entry.size]):
        if tag == _MULTIPLE_PICTURES:
            (at,) = layout.offset.unpack(value)
            table = data[at : at + min(size, _PICTURE_BYTES * PICTURES_MAX)]
            starts = range(0, len(table) - _PICTURE_BYTES + 1, _PICTURE_BYTES)
            return [layout.offset.unpack_from(table, start + _PICTURE_OFFSET)[0] for start in starts]
    return []
