"""Rows that are sorted outside of memory come back as `sorted` would have them."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.registry._sorting import Sorter, sort_rows

TOP = (1 << 64) - 1


def columns(rows, width):
    return tuple(np.array([row[n] for row in rows], np.uint64) for n in range(width))


def rows_of(found):
    return list(zip(*(column.tolist() for column in found), strict=True))


numbers = st.integers(0, 3) | st.integers(0, TOP) | st.just(TOP)
tables = st.integers(1, 3).flatmap(
    lambda width: st.tuples(st.just(width), st.lists(st.tuples(*[numbers] * width), max_size=60))
)


@given(tables)
def test_sorted_and_equal_rows_once(table):
    width, rows = table
    assert rows_of(sort_rows(columns(rows, width))) == sorted(set(rows))


CASES = {
    "nothing": (0, 1, 8),
    "one row": (1, 1, 8),
    "one run": (7, 1 << 30, 8),
    "a run of exactly the most": (8, 1 << 30, 8),
    "many runs": (2000, 1 << 30, 16),
    "many equal rows": (2000, 4, 16),
    "one column agrees everywhere": (500, 0, 16),
}


@pytest.mark.parametrize(("count", "spread", "rows_max"), CASES.values(), ids=CASES)
def test_sorter(tmp_path, count, spread, rows_max):
    chosen = random.Random(count)
    rows = [(chosen.randint(0, spread), chosen.randint(0, 2), chosen.randint(0, TOP)) for _ in range(count)]
    rows += rows[: count // 10]
    sorter = Sorter(tmp_path / "rows", 3, rows_max)
    for begin in range(0, len(rows), 5):
        sorter.add(*columns(rows[begin : begin + 5], 3))
    pieces = [rows_of(piece) for piece in sorter.ranges()]
    assert [row for piece in pieces for row in piece] == sorted(set(rows))
    for piece in pieces:  # more are held at once only if they agree in their first number
        assert len(piece) <= rows_max or len({row[0] for row in piece}) == 1
    firsts = [piece[0][0] for piece in pieces]
    assert all(piece[-1][0] < first for piece, first in zip(pieces, firsts[1:], strict=False))
    sorter.close()
    assert not (tmp_path / "rows").exists()


def test_the_ends_of_the_range(tmp_path):
    rows = [(TOP,), (0,), (TOP - 1,), (1,)] * 9
    sorter = Sorter(tmp_path / "rows", 1, 2)
    sorter.add(*columns(rows, 1))
    assert [row for piece in sorter.ranges() for row in rows_of(piece)] == [(0,), (1,), (TOP - 1,), (TOP,)]
    sorter.close()


def test_what_waits_is_written_when_there_is_enough(tmp_path):
    sorter = Sorter(tmp_path / "rows", 1, 100)
    for _ in range(50):
        sorter.add(np.arange(30, dtype=np.uint64))
    assert sum(len(part[0]) for part in sorter._parts) < 100
    sorter.close()
    sorter.close()
