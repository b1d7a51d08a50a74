"""`heedful filter`: the opted-out rows of lists of URLs are dropped, or tagged."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from heedful.errors import ConfigurationError
from heedful.model import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from heedful.bulk.filter import Step, Summary

UNREADABLE: Final = 1
"""Exit code where a file could not be read, or the run broke off."""

_ENGINES: Final = ("local", "spark", "ray")


@click.command("filter")
@click.argument("sources", metavar="IN...", nargs=-1, required=True)
@click.argument("out", metavar="OUT")
@click.option("--registry", "registries", multiple=True, help="A built registry; may be given several times.")
@click.option("--policy", default="standard", show_default=True, help="A profile's name or a TOML file.")
@click.option("--tag", is_flag=True, help="Keep all rows, and add columns that say what is registered.")
@click.option("--url-col", help="The column of the URLs.  [default: that which is called url, in any case]")
@click.option("--engine", type=click.Choice(_ENGINES), default="local", show_default=True)
@click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: one for each core]")
@click.option("--ledger", help="Ledger folder or URL.  [default: beside OUT]")
@click.option("--no-ledger", is_flag=True, help="Record nothing: only the summary counts.")
@click.option("--cache", help="Folder of remote registries' answers.  [default: the user's cache folder]")
@click.option("--overwrite", is_flag=True, help="Replace what another run has left at OUT.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def filter_(
    sources: tuple[str, ...],
    out: str,
    as_json: bool,  # noqa: FBT001
    ledger: str | None,
    no_ledger: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Copy lists of URLs without the rows that are opted out.

    IN is a file (txt, csv, tsv, parquet), a folder, or a pattern, as a path or a URL that fsspec understands;
    OUT a file for a file, else a folder. Names, formats, columns and order stay as they are. Nobody is
    contacted: what only origins can tell is left to the crawl. A run that was interrupted goes on with the
    same command.

    Exit code 1: a file could not be read, and has no output.
    """
    if ledger is not None and no_ledger:
        raise ConfigurationError("Give --ledger or --no-ledger, not both.")
    bulk = _bulk()
    try:
        with _bar() as (progress, found):
            summary: Summary = bulk.filter_urls(
                sources, out, ledger=ledger or not no_ledger, progress=progress, found=found, **options
            )
    except bulk.UnfinishedError as error:
        click.echo(f"Error: {printable(str(error))}", err=True)
        sys.exit(UNREADABLE)
    if as_json:
        click.echo(json.dumps(summary.as_dict()))
    else:
        _show(summary)
    for file, fault in summary.unreadable:
        click.echo(f"Error: {printable(file)}: {printable(fault)}", err=True)
    if summary.unreadable:
        sys.exit(UNREADABLE)


def _bulk() -> ModuleType:
    try:
        return import_module("heedful.bulk.filter")
    except ImportError as error:
        needs = error.name or "pyarrow"
        raise ConfigurationError(f"This command needs {needs}: pip install 'heedful[bulk]'") from error


@contextmanager
def _bar() -> Iterator[tuple[Callable[[Step], None], Callable[[int, int], None]]]:
    """A progress bar on the terminal's error stream."""
    columns = (
        SpinnerColumn(),
        TextColumn("Filtering"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[done]:,} of {task.fields[files]:,} files, {task.fields[rows]:,} rows"),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=None, done=0, files=0, rows=0, speed="")
        fields = bars.tasks[0].fields

        def found(files: int, octets: int) -> None:
            bars.update(task, total=octets, files=files)

        def progress(step: Step) -> None:
            rows = fields["rows"] + step.counts.rows
            seconds = bars.tasks[0].elapsed or 0
            speed = f"{rows / seconds:,.0f} rows/s" if seconds and rows else ""
            bars.update(task, advance=step.octets, rows=rows, done=fields["done"] + step.files, speed=speed)

        yield progress, found


def _show(summary: Summary) -> None:
    counts = summary.counts
    table = Table(title="Rows", title_justify="left")
    table.add_column("")
    table.add_column("count", justify="right")
    table.add_row("read", f"{counts.rows:,}", style="bold")
    table.add_row("kept", f"{counts.kept:,}", style="green")
    if counts.opted_in:
        table.add_row("  of them opted in", f"{counts.opted_in:,}", style="dim green")
    verb = "to skip" if summary.tagged else "skipped"
    for word, colour, group in ((verb, "red", counts.skipped), ("deferred", "yellow", counts.deferred)):
        table.add_row(word, f"{group.total():,}", style=colour)
        for reason, count in group.most_common():
            table.add_row(f"  {reason}", f"{count:,}", style=f"dim {colour}")
    if counts.no_url:
        table.add_row("  of them no http(s) URL", f"{counts.no_url:,}", style="dim yellow")
    if counts.lists:
        table.add_section()
        for name, count in counts.lists.most_common(_LISTS):
            table.add_row(Text(f"list {printable(name)}"), f"{count:,}")
        if len(counts.lists) > _LISTS:
            table.add_row("further lists", f"{len(counts.lists) - _LISTS:,}", style="dim")
    console = Console()
    console.print(table)
    for sentence in _sentences(summary):
        console.print(Text(printable(sentence)), soft_wrap=True)


_LISTS: Final = 10
"""Lists that are named, those with most rows; `--json` has all."""


def _sentences(summary: Summary) -> Iterator[str]:
    counts = summary.counts
    if summary.tagged:
        yield "All rows were kept and tagged: refused ones have skip or defer in heedful_action."
    if summary.needs_opt_in:
        left = counts.kept - counts.opted_in
        yield (
            f"The policy wants an opt-in, and origins were not asked: {left:,} rows without a registered one "
            "are left to the crawl."
        )
    files = f"{summary.files:,} file{'' if summary.files == 1 else 's'}"
    before = f", {summary.before:,} of them before" if summary.before else ""
    yield f"{files}{before}, in {summary.out}"
    if summary.ledger is not None:
        yield f"ledger {summary.ledger}"
