"""PNG (third edition): XMP and profiles in text chunks, Exif, C2PA's chunk; before the data and behind."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final

from heedful.signals.embedded import _tiff
from heedful.signals.embedded._inflating import Inflater
from heedful.signals.embedded._parts import Kind, Part, Unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heedful.signals.embedded._parts import Buffer, Step, Walk

CHUNKS_MAX: Final = 65_536
"""Most chunks; a picture of 500 MB in chunks of 8 KiB, which libpng writes, has as many."""

KEYWORD_MAX: Final = 79
"""Octets of a keyword (11.3.3.1)."""

_XMP: Final = b"XML:com.adobe.xmp"
_XMP_SEGMENT: Final = b"http://ns.adobe.com/xap/1.0/\0"
_EXIF_SEGMENT: Final = b"Exif\0\0"
_PROFILE: Final = re.compile(rb"Raw profile type (xmp|APP1|exif)", re.IGNORECASE)
_NO_DIGIT: Final = re.compile(rb"[^0-9A-Fa-f]+")

_head = struct.Struct(">I4s").unpack_from


def walk(buffer: Buffer) -> Walk:
    """Walk through a PNG file."""
    inflater = Inflater()
    at = 8
    for _ in range(CHUNKS_MAX):
        if len(buffer) < at + 8:
            yield at + 8
            if len(buffer) < at + 8:
                return
        size, kind = _head(buffer, at)
        end = at + 8 + size
        if kind in _READERS:
            if len(buffer) < end:
                yield end
            content = bytes(buffer[at + 8 : end])
            where = f"PNG {kind.decode('ascii')} at byte {at}"
            yield from _READERS[kind](content, where, len(buffer) >= end, inflater)
        elif kind == b"IEND":
            return
        at = end + 4
    yield Unread("PNG", f"more than {CHUNKS_MAX} chunks")


def _international(content: bytes, where: str, whole: bool, inflater: Inflater) -> Iterator[Step]:  # noqa: FBT001 - as in `Part`
    """An iTXt chunk (11.3.3.4): keyword, flag, method, language, translated keyword, text."""
    keyword, _, rest = content.partition(b"\0")
    fields = rest[2:].split(b"\0", 2)
    if len(fields) == 3 and _is_read(keyword):
        yield from _text(keyword, fields[2], where, whole, inflater if rest[0] else None)


def _compressed(content: bytes, where: str, whole: bool, inflater: Inflater) -> Iterator[Step]:  # noqa: FBT001
    keyword, _, rest = content.partition(b"\0")
    if rest and _is_read(keyword):
        yield from _text(keyword, rest[1:], where, whole, inflater)


def _plain(content: bytes, where: str, whole: bool, _: Inflater) -> Iterator[Step]:  # noqa: FBT001
    keyword, rest = (*content.split(b"\0", 1), b"")[:2]
    if _is_read(keyword):
        yield from _text(keyword, rest, where, whole, None)


def _exif(content: bytes, where: str, whole: bool, _: Inflater) -> Iterator[Step]:  # noqa: FBT001
    yield from _tiff.exif(content.removeprefix(_EXIF_SEGMENT), where, whole=whole)


def _store(content: bytes, where: str, whole: bool, _: Inflater) -> Iterator[Step]:  # noqa: FBT001
    yield Part(Kind.JUMBF, where, content, whole)


_READERS: Final = {
    b"iTXt": _international,
    b"zTXt": _compressed,
    b"tEXt": _plain,
    b"eXIf": _exif,
    b"caBX": _store,
}


def _is_read(keyword: bytes) -> bool:
    return keyword == _XMP or _PROFILE.fullmatch(keyword[:KEYWORD_MAX]) is not None


def _text(
    keyword: bytes,
    text: bytes,
    where: str,
    whole: bool,  # noqa: FBT001
    inflater: Inflater | None,
) -> Iterator[Step]:
    if inflater is not None:
        text, fault = inflater.zlib(text)
        if fault is not None:
            yield Unread(where, fault)
            whole = False
    if keyword == _XMP:
        yield Part(Kind.XMP, where, text, whole)
        return
    # ImageMagick's form: a line feed, the name, the length, then the octets in hexadecimal
    lines = text.lstrip(b"\n").split(b"\n", 2)
    digits = _NO_DIGIT.sub(b"", lines[2]) if len(lines) == 3 else b""
    data = bytes.fromhex(digits[: len(digits) - len(digits) % 2].decode("ascii"))
    if data.startswith(_XMP_SEGMENT):
        data, is_xmp = data[len(_XMP_SEGMENT) :], True
    else:
        is_xmp = keyword.lower().endswith(b"xmp")
    if is_xmp:
        yield Part(Kind.XMP, where, data, whole)
    else:
        yield from _tiff.exif(data.removeprefix(_EXIF_SEGMENT), where, whole=whole)
