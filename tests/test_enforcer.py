"""The enforcer by itself; what it does behind an adapter is in the adapters' tests."""

from __future__ import annotations

import asyncio
import gzip
import inspect
import json
import logging
import re
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import brotli
import pytest
import zstandard

from heedful import ConfigurationError, Deferred, LedgerError, OptedOut, Page, Response
from heedful.configuration import Configuration
from heedful.content_encoding import CODINGS_MAX, DECODED_MAX, undone
from heedful.enforcer import READ_ANYWAY, Enforcer, Hop, Options, speaks
from heedful.model import Action, Reason, Stage
from heedful.origins.cache import OriginCache
from heedful.origins.fetch import OriginFetcher
from heedful.signals import ai_txt, tdmrep, trust_txt
from heedful.testing import Fault, File, Picture, Site, Web, embed, serve

PICTURE = Picture(1, "JPEG").render()
MINED = Picture(2, "PNG", xmp=embed.dmi_packet("DMI-PROHIBITED")).render()
JPEG = ("Content-Type", "image/jpeg")
NOAI = ("X-Robots-Tag", "noai")
OK = Response(200, (JPEG,))

WEB = Web(
    {
        "open": Site({}),
        "closed": Site({"/robots.txt": File("User-agent: *\nDisallow: /\n")}),
        "broken": Site({"/robots.txt": File(status=503)}),
        "reset": Site({"/robots.txt": File(fault=Fault.RESET)}),
    }
)


AHEAD = ("/robots.txt", tdmrep.PATH, *ai_txt.PATHS, *trust_txt.PATHS)
"""What every origin is asked for."""


@pytest.fixture(scope="module")
def web():
    with serve(WEB) as running:
        yield running


@pytest.fixture
def make(tmp_path):
    opened = []

    def make(**options):
        given = {"token": "PictureBot", "ledger": tmp_path / "ledger", "cache": tmp_path / "cache", **options}
        enforcer = Enforcer.configured(crawler="test/1", opted_out=OptedOut, deferred=Deferred, **given)
        opened.append(enforcer)
        return enforcer

    yield make
    for enforcer in opened:
        enforcer.close()


def fetch(enforcer, hop, response=OK, body=PICTURE):
    """What adapters do, without a library; the bytes, if they are handed out."""
    enforcer.before(hop)
    enforcer.head(hop, response, length=len(body))
    enforcer.body(hop, response, body)
    return body


# -- stages ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("site", "response", "body", "kind", "reason", "stage"),
    [
        pytest.param("open", OK, PICTURE, None, None, Stage.BODY, id="free"),
        pytest.param("closed", OK, PICTURE, OptedOut, Reason.ROBOTS_DISALLOW, Stage.ORIGIN, id="origin"),
        pytest.param("broken", OK, PICTURE, Deferred, Reason.ROBOTS_UNREACHABLE, Stage.ORIGIN, id="down"),
        pytest.param("reset", OK, PICTURE, Deferred, Reason.ROBOTS_UNREACHABLE, Stage.ORIGIN, id="reset"),
        pytest.param(
            "open",
            Response(200, (JPEG, NOAI)),
            PICTURE,
            OptedOut,
            Reason.X_ROBOTS_TAG,
            Stage.HEADERS,
            id="header",
        ),
        pytest.param(
            "open",
            Response(302, (NOAI, ("Location", "/"))),
            b"",
            OptedOut,
            Reason.X_ROBOTS_TAG,
            Stage.HEADERS,
            id="redirect",
        ),
        pytest.param("open", OK, MINED, OptedOut, Reason.DATA_MINING, Stage.BODY, id="body"),
        pytest.param(
            "open", Response(206, (JPEG,)), PICTURE, Deferred, Reason.UNDETERMINED, Stage.BODY, id="a-part"
        ),
    ],
)
def test_stages(make, records, web, site, response, body, kind, reason, stage):
    enforcer, hop = make(), Hop.start(web.url(site, "/1.jpg"))
    if kind is None:
        assert fetch(enforcer, hop, response, body) == body
    else:
        with pytest.raises(kind) as refused:
            fetch(enforcer, hop, response, body)
        assert type(refused.value) is kind
        assert (refused.value.verdict.reason, refused.value.verdict.stage) == (reason, stage)
    (record,) = records()
    assert (record.url, record.reason, record.stage) == (hop.url, reason, stage)
    assert record.action is {None: Action.STORE, OptedOut: Action.SKIP, Deferred: Action.DEFER}[kind]


@pytest.mark.parametrize(
    ("length", "read", "avoided"),
    [
        pytest.param(READ_ANYWAY, READ_ANYWAY, 0, id="small"),
        pytest.param(READ_ANYWAY + 1, 0, READ_ANYWAY + 1, id="large"),
        pytest.param(None, 0, None, id="unknown"),
    ],
)
def test_bytes_that_a_refusal_by_headers_spares(make, records, web, length, read, avoided):
    with pytest.raises(OptedOut):
        make().head(Hop.start(web.url("open")), Response(200, (NOAI,)), length=length)
    (record,) = records()
    assert (record.bytes_read, record.bytes_avoided) == (read, avoided)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param(NOAI, True, id="x-robots-tag"),
        pytest.param(("TDM-RESERVATION", "0"), True, id="tdmrep"),
        pytest.param(("link", "<l>; rel=license"), True, id="link"),
        pytest.param(JPEG, False, id="content-type"),
    ],
)
def test_headers_that_speak(header, expected):
    assert speaks(Response(200, (("Date", "now"), header))) is expected


def test_a_large_picture_is_not_read_where_its_type_is_denied(make):
    """ai.txt names types: a URL without an extension is known by its Content-Type only."""
    site = Site({"/ai.txt": File("User-Agent: *\nDisallow: *.jpg\n")})
    with serve(Web({"a": site})) as running:
        for length, stage in ((READ_ANYWAY + 1, "head"), (READ_ANYWAY, "body")):
            enforcer, hop = make(), Hop.start(running.url("a", "/picture"))
            enforcer.before(hop)
            if stage == "head":
                with pytest.raises(OptedOut):
                    enforcer.head(hop, OK, length=length)
            else:
                enforcer.head(hop, OK, length=length)
                with pytest.raises(OptedOut):
                    enforcer.body(hop, OK, PICTURE)


@pytest.mark.parametrize(
    ("method", "status", "redirects", "awaited", "recorded"),
    [
        pytest.param("GET", 200, False, True, [], id="success"),
        pytest.param("HEAD", 200, False, False, [], id="head"),
        pytest.param("GET", 304, False, False, [], id="not-modified"),
        pytest.param("GET", 302, True, False, [], id="redirect"),
        pytest.param("GET", 302, False, False, [302], id="to-nowhere"),
        pytest.param("GET", 404, False, False, [404], id="not-found"),
        pytest.param("GET", 503, False, False, [503], id="unavailable"),
    ],
)
def test_what_brings_no_picture(make, records, web, method, status, redirects, awaited, recorded):
    hop = Hop.start(web.url("open", "/1.jpg"))
    assert make().awaits_body(hop, method, Response(status), redirects=redirects) is awaited
    assert [(record.action, record.status) for record in records()] == [
        (Action.FAILED, each) for each in recorded
    ]


def test_a_page_speaks_of_its_pictures_also_after_a_redirect(make, web):
    page = Page(web.url("open", "/p"), html='<meta name="robots" content="noai">')
    hop = Hop.start(web.url("open", "/1.jpg"), page=page).to(web.url("open", "/2.jpg"))
    with pytest.raises(OptedOut) as refused:
        make().before(hop)
    assert refused.value.verdict.reason is Reason.META_ROBOTS


@pytest.mark.parametrize(
    ("site", "path", "reason", "words"),
    [
        pytest.param("open", "/meta", Reason.META_ROBOTS, None, id="meta"),
        pytest.param("open", "/header", Reason.X_ROBOTS_TAG, None, id="header"),
        pytest.param("open", "/free", None, None, id="free"),
        pytest.param("open", "/gone", None, None, id="gone"),
        pytest.param("open", "/unavailable", None, "cannot be read", id="unavailable"),
        pytest.param("open", "/reset", None, "cannot be read", id="no-answer"),
        pytest.param("closed", "/", None, "may not be fetched", id="barred"),
        pytest.param(None, "no URL", None, "cannot be read", id="no-url"),
    ],
)
def test_pages_that_are_fetched(make, site, path, reason, words):
    pages = {
        "/meta": File('<title>A</title><meta name="robots" content="noai"><p>'),
        "/header": File("<p>", headers=(NOAI,)),
        "/free": File("<p>"),
        "/unavailable": File(status=503),
        "/reset": File(fault=Fault.RESET),
    }
    closed = {"/robots.txt": File("User-agent: *\nDisallow: /\n"), "/": File("<p>")}
    with serve(Web({"open": Site(pages), "closed": Site(closed)})) as web:
        enforcer, hop = make(), Hop.start(web.url("open", "/1.jpg"))
        found = enforcer.look_at_page(hop, web.url(site, path) if site else path)
        if words is not None:
            assert (found.action, found.stage, found.url) == (Action.DEFER, Stage.PAGE, hop.url)
            assert words in found.evidence[0].rule
        else:
            assert found is None
            assert (hop.page is not None) == (path in {"/meta", "/header", "/free"})
        assert web.hits("closed", "/") == ()
        if reason is None:
            enforcer.before(hop)
        else:
            with pytest.raises(OptedOut) as refused:
                enforcer.before(hop)
            assert refused.value.verdict.reason is reason


def test_a_page_is_not_asked_for_where_the_picture_is_refused_anyway(make, web, tmp_path):
    policy = tmp_path / "p.toml"
    policy.write_text('[[override]]\ndomain = "art.example"\naction = "deny"\nevidence = "a letter"\n')
    hits = len(web.log)
    assert (
        make(policy=policy).look_at_page(Hop.start("https://art.example/1.jpg"), web.url("open", "/p"))
        is None
    )
    assert len(web.log) == hits


def test_a_page_at_which_a_check_crashes_is_a_doubt(make, web, monkeypatch):
    def crash(*_, **__):
        raise RuntimeError("out of order")

    enforcer, hop = make(), Hop.start(web.url("open", "/1.jpg"))
    monkeypatch.setattr(enforcer.gate, "judge", crash)
    found = enforcer.look_at_page(hop, web.url("open", "/p"))
    assert (found.action, found.stage) == (Action.DEFER, Stage.PAGE)


def test_origin_files_that_are_fetched_ahead(make):
    with serve(Web({name: Site({}) for name in "ab"})) as running:
        enforcer = make()
        urls = [running.url(name, f"/{number}.jpg") for number in range(3) for name in "ab"]
        enforcer.prefetch([*urls, "no URL", "ftp://127.0.0.1/"])
        hops = [Hop.start(url) for url in urls]
        with running._state:
            assert running._state.wait_for(lambda: len(running._log) >= 2 * len(AHEAD), 30)
        for hop in hops:
            enforcer.before(hop)
        asked = [(hit.site, hit.path) for hit in running.log]
        assert sorted(asked) == sorted((name, path) for name in "ab" for path in AHEAD)


def test_a_hop_is_judged_by_the_same_files_at_all_stages(make, monkeypatch, web):
    enforcer, hop = make(), Hop.start(web.url("open", "/1.jpg"))
    enforcer.before(hop)
    monkeypatch.setattr(enforcer.origins, "kept", None)
    monkeypatch.setattr(enforcer.origins, "files", None)
    enforcer.head(hop, Response(200, (JPEG, ("X-Robots-Tag", "all"))), length=None)
    enforcer.body(hop, OK, PICTURE)


# -- content encoding --------------------------------------------------------------------------------------

DEFLATED = zlib.compressobj(wbits=-15)
RAW = DEFLATED.compress(MINED) + DEFLATED.flush()


@pytest.mark.parametrize(
    ("codings", "data"),
    [
        pytest.param([], MINED, id="none"),
        pytest.param(["identity"], MINED, id="identity"),
        pytest.param(["gzip"], gzip.compress(MINED), id="gzip"),
        pytest.param(["X-GZIP"], gzip.compress(MINED), id="x-gzip"),
        pytest.param(["gzip"], gzip.compress(MINED[:99]) + gzip.compress(MINED[99:]), id="two-members"),
        pytest.param(["gzip"], gzip.compress(MINED) + b"\0\0", id="padded"),
        pytest.param(["deflate"], zlib.compress(MINED), id="deflate"),
        pytest.param(["deflate"], RAW, id="deflate-raw"),
        pytest.param(["br"], brotli.compress(MINED), id="brotli"),
        pytest.param(["zstd"], zstandard.compress(MINED), id="zstd"),
        pytest.param(["br, gzip"], gzip.compress(brotli.compress(MINED)), id="two"),
        pytest.param(["br", "gzip"], gzip.compress(brotli.compress(MINED)), id="two-lines"),
    ],
)
def test_content_encoding_is_undone_for_judging(make, web, codings, data):
    headers = tuple(("Content-Encoding", coding) for coding in codings)
    assert undone(data, headers) == MINED
    with pytest.raises(OptedOut) as refused:
        make().body(Hop.start(web.url("open", "/2.png")), Response(200, headers), data)
    assert refused.value.verdict.reason is Reason.DATA_MINING


@pytest.mark.parametrize(
    ("coding", "data", "words"),
    [
        pytest.param("compress", b"\x1f\x9d\x90", "is not known", id="unknown"),
        pytest.param("gzip", b"\x1f\x8bnonsense", "cannot be undone", id="damaged-gzip"),
        pytest.param("deflate", b"nonsense", "cannot be undone", id="damaged-deflate"),
        pytest.param("br", b"nonsense", "cannot be undone", id="damaged-brotli"),
        pytest.param("br", brotli.compress(MINED)[:-9], "cannot be undone", id="cut-brotli"),
        pytest.param("zstd", b"nonsense", "cannot be undone", id="damaged-zstd"),
        pytest.param(", ".join(["gzip"] * (CODINGS_MAX + 1)), b"", "6 content codings", id="many"),
    ],
)
def test_what_cannot_be_decoded_is_deferred(make, records, web, coding, data, words):
    headers = (("Content-Encoding", coding),)
    with pytest.raises(ValueError, match=words):
        undone(data, headers)
    with pytest.raises(Deferred):
        make().body(Hop.start(web.url("open", "/1.jpg")), Response(200, headers), data)
    (record,) = records()
    assert words in record.evidence[0]["raw"]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_body_that_unpacks_without_end(coding, monkeypatch):
    monkeypatch.setattr("heedful.content_encoding.DECODED_MAX", 1000)
    packed = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "br": brotli.compress,
        "zstd": zstandard.compress,
    }
    assert DECODED_MAX > 1000
    assert undone(packed[coding](bytes(1000)), (("content-encoding", coding),)) == bytes(1000)
    with pytest.raises(ValueError, match="more than"):
        undone(packed[coding](bytes(100_000)), (("content-encoding", coding),))


@pytest.mark.parametrize(
    ("data", "kind"), [pytest.param(PICTURE, None, id="free"), pytest.param(MINED, OptedOut, id="mined")]
)
def test_a_picture_under_a_wrong_content_encoding_is_judged_as_it_is(make, web, data, kind):
    enforcer, hop = make(), Hop.start(web.url("open", "/1.jpg"))
    response = Response(200, (("Content-Encoding", "gzip"),))
    if kind is None:
        assert fetch(enforcer, hop, response, data) == data
    else:
        with pytest.raises(kind):
            fetch(enforcer, hop, response, data)


# -- faults ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("audit", [False, True])
@pytest.mark.parametrize("stage", ["before", "head", "body"])
def test_a_check_that_raises_is_a_doubt(make, records, web, monkeypatch, caplog, stage, audit):
    enforcer = make(audit=audit)
    hops = [Hop.start(web.url("open", f"/{number}.jpg")) for number in range(3)]

    def crash(*_, **__):
        raise RuntimeError("out of\norder")

    calls = {
        "before": enforcer.before,
        "head": lambda hop: enforcer.head(hop, Response(200, (NOAI,))),
        "body": lambda hop: enforcer.body(hop, OK, PICTURE),
    }
    monkeypatch.setattr(enforcer.gate, "judge", crash)
    for hop in hops:
        if audit:
            calls[stage](hop)
        else:
            with pytest.raises(Deferred) as refused:
                calls[stage](hop)
            assert refused.value.verdict.reason is Reason.UNDETERMINED
    assert [record.action for record in records()] == [Action.DEFER] * 3
    assert "RuntimeError: out of" in records()[0].evidence[0]["raw"]
    (logged,) = [record for record in caplog.records if record.exc_info]
    assert "A check failed" in logged.getMessage()


def test_a_crash_while_a_body_is_unpacked_is_a_doubt(make, web, monkeypatch):
    def crash(*_):
        raise MemoryError

    monkeypatch.setattr("heedful.enforcer.undone", crash)
    with pytest.raises(Deferred):
        make().body(Hop.start(web.url("open", "/1.jpg")), OK, PICTURE)


def test_a_ledger_that_cannot_be_written_keeps_all_from_starting(make, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        make(ledger=tmp_path / "file" / "ledger")


def broken(enforcer, monkeypatch):
    def fail(*_, **__):
        raise LedgerError("The disk is full.")

    monkeypatch.setattr(enforcer._ledger, "record", fail)


@pytest.mark.parametrize("stores", ["record", "count"])
def test_once_the_ledger_has_failed_nothing_is_handed_out(make, records, web, monkeypatch, stores):
    enforcer = make(ledger_stores=stores)
    fetch(enforcer, Hop.start(web.url("open", "/1.jpg")))
    with monkeypatch.context() as during:
        broken(enforcer, during)
        with pytest.raises(LedgerError, match="full"):
            fetch(enforcer, Hop.start(web.url("closed", "/2.jpg")))
    for site in ("open", "closed"):
        with pytest.raises(LedgerError, match="full"):
            fetch(enforcer, Hop.start(web.url(site, "/3.jpg")))
    with pytest.raises(LedgerError, match="full"):
        enforcer.failed(Hop.start(web.url("open", "/4.jpg")), "no answer")
    assert len(records()) == (1 if stores == "record" else 0)


def test_after_closing_nothing_is_handed_out(make, web):
    enforcer = make()
    enforcer.close()
    with pytest.raises(LedgerError, match="closed"):
        fetch(enforcer, Hop.start(web.url("open", "/1.jpg")))
    enforcer.close()


@pytest.mark.parametrize("kind", [OriginCache, OriginFetcher])
def test_what_was_opened_is_closed_if_the_rest_cannot_be(make, tmp_path, monkeypatch, kind):
    closed, close = [], kind.close

    def watched(opened):
        closed.append(opened)
        close(opened)

    monkeypatch.setattr(kind, "close", watched)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError):
        make(ledger=tmp_path / "file")
    assert len(closed) == 1


# -- recording ---------------------------------------------------------------------------------------------


def test_stores_may_only_be_counted(make, records, web):
    enforcer = make(ledger_stores="count")
    assert fetch(enforcer, Hop.start(web.url("open", "/1.jpg")))
    with pytest.raises(OptedOut):
        fetch(enforcer, Hop.start(web.url("closed", "/1.jpg")))
    assert [record.action for record in records()] == [Action.SKIP]


def test_no_ledger(make, web, tmp_path):
    enforcer = make(ledger=None)
    assert fetch(enforcer, Hop.start(web.url("open", "/1.jpg")))
    with pytest.raises(OptedOut):
        fetch(enforcer, Hop.start(web.url("closed", "/1.jpg")))
    assert not (tmp_path / "ledger").exists()


def test_an_audit_refuses_nothing_and_records_the_first_refusal_once(make, records, web):
    enforcer = make(audit=True)
    fetch(enforcer, Hop.start(web.url("closed", "/1.jpg")), Response(200, (JPEG, NOAI)), MINED)
    (record,) = records()
    assert (record.action, record.reason, record.run.enforced) == (Action.SKIP, Reason.ROBOTS_DISALLOW, False)


def test_redirects_are_recorded_with_the_first_url(make, records, web):
    first = Hop.start(web.url("open", "/1.jpg"))
    second = first.to(web.url("open", "/2.jpg")).to(web.url("open", "/3.jpg"))
    fetch(make(), second)
    (record,) = records()
    assert (record.url, record.hop_of) == (second.url, first.url)


@pytest.mark.parametrize(
    ("options", "warnings"),
    [
        pytest.param({}, 1, id="none"),
        pytest.param({"contact": "https://me.example/bot"}, 0, id="given"),
    ],
)
def test_without_a_contact_there_is_one_warning_but_on_loopback(
    make, web, tmp_path, caplog, options, warnings
):
    policy = tmp_path / "p.toml"
    policy.write_text('[[override]]\ndomain = "art.example"\naction = "deny"\nevidence = "a letter"\n')
    enforcer = make(policy=policy, **options)
    with caplog.at_level(logging.WARNING):
        enforcer.before(Hop.start(web.url("open", "/1.jpg")))
        enforcer_warned = len(caplog.records)
        for _ in range(2):
            with pytest.raises(OptedOut):  # nobody is contacted
                enforcer.before(Hop.start("https://art.example/1.jpg"))
    assert enforcer_warned == 0
    assert [record.getMessage()[:18] for record in caplog.records] == ["No contact is set:"] * warnings


# -- threads and asyncio -----------------------------------------------------------------------------------


def test_threads_share_it(make, records):
    threads, each = 8, 40
    with serve(Web({name: Site({}) for name in "abcd"})) as running:
        enforcer = make()
        start = threading.Barrier(threads)

        def work(thread):
            start.wait()
            for number in range(each):
                url = running.url("abcd"[number % 4], f"/{thread}/{number}.jpg")
                fetch(enforcer, Hop.start(url))

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))
        assert all(len(running.hits(name, "/robots.txt")) == 1 for name in "abcd")
    found = records()
    assert len({record.url for record in found}) == len({record.id for record in found}) == threads * each


def test_records_of_many_threads_stay_whole(make, records, web):
    """The writer is one thread's; here it is shared."""
    enforcer = make()
    inside, most = [], []
    write = enforcer._ledger.record

    def watched(*args, **kwargs):
        inside.append(1)
        most.append(len(inside))
        try:
            return write(*args, **kwargs)
        finally:
            inside.pop()

    enforcer._ledger.record = watched
    hops = [Hop.start(web.url("open", f"/{number}.jpg")) for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda hop: enforcer.failed(hop, "no answer"), hops))
    assert max(most) == 1
    assert len(records()) == 200


def test_asyncio(make, records, web):
    enforcer = make()

    async def one(site, response, body):
        hop = Hop.start(web.url(site, "/1.jpg"))
        try:
            await enforcer.before_async(hop)
            await enforcer.head_async(hop, response, length=len(body))
            await enforcer.body_async(hop, response, body)
        except OptedOut as refused:
            return refused.verdict.reason
        return None

    async def main():
        return await asyncio.gather(
            one("open", OK, PICTURE),
            one("closed", OK, PICTURE),
            one("broken", OK, PICTURE),
            one("open", Response(200, (NOAI,)), PICTURE),
            one("open", OK, MINED),
        )

    assert asyncio.run(main()) == [
        None,
        Reason.ROBOTS_DISALLOW,
        Reason.ROBOTS_UNREACHABLE,
        Reason.X_ROBOTS_TAG,
        Reason.DATA_MINING,
    ]
    assert len(records()) == 5


def test_an_event_loop_goes_on_while_origin_files_are_awaited(make):
    """The server answers only when the loop has moved on."""
    with serve(Web({"slow": Site({"/robots.txt": File(fault=Fault.STALL)})})) as running:
        enforcer = make()

        async def main():
            waiting = asyncio.ensure_future(enforcer.before_async(Hop.start(running.url("slow", "/1.jpg"))))
            while not running.hits("slow", "/robots.txt"):  # noqa: ASYNC110 - it is no task that says so
                await asyncio.sleep(0)
            assert not waiting.done()
            await asyncio.to_thread(running.close)
            with pytest.raises(Deferred):
                await waiting

        asyncio.run(main())


# -- remote registries -------------------------------------------------------------------------------------


class Remote:
    """A registry on loopback that opts some URLs out."""

    def __init__(self, words, status=200):
        self.asked = asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                urls = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["urls"]
                asked.extend(urls)
                answer = {"urls": [{"url": url, "out": words in url} for url in urls]}
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

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


@pytest.mark.parametrize("way", ["threads", "asyncio"])
@pytest.mark.parametrize(
    ("status", "listed", "free"),
    [pytest.param(200, OptedOut, None, id="answers"), pytest.param(403, Deferred, Deferred, id="refuses")],
)
def test_remote_registries(make, web, tmp_path, way, status, listed, free):
    policy = tmp_path / "policy.toml"
    with Remote("listed", status) as remote:
        policy.write_text(
            f'[[remote]]\nname = "union"\nprotocol = "json"\nurl = "{remote.url}"\nopt_out_field = "out"\n'
        )
        enforcer = make(policy=policy)
        for path, kind in (("/listed.jpg", listed), ("/free.jpg", free)):
            hop = Hop.start(web.url("open", path))
            call = (
                (lambda hop=hop: enforcer.before(hop))
                if way == "threads"
                else (lambda hop=hop: asyncio.run(enforcer.before_async(hop)))
            )
            if kind is None:
                call()
            else:
                with pytest.raises(kind) as refused:
                    call()
                assert type(refused.value) is kind
                assert refused.value.verdict.reason is Reason.REGISTRY_REMOTE
    assert remote.asked[0].endswith("/listed.jpg")


# -- options -----------------------------------------------------------------------------------------------


def test_options_are_those_of_the_configuration():
    checked = inspect.signature(Configuration.check).parameters
    assert set(Options.__annotations__) == set(checked) - {"now", "verify", "called", "faults"}


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        pytest.param({"token": None}, "token is missing", id="token"),
        pytest.param({"policy": "lax"}, "no policy 'lax'", id="policy"),
        pytest.param({"ledger_stores": "all"}, "ledger_stores is 'all'", id="stores"),
        pytest.param({"audit": "yes"}, "audit must be True or False", id="audit"),
    ],
)
def test_faults_are_named_as_the_user_spelt_them(make, options, fault):
    with pytest.raises(ConfigurationError, match=re.escape(fault)):
        make(**options)


def test_an_enforcer_or_options(make):
    enforcer = make()
    kinds = {"crawler": "test/1", "opted_out": OptedOut, "deferred": Deferred}
    assert Enforcer.configured(enforcer, **kinds) is enforcer
    with pytest.raises(TypeError, match="give an enforcer or token, policy, not both"):
        Enforcer.configured(enforcer, token="PictureBot", policy="strict", **kinds)
    with pytest.raises(TypeError, match="tokn"):
        make(tokn="PictureBot")
