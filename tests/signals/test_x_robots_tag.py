from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.model import NOTHING, Evidence, Preference, Purpose, Reason, Source, Strength
from heedful.signals.x_robots_tag import AI_RULES, read, scoped_rules

SOURCE = Source("http://127.0.0.1/a.jpg", None, 1.0)


def rules(*lines: str, joined: bool = False) -> list[str]:
    headers = tuple(("X-Robots-Tag", line) for line in lines)
    return [statement.rule for statement in read(headers, "PictureBot", SOURCE, joined=joined).statements]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([], [], id="no-header"),
        pytest.param([""], [], id="empty"),
        pytest.param(["noai"], ["noai"], id="noai"),
        pytest.param(["noimageai"], ["noimageai"], id="noimageai"),
        pytest.param(["noml"], ["noml"], id="noml"),
        pytest.param(["NoAI, NOIMAGEAI"], ["noai", "noimageai"], id="case"),
        pytest.param(["  noai  ,\tnoml"], ["noai", "noml"], id="white-space"),
        pytest.param(["noai,noai"], ["noai"], id="said-twice"),
        pytest.param(["noai;"], ["noai"], id="semicolon"),
        pytest.param(["noai; noimageai"], ["noai", "noimageai"], id="semicolons-between"),
        pytest.param(["noaix, xnoai, no-ai, noai2"], [], id="whole-words"),
        pytest.param(["all"], [], id="all"),
        pytest.param(["nosnippet, nofollow, max-image-preview:large"], [], id="logged-only"),
        pytest.param(["noindex"], ["noindex"], id="noindex"),
        pytest.param(["none, noimageindex"], ["none", "noimageindex"], id="index-rules"),
        pytest.param(["noarchive, nocache"], ["noarchive", "nocache"], id="cache-rules"),
        pytest.param(["googlebot: noai"], [], id="other-bot"),
        pytest.param(["googlebot: nofollow, noai"], [], id="scope-lasts"),
        pytest.param(["noai, googlebot: nofollow"], ["noai"], id="before-the-bot"),
        pytest.param(["picturebot: noai"], ["noai"], id="own-bot"),
        pytest.param(["PictureBot : noai"], ["noai"], id="white-space-before-colon"),
        pytest.param(["PictureBot:noai"], ["noai"], id="no-white-space"),
        pytest.param(["PictureBot/1.0: noai"], ["noai"], id="version"),
        pytest.param(["PictureBotX: noai"], [], id="longer-token"),
        pytest.param(["Picture: noai"], [], id="shorter-token"),
        pytest.param(["googlebot: nofollow, picturebot: noai"], ["noai"], id="next-bot-is-ours"),
        pytest.param(["picturebot: noai, googlebot: noindex"], ["noai"], id="next-bot-is-not"),
        pytest.param(["googlebot: picturebot: noai"], ["noai"], id="bot-after-bot"),
        pytest.param(["googlebot: nofollow, *: noai"], ["noai"], id="star"),
        pytest.param(["*: noai"], ["noai"], id="star-first"),
        pytest.param(["googlebot:, noai"], [], id="bot-alone"),
        pytest.param(["360Spider: nofollow, noai"], [], id="bot-with-digits"),
        pytest.param(["max-snippet:0, noai"], ["noai"], id="max-snippet"),
        pytest.param(["max-snippet : 0, noai"], ["noai"], id="max-snippet-spaced"),
        pytest.param(["max-image-preview: large, noai"], ["noai"], id="max-image-preview"),
        pytest.param(["max-video-preview:-1, noai"], ["noai"], id="max-video-preview"),
        pytest.param(["picturebot: max-snippet:0, noai"], ["noai"], id="value-rule-under-own-bot"),
        pytest.param(["googlebot: max-snippet:0, noai"], [], id="value-rule-under-other-bot"),
        pytest.param(["unavailable_after: 25 Jun 2010 15:00:00 PST, noai"], ["noai"], id="date-plain"),
        pytest.param(["unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, noai"], ["noai"], id="date-rfc822"),
        pytest.param(["unavailable_after: Friday, 25-Jun-10 15:00:00 GMT, noai"], ["noai"], id="date-rfc850"),
        pytest.param(["unavailable_after: 2010-06-25T15:00:00+00:00, noai"], ["noai"], id="date-iso"),
        pytest.param(["unavailable_after: Fri, 2010-06-25T15:00, noai"], ["noai"], id="date-iso-after-day"),
        pytest.param(["unavailable_after: 25 Jun 2010, 15:00:00, noai"], ["noai"], id="date-then-time"),
        pytest.param(["unavailable_after: June 25, 2010 15:00:00, noai"], ["noai"], id="date-american"),
        pytest.param(["bingbot: unavailable_after: Fri, 25 Jun 2010 15:00 GMT, noai"], [], id="date-scoped"),
        pytest.param(["googlebot: nofollow", "noai"], ["noai"], id="lines-apart"),
        pytest.param(["noai", "googlebot: nofollow"], ["noai"], id="first-of-two"),
        pytest.param(["noai", "noimageai"], ["noai", "noimageai"], id="union"),
        pytest.param(["googlebot: noai", "bingbot: noai"], [], id="other-bots"),
    ],
)
def test_rules(lines, expected):
    assert rules(*lines) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("googlebot: nofollow, noai", ["noai"], id="noai"),
        pytest.param("googlebot: nofollow, noimageai, noml", ["noimageai", "noml"], id="others"),
        pytest.param("googlebot: noai", ["noai"], id="scoped"),
        pytest.param("googlebot: nofollow, noindex", [], id="not-noindex"),
    ],
)
def test_joined_lines_end_no_scope(line, expected):
    assert rules(line) == []
    assert rules(line, joined=True) == expected


@pytest.mark.parametrize(
    ("rule", "switch", "strength"),
    [
        pytest.param("noai", None, Strength.EXPLICIT, id="noai"),
        pytest.param("noimageai", None, Strength.EXPLICIT, id="noimageai"),
        pytest.param("noml", None, Strength.EXPLICIT, id="noml"),
        pytest.param("noindex", "index_rules", Strength.EXPLICIT, id="noindex"),
        pytest.param("none", "index_rules", Strength.EXPLICIT, id="none"),
        pytest.param("noimageindex", "index_rules", Strength.EXPLICIT, id="noimageindex"),
        pytest.param("noarchive", "cache_rules", Strength.SOFT, id="noarchive"),
        pytest.param("nocache", "cache_rules", Strength.SOFT, id="nocache"),
    ],
)
def test_statement(rule, switch, strength):
    reading = read((("x-robots-TAG", f"nofollow, {rule}"),), "PictureBot", SOURCE)
    (statement,) = reading.statements
    assert statement.signal is Reason.X_ROBOTS_TAG
    assert statement.preference is Preference.DISALLOW
    assert (statement.rule, statement.switch, statement.strength) == (rule, switch, strength)
    assert statement.covers is Purpose.TRAIN_ANY
    assert statement.evidence == Evidence(
        "http://127.0.0.1/a.jpg", "header X-Robots-Tag", f"nofollow, {rule}", None, 1.0
    )


def test_evidence_numbers_repeated_lines():
    headers = (("X-Robots-Tag", "nofollow"), ("Server", "x"), ("x-robots-tag", "noai"))
    (statement,) = read(headers, "PictureBot", SOURCE).statements
    assert statement.evidence.where == "header X-Robots-Tag (line 2)"
    assert statement.evidence.raw == "noai"


def test_other_headers_are_not_read():
    assert read((("Robots-Tag", "noai"), ("X-Robots", "noai")), "PictureBot", SOURCE) is NOTHING


def test_scoped_rules_name_value_rules():
    line = "max-snippet: 0, Bot/2: unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, noai"
    assert scoped_rules(line) == [("*", "max-snippet"), ("bot", "unavailable_after"), ("bot", "noai")]


WORDS = (
    "noai|noindex|nofollow|googlebot:|picturebot:|*:|max-snippet:|0|25 Jun 15:00|unavailable_after:|,|;|:| "
)
words = st.sampled_from(WORDS.split("|"))
lines = st.lists(words, max_size=12).map("".join) | st.text(max_size=40)


@given(st.lists(lines, max_size=4), st.text(max_size=10), st.booleans())
def test_total_and_adding_a_line_never_removes_a_deny(values, token, joined):
    def denied(some: list[str]) -> set[str]:
        headers = tuple(("X-Robots-Tag", value) for value in some)
        return {s.rule for s in read(headers, token, SOURCE, joined=joined).statements}

    for cut in range(len(values)):
        assert denied(values[:cut]) <= denied(values[: cut + 1])
    assert denied(values) == denied(values[::-1])
    assert "noai" in denied([*values, "noai"])


def rules_of(values: list[str], *, joined: bool = False) -> set[str]:
    headers = tuple(("X-Robots-Tag", value) for value in values)
    return {statement.rule for statement in read(headers, "PictureBot", SOURCE, joined=joined).statements}


@given(st.lists(lines, max_size=4))
def test_lines_are_read_one_by_one_and_their_restrictions_united(values):
    assert rules_of(values) == set().union(*(rules_of([value]) for value in values))


@given(st.lists(lines, max_size=4))
def test_where_lines_were_joined_no_rule_on_ai_is_lost(values):
    alone, joined = rules_of(values), rules_of([", ".join(values)], joined=True)
    assert alone & AI_RULES <= joined
