"""Exports: what a registry holds, as a table; sorted by SURT keys in bounded memory."""

from __future__ import annotations

import csv
import sys
import tracemalloc

import pytest

from heedful.errors import ConfigurationError
from heedful.registry import Registry, Writer
from heedful.registry.entries import Entry, Kind
from heedful.registry.sources import Defaults, Terms, Urls, export, read, surt
from heedful.registry.sources import _export as exporting


def taken(path):
    found = []
    for item in read(str(path), defaults=Defaults(Terms("none"))):
        found += item.entries() if isinstance(item, Urls) else [item]
    return found


def urls(count, *, begin=0):
    return (
        Entry(Kind.URL, f"https://{n * 7919 % 5003}.example/Art/{n}.jpg?b={n % 3}&a=1", "x")
        for n in range(begin, begin + count)
    )


def order(entry):
    return entry.list, entry.kind.value, entry.text


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("by_surt", [False, True])
def test_a_registry_that_is_exported_and_built_again_is_the_same(tmp_path, suffix, by_surt):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    entries = [
        *urls(200),
        Entry(Kind.DOMAIN, "*.a.example", "sites", opt_in=True),
        Entry(Kind.PATTERN, "b.example/*.jpg$", "sites"),
        Entry(Kind.MD5, "AB" * 16, "files"),
    ]
    with Writer.build(tmp_path / "a.heed", source="test") as writer:
        for entry in entries:
            writer.add(entry)
    out = tmp_path / f"out.{suffix}"
    with Registry.open(tmp_path / "a.heed", now=0) as registry:
        assert export(registry.entries(), out, by_surt=by_surt) == len(entries)
    with Writer.build(tmp_path / "b.heed", source="test") as writer:
        for entry in taken(out):
            writer.add(entry)
    with Registry.open(tmp_path / "b.heed", now=0) as registry:
        assert sorted(registry.entries(), key=order) == sorted(entries, key=order)


def test_parquet_is_sorted_by_key(tmp_path, monkeypatch):
    pq = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(exporting, "RUN_MAX", 4_000)
    monkeypatch.setattr(exporting, "FAN", 2)
    monkeypatch.setattr(exporting, "_ROW_GROUP", 100)
    out = tmp_path / "out.parquet"
    export(urls(1000), out, by_surt=True)
    table = pq.read_table(out)
    assert table.column_names == ["surt", *exporting.COLUMNS]
    keys = table.column("surt").to_pylist()
    assert keys == sorted(keys, key=str.encode)
    assert keys == [surt(text) for text in table.column("entry").to_pylist()]
    assert pq.ParquetFile(out).num_row_groups == 10


def test_sorting_takes_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "RUN_MAX", 100_000)
    monkeypatch.setattr(exporting, "FAN", 8)

    def peak(count):
        tracemalloc.start()
        try:
            export(urls(count), tmp_path / "out.csv", by_surt=True)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)
    small = peak(4_000)
    assert peak(16_000) < 2 * small
    with (tmp_path / "out.csv").open(newline="") as file:
        assert sum(1 for _ in csv.reader(file)) == 16_001


UNICODE = {
    "text": Entry(Kind.URL, "https://a.example/\udcff", "x"),
    "list": Entry(Kind.HOST, "a.example", "\udcff"),
}


@pytest.mark.parametrize("entry", UNICODE.values(), ids=UNICODE)
def test_what_parquet_cannot_hold_is_told(tmp_path, entry):
    pytest.importorskip("pyarrow")
    with pytest.raises(ConfigurationError, match=r"export to \.csv"):
        export([entry], tmp_path / "out.parquet")
    assert list(tmp_path.iterdir()) == []
    export([entry], tmp_path / "out.csv")
    assert taken(tmp_path / "out.csv") == [entry]


def test_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'heedful\[bulk\]'"):
        export(urls(1), tmp_path / "out.parquet")
    assert list(tmp_path.iterdir()) == []
    assert export(urls(1), tmp_path / "out.csv") == 1


@pytest.mark.parametrize("by_surt", [False, True])
def test_a_registry_that_fails_meanwhile_leaves_the_old_file(tmp_path, by_surt):
    def entries():
        yield from urls(10)
        raise ConfigurationError("it is damaged")

    out = tmp_path / "out.csv"
    out.write_bytes(b"old")
    with pytest.raises(ConfigurationError, match="it is damaged"):
        export(entries(), out, by_surt=by_surt)
    assert out.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [out]
