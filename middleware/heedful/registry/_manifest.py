"""The manifest: what a registry consists of, in one small file that is replaced as a whole.

It is JSON in one fixed form: a file that differs from what `Manifest.render` makes of its contents, be it in
a single byte of white space, is damaged.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from heedful.model import isotime, unixtime
from heedful.registry._errors import RegistryError
from heedful.registry._fingerprints import Radii
from heedful.registry.entries import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAME: Final = "MANIFEST.json"
TEMPORARY: Final = NAME + ".tmp"
"""Where the next manifest is written before it takes the place of this one; the lock's holder owns it."""

FORMAT: Final = 1
"""The form described here; a reader refuses any other than this and the next."""

FORMAT_OF_PRINTS: Final = 2
"""That of registries with fingerprints, which say within which radii these are found: an older reader, which
would pass them over, refuses them.
"""

MANIFEST_MAX: Final = 16 * 2**20
"""Octets of a manifest that are read; one of 10,000 segments has about 8 MiB."""

_TICK_NS: Final = 2 * 10**9  # FAT's clock, the slowest one

SEGMENT: Final = re.compile(r"seg-([0-9]{1,20})-[0-9a-f]{8}")
"""The name of a segment's folder: the version that it came with, and what chance adds."""

_FILE: Final = re.compile(r"[A-Z]")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SIGNATURE: Final = re.compile(r"[0-9a-f]{128}")


class File(NamedTuple):
    """A file as it must be: its size in octets and its sha256 in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Part:
    """One segment, as the manifest knows it.

    Attributes:
        name: of its folder.
        entries: how many it holds.
        withdrawals: how many entries of older segments it hides.
        kinds: entries by kind.
        lists: names of the lists that its entries and withdrawals stand in, sorted.
        files: its files by name.
    """

    name: str
    entries: int
    withdrawals: int
    kinds: Mapping[str, int]
    lists: tuple[str, ...]
    files: Mapping[str, File]


@dataclass(frozen=True, slots=True)
class Manifest:
    """One version of a registry.

    Attributes:
        version: counts up with each change, from 1.
        created: when it was made: Unix time, whole seconds.
        valid_until: when it stops being good: Unix time, whole seconds; None: never.
        source: where its entries come from, in words.
        parts: its segments, the oldest first.
        signature: an Ed25519 signature of `body`, in hexadecimal.
        radii: within which fingerprints are found; None: there are none.
    """

    version: int
    created: int
    valid_until: int | None
    source: str
    parts: tuple[Part, ...]
    signature: str | None = None
    radii: Radii | None = None

    @property
    def entries(self) -> int:
        """How many entries all segments hold; one that is listed in several, or withdrawn, counts in each."""
        return sum(part.entries for part in self.parts)

    @property
    def lists(self) -> tuple[str, ...]:
        """The names of all lists, sorted."""
        return tuple(sorted({name for part in self.parts for name in part.lists}))

    @property
    def kinds(self) -> dict[Kind, int]:
        """Entries by kind; see `entries`."""
        return {
            kind: count
            for kind in Kind
            if (count := sum(part.kinds.get(kind.value, 0) for part in self.parts))
        }

    def _fields(self) -> dict[str, Any]:
        radii = {} if self.radii is None else {"radii": self.radii._asdict()}
        return {
            "format": FORMAT if self.radii is None else FORMAT_OF_PRINTS,
            **radii,
            "version": self.version,
            "created": isotime(self.created),
            "valid_until": None if self.valid_until is None else isotime(self.valid_until),
            "source": self.source,
            "segments": [
                {
                    "name": part.name,
                    "entries": part.entries,
                    "withdrawals": part.withdrawals,
                    "kinds": dict(part.kinds),
                    "lists": list(part.lists),
                    "files": {
                        name: {"size": file.size, "sha256": file.sha256} for name, file in part.files.items()
                    },
                }
                for part in self.parts
            ],
        }

    @property
    def body(self) -> bytes:
        """What is signed: everything but the signature and the checksum."""
        return _compact(self._fields())

    @property
    def checksum(self) -> str:
        """The sha256 of the body and the signature, in hexadecimal."""
        return hashlib.sha256(_compact(self._fields() | {"signature": self.signature})).hexdigest()

    def render(self) -> bytes:
        """The file's bytes."""
        fields = self._fields() | {"signature": self.signature, "checksum": self.checksum}
        return (json.dumps(fields, indent=1, sort_keys=True) + "\n").encode()


def _compact(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def parse(data: bytes) -> Manifest:
    """The inverse of `Manifest.render`.

    Raises:
        ValueError: it is no whole manifest; the message says why.
    """
    try:
        fields = json.loads(data)
        if isinstance(fields, dict) and fields.get("format") not in (FORMAT, FORMAT_OF_PRINTS):
            raise ValueError(
                f"its form is {fields.get('format')!r}, not {FORMAT} or {FORMAT_OF_PRINTS}: "
                "made by another release"
            )
        found = _manifest(fields)
        whole = found.render() == data
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError, UnicodeError) as error:
        raise ValueError("it is not in the form of a manifest") from error
    except json.JSONDecodeError as error:
        raise ValueError("it is not JSON") from error
    if not whole:
        raise ValueError("its checksum does not fit")
    return found


def _manifest(fields: dict[str, Any]) -> Manifest:
    valid_until, signature = fields["valid_until"], fields["signature"]
    return Manifest(
        version=_count(fields["version"]),
        created=int(unixtime(fields["created"])),
        valid_until=None if valid_until is None else int(unixtime(valid_until)),
        source=_text(fields["source"]),
        parts=tuple(_part(each) for each in fields["segments"]),
        signature=None if signature is None else _text(signature, _SIGNATURE),
        radii=Radii(**fields["radii"]).checked() if fields["format"] == FORMAT_OF_PRINTS else None,
    )


def _part(fields: dict[str, Any]) -> Part:
    return Part(
        name=_text(fields["name"], SEGMENT),
        entries=_count(fields["entries"]),
        withdrawals=_count(fields["withdrawals"]),
        kinds={Kind(kind).value: _count(count) for kind, count in fields["kinds"].items()},
        lists=tuple(_text(name) for name in fields["lists"]),
        files={
            _text(name, _FILE): File(_count(file["size"]), _text(file["sha256"], _SHA256))
            for name, file in fields["files"].items()
        },
    )


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(value)
    return value


def _text(value: object, form: re.Pattern[str] | None = None) -> str:
    if not isinstance(value, str) or (form is not None and not form.fullmatch(value)):
        raise TypeError(value)
    return value


class Seen(NamedTuple):
    """By what it is told that a file is another one.

    Attributes:
        size: octets.
        mtime_ns: when its content was changed.
        inode: its number.
        ctime_ns: when anything about it was changed, which cannot be set back; on Windows, when it was made.
    """

    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Seen:
        """What `os.stat` says of a file."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns)


def read(folder: Path) -> tuple[Manifest, Seen]:
    """The manifest of the registry in `folder`, and what was seen of its file.

    Raises:
        RegistryError: there is none, or it is damaged.
    """
    try:
        with (folder / NAME).open("rb") as file:
            seen = Seen.of(os.fstat(file.fileno()))
            data = file.read(MANIFEST_MAX + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        what = f"it has no {NAME}" if folder.is_dir() else "there is no such folder"
        raise RegistryError(f"{folder} is no registry: {what}.") from error
    except OSError as error:
        raise RegistryError(f"{folder} cannot be read: {error.strerror}.") from error
    if len(data) > MANIFEST_MAX:
        raise RegistryError(f"{folder} is damaged: {NAME} is longer than {MANIFEST_MAX} octets.")
    try:
        return parse(data), seen
    except ValueError as error:
        raise RegistryError(f"{folder} is damaged: {NAME} cannot be relied upon: {error}.") from error


def write(folder: Path, manifest: Manifest) -> None:
    """Put `manifest` in the place of the present one, in one step; what it names must be on disk.

    Its time of change is always later than that of the present one: clocks may tick more seldom than versions
    follow each other, inodes are used again, and readers would not see that it is another file.

    Raises:
        OSError: it cannot be written.
    """
    temporary = folder / TEMPORARY
    with temporary.open("wb") as file:
        file.write(manifest.render())
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileNotFoundError):
        before = (folder / NAME).stat().st_mtime_ns
        if temporary.stat().st_mtime_ns <= before:
            os.utime(temporary, ns=(before + _TICK_NS, before + _TICK_NS))
    os.replace(temporary, folder / NAME)  # noqa: PTH105 - the one step that all durability hangs on
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable; where folders cannot be opened (Windows), the system does it."""
    if os.name == "nt":  # pragma: no cover
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
