"""What another policy would have made of what was recorded: nothing is asked for anew.

A ledger holds what was said, also what its policy left out of account. What it cannot hold is what nobody
asked for: where a picture was refused before it was contacted, its headers and bytes were never seen. There a
policy that refuses as well is known to, and one that does not is known to go on, no more (`Lack`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from heedful._origin import ROBOTS
from heedful.gate import Gate
from heedful.model import STAGE_ORDER, Action, Heard, Needs, Preference, Reason, Source, Stage, Statement
from heedful.origins import FILE_MAX
from heedful.policy import PROFILES, Policy
from heedful.registry.statements import PROTOCOL
from heedful.signals import policy_tokens, robots
from heedful.signals._paths import split_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from heedful.ledger import Record
    from heedful.model import Purpose

CHECK: Final = "check"
"""What a doubt of our own, which no file or header said, is heard under."""

_BEFORE_CONTACT: Final = frozenset({Stage.URL, Stage.ORIGIN, Stage.PAGE})

_FILES_MAX: Final = 4096


class Lack(str, Enum):
    """Why it is not known what would be done: what would be needed for it was never heard."""

    __str__ = str.__str__

    UNSEEN = "unseen"
    REMOTE = "remote"
    PURPOSE = "purpose"
    SIGNATURE = "signature"
    SNAPSHOT = "snapshot"


class Replayed(NamedTuple):
    """A record under another policy.

    Attributes:
        record: the record.
        action: what would be done; None: that is not known.
        reasons: why.
        lack: why it is not known.
    """

    record: Record
    action: Action | None
    reasons: tuple[Reason, ...] = ()
    lack: Lack | None = None

    @property
    def changes(self) -> bool:
        """Whether something else would be done, as far as that is known."""
        return self.action is not self.record.action


@dataclass(slots=True)
class Summary:
    """A ledger under another policy.

    Attributes:
        records: how many were judged again.
        unjudged: failed fetches, which no policy changes.
        invalid: records whose statements this version does not understand.
        changes: what would be done otherwise: action before, action after (`unknown`), count.
        reasons: the reasons that would be new, or no more, by change: count.
        lacks: why that is not known: count.
        redirected: pictures that would be stored and were reached by redirects: what was said of the URLs
            before is not recorded where it did not refuse them.
    """

    records: int = 0
    unjudged: int = 0
    invalid: int = 0
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    lacks: Counter[Lack] = field(default_factory=Counter)
    redirected: int = 0

    def add(self, each: Replayed) -> None:
        """Count one."""
        self.records += 1
        if each.lack is not None:
            self.lacks[each.lack] += 1
        if each.action is Action.STORE and each.record.hop_of is not None:
            self.redirected += 1
        if each.changes:
            change = (each.record.action.value, each.action.value if each.action else "unknown")
            self.changes[change] += 1
            for reason in each.reasons or each.record.reasons:
                key = (*change, reason.value)
                self.reasons[key] += 1

    def as_dict(self) -> dict[str, Any]:
        """The form that is printed as JSON."""
        return {
            "records": self.records,
            "unjudged": self.unjudged,
            "invalid": self.invalid,
            "redirected": self.redirected,
            "unknown": {lack.value: self.lacks[lack] for lack in Lack},
            "changes": [
                {
                    "before": before,
                    "after": after,
                    "count": count,
                    "reasons": {
                        reason: n
                        for (*change, reason), n in self.reasons.most_common()
                        if change == [before, after]
                    },
                }
                for (before, after), count in self.changes.most_common()
            ],
        }


class Replay:
    """Judges records under another policy."""

    def __init__(
        self,
        policy: Policy,
        snapshot: Callable[[str], bytes | None],
        purposes: Mapping[str, Purpose] | None = None,
    ) -> None:
        """Make ready.

        Args:
            policy: the policy.
            snapshot: gives an origin file's body by its hash, as `OriginCache.snapshot` does.
            purposes: what for, by the hash of the policies that the records were judged under; those of the
                shipped profiles are known.
        """
        self._policy = policy
        self._hash = policy.hash
        self._gate = Gate("none", policy)  # the token is for reading files, which is done
        self._switches = policy.effects().keys()
        self._robots = lru_cache(_FILES_MAX)(lambda sha256: _parsed(snapshot(sha256)))
        self._purposes = {**_shipped(), policy.hash: policy.purpose, **(purposes or {})}
        self.summary = Summary()

    def of(self, records: Iterable[Record]) -> Iterator[Replayed]:
        """Judge records, and sum up."""
        for record in records:
            if record.action is Action.FAILED or record.stage is None:
                self.summary.unjudged += 1
                continue
            try:
                replayed = self.judge(record)
            except ValueError:
                self.summary.invalid += 1
                continue
            self.summary.add(replayed)
            yield replayed

    def judge(self, record: Record) -> Replayed:
        """Judge one record, first what was known before anything was contacted, as a crawl does.

        Raises:
            ValueError: a statement in it is not understood.
        """
        assert record.stage is not None  # noqa: S101 - else it was no verdict
        heard, lack = self._heard(record)
        complete = -1 if record.complete is None else STAGE_ORDER[record.complete]
        # Nothing is contacted before all is heard that can be; a page has been read by then.
        decided = Stage.ORIGIN if record.stage in _BEFORE_CONTACT else record.stage
        last = max(decided, record.complete or decided, key=STAGE_ORDER.__getitem__)
        steps = [(last, heard)]
        if STAGE_ORDER[last] >= STAGE_ORDER[Stage.HEADERS]:
            early = [each for each in heard if each.stage in _BEFORE_CONTACT]
            steps.insert(0, (Stage.ORIGIN, early))
        for stage, known in steps:
            answer = self._gate.rejudge(record.url, known, stage=stage, now=record.time)
            if isinstance(answer, Needs):
                return Replayed(record, None, lack=Lack.REMOTE if answer.remotes else Lack.SIGNATURE)
            if answer.action is Action.SKIP and answer.reason is not Reason.NO_OPT_IN:
                return Replayed(record, Action.SKIP, answer.reasons)
            if lack is not None:
                return Replayed(record, None, lack=lack)
            if complete < STAGE_ORDER[stage] and not _doubt(record):
                break
            if answer.action is not Action.STORE:
                return Replayed(record, answer.action, answer.reasons)
        else:
            if last is Stage.BODY:
                return Replayed(record, Action.STORE)
        return Replayed(record, None, lack=Lack.UNSEEN)

    def _heard(self, record: Record) -> tuple[list[Heard], Lack | None]:
        """What was said, in the words of this policy, and what is not known of it."""
        assert record.stage is not None  # noqa: S101
        same = record.run.policy[1] == self._hash
        lack = None
        heard = []
        for data in (*record.evidence, *record.overridden, *record.ignored):
            each = self._statement(data, record.stage)
            if each is None or (each.statement.signal is Reason.ROBOTS_POLICY_TOKEN and not same):
                continue  # which tokens count is the policy's to say
            heard.append(each)
        if self._purposes.get(record.run.policy[1]) is not self._policy.purpose and (
            record.registries or any(map(_signed, heard))
        ):
            # Entries for another use are not recorded, nor what else was agreed to by the same signature.
            heard = [each for each in heard if each.protocol != PROTOCOL]
            lack = Lack.PURPOSE
        if self._policy.policy_tokens and not same:
            tokens = self._policy_tokens(record.url, record.snapshots or {})
            if tokens is None:
                lack = Lack.SNAPSHOT
            else:
                heard += tokens
        return heard, lack

    def _statement(self, data: Mapping[str, Any], stage: Stage) -> Heard | None:
        """A statement as it was heard; None: it was not, but follows from the others.

        Raises:
            ValueError: it is not understood.
        """
        try:
            if "stage" in data:
                heard = Heard.from_dict(data)
            elif data["signal"] == Reason.UNDETERMINED.value:
                heard = Heard(stage, CHECK, Statement.from_dict(data))
            else:
                return None
            known = isinstance(data["rule"], str) and heard.statement.switch in self._switches
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a statement: {error}") from error
        if not known:
            raise ValueError("not a statement of this version")
        return heard

    def _policy_tokens(self, url: str, snapshots: Mapping[str, str]) -> list[Heard] | None:
        """What the groups of policy tokens say; None: the file is no longer kept."""
        parts = split_url(url)
        sha256 = snapshots.get(parts[0] + ROBOTS) if parts else None
        if parts is None or sha256 is None:
            return []
        parsed = self._robots(sha256)
        if parsed is None:
            return None
        source = Source(parts[0] + ROBOTS, sha256)
        reading = policy_tokens.read(parsed, self._policy.policy_tokens, parts[1], source)
        return [Heard(Stage.ORIGIN, ROBOTS, statement) for statement in reading.statements]


@cache
def _shipped() -> dict[str, Purpose]:
    """The purposes of the shipped profiles, by their hash."""
    return {each.hash: each.purpose for each in map(Policy.load, PROFILES)}


def _signed(heard: Heard) -> bool:
    """Whether it was agreed to with a signature that was found valid."""
    said = heard.statement
    return said.signal is Reason.TRAINING_MINING and said.preference is Preference.ALLOW


def _doubt(record: Record) -> bool:
    """Whether it was deferred for a doubt of our own, such as a check that failed: that stays as it was."""
    return record.action is Action.DEFER and not any("stage" in each for each in record.evidence)


def _parsed(body: bytes | None) -> robots.Robots | None:
    return None if body is None else robots.parse(body, truncated=len(body) >= FILE_MAX)
