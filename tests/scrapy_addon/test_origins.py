"""Origin files on the real engine: shared by all crawls of a machine, never from where they must not be."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from scrapy.settings import default_settings

from heedful import Action, OriginFile
from heedful.origins.cache import OriginCache
from heedful.testing import Fault, File, Picture, Site, Web, redirect, serve

TEXT = (("Content-Type", "text/plain"),)
JPEG = (("Content-Type", "image/jpeg"),)
CLOSED = "User-agent: *\nDisallow: /closed/\n"
FILES = [
    *("/.well-known/ai.json", "/.well-known/ai.txt", "/.well-known/tdmrep.json", "/.well-known/trust.txt"),
    *("/ai.txt", "/robots.txt", "/trust.txt"),
]
PUBLIC = "93.184.215.14"

REACTORS = {
    "asyncio": {},
    "select": {"TWISTED_REACTOR": "twisted.internet.selectreactor.SelectReactor"},
}
if hasattr(default_settings, "TWISTED_REACTOR_ENABLED"):
    REACTORS["none"] = {"TWISTED_REACTOR_ENABLED": False}


def pictures(count, folder=""):
    return {f"{folder}/{number}.jpg": File(Picture(number), headers=JPEG) for number in range(count)}


def web(**sites):
    return Web({name: Site(files) for name, files in sites.items()})


def robots(text=CLOSED):
    return {"/robots.txt": File(text, headers=TEXT)}


def origin_files(site, name):
    """The requests for origin files that a site has seen, sorted."""
    return sorted(hit.path for hit in site.hits(name) if not hit.path.endswith(".jpg"))


def kinds(result):
    return sorted((record.action, record.reason and record.reason.value) for record in result.records)


# -- one machine, many crawls --------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", REACTORS.values(), ids=REACTORS)
def test_the_next_crawl_asks_for_nothing(crawl, tmp_path, settings):
    shared = {**settings, "HEEDFUL_CACHE": str(tmp_path / "shared")}
    files = {**robots(), **pictures(3), **pictures(3, "/closed")}
    with serve(web(a=files)) as site:
        urls = [site.url("a", path) for path in files if path.endswith(".jpg")]
        first = crawl("Media", shared, folder=tmp_path / "first", urls=urls)
        assert origin_files(site, "a") == FILES
        again = crawl("Media", shared, folder=tmp_path / "again", urls=urls)
        assert origin_files(site, "a") == FILES
    assert kinds(again) == kinds(first)
    assert first.stored == again.stored == [0, 1, 2]
    assert first.stats["heedful/origin_files/requests"] == len(FILES)
    assert again.stats["heedful/origin_files/cached"] == len(FILES)
    assert "heedful/origin_files/requests" not in again.stats
    (digest,) = {record.evidence[0]["sha256"] for record in again.records if record.evidence}
    with closing(OriginCache(tmp_path / "shared", now=time.time)) as cache:
        assert cache.snapshot(digest).decode() == CLOSED  # the evidence can be shown later


@pytest.mark.parametrize("settings", REACTORS.values(), ids=REACTORS)
def test_crawls_side_by_side_ask_once(crawl, tmp_path, settings):
    shared = {
        **settings,
        "HEEDFUL_CACHE": str(tmp_path / "shared"),
        "CONCURRENT_REQUESTS": 100,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 100,
    }
    files = {**robots(), **pictures(30, "/closed"), **pictures(1)}
    with serve(web(a=files), latency=0.5) as site, ThreadPoolExecutor() as pool:
        urls = [site.url("a", path) for path in files if path.endswith(".jpg")]
        crawls = [
            pool.submit(crawl, "Media", shared, folder=tmp_path / name, urls=urls, together=True)
            for name in ("one", "two")
        ]
        results = [each.result() for each in crawls]
        assert origin_files(site, "a") == FILES
    for result in results:
        assert kinds(result) == [(Action.SKIP, "robots.disallow")] * 30 + [(Action.STORE, None)]
    asked, cached = (
        sum(result.stats.get(f"heedful/origin_files/{what}", 0) for result in results)
        for what in ("requests", "cached")
    )
    assert asked == cached == len(FILES)


def test_a_dead_host_costs_one_timeout_in_all(crawl, tmp_path):
    shared = {
        "HEEDFUL_CACHE": str(tmp_path / "shared"),
        "DOWNLOADER_MIDDLEWARES": {"crawlers.LessImpatient": 940},
        "CONCURRENT_REQUESTS_PER_DOMAIN": 1,  # its files are asked for one after the other
    }
    dead = dict.fromkeys(FILES, File(fault=Fault.STALL))
    with serve(web(a={**dead, **pictures(20)}, b=pictures(2))) as site:
        urls = [site.url("a", f"/{number}.jpg") for number in range(20)] + [site.url("b", "/1.jpg")]
        result = crawl("Media", shared, folder=tmp_path / "first", urls=urls)
        assert {hit.path for hit in site.hits("a")} <= set(FILES)
        assert result.stats["elapsed_time_seconds"] < 6  # and not six times two
        assert kinds(result) == [(Action.DEFER, "robots.unreachable")] * 20 + [(Action.STORE, None)]
        seen = len(site.hits("a"))
        again = crawl("Media", shared, folder=tmp_path / "again", urls=urls)
        assert len(site.hits("a")) == seen  # whatever the process
    assert kinds(again) == kinds(result)
    assert result.stats["heedful/origin_files/unreachable"] == 6


def test_a_copy_stands_in_while_a_site_is_down(crawl, tmp_path):
    with serve(web(a={"/robots.txt": File("", 503), **pictures(1), **pictures(1, "/closed")})) as site:
        url = site.url("a", "/robots.txt")
        fetched = time.time() - 48 * 3600
        with closing(OriginCache(tmp_path / "machine", now=time.time)) as cache:
            cache.put(OriginFile(url, 200, TEXT, CLOSED.encode(), fetched))
        result = crawl("Media", urls=[site.url("a", "/0.jpg"), site.url("a", "/closed/0.jpg")])
        assert len(site.hits("a", "/robots.txt")) == 2  # a second chance, then it is left alone
    assert kinds(result) == [(Action.SKIP, "robots.disallow"), (Action.STORE, None)]
    assert result.stats["heedful/origin_files/stale"] == 1
    (skip,) = (record for record in result.records if record.action is Action.SKIP)
    assert skip.evidence[0]["source_url"] == url


# -- a cache that is of no use -------------------------------------------------------------------------------


def test_a_damaged_cache_is_set_aside(crawl, tmp_path):
    folder = tmp_path / "machine"
    folder.mkdir()
    (folder / "origin-files-v1-1.sqlite3").write_bytes(b"no such thing" * 1000)
    with serve(web(a={**robots(), **pictures(1, "/closed")})) as site:
        urls = [site.url("a", "/closed/0.jpg")]
        result = crawl("Media", urls=urls)
        assert kinds(result) == [(Action.SKIP, "robots.disallow")]
        assert result.log.count("set aside, begun anew") == 1
        seen = len(site.log)
        crawl("Media", urls=urls)
        assert len(site.log) == seen
    assert [path.name for path in folder.glob("*.damaged")] == ["origin-files-v1-1.damaged"]


def test_a_cache_that_cannot_be_written_is_done_without(crawl, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with serve(web(a={**robots(), **pictures(5, "/closed"), **pictures(1)})) as site:
        urls = [site.url("a", f"/closed/{number}.jpg") for number in range(5)] + [site.url("a", "/0.jpg")]
        result = crawl("Media", {"HEEDFUL_CACHE": str(tmp_path / "file" / "cache")}, urls=urls)
        assert origin_files(site, "a") == FILES
    assert kinds(result) == [(Action.SKIP, "robots.disallow")] * 5 + [(Action.STORE, None)]
    assert result.log.count("Origin files cannot be kept in") == 1


# -- where side requests go ----------------------------------------------------------------------------------

ALLOWING = {"/robots.txt": File("User-agent: *\nAllow: /\n", headers=TEXT)}

INSIDE = {
    "an address": ("http://127.0.0.2:PORT/robots.txt", None),
    "localhost": ("http://localhost:PORT/robots.txt", None),
    "a mapped address": ("http://[::ffff:7f00:2]:PORT/robots.txt", None),
    "a number": ("http://2130706434:PORT/robots.txt", None),
    "a name that leads inside": ("http://inner.example:PORT/robots.txt", "127.0.0.2"),
    "a credentials service": ("http://169.254.169.254/latest/meta-data/", None),
}


@pytest.fixture
def port():
    """One for all sites: an address of the same port is then somebody's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def host(site, name):
    return site.origin(name).removeprefix("http://").partition(":")[0]


def names(site, **others):
    """What the names lead to: looked up, and connected to."""
    return {
        "a.example": [PUBLIC, host(site, "a")],
        **{f"{name}.example": ends for name, ends in others.items()},
    }


@pytest.mark.parametrize(("target", "inner"), INSIDE.values(), ids=INSIDE)
def test_a_public_site_leads_nowhere_inside(crawl, port, target, inner):
    files = {**pictures(1)}
    with serve(web(a=files, b=ALLOWING), port=port) as site:
        files["/robots.txt"] = redirect(target.replace("PORT", str(port)))
        assert host(site, "b") == "127.0.0.2"
        others = {"inner": [inner, inner]} if inner else {}
        result = crawl("Named", urls=[f"http://a.example:{port}/0.jpg"], names=names(site, **others))
        assert site.hits("b") == ()
        assert len(site.hits("a", "/robots.txt")) == 1
        assert site.hits("a", "/0.jpg") == ()
    assert kinds(result) == [(Action.DEFER, "robots.unreachable")]
    assert result.stats["heedful/origin_files/refused"] == 1
    assert "Traceback" not in result.log


def test_an_answer_from_inside_is_not_used(crawl, port):
    """A name that leads outside when it is looked up, and inside when it is connected to."""
    files = {**pictures(1)}
    with serve(web(a=files, b=ALLOWING), port=port) as site:
        files["/robots.txt"] = redirect(f"http://rebound.example:{port}/robots.txt")
        told = names(site, rebound=[PUBLIC, host(site, "b")])
        result = crawl("Named", urls=[f"http://a.example:{port}/0.jpg"], names=told)
        assert len(site.hits("b")) == 1  # that cannot be helped: Scrapy looks names up for itself
        assert site.hits("a", "/0.jpg") == ()
    assert kinds(result) == [(Action.DEFER, "robots.unreachable")]
    assert result.stats["heedful/origin_files/refused"] == 1


def test_a_licence_inside_is_not_asked_for(crawl, port):
    files = {**pictures(1)}
    with serve(web(a=files, b={"/licence.xml": File("secret")}), port=port) as site:
        inside = site.url("b", "/licence.xml")
        files |= robots(f"License: {inside}\nUser-agent: *\nAllow: /\n")
        result = crawl("Named", urls=[f"http://a.example:{port}/0.jpg"], names=names(site))
        assert site.hits("b") == ()
        assert result.stats["heedful/origin_files/refused"] >= 1
        # For a picture that is inside itself it is.
        crawl("Media", urls=[site.url("a", "/0.jpg")])
        assert len(site.hits("b", "/licence.xml")) == 1


class Proxy(ThreadingHTTPServer):
    """A proxy that answers in the place of all hosts."""

    def __init__(self, answers):
        super().__init__(("127.0.0.1", 0), Answering)
        self.answers = answers
        self.asked = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.thread.join()
        self.server_close()


class Answering(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        status, headers, body = self.server.answers.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


THROUGH = {
    "a name, which is the proxy's to resolve": ("http://inner.example/robots.txt", "robots.disallow"),
    "an address inside": ("http://127.0.0.1:1/robots.txt", "robots.unreachable"),
}


@pytest.mark.parametrize(("target", "reason"), THROUGH.values(), ids=THROUGH)
def test_through_a_proxy(crawl, target, reason):
    answers = {
        "http://a.example/robots.txt": (302, {"Location": target}, b""),
        "http://inner.example/robots.txt": (200, {"Content-Type": "text/plain"}, CLOSED.encode()),
    }
    with Proxy(answers) as proxy:
        result = crawl("Proxied", urls=["http://a.example/closed/0.jpg"], proxy=proxy.url)
        assert ("http://inner.example/robots.txt" in proxy.asked) == (reason == "robots.disallow")
        assert not any("127.0.0.1" in url for url in proxy.asked)
    assert [record.reason.value for record in result.records] == [reason]
