"""What the benchmarks share: a measurement, and the table of them."""

from __future__ import annotations

import argparse
import gc
import itertools
import statistics
import time
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

US = "heedful"
REPETITIONS = 9
REPETITION_NS = 20_000_000
CALL_MAX_NS = 500_000_000  # of a call that is slower, fewer are made


class Figure(NamedTuple):
    """One measurement.

    Attributes:
        what: the operation and what it is done to.
        tool: whose it is.
        us: microseconds a call, the median.
    """

    what: str
    tool: str
    us: float


def median_us(call: Callable[[], object]) -> float:
    """The median time of a call, in microseconds; the first one, which fills caches, is not counted."""

    def timed(calls: int) -> int:
        begin = time.perf_counter_ns()
        for _ in itertools.repeat(None, calls):
            call()
        return time.perf_counter_ns() - begin

    call()
    once = timed(1)
    calls = max(1, REPETITION_NS // max(once, 1))
    gc.collect()
    gc.disable()
    try:
        return (
            statistics.median(timed(calls) for _ in range(3 if once > CALL_MAX_NS else REPETITIONS))
            / calls
            / 1000
        )
    finally:
        gc.enable()


def shown(us: float) -> str:
    return f"{us:,.0f}" if us >= 100 else f"{us:,.1f}" if us >= 10 else f"{us:.2f}"


def report(description: str, tools: Sequence[str], measure: Callable[[], Iterable[Figure]]) -> None:
    """Measure, and print a table, or JSON if the command line says so."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON, one list of figures")
    as_json = parser.parse_args().json
    figures = list(measure())
    if as_json:
        Console().print_json(data=[figure._asdict() for figure in figures])
        return
    measured = {figure.tool for figure in figures}
    table = Table("", title="Microseconds a call")
    for tool in tools:
        if tool in measured:
            table.add_column(tool, justify="right")
    for what in dict.fromkeys(figure.what for figure in figures):
        cells = {figure.tool: shown(figure.us) for figure in figures if figure.what == what}
        table.add_row(what, *(cells.get(tool, "") for tool in tools if tool in measured))
    console = Console()
    console.print(table)
    for tool in tools:
        if tool not in measured:
            console.print(f"{tool}: not installed")
