"""What came out of a run, read from the shards' `_stats.json` and their ledgers."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import fsspec

from heedful._places import within
from heedful.errors import LedgerError
from heedful.img2dataset._shard import LEDGER, REASONS, STATUS
from heedful.ledger import Part
from heedful.ledger.records import SUFFIX
from heedful.model import Action

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from heedful.img2dataset._shard import Guard
    from heedful.ledger import RunManifest

EVERY: Final = 5.0
"""Seconds between two looks at what is done: as often as img2dataset itself says how far it is."""

LINE_MAX: Final = 2**20
"""Bytes at the end of a ledger in which its last line is looked for; evidence is cut long before."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The rows of a run, by what became of them; shards that were done before are not in it.

    Attributes:
        shards: shards done.
        count: rows in them.
        stored: pictures that were stored.
        skipped: pictures that are opted out.
        deferred: pictures of which that could not be determined.
        failed: pictures that could not be downloaded, or not be resized.
        reasons: the skipped and deferred ones, by their first reason.
        ledger: where the ledger is.
    """

    shards: int
    count: int
    stored: int
    skipped: int
    deferred: int
    failed: int
    reasons: Mapping[str, int] = field(hash=False)
    ledger: str = ""

    @classmethod
    def of(cls, stats: Iterable[Mapping[str, Any]], ledger: str = "") -> Summary:
        """The sum of what some shards say."""
        total: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        shards = 0
        for each in stats:
            shards += 1
            total.update({key: value for key, value in each.items() if isinstance(value, int)})
            reasons.update(each.get(REASONS, {}))
        return cls(
            shards=shards,
            count=total["count"],
            stored=total["successes"],
            skipped=total[STATUS[Action.SKIP]],
            deferred=total[STATUS[Action.DEFER]],
            failed=total["failed_to_download"] + total["failed_to_resize"],
            reasons=dict(reasons.most_common()),
            ledger=ledger,
        )

    def as_dict(self) -> dict[str, Any]:
        """The form that is printed as JSON."""
        return {
            "shards": self.shards,
            "count": self.count,
            "stored": self.stored,
            "skipped": self.skipped,
            "deferred": self.deferred,
            "failed": self.failed,
            "reasons": dict(self.reasons),
            "ledger": self.ledger,
        }

    def __str__(self) -> str:
        """A line in the manner of img2dataset's own."""
        whole = self.count or 1
        parts = {"stored": self.stored, "opted out": self.skipped, "deferred": self.deferred}
        words = [f"{name}: {number / whole:.3f}" for name, number in parts.items()]
        return " - ".join(["heedful", *words, f"count: {self.count}"])


def stats_file(output: str, shard: int, width: int) -> tuple[Any, str]:
    """The file system and path by which a shard says that it is done."""
    fs, folder = fsspec.core.url_to_fs(output)
    return fs, f"{folder}/{shard:0{width}d}_stats.json"


def read(output: str, shard: int, width: int) -> Mapping[str, Any] | None:
    """What a shard says of itself; None: it is not done."""
    fs, path = stats_file(output, shard, width)
    fs.invalidate_cache()
    try:
        with fs.open(path, "r") as file:
            stats: Mapping[str, Any] = json.load(file)
    except FileNotFoundError:
        return None
    return stats


def check(
    output: str, shards: Sequence[int], width: int, guard: Guard, manifest: RunManifest, now: float
) -> tuple[Summary, list[str]]:
    """Sum up a run; a shard without its whole ledger is undone, so that the next run does it anew.

    Args:
        output: the output folder.
        shards: the shards that were to be done.
        width: digits of a shard's number in file names.
        guard: what their workers were told.
        manifest: the run's, which is ended.
        now: Unix time in seconds.

    Returns:
        The summary, and what is wrong, a sentence each.
    """
    done, faults = [], []
    for shard in shards:
        stats = read(output, shard, width)
        if stats is None:
            faults.append(f"Shard {shard} is not done.")
            continue
        records, there = stats[LEDGER]["records"], recorded(guard.ledger, guard.worker(shard))
        if records != there:
            faults.append(f"Shard {shard} is to be done anew: {there} of its {records} records are there.")
            fs, path = stats_file(output, shard, width)
            fs.rm_file(path)
            continue
        done.append(stats)
    parts, totals, counted = [], Counter[str](), 0
    for ledger in (stats[LEDGER] for stats in done):
        parts.append(Part(ledger["name"], ledger["records"], ledger["chain"]))
        totals.update(ledger["totals"])
        counted += ledger["counted"]
    try:
        manifest.end(parts, totals, counted=counted, now=now)
    except LedgerError as error:
        faults.append(str(error))
    return Summary.of(done, guard.ledger), faults


@contextmanager
def progress(output: str, shards: Sequence[int], width: int) -> Iterator[None]:
    """Print how much is skipped, beside what img2dataset itself prints.

    Args:
        output: the output folder.
        shards: the shards that are to be done, growing.
        width: digits of a shard's number in file names.
    """
    over = threading.Event()

    def watch() -> None:
        done: dict[int, Mapping[str, Any]] = {}
        while not over.wait(EVERY):
            new = {
                shard: stats
                for shard in shards
                if shard not in done and (stats := read(output, shard, width))
            }
            done |= new
            if new:
                print(Summary.of(done.values()), flush=True)  # noqa: T201 - where img2dataset prints its own

    thread = threading.Thread(target=watch, name="heedful progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def unrecorded(output: str, guard: Guard) -> list[int]:
    """The shards that are done, but not in this ledger: by plain img2dataset, or with another one."""
    fs, folder = fsspec.core.url_to_fs(output)
    ledger_fs, ledger = fsspec.core.url_to_fs(guard.ledger)
    done = (int(path.rpartition("/")[2].partition("_")[0]) for path in within(fs, folder, "*_stats.json"))
    there = {path.rpartition("/")[2] for path in within(ledger_fs, ledger, f"*{SUFFIX}")}
    return [shard for shard in done if guard.worker(shard) + SUFFIX not in there]


def recorded(ledger: str, worker: str) -> int:
    """How many records a shard's ledger has: the last one's id ends with its number."""
    fs, folder = fsspec.core.url_to_fs(ledger)
    try:
        with fs.open(f"{folder}/{worker}{SUFFIX}", "rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - LINE_MAX, 0))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return 0
    try:
        return int(json.loads(lines[-1])["id"].rpartition("-")[2]) if lines else 0
    except (ValueError, KeyError):
        return 0
