"""What assertions about training and data mining say."""

from __future__ import annotations

import json
import pickle

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.model import NOTHING, RAW_MAX, Preference, Purpose, Reason, Source
from heedful.signals.embedded import _c2pa, _jumbf
from heedful.signals.embedded._c2pa import Claims, read
from heedful.signals.embedded._parts import Kind, Part
from heedful.testing import embed

SOURCE = Source("https://a.example/1.jpg", "00", 5.0)
WHERE = "JPEG APP11 C2PA"
LABEL = "cawg.training-mining"
ANY, GENERATIVE, NONGENERATIVE = Purpose.TRAIN_ANY, Purpose.TRAIN_GENERATIVE, Purpose.TRAIN_NONGENERATIVE
BOTH = {"cawg.ai_training": "allowed", "cawg.ai_generative_training": "allowed"}
DENIED = {"cawg.ai_training": "notAllowed"}


def part(data, *, whole=True):
    return Part(Kind.JUMBF, WHERE, data, whole)


def assertion(content, label=LABEL, kind=b"cbor"):
    return embed._superbox(kind, label, embed._box(kind, content))


def entries(uses):
    return {name: {"use": use} if isinstance(use, str) else use for name, use in uses.items()}


def encoded(value, label=LABEL):
    return assertion(cbor2.dumps(value), label)


def store(*manifests):
    """A store of manifests, each given as the entries of its only assertion, or as assertions."""
    return embed.manifest_store(
        {
            f"urn:c2pa:{number}": each
            if isinstance(each, list)
            else [encoded({"entries": entries(each)})]
            if each
            else []
            for number, each in enumerate(manifests)
        }
    )


def claims(*manifests, whole=True):
    return read([part(store(*manifests), whole=whole)], SOURCE)


def denied(found):
    return {each.covers for each in found.reading.statements if each.preference is Preference.DISALLOW}


def allowed(found):
    return {each.covers for each in found.signed}


def rules(found):
    return [(each.rule, each.preference.value) for each in found.reading.statements]


def messages(found):
    return [warning.message for warning in found.reading.warnings]


# -- entries ---------------------------------------------------------------------------------------------

SAYS = {  # what is denied, and what is allowed once it is signed
    "nothing": ({}, set(), set()),
    "all-denied": (
        dict.fromkeys((*BOTH, "cawg.data_mining", "cawg.ai_inference"), "notAllowed"),
        {ANY},
        set(),
    ),
    "all-allowed": (dict.fromkeys((*BOTH, "cawg.data_mining", "cawg.ai_inference"), "allowed"), set(), {ANY}),
    "all-constrained": (dict.fromkeys(BOTH, "constrained"), {ANY}, set()),
    "training": (DENIED, {NONGENERATIVE}, set()),
    "training-allowed": ({"cawg.ai_training": "allowed"}, set(), {NONGENERATIVE}),
    "generative": ({"c2pa.ai_generative_training": "notAllowed"}, {GENERATIVE}, set()),
    "generative-allowed": ({"c2pa.ai_generative_training": "allowed"}, set(), {GENERATIVE}),
    "mining": ({"c2pa.data_mining": "notAllowed"}, {ANY}, set()),
    "mining-allowed": ({"c2pa.data_mining": "allowed"}, set(), set()),
    "mining-allowed-and-generative": (
        {"c2pa.data_mining": "allowed", "c2pa.ai_generative_training": "allowed"},
        set(),
        {GENERATIVE},
    ),
    "mining-denied-training-allowed": ({**BOTH, "cawg.data_mining": "notAllowed"}, {ANY}, set()),
    "mining-and-generative": (
        {"cawg.data_mining": "notAllowed", "cawg.ai_generative_training": "notAllowed"},
        {ANY, GENERATIVE},
        set(),
    ),
    "one-of-two": (BOTH | DENIED, {NONGENERATIVE}, set()),
    "one-constrained": (BOTH | {"cawg.ai_training": "constrained"}, {NONGENERATIVE}, set()),
    "prefixes-mixed": (
        {"cawg.ai_training": "notAllowed", "c2pa.ai_generative_training": "constrained"},
        {ANY},
        set(),
    ),
    "prefixes-contradict": (
        {"cawg.ai_training": "notAllowed", "c2pa.ai_training": "allowed"},
        {NONGENERATIVE},
        set(),
    ),
    "inference": ({"cawg.ai_inference": "notAllowed"}, set(), set()),
    "inference-and-allowed": ({**BOTH, "cawg.ai_inference": "notAllowed"}, set(), {ANY}),
    "novel": ({"cawg.ai_novel": "notAllowed"}, set(), set()),
    "novel-and-allowed": ({**BOTH, "cawg.ai_novel": "notAllowed"}, set(), {ANY}),
    "foreign": ({"org.example.ai_training": "notAllowed"}, set(), set()),
    "more-fields": (
        {name: {"use": "allowed", "constraint_info": ""} for name in BOTH},
        set(),
        {ANY},
    ),
    "constraint": (
        {"cawg.ai_training": {"use": "constrained", "constraint_info": "ask me"}},
        {NONGENERATIVE},
        set(),
    ),
}


def written(name):
    """The ways to write these entries."""
    fields = entries(SAYS[name][0])
    wrapped = {"entries": fields}
    return {
        "wrapped": encoded(wrapped),
        "bare": encoded(fields),
        "metadata": encoded({**wrapped, "metadata": {"dateTime": "2026-01-01", "use": "x"}}),
        "json": assertion(json.dumps(wrapped).encode(), kind=b"json"),
        "second": encoded(wrapped, f"{LABEL}__1"),
        "version": encoded(wrapped, f"{LABEL}.v2"),
        "c2pa": encoded(wrapped, "c2pa.training-mining"),
    }


@pytest.mark.parametrize("form", written("nothing"))
@pytest.mark.parametrize("name", SAYS)
def test_entries(name, form):
    _, denies, allows = SAYS[name]
    found = claims([written(name)[form]])
    assert denied(found) == denies
    assert allowed(found) == allows
    assert found.faults == ()
    assert found.reading.warnings == ()
    assert {each.preference for each in found.signed} <= {Preference.ALLOW}
    assert {each.preference for each in found.reading.statements} <= {Preference.DISALLOW, Preference.UNKNOWN}
    for statement in (*found.reading.statements, *found.signed):
        assert statement.signal is Reason.TRAINING_MINING
        assert statement.switch is None
        assert statement.evidence.source_url == SOURCE.url


ODD = {  # read in the denying direction, with a warning
    "lower": ("cawg.ai_training", {"use": "notallowed"}, True),
    "upper": ("cawg.ai_training", {"use": "NOTALLOWED"}, True),
    "snake": ("cawg.ai_training", {"use": "not_allowed"}, True),
    "words": ("cawg.ai_training", {"use": " Not allowed. "}, True),
    "constrained": ("cawg.ai_training", {"use": "Constrained"}, True),
    "text": ("cawg.ai_training", "notAllowed", True),
    "name-upper": ("CAWG.AI_Training", {"use": "notAllowed"}, True),
    "name-space": (" cawg.ai_training ", {"use": "notAllowed"}, True),
    "name-alone": ("ai_training", {"use": "notAllowed"}, True),
    "allowed-lower": ("cawg.ai_training", {"use": "ALLOWED"}, False),
    "allowed-text": ("cawg.ai_training", "allowed", False),
    "allowed-name": ("ai_training", {"use": "allowed"}, False),
    "empty": ("cawg.ai_training", {}, False),
    "no-use": ("cawg.ai_training", {"constraint_info": "notAllowed"}, False),
    "null": ("cawg.ai_training", None, False),
    "list": ("cawg.ai_training", ["notAllowed"], False),
    "number": ("cawg.ai_training", {"use": 0}, False),
    "unknown": ("cawg.ai_training", {"use": "maybe"}, False),
    "nested": ("cawg.ai_training", {"use": {"use": "notAllowed"}}, False),
}


@pytest.mark.parametrize("wrapped", [True, False], ids=["wrapped", "bare"])
@pytest.mark.parametrize(("name", "entry", "denies"), ODD.values(), ids=ODD)
def test_what_is_not_written_as_specified_can_only_deny(name, entry, denies, wrapped):
    fields = {name: entry, "cawg.ai_generative_training": {"use": "allowed"}}
    found = claims([encoded({"entries": fields} if wrapped else fields)])
    assert denied(found) == ({NONGENERATIVE} if denies else set())
    assert found.signed == ()
    assert len(found.reading.warnings) == 1
    assert found.faults == ()
    unknown = [each for each in found.reading.statements if each.preference is Preference.UNKNOWN]
    assert len(unknown) == (1 if denies else 2)


def test_entries_beside_and_within_the_wrapper_count():
    found = claims([encoded({"entries": entries(BOTH), **entries(DENIED)})])
    assert denied(found) == {NONGENERATIVE}
    assert found.signed == ()


@pytest.mark.parametrize("inner", [None, [], "notAllowed", 1], ids=repr)
def test_entries_that_are_no_map(inner):
    found = claims([encoded({"entries": inner, **entries(BOTH)})])
    assert found.signed == ()
    assert messages(found) == ["entries that are no map"]


def test_keys_that_are_no_text():
    found = claims([encoded({"entries": {b"cawg.ai_training": {"use": "notAllowed"}, b"\xff": 1}})])
    assert found == Claims()


# -- evidence --------------------------------------------------------------------------------------------


def test_evidence_names_the_place():
    found = claims({}, {"cawg.ai_training": {"use": "constrained", "constraint_info": "ask: f\u00fcr mich"}})
    (statement,) = found.reading.statements
    assert statement.rule == "cawg.ai_training: constrained"
    assert statement.evidence == SOURCE.at(
        f"{WHERE}: manifest 2, cawg.training-mining, cawg.ai_training",
        '{"use": "constrained", "constraint_info": "ask: f\u00fcr mich"}',
    )


def test_evidence_of_what_denies_all_training_together():
    found = claims({"cawg.ai_training": "notAllowed", "cawg.ai_generative_training": "constrained"})
    (statement,) = found.reading.statements
    assert statement.rule == "cawg.ai_training: notAllowed, cawg.ai_generative_training: constrained"
    where = f"{WHERE}: manifest 1, {LABEL}, cawg.ai_training and cawg.ai_generative_training"
    assert statement.evidence.where == where
    assert json.loads(statement.evidence.raw) == entries(
        {"cawg.ai_training": "notAllowed", "cawg.ai_generative_training": "constrained"}
    )


def test_evidence_outside_of_a_manifest():
    found = read([part(encoded({"entries": entries(DENIED)}))], SOURCE)
    (statement,) = found.reading.statements
    assert statement.evidence.where == f"{WHERE}: {LABEL}, cawg.ai_training"


def test_evidence_is_bounded_and_can_be_written():
    info = "\\ud800" + "x" * 10_000
    content = b'{"cawg.ai_training": {"use": "constrained", "constraint_info": "%b"}}' % info.encode()
    (statement,) = claims([assertion(content, kind=b"json")]).reading.statements
    assert len(statement.evidence.raw) == RAW_MAX
    assert statement.evidence.raw.encode()


ODD_VALUES = {
    "bytes": b"\xff",
    "undefined": cbor2.undefined,
    "simple": cbor2.CBORSimpleValue(99),
    "infinity": float("inf"),
    "bytes-keys": {b"a": 1, "b": 2},
    "large": 2**64 - 1,
}


@pytest.mark.parametrize("value", ODD_VALUES.values(), ids=ODD_VALUES)
def test_evidence_of_what_json_does_not_know(value):
    found = claims([encoded({"cawg.ai_training": {"use": "notAllowed", "constraint_info": value}})])
    (statement,) = found.reading.statements
    assert statement.evidence.raw.startswith('{"use": "notAllowed", "constraint_info": ')


def test_what_is_not_about_training_is_recorded():
    found = claims({"cawg.ai_inference": "notAllowed", "cawg.data_mining": "allowed"})
    assert rules(found) == [
        ("cawg.ai_inference: notAllowed", "unknown"),
        ("cawg.data_mining: allowed", "unknown"),
    ]


def test_claims_can_be_pickled():
    found = claims(BOTH)
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301 - our own


# -- manifests -------------------------------------------------------------------------------------------

TWO = [encoded({"entries": entries(BOTH)}), encoded({"entries": entries(DENIED)}, f"{LABEL}__1")]
MANIFESTS = {
    "older-denies": ((DENIED, {}), {NONGENERATIVE}, set()),
    "older-allows": ((BOTH, {}), set(), set()),
    "active-allows": (({}, BOTH), set(), {ANY}),
    "both-allow": ((BOTH, BOTH), set(), {ANY}),
    "older-denies-active-allows": ((DENIED, BOTH), {NONGENERATIVE}, set()),
    "older-allows-active-denies": ((BOTH, DENIED), {NONGENERATIVE}, set()),
    "each-a-part": (
        ({"cawg.ai_training": "notAllowed"}, {"cawg.ai_generative_training": "notAllowed"}),
        {NONGENERATIVE, GENERATIVE},
        set(),
    ),
    "two-assertions": ((TWO,), {NONGENERATIVE}, set()),
    "none": (({}, {}), set(), set()),
}


@pytest.mark.parametrize(("manifests", "denies", "allows"), MANIFESTS.values(), ids=MANIFESTS)
def test_manifests(manifests, denies, allows):
    found = claims(*manifests)
    assert denied(found) == denies
    assert allowed(found) == allows


def test_what_an_ingredient_allows_is_recorded():
    assert rules(claims(BOTH, {})) == [
        ("cawg.ai_training: allowed, cawg.ai_generative_training: allowed", "unknown")
    ]


STORES = {
    "two-parts": [part(store(BOTH)), part(store(BOTH))],
    "two-in-a-part": [part(store(BOTH) * 2)],
    "an-empty-one-before": [part(store({})), part(store(BOTH))],
    "an-empty-one-behind": [part(store(BOTH)), part(store({}))],
    "noise-behind": [part(store(BOTH)), part(b"x")],
    "no-store": [part(encoded({"entries": entries(BOTH)}))],
    "manifest-behind-the-store": [
        part(store({}) + embed._superbox(b"c2ma", "urn", embed._superbox(b"c2as", "c2pa.assertions", TWO[0])))
    ],
    "not-whole": [part(store(BOTH), whole=False)],
    "box-cut-off": [part(store(BOTH) + b"\0\0\1\0free")],
    "last-is-compressed": [
        part(embed._superbox(b"c2pa", "c2pa", store(BOTH)[38:] + embed._superbox(b"c2cm", "urn", b"")))
    ],
}


@pytest.mark.parametrize("parts", STORES.values(), ids=STORES)
def test_what_is_allowed_only_in_the_active_manifest_of_the_only_store_counts(parts):
    found = read(parts, SOURCE)
    assert found.signed == ()
    assert denied(found) == set()
    assert ("cawg.ai_training: allowed, cawg.ai_generative_training: allowed", "unknown") in rules(found)


def test_denials_of_all_stores_count():
    generative = {"cawg.ai_generative_training": "notAllowed"}
    found = read([part(store(DENIED)), part(store({}, generative), whole=False)], SOURCE)
    assert denied(found) == {NONGENERATIVE, GENERATIVE}
    assert found.faults == (f"{WHERE}: cut off or damaged",)


@pytest.mark.parametrize(
    "parts",
    [[], [part(b"")], [part(store({}))], [part(store({})[:-5])], [part(bytes(5000)), part(b"x" * 40)]],
    ids=["no-part", "empty", "no-assertion", "cut-no-assertion", "noise"],
)
def test_stores_without_anything_of_ours(parts):
    assert read(parts, SOURCE) == Claims(NOTHING, (), ())


# -- damage ----------------------------------------------------------------------------------------------


def test_a_part_that_is_not_whole_is_a_fault_whatever_is_left_of_it():
    assert read([part(store({})[:20], whole=False)], SOURCE).faults == (f"{WHERE}: cut off or damaged",)


@pytest.mark.parametrize("kind", [b"cbor", b"json"])
def test_cut_contents_deny_what_can_be_read(kind):
    """Both entries deny, the constraint stands between them: cut at any place, what is whole denies."""
    fields = {
        "entries": {
            "cawg.ai_generative_training": {"use": "constrained", "constraint_info": "a. b. cawg."},
            "cawg.ai_training": {"use": "notAllowed"},
        }
    }
    content = cbor2.dumps(fields) if kind == b"cbor" else json.dumps(fields, indent=4).encode()
    first = content.index(b"constrained") + len(b"constrained")
    second = content.index(b"notAllowed") + len(b"notAllowed")
    for size in range(len(content)):
        found = claims([assertion(content[:size], kind=kind)])
        assert denied(found) == ({ANY} if size >= second else {GENERATIVE} if size >= first else set()), size
        assert len(found.faults) == len(found.reading.warnings) == 1


def test_malformed_contents_never_allow():
    content = cbor2.dumps({"entries": entries(BOTH)})
    for size in range(len(content)):
        found = claims([assertion(content[:size])])
        assert found.signed == ()
        assert found.reading.statements == ()
        assert len(found.faults) == 1


UNREADABLE = {
    "neither": (assertion(b"x", kind=b"bfdb"), "neither CBOR nor JSON"),
    "list": (encoded([1]), "not a map"),
    "twice": (assertion(b'{"a":1,"a":1}', kind=b"json"), "malformed JSON: a key twice"),
    "deep": (assertion(b"[" * 5000, kind=b"json"), "nested more than 16 deep"),
    "tag": (encoded({"a": cbor2.CBORTag(35, "a")}), "malformed CBOR: "),
    "large": (assertion(bytes(_jumbf.CONTENT_MAX + 1)), "more than 262144 octets"),
}


@pytest.mark.parametrize(("data", "words"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_contents_are_told(data, words):
    found = claims([data, encoded({"entries": entries(BOTH)}, f"{LABEL}__1")])
    assert found.signed == ()
    (fault,) = found.faults
    assert fault.startswith(f"{WHERE}: manifest 1, {LABEL}: {words}")
    (warning,) = found.reading.warnings
    assert warning.message.startswith(words)
    assert len(warning.evidence.raw) <= RAW_MAX


def test_what_denies_twice_and_otherwise_is_told_apart():
    """Of entries of one name, in a map that is malformed by it, the one that denies is read."""
    one, other = b'"cawg.ai_training":{"use":"notAllowed"}', b'"cawg.ai_training":{"use":"allowed"}'
    for content in (one + b"," + other, other + b"," + one):
        found = claims([assertion(b'{"entries":{%b}}' % content, kind=b"json")])
        assert denied(found) == {NONGENERATIVE}


def test_an_assertion_without_content():
    found = claims([embed._superbox(b"cbor", LABEL, b"")])
    assert messages(found) == ["an assertion without content"]
    assert found.faults == ()


# -- limits ----------------------------------------------------------------------------------------------


def test_statements_and_warnings_are_bounded():
    denies = encoded({"entries": entries(DENIED)})
    odd = encoded({f"cawg.ai_novel_{letter}": 1 for letter in "abcdefgh"} | {"cawg.data_mining": "x"})
    found = claims([odd] * 200 + [denies] * 200)
    preferences = [each.preference for each in found.reading.statements]
    assert preferences.count(Preference.DISALLOW) == _c2pa.STATEMENTS_MAX
    assert preferences.count(Preference.UNKNOWN) == _c2pa.STATEMENTS_MAX // 2
    assert len(found.reading.warnings) == _c2pa.STATEMENTS_MAX


def test_what_denies_something_else_is_not_crowded_out():
    generative = encoded({"entries": entries({"cawg.ai_generative_training": "notAllowed"})})
    found = claims([generative] * 100 + [encoded({"entries": entries(DENIED)})])
    assert denied(found) == {GENERATIVE, NONGENERATIVE}
    assert len(found.reading.statements) == _c2pa.STATEMENTS_MAX + 1


def test_what_denies_is_not_crowded_out():
    many = {f"cawg.x{'a' * (number % 50)}_{'b' * (number // 50)}": {} for number in range(2000)}
    found = claims([encoded({"entries": {**many, **entries(DENIED)}})])
    assert denied(found) == {NONGENERATIVE}
    assert found.faults == (f"{WHERE}: manifest 1, {LABEL}: more than {_c2pa.ENTRIES_MAX} entries",)


def test_more_entries_than_are_looked_at_do_not_allow():
    many = {f"cawg.{'a' * number}": {} for number in range(1, 65)}
    assert allowed(claims([encoded({**entries(BOTH), **dict(list(many.items())[:62])})])) == {ANY}
    assert claims([encoded({**entries(BOTH), **many})]).signed == ()


def test_faults_are_bounded():
    found = claims([assertion(b"\xff", f"{LABEL}__{number}") for number in range(200)])
    assert len(found.faults) == _c2pa.STATEMENTS_MAX


# -- any bytes -------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.sampled_from(["allowed", "notAllowed", "constrained", "use", "", None, 1]) | st.binary(max_size=3),
    lambda inner: (
        st.dictionaries(
            st.sampled_from(["use", "entries", "constraint_info", *BOTH, "c2pa.data_mining"]),
            inner,
            max_size=4,
        )
        | st.lists(inner, max_size=2)
    ),
    max_leaves=10,
)


@given(VALUES)
def test_any_value_is_read(value):
    found = claims([encoded(value)])
    assert not (found.signed and denied(found))


SIGNED = store(BOTH)
DENYING = store(DENIED)


@given(st.lists(st.tuples(st.integers(0, len(SIGNED) - 1), st.integers(0, 255)), max_size=4))
def test_any_bytes_are_read(changes):
    data = bytearray(SIGNED)
    for at, value in changes:
        data[at] = value
    found = read([part(bytes(data))], SOURCE)
    assert denied(found) == set()


@given(st.integers(0, len(DENYING)), st.binary(max_size=9))
def test_what_denies_never_comes_to_allow(at, noise):
    found = read([part(DENYING[:at] + noise + DENYING[at:])], SOURCE)
    assert found.signed == ()
