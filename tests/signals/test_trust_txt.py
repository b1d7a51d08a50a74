from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.model import NOTHING, Evidence, Preference, Purpose, Reading, Reason, Source, Strength
from heedful.signals.trust_txt import FAULTS_MAX, PATHS, parse

SOURCE = Source("http://127.0.0.1/.well-known/trust.txt", "ab", 1.0)
DENY, ALLOW = Preference.DISALLOW, Preference.ALLOW


def read(text: str, *, truncated: bool = False) -> Reading:
    return parse(text.encode("utf-8", "surrogateescape"), truncated=truncated).read(SOURCE)


def said(reading: Reading) -> Preference | None:
    assert len(reading.statements) <= 1
    return reading.statements[0].preference if reading.statements else None


FILE = """\
# trust.txt of 127.0.0.1
member=https://www.example/
social=https://social.example/?datatrainingallowed=yes

datatrainingallowed=no
"""


@pytest.mark.parametrize(
    ("text", "expected", "warned"),
    [
        pytest.param("datatrainingallowed=no", DENY, [], id="no"),
        pytest.param("datatrainingallowed=yes", ALLOW, [], id="yes"),
        pytest.param(FILE, DENY, [], id="file"),
        pytest.param("member=https://www.example/", None, [], id="other-variables"),
        pytest.param("DataTrainingAllowed=No", DENY, [], id="case"),
        pytest.param(" datatrainingallowed\t = YES ", ALLOW, [], id="white-space"),
        pytest.param("#datatrainingallowed=yes", None, [], id="comment-line"),
        pytest.param("datatrainingallowed=no # not yes", DENY, [], id="comment"),
        pytest.param("datatrainingallowed=no#x", DENY, [], id="comment-without-space"),
        pytest.param("datatrainingallowed=yes\ndatatrainingallowed=no", DENY, [], id="several"),
        pytest.param("datatrainingallowed=no\ndatatrainingallowed=yes", DENY, [], id="several-reversed"),
        pytest.param("datatrainingallowed=yes\ndatatrainingallowed=yes", ALLOW, [], id="said-twice"),
        pytest.param("datatrainingallowed=", None, ["line 1"], id="empty"),
        pytest.param("datatrainingallowed=false", None, ["line 1"], id="other-value"),
        pytest.param("datatrainingallowed==no", None, ["line 1"], id="two-equals"),
        pytest.param("datatrainingallowed=1\ndatatrainingallowed=no", DENY, ["line 1"], id="error-beside-no"),
        pytest.param("datatrainingallowed", None, [], id="no-equals"),
        pytest.param("datatraining=no", None, [], id="other-name"),
        pytest.param("xdatatrainingallowed=no", None, [], id="longer-name"),
        pytest.param("\ufeffdatatrainingallowed=no", DENY, [], id="byte-order-mark"),
        pytest.param("a=b\r\ndatatrainingallowed=no\r\n", DENY, [], id="crlf"),
        pytest.param("a=b\rdatatrainingallowed=no", DENY, [], id="cr"),
        pytest.param("a=b\u2028datatrainingallowed=yes", None, [], id="not-a-line-break"),
        pytest.param("data\0trainingallowed=no", DENY, [], id="nul"),
        pytest.param("\udce9=\udce9\ndatatrainingallowed=no", DENY, [], id="latin-1"),
        pytest.param("", None, [], id="nothing"),
        pytest.param("<!doctype html>\ndatatrainingallowed=yes", None, [], id="html"),
        pytest.param("\ufeff \r\n<html>\ndatatrainingallowed=no", None, [], id="html-after-white-space"),
    ],
)
def test_file(text, expected, warned):
    reading = read(text)
    assert said(reading) is expected
    assert [warning.evidence.where for warning in reading.warnings] == warned


def test_evidence():
    (statement,) = read(FILE).statements
    assert statement.signal is Reason.TRUST_TXT
    assert statement.rule == "datatrainingallowed=no"
    assert statement.covers is Purpose.TRAIN_ANY
    assert statement.strength is Strength.EXPLICIT
    assert statement.switch is None
    assert statement.evidence == Evidence(SOURCE.url, "line 5", "datatrainingallowed=no", "ab", 1.0)


def test_the_first_line_that_decides_is_the_evidence():
    (statement,) = read("datatrainingallowed=yes\ndatatrainingallowed=No\ndatatrainingallowed=no").statements
    assert (statement.evidence.where, statement.evidence.raw) == ("line 2", "datatrainingallowed=No")


def test_absent_is_nothing():
    assert read("member=https://www.example/") is NOTHING
    assert PATHS == ("/.well-known/trust.txt", "/trust.txt")


def test_warnings_are_bounded():
    assert len(read("datatrainingallowed=x\n" * 100).warnings) == FAULTS_MAX


def test_what_was_cut_off_can_only_deny():
    assert said(read("datatrainingallowed=yes\n", truncated=True)) is None
    assert said(read("datatrainingallowed=no\n", truncated=True)) is DENY


def test_parsed_file_can_be_pickled():
    parsed = parse(FILE.encode())
    assert pickle.loads(pickle.dumps(parsed)) == parsed  # noqa: S301 - our own bytes


lines = st.lists(
    st.tuples(
        st.sampled_from(["datatrainingallowed", "DataTrainingAllowed ", "member", "#", ""]),
        st.sampled_from(["=", " = ", ":", ""]),
        st.sampled_from(["yes", "no", "No", "x", ""]),
    ).map("".join),
    max_size=6,
)


@given(st.binary(max_size=80) | lines.map(lambda some: "\n".join(some).encode()), st.booleans())
def test_nothing_raises(body, truncated):
    assert len(parse(body, truncated=truncated).read(SOURCE).statements) <= 1


@given(lines, lines)
def test_a_no_anywhere_denies(before, after):
    assert said(read("\n".join([*before, "datatrainingallowed=no", *after]))) is DENY
