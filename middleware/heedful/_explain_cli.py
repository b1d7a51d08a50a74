"""`heedful explain` and `heedful retry`: what became of a URL, and what is left for a later run."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console

from heedful.configuration import cache_folder
from heedful.errors import ConfigurationError
from heedful.explain import _show as show
from heedful.explain._hosts import Near, host_of, nearest, summarise
from heedful.explain._lines import Lines
from heedful.explain._stories import stories
from heedful.model import Reason, printable
from heedful.origins.cache import OriginCache
from heedful.retry import leftovers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rich.console import RenderableType

    from heedful.registry.entries import Address
    from heedful.retry import Leftover

NOT_FOUND: Final = 1
"""Exit code of `explain` where the ledger knows nothing of what was asked for."""

FAULTS_SHOWN: Final = 5
"""Lines that are no records and are named; the others are counted."""

_AWKWARD: Final = frozenset(',"')

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


# -- explain ---------------------------------------------------------------------------------------------


@click.command()
@click.argument("ledgers", metavar="LEDGER...", nargs=-1, required=True)
@click.argument("question", metavar="URL|HOST|ID")
@click.option("--host", "by_host", is_flag=True, help="The last argument is a host, though it has no dot.")
@click.option("--all", "in_full", is_flag=True, help="Tell every run in full, not only the newest.")
@click.option(
    "--latest",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Decisions of a host that are listed.",
)
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder that the crawls' origin files are kept in.  [default: the user's cache folder]",
)
@_json
def explain(
    ledgers: tuple[str, ...],
    question: str,
    by_host: bool,  # noqa: FBT001
    in_full: bool,  # noqa: FBT001
    latest: int,
    cache: Path | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Tell all that is known of a URL, of a decision by its id, or of a host.

    A LEDGER is a folder, a file, or a URL that fsspec understands. What was said is shown in its context
    where the file that it stood in is still kept. Nothing is fetched. Exit code 1: nothing is known.
    """
    host = host_of(question, certain=by_host)
    if by_host and host is None:
        raise click.UsageError(f"{printable(question)!r} is not a host.")
    lines = Lines(*ledgers)
    if host is not None:
        found = _explain_host(lines, host, latest, as_json=as_json)
    else:
        found = _explain_url(lines, question, cache, in_full=in_full, as_json=as_json)
    _tell_faults(lines)
    if not found:
        sys.exit(NOT_FOUND)


def _explain_host(lines: Lines, host: Address, latest: int, *, as_json: bool) -> bool:
    summary = summarise(lines, host, latest)
    if as_json:
        click.echo(json.dumps(_with_faults(lines, {"found": bool(summary.decisions), **summary.as_dict()})))
    elif summary.decisions:
        _print(show.of_host(summary))
    else:
        _print(show.not_found(summary.name, Near(), lines.count))
    return bool(summary.decisions)


def _explain_url(lines: Lines, question: str, cache: Path | None, *, in_full: bool, as_json: bool) -> bool:
    found = stories(lines, question)
    if not found:
        near = nearest(lines, question)
        if as_json:
            click.echo(json.dumps(_with_faults(lines, {"found": False, **near._asdict()})))
        else:
            _print(show.not_found(question, near, lines.count))
        return False
    full = found if in_full else found[:1]
    others = found[len(full) :]
    with _snapshots(cache) as snapshots:
        if as_json:
            told = {
                "found": True,
                "stories": [show.story_dict(story, snapshots) for story in full],
                "others": [story.decisions[-1].as_dict() for story in others],
            }
            click.echo(json.dumps(_with_faults(lines, told)))
        else:
            for story in full:
                _print(show.told(story, snapshots))
            _print(show.in_short(others, full[-1].first))
    return True


@contextmanager
def _snapshots(folder: Path | None) -> Iterator[Callable[[str], bytes | None]]:
    """Gives origin files by their hash. A cache that is not there is not made."""
    place = cache_folder(folder)
    if not place.is_dir():
        yield lambda _: None
        return
    cache = OriginCache(place, now=time.time)

    @lru_cache(maxsize=64)
    def snapshot(sha256: str) -> bytes | None:
        try:
            return cache.snapshot(sha256)
        except ValueError:
            return None

    try:
        yield snapshot
    finally:
        cache.close()


# -- retry -----------------------------------------------------------------------------------------------


@click.command()
@click.argument("ledgers", metavar="LEDGER...", nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file for the URLs; CSV with the column url if it ends with .csv.  [default: stdout]",
)
@click.option("--failed", is_flag=True, help="Those that could not be fetched as well.")
@click.option(
    "--reason",
    "reasons",
    multiple=True,
    type=click.Choice([each.value for each in Reason]),
    metavar="REASON",
    help="Of those deferred, only these; may be given several times.",
)
@_json
def retry(
    ledgers: tuple[str, ...],
    out: Path | None,
    failed: bool,  # noqa: FBT001
    reasons: tuple[str, ...],
    as_json: bool,  # noqa: FBT001
) -> None:
    """List the deferred URLs as the input of a later run.

    Each URL stands as it was first asked for, once, unless a later decision has settled it: a store that
    was recorded, a skip, or a failure.
    """
    lines = Lines(*ledgers)
    found = leftovers(lines, failed=failed, reasons=[Reason(reason) for reason in reasons])
    urls = [each for each in found if each.writable]
    as_csv = out is not None and out.suffix.lower() == ".csv"
    if out is not None:
        text = _csv(urls) if as_csv else "".join(f"{each.url}\n" for each in urls)
        try:
            out.write_text(text, encoding="utf-8", newline="")
        except OSError as error:
            raise ConfigurationError(f"{out} cannot be written: {error.strerror}.") from error
    if as_json:
        left_out = len(found) - len(urls)
        told = {"urls": [each.as_dict() for each in urls], "left_out": left_out}
        click.echo(json.dumps(_with_faults(lines, told)))
    elif out is None:
        for each in urls:
            click.echo(each.url)
    _tell(urls, len(found) - len(urls), as_csv=as_csv)
    _tell_faults(lines)


def _csv(urls: Iterable[Leftover]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["url"])
    writer.writerows([each.url] for each in urls)
    return text.getvalue()


def _tell(urls: Sequence[Leftover], left_out: int, *, as_csv: bool) -> None:
    """What a person should know of the list, on stderr."""
    click.echo(f"{len(urls):,} URL{'' if len(urls) == 1 else 's'} to ask for again", err=True)
    if left_out:
        click.echo(f"{left_out:,} left out: control characters or spaces in them", err=True)
    awkward = 0 if as_csv else sum(not _AWKWARD.isdisjoint(each.url) for each in urls)
    if awkward:
        click.echo(
            f"{awkward:,} hold a comma or a quotation mark: img2dataset reads such from a .csv file only",
            err=True,
        )


# -- both ------------------------------------------------------------------------------------------------


def _print(renderables: Iterable[RenderableType]) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    for each in renderables:
        console.print(each)


def _with_faults(lines: Lines, told: dict[str, Any]) -> dict[str, Any]:
    return told | {"faults": [str(fault) for fault in lines.faults]}


def _tell_faults(lines: Lines) -> None:
    faults = lines.faults
    for fault in faults[:FAULTS_SHOWN]:
        click.echo(f"Passed over: {printable(str(fault))}", err=True)
    if len(faults) > FAULTS_SHOWN:
        click.echo(f"Passed over: {len(faults) - FAULTS_SHOWN:,} more lines that are no records", err=True)
