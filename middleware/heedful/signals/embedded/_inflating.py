"""Decompression that is bounded: a few octets can be told to become gigabytes."""

from __future__ import annotations

import zlib
from typing import Final

INFLATED_MAX: Final = 32 << 20
"""Octets that all that is compressed in a file is inflated to: four packets of the size that is read."""


class Inflater:
    """Inflates what a file holds."""

    def __init__(self) -> None:
        self._room = INFLATED_MAX

    def zlib(self, data: bytes) -> tuple[bytes, str | None]:
        """The data of a zlib stream (RFC 1950), and what is wrong with it."""
        stream = zlib.decompressobj()
        if not self._room:
            return b"", f"more than {INFLATED_MAX} octets inflated"
        try:
            plain = stream.decompress(data, self._room)
        except zlib.error as error:
            return b"", f"it cannot be decompressed: {error}"
        self._room -= len(plain)
        if stream.unconsumed_tail:
            return plain, f"more than {INFLATED_MAX} octets inflated"
        return plain, None if stream.eof else "it is cut off"
