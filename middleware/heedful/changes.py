"""Changes of mind: what a recheck's ledger says of pictures that were stored, beside what was said then."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from heedful.explain._lines import Lines, quoted, urls_in
from heedful.ledger import LedgerReader
from heedful.model import Action, Preference, Reason, isotime

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from heedful.ledger import Record

GONE: Final = frozenset({404, 410})
"""Statuses of pictures that are no longer there."""

COMPARED_AT_ONCE: Final = 20_000
"""Changes that are kept in memory while the former ledgers are searched for what they say of them."""

_REGISTRIES: Final = frozenset(
    reason.value
    for reason in Reason
    if reason.value.startswith("registry.") and reason is not Reason.REGISTRY_REMOTE
)


class Before(str, Enum):
    """What was known, when the picture was stored, of what speaks against it now."""

    __str__ = str.__str__

    ABSENT = "absent"
    """The file, header or entry was not there, or was not asked for."""
    OTHER = "other"
    """The file, or the registry, was there in another version."""
    SAME = "same"
    """It was said then, too."""
    UNKNOWN = "unknown"
    """No record of the time is at hand."""


class Cause(str, Enum):
    """Who has changed."""

    __str__ = str.__str__

    OWNER = "owner"
    """What the site says."""
    REGISTRY = "registry"
    """What registries have."""
    POLICY = "policy"
    """What is made of it: another policy, or another version of heedful."""
    UNKNOWN = "unknown"
    """That cannot be told: no record of the time is at hand."""


@dataclass(frozen=True, slots=True)
class Change:
    """A picture that is stored, and that is opted out now.

    Attributes:
        url: the one under which it is listed.
        now: today's decision, on `url` or a hop that it leads to.
        former: the decision to store it.
    """

    url: str
    now: Record
    former: Record | None = None

    @property
    def writable(self) -> bool:
        """Whether the URL can stand alone on a line of a list."""
        return self.url.isprintable() and " " not in self.url

    @property
    def denies(self) -> tuple[tuple[Mapping[str, Any], Before], ...]:
        """What speaks against it, each with what was known of that before."""
        return tuple(
            (statement, _before(statement, self.now, self.former))
            for statement in self.now.evidence
            if statement.get("statement") == Preference.DISALLOW
        )

    @property
    def cause(self) -> Cause:
        """Who has changed."""
        if self.former is None:
            return Cause.UNKNOWN
        new = [statement["signal"] for statement, before in self.denies if before is not Before.SAME]
        sites = [signal for signal in new if signal != Reason.OPERATOR_DENY and signal not in _REGISTRIES]
        if sites:
            return Cause.OWNER
        if not _REGISTRIES.isdisjoint(new):
            return Cause.REGISTRY
        withdrawn = self.now.reason is Reason.NO_OPT_IN and self.former.run.policy == self.now.run.policy
        return Cause.OWNER if withdrawn else Cause.POLICY

    def as_dict(self) -> dict[str, Any]:
        """The form that is written as JSON."""
        now, former = self.now, self.former
        return {
            "url": self.url,
            "hop": now.url,
            "action": now.action.value,
            "reason": None if now.reason is None else now.reason.value,
            "reasons": [reason.value for reason in now.reasons],
            "cause": self.cause.value,
            "evidence": [{**statement, "before": before.value} for statement, before in self.denies],
            "time": isotime(now.time),
            "id": now.id,
            "former": None
            if former is None
            else {
                "action": former.action.value,
                "time": isotime(former.time),
                "run": former.run.id,
                "policy": {"name": former.run.policy[0], "hash": former.run.policy[1]},
                "registries": [{"name": name, "version": version} for name, version in former.registries],
                "id": former.id,
            },
        }


@dataclass(slots=True)
class Outcome:
    """What became of the URLs that were asked for again.

    Attributes:
        free: nobody has opted out.
        changed: opted out now, by the first reason.
        deferred: could not be determined, by the first reason.
        gone: there is no such picture any more.
        failed: could not be asked for, for another reason.
        causes: who has changed, over `changed`.
        bytes_read: body bytes that were read.
        bytes_avoided: body bytes that were announced and not read.
    """

    free: int = 0
    changed: Counter[str] = field(default_factory=Counter)
    deferred: Counter[str] = field(default_factory=Counter)
    gone: int = 0
    failed: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    bytes_read: int = 0
    bytes_avoided: int = 0

    @property
    def rechecked(self) -> int:
        """All of them."""
        return self.free + self.changed.total() + self.deferred.total() + self.gone + self.failed

    def as_dict(self) -> dict[str, Any]:
        """The form that is printed as JSON."""
        return {
            "rechecked": self.rechecked,
            "free": self.free,
            "opted_out": dict(self.changed.most_common()),
            "deferred": dict(self.deferred.most_common()),
            "gone": self.gone,
            "failed": self.failed,
            "causes": dict(self.causes.most_common()),
            "bytes_read": self.bytes_read,
            "bytes_avoided": self.bytes_avoided,
        }

    def add(self, record: Record) -> None:
        """Count a decision."""
        self.bytes_read += record.bytes_read
        self.bytes_avoided += record.bytes_avoided or 0
        reason = "" if record.reason is None else record.reason.value
        if record.action is Action.STORE:
            self.free += 1
        elif record.action is Action.SKIP:
            self.changed[reason] += 1
        elif record.action is Action.DEFER:
            self.deferred[reason] += 1
        elif record.status in GONE:
            self.gone += 1
        else:
            self.failed += 1


class Changes:
    """Iterates over the changes in a recheck's ledger.

    Attributes:
        outcome: what was counted so far; of all, once the iteration is over.
    """

    def __init__(self, ledger: str, former: Iterable[str] = ()) -> None:
        """Find the record files.

        Args:
            ledger: the recheck's.
            former: the ledgers of when the pictures were stored.

        Raises:
            LedgerError: one of them is not there, or holds no record file.
        """
        self.outcome = Outcome()
        self._records = LedgerReader(ledger)
        names = tuple(former)
        self._former = Lines(*names) if names else None

    def __iter__(self) -> Iterator[Change]:
        """The changes, in the order in which they were found.

        Raises:
            LedgerError: a file cannot be read.
        """
        self.outcome = Outcome()
        found = self._found()
        while some := list(islice(found, COMPARED_AT_ONCE)):
            known = self._known({change.url for change in some})
            for change in some:
                compared = Change(change.url, change.now, known.get(change.url))
                self.outcome.causes[compared.cause.value] += 1
                yield compared

    def _found(self) -> Iterator[Change]:
        for record in self._records:
            self.outcome.add(record)
            if record.action is Action.SKIP:
                yield Change(record.hop_of or record.url, record)

    def _known(self, urls: set[str]) -> dict[str, Record]:
        """The latest decision to store each of these, if there is one."""
        latest: dict[str, Record] = {}
        if self._former is None:
            return latest
        wanted = {quoted(url) for url in urls}
        for line in self._former.holding(quoted(Action.STORE.value)):
            if wanted.isdisjoint(urls_in(line.raw)):
                continue
            record = self._former.record(line)
            if record is None or record.action is not Action.STORE:
                continue
            first = record.hop_of or record.url
            known = latest.get(first)
            if first in urls and (known is None or known.time <= record.time):
                latest[first] = record
        return latest


def _before(statement: Mapping[str, Any], now: Record, former: Record | None) -> Before:
    if former is None:
        return Before.UNKNOWN
    source = statement["source_url"]
    if statement["signal"] in _REGISTRIES:
        name = source.removeprefix("registry ")
        version = dict(former.registries).get(name)
        if version is None:
            return Before.ABSENT
        return Before.SAME if version == dict(now.registries).get(name) else Before.OTHER
    if any(_alike(statement, other) for other in _said(former)):
        return Before.SAME
    snapshot = (former.snapshots or {}).get(source)
    if snapshot is None:
        return Before.ABSENT
    return Before.SAME if snapshot == (now.snapshots or {}).get(source) else Before.OTHER


def _said(record: Record) -> Iterator[Mapping[str, Any]]:
    yield from record.evidence
    yield from record.overridden
    yield from record.ignored


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether both say the same in the same place, though perhaps on another line."""
    return all(one.get(key) == other.get(key) for key in ("signal", "rule", "source_url", "raw"))
