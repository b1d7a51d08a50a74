"""Records: entries as octets, each with the key under which it is found.

    head      kind (3 bits), opt-in, withdrawal, form of the text (2 bits), dated
    list      number of the list's name
    date, expires, purpose     only if dated: proleptic ordinals or 0, and the number of the purpose
    key       length and octets
    text      length and octets, unless it follows from the key

Numbers and lengths are varints: seven bits an octet, the lowest first; the highest bit says that more follow.
"""

from __future__ import annotations

from datetime import date
from typing import Final, NamedTuple

from heedful.model import Purpose
from heedful.registry._errors import RegistryError
from heedful.registry.entries import Entry, Kind

RECORD_MAX: Final = 512 << 10
"""Longest key and text of a record together, in octets: of the longest URL, 64 KiB and, encoded, 192 KiB."""

_KINDS: Final = (
    Kind.URL, Kind.HOST, Kind.DOMAIN, Kind.PATH, Kind.PATTERN, Kind.SHA256, Kind.MD5, Kind.PHASH,
)  # fmt: skip
_PURPOSES: Final = (Purpose.TRAIN_ANY, Purpose.TRAIN_GENERATIVE, Purpose.TRAIN_NONGENERATIVE)
_KIND_NUMBERS: Final = {kind: number for number, kind in enumerate(_KINDS)}
PURPOSE_NUMBERS: Final = {purpose: number for number, purpose in enumerate(_PURPOSES)}
"""How purposes are written."""


_OPT_IN: Final = 1 << 3
_WITHDRAWAL: Final = 1 << 4
_FORM_SHIFT: Final = 5
_DATED: Final = 1 << 7

_STORED, _HTTPS, _HTTP, _BARE = range(4)
_SCHEMES: Final = {_HTTPS: b"https://", _HTTP: b"http://", _BARE: b""}
_DIGEST_KEYS: Final = {b"s", b"m"}
_FINGERPRINT_KEY: Final = b"f"
_SMALL_DIGITS: Final = 16

_HEADS_MAX: Final = 4096

Heads = tuple[bytes, bytes, bytes, bytes]
"""What stands before the key, for each form of the text."""


class Record(NamedTuple):
    """An entry as it is stored.

    Attributes:
        key: the key under which it is found.
        entry: the entry.
        withdrawal: it takes back what older segments say.
    """

    key: bytes
    entry: Entry
    withdrawal: bool


def _varint(number: int) -> bytes:
    octets = bytearray()
    while number >= 0x80:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


class Encoder:
    """Turns entries into octets.

    Attributes:
        lists: the names of lists seen so far, in the order of their numbers.
    """

    def __init__(self) -> None:
        self.lists: dict[str, int] = {}
        self._heads: dict[Entry | tuple[object, ...], Heads] = {}

    def heads(
        self,
        kind: Kind,
        list: str,  # noqa: A002 - as the field of an entry is named
        *,
        opt_in: bool,
        date: date | None,
        purpose: Purpose,
        expires: date | None,
        withdrawal: bool = False,
    ) -> Heads:
        """What all entries have in front that differ in text and key only."""
        same = (kind, list, opt_in, date, purpose, expires, withdrawal)
        heads = self._heads.get(same)
        if heads is None:
            if len(self._heads) >= _HEADS_MAX:
                self._heads.clear()
            number = self.lists.setdefault(list, len(self.lists))
            first = _KIND_NUMBERS[kind] | _OPT_IN * opt_in | _WITHDRAWAL * withdrawal
            rest = _varint(number)
            if date or expires or purpose is not Purpose.TRAIN_ANY:
                first |= _DATED
                rest += _varint(date.toordinal() if date else 0)
                rest += _varint(expires.toordinal() if expires else 0)
                rest += _varint(PURPOSE_NUMBERS[purpose])
            stored, https, http, bare = (bytes([first | form << _FORM_SHIFT]) + rest for form in range(4))
            heads = self._heads[same] = (stored, https, http, bare)
        return heads

    def heads_of(self, entry: Entry, *, withdrawal: bool) -> Heads:
        """The heads for one entry."""
        return self.heads(
            entry.kind,
            entry.list,
            opt_in=entry.opt_in,
            date=entry.date,
            purpose=entry.purpose,
            expires=entry.expires,
            withdrawal=withdrawal,
        )


def _bare(key: bytes) -> bytes:
    """The text that follows from a key, but for a scheme."""
    sign, rest = key[:1], key[1:]
    if sign in _DIGEST_KEYS:
        return rest.hex().encode()
    if sign == _FINGERPRINT_KEY:
        digits = rest.hex().encode()
        small, large = digits[:_SMALL_DIGITS], digits[_SMALL_DIGITS:]
        return small + b":" + large if large else small
    return rest


def encode(heads: Heads, key: bytes, text: str) -> bytes:
    """A record.

    Raises:
        ValueError: key and text are longer than `RECORD_MAX`.
    """
    written = text.encode("utf-8", "surrogatepass")
    rest = _bare(key)
    length = len(key)
    if length + len(written) > RECORD_MAX:
        raise ValueError(f"it takes more than {RECORD_MAX} octets")
    size = bytes((length,)) if length < 0x80 else _varint(length)
    if written.endswith(rest):
        scheme = written[: len(written) - len(rest)]
        if scheme == b"https://":
            return heads[_HTTPS] + size + key
        if scheme == b"http://":
            return heads[_HTTP] + size + key
        if not scheme:
            return heads[_BARE] + size + key
    return b"".join((heads[_STORED], size, key, _varint(len(written)), written))


def _read_varint(block: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        octet = block[at]
        at += 1
        number |= (octet & 0x7F) << shift
        if octet < 0x80:
            return number, at
        shift += 7
        if shift > 63:
            raise ValueError("a varint does not end")


def _read_octets(block: bytes, at: int) -> tuple[bytes, int]:
    length, at = _read_varint(block, at)
    end = at + length
    if end > len(block):
        raise ValueError("a record goes beyond its block")
    return block[at:end], end


def _read_date(block: bytes, at: int) -> tuple[date | None, int]:
    ordinal, at = _read_varint(block, at)
    return (date.fromordinal(ordinal) if ordinal else None), at


def decode(block: bytes, at: int, lists: tuple[str, ...]) -> tuple[Record, int]:
    """The record that begins at the offset `at` of a block, and the offset of its end.

    Raises:
        RegistryError: there is none.
    """
    try:
        head = block[at]
        number, at = _read_varint(block, at + 1)
        dated = expires = None
        purpose = Purpose.TRAIN_ANY
        if head & _DATED:
            dated, at = _read_date(block, at)
            expires, at = _read_date(block, at)
            which, at = _read_varint(block, at)
            purpose = _PURPOSES[which]
        key, at = _read_octets(block, at)
        form = head >> _FORM_SHIFT & 3
        if form == _STORED:
            written, at = _read_octets(block, at)
        else:
            written = _SCHEMES[form] + _bare(key)
        text = written.decode("utf-8", "surrogatepass")
        entry = Entry(_KINDS[head & 7], text, lists[number], bool(head & _OPT_IN), dated, purpose, expires)
    except (IndexError, ValueError, OverflowError) as error:
        raise RegistryError(f"a record is damaged: {error}") from error
    return Record(key, entry, bool(head & _WITHDRAWAL)), at


def kind_and_withdrawal(record: bytes) -> tuple[Kind, bool]:
    """Of an encoded record."""
    return _KINDS[record[0] & 7], bool(record[0] & _WITHDRAWAL)
