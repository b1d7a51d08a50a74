"""The report on a terminal: tables that a person reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from heedful.model import Action, printable
from heedful.report._words import DONE, sentence, share

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import RenderableType

    from heedful.report.totals import Counts, Totals

COLOURS: Final = {
    Action.SKIP: "red",
    Action.DEFER: "yellow",
    Action.STORE: "green",
    Action.FAILED: "bright_black",
}

FAULTS_SHOWN: Final = 10
"""Lines that are no records that are named; `--json` names all."""


def rendered(totals: Totals, top: int) -> Group:
    """The whole report.

    Args:
        totals: the figures.
        top: most rows of a table.
    """
    parts: list[RenderableType] = [Text(sentence(totals), style="bold")]
    if totals.actions.all:
        parts += [_actions(totals), *_sections(totals, top)]
    if totals.faults:
        parts.append(_faults(totals, top))
    return Group(*(each for part in parts for each in (part, "")))


def _sections(totals: Totals, top: int) -> Iterator[Table]:
    if totals.reasons:
        yield _reasons(totals)
    yield _hosts(totals)
    if totals.lists:
        yield _lists(totals)
    yield _days(totals, top)
    if totals.to_retry:
        yield _retries(totals)
    if totals.warnings:
        yield _malformed(totals)
    if totals.overruled:
        yield _overruled(totals)
    yield _run(totals)


def table_of(title: str, *columns: str, caption: str | None = None) -> Table:
    """A table; columns whose names begin with `#` hold figures."""
    table = Table(
        title=title, title_justify="left", title_style="bold", caption=caption, caption_justify="left"
    )
    for column in columns:
        numbers = column.startswith("#")
        table.add_column(
            column.removeprefix("#"), justify="right" if numbers else "left", overflow="fold", no_wrap=numbers
        )
    return table


def _text(words: str) -> Text:
    return Text(printable(words))


def _figure(count: int, action: Action) -> Text:
    return Text(f"{count:,}", style=COLOURS[action] if count else "dim")


def _figures(counts: Counts) -> Iterator[Text]:
    return (_figure(getattr(counts, action.value), action) for action in DONE)


def _more(shown: int, there: int, what: str) -> str | None:
    return f"and {there - shown:,} more {what}" if there > shown else None


def _actions(totals: Totals) -> Table:
    table = table_of("Decisions", "", "#count", "#share")
    for action, word in DONE.items():
        count = getattr(totals.actions, action.value)
        table.add_row(
            Text(word, style=COLOURS[action]), _figure(count, action), share(count, totals.actions.all)
        )
    table.add_section()
    table.add_row("all", f"{totals.actions.all:,}", "")
    if totals.not_enforced:
        table.add_row("of these in audits", f"{totals.not_enforced:,}", "")
    table.add_section()
    table.add_row("requests never made", f"{totals.requests_saved:,}", "")
    table.add_row("body bytes announced, not downloaded", decimal(totals.bytes_avoided), "")
    table.add_row("body bytes downloaded", decimal(totals.bytes_read), "")
    return table


def _reasons(totals: Totals) -> Table:
    table = table_of("By reason", "reason", "stage", "action", "#count", "#share")
    for row in totals.reasons:
        action = Action(row.action)
        table.add_row(
            _text(row.reason),
            _text(row.stage),
            Text(DONE[action], style=COLOURS[action]),
            _figure(row.count, action),
            share(row.count, totals.actions.all),
        )
    return table


def _hosts(totals: Totals) -> Table:
    more = _more(len(totals.by_host), totals.hosts, "hosts")
    table = table_of("By host", "host", *(f"#{word}" for word in DONE.values()), caption=more)
    for row in totals.by_host:
        table.add_row(_text(row.host or "(none)"), *_figures(row.counts))
    return table


def _lists(totals: Totals) -> Table:
    table = table_of("By registry list", "registry", "list", "#skips", "#of all skips")
    for row in totals.lists:
        table.add_row(
            _text(row.registry),
            _text(row.list),
            _figure(row.skips, Action.SKIP),
            share(row.skips, totals.actions.skip),
        )
    return table


def _days(totals: Totals, top: int) -> Table:
    """The newest days; `top` rows."""
    newest = totals.days[-top:]
    more = f"and {len(totals.days) - len(newest):,} rows before" if len(totals.days) > len(newest) else None
    table = table_of(
        "By day (UTC) and crawler", "day", "crawler", *(f"#{word}" for word in DONE.values()), caption=more
    )
    for row in newest:
        table.add_row(row.day, _text(row.crawler), *_figures(row.counts))
    return table


def _retries(totals: Totals) -> Table:
    table = table_of(
        "Deferred: to ask again in a later run",
        *("host", "reason", "#URLs"),
        caption=_more(sum(row.urls for row in totals.retries), totals.to_retry, "URLs"),
    )
    for row in totals.retries:
        table.add_row(
            _text(row.host or "(none)"), _text(row.reason or "undetermined"), _figure(row.urls, Action.DEFER)
        )
    return table


def _malformed(totals: Totals) -> Table:
    table = table_of(
        "Malformed signals",
        *("signal", "what is wrong", "#times", "for example"),
        caption=_more(sum(row.count for row in totals.malformed), totals.warnings, "of other kinds"),
    )
    for row in totals.malformed:
        table.add_row(
            _text(row.signal), _text(row.message), f"{row.count:,}", _text(f"{row.where} of {row.source_url}")
        )
    return table


def _overruled(totals: Totals) -> Table:
    table = table_of("Conflicting signals: what was overruled", "signal", "said", "decision", "#times")
    for row in totals.overruled:
        action = Action(row.action)
        table.add_row(
            _text(row.signal),
            _text(row.statement),
            Text(DONE[action], style=COLOURS[action]),
            f"{row.count:,}",
        )
    return table


def _run(totals: Totals) -> Table:
    table = table_of("Under", "", "")
    table.show_header = False
    for what, words in (
        ("policy", (f"{name}  {digest[:12]}" for name, digest in totals.policies)),
        ("registries", (f"{name}  version {version}" for name, version in totals.registries)),
        ("product token", totals.tokens),
        ("crawlers", totals.crawlers),
        ("runs", (f"{totals.runs:,}, in {totals.files:,} files",)),
    ):
        table.add_row(what, _joined(words))
    return table


def _joined(words: Iterable[str]) -> Text:
    return Text("\n").join(map(_text, words))


def _faults(totals: Totals, top: int) -> Table:
    shown: Sequence[object] = totals.faults[: max(top, FAULTS_SHOWN)]
    table = table_of(
        "Lines that are no records",
        "where and why",
        caption=_more(len(shown), len(totals.faults), "lines"),
    )
    for fault in shown:
        table.add_row(Text(printable(str(fault)), style="red"))
    return table
