"""Measures filtering a Parquet list, beside joins on the raw strings, all in one run.

    python tests/bench/filter.py [--rows N] [--files N] [--entries N] [--folder DIR] [--json]

The list is like LAION's: URL, caption, width, height, similarity, licence; one row in a hundred is listed.
The registry holds the listed URLs and, for one in a hundred of them, a rule about a host, domain, path or
pattern; the joins of polars and DuckDB know the listed URLs alone, as they are spelt, and find no rules. Each
tool runs in a process of its own, by turns, `ROUNDS` times; told are the medians. Rows a second and core are
rows by seconds of CPU, of all threads and processes: that is what a busy machine changes least. Joins are
timed when their table of listed URLs is in memory already; to build it is told apart, as is heedful's start.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measuring import US
from population import CHUNK, Population
from rich.console import Console
from rich.table import Table

from heedful.registry import Writer
from heedful.registry.entries import Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS: Final = 3
SHARE: Final = 100
GROUP: Final = 100_000
WORDS: Final = (
    *(
        "red",
        "blue",
        "vintage",
        "wood",
        "table",
        "lamp",
        "portrait",
        "sunset",
        "beach",
        "dog",
        "cat",
        "kitchen",
    ),
    *("modern", "wedding", "dress", "flower", "rose", "of", "the", "a", "with", "in", "for", "and", "by"),
    *("'quoted'", ",", "-", "|", "12 x 18"),
)


# -- the lists ---------------------------------------------------------------------------------------------


def generate(folder: Path, rows: int, files: int, entries: int) -> None:
    people = Population(max(1000, entries // 5))
    listed: list[str] = []
    (folder / "list").mkdir()
    with (
        Writer.build(folder / "x.heed", source="bench") as writer,
        pq.ParquetWriter(folder / "listed.parquet", pa.schema([("URL", pa.string())])) as table,
    ):
        for chunk in range(-(-entries // CHUNK)):
            urls = people.urls(chunk, min(CHUNK, entries - chunk * CHUNK))
            writer.add_urls(urls, list="bench")
            table.write_table(pa.table({"URL": urls}))
            listed += urls[: rows // SHARE]
        for kind, text in people.rules(entries // 100):
            writer.add(Entry(Kind(kind), text, "bench"))
    chosen = np.random.default_rng(1)
    words = np.array(WORDS)
    for number in range(files):
        count = rows // files
        urls = people.urls(number, count - count // SHARE, listed=False)
        urls += [listed[place] for place in chosen.integers(0, len(listed), count // SHARE)]
        chosen.shuffle(urls)
        captions = [" ".join(each) for each in words[chosen.integers(0, len(words), (count, 10))].tolist()]
        columns = {
            "URL": urls,
            "TEXT": captions,
            "WIDTH": chosen.integers(100, 4000, count),
            "HEIGHT": chosen.integers(100, 4000, count),
            "similarity": chosen.random(count),
            "LICENSE": ["?"] * count,
        }
        pq.write_table(pa.table(columns), folder / "list" / f"{number:05d}.parquet", row_group_size=GROUP)


# -- the tools ---------------------------------------------------------------------------------------------


def heedful(folder: Path, *, tag: bool, workers: int | None) -> Callable[[], int]:
    from heedful.bulk.filter import filter_urls

    def run() -> int:
        return filter_urls(
            folder / "list",
            folder / "out",
            registries=folder / "x.heed",
            tag=tag,
            workers=workers,
        ).counts.kept

    return run


def polars(folder: Path) -> Callable[[], int]:
    import polars as pl

    listed = pl.read_parquet(folder / "listed.parquet").unique()

    def run() -> int:
        (folder / "out").mkdir()
        for file in sorted((folder / "list").iterdir()):
            rest = pl.scan_parquet(file).join(listed.lazy(), on="URL", how="anti", maintain_order="left")
            rest.sink_parquet(folder / "out" / file.name, compression="snappy", row_group_size=GROUP)
        return written(folder)

    return run


def duckdb(folder: Path) -> Callable[[], int]:
    import duckdb as duck

    base = duck.connect()
    base.execute(f"CREATE TABLE listed AS SELECT DISTINCT URL FROM '{folder}/listed.parquet'")  # noqa: S608

    def run() -> int:
        (folder / "out").mkdir()
        for file in sorted((folder / "list").iterdir()):
            base.execute(
                f"COPY (SELECT * FROM '{file}' ANTI JOIN listed USING (URL)) "  # noqa: S608
                f"TO '{folder}/out/{file.name}' (FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE {GROUP})"
            )
        return written(folder)

    return run


def written(folder: Path) -> int:
    return sum(pq.read_metadata(file).num_rows for file in (folder / "out").glob("*.parquet"))


TOOLS: Final[dict[str, Callable[[Path], Callable[[], int]]]] = {
    f"{US}, 1 process": lambda folder: heedful(folder, tag=False, workers=1),
    f"{US}, all": lambda folder: heedful(folder, tag=False, workers=None),
    f"{US} --tag, 1 process": lambda folder: heedful(folder, tag=True, workers=1),
    f"{US} --tag, all": lambda folder: heedful(folder, tag=True, workers=None),
    "polars anti-join": polars,
    "DuckDB anti-join": duckdb,
}
JOIN: Final = "polars anti-join"


def seconds() -> float:
    """Of CPU, of this process and of those that it has waited for."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in spent)


def peak_mb() -> float:
    """The most that was resident of this program and, at most, of a process of it."""
    status = Path("/proc/self/status").read_text("ascii")
    own = int(status.partition("VmHWM:")[2].split()[0])
    return (own + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024


def measure(tool: str, folder: Path) -> dict[str, Any]:
    """In this process."""
    begun = time.perf_counter()
    run = TOOLS[tool](folder)
    ready = time.perf_counter()
    before = seconds()
    kept = run()
    return {
        "ready s": ready - begun,
        "wall s": time.perf_counter() - ready,
        "cpu s": seconds() - before,
        "peak MB": peak_mb(),
        "kept": kept,
    }


def measured(tool: str, folder: Path) -> dict[str, Any]:
    """In a process of its own."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    command = [sys.executable, __file__, "--folder", str(folder), "--tool", tool]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--tool", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    if given.tool:
        print(json.dumps(measure(given.tool, given.folder)))  # noqa: T201
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        if not (folder / "list").is_dir():
            folder.mkdir(exist_ok=True)
            generate(folder, given.rows, given.files, given.entries)
        rounds = [{tool: measured(tool, folder) for tool in TOOLS} for _ in range(ROUNDS)]
        rows = sum(pq.read_metadata(file).num_rows for file in (folder / "list").iterdir())
    figures = {
        tool: {key: statistics.median(each[tool][key] for each in rounds) for key in rounds[0][tool]}
        for tool in TOOLS
    }
    for tool, each in figures.items():
        each["rows/s core"] = rows / each["cpu s"]
        each["rows/s"] = rows / each["wall s"]
        each["ratio"] = statistics.median(one[tool]["cpu s"] / one[JOIN]["cpu s"] for one in rounds)
    if given.json:
        Console().print_json(data={"rows": rows, "cores": os.cpu_count(), "figures": figures})
        return
    table = Table("", title=f"{rows:,} rows, {given.entries:,} listed URLs, {os.cpu_count()} cores")
    for heading in ("rows/s per core", "rows/s", "CPU of the join's", "peak MB", "ready s", "rows kept"):
        table.add_column(heading, justify="right")
    for tool, each in figures.items():
        cells = (each["rows/s core"], each["rows/s"])
        rest = (f"{each['ratio']:.2f}", f"{each['peak MB']:,.0f}", f"{each['ready s']:.2f}")
        table.add_row(tool, *(f"{cell:,.0f}" for cell in cells), *rest, f"{each['kept']:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
