"""`heedful registry`: builds registries from lists, changes them, and asks them."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import json
import os
import re
import sys
import time
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from heedful import fingerprint
from heedful.errors import ConfigurationError
from heedful.fingerprint import Fingerprint
from heedful.model import Purpose, isotime, printable
from heedful.registry import _manifest as manifests
from heedful.registry._fingerprints import Radii
from heedful.registry._registry import Registry
from heedful.registry._verifying import Verifier
from heedful.registry._writer import Writer, merge
from heedful.registry.entries import Kind, Match, decide
from heedful.registry.sources import (
    Defaults,
    Format,
    Reject,
    Terms,
    Urls,
    export,
    fingerprint_text,
    list_name,
    open_source,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from heedful.registry._manifest import Manifest
    from heedful.registry.entries import Entry

REJECTS_SHOWN: Final = 5
"""Rejects that are shown; `--rejects` gets all."""

OPTED_OUT: Final = 1
"""Exit code of `lookup` where anything is opted out, as that of `heedful check`."""

_DIGEST_DIGITS: Final = {32: Kind.MD5, 64: Kind.SHA256}
_HEX: Final = re.compile(r"[0-9A-Fa-f]+")
_FINGERPRINT: Final = re.compile(r"(?:0[xX])?[0-9A-Fa-f]{16}(?::(?:0[xX])?[0-9A-Fa-f]{64})?(?: |$)")

_folder = click.argument("folder", metavar="REGISTRY", type=click.Path(file_okay=False, path_type=Path))
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
_sign_key = click.option(
    "--sign-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A private key (Ed25519; PEM or 32 octets) by which the registry is signed.",
)
_day = click.DateTime(["%Y-%m-%d"])


@click.group()
def registry() -> None:
    """Build registries of opt-outs from lists, change them, and ask them."""


# -- from lists ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Tally:
    """What was read.

    Attributes:
        read: entries and rejects by the name of their file.
        formats: the format of each file.
        rejected: how many are no entries.
        first: the first of these, each with its file.
    """

    rejects: Any = None
    read: Counter[str] = field(default_factory=Counter)
    formats: dict[str, str] = field(default_factory=dict)
    rejected: int = 0
    first: list[tuple[str, Reject]] = field(default_factory=list)

    def reject(self, name: str, found: Reject) -> None:
        self.read[name] += 1
        self.rejected += 1
        if len(self.first) < REJECTS_SHOWN:
            self.first.append((name, found))
        if self.rejects is not None:
            self.rejects.writerow((name, found.line, found.why, found.text))

    def check(self, most: str) -> None:
        """Raise a ConfigurationError if too much was rejected."""
        total = self.read.total()
        limit = total * float(most[:-1]) / 100 if most.endswith("%") else int(most)
        if self.rejected > limit:
            raise ConfigurationError(
                f"{self.rejected:,} of {total:,} lines are no entries, more than --max-rejects {most}: "
                "nothing was changed.",
                *(_told(name, found) for name, found in self.first),
            )


def _told(name: str, found: Reject) -> str:
    return f"{name}:{found.line}: {found.why}: {found.text}"


def _limit(_: click.Context, __: click.Parameter, value: str) -> str:
    try:
        number = float(value[:-1]) if value.endswith("%") else int(value)
    except ValueError:
        number = -1
    if number < 0:
        raise click.BadParameter("give a number of lines, or a part of them such as 1%.")
    return value


def _list_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(
        (
            _folder,
            click.argument("sources", metavar="SOURCE...", nargs=-1, required=True),
            click.option(
                "--format",
                "form",
                type=click.Choice([each.value for each in Format]),
                help="The format of the sources.  [default: told from each file's content]",
            ),
            click.option("--list", "name", help="The name of the list.  [default: the file's]"),
            click.option("--opt-in", is_flag=True, help="The owners agree; else they decline."),
            click.option(
                "--kind",
                type=click.Choice([each.value for each in Kind]),
                help="What bare lines name, or what of pictures is taken.  [default: told from the content]",
            ),
            click.option("--date", "registered", type=_day, help="When the wishes were registered."),
            click.option(
                "--purpose",
                type=click.Choice([each.value for each in Purpose]),
                default=Purpose.TRAIN_ANY.value,
                show_default=True,
                help="The use that they are about.",
            ),
            click.option("--expires", type=_day, help="The last day (UTC) on which they are in force."),
            click.option(
                "--rejects", type=click.Path(dir_okay=False), help="A CSV file for what is no entry."
            ),
            click.option(
                "--max-rejects",
                default="1%",
                show_default=True,
                callback=_limit,
                help="With more that are no entries, nothing is changed: a number of lines, or a part.",
            ),
            _sign_key,
            _json,
        )
    ):
        command = option(command)
    return command


def _radii(_: click.Context, __: click.Parameter, value: str | None) -> Radii | None:
    if value is None:
        return None
    try:
        return Radii(*map(int, value.split(","))).checked()
    except (ValueError, TypeError) as error:
        raise click.BadParameter(f"give up to three numbers, such as 6,48,2 ({error}).") from error


def _valid_until(command: Callable[..., None]) -> Callable[..., None]:
    return click.option("--valid-until", type=_day, help="The last day (UTC) on which the registry is good.")(
        command
    )


@registry.command()
@_valid_until
@click.option(
    "--radii",
    metavar="SMALL,LARGE,LONE",
    callback=_radii,
    help="Within how many bits a fingerprint is found: of 64, and of 256; of 64 where there are no more."
    f"  [default: {','.join(map(str, Radii()))}]",
)
@_list_options
def build(
    folder: Path,
    sources: tuple[str, ...],
    valid_until: dt.datetime | None,
    radii: Radii | None,
    **options: Any,
) -> None:
    """Make REGISTRY from lists, or replace what it holds.

    A SOURCE is a list or a picture: a file, a folder, a wildcard, a URL that fsspec understands; or - for
    standard input. Of pictures, their sha256 and their fingerprints are taken, or what --kind says.
    """
    writer = Writer.build(
        folder,
        source=", ".join(sources),
        valid_until=_end_of(valid_until),
        key=options["sign_key"],
        radii=radii,
    )
    _change(writer, folder, sources, options, "Building")


@registry.command()
@_valid_until
@_list_options
def add(folder: Path, sources: tuple[str, ...], valid_until: dt.datetime | None, **options: Any) -> None:
    """Add lists to REGISTRY, as its next version."""
    writer = Writer.update(
        folder, source=", ".join(sources), valid_until=_end_of(valid_until), key=options["sign_key"]
    )
    _change(writer, folder, sources, options, "Adding")


@registry.command()
@_list_options
def withdraw(folder: Path, sources: tuple[str, ...], **options: Any) -> None:
    """Take the entries of lists back from REGISTRY, as its next version.

    An entry takes back all that earlier versions hold of the same list, kind and key, opt-out or opt-in.
    """
    writer = Writer.update(folder, key=options["sign_key"])
    _change(writer, folder, sources, options, "Withdrawing", withdraw=True)


def _end_of(day: dt.datetime | None) -> float | None:
    return None if day is None else (day.replace(tzinfo=dt.timezone.utc) + dt.timedelta(days=1)).timestamp()


def _change(
    writer: Writer,
    folder: Path,
    sources: tuple[str, ...],
    options: dict[str, Any],
    words: str,
    *,
    withdraw: bool = False,
) -> None:
    begin = time.monotonic()
    tally = _Tally()
    with ExitStack() as stack:
        if options["rejects"]:
            try:
                file = stack.enter_context(Path(options["rejects"]).open("w", encoding="utf-8", newline=""))
            except OSError as error:
                raise ConfigurationError(
                    f"{options['rejects']} cannot be written: {error.strerror}."
                ) from error
            tally.rejects = csv.writer(file)
            tally.rejects.writerow(("source", "line", "why", "text"))
        stack.enter_context(writer)
        bars = stack.enter_context(_bars("{task.fields[words]}"))
        for source in sources:
            _read(source, writer, options, tally, bars, words, withdraw=withdraw)
        tally.check(options["max_rejects"])
    summary = writer.summary
    told: dict[str, Any] = {
        "registry": str(folder),
        "version": writer.manifest.version,
        "taken": summary.entries,
        "withdrawn": summary.withdrawals,
        "duplicates": summary.duplicates,
        "rejected": tally.rejected,
        "kinds": {kind.value: count for kind, count in summary.kinds.items() if count},
        "files": [
            {"name": name, "format": form, "lines": tally.read[name]} for name, form in tally.formats.items()
        ],
        "bytes": _size(writer.manifest),
        "seconds": round(time.monotonic() - begin, 3),
    }
    if options["as_json"]:
        click.echo(json.dumps(told))
        return
    table = Table(title=f"{escape(printable(str(folder)))}, version {told['version']}", title_justify="left")
    table.add_column("")
    table.add_column("entries", justify="right")
    for name, form in tally.formats.items():
        table.add_row(f"read from {escape(printable(name))} ({form})", f"{tally.read[name]:,}")
    table.add_section()
    for key in ("withdrawn",) if withdraw else ("taken",):
        table.add_row(key, f"{told[key]:,}", style="bold green")
    for kind, count in told["kinds"].items():
        table.add_row(f"  {kind}", f"{count:,}", style="dim green")
    table.add_row("duplicates", f"{summary.duplicates:,}")
    table.add_row("rejected", f"{tally.rejected:,}", style="red" if tally.rejected else "")
    table.add_section()
    table.add_row("on disk", decimal(told["bytes"]))
    Console().print(table)
    for name, found in tally.first:
        click.echo(printable(f"rejected {_told(name, found)}"), err=True)
    if tally.rejected > len(tally.first):
        click.echo(f"... and {tally.rejected - len(tally.first):,} more: see --rejects", err=True)


def _read(
    source: str,
    writer: Writer,
    options: dict[str, Any],
    tally: _Tally,
    bars: Progress,
    words: str,
    *,
    withdraw: bool,
) -> None:
    terms = Terms(
        list_name(source) if options["name"] is None else options["name"],
        options["opt_in"],
        options["registered"] and options["registered"].date(),
        Purpose(options["purpose"]),
        options["expires"] and options["expires"].date(),
    )
    defaults = Defaults(terms, options["kind"] and Kind(options["kind"]))
    for opened in open_source(source, format=options["form"], defaults=defaults):
        with closing(opened):
            tally.formats[opened.name] = opened.format.value
            task = bars.add_task(f"{words} {printable(opened.name)}", total=opened.size, words="")
            for item in opened:
                _take(item, opened.name, writer, tally, withdraw=withdraw)
                bars.update(task, completed=opened.position, words=f"{tally.read[opened.name]:,} lines")
            bars.update(task, completed=opened.size)


def _take(item: Entry | Reject | Urls, name: str, writer: Writer, tally: _Tally, *, withdraw: bool) -> None:
    if isinstance(item, Reject):
        tally.reject(name, item)
        return
    if isinstance(item, Urls) and not withdraw:
        writer.add_urls(item.texts, **item.terms._asdict())
        tally.read[name] += len(item.texts)
        return
    for entry in item.entries() if isinstance(item, Urls) else (item,):
        try:
            (writer.withdraw if withdraw else writer.add)(entry)
        except ValueError as error:  # too long to be stored
            tally.reject(name, Reject(0, entry.text[:200], str(error)))
        else:
            tally.read[name] += 1


def _bars(words: str) -> Progress:
    """A progress bar on the error stream, if that is a terminal."""
    console = Console(stderr=True)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn(words),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


@registry.command("merge")
@_folder
@_sign_key
@_json
def merge_(folder: Path, sign_key: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """Make one part of all that was built and added, without what was taken back."""
    with _bars("entries") as bars:
        task = bars.add_task("Merging", total=None)
        manifest = merge(
            folder, key=sign_key, progress=lambda read, total: bars.update(task, completed=read, total=total)
        )
    if as_json:
        told = {"registry": str(folder), "version": manifest.version, "entries": manifest.entries}
        click.echo(json.dumps(told | {"bytes": _size(manifest)}))
    else:
        words = f"version {manifest.version}, {manifest.entries:,} entries, {decimal(_size(manifest))}"
        click.echo(f"{printable(str(folder))}: {words}")


# -- questions -------------------------------------------------------------------------------------------


def _size(manifest: Manifest) -> int:
    return sum(file.size for part in manifest.parts for file in part.files.values())


@registry.command()
@_folder
@_json
def info(folder: Path, as_json: bool) -> None:  # noqa: FBT001
    """Say what REGISTRY consists of; its files are not read."""
    manifest, _ = manifests.read(folder)
    told: dict[str, Any] = {
        "registry": str(folder),
        "version": manifest.version,
        "created": isotime(manifest.created),
        "valid_until": None if manifest.valid_until is None else isotime(manifest.valid_until),
        "signed": manifest.signature is not None,
        "checksum": manifest.checksum,
        "source": manifest.source,
        "entries": manifest.entries,
        "kinds": {kind.value: count for kind, count in manifest.kinds.items()},
        "lists": list(manifest.lists),
        "radii": None if manifest.radii is None else manifest.radii._asdict(),
        "bytes": _size(manifest),
        "segments": [
            {"name": part.name, "entries": part.entries, "withdrawals": part.withdrawals}
            for part in manifest.parts
        ],
    }
    if as_json:
        click.echo(json.dumps(told))
        return
    table = Table(title=escape(printable(str(folder))), title_justify="left", show_header=False)
    table.add_column("", style="dim")
    table.add_column("")
    for key in ("version", "created", "valid_until", "signed", "checksum", "source"):
        value = told[key]
        words = "for ever" if value is None else ("no", "yes")[value] if isinstance(value, bool) else value
        table.add_row(key.replace("_", " "), escape(printable(str(words))))
    table.add_row("lists", escape(printable(", ".join(told["lists"]))))
    table.add_row("entries", f"{manifest.entries:,}")
    for kind, count in told["kinds"].items():
        table.add_row(f"  {kind}", f"{count:,}")
    if manifest.radii is not None:
        small, large, lone = manifest.radii
        table.add_row("radii", f"{small} of 64 bits, {large} of 256; {lone} of 64 where there are no more")
    for part in manifest.parts:
        taken = f", {part.withdrawals:,} taken back" if part.withdrawals else ""
        table.add_row("segment", f"{part.name}: {part.entries:,} entries{taken}")
    table.add_row("on disk", decimal(told["bytes"]))
    Console().print(table)


@registry.command()
@_folder
@click.argument("questions", metavar="QUESTION...", nargs=-1, required=True)
@click.option(
    "--purpose",
    type=click.Choice([each.value for each in Purpose]),
    default=Purpose.TRAIN_ANY.value,
    show_default=True,
    help="The use.",
)
@_json
def lookup(folder: Path, questions: tuple[str, ...], purpose: str, as_json: bool) -> None:  # noqa: FBT001
    """Look things up: what decides, and what was tried.

    A QUESTION is a URL, a file of this machine, a sha256 or md5 in hexadecimal, or a fingerprint, as entries
    have it. Exit code 1: one of them is opted out.
    """
    now = time.time()
    with _opened(folder, now) as found:
        answers = [_answer(found, question, Purpose(purpose), now) for question in questions]
    for answer in answers:
        if as_json:
            click.echo(json.dumps(answer))
        else:
            _print(answer)
    if any(answer["decision"] == "opted out" for answer in answers):
        sys.exit(OPTED_OUT)


def _opened(folder: Path, now: float) -> Registry:
    with _bars("") as bars:
        bars.add_task("Verifying", total=None)
        return Registry.open(folder, now=now)


class _Found(NamedTuple):
    """What was found, and pairs of what was tried and the key in words."""

    matches: list[Match]
    tried: list[tuple[str, str]]


def _asked(found: Registry, question: str) -> _Found:
    """What there is about a question, whatever it is."""
    if os.path.isfile(question):  # noqa: PTH113 - Path.is_file raises for what is too long for a name
        return _asked_of_file(found, Path(question))
    kind = _DIGEST_DIGITS.get(len(question))
    if kind is not None and _HEX.fullmatch(question):
        digest = bytes.fromhex(question)
        return _Found(found.lookup_digests(**{kind.value: digest}), [(kind.value, digest.hex())])
    if _FINGERPRINT.match(question):
        try:
            return _asked_alike(found, Fingerprint.parse(fingerprint_text(question).partition(" ")[0]))
        except ValueError as error:
            raise ConfigurationError(f"{question} cannot be looked up: {error}.") from error
    return _Found(found.lookup(question), found.tried(question))


def _asked_alike(found: Registry, asked: Fingerprint) -> _Found:
    return _Found(found.lookup_fingerprint(asked), [(Kind.PHASH.value, str(asked))])


def _asked_of_file(found: Registry, path: Path) -> _Found:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    sha256, md5 = hashlib.sha256(data), hashlib.md5(data, usedforsecurity=False)
    matches = found.lookup_digests(sha256.digest(), md5.digest())
    tried = [("sha256", sha256.hexdigest()), ("md5", md5.hexdigest())]
    if found.has_fingerprints:
        fingerprint.require()
        try:
            views = fingerprint.views(data)
        except fingerprint.Undecodable as error:
            raise ConfigurationError(f"{path} cannot be decoded: {error}.") from error
        if not views:
            tried.append((Kind.PHASH.value, "none: it is flat or regular, or no picture made of pixels"))
        for alike in [_asked_alike(found, view) for view in views]:
            known = {match.entry for match in matches}
            matches += [match for match in alike.matches if match.entry not in known]
            tried += alike.tried
    return _Found(matches, tried)


def _answer(found: Registry, question: str, purpose: Purpose, now: float) -> dict[str, Any]:
    matches, tried = _asked(found, question)
    decisions = decide([match for match in matches if not _only_alike(match)], purpose, now)
    decisive = {id(match) for decision in decisions for match in decision.decisive}
    out = any(not decision.opt_in for decision in decisions)
    return {
        "question": question,
        "decision": "opted out" if out else "opted in" if decisions else "not listed",
        "registry": found.name,
        "version": found.version,
        "matches": [
            {
                **match.entry.as_dict(),
                **({} if match.distance is None else {"distance": match.distance._asdict()}),
                "says": _says(match, decisive, now, purpose),
            }
            for match in matches
        ],
        "tried": [{"kind": kind, "key": key} for kind, key in tried],
    }


def _only_alike(match: Match) -> bool:
    """Whether it is an opt-in of a picture that looks alike, which agrees to nothing."""
    return match.entry.opt_in and match.distance is not None


def _says(match: Match, decisive: set[int], now: float, purpose: Purpose) -> str:
    if id(match) in decisive:
        return "decides for its list"
    if not match.entry.in_force(now):
        return "has expired"
    if not match.entry.applies_to(purpose):
        return "is about another use"
    if _only_alike(match):
        return "is of a picture that looks alike, which agrees to nothing"
    return "is overruled by a more specific entry of its list"


def _print(answer: dict[str, Any]) -> None:
    colour = {"opted out": "red", "opted in": "green"}.get(answer["decision"], "dim")
    console = Console()
    console.print(
        f"[{colour}]{answer['decision']}[/]  {escape(printable(answer['question']))}",
        highlight=False,
        soft_wrap=True,
    )
    for match in answer["matches"]:
        dates = "".join(f", {key} {match[key]}" for key in ("date", "expires") if match[key])
        words = f"{'opt-in' if match['opt_in'] else 'opt-out'} {match['kind']} {match['entry']}"
        if "distance" in match:
            small, large = match["distance"].values()
            words += f", distance {small} of 64" + ("" if large is None else f" and {large} of 256")
        line = f"  {words} (list {match['list']}{dates}, {match['purpose']}) {match['says']}"
        console.print(escape(printable(line)), highlight=False, soft_wrap=True)
    tried = "; ".join(f"{each['kind']} {each['key']}" for each in answer["tried"])
    console.print(f"  [dim]tried {escape(printable(tried))}[/]", highlight=False, soft_wrap=True)


@registry.command()
@_folder
@click.option(
    "--public-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The key by which it must be signed.",
)
@_json
def verify(folder: Path, public_key: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """Take all checksums of REGISTRY anew, and check its signature."""
    begin = time.monotonic()
    with _bars("") as bars:
        bars.add_task("Verifying", total=None)
        with Registry.open(folder, now=time.time(), verify=False, key=public_key) as found:
            manifest = found.manifest
            Verifier(found.folder, private=public_key is not None).check(manifest, anew=True)
            read = sum(1 for _ in found.entries())
    told = {
        "registry": str(folder),
        "version": manifest.version,
        "bytes": _size(manifest),
        "entries": read,
        "signed": "by the key given" if public_key else "not checked" if manifest.signature else "no",
        "seconds": round(time.monotonic() - begin, 3),
    }
    if as_json:
        click.echo(json.dumps(told))
    else:
        size, signed = decimal(_size(manifest)), told["signed"]
        words = f"version {manifest.version}, {read:,} entries in force, {size}, signed: {signed}"
        click.echo(f"{printable(str(folder))} is whole: {words}")


@registry.command("export")
@_folder
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--surt",
    is_flag=True,
    help="Sort by SURT keys, in a column of their own, to join with Common Crawl's indexes.",
)
@_json
def export_(folder: Path, out: Path, surt: bool, as_json: bool) -> None:  # noqa: FBT001
    """Write the entries that are in force to OUT, a .csv or .parquet file that `build` reads again."""
    with _opened(folder, time.time()) as found, _bars("entries") as bars:
        task = bars.add_task("Exporting", total=found.manifest.entries)
        count = export(_counted(found.entries(), bars, task), out, by_surt=surt)
    if as_json:
        click.echo(json.dumps({"registry": str(folder), "out": str(out), "entries": count}))
    else:
        click.echo(f"{printable(str(out))}: {count:,} entries")


def _counted(entries: Iterator[Entry], bars: Progress, task: Any) -> Iterator[Entry]:
    for count, entry in enumerate(entries, 1):
        if count % 4096 == 0:
            bars.update(task, completed=count)
        yield entry
