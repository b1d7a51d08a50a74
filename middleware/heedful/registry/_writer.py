"""Changes registries: new ones, updates on top, and segments merged into one.

A change is made beside what is there, under a lock, and takes its place in one step, the replacement of the
manifest. Whatever stops it before that, be it kill -9 or a full disk, leaves the registry as it was.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from heedful.model import Purpose, isotime
from heedful.registry import _manifest as manifests
from heedful.registry._errors import RegistryError
from heedful.registry._fingerprints import Radii
from heedful.registry._locking import LOCK, Lock
from heedful.registry._manifest import Manifest, Part
from heedful.registry._segment import MEMORY, Segment, SegmentSummary, SegmentWriter
from heedful.registry._signing import sign, signed_by
from heedful.registry._verifying import STAMP, Verifier, seal
from heedful.registry._visible import visible
from heedful.registry.entries import Indexed, Kind, Marker, index

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date
    from types import TracebackType

    from typing_extensions import Self

    from heedful.registry._records import Record
    from heedful.registry.entries import Entry

SOURCE_MAX: Final = 2000
"""Characters of a manifest's `source`; those of the oldest updates are left out beyond that."""

KEPT: Final = 600.0
"""Seconds for which segments that a change has replaced stay at least, for readers that have read the
manifest before, and check or map what it names: at 500 MB/s, 300 GB. The next change after that removes them.
"""

URLS: Final = 1024
"""Texts that `Writer.add_urls` hands on at once: 16 MB of the longest ones."""

_BETWEEN: Final = "; "
_ELLIPSIS: Final = "..."
_PATHS: Final = {Kind.PATH, Kind.PATTERN}


class Writer:
    """Changes a registry: `with Writer.build(...) as writer:`, or `Writer.update(...)`.

    Leaving the block commits: readers see all of the change from then on. An error in it, or at the end,
    leaves the registry as it was. A writer serves one thread.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        new: bool,
        source: str | None,
        valid_until: float | None,
        key: bytes | Path | None,
        memory: int,
        now: Callable[[], float],
        radii: Radii | None = None,
    ) -> None:
        """For `build` and `update`."""
        self._folder = Path(folder)
        self._new = new
        self._source = source
        self._valid_until = valid_until
        self._key = key
        self._memory = memory
        self._now = now
        self._radii = radii
        self._change: _Change | None = None
        self._fault: OSError | None = None
        self._result: tuple[SegmentSummary, Manifest] | None = None

    @classmethod
    def build(
        cls,
        folder: str | Path,
        *,
        source: str,
        valid_until: float | None = None,
        key: bytes | Path | None = None,
        memory: int = MEMORY,
        now: Callable[[], float] = time.time,
        radii: Radii | None = None,
    ) -> Self:
        """Make a registry, or replace one by what is added now.

        Args:
            folder: the registry; made if need be. One that is not empty must hold a registry.
            source: where its entries come from, in words.
            valid_until: when it stops being good: Unix time, of which whole seconds count; None: never.
            key: the private key (PEM, or 32 raw octets) or its file, by which it is signed.
            memory: octets to take at most, about, however much is added.
            now: the time.
            radii: within which its fingerprints, if it holds any, are found; None: `Radii()`.

        Raises:
            ValueError: there are no such radii.
            RegistryError: on entering or leaving the block, or adding: another process is changing it, it is
                signed and no key is given, `valid_until` is past, or it cannot be written.
        """
        return cls(
            folder,
            new=True,
            source=source,
            valid_until=valid_until,
            key=key,
            memory=memory,
            now=now,
            radii=None if radii is None else radii.checked(),
        )

    @classmethod
    def update(
        cls,
        folder: str | Path,
        *,
        source: str | None = None,
        valid_until: float | None = None,
        key: bytes | Path | None = None,
        memory: int = MEMORY,
        now: Callable[[], float] = time.time,
    ) -> Self:
        """Add to a registry, and take back what it holds, as its next version.

        Args:
            folder: the registry.
            source: where the new entries come from: is added to what the registry says of itself.
            valid_until: as in `build`; None: as it was.
            key: that of the present version, if it is signed.
            memory: as in `build`.
            now: the time.

        Raises:
            RegistryError: as in `build`; also if there is none, it is damaged, or the key is another one.
        """
        return cls(folder, new=False, source=source, valid_until=valid_until, key=key, memory=memory, now=now)

    @property
    def summary(self) -> SegmentSummary:
        """What was written, once it is."""
        return self._written()[0]

    @property
    def manifest(self) -> Manifest:
        """The version that was made, once it is."""
        return self._written()[1]

    def _written(self) -> tuple[SegmentSummary, Manifest]:
        if self._result is None:
            raise ValueError("nothing was written yet")
        return self._result

    def __enter__(self) -> Self:
        if self._change is not None or self._result is not None:
            raise ValueError("a writer serves for one change")
        valid_until = None if self._valid_until is None else _future(self._valid_until, self._now())
        change = _Change(self._folder, key=self._key, memory=self._memory, new=self._new)
        base = change.base
        if self._new or base is None:
            self._parts: tuple[Part, ...] = ()
            self._described, self._good_until = _sources(self._source), valid_until
        else:
            try:
                Verifier(self._folder).pending(base.parts)
            except BaseException:
                change.end()
                raise
            self._parts = base.parts
            self._radii = base.radii
            self._described = _sources(base.source, self._source)
            self._good_until = base.valid_until if valid_until is None else valid_until
        self._change = change
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        change, self._change = self._change, None
        if change is None:
            return
        try:
            if kind is None:
                if self._fault is not None:
                    raise self._fault
                self._result = change.commit(
                    parts=self._parts,
                    source=self._described,
                    valid_until=self._good_until,
                    created=self._now(),
                    radii=self._radii,
                )
        except OSError as fault:
            raise _unwritable(self._folder, fault) from fault
        finally:
            change.end()

    def add(self, entry: Entry, indexed: Indexed | None = None) -> None:
        """Add an entry.

        Args:
            entry: the entry.
            indexed: where it is filed, if that is known already, as `index` says.

        Raises:
            ValueError: it is no such entry; the message says what is wrong.
            RegistryError: it cannot be written.
        """
        segment = self._segment()
        try:
            segment.add(entry, indexed or index(entry.kind, entry.text))
        except OSError as error:
            raise self._failed(error) from error

    def add_urls(
        self,
        texts: Sequence[str],
        *,
        list: str,  # noqa: A002 - as the field of an entry is named
        opt_in: bool = False,
        date: date | None = None,
        purpose: Purpose = Purpose.TRAIN_ANY,
        expires: date | None = None,
    ) -> None:
        """Add entries of the kind `url` that differ in their text only: as `add`, sooner.

        Args:
            texts: the entries, however many.
            list: the name of the list that they stand in.
            opt_in: the owners agree; else they decline.
            date: when the wishes were registered.
            purpose: the use that they are about.
            expires: the last day (UTC) on which they are in force.

        Raises:
            ValueError: one of them is empty or too long; some of those before it are added.
            RegistryError: they cannot be written.
        """
        segment = self._segment()
        try:
            for begin in range(0, len(texts), URLS):
                segment.add_urls(
                    texts[begin : begin + URLS],
                    list=list,
                    opt_in=opt_in,
                    date=date,
                    purpose=purpose,
                    expires=expires,
                )
        except OSError as error:
            raise self._failed(error) from error

    def withdraw(self, entry: Entry) -> None:
        """Take back what earlier versions hold: all entries with the same list, kind and key, whatever else
        they say; of patterns, those of the same pattern. What is added in this change stays.

        Args:
            entry: its kind, text and list count.

        Raises:
            ValueError: it is no such entry, or the registry is a new one.
            RegistryError: it cannot be written.
        """  # noqa: D205 - one sentence
        if self._new:
            raise ValueError("a new registry holds nothing to take back")
        segment = self._segment()
        try:
            segment.add(entry, index(entry.kind, entry.text), withdrawal=True)
        except OSError as error:
            raise self._failed(error) from error

    def _segment(self) -> SegmentWriter:
        if self._change is None:
            raise ValueError("a writer writes within its block only")
        return self._change.segment

    def _failed(self, fault: OSError) -> RegistryError:
        self._fault = fault
        return _unwritable(self._folder, fault)


def merge(
    folder: str | Path,
    *,
    key: bytes | Path | None = None,
    memory: int = MEMORY,
    progress: Callable[[int, int], None] | None = None,
    now: Callable[[], float] = time.time,
) -> Manifest:
    """Make one segment of all, without duplicates and what was taken back; the order of entries is kept.

    Args:
        folder: the registry. Of one segment, nothing is done.
        key: that of the present version, if it is signed.
        memory: octets to take at most, about.
        progress: is told how many entries were read, and how many there are.
        now: the time.

    Returns:
        The version that was made.

    Raises:
        RegistryError: as `Writer.update`.
    """
    folder = Path(folder)
    change = _Change(folder, key=key, memory=memory, new=False)
    segments: list[Segment] = []
    try:
        base = manifests.read(folder)[0]
        if len(base.parts) <= 1:
            return base
        Verifier(folder, private=key is not None).check(base)
        segments = [Segment(folder / part.name) for part in base.parts]
        read = 0
        for some in visible(segments):
            for record in some.records:
                change.segment.add(record.entry, _filed(record))
            read += some.read
            if progress is not None:
                progress(read, base.entries)
        return change.commit(
            parts=(),
            source=base.source,
            valid_until=base.valid_until,
            created=now(),
            radii=base.radii,
        )[1]
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        for segment in segments:
            segment.close()
        change.end()


class _Change:
    """A change of a registry: holds its lock, has a segment written beside the others, names it at the end.

    Args:
        folder: the registry.
        key: the private key, or its file, if it is to be signed.
        memory: octets that writing may take, about.
        new: it is made, or replaced, whatever it holds.

    Attributes:
        base: what is there; None: nothing.
        segment: what is to be filled.

    Raises:
        RegistryError: it is none, cannot be changed, or not with this key.
    """

    def __init__(self, folder: Path, *, key: bytes | Path | None, memory: int, new: bool) -> None:
        self.folder = folder
        self._key = key
        self._made = False
        try:
            if new:
                self._made = _prepare(folder)
            else:
                manifests.read(folder)  # a folder that is no registry is not touched
        except OSError as error:
            raise _unwritable(folder, error) from error
        try:
            self._lock = Lock(folder)
        except RegistryError:
            self._unmake()
            raise
        try:
            self.base = self._read(new=new)
            self._clean()
            self._version = 1 if self.base is None else self.base.version + 1
            self._name = f"seg-{self._version}-{token_hex(4)}"
            self.segment = SegmentWriter(folder / self._name, memory=memory)
        except OSError as error:
            self._release()
            raise _unwritable(folder, error) from error
        except BaseException:
            self._release()
            raise

    def _read(self, *, new: bool) -> Manifest | None:
        """What is there, if it may be changed with this key."""
        folder, key = self.folder, self._key
        if key is not None:
            sign(b"", key)  # it can be used: better told now than at the end
        if new and not (folder / manifests.NAME).exists():
            return None
        try:
            base = manifests.read(folder)[0]
        except RegistryError as error:
            if not new:
                raise
            raise RegistryError(f"{error} Remove the folder to build it anew.") from error
        if base.signature is not None and key is None:
            raise RegistryError(
                f"{folder} is signed: give the private key, so that the next version is signed, too."
            )
        if not new and key is not None:
            if base.signature is None:
                raise RegistryError(
                    f"{folder} is not signed, and what it holds would be, by the key given: build it anew."
                )
            if not signed_by(base.body, base.signature, key):
                raise RegistryError(
                    f"{folder} is not signed by the key given: another one, or it was forged."
                )
        return base

    def _clean(self) -> None:
        """Remove what killed writers have left behind, and what has been replaced for long."""
        named, version, replaced_for = set[str](), 0, KEPT
        if self.base is not None:
            named, version = {part.name for part in self.base.parts}, self.base.version
            replaced_for = time.time() - (self.folder / manifests.NAME).stat().st_mtime
        for path in self.folder.iterdir():
            found = manifests.SEGMENT.fullmatch(path.name)
            if found is None:
                if path.name == manifests.TEMPORARY or _is_stamp(path.name):
                    path.unlink(missing_ok=True)
            elif path.name not in named and (int(found[1]) > version or replaced_for >= KEPT):
                shutil.rmtree(path, ignore_errors=True)

    def commit(
        self,
        *,
        parts: tuple[Part, ...],
        source: str,
        valid_until: int | None,
        created: float,
        radii: Radii | None,
    ) -> tuple[SegmentSummary, Manifest]:
        """Make it so: `parts`, and the segment on top of them, are the registry.

        Raises:
            RegistryError: the segment would be too large, or the manifest.
            OSError: the disk is full, for example.
        """
        summary = self.segment.finish()
        folder = self.folder / self._name
        sealed = seal(folder)
        if summary.entries or summary.withdrawals or not parts:
            kinds = {kind.value: count for kind, count in summary.kinds.items() if count}
            files = {name: each.file for name, each in sealed.items()}
            lists = tuple(sorted(summary.lists))
            parts += (Part(self._name, summary.entries, summary.withdrawals, kinds, lists, files),)
        manifest = Manifest(self._version, int(created), valid_until, source, parts)
        if Kind.PHASH in manifest.kinds:
            manifest = replace(manifest, radii=radii or Radii())
        if self._key is not None:
            manifest = replace(manifest, signature=sign(manifest.body, self._key))
        if len(manifest.render()) > manifests.MANIFEST_MAX:
            raise RegistryError(f"{self.folder} has too many segments, or names of lists: merge it first.")
        if self._made:
            manifests.sync_folder(self.folder.parent)
        manifests.sync_folder(self.folder)
        replaced = () if self.base is None else self.base.parts
        # first the stamp, so that no reader who sees the new manifest takes the checksums again
        Verifier(self.folder, private=self._key is not None).vouch(self._name, sealed, (*replaced, *parts))
        manifests.write(self.folder, manifest)
        return summary, manifest

    def end(self) -> None:
        """Give the lock back, and remove what was written unless it is part of the registry."""
        if not self._is_named():
            self.segment.abort()
            with suppress(OSError):
                (self.folder / manifests.TEMPORARY).unlink(missing_ok=True)
        self._release()

    def _is_named(self) -> bool:
        try:
            return any(part.name == self._name for part in manifests.read(self.folder)[0].parts)
        except RegistryError:
            return self.base is not None  # it is not known: the next writer will see

    def _release(self) -> None:
        is_there = (self.folder / manifests.NAME).exists()
        if not is_there:
            with suppress(OSError):
                (self.folder / STAMP).unlink(missing_ok=True)
        self._lock.release(remove=not is_there)
        self._unmake()

    def _unmake(self) -> None:
        if self._made:
            with suppress(OSError):  # it is not empty: all went well
                self.folder.rmdir()


def _filed(record: Record) -> Indexed:
    """Where a record is filed, as `index` said of its entry."""
    if record.entry.kind not in _PATHS:
        return Indexed(record.key)
    # there is no slash in a host, and each prefix begins with one
    scope, _, rest = record.key[1:].decode().partition("/")
    below = scope.startswith("*.")
    return Indexed(record.key, Marker(scope[2:] if below else scope, 1 + len(rest), below))


def _future(valid_until: float, now: float) -> int:
    try:
        seconds = int(valid_until)
        shown = isotime(seconds)
    except (ValueError, OverflowError, OSError) as error:
        raise RegistryError(f"A registry cannot be valid until {valid_until}: it is no time.") from error
    if seconds <= now:
        raise RegistryError(f"A registry cannot be valid until {shown}: that is past.")
    return seconds


def _sources(*sources: str | None) -> str:
    """Several sources as one: each once, the first and the newest ones if not all fit in."""
    parts = [part for source in sources if source for part in source.split(_BETWEEN) if part != _ELLIPSIS]
    parts = list(dict.fromkeys(parts))
    whole = _BETWEEN.join(parts)
    while len(whole) > SOURCE_MAX and len(parts) > 2:
        del parts[1]
        whole = _BETWEEN.join((parts[0], _ELLIPSIS, *parts[1:]))
    return whole if len(whole) <= SOURCE_MAX else whole[: SOURCE_MAX - len(_ELLIPSIS)] + _ELLIPSIS


def _prepare(folder: Path) -> bool:
    """Have a folder for a registry; whether it was made.

    Raises:
        RegistryError: there is something else.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        if not folder.is_dir():
            raise RegistryError(f"{folder} is no folder.") from error
    else:
        return True
    if not (folder / manifests.NAME).exists():
        strange = next((path.name for path in folder.iterdir() if not _is_ours(path.name)), None)
        if strange is not None:
            raise RegistryError(f"{folder} is no registry, and not empty: it holds {strange}.")
    return False


def _is_ours(name: str) -> bool:
    """Whether it is what a writer leaves that was killed before the first version was whole."""
    known = {LOCK, manifests.TEMPORARY, STAMP}
    return name in known or _is_stamp(name) or manifests.SEGMENT.fullmatch(name) is not None


def _is_stamp(name: str) -> bool:
    """Whether it is a stamp that was not put in its place."""
    return name.startswith(STAMP + ".") and name.endswith(".tmp")


def _unwritable(folder: Path, error: OSError) -> RegistryError:
    return RegistryError(f"{folder} could not be changed: {error.strerror or error}.")
