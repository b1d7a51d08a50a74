"""What became of a URL: its decisions, run by run, hop by hop, and what was said at each."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from heedful.explain._lines import Lines, quoted
from heedful.model import Action, Preference
from heedful.policy import PROFILES, Effect, Policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from heedful.ledger import Record

DECISIONS_MAX: Final = 10_000
"""Decisions that are kept, the newest: a picture that stands in for missing ones may have millions."""

FIRSTS_MAX: Final = 8
"""First URLs of which the other hops are looked for: very many may have been redirected to one place."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A record, with the file and the line that it stands in."""

    record: Record
    file: str
    line: int

    @property
    def first(self) -> str:
        """The URL that was asked for first."""
        return self.record.hop_of or self.record.url

    def as_dict(self) -> dict[str, Any]:
        """The form that is printed as JSON."""
        return {**self.record.as_dict(), "file": self.file, "line": self.line}


@dataclass(frozen=True, slots=True)
class Story:
    """What became of one URL in one run.

    Attributes:
        first: the URL that was asked for first.
        decisions: in order of time, at least one. Hops that were free to follow have none of their own.
    """

    first: str
    decisions: tuple[Decision, ...]

    @property
    def outcome(self) -> Record:
        """The last decision."""
        return self.decisions[-1].record

    @property
    def hops(self) -> tuple[tuple[Decision, int], ...]:
        """The last decision on each URL, and how many there were, in the order of the first ones."""
        counts: dict[str, int] = {}
        last: dict[str, Decision] = {}
        for decision in self.decisions:
            url = decision.record.url
            counts[url] = counts.get(url, 0) + 1
            last[url] = decision
        return tuple((last[url], count) for url, count in counts.items())


def stories(lines: Lines, question: str) -> list[Story]:
    """The stories in which `question` occurs, the newest first; one that it is the id in before all.

    Args:
        lines: the ledgers.
        question: a URL, whichever hop it was, or a decision's id.

    Raises:
        LedgerError: a file cannot be read.
    """
    newest = heapq.nlargest(
        DECISIONS_MAX,
        (
            each
            for each in _decisions(lines, (question,))
            if question in {each.record.id, each.record.url, each.record.hop_of}
        ),
        key=_time,
    )
    firsts = [first for first in dict.fromkeys(each.first for each in newest) if first != question]
    others: list[Decision] = []
    if firsts := firsts[:FIRSTS_MAX]:
        hops = (each for each in _decisions(lines, firsts) if each.first in firsts)
        others = heapq.nlargest(DECISIONS_MAX, hops, key=_time)
    found = {(each.file, each.line): each for each in (*newest, *others)}
    grouped: dict[tuple[str, str], list[Decision]] = {}
    for decision in sorted(found.values(), key=lambda each: (*_time(each), each.file, each.line)):
        grouped.setdefault((decision.record.run.id, decision.first), []).append(decision)
    told = [Story(first, tuple(decisions)) for (_, first), decisions in grouped.items()]
    told.sort(key=lambda story: _time(story.decisions[-1]), reverse=True)
    told.sort(key=lambda story: all(each.record.id != question for each in story.decisions))
    return told


def _decisions(lines: Lines, texts: Iterable[str]) -> Iterator[Decision]:
    for line in lines.holding(*map(quoted, texts)):
        record = lines.record(line)
        if record is not None:
            yield Decision(record, line.file, line.number)


def _time(decision: Decision) -> tuple[float, str]:
    return decision.record.time, decision.record.run.id


# -- what was said ---------------------------------------------------------------------------------------


class Role(str, Enum):
    """What part a statement played."""

    __str__ = str.__str__

    DECIDED = "decided"
    OVERRIDDEN = "overridden"
    NOTED = "noted"
    IGNORED = "ignored"


_CARRIES: Final = {
    Action.SKIP: {Preference.DISALLOW.value, Preference.UNDETERMINED.value},
    Action.DEFER: {Preference.UNDETERMINED.value},
    Action.STORE: {Preference.ALLOW.value},
}


def said(record: Record) -> list[tuple[Role, Mapping[str, Any]]]:
    """Every statement of a record, with its part, those that decided first."""
    logged = _logged(*record.run.policy)
    told = [(_role(record, each, logged), each) for each in record.evidence]
    told.sort(key=lambda each: each[0] is not Role.DECIDED)
    decided = sum(role is Role.DECIDED for role, _ in told)
    told[decided:decided] = [(Role.OVERRIDDEN, each) for each in record.overridden]
    return told + [(Role.IGNORED, each) for each in record.as_dict().get("ignored", ())]


def _role(record: Record, statement: Mapping[str, Any], logged: frozenset[str]) -> Role:
    carries = (
        statement.get("statement") in _CARRIES.get(record.action, ())
        and statement.get("switch") not in logged
        and (record.action is Action.STORE or statement.get("signal") in record.reasons)
    )
    return Role.DECIDED if carries else Role.NOTED


def _logged(name: str, policy_hash: str) -> frozenset[str]:
    """The switches by which a policy only records what is said; none where it is not a shipped one."""
    if name not in PROFILES or (policy := Policy.load(name)).hash != policy_hash:
        return frozenset()
    return frozenset(
        switch for switch, effect in policy.effects().items() if switch and effect is Effect.RECORD
    )


def silent(record: Record) -> dict[str, str]:
    """The origin files that were read and said nothing of the URL: SHA-256 by URL.

    Files that were not there (HTTP 4xx) are not in the ledger.
    """
    spoke = {str(each.get("source_url")) for each in (*(told for _, told in said(record)), *record.warnings)}
    return {url: sha256 for url, sha256 in (record.snapshots or {}).items() if url not in spoke}
