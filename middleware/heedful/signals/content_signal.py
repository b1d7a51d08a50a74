"""Content-Signal: Cloudflare's lines on what content may be used for, in robots.txt or in a response header.

The notation is that of contentsignals.org, as of 2026-11: `search=yes, ai-train=no, use=reference`. It knows
no paths. Where this module reads more than that, the statement denies and carries the policy's switch for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from heedful.model import NOTHING, ParseWarning, Preference, Reading, Reason, Statement, Strength

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from heedful.model import Evidence, Headers, Source
    from heedful.signals.robots import Line, Robots

VALUE_ALIASES: Final = "content_signal_value_aliases"
"""The policy's switch for values of `ai-train` other than `no` that plainly mean no."""

STAR_GROUP: Final = "content_signal_star_group"
"""The policy's switch for denials in the `*` group of a file where another group names our token."""

USE: Final = "content_signal_use"
"""The policy's switch for a ceiling (`use`) that is too low for storing."""

VALUE_MAX: Final = 16_384
"""Longest line that is read, in characters; twice what common servers accept as a header line (8 KiB)."""

LINES_MAX: Final = 1_000
"""Most lines that are read of one group or response, where one is usual."""

FAULTS_MAX: Final = 10
"""Most warnings that are kept for one file; they are repeated with every picture judged by it."""

_NAME: Final = "content-signal"
_DENY: Final = Preference.DISALLOW
_SHOWN: Final = 40

_TRAIN, _USE = "ai-train", "use"
_NO_ALIASES: Final = frozenset({"disallow", "deny", "false", "0", "n"})
_BELOW_FULL: Final = ("immediate", "reference")  # the lowest first
_YES_NO: Final = frozenset({"yes", "no"})
_VALUES: Final = {
    "search": _YES_NO,
    "ai-input": _YES_NO,
    _TRAIN: _YES_NO | _NO_ALIASES,
    _USE: frozenset({*_BELOW_FULL, "full"}),
}


class _Found(NamedTuple):
    """What some lines say: the values of each key in the order found, with the first line that has each."""

    values: dict[str, dict[str, Evidence]]
    warnings: list[ParseWarning]

    def fault(self, message: str, evidence: Evidence) -> None:
        if len(self.warnings) < FAULTS_MAX:
            self.warnings.append(ParseWarning(Reason.CONTENT_SIGNAL, message, evidence))

    def denial(self, key: str, value: str, strength: Strength, switch: str | None) -> Statement:
        rule, evidence = f"{key}={value}", self.values[key][value]
        return Statement(Reason.CONTENT_SIGNAL, _DENY, rule, evidence, strength=strength, switch=switch)

    @property
    def alias(self) -> str | None:
        return next((value for value in self.values[_TRAIN] if value in _NO_ALIASES), None)

    @property
    def ceiling(self) -> str | None:
        return next((value for value in _BELOW_FULL if value in self.values[_USE]), None)


def _find(lines: Iterable[tuple[str, Evidence]]) -> _Found:
    found = _Found({key: {} for key in _VALUES}, [])
    for count, (line, evidence) in enumerate(lines):
        if count == LINES_MAX:
            found.fault(f"more than {LINES_MAX} lines: the rest is not read", evidence)
            break
        if len(line) > VALUE_MAX:
            found.fault(f"longer than {VALUE_MAX} characters: not read", evidence)
            continue
        # comma-separated, case-insensitive, optional white space
        for piece in line.lower().split(","):
            key, _, value = (part.strip(" \t") for part in piece.partition("="))
            if key not in _VALUES:
                if key or value:
                    found.fault(f"unknown key {key[:_SHOWN]!r}", evidence)
            elif value not in _VALUES[key]:
                found.fault(f"unknown value of {key}: {value[:_SHOWN]!r}", evidence)
            else:
                found.values[key].setdefault(value, evidence)
    return found


def _statements(found: _Found) -> Iterator[Statement]:
    train = found.values[_TRAIN]
    # of several lines the restrictive one wins
    if "no" in train:
        yield found.denial(_TRAIN, "no", Strength.EXPLICIT, None)
    else:
        if "yes" in train:
            yield Statement(Reason.CONTENT_SIGNAL, Preference.ALLOW, "ai-train=yes", train["yes"])
        if found.alias:
            yield found.denial(_TRAIN, found.alias, Strength.EXPLICIT, VALUE_ALIASES)
    # `use` is a ceiling: below `full` storing is not granted; `full` grants nothing by itself
    if found.ceiling:
        yield found.denial(_USE, found.ceiling, Strength.SOFT, USE)


def _others(found: _Found) -> Iterator[Statement]:
    """What the `*` group denies where it is not ours."""
    if value := "no" if "no" in found.values[_TRAIN] else found.alias:
        yield found.denial(_TRAIN, value, Strength.SOFT, STAR_GROUP)
    if found.ceiling:
        yield found.denial(_USE, found.ceiling, Strength.SOFT, USE)


def _placed(lines: Iterable[Line], source: Source) -> Iterator[tuple[str, Evidence]]:
    for line in lines:
        if line.key == _NAME:
            yield line.value, source.at(f"line {line.number}", line.raw)


def read_robots(robots: Robots, token: str, source: Source) -> Reading:
    """What the Content-Signal lines of a robots.txt say of training.

    Lines before the first User-agent line are for all. Of the groups, ours is read; where that is not the `*`
    group, so are the denials of the `*` group, under a switch.

    Args:
        robots: the file.
        token: our product token.
        source: the file's origin, for the evidence.
    """
    ours = _find(_placed((*robots.preamble, *robots.group(token).records), source))
    statements = list(_statements(ours))
    warnings = ours.warnings
    if robots.explicit(token) is not None:
        others = _find(_placed(robots.group("*").records, source))
        # What is denied outright needs no switch.
        said = {statement.switch for statement in statements if statement.preference is _DENY}
        statements += (
            statement
            for statement in _others(others)
            if statement.switch not in said and not (statement.switch == STAR_GROUP and None in said)
        )
        warnings = (warnings + others.warnings)[:FAULTS_MAX]
    return Reading(tuple(statements), tuple(warnings)) if statements or warnings else NOTHING


def read_headers(headers: Headers, source: Source) -> Reading:
    """What the Content-Signal lines of a response say of training.

    Args:
        headers: the response's header lines.
        source: the response.
    """
    lines = [value for name, value in headers if name.lower() == _NAME]
    if not lines:
        return NOTHING
    numbers = [f" (line {number})" if len(lines) > 1 else "" for number in range(1, len(lines) + 1)]
    found = _find(
        (line, source.at(f"header Content-Signal{number}", line))
        for line, number in zip(lines, numbers, strict=True)
    )
    return Reading(tuple(_statements(found)), tuple(found.warnings))
