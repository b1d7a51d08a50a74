"""Checksums of a registry's files, and the stamp by which they need not be taken twice.

A stamp tells which files were read whole and found right, and how they looked then: size, times of the last
change, inode. It is a file beside the manifest, or, where that cannot be written, in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from platformdirs import user_cache_path

from heedful.registry._errors import RegistryError
from heedful.registry._manifest import File, Manifest, Part, Seen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

STAMP: Final = "VERIFIED.json"

YOUNG: Final = 2.0
"""Seconds since its last change within which a file is not stamped: file systems' clocks tick as seldom as
every two seconds (FAT), and a change within a tick is not seen.
"""

_YOUNG_NS: Final = int(YOUNG * 1e9)
_BACK_NS: Final = 2 * _YOUNG_NS  # the clock's tick may cut one half of it off

STAMP_MAX: Final = 64 * 2**20
"""Octets of a stamp that are read."""

_CHUNK: Final = 2**20


class Verifier:
    """Checks the files of the registry in `folder`.

    Args:
        folder: the registry.
        private: only stamps in the user's cache folder are heeded: who may write into the registry could
            write a stamp, too, and signatures are there because such people are not trusted.
        stamping: leave a stamp.
    """

    def __init__(self, folder: Path, *, private: bool = False, stamping: bool = True) -> None:
        self._folder = folder
        name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()
        cached = user_cache_path("heedful") / "registries" / f"{name}.json"
        self._places = (cached,) if private else (folder / STAMP, cached)
        self._stamping = stamping

    def pending(self, parts: Iterable[Part]) -> int:
        """How many octets `check` would have to read.

        Raises:
            RegistryError: a file is missing or has another size.
        """
        parts = tuple(parts)
        seen, known = self._look(parts), self._known()
        files = _files(parts)
        return sum(files[name].size for name in files if known.get(name) != (seen[name], files[name].sha256))

    def check(self, manifest: Manifest, parts: Iterable[Part] | None = None, *, anew: bool = False) -> None:
        """Take the checksums of all files that no stamp vouches for.

        Args:
            manifest: says what is right.
            parts: only these segments of it.
            anew: of all files, whatever stamps say.

        Raises:
            RegistryError: a file is missing, truncated or damaged.
        """
        parts = manifest.parts if parts is None else tuple(parts)
        now = time.time()
        seen, known = self._look(parts), {} if anew else self._known()
        files = _files(parts)
        wanting = [name for name in files if known.get(name) != (seen[name], files[name].sha256)]
        for name in wanting:
            if _sha256(self._folder / name) != files[name].sha256:
                raise RegistryError(f"{self._folder} is damaged: the checksum of {name} does not fit.")
        if wanting and self._stamping:
            after = self._look(parts)
            right = known | {name: (seen[name], files[name].sha256) for name in wanting}
            aged = {
                name: (look, sha256)
                for name, (look, sha256) in right.items()
                if look.mtime_ns < (now - YOUNG) * 1e9 and after.get(name, look) == look
            }
            self._stamp(manifest.parts, aged)

    def vouch(self, name: str, sealed: Mapping[str, Sealed], parts: Iterable[Part]) -> None:
        """Stamp what `seal` has read.

        Args:
            name: of the segment.
            sealed: its files.
            parts: this segment and others, whose stamps are kept.
        """
        right = {
            f"{name}/{file}": (each.seen, each.file.sha256)
            for file, each in sealed.items()
            if each.seen is not None
        }
        self._stamp(parts, self._known() | right)

    def _look(self, parts: tuple[Part, ...]) -> dict[str, Seen]:
        seen = {}
        for name, file in _files(parts).items():
            try:
                seen[name] = Seen.of((self._folder / name).stat())
            except OSError as error:
                raise RegistryError(f"{self._folder} is damaged: {name} cannot be read.") from error
            if seen[name].size != file.size:
                raise RegistryError(
                    f"{self._folder} is damaged: {name} has {seen[name].size} octets instead of {file.size}."
                )
        return seen

    def _known(self) -> dict[str, tuple[Seen, str]]:
        known: dict[str, tuple[Seen, str]] = {}
        for place in reversed(self._places):
            with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError, OverflowError):
                with place.open("rb") as file:
                    stamp = json.loads(file.read(STAMP_MAX))
                known |= {name: (Seen(*map(int, look)), sha256) for name, (*look, sha256) in stamp.items()}
        return known

    def _stamp(self, parts: Iterable[Part], known: dict[str, tuple[Seen, str]]) -> None:
        current = _files(parts)
        stamps = {name: [*look, sha256] for name, (look, sha256) in known.items() if name in current}
        data = json.dumps(stamps).encode()
        for place in self._places:
            temporary = place.with_name(f"{place.name}.{secrets.token_hex(4)}.tmp")
            try:
                if place.parent != self._folder:
                    place.parent.mkdir(parents=True, exist_ok=True)
                temporary.write_bytes(data)
                temporary.replace(place)
            except OSError:  # it is a read-only place, or the disk is full: the next one, or none at all
                with suppress(OSError):
                    temporary.unlink()
            else:
                return


def _files(parts: Iterable[Part]) -> dict[str, File]:
    return {f"{part.name}/{name}": file for part in parts for name, file in part.files.items()}


class Sealed(NamedTuple):
    """A file that was read whole, and how it looked then; None: a change would perhaps not be seen."""

    file: File
    seen: Seen | None


def seal(folder: Path) -> dict[str, Sealed]:
    """Take the checksums of a segment's files, which nobody writes any more.

    The time of their last change is set back first. Whatever changes one of them from then on gives it a time
    that cannot be the one seen here, in the same tick of the clock too: so they need not become old before
    they are stamped.

    Raises:
        RegistryError: a file changes meanwhile, or cannot be read.
    """
    sealed = {}
    for path in sorted(folder.iterdir()):
        written = path.stat().st_mtime_ns
        with suppress(OSError):  # some mounted stores keep no times: these are not stamped
            os.utime(path, ns=(written - _BACK_NS, written - _BACK_NS))
        seen = Seen.of(path.stat())
        sha256 = _sha256(path)
        if Seen.of(path.stat()) != seen:
            raise RegistryError(f"{path} is being changed by another process.")
        aged = seen.mtime_ns <= written - _YOUNG_NS
        sealed[path.name] = Sealed(File(seen.size, sha256), seen if aged else None)
    return sealed


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK))
    try:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                digest.update(buffer[:count])
    except OSError as error:
        raise RegistryError(f"{path} cannot be read: {error.strerror}.") from error
    return digest.hexdigest()
