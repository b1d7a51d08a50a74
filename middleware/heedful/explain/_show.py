"""How stories look in a terminal, wide or narrow; all that comes from the web is escaped."""

from __future__ import annotations

from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from heedful.explain._excerpt import excerpt
from heedful.explain._stories import Role, said, silent
from heedful.model import Action, Purpose, Stage, Strength, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rich.console import RenderableType

    from heedful.explain._excerpt import Excerpt
    from heedful.explain._hosts import Host, Near
    from heedful.explain._stories import Decision, Story
    from heedful.ledger import Record

OTHERS_MAX: Final = 20
"""Older stories that are listed."""

_COLOURS: Final = {Action.STORE: "green", Action.SKIP: "red", Action.DEFER: "yellow", Action.FAILED: "dim"}
_PAST: Final = {
    Action.STORE: "stored",
    Action.SKIP: "skipped",
    Action.DEFER: "deferred",
    Action.FAILED: "failed",
}
_ROLE_STYLES: Final = {Role.DECIDED: "bold", Role.OVERRIDDEN: "", Role.NOTED: "dim", Role.IGNORED: "dim"}

_BY: Final = {
    Stage.URL: "by the URL alone; nobody was contacted",
    Stage.ORIGIN: "by the origin's files; the picture was not contacted",
    Stage.HEADERS: "by the response's headers",
    Stage.PAGE: "by the page on which it was found",
    Stage.BODY: "by the picture's bytes",
}
_PASSED: Final = {
    Stage.URL: "the URL",
    Stage.ORIGIN: "the origin's files",
    Stage.HEADERS: "the response's headers",
    Stage.PAGE: "the page, if it was known",
    Stage.BODY: "the picture's bytes",
}


def told(story: Story, snapshots: Callable[[str], bytes | None]) -> Iterator[RenderableType]:
    """A story in full: every hop that has a decision, in order."""
    hops = story.hops
    for number, (decision, count) in enumerate(hops, 1):
        record = decision.record
        yield _headline(record)
        if len(hops) > 1:
            yield Text(f"hop {number} of {len(hops)} with a decision", "dim")
        yield _grid(_rows(decision, count, snapshots))
        yield Text()


def in_short(others: Sequence[Story], first: str) -> Iterator[RenderableType]:
    """Other stories, a line each; `first` is that of the story that was told."""
    if not others:
        return
    yield Text("Also in the ledger", "bold")
    yield from _list(
        [
            (story.outcome, story.outcome.run.id + (f"  {story.first}" if story.first != first else ""))
            for story in others[:OTHERS_MAX]
        ]
    )
    if len(others) > OTHERS_MAX:
        yield Text(f"and {len(others) - OTHERS_MAX:,} more", "dim")


def of_host(host: Host) -> Iterator[RenderableType]:
    """A host's decisions: how many of each, then the latest ones."""
    yield Text.assemble((printable(host.name), "bold"), f"  {_some(host.decisions, 'decision')}")
    runs = _some(len(host.runs), "run")
    yield Text(f"{runs}, {_when(host.began)} to {_when(host.ended)}", "dim")
    yield Text()
    counts = Table.grid(padding=(0, 2, 0, 0))
    counts.add_column(justify="right")
    counts.add_column(no_wrap=True)
    counts.add_column(overflow="fold")
    for (action, reason), count in host.outcomes.most_common():
        counts.add_row(f"{count:,}", _past(Action(action)), reason)
    yield counts
    yield Text()
    yield Text("Latest decisions", "bold")
    yield from _list([(decision.record, decision.record.url) for decision in host.latest])


def not_found(question: str, near: Near, lines: int) -> Iterator[RenderableType]:
    """Nothing is known of what was asked for; this is what comes closest."""
    yield Text.assemble(
        "Nothing is known of ", (printable(question), "bold"), f" ({_some(lines, 'record')} searched)."
    )
    yield Text("Of stores that a run only counted (HEEDFUL_LEDGER_STORES) there are no records.", "dim")
    for title, urls in (("The same, written differently:", near.same), ("On the same host:", near.host)):
        if urls:
            yield Text(title, "dim")
            for url in urls:
                yield Text(f"  {printable(url)}", overflow="fold")


def story_dict(story: Story, snapshots: Callable[[str], bytes | None]) -> dict[str, Any]:
    """A story as JSON: its records, and each statement in its context."""
    return {
        "first": story.first,
        "run": story.outcome.run.id,
        "action": story.outcome.action.value,
        "decisions": [
            {
                **decision.as_dict(),
                "said": [
                    {
                        "role": role.value,
                        **statement,
                        "excerpt": _excerpt_dict(_context(statement, snapshots)),
                    }
                    for role, statement in said(decision.record)
                ],
                "silent": silent(decision.record),
            }
            for decision in story.decisions
        ],
    }


# -- a decision ------------------------------------------------------------------------------------------


def _headline(record: Record) -> Text:
    words = record.action.value.upper()
    if not record.run.enforced:
        words += " (audit: not enforced)"
    return Text.assemble((words, f"bold {_COLOURS[record.action]}"), "  ", (printable(record.url), "bold"))


def _rows(
    decision: Decision, count: int, snapshots: Callable[[str], bytes | None]
) -> Iterator[tuple[str, Text | str]]:
    record = decision.record
    run = record.run
    if record.hop_of and record.hop_of != record.url:
        yield "asked for", f"{printable(record.hop_of)}, which redirected here"
    if record.reasons:
        yield "because of", ", ".join(reason.value for reason in record.reasons)
    if record.error:
        yield "error", printable(record.error)
    if record.stage:
        yield "judged", _judged(record, record.stage)
    yield "when", _when(record.time) + (f", the last of {count} times in this run" if count > 1 else "")
    yield "response", _response(record)
    yield "run", f"{printable(run.id)}, {printable(run.crawler)}, token {printable(run.token)}"
    name, policy_hash = run.policy
    yield "policy", f"{printable(name)}, sha256 {printable(policy_hash[:12])}"
    asked = ", ".join(f"{printable(name)} version {version}" for name, version in record.registries)
    yield "registries", asked or "none"
    yield "decision", f"{printable(record.id)}, {printable(decision.file)}:{decision.line}"
    statements = said(record)
    for role, statement in statements:
        yield "", ""
        yield from _statement_rows(role, statement, snapshots)
    for warning in record.warnings:
        yield "", ""
        yield "warning", f"{_field(warning, 'signal')}: {_field(warning, 'message')}"
        yield "", Text(_place(warning), "dim")
        yield from _raw(warning)
    yield "", ""
    if not statements and record.action is not Action.FAILED:
        yield "said", "nothing, by anybody"
    for url, sha256 in silent(record).items():
        kept = "" if snapshots(sha256) is not None else ", not kept any more"
        yield "silent", Text.assemble(printable(url), (f"  sha256 {printable(sha256[:12])}{kept}", "dim"))
    if not record.snapshots and record.stage not in {None, Stage.URL}:
        yield "silent", "no origin file was there to be read"


def _judged(record: Record, stage: Stage) -> str:
    if record.action is Action.STORE:
        return ", ".join(islice(_PASSED.values(), list(_PASSED).index(stage) + 1))
    return _BY[stage]


def _response(record: Record) -> str:
    if record.status is None:
        return "none"
    words = f"status {record.status}, {_some(record.bytes_read, 'byte')} read"
    if record.bytes_avoided:
        words += f", {record.bytes_avoided:,} not downloaded"
    return words


def _statement_rows(
    role: Role, statement: Mapping[str, Any], snapshots: Callable[[str], bytes | None]
) -> Iterator[tuple[str, Text | str]]:
    style = _ROLE_STYLES[role]
    yield role.value, Text(f"{_field(statement, 'signal')}: {_field(statement, 'rule')}", style)
    words = [_field(statement, "statement")]
    words += (
        [_field(statement, "strength")] if statement.get("strength") not in (None, Strength.EXPLICIT) else []
    )
    words += [_field(statement, "covers")] if statement.get("covers") not in (None, Purpose.TRAIN_ANY) else []
    words += [f"switch {_field(statement, 'switch')}"] if statement.get("switch") else []
    yield "", Text(f"{', '.join(words)}; {_place(statement)}", "dim")
    context = _context(statement, snapshots)
    if context is not None and context.lines:
        last = 0
        for number, text, marked in context.lines:
            if last and number > last + 1:
                yield "", Text("       ...", "dim")
            last = number
            line = f"{'>' if marked else ' '} {number:>4}  {printable(text)}"
            yield "", Text(line, "bold" if marked else "dim")
        return
    yield from _raw(statement)
    if context is None and statement.get("sha256"):
        missing = f"not shown in its context: sha256 {_field(statement, 'sha256')[:12]} is not in the cache"
        yield "", Text(missing, "dim")


def _context(statement: Mapping[str, Any], snapshots: Callable[[str], bytes | None]) -> Excerpt | None:
    sha256 = statement.get("sha256")
    body = snapshots(sha256) if isinstance(sha256, str) else None
    if body is None:
        return None
    return excerpt(body, str(statement.get("where", "")), str(statement.get("raw", "")))


def _excerpt_dict(context: Excerpt | None) -> dict[str, Any] | None:
    if context is None:
        return None
    return {"lines": [line._asdict() for line in context.lines], "marks": context.marks}


def _raw(statement: Mapping[str, Any]) -> Iterator[tuple[str, Text]]:
    for line in str(statement.get("raw") or "").split("\n"):
        yield "", Text(printable(line))


def _place(statement: Mapping[str, Any]) -> str:
    words = f"{_field(statement, 'where')} of {_field(statement, 'source_url')}"
    fetched = statement.get("fetched")
    return f"{words}, read {_field(statement, 'fetched')[:19].replace('T', ' ')} UTC" if fetched else words


# -- words -----------------------------------------------------------------------------------------------


def _grid(rows: Iterable[tuple[str, Text | str]]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in rows:
        grid.add_row(label, value)
    return grid


def _list(records: Sequence[tuple[Record, str]]) -> Iterator[Text]:
    """A line each: when, what, why, and a text; aligned, unless the terminal is too narrow."""
    reasons = [record.reason.value if record.reason else "" for record, _ in records]
    width = max(map(len, reasons), default=0)
    for (record, text), reason in zip(records, reasons, strict=True):
        when, past = Text(_when(record.time), "dim"), _past(record.action)
        past.pad_right(len("deferred") - len(past))
        yield Text.assemble(
            when, "  ", past, "  ", reason.ljust(width), "  ", printable(text), overflow="fold"
        )


def _past(action: Action) -> Text:
    return Text(_PAST[action], _COLOURS[action])


def _field(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return "" if value is None else printable(str(value))


def _when(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def _some(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
