"""Removal that is whole: first all new files are written apart, then a journal, then each takes its place.

The journal is what it hangs on. Killed before it is there, nothing has changed; killed after, the next run
does what is left of its steps, each of which may be done twice. Until then, in `_heedful/purge/RUN/` are

    UNIT/0, UNIT/1 ...    what is to take places in the dataset
    UNIT.json             the journal of a unit: a shard, or a whole store
    removed/UNIT.jsonl    what was removed from it

and in the end `_heedful/removed-RUN.jsonl` has all that was removed.
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from heedful.bulk.audit._folder import BLOCK
from heedful.bulk.audit._stored import PRIVATE, UnchangeableError
from heedful.errors import ConfigurationError
from heedful.registry._locking import Lock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from heedful.bulk.audit._folder import Folder

WORK: Final = f"{PRIVATE}/purge"
"""Where removals are prepared."""

_REMOVED: Final = "removed"
_MOVE, _REMOVE = "move", "remove"


class Staging:
    """The removal of a unit, until it is done."""

    def __init__(self, folder: Folder, run: str, unit: str) -> None:
        """Begin.

        Args:
            folder: the dataset's folder.
            run: the run's id.
            unit: the unit's name.
        """
        self._folder = folder
        self._run = run
        self._unit = unit
        self._work = f"{WORK}/{run}/{unit}"
        self._steps: list[tuple[str, ...]] = []

    @contextmanager
    def file(self, target: str) -> Iterator[IO[bytes]]:
        """A file that is to take the place of `target`.

        Raises:
            UnchangeableError: it must not.
            OSError: it cannot be written.
        """
        self._check(target)
        staged = f"{self._work}/{len(self._steps)}"
        with self._folder.writing(staged) as file:
            yield file
        self._steps.append((_MOVE, staged, target))

    def remove(self, name: str) -> None:
        """A file is to be removed.

        Raises:
            UnchangeableError: it must not.
        """
        self._check(name)
        self._steps.append((_REMOVE, name))

    def commit(self, removed: Iterable[Mapping[str, Any]]) -> None:
        """Do it.

        Args:
            removed: what is removed, for the list of it.

        Raises:
            OSError: it cannot be done; if its journal is there, the next run does it.
        """
        with self.file(f"{WORK}/{self._run}/{_REMOVED}/{self._unit}.jsonl") as file:
            for each in removed:
                file.write(json.dumps(each).encode() + b"\n")
        with self._folder.writing(f"{self._work}/journal") as file:
            file.write(json.dumps({"steps": self._steps}).encode())
        journal = f"{self._work}.json"
        self._folder.move(f"{self._work}/journal", journal)
        _finish(self._folder, journal)

    def _check(self, name: str) -> None:
        try:
            self._folder.inside(name)
        except PermissionError as error:
            raise UnchangeableError(f"{error}.") from error


def _finish(folder: Folder, journal: str) -> None:
    """Do the steps of a journal; then there is none.

    Raises:
        OSError: one cannot be done.
        ValueError: it is no journal.
    """
    steps = _steps(folder.read(journal))
    for step in steps:  # a journal may have come with a dataset from anywhere
        for name in step[1:]:
            folder.inside(name)
    for step in steps:
        if step[0] == _MOVE:
            folder.move(*step[1:])
        else:
            folder.remove(step[1])
    folder.settle(step[1] for step in steps if step[0] == _REMOVE)
    folder.remove(journal)


def _steps(data: bytes) -> list[list[str]]:
    lengths = {_MOVE: 3, _REMOVE: 2}
    try:
        steps = json.loads(data)["steps"]
        good = all(
            len(step) == lengths[step[0]] and all(isinstance(word, str) for word in step) for step in steps
        )
    except (LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"not a journal: {error}") from error
    if not good:
        raise ValueError("not a journal")
    found: list[list[str]] = steps
    return found


def interrupted(folder: Folder) -> bool:
    """Whether a removal has not come to its end, or is still going on."""
    return any(run.folder and not run.link for run in folder.entries(WORK))


def complete(folder: Folder) -> None:
    """Do what interrupted removals have left undone, and gather what was removed.

    Raises:
        UnchangeableError: that cannot be done.
    """
    for run in list(folder.entries(WORK)):
        if not run.folder or run.link:
            continue
        for entry in list(folder.entries(run.name)):
            if entry.base.endswith(".json"):
                try:
                    _finish(folder, entry.name)
                except (OSError, ValueError) as error:
                    raise UnchangeableError(
                        f"{folder.place(entry.name)}: this interrupted removal cannot be completed: {error}."
                    ) from error
        gather(folder, run.base)


def gather(folder: Folder, run: str) -> str | None:
    """Put what a run has removed into one list, and clear its workplace, which no one uses any more.

    Returns:
        The list's name; None: nothing was removed.

    Raises:
        OSError: it cannot be done.
    """
    work, target = f"{WORK}/{run}", removed_list(run)
    parts = sorted(each.name for each in folder.entries(f"{work}/{_REMOVED}"))
    if parts and not folder.there(target):  # else this was killed when only the clearing was left
        whole = f"{work}/list"
        with folder.writing(whole) as file:
            for part in parts:
                with folder.open(part) as lines:
                    shutil.copyfileobj(lines, file, BLOCK)
        folder.move(whole, target)
    folder.remove_all(work)
    return target if folder.there(target) else None


def removed_list(run: str) -> str:
    """The name of a run's list of what was removed."""
    return f"{PRIVATE}/{_REMOVED}-{run}.jsonl"


@contextmanager
def locked(folder: Folder) -> Iterator[None]:
    """Keep other processes of this machine from removing as well; other file systems have no locks.

    Raises:
        ConfigurationError: one does, or it cannot be changed at all.
    """
    if not folder.local:
        yield
        return
    try:
        work = Path(folder.inside(WORK))
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{folder.url} cannot be changed: {error}.") from error
    lock = Lock(work)
    try:
        yield
    finally:
        lock.release(remove=True)
