"""TIFF 6.0, BigTIFF and DNG, and Exif, which is a TIFF file inside others: XMP, C2PA's store, Copyright."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from heedful.signals.embedded._parts import Kind, Part, Unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heedful.signals.embedded._parts import Buffer, Step, Walk

DIRECTORIES_MAX: Final = 256
"""Most directories that are looked at; each page of a scan has one."""

ENTRIES_MAX: Final = 4_096
"""Most entries of a directory; DNG files have some hundred."""

_XMP: Final = 700
_COPYRIGHT: Final = 0x8298
_STORE: Final = 0xCD41
_SUB_DIRECTORIES: Final = 330
_MULTIPLE_PICTURES: Final = 0xB002
_PLACES_MAX: Final = 64

_BYTES_OF: Final = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4, 13: 4, 16: 8, 17: 8, 18: 8}
"""Octets of a value, by its type; what has another one is none of ours."""

_PARTS: Final = {
    _XMP: (Kind.XMP, "XMP"),
    _COPYRIGHT: (Kind.COPYRIGHT, "Copyright"),
    _STORE: (Kind.JUMBF, "C2PA"),
}


class _Layout(NamedTuple):
    """How numbers are written: order, octets of an offset, the structs that read them."""

    first: int
    number: struct.Struct
    entry: struct.Struct
    offset: struct.Struct


def _layout(order: str, *, big: bool) -> _Layout:
    if big:
        return _Layout(8, *(struct.Struct(order + form) for form in ("Q", "HHQ8s", "Q")))
    return _Layout(4, *(struct.Struct(order + form) for form in ("H", "HHI4s", "I")))


_LAYOUTS: Final = {
    b"II*\0": _layout("<", big=False),
    b"MM\0*": _layout(">", big=False),
    b"II+\0": _layout("<", big=True),
    b"MM\0+": _layout(">", big=True),
}


def walk(buffer: Buffer) -> Walk:
    """Walk through a TIFF file."""
    return _walk(buffer, "TIFF", whole=True)


def exif(data: bytes, where: str, *, whole: bool) -> Iterator[Part | Unread]:
    """What the Exif data of another container hold.

    Args:
        data: a TIFF file.
        where: its place.
        whole: False if it is cut off.
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
    waiting: list[int] = [layout.offset.unpack_from(buffer, layout.first)[0]]
    seen: set[int] = set()
    while waiting:
        at = waiting.pop(0)
        if not at or at in seen:
            continue
        if len(seen) == DIRECTORIES_MAX:
            yield Unread(where, f"more than {DIRECTORIES_MAX} directories")
            return
        seen.add(at)
        yield from _directory(buffer, at, layout, where, waiting, whole)


def _directory(
    buffer: Buffer,
    at: int,
    layout: _Layout,
    where: str,
    waiting: list[int],
    whole: bool,  # noqa: FBT001 - as in `Part`
) -> Iterator[Step]:
    begin = at + layout.number.size
    if len(buffer) < begin:
        yield begin
        if len(buffer) < begin:
            yield Unread(where, "its directory is cut off")
            return
    count = min(layout.number.unpack_from(buffer, at)[0], ENTRIES_MAX)
    end = begin + count * layout.entry.size
    if len(buffer) < end + layout.offset.size:
        yield end + layout.offset.size
    stop = min(end, begin + (len(buffer) - begin) // layout.entry.size * layout.entry.size)
    for tag, kind, number, value in layout.entry.iter_unpack(bytes(buffer[begin:stop])):
        if tag in _PARTS or tag == _SUB_DIRECTORIES:
            size = number * _BYTES_OF.get(kind, 0)
            if not size:
                continue
            place = None
            if size > len(value):
                (place,) = layout.offset.unpack(value)
                if len(buffer) < place + size:
                    yield place + size
            data = value[:size] if place is None else bytes(buffer[place : place + size])
            if tag == _SUB_DIRECTORIES:
                form = layout.offset if _BYTES_OF[kind] == layout.offset.size else layout.entry
                if form is layout.offset:
                    usable = len(data) // form.size * form.size
                    waiting += [offset for (offset,) in form.iter_unpack(data[:usable])][:_PLACES_MAX]
                continue
            what, name = _PARTS[tag]
            yield Part(what, f"{where}, {name}", data, whole and len(data) == size)
    if stop < end:
        yield Unread(where, "its directory is cut off")
    elif len(buffer) >= end + layout.offset.size:
        waiting += layout.offset.unpack_from(buffer, end)


def multiple_pictures(data: bytes) -> list[int]:
    """The offsets of the pictures of a Multi-Picture index (CIPA DC-007, 5.2.3), from its own beginning."""
    layout = _LAYOUTS.get(data[:4])
    if layout is None or layout.offset.size != 4 or len(data) < 8:
        return []
    (at,) = layout.offset.unpack_from(data, 4)
    begin = at + 2
    if len(data) < begin:
        return []
    end = begin + layout.number.unpack_from(data, at)[0] * layout.entry.size
    for tag, _, size, value in layout.entry.iter_unpack(
        data[begin : min(end, begin + (len(data) - begin) // layout.entry.size * layout.entry.size)]
    ):
        if tag == _MULTIPLE_PICTURES:
            (place,) = layout.offset.unpack(value)
            entries = data[place : place + min(size, 16 * _PLACES_MAX)]
            return [
                layout.offset.unpack_from(entries, entry + 8)[0] for entry in range(0, len(entries) - 15, 16)
            ]
    return []
