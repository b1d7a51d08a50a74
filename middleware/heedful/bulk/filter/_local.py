"""The engine of one machine: all its cores, each with a piece of a file; files stay as they are.

A piece becomes a file of its own, and the ledger's part about it another. When all pieces of a file are there
they are put together, in order, and the output takes its place in one step.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
import threading
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from heedful._places import within
from heedful._processes import ignore_interrupts
from heedful.bulk.filter import _parquet, _text
from heedful.bulk.filter._files import PARQUET
from heedful.bulk.filter._pieces import UnreadableError
from heedful.bulk.filter._state import PART, name_of
from heedful.bulk.filter._task import Counts
from heedful.errors import HeedfulError
from heedful.ledger.records import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from heedful.bulk.filter._files import Source
    from heedful.bulk.filter._pieces import Piece
    from heedful.bulk.filter._state import State
    from heedful.bulk.filter._task import Task
    from heedful.ledger import Part

AHEAD: Final = 2
"""Pieces that are handed out for each process: the one it works on, and those that wait for it."""


PIECES: Final = "pieces"
"""The folder of what is being written, among our own files."""

GO_ON: Final = "The same command goes on with what is not done."


class UnfinishedError(HeedfulError):
    """The run broke off; the same command goes on with it."""


class Step(NamedTuple):
    """What was just done.

    Attributes:
        counts: what became of rows.
        octets: of the input, as stored.
        files: how many outputs came into their places.
    """

    counts: Counts
    octets: float = 0
    files: int = 0


@dataclass(slots=True)
class Result:
    """What became of all files.

    Attributes:
        counts: their rows.
        parts: the ledger's record files.
        files: how many outputs are in their places.
        before: how many of them were so before this start.
        unreadable: the files that could not be read, which have no output.
    """

    counts: Counts = field(default_factory=Counts)
    parts: list[Part] = field(default_factory=list)
    files: int = 0
    before: int = 0
    unreadable: list[UnreadableError] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class File:
    """A file that is worked on, and what came of its pieces."""

    source: Source
    pieces: Sequence[Piece]
    left: int
    counts: Counts = field(default_factory=Counts)
    parts: dict[int, tuple[Part, ...]] = field(default_factory=dict)
    fault: UnreadableError | None = None


def run(task: Task, sources: Sequence[Source], state: State, *, progress: Callable[[Step], None]) -> Result:
    """Filter files.

    Args:
        task: what is done with each batch; with one process, it is done in this one.
        sources: the files.
        state: knows which of them are done.
        progress: is told of each step.

    Raises:
        ConfigurationError: a registry cannot be relied upon any more, or was changed.
        LedgerError: something could not be recorded.
        UnfinishedError: an output cannot be written, or a process was killed.
    """
    result = Result()
    todo = to_do(sources, state, result, progress)
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(_pieces_folder(state))
            pool = stack.enter_context(_pool(task.processes if todo else 1))
            _Work(task, state, folder, pool, result, progress).do(todo)
        except OSError as error:
            words = error.strerror or str(error)
            raise UnfinishedError(f"An output cannot be written: {words}. {GO_ON}") from error
        except BrokenProcessPool as error:
            words = "A process was killed, perhaps for want of memory: --workers says how many there are."
            raise UnfinishedError(f"{words} {GO_ON}") from error
    return result


def to_do(
    sources: Sequence[Source], state: State, result: Result, progress: Callable[[Step], None]
) -> list[Source]:
    """The files that are not done; all others are added to the result."""
    todo = []
    for source in sources:
        done = state.done(source)
        if done is None:
            todo.append(source)
            continue
        result.counts.add(done.counts)
        result.parts += done.parts
        result.files += 1
        result.before += 1
        progress(Step(Counts(), source.size, 1))
    return todo


def finish(file: File, state: State, result: Result, progress: Callable[[Step], None]) -> None:
    """A file's output is in its place."""
    parts = tuple(part for number in sorted(file.parts) for part in file.parts[number])
    state.finish(file.source, file.counts, parts)
    result.counts.add(file.counts)
    result.parts += parts
    result.files += 1
    progress(Step(Counts(), 0, 1))


def forget(task: Task, state: State, source: Source) -> None:
    """Remove what is left of a file: its output, made of what it was before, and its ledger."""
    state.forget(source)
    fs, path = fsspec.core.url_to_fs(source.out)
    if fs.exists(path):
        fs.rm_file(path)
    ledger = task.configuration.ledger
    if ledger is not None:
        fs, path = fsspec.core.url_to_fs(ledger)
        for name in within(fs, path, f"{task.run.id}-{name_of(source)}-*{SUFFIX}*"):
            fs.rm_file(name)


class _Work:
    """Hands pieces out, and puts together what comes back."""

    def __init__(
        self,
        task: Task,
        state: State,
        folder: Path,
        pool: Executor,
        result: Result,
        progress: Callable[[Step], None],
    ) -> None:
        self._task = task
        self._state = state
        self._folder = folder
        self._pool = pool
        self._result = result
        self._progress = progress

    def do(self, todo: Sequence[Source]) -> None:
        """Do all of them."""
        waiting = self._handed_out(todo)
        running: dict[Future[Any], Callable[[Future[Any]], Iterator[tuple[Future[Any], Any]]]] = {}
        try:
            while True:
                while len(running) < AHEAD * self._task.processes:
                    following = next(waiting, None)
                    if following is None:
                        break
                    running.update([following])
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    running.update(running.pop(future)(future))
        finally:
            for future in running:
                future.cancel()

    def _handed_out(self, todo: Sequence[Source]) -> Iterator[tuple[Future[Any], Any]]:
        for source in todo:
            forget(self._task, self._state, source)
            try:
                pieces = plan(self._task, source)
            except UnreadableError as error:
                self._result.unreadable.append(error)
                self._progress(Step(Counts(), source.size))
                continue
            file = File(source, pieces, len(pieces))
            for piece in pieces:
                target = self._target(source, piece)
                future = self._pool.submit(work, self._task, source, piece, target)
                yield future, self._collecting(file, piece)

    def _collecting(self, file: File, piece: Piece) -> Any:
        def collect(future: Future[tuple[Counts, tuple[Part, ...]]]) -> Iterator[tuple[Future[Any], Any]]:
            file.left -= 1
            try:
                counts, file.parts[piece.number] = future.result()
                file.counts.add(counts)
                self._progress(Step(counts, file.source.size / len(file.pieces)))
            except UnreadableError as error:
                file.fault = file.fault or error
            if not file.left:
                targets = [self._target(file.source, each) for each in file.pieces]
                if file.fault is None:
                    joining = self._pool.submit(put, file.source, targets)
                    yield joining, self._finishing(file)
                else:
                    self._result.unreadable.append(file.fault)
                    forget(self._task, self._state, file.source)
                    for target in targets:
                        target.unlink(missing_ok=True)

        return collect

    def _finishing(self, file: File) -> Any:
        def put_down(future: Future[None]) -> Iterator[tuple[Future[Any], Any]]:
            future.result()
            finish(file, self._state, self._result, self._progress)
            return iter(())

        return put_down

    def _target(self, source: Source, piece: Piece) -> Path:
        return self._folder / f"{name_of(source)}-{piece.number:05d}"


def plan(task: Task, source: Source) -> Sequence[Piece]:
    if source.form.kind == PARQUET:
        return _parquet.plan(task, source.path)
    return _text.plan(task, source.path, *source.form)


def work(task: Task, source: Source, piece: Piece, target: Path) -> tuple[Counts, tuple[Part, ...]]:
    """Filter a piece, in whatever process."""
    tagger = task.open()
    recorder = task.recorder(target.name)
    try:
        if source.form.kind == PARQUET:
            counts = _parquet.work(tagger, source.path, piece, target, recorder)
        else:
            counts = _text.work(tagger, source.path, piece, target, recorder, *source.form)
    finally:
        parts = recorder.close()
    return counts, parts


def put(source: Source, targets: Sequence[Path]) -> None:
    """Put pieces together, and the output in its place."""
    fs, out = fsspec.core.url_to_fs(source.out)
    local = isinstance(fs, LocalFileSystem)
    fs.makedirs(out.rpartition("/")[0], exist_ok=True)
    whole = targets[0]
    if len(targets) > 1:
        whole = targets[0].with_suffix(".whole")
        with whole.open("wb") as file:
            (_parquet if source.form.kind == PARQUET else _text).join(targets, file)
    if local:
        os.replace(whole, out)  # noqa: PTH105 - fsspec paths are strings
    else:
        fs.put_file(str(whole), out + PART)
        fs.mv(out + PART, out)
    for target in {*targets, whole}:
        target.unlink(missing_ok=True)


@contextmanager
def _pieces_folder(state: State) -> Iterator[Path]:
    """A folder on this machine for what is being written; beside the output, if that is on a disk of it."""
    fs, path = fsspec.core.url_to_fs(state.folder)
    if isinstance(fs, LocalFileSystem):
        folder = Path(path) / PIECES
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    else:
        folder = Path(tempfile.mkdtemp(prefix="heedful-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _pool(processes: int) -> Iterator[Executor]:
    if processes == 1:
        yield Here()
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, _start)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class Here(Executor):
    """Does in this process what it is given, at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - raised where the result is asked for
            future.set_exception(error)
        return future


def one_core() -> None:
    """Leave the other cores of this machine to other processes."""
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # it is not yet imported
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


def _start() -> None:
    """Begin a process: it ends with its parent, however that ends, and leaves Ctrl-C to it."""
    ignore_interrupts()
    one_core()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    with suppress(OSError):
        wait_for([sentinel])
    os._exit(1)
