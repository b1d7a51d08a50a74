"""The index of a segment: from the 64-bit hash of a key to what is filed under it.

Each distinct hash has a *slot*, in ascending order of the hashes:

    T   u32[2^bits + 1]: the first slot of each bucket, which the leading bits of a hash choose
    K   u32[slots]: the next 32 bits; then room for a window that begins at the last slot
    R   u64[slots]: an item, or the place of a group in G
    G   u64: groups, each its length and that many items; then the addresses of records that nothing refers to

An item is the address of a record in the heap, or the length of a marker. T and K find the slot, and are all
that is touched when nothing is filed.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from heedful.registry._errors import RegistryError
from heedful.registry._heap import ADDRESS_BITS, sync

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    Numbers = npt.NDArray[np.uint64]

WINDOW: Final = 8
"""Suffixes that are compared at once when many hashes are looked up; few buckets are wider."""

BUCKET: Final = 4
"""Slots to a bucket, on average: between its 0.7 and 1.4 times, as buckets are a power of two."""

SLOTS_MAX: Final = 0xFFFF_FFFF
"""Distinct hashes in a segment: `T` counts them in 32 bits."""

_GROUP: Final = 1 << 63
_MARKER: Final = 1 << ADDRESS_BITS + 1
_BELOW: Final = 1 << ADDRESS_BITS
_SUFFIX_BITS: Final = 32
_SUFFIX: Final = (1 << _SUFFIX_BITS) - 1
_CHUNK: Final = 1 << 20
_NONE: Final = range(0)


def marker_item(length: int, *, below: bool) -> int:
    """The item that says that paths with a literal start of `length` octets are worth looking up."""
    return _MARKER | _BELOW * below | length


def marker_of(item: int) -> tuple[int, bool] | None:
    """Length, and whether it is for the hosts below, if the item is a marker; None: it is an address."""
    return (item & _BELOW - 1, bool(item & _BELOW)) if item & _MARKER else None


def are_markers(items: Numbers) -> npt.NDArray[np.bool_]:
    """Which items are markers."""
    marked: npt.NDArray[np.bool_] = (items & np.uint64(_MARKER)) != 0
    return marked


class IndexShape(NamedTuple):
    """What a reader must know of an index.

    Attributes:
        slots: distinct hashes.
        bits: leading bits of a hash that choose the bucket.
        groups: numbers in the first part of `G`.
        unused: numbers in its second part.
    """

    slots: int
    bits: int
    groups: int
    unused: int

    def sizes(self) -> dict[str, int]:
        """Octets of each file."""
        return {
            "T": 4 * ((1 << self.bits) + 1),
            "K": 4 * (self.slots + WINDOW),
            "R": 8 * self.slots,
            "G": 8 * (self.groups + self.unused),
        }


class IndexWriter:
    """Writes `T`, `K`, `R` and `G` into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hashes_path = folder / "hashes.tmp"
        self._hashes = self._hashes_path.open("wb")
        self._items = (folder / "R").open("wb")
        self._groups = (folder / "G").open("wb")
        self._slots = 0
        self._grouped = 0

    def add(self, hashes: Numbers, items: Numbers) -> None:
        """Add items by hash, in ascending order; all of one hash in one call."""
        begins = np.ones(len(hashes), np.bool_)
        begins[1:] = hashes[1:] != hashes[:-1]
        starts = np.flatnonzero(begins)
        counts = np.diff(starts, append=len(hashes))
        slots = items[starts]
        several = counts > 1
        if several.any():
            sizes = counts[several] + 1
            places = np.cumsum(sizes) - sizes
            groups = np.empty(int(sizes.sum()), np.uint64)
            is_item = np.ones(len(groups), np.bool_)
            is_item[places] = False
            groups[places] = sizes - 1
            groups[is_item] = items[np.repeat(several, counts)]
            slots[several] = (places + self._grouped).astype(np.uint64) | np.uint64(_GROUP)
            self._groups.write(groups.data)
            self._grouped += len(groups)
        self._hashes.write(hashes[starts].data)
        self._items.write(slots.data)
        self._slots += len(slots)

    def finish(self, unused: Iterable[Numbers]) -> IndexShape:
        """Have all on the disk.

        Args:
            unused: the addresses of records that are in the heap, but not in the index, in ascending order.

        Raises:
            RegistryError: there are more keys than a segment can hold.
        """
        if self._slots > SLOTS_MAX:
            raise RegistryError(
                f"a segment holds at most {SLOTS_MAX} keys: make several registries of these lists"
            )
        rest = 0
        for addresses in unused:
            self._groups.write(addresses.data)
            rest += len(addresses)
        bits = max(1, round(math.log2(max(1, self._slots) / BUCKET)))
        self._hashes.close()
        self._write_directory(bits)
        sync(self._items)
        sync(self._groups)
        self._hashes_path.unlink()
        return IndexShape(self._slots, bits, self._grouped, rest)

    def _write_directory(self, bits: int) -> None:
        bucket = 0
        with (
            (self._folder / "T").open("wb") as directory,
            (self._folder / "K").open("wb") as suffixes,
        ):
            for base in range(0, self._slots, _CHUNK):
                count = min(_CHUNK, self._slots - base)
                hashes = np.fromfile(self._hashes_path, np.uint64, count, offset=8 * base)
                suffixes.write(_suffixes(hashes, bits).data)
                buckets = hashes >> np.uint64(64 - bits)
                last = int(buckets[-1])
                begun = np.arange(bucket, last + 1, dtype=np.uint64)
                directory.write((np.searchsorted(buckets, begun) + base).astype(np.uint32).data)
                bucket = last + 1
            directory.write(np.full((1 << bits) + 1 - bucket, self._slots, np.uint32).data)
            suffixes.write(np.full(WINDOW, _SUFFIX, np.uint32).data)
            sync(directory)
            sync(suffixes)

    def abort(self) -> None:
        """Close the files, whether or not what they still hold back can be written."""
        for file in (self._hashes, self._items, self._groups):
            with suppress(OSError):
                file.close()


def _suffixes(hashes: Numbers, bits: int) -> npt.NDArray[np.uint32]:
    shifted: Numbers = (hashes >> np.uint64(_SUFFIX_BITS - bits)) & np.uint64(_SUFFIX)
    return shifted.astype(np.uint32)


class Index:
    """Finds slots.

    Args:
        shape: what the header says.
        directory: the content of `T`, as 32-bit numbers.
        suffixes: that of `K`, likewise.
        items: that of `R`, as 64-bit numbers.
        groups: that of `G`, likewise.

    Raises:
        RegistryError: they do not fit together.
    """

    def __init__(
        self,
        shape: IndexShape,
        directory: memoryview,
        suffixes: memoryview,
        items: memoryview,
        groups: memoryview,
    ) -> None:
        if directory[0] != 0 or directory[-1] != shape.slots:
            raise RegistryError("damaged: its directory does not fit its header")
        self._shape = shape
        self._directory = directory
        self._suffixes = suffixes
        self._items = items
        self._groups = groups
        self._bucket_shift = 64 - shape.bits
        self._suffix_shift = _SUFFIX_BITS - shape.bits
        self._directory_array = np.frombuffer(directory, np.uint32)
        self._suffix_array = np.frombuffer(suffixes, np.uint32)
        self._windows = np.lib.stride_tricks.sliding_window_view(self._suffix_array, WINDOW)

    def slots(self, hashed: int) -> range:
        """The slots that may be of a key with this hash: commonly none, or one.

        Raises:
            RegistryError: the index is damaged.
        """
        bucket = hashed >> self._bucket_shift
        low, high = self._directory[bucket], self._directory[bucket + 1]
        if low == high:
            return _NONE
        if not low < high <= self._shape.slots:
            raise RegistryError(
                f"damaged: bucket {bucket} of the index ends before it begins, or beyond the index"
            )
        suffix = hashed >> self._suffix_shift & _SUFFIX
        suffixes = self._suffixes
        first = bisect_left(suffixes, suffix, low, high)
        if first == high or suffixes[first] != suffix:
            return _NONE
        end = first + 1
        while end < high and suffixes[end] == suffix:
            end += 1
        return range(first, end)

    def slots_of_many(self, hashes: Numbers) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """As `slots`, of many hashes: pairs of the place of a hash in `hashes`, and a slot.

        Raises:
            RegistryError: the index is damaged.
        """
        buckets = (hashes >> np.uint64(self._bucket_shift)).astype(np.int64)
        low = self._directory_array[buckets].astype(np.int64)
        high = self._directory_array[buckets + 1].astype(np.int64)
        if bool((low > high).any()) or bool((high > self._shape.slots).any()):
            raise RegistryError("damaged: buckets of the index end before they begin, or beyond the index")
        suffixes = _suffixes(hashes, self._shape.bits)
        wide = high - low > WINDOW
        equal = self._windows[low] == suffixes[:, None]
        equal[wide] = False
        queries, within = np.nonzero(equal)
        slots = low[queries] + within
        own = slots < high[queries]  # a window may reach into the next bucket
        queries, slots = queries[own], slots[own]
        if wide.any():
            more = np.flatnonzero(wide)
            others, found = self._search(suffixes[more], low[more], high[more])
            queries, slots = np.concatenate([queries, more[others]]), np.concatenate([slots, found])
        return queries, slots

    def _search(
        self, suffixes: npt.NDArray[np.uint32], low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Bisect all buckets in step, so that one that was made wide on purpose costs little."""
        array = self._suffix_array
        begin, end = low, high
        while (begin < end).any():
            middle = (begin + end) >> 1
            less = (array[middle] < suffixes) & (begin < end)
            end = np.where(less, end, np.minimum(end, middle))
            begin = np.where(less, middle + 1, begin)
        queries = np.arange(len(suffixes))
        found_queries, found_slots = [], []
        while len(queries):
            queries = queries[(begin[queries] < high[queries]) & (array[begin[queries]] == suffixes[queries])]
            found_queries.append(queries)
            found_slots.append(begin[queries])
            begin = begin + 1
        return np.concatenate(found_queries), np.concatenate(found_slots)

    def holds(self, slot: int, hashed: int) -> bool:
        """Whether a key with this hash may have the slot."""
        return slot in self.slots(hashed)

    def items(self, slot: int) -> Sequence[int]:
        """What is filed at a slot.

        Raises:
            RegistryError: the index is damaged.
        """
        item = self._items[slot]
        if not item & _GROUP:
            return (item,)
        place = item - _GROUP
        groups = self._groups
        if place < self._shape.groups:
            begin = place + 1
            end = begin + groups[place]
            if end <= self._shape.groups:
                return groups[begin:end]
        raise RegistryError(f"damaged: slot {slot} refers to a group that lies outside of its file")

    def unused(self) -> Sequence[int]:
        """The addresses of records that are in the heap, but not in the index, in ascending order."""
        return self._groups[self._shape.groups :]
