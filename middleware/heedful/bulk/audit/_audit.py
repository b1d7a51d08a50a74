"""An audit of a dataset: shards are gone through side by side; what is found is recorded, then removed."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections import Counter, defaultdict, deque
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from heedful.bulk.audit import _img2dataset, _live, _scrapy, _staging
from heedful.bulk.audit._folder import Folder
from heedful.bulk.audit._stored import PRIVATE, UnchangeableError
from heedful.bulk.audit._working import (
    Outcome,
    Removal,
    Removed,
    Spooled,
    Worker,
    append_spool,
    free_of,
    read_spool,
    remove,
)
from heedful.configuration import Configuration
from heedful.errors import ConfigurationError, LedgerError
from heedful.ledger import LedgerWriter, RunManifest, start_run
from heedful.ledger.writer import absolute
from heedful.model import Action
from heedful.signals._paths import split_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from types import TracebackType

    from typing_extensions import Self

    from heedful.bulk.audit._findings import Finding
    from heedful.bulk.audit._stored import Dataset, Shard
    from heedful.policy import Policy

_R = TypeVar("_R")

CRAWLER: Final = "heedful audit"
"""What the ledger names as the software."""

NO_TOKEN: Final = "none"
"""What stands for the product token where no origin is asked."""

UNRECOGNISED: Final = (
    "{} is neither img2dataset's output (shards such as 00000.tar, 00000.parquet, 00000_stats.json) nor a "
    "Scrapy store (a folder full/ in it, in images/ or in files/)."
)

NAMED: Final = 10
"""Faults, and parts that were left out, that are named in sentences."""

DIED: Final = "the process that had it has died"

INTERRUPTED: Final = (
    "A removal is going on, or was interrupted: --purge --yes completes it; until then, shards may be half "
    "done."
)
COMPLETED: Final = "A removal that had been interrupted was completed."


@dataclass(slots=True)
class Result:
    """What an audit found.

    Attributes:
        dataset: the dataset.
        recognised: what it is, in words.
        shards: how many parts were gone through.
        pictures: pictures in them.
        unknown: those of them of which no URL is known: judged by their content alone.
        found: opted-out ones, by their first reason.
        doubts: those in doubt, by their first reason.
        lists: opted-out ones, by the list of a registry that they stand in.
        by_shard: opted-out ones, by the part that they lie in.
        live: with `live`, what became of the URLs, by action; those that failed are not counted as found.
        faults: what could not be read, a sentence each.
        left_out: parts that somebody still writes.
        notes: what else is to be said, a sentence each.
        removed: pictures that were removed.
        removal_list: where it is told which; None: none was.
        ledger: where the ledger is.
    """

    dataset: str
    recognised: str
    ledger: str
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    shards: int = 0
    pictures: int = 0
    unknown: int = 0
    found: Counter[str] = field(default_factory=Counter)
    doubts: Counter[str] = field(default_factory=Counter)
    lists: Counter[str] = field(default_factory=Counter)
    by_shard: Counter[str] = field(default_factory=Counter)
    live: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    removed: int = 0
    removal_list: str | None = None

    @property
    def clean(self) -> bool:
        """Whether all of it was read, and nothing found."""
        return not (self.found or self.doubts or self.faults or self.left_out)

    def sentences(self) -> list[str]:
        """What the numbers do not say."""
        left = ", ".join(self.left_out[:NAMED]) + (" and so on" if len(self.left_out) > NAMED else "")
        failed = self.live[Action.FAILED.value]
        said = {
            f"{self.unknown:,} pictures without a known URL: judged by their content alone (of a Scrapy "
            "store, --urls names feeds and ledgers that have them).": self.unknown,
            f"{failed:,} URLs could not be asked for: nothing is said of them.": failed,
            f"{len(self.left_out):,} shards without _stats.json were left out, as somebody may still write "
            f"them (--unfinished takes them in): {left}.": self.left_out,
        }
        faults = [f"Not read, or not to its end: {fault}." for fault in self.faults[:NAMED]]
        faults += [f"And {len(self.faults) - NAMED:,} more."] if len(self.faults) > NAMED else []
        return [*self.notes, *(words for words, holds in said.items() if holds), *faults]

    def as_dict(self) -> dict[str, Any]:
        """The form that is printed as JSON."""
        return {
            "dataset": self.dataset,
            "recognised": self.recognised,
            "shards": self.shards,
            "pictures": self.pictures,
            "unknown_urls": self.unknown,
            "opted_out": self.found.total(),
            "reasons": dict(self.found.most_common()),
            "lists": dict(self.lists.most_common()),
            "by_shard": dict(self.by_shard),
            "doubts": dict(self.doubts.most_common()),
            "live": dict(self.live),
            "faults": list(self.faults),
            "left_out": list(self.left_out),
            "notes": list(self.notes),
            "removed": self.removed,
            "removal_list": self.removal_list,
            "ledger": self.ledger,
        }

    def add(self, outcome: Outcome) -> None:
        """Add a shard's."""
        self.shards += 1
        self.pictures += outcome.pictures
        self.unknown += outcome.unknown
        self.count(outcome)
        if outcome.fault is not None:
            self.faults.append(f"{outcome.shard}: {outcome.fault}")

    def count(self, outcome: Outcome) -> None:
        """Count what was found in a shard."""
        self.found += outcome.found
        self.doubts += outcome.doubts
        self.lists += outcome.lists
        if outcome.found:
            self.by_shard[outcome.shard] += outcome.found.total()


class Auditing:
    """An audit of one dataset, from its start to its end."""

    def __init__(
        self,
        dataset: str | Path,
        *,
        token: str | None = None,
        policy: Policy | str | Path = "standard",
        registries: Iterable[str | Path] = (),
        ledger: str | Path | None = None,
        urls: Sequence[str] = (),
        unfinished: bool = False,
        live: _live.Live | None = None,
        removing: bool = False,
        processes: int = 1,
        called: Callable[[str], str] = str,
    ) -> None:
        """Recognise the dataset, and open what is needed.

        Args:
            dataset: a folder, or a folder's URL that fsspec understands.
            token: the product token; needed where origins are asked.
            policy: a policy, a profile's name, or a TOML file.
            registries: folders of built registries.
            ledger: a folder, or a folder's URL; None: the dataset's own.
            urls: feeds and ledgers that have the URLs of a Scrapy store; none: those that lie beside it.
            unfinished: take in img2dataset's shards without `_stats.json`.
            live: ask origins as well.
            removing: it is certain that what is found is removed, and the ledger says so.
            processes: shards that are gone through at once, each in a process; 1: in this one.
            called: an argument's name to what the user calls it.

        Raises:
            ConfigurationError: with every fault there is.
        """
        self._now = time.time()
        self._configuration = Configuration.check(
            token=token if token is not None or live is not None else NO_TOKEN,
            policy=policy,
            registries=registries,
            ledger=None if ledger is None else str(ledger),
            audit=not removing,
            now=self._now,
            called=called,
        )
        self._live = live
        self._processes = processes
        if live is not None:
            _live.rechecker()
        folder = Folder(absolute(dataset))
        completed = removing and _complete(folder)
        with ExitStack() as opened:
            self._work = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="heedful-audit-")))
            (self._work / "urls").mkdir()
            found = _img2dataset.recognise(folder, unfinished=unfinished) or _scrapy.recognise(
                folder, urls, self._work / "urls"
            )
            if found is None:
                raise ConfigurationError(UNRECOGNISED.format(folder.url))
            self._dataset: Dataset = found
            self._configuration = replace(
                self._configuration, ledger=self._configuration.ledger or _own(folder, found.ledger)
            )
            self._recording = _Recording(self._configuration)
            self._resources = opened.pop_all()
        notes = [COMPLETED] if completed else []
        notes += [INTERRUPTED] if _staging.interrupted(folder) else []
        self.result = Result(
            dataset=folder.url,
            recognised=found.words,
            ledger=str(self._configuration.ledger),
            left_out=found.left_out,
            notes=tuple(notes),
        )
        self._states: dict[str, object] = {}
        self._affected: dict[str, list[int]] = defaultdict(list)

    @property
    def shards(self) -> int:
        """How many parts there are."""
        return len(self._dataset.shards)

    def close(self) -> None:
        """Close what was opened.

        Raises:
            LedgerError: what was not yet written could not be.
        """
        with self._resources:
            self._recording.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- finding -------------------------------------------------------------------------------------------

    def run(
        self,
        progress: Callable[[Result], object] = lambda _: None,
        asked: Callable[[int, int], object] = lambda *_: None,
    ) -> Result:
        """Go through the dataset.

        Args:
            progress: told what there is after each shard.
            asked: told how many URLs were asked for, of how many.

        Raises:
            ConfigurationError: a registry turned out to be damaged, or URLs could not be asked for.
            LedgerError: a finding could not be recorded.
        """
        arguments = (self._configuration, self.result.dataset, self._now, self._live is not None)
        jobs = [(shard, self._spool(number)) for number, shard in enumerate(self._dataset.shards)]
        for number, outcome in _side_by_side(
            _go_through, jobs, self._processes, _start, arguments, _stop, _lost
        ):
            self._states[self._dataset.shards[number].unit.name] = outcome.state
            self.result.add(outcome)
            self._note(number, outcome)
            self._recording.record(self._spooled(number))
            progress(self.result)
        self.result.faults.sort()
        if self._live is not None:
            self._ask_live(self._live, asked)
        return self.result

    def findings(self) -> Iterator[Finding]:
        """All that was found, shard by shard."""
        for number in range(self.shards):
            for each in self._spooled(number):
                yield each.finding

    def _note(self, number: int, outcome: Outcome) -> None:
        unit = self._dataset.shards[number].unit.name
        if outcome.found and number not in self._affected[unit]:
            self._affected[unit].append(number)

    def _spool(self, number: int) -> Path:
        return self._work / f"{number}.found"

    def _spooled(self, number: int) -> Iterator[Spooled]:
        return read_spool(self._spool(number))

    def _ask_live(self, live: _live.Live, asked: Callable[[int, int], object]) -> None:
        free = [free_of(self._spool(number)) for number in range(self.shards)]
        urls = (url for path in free for each in read_spool(path) for url in each.stored.urls)
        folder = self._dataset.folder
        work = Path(_own(folder, PRIVATE)) if folder.local else self._work
        answers = live.ask(urls, self._configuration, work, self.result.live, asked)
        for number, path in enumerate(free):
            outcome = Outcome(self._dataset.shards[number].name)
            found = [
                Spooled(
                    outcome.finding(self.result.dataset, each.stored, answer.verdict),
                    answer.url,
                    answer.verdict,
                )
                for each in read_spool(path)
                if (answer := _worst(answers.get(url) for url in each.stored.urls))
            ]
            append_spool(self._spool(number), found)
            self.result.count(outcome)
            self._note(number, outcome)
            self._recording.record(found)

    # -- removing ------------------------------------------------------------------------------------------

    @property
    def removable(self) -> int:
        """How many pictures would be removed."""
        return self.result.found.total()

    @property
    def units(self) -> int:
        """How many shards, or stores, would be rewritten."""
        return len(self._affected)

    def remove(self, progress: Callable[[Removed], object] = lambda _: None) -> Result:
        """Remove what was found, and complete what an interrupted removal has left.

        Args:
            progress: told what became of each unit.

        Raises:
            ConfigurationError: another process is removing, or the ledger cannot be written.
            LedgerError: a removal could not be recorded: what is not recorded was not removed.
        """
        folder = self._dataset.folder
        if self._configuration.audit:  # what was found is in the ledger, but as if it were left
            self._recording.close()
            self._recording = _Recording(replace(self._configuration, audit=False))
            for number in range(self.shards):
                self._recording.record(self._spooled(number))
        run = self._recording.run.id
        if _complete(folder):
            self.result.notes = (*self.result.notes, COMPLETED)
        with _staging.locked(folder):
            units = {shard.unit.name: shard.unit for shard in self._dataset.shards}
            jobs = [
                (
                    Removal(
                        units[name],
                        self._states[name],
                        [self._spool(each) for each in numbers],
                        run,
                        self._now,
                    ),
                )
                for name, numbers in self._affected.items()
            ]
            for _, removed in _side_by_side(
                remove, jobs, self._processes, _nothing, (), _nothing, _not_removed
            ):
                self.result.removed += removed.pictures
                if removed.fault is not None:
                    self.result.faults.append(f"{removed.unit}: nothing was removed: {removed.fault}")
                progress(removed)
            try:
                listed = _staging.gather(folder, run)
                self.result.removal_list = None if listed is None else folder.place(listed)
            except OSError as error:
                self.result.faults.append(f"The list of what was removed is not whole yet: {error}")
        return self.result


def _own(folder: Folder, name: str) -> str:
    """A place of ours in the dataset.

    Raises:
        ConfigurationError: it is not in there.
    """
    try:
        folder.inside(name)
    except PermissionError as error:
        raise ConfigurationError(f"{folder.url}: {error}. Give another ledger with --ledger.") from error
    return folder.place(name)


def _complete(folder: Folder) -> bool:
    """Complete what an interrupted removal has left; whether there was anything.

    Raises:
        ConfigurationError: it cannot be completed, or another process is removing.
    """
    if not _staging.interrupted(folder):
        return False
    with _staging.locked(folder):
        try:
            _staging.complete(folder)
        except (UnchangeableError, OSError) as error:
            raise ConfigurationError(f"{folder.url} cannot be changed: {error}") from error
    return True


class _Recording:
    """The ledger of an audit, or of a removal."""

    def __init__(self, configuration: Configuration) -> None:
        """Begin.

        Raises:
            ConfigurationError: it cannot be written.
        """
        assert configuration.ledger is not None  # noqa: S101 - it was given a default
        now = time.time()
        self.run = start_run(configuration, crawler=CRAWLER, now=now)
        gate = configuration.gate(now=now)
        try:
            self._writer = LedgerWriter(configuration.ledger, self.run)
            self._manifest = RunManifest(
                configuration.ledger, self.run, policy=gate.policy, registries=gate.registries, now=now
            )
        except LedgerError as error:
            raise ConfigurationError(f"{error} Give another one with --ledger.") from error
        finally:
            for registry in gate.registries:
                registry.close()

    def record(self, spooled: Iterable[Spooled]) -> None:
        """Record what was found.

        Raises:
            LedgerError: it could not be.
        """
        for finding, url, verdict in spooled:
            first = finding.url if finding.url is not None and split_url(finding.url) else url
            self._writer.record(url, verdict.action, verdict, hop_of=None if first == url else first)

    def close(self) -> None:
        """Write that it is over. May be called twice.

        Raises:
            LedgerError: it could not be.
        """
        self._manifest.end_of(self._writer, now=time.time())


def _worst(answers: Iterable[_live.Answer | None]) -> _live.Answer | None:
    there = [each for each in answers if each is not None]
    return min(there, key=lambda each: each.verdict.action is not Action.SKIP, default=None)


# -- side by side ----------------------------------------------------------------------------------------


def _start(*arguments: Any) -> None:
    Worker.current = Worker(*arguments)


def _stop() -> None:
    if Worker.current is not None:
        Worker.current.close()
        Worker.current = None


def _go_through(shard: Shard, spool: Path) -> Outcome:
    assert Worker.current is not None  # noqa: S101 - the process was started with it
    return Worker.current.go_through(shard, spool)


def _lost(shard: Shard, spool: Path) -> Outcome:
    """What is known of a shard whose process has died."""
    spool.touch()
    free_of(spool).touch()
    return Outcome(shard.name, fault=DIED)


def _not_removed(removal: Removal) -> Removed:
    return Removed(removal.unit.name, fault=DIED)


def _nothing() -> None:
    """Where there is nothing to begin or end."""


def _side_by_side(
    task: Callable[..., _R],
    jobs: Sequence[tuple[Any, ...]],
    processes: int,
    start: Callable[..., object],
    arguments: tuple[Any, ...],
    stop: Callable[[], object],
    lost: Callable[..., _R],
) -> Iterator[tuple[int, _R]]:
    """Do a task for each of many jobs.

    Args:
        task: the task.
        jobs: its arguments.
        processes: how many are done at once, each in a process; 1: in this one.
        start: what each process begins with.
        arguments: of `start`.
        stop: what this process ends with, if it does the task.
        lost: what comes of a job whose process died.

    Yields:
        The number of each job and what comes of it, in no order.
    """
    if processes == 1 or len(jobs) < 2:
        start(*arguments)
        try:
            for number, job in enumerate(jobs):
                yield number, task(*job)
        finally:
            stop()
        return
    waiting = deque(enumerate(jobs))
    while waiting:
        # Spawned, as a forked process would have locks that threads of this one hold.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(processes, len(waiting)), context, start, arguments) as pool:
            yield from _in_pool(pool, task, waiting, processes, lost)


def _in_pool(
    pool: ProcessPoolExecutor,
    task: Callable[..., _R],
    waiting: deque[tuple[int, tuple[Any, ...]]],
    processes: int,
    lost: Callable[..., _R],
) -> Iterator[tuple[int, _R]]:
    """As much as is done before a process dies, and takes its pool with it."""
    running: dict[Future[_R], tuple[int, tuple[Any, ...]]] = {}
    broken = False
    while running or (waiting and not broken):
        while waiting and not broken and len(running) < 2 * processes:
            try:
                running[pool.submit(task, *waiting[0][1])] = waiting[0]
            except BrokenProcessPool:
                broken = True
            else:
                waiting.popleft()
        for done in wait(running, return_when=FIRST_COMPLETED).done:
            number, job = running.pop(done)
            try:
                yield number, done.result()
            except BrokenProcessPool:
                broken = True
                yield number, lost(*job)
