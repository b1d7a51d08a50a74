"""SVG and SVGZ: the document is read like a packet; a manifest store is in it as base64 (C2PA 2.2, A.4)."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from itertools import islice
from typing import TYPE_CHECKING, Final

from heedful.signals.embedded._inflating import Stream
from heedful.signals.embedded._parts import Kind, Part, Unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heedful.signals.embedded._parts import Buffer, Step, Walk

ROOT_MAX: Final = 65_536
"""Octets within which the root must begin; licences and declarations of entities may stand before it."""

MARKUP_MAX: Final = 256
"""Most comments, instructions and declarations before the root."""

MANIFESTS_MAX: Final = 64
"""Most elements named `manifest` that are looked at; there should be one."""

TAG_MAX: Final = 1_024
"""Octets of the tag of such an element."""

EFFORT: Final = 4
"""A document that is still coming in is read, all in all, at most this many times."""

_END_MAX: Final = 256
_END: Final = re.compile(rb"</(?:[\w.-]{1,64}:)?svg\s*>\s*\Z")
_NEXT: Final = re.compile(rb"\s*(<!--|<\?|<!DOCTYPE\b|<(?:[\w.-]{1,64}:)?svg(?=[\s>/]))")
_DOCTYPE: Final = re.compile(rb"[^\[>]*(?:\[[^\]]*\]\s*)?>")
_CLOSING: Final = {b"<!--": b"-->", b"<?": b"?>"}
_BYTE_ORDER_MARKS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_MANIFEST: Final = re.compile(rb"<(?:[\w.-]{1,64}:)?manifest(?=[\s>])[^<>]{0,%d}>" % TAG_MAX)
_GZIP: Final = zlib.MAX_WBITS | 16


def is_svg(head: bytes) -> bool:
    """Whether a file that begins like this is an SVG document: whether that is its root."""
    if b"\0" in head[:8]:  # UTF-16 or UTF-32
        head = head.replace(b"\0", b"")
    for mark in _BYTE_ORDER_MARKS:
        head = head.removeprefix(mark)
    at = 0
    for _ in range(MARKUP_MAX):
        following = _NEXT.match(head, at)
        if following is None:
            return False
        if following[1] == b"<!DOCTYPE":
            declaration = _DOCTYPE.match(head, following.end())
            if declaration is None:
                return False
            at = declaration.end()
        elif following[1] in _CLOSING:
            closing = _CLOSING[following[1]]
            at = head.find(closing, following.end())
            if at < 0:
                return False
            at += len(closing)
        else:
            return True
    return False


def inflated_head(data: bytes) -> bytes:
    """The first octets of what is compressed in `data`, so many that it can be told whether it is an SVG."""
    stream = Stream(_GZIP, ROOT_MAX)
    stream.feed(data)
    return stream.end()[0]


def walk(buffer: Buffer) -> Walk:
    """Walk through an SVG document; one that is still coming in is read whenever it seems to have ended."""
    read, effort, length = -1, 0, -1
    while length != len(buffer):
        length = len(buffer)
        end = bytes(buffer[-_END_MAX:]).replace(b"\0", b"")
        if _END.search(end) and effort + length <= EFFORT * length:
            effort += length
            read = length
            yield from _document(bytes(buffer), "SVG", whole=True)
        yield length + 1
    if read != length:
        yield from _document(bytes(buffer), "SVG", whole=True)


def walk_compressed(buffer: Buffer) -> Walk:
    """Walk through an SVG document that is compressed by gzip."""
    stream = Stream(_GZIP)
    done = 0
    while True:
        compressed, done = bytes(buffer[done:]), len(buffer)
        stream.feed(compressed)
        if stream.is_over:
            break
        yield done + 1
        if len(buffer) == done:
            break
    data, fault = stream.end()
    if fault is not None:
        yield Unread("SVGZ", fault)
    yield from _document(data, "SVGZ", whole=fault is None)


def _document(data: bytes, where: str, *, whole: bool) -> Iterator[Step]:
    yield Part(Kind.XMP, where, data, whole)
    if b"\0" in data[:8]:
        data = data.replace(b"\0", b"")
    if b"manifest" not in data:
        return
    for tag in islice(_MANIFEST.finditer(data), MANIFESTS_MAX):
        end = data.find(b"<", tag.end())
        there = f"{where}, C2PA at byte {tag.start()}"
        text = b"".join(data[tag.end() : end if end >= 0 else len(data)].split())
        try:
            store = base64.b64decode(text[: len(text) & ~3], validate=True)
        except binascii.Error:
            yield Unread(there, "it is no base64")
        else:
            if store:
                yield Part(Kind.JUMBF, there, store, whole and end >= 0 and not len(text) & 3)
