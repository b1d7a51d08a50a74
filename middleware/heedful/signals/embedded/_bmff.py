"""Boxes (ISO/IEC 14496-12): AVIF, HEIC, JPEG XL, JPEG 2000.

XMP and Exif are items of a `meta` box (HEIF, ISO/IEC 23008-12), `uuid` boxes, or boxes of their own; a
manifest store is in a `uuid` box (C2PA 2.2, A.5) or, in JPEG XL, a `jumb` box.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from heedful.signals.embedded import _tiff
from heedful.signals.embedded._inflating import INFLATED_MAX
from heedful.signals.embedded._jumbf import UnreadError, unbrotli
from heedful.signals.embedded._parts import END, Kind, Part, Unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heedful.signals.embedded._parts import Buffer, Step, Walk

BOXES_MAX: Final = 4_096
"""Most boxes that are looked at; a fragmented film of an hour has as many."""

META_MAX: Final = 16 << 20
"""Octets of a `meta` box that are read; one of a picture of 1,000 tiles has about 100 kB."""

ITEMS_MAX: Final = 65_536
"""Most items of a `meta` box."""

EXTENTS_MAX: Final = 4_096
"""Most extents of the items that are read."""

_XMP_UUID: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_C2PA_UUID: Final = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_XMP_TYPES: Final = (b"application/rdf+xml", b"application/xml+xmp", b"text/xml")
_NESTED: Final = frozenset({b"moov", b"trak", b"udta"})
_READ: Final = frozenset({b"meta", b"uuid", b"xml ", b"jumb", b"Exif", b"brob"})

_head = struct.Struct(">I4s").unpack_from


class _Box(NamedTuple):
    kind: bytes
    at: int
    content: int
    end: int


def walk(buffer: Buffer) -> Walk:
    """Walk through a file of boxes."""
    return _boxes(buffer, 0, None, [BOXES_MAX, INFLATED_MAX])


def _boxes(buffer: Buffer, at: int, stop: int | None, room: list[int]) -> Walk:
    """The boxes from an offset on; `room`: how many more there may be, and octets to inflate."""
    while stop is None or at + 8 <= stop:
        if len(buffer) < at + 16:
            yield at + 16
            if len(buffer) < at + 8:
                return
        size, kind = _head(buffer, at)
        content = at + 8
        if size == 1:
            size = int.from_bytes(buffer[content : content + 8], "big")
            content += 8
        end = END if size == 0 and stop is None else stop if size == 0 else at + size
        if end is None or end < content:
            yield Unread(f"box at byte {at}", "an impossible length")
            return
        if not room[0]:
            yield Unread(f"box at byte {at}", f"more than {BOXES_MAX} boxes")
            return
        room[0] -= 1
        box = _Box(kind, at, content, end)
        if kind in _NESTED:
            yield from _boxes(buffer, content, end, room)
        elif kind in _READ:
            yield from _read(buffer, box, room)
        if end == END:
            return
        at = end


def _read(buffer: Buffer, box: _Box, room: list[int]) -> Iterator[Step]:
    if box.kind == b"uuid":
        if len(buffer) < box.content + 16:
            yield box.content + 16
        if bytes(buffer[box.content : box.content + 16]) not in {_XMP_UUID, _C2PA_UUID}:
            return
    if box.kind == b"meta" and box.end - box.content > META_MAX and box.end != END:
        yield Unread(f"meta box at byte {box.at}", f"longer than {META_MAX} octets")
        return
    if len(buffer) < box.end:
        yield box.end
    end = min(box.end, len(buffer))
    whole = box.end in {end, END}
    name = box.kind.decode("latin-1").strip()
    where = f"{name} box at byte {box.at}"
    if box.kind == b"meta":
        yield from _Items(buffer, box._replace(end=end)).walk()
    elif box.kind == b"uuid":
        data = bytes(buffer[box.content + 16 : end])
        if buffer[box.content : box.content + 16] == _XMP_UUID:
            yield Part(Kind.XMP, f"{where}, XMP", data, whole)
        else:
            # version and flags, what it is for, an offset, the store
            purpose, _, rest = data[4:].partition(b"\0")
            if purpose in {b"manifest", b"original", b"update"}:
                yield Part(Kind.JUMBF, f"{where}, C2PA", rest[8:], whole)
    elif box.kind == b"jumb":
        yield Part(Kind.JUMBF, f"{where}, C2PA", bytes(buffer[box.at : end]), whole)
    elif box.kind == b"brob":
        yield from _compressed(bytes(buffer[box.content : end]), where, whole, room)
    else:
        yield from _named(box.kind, bytes(buffer[box.content : end]), where, whole)


def _named(kind: bytes, data: bytes, where: str, whole: bool) -> Iterator[Step]:  # noqa: FBT001 - as in `Part`
    if kind == b"xml ":
        yield Part(Kind.XMP, where, data, whole)
    elif kind == b"Exif":
        yield from _exif(data, where, whole)
    elif kind == b"jumb":
        yield Part(Kind.JUMBF, where, struct.pack(">I4s", 8 + len(data), b"jumb") + data, whole)


def _exif(data: bytes, where: str, whole: bool) -> Iterator[Step]:  # noqa: FBT001
    """Behind the offset of the TIFF header (HEIF, A.2.1)."""
    offset = int.from_bytes(data[:4], "big")
    yield from _tiff.exif(data[4 + offset :].removeprefix(b"Exif\0\0"), where, whole=whole)


def _compressed(data: bytes, where: str, whole: bool, room: list[int]) -> Iterator[Step]:  # noqa: FBT001
    """A box in Brotli (ISO/IEC 18181-2, 9.5): its type, then its content."""
    kind = data[:4]
    if kind not in {b"xml ", b"Exif", b"jumb"}:
        return
    try:
        plain = unbrotli(data[4:], room[1])
    except UnreadError as error:
        yield Unread(where, str(error))
        return
    room[1] -= len(plain)
    yield from _named(kind, plain, where, whole)


class _Items:
    """The items of a `meta` box (ISO/IEC 14496-12, 8.11)."""

    def __init__(self, buffer: Buffer, box: _Box) -> None:
        self._buffer = buffer
        self._at = box.at
        self._data = bytes(buffer[box.content : box.end])
        self._extents = EXTENTS_MAX

    def walk(self) -> Iterator[Step]:
        where = f"meta box at byte {self._at}"
        # a full box, but QuickTime's is none
        begin = 0 if self._data[4:8] in {b"hdlr", b"iinf", b"iloc", b"pitm"} else 4
        inner = dict(self._inner(begin))
        try:
            wanted = self._wanted(*inner.get(b"iinf", (0, 0)))
            if not wanted:
                return
            located = dict(self._located(*inner.get(b"iloc", (0, 0)), wanted))
        except (struct.error, IndexError):
            yield Unread(where, "its items cannot be told")
            return
        store = self._data[slice(*inner.get(b"idat", (0, 0)))]
        for number, is_xmp in wanted.items():
            name = f"{where}, item {number}"
            if number not in located:
                yield Unread(name, "it is not said where it is")
                continue
            method, extents = located[number]
            if method > 1 or extents is None:
                yield Unread(name, "it is nowhere in this file" if method > 1 else "too many extents")
                continue
            source: Buffer = store if method else self._buffer
            pieces, whole = [], True
            for offset, size in extents:
                stop = offset + size
                if not method and size and len(source) < stop:
                    yield stop
                piece = bytes(source[offset : stop if size else None])
                whole = whole and len(piece) == (size or len(piece))
                pieces.append(piece)
            data = b"".join(pieces)
            if is_xmp:
                yield Part(Kind.XMP, f"{name}, XMP", data, whole)
            else:
                yield from _exif(data, f"{name}, Exif", whole)

    def _inner(self, at: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
        """Begin and end of the content of each box inside."""
        data = self._data
        for _ in range(BOXES_MAX):
            if at + 8 > len(data):
                return
            size, kind = _head(data, at)
            content = at + 8
            if size == 1:
                size, content = int.from_bytes(data[content : content + 8], "big"), content + 8
            end = len(data) if size == 0 else at + size
            if end < content:
                return
            yield kind, (content, min(end, len(data)))
            at = end

    def _wanted(self, at: int, end: int) -> dict[int, bool]:
        """Numbers of the items that hold XMP (True) or Exif."""
        wanted: dict[int, bool] = {}
        if at == end:
            return wanted
        data = self._data
        short = data[at] == 0
        count = int.from_bytes(data[at + 4 : at + (6 if short else 8)], "big")
        at += 6 if short else 8
        for _ in range(min(count, ITEMS_MAX)):
            if at + 8 > end:
                break
            size, kind = _head(data, at)
            stop = at + size
            if size < 8 or stop > end:
                break
            if kind == b"infe" and data[at + 8] in {2, 3}:
                wide = data[at + 8] == 3
                place = at + (16 if wide else 14)
                number = int.from_bytes(data[at + 12 : place], "big")
                kind = data[place + 2 : place + 6]
                if kind == b"mime":
                    _, content_type, *_ = (*data[place + 6 : stop].split(b"\0", 2), b"")
                    if content_type.lower().partition(b";")[0].strip() in _XMP_TYPES:
                        wanted[number] = True
                elif kind == b"Exif":
                    wanted[number] = False
            at = stop
        return wanted

    def _located(
        self, at: int, end: int, wanted: dict[int, bool]
    ) -> Iterator[tuple[int, tuple[int, list[tuple[int, int]] | None]]]:
        """Where the wanted items are: by which method, in which extents."""
        if at == end:
            return
        data = self._data
        version = data[at]
        sizes = data[at + 4] >> 4, data[at + 4] & 15, data[at + 5] >> 4, data[at + 5] & 15 if version else 0
        wide = 4 if version > 1 else 2
        at += 6
        count = int.from_bytes(data[at : at + wide], "big")
        at += wide
        for _ in range(min(count, ITEMS_MAX)):
            number = int.from_bytes(data[at : at + wide], "big")
            at += wide
            method = data[at + 1] & 15 if version else 0
            at += 2 if version else 0
            base = int.from_bytes(data[at + 2 : at + 2 + sizes[2]], "big")
            at += 2 + sizes[2]
            extents = int.from_bytes(data[at : at + 2], "big")
            at += 2
            length = sizes[3] + sizes[0] + sizes[1]
            if at + extents * length > end:
                raise IndexError
            if number in wanted:
                found: list[tuple[int, int]] | None = None
                if extents <= self._extents:
                    self._extents -= extents
                    found = []
                    for start in range(at, at + extents * length, length or 1):
                        place = start + sizes[3]
                        offset = int.from_bytes(data[place : place + sizes[0]], "big")
                        size = int.from_bytes(data[place + sizes[0] : place + sizes[0] + sizes[1]], "big")
                        found.append((base + offset, size))
                yield number, (method, found)
            at += extents * length
