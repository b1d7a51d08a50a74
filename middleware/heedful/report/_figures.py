"""The tables of the page that have no plot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from heedful.model import Action, printable
from heedful.report._words import DONE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heedful.report.totals import Totals

FAULTS_SHOWN: Final = 100
"""Lines that are no records that the page names; `--json` names all."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A table: its title, what it comes to, and its rows."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def more_figures(totals: Totals) -> Iterator[Figures]:
    """Each table that has a row."""
    if totals.days:
        yield _days(totals)
    if totals.retries:
        yield _retries(totals)
    if totals.malformed:
        yield _malformed(totals)
    if totals.overruled:
        yield _overruled(totals)
    if totals.faults:
        yield _faults(totals)


def _days(totals: Totals) -> Figures:
    return Figures(
        "By day and crawler",
        f"{len(totals.days):,} rows, days in UTC",
        ("day", "crawler", *DONE.values()),
        tuple(
            (row.day, printable(row.crawler), *(f"{getattr(row.counts, each.value):,}" for each in DONE))
            for row in totals.days
        ),
    )


def _retries(totals: Totals) -> Figures:
    return Figures(
        "To ask again in a later run",
        f"{totals.to_retry:,} URLs whose newest decision is a deferral",
        ("host", "reason", "URLs"),
        tuple(
            (printable(row.host), printable(row.reason or "undetermined"), f"{row.urls:,}")
            for row in totals.retries
        ),
    )


def _malformed(totals: Totals) -> Figures:
    return Figures(
        "Malformed signals",
        f"{totals.warnings:,} warnings",
        ("signal", "what is wrong", "times", "for example", "text"),
        tuple(
            (
                printable(row.signal),
                printable(row.message),
                f"{row.count:,}",
                printable(f"{row.where} of {row.source_url}"),
                printable(row.raw),
            )
            for row in totals.malformed
        ),
    )


def _overruled(totals: Totals) -> Figures:
    return Figures(
        "Conflicting signals",
        f"{sum(row.count for row in totals.overruled):,} statements were overruled",
        ("signal", "said", "decision", "times"),
        tuple(
            (printable(row.signal), printable(row.statement), DONE[Action(row.action)], f"{row.count:,}")
            for row in totals.overruled
        ),
    )


def _faults(totals: Totals) -> Figures:
    return Figures(
        "Lines that are no records",
        f"{len(totals.faults):,} lines",
        ("file", "line", "fault", "why"),
        tuple(
            (printable(each.file), f"{each.line:,}", each.kind, printable(each.message))
            for each in totals.faults[:FAULTS_SHOWN]
        ),
    )
