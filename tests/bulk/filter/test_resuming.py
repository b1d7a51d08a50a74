"""A run that was broken off goes on with the same command, and ends as if it had never been."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heedful.bulk.filter import UnfinishedError, _local, _parquet, filter_urls
from heedful.errors import ConfigurationError
from heedful.registry import Writer

from ..killing import started  # noqa: TID252
from .listed import ENTRIES, KEPT, URLS

KILLED = Path(__file__).with_name("killed.py")
OURS = "_heedful"


@pytest.fixture
def lists(tmp_path):
    """Two tables of several row groups, and lines."""
    folder = tmp_path / "in"
    folder.mkdir()
    table = pa.table({"url": list(URLS), "n": list(range(len(URLS)))})
    for name in ("a", "b"):
        pq.write_table(table, folder / f"{name}.parquet", row_group_size=13)
    lines = [url for url in URLS if "\x1b" not in url]
    (folder / "c.txt").write_text("".join(f"{url}\n" for url in lines[:4]), "utf-8")
    return folder


def content(out):
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


@pytest.fixture
def ended(recorded):
    """What a run has left: outputs, and records without their times and names."""

    def read(out):
        assert sorted(path.name for path in (out / OURS).iterdir()) == ["done", "ledger", "run.json"]
        records = recorded(out / OURS / "ledger")
        assert len({record.run.id for record in records}) == 1
        return content(out), sorted((record.url, str(record.reason)) for record in records)

    return read


@pytest.fixture(scope="module")
def killed(artists):
    """Filter in a process that is killed at a change on disk; whether it was."""
    with started(KILLED) as run:
        yield lambda sources, out, number: run(sources, out, artists, number)


def test_killed_at_any_moment(killed, filtered, ended, lists, tmp_path):
    """No output is ever half there, and the end is the same, octet by octet, whatever the pieces are then."""
    assert not killed(lists, tmp_path / "whole", 0)
    whole = ended(tmp_path / "whole")
    number = 1
    while killed(lists, out := tmp_path / f"out-{number}", number):
        for name, data in content(out).items() if out.exists() else ():
            assert data == whole[0][name]
        summary = filtered(lists, out)
        assert ended(out) == whole
        assert summary.files == 3
        assert summary.counts.rows == 2 * len(URLS) + 4
        number += 1
    assert ended(out) == whole
    assert number > 30


def test_what_is_done_is_not_done_again(filtered, ended, lists, tmp_path):
    first = filtered(lists, tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert first.before == 0
    again = filtered(lists, tmp_path / "out")
    assert (again.before, again.files, again.counts) == (3, 3, first.counts)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    ended(tmp_path / "out")


@pytest.mark.parametrize("change", ["input", "output gone", "new"])
def test_what_was_changed_is_done_anew(filtered, ended, lists, tmp_path, change):
    filtered(lists, tmp_path / "out")
    if change == "output gone":
        (tmp_path / "out" / "a.parquet").unlink()
    else:
        name = "a" if change == "input" else "new"
        table = pa.table({"url": ["https://art.example/4.jpg", "https://art.example/1.jpg"], "n": [1, 2]})
        pq.write_table(table, lists / f"{name}.parquet")
    summary = filtered(lists, tmp_path / "out")
    assert summary.before == (3 if change == "new" else 2)
    outputs, records = ended(tmp_path / "out")
    assert set(outputs) == {path.name for path in lists.iterdir()}
    assert len(records) == summary.counts.skipped.total() + summary.counts.deferred.total()
    if change == "input":
        assert pq.read_table(tmp_path / "out" / "a.parquet").num_rows == 1


def test_in_a_folder_whose_name_could_be_a_pattern(filtered, ended, lists, tmp_path):
    """Records of what is done anew are not left behind."""
    out = tmp_path / "run [1]"
    filtered(lists, out)
    (out / "a.parquet").unlink()
    summary = filtered(lists, out)
    _, records = ended(out)
    assert len(records) == summary.counts.skipped.total() + summary.counts.deferred.total()


def test_another_run_does_not_go_on(filtered, artists, lists, tmp_path):
    """What it differs in is told, and nothing is changed unless that is wished."""
    out = tmp_path / "out"
    filtered(lists / "a.parquet", f"{out}/")
    before = content(out)
    other = tmp_path / "other.heed"
    with Writer.build(other, source="tests") as writer:
        writer.add(ENTRIES[0])
    for options, words in (
        ({"tag": True}, "tag False"),
        ({"policy": "strict"}, "another policy"),
        ({"url_col": "url"}, "url_col None"),
        ({"registries": [artists, other]}, "the registries tests version 1"),
        ({"ledger": False}, "ledger"),
    ):
        with pytest.raises(ConfigurationError, match=words) as told:
            filtered(lists / "a.parquet", f"{out}/", **options)
        assert "--overwrite starts anew" in str(told.value)
        assert content(out) == before
    summary = filtered(lists / "a.parquet", f"{out}/", tag=True, overwrite=True)
    assert summary.before == 0
    assert pq.read_table(out / "a.parquet").num_rows == len(URLS)


def test_what_is_there_of_others_is_not_overwritten(filtered, lists, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.parquet").write_bytes(b"mine")
    with pytest.raises(ConfigurationError, match=r"a\.parquet is there already: --overwrite"):
        filtered(lists, tmp_path / "out")
    assert (tmp_path / "out" / "a.parquet").read_bytes() == b"mine"
    filtered(lists, tmp_path / "out", overwrite=True)
    assert pq.read_table(tmp_path / "out" / "a.parquet").num_rows == len(KEPT)


def test_a_registry_that_changes_meanwhile_ends_the_run(filtered, lists, tmp_path, monkeypatch):
    """One list is filtered by one version."""
    folder = tmp_path / "changing.heed"
    with Writer.build(folder, source="tests") as writer:
        writer.add(ENTRIES[0])

    def update(_):
        with Writer.update(folder) as writer:
            writer.add(ENTRIES[1])

    task = _local.run

    def changed(*args, **options):
        update(None)
        return task(*args, **options)

    monkeypatch.setattr(_local, "run", changed)
    with pytest.raises(ConfigurationError, match="from version 1 to 2"):
        filtered(lists, tmp_path / "out", registries=folder)
    assert content(tmp_path / "out") == {}


# -- processes -------------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_is_told_and_the_rest_is_done_later(
    artists, ended, filtered, lists, tmp_path, monkeypatch
):
    filtered(lists, tmp_path / "whole")
    monkeypatch.setattr(_parquet, "PIECE_BYTES", 1)
    monkeypatch.setattr(_local, "AHEAD", 1)

    def kill(_):
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)

    with pytest.raises(UnfinishedError, match="A process was killed"):
        filter_urls(lists, tmp_path / "out", registries=artists, workers=2, progress=kill)
    assert not (tmp_path / "out" / OURS / "pieces").exists()
    summary = filter_urls(lists, tmp_path / "out", registries=artists, workers=2)
    assert summary.files == 3
    outputs, records = ended(tmp_path / "out")
    wanted, told = ended(tmp_path / "whole")
    assert records == told
    for name in ("a.parquet", "b.parquet"):
        assert pq.read_table(pa.BufferReader(outputs[name])).equals(
            pq.read_table(pa.BufferReader(wanted[name]))
        )


ORPHANS = """
import os, signal, sys
from heedful.bulk.filter import filter_urls, _parquet

def main():
    _parquet.PIECE_BYTES = 1
    filter_urls(sys.argv[1], sys.argv[2], registries=sys.argv[3], workers=2,
                progress=lambda _: os.kill(os.getpid(), signal.SIGKILL))

if __name__ == "__main__":
    main()
"""


def test_no_worker_outlives_its_parent(artists, lists, tmp_path):
    """Each of them holds standard output open, so that its end is the end of all."""
    script = tmp_path / "script.py"
    script.write_text(ORPHANS)
    arguments = [str(each) for each in (lists, tmp_path / "out", artists)]
    done = subprocess.run(
        [sys.executable, str(script), *arguments], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == -signal.SIGKILL


def test_two_at_once(filtered, lists, tmp_path):
    """The second is told, and changes nothing."""

    def second(_):
        with pytest.raises(ConfigurationError, match="out"):
            filtered(lists, tmp_path / "out")

    summary = filtered(lists, tmp_path / "out", progress=second)
    assert summary.files == 3


def test_an_output_that_cannot_be_written(filtered, lists, tmp_path):
    (tmp_path / "out").write_bytes(b"a file")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        filtered(lists, f"{tmp_path}/out/")
    assert (tmp_path / "out").read_bytes() == b"a file"
