"""The report as one file that opens without a network: plots, totals, and every decision to search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from heedful.ledger._export import replacing
from heedful.model import Action
from heedful.report._decisions import newest
from heedful.report._figures import more_figures
from heedful.report._html import needed, rendered
from heedful.report._words import DONE, MEANING, period, sentence

if TYPE_CHECKING:
    from pathlib import Path

    from heedful.ledger.tables import LedgerTables
    from heedful.report.totals import Totals

ROWS: Final = 100_000
"""Decisions that a page holds, unless told otherwise: about 10 MB."""


def write_page(out: Path, tables: LedgerTables, totals: Totals, *, now: float, rows: int = ROWS) -> int:
    """Write the page, which is replaced when it is complete.

    Args:
        out: the file.
        tables: the ledgers.
        totals: what `totals_of` made of them.
        now: Unix time, in seconds.
        rows: the newest decisions that the page holds.

    Returns:
        Its size in bytes.

    Raises:
        ConfigurationError: it cannot be written, or a library is missing.
        LedgerError: the ledger cannot be read.
    """
    text = page(totals, newest(tables, rows), now)
    with replacing(out) as temporary:
        return temporary.write_text(text, encoding="utf-8")


def page(totals: Totals, decisions: dict[str, Any], now: float) -> str:
    """The page's HTML.

    Raises:
        ConfigurationError: a library is missing.
    """
    with needed():
        from heedful.report._plots import plots  # noqa: PLC0415 - needs an extra

        drawn = list(plots(totals))
    return rendered(
        "heedful.report/page.html",
        scripts=("heedful.report/page.js",),
        styles=(),
        data=decisions,
        now=now,
        table_id="decisions",
        totals=totals,
        sentence=sentence(totals),
        period=period(totals),
        cards=[
            (action, DONE[action], MEANING[action], getattr(totals.actions, action.value)) for action in DONE
        ],
        plots=drawn,
        legend=[(action.value, DONE[action]) for action in (Action.SKIP, Action.DEFER)],
        tables=list(more_figures(totals)),
        shown=len(decisions["columns"]["time"]),
        actions=[(action.value, word) for action, word in DONE.items()],
    )
