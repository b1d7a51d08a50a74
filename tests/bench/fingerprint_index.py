"""Measures the search for fingerprints: building, opening, and lookups, among them the worst ones.

    python tests/bench/fingerprint_index.py [ENTRIES] [--folder DIR] [--json]

Values are random with half of the bits set, as fingerprints are. A hit is a listed one with 4 bits of 64 and
40 of 256 changed; a miss is another random one. The clusters are made to hurt: in the first, all share the
bits by which two of the three tables are searched; in the second, all lie near what is asked for.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import random
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from heedful.fingerprint import Fingerprint
from heedful.registry import Registry, Writer
from heedful.registry._fingerprints import FILES
from heedful.registry.entries import Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

ENTRIES: Final = 10_000_000
CLUSTER_PART: Final = 10
CHUNK: Final = 200_000
QUESTIONS: Final = 3000
SLOW_QUESTIONS: Final = 5


# -- fingerprints ------------------------------------------------------------------------------------------


def chunk_of(seed: int) -> tuple[list[int], list[bytes]]:
    """Small and large values, `CHUNK` of them."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 1 << 64, 12 * CHUNK, np.uint64)
    small = small[np.bitwise_count(small) == 32][:CHUNK]
    large = rng.integers(0, 1 << 64, (24 * CHUNK, 4), np.uint64)
    large = large[np.bitwise_count(large).sum(1) == 128][:CHUNK]
    return small.tolist(), [row.tobytes() for row in large]


def generated(entries: int) -> Iterator[Fingerprint]:
    for begin in range(0, entries, CHUNK):
        some = zip(*chunk_of(begin), strict=True)
        for (small, large), _ in zip(some, range(entries - begin), strict=False):
            yield Fingerprint(small, large)


def moved(rng: random.Random, value: int, bits: int, by: int) -> int:
    """A number as `value`, but for some bits, as many of them set as not."""
    ones = [bit for bit in range(bits) if value >> bit & 1]
    zeros = [bit for bit in range(bits) if not value >> bit & 1]
    for bit in (*rng.sample(ones, by // 2), *rng.sample(zeros, by // 2)):
        value ^= 1 << bit
    return value


def copy_of(rng: random.Random, one: Fingerprint, small: int = 4, large: int = 40) -> Fingerprint:
    other = moved(rng, int.from_bytes(one.large or b"", "big"), 256, large)
    return Fingerprint(moved(rng, one.small, 64, small), other.to_bytes(32, "big"))


def bucket(entries: int) -> Iterator[Fingerprint]:
    """All in the same places of two tables, none within 6 bits of what has 12 of the free ones."""
    rng = random.Random(1)
    free = 22
    large = next(generated(1)).large
    fixed = moved(rng, (1 << 32) - 1 << 32, 64, 32) >> free << free
    count = 32 - fixed.bit_count()
    values = (fixed | low for low in range(1 << free) if low.bit_count() == count)
    for small, _ in zip(values, range(entries), strict=False):
        yield Fingerprint(small, large)


def alike(entries: int) -> Iterator[Fingerprint]:
    rng = random.Random(2)
    seed = next(generated(1))
    yield from (copy_of(rng, seed, 2 * rng.randrange(4), 2 * rng.randrange(20)) for _ in range(entries))


# -- measuring ---------------------------------------------------------------------------------------------


def memory() -> dict[str, float]:
    """Of this process, in MB: resident, and what is its own and no file's."""
    sizes = {}
    for line in Path("/proc/self/smaps_rollup").read_text("ascii").splitlines()[1:]:
        name, size, *_ = line.split()
        sizes[name] = int(size) / 1024
    return {"rss MB": sizes["Rss:"], "own MB": sizes["Private_Dirty:"]}


def peak_mb() -> float:
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def build(folder: Path, entries: int, how: str) -> dict[str, Any]:
    """The registry; what making the fingerprints themselves takes is not counted."""
    source = {"random": generated, "bucket": bucket, "alike": alike}[how](entries)
    taken = 0.0
    with Writer.build(folder / f"{how}.heed", source="bench") as writer:
        while some := [fingerprint for fingerprint, _ in zip(source, range(CHUNK), strict=False)]:
            texts = [*map(str, some)]
            begin = time.perf_counter()
            for text in texts:
                writer.add(Entry(Kind.PHASH, text, "bench"))
            taken += time.perf_counter() - begin
        begin = time.perf_counter()
    taken += time.perf_counter() - begin
    count = writer.summary.entries
    (segment,) = (folder / f"{how}.heed").glob("seg-*")
    sizes = {file.name: file.stat().st_size for file in segment.iterdir()}
    return {
        "entries": count,
        "build us/entry": taken / count * 1e6,
        "build peak MB": peak_mb(),
        "B/entry": sum(sizes.values()) / count,
        "B/entry search": sum(sizes[name] for name in FILES) / count,
        "B/entry hot": (sizes["S"] + sizes["D"]) / count,
    }


def timed(registry: Registry, asked: list[Fingerprint]) -> tuple[float, float, int]:
    """Median and 99th percentile in us, and how many had matches."""
    times, hits = [], 0
    for each in asked:
        begin = time.perf_counter_ns()
        matches = registry.lookup_fingerprint(each)
        times.append((time.perf_counter_ns() - begin) / 1000)
        hits += bool(matches)
    return float(np.median(times)), float(np.percentile(times, 99)), hits


def warm(folder: Path) -> None:
    for file in folder.glob("seg-*/*"):
        with file.open("rb") as opened:
            while opened.read(1 << 24):
                pass


def ask(folder: Path, entries: int) -> dict[str, Any]:
    rng = random.Random(3)
    listed = [Fingerprint(*each) for each in zip(*chunk_of(0), strict=True)][: min(entries, CHUNK)]
    misses = [Fingerprint(*each) for each in zip(*chunk_of(10**12), strict=True)][:QUESTIONS]
    hits = [copy_of(rng, each) for each in rng.sample(listed, QUESTIONS)]
    del listed
    place = folder / "random.heed"
    warm(place)
    before = memory()
    begin = time.perf_counter()
    registry = Registry.open(place, now=time.time(), verify=False)
    opened = time.perf_counter()
    first = registry.lookup_fingerprint(hits[0])
    looked = time.perf_counter()
    assert first
    hit, hit_99, found = timed(registry, hits)
    miss, miss_99, none = timed(registry, misses)
    after = memory()
    assert (found, none) == (QUESTIONS, 0)
    return {
        "open ms": (opened - begin) * 1e3,
        "first ms": (looked - opened) * 1e3,
        "hit us": hit,
        "hit p99 us": hit_99,
        "miss us": miss,
        "miss p99 us": miss_99,
        "rss MB": after["rss MB"],
        "own MB more": after["own MB"] - before["own MB"],
    }


def hurt(folder: Path, sizes: dict[str, int]) -> dict[str, Any]:
    rng = random.Random(4)
    told: dict[str, Any] = {}
    for how, source in (("bucket", bucket), ("alike", alike)):
        warm(folder / f"{how}.heed")
        one = next(source(1))
        asked = [copy_of(rng, one, 0, 60 if how == "bucket" else 2) for _ in range(SLOW_QUESTIONS)]
        with Registry.open(folder / f"{how}.heed", now=time.time(), verify=False) as registry:
            took, _, _ = timed(registry, asked)
            matches = len(registry.lookup_fingerprint(asked[0]))
        told |= {
            f"{how} entries": sizes[how],
            f"{how} ms": took / 1000,
            f"{how} matches": matches,
        }
    return told | {"peak MB": peak_mb()}


def apart(work: Any, *arguments: Any) -> dict[str, Any]:
    """In a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found: dict[str, Any] = pool.apply(work, arguments)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("entries", nargs="?", type=int, default=ENTRIES)
    parser.add_argument("--folder", type=Path, help="is kept")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="heedful-bench-"))
    folder.mkdir(exist_ok=True)
    part = max(1, given.entries // CLUSTER_PART)
    try:
        told = {
            "random": apart(build, folder, given.entries, "random") | apart(ask, folder, given.entries),
        }
        sizes = {how: apart(build, folder, part, how)["entries"] for how in ("bucket", "alike")}
        told["clusters"] = apart(hurt, folder, sizes)
    finally:
        if given.folder is None:
            with contextlib.suppress(OSError):
                shutil.rmtree(folder)
    if given.json:
        Console().print_json(data=told)
        return
    table = Table("", "", title=f"{given.entries:,} fingerprints, {os.cpu_count()} CPUs")
    for name, figures in told.items():
        table.add_section()
        for key, value in figures.items():
            table.add_row(f"{name}: {key}", f"{value:,}" if isinstance(value, int) else f"{value:,.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
