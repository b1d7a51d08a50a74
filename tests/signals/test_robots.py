from __future__ import annotations

import pickle
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protego import Protego

from heedful.model import RAW_MAX, Evidence, Preference, Reason, Source, Strength
from heedful.signals._paths import PathPattern, canonical, split_url
from heedful.signals.robots import (
    FAULTS_MAX,
    ROBOTS_MAX,
    Fault,
    Group,
    Line,
    Robots,
    Rule,
    access,
    parse,
    valid_token,
)

SOURCE = Source("http://127.0.0.1/robots.txt", "ab", 1.0)
TOKEN = "PictureBot"


def read(text: str | bytes) -> Robots:
    return parse(text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape"))


def allowed(text: str | bytes, path: str, token: str = TOKEN) -> bool:
    found = split_url("http://127.0.0.1" + path)
    assert found is not None
    return not access(read(text), token, found[1], SOURCE).statements


def refused(text: str | bytes, *paths: str, token: str = TOKEN) -> list[str]:
    return [path for path in paths if not allowed(text, path, token)]


def rules(group: Group | None) -> list[str] | None:
    return None if group is None else [str(rule) for rule in group.rules]


# -- tokens and groups (RFC 9309, sections 2.2.1 and 2.1) --


@pytest.mark.parametrize(
    ("token", "valid"),
    [
        pytest.param("PictureBot", True, id="letters"),
        pytest.param("Picture-Bot_", True, id="hyphen and underscore"),
        pytest.param("img2dataset", True, id="digits, an extension"),
        pytest.param("", False, id="empty"),
        pytest.param("*", False, id="star"),
        pytest.param("PictureBot/1.0", False, id="version"),
        pytest.param("Picture Bot", False, id="space"),
        pytest.param("PictureBot\n", False, id="line end"),
        pytest.param("Büro", False, id="other letters"),
        pytest.param("Bot٣", False, id="other digits"),
    ],
)
def test_valid_token(token, valid):
    assert valid_token(token) is valid


# Each file disallows `/yes` for the token in question, or nothing.
GROUPS = [
    pytest.param("User-agent: PictureBot\nDisallow: /yes", True, id="named"),
    pytest.param("User-agent: PICTUREBOT\nDisallow: /yes", True, id="case"),
    pytest.param("USER-AGENT: PictureBot\nDISALLOW: /yes", True, id="case of the keys"),
    pytest.param("User-agent: PictureBot/2.1\nDisallow: /yes", True, id="token ends at a slash"),
    pytest.param("User-agent: PictureBot (+http://x/)\nDisallow: /yes", True, id="token ends at a space"),
    pytest.param("User-agent: PictureBot\tx\nDisallow: /yes", True, id="token ends at a tab"),
    pytest.param("User-agent: PictureBot # ours\nDisallow: /yes", True, id="comment after a token"),
    pytest.param("User-agent: PictureBot;x\nDisallow: /yes", False, id="token goes on"),
    pytest.param("User-agent: Picture\nDisallow: /yes", False, id="only a part of our token"),
    pytest.param("User-agent: Bot\nDisallow: /yes", False, id="only the end of our token"),
    pytest.param("User-agent: PictureBots\nDisallow: /yes", False, id="our token is a part"),
    pytest.param("User-agent: Mozilla/5.0 PictureBot\nDisallow: /yes", False, id="a user agent string"),
    pytest.param("User-agent: *\nDisallow: /yes", True, id="star"),
    pytest.param("User-agent: * # all\nDisallow: /yes", True, id="star with a comment"),
    pytest.param("User-agent: *Bot\nDisallow: /yes", False, id="star is no wildcard"),
    pytest.param("User-agent: Other\nDisallow: /yes", False, id="another's"),
    pytest.param(
        "User-agent: *\nDisallow: /yes\n\nUser-agent: PictureBot\nDisallow: /x", False, id="named replaces"
    ),
    pytest.param(
        "User-agent: PictureBot\nDisallow: /x\n\nUser-agent: *\nDisallow: /yes", False, id="in any order"
    ),
    pytest.param("User-agent: *\nDisallow: /yes\nUser-agent: PictureBot\n", False, id="named, without rules"),
    pytest.param(
        "User-agent: *\nDisallow: /yes\nUser-agent: PictureBot\nDisallow:", False, id="named, nothing closed"
    ),
    pytest.param(
        "User-agent: PictureBot\nDisallow: /x\nUser-agent: Other\nDisallow: /y\n"
        "User-agent: picturebot\nDisallow: /yes",
        True,
        id="two groups of ours",
    ),
    pytest.param(
        "User-agent: *\nAllow: /\nUser-agent: Other\nDisallow: /y\nUser-agent: *\nDisallow: /yes",
        True,
        id="two star groups",
    ),
    pytest.param("User-agent: A\nUser-agent: PictureBot\nUser-agent: B\nDisallow: /yes", True, id="a run"),
    pytest.param(
        "User-agent: PictureBot\n\n\nUser-agent: B\n# x\n\nDisallow: /yes", True, id="blank lines end nothing"
    ),
    pytest.param(
        "User-agent: PictureBot\nDisallow: /x\n\nDisallow: /yes", True, id="blank line amid the rules"
    ),
    pytest.param(
        "User-agent: PictureBot\nSitemap: /s\nUser-agent: B\nDisallow: /yes", True, id="Sitemap in a run"
    ),
    pytest.param(
        "User-agent: PictureBot\nContent-Signal: search=yes\nUser-agent: B\nDisallow: /yes",
        True,
        id="Content-Signal in a run",
    ),
    pytest.param(
        "User-agent: PictureBot\nLicense: /l\nUser-agent: B\nDisallow: /yes", True, id="License in a run"
    ),
    pytest.param(
        "User-agent: PictureBot\nCrawl-delay: 5\nUser-agent: B\nDisallow: /yes", True, id="unknown in a run"
    ),
    pytest.param(
        "User-agent: PictureBot\nDisallowAITraining: /\nUser-agent: B\nDisallow: /yes",
        True,
        id="a legacy rule in a run",
    ),
    pytest.param("User-agent: PictureBot\njunk\nUser-agent: B\nDisallow: /yes", True, id="junk in a run"),
    pytest.param(
        "User-agent: PictureBot\nContent-Usage: train-ai=n\nUser-agent: B\nDisallow: /yes",
        False,
        id="Content-Usage ends a run",
    ),
    pytest.param(
        "User-agent: PictureBot\nAllow: /x\nUser-agent: B\nDisallow: /yes", False, id="Allow ends a run"
    ),
    pytest.param(
        "User-agent: PictureBot\nDisallow:\nUser-agent: B\nDisallow: /yes",
        False,
        id="an empty Disallow ends a run",
    ),
    pytest.param(
        "User-agent: PictureBot\nDisallow: /x\nSitemap: /s\nDisallow: /yes", True, id="Sitemap in a group"
    ),
    pytest.param("Disallow: /yes\nUser-agent: *\nDisallow: /x", False, id="a rule before any group"),
    pytest.param("Sitemap: /s\nUser-agent: *\nDisallow: /yes", True, id="a record before any group"),
    pytest.param("User-agent: *\nDisallow: /x\nUser-agent:\nDisallow: /yes", False, id="a group for nobody"),
    pytest.param("User-agent: PictureBot\nUser-agent:\nDisallow: /yes", True, id="nobody in a run"),
]


@pytest.mark.parametrize(("text", "denied"), GROUPS)
@pytest.mark.parametrize(
    "end", [pytest.param("\n", id="LF"), pytest.param("\r\n", id="CRLF"), pytest.param("\r", id="CR")]
)
def test_groups(text, denied, end):
    assert refused(text.replace("\n", end), "/yes/a.jpg", "/no/a.jpg") == (["/yes/a.jpg"] if denied else [])


@pytest.mark.parametrize(
    ("named", "token"),
    [
        pytest.param("Code", "EncodeBot", id="inside"),
        pytest.param("EncodeBot", "Code", id="around"),
        pytest.param("Spider", "imageSpider", id="end"),
        pytest.param("image", "imageSpider", id="start"),
        pytest.param("AI", "AI2Bot", id="letters before a digit"),
        pytest.param("AI2Bot", "AI3Bot", id="other digit"),
        pytest.param("Ai2Bot", "Ai2Bot-Dolma", id="hyphen is a part of the token"),
        pytest.param("\u212abot", "kbot", id="another script's letter"),
    ],
)
def test_tokens_match_as_a_whole(named, token):
    assert allowed(f"User-agent: {named}\nDisallow: /", "/a", token)
    assert read(f"User-agent: {named}\nDisallow: /").explicit(token) is None


@pytest.mark.parametrize("token", ["img2dataset", "IMG2Dataset", "AI2Bot", "a-b_c"])
def test_tokens_as_found_in_the_field(token):
    assert not allowed(f"User-agent: {token}\nDisallow: /", "/a", token.swapcase())


def test_explicit_groups_are_never_the_fallback():
    robots = read(
        "User-agent: *\nDisallow: /a\nUser-agent: A\nUser-agent: B\nDisallow: /b\nUser-agent: b\nDisallow: /c"
    )
    assert rules(robots.explicit("a")) == ["Disallow: /b"]
    assert rules(robots.explicit("B")) == ["Disallow: /b", "Disallow: /c"]
    assert robots.explicit("C") is None
    assert robots.explicit("*") is None
    assert robots.explicit("") is None
    assert rules(robots.group("C")) == rules(robots.group("*")) == ["Disallow: /a"]


def test_groups_are_made_once():
    robots = read("User-agent: *\nDisallow: /a\nUser-agent: A\nDisallow: /b")
    assert robots.group("A") is robots.group("a") is robots.explicit("A")
    assert robots.group("B") is robots.group("C")


def test_no_group_is_an_empty_one():
    group = read("User-agent: A\nDisallow: /").group("B")
    assert (group.rules, group.usage, group.records, group.match("/")) == ((), (), (), None)


# -- rules (RFC 9309, section 2.2.2) --


@pytest.mark.parametrize(
    ("lines", "path", "decides"),
    [
        pytest.param("Disallow: /a", "/b", None, id="none matches"),
        pytest.param("Disallow: /a", "/a/b", "Disallow: /a", id="a prefix"),
        pytest.param("Disallow: /a", "/A", None, id="case matters"),
        pytest.param("Allow: /a\nDisallow: /", "/a/b", "Allow: /a", id="longest, Allow first"),
        pytest.param("Disallow: /\nAllow: /a", "/a/b", "Allow: /a", id="longest, Allow last"),
        pytest.param("Allow: /\nDisallow: /a/b", "/a/b", "Disallow: /a/b", id="longest, a Disallow"),
        pytest.param("Disallow: /a\nAllow: /a", "/a", "Allow: /a", id="tie, Allow last"),
        pytest.param("Allow: /a\nDisallow: /a", "/a", "Allow: /a", id="tie, Allow first"),
        pytest.param("Allow: /\nDisallow: /", "/a", "Allow: /", id="tie at the root"),
        pytest.param("Disallow: /a*\nAllow: /*/b", "/a/b", "Allow: /*/b", id="longest of two wildcards"),
        pytest.param("Disallow: /*/b\nAllow: /a*", "/a/b", "Disallow: /*/b", id="longest of two, a Disallow"),
        pytest.param("Disallow: /a/*\nAllow: /*/a", "/a/a", "Allow: /*/a", id="tie of wildcards"),
        pytest.param("Disallow: /*a\nAllow: /aa", "/aa", "Allow: /aa", id="tie of a wildcard and a prefix"),
        pytest.param("Allow: /*a\nDisallow: /aa", "/aa", "Allow: /*a", id="tie of a prefix and a wildcard"),
        pytest.param("Allow: /a\nDisallow: /a*", "/a", "Disallow: /a*", id="the star counts as an octet"),
        pytest.param("Allow: /a\nDisallow: /a$", "/a", "Disallow: /a$", id="the anchor counts as an octet"),
        pytest.param("Allow: /a****\nDisallow: /abc", "/abc", "Allow: /a****", id="every star counts"),
        pytest.param("Allow: /é\nDisallow: /%c3%A", "/é", "Allow: /é", id="octets are counted, encoded"),
        pytest.param(
            "Disallow: /%61%62%63\nAllow: /abc/", "/abc/", "Allow: /abc/", id="octets are counted, decoded"
        ),
        pytest.param("Disallow:", "/a", None, id="empty Disallow"),
        pytest.param("Allow:\nDisallow: /", "/a", "Disallow: /", id="empty Allow"),
        pytest.param("Disallow: # /a", "/a", None, id="only a comment"),
        pytest.param("Disallow: /a # b", "/a", "Disallow: /a", id="a comment behind"),
        pytest.param("Disallow: /a#b", "/a", "Disallow: /a", id="a comment at once"),
        pytest.param("  Disallow  :  /a  ", "/a", "Disallow: /a", id="white space"),
        pytest.param("\tDisallow\t:\t/a\t", "/a", "Disallow: /a", id="tabs"),
        pytest.param("Disallow:/a", "/a", "Disallow: /a", id="no white space"),
        pytest.param("Disallow: /a:b", "/a:b", "Disallow: /a:b", id="a colon in the pattern"),
        pytest.param("Disallow: *.jpg", "/x/a.jpg?y", "Disallow: *.jpg", id="leading star"),
        pytest.param("Disallow: *.gif$", "/a.gif", "Disallow: *.gif$", id="leading star and anchor"),
        pytest.param("Disallow: *.gif$", "/a.gif?b", None, id="the query is part of the path"),
        pytest.param("Disallow: /*?s=", "/a?s=b", "Disallow: /*?s=", id="a pattern on the query"),
        pytest.param("Disallow: /a%2Fb", "/a/b", None, id="encoded slash against a slash"),
        pytest.param("Disallow: /a/b", "/a%2fb", None, id="slash against an encoded slash"),
        pytest.param("Disallow: /a%2fb", "/a%2Fb", "Disallow: /a%2fb", id="encoded slash against itself"),
        pytest.param("Disallow: /%7ea", "/~a", "Disallow: /%7ea", id="unreserved, encoded in the pattern"),
        pytest.param("Disallow: /~a", "/%7Ea", "Disallow: /~a", id="unreserved, encoded in the path"),
        pytest.param("Disallow: /ツ", "/%E3%83%84", "Disallow: /ツ", id="non-ASCII pattern"),
        pytest.param("Disallow: /%e3%83%84", "/ツ", "Disallow: /%e3%83%84", id="non-ASCII path"),
        pytest.param("Disallow: /\udce9", "/%E9", "Disallow: /\udce9", id="a pattern that is no UTF-8"),
        pytest.param("Disallow: /a%2Ab", "/a*b", "Disallow: /a%2Ab", id="literal star"),
        pytest.param("Disallow: /a%2Ab", "/axb", None, id="literal star is no wildcard"),
        pytest.param("Disallow: /a%24", "/a$b", "Disallow: /a%24", id="literal dollar"),
        pytest.param("Disallow: /a%24", "/a", None, id="literal dollar is no anchor"),
        pytest.param("Allow: /index.html\nDisallow: /", "/", "Disallow: /", id="index.html is not special"),
        pytest.param("Disallow: a", "/a", None, id="no leading slash"),
        pytest.param(
            "Disallow: /robots.txt", "/robots.txt.jpg", "Disallow: /robots.txt", id="not the file itself"
        ),
    ],
)
def test_match(lines, path, decides):
    found = split_url("http://127.0.0.1" + path)
    assert found is not None
    rule = read("User-agent: *\n" + lines).group(TOKEN).match(found[1])
    assert (rule and str(rule)) == decides


@pytest.mark.parametrize("target", ["/robots.txt", "/robots.txt?", "/robots.txt?a=b"])
def test_the_file_itself_is_always_allowed(target):
    assert access(read("User-agent: *\nDisallow: /"), TOKEN, target, SOURCE).statements == ()


# -- lines, malformed and not --


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        pytest.param(b"\xef\xbb\xbfUser-agent: *\nDisallow: /", True, id="BOM"),
        pytest.param(b"\xef\xbb\xbf\xef\xbb\xbfUser-agent: *\nDisallow: /", True, id="two BOMs"),
        pytest.param(
            b"Sitemap: /s\n\xef\xbb\xbfUser-agent: *\nDisallow: /", True, id="BOM where files were joined"
        ),
        pytest.param(
            b"\xef\xbb\xbf \xef\xbb\xbf\nUser-agent: *\nDisallow: /", True, id="only BOMs in a line"
        ),
        pytest.param(b"\0User-\0agent: *\nDis\0allow: \0/", True, id="NULs"),
        pytest.param(b"\xff\xfe\xff\nUser-agent: *\nDisallow: /", True, id="a line that is no UTF-8"),
        pytest.param(b"User-agent: * \xff\nDisallow: /", True, id="a value that is no UTF-8"),
        pytest.param("User-agent: *\u2028Disallow: /", False, id="U+2028 ends no line"),
        pytest.param("User-agent: *\u2029Disallow: /", False, id="U+2029 ends no line"),
        pytest.param("User-agent: *\x85Disallow: /", False, id="U+0085 ends no line"),
        pytest.param("User-agent: *\x0bDisallow: /", False, id="VT ends no line"),
        pytest.param("User-agent: *\x0cDisallow: /", False, id="FF ends no line"),
        pytest.param("User-agent: *\x1cDisallow: /", False, id="FS ends no line"),
        pytest.param("#\x0bUser-agent: *\nDisallow: /", False, id="VT ends no comment"),
        pytest.param("User-agent: *\n\rDisallow: /", True, id="LF CR"),
        pytest.param("User-agent: *\r\r\nDisallow: /", True, id="CR CRLF"),
        pytest.param("User-agent: *\r#\nDisallow: /", True, id="mixed line ends"),
        pytest.param("User-agent: *\n# Disallow: /", False, id="commented out"),
        pytest.param("User-agent:\u00a0*\nDisallow:\u00a0/", True, id="no-break spaces"),
        pytest.param("useragent: *\nDisallow: /", True, id="useragent"),
        pytest.param("User Agent: *\nDisallow: /", True, id="user agent"),
        pytest.param("User-agent *\nDisallow: /", True, id="User-agent without a colon"),
        pytest.param("User agent *\nDisallow: /", True, id="user agent without a colon"),
        pytest.param("User-agent\t*\nDisallow: /", True, id="a tab for the colon"),
        pytest.param("User-agent * x\nDisallow: /", False, id="no colon, two values"),
        pytest.param("User-agent\nDisallow: /", False, id="User-agent alone"),
        pytest.param("User agent\nDisallow: /", False, id="user agent alone"),
        pytest.param("User_agents: *\nDisallow: /", False, id="another key"),
        pytest.param("User-agent: *\ndissallow: /", True, id="dissallow"),
        pytest.param("User-agent: *\nDissalow: /", True, id="dissalow"),
        pytest.param("User-agent: *\nDisalow: /", True, id="disalow"),
        pytest.param("User-agent: *\ndiasllow: /", True, id="diasllow"),
        pytest.param("User-agent: *\ndisallaw: /", True, id="disallaw"),
        pytest.param("User-agent: *\nDisallow /", True, id="Disallow without a colon"),
        pytest.param("User-agent: *\nDisalow /", True, id="misspelt and without a colon"),
        pytest.param("User-agent: *\nDisallow / x", False, id="Disallow, two values"),
        pytest.param("User-agent: *\nDisallow", False, id="Disallow alone"),
        pytest.param("User-agent: *\nNo Disallow: /", False, id="a longer key"),
        pytest.param("User-agent: *\nDisallow: /\nAllow /", True, id="Allow is not repaired"),
        pytest.param("User-agent: *\nDisallow: /\nAlow: /", True, id="Allow may not be misspelt"),
        pytest.param("User-agent: *\n: /\n:\nDisallow: /", True, id="no key"),
        pytest.param("", False, id="empty"),
        pytest.param("\n\n \n", False, id="blank"),
        pytest.param(
            "<!DOCTYPE html>\n<title>404: Not found</title>\n<p>User-agent, Disallow: /</p>", False, id="HTML"
        ),
    ],
)
def test_lines(text, denied):
    assert allowed(text, "/a") is not denied


def test_no_colon_before_a_value_with_one():
    assert refused("User-agent: *\nDisallow /a:b", "/a", "/a:b") == ["/a:b"]


def test_html_gives_neither_rules_nor_groups():
    robots = read("<!DOCTYPE html>\n<html>\n<body style='color: red'>\n<a href='http://x/'>Home</a>\n" * 50)
    assert robots.group(TOKEN).rules == ()
    assert len(robots.warnings) == FAULTS_MAX


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        pytest.param(
            "# x\n\nUser-agent: * # y\nDisallow:\nAllow: *\nSitemap: http://x/#a", [], id="nothing wrong"
        ),
        pytest.param("User-agent: *\nhello", [(2, "neither a rule nor a record", "hello")], id="junk"),
        pytest.param(": x", [(1, "neither a rule nor a record", ": x")], id="no key"),
        pytest.param(
            "Allow: /", [(1, "a rule before the first User-agent line is ignored", "Allow: /")], id="early"
        ),
        pytest.param(
            "Content-Usage: train-ai=n",
            [(1, "a rule before the first User-agent line is ignored", "Content-Usage: train-ai=n")],
            id="early Content-Usage",
        ),
        pytest.param(
            "User-agent: # x", [(1, "User-agent without a product token", "User-agent: # x")], id="no token"
        ),
        pytest.param(
            "useragent: *\nDisalow: /",
            [(1, "read as User-agent", "useragent: *"), (2, "read as Disallow", "Disalow: /")],
            id="misspelt",
        ),
        pytest.param(
            "\r\nUser-agent *\rDisallow /",
            [
                (2, "no colon: read as User-agent", "User-agent *"),
                (3, "no colon: read as Disallow", "Disallow /"),
            ],
            id="no colon",
        ),
        pytest.param(
            "User-agent: *\nDisallow: a",
            [(2, "a pattern that does not start with / or * matches nothing", "Disallow: a")],
            id="no leading slash",
        ),
    ],
)
def test_faults(text, faults):
    assert read(text).warnings == tuple(Fault(*fault) for fault in faults)


# -- records --


def test_records_are_kept_with_their_place():
    robots = read(
        "License: http://x/global # all\n"
        "CONTENT-SIGNAL : ai-train=no\n"
        "Allow: /early\n"
        "User-agent: A\n"
        "Content-Signal: search=yes\n"
        "User-agent: B\n"
        "DisallowAITraining:\n"
        "Content-Usage: /x train-ai=n # no\n"
        "Disallow: /y\n"
        "Sitemap: http://x/s\n"
        "User-agent: a\n"
        "Allow: /z\n"
        "License: http://x/last"
    )
    assert robots.preamble == (
        Line(1, "license", "http://x/global", "License: http://x/global # all"),
        Line(2, "content-signal", "ai-train=no", "CONTENT-SIGNAL : ai-train=no"),
    )
    first = (
        Line(5, "content-signal", "search=yes", "Content-Signal: search=yes"),
        Line(7, "disallowaitraining", "", "DisallowAITraining:"),
        Line(10, "sitemap", "http://x/s", "Sitemap: http://x/s"),
    )
    last = Line(13, "license", "http://x/last", "License: http://x/last")
    usage = (Line(8, "content-usage", "/x train-ai=n", "Content-Usage: /x train-ai=n # no"),)
    disallow = Rule(allow=False, pattern="/y", line=9, raw="Disallow: /y")
    assert robots.group("B").records == first
    assert robots.group("B").usage == usage
    assert robots.group("B").rules == (disallow,)
    assert robots.group("A").records == (*first, last)
    assert robots.group("A").usage == usage
    assert robots.group("A").rules == (disallow, Rule(allow=True, pattern="/z", line=12, raw="Allow: /z"))
    assert robots.trailing == (last,)


@pytest.mark.parametrize(
    ("text", "trailing"),
    [
        pytest.param("License: a", [], id="no group"),
        pytest.param("User-agent: *\nLicense: a", [], id="no rule in the group"),
        pytest.param("User-agent: *\nLicense: a\nAllow: /", [], id="before the last rule"),
        pytest.param(
            "User-agent: *\nLicense: a\nAllow: /\nLicense: b\nHost: c", [4, 5], id="after the last rule"
        ),
        pytest.param("User-agent: *\nContent-Usage: a=y\nLicense: b", [3], id="Content-Usage is a rule"),
        pytest.param("User-agent: *\nAllow: /\nLicense: a\nUser-agent: B", [], id="another group follows"),
    ],
)
def test_trailing_records(text, trailing):
    assert [line.number for line in read(text).trailing] == trailing


def test_a_group_with_records_only_is_one():
    robots = read("User-agent: *\nDisallow: /\n\nUser-agent: PictureBot\nContent-Signal: ai-train=yes")
    assert rules(robots.group(TOKEN)) == []
    assert [line.value for line in robots.group(TOKEN).records] == ["ai-train=yes"]


# -- the limit --

COMPLETE = b"User-agent: *\nDisallow: /a\n"


@pytest.mark.parametrize(
    ("body", "truncated", "paths"),
    [
        pytest.param(COMPLETE + b"Disallow: /b", False, ["/a", "/b"], id="not cut"),
        pytest.param(COMPLETE + b"Disallow: /b", True, ["/a"], id="cut amid a line"),
        pytest.param(COMPLETE + b"Disallow: /b\r", True, ["/a", "/b"], id="cut after CR"),
        pytest.param(COMPLETE, True, ["/a"], id="cut after LF"),
        pytest.param(b"User-agent: *", True, [], id="cut amid the first line"),
        pytest.param(b"", True, [], id="nothing left"),
        pytest.param(COMPLETE + b"#" * (500 * 1024) + b"\nDisallow: /b", False, ["/a", "/b"], id="500 KiB"),
        pytest.param(
            (COMPLETE + b"Disallow: /b").ljust(ROBOTS_MAX, b"b"), False, ["/a", "/b"], id="at the limit"
        ),
        pytest.param(
            (COMPLETE + b"Disallow: /b").ljust(ROBOTS_MAX + 1, b"b"), False, ["/a"], id="above the limit"
        ),
        pytest.param(
            COMPLETE.rjust(ROBOTS_MAX, b"\n") + b"Disallow: /b", False, ["/a"], id="line end at the limit"
        ),
        pytest.param(
            COMPLETE.rjust(ROBOTS_MAX + 1, b"\n") + b"Disallow: /b",
            False,
            ["/a"],
            id="line end just above the limit",
        ),
        pytest.param(COMPLETE.rjust(ROBOTS_MAX + 2, b"\n"), False, [], id="line cut by one octet"),
    ],
)
def test_what_is_cut_off_amid_a_line_is_dropped(body, truncated, paths):
    group = parse(body, truncated=truncated).group(TOKEN)
    assert [rule.pattern[:2] for rule in group.rules] == paths


# -- the reading --


def test_a_refusal_has_its_evidence():
    reading = access(read("User-agent: *\nDisallow: /art/ # no\n"), TOKEN, "/art/a.jpg", SOURCE)
    (statement,) = reading.statements
    assert statement.signal is Reason.ROBOTS_DISALLOW
    assert statement.preference is Preference.DISALLOW
    assert statement.strength is Strength.EXPLICIT
    assert statement.switch is None
    assert statement.rule == "Disallow: /art/"
    assert statement.evidence == Evidence(SOURCE.url, "line 2", "Disallow: /art/ # no", "ab", 1.0)
    assert reading.warnings == ()


def test_an_allow_is_no_statement():
    assert access(read("User-agent: *\nAllow: /"), TOKEN, "/a.jpg", SOURCE) == ((), ())


def test_evidence_is_bounded():
    reading = access(read("User-agent: *\nDisallow: /" + "*" * 9999), TOKEN, "/a", SOURCE)
    (statement,) = reading.statements
    assert len(statement.evidence.raw) == RAW_MAX
    assert len(statement.rule) == len("Disallow: ") + RAW_MAX


def test_faults_become_warnings():
    robots = read("User-agent: *\nDisalow: /a")
    (warning,) = access(robots, TOKEN, "/b", SOURCE).warnings
    assert warning.signal is Reason.ROBOTS_DISALLOW
    assert warning.message == "read as Disallow"
    assert warning.evidence == Evidence(SOURCE.url, "line 2", "Disalow: /a", "ab", 1.0)
    assert access(robots, TOKEN, "/b", SOURCE).warnings == (warning,)
    (other,) = access(robots, TOKEN, "/robots.txt", Source("http://127.0.0.2/robots.txt")).warnings
    assert other.evidence.source_url == "http://127.0.0.2/robots.txt"


def test_a_parsed_file_is_picklable():
    robots = read("User-agent: *\nDisallow: /a*b\nLicense: c")
    assert robots.group(TOKEN).match("/ab") is not None
    copy = pickle.loads(pickle.dumps(robots))  # noqa: S301
    assert copy.group(TOKEN).match("/ab") == robots.group(TOKEN).match("/ab")
    assert copy.trailing == robots.trailing


# -- laws --

PIECES = ["/", "a", "b", "ab/", "abcdef", ".jpg", "?x=1", "%2F", "%41", "é", "*", "$", "%2A"]
patterns = st.lists(st.sampled_from(PIECES), max_size=6).map(lambda pieces: "/" + "".join(pieces))
targets = st.lists(st.sampled_from(PIECES), max_size=8).map(lambda pieces: canonical("/" + "".join(pieces)))
rule_lists = st.lists(st.tuples(st.booleans(), patterns), max_size=60)
FRAGMENTS = [
    *(b"User-agent:", b"user agent", b"Disallow:", b"Allow:", b"Content-Usage:", b"Sitemap:", b"Disalow"),
    *(b" ", b"\t", b"\n", b"\r", b"\0", b"#", b":", b"*", b"$", b"/", b"a", b"PictureBot", b"%2", b"%41"),
    *(b"\xef\xbb\xbf", b"\xff", b"\xc3\xa9", b"\xe2\x80\xa8"),
]
bodies = st.binary() | st.lists(st.sampled_from(FRAGMENTS), max_size=40).map(b"".join)


def group_of(pairs: list[tuple[bool, str]]) -> Group:
    lines = [f"{'Allow' if allow else 'Disallow'}: {pattern}\n" for allow, pattern in pairs]
    return read("User-agent: *\n" + "".join(lines)).group(TOKEN)


@given(bodies, st.text(max_size=8), targets, st.booleans())
def test_nothing_raises(body, token, target, truncated):
    robots = parse(body, truncated=truncated)
    for name in (token, TOKEN, "*"):
        access(robots, name, target, SOURCE)
        robots.explicit(name)
    assert len(robots.warnings) <= FAULTS_MAX


@given(bodies)
def test_every_line_is_found_where_it_says(body):
    text = body.replace(b"\0", b"").decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    robots = parse(body)
    group = robots.group(TOKEN)
    for rule in (*group.rules, *robots.warnings):
        assert lines[rule.line - 1] == rule.raw
    for line in (*group.usage, *group.records, *robots.preamble, *robots.trailing):
        assert lines[line.number - 1] == line.raw


@given(rule_lists, targets)
def test_the_most_specific_rule_decides(pairs, target):
    group = group_of(pairs)
    fitting = [
        (PathPattern(rule.pattern).length, rule.allow, -rule.line)
        for rule in group.rules
        if rule.pattern and PathPattern(rule.pattern).matches(target)
    ]
    found = group.match(target)
    # An Allow's line may be that of an equal pattern further down.
    size = 2 if found and found.allow else 3
    best = max(fitting, default=None)
    assert (found and (PathPattern(found.pattern).length, found.allow, -found.line)[:size]) == (
        best and best[:size]
    )


@given(rule_lists, targets, st.randoms(use_true_random=False))
def test_the_order_of_rules_does_not_matter(pairs, target, rng):
    shuffled = pairs.copy()
    rng.shuffle(shuffled)
    one, other = group_of(pairs).match(target), group_of(shuffled).match(target)
    assert (one and one.allow) == (other and other.allow)


@given(rule_lists, patterns, targets)
def test_a_disallow_more_never_allows(pairs, pattern, target):
    before, after = group_of(pairs).match(target), group_of([*pairs, (False, pattern)]).match(target)
    if before is not None and not before.allow:
        assert after is not None
        assert not after.allow


# -- beside another parser, on files that both read alike --

tokens = st.sampled_from(["picturebot", "other", "third", "*"])
plain = st.lists(st.sampled_from(["a", "b", "/", "ab", ".jpg", "?x=1", "*", "%7E", "é"]), max_size=5).map(
    lambda pieces: "/" + "".join(pieces)
)
file_groups = st.tuples(
    st.lists(tokens, min_size=1, max_size=3),
    st.lists(st.tuples(st.sampled_from(["Allow", "Disallow"]), plain), min_size=1, max_size=6),
)
plain_paths = st.lists(st.sampled_from(["a", "b", "/", "ab", ".jpg", "%7E", "é"]), max_size=6).map(
    lambda pieces: "/" + "".join(pieces)
)


@given(st.lists(file_groups, max_size=4), plain_paths)
def test_protego_agrees(file, path):
    lines: list[str] = []
    for names, pairs in file:
        lines += [f"User-agent: {name}" for name in names]
        lines += [f"{key}: {pattern}" for key, pattern in pairs]
    text = "\n".join(lines)
    assert allowed(text, path) == Protego.parse(text).can_fetch("http://127.0.0.1" + path, TOKEN)


# -- files made to be slow --


def distinct(template: str, count: int) -> str:
    return "".join(template.format(number) for number in range(count))


@pytest.mark.parametrize(
    ("text", "target", "decides"),
    [
        pytest.param("User-agent:*\n" + "Allow:/\n" * 100_000, "/a", "Allow: /", id="equal rules"),
        pytest.param("User-agent:*\n" + distinct("Allow:{}\n", 70_000), "/a", None, id="short rules"),
        pytest.param(
            "User-agent:*\n" + distinct("Allow:/*{:x}\n", 60_000), "/ea5f", "Allow: /*ea5f", id="wildcards"
        ),
        pytest.param(
            "User-agent:*\n" + distinct("Allow:*{:x}$\n", 60_000), "/ea5f", "Allow: *ea5f$", id="anchored"
        ),
        pytest.param(
            distinct("User-agent:a{}\n", 50_000) + "User-agent:*\nAllow:/", "/", "Allow: /", id="long run"
        ),
        pytest.param("User-agent:*\n" * 70_000 + "Allow:/", "/", "Allow: /", id="one name, over and over"),
        pytest.param("User-agent:*\nAllow:/\n" * 45_000, "/", "Allow: /", id="many groups"),
        pytest.param("a\n" * 500_000 + "User-agent:*\nAllow:/", "/", "Allow: /", id="junk"),
        pytest.param("\r" * 900_000 + "User-agent:*\nAllow:/", "/", "Allow: /", id="line ends"),
        pytest.param("b:\n" * 100_000 + "User-agent:*\nAllow:/", "/", "Allow: /", id="records"),
        pytest.param("User-agent:*" + " " * 900_000 + "\nAllow:/", "/", "Allow: /", id="white space"),
        pytest.param(
            "Disallow" + " x" * 400_000 + "\nUser-agent:*\nAllow:/", "/", "Allow: /", id="long line"
        ),
        pytest.param(
            "User-agent:*\nAllow:/\nDisallow:/" + "a*" * 500_000 + "$",
            "/" + "a" * 9000,
            "Allow: /",
            id="stars",
        ),
        pytest.param(
            "User-agent:*\nAllow:/\nDisallow:/" + "%" * 900_000, "/%", "Allow: /", id="percent signs"
        ),
        pytest.param(
            "User-agent:*\nAllow:/\n" + "".join("Disallow:/" + "a" * n + "b\n" for n in range(1000)),
            "/" + "a" * 9000,
            "Allow: /",
            id="a thousand lengths",
        ),
    ],
)
def test_hostile_files_are_read(text, target, decides):
    rule = read(text).group(TOKEN).match(target)
    assert (rule and str(rule)) == decides


def test_a_crowd_of_wildcards_is_searched_like_a_few():
    rng = random.Random(1)
    pairs = [
        (rng.random() < 0.3, "/*" + "".join(rng.choices("abc", k=rng.randint(1, 9)))) for _ in range(2000)
    ]
    group = group_of(pairs)
    for _ in range(200):
        target = "/" + "".join(rng.choices("abc", k=12))
        fitting = [(len(pattern), allow) for allow, pattern in pairs if pattern[2:] in target]
        found = group.match(target)
        assert (found and (len(found.pattern), found.allow)) == max(fitting, default=None)
