"""Removal: what was found is gone, all else is as it was."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
import warnings

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset

from heedful.bulk.audit import Auditing, _img2dataset, _staging, audit
from heedful.bulk.audit._folder import Folder
from heedful.errors import ConfigurationError
from heedful.ledger import verify
from heedful.model import Action

FORMS = ("webdataset", "files", "parquet", "jpg")
GONE = (2, 4, 7)


@pytest.fixture
def purged(dataset, registry, url):
    """A dataset before and after some of its pictures were removed, and what was said of it."""

    def run(form, *numbers, **options):
        data = dataset(form)
        before, state = data.content, data.state
        listed = registry(*(("url", url(number)) for number in numbers or GONE))
        result = audit(data.folder, purge=True, registries=[listed], **options)
        return data, before, state, result

    return run


def members(data):
    with tarfile.open(data) as tar:
        return [(info, tar.extractfile(info).read()) for info in tar]


@pytest.mark.parametrize(("form", "processes"), [*((form, 1) for form in FORMS), ("files", 2)])
def test_pictures_are_gone_and_others_are_there(form, processes, purged):
    data, _, _, result = purged(form, processes=processes)
    gone = {*GONE, *({3} if form == "webdataset" else ())}
    assert set(data.numbers) == {*range(1, 13)} - gone
    assert result.removed == len(gone)
    assert not result.faults
    assert not result.clean
    assert list((data.folder / "_heedful" / "purge").iterdir()) == []


@pytest.mark.parametrize("form", FORMS)
def test_captions_and_what_else_was_known_are_gone_too(form, purged):
    data, _, _, _ = purged(form)
    for text in data.everything:
        for number in GONE:
            assert f"caption {number}'".encode() not in text
            assert f"artist {number}'".encode() not in text
            assert f'"caption {number}"'.encode() not in text
            assert text != f"caption {number}".encode()


@pytest.mark.parametrize("form", FORMS)
def test_a_second_audit_finds_nothing(form, purged, registry, url):
    data, _, _, _ = purged(form)
    result = audit(data.folder, registries=[registry(*(("url", url(each)) for each in GONE), name="s.heed")])
    assert result.clean
    assert result.notes == ()


@pytest.mark.parametrize("form", FORMS)
def test_shards_without_any_keep_bytes_and_times(form, purged):
    data, before, state, _ = purged(form)
    untouched = [name for name in before if name.startswith("00002")]
    assert untouched
    for name in untouched:
        assert data.content[name] == before[name]
        assert data.state[name] == state[name]
    assert data.content.keys() <= before.keys()


@pytest.mark.parametrize("form", ["webdataset", "jpg"])
def test_tar_members_that_stay_are_the_same_bytes_headers_included(form, purged, made):
    data, _, _, _ = purged(form)
    old, new = members(made / form / "00000.tar"), members(data.folder / "00000.tar")
    gone = {"000001", "000003", *({"000002"} if form == "webdataset" else ())}
    stay = [(info, content) for info, content in old if info.name.partition(".")[0] not in gone]
    assert [(info.get_info(), content) for info, content in stay] == [
        (info.get_info(), content) for info, content in new
    ]
    raw, whole = (data.folder / "00000.tar").read_bytes(), (made / form / "00000.tar").read_bytes()
    assert len(raw) % tarfile.RECORDSIZE == 0
    for info, content in stay:
        end = info.offset_data + -(-len(content) // 512) * 512
        assert whole[info.offset : end] in raw
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        samples = list(webdataset.WebDataset(str(data.folder / "00000.tar"), shardshuffle=False))
    assert [each["__key__"] for each in samples] == sorted({info.name.partition(".")[0] for info, _ in stay})
    assert all({"jpg", "json", "txt"} <= each.keys() for each in samples)


@pytest.mark.parametrize("form", FORMS)
def test_rows_stay_and_say_why_they_are_empty(form, purged, made, url):
    data, _, _, _ = purged(form)
    for path in sorted((made / form).glob("*.parquet")):
        old, new = pq.ParquetFile(path), pq.ParquetFile(data.folder / path.name)
        assert new.schema_arrow.equals(old.schema_arrow, check_metadata=True)
        assert new.metadata.num_row_groups == old.metadata.num_row_groups
        column = new.metadata.row_group(0).column(0)
        assert column.compression == old.metadata.row_group(0).column(0).compression
        for before, after in zip(old.read().to_pylist(), new.read().to_pylist(), strict=True):
            if before["url"] not in map(url, {*GONE, *({3} if form == "webdataset" else ())}):
                assert after == before
                continue
            reason = "data-mining" if before["url"] == url(3) else "registry.url"
            assert {name: value for name, value in after.items() if value is not None} == {
                "key": before["key"],
                "url": before["url"],
                "status": "removed_opt_out",
                "error_message": reason,
            }


@pytest.mark.parametrize("form", FORMS)
def test_stats_count_them_and_add_up(form, purged):
    data, _, _, _ = purged(form)
    more = {"data-mining": 1} if form == "webdataset" else {}
    stats = data.stats()
    assert (stats["count"], stats["successes"]) == (5, 3 - len(more))
    assert stats["removed_opt_out"] == 2 + len(more)
    assert stats["removed_reasons"] == {"registry.url": 2} | more
    assert sum(stats["status_dict"].values()) == stats["count"]
    assert stats["status_dict"]["success"] == stats["successes"]
    assert data.stats("00002") == json.loads((data.folder / "00002_stats.json").read_text())


def test_stats_add_up_over_several_removals(purged, registry, url):
    data, _, _, _ = purged("jpg")
    audit(data.folder, purge=True, registries=[registry(("url", url(5)), ("url", url(1)), name="s.heed")])
    stats = data.stats()
    assert (stats["successes"], stats["removed_opt_out"]) == (1, 4)
    assert stats["removed_reasons"] == {"registry.url": 4}
    assert {each["url"] for each in data.removed} == {url(number) for number in (*GONE, 1, 5)}


def test_a_shard_may_become_empty(purged, made):
    data, _, _, result = purged("webdataset", 11, 12)
    assert members(data.folder / "00002.tar") == []
    assert len((data.folder / "00002.tar").read_bytes()) == tarfile.RECORDSIZE
    assert audit(data.folder).pictures == 9
    assert result.removed == 3


@pytest.mark.parametrize("form", FORMS)
def test_the_list_says_what_was_removed_and_why(form, purged, made, url):
    data, _, _, result = purged(form)
    listed = {each["url"]: each for each in data.removed}
    assert set(listed) == {url(number) for number in {*GONE, *({3} if form == "webdataset" else ())}}
    first = listed[url(2)]
    assert first["shard"] == "00000"
    assert first["key"] == "000001"
    assert (first["reason"], first["list"], first["entry"]) == ("registry.url", "artists", url(2))
    assert len(first["sha256"]) == 64
    assert first["run"] in result.removal_list
    original = {hashlib.sha256(each).hexdigest() for each in type(data)(made / form)._pictures()}
    assert first["sha256"] in original


def test_the_ledger_says_that_it_was_enforced(purged, url):
    data, _, _, _ = purged("jpg")
    records = data.records
    assert {record.url for record in records} == {url(number) for number in GONE}
    assert all(record.run.enforced and record.action is Action.SKIP for record in records)
    audit(data.folder)
    verified = verify([str(data.folder / "_heedful" / "ledger")])
    assert (verified.findings, verified.runs, verified.records) == ([], 2, 3)


def test_img2dataset_goes_on_after_a_removal(purged, web, url, tmp_path):
    """Shards stay done: nothing is fetched again."""
    data, _, _, _ = purged("jpg")
    content = data.content
    before = len(web.log)
    listed = tmp_path / "again.csv"
    numbers = (*range(1, 13), 99)
    rows = [f"{url(number)},caption {number},artist {number}\n" for number in numbers]
    listed.write_text("url,text,artist\n" + "".join(rows))
    script = (
        "import sys; from img2dataset import download\n"
        "if __name__ == '__main__':\n"
        "    download(url_list=sys.argv[1], output_folder=sys.argv[2], input_format='csv',"
        " caption_col='text', save_additional_columns=['artist'], number_sample_per_shard=5,"
        " output_format='webdataset', processes_count=1, thread_count=1)\n"
    )
    (tmp_path / "job.py").write_text(script)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "job.py"), str(listed), str(data.folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={"NO_ALBUMENTATIONS_UPDATE": "1", "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    assert "failed to parse stats" not in done.stdout
    assert len(web.log) == before
    assert data.content == content


# -- what stays as it is ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_without_purge_nothing_changes(form, dataset, registry, url):
    data = dataset(form)
    content, state = data.content, data.state
    audit(data.folder, registries=[registry(("url", url(2)))])
    assert (data.content, data.state) == (content, state)
    assert data.removed == []


def test_what_is_in_doubt_stays(dataset, monkeypatch):
    monkeypatch.setattr(_img2dataset, "PICTURE_MAX", 10)
    data = dataset("jpg")
    result = audit(data.folder, purge=True)
    assert (result.doubts, result.removed) == ({"undetermined": 12}, 0)
    assert len(data.numbers) == 12


def link_tar(folder):
    (folder / "00000.tar").rename(folder / "elsewhere.bin")
    (folder / "00000.tar").symlink_to(folder / "elsewhere.bin")


def link_table(folder):
    (folder / "00000.parquet").rename(folder / "elsewhere.bin")
    (folder / "00000.parquet").symlink_to(folder / "elsewhere.bin")


def break_stats(folder):
    (folder / "00000_stats.json").write_text("[]")


def break_tar(folder):
    with tarfile.open(folder / "00000.tar") as tar:
        last = tar.getmembers()[-1].offset
    data = (folder / "00000.tar").read_bytes()
    (folder / "00000.tar").write_bytes(data[:last])


def to_tfrecord(folder):
    (folder / "00000.tar").rename(folder / "00000.tfrecord")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (link_tar, "symbolic link"),
        (link_table, "symbolic link"),
        (break_stats, "its stats cannot be read"),
        (break_tar, "breaks off"),
        (to_tfrecord, "cannot be removed from tfrecord"),
    ],
    ids=["linked tar", "linked table", "broken stats", "broken tar", "tfrecord"],
)
def test_what_must_not_or_cannot_be_rewritten_is_left_and_named(change, words, dataset, registry, url):
    data = dataset("jpg")
    change(data.folder)
    before = data.content
    listed = registry(("url", url(2)), ("url", url(7)))
    result = audit(data.folder, purge=True, registries=[listed])
    after = data.content
    assert {name: after[name] for name in before if name[:5] in {"00000", "elsew"}} == {
        name: before[name] for name in before if name[:5] in {"00000", "elsew"}
    }
    assert any("nothing was removed" in fault and words in fault for fault in result.faults)
    assert result.removed == 1
    assert [each["url"] for each in data.removed] == [url(7)]


def test_a_shard_that_was_changed_meanwhile_is_left(dataset, registry, url):
    data = dataset("jpg")
    with Auditing(
        data.folder, registries=[registry(("url", url(2)), ("url", url(7)))], removing=True
    ) as auditing:
        auditing.run()
        table = pq.read_table(data.folder / "00000.parquet")
        pq.write_table(table, data.folder / "00000.parquet")
        before = data.content
        result = auditing.remove()
    assert result.faults == ["00000: nothing was removed: it was changed while it was audited"]
    assert {name: data.content[name] for name in before if name < "00001"} == {
        name: before[name] for name in before if name < "00001"
    }


def test_only_one_process_removes(dataset, registry, url):
    data = dataset("jpg")
    listed = registry(("url", url(2)))
    with Auditing(data.folder, registries=[listed], removing=True) as first:
        first.run()
        with _staging.locked(Folder(data.folder)), pytest.raises(ConfigurationError, match="another process"):
            first.remove()
    assert 2 in data.numbers


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())],
    ids=str,
)
def test_columns_of_any_type_can_be_emptied(kind, dataset, registry, url):
    data = dataset("jpg")
    path = data.folder / "00000.parquet"
    table = pq.read_table(path)
    count = len(table)
    extra = {
        "status": pa.array(["success"] * count).cast(kind),
        "vector": pa.array([[1.0, 2.0]] * count),
        "fixed": pa.array([[1, 2]] * count, pa.list_(pa.int8(), 2)),
        "map": pa.array([[("a", 1)]] * count, pa.map_(pa.string(), pa.int64())),
        "struct": pa.array([{"a": {"b": 1}}] * count),
        "required": pa.array([1] * count),
    }
    for name, column in extra.items():
        field = pa.field(name, column.type, nullable=name != "required")
        if name in table.column_names:
            table = table.set_column(table.column_names.index(name), field, column)
        else:
            table = table.append_column(field, column)
    pq.write_table(table, path, row_group_size=2, compression="zstd")
    audit(data.folder, purge=True, registries=[registry(("url", url(2)))])
    new = pq.ParquetFile(path)
    assert new.metadata.num_row_groups == 3
    assert new.metadata.row_group(0).column(0).compression == "ZSTD"
    for before, after in zip(table.to_pylist(), new.read().to_pylist(), strict=True):
        if before["url"] == url(2):
            assert after["status"] == "removed_opt_out"
            assert [after[name] for name in extra if name != "status"] == [None] * 5
        else:
            assert after == before


def test_remote_file_systems_are_rewritten(dataset, registry, url, tmp_path):
    data = dataset("webdataset")
    memory = fsspec.filesystem("memory")
    memory.put(str(data.folder), "/purged", recursive=True)
    try:
        result = audit("memory://purged", purge=True, registries=[registry(("url", url(2)), ("url", url(7)))])
        assert (result.removed, result.faults) == (3, [])
        memory.get("/purged", str(tmp_path / "back"), recursive=True)
        back = type(data)(tmp_path / "back")
        assert set(back.numbers) == {*range(1, 13)} - {2, 3, 7}
        assert len(back.removed) == 3
        assert back.stats()["removed_opt_out"] == 2
        assert audit("memory://purged", ledger=str(tmp_path / "l")).clean
    finally:
        memory.rm("/purged", recursive=True)
