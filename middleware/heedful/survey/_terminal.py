"""The summary of a survey on a terminal: tables that a person reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from heedful.model import Action, printable
from heedful.report._terminal import COLOURS, table_of
from heedful.report._words import share
from heedful.survey._classify import REACHES, Access, Standing
from heedful.survey._summary import OUTCOMES, Outcome
from heedful.survey._words import CAME_OUT, LABELS, SAID, labelled, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType
    from rich.table import Table

    from heedful.survey._summary import Counted, Summary

_STYLES = {
    Outcome.DECLINED: COLOURS[Action.SKIP],
    Outcome.PARTLY: COLOURS[Action.DEFER],
    Outcome.OPEN: COLOURS[Action.STORE],
    Outcome.UNDETERMINED: COLOURS[Action.FAILED],
}

_AGENTS_SHOWN = 15


def rendered(summary: Summary) -> Group:
    """The whole summary."""
    parts: list[RenderableType] = [Text(sentence(summary), style="bold")]
    if summary.sites:
        parts += _tables(summary)
    if summary.rejected:
        parts.append(_rejected(summary))
    return Group(*(each for part in parts for each in (part, "")))


def _tables(summary: Summary) -> Iterator[Table]:
    table = table_of("Sites", "", "#sites", "#share", "")
    for outcome, meaning in OUTCOMES.items():
        count = summary.outcomes[outcome.value]
        words = Text(CAME_OUT[outcome], style=_STYLES[outcome])
        table.add_row(words, f"{count:,}", share(count, summary.sites), Text(meaning, style="dim"))
    yield table
    if summary.answered < summary.sites:
        table = table_of("Whether they answered", "", "#sites", "#share", "")
        for reach, meaning in REACHES.items():
            if count := summary.reach[reach.value]:
                shown = Text(meaning, style="dim")
                table.add_row(reach.value, f"{count:,}", share(count, summary.sites), shown)
        yield table
    if summary.answered:
        yield _signals(summary)
    if summary.agents:
        yield _agents(summary)
    if summary.picture.reasons:
        yield _counts("Why a crawler would not store their pictures", summary.picture.reasons, summary)
    if summary.overlaps:
        yield _counts("Signals that come together", labelled(summary.overlaps), summary)
    if summary.content_signals:
        yield _counts("Content-Signal in robots.txt", summary.content_signals, summary)
    if summary.content_usages:
        yield _counts("Content-Usage in robots.txt", summary.content_usages, summary)


def _signals(summary: Summary) -> Table:
    shown = [each for each in Standing if each is not Standing.ABSENT]
    table = table_of("By signal, of the sites that answered", "signal", *(f"#{SAID[each]}" for each in shown))
    for row in summary.signals:
        if row.standings[Standing.ABSENT.value] < summary.answered:
            figures = (row.standings[each.value] for each in shown)
            table.add_row(LABELS[row.signal], *(Text(f"{n:,}", style="" if n else "dim") for n in figures))
    return table


def _agents(summary: Summary) -> Table:
    more = len(summary.agents) - _AGENTS_SHOWN
    table = table_of(
        "AI crawlers that are named in robots.txt",
        *("crawler", *(f"#{access.value}" for access in Access), "#closed, of all"),
        caption=f"and {more:,} more" if more > 0 else None,
    )
    for row in summary.agents[:_AGENTS_SHOWN]:
        counts = (f"{getattr(row, access.value):,}" for access in Access)
        table.add_row(row.token, *counts, share(row.closed, summary.answered))
    table.add_section()
    counts = (f"{summary.everyone[access.value]:,}" for access in Access)
    closed = share(summary.everyone[Access.CLOSED.value], summary.answered)
    table.add_row("all others (*)", *counts, closed)
    return table


def _counts(title: str, rows: tuple[Counted, ...], summary: Summary) -> Table:
    table = table_of(title, "", "#sites", "#share")
    for row in rows:
        table.add_row(Text(printable(row.what)), f"{row.sites:,}", share(row.sites, summary.answered))
    return table


def _rejected(summary: Summary) -> Table:
    more = summary.rejected - len(summary.rejects)
    table = table_of(
        "Lines that name no site",
        *("where", "#line", "text", "why"),
        caption=f"and {more:,} more, in rejected.jsonl" if more else None,
    )
    for source, line, text, why in summary.rejects:
        table.add_row(Text(printable(source)), f"{line:,}", Text(printable(text)), Text(printable(why)))
    return table
