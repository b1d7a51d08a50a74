"""`heedful report` and `heedful export`."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.filesize import decimal

from heedful.errors import ConfigurationError, LedgerError
from heedful.ledger._export import export_csv, export_parquet
from heedful.ledger.tables import LedgerTables
from heedful.model import printable
from heedful.report._page import ROWS, write_page
from heedful.report._terminal import rendered
from heedful.report.totals import TOP, totals_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_ledgers = click.argument("ledgers", metavar="LEDGER...", nargs=-1, required=True)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")


@contextmanager
def _opened(ledgers: tuple[str, ...]) -> Iterator[LedgerTables]:
    """The ledgers; that they cannot be read is a fault of the call."""
    try:
        with LedgerTables(*ledgers) as tables:
            yield tables
    except LedgerError as error:
        raise ConfigurationError(str(error)) from error


_path = click.Path(dir_okay=False, path_type=Path)


@click.command()
@_ledgers
@click.option("--html", type=_path, help="Write a page with plots and every decision, which opens offline.")
@click.option(
    "--rows",
    type=click.IntRange(0),
    default=ROWS,
    show_default=True,
    help="The newest decisions that the page holds; its totals are those of all.",
)
@click.option(
    "--top",
    type=click.IntRange(1),
    default=TOP,
    show_default=True,
    help="Rows of each table: hosts, lists, days, what to retry, what is malformed.",
)
@_json
def report(ledgers: tuple[str, ...], html: Path | None, rows: int, top: int, as_json: bool) -> None:  # noqa: FBT001
    """Say what ledgers come to: totals, and by reason, host, registry list, crawler and day.

    A LEDGER is a folder, a *.jsonl file, or a URL that fsspec understands.
    """
    with _opened(ledgers) as tables:
        totals = totals_of(tables, top)
        size = None if html is None else write_page(html, tables, totals, now=time.time(), rows=rows)
    if as_json:
        click.echo(json.dumps(totals.as_dict()))
    elif size is None:
        Console().print(rendered(totals, top))
    else:
        click.echo(f"{printable(str(html))}: {totals.actions.all:,} decisions, {decimal(size)}")


@click.command()
@_ledgers
@click.option("--parquet", type=_path, help="A file for pandas, DuckDB and the like.")
@click.option("--csv", type=_path, help="A file for spreadsheets as well: no cell in it is a formula.")
@_json
def export(ledgers: tuple[str, ...], parquet: Path | None, csv: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """Write the records of ledgers as a table, a row a decision, evidence included."""
    if parquet is None and csv is None:
        raise click.UsageError("Give --parquet FILE, --csv FILE, or both.")
    with _opened(ledgers) as tables:
        told = [
            {"out": str(out), "records": write(tables, out)}
            for out, write in ((parquet, export_parquet), (csv, export_csv))
            if out is not None
        ]
        faults = tables.faults
    if as_json:
        click.echo(json.dumps({"files": told, "faults": [str(fault) for fault in faults]}))
        return
    for each in told:
        click.echo(printable(f"{each['out']}: {each['records']:,} records"))
    if faults:
        click.echo(printable(f"{len(faults):,} lines are no records, the first: {faults[0]}"), err=True)
