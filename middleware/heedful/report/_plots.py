"""Plots as SVG, drawn by Vega-Lite before the page is written: they need no script, and can be printed.

Colours are the page's custom properties, so that one drawing serves light and dark. Each mark has its figures
as an accessible name and a tooltip, and is a link that looks its word up in the table of decisions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from lxml import etree
from markupsafe import Markup

from heedful.model import Action, Stage, printable
from heedful.report._words import DONE, every, share
from heedful.report.totals import DAY, MINUTE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from heedful.report.totals import Totals

WIDTHS: Final = {"wide": 540, "narrow": 320}
"""Widths in pixels that each plot is drawn at; the page shows one of them."""

STAGES: Final = {
    Stage.URL: "before any request: registries",
    Stage.ORIGIN: "before the picture's request: the origin's files",
    Stage.HEADERS: "by the response's headers",
    Stage.PAGE: "by the page it was found on",
    Stage.BODY: "by the picture's own metadata",
}

FIND: Final = "#find="
"""How a link's fragment begins that looks a word up in the table."""

_SVG: Final = "{http://www.w3.org/2000/svg}"
_HREF: Final = "{http://www.w3.org/1999/xlink}href"

_CONFIG: Final = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)",
        "labelFontSize": 11,
        "gridColor": "var(--line)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "title": None,
    },
    "header": {"labelColor": "var(--muted)", "labelFontSize": 11, "title": None},
    "text": {"fill": "var(--ink)", "fontSize": 11},
}

_COLOUR: Final = {
    "field": "action",
    "scale": {
        "domain": [action.value for action in DONE],
        "range": [f"var(--{action.value})" for action in DONE],
    },
    "legend": None,
}


_HEADING: Final = {
    "anchor": "start",
    "offset": 4,
    "fontSize": 11,
    "fontWeight": "normal",
    "color": "var(--muted)",
}

_COUNTED: Final = {"tickCount": 4, "tickMinStep": 1, "format": ",d", "domain": False, "ticks": False}


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot with its alternative.

    Attributes:
        title: what it shows, and in `note` how to read it.
        drawings: SVG, by the names of `WIDTHS`.
        columns, rows: the same figures as a table.
        shape: its place on a wide page: `across` it, or `tall`, as high as two others.
    """

    title: str
    note: str
    drawings: dict[str, Markup]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    shape: str = ""


@dataclass(frozen=True, slots=True)
class _Bar:
    """A part of a bar; `group` is the heading over it, `words` its tooltip, `find` what its link looks up."""

    label: str
    action: Action
    count: int
    words: str
    find: str
    group: str = ""


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
                "y": {"field": "count", "type": "quantitative", "stack": "zero", "axis": _COUNTED},
                "color": _COLOUR,
                "order": {"field": "action", "sort": "descending"},
                "description": {"field": "words"},
            },
        }

    return Plot(
        "Skips and deferrals over time",
        f"Decisions per {every(totals.step)} (UTC).",
        _drawn(spec, "Skips and deferrals over time", WIDTHS | {"wide": 2 * WIDTHS["wide"]}),
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
        _Bar(
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
        _drawn(lambda width: _bars(bars, width, labels=120), "Reasons, by stage"),
        ("stage", "reason", "action", "count"),
        tuple((row.stage, printable(row.reason), DONE[Action(row.action)], f"{row.count:,}") for row in rows),
        "tall",
    )


def _by_host(totals: Totals) -> Plot:
    rows = [row for row in totals.by_host if row.counts.skip or row.counts.defer]
    bars = [
        _Bar(row.host or "(none)", action, count, f"{row.host}: {count:,} {DONE[action]}", row.host)
        for row in rows
        for action in (Action.SKIP, Action.DEFER)
        if (count := getattr(row.counts, action.value))
    ]
    return Plot(
        "Hosts with the most skips",
        f"{len(rows):,} of {totals.hosts:,} hosts.",
        _drawn(lambda width: _bars(bars, width, labels=150), "Hosts with the most skips"),
        ("host", *DONE.values()),
        tuple(
            (printable(row.host), *(f"{getattr(row.counts, action.value):,}" for action in DONE))
            for row in rows
        ),
    )


def _by_list(totals: Totals) -> Plot:
    skips = totals.actions.skip
    bars = [
        _Bar(
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
        _drawn(
            lambda width: _bars(bars, width, labels=120, shown=lambda n: f"{n:,} ({share(n, skips)})"),
            "Registry lists' share of the skips",
        ),
        ("registry", "list", "skips", "of all skips"),
        tuple(
            (printable(row.registry), printable(row.list), f"{row.skips:,}", share(row.skips, skips))
            for row in totals.lists
        ),
    )


# -- drawing ---------------------------------------------------------------------------------------------


def _bars(
    bars: Sequence[_Bar], width: int, *, labels: int, shown: Callable[[int], str] = "{:,}".format
) -> dict[str, Any]:
    """Horizontal bars, in the order given, under the headings of their groups.

    Args:
        bars: at least one.
        width: of all, in pixels.
        labels: pixels of it for the labels on the left.
        shown: makes the words behind a bar of its count.
    """
    ends: dict[tuple[str, str], int] = {}
    for bar in bars:
        ends[bar.group, bar.label] = ends.get((bar.group, bar.label), 0) + bar.count
    room = 1.35 * max(ends.values())  # for the words behind the bars
    groups = dict.fromkeys(bar.group for bar in bars)
    return {
        "spacing": 12,
        "vconcat": [
            {
                "width": width - labels,
                "height": {"step": 21},
                "title": _HEADING | {"text": printable(group)},
                "encoding": {
                    "y": _labelled(labels),
                    "x": {
                        "field": "count",
                        "type": "quantitative",
                        "axis": None,
                        "scale": {"domain": [0, room]},
                    },
                },
                "layer": [
                    _parts([bar for bar in bars if bar.group == group]),
                    _ends([(label, n, shown(n)) for (where, label), n in ends.items() if where == group]),
                ],
            }
            for group in groups
        ],
    }


def _parts(bars: Sequence[_Bar]) -> dict[str, Any]:
    values = [
        {
            "label": printable(bar.label),
            "action": bar.action.value,
            "count": bar.count,
            "words": printable(bar.words),
            "find": FIND + quote(printable(bar.find), safe=""),
        }
        for bar in bars
    ]
    return {
        "data": {"values": values},
        "mark": {"type": "bar", "cornerRadiusEnd": 2},
        "encoding": {
            "color": _COLOUR,
            "order": {"field": "action", "sort": "descending"},
            "description": {"field": "words"},
            "href": {"field": "find"},
        },
    }


def _ends(bars: Iterable[tuple[str, int, str]]) -> dict[str, Any]:
    """The words behind each bar: its label, where it ends, and they."""
    values = [{"label": printable(label), "count": count, "shown": shown} for label, count, shown in bars]
    return {
        "data": {"values": values},
        "mark": {"type": "text", "align": "left", "dx": 5, "aria": False},
        "encoding": {"text": {"field": "shown"}},
    }


def _labelled(labels: int) -> dict[str, Any]:
    return {
        "field": "label",
        "type": "nominal",
        "sort": None,
        "scale": {"paddingInner": 0.25, "paddingOuter": 0.1},
        "axis": {
            "domain": False,
            "ticks": False,
            "labelColor": "var(--ink)",
            "labelLimit": labels - 8,
            "minExtent": labels,
            "maxExtent": labels,
            "aria": False,
        },
    }


def _moment(time: str, step: int) -> str:
    """A time, as precise as the step that begins with it."""
    return time[:10] if step >= DAY else f"{time[:10]} {time[11 : 16 if step >= MINUTE else 19]}"


def _drawn(
    spec: Callable[[int], dict[str, Any]], title: str, widths: Mapping[str, int] = WIDTHS
) -> dict[str, Markup]:
    import vl_convert  # noqa: PLC0415 - an extra

    return {
        name: _woven(
            vl_convert.vegalite_to_svg(
                {"config": _CONFIG, "padding": 0} | spec(width), allowed_base_urls=[], vl_version="6.1"
            ),
            title,
        )
        for name, width in widths.items()
    }


def _woven(svg: str, title: str) -> Markup:
    """The drawing as a part of the page: named, scalable, with tooltips, and links into the table."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
    root = etree.fromstring(svg.encode(), parser)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.set("role", "group")
    root.set("aria-label", title)
    for mark in _marks(root):
        words = mark.get("aria-label")
        etree.SubElement(mark, f"{_SVG}title").text = words
        link = mark.getparent()
        if link.tag == f"{_SVG}a":
            link.set(_HREF, FIND + link.get(_HREF).partition(FIND)[2])
            link.set("aria-label", words)
    return Markup(etree.tostring(root, encoding="unicode"))  # noqa: S704 - an XML tree, written by its library


def _marks(root: Any) -> Iterable[Any]:
    return [path for path in root.iter(f"{_SVG}path") if path.get("role") == "graphics-symbol"]
