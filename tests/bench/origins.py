"""Measures what an origin's files cost: from memory, from disk, and cold from a server on loopback.

    python tests/bench/origins.py [--json]

Medians of several repetitions, in microseconds a call. What is cold is given in CPU time of this process,
which leaves out the waiting, and the server, which is another.
"""

from __future__ import annotations

import itertools
import multiprocessing
import statistics
import tempfile
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from measuring import US, Figure, median_us, report

from heedful.model import OriginFile
from heedful.origins.cache import OriginCache
from heedful.origins.fetch import OriginFetcher
from heedful.origins.memory import Memory
from heedful.signals import robots
from heedful.testing import File, Site, Web, serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

AGENT = "PictureBot/1.0"
PATHS = (
    "/robots.txt",
    "/.well-known/tdmrep.json",
    "/ai.txt",
    "/.well-known/ai.txt",
    "/.well-known/trust.txt",
)
ROBOTS = b"User-agent: *\nDisallow: /admin/\nDisallow: /*?sort=\n\nUser-agent: GPTBot\nDisallow: /\n" * 8
COLD = 100  # fetches of which one measurement is made
REPETITIONS = 5


def origin_server(connection: Connection) -> None:
    """Serve one site, in a process of its own, until there is a word from the other end."""
    with serve(Web({"a": Site({"/robots.txt": File(ROBOTS)})})) as web:
        connection.send(web.origin("a"))
        connection.recv()


def kept(folder: Path) -> Iterator[Figure]:
    with closing(OriginCache(folder, now=time.time)) as cache:
        urls = [f"https://{number}.example{path}" for number in range(1000) for path in PATHS]
        for url in urls:
            found = url.endswith("/robots.txt")
            cache.put(OriginFile(url, 200 if found else 404, (), ROBOTS if found else b"", time.time()))
        fetcher = OriginFetcher(cache, user_agent=AGENT)
        for count, what in ((1, "robots.txt"), (5, "an origin's five files")):
            some = urls[:count]
            yield Figure(f"{what}: memory", US, median_us(partial(fetcher.kept, some)))
            origins = itertools.cycle([urls[at : at + count] for at in range(0, len(urls), len(PATHS))])
            forgetful = OriginFetcher(cache, user_agent=AGENT, memory=Memory(files_max=0))
            call = lambda fetcher=forgetful, origins=origins: fetcher.kept(next(origins))  # noqa: E731
            yield Figure(f"{what}: disk", US, median_us(call))
        files = itertools.cycle([OriginFile(url, 404, (), b"", time.time()) for url in urls])
        yield Figure("keeping a file on disk", US, median_us(lambda: cache.put(next(files))))
        names = itertools.count()

        def claim() -> None:
            cache.claim(url := f"https://{next(names)}.example/")
            cache.release(url)

        yield Figure("a claim and its release", US, median_us(claim))


def cold(origin: str, folder: Path) -> Iterator[Figure]:
    numbers = itertools.count()  # the server knows no query: each makes a file that was never asked for

    def asked(fetcher: OriginFetcher, count: int) -> None:
        query = f"?{next(numbers)}"
        urls = [origin + path + query for path in PATHS[:count]]
        file = fetcher.files(urls, origin)[urls[0]]
        file.parsed(partial(robots.parse, file.body))

    with closing(OriginCache(folder, now=time.time)) as cache:
        for store, words in ((cache, "kept on disk"), (None, "kept in memory only")):
            with closing(OriginFetcher(store, user_agent=AGENT)) as fetcher:
                for count, what in ((1, "robots.txt"), (5, "an origin's five files")):
                    times = []
                    for _ in range(REPETITIONS):
                        begin = time.process_time_ns()
                        for _ in range(COLD):
                            asked(fetcher, count)
                        times.append((time.process_time_ns() - begin) / COLD / 1000)
                    yield Figure(f"{what}: cold, fetched, parsed, {words}", US, statistics.median(times))


def measure() -> Iterator[Figure]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=origin_server, args=(theirs,))
    server.start()
    with tempfile.TemporaryDirectory() as folder:
        yield from kept(Path(folder) / "kept")
        yield from cold(ours.recv(), Path(folder) / "cold")
    ours.send(None)
    server.join()


if __name__ == "__main__":
    report(__doc__, [US], measure)
