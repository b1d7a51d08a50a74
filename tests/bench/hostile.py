"""Files made to be slow, or to fill the memory, for whoever reads what pictures say of themselves.

Each is of about 4 MB and valid as far as its first bytes. They are made by functions, as they are large.
"""

from __future__ import annotations

import gzip
import itertools
import struct
import zlib
from typing import TYPE_CHECKING, Final

from heedful.testing import embed

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE: Final = 4_000_000
"""Octets of such a file."""

DENY: Final = embed.dmi_packet("DMI-PROHIBITED")
_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENSION: Final = b"http://ns.adobe.com/xmp/extension/\0"
_PNG: Final = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + bytes(17)
_GIF: Final = b"GIF89a" + bytes(7)
_FTYP: Final = b"\0\0\0\x10ftypavif\0\0\0\0"
_UUID: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def times(piece: bytes, size: int = SIZE) -> bytes:
    return piece * (size // len(piece))


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg(*segments: bytes) -> bytes:
    return b"\xff\xd8" + b"".join(segments)


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + zlib.crc32(content, zlib.crc32(kind)).to_bytes(4, "big")
    )


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def packed(plain: bytes) -> bytes:
    return chunk(b"zTXt", b"XML:com.adobe.xmp\0\0" + zlib.compress(plain, 9))


def nested(kind: bytes, depth: int) -> bytes:
    """Boxes in boxes, each to the end of the one around it."""
    return (bytes(4) + kind) * depth


def extended() -> bytes:
    """Chunks of as many packets as there are segments, each of which claims to be of 4 GB."""
    guids = (f"{number:032X}".encode() for number in range(8_000))
    return jpeg(
        *(
            segment(0xE1, _EXTENSION + guid + struct.pack(">II", 2**32 - 1, 2**31) + b"DataMining" * 40)
            for guid in guids
        )
    )


def overlapping_tags(tag: int = 700) -> bytes:
    """A directory each of whose entries has the whole file as its value."""
    number = 65_535
    entries = struct.pack("<HHII", tag, 1, SIZE, 8) * number
    return (b"II*\0\x08\0\0\0" + struct.pack("<H", number) + entries + bytes(4)).ljust(SIZE, b"D")


def many_directories() -> bytes:
    """Directories that each are the next one, a byte further on."""
    sub = struct.pack("<HHII", 330, 4, SIZE // 4, 8)
    return b"II*\0\x08\0\0\0" + times(struct.pack("<H", 4_000) + sub)


def overlapping_items(content_type: bytes = b"mime\0application/rdf+xml\0") -> bytes:
    """Items with as many extents as there may be, each of them the whole file."""
    number = 4_000
    entries = b"".join(
        box(b"infe", struct.pack(">IHH", 2 << 24, each, 0) + content_type) for each in range(1, number)
    )
    iinf = box(b"iinf", bytes(4) + struct.pack(">H", number - 1) + entries)
    places = b"".join(struct.pack(">HHHII", each, 0, 1, each, SIZE - each) for each in range(1, number))
    iloc = box(b"iloc", b"\0\0\0\0\x44\0" + struct.pack(">H", number - 1) + places)
    return (_FTYP + box(b"meta", bytes(4) + iinf + iloc) + box(b"mdat", b"")).ljust(SIZE, b"D")


def many_items() -> bytes:
    entry = box(b"infe", struct.pack(">IHH", 2 << 24, 1, 0) + b"Exif\0")
    iinf = box(b"iinf", bytes(4) + struct.pack(">H", 65_535) + times(entry))
    return _FTYP + box(b"meta", bytes(4) + iinf + box(b"iloc", bytes(8)))


def elements() -> bytes:
    """A packet that is all elements, below the limit of those that are parsed."""
    return embed.xmp_packet("<a/>" * 99_000 + "<plus:DataMining/>", f'xmlns:plus="{embed.PLUS}"')


def distinct(pieces: int, size: int) -> list[bytes]:
    """Packets of elements, no two of which are the same."""
    packet = b"<plus:DataMining/>" + b"<a/>" * (size // 4)
    return [b"%b<!--%d-->" % (packet, number) for number in range(pieces)]


def gif_packets() -> bytes:
    """Packets that begin, and none that ends."""
    return _GIF + times(b"\x21\xff\x0bXMP DataXMP<\0")


def jumbf_pieces() -> bytes:
    head = box(b"jumb", bytes(64))[:8]
    sequence = itertools.count(1)
    return jpeg(
        *(
            segment(0xEB, struct.pack(">2sHI", b"JP", 1, next(sequence) % 3) + head + b"training-mining" * 30)
            for _ in range(8_000)
        )
    )


HOSTILE: Final[dict[str, Callable[[], bytes]]] = {
    "JPEG: empty segments": lambda: jpeg(times(segment(0xE1, b""))),
    "JPEG: fill bytes": lambda: jpeg(b"\xff" * SIZE),
    "JPEG: no markers": lambda: jpeg(bytes(SIZE)),
    "JPEG: markers in data": lambda: jpeg(times(b"\xff\0")),
    "JPEG: packets": lambda: jpeg(*(segment(0xE1, _XMP + each) for each in distinct(4_000, 900))),
    "JPEG: packets of the largest size": lambda: jpeg(
        *(segment(0xE1, _XMP + each) for each in distinct(62, 65_000))
    ),
    "JPEG: extended XMP": extended,
    "JPEG: pieces of JUMBF": jumbf_pieces,
    "JPEG: appended packets": lambda: jpeg(segment(0xDA, b""), times(_XMP)),
    "JPEG: Exif": lambda: jpeg(
        times(
            segment(
                0xE1,
                b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + times(b"\x4a\x01\x04\0\xff\xff\0\0\0\0\0\0", 60_000),
            )
        )
    ),
    "PNG: empty chunks": lambda: _PNG + times(chunk(b"IDAT", b"")),
    "PNG: empty texts": lambda: _PNG + times(chunk(b"tEXt", b"XML:com.adobe.xmp\0")),
    "PNG: no end of text": lambda: _PNG + times(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0")),
    "PNG: Exif": lambda: _PNG + times(chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0" + bytes(6))),
    "PNG: a bomb": lambda: _PNG + times(packed(bytes(SIZE) + b"DataMining")),
    "PNG: bombs of elements": lambda: (
        _PNG + b"".join(packed(each) for each in distinct(100, 396_000))
    ).ljust(SIZE, b"\0"),
    "PNG: a profile": lambda: _PNG + chunk(b"tEXt", b"Raw profile type xmp\0\nxmp\n 9\n" + times(b"3c\n")),
    "PNG: spaces in a profile": lambda: _PNG + chunk(b"tEXt", b"Raw profile type xmp\0" + b" " * SIZE),
    "WebP: empty chunks": lambda: b"RIFF\xff\xff\xff\xffWEBP" + times(b"ANMF\0\0\0\0"),
    "WebP: empty packets": lambda: b"RIFF\xff\xff\xff\xffWEBP" + times(b"XMP \0\0\0\0"),
    "WebP: empty Exif": lambda: b"RIFF\xff\xff\xff\xffWEBP" + times(b"EXIF\0\0\0\0"),
    "GIF: blocks": lambda: _GIF + times(b"\x21\xf9\0"),
    "GIF: zeros": lambda: _GIF + bytes(SIZE),
    "GIF: sub-blocks of an octet": lambda: _GIF + b"\x21\xfe" + times(b"\1x"),
    "GIF: sub-blocks of a packet": lambda: _GIF + b"\x21\xff\x0bXMP DataXMP" + times(b"\1x"),
    "GIF: packets without end": gif_packets,
    "TIFF: overlapping packets": overlapping_tags,
    "TIFF: overlapping stores": lambda: overlapping_tags(0xCD41),
    "TIFF: overlapping texts": lambda: overlapping_tags(0x8298),
    "TIFF: overlapping directories": many_directories,
    "AVIF: overlapping items": overlapping_items,
    "AVIF: overlapping Exif": lambda: overlapping_items(b"Exif\0"),
    "AVIF: items": many_items,
    "AVIF: empty boxes": lambda: _FTYP + times(box(b"free", b"")),
    "AVIF: packets": lambda: _FTYP + b"".join(box(b"uuid", _UUID + each) for each in distinct(200, 20_000)),
    "AVIF: nested boxes": lambda: _FTYP + nested(b"moov", SIZE // 8),
    "SVG: elements": lambda: b"<svg>" + times(b"<a/>") + b"<DataMining/></svg>",
    "SVG: comments": lambda: times(b"<!---->") + b"<svg/>",
    "SVG: comments, few": lambda: b"<!---->" * 250 + b"<!--" * 16_000,
    "SVG: manifests": lambda: b"<svg>" + times(b"<manifest "),
    "SVG: manifests without end": lambda: b"<svg>" + times(b"<manifest>AAAA"),
    "SVG: DataMining": lambda: b"<svg>" + times(b"<plus:DataMining>"),
    "SVGZ: a bomb": lambda: gzip.compress(b"<svg>" + bytes(1_000 * SIZE // 100), mtime=0).ljust(SIZE, b"\0"),
}
"""By name, what makes the file."""
