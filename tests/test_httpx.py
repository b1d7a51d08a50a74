from __future__ import annotations

import asyncio
import gzip
import pickle
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

import heedful
from heedful import Action, ConfigurationError, LedgerError, Page, Reason
from heedful.httpx import PAGE, AsyncTransport, Deferred, OptedOut, Transport
from heedful.testing import GALLERY, Fault, File, Picture, Site, Web, embed, identify, redirect, serve

PICTURE = Picture(1, "JPEG").render()
MINED = Picture(2, "PNG", xmp=embed.dmi_packet("DMI-PROHIBITED")).render()
HUGE = 3 * 512 * 1024
NOAI = ("X-Robots-Tag", "noai")
GZIP = ("Content-Encoding", "gzip")
NOAI_PAGE = '<meta name="robots" content="noai">'

WEB = Web(
    {
        "open": Site(
            {
                "/1.jpg": File(PICTURE, headers=(("Content-Type", "image/jpeg"),)),
                "/free.gz": File(gzip.compress(PICTURE), headers=(GZIP,)),
                "/mined.png": File(MINED),
                "/mined.gz": File(gzip.compress(MINED), headers=(GZIP,)),
                "/noai.jpg": File(PICTURE, headers=(NOAI,)),
                "/huge.jpg": File(Picture(3, "JPEG", min_bytes=HUGE), headers=(NOAI,)),
                "/huge-chunked.jpg": File(Picture(3, "JPEG", min_bytes=HUGE), headers=(NOAI,), chunked=True),
                "/moved": redirect("/1.jpg"),
                "/moved-noai": redirect("/1.jpg", headers=(NOAI,)),
                "/moved-closed": redirect("{{closed}}/1.jpg"),
                "/unavailable.jpg": File(b"later", 503),
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
def options(tmp_path):
    return {"token": "PictureBot", "ledger": tmp_path / "ledger", "cache": tmp_path / "cache"}


class Client:
    """The client of httpx with threads."""

    transport = Transport

    def __init__(self, transport):
        self.client = httpx.Client(transport=transport, follow_redirects=True, timeout=30)
        self.enforcer = transport._enforcer

    def get(self, url, **kwargs):
        return self.client.get(url, **kwargs)

    def all(self, urls, pages):
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda url: self.tried(url, extensions={PAGE: pages[url]}), urls))

    def tried(self, url, **kwargs):
        try:
            return self.get(url, **kwargs).raise_for_status()
        except httpx.HTTPError as error:
            return error

    def streamed(self, url):
        """The head, and what the body gives at the first and at the second time."""
        with self.client.stream("GET", url) as answer:
            found = []
            for _ in range(2):
                try:
                    found.append(b"".join(answer.iter_raw()))
                except (httpx.HTTPError, httpx.StreamError) as error:
                    found.append(error)
            return answer, *found

    def close(self):
        self.client.close()


class AsyncClient(Client):
    """The client of httpx with asyncio."""

    transport = AsyncTransport

    def __init__(self, transport):
        self.loop = asyncio.new_event_loop()
        self.client = httpx.AsyncClient(transport=transport, follow_redirects=True, timeout=30)
        self.enforcer = transport._enforcer

    def get(self, url, **kwargs):
        return self.loop.run_until_complete(self.client.get(url, **kwargs))

    def all(self, urls, pages):
        async def tried(url):
            try:
                answer = await self.client.get(url, extensions={PAGE: pages[url]})
                return answer.raise_for_status()
            except httpx.HTTPError as error:
                return error

        async def together():
            return await asyncio.gather(*map(tried, urls))

        return self.loop.run_until_complete(together())

    def streamed(self, url):
        async def stream():
            async with self.client.stream("GET", url) as answer:
                found = []
                for _ in range(2):
                    try:
                        found.append(b"".join([piece async for piece in answer.aiter_raw()]))
                    except (httpx.HTTPError, httpx.StreamError) as error:
                        found.append(error)
                return answer, *found

        return self.loop.run_until_complete(stream())

    def close(self):
        self.loop.run_until_complete(self.client.aclose())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


@pytest.fixture(params=[Client, AsyncClient])
def make(request, options):
    opened = []

    def make(inner=None, **more):
        client = request.param(request.param.transport(inner, **options | more))
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.close()


def action(found):
    """What became of a picture."""
    kinds = {Deferred: Action.DEFER, OptedOut: Action.SKIP, httpx.Response: Action.STORE}
    return kinds.get(type(found), Action.FAILED)


def test_gallery_all_at_once(make, records, gallery, registry, pages):
    urls = [gallery.exhibit_url(exhibit) for exhibit in GALLERY.exhibits]
    found = make(registries=registry).all(urls, pages)
    assert {each.name: action(one) for each, one in zip(GALLERY.exhibits, found, strict=True)} == {
        each.name: each.wanted["standard"] for each in GALLERY.exhibits
    }
    for exhibit, one in zip(GALLERY.exhibits, found, strict=True):
        assert not isinstance(one, httpx.Response) or identify(one.content) == exhibit.id
    recorded = records()
    by_url = {record.hop_of or record.url: record for record in recorded}
    assert len(by_url) == len(recorded) == len(urls)
    for exhibit, url in zip(GALLERY.exhibits, urls, strict=True):
        assert (by_url[url].action, by_url[url].reason) == (exhibit.wanted["standard"], exhibit.reason)
        assert by_url[url].hop_of is None or exhibit.hops


@pytest.mark.parametrize(
    ("path", "expected", "url"),
    [
        pytest.param("/moved", Action.STORE, "/1.jpg", id="followed"),
        pytest.param("/moved-noai", Action.SKIP, "/moved-noai", id="own-headers"),
        pytest.param("/moved-closed", Action.SKIP, "/1.jpg", id="target"),
        pytest.param("/unavailable.jpg", Action.FAILED, "/unavailable.jpg", id="unavailable"),
        pytest.param("/reset.jpg", Action.FAILED, "/reset.jpg", id="reset"),
    ],
)
def test_redirects_and_failures(make, records, web, path, expected, url):
    before = len(web.hits(path="/1.jpg"))
    found = make().tried(web.url("open", path))
    assert action(found) is expected
    assert len(web.hits(path="/1.jpg")) - before == (expected is Action.STORE)
    if not isinstance(found, httpx.Response):
        assert str(found.request.url).endswith(url)
    (record,) = records()
    assert record.action is expected
    assert record.url.endswith(url)
    assert record.hop_of == (None if url == path else web.url("open", path))


@pytest.mark.parametrize(
    ("path", "refused"),
    [("/1.jpg", False), ("/free.gz", False), ("/mined.png", True), ("/mined.gz", True)],
)
def test_no_byte_is_handed_out_before_it_is_judged(make, records, web, path, refused):
    answer, first, second = make().streamed(web.url("open", path))
    served = WEB.sites["open"].files[path].body
    assert answer.headers["Content-Length"] == str(len(served))
    if refused:
        assert isinstance(first, OptedOut)
        assert first.verdict.reason is Reason.DATA_MINING
        assert str(first.request.url) == web.url("open", path)
    else:
        assert first == served
    assert isinstance(second, httpx.StreamConsumed)
    (record,) = records()
    assert (record.action, record.bytes_read) == (Action.SKIP if refused else Action.STORE, len(served))


@pytest.mark.parametrize(
    ("path", "read"), [("/noai.jpg", True), ("/huge.jpg", False), ("/huge-chunked.jpg", False)]
)
def test_skipped_bodies(make, records, path, read):
    with serve(WEB) as web:
        client = make()
        for _ in range(2):
            with pytest.raises(OptedOut):
                client.get(web.url("open", path))
        assert web.settle()
        sent = [hit.body_bytes_sent for hit in web.hits("open", path)]
        assert sent == [len(PICTURE)] * 2 if read else max(sent) < HUGE
        kept = len(client.client._transport._inner._pool.connections)
        assert kept == (1 if read else 0)
    assert [record.bytes_read for record in records()] == [len(PICTURE) if read else 0] * 2


@pytest.mark.parametrize("data", [PICTURE, MINED])
def test_an_inner_transport_that_has_the_body_at_hand(make, records, web, data):
    def answer(request):
        return httpx.Response(200, content=data, request=request)

    client = make(httpx.MockTransport(answer))
    assert action(client.tried(web.url("open", "/canned"))) is (
        Action.STORE if data is PICTURE else Action.SKIP
    )
    assert action(client.tried(web.url("closed", "/canned"))) is Action.SKIP
    assert len(records()) == 2


def test_a_body_that_breaks_off(make, records, web):
    class Broken(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self):
            yield PICTURE[:99]
            raise httpx.ReadError("gone")

        async def __aiter__(self):
            yield PICTURE[:99]
            raise httpx.ReadError("gone")

    client = make(httpx.MockTransport(lambda _: httpx.Response(200, stream=Broken())))
    with pytest.raises(httpx.ReadError):
        client.get(web.url("open", "/1.jpg"))
    (record,) = records()
    assert (record.action, record.status, record.error) == (Action.FAILED, 200, "ReadError: gone")


@pytest.mark.parametrize("path", ["/1.jpg", "/moved"])
def test_pages(make, records, web, path):
    with pytest.raises(OptedOut) as refused:
        make().get(web.url("open", path), extensions={PAGE: Page(web.url("open", "/page"), html=NOAI_PAGE)})
    assert refused.value.verdict.reason is Reason.META_ROBOTS


@pytest.mark.parametrize(
    ("on_client", "on_request", "sent"),
    [(None, None, "honest"), ("Mine/1", None, "Mine/1"), ("Mine/1", "Mine/2", "Mine/2")],
)
def test_user_agent(make, web, on_client, on_request, sent):
    client = make(contact="https://me.example/bot")
    if on_client:
        client.client.headers["User-Agent"] = on_client
    client.get(web.url("open", "/moved"), headers={"User-Agent": on_request} if on_request else None)
    honest = f"PictureBot (+https://me.example/bot) heedful/{heedful.__version__}"
    for path in ("/moved", "/1.jpg"):
        headers = {name.title(): value for name, value in web.hits("open", path)[-1].headers}
        assert headers["User-Agent"] == (honest if sent == "honest" else sent)


@pytest.mark.parametrize(
    ("site", "path", "data"),
    [("closed", "/1.jpg", PICTURE), ("open", "/moved-noai", PICTURE), ("open", "/mined.png", MINED)],
)
def test_an_audit_returns_everything(make, records, web, site, path, data):
    assert make(audit=True).get(web.url(site, path)).content == data
    skips = [record for record in records() if record.action is Action.SKIP]
    assert [(record.url, record.run.enforced) for record in skips] == [(web.url(site, path), False)]


def test_a_ledger_that_fails(make, web, monkeypatch):
    client = make()
    assert client.get(web.url("open", "/1.jpg")).content == PICTURE

    def fail(*_, **__):
        raise LedgerError("The disk is full.")

    with monkeypatch.context() as during:
        during.setattr(client.enforcer._ledger, "record", fail)
        with pytest.raises(LedgerError):
            client.get(web.url("open", "/1.jpg"))
    for path in ("/1.jpg", "/noai.jpg", "/unavailable.jpg"):
        with pytest.raises(LedgerError):
            client.get(web.url("open", path))


def test_an_enforcer_that_is_given_stays_open(make, web):
    client = make()
    with httpx.Client(transport=Transport(enforcer=client.enforcer)) as other:
        assert other.get(web.url("open", "/1.jpg")).content == PICTURE
    assert client.get(web.url("open", "/1.jpg")).content == PICTURE
    with pytest.raises(TypeError, match="not both"):
        Transport(enforcer=client.enforcer, token="PictureBot")


def test_a_transport_that_is_closed_hands_out_nothing(options, web):
    transport = Transport(httpx.MockTransport(lambda _: httpx.Response(200, content=PICTURE)), **options)
    transport.close()
    with httpx.Client(transport=transport) as client, pytest.raises(LedgerError, match="closed"):
        client.get(web.url("open", "/1.jpg"))


def test_exceptions(make, web):
    with pytest.raises(OptedOut) as refused:
        make().get(web.url("open", "/noai.jpg"))
    for error in (refused.value, Deferred(refused.value.verdict)):
        assert isinstance(error, httpx.RequestError)
        assert isinstance(error, heedful.Deferred) == isinstance(error, Deferred)
        again = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert (type(again), again.verdict, str(again)) == (type(error), error.verdict, str(error))


@pytest.mark.parametrize("kind", [Transport, AsyncTransport])
def test_faults_are_told_together(kind):
    with pytest.raises(ConfigurationError) as raised:
        kind(policy="lax", audit=1)
    assert [fault.split(" ")[0] for fault in raised.value.faults] == ["token", "There", "audit"]
