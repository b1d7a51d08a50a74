"""DisallowAITraining and AllowAITraining: robots.txt lines of an expired draft.

After draft-canel-robots-ai-control-00 (2024-10-21). They stand in a group, or before the first one for all
crawlers, and only ever deny: AllowAITraining exempts from DisallowAITraining and from nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heedful.model import NOTHING, RAW_MAX, ParseWarning, Preference, Reading, Reason, Statement
from heedful.signals._paths import PathPattern

if TYPE_CHECKING:
    from heedful.model import Source
    from heedful.signals.robots import Line, Robots

SWITCH: Final = "legacy_rules"
"""The policy's switch for these lines."""

LINES_MAX: Final = 1_000
"""Most lines that are matched, one by one, with each picture."""

FAULTS_MAX: Final = 10
"""Most warnings that are kept for one file; they are repeated with every picture judged by it."""

_DISALLOW, _ALLOW = "disallowaitraining", "allowaitraining"
_NAMES: Final = {_DISALLOW: "DisallowAITraining", _ALLOW: "AllowAITraining"}


def lines(robots: Robots, token: str) -> list[Line]:
    """The lines for our token, and those before any User-agent line."""
    return [line for line in (*robots.preamble, *robots.group(token).records) if line.key in _NAMES]


def read(robots: Robots, token: str, target: str, source: Source) -> Reading:
    """Whether the lines for our token, and those before any User-agent line, close a path to training.

    Args:
        robots: the file.
        token: our product token.
        target: path and query in canonical form.
        source: the file's origin, for the evidence.

    Returns:
        one denying statement when a DisallowAITraining decides, else none.
    """
    said = lines(robots, token)
    if not said:
        return NOTHING
    warnings: list[ParseWarning] = []

    def fault(message: str, line: Line) -> None:
        if len(warnings) < FAULTS_MAX:
            evidence = source.at(f"line {line.number}", line.raw)
            warnings.append(ParseWarning(Reason.ROBOTS_LEGACY, message, evidence))

    decisive: Line | None = None
    rank = (-1, False)
    for line in said[:LINES_MAX]:
        if line.value and line.value[0] not in "/*":
            fault("a path that does not start with / or * matches nothing", line)
            continue
        pattern = PathPattern(line.value)  # no path: everything, and the shortest
        # the longest match decides, a tie denies
        if (pattern.length, line.key == _DISALLOW) > rank and pattern.matches(target):
            decisive, rank = line, (pattern.length, line.key == _DISALLOW)
    if len(said) > LINES_MAX:
        fault(f"more than {LINES_MAX} lines: the rest is not read", said[LINES_MAX])
    if decisive is None or decisive.key == _ALLOW:
        return Reading((), tuple(warnings))
    statement = Statement(
        Reason.ROBOTS_LEGACY,
        Preference.DISALLOW,
        f"{_NAMES[_DISALLOW]}: {decisive.value[:RAW_MAX]}".rstrip(),
        source.at(f"line {decisive.number}", decisive.raw),
        switch=SWITCH,
    )
    return Reading((statement,), tuple(warnings))
