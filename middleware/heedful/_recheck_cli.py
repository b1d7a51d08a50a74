"""`heedful recheck`: stored pictures' URLs once more, for changes of mind."""

from __future__ import annotations

import csv
import json
import sys
from contextlib import contextmanager
from importlib import import_module
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
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from heedful.changes import Before, Cause, Changes, Outcome
from heedful.errors import ConfigurationError
from heedful.ledger._export import harmless, replacing
from heedful.ledger.writer import absolute
from heedful.model import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import ModuleType

    from heedful.changes import Change
    from heedful_spiders.recheck import Counts

FOUND: Final = 1
"""Exit code where a stored picture is opted out now."""

INCOMPLETE: Final = 3
"""Exit code where none is, as far as was asked: the run ended early."""

SHOWN: Final = 20
"""Changes that are printed; `--out` has all."""

COLUMNS: Final = (
    *("url", "action", "reason", "reasons", "cause", "source_url", "where", "raw", "before"),
    *("former_time", "former_policy"),
)
"""Of a CSV file of changes; what speaks against a picture is the first there is, JSON Lines have all."""

CAUSES: Final = {
    Cause.OWNER: "their sites say so now, and did not when they were stored",
    Cause.REGISTRY: "registries have them now, and had not when they were stored",
    Cause.POLICY: "what was said is the same: today's policy, or version, makes something else of it",
    Cause.UNKNOWN: "what was said when they were stored is not known",
}
"""What is said of the causes."""


@click.command()
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option(
    "--token", required=True, envvar="HEEDFUL_TOKEN", help="Your product token, such as PictureBot."
)
@click.option("--contact", envvar="HEEDFUL_CONTACT", help="URL or address for the User-Agent.")
@click.option("--policy", default="standard", show_default=True, help="A profile's name or a TOML file.")
@click.option(
    "--registry",
    "registries",
    multiple=True,
    type=click.Path(file_okay=False),
    help="A built registry; may be given several times.",
)
@click.option("--ledger", required=True, help="A folder for this recheck's own ledger.")
@click.option(
    "--former",
    multiple=True,
    help="The ledger of when the pictures were stored, to compare with, where it is no SOURCE; may be given "
    "several times.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file for the URLs that are opted out now: .jsonl or .csv with the evidence, else a URL a line.",
)
@click.option("--url-col", "column", default="url", show_default=True, help="The URLs' column in tables.")
@click.option("--bytes", "read_bytes", is_flag=True, help="Read the pictures as well: metadata and hashes.")
@click.option("--get", is_flag=True, help="Never ask by HEAD; of GET, only the headers are read.")
@click.option(
    "--cache",
    type=click.Path(file_okay=False),
    help="Folder of origin files, of which those that are fresh are not asked for.  [default: a new one]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def recheck(
    sources: tuple[str, ...],
    token: str,
    contact: str | None,
    policy: str,
    registries: tuple[str, ...],
    ledger: str,
    former: tuple[str, ...],
    out: Path | None,
    column: str,
    read_bytes: bool,  # noqa: FBT001
    get: bool,  # noqa: FBT001
    cache: str | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Ask for stored pictures again, without storing anything, and tell which are opted out by now.

    A SOURCE is a ledger, the folder of `heedful crawl` or img2dataset, or a list of URLs (txt, csv, parquet,
    jsonl). No picture is downloaded: only headers are asked for, and origin files anew. The same command goes
    on where it was stopped. Exit code 1: a picture is opted out.
    """
    rechecking, reading = _need("recheck"), _need("_stored")
    if former:
        Changes(former[0], former)  # one that is not there is told before anything is asked for
    stored = reading.Stored(sources, column=column)
    try:
        with _progress() as progress:
            counts: Counts = rechecking.recheck(
                stored,
                token=token,
                policy=policy,
                registries=registries,
                ledger=ledger,
                contact=contact,
                cache=cache,
                read_bytes=read_bytes,
                method="GET" if get else "HEAD",
                progress=progress,
            )
    except rechecking.RecheckError as error:
        raise ConfigurationError(str(error)) from error
    if not counts.listed:
        raise ConfigurationError(f"No stored picture is named in {', '.join(sources)}.")
    changes = Changes(ledger, (*stored.ledgers, *former)) if counts.listed > counts.unaskable else ()
    shown, left_out = _write(changes, out)
    outcome = changes.outcome if isinstance(changes, Changes) else Outcome()
    left = counts.to_ask - counts.decided
    if as_json:
        numbers = {"unaskable": counts.unaskable, "left": left, "left_out": left_out}
        places = {"ledger": absolute(ledger), "out": None if out is None else str(out.absolute())}
        click.echo(json.dumps({**outcome.as_dict(), **numbers, **places}))
    else:
        console = Console()
        console.print(_table(outcome))
        if shown:
            console.print(_shown(shown))
        for sentence in _sentences(outcome, counts, len(shown)):
            console.print(sentence, highlight=False)
        _where(console, ledger, out)
    _tell(stored.passed_over, left_out, left)
    if outcome.changed:
        sys.exit(FOUND)
    if left:
        sys.exit(INCOMPLETE)


def _need(module: str) -> ModuleType:
    """A module of the spiders', which need Scrapy."""
    try:
        return import_module(f"heedful_spiders.{module}")
    except ImportError as error:
        raise ConfigurationError(
            f"This command needs {error.name or module}: pip install 'heedful[scrapy]'"
        ) from error


@contextmanager
def _progress() -> Iterator[Callable[[Counts], None]]:
    """A progress bar on the terminal's error stream."""
    columns = (
        SpinnerColumn(),
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("URLs  {task.fields[words]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("Reading", total=None, words="")

        def progress(counts: Counts) -> None:
            out, deferred = sum(counts.skipped.values()), sum(counts.deferred.values())
            words = f"{counts.free:,} free, {out:,} opted out, {deferred:,} deferred"
            bars.update(
                task, description="Rechecking", total=counts.to_ask, completed=counts.decided, words=words
            )

        yield progress


# -- the list of changes ---------------------------------------------------------------------------------


def _write(changes: Iterable[Change], out: Path | None) -> tuple[list[Change], int]:
    """Write the changes; the first of them, and how many could not stand in the list."""
    shown: list[Change] = []
    left_out = 0
    with _writer(out) as write:
        for change in changes:
            if len(shown) < SHOWN:
                shown.append(change)
            left_out += not write(change)
    return shown, left_out


@contextmanager
def _writer(out: Path | None) -> Iterator[Callable[[Change], bool]]:
    """What writes a change to `out`, which is replaced when it is complete, and says whether it could."""
    if out is None:
        yield lambda _: True
        return
    kind = out.suffix.lower()
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        if kind == ".jsonl":
            yield lambda change: bool(file.write(json.dumps(change.as_dict()) + "\n"))
        elif kind == ".csv":
            rows = csv.writer(file)
            rows.writerow(COLUMNS)
            yield lambda change: change.writable and bool(rows.writerow(_row(change)))
        else:
            yield lambda change: change.writable and bool(file.write(f"{change.url}\n"))


def _row(change: Change) -> list[str]:
    told = change.as_dict()
    first: Mapping[str, Any] = next(iter(told["evidence"]), {})
    former: Mapping[str, Any] = told["former"] or {}
    cells = (
        *(told["action"], told["reason"], " ".join(told["reasons"]), told["cause"]),
        *(first.get(name, "") for name in ("source_url", "where", "raw", "before")),
        former.get("time", ""),
        former["policy"]["name"] if former else "",
    )
    return [change.url, *(harmless(str(cell)) for cell in cells)]


# -- what is printed -------------------------------------------------------------------------------------


def _table(outcome: Outcome) -> Table:
    table = Table(title="Stored pictures", title_justify="left")
    table.add_column("")
    table.add_column("count", justify="right")
    table.add_row("rechecked", f"{outcome.rechecked:,}", style="bold")
    table.add_row("still free", f"{outcome.free:,}", style="green")
    for word, colour, group in (
        ("opted out by now", "red", outcome.changed),
        ("deferred", "yellow", outcome.deferred),
    ):
        table.add_row(word, f"{group.total():,}", style=colour)
        for reason, count in group.most_common():
            table.add_row(f"  {reason}", f"{count:,}", style=f"dim {colour}")
    table.add_row("gone (404, 410)", f"{outcome.gone:,}")
    table.add_row("failed", f"{outcome.failed:,}")
    table.add_section()
    table.add_row("body bytes read", f"{outcome.bytes_read:,}")
    table.add_row("body bytes not read", f"{outcome.bytes_avoided:,}")
    return table


def _shown(changes: Sequence[Change]) -> Table:
    table = Table(title="Opted out by now", title_justify="left")
    table.add_column("picture", overflow="fold", ratio=3)
    table.add_column("reason")
    table.add_column("said", overflow="fold", ratio=4)
    table.add_column("then")
    for change in changes:
        statement, before = next(iter(change.denies), ({}, Before.UNKNOWN))
        place = ", ".join(statement[name] for name in ("source_url", "where") if statement.get(name))
        table.add_row(
            Text(printable(change.url)),
            Text(change.now.reason.value if change.now.reason else "", "red"),
            Text("\n".join(map(printable, (statement.get("raw", ""), place)))),
            Text(before.value, "dim"),
        )
    return table


def _sentences(outcome: Outcome, counts: Counts, shown: int) -> Iterator[str]:
    found = outcome.changed.total()
    if found > shown:
        yield f"... and {found - shown:,} more; --out lists all."
    for cause, words in CAUSES.items():
        if count := outcome.causes[cause.value]:
            yield f"{count:,} of those opted out: {words}."
    if counts.decided_before:
        yield f"Asked for before, and not once more: {counts.decided_before:,}."
    if counts.unaskable:
        yield f"Not asked for, as they are no http(s) URLs: {counts.unaskable:,}."


def _where(console: Console, ledger: str, out: Path | None) -> None:
    for words, place in (("ledger", absolute(ledger)), ("list", out)):
        if place is not None:
            console.print(f"{words:7}", end="", style="dim")
            console.print(printable(str(place)), highlight=False, markup=False, soft_wrap=True)


def _tell(passed_over: int, left_out: int, left: int) -> None:
    """What a person should know besides, on stderr."""
    if passed_over:
        click.echo(
            f"{passed_over:,} lines of the sources are no JSON objects, and were passed over.", err=True
        )
    if left_out:
        words = "Not in the list, for control characters or spaces in them; .jsonl has all"
        click.echo(f"{words}: {left_out:,}", err=True)
    if left:
        click.echo(f"Ended early, the same command goes on there; left: {left:,}", err=True)
