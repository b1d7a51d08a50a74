"""Segments: what is filed under which key, and what is refused."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from datetime import date

import numpy as np
import pytest

from heedful.model import Purpose
from heedful.registry import _segment
from heedful.registry._errors import RegistryError
from heedful.registry._segment import NO_HITS, Segment, SegmentWriter, hash_key, hash_keys
from heedful.registry.entries import Entry, Kind, host_key, index, prefix_key, url_key


def write(folder, entries=(), withdrawals=(), *, memory=1 << 20):
    writer = SegmentWriter(folder, memory=memory)
    for entry in entries:
        writer.add(entry, index(entry.kind, entry.text))
    for entry in withdrawals:
        writer.add(entry, index(entry.kind, entry.text), withdrawal=True)
    return writer.finish()


def url(number, name="art"):
    return Entry(Kind.URL, f"https://host{number % 7}.example/{number}.jpg", name)


def found(segment, key):
    return [record.entry for record in segment.find(key).records]


MIXED = (
    Entry(Kind.URL, "https://a.example/1.jpg", "art"),
    Entry(Kind.URL, "nonsense", "art"),
    Entry(Kind.HOST, "a.example", "art"),
    Entry(Kind.DOMAIN, "a.example", "other", opt_in=True),
    Entry(Kind.PATH, "a.example/art/", "art"),
    Entry(Kind.PATTERN, "*.a.example/*.jpg$", "art", date=date(2024, 1, 1)),
    Entry(Kind.SHA256, "ab" * 32, "art"),
    Entry(Kind.MD5, "cd" * 16, "art", purpose=Purpose.TRAIN_GENERATIVE),
)


def test_each_kind_is_found_under_its_key(tmp_path):
    summary = write(tmp_path / "s", MIXED)
    assert (summary.entries, summary.withdrawals, summary.duplicates) == (8, 0, 0)
    assert summary.kinds == {kind: sum(entry.kind is kind for entry in MIXED) for kind in Kind}
    assert summary.lists == ("art", "other")
    segment = Segment(tmp_path / "s")
    assert (segment.entries, segment.withdrawals, segment.kinds, segment.lists) == (
        8, 0, summary.kinds, summary.lists,
    )  # fmt: skip
    for entry in MIXED:
        assert entry in found(segment, index(entry.kind, entry.text).key)
    assert found(segment, host_key("a.example")) == [MIXED[2], MIXED[3]]
    assert [record.entry for record in segment.records()] == list(MIXED)


def test_markers_say_which_paths_are_worth_looking_up(tmp_path):
    write(tmp_path / "s", [*MIXED, Entry(Kind.PATH, "a.example/art/", "again")])
    segment = Segment(tmp_path / "s")
    assert sorted(segment.find(host_key("a.example")).lengths) == [(1, True), (5, False)]
    assert segment.find(prefix_key("a.example", "/art/")).lengths == ()


ABSENT = [url_key("https://a.example/2.jpg"), host_key("b.example"), prefix_key("a.example", "/"), b"", b"u"]


@pytest.mark.parametrize("key", ABSENT)
@pytest.mark.parametrize("entries", [(), MIXED], ids=["empty", "mixed"])
def test_what_is_not_there(tmp_path, entries, key):
    write(tmp_path / "s", entries)
    assert Segment(tmp_path / "s").find(key) == NO_HITS


def test_withdrawals_are_told_apart(tmp_path):
    summary = write(tmp_path / "s", [url(1)], [url(1), url(2), url(2)])
    assert (summary.entries, summary.withdrawals, summary.duplicates) == (1, 2, 1)
    segment = Segment(tmp_path / "s")
    records = segment.find(url_key(url(1).text)).records
    assert [(record.entry, record.withdrawal) for record in records] == [(url(1), False), (url(1), True)]


@pytest.mark.parametrize(
    "mask", [_segment.HASH_MASK, 0xF000_0000_0000_0000, 0], ids=["all", "4 bits", "none"]
)
@pytest.mark.parametrize("memory", [1 << 30, 1], ids=["in memory", "in runs"])
def test_against_a_dict(tmp_path, monkeypatch, mask, memory):
    """Also if keys share a hash, and if all is sorted in runs; duplicates go, the rest stays in order."""
    monkeypatch.setattr(_segment, "HASH_MASK", mask)
    monkeypatch.setattr(_segment, "_BATCH", 64)
    monkeypatch.setattr(_segment, "_ROWS_MIN", 32)
    chosen = random.Random(3)
    count = 120 if mask == 0 else 3000
    entries = [url(chosen.randrange(count), chosen.choice("ab")) for _ in range(count)]
    entries += [Entry(Kind.HOST, f"host{number}.example", "a") for number in range(9)] * 2
    chosen.shuffle(entries)
    wanted: dict[bytes, list[Entry]] = {}
    for entry in dict.fromkeys(entries):
        wanted.setdefault(index(entry.kind, entry.text).key, []).append(entry)
    summary = write(tmp_path / "s", entries, memory=memory)
    unique = list(dict.fromkeys(entries))
    assert (summary.entries, summary.duplicates) == (len(unique), len(entries) - len(unique))
    assert summary.kinds[Kind.URL] == sum(entry.kind is Kind.URL for entry in unique)
    segment = Segment(tmp_path / "s")
    assert [record.entry for record in segment.records()] == unique
    for key, group in wanted.items():
        assert found(segment, key) == group
    absent = [url_key(f"https://none.example/{number}") for number in range(200)]
    keys = [*wanted, *absent]
    several = Counter[int]()
    batch: dict[int, list[Entry]] = {}
    for place, slot in zip(*(each.tolist() for each in segment.find_many(hash_keys(keys))), strict=True):
        several[place] += 1
        batch.setdefault(place, []).extend(record.entry for record in segment.at(slot, keys[place]).records)
    assert {keys[place]: group for place, group in batch.items() if group} == wanted
    assert sorted(file.name for file in (tmp_path / "s").iterdir()) == ["B", "E", "G", "H", "K", "R", "T"]


def test_urls_in_bulk_are_the_same(tmp_path):
    texts = [f"https://host{n % 5}.example/{n % 900}.jpg" for n in range(1000)] + ["a.example/x", "nonsense"]
    terms = {"opt_in": True, "date": date(2024, 1, 1), "purpose": Purpose.TRAIN_GENERATIVE, "expires": None}
    one = write(tmp_path / "one", [Entry(Kind.URL, text, "art", **terms) for text in texts])
    writer = SegmentWriter(tmp_path / "bulk")
    writer.add_urls(texts, list="art", **terms)
    assert writer.finish() == one
    for name in "BEGHKRT":
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "bulk" / name).read_bytes()


def test_an_impossible_url_in_bulk_adds_nothing(tmp_path):
    writer = SegmentWriter(tmp_path / "s")
    terms = {"opt_in": False, "date": None, "purpose": Purpose.TRAIN_ANY, "expires": None}
    with pytest.raises(ValueError, match="it is empty"):
        writer.add_urls(["https://a.example/1", " "], list="art", **terms)
    assert writer.finish().entries == 0


def test_long_texts_do_not_wait_for_many_others(tmp_path, monkeypatch):
    monkeypatch.setattr(_segment, "_BATCH_BYTES", 10_000)
    writer = SegmentWriter(tmp_path / "s")
    terms = {"opt_in": False, "date": None, "purpose": Purpose.TRAIN_ANY, "expires": None}
    writer.add_urls([f"https://a.example/{n}/{'x' * 9000}" for n in range(3)], list="art", **terms)
    assert writer._keys == []
    writer.add(Entry(Kind.URL, "https://a.example/" + "y" * 11_000), index(Kind.URL, "https://a.example/"))
    assert writer._keys == []
    writer.abort()


def test_abort_leaves_nothing(tmp_path):
    for finished in (False, True):
        writer = SegmentWriter(tmp_path / "s")
        writer.add(url(1), index(Kind.URL, url(1).text))
        if finished:
            writer.finish()
        writer.abort()
        assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_not_written_into(tmp_path):
    with pytest.raises(FileExistsError):
        SegmentWriter(tmp_path)


def test_closed(tmp_path):
    write(tmp_path / "s", MIXED)
    segment = Segment(tmp_path / "s")
    segment.close()
    for call in (
        lambda: segment.find(b"u"),
        lambda: segment.find_many(np.zeros(1, np.uint64)),
        lambda: segment.at(0, b"u"),
        lambda: list(segment.records()),
    ):
        with pytest.raises(RegistryError, match="is closed"):
            call()


def test_too_many_keys(tmp_path, monkeypatch):
    monkeypatch.setattr("heedful.registry._index.SLOTS_MAX", 2)
    writer = SegmentWriter(tmp_path / "s")
    for number in range(3):
        writer.add(url(number), index(Kind.URL, url(number).text))
    with pytest.raises(RegistryError, match="at most 2 keys"):
        writer.finish()
    writer.abort()
    assert not (tmp_path / "s").exists()


# -- damage ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "s"
    entries = [*MIXED, *map(url, range(60)), Entry(Kind.HOST, "a.example", "third")]
    write(folder, [*entries, *entries[:5]], [url(3)])
    return folder


@pytest.fixture
def copy(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "s")
    return tmp_path / "s"


def everything(segment):
    keys = [
        host_key("a.example"),
        url_key("https://a.example/none"),
        *(url_key(url(n).text) for n in range(70)),
    ]
    one_by_one = [segment.find(key) for key in keys]
    batch = [
        segment.at(slot, keys[place])
        for place, slot in zip(*(each.tolist() for each in segment.find_many(hash_keys(keys))), strict=True)
    ]
    return one_by_one, batch, list(segment.records())


def test_every_octet_of_the_header_counts(copy):
    header = (copy / "H").read_bytes()
    for at in range(len(header)):
        damaged = bytearray(header)
        damaged[at] ^= 0x01
        (copy / "H").write_bytes(damaged)
        with pytest.raises(RegistryError, match=str(copy)):
            Segment(copy)


@pytest.mark.parametrize("name", "BEGHKRT")
@pytest.mark.parametrize("change", [-1, +1, None], ids=["cut", "longer", "gone"])
def test_files_of_another_size(copy, name, change):
    content = (copy / name).read_bytes()
    if change is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content[:change] if change < 0 else content + b"\0")
    with pytest.raises(RegistryError, match=r"damaged|cannot be read"):
        Segment(copy)


@pytest.mark.parametrize("name", "BEGKRT")
def test_damage_below_the_checksums_gives_no_other_exception(whole, copy, name):
    """Readers that trust a stamp may meet damage: it may be found or not, but never crashes them."""
    content = (copy / name).read_bytes()
    chosen = random.Random(name)
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(chosen.choice((1, 1, 4))):
            damaged[chosen.randrange(len(damaged))] = chosen.randrange(256)
        (copy / name).write_bytes(damaged)
        try:
            everything(Segment(copy))
        except RegistryError as error:
            assert str(copy) in str(error)  # noqa: PT017 - it need not be raised


HEADERS = {
    "empty": b"",
    "no checksum": b"{}\n",
    "not JSON": b"nonsense\n",
    "no object": b"[]\n",
    "nothing in it": b"{}\n",
    "of the future": b'{"format": 3}\n',
    "nested": b"[" * 100_000 + b"\n",
}


@pytest.mark.parametrize("line", HEADERS.values(), ids=HEADERS)
def test_headers(copy, line):
    checksum = _segment.xxh3_64_hexdigest(line).encode() + b"\n" if line.endswith(b"\n") else b""
    (copy / "H").write_bytes(line + checksum)
    words = "reads formats 1 and 2" if b"3" in line else "damaged"
    with pytest.raises(RegistryError, match=words):
        Segment(copy)


def test_a_record_under_a_foreign_key_is_damage(copy):
    """What the index leads to must have the hash that led there."""
    items = bytearray((copy / "R").read_bytes())
    items[:8], items[8:16] = items[8:16], items[:8]
    (copy / "R").write_bytes(items)
    segment = Segment(copy)
    with pytest.raises(RegistryError, match="leads to a record that is not its own"):
        [segment.find(record.key) for record in segment.records()]


def test_no_such_folder(tmp_path):
    with pytest.raises(RegistryError, match="is no segment: H cannot be read"):
        Segment(tmp_path / "none")


def test_hashes_one_by_one_and_many():
    keys = [b"", b"u", b"x" * 300]
    assert hash_keys(keys).tolist() == [hash_key(key) for key in keys]
