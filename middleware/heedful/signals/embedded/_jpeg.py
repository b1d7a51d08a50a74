"""JPEG (ITU-T T.81, annex B): XMP, Exif, Photoshop resources and JUMBF in application segments.

The segments before the first scan are walked through; behind it, other pictures that the Multi-Picture index
names (CIPA DC-007), and what is appended to the file.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Final

from heedful.signals.embedded import _tiff
from heedful.signals.embedded._parts import END, Kind, Part, Unread
from heedful.signals.embedded._xmp import PACKET_MAX

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from heedful.signals.embedded._parts import Buffer, Step, Walk

SEGMENTS_MAX: Final = 8_192
"""Most segments of a picture; an ICC profile of 16 MB and extended XMP of 64 MB take some 1,300."""

PICTURES_MAX: Final = 16
"""Most further pictures of a Multi-Picture file that are walked through; cameras write one or two."""

TAIL_MAX: Final = 1 << 20
"""Octets behind the last end of image that are looked at, where the file does not end with it."""

STORE_MAX: Final = 64 << 20
"""Octets of a manifest store that are put together; C2PA's thumbnails make some hundred thousand."""

_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENSION: Final = b"http://ns.adobe.com/xmp/extension/\0"
_EXIF: Final = b"Exif\0"
_PHOTOSHOP: Final = b"Photoshop 3.0\0"
_MULTIPLE: Final = b"MPF\0"
_XMP_RESOURCE: Final = 1060
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_WANTED: Final = frozenset({0xE1, 0xE2, 0xEB, 0xED})
_GUID_BYTES: Final = 32
_PACKETS: Final = (b"<?xpacket begin", b"<x:xmpmeta", b"<rdf:RDF")
_PACKET_ENDS: Final = (b"</x:xmpmeta>", b"</rdf:RDF>")

_u16 = struct.Struct(">H").unpack_from
_extension_head = struct.Struct(f">{_GUID_BYTES}sII")
_jumbf_head = struct.Struct(">HI").unpack_from  # box instance, packet sequence


def walk(buffer: Buffer) -> Walk:
    """Walk through a JPEG file."""
    places: list[int] = []
    end = yield from _picture(buffer, 0, places)
    seen = {0}
    for place in places[:PICTURES_MAX]:
        if place not in seen:
            seen.add(place)
            if len(buffer) < place + 2:
                yield place + 2
            if buffer[place : place + 2] == b"\xff\xd8":
                yield from _picture(buffer, place, [])
    yield END
    yield from _tail(buffer, end)


def _picture(buffer: Buffer, start: int, places: list[int]) -> Generator[Step, None, int]:
    """The segments of one picture; gives where its first scan begins."""
    at = start + 2
    extended: dict[bytes, _Extended] = {}
    boxes = _Boxes()
    for _ in range(SEGMENTS_MAX):
        if len(buffer) < at + 4:
            yield at + 4
            if len(buffer) < at + 4:
                break
        if buffer[at] != 0xFF:
            at = buffer.find(b"\xff", at)
            if at < 0:
                at = len(buffer)
                break
            continue
        marker = buffer[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in _STANDALONE:
            at += 2
            continue
        if marker in {0xDA, 0xD9}:
            break
        size = _u16(buffer, at + 2)[0]
        if size < 2:
            yield Unread(f"JPEG segment at byte {at}", "an impossible length")
            break
        end = at + 2 + size
        if marker in _WANTED:
            if len(buffer) < end:
                yield end
            content = bytes(buffer[at + 4 : end])
            yield from _segment(content, marker, at, len(buffer) >= end, extended, boxes, places)
        at = end
    else:
        yield Unread("JPEG", f"more than {SEGMENTS_MAX} segments")
    for extension in extended.values():
        if not extension.told:
            yield extension.part()
    yield from boxes.rest()
    return at


def _segment(
    content: bytes,
    marker: int,
    at: int,
    whole: bool,  # noqa: FBT001 - as in `Part`
    extended: dict[bytes, _Extended],
    boxes: _Boxes,
    places: list[int],
) -> Iterator[Step]:
    if marker == 0xE1:
        if content.startswith(_XMP):
            yield Part(Kind.XMP, f"JPEG APP1 XMP at byte {at}", content[len(_XMP) :], whole)
        elif content.startswith(_EXTENSION):
            head = content[len(_EXTENSION) :][: _extension_head.size]
            if len(head) == _extension_head.size:
                guid, total, offset = _extension_head.unpack(head)
                extension = extended.setdefault(guid, _Extended(guid, total, at))
                extension.add(offset, content[len(_EXTENSION) + _extension_head.size :])
                if extension.complete and not extension.told:
                    yield extension.part()
        elif content.startswith(_EXIF):
            yield from _tiff.exif(content[6:], f"JPEG APP1 Exif at byte {at}", whole=whole)
    elif marker == 0xEB:
        if content.startswith(b"JP"):
            yield from boxes.add(content, at)
    elif marker == 0xED:
        if content.startswith(_PHOTOSHOP):
            yield from _resources(content[len(_PHOTOSHOP) :], at, whole)
    elif content.startswith(_MULTIPLE):
        base = at + 4 + len(_MULTIPLE)
        places += [base + offset for offset in _tiff.multiple_pictures(content[len(_MULTIPLE) :]) if offset]


class _Extended:
    """Extended XMP (XMP part 3, 1.1.3.1): a packet in chunks."""

    def __init__(self, guid: bytes, total: int, at: int) -> None:
        self.told = False
        self._guid = guid
        self._total = total
        self._at = at
        self._chunks: dict[int, bytes] = {}
        self._size = 0

    def add(self, offset: int, chunk: bytes) -> None:
        if offset not in self._chunks and self._size <= PACKET_MAX:
            self._chunks[offset] = chunk
            self._size += len(chunk)

    @property
    def complete(self) -> bool:
        return self._size >= self._total

    def part(self) -> Part:
        self.told = True
        packet = b"".join(self._chunks[offset] for offset in sorted(self._chunks))
        digest = hashlib.md5(packet, usedforsecurity=False).hexdigest().upper().encode()
        whole = len(packet) == self._total and digest == self._guid.upper()
        return Part(Kind.XMP, f"JPEG APP1 extended XMP at byte {self._at}", packet, whole)


class _Boxes:
    """JUMBF (ISO/IEC 19566-5, annex D): a box in segments, each of which repeats the box's header."""

    def __init__(self) -> None:
        self._open: dict[int, _Box] = {}
        self._left: list[_Box] = []
        self._room = STORE_MAX

    def add(self, content: bytes, at: int) -> Iterator[Step]:
        payload = content[8:]
        if len(payload) < 8 or payload[4:8] != b"jumb":
            return
        if self._room < len(payload):
            yield Unread(f"JPEG APP11 at byte {at}", f"more than {STORE_MAX} octets of JUMBF")
            return
        self._room -= len(payload)
        instance, sequence = _jumbf_head(content, 2)
        box = self._open.get(instance)
        if box is None or sequence in box.pieces:
            if box is not None:
                self._left.append(box)
            box = self._open[instance] = _Box(payload, at)
        box.pieces[sequence] = payload
        box.missing -= len(payload) - box.header
        if box.missing <= 0 and box.sized:
            del self._open[instance]
            yield box.part(whole=True)

    def rest(self) -> Iterator[Part]:
        for box in (*self._left, *self._open.values()):
            yield box.part(whole=not box.sized)


class _Box:
    def __init__(self, payload: bytes, at: int) -> None:
        size = int.from_bytes(payload[:4], "big")
        self.header = 8
        if size == 1 and len(payload) >= 16:
            size, self.header = int.from_bytes(payload[8:16], "big"), 16
        self.sized = size != 0
        self.missing = size - self.header
        self.pieces: dict[int, bytes] = {}
        self._at = at

    def part(self, *, whole: bool) -> Part:
        first, *others = (self.pieces[sequence] for sequence in sorted(self.pieces))
        data = first + b"".join(other[self.header :] for other in others)
        return Part(Kind.JUMBF, f"JPEG APP11 C2PA at byte {self._at}", data, whole)


def _resources(data: bytes, at: int, whole: bool) -> Iterator[Part]:  # noqa: FBT001 - as in `Part`
    """Photoshop's image resources, of which one is XMP."""
    place = 0
    while data[place : place + 4] == b"8BIM" and place + 12 <= len(data):
        number = _u16(data, place + 4)[0]
        name = place + 6
        head = name + 1 + data[name]
        head += (head - name) % 2
        size = int.from_bytes(data[head : head + 4], "big")
        end = head + 4 + size
        if number == _XMP_RESOURCE:
            where = f"JPEG APP13 XMP at byte {at}"
            yield Part(Kind.XMP, where, data[head + 4 : end], whole and end <= len(data))
        place = end + size % 2


def _tail(buffer: Buffer, scan: int) -> Iterator[Part]:
    """What is appended to the file, where its end shows that there is something."""
    end = len(buffer)
    if buffer[-2:] == b"\xff\xd9":
        return
    last = buffer.rfind(b"\xff\xd9", scan)
    begin = max(last + 2, end - TAIL_MAX)
    if last < 0 or begin >= end:
        return
    tail = bytes(buffer[begin:])
    starts = [place for mark in _PACKETS if (place := tail.find(mark)) >= 0]
    if starts:
        ends = [place + len(mark) for mark in _PACKET_ENDS if (place := tail.rfind(mark)) >= 0]
        packet = tail[min(starts) : max(ends, default=len(tail))]
        yield Part(Kind.XMP, f"behind the JPEG at byte {begin + min(starts)}", packet, bool(ends))
