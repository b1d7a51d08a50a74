"""What engines on clusters share, with a cluster that is none: it answers twice, in another order, or not."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from types import SimpleNamespace

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heedful.bulk.filter import UnfinishedError, _cluster, _filter, _parquet
from heedful.errors import ConfigurationError
from heedful.ledger import LedgerReader, verify

from .listed import KEPT, ROWS, STORE, URLS

RECORDS = sorted(row[0] for row in ROWS if row[1] != STORE)


@pytest.fixture
def lists(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    table = pa.table({"url": list(URLS), "n": list(range(len(URLS)))})
    for name in ("a", "b"):
        pq.write_table(table, folder / f"{name}.parquet", row_group_size=13)
    return folder


@pytest.fixture(params=[1, 2**30], ids=["pieces", "whole files"])
def sizes(request, monkeypatch):
    monkeypatch.setattr(_parquet, "PIECE_BYTES", request.param)


@pytest.fixture
def on(filtered, monkeypatch):
    """Filter on a cluster that is but a function of what to do, and of the rows to do it for."""

    def run(carry, sources, out, **options):
        def engine(task, sources, state, *, progress):
            return _cluster.run(task, sources, state, nullcontext(carry), progress=progress)

        with monkeypatch.context() as patch:
            patch.setattr(_filter, "_engine", lambda _: SimpleNamespace(run=engine))
            return filtered(sources, out, **options)

    return run


def once(do, rows):
    yield from map(do, rows)


def twice(do, rows):
    """Each row is done twice, and the later answer comes first."""
    yield from [do(row) for _ in range(2) for row in rows][::-1]


def lost(do, rows):
    """One answer does not come."""
    yield from map(do, rows[1:])


@pytest.mark.parametrize("carry", [once, twice])
def test_what_is_done_twice_counts_once(on, filtered, recorded, sizes, lists, tmp_path, carry):
    wanted = filtered(lists, tmp_path / "local")
    got = on(carry, lists, tmp_path / "out")
    assert got.counts == wanted.counts
    assert sorted(record.url for record in recorded(got.ledger)) == sorted(2 * RECORDS)
    for name in ("a", "b"):
        data = (tmp_path / "out" / f"{name}.parquet").read_bytes()
        assert data == (tmp_path / "local" / f"{name}.parquet").read_bytes()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "_heedful",
        "a.parquet",
        "b.parquet",
    ]
    assert not (tmp_path / "out" / "_heedful" / "pieces").exists()


@pytest.mark.parametrize("carry", [once, twice])
def test_elsewhere_than_on_a_disk(on, sizes, lists, carry):
    fs = fsspec.filesystem("memory")
    try:
        summary = on(carry, lists, "memory://far/out")
        assert pq.read_table("far/out/a.parquet", filesystem=fs).column("url").to_pylist() == list(KEPT)
        assert sorted(record.url for record in LedgerReader(summary.ledger)) == sorted(2 * RECORDS)
        assert verify([summary.ledger]).findings == []
        assert not [name for name in fs.find("/far") if "/pieces/" in name or name.endswith(".part")]
        assert on(carry, lists, "memory://far/out").before == 2
    finally:
        fs.rm("/far", recursive=True)


def test_an_answer_that_does_not_come_ends_the_run(on, filtered, recorded, sizes, lists, tmp_path):
    with pytest.raises(UnfinishedError, match="1 pieces did not come back"):
        on(lost, lists, tmp_path / "out")
    summary = filtered(lists, tmp_path / "out")
    assert summary.counts.kept == 2 * len(KEPT)
    assert sorted(record.url for record in recorded(summary.ledger)) == sorted(2 * RECORDS)


def test_a_disk_that_is_not_shared_is_told(on, sizes, lists, tmp_path):
    def elsewhere(do, rows):
        answers = [do(row) for row in rows]
        for path in (tmp_path / "out").glob("*.parquet"):
            path.unlink()
        yield from answers

    with pytest.raises(ConfigurationError, match="do not share this place"):
        on(elsewhere, lists, tmp_path / "out")
    assert not list((tmp_path / "out" / "_heedful" / "done").glob("*"))


SAID = {
    "Python": (
        "\n  An exception was thrown from the Python worker:\nTraceback (most recent call last):\n"
        '  File "x.py", line 1, in f\n    x = 1 / 0\n        ~~^~~\nZeroDivisionError: division by zero\n',
        "ZeroDivisionError: division by zero",
    ),
    "Java": (
        "An error occurred while calling o1.collect.\n: org.apache.spark.SparkException: Job aborted.\n"
        "\tat org.apache.spark.X(Y.scala:1)\nCaused by: java.io.EOFException\n",
        "org.apache.spark.SparkException: Job aborted",
    ),
    "Ray": (
        "\x1b[36mray::Map(f)()\x1b[39m (pid=1)\n  File 'x.py'\nOSError: [Errno 28] No space left\n\n"
        "The above exception was the direct cause of the following exception:\n\nray.exceptions.Other: x\n",
        "OSError: [Errno 28] No space left",
    ),
    "a sentence": ("The worker died.\nSee its log.", "The worker died"),
    "nothing": ("", "ValueError"),
    "much": ("x" * 1000, "x" * _cluster.WORDS_MAX),
}


@pytest.mark.parametrize("name", SAID)
def test_of_stack_traces_is_told_what_was_raised(name):
    text, words = SAID[name]
    assert _cluster.words(ValueError(text)) == words


@pytest.mark.parametrize(("engine", "package"), [("spark", "pyspark"), ("ray", "ray")])
def test_an_engine_that_is_not_installed_is_told_before_the_run(
    filtered, lists, tmp_path, monkeypatch, engine, package
):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"heedful.bulk.filter._{engine}", raising=False)
    with pytest.raises(ConfigurationError, match=rf"pip install 'heedful\[{engine}\]'"):
        filtered(lists, tmp_path / "out", engine=engine)
    assert not (tmp_path / "out").exists()
