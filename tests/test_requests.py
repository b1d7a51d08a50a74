from __future__ import annotations

import copy
import gzip
import inspect
import io
import pickle
import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import brotli
import pytest
import requests
import requests_cache
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.auth import HTTPDigestAuth
from urllib3.util import Retry

import heedful
from heedful import Action, ConfigurationError, LedgerError, Page, Reason
from heedful.configuration import Configuration
from heedful.requests import Adapter, Deferred, OptedOut, Session, found_on
from heedful.testing import GALLERY, Fault, File, Picture, Site, Web, embed, identify, redirect, serve

DOCS = (Path(__file__).parent.parent / "docs" / "requests.md").read_text("utf-8")

PICTURE = Picture(1, "JPEG").render()
MINED = Picture(2, "PNG", xmp=embed.dmi_packet("DMI-PROHIBITED")).render()
HUGE = 3 * 512 * 1024
NOAI = ("X-Robots-Tag", "noai")


def coded(data, coding):
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress}[coding]
    return File(pack(data), headers=(("Content-Encoding", coding),))


WEB = Web(
    {
        "open": Site(
            {
                "/1.jpg": File(PICTURE, headers=(("Content-Type", "image/jpeg"),)),
                "/chunked.jpg": File(PICTURE, chunked=True),
                "/mined.png": File(MINED),
                **{f"/free.{coding}": coded(PICTURE, coding) for coding in ("gzip", "deflate", "br")},
                **{f"/mined.{coding}": coded(MINED, coding) for coding in ("gzip", "deflate", "br")},
                "/data.json": File(b'{"a": 1}'),
                "/noai.jpg": File(PICTURE, headers=(NOAI,)),
                "/huge.jpg": File(Picture(3, "JPEG", min_bytes=HUGE), headers=(NOAI,)),
                "/huge-chunked.jpg": File(Picture(3, "JPEG", min_bytes=HUGE), headers=(NOAI,), chunked=True),
                "/moved": redirect("/1.jpg"),
                "/moved-noai": redirect("/1.jpg", headers=(NOAI,)),
                "/moved-closed": redirect("{{closed}}/1.jpg"),
                "/moved-gone": redirect("/gone.jpg"),
                "/moved-ftp": redirect("ftp://127.0.0.1/1.jpg"),
                "/loop": redirect("/loop"),
                "/unavailable.jpg": File(b"later", 503),
                "/unavailable-noai.jpg": File(b"later", 503, headers=(NOAI,)),
                "/unmodified.jpg": File(status=304),
                "/reset.jpg": File(fault=Fault.RESET),
                "/secret.jpg": File(
                    status=401, headers=(("WWW-Authenticate", 'Digest realm="r", nonce="n"'),)
                ),
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
def options(tmp_path):
    return {"token": "PictureBot", "ledger": tmp_path / "ledger", "cache": tmp_path / "cache"}


@pytest.fixture
def make(options):
    opened = []

    def make(*args, kind=Session, **more):
        session = kind(*args, **options | more)
        opened.append(session)
        return session

    yield make
    for session in opened:
        session.close()


def outcome(get):
    """What becomes of a picture, and its bytes."""
    try:
        response = get()
        response.raise_for_status()
    except Deferred:
        return Action.DEFER, b""
    except OptedOut:
        return Action.SKIP, b""
    except requests.RequestException:
        return Action.FAILED, b""
    return Action.STORE, response.content


# -- the gallery -------------------------------------------------------------------------------------------


@pytest.fixture(params=["session", "stream", "adapter", "plain-session-stream"])
def way(request, make, options, registry):
    """A function of a picture's URL and page: the ways in which a session gets it."""
    if request.param in {"session", "stream"}:
        session = make(registries=registry)
        stream = request.param == "stream"
        yield lambda url, page: session.get(url, page=page, stream=stream)
        return
    with requests.Session() as session:
        adapter = Adapter(registries=registry, **options)
        session.mount("http://", adapter)
        stream = request.param == "plain-session-stream"
        yield lambda url, page: session.get(url, hooks={"response": found_on(page)}, stream=stream)


def check(records, gallery, urls, found):
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
        assert by_url[url].hop_of is None or exhibit.hops


def test_gallery(way, records, gallery, pages):
    urls = [gallery.exhibit_url(exhibit) for exhibit in GALLERY.exhibits]
    found = [outcome(lambda url=url: read(way(url, pages[url]))) for url in urls]
    check(records, gallery, urls, found)


def test_gallery_by_eight_threads_at_once(make, records, gallery, registry, pages):
    session = make(registries=registry)
    urls = [gallery.exhibit_url(exhibit) for exhibit in GALLERY.exhibits]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda url: outcome(lambda: session.get(url, page=pages[url])), urls))
    check(records, gallery, urls, found)


def read(response):
    """The response, its body read."""
    assert response.content is not None
    return response


# -- redirects ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind", "recorded"),
    [
        pytest.param("/moved", None, ("/1.jpg", Action.STORE), id="followed"),
        pytest.param("/moved-noai", OptedOut, ("/moved-noai", Action.SKIP), id="own-headers"),
        pytest.param("/moved-closed", OptedOut, ("/1.jpg", Action.SKIP), id="target"),
        pytest.param("/moved-gone", None, ("/gone.jpg", Action.FAILED), id="gone"),
        pytest.param(
            "/moved-ftp", requests.exceptions.InvalidSchema, ("/moved-ftp", Action.FAILED), id="ftp"
        ),
        pytest.param("/loop", requests.TooManyRedirects, ("/loop", Action.FAILED), id="loop"),
    ],
)
def test_redirects(make, records, web, path, kind, recorded):
    url, before = web.url("open", path), len(web.hits(path="/1.jpg"))
    if kind is None:
        make().get(url)
    else:
        with pytest.raises(kind) as raised:
            make().get(url)
        assert type(raised.value) is kind
        assert raised.value.request is None or raised.value.request.url
        assert len(web.hits(path="/1.jpg")) == before
    (record,) = records()
    end, action = recorded
    assert record.action is action
    assert record.url.endswith(end)
    assert record.hop_of == (None if record.url == url else url)


def test_redirects_that_are_not_followed(make, records, web):
    session = make()
    response = session.get(web.url("open", "/moved"), allow_redirects=False)
    assert (response.status_code, response.next.url) == (302, web.url("open", "/1.jpg"))
    (record,) = records()
    assert (record.action, record.status) == (Action.FAILED, 302)
    session.send(response.next)
    assert records()[1].action is Action.STORE


# -- responses ---------------------------------------------------------------------------------------------

WAYS = {
    "content": lambda answer: answer.content,
    "iter_content": lambda answer: b"".join(answer.iter_content(7)),
    "iteration": b"".join,
    "raw.read": lambda answer: answer.raw.read(decode_content=True),
    "raw.read-some": lambda answer: (
        answer.raw.read(7, decode_content=True) + answer.raw.read(decode_content=True)
    ),
    "raw.read1": lambda answer: answer.raw.read1(decode_content=True) + answer.raw.read(decode_content=True),
    "raw.stream": lambda answer: b"".join(answer.raw.stream(7, decode_content=True)),
    "raw": lambda answer: b"".join(answer.raw),
}
ENCODED = {
    "raw.read": lambda answer: answer.raw.read(),
    "raw.data": lambda answer: answer.raw.data,
    "raw.stream": lambda answer: b"".join(answer.raw.stream(7, decode_content=False)),
    "raw.readinto": lambda answer: read_into(answer.raw),
}
SUFFIXES = {
    "none": (".jpg", ".png"),
    "gzip": (".gzip",) * 2,
    "deflate": (".deflate",) * 2,
    "br": (".br",) * 2,
}


def read_into(raw):
    piece = bytearray(10**6)
    return bytes(piece[: raw.readinto(piece)])


@pytest.mark.parametrize("coding", SUFFIXES)
@pytest.mark.parametrize("name", [*WAYS, *(f"encoded-{name}" for name in ENCODED)])
def test_no_byte_is_handed_out_before_it_is_judged(make, records, web, name, coding):
    free, mined = SUFFIXES[coding]
    session, way = make(), WAYS.get(name) or ENCODED[name.removeprefix("encoded-")]
    answer = session.get(web.url("open", "/1.jpg" if coding == "none" else f"/free{free}"), stream=True)
    assert records() == []
    data = way(answer)
    served = WEB.sites["open"].files[answer.request.path_url].body
    assert data == (PICTURE if name in WAYS else served)
    (stored,) = records()
    assert (stored.action, stored.bytes_read, stored.status) == (Action.STORE, len(served), 200)

    answer = session.get(web.url("open", f"/mined{mined}"), stream=True)
    for _ in range(2):
        with pytest.raises(OptedOut) as refused:
            way(answer)
        assert refused.value.verdict.reason is Reason.DATA_MINING
        assert refused.value.request.url == answer.url
    answer.close()
    assert [record.action for record in records()[1:]] == [Action.SKIP]


def test_other_ways_to_a_body(make, web):
    session = make()
    assert session.get(web.url("open", "/data.json"), stream=True).json() == {"a": 1}
    assert session.get(web.url("open", "/data.json"), stream=True).raw.json() == {"a": 1}
    assert session.get(web.url("open", "/data.json")).text == '{"a": 1}'
    assert list(session.get(web.url("open", "/data.json"), stream=True).iter_lines()) == [b'{"a": 1}']
    assert session.get(web.url("open", "/chunked.jpg"), stream=True).content == PICTURE
    assert b"".join(session.get(web.url("open", "/chunked.jpg"), stream=True).raw.stream(9)) == PICTURE


def port(session):
    """The port from which the pool's connection goes; None: it is closed."""
    pools = session.get_adapter("http://127.0.0.1/").inner.poolmanager.pools
    (pool,) = (pools[key] for key in pools.keys())  # noqa: SIM118 - it cannot be iterated over
    connection = pool.pool.queue[-1]
    return connection.sock and connection.sock.getsockname()[1]


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        pytest.param("/noai.jpg", True, id="small"),
        pytest.param("/huge.jpg", False, id="large"),
        pytest.param("/huge-chunked.jpg", False, id="unknown"),
    ],
)
def test_skipped_bodies(make, records, path, kept):
    with serve(WEB) as web:
        session, url = make(), web.url("open", path)
        session.mount("http://", HTTPAdapter(pool_maxsize=1, pool_block=True))
        ports = []
        for _ in range(2):  # a connection that is not given back would block here
            with pytest.raises(OptedOut) as refused:
                session.get(url)
            ports.append(port(session))
        assert web.settle()
        sent = [hit.body_bytes_sent for hit in web.hits("open", path)]
        assert sent == [len(PICTURE)] * 2 if kept else max(sent) < HUGE
        assert (ports[0] == ports[1] is not None) if kept else ports == [None, None]
        assert refused.value.response.status_code == 200
        assert refused.value.response.content == b""
    assert [record.bytes_read for record in records()] == [len(PICTURE) if kept else 0] * 2


def test_connections_go_back_to_the_pool(make, web):
    session, url = make(), web.url("open", "/1.jpg")
    session.mount("http://", HTTPAdapter(pool_maxsize=1, pool_block=True))
    ports = set()
    for stream in (False, True, True):
        session.get(url, stream=stream).raw.read()
        ports.add(port(session))
        with pytest.raises(OptedOut):
            session.get(web.url("open", "/mined.png"))
        ports.add(port(session))
    assert len(ports) == 1
    session.get(url, stream=True).close()  # not read at all
    assert port(session) is None


def test_what_was_never_read_is_not_recorded(make, records, web):
    response = make().get(web.url("open", "/1.jpg"), stream=True)
    response.close()
    assert response.raw.read() == b""
    assert records() == []


# -- failures and retries ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "kind", "status", "error"),
    [
        pytest.param("/gone.jpg", None, 404, "status 404", id="not-found"),
        pytest.param("/unavailable.jpg", None, 503, "status 503", id="unavailable"),
        pytest.param("/reset.jpg", requests.ConnectionError, None, "ConnectionError: ", id="reset"),
    ],
)
def test_failures(make, records, web, path, kind, status, error, stream):
    if kind is None:
        assert make().get(web.url("open", path), stream=stream).content in {b"404\n", b"later"}
    else:
        with pytest.raises(kind) as raised:
            make().get(web.url("open", path), stream=stream)
        assert type(raised.value) is kind
    (record,) = records()
    assert (record.action, record.status) == (Action.FAILED, status)
    assert record.error.startswith(error)


@pytest.mark.parametrize(
    ("path", "raises", "hits", "action"),
    [
        pytest.param("/unavailable.jpg", False, 3, Action.FAILED, id="answered"),
        pytest.param("/unavailable.jpg", True, 3, Action.FAILED, id="raised"),
        pytest.param("/unavailable-noai.jpg", False, 3, Action.SKIP, id="opted-out-after-all"),
        pytest.param("/noai.jpg", True, 1, Action.SKIP, id="opted-out"),
        pytest.param("/mined.png", True, 1, Action.SKIP, id="opted-out-by-its-bytes"),
    ],
)
def test_retries(make, records, path, raises, hits, action):
    session = make()
    retry = Retry(2, status_forcelist=[503], raise_on_status=raises, backoff_factor=0)
    session.mount("http://", HTTPAdapter(max_retries=retry))
    with serve(WEB) as web:
        assert outcome(lambda: session.get(web.url("open", path)))[0] is action
        assert len(web.hits("open", path)) == hits
    (record,) = records()
    assert record.action is action


def test_a_body_that_breaks_off(make, records, web):
    class Broken(HTTPAdapter):
        def send(self, *args, **kwargs):
            response = super().send(*args, **kwargs)
            response.raw.length_remaining += 1
            response.raw._fp.length += 1
            response.raw._fp.fp = io.BytesIO(PICTURE)
            return response

    session = make()
    session.mount("http://", Broken())
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        session.get(web.url("open", "/1.jpg"))
    response = session.get(web.url("open", "/1.jpg"), stream=True)
    for _ in range(2):
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            list(response.iter_content(5))
    assert [(each.action, each.status, each.error[:13]) for each in records()] == [
        (Action.FAILED, 200, "ProtocolError")
    ] * 2


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_what_brings_no_picture_is_not_recorded(make, records, web, method):
    path = "/1.jpg" if method == "HEAD" else "/unmodified.jpg"
    assert make().request(method, web.url("open", path)).content == b""
    assert records() == []


def test_who_asks_once_more_is_judged_once_more(make, records):
    with serve(WEB) as web:
        session, url = make(), web.url("open", "/secret.jpg")
        response = session.get(url, auth=HTTPDigestAuth("me", "secret"))
        assert len(web.hits("open", "/secret.jpg")) == 2
        assert isinstance(response.connection, Adapter)
    assert [record.status for record in records()] == [401, 401]


# -- adapters ----------------------------------------------------------------------------------------------


class Canned(BaseAdapter):
    """Answers from memory, in ways of its own."""

    def __init__(self, data, how="content"):
        super().__init__()
        self.data = data
        self.how = how
        self.closed = False

    def send(self, request, **kwargs):
        response = requests.Response()
        response.status_code, response.url, response.request = 200, request.url, request
        if self.how == "content":
            response._content = self.data
        else:
            response.raw = io.BytesIO(self.data)
        return response

    def close(self):
        self.closed = True


@pytest.mark.parametrize("how", ["content", "raw"])
@pytest.mark.parametrize(("data", "action"), [(PICTURE, Action.STORE), (MINED, Action.SKIP)])
def test_any_transport_adapter(make, records, web, how, data, action):
    session = make()
    session.mount("http://", canned := Canned(data, how))
    assert outcome(lambda: session.get(web.url("open", "/canned")))[0] is action
    assert outcome(lambda: session.get(web.url("closed", "/canned")))[0] is Action.SKIP
    assert [record.action for record in records()] == [action, Action.SKIP]
    session.close()
    assert canned.closed


def test_other_schemes_are_judged(make, records):
    session = make()
    session.mount("file://", Canned(PICTURE))
    with pytest.raises(Deferred):
        session.get("file:///etc/hostname")
    (record,) = records()
    assert (record.action, record.reason) == (Action.DEFER, Reason.UNDETERMINED)


def test_an_adapter_closes_what_it_has_opened(options, web):
    canned = Canned(PICTURE)
    with requests.Session() as session:
        session.mount("http://", adapter := Adapter(canned, **options))
        assert session.get(web.url("open", "/1.jpg")).content == PICTURE
    assert canned.closed
    with pytest.raises(LedgerError, match="closed"):
        adapter.send(requests.Request("GET", web.url("open", "/1.jpg")).prepare())


def test_adapters_share_an_enforcer(make, web):
    session = make()
    shared = Adapter(enforcer=session._enforcer)
    with requests.Session() as plain:
        plain.mount("http://", shared)
        with pytest.raises(OptedOut):
            plain.get(web.url("closed", "/1.jpg"))
    assert session.get(web.url("open", "/1.jpg")).content == PICTURE  # still open
    session.mount("http://", shared)
    assert session.get_adapter(web.url("open")) is shared
    with pytest.raises(TypeError, match="not both"):
        Adapter(enforcer=session._enforcer, token="PictureBot")


def test_a_prepared_request_can_be_sent_again(make, records, web):
    for session in (make(), requests.Session()):
        if not isinstance(session, Session):
            session.mount("http://", Adapter(enforcer=make(ledger=None)._enforcer))
        prepared = requests.Request("GET", web.url("open", "/moved")).prepare()
        for _ in range(2):
            assert session.send(prepared).content == PICTURE
        session.close()
    assert [record.hop_of for record in records()] == [web.url("open", "/moved")] * 2


# -- pages and hooks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/1.jpg", "/moved"])
def test_pages(make, records, web, path):
    session, seen = make(), []
    session.hooks["response"].append(lambda response, **_: seen.append(response.url))
    page = Page(web.url("open", "/page"), html='<meta name="robots" content="noai">')
    with pytest.raises(OptedOut) as refused:
        session.get(web.url("open", path), page=page)
    assert refused.value.verdict.reason is Reason.META_ROBOTS
    free = Page(web.url("open", "/page"), html="<p>hello")
    for hooks in ({}, {"response": lambda *_, **__: seen.append("own")}):
        session.get(web.url("open", "/1.jpg"), page=free, hooks=hooks)
    assert seen == [web.url("open", "/1.jpg"), "own"]  # as ever: a request's hooks instead of the session's
    assert records()[0].reason is Reason.META_ROBOTS


# -- caches ------------------------------------------------------------------------------------------------


class Cached(requests_cache.CacheMixin, Session):
    pass


class CachedBelow(Session, requests_cache.CachedSession):
    pass


CACHES = pytest.mark.parametrize("kind", [Cached, CachedBelow])


@CACHES
@pytest.mark.parametrize("stream", [False, True])
def test_caches(make, records, kind, stream, web):
    session = make("cache", backend="memory", kind=kind)
    url = web.url("open", "/1.jpg")
    hits = len(web.hits("open", "/1.jpg"))
    answers = [session.get(url, stream=stream) for _ in range(3)]
    assert [answer.content for answer in answers] == [PICTURE] * 3
    assert [answer.from_cache for answer in answers] == [False, True, True]
    assert len(web.hits("open", "/1.jpg")) == hits + 1
    for path in ("/noai.jpg", "/mined.png", "/mined.gzip"):
        with pytest.raises(OptedOut):
            read(session.get(web.url("open", path), stream=stream))
    assert len(session.cache.responses) == 1  # no refused body gets into it
    assert [record.action for record in records()] == [Action.STORE] * 3 + [Action.SKIP] * 3


@CACHES
@pytest.mark.parametrize("way", ["get", "send"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("site", "path", "action", "reason"),
    [
        pytest.param("open", "/1.jpg", Action.STORE, None, id="free"),
        pytest.param("open", "/free.gzip", Action.STORE, None, id="gzip"),
        pytest.param("closed", "/1.jpg", Action.SKIP, Reason.ROBOTS_DISALLOW, id="origin"),
        pytest.param("open", "/noai.jpg", Action.SKIP, Reason.X_ROBOTS_TAG, id="header"),
        pytest.param("open", "/mined.png", Action.SKIP, Reason.DATA_MINING, id="bytes"),
        pytest.param("open", "/mined.gzip", Action.SKIP, Reason.DATA_MINING, id="bytes-gzip"),
        pytest.param("open", "/moved-noai", Action.SKIP, Reason.X_ROBOTS_TAG, id="redirect"),
        pytest.param("open", "/moved-closed", Action.SKIP, Reason.ROBOTS_DISALLOW, id="redirects-target"),
    ],
)
def test_what_a_cache_has_from_others_is_judged(
    make, records, web, kind, way, stream, site, path, action, reason
):
    """And no hook sees it before."""
    url, seen = web.url(site, path), []
    with requests_cache.CachedSession("others", backend="memory") as others:
        others.get(url)
        session = make("cache", backend="memory", kind=kind)
        session.cache = others.cache
        hits = len(web.hits(site, path))

        def get():
            hooks = {"response": [lambda response, **_: seen.append(response.content)]}
            if way == "get":
                return session.get(url, stream=stream, hooks=hooks)
            return session.send(requests.Request("GET", url, hooks=hooks).prepare(), stream=stream)

        assert outcome(get) == (action, PICTURE if action is Action.STORE else b"")
        assert len(web.hits(site, path)) == hits
    assert PICTURE not in seen if action is Action.SKIP else seen == [PICTURE]
    assert MINED not in seen
    (record,) = records()
    assert (record.action, record.reason) == (action, reason)
    assert record.hop_of in {None, url}


@pytest.mark.parametrize("backend", ["memory", "sqlite"])
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(["otherbot: none", "noai"], Action.SKIP, id="for-everybody"),
        pytest.param(["otherbot: none"], Action.STORE, id="for-another"),
    ],
)
def test_header_lines_that_a_cache_has_joined(make, tmp_path, backend, lines, expected):
    tags = tuple(("X-Robots-Tag", line) for line in lines)
    with (
        serve(Web({"open": Site({"/1.jpg": File(PICTURE, headers=tags)})})) as web,
        requests_cache.CachedSession(tmp_path / "kept", backend=backend) as others,
    ):
        url = web.url("open", "/1.jpg")
        others.get(url)
        session = make(tmp_path / "kept", backend=backend, kind=Cached)
        session.cache = others.cache
        assert outcome(lambda: session.get(url))[0] is expected
        assert len(web.hits("open", "/1.jpg")) == 1
        assert outcome(lambda: session.get(url, force_refresh=True))[0] is expected


@CACHES
def test_a_refusal_is_final_whatever_a_cache_falls_back_on(make, records, kind, monkeypatch):
    files = dict(WEB.sites["open"].files)
    site = Site(files)
    with serve(Web({"open": site})) as web:
        session = make("cache", backend="memory", kind=kind, stale_if_error=True)
        url = web.url("open", "/1.jpg")
        assert session.get(url).content == PICTURE
        files["/1.jpg"] = File(PICTURE, headers=(NOAI,))
        with pytest.raises(OptedOut):
            session.get(url, force_refresh=True)
    assert [record.action for record in records()] == [Action.STORE, Action.SKIP]


def test_arguments_reach_the_session_below_a_cache(options, tmp_path, registry):
    arguments = {
        **options,
        "policy": "strict",
        "registries": registry,
        "audit": True,
        "contact": "me@a.example",
    }
    with Cached("cache", backend="memory", ledger_stores="count", **arguments) as session:
        found = session._enforcer.configuration
    assert (found.policy.name, found.registries, found.audit) == ("strict", (str(registry),), True)
    assert (found.contact, found.record_stores) == ("me@a.example", False)
    assert (found.ledger, found.cache) == (str(tmp_path / "ledger"), tmp_path / "cache")


# -- the rest ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on_session", "on_request", "sent"),
    [
        pytest.param(None, None, "honest", id="usual"),
        pytest.param("Mine/1", None, "Mine/1", id="session"),
        pytest.param("Mine/1", "Mine/2", "Mine/2", id="request"),
        pytest.param(requests.utils.default_user_agent(), None, "honest", id="requests-own"),
    ],
)
@pytest.mark.parametrize("plain", [False, True])
def test_user_agent(make, web, options, on_session, on_request, sent, plain):
    session = make(contact="https://me.example/bot")
    if plain:
        adapter = Adapter(enforcer=session._enforcer)
        session = requests.Session()
        session.mount("http://", adapter)
    if on_session:
        session.headers["User-Agent"] = on_session
    session.get(web.url("open", "/moved"), headers={"User-Agent": on_request} if on_request else None)
    session.close()
    honest = f"PictureBot (+https://me.example/bot) heedful/{heedful.__version__}"
    for path in ("/moved", "/1.jpg"):
        hit = web.hits("open", path)[-1]
        assert dict(hit.headers)["User-Agent"] == (honest if sent == "honest" else sent)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("site", "path", "data"),
    [("closed", "/1.jpg", PICTURE), ("open", "/moved-noai", PICTURE), ("open", "/mined.png", MINED)],
)
def test_an_audit_returns_everything(make, records, web, site, path, data, stream):
    assert make(audit=True).get(web.url(site, path), stream=stream).content == data
    skips = [record for record in records() if record.action is Action.SKIP]
    assert [(record.url, record.run.enforced) for record in skips] == [(web.url(site, path), False)]


@pytest.mark.parametrize("kind", [Session, Cached])
def test_a_ledger_that_fails(make, web, kind, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        make(ledger=tmp_path / "file" / "ledger")
    session = make(kind=kind, **({"backend": "memory", "stale_if_error": True} if kind is Cached else {}))
    assert session.get(web.url("open", "/1.jpg")).content == PICTURE

    def fail(*_, **__):
        raise LedgerError("The disk is full.")

    with monkeypatch.context() as during:
        during.setattr(session._enforcer._ledger, "record", fail)
        with pytest.raises(LedgerError):
            session.get(web.url("open", "/1.jpg"))
    for path in ("/1.jpg", "/noai.jpg", "/gone.jpg"):
        with pytest.raises(LedgerError):
            session.get(web.url("open", path))


def test_exceptions(make, web):
    with pytest.raises(OptedOut) as refused:
        make().get(web.url("open", "/noai.jpg"))
    for error in (refused.value, Deferred(refused.value.verdict)):
        assert isinstance(error, requests.RequestException)
        assert isinstance(error, heedful.Deferred) == isinstance(error, Deferred)
        again = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert (type(again), again.verdict, str(again)) == (type(error), error.verdict, str(error))
    assert refused.value.request.url == web.url("open", "/noai.jpg")
    assert refused.value.response.headers["X-Robots-Tag"] == "noai"


def test_a_session_cannot_be_copied_to_another_process(make):
    for each in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="one in each process"):
            each(make())


def test_a_session_that_is_closed_hands_out_nothing(make, web):
    with make() as session:
        assert session.get(web.url("open", "/1.jpg")).content == PICTURE
    with pytest.raises(LedgerError, match="closed"):
        session.get(web.url("open", "/1.jpg"))


@pytest.mark.parametrize("kind", [Session, Adapter])
def test_faults_are_told_together(kind):
    with pytest.raises(ConfigurationError) as raised:
        kind(policy="lax", audit=1)
    assert [fault.split(" ")[0] for fault in raised.value.faults] == ["token", "There", "audit"]
    with pytest.raises(TypeError, match="tokn"):
        kind(token="PictureBot", tokn="PictureBot", ledger=None)


# -- the document ------------------------------------------------------------------------------------------

ARGUMENTS = {
    name: parameter.default
    for name, parameter in inspect.signature(Configuration.check).parameters.items()
    if name not in {"now", "verify", "called", "faults"}
}


def test_arguments_of_a_session():
    found = inspect.signature(Session).parameters
    assert {name: found[name].default for name in ARGUMENTS} == {**ARGUMENTS, "token": None}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_every_argument_is_documented(name):
    (section,) = re.findall(rf"^### {name}\n(.+)", DOCS, re.MULTILINE)
    default = "Required." if name == "token" else f"Default: `{ARGUMENTS[name]!r}`".replace("'", '"')
    assert section.startswith(default)


def test_no_argument_is_invented():
    assert set(re.findall(r"^### (\w+)$", DOCS, re.MULTILINE)) == set(ARGUMENTS)


@pytest.mark.parametrize("name", re.findall(r"heedful\.(?:requests|urllib|httpx)\.\w+", DOCS))
def test_names_in_the_document(name):
    module, _, attribute = name.rpartition(".")
    assert hasattr(__import__(module, fromlist=[attribute]), attribute)
