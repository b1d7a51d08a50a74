"""`heedful ledger`: what is to be done with ledgers as files."""

from __future__ import annotations

import json
import sys

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from heedful.ledger.verify import ACTIONS, verify
from heedful.model import printable

_SHOWN = 50
"""Findings that are printed; `--json` has all."""


@click.group()
def ledger() -> None:
    """Check ledgers, and write them as tables."""


@ledger.command("verify")
@click.argument("ledgers", metavar="LEDGER...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def verify_command(ledgers: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001
    """Look whether ledgers are as they were written; exit code 1 if anything is found.

    A LEDGER is a folder, or its URL that fsspec understands. Told are lines that were changed, removed or put
    in, files that are missing or cut, torn last lines, runs that did not end, and sums that do not add up.
    """
    columns = (SpinnerColumn(), TextColumn("[progress.description]{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("Reading", total=None)

        def progress(file: str) -> None:
            bars.update(task, description=f"Reading {printable(file.rpartition('/')[2])}")

        done = verify(ledgers, progress=progress)
    if as_json:
        click.echo(json.dumps(done.as_dict()))
    else:
        for finding in done.findings[:_SHOWN]:
            click.echo(printable(str(finding)))
        if len(done.findings) > _SHOWN:
            click.echo(f"... and {len(done.findings) - _SHOWN:,} more")
        sums = ", ".join(f"{done.totals[action]:,} {action}" for action in ACTIONS)
        click.echo(f"{done.records:,} records ({sums}) in {done.files:,} files of {done.runs:,} runs")
        click.echo("Something is not as it was written." if done.findings else "All is as it was written.")
    if done.findings:
        sys.exit(1)
