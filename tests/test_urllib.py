from __future__ import annotations

import gzip
import io
import pickle
import shutil
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.response import addinfourl

import pytest

import heedful
from heedful import Action, ConfigurationError, LedgerError, Reason
from heedful.configuration import Configuration
from heedful.enforcer import Enforcer, Hop
from heedful.testing import GALLERY, Fault, File, Picture, Site, Web, embed, identify, redirect, serve
from heedful.urllib import Deferred, Handler, OptedOut

BROWSER = "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:72.0) Gecko/20100101 Firefox/72.0"
PICTURE = Picture(1, "JPEG").render()
MINED = Picture(2, "PNG", xmp=embed.dmi_packet("DMI-PROHIBITED")).render()
HUGE = 3 * 512 * 1024
JPEG = ("Content-Type", "image/jpeg")
NOAI = ("X-Robots-Tag", "noai")

WEB = Web(
    {
        "open": Site(
            {
                "/1.jpg": File(PICTURE, headers=(JPEG,)),
                "/mined.png": File(MINED),
                "/mined.gz": File(gzip.compress(MINED), headers=(("Content-Encoding", "gzip"),)),
                "/noai.jpg": File(PICTURE, headers=(NOAI,)),
                "/huge.jpg": File(Picture(3, "JPEG", min_bytes=HUGE), headers=(NOAI,)),
                "/huge-chunked.jpg": File(Picture(3, "JPEG", min_bytes=HUGE), headers=(NOAI,), chunked=True),
                "/moved": redirect("/1.jpg"),
                "/moved-noai": redirect("/1.jpg", headers=(NOAI,)),
                "/moved-closed": redirect("{{closed}}/1.jpg"),
                "/moved-ftp": redirect("ftp://127.0.0.1/1.jpg"),
                "/moved-file": redirect("file:///etc/hostname"),
                "/moved-gone": redirect("/gone.jpg"),
                "/moved-nowhere": File(status=302),
                "/loop": redirect("/loop"),
                "/unavailable.jpg": File(b"later", 503),
                "/unmodified.jpg": File(status=304),
                "/reset.jpg": File(fault=Fault.RESET),
            }
        ),
        "closed": Site({"/robots.txt": File("User-agent: *\nDisallow: /\n"), "/1.jpg": File(PICTURE)}),
    }
)


@pytest.fixture(scope="module")
def web():
    with serve(WEB) as running:
        yield running


@pytest.fixture
def make(tmp_path):
    opened = []

    def make(*handlers, **options):
        given = {"token": "PictureBot", "ledger": tmp_path / "ledger", "cache": tmp_path / "cache", **options}
        handler = Handler(**given)
        opened.append(handler)
        return urllib.request.build_opener(handler, *handlers)

    yield make
    for handler in opened:
        handler.close()


def asked(url, **kwargs):
    return urllib.request.Request(url, **kwargs)  # noqa: S310


def get(opener, url):
    with opener.open(url, timeout=30) as response:
        return response.read()


def outcome(opener, url):
    try:
        return Action.STORE, get(opener, url)
    except Deferred:
        return Action.DEFER, b""
    except OptedOut:
        return Action.SKIP, b""
    except OSError:
        return Action.FAILED, b""


# -- the gallery -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 8])
def test_gallery(make, records, gallery, registry, pages, threads):
    opener = make(registries=registry, start=lambda url: Hop.start(url, page=pages[url]))
    urls = [gallery.exhibit_url(exhibit) for exhibit in GALLERY.exhibits]
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda url: outcome(opener, url), urls))
    assert {each.name: action for each, (action, _) in zip(GALLERY.exhibits, found, strict=True)} == {
        each.name: each.wanted["standard"] for each in GALLERY.exhibits
    }
    for exhibit, (action, data) in zip(GALLERY.exhibits, found, strict=True):
        assert (identify(data) == exhibit.id) if action is Action.STORE else not data
    recorded = records()
    by_url = {record.hop_of or record.url: record for record in recorded}
    assert len(by_url) == len(recorded) == len(urls)
    for exhibit, url in zip(GALLERY.exhibits, urls, strict=True):
        assert (by_url[url].action, by_url[url].reason) == (exhibit.wanted["standard"], exhibit.reason)
        assert (by_url[url].hop_of is None) or exhibit.hops


def test_what_bars_contact_is_not_contacted(make, gallery, registry):
    opener = make(registries=registry)
    for exhibit in GALLERY.exhibits:
        if exhibit.reason in {Reason.REGISTRY_URL, Reason.ROBOTS_DISALLOW} and not exhibit.hops:
            before = len(gallery.hits(exhibit.site, exhibit.path))
            assert outcome(opener, gallery.exhibit_url(exhibit))[0] is Action.SKIP
            assert len(gallery.hits(exhibit.site, exhibit.path)) == before


# -- redirects ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind", "words", "recorded"),
    [
        pytest.param("/moved", None, "", ("/1.jpg", Action.STORE), id="followed"),
        pytest.param("/moved-noai", OptedOut, "skip: x-robots-tag", ("", Action.SKIP), id="own-headers"),
        pytest.param(
            "/moved-closed", OptedOut, "skip: robots.disallow", ("/1.jpg", Action.SKIP), id="target"
        ),
        pytest.param("/moved-ftp", Deferred, "defer: undetermined", ("/1.jpg", Action.DEFER), id="ftp"),
        pytest.param("/moved-file", urllib.error.HTTPError, "not allowed", ("", Action.FAILED), id="file"),
        pytest.param("/moved-gone", urllib.error.HTTPError, "404", ("/gone.jpg", Action.FAILED), id="gone"),
        pytest.param("/moved-nowhere", urllib.error.HTTPError, "302", ("", Action.FAILED), id="nowhere"),
        pytest.param("/loop", urllib.error.HTTPError, "infinite loop", ("", Action.FAILED), id="loop"),
    ],
)
def test_redirects(make, records, web, path, kind, words, recorded):
    opener, url = make(), web.url("open", path)
    before = len(web.hits(path="/1.jpg"))
    if kind is None:
        assert get(opener, url) == PICTURE
    else:
        with pytest.raises(kind, match=words) as raised:
            opener.open(url)
        assert type(raised.value) is kind
        raised.value.__dict__.get("fp", io.BytesIO()).close()
        assert len(web.hits(path="/1.jpg")) == before
    (record,) = records()
    end, action = recorded
    assert record.action is action
    assert record.url.endswith(end or path)
    assert record.hop_of == (None if record.url == url else url)


@pytest.mark.parametrize("audit", [False, True])
@pytest.mark.parametrize("scheme", ["file", "data"])
def test_other_schemes_are_judged(make, records, tmp_path, scheme, audit):
    (tmp_path / "1.jpg").write_bytes(PICTURE)
    url = (tmp_path / "1.jpg").as_uri() if scheme == "file" else "data:text/plain,hello"
    opener = make(audit=audit)
    if audit:
        assert get(opener, url)
    else:
        with pytest.raises(Deferred):
            opener.open(url)
    (record,) = records()
    assert (record.action, record.reason, record.run.enforced) == (
        Action.DEFER,
        Reason.UNDETERMINED,
        not audit,
    )


def test_a_scheme_that_nobody_knows(make):
    with pytest.raises(Deferred):
        make().open("gopher://127.0.0.1/1.jpg")


# -- responses ---------------------------------------------------------------------------------------------


def read_into(answer):
    piece = bytearray(10**6)
    return bytes(piece[: answer.readinto(piece)])


def copied(answer):
    out = io.BytesIO()
    shutil.copyfileobj(answer, out)
    return out.getvalue()


def buffered(answer):
    reader = io.BufferedReader(answer)
    try:
        return reader.read()
    finally:
        reader.detach()  # else it closes the answer when it goes


WAYS = {
    "read": lambda answer: answer.read(),
    "read-some": lambda answer: answer.read(10) + answer.read(),
    "read1": lambda answer: answer.read1(10) + answer.read(),
    "readinto": read_into,
    "readline": lambda answer: answer.readline() + answer.read(),
    "readlines": lambda answer: b"".join(answer.readlines()),
    "iteration": b"".join,
    "buffered": buffered,
    "copied": copied,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(
    ("path", "data"),
    [
        pytest.param("/1.jpg", PICTURE, id="free"),
        pytest.param("/mined.png", None, id="mined"),
        pytest.param("/mined.gz", None, id="mined-gzip"),
    ],
)
def test_no_byte_is_handed_out_before_it_is_judged(make, records, web, way, path, data):
    with make().open(web.url("open", path)) as answer:
        assert (answer.status, answer.getcode(), answer.url) == (200, 200, web.url("open", path))
        assert answer.headers.get_all("X-Robots-Tag") is None
        assert answer.getheader("Content-Length") == answer.headers["content-length"]
        assert records() == []
        if data is not None:
            assert way(answer) == data
            assert answer.read() == b""
        else:
            for _ in range(2):
                with pytest.raises(OptedOut, match="skip: data-mining"):
                    way(answer)
    assert answer.closed
    (record,) = records()
    assert record.action is (Action.STORE if data else Action.SKIP)
    assert record.status == 200
    assert record.bytes_read == int(answer.headers["Content-Length"])


def test_what_was_never_read_is_not_recorded(make, records, web):
    answer = make().open(web.url("open", "/1.jpg"))
    answer.close()
    assert answer.closed
    assert answer.read() == b""
    assert records() == []


def test_the_socket_is_not_lent(make, web):
    with make().open(web.url("open", "/mined.png")) as answer:
        for name in ("fileno", "fp"):
            with pytest.raises(OptedOut):
                getattr(answer, name)


@pytest.mark.parametrize(
    ("path", "read"),
    [
        pytest.param("/noai.jpg", True, id="small"),
        pytest.param("/huge.jpg", False, id="large"),
        pytest.param("/huge-chunked.jpg", False, id="unknown"),
    ],
)
def test_skipped_bodies(make, records, path, read):
    with serve(WEB) as web:
        with pytest.raises(OptedOut):
            make().open(web.url("open", path))
        assert web.settle()
        (hit,) = web.hits("open", path)
        assert (hit.body_bytes_sent < HUGE) is not read or hit.body_bytes_sent == len(PICTURE)
    (record,) = records()
    assert record.bytes_read == (len(PICTURE) if read else 0)


def test_a_body_that_breaks_off(make, records, web):
    class Broken(urllib.request.BaseHandler):
        handler_order = 50

        def http_response(self, request, response):
            response.read = lambda *_: (_ for _ in ()).throw(ConnectionResetError("gone"))
            return response

    with make(Broken()).open(web.url("open", "/1.jpg")) as answer:
        for _ in range(2):
            with pytest.raises(ConnectionResetError):
                answer.read()
    (record,) = records()
    assert (record.action, record.status, record.error) == (Action.FAILED, 200, "ConnectionResetError: gone")


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        pytest.param("/gone.jpg", 404, "status 404", id="not-found"),
        pytest.param("/unavailable.jpg", 503, "status 503", id="unavailable"),
        pytest.param("/reset.jpg", None, "ConnectionResetError", id="reset"),
    ],
)
def test_failures_are_recorded_and_raised_as_ever(make, records, web, path, status, error):
    with pytest.raises(OSError) as raised:  # noqa: PT011 - compared below
        make().open(web.url("open", path))
    with pytest.raises(OSError) as usual:  # noqa: PT011
        urllib.request.build_opener().open(web.url("open", path))
    assert (type(raised.value), str(raised.value)) == (type(usual.value), str(usual.value))
    for each in (raised.value, usual.value):
        if status:
            each.close()
    (record,) = records()
    assert (record.action, record.status) == (Action.FAILED, status)
    assert error in record.error


def test_what_brings_no_picture_is_not_recorded(make, records, web):
    opener = make()
    with opener.open(asked(web.url("open", "/1.jpg"), method="HEAD")) as answer:
        assert answer.read() == b""
    with pytest.raises(urllib.error.HTTPError) as raised:
        opener.open(web.url("open", "/unmodified.jpg"))
    raised.value.close()
    assert records() == []


class Cache(urllib.request.BaseHandler):
    """Answers without the network, before or after the handler of heedful."""

    def __init__(self, order):
        self.handler_order = order

    def http_open(self, request):
        headers = urllib.request.http.client.HTTPMessage()
        answer = addinfourl(io.BytesIO(MINED), headers, request.full_url, 200)
        answer.msg = "OK"
        return answer

    def default_open(self, request):
        return self.http_open(request)


@pytest.mark.parametrize("order", [50, 200])
@pytest.mark.parametrize(
    ("site", "reason"), [("open", Reason.DATA_MINING), ("closed", Reason.ROBOTS_DISALLOW)]
)
def test_what_a_cache_answers_is_judged(make, records, web, order, site, reason):
    opener = make(Cache(order))
    request = asked(web.url(site, "/1.jpg"))
    for _ in range(2):  # the same request object
        with pytest.raises(OptedOut) as refused:
            get(opener, request)
        assert refused.value.verdict.reason is reason
    assert len(records()) == 2


def test_proxies(make, records, web):
    """The proxy here is a site, which does not know the URL that it is asked for."""
    opener = make(urllib.request.ProxyHandler({"http": web.origin("open")}))
    with pytest.raises(urllib.error.HTTPError) as raised:
        opener.open(web.url("closed", "/robots.txt"))
    raised.value.close()
    assert web.log[-1].path == web.url("closed", "/robots.txt")
    with pytest.raises(OptedOut):
        opener.open(web.url("closed", "/1.jpg"))
    assert [record.url for record in records()] == [
        web.url("closed", path) for path in ("/robots.txt", "/1.jpg")
    ]


# -- the rest ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_agent", "opener_agent", "replace", "sent"),
    [
        pytest.param(None, None, False, "honest", id="usual"),
        pytest.param(BROWSER, None, False, BROWSER, id="request"),
        pytest.param(None, "Mine/1", False, "Mine/1", id="opener"),
        pytest.param("Python-urllib/3.11", "Mine/1", False, "honest", id="urllibs-own"),
        pytest.param(BROWSER, None, True, "honest", id="replaced"),
        pytest.param(None, "Mine/1", True, "honest", id="openers-replaced"),
    ],
)
@pytest.mark.parametrize("unredirected", [False, True])
def test_user_agent(make, web, request_agent, opener_agent, replace, sent, unredirected):
    opener = make(contact="https://me.example/bot", replace_user_agent=replace)
    if opener_agent:
        opener.addheaders = [("user-agent", opener_agent)]
    request = asked(web.url("open", "/moved"))
    if request_agent:
        (request.add_unredirected_header if unredirected else request.add_header)("User-Agent", request_agent)
    get(opener, request)
    honest = f"PictureBot (+https://me.example/bot) heedful/{heedful.__version__}"
    hop = web.hits("open", "/moved")[-1]
    assert dict(hop.headers)["User-Agent"] == (honest if sent == "honest" else sent)


@pytest.mark.parametrize("path", ["/noai.jpg", "/mined.png"])
def test_an_audit_returns_everything(make, records, web, path):
    assert get(make(audit=True), web.url("open", path))
    (record,) = records()
    assert (record.action, record.run.enforced) == (Action.SKIP, False)


def test_an_enforcer_of_ones_own(tmp_path, web):
    class Kept(Enforcer):
        def record(self, hop, action, verdict=None, **_):
            kept.append((hop, action))

    kept, started = [], {}

    def start(url):
        return started.setdefault(url, Hop.start(url))

    configuration = Configuration.check(token="PictureBot", ledger=None, cache=tmp_path / "cache", now=0.0)
    with Kept(configuration, crawler="own", recording=False) as enforcer:
        opener = urllib.request.build_opener(Handler.of(enforcer, start))
        assert get(opener, web.url("open", "/1.jpg")) == PICTURE
        with pytest.raises(heedful.OptedOut) as refused:
            get(opener, web.url("open", "/moved-closed"))
        assert type(refused.value) is heedful.OptedOut
    first, second = kept
    assert first == (started[web.url("open", "/1.jpg")], Action.STORE)
    assert (second[0].first, second[1]) == (web.url("open", "/moved-closed"), Action.SKIP)


@pytest.mark.parametrize(("kind", "site"), [(OptedOut, "closed"), (Deferred, "file")])
def test_exceptions(make, web, kind, site):
    url = web.url("closed", "/1.jpg\n") if site == "closed" else "ftp://127.0.0.1/"
    with pytest.raises(kind) as refused:
        make().open(url.strip())
    error = refused.value
    assert isinstance(error, urllib.error.URLError)
    assert isinstance(error, heedful.Deferred) == (kind is Deferred)
    assert str(error) == error.reason == f"{error.verdict.action.value}: {error.verdict.reason.value}"
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(again), str(again), again.verdict) == (kind, str(error), error.verdict)


def test_faults_are_told_together():
    with pytest.raises(ConfigurationError) as raised:
        Handler(policy="lax", audit=1)
    assert [fault.split(" ")[0] for fault in raised.value.faults] == ["token", "There", "audit"]


def test_closed(make, web, tmp_path):
    with Handler(token="PictureBot", ledger=tmp_path / "l", cache=tmp_path / "c") as handler:
        opener = urllib.request.build_opener(handler)
        assert get(opener, web.url("open", "/1.jpg"))
    with pytest.raises(LedgerError, match="closed"):
        get(opener, web.url("open", "/1.jpg"))
