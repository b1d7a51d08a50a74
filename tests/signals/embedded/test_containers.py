"""Where metadata can lie in each container: odd forms, made byte by byte; test_matrix has the usual ones."""

from __future__ import annotations

import base64
import gzip
import hashlib
import itertools
import pickle
import struct
import zlib
from typing import NamedTuple

import brotli
import pytest

from heedful.model import Preference, Purpose, Reason, Source
from heedful.signals.embedded import (
    NOTHING_EMBEDDED,
    PARTS_MAX,
    STATEMENTS_MAX,
    Embedded,
    Watch,
    _inflating,
    _jumbf,
    media_type,
    read,
)
from heedful.testing import embed

SOURCE = Source("https://a.example/picture")
DENY = embed.dmi_packet("DMI-PROHIBITED")
ALLOW = embed.dmi_packet("DMI-ALLOWED")
SILENT = embed.xmp_packet("<a:b xmlns:a='x'>c</a:b>")
DENY_STORE = embed.training_mining_store({"cawg.data_mining": "notAllowed"})
ALLOW_STORE = embed.training_mining_store(
    {"cawg.ai_training": "allowed", "cawg.ai_generative_training": "allowed"}
)
DENIED = {(Reason.DATA_MINING, Preference.DISALLOW, Purpose.TRAIN_ANY)}
ALLOWED = {(Reason.DATA_MINING, Preference.ALLOW, Purpose.TRAIN_ANY)}
STORE_DENIED = {(Reason.TRAINING_MINING, Preference.DISALLOW, Purpose.TRAIN_ANY)}
DOUBT = {(Reason.UNDETERMINED, Preference.UNDETERMINED, Purpose.TRAIN_ANY)}
NOTHING = set()


def said(reading):
    return {
        (statement.signal, statement.preference, statement.covers)
        for statement in reading.statements
        if statement.preference is not Preference.UNKNOWN
    }


class File(NamedTuple):
    data: bytes
    says: set
    watched: bool | None = True  # a watch speaks up while the file comes in, if it denies; None: it may


# -- JPEG ------------------------------------------------------------------------------------------------


def segment(marker, content):
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg(*segments, rest=b"\x12\x34\xff\xd9"):
    return b"\xff\xd8" + b"".join(segments) + segment(0xDA, bytes(10)) + rest


def app1(packet):
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet)


JFIF = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
TABLE = segment(0xDB, bytes(65))


def extended(packet, *, size=1000, name=True, chunks=None):
    """Segments of extended XMP, the one that names it first; `chunks` says which, in what order."""
    guid = hashlib.md5(packet, usedforsecurity=False).hexdigest().upper()
    main = embed.xmp_packet("", f'xmlns:n="http://ns.adobe.com/xmp/note/" n:HasExtendedXMP="{guid}"')
    head = b"http://ns.adobe.com/xmp/extension/\0" + guid.encode()
    pieces = [
        segment(0xE1, head + struct.pack(">II", len(packet), at) + packet[at : at + size])
        for at in range(0, len(packet), size)
    ]
    order = range(len(pieces)) if chunks is None else chunks(range(len(pieces)))
    return [app1(main if name else SILENT), *(pieces[number] for number in order)]


def long(packet, at=2500):
    """The packet behind so many octets of spaces, that its property falls into a chunk of its own."""
    return packet.replace(b"<rdf:RDF", b" " * at + b"<rdf:RDF", 1)


def tiff(*entries, order="<", following=0, lead=b""):
    """A TIFF file of one directory; an entry is tag, type, and its value's octets."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(lead)) + lead
    directory = len(head)
    place = directory + 2 + 12 * len(entries) + 4
    table, values = [], b""
    for tag, kind, value in entries:
        count = len(value) // {3: 2, 4: 4, 13: 4}.get(kind, 1)
        if len(value) <= 4:
            field = value.ljust(4, b"\0")
        else:
            field = struct.pack(order + "I", place + len(values))
            values += value
        table.append(struct.pack(order + "HHI", tag, kind, count) + field)
    number = struct.pack(order + "H", len(entries))
    return head + number + b"".join(table) + struct.pack(order + "I", following) + values


def exif(packet, **options):
    return tiff((270, 2, b"a picture\0"), (700, 1, packet), **options)


def resource(number, content, name=b""):
    name = bytes((len(name),)) + name
    padded = name + b"\0" * (len(name) % 2)
    return (
        b"8BIM"
        + struct.pack(">H", number)
        + padded
        + struct.pack(">I", len(content))
        + content
        + b"\0" * (len(content) % 2)
    )


def app13(*resources):
    return segment(0xED, b"Photoshop 3.0\0" + b"".join(resources))


def app11(store, *, size=100, first=1, instance=1, long_size=False, chunks=None):
    header, content = store[:8], store[8:]
    if long_size:
        header = struct.pack(">I4sQ", 1, b"jumb", len(store) + 8)
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    order = range(len(pieces)) if chunks is None else chunks(range(len(pieces)))
    return [
        segment(0xEB, struct.pack(">2sHI", b"JP", instance, first + number) + header + pieces[number])
        for number in order
    ]


def multi_picture(first, second, *, offset=None):
    """Two pictures, and the index in the first one that says where the second is."""

    def indexed(start):
        table = struct.pack("<IIIHH", 0x30000, 0, 0, 0, 0) + struct.pack(
            "<IIIHH", 0, len(second), start, 0, 0
        )
        return jpeg(segment(0xE2, b"MPF\0" + tiff((0xB002, 7, table))), *first)

    base = indexed(0).index(b"II*\0")
    return indexed(len(indexed(0)) - base if offset is None else offset) + second


def reverse(numbers):
    return reversed(numbers)


def without_second(numbers):
    return [number for number in numbers if number != 1]


JPEG = {
    "before everything": File(jpeg(app1(DENY), JFIF, TABLE), DENIED),
    "behind the tables": File(jpeg(JFIF, TABLE, app1(DENY)), DENIED),
    "behind a comment": File(jpeg(segment(0xFE, b"<x:xmpmeta"), app1(DENY)), DENIED),
    "fill bytes": File(jpeg(JFIF, b"\xff\xff\xff", app1(DENY)), DENIED),
    "octets between segments": File(jpeg(JFIF, b"\0\1\2", app1(DENY)), DENIED),
    "markers without length": File(jpeg(JFIF, b"\xff\x01\xff\xd0\xff\0", app1(DENY)), DENIED),
    "zeros behind the packet": File(jpeg(app1(DENY + bytes(9))), DENIED),
    "no scan": File(b"\xff\xd8" + JFIF + app1(DENY) + b"\xff\xd9", DENIED),
    "cut off behind the packet": File(b"\xff\xd8" + JFIF + app1(DENY), DENIED),
    "two packets": File(jpeg(app1(SILENT), app1(DENY), app1(ALLOW)), DENIED | ALLOWED),
    "two packets, the same": File(jpeg(app1(ALLOW), app1(ALLOW)), ALLOWED),
    "another APP1": File(jpeg(segment(0xE1, b"http://other.example/\0" + DENY)), NOTHING),
    "a packet in a comment": File(jpeg(segment(0xFE, DENY)), NOTHING),
    "exif": File(jpeg(segment(0xE1, b"Exif\0\0" + exif(DENY))), DENIED),
    "exif, other padding": File(jpeg(segment(0xE1, b"Exif\0\xff" + exif(DENY))), DENIED),
    "exif, big-endian": File(jpeg(segment(0xE1, b"Exif\0\0" + exif(ALLOW, order=">"))), ALLOWED),
    "exif, cut off": File(jpeg(segment(0xE1, b"Exif\0\0" + exif(ALLOW)[:-9])), DOUBT),
    "exif, empty": File(jpeg(segment(0xE1, b"Exif\0\0")), NOTHING),
    "exif, of no order": File(jpeg(segment(0xE1, b"Exif\0\0XX*\0\x08\0\0\0")), NOTHING),
    "extended": File(jpeg(*extended(long(DENY))), DENIED),
    "extended, allows": File(jpeg(*extended(long(ALLOW))), ALLOWED),
    "extended, reversed": File(jpeg(*extended(long(ALLOW), chunks=reverse)), ALLOWED),
    "extended, before its name": File(jpeg(*reversed(extended(long(ALLOW)))), ALLOWED),
    "extended, a chunk twice": File(jpeg(*extended(long(ALLOW), chunks=lambda n: [*n, 0, 1])), ALLOWED),
    "extended, torn anywhere": File(jpeg(*extended(DENY, size=7)), DENIED),
    "extended, not named": File(jpeg(*extended(long(DENY), name=False)), DENIED | DOUBT),
    "extended, not named, allows": File(jpeg(*extended(long(ALLOW), name=False)), DOUBT),
    "extended, a chunk missing": File(jpeg(*extended(long(DENY), chunks=without_second)), DENIED | DOUBT),
    "extended, a chunk missing, allows": File(jpeg(*extended(long(ALLOW), chunks=without_second)), DOUBT),
    "extended, no head": File(
        jpeg(segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 9)), NOTHING
    ),
    "photoshop": File(jpeg(app13(resource(1028, b"abc"), resource(1060, DENY, b"name"))), DENIED),
    "photoshop, allows": File(jpeg(app13(resource(1060, ALLOW, b"odd"))), ALLOWED),
    "photoshop, cut off": File(jpeg(app13(resource(1060, ALLOW)[:-9])), DOUBT),
    "photoshop, another": File(jpeg(app13(resource(1061, DENY))), NOTHING),
    "store": File(jpeg(JFIF, *app11(DENY_STORE)), STORE_DENIED),
    "store, reversed": File(jpeg(*app11(DENY_STORE, chunks=reverse)), STORE_DENIED),
    "store, counted from 0": File(jpeg(*app11(DENY_STORE, first=0)), STORE_DENIED),
    "store, long size": File(jpeg(*app11(DENY_STORE, long_size=True)), STORE_DENIED),
    "store, between other segments": File(
        jpeg(*itertools.chain(*((each, JFIF, app1(SILENT)) for each in app11(DENY_STORE)))), STORE_DENIED
    ),
    "store, among others": File(
        jpeg(
            *itertools.chain(
                *itertools.zip_longest(app11(DENY_STORE), app11(ALLOW_STORE, instance=2), fillvalue=b"")
            )
        ),
        STORE_DENIED,
    ),
    "store, another of its number": File(jpeg(*app11(ALLOW_STORE), *app11(DENY_STORE)), STORE_DENIED),
    "store, a segment too short": File(jpeg(segment(0xEB, b"JP\0\1")), NOTHING),
    "store, of another type": File(
        jpeg(segment(0xEB, struct.pack(">2sHII4s", b"JP", 1, 1, 8, b"free"))), NOTHING
    ),
    "second picture": File(multi_picture([JFIF], jpeg(app1(DENY))), DENIED),
    "second picture, nowhere": File(multi_picture([JFIF], jpeg(), offset=9_999), NOTHING),
    "second picture, the first one": File(multi_picture([app1(DENY)], b"", offset=2**32 - 1), DENIED),
    "appended picture": File(jpeg(JFIF) + jpeg(app1(DENY)), DENIED, watched=False),
    "appended packet": File(jpeg(JFIF) + b"http://ns.adobe.com/xap/1.0/\0" + DENY, DENIED, watched=False),
    "appended packets": File(jpeg(JFIF) + jpeg(app1(SILENT)) + jpeg(app1(DENY)), DENIED, watched=False),
}

# -- PNG -------------------------------------------------------------------------------------------------


def chunk(kind, content, *, damaged=False):
    crc = zlib.crc32(content, zlib.crc32(kind)) ^ damaged
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def png(*chunks, behind=()):
    picture = [chunk(b"IHDR", bytes(13)), *chunks, chunk(b"IDAT", bytes(50)), *behind, chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(picture)


def itxt(packet, *, compressed=False, language=b"", translated=b"", key=b"XML:com.adobe.xmp"):
    text = zlib.compress(packet) if compressed else packet
    return key + b"\0" + bytes((compressed, 0)) + language + b"\0" + translated + b"\0" + text


def profile(data, kind=b"xmp", *, length=None, digits=None):
    digits = data.hex().encode() if digits is None else digits
    lines = b"\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return b"\n%b\n%8d\n%b\n" % (kind, len(data) if length is None else length, lines)


def raw(kind, text):
    return b"Raw profile type %b\0%b" % (kind, text)


APP1_XMP = b"http://ns.adobe.com/xap/1.0/\0"
TORN = zlib.compress(DENY + b" " * 3000, 0)

PNG = {
    "iTXt": File(png(chunk(b"iTXt", itxt(DENY))), DENIED),
    "iTXt, compressed": File(png(chunk(b"iTXt", itxt(ALLOW, compressed=True))), ALLOWED),
    "iTXt, language": File(png(chunk(b"iTXt", itxt(ALLOW, language=b"en", translated=b"XMP"))), ALLOWED),
    "iTXt, behind the data": File(png(behind=[chunk(b"iTXt", itxt(DENY))]), DENIED),
    "iTXt, another keyword": File(png(chunk(b"iTXt", itxt(DENY, key=b"Comment"))), NOTHING),
    "iTXt, without text": File(png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0")), DOUBT),
    "iTXt, checksum wrong": File(png(chunk(b"iTXt", itxt(DENY), damaged=True)), DENIED | DOUBT),
    "iTXt, checksum wrong, allows": File(png(chunk(b"iTXt", itxt(ALLOW), damaged=True)), DOUBT),
    "iTXt, compressed and torn": File(
        png(chunk(b"iTXt", itxt(b"")[:18] + b"\1\0\0\0" + TORN[:-200])), DENIED | DOUBT
    ),
    "iTXt, not compressed": File(png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + ALLOW)), DOUBT),
    "zTXt": File(png(chunk(b"zTXt", b"XML:com.adobe.xmp\0\0" + zlib.compress(DENY))), DENIED),
    "tEXt": File(png(chunk(b"tEXt", b"XML:com.adobe.xmp\0" + ALLOW)), ALLOWED),
    "profile": File(png(chunk(b"tEXt", raw(b"xmp", profile(ALLOW)))), ALLOWED),
    "profile, compressed": File(
        png(chunk(b"zTXt", raw(b"xmp", b"\0" + zlib.compress(profile(DENY))))), DENIED
    ),
    "profile, in iTXt": File(png(chunk(b"iTXt", itxt(profile(DENY), key=b"Raw profile type xmp"))), DENIED),
    "profile of APP1, XMP": File(
        png(chunk(b"tEXt", raw(b"APP1", profile(APP1_XMP + DENY, b"generic profile")))), DENIED
    ),
    "profile of APP1, Exif": File(
        png(chunk(b"tEXt", raw(b"APP1", profile(b"Exif\0\0" + exif(DENY), b"generic profile")))), DENIED
    ),
    "profile of Exif": File(png(chunk(b"tEXt", raw(b"exif", profile(b"Exif\0\0" + exif(DENY))))), DENIED),
    "profile, upper case": File(
        png(chunk(b"tEXt", raw(b"xmp", profile(ALLOW, digits=ALLOW.hex().upper().encode())))), ALLOWED
    ),
    "profile, too long": File(png(chunk(b"tEXt", raw(b"xmp", profile(ALLOW, length=9)))), DOUBT),
    "profile, too short": File(png(chunk(b"tEXt", raw(b"xmp", profile(DENY, length=9_999)))), DENIED | DOUBT),
    "profile, odd": File(
        png(chunk(b"tEXt", raw(b"xmp", profile(ALLOW, digits=ALLOW.hex().encode() + b"2")))), ALLOWED
    ),
    "profile, no digits": File(png(chunk(b"tEXt", raw(b"xmp", profile(ALLOW, digits=b"xyz")))), DOUBT),
    "profile, none": File(png(chunk(b"tEXt", raw(b"xmp", b"nothing"))), DOUBT),
    "profile of IPTC": File(png(chunk(b"tEXt", raw(b"iptc", profile(DENY)))), NOTHING),
    "eXIf": File(png(chunk(b"eXIf", exif(DENY))), DENIED),
    "eXIf, prefixed": File(png(chunk(b"eXIf", b"Exif\0\0" + exif(ALLOW))), ALLOWED),
    "caBX": File(png(chunk(b"caBX", DENY_STORE)), STORE_DENIED),
    "caBX, behind the data": File(png(behind=[chunk(b"caBX", DENY_STORE)]), STORE_DENIED),
    "a length beyond the end": File(png()[:-12] + struct.pack(">I4s", 2**31, b"iTXt") + itxt(ALLOW), DOUBT),
    "behind the end": File(png() + chunk(b"iTXt", itxt(DENY)), NOTHING),
}

# -- WebP, GIF, TIFF -------------------------------------------------------------------------------------


def riff(kind, content):
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def webp(*chunks, size=None):
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


PICTURE = riff(b"VP8 ", bytes(31))
CANVAS = riff(b"VP8X", bytes(10))

WEBP = {
    "no VP8X": File(webp(PICTURE, riff(b"XMP ", DENY)), DENIED),
    "VP8X without the flag": File(webp(CANVAS, PICTURE, riff(b"XMP ", ALLOW)), ALLOWED),
    "before the picture": File(webp(CANVAS, riff(b"XMP ", DENY), PICTURE), DENIED),
    "name with a NUL": File(webp(CANVAS, PICTURE, riff(b"XMP\0", DENY)), DENIED),
    "odd length": File(webp(riff(b"XMP ", SILENT + b"\n"), riff(b"XMP ", DENY + b"\n")), DENIED),
    "no size": File(webp(PICTURE, riff(b"XMP ", DENY), size=0), DENIED),
    "behind its size": File(webp(PICTURE, riff(b"XMP ", DENY), size=43), DENIED),
    "exif": File(webp(CANVAS, PICTURE, riff(b"EXIF", exif(DENY))), DENIED),
    "exif, prefixed": File(webp(CANVAS, PICTURE, riff(b"EXIF", b"Exif\0\0" + exif(ALLOW))), ALLOWED),
    "store": File(webp(CANVAS, PICTURE, riff(b"C2PA", DENY_STORE)), STORE_DENIED),
    "cut off": File(webp(PICTURE, riff(b"XMP ", ALLOW))[:-30], DOUBT),
    "cut off, denies": File(webp(PICTURE, riff(b"XMP ", DENY))[:-30], DENIED | DOUBT, watched=False),
}

GIF_HEAD = b"GIF89a\2\0\2\0\x80\0\0" + bytes(6)
GIF_PICTURE = b"\x2c" + bytes(8) + b"\x80" + bytes(6) + b"\2\2\x4c\1\0"
MAGIC = b"\1" + bytes(range(255, -1, -1)) + b"\0"


def sub_blocks(content, size=255):
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    return b"".join(bytes((len(piece),)) + piece for piece in pieces) + b"\0"


def application(name, content):
    return b"\x21\xff\x0b" + name + content


def gif(*blocks):
    return GIF_HEAD + b"".join(blocks) + b";"


GIF_XMP = application(b"XMP DataXMP", DENY + MAGIC)

GIF = {
    "before the picture": File(gif(GIF_XMP, GIF_PICTURE), DENIED),
    "behind pictures": File(gif(GIF_PICTURE, b"\x21\xf9\4\0\0\0\0\0", GIF_PICTURE, GIF_XMP), DENIED),
    "behind a comment": File(gif(b"\x21\xfe" + sub_blocks(b"XMP DataXMP"), GIF_XMP), DENIED),
    "a terminator too many": File(gif(b"\0\0", GIF_XMP), DENIED),
    "sub-blocks": File(gif(application(b"XMP DataXMP", sub_blocks(ALLOW)), GIF_PICTURE), ALLOWED),
    "small sub-blocks": File(gif(application(b"XMP DataXMP", sub_blocks(ALLOW, 10)), GIF_PICTURE), ALLOWED),
    "sub-blocks, cut off": File(GIF_HEAD + application(b"XMP DataXMP", sub_blocks(ALLOW)[:-9]), DOUBT),
    "a packet with zeros": File(
        gif(application(b"XMP DataXMP", DENY.decode().encode("utf-16-le") + MAGIC), GIF_PICTURE), DENIED
    ),
    "with a mark": File(gif(application(b"XMP DataXMP", b"\xef\xbb\xbf" + ALLOW + MAGIC)), ALLOWED),
    "no trailer": File(GIF_HEAD + application(b"XMP DataXMP", ALLOW), DOUBT),
    "no trailer, denies": File(GIF_HEAD + application(b"XMP DataXMP", DENY), DENIED | DOUBT, watched=False),
    "of another application": File(gif(application(b"NETSCAPE2.0", sub_blocks(DENY))), NOTHING),
    "two packets": File(
        gif(application(b"XMP DataXMP", ALLOW + MAGIC), GIF_PICTURE, GIF_XMP), DENIED | ALLOWED
    ),
    "store": File(gif(application(b"C2PA_GIF\1\0\0", sub_blocks(DENY_STORE)), GIF_PICTURE), STORE_DENIED),
    "store, behind pictures": File(
        gif(GIF_PICTURE, application(b"C2PA_GIF\1\0\0", sub_blocks(DENY_STORE, 20))), STORE_DENIED
    ),
    "87a": File(b"GIF87a" + gif(GIF_XMP)[6:], DENIED),
    "behind the end": File(gif(GIF_PICTURE) + GIF_XMP, NOTHING),
}


def big_tiff(value, order="<", kind=7, tag=700):
    head = (b"II+\0" if order == "<" else b"MM\0+") + struct.pack(order + "HHQ", 8, 0, 16)
    entry = struct.pack(order + "HHQQ", tag, kind, len(value), 16 + 8 + 20 + 8)
    return head + struct.pack(order + "Q", 1) + entry + bytes(8) + value


def linked(order="<"):
    """Two directories, the second of which has the packet and leads back to the first."""
    first = tiff((256, 3, b"\1\0"), order=order)
    second = tiff((256, 3, b"\1\0"), order=order, following=len(first))
    rest = exif(DENY, order=order, following=8, lead=bytes(len(second) - 8))[len(second) :]
    return second + rest


def sub_directory(kind, number=1):
    """The packet in a directory that another one names, alone or among others."""
    lead = tiff((256, 3, b"\1\0"), (330, kind, b""))
    offsets = struct.pack("<I", 0) * (number - 1)
    start = len(lead) + 4 * number * (number > 1)
    outer = tiff((256, 3, b"\1\0"), (330, kind, offsets + struct.pack("<I", start)))
    assert len(outer) == start
    return outer + exif(DENY, lead=bytes(start - 8))[start:]


def chained(number):
    """So many directories, the last of which has the packet."""
    empty = b"".join(struct.pack("<HI", 0, 8 + 6 * (each + 1)) for each in range(number - 1))
    return exif(DENY, lead=empty)[:4] + struct.pack("<I", 8) + exif(DENY, lead=empty)[8:]


TIFF = {
    "many directories": File(chained(256), DENIED),
    "too many directories": File(chained(257), DOUBT),
    "bytes": File(exif(DENY), DENIED),
    "undefined": File(tiff((700, 7, DENY)), DENIED),
    "longs": File(tiff((700, 4, DENY.ljust(1200))), DENIED),
    "of an unknown type": File(tiff((700, 99, DENY)), DENIED),
    "big-endian": File(exif(ALLOW, order=">"), ALLOWED),
    "second directory": File(linked(), DENIED),
    "second directory, big-endian": File(linked(">"), DENIED),
    "directory within": File(sub_directory(4), DENIED),
    "directory within, of its type": File(sub_directory(13), DENIED),
    "directory within, the last": File(sub_directory(4, 3), DENIED),
    "directory at the end": File(exif(DENY, lead=bytes(1000)), DENIED),
    "big": File(big_tiff(DENY), DENIED),
    "big, big-endian": File(big_tiff(ALLOW, ">"), ALLOWED),
    "big, store": File(big_tiff(DENY_STORE, tag=0xCD41), STORE_DENIED),
    "store": File(tiff((0xCD41, 7, DENY_STORE), order=">"), STORE_DENIED),
    "copyright": File(tiff((0x8298, 2, b"Me\0")), NOTHING),
    "cut off": File(exif(ALLOW)[:-9], DOUBT),
    "cut off, denies": File(exif(DENY)[:-9], DENIED | DOUBT, watched=False),
    "outside of the file": File(tiff((700, 1, DENY))[: -len(DENY)], DOUBT),
    "directory cut off": File(exif(DENY)[:20], DOUBT),
    "directory outside": File(tiff((256, 3, b"\1\0"), following=9_999), DOUBT),
    "its own next": File(tiff((256, 3, b"\1\0"), following=8), NOTHING),
    "no directory": File(b"II*\0" + bytes(12), NOTHING),
    "empty": File(tiff((700, 1, b"")), NOTHING),
}

# -- boxes -----------------------------------------------------------------------------------------------

XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")


def box(kind, content, *, size=None):
    if size == "long":
        return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content
    return struct.pack(">I4s", 8 + len(content) if size is None else size, kind) + content


def ftyp(*brands):
    return box(b"ftyp", brands[0] + bytes(4) + b"".join(brands[1:]))


def infe(number, rest, *, version=2, protection=0):
    width = "I" if version == 3 else "H"
    return box(b"infe", struct.pack(f">I{width}H", version << 24, number, protection) + rest)


RDF = b"mime\0application/rdf+xml\0"


def avif(
    packet,
    *,
    entry=None,
    version=1,
    sizes=(4, 4, 0, 0),
    base=0,
    extents=1,
    method=0,
    file=0,
    wide=False,
    quicktime=False,
    number=7,
    to_the_end=False,
    located=True,
):
    """A file with one item of metadata behind one of a picture."""
    entry = infe(number, RDF, version=3 if wide else 2) if entry is None else entry
    picture = infe(1, b"av01\0", version=3 if wide else 2)
    count = struct.pack(">I" if wide else ">H", 2)
    iinf = box(b"iinf", bytes((wide, 0, 0, 0)) + count + picture + entry)
    idat = box(b"idat", packet) if method == 1 else b""

    def field(value, size):
        return value.to_bytes(size, "big")

    def iloc(start):
        numbers = 4 if version == 2 else 2
        table = [bytes((version, 0, 0, 0, sizes[0] << 4 | sizes[1], sizes[2] << 4 | sizes[3]))]
        table.append(field(2 if located else 1, numbers))
        length = -(-len(packet) // extents)
        for each, way in ((1, 0), (number, method))[: 2 if located else 1]:
            table.append(field(each, numbers) + (field(way, 2) if version else b""))
            table.append(field(file if each == number else 0, 2) + field(base, sizes[2]))
            table.append(field(extents if each == number else 0, 2))
            for at in range(0, len(packet) if each == number else 0, length):
                size = 0 if to_the_end else min(length, len(packet) - at)
                index = field(0, sizes[3]) if version else b""
                table.append(index + field(start + at - base, sizes[0]) + field(size, sizes[1]))
        return box(b"iloc", b"".join(table))

    head = ftyp(b"avif", b"mif1", b"avif")

    def whole(start):
        content = (b"" if quicktime else bytes(4)) + box(b"hdlr", bytes(8) + b"pict" + bytes(13)) + iinf
        return head + box(b"meta", content + iloc(start) + idat)

    if method == 1:
        return whole(0) + box(b"mdat", bytes(40))
    before = whole(base) + struct.pack(">I4s", 48 + len(packet), b"mdat") + bytes(40)
    return whole(len(before)) + before[len(whole(base)) :] + packet


def c2pa_box(store, purpose=b"manifest"):
    return box(b"uuid", C2PA_UUID + bytes(4) + purpose + b"\0" + bytes(8) + store)


def brob(kind, content):
    return box(b"brob", kind + brotli.compress(content))


HEAD = ftyp(b"heic", b"mif1", b"heic")
JXL = b"\0\0\0\x0cJXL \r\n\x87\n" + ftyp(b"jxl ", b"jxl ")
JP2 = b"\0\0\0\x0cjP  \r\n\x87\n" + ftyp(b"jp2 ", b"jp2 ")
RAW_DEFLATE = zlib.compress(ALLOW)[2:-4]
EXIF_ITEM = struct.pack(">I", 6) + b"Exif\0\0"

BOXES = {
    "item": File(avif(DENY), DENIED),
    "item, version 0": File(avif(DENY, version=0), DENIED),
    "item, version 2": File(avif(ALLOW, version=2), ALLOWED),
    "item, base": File(avif(ALLOW, sizes=(4, 4, 4, 0), base=100), ALLOWED),
    "item, base of 8": File(avif(ALLOW, sizes=(8, 8, 8, 0), base=100), ALLOWED),
    "item, index": File(avif(ALLOW, sizes=(4, 4, 0, 4)), ALLOWED),
    "item, extents": File(avif(ALLOW, extents=5), ALLOWED),
    "item, in idat": File(avif(DENY, method=1), DENIED),
    "item, in idat, extents": File(avif(ALLOW, method=1, extents=3), ALLOWED),
    "item, wide numbers": File(avif(DENY, wide=True, version=2, number=70_000), DENIED),
    "item, of old": File(
        avif(DENY, entry=infe(7, b"XMP\0application/rdf+xml\0\0", version=0), version=0), DENIED
    ),
    "item, to the end": File(avif(DENY, to_the_end=True), DENIED, watched=False),
    "item, QuickTime": File(avif(DENY, quicktime=True), DENIED),
    "item, type with parameters": File(
        avif(DENY, entry=infe(7, b"mime\0Application/RDF+xml; charset=utf-8\0")), DENIED
    ),
    "item, type XML": File(avif(DENY, entry=infe(7, b"mime\0text/xml\0")), DENIED),
    "item, another type": File(avif(DENY, entry=infe(7, b"mime\0text/plain\0")), NOTHING),
    "item, deflated": File(avif(zlib.compress(ALLOW), entry=infe(7, RDF + b"deflate\0")), ALLOWED),
    "item, deflated, bare": File(avif(RAW_DEFLATE, entry=infe(7, RDF + b"deflate\0")), ALLOWED),
    "item, gzip": File(avif(gzip.compress(ALLOW), entry=infe(7, RDF + b"gzip\0")), ALLOWED),
    "item, Brotli": File(avif(brotli.compress(DENY), entry=infe(7, RDF + b"br\0")), DENIED),
    "item, Brotli, torn": File(avif(brotli.compress(DENY)[:-9], entry=infe(7, RDF + b"br\0")), DOUBT),
    "item, deflated, torn": File(avif(zlib.compress(ALLOW)[:-9], entry=infe(7, RDF + b"deflate\0")), DOUBT),
    "item, unknown encoding": File(avif(DENY, entry=infe(7, RDF + b"compress\0")), DOUBT),
    "item, Exif": File(avif(EXIF_ITEM + exif(DENY), entry=infe(7, b"Exif\0")), DENIED),
    "item, Exif at once": File(avif(bytes(4) + exif(ALLOW), entry=infe(7, b"Exif\0")), ALLOWED),
    "item, encrypted": File(avif(ALLOW, entry=infe(7, RDF, protection=1)), DOUBT),
    "item, of items": File(avif(ALLOW, method=2), DOUBT),
    "item, in another file": File(avif(ALLOW, file=1), DOUBT),
    "item, nowhere": File(avif(ALLOW, located=False), DOUBT),
    "item, too many extents": File(avif(b" " * 5_000, extents=5_000), DOUBT),
    "item, cut off": File(avif(ALLOW)[:-9], DOUBT),
    "uuid": File(HEAD + box(b"uuid", XMP_UUID + DENY), DENIED),
    "uuid, long": File(HEAD + box(b"uuid", XMP_UUID + ALLOW, size="long"), ALLOWED),
    "uuid, to the end": File(HEAD + box(b"uuid", XMP_UUID + DENY, size=0), DENIED, watched=False),
    "uuid, cut off": File(HEAD + box(b"uuid", XMP_UUID + ALLOW)[:-9], DOUBT),
    "uuid, another": File(HEAD + box(b"uuid", bytes(16) + DENY), NOTHING),
    "uuid, behind data": File(HEAD + box(b"mdat", bytes(99)) + box(b"uuid", XMP_UUID + DENY), DENIED),
    "in a film": File(HEAD + box(b"moov", box(b"mvhd", bytes(9)) + box(b"udta", box(b"XMP_", DENY))), DENIED),
    "in a track": File(
        HEAD + box(b"moov", box(b"trak", box(b"udta", box(b"uuid", XMP_UUID + ALLOW)))), ALLOWED
    ),
    "in a track's item": File(
        HEAD + box(b"moov", box(b"trak", avif(DENY, method=1)[len(ftyp(b"avif", b"mif1", b"avif")) :])),
        DENIED,
    ),
    "meta, too long": File(HEAD + box(b"meta", bytes(17_000_000)), DOUBT),
    "meta, cut off within": File(HEAD + box(b"meta", bytes(4) + box(b"iinf", bytes(5) + b"\1mime")), DOUBT),
    "meta, long sizes": File(
        HEAD + box(b"meta", bytes(4) + box(b"iinf", bytes(6), size="long") + box(b"iloc", b"", size=2)),
        NOTHING,
    ),
    "meta, cut off without": File(HEAD + box(b"meta", bytes(4) + box(b"iinf", bytes(6)) + b"abc"), NOTHING),
    "impossible length": File(HEAD + box(b"free", b"", size=3), DOUBT),
    "store": File(HEAD + c2pa_box(DENY_STORE), STORE_DENIED),
    "store, updated": File(HEAD + c2pa_box(DENY_STORE, b"update"), STORE_DENIED),
    "store, of hashes": File(HEAD + c2pa_box(DENY_STORE, b"merkle"), NOTHING),
    "jxl": File(JXL + box(b"jxlc", bytes(30)) + box(b"xml ", DENY), DENIED),
    "jxl, before the picture": File(JXL + box(b"xml ", ALLOW) + box(b"jxlc", bytes(30)), ALLOWED),
    "jxl, compressed": File(JXL + brob(b"xml ", ALLOW) + box(b"jxlp", bytes(30)), ALLOWED),
    "jxl, compressed, of no use": File(JXL + brob(b"jbrd", DENY), NOTHING),
    "jxl, compressed, damaged": File(JXL + box(b"brob", b"xml " + bytes(9)), DOUBT),
    "jxl, Exif": File(JXL + box(b"Exif", bytes(4) + exif(DENY)), DENIED),
    "jxl, Exif, compressed": File(JXL + brob(b"Exif", bytes(4) + exif(DENY)), DENIED),
    "jxl, store": File(JXL + DENY_STORE + box(b"jxlc", b""), STORE_DENIED),
    "jxl, store, compressed": File(JXL + brob(b"jumb", DENY_STORE[8:]), STORE_DENIED),
    "jxl, bare": File(b"\xff\x0a" + DENY, NOTHING),
    "jp2": File(JP2 + box(b"uuid", XMP_UUID + DENY) + box(b"jp2c", b"", size=0), DENIED),
    "jp2, Exif": File(JP2 + box(b"uuid", b"JpgTiffExif->JP2" + exif(ALLOW)), ALLOWED),
    "jp2, xml": File(JP2 + box(b"xml ", DENY), DENIED),
    "jp2, store": File(JP2 + DENY_STORE, STORE_DENIED),
}

# -- SVG -------------------------------------------------------------------------------------------------

ROOT = b'<svg xmlns="http://www.w3.org/2000/svg">'
BARE_DENY = DENY[DENY.index(b"<x:xmpmeta") : DENY.rindex(b"<?xpacket")]
PLUS = b'xmlns:plus="%b"' % embed.PLUS.encode()


def manifest(store, prefix=b"c2pa:"):
    text = base64.encodebytes(store)
    return b'<%bmanifest xmlns:c2pa="http://c2pa.org/manifest">%b</%bmanifest>' % (prefix, text, prefix)


def svg(*inner, root=ROOT, before=b"", end=b"</svg>"):
    return before + root + b"".join(inner) + end


SVG = {
    "metadata": File(svg(b"<metadata>", BARE_DENY, b"</metadata>"), DENIED),
    "elsewhere": File(svg(b"<g>", BARE_DENY, b"</g>"), DENIED),
    "in an SVG within": File(svg(b"<g><svg></svg></g><svg>", BARE_DENY, b"</svg>"), DENIED),
    "of the root": File(
        svg(root=b"<svg %b plus:DataMining='%bDMI-PROHIBITED'>" % (PLUS, embed.VOCABULARY.encode())), DENIED
    ),
    "root with a prefix": File(
        svg(BARE_DENY, root=b'<s:svg xmlns:s="http://www.w3.org/2000/svg">', end=b"</s:svg>"), DENIED
    ),
    "behind a declaration": File(svg(BARE_DENY, before=b'<?xml version="1.0"?>\n<!-- a -- b -->\n'), DENIED),
    "behind a document type": File(
        svg(BARE_DENY, before=b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://x/svg11.dtd">'), DENIED
    ),
    "with entities": File(
        svg(BARE_DENY, before=b'<!DOCTYPE svg [ <!ENTITY ns "http://x/"> ]>\n<?a b?>'), DENIED
    ),
    "with a mark": File(svg(BARE_DENY, before=b"\xef\xbb\xbf"), DENIED),
    "UTF-16": File(svg(BARE_DENY).decode().encode("utf-16"), DENIED),
    "behind a long comment": File(svg(BARE_DENY, before=b"<!--" + b" " * 2_000 + b"-->"), DENIED),
    "spaces behind it": File(svg(BARE_DENY, end=b"</svg >\n\n"), DENIED),
    "comment behind it": File(svg(BARE_DENY, end=b"</svg><!-- x -->"), DENIED, watched=None),
    "cut off": File(svg(BARE_DENY, end=b""), DENIED, watched=False),
    "text": File(svg(b"<desc>noai DMI-PROHIBITED</desc>"), NOTHING),
    "store": File(svg(b"<metadata>", manifest(DENY_STORE), b"</metadata>"), STORE_DENIED),
    "store, no prefix": File(svg(manifest(DENY_STORE, b"")), STORE_DENIED),
    "store, UTF-16": File(svg(manifest(DENY_STORE)).decode().encode("utf-16"), STORE_DENIED),
    "store, no base64": File(svg(b"<c2pa:manifest>????</c2pa:manifest>"), DOUBT),
    "store, none": File(svg(b"<manifest><item/></manifest>"), NOTHING),
    "svgz": File(gzip.compress(svg(BARE_DENY), mtime=0), DENIED),
    "svgz, store": File(gzip.compress(svg(manifest(DENY_STORE)), mtime=0), STORE_DENIED),
    "svgz, cut off": File(gzip.compress(svg(BARE_DENY), 0, mtime=0)[:-20], DENIED | DOUBT, watched=False),
    "svgz, damaged": File(
        gzip.compress(svg(BARE_DENY, b"<g/>" * 200), 0, mtime=0)[:-6] + b"?" * 6,
        DOUBT | DENIED,
    ),
    "gzip of something": File(gzip.compress(DENY, mtime=0), NOTHING),
    "a page with an SVG": File(b"<!DOCTYPE html><html><body>" + svg(BARE_DENY) + b"</body></html>", NOTHING),
    "an XML file": File(b'<?xml version="1.0"?><a>' + svg(BARE_DENY) + b"</a>", NOTHING),
}

FILES = {
    f"{kind}: {name}": file
    for kind, files in {
        "JPEG": JPEG,
        "PNG": PNG,
        "WebP": WEBP,
        "GIF": GIF,
        "TIFF": TIFF,
        "boxes": BOXES,
        "SVG": SVG,
    }.items()
    for name, file in files.items()
}


@pytest.mark.parametrize("name", FILES)
def test_read(name):
    file = FILES[name]
    embedded = read(file.data, SOURCE)
    assert said(embedded.reading) == file.says
    for statement in embedded.reading.statements:
        assert statement.evidence.where
        if statement.preference is Preference.UNDETERMINED:
            assert statement.switch == "unreadable"


@pytest.mark.parametrize("size", [1, 50, 1_000_000])
@pytest.mark.parametrize("name", FILES)
def test_watch(name, size):
    file = FILES[name]
    denies = {each for each in file.says if each[1] is Preference.DISALLOW}
    size = max(size, len(file.data) // 5_000)
    watch, spoke = Watch(SOURCE), False
    for at in range(0, len(file.data), size):
        spoke = watch.feed(file.data[at : at + size])
    assert said(watch.embedded.reading) == denies
    assert watch.embedded.signed == ()
    if file.watched is not None:
        assert spoke is (file.watched and bool(denies))


def test_stores_that_allow_are_told_apart():
    for data in (
        jpeg(*app11(ALLOW_STORE)),
        png(chunk(b"caBX", ALLOW_STORE)),
        JXL + brob(b"jumb", ALLOW_STORE[8:]),
    ):
        embedded = read(data, SOURCE)
        assert said(embedded.reading) == NOTHING
        assert {each.preference for each in embedded.signed} == {Preference.ALLOW}


@pytest.mark.parametrize(
    "data",
    [
        jpeg(*app11(ALLOW_STORE, chunks=without_second)),
        jpeg(*app11(ALLOW_STORE, first=2)),
        jpeg(*app11(ALLOW_STORE), *app11(ALLOW_STORE)),
        png(chunk(b"caBX", ALLOW_STORE, damaged=True)),
        webp(riff(b"C2PA", ALLOW_STORE))[:-4],
        GIF_HEAD + application(b"C2PA_GIF\1\0\0", sub_blocks(ALLOW_STORE)[:-4]),
    ],
    ids=["a segment missing", "the first missing", "twice", "checksum", "cut off", "sub-blocks cut off"],
)
def test_stores_that_are_damaged_or_not_alone_allow_nothing(data):
    assert read(data, SOURCE).signed == ()


def test_copyright_is_recorded():
    (statement,) = read(tiff((0x8298, 2, b"Me\0You\0")), SOURCE).reading.statements
    assert (statement.preference, statement.evidence.raw) == (Preference.UNKNOWN, "Me; You")


def test_a_remote_manifest_is_noted_unless_there_is_one_in_the_file():
    terms = 'xmlns:dcterms="http://purl.org/dc/terms/"'
    packet = embed.xmp_packet("<dcterms:provenance>https://c.example/m</dcterms:provenance>", terms)
    (statement,) = read(jpeg(app1(packet)), SOURCE).reading.statements
    assert statement.evidence.raw == "https://c.example/m"
    both = read(jpeg(app1(packet), *app11(DENY_STORE)), SOURCE).reading
    assert statement not in both.statements


def test_evidence_tells_the_place():
    (statement,) = read(jpeg(JFIF, app1(DENY)), SOURCE).reading.statements
    assert statement.evidence.where == "JPEG APP1 XMP at byte 20: plus:DataMining"


def test_without_brotli_it_is_not_read(monkeypatch):
    monkeypatch.setattr(_jumbf, "brotli", None)
    reading = read(JXL + brob(b"xml ", ALLOW), SOURCE).reading
    assert said(reading) == DOUBT
    assert "heedful[c2pa]" in reading.statements[0].evidence.raw


def test_what_is_inflated_is_bounded_over_the_file(monkeypatch):
    monkeypatch.setattr(_inflating, "INFLATED_MAX", 150_000)
    texts = [chunk(b"zTXt", b"XML:com.adobe.xmp\0\0" + zlib.compress(SILENT)) for _ in range(3)]
    deny = chunk(b"zTXt", b"XML:com.adobe.xmp\0\0" + zlib.compress(DENY))
    assert said(read(png(*texts, deny), SOURCE).reading) == DOUBT
    assert said(read(png(*texts[:2], deny), SOURCE).reading) == DENIED


def test_a_packet_that_is_too_long_is_read_to_its_limit():
    packet = DENY + b" " * 8_400_000
    assert said(read(riff_of(packet), SOURCE).reading) == DENIED | DOUBT
    assert said(read(riff_of(b" " * 8_400_000 + DENY), SOURCE).reading) == DOUBT
    packed = png(chunk(b"zTXt", b"XML:com.adobe.xmp\0\0" + zlib.compress(packet)))
    assert said(read(packed, SOURCE).reading) == DENIED | DOUBT


def riff_of(packet):
    return webp(riff(b"XMP ", packet))


def test_many_packets_are_read_to_a_limit():
    packets = [app1(b"%b<!--%d-->" % (SILENT, number)) for number in range(PARTS_MAX)]
    assert said(read(jpeg(app1(DENY), *packets), SOURCE).reading) == DENIED | DOUBT
    assert said(read(jpeg(*packets, app1(DENY)), SOURCE).reading) == DOUBT


def test_many_statements_do_not_crowd_out_what_denies():
    allows = [app1(ALLOW.replace(b"<x:", b"<!--%d--><x:" % number, 1)) for number in range(200)]
    reading = read(jpeg(*allows, app1(DENY)), SOURCE).reading
    assert said(reading) == DENIED | ALLOWED
    assert reading.statements[0].preference is Preference.DISALLOW
    assert len(reading.statements) == STATEMENTS_MAX + 1


TYPES = {
    "image/avif": [ftyp(b"avif"), ftyp(b"avis", b"avis"), ftyp(b"mif1", b"miaf", b"avif")],
    "image/heic": [ftyp(b"heic"), ftyp(b"hevc", b"msf1"), ftyp(b"mif1", b"heic")],
    "image/heif": [ftyp(b"mif1"), ftyp(b"msf1", b"miaf")],
    "image/jpeg": [jpeg(), b"\xff\xd8\xff"],
    "image/png": [png()],
    "image/webp": [webp()],
    "image/gif": [gif(), b"GIF87a"],
    "image/tiff": [tiff(), tiff(order=">"), big_tiff(b"x" * 9), big_tiff(b"x" * 9, ">")],
    "image/jxl": [JXL, b"\xff\x0a\x00"],
    "image/jp2": [JP2],
    "image/svg+xml": [svg(), gzip.compress(svg(), mtime=0), b"<svg>", svg().decode().encode("utf-32")],
    None: [
        b"",
        b"BM" + bytes(60),
        ftyp(b"isom", b"mp42"),
        b"RIFF\0\0\0\0WAVE",
        b"\xff\xd8",
        b"<svgx>",
        b"<html><svg>",
        b"<!-- <svg>",
        b"<!DOCTYPE svg",
        b"<?xml <svg>",
        b"svg",
        b"<!---->" * 300 + b"<svg>",
        b"\x1f\x8b\x08<svg>",
        gzip.compress(b"svg", mtime=0),
        bytes(100),
    ],
}


@pytest.mark.parametrize(
    ("data", "expected"), [(data, expected) for expected, files in TYPES.items() for data in files]
)
def test_media_type(data, expected):
    assert media_type(data) == expected
    assert read(data, SOURCE).media_type == expected


def test_what_is_read_is_a_value():
    embedded = read(jpeg(app1(DENY)), SOURCE)
    assert pickle.loads(pickle.dumps(embedded)) == embedded  # noqa: S301 - our own
    assert read(b"BM", SOURCE) == NOTHING_EMBEDDED == Embedded()
    with pytest.raises(AttributeError):
        embedded.signed = ()


# -- what is cut off -------------------------------------------------------------------------------------

SHORT = [name for name, file in FILES.items() if len(file.data) < 3_000]


@pytest.mark.parametrize("name", SHORT)
def test_cut_at_any_byte_nothing_is_said_that_the_whole_does_not_say(name):
    """But that it cannot be read."""
    file = FILES[name]
    for size in range(0, len(file.data), 1 if len(file.data) < 1_000 else 7):
        assert said(read(file.data[:size], SOURCE).reading) <= file.says | DOUBT, size
