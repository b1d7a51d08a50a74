"""GIF 89a: application extensions; XMP's has no sub-blocks, but a trailer that leads their readers out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heedful.signals.embedded._parts import Kind, Part, Unread
from heedful.signals.embedded._xmp import PACKET_MAX

if TYPE_CHECKING:
    from collections.abc import Generator

    from heedful.signals.embedded._parts import Buffer, Step, Walk

BLOCKS_MAX: Final = 65_536
"""Most pictures and extensions; an animation has two for each picture."""

_XMP: Final = b"XMP DataXMP"
_C2PA: Final = b"C2PA_GIF"
_TRAILER: Final = b"\x01\xff\xfe\xfd"
"""How the trailer behind the packet begins (XMP part 3, 1.1.2.1); it counts down to 0."""

_TRAILER_BYTES: Final = 258
"""Octets of the trailer, the block's terminator included."""


def walk(buffer: Buffer) -> Walk:
    """Walk through a GIF file."""
    if len(buffer) < 13:
        yield 13
        if len(buffer) < 13:
            return
    at = 13 + _colours(buffer[10])
    for _ in range(BLOCKS_MAX):
        if len(buffer) < at + 14:
            yield at + 14
            if len(buffer) <= at:
                return
        kind = buffer[at]
        if kind == 0x2C:
            if len(buffer) < at + 11:
                return
            at = yield from _sub_blocks(buffer, at + 11 + _colours(buffer[at + 9]))
        elif kind == 0x21:
            label = bytes(buffer[at + 3 : at + 14]) if buffer[at + 1 : at + 3] == b"\xff\x0b" else b""
            begin = at + 14 if label else at + 2
            place = (yield from _trailer(buffer, begin)) if label == _XMP else -1
            if place >= 0:
                yield Part(Kind.XMP, f"GIF XMP at byte {at}", bytes(buffer[begin:place]))
                at = place + _TRAILER_BYTES
                continue
            end = yield from _sub_blocks(buffer, begin)
            whole = end <= len(buffer) and buffer[end - 1] == 0
            if label == _XMP:  # it is cut off, or was written as sub-blocks
                packet = _joined(buffer, begin, end) if whole else bytes(buffer[begin:])
                yield Part(Kind.XMP, f"GIF XMP at byte {at}", packet, whole)
            elif label.startswith(_C2PA):
                yield Part(Kind.JUMBF, f"GIF C2PA at byte {at}", _joined(buffer, begin, end), whole)
            at = end
        elif kind == 0:  # a terminator too many
            at += 1
        else:  # the trailer, or what is none of GIF's
            return
    yield Unread("GIF", f"more than {BLOCKS_MAX} blocks")


def _colours(flags: int) -> int:
    """Octets of a colour table."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _trailer(buffer: Buffer, begin: int) -> Generator[Step, None, int]:
    """Where the trailer of an XMP packet begins; -1: there is none."""
    searched, length = begin, -1
    while length != len(buffer) and len(buffer) - begin <= PACKET_MAX + _TRAILER_BYTES:
        place = buffer.find(_TRAILER, searched)
        if place >= 0:
            return place
        length = len(buffer)
        searched = max(begin, length - len(_TRAILER) + 1)
        yield length + 1
    return -1


def _sub_blocks(buffer: Buffer, at: int) -> Generator[Step, None, int]:
    """Pass over sub-blocks; gives the offset behind their terminator."""
    while True:
        if len(buffer) <= at:
            yield at + 1
            if len(buffer) <= at:
                return at + 1
        size = buffer[at]
        at += 1 + size
        if not size:
            return at


def _joined(buffer: Buffer, at: int, end: int) -> bytes:
    parts = []
    end = min(end, len(buffer))
    while at < end and buffer[at]:
        parts.append(bytes(buffer[at + 1 : at + 1 + buffer[at]]))
        at += 1 + buffer[at]
    return b"".join(parts)
