"""Where entries are filed, and under which keys URLs are looked up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.registry.entries import (
    Address,
    Indexed,
    Kind,
    Marker,
    address,
    index,
    match,
    pattern_text,
    url_key,
)
from heedful.registry.entries import Entry as MadeEntry

KEYS = {
    "a URL": (Kind.URL, "https://a.example/1.jpg", b"ua.example/1.jpg"),
    "scheme, default port, case, dot, fragment do not count": (
        Kind.URL,
        "HTTP://A.Example.:80/1.jpg#x",
        b"ua.example/1.jpg",
    ),
    "another port does": (Kind.URL, "https://a.example:80/", b"ua.example:80/"),
    "the query does": (Kind.URL, "https://a.example/?", b"ua.example/?"),
    "without a scheme": (Kind.URL, "a.example/1.jpg", b"ua.example/1.jpg"),
    "dot segments": (Kind.URL, "https://a.example/x/../y", b"ua.example/y"),
    "escapes": (Kind.URL, "https://a.example/%7e%2f%c3%bc ü", b"ua.example/~%2F%C3%BC%20%C3%BC"),
    "a name in another script": (Kind.URL, "https://b\u00fccher.example/", b"uxn--bcher-kva.example/"),
    "an IPv4 address": (Kind.URL, "http://0x7f.1/", b"u127.0.0.1/"),
    "no URL": (Kind.URL, "http://[bad", b"rhttp://[bad"),
    "a host": (Kind.HOST, "A.Example", b"Ha.example"),
    "a host in a URL": (Kind.HOST, "https://a.example:8080/", b"Ha.example"),
    "a domain": (Kind.DOMAIN, "*.a.example", b"Ha.example"),
    "a path": (Kind.PATH, "a.example/art/", b"pa.example/art/"),
    "a path in a URL": (Kind.PATH, "https://a.example:443/art/#x", b"pa.example/art/"),
    "a path on a port": (Kind.PATH, "a.example:8080/art", b"pa.example:8080/art"),
    "a path on a domain": (Kind.PATH, "*.a.example/art", b"p*.a.example/art"),
    "two slashes in a path": (Kind.PATH, "a.example//art", b"pa.example//art"),
    "a pattern": (Kind.PATTERN, "a.example/*/x$", b"pa.example/"),
    "two slashes in a pattern": (Kind.PATTERN, "a.example/x//*", b"pa.example/x//"),
    "a sha256": (Kind.SHA256, "AB" * 32, b"s" + b"\xab" * 32),
    "an md5": (Kind.MD5, "cd" * 16, b"m" + b"\xcd" * 16),
}


@pytest.mark.parametrize(("kind", "text", "key"), KEYS.values(), ids=KEYS)
def test_keys(kind, text, key):
    assert index(kind, text).key == key
    assert index(kind, f" {text}\n").key == key


def test_markers():
    assert index(Kind.PATH, "a.example/art/") == Indexed(
        b"pa.example/art/", Marker("a.example", 5, below=False)
    )
    assert index(Kind.PATTERN, "*.a.example:81/x*y").marker == Marker("a.example:81", 2, below=True)
    assert index(Kind.URL, "https://a.example/").marker is None


BAD = {
    "empty": (Kind.URL, " "),
    "too long": (Kind.URL, "x" * 20_000),
    "no host": (Kind.HOST, "a b"),
    "a path as host": (Kind.HOST, "a.example/x"),
    "no digest": (Kind.SHA256, "ab"),
    "another digest": (Kind.MD5, "ab" * 32),
    "no hexadecimal": (Kind.MD5, "x" * 32),
    "a path without a host": (Kind.PATH, "/art/"),
    "a wildcard in the host": (Kind.PATTERN, "a*.example/"),
}


@pytest.mark.parametrize(("kind", "text"), BAD.values(), ids=BAD)
def test_what_is_no_entry(kind, text):
    with pytest.raises(ValueError, match=r"^it "):
        index(kind, text)


PATTERNS = {
    "a.example//x": "//x",
    "https://a.example//x": "//x",
    "//a.example/x": "/x",
    "a.example": "/",
    "a.example?q": "/?q",
    "a.example/http://b/*": "/http://b/*",
}


@pytest.mark.parametrize(("text", "path"), PATTERNS.items())
def test_the_path_of_a_pattern(text, path):
    assert pattern_text(Kind.PATTERN, text) == path


def test_names():
    assert Address("x.a.example", "", "/").names() == ["x.a.example", "a.example", "example"]
    assert Address("127.0.0.1", "", "/").names() == ["127.0.0.1"]
    assert Address("[::1]", "", "/").names() == ["[::1]"]


@given(
    st.sampled_from(["https://a.example", "http://b.example:81", "HTTPS://A.example."]), st.text(max_size=30)
)
def test_a_url_entry_matches_the_very_url(origin, rest):
    url = f"{origin}/{rest}"
    found = address(url)
    if found is None:
        return
    assert url_key(url) == found.key == index(Kind.URL, url).key
    assert match(MadeEntry(Kind.URL, url), found.key, found) is not None
    text = f"{found.host}{found.port}{found.target.partition('?')[0]}"
    place = index(Kind.PATH, text)
    assert match(MadeEntry(Kind.PATH, text), place.key, found) is not None
