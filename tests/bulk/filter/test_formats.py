"""What goes in comes out: format, schema, order, every octet of what is kept."""

from __future__ import annotations

import bz2
import csv
import datetime as dt
import gzip
import io
import lzma
import subprocess
import sys
from decimal import Decimal

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from heedful.bulk.filter import TAGS, _footer, _parquet, _text
from heedful.errors import ConfigurationError

from .listed import KEPT, ROWS, STORE, URLS

LISTED, FREE = "https://art.example/1.jpg", "https://art.example/4.jpg"

COMPRESSED = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


def opened(data, suffix):
    if suffix == ".zst":
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return {"": bytes, ".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}[suffix](data)


@pytest.fixture
def through(filtered, tmp_path):
    """Filter what a file holds; what its output holds."""

    def run(data, name="in.csv", **options):
        suffix = next((each for each in COMPRESSED if each and name.endswith(each)), "")
        (tmp_path / name).write_bytes(COMPRESSED[suffix](data))
        summary = filtered(tmp_path / name, tmp_path / f"out-{name}", **options)
        if summary.unreadable:
            assert not (tmp_path / f"out-{name}").exists()
            return summary.unreadable[0][1]
        return opened((tmp_path / f"out-{name}").read_bytes(), suffix)

    return run


# -- text ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", COMPRESSED)
@pytest.mark.parametrize("kind", ["txt", "csv", "tsv"])
def test_texts(through, kind, suffix):
    delimiter = {"txt": "", "csv": ",", "tsv": "\t"}[kind]
    rows = [url for url in URLS if "\x1b" not in url]

    def lines(urls):
        out = io.StringIO(newline="")
        if kind == "txt":
            out.write("".join(f"{url}\r\n" for url in urls))
        else:
            writer = csv.writer(out, delimiter=delimiter)
            writer.writerows([("n", "url", "text"), *((rows.index(url), url, 'a "b", c') for url in urls)])
        return out.getvalue().encode()

    assert through(lines(rows), f"in.{kind}{suffix}") == lines(KEPT)


CELLS = {
    "numbers": b"url,n\n%b,007\n%b,1e5\n",
    "null and empty": b'url,a,b\n%b,,""\n%b,"",\n',
    "embedded line ends": b'a,url\n"x\ny",%b\n"x\r\n""y""\n",%b\n',
    "CRLF": b"url,a\r\n%b,1\r\n%b,2\r\n",
    "no end at the end": b"url,a\n%b,1\n%b,2",
    "BOM": b"\xef\xbb\xbfurl,a\n%b,1\n%b,2\n",
    "quoted head": b'"a","URL"\n1,%b\n2,%b\n',
    "quoted URL": b'url\n"%b"\n"%b"\n',
    "stray quotes": b'a,url\n5" x 7",%b\n5" x 7",%b\n',
    "after a quote": b'a,url\n"x"y"z,%b\n"x"y"z,%b\n',
    "not UTF-8": b"a,url\n\xff\xfe,%b\n\xe4,%b\n",
    "unicode": "ä,url\n日本,%b\n☃,%b\n".encode(),
    "NUL and controls": b"a,url\n\x01\x1b[31m,%b\n\x02,%b\n",
    "formula": b"a,url\n=1+1,%b\n@x,%b\n",
    "fewer cells": b"url,a,b\n%b\n%b\n",
    "blank lines": b"url,a\n\n%b,1\n\r\n%b,2\n\n",
    "cells without end": b"url,a\n%b,1,2,3\n%b,1,2,3\n",
}


@pytest.mark.parametrize("name", CELLS)
def test_cells_stay_as_they_are_written(through, name):
    """The listed row goes, nothing else changes."""
    data = CELLS[name] % (FREE.encode(), LISTED.encode())
    gone = next(
        record for record in _records(data) if LISTED.encode() in record and FREE.encode() not in record
    )
    assert through(data) == data.replace(gone, b"")


def _records(data):
    """Records of these tables, told by their URL: the listed one is the last that is no blank line."""
    at = data.index(FREE.encode())
    end = data.index(b"\n", at) + 1
    last = data.index(LISTED.encode())
    stop = data.find(b"\n", last) + 1 or len(data)
    begin = end
    while data[begin : begin + 1] in {b"\r", b"\n"}:
        begin += 1
    yield data[begin:stop]


TAGGED = {
    "plain": (b"url,a\nL,1\nF,2\n", b"url,a,T\nL,1,skip,registry.url,artists,L\nF,2,store,,,\n"),
    "CRLF, no end": (b"url\r\nF\r\nL", b"url,T\r\nF,store,,,\r\nL,skip,registry.url,artists,L"),
    "fewer cells": (b"url,a,b\nF\n", b"url,a,b,T\nF,,,store,,,\n"),
    "quoted": (b'a,url\n"x\n,y","F"\n', b'a,url,T\n"x\n,y","F",store,,,\n'),
    "blank": (b"url,a\n\nF,1\n\n", b"url,a,T\n\nF,1,store,,,\n\n"),
    "in place": (
        b'url,heedful_list,"heedful_action",z\nL,old,"o,l\n""d",1\nF,,,"2,"\n',
        b"url,heedful_list,heedful_action,z,heedful_reason,heedful_entry\n"
        b'L,artists,skip,1,registry.url,L\nF,,store,"2,",,\n',
    ),
    "list with quotes": (
        b'url\n"https://quotes.example/a,""b"".jpg"\n',
        b'url,T\n"https://quotes.example/a,""b"".jpg",skip,registry.url,"a ""list"", named",'
        b'"https://quotes.example/a,""b"".jpg"\n',
    ),
    "formula": (
        b'url\n"=HYPERLINK(1),""x"""\n',
        b'url,T\n"=HYPERLINK(1),""x""",skip,registry.url,artists,"\'=HYPERLINK(1),""x"""\n',
    ),
}


@pytest.mark.parametrize("name", TAGGED)
def test_csv_is_tagged(through, name):
    given, wanted = (
        data.replace(b"L", LISTED.encode()).replace(b"F", FREE.encode()) if name != "formula" else data
        for data in TAGGED[name]
    )
    assert through(given, tag=True) == wanted.replace(b"T", ",".join(TAGS).encode())


def test_tagging_csv_twice_changes_nothing(through):
    data = b'a,url\n"x,\ny",%b\n,%b\n' % (FREE.encode(), LISTED.encode())
    once = through(data, tag=True)
    assert once != data
    assert through(once, "again.csv", tag=True) == once


UNREADABLE = {
    "no column": (b"a,b\n1,2\n", {}, "it has no column called url"),
    "no such column": (b"a,url\n1,2\n", {"url_col": "picture"}, "it has no column 'picture'"),
    "two columns": (b"url,URL\n1,2\n", {}, "it has 2 columns called url"),
    "empty": (b"", {}, "it is empty, and has no head"),
    "open quotes": (b'url,a\nx,"1\ny,2\n', {}, 'quotes are opened and not closed: x,"1'),
    "more cells than the head": (b"url\nx,y\n", {"tag": True}, "a row has more cells than the head: x,y"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_table_that_cannot_be_read_is_named(through, name):
    data, options, words = UNREADABLE[name]
    assert words in through(data, **options)


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2", ".xz"])
def test_a_compressed_list_that_is_cut_off_is_named(filtered, tmp_path, suffix):
    data = COMPRESSED[suffix]("".join(f"https://a.example/{n}\n" for n in range(5000)).encode())
    (tmp_path / f"in.txt{suffix}").write_bytes(data[: len(data) // 2])
    (tmp_path / f"ok.txt{suffix}").write_bytes(COMPRESSED[suffix](FREE.encode()))
    summary = filtered([tmp_path / f"in.txt{suffix}", tmp_path / f"ok.txt{suffix}"], tmp_path / "out/")
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_file()] == [f"ok.txt{suffix}"]
    assert [file for file, _ in summary.unreadable] == [str(tmp_path / f"in.txt{suffix}")]
    assert summary.counts.rows == 1


def test_a_line_without_end_is_not_held(through, monkeypatch):
    monkeypatch.setattr(_text, "RECORD_MAX", 1000)
    assert "longer than 1,000 octets" in through(b"x" * 3_000_000, "in.txt")


@pytest.mark.parametrize("size", [1, 7, 26, 1000])
def test_pieces_of_a_long_list_are_put_together(through, monkeypatch, size):
    """Wherever a piece begins, each line is in one of them."""
    monkeypatch.setattr(_text, "PIECE_BYTES", size)
    data = "".join(f"{url}\n" for url in URLS if "\x1b" not in url).encode()
    assert through(data, "in.txt") == "".join(f"{url}\n" for url in KEPT).encode()


def test_lists_of_lines_cannot_be_tagged(through):
    with pytest.raises(ConfigurationError, match="has no columns"):
        through(FREE.encode(), "in.txt", tag=True)


def test_an_empty_list_of_lines(through):
    assert through(b"", "in.txt") == b""
    assert through(b"\n \n", "blank.txt") == b"\n \n"


# -- Parquet ---------------------------------------------------------------------------------------------


def strange(rows):
    """A table of all kinds of columns."""
    count = len(rows)
    numbers = list(range(count))
    schema = pa.schema(
        [
            pa.field("n", pa.uint8(), nullable=False),
            pa.field("URL", pa.large_string(), metadata={b"doc": b"the picture"}),
            pa.field("category", pa.dictionary(pa.int16(), pa.string())),
            pa.field("embedding", pa.list_(pa.float32(), 3)),
            pa.field("exif", pa.struct([("a", pa.string()), ("b", pa.list_(pa.int64()))])),
            pa.field("when", pa.timestamp("us", "Europe/Berlin")),
            pa.field("price", pa.decimal128(9, 2)),
            pa.field("bytes", pa.binary()),
            pa.field("half", pa.float16()),
            pa.field("day", pa.date32()),
            pa.field("nothing", pa.null()),
            pa.field("ä ☃.x", pa.bool_()),
        ],
        metadata={b"pandas": b'{"index_columns": []}', b"licence": "CC-BY ☃".encode()},
    )
    columns = {
        "n": numbers,
        "URL": rows,
        "category": [("a", "b", None)[n % 3] for n in numbers],
        "embedding": [[n, n + 0.5, -n] for n in numbers],
        "exif": [{"a": f"x{n}", "b": [n] * (n % 3)} if n % 4 else None for n in numbers],
        "when": [dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc) + dt.timedelta(hours=n) for n in numbers],
        "price": [Decimal(n) / 4 for n in numbers],
        "bytes": [bytes([n, 255]) for n in numbers],
        "half": np.array(numbers, np.float16),
        "day": [dt.date(2024, 1, 1)] * count,
        "nothing": [None] * count,
        "ä ☃.x": [bool(n % 2) for n in numbers],
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in schema], schema=schema)


MANNERS = {
    "usual": {},
    "zstd, small groups": {"compression": "zstd", "row_group_size": 4},
    "no dictionaries": {"use_dictionary": False, "compression": "none"},
    "per column": {"compression": {"URL": "gzip", "n": "brotli"}, "use_dictionary": ["category"]},
    "lz4, one row a group": {"compression": "lz4", "row_group_size": 1},
    "page index": {"write_page_index": True, "row_group_size": 7},
    "sorted": {"sorting_columns": [pq.SortingColumn(0)]},
    "no Arrow schema": {"store_schema": False},
}


@pytest.mark.parametrize("name", MANNERS)
@pytest.mark.parametrize("piece", [1, 10**9])
def test_schema_metadata_and_manner_are_kept(filtered, tmp_path, monkeypatch, name, piece):
    """Whether it is written as one piece, or joined of one for each row group."""
    monkeypatch.setattr(_parquet, "PIECE_BYTES", piece)
    pq.write_table(strange(URLS), tmp_path / "in.parquet", **MANNERS[name])
    before = pq.ParquetFile(tmp_path / "in.parquet")
    keep = pa.array([row[1] == STORE for row in ROWS])
    filtered(tmp_path / "in.parquet", tmp_path / "out.parquet")
    after = pq.ParquetFile(tmp_path / "out.parquet")
    assert after.schema_arrow.equals(before.schema_arrow, check_metadata=True)
    assert after.schema.equals(before.schema)
    assert _own(after) == _own(before)
    assert after.read().to_pylist() == before.read().filter(keep).to_pylist()
    filtered(tmp_path / "in.parquet", tmp_path / "tagged.parquet", tag=True)
    tagged = pq.ParquetFile(tmp_path / "tagged.parquet")
    assert tagged.schema_arrow.metadata == before.schema_arrow.metadata
    assert tagged.read().select(before.schema_arrow.names).to_pylist() == before.read().to_pylist()
    sizes = [
        file.metadata.row_group(n).num_rows for file in (before, tagged) for n in range(file.num_row_groups)
    ]
    assert sizes[: len(sizes) // 2] == sizes[len(sizes) // 2 :]
    for file in (after, tagged):
        _alike(before, file)


def _groups(file):
    return [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]


def _own(file):
    """Key-value metadata; Arrow's copy of the schema is spelt anew, and was compared."""
    found = dict(file.metadata.metadata or {})
    return (found.pop(b"ARROW:schema", None) is None, found)


def _alike(before, after):
    first, second = before.metadata.row_group(0), after.metadata.row_group(0)
    assert second.sorting_columns == first.sorting_columns
    for number in range(first.num_columns):
        old, new = first.column(number), second.column(number)
        for what in ("path_in_schema", "physical_type", "compression", "has_offset_index"):
            assert getattr(old, what) == getattr(new, what)
        if old.path_in_schema == "category":
            assert ("RLE_DICTIONARY" in old.encodings) == ("RLE_DICTIONARY" in new.encodings)


def test_other_readers_read_what_was_joined(filtered, tmp_path, monkeypatch):
    """The footer that is written anew leads them to each page."""
    monkeypatch.setattr(_parquet, "PIECE_BYTES", 1)
    count = 5000
    table = pa.table(
        {
            "url": [f"https://a.example/{n}" for n in range(count)],
            "n": range(count),
            "word": [str(n % 10) for n in range(count)],
        }
    )
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=300, write_page_index=True)
    filtered(tmp_path / "in.parquet", tmp_path / "out.parquet")
    out = str(tmp_path / "out.parquet")
    assert pq.read_table(out, filters=[("n", ">", 4990)]).num_rows == 9
    assert pl.read_parquet(out).equals(pl.from_arrow(table))
    assert pl.scan_parquet(out).filter(pl.col("n") == 3456).collect()["word"].to_list() == ["6"]
    query = "SELECT count(*), sum(n), max(word) FROM read_parquet(?) WHERE n >= 1000"
    assert duckdb.execute(query, [out]).fetchone() == (4000, sum(range(1000, 5000)), "9")


def test_a_joined_file_is_the_one_that_is_written_at_once(tmp_path):
    """Octet by octet, footer included."""
    tables = [pa.table({"a": list(range(n, n + 1000)), "b": [str(n)] * 1000}) for n in range(20)]
    options = {"write_page_index": False, "use_dictionary": ["b"]}
    with pq.ParquetWriter(tmp_path / "whole", tables[0].schema, **options) as whole:
        for number, table in enumerate(tables):
            whole.write_table(table)
            pq.write_table(table, tmp_path / f"{number:02d}", **options)
    with (tmp_path / "joined").open("wb") as file:
        _footer.join(sorted(tmp_path.glob("[0-9][0-9]")), file)
    assert (tmp_path / "joined").read_bytes() == (tmp_path / "whole").read_bytes()


def test_empty_tables(filtered, tmp_path):
    table = strange(())
    pq.write_table(table, tmp_path / "none.parquet")
    with pq.ParquetWriter(tmp_path / "group.parquet", table.schema) as writer:
        writer.write_table(table)
    pq.write_table(strange([LISTED] * 3), tmp_path / "all.parquet", row_group_size=1)
    for name in ("none", "group", "all"):
        filtered(tmp_path / f"{name}.parquet", tmp_path / f"out-{name}.parquet")
        out = pq.read_table(tmp_path / f"out-{name}.parquet")
        assert out.num_rows == 0
        assert out.schema.equals(pq.read_schema(tmp_path / f"{name}.parquet"), check_metadata=True)


URL_TYPES = {
    "string": pa.string(),
    "large": pa.large_string(),
    "view": pa.string_view(),
    "binary": pa.binary(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
}


@pytest.mark.parametrize("name", URL_TYPES)
def test_columns_of_urls_may_be_of_any_text(filtered, tmp_path, name):
    urls = pa.array([LISTED, None, FREE], URL_TYPES[name] if name != "dictionary" else pa.string())
    pq.write_table(pa.table({"url": urls.cast(URL_TYPES[name])}), tmp_path / "in.parquet")
    filtered(tmp_path / "in.parquet", tmp_path / "out.parquet")
    out = pq.read_table(tmp_path / "out.parquet")
    assert out.schema == pq.read_schema(tmp_path / "in.parquet")
    assert out.num_rows == 1


def test_other_columns_are_no_urls(filtered, tmp_path):
    pq.write_table(pa.table({"url": [1, 2]}), tmp_path / "in.parquet")
    summary = filtered(tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert summary.unreadable[0][1] == "the URLs are no text, but int64"
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("damage", ["cut", "no footer", "page", "empty", "text"])
def test_a_damaged_file_is_named_and_the_others_are_done(filtered, recorded, tmp_path, damage):
    (tmp_path / "in").mkdir()
    table = pa.table({"url": [f"https://art.example/{n}.jpg" for n in range(50_000)]})
    for name in ("a", "bad", "c"):
        pq.write_table(table, tmp_path / "in" / f"{name}.parquet", row_group_size=10_000, compression="none")
    bad = tmp_path / "in" / "bad.parquet"
    data = bad.read_bytes()
    middle = data[: len(data) // 2] + b"\xff" * 2000 + data[len(data) // 2 + 2000 :]
    bad.write_bytes(
        {"cut": data[:-100], "no footer": data[:-8], "page": middle, "empty": b""}.get(damage, b"x")
    )
    summary = filtered(tmp_path / "in", tmp_path / "out")
    assert [file for file, _ in summary.unreadable] == [str(bad)]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.parquet")) == ["a.parquet", "c.parquet"]
    assert summary.counts.rows == 100_000
    assert len(recorded(summary.ledger)) == summary.counts.skipped.total()


LIMITED = """
import resource, sys
from heedful.bulk.filter import filter_urls, _parquet
_parquet.GROUP_BYTES = 8 * 2**20
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
filter_urls(sys.argv[1], sys.argv[2], registries=sys.argv[3], workers=1)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_memory_does_not_grow_with_the_file(artists, tmp_path):
    """One row group of 250 MB, of which 8 MB are held; the rest is for batches, buffers, libraries."""
    count = 400_000
    chosen = np.random.default_rng(1)
    with pq.ParquetWriter(
        tmp_path / "in.parquet", pa.schema([("url", "string"), ("data", "binary")])
    ) as file:
        urls = [f"https://a.example/{n}.jpg" for n in range(count)]
        data = pa.array([chosen.bytes(600)] * count, pa.binary())
        file.write_table(pa.table({"url": urls, "data": data}), row_group_size=count)
    assert pq.read_metadata(tmp_path / "in.parquet").row_group(0).num_rows == count
    arguments = [tmp_path / "in.parquet", tmp_path / "out.parquet", artists]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, arguments)], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) < 150
    assert pq.read_metadata(tmp_path / "out.parquet").num_rows == count
