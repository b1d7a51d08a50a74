"""`heedful img2dataset`: our options, `--`, then img2dataset's own, checked before anything runs."""

from __future__ import annotations

import functools
import inspect
import io
import json
import os
import sys
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.table import Table

from heedful.errors import ConfigurationError
from heedful.img2dataset._download import OPTIONS, UnfinishedError, download, img2dataset_main
from heedful.img2dataset._shard import quiet_albumentations
from heedful.model import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from heedful.img2dataset._results import Summary

_HELP: Final = ("-h", "--help")


def _meaning(name: str) -> str:
    return OPTIONS[name][1].replace("`", "")


class _Command(click.Command):
    """Says where options belong that are not ours."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise click.UsageError(
                f"No such option: {error.option_name}. If it is img2dataset's, it goes behind --: "
                f"heedful img2dataset ... -- {error.option_name}",
                ctx,
            ) from error


@click.command(
    "img2dataset",
    cls=_Command,
    epilog="What stands behind -- is img2dataset's: heedful img2dataset --token PictureBot -- "
    "--url_list urls.txt --output_folder pictures. Its own help: heedful img2dataset -- --help. "
    "Exit codes: 0 although pictures were skipped; 1 if shards are not done; 2 if the options are wrong.",
)
@click.option("--token", envvar="HEEDFUL_TOKEN", help=_meaning("token"))
@click.option("--contact", envvar="HEEDFUL_CONTACT", help=_meaning("contact"))
@click.option("--policy", default="standard", show_default=True, help=_meaning("policy"))
@click.option("--registry", "registries", multiple=True, help="A built registry; may be given several times.")
@click.option("--ledger", help="Ledger folder or URL.  [default: _heedful/ledger in the output folder]")
@click.option(
    "--ledger-stores",
    type=click.Choice(["record", "count"]),
    default="record",
    show_default=True,
    help="Whether stored pictures are recorded or only counted.",
)
@click.option("--cache", help="Folder of what a machine's crawls share.  [default: the user's cache folder]")
@click.option("--page-col", help=_meaning("page_col"))
@click.option("--tag", is_flag=True, help=_meaning("tag"))
@click.option("--audit", is_flag=True, help="Judge and record, but skip nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; all else goes to stderr.")
@click.argument("args", nargs=-1, type=click.UNPROCESSED, metavar="-- ARGS...")
def img2dataset(args: tuple[str, ...], as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Download a list of URLs with img2dataset, but nothing whose owner opted out."""
    given = _parsed(args)
    own = {f"heedful_{name}": value for name, value in options.items()}
    faults: Sequence[str] = ()
    try:
        with _stdout_to_stderr() if as_json else nullcontext():
            summary = download(**given, **own)
    except UnfinishedError as error:
        summary, faults = error.summary, str(error).splitlines()
    except ConfigurationError as error:
        raise ConfigurationError(*(_as_flags(fault) for fault in error.faults)) from error
    if as_json:
        click.echo(json.dumps(summary.as_dict() | {"faults": list(faults)}))
    else:
        _show(summary)
    for fault in faults:
        click.echo(f"Error: {printable(fault)}", err=True)
    if faults:
        sys.exit(1)


def _parsed(args: Sequence[str]) -> dict[str, Any]:
    """img2dataset's arguments, as it would read them itself.

    Raises:
        ConfigurationError: it has no such argument, or lacks one.
    """
    with quiet_albumentations():
        function = img2dataset_main().download
    import fire  # noqa: PLC0415 - img2dataset brings it

    got: dict[str, Any] = {}

    @functools.wraps(function)
    def take(*positional: Any, **named: Any) -> None:
        got.update(inspect.signature(function).bind(*positional, **named).arguments)

    said = io.StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(said):
            fire.Fire(take, command=list(args), name="img2dataset")
    except fire.core.FireExit as stop:
        if stop.code == 0 or any(arg in _HELP for arg in args):
            lines = said.getvalue().splitlines()
            click.echo("\n".join(line for line in lines if not line.startswith("INFO: ")).strip())
            sys.exit(0)
        raise ConfigurationError(_fault(function, args, said.getvalue())) from None
    return got


def _fault(function: Any, args: Sequence[str], said: str) -> str:
    """What is wrong with img2dataset's arguments, in a sentence."""
    known = list(inspect.signature(function).parameters)
    for arg in args:
        name = arg.lstrip("-").partition("=")[0].replace("-", "_")
        if arg.startswith("--") and name not in known and not name.startswith("no"):
            close = get_close_matches(name, known, n=1)
            hint = f" Did you mean --{close[0]}?" if close else ""
            return f"img2dataset has no argument {arg.partition('=')[0]}.{hint}"
    lines = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: ")]
    return f"img2dataset: {lines[0] if lines else 'its arguments are wrong'}"


def _as_flags(fault: str) -> str:
    """A fault of `download`, in the words of the command line."""
    for name in OPTIONS:
        flag = "--registry" if name == "registries" else "--" + name.replace("_", "-")
        fault = fault.replace(f"heedful_{name} ", f"{flag} ").replace(f"heedful_{name}:", f"{flag}:")
    return fault


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Let what img2dataset and its processes print go to stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _show(summary: Summary) -> None:
    table = Table(title="Pictures", title_justify="left")
    table.add_column("")
    table.add_column("count", justify="right")
    table.add_row("rows in this run", f"{summary.count:,}", style="bold")
    table.add_row("stored", f"{summary.stored:,}", style="green")
    table.add_row("skipped", f"{summary.skipped:,}", style="red")
    table.add_row("deferred", f"{summary.deferred:,}", style="yellow")
    for reason, count in summary.reasons.items():
        table.add_row(f"  {reason}", f"{count:,}", style="dim")
    table.add_row("failed", f"{summary.failed:,}")
    console = Console()
    console.print(table)
    console.print("ledger ", end="", style="dim")
    console.print(printable(summary.ledger), highlight=False, soft_wrap=True)
