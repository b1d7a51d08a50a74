"""Files: found by path, URL, wildcard or folder; opened and decompressed as they are read."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import sys
import zlib
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

import fsspec
import zstandard
from fsspec.implementations.local import LocalFileSystem

from heedful.registry.sources._items import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STDIN: Final = "-"
"""The name under which standard input is read."""

CHUNK: Final = 1_048_576
"""Octets that are read at once."""

_ZSTD_CHUNK: Final = 4_096
"""Compressed octets that are given to zstd at once; each 4 may become 128 KiB (RFC 8878, RLE blocks)."""

UNREADABLE: Final = (
    OSError,
    ValueError,
    ImportError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zstandard.ZstdError,
)
"""What reading a file raises that cannot be read."""


class File(NamedTuple):
    """A file that was found.

    Attributes:
        name: its path or URL, for people.
        size: octets as stored, None if not known.
        fs: the fsspec file system; None: it is standard input, or a pipe of this machine.
        path: its path there.
    """

    name: str
    size: int | None
    fs: Any
    path: str


def find(source: str) -> list[File]:
    """The files of a source.

    Args:
        source: a path or a URL that fsspec understands, of a file, or of a folder (all files in it, but
            those hidden or beginning with `_`); perhaps with wildcards; `-` for standard input.

    Raises:
        SourceError: there is none, or it cannot be reached.
    """
    if source == STDIN:
        return [File("standard input", None, None, STDIN)]
    try:
        fs, path = fsspec.core.url_to_fs(source)
        if fs.isfile(path):
            return [_file(fs, path, source)]
        special = isinstance(fs, LocalFileSystem) and fs.exists(path) and not fs.isdir(path)
        if special:  # a pipe, such as the shell's <(...)
            return [File(source, None, None, path)]
        if fs.isdir(path):
            names = [name for name in fs.find(path) if not _hidden(name[len(path) :])]
        else:
            names = [name for name in fs.glob(path) if fs.isfile(name)] if any(map(path.count, "*?[")) else []
        if not names:
            raise SourceError(f"{source}: there is no such file, or no file in it.")
        return [
            _file(fs, name, fs.unstrip_protocol(name) if "://" in source else name) for name in sorted(names)
        ]
    except UNREADABLE as error:
        raise SourceError(f"{source} cannot be read: {words(error)}.") from error


def _file(fs: Any, path: str, name: str) -> File:
    return File(name, fs.size(path), fs, path)


def _hidden(path: str) -> bool:
    return any(part.startswith((".", "_")) for part in path.replace("\\", "/").split("/"))


def words(error: BaseException) -> str:
    """What an error says."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).rstrip(".") or type(error).__name__


class _Counted(io.RawIOBase):
    """A file, read from its start once more: some of it first from memory. Counts what was read."""

    def __init__(self, begun: bytes, file: IO[bytes]) -> None:
        self._begun = begun
        self._file = file
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._begun[: len(buffer)] or self._file.read(len(buffer))
        self._begun = self._begun[len(buffer) :]
        buffer[: len(data)] = data
        self.count += len(data)
        return len(data)


def _zstandard(file: IO[bytes]) -> Iterator[bytes]:
    """The frames of a zstd file; one that is cut off is an error, as it is in the other formats."""
    decompressor = zstandard.ZstdDecompressor()
    frame = decompressor.decompressobj()
    whole = True
    while data := file.read(_ZSTD_CHUNK):
        while data:
            yield frame.decompress(data)
            whole = frame.eof
            data = frame.unused_data if whole else b""
            if whole:
                frame = decompressor.decompressobj()
    if not whole:
        raise EOFError("Compressed file ended before the end-of-stream marker was reached")


def _blocks(file: Any) -> Iterator[bytes]:
    return iter(lambda: file.read(CHUNK), b"")


_GZIP: Final = b"\x1f\x8b\x08"
_XZ: Final = b"\xfd7zXZ\x00"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_BZIP2: Final = re.compile(rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)")
"""A level, then a first block's magic number, or at once the end's."""

_MAGIC_MAX: Final = 10
"""Octets that tell a compression."""


def _decompressed(begun: bytes, file: Any) -> Iterator[bytes] | None:
    """What decompresses a file that begins so; None: nothing needs to."""
    if begun.startswith(_GZIP):
        return _blocks(gzip.GzipFile(fileobj=file))
    if begun.startswith(_XZ):
        return _blocks(lzma.open(file))
    if begun.startswith(_ZSTD):
        return _zstandard(file)
    return _blocks(bz2.open(file)) if _BZIP2.match(begun) else None


class Stream:
    """An open file: its octets, decompressed, in chunks."""

    def __init__(self, file: File) -> None:
        """Open it.

        Raises:
            SourceError: it cannot be read.
        """
        self.name = file.name
        self._close: IO[bytes] | None = None
        try:
            if file.path == STDIN:
                self.raw: IO[bytes] = sys.stdin.buffer
            else:
                pipe = file.fs is None  # fsspec's own way of opening seeks in it
                opened = io.BufferedReader(io.FileIO(file.path)) if pipe else file.fs.open(file.path, "rb")
                self.raw = self._close = opened
            begun = self.raw.read(_MAGIC_MAX)
        except UNREADABLE as error:
            raise SourceError(f"{self.name} cannot be read: {words(error)}.") from error
        self._counted = _Counted(begun, self.raw)
        buffered: Any = io.BufferedReader(self._counted, CHUNK)
        decompressed = _decompressed(begun, buffered)
        self.compressed = decompressed is not None
        self._chunks = self._guarded(_blocks(buffered) if decompressed is None else decompressed)
        self._head: list[bytes] = []

    def _guarded(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        try:
            yield from chunks
        except UNREADABLE as error:
            raise SourceError(f"{self.name} cannot be read: {words(error)}.") from error

    def head(self, size: int) -> tuple[bytes, bool]:
        """Its first octets, at most `size`, and whether these are all; they are still there to be read."""
        while sum(map(len, self._head)) <= size and (chunk := next(self._chunks, None)) is not None:
            self._head.append(chunk)
        whole = b"".join(self._head)
        return whole[:size], len(whole) <= size

    def __iter__(self) -> Iterator[bytes]:
        yield from self._head
        self._head.clear()
        yield from self._chunks

    @property
    def position(self) -> int:
        """Octets, as stored, that were read so far."""
        return self._counted.count

    def close(self) -> None:
        """Close it."""
        if self._close is not None:
            self._close.close()
