"""The fold: how statements become one verdict. The table is that of the signal reference, section 0."""

from __future__ import annotations

import itertools
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful import (
    Action,
    ConfigurationError,
    Gate,
    Needs,
    OriginFile,
    Policy,
    Purpose,
    Reason,
    Response,
    Stage,
    Statement,
    Verdict,
)

ORIGIN = "http://art.example"
ROBOTS, TDMREP = f"{ORIGIN}/robots.txt", f"{ORIGIN}/.well-known/tdmrep.json"
URL = f"{ORIGIN}/1.jpg"


def files(robots=None, tdmrep=None):
    """Origin files from bodies or statuses; None: 404."""
    made = {}
    for url, content in ((ROBOTS, robots), (TDMREP, tdmrep)):
        if isinstance(content, str):
            made[url] = OriginFile(url, 200, body=content.encode(), fetched=1.0)
        else:
            made[url] = OriginFile(url, 404 if content is None else content)
    return made


def judge(policy="standard", url=URL, robots=None, tdmrep=None, headers=None, **kwargs):
    response = None if headers is None else Response(200, tuple(headers))
    return Gate("PictureBot", policy).judge(
        url, origin_files=files(robots, tdmrep), response=response, **kwargs
    )


ALL_1 = '[{"location": "/", "tdm-reservation": 1}]'
ALL_0 = '[{"location": "/", "tdm-reservation": 0}]'
USAGE = "User-agent: *\nAllow: /\nContent-Usage: {}\n"
AI_OK = "User-agent: *\nContent-Usage: train-ai=n\nContent-Usage: /ai-ok/ train-ai=y\n"
TAG, TDM, CU = "X-Robots-Tag", "tdm-reservation", "Content-Usage"

CASES = {
    "nothing said": ({}, "store", []),
    "nothing said, opt-in": ({"policy": "opt-in"}, "skip", ["no-opt-in"]),
    "an allow, opt-in": ({"policy": "opt-in", "headers": [(TDM, "0")]}, "store", []),
    "robots Allow is no opt-in": (
        {"policy": "opt-in", "robots": "User-agent: *\nAllow: /\n"},
        "skip",
        ["no-opt-in"],
    ),
    "robots allows training, the header denies": (
        {"robots": USAGE.format("train-ai=y"), "headers": [(CU, "train-ai=n")]},
        "skip",
        ["content-usage"],
    ),
    "tdmrep.json 1, header 0": ({"tdmrep": ALL_1, "headers": [(TDM, "0")]}, "store", []),
    "tdmrep.json 0, header 1": ({"tdmrep": ALL_0, "headers": [(TDM, "1")]}, "skip", ["tdmrep"]),
    "tdmrep.json 1, header in error": ({"tdmrep": ALL_1, "headers": [(TDM, "x")]}, "skip", ["tdmrep"]),
    "tdmrep.json 1, no header": ({"tdmrep": ALL_1, "headers": []}, "skip", ["tdmrep"]),
    "tdmrep.json 1, no response at all": ({"tdmrep": ALL_1}, "skip", ["tdmrep"]),
    "tdmrep.json 0, noai": ({"tdmrep": ALL_0, "headers": [(TAG, "noai")]}, "skip", ["x-robots-tag"]),
    "a longer path allows": ({"robots": AI_OK, "url": f"{ORIGIN}/ai-ok/1.jpg"}, "store", []),
    "beside the longer path": ({"robots": AI_OK}, "skip", ["content-usage"]),
    "the same path, both y and n": (
        {
            "robots": "User-agent: *\nContent-Usage: /a train-ai=y\nContent-Usage: /a train-ai=n\n",
            "url": f"{ORIGIN}/a",
        },
        "skip",
        ["content-usage"],
    ),
    "access in a tie, but no training": (
        {"robots": "User-agent: *\nAllow: /\n\nUser-agent: *\nDisallow: /\nContent-Usage: train-ai=n\n"},
        "skip",
        ["content-usage"],
    ),
    "what may not be crawled has no preference": (
        {"robots": "User-agent: *\nDisallow: /\nContent-Usage: train-ai=n\n"},
        "skip",
        ["robots.disallow"],
    ),
    "noindex only": ({"headers": [(TAG, "noindex")]}, "skip", ["x-robots-tag"]),
    "noindex only, letter": ({"policy": "letter", "headers": [(TAG, "noindex")]}, "store", []),
    "noarchive": ({"headers": [(TAG, "noarchive")]}, "store", []),
    "noarchive, strict": ({"policy": "strict", "headers": [(TAG, "noarchive")]}, "skip", ["x-robots-tag"]),
    "two denies, in the order of the list": (
        {"tdmrep": ALL_1, "headers": [(TAG, "noai"), (CU, "train-ai=n")]},
        "skip",
        ["content-usage", "tdmrep", "x-robots-tag"],
    ),
    "robots.txt 500": ({"robots": 500}, "defer", ["robots.unreachable"]),
    "robots.txt 429": ({"robots": 429}, "defer", ["robots.unreachable"]),
    "robots.txt without an answer": ({"robots": 0}, "defer", ["robots.unreachable"]),
    "robots.txt 403": ({"robots": 403}, "store", []),
    "robots.txt 301 at the end": ({"robots": 301}, "store", []),
    "skip beats defer": (
        {"robots": 503, "headers": [(TAG, "noai")]},
        "skip",
        ["x-robots-tag", "robots.unreachable"],
    ),
    "defer beats an allow": ({"robots": 503, "headers": [(TDM, "0")]}, "defer", ["robots.unreachable"]),
    "defer beats no-opt-in": ({"policy": "opt-in", "robots": 503}, "defer", ["robots.unreachable"]),
    "tdmrep.json 500": ({"tdmrep": 500}, "store", []),
    "tdmrep.json 500, strict": ({"policy": "strict", "tdmrep": 500}, "defer", ["undetermined"]),
    "tdmrep.json 500, strict, header 0": (
        {"policy": "strict", "tdmrep": 500, "headers": [(TDM, "0")]},
        "store",
        [],
    ),
    "tdmrep.json 404, strict": ({"policy": "strict"}, "store", []),
    "tdmrep.json a web page": ({"policy": "strict", "tdmrep": "<!DOCTYPE html>"}, "store", []),
    "no URL": ({"url": "http://["}, "defer", ["undetermined"]),
    "a lone surrogate": ({"url": "http://h/\ud800"}, "defer", ["undetermined"]),
    "another scheme": ({"url": "ftp://h/1.jpg"}, "defer", ["undetermined"]),
    "a URL without end": ({"url": f"{ORIGIN}/{'a' * 20_000}"}, "defer", ["undetermined"]),
}


@pytest.mark.parametrize(("given_", "action", "reasons"), CASES.values(), ids=CASES)
def test_cases(given_, action, reasons):
    verdict = judge(**given_)
    assert isinstance(verdict, Verdict)
    assert (verdict.action, list(verdict.reasons)) == (action, reasons)
    assert verdict.reason == (reasons[0] if reasons else None)


def test_needs_all_files_at_once_as_a_value():
    gate = Gate("PictureBot")
    needs = gate.judge(URL, origin_files={})
    assert needs == Needs((ROBOTS, TDMREP)) == Needs(gate.origin_files(URL))
    assert gate.judge(URL, origin_files={ROBOTS: files()[ROBOTS]}) == Needs((TDMREP,))


def test_a_deny_needs_nothing_more():
    robots = files("User-agent: *\nDisallow: /\n")[ROBOTS]
    verdict = Gate("PictureBot").judge(URL, origin_files={ROBOTS: robots})
    assert isinstance(verdict, Verdict)
    assert verdict.reason is Reason.ROBOTS_DISALLOW
    assert verdict.bars_contact


STAGES = {
    "a reservation by file can be lifted by the header": ({"tdmrep": ALL_1}, Stage.ORIGIN, "store", "origin"),
    "until the header is there": ({"tdmrep": ALL_1, "headers": []}, Stage.HEADERS, "skip", "headers"),
    "silence is judged at the end": ({"policy": "opt-in"}, Stage.ORIGIN, "store", "origin"),
    "and not before the body": ({"policy": "opt-in", "headers": []}, Stage.HEADERS, "store", "headers"),
    "other words are final at once": ({"robots": USAGE.format("train-ai=n")}, Stage.ORIGIN, "skip", "origin"),
    "what cannot be read is not contacted": (
        {"policy": "strict", "tdmrep": 500},
        Stage.ORIGIN,
        "defer",
        "origin",
    ),
    "the first stage that decides": (
        {"robots": USAGE.format("train-ai=n"), "headers": [(TAG, "noai")]},
        Stage.BODY,
        "skip",
        "origin",
    ),
}


@pytest.mark.parametrize(("given_", "stage", "action", "decided"), STAGES.values(), ids=STAGES)
def test_stages(given_, stage, action, decided):
    verdict = judge(**given_, stage=stage)
    assert (verdict.action, verdict.stage) == (action, decided)


def test_evidence_is_kept_decisive_first():
    verdict = judge(tdmrep=ALL_0, headers=[(TAG, "noarchive"), (TAG, "noai"), (CU, "train-ai=n")])
    assert [(each.signal, each.rule) for each in verdict.evidence] == [
        ("content-usage", "train-ai=n"),
        ("x-robots-tag", "noai"),
        ("x-robots-tag", "noarchive"),
    ]
    assert verdict.evidence[1].evidence.source_url == URL
    (lost,) = verdict.overridden
    assert (lost.signal, lost.preference) == ("tdmrep", "allow")
    assert lost.evidence.where == "entry 1"
    assert lost.evidence.fetched == 1.0
    assert dict(verdict.snapshots) == {TDMREP: lost.evidence.sha256}


def test_what_a_header_supersedes_is_kept_as_overridden():
    verdict = judge(tdmrep=ALL_1, headers=[(TDM, "0")])
    assert [each.rule for each in verdict.evidence] == ["tdm-reservation: 0"]
    assert [each.rule for each in verdict.overridden] == ["tdm-reservation: 1"]


@pytest.mark.parametrize(
    ("purpose", "action"),
    [(Purpose.TRAIN_ANY, "skip"), (Purpose.TRAIN_GENERATIVE, "skip"), (Purpose.TRAIN_NONGENERATIVE, "store")],
)
def test_purpose(tmp_path, purpose, action):
    path = tmp_path / "p.toml"
    path.write_text(f'purpose = "{purpose}"\n')
    assert judge(path, headers=[(CU, "train-ai=n")]).action == action
    assert judge(path, headers=[(TDM, "1")]).action == "skip"


def test_the_token_is_heeded_and_others_are_not():
    robots = "User-agent: Picture\nDisallow: /\n\nUser-agent: PictureBot\nDisallow: /x\n"
    assert judge(robots=robots).action is Action.STORE
    assert judge(robots=robots, url=f"{ORIGIN}/x").action is Action.SKIP


@pytest.mark.parametrize("token", ["", "Picture Bot", "PictureBot/1.0", "Bïld", "*", "a\n"])
def test_no_product_token(token):
    with pytest.raises(ConfigurationError, match="is no product token"):
        Gate(token)


def test_warnings_name_what_was_malformed():
    verdict = judge(robots="Disallow: /\nUser-agent: *\n", tdmrep="{", headers=[(TDM, "x"), (CU, "A=n")])
    assert {warning.signal for warning in verdict.warnings} == {"robots.disallow", "tdmrep", "content-usage"}


def test_verdicts_pickle_and_have_a_dict_form():
    verdict = judge(tdmrep=ALL_0, headers=[(TAG, "noai")])
    assert pickle.loads(pickle.dumps(verdict)) == verdict  # noqa: S301
    data = verdict.as_dict()
    assert (data["action"], data["reason"], data["reasons"]) == ("skip", "x-robots-tag", ["x-robots-tag"])
    assert tuple(map(Statement.from_dict, data["evidence"])) == verdict.evidence


def test_a_verdict_as_a_log_line_cannot_be_forged():
    verdict = judge(url=f"{ORIGIN}/a\x1b[31m\n.jpg", headers=[(TAG, "noai")])
    assert str(verdict).isprintable()
    assert "x-robots-tag: noai, header X-Robots-Tag of" in str(verdict)


# -- laws ----------------------------------------------------------------------------------------------------

RANK = {Action.STORE: 0, Action.DEFER: 1, Action.SKIP: 2}
SAYINGS = st.lists(
    st.sampled_from(
        [
            (TAG, "noai"),
            (TAG, "noarchive"),
            (TAG, "googlebot: noai"),
            (TDM, "0"),
            (CU, "train-ai=y"),
            ("Via", "x"),
        ]
    ),
    max_size=4,
)
BODIES = st.sampled_from([None, 500, "", ALL_0, ALL_1])
POLICIES = st.sampled_from([Policy.load(name) for name in ("standard", "strict", "letter", "opt-in")])


@given(POLICIES, SAYINGS, BODIES, st.sampled_from([(TAG, "noai"), (CU, "all=n, train-ai=n"), (TDM, "1")]))
def test_adding_a_deny_never_stores(policy, headers, tdmrep, deny):
    before = judge(policy, tdmrep=tdmrep, headers=headers)
    after = judge(policy, tdmrep=tdmrep, headers=[*headers, deny])
    assert after.action is Action.SKIP
    assert RANK[after.action] >= RANK[before.action]


@given(POLICIES, SAYINGS, BODIES)
def test_the_order_of_headers_of_different_protocols_does_not_matter(policy, headers, tdmrep):
    verdicts = {
        (each.action, each.reasons, each.stage)
        for order in itertools.islice(itertools.permutations(headers), 24)
        for each in [judge(policy, tdmrep=tdmrep, headers=order)]
    }
    assert len(verdicts) == 1


@given(st.text(max_size=200), st.binary(max_size=200), st.binary(max_size=200), st.text(max_size=50))
def test_nothing_raises(url, robots, tdmrep, value):
    gate = Gate("PictureBot")
    for address in (url, f"{ORIGIN}/{url}"):
        made = {
            each: OriginFile(each, 200, body=body)
            for each, body in zip(gate.origin_files(address), (robots, tdmrep), strict=False)
        }
        headers = tuple((name, value) for name in (TAG, TDM, CU))
        assert isinstance(gate.judge(address, origin_files=made, response=Response(200, headers)), Verdict)
