"""What flows through heedful: frozen values, nothing that reads, fetches or asks for the time.

A `Statement` is what one protocol says about one URL. A `Verdict` is what follows from all of them.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import date

_T = TypeVar("_T")

RAW_MAX = 500
"""Longest raw text kept in evidence, in characters; the hash of the whole file is kept beside it."""

Headers = tuple[tuple[str, str], ...]
"""Header lines as they came, one pair a line, names in any case, values latin-1 decoded."""


class _Code(str, Enum):
    """A closed set of words that are written to ledgers; `str` gives the word, sooner than `value`."""

    __str__ = str.__str__


class Purpose(_Code):
    """What the pictures are to be used for; `TRAIN_ANY` is the union of the denials of both others."""

    TRAIN_ANY = "train-any"
    TRAIN_GENERATIVE = "train-generative"
    TRAIN_NONGENERATIVE = "train-nongenerative"


class Preference(_Code):
    """What a statement says of the use; `UNDETERMINED`: its source could not be read."""

    DISALLOW = "disallow"
    ALLOW = "allow"
    UNKNOWN = "unknown"
    UNDETERMINED = "undetermined"


class Strength(_Code):
    """How directly the owner said it."""

    EXPLICIT = "explicit"
    SOFT = "soft"
    INFERRED = "inferred"


class Action(_Code):
    """What is done with the picture. `FAILED` is no verdict: the fetch itself did not work."""

    STORE = "store"
    SKIP = "skip"
    DEFER = "defer"
    FAILED = "failed"


class Stage(_Code):
    """The stages of a URL's way, in order."""

    URL = "url"
    ORIGIN = "origin"
    HEADERS = "headers"
    PAGE = "page"
    BODY = "body"


class Reason(_Code):
    """Every reason there is, in the order in which the first one is chosen as a verdict's `reason`."""

    OPERATOR_DENY = "operator.deny"
    REGISTRY_URL = "registry.url"
    REGISTRY_HOST = "registry.host"
    REGISTRY_DOMAIN = "registry.domain"
    REGISTRY_PATH = "registry.path"
    REGISTRY_PATTERN = "registry.pattern"
    REGISTRY_HASH = "registry.hash"
    REGISTRY_FINGERPRINT = "registry.fingerprint"
    REGISTRY_REMOTE = "registry.remote"
    ROBOTS_DISALLOW = "robots.disallow"
    ROBOTS_UNREACHABLE = "robots.unreachable"
    ROBOTS_AI_TOKEN = "robots.ai-token"
    ROBOTS_POLICY_TOKEN = "robots.policy-token"
    ROBOTS_LEGACY = "robots.legacy"
    CONTENT_USAGE = "content-usage"
    CONTENT_SIGNAL = "content-signal"
    TDMREP = "tdmrep"
    AI_TXT = "ai-txt"
    TRUST_TXT = "trust-txt"
    RSL = "rsl"
    X_ROBOTS_TAG = "x-robots-tag"
    ROBOTS_TAG = "robots-tag"
    META_ROBOTS = "meta-robots"
    DATA_MINING = "data-mining"
    TRAINING_MINING = "training-mining"
    NO_OPT_IN = "no-opt-in"
    UNDETERMINED = "undetermined"


BARS_CONTACT = frozenset(
    {
        Reason.OPERATOR_DENY,
        Reason.REGISTRY_URL,
        Reason.REGISTRY_HOST,
        Reason.REGISTRY_DOMAIN,
        Reason.REGISTRY_PATH,
        Reason.REGISTRY_PATTERN,
        Reason.REGISTRY_REMOTE,
        Reason.ROBOTS_DISALLOW,
        Reason.ROBOTS_UNREACHABLE,
    }
)
"""Reasons for which a URL may not be fetched at all, picture or page; the others speak of use only."""

REASON_ORDER = {reason: rank for rank, reason in enumerate(Reason)}
STAGE_ORDER = {stage: rank for rank, stage in enumerate(Stage)}


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where a statement was read.

    Attributes:
        source_url: what was read: the URL of the file, response or page.
        where: the place in it, such as `line 12`, `header TDM-Reservation`, `entry 3`.
        raw: the text itself, cut at `RAW_MAX` characters.
        sha256: hex digest of the whole file, None for headers.
        fetched: when it was fetched, Unix time in seconds, None if not known.
    """

    source_url: str
    where: str
    raw: str
    sha256: str | None = None
    fetched: float | None = None

    def found_in(self, source: Source) -> Evidence:
        """The same text at the same place of another source."""
        return Evidence(source.url, self.where, self.raw, source.sha256, source.fetched)


@dataclass(frozen=True, slots=True)
class Source:
    """What a parser is told of the thing it reads, so that its statements carry evidence."""

    url: str
    sha256: str | None = None
    fetched: float | None = None

    def at(self, where: str, raw: str) -> Evidence:
        """Evidence for `raw`, found at the place `where` of this source."""
        return Evidence(self.url, where, raw[:RAW_MAX], self.sha256, self.fetched)


@dataclass(frozen=True, slots=True)
class Statement:
    """What one protocol says about one URL.

    Attributes:
        signal: the protocol, as the reason it would give.
        preference: what it says.
        rule: the rule that spoke, in the protocol's own words, such as `noai` or `Disallow: /art/`.
        evidence: where it was read.
        strength: how directly the owner said it.
        covers: the kind of training that it speaks of.
        switch: the policy's switch that decides whether it counts; None: it always does.
    """

    signal: Reason
    preference: Preference
    rule: str
    evidence: Evidence
    strength: Strength = Strength.EXPLICIT
    covers: Purpose = Purpose.TRAIN_ANY
    switch: str | None = None

    def found_in(self, source: Source) -> Statement:
        """The same statement, found at the same place of another source."""
        return Statement(
            self.signal,
            self.preference,
            self.rule,
            self.evidence.found_in(source),
            self.strength,
            self.covers,
            self.switch,
        )

    def for_purpose(self, purpose: Purpose) -> Preference:
        """The preference as far as `purpose` is concerned."""
        if Purpose.TRAIN_ANY in (purpose, self.covers) or purpose is self.covers:
            return self.preference
        return Preference.UNKNOWN

    def as_dict(self) -> dict[str, Any]:
        """The form written to ledgers."""
        return {
            "signal": str(self.signal),
            "statement": str(self.preference),
            "rule": self.rule,
            "strength": str(self.strength),
            "covers": str(self.covers),
            "switch": self.switch,
            "source_url": self.evidence.source_url,
            "where": self.evidence.where,
            "raw": self.evidence.raw,
            "sha256": self.evidence.sha256,
            "fetched": None if self.evidence.fetched is None else isotime(self.evidence.fetched),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Statement:
        """The inverse of `as_dict`.

        Raises:
            KeyError, ValueError: a field is missing, or its value is none of the closed set.
        """
        return cls(
            signal=Reason(data["signal"]),
            preference=Preference(data["statement"]),
            rule=data["rule"],
            evidence=Evidence(
                data["source_url"],
                data["where"],
                data["raw"],
                data["sha256"],
                None if data["fetched"] is None else unixtime(data["fetched"]),
            ),
            strength=Strength(data["strength"]),
            covers=Purpose(data["covers"]),
            switch=data["switch"],
        )


class Heard(NamedTuple):
    """A statement as it was heard: at which stage, and from which header, path or the like."""

    stage: Stage
    protocol: str
    statement: Statement

    def as_dict(self) -> dict[str, Any]:
        """The form written to ledgers, from which it can be heard again."""
        return self.statement.as_dict() | {"stage": str(self.stage), "protocol": self.protocol}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Heard:
        """The inverse of `as_dict`.

        Raises:
            KeyError, ValueError: a field is missing, or its value is none of the closed set.
        """
        return cls(Stage(data["stage"]), data["protocol"], Statement.from_dict(data))


@dataclass(frozen=True, slots=True)
class ParseWarning:
    """Something malformed that was passed over, or read in the denying direction only."""

    signal: Reason
    message: str
    evidence: Evidence

    def found_in(self, source: Source) -> ParseWarning:
        """The same warning, of the same place of another source."""
        return ParseWarning(self.signal, self.message, self.evidence.found_in(source))

    def as_dict(self) -> dict[str, Any]:
        """The form written to ledgers."""
        return {
            "signal": self.signal.value,
            "message": self.message,
            "source_url": self.evidence.source_url,
            "where": self.evidence.where,
            "raw": self.evidence.raw,
        }


class Reading(NamedTuple):
    """What a parser found: statements, and warnings about what was malformed."""

    statements: tuple[Statement, ...] = ()
    warnings: tuple[ParseWarning, ...] = ()

    def found_in(self, source: Source) -> Reading:
        """The same, found at the same places of another source."""
        return Reading(
            tuple([statement.found_in(source) for statement in self.statements]),
            tuple([warning.found_in(source) for warning in self.warnings]) if self.warnings else (),
        )


NOTHING = Reading()


@dataclass(frozen=True, slots=True)
class OriginFile:
    """An origin-wide file as it was fetched.

    Attributes:
        url: the URL asked for (the one that it governs, whatever redirects were followed).
        status: the final HTTP status; 0: no answer (network error or timeout).
        headers: the final response's header lines.
        body: the body, content encoding undone, perhaps cut at the fetcher's limit.
        fetched: Unix time in seconds.
        truncated: the body was cut at the fetcher's limit.
    """

    url: str
    status: int
    headers: Headers = ()
    body: bytes = b""
    fetched: float | None = None
    truncated: bool = False
    sha256: str = field(init=False)
    _parsed: dict[Callable[..., Any], Any] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha256", hashlib.sha256(self.body).hexdigest())

    def __reduce__(self) -> tuple[Any, ...]:
        args = (self.url, self.status, self.headers, self.body, self.fetched, self.truncated)
        return type(self), args

    def parsed(self, parse: Callable[[OriginFile], _T]) -> _T:
        """What `parse` makes of this file; asked once, then remembered as long as this value lives."""
        if parse not in self._parsed:
            self._parsed[parse] = parse(self)
        return self._parsed[parse]  # type: ignore[no-any-return]

    @property
    def readable(self) -> bool:
        """It was answered with success."""
        return 200 <= self.status < 300

    @property
    def unreachable(self) -> bool:
        """5xx, 429, or no answer at all (RFC 9309, 2.3.1.4); every other failure means: no such file."""
        return self.status >= 500 or self.status in {0, 429}

    @property
    def absent(self) -> bool:
        """4xx but 429, or a redirect that leads nowhere: there is no such file."""
        return not self.readable and not self.unreachable

    @property
    def source(self) -> Source:
        """This file, for evidence."""
        return Source(self.url, self.sha256, self.fetched)


@dataclass(frozen=True, slots=True)
class Response:
    """The head of a response to the URL that is judged: its status and header lines."""

    status: int
    headers: Headers = ()
    fetched: float | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """The page on which a picture was found: its URL, header lines, HTML, and the Unix time of its fetch."""

    url: str
    headers: Headers = ()
    html: str | bytes = ""
    fetched: float | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """Whether a file's C2PA signature was found valid, and in words why, or why not."""

    valid: bool
    words: str


@dataclass(frozen=True, slots=True)
class Needs:
    """The gate cannot go on without this: get it (at once, each is independent) and ask again.

    Attributes:
        urls: origin files to fetch.
        signature: the C2PA signature of the body is to be checked.
        remotes: names of remote registries that are to be asked about the URL.
    """

    urls: tuple[str, ...] = ()
    signature: bool = False
    remotes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for one URL.

    Attributes:
        url: the URL judged.
        action: store, skip or defer.
        reason: the first of `reasons`; None when the action is store.
        reasons: every reason that denied, then every cause of a defer, each in the order of `Reason`.
        stage: the stage that decided; for a store, the last one that was judged.
        evidence: the statements that carry the action, then those that were only recorded.
        overridden: the statements that spoke against the action and lost.
        warnings: what was malformed.
        snapshots: sha256 of each origin file that was read, by URL.
        registries: name and version of each registry that was asked.
        heard: all that was said, also what the policy leaves out of account.
        complete: the last stage of which all was heard: a skip does not wait for the rest. None: of none, or
            that is not known.
    """

    url: str
    action: Action
    reasons: tuple[Reason, ...] = ()
    stage: Stage = Stage.BODY
    evidence: tuple[Statement, ...] = ()
    overridden: tuple[Statement, ...] = ()
    warnings: tuple[ParseWarning, ...] = ()
    snapshots: tuple[tuple[str, str], ...] = ()
    registries: tuple[tuple[str, int], ...] = ()
    heard: tuple[Heard, ...] = ()
    complete: Stage | None = None

    @property
    def reason(self) -> Reason | None:
        """The first reason in the order of the closed list."""
        return self.reasons[0] if self.reasons else None

    def told(self) -> dict[str, list[dict[str, Any]]]:
        """What was said, in the form written to ledgers: `evidence`, `overridden`, and `ignored`, all else.

        A statement that was heard says at which stage, and from which protocol.
        """
        heard = {id(each.statement): each for each in reversed(self.heard)}  # as it was first heard
        counted = {id(each) for each in (*self.evidence, *self.overridden)}
        return {
            "evidence": [heard.get(id(each), each).as_dict() for each in self.evidence],
            "overridden": [heard.get(id(each), each).as_dict() for each in self.overridden],
            "ignored": [each.as_dict() for each in self.heard if id(each.statement) not in counted],
        }

    @property
    def bars_contact(self) -> bool:
        """Whether the URL may not even be fetched, for example as a page that leads to pictures."""
        return not BARS_CONTACT.isdisjoint(self.reasons)

    def as_dict(self) -> dict[str, Any]:
        """The form that is printed as JSON."""
        return {
            "url": self.url,
            "action": self.action.value,
            "reason": self.reason.value if self.reason else None,
            "reasons": [reason.value for reason in self.reasons],
            "stage": self.stage.value,
            "evidence": [statement.as_dict() for statement in self.evidence],
            "overridden": [statement.as_dict() for statement in self.overridden],
            "warnings": [warning.as_dict() for warning in self.warnings],
            "snapshots": dict(self.snapshots),
            "registries": [{"name": name, "version": version} for name, version in self.registries],
        }

    def __str__(self) -> str:
        words = f"{self.action.value} {printable(self.url)}"
        if self.reason is None:
            return words
        words += f" ({self.reason.value}"
        for statement in self.evidence[:1]:
            at = statement.evidence
            words += f": {printable(statement.rule)}, {printable(at.where)} of {printable(at.source_url)}"
        return words + ")"


def isotime(seconds: float) -> str:
    """Unix time in seconds as ISO 8601 in UTC, to the microsecond."""
    second = math.floor(seconds)
    microsecond = round((seconds - second) * 1e6)
    if microsecond == 1_000_000:
        second, microsecond = second + 1, 0
    return f"{_second(second)}.{microsecond:06d}+00:00"


@lru_cache(maxsize=16)  # a busy crawler writes hundreds of records in one
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, timezone.utc).isoformat()[:19]


def unixtime(text: str) -> float:
    """The inverse of `isotime`.

    Raises:
        ValueError: not such a time.
    """
    return datetime.fromisoformat(text).timestamp()


def lasts(expires: date | None, now: float | None) -> bool | None:
    """Whether something is still in force at `now` (Unix time, seconds); None: that is not known.

    Args:
        expires: the last day (UTC) on which it is; None: it always is.
        now: the time, None if not known.
    """
    if expires is None:
        return True
    return None if now is None else datetime.fromtimestamp(now, timezone.utc).date() <= expires


def sorted_reasons(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """Each of `reasons` once, in the order of the closed list."""
    return tuple(sorted(set(reasons), key=REASON_ORDER.__getitem__))


def printable(text: str) -> str:
    """`text` for a log line or a terminal: control and other unprintable characters escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
