"""Stored pictures, asked for again: on the real engine, over sites that have changed their minds."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("scrapy")

from heedful import Action, ConfigurationError
from heedful._recheck_cli import COLUMNS
from heedful._recheck_cli import recheck as command
from heedful.changes import Before, Cause, Changes
from heedful.cli import _Main
from heedful.ledger import LedgerReader
from heedful.registry import Writer
from heedful.registry.entries import Entry, Kind
from heedful.testing import TOKEN, Fault, File, Picture, Site, Web, embed, redirect, serve
from heedful_spiders._queue import Queue, State, waiting
from heedful_spiders.recheck import (
    ABOUT,
    LOG,
    WORK,
    Counts,
    RecheckError,
    recheck,
)

HERE = Path(__file__).parent
JPEG = ("Content-Type", "image/jpeg")
TEXT = (("Content-Type", "text/plain"),)
HTML = (("Content-Type", "text/html"),)
NOAI = ("X-Robots-Tag", "noai")
PATH = "/1.jpg"


def picture(number=1, *headers):
    return File(Picture(number, "JPEG"), headers=(JPEG, *headers))


def text(body, status=200):
    return File(body, status, TEXT)


def run(*args):
    """Run the command, as the program does."""
    done = CliRunner().invoke(
        _Main("heedful", commands={"recheck": command}), ["recheck", *map(str, args)], catch_exceptions=False
    )
    done.told = json.loads(done.stdout) if "--json" in args and done.stdout else None
    return done


def records(ledger):
    reader = LedgerReader(str(ledger))
    found = list(reader)
    assert reader.faults == []
    return found


def by_url(ledger):
    """The records by the URLs as they were given, each of which has one."""
    found = {}
    for record in records(ledger):
        first = record.hop_of or record.url
        assert first not in found
        found[first] = record
    return found


def pictures_asked(served):
    """The requests for anything but origin files and the start page, since the log began."""
    files = re.compile(r"(robots|ai|trust)\.txt|\.json|^/$")
    return [hit for hit in served.log if not files.search(hit.path)]


# -- a crawl, and what has changed since -------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A site: what it serves at the crawl beside its picture, what it serves later, what comes of that."""

    later: dict[str, File] = field(default_factory=dict)
    action: Action = Action.SKIP
    reason: str | None = None
    cause: str | None = "owner"
    before: str | None = "absent"
    first: dict[str, File] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
    asked: tuple[str, ...] = ("HEAD",)
    more: dict[str, Any] = field(default_factory=dict)


def still(**more):
    return {"cause": None, "before": None, **more}


GPTBOT = "User-agent: GPTBot\nUser-agent: CCBot\nDisallow: /\n"
RESERVED = text('[{"location": "/", "tdm-reservation": 1}]')

CASES = {
    "free": Case({}, Action.STORE, **still()),
    "another-robots-txt": Case(
        {"/robots.txt": text("User-agent: *\nDisallow: /private\n")},
        Action.STORE,
        first={"/robots.txt": text("User-agent: *\nDisallow: /tmp\n")},
        **still(),
    ),
    "ai-tokens": Case({"/robots.txt": text(GPTBOT)}, reason="robots.ai-token", asked=()),
    "disallowed": Case(
        {"/robots.txt": text("User-agent: *\nDisallow: /\n")},
        reason="robots.disallow",
        first={"/robots.txt": text("User-agent: *\nDisallow: /tmp\n")},
        before="other",
        asked=(),
    ),
    "tdmrep": Case({"/.well-known/tdmrep.json": RESERVED}, reason="tdmrep"),
    "header": Case({PATH: picture(1, NOAI)}, reason="x-robots-tag"),
    "listed": Case({}, reason="registry.url", cause="registry", asked=()),
    "read-otherwise": Case(
        {},
        reason="x-robots-tag",
        cause="policy",
        before="same",
        headers=(("X-Robots-Tag", "noindex"),),
    ),
    "moved": Case({PATH: redirect("{{disallowed}}/2.jpg")}, reason="robots.disallow"),
    "moved-and-free": Case({PATH: redirect("{{free}}/1.jpg")}, Action.STORE, **still()),
    "moved-for-good-by-noai": Case(
        {PATH: redirect("{{free}}/1.jpg", headers=(NOAI,))}, reason="x-robots-tag"
    ),
    "removed": Case(
        {PATH: text("", 404)}, Action.FAILED, asked=("HEAD", "GET"), **still(more={"status": 404})
    ),
    "gone": Case({PATH: text("", 410)}, Action.FAILED, asked=("HEAD", "GET"), **still(more={"status": 410})),
    "broken": Case(
        {PATH: File(fault=Fault.RESET)},
        Action.FAILED,
        asked=("HEAD", "GET"),
        **still(more={"status": None}),
    ),
    "unreachable": Case(
        {"/robots.txt": text("", 503)}, Action.DEFER, "robots.unreachable", asked=(), **still()
    ),
}


@dataclass
class World:
    served: Any
    folder: Path
    first: list
    done: Any
    told: dict
    log: list


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Sites that were crawled under the policy `letter`, have changed, and are rechecked under `standard`."""
    folder = tmp_path_factory.mktemp("world")
    files = {name: {PATH: picture(1, *case.headers), **case.first} for name, case in CASES.items()}
    page = "".join(f'<img src="{{{{{name}}}}}{PATH}">' for name in CASES)
    sites = {"start": Site({"/": File(page, headers=HTML)})}
    sites |= {name: Site(some) for name, some in files.items()}
    with serve(Web(sites)) as served:
        crawled = subprocess.run(
            [sys.executable, "-m", "heedful.cli", "crawl", served.start_url, "--out", str(folder / "out"),
             "--token", TOKEN, "--policy", "letter", "--follow", "none"],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        assert crawled.returncode == 0
        first = records(folder / "out" / "ledger")
        assert {record.action for record in first} == {Action.STORE}
        assert len(first) == len(CASES)
        for name, case in CASES.items():
            files[name] |= case.later
        with Writer.build(folder / "new.heed", source="tests") as writer:
            writer.add(Entry(Kind.URL, served.url("listed", PATH), "artists", opt_in=False))
        served.settle()
        begun = len(served.log)
        done = run(
            folder / "out", "--token", TOKEN, "--registry", folder / "new.heed",
            "--ledger", folder / "again", "--out", folder / "remove.jsonl", "--json",
        )  # fmt: skip
        served.settle()
        yield World(served, folder, first, done, done.told, list(served.log[begun:]))


@pytest.mark.parametrize("name", CASES)
def test_what_became_of_a_site(world, name):
    case, url = CASES[name], world.served.url(name, PATH)
    record = by_url(world.folder / "again")[url]
    assert (record.action, record.reason and record.reason.value) == (case.action, case.reason)
    assert {key: getattr(record, key) for key in case.more} == case.more
    assert record.run.enforced
    asked = [hit.method for hit in world.log if (hit.site, hit.path) == (name, PATH)]
    assert tuple(dict.fromkeys(asked)) == case.asked


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.action is Action.SKIP])
def test_the_list_says_what_has_changed(world, name):
    case, url = CASES[name], world.served.url(name, PATH)
    lines = [json.loads(line) for line in (world.folder / "remove.jsonl").read_text().splitlines()]
    (line,) = [line for line in lines if line["url"] == url]
    assert (line["reason"], line["cause"]) == (case.reason, case.cause)
    assert line["evidence"][0]["before"] == case.before
    assert line["evidence"][0]["raw"]
    (former,) = [record for record in world.first if record.url == url]
    assert line["former"]["id"] == former.id
    assert line["former"]["policy"]["name"] == "letter"


def test_the_summary(world):
    wanted = Counter(case.action for case in CASES.values())
    told = world.told
    assert world.done.exit_code == 1
    assert told["rechecked"] == len(CASES)
    assert told["free"] == wanted[Action.STORE]
    assert sum(told["opted_out"].values()) == wanted[Action.SKIP]
    assert told["deferred"] == {"robots.unreachable": 1}
    assert (told["gone"], told["failed"]) == (2, 1)
    assert told["causes"] == {"owner": 6, "registry": 1, "policy": 1}
    assert (told["unaskable"], told["left"], told["left_out"]) == (0, 0, 0)
    assert (world.folder / "remove.jsonl").read_text().count("\n") == wanted[Action.SKIP]


def test_no_body_is_sent(world):
    pictures = [hit for hit in world.log if hit.path in {PATH, "/2.jpg"}]
    assert {hit.method for hit in pictures} == {"HEAD", "GET"}
    assert sum(hit.body_bytes_sent for hit in pictures) == 0
    assert {record.bytes_read for record in records(world.folder / "again")} == {0}
    assert world.told["bytes_read"] == 0
    assert world.told["bytes_avoided"] > 0


def test_origin_files_are_asked_for_anew_and_once(world):
    """The crawl had just asked for them, and has left them in the machine's cache."""
    asked = Counter(hit.site for hit in world.log if hit.path == "/robots.txt")
    wanted = dict.fromkeys(CASES, 1) | {"unreachable": 2}  # a server fault has a second chance
    del wanted["listed"]  # by URL: nobody is asked
    assert asked == wanted


def test_the_same_again_asks_for_nothing(world):
    begun = len(world.served.log)
    done = run(
        world.folder / "out", "--token", TOKEN, "--registry", world.folder / "new.heed",
        "--ledger", world.folder / "again",
    )  # fmt: skip
    assert world.served.log[begun:] == ()
    assert done.exit_code == 1
    assert f"Asked for before, and not once more: {len(CASES)}." in done.stdout
    assert "robots.ai-token" in done.stdout
    assert "their sites say so now" in done.stdout


@pytest.mark.parametrize("suffix", [".csv", ".txt"])
def test_other_forms_of_the_list(world, suffix):
    out = world.folder / f"remove{suffix}"
    run(
        world.folder / "out" / "ledger", "--token", TOKEN, "--registry", world.folder / "new.heed",
        "--ledger", world.folder / "again", "--out", out,
    )  # fmt: skip
    urls = {world.served.url(name, PATH) for name, case in CASES.items() if case.action is Action.SKIP}
    with out.open(newline="") as file:
        if suffix == ".txt":
            assert set(file.read().splitlines()) == urls
            return
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert {row["url"] for row in rows} == urls
    (row,) = [row for row in rows if row["reason"] == "robots.ai-token"]
    assert (row["cause"], row["before"], row["where"]) == ("owner", "absent", "line 3")


def test_without_a_former_ledger(world):
    found = list(Changes(str(world.folder / "again")))
    assert {change.cause for change in found} == {"unknown"}
    assert all(change.as_dict()["former"] is None for change in found)


def test_changes_are_compared_in_portions(world, monkeypatch):
    ledgers = str(world.folder / "again"), [str(world.folder / "out" / "ledger")]
    whole = list(Changes(*ledgers))
    monkeypatch.setattr("heedful.changes.COMPARED_AT_ONCE", 3)
    assert list(Changes(*ledgers)) == whole
    assert all(change.former for change in whole)


DOCS = (Path(__file__).parents[2] / "docs" / "recheck.md").read_text("utf-8")


@pytest.mark.parametrize(
    "word", [*Cause, *Before, *(option for each in command.params for option in each.opts)]
)
def test_the_document_names(word):
    usual = {"sources", "--policy", "--json"}
    assert word in usual or f"`{word}`" in DOCS or f"{word} " in DOCS


def test_a_recheck_can_be_rechecked(world, tmp_path):
    """What is still free is what its ledger has as stored."""
    done = run(
        world.folder / "again", "--token", TOKEN, "--policy", "letter", "--ledger", tmp_path / "l", "--json"
    )
    assert done.exit_code == 0
    assert done.told["free"] == done.told["rechecked"] == 3


# -- methods and bytes -------------------------------------------------------------------------------------

BODY = b"\xff\xd8" + b"x" * 3_000_000


class Moody(BaseHTTPRequestHandler):
    """Answers HEAD with the status in the path, or by hanging up, and GET with a large picture."""

    protocol_version = "HTTP/1.1"
    log: list[tuple[str, str]]

    def do_HEAD(self):
        self._answer(int(self.path.split("/")[1].partition(".")[0]))

    def do_GET(self):
        self._answer(404 if self.path.endswith((".txt", ".json")) else 200)

    def _answer(self, status):
        if not self.path.endswith((".txt", ".json")):
            self.log.append((self.command, self.path))
        if not status:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(BODY) if status == 200 else 0))
        if self.command == "GET" and "noai" in self.path:
            self.send_header("X-Robots-Tag", "noai")
        self.end_headers()
        if self.command == "GET" and status == 200:
            try:
                self.wfile.write(BODY)
            except ConnectionError:
                self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def moody():
    class Handler(Moody):
        log: list[tuple[str, str]] = []  # noqa: RUF012 - this test's own

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", Handler.log
        server.shutdown()
        thread.join()


BY_GET = ("400", "403", "404", "405", "405.noai", "410", "500", "501", "0")
NEVER_BY_GET = ("200", "429", "503")


def test_head_that_is_refused_becomes_get_of_which_the_body_is_not_read(moody, tmp_path):
    origin, log = moody
    urls = [f"{origin}/{name}" for name in (*BY_GET, *NEVER_BY_GET)]
    counts = recheck(urls, token=TOKEN, ledger=tmp_path / "ledger")
    found = {url.rpartition("/")[2]: record for url, record in by_url(tmp_path / "ledger").items()}
    for name in BY_GET:
        assert list(dict.fromkeys(method for method, path in log if path == f"/{name}")) == ["HEAD", "GET"]
        assert found[name].status == 200
        assert found[name].action is (Action.SKIP if "noai" in name else Action.STORE)
        assert (found[name].bytes_read, found[name].bytes_avoided) == (0, len(BODY))
    for name in NEVER_BY_GET:
        assert {method for method, path in log if path == f"/{name}"} == {"HEAD"}
    assert {name: found[name].action for name in NEVER_BY_GET} == {
        "200": Action.STORE,
        "429": Action.FAILED,
        "503": Action.FAILED,
    }
    assert (counts.free, dict(counts.skipped), counts.gone, counts.failed) == (
        len(BY_GET),
        {"x-robots-tag": 1},
        0,
        2,
    )


def test_get_from_the_start(tmp_path):
    large = File(BODY, headers=(JPEG,))
    with serve(Web({"a": Site({PATH: large, "/2.jpg": picture(2)})})) as served:
        urls = [served.url("a", PATH), served.url("a", "/2.jpg")]
        (tmp_path / "urls.txt").write_text("\n".join(urls))
        done = run(
            tmp_path / "urls.txt", "--token", TOKEN, "--ledger", tmp_path / "ledger", "--get", "--json"
        )
        served.settle()
        asked = pictures_asked(served)
    assert {hit.method for hit in asked} == {"GET"}
    assert max(hit.body_bytes_sent for hit in asked) < len(BODY) // 4  # what the sockets' buffers took
    assert (done.exit_code, done.told["free"], done.told["bytes_read"]) == (0, 2, 0)
    assert {record.complete.value for record in records(tmp_path / "ledger")} == {"headers"}


def test_with_the_bytes(tmp_path):
    packet = embed.dmi_packet("DMI-PROHIBITED")
    files = {
        "/free.jpg": picture(1),
        "/says-it-itself.jpg": File(embed.xmp(Picture(2, "JPEG").render(), packet), headers=(JPEG,)),
        "/listed.jpg": picture(3),
    }
    with Writer.build(tmp_path / "new.heed", source="tests") as writer:
        digest = hashlib.sha256(Picture(3, "JPEG").render()).hexdigest()
        writer.add(Entry(Kind.SHA256, digest, "artists", opt_in=False))
    with serve(Web({"a": Site(files)})) as served:
        urls = [served.url("a", path) for path in files]
        options = {"token": TOKEN, "registries": [tmp_path / "new.heed"]}
        assert recheck(urls, ledger=tmp_path / "headers", **options).free == 3
        assert {hit.method for hit in pictures_asked(served)} == {"HEAD"}
        recheck(urls, ledger=tmp_path / "bytes", read_bytes=True, **options)
        reasons = {
            url.rpartition("/")[2]: str(each.reason) for url, each in by_url(tmp_path / "bytes").items()
        }
    assert reasons == {"free.jpg": "None", "says-it-itself.jpg": "data-mining", "listed.jpg": "registry.hash"}
    assert all(record.bytes_read for record in records(tmp_path / "bytes"))


# -- killed, and taken up again ----------------------------------------------------------------------------

COUNT = 12


@pytest.fixture
def dozen(tmp_path):
    files = {f"/{number}.jpg": picture(number) for number in range(COUNT)}
    with serve(Web({"a": Site(files)})) as served:
        yield served, [served.url("a", path) for path in files], tmp_path / "ledger"


def check_resumed(served, urls, ledger, before):
    counts = recheck(urls, token=TOKEN, ledger=ledger)
    assert 0 < before < COUNT
    assert (counts.decided_before, counts.free, counts.finish_reason) == (before, COUNT - before, "finished")
    assert set(by_url(ledger)) == set(urls)
    assert len([hit for hit in served.log if hit.path == "/robots.txt"]) == 1


def test_the_process_that_asks_is_killed(dozen, monkeypatch):
    served, urls, ledger = dozen
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    killing = {"EXTENSIONS": {"killing.Killer": 0}, "KILLED_AFTER": 3, "CONCURRENT_REQUESTS": 1}
    with pytest.raises(RecheckError, match=r"code -9: see .*crawl\.log"):
        recheck(urls, token=TOKEN, ledger=ledger, scrapy=killing)
    check_resumed(served, urls, ledger, len(records(ledger)))


SLOWLY = {"AUTOTHROTTLE_ENABLED": False, "DOWNLOAD_DELAY": 0.2, "CONCURRENT_REQUESTS": 1}

PROGRAM = """
import json, os, signal, sys
from heedful_spiders.recheck import recheck
urls, ledger, settings = json.load(sys.stdin)
def progress(counts):
    if counts.decided:
        os.kill(os.getpid(), signal.SIGKILL)
recheck(urls, token="PictureBot", ledger=ledger, scrapy=settings, progress=progress)
"""


def test_the_program_that_has_begun_it_is_killed(dozen):
    """The process that asks notices, and ends: here, its standard error is waited for."""
    served, urls, ledger = dozen
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps([urls, str(ledger), SLOWLY]),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert "shutdown" in (ledger / WORK / LOG).read_text()
    check_resumed(served, urls, ledger, len(records(ledger)))


def test_what_progress_raises_ends_the_run(dozen):
    _, urls, ledger = dozen

    def progress(counts):
        if counts.decided:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recheck(urls, token=TOKEN, ledger=ledger, progress=progress, scrapy=SLOWLY)
    assert "shutdown" in (ledger / WORK / LOG).read_text()


def test_progress(dozen):
    _, urls, ledger = dozen
    told = []
    last = recheck(urls, token=TOKEN, ledger=ledger, progress=told.append)
    assert told[0] == Counts(listed=COUNT)
    assert told[-1] == last
    assert [each.decided for each in told] == sorted(each.decided for each in told)
    assert {each.to_ask for each in told} == {COUNT}


CROWDED = """
import json, sys
from scrapy.crawler import CrawlerProcess
from scrapy.settings import Settings
from heedful_spiders import recheck
recheck.IN_FLIGHT_MAX = 3
urls, settings = json.load(sys.stdin)
read = []
def lazily():
    for number, url in enumerate(urls, 1):
        read.append(number - crawler.stats.get_value(recheck.DECIDED_STAT, 0))
        yield url
process = CrawlerProcess(Settings({**recheck.SETTINGS, **settings}))
crawler = process.create_crawler(recheck.RecheckSpider)
process.crawl(crawler, urls=lazily())
process.start()
print(json.dumps([crawler.stats.get_value("heedful/store"), max(read)]))
"""


def test_no_more_are_handed_out_than_there_is_room_for(dozen, tmp_path):
    _, urls, ledger = dozen
    settings = {
        "ADDONS": {"heedful.scrapy.Addon": 500},
        "HEEDFUL_TOKEN": TOKEN,
        "HEEDFUL_LEDGER": str(ledger),
        "HEEDFUL_CACHE": str(tmp_path / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-c", CROWDED],
        input=json.dumps([urls, settings]),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert json.loads(done.stdout) == [COUNT, 3 + 1]  # the next one is read, and waits


# -- URLs of all kinds -------------------------------------------------------------------------------------

ODD = {
    "with spaces": "/a b.jpg",
    "not ASCII": "/é.jpg",
    "escaped": "/%C3%A9.jpg",
    "a terminal's": "/\x1b[2J\x07.jpg",
    "lines": "/a\r\nX: y.jpg",
    "markup": "/[bold]<script>.jpg",
    "a fragment": "/f.jpg#x",
    "a query": "/q.jpg?a=1&b=%zz",
    "no path": "",
    "long": f"/{'x' * 8000}.jpg",
    "dots": "/a/../b.jpg",
}

UNASKABLE = [
    *("", " ", "nope", "/1.jpg", "javascript:alert(1)", "file:///etc/passwd", "ftp://a.example/1.jpg"),
    *("data:image/gif;base64,R0", "http://", "http://[::1", "http://a b/", "http://a.example:99999/"),
    *("http://a.example/\ud800.jpg", f"http://a.example/{'x' * 20_000}"),
]


def test_urls_of_all_kinds(tmp_path):
    """Each has one record under the very text that it was given as."""
    site = Site({path: picture(1, NOAI) for path in ("/f.jpg", "/a%20b.jpg")})
    with serve(Web({"a": site})) as served:
        urls = [served.url("a", path) for path in ODD.values()]
        urls += [f"\t{served.url('a', '/tab.jpg')}", served.url("a", "/case.jpg").replace("http", "HTTP")]
        counts = recheck([*urls, *UNASKABLE, *urls], token=TOKEN, ledger=tmp_path / "ledger")
        assert not {hit.path for hit in served.log if any(sign <= " " for sign in hit.path)}
    assert (counts.listed, counts.unaskable) == (len(urls) + len(UNASKABLE), len(UNASKABLE))
    assert (counts.decided, counts.finish_reason) == (len(urls), "finished")
    assert set(by_url(tmp_path / "ledger")) == set(urls)
    assert dict(counts.skipped) == {"x-robots-tag": 2}


def test_hostile_urls_in_the_terminal_and_in_lists(tmp_path):
    closed = Site({"/robots.txt": text("User-agent: *\nDisallow: /\n")})
    with serve(Web({"a": closed})) as served:
        urls = [served.url("a", path) for path in ODD.values()]
        source = tmp_path / "urls.jsonl"
        source.write_text("".join(json.dumps({"url": url}) + "\n" for url in urls))
        args = (source, "--token", TOKEN, "--ledger", tmp_path / "ledger")
        done = run(*args)
        assert done.exit_code == 1
        assert done.stdout.isascii() or done.stdout.replace("\n", "").isprintable()
        assert "\x1b" not in done.stdout
        run(*args, "--out", tmp_path / "all.jsonl")
        listed = run(*args, "--out", tmp_path / "some.txt")
    whole = [json.loads(line)["url"] for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert sorted(whole) == sorted(urls)
    some = (tmp_path / "some.txt").read_text().splitlines()
    left_out = len(urls) - len(some)
    assert sorted(some) == sorted(url for url in urls if url.isprintable() and " " not in url)
    assert (
        f"Not in the list, for control characters or spaces in them; .jsonl has all: {left_out}"
        in listed.stderr
    )


def test_the_queue(tmp_path):
    path = tmp_path / "urls.sqlite"
    urls = [f"http://{host}.example/{number}" for host in "ab" for number in range(100)]
    with Queue(path) as queue:
        queue.decided([urls[0], "http://other.example/"])
        queue.put([*urls, urls[1], "nope", "nope", "\ud800"])
        assert queue.count() == {
            State.DECIDED: 1,
            State.DECIDED_BEFORE: 1,
            State.WAITING: 199,
            State.UNASKABLE: 2,
        }
    handed = list(waiting(path))
    assert sorted(handed) == sorted(urls[1:])
    assert handed != urls[1:]
    hosts = [url[7] for url in handed]
    assert max(len(run) for run in re.findall("a+|b+", "".join(hosts))) < 20  # mixed, the same way each time


# -- usage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nowhere"], "no such file"),
        (["empty"], "is no ledger and no dataset"),
        (["nothing.txt"], "No stored picture is named"),
        (["urls.txt", "--policy", "nope"], "nope"),
        (["urls.txt", "--policy", "opt-in"], "must be read"),
        (["urls.txt", "--registry", "nowhere.heed"], "nowhere.heed"),
        (["urls.txt", "--former", "nowhere"], "no ledger"),
        (["urls.txt", "--ledger", "crawl"], "the ledger of something else"),
        (["urls.txt", "--ledger", "begun"], "was begun with another"),
        (["urls.txt", "--ledger", "memory://x"], "a folder of this machine"),
        (["urls.txt", "--token", "no token"], "token"),
        (["table.csv"], "no column url"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage_errors(tmp_path, monkeypatch, args, words):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("nothing.txt").write_text("\n")
    Path("urls.txt").write_text("http://127.0.0.1:9/1.jpg\n")
    Path("table.csv").write_text("picture,size\nhttp://127.0.0.1:9/1.jpg,1\n")
    Path("crawl").mkdir()
    Path("crawl", "a.jsonl").write_text("{}\n")
    Path("begun", WORK).mkdir(parents=True)
    Path("begun", WORK, ABOUT).write_text('{"token": "OtherBot"}')
    defaults = {"--token": TOKEN, "--ledger": "ledger"}
    for option, value in defaults.items():
        args = args if option in args else [*args, option, value]
    done = run(*args)
    assert done.exit_code == 2
    assert words in done.stderr
    assert not list(Path("ledger").glob("*.jsonl"))


def test_a_setting_that_only_the_crawl_refuses(tmp_path):
    with pytest.raises(ConfigurationError, match="HEEDFUL_NOPE is no setting"):
        recheck(["http://127.0.0.1:9/"], token=TOKEN, ledger=tmp_path / "l", scrapy={"HEEDFUL_NOPE": 1})


def test_no_url_at_all(tmp_path):
    counts = recheck([], token=TOKEN, ledger=tmp_path / "ledger")
    assert counts == Counts(finish_reason="finished")
    assert [each.name for each in (tmp_path / "ledger").iterdir()] == [WORK]
