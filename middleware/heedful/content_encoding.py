"""Content codings undone (RFC 9110, section 8.4), so that a picture is judged and not its wrapping."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

import zstandard

from heedful.signals.embedded._jumbf import UnreadError, unbrotli

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from heedful.model import Headers

DECODED_MAX: Final = 2**28
"""Bytes that a body may come to: more than pictures have, less than what a few threads' memory holds."""

CODINGS_MAX: Final = 5
"""Codings upon each other; urllib3 allows as many."""

_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP: Final = zlib.MAX_WBITS | 16
_RAW: Final = -zlib.MAX_WBITS


def undone(data: bytes, headers: Headers) -> bytes:
    """A body without the codings that its headers name.

    Args:
        data: the body as it was sent.
        headers: the response's header lines.

    Raises:
        ValueError: a coding is not known, the body is damaged, or comes to more than `DECODED_MAX` bytes.
    """
    codings = [
        coding.strip().lower()
        for name, value in headers
        if name.lower() == "content-encoding"
        for coding in value.split(",")
    ]
    if len(codings) > CODINGS_MAX:
        raise ValueError(f"{len(codings)} content codings")
    for coding in reversed(codings):
        if coding in {"", "identity"} or not data:
            continue
        if coding not in _CODINGS:
            raise ValueError(f"the content coding {coding} is not known")
        try:
            data = _CODINGS[coding](data)
        except (zlib.error, zstandard.ZstdError, UnreadError) as error:
            raise ValueError(f"the content coding {coding} cannot be undone: {error}") from error
        if len(data) > DECODED_MAX:
            raise ValueError(f"without its content coding, more than {DECODED_MAX} bytes")
    return data


def _gzip(data: bytes) -> bytes:
    """All members; what follows the last one is no part of it."""
    plain = b""
    while not plain or (data.startswith(_GZIP_MAGIC) and len(plain) <= DECODED_MAX):
        member = zlib.decompressobj(_GZIP)
        plain += member.decompress(data, DECODED_MAX + 1 - len(plain))
        data = member.unused_data
        if not data:
            break
    return plain


def _deflate(data: bytes) -> bytes:
    """With the zlib wrapping as RFC 9110 has it, or without, as some servers do."""
    try:
        return zlib.decompressobj().decompress(data, DECODED_MAX + 1)
    except zlib.error:
        return zlib.decompressobj(_RAW).decompress(data, DECODED_MAX + 1)


def _zstd(data: bytes) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
        return reader.read(DECODED_MAX + 1)


_CODINGS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": lambda data: unbrotli(data, DECODED_MAX),
    "zstd": _zstd,
}
