"""A removal that is killed at any moment, and run again, ends as if it had never been killed."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from heedful.bulk.audit import Auditing, _staging, audit
from heedful.bulk.audit._folder import Folder
from heedful.errors import ConfigurationError, HeedfulError

from ..killing import started  # noqa: TID252

KILLED = Path(__file__).with_name("killed.py")
GONE = (2, 7)


@pytest.fixture(scope="module")
def killed():
    """Run a removal in a process that is killed at a change on disk; whether it was."""
    with started(KILLED) as run:
        yield lambda folder, registry, number, when="before": run(folder, registry, number, when)


def consistent(data, shard="00000"):
    """Whether a tar shard is as before or as after, with its table and stats."""
    with tarfile.open(data.folder / f"{shard}.tar") as tar:
        keys = {name.partition(".")[0] for name in tar.getnames()}
    rows = pq.read_table(data.folder / f"{shard}.parquet").to_pylist()
    there = {row["key"] for row in rows if row["status"] == "success"}
    return keys, there, data.stats(shard)["successes"]


def same(data, whole):
    """Whether a dataset is the same as another, with lists of the same pictures."""
    assert data.content.keys() == whole.content.keys()
    for name, content in whole.content.items():
        assert data.content[name] == content, name
    lists = [{(each["key"], each["url"], each["sha256"]) for each in each.removed} for each in (data, whole)]
    assert lists[0] == lists[1]
    assert len(data.removed) == len(whole.removed)


@pytest.fixture
def listed(registry, url):
    return registry(*(("url", url(number)) for number in GONE))


FORMS = ("jpg", "parquet", "files")


@pytest.mark.parametrize("form", FORMS)
def test_killed_at_every_change_and_run_again(form, made, dataset, listed, killed, tmp_path):
    whole = dataset(form)
    audit(whole.folder, purge=True, registries=[listed])
    number = 0
    folder = tmp_path / "killed"
    while True:
        number += 1
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made / form, folder)
        data = type(whole)(folder)
        if not killed(folder, listed, number):
            break
        if form == "jpg":
            keys, there, successes = consistent(data)
            if not any((folder / "_heedful" / "purge").glob("*/*.json")):
                assert keys == there
                assert len(keys) == successes
            assert there <= keys  # the table never names what is gone
        again = audit(folder, purge=True, registries=[listed])
        assert again.faults == []
        same(data, whole)
        assert audit(folder, registries=[listed]).clean
        assert [path for path in (folder / "_heedful" / "purge").iterdir() if path.is_dir()] == []
    assert number > 10
    same(data, whole)


@pytest.mark.parametrize("number", [1, 3, 5, 6, 8])
def test_killed_right_after_a_change(number, made, dataset, listed, killed, tmp_path):
    whole = dataset("jpg")
    audit(whole.folder, purge=True, registries=[listed])
    folder = tmp_path / "killed"
    shutil.copytree(made / "jpg", folder)
    assert killed(folder, listed, number, "after")
    audit(folder, purge=True, registries=[listed])
    same(type(whole)(folder), whole)


def test_killed_twice(made, dataset, listed, killed, tmp_path):
    whole = dataset("jpg")
    audit(whole.folder, purge=True, registries=[listed])
    folder = tmp_path / "killed"
    shutil.copytree(made / "jpg", folder)
    assert killed(folder, listed, 3)
    assert killed(folder, listed, 3)
    audit(folder, purge=True, registries=[listed])
    same(type(whole)(folder), whole)


def test_a_store_that_is_killed_at_every_change(store, web, registry, killed, tmp_path):
    listed = registry(*(("url", web.url("art", f"/{number}.jpg")) for number in (2, 3)))
    kept = tmp_path / "kept"
    shutil.copytree(store.folder, kept)
    audit(store.folder, purge=True, registries=[listed])
    assert set(store.numbers) == {1, 4, 5, 6}
    number = 0
    while True:
        number += 1
        folder = tmp_path / "killed"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(kept, folder)
        if not killed(folder, listed, number):
            break
        audit(folder, purge=True, registries=[listed])
        same(type(store)(folder), store)
    assert number > 6


def test_an_interruption_is_told_and_completed(made, dataset, listed, killed):
    data = dataset("jpg")
    assert killed(data.folder, listed, 3)
    before = data.content
    result = audit(data.folder, registries=[listed])
    assert any("was interrupted" in note for note in result.notes)
    assert data.content == before
    with Auditing(data.folder, registries=[listed]) as auditing:  # asked after it was shown
        auditing.run()
        result = auditing.remove()
    assert any("was completed" in note for note in result.notes)
    audit(data.folder, purge=True, registries=[listed])
    assert set(data.numbers) == {*range(1, 13)} - set(GONE)


# -- journals that came from anywhere --------------------------------------------------------------------


def plant(folder, steps):
    work = folder / "_heedful" / "purge" / "run"
    work.mkdir(parents=True)
    (work / "00000.json").write_text(steps if isinstance(steps, str) else json.dumps({"steps": steps}))


@pytest.mark.parametrize(
    "steps",
    [
        [["remove", "../victim"]],
        [["remove", "a/../../victim"]],
        [["remove", "{victim}"]],
        [["remove", "link/victim"]],
        [["move", "00001.tar", "../victim"]],
        [["move", "../victim", "00001.tar"]],
        [["remove", "00000.tar"], ["remove", "../victim"]],
        [["remove", ""]],
        [["remove", "./../victim"]],
        [["remove", "a//../../victim"]],
        [["erase", "00001.tar"]],
        [["remove"]],
        [["remove", 7]],
        [[]],
        {"a": 1},
        "[" * 100_000,
        "{}",
        "",
    ],
    ids=lambda steps: str(steps)[:40],
)
def test_a_hostile_journal_changes_nothing(steps, dataset, tmp_path):
    data = dataset("jpg")
    victim = tmp_path / "victim"
    victim.write_text("x")
    (data.folder / "link").symlink_to(tmp_path)
    text = steps if isinstance(steps, str) else json.loads(json.dumps(steps).replace("{victim}", str(victim)))
    plant(data.folder, text)
    before = data.content
    with pytest.raises(HeedfulError, match="cannot be completed"):
        audit(data.folder, purge=True)
    assert victim.read_text() == "x"
    assert data.content == before


def test_our_own_folder_may_be_a_trap(dataset, tmp_path, listed):
    """`_heedful` leads out: nothing is written there, nothing removed."""
    data = dataset("jpg")
    outside = tmp_path / "outside"
    (outside / "purge" / "run").mkdir(parents=True)
    (outside / "purge" / "run" / "x").write_text("x")
    (data.folder / "_heedful").symlink_to(outside)
    before = data.content
    for ledger in (None, str(tmp_path / "l")):
        with pytest.raises(ConfigurationError, match="symbolic link"):
            audit(data.folder, purge=True, registries=[listed], ledger=ledger)
    assert data.content == before
    assert (outside / "purge" / "run" / "x").read_text() == "x"
    assert sorted(path.name for path in outside.rglob("*")) == ["purge", "run", "x"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/..", "a/../b", "/etc/passwd", "a//b", "a\0b", "a/"])
def test_names_that_lead_out_are_refused(name, tmp_path):
    with pytest.raises(PermissionError):
        Folder(tmp_path).inside(name)


def test_steps_may_be_done_twice(tmp_path):
    folder = Folder(tmp_path)
    with folder.writing("work/new") as file:
        file.write(b"new")
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "gone").write_bytes(b"x")
    for _ in range(2):
        plant_done = tmp_path / "_heedful" / "purge" / "run"
        plant_done.mkdir(parents=True, exist_ok=True)
        steps = [["move", "work/new", "old"], ["remove", "gone"]]
        (plant_done / "u.json").write_text(json.dumps({"steps": steps}))
        _staging.complete(folder)
        assert (tmp_path / "old").read_bytes() == b"new"
        assert not (tmp_path / "gone").exists()
    assert not _staging.interrupted(folder)
