"""Measures what heedful costs a Scrapy crawl, and saves it, beside the same crawl without it.

    python tests/bench/scrapy_addon.py [--pairs N] [--pictures N] [--only NAME] [--json]

Pictures go through the real engine and the real ImagesPipeline, from servers on loopback in a process of
their own. Crawls are made in pairs, plain and with heedful by turns, each in a process of its own; what is
told are the medians of the pairs' ratios. CPU is user and system time of the crawl's process, from the start
of the crawl to its end; what the start takes before that, imports and configuration, is told apart.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from heedful.testing import Web

SMALL: Final = 11_000
LARGE: Final = 1_000_000
LARGE_EVERY: Final = 15
SITES: Final = 4
LATENCY: Final = 0.1

SETTINGS: Final = {
    "LOG_LEVEL": "WARNING",
    "TELNETCONSOLE_ENABLED": False,
    "ITEM_PIPELINES": {"scrapy.pipelines.images.ImagesPipeline": 1},
    "CONCURRENT_REQUESTS": 32,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 8,
    "RETRY_TIMES": 0,
}


# -- what is crawled ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scenario:
    """Pictures, and how they are met. Those that are free are in a folder of that name.

    Attributes:
        name: for `--only`.
        words: what the table says.
        warm: the machine's cache has seen the origins.
        opted_out: half of the pictures are opted out.
        unique: half of the pictures are on a host of their own.
        latency: seconds until a server answers.
    """

    name: str
    words: str
    warm: bool = True
    opted_out: bool = False
    unique: bool = False
    latency: float = 0.0


SCENARIOS: Final = (
    Scenario("clean", "all free, few hosts, warm cache"),
    Scenario("mixed", "half opted out, some large, few hosts, warm cache", opted_out=True),
    Scenario(
        "cold", "all free, half on hosts of their own, cold, 100 ms", warm=False, unique=True, latency=LATENCY
    ),
)


@cache
def drawn() -> bytes:
    """A picture of some 11 kB, as a thumbnail on the web is."""
    from PIL import Image

    plane = Image.effect_noise((240, 240), 24)
    image = Image.merge("RGB", (plane, plane.rotate(90), plane.rotate(180)))
    for quality in range(95, 5, -5):
        out = io.BytesIO()
        image.save(out, "JPEG", quality=quality)
        if len(out.getvalue()) <= SMALL:
            break
    return out.getvalue()


def served(scenario: Scenario, pictures: int) -> tuple[Web, list[tuple[str, str]], list[tuple[str, str]]]:
    """The web, the pictures on it as site and path, and those of them that a registry lists."""
    from heedful.testing import File, Site, Web

    jpeg = ("Content-Type", "image/jpeg")
    small = drawn()
    large = small + bytes(LARGE - len(small))
    closed = File("User-agent: *\nDisallow: /closed/\n", headers=(("Content-Type", "text/plain"),))
    sites: dict[str, dict[str, File]] = {f"s{number}": {"/robots.txt": closed} for number in range(SITES)}
    urls, listed = [], []
    for number in range(pictures):
        name, folder, headers = f"s{number % SITES}", "free", [jpeg]
        if scenario.unique and number % 2:
            name = f"u{number}"
            sites[name] = {"/robots.txt": closed}
        if scenario.opted_out and number // SITES % 2:
            folder = ("noai", "closed", "listed")[number // SITES // 2 % 3]
        if folder == "noai":
            headers.append(("X-Robots-Tag", "noai"))
        path = f"/{folder}/{number}.jpg"
        body = large if scenario.opted_out and number % LARGE_EVERY == 0 else small
        sites[name][path] = File(body, headers=tuple(headers))
        urls.append((name, path))
        if folder == "listed":
            listed.append((name, path))
    return Web({name: Site(files) for name, files in sites.items()}), urls, listed


def server(connection: Connection, scenario: Scenario, pictures: int, registry: str) -> None:
    """Serve, and tell, each time when asked, how many requests and body bytes there were since."""
    from heedful.registry import Writer
    from heedful.registry.entries import Entry, Kind
    from heedful.testing import serve

    web, urls, listed = served(scenario, pictures)
    with serve(web, latency=scenario.latency) as site:
        with Writer.build(Path(registry), source="bench") as writer:
            for name, path in [*listed, ("s0", "/not/there.jpg")]:
                writer.add(Entry(Kind.URL, site.url(name, path), "bench"))
        connection.send([site.url(name, path) for name, path in urls])
        seen = 0
        while connection.recv():
            site.settle()
            hits = site.log[seen:]
            seen += len(hits)
            connection.send((len(hits), sum(hit.body_bytes_sent for hit in hits)))


# -- one crawl ---------------------------------------------------------------------------------------------


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def crawl() -> None:
    """Make the crawl that standard input tells of, and print what it took."""
    import scrapy
    from scrapy.crawler import CrawlerProcess

    job = json.load(sys.stdin)

    class Pictures(scrapy.Spider):
        name = "pictures"

        async def start(self):
            yield scrapy.Request("data:,a%20page")

        def parse(self, response):
            for url in job["urls"]:
                yield {"image_urls": [url]}

    process = CrawlerProcess(job["settings"])
    crawler = process.create_crawler(Pictures)
    process.crawl(crawler)
    before, begin = cpu(), time.perf_counter()
    process.start()
    wall, used = time.perf_counter() - begin, cpu() - before
    stats = crawler.stats.get_stats()
    told = {
        "cpu": used,
        "wall": wall,
        "start": before,
        "stored": stats.get("file_count", 0),
        "ours": stats.get("heedful/time", 0.0),
        "side": stats.get("heedful/origin_files/requests", 0),
    }
    json.dump(told, sys.stdout)


def run(urls: list[str], folder: Path, *, ours: dict[str, Any] | None) -> dict[str, Any]:
    settings: dict[str, Any] = {**SETTINGS, "IMAGES_STORE": str(folder / "store")}
    settings |= ours or {}
    done = subprocess.run(
        [sys.executable, __file__, "--crawl"],
        input=json.dumps({"urls": urls, "settings": settings}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


# -- the pairs ---------------------------------------------------------------------------------------------


def pairs(scenario: Scenario, pictures: int, count: int, folder: Path) -> Iterator[dict[str, Any]]:
    """What each pair of crawls took, both in figures per picture."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    registry = folder / "bench.heed"
    args = (there, scenario, pictures, str(registry))
    running = context.Process(target=server, args=args, daemon=True)
    running.start()
    urls = here.recv()

    def crawled(number: str, *, heedful: bool) -> dict[str, Any]:
        place = folder / f"{number}-{heedful}"
        ours = {
            "ADDONS": {"heedful.scrapy.Addon": 500},
            "HEEDFUL_TOKEN": "PictureBot",
            "HEEDFUL_CONTACT": "https://me.example/bot",
            "HEEDFUL_REGISTRIES": [str(registry)],
            "HEEDFUL_LEDGER": str(place / "ledger"),
            "HEEDFUL_CACHE": str(folder / "cache" if scenario.warm else place / "cache"),
        }
        told = run(urls, place, ours=ours if heedful else None)
        here.send(True)
        told["requests"], told["bytes"] = here.recv()
        wanted = sum("/free/" in url for url in urls) if heedful else len(urls)
        if told["stored"] != wanted:
            sys.exit(f"{told['stored']} pictures were stored instead of {wanted}")
        return told

    crawled("first", heedful=True)  # fills what is to be warm
    for number in range(count):
        order = (False, True) if number % 2 else (True, False)
        both = {each: crawled(str(number), heedful=each) for each in order}
        yield {"plain": both[False], "heedful": both[True]}
    here.send(False)
    running.join()


def summed_up(scenario: Scenario, pictures: int, measured: list[dict[str, Any]]) -> dict[str, Any]:
    def median(who: str, what: str) -> float:
        return statistics.median(pair[who][what] for pair in measured)

    def ratio(what: str) -> tuple[float, float, float]:
        ratios = sorted(pair["heedful"][what] / pair["plain"][what] for pair in measured)
        return statistics.median(ratios), ratios[0], ratios[-1]

    per = 1000 / pictures
    return {
        "scenario": scenario.name,
        "words": scenario.words,
        "pictures": pictures,
        "pairs": len(measured),
        "cpu_ms": [median(who, "cpu") * per for who in ("plain", "heedful")],
        "cpu_ratio": ratio("cpu"),
        "wall_ms": [median(who, "wall") * per for who in ("plain", "heedful")],
        "wall_ratio": ratio("wall"),
        "ours_ms": median("heedful", "ours") * per,
        "megabytes": [median(who, "bytes") / 1e6 for who in ("plain", "heedful")],
        "requests": [median(who, "requests") for who in ("plain", "heedful")],
        "stored": [median(who, "stored") for who in ("plain", "heedful")],
        "start_s": [median(who, "start") for who in ("plain", "heedful")],
    }


def show(results: list[dict[str, Any]]) -> None:
    table = Table("", title="Plain Scrapy, Scrapy with heedful, ratio (least to greatest of the pairs)")
    for result in results:
        table.add_column(result["words"], justify="right")

    def both(name: str, form: str) -> list[str]:
        return [" / ".join(form.format(value) for value in result[name]) for result in results]

    def ratios(name: str) -> list[str]:
        return ["{:.2f} ({:.2f} to {:.2f})".format(*result[name]) for result in results]

    table.add_row("CPU, ms a picture", *both("cpu_ms", "{:.2f}"))
    table.add_row("  ratio", *ratios("cpu_ratio"))
    table.add_row("  in heedful's own code", *[f"{result['ours_ms']:.3f}" for result in results])
    table.add_row("wall, ms a picture", *both("wall_ms", "{:.2f}"))
    table.add_row("  ratio", *ratios("wall_ratio"))
    table.add_row("requests", *both("requests", "{:.0f}"))
    table.add_row("MB of bodies sent", *both("megabytes", "{:.1f}"))
    table.add_row("pictures stored", *both("stored", "{:.0f}"))
    table.add_row("CPU before the crawl, s", *both("start_s", "{:.2f}"))
    Console(width=150).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--only", choices=[scenario.name for scenario in SCENARIOS])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--crawl", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.crawl:
        crawl()
        return
    results = []
    for scenario in SCENARIOS:
        if args.only in {None, scenario.name}:
            with tempfile.TemporaryDirectory() as folder:
                measured = list(pairs(scenario, args.pictures, args.pairs, Path(folder)))
            results.append(summed_up(scenario, args.pictures, measured))
    if args.json:
        Console().print_json(data=results)
    else:
        show(results)


if __name__ == "__main__":
    main()
