"""How plots are drawn: as SVG, by Vega-Lite, before a page is written. They need no script, and print well.

Colours are the page's custom properties, so that one drawing serves light and dark. Each mark has its figures
as an accessible name and a tooltip, and is a link that looks its word up in the page's table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from lxml import etree
from markupsafe import Markup

from heedful.model import Action, printable
from heedful.report._words import DONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

WIDTHS: Final = {"wide": 540, "narrow": 320}
"""Widths in pixels that each plot is drawn at; the page shows one of them."""

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

COLOUR: Final = {
    "field": "action",
    "scale": {
        "domain": [action.value for action in DONE],
        "range": [f"var(--{action.value})" for action in DONE],
    },
    "legend": None,
}
"""Of marks whose field `action` is one."""

_HEADING: Final = {
    "anchor": "start",
    "offset": 4,
    "fontSize": 11,
    "fontWeight": "normal",
    "color": "var(--muted)",
}

COUNTED: Final = {"tickCount": 4, "tickMinStep": 1, "format": ",d", "domain": False, "ticks": False}
"""An axis of counts."""

_ORDER: Final = {action: place for place, action in enumerate(DONE)}
"""In which order the parts of a bar stand."""


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
class Bar:
    """A part of a bar, in the colour of an action.

    `group` is the heading over it, `words` its tooltip, `find` what its link looks up.
    """

    label: str
    action: Action
    count: int
    words: str
    find: str
    group: str = ""


def bars_of(
    bars: Sequence[Bar],
    width: int,
    *,
    labels: int,
    shown: Callable[[int], str] = "{:,}".format,
    room: float = 0.35,
) -> dict[str, Any]:
    """Horizontal bars, in the order given, under the headings of their groups.

    Args:
        bars: at least one.
        width: of all, in pixels.
        labels: pixels of it for the labels on the left.
        shown: makes the words behind a bar of its count.
        room: of the longest bar's length, for the words behind it.
    """
    ends: dict[tuple[str, str], int] = {}
    for bar in bars:
        ends[bar.group, bar.label] = ends.get((bar.group, bar.label), 0) + bar.count
    longest = max(ends.values())
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
                        "scale": {"domain": [0, (1 + room) * longest]},
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


def _parts(bars: Sequence[Bar]) -> dict[str, Any]:
    values = [
        {
            "label": printable(bar.label),
            "action": bar.action.value,
            "order": _ORDER[bar.action],
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
            "color": COLOUR,
            "order": {"field": "order"},
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


def drawn(
    spec: Callable[[int], dict[str, Any]], title: str, widths: Mapping[str, int] = WIDTHS
) -> dict[str, Markup]:
    """The drawings of a plot: `spec` gives its Vega-Lite for a width in pixels."""
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
