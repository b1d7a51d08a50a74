"""`heedful check`: a live verdict on URLs. What is fetched for it is thrown away."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError
from urllib.request import build_opener

import click
from rich.console import Console
from rich.text import Text

from heedful.configuration import Configuration
from heedful.enforcer import Enforcer, Hop
from heedful.errors import OptedOut
from heedful.model import Action, Verdict, printable
from heedful.urllib import Handler

if TYPE_CHECKING:
    from collections.abc import Iterable

    from heedful.model import Statement

TIMEOUT: Final = 30.0
"""Seconds that a picture's server may be silent."""

EXIT: Final = {Action.SKIP: 1, Action.DEFER: 3, Action.FAILED: 3, Action.STORE: 0}
"""The exit code, of which 1 comes before 3, and 3 before 0. What cannot be fetched is in doubt."""

_STYLES: Final = {
    Action.STORE: "bold green",
    Action.SKIP: "bold red",
    Action.DEFER: "bold yellow",
    Action.FAILED: "bold dim",
}


@dataclass(frozen=True, slots=True)
class Checked:
    """What came out for a URL: a verdict, or why there is none."""

    url: str
    action: Action
    verdict: Verdict | None
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The form that is printed as JSON."""
        if self.verdict is None:
            return {"url": self.url, "action": self.action.value, "error": self.error}
        return {"asked": self.url, **self.verdict.as_dict()}


class _Checker(Enforcer):
    """Keeps the last word of each URL instead of recording it."""

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(configuration, crawler="heedful", recording=False)
        self.said: dict[str, tuple[Action, Verdict | None, str | None]] = {}

    def record(
        self, hop: Hop, action: Action, verdict: Verdict | None = None, *, error: str | None = None, **_: Any
    ) -> None:
        self.said[hop.first] = action, verdict, error


@click.command()
@click.argument("urls", metavar="URL...", nargs=-1, required=True)
@click.option("--token", envvar="HEEDFUL_TOKEN", help="Your product token, such as PictureBot.")
@click.option("--contact", envvar="HEEDFUL_CONTACT", help="URL or address for the User-Agent.")
@click.option("--policy", default="standard", show_default=True, help="A profile's name or a TOML file.")
@click.option("--registry", "registries", multiple=True, help="A built registry; may be given several times.")
@click.option("--page", help="The page on which the pictures were found.")
@click.option("--cache", help="Folder of what a machine's crawls share.  [default: the user's cache folder]")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each URL.")
def check(urls: tuple[str, ...], page: str | None, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Ask the web what is to be done with pictures, and on whose word.

    Exit code 0: all may be stored; 1: one is opted out; 3: of one it cannot be determined.
    """
    configuration = Configuration.check(
        **options,
        ledger=None,
        now=time.time(),
        called=lambda name: "--registry" if name == "registries" else f"--{name}",
    )
    console = Console()
    actions = set()
    with _Checker(configuration) as checker:
        for checked in _checked(checker, urls, page):
            actions.add(checked.action)
            if as_json:
                click.echo(json.dumps(checked.as_dict()))
            else:
                _show(console, checked)
    codes = {EXIT[action] for action in actions}
    sys.exit(1 if 1 in codes else max(codes))


def _checked(checker: _Checker, urls: Iterable[str], page: str | None) -> Iterable[Checked]:
    doubts: dict[str, Verdict] = {}

    def start(url: str) -> Hop:
        hop = Hop.start(url)
        if page is not None and (doubt := checker.look_at_page(hop, page)) is not None:
            doubts[url] = doubt
        return hop

    opener = build_opener(Handler.of(checker, start))
    for url in urls:
        try:
            with opener.open(url, timeout=TIMEOUT) as response:
                response.read()
        except OptedOut as refused:
            yield Checked(url, refused.verdict.action, refused.verdict)
            continue
        except HTTPError as error:
            error.close()
        except (OSError, HTTPException, ValueError) as error:
            checker.said.setdefault(url, (Action.FAILED, None, str(error)))
        action, verdict, error_words = checker.said[url]
        if action is Action.STORE and url in doubts:
            action, verdict = doubts[url].action, doubts[url]
        yield Checked(url, action, verdict, error_words)


def _show(console: Console, checked: Checked) -> None:
    verdict = checked.verdict
    line = Text(f"{checked.action.value.upper():7}", _STYLES[checked.action])
    line.append(printable(checked.url), "not bold")
    console.print(line, soft_wrap=True)
    if verdict is None:
        console.print(Text(f"  {printable(checked.error or '')}"), soft_wrap=True)
        return
    if verdict.url != checked.url:
        console.print(Text(f"  which leads to {printable(verdict.url)}"), soft_wrap=True)
    for heading, statements in (("", verdict.evidence), ("overruled: ", verdict.overridden)):
        for statement in statements:
            console.print(Text("  " + heading + _words(statement)), soft_wrap=True)
    for warning in verdict.warnings:
        words = f"  malformed, {warning.signal.value}: {warning.message}, {warning.evidence.where}"
        console.print(Text(printable(words), "dim"), soft_wrap=True)
    if not verdict.evidence:
        files = len(verdict.snapshots)
        console.print(
            Text(f"  nobody said anything: {files} origin files, headers and bytes were read", "dim")
        )


def _words(statement: Statement) -> str:
    at = statement.evidence
    return printable(
        f"{statement.signal.value}: {statement.rule} ({statement.preference.value}, "
        f"{statement.strength.value}), {at.where} of {at.source_url}"
    )
