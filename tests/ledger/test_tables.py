"""Ledgers as a table, and what is exported of them."""

from __future__ import annotations

import csv
import json
import sys
import uuid

import pytest

from heedful import (
    Action,
    ConfigurationError,
    Evidence,
    LedgerError,
    Policy,
    Preference,
    Reason,
    Stage,
    Statement,
    Verdict,
)
from heedful.ledger import LedgerReader, LedgerWriter, Run
from heedful.ledger._export import export_csv, export_parquet, harmless, harmless_json
from heedful.ledger.tables import LedgerTables

duckdb = pytest.importorskip("duckdb")

NOW = 1_790_000_000.25
RUN = Run.start(crawler="x/1", token="PictureBot", policy=Policy.load("standard"), enforced=True, now=NOW)


def skip(url, raw="noai", rule="noai"):
    evidence = Evidence(url, "header X-Robots-Tag", raw, None, NOW)
    said = Statement(Reason.X_ROBOTS_TAG, Preference.DISALLOW, rule, evidence)
    snapshots = (("http://h/robots.txt", "ab" * 32),)
    registries = (("artists", 3),)
    reasons = (Reason.X_ROBOTS_TAG,)
    return Verdict(
        url, Action.SKIP, reasons, Stage.HEADERS, (said,), snapshots=snapshots, registries=registries
    )


def write(ledger, *urls, worker="0", raw="noai", rule="noai"):
    writer = LedgerWriter(str(ledger), RUN, worker=worker, clock=lambda: NOW)
    for url in urls:
        writer.record(url, Action.SKIP, skip(url, raw, rule), status=200, bytes_read=1, bytes_avoided=9)
    writer.close()


def opened(*ledgers):
    return LedgerTables(*map(str, ledgers))


def urls(tables):
    return [row["url"] for row in tables.rows("SELECT url FROM records ORDER BY url")]


# -- reading -------------------------------------------------------------------------------------------------


def test_every_field(tmp_path):
    write(tmp_path, "http://h/a.jpg")
    (record,) = LedgerReader(str(tmp_path))
    with opened(tmp_path) as tables:
        (row,) = tables.rows("SELECT *, time::VARCHAR AS time FROM records")
    written = record.as_dict()
    for name in (
        "id",
        "run",
        "crawler",
        "url",
        "hop_of",
        "action",
        "reason",
        "reasons",
        "stage",
        "registries",
    ):
        assert row[name] == written[name], name
    for name in ("token", "status", "bytes_read", "bytes_avoided", "enforced", "snapshots"):
        assert row[name] == written[name], name
    assert row["time"] == "2026-09-21 14:13:20.25+00"
    assert (row["policy"], row["policy_hash"]) == RUN.policy
    assert row["host"] == "h"
    said, told = written["evidence"][0], row["evidence"][0]
    assert {name: told[name] for name in said} == said


def test_what_a_line_leaves_out_is_empty(tmp_path):
    line = {
        "schema": 1,
        "id": "1",
        "time": "2026-09-21T14:13:20+00:00",
        "url": "http://h/",
        "action": "store",
    }
    (tmp_path / "0.jsonl").write_text(json.dumps(line) + "\n")
    with opened(tmp_path) as tables:
        (row,) = tables.rows("SELECT * FROM records")
        assert tables.faults == []
    assert (row["evidence"], row["reasons"], row["snapshots"], row["bytes_read"]) == ([], [], {}, 0)
    assert (row["enforced"], row["status"], row["policy"], row["reason"]) == (True, None, None, None)


def test_many_ledgers_of_many_workers(tmp_path):
    for number in range(6):
        write(tmp_path / f"ledger{number % 2}", f"http://h/{number}", worker=str(number))
    with opened(tmp_path / "ledger0", tmp_path / "ledger1") as tables:
        assert urls(tables) == [f"http://h/{number}" for number in range(6)]
        assert len(tables.files) == 6


def test_manifests_beside_the_records_are_no_records(tmp_path):
    write(tmp_path, "http://h/1")
    (tmp_path / "run.json").write_text('{"schema": 1, "runs": []}')
    with opened(tmp_path) as tables:
        assert (urls(tables), tables.faults) == (["http://h/1"], [])


@pytest.mark.parametrize("name", ["a b", "it's", "[0-9]*?", "größe"])
def test_folders_of_any_name(tmp_path, name):
    write(tmp_path / name, "http://h/1")
    path = next((tmp_path / name).iterdir())
    with opened(path) as tables:
        assert urls(tables) == ["http://h/1"]


def test_other_file_systems(tmp_path):
    ledger = f"memory://{uuid.uuid4()}/ledger"
    write(ledger, "http://h/1", "http://h/2")
    write(ledger, "http://h/3", worker="1")
    write(tmp_path, "http://h/4")
    with opened(ledger, tmp_path) as tables:
        assert urls(tables) == [f"http://h/{number}" for number in (1, 2, 3, 4)]
        assert tables.files[:2] == LedgerReader(ledger).files


@pytest.mark.parametrize("there", [False, True], ids=["nothing there", "an empty folder"])
def test_no_ledger(tmp_path, there):
    ledger = tmp_path / "ledger"
    if there:
        ledger.mkdir()
    with pytest.raises(LedgerError, match="There is no ledger at"):
        opened(ledger)


def test_without_duckdb(tmp_path, monkeypatch):
    write(tmp_path, "http://h/1")
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'heedful\[report\]'"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://A.Example/x", "a.example"),
        ("http://a.example:8080/x", "a.example"),
        ("http://user:pass@a.example/x", "a.example"),
        ("http://b.example@a.example/", "a.example"),
        ("http://a@b@c.example/", "c.example"),
        ("http://[2001:db8::1]:80/x", "[2001:db8::1]"),
        ("http://a.example?@b.example/", "a.example"),
        ("http://a.example#@b.example/", "a.example"),
        ("http://a.example\\@b.example/", "a.example"),
        ("http://a.example", "a.example"),
        ("data:image/png;base64,xx", ""),
        ("nonsense", ""),
    ],
)
def test_hosts(tmp_path, url, host):
    write(tmp_path, url)
    with opened(tmp_path) as tables:
        assert [row["host"] for row in tables.rows("SELECT host FROM records")] == [host]


# -- faults: the same records and the same faults as of the reader -------------------------------------------


GOOD = "http://h/good"


def lines(path):
    return path.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    "line",
    [
        b"{\n",
        b"[]\n",
        b"3\n",
        b'{"schema": 99}\n',
        b'{"schema": 1}\n',
        b"[" * 100_000 + b"\n",
        b"\xff\n",
        b"\x00\x00\n",
    ],
    ids=["no JSON", "list", "number", "newer schema", "fields missing", "too deep", "no text", "NUL"],
)
def test_lines_that_are_no_records_are_named(tmp_path, line):
    write(tmp_path, GOOD, GOOD)
    (file,) = tmp_path.glob("*.jsonl")
    first, second = lines(file)
    file.write_bytes(first + line + second)
    reader = LedgerReader(str(tmp_path))
    records = list(reader)
    with opened(tmp_path) as tables:
        assert len(urls(tables)) == len(records) == 2
        assert tables.faults == reader.faults
        assert [(fault.line, fault.kind) for fault in tables.faults] == [(2, "invalid")]


@pytest.mark.parametrize("action", ["", "destroy", None, 3])
def test_actions_that_there_are_not(tmp_path, action):
    write(tmp_path, GOOD)
    (file,) = tmp_path.glob("*.jsonl")
    file.write_text(file.read_text() + json.dumps(json.loads(file.read_text()) | {"action": action}) + "\n")
    with opened(tmp_path) as tables:
        assert urls(tables) == [GOOD]
        assert [fault.line for fault in tables.faults] == [2]


@pytest.mark.parametrize("cut", [1, 2, 10, 400], ids=["line feed", "brace", "some", "most"])
def test_a_torn_last_line(tmp_path, cut):
    write(tmp_path, GOOD, "http://h/torn")
    (file,) = tmp_path.glob("*.jsonl")
    file.write_bytes(file.read_bytes()[:-cut])
    reader = LedgerReader(str(tmp_path))
    records = list(reader)
    with opened(tmp_path) as tables:
        assert urls(tables) == [record.url for record in records] == [GOOD]
        assert tables.faults == reader.faults
        assert [(fault.line, fault.kind) for fault in tables.faults] == [(2, "torn")]


def test_a_file_that_is_nothing_but_torn(tmp_path):
    (tmp_path / "0.jsonl").write_bytes(b'{"schema"')
    with opened(tmp_path) as tables:
        assert (urls(tables), [fault.kind for fault in tables.faults]) == ([], ["torn"])


def test_torn_and_invalid_lines_in_one_file(tmp_path):
    write(tmp_path, GOOD, GOOD)
    (file,) = tmp_path.glob("*.jsonl")
    file.write_bytes(b"{\n" + file.read_bytes()[:-9])
    write(tmp_path, "http://h/other", worker="1")
    with opened(tmp_path) as tables:
        assert urls(tables) == [GOOD, "http://h/other"]
        assert [(fault.line, fault.kind) for fault in tables.faults] == [(1, "invalid"), (3, "torn")]


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("http://h/\ud800", "http://h/\\ud800"),
        ("http://h/\udcff\U0001f5bc", "http://h/\\udcff\U0001f5bc"),
        ("http://h/\x00", "http://h/\x00"),
        ("http://h/\u2028\x85\x7f", "http://h/\u2028\x85\x7f"),
    ],
    ids=["lone surrogate", "undecodable byte", "NUL", "Unicode line ends"],
)
def test_no_record_is_lost_for_its_characters(tmp_path, url, read):
    write(tmp_path, url, GOOD)
    with opened(tmp_path) as tables:
        assert sorted(urls(tables)) == sorted([read, GOOD])
        assert tables.faults == []


# -- exports -------------------------------------------------------------------------------------------------

HOSTILE = [
    "=cmd|' /C calc'!A0",
    "+1",
    "-1",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "\uff1d1",
    'quoted "," \r\n=1',
    "\x1b]0;title\x07",
    "\u202egpj.exe",
    "\x00",
    "<script>alert(1)</script>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_cells_are_harmless(text):
    cell = harmless(text)
    assert cell.isprintable()
    assert cell[0] not in "=+-@\t\r\n\uff1d"
    assert not cell.lstrip().startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize("text", [*HOSTILE, "\U000e0041"])
def test_json_cells_are_still_json(text):
    cell = harmless_json(json.dumps([text, "\x7f"], ensure_ascii=False))
    assert cell.isprintable()
    assert json.loads(cell) == [text, "\x7f"]


@pytest.mark.parametrize("text", HOSTILE)
def test_csv(tmp_path, text):
    url = f"http://h/{text}"
    write(tmp_path / "ledger", url, GOOD, raw=text, rule=text)
    out = tmp_path / "out.csv"
    with opened(tmp_path / "ledger") as tables:
        assert export_csv(tables, out) == 2
    data = out.read_bytes()
    assert data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r") == 3
    text_read = data.decode()
    assert text_read.replace("\r\n", "").isprintable()
    rows = list(csv.DictReader(text_read.splitlines()))
    assert [row["url"] for row in rows] == [harmless(url), GOOD]
    assert rows[0]["evidence_raw"] == rows[0]["evidence_rule"] == harmless(text)
    assert json.loads(rows[0]["evidence"])[0]["raw"] == text
    assert json.loads(rows[0]["snapshots"]) == {"http://h/robots.txt": "ab" * 32}
    assert (rows[0]["time"], rows[0]["reasons"]) == ("2026-09-21T14:13:20.250000+00:00", "x-robots-tag")
    for row in rows:
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())


def test_csv_for_duckdb(tmp_path):
    write(tmp_path / "ledger", GOOD, 'http://h/",\n')
    out = tmp_path / "it's.csv"
    with opened(tmp_path / "ledger") as tables:
        export_csv(tables, out)
    with duckdb.connect() as database:
        found = database.execute(
            "SELECT url, bytes_read, time::VARCHAR FROM read_csv(?)", [str(out)]
        ).fetchall()
    assert [row[:2] for row in found] == [(GOOD, 1), ('http://h/",\\n', 1)]


def test_parquet_for_pandas(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    write(tmp_path / "ledger", GOOD, "http://h/\u202e")
    out = tmp_path / "it's.parquet"
    with opened(tmp_path / "ledger") as tables:
        assert export_parquet(tables, out) == 2
    frame = pandas.read_parquet(out)
    assert list(frame["url"]) == [GOOD, "http://h/\u202e"]
    assert str(frame["time"].dt.tz) == "UTC"
    assert frame["evidence"][0][0]["rule"] == "noai"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("export", [export_csv, export_parquet])
def test_a_file_that_cannot_be_written(tmp_path, export):
    write(tmp_path / "ledger", GOOD)
    with opened(tmp_path / "ledger") as tables:
        with pytest.raises(ConfigurationError, match="cannot be written"):
            export(tables, tmp_path / "nowhere" / "out")
        assert export(tables, tmp_path / "out") == 1
        assert export(tables, tmp_path / "out") == 1
