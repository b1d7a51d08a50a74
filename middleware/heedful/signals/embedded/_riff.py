"""WebP (RFC 9649): chunks named `XMP `, `EXIF` and `C2PA`, at the end as a rule.

The flags of `VP8X` and the size of the whole are not trusted: what is there is read.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from heedful.signals.embedded import _tiff
from heedful.signals.embedded._parts import BLOCKS_MAX, READ_MAX, Kind, Part, Unread

if TYPE_CHECKING:
    from heedful.signals.embedded._parts import Buffer, Walk

# Some programs end the name with a NUL, as ExifTool notes.
_KINDS: Final = {b"XMP ": Kind.XMP, b"XMP\0": Kind.XMP, b"C2PA": Kind.JUMBF, b"EXIF": None}
_EXIF: Final = b"Exif\0\0"

_head = struct.Struct("<4sI").unpack_from


def walk(buffer: Buffer) -> Walk:
    """Walk through a WebP file."""
    read = 0
    at = 12
    for _ in range(BLOCKS_MAX):
        if len(buffer) < at + 8:
            yield at + 8
            if len(buffer) < at + 8:
                return
        name, size = _head(buffer, at)
        end = at + 8 + size
        if name in _KINDS:
            read += 1
            if read > READ_MAX:
                yield Unread(f"WebP, chunk at byte {at}", f"more than {READ_MAX} such chunks")
                return
            if len(buffer) < end:
                yield end
            content, whole = bytes(buffer[at + 8 : end]), len(buffer) >= end
            where = f"WebP {name[:4].decode('ascii').rstrip(chr(0) + ' ')} at byte {at}"
            kind = _KINDS[name]
            if kind is None:  # at times with the prefix that it has in JPEG
                yield from _tiff.exif(content.removeprefix(_EXIF), where, whole=whole)
            else:
                yield Part(kind, where, content, whole)
        at = end + size % 2
    yield Unread("WebP", f"more than {BLOCKS_MAX} chunks")
