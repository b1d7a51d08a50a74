"""SVG and SVGZ: the document is read like a packet; a manifest store is in it as base64 (C2PA 2.2, A.4)."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from typing import TYPE_CHECKING, Final

from heedful.signals.embedded._inflating import INFLATED_MAX
from heedful.signals.embedded._parts import Kind, Part, Unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heedful.signals.embedded._parts import Buffer, Step, Walk

_END_BYTES: Final = 1_024
_TAG: Final = re.compile(rb"<(/?)(?:\w+:)?svg[\s>/]")
_END: Final = re.compile(rb"</(?:\w+:)?svg\s*>\s*(?:<!--[^>]{0,512}-->\s*)*\Z")
_MANIFEST: Final = re.compile(rb"<(?:\w+:)?manifest(?=[\s>])[^>]*>([A-Za-z0-9+/=\s]*)</")
_NO_BASE64: Final = re.compile(rb"\s+")


def walk(buffer: Buffer) -> Walk:
    """Walk through an SVG document; one that is still coming in is read once its root seems to have ended."""
    length = -1
    while length != len(buffer):  # there may be more
        length = len(buffer)
        if _END.search(bytes(buffer[-_END_BYTES:])):
            break
        yield length + 1
    yield from _document(bytes(buffer), "SVG")


def walk_compressed(buffer: Buffer) -> Walk:
    """Walk through an SVG document that is compressed by gzip."""
    stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
    pieces: list[bytes] = []
    room, done = INFLATED_MAX, 0
    fault: str | None = "it is cut off"
    while done < len(buffer):
        compressed, done = bytes(buffer[done:]), len(buffer)
        try:
            pieces.append(stream.decompress(compressed, room))
        except zlib.error as error:
            fault = f"it cannot be decompressed: {error}"
            break
        room -= len(pieces[-1])
        if stream.eof:
            fault = None
            break
        if stream.unconsumed_tail or not room:
            fault = f"more than {INFLATED_MAX} octets inflated"
            break
        yield done + 1
    if fault is not None:
        yield Unread("SVGZ", fault)
    yield from _document(b"".join(pieces), "SVGZ", whole=fault is None)


def inflated_head(data: bytes, size: int) -> bytes:
    """The first octets of what is compressed in `data`."""
    try:
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(data, size)
    except zlib.error:
        return b""


def _document(data: bytes, where: str, *, whole: bool = True) -> Iterator[Step]:
    if data:
        yield Part(Kind.XMP, where, data, whole)
    if b"manifest" in data:
        for match in _MANIFEST.finditer(data):
            try:
                store = base64.b64decode(_NO_BASE64.sub(b"", match[1]), validate=True)
            except binascii.Error:
                yield Unread(f"{where}, C2PA at byte {match.start()}", "it is no base64")
            else:
                yield Part(Kind.JUMBF, f"{where}, C2PA at byte {match.start()}", store, whole)
