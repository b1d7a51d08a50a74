"""What is said of many URLs at once is what is said of each, in whatever form, and whatever they contain."""

from __future__ import annotations

import re
from datetime import date, datetime, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from heedful.model import Purpose
from heedful.registry import Registry, Writer, _batch, _registry, _segment, take_apart
from heedful.registry._plain import NAMES_MAX, PLAIN, plain_key
from heedful.registry.entries import Entry, Kind, address, decide

pa = pytest.importorskip("pyarrow")
pl = pytest.importorskip("polars")
columns = pytest.importorskip("heedful.registry._columns")

NOW = datetime(2026, 6, 1, 12, tzinfo=timezone.utc).timestamp()
PAST, FUTURE = date(2026, 5, 31), date(2027, 1, 1)
ANY = Purpose.TRAIN_ANY
DEEP = "d." * NAMES_MAX + "deep.example"
LONG = "https://a.example/".ljust(16_384, "x")

LISTED = [
    "https://a.example/1.jpg",
    "http://a.example/q?a=b&c=%2F",
    "https://b.example/x%20y.png",
    "https://e.example/opt/in.jpg",
    "https://münchen.example/ü.jpg",
    "https://a.example:8443/port.jpg",
    "http://127.0.0.1/ip.jpg",
    "http://[::1]/ip.jpg",
    "https://a.example/a/../dots.jpg",
    f"https://{DEEP}/1.jpg",
    "https://a.example/a[1]'s|*$.jpg",
    LONG,
    *("http://[bad", "javascript:x", "raw text", "a.example/no-scheme.jpg", "a\udcffb"),
]
"""Entries of the kind URL; most are asked too, each in many spellings."""

RULES = [
    (Kind.HOST, "host.example", {}),
    (Kind.HOST, "com", {}),
    (Kind.DOMAIN, "domain.example", {}),
    (Kind.DOMAIN, "deep.example", {}),
    (Kind.DOMAIN, "xn--mnchen-3ya.example", {}),
    (Kind.DOMAIN, "expired.example", {"expires": PAST}),
    (Kind.DOMAIN, "part.example", {"purpose": Purpose.TRAIN_GENERATIVE}),
    (Kind.PATH, "path.example/art/", {}),
    (Kind.PATH, "*.path.example/all/", {}),
    (Kind.PATH, "path.example:8080/art/", {}),
    (Kind.PATTERN, "pattern.example/*/large/*.jpg$", {}),
    (Kind.HOST, "127.0.0.1", {"list": "two"}),
    (Kind.DOMAIN, "e.example", {}),
]
HOSTS = [
    "a.example", "b.example", "host.example", "www.host.example", "domain.example", "x.domain.example",
    "path.example", "y.path.example", "pattern.example", "gone.example", "x.gone.example", "e.example",
    "expired.example", "part.example", "shop.com", "com", "127.0.0.1", "1.2.3.4", "0x7f.1", "[::1]", DEEP,
    "xn--mnchen-3ya.example", "münchen.example", "xn--a.example", "a..example", "a_b.example", "free.test",
    "A.Example", "domain.example.", "-a.example", "a-.example", "1.2.3.a4", "", "user@a.example", "[bad",
]  # fmt: skip
ENDS = [
    "", "/", "/1.jpg", "/art/1.jpg", "/all/x", "/a/large/1.jpg", "/a/large/1.jpg?x", "/art/../1.jpg",
    "//1.jpg",
    "/q?a=b&c=%2F", "/q?a=b&c=%2f", "/q?", "/1.jpg#top", "/1.jpg?#", "/x%20y.png", "/x y.png", "/%31.jpg",
    "/.hidden", "/a/./b", "/%2e%2e/1.jpg", "/..", "\\1.jpg", "/1\t.jpg", "/1.jpg\n", "/ü.jpg", "/%C3%BC.jpg",
    "/opt/in.jpg", "/port.jpg", "/ip.jpg", "/dots.jpg", "/a[1]'s|*$.jpg", "/a%5B1%5D", "?/q",
    "/\x00", "/\x7f",
    "/?q=xn--a", "/q?a?b", "/q?'", "/%", "/%zz", "/x%C3%28", "/;p", "/@b", "/:80", "/a b/../c",
]  # fmt: skip
ODD = [
    None, "", " ", "\t", "https://", "https:", "http:///1.jpg", "ftp://a.example/1.jpg", "data:,x",
    "mailto:a@b",
    "HTTP://A.EXAMPLE/1.jpg", " https://a.example/1.jpg ", "\nhttps://a.example/1.jpg",
    "https:/a.example/1.jpg",
    "https:\\\\a.example\\1.jpg", "//a.example/1.jpg", "a.example/1.jpg", "httpss://a.example/1.jpg",
    "https://a.example/1.jpgé", "xhttps://a.example/1.jpg", "https://a.example/1.jpg\nhttps://a.example/1.jpg",
    LONG, LONG[:-1], LONG + "x", f"https://{'a.' * 200}domain.example/1.jpg", "http://a.example:80/1.jpg",
    "https://a.example:443/1.jpg", "https://a.example:80/1.jpg", "https://a.example:/1.jpg", "https://a:b@c.com/",
    *(each for each in LISTED if "\udcff" not in each),
]  # fmt: skip
URLS = [
    *ODD,
    *(
        f"{scheme}://{host}{port}{end}"
        for scheme in ("http", "https")
        for host in HOSTS
        for port in ("", ":8080")
        for end in ENDS
    ),
]


def built(folder):
    """Several segments, some of which take back what others say."""
    gone = [
        Entry(Kind.URL, "https://gone.example/1.jpg", "one"),
        Entry(Kind.DOMAIN, "gone.example", "one"),
        Entry(Kind.PATH, "gone.example/art/", "one"),
    ]
    with Writer.build(folder, source="test", now=lambda: NOW - 100) as writer:
        for each in gone:
            writer.add(each)
        for text in LISTED[::2]:
            writer.add(Entry(Kind.URL, text, "one"))
        for kind, text, more in RULES[::2]:
            writer.add(Entry(kind, text, **{"list": "one", **more}))
    with Writer.update(folder, now=lambda: NOW - 50) as writer:
        for each in gone:
            writer.withdraw(each)
        for text in LISTED[1::2]:
            writer.add(Entry(Kind.URL, text, "one", opt_in="opt" in text, expires=FUTURE))
        for kind, text, more in RULES[1::2]:
            writer.add(Entry(kind, text, **{"list": "one", **more}))
    with Writer.update(folder, now=lambda: NOW - 40) as writer:
        writer.add(Entry(Kind.PATH, "gone.example/all/", "two"))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return built(tmp_path_factory.mktemp("batch") / "x.heed")


@pytest.fixture(scope="module")
def registry(folder):
    with Registry.open(folder, now=NOW) as registry:
        yield registry


def one_by_one(registry, urls, purpose=ANY):
    """What a batch must say, by what is said of each."""
    matches, decisions, unparsed = {}, [], []
    for place, url in enumerate(urls):
        found = [] if url is None else registry.lookup(url)
        if found:
            matches[place] = found
        decided = decide(found, purpose, NOW)
        decisions.append(0 if not decided else 2 if decided[0].opt_in else 1)
        if url is None or address(url) is None:
            unparsed.append(place)
    return matches, decisions, unparsed


def said(batch):
    return dict(batch.matches), batch.decisions.tolist(), batch.unparsed.tolist()


def text(urls):
    return pa.array(urls, pa.string())


def viewed(urls):
    """An array that does not begin where its buffers do."""
    return text(["https://x.example/", *urls, None]).slice(1, len(urls))


FORMS = {
    "list": list,
    "tuple": tuple,
    "string": text,
    "large string": lambda urls: pa.array(urls, pa.large_string()),
    "string view": lambda urls: pa.array(urls, pa.string_view()),
    "octets": lambda urls: text(urls).cast(pa.binary()),
    "whatever pyarrow makes of it": pa.array,
    "a slice": viewed,
    "a slice of views": lambda urls: viewed(urls).cast(pa.string_view()),
    "a dictionary": lambda urls: text(urls).dictionary_encode(),
    "chunks": lambda urls: pa.chunked_array([text(urls[:7]), viewed(urls[7:])]),
    "chunks of dictionaries": lambda urls: pa.chunked_array(
        [text(urls[:7]).dictionary_encode(), viewed(urls[7:]).dictionary_encode()]
    ),
    "a polars series": lambda urls: pl.Series(urls, dtype=pl.String),
    "a slice of a polars series": lambda urls: pl.Series(["x", *urls, "y"]).slice(1, len(urls)),
    "chunks of a polars series": lambda urls: pl.Series(urls[:7], dtype=pl.String).append(
        pl.Series(urls[7:], dtype=pl.String)
    ),
    "categories": lambda urls: pl.Series(urls, dtype=pl.Categorical),
}


@pytest.fixture(scope="module")
def wanted(registry):
    return one_by_one(registry, URLS)


def test_the_table_holds_what_it_is_there_for(registry, wanted):
    matches, decisions, unparsed = wanted
    listed = {match.entry.text for found in matches.values() for match in found}
    assert listed >= {text for text in LISTED if "\udcff" not in text} | {text for _, text, _ in RULES}
    assert not listed & {"gone.example", "gone.example/art/"}
    assert set(decisions) == {0, 1, 2}
    plain = len(take_apart(pl.Series(URLS)).columns.places)
    assert 500 < plain < len(URLS) - len(unparsed) - 500


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_all_forms(registry, wanted, form):
    assert said(registry.lookup_batch(form(URLS), purpose=ANY, now=NOW)) == wanted


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("urls", [[], [None], [None] * 9, ["x"], ["https://a.example/1.jpg"]], ids=len)
def test_few(registry, form, urls):
    assert said(registry.lookup_batch(form(urls), purpose=ANY, now=NOW)) == one_by_one(registry, urls)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_without_the_extra(registry, wanted, monkeypatch, form):
    monkeypatch.setattr(_batch, "_bulk", lambda: None)
    assert said(registry.lookup_batch(form(URLS), purpose=ANY, now=NOW)) == wanted


def test_keys_that_collide(tmp_path, monkeypatch, wanted):
    """With eight bits of each hash there is something under nearly all keys; the stored key decides."""
    monkeypatch.setattr(_segment, "HASH_MASK", 0xFF << 56)
    with Registry.open(built(tmp_path / "x.heed"), now=NOW) as registry:
        assert said(registry.lookup_batch(pl.Series(URLS), purpose=ANY, now=NOW)) == wanted
        assert said(registry.lookup_batch(URLS, purpose=ANY, now=NOW)) == wanted


@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize("now", [None, NOW, NOW + 400 * 86_400])
def test_purposes_and_times(registry, purpose, now):
    batch = registry.lookup_batch(pl.Series(URLS), purpose=purpose, now=now)
    for place, found in batch.matches.items():
        decided = decide(found, purpose, now)
        assert batch.decisions[place] == (0 if not decided else 2 if decided[0].opt_in else 1)


@pytest.mark.parametrize("kept", range(1, 30, 4))
def test_fewer_plans_are_kept_than_there_are_hosts(folder, wanted, monkeypatch, kept):
    """What was known of some of a batch's hosts when it began may be given up before they are reached."""
    monkeypatch.setattr(_registry, "PLANS_MAX", kept)
    with Registry.open(folder, now=NOW) as registry:
        for form in (list, pl.Series, list, pl.Series):
            for some in (URLS[1::3], URLS[::3], URLS):
                batch = registry.lookup_batch(form(some), purpose=ANY, now=NOW)
            assert said(batch) == wanted


def test_octets_that_are_no_text(registry):
    """Nobody checks what a Parquet file calls a string: pyarrow hands it on as it is."""
    octets = [b"https://a.example/1.jpg", b"a\xffb", None, b"https://a.example/\xff", b"\xed\xa0\x80"]
    length = np.cumsum([0, *(len(each or b"") for each in octets)], dtype=np.int32)
    array = pa.Array.from_buffers(
        pa.string(),
        len(octets),
        [pa.py_buffer(b"\x1b"), pa.py_buffer(length), pa.py_buffer(b"".join(each or b"" for each in octets))],
    )
    urls = [None if each is None else each.decode("utf-8", "surrogateescape") for each in octets]
    wanted = one_by_one(registry, urls)
    assert sorted(wanted[0]) == [0, 1]
    assert wanted[2] == [1, 2, 3, 4]
    for given_ in (array, urls, pa.chunked_array([array])):
        assert said(registry.lookup_batch(given_, purpose=ANY, now=NOW)) == wanted


def test_what_is_no_column_of_text_is_refused(registry):
    for numbers in (pa.array([1, 2]), [1, 2]):
        with pytest.raises((TypeError, pa.ArrowNotImplementedError)):
            registry.lookup_batch(numbers, purpose=ANY, now=NOW)


def test_registries_share_what_was_taken_apart(registry, wanted):
    apart = take_apart(pl.Series(URLS))
    assert take_apart(apart) is apart
    found = registry.find_batch(apart)
    assert (found.version, dict(found.matches)) == (registry.version, wanted[0])
    assert [*found.matches] == sorted(found.matches)


def test_a_version_that_comes_between_batches_is_taken_up(tmp_path):
    urls = pl.Series(["https://a.example/1.jpg", "https://new.example/1.jpg", "https://x.host.example/"])
    folder = built(tmp_path / "x.heed")
    with Registry.open(folder, now=NOW) as registry:
        assert registry.lookup_batch(urls, purpose=ANY, now=NOW).decisions.tolist() == [1, 0, 0]
        with Writer.update(folder) as writer:
            writer.withdraw(Entry(Kind.URL, "https://a.example/1.jpg", "one"))
            writer.add(Entry(Kind.DOMAIN, "new.example", "one"))
            writer.add(Entry(Kind.DOMAIN, "host.example", "one"))
        assert registry.refresh(NOW)
        assert registry.lookup_batch(urls, purpose=ANY, now=NOW).decisions.tolist() == [0, 1, 1]


def test_a_registry_without_rules(tmp_path):
    with Writer.build(tmp_path / "x.heed", source="test") as writer:
        writer.add_urls(["https://a.example/1.jpg"], list="one")
    with Registry.open(tmp_path / "x.heed", now=NOW) as registry:
        urls = ["https://a.example/1.jpg", "https://a.example:8080/1.jpg", "https://b.example/1.jpg", None]
        for form in FORMS.values():
            batch = registry.lookup_batch(form(urls), purpose=ANY, now=NOW)
            assert said(batch) == one_by_one(registry, urls)


TEXTS = st.one_of(
    st.builds(
        "{}{}{}{}{}".format,
        st.sampled_from(["https://", "http://", "HTTPS://", " http://", "https:/", "ftp://", ""]),
        st.sampled_from(HOSTS) | st.from_regex(r"[a-z0-9.-]{0,9}\.[a-z0-9-]{0,5}", fullmatch=True),
        st.sampled_from(["", "", "", ":8080", ":80", ":443", ":0", ":"]),
        st.sampled_from(ENDS) | st.text("/.?%&=#a1~é'[]|\\ \t\n*$@:", max_size=9),
        st.sampled_from(["", "", "?", "#f", "?q=%2F", "?q=%2f", " ", "\n"]),
    ),
    st.text(max_size=20),
    st.from_regex(re.compile(PLAIN.removeprefix("^").removesuffix("$"), re.ASCII), fullmatch=True),
    st.none(),
)


@settings(max_examples=200)
@given(urls=st.lists(TEXTS, max_size=12), purpose=st.sampled_from(Purpose))
def test_whatever_they_contain(registry, urls, purpose):
    wanted = one_by_one(registry, urls, purpose)
    for form in (list, lambda urls: pl.Series(urls, dtype=pl.String)):
        assert said(registry.lookup_batch(form(urls), purpose=purpose, now=NOW)) == wanted


@settings(max_examples=200)
@given(urls=st.lists(TEXTS, max_size=12))
def test_the_same_are_plain_in_a_column_as_one_by_one(urls):
    """But for hosts of very many names, of which the short way for columns knows nothing."""
    column = columns.column(pl.Series(urls, dtype=pl.String))
    plain, places, octets = columns.plain(column)
    assert sorted([*plain.places.tolist(), *places]) == [*range(len(urls))]
    assert octets == [None if urls[place] is None else urls[place].encode() for place in places]
    for place, key, host in plain.rows(np.ones(len(plain.places), np.bool_)):
        assert key == plain_key(urls[place])
        assert key == address(urls[place]).key
        assert host == address(urls[place]).host
    for place in places:
        assert urls[place] is None or plain_key(urls[place]) is None or urls[place].count(".") >= NAMES_MAX


@pytest.mark.parametrize("length", [1, 2, 3, 4, 8, 9, 16, 17, 64, 128, 129, 240, 241, 1024, 1025, 16_384])
def test_hashes_are_those_of_the_index(length):
    host = "https://a.example/"
    text = host + "x" * length
    plain, _, _ = columns.plain(pl.Series([text.encode()]))
    assert plain.hashes.tolist() == [xxh3_64_intdigest(b"u" + text.removeprefix("https://").encode())] * (
        len(text) <= 16_384
    )
