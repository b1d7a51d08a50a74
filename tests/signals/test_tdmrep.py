from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.model import NOTHING, RAW_MAX, Evidence, Preference, Purpose, Reading, Reason, Source, Strength
from heedful.signals._paths import canonical
from heedful.signals.tdmrep import ENTRIES_MAX, FAULTS_MAX, TdmRep, parse_file, read_headers

SOURCE = Source("http://127.0.0.1/.well-known/tdmrep.json", "ab", 1.0)
ALIAS = "tdmrep_aliases"
DENY, ALLOW = Preference.DISALLOW, Preference.ALLOW


def said(reading: Reading) -> list[tuple[Preference, str | None]]:
    return [(statement.preference, statement.switch) for statement in reading.statements]


def headers(*lines: str) -> Reading:
    return read_headers(tuple(("tdm-reservation", line) for line in lines), SOURCE)


def read(data: object, target: str = "/a.jpg") -> Reading:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    return parse_file(body).read(target, SOURCE)


def entry(location: object, reservation: object) -> dict[str, object]:
    return {"location": location, "tdm-reservation": reservation}


@pytest.mark.parametrize(
    ("lines", "expected", "warned"),
    [
        pytest.param(["1"], [(DENY, None)], False, id="1"),
        pytest.param(["0"], [(ALLOW, None)], False, id="0"),
        pytest.param([" 1\t"], [(DENY, None)], False, id="white-space"),
        pytest.param(["0", "1"], [(DENY, None)], False, id="two-lines"),
        pytest.param(["1", "0"], [(DENY, None)], False, id="two-lines-reversed"),
        pytest.param(["0, 1"], [(DENY, None)], False, id="joined"),
        pytest.param(["0", "0"], [(ALLOW, None)], False, id="said-twice"),
        pytest.param(["yes", "1"], [(DENY, None)], True, id="error-beside-1"),
        pytest.param(["yes", "0"], [(ALLOW, None)], True, id="error-beside-0"),
        pytest.param([""], [], True, id="empty"),
        pytest.param(["2"], [], True, id="2"),
        pytest.param(["01"], [], True, id="01"),
        pytest.param(["-1"], [], True, id="negative"),
        pytest.param(["1.0"], [], True, id="decimal"),
        pytest.param(["true"], [], True, id="true"),
        pytest.param(['"1"'], [], True, id="quoted"),
        pytest.param(["1; x=y"], [], True, id="parameter"),
        pytest.param(["\u0661"], [], True, id="other-digit"),
    ],
)
def test_header(lines, expected, warned):
    reading = headers(*lines)
    assert said(reading) == expected
    assert bool(reading.warnings) is warned


def test_header_evidence_notes_the_policy():
    lines = (("TDM-Policy", "https://127.0.0.1/p.json"), ("TDM-Reservation", "1"))
    (statement,) = read_headers(lines, SOURCE).statements
    assert statement.signal is Reason.TDMREP
    assert statement.rule == "tdm-reservation: 1"
    assert statement.covers is Purpose.TRAIN_ANY
    assert statement.strength is Strength.EXPLICIT
    raw = "1; tdm-policy: https://127.0.0.1/p.json"
    assert statement.evidence == Evidence(SOURCE.url, "header TDM-Reservation", raw, "ab", 1.0)


def test_policy_alone_says_nothing():
    assert read_headers((("tdm-policy", "https://127.0.0.1/p.json"),), SOURCE) is NOTHING


@pytest.mark.parametrize(
    ("value", "expected", "warned"),
    [
        pytest.param(b"1", [(DENY, None)], False, id="1"),
        pytest.param(b"0", [(ALLOW, None)], False, id="0"),
        pytest.param(b'"1"', [(DENY, ALIAS)], False, id="string-1"),
        pytest.param(b"true", [(DENY, ALIAS)], False, id="true"),
        pytest.param(b'"0"', [], True, id="string-0"),
        pytest.param(b"false", [], True, id="false"),
        pytest.param(b"1.0", [], True, id="1.0"),
        pytest.param(b"0.0", [], True, id="0.0"),
        pytest.param(b"1e0", [], True, id="1e0"),
        pytest.param(b"2", [], True, id="2"),
        pytest.param(b"-1", [], True, id="negative"),
        pytest.param(b"null", [], True, id="null"),
        pytest.param(b"[1]", [], True, id="array"),
        pytest.param(b"{}", [], True, id="object"),
        pytest.param(b'""', [], True, id="empty-string"),
        pytest.param(b'" 1"', [], True, id="string-with-space"),
        pytest.param(b'"yes"', [], True, id="yes"),
    ],
)
def test_value(value, expected, warned):
    body = b'[{"location": "/", "tdm-reservation": %s}, {"location": "/", "tdm-reservation": 1}]' % value
    reading = read(body)
    assert said(reading) == expected
    assert [warning.evidence.where for warning in reading.warnings] == ["entry 1"] * warned


@pytest.mark.parametrize(
    ("location", "target", "matches"),
    [
        pytest.param("/", "/a.jpg", True, id="root"),
        pytest.param("/art", "/artist", True, id="prefix"),
        pytest.param("/art/", "/art", False, id="folder"),
        pytest.param("/Art/", "/art/a", False, id="case"),
        pytest.param("/*.jpg", "/a/b.jpg", True, id="star"),
        pytest.param("*", "/a", True, id="star-alone"),
        pytest.param("*.jpg$", "/a/b.jpg", True, id="leading-star"),
        pytest.param("/*.jpg$", "/b.jpg?x=1", False, id="anchor"),
        pytest.param("/*?x=1", "/b.jpg?x=1", True, id="query"),
        pytest.param("/%61", "/a", True, id="unreserved-decoded"),
        pytest.param("/a%2fb", "/a/b", False, id="slash-kept"),
        pytest.param("/\xe9", "/%C3%A9", True, id="not-ascii"),
        pytest.param("/%24", "/$", True, id="literal-dollar"),
        pytest.param("https://127.0.0.1/", "/a", False, id="url"),
        pytest.param("art/", "/art/", False, id="relative"),
    ],
)
def test_location(location, target, matches):
    assert bool(read([entry(location, 1)], canonical(target)).statements) is matches


@pytest.mark.parametrize(
    ("data", "expected", "warned"),
    [
        pytest.param([], [], [], id="no-entries"),
        pytest.param([entry("/", 0), entry("/a", 1)], [(ALLOW, None)], [], id="first-not-longest"),
        pytest.param([entry("/b", 0), entry("/a", 1)], [(DENY, None)], [], id="first-that-matches"),
        pytest.param([entry("/", "x"), entry("/a", 1)], [], ["entry 1"], id="first-in-error-wins"),
        pytest.param([entry("/b", "x"), entry("/a", 1)], [(DENY, None)], [], id="error-elsewhere"),
        pytest.param([{"location": "/"}, entry("/", 1)], [], ["entry 1"], id="no-reservation"),
        pytest.param([{"tdm-reservation": 0}, entry("/", 1)], [(DENY, None)], ["entry 1"], id="no-location"),
        pytest.param([entry(None, 0), entry("/", 1)], [(DENY, None)], ["entry 1"], id="location-null"),
        pytest.param([entry(["/"], 0), entry("/", 1)], [(DENY, None)], ["entry 1"], id="location-array"),
        pytest.param([entry("", 0), entry("/", 1)], [(DENY, None)], ["entry 1"], id="location-empty"),
        pytest.param([1, None, entry("/", 1)], [(DENY, None)], ["entry 1", "entry 2"], id="no-objects"),
        pytest.param([[entry("/", 1)]], [], ["entry 1"], id="array-in-array"),
        pytest.param(entry("/", 1), [(DENY, ALIAS)], ["entry 1"], id="single-object"),
        pytest.param(entry("/", "1"), [(DENY, ALIAS)], ["entry 1"], id="single-object-alias"),
        pytest.param(entry("/", 0), [], ["entry 1"], id="single-object-never-allows"),
        pytest.param(entry("/b", 1), [], ["entry 1"], id="single-object-elsewhere"),
        pytest.param({}, [], ["entry 1", "entry 1"], id="empty-object"),
        pytest.param("1", [], ["file"], id="string"),
        pytest.param(1, [], ["file"], id="number"),
        pytest.param(None, [], ["file"], id="null"),
    ],
)
def test_file(data, expected, warned):
    reading = read(data)
    assert said(reading) == expected
    assert [warning.evidence.where for warning in reading.warnings] == warned


GOOD = b'[{"location": "/", "tdm-reservation": 1}]'


@pytest.mark.parametrize(
    ("body", "entries", "faults"),
    [
        pytest.param(GOOD, 1, 0, id="good"),
        pytest.param(b"\xef\xbb\xbf" + GOOD, 1, 0, id="byte-order-mark"),
        pytest.param(b"\r\n " + GOOD + b"\n", 1, 0, id="white-space"),
        pytest.param(b"<!doctype html><title>Not found</title>", 0, 0, id="html"),
        pytest.param(b"\n <html>", 0, 0, id="html-after-white-space"),
        pytest.param(b"", 0, 1, id="empty"),
        pytest.param(GOOD[:-1], 0, 1, id="cut-off"),
        pytest.param(GOOD + b"x", 0, 1, id="trailing-text"),
        pytest.param(GOOD.replace(b"}", b",}"), 0, 1, id="trailing-comma"),
        pytest.param(GOOD.replace(b'"', b"'"), 0, 1, id="single-quotes"),
        pytest.param(GOOD.replace(b"/", b"/\xe9"), 0, 1, id="latin-1"),
        pytest.param(GOOD.decode().encode("utf-16"), 0, 1, id="utf-16"),
        pytest.param(b"[" * 200_000, 0, 1, id="deep"),
        pytest.param(b"[" * 200_000 + b"]" * 200_000, 0, 1, id="deep-and-closed"),
        pytest.param(b"[" + b"9" * 10_000 + b"]", 0, 1, id="long-integer"),
    ],
)
def test_body(body, entries, faults):
    parsed = parse_file(body)
    assert (len(parsed.entries), len(parsed.faults)) == (entries, faults)
    assert len(parsed.read("/a", SOURCE).warnings) == faults


def test_file_evidence():
    data = [entry("/b", 1), {**entry("/a", 1), "tdm-policy": "https://127.0.0.1/p.json"}]
    (statement,) = read(data).statements
    assert statement.signal is Reason.TDMREP
    assert statement.rule == "tdm-reservation: 1"
    assert statement.covers is Purpose.TRAIN_ANY
    assert statement.strength is Strength.EXPLICIT
    assert statement.evidence == Evidence(SOURCE.url, "entry 2", json.dumps(data[1]), "ab", 1.0)


def test_evidence_can_be_written_as_utf8():
    (statement,) = read(b'[{"location": "/", "tdm-reservation": 1, "x": "\\ud800"}]').statements
    assert statement.evidence.raw.encode()


def test_limits():
    data = [entry("/b", 1)] * ENTRIES_MAX + [entry("/a", 1)]
    reading = read(data)
    assert said(reading) == []
    (warning,) = reading.warnings
    assert warning.evidence.where == f"entry {ENTRIES_MAX + 1}"
    assert len(read([None] * 100).warnings) == FAULTS_MAX
    (statement,) = read([{**entry("/", 1), "x": "x" * 1000}]).statements
    assert len(statement.evidence.raw) == RAW_MAX


def test_parsed_file_can_be_pickled():
    parsed = pickle.loads(pickle.dumps(parse_file(GOOD)))  # noqa: S301 - our own bytes
    assert isinstance(parsed, TdmRep)
    assert parsed.read("/a", SOURCE) == parse_file(GOOD).read("/a", SOURCE)


values = st.sampled_from([0, 1, True, False, "1", "0", 1.0, None, 2]) | st.text(max_size=3)
entries = st.fixed_dictionaries(
    {}, optional={"location": st.sampled_from(["/", "/a", "*", "", 1]), "tdm-reservation": values}
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | entries,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.binary(max_size=60) | anything.map(lambda data: json.dumps(data).encode()), st.text(max_size=5))
def test_file_is_total(body, path):
    parse_file(body).read(canonical("/" + path), SOURCE)


@given(st.lists(st.text(max_size=8) | st.sampled_from(["0", "1", "0, 1"]), max_size=4))
def test_headers_are_total_and_1_wins(lines):
    headers(*lines)
    assert said(headers(*lines, "1")) == [(DENY, None)]


@given(st.lists(entries, max_size=4))
def test_a_reserving_entry_at_the_top_denies(some):
    assert said(read([entry("/", 1), *some])) == [(DENY, None)]
