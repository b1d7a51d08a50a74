"""A ledger that was touched tells so."""

from __future__ import annotations

import json
import uuid
from collections import Counter

import pytest

from heedful import Action, LedgerError, Policy, Reason, Stage, Verdict
from heedful.configuration import Configuration
from heedful.ledger import LedgerReader, LedgerWriter, Run, RunLedger, RunManifest, read_manifests, verify
from heedful.ledger import writer as writing
from heedful.registry import Writer
from heedful.registry.entries import Entry, Kind

NOW = 1_790_000_000.25
POLICY = Policy.load("standard")
SKIP = Verdict("http://h/a.jpg", Action.SKIP, (Reason.TDMREP,), Stage.ORIGIN)
STORE = Verdict("http://h/a.jpg", Action.STORE)


def start(ledger, now=NOW):
    run = Run.start(crawler="scrapy/2.19.0", token="PictureBot", policy=POLICY, enforced=True, now=now)
    return run, RunManifest(ledger, run, policy=POLICY, registries=(), now=NOW)


def fill(writer, count=3):
    for number in range(count):
        writer.record(f"http://h/{number}.jpg", Action.SKIP, SKIP)
    writer.record("http://h/s.jpg", Action.STORE, STORE)


@pytest.fixture
def ledger(tmp_path):
    """A ledger of one run, with one file, which has ended."""
    folder = tmp_path / "ledger"
    run, manifest = start(str(folder))
    writer = LedgerWriter(str(folder), run, clock=lambda: NOW)
    fill(writer)
    manifest.end_of(writer, now=NOW + 5)
    return folder


def kinds(*ledgers):
    return sorted({finding.kind for finding in verify([str(each) for each in ledgers]).findings})


def lines_of(ledger):
    (file,) = ledger.glob("*.jsonl")
    return file, file.read_bytes().splitlines(keepends=True)


def test_what_was_not_touched_is_whole(ledger):
    done = verify([str(ledger)])
    assert done.findings == []
    assert (done.files, done.records, done.runs) == (1, 4, 1)
    assert done.as_dict()["totals"] == {"store": 1, "skip": 3, "defer": 0, "failed": 0}


@pytest.mark.parametrize(
    ("touch", "found"),
    [
        pytest.param(
            lambda lines: [lines[0].replace(b"http://h/0", b"http://h/9"), *lines[1:]],
            ["broken"],
            id="changed",
        ),
        pytest.param(lambda lines: lines[1:], ["broken", "short"], id="first removed"),
        pytest.param(lambda lines: [lines[0], *lines[2:]], ["broken", "short"], id="removed"),
        pytest.param(lambda lines: lines[:-1], ["short"], id="last removed"),
        pytest.param(lambda _: [], ["short"], id="all removed"),
        pytest.param(lambda lines: [lines[0], *lines], ["broken", "short"], id="put in"),
        pytest.param(lambda lines: [lines[1], lines[0], *lines[2:]], ["broken"], id="order"),
        pytest.param(lambda lines: [*lines[:-1], lines[-1][:-9]], ["short", "torn"], id="torn"),
        pytest.param(lambda lines: [b"{}\n", *lines], ["invalid"], id="no record"),
        pytest.param(
            lambda lines: [lines[0].partition(b',"chain"')[0] + b"}\n", *lines[1:]], ["broken"], id="no link"
        ),
    ],
)
def test_what_was_touched_is_told(ledger, touch, found):
    file, lines = lines_of(ledger)
    file.write_bytes(b"".join(touch(lines)))
    assert kinds(ledger) == found


def test_a_changed_line_is_named(ledger):
    file, lines = lines_of(ledger)
    lines[2] = lines[2].replace(b'"skip"', b'"store"')
    file.write_bytes(b"".join(lines))
    finding = verify([str(ledger)]).findings[0]
    assert (finding.kind, finding.place) == ("broken", f"{file}:3")


def test_a_file_cannot_take_anothers_place(ledger):
    file, _ = lines_of(ledger)
    file.rename(file.with_name("other.jsonl"))
    assert kinds(ledger) == ["broken", "missing"]


def test_a_missing_file_is_told(ledger, tmp_path):
    run, manifest = start(str(ledger))
    parts, totals = [], {}
    for worker in ("0", "1"):
        writer = LedgerWriter(str(ledger), run, worker=worker)
        fill(writer)
        parts += writer.close()
        totals = writer.totals + totals if totals else writer.totals
    manifest.end(parts, totals, now=NOW)
    assert kinds(ledger) == []
    (ledger / f"{parts[1].name}.jsonl").unlink()
    (finding,) = verify([str(ledger)]).findings
    assert (finding.kind, finding.place) == ("missing", run.id)
    assert f"4 records were in {parts[1].name}.jsonl" in str(finding)


def test_a_run_that_was_killed_is_told(tmp_path):
    run, _ = start(str(tmp_path))
    fill(LedgerWriter(str(tmp_path), run))
    assert kinds(tmp_path) == ["unfinished"]


def test_records_without_a_manifest_are_told(ledger):
    for manifest in ledger.glob("*.run.json"):
        manifest.unlink()
    assert kinds(ledger) == ["missing"]


def test_sums_that_do_not_add_up_are_told(ledger):
    (path,) = ledger.glob("*.run.json")
    manifest = json.loads(path.read_text())
    manifest["totals"]["skip"] += 1
    path.write_text(json.dumps(manifest))
    (finding,) = verify([str(ledger)]).findings
    assert (finding.kind, finding.words) == ("sums", "5 decisions were counted, 4 are recorded")


def test_what_was_only_counted_is_part_of_the_sum(tmp_path):
    run, manifest = start(str(tmp_path))
    writer = LedgerWriter(str(tmp_path), run)
    fill(writer)
    for _ in range(5):
        writer.count(Action.STORE)
    manifest.end_of(writer, now=NOW)
    assert kinds(tmp_path) == []
    (data,) = read_manifests(str(tmp_path))
    assert (data["totals"]["store"], data["counted"]) == (6, 5)


def test_shards_elsewhere_are_linked_each_for_itself(monkeypatch):
    ledger = f"memory://{uuid.uuid4()}/ledger"
    monkeypatch.setattr(writing, "SHARD_BYTES", 1500)
    run, manifest = start(ledger)
    writer = LedgerWriter(ledger, run)
    fill(writer, 9)
    manifest.end_of(writer, now=NOW)
    done = verify([ledger])
    assert done.findings == []
    assert done.files > 2


def test_a_shard_done_anew_takes_the_place_of_the_old_one(tmp_path):
    for count in (3, 1):
        run, manifest = start(str(tmp_path))
        writer = LedgerWriter(str(tmp_path), run, worker="shard-00007", atomic=True)
        fill(writer, count)
        assert not list(tmp_path.glob("*.jsonl")) or count == 1
        parts = writer.close()
        assert writer.close() == parts
    manifest.end(parts, writer.totals, now=NOW)
    assert [record.url for record in LedgerReader(str(tmp_path))] == ["http://h/0.jpg", "http://h/s.jpg"]
    assert kinds(tmp_path) == ["unfinished"]  # the first run


def test_a_shard_done_anew_is_no_fault_of_the_run_before(tmp_path):
    for number in range(2):
        run, manifest = start(str(tmp_path), NOW + number)
        parts, totals = [], Counter()
        for worker in ("shard-00000", "shard-00001")[number:]:
            writer = LedgerWriter(str(tmp_path), run, worker=worker, atomic=True)
            fill(writer, 3 + number)
            parts += writer.close()
            totals += writer.totals
        manifest.end(parts, totals, now=NOW)
    assert kinds(tmp_path) == []
    (tmp_path / "shard-00001.jsonl").unlink()
    (finding,) = verify([str(tmp_path)]).findings
    assert (finding.kind, finding.place) == ("missing", run.id)


@pytest.mark.parametrize("decisions", [0, 3])
def test_a_ledger_of_which_no_file_is_left(tmp_path, decisions):
    run, manifest = start(str(tmp_path))
    writer = LedgerWriter(str(tmp_path), run)
    for _ in range(decisions):
        writer.record("http://h/a.jpg", Action.SKIP, SKIP)
    manifest.end_of(writer, now=NOW)
    (file,) = tmp_path.glob("*.jsonl")
    file.unlink()
    assert kinds(tmp_path) == ["missing"]


def test_a_run_elsewhere_that_decided_nothing_is_whole():
    ledger = f"memory://{uuid.uuid4()}/ledger"
    run, manifest = start(ledger)
    manifest.end_of(LedgerWriter(ledger, run), now=NOW)
    done = verify([ledger])
    assert (done.findings, done.files, done.runs) == ([], 0, 1)


def test_the_manifest_tells_under_what_a_run_ran(tmp_path):
    folder = tmp_path / "artists.heed"
    with Writer.build(folder, source="test") as writer:
        writer.add(Entry(Kind.HOST, "art.example", "artists"))
    told = Configuration.check(
        token="PictureBot", policy="strict", registries=folder, ledger=tmp_path / "ledger", now=NOW
    )
    gate = told.gate(now=NOW)
    ledger = RunLedger(told, gate, crawler="requests/2.32", clock=lambda: NOW)
    (before,) = read_manifests(told.ledger)
    ledger.record("http://h/", Action.SKIP, SKIP)
    ledger.close()
    (after,) = read_manifests(told.ledger)
    gate.registries[0].close()
    assert before["ended"] is None
    assert after["started"] == after["ended"] == "2026-09-21T14:13:20.250000+00:00"
    assert after["totals"] == {"skip": 1, "skip/tdmrep": 1}
    assert after["policy"]["resolved"]["switches"] == dict(Policy.load("strict").switches)
    assert [(each["name"], each["version"]) for each in after["registries"]] == [("artists", 1)]
    assert len(after["registries"][0]["sha256"]) == 64


@pytest.mark.parametrize(
    "change",
    [
        lambda _: "{",
        lambda _: "[]",
        lambda data: json.dumps(data | {"schema": 99}),
        lambda data: json.dumps({"schema": data["schema"]}),
        lambda data: json.dumps(data | {"files": None}),
        lambda data: json.dumps(data | {"files": [{"name": "x", "records": "1", "chain": ""}]}),
        lambda data: json.dumps(data | {"totals": {"skip": "3"}}),
        lambda data: json.dumps(data | {"run": 1}),
    ],
    ids=["no JSON", "no object", "newer", "nothing in it", "no files", "a file", "a total", "a run"],
)
def test_a_manifest_that_cannot_be_read_is_told(ledger, change):
    (path,) = ledger.glob("*.run.json")
    path.write_text(change(json.loads(path.read_text())))
    with pytest.raises(LedgerError, match=r"run\.json cannot be read"):
        verify([str(ledger)])


def test_a_part_of_a_ledger_cannot_be_verified(ledger):
    file, _ = lines_of(ledger)
    with pytest.raises(LedgerError, match="give the folder"):
        verify([str(file)])


def test_a_remote_file_system_that_fails_is_told_with_the_next_record(monkeypatch):
    monkeypatch.setattr(writing, "SHARD_BYTES", 1)
    run, _ = start(ledger := f"memory://{uuid.uuid4()}/ledger")
    writer = LedgerWriter(ledger, run)

    def full(path, data):
        raise OSError("No space left on device")

    monkeypatch.setattr(writer._out._fs, "pipe_file", full)
    writer.record("http://h/1", Action.FAILED)  # is being sent
    for _ in range(2):
        with pytest.raises(LedgerError, match="No space left"):
            writer.record("http://h/2", Action.FAILED)
    with pytest.raises(LedgerError, match="No space left"):
        writer.close()


def test_nothing_is_recorded_once_it_is_closed(tmp_path):
    run, _ = start(str(tmp_path))
    writer = LedgerWriter(str(tmp_path), run)
    writer.close()
    with pytest.raises(LedgerError, match="closed"):
        writer.record("http://h/", Action.FAILED)


def test_the_command(heedful, ledger):
    done = heedful("ledger", "verify", ledger)
    assert done.returncode == 0
    assert "4 records (1 store, 3 skip, 0 defer, 0 failed) in 1 files of 1 runs" in done.stdout
    file, lines = lines_of(ledger)
    file.write_bytes(lines[0] + b"".join(lines[2:]))
    done = heedful("ledger", "verify", ledger, "--json")
    assert done.returncode == 1
    assert {each["kind"] for each in json.loads(done.stdout)["findings"]} == {"broken", "short"}
    done = heedful("ledger", "verify", ledger / "nothing")
    assert done.returncode == 2
    assert "There is no ledger at" in done.stderr
