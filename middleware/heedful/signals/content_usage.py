"""Content-Usage: usage preferences after the IETF AIPREF drafts (vocab and attach, as of 2026-09).

Where this module reads more than the drafts say, the statement carries the policy's switch for it. Aliases
only ever deny.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

import http_sf

from heedful.model import NOTHING, RAW_MAX, ParseWarning, Preference, Purpose, Reading, Reason, Statement
from heedful.signals._paths import PathPattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from heedful.model import Evidence, Headers, Source

LABEL_ALIASES = "content_usage_label_aliases"
"""The policy's switch for labels that the vocabulary does not have, but that plainly mean training."""

VALUE_ALIASES = "content_usage_value_aliases"
"""The policy's switch for values other than `n` that mean no, and for re-reading what is malformed."""

CATEGORY_FALLBACK = "content_usage_category_fallback"
"""The policy's switch for shorter rules on a category that the longest matching rule does not mention."""

VALUE_MAX = 16_384
"""Longest value that is parsed, in characters; twice what common servers accept as a header line (8 KiB)."""

_TRAIN_AI = "train-ai"
_COVERS = {
    # vocab: this category speaks of generative models only
    _TRAIN_AI: Purpose.TRAIN_GENERATIVE,
    "train-genai": Purpose.TRAIN_GENERATIVE,
    "genai": Purpose.TRAIN_GENERATIVE,
    "ai": Purpose.TRAIN_ANY,
    "ai-train": Purpose.TRAIN_ANY,
    "all": Purpose.TRAIN_ANY,
    "bots": Purpose.TRAIN_ANY,
    "tdm": Purpose.TRAIN_ANY,
}
_NO_ALIASES = frozenset({"no", "false", '"n"', "?0"})

_MALFORMED = "not a dictionary of Structured Fields (RFC 9651): no part of it counts as such"


class UsageLine(Protocol):
    """A Content-Usage line of a robots.txt group."""

    @property
    def number(self) -> int:
        """Its number in the file, from 1."""

    @property
    def value(self) -> str:
        """What follows the colon, without the comment."""

    @property
    def raw(self) -> str:
        """The whole line."""


class _Mention(NamedTuple):
    """A preference on one category, as it was written."""

    label: str
    word: str
    preference: Preference
    switch: str | None

    @property
    def denies(self) -> bool:
        return self.preference is Preference.DISALLOW

    @property
    def speaks(self) -> bool:
        """An alias never allows."""
        return self.denies or self.switch is None

    def statement(self, evidence: Evidence, path: str = "", switch: str | None = None) -> Statement:
        return Statement(
            Reason.CONTENT_USAGE,
            self.preference,
            f"{path} {self.label}={self.word}".lstrip(),
            evidence,
            covers=_COVERS[self.label],
            switch=self.switch or switch,
        )


def _mention(label: str, value: object) -> _Mention | None:
    if label not in _COVERS:
        return None  # vocab: unknown labels are ignored
    # A Token is no str: `n` and `"n"` stay apart.
    if isinstance(value, http_sf.Token):
        word = str(value)
    elif isinstance(value, str):
        word = f'"{value}"'
    else:
        word = "?0" if value is False else ""
    switch = None if label == _TRAIN_AI else LABEL_ALIASES
    # attach: the Tokens `y` and `n`; anything else is unknown
    if word == "y":
        return _Mention(label, word, Preference.ALLOW, switch)
    if word == "n":
        return _Mention(label, word, Preference.DISALLOW, switch)
    if word in _NO_ALIASES:
        return _Mention(label, word, Preference.DISALLOW, VALUE_ALIASES)
    return None


def _mentions(text: str) -> tuple[_Mention, ...] | None:
    """The preferences in a dictionary; None if it is malformed: it is then not partly parsed."""
    return _dictionary(text) if len(text) <= VALUE_MAX else None


@lru_cache(maxsize=256)  # sites say the same few things; with VALUE_MAX this bounds the memory held
def _dictionary(text: str) -> tuple[_Mention, ...] | None:
    try:
        # What is not ASCII is none in UTF-8 either, and so fails as it must.
        parsed = http_sf.parse(text.encode("utf-8", "surrogatepass"), tltype="dictionary")
    except (ValueError, OverflowError, OSError):  # the latter two: dates out of range, in some versions
        return None
    members = cast("dict[str, tuple[object, object]]", parsed)
    found = (_mention(label, value) for label, (value, _parameters) in members.items())
    return tuple(mention for mention in found if mention)


def _reread(text: str) -> Iterator[_Mention]:
    """The denials in `text` taken alone, piece by piece and in lower case if it is malformed."""
    mentions = _mentions(text)
    if mentions is None:
        pieces = text[:VALUE_MAX].lower().split(",")
        mentions = tuple(mention for piece in pieces for mention in _mentions(piece.strip()) or ())
    for mention in mentions:
        if mention.denies:
            yield mention._replace(switch=VALUE_ALIASES)


def read_headers(headers: Headers, source: Source) -> Reading:
    """What the Content-Usage lines of a response say of training.

    Args:
        headers: the response's header lines.
        source: the response.
    """
    lines = [value.strip(" \t") for name, value in headers if name.lower() == "content-usage"]
    # An empty line says nothing; joined, it would make the whole dictionary fail.
    lines = [line for line in lines if line]
    if not lines:
        return NOTHING
    # RFC 9651, section 4.2: lines are joined before parsing, and so the last of equal keys wins
    joined = ", ".join(lines)
    evidence = source.at("header Content-Usage", joined)
    mentions = _mentions(joined)
    statements = [mention.statement(evidence) for mention in mentions or () if mention.speaks]
    if mentions is None or len(lines) > 1:
        denied = {mention.label for mention in mentions or () if mention.denies}
        for number, line in enumerate(lines, 1):
            where = "header Content-Usage" + (f" (line {number})" if len(lines) > 1 else "")
            for mention in _reread(line):
                if mention.label not in denied:
                    denied.add(mention.label)
                    statements.append(mention.statement(source.at(where, line)))
    warnings = (ParseWarning(Reason.CONTENT_USAGE, _MALFORMED, evidence),) if mentions is None else ()
    return Reading(tuple(statements), warnings)


class _Match(NamedTuple):
    """A mention of a category in a rule that matches."""

    length: int
    mention: _Mention
    line: UsageLine
    path: str

    @property
    def rank(self) -> tuple[int, bool, int]:
        """The longest path is the first; of equal ones a deny, then the line that comes first."""
        return -self.length, not self.mention.denies, self.line.number


class UsageRule(NamedTuple):
    """A Content-Usage rule of robots.txt, ready to be matched.

    Attributes:
        path: its path pattern as written; empty: every path.
        mentions: the preferences in it; of a malformed one, what re-reading finds.
        malformed: its dictionary fails.
        line: where it was found.
    """

    pattern: PathPattern
    path: str
    mentions: tuple[_Mention, ...]
    malformed: bool
    line: UsageLine


def compile_rules(usage_lines: Iterable[UsageLine]) -> tuple[UsageRule, ...]:
    """The Content-Usage lines of one robots.txt group, parsed once for all URLs.

    Args:
        usage_lines: the lines of the group that is ours. Choosing it, and leaving out paths that may not be
            crawled, is up to the caller.
    """
    rules = []
    for line in usage_lines:
        # attach: a path, if any, then white space, then preferences; no path: the shortest one
        path, preferences = "", line.value.strip(" \t")
        if preferences.startswith("/"):
            path = preferences.replace("\t", " ").partition(" ")[0]
            preferences = preferences[len(path) :].strip(" \t")
        mentions = _mentions(preferences)
        malformed = mentions is None
        kept = tuple(_reread(preferences)) if mentions is None else mentions
        rules.append(UsageRule(PathPattern(path), path, kept, malformed, line))
    return tuple(rules)


def read_rules(rules: Iterable[UsageRule], target: str, source: Source) -> Reading:
    """What the Content-Usage rules of one robots.txt group say of training.

    Args:
        rules: the group's rules, as `compile_rules` makes them.
        target: canonical path and query of the URL.
        source: the robots.txt.
    """
    longest = 0
    by_label: dict[str, list[_Match]] = {label: [] for label in _COVERS}
    warnings = []
    for rule in rules:
        if not rule.pattern.matches(target):
            continue
        length, line = rule.pattern.length, rule.line
        longest = max(longest, length)
        if rule.malformed:
            evidence = source.at(f"line {line.number}", line.raw)
            warnings.append(ParseWarning(Reason.CONTENT_USAGE, _MALFORMED, evidence))
        for mention in rule.mentions:
            by_label[mention.label].append(_Match(length, mention, line, rule.path))
    statements: list[Statement] = []
    for matches in by_label.values():
        for match in _decisive(matches):
            # attach: the rule with the longest match applies, here for each category on its own
            fallback = CATEGORY_FALLBACK if match.length < longest else None
            evidence = source.at(f"line {match.line.number}", match.line.raw)
            statements.append(match.mention.statement(evidence, match.path[:RAW_MAX], fallback))
    return Reading(tuple(statements), tuple(warnings))


def _decisive(matches: list[_Match]) -> Iterator[_Match]:
    """What decides on a category: by the plain values, and by the aliases of values where these say more."""
    first = min(matches, key=lambda match: match.rank, default=None)
    plain = min(
        (match for match in matches if match.mention.switch != VALUE_ALIASES),
        key=lambda match: match.rank,
        default=None,
    )
    if plain and plain.mention.speaks:
        yield plain
    if first and first.mention.switch == VALUE_ALIASES:
        # The rule may stand at the same length as a plain deny, which needs no alias.
        if plain and plain.mention.denies and plain.length == first.length:
            return
        yield first
