"""JUMBF (ISO/IEC 19566-5) as C2PA uses it: superboxes with labels, and content boxes in CBOR or JSON.

Only assertions about training and data mining are taken out of a manifest store; everything else, thumbnails
above all, is passed over without a copy.
"""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from enum import Enum, auto
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import cbor2

try:
    import brotli
except ImportError:
    brotli = None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BOXES_MAX: Final = 4_096
"""Most boxes of a file that are looked at; a manifest has about twenty, a store some manifests."""

DEPTH_MAX: Final = 16
"""Deepest nesting of superboxes; C2PA needs four, a compressed manifest two more."""

LABEL_MAX: Final = 1_024
"""Octets of a label that are read; C2PA's longest, of a manifest, have about a hundred."""

CONTENT_MAX: Final = 262_144
"""Octets of an assertion that are decoded; each may become an object of 72 octets."""

CONTENTS_MAX: Final = 1_048_576
"""Octets of all assertions of a file that are decoded."""

UNPACKED_MAX: Final = 8_388_608
"""Octets that all compressed manifests of a file are unpacked to."""

UNPACKED_PIECE: Final = 262_144
"""Octets unpacked at a time, and what a compressed manifest at least counts for: starting takes time, too."""

CONTENT_DEPTH_MAX: Final = 16
"""Deepest nesting of CBOR and JSON that is decoded; an assertion about training needs three levels."""

NAME: Final = b"training-mining"
"""In the label of every assertion that is read."""

_LABEL: Final = re.compile(r"(?:cawg|c2pa)\.training-mining(?:\.v[0-9]{1,9})?(?:__[0-9]{1,9})?")
"""Labels of assertions that are read (C2PA, "Assertions": namespacing, versioning, multiple instances)."""

_BROTLI: Final = b"brob"
_STORE: Final = "c2pa"
_ASSERTIONS: Final = "c2pa.assertions"
_MANIFESTS: Final = frozenset((b"c2ma", b"c2um", b"c2md", b"c2cm"))
"""Types of superboxes that are manifests: standard, update, standard as formerly typed, compressed."""

_LABELLED: Final = 2
"""The toggle of a description box that has a label (ISO/IEC 19566-5, A.3)."""

_header = struct.Struct(">I4s").unpack_from
_long_size = struct.Struct(">Q").unpack_from


class UnreadError(ValueError):
    """Something cannot be read; the message says why, in words.

    Attributes:
        spent: octets that were unpacked before that was known.
    """

    def __init__(self, message: str, spent: int = 0) -> None:
        super().__init__(message)
        self.spent = spent


class Assertion(NamedTuple):
    """An assertion about training and data mining.

    Attributes:
        label: its label.
        number: which manifest of the store it belongs to, counted from 1; 0 if it does not stand where a
            manifest has its assertions.
        kind: the type of its content box, such as `cbor`; empty if there is none.
        content: that box's octets, at most `CONTENT_MAX` and one more.
        whole: neither its boxes nor those around it are cut off.
    """

    label: str
    number: int
    kind: str
    content: bytes
    whole: bool


class Store(NamedTuple):
    """What a part holds.

    Attributes:
        assertions: those about training and data mining.
        manifests: how many manifests there are; the last one is the active one.
        stores: how many manifest stores there are.
        faults: what is damaged or was not read.
    """

    assertions: tuple[Assertion, ...] = ()
    manifests: int = 0
    stores: int = 0
    faults: tuple[str, ...] = ()


@dataclass(slots=True)
class Budget:
    """What may still be spent on a file: boxes, octets of assertions, octets of what is unpacked."""

    boxes: int = BOXES_MAX
    contents: int = CONTENTS_MAX
    unpacked: int = UNPACKED_MAX


# -- boxes -----------------------------------------------------------------------------------------------


class _Level(Enum):
    """What a superbox is by its place in a manifest store (C2PA, "Use of JUMBF")."""

    PART = auto()
    STORE = auto()
    MANIFEST = auto()
    ASSERTIONS = auto()
    ASSERTION = auto()
    ELSEWHERE = auto()


class _Place(NamedTuple):
    """Where a superbox stands, and the number of its manifest."""

    level: _Level
    number: int = 0


_ELSEWHERE: Final = _Place(_Level.ELSEWHERE)


class _Walk:
    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.assertions: list[Assertion] = []
        self.manifests = 0
        self.stores = 0
        self.faults: dict[str, None] = {}

    def boxes(self, data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int, bool]]:
        """The boxes in a range: type, start and end of the content, and whether all of it is there."""
        while start < end:
            if end - start < 8:
                if data[start:end].strip(b"\0"):
                    self.faults["a box is cut off"] = None
                return
            size, kind = _header(data, start)
            content = start + 8
            if size == 1 and end - start >= 16:
                size = _long_size(data, content)[0]
                content += 8
            elif size == 0:
                if kind == b"\0\0\0\0" and not data[start:end].strip(b"\0"):
                    return  # padding
                size = end - start
            if size < content - start:
                self.faults["a box has an impossible length"] = None
                return
            if not self.budget.boxes:
                self.faults[f"more than {BOXES_MAX} boxes"] = None
                return
            self.budget.boxes -= 1
            start += size
            if start > end:
                self.faults["a box is cut off"] = None
            yield kind, content, min(start, end), start <= end

    def superbox(self, data: bytes, start: int, end: int, outer: _Place, depth: int, *, whole: bool) -> None:
        """Walk through the content of a superbox that stands at the place `outer`."""
        self._inside(data, start, end, outer, _ELSEWHERE, depth, whole=whole)

    def plain(self, data: bytes, place: _Place, depth: int, *, whole: bool) -> None:
        """Walk through boxes that stand at `place`: those of a part, or what was compressed."""
        self._inside(data, 0, len(data), _ELSEWHERE, place, depth, whole=whole)

    def _inside(
        self, data: bytes, start: int, end: int, outer: _Place, place: _Place, depth: int, *, whole: bool
    ) -> None:
        if depth > DEPTH_MAX:
            self.faults[f"nested more than {DEPTH_MAX} deep"] = None
            return
        label: str | None = None
        wanted = empty = False
        for kind, inner, stop, complete in self.boxes(data, start, end):
            if kind == b"jumd" and label is None:
                label = _label(data, inner, stop)
                place = self._enter(data[inner : inner + 4], label, outer)
                wanted = empty = _LABEL.fullmatch(label) is not None
            elif kind == b"jumb":
                self.superbox(data, inner, stop, place, depth + 1, whole=whole and complete)
            elif kind == _BROTLI:
                self._compressed(data[inner:stop], place, depth, whole=whole and complete)
            elif wanted and label is not None and kind != b"free":
                empty = False
                content = data[inner : min(stop, inner + CONTENT_MAX + 1)]
                self._found(content, kind, label, place, whole=whole and complete)
        if empty and label is not None:
            self._found(b"", b"", label, place, whole=whole)

    def _enter(self, kind: bytes, label: str, place: _Place) -> _Place:
        """The place of a superbox of this type and label, found at that of another."""
        level = place.level
        if level is _Level.PART and label == _STORE:
            self.stores += 1
            return _Place(_Level.STORE)
        if level is _Level.STORE and kind in _MANIFESTS:
            self.manifests += 1
            return _Place(_Level.MANIFEST, self.manifests)
        if level is _Level.MANIFEST and kind in _MANIFESTS:
            return place  # a manifest that was compressed, within the box of that
        if level is _Level.MANIFEST and label == _ASSERTIONS:
            return _Place(_Level.ASSERTIONS, place.number)
        if level is _Level.ASSERTIONS:
            return _Place(_Level.ASSERTION, place.number)
        return _ELSEWHERE

    def _found(self, content: bytes, kind: bytes, label: str, place: _Place, *, whole: bool) -> None:
        self.budget.contents -= len(content)
        if self.budget.contents < 0:
            self.faults[f"assertions of more than {CONTENTS_MAX} octets"] = None
            return
        number = place.number if place.level is _Level.ASSERTION else 0
        self.assertions.append(Assertion(label, number, kind.decode("latin-1"), content, whole))

    def _compressed(self, data: bytes, place: _Place, depth: int, *, whole: bool) -> None:
        """Walk through a compressed manifest (C2PA 2.4, "Compressed Manifests")."""
        # Brotli alone is C2PA's form; in that of ISO/IEC 18181-2 the type of the box comes first.
        packed = data[4:] if data.startswith(b"jumb") else data
        try:
            plain = unbrotli(packed, self.budget.unpacked)
        except UnreadError as error:
            self.budget.unpacked -= max(error.spent, UNPACKED_PIECE)
            self.faults[f"a compressed manifest: {error}"] = None
            return
        self.budget.unpacked -= max(len(plain), UNPACKED_PIECE)
        if _speaks(plain):
            self.plain(plain, place, depth + 1, whole=whole)


def walk(data: bytes, budget: Budget) -> Store:
    """Find the assertions about training and data mining in the boxes of a part.

    Args:
        data: boxes, as a rule one manifest store.
        budget: what may be spent on them, and is less afterwards.

    Returns:
        What there is; nothing at all, faults neither, where no assertion can be of that kind.
    """
    if not _speaks(data):
        return Store()
    walker = _Walk(budget)
    walker.plain(data, _Place(_Level.PART), 0, whole=True)
    return Store(tuple(walker.assertions), walker.manifests, walker.stores, tuple(walker.faults))


def _speaks(data: bytes) -> bool:
    """Whether there can be an assertion about training in some boxes."""
    return NAME in data or _BROTLI in data


def _label(data: bytes, start: int, end: int) -> str:
    """The label of a description box (ISO/IEC 19566-5, A.3), empty if it has none."""
    if end - start < 17 or not data[start + 16] & _LABELLED:
        return ""
    start += 17
    end = min(end, start + LABEL_MAX)
    stop = data.find(b"\0", start, end)
    return data[start : end if stop < 0 else stop].decode("utf-8", "replace")


def unbrotli(data: bytes, room: int) -> bytes:
    """What a Brotli stream (RFC 7932) holds.

    Raises:
        UnreadError: it is damaged, holds more than `room` octets, or there is no library to unpack it.
    """
    if brotli is None or not hasattr(brotli.Decompressor, "can_accept_more_data"):  # below 1.2: unbounded
        raise UnreadError('no Brotli 1.2: pip install "heedful[c2pa]"')
    too_large = f"unpacked, more than {UNPACKED_MAX} octets"
    if room <= 0:
        raise UnreadError(too_large)
    unpacker = brotli.Decompressor()
    pieces: list[bytes] = []
    size = 0
    try:
        while not unpacker.is_finished():
            if pieces and unpacker.can_accept_more_data():
                raise UnreadError("it is cut off", size)
            pieces.append(unpacker.process(b"" if pieces else data, output_buffer_limit=UNPACKED_PIECE))
            size += len(pieces[-1])
            if size > room:
                raise UnreadError(too_large, size)
    except brotli.error as error:
        raise UnreadError("it is damaged", size) from error
    return b"".join(pieces)


# -- content ---------------------------------------------------------------------------------------------


def decoded(kind: str, content: bytes) -> dict[str, Any]:
    """The map that is the content of an assertion.

    Args:
        kind: the type of the content box: `cbor` or `json`.
        content: its octets.

    Returns:
        A map of text strings to whatever JSON or CBOR without tags can hold.

    Raises:
        UnreadError: another type, too large, too deep, malformed, or no map; a key twice, or something behind
            the value, is malformed as well.
    """
    if len(content) > CONTENT_MAX:
        raise UnreadError(f"more than {CONTENT_MAX} octets")
    decode = _DECODERS.get(kind)
    if decode is None:
        raise UnreadError("neither CBOR nor JSON")
    value = decode(content)
    if not isinstance(value, dict):
        raise UnreadError("not a map")
    return value


class _Refusing(dict[int, Any]):
    """Decoders of CBOR's tags: none is needed here, and some build dates, patterns, numbers of any size."""

    def __missing__(self, tag: int) -> Any:
        raise UnreadError(f"tag {tag}")


_NO_TAGS: Final = _Refusing()


def _cbor(content: bytes) -> Any:
    stream = BytesIO(content)
    try:
        value = cbor2.CBORDecoder(
            stream,
            max_depth=CONTENT_DEPTH_MAX,
            semantic_decoders=_NO_TAGS,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
        ).decode()
    except (cbor2.CBORDecodeError, UnreadError) as error:
        raise UnreadError(f"malformed CBOR: {error}") from error
    if stream.tell() < len(content):
        raise UnreadError("malformed CBOR: something behind the value")
    return value


def _json(content: bytes) -> Any:
    try:
        value = json.loads(content, object_pairs_hook=_map)
    except RecursionError:
        raise UnreadError(f"nested more than {CONTENT_DEPTH_MAX} deep") from None
    except ValueError as error:
        raise UnreadError(f"malformed JSON: {error}") from error
    if _depth_exceeds(value, CONTENT_DEPTH_MAX):
        raise UnreadError(f"nested more than {CONTENT_DEPTH_MAX} deep")
    return value


def _map(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise UnreadError("a key twice")
    return value


def _depth_exceeds(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most + 1):
        level = [
            child
            for each in level
            if isinstance(each, (dict, list))
            for child in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return True


_DECODERS: Final[dict[str, Callable[[bytes], Any]]] = {"cbor": _cbor, "json": _json}
