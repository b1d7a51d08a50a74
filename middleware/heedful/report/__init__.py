"""What a ledger comes to: totals for the terminal and for machines, a page to show, and tables to export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heedful.ledger.tables import LedgerTables
from heedful.report._page import write_page
from heedful.report.totals import TOP, Totals, totals_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Totals", "totals_of", "write_report"]


def write_report(ledgers: Iterable[str], page: Path, *, now: float) -> Totals:
    """Write the page about ledgers, which opens offline.

    Args:
        ledgers: folders, record files, or URLs of such that fsspec understands.
        page: the file to write.
        now: Unix time in seconds.

    Returns:
        The totals.

    Raises:
        LedgerError: a ledger cannot be read.
        ConfigurationError: a library is missing, or the page cannot be written.
    """
    with LedgerTables(*ledgers) as tables:
        totals = totals_of(tables, TOP)
        write_page(page, tables, totals, now=now)
    return totals
