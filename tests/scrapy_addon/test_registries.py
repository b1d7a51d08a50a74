"""Registries on the real engine: what is listed is never contacted."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from heedful import Action, Stage
from heedful.registry import Writer
from heedful.registry.entries import Entry, Kind
from heedful.testing import File, Picture, Site, Web, serve

JPEG = (("Content-Type", "image/jpeg"),)


def web(numbers):
    return Web({"a": Site({f"/{number}.jpg": File(Picture(number), headers=JPEG) for number in numbers})})


def built(folder, *entries):
    with Writer.build(folder, source="test") as writer:
        for kind, text in entries:
            writer.add(Entry(kind, text, "artists"))
    return str(folder)


def test_a_listed_url_is_not_contacted_nor_are_its_origins_files(crawl, tmp_path):
    with serve(web([1, 2])) as site:
        urls = [site.url("a", "/1.jpg"), site.url("a", "/2.jpg")]
        folder = built(tmp_path / "x.heed", (Kind.URL, urls[0]))
        result = crawl("Media", {"HEEDFUL_REGISTRIES": folder}, urls=urls[:1])
        assert site.log == ()
        both = crawl("Media", {"HEEDFUL_REGISTRIES": [folder]}, folder=tmp_path / "both", urls=urls)
        assert site.hits("a", "/1.jpg") == ()
    (record,) = result.records
    assert (record.action, record.reason, record.stage) == (Action.SKIP, "registry.url", Stage.URL)
    assert record.registries == (("x", 1),)
    assert record.evidence[0]["source_url"] == "registry x"
    assert both.stored == [2]


def test_a_listed_host_is_not_even_crawled(crawl, tmp_path):
    with serve(web([1])) as site:
        host = site.origin("a").partition("//")[2].partition(":")[0]
        folder = built(tmp_path / "x.heed", (Kind.HOST, host))
        result = crawl(
            "Plain", {"HEEDFUL_REGISTRIES": folder}, urls=[site.url("a", "/page"), site.url("a", "/1.jpg")]
        )
        assert site.log == ()
    assert result.stats["heedful/skip/registry.host"] == 2


def test_a_copy_of_a_listed_file_is_not_stored(crawl, tmp_path):
    digest = hashlib.sha256(Picture(1).render()).hexdigest()
    with serve(web([1, 2])) as site:
        folder = built(tmp_path / "x.heed", (Kind.SHA256, digest))
        urls = [site.url("a", "/1.jpg"), site.url("a", "/2.jpg")]
        result = crawl("Media", {"HEEDFUL_REGISTRIES": folder}, urls=urls)
    assert result.stored == [2]
    assert result.stats["heedful/skip/registry.hash"] == 1


def broken(tmp_path, how):
    folder = tmp_path / "x.heed"
    built(folder, (Kind.URL, "https://a.example/"))
    (heap,) = folder.glob("seg-*/E")
    if how == "damaged":
        data = bytearray(heap.read_bytes())
        data[-1] ^= 1
        heap.write_bytes(data)
    elif how == "truncated":
        heap.write_bytes(heap.read_bytes()[:-1])
    elif how == "missing":
        return str(tmp_path / "nowhere.heed")
    return str(folder)


@pytest.mark.parametrize(
    ("how", "words"),
    [("damaged", "the checksum"), ("truncated", "damaged: E has"), ("missing", "is no registry")],
)
def test_a_registry_that_cannot_be_relied_upon_keeps_the_run_from_starting(crawl, tmp_path, how, words):
    folder = broken(tmp_path, how)
    with serve(web([1])) as site:
        result = crawl("Media", {"HEEDFUL_REGISTRIES": [folder]}, urls=[site.url("a", "/1.jpg")])
        assert site.log == ()
    (failure,) = result.failures
    assert words in failure


# -- remote registries -------------------------------------------------------------------------------------


class Remote:
    """A registry on loopback that opts some URLs out, and counts what it is asked."""

    def __init__(self, opted_out, status=200):
        self.asked = asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                urls = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["urls"]
                asked.append(urls)
                body = json.dumps({"urls": [{"url": url, "out": url in opted_out} for url in reversed(urls)]})
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/query"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def policy(tmp_path, remote):
    path = tmp_path / "policy.toml"
    path.write_text(
        f'[[remote]]\nname = "union"\nprotocol = "json"\nurl = "{remote.url}"\nopt_out_field = "out"\n'
    )
    return str(path)


def test_a_remote_registry_is_asked_in_batches_and_its_answers_are_kept(crawl, tmp_path):
    numbers = range(1, 21)
    with serve(web(numbers)) as site:
        urls = [site.url("a", f"/{number}.jpg") for number in numbers]
        with Remote(set(urls[:5])) as remote:
            settings = {"HEEDFUL_POLICY": policy(tmp_path, remote), "HEEDFUL_CACHE": str(tmp_path / "cache")}
            result = crawl("Media", settings, urls=urls, together=True)
            asked = sum(map(len, remote.asked))
            again = crawl("Media", settings, folder=tmp_path / "again", urls=urls, together=True)
            assert sum(map(len, remote.asked)) == asked == 20
        assert all(site.hits("a", f"/{number}.jpg") == () for number in range(1, 6))
    assert len(remote.asked) < 20
    for crawled in (result, again):
        assert crawled.stored == list(range(6, 21))
        assert crawled.stats["heedful/skip/registry.remote"] == 5


def test_what_a_remote_registry_does_not_answer_is_deferred(crawl, tmp_path):
    with serve(web([1, 2])) as site, Remote(set(), status=403) as remote:
        settings = {"HEEDFUL_POLICY": policy(tmp_path, remote), "HEEDFUL_CACHE": str(tmp_path / "cache")}
        result = crawl("Media", settings, urls=[site.url("a", "/1.jpg"), site.url("a", "/2.jpg")])
        assert site.hits("a", "/1.jpg") == site.hits("a", "/2.jpg") == ()
    assert result.stored == []
    assert result.stats["heedful/defer/registry.remote"] == 2
