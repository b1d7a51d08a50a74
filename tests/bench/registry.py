"""Measures the registry beside other stores, on the same generated lists, all in one run.

    python tests/bench/registry.py [--entries N] [--folder DIR] [--json]

Every tool is asked the same questions, a tenth of which are listed, in a process of its own; each question
begins with the URL as it was found, so that the canonical key and its hash are in the figures. LMDB, SQLite
and the set are given the keys alone, hashed where that makes them smaller: no text, no rules, no evidence.
The join compares raw strings. A set or join of very many strings needs more memory than the machine has:
above `STRINGS_MAX` entries they are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import multiprocessing
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from measuring import US, shown
from population import CHUNK, Population
from rich.console import Console
from rich.table import Table

from heedful.model import Purpose
from heedful.registry import Registry, Writer
from heedful.registry._verifying import Verifier
from heedful.registry.entries import Entry, Kind, url_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STRINGS_MAX: Final = 20_000_000
QUESTIONS: Final = 1_000_000
SINGLE: Final = 100_000
BATCH: Final = 65_536
BATCHED: Final = 8 * BATCH
SHARES: Final = (0.0, 0.01, 0.05)
PROCESSES: Final = 6
NOW: Final = 1_800_000_000.0


# -- the lists ---------------------------------------------------------------------------------------------


def population(entries: int) -> Population:
    """Twice as many hosts as rules: the rarer half has rules, which one question in twenty meets."""
    return Population(max(1000, 2 * entries // 5))


def listed(folder: Path) -> Iterator[list[str]]:
    for file in sorted(folder.glob("listed-*.txt")):
        yield file.read_text("utf-8").split("\n")


def generate(folder: Path, entries: int) -> dict[str, Any]:
    """Write the lists and the questions."""
    people = population(entries)
    chosen = random.Random(2)
    asked: list[str] = []
    chunks = -(-entries // CHUNK)
    for chunk in range(chunks):
        urls = people.urls(chunk, min(CHUNK, entries - chunk * CHUNK))
        (folder / f"listed-{chunk:05d}.txt").write_text("\n".join(urls), "utf-8")
        asked += chosen.sample(urls, min(len(urls), QUESTIONS // 10 // chunks + 1))
    asked = asked[: QUESTIONS // 10]
    asked += people.urls(0, QUESTIONS - len(asked), listed=False)
    chosen.shuffle(asked)
    (folder / "questions.txt").write_text("\n".join(asked), "utf-8")
    return {}


def questions(folder: Path) -> list[str]:
    return (folder / "questions.txt").read_text("utf-8").split("\n")


def hashes(folder: Path) -> dict[str, Any]:
    """The sorted hashes of the keys, for the stores that are built from them."""
    from xxhash import xxh3_64_intdigest

    parts = [
        np.fromiter(map(xxh3_64_intdigest, map(url_key, urls)), np.uint64, len(urls))
        for urls in listed(folder)
    ]
    np.save(folder / "hashes.npy", np.unique(np.concatenate(parts)))
    return {}


# -- measuring ---------------------------------------------------------------------------------------------


def memory() -> dict[str, float]:
    """Of this process, in MB: resident, its share of it, and what is its own and no file's."""
    sizes = {}
    for line in Path("/proc/self/smaps_rollup").read_text("ascii").splitlines()[1:]:
        name, size, *_ = line.split()
        sizes[name] = int(size) / 1024
    return {"rss": sizes["Rss:"], "pss": sizes["Pss:"], "own": sizes["Private_Dirty:"]}


def peak_mb() -> float:
    """The most that was resident, in MB, of this program: `ru_maxrss` would count its parent's as well."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def each_us(ask: Callable[[str], object], urls: list[str]) -> float:
    """Median over slices of the mean time of a call."""
    times = []
    for begin in range(0, len(urls), 2000):
        some = urls[begin : begin + 2000]
        start = time.perf_counter()
        for url in some:
            ask(url)
        times.append((time.perf_counter() - start) / len(some) * 1e6)
    return float(np.median(times))


def one_by_one(ask: Callable[[str], object], urls: list[str]) -> dict[str, float]:
    known = {url: bool(ask(url)) for url in urls[:SINGLE]}
    hits = [url for url, hit in known.items() if hit]
    misses = [url for url, hit in known.items() if not hit]
    # A hot cache would flatter: these are questions that were not asked yet.
    fresh = urls[SINGLE : 3 * SINGLE]
    return {
        "hits": len(hits),
        "mixed us": each_us(ask, fresh),
        "hit us": each_us(ask, hits),
        "miss us": each_us(ask, misses),
    }


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


# -- the tools ---------------------------------------------------------------------------------------------


def build_heedful(folder: Path) -> dict[str, Any]:
    begin = time.perf_counter()
    entries = 0
    with Writer.build(folder / "x.heed", source="bench") as writer:
        for urls in listed(folder):
            writer.add_urls(urls, list="bench")
            entries += len(urls)
        rules = 0
        for kind, text in population(entries).rules(entries // 5):
            writer.add(Entry(Kind(kind), text, "bench"))
            rules += 1
    seconds = time.perf_counter() - begin
    entries += rules
    files: dict[str, int] = {}
    for file in (folder / "x.heed").rglob("*"):
        if file.is_file():
            files[file.name] = files.get(file.name, 0) + file.stat().st_size
    hot = sum(size for name, size in files.items() if name in {"T", "K"})
    return {
        "entries": entries,
        "build s": seconds,
        "build us": seconds / entries * 1e6,
        "build peak MB": peak_mb(),
        "bytes": size_of(folder / "x.heed") / entries,
        "hot bytes": hot / entries,
        "files": {name: size / entries for name, size in sorted(files.items())},
    }


def verify_heedful(folder: Path) -> dict[str, Any]:
    """Of all files, although the writer has left a stamp that spares it."""
    begin = time.perf_counter()
    with Registry.open(folder / "x.heed", now=NOW, verify=False) as registry:
        Verifier(registry.folder, stamping=False).check(registry.manifest, anew=True)
    return {"verify s": time.perf_counter() - begin}


def ask_heedful(folder: Path) -> dict[str, Any]:
    import pyarrow as pa

    urls = questions(folder)
    array = pa.array(urls)
    before = memory()["own"]
    begin = time.perf_counter()
    registry = Registry.open(folder / "x.heed", now=NOW, verify=False)
    registry.lookup(urls[0])
    cold = (time.perf_counter() - begin) * 1e3
    for url in urls[-2 * SINGLE :]:
        registry.lookup(url)
    own = memory()["own"] - before
    figures: dict[str, Any] = {"cold ms": cold, **one_by_one(registry.lookup, urls), "own MB more": own}
    times, opted_out = [], 0
    for begin_at in range(0, len(urls), BATCH):
        some = array.slice(begin_at, BATCH)
        begin = time.perf_counter()
        batch = registry.lookup_batch(some, purpose=Purpose.TRAIN_ANY, now=NOW)
        times.append((time.perf_counter() - begin) / len(some) * 1e6)
        opted_out += int((batch.decisions == 1).sum())
    figures["batch us"] = float(np.median(times))
    figures["batch hits"] = opted_out
    return figures


# -- in batches --------------------------------------------------------------------------------------------


def batches(folder: Path) -> dict[str, Any]:
    """Columns of URLs, which are taken apart in bulk, and lists of the same, where it is done one by one.

    In one thread. All questions are new, but the registry's pages are in memory, as a million others are
    asked before: these stand for lists of billions.
    """
    os.environ["POLARS_MAX_THREADS"] = "1"
    import pyarrow as pa

    figures: dict[str, Any] = {}
    with Registry.open(folder / "x.heed", now=NOW, verify=False) as registry:
        people = population(sum(registry.kinds.values()) * 5 // 6)
        in_batches(registry, pa.array(people.urls(2, listed=False)))
        chosen = next(listed(folder))
        without_rules = Population(people.hosts // 2)  # those with rules are the rarer half
        for hosts, urls in {
            "a thousand hosts": Population(1000).urls(1, BATCHED, listed=False),
            "many hosts": without_rules.urls(1, BATCHED, listed=False),
            "half on hosts of their own": on_many_hosts(without_rules),
            "one in twenty on a host with rules": people.urls(1, BATCHED, listed=False),
        }.items():
            for share in SHARES:
                figures[f"{hosts}, {share:.0%} of URLs listed"] = both(registry, mixed(urls, chosen, share))
        figures["all listed"] = both(registry, random.Random(3).sample(chosen, min(len(chosen), 4 * BATCH)))
    return figures


def on_many_hosts(people: Population) -> list[str]:
    """URLs of which every second one is on a host of its own."""
    urls = people.urls(1, BATCHED, listed=False)
    for place in range(0, BATCHED, 2):
        path = urls[place].split("/", 3)[3]
        urls[place] = f"https://{people.host(place % people.hosts)}/{path}"
    return urls


def mixed(urls: list[str], known: list[str], share: float) -> list[str]:
    chosen = random.Random(4)
    made = list(urls)
    for place in chosen.sample(range(len(made)), int(share * len(made))):
        made[place] = chosen.choice(known)
    return made


def both(registry: Registry, urls: list[str]) -> dict[str, Any]:
    import pyarrow as pa

    hosts = len({url.split("/", 3)[2] for url in urls[:BATCH]}) / BATCH
    few = urls[: 2 * BATCH]
    array = pa.array(urls)
    del urls
    gc.freeze()  # what is a column elsewhere is not to be gone through here again and again
    column_us, decisions = in_batches(registry, array)
    list_us, same = in_batches(registry, few)
    if not (same == decisions[: len(same)]).all():
        raise AssertionError("a list and a column of the same URLs get different answers")
    found = float((decisions != 0).mean())
    return {"hosts": hosts, "found": found, "column us": column_us, "list us": list_us}


def in_batches(registry: Registry, urls: Any) -> tuple[float, Any]:
    """Microseconds of CPU a URL, the median over batches, and what is decided."""
    times, decisions = [], []
    for at in range(0, len(urls) - BATCH + 1, BATCH):
        some = urls[at : at + BATCH]
        begin = time.process_time()
        decisions.append(registry.lookup_batch(some, purpose=Purpose.TRAIN_ANY, now=NOW).decisions)
        times.append((time.process_time() - begin) / BATCH * 1e6)
    return float(np.median(times)), np.concatenate(decisions)


def _share(folder: Path, barrier: Any, results: Any) -> None:
    registry = Registry.open(folder / "x.heed", now=NOW, verify=False)
    for url in questions(folder)[:200_000]:
        registry.lookup(url)
    barrier.wait()
    results.put(memory())
    barrier.wait()


def share_heedful(folder: Path) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(PROCESSES), context.Queue()
    workers = [context.Process(target=_share, args=(folder, barrier, results)) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    sizes = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    return {
        "processes": PROCESSES,
        "RSS MB": sum(size["rss"] for size in sizes),
        "PSS MB": sum(size["pss"] for size in sizes),
        "own MB each": float(np.median([size["own"] for size in sizes])),
    }


def build_lmdb(folder: Path) -> dict[str, Any]:
    import lmdb

    keys = np.load(folder / "hashes.npy")
    begin = time.perf_counter()
    value = bytes(8)
    with lmdb.open(str(folder / "lmdb"), map_size=1 << 40, sync=False, writemap=True) as env:
        for at in range(0, len(keys), CHUNK):
            with env.begin(write=True) as transaction:
                packed = keys[at : at + CHUNK].astype(">u8").tobytes()
                pairs = [(packed[place : place + 8], value) for place in range(0, len(packed), 8)]
                transaction.cursor().putmulti(pairs, append=True)
        env.sync(force=True)
    seconds = time.perf_counter() - begin
    used = sum(file.stat().st_blocks * 512 for file in (folder / "lmdb").iterdir())
    return {"build us": seconds / len(keys) * 1e6, "build peak MB": peak_mb(), "bytes": used / len(keys)}


def ask_lmdb(folder: Path) -> dict[str, Any]:
    import lmdb
    from xxhash import xxh3_64_digest

    urls = questions(folder)
    before = memory()["own"]
    begin = time.perf_counter()
    env = lmdb.open(str(folder / "lmdb"), readonly=True, lock=False)
    with env.begin(buffers=True) as transaction:
        get = transaction.get
        get(xxh3_64_digest(url_key(urls[0])))
        cold = (time.perf_counter() - begin) * 1e3
        for url in urls[-2 * SINGLE :]:
            get(xxh3_64_digest(url_key(url)))
        own = memory()["own"] - before
        figures = one_by_one(lambda url: get(xxh3_64_digest(url_key(url))) is not None, urls)
        return {"cold ms": cold, **figures, "own MB more": own}


_SIGNED: Final = 1 << 63


def build_sqlite(folder: Path) -> dict[str, Any]:
    keys = np.load(folder / "hashes.npy")
    begin = time.perf_counter()
    signed = (keys ^ np.uint64(_SIGNED)).view(np.int64)
    with contextlib.closing(sqlite3.connect(folder / "keys.sqlite")) as base:
        base.execute("PRAGMA journal_mode = OFF")
        base.execute("PRAGMA synchronous = OFF")
        base.execute("CREATE TABLE keys (key INTEGER PRIMARY KEY, value INTEGER)")
        for at in range(0, len(signed), CHUNK):
            rows = ((key, 0) for key in signed[at : at + CHUNK].tolist())
            base.executemany("INSERT INTO keys VALUES (?, ?)", rows)
        base.commit()
    seconds = time.perf_counter() - begin
    size = (folder / "keys.sqlite").stat().st_size
    return {"build us": seconds / len(keys) * 1e6, "build peak MB": peak_mb(), "bytes": size / len(keys)}


def ask_sqlite(folder: Path) -> dict[str, Any]:
    from xxhash import xxh3_64_intdigest

    urls = questions(folder)
    before = memory()["own"]
    begin = time.perf_counter()
    base = sqlite3.connect(f"file:{folder / 'keys.sqlite'}?mode=ro", uri=True)
    base.execute("PRAGMA mmap_size = 1099511627776")
    query = "SELECT value FROM keys WHERE key = ?"

    def ask(url: str) -> bool:
        key = xxh3_64_intdigest(url_key(url)) ^ _SIGNED
        signed = key if key < _SIGNED else key - 2 * _SIGNED
        return base.execute(query, (signed,)).fetchone() is not None

    ask(urls[0])
    cold = (time.perf_counter() - begin) * 1e3
    for url in urls[-2 * SINGLE :]:
        ask(url)
    own = memory()["own"] - before
    return {"cold ms": cold, **one_by_one(ask, urls), "own MB more": own}


def ask_set(folder: Path) -> dict[str, Any]:
    before = memory()["own"]
    begin = time.perf_counter()
    known: set[bytes] = set()
    for urls in listed(folder):
        known.update(map(url_key, urls))
    seconds = time.perf_counter() - begin
    own = memory()["own"] - before
    figures = one_by_one(lambda url: url_key(url) in known, questions(folder))
    return {
        "build us": seconds / len(known) * 1e6,
        "cold ms": seconds * 1e3,
        "bytes": own * 1024 * 1024 / len(known),
        **figures,
        "own MB more": own,
    }


def ask_polars(folder: Path) -> dict[str, Any]:
    import polars as pl

    asked = pl.DataFrame({"url": questions(folder)})
    known = pl.concat([pl.DataFrame({"url": urls}) for urls in listed(folder)])
    begin = time.perf_counter()
    hits = asked.join(known, on="url", how="semi").height
    return {"batch us": (time.perf_counter() - begin) / asked.height * 1e6, "hits": hits, "rss MB": peak_mb()}


STEPS: Final[dict[str, Callable[[Path], dict[str, Any]]]] = {
    "build heedful": build_heedful,
    "verify heedful": verify_heedful,
    "ask heedful": ask_heedful,
    "batches": batches,
    "share heedful": share_heedful,
    "hashes": hashes,
    "build LMDB": build_lmdb,
    "ask LMDB": ask_lmdb,
    "build SQLite": build_sqlite,
    "ask SQLite": ask_sqlite,
    "ask set": ask_set,
    "ask polars join": ask_polars,
}
STRINGS: Final = ("ask set", "ask polars join")


def run(step: str, folder: Path) -> dict[str, Any]:
    """A step, in a fresh process."""
    command = [sys.executable, __file__, "--folder", str(folder), "--step", step]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else {"failed": done.returncode}


ROWS: Final = (
    ("build us", "build, us an entry"), ("build peak MB", "build, peak MB"), ("bytes", "bytes an entry"),
    ("hot bytes", "of which hot"), ("cold ms", "open and first answer, ms"), ("miss us", "a miss, us"),
    ("hit us", "a hit, us"), ("mixed us", "new questions, a tenth hits, us"), ("batch us", "in batches, us"),
    ("own MB more", "own memory, MB"),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--entries", type=int, default=1_000_000, help="listed URLs (default: a million)")
    parser.add_argument("--folder", type=Path, help="where the lists are kept; default: a temporary folder")
    parser.add_argument("--json", action="store_true", help="print JSON, the figures of each step")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        json.dump(STEPS[given.step](given.folder), sys.stdout)
        return
    folder = given.folder or Path(tempfile.mkdtemp(prefix="heedful-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)
    results: dict[str, dict[str, Any]] = {}
    try:
        console.print(f"generating {given.entries:,} URLs in {folder}")
        generate(folder, given.entries)
        for step in STEPS:
            if step in STRINGS and given.entries > STRINGS_MAX:
                console.print(f"{step}: left out, its strings do not fit into memory")
                continue
            results[step] = run(step, folder)
            console.print(f"{step}: {json.dumps(results[step])}")
    finally:
        if given.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    if given.json:
        print(json.dumps({"entries": given.entries, "cpus": os.cpu_count(), **results}, indent=1))  # noqa: T201
        return
    report(given.entries, results)


def report(entries: int, results: dict[str, dict[str, Any]]) -> None:
    tools: dict[str, dict[str, Any]] = {}
    for step, figures in results.items():
        verb, _, tool = step.partition(" ")
        if tool and verb in {"build", "ask"}:
            tools.setdefault(tool, {}).update(figures)
    table = Table("", title=f"{entries:,} listed URLs; medians")
    for tool in tools:
        table.add_column(tool, justify="right")
    for key, words in ROWS:
        cells = [figures.get(key) for figures in tools.values()]
        table.add_row(words, *("" if cell is None else f"{cell:,.2f}" for cell in cells))
    console = Console()
    console.print(table)
    table = Table("", title=f"{US}, lookup_batch: microseconds of CPU a URL; medians")
    for words in ("hosts, of the URLs", "found", "a column", "a list, one by one"):
        table.add_column(words, justify="right")
    for name, row in results["batches"].items():
        cells = (f"{row['hosts']:.0%}", f"{row['found']:.1%}", shown(row["column us"]), shown(row["list us"]))
        table.add_row(name, *cells)
    console.print(table)
    console.print(f"{US}: full check of the files in {results['verify heedful'].get('verify s', 0):.2f} s")
    console.print(f"{PROCESSES} processes on one registry: {json.dumps(results['share heedful'])}")


if __name__ == "__main__":
    main()
