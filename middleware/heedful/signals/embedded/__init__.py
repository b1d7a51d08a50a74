"""Opt-outs in the picture itself: PLUS data mining, C2PA and CAWG training and data mining, TDMRep.

The original bytes are read, before anything re-encodes them, and no pixel is decoded. What is said there is
said of this file, wherever it lies.
"""

from __future__ import annotations

from dataclasses import dataclass
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
"""Most packets of a file that are read; a burst or a multi-page scan has one for each picture."""

WATCHED_MAX: Final = 32 << 20
"""Octets of a file that is still coming in that are kept; what follows is read when it is there."""

_FIRST_LOOK: Final = 32
"""Octets of a file that is still coming in after which its format may be known; then twice as many, ..."""

UNREADABLE: Final = "unreadable"
"""The policy's switch that decides what becomes of what is there and cannot be read."""


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
    if found.walk is None:
        return NOTHING_EMBEDDED
    parts: list[Part] = []
    unread: list[Unread] = []
    for step in found.walk(data):
        if isinstance(step, Part):
            if len(parts) == PARTS_MAX:
                unread.append(Unread(step.where, f"more than {PARTS_MAX} packets"))
                break
            parts.append(step)
        elif isinstance(step, Unread):
            unread.append(step)
    if not (parts or unread):
        return _SILENT[found.media_type]
    return _said(parts, unread, source, found.media_type)


def _said(parts: list[Part], unread: list[Unread], source: Source, kind: str | None) -> Embedded:
    statements: dict[Statement, None] = {}
    warnings: dict[ParseWarning, None] = {}
    remote: Statement | None = None
    for part in dict.fromkeys(part for part in parts if part.kind is not Kind.JUMBF):
        if part.kind is Kind.COPYRIGHT:
            reading = _xmp.read_copyright(part, source)
        else:
            reading, linked = _xmp.read(part, source)
            remote = remote or linked
        statements |= dict.fromkeys(reading.statements)
        warnings |= dict.fromkeys(reading.warnings)
    signed: tuple[Statement, ...] = ()
    stores = [part for part in parts if part.kind is Kind.JUMBF]
    if stores:
        claims = _c2pa.read(stores, source)
        signed = claims.signed
        statements |= dict.fromkeys(claims.reading.statements)
        warnings |= dict.fromkeys(claims.reading.warnings)
        unread += [Unread("C2PA manifest store", fault) for fault in claims.faults]
    elif remote is not None:
        statements[remote] = None
    statements |= dict.fromkeys(_doubt(each, source) for each in unread)
    return Embedded(Reading(tuple(statements), tuple(warnings)), signed, kind)


def _doubt(unread: Unread, source: Source) -> Statement:
    return Statement(
        Reason.UNDETERMINED,
        Preference.UNDETERMINED,
        "metadata in the picture that could not be read",
        source.at(unread.where, unread.why),
        switch=UNREADABLE,
    )


class Watch:
    """Reads a file while it is coming in, for what denies: that is certain as soon as it is there.

    Args:
        source: the file, for evidence.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._buffer = bytearray()
        self._walk: Walk | None = None
        self._media_type: str | None = None
        self._next = _FIRST_LOOK
        self._parts = 0
        self._over = False
        self._denies: dict[Statement, None] = {}

    def feed(self, chunk: bytes) -> bool:
        """Take the next bytes of the file, decoded; whether what has come in denies."""
        if not self._over:
            self._buffer += chunk
            if len(self._buffer) >= self._next:
                self._go_on()
            if len(self._buffer) > WATCHED_MAX:
                self._end()
        return bool(self._denies)

    def _go_on(self) -> None:
        if self._walk is None:
            found = sniff(bytes(self._buffer[:SNIFF_BYTES]))
            self._media_type = found.media_type
            if found.walk is None:
                self._next = 2 * len(self._buffer)
                if found.media_type is not None or len(self._buffer) >= SNIFF_BYTES:
                    self._end()
                return
            self._walk = found.walk(self._buffer)
        for step in self._walk:
            if isinstance(step, int):
                if step > len(self._buffer):
                    self._next = step
                    return
            elif isinstance(step, Part):
                self._parts += 1
                if self._parts > PARTS_MAX:
                    break
                self._hear(step)
        self._end()

    def _hear(self, part: Part) -> None:
        if part.kind is Kind.XMP:
            reading = _xmp.read(part, self._source).reading
        elif part.kind is Kind.JUMBF:
            reading = _c2pa.read([part], self._source).reading
        else:
            return
        denies = [each for each in reading.statements if each.preference is Preference.DISALLOW]
        self._denies |= dict.fromkeys(denies)

    def _end(self) -> None:
        self._over = True
        self._walk = None
        self._buffer = bytearray()

    @property
    def embedded(self) -> Embedded:
        """What has been found so far: denies only, as anything else may be undone by what follows."""
        return Embedded(Reading(tuple(self._denies)), media_type=self._media_type)


class _Silent(dict[str | None, Embedded]):
    """What files that say nothing are told as, by media type: made once."""

    def __missing__(self, kind: str | None) -> Embedded:
        self[kind] = Embedded(media_type=kind)
        return self[kind]


_SILENT: Final = _Silent()
