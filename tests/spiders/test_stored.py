"""Where the URLs of stored pictures are found."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma

import pytest
import zstandard

from heedful import Action, Policy, Stage, Verdict
from heedful.ledger import LedgerWriter, Run
from heedful.registry.sources import SourceError

pytest.importorskip("scrapy")

from heedful_spiders._stored import Stored

A, B, C = "https://a.example/1.jpg", "https://b.example/2.jpg", "https://c.example/3.jpg"


def write_ledger(folder):
    run = Run.start(crawler="x/1", token="Bot", policy=Policy.load("standard"), enforced=True, now=1.0)
    writer = LedgerWriter(str(folder), run)
    for url, action, first in (
        (A, Action.STORE, None),
        (C, Action.STORE, B),
        (B, Action.DEFER, None),
        (C, Action.SKIP, None),
        (C, Action.FAILED, None),
    ):
        verdict = None if action is Action.FAILED else Verdict(url, action, (), Stage.BODY, ())
        writer.record(url, action, verdict, hop_of=first)
    writer.close()


def write_crawl(folder):
    folder.mkdir()
    items = [
        {"image_urls": [A], "images": [{"url": A, "path": "full/1.jpg"}], "page": "https://p.example/"},
        {"image_urls": [B, C], "images": [{"url": B}, "odd", {"path": "x"}]},
    ]
    (folder / "images.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    write_ledger(folder / "ledger")


def write_img2dataset(folder):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        (A, "success"),
        (B, "skipped_opt_out"),
        (C, "success"),
        (None, "success"),
        (B, "failed_to_download"),
    ]
    (folder / "_heedful" / "ledger").mkdir(parents=True)
    write_ledger(folder / "_heedful" / "ledger")
    (folder / "00000.tar").write_bytes(b"")
    (folder / "00000_stats.json").write_text("{}")
    for number, some in enumerate((rows[:2], rows[2:])):
        urls, status = zip(*some, strict=True)
        table = {
            "url": urls,
            "status": status,
            "error_message": [None] * len(some),
            "caption": ["x"] * len(some),
        }
        pq.write_table(pa.table(table), folder / f"{number:05d}.parquet")


def table(name, **columns):
    def write(folder):
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(columns), folder / name)

    return write


def file(name, data):
    def write(folder):
        (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)

    return write


LINES = f"{A}\n\n  {B}  \r\n{C}".encode()
CASES = {
    "a ledger": (write_ledger, "ledger", [A, B], ["ledger"]),
    "a ledger's file": (write_ledger, "ledger/*.jsonl", [A, B], ["ledger"]),
    "a crawl's folder": (write_crawl, "out", [A, B], ["out/ledger"]),
    "a crawl's metadata": (write_crawl, "out/images.jsonl", [A, B], []),
    "img2dataset's folder": (write_img2dataset, "data", [A, C], ["data/_heedful/ledger"]),
    "one shard": (write_img2dataset, "data/00000.parquet", [A], []),
    "lines": (file("urls.txt", LINES), "urls.txt", [A, B, C], []),
    "no suffix": (file("urls", LINES), "urls", [A, B, C], []),
    "gzip": (file("urls.txt.gz", gzip.compress(LINES)), "urls.txt.gz", [A, B, C], []),
    "bzip2": (file("urls.txt.bz2", bz2.compress(LINES)), "urls.txt.bz2", [A, B, C], []),
    "xz": (file("urls.txt.xz", lzma.compress(LINES)), "urls.txt.xz", [A, B, C], []),
    "zstd": (file("urls.csv.zst", zstandard.compress(f"url\n{A}\n".encode())), "urls.csv.zst", [A], []),
    "csv": (file("t.csv", f'n,URL\n1,{A}\n2,"{B}"\n3\n"a\nb",{C}\n'), "t.csv", [A, B, C], []),
    "tsv": (file("t.tsv", f"url\tn\n{A}\t1\n"), "t.tsv", [A], []),
    "img2dataset's csv": (
        file("t.csv", f"url,status,error_message\n{A},success,\n{B},failed_to_download,404\n"),
        "t.csv",
        [A],
        [],
    ),
    "LAION's parquet": (table("t.parquet", URL=[A, None, B], TEXT=["", "", ""]), "t.parquet", [A, B], []),
    "octets": (table("t.parquet", url=[A.encode(), b"\xff"]), "t.parquet", [A, "\udcff"], []),
    "another's status": (table("t.parquet", url=[A], status=["draft"]), "t.parquet", [A], []),
    "json lines": (
        file("t.jsonl", f'{{"url": "{A}"}}\n{{"URL": "{B}"}}\n{{"x": 1}}\n'),
        "t.jsonl",
        [A, B],
        [],
    ),
    "wildcards": (file("u1.txt", A), "u?.txt", [A], []),
}


@pytest.mark.parametrize(("write", "source", "urls", "ledgers"), CASES.values(), ids=CASES)
def test_sources(tmp_path, monkeypatch, write, source, urls, ledgers):
    monkeypatch.chdir(tmp_path)
    folder = source.partition("/")[0]
    if write in {write_ledger, write_crawl, write_img2dataset}:
        write(tmp_path / folder)
    else:
        write(tmp_path)
    stored = Stored([source])
    assert list(stored) == urls
    assert list(stored) == urls  # it can be read again
    assert len(stored.ledgers) == len(ledgers)
    for found, wanted in zip(stored.ledgers, ledgers, strict=True):
        assert wanted in found
    assert stored.passed_over == 0


def test_many_sources_in_their_order(tmp_path):
    (tmp_path / "1.txt").write_text(B)
    (tmp_path / "2.txt").write_text(A)
    assert list(Stored([str(tmp_path / "2.txt"), str(tmp_path / "1.txt")])) == [A, B]


def test_another_column(tmp_path):
    (tmp_path / "t.csv").write_text(f"url,Picture\n{A},{B}\n")
    assert list(Stored([str(tmp_path / "t.csv")], column="picture")) == [B]


def test_a_torn_line_is_passed_over_and_counted(tmp_path):
    write_ledger(tmp_path / "ledger")
    (path,) = (tmp_path / "ledger").glob("*.jsonl")
    with path.open("ab") as file:
        file.write(b'[1]\n{"schema": 1, "action": "sto')
    stored = Stored([str(tmp_path / "ledger")])
    assert list(stored) == [A, B]
    assert stored.passed_over == 2


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("t.parquet", b"PAR1 nothing", "cannot be read"),
        ("t.csv", b'url\n"' + b"x" * 200_000, "near line"),
        ("t.csv", b"", "no column url"),
        ("t.txt.gz", gzip.compress(LINES)[:-9], "cannot be read"),
    ],
    ids=["no Parquet", "a quote without end", "nothing", "cut off"],
)
def test_damaged_files(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match=words):
        list(Stored([str(tmp_path / name)]))
