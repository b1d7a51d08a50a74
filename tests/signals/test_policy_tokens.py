from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.model import Evidence, Preference, Purpose, Reason, Source, Strength
from heedful.signals import robots
from heedful.signals._paths import canonical
from heedful.signals.policy_tokens import read

SOURCE = Source("http://127.0.0.1/robots.txt", "ab", 1.0)


def denied(
    text: str | bytes, target: str = "/art/a.jpg", tokens: tuple[str, ...] = ("No-Train",)
) -> list[str]:
    body = text if isinstance(text, bytes) else text.encode()
    return [each.rule for each in read(robots.parse(body), tokens, canonical(target), SOURCE).statements]


ALL = "Disallow: / for No-Train"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("User-agent: No-Train\nDisallow: /", [ALL], id="all"),
        pytest.param("User-agent: no-train\nDisallow: /", [ALL], id="case"),
        pytest.param("User-agent: No-Train\nDisallow: /art/", ["Disallow: /art/ for No-Train"], id="path"),
        pytest.param("User-agent: No-Train\nDisallow: /b/", [], id="elsewhere"),
        pytest.param("User-agent: No-Train\nDisallow:", [], id="nothing-closed"),
        pytest.param("User-agent: No-Train\nAllow: /", [], id="allowed"),
        pytest.param("User-agent: No-Train\nDisallow: /\nAllow: /art/", [], id="longest-match-allows"),
        pytest.param(
            "User-agent: No-Train\nAllow: /\nDisallow: /art/", ["Disallow: /art/ for No-Train"], id="longest"
        ),
        pytest.param("User-agent: No-Train\nAllow: /art/\nDisallow: /art/", [], id="tie-allows"),
        pytest.param("User-agent: *\nDisallow: /", [], id="never-the-star-group"),
        pytest.param("User-agent: *\nDisallow: /\nUser-agent: No-Train\nAllow: /", [], id="star-beside"),
        pytest.param("User-agent: A\nUser-agent: No-Train\nDisallow: /", [ALL], id="in-a-run"),
        pytest.param(
            "User-agent: No-Train\nDisallow: /b/\nUser-agent: A\nAllow: /\nUser-agent: No-Train\nDisallow: /",
            [ALL],
            id="two-groups",
        ),
        pytest.param("User-agent: No-Train-Images\nDisallow: /", [], id="only-the-start"),
        pytest.param("", [], id="empty-file"),
    ],
)
def test_groups(text, expected):
    assert denied(text) == expected


def test_each_token_by_itself():
    text = "User-agent: A\nDisallow: /\nUser-agent: B\nAllow: /\nUser-agent: C\nDisallow: /art/"
    assert denied(text, tokens=("C", "B", "A", "D")) == ["Disallow: /art/ for C", "Disallow: / for A"]
    assert denied(text, tokens=()) == []
    assert denied("User-agent: *\nDisallow: /", tokens=("*", "")) == []


def test_robots_txt_is_open():
    assert denied("User-agent: No-Train\nDisallow: /", "/robots.txt") == []


def test_evidence():
    body = b"User-agent: No-Train # us\nDisallow: /art/ # all of it"
    (statement,) = read(robots.parse(body), ("No-Train",), "/art/a.jpg", SOURCE).statements
    assert statement.signal is Reason.ROBOTS_POLICY_TOKEN
    assert statement.preference is Preference.DISALLOW
    assert statement.strength is Strength.EXPLICIT
    assert statement.covers is Purpose.TRAIN_ANY
    assert statement.switch is None
    assert statement.evidence == Evidence(SOURCE.url, "line 2", "Disallow: /art/ # all of it", "ab", 1.0)


rows = st.lists(
    st.sampled_from(["User-agent: No-Train", "User-agent: *", "Allow: /a", "Disallow: /", "Disallow:"]),
    max_size=8,
)


@given(st.binary(max_size=60), st.text(max_size=5), st.lists(st.text(max_size=4), max_size=3))
def test_total(body, path, tokens):
    denied(b"User-agent: x\nDisallow:" + body, "/" + path, (*tokens, "x"))


@given(rows)
def test_a_longer_disallow_denies(lines):
    assert denied("\n".join([*lines, "User-agent: No-Train", "Disallow: /art/"]))
