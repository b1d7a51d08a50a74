"""Decompression that is bounded: a few octets can be told to become gigabytes."""

from __future__ import annotations

import zlib
from typing import Final

from heedful.signals.embedded._jumbf import UnreadError, unbrotli
from heedful.signals.embedded._xmp import PACKET_MAX

INFLATED_MAX: Final = 33_554_432
"""Octets that all that is compressed in a file is inflated to: four packets of the size that is read."""

PIECE: Final = 65_536
"""Octets inflated at a time, and what anything at least counts for: starting takes time, too."""

ZLIB_OR_GZIP: Final = zlib.MAX_WBITS | 32
"""Window bits that take a zlib stream (RFC 1950) or a gzip file (RFC 1952)."""

RAW: Final = -zlib.MAX_WBITS
"""Window bits that take a bare Deflate stream (RFC 1951)."""

_INPUT: Final = 256
"""Octets inflated together; what is damaged costs what they hold."""

_SPENT: Final = f"more than {INFLATED_MAX} octets inflated"
_TOO_LARGE: Final = f"inflated, more than {PACKET_MAX} octets"


class Stream:
    """A Deflate stream that may come in pieces.

    Args:
        window_bits: its kind, as zlib numbers them.
        room: octets that it may hold.
    """

    def __init__(self, window_bits: int = ZLIB_OR_GZIP, room: int = PACKET_MAX) -> None:
        self._stream = zlib.decompressobj(window_bits)
        self._room = room
        self._plain = bytearray()
        self._fault: str | None = None

    @property
    def is_over(self) -> bool:
        """It has ended, or cannot be read on."""
        return self._stream.eof or self._fault is not None

    def feed(self, data: bytes) -> None:
        """Take the next octets."""
        for at in range(0, len(data), _INPUT):
            piece = data[at : at + _INPUT]
            while piece and not self.is_over:
                piece = self._inflate(piece)

    def _inflate(self, data: bytes) -> bytes:
        """Inflate some octets; gives those that are left over."""
        if len(self._plain) == self._room:
            self._fault = _TOO_LARGE
            return b""
        try:
            self._plain += self._stream.decompress(data, min(PIECE, self._room - len(self._plain)))
        except zlib.error as error:
            self._fault = f"it cannot be decompressed: {error}"
        return self._stream.unconsumed_tail

    def end(self) -> tuple[bytes, str | None]:
        """What it holds, or its beginning, and in that case what is wrong with it."""
        return bytes(self._plain), self._fault or (None if self._stream.eof else "it is cut off")


class Inflater:
    """Inflates what a file holds."""

    def __init__(self) -> None:
        self._room = INFLATED_MAX

    def zlib(self, data: bytes, window_bits: int = ZLIB_OR_GZIP) -> tuple[bytes, str | None]:
        """What a Deflate stream holds, or its beginning, and in that case what is wrong with it."""
        room = min(self._room, PACKET_MAX)
        if room <= 0:
            return b"", _SPENT
        stream = Stream(window_bits, room)
        stream.feed(data)
        plain, fault = stream.end()
        self._room -= max(len(plain), PIECE)
        return plain, fault

    def brotli(self, data: bytes) -> tuple[bytes, str | None]:
        """What a Brotli stream (RFC 7932) holds, or nothing and what is wrong with it."""
        if self._room <= 0:
            return b"", _SPENT
        try:
            plain = unbrotli(data, min(self._room, PACKET_MAX))
        except UnreadError as error:
            self._room -= max(error.spent, PIECE)
            return b"", str(error)
        self._room -= max(len(plain), PIECE)
        return plain, None
