"""The manifest: what is written is read, anything else is refused."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.registry import _manifest
from heedful.registry._errors import RegistryError
from heedful.registry._manifest import NAME, TEMPORARY, File, Manifest, Part, Seen, parse, read, write
from heedful.registry.entries import Kind

FILES = {"E": File(12, "ab" * 32), "H": File(0, "cd" * 32)}
FIRST = Part("seg-1-0a1b2c3d", 7, 0, {"host": 3, "url": 4}, ("a", "b"), FILES)
SECOND = Part("seg-4-00000000", 1, 2, {"url": 1}, ("b", "ü"), {})
MANIFEST = Manifest(4, 1_700_000_000, 1_800_000_000, "lists of 2024", (FIRST, SECOND))


def refused(data):
    try:
        parse(data)
    except ValueError:
        return True
    return False


texts = st.text(max_size=9)
counts = st.integers(0, 2**50)
files = st.dictionaries(
    st.sampled_from("BEGHKRT"), st.builds(File, counts, st.binary(min_size=32, max_size=32).map(bytes.hex))
)
parts = st.builds(
    Part,
    st.builds("seg-{}-{}".format, st.integers(0, 10**19), st.binary(min_size=4, max_size=4).map(bytes.hex)),
    counts,
    counts,
    st.dictionaries(st.sampled_from([kind.value for kind in Kind]), counts),
    st.lists(texts).map(tuple),
    files,
)
times = st.integers(0, 2**35)
manifests = st.builds(
    Manifest,
    counts,
    times,
    st.none() | times,
    texts,
    st.lists(parts, max_size=3).map(tuple),
    st.none() | st.just("ef" * 64),
)


@given(manifests)
def test_there_and_back(manifest):
    assert parse(manifest.render()) == manifest


def test_sums_over_segments():
    assert MANIFEST.entries == 8
    assert MANIFEST.lists == ("a", "b", "ü")
    assert MANIFEST.kinds == {Kind.URL: 5, Kind.HOST: 3}


def test_the_body_is_all_but_signature_and_checksum():
    signed = replace(MANIFEST, signature="ef" * 64)
    assert signed.body == MANIFEST.body
    assert signed.checksum != MANIFEST.checksum
    fields = json.loads(signed.render())
    assert json.loads(signed.body) == {
        name: value for name, value in fields.items() if name not in {"signature", "checksum"}
    }


def test_every_octet_counts():
    data = replace(MANIFEST, signature="ef" * 64).render()
    for at in range(len(data)):
        for change in (0x01, 0x20):
            damaged = bytearray(data)
            damaged[at] ^= change
            assert refused(bytes(damaged))


def test_cut_off_anywhere():
    data = MANIFEST.render()
    for length in range(len(data)):
        assert refused(data[:length])


@given(st.binary(max_size=50) | st.recursive(
    st.none() | st.integers() | texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner)
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_anything_else_is_refused(data):
    assert refused(data)


def changed(path, value):
    """A manifest with another value somewhere, and with the checksum that fits."""
    fields = json.loads(MANIFEST.render())
    place = fields
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    body = {name: each for name, each in fields.items() if name != "checksum"}
    compact = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    fields["checksum"] = hashlib.sha256(compact).hexdigest()
    return (json.dumps(fields, indent=1, sort_keys=True) + "\n").encode()


def test_the_fitting_checksum_fits():
    assert parse(changed(["source"], "another")).source == "another"


SEGMENT = ["segments", 0]
CHANGES = {
    "another form": (["format"], 3, "its form is 3, not 1 or 2"),
    "a form without its radii": (["format"], 2, "not in the form"),
    "a form that is no number": (["format"], True, "its checksum does not fit"),
    "a version below zero": (["version"], -1, "not in the form"),
    "a version in words": (["version"], "4", "not in the form"),
    "a version with a fraction": (["version"], 4.0, "not in the form"),
    "a truth as version": (["version"], True, "not in the form"),
    "no time": (["created"], None, "not in the form"),
    "no such time": (["created"], "2024-02-30T00:00:00+00:00", "day is out of range"),
    "a time in another form": (["created"], "2024-02-03", "its checksum does not fit"),
    "segments in words": (["segments"], "none", "not in the form"),
    "a segment elsewhere": ([*SEGMENT, "name"], "../seg-1-0a1b2c3d", "not in the form"),
    "a name with a line's end": ([*SEGMENT, "name"], "seg-1-0a1b2c3d\n", "not in the form"),
    "no such kind": ([*SEGMENT, "kinds"], {"word": 1}, "not a valid Kind"),
    "a list without name": ([*SEGMENT, "lists"], [None], "not in the form"),
    "a file elsewhere": ([*SEGMENT, "files"], {"../E": {"size": 1, "sha256": "ab" * 32}}, "not in the form"),
    "a short checksum": ([*SEGMENT, "files", "E", "sha256"], "ab", "not in the form"),
    "a signature in capitals": (["signature"], "AB" * 64, "not in the form"),
    "something more": (["more"], 1, "its checksum does not fit"),
}


@pytest.mark.parametrize(("path", "value", "words"), CHANGES.values(), ids=CHANGES)
def test_whole_but_wrong(path, value, words):
    with pytest.raises(ValueError, match=words):
        parse(changed(path, value))


def test_white_space_counts():
    data = MANIFEST.render()
    assert json.loads(data + b"\n") == json.loads(data)
    with pytest.raises(ValueError, match="its checksum does not fit"):
        parse(data + b"\n")


# -- on disk -----------------------------------------------------------------------------------------------


def test_written_and_read(tmp_path):
    write(tmp_path, MANIFEST)
    found, seen = read(tmp_path)
    assert found == MANIFEST
    assert seen == Seen.of((tmp_path / NAME).stat())
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_each_version_looks_different(tmp_path):
    """However quickly they follow each other, whatever the inode, and if the clock is set back."""
    looks = []
    for version in range(30):
        write(tmp_path, replace(MANIFEST, version=version % 10))
        looks.append(read(tmp_path)[1])
        if version == 20:
            late = looks[-1].mtime_ns + 10**15
            os.utime(tmp_path / NAME, ns=(late, late))
            looks.append(read(tmp_path)[1])
    assert len({look.mtime_ns for look in looks}) == 31
    assert [look.mtime_ns for look in looks] == sorted(look.mtime_ns for look in looks)


def test_a_leftover_is_overwritten(tmp_path):
    (tmp_path / TEMPORARY).write_bytes(b"x" * 99_999)
    write(tmp_path, MANIFEST)
    assert read(tmp_path)[0] == MANIFEST


def make_nothing(folder):
    pass


def make_a_file(folder):
    folder.rmdir()
    folder.write_bytes(b"")


def make_damage(folder):
    (folder / NAME).write_bytes(MANIFEST.render()[:-5])


def make_it_long(folder):
    (folder / NAME).write_bytes(b" " * 101)


def make_a_folder(folder):
    (folder / NAME).mkdir()


UNREADABLE = {
    "no folder": (lambda folder: folder.rmdir(), "is no registry: there is no such folder"),
    "no manifest": (make_nothing, "is no registry: it has no MANIFEST.json"),
    "a file": (make_a_file, "is no registry"),
    "damaged": (make_damage, "is damaged: MANIFEST.json cannot be relied upon: it is not JSON"),
    "too long": (make_it_long, "is damaged: MANIFEST.json is longer than 100 octets"),
    "a folder in its place": (make_a_folder, "cannot be read: Is a directory"),
}


@pytest.mark.parametrize(("make", "words"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable(tmp_path, monkeypatch, make, words):
    folder = tmp_path / "x.heed"
    folder.mkdir()
    make(folder)
    if "longer" in words:
        monkeypatch.setattr(_manifest, "MANIFEST_MAX", 100)
    with pytest.raises(RegistryError, match=words) as caught:
        read(folder)
    assert str(folder) in str(caught.value)
