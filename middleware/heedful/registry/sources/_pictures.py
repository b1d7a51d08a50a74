"""Pictures themselves as a list: of each file its sha256, and its fingerprint, by which its likes are found.

One that is shown otherwise than it is stored (turned, as its tags say) has a fingerprint for each.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import posixpath
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from heedful import fingerprint
from heedful._processes import cores, ignore_interrupts
from heedful.media_type import SNIFF_BYTES, is_raster
from heedful.model import printable
from heedful.registry.entries import Kind
from heedful.registry.sources import _files
from heedful.registry.sources._formats import Format
from heedful.registry.sources._items import Defaults, SourceError, checked, reject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Executor, Future

    from heedful.registry.entries import Entry
    from heedful.registry.sources._files import File
    from heedful.registry.sources._items import Reject, Urls

KINDS: Final = (Kind.SHA256, Kind.PHASH)
"""What is taken of a picture, unless one of `POSSIBLE` is asked for."""

POSSIBLE: Final = frozenset({Kind.SHA256, Kind.MD5, Kind.PHASH})

OCTETS_MAX: Final = 256 << 20
"""Octets of a picture that is read."""

ALONE: Final = 32
"""Pictures for which no processes are started: these take longer to start."""

AT_ONCE: Final = 16
"""Pictures that a process is given at once."""

AHEAD: Final = 4
"""Such parts for each process that are under way."""

_SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".tif", ".tiff", ".bmp", ".ico", ".avif"}
    | {".heic", ".heif", ".jxl", ".jp2", ".j2k"}
)
"""How pictures' names end; one that does and is no picture is a reject, rather than no list."""


class Taken(NamedTuple):
    """What was taken of a picture.

    Attributes:
        texts: an entry's text for each kind.
        fault: why there are not all; None: there are.
    """

    texts: tuple[tuple[Kind, str], ...]
    fault: str | None = None


def is_picture(file: File) -> bool:
    """Whether a file is a picture, by its name or its first octets."""
    if file.fs is None:  # what cannot be read twice
        return False
    if posixpath.splitext(file.path)[1].lower() in _SUFFIXES:
        return True
    try:
        with file.fs.open(file.path, "rb") as opened:
            return is_raster(opened.read(SNIFF_BYTES))
    except _files.UNREADABLE:
        return False  # whoever reads it tells


class Pictures:
    """The pictures of a source; their entries are there to be read once.

    Attributes:
        name: of the source.
        format: that they are pictures.
        columns: none.
        size: octets.
    """

    format = Format.IMAGES
    columns: tuple[str, ...] = ()

    def __init__(self, name: str, files: Sequence[File], defaults: Defaults) -> None:
        """Of some files.

        Raises:
            SourceError: what is asked for is nothing that pictures have.
            ConfigurationError: Pillow is not installed.
        """
        if defaults.kind is not None and defaults.kind not in POSSIBLE:
            raise SourceError(
                f"{name}: pictures have no {defaults.kind}: give sha256, md5 or phash as --kind."
            )
        self.name = name
        self.size = sum(file.size or 0 for file in files)
        self.position = 0
        self._files = files
        self._terms = defaults.terms
        self._kinds = KINDS if defaults.kind is None else (defaults.kind,)
        if Kind.PHASH in self._kinds:
            fingerprint.require()
        self._done = 0
        self._pool: ProcessPoolExecutor | None = None

    def __iter__(self) -> Iterator[Entry | Reject | Urls]:
        within = posixpath.commonpath([posixpath.dirname(file.path) for file in self._files])
        names = [posixpath.relpath(file.path, within or ".") for file in self._files]
        try:
            for number, (file, taken) in enumerate(zip(self._files, self._taken(names), strict=True), 1):
                self.position += file.size or 0
                self._done = number
                if taken.fault is not None:
                    yield reject(number, file.name, taken.fault)
                    if self._terms.opt_in:  # what is malformed does not allow
                        continue
                for kind, text in taken.texts:
                    yield checked(self._terms, kind, text, number)
        except BrokenProcessPool as error:
            near = self._files[min(self._done, len(self._files) - 1)].name
            raise SourceError(f"{self.name}: a process that decodes pictures died, near {near}.") from error
        finally:
            self.close()

    def _taken(self, names: Sequence[str]) -> Iterator[Taken]:
        files = self._files
        parts = (
            (files[begin].fs, [file.path for file in files[begin:end]], names[begin:end], self._kinds)
            for begin, end in _slices(len(files))
        )
        if len(files) <= ALONE:
            for part in parts:
                yield from take(*part)
            return
        processes = min(cores(), 61)  # more cannot be waited for on Windows
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(processes, context, ignore_interrupts)
        for some in _in_order(self._pool, parts, AHEAD * processes):
            yield from some

    def close(self) -> None:
        """Have no more decoded."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def _slices(count: int) -> Iterator[tuple[int, int]]:
    return ((begin, min(begin + AT_ONCE, count)) for begin in range(0, count, AT_ONCE))


def _in_order(pool: Executor, parts: Iterable[Any], ahead: int) -> Iterator[list[Taken]]:
    waiting: deque[Future[list[Taken]]] = deque()
    for part in parts:
        waiting.append(pool.submit(take, *part))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def take(fs: Any, paths: Sequence[str], names: Sequence[str], kinds: Sequence[Kind]) -> list[Taken]:
    """What is wanted of pictures.

    Args:
        fs: their fsspec file system.
        paths: where they are.
        names: what people know them by, which stands beside their fingerprints.
        kinds: what is wanted of each.
    """
    return [_take(fs, path, name, kinds) for path, name in zip(paths, names, strict=True)]


def _take(fs: Any, path: str, name: str, kinds: Sequence[Kind]) -> Taken:
    try:
        with fs.open(path, "rb") as file:
            data = file.read(OCTETS_MAX + 1)
    except _files.UNREADABLE as error:
        return Taken((), f"it cannot be read: {_files.words(error)}")
    if len(data) > OCTETS_MAX:
        return Taken((), f"it is longer than {OCTETS_MAX} octets")
    if not is_raster(data):
        return Taken((), "it is no picture made of pixels")
    texts: list[tuple[Kind, str]] = [
        (kind, hashlib.new(kind.value, data).hexdigest()) for kind in kinds if kind is not Kind.PHASH
    ]
    if Kind.PHASH not in kinds:
        return Taken(tuple(texts))
    fault = "it is flat or regular, so its likes cannot be told"
    try:
        views = fingerprint.views(data)
    except fingerprint.Undecodable as error:
        views, fault = (), f"it cannot be decoded: {printable(str(error))}"
    if not views:
        return Taken(tuple(texts), f"{fault}; its exact copies are found" if texts else fault)
    return Taken((*texts, *((Kind.PHASH, f"{view} {printable(name)}") for view in views)))
