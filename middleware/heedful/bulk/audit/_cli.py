"""`heedful audit`: stored datasets against today's registries, the bytes, and with `--live` their origins."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from heedful._processes import cores
from heedful.bulk.audit import Auditing, Live
from heedful.bulk.audit._findings import writing
from heedful.errors import ConfigurationError
from heedful.model import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from heedful.bulk.audit import Finding, Result

FOUND: Final = 1
"""Exit code where something was found, or could not be read."""

SHARDS: Final = 10
"""Parts that are named, those with most findings."""

_NAMES: Final = {"registries": "--registry", "ledger_stores": "--ledger"}


@click.command()
@click.argument("datasets", metavar="DATASET...", nargs=-1, required=True)
@click.option("--registry", "registries", multiple=True, help="A built registry; may be given several times.")
@click.option("--policy", default="standard", show_default=True, help="A profile's name or a TOML file.")
@click.option("--live", is_flag=True, help="Ask origins again: their files, and the pictures' headers.")
@click.option("--token", envvar="HEEDFUL_TOKEN", help="Your product token, such as PictureBot; for --live.")
@click.option("--contact", envvar="HEEDFUL_CONTACT", help="URL or address for the User-Agent; for --live.")
@click.option("--purge", is_flag=True, help="Remove what is opted out, once it was shown and agreed to.")
@click.option("--yes", is_flag=True, help="With --purge: do not ask.")
@click.option("--dry-run", is_flag=True, help="With --purge: only show what would be removed.")
@click.option("--ledger", help="Ledger folder or URL.  [default: the dataset's own]")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file for all that is found: .csv, .jsonl or .parquet.",
)
@click.option(
    "--urls",
    multiple=True,
    help="A feed (jsonl, json, csv) or ledger with the URLs of a Scrapy store; may be given several times.  "
    "[default: those beside it]",
)
@click.option("--unfinished", is_flag=True, help="Take in img2dataset's shards without _stats.json.")
@click.option(
    "--processes", type=click.IntRange(1), help="Shards gone through at once.  [default: the cores]"
)
@click.option("--rows", type=click.IntRange(0), default=20, show_default=True, help="Findings to print.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def audit(
    datasets: tuple[str, ...],
    live: bool,  # noqa: FBT001
    contact: str | None,
    policy: str,
    purge: bool,  # noqa: FBT001
    yes: bool,  # noqa: FBT001
    dry_run: bool,  # noqa: FBT001
    out: Path | None,
    processes: int | None,
    rows: int,
    as_json: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Look for opted-out pictures in DATASETs: img2dataset's output, or Scrapy's image store.

    Every stored picture is judged by today's registries and policy, and by its bytes; with --live, by what
    its origin says today as well. Exit code 0: nothing is opted out, and all was read; 1: something is, or is
    in doubt, or could not be read.
    """
    if (yes or dry_run) and not purge:
        raise ConfigurationError("--yes and --dry-run go with --purge.")
    if yes and dry_run:
        raise ConfigurationError("--yes and --dry-run contradict each other.")
    asking = Live(policy, contact) if live else None
    console = Console(stderr=as_json)
    results = []
    with _out(out) as write:
        for dataset in datasets:
            with Auditing(
                dataset,
                policy=policy,
                live=asking,
                removing=yes,
                processes=processes or cores(),
                called=lambda name: _NAMES.get(name, f"--{name}"),
                **options,
            ) as each:
                results.append(_audited(each, write))
                if not as_json:
                    _show(console, each.result, islice(each.findings(), rows))
                if purge and each.removable:
                    _purge(each, yes=yes, dry_run=dry_run, asked=not as_json)
                if purge and not as_json:
                    _show_removed(console, each.result)
    if as_json:
        click.echo(json.dumps({"datasets": [result.as_dict() for result in results]}))
    elif out is not None:
        _line(console, "findings", str(out.absolute()))
    if not all(result.clean for result in results):
        sys.exit(FOUND)


def _out(out: Path | None) -> Any:
    return nullcontext() if out is None else writing(out)


def _audited(auditing: Auditing, write: Callable[[Finding], object] | None) -> Result:
    """Run it, with a progress bar."""
    with _progress() as bars:
        task = bars.add_task("Auditing", total=auditing.shards, words="")

        def progress(result: Result) -> None:
            words = f"{result.pictures:,} pictures, {result.found.total():,} opted out"
            bars.update(task, completed=result.shards, words=words)

        def asked(done: int, total: int) -> None:
            bars.update(task, description="Asking origins", completed=done, total=total, words="")

        result = auditing.run(progress, asked)
    if write is not None:
        for finding in auditing.findings():
            write(finding)
    return result


def _purge(auditing: Auditing, *, yes: bool, dry_run: bool, asked: bool) -> None:
    """Remove what was found, if that is agreed to."""
    count = auditing.removable
    if dry_run:
        click.echo(f"{_pictures(count)} would be removed by --purge --yes.", err=True)
        return
    if not yes:
        if not (asked and sys.stdin.isatty()):
            click.echo(f"Nothing was removed: --purge --yes removes {_pictures(count)}.", err=True)
            return
        question = f"Remove {_pictures(count)} from {printable(auditing.result.dataset)}?"
        if not click.confirm(question, err=True):
            return
    with _progress() as bars:
        task = bars.add_task("Removing", total=auditing.units, words="")
        auditing.remove(lambda _: bars.advance(task))


@contextmanager
def _progress() -> Iterator[Progress]:
    columns = (
        SpinnerColumn(),
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[words]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield bars


# -- what is printed -------------------------------------------------------------------------------------


def _show(console: Console, result: Result, findings: Iterable[Finding]) -> None:
    title = Text(printable(f"{result.dataset}: {result.recognised}"), "bold")
    console.print(title, soft_wrap=True)
    table = Table(title_justify="left")
    table.add_column("")
    table.add_column("pictures", justify="right")
    table.add_row("judged", f"{result.pictures:,}", style="bold")
    _add(table, "opted out", "red", result.found)
    for words, counts in (("by list", result.lists), ("by shard", _top(result.by_shard))):
        if counts:
            table.add_section()
            _add(table, words, "dim", counts, summed=False)
    if result.doubts:
        table.add_section()
        _add(table, "in doubt", "yellow", result.doubts)
    console.print(table)
    shown = list(findings)
    if shown:
        console.print(_findings(shown))
    for sentence in result.sentences():
        console.print(Text(printable(sentence)), soft_wrap=True)
    _line(console, "ledger", result.ledger)


def _top(counts: Mapping[str, int]) -> dict[str, int]:
    ordered = sorted(counts.items(), key=lambda each: -each[1])
    rest = sum(count for _, count in ordered[SHARDS:])
    return dict(ordered[:SHARDS]) | ({f"{len(ordered) - SHARDS:,} more": rest} if rest else {})


def _add(table: Table, words: str, style: str, counts: Mapping[str, int], *, summed: bool = True) -> None:
    table.add_row(words, f"{sum(counts.values()):,}" if summed else "", style=style)
    for name, count in sorted(counts.items(), key=lambda each: -each[1]):
        table.add_row(Text(f"  {printable(name) or 'unnamed list'}"), f"{count:,}", style=style)


def _findings(findings: Iterable[Finding]) -> Table:
    table = Table(title="First findings", title_justify="left")
    for heading in ("where", "reason", "URL", "entry"):
        table.add_column(heading, overflow="fold")
    for each in findings:
        cells = (each.place, each.reason, each.url or "not known", each.entry)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def _show_removed(console: Console, result: Result) -> None:
    if result.removal_list is not None:
        console.print(Text(f"Removed: {_pictures(result.removed)}.", "bold"))
        _line(console, "list", result.removal_list)


def _pictures(count: int) -> str:
    return f"{count:,} picture{'' if count == 1 else 's'}"


def _line(console: Console, words: str, place: str) -> None:
    console.print(f"{words:9}", end="", style="dim")
    console.print(printable(place), highlight=False, soft_wrap=True)
