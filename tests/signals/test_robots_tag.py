from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.model import NOTHING, Evidence, Preference, Purpose, Reading, Reason, Source, Strength
from heedful.signals.robots_tag import VALUE_MAX, read

SOURCE = Source("http://127.0.0.1/a.jpg", None, 1.0)


def reading(*lines: str) -> Reading:
    return read(tuple(("Robots-Tag", line) for line in lines), "PictureBot", SOURCE)


def rules(*lines: str) -> list[str]:
    return [statement.rule for statement in reading(*lines).statements]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([], [], id="no-header"),
        pytest.param([""], [], id="empty-list"),
        pytest.param(["*;noai"], ["noai"], id="star"),
        pytest.param(["*;nosnippet, ExampleBot;noindex"], [], id="draft"),
        pytest.param(["*;noindex, ExampleBot;nosnippet"], ["noindex"], id="index-rule"),
        pytest.param(["*;noai;noimageai;noml"], ["noai", "noimageai", "noml"], id="several-rules"),
        pytest.param(["* ;noai"], [], id="space-before-semicolon"),
        pytest.param(["*; noai"], ["noai"], id="space-after-semicolon"),
        pytest.param(["PictureBot;noai"], ["noai"], id="own-token"),
        pytest.param(["picturebot;noai"], ["noai"], id="token-case"),
        pytest.param(['"PictureBot";noai'], ["noai"], id="string"),
        pytest.param(['"*";noai'], ["noai"], id="star-as-string"),
        pytest.param(["PictureBot/1.0;noai"], ["noai"], id="version"),
        pytest.param(["PictureBotX;noai, Picture;noai"], [], id="whole-token"),
        pytest.param(["ExampleBot;noai"], [], id="other-bot"),
        pytest.param(["ExampleBot;noai, *;noml"], ["noml"], id="scope-ends-with-the-member"),
        pytest.param(["(ExampleBot PictureBot);noai"], ["noai"], id="inner-list"),
        pytest.param(["(ExampleBot OtherBot);noai"], [], id="inner-list-of-others"),
        pytest.param(["*;noai=?0"], [], id="not-set"),
        pytest.param(["*;noai=?1"], ["noai"], id="set"),
        pytest.param(["*;noai=0"], ["noai"], id="some-value"),
        pytest.param(["*;noai;noai=?0"], [], id="last-of-equal-parameters"),
        pytest.param(["*;max-snippet=20;noai"], ["noai"], id="value-rule"),
        pytest.param(["*;noai, *;noai"], ["noai"], id="said-twice"),
        pytest.param(["*;noaix;xnoai"], [], id="whole-words"),
        pytest.param(["1;noai, @1;noai, ?1;noai, :YQ==:;noai"], [], id="no-bots"),
        pytest.param(["*", "PictureBot"], [], id="no-rules"),
        pytest.param(["noai, noimageai"], [], id="bots-of-that-name"),
        pytest.param(["*:noai"], [], id="one-token"),
        pytest.param(["ExampleBot;noai", "*;noml"], ["noml"], id="lines"),
        pytest.param(["*;noai", "*;noml"], ["noai", "noml"], id="lines-add-up"),
        pytest.param(["*;noai", ""], ["noai"], id="empty-line"),
    ],
)
def test_rules(lines, expected):
    assert rules(*lines) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(["*;NoAI"], ["noai"], id="upper-case-rule"),
        pytest.param(["*;noai,"], ["noai"], id="trailing-comma"),
        pytest.param(["*;noai;"], [], id="trailing-semicolon"),
        pytest.param(["*;noai, ExampleBot;;"], ["noai"], id="broken-elsewhere"),
        pytest.param(["ExampleBot;noai;, *;noml"], ["noml"], id="broken-for-others"),
        pytest.param(["*;noai;, ExampleBot"], [], id="broken-piece"),
        pytest.param(["*: noai"], [], id="x-robots-tag-notation"),
        pytest.param(["ExampleBot;NOAI"], [], id="other-bot"),
        pytest.param(["*;noai=?0, ,"], [], id="not-set"),
        pytest.param(["*;noai", "\xe9"], ["noai"], id="broken-line"),
        pytest.param(["(PictureBot;noai"], [], id="inner-list-not-closed"),
        pytest.param(["*;noml, " * VALUE_MAX], ["noml"], id="too-long"),
    ],
)
def test_malformed_lists_deny_by_their_pieces(lines, expected):
    assert rules(*lines) == expected
    (warning,) = reading(*lines).warnings
    assert warning.signal is Reason.ROBOTS_TAG


@pytest.mark.parametrize(
    ("rule", "switch", "strength"),
    [
        pytest.param("noai", None, Strength.EXPLICIT, id="noai"),
        pytest.param("noindex", "index_rules", Strength.EXPLICIT, id="noindex"),
        pytest.param("none", "index_rules", Strength.EXPLICIT, id="none"),
        pytest.param("noimageindex", "index_rules", Strength.EXPLICIT, id="noimageindex"),
        pytest.param("noarchive", "cache_rules", Strength.SOFT, id="noarchive"),
    ],
)
def test_statement(rule, switch, strength):
    headers = (("robots-TAG", "ExampleBot"), ("Server", "x"), ("Robots-Tag", f"*;{rule}"))
    (statement,) = read(headers, "PictureBot", SOURCE).statements
    assert statement.signal is Reason.ROBOTS_TAG
    assert statement.preference is Preference.DISALLOW
    assert (statement.rule, statement.switch, statement.strength) == (rule, switch, strength)
    assert statement.covers is Purpose.TRAIN_ANY
    assert statement.evidence == Evidence(
        "http://127.0.0.1/a.jpg", "header Robots-Tag", f"ExampleBot, *;{rule}", None, 1.0
    )


def test_other_headers_are_not_read():
    assert read((("X-Robots-Tag", "*;noai"), ("Robots", "*;noai")), "PictureBot", SOURCE) is NOTHING


words = st.sampled_from(
    ["*", "PictureBot", ";noai", ";noml", ";NoAI", "=?0", ",", ";", " ", '"', "(", ")", "Bot"]
)
lines = st.lists(words, max_size=12).map("".join) | st.text(max_size=40)


@given(st.lists(lines, max_size=4), st.text(max_size=10))
def test_total(values, token):
    headers = tuple(("Robots-Tag", value) for value in values)
    for statement in read(headers, token, SOURCE).statements:
        assert statement.preference is Preference.DISALLOW


@given(st.lists(lines, max_size=4))
def test_adding_a_deny_never_removes_one(values):
    assert {"noai", *rules(*values)} <= set(rules(*values, "*;noai"))
