"""Opt-outs in the picture itself: PLUS data mining, C2PA and CAWG training and data mining, TDMRep.

The original bytes are read, before anything re-encodes them, and no pixel is decoded. What is said there is
said of this file, wherever it lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Final

from heedful.model import NOTHING, ParseWarning, Preference, Reading, Reason, Statement
from heedful.signals.embedded import _c2pa, _xmp
from heedful.signals.embedded._formats import SNIFF_BYTES, sniff
from heedful.signals.embedded._parts import Kind, Part, Unread

if TYPE_CHECKING:
    from heedful.model import Source
    from heedful.signals.embedded._parts import Walk

__all__ = ["NOTHING_EMBEDDED", "Embedded", "Watch", "media_type", "read"]

PARTS_MAX: Final = 256
"""Most packets and manifest stores of a file that are read; a file has one of each as a rule."""

OCTETS_MAX: Final = 2 * _xmp.PACKET_MAX
"""Octets of packets and manifest stores, unpacked, that are read in all."""

STATEMENTS_MAX: Final = 64
"""Most statements of each preference, and most warnings, that a file gives; the ledger repeats them."""

WATCHED_MAX: Final = 16_777_216
"""Octets that are kept of a file that is still coming in; to stop it later than that would save little."""

FIRST_LOOK: Final = 32
"""Octets of a file that is still coming in by which its format is known, unless it is an SVG."""

LOOKS: Final = 8
"""It is looked at for the root of an SVG whenever it has grown by one such part."""

UNREADABLE: Final = "unreadable"
"""The policy's switch that decides what becomes of what is there and cannot be read."""

_TOO_MUCH: Final = f"more than {PARTS_MAX} packets and manifest stores, or {OCTETS_MAX} octets of them"


@dataclass(frozen=True, slots=True)
class Embedded:
    """What a file says of itself.

    Attributes:
        reading: what denies, allows, or is only recorded; and, as undetermined statements, what is there and
            could not be read.
        signed: what is allowed if the file's C2PA signature is valid.
        media_type: the file's type by its first bytes, None if that cannot be told.
    """

    reading: Reading = NOTHING
    signed: tuple[Statement, ...] = ()
    media_type: str | None = None


NOTHING_EMBEDDED: Final = Embedded()
"""What is no picture, as far as its first bytes show, says."""


class _Silent(dict[str | None, Embedded]):
    """What files that say nothing are told as, by media type: made once."""

    def __missing__(self, kind: str | None) -> Embedded:
        self[kind] = Embedded(media_type=kind)
        return self[kind]


_SILENT: Final = _Silent()


def media_type(data: bytes) -> str | None:
    """The media type of an image file by its first bytes; None: none that could hold metadata we know."""
    return sniff(data).media_type


def read(data: bytes, source: Source) -> Embedded:
    """What an image file says of training.

    Args:
        data: the file as it was sent, content encoding undone.
        source: the file, for evidence.

    Returns:
        All that is said in it. Nothing in `data` raises an exception.
    """
    found = sniff(data)
    hearing: _Hearing | None = None
    for step in found.walk(data) if found.walk is not None else ():
        if isinstance(step, int):
            continue
        if hearing is None:
            hearing = _Hearing(source)
        if not hearing.hear(step):
            break
    return _SILENT[found.media_type] if hearing is None else hearing.embedded(found.media_type)


class _Budget:
    """What may still be read of a file."""

    def __init__(self) -> None:
        self._parts = PARTS_MAX
        self._octets = OCTETS_MAX

    def has_room(self, part: Part) -> bool:
        self._parts -= 1
        self._octets -= len(part.data)
        return self._parts >= 0 and self._octets >= 0


class _Hearing:
    """Gathers what the parts of a file say."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._budget = _Budget()
        self._heard: set[tuple[Kind, bool, bytes]] = set()
        self._said: dict[Statement, None] = {}
        self._warnings: dict[ParseWarning, None] = {}
        self._stores: list[Part] = []
        self._unread: dict[Unread, None] = {}
        self._remote: Statement | None = None

    def hear(self, found: Part | Unread) -> bool:
        """Take what was found; False: no more can be taken."""
        if isinstance(found, Unread):
            self._fail(found)
        elif not self._budget.has_room(found):
            self._unread = {Unread(found.where, _TOO_MUCH): None, **self._unread}
            return False
        elif found.kind is Kind.JUMBF:
            self._stores.append(found)
        else:
            self._hear(found)
        return True

    def _hear(self, part: Part) -> None:
        key = part.kind, part.whole, blake2b(part.data, digest_size=16).digest()
        if key in self._heard:
            return
        self._heard.add(key)
        if part.kind is Kind.COPYRIGHT:
            self._take(_xmp.read_copyright(part, self._source))
            return
        reading, remote = _xmp.read(part, self._source)
        self._take(reading)
        self._remote = self._remote or remote
        if not part.whole:
            self._fail(Unread(part.where, "it is cut off or damaged"))
        elif len(part.data) > _xmp.PACKET_MAX:
            self._fail(Unread(part.where, f"more than {_xmp.PACKET_MAX} octets"))

    def _take(self, reading: Reading) -> None:
        self._said |= dict.fromkeys(reading.statements)
        if len(self._warnings) < STATEMENTS_MAX:
            self._warnings |= dict.fromkeys(reading.warnings)

    def _fail(self, unread: Unread) -> None:
        if len(self._unread) < STATEMENTS_MAX:
            self._unread[unread] = None

    def embedded(self, kind: str | None) -> Embedded:
        """All that was said."""
        signed: tuple[Statement, ...] = ()
        if self._stores:
            claims = _c2pa.read(self._stores, self._source)
            signed = claims.signed
            self._take(claims.reading)
            for fault in claims.faults:
                self._fail(Unread("C2PA manifest store", fault))
        elif self._remote is not None:
            self._said[self._remote] = None
        statements: list[Statement] = []
        for preference in (Preference.DISALLOW, Preference.ALLOW, Preference.UNKNOWN):
            alike = (each for each in self._said if each.preference is preference)
            statements += islice(alike, STATEMENTS_MAX)
        statements += [_doubt(each, self._source) for each in self._unread]
        warnings = tuple(islice(self._warnings, STATEMENTS_MAX))
        return Embedded(Reading(tuple(statements), warnings), signed, kind)


def _doubt(unread: Unread, source: Source) -> Statement:
    return Statement(
        Reason.UNDETERMINED,
        Preference.UNDETERMINED,
        "metadata in the picture that could not be read",
        source.at(unread.where, unread.why),
        switch=UNREADABLE,
    )


def _denials(reading: Reading) -> tuple[Statement, ...]:
    return tuple(each for each in reading.statements if each.preference is Preference.DISALLOW)


class Watch:
    """Reads a file while it is coming in, for what denies: that is certain as soon as it is there.

    Of a file of more than `WATCHED_MAX` octets, only these are read. Each octet is looked at a few times at
    most, whatever pieces the file comes in.

    Args:
        source: the file, for evidence.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._buffer = bytearray()
        self._walk: Walk | None = None
        self._next = FIRST_LOOK
        self._budget = _Budget()
        self._denies = False
        self._media_type: str | None = None
        self._closed: Embedded | None = None

    def feed(self, chunk: bytes) -> bool:
        """Take the next bytes of the file, content encoding undone; whether what has come in denies."""
        if self._closed is None:
            self._buffer += chunk[: WATCHED_MAX - len(self._buffer)]
            if not self._denies and len(self._buffer) >= self._next:
                self._go_on()
            if len(self._buffer) == WATCHED_MAX:
                self._close()
        return self._denies

    def _go_on(self) -> None:
        if self._walk is None:
            found = sniff(bytes(self._buffer[:SNIFF_BYTES]))
            self._media_type = found.media_type
            if found.walk is None:
                self._next += self._next // LOOKS
                if found.media_type is not None or len(self._buffer) >= SNIFF_BYTES:
                    self._close()
                return
            self._walk = found.walk(self._buffer)
        for step in self._walk:
            if isinstance(step, int):
                if step > len(self._buffer):
                    self._next = step
                    return
            elif isinstance(step, Part):
                if not self._budget.has_room(step):
                    break
                if self._part_denies(step):
                    self._denies = True
                    return
        self._close()

    def _part_denies(self, part: Part) -> bool:
        if part.kind is Kind.COPYRIGHT:
            return False
        if part.kind is Kind.XMP:
            return bool(_denials(_xmp.read(part, self._source).reading))
        return bool(_denials(_c2pa.read([part], self._source).reading))

    def _close(self) -> None:
        """Look at nothing more, and keep no more than what was said."""
        self._closed = self.embedded if self._denies else Embedded(media_type=self._media_type)
        self._buffer = bytearray()
        self._walk = None

    @property
    def embedded(self) -> Embedded:
        """What has come in denies; what it allows may be undone by what follows. Each use reads it anew."""
        if self._closed is not None:
            return self._closed
        found = read(bytes(self._buffer), self._source)
        return Embedded(Reading(_denials(found.reading)), media_type=found.media_type)
