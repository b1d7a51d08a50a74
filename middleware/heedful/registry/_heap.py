"""The heap of a segment: records in the order in which they came, in small compressed blocks.

`E` holds the blocks, each a Zstandard frame with a checksum (RFC 8878), `B` where each begins, and the last
one ends. Neighbours of a list resemble each other, and a dictionary made of the first ones says what all have
in common, so blocks can be small: one is undone for each hit. A record's address is its block's number and
its offset therein.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import zstandard

from heedful.registry._errors import RegistryError
from heedful.registry._records import RECORD_MAX, Record, decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    import numpy.typing as npt

BLOCK_BYTES: Final = 2048
"""A block is closed at this size, uncompressed: 4 us to undo; of 4 KiB, 7 us, for 0.5 octets less of 87."""

BLOCK_BYTES_MAX: Final = BLOCK_BYTES + RECORD_MAX + 64
"""What no block exceeds, in octets uncompressed; nothing that claims more is undone."""

START_BITS: Final = 16
"""Bits of an address that hold the offset in a block."""

ADDRESS_BITS: Final = 60
"""Bits of an address; the others are the index's."""

DICTIONARY_BYTES: Final = 32 << 10
"""Size of the dictionary: 64 KiB would save 0.6 octets an entry, and be read by each process that starts."""

SAMPLE_BYTES: Final = 2 << 20
"""Octets of records from which the dictionary is made; four times as many save 0.2 octets an entry."""

SAMPLE_BYTES_MIN: Final = 8 * DICTIONARY_BYTES
"""A heap below this size has no dictionary: it would be no smaller with it."""

LEVEL: Final = 3
"""Zstandard's own default; level 9 saves 1.4 octets an entry and takes five times as long."""

KEPT_BLOCKS: Final = 64
"""Blocks that a reader keeps uncompressed."""

KEPT_BLOCK_BYTES: Final = 2 * BLOCK_BYTES
"""Longer blocks are not kept, so that all together take 256 KiB at most."""

_READ_AHEAD: Final = 4 << 20
_OFFSET: Final = struct.Struct("=Q")


def sync(file: BinaryIO) -> None:
    """Have a file's content on the disk, and close it."""
    file.flush()
    os.fsync(file.fileno())
    file.close()


class HeapShape(NamedTuple):
    """What a reader must know of a heap.

    Attributes:
        blocks: how many there are.
        size: octets of `E`.
        dictionary: of the compression; empty: there is none.
    """

    blocks: int
    size: int
    dictionary: bytes


class HeapWriter:
    """Writes `E` and `B` into a folder."""

    def __init__(self, folder: Path) -> None:
        self._frames = (folder / "E").open("wb")
        self._offsets = (folder / "B").open("wb")
        self._records: list[bytes] = []  # of the block that is being filled
        self._filled = 0
        self._closed = 0
        self._size = 0
        self._samples: list[bytes] = []
        self._sampled = 0
        self._dictionary = b""
        self._compressor: zstandard.ZstdCompressor | None = None

    def add(self, records: Sequence[bytes]) -> npt.NDArray[np.uint64]:
        """Add records; their addresses."""
        addresses = []
        for record in records:
            addresses.append(self._closed << START_BITS | self._filled)
            self._records.append(record)
            self._filled += len(record)
            if self._filled >= BLOCK_BYTES:
                self._close_block()
        return np.array(addresses, np.uint64)

    def _close_block(self) -> None:
        block = b"".join(self._records)
        self._records.clear()
        self._filled = 0
        self._closed += 1
        if self._compressor is not None:
            self._write(self._compressor, block)
            return
        self._samples.append(block)
        self._sampled += len(block)
        if self._sampled >= SAMPLE_BYTES:
            self._begin()

    def _begin(self) -> zstandard.ZstdCompressor:
        dictionary = None
        if self._sampled >= SAMPLE_BYTES_MIN:
            try:
                dictionary = zstandard.train_dictionary(DICTIONARY_BYTES, [*self._samples])
            except zstandard.ZstdError:  # the samples have nothing in common
                dictionary = None
        self._dictionary = dictionary.as_bytes() if dictionary else b""
        self._compressor = zstandard.ZstdCompressor(
            LEVEL, dict_data=dictionary, write_checksum=True, write_content_size=True, write_dict_id=False
        )
        for block in self._samples:
            self._write(self._compressor, block)
        self._samples.clear()
        return self._compressor

    def _write(self, compressor: zstandard.ZstdCompressor, block: bytes) -> None:
        frame = compressor.compress(block)
        self._offsets.write(_OFFSET.pack(self._size))
        self._frames.write(frame)
        self._size += len(frame)

    def finish(self) -> HeapShape:
        """Have all on the disk."""
        if self._records:
            self._close_block()
        if self._compressor is None:
            self._begin()
        self._offsets.write(_OFFSET.pack(self._size))
        sync(self._frames)
        sync(self._offsets)
        return HeapShape(self._closed, self._size, self._dictionary)

    def abort(self) -> None:
        """Close the files, whether or not what they still hold back can be written."""
        for file in (self._frames, self._offsets):
            with suppress(OSError):
                file.close()


class Heap:
    """Reads records. Threads may share it.

    Args:
        frames: the content of `E`.
        offsets: that of `B`, as 64-bit numbers.
        dictionary: of the compression.
        lists: the names of lists that records refer to by number.
    """

    def __init__(
        self, frames: mmap.mmap | bytes, offsets: memoryview, dictionary: bytes, lists: tuple[str, ...]
    ) -> None:
        self._frames = frames
        self._offsets = offsets
        self._lists = lists
        known = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
        self._decompressor = zstandard.ZstdDecompressor(dict_data=known)
        self._lock = threading.Lock()  # a decompressor serves one thread at a time
        self._kept: dict[int, bytes] = {}

    def record(self, address: int) -> Record:
        """The record at an address.

        Raises:
            RegistryError: there is none.
        """
        block = self._block(address >> START_BITS)
        return decode(block, address & (1 << START_BITS) - 1, self._lists)[0]

    def octets(self, address: int) -> bytes:
        """The record at an address, encoded.

        Raises:
            RegistryError: there is none.
        """
        block = self._block(address >> START_BITS)
        start = address & (1 << START_BITS) - 1
        return block[start : decode(block, start, self._lists)[1]]

    def records(self) -> Iterator[tuple[int, Record]]:
        """All records with their addresses, in ascending order.

        Raises:
            RegistryError: a block is damaged.
        """
        ahead = 0
        for number in range(len(self._offsets) - 1):
            if isinstance(self._frames, mmap.mmap) and self._offsets[number] >= ahead:
                ahead = self._fetch(self._offsets[number])
            with self._lock:
                block = self._undo(number)
            at = 0
            while at < len(block):
                start = at
                record, at = decode(block, start, self._lists)
                yield number << START_BITS | start, record

    def _fetch(self, offset: int) -> int:
        """Have the system read ahead, which the map as a whole forbids; up to where."""
        begin = offset - offset % mmap.PAGESIZE
        length = min(_READ_AHEAD, len(self._frames) - begin)
        if isinstance(self._frames, mmap.mmap) and hasattr(mmap, "MADV_WILLNEED") and length > 0:
            self._frames.madvise(mmap.MADV_WILLNEED, begin, length)
        return begin + _READ_AHEAD

    def _block(self, number: int) -> bytes:
        block = self._kept.get(number)
        if block is None:
            with self._lock:
                block = self._undo(number)
                if len(block) <= KEPT_BLOCK_BYTES:
                    while len(self._kept) >= KEPT_BLOCKS:
                        del self._kept[next(iter(self._kept))]
                    self._kept[number] = block
        return block

    def _undo(self, number: int) -> bytes:
        if number >= len(self._offsets) - 1:
            raise RegistryError(f"damaged: there is no block {number}")
        begin, end = self._offsets[number], self._offsets[number + 1]
        if not begin < end <= len(self._frames):
            raise RegistryError(f"damaged: block {number} lies outside of its file")
        try:
            frame = self._frames[begin:end]
            if not 0 < zstandard.frame_content_size(frame) <= BLOCK_BYTES_MAX:
                raise RegistryError(f"damaged: block {number} has no believable size")
            return self._decompressor.decompress(frame, allow_extra_data=False)
        except (zstandard.ZstdError, MemoryError) as error:
            raise RegistryError(f"damaged: block {number} cannot be decompressed: {error}") from error
