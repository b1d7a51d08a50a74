from __future__ import annotations

import pickle
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.model import RAW_MAX, Evidence, Preference, Purpose, Reading, Reason, Source, Strength
from heedful.signals import robots, rsl
from heedful.signals._paths import split_url

SOURCE = Source("http://127.0.0.1/license.xml", "ab", 1.0)
ORIGIN = "http://127.0.0.1"
ROBOTS = ORIGIN + "/robots.txt"
DENY, ALLOW = Preference.DISALLOW, Preference.ALLOW
ANY, GENERATIVE, OTHER = Purpose


# -- where a document is announced -------------------------------------------------------------------------


OURS, STAR, ELSE = "User-agent: PictureBot", "User-agent: *", "User-agent: ExampleBot"
RULE = "Disallow: /x"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([STAR, RULE], [], id="none"),
        pytest.param(["License: http://127.0.0.1/a", STAR, RULE], ["/a"], id="global"),
        pytest.param(["LICENSE:/a"], ["/a"], id="no-group-at-all"),
        pytest.param([STAR, "License: /a", RULE], ["/a"], id="star-group"),
        pytest.param([OURS, "License: /a", RULE], ["/a"], id="own-group"),
        pytest.param([ELSE, "License: /a", RULE, STAR, RULE], [], id="other-group"),
        pytest.param([STAR, "License: /a", RULE, OURS, RULE], [], id="star-group-is-replaced"),
        pytest.param(["License: /a", OURS, "License: /b", RULE], ["/b"], id="group-replaces-global"),
        pytest.param(["License: /a", ELSE, "License: /b", RULE], ["/a"], id="other-group-replaces-nothing"),
        pytest.param([OURS, RULE, "License: /a"], ["/a"], id="trailing"),
        pytest.param([ELSE, RULE, "License: /a"], ["/a"], id="trailing-other-group"),
        pytest.param(
            ["License: /a", OURS, RULE, ELSE, RULE, "License: /b"], ["/a", "/b"], id="trailing-adds-to-global"
        ),
        pytest.param(["License: /a", OURS, RULE, "License: /b"], ["/a", "/b"], id="trailing-replaces-or-not"),
        pytest.param(
            ["License: /a", OURS, "License: /b", RULE, ELSE, RULE, "License: /c"],
            ["/b"],
            id="trailing-global-is-replaced",
        ),
        pytest.param(
            [OURS, "License: /a", RULE, "License: /b"], ["/a", "/b"], id="trailing-of-the-own-group"
        ),
        pytest.param(["License: /a", ELSE, OURS, "License: /b"], ["/b"], id="group-without-rules"),
        pytest.param(["License: /b", "License: /a", "License: /b"], ["/b", "/a"], id="several"),
        pytest.param(["License: /a#x"], ["/a"], id="fragment"),
        pytest.param(["License: a.xml?x=1 # x"], ["/a.xml?x=1"], id="relative"),
        pytest.param(["License: //example.com/a"], ["http://example.com/a"], id="other-host"),
        pytest.param(["License: <http://127.0.0.1/a>"], ["/a"], id="angle-brackets"),
        pytest.param(["License:", "License: #x", "License: <>"], [], id="empty"),
        pytest.param(
            ["License: ftp://127.0.0.1/a", "License: data:,x", "License: file:///a"], [], id="scheme"
        ),
        pytest.param(["License: http://[", "License: http://a b/", "License: /\udc80"], [], id="no-url"),
        pytest.param([f"License: /{n}" for n in range(9)], ["/0", "/1", "/2", "/3"], id="many"),
        pytest.param(["License: /" + "a" * 20_000], [], id="long"),
    ],
)
def test_announced(lines, expected):
    body = "\n".join(lines).encode("utf-8", "surrogateescape")
    found = rsl.announced(robots.parse(body), "PictureBot", ROBOTS)
    assert [announcement.url.removeprefix(ORIGIN) for announcement in found] == expected


def test_announced_by_a_line():
    (found,) = rsl.announced(robots.parse(b"\nLicense: /a # x"), "PictureBot", ROBOTS)
    assert found == rsl.Announcement("http://127.0.0.1/a", "line 2", "License: /a # x")


RSL = 'rel="license"; type="application/rsl+xml"'


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([], [], id="none"),
        pytest.param([f"<http://127.0.0.1/a>; {RSL}"], ["/a"], id="absolute"),
        pytest.param([f"<a>; {RSL}"], ["/art/a"], id="relative"),
        pytest.param([f"</a#x>; {RSL}"], ["/a"], id="fragment"),
        pytest.param([f"<>; {RSL}"], [], id="empty"),
        pytest.param([f"<ftp://127.0.0.1/a>; {RSL}", f"<data:,a>; {RSL}"], [], id="scheme"),
        pytest.param([f"<http://[>; {RSL}", f"</\udc80>; {RSL}"], [], id="no-url"),
        pytest.param(["</a>;rel=license;type=application/rsl+xml"], ["/a"], id="tokens"),
        pytest.param([" </a> ; REL = License ; Type = APPLICATION/RSL+XML "], ["/a"], id="case-and-space"),
        pytest.param(['</a>; rel="next license"; type="application/rsl+xml"'], ["/a"], id="several-rels"),
        pytest.param(['</a>; rel="license-x"; type="application/rsl+xml"'], [], id="whole-rels"),
        pytest.param(['</a>; type="application/rsl+xml; charset=utf-8"; rel=license'], ["/a"], id="charset"),
        pytest.param(['</a>; rel="license"'], [], id="no-type"),
        pytest.param(['</a>; rel="license"; type="text/html"'], [], id="other-type"),
        pytest.param(['</a>; type="application/rsl+xml"'], [], id="no-rel"),
        pytest.param([f"</a>; rel=next; {RSL}"], [], id="first-rel"),
        pytest.param([f"</a>; type=text/html; {RSL}"], [], id="first-type"),
        pytest.param([f"</a>; {RSL}, </b>; {RSL}"], ["/a", "/b"], id="several-links"),
        pytest.param([f"</a>; rel=next, </b>; {RSL}"], ["/b"], id="second-link"),
        pytest.param([f"</a>; {RSL}", f"</b>; {RSL}"], ["/a", "/b"], id="several-lines"),
        pytest.param([f"</a>; {RSL}, </a>; {RSL}"], ["/a"], id="said-twice"),
        pytest.param([f'</a>; title="x, </b>; y"; {RSL}'], ["/a"], id="quoted-comma"),
        pytest.param([f'</a>; title="x\\", </b>; y"; {RSL}'], ["/a"], id="quoted-quote"),
        pytest.param([f'</a>; title="</b>; {RSL}'], [], id="quote-not-closed"),
        pytest.param([f"</a,b;c>; {RSL}"], ["/a,b;c"], id="comma-in-target"),
        pytest.param([f"</a; {RSL}"], [], id="target-not-closed"),
        pytest.param([f"/a; {RSL}, </b>; {RSL}"], ["/b"], id="no-target"),
        pytest.param([f", ,</a>;; {RSL};,"], ["/a"], id="empty-parts"),
        pytest.param([f"</a>; title*=UTF-8''x; flag; {RSL}"], ["/a"], id="other-parameters"),
        pytest.param([f'</a>; {RSL}; anchor="/art/"'], [], id="anchor-elsewhere"),
        pytest.param([f'</a>; {RSL}; anchor="a.jpg"'], ["/a"], id="anchor-here"),
        pytest.param([f'</a>; {RSL}; anchor="#x"'], ["/a"], id="anchor-in-here"),
        pytest.param([f'</a>; {RSL}; anchor=""'], ["/a"], id="anchor-empty"),
        pytest.param([", ".join(f"</{n}>; {RSL}" for n in range(9))], ["/0", "/1", "/2", "/3"], id="many"),
    ],
)
def test_linked(lines, expected):
    found = rsl.linked(tuple(("Link", line) for line in lines), ORIGIN + "/art/a.jpg")
    assert [announcement.url.removeprefix(ORIGIN) for announcement in found] == expected


def test_linked_by_a_header():
    headers = (("Server", "x"), ("license", f"</a>; {RSL}"), ("LINK", f"</b>; {RSL}"))
    (found,) = rsl.linked(headers, ORIGIN)
    assert found == rsl.Announcement("http://127.0.0.1/b", "header Link", f"</b>; {RSL}")


# -- what a document says --------------------------------------------------------------------------------


def document(*contents: str) -> bytes:
    return f'<rsl xmlns="https://rslstandard.org/rsl">{"".join(contents)}</rsl>'.encode()


def content(*licences: str, url: str = "/", attributes: str = "") -> str:
    inner = "".join(f"<license>{licence}</license>" for licence in licences)
    return f'<content url="{url}" {attributes}>{inner}</content>'


def permits(words: str, kind: str = "usage") -> str:
    return f'<permits type="{kind}">{words}</permits>'


def prohibits(words: str, kind: str = "usage") -> str:
    return f'<prohibits type="{kind}">{words}</prohibits>'


def payment(kind: str) -> str:
    return f'<payment type="{kind}"/>'


def read(body: bytes, url: str = ORIGIN + "/art/a.jpg") -> Reading:
    parts = split_url(url)
    assert parts
    return rsl.parse(body).read(*parts, SOURCE)


def said(reading: Reading) -> list[tuple[Preference, str, Purpose]]:
    assert all(statement.switch is None for statement in reading.statements)
    return [(statement.preference, statement.rule, statement.covers) for statement in reading.statements]


FREE = permits("ai-train")


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        pytest.param([], [], id="no-licence"),
        pytest.param([""], [], id="empty"),
        pytest.param(["<legal/>"], [], id="no-usage"),
        pytest.param([payment("free")], [], id="no-usage-free"),
        pytest.param([payment("crawl")], [(DENY, 'payment type="crawl"', ANY)], id="no-usage-paid"),
        # permits
        pytest.param([permits("ai-train")], [(ALLOW, "permits ai-train", ANY)], id="permits-training"),
        pytest.param([permits("ai-all")], [(ALLOW, "permits ai-all", ANY)], id="permits-ai"),
        pytest.param([permits("all")], [(ALLOW, "permits all", ANY)], id="permits-all"),
        pytest.param([permits("train-ai")], [(ALLOW, "permits train-ai", ANY)], id="permits-old-token"),
        pytest.param(
            [permits("train-genai")],
            [(ALLOW, "permits train-genai", GENERATIVE), (DENY, "permits train-genai", OTHER)],
            id="permits-generative",
        ),
        pytest.param([permits("search")], [(DENY, "permits search", ANY)], id="permits-search"),
        pytest.param([permits("ai-input")], [(DENY, "permits ai-input", ANY)], id="permits-input"),
        pytest.param(
            [permits("search") + permits("ai-index, ai-input")],
            [(DENY, "permits search ai-index ai-input", ANY)],
            id="permits-others",
        ),
        pytest.param([permits("")], [(DENY, "permits", ANY)], id="permits-nothing"),
        pytest.param([permits("search ai-train")], [(ALLOW, "permits ai-train", ANY)], id="spaces"),
        pytest.param([permits("\n search,\tai-train ")], [(ALLOW, "permits ai-train", ANY)], id="commas"),
        pytest.param([permits("search") + permits("all")], [(ALLOW, "permits all", ANY)], id="two-lists"),
        pytest.param([permits("commercial", "user")], [], id="permits-user"),
        pytest.param([permits("DE", "geo") + FREE], [(ALLOW, "permits ai-train", ANY)], id="geo-not-judged"),
        # prohibits
        pytest.param([prohibits("ai-train")], [(DENY, "prohibits ai-train", ANY)], id="prohibits-training"),
        pytest.param([prohibits("ai-all")], [(DENY, "prohibits ai-all", ANY)], id="prohibits-ai"),
        pytest.param([prohibits("all")], [(DENY, "prohibits all", ANY)], id="prohibits-all"),
        pytest.param([prohibits("train-ai")], [(DENY, "prohibits train-ai", ANY)], id="prohibits-old-token"),
        pytest.param(
            [prohibits("train-genai")],
            [(DENY, "prohibits train-genai", GENERATIVE)],
            id="prohibits-generative",
        ),
        pytest.param(
            [prohibits("train-genai") + permits("all")],
            [(DENY, "prohibits train-genai", GENERATIVE), (ALLOW, "permits all", OTHER)],
            id="prohibits-generative-of-all",
        ),
        pytest.param([prohibits("search, ai-input, ai-index")], [], id="prohibits-others"),
        pytest.param([prohibits("")], [], id="prohibits-nothing"),
        pytest.param([prohibits("commercial", "user")], [], id="prohibits-user"),
        pytest.param([prohibits("ai-train", "geo")], [], id="prohibits-geo"),
        pytest.param([FREE + prohibits("ai-all")], [(DENY, "prohibits ai-all", ANY)], id="prohibits-beats"),
        pytest.param([prohibits("all") + FREE], [(DENY, "prohibits all", ANY)], id="prohibits-beats-before"),
        pytest.param([prohibits("search") + FREE], [(ALLOW, "permits ai-train", ANY)], id="beside-search"),
        # conditions
        pytest.param([FREE + payment("free")], [(ALLOW, "permits ai-train", ANY)], id="free"),
        *(
            pytest.param(
                [FREE + payment(kind)], [(DENY, f'payment type="{kind}"', ANY)], id=f"payment-{kind}"
            )
            for kind in (
                "purchase",
                "subscription",
                "training",
                "crawl",
                "use",
                "contribution",
                "attribution",
            )
        ),
        pytest.param([FREE + "<payment/>"], [(DENY, 'payment type=""', ANY)], id="payment-without-type"),
        pytest.param([FREE + payment("Free")], [(DENY, 'payment type="Free"', ANY)], id="payment-case"),
        pytest.param(
            [FREE + payment("free") + payment("use")], [(DENY, 'payment type="use"', ANY)], id="two-payments"
        ),
        pytest.param([FREE + "<reporting/>"], [(DENY, "reporting", ANY)], id="reporting"),
        pytest.param(
            [permits("search") + payment("use")], [(DENY, "permits search", ANY)], id="paid-for-others"
        ),
        pytest.param(
            [prohibits("search") + payment("use")],
            [(DENY, 'payment type="use"', ANY)],
            id="paid-for-the-rest",
        ),
        # several licences
        pytest.param(
            [FREE + payment("use"), FREE], [(ALLOW, "permits ai-train", ANY)], id="one-free-licence-suffices"
        ),
        pytest.param(
            [FREE, FREE + "<reporting/>"], [(ALLOW, "permits ai-train", ANY)], id="free-licence-comes-first"
        ),
        pytest.param(
            [permits("search"), permits("all")], [(ALLOW, "permits all", ANY)], id="one-covers-training"
        ),
        pytest.param(
            [FREE, prohibits("ai-train")], [(DENY, "prohibits ai-train", ANY)], id="one-prohibits-training"
        ),
        pytest.param(
            [permits("train-genai"), permits("search")],
            [(ALLOW, "permits train-genai", GENERATIVE), (DENY, "permits train-genai", OTHER)],
            id="one-covers-a-part",
        ),
        pytest.param(["", payment("use")], [(DENY, 'payment type="use"', ANY)], id="one-says-nothing"),
    ],
)
def test_licences(licences, expected):
    assert said(read(document(content(*licences)))) == expected


@pytest.mark.parametrize(
    ("attributes", "expected", "warned"),
    [
        pytest.param("", (ALLOW, "permits ai-train"), False, id="none"),
        pytest.param('server="http://127.0.0.1/"', (DENY, 'server="http://127.0.0.1/"'), False, id="server"),
        pytest.param('server=" "', (ALLOW, "permits ai-train"), False, id="server-empty"),
        pytest.param('encrypted="true"', (DENY, 'encrypted="true"'), False, id="encrypted"),
        pytest.param('encrypted="1"', (DENY, 'encrypted="1"'), False, id="encrypted-1"),
        pytest.param('encrypted="false"', (ALLOW, "permits ai-train"), False, id="not-encrypted"),
        pytest.param('encrypted="0"', (ALLOW, "permits ai-train"), False, id="not-encrypted-0"),
        pytest.param('encrypted=""', (ALLOW, "permits ai-train"), False, id="encrypted-empty"),
        pytest.param('encrypted="FALSE"', (DENY, 'encrypted="FALSE"'), True, id="encrypted-malformed"),
        pytest.param('lastmod="x"', (ALLOW, "permits ai-train"), False, id="other-attribute"),
    ],
)
def test_conditions_of_a_content(attributes, expected, warned):
    reading = read(document(content(FREE + payment("free"), attributes=attributes)))
    assert said(reading) == [(*expected, ANY)]
    assert bool(reading.warnings) is warned


def test_a_server_needs_no_licence_element():
    assert said(read(document('<content url="/" server="x"/>'))) == [(DENY, 'server="x"', ANY)]
    body = document(content(prohibits("all"), attributes='server="x"'))
    assert said(read(body)) == [(DENY, "prohibits all", ANY)]


@pytest.mark.parametrize(
    ("licence", "expected", "message"),
    [
        pytest.param(
            permits("AI-Train"), [(DENY, "permits AI-Train", ANY)], "unknown usage", id="permits-case"
        ),
        pytest.param(prohibits("AI-Train"), [(DENY, "prohibits ai-train", ANY)], None, id="prohibits-case"),
        pytest.param(
            permits("ai_train"), [(DENY, "permits ai_train", ANY)], "unknown usage", id="permits-other"
        ),
        pytest.param(prohibits("ai_train"), [], "unknown usage", id="prohibits-other"),
        pytest.param("<permits>ai-train</permits>", [], "passed over", id="permits-without-type"),
        pytest.param(permits("ai-train", "Usage"), [], "passed over", id="permits-type-case"),
        pytest.param(
            "<prohibits>ai-train</prohibits>",
            [(DENY, "prohibits ai-train", ANY)],
            "read as usage",
            id="prohibits-without-type",
        ),
        pytest.param(
            prohibits("all", "uses"), [(DENY, "prohibits all", ANY)], "read as usage", id="prohibits-type"
        ),
        pytest.param(prohibits("ai-train", "GEO"), [], None, id="prohibits-geo-case"),
    ],
)
def test_what_is_malformed_never_allows(licence, expected, message):
    reading = read(document(content(licence)))
    assert said(reading) == expected
    assert [message in warning.message for warning in reading.warnings] == [True] * (message is not None)
    assert all(warning.evidence.where == "content 1" for warning in reading.warnings)


@pytest.mark.parametrize(
    ("pattern", "url", "matches"),
    [
        pytest.param("/", "/art/a.jpg", True, id="root"),
        pytest.param(" /art/ ", "/art/a.jpg", True, id="folder"),
        pytest.param("/Art/", "/art/a.jpg", False, id="case"),
        pytest.param("/art/*.png", "/art/a.jpg", False, id="star"),
        pytest.param("*.jpg$", "/art/a.jpg", True, id="leading-star"),
        pytest.param("/*.jpg$", "/a.jpg?x", False, id="anchor"),
        pytest.param("/*?x=1", "/a.jpg?x=1", True, id="query"),
        pytest.param("/a%2fb", "/a/b", False, id="percent"),
        pytest.param("/\xe9", "/%C3%A9", True, id="not-ascii"),
        pytest.param("/a#x", "/a", True, id="fragment"),
        pytest.param("http://127.0.0.1/", "/a", True, id="origin"),
        pytest.param("http://127.0.0.1", "/a", True, id="origin-without-path"),
        pytest.param("HTTP://127.0.0.1:80/*.jpg$", "/a.jpg", True, id="origin-otherwise-written"),
        pytest.param("http://127.0.0.1?x=1", "/?x=1", True, id="origin-with-query"),
        pytest.param("http://127.0.0.1/art", "/a", False, id="other-path"),
        pytest.param("http://127.0.0.1:81/", "/a", False, id="other-port"),
        pytest.param("https://127.0.0.1/", "/a", False, id="other-scheme"),
        pytest.param("http://example.com/", "/a", False, id="other-host"),
    ],
)
def test_url(pattern, url, matches):
    reading = read(document(content(FREE, url=pattern)), ORIGIN + url)
    assert bool(reading.statements) is matches
    assert not reading.warnings


@pytest.mark.parametrize("url", ["", "art/", "http://", "http://[/", "ftp://127.0.0.1/", "urn:x", "$", "#a"])
def test_contents_without_a_place_are_passed_over(url):
    reading = read(document(content(prohibits("all"), url=url), content(FREE)))
    assert said(reading) == [(ALLOW, "permits ai-train", ANY)]
    (warning,) = reading.warnings
    assert warning.evidence.where == "content 1"


GENERATIVE_ONLY = [(DENY, "prohibits train-genai", GENERATIVE), (ALLOW, "permits ai-train", OTHER)]


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        pytest.param(
            [("/", FREE), ("/art/", prohibits("all"))], [(DENY, "prohibits all", ANY)], id="longest"
        ),
        pytest.param(
            [("/art/", FREE), ("/", prohibits("all"))], [(ALLOW, "permits ai-train", ANY)], id="first"
        ),
        pytest.param([("/art/", ""), ("/", prohibits("all"))], [], id="longest-says-nothing"),
        pytest.param([("/art/x", FREE), ("/", prohibits("all"))], [(DENY, "prohibits all", ANY)], id="other"),
        pytest.param([("/", FREE), ("/", prohibits("all"))], [(DENY, "prohibits all", ANY)], id="equal"),
        pytest.param(
            [("/", prohibits("all")), ("/", FREE)], [(DENY, "prohibits all", ANY)], id="equal-before"
        ),
        pytest.param([("/", ""), ("/", FREE)], [(ALLOW, "permits ai-train", ANY)], id="equal-says-nothing"),
        pytest.param(
            [("/a", FREE), ("*a", prohibits("all"))], [(DENY, "prohibits all", ANY)], id="equal-length"
        ),
        pytest.param(
            [("http://127.0.0.1/", FREE), ("/art/", prohibits("all"))],
            [(DENY, "prohibits all", ANY)],
            id="the-host-is-no-length",
        ),
        pytest.param(
            [("http://127.0.0.1/", FREE), ("/", prohibits("all"))],
            [(DENY, "prohibits all", ANY)],
            id="same-path",
        ),
        pytest.param([("/", FREE), ("/", prohibits("train-genai"))], GENERATIVE_ONLY, id="equal-in-a-part"),
    ],
)
def test_longest_content(contents, expected):
    body = document(*(content(licence, url=url) for url, licence in contents))
    assert said(read(body)) == expected


def test_statement():
    terms = prohibits("ai-train") + permits("DE", "geo")
    (statement,) = read(document(content(FREE, url="/x"), content(terms))).statements
    assert statement.signal is Reason.RSL
    assert statement.strength is Strength.EXPLICIT
    raw = content(terms).removesuffix("</content>")
    assert statement.evidence == Evidence(SOURCE.url, "content 2", raw, "ab", 1.0)


EMBEDDED = """<rss xmlns:r="https://rslstandard.org/rsl"><channel><content url="/"/><r:rsl><r:content url="/">
<r:license><r:prohibits type="usage">ai-train</r:prohibits></r:license></r:content></r:rsl></channel>
<r:rsl><r:content url="/b"/></r:rsl></rss>"""
DENIES = document(content(prohibits("all")))
TEXT = DENIES.decode()


@pytest.mark.parametrize(
    ("body", "denies"),
    [
        pytest.param(DENIES, True, id="document"),
        pytest.param(EMBEDDED.encode(), True, id="embedded"),
        pytest.param(b'<?xml version="1.0" encoding="UTF-8"?>\n<!-- x -->' + DENIES, True, id="prolog"),
        pytest.param(b"\xef\xbb\xbf" + DENIES, True, id="byte-order-mark"),
        pytest.param(TEXT.encode("utf-16"), True, id="utf-16"),
        pytest.param(
            f"<?xml version='1.0' encoding='latin-1'?>{TEXT}\n<!--\xe9-->".encode("latin-1"), True, id="l1"
        ),
        pytest.param(document(content(prohibits("ai-<!-- x -->train"))), True, id="comment-in-text"),
        pytest.param(document(content(prohibits("<![CDATA[all]]>"))), True, id="cdata"),
        pytest.param(document(), False, id="empty"),
        pytest.param(document("<license>" + prohibits("all") + "</license>"), False, id="no-content"),
        pytest.param(document('<content url="/">' + prohibits("all") + "</content>"), False, id="no-licence"),
        pytest.param(document("<x>" + content(prohibits("all")) + "</x>"), False, id="misplaced"),
        pytest.param(DENIES.replace(b"<license>", b'<license xmlns="urn:x">'), False, id="other-namespace"),
    ],
)
def test_body(body, denies):
    reading = read(body)
    assert [statement.preference for statement in reading.statements] == [DENY] * denies
    assert [statement.switch for statement in reading.statements] == [None] * denies
    assert not reading.warnings


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", "not well-formed XML", id="empty"),
        pytest.param(DENIES[:-1], "not well-formed XML", id="cut-off"),
        pytest.param(DENIES + b"x", "not well-formed XML", id="trailing-text"),
        pytest.param(b"\n<?xml version='1.0'?>" + DENIES, "not well-formed XML", id="late-declaration"),
        pytest.param(DENIES.replace(b"/", b"\xe9", 1), "not well-formed XML", id="not-utf-8"),
        pytest.param(document("&nbsp;"), "not well-formed XML", id="html-entity"),
        pytest.param(b"<!doctype html><title>Not found</title>", "not well-formed XML", id="html"),
        pytest.param(b"{}", "not well-formed XML", id="json"),
        pytest.param(b"<?xml version='1.0' encoding='x'?>" + DENIES, "not well-formed XML", id="encoding"),
        pytest.param(
            b"<?xml version='1.0' encoding='rot13'?>" + DENIES, "not well-formed XML", id="no-encoding"
        ),
        pytest.param(
            b"<?xml version='1.0' encoding='unicode_escape'?>" + DENIES, "not well-formed XML", id="warning"
        ),
        pytest.param(b"<!DOCTYPE rsl>" + DENIES, "document type", id="doctype"),
        pytest.param(b'<!DOCTYPE rsl SYSTEM "x.dtd">' + DENIES, "document type", id="dtd"),
        pytest.param(b'<!DOCTYPE rsl [<!ENTITY a "b">]>' + DENIES, "document type", id="entity"),
        pytest.param(
            DENIES.replace(b' xmlns="https://rslstandard.org/rsl"', b""), "no <rsl>", id="no-namespace"
        ),
        pytest.param(DENIES.replace(b"org/rsl", b"org/rsl/"), "no <rsl>", id="other-namespace"),
        pytest.param(b"<html><body>x</body></html>", "no <rsl>", id="xhtml"),
        pytest.param(b"<a>" * 100_000, "nested", id="deep"),
        pytest.param(DENIES.ljust(rsl.DOCUMENT_MAX + 1), "longer", id="long"),
    ],
)
def test_broken_documents_deny_under_a_switch(body, message):
    reading = read(body)
    (statement,) = reading.statements
    assert statement.preference is DENY
    assert statement.switch == rsl.UNUSABLE == "rsl_unusable"
    assert statement.rule.startswith("unusable document: ")
    assert message in statement.rule
    (warning,) = reading.warnings
    assert warning.message == statement.rule
    assert warning.evidence == statement.evidence
    assert statement.evidence.where == "document"
    assert statement.evidence.raw == body.decode("utf-8", "replace")[:RAW_MAX]


def test_unusable():
    (statement,), (warning,) = rsl.unusable(SOURCE, "status 404")
    assert (statement.signal, statement.preference, statement.covers) == (Reason.RSL, DENY, ANY)
    assert (statement.switch, statement.strength) == ("rsl_unusable", Strength.SOFT)
    assert statement.evidence == Evidence(SOURCE.url, "document", "status 404", "ab", 1.0)
    assert warning.message == statement.rule == "unusable document: status 404"


def test_limits():
    assert not rsl.parse(DENIES.ljust(rsl.DOCUMENT_MAX)).broken
    nested = rsl.DEPTH_MAX - 1
    assert not rsl.parse(b"<a>" * nested + document() + b"</a>" * nested).broken
    assert rsl.parse(b"<a>" * nested + DENIES + b"</a>" * nested).broken

    reading = read(document('<content url="/b"/>' * rsl.CONTENTS_MAX, content(prohibits("all"))))
    assert said(reading) == []
    (warning,) = reading.warnings
    assert warning.evidence.where == f"content {rsl.CONTENTS_MAX + 1}"

    assert len(read(document("<content/>" * 100)).warnings) == rsl.FAULTS_MAX
    assert len(read(document(content(prohibits("x " * 100)))).warnings) == rsl.FAULTS_MAX

    (statement,) = read(document(content(permits("x" * 1000)))).statements
    assert len(statement.evidence.raw) == len(statement.rule) == RAW_MAX


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(document('<content url="/"/>' * 50_000), id="contents"),
        pytest.param(document(content(permits("x") * 30_000)), id="permits"),
        pytest.param(document(content(permits("x " * 500_000))), id="tokens"),
        pytest.param(document(content(FREE, url="/" + "*a" * 500_000)), id="stars"),
        pytest.param(b"<a>" + b"<b/>" * 250_000 + b"</a>", id="elements"),
        pytest.param(b"<a " + b" ".join(b"a%d=''" % n for n in range(90_000)) + b"/>", id="attributes"),
    ],
)
def test_hostile_documents_take_linear_time(body):
    started = time.perf_counter()
    read(body, ORIGIN + "/" + "a" * 8000)
    rsl.linked((("Link", "<a>;rel=license, " * 60_000), ("Link", "<," * 250_000)), ORIGIN)
    assert time.perf_counter() - started < 15  # where it is not linear it takes minutes


def test_parsed_document_can_be_pickled():
    parsed = pickle.loads(pickle.dumps(rsl.parse(DENIES)))  # noqa: S301 - our own bytes
    assert parsed.read(ORIGIN, "/", SOURCE) == read(DENIES, ORIGIN + "/")


usage = st.lists(st.sampled_from(["all", "ai-train", "train-genai", "search", "x"]), max_size=3).map(" ".join)
licences = st.lists(
    st.builds(permits, usage, st.sampled_from(["usage", "user", ""]))
    | st.builds(prohibits, usage, st.sampled_from(["usage", "user", ""]))
    | st.builds(payment, st.sampled_from(["free", "crawl"]))
    | st.just("<reporting/>"),
    max_size=3,
).map("".join)
contents = st.builds(
    lambda inner, url, attributes: content(*inner, url=url, attributes=attributes),
    st.lists(licences, max_size=3),
    st.sampled_from(["/", "/art/", "*.jpg", "http://127.0.0.1/", "x"]),
    st.sampled_from(["", 'server="x"', 'encrypted="true"']),
)
PARTS = (
    "<content url='/'>|<license>|<rsl xmlns='https://rslstandard.org/rsl'>|</rsl>|<!DOCTYPE a>|&a;|\xe9|<|>"
)
texts = st.lists(st.sampled_from(PARTS.split("|")), max_size=8).map(lambda parts: "".join(parts).encode())


@given(st.binary(max_size=80) | texts | st.lists(contents, max_size=3).map(lambda some: document(*some)))
def test_documents_are_total(body):
    reading = read(body)
    purposes = [statement.covers for statement in reading.statements]
    assert purposes in ([], [ANY], [GENERATIVE], [OTHER], [GENERATIVE, OTHER])


@given(st.lists(contents, max_size=3), st.sampled_from(["/art/", "http://127.0.0.1/art/"]))
def test_an_equal_content_that_prohibits_denies(some, url):
    for body in (
        document(content(prohibits("all"), url=url), *some),
        document(*some, content(prohibits("all"), url=url)),
    ):
        assert {preference for preference, _, _ in said(read(body))} == {DENY}


@given(st.lists(licences, max_size=3))
def test_a_prohibition_in_any_licence_denies(some):
    assert {preference for preference, _, _ in said(read(document(content(*some, prohibits("all")))))} == {
        DENY
    }


links = st.lists(
    st.sampled_from(["<a>", "<", ">", ";", ",", '"', "\\", "rel=license", RSL, " ", "="]), max_size=10
)


@given(links.map("".join) | st.text(max_size=40), st.text(max_size=20))
def test_links_are_total(line, url):
    rsl.linked((("Link", line),), url)
    first = rsl.linked((("Link", f"</first>; {RSL}"), ("Link", line)), ORIGIN)
    assert first[0].url == ORIGIN + "/first"


@given(st.binary(max_size=60).map(lambda value: b"License: " + value), st.text(max_size=20))
def test_announcements_are_total(body, url):
    rsl.announced(robots.parse(body), "PictureBot", url)
