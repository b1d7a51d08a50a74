"""Corners of the engine: caches that revalidate, HTTP/2, signals that crash, items of all kinds."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
import scrapy

from heedful import Action
from heedful.testing import File, Picture, Site, Web, serve

JPEG = (("Content-Type", "image/jpeg"),)
NOAI = ("X-Robots-Tag", "noai")
HTML = (("Content-Type", "text/html"),)
CLOSED = {"/robots.txt": File("User-agent: *\nDisallow: /\n", headers=(("Content-Type", "text/plain"),))}


def picture(number=1, *headers, **kwargs):
    return File(Picture(number, "JPEG", **kwargs), headers=(*JPEG, *headers))


def page(body, *headers):
    return File(f"<html>{body}</html>", headers=(*HTML, *headers))


def web(**sites):
    return Web({name: Site(files) for name, files in sites.items()})


def kinds(result):
    return sorted((record.action, record.reason and record.reason.value) for record in result.records)


# -- caches ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "stored"), [((), [1]), ((NOAI,), [])], ids=["still free", "opted out since"]
)
def test_a_cached_picture_that_is_revalidated_is_judged_by_the_new_headers(crawl, tmp_path, headers, stored):
    settings = {
        "HTTPCACHE_ENABLED": True,
        "HTTPCACHE_DIR": str(tmp_path / "cache"),
        "HTTPCACHE_POLICY": "scrapy.extensions.httpcache.RFC2616Policy",
    }
    tag = ("ETag", '"1"')
    files = {"/1.jpg": picture(1, tag, ("Cache-Control", "max-age=0"))}
    with serve(web(a=files)) as site:
        url = site.url("a", "/1.jpg")
        assert crawl("Media", settings, urls=[url]).stored == [1]
        (tmp_path / "store").rename(tmp_path / "old")
        files["/1.jpg"] = File(b"", 304, (tag, *headers))
        result = crawl("Media", settings, urls=[url])
        assert dict(site.hits("a", "/1.jpg")[-1].headers)["If-None-Match"] == '"1"'
    assert result.stored == stored


# -- handlers ----------------------------------------------------------------------------------------------

SERVER = """
import asyncio, sys
from hypercorn.asyncio import serve
from hypercorn.config import Config
from heedful.testing import Picture

LARGE = Picture(1, min_bytes=3_000_000).render()
SMALL = [Picture(number).render() for number in (2, 3)]
FILES = {"/1.jpg": (LARGE, b"noai"), "/2.jpg": (SMALL[0], b"noai"), "/3.jpg": (SMALL[1], b"")}

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    assert scope["http_version"] == "2"
    await receive()  # the request to its end
    body, tag = FILES.get(scope["path"], (None, b""))
    headers = [(b"content-type", b"text/plain" if body is None else b"image/jpeg")]
    headers += [(b"x-robots-tag", tag)] if tag else []
    body = b"" if body is None else body
    headers += [(b"content-length", str(len(body)).encode())]
    status = 200 if scope["path"] in FILES else 404
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

async def main():
    config = Config.from_mapping(
        bind=[f"fd://{sys.argv[1]}"],
        certfile=sys.argv[2],
        keyfile=sys.argv[3],
        alpn_protocols=["h2"],
        errorlog=None,
    )
    print("ready", flush=True)
    await serve(app, config)

asyncio.run(main())
"""


@pytest.fixture
def http2(tmp_path, signing_chain):
    """The origin of a server that speaks HTTP/2 over TLS only."""
    pytest.importorskip("hypercorn")
    chain, key = signing_chain()
    certificate, secret = tmp_path / "chain.pem", tmp_path / "key.pem"
    certificate.write_text(chain)
    secret.write_text(key)
    listening = socket.create_server(("127.0.0.1", 0))
    command = [sys.executable, "-c", SERVER, str(listening.fileno()), str(certificate), str(secret)]
    with subprocess.Popen(command, pass_fds=[listening.fileno()], stdout=subprocess.PIPE) as server:
        assert server.stdout.readline() == b"ready\n"
        port = listening.getsockname()[1]
        listening.close()
        yield f"https://127.0.0.1:{port}"
        server.kill()


@pytest.mark.skipif(
    scrapy.version_info < (2, 15), reason="HTTP/2 of Scrapy 2.14 does not work with today's pyOpenSSL"
)
def test_http_2_over_tls(crawl, http2):
    handler = "scrapy.core.downloader.handlers.http2.H2DownloadHandler"
    urls = [f"{http2}/{number}.jpg" for number in (1, 2, 3)]
    result = crawl("Media", {"DOWNLOAD_HANDLERS": {"https": handler}}, urls=urls)
    assert result.stored == [3]
    records = {record.url[-5]: record for record in result.records}
    assert [records[number].action for number in "123"] == [Action.SKIP, Action.SKIP, Action.STORE]
    assert records["1"].bytes_read < 1_500_000  # it is stopped, or read, but never stored
    assert "Traceback" not in result.log


def test_a_crash_while_headers_come_in_lets_nothing_through(crawl):
    """Scrapy logs the crash and reads on: what decides is the response."""
    files = {"/1.jpg": picture(1, NOAI, min_bytes=200_000), "/2.jpg": picture(2)}
    with serve(web(a=files)) as site:
        result = crawl("BrokenSignal", urls=[site.url("a", "/1.jpg"), site.url("a", "/2.jpg")])
    assert "broken signal" in result.log
    assert kinds(result) == [(Action.SKIP, "x-robots-tag"), (Action.STORE, None)]
    assert result.stored == [2]


# -- items -------------------------------------------------------------------------------------------------

NOAI_PAGE = '<head><meta name="robots" content="noai"></head>'


@pytest.mark.parametrize(
    "pipelines",
    [
        {"scrapy.pipelines.images.ImagesPipeline": 10},
        {"crawlers.Replacing": 5, "scrapy.pipelines.images.ImagesPipeline": 10},
        {"crawlers.OwnRequests": 10},
        {"crawlers.Replacing": 5, "crawlers.OwnRequests": 10},
    ],
    ids=["as it is", "replaced", "own requests", "replaced, own requests"],
)
def test_what_a_page_says_follows_its_items(crawl, pipelines):
    files = {
        "/": page(NOAI_PAGE + '<img src="/1.jpg"><img src="/2.jpg"><a href="/free">x</a>'),
        "/free": page('<img src="/3.jpg">'),
        **{f"/{number}.jpg": picture(number) for number in (1, 2, 3)},
    }
    with serve(web(a=files)) as site:
        result = crawl("PageItems", {"ITEM_PIPELINES": pipelines}, urls=[site.start_url])
        assert site.hits("a", "/1.jpg") == ()
    assert kinds(result) == [(Action.SKIP, "meta-robots")] * 2 + [(Action.STORE, None)]
    assert result.stored == [3]


@pytest.mark.parametrize(
    ("kind", "tells"), [("dict", True), ("item", False), ("telling item", True), ("dataclass", True)]
)
def test_items_tell_which_pictures_are_missing_and_why(crawl, kind, tells):
    sources = "".join(f'<img src="{source}">' for source in ("/1.jpg", "/2.jpg", "{{b}}/3.jpg", "/4.jpg"))
    files = {
        "/": page(sources + '<a href="/again">x</a>'),
        "/again": page('<img src="/2.jpg">'),
        "/1.jpg": picture(1),
        "/2.jpg": picture(2, NOAI),
    }
    with serve(web(a=files, b={**CLOSED, "/3.jpg": picture(3)})) as site:
        result = crawl("PageItems", urls=[site.start_url], kind=kind)
        skipped = [
            {"url": url, "action": "skip", "reason": reason, "reasons": [reason]}
            for url, reason in (
                (site.url("a", "/2.jpg"), "x-robots-tag"),
                (site.url("b", "/3.jpg"), "robots.disallow"),
            )
        ]
    items = sorted(result.items, key=lambda item: len(item["image_urls"]), reverse=True)
    told = [item.get("heedful_skipped") or [] for item in items]
    # what failed for other reasons (404) is not ours to tell; the second item shares the first one's answer
    assert told == ([skipped, skipped[:1]] if tells else [[], []])
    assert [len(item["images"]) for item in items] == [1, 0]


def test_nothing_is_told_of_pictures_that_are_stored(crawl):
    with serve(web(a={"/1.jpg": picture(1)})) as site:
        result = crawl("Media", urls=[site.url("a", "/1.jpg")])
    assert "heedful_skipped" not in result.items[0]
