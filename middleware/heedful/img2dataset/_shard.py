"""One shard in a worker: its rows are judged, its ledger is whole before it counts as done.

Nothing of this outlives the shard but what the process keeps for the next one: registries, origin files.
img2dataset's module and urllib's opener are found again as they were: Spark and Ray reuse their workers.
"""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import sys
import threading
import time
import traceback
import urllib.request
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import fsspec

from heedful._places import within
from heedful.errors import HeedfulError, LedgerError
from heedful.img2dataset._rows import REFUSED, Outcome, RowEnforcer, Rows
from heedful.judging import doubt
from heedful.ledger import LedgerWriter
from heedful.model import Action, Stage
from heedful.registry import RegistryError
from heedful.urllib import Handler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from types import ModuleType

    from heedful.configuration import Configuration
    from heedful.gate import Registered
    from heedful.ledger import Run

SUCCESS: Final = "success"
"""What img2dataset has in the column `status` of a picture that it stores."""

STATUS: Final = {Action.SKIP: "skipped_opt_out", Action.DEFER: "deferred_opt_out"}
"""What stands in the column `status` instead of `failed_to_download`, and counts it in `_stats.json`."""

LEDGER: Final = "heedful_ledger"
"""The key of `_stats.json` that says which record file the shard has, and what is in it."""

REASONS: Final = "opt_out_reasons"
"""The key of `_stats.json` under which refusals are counted by reason."""

TAGS: Final = ("heedful_action", "heedful_reason", "heedful_id")
"""Columns that `tag` adds: what was decided, the first reason, and the record's id in the ledger."""

NO_UPDATE: Final = "NO_ALBUMENTATIONS_UPDATE"
"""In the environment, it keeps albumentations from asking a package index for updates at its import."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What a worker is told: values and paths only.

    Attributes:
        configuration: the configuration.
        run: what all records have in common.
        ledger: the folder of the shards' ledgers, or its URL.
        dataset: names the dataset among others in that ledger.
        private: the folder of our own files, below the output.
        page_col: the column with the pages' URLs; None: there is none.
        tag: add the columns `TAGS`.
        processes: how many workers there are: so many shards on comes the one that may be this one's next.
        ahead: another process asks the origins of the shards that come next; else workers do so themselves.
    """

    configuration: Configuration
    run: Run
    ledger: str
    dataset: str
    private: str
    page_col: str | None
    tag: bool
    processes: int
    ahead: bool

    def worker(self, shard: int) -> str:
        """The name of a shard's ledger."""
        return f"{self.dataset}-shard-{shard:05d}"


class GuardedDownloader:
    """img2dataset's downloader, guarded. Travels to workers as paths and values."""

    def __init__(self, downloader: Any, guard: Guard) -> None:
        """Guard a downloader."""
        self._downloader = downloader
        self._guard = guard

    def __reduce__(self) -> tuple[Any, ...]:
        # Packed apart, so that the environment is in order when img2dataset is imported.
        return _unpacked, (pickle.dumps(self._downloader), self._guard)

    def __call__(self, row: tuple[int, str]) -> tuple[bool, tuple[int, str]]:
        """Download a shard, as img2dataset's own does: whether it is done, and its name."""
        with _SHARDS:
            try:
                return _Process.of(self._guard).download(self._downloader, row)
            except Exception:  # noqa: BLE001 - as img2dataset does: it tries the shard again
                traceback.print_exc()
                return False, row


def _unpacked(downloader: bytes, guard: Guard) -> GuardedDownloader:
    with quiet_albumentations():
        return GuardedDownloader(pickle.loads(downloader), guard)  # noqa: S301 - our own, from the parent


def quiet_albumentations() -> AbstractContextManager[None]:
    """Let img2dataset be imported without anybody on the network being asked."""
    return environment(NO_UPDATE, "1")


@contextmanager
def environment(name: str, value: str) -> Iterator[None]:
    """Let a variable of the environment have a value, as long as this lasts, if it has none."""
    given = name in os.environ
    os.environ.setdefault(name, value)
    try:
        yield
    finally:
        if not given:
            os.environ.pop(name, None)


_SHARDS: Final = threading.Lock()
"""One shard at a time: urllib has one opener for a process."""


class _Asked(NamedTuple):
    """What a shard asks for, as `Rows` takes it."""

    urls: Sequence[str]
    pages: Sequence[str] | None
    registered: Sequence[tuple[Registered, ...] | None]


class _Process:
    """What a worker keeps from shard to shard of a run."""

    _now: _Process | None = None

    @classmethod
    def of(cls, guard: Guard) -> _Process:
        if cls._now is None or cls._now.guard != guard:
            if cls._now is not None:
                cls._now.enforcer.close()
                cls._now = None
            cls._now = cls(guard)
        return cls._now

    def __init__(self, guard: Guard, *, ahead: bool = False) -> None:
        self.guard = guard
        self.enforcer = RowEnforcer(guard.configuration)
        self._ask_first = True
        self._ask_all = ahead or not guard.ahead
        self._ahead: dict[str, _Asked] = {}

    def download(self, downloader: Any, row: tuple[int, str]) -> tuple[bool, tuple[int, str]]:
        number, path = row
        asked = self._ahead.pop(path, None) or self.ask(path)
        if not self.guard.ahead:
            self._look_ahead(number, path)
        rows = Rows(self.enforcer, *asked)
        self.enforcer.ask_remotes(rows)
        shard = _Shard(self.guard, number, downloader, rows)
        guarded = copy.copy(downloader)
        guarded.sample_writer_class = shard.writer
        with ExitStack() as changed:
            handler = Handler.of(self.enforcer, start=shard.rows.start, replace_user_agent=True)
            changed.enter_context(_opener(urllib.request.build_opener(handler)))
            module = _module_of(downloader)
            changed.enter_context(_replaced(module, "download_image", shard.download_image))
            changed.enter_context(_replaced(module, "write_stats", shard.write_stats))
            done: tuple[bool, tuple[int, str]] = guarded(row)
        return done

    def ask(self, path: str) -> _Asked:
        """What a shard asks for, and what registries have about it; its origins are asked meanwhile."""
        import pyarrow as pa  # noqa: PLC0415 - img2dataset brings it

        fs, local = fsspec.core.url_to_fs(path)
        with fs.open(local, "rb") as file:
            table = pa.ipc.open_file(file).read_all()
        urls = _texts(table, "url")
        pages = None if self.guard.page_col is None else _texts(table, self.guard.page_col)
        registered = self._registered(urls)
        if self._ask_all or self._ask_first:  # the process that asks ahead may just be starting
            self.enforcer.prefetch(
                url
                for url, known in zip(urls, registered, strict=True)
                if known is not None and not any(each.matches for each in known)
            )
        self._ask_first = False
        return _Asked(urls, pages, registered)

    def _registered(self, urls: Sequence[str]) -> Sequence[tuple[Registered, ...] | None]:
        try:
            return self.enforcer.gate.registered_batch(urls, time.time())
        except RegistryError:  # each row meets it again, and is deferred
            return [None] * len(urls)

    def _look_ahead(self, number: int, path: str) -> None:
        """Have the origins of the shard asked that this worker may get next, while this one downloads."""
        folder, _, name = path.rpartition("/")
        following = f"{folder}/{number + self.guard.processes}.{name.rpartition('.')[2]}"
        self._ahead.clear()
        fs, local = fsspec.core.url_to_fs(following)
        try:
            if fs.exists(local):
                self._ahead[following] = self.ask(following)
        except (OSError, ValueError):  # it is just being removed by the worker that had it
            self._ahead.clear()


class _Shard:
    """One shard while it downloads: in img2dataset's module, these methods stand in for its functions."""

    def __init__(self, guard: Guard, number: int, downloader: Any, rows: Rows) -> None:
        self._guard = guard
        self._number = number
        self._module = _module_of(downloader)
        self._inner_writer = downloader.sample_writer_class
        self._inner_download = self._module.download_image
        self._inner_stats = self._module.write_stats
        self._width = downloader.oom_shard_count
        self._keys: int = 10 ** math.ceil(math.log10(downloader.number_sample_per_shard))
        self._counts: dict[Action, int] = dict.fromkeys(Action, 0)
        self._reasons: dict[str, int] = {}
        self.ledger: dict[str, Any] = {}
        self.rows = rows
        self.audit = guard.configuration.audit
        self.record_stores = guard.configuration.record_stores
        self.tag = guard.tag
        self.failure: str | None = None

    def download_image(self, row: tuple[int, str], *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
        """img2dataset's own, once a row, but for faults that it tries again: a refusal is none."""
        number, _ = row
        if self.failure is not None:
            return number, None, "the shard has failed"  # nobody is asked for what cannot be stored
        known = self.rows.enter(number)
        refused = _refused(known.outcome) if not self.audit else None
        if refused is None:
            answer: tuple[Any, Any, Any] = self._inner_download(row, *args, **kwargs)
            refused = _refused(known.outcome) if not self.audit else None
            if refused is None:
                return answer
            if answer[1] is not None:
                answer[1].close()
        return number, None, refused.code

    def writer(
        self,
        shard: int,
        output: str,
        save_caption: bool,  # noqa: FBT001 - as img2dataset calls it
        width: int,
        schema: Any,
        encode_format: str,
    ) -> _GuardedWriter:
        """A sample writer, as img2dataset makes one for each shard."""
        if self.tag:
            import pyarrow as pa  # noqa: PLC0415

            for name in TAGS:
                schema = schema.append(pa.field(name, pa.string()))
        _clear(output, f"{shard:0{width}d}")
        inner = self._inner_writer(shard, output, save_caption, width, schema, encode_format)
        ledger = LedgerWriter(
            self._guard.ledger, self._guard.run, worker=self._guard.worker(self._number), atomic=True
        )
        return _GuardedWriter(inner, self, ledger)

    def number_of(self, key: str) -> int:
        """A row's number, by the key that img2dataset has made of it."""
        return int(key) % self._keys

    def outcome(self, number: int, meta: Mapping[str, Any]) -> Outcome:
        """What became of a row that img2dataset is about to write."""
        row = self.rows[number]
        known = row.outcome[0] if row.outcome else None
        if known is not None and known.action in REFUSED:
            return known
        if meta["status"] == SUCCESS:
            if known is not None and known.action is Action.STORE:
                return known
            return _unjudged(row.url)
        error = f"{meta['status']}: {meta['error_message']}"
        if known is None:
            return Outcome(row.url, Action.FAILED, None, None, 0, None, error)
        return replace(known, action=Action.FAILED, verdict=None, error=error)

    def lost(self, number: int) -> Outcome:
        """What is recorded of a row that img2dataset has not written: it broke off in the middle of it."""
        row = self.rows[number]
        return _refused(row.outcome) or Outcome(row.url, Action.FAILED, None, None, 0, None, "not written")

    def count(self, outcome: Outcome) -> None:
        """Count what was recorded."""
        self._counts[outcome.action] += 1
        if outcome.action in REFUSED:
            self._reasons[outcome.code] = self._reasons.get(outcome.code, 0) + 1

    def write_stats(
        self, output: str, shard: int, count: int, successes: int, failed: int, *rest: Any
    ) -> None:
        """img2dataset's own, refusals counted apart from failures: a shard is done when it is there."""
        refused = {STATUS[action]: self._counts[action] for action in STATUS}
        if not self.audit:
            unjudged = successes - self._counts[Action.STORE]
            successes -= unjudged
            failed -= sum(refused.values()) - unjudged
        fs, folder = fsspec.core.url_to_fs(self._guard.private)
        fs.makedirs(folder, exist_ok=True)
        self._inner_stats(self._guard.private, shard, count, successes, failed, *rest)
        name = f"{shard:0{self._width}d}_stats.json"
        with fs.open(f"{folder}/{name}", "r") as file:
            stats = json.load(file)
        stats |= refused | {REASONS: self._reasons, LEDGER: self.ledger}
        with fs.open(f"{folder}/{name}", "w") as file:
            json.dump(stats, file, indent=4)
        fs.mv(f"{folder}/{name}", f"{fsspec.core.url_to_fs(output)[1]}/{name}")


class _GuardedWriter:
    """A sample writer that records what becomes of each row before it is written."""

    def __init__(self, inner: Any, shard: _Shard, ledger: LedgerWriter) -> None:
        self._inner = inner
        self._shard = shard
        self._ledger = ledger
        self._recorded: set[int] = set()

    def write(self, picture: Any, key: str, caption: Any, meta: dict[str, Any]) -> None:
        """Record a row, then write it.

        Raises:
            LedgerError, OSError: it could not be done. img2dataset goes on after any error; `close` does not.
        """
        self._stop_if_failed()
        number = self._shard.number_of(key)
        outcome = self._shard.outcome(number, meta)
        try:
            record = self._record(number, outcome)
            if outcome.action in REFUSED and not self._shard.audit:
                picture = None
                meta["status"], meta["error_message"] = STATUS[outcome.action], outcome.code
            if self._shard.tag:
                meta |= zip(TAGS, (outcome.action.value, outcome.reason, record), strict=True)
            self._inner.write(picture, key, caption, meta)
        except (LedgerError, OSError) as error:
            self._shard.failure = str(error)
            raise

    def close(self) -> None:
        """Close the writer, then the ledger: only then does img2dataset say that the shard is done.

        Raises:
            HeedfulError: something could not be recorded or written: the shard is not done.
            OSError: the rest could not be written.
        """
        if self._shard.failure is not None:
            with suppress(Exception):
                self._inner.close()
        self._stop_if_failed()
        for number in range(len(self._shard.rows)):
            if number not in self._recorded:
                self._record(number, self._shard.lost(number))
        self._inner.close()
        (part,) = self._ledger.close()
        totals = {"totals": dict(self._ledger.totals), "counted": self._ledger.counted}
        self._shard.ledger = part._asdict() | totals

    def _stop_if_failed(self) -> None:
        if self._shard.failure is not None:
            # A new one: what was raised before would hold on to img2dataset's threads.
            raise HeedfulError(self._shard.failure)

    def _record(self, number: int, outcome: Outcome) -> str | None:
        """The record's id; None: it is of a stored picture, and these are only counted."""
        record = None
        if outcome.action is Action.STORE and not self._shard.record_stores:
            self._ledger.count(outcome.action)
        else:
            first = self._shard.rows[number].first
            record = self._ledger.record(
                outcome.url,
                outcome.action,
                outcome.verdict,
                hop_of=None if first == outcome.url else first,
                status=outcome.status,
                bytes_read=outcome.read,
                bytes_avoided=outcome.avoided,
                error=outcome.error,
            ).id
        self._recorded.add(number)
        self._shard.count(outcome)
        return record


def _unjudged(url: str) -> Outcome:
    verdict = doubt(url, Stage.BODY, "it was not judged", url)
    return Outcome(url, verdict.action, verdict, None, 0, None, None)


def _refused(outcomes: Sequence[Outcome]) -> Outcome | None:
    return next((outcome for outcome in outcomes if outcome.action in REFUSED), None)


def _texts(table: Any, column: str) -> list[str]:
    """A column; what is no text in it is no URL either, which the row will show."""
    return ["" if value is None else str(value) for value in table.column(column).to_pylist()]


def _clear(output: str, shard: str) -> None:
    """Remove what a shard has left that was never done: what it stored then may be opted out by now."""
    fs, folder = fsspec.core.url_to_fs(output)
    fs.invalidate_cache()
    for path in (f"{folder}/{shard}", *within(fs, folder, f"{shard}.*")):
        if fs.exists(path):
            fs.rm(path, recursive=True)


def _module_of(downloader: Any) -> ModuleType:
    return sys.modules[type(downloader).__module__]


@contextmanager
def _replaced(module: ModuleType, name: str, function: Callable[..., Any]) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, function)
    try:
        yield
    finally:
        setattr(module, name, original)


@contextmanager
def _opener(opener: urllib.request.OpenerDirector) -> Iterator[None]:
    """Let `urllib.request.urlopen` use an opener."""
    known = vars(urllib.request)
    before = known["_opener"]
    urllib.request.install_opener(opener)
    try:
        yield
    finally:
        urllib.request.install_opener(before)
