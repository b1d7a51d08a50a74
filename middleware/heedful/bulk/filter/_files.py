"""Which files are filtered, in which format, and where each one's output goes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import fsspec
from fsspec.implementations.local import LocalFileSystem

from heedful.bulk.filter import _text
from heedful.errors import ConfigurationError
from heedful.registry.sources._files import STDIN, find

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXTS: Final = ("txt", *_text.DELIMITERS)
PARQUET: Final = "parquet"

PRIVATE: Final = "_heedful"
"""The folder of our own files in an output folder; Spark, Arrow and others take it for no data."""

BESIDE: Final = ".heedful"
"""What the name of the folder of our own files ends with, beside an output that is a file."""

_NAME: Final = re.compile(
    rf"\.(?:({PARQUET})|({'|'.join(TEXTS)})({'|'.join(map(re.escape, filter(None, _text.COMPRESSIONS)))})?)$",
    re.IGNORECASE,
)


class Form(NamedTuple):
    """A format, by a file's name.

    Attributes:
        kind: `txt`, `csv`, `tsv` or `parquet`.
        compression: what the name ends with besides, such as `.gz`, or nothing.
    """

    kind: str
    compression: str

    @classmethod
    def of(cls, name: str) -> Form | None:
        """That of a name; None: it is not known."""
        found = _NAME.search(name)
        if found is None:
            return None
        return cls((found[1] or found[2]).lower(), (found[3] or "").lower())


class Source(NamedTuple):
    """A file that is filtered.

    Attributes:
        path: its path or URL.
        form: its format.
        relative: its name among all outputs.
        out: the path or URL of its output.
        size: octets, as stored.
        seal: by what it is told that it was changed: its size, and its time of change or the like.
    """

    path: str
    form: Form
    relative: str
    out: str
    size: int
    seal: str


class Places(NamedTuple):
    """The files, and where our own ones go.

    Attributes:
        sources: the files, in order; each has an output of its own.
        private: the folder of our own files.
    """

    sources: tuple[Source, ...]
    private: str


def places(sources: Sequence[str], out: str) -> Places:
    """Find the files.

    Args:
        sources: files, folders, or patterns with wildcards, each a path or a URL that fsspec understands.
        out: a file, if there is one source and that is a file; else a folder.

    Raises:
        ConfigurationError: there are none, or an output would overwrite something: all faults are told.
    """
    faults: list[str] = []
    found: dict[str, tuple[str, Form, Any, str]] = {}
    out_fs, out_path = _at(out)
    into_folder = len(sources) > 1 or out.endswith(("/", os.sep)) or out_fs.isdir(out_path)
    folder = out.rstrip("/")
    for source in sources:
        if source == STDIN:
            faults.append("Standard input cannot be filtered: give files.")
            continue
        try:
            fs, path = _at(source)
            files = find(source)
            into_folder = into_folder or not fs.isfile(path)
            base = _base(fs, path)
        except ConfigurationError as error:
            faults += error.faults
            continue
        if fs.isdir(path) and _within(out_fs, out_path, fs, path):
            faults.append(f"{out} lies in {source}, whose files are filtered: give another folder.")
        known = [(file, form) for file in files if (form := Form.of(file.path)) is not None]
        if not known:
            faults.append(f"{source}: {_formats()}")
        for file, form in known:
            if into_folder and _within(file.fs or fs, file.path, out_fs, out_path):
                faults.append(f"{file.name} lies in {out}, where outputs go: give another folder.")
            if file.fs is None:
                faults.append(f"{file.name} is no file: a pipe can only be read once.")
                continue
            relative = file.path[len(base) :].lstrip("/")
            before = found.setdefault(relative, (file.name, form, file.fs, file.path))
            if before[3] != file.path:
                faults.append(f"{before[0]} and {file.name} would both become {relative} in {out}.")
    made = []
    for relative, (name, form, fs, path) in found.items():
        target = f"{folder}/{relative}" if into_folder else out
        if not into_folder and Form.of(out) != form:
            faults.append(f"{out} must end with .{form.kind}{form.compression}, as {name}: formats are kept.")
        if _same(fs, path, *_at(target)):
            faults.append(f"{name} is its own output: give another place.")
        info = fs.info(path)
        made.append(Source(name, form, relative, target, int(info["size"]), _seal(info)))
    if faults:
        raise ConfigurationError(*faults)
    return Places(tuple(made), f"{folder}/{PRIVATE}" if into_folder else out + BESIDE)


def _at(place: str) -> tuple[Any, str]:
    try:
        fs, path = fsspec.core.url_to_fs(place)
    except (ValueError, ImportError, OSError) as error:
        raise ConfigurationError(f"{place} cannot be reached: {error}.") from error
    return fs, path


def _base(fs: Any, path: str) -> str:
    """The folder under which files keep their relative names."""
    if fs.isdir(path):
        return path
    parts = path.split("/")
    wild = next((number for number, part in enumerate(parts) if any(map(part.count, "*?["))), None)
    if wild is None or fs.isfile(path):
        wild = len(parts) - 1
    return "/".join(parts[:wild])


def _same(fs: Any, path: str, other_fs: Any, other: str) -> bool:
    if isinstance(fs, LocalFileSystem) and isinstance(other_fs, LocalFileSystem):
        return os.path.realpath(path) == os.path.realpath(other)
    return type(fs) is type(other_fs) and path == other


def _within(fs: Any, path: str, other_fs: Any, other: str) -> bool:
    """Whether a path is that of a folder, or lies in it."""
    if isinstance(fs, LocalFileSystem) and isinstance(other_fs, LocalFileSystem):
        return Path(path).resolve().is_relative_to(Path(other).resolve())
    return type(fs) is type(other_fs) and f"{path.rstrip('/')}/".startswith(f"{other.rstrip('/')}/")


def _seal(info: dict[str, Any]) -> str:
    """A file's size, and what else its file system says that changes with its content."""
    for key in ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created"):
        if info.get(key):
            return f"{info['size']} {info[key]}"
    return str(info["size"])


def _formats() -> str:
    return f"no file that is called .{', .'.join((PARQUET, *TEXTS))} (texts also {_compressions()})."


def _compressions() -> str:
    return " ".join(filter(None, _text.COMPRESSIONS))
