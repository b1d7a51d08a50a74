from __future__ import annotations

import http.client
import pickle
from dataclasses import replace
from urllib.parse import urljoin, urlsplit

import pytest

from heedful.model import Action, Reason
from heedful.testing import GALLERY, PROFILES, TOKEN, Exhibit, Hop, Site, build, identify, serve
from heedful.testing.gallery import HUGE, LARGE

EXHIBITS = pytest.mark.parametrize("exhibit", GALLERY.exhibits, ids=lambda exhibit: exhibit.name)


@pytest.fixture(scope="module")
def running():
    with serve() as gallery:
        yield gallery


def get(url):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    try:
        connection.request("GET", parts.path + (f"?{parts.query}" if parts.query else ""))
        response = connection.getresponse()
        return response.status, response.getheaders(), response.read()
    finally:
        connection.close()


@EXHIBITS
def test_served_as_declared(running, exhibit):
    url, headers = running.exhibit_url(exhibit), exhibit.headers
    for hop in exhibit.hops:
        status, lines, body = get(url)
        location = dict(lines)["Location"]
        assert (status, body) == (302, b"")
        assert location == running.url(hop.site, hop.path)
        assert {(name, running.fill(value)) for name, value in headers} <= set(lines)
        url, headers = urljoin(url, location), hop.headers
    status, lines, body = get(url)
    assert status == exhibit.status
    declared = [(name, running.fill(value)) for name, value in headers]
    assert [line for line in lines if line[0] in dict(declared)] == declared
    assert ("Transfer-Encoding" in dict(lines)) is exhibit.chunked
    assert ("Content-Length" in dict(lines)) is not exhibit.chunked
    assert identify(body) == (exhibit.id if exhibit.status == 200 else None)
    assert len(body) >= exhibit.min_bytes
    assert dict(lines)["Content-Type"].startswith(exhibit.content_type or "image/" * (status == 200))


@EXHIBITS
def test_truth_is_total(exhibit):
    assert tuple(exhibit.wanted) == PROFILES
    assert set(map(type, exhibit.wanted.values())) == {Action}
    refused = exhibit.wanted["standard"] in {Action.SKIP, Action.DEFER}
    assert isinstance(exhibit.reason, Reason) is refused
    # SIGNALS: what a laxer profile denies, a stricter one does not store.
    if refused:
        assert exhibit.wanted["strict"] == exhibit.wanted["opt-in"] == exhibit.wanted["standard"]
    else:
        assert exhibit.wanted["letter"] == exhibit.wanted["standard"]


def test_names_and_ids_are_unique():
    assert len({exhibit.name for exhibit in GALLERY.exhibits}) == len(GALLERY.exhibits)
    assert len({exhibit.id for exhibit in GALLERY.exhibits}) == len(GALLERY.exhibits)


def test_queries():
    assert GALLERY.exhibit("noai").wanted["letter"] == "skip"
    with pytest.raises(KeyError):
        GALLERY.exhibit("none")
    total = 0
    for profile in PROFILES:
        parts = [GALLERY.wanted(profile, action) for action in Action]
        assert set().union(*parts) == set(GALLERY.exhibits)
        total += sum(map(len, parts))
        assert all(parts[:2])
    assert total == len(PROFILES) * len(GALLERY.exhibits)
    assert GALLERY.wanted("standard", "store") == GALLERY.wanted("standard", Action.STORE)


def test_large_pictures_there_are():
    sizes = {(exhibit.min_bytes, exhibit.wanted["standard"]) for exhibit in GALLERY.exhibits}
    assert {(LARGE, "store"), (LARGE, "skip"), (HUGE, "skip")} <= sizes


def test_robots_rules_speak_to_the_token(running):
    assert f"User-agent: {TOKEN}\n".encode() in get(running.url("studio", "/robots.txt"))[2]


def test_bom_is_served(running):
    assert get(running.url("museum", "/robots.txt"))[2].startswith(b"\xef\xbb\xbfUser-agent: *\n")


def test_pages_show_every_exhibit_once_and_link_to_each_other(running):
    start = get(running.start_url)[2].decode()
    shown = []
    pages = {name for name, site in GALLERY.sites.items() if "/" in site.files}
    for name in pages:
        status, lines, body = get(running.url(name))
        page = body.decode()
        assert (status, dict(lines)["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "{{" not in page
        assert f"<title>{GALLERY.sites[name].title}</title>" in page.replace("&#x27;", "'")
        for other in pages - {name}:
            assert f'<a href="{running.url(other)}">' in page
        shown += [piece.partition('"')[0].replace("&amp;", "&") for piece in page.split('<img src="')[1:]]
    assert sorted(shown) == sorted(map(running.exhibit_url, GALLERY.exhibits))
    assert start.startswith("<!DOCTYPE html>")


def test_pictures_of_redirects_are_linked_nowhere_else(running):
    linked = {(exhibit.site, exhibit.path) for exhibit in GALLERY.exhibits}
    for exhibit in GALLERY.exhibits:
        assert not {(hop.site, hop.path) for hop in exhibit.hops} & linked


def test_build_refuses_two_files_at_one_path():
    exhibit = replace(GALLERY.exhibit("noai"), site="a", shown_on=None)
    with pytest.raises(ValueError, match=r"two files at /noai\.jpg on a"):
        build({"a": Site({})}, [exhibit, exhibit])


def test_a_gallery_of_ones_own():
    free = dict.fromkeys(PROFILES, Action.STORE)
    rows = [
        Exhibit("x", "a", "/x.jpg", "free", free),
        Exhibit("y", "a", "/y.jpg", "moved", free, hops=(Hop("b", "/y.jpg"),)),
    ]
    with serve(build({"a": Site({}, "A"), "b": Site({})}, rows)) as own:
        status, _, body = get(own.url("b", "/y.jpg"))
        assert (status, identify(body)) == (200, own.web.exhibits[1].id)
        assert get(own.url("b"))[0] == 404


def test_picklable():
    assert pickle.loads(pickle.dumps(GALLERY)) == GALLERY  # noqa: S301
