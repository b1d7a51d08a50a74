"""Boxes (ISO/IEC 14496-12): AVIF, HEIC, JPEG XL, JPEG 2000.

XMP and Exif are items of a `meta` box (HEIF, ISO/IEC 23008-12), `uuid` boxes, or boxes of their own; a
manifest store is in a `uuid` box (C2PA 2.2, A.5) or, in JPEG XL, a `jumb` box.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from heedful.signals.embedded import _tiff
from heedful.signals.embedded._inflating import RAW, Inflater
from heedful.signals.embedded._parts import END, Kind, Part, Unread
from heedful.signals.embedded._xmp import PACKET_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heedful.signals.embedded._parts import Buffer, Step, Walk

BOXES_MAX: Final = 4_096
"""Most boxes that are looked at; a fragmented film of an hour has as many."""

DEPTH_MAX: Final = 8
"""Deepest nesting of boxes that are looked into; a track's metadata are three deep."""

META_MAX: Final = 16_777_216
"""Octets of a `meta` box that are read; one of a picture of 1,000 tiles has about 100 kB."""

ITEMS_MAX: Final = 65_536
"""Most items of a `meta` box; they are numbered by 16 bits as a rule."""

EXTENTS_MAX: Final = 4_096
"""Most extents of the items that are read; an item has one as a rule."""

OCTETS_MAX: Final = 2 * PACKET_MAX
"""Octets of all items that are read; they may overlap."""

_EXIF_UUIDS: Final = (
    bytes.fromhex("4a706754696666457869662d3e4a5032"),  # "JpgTiffExif->JP2"
    bytes.fromhex("0537cdab9d0c4431a72afa561f2a113e"),
)
"""Boxes of Exif in JPEG 2000, as Adobe and as ExifTool write them."""

_UUIDS: Final = {
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): "XMP",
    bytes.fromhex("d8fec3d61b0e483c92975828877ec481"): "C2PA",
    **dict.fromkeys(_EXIF_UUIDS, "Exif"),
}
_STORES: Final = frozenset((b"manifest", b"original", b"update"))
"""What a C2PA box with a manifest store says that it is for; one that says `merkle` holds hashes."""

_XMP_TYPES: Final = frozenset((b"application/rdf+xml", b"application/xml", b"text/xml"))
_NESTED: Final = frozenset((b"moov", b"trak", b"udta"))
_READ: Final = frozenset((b"meta", b"uuid", b"xml ", b"XMP_", b"jumb", b"Exif", b"brob"))
_COMPRESSED: Final = frozenset((b"xml ", b"jumb", b"Exif"))
_IN_META: Final = frozenset((b"hdlr", b"pitm", b"iinf", b"iloc", b"iprp", b"iref", b"idat"))
_WHOLE_FILE: Final = 0

_head = struct.Struct(">I4s").unpack_from


class _Box(NamedTuple):
    kind: bytes
    at: int
    content: int
    end: int


class _Item(NamedTuple):
    """An item that is read: XMP or else Exif, its content encoding if any, and whether it is encrypted."""

    is_xmp: bool
    encoding: bytes = b""
    protected: bool = False


class _Place(NamedTuple):
    """Where an item is: by which method of construction, in which file, in which extents."""

    method: int
    file: int
    extents: list[tuple[int, int]] | None


def walk(buffer: Buffer) -> Walk:
    """Walk through a file of boxes."""
    return _Walk(buffer).boxes(0, END, 0)


class _Walk:
    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self._boxes = BOXES_MAX
        self._extents = EXTENTS_MAX
        self._room = OCTETS_MAX
        self._inflater = Inflater()

    def boxes(self, at: int, stop: int, depth: int) -> Iterator[Step]:
        """The boxes from one offset to another."""
        buffer = self._buffer
        while at + 8 <= stop:
            if len(buffer) < at + 16:
                yield at + 16
                if len(buffer) < at + 8:
                    return
            size, kind = _head(buffer, at)
            content = at + 8
            if size == 1:
                size = int.from_bytes(buffer[content : content + 8], "big")
                content += 8
            end = at + size if size else stop
            if end < content:
                yield Unread(f"box at byte {at}", "an impossible length")
                return
            if not self._boxes:
                yield Unread(f"box at byte {at}", f"more than {BOXES_MAX} boxes")
                return
            self._boxes -= 1
            box = _Box(kind, at, content, min(end, stop))
            if kind in _READ:
                yield from self._read(box)
            elif kind in _NESTED:
                if depth == DEPTH_MAX:
                    yield Unread(f"box at byte {at}", f"nested more than {DEPTH_MAX} deep")
                else:
                    yield from self.boxes(content, box.end, depth + 1)
            at = end

    def _read(self, box: _Box) -> Iterator[Step]:
        buffer = self._buffer
        what = ""
        begin = box.content
        if box.kind == b"uuid":
            begin += 16
            if len(buffer) < begin:
                yield begin
            what = _UUIDS.get(bytes(buffer[box.content : begin]), "")
            if not what:
                return
        where = f"{box.kind.decode('ascii').strip('_ ')} box at byte {box.at}"
        if box.kind == b"meta" and box.end - begin > META_MAX and box.end != END:
            yield Unread(where, f"longer than {META_MAX} octets")
            return
        if len(buffer) < box.end:
            yield box.end
        data = bytes(buffer[begin : box.end])
        whole = box.end == END or len(buffer) >= box.end
        if box.kind == b"meta":
            yield from self._items(data, where)
        elif what == "C2PA":
            # version and flags, what it is for, an offset, the store
            purpose, _, rest = data[4:].partition(b"\0")
            if purpose in _STORES:
                yield Part(Kind.JUMBF, f"{where}, C2PA", rest[8:], whole)
        elif what == "Exif":
            yield from _tiff.exif(data.removeprefix(b"EXIF\0\0"), f"{where}, Exif", whole=whole)
        elif box.kind == b"brob":  # (ISO/IEC 18181-2, 9.5): its type, then its content
            kind = data[:4]
            if kind in _COMPRESSED:
                plain, fault = self._inflater.brotli(data[4:])
                if fault is None:
                    yield from _named(kind, plain, f"{where}, {kind.decode('ascii').strip()}", whole)
                else:
                    yield Unread(where, fault)
        else:
            yield from _named(box.kind, data, where, whole)

    # -- the items of a `meta` box (ISO/IEC 14496-12, 8.11) ---------------------------------------------

    def _items(self, data: bytes, where: str) -> Iterator[Step]:
        # a full box, with version and flags, but QuickTime's is none
        first = 0 if data[4:8] in _IN_META else 4
        inner = {kind: data[begin:end] for kind, begin, end in _inner(data, first)}
        try:
            wanted = _wanted(inner.get(b"iinf", b""))
            places = self._places(inner.get(b"iloc", b""), wanted) if wanted else {}
        except IndexError:
            yield Unread(where, "its items cannot be told")
            return
        for number, item in wanted.items():
            name = f"{where}, item {number}"
            place = places.get(number)
            if place is None:
                yield Unread(name, "it is not said where it is")
            elif place.extents is None:
                yield Unread(name, f"more than {EXTENTS_MAX} extents")
            elif item.protected or place.method > 1 or place.file:
                yield Unread(name, "it is encrypted, in another file, or made of other items")
            else:
                yield from self._item(item, place, inner.get(b"idat", b""), name)

    def _places(self, data: bytes, wanted: dict[int, _Item]) -> dict[int, _Place]:
        """Where the wanted items are, as far as an `iloc` box says.

        Raises:
            IndexError: it is cut off.
        """
        places: dict[int, _Place] = {}
        if not data:
            return places
        version = data[0]
        offset, length, base = data[4] >> 4, data[4] & 15, data[5] >> 4
        index = data[5] & 15 if version else 0
        wide = 4 if version > 1 else 2
        count = _number(data, 6, wide)
        at = 6 + wide
        for _ in range(min(count, ITEMS_MAX)):
            number = _number(data, at, wide)
            at += wide
            method = 0
            if version:
                method = _number(data, at, 2) & 15
                at += 2
            file, start = _number(data, at, 2), _number(data, at + 2, base)
            extents = _number(data, at + 2 + base, 2)
            at += 4 + base
            if number in wanted:
                found: list[tuple[int, int]] | None = None
                if extents <= self._extents:
                    self._extents -= extents
                    each = index + offset + length
                    found = [
                        (start + _number(data, place, offset), _number(data, place + offset, length))
                        for place in (at + index + each * extent for extent in range(extents))
                    ]
                places[number] = _Place(method, file, found)
            at += extents * (index + offset + length)
        return places

    def _item(self, item: _Item, place: _Place, idat: bytes, where: str) -> Iterator[Step]:
        source: Buffer = idat if place.method else self._buffer
        pieces: list[bytes] = []
        whole = True
        for offset, size in place.extents or ():
            end = offset + size if size != _WHOLE_FILE else END
            if not place.method and len(source) < end:
                yield end
            there = min(end, len(source)) - offset
            if there > self._room:
                yield Unread(where, f"items of more than {OCTETS_MAX} octets")
                return
            pieces.append(bytes(source[offset:end]))
            self._room -= max(there, 0)
            whole = whole and size in {_WHOLE_FILE, there}
        data = b"".join(pieces)
        if item.encoding:
            data, fault = self._decoded(data, item.encoding)
            if fault is not None:
                yield Unread(where, fault)
                whole = False
        if item.is_xmp:
            yield Part(Kind.XMP, f"{where}, XMP", data, whole)
        else:
            yield from _exif(data, f"{where}, Exif", whole)

    def _decoded(self, data: bytes, encoding: bytes) -> tuple[bytes, str | None]:
        """What an item holds, or its beginning, and in that case what is wrong with it."""
        if encoding == b"br":
            return self._inflater.brotli(data)
        if encoding not in {b"deflate", b"zlib", b"gzip"}:
            return b"", "a content encoding that is not known"
        plain, fault = self._inflater.zlib(data)
        if plain or fault is None:
            return plain, fault
        return self._inflater.zlib(data, RAW)  # `deflate` is understood both ways


def _named(kind: bytes, data: bytes, where: str, whole: bool) -> Iterator[Step]:  # noqa: FBT001 - as in `Part`
    """A box of XMP, Exif or JUMBF, by its type and content."""
    if kind == b"jumb":
        yield Part(Kind.JUMBF, f"{where}, C2PA", struct.pack(">I4s", 8 + len(data), kind) + data, whole)
    elif kind == b"Exif":
        yield from _exif(data, where, whole)
    else:
        yield Part(Kind.XMP, f"{where}, XMP", data, whole)


def _exif(data: bytes, where: str, whole: bool) -> Iterator[Step]:  # noqa: FBT001
    """Exif behind the offset of its TIFF header (HEIF, A.2.1)."""
    offset = int.from_bytes(data[:4], "big")
    yield from _tiff.exif(data[4 + offset :].removeprefix(b"Exif\0\0"), where, whole=whole)


def _number(data: bytes, at: int, size: int) -> int:
    if at + size > len(data):
        raise IndexError
    return int.from_bytes(data[at : at + size], "big")


def _inner(data: bytes, at: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes within a `meta` box: type, begin and end of the content."""
    for _ in range(BOXES_MAX):
        if at + 8 > len(data):
            return
        size, kind = _head(data, at)
        content = at + 8
        if size == 1:
            size = int.from_bytes(data[content : content + 8], "big")
            content += 8
        end = at + size if size else len(data)
        if end < content:
            return
        yield kind, content, min(end, len(data))
        at = end


def _wanted(data: bytes) -> dict[int, _Item]:
    """The items with XMP or Exif among those of an `iinf` box, by number.

    Raises:
        IndexError: it is cut off.
    """
    wanted: dict[int, _Item] = {}
    if b"mime" not in data and b"Exif" not in data and b"xml" not in data:
        return wanted
    wide = 4 if data[0] else 2
    at = 4 + wide
    for _ in range(min(_number(data, 4, wide), ITEMS_MAX)):
        size, kind = _number(data, at, 4), data[at + 4 : at + 8]
        entry = data[at + 8 : at + size]
        if size < 8 or len(entry) < size - 8:
            raise IndexError
        at += size
        if kind != b"infe":
            continue
        version = entry[0]
        place = 4 + (4 if version > 2 else 2)
        number, protected = _number(entry, 4, place - 4), _number(entry, place, 2) != 0
        place += 2
        of_type = b"mime"
        if version >= 2:
            of_type = entry[place : place + 4]
            place += 4
        if of_type == b"Exif":
            wanted[number] = _Item(is_xmp=False, protected=protected)
        elif of_type == b"mime":
            _, content_type, encoding, *_ = (*entry[place:].split(b"\0", 3), b"", b"")
            if content_type.lower().partition(b";")[0].strip() in _XMP_TYPES:
                wanted[number] = _Item(is_xmp=True, encoding=encoding.strip().lower(), protected=protected)
    return wanted
