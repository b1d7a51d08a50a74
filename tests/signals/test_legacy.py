from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.model import NOTHING, RAW_MAX, Evidence, Preference, Purpose, Reading, Reason, Source, Strength
from heedful.signals import robots
from heedful.signals._paths import canonical
from heedful.signals.legacy import FAULTS_MAX, LINES_MAX, read

SOURCE = Source("http://127.0.0.1/robots.txt", "ab", 1.0)
NO, YES = "DisallowAITraining", "AllowAITraining"


def reading(text: str | bytes, target: str = "/art/a.jpg") -> Reading:
    body = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return read(robots.parse(body), "PictureBot", canonical(target), SOURCE)


def denied(text: str | bytes, target: str = "/art/a.jpg") -> list[str]:
    return [each.rule for each in reading(text, target).statements]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(f"{NO}: /", f"{NO}: /", id="all"),
        pytest.param(f"{NO}:", f"{NO}:", id="no-path-is-everything"),
        pytest.param(f"{NO}:   # all", f"{NO}:", id="only-a-comment"),
        pytest.param(f"{NO}: /art/", f"{NO}: /art/", id="path"),
        pytest.param(f"{NO}: /b/", None, id="elsewhere"),
        pytest.param(f"{NO}: *.jpg$", f"{NO}: *.jpg$", id="wildcards"),
        pytest.param(f"{NO}: *.png$", None, id="wildcards-elsewhere"),
        pytest.param(f"{NO}: /%61rt/", f"{NO}: /%61rt/", id="percent"),
        pytest.param("disallowaitraining: /", f"{NO}: /", id="lower-case"),
        pytest.param("DISALLOWAITRAINING : /", f"{NO}: /", id="upper-case-and-space"),
        pytest.param("Disallow-AI-Training: /", None, id="another-key"),
        pytest.param(f"# {NO}: /", None, id="comment"),
        pytest.param(f"{YES}: /", None, id="allow-says-nothing"),
        pytest.param(f"{YES}:\n{YES}: /art/", None, id="allows-say-nothing"),
        pytest.param(f"{NO}: /\n{YES}: /art/", None, id="longest-allows"),
        pytest.param(f"{YES}: /\n{NO}: /art/", f"{NO}: /art/", id="longest-denies"),
        pytest.param(f"{NO}: /\n{YES}: /b/", f"{NO}: /", id="exempt-elsewhere"),
        pytest.param(f"{YES}: /art/\n{NO}: /art/", f"{NO}: /art/", id="tie"),
        pytest.param(f"{NO}: /art/\n{YES}: /art/", f"{NO}: /art/", id="tie-reversed"),
        pytest.param(f"{YES}: /*rt/\n{NO}: /art/", f"{NO}: /art/", id="tie-of-unlike-patterns"),
        pytest.param(f"{NO}:\n{YES}:", f"{NO}:", id="tie-without-paths"),
        pytest.param(f"{NO}:\n{YES}: /", None, id="no-path-is-shortest"),
        pytest.param(f"{YES}:\n{NO}: /", f"{NO}: /", id="allow-without-path"),
        pytest.param(f"{NO}: art/", None, id="relative"),
        pytest.param(f"{NO}: yes", None, id="no-path-at-all"),
        pytest.param(f"{NO}: /art/ /b/", None, id="the-whole-value-is-the-path"),
    ],
)
def test_lines(lines, expected):
    for text in (f"User-agent: *\nAllow: /\n{lines}", lines):
        assert denied(text) == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f"User-agent: PictureBot\n{NO}: /", [f"{NO}: /"], id="own-group"),
        pytest.param(f"User-agent: Other\n{NO}: /", [], id="anothers"),
        pytest.param(
            f"User-agent: *\n{NO}: /\nAllow: /\nUser-agent: PictureBot\nAllow: /",
            [],
            id="own-group-replaces-star",
        ),
        pytest.param(f"{NO}: /\nUser-agent: PictureBot\nAllow: /", [f"{NO}: /"], id="global"),
        pytest.param(f"{NO}: /\nUser-agent: *\n{YES}: /art/", [], id="global-and-group-together"),
        pytest.param(f"User-agent: Other\n{NO}: /\nUser-agent: *\nAllow: /", [f"{NO}: /"], id="ends-no-run"),
        pytest.param(f"User-agent: *\nDisallow: /\n{YES}: /", [], id="no-rule-of-access"),
        pytest.param("User-agent: *\nDisallow: /", [], id="no-such-lines"),
    ],
)
def test_groups(text, expected):
    assert denied(text) == expected


def test_evidence():
    (statement,) = reading(f"User-agent: *\n{NO}: /a\n{NO.lower()}: /art/ # mine").statements
    assert statement.signal is Reason.ROBOTS_LEGACY
    assert statement.preference is Preference.DISALLOW
    assert statement.strength is Strength.EXPLICIT
    assert statement.covers is Purpose.TRAIN_ANY
    assert statement.switch == "legacy_rules"
    assert statement.evidence == Evidence(SOURCE.url, "line 3", f"{NO.lower()}: /art/ # mine", "ab", 1.0)


def test_warning():
    read_so = reading(f"{NO}: art/\n{NO}: /art/")
    assert [each.rule for each in read_so.statements] == [f"{NO}: /art/"]
    (warning,) = read_so.warnings
    assert warning.signal is Reason.ROBOTS_LEGACY
    assert warning.evidence == Evidence(SOURCE.url, "line 1", f"{NO}: art/", "ab", 1.0)


def test_nothing_without_such_lines():
    assert reading("User-agent: *\nDisallow: /\nSitemap: http://127.0.0.1/s") is NOTHING


def test_limits():
    assert len(reading(f"{NO}: x\n" * 100).warnings) == FAULTS_MAX
    read_so = reading(f"{NO}: /b/\n" * LINES_MAX + f"{NO}: /\n")
    assert read_so.statements == ()
    assert [each.evidence.where for each in read_so.warnings] == [f"line {LINES_MAX + 1}"]
    (statement,) = reading(f"{NO}: /{'*' * 1000}").statements
    assert len(statement.evidence.raw) == RAW_MAX
    assert len(statement.rule) < RAW_MAX + 30


paths = st.sampled_from(["", "/", "/art/", "*.jpg", "/*a", "/b/", "x"]) | st.text(max_size=4)
lines = st.lists(
    st.sampled_from(["User-agent: *", "User-agent: PictureBot", "Allow: /"])
    | st.tuples(st.sampled_from([NO, YES]), paths).map(": ".join),
    max_size=8,
)


@given(st.binary(max_size=60), st.text(max_size=5))
def test_total(body, path):
    reading(b"DisallowAITraining:" + body, "/" + path)


@given(lines, st.integers(0, 8), paths)
def test_one_more_disallow_never_lifts_a_denial(some, at, path):
    more = [*some[:at], f"{NO}: {path}", *some[at:]]
    assert len(denied("\n".join(more))) >= len(denied("\n".join(some)))


@given(lines)
def test_allow_lines_alone_deny_nothing(some):
    assert denied("\n".join(line for line in some if not line.startswith(NO))) == []
