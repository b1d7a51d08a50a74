"""What Google's robots.txt parser and its specification test are tested on, put to our reading.

After robots_test.cc of google/robotstxt and the files of google/robotstxt-spec-test. Where ours
differs, the case names the known deviation, whose reason stands in the list of them.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from heedful.model import Source
from heedful.signals._paths import canonical, split_url
from heedful.signals.robots import Robots, access, parse, valid_token

from .deviations import BY_NAME, GOOGLE

SOURCE = Source("http://127.0.0.1/robots.txt")
BOT = "PictureBot"


class Case(NamedTuple):
    """Their answer, and the deviation if ours is the opposite."""

    token: str
    path: str
    allowed: bool
    deviation: str | None = None


def yes(*paths: str, token: str = BOT, deviation: str | None = None) -> list[Case]:
    return [Case(token, path, True, deviation) for path in paths]


def no(*paths: str, token: str = BOT, deviation: str | None = None) -> list[Case]:
    return [Case(token, path, False, deviation) for path in paths]


def only(*lines: str) -> str:
    return "\n".join(["user-agent: PictureBot", *lines, ""])


GROUPS = """allow: /early/bird/

user-agent: PictureBot
disallow: /
allow: /x/
user-agent: SecondBot
disallow: /
allow: /y/


allow: /w/
user-agent: ThirdBot

user-agent: PictureBot
allow: /z/
disallow: /
"""
SECTIONS = """# The first line is a comment

User-agent: FirstBot
Allow: /

User-agent: Second-Bot
Allow: /
Disallow: /braa

User-agent: Third
Disallow: /braa

User-agent: *
Disallow: /

User-agent: *
Disallow: /braa

Sitemap: /sitemap.xml
"""
TAGS = """User-agent: *
<br />
Allow: /
<br />
User-agent: SecondBot
<br />
Disallow: /
<br />
User-agent: AB42bot
<br />
Disallow: /
<br />
sitemap: http://127.0.0.1/sitemap.xml
"""
QUERIES = """User-agent: *
Allow: /*.js
Allow: /*?page
Allow: /*?ref=
Disallow: /*?
Disallow: /stat/
Disallow: /id/1
Disallow: /*_a_pattern_=
Disallow: /*-*-*-*-321$
Disallow: /*-0-0-
Disallow:/*&format=json
"""

CASES = {
    # -- lines --
    "empty file": ("", yes("/", "/x/y")),
    "a group": (only("disallow: /"), no("/x/y")),
    "no token asked": (only("disallow: /"), yes("/x/y", token="")),
    "other keys": ("foo: PictureBot\nbar: /\n", yes("/x/y")),
    "no colons": ("user-agent PictureBot\ndisallow /\n", no("/x/y")),
    "upper-case keys": ("USER-AGENT: PictureBot\nALLOW: /x/\nDISALLOW: /\n", yes("/x/y") + no("/a/b")),
    "camel-case keys": ("uSeR-aGeNt: PictureBot\nAlLoW: /x/\ndIsAlLoW: /\n", yes("/x/y") + no("/a/b")),
    "white space before the colon": (
        "User-Agent : *\nCrawl-delay : 60\nDisallow : /*baz*\n",
        no("/a_baz", "/baz/a"),
    ),
    # -- groups --
    "groups are merged": (
        GROUPS,
        [
            *(*yes("/x/b", "/z/d"), *no("/y/c", "/early/bird/")),
            *(*yes("/y/c", "/w/a", token="SecondBot"), *no("/z/d", "/early/bird/", token="SecondBot")),
            *(*yes("/z/d", token="ThirdBot"), *no("/early/bird/", token="ThirdBot")),
        ],
    ),
    "Sitemap in a run": (
        "User-agent: SecondBot\nSitemap: https://127.0.0.1/s\nUser-agent: *\nDisallow: /\n",
        no("/") + no("/", token="SecondBot"),
    ),
    "an unknown record in a run": (
        "User-agent: PictureBot\nUnheard-Of: x\nUser-agent: *\nDisallow: /\n",
        no("/") + no("/", token="SecondBot"),
    ),
    "everyone's group comes second": (
        "user-agent: *\nallow: /\nuser-agent: PictureBot\ndisallow: /\n",
        no("/x/y") + yes("/x/y", token="SecondBot"),
    ),
    "only groups of others": (
        "user-agent: A\nallow: /\nuser-agent: B\ndisallow: /\nuser-agent: C\ndisallow: /\n",
        yes("/x/y"),
    ),
    "our group takes the place of everyone's": (
        "user-agent: *\ndisallow: /x\nuser-agent: PictureBot\nallow: /x/y\n",
        yes("/x/y") + no("/x/y", token="SecondBot"),
    ),
    "what ours does not say is allowed": (
        "User-agent: *\nDisallow: /x/\nUser-agent: PictureBot\nDisallow: /y/\n",
        yes("/x/a") + no("/y/a"),
    ),
    "many groups": (
        SECTIONS,
        [
            *(*yes("/robots.txt", token="FirstBot"), *yes("/foo", token="Second-Bot")),
            *(*yes("/foo", "/", token="Third"), *no("/braallel/index.htm", "/braa/x", token="Third")),
            *no("/index.htm", "/braa", "/"),
        ],
    ),
    "a run of four": (
        "User-agent: A\nUser-agent: B\nUser-agent: C\nUser-agent: PictureBot\nCrawl-delay: 10\nDisallow:\n\n"
        "User-agent: *\nDisallow: /\n",
        yes("/", "/foo") + yes("/foo", token="A") + no("/", "/foo", token="D"),
    ),
    "hyphens": (
        "User-agent: *\nAllow: /\n\nUser-Agent: Fun-Bot-Mobile\nUser-Agent: Fun-Bot\n"
        "Disallow: /_api/*\nDisallow: /v*\n",
        yes("/_api/x") + no("/_api/x", "/v", token="Fun-Bot") + no("/v1", token="fun-bot-mobile"),
    ),
    "a group without rules": (
        "User-agent: A\nDisallow: /\n\nUser-agent: Picture_Bot\nCrawl-delay: 1\n\nUser-agent: *\nAllow: /\n\n"
        "User-agent: *\nCrawl-delay: 1\n",
        yes("/", token="Picture_Bot") + no("/a", token="A") + yes("/a"),
    ),
    "a group of records that rules follow": (
        "User-agent: A\nDisallow: /\nUser-agent: *\nDisallow:\nCrawl-delay: 15\nSitemap: http://127.0.0.1/s\n",
        [
            *(*yes("/", "/robots.txt"), *no("/a", token="A")),
            *no("/robots.txt", token="A", deviation="the file itself"),
        ],
    ),
    "tags among the lines": (
        TAGS,
        [
            *(*yes("/", "/robots.txt"), *no("/", "/foo", token="SecondBot")),
            *no("/robots.txt", token="SecondBot", deviation="the file itself"),
            *yes("/", "/foo", token="AB42bot", deviation="digits in a token"),
            *no("/", token="AB", deviation="digits in a token"),
        ],
    ),
    "digits in a token": (
        "User-Agent: *\nDisallow: /*baz*\n\nUser-agent: XYZ123bot\nDisallow: /\n",
        [
            *yes("/a", token="XYZ123bot", deviation="digits in a token"),
            *no("/a", token="XYZ", deviation="digits in a token"),
        ],
    ),
    "a star after a token": (
        "User-agent: PictureBot*\nDisallow: /workers/\n\nUser-agent: *\nDisallow: /\n",
        [
            *(*no("/workers/log"), *yes("/foo", deviation="end of a token")),
            *no("/foo", "/workers/log", token="PictureBot-exp"),
        ],
    ),
    # -- tokens --
    "case of a token": ("User-Agent: PICTUREBOT X\nAllow: /x/\nDisallow: /\n", yes("/x/y") + no("/a/b")),
    "case of ours": ("User-Agent: picturebot x\nAllow: /x/\nDisallow: /\n", yes("/x/y") + no("/a/b")),
    "a token ends at white space": (
        "User-Agent: *\nDisallow: /\nUser-Agent: PictureBot X\nAllow: /x/\nDisallow: /\n",
        yes("/x/y") + no("/x/y", token="PictureBot X"),
    ),
    # -- rules --
    "case of a path": (only("disallow: /X/"), yes("/x/y") + no("/X/y")),
    "longest, a Disallow": (only("disallow: /x/a.html", "allow: /x/"), no("/x/a.html")),
    "longest, an Allow": (only("allow: /x/a.html", "disallow: /x/"), yes("/x/a.html") + no("/x/")),
    "both empty": (only("disallow: ", "allow: "), yes("/x/a.html")),
    "a tie at the root": (only("disallow: /", "allow: /"), yes("/x/a.html")),
    "a tie": (only("disallow: /x/a.html", "allow: /x/a.html"), yes("/x/a.html")),
    "a tie of folders": (only("allow: /folder", "disallow: /folder"), yes("/folder/page")),
    "with and without the slash": (only("disallow: /x", "allow: /x/"), no("/x") + yes("/x/")),
    "a longer wildcard": (only("allow: /page", "disallow: /*.html"), no("/page.html") + yes("/page")),
    "a wildcard that is longer by one": (only("allow: /page", "disallow: /*.htm"), no("/page.htm")),
    "a shorter wildcard": (
        only("allow: /x/page.", "disallow: /*.html"),
        yes("/x/page.html") + no("/x/y.html"),
    ),
    "a short Allow": (only("allow: /p", "disallow: /"), yes("/page")),
    "only the root": (only("allow: /$", "disallow: /"), yes("/") + no("/page.html")),
    "an Allow in a closed folder": (
        "Sitemap: http://127.0.0.1/s\nUser-agent: *\nDisallow: /ctl/\nAllow: /ctl/admin-ajax.php\n",
        no("/ctl/a", "/ctl/b/index.htm")
        + yes("/index.html", "/ctl/admin-ajax.php", "/ctl/admin-ajax.php?user=1"),
    ),
    "rules on either side of a Sitemap": (
        "User-agent: *\nDisallow: /dump-*\nSitemap: https://127.0.0.1/s\nDisallow: /tf/roles/\n",
        yes("/dump", "/vlog/dump-1", "/tf/a") + no("/dump-", "/dump-7", "/tf/roles/", "/tf/roles/a"),
    ),
    # -- paths, after Google's documentation --
    "/fish": (
        only("disallow: /", "allow: /fish"),
        yes(
            "/fish",
            "/fish.html",
            "/fish/salmon.html",
            "/fishheads",
            "/fishheads/yummy.html",
            "/fish.html?id=any",
        )
        + no("/bar", "/Fish.asp", "/catfish", "/?id=fish"),
    ),
    "/fish*": (
        only("disallow: /", "allow: /fish*"),
        yes(
            "/fish",
            "/fish.html",
            "/fish/salmon.html",
            "/fishheads",
            "/fishheads/yummy.html",
            "/fish.html?id=any",
        )
        + no("/bar", "/Fish.bar", "/catfish", "/?id=fish"),
    ),
    "/fish/": (
        only("disallow: /", "allow: /fish/"),
        yes("/fish/", "/fish/salmon", "/fish/?salmon", "/fish/salmon.html", "/fish/?id=any")
        + no("/bar", "/fish", "/fish.html", "/Fish/Salmon.html"),
    ),
    "/*.php": (
        only("disallow: /", "allow: /*.php"),
        yes("/a.php", "/x/a.php", "/x/a.php?y", "//x/any.php.file.html", "/a.php/", "/index?f=a.php/")
        + no("/bar", "/php/", "/index?php", "/windows.PHP"),
    ),
    "/*.php$": (
        only("disallow: /", "allow: /*.php$"),
        yes("/a.php", "/x/a.php")
        + no("/bar", "/a.php?y", "/a.php/", "/a.php5", "/php/", "/a?php", "/aaaphpaaa", "//windows.PHP"),
    ),
    "/fish*.php": (
        only("disallow: /", "allow: /fish*.php"),
        yes("/fish.php", "/fishheads/catfish.php?y") + no("/bar", "/Fish.PHP"),
    ),
    "a star between slashes": (
        "User-agent: *\nDisallow: /chat/view/\nDisallow: /chat/*/view/$\nDisallow: /?*/\n",
        no("/chat/view/1", "/chat/a/b/view/", "/?user=a/b")
        + yes("/chat/", "/chat/view", "/chat/a/view/1", "/a/?b=c/d"),
    ),
    "a pattern without a slash after the star": (
        "User-agent: *\nDisallow: /*dispatch$\nDisallow: /*_ctors$\n",
        no("/baz/dispatch", "/new_ctors") + yes("/baz/dispatch?a=1", "/a/ctors"),
    ),
    "anchors and queries": (
        "User-Agent: *\nDisallow: /error$\nDisallow: /log\nDisallow: /act$\nDisallow: /act?\n",
        no("/error", "/log", "/act", "/act?id=1") + yes("/error?user=a", "/act/new"),
    ),
    "many stars": (
        QUERIES,
        [
            *yes("/a.js", "/x?ref=y", "/x", "/status/x", "/id/2", "/a-b-c-d-3216", "/x?page&format=js"),
            *no("/x?y", "/stat/x", "/id/13", "/a_a_pattern_=1", "/a-b-c-d-321", "/-0-0-3", "/x&format=json"),
        ],
    ),
    # -- special characters --
    "a star amid": (
        only("Disallow: /foo/bar/quz", "Allow: /foo/*/qux"),
        no("/foo/bar/quz") + yes("/foo/quz", "/foo//quz", "/foo/bax/quz"),
    ),
    "an anchor": (
        only("Disallow: /foo/bar$", "Allow: /foo/bar/qux"),
        no("/foo/bar") + yes("/foo/bar/qux", "/foo/bar/", "/foo/bar/baz"),
    ),
    "comments": (
        only("# Disallow: /", "Disallow: /foo/quz#qux", "Allow: /"),
        yes("/foo/bar") + no("/foo/quz"),
    ),
    # -- encoding --
    "a URL in the query": (
        only("Disallow: /", "Allow: /foo?qux=taz&baz=http://127.0.0.1?tar&par"),
        yes("/foo?qux=taz&baz=http://127.0.0.1?tar&par"),
    ),
    "three octets in the file": (
        only("Disallow: /", "Allow: /foo/ツ"),
        yes("/foo/%E3%83%84") + no("/foo/ツ", deviation="escaping of the URL"),
    ),
    "three octets, encoded": (
        only("Disallow: /", "Allow: /foo/%E3%83%84"),
        yes("/foo/%E3%83%84") + no("/foo/ツ", deviation="escaping of the URL"),
    ),
    "encoded without need": (
        only("Disallow: /", "Allow: /foo/%62%61%7A"),
        yes("/foo/%62%61%7A") + no("/foo/baz", deviation="unreserved escapes"),
    ),
    # -- what is Google's own --
    "index.html": (
        "User-Agent: *\nAllow: /allowed/index.html\nDisallow: /\n",
        [
            *(*no("/allowed/index.htm", "/other"), *yes("/allowed/index.html")),
            *yes("/allowed/", deviation="index.html"),
        ],
    ),
    # -- byte order marks --
    "a mark": (b"\xef\xbb\xbfUser-Agent: PictureBot\nDisallow: /a\n", no("/a")),
    "two octets of a mark": (b"\xef\xbbUser-Agent: PictureBot\nDisallow: /a\n", no("/a")),
    "one octet of a mark": (b"\xefUser-Agent: PictureBot\nDisallow: /a\n", no("/a")),
    "a broken mark": (b"\xef\x11\xbfUser-Agent: PictureBot\nDisallow: /a\n", yes("/a")),
    "a mark further down": (
        b"User-Agent: PictureBot\n\xef\xbb\xbfDisallow: /a\n",
        yes("/a", deviation="byte order mark"),
    ),
}


def read(robots: str | bytes) -> Robots:
    return parse(robots if isinstance(robots, bytes) else robots.encode())


@pytest.mark.parametrize(
    ("robots", "case"),
    [
        pytest.param(robots, case, id=f"{name}: {case.token} {case.path}")
        for name, (robots, cases) in CASES.items()
        for case in cases
    ],
)
def test_access(robots, case):
    found = split_url("http://127.0.0.1" + case.path)
    assert found is not None
    allowed = not access(read(robots), case.token, found[1], SOURCE).statements
    if case.deviation:
        assert GOOGLE in BY_NAME[case.deviation].peers
        assert allowed is not case.allowed, "no deviation any more"
    else:
        assert allowed is case.allowed


@pytest.mark.parametrize(
    ("token", "valid"),
    [
        pytest.param("Foobot", True, id="letters"),
        pytest.param("Foobot-Bar", True, id="hyphen"),
        pytest.param("Foo_Bar", True, id="underscore"),
        pytest.param("", False, id="empty"),
        pytest.param("ツ", False, id="other letters"),
        pytest.param("Foobot*", False, id="star"),
        pytest.param(" Foobot ", False, id="spaces around"),
        pytest.param("Foobot/2.1", False, id="version"),
        pytest.param("Foobot Bar", False, id="space"),
    ],
)
def test_valid_token(token, valid):
    assert valid_token(token) is valid


# What Google cuts from a line; ours are longer than any URL that is judged.
LINE_MAX = 2083 * 8


@pytest.mark.parametrize(
    ("robots", "path", "allowed"),
    [
        pytest.param(only("disallow: /x/{}/qux"), "/fux", True, id="it matches nothing else"),
        pytest.param(only("disallow: /x/{}/qux"), "/x/{}/fux", True, id="a Disallow is not cut"),
        pytest.param(only("disallow: /x/{}/qux"), "/x/{}/qux", False, id="a Disallow as it stands"),
        pytest.param(only("disallow: /", "allow: /x/{}/qux"), "/x/{}/qux", True, id="an Allow as it stands"),
        pytest.param(only("disallow: /", "allow: /x/{}/qux"), "/x/{}/fux", False, id="an Allow is not cut"),
    ],
)
def test_long_lines(robots, path, allowed):
    assert GOOGLE in BY_NAME["long lines"].peers
    long = "a" * LINE_MAX
    rule = read(robots.format(long)).group(BOT).match(path.format(long))
    assert (rule is None or rule.allow) is allowed


@pytest.mark.parametrize(
    "ends",
    [
        pytest.param(["\n"] * 6, id="LF"),
        pytest.param(["\r\n"] * 6, id="CRLF"),
        pytest.param(["\r"] * 6, id="CR"),
        pytest.param(["\n"] * 5 + [""], id="none at the end"),
        pytest.param(["\n", "\r\n", "\n", "\r\n", "\n", ""], id="mixed"),
    ],
)
def test_line_numbers(ends):
    lines = ["User-Agent: foo", "Allow: /some/path", "User-Agent: bar", "", "", "Disallow: /"]
    robots = read("".join(line + end for line, end in zip(lines, ends, strict=True)))
    assert [rule.line for rule in robots.group("foo").rules] == [2]
    assert [rule.line for rule in robots.group("bar").rules] == [6]


@pytest.mark.parametrize(
    ("body", "rules", "records"),
    [
        pytest.param(b"\xef\xbb\xbfUser-Agent: *\nAllow: /a\n", 1, 0, id="a mark"),
        pytest.param(b"\xef\xbbUser-Agent: *\nAllow: /a\n", 1, 0, id="two octets of one"),
        pytest.param(b"\xefUser-Agent: *\nAllow: /a\n", 1, 0, id="one octet of one"),
        pytest.param(
            b"\xff\xfeU\0s\0e\0r\0-\0a\0g\0e\0n\0t\0:\0*\0\n\0A\0l\0l\0o\0w\0:\0/\0", 1, 0, id="UTF-16"
        ),
        pytest.param("User-Agent: *\nAllow: /a\n".encode("utf-16-be"), 1, 0, id="UTF-16 without a mark"),
        pytest.param(
            b"\xfe\xff" + "User-Agent: *\nAllow: /a\n".encode("utf-16-be"), 1, 0, id="UTF-16, other end first"
        ),
        pytest.param(b"\xef\x11\xbfUser-Agent: *\nAllow: /a\n", 0, 1, id="a broken one"),
    ],
)
def test_byte_order_marks(body, rules, records):
    robots = parse(body)
    assert (len(robots.group(BOT).rules), len(robots.preamble)) == (rules, records)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "User-Agent: A\nAllow: /a\nUser-Agent: B\n\n\nSitemap: http://127.0.0.1/s\n", id="at the end"
        ),
        pytest.param(
            "Sitemap: http://127.0.0.1/s\nUser-Agent: A\nAllow: /a\nUser-Agent: B\n", id="at the start"
        ),
    ],
)
def test_sitemap(text):
    robots = read(text)
    lines = [*robots.preamble, *robots.group("B").records]
    assert [(line.key, line.value) for line in lines] == [("sitemap", "http://127.0.0.1/s")]


@pytest.mark.parametrize(
    ("url", "target"),
    [
        pytest.param("http://www.example.com", "/", id="no path"),
        pytest.param("http://www.example.com/", "/", id="root"),
        pytest.param("http://www.example.com/a", "/a", id="a file"),
        pytest.param("http://www.example.com/a/", "/a/", id="a folder"),
        pytest.param(
            "http://www.example.com/a/b?c=http://d.e/", "/a/b?c=http://d.e/", id="a URL in the query"
        ),
        pytest.param("http://www.example.com/a/b?c=d&e=f#fragment", "/a/b?c=d&e=f", id="a fragment"),
        pytest.param("http://example.com?a", "/?a", id="a query without a path"),
        pytest.param("http://example.com/a;b#c", "/a;b", id="a parameter"),
        pytest.param("", None, id="empty URL"),
        pytest.param("example.com/a", None, id="no scheme"),
        pytest.param("/a", None, id="no host"),
        pytest.param("//a/b/c", None, id="relative to a scheme"),
    ],
)
def test_path_of_a_url(url, target):
    assert GOOGLE in BY_NAME["empty URL"].peers
    found = split_url(url)
    assert (found and found[1]) == target


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param("http://www.example.com", "http://www.example.com", id="a URL"),
        pytest.param("/a/b/c", "/a/b/c", id="a path"),
        pytest.param("á", "%C3%A1", id="not ASCII"),
        pytest.param("%aa", "%AA", id="an escape in lower case"),
    ],
)
def test_escaped_pattern(pattern, expected):
    assert canonical(pattern) == expected
