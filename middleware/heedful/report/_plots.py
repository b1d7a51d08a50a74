"""The plots of a report: what each shows."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from heedful.model import Action, Stage, printable
from heedful.report._drawing import COLOUR, COUNTED, WIDTHS, Bar, Plot, bars_of, drawn
from heedful.report._words import DONE, every, share
from heedful.report.totals import DAY, MINUTE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heedful.report.totals import Totals

STAGES: Final = {
    Stage.URL: "before any request: registries",
    Stage.ORIGIN: "before the picture's request: the origin's files",
    Stage.HEADERS: "by the response's headers",
    Stage.PAGE: "by the page it was found on",
    Stage.BODY: "by the picture's own metadata",
}


def plots(totals: Totals) -> Iterator[Plot]:
    """Each plot that has anything to show."""
    if totals.actions.skip or totals.actions.defer:
        if len(totals.times) > 1:
            yield _over_time(totals)
        yield _by_reason(totals)
    if any(row.counts.skip or row.counts.defer for row in totals.by_host):
        yield _by_host(totals)
    if totals.lists:
        yield _by_list(totals)


# -- each plot -------------------------------------------------------------------------------------------


def _over_time(totals: Totals) -> Plot:
    values = []
    for row in totals.times:
        start = datetime.fromisoformat(row.start)
        end = start + timedelta(seconds=totals.step)
        for action in (Action.SKIP, Action.DEFER):
            if count := getattr(row.counts, action.value):
                words = f"{_moment(row.start, totals.step)}: {count:,} {DONE[action]}"
                values.append(
                    {
                        "start": start.isoformat(),
                        "end": end.isoformat(),
                        "action": action.value,
                        "count": count,
                        "words": words,
                    }
                )
    form = "%d %b %Y" if totals.step >= DAY else "%d %b %H:%M" if totals.step >= MINUTE else "%H:%M:%S"
    first, last = (datetime.fromisoformat(totals.times[end].start).timestamp() for end in (0, -1))

    def spec(width: int) -> dict[str, Any]:
        return {
            "width": width,
            "height": 190,
            "autosize": {"type": "fit", "contains": "padding"},
            "data": {"values": values},
            "mark": {"type": "bar", "orient": "vertical", "binSpacing": 1},
            "encoding": {
                "x": {
                    "field": "start",
                    "type": "temporal",
                    "scale": {"type": "utc"},
                    "axis": {
                        "grid": False,
                        "format": form,
                        "values": _ticks(int(first), int(last), totals.step, most=width // 130),
                    },
                },
                "x2": {"field": "end"},
                "y": {"field": "count", "type": "quantitative", "stack": "zero", "axis": COUNTED},
                "color": COLOUR,
                "order": {"field": "action", "sort": "descending"},
                "description": {"field": "words"},
            },
        }

    return Plot(
        "Skips and deferrals over time",
        f"Decisions per {every(totals.step)} (UTC).",
        drawn(spec, "Skips and deferrals over time", WIDTHS | {"wide": 2 * WIDTHS["wide"]}),
        ("from (UTC)", *DONE.values()),
        tuple(
            (_moment(row.start, totals.step), *(f"{getattr(row.counts, action.value):,}" for action in DONE))
            for row in totals.times
        ),
        "across",
    )


def _ticks(first: int, last: int, step: int, *, most: int) -> list[int]:
    """Where the time is labelled, in milliseconds: at the start of a step, evenly."""
    steps = (last - first) // step + 1
    return [time * 1000 for time in range(first, last + 1, step * math.ceil(steps / most))]


def _by_reason(totals: Totals) -> Plot:
    order = {stage.value: rank for rank, stage in enumerate(Stage)}
    rows = sorted(totals.reasons, key=lambda row: order.get(row.stage, len(order)))
    bars = [
        Bar(
            row.reason,
            Action(row.action),
            row.count,
            f"{row.reason}, {row.stage}: {row.count:,} {DONE[Action(row.action)]}",
            row.reason,
            STAGES[Stage(row.stage)] if row.stage in order else row.stage,
        )
        for row in rows
    ]
    return Plot(
        "Reasons, by the stage that decided",
        "From the earliest stage to the latest. Each decision counts once, under the first of its reasons.",
        drawn(lambda width: bars_of(bars, width, labels=120), "Reasons, by stage"),
        ("stage", "reason", "action", "count"),
        tuple((row.stage, printable(row.reason), DONE[Action(row.action)], f"{row.count:,}") for row in rows),
        "tall",
    )


def _by_host(totals: Totals) -> Plot:
    rows = [row for row in totals.by_host if row.counts.skip or row.counts.defer]
    bars = [
        Bar(row.host or "(none)", action, count, f"{row.host}: {count:,} {DONE[action]}", row.host)
        for row in rows
        for action in (Action.SKIP, Action.DEFER)
        if (count := getattr(row.counts, action.value))
    ]
    return Plot(
        "Hosts with the most skips",
        f"{len(rows):,} of {totals.hosts:,} hosts.",
        drawn(lambda width: bars_of(bars, width, labels=150), "Hosts with the most skips"),
        ("host", *DONE.values()),
        tuple(
            (printable(row.host), *(f"{getattr(row.counts, action.value):,}" for action in DONE))
            for row in rows
        ),
    )


def _by_list(totals: Totals) -> Plot:
    skips = totals.actions.skip
    bars = [
        Bar(
            row.list or "(unnamed)",
            Action.SKIP,
            row.skips,
            f"{row.registry}, {row.list}: {row.skips:,} skips, {share(row.skips, skips)} of all",
            row.list,
        )
        for row in totals.lists
    ]
    return Plot(
        "Registry lists' share of the skips",
        f"Of {skips:,} skips. One that several lists ask for counts for each.",
        drawn(
            lambda width: bars_of(bars, width, labels=120, shown=lambda n: f"{n:,} ({share(n, skips)})"),
            "Registry lists' share of the skips",
        ),
        ("registry", "list", "skips", "of all skips"),
        tuple(
            (printable(row.registry), printable(row.list), f"{row.skips:,}", share(row.skips, skips))
            for row in totals.lists
        ),
    )


def _moment(time: str, step: int) -> str:
    """A time, as precise as the step that begins with it."""
    return time[:10] if step >= DAY else f"{time[:10]} {time[11 : 16 if step >= MINUTE else 19]}"
