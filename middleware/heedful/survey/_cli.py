"""`heedful survey`."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from heedful.configuration import Configuration
from heedful.errors import ConfigurationError
from heedful.ledger._export import replacing
from heedful.model import printable
from heedful.origins.addresses import Place, literal, place
from heedful.origins.target import host_of
from heedful.survey._page import ROWS, write_page
from heedful.survey._parts import PART, Parts, Terms
from heedful.survey._sites import Queue, Rejected, Site, from_arguments, from_file
from heedful.survey._summary import REJECTED, Rows, summary_of
from heedful.survey._terminal import rendered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from heedful.gate import Gate
    from heedful.survey._summary import Summary

SUMMARY: Final = "summary.json"
PAGE: Final = "report.html"
LOG: Final = "survey.log"

_NEEDED: Final = {"duckdb": "report", "jinja2": "report", "vl_convert": "report", "pyarrow": "bulk"}
"""Libraries that a survey would only miss at its end, and the extras that bring them."""


@click.command()
@click.argument("domains", metavar="DOMAIN...", nargs=-1)
@click.option(
    "--file",
    "lists",
    multiple=True,
    help="A list: a domain, host or URL a line, or a table with a column of that name; '-' for standard "
    "input. May be given several times.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="The survey's folder. Sites that it holds already are not asked again.",
)
@click.option("--token", envvar="HEEDFUL_TOKEN", help="Your product token, such as PictureBot.")
@click.option("--contact", envvar="HEEDFUL_CONTACT", help="URL or address for the User-Agent.")
@click.option("--policy", default="standard", show_default=True, help="A profile's name or a TOML file.")
@click.option("--cache", help="Folder of what a machine's crawls share.  [default: the user's cache folder]")
@click.option(
    "--at-once",
    type=click.IntRange(1, 1000),
    default=64,
    show_default=True,
    help="Sites that are asked at once.",
)
@click.option(
    "--delay",
    type=click.FloatRange(0),
    default=0.25,
    show_default=True,
    help="Seconds between two requests to one site, on the average.",
)
@click.option(
    "--part", type=click.IntRange(1), default=PART, show_default=True, help="Sites of one Parquet file."
)
@click.option(
    "--rows",
    type=click.IntRange(0),
    default=ROWS,
    show_default=True,
    help="Sites that the page holds, those that decline first; its figures are those of all.",
)
@click.option(
    "--summary",
    "summarised",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Make summary and page of this folder anew; nobody is asked.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def survey(
    domains: tuple[str, ...],
    lists: tuple[str, ...],
    out: Path | None,
    token: str | None,
    contact: str | None,
    policy: str,
    cache: str | None,
    at_once: int,
    delay: float,
    part: int,
    rows: int,
    summarised: Path | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Ask sites which opt-out signals they send: their origin files, no page, no picture.

    A DOMAIN may also be a host with a port, or a URL, whose origin is taken. OUT gets a row for each site in
    survey-*.parquet, what they come to in summary.json, and report.html, which opens offline.
    """
    if summarised is not None:
        if domains or lists or out:
            raise click.UsageError("--summary FOLDER asks nobody: leave out domains, --file and --out.")
        _show(_written(summarised, rows), summarised, as_json=as_json)
        return
    if not domains and not lists:
        raise click.UsageError("Give domains, --file LIST, or both.")
    if out is None:
        raise click.UsageError("Missing option '--out'.")
    for module, extra in _NEEDED.items():
        _need(module, extra)
    surveying = _need("heedful_spiders.survey", "scrapy")
    configuration = Configuration.check(
        token=token,
        contact=contact,
        policy=policy,
        cache=cache,
        ledger=None,
        now=time.time(),
        called=lambda name: f"--{name}",
    )
    gate: Gate = surveying.gate_of(configuration)
    parts = Parts(out, Terms.of(gate), size=part)
    try:
        queue = _queue(out, domains, lists)
        queue.done(parts.done())
        waiting = len(queue)
        if contact is None and any(not _is_loopback(site) for site in queue):
            click.echo("--contact is not set: site owners cannot reach you.", err=True)
        if queue.all > waiting:
            click.echo(f"{queue.all - waiting:,} of {queue.all:,} sites are there already.", err=True)
        reason = "finished"
        if waiting:
            reason = _ask(
                surveying,
                queue,
                parts,
                total=waiting,
                log=out / LOG,
                delay=delay,
                token=token,
                contact=contact,
                policy=policy,
                cache=cache,
                at_once=at_once,
            )
        queue.close()
    finally:
        parts.close()
    _show(_written(out, rows), out, as_json=as_json)
    if reason != "finished":
        words = f"Error: the survey ended early ({reason}): see {out / LOG}; the same command goes on."
        click.echo(printable(words), err=True)
        sys.exit(1)


def _need(module: str, extra: str) -> Any:
    """Import what an extra brings, or name the extra to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"This command needs {error.name or module}: pip install 'heedful[{extra}]'"
        ) from error


def _queue(out: Path, domains: tuple[str, ...], lists: tuple[str, ...]) -> Queue:
    """The sites that were given; what is none is listed in the folder."""
    queue = Queue()
    path = out / REJECTED
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:

        def sites() -> Iterator[Site]:
            for each in _given(domains, lists):
                if isinstance(each, Rejected):
                    file.write(json.dumps(each._asdict()) + "\n")
                else:
                    yield each

        queue.add(sites())
    if not path.stat().st_size:
        path.unlink()
    return queue


def _given(domains: tuple[str, ...], lists: tuple[str, ...]) -> Iterator[Site | Rejected]:
    yield from from_arguments(domains)
    for each in lists:
        yield from from_file(each)


def _is_loopback(site: Site) -> bool:
    return any(place(address) is Place.MACHINE for address in literal(host_of(site.origins[0])))


def _ask(
    surveying: Any,
    queue: Iterable[Site],
    parts: Parts,
    *,
    total: int,
    log: Path,
    delay: float,
    **arguments: Any,
) -> str:
    """Ask the sites, with a progress bar on the terminal's error stream; why it ended, in Scrapy's words."""
    with Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("sites  {task.fields[words]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        task = bars.add_task("Asking", total=total, words="")
        start = time.monotonic()

        def progress(counts: Any) -> None:
            rate = counts.asked / max(time.monotonic() - start, 0.001)
            words = f"{counts.declining:,} decline, {counts.silent:,} no answer, {rate:.1f}/s"
            bars.update(task, completed=counts.asked, words=words)

        counts = surveying.survey(
            queue,
            parts.add,
            settings={"LOG_FILE": str(log), "LOG_LEVEL": "INFO", "DOWNLOAD_DELAY": delay},
            progress=progress,
            **arguments,
        )
    return str(counts.finish_reason)


def _written(folder: Path, shown: int) -> Summary:
    """The summary of a folder, written there with its page."""
    with Rows(folder) as rows:
        summary = summary_of(rows)
        with replacing(folder / SUMMARY) as temporary:
            temporary.write_text(json.dumps(summary.as_dict(), indent=1) + "\n", encoding="utf-8")
        write_page(folder / PAGE, rows, summary, now=time.time(), shown=shown)
    return summary


def _show(summary: Summary, folder: Path, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(summary.as_dict()))
        return
    console = Console()
    console.print(rendered(summary))
    for words, name in (("rows", "survey-*.parquet"), ("summary", SUMMARY), ("page", PAGE)):
        console.print(f"{words:9}", end="", style="dim")
        console.print(printable(str(folder / name)), highlight=False, markup=False, soft_wrap=True)
