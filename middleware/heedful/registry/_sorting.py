"""Sorting more rows of numbers than fit into memory."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    Column = npt.NDArray[np.uint64]

_ALL: Final = 1 << 64


def sort_rows(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """The rows in ascending order, by the first column first; of equal rows, one."""
    first = columns[0]
    order = np.argsort(first, kind="stable")
    first = first[order]
    same = first[1:] == first[:-1]
    if not same.any():
        return first, *(column[order] for column in columns[1:])
    # only rows that the first column leaves in doubt are compared any further: commonly few
    tied = np.zeros(len(first), np.bool_)
    tied[1:] = same
    tied[:-1] |= same
    places = np.flatnonzero(tied)
    doubtful = order[places]
    order[places] = doubtful[np.lexsort([column[doubtful] for column in reversed(columns)])]
    kept = np.ones(len(first), np.bool_)
    kept[1:] = ~same
    for column in columns[1:]:
        kept[1:] |= column[order[1:]] != column[order[:-1]]
    order = order[kept]
    return tuple(column[order] for column in columns)


class Sorter:
    """Rows of 64-bit numbers, written to one file in sorted runs, read back in order.

    Args:
        path: the file; `close` removes it.
        columns: numbers in a row.
        rows_max: rows that are held in memory at once. Rows that agree in their first number are always
            given back together, however many they are.
    """

    def __init__(self, path: Path, columns: int, rows_max: int) -> None:
        self._path = path
        self._columns = columns
        self._rows_max = rows_max
        self._file = path.open("wb")
        self._runs: list[tuple[int, int]] = []  # where each begins in the file, and how many rows it has
        self._parts: list[tuple[Column, ...]] = []
        self._waiting = 0

    def add(self, *columns: Column) -> None:
        """Add rows."""
        self._parts.append(columns)
        self._waiting += len(columns[0])
        if self._waiting >= self._rows_max:
            self._spill()

    def _spill(self) -> None:
        if self._waiting:
            run = sort_rows(tuple(np.concatenate(column) for column in zip(*self._parts, strict=True)))
            self._runs.append((self._file.tell(), len(run[0])))
            for column in run:
                self._file.write(column.data)
        self._parts, self._waiting = [], 0

    def ranges(self) -> Iterator[tuple[Column, ...]]:
        """All rows in ascending order, equal ones once, in pieces; nothing can be added any more."""
        self._spill()
        self._file.flush()
        firsts = [self._first(*run) for run in self._runs]
        waiting = [(0, _ALL)]
        while waiting:
            low, high = waiting.pop()
            bounds = [(_rank(first, low), _rank(first, high)) for first in firsts]
            count = sum(end - begin for begin, end in bounds)
            if count > self._rows_max and high - low > 1:
                middle = (low + high) // 2
                waiting += [(middle, high), (low, middle)]
            elif count:
                yield self._piece(bounds)

    def _first(self, offset: int, rows: int) -> np.memmap[Any, np.dtype[np.uint64]]:
        return np.memmap(self._path, np.uint64, "r", offset, (rows,))

    def _piece(self, bounds: list[tuple[int, int]]) -> tuple[Column, ...]:
        columns = []
        for number in range(self._columns):
            parts = [
                np.fromfile(self._path, np.uint64, end - begin, offset=offset + 8 * (number * rows + begin))
                for (offset, rows), (begin, end) in zip(self._runs, bounds, strict=True)
            ]
            columns.append(np.concatenate(parts))
        return sort_rows(tuple(columns))

    def close(self) -> None:
        """Remove the file."""
        with suppress(OSError):  # the disk is full; it is not needed any more
            self._file.close()
        self._path.unlink(missing_ok=True)


def _rank(first: npt.NDArray[np.uint64], value: int) -> int:
    """How many are less."""
    return len(first) if value >= _ALL else int(np.searchsorted(first, np.uint64(value)))
