"""`heedful replay`: what another policy would change."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from heedful.configuration import cache_folder
from heedful.ledger import LedgerReader, read_manifests
from heedful.model import Purpose, printable
from heedful.origins.cache import OriginCache
from heedful.policy import Policy
from heedful.replay import Lack, Replay

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from heedful.ledger import Record
    from heedful.replay import Replayed, Summary

COLOURS: Final = {"store": "green", "skip": "red", "defer": "yellow", "unknown": "dim"}

SHOWN_EVERY: Final = 1000
"""After so many records it is shown how many there were: a crawl may write all of them to one file."""

LACKS: Final = {
    Lack.UNSEEN: "were refused before all was seen: they would go on, and what comes then is not known.",
    Lack.REMOTE: "hang on a remote registry that was not asked.",
    Lack.PURPOSE: "hang on what registries, or signed pictures, say of another use than that of the crawl.",
    Lack.SIGNATURE: "hang on a signature that was not checked.",
    Lack.SNAPSHOT: "hang on policy tokens in a robots.txt file that is no longer kept.",
}
"""What is said of pictures of which it is not known what would become of them."""


@click.command()
@click.argument("ledgers", metavar="LEDGER...", nargs=-1, required=True)
@click.option("--policy", required=True, help="The other policy: a profile's name or a TOML file.")
@click.option("--list", "listed", is_flag=True, help="Print each URL that changes, tab-separated, instead.")
@click.option("--cache", help="Folder of kept origin files.  [default: the user's cache folder]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def replay(ledgers: tuple[str, ...], policy: str, listed: bool, cache: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Judge what LEDGERs hold under another policy, without the network, and tell what would change.

    Where a picture was refused before it was contacted, its headers and bytes were never seen: a policy that
    would have gone on there is told as unknown.
    """
    other = Policy.load(policy)
    kept = OriginCache(cache_folder(cache), now=time.time)
    try:
        reader = LedgerReader(*ledgers)
        purposes, counted = _runs(ledgers)
        replaying = Replay(other, kept.snapshot, purposes)
        for each in replaying.of(_with_progress(reader)):
            if listed and each.changes:
                click.echo(_line(each))
    finally:
        kept.close()
    if as_json and not listed:
        click.echo(json.dumps({"policy": other.name, **replaying.summary.as_dict(), "counted": counted}))
    elif not listed:
        _show(replaying.summary, other, counted)
    if reader.faults:
        first = printable(str(reader.faults[0]))
        click.echo(f"{len(reader.faults):,} lines are no records, the first: {first}", err=True)


def _runs(ledgers: Sequence[str]) -> tuple[dict[str, Purpose], int]:
    """What the runs' policies were for, by their hash, and how many decisions were only counted."""
    manifests = [manifest for ledger in ledgers for manifest in read_manifests(ledger)]
    policies = [manifest["policy"] for manifest in manifests]
    known = {purpose.value: purpose for purpose in Purpose}
    purposes = {
        policy["hash"]: known[purpose]
        for policy in policies
        if (purpose := policy["resolved"]["purpose"]) in known
    }
    return purposes, sum(manifest["counted"] or 0 for manifest in manifests)


def _with_progress(reader: LedgerReader) -> Iterator[Record]:
    columns = (
        TextColumn("Judging again"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files, {task.fields[records]:,} records"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=len(reader.files), records=0)
        for number, record in enumerate(reader.reading(lambda: bars.advance(task)), 1):
            if number % SHOWN_EVERY == 0:
                bars.update(task, records=number)
            yield record


def _line(each: Replayed) -> str:
    after = each.action.value if each.action else "unknown"
    reasons = ",".join(each.reasons or each.record.reasons)
    return "\t".join((each.record.action.value, after, reasons, printable(each.record.url)))


def _show(summary: Summary, policy: Policy, counted: int) -> None:
    console = Console()
    table = Table(title=printable(f"Under {policy.name}"), title_justify="left")
    for heading in ("before", "after", "reason"):
        table.add_column(heading)
    table.add_column("decisions", justify="right")
    for (before, after), count in summary.changes.most_common():
        table.add_row(
            Text(before, COLOURS[before]), Text(after, COLOURS[after]), "", Text(f"{count:,}", "bold")
        )
        for key, number in summary.reasons.most_common():
            if key[:2] == (before, after):
                table.add_row("", "", Text(key[2], "dim"), Text(f"{number:,}", "dim"))
    if summary.changes:
        console.print(table)
    for sentence in _sentences(summary, counted):
        console.print(sentence, highlight=False)


def _sentences(summary: Summary, counted: int) -> list[str]:
    changed = sum(count for (_, after), count in summary.changes.items() if after != "unknown")
    sentences = [f"{changed:,} of {summary.records:,} decisions would change."]
    sentences += [f"{count:,} {LACKS[lack]}" for lack, count in summary.lacks.most_common()]
    others = {
        "that would be stored were reached by redirects: what was said on the way is not recorded.": (
            summary.redirected
        ),
        "failed fetches are left out.": summary.unjudged,
        "stored pictures were only counted: what was said of them is not recorded.": counted,
        "records are not understood, and left out.": summary.invalid,
    }
    return sentences + [f"{count:,} {words}" for words, count in others.items() if count]
