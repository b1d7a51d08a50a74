"""A dataset's folder, on a disk of this machine or wherever fsspec reaches.

Names are relative to it, with `/` between their parts. What is changed lies inside: a name that leads out, by
`..`, by a symbolic link or because it is absolute, is refused.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

import fsspec
from fsspec.implementations.local import LocalFileSystem

from heedful.errors import ConfigurationError
from heedful.registry._manifest import sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BLOCK: Final = 2**20
"""Bytes that are copied at once."""

_PART: Final = re.compile(r"[^/\\\0]+")


class Entry(NamedTuple):
    """What lies in a folder.

    Attributes:
        name: relative to the dataset's folder.
        folder: it is a folder.
        link: it is a symbolic link.
    """

    name: str
    folder: bool
    link: bool

    @property
    def base(self) -> str:
        """The last part of its name."""
        return self.name.rpartition("/")[2]


class Folder:
    """A folder. Travels to workers as its URL."""

    def __init__(self, url: str | Path) -> None:
        """Find it.

        Args:
            url: a path, or a URL that fsspec understands.

        Raises:
            ConfigurationError: there is no such folder.
        """
        self.url = str(url)
        try:
            self._fs, root = fsspec.core.url_to_fs(self.url)
            self._fs.invalidate_cache()
            there = self._fs.isdir(root)
        except (OSError, ValueError, ImportError) as error:
            raise ConfigurationError(f"{self.url} cannot be read: {error}.") from error
        if not there:
            raise ConfigurationError(f"There is no folder {self.url}.")
        self.local = isinstance(self._fs, LocalFileSystem)
        self._root = os.path.realpath(root) if self.local else root.rstrip("/")

    def __reduce__(self) -> tuple[Any, ...]:
        return Folder, (self.place(),)

    def place(self, name: str = "") -> str:
        """The path, or the URL, of what lies in it: for people, and for what opens such itself."""
        if self.local:
            return os.path.join(self._root, name) if name else self._root  # noqa: PTH118
        return f"{self.url.rstrip('/')}/{name}" if name else self.url

    # -- reading -------------------------------------------------------------------------------------------

    def entries(self, name: str = "") -> Iterator[Entry]:
        """What lies in a folder, in no order; nothing if it is not there."""
        prefix = f"{name}/" if name else ""
        if self.local:
            with suppress(FileNotFoundError), os.scandir(self._at(name)) as found:
                for each in found:
                    yield Entry(prefix + each.name, each.is_dir(), each.is_symlink())
            return
        self._fs.invalidate_cache()
        with suppress(FileNotFoundError):
            for each in self._fs.ls(self._at(name), detail=True):
                base = each["name"].rstrip("/").rpartition("/")[2]
                if base and each["name"].rstrip("/") != self._at(name):
                    yield Entry(prefix + base, each["type"] == "directory", link=False)

    def files(self, name: str) -> Iterator[Entry]:
        """All that is no folder, below a folder; what is linked to is not followed."""
        for each in self.entries(name):
            if each.folder and not each.link:
                yield from self.files(each.name)
            else:
                yield each

    def there(self, name: str) -> bool:
        """Whether there is such a file or folder."""
        if self.local:
            return os.path.lexists(self._at(name))
        return bool(self._fs.exists(self._at(name)))

    def open(self, name: str) -> IO[bytes]:
        """A file, for reading.

        Raises:
            OSError: it cannot be read.
        """
        file: IO[bytes] = self._fs.open(self._at(name), "rb")
        return file

    def read(self, name: str) -> bytes:
        """A whole file.

        Raises:
            OSError: as `open`.
        """
        with self.open(name) as file:
            return file.read()

    def state(self, name: str) -> tuple[Any, ...] | None:
        """What changes when a file does; None: there is none."""
        try:
            if self.local:
                found = os.stat(self._at(name))  # noqa: PTH116
                return found.st_size, found.st_mtime_ns, found.st_ino
            info = self._fs.info(self._at(name))
        except FileNotFoundError:
            return None
        times = (
            info.get(key) for key in ("mtime", "LastModified", "last_modified", "updated", "etag", "ETag")
        )
        return info.get("size"), *(str(each) for each in times if each)

    # -- changing ------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """A file to be written; on a disk when this is over. Its folder is made.

        Raises:
            OSError: it cannot be written.
        """
        path = self.inside(name)
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        if not self.local:
            with self._fs.open(path, "wb") as file:
                yield file
            return
        with open(path, "wb") as local:  # noqa: PTH123 - fsspec paths are strings
            yield local
            local.flush()
            os.fsync(local.fileno())
        sync_folder(Path(path).parent)

    def move(self, source: str, target: str) -> None:
        """Put a file in the place of another, in one step; nothing if that has been done.

        Raises:
            OSError: it cannot be done.
        """
        old, new = self.inside(source), self.inside(target)
        if not self.there(source):
            return
        self._fs.makedirs(new.rpartition("/")[0], exist_ok=True)
        if self.local:
            os.replace(old, new)  # noqa: PTH105 - fsspec paths are strings
            sync_folder(Path(new).parent)
        else:
            self._fs.mv(old, new)

    def remove(self, name: str) -> None:
        """Remove a file; nothing if that has been done. It lasts once its folder was settled.

        Raises:
            OSError: it cannot be done.
        """
        path = self.inside(name)
        with suppress(FileNotFoundError):
            if self.local:
                os.unlink(path)  # noqa: PTH108 - fsspec paths are strings
            else:
                self._fs.rm_file(path)

    def remove_all(self, name: str) -> None:
        """Remove a folder of our own, with all that is in it.

        Raises:
            OSError: it cannot be done.
        """
        path = self.inside(name)
        if not self.there(name):
            return
        if self.local:
            shutil.rmtree(path)
        else:
            self._fs.rm(path, recursive=True)

    def settle(self, names: Iterable[str]) -> None:
        """See to it that files which were removed stay so, whatever happens to the machine.

        Raises:
            OSError: it cannot be done.
        """
        if self.local:
            for folder in {Path(self.inside(name)).parent for name in names}:
                sync_folder(folder)

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def inside(self, name: str) -> str:
        """The path of what may be changed.

        Raises:
            PermissionError: it may not.
        """
        parts = name.split("/")
        path = self._at(name)
        if not all(_PART.fullmatch(part) and part not in {".", ".."} for part in parts):
            raise PermissionError(f"{name!r} does not name anything in the dataset")
        if self.local and os.path.realpath(path) != path:
            raise PermissionError(f"{name!r} is, or lies behind, a symbolic link")
        return path
