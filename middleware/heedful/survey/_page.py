"""A survey as one file that opens without a network: plots, figures, and the sites to search."""

# ruff: noqa: S608 - what stands in the SQL are our own constants

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from heedful.ledger._export import replacing
from heedful.model import Action, printable
from heedful.report._decisions import Pool, safe
from heedful.report._figures import Figures
from heedful.report._html import needed, rendered
from heedful.survey._classify import SIGNALS, Standing
from heedful.survey._summary import OUTCOMES, Outcome
from heedful.survey._words import CAME_OUT, LABELS, SAID, period, sentence, speaks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from heedful.survey._summary import Rows, Summary

ROWS: Final = 20_000
"""Sites that a page holds, unless told otherwise: about 10 MB."""

STYLES: Final = {
    Outcome.DECLINED: Action.SKIP.value,
    Outcome.PARTLY: Action.DEFER.value,
    Outcome.OPEN: Action.STORE.value,
    Outcome.UNDETERMINED: Action.FAILED.value,
}
"""The page's colour of each outcome."""

_SITES: Final = f"""
SELECT site, origin, round(epoch(asked)) AS asked, reach, outcome, picture_reasons, {", ".join(SIGNALS)},
    agents, content_signals, content_usages, rsl_urls, statements, warnings, files
FROM rows ORDER BY list_position({[outcome.value for outcome in Outcome]}, outcome), host, site LIMIT ?
"""


def write_page(out: Path, rows: Rows, summary: Summary, *, now: float, shown: int = ROWS) -> int:
    """Write the page, which is replaced when it is complete.

    Args:
        out: the file.
        rows: the survey.
        summary: what `summary_of` made of it.
        now: Unix time in seconds.
        shown: sites that the page holds, those that decline first.

    Returns:
        Its size in bytes.

    Raises:
        ConfigurationError: it cannot be written, a file cannot be read, or a library is missing.
    """
    text = page(summary, sites(rows, shown), now)
    with replacing(out) as temporary:
        return temporary.write_text(text, encoding="utf-8")


def page(summary: Summary, data: dict[str, Any], now: float) -> str:
    """The page's HTML.

    Raises:
        ConfigurationError: a library is missing.
    """
    with needed():
        from heedful.survey._plots import LEGEND, plots  # noqa: PLC0415 - needs an extra

        drawings = list(plots(summary))
    return rendered(
        "heedful.survey/page.html",
        scripts=("heedful.survey/page.js",),
        styles=("heedful.survey/page.css",),
        data=data,
        now=now,
        table_id="sites",
        summary=summary,
        sentence=sentence(summary),
        period=period(summary),
        cards=[
            (STYLES[outcome], CAME_OUT[outcome], meaning, summary.outcomes[outcome.value])
            for outcome, meaning in OUTCOMES.items()
        ],
        outcomes=[(outcome.value, STYLES[outcome], CAME_OUT[outcome]) for outcome in OUTCOMES],
        plots=drawings,
        legend=LEGEND,
        tables=list(_figures(summary)),
        shown=len(data["columns"]["site"]),
    )


def _figures(summary: Summary) -> Iterator[Figures]:
    if summary.statuses:
        yield Figures(
            "Answers, by file",
            "status 0: no answer",
            ("file", "status", "sites"),
            tuple((printable(path), str(status), f"{sites:,}") for path, status, sites in summary.statuses),
        )
    if summary.malformed:
        yield Figures(
            "Malformed signals",
            "each with one place where it was seen",
            ("signal", "what is wrong", "sites", "for example", "text"),
            tuple(
                (
                    printable(row.signal),
                    printable(row.message),
                    f"{row.sites:,}",
                    printable(f"{row.where} of {row.source_url}"),
                    printable(row.raw),
                )
                for row in summary.malformed
            ),
        )
    if summary.rejected:
        yield Figures(
            "Lines that name no site",
            f"{summary.rejected:,} lines; all of them are in rejected.jsonl",
            ("where", "line", "text", "why"),
            tuple(
                (printable(source), f"{line:,}", printable(text), printable(why))
                for source, line, text, why in summary.rejects
            ),
        )


# -- the table of sites ----------------------------------------------------------------------------------


def sites(rows: Rows, shown: int) -> dict[str, Any]:
    """The sites, a list a column; those that decline first. Every text is printable.

    Args:
        rows: the survey.
        shown: how many at most.

    Raises:
        ConfigurationError: a file cannot be read.
    """
    found = rows.ask(_SITES, [shown])
    words = Pool()
    outcomes = {outcome.value: number for number, outcome in enumerate(OUTCOMES)}
    return {
        "outcomes": [STYLES[outcome] for outcome in OUTCOMES],
        "columns": {
            "site": [safe(row["site"]) for row in found],
            "asked": [row["asked"] for row in found],
            "outcome": [outcomes[row["outcome"]] for row in found],
            "reach": [words.number(row["reach"]) for row in found],
            "reasons": [words.number(" ".join(row["picture_reasons"])) for row in found],
            "signals": [words.number(_signals(row)) for row in found],
            "agents": [words.number(_agents(row)) for row in found],
            "closed": [_closed(row) for row in found],
            "files": [words.number(_files(row)) for row in found],
            "details": [_details(row) for row in found],
        },
        "words": words.values,
    }


def _signals(row: Mapping[str, Any]) -> str:
    standings = ((name, Standing(row[name])) for name in SIGNALS)
    return ", ".join(f"{LABELS[name]} {SAID[each]}" for name, each in standings if speaks(name, each))


def _agents(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{agent['token']} {agent['access']}" for agent in row["agents"])


def _closed(row: Mapping[str, Any]) -> int:
    return sum(agent["access"] == "closed" for agent in row["agents"])


def _files(row: Mapping[str, Any]) -> str:
    own = (file for file in row["files"] if file["url"] not in row["rsl_urls"])
    return "\n".join(f"{file['status'] or 'no answer'} {safe(_path(file['url']))}" for file in own)


def _path(url: str) -> str:
    return "/" + url.partition("://")[2].partition("/")[2]


def _details(row: Mapping[str, Any]) -> dict[str, Any]:
    """What is unfolded; what is empty is left out."""
    found = {
        "origin": row["origin"] if row["files"] else None,
        "statements": [
            {name: safe(value) if isinstance(value, str) else value for name, value in each.items()}
            | {"paths": " ".join(each["paths"])}
            for each in row["statements"]
        ],
        "warnings": [{name: safe(value) for name, value in each.items()} for each in row["warnings"]],
        **{
            name: [safe(value) for value in row[name]]
            for name in ("content_signals", "content_usages", "rsl_urls")
        },
    }
    return {name: value for name, value in found.items() if value}
