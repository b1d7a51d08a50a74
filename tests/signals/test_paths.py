from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.signals._paths import URL_MAX, PathPattern, canonical, split_url

# What a pattern and a path are made of, so that generated ones often meet.
PIECES = ["/", "a", "b", "ab", ".jpg", "?x=1", "%2F", "%41", "é", "%C3%A9", "%2A", "%24", "%zz", "%"]
paths = st.lists(st.sampled_from(PIECES), max_size=6).map(lambda pieces: "/" + "".join(pieces))
patterns = st.lists(st.sampled_from([*PIECES, "*", "*", "$"]), max_size=7).map("".join)
words = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("/%41%2d%7e", "/A-~", id="unreserved is decoded"),
        pytest.param("/a%2fb", "/a%2Fb", id="an encoded slash stays, in upper case"),
        pytest.param("/a/b", "/a/b", id="a slash stays"),
        pytest.param("/ä", "/%C3%A4", id="non-ASCII is encoded"),
        pytest.param("/%c3%a4", "/%C3%A4", id="encoded non-ASCII"),
        pytest.param("/\udce4", "/%E4", id="an octet that was no UTF-8"),
        pytest.param("/a b|c", "/a%20b%7Cc", id="what no URL may hold is encoded"),
        pytest.param("/a*b$", "/a%2Ab%24", id="literal * and $"),
        pytest.param("/%2a%24", "/%2A%24", id="encoded * and $"),
        pytest.param("/%zz%4", "/%zz%4", id="no escape"),
        pytest.param("/%2541", "/%2541", id="decoded once"),
        pytest.param("/?a=b&c=(d)", "/?a=b&c=(d)", id="other reserved characters stay"),
    ],
)
def test_canonical(text, expected):
    assert canonical(text) == expected
    assert canonical(expected) == expected


@given(words)
def test_canonical_form_is_ascii_and_final(text):
    once = canonical(text)
    assert once.isascii()
    assert canonical(once) == once


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("http://x.example", ("http://x.example", "/"), id="no path"),
        pytest.param("HTTP://X.Example:80/A", ("http://x.example", "/A"), id="case and default port"),
        pytest.param("https://x.example:8443/a", ("https://x.example:8443", "/a"), id="other port"),
        pytest.param("https://u:p@x.example/a", ("https://x.example", "/a"), id="user and password"),
        pytest.param(
            "http://x.example/a?b=c#d", ("http://x.example", "/a?b=c"), id="query kept, fragment not"
        ),
        pytest.param("http://x.example?b", ("http://x.example", "/?b"), id="query without a path"),
        pytest.param("http://x.example/a/./../b", ("http://x.example", "/b"), id="dot segments"),
        pytest.param("http://x.example/a%2e%2Fb", ("http://x.example", "/a.%2Fb"), id="canonical path"),
        pytest.param("http://x.example/é", ("http://x.example", "/%C3%A9"), id="non-ASCII"),
        pytest.param("http://[::1]:81/a", ("http://[::1]:81", "/a"), id="IPv6"),
        pytest.param("ftp://x.example/a", None, id="ftp"),
        pytest.param("file:///a", None, id="file"),
        pytest.param("/a.jpg", None, id="relative"),
        pytest.param("", None, id="empty"),
        pytest.param("http://", None, id="no host"),
        pytest.param("http://x.example/\ud800", None, id="lone surrogate"),
        pytest.param("http://x.example/".ljust(URL_MAX, "a"), ..., id="as long as may be"),
        pytest.param("http://x.example/".ljust(URL_MAX + 1, "a"), None, id="too long"),
    ],
)
def test_split_url(url, expected):
    found = split_url(url)
    assert (found is not None) if expected is ... else (found == expected)


@given(words)
def test_split_url_takes_anything(text):
    assert split_url(text) is None or split_url("http://x.example/" + text) is not None


# The first block is the table of RFC 9309, section 2.2.2, and of Google's documentation.
@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        pytest.param("/", ["/", "/a", "/a/b?c"], [], id="root"),
        pytest.param(
            "/fish", ["/fish", "/fish.html", "/fishheads/a"], ["/Fish", "/catfish", "/?id=fish"], id="prefix"
        ),
        pytest.param("/fish*", ["/fish", "/fish.html", "/fish/a"], ["/Fish", "/catfish"], id="trailing star"),
        pytest.param("/fish/", ["/fish/", "/fish/a?b"], ["/fish", "/fish.html"], id="folder"),
        pytest.param(
            "/*.php", ["/a.php", "/x/a.php?b", "/a.php/", "/a.php5"], ["/", "/windows.PHP"], id="star"
        ),
        pytest.param(
            "/*.php$", ["/a.php", "/x/a.php"], ["/a.php?b", "/a.php/", "/a.php5"], id="star and anchor"
        ),
        pytest.param(
            "/fish*.php", ["/fish.php", "/fishes/cat.php?a"], ["/Fish.php", "/fish.asp"], id="star amid"
        ),
        pytest.param("*.gif$", ["/a.gif", "/b/.gif"], ["/a.gif?b", "/a.gifs"], id="leading star"),
        pytest.param("*.jpg", ["/a.jpg", "/a.jpg?x"], ["/a.png"], id="leading star, no anchor"),
        pytest.param("/a$", ["/a"], ["/ab", "/a/", "/a?"], id="anchor"),
        pytest.param("/$", ["/"], ["/a"], id="only the root"),
        pytest.param("/a$b", ["/a%24b", "/a%24bc"], ["/a", "/ab"], id="a $ elsewhere is literal"),
        pytest.param("/a%24", ["/a%24", "/a%24b"], ["/a", "/a$"], id="encoded $"),
        pytest.param("/a%2A", ["/a%2A", "/a%2Ab"], ["/a", "/ab"], id="encoded *"),
        pytest.param("/a%2Fb", ["/a%2Fb"], ["/a/b"], id="encoded slash"),
        pytest.param("/a/b", ["/a/b"], ["/a%2Fb"], id="plain slash"),
        pytest.param("/%61", ["/a", "/ab"], [], id="encoded unreserved"),
        pytest.param("/ツ", ["/%E3%83%84"], ["/%E3"], id="non-ASCII"),
        pytest.param("*", ["/", "/a"], [], id="star alone"),
        pytest.param("**", ["/", "/a"], [], id="two stars"),
        pytest.param("*$", ["/", "/a"], [], id="star and anchor alone"),
        pytest.param("/a*$", ["/a", "/ab"], ["/b"], id="star before the anchor"),
        pytest.param("/a*a$", ["/aa", "/aba"], ["/a", "/ab"], id="tail does not overlap the head"),
        pytest.param("/*ab*ab", ["/abab", "/ab/ab"], ["/ab", "/aab"], id="parts do not overlap"),
        pytest.param("/*b*b$", ["/bb", "/bab", "/b/b/b"], ["/b", "/ba"], id="tail does not overlap a part"),
        pytest.param("$", [], ["/", "/a"], id="anchor alone"),
        pytest.param("a", [], ["/a", "/"], id="no leading slash"),
    ],
)
def test_pattern(pattern, matching, other):
    compiled = PathPattern(pattern)
    assert [target for target in matching if not compiled.matches(target)] == []
    assert [target for target in other if compiled.matches(target)] == []


@pytest.mark.parametrize(
    ("pattern", "length", "head", "literal"),
    [
        pytest.param("/a", 2, "/a", True, id="plain"),
        pytest.param("/é", 7, "/%C3%A9", True, id="octets of the encoded form"),
        pytest.param("/%61", 2, "/a", True, id="octets of the decoded form"),
        pytest.param("/a*", 3, "/a", True, id="the star counts"),
        pytest.param("/a$", 3, "/a", False, id="the anchor counts"),
        pytest.param("/a*b*c$", 7, "/a", False, id="all count"),
        pytest.param("*", 1, "", True, id="star alone"),
    ],
)
def test_pattern_length(pattern, length, head, literal):
    compiled = PathPattern(pattern)
    assert (compiled.length, compiled.head, compiled.literal) == (length, head, literal)


@given(patterns, paths)
def test_pattern_means_what_its_expression_means(pattern, path):
    anchored = pattern.endswith("$")
    parts = (pattern[:-1] if anchored else pattern).split("*")
    expression = ".*".join(re.escape(canonical(part)) for part in parts) + (r"\Z" if anchored else "")
    target = canonical(path)
    assert PathPattern(pattern).matches(target) == bool(re.match(expression, target))


def test_many_stars_are_no_exponential_search():
    assert not PathPattern("/" + "a*" * 5000 + "b").matches("/" + "a" * URL_MAX)
