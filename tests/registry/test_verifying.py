"""Checksums, and when they need not be taken again."""

from __future__ import annotations

import json
import os
import random
import time
from dataclasses import replace

import pytest

from heedful.registry import _manifest, _verifying
from heedful.registry._errors import RegistryError
from heedful.registry._manifest import NAME, Seen
from heedful.registry._verifying import STAMP, YOUNG, Sealed, Verifier, seal
from heedful.registry._writer import Writer
from heedful.registry.entries import Entry, Kind


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The user's cache folder."""
    monkeypatch.setattr(_verifying, "user_cache_path", lambda name: tmp_path / "cache" / name)
    return tmp_path / "cache" / "heedful" / "registries"


@pytest.fixture
def folder(tmp_path):
    """A registry of two segments."""
    folder = tmp_path / "x.heed"
    with Writer.build(folder, source="test") as writer:
        writer.add_urls([f"https://a.example/{number}.jpg" for number in range(300)], list="art")
        writer.add(Entry(Kind.PATH, "b.example/art/", "art"))
    with Writer.update(folder) as writer:
        writer.withdraw(Entry(Kind.PATH, "b.example/art/", "art"))
        writer.add(Entry(Kind.DOMAIN, "c.example", "art"))
    return folder


@pytest.fixture
def reads(monkeypatch):
    """The names of files that are read whole."""
    names = []
    taken = _verifying._sha256

    def sha256(path):
        names.append(path.name)
        return taken(path)

    monkeypatch.setattr(_verifying, "_sha256", sha256)
    return names


def manifest_of(folder):
    return _manifest.read(folder)[0]


def files_of(folder):
    return sorted(path for path in folder.glob("seg-*/*"))


def size_of(folder):
    return sum(path.stat().st_size for path in files_of(folder))


def unstamped(folder):
    (folder / STAMP).unlink(missing_ok=True)
    return Verifier(folder, stamping=False)


def age(folder, seconds=60):
    for path in files_of(folder):
        long_ago = path.stat().st_mtime_ns - int(seconds * 1e9)
        os.utime(path, ns=(long_ago, long_ago))


# -- damage ------------------------------------------------------------------------------------------------


def test_any_octet_of_any_file(folder):
    manifest, verifier = manifest_of(folder), unstamped(folder)
    verifier.check(manifest)
    chosen = random.Random(5)
    for path in files_of(folder):
        content = path.read_bytes()
        places = range(len(content))
        for at in places if path.name == "H" else chosen.sample(places, min(len(places), 200)):
            damaged = bytearray(content)
            damaged[at] ^= 1 << chosen.randrange(8)
            path.write_bytes(damaged)
            with pytest.raises(
                RegistryError, match=f"the checksum of {path.parent.name}/{path.name} does not fit"
            ):
                verifier.check(manifest)
        path.write_bytes(content)
    verifier.check(manifest)


def test_any_octet_of_the_manifest(folder):
    data = (folder / NAME).read_bytes()
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0x02
        (folder / NAME).write_bytes(damaged)
        with pytest.raises(RegistryError, match=r"is damaged: MANIFEST\.json cannot be relied upon"):
            manifest_of(folder)


def test_files_of_another_size(folder):
    manifest, verifier = manifest_of(folder), unstamped(folder)
    for path in files_of(folder):
        content = path.read_bytes()
        for other in (content[:-1], content + b"\0", None):
            if other == content:
                continue
            path.unlink()
            if other is not None:
                path.write_bytes(other)
            words = (
                "cannot be read" if other is None else f"has {len(other)} octets instead of {len(content)}"
            )
            for call in (verifier.check, lambda manifest: verifier.pending(manifest.parts)):
                with pytest.raises(RegistryError, match=f"{path.parent.name}/{path.name} {words}"):
                    call(manifest)
            path.write_bytes(content)
    verifier.check(manifest)


def test_only_some_segments(folder):
    manifest, verifier = manifest_of(folder), unstamped(folder)
    first, second = manifest.parts
    (folder / second.name / "E").write_bytes(b"")
    verifier.check(manifest, [first])
    assert verifier.pending([first]) == sum(file.size for file in first.files.values())
    with pytest.raises(RegistryError, match="octets instead of"):
        verifier.check(manifest)


# -- stamps ------------------------------------------------------------------------------------------------


def test_what_was_just_written_is_not_read_again(folder, reads):
    manifest = manifest_of(folder)
    assert Verifier(folder).pending(manifest.parts) == 0
    Verifier(folder).check(manifest)
    assert reads == []
    Verifier(folder).check(manifest, anew=True)
    assert len(reads) == len(files_of(folder))


def test_what_is_changed_in_the_tick_of_its_making_is_read_again(folder, reads):
    """In place, by as many octets, at once: its time is the present one, not the one that was sealed."""
    path = files_of(folder)[1]
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"\xff")
    assert path.stat().st_mtime_ns - before.st_mtime_ns >= YOUNG * 1e9
    with pytest.raises(RegistryError, match="does not fit"):
        Verifier(folder).check(manifest_of(folder))
    assert reads == [path.name]


@pytest.mark.skipif(os.name == "nt", reason="its ctime is that of making")
def test_a_time_that_was_set_back_is_noticed(folder):
    path = files_of(folder)[1]
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(RegistryError, match="does not fit"):
        Verifier(folder).check(manifest_of(folder))


def test_a_copy_is_read(folder, reads):
    path = files_of(folder)[0]
    content = path.read_bytes()
    path.rename(path.with_name("x"))
    path.write_bytes(content)
    path.with_name("x").unlink()
    Verifier(folder).check(manifest_of(folder))
    assert reads == [path.name]


def test_young_files_are_not_stamped_by_readers(folder, reads):
    manifest = manifest_of(folder)
    (folder / STAMP).unlink()
    for path in files_of(folder):
        path.touch()
    Verifier(folder).check(manifest)
    Verifier(folder).check(manifest)
    assert len(reads) == 2 * len(files_of(folder))
    age(folder)
    Verifier(folder).check(manifest)
    Verifier(folder).check(manifest)
    assert len(reads) == 3 * len(files_of(folder))


def test_one_that_changes_while_it_is_read_is_not_stamped(folder, monkeypatch):
    manifest = manifest_of(folder)
    (folder / STAMP).unlink()
    age(folder)
    path = files_of(folder)[0]
    taken = _verifying._sha256

    def sha256(which):
        digest = taken(which)
        if which == path:
            which.touch()
        return digest

    monkeypatch.setattr(_verifying, "_sha256", sha256)
    Verifier(folder).check(manifest)
    assert Verifier(folder).pending(manifest.parts) == path.stat().st_size


def test_no_stamp_unless_wanted(folder):
    (folder / STAMP).unlink()
    age(folder)
    Verifier(folder, stamping=False).check(manifest_of(folder))
    assert not (folder / STAMP).exists()


JUNK = {
    "nothing": b"",
    "no JSON": b"\xff",
    "a list": b"[]",
    "numbers": b'{"E": 1}',
    "too few": b'{"E": [1, "ab"]}',
    "words": b'{"E": ["a", "b", "c", "d", "ab"]}',
    "endless": b'{"E": [1, 1, 1, Infinity, "ab"]}',
    "no number": b'{"E": [1, 1, 1, NaN, "ab"]}',
    "nested": b"[" * 200_000,
}


@pytest.mark.parametrize("content", JUNK.values(), ids=JUNK)
def test_a_stamp_that_is_junk_is_none(folder, reads, content):
    (folder / STAMP).write_bytes(content)
    age(folder)
    Verifier(folder).check(manifest_of(folder))
    assert len(reads) == len(files_of(folder))
    assert Verifier(folder).pending(manifest_of(folder).parts) == 0  # and is replaced


def test_a_stamp_for_another_content_is_none(folder):
    """The checksum that was right is part of it: a new manifest with the old files is not taken for whole."""
    manifest = manifest_of(folder)
    part = manifest.parts[0]
    files = {name: file._replace(sha256="00" * 32) for name, file in part.files.items()}
    other = replace(manifest, parts=(replace(part, files=files),))
    with pytest.raises(RegistryError, match="does not fit"):
        Verifier(folder).check(other)


def test_where_the_folder_cannot_be_written_the_stamp_is_in_the_cache(folder, cache, reads, monkeypatch):
    (folder / STAMP).unlink()
    age(folder)
    written = type(folder).write_bytes

    def write_bytes(path, data):
        if path.parent == folder:
            raise PermissionError(13, "Permission denied")
        return written(path, data)

    monkeypatch.setattr(type(folder), "write_bytes", write_bytes)
    Verifier(folder).check(manifest_of(folder))
    assert not (folder / STAMP).exists()
    assert len(list(cache.iterdir())) == 1
    reads.clear()
    Verifier(folder).check(manifest_of(folder))
    assert reads == []
    assert Verifier(folder, private=True).pending(manifest_of(folder).parts) == 0


def test_where_nothing_can_be_written_all_is_read(folder, cache, reads, monkeypatch):
    (folder / STAMP).unlink()
    age(folder)
    cache.parent.parent.mkdir()
    cache.parent.write_bytes(b"no folder")

    def write_bytes(path, data):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(folder), "write_bytes", write_bytes)
    for _ in range(2):
        Verifier(folder).check(manifest_of(folder))
    assert len(reads) == 2 * len(files_of(folder))


def test_privately_no_stamp_in_the_folder_counts(folder, cache, reads):
    manifest = manifest_of(folder)
    private = Verifier(folder, private=True)
    assert private.pending(manifest.parts) == size_of(folder)
    private.check(manifest)
    assert private.pending(manifest.parts) == 0
    assert len(list(cache.iterdir())) == 1


def test_stamps_of_segments_that_are_gone_are_dropped(folder):
    manifest = manifest_of(folder)
    first = manifest.parts[0].name
    Verifier(folder).vouch("seg-9-00000000", {}, manifest.parts[:1])
    stamp = json.loads((folder / STAMP).read_bytes())
    assert {name.partition("/")[0] for name in stamp} == {first}


# -- sealing -----------------------------------------------------------------------------------------------


@pytest.fixture
def one(tmp_path):
    folder = tmp_path / "seg"
    folder.mkdir()
    (folder / "E").write_bytes(b"content")
    return folder


def test_sealed(one):
    before = time.time_ns()
    sealed = seal(one)
    assert sealed["E"].file == (7, "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73")
    assert sealed["E"].seen == Seen.of((one / "E").stat())
    assert sealed["E"].seen.mtime_ns < before - YOUNG * 1e9


def test_what_changes_while_it_is_sealed_is_refused(one, monkeypatch):
    taken = _verifying._sha256

    def sha256(path):
        digest = taken(path)
        path.write_bytes(b"CONTENT")
        return digest

    monkeypatch.setattr(_verifying, "_sha256", sha256)
    with pytest.raises(RegistryError, match="is being changed by another process"):
        seal(one)


def test_where_times_cannot_be_set_nothing_is_stamped(one, monkeypatch):
    def utime(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(_verifying.os, "utime", utime)
    sealed = seal(one)
    assert sealed["E"].seen is None
    Verifier(one).vouch("seg-1-00000000", {"E": Sealed(sealed["E"].file, None)}, ())
    assert json.loads((one / STAMP).read_bytes()) == {}
