"""The command line.

Exit codes: 2 for usage or configuration; 0 for a crawl although pictures were skipped.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

from heedful import __version__
from heedful._check_cli import check
from heedful._explain_cli import explain, retry
from heedful._recheck_cli import recheck
from heedful._replay_cli import replay
from heedful.bulk._filter_cli import filter_
from heedful.bulk.audit._cli import audit
from heedful.captured import Captured
from heedful.errors import ConfigurationError, LedgerError
from heedful.gate import Gate
from heedful.img2dataset._cli import img2dataset
from heedful.ledger._cli import ledger
from heedful.ledger.writer import absolute
from heedful.model import printable
from heedful.policy import KNOBS, SWITCHES, Policy
from heedful.registry._cli import registry
from heedful.report._cli import export, report
from heedful.signals._paths import split_url
from heedful.survey._cli import survey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from heedful_spiders.crawl import Counts

CONFIGURATION = 2


class _Main(click.Group):
    """Turns configuration faults into a clear sentence and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            for fault in error.faults:
                click.echo(f"Error: {printable(fault)}", err=True)
            ctx.exit(CONFIGURATION)
        except LedgerError as error:
            click.echo(f"Error: {printable(str(error))}", err=True)
            ctx.exit(CONFIGURATION)


def _need(module: str, extra: str) -> ModuleType:
    """Import what an extra brings, or name the extra to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"This command needs {error.name or module}: pip install 'heedful[{extra}]'"
        ) from error


_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")


@click.group(cls=_Main, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="heedful")
def main() -> None:
    """Crawl pictures, but not those whose owners opted out of AI training."""


main.add_command(registry)
main.add_command(img2dataset)
main.add_command(check)
main.add_command(explain)
main.add_command(retry)
main.add_command(replay)
main.add_command(recheck)
main.add_command(filter_)
main.add_command(audit)
main.add_command(survey)
main.add_command(ledger)
main.add_command(report)
ledger.add_command(export)


# -- crawl -----------------------------------------------------------------------------------------------


@main.command()
@click.argument("urls", metavar="URL...", nargs=-1, required=True)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Output folder.")
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
@click.option("--ledger", help="Ledger folder or URL.  [default: OUT/ledger]")
@click.option(
    "--follow",
    type=click.Choice(["site", "none", "all"]),
    default="site",
    show_default=True,
    help="Which links to follow: on the start pages' sites, none, or all.",
)
@click.option(
    "--depth", type=click.IntRange(0), default=3, show_default=True, help="Links deep; 0: any depth."
)
@click.option("--audit", is_flag=True, help="Judge and record, but skip nothing.")
@_json
def crawl(
    urls: tuple[str, ...],
    out: Path,
    token: str,
    contact: str | None,
    policy: str,
    registries: tuple[str, ...],
    ledger: str | None,
    follow: str,
    depth: int,
    audit: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    """Crawl sites into an image dataset.

    Pictures go to OUT/images, their metadata to OUT/images.jsonl, every decision to the ledger.
    """
    faults = [f"{url!r} is not a valid http(s) URL." for url in urls if split_url(url) is None]
    try:
        Gate(token, policy)
    except ConfigurationError as error:
        faults += error.faults
    if faults:
        raise ConfigurationError(*faults)
    ledger = absolute(ledger or out / "ledger")
    counts = _crawl(
        urls,
        out,
        heedful={
            "HEEDFUL_TOKEN": token,
            "HEEDFUL_CONTACT": contact,
            "HEEDFUL_POLICY": policy,
            "HEEDFUL_REGISTRIES": list(registries),
            "HEEDFUL_LEDGER": ledger,
            "HEEDFUL_AUDIT": audit,
        },
        follow=follow,
        scrapy={"DEPTH_LIMIT": depth},
    )
    if as_json:
        click.echo(json.dumps(_summary(counts, out, ledger)))
    else:
        console = Console()
        console.print(_counts_table(counts))
        _where(console, out, ledger)
    if counts.finish_reason != "finished":
        click.echo(
            f"Error: the crawl ended early ({counts.finish_reason}): see {out / 'crawl.log'}", err=True
        )
        sys.exit(1)


def _crawl(urls: tuple[str, ...], out: Path, **options: Any) -> Counts:
    """Crawl with a progress bar on the terminal's error stream."""
    crawling = _need("heedful_spiders.crawl", "scrapy")
    with Progress(
        SpinnerColumn(),
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("pictures  {task.fields[words]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        task = bars.add_task("Crawling", total=None, words="")

        def progress(counts: Counts) -> None:
            words = f"{counts.stored} stored, {sum(counts.skipped.values())} skipped"
            bars.update(task, total=counts.found or None, completed=counts.decided, words=words)

        result: Counts = crawling.crawl(urls, out, progress=progress, **options)
    return result


def _summary(counts: Counts, out: Path, ledger: str) -> dict[str, Any]:
    return {
        "pages": counts.pages,
        "pictures": counts.found,
        "stored": counts.stored,
        "skipped": dict(counts.skipped),
        "deferred": dict(counts.deferred),
        "failed": counts.failed,
        "bytes_avoided": counts.bytes_avoided,
        "finish_reason": counts.finish_reason,
        "out": str(out.absolute()),
        "ledger": ledger,
    }


def _counts_table(counts: Counts) -> Table:
    table = Table(title="Pictures", title_justify="left")
    table.add_column("")
    table.add_column("count", justify="right")
    table.add_row("found", str(counts.found), style="bold")
    table.add_row("stored", str(counts.stored), style="green")
    for word, colour, group in (("skipped", "red", counts.skipped), ("deferred", "yellow", counts.deferred)):
        table.add_row(word, str(sum(group.values())), style=colour)
        for reason, count in group.items():
            table.add_row(f"  {reason}", str(count), style=f"dim {colour}")
    table.add_row("failed", str(counts.failed))
    table.add_section()
    table.add_row("body bytes not downloaded", f"{counts.bytes_avoided:,}")
    return table


def _where(console: Console, out: Path, ledger: str) -> None:
    for words, place in (
        ("pictures", out / "images"),
        ("metadata", out / "images.jsonl"),
        ("ledger", ledger),
    ):
        console.print(f"{words:9}", end="", style="dim")
        console.print(printable(str(place)), highlight=False, soft_wrap=True)


# -- demo ------------------------------------------------------------------------------------------------


@main.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("heedful-demo"),
    show_default=True,
    help="Output folder.",
)
@click.option("--policy", default="standard", show_default=True, help="One of the shipped profiles.")
@_json
def demo(out: Path, policy: str, as_json: bool) -> None:  # noqa: FBT001
    """Show the main job: crawl a gallery of opted-out pictures, served on loopback."""
    run = _need("heedful.demo", "scrapy").run
    download: Any = None
    if find_spec("img2dataset") is not None:
        download = _need("heedful.img2dataset", "img2dataset").download
    outcome = run(out, policy, _crawl, download, lambda words: click.echo(words, err=True))
    page = out / "report.html"
    if find_spec("duckdb") is not None:
        _need("heedful.report", "report").write_report([outcome.ledger], page, now=time.time())
    if as_json:
        click.echo(json.dumps(outcome.as_dict() | _summary(outcome.counts, out, outcome.ledger)))
    else:
        console = Console()
        console.print(outcome.table())
        console.print(_counts_table(outcome.counts))
        _where(console, out, outcome.ledger)
        for sentence in outcome.sentences():
            console.print(sentence, style="bold green" if outcome.good else "bold red")
        if page.exists():
            console.print("What was decided, and on whose word: ", end="")
            console.print(printable(str(page.absolute())), highlight=False, soft_wrap=True)
    if not outcome.good:
        sys.exit(1)


# -- judge -----------------------------------------------------------------------------------------------


@main.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.File("rb"))
@click.option("--token", envvar="HEEDFUL_TOKEN", help="The product token of rows that have none.")
@click.option("--policy", default="standard", show_default=True, help="The policy of rows that have none.")
def judge(files: tuple[Any, ...], token: str | None, policy: str) -> None:
    """Judge captured exchanges, a JSON object a line, without the network.

    Prints a JSON object for each; where a row says what it wants, the two are compared.
    """
    Gate("none" if token is None else token, policy)  # a wrong one is told before the first row
    judged = wanted = unmet = 0
    now = time.time()
    for file in files:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = Captured.parse(line)
                verdict = row.judge(token=token, policy=policy, now=now)
            except (ValueError, ConfigurationError) as error:
                raise ConfigurationError(f"{file.name}:{number}: {error}") from error
            judged += 1
            answer = verdict.as_dict()
            answer = {key: answer[key] for key in ("action", "reason", "reasons", "evidence")}
            click.echo(json.dumps({"id": row.id, **answer}))
            if row.want is not None:
                wanted += 1
                if not row.want.met_by(verdict):
                    unmet += 1
                    want = " ".join([row.want.action.value, *(reason.value for reason in row.want.reasons)])
                    got = " ".join([verdict.action.value, *(reason.value for reason in verdict.reasons)])
                    place = f"{file.name}:{number}: {row.id}"
                    click.echo(printable(f"{place}: wanted {want}, got {got}"), err=True)
    click.echo(f"{judged} judged, {wanted - unmet} of {wanted} wants met", err=True)
    if unmet:
        sys.exit(1)


# -- policy ----------------------------------------------------------------------------------------------


@main.group()
def policy() -> None:
    """Show and check policies."""


@policy.command("show")
@click.argument("name", default="standard")
@_json
def show(name: str, as_json: bool) -> None:  # noqa: FBT001
    """Print the policy NAME (a profile or a file) as it is in force, each knob with its meaning."""
    loaded = Policy.load(name)
    if as_json:
        click.echo(json.dumps({"name": loaded.name, "hash": loaded.hash, **loaded.as_dict()}))
        return
    table = Table(title=f"{printable(loaded.name)}  sha256 {loaded.hash[:12]}", title_justify="left")
    for heading in ("setting", "value", "may be", "meaning"):
        table.add_column(heading)
    values: Mapping[str, str] = loaded.as_dict()["switches"]
    for key, knob in KNOBS.items():
        table.add_row(key, str(getattr(loaded, key)), " ".join(knob.values), knob.meaning)
    table.add_section()
    for key, knob in SWITCHES.items():
        table.add_row(key, values[key], " ".join(knob.values), knob.meaning)
    Console().print(table)


@policy.command("validate")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def validate(names: tuple[str, ...]) -> None:
    """Check policies (profiles or files); every fault is told with its line."""
    faults: list[str] = []
    for name in names:
        try:
            Policy.load(name)
        except ConfigurationError as error:
            faults += error.faults
        else:
            click.echo(f"{printable(name)}: valid")
    if faults:
        raise ConfigurationError(*faults)


if __name__ == "__main__":
    main()
