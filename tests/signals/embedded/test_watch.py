"""A file that is still coming in: how much of it is kept, how often it is looked at, when it is given up."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.model import NOTHING, Preference, Source
from heedful.signals import embedded
from heedful.signals.embedded import WATCHED_MAX, Watch, _xmp, read
from heedful.testing import embed
from heedful.testing.pictures import make

SOURCE = Source("https://a.example/picture")
DENY = embed.dmi_packet("DMI-PROHIBITED")
STORE = embed.training_mining_store({"cawg.data_mining": "notAllowed"})
SVG = b'<svg xmlns="http://www.w3.org/2000/svg">%b</svg>'
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF")
CLEAN = {name: make(1, format=name) for name in FORMATS}
FILES = {
    **{f"{name}, XMP": embed.xmp(data, DENY) for name, data in CLEAN.items()},
    **{f"{name}, C2PA": embed.jumbf(data, STORE) for name, data in CLEAN.items()},
    **{f"{name}, both": embed.jumbf(embed.xmp(data, DENY), STORE) for name, data in CLEAN.items()},
    **{f"{name}, nothing": data for name, data in CLEAN.items()},
    "SVG": embed.xmp(SVG % b"<g/>", DENY),
    "text": b"no picture" * 100,
}


def denials(found):
    return [each for each in found.reading.statements if each.preference is Preference.DISALLOW]


@pytest.mark.parametrize("name", FILES)
@given(seed=st.integers(0, 2**32))
def test_the_pieces_do_not_matter(name, seed):
    """Not even for the evidence; and what is said is certain: the whole says it, too."""
    data = FILES[name]
    choose = random.Random(seed)
    watch, at, spoke = Watch(SOURCE), 0, False
    while at < len(data):
        size = choose.choice((1, 2, 13, 400, 2_000, 30_000))
        spoke = watch.feed(data[at : at + size])
        at += size
    assert [*watch.embedded.reading.statements] == denials(read(data, SOURCE))
    assert watch.embedded.signed == ()
    assert spoke is bool(denials(read(data, SOURCE)))


@pytest.mark.parametrize(
    ("name", "put"),
    [  # of AVIF and HEIC, our packer puts packets at the end
        *(("JPEG", embed.xmp), ("PNG", embed.xmp), ("GIF", embed.xmp)),
        *(("JPEG", embed.jumbf), ("PNG", embed.jumbf), ("GIF", embed.jumbf), ("AVIF", embed.jumbf)),
    ],
)
def test_what_stands_first_is_heard_first(name, put):
    data = put(make(1, format=name, min_bytes=20_000), DENY if put is embed.xmp else STORE)
    watch = Watch(SOURCE)
    assert next(at for at in range(0, len(data), 64) if watch.feed(data[at : at + 64])) < 2_048


def test_what_came_is_judged_before_the_rest_has_come():
    data, watch = FILES["JPEG, XMP"], Watch(SOURCE)
    assert watch.feed(data[:3_000])
    (statement,) = watch.embedded.reading.statements
    assert statement.evidence.source_url == SOURCE.url
    assert watch.embedded.media_type == "image/jpeg"


def test_nothing_is_kept_of_what_is_over():
    for data in (CLEAN["PNG"], b"BM" + bytes(200_000), b"\xff\x0a" + bytes(99), b"<html>" + bytes(200_000)):
        watch = Watch(SOURCE)
        for _ in range(3):
            assert not watch.feed(data)
        assert watch.embedded.reading == NOTHING
        assert len(watch._buffer) == 0


@pytest.mark.parametrize("denies", [False, True])
def test_what_is_kept_is_bounded(denies):
    picture = CLEAN["JPEG"]
    if denies:
        picture = embed.xmp(picture, DENY)
    watch, chunk = Watch(SOURCE), bytes(1 << 20)
    watch.feed(picture)
    for _ in range(2 * WATCHED_MAX // len(chunk)):
        assert watch.feed(chunk) is denies
        assert len(watch._buffer) <= WATCHED_MAX
    assert len(watch._buffer) == 0
    assert len(watch.embedded.reading.statements) == denies


def test_what_comes_behind_that_is_not_heard():
    chunk = b"PICT" + struct.pack("<I", WATCHED_MAX) + bytes(WATCHED_MAX)
    data = b"RIFF\0\0\0\0WEBP" + chunk + b"XMP " + struct.pack("<I", len(DENY)) + DENY
    watch = Watch(SOURCE)
    assert not watch.feed(data)
    assert watch.embedded.reading == NOTHING
    assert denials(read(data, SOURCE))


def test_ends_that_are_none_cost_no_more_than_a_few_readings(monkeypatch):
    """An SVG within an SVG may end where a piece does, and every time it may be the whole that ends."""
    octets = 0

    def counting(part, source):
        nonlocal octets
        octets += len(part.data)
        return _xmp.read(part, source)

    data = SVG % (b"<svg></svg>" * 5_000 + DENY[DENY.index(b"<x:") : DENY.rindex(b"<?")])
    watch = Watch(SOURCE)
    monkeypatch.setattr(embedded, "_xmp", type("Counted", (), {**vars(_xmp), "read": staticmethod(counting)}))
    for at in range(0, len(data), 11):
        watch.feed(data[at : at + 11])
    assert octets <= 5 * len(data)
    assert denials(watch.embedded)


def test_a_chunk_may_be_empty_and_a_file_too():
    watch = Watch(SOURCE)
    assert not watch.feed(b"")
    assert watch.embedded.reading == NOTHING
    assert watch.embedded.media_type is None
