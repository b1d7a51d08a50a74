"""What a walk through an image file finds: packets to be read, and places that could not be read."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple


class Kind(Enum):
    """What a part holds.

    XMP: a packet (or, of an SVG, the whole document). JUMBF: boxes of a C2PA manifest store. COPYRIGHT: the
    text of EXIF's Copyright tag.
    """

    XMP = "XMP"
    JUMBF = "JUMBF"
    COPYRIGHT = "Copyright"


class Part(NamedTuple):
    """Metadata found in a file, decompressed and put together.

    Attributes:
        kind: what it is.
        where: its place, such as `JPEG APP1 XMP at byte 20`.
        data: its bytes.
        whole: False if it is cut off or damaged: it may then deny, but not allow.
    """

    kind: Kind
    where: str
    data: bytes
    whole: bool = True


class Unread(NamedTuple):
    """A place that holds metadata, or may, and was not read: a limit, damage, a missing decompressor."""

    where: str
    why: str


Step = int | Part | Unread
"""What a walk yields."""

Walk = Iterator[Step]
"""A walk through a file, over a buffer that may still grow.

It yields what it finds, and a number when it cannot go on before the buffer holds so many bytes. Whoever
drives it resumes it then, or at once when there will be no more; it takes what is there and never asks twice
for the same.
"""

END: Final = 1 << 62
"""Asked for, it is the end of the file, wherever that is."""

BLOCKS_MAX: Final = 262_144
"""Most chunks or blocks of a file that are walked over: 2 GB of those that libpng writes, of 8 kB each."""

READ_MAX: Final = 4_096
"""Most chunks of a file that may hold metadata, and are looked into; a picture has about ten."""

Buffer = bytes | bytearray
"""The file, or what has come of it so far. A walk copies what it keeps: a bytearray may grow meanwhile."""
