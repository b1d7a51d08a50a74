"""Segments: what one build or one update of a registry wrote, in a folder of files that never change.

`E` and `B` are the heap (`_heap`), `T`, `K`, `R` and `G` the index (`_index`), `S`, `D`, `L` and `W`, where
fingerprints are, the search for these (`_fingerprints`), `H` the header: a line of JSON, and a line with its
checksum. All numbers are little-endian.
"""

from __future__ import annotations

import base64
import json
import mmap
import os
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
from xxhash import xxh3_64_hexdigest, xxh3_64_intdigest

from heedful.registry._errors import RegistryError
from heedful.registry._fingerprints import Prints, PrintsShape, PrintsWriter, distance, terms
from heedful.registry._heap import Heap, HeapShape, HeapWriter, sync
from heedful.registry._index import Index, IndexShape, IndexWriter, are_markers, marker_item, marker_of
from heedful.registry._manifest import sync_folder
from heedful.registry._plain import url_entry_key
from heedful.registry._records import Encoder, Record, encode, kind_and_withdrawal
from heedful.registry._sorting import Sorter, sort_rows
from heedful.registry.entries import Kind, host_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date
    from pathlib import Path

    import numpy.typing as npt

    from heedful.fingerprint import Fingerprint
    from heedful.model import Purpose
    from heedful.registry._fingerprints import Near, Radii
    from heedful.registry.entries import Distance, Entry, Indexed, Marker

    Numbers = npt.NDArray[np.uint64]

FORMAT: Final = 1
"""The format's version, which a reader must know: of segments without fingerprints."""

FORMAT_OF_PRINTS: Final = 2
"""That of segments with fingerprints: who does not know of these must not pass them over."""

MEMORY: Final = 256 << 20
"""What a writer takes at most, about, in octets, whatever it is given."""

_ROW_BYTES: Final = 128  # what sorting takes at its height, a row
_ROWS_MIN: Final = 1024
_BATCH: Final = 8192
_BATCH_BYTES: Final = 4 << 20

HASH_MASK: int = 0xFFFF_FFFF_FFFF_FFFF
"""Bits of hashes that count: all. Tests clear the lower ones, so that keys collide."""


def hash_key(key: bytes) -> int:
    """The hash by which a key is found: it finds candidates, and proves nothing."""
    return xxh3_64_intdigest(key) & HASH_MASK


def hash_keys(keys: Sequence[bytes]) -> Numbers:
    """The hash of each key."""
    hashes: Numbers = np.fromiter(map(xxh3_64_intdigest, keys), np.uint64, len(keys))
    hashes &= np.uint64(HASH_MASK)
    return hashes


class Hits(NamedTuple):
    """What is filed under a key.

    Attributes:
        records: those whose key it is, in the order in which they were written.
        lengths: of paths and patterns that are worth looking up, and whether for the hosts below; there may
            be some that are not.
    """

    records: tuple[Record, ...] = ()
    lengths: tuple[tuple[int, bool], ...] = ()


NO_HITS: Final = Hits()


class SegmentSummary(NamedTuple):
    """What was written.

    Attributes:
        entries: how many, withdrawals and duplicates apart.
        withdrawals: how many.
        duplicates: entries and withdrawals that were there already, in all their parts.
        kinds: entries by kind.
        lists: the names of all lists, in the order of their appearance.
    """

    entries: int
    withdrawals: int
    duplicates: int
    kinds: dict[Kind, int]
    lists: tuple[str, ...]


class SegmentWriter:
    """Writes a segment.

    Args:
        folder: is created, and holds the temporary files too.
        memory: octets to take at most, about; only what is filed under one single key must fit in any case.

    Raises:
        FileExistsError: the folder exists.
    """

    def __init__(self, folder: Path, *, memory: int = MEMORY) -> None:
        folder.mkdir(parents=True)
        rows_max = max(_ROWS_MIN, memory // _ROW_BYTES)
        self._folder = folder
        self._heap = HeapWriter(folder)
        self._rows = Sorter(folder / "rows.tmp", 3, rows_max)  # hash of the key, hash of the record, item
        self._unused = Sorter(folder / "unused.tmp", 1, rows_max)
        self._index: IndexWriter | None = None
        self._prints: PrintsWriter | None = None
        self._memory = memory
        self._encoder = Encoder()
        self._keys: list[bytes] = []
        self._records: list[bytes] = []
        self._says: list[tuple[int, int]] = []  # of fingerprints: which of the records, and their terms
        self._waiting = 0
        self._markers: set[Marker] = set()
        self._counts: Counter[tuple[Kind, bool]] = Counter()

    def add(self, entry: Entry, indexed: Indexed, *, withdrawal: bool = False) -> None:
        """Add an entry, or the withdrawal of one.

        Args:
            entry: the entry.
            indexed: where it is filed, as `index` says.
            withdrawal: it takes back what older segments say.

        Raises:
            ValueError: it is too long.
            OSError: the disk is full, for example; only `abort` makes sense then.
        """
        heads = self._encoder.heads_of(entry, withdrawal=withdrawal)
        record = encode(heads, indexed.key, entry.text)
        if entry.kind is Kind.PHASH:
            number = self._encoder.lists[entry.list]
            says = terms(entry, number, indexed.key, withdrawal=withdrawal)
            self._says.append((len(self._keys), says))
        self._keys.append(indexed.key)
        self._records.append(record)
        self._waiting += len(record)
        if indexed.marker is not None:
            self._markers.add(indexed.marker)
        self._counts[entry.kind, withdrawal] += 1
        if len(self._keys) >= _BATCH or self._waiting >= _BATCH_BYTES:
            self._flush()

    def add_urls(
        self,
        texts: Sequence[str],
        *,
        list: str,  # noqa: A002 - as the field of an entry is named
        opt_in: bool,
        date: date | None,
        purpose: Purpose,
        expires: date | None,
    ) -> None:
        """Add entries of the kind `url` that differ in their text only: as `add`, sooner.

        Args:
            texts: the entries; some ten thousand at once is best.
            list: the name of the list that they stand in.
            opt_in: the owners agree; else they decline.
            date: when the wishes were registered.
            purpose: the use that they are about.
            expires: the last day (UTC) on which they are in force.

        Raises:
            ValueError: one of them is empty or too long; none is added then.
            OSError: the disk is full, for example; only `abort` makes sense then.
        """
        heads = self._encoder.heads(
            Kind.URL, list, opt_in=opt_in, date=date, purpose=purpose, expires=expires
        )
        keys = [url_entry_key(text) for text in texts]
        records = [encode(heads, key, text) for key, text in zip(keys, texts, strict=True)]
        self._keys += keys
        self._records += records
        self._waiting += sum(map(len, records))
        self._counts[Kind.URL, False] += len(keys)
        if len(self._keys) >= _BATCH or self._waiting >= _BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._keys:
            contents = np.fromiter(map(xxh3_64_intdigest, self._records), np.uint64, len(self._records))
            addresses = self._heap.add(self._records)
            self._rows.add(hash_keys(self._keys), contents, addresses)
            self._flush_prints(contents, addresses)
        if self._markers:
            keys = [host_key(marker.name) for marker in self._markers]
            items = [marker_item(marker.length, below=marker.below) for marker in self._markers]
            self._rows.add(hash_keys(keys), np.zeros(len(keys), np.uint64), np.array(items, np.uint64))
        self._keys, self._records, self._waiting = [], [], 0
        self._markers.clear()

    def _flush_prints(self, contents: Numbers, addresses: Numbers) -> None:
        """Hand those of the waiting records on that are fingerprints."""
        if not self._says:
            return
        if self._prints is None:
            self._prints = PrintsWriter(self._folder, memory=self._memory // 4)
        places = [place for place, _ in self._says]
        says = [each for _, each in self._says]
        self._prints.add([self._keys[place] for place in places], says, contents[places], addresses[places])
        self._says = []

    def finish(self) -> SegmentSummary:
        """Have all on the disk.

        Raises:
            RegistryError: there are more keys than a segment can hold.
            OSError: the disk is full, for example; only `abort` makes sense then.
        """
        self._flush()
        heap = self._heap.finish()
        written = _open_heap(self._folder, heap, tuple(self._encoder.lists))
        duplicates: Counter[tuple[Kind, bool]] = Counter()
        self._index = IndexWriter(self._folder)
        for hashes, contents, items in self._rows.ranges():
            used = self._used(written, hashes, contents, items, duplicates)
            self._index.add(*sort_rows((hashes[used], items[used])))
        index = self._index.finish(column for (column,) in self._unused.ranges())
        self._rows.close()
        self._unused.close()
        prints = None if self._prints is None else self._prints.finish()
        self._counts.subtract(duplicates)
        summary = SegmentSummary(
            entries=sum(count for (_, withdrawal), count in self._counts.items() if not withdrawal),
            withdrawals=sum(count for (_, withdrawal), count in self._counts.items() if withdrawal),
            duplicates=duplicates.total(),
            kinds={kind: self._counts[kind, False] for kind in Kind},
            lists=tuple(self._encoder.lists),
        )
        _write_header(self._folder, summary, heap, index, prints)
        sync_folder(self._folder)
        return summary

    def _used(
        self,
        heap: Heap,
        hashes: Numbers,
        contents: Numbers,
        items: Numbers,
        duplicates: Counter[tuple[Kind, bool]],
    ) -> npt.NDArray[np.bool_]:
        """Which rows are to be used: all but records that say what an earlier one says, octet by octet."""
        again = np.zeros(len(items), np.bool_)
        again[1:] = (hashes[1:] == hashes[:-1]) & (contents[1:] == contents[:-1]) & ~are_markers(items[1:])
        firsts = np.maximum.accumulate(np.where(again, 0, np.arange(len(items))))
        suspects = np.flatnonzero(again)
        suspects = suspects[np.argsort(items[suspects])]  # as the heap is written: blocks are undone once
        used = np.ones(len(items), np.bool_)
        for row, address, first in zip(
            suspects.tolist(), items[suspects].tolist(), items[firsts[suspects]].tolist(), strict=True
        ):
            record = heap.octets(address)
            if record == heap.octets(first):
                used[row] = False
                duplicates[kind_and_withdrawal(record)] += 1
        self._unused.add(items[~used])
        return used

    def abort(self) -> None:
        """Give up: remove the folder and all that is in it."""
        self._heap.abort()
        if self._index is not None:
            self._index.abort()
        if self._prints is not None:
            self._prints.abort()
        self._rows.close()
        self._unused.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class Segment:
    """Reads a segment. Threads may share it; processes that open it share its memory.

    Args:
        folder: the segment.

    Attributes:
        folder: the segment.
        entries: how many, withdrawals apart.
        withdrawals: how many.
        kinds: entries by kind.
        lists: the names of all lists.
        prints: the search for its fingerprints, if it holds any.

    Raises:
        RegistryError: it is none, of another format, or its files do not fit together. Looking up raises it,
            too, when a file turns out to be damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            summary, heap, index, prints = _read_header(folder)
            self._heap: Heap | None = _open_heap(folder, heap, summary.lists)
            sizes = index.sizes()
            self._index: Index | None = Index(
                index,
                directory=_view(folder / "T", sizes["T"], "I"),
                suffixes=_view(folder / "K", sizes["K"], "I"),
                items=_view(folder / "R", sizes["R"], "Q"),
                groups=_view(folder / "G", sizes["G"], "Q"),
            )
            self.prints = None if prints is None else _open_prints(folder, prints, summary.lists)
        except RegistryError as error:
            raise self._named(error) from error
        self.entries = summary.entries
        self.withdrawals = summary.withdrawals
        self.kinds = summary.kinds
        self.lists = summary.lists

    def find(self, key: bytes) -> Hits:
        """What is filed under a key."""
        if self._index is None:
            raise self._closed()
        try:
            slots = self._index.slots(hash_key(key))
            if not slots:
                return NO_HITS
            if len(slots) == 1:
                return self._at(slots[0], key)
            found = [self._at(slot, key) for slot in slots]
        except RegistryError as error:
            raise self._named(error) from error
        return Hits(
            tuple(record for hits in found for record in hits.records),
            tuple(length for hits in found for length in hits.lengths),
        )

    def find_many(self, hashes: Numbers) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Candidates for many keys.

        Args:
            hashes: of the keys, as `hash_keys` gives them.

        Returns:
            The places in `hashes` for which there may be something, and for each the slot: ask `at`, whether
            there is. A place may come with several slots; they come in no order.
        """
        if self._index is None:
            raise self._closed()
        try:
            return self._index.slots_of_many(hashes)
        except RegistryError as error:
            raise self._named(error) from error

    def at(self, slot: int, key: bytes) -> Hits:
        """What is filed under a key at one of the slots that `find_many` gave for it."""
        try:
            return self._at(slot, key)
        except RegistryError as error:
            raise self._named(error) from error

    def _at(self, slot: int, key: bytes) -> Hits:
        index, heap = self._index, self._heap
        if index is None or heap is None:
            raise self._closed()
        records: list[Record] = []
        lengths: list[tuple[int, bool]] = []
        for item in index.items(slot):
            marker = marker_of(item)
            if marker is not None:
                lengths.append(marker)
                continue
            record = heap.record(item)
            if record.key == key:
                records.append(record)
            elif not index.holds(slot, hash_key(record.key)):
                raise RegistryError(
                    f"damaged: slot {slot} of the index leads to a record that is not its own"
                )
        return Hits(tuple(records), tuple(lengths))

    def near(self, asked: Fingerprint, radii: Radii) -> tuple[Prints, Near] | None:
        """The fingerprints within the radii; None: it holds none at all."""
        prints = self.prints
        if self._index is None:
            raise self._closed()
        if prints is None:
            return None
        try:
            return prints, prints.near(asked, radii)
        except RegistryError as error:
            raise self._named(error) from error

    def records_of(self, near: Near, asked: Fingerprint) -> list[tuple[Record, Distance]]:
        """The records of what `near` has found, in the order in which they were written."""
        prints, heap = self.prints, self._heap
        if prints is None or heap is None:
            raise self._closed()
        found = []
        try:
            for address, away in prints.told(near):
                record = heap.record(address)
                if record.entry.kind is not Kind.PHASH or distance(record.key, asked) != away:
                    raise RegistryError("damaged: a fingerprint leads to a record that is not its own")
                found.append((record, away))
        except RegistryError as error:
            raise self._named(error) from error
        return found

    def records(self) -> Iterator[Record]:
        """All entries and withdrawals, in the order in which they were written."""
        index, heap = self._index, self._heap
        if index is None or heap is None:
            raise self._closed()
        unused = iter(index.unused())
        passed_over = next(unused, None)
        try:
            for address, record in heap.records():
                if address == passed_over:
                    passed_over = next(unused, None)
                else:
                    yield record
        except RegistryError as error:
            raise self._named(error) from error
        if passed_over is not None:
            raise self._named(RegistryError("damaged: its list of duplicates does not fit its heap"))

    def close(self) -> None:
        """Look up no more: the memory is given back as soon as no thread uses it."""
        self._index = self._heap = self.prints = None

    def _named(self, error: RegistryError) -> RegistryError:
        return RegistryError(f"{self.folder}: {error}")

    def _closed(self) -> RegistryError:
        return RegistryError(f"{self.folder}: is closed")


def _map(path: Path, size: int) -> mmap.mmap | bytes:
    """A file's content, which must have that size."""
    try:
        with path.open("rb") as file:
            there = os.fstat(file.fileno()).st_size
            if there != size:
                raise RegistryError(f"damaged: {path.name} has {there} bytes instead of {size}")
            if not size:
                return b""  # which cannot be mapped
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise RegistryError(f"{path.name} cannot be read: {error.strerror or error}") from error
    if hasattr(mmap, "MADV_RANDOM"):
        mapped.madvise(mmap.MADV_RANDOM)
    return mapped


def _view(path: Path, size: int, of: Literal["I", "Q"]) -> memoryview:
    """A file's content as numbers."""
    return memoryview(_map(path, size)).cast(of)


def _open_heap(folder: Path, shape: HeapShape, lists: tuple[str, ...]) -> Heap:
    offsets = _view(folder / "B", 8 * (shape.blocks + 1), "Q")
    return Heap(_map(folder / "E", shape.size), offsets, shape.dictionary, lists)


def _open_prints(folder: Path, shape: PrintsShape, lists: tuple[str, ...]) -> Prints:
    sizes = shape.sizes()
    return Prints(
        shape,
        smalls=_view(folder / "S", sizes["S"], "Q"),
        directory=_view(folder / "D", sizes["D"], "I"),
        larges=_view(folder / "L", sizes["L"], "Q"),
        whats=_view(folder / "W", sizes["W"], "Q"),
        lists=lists,
    )


def _write_header(
    folder: Path, summary: SegmentSummary, heap: HeapShape, index: IndexShape, prints: PrintsShape | None
) -> None:
    header = {
        "format": FORMAT if prints is None else FORMAT_OF_PRINTS,
        **summary._asdict(),
        "kinds": {kind: count for kind, count in summary.kinds.items() if count},
        "blocks": heap.blocks,
        "size": heap.size,
        "dictionary": base64.b64encode(heap.dictionary).decode(),
        **index._asdict(),
    }
    if prints is not None:
        header["fingerprints"] = prints._asdict()
    line = json.dumps(header).encode() + b"\n"
    with (folder / "H").open("wb") as file:
        file.write(line + xxh3_64_hexdigest(line).encode() + b"\n")
        sync(file)


def _read_header(folder: Path) -> tuple[SegmentSummary, HeapShape, IndexShape, PrintsShape | None]:
    try:
        content = (folder / "H").read_bytes()
    except OSError as error:
        raise RegistryError(f"is no segment: H cannot be read: {error.strerror or error}") from error
    line, end, checksum = content.partition(b"\n")
    line += end
    if checksum != xxh3_64_hexdigest(line).encode() + b"\n":
        raise RegistryError("damaged: its header does not fit its checksum")
    try:
        header: dict[str, Any] = json.loads(line)
        if header["format"] not in {FORMAT, FORMAT_OF_PRINTS}:
            raise RegistryError(
                f"has format {header['format']}; "
                f"this version of heedful reads formats {FORMAT} and {FORMAT_OF_PRINTS}"
            )
        summary = SegmentSummary(
            entries=_count(header["entries"]),
            withdrawals=_count(header["withdrawals"]),
            duplicates=_count(header["duplicates"]),
            kinds=dict.fromkeys(Kind, 0)
            | {Kind(kind): _count(count) for kind, count in header["kinds"].items()},
            lists=tuple(map(str, header["lists"])),
        )
        dictionary = base64.b64decode(header["dictionary"], validate=True)
        heap = HeapShape(_count(header["blocks"]), _count(header["size"]), dictionary)
        index = IndexShape(*(_count(header[name]) for name in IndexShape._fields))
        prints = None
        if header["format"] == FORMAT_OF_PRINTS:
            prints = PrintsShape(*(_count(header["fingerprints"][name]) for name in PrintsShape._fields))
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise RegistryError(f"damaged: its header cannot be understood: {error!r}") from error
    if not 1 <= index.bits <= 32:
        raise RegistryError("damaged: its header cannot be understood: bits")
    if prints is not None:
        prints.check()
    return summary, heap, index, prints


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no number")
    return value
