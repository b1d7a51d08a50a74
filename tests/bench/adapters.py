"""CPU that the adapters add to a picture, origin files at hand, against the library alone.

The server is another process. Plain and guarded take turns; what is shown is the median of the rounds.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import requests
from measuring import US, Figure, report

import heedful.httpx
import heedful.requests
import heedful.urllib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLAIN = "plain"
ROUNDS = 15
PICTURES = 150

SERVER = """
import sys
from heedful.testing import File, Picture, Site, Web, serve
picture = File(Picture(1, "JPEG", min_bytes=11_000).render(), headers=(("Content-Type", "image/jpeg"),))
robots = File("User-agent: *\\nDisallow: /closed/\\n")
with serve(Web({"home": Site({"/1.jpg": picture, "/robots.txt": robots})})) as running:
    print(running.url("home", "/1.jpg"), flush=True)
    sys.stdin.read()
"""


def cpu_us(get: Callable[[], object]) -> float:
    begin = time.process_time_ns()
    for _ in range(PICTURES):
        get()
    return (time.process_time_ns() - begin) / PICTURES / 1000


def measure() -> Iterator[Figure]:
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        server = opened.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        )
        opened.callback(server.stdin.close)
        url = server.stdout.readline().strip()

        def options(name: str) -> dict:
            return {
                "token": "PictureBot",
                "contact": "bot@example.org",
                "ledger": folder / name,
                "cache": folder / "cache",
            }

        handler = opened.enter_context(heedful.urllib.Handler(**options("urllib")))
        openers = [urllib.request.build_opener(), urllib.request.build_opener(handler)]
        sessions = [
            opened.enter_context(requests.Session()),
            opened.enter_context(heedful.requests.Session(**options("requests"))),
        ]
        clients = [
            opened.enter_context(httpx.Client()),
            opened.enter_context(httpx.Client(transport=heedful.httpx.Transport(**options("httpx")))),
        ]

        def read(opener: urllib.request.OpenerDirector) -> bytes:
            with opener.open(url, timeout=10) as response:
                return response.read()

        ways = {
            "urllib": [lambda each=each: read(each) for each in openers],
            "requests": [lambda each=each: each.get(url) for each in sessions],
            "httpx": [lambda each=each: each.get(url) for each in clients],
        }
        for what, pair in ways.items():
            for get in pair:
                cpu_us(get)
            rounds = [[cpu_us(get) for get in pair] for _ in range(ROUNDS)]
            for tool, times in zip((PLAIN, US), zip(*rounds, strict=True), strict=True):
                yield Figure(what, tool, statistics.median(times))
            added = [guarded - plain for plain, guarded in rounds]
            yield Figure(f"{what}: added", US, statistics.median(added))


if __name__ == "__main__":
    report(__doc__ or "", (PLAIN, US), measure)
