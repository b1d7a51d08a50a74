"""Lists of URLs, filtered by registries: what a run is, from its check to its summary."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from heedful._processes import cores
from heedful.bulk.filter._files import places
from heedful.bulk.filter._state import State
from heedful.bulk.filter._task import NO_TOKEN, Counts, Pinned, Task
from heedful.configuration import Configuration
from heedful.errors import ConfigurationError, LedgerError
from heedful.ledger import LedgerWriter, Part, Run, RunManifest, start_run
from heedful.model import isotime, unixtime
from heedful.registry import Registry
from heedful.registry._locking import Lock
from heedful.registry.remote import RemoteRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import ModuleType

    from heedful.bulk.filter._files import Places
    from heedful.bulk.filter._local import Result, Step
    from heedful.policy import Policy

ENGINES: Final = ("local", "spark", "ray")
"""What can do the work: all cores of this machine, or a cluster."""

CRAWLER: Final = "heedful filter"
"""What a ledger's records name as the program."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of a list.

    Attributes:
        counts: of its rows.
        files: outputs that are in their places.
        before: those of them that were so before this start.
        unreadable: files that could not be read and have no output, each with what is wrong.
        tagged: rows were tagged; else refused ones were dropped.
        needs_opt_in: the policy stores only what is opted in: rows of which no opt-in is registered are kept,
            and are left to the crawl, which can hear the origins.
        out: the output.
        ledger: the ledger's folder; None: there is none.
        seconds: how long this start took.
    """

    counts: Counts
    files: int
    before: int
    unreadable: tuple[tuple[str, str], ...]
    tagged: bool
    needs_opt_in: bool
    out: str
    ledger: str | None
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """The form that is printed as JSON."""
        data = asdict(self)
        counts = self.counts.as_dict()
        del data["counts"], counts["unrecorded"]
        data["unreadable"] = [{"file": file, "fault": fault} for file, fault in self.unreadable]
        return counts | data


def filter_urls(
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    registries: str | Path | Iterable[str | Path] = (),
    policy: Policy | str | Path = "standard",
    tag: bool = False,
    url_col: str | None = None,
    engine: str = "local",
    workers: int | None = None,
    ledger: str | Path | bool = True,
    cache: str | Path | None = None,
    overwrite: bool = False,
    progress: Callable[[Step], None] = lambda _: None,
    found: Callable[[int, int], None] = lambda _files, _octets: None,
) -> Summary:
    """Drop the opted-out rows of lists of URLs, or tag all rows.

    Known is what registries hold and what the operator's own policy says: nobody is contacted, but remote
    registries that the policy names. Run again with the same arguments, it goes on with what is not done.

    Args:
        sources: files (txt, csv, tsv, parquet), folders or patterns: paths, or URLs that fsspec understands.
        out: a file for one file, else a folder; names, formats, schema and order are kept.
        registries: built registries, each a folder.
        policy: a policy, a profile's name, or a TOML file.
        tag: keep all rows and add the columns `heedful_action`, `heedful_reason`, `heedful_list` and
            `heedful_entry`.
        url_col: the column of the URLs; None: that which is called `url`, in any case.
        engine: one of `ENGINES`.
        workers: how many processes; None: as many as there are cores.
        ledger: the folder of the ledger, or its URL; True: one at the output; False: none.
        cache: the folder of answers of remote registries; None: the user's.
        overwrite: replace what another run has left at `out`.
        progress: is told of each step.
        found: is told how many files there are, and how many octets.

    Returns:
        What became of the rows; `unreadable` names files that could not be read.

    Raises:
        ConfigurationError: something given is wrong: all faults are told; or a registry was changed.
        LedgerError: something could not be recorded.
        UnfinishedError: an output cannot be written, or a process was killed.
    """
    begin = time.monotonic()
    one = isinstance(sources, (str, Path))
    given = [str(source) for source in ((sources,) if one else sources)]  # type: ignore[union-attr]
    run = _Running.checked(
        given,
        str(out),
        registries=registries,
        policy=policy,
        tag=tag,
        url_col=url_col,
        engine=engine,
        workers=workers,
        ledger=ledger,
        cache=cache,
    )
    found(len(run.places.sources), sum(source.size for source in run.places.sources))
    result = run.done(overwrite=overwrite, progress=progress)
    return Summary(
        counts=result.counts,
        files=result.files,
        before=result.before,
        unreadable=tuple((error.path, error.why) for error in result.unreadable),
        tagged=tag,
        needs_opt_in=run.task.configuration.policy.regime == "opt-in",
        out=str(out),
        ledger=run.task.configuration.ledger,
        seconds=round(time.monotonic() - begin, 3),
    )


@dataclass(frozen=True, slots=True)
class _Running:
    """A run whose arguments are checked."""

    task: Task
    places: Places
    out: str
    engine: ModuleType

    @classmethod
    def checked(
        cls,
        sources: Sequence[str],
        out: str,
        *,
        tag: bool,
        url_col: str | None,
        engine: str,
        workers: int | None,
        **options: Any,
    ) -> _Running:
        """Check all that was given.

        Raises:
            ConfigurationError: with every fault there is.
        """
        now = time.time()
        faults: list[str] = []
        found = does = None
        try:
            does = _engine(engine)
        except ConfigurationError as error:
            faults += error.faults
        if workers is not None and workers < 1:
            faults.append("The number of workers must be 1 or more.")
        if not sources:
            faults.append("No list is given.")
        try:
            found = places(sources, out)
        except ConfigurationError as error:
            faults += error.faults
        texts = [] if found is None else [each.path for each in found.sources if each.form.kind == "txt"]
        if tag and texts:
            faults.append(f"{texts[0]} has no columns: only csv, tsv and parquet can be tagged.")
        if isinstance(options["ledger"], bool):
            beside = options["ledger"] and found is not None
            options["ledger"] = f"{found.private}/ledger" if found is not None and beside else None
        configuration = Configuration.check(token=NO_TOKEN, audit=tag, now=now, faults=faults, **options)
        assert found is not None  # noqa: S101 - else there was a fault
        assert does is not None  # noqa: S101
        for remote in configuration.policy.remotes:
            RemoteRegistry(remote, cache=None).close()  # a missing key is told before the run
        pinned = []
        for folder in configuration.registries:
            with Registry.open(folder, now=now, verify=False) as registry:
                pinned.append(Pinned.of(registry))
        if not pinned and not configuration.policy.overrides and not configuration.policy.remotes:
            raise ConfigurationError(
                "There is nothing to filter by: give --registry, or a policy of your own."
            )
        run = start_run(configuration, crawler=CRAWLER, now=now)
        processes = workers or cores()
        return cls(Task(configuration, tuple(pinned), run, now, url_col, tag, processes), found, out, does)

    def done(self, *, overwrite: bool, progress: Callable[[Step], None]) -> Result:
        """Do it."""
        state = State(self.places.private)
        with _locked(self.places.private, self.out):
            task = self._begun(state, overwrite=overwrite)
            manifest = _manifest(task)
            result: Result = self.engine.run(task, self.places.sources, state, progress=progress)
            if manifest is not None:
                result.parts = result.parts or _nothing_recorded(task)
                counted = result.counts.rows - sum(part.records for part in result.parts)
                manifest.end(result.parts, result.counts.totals(), counted=counted, now=time.time())
        return result

    def _begun(self, state: State, *, overwrite: bool) -> Task:
        """The run that goes on, or this one, which begins.

        Raises:
            ConfigurationError: what is at the output is of another run, or cannot be replaced.
        """
        identity = self._identity()
        before = state.run()
        if before is not None and before["identity"] == identity:
            run, now = Run(**_run_of(before["run"])), unixtime(before["started"])
            return replace(self.task, run=run, now=now)
        there = self._there()
        if there is not None and not overwrite:
            words = f"{there} is there already" if before is None else _other(self.out, before, identity)
            raise ConfigurationError(f"{words}: --overwrite starts anew.")
        begun = {"run": asdict(self.task.run), "started": isotime(self.task.now), "identity": identity}
        try:
            state.begin(begun)
        except OSError as error:
            raise _unwritable(self.out, error) from error
        return self.task

    def _there(self) -> str | None:
        """An output that is there already."""
        fs, path = fsspec.core.url_to_fs(self.out)
        if not fs.isdir(path):
            return self.out if fs.exists(path) else None
        names = {fs.unstrip_protocol(name) for name in fs.find(path)}
        outs = (source.out for source in self.places.sources)
        return next((out for out in outs if _full(out) in names), None)

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a run to go on."""
        configuration = self.task.configuration
        return {
            "registries": [list(pinned) for pinned in self.task.pinned],
            "policy": configuration.policy.hash,
            "ledger": configuration.ledger,
            "url_col": self.task.url_col,
            "tag": self.task.tag,
        }


def _engine(name: str) -> ModuleType:
    """What does the work: a module with a function `run` like the local one's."""
    if name not in ENGINES:
        raise ConfigurationError(f"There is no engine {name!r}: it is one of {', '.join(ENGINES)}.")
    try:
        return import_module(f"heedful.bulk.filter._{name}")
    except ImportError as error:
        words = f"The engine {name} needs packages that are not installed: pip install 'heedful[{name}]'"
        raise ConfigurationError(words) from error


def _other(out: str, run: dict[str, Any], now: dict[str, Any]) -> str:
    """In what another run differs."""
    before = run["identity"]
    words = [
        "another policy" if key == "policy" else f"{key} {before.get(key)!r}"
        for key in ("policy", "ledger", "url_col", "tag")
        if before.get(key) != now[key]
    ]
    if before.get("registries") != now["registries"]:
        named = (f"{name} version {version}" for name, version, _ in before.get("registries", ()))
        words.append(f"the registries {', '.join(named) or 'none'}")
    return f"{out} was begun with {' and '.join(words) or 'another version of heedful'}"


def _manifest(task: Task) -> RunManifest | None:
    """The manifest of a run; None: nothing is recorded.

    Raises:
        ConfigurationError: the ledger cannot be written, or a registry not be relied upon.
    """
    configuration = task.configuration
    if configuration.ledger is None:
        return None
    with ExitStack() as opened:
        registries = [
            opened.enter_context(Registry.open(folder, now=task.now, verify=False))
            for folder in configuration.registries
        ]
        try:
            return RunManifest(
                configuration.ledger,
                task.run,
                policy=configuration.policy,
                registries=registries,
                now=task.now,
            )
        except LedgerError as error:
            raise ConfigurationError(str(error)) from error


def _nothing_recorded(task: Task) -> list[Part]:
    """A record file without records, so that readers find a ledger."""
    ledger = str(task.configuration.ledger)
    return [*LedgerWriter(ledger, task.run, worker=f"{task.run.id}-0", atomic=True).close()]


@contextmanager
def _locked(private: str, out: str) -> Iterator[None]:
    """See to it that no other process writes the same output, as far as this machine can tell.

    Raises:
        ConfigurationError: one does, or it cannot be written.
    """
    fs, path = fsspec.core.url_to_fs(private)
    try:
        fs.makedirs(path, exist_ok=True)
    except OSError as error:
        raise _unwritable(out, error) from error
    if not isinstance(fs, LocalFileSystem):
        yield
        return
    lock = Lock(Path(path))
    try:
        yield
    finally:
        lock.release(remove=True)


def _unwritable(out: str, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"{out} cannot be written: {error.strerror or error}.")


def _run_of(data: dict[str, Any]) -> dict[str, Any]:
    return data | {"policy": tuple(data["policy"])}


def _full(path: str) -> str:
    fs, inner = fsspec.core.url_to_fs(path)
    return str(fs.unstrip_protocol(inner))
