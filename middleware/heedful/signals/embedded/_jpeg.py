"""JPEG (ITU-T T.81, annex B): XMP, Exif, Photoshop resources and JUMBF in application segments.

The segments before the first scan are walked through; behind it, other pictures that the Multi-Picture index
names (CIPA DC-007), and the last octets of the file, for what is appended to it.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final

from heedful.signals.embedded import _tiff
from heedful.signals.embedded._parts import END, Kind, Part, Unread

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from heedful.signals.embedded._parts import Buffer, Step, Walk

SEGMENTS_MAX: Final = 8_192
"""Most segments of a picture; an ICC profile of 16 MB and extended XMP of 64 MB take some 1,300."""

PICTURES_MAX: Final = 16
"""Most further pictures of a Multi-Picture file that are walked through; cameras write one or two."""

TAIL_MAX: Final = 65_536
"""Octets at the end of the file that are searched for packets: as many as a segment has."""

TAIL_PACKETS_MAX: Final = 16
"""Most packets that are read there."""

RESOURCES_MAX: Final = 4_096
"""Most of Photoshop's resources of a segment that are looked at; there are about thirty."""

_APP1, _APP2, _APP11, _APP13 = 0xE1, 0xE2, 0xEB, 0xED
_WANTED: Final = frozenset((_APP1, _APP2, _APP11, _APP13))
_SCAN: Final = 0xDA
_PICTURE_BEGINS: Final = b"\xff\xd8"
_PICTURE_ENDS: Final = b"\xff\xd9"
_ENDS: Final = frozenset((_SCAN, 0xD9))
_STANDALONE: Final = frozenset((0x00, 0x01, *range(0xD0, 0xD9)))
"""Markers without a length (T.81, B.1.1.3); 0 is none at all, but data."""

_NO_FILL: Final = re.compile(rb"[^\xff]")

_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENSION: Final = b"http://ns.adobe.com/xmp/extension/\0"
_EXIF: Final = b"Exif\0"
_PHOTOSHOP: Final = b"Photoshop 3.0\0"
_MULTIPLE: Final = b"MPF\0"
_JUMBF: Final = b"JP"
_RESOURCE: Final = b"8BIM"
_XMP_RESOURCE: Final = 1060
_GAP: Final = b" "

_size = struct.Struct(">H").unpack_from
_extension_head = struct.Struct(">32sII")  # GUID, size of the whole, offset of this
_jumbf_head = struct.Struct(">2sHII4s")  # identifier, box instance, packet sequence, size and type of the box


def walk(buffer: Buffer) -> Walk:
    """Walk through a JPEG file."""
    index: list[int] = []
    scan = yield from _picture(buffer, 0, index)
    for at in sorted(set(index))[:PICTURES_MAX]:
        if len(buffer) < at + 2:
            yield at + 2
        if buffer[at : at + 2] == _PICTURE_BEGINS:
            yield from _picture(buffer, at, [])
    yield END
    yield from _tail(buffer, scan)


def _picture(buffer: Buffer, start: int, index: list[int]) -> Generator[Step, None, int]:
    """The segments of one picture; gives where its first scan begins.

    Args:
        buffer: the file.
        start: where the picture begins.
        index: takes the offsets of further pictures.
    """
    at = start + 2
    segments: _Segments | None = None
    for _ in range(SEGMENTS_MAX):
        if len(buffer) < at + 4:
            yield at + 4
            if len(buffer) < at + 4:
                break
        if buffer[at] != 0xFF:
            found = buffer.find(b"\xff", at)
            at = found if found >= 0 else len(buffer)
            continue
        marker = buffer[at + 1]
        if marker == 0xFF:  # a fill byte (B.1.1.2)
            other = _NO_FILL.search(buffer, at)
            at = (other.start() if other is not None else len(buffer)) - 1
            continue
        if marker in _STANDALONE:
            at += 2
            continue
        if marker in _ENDS:
            break
        end = at + 2 + _size(buffer, at + 2)[0]
        if marker in _WANTED:
            if len(buffer) < end:
                yield end
            if segments is None:
                segments = _Segments(index)
            content = bytes(buffer[at + 4 : end])
            yield from segments.read(marker, content, at, whole=len(buffer) >= end)
        at = end
    else:
        yield Unread(f"JPEG at byte {start}", f"more than {SEGMENTS_MAX} segments")
    if segments is not None:
        yield from segments.put_together()
    return at


class _Segments:
    """Application segments, some of which hold pieces of something."""

    def __init__(self, index: list[int]) -> None:
        self._index = index
        self._packets: list[bytes] = []
        self._extended: dict[bytes, _Extended] = {}
        self._boxes: dict[tuple[int, bytes], list[_Box]] = {}

    def read(self, marker: int, content: bytes, at: int, *, whole: bool) -> Iterator[Step]:
        if marker == _APP1:
            if content.startswith(_XMP):
                packet = content[len(_XMP) :]
                self._packets.append(packet)
                yield Part(Kind.XMP, f"JPEG APP1 XMP at byte {at}", packet, whole)
            elif content.startswith(_EXTENSION):
                yield from self._extension(content[len(_EXTENSION) :], at)
            elif content.startswith(_EXIF):
                yield from _tiff.exif(content[len(_EXIF) + 1 :], f"JPEG APP1 Exif at byte {at}", whole=whole)
        elif marker == _APP11:
            if content.startswith(_JUMBF):
                yield from self._jumbf(content, at)
        elif marker == _APP13:
            if content.startswith(_PHOTOSHOP):
                yield from _resources(content[len(_PHOTOSHOP) :], at, whole)
        elif content.startswith(_MULTIPLE):
            base = at + 4 + len(_MULTIPLE)
            self._index += [
                base + offset for offset in _tiff.multiple_pictures(content[len(_MULTIPLE) :]) if offset
            ]

    def _extension(self, content: bytes, at: int) -> Iterator[Part]:
        if len(content) < _extension_head.size:
            return
        guid, size, offset = _extension_head.unpack_from(content)
        extended = self._extended.get(guid)
        if extended is None:
            extended = self._extended[guid] = _Extended(at, size)
        if extended.add(offset, content[_extension_head.size :]) and self._is_named(guid):
            part = extended.part(named=True)
            extended.is_told = part.whole
            if part.whole:
                yield part

    def _is_named(self, guid: bytes) -> bool:
        """Whether the file's own packet names an extended one; that does not count otherwise."""
        return any(guid in packet for packet in self._packets)

    def _jumbf(self, content: bytes, at: int) -> Iterator[Part]:
        if len(content) < _jumbf_head.size:
            return
        _, instance, sequence, size, kind = _jumbf_head.unpack_from(content)
        if kind != b"jumb":
            return
        header = 8
        if size == 1:
            size, header = int.from_bytes(content[16:24], "big"), 16
        boxes = self._boxes.setdefault((instance, content[8 : 8 + header]), [])
        # a second box of the same number and size begins again with the first segment
        if not boxes or sequence in boxes[-1].pieces:
            boxes.append(_Box(at, size, content[8 : 8 + header]))
        box = boxes[-1]
        if box.add(sequence, content[8 + header :]):
            part = box.part()
            box.is_told = part.whole
            if part.whole:
                yield part

    def put_together(self) -> Iterator[Part]:
        """What is not complete, or could not be told to be."""
        for guid, extended in self._extended.items():
            if not extended.is_told:
                yield extended.part(named=self._is_named(guid))
        for boxes in self._boxes.values():
            for box in boxes:
                if not box.is_told:
                    yield box.part()


class _Extended:
    """Extended XMP (XMP part 3, 1.1.3.1): a packet in chunks, by their offsets."""

    def __init__(self, at: int, size: int) -> None:
        self.is_told = False
        self._at = at
        self._size = size
        self._there = 0
        self._chunks: dict[int, bytes] = {}

    def add(self, offset: int, chunk: bytes) -> bool:
        """Take a chunk; whether it is the last one that was missing."""
        if self.is_told or offset in self._chunks:
            return False
        self._chunks[offset] = chunk
        self._there += len(chunk)
        return self._there == self._size

    def part(self, *, named: bool) -> Part:
        """The packet, as far as it is there; only one that is `named` is whole."""
        pieces: list[bytes] = []
        end, whole = 0, named
        for offset, chunk in sorted(self._chunks.items()):
            if offset != end:
                whole = False
                pieces.append(_GAP)
            pieces.append(chunk)
            end = offset + len(chunk)
        where = f"JPEG APP1 extended XMP at byte {self._at}"
        return Part(Kind.XMP, where, b"".join(pieces), whole and end == self._size)


class _Box:
    """A JUMBF box (ISO/IEC 19566-5, annex D) in segments, each of which repeats the box's header."""

    def __init__(self, at: int, size: int, header: bytes) -> None:
        self.is_told = False
        self.pieces: dict[int, bytes] = {}
        self._at = at
        self._size = size
        self._header = header
        self._there = len(header)

    def add(self, sequence: int, piece: bytes) -> bool:
        """Take a piece; whether it is the last one that was missing."""
        self.pieces[sequence] = piece
        self._there += len(piece)
        return not self.is_told and self._there == self._size

    def part(self) -> Part:
        """The box, as far as it is there."""
        data = self._header + b"".join(piece for _, piece in sorted(self.pieces.items()))
        # sequence numbers begin with 1; 0 is seen as well
        in_order = max(self.pieces) - min(self.pieces) == len(self.pieces) - 1 and min(self.pieces) <= 1
        whole = in_order and self._size in {0, len(data)}
        return Part(Kind.JUMBF, f"JPEG APP11 C2PA at byte {self._at}", data, whole)


def _resources(data: bytes, at: int, whole: bool) -> Iterator[Part]:  # noqa: FBT001 - as in `Part`
    """Photoshop's image resources, of which one is XMP ("Adobe Photoshop File Formats")."""
    place = 0
    for _ in range(RESOURCES_MAX):
        if data[place : place + 4] != _RESOURCE or place + 12 > len(data):
            return
        number = int.from_bytes(data[place + 4 : place + 6], "big")
        place += 6
        place += data[place] + 2 & ~1  # the name, its length before it, is padded
        size = int.from_bytes(data[place : place + 4], "big")
        place += 4
        if number == _XMP_RESOURCE:
            packet = data[place : place + size]
            yield Part(Kind.XMP, f"JPEG APP13 XMP at byte {at}", packet, whole and len(packet) == size)
        place += size + size % 2


def _tail(buffer: Buffer, scan: int) -> Iterator[Part]:
    """Packets in what is appended to the file."""
    begin = max(scan, len(buffer) - TAIL_MAX)
    if buffer.rfind(_XMP, begin) < 0:  # quicker than `find`
        return
    at = begin
    for _ in range(TAIL_PACKETS_MAX):
        at = buffer.find(_XMP, at)
        if at < 0:
            return
        end = len(buffer)
        if buffer[at - 4 : at - 2] == b"\xff\xe1":
            end = at - 2 + _size(buffer, at - 2)[0]
        at += len(_XMP)
        where = f"JPEG, appended XMP at byte {at - len(_XMP)}"
        yield Part(Kind.XMP, where, bytes(buffer[at:end]), whole=end <= len(buffer))
