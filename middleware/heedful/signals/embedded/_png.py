"""PNG (third edition): XMP and profiles in text chunks, Exif, C2PA's chunk; before the data and behind."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final
from zlib import crc32

from heedful.signals.embedded import _tiff
from heedful.signals.embedded._inflating import Inflater
from heedful.signals.embedded._parts import BLOCKS_MAX, READ_MAX, Kind, Part, Unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heedful.signals.embedded._parts import Buffer, Step, Walk

_READ: Final = frozenset((b"iTXt", b"zTXt", b"tEXt", b"eXIf", b"caBX"))
_XMP: Final = b"XML:com.adobe.xmp"
_XMP_SEGMENT: Final = b"http://ns.adobe.com/xap/1.0/\0"
_EXIF_SEGMENT: Final = b"Exif\0\0"

_KEYWORD: Final = re.compile(rb"(XML:com\.adobe\.xmp|Raw profile type (?:xmp|exif|app1))\0", re.IGNORECASE)
"""Keywords (11.3.3.1) that are read; the profiles are ImageMagick's and ExifTool's."""

_PROFILE: Final = re.compile(rb"\n?[^\n]{0,80}\n[ \t]{0,80}([0-9]{1,9})\s([0-9A-Fa-f\s]*)")
"""A name, the number of octets, and those in lines of hexadecimal digits."""

_SPACE: Final = b" \t\r\n\v\f"

_head = struct.Struct(">I4s").unpack_from


def walk(buffer: Buffer) -> Walk:
    """Walk through a PNG file."""
    inflater = Inflater()
    read = 0
    at = 8
    for _ in range(BLOCKS_MAX):
        if len(buffer) < at + 8:
            yield at + 8
            if len(buffer) < at + 8:
                return
        size, kind = _head(buffer, at)
        end = at + 8 + size
        if kind in _READ:
            read += 1
            if read > READ_MAX:
                yield Unread(f"PNG {kind.decode('ascii')} at byte {at}", f"more than {READ_MAX} such chunks")
                return
            if len(buffer) < end + 4:
                yield end + 4
            content = bytes(buffer[at + 8 : end])
            whole = buffer[end : end + 4] == crc32(content, crc32(kind)).to_bytes(4, "big")
            where = f"PNG {kind.decode('ascii')} at byte {at}"
            if kind == b"caBX":
                yield Part(Kind.JUMBF, where, content, whole)
            elif kind == b"eXIf":
                yield from _tiff.exif(content.removeprefix(_EXIF_SEGMENT), where, whole=whole)
            else:
                yield from _text(kind, content, where, whole, inflater)
        elif kind == b"IEND":
            return
        at = end + 4
    yield Unread("PNG", f"more than {BLOCKS_MAX} chunks")


def _text(
    kind: bytes,
    content: bytes,
    where: str,
    whole: bool,  # noqa: FBT001 - as in `Part`
    inflater: Inflater,
) -> Iterator[Step]:
    keyword = _KEYWORD.match(content)
    if keyword is None:
        return
    begin = keyword.end()
    compressed = kind == b"zTXt"
    if compressed:
        begin += 1  # the method
    elif kind == b"iTXt":
        compressed = content[begin : begin + 1] not in {b"", b"\0"}
        language = content.find(b"\0", begin + 2)
        translated = content.find(b"\0", language + 1) if language >= 0 else -1
        if translated < 0:
            yield Unread(where, "it is cut off")
            return
        begin = translated + 1
    text = content[begin:]
    if compressed:
        text, fault = inflater.zlib(text)
        if fault is not None:
            yield Unread(where, fault)
            whole = False
    if keyword[1] == _XMP:
        yield Part(Kind.XMP, where, text, whole)
    elif not keyword[1].startswith(b"XML"):
        yield from _profile(keyword[1], text, where, whole)


def _profile(keyword: bytes, text: bytes, where: str, whole: bool) -> Iterator[Step]:  # noqa: FBT001
    match = _PROFILE.match(text)
    if match is None:
        yield Unread(where, "it is no profile")
        return
    digits = match[2].translate(None, _SPACE)
    data = bytes.fromhex(digits[: len(digits) & ~1].decode("ascii"))
    whole = whole and len(data) == int(match[1]) and match.end() == len(text)
    if data.startswith(_XMP_SEGMENT) or keyword.lower().endswith(b"xmp"):
        yield Part(Kind.XMP, where, data.removeprefix(_XMP_SEGMENT), whole)
    else:
        yield from _tiff.exif(data.removeprefix(_EXIF_SEGMENT), where, whole=whole)
