from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.model import NOTHING, RAW_MAX, Evidence, Preference, Purpose, Reason, Source, Strength
from heedful.signals.meta_robots import HTML_MAX, page_headers, read, tags

SOURCE = Source("http://127.0.0.1/page", "ab", 1.0)
NOAI = '<meta name="robots" content="noai">'


def rules(html: str | bytes) -> list[str]:
    return [statement.rule for statement in read(html, "PictureBot", SOURCE).statements]


def meta(content: str, name: str = "robots") -> str:
    return f'<meta name="{name}" content="{content}">'


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        pytest.param("", [], id="empty"),
        pytest.param(meta("noai"), ["noai"], id="noai"),
        pytest.param(meta("noimageai"), ["noimageai"], id="noimageai"),
        pytest.param(meta("noml"), ["noml"], id="noml"),
        pytest.param(meta("noimageindex"), ["noimageindex"], id="noimageindex"),
        pytest.param(meta("noindex, none, noarchive, nocache, nofollow"), [], id="of-the-page-alone"),
        pytest.param(meta("NoAI,NOML"), ["noai", "noml"], id="case"),
        pytest.param(meta(" noai\n,\tnoml "), ["noai", "noml"], id="white-space"),
        pytest.param(meta("noai; noml;"), ["noai", "noml"], id="semicolons"),
        pytest.param(meta("noaix, xnoai, no-ai, noai noml"), [], id="whole-words"),
        pytest.param(meta("max-snippet:0, noai"), ["noai"], id="value-rule"),
        pytest.param(meta("unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, noai"), ["noai"], id="date"),
        pytest.param(meta("googlebot: nofollow, noai"), ["noai"], id="no-bot-prefixes"),
        pytest.param(meta("googlebot: noai"), [], id="no-bot-prefixes-before-rules"),
        pytest.param(meta("noai") + meta("noml"), ["noai", "noml"], id="union"),
        pytest.param(meta("noai") * 2, ["noai"], id="said-twice"),
        pytest.param(meta("all") + meta("noai"), ["noai"], id="after-all"),
        pytest.param(meta("noai&#44; no&#109;l"), ["noai", "noml"], id="character-references"),
        pytest.param(meta("&#" + "9" * 5000 + ", noai"), ["noai"], id="huge-character-reference"),
        pytest.param(meta(""), [], id="no-rules"),
        pytest.param("<meta name=robots>", [], id="no-content"),
    ],
)
def test_content(html, expected):
    assert rules(html) == expected


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        pytest.param("robots", True, id="robots"),
        pytest.param("ROBOTS", True, id="case"),
        pytest.param(" robots ", True, id="white-space"),
        pytest.param("PictureBot", True, id="own-token"),
        pytest.param("picturebot", True, id="own-token-case"),
        pytest.param("googlebot", False, id="other-bot"),
        pytest.param("PictureBotX", False, id="longer-token"),
        pytest.param("Picture", False, id="shorter-token"),
        pytest.param("robots, googlebot", False, id="list"),
        pytest.param("*", False, id="star"),
        pytest.param("", False, id="empty"),
    ],
)
def test_name(name, ours):
    assert rules(meta("noai", name)) == ["noai"] * ours


@pytest.mark.parametrize(
    ("html", "found"),
    [
        pytest.param("<!doctype html><html><head>{}</head></html>", True, id="head"),
        pytest.param("<html><body><p>x<div>{}", True, id="body"),
        pytest.param("</html>{}", True, id="after-the-end"),
        pytest.param("<table><tr>{}", True, id="table"),
        pytest.param("<noscript>{}</noscript>", True, id="noscript"),
        pytest.param("<svg><title/></svg>{}", True, id="after-an-empty-svg-title"),
        pytest.param("<!-- {} -->", False, id="comment"),
        pytest.param("<!-- --{} -->", False, id="comment-with-hyphens"),
        pytest.param("<!-- {}", False, id="comment-not-closed"),
        pytest.param("<!--!>{}-->", False, id="comment-not-closed-at-once"),
        pytest.param("<!-->{}", True, id="comment-closed-at-once"),
        pytest.param("<!--->{}", True, id="comment-closed-almost-at-once"),
        pytest.param("<!-- x --!>{}", True, id="comment-closed-wrongly"),
        pytest.param("<!-- <!--!>{}", True, id="comment-closed-wrongly-in-a-comment"),
        pytest.param("<!---->{}", True, id="comment-of-nothing"),
        pytest.param("<!x>{}", True, id="after-a-declaration"),
        pytest.param("<?x '>{}", True, id="after-an-instruction"),
        pytest.param("</ {}", False, id="bogus-comment"),
        pytest.param("</>{}", True, id="empty-end-tag"),
        pytest.param("<template>{}</template>", False, id="template"),
        pytest.param("<template><template></template>{}</template>", False, id="template-in-template"),
        pytest.param("<template></template></template>{}", True, id="after-templates"),
        pytest.param("<script>'{}'</script>", False, id="script"),
        pytest.param("<SCRIPT src='x'>{}</Script >", False, id="script-case"),
        pytest.param("<script></scripts>{}</script>", False, id="script-end-is-a-whole-word"),
        pytest.param("<script></script>{}", True, id="after-a-script"),
        pytest.param("<script>{}", False, id="script-not-closed"),
        pytest.param("<style>{}</style>", False, id="style"),
        pytest.param("<title>{}</title>", False, id="title"),
        pytest.param("<textarea>{}</textarea>", False, id="textarea"),
        pytest.param("<iframe>{}</iframe>", False, id="iframe"),
        pytest.param('<p title="{}">', False, id="quoted-attribute"),
        pytest.param("<p title='{}'>", False, id="attribute"),
        pytest.param("<p title=it's>{}<p title=it's>", True, id="quote-in-an-unquoted-value"),
        pytest.param('<p a=b="c>{}', True, id="quote-after-an-unquoted-value"),
        pytest.param("<p it's>{}", True, id="quote-in-a-name"),
        pytest.param('<p title="a>b">{}', True, id="quoted-bracket"),
        pytest.param('<p title="a>{}', False, id="quote-not-closed"),
        pytest.param("a < b {}", True, id="less-than"),
        pytest.param("<<p>{}", True, id="two-less-than"),
        pytest.param("\0<\0>{}", True, id="nul"),
    ],
)
def test_place(html, found):
    tag = NOAI.replace('"', "") if '="{}' in html or "'{}" in html else NOAI
    assert rules(html.replace("{}", tag)) == ["noai"] * found


@pytest.mark.parametrize(
    ("tag", "found"),
    [
        pytest.param("<meta name=robots content=noai>", True, id="unquoted"),
        pytest.param("<meta name='robots' content='noai'>", True, id="single-quotes"),
        pytest.param("<META NAME=ROBOTS CONTENT=NOAI>", True, id="case"),
        pytest.param('<meta content="noai" name="robots"/>', True, id="other-order"),
        pytest.param('<meta\nname\n=\n"robots"\tcontent = "noai" />', True, id="white-space"),
        pytest.param('<meta/name="robots"/content="noai">', True, id="slashes"),
        pytest.param('<meta name="robots"content="noai">', True, id="no-white-space"),
        pytest.param('<meta data-x=">" name="robots" content="noai">', True, id="quoted-bracket"),
        pytest.param('<meta name="robots" content="nofollow" content="noai">', False, id="first-content"),
        pytest.param('<meta name="googlebot" name="robots" content="noai">', False, id="first-name"),
        pytest.param('<meta name="robots" data-content="noai">', False, id="other-attribute"),
        pytest.param('<meta property="robots" content="noai">', False, id="property"),
        pytest.param('<meta http-equiv="X-Robots-Tag" content="noai">', False, id="http-equiv"),
        pytest.param('</meta name="robots" content="noai">', False, id="end-tag"),
        pytest.param('<metadata name="robots" content="noai">', False, id="other-tag"),
        pytest.param('&lt;meta name="robots" content="noai">', False, id="escaped"),
        pytest.param('<meta name="robots" content="noai"', False, id="cut-off"),
        pytest.param('<meta name="ro\0bots" content="noai">', False, id="nul"),
    ],
)
def test_tag(tag, found):
    assert rules(tag) == ["noai"] * found
    assert rules(tag.encode()) == ["noai"] * found


@pytest.mark.parametrize(
    "html",
    [
        pytest.param(b"\xef\xbb\xbf" + NOAI.encode(), id="byte-order-mark"),
        pytest.param(b"\xff\xfe" + NOAI.encode("utf-16-le"), id="utf-16-le"),
        pytest.param(b"\xfe\xff" + NOAI.encode("utf-16-be"), id="utf-16-be"),
        pytest.param(b"<title>\xe9</title>" + NOAI.encode(), id="latin-1"),
        pytest.param("<title>\udc80</title>" + NOAI, id="surrogate"),
    ],
)
def test_encodings(html):
    assert rules(html) == ["noai"]


@pytest.mark.parametrize(
    ("rule", "switch"),
    [
        pytest.param("noai", None, id="noai"),
        pytest.param("noimageindex", "index_rules", id="noimageindex"),
    ],
)
def test_statement(rule, switch):
    tag = f"<META name=PictureBot content='index, {rule}'>"
    (statement,) = read(f"<html>{tag}</html>", "PictureBot", SOURCE).statements
    assert statement.signal is Reason.META_ROBOTS
    assert statement.preference is Preference.DISALLOW
    assert (statement.rule, statement.switch) == (rule, switch)
    assert statement.covers is Purpose.TRAIN_ANY
    assert statement.strength is Strength.EXPLICIT
    raw = f'<meta name="PictureBot" content="index, {rule}">'
    assert statement.evidence == Evidence(SOURCE.url, 'meta name="picturebot"', raw, "ab", 1.0)


def test_limits():
    assert rules(" " * (HTML_MAX - len(NOAI)) + NOAI) == ["noai"]
    assert rules(" " * (HTML_MAX - len(NOAI) + 1) + NOAI) == []
    assert rules(b" " * (HTML_MAX - len(NOAI) + 1) + NOAI.encode()) == []
    (statement,) = read(meta("noai, " + "x" * 1000), "PictureBot", SOURCE).statements
    assert len(statement.evidence.raw) == RAW_MAX


@pytest.mark.parametrize(
    "html",
    [
        pytest.param("<div>" * 100_000, id="deep"),
        pytest.param("".join(f"<b a{n}>" for n in range(20_000)) + "<p>x" * 80_000, id="formatting"),
        pytest.param("<" * HTML_MAX, id="less-than"),
        pytest.param("<!--" * 120_000, id="comments"),
        pytest.param("<title>" * 70_000, id="titles"),
        pytest.param("<title></title x" * 30_000, id="title-ends"),
        pytest.param("<a b='" * 80_000, id="quotes"),
        pytest.param("<meta " + "= " * 250_000 + ">", id="equals-signs"),
        pytest.param("<meta a" + " " * 500_000 + "b>", id="spaces"),
        pytest.param("<meta " + " ".join(f"a{n}" for n in range(70_000)) + ">", id="attributes"),
        pytest.param(meta("noai", "x") * 13_000, id="tags"),
    ],
)
def test_hostile_pages_take_linear_time(html):
    started = time.perf_counter()
    assert rules(html) == []
    assert time.perf_counter() - started < 10  # where it is not linear it takes minutes


def test_tags_are_all_that_is_needed():
    others = meta("width=device-width", "viewport") + meta("noindex") + "<!--" + meta("noml") + "-->"
    bots = meta("noml", "googlebot"), meta("nofollow, noai", "PictureBot")
    html = f"<html>{others}{bots[0]}<title>x</title>{bots[1]}{bots[0]}"
    assert tags(html) == bots
    assert read("".join(tags(html)), "PictureBot", SOURCE) == read(html, "PictureBot", SOURCE)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(["noai, noindex"], [("noai", "page's header X-Robots-Tag")], id="rules-for-pictures"),
        pytest.param(["none", "noarchive, noindex"], [], id="of-the-page-alone"),
        pytest.param(
            ["nofollow", "noimageindex"],
            [("noimageindex", "page's header X-Robots-Tag (line 2)")],
            id="noimageindex",
        ),
        pytest.param(["googlebot: noai"], [], id="other-bot"),
        pytest.param(["PictureBot: noml"], [("noml", "page's header X-Robots-Tag")], id="own-token"),
        pytest.param([], [], id="no-header"),
    ],
)
def test_page_headers(lines, expected):
    headers = tuple(("X-Robots-Tag", line) for line in lines)
    statements = page_headers(headers, "PictureBot", SOURCE).statements
    assert [(statement.rule, statement.evidence.where) for statement in statements] == expected
    assert all(statement.signal is Reason.X_ROBOTS_TAG for statement in statements)


def test_page_headers_that_were_joined():
    headers = (("X-Robots-Tag", "googlebot: nofollow, noai"),)
    assert page_headers(headers, "PictureBot", SOURCE) == NOTHING
    assert page_headers(headers, "PictureBot", SOURCE, joined=True).statements


PIECES = """<meta |name=|robots|content=|noml|"|'|>|/|<|<!--|-->|<p |=|<script>|</script>|<title>|\0|&#| """
pieces = st.sampled_from([NOAI, "<template>", "</template>", "\udc80", *PIECES.split("|")])
pages = st.lists(pieces, max_size=14).map("".join) | st.text(max_size=60)


@given(pages | st.binary(max_size=60), st.text(max_size=10))
def test_total(html, token):
    found = read(html, token, SOURCE)
    again = read("".join(tags(html)), token, SOURCE)
    assert [statement.rule for statement in again.statements] == [s.rule for s in found.statements]


@given(pages)
def test_a_tag_at_the_top_denies_and_takes_nothing_away(html):
    assert {"noai", *rules(html)} == set(rules(NOAI + html))
