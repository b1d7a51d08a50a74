"""The work on one shard or unit, in whatever process it is done; findings are spooled to files of ours."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from heedful.bulk.audit._findings import Finding
from heedful.bulk.audit._judging import Judge
from heedful.bulk.audit._staging import Staging
from heedful.bulk.audit._stored import UnchangeableError, UnreadableError
from heedful.errors import ConfigurationError
from heedful.model import Action, isotime
from heedful.signals._paths import split_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from heedful.bulk.audit._judging import Judged
    from heedful.bulk.audit._stored import Shard, Stored, Unit
    from heedful.configuration import Configuration
    from heedful.model import Verdict

BATCH: Final = 1024
"""Pictures that are looked up at once, at most."""

BATCH_BYTES: Final = 64 * 2**20
"""Bytes of pictures that are held at once, but for the last of them."""


class Spooled(NamedTuple):
    """A finding, with what a ledger has of it."""

    finding: Finding
    url: str
    verdict: Verdict


class Free(NamedTuple):
    """A picture that nothing was found against, to be asked for live."""

    stored: Stored


@dataclass(slots=True)
class Outcome:
    """What came out for a shard.

    Attributes:
        shard: its name.
        pictures: pictures in it, as far as it could be read.
        unknown: those of them of which no URL is known.
        found: opted-out ones, by their first reason.
        doubts: those in doubt, by their first reason.
        lists: opted-out ones, by the list that they stand in.
        state: of its unit, before it was read.
        fault: why it could not be read, or not to its end.
    """

    shard: str
    pictures: int = 0
    unknown: int = 0
    found: Counter[str] = field(default_factory=Counter)
    doubts: Counter[str] = field(default_factory=Counter)
    lists: Counter[str] = field(default_factory=Counter)
    state: object = None
    fault: str | None = None

    def finding(self, dataset: str, stored: Stored, verdict: Verdict, sha256: str | None = None) -> Finding:
        """What a verdict says of a picture; it is counted.

        Args:
            dataset: the dataset.
            stored: the picture.
            verdict: not to store it.
            sha256: of the bytes.
        """
        finding = Finding.of(dataset, self.shard, stored, verdict, sha256)
        (self.found if finding.opted_out else self.doubts)[finding.reason] += 1
        if finding.opted_out and finding.list is not None:
            self.lists[finding.list] += 1
        return finding


class Worker:
    """What a process keeps from shard to shard."""

    current: ClassVar[Worker | None] = None

    def __init__(self, configuration: Configuration, dataset: str, now: float, live: bool) -> None:  # noqa: FBT001
        """Begin.

        Args:
            configuration: what was checked.
            dataset: what the dataset is called.
            now: Unix time in seconds, by which entries expire.
            live: spool what nothing is found against as well.

        Raises:
            ConfigurationError: a registry cannot be relied upon.
        """
        self._judge = Judge(configuration, now=now)
        self._dataset = dataset
        self._live = live

    def close(self) -> None:
        """Close what was opened."""
        self._judge.close()

    def go_through(self, shard: Shard, spool: Path) -> Outcome:
        """Judge the pictures of a shard.

        Args:
            shard: the shard.
            spool: the file that gets what is found; what is free gets into that of `free_of`.

        Raises:
            ConfigurationError: a registry turned out to be damaged, or has expired.
        """
        outcome = Outcome(shard.name)
        with spool.open("wb") as found, free_of(spool).open("wb") as free:
            try:
                outcome.state = shard.unit.state()
                for batch in _batches(shard.pictures()):
                    for judged in self._judge.of(batch):
                        self._add(outcome, judged, found, free)
            except ConfigurationError:
                raise
            except UnreadableError as error:
                outcome.fault = str(error)
            except Exception as error:  # noqa: BLE001 - what is in it is not known
                outcome.fault = f"{type(error).__name__}: {error}"
        return outcome

    def _add(self, outcome: Outcome, judged: Judged, found: IO[bytes], free: IO[bytes]) -> None:
        stored, verdict = judged.stored, judged.verdict
        outcome.pictures += 1
        outcome.unknown += not any(map(split_url, stored.urls))
        if verdict.action is not Action.STORE:
            finding = outcome.finding(self._dataset, stored, verdict, judged.sha256)
            pickle.dump(Spooled(finding, judged.url, verdict), found)
        elif self._live and stored.urls:
            pickle.dump(Free(replace(stored, data=None)), free)


def free_of(spool: Path) -> Path:
    """The file beside a spool with what is free."""
    return spool.with_suffix(".free")


def read_spool(spool: Path) -> Iterator[Any]:
    """What was put into a file of ours."""
    with spool.open("rb") as file:
        while file.peek(1):
            yield pickle.load(file)  # noqa: S301 - our own, in a folder that is ours alone


def append_spool(spool: Path, found: Iterable[Spooled]) -> None:
    """Put more into a file of ours."""
    with spool.open("ab") as file:
        for each in found:
            pickle.dump(each, file)


def _batches(pictures: Iterable[Stored]) -> Iterator[list[Stored]]:
    """Pictures, some at a time; those before a fault too."""
    batch: list[Stored] = []
    size = 0
    try:
        for stored in pictures:
            batch.append(stored)
            size += len(stored.data or b"")
            if len(batch) >= BATCH or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
    except UnreadableError:
        yield batch
        raise
    yield batch


@dataclass(frozen=True, slots=True)
class Removal:
    """What is to be removed from a unit.

    Attributes:
        unit: the unit.
        state: what it was when it was read.
        spools: what was found in it.
        run: the run's id.
        now: Unix time in seconds.
    """

    unit: Unit
    state: object
    spools: Sequence[Path]
    run: str
    now: float


class Removed(NamedTuple):
    """What became of it: how many pictures were removed, or why none was."""

    unit: str
    pictures: int = 0
    fault: str | None = None


def remove(removal: Removal) -> Removed:
    """Remove what was found in a unit, all of it or nothing."""
    unit = removal.unit
    findings = [
        each.finding for spool in removal.spools for each in read_spool(spool) if each.finding.opted_out
    ]
    reasons = {finding.key: finding.reason for finding in findings}
    staging = Staging(unit.folder, removal.run, unit.name)
    try:
        unit.rewrite(reasons, staging)
        if unit.state() != removal.state:
            raise UnchangeableError("it was changed while it was audited")
        about = {"run": removal.run, "removed": isotime(removal.now)}
        staging.commit(about | finding.as_dict() for finding in findings)
    except (UnchangeableError, UnreadableError, OSError) as error:
        return Removed(unit.name, fault=str(error))
    return Removed(unit.name, len(reasons))
