"""GIF 89a: application extensions with XMP (XMP part 3, 1.1.2) and C2PA's store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heedful.signals.embedded._parts import BLOCKS_MAX, Kind, Part, Unread

if TYPE_CHECKING:
    from collections.abc import Generator

    from heedful.signals.embedded._parts import Buffer, Step, Walk

SUB_BLOCKS_MAX: Final = 65_536
"""Most sub-blocks that are put together: 16 MB of them, if they are full."""

_XMP: Final = b"XMP DataXMP"
_C2PA: Final = b"C2PA_GIF"
_APPLICATION: Final = b"\xff\x0b"
_PICTURE: Final = 0x2C
_EXTENSION: Final = 0x21

_TRAILER: Final = b"\1" + bytes(range(255, -1, -1)) + b"\0"
"""Stands behind a packet and leads readers of sub-blocks to its own end, wherever they come into it."""

_TRAILER_BEGINS: Final = _TRAILER[:8]

_PACKET_BEGINS: Final = (b"<", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff", b"\0<", b"\0\0\0<")
"""What a packet begins with, and sub-blocks of one do not."""


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
        if kind == _EXTENSION:
            if buffer.startswith(_APPLICATION, at + 1):
                at = yield from _application(buffer, at)
            else:
                at = yield from _sub_blocks(buffer, at + 2)
        elif kind == _PICTURE and len(buffer) >= at + 11:
            at = yield from _sub_blocks(buffer, at + 11 + _colours(buffer[at + 9]))
        elif kind == 0:  # a terminator too many
            at += 1
        else:  # the end, or what is none of GIF's
            return
    yield Unread("GIF", f"more than {BLOCKS_MAX} blocks")


def _colours(flags: int) -> int:
    """Octets of a colour table."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _application(buffer: Buffer, at: int) -> Generator[Step, None, int]:
    """Read an application extension; gives the offset behind it."""
    begin = at + 14
    is_xmp = buffer.startswith(_XMP, at + 3)
    if not (is_xmp or buffer.startswith(_C2PA, at + 3)):
        return (yield from _sub_blocks(buffer, begin))
    end = yield from _sub_blocks(buffer, begin)
    whole = end <= len(buffer)
    if not is_xmp:
        content, all_of_it = _joined(buffer, begin)
        yield Part(Kind.JUMBF, f"GIF C2PA at byte {at}", content, whole and all_of_it)
        return end
    where = f"GIF XMP at byte {at}"
    if buffer.endswith(_TRAILER, begin, end):
        yield Part(Kind.XMP, where, bytes(buffer[begin : end - len(_TRAILER)]))
        return end
    if not buffer.startswith(_PACKET_BEGINS, begin):
        content, all_of_it = _joined(buffer, begin)
        yield Part(Kind.XMP, where, content, whole and all_of_it)
        return end
    # An octet of zero, in UTF-16 as a rule, led out of the middle of the packet.
    searched, length = begin, -1
    while length != len(buffer):
        length = len(buffer)
        place = buffer.find(_TRAILER_BEGINS, searched)
        if place >= 0:
            yield Part(Kind.XMP, where, bytes(buffer[begin:place]))
            return place + len(_TRAILER)
        searched = max(begin, length - len(_TRAILER_BEGINS))
        yield length + 1
    yield Part(Kind.XMP, where, bytes(buffer[begin:]), whole=False)
    return length


def _sub_blocks(buffer: Buffer, at: int) -> Generator[Step, None, int]:
    """Pass over sub-blocks; gives the offset behind their terminator, beyond the end if there is none."""
    while True:
        if len(buffer) <= at:
            yield at + 1
            if len(buffer) <= at:
                return at + 1
        size = buffer[at]
        at += 1 + size
        if not size:
            return at


def _joined(buffer: Buffer, at: int) -> tuple[bytes, bool]:
    """What sub-blocks hold, and whether that is all of it."""
    content = bytearray()
    for _ in range(SUB_BLOCKS_MAX):
        if at >= len(buffer) or not buffer[at]:
            return bytes(content), True
        content += buffer[at + 1 : at + 1 + buffer[at]]
        at += 1 + buffer[at]
    return bytes(content), False
