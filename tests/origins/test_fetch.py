"""Fetching: once per file, bounded, held up by nobody, and never where it must not go."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import zlib

import pytest

from heedful import OriginFile
from heedful.errors import ConfigurationError
from heedful.origins import FILE_MAX, Entry, lifetime
from heedful.origins import fetch as fetching
from heedful.origins.cache import OriginCache
from heedful.origins.freshness import LIFETIME_MAX, RETRY_AFTER
from heedful.origins.known import SILENT_MAX, Known
from heedful.origins.memory import Memory
from heedful.origins.target import URL_MAX
from heedful.testing import Fault, File, Site, Web, redirect

PATHS = (
    "/robots.txt",
    "/.well-known/tdmrep.json",
    "/ai.txt",
    "/.well-known/ai.txt",
    "/.well-known/trust.txt",
)
ROBOTS = b"User-agent: *\nDisallow: /art/\n"
READABLE = File(ROBOTS, headers=(("Content-Type", "text/plain"),))
STALLED = File(fault=Fault.STALL)
ALIVE = Site({"/robots.txt": READABLE, "/1.jpg": File(b"x")})
DEAD = Site(dict.fromkeys(PATHS, STALLED))
WEB = Web({"alive": ALIVE, "dead": DEAD})


def asked(web, site):
    return [web.url(site, path) for path in PATHS]


def statuses(files):
    return [file.status for file in files.values()]


def test_an_origins_files(served, fetcher, cache, clock):
    web = served(WEB)
    origins = fetcher(cache(), now=clock.now)
    urls = asked(web, "alive")
    files = origins.files([*urls, urls[0]], web.url("alive", "/1.jpg"))
    assert list(files) == urls
    assert statuses(files) == [200, 404, 404, 404, 404]
    kept = (("Content-Type", "text/plain"),)
    assert files[urls[0]] == OriginFile(urls[0], 200, kept, ROBOTS, clock.time)
    assert all(file.body == b"" for file in list(files.values())[1:])
    assert sorted(hit.path for hit in web.log) == sorted(PATHS)
    assert dict(web.log[0].headers) == {
        "Host": web.origin("alive").removeprefix("http://"),
        "User-Agent": "PictureBot/1.0",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    again = origins.files(urls, web.url("alive", "/2.jpg"))
    assert all(again[url] is files[url] for url in urls)  # and with it the rules parsed from it
    assert len(web.log) == len(PATHS)


def test_the_next_run_finds_them(served, fetcher, cache, clock):
    web = served(WEB)
    urls = asked(web, "alive")
    first = fetcher(cache(), now=clock.now).files(urls, urls[0])
    later = fetcher(cache(), now=clock.now)
    assert later.kept(urls) == first
    assert later.files(urls, urls[0]) == first
    assert len(web.log) == len(PATHS)


def test_what_is_stale_is_asked_for_again(served, fetcher, cache, clock):
    web = served(WEB)
    origins = fetcher(cache(), now=clock.now)
    urls = asked(web, "alive")
    origins.files(urls, urls[0])
    clock.time += LIFETIME_MAX
    assert origins.kept(urls) == {}
    assert origins.files(urls, urls[0])[urls[0]].fetched == clock.time
    assert len(web.log) == 2 * len(PATHS)
    clock.time -= LIFETIME_MAX / 2  # set back
    assert origins.kept(urls) == {}
    assert origins.files(urls, urls[0])[urls[0]].fetched == clock.time
    assert len(web.log) == 3 * len(PATHS)


@pytest.mark.parametrize("shared", [True, False], ids=["on disk", "in memory only"])
def test_a_copy_stands_in_while_a_site_is_down(raw, fetcher, cache, clock, shared):
    url = raw.url + "/robots.txt"
    raw.answers = [response(), response(b"", status="503 Down")]
    origins = fetcher(cache() if shared else None, now=clock.now)
    fetched = clock.time
    assert origins.files([url], url)[url].body == ROBOTS
    clock.time += 10 * LIFETIME_MAX
    for _ in range(2):
        file = origins.files([url], url)[url]
        assert (file.status, file.body, file.fetched) == (200, ROBOTS, fetched)
        assert len(raw.requests) == 3  # a second chance, then it is left alone
    clock.time += RETRY_AFTER
    assert origins.files([url], url)[url].fetched == fetched
    assert len(raw.requests) == 5
    clock.time += 20 * LIFETIME_MAX
    assert origins.files([url], url)[url].status == 503
    raw.answers = [response(b"#")]
    clock.time += RETRY_AFTER
    assert origins.files([url], url)[url].body == b"#"


def test_redirects(served, fetcher):
    web = served(
        Web(
            {
                "a": Site(
                    {"/robots.txt": redirect("{{b}}/r"), "/loop": redirect("/loop"), "/gone": redirect("/")}
                ),
                "b": Site({"/r": redirect("/robots.txt"), "/robots.txt": READABLE}),
            }
        )
    )
    urls = [web.url("a", path) for path in ("/robots.txt", "/loop", "/gone")]
    files = fetcher().files(urls, urls[0])
    assert statuses(files) == [200, 404, 404]
    assert (files[urls[0]].url, files[urls[0]].body) == (urls[0], ROBOTS)


NO_FILE = {
    "not changed, of which nobody asked": ("304 Not Modified", [], 304),
    "several choices": ("300 Multiple Choices", ["Location: /other"], 300),
    "moved to nowhere": ("301 Moved Permanently", [], 404),
    "moved to another scheme": ("302 Found", ["Location: file:///etc/passwd"], 404),
    "moved to nonsense": ("302 Found", ["Location: http://["], 404),
    "refused": ("403 Forbidden", ["Location: /other"], 403),
}


@pytest.mark.parametrize(("status", "lines", "wanted"), NO_FILE.values(), ids=NO_FILE)
def test_what_means_that_there_is_no_file(raw, fetcher, status, lines, wanted):
    raw.answers = [response(b"", *lines, status=status)]
    url = raw.url + "/robots.txt"
    file = fetcher().files([url], url)[url]
    assert (file.status, file.absent) == (wanted, True)
    assert len(raw.requests) == 1


# -- one flight ----------------------------------------------------------------------------------------------


def together(count, work):
    """Run `work` in threads that begin together; what each gave."""
    results = []
    start = threading.Barrier(count)

    def run():
        start.wait()
        results.append(work())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("shared", [True, False], ids=["on disk", "in memory only"])
def test_threads_ask_once(served, fetcher, cache, clock, shared):
    web = served(WEB, latency=0.05)
    origins = fetcher(cache() if shared else None, now=clock.now)
    urls = asked(web, "alive")
    results = together(256, lambda: origins.files(urls, urls[0]))
    assert len(results) == 256
    assert all(result == results[0] for result in results)
    assert statuses(results[0]) == [200, 404, 404, 404, 404]
    assert sorted(hit.path for hit in web.log) == sorted(PATHS)


FETCH = """
import json, sys, threading, time
from pathlib import Path
from heedful.origins.cache import OriginCache
from heedful.origins.fetch import OriginFetcher

folder, urls = json.loads(sys.argv[1])
cache = OriginCache(Path(folder), now=time.time)
fetcher = OriginFetcher(cache, user_agent="PictureBot/1.0", timeout=30)
print("ready", flush=True)
sys.stdin.readline()
results = []
work = lambda: results.append([file.status for file in fetcher.files(urls, urls[0]).values()])
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(results), flush=True)
"""


@pytest.fixture
def processes(tmp_path):
    """Start processes that fetch when they are told to."""
    started = []

    def start(count, urls):
        command = [sys.executable, "-c", FETCH, json.dumps([str(tmp_path / "cache"), urls])]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        started.extend(subprocess.Popen(command, **pipes, text=True, env=environment) for _ in range(count))
        for process in started:
            assert process.stdout.readline() == "ready\n"
        for process in started:
            process.stdin.write("\n")
            process.stdin.flush()
        return started

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_processes_ask_once(served, processes):
    web = served(WEB, latency=0.1)
    for process in processes(3, asked(web, "alive")):
        out, errors = process.communicate(timeout=60)
        assert errors == ""
        assert json.loads(out) == [[200, 404, 404, 404, 404]] * 8
    assert sorted(hit.path for hit in web.log) == sorted(PATHS)


class Watched(OriginCache):
    """Tells when a claim was refused."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.refused = threading.Event()

    def claim(self, url):
        granted = super().claim(url)
        if not granted:
            self.refused.set()
        return granted


@pytest.fixture
def watched(tmp_path, clock):
    made = Watched(tmp_path / "cache", now=clock.now)
    yield made
    made.close()


def test_what_another_process_fetches_is_waited_for(served, fetcher, cache, clock, watched):
    web = served(WEB)
    url = web.url("alive", "/robots.txt")
    other = cache()
    assert other.claim(url)
    results = []
    origins = fetcher(watched, now=clock.now)
    thread = threading.Thread(target=lambda: results.append(origins.files([url], url)))
    thread.start()
    assert watched.refused.wait(30)
    other.put(OriginFile(url, 200, (), b"theirs", clock.time))
    thread.join()
    assert results[0][url].body == b"theirs"
    assert web.log == ()


def test_what_another_process_gave_up_is_fetched(served, fetcher, cache, clock, watched):
    web = served(WEB)
    url = web.url("alive", "/robots.txt")
    other = cache()
    assert other.claim(url)
    results = []
    origins = fetcher(watched, now=clock.now)
    thread = threading.Thread(target=lambda: results.append(origins.files([url], url)))
    thread.start()
    assert watched.refused.wait(30)
    clock.time += 3600
    thread.join()
    assert results[0][url].body == ROBOTS


def test_a_process_that_was_killed_while_it_fetched(served, fetcher, cache, processes, until, tmp_path):
    web = served(Web({"a": Site({"/robots.txt": STALLED}), "b": Site({"/robots.txt": READABLE})}))
    urls = [web.url("a", "/robots.txt")]
    (process,) = processes(1, urls)
    until(web, lambda log: len(log) == 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    origins = fetcher(OriginCache(tmp_path / "cache", now=lambda: 4e9), now=lambda: 4e9)
    results = []
    thread = threading.Thread(target=lambda: results.append(origins.files(urls, urls[0])))
    thread.start()
    until(web, lambda log: len(log) == 2)
    web.close()
    thread.join()
    assert statuses(results[0]) == [0]
    origins._cache.close()


# -- dead hosts ----------------------------------------------------------------------------------------------


def test_who_waits_for_a_dead_host_holds_up_nobody(served, fetcher, cache, clock, until):
    web = served(WEB)
    origins = fetcher(cache(), now=clock.now)
    dead, alive = asked(web, "dead"), asked(web, "alive")
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(origins.files(dead, dead[0]))) for _ in range(256)
    ]
    for thread in threads:
        thread.start()
    until(web, lambda log: len(log) == len(PATHS))
    assert statuses(origins.files(alive, alive[0])) == [200, 404, 404, 404, 404]
    assert results == []
    assert all(thread.is_alive() for thread in threads)
    web.close()  # what stalls ends
    for thread in threads:
        thread.join()
    assert [statuses(result) for result in results] == [[0] * 5] * 256


def test_workers_that_wait_for_dead_hosts_hold_up_nobody(served, fetcher, until, monkeypatch):
    monkeypatch.setattr(fetching, "WORKERS_MAX", 1)
    monkeypatch.setattr(fetching, "PREFETCHING_MAX", 1)
    web = served(WEB)
    origins = fetcher()
    dead, alive = asked(web, "dead"), asked(web, "alive")
    origins.prefetch(dead)
    until(web, lambda log: len(log) == 1)
    thread = threading.Thread(target=origins.files, args=(dead[1:3], dead[0]))
    thread.start()
    until(web, lambda log: len(log) == 3)
    origins.prefetch(alive)
    assert statuses(origins.files(alive, alive[0])) == [200, 404, 404, 404, 404]
    web.close()
    thread.join()


def test_a_dead_host_costs_one_timeout_in_all(served, fetcher, cache, clock, stopwatch):
    web = served(WEB)
    origins = fetcher(cache(), now=clock.now, timeout=0.3)
    dead = asked(web, "dead")
    begin = stopwatch()
    assert statuses(origins.files(dead, dead[0])) == [0] * 5
    assert 0.3 <= stopwatch() - begin < 3
    others = [web.url("dead", f"/{number}") for number in range(3)]
    for each in (origins, fetcher(cache(), now=clock.now, timeout=0.3)):  # whatever the process
        assert statuses(each.files([*dead, *others], dead[0])) == [0] * 8
        assert len(web.log) == len(PATHS)
    clock.time += RETRY_AFTER
    assert statuses(origins.files(others, dead[0])) == [404] * 3


def test_a_redirect_to_a_dead_host_is_not_waited_for_twice(served, fetcher):
    moved = Site(dict.fromkeys(PATHS, redirect("{{dead}}/robots.txt")))
    web = served(Web({"a": moved, "b": moved, "dead": DEAD}))
    origins = fetcher(timeout=0.3)
    for site in ("a", "b"):
        urls = [web.url(site, path) for path in PATHS[:1]]
        assert statuses(origins.files(urls, urls[0])) == [0]
    assert [hit.site for hit in web.log] == ["a", "dead", "b"]


def test_silent_hosts_are_forgotten_before_they_are_too_many(clock):
    known = Known(None, Memory(), now=clock.now)
    for number in range(SILENT_MAX + 1):
        known.silence(f"{number}.example:80")
    assert known.silent(f"{SILENT_MAX}.example:80")
    assert not known.silent("0.example:80")


FAULTS = {
    "a reset": (File(fault=Fault.RESET), 2),
    "a server fault": (File(status=500), 2),
    "too many requests": (File(status=429), 2),
}


@pytest.mark.parametrize(("file", "requests"), FAULTS.values(), ids=FAULTS)
def test_failures_are_given_a_second_chance_and_kept(served, fetcher, clock, file, requests):
    web = served(Web({"a": Site({"/robots.txt": file})}))
    origins = fetcher(now=clock.now)
    url = web.url("a", "/robots.txt")
    for _ in range(3):
        assert origins.files([url], url)[url].status == (0 if file.fault else file.status)
        assert len(web.log) == requests
    clock.time += RETRY_AFTER
    origins.files([url], url)
    assert len(web.log) == 2 * requests


def test_a_port_that_is_closed(fetcher):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/robots.txt"
    assert fetcher().files([url], url)[url].status == 0


# -- answers of all kinds ------------------------------------------------------------------------------------

PACKED, LARGE = gzip.compress(ROBOTS), b"#" * (FILE_MAX + 10)


def response(body=ROBOTS, *lines, status="200 OK", length=None):
    head = [f"HTTP/1.1 {status}", *lines]
    if length is not False:
        head.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


def chunks(*pieces):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


READ = {
    "plain": (response(), ROBOTS),
    "without a length": (response(length=False), ROBOTS),
    "in chunks": (
        response(chunks(ROBOTS[:5], ROBOTS[5:], b""), "Transfer-Encoding: chunked", length=False),
        ROBOTS,
    ),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\n" + ROBOTS, ROBOTS),
    "bare line feeds": (b"HTTP/1.1 200 OK\n\n" + ROBOTS, ROBOTS),
    "after an interim answer": (b"HTTP/1.1 100 Continue\r\n\r\n" + response(), ROBOTS),
    "no content": (response(b"", status="204 No Content", length=False), b""),
    "more than was announced": (response(ROBOTS + b"Allow: /", length=len(ROBOTS)), ROBOTS),
    "packed unasked": (response(PACKED, "Content-Encoding: GZIP"), ROBOTS),
    "deflated": (response(zlib.compress(ROBOTS), "Content-Encoding: deflate"), ROBOTS),
    "as large as can be": (response(LARGE[:FILE_MAX]), LARGE[:FILE_MAX]),
}
CUT = {
    "larger": (response(LARGE), LARGE[:FILE_MAX]),
    "larger, in chunks": (
        response(chunks(LARGE, b""), "Transfer-Encoding: chunked", length=False),
        LARGE[:FILE_MAX],
    ),
    "larger, broken off after the limit": (response(LARGE, length=10**9), LARGE[:FILE_MAX]),
    "larger, unpacked": (response(gzip.compress(LARGE * 20), "Content-Encoding: gzip"), LARGE[:FILE_MAX]),
}
NO_ANSWER = {
    "broken off": response(length=len(ROBOTS) + 1),
    "broken off within a chunk": response(b"ff\r\n" + ROBOTS, "Transfer-Encoding: chunked", length=False),
    "broken off after a chunk": response(chunks(ROBOTS), "Transfer-Encoding: chunked", length=False),
    "chunks that are none": response(ROBOTS, "Transfer-Encoding: chunked", length=False),
    "another transfer": response(PACKED, "Transfer-Encoding: gzip, chunked", length=False),
    "broken off, packed": response(PACKED[:-9], "Content-Encoding: gzip"),
    "damaged, packed": response(b"\x1f\x8b" + PACKED[3:], "Content-Encoding: gzip"),
    "packed in ways we do not know": response(ROBOTS, "Content-Encoding: br"),
    "packed twice": response(PACKED, "Content-Encoding: gzip", "Content-Encoding: gzip"),
    "a part": response(status="206 Partial Content"),
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a long line": response(ROBOTS, "X: " + "x" * 70_000),
    "a long head": response(ROBOTS, *["X: " + "x" * 8000] * 20),
    "many lines": response(ROBOTS, *["X: y"] * 200),
    "interim answers without end": b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
    "chunks that are mostly wrapping": response(
        b"1;%s\r\nx\r\n" % (b"x" * 60_000) * 100, "Transfer-Encoding: chunked", length=False
    ),
}


@pytest.mark.parametrize(
    ("answer", "body", "truncated"),
    [(*case, False) for case in READ.values()] + [(*case, True) for case in CUT.values()],
    ids=[*READ, *CUT],
)
def test_what_can_be_read(raw, fetcher, answer, body, truncated):
    raw.answers = [answer]
    url = raw.url + "/robots.txt"
    file = fetcher().files([url], url)[url]
    assert (file.readable, len(file.body), file.truncated) == (True, len(body), truncated)
    assert file.body == body


@pytest.mark.parametrize("answer", NO_ANSWER.values(), ids=NO_ANSWER)
def test_what_cannot_be_relied_on(raw, fetcher, answer, caplog):
    raw.answers = [answer]
    url = raw.url + "/robots.txt"
    file = fetcher().files([url], url)[url]
    assert (file.status, file.body) == (0, b"")
    assert len(raw.requests) == 2
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_what_is_not_there_is_not_read(raw, fetcher):
    raw.answers = [response(b"x", status="404 Not Found", length=10**12)]
    raw.stall = True
    url = raw.url + "/robots.txt"
    assert fetcher().files([url], url)[url].status == 404


SLOW = {"a head": b"HTTP/1.1 200 OK\r\nX: ", "a body": response(b"", length=10**6)}


@pytest.mark.parametrize("answer", SLOW.values(), ids=SLOW)
def test_who_sends_drop_by_drop_is_not_heard_out(raw, fetcher, stopwatch, answer):
    raw.answers = [answer]
    raw.drip = b"x"
    url = raw.url + "/robots.txt"
    begin = stopwatch()
    assert fetcher(timeout=0.3).files([url], url)[url].status == 0
    assert 0.3 <= stopwatch() - begin < 3
    assert len(raw.requests) == 1


def test_redirects_take_no_longer_than_two_timeouts_in_all(raw, fetcher, stopwatch):
    raw.answers = [response(b"", "Location: /next", status="302 Found"), response(b"", length=10**6)]
    raw.drip = b""
    url = raw.url + "/robots.txt"
    origins = fetcher(timeout=0.3)
    begin = stopwatch()
    assert origins.files([url], url)[url].status == 0
    assert stopwatch() - begin < 3


ODD = {
    "another scheme": "ftp://a.example/robots.txt",
    "no host": "http:///",
    "no URL": "robots.txt",
    "white space": "http://127.0.0.1/a b",
    "a line break": "http://127.0.0.1/a\r\nX: y",
    "letters that are not ASCII": "http://127.0.0.1/\xe9",
    "half a character": "http://127.0.0.1/\ud800",
    "too long": "http://127.0.0.1/" + "x" * URL_MAX,
    "a port out of range": "http://127.0.0.1:99999/",
    "a bad address": "http://[::1/",
}


@pytest.mark.parametrize("url", ODD.values(), ids=ODD)
def test_what_cannot_be_asked_for(fetcher, cache, clock, url):
    origins = fetcher(cache(), now=clock.now)
    assert origins.files([url], "http://127.0.0.1/1.jpg") == {url: OriginFile(url, 0, fetched=clock.time)}
    assert origins.kept([url]) == {}
    origins.prefetch([url])


def test_a_fault_of_our_own_is_told_and_no_answer(served, fetcher, cache, clock, monkeypatch, caplog):
    web = served(WEB)
    store = cache()
    origins = fetcher(store, now=clock.now)

    def fail(*_):
        raise RuntimeError("a fault")

    monkeypatch.setattr(origins._client, "get", fail)
    url = web.url("alive", "/robots.txt")
    assert origins.files([url], url) == {url: OriginFile(url, 0, fetched=clock.time)}
    assert "a fault" in caplog.text
    assert store.claim(url)  # it is not held


AGENTS = {"a line break": "a\r\nb", "nothing": "", "blank": " ", "not ASCII": "B\xf6t"}


@pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS)
def test_what_we_cannot_call_ourselves(fetcher, agent):
    with pytest.raises(ConfigurationError, match="User-Agent"):
        fetcher(user_agent=agent)


# -- in the background, and without threads of one's own -----------------------------------------------------


def test_prefetched(served, fetcher, cache, clock, until):
    web = served(WEB, latency=0.01)
    origins = fetcher(cache(), now=clock.now)
    urls = asked(web, "alive")
    origins.prefetch([*urls, *urls])
    until(web, lambda log: len(log) == len(PATHS))
    assert [hit.path for hit in web.log] == list(PATHS)  # one after another
    assert statuses(origins.files(urls, urls[0])) == [200, 404, 404, 404, 404]
    origins.prefetch(urls)
    assert len(web.log) == len(PATHS)


def test_a_dead_host_costs_the_background_one_timeout(served, fetcher, until):
    web = served(WEB)
    origins = fetcher(timeout=0.3)
    dead, alive = asked(web, "dead"), asked(web, "alive")
    origins._prefetch(dead)
    assert statuses(origins.kept(dead)) == [0] * 5
    assert len(web.log) == 1
    origins.prefetch(alive)
    until(web, lambda log: len(log) == 1 + len(PATHS))


def test_asyncio(served, fetcher, cache, clock):
    web = served(WEB, latency=0.02)
    origins = fetcher(cache(), now=clock.now)
    urls = asked(web, "alive")

    async def crawl():
        return await asyncio.gather(*(origins.files_async(urls, urls[0]) for _ in range(50)))

    for _ in range(2):
        for files in asyncio.run(crawl()):
            assert statuses(files) == [200, 404, 404, 404, 404]
    assert len(web.log) == len(PATHS)


def test_who_gives_up_waiting_cancels_nothing_for_others(served, fetcher, until):
    web = served(WEB)
    origins = fetcher()
    urls = [web.url("dead", "/robots.txt")]
    results = []

    async def give_up():
        task = asyncio.create_task(origins.files_async(urls, urls[0]))
        await asyncio.get_running_loop().run_in_executor(None, until, web, lambda log: len(log) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    thread = threading.Thread(target=lambda: results.append(origins.files(urls, urls[0])))
    asyncio.run(give_up())
    thread.start()
    web.close()
    thread.join()
    assert statuses(results[0]) == [0]


def test_after_closing_who_waits_is_told(served, fetcher, cache, clock, watched, monkeypatch):
    monkeypatch.setattr(fetching, "WORKERS_MAX", 1)
    web = served(WEB)
    url = web.url("alive", "/robots.txt")
    other = cache()
    assert other.claim(url)
    origins = fetcher(watched, now=clock.now)

    async def wait():
        waits = asyncio.create_task(origins.files_async([url], url))
        await asyncio.get_running_loop().run_in_executor(None, watched.refused.wait, 30)
        queued = asyncio.create_task(origins.files_async([web.url("alive", "/ai.txt")], url))
        await asyncio.sleep(0)  # it is handed over
        origins.close()
        return await asyncio.gather(waits, queued)

    assert [statuses(files) for files in asyncio.run(wait())] == [[0], [0]]
    assert web.log == ()
    assert statuses(origins.files([web.url("alive", "/ai.txt")], url)) == [404]  # it goes on by hand
    origins.prefetch([url])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_it_is_carried_over_a_fork(served, fetcher, cache, clock, until):
    web = served(WEB)
    origins = fetcher(cache(), now=clock.now)
    dead, alive = asked(web, "dead"), asked(web, "alive")
    origins.files(alive[:1], alive[0])
    thread = threading.Thread(target=origins.files, args=(dead[:2], dead[0]))
    thread.start()
    until(web, lambda log: len(log) == 3)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            files = origins.files(alive, alive[0])
            status = 0 if statuses(files) == [200, 404, 404, 404, 404] else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(web.hits("alive")) == len(PATHS)
    assert statuses(origins.files(alive, alive[0])) == [200, 404, 404, 404, 404]
    assert len(web.hits("alive")) == len(PATHS)
    web.close()
    thread.join()


# -- in memory -----------------------------------------------------------------------------------------------


def in_memory(memory, count, body=b""):
    for number in range(count):
        file = OriginFile(f"http://{number}.example/", 200, (), body, 1000.0)
        entry = Entry(file)
        memory.put(file.url, entry, entry.use(1000.0))
    return [number for number in range(count) if memory.files([f"http://{number}.example/"], 1000.0)]


def test_memory_keeps_what_was_used_last():
    memory = Memory(files_max=3)
    assert in_memory(memory, 5) == [2, 3, 4]
    memory.files(["http://2.example/"], 1000.0)
    in_memory(memory, 1)
    assert [bool(memory.files([f"http://{number}.example/"], 1000.0)) for number in range(5)] == [
        True,
        False,
        True,
        False,
        True,
    ]


def test_memory_is_bounded_in_bytes():
    memory = Memory(bytes_max=1000)
    assert in_memory(memory, 10, b"x" * 300) == [7, 8, 9]
    assert in_memory(memory, 3, b"x" * 100) == [0, 1, 2]
    assert in_memory(memory, 1, b"x" * 1001) == []
    assert in_memory(memory, 4) == [0, 1, 2, 3]


def test_memory_forgets_in_time():
    memory = Memory()
    in_memory(memory, 1)
    end = 1000.0 + lifetime(OriginFile("http://0.example/", 200))
    assert memory.files(["http://0.example/"], end - 1)
    assert not memory.files(["http://0.example/"], end)
    assert memory.entry("http://0.example/").answer is not None


def test_what_a_closed_fetcher_was_about_is_free_for_others(cache, fetcher, served, until):
    """A process that ends in the middle of a fetch keeps no other waiting until its claim has run out."""
    running = served(Web({"home": Site({"/robots.txt": File(fault=Fault.STALL)})}))
    url, store = running.url("home", "/robots.txt"), cache()
    closed = fetcher(store)
    closed.prefetch([url])
    until(running, lambda log: len(log) == 1)
    other = cache()
    assert not other.claim(url)
    closed.close()
    assert other.claim(url)


def test_what_is_claimed_for_later_is_not_waited_for(cache, fetcher, served, until):
    """A prefetch claims an origin's files at once; who needs one of them sooner has it with that claim."""
    sites = {"home": Site({"/robots.txt": File(fault=Fault.STALL), "/ai.txt": File(b"User-Agent: *\n")})}
    running = served(Web(sites))
    urls = [running.url("home", path) for path in ("/robots.txt", "/ai.txt")]
    store = cache()
    origins = fetcher(store)
    origins.prefetch(urls)
    until(running, lambda log: len(log) == 1)
    other = cache()
    assert other.claim_all(urls) == set()
    origins.prefetch(urls)  # of another picture: what is claimed stays so
    assert origins.files(urls[1:], urls[1])[urls[1]].body == b"User-Agent: *\n"
    assert other.claim_all(urls) == {urls[1]}  # it is there, and free
    assert [hit.path for hit in running.log] == ["/robots.txt", "/ai.txt"]
