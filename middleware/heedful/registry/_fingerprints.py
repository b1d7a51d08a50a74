"""Fingerprints of a segment: all that lie within some bits of one that is asked for, without exception.

Rows are sorted by the small fingerprint; each stands for a record:

    S   u64: three tables of small fingerprints. The first has one for each row; the second and third have
        each value once, rotated left by 21 and 42 bits; each table is sorted.
    D   u32[3 * 2^bits + 1]: where in S the values of each table begin that share their first bits
    L   u64[4] for each row: the large fingerprint; empty if no row has one
    W   u64[2] for each row: what the record says (see `terms`), and its address in the heap

Two values that differ in 6 bits differ in at most 1, 1 and 2 of the first bits of the three tables, or in
more of one and less of another (multi-index hashing: Norouzi, Punjani, Fleet, CVPR 2012): so it suffices to
look at what shares the first bits of a table but for so few.
"""

from __future__ import annotations

import itertools
import math
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from heedful.fingerprint import LARGE_RADIUS, LONE_RADIUS, SMALL_RADIUS
from heedful.registry._errors import RegistryError
from heedful.registry._heap import sync
from heedful.registry._records import PURPOSE_NUMBERS
from heedful.registry._sorting import Sorter
from heedful.registry.entries import Distance

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from heedful.fingerprint import Fingerprint
    from heedful.registry.entries import Entry

    Numbers = npt.NDArray[np.uint64]
    Places = npt.NDArray[np.int64]

FILES: Final = "DLSW"
"""The files of a segment that holds fingerprints; others have none of them."""

TABLES: Final = 3
"""With four, 52 places are looked at instead of 276, but 8,000 candidates instead of 1,300 among 10 million
values: 100 us instead of 50.
"""

STEP: Final = 21
"""Bits between the beginnings of two tables, which are as many as the first bits of one can be."""

BUCKET: Final = 4
"""Values to a place of a table, on average, until all `STEP` bits are in use."""

RUN: Final = 2048
"""Values with the same first bits that are gathered with others; more of them are read where they lie."""

BLOCK: Final = 1 << 16
"""Values that are compared at once."""

KEPT: Final = 64
"""Most matches that are given of the same list, purpose and wish: the nearest."""

ROWS_MAX: Final = 0xFFFF_FFFF // TABLES
"""Fingerprints in a segment: `D` counts them in 32 bits."""

RADII_MAX: Final = (12, 96, 12)
"""Beyond these, pictures that have nothing in common come into reach: these differ in half of the bits."""

_KEY_BYTES: Final = 40
_SMALL_BYTES: Final = 8
_LARGE_BYTES: Final = 32
_ROW_BYTES: Final = 320  # what sorting takes at its height, a row
_ROWS_MIN: Final = 1024
_BITS: Final = 64
_RIGHT: Final = np.array([STEP * table for table in range(TABLES)], np.uint64)
_LEFT: Final = (_BITS - _RIGHT) % _BITS
_ALL: Final = (1 << _BITS) - 1
_NEVER: Final = (1 << 22) - 1  # later than the last day that there is
_UNKNOWN: Final = -1

_WITHDRAWAL: Final = 1 << 0
_OPT_IN: Final = 1 << 1
_LARGE: Final = 1 << 2
_PURPOSE_SHIFT: Final = 3
_EXPIRES_SHIFT: Final = 8
_LIST_SHIFT: Final = 32
_SPEAKS: Final = _OPT_IN | 3 << _PURPOSE_SHIFT
"""Bits of the terms that say for what use a list declines or agrees."""


class Radii(NamedTuple):
    """How far a picture's fingerprint may be from that of an entry that is found for it.

    Attributes:
        small: bits of 64.
        large: bits of 256, besides.
        lone: bits of 64, where the large fingerprint of one of them is not known.
    """

    small: int = SMALL_RADIUS
    large: int = LARGE_RADIUS
    lone: int = LONE_RADIUS

    def checked(self) -> Radii:
        """These.

        Raises:
            ValueError: they are none that can be searched for.
        """
        for name, radius, most in zip(self._fields, self, RADII_MAX, strict=True):
            if type(radius) is not int or not 0 <= radius <= most:
                raise ValueError(f"the radius {name} is {radius!r}: not 0 to {most}")
        if self.lone > self.small:
            raise ValueError(f"the radius lone is {self.lone}: more than {self.small} of the radius small")
        return self


class PrintsShape(NamedTuple):
    """What a reader must know.

    Attributes:
        rows: how many records.
        values: distinct small fingerprints.
        large: rows in `L`: all or none.
        bits: first bits of a table by which `D` finds its values.
    """

    rows: int
    values: int
    large: int
    bits: int

    def sizes(self) -> dict[str, int]:
        """Octets of each file."""
        return {
            "D": 4 * ((TABLES << self.bits) + 1),
            "L": _LARGE_BYTES * self.large,
            "S": 8 * (self.rows + (TABLES - 1) * self.values),
            "W": 16 * self.rows,
        }

    def check(self) -> None:
        """Raise a RegistryError if it cannot be."""
        fits = self.values <= self.rows <= ROWS_MAX and self.large in {0, self.rows}
        if not fits or not 1 <= self.bits <= STEP:
            raise RegistryError("damaged: its header cannot be understood: fingerprints")


def terms(entry: Entry, number: int, key: bytes, *, withdrawal: bool) -> int:
    """What an entry says besides its text, as a number.

    Args:
        entry: the entry.
        number: of its list, in the segment.
        key: under which it is filed.
        withdrawal: it takes back what older segments say.
    """
    expires = entry.expires.toordinal() if entry.expires else _NEVER
    return (
        number << _LIST_SHIFT
        | expires << _EXPIRES_SHIFT
        | PURPOSE_NUMBERS[entry.purpose] << _PURPOSE_SHIFT
        | _LARGE * (len(key) > 1 + _SMALL_BYTES)
        | _OPT_IN * entry.opt_in
        | _WITHDRAWAL * withdrawal
    )


def _rotated(values: Numbers, table: int) -> Numbers:
    """As they stand in a table."""
    by = STEP * table
    turned: Numbers = values << np.uint64(by) | values >> np.uint64(_BITS - by)
    return turned


def _rotated_back(values: Numbers, tables: Places) -> Numbers:
    """The inverse, each from its table."""
    straight: Numbers = values >> _RIGHT[tables] | values << _LEFT[tables]
    return straight


# -- writing ---------------------------------------------------------------------------------------------


class PrintsWriter:
    """Writes `S`, `D`, `L` and `W` into a folder.

    Args:
        folder: the segment's, which holds the temporary files too.
        memory: octets to take at most, about; only rows with the same small fingerprint must fit in any case.
    """

    def __init__(self, folder: Path, *, memory: int) -> None:
        self._folder = folder
        self._rows_max = max(_ROWS_MIN, memory // _ROW_BYTES)
        # small, large (4), terms, hash of the record, address
        self._rows = Sorter(folder / "prints.tmp", 8, self._rows_max)
        self._turned: list[Sorter] = []

    def add(self, keys: Sequence[bytes], says: Sequence[int], contents: Numbers, addresses: Numbers) -> None:
        """Add records.

        Args:
            keys: under which they are filed.
            says: their `terms`.
            contents: a hash of each record: of two that agree in all else, one is kept.
            addresses: in the heap.
        """
        octets = b"".join([key[1:].ljust(_KEY_BYTES, b"\0") for key in keys])
        columns = np.frombuffer(octets, ">u8").reshape(-1, _KEY_BYTES // _SMALL_BYTES).astype(np.uint64)
        self._rows.add(*columns.T.copy(), np.array(says, np.uint64), contents, addresses)

    def finish(self) -> PrintsShape:
        """Have all on the disk.

        Raises:
            RegistryError: there are more than a segment can hold.
        """
        self._turned += (
            Sorter(self._folder / f"turned{table}.tmp", 1, 2 * self._rows_max) for table in range(1, TABLES)
        )
        rows = values = 0
        large = False
        with (
            (self._folder / "S").open("wb") as smalls,
            (self._folder / "L").open("wb") as larges,
            (self._folder / "W").open("wb") as whats,
        ):
            for small, *halves, says, contents, addresses in self._rows.ranges():
                kept = _firsts((small, *halves, says, contents))
                some = small[kept]
                smalls.write(some.data)
                larges.write(np.column_stack([half[kept] for half in halves]).data)
                whats.write(np.column_stack((says[kept], addresses[kept])).data)
                large = large or bool((says & np.uint64(_LARGE)).any())
                rows += len(some)
                some = some[_firsts((some,))]
                values += len(some)
                for table, sorter in enumerate(self._turned, 1):
                    sorter.add(_rotated(some, table))
            if rows > ROWS_MAX:
                raise RegistryError(
                    f"a segment holds at most {ROWS_MAX} fingerprints: make several registries of these lists"
                )
            self._rows.close()
            for sorter in self._turned:
                for (column,) in sorter.ranges():
                    smalls.write(column.data)
                sorter.close()
            if not large:
                larges.truncate(0)
            for file in (smalls, larges, whats):
                sync(file)
        bits = min(STEP, max(1, round(math.log2(max(1, values) / BUCKET))))
        shape = PrintsShape(rows, values, rows if large else 0, bits)
        self._write_directory(shape)
        return shape

    def _write_directory(self, shape: PrintsShape) -> None:
        with (self._folder / "D").open("wb") as directory:
            begin = 0
            for size in (shape.rows, *[shape.values] * (TABLES - 1)):
                table = np.memmap(self._folder / "S", np.uint64, "r", 8 * begin, (size,))
                for first in range(0, 1 << shape.bits, BLOCK):
                    heads = np.arange(first, min(first + BLOCK, 1 << shape.bits), dtype=np.uint64)
                    places = np.searchsorted(table, heads << np.uint64(_BITS - shape.bits)) + begin
                    directory.write(places.astype(np.uint32).data)
                begin += size
            directory.write(np.array([begin], np.uint32).data)
            sync(directory)

    def abort(self) -> None:
        """Close the temporary files."""
        for sorter in (self._rows, *self._turned):
            with suppress(OSError):
                sorter.close()


def _firsts(columns: Sequence[Numbers]) -> npt.NDArray[np.bool_]:
    """Which of sorted rows differ from the one before."""
    differ = np.zeros(len(columns[0]), np.bool_)
    differ[:1] = True
    for column in columns:
        differ[1:] |= column[1:] != column[:-1]
    return differ


# -- reading ---------------------------------------------------------------------------------------------


class Near(NamedTuple):
    """What lies near a fingerprint, in columns.

    Attributes:
        rows: which records, by row.
        small: bits of 64 in which they differ.
        large: bits of 256; -1: not known.
        terms: what they say.
    """

    rows: Places
    small: Places
    large: Places
    terms: Numbers

    def only(self, chosen: Places | npt.NDArray[np.bool_]) -> Near:
        """Some of these."""
        return Near(self.rows[chosen], self.small[chosen], self.large[chosen], self.terms[chosen])


def distance(key: bytes, asked: Fingerprint) -> Distance:
    """How far the fingerprint of a key is from one that is asked for."""
    large = None
    if asked.large is not None and len(key) > 1 + _SMALL_BYTES:
        differ = int.from_bytes(key[1 + _SMALL_BYTES :], "big") ^ int.from_bytes(asked.large, "big")
        large = differ.bit_count()
    return Distance((int.from_bytes(key[1 : 1 + _SMALL_BYTES], "big") ^ asked.small).bit_count(), large)


def nearness(distance: Distance) -> tuple[int, int]:
    """What distances are sorted by."""
    return distance.small, _UNKNOWN if distance.large is None else distance.large


NOTHING: Final = Near(
    np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint64)
)


class _Probes(NamedTuple):
    """Where to look for values within a radius.

    Attributes:
        masks: what is to be added (exclusive or) to the place of a value's first bits.
        tables: the table of each.
    """

    masks: Places
    tables: Places


@lru_cache(maxsize=64)
def _probes(bits: int, radius: int) -> _Probes:
    """The fewest places that suffice.

    If in each table more of the first bits differed than are allowed for, these would be more than `radius`
    altogether: the numbers allowed, and one for each table, add up to one more than that. Or all bits of one
    table may differ: then nothing is missed either.
    """
    most = min(radius, bits)
    places = [*itertools.accumulate((math.comb(bits, many) for many in range(most + 1)), initial=0)]
    ways = itertools.product(range(-1, most + 1), repeat=TABLES)
    allowed = min(
        (way for way in ways if sum(way) + TABLES > radius or bits in way),
        key=lambda way: sum(places[most + 1] for most in way),
    )
    masks = [
        (table, table << bits | sum(1 << bit for bit in flipped))
        for table, most in enumerate(allowed)
        for many in range(most + 1)
        for flipped in itertools.combinations(range(bits), many)
    ]
    return _Probes(np.array([mask for _, mask in masks]), np.array([table for table, _ in masks]))


_POPCOUNTS: Final = np.array([number.bit_count() for number in range(1 << 16)], np.uint8)


def _counted(values: Numbers) -> npt.NDArray[np.uint8]:
    """How many bits of each are set; numpy has it from 2.0."""
    words = np.ascontiguousarray(values)[..., None].view(np.uint16)
    counts: npt.NDArray[np.uint8] = _POPCOUNTS[words].sum(-1, dtype=np.uint8)
    return counts


popcount: Final[Any] = getattr(np, "bitwise_count", _counted)
"""How many bits of each number are set."""


class Prints:
    """Finds fingerprints. Threads may share it.

    Args:
        shape: what the header says.
        smalls: the content of `S`, as 64-bit numbers.
        directory: that of `D`, as 32-bit numbers.
        larges: that of `L`, as 64-bit numbers.
        whats: that of `W`, likewise.
        lists: the names of lists that rows refer to by number.

    Raises:
        RegistryError: they do not fit together.
    """

    def __init__(
        self,
        shape: PrintsShape,
        smalls: memoryview,
        directory: memoryview,
        larges: memoryview,
        whats: memoryview,
        lists: tuple[str, ...],
    ) -> None:
        if directory[0] != 0 or directory[-1] != len(smalls):
            raise RegistryError("damaged: its directory of fingerprints does not fit its header")
        self.shape = shape
        self.lists = lists
        self._smalls = np.frombuffer(smalls, np.uint64)
        self._directory = np.frombuffer(directory, np.uint32)
        self._larges = np.frombuffer(larges, np.uint64).reshape(-1, _LARGE_BYTES // 8)
        self._whats = np.frombuffer(whats, np.uint64).reshape(-1, 2)

    def near(self, asked: Fingerprint, radii: Radii) -> Near:
        """All rows within the radii.

        Raises:
            RegistryError: a file is damaged.
        """
        sure = asked.large is not None and self.shape.large > 0
        values = self._values(asked.small, radii.small if sure else radii.lone)
        if not len(values):
            return NOTHING
        rows = self._rows(values)
        small = popcount(self._smalls[rows] ^ np.uint64(asked.small)).astype(np.int64)
        says = self._whats[rows, 0]
        if not sure:
            return Near(rows, small, np.full(len(rows), _UNKNOWN), says)
        large = np.empty(len(rows), np.int64)
        other = np.frombuffer(asked.large or b"", ">u8").astype(np.uint64)
        for begin in range(0, len(rows), BLOCK):
            some = slice(begin, begin + BLOCK)
            large[some] = popcount(self._larges[rows[some]] ^ other).sum(1, dtype=np.int64)
        lone = (says & np.uint64(_LARGE)) == 0
        large[lone] = _UNKNOWN
        # of those without a large half, -1 lies within each radius
        near = (large <= radii.large) & (~lone | (small <= radii.lone))
        found = Near(rows, small, large, says)
        return found if near.all() else found.only(near)

    def _values(self, small: int, radius: int) -> Numbers:
        """The distinct values within the radius, in ascending order."""
        masks, tables = _probes(self.shape.bits, radius)
        asked = np.array([_turned(small, table) for table in range(TABLES)], np.uint64)
        heads = (asked >> np.uint64(_BITS - self.shape.bits)).astype(np.int64)
        places = masks ^ heads[tables]
        begins = self._directory[places].astype(np.int64)
        sizes = self._directory[places + 1] - begins
        if sizes.min() < 0 or (begins + sizes).max() > len(self._smalls):
            raise RegistryError("damaged: fingerprints end before they begin, or beyond their file")
        found: list[Numbers] = []
        if sizes.max() > RUN:
            for place in np.flatnonzero(sizes > RUN).tolist():
                begin, table = int(begins[place]), int(tables[place])
                found += self._within(begin, begin + int(sizes[place]), asked[table], table, radius)
            sizes[sizes > RUN] = 0
        ends = sizes.cumsum()
        gathered = (begins - ends + sizes).repeat(sizes)
        gathered += np.arange(len(gathered))
        differences = self._smalls[gathered]
        differences ^= asked[tables].repeat(sizes)
        near = (popcount(differences) <= radius).nonzero()[0]
        if len(near):
            of = tables[ends.searchsorted(near, "right")]
            found.append(_rotated_back(differences[near], of))
        if not found:
            return NOTHING.terms
        values: Numbers = np.concatenate(found) ^ np.uint64(small)
        values.sort()
        return values[_firsts((values,))]

    def _within(self, begin: int, end: int, asked: np.uint64, table: int, radius: int) -> Iterator[Numbers]:
        """The differences of values that lie together, if they are within the radius."""
        for first in range(begin, end, BLOCK):
            differences = self._smalls[first : min(first + BLOCK, end)] ^ asked
            near = differences[popcount(differences) <= radius]
            if len(near):
                yield _rotated_back(near, np.full(len(near), table))

    def _rows(self, values: Numbers) -> Places:
        """The rows that have one of these values."""
        table = self._smalls[: self.shape.rows]
        begins = table.searchsorted(values)
        sizes = table.searchsorted(values, "right") - begins
        rows: Places = (begins - sizes.cumsum() + sizes).repeat(sizes)
        rows += np.arange(len(rows))
        return rows

    def told(self, near: Near) -> list[tuple[int, Distance]]:
        """Of each row the record's address in the heap, and how far it is; in ascending order."""
        addresses = self._whats[near.rows, 1].tolist()
        found = sorted(zip(addresses, near.small.tolist(), near.large.tolist(), strict=True))
        return [
            (address, Distance(small, None if large == _UNKNOWN else large))
            for address, small, large in found
        ]

    def keys(self, near: Near) -> list[bytes]:
        """The keys under which rows are filed."""
        octets = self._octets(near.rows)
        known = (near.terms & np.uint64(_LARGE)).astype(np.bool_).tolist()
        ends = (_KEY_BYTES if large else _SMALL_BYTES for large in known)
        return [
            b"f" + octets[begin : begin + end]
            for begin, end in zip(range(0, len(octets), _KEY_BYTES), ends, strict=True)
        ]

    def _octets(self, rows: Places) -> bytes:
        whole = np.zeros((len(rows), _KEY_BYTES // _SMALL_BYTES), ">u8")
        whole[:, 0] = self._smalls[rows]
        if self.shape.large:
            whole[:, 1:] = self._larges[rows]
        return whole.tobytes()


def _turned(value: int, table: int) -> int:
    by = STEP * table
    return (value << by | value >> _BITS - by) & _ALL


# -- the few of many -------------------------------------------------------------------------------------


def thinned(found: Sequence[tuple[Prints, Near]]) -> list[Near]:
    """Of what several segments hold, as much as is worth telling: it says the same.

    Of more than `KEPT` that lie near, those that were taken back go; then those that say what `KEPT` nearer
    ones of the same list say. The one that stays in force longest is kept always: with it, a list says what
    it says with all.

    Args:
        found: of each segment, the oldest first.
    """
    if sum(len(near.rows) for _, near in found) <= KEPT:
        return [near for _, near in found]
    numbers: dict[str, int] = {}
    lists = [_lists(prints, near, numbers) for prints, near in found]
    standing = _standing(found, lists)
    says = np.concatenate([_group(near, of) for (_, near), of in zip(found, lists, strict=True)])
    groups = np.unique(says, return_inverse=True)[1]
    small, large, expires = (
        np.concatenate(column)
        for column in zip(
            *((near.small, near.large, near.terms >> np.uint64(_EXPIRES_SHIFT)) for _, near in found),
            strict=True,
        )
    )
    away = small << 16 | large + 1
    kept = np.zeros(len(says), np.bool_)
    candidates = np.flatnonzero(np.concatenate(standing))
    candidates = candidates[np.argsort(away[candidates], kind="stable")]
    for order, most in ((away, KEPT), (_NEVER - (expires.astype(np.int64) & _NEVER), 1)):
        kept[_first_of_each(candidates, groups, order, most)] = True
    ends = list(itertools.accumulate(len(near.rows) for _, near in found))
    return [near.only(kept[end - len(near.rows) : end]) for (_, near), end in zip(found, ends, strict=True)]


def _first_of_each(candidates: Places, groups: Places, order: Places, most: int) -> Places:
    """The first candidates of each group, in an order of numbers below 2^32."""
    group = groups[candidates]
    ranked = candidates[np.argsort(group << 32 | order[candidates], kind="stable")]
    group = groups[ranked]
    begins = np.flatnonzero(_firsts((group.astype(np.uint64),)))
    places = np.arange(len(group)) - begins.repeat(np.diff(begins, append=len(group)))
    firsts: Places = ranked[places < most]
    return firsts


def _lists(prints: Prints, near: Near, numbers: dict[str, int]) -> Places:
    """Of rows, numbers of their lists that are the same in all segments."""
    own, places = np.unique(near.terms >> np.uint64(_LIST_SHIFT), return_inverse=True)
    try:
        names = [prints.lists[number] for number in own.tolist()]
    except IndexError as error:
        raise RegistryError("damaged: a fingerprint is of a list that is not there") from error
    common = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
    return common[places]


def _group(near: Near, lists: Places) -> Places:
    says: Places = (near.terms & np.uint64(_SPEAKS)).astype(np.int64)
    return says | lists << _LIST_SHIFT


def _standing(found: Sequence[tuple[Prints, Near]], lists: Sequence[Places]) -> list[npt.NDArray[np.bool_]]:
    """Which rows are entries that no newer segment takes back."""
    gone: set[tuple[int, bytes]] = set()
    standing = []
    for (prints, near), of in zip(reversed(found), reversed(lists), strict=True):
        withdrawn = (near.terms & np.uint64(_WITHDRAWAL)).astype(np.bool_)
        stands = ~withdrawn
        if gone:
            named = zip(of.tolist(), prints.keys(near), strict=True)
            stands &= np.fromiter((name not in gone for name in named), np.bool_, len(of))
        if withdrawn.any():
            gone.update(zip(of[withdrawn].tolist(), prints.keys(near.only(withdrawn)), strict=True))
        standing.append(stands)
    return standing[::-1]
