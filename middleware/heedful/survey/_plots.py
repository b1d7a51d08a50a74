"""The plots of a survey: what each shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from heedful.model import Action, printable
from heedful.report._drawing import Bar, Plot, bars_of, drawn
from heedful.report._words import share
from heedful.survey._classify import REACHES, Access, Standing
from heedful.survey._summary import KINDS
from heedful.survey._words import LABELS, SAID, labelled, speaks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from heedful.survey._summary import Counted, Summary

AGENTS_SHOWN: Final = 25
"""AI crawlers that are drawn: those that the most sites close out; the table has all."""

OVERLAPS_SHOWN: Final = 12
"""Sets of signals that are drawn."""

LEGEND: Final = (
    (Action.SKIP.value, "declined, closed"),
    (Action.DEFER.value, "in part, or not determined"),
    (Action.STORE.value, "agreed, open"),
    (Action.FAILED.value, "hinted, and plain counts"),
)
"""The colours of the page, and what they stand for here."""

_COLOURS: Final = {
    Standing.DECLINED: Action.SKIP,
    Standing.PARTLY: Action.DEFER,
    Standing.HINTED: Action.FAILED,
    Standing.ALLOWED: Action.STORE,
}

_ROOM: Final = 0.75
"""Room for a count and a share behind the longest bar, as a part of its length."""

_ACCESS: Final = "whether crawlers may come"
_USE: Final = "whether their pictures may train models"


def plots(summary: Summary) -> Iterator[Plot]:
    """Each plot that has anything to show."""
    if any(
        speaks(row.signal, each) and row.standings[each.value] for row in summary.signals for each in _COLOURS
    ):
        yield _by_signal(summary)
    if any(row.closed or row.partly for row in summary.agents):
        yield _by_agent(summary)
    if summary.picture.reasons:
        yield _by_reason(summary)
    if summary.overlaps:
        yield _overlaps(summary)
    if summary.sites:
        yield _by_reach(summary)
    if summary.content_signals or summary.content_usages:
        yield _values(summary)


def _by_signal(summary: Summary) -> Plot:
    whole = summary.answered
    bars = [
        Bar(
            LABELS[row.signal],
            _COLOURS[standing],
            count,
            f"{LABELS[row.signal]}, {SAID[standing]}: {count:,} sites, {share(count, whole)}",
            f'"{LABELS[row.signal]} {SAID[standing]}"',
            _ACCESS if row.signal == "robots" else _USE,
        )
        for row in summary.signals
        for standing in _COLOURS
        if (count := row.standings[standing.value]) and speaks(row.signal, standing)
    ]
    return Plot(
        "What sites say, by signal",
        f"Of {whole:,} sites that answered. What says nothing of training is in the figures only.",
        _drawing(bars, "What sites say, by signal", 150, whole),
        ("signal", *SAID.values()),
        tuple(
            (LABELS[row.signal], *(f"{row.standings[standing.value]:,}" for standing in SAID))
            for row in summary.signals
        ),
    )


def _by_agent(summary: Summary) -> Plot:
    whole = summary.answered
    shown = [row for row in summary.agents[:AGENTS_SHOWN] if row.closed or row.partly]
    order = {kind.value: rank for rank, kind in enumerate(KINDS)}
    words = {kind.value: words for kind, words in KINDS.items()}
    bars = [
        Bar(
            row.token,
            action,
            count,
            f"{row.token}, {access.value}: {count:,} sites, {share(count, whole)}",
            f'"{row.token} {access.value}"',
            words[row.kind],
        )
        for row in sorted(shown, key=lambda row: order[row.kind])
        for access, action in ((Access.CLOSED, Action.SKIP), (Access.PARTLY, Action.DEFER))
        if (count := getattr(row, access.value))
    ]
    rows = [
        (row.token, words[row.kind], *(f"{getattr(row, access.value):,}" for access in Access))
        for row in summary.agents
    ]
    everyone = ("all others (*)", "", *(f"{summary.everyone[access.value]:,}" for access in Access))
    return Plot(
        "AI crawlers that sites close out",
        "By robots.txt groups that name them: the whole site (closed), or some paths (partly).",
        _drawing(bars, "AI crawlers that sites close out", 190, whole),
        ("crawler", "what it is", *(access.value for access in Access)),
        (*rows, everyone),
        "tall",
    )


def _by_reason(summary: Summary) -> Plot:
    rows = summary.picture.reasons
    return _counted_plot(
        "Why a crawler would not store their pictures",
        f"Of {summary.answered:,} sites that answered, by the policy {printable(summary.terms.policy)}; "
        "a site with several reasons counts for each.",
        "reason",
        rows,
        summary.answered,
        lambda row: Action.DEFER if row.what in _DOUBTS else Action.SKIP,
    )


_DOUBTS: Final = frozenset({"undetermined", "robots.unreachable"})


def _overlaps(summary: Summary) -> Plot:
    return _counted_plot(
        "Signals that decline together",
        "Each site once, under all signals by which it declines in whole or in part.",
        "signals",
        labelled(summary.overlaps)[:OVERLAPS_SHOWN],
        summary.answered,
        lambda _: Action.FAILED,
        labels=200,
        shape="tall",
    )


def _by_reach(summary: Summary) -> Plot:
    whole = summary.sites
    bars = [
        Bar(
            reach.value,
            Action.FAILED,
            count,
            f"{reach.value}: {count:,} sites, {share(count, whole)}",
            reach.value,
        )
        for reach in REACHES
        if (count := summary.reach[reach.value])
    ]
    return Plot(
        "Whether they answered",
        f"All {whole:,} sites.",
        _drawing(bars, "Whether they answered", 150, whole),
        ("", "meaning", "sites"),
        tuple((reach.value, words, f"{summary.reach[reach.value]:,}") for reach, words in REACHES.items()),
    )


def _values(summary: Summary) -> Plot:
    whole = summary.answered
    groups = (("Content-Signal", summary.content_signals), ("Content-Usage", summary.content_usages))
    bars = [
        Bar(row.what, Action.FAILED, row.sites, f"{row.what}: {row.sites:,} sites", f'"{row.what}"', group)
        for group, rows in groups
        for row in rows[:OVERLAPS_SHOWN]
    ]
    return Plot(
        "Values in robots.txt",
        "Of the lines that hold for this crawler or for all; each value once a site.",
        _drawing(bars, "Values in robots.txt", 150, whole),
        ("line", "value", "sites"),
        tuple((group, printable(row.what), f"{row.sites:,}") for group, rows in groups for row in rows),
    )


def _counted_plot(
    title: str,
    note: str,
    column: str,
    rows: Iterable[Counted],
    whole: int,
    colour: Callable[[Counted], Action],
    labels: int = 150,
    shape: str = "",
) -> Plot:
    rows = tuple(rows)
    bars = [
        Bar(
            row.what,
            colour(row),
            row.sites,
            f"{row.what}: {row.sites:,} sites, {share(row.sites, whole)}",
            row.what.replace(" + ", " "),
        )
        for row in rows
    ]
    return Plot(
        title,
        note,
        _drawing(bars, title, labels, whole),
        (column, "sites", "share"),
        tuple((printable(row.what), f"{row.sites:,}", share(row.sites, whole)) for row in rows),
        shape,
    )


def _drawing(bars: Sequence[Bar], title: str, labels: int, whole: int) -> dict[str, Any]:
    def spec(width: int) -> dict[str, Any]:
        return bars_of(
            bars,
            width,
            labels=min(labels, 2 * width // 5),
            shown=lambda n: f"{n:,} ({share(n, whole)})",
            room=_ROOM,
        )

    return drawn(spec, title)
