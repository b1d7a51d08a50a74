"""Registries are made, updated and merged, wholly or not at all."""

from __future__ import annotations

import errno
import itertools
import os
import random
import shutil
import subprocess
import sys
from contextlib import contextmanager
from datetime import date

import pytest

from heedful.model import Purpose
from heedful.registry import _manifest, _segment, _verifying, _visible, _writer
from heedful.registry._errors import RegistryError
from heedful.registry._heap import HeapWriter
from heedful.registry._locking import LOCK, Lock
from heedful.registry._manifest import NAME
from heedful.registry._segment import Segment
from heedful.registry._signing import verify
from heedful.registry._verifying import STAMP, Verifier
from heedful.registry._writer import KEPT, SOURCE_MAX, Writer, merge
from heedful.registry.entries import Entry, Kind, host_key, index

NOW = 1_700_000_000.5
KEY, OTHER_KEY = bytes(range(32)), bytes(32)


def clock():
    return NOW


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The user's cache folder."""
    monkeypatch.setattr(_verifying, "user_cache_path", lambda name: tmp_path / "cache" / name)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "x.heed"


def url(number, name="art", **terms):
    return Entry(Kind.URL, f"https://host{number % 5}.example/{number}.jpg", name, **terms)


def build(folder, entries, **options):
    with Writer.build(folder, **{"source": "test", "now": clock, **options}) as writer:
        for entry in entries:
            writer.add(entry)
    return writer


def update(folder, entries=(), withdrawals=(), **options):
    with Writer.update(folder, **{"now": clock, **options}) as writer:
        for entry in withdrawals:
            writer.withdraw(entry)
        for entry in entries:
            writer.add(entry)
    return writer


def manifest_of(folder):
    return _manifest.read(folder)[0]


def records_of(folder):
    """The records of each segment, all checksums verified."""
    manifest = manifest_of(folder)
    Verifier(folder, stamping=False).check(manifest, anew=True)
    return [list(Segment(folder / part.name).records()) for part in manifest.parts]


def entries_of(folder):
    """All entries, of a registry without withdrawals."""
    records = [record for each in records_of(folder) for record in each]
    assert not any(record.withdrawal for record in records)
    return [record.entry for record in records]


def segments_in(folder):
    return sorted(path.name for path in folder.glob("seg-*"))


def look(folder):
    """Everything in a folder but what its manifest does not name."""
    if not folder.exists():
        return None
    named = {part.name for part in manifest_of(folder).parts} if (folder / NAME).exists() else set()
    paths = [folder / NAME, *(path for name in named for path in (folder / name).iterdir())]
    return {path.relative_to(folder): path.read_bytes() for path in paths if path.exists()}


def assert_clean(folder):
    """Nothing is left over."""
    manifest = manifest_of(folder)
    assert segments_in(folder) == sorted(part.name for part in manifest.parts)
    names = {path.name for path in folder.iterdir()} - set(segments_in(folder))
    assert names <= {NAME, LOCK, STAMP}


EACH = {"build": lambda folder: build(folder, [url(3)]), "update": update, "merge": merge}


# -- building ----------------------------------------------------------------------------------------------


def test_built(folder):
    entries = [url(1), url(2), Entry(Kind.DOMAIN, "a.example", "other"), url(1)]
    writer = build(folder, entries, valid_until=NOW + 100)
    assert writer.summary == (
        3,
        0,
        1,
        {**dict.fromkeys(Kind, 0), Kind.URL: 2, Kind.DOMAIN: 1},
        ("art", "other"),
    )
    assert writer.manifest == manifest_of(folder)
    manifest = writer.manifest
    assert (manifest.version, manifest.created, manifest.valid_until) == (1, 1_700_000_000, 1_700_000_100)
    assert (manifest.source, manifest.signature) == ("test", None)
    (part,) = manifest.parts
    assert part.name.startswith("seg-1-")
    assert (part.entries, part.withdrawals, part.kinds, part.lists) == (
        3, 0, {"url": 2, "domain": 1}, ("art", "other"),
    )  # fmt: skip
    assert sorted(part.files) == ["B", "E", "G", "H", "K", "R", "T"]
    assert entries_of(folder) == entries[:3]
    assert_clean(folder)


def test_each_field_of_an_entry(folder):
    day = date(2024, 5, 6)
    entries = [
        url(1, opt_in=True, date=day, purpose=Purpose.TRAIN_GENERATIVE, expires=day),
        Entry(Kind.PATTERN, "*.a.example/*.gif$", "art"),
        Entry(Kind.SHA256, "AB" * 32),
    ]
    build(folder, entries)
    assert entries_of(folder) == entries


def test_urls_in_bulk(folder, monkeypatch):
    monkeypatch.setattr(_writer, "URLS", 7)
    texts = [f"https://a.example/{number}" for number in range(100)]
    with Writer.build(folder, source="test") as writer:
        writer.add_urls(texts, list="a")
        writer.add_urls(tuple(texts), list="b", opt_in=True, date=date(2024, 1, 1))
        writer.add_urls([], list="c")
    assert entries_of(folder) == [
        *(Entry(Kind.URL, text, "a") for text in texts),
        *(Entry(Kind.URL, text, "b", opt_in=True, date=date(2024, 1, 1)) for text in texts),
    ]


def test_what_is_filed_already_is_not_filed_again(folder, monkeypatch):
    indexed = index(Kind.URL, url(1).text)
    monkeypatch.setattr(_writer, "index", None)
    with Writer.build(folder, source="test") as writer:
        writer.add(url(1), indexed)
    assert entries_of(folder) == [url(1)]


def test_an_empty_registry(folder):
    build(folder, [])
    assert entries_of(folder) == []
    update(folder, [url(1)])
    assert entries_of(folder) == [url(1)]


def test_replaced_in_one_step(folder):
    build(folder, [url(1)])
    (old,) = segments_in(folder)
    reader = Segment(folder / old)
    writer = build(folder, [url(2)])
    assert writer.manifest.version == 2
    assert entries_of(folder) == [url(2)]
    assert [record.entry for record in reader.records()] == [url(1)]
    # who has read the old manifest can still open what it names
    assert old in segments_in(folder)
    assert [record.entry for record in Segment(folder / old).records()] == [url(1)]


def test_what_was_replaced_long_ago_is_removed(folder):
    build(folder, [url(1)])
    build(folder, [url(2)])
    build(folder, [url(3)])
    assert len(segments_in(folder)) == 3
    status = (folder / NAME).stat()
    os.utime(folder / NAME, ns=(status.st_atime_ns, status.st_mtime_ns - int(KEPT * 1e9)))
    update(folder, [url(4)])
    assert_clean(folder)
    assert entries_of(folder) == [url(3), url(4)]


def test_a_new_registry_takes_nothing_back(folder):
    with (
        pytest.raises(ValueError, match="holds nothing to take back"),
        Writer.build(folder, source="") as writer,
    ):
        writer.withdraw(url(1))
    assert not folder.exists()


# -- what is not a registry ---------------------------------------------------------------------------------


def test_missing_folders_are_made(tmp_path):
    folder = tmp_path / "a" / "b" / "x.heed"
    build(folder, [url(1)])
    assert entries_of(folder) == [url(1)]


def test_a_folder_of_something_else_is_left_alone(folder):
    folder.mkdir()
    (folder / "thesis.tex").write_bytes(b"")
    with pytest.raises(RegistryError, match=r"is no registry, and not empty: it holds thesis\.tex"):
        build(folder, [url(1)])
    with pytest.raises(RegistryError, match="is no registry: it has no MANIFEST"):
        update(folder, [url(1)])
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_folder(folder):
    folder.write_bytes(b"")
    with pytest.raises(RegistryError, match="is no folder"):
        build(folder, [url(1)])


def test_an_empty_folder_becomes_one(folder):
    folder.mkdir()
    build(folder, [url(1)])
    assert entries_of(folder) == [url(1)]


@pytest.mark.parametrize("change", [update, merge], ids=["update", "merge"])
def test_there_is_nothing_to_change(folder, change):
    with pytest.raises(RegistryError, match="there is no such folder"):
        change(folder)
    assert not folder.exists()


@pytest.mark.parametrize("change", EACH.values(), ids=EACH)
def test_a_damaged_manifest_is_not_replaced(folder, change):
    build(folder, [url(1)])
    (folder / NAME).write_bytes((folder / NAME).read_bytes()[:-9])
    before = (folder / NAME).read_bytes()
    with pytest.raises(RegistryError, match="is damaged"):
        change(folder)
    assert (folder / NAME).read_bytes() == before
    assert len(segments_in(folder)) == 1


def test_an_update_of_what_is_incomplete(folder):
    build(folder, [url(1)])
    (folder / segments_in(folder)[0] / "E").unlink()
    with pytest.raises(RegistryError, match=r"is damaged: seg-.*/E cannot be read"):
        update(folder, [url(2)])
    assert manifest_of(folder).version == 1


def test_a_merge_of_damage(folder):
    build(folder, [url(1)])
    update(folder, [url(2)])
    path = folder / manifest_of(folder).parts[0].name / "E"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(RegistryError, match=r"is damaged: the checksum of seg-1-.*/E does not fit"):
        merge(folder)
    assert manifest_of(folder).version == 2
    assert len(segments_in(folder)) == 2


# -- updating -----------------------------------------------------------------------------------------------


def test_updated(folder):
    build(folder, [url(1)], source="first", valid_until=NOW + 50)
    writer = update(folder, [url(2)], [url(1), url(9)], source="second", now=lambda: NOW + 9)
    manifest = writer.manifest
    assert (manifest.version, manifest.created, manifest.valid_until, manifest.source) == (
        2, 1_700_000_009, 1_700_000_050, "first; second",
    )  # fmt: skip
    assert (writer.summary.entries, writer.summary.withdrawals) == (1, 2)
    assert [(part.entries, part.withdrawals) for part in manifest.parts] == [(1, 0), (1, 2)]
    first, second = records_of(folder)
    assert [(record.entry, record.withdrawal) for record in first] == [(url(1), False)]
    assert [(record.entry, record.withdrawal) for record in second] == [
        (url(1), True), (url(9), True), (url(2), False),
    ]  # fmt: skip
    assert_clean(folder)


def test_an_update_of_nothing_is_a_new_version(folder):
    build(folder, [url(1)])
    writer = update(folder, valid_until=NOW + 500)
    assert (writer.manifest.version, len(writer.manifest.parts)) == (2, 1)
    assert writer.manifest.valid_until == 1_700_000_500
    assert_clean(folder)


VALIDITY = {
    "none": (None, None, None),
    "kept": (NOW + 50, None, NOW + 50),
    "anew": (NOW + 50, NOW + 10, NOW + 10),
    "from now on": (None, NOW + 10, NOW + 10),
}


@pytest.mark.parametrize(("first", "second", "wanted"), VALIDITY.values(), ids=VALIDITY)
def test_validity(folder, first, second, wanted):
    build(folder, [], valid_until=first)
    manifest = update(folder, valid_until=second).manifest
    assert manifest.valid_until == (None if wanted is None else int(wanted))


BAD_TIMES = {
    "past": (NOW - 1, "that is past"),
    "now": (NOW, "that is past"),
    "not a number": (float("nan"), "it is no time"),
    "never": (float("inf"), "it is no time"),
    "too late": (1e18, "it is no time"),
}


@pytest.mark.parametrize("change", [build, update], ids=["build", "update"])
@pytest.mark.parametrize(("valid_until", "words"), BAD_TIMES.values(), ids=BAD_TIMES)
def test_bad_validity(folder, change, valid_until, words):
    build(folder, [])
    with pytest.raises(RegistryError, match=f"cannot be valid until .*: {words}"):
        change(folder, [], valid_until=valid_until)
    assert manifest_of(folder).version == 1


SOURCES = {
    "one": (["a"], "a"),
    "none given": (["a", None, ""], "a"),
    "several": (["a", "b", "c"], "a; b; c"),
    "again": (["a", "b", "a", "b; c"], "a; b; c"),
    "many": (
        ["a", *(f"{n:0500}" for n in range(9))],
        "; ".join(["a", "...", *(f"{n:0500}" for n in (6, 7, 8))]),
    ),
    "long": (["x" * 3000], "x" * 1997 + "..."),
    "long, later": (["a", "x" * 3000], ("a; " + "x" * 3000)[:1997] + "..."),
}


@pytest.mark.parametrize(("given_", "wanted"), SOURCES.values(), ids=SOURCES)
def test_sources(folder, given_, wanted):
    build(folder, [], source=given_[0])
    for source in given_[1:]:
        update(folder, [url(1)], source=source)
    assert manifest_of(folder).source == wanted
    assert len(wanted) <= SOURCE_MAX


def test_too_many_segments(folder, monkeypatch):
    build(folder, [url(1)])
    before = look(folder)
    monkeypatch.setattr(_manifest, "MANIFEST_MAX", len((folder / NAME).read_bytes()) + 50)
    with pytest.raises(RegistryError, match="too many segments, or names of lists: merge it first"):
        update(folder, [url(2)])
    assert look(folder) == before
    assert_clean(folder)


# -- merging ------------------------------------------------------------------------------------------------


def pattern(text, name="art"):
    return Entry(Kind.PATTERN, text, name)


# what is there, what is taken back, and what of it is gone
WITHDRAWALS = {
    "the same": ([url(1), url(2)], [url(1)], [url(1)]),
    "another spelling": ([url(1)], [Entry(Kind.URL, "HTTP://HOST1.example:80/%31.jpg#x", "art")], [url(1)]),
    "another list": ([url(1, "a"), url(1, "b")], [url(1, "a")], [url(1, "a")]),
    "whatever its terms": (
        [url(1, opt_in=True), url(1, date=date(2024, 1, 1)), url(1)],
        [url(1, expires=date(2030, 1, 1))],
        [url(1, opt_in=True), url(1, date=date(2024, 1, 1)), url(1)],
    ),
    "another kind under the same key": (
        [Entry(Kind.HOST, "a.example", "art"), Entry(Kind.DOMAIN, "a.example", "art")],
        [Entry(Kind.HOST, "https://A.example/", "art")],
        [Entry(Kind.HOST, "a.example", "art")],
    ),
    "a path, not a longer one": (
        [Entry(Kind.PATH, "a.example/art/", "art"), Entry(Kind.PATH, "a.example/art/x", "art")],
        [Entry(Kind.PATH, "a.example/art/", "art")],
        [Entry(Kind.PATH, "a.example/art/", "art")],
    ),
    "a path of a host, not of its domain": (
        [Entry(Kind.PATH, "a.example/art/", "art"), Entry(Kind.PATH, "*.a.example/art/", "art")],
        [Entry(Kind.PATH, "*.a.example/art/", "art")],
        [Entry(Kind.PATH, "*.a.example/art/", "art")],
    ),
    "a pattern, not another one with its literal start": (
        [pattern("a.example/*.jpg"), pattern("a.example/*.jpg$"), pattern("a.example/*.gif")],
        [pattern("https://A.example/*.%6apg")],
        [pattern("a.example/*.jpg")],
    ),
    "a pattern, not a path": (
        [pattern("a.example/art/"), Entry(Kind.PATH, "a.example/art/", "art")],
        [pattern("a.example/art/")],
        [pattern("a.example/art/")],
    ),
    "a digest in capitals": (
        [Entry(Kind.SHA256, "ab" * 32, "art"), Entry(Kind.MD5, "ab" * 16, "art")],
        [Entry(Kind.SHA256, "AB" * 32, "art")],
        [Entry(Kind.SHA256, "ab" * 32, "art")],
    ),
    "what is not there": ([url(1)], [url(2)], []),
}


@pytest.mark.parametrize(("there", "withdrawn", "gone"), WITHDRAWALS.values(), ids=WITHDRAWALS)
def test_withdrawals(folder, there, withdrawn, gone):
    build(folder, there)
    update(folder, [], withdrawn)
    manifest = merge(folder, now=clock)
    left = [entry for entry in there if entry not in gone]
    assert entries_of(folder) == left
    assert (manifest.version, manifest.entries, len(manifest.parts)) == (3, len(left), 1)
    assert manifest.parts[0].withdrawals == 0


def test_only_older_segments_are_meant(folder):
    build(folder, [url(1)])
    with Writer.update(folder) as writer:
        writer.add(url(1, date=date(2024, 1, 1)))
        writer.withdraw(url(1))
        writer.add(url(1, opt_in=True))
    update(folder, [url(1, expires=date(2030, 1, 1))])
    merge(folder)
    assert entries_of(folder) == [
        url(1, date=date(2024, 1, 1)), url(1, opt_in=True), url(1, expires=date(2030, 1, 1)),
    ]  # fmt: skip


def test_duplicates_go_and_the_first_stays(folder):
    build(folder, [url(1), url(2)])
    update(folder, [url(2), url(3), url(1)])
    assert manifest_of(folder).entries == 5
    assert merge(folder).entries == 3
    assert entries_of(folder) == [url(1), url(2), url(3)]


def test_merged_keeps_what_the_manifest_says(folder):
    build(folder, [url(1)], source="first", valid_until=NOW + 50)
    update(folder, [url(2)], source="second")
    manifest = merge(folder, now=lambda: NOW + 7)
    assert (manifest.version, manifest.created, manifest.valid_until, manifest.source) == (
        3, 1_700_000_007, 1_700_000_050, "first; second",
    )  # fmt: skip
    assert Verifier(folder).pending(manifest.parts) == 0


def test_one_segment_needs_no_merge(folder):
    build(folder, [url(1)])
    before = look(folder)
    assert merge(folder) == manifest_of(folder)
    assert look(folder) == before
    assert_clean(folder)


def test_progress(folder, monkeypatch):
    monkeypatch.setattr(_visible, "_BATCH", 3)
    build(folder, map(url, range(7)))
    update(folder, map(url, range(7, 9)), [url(1)])
    told = []
    merge(folder, progress=lambda *done: told.append(done))
    assert told == [(3, 9), (6, 9), (7, 9), (9, 9)]


def test_progress_that_fails_leaves_all_as_it_was(folder):
    build(folder, [url(1)])
    update(folder, [url(2)])
    before = look(folder)

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge(folder, progress=stop)
    assert look(folder) == before
    assert_clean(folder)


def random_entry(chosen, number):
    host = f"h{chosen.randrange(4)}.example"
    kind = chosen.choice([Kind.URL, Kind.URL, *Kind])
    text = {
        Kind.URL: f"{host}/{chosen.randrange(6)}.jpg",
        Kind.HOST: host,
        Kind.DOMAIN: host,
        Kind.PATH: f"{chosen.choice(['', '*.'])}{host}/{'a/' * chosen.randrange(3)}",
        Kind.PATTERN: f"{host}/{chosen.choice(['*', '*.jpg$', 'a/*b', 'a/*c'])}",
        Kind.SHA256: f"{chosen.randrange(5):064x}",
        Kind.MD5: f"{chosen.randrange(5):032x}",
        Kind.PHASH: f"{0xFFFF_FFFF << chosen.randrange(5):016x}",
    }[kind]
    day = date.fromordinal(1 + number)  # by which no two are the same
    return Entry(kind, text, chosen.choice("ab"), opt_in=chosen.random() < 0.3, date=day)


@pytest.mark.parametrize("mask", [_segment.HASH_MASK, 3 << 62], ids=["all bits", "2 bits"])
def test_merging_is_building_from_what_is_left(folder, tmp_path, monkeypatch, mask):
    """Octet by octet, whatever was added and taken back before, also where keys share their hashes."""
    monkeypatch.setattr(_segment, "HASH_MASK", mask)
    monkeypatch.setattr(_visible, "_BATCH", 16)
    chosen = random.Random(mask)
    numbers = itertools.count()
    left = [random_entry(chosen, next(numbers)) for _ in range(60)]
    build(folder, left)
    for _ in range(5):
        gone = [random_entry(chosen, next(numbers)) for _ in range(chosen.randrange(20))]
        more = [random_entry(chosen, next(numbers)) for _ in range(chosen.randrange(30))]
        update(folder, more, gone)
        # texts are written in one way only, so that they say what an entry is
        names = {(entry.list, entry.kind, entry.text) for entry in gone}
        left = [entry for entry in left if (entry.list, entry.kind, entry.text) not in names] + more
        if chosen.random() < 0.3:
            merge(folder)
    merge(folder)
    build(tmp_path / "y.heed", left)
    assert entries_of(folder) == left
    merged, built = (path / manifest_of(path).parts[0].name for path in (folder, tmp_path / "y.heed"))
    for name in "BEGHKRT":
        assert (merged / name).read_bytes() == (built / name).read_bytes()


def test_merged_paths_are_still_looked_for(folder):
    build(folder, [Entry(Kind.PATH, "[2001:db8::1]:8080/a/b", "art"), pattern("*.a.example/x*y")])
    update(folder, [pattern("a.example/*")])
    merge(folder)
    segment = Segment(folder / manifest_of(folder).parts[0].name)
    assert segment.find(host_key("[2001:db8::1]:8080")).lengths == ((4, False),)
    assert sorted(segment.find(host_key("a.example")).lengths) == [(1, False), (2, True)]


# -- signing ------------------------------------------------------------------------------------------------


@pytest.fixture
def public():
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    return ed25519.Ed25519PrivateKey.from_private_bytes(KEY).public_key().public_bytes_raw()


def test_each_version_is_signed(folder, public):
    build(folder, [url(1)], key=KEY)
    versions = [manifest_of(folder), update(folder, [url(2)], key=KEY).manifest, merge(folder, key=KEY)]
    assert [manifest.version for manifest in versions] == [1, 2, 3]
    assert all(verify(manifest.body, manifest.signature, public) for manifest in versions)


def test_what_was_signed_is_stamped_where_others_cannot_write(folder, public):
    manifest = build(folder, [url(1)], key=KEY).manifest
    assert not (folder / STAMP).exists()
    assert Verifier(folder, private=True).pending(manifest.parts) == 0


UNSIGNED = {
    "build without": (lambda folder: build(folder, [url(2)]), KEY, "is signed: give the private key"),
    "update without": (lambda folder: update(folder, [url(2)]), KEY, "is signed: give the private key"),
    "merge without": (merge, KEY, "is signed: give the private key"),
    "update with another": (
        lambda folder: update(folder, key=OTHER_KEY),
        KEY,
        "is not signed by the key given",
    ),
    "merge with another": (
        lambda folder: merge(folder, key=OTHER_KEY),
        KEY,
        "is not signed by the key given",
    ),
    "update of what is not": (
        lambda folder: update(folder, key=KEY),
        None,
        "is not signed, and what it holds",
    ),
    "merge of what is not": (lambda folder: merge(folder, key=KEY), None, "is not signed, and what it holds"),
    "no key": (lambda folder: update(folder, key=b"x"), None, "no private key"),
}


@pytest.mark.parametrize(("change", "key", "words"), UNSIGNED.values(), ids=UNSIGNED)
def test_wrongly_signed(folder, public, change, key, words):
    build(folder, [url(1)], key=key)
    before = look(folder)
    with pytest.raises(RegistryError, match=words):
        change(folder)
    assert look(folder) == before
    assert_clean(folder)


def test_a_forged_manifest_is_not_signed_anew(folder, public):
    build(folder, [url(1)], key=KEY)
    build(folder.with_name("y.heed"), [url(2)], key=OTHER_KEY)
    shutil.rmtree(folder)
    folder.with_name("y.heed").rename(folder)
    with pytest.raises(RegistryError, match="is not signed by the key given"):
        update(folder, [url(3)], key=KEY)


def test_a_new_registry_may_have_another_key(folder, public):
    build(folder, [url(1)], key=OTHER_KEY)
    assert verify((manifest := build(folder, [url(2)], key=KEY).manifest).body, manifest.signature, public)
    assert manifest.version == 2


def test_a_key_that_cannot_be_used_is_told_before_the_work(folder):
    with pytest.raises(RegistryError, match="no private key"), Writer.build(folder, source="", key=b"x"):
        pytest.fail("too late")
    assert not folder.exists()


# -- errors -------------------------------------------------------------------------------------------------


class StopError(Exception):
    pass


CHANGES = {
    "first build": (False, lambda folder: Writer.build(folder, source="new")),
    "build": (True, lambda folder: Writer.build(folder, source="new")),
    "update": (True, Writer.update),
}


@pytest.mark.parametrize(("exists", "change"), CHANGES.values(), ids=CHANGES)
def test_an_error_in_the_block(folder, monkeypatch, exists, change):
    monkeypatch.setattr(_segment, "_BATCH", 4)
    if exists:
        build(folder, [url(1)])
    before = look(folder)

    def write():
        with change(folder) as writer:
            for number in range(50):
                writer.add(url(number))
            raise StopError

    with pytest.raises(StopError):
        write()
    assert look(folder) == before
    if exists:
        assert_clean(folder)
    update(folder, [url(2)]) if exists else build(folder, [url(2)])


def test_an_error_in_the_block_of_a_folder_that_was_there(folder):
    folder.mkdir()
    with pytest.raises(StopError), Writer.build(folder, source=""):
        raise StopError
    assert list(folder.iterdir()) == []


def test_an_entry_that_is_none_spoils_nothing(folder):
    with Writer.build(folder, source="test") as writer:
        writer.add(url(1))
        with pytest.raises(ValueError, match="it is empty"):
            writer.add(Entry(Kind.URL, " "))
        with pytest.raises(ValueError, match="hexadecimal"):
            writer.add(Entry(Kind.MD5, "abc"))
        writer.add(url(2))
    assert entries_of(folder) == [url(1), url(2)]


def test_outside_of_its_block(folder):
    writer = Writer.build(folder, source="test")
    for call in (lambda: writer.add(url(1)), lambda: writer.add_urls(["x"], list=""), lambda: writer.summary):
        with pytest.raises(ValueError, match=r"within its block|nothing was written yet"):
            call()
    assert not folder.exists()
    with writer:
        writer.add(url(1))
        with pytest.raises(ValueError, match="nothing was written yet"):
            assert writer.manifest
    with pytest.raises(ValueError, match="within its block"):
        writer.add(url(1))
    with pytest.raises(ValueError, match="for one change"), writer:
        pass


# -- full disks ---------------------------------------------------------------------------------------------


@contextmanager
def failing(monkeypatch, number):
    """Each operation that a disk may refuse is counted; that of this number fails."""
    numbers = itertools.count()

    def refusing(call):
        def wrapped(*args, **kwargs):
            if next(numbers) == number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*args, **kwargs)

        return wrapped

    with monkeypatch.context() as patch:
        for owner, name in ((os, "fsync"), (os, "replace"), (os, "mkdir"), (HeapWriter, "_write")):
            patch.setattr(owner, name, refusing(getattr(owner, name)))
        yield numbers


def change_all(folder, exists):
    if exists:
        update(folder, [url(number) for number in range(60)], [url(1)])
        merge(folder)
    else:
        build(folder, [url(number) for number in range(60)])


@pytest.mark.parametrize("exists", [False, True], ids=["build", "update and merge"])
def test_whatever_cannot_be_written(folder, tmp_path, monkeypatch, exists):
    monkeypatch.setattr(_segment, "_BATCH", 16)
    states = [None]
    if exists:
        build(tmp_path / "base", [url(1)])
        build(tmp_path / "last", [url(1)])
        update(tmp_path / "last", [url(number) for number in range(60)], [url(1)])
        states = [entries_of(tmp_path / "base"), [[*each] for each in records_of(tmp_path / "last")]]
    for number in itertools.count():
        shutil.rmtree(folder, ignore_errors=True)
        if exists:
            shutil.copytree(tmp_path / "base", folder)
        with failing(monkeypatch, number) as numbers:
            try:
                change_all(folder, exists)
            except RegistryError as error:
                assert f"{folder} could not be changed: No space left on device." in str(error)  # noqa: PT017
        if next(numbers) <= number:
            break  # there was no such operation
        if not (folder / NAME).exists():
            assert not exists
            assert not folder.exists()
            continue
        version = manifest_of(folder).version
        found = records_of(folder)
        if not exists:
            assert version == 1  # it was the stamp that could not be written, or all was done
        elif version == 1:
            assert [record.entry for each in found for record in each] == states[0]
        elif version == 2:
            assert found == states[1]
        with Writer.update(folder):
            pass
        named = {part.name for part in manifest_of(folder).parts}
        assert all(int(name.split("-")[1]) <= version for name in segments_in(folder) if name not in named)
    assert number > 15


@pytest.mark.skipif(os.name == "nt", reason="no such limits")
def test_a_file_that_may_not_grow(folder, monkeypatch):
    import resource

    monkeypatch.setattr(_segment, "_BATCH", 64)
    build(folder, [url(1)])
    before = look(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (100, 5000, 20_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(RegistryError, match="could not be changed: File too large"):
                update(folder, [url(number) for number in range(6000)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert look(folder) == before
        assert_clean(folder)


@pytest.mark.parametrize("call", ["add", "add_urls", "withdraw"])
def test_a_fault_that_is_passed_over_still_prevents_the_commit(folder, monkeypatch, call):
    build(folder, [url(1)])
    before = look(folder)
    monkeypatch.setattr(_segment, "_BATCH", 1)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write():
        with Writer.update(folder) as writer:
            with monkeypatch.context() as patch:
                patch.setattr(_segment.HeapWriter, "add", full)
                with pytest.raises(RegistryError, match="No space left"):
                    writer.add_urls(["x"], list="") if call == "add_urls" else getattr(writer, call)(url(2))
            writer.add(url(3))

    with pytest.raises(RegistryError, match="No space left"):
        write()
    assert look(folder) == before
    assert_clean(folder)


def test_a_folder_that_cannot_be_written(folder, monkeypatch):
    build(folder, [url(1)])

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("heedful.registry._locking.os.open", refuse)
    with pytest.raises(RegistryError, match="cannot be changed: Permission denied"):
        update(folder, [url(2)])


# -- one writer at a time -----------------------------------------------------------------------------------


@pytest.mark.parametrize("change", EACH.values(), ids=EACH)
def test_a_second_writer_fails_at_once(folder, change):
    build(folder, [url(1)])
    update(folder, [url(2)])
    with Writer.update(folder) as writer:
        with pytest.raises(RegistryError, match="cannot be changed: another process is changing it"):
            change(folder)
        writer.add(url(4))
    assert manifest_of(folder).version == 3
    change(folder)
    assert manifest_of(folder).version == 4


def test_during_the_first_build(folder):
    with Writer.build(folder, source="test") as writer:
        writer.add(url(1))
        with pytest.raises(RegistryError, match="another process is changing it"):
            build(folder, [url(2)])
    assert entries_of(folder) == [url(1)]


def test_a_lock_that_was_removed_is_none(folder, monkeypatch):
    """Its holder removes the file between another's opening it and locking it."""
    folder.mkdir()
    first = Lock(folder)
    taken = Lock._take
    tries = []

    def take(lock):
        tries.append(lock)
        if len(tries) == 1:
            handle = os.open(folder / LOCK, os.O_RDWR)
            first.release(remove=True)
            return handle
        return taken(lock)

    monkeypatch.setattr(Lock, "_take", take)
    second = Lock(folder)
    assert len(tries) == 2
    monkeypatch.undo()
    with pytest.raises(RegistryError, match="another process"):
        Lock(folder)
    second.release()
    Lock(folder).release(remove=True)
    assert not (folder / LOCK).exists()


def test_no_locks_at_all(folder, monkeypatch):
    def lock(_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("heedful.registry._locking._lock", lock)
    with pytest.raises(RegistryError, match="cannot be changed: no lock: No locks available"):
        build(folder, [url(1)])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_does_not_keep_the_lock(folder):
    code = (
        "import os, sys\n"
        "from heedful.registry._writer import Writer\n"
        "with Writer.build(sys.argv[1], source='') as writer:\n"
        "    if (child := os.fork()) == 0:\n"
        "        sys.stdin.read()\n"
        "        os._exit(0)\n"
        "with Writer.update(sys.argv[1]): pass\n"
        "print('done', flush=True)\n"
        "os.waitpid(child, 0)"
    )
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=True)
    assert done.stdout == "done\n"


# -- leftovers ----------------------------------------------------------------------------------------------


def leave(folder, version):
    """What killed writers and stampers leave."""
    for name in (f"seg-{version + 1}-00000000", f"seg-{version + 2}-ffffffff"):
        (folder / name).mkdir()
        (folder / name / "rows.tmp").write_bytes(b"x")
    for name in (_manifest.TEMPORARY, f"{STAMP}.0a0a0a0a.tmp"):
        (folder / name).write_bytes(b"x")


def test_leftovers_are_removed(folder):
    build(folder, [url(1)])
    leave(folder, 1)
    (folder / "seg-notes").mkdir()  # which is not ours
    update(folder, [url(2)])
    (folder / "seg-notes").rmdir()
    assert_clean(folder)
    assert entries_of(folder) == [url(1), url(2)]


def test_leftovers_of_a_first_build(folder):
    folder.mkdir()
    leave(folder, 0)
    build(folder, [url(1)])
    assert_clean(folder)
    assert manifest_of(folder).version == 1


# -- memory -------------------------------------------------------------------------------------------------

MEASURED = """
import sys
from heedful.registry._segment import MEMORY
from heedful.registry._writer import Writer, merge
from heedful.registry.entries import Entry, Kind

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

def write(writer, first):
    for begin in range(first, first + 150_000, 10_000):
        numbers = range(begin, begin + 10_000)
        writer.add_urls([f"https://host{n % 997}.example/{n * 7919 % 1000003}" for n in numbers], list="a")

memory = int(sys.argv[2])
with Writer.build(sys.argv[1], source="", memory=memory) as writer:  # has all that is loaded and kept, loaded
    writer.add_urls([f"https://host{n % 997}.example/{n}" for n in range(40_000)], list="a")
before = peak()
with Writer.build(sys.argv[1], source="", memory=memory) as writer:
    write(writer, 0)
with Writer.update(sys.argv[1], memory=memory) as writer:
    write(writer, 100_000)
merge(sys.argv[1], memory=memory)
print(peak() - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="cannot be measured")  # noqa: PTH110
def test_memory_is_bounded(folder):
    command = [sys.executable, "-c", MEASURED, str(folder), str(2 << 20)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert float(done.stdout) < 24  # MB; 300,000 entries would take 40 at once


def test_a_fault_of_what_is_read_in_the_block_keeps_its_name(folder):
    build(folder, [url(1)])
    with pytest.raises(FileNotFoundError), Writer.update(folder) as writer:
        writer.add_urls((folder / "none.txt").read_text().split(), list="art")
    assert_clean(folder)
    assert manifest_of(folder).version == 1
