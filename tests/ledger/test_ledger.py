from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import uuid

import pytest

from heedful import (
    Action,
    Evidence,
    LedgerError,
    Policy,
    Preference,
    Reason,
    Stage,
    Statement,
    Verdict,
)
from heedful.ledger import SCHEMA, LedgerReader, LedgerWriter, Record, Run
from heedful.ledger import writer as writing

NOW = 1_790_000_000.25
RUN = Run.start(
    crawler="scrapy/2.19.0", token="PictureBot", policy=Policy.load("standard"), enforced=True, now=NOW
)
STATEMENT = Statement(
    Reason.X_ROBOTS_TAG,
    Preference.DISALLOW,
    "noai",
    Evidence("http://h/a.jpg", "header X-Robots-Tag", "noai", None, NOW),
)
SKIP = Verdict(
    "http://h/a.jpg",
    Action.SKIP,
    (Reason.X_ROBOTS_TAG,),
    Stage.HEADERS,
    (STATEMENT,),
    snapshots=(("http://h/robots.txt", "ab" * 32),),
)

FIELDS = [
    *("schema", "id", "time", "run", "crawler", "url", "hop_of", "action", "reason", "reasons", "stage"),
    *("evidence", "policy", "registries", "token", "status", "bytes_read", "bytes_avoided", "enforced"),
]


def write(ledger, count=1, **options):
    writer = LedgerWriter(str(ledger), RUN, clock=lambda: NOW, **options)
    records = [
        writer.record(SKIP.url, Action.SKIP, SKIP, status=200, bytes_read=1, bytes_avoided=9)
        for _ in range(count)
    ]
    writer.close()
    return records


def test_what_is_written_is_read_back(tmp_path):
    records = write(tmp_path / "ledger", 3)
    reader = LedgerReader(str(tmp_path / "ledger"))
    assert list(reader) == records
    assert reader.faults == []
    assert len({record.id for record in records}) == 3


def test_the_fields_of_a_line(tmp_path):
    (record,) = write(tmp_path)
    (file,) = tmp_path.glob("*.jsonl")
    line = json.loads(file.read_bytes())
    assert list(record.as_dict())[:19] == FIELDS
    assert list(line)[:17] == [name for name in FIELDS if name not in {"hop_of", "registries"}]
    assert Record.from_dict(record.as_dict()) == record
    assert line["schema"] == SCHEMA
    assert line["time"] == "2026-09-21T14:13:20.250000+00:00"
    assert line["policy"] == {"name": "standard", "hash": Policy.load("standard").hash}
    assert line["evidence"] == [
        {
            "signal": "x-robots-tag",
            "statement": "disallow",
            "rule": "noai",
            "strength": "explicit",
            "covers": "train-any",
            "switch": None,
            "source_url": "http://h/a.jpg",
            "where": "header X-Robots-Tag",
            "raw": "noai",
            "sha256": None,
            "fetched": "2026-09-21T14:13:20.250000+00:00",
        }
    ]
    assert Statement.from_dict(line["evidence"][0]) == STATEMENT


def test_what_is_empty_is_left_out(tmp_path):
    writer = LedgerWriter(str(tmp_path), RUN, clock=lambda: NOW)
    record = writer.record("http://h/", Action.STORE, Verdict("http://h/", Action.STORE))
    writer.close()
    (file,) = tmp_path.glob("*.jsonl")
    line = json.loads(file.read_bytes())
    assert set(line) == {
        *("schema", "id", "time", "run", "crawler", "url", "action", "stage", "policy", "token", "enforced"),
        "chain",
    }
    assert list(LedgerReader(str(tmp_path))) == [record]
    empty = record.as_dict()
    assert [empty[name] for name in ("reason", "reasons", "evidence", "bytes_read")] == [None, [], [], 0]
    empty["evidence"].append("changed")
    assert record.as_dict()["evidence"] == []


@pytest.mark.parametrize(
    "url",
    [
        "http://h/\n{}",
        "http://h/\r\n",
        "http://h/\x1b[2J",
        "http://h/\x7f",
        "http://h/\u2028\x85",
        "http://h/\ud800",
    ],
    ids=["line feed", "CRLF", "terminal escape", "DEL", "Unicode line ends", "lone surrogate"],
)
def test_lines_cannot_be_forged(tmp_path, url):
    writer = LedgerWriter(str(tmp_path), RUN)
    writer.record(url, Action.FAILED, error=url)
    writer.close()
    (file,) = tmp_path.glob("*.jsonl")
    text = file.read_bytes()
    assert text.count(b"\n") == 1
    assert not any(byte < 0x20 or byte > 0x7E for byte in text[:-1])
    (record,) = LedgerReader(str(tmp_path))
    assert record.url == url


def test_a_torn_last_line_is_reported_and_the_rest_read(tmp_path):
    write(tmp_path, 2)
    (file,) = tmp_path.glob("*.jsonl")
    file.write_bytes(file.read_bytes()[:-10])
    reader = LedgerReader(str(file))
    assert len(list(reader)) == 1
    (fault,) = reader.faults
    assert (fault.kind, fault.line, fault.file) == ("torn", 2, str(file))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{\n", "JSONDecodeError"),
        (b"[]\n", "TypeError"),
        (b'{"schema": 99}\n', "schema 99, this version reads 1"),
        (b'{"schema": 1}\n', "KeyError"),
        (b"[" * 100_000 + b"\n", "RecursionError"),
        (b"\xff\n", "UnicodeDecodeError"),
    ],
    ids=["no JSON", "no object", "newer schema", "fields missing", "too deep", "no text"],
)
def test_lines_that_are_no_records_are_reported(tmp_path, line, words):
    write(tmp_path)
    (file,) = tmp_path.glob("*.jsonl")
    file.write_bytes(line + file.read_bytes())
    reader = LedgerReader(str(tmp_path))
    assert len(list(reader)) == 1
    (fault,) = reader.faults
    assert (fault.kind, fault.line) == ("invalid", 1)
    assert words in str(fault)


@pytest.mark.parametrize("name", ["runs [1]", "a*b", "why?"])
def test_a_folder_whose_name_could_be_a_pattern(tmp_path, name):
    written = write(tmp_path / name)
    assert list(LedgerReader(str(tmp_path / name))) == written


def test_many_workers_and_ledgers(tmp_path):
    for ledger in ("a", "b"):
        for worker in ("0", "1"):
            write(tmp_path / ledger, worker=worker)
    reader = LedgerReader(str(tmp_path / "a"), str(tmp_path / "b"))
    assert len(list(reader)) == len(reader.files) == 4


@pytest.mark.parametrize("there", [False, True], ids=["nothing there", "an empty folder"])
def test_reading_what_is_no_ledger(tmp_path, there):
    ledger = tmp_path / "ledger"
    if there:
        ledger.mkdir()
    with pytest.raises(LedgerError, match=r"no \*\.jsonl file|There is no ledger"):
        LedgerReader(str(ledger))


def test_kill_9_leaves_complete_lines(tmp_path):
    script = f"""
import os, signal
from heedful import Action, Policy
from heedful.ledger import LedgerWriter, Run
run = Run.start(crawler="x", token="T", policy=Policy.load("letter"), enforced=True, now=0)
writer = LedgerWriter({str(tmp_path)!r}, run)
for number in range(1000):
    writer.record(f"http://h/{{number}}", Action.FAILED)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -9
    reader = LedgerReader(str(tmp_path))
    assert [record.url for record in reader] == [f"http://h/{number}" for number in range(1000)]
    assert reader.faults == []


@pytest.mark.parametrize("ledger", ["file/below", "/proc/ledger", "nosuchscheme://x/y"])
def test_an_unwritable_ledger_is_told_before_the_run(tmp_path, monkeypatch, ledger):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match="cannot be written"):
        LedgerWriter(ledger, RUN)


def test_a_full_disk_leaves_no_part_of_a_line(tmp_path, monkeypatch):
    writer = LedgerWriter(str(tmp_path), RUN)
    writer.record("http://h/1", Action.FAILED)
    write_to_disk = os.write
    monkeypatch.setattr(writing.os, "write", lambda fd, data: write_to_disk(fd, data[:20]))
    with pytest.raises(LedgerError, match="only 20 of"):
        writer.record("http://h/2", Action.FAILED)

    def full(fd, data):
        write_to_disk(fd, data[:7])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing.os, "write", full)
    with pytest.raises(LedgerError, match="No space left"):
        writer.record("http://h/3", Action.FAILED)
    monkeypatch.undo()
    writer.record("http://h/4", Action.FAILED)
    writer.close()
    reader = LedgerReader(str(tmp_path))
    assert [record.url for record in reader] == ["http://h/1", "http://h/4"]
    assert reader.faults == []


def test_other_file_systems_get_closed_shards(monkeypatch):
    ledger = f"memory://{uuid.uuid4()}/ledger"
    monkeypatch.setattr(writing, "SHARD_BYTES", 2000)
    records = write(ledger, 5)
    reader = LedgerReader(ledger)
    assert list(reader) == records
    assert len(reader.files) > 1
    assert all(name.endswith(".jsonl") for name in reader.files)
