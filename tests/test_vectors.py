"""The published vectors: every row's want is met."""

from __future__ import annotations

from pathlib import Path

import pytest

from heedful.captured import Captured

VECTORS = Path(__file__).parent / "vectors"


def rows():
    for file in sorted(VECTORS.glob("*.jsonl")):
        for line in file.read_text("utf-8").splitlines():
            row = Captured.parse(line)
            yield pytest.param(row, id=row.id)


@pytest.mark.parametrize("row", list(rows()))
def test_vector(row):
    verdict = row.judge(token=None, policy="standard")
    assert row.want is not None
    assert row.want.met_by(verdict), verdict.as_dict()


def test_vectors_are_many_and_named_apart():
    names = [each.id for each in rows()]
    assert len(names) == len(set(names)) >= 500
