from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.model import NOTHING, RAW_MAX, Evidence, Preference, Purpose, Reading, Reason, Source, Strength
from heedful.signals._paths import canonical
from heedful.signals.content_usage import VALUE_MAX, compile_rules, read_headers, read_rules

if TYPE_CHECKING:
    from collections.abc import Iterable

SOURCE = Source("http://127.0.0.1/robots.txt", "ab", 1.0)
LABEL = "content_usage_label_aliases"
VALUE = "content_usage_value_aliases"
FALLBACK = "content_usage_category_fallback"

DENY, ALLOW = Preference.DISALLOW, Preference.ALLOW


class Line(NamedTuple):
    number: int
    value: str

    @property
    def raw(self) -> str:
        return f"Content-Usage: {self.value} # comment"


def headers(*lines: str) -> Reading:
    return read_headers(tuple(("Content-Usage", line) for line in lines), SOURCE)


def read_lines(lines: Iterable[Line], target: str) -> Reading:
    return read_rules(compile_rules(lines), target, SOURCE)


def robots(target: str, *values: str) -> Reading:
    return read_lines([Line(number, value) for number, value in enumerate(values, 1)], target)


def said(reading: Reading) -> list[tuple[str, Preference, str | None]]:
    return [(s.rule, s.preference, s.switch) for s in reading.statements]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("train-ai=n", [("train-ai=n", DENY, None)], id="n"),
        pytest.param("train-ai=n;x=1", [("train-ai=n", DENY, None)], id="parameter"),
        pytest.param("train-ai=y, search=n", [("train-ai=y", ALLOW, None)], id="y"),
        pytest.param("search=n", [], id="search"),
        pytest.param("ai-use=n", [], id="ai-use"),
        pytest.param("train-ai=no", [("train-ai=no", DENY, VALUE)], id="no"),
        pytest.param('train-ai="n"', [('train-ai="n"', DENY, VALUE)], id="string"),
        pytest.param("train-ai=?0", [("train-ai=?0", DENY, VALUE)], id="boolean"),
        pytest.param("train-ai=false", [("train-ai=false", DENY, VALUE)], id="false"),
        pytest.param("train-ai", [], id="bare"),
        pytest.param('train-ai=y, train-ai, search=n, search="n"', [], id="last-is-unknown"),
        pytest.param("train-ai;allow=n, train-ai=y", [("train-ai=y", ALLOW, None)], id="last-is-y"),
        pytest.param("train-ai=y, train-ai=n", [("train-ai=n", DENY, None)], id="last-is-n"),
        pytest.param("train-ai=n, train-ai=y", [("train-ai=y", ALLOW, None)], id="last-wins"),
        pytest.param("train-ai=n\t,  search=y", [("train-ai=n", DENY, None)], id="white-space"),
        pytest.param(" \ttrain-ai=n ", [("train-ai=n", DENY, None)], id="white-space-around"),
        pytest.param("train-ai=0", [], id="integer"),
        pytest.param("train-ai=0.0", [], id="decimal"),
        pytest.param("train-ai=:bg==:", [], id="bytes"),
        pytest.param("train-ai=(n)", [], id="inner-list"),
        pytest.param("train-ai=()", [], id="empty-list"),
        pytest.param('train-ai=%"n"', [], id="display-string"),
        pytest.param("train-ai=N", [], id="upper-case-value"),
        pytest.param("train-ai=yes", [], id="yes-is-no-y"),
        pytest.param('train-ai="y"', [], id="string-y"),
        pytest.param("train-ai=?1", [], id="boolean-y"),
        pytest.param("other=n, *=n, train-ai-x=n", [], id="unknown-labels"),
        pytest.param("genai=n", [("genai=n", DENY, LABEL)], id="alias"),
        pytest.param("genai=y", [], id="alias-allows-nothing"),
        pytest.param("genai=no", [("genai=no", DENY, VALUE)], id="alias-of-both"),
        pytest.param(
            "train-ai=y, ai=n", [("train-ai=y", ALLOW, None), ("ai=n", DENY, LABEL)], id="alias-beside-y"
        ),
        pytest.param("", [], id="empty"),
    ],
)
def test_dictionary(value, expected):
    assert headers(value).warnings == ()
    assert said(headers(value)) == expected
    assert said(robots("/a.jpg", value)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("Train-AI=n", [("train-ai=n", DENY, VALUE)], id="upper-case-key"),
        pytest.param("TRAIN-AI=NO", [("train-ai=no", DENY, VALUE)], id="upper-case-value"),
        pytest.param("Train-AI=y", [], id="never-allows"),
        pytest.param("Search=n, train-ai=y", [], id="y-in-a-failing-one"),
        pytest.param("Search=n, train-ai=n", [("train-ai=n", DENY, VALUE)], id="n-in-a-failing-one"),
        pytest.param("train-ai=n,", [("train-ai=n", DENY, VALUE)], id="trailing-comma"),
        pytest.param(",train-ai=n", [("train-ai=n", DENY, VALUE)], id="leading-comma"),
        pytest.param("train-ai=n search=y", [], id="no-comma"),
        pytest.param("train-ai = n", [], id="spaces-around-equals"),
        pytest.param("train-ai=n, \xe9", [("train-ai=n", DENY, VALUE)], id="not-ascii"),
        pytest.param("train-ai=\u24dd", [], id="not-latin-1"),
        pytest.param("train-ai=n, \udcff", [("train-ai=n", DENY, VALUE)], id="surrogate"),
        pytest.param("GENAI=n", [("genai=n", DENY, VALUE)], id="label-alias"),
        pytest.param('x="a, train-ai=n', [("train-ai=n", DENY, VALUE)], id="open-string"),
        pytest.param("train-ai=n, x=((", [("train-ai=n", DENY, VALUE)], id="open-list"),
        pytest.param("Train-AI=n, train-ai=y", [("train-ai=n", DENY, VALUE)], id="any-deny"),
        pytest.param(
            "train-ai=n, x=" + "x" * VALUE_MAX, [("train-ai=n", DENY, VALUE)], id="longer-than-the-limit"
        ),
    ],
)
def test_malformed_dictionary(value, expected):
    for reading in (headers(value), robots("/a.jpg", value)):
        assert said(reading) == expected
        (warning,) = reading.warnings
        assert warning.signal is Reason.CONTENT_USAGE
        assert "RFC 9651" in warning.message
        assert warning.evidence.raw


@pytest.mark.parametrize(
    ("label", "covers"),
    [
        pytest.param("train-ai", Purpose.TRAIN_GENERATIVE, id="train-ai"),
        pytest.param("train-genai", Purpose.TRAIN_GENERATIVE, id="train-genai"),
        pytest.param("genai", Purpose.TRAIN_GENERATIVE, id="genai"),
        pytest.param("ai", Purpose.TRAIN_ANY, id="ai"),
        pytest.param("bots", Purpose.TRAIN_ANY, id="bots"),
        pytest.param("all", Purpose.TRAIN_ANY, id="all"),
        pytest.param("tdm", Purpose.TRAIN_ANY, id="tdm"),
        pytest.param("ai-train", Purpose.TRAIN_ANY, id="ai-train"),
    ],
)
def test_labels(label, covers):
    (statement,) = headers(f"{label}=n").statements
    assert statement.covers is covers
    assert statement.signal is Reason.CONTENT_USAGE
    assert statement.strength is Strength.EXPLICIT
    assert statement.switch == (None if label == "train-ai" else LABEL)
    assert statement.for_purpose(Purpose.TRAIN_ANY) is DENY
    (value_alias,) = headers(f"{label}=no").statements
    assert value_alias.switch == VALUE


@pytest.mark.parametrize(
    ("lines", "expected", "malformed"),
    [
        pytest.param(["search=y", "train-ai=n"], [("train-ai=n", DENY, None)], False, id="second-line"),
        pytest.param(["train-ai=y", "train-ai=n"], [("train-ai=n", DENY, None)], False, id="last-denies"),
        pytest.param(
            ["train-ai=n", "train-ai=y"],
            [("train-ai=y", ALLOW, None), ("train-ai=n", DENY, VALUE)],
            False,
            id="last-allows",
        ),
        pytest.param(["train-ai=n", "train-ai"], [("train-ai=n", DENY, VALUE)], False, id="last-is-unknown"),
        pytest.param(["genai=n", "genai=y"], [("genai=n", DENY, VALUE)], False, id="alias"),
        pytest.param(["genai=n", "search=y"], [("genai=n", DENY, LABEL)], False, id="alias-said-once"),
        pytest.param(["train-ai=n", "Search=n"], [("train-ai=n", DENY, VALUE)], True, id="one-fails"),
        pytest.param(["train-ai=y", "Search=n"], [], True, id="no-allow-when-one-fails"),
        pytest.param(["", "train-ai=n"], [("train-ai=n", DENY, None)], False, id="empty-line"),
    ],
)
def test_repeated_headers(lines, expected, malformed):
    reading = headers(*lines)
    assert said(reading) == expected
    assert bool(reading.warnings) is malformed


def test_header_evidence():
    reading = read_headers((("content-usage", "train-ai=n"), ("CONTENT-USAGE", "train-ai=y")), SOURCE)
    assert [statement.evidence for statement in reading.statements] == [
        Evidence(SOURCE.url, "header Content-Usage", "train-ai=n, train-ai=y", "ab", 1.0),
        Evidence(SOURCE.url, "header Content-Usage (line 1)", "train-ai=n", "ab", 1.0),
    ]


def test_other_headers_are_not_read():
    assert read_headers((("Content-Signal", "train-ai=n"), ("Usage", "train-ai=n")), SOURCE) is NOTHING


@pytest.mark.parametrize(
    ("values", "target", "expected"),
    [
        pytest.param([], "/a", [], id="no-rules"),
        pytest.param(["train-ai=n"], "/a", [("train-ai=n", DENY, None)], id="no-path"),
        pytest.param(["/art/ train-ai=n"], "/art/a", [("/art/ train-ai=n", DENY, None)], id="path"),
        pytest.param(["/art/ train-ai=n"], "/other", [], id="other-path"),
        pytest.param(["/art/\ttrain-ai=n"], "/art/a", [("/art/ train-ai=n", DENY, None)], id="tab"),
        pytest.param(["/art/ \t train-ai=n "], "/art/a", [("/art/ train-ai=n", DENY, None)], id="more-space"),
        pytest.param(["  /art/ train-ai=n"], "/art/a", [("/art/ train-ai=n", DENY, None)], id="space-before"),
        pytest.param(["/art/"], "/art/a", [], id="path-alone"),
        pytest.param(["/*.jpg$ train-ai=n"], "/b/a.jpg", [("/*.jpg$ train-ai=n", DENY, None)], id="wildcard"),
        pytest.param(["/*.jpg$ train-ai=n"], "/a.jpg?x", [], id="anchor"),
        pytest.param(["/a%62 train-ai=n"], "/ab", [("/a%62 train-ai=n", DENY, None)], id="percent"),
        pytest.param(["/?id=1 train-ai=n"], "/?id=1", [("/?id=1 train-ai=n", DENY, None)], id="query"),
        pytest.param(
            ["train-ai=n", "/ai-ok/ train-ai=y"],
            "/ai-ok/a",
            [("/ai-ok/ train-ai=y", ALLOW, None)],
            id="longest-allows",
        ),
        pytest.param(
            ["train-ai=n", "/ai-ok/ train-ai=y"], "/a", [("train-ai=n", DENY, None)], id="not-there"
        ),
        pytest.param(
            ["train-ai=y", "/art/ train-ai=n"],
            "/art/",
            [("/art/ train-ai=n", DENY, None)],
            id="longest-denies",
        ),
        pytest.param(
            ["train-ai=y", "/ train-ai=n"], "/a", [("/ train-ai=n", DENY, None)], id="empty-is-shortest"
        ),
        pytest.param(
            ["/a/ train-ai=y", "/a/ train-ai=n"], "/a/", [("/a/ train-ai=n", DENY, None)], id="same-path"
        ),
        pytest.param(
            ["/a/* train-ai=y", "/a/b train-ai=n"],
            "/a/b",
            [("/a/b train-ai=n", DENY, None)],
            id="same-length",
        ),
        pytest.param(
            ["train-ai=n", "/a/ search=y"], "/a/b", [("train-ai=n", DENY, FALLBACK)], id="longer-says-nothing"
        ),
        pytest.param(
            ["train-ai=y", "/a/ search=y"], "/a/b", [("train-ai=y", ALLOW, FALLBACK)], id="fallback-to-y"
        ),
        pytest.param(
            ["train-ai=n", "/a/ train-ai"], "/a/b", [("train-ai=n", DENY, FALLBACK)], id="longer-is-unknown"
        ),
        pytest.param(["train-ai=n", "/a/"], "/a/b", [("train-ai=n", DENY, FALLBACK)], id="longer-is-empty"),
        pytest.param(
            ["train-ai=n", "/a/ Search=y"], "/a/b", [("train-ai=n", DENY, FALLBACK)], id="longer-is-malformed"
        ),
        pytest.param(
            ["/a/ train-ai=n", "/a/ search=y"],
            "/a/b",
            [("/a/ train-ai=n", DENY, None)],
            id="mentioned-by-one-of-the-longest",
        ),
        pytest.param(
            ["train-ai=y", "/a/ train-ai=no"],
            "/a/b",
            [("train-ai=y", ALLOW, FALLBACK), ("/a/ train-ai=no", DENY, VALUE)],
            id="value-alias-longer",
        ),
        pytest.param(
            ["train-ai=no", "/a/ train-ai=y"],
            "/a/b",
            [("/a/ train-ai=y", ALLOW, None)],
            id="value-alias-shorter",
        ),
        pytest.param(
            ["/a/ train-ai=y", "/a/ train-ai=no"],
            "/a/b",
            [("/a/ train-ai=y", ALLOW, None), ("/a/ train-ai=no", DENY, VALUE)],
            id="value-alias-same-length",
        ),
        pytest.param(
            ["/a/ train-ai=no", "/a/ train-ai=n"],
            "/a/b",
            [("/a/ train-ai=n", DENY, None)],
            id="value-alias-beside-n",
        ),
        pytest.param(
            ["train-ai=y", "/a/ Train-AI=n"],
            "/a/b",
            [("train-ai=y", ALLOW, FALLBACK), ("/a/ train-ai=n", DENY, VALUE)],
            id="re-read",
        ),
        pytest.param(
            ["genai=n", "train-ai=y"],
            "/a",
            [("train-ai=y", ALLOW, None), ("genai=n", DENY, LABEL)],
            id="alias-is-its-own-category",
        ),
        pytest.param(["genai=n", "/a/ search=n"], "/a/b", [("genai=n", DENY, LABEL)], id="alias-shorter"),
        pytest.param(["genai=n", "/a/ genai=y"], "/a/b", [], id="alias-lifted-by-itself"),
        pytest.param(["train-ai=n", "/a/ genai=y"], "/a/b", [("train-ai=n", DENY, FALLBACK)], id="alias-y"),
        pytest.param(["train-ai=n", "train-ai=n"], "/a", [("train-ai=n", DENY, None)], id="said-twice"),
    ],
)
def test_robots(values, target, expected):
    assert said(robots(target, *values)) == expected


def test_robots_evidence():
    reading = read_lines([Line(7, "/a/ train-ai=y"), Line(9, "/a/ train-ai=n, X=1")], "/a/")
    assert [statement.evidence.where for statement in reading.statements] == ["line 7", "line 9"]
    assert reading.statements[0].evidence.raw == "Content-Usage: /a/ train-ai=y # comment"
    assert reading.warnings[0].evidence == reading.statements[1].evidence


def test_a_long_path_is_cut_in_the_rule():
    (statement,) = robots("/a", f"/{'*' * 5000} train-ai=n").statements
    assert len(statement.rule) == RAW_MAX + len(" train-ai=n")


def test_malformed_lines_elsewhere_are_not_warned_of():
    assert robots("/a", "/b X=1", "/b/c X=1") == NOTHING


PIECES = 'train-ai|genai|search|=|y|n|no|?0|"n"|,|, |;|(|)|@9| |\t|/|/a|*|$|A|\xe9'
pieces = st.sampled_from(PIECES.split("|"))
values = st.lists(pieces, max_size=10).map("".join) | st.text(max_size=20)
rules = st.tuples(
    st.sampled_from(["", "/ ", "/a ", "/* ", "/b "]),
    st.sampled_from(["train-ai", "genai", "Train-AI", "search"]),
    st.sampled_from(["=y", "=n", "=no", ""]),
).map("".join)


@given(st.lists(values, max_size=4), st.text(max_size=10))
def test_total(some, path):
    headers(*some)
    robots(canonical("/" + path), *some)


@given(st.lists(rules, max_size=6), st.randoms(use_true_random=False))
def test_order_of_lines_does_not_matter(some, random):
    lines = [Line(number, value) for number, value in enumerate(some, 1)]
    shuffled = random.sample(lines, len(lines))
    first, second = (read_lines(order, "/a") for order in (lines, shuffled))
    assert first.statements == second.statements
    assert set(first.warnings) == set(second.warnings)
