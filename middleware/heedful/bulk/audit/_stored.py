"""What an audit goes through: pictures as they lie in a dataset, and the shards that they lie in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from heedful.errors import HeedfulError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from heedful.bulk.audit._folder import Folder
    from heedful.bulk.audit._staging import Staging

PICTURES: Final = frozenset(
    {"jpg", "jpeg", "png", "webp", "gif", "avif", "bmp", "tif", "tiff", "heic", "jxl", "jp2", "svg"}
)
"""What the names of pictures end with, in lower case: img2dataset writes jpg, png or webp."""

PICTURE_MAX: Final = 256 * 2**20
"""Bytes of a stored picture that is read: what is larger is in doubt. Crawlers store a thousandth of it."""

TOO_LARGE: Final = f"larger than {PICTURE_MAX >> 20} MiB"
"""Why such a picture is not read."""

PRIVATE: Final = "_heedful"
"""The folder of our own files in a dataset."""


class UnreadableError(HeedfulError):
    """A shard, or what is left of it, cannot be read: what is in it is not known."""


class UnchangeableError(HeedfulError):
    """A shard must not or cannot be changed: it is left as it is."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A picture as it lies in a dataset.

    Attributes:
        key: what it is known by in its shard.
        place: where it lies, relative to the dataset's folder: a file, or a file, a colon and what it is
            called in there.
        data: its bytes; None: they are not read.
        urls: its URL, then those that redirects led to; none: not known.
        sha256: the digest of the original, as it was noted when it was fetched; None: it was not.
        md5: the same.
        fault: why its bytes are not read.
    """

    key: str
    place: str
    data: bytes | None = None
    urls: tuple[str, ...] = ()
    sha256: bytes | None = None
    md5: bytes | None = None
    fault: str | None = None


class Unit(ABC):
    """What is rewritten as a whole. Travels to workers.

    Attributes:
        folder: the dataset's folder.
        name: unique in the dataset, and no path.
    """

    folder: Folder
    name: str

    @abstractmethod
    def rewrite(self, removed: Mapping[str, str], staging: Staging) -> None:
        """Stage what it is to be without some pictures.

        Args:
            removed: the reasons by the pictures' keys.
            staging: takes what is to be written and removed, in this order.

        Raises:
            UnchangeableError: it must not be changed.
            UnreadableError, OSError: it cannot be.
        """

    @abstractmethod
    def state(self) -> object:
        """What changes when somebody else changes it; None: that does not matter."""


class Shard(ABC):
    """A part of a dataset that is read on its own. Travels to workers.

    Attributes:
        name: unique in the dataset.
    """

    name: str

    @abstractmethod
    def pictures(self) -> Iterator[Stored]:
        """The pictures that lie in it, as they are read.

        Raises:
            UnreadableError: it cannot be read, or not to its end.
        """

    @property
    @abstractmethod
    def unit(self) -> Unit:
        """What is rewritten when pictures in it are removed."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """What was recognised.

    Attributes:
        folder: its folder.
        words: what it is, for people.
        shards: its parts.
        left_out: the names of parts that somebody still writes.
        ledger: the name of the ledger that came with it, or that it gets.
    """

    folder: Folder
    words: str
    shards: tuple[Shard, ...]
    left_out: tuple[str, ...]
    ledger: str


def digest(text: object, length: int) -> bytes | None:
    """A digest that was noted in hexadecimal; None: it is none."""
    try:
        found = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        return None
    return found if len(found) == length else None


def read_picture(folder: Folder, name: str) -> tuple[bytes | None, str | None]:
    """A picture's bytes, or why they are not read."""
    try:
        with folder.open(name) as file:
            data = file.read(PICTURE_MAX + 1)
    except OSError as error:
        return None, f"cannot be read: {error.strerror or error}"
    return (data, None) if len(data) <= PICTURE_MAX else (None, TOO_LARGE)
