"""Measures what heedful costs an img2dataset download, and saves it, beside img2dataset alone.

    python tests/bench/img2dataset.py [--pairs N] [--all | --only NAME ... | --parts] [--json]

Pictures go through the real img2dataset, decoding, resizing and encoding included, from a server on loopback
in a process of its own. Downloads are made in pairs, plain and guarded by turns, each in a process of its own
with real workers; what is told are the medians of the pairs' ratios and differences. Time and CPU are those
from when the first worker begins its first shard until the last one ends its last: what a run's start takes
is the same for ten pictures as for ten million, and told apart. CPU is user and system time of the workers.

`--parts` measures instead what the calls in which a picture is judged take, one by one, in one thread and
without any server. With a file's name in the environment as PROFILE, a profile of them is left there.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import io
import json
import multiprocessing
import os
import random
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from http.client import HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.request import HTTPHandler, OpenerDirector, Request, build_opener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

HERE: Final = Path(__file__).resolve().parent
# This file's name is that of the package that it measures: its folder may not be looked in.
sys.path[:] = [path for path in sys.path if Path(path).resolve() != HERE]

SHARD: Final = 200
KEYS: Final = ("plain", "heedful")
LATENCY: Final = 0.1
DEAD_EVERY: Final = 20
DEAD: Final = "127.9.9.9"
TIMEOUT: Final = 5
"""Seconds that img2dataset gives a picture, half of its default; heedful gives an origin file ten."""

PARTS: Final = 1000
ROUNDS: Final = 9
SMALL: Final = (240, 11_000)
LARGE: Final = (1024, 180_000)
"""Pixels a side, and bytes."""


# -- what is downloaded ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scenario:
    """Pictures, and how they are met.

    Attributes:
        name: for `--only`.
        words: what the table says.
        pictures: how many there are.
        size: pixels a side, and bytes.
        unique: the share of them on a host of their own; the others are on a few.
        latency: seconds until the server answers.
        warm: the machine's cache has seen the origins.
        opted_out: half of them are, by header, robots.txt and registry in turn.
        dead: some are on a host that takes connections and says nothing.
        threads: of a worker.
        processes: workers.
        usual: part of a run that names no scenario.
    """

    name: str
    words: str
    pictures: int = 800
    size: tuple[int, int] = SMALL
    unique: float = 0.0
    latency: float = 0.0
    warm: bool = True
    opted_out: bool = False
    dead: bool = False
    threads: int = 64
    processes: int = 1
    usual: bool = True


def cold(
    unique: float,
    threads: int = 64,
    *,
    pictures: int = 1000,
    size: tuple[int, int] = SMALL,
    usual: bool = True,
) -> Scenario:
    share = f"{unique:.0%}"[:-1]
    large = "-large" if size is LARGE else ""
    return Scenario(
        f"cold-{share}-{threads}{large}",
        f"cold, 100 ms, {share}% unique hosts, {threads} threads{', 180 kB' if large else ''}",
        pictures=pictures,
        size=size,
        unique=unique,
        latency=LATENCY,
        warm=False,
        threads=threads,
        usual=usual,
    )


SCENARIOS: Final = (
    Scenario("clean", "clean, 11 kB, warm"),
    Scenario("clean-2", "clean, 11 kB, warm, 2 workers", pictures=1200, processes=2),
    Scenario("large", "clean, 180 kB, warm", pictures=300, size=LARGE),
    Scenario("mixed", "half opted out, warm", opted_out=True),
    cold(0.1, usual=False),
    cold(0.5),
    cold(1.0),
    cold(0.5, 256, usual=False),
    cold(0.5, pictures=600, size=LARGE, usual=False),
    Scenario(
        "dead",
        "a dead host among them, cold, 256 threads",
        pictures=600,
        warm=False,
        dead=True,
        threads=256,
    ),
)


@cache
def drawn(size: tuple[int, int]) -> bytes:
    """A picture of so many bytes, as photographs on the web are."""
    from PIL import Image

    side, length = size
    plane = Image.effect_noise((side, side), 24)
    image = Image.merge("RGB", (plane, plane.rotate(90), plane.rotate(180)))
    for quality in range(95, 5, -5):
        out = io.BytesIO()
        image.save(out, "JPEG", quality=quality)
        if len(out.getvalue()) <= length:
            break
    return out.getvalue()


def urls_of(scenario: Scenario, port: int) -> list[str]:
    """The pictures, in a mixed order: on a host of their own, or on one of a few."""
    kinds = ("noai", "closed", "listed")
    urls = []
    for number in range(scenario.pictures):
        own = number * scenario.unique % 1 + scenario.unique >= 1 - 1e-9
        host = f"127.{1 + number // 65_536}.{number // 256 % 256}.{number % 256}"
        folder = kinds[number // 2 % 3] if scenario.opted_out and number % 2 else "free"
        if not own:
            host = f"127.200.0.{number // 2 % 4 + 1}"
        if scenario.dead and number % DEAD_EVERY == 0:
            host = DEAD
        urls.append(f"http://{host}:{port}/{folder}/{number}.jpg")
    random.Random(1).shuffle(urls)
    return urls


# -- the server --------------------------------------------------------------------------------------------


class Web:
    """Every loopback address is an origin of it, at one port. It counts what it is asked for."""

    def __init__(self, scenario: Scenario) -> None:
        picture = drawn(scenario.size)
        robots = b"User-agent: *\nDisallow: /closed/\n"
        self.latency = scenario.latency
        self.asked: Counter[tuple[str, str]] = Counter()
        self.pictures = 0
        self._picture = _answer(200, picture, "Content-Type: image/jpeg")
        self._noai = _answer(200, picture, "Content-Type: image/jpeg", "X-Robots-Tag: noai")
        self._robots = _answer(200, robots, "Content-Type: text/plain")
        self._nothing = _answer(404, b"there is no such file\n", "Content-Type: text/plain")

    def answer(self, host: str, path: str) -> bytes | None:
        """What is sent; None: nothing ever is."""
        if path.endswith(".jpg"):
            self.pictures += 1
            answer = self._noai if path.startswith("/noai/") else self._picture
        else:
            self.asked[host, path] += 1
            answer = self._robots if path == "/robots.txt" else self._nothing
        return None if host == DEAD else answer

    def told(self) -> dict[str, Any]:
        """What there was since it was last asked: for pictures, for origin files, by how many origins."""
        asked, self.asked = self.asked, Counter()
        pictures, self.pictures = self.pictures, 0
        return {
            "pictures": pictures,
            "side": asked.total(),
            "origins": len({host for host, _ in asked}),
            "most": max(asked.values(), default=0),
        }


def _answer(status: int, body: bytes, *fields: str) -> bytes:
    lines = (f"HTTP/1.1 {status} -", f"Content-Length: {len(body)}", *fields, "", "")
    return "\r\n".join(lines).encode() + body


class Conversation(asyncio.Protocol):
    """One connection, kept or closed as the client wants it."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._host = transport.get_extra_info("sockname")[0]

    def data_received(self, data: bytes) -> None:
        self._got += data
        while b"\r\n\r\n" in self._got:
            head, _, self._got = self._got.partition(b"\r\n\r\n")
            answer = self._web.answer(self._host, head.split(b" ", 2)[1].decode())
            if answer is not None:
                last = b"connection: close" in head.lower()
                asyncio.get_running_loop().call_later(self._web.latency, self._send, answer, last)

    def _send(self, answer: bytes, last: bool) -> None:
        self._transport.write(answer)
        if last:
            self._transport.close()


def server(connection: Connection, scenario: Scenario) -> None:
    """Serve; tell, each time when asked, what there was since and how much CPU that took."""
    web = Web(scenario)

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")  # every address of loopback
        listening.bind(("0.0.0.0", 0))  # noqa: S104 - of no other interface
        await loop.create_server(lambda: Conversation(web), sock=listening, backlog=4096)
        over = loop.create_future()
        before = 0.0

        def ask() -> None:
            nonlocal before
            try:
                connection.recv()
            except EOFError:
                loop.remove_reader(connection.fileno())
                over.set_result(None)
                return
            now = time.process_time()
            connection.send(web.told() | {"busy": now - before})
            before = now

        loop.add_reader(connection.fileno(), ask)
        before = time.process_time()
        connection.send(listening.getsockname()[1])
        await over

    asyncio.run(serve())


# -- one download ------------------------------------------------------------------------------------------


class Metered:
    """A downloader of either kind that notes, after each shard, when it was and what CPU there was."""

    _before: float | None = None

    def __init__(self, downloader: Any, folder: str) -> None:
        self._downloader = downloader
        self._folder = folder

    def __call__(self, row: tuple[int, str]) -> Any:
        cls = type(self)
        if cls._before is None:
            cls._before = time.process_time()
        begin = time.time()
        done = self._downloader(row)
        note = {"begin": begin, "end": time.time(), "cpu": time.process_time() - cls._before}
        with (Path(self._folder) / str(os.getpid())).open("a", encoding="utf-8") as file:
            file.write(json.dumps(note) + "\n")
        return done


def download() -> None:
    """Make the download that standard input tells of, and print what it took."""
    import importlib

    job = json.load(sys.stdin)
    begin = time.perf_counter()
    module = importlib.import_module("img2dataset.main")
    distributor = module.multiprocessing_distributor

    def metered(processes: int, downloader: Any, *rest: Any) -> None:
        distributor(processes, Metered(downloader, job["notes"]), *rest)

    module.multiprocessing_distributor = metered
    if job["ours"]:
        from heedful.img2dataset import download as run
    else:
        run = module.download
    run(**job["options"], **job["ours"])
    wall = time.perf_counter() - begin
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    notes = [
        [json.loads(line) for line in path.read_text().splitlines()] for path in Path(job["notes"]).iterdir()
    ]
    stats = [
        json.loads(path.read_text()) for path in Path(job["options"]["output_folder"]).glob("*_stats.json")
    ]
    told = {
        "wall": max(worker[-1]["end"] for worker in notes) - min(worker[0]["begin"] for worker in notes),
        "cpu": sum(worker[-1]["cpu"] for worker in notes),
        "all_wall": wall,
        "all_cpu": used.ru_utime + used.ru_stime,
        "stored": sum(each["successes"] for each in stats),
        "rows": sum(each["count"] for each in stats),
    }
    sys.stdout.write("\n" + json.dumps(told) + "\n")


def run(scenario: Scenario, urls: list[str], folder: Path, ours: dict[str, Any]) -> dict[str, Any]:
    (folder / "notes").mkdir(parents=True)
    (folder / "urls.txt").write_text("".join(f"{url}\n" for url in urls), "utf-8")
    options = {
        "url_list": str(folder / "urls.txt"),
        "output_folder": str(folder / "data"),
        "output_format": "webdataset",
        "image_size": 256,
        "thread_count": scenario.threads,
        "processes_count": scenario.processes,
        "number_sample_per_shard": SHARD,
        "timeout": TIMEOUT,
    }
    done = subprocess.run(
        [sys.executable, __file__, "--download"],
        input=json.dumps({"options": options, "ours": ours, "notes": str(folder / "notes")}),
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"},
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if told["rows"] != scenario.pictures:
        sys.exit(f"{told['rows']} rows of {scenario.pictures}\n{done.stdout}{done.stderr}")
    return told


# -- the pairs ---------------------------------------------------------------------------------------------


def pairs(scenario: Scenario, count: int, folder: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """What each pair of downloads took."""
    from heedful.registry import Writer
    from heedful.registry.entries import Entry, Kind

    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    running = context.Process(target=server, args=(there, scenario), daemon=True)
    running.start()
    there.close()
    urls = urls_of(scenario, here.recv())
    registry = folder / "bench.heed"
    with Writer.build(registry, source="bench") as writer:
        for url in ("http://127.200.0.1/not/there.jpg", *(url for url in urls if "/listed/" in url)):
            writer.add(Entry(Kind.URL, url, "bench"))

    def downloaded(number: str, who: str) -> dict[str, Any]:
        place = folder / f"{number}-{who}"
        ours = {
            "heedful_token": "PictureBot",
            "heedful_contact": "https://me.example/bot",
            "heedful_registries": [str(registry)],
            "heedful_cache": str(folder / "cache" if scenario.warm else place / "cache"),
        }
        told = run(scenario, urls, place, ours if who == "heedful" else {})
        here.send(True)
        return told | here.recv()

    if scenario.warm:
        downloaded("first", "heedful")
    for number in range(count):
        order = KEYS if number % 2 else KEYS[::-1]
        yield {who: downloaded(str(number), who) for who in order}
    here.close()
    running.join()


def summed_up(scenario: Scenario, measured: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    def median(who: str, what: str) -> float:
        return statistics.median(pair[who][what] for pair in measured)

    ratios = sorted(pair["plain"]["wall"] / pair["heedful"]["wall"] for pair in measured)
    added = sorted(
        (pair["heedful"]["cpu"] - pair["plain"]["cpu"]) * 1e6 / scenario.pictures for pair in measured
    )
    ours = [pair["heedful"] for pair in measured]
    return {
        "scenario": scenario.name,
        "words": scenario.words,
        "pictures": scenario.pictures,
        "pairs": len(measured),
        "per_second": [scenario.pictures / median(who, "wall") for who in KEYS],
        "ratio": [statistics.median(ratios), ratios[0], ratios[-1]],
        "cpu_us": [median(who, "cpu") * 1e6 / scenario.pictures for who in KEYS],
        "added_us": [statistics.median(added), added[0], added[-1]],
        "start_s": [median(who, "all_wall") - median(who, "wall") for who in KEYS],
        "stored": [median(who, "stored") for who in KEYS],
        "asked": [median(who, "pictures") for who in KEYS],
        "files": max(each["side"] for each in ours) / max(1, *(each["origins"] for each in ours)),
        "most": max(each["most"] for each in ours),
        "server": max(pair[who]["busy"] / pair[who]["wall"] for pair in measured for who in KEYS),
    }


def show(results: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="img2dataset alone / with heedful; (least to greatest of the pairs)")
    for number, name in enumerate(
        (
            *("", "pictures/s", "ratio", "CPU, us a picture", "added", "start, s", "asked for", "stored"),
            *("files an origin", "most often one", "server busy"),
        )
    ):
        table.add_column(name, justify="right" if number else "left")

    def both(values: list[float], form: str) -> str:
        return " / ".join(form.format(value) for value in values)

    for result in results:
        table.add_row(
            result["words"],
            both(result["per_second"], "{:.0f}"),
            "{:.2f} ({:.2f} to {:.2f})".format(*result["ratio"]),
            both(result["cpu_us"], "{:.0f}"),
            "{:.0f} ({:.0f} to {:.0f})".format(*result["added_us"]),
            both(result["start_s"], "{:.1f}"),
            both(result["asked"], "{:.0f}"),
            both(result["stored"], "{:.0f}"),
            f"{result['files']:.1f}",
            str(result["most"]),
            f"{result['server']:.0%}",
        )
    Console(width=190).print(table)


# -- the parts ---------------------------------------------------------------------------------------------


class _Canned(HTTPHandler):
    """What the network would have brought, without it."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self._sent = _answer(200, body, "Content-Type: image/jpeg", "Server: nginx", 'ETag: "5f1-2b4c"')

    def http_open(self, request: Request) -> HTTPResponse:
        response = HTTPResponse(self)
        response.begin()
        response.url, response.msg = request.full_url, response.reason
        return response

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(self._sent))


def parts(body: bytes) -> dict[str, float]:  # noqa: PLR0915 - one table, line by line
    """Microseconds of CPU that each part of the way takes a picture, in one thread, all warm."""
    from heedful.configuration import Configuration
    from heedful.img2dataset._rows import RowEnforcer, Rows
    from heedful.ledger import LedgerWriter, Run
    from heedful.model import Action, OriginFile, Response
    from heedful.registry import Writer
    from heedful.registry.entries import Entry, Kind
    from heedful.urllib import Handler

    urls = [f"http://127.200.0.{number % 4 + 1}:8080/free/{number}.jpg" for number in range(PARTS)]
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        with Writer.build(folder / "bench.heed", source="bench") as writer:
            writer.add(Entry(Kind.URL, "http://127.200.0.1:8080/not/there.jpg", "bench"))
        configuration = Configuration.check(
            token="PictureBot",
            contact="https://me.example/bot",
            registries=[folder / "bench.heed"],
            cache=folder / "cache",
            ledger=folder,
            now=time.time(),
        )
        enforcer = opened.enter_context(RowEnforcer(configuration))
        gate = enforcer.gate
        run = Run.start(
            crawler="bench/1", token="PictureBot", policy=configuration.policy, enforced=True, now=time.time()
        )
        for url in urls[:4]:
            for each in (*gate.origin_files(url), url[: url.index("/free/")] + "/trust.txt"):
                robots = each.endswith("robots.txt")
                there = b"User-agent: *\nDisallow: /closed/\n" if robots else b""
                enforcer.origins._known.keep(OriginFile(each, 200 if robots else 404, (), there, time.time()))
        head = Response(200, tuple(HTTPResponse.getheaders(_Canned(body).http_open(Request(urls[0])))))  # noqa: S310 - nothing is opened
        plain = build_opener(_Canned(body))
        timed: dict[str, list[float]] = {}

        def time_each(name: str, act: Callable[[Any], object], each: list[Any]) -> None:
            begin = time.process_time_ns()
            for one in each:
                act(one)
            timed.setdefault(name, []).append((time.process_time_ns() - begin) / PARTS / 1000)

        def read(opener: OpenerDirector, url: str) -> None:
            with opener.open(url) as response:
                response.read()

        def once(round_: int) -> None:
            known: list[Any] = []
            time_each(
                "registry, in a batch",
                lambda all_: known.extend(gate.registered_batch(all_, time.time())),
                [urls],
            )
            rows = Rows(enforcer, urls, None, known)
            time_each("before the request", enforcer.before, [rows[n] for n in range(PARTS)])
            time_each(
                "head",
                lambda row: enforcer.head(row, head, length=len(body)),
                [rows[n] for n in range(PARTS)],
            )
            time_each("body", lambda row: enforcer.body(row, head, body), [rows[n] for n in range(PARTS)])
            ledger = LedgerWriter(str(folder), run, worker=str(round_), atomic=True)

            def record(row: Any) -> None:
                outcome = row.outcome[0]
                ledger.record(
                    outcome.url, outcome.action, outcome.verdict, status=200, bytes_read=outcome.read
                )

            time_each("record", record, [rows[n] for n in range(PARTS)])
            ledger.close()
            if any(rows[n].outcome[0].action is not Action.STORE for n in range(PARTS)):
                sys.exit("a picture was refused")
            rows = Rows(enforcer, urls, None, known)
            guarded = build_opener(
                _Canned(body), Handler.of(enforcer, start=rows.start, replace_user_agent=True)
            )

            def enter(number: int) -> None:
                rows.enter(number)
                read(guarded, urls[number])

            time_each("opener alone", lambda url: read(plain, url), urls)
            time_each("opener with heedful", enter, list(range(PARTS)))

        once(0)  # fills what is to be warm
        timed.clear()
        profile = cProfile.Profile() if os.environ.get("PROFILE") else None
        if profile is not None:
            profile.enable()
        for round_ in range(ROUNDS):
            once(round_)
        if profile is not None:
            profile.disable()
            profile.dump_stats(os.environ["PROFILE"])
        added = [a - b for a, b in zip(timed["opener with heedful"], timed["opener alone"], strict=True)]
        timed["added: opener and all in it"] = added
        timed["added in all"] = [
            sum(each) for each in zip(added, timed["registry, in a batch"], timed["record"], strict=True)
        ]
        return {name: statistics.median(values) for name, values in timed.items()}


def show_parts(measured: dict[str, dict[str, float]], *, as_json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    if as_json:
        Console().print_json(data=measured)
        return
    table = Table("", *measured, title="Microseconds of CPU a picture, in one thread")
    for name in next(iter(measured.values())):
        table.add_row(name, *[f"{parts_[name]:.1f}" for parts_ in measured.values()])
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--all", action="store_true", help="every scenario, not only the usual ones")
    parser.add_argument("--only", nargs="+", choices=[scenario.name for scenario in SCENARIOS])
    parser.add_argument("--parts", action="store_true", help="the calls by which a picture is judged")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--download", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.download:
        download()
        return
    if args.parts:
        show_parts(
            {f"{len(body) / 1000:.0f} kB": parts(body) for body in map(drawn, (SMALL, LARGE))},
            as_json=args.json,
        )
        return
    results = []
    for scenario in SCENARIOS:
        if scenario.name in args.only if args.only else args.all or scenario.usual:
            with tempfile.TemporaryDirectory() as folder:
                results.append(summed_up(scenario, list(pairs(scenario, args.pairs, Path(folder)))))
    if args.json:
        sys.stdout.write(json.dumps(results, indent=2) + "\n")
    else:
        show(results)


if __name__ == "__main__":
    main()
