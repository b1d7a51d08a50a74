"""Tar files are gone through and copied as they are, whatever wrote them."""

from __future__ import annotations

import io
import tarfile

import pytest

from heedful.bulk.audit import _tar
from heedful.bulk.audit._stored import UnreadableError

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def packed(names, *, form=tarfile.USTAR_FORMAT, **more):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, **more) as tar:
        for number, name in enumerate(names):
            info = tarfile.TarInfo(name)
            content = name.encode() * (number * 100 + 1)
            info.size, info.mtime, info.uname = len(content), 1_700_000_000 + number, "bigdata"
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def names(data):
    return [member.name for member in _tar.members(io.BytesIO(data))]


def without(data, *gone):
    out = io.BytesIO()
    _tar.copy_without(io.BytesIO(data), out, set(gone))
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("000.jpg", ("000", "jpg")),
        ("a/000.jpg", ("a/000", "jpg")),
        ("a.b/000.seg.png", ("a.b/000", "seg.png")),
        ("000", ("000", "")),
        (".x", ("", "x")),
        ("./000.jpg", ("./000", "jpg")),
    ],
)
def test_a_name_is_split_as_webdataset_does(name, parts):
    assert _tar.split(name) == parts


LONG = "x" * 200
UNICODE = "ü" * 80


@pytest.mark.parametrize("form", FORMATS)
def test_what_stays_is_the_same_bytes(form):
    listed = ["0.jpg", "0.txt", "1.jpg", "1.json", "2.jpg", "2.txt"]
    if form != "ustar":  # names that need headers of their own
        listed += [f"{LONG}.jpg", f"{LONG}.txt", f"{UNICODE}.jpg", "9.jpg"]
    data = packed(listed, form=FORMATS[form])
    for gone in ([], ["0"], ["1"], ["2"], ["0", "2"], [LONG], [UNICODE, "9"], ["0", "1", "2", LONG]):
        kept = [name for name in listed if _tar.split(name)[0] not in gone]
        assert without(data, *gone) == packed_as(data, kept, FORMATS[form])


def packed_as(data, kept, form):
    """The same members, written by tarfile."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(data)) as old,
        tarfile.open(fileobj=out, mode="w", format=form) as new,
    ):
        for info in old:
            if info.name in kept:
                new.addfile(info, old.extractfile(info))
    return out.getvalue()


def test_a_header_for_all_stays():
    data = packed(["0.jpg", "1.jpg"], form=tarfile.PAX_FORMAT, pax_headers={"comment": "of all"})
    with tarfile.open(fileobj=io.BytesIO(without(data, "0"))) as tar:
        assert tar.getnames() == ["1.jpg"]
        assert tar.pax_headers == {"comment": "of all"}


def test_folders_and_links_are_no_members_of_samples():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind in (
            ("a", tarfile.DIRTYPE),
            ("a/0.jpg", tarfile.SYMTYPE),
            ("a/1.jpg", tarfile.LNKTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "../../etc/passwd"
            tar.addfile(info)
    assert names(out.getvalue()) == []
    assert without(out.getvalue()) == out.getvalue()


def test_nothing_is_left_when_all_is_gone():
    assert without(packed(["0.jpg"]), "0") == bytes(tarfile.RECORDSIZE)
    assert names(bytes(tarfile.RECORDSIZE)) == []


@pytest.mark.parametrize("size", [0, 1, 100, 511, 512, 600, 1024, 1025, 1536])
def test_what_breaks_off_is_never_taken_for_the_end(size):
    data = packed(["0.jpg", "1.jpg"])[:size]
    with pytest.raises(UnreadableError):
        [member.read() for member in _tar.members(io.BytesIO(data))]
    with pytest.raises(UnreadableError):
        without(data, "0")


@pytest.mark.parametrize("place", [0, 100, 148, 1024, 1024 + 150, 1024 + 257])
def test_a_broken_header_is_never_taken_for_the_end(place):
    data = bytearray(packed(["0.jpg", "1.jpg"]))
    data[place] ^= 0xFF
    with pytest.raises(UnreadableError):
        names(bytes(data))
