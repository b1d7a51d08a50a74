"""WebP (RFC 9649): chunks named `XMP `, `EXIF` and `C2PA`, at the end as a rule.

The flags of `VP8X` and the size of the whole are not trusted: what is there is read.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from heedful.signals.embedded import _tiff
from heedful.signals.embedded._parts import Kind, Part, Unread

if TYPE_CHECKING:
    from heedful.signals.embedded._parts import Buffer, Walk

CHUNKS_MAX: Final = 65_536
"""Most chunks: an animation has one for each picture."""

_KINDS: Final = {b"XMP ": Kind.XMP, b"C2PA": Kind.JUMBF}

_head = struct.Struct("<4sI").unpack_from


def walk(buffer: Buffer) -> Walk:
    """Walk through a WebP file."""
    at = 12
    for _ in range(CHUNKS_MAX):
        if len(buffer) < at + 8:
            yield at + 8
            if len(buffer) < at + 8:
                return
        kind, size = _head(buffer, at)
        end = at + 8 + size
        if kind in _KINDS or kind == b"EXIF":
            if len(buffer) < end:
                yield end
            content, whole = bytes(buffer[at + 8 : end]), len(buffer) >= end
            where = f"WebP {kind.decode('ascii').strip()} at byte {at}"
            if kind in _KINDS:
                yield Part(_KINDS[kind], where, content, whole)
            else:
                yield from _tiff.exif(content.removeprefix(b"Exif\0\0"), where, whole=whole)
        at = end + size % 2
    yield Unread("WebP", f"more than {CHUNKS_MAX} chunks")
