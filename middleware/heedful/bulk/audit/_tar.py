"""Tar files of samples, as webdataset reads them: members whose names agree up to the first dot.

They are copied as they are, byte by byte, headers too, without the members of some samples.
"""

from __future__ import annotations

import tarfile
from typing import IO, TYPE_CHECKING, Final

from heedful.bulk.audit._folder import BLOCK
from heedful.bulk.audit._stored import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

_MARK: Final = bytes(2 * tarfile.BLOCKSIZE)
"""The end of a tar file."""


def split(name: str) -> tuple[str, str]:
    """A member's sample and what it is of it: its name up to the first dot of its last part, and the rest."""
    folder, slash, base = name.rpartition("/")
    key, _, kind = base.partition(".")
    return folder + slash + key, kind


class Member:
    """A member of a tar file that is being gone through."""

    def __init__(self, tar: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        self._tar = tar
        self._info = info
        self.name = info.name
        self.size = info.size
        self.key, self.kind = split(info.name)

    def read(self) -> bytes:
        """Its content.

        Raises:
            UnreadableError: it breaks off.
        """
        try:
            file = self._tar.extractfile(self._info)
            data = b"" if file is None else file.read()
        except (tarfile.TarError, OSError) as error:
            raise UnreadableError(f"it breaks off in {self.name}") from error
        if len(data) != self.size:
            raise UnreadableError(f"it breaks off in {self.name}")
        return data


class _Archive:
    """A tar file that is gone through once, remembering nothing of it.

    Attributes:
        end: where its end mark is, once all was gone through.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.end = 0

    def __iter__(self) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
        """The members.

        Raises:
            UnreadableError: it is no tar file, or breaks off: unlike tarfile, which takes that for its end.
        """
        self._file.seek(0)
        try:
            with tarfile.open(fileobj=self._file, mode="r:") as tar:
                while (info := tar.next()) is not None:
                    yield tar, info
                    tar.members.clear()  # type: ignore[attr-defined] # which would keep them all
                self.end = tar.offset
        except (tarfile.TarError, OSError, EOFError) as error:
            raise UnreadableError(f"it is no tar file, or it is damaged: {error}") from error
        self._file.seek(self.end)
        mark = self._file.read(tarfile.BLOCKSIZE)
        if len(mark) < tarfile.BLOCKSIZE or any(mark):
            raise UnreadableError(f"it is damaged, or breaks off, after {self.end:,} bytes")


def members(file: IO[bytes]) -> Iterator[Member]:
    """The members that are files, one after the other.

    Raises:
        UnreadableError: it cannot be read to its end.
    """
    for tar, info in _Archive(file):
        if info.isreg():
            yield Member(tar, info)


def copy_without(file: IO[bytes], target: IO[bytes], gone: Container[str]) -> None:
    """Copy a tar file without the members of some samples.

    Args:
        file: the file, which can be read at any place.
        target: where to.
        gone: the keys of the samples that are left out.

    Raises:
        UnreadableError: it cannot be read to its end.
    """
    archive = _Archive(file)
    parts = [(0, True)]  # what comes before the first member speaks of all
    parts += [(info.offset, split(info.name)[0] not in gone) for _, info in archive]
    written = 0
    for (start, kept), (stop, _) in zip(parts, [*parts[1:], (archive.end, False)], strict=True):
        if kept:
            _copy(file, target, start, stop)
            written += stop - start
    target.write(_MARK)
    target.write(bytes(-(written + len(_MARK)) % tarfile.RECORDSIZE))


def _copy(file: IO[bytes], target: IO[bytes], start: int, stop: int) -> None:
    file.seek(start)
    while start < stop:
        block = file.read(min(stop - start, BLOCK))
        if not block:
            raise UnreadableError("it breaks off")
        target.write(block)
        start += len(block)
