"""Requests that only ask whether a picture may be stored."""

from __future__ import annotations

import pytest

from heedful import Action, Stage
from heedful.testing import File, Picture, Site, Web, serve

JPEG = ("Content-Type", "image/jpeg")
NOAI = ("X-Robots-Tag", "noai")
LARGE = b"\xff\xd8" + b"x" * 3_000_000
ASKING = {"heedful_picture": True, "heedful_headers_only": True}


def web(*headers, body=LARGE, **more):
    return Web({"a": Site({"/1.jpg": File(body, headers=(JPEG, *headers), **more)})})


@pytest.mark.parametrize(
    ("site", "action"),
    [
        (web(), Action.STORE),
        (web(body=b"\xff\xd8"), Action.STORE),
        (web(chunked=True), Action.STORE),
        (web(("Content-Encoding", "gzip")), Action.STORE),
        (web(NOAI), Action.SKIP),
        (web(status=404), Action.FAILED),
    ],
    ids=["large", "small", "of unknown length", "encoded", "opted out", "not there"],
)
@pytest.mark.parametrize("audit", [False, True], ids=["enforcing", "auditing"])
def test_the_headers_decide_and_the_body_is_not_read(crawl, site, action, audit):
    with serve(site) as served:
        url = served.url("a", "/1.jpg")
        result = crawl("Plain", {"HEEDFUL_AUDIT": audit}, urls=[url], meta=ASKING)
        served.settle()
        (hit,) = served.hits("a", "/1.jpg")
    (record,) = result.records
    assert (record.url, record.action, record.hop_of) == (url, action, None)
    assert (record.complete, record.bytes_read) == (Stage.HEADERS, 0)
    assert hit.body_bytes_sent < len(LARGE) / 4  # what the sockets' buffers took
    (seen,) = result.seen
    assert (seen[0] == "response") == (action is Action.STORE or (audit and action is Action.SKIP))


def test_silence_is_not_judged(crawl):
    """Nothing is said in the headers: whether the picture itself says something is not known."""
    with serve(web()) as served:
        (record,) = crawl(
            "Plain", {"HEEDFUL_POLICY": "opt-in"}, urls=[served.url("a", "/1.jpg")], meta=ASKING
        ).records
    assert (record.action, record.complete) == (Action.STORE, Stage.HEADERS)


def test_a_cache_does_not_keep_what_was_not_read(crawl):
    caching = {"HTTPCACHE_ENABLED": True}
    body = Picture(1, "JPEG").render()
    with serve(web(body=body)) as served:
        urls = [served.url("a", "/1.jpg")]
        assert crawl("Plain", caching, urls=urls, meta=ASKING).seen == [["response", urls[0], 200, 0]]
        again = crawl("Plain", caching, urls=urls, meta={"heedful_picture": True})
    assert again.seen == [["response", urls[0], 200, len(body)]]


@pytest.mark.parametrize("policy", ["standard", "opt-in"])
def test_head_stores_nothing_and_is_recorded_only_if_it_is_refused(crawl, policy):
    files = {"/1.jpg": File(LARGE, headers=(JPEG,)), "/2.jpg": File(LARGE, headers=(JPEG, NOAI))}
    with serve(Web({"a": Site(files)})) as served:
        urls = [served.url("a", path) for path in files]
        result = crawl("Head", {"HEEDFUL_POLICY": policy}, urls=urls, meta={"heedful_picture": True})
    assert sorted(result.seen) == [
        ["OptedOut", urls[1], "skip", "x-robots-tag"],
        ["response", urls[0], 200, 0],
    ]
    assert [(record.url, record.action) for record in result.records] == [(urls[1], Action.SKIP)]
    assert "heedful/store" not in result.stats


def test_head_is_recorded_where_only_headers_are_asked_for(crawl):
    with serve(web()) as served:
        (record,) = crawl("Head", urls=[served.url("a", "/1.jpg")], meta=ASKING).records
    assert (record.action, record.bytes_read, record.bytes_avoided) == (Action.STORE, 0, len(LARGE))


def test_a_record_has_the_url_as_it_was_listed(crawl):
    with serve(web()) as served:
        url = served.url("a", "/1.jpg")
        meta = {**ASKING, "heedful_listed": f"{url}#top"}
        (record,) = crawl("Plain", urls=[url], meta=meta).records
    assert (record.url, record.hop_of) == (url, f"{url}#top")
