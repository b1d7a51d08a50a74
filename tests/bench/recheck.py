"""What a recheck costs: bytes, CPU and time for each picture, by HEAD, by GET that is cut off, and in full.

The pictures lie on as many loopback hosts as Scrapy has connections for; politeness is off. Beside it, how
fast the URLs of a list are put in order, and how much memory that takes.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from heedful.testing import File, Site, Web, serve
from heedful_spiders._queue import Queue
from heedful_spiders.recheck import recheck

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTS = 20
PICTURES = 25
BODY = b"\xff\xd8" + b"x" * 1_000_000
IMPOLITE = {"AUTOTHROTTLE_ENABLED": False, "CONCURRENT_REQUESTS_PER_DOMAIN": 8}
WAYS = {
    "HEAD": {"method": "HEAD"},
    "GET, headers only": {"method": "GET"},
    "GET, in full (--bytes)": {"read_bytes": True},
}


def child_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def crawls(table: Table) -> None:
    files = {
        f"/{number}.jpg": File(BODY, headers=(("Content-Type", "image/jpeg"),)) for number in range(PICTURES)
    }
    for name, way in WAYS.items():
        figures = []
        for some in ({}, files):  # without pictures: what starting costs
            with (
                serve(Web({f"h{host}": Site(files) for host in range(HOSTS)})) as served,
                tempfile.TemporaryDirectory() as folder,
            ):
                urls = [served.url(f"h{host}", path) for path in some for host in range(HOSTS)]
                urls = urls or [served.url("h0", "/0.jpg")]
                cpu, begin = child_seconds(), time.perf_counter()
                recheck(urls, token="PictureBot", ledger=folder, scrapy=IMPOLITE, **way)
                seconds = time.perf_counter() - begin
                served.settle()
                sent = sum(hit.body_bytes_sent for hit in served.log if hit.path.endswith(".jpg"))
                figures.append((len(urls), child_seconds() - cpu, seconds, sent))
        (few, cpu_few, seconds_few, sent_few), (many, cpu, seconds, sent) = figures
        count = many - few
        table.add_row(
            name,
            f"{(sent - sent_few) / count:,.0f}",
            f"{1000 * (cpu - cpu_few) / count:.2f}",
            f"{count / (seconds - seconds_few):,.0f}",
        )


def urls(count: int) -> Iterator[str]:
    for number in range(count):
        yield f"https://host{number // 50}.example/pictures/{number:09d}/a-name-of-usual-length-in-lists.jpg"


def ordering(count: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "urls.sqlite"
        begin = time.perf_counter()
        with Queue(path) as queue:
            queue.put(urls(count))
            seconds = time.perf_counter() - begin
        size = path.stat().st_size
        tracemalloc.start()
        with Queue(Path(folder) / "again.sqlite") as queue:
            queue.put(urls(count // 10))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return (
        f"{count:,} URLs in order: {1e6 * seconds / count:.1f} us, {size / count:.0f} bytes of disk each; "
        f"Python's memory at most {peak / 1024:.0f} KiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--urls", type=int, default=1_000_000, help="length of the list that is put in order")
    count = parser.parse_args().urls
    table = Table("", "body bytes sent", "CPU ms", "pictures/s", title="Each picture of 1 MB")
    crawls(table)
    console = Console()
    console.print(table)
    console.print(ordering(count), highlight=False)


if __name__ == "__main__":
    main()
