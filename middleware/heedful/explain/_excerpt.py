"""Shows a statement where it was made: a few lines of the file, the ones that speak marked."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final, NamedTuple

CONTEXT: Final = 2
"""Lines shown before and after each that is marked."""

LINES_MAX: Final = 40
"""Lines shown of a file."""

UNPLACED_MAX: Final = 12
"""Longest file, in lines, that is shown although the place in it cannot be told."""

WIDTH_MAX: Final = 300
"""Characters shown of a line."""

# RFC 9309, section 2.2: a line ends with CR, LF or CRLF; the other line files are read alike.
_END: Final = re.compile(r"\r\n|\r|\n")
_LINES: Final = re.compile(r"lines? ([1-9][0-9]*(?:, [1-9][0-9]*)*)")
_ENTRY: Final = re.compile(r"entry ([1-9][0-9]*)")
_AGENT: Final = re.compile(r"[\s\ufeff]*(?:user-?\s?)?agent\s*:", re.IGNORECASE)


class ExcerptLine(NamedTuple):
    """A line of the file, its number counted from 1."""

    number: int
    text: str
    marked: bool


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Some lines of a file, in order; where numbers are left out, so are lines.

    Attributes:
        lines: the lines, none if it cannot be told which ones speak and the file is long.
        marks: how many lines of the file speak; 0 if that cannot be told.
    """

    lines: tuple[ExcerptLine, ...]
    marks: int


def excerpt(body: bytes, where: str, raw: str) -> Excerpt:
    """The lines that evidence is about, with some before and after, and the agents that they are under.

    Args:
        body: the whole file.
        where: the place, as evidence names it.
        raw: the text that was found there, as evidence has it.
    """
    text = body.decode("utf-8", "replace")
    lines = _END.split(text)
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    marked = {number: column for number, column in _marked(text, where, raw).items() if number <= len(lines)}
    shown: set[int] = set()
    for number in sorted(marked)[:LINES_MAX]:
        shown |= set(range(max(number - CONTEXT, 1), min(number + CONTEXT, len(lines)) + 1))
        shown |= _agents(lines, number)
    if not marked and len(lines) <= UNPLACED_MAX:
        shown = set(range(1, len(lines) + 1))
    return Excerpt(
        tuple(
            ExcerptLine(number, _cut(lines[number - 1], marked.get(number, 0)), number in marked)
            for number in sorted(shown)[:LINES_MAX]
        ),
        len(marked),
    )


def _marked(text: str, where: str, raw: str) -> dict[int, int]:
    """The lines that speak: column by number; none where that is not beyond doubt."""
    if found := _LINES.fullmatch(where):
        return {int(number): 0 for number in found[1].split(", ")}
    if found := _ENTRY.fullmatch(where):
        span = _entry(text, int(found[1]))
    else:
        at = text.find(raw) if raw else -1
        span = (at, at + len(raw)) if at >= 0 and text.find(raw, at + 1) < 0 else None
    if span is None:
        return {}
    starts = [0, *(end.end() for end in _END.finditer(text))]
    first, last = (bisect_right(starts, at) for at in (span[0], span[1] - 1))
    return {first: span[0] - starts[first - 1]} | dict.fromkeys(range(first + 1, last + 1), 0)


def _agents(lines: list[str], number: int) -> set[int]:
    """The nearest lines above, next to each other, that name whom a line speaks to."""
    above = number - 1
    while above > 0 and not _AGENT.match(lines[above - 1]):
        above -= 1
    found = set()
    while above > 0 and _AGENT.match(lines[above - 1]):
        found.add(above)
        above -= 1
    return found


def _entry(text: str, number: int) -> tuple[int, int] | None:
    """Start and end of an item of the JSON array that `text` is, counted from 1."""
    decoder, gap = json.JSONDecoder(), re.compile(r"[\s\ufeff]*[\[,]?\s*")
    start, end = 0, 0
    try:
        for _ in range(number):
            opened = gap.match(text, end)
            start = opened.end() if opened else end
            _, end = decoder.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return start, end


def _cut(line: str, column: int) -> str:
    if len(line) <= WIDTH_MAX:
        return line
    start = max(column - WIDTH_MAX // 4, 0)
    end = start + WIDTH_MAX
    return ("... " if start else "") + line[start:end] + (" ..." if end < len(line) else "")
