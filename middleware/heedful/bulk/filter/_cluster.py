"""What the clusters' engines share: pieces of files go out as rows, what became of them comes back as rows.

An engine carries the plan, not the data. Each of its processes reads its pieces and writes them by the very
code of the local engine, so that answers, order, schema, names and what is left for going on are the same,
and no column has to pass through the engine's own types: Spark's lack unsigned numbers, half floats,
dictionaries and more. All machines must see lists, output, ledger and registries at the same places.

An engine may lose a process and begin anew, or do something twice. Whatever an attempt writes has therefore a
name of its own until it is whole; of several answers the first counts, and records that belong to none are
removed at the end.
"""

from __future__ import annotations

import os
import pickle
import re
import secrets
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from heedful._places import within
from heedful.bulk.filter._files import PARQUET
from heedful.bulk.filter._local import (
    GO_ON,
    PIECES,
    File,
    Here,
    Result,
    Step,
    UnfinishedError,
    finish,
    forget,
    one_core,
    plan,
    put,
    to_do,
    work,
)
from heedful.bulk.filter._pieces import UnreadableError
from heedful.bulk.filter._state import name_of
from heedful.bulk.filter._task import Counts
from heedful.errors import ConfigurationError, HeedfulError
from heedful.ledger.records import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from contextlib import AbstractContextManager

    from heedful.bulk.filter._files import Source
    from heedful.bulk.filter._pieces import Piece
    from heedful.bulk.filter._state import State
    from heedful.bulk.filter._task import Task
    from heedful.ledger import Part

    Carry = Callable[[Callable[[bytes], bytes], Sequence[bytes]], Generator[bytes, None, None]]
    """Has a function, which can be pickled, called for each of these rows, somewhere in the cluster.

    Gives what it returns, in whatever order, as it comes; more than once, if it was called more than once.
    """

ATTEMPTS: Final = 4
"""How often a piece is begun, where processes are killed: Spark's default on clusters."""

WORDS_MAX: Final = 300
"""Characters of what an engine says that are shown."""

_RAISED: Final = re.compile(r"^(?:: )?((?:\w+\.)*\w*(?:Error|Exception)(?:: .*)?)$", re.MULTILINE)
"""The line of a stack trace, of Python or Java, that says what was raised."""

PLANNERS: Final = 32
"""Threads that read footers before the cluster starts; far away, each of them takes a while."""


def run(
    task: Task,
    sources: Sequence[Source],
    state: State,
    engine: AbstractContextManager[Carry],
    *,
    progress: Callable[[Step], None],
) -> Result:
    """Filter files: as the local engine's `run`, by the processes of a cluster.

    Args:
        task: what is done with each batch.
        sources: the files.
        state: knows which of them are done.
        engine: the cluster, which is asked for only if there is anything to do.
        progress: is told of each step.

    Raises:
        ConfigurationError: a registry cannot be relied upon any more, or was changed; or the cluster cannot
            be reached or started, or does not share the output's place with this machine.
        LedgerError: something could not be recorded.
        UnfinishedError: an output cannot be written, or the cluster gave up.
    """
    result = Result()
    todo = to_do(sources, state, result, progress)
    try:
        if todo:
            with _pieces_folder(state) as folder:
                handed = _Work(task, state, folder, result, progress)
                files = handed.planned(todo)
                if files:
                    with engine as carry:
                        handed.do(files, carry)
        _sweep(task, result.parts)
    except OSError as error:
        why = error.strerror or str(error)
        raise UnfinishedError(f"An output cannot be written: {why}. {GO_ON}") from error
    return result


class _Work:
    """Hands pieces out to a cluster, and keeps account of what comes back."""

    def __init__(
        self, task: Task, state: State, folder: str, result: Result, progress: Callable[[Step], None]
    ) -> None:
        self._task = task
        self._state = state
        self._folder = folder
        self._result = result
        self._progress = progress

    def planned(self, todo: Sequence[Source]) -> list[File]:
        """The files that can be read, with their pieces."""
        files = []
        with ThreadPoolExecutor(PLANNERS) as pool:
            here = Here()  # `csv` has a limit that all threads share
            plans = [
                (pool if source.form.kind == PARQUET else here).submit(plan, self._task, source)
                for source in todo
            ]
            for source, future in zip(todo, plans, strict=True):
                forget(self._task, self._state, source)
                try:
                    pieces = future.result()
                except UnreadableError as error:
                    self._unreadable(error)
                    self._progress(Step(Counts(), source.size))
                else:
                    files.append(File(source, pieces, len(pieces)))
        return files

    def do(self, files: Sequence[File], carry: Carry) -> None:
        """Do all of them: first their pieces, then those are joined that have several."""
        units = [(file, piece) for file in files for piece in file.pieces]
        asked = [(_everywhere(file.source), piece, len(file.pieces) == 1) for file, piece in units]
        staged: dict[tuple[int, int], str] = {}
        joined = []
        with closing(self._answers(carry, _filter, asked)) as answers:
            for number, answer in answers:
                file, piece = units[number]
                file.left -= 1
                if isinstance(answer, UnreadableError):
                    file.fault = file.fault or UnreadableError(file.source.path, answer.why)
                else:
                    counts, file.parts[piece.number], staged[id(file), piece.number] = answer
                    file.counts.add(counts)
                    self._progress(Step(counts, file.source.size / len(file.pieces)))
                if file.left:
                    continue
                if file.fault is not None:
                    self._unreadable(file.fault)
                    forget(self._task, self._state, file.source)
                elif len(file.pieces) == 1:
                    self._finish(file)
                else:
                    joined.append(file)
        joins = [
            (_everywhere(file.source), [staged[id(file), piece.number] for piece in file.pieces])
            for file in joined
        ]
        with closing(self._answers(carry, _join, joins)) as answers:
            for number, _ in answers:
                self._finish(joined[number])

    def _answers(
        self, carry: Carry, do: Callable[..., Any], asked: Sequence[tuple[Any, ...]]
    ) -> Generator[tuple[int, Any], None, None]:
        """The first answer to each question, with its number."""
        waiting = set(range(len(asked)))
        if not waiting:
            return
        function = partial(_answer, partial(do, self._task, self._folder))
        rows = [pickle.dumps(question) for question in enumerate(asked)]
        with closing(carry(function, rows)) as answers:
            for number, answer in map(pickle.loads, answers):  # our own, from our own processes
                if number in waiting:
                    waiting.remove(number)
                    if isinstance(answer, HeedfulError) and not isinstance(answer, UnreadableError):
                        raise answer
                    yield number, answer
        if waiting:
            raise UnfinishedError(f"{len(waiting)} pieces did not come back from the cluster. {GO_ON}")

    def _finish(self, file: File) -> None:
        fs, out = fsspec.core.url_to_fs(file.source.out)
        if not fs.exists(out):
            raise ConfigurationError(
                f"{file.source.out} was written, but is not there: the machines of the cluster do not share "
                "this place."
            )
        finish(file, self._state, self._result, self._progress)

    def _unreadable(self, error: UnreadableError) -> None:
        self._result.unreadable.append(error)


# -- in the processes of the cluster ---------------------------------------------------------------------


def _answer(do: Callable[..., Any], question: bytes) -> bytes:
    """Do what a row asks for. What is raised on purpose is an answer too: once more would change nothing."""
    number, asked = pickle.loads(question)  # noqa: S301 - our own
    one_core()
    try:
        return pickle.dumps((number, do(*asked)))
    except HeedfulError as error:
        return pickle.dumps((number, error))


def _filter(
    task: Task,
    folder: str,
    source: Source,
    piece: Piece,
    whole: bool,  # noqa: FBT001
) -> tuple[Counts, tuple[Part, ...], str]:
    """Filter a piece: into its output, if it is a whole file, else into the folder of pieces."""
    with _scratch(folder) as scratch:
        target = scratch / f"{name_of(source)}-{piece.number:05d}-{secrets.token_hex(4)}"
        counts, parts = work(task, source, piece, target)
        if whole:
            put(source, [target])
        else:
            fs, path = fsspec.core.url_to_fs(f"{folder}/{target.name}")
            if isinstance(fs, LocalFileSystem):
                os.replace(target, path)  # noqa: PTH105 - fsspec paths are strings
            else:
                fs.put_file(str(target), path)
    return counts, parts, target.name


def _join(_: Task, folder: str, source: Source, names: Sequence[str]) -> None:
    """Put pieces together; they stay, for if this has to be done again."""
    with _scratch(folder) as scratch:
        for name in names:
            fs, path = fsspec.core.url_to_fs(f"{folder}/{name}")
            if isinstance(fs, LocalFileSystem):
                (scratch / name).symlink_to(path)
            else:
                fs.get_file(path, str(scratch / name))
        put(source, [scratch / name for name in names])


@contextmanager
def _scratch(folder: str) -> Iterator[Path]:
    """A folder of an attempt's own; beside the output, if that is on a disk, so that files can be moved."""
    fs, path = fsspec.core.url_to_fs(folder)
    parent = path if isinstance(fs, LocalFileSystem) else None
    with tempfile.TemporaryDirectory(prefix="heedful-", dir=parent) as scratch:
        yield Path(scratch)


# -- in this process -------------------------------------------------------------------------------------


@contextmanager
def _pieces_folder(state: State) -> Iterator[str]:
    """The folder in which pieces wait until they are joined, and its removal."""
    fs, path = fsspec.core.url_to_fs(f"{state.folder}/{PIECES}")
    local = isinstance(fs, LocalFileSystem)

    def remove() -> None:
        if local:
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(FileNotFoundError):
                fs.rm(path, recursive=True)

    remove()
    if local:
        Path(path).mkdir(parents=True)
    try:
        yield _absolute(f"{state.folder}/{PIECES}")
    finally:
        remove()


def _sweep(task: Task, parts: Sequence[Part]) -> None:
    """Remove records of attempts whose answers were not the first."""
    ledger = task.configuration.ledger
    if ledger is None:
        return
    kept = {part.name for part in parts}
    fs, path = fsspec.core.url_to_fs(ledger)
    for name in within(fs, path, f"{task.run.id}-*{SUFFIX}*"):
        if name.rpartition("/")[2].removesuffix(SUFFIX) not in kept:
            fs.rm_file(name)


def _everywhere(source: Source) -> Source:
    """A file by places that mean the same in every working folder."""
    return source._replace(path=_absolute(source.path), out=_absolute(source.out))


def _absolute(place: str) -> str:
    fs, path = fsspec.core.url_to_fs(place)
    return str(path) if isinstance(fs, LocalFileSystem) else place


def words(error: Exception) -> str:
    """What an engine's error says, without its stack traces."""
    text = str(error).strip()
    raised = _RAISED.search(text)
    return (raised[1] if raised else text.partition("\n")[0]).rstrip(".")[:WORDS_MAX] or type(error).__name__
