"""What a run leaves of itself, so that the same command goes on where it was killed.

In the folder of our own files: `run.json`, what the run is; `done/`, a file for each output that is in its
place, with the input's seal; `pieces/`, what is being written; `ledger/`, unless it is elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import fsspec
from fsspec.implementations.local import LocalFileSystem

from heedful.bulk.filter._task import Counts
from heedful.errors import ConfigurationError
from heedful.ledger import Part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heedful.bulk.filter._files import Source

SCHEMA: Final = 1
"""The version of the form of these files."""

PART: Final = ".part"
"""What the name of a file ends with until it is whole."""

_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, AttributeError)


class Done(NamedTuple):
    """An output that is in its place.

    Attributes:
        seal: the input's.
        counts: what became of its rows.
        parts: the ledger's files about it.
    """

    seal: str
    counts: Counts
    parts: tuple[Part, ...]


class State:
    """The folder of our own files."""

    def __init__(self, folder: str) -> None:
        """For a folder or its URL, which may not be there yet."""
        self.folder = folder
        self._fs, self._path = fsspec.core.url_to_fs(folder)

    def run(self) -> dict[str, Any] | None:
        """What the last run was; None: there was none.

        Raises:
            ConfigurationError: it cannot be told.
        """
        path = f"{self._path}/run.json"
        try:
            if not self._fs.exists(path):
                return None
            data = json.loads(self._fs.cat_file(path))
            if data["schema"] != SCHEMA:
                raise ValueError(f"schema {data['schema']!r}")
            return dict(data)
        except _UNREADABLE as error:
            raise ConfigurationError(
                f"{self.folder}/run.json cannot be read ({error}): --overwrite starts anew."
            ) from error

    def begin(self, run: Mapping[str, Any]) -> None:
        """A new run starts: forget what is done.

        Raises:
            OSError: it cannot be written.
        """
        if self._fs.exists(f"{self._path}/done"):
            self._fs.rm(f"{self._path}/done", recursive=True)
        self._put("run.json", dict(run) | {"schema": SCHEMA})

    def done(self, source: Source) -> Done | None:
        """What an earlier start of this run has done of a file; None: nothing, or the input was changed."""
        try:
            if not self._fs.exists(_inner(source.out)):
                return None
            data = json.loads(self._fs.cat_file(f"{self._path}/{_marker(source)}"))
            done = Done(
                data["seal"],
                Counts.from_dict(data["counts"]),
                tuple(Part(**part) for part in data["parts"]),
            )
        except _UNREADABLE:
            return None
        return done if done.seal == source.seal else None

    def finish(self, source: Source, counts: Counts, parts: tuple[Part, ...]) -> None:
        """An output is in its place.

        Raises:
            OSError: it cannot be written down.
        """
        data = {"seal": source.seal, "counts": counts.as_dict(), "parts": [part._asdict() for part in parts]}
        self._put(_marker(source), data)

    def forget(self, source: Source) -> None:
        """An output is about to be made, or made anew."""
        path = f"{self._path}/{_marker(source)}"
        if self._fs.exists(path):
            self._fs.rm_file(path)

    def _put(self, name: str, data: Any) -> None:
        path = f"{self._path}/{name}"
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        text = json.dumps(data, indent=1).encode() + b"\n"
        if isinstance(self._fs, LocalFileSystem):
            self._fs.pipe_file(path + PART, text)
            self._fs.mv(path + PART, path)
        else:
            self._fs.pipe_file(path, text)


def name_of(source: Source) -> str:
    """A short name, the same whatever other files there are."""
    return hashlib.sha256(source.relative.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _marker(source: Source) -> str:
    return f"done/{name_of(source)}.json"


def _inner(path: str) -> str:
    return str(fsspec.core.url_to_fs(path)[1])
