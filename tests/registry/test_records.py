"""Entries as octets, and back."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.model import Purpose
from heedful.registry import _records
from heedful.registry._errors import RegistryError
from heedful.registry._records import RECORD_MAX, Encoder, decode, encode, kind_and_withdrawal
from heedful.registry.entries import Entry, Kind, index

SHA = "ab" * 32
DAY = date(2024, 2, 29)

ENTRIES = {
    "url": Entry(Kind.URL, "https://example.com/a.jpg", "art"),
    "url over http": Entry(Kind.URL, "http://example.com/a.jpg?b=c", "art"),
    "url without scheme": Entry(Kind.URL, "example.com/a.jpg", "art"),
    "url in another spelling": Entry(Kind.URL, "HTTPS://EXAMPLE.com:443/%7Ea.jpg#x", "art"),
    "not a url": Entry(Kind.URL, "nonsense", "art"),
    "undecodable": Entry(Kind.URL, "raw\udcff", "art"),
    "host": Entry(Kind.HOST, "example.com", "art"),
    "host with scheme": Entry(Kind.HOST, "https://example.com/", "art"),
    "domain": Entry(Kind.DOMAIN, "bücher.example", "art"),
    "path": Entry(Kind.PATH, "example.com/art/", "art"),
    "path for a domain": Entry(Kind.PATH, "*.example.com/art/", "art"),
    "pattern": Entry(Kind.PATTERN, "https://example.com/*.jpg$", "art"),
    "sha256": Entry(Kind.SHA256, SHA, "art"),
    "sha256 in capitals": Entry(Kind.SHA256, SHA.upper(), "art"),
    "md5": Entry(Kind.MD5, "cd" * 16, "art"),
    "opt-in": Entry(Kind.URL, "https://example.com/a.jpg", "art", opt_in=True),
    "dated": Entry(Kind.URL, "https://example.com/a.jpg", "art", date=DAY),
    "expiring": Entry(Kind.URL, "https://example.com/a.jpg", "art", expires=date.max),
    "of long ago": Entry(Kind.URL, "https://example.com/a.jpg", "art", date=date.min),
    "purpose": Entry(Kind.URL, "https://example.com/a.jpg", "art", purpose=Purpose.TRAIN_GENERATIVE),
    "everything": Entry(Kind.MD5, "cd" * 16, "a b", True, DAY, Purpose.TRAIN_NONGENERATIVE, DAY),
    "no list": Entry(Kind.HOST, "example.com"),
    "surrounded by blanks": Entry(Kind.HOST, "  example.com ", "art"),
}


def octets(entry, encoder=None, *, withdrawal=False):
    heads = (encoder or Encoder()).heads_of(entry, withdrawal=withdrawal)
    return encode(heads, index(entry.kind, entry.text).key, entry.text)


@pytest.mark.parametrize("withdrawal", [False, True], ids=["entry", "withdrawal"])
@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_there_and_back(entry, withdrawal):
    record = octets(entry, withdrawal=withdrawal)
    found, end = decode(b"xx" + record + b"yy", 2, (entry.list,))
    assert found.entry == entry
    assert found.key == index(entry.kind, entry.text).key
    assert found.withdrawal is withdrawal
    assert end == 2 + len(record)
    assert kind_and_withdrawal(record) == (entry.kind, withdrawal)


# what stands beside the key: head, list, length of the key; and the text, where it does not follow
SIZES = {
    "url": 3, "url over http": 3, "url without scheme": 3, "not a url": 3, "host": 3, "path": 3, "sha256": 3,
    "md5": 3, "opt-in": 3, "url in another spelling": 4 + 34, "sha256 in capitals": 4 + 64, "dated": 3 + 5,
}  # fmt: skip


@pytest.mark.parametrize(("name", "more"), SIZES.items(), ids=SIZES)
def test_the_text_is_stored_only_where_it_does_not_follow_from_the_key(name, more):
    entry = ENTRIES[name]
    assert len(octets(entry)) - len(index(entry.kind, entry.text).key) == more


dates = st.none() | st.dates()
entries = st.builds(
    Entry,
    st.just(Kind.URL),
    st.text(min_size=1, max_size=300).filter(str.strip),
    st.text(max_size=5),
    st.booleans(),
    dates,
    st.sampled_from(Purpose),
    dates,
)


@given(st.lists(entries, max_size=8))
def test_any_urls_there_and_back(listed):
    encoder = Encoder()
    block = b"".join(octets(entry, encoder) for entry in listed)
    at, found = 0, []
    while at < len(block):
        record, at = decode(block, at, tuple(encoder.lists))
        found.append(record.entry)
    assert found == listed


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_cut_off_anywhere(entry):
    record = octets(entry)
    for length in range(len(record)):
        with pytest.raises(RegistryError, match="damaged"):
            decode(record[:length], 0, (entry.list,))


@given(st.binary(max_size=60))
def test_any_octets_give_a_record_or_the_one_error(block):
    try:
        record, end = decode(block, 0, ("a", "b"))
    except RegistryError:
        return
    assert 0 < end <= len(block)
    assert record.entry.list in {"a", "b"}


DAMAGED = {
    "no such list": b"\x60\x05\x01u",
    "no such purpose": b"\xe0\x00\x00\x00\x07\x01u",
    "no such day": b"\xe0\x00\xff\xff\xff\x7f\x00\x00\x01u",
    "a number that does not end": b"\x60" + b"\xff" * 12,
    "a key longer than its block": b"\x60\x00\x7fu",
    "text that is no UTF-8": b"\x60\x00\x02u\xff",
}


@pytest.mark.parametrize("record", DAMAGED.values(), ids=DAMAGED)
def test_damaged(record):
    with pytest.raises(RegistryError, match="a record is damaged"):
        decode(record, 0, ("a",))


def test_too_long():
    heads = Encoder().heads_of(ENTRIES["url"], withdrawal=False)
    encode(heads, b"u", "x" * (RECORD_MAX - 1))
    with pytest.raises(ValueError, match="more than 524288 octets"):
        encode(heads, b"u", "x" * RECORD_MAX)


def test_lists_are_numbered_as_they_come(monkeypatch):
    monkeypatch.setattr(_records, "_HEADS_MAX", 2)  # what is forgotten is made anew
    encoder = Encoder()
    names = [f"list {number % 300}" for number in range(900)]
    blocks = [octets(Entry(Kind.HOST, "example.com", name), encoder) for name in names]
    assert list(encoder.lists) == names[:300]
    assert [decode(block, 0, tuple(encoder.lists))[0].entry.list for block in blocks] == names
    assert len(encoder._heads) <= 2
