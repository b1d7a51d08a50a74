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
    Page,
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


def judge(policy="standard", url=URL, robots=None, tdmrep=None, headers=None, more=(), **kwargs):
    response = None if headers is None else Response(200, tuple(headers))
    return complete(
        Gate("PictureBot", policy), url, files(robots, tdmrep) | dict(more), response=response, **kwargs
    )


def complete(gate, url, given, **kwargs):
    """Judge; files that are not given are 404."""
    given = dict(given)
    while isinstance(answer := gate.judge(url, origin_files=given, **kwargs), Needs):
        assert not given.keys() & set(answer.urls)
        given |= {needed: OriginFile(needed, 404) for needed in answer.urls}
    return answer


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
    first = gate.origin_files(URL)
    assert {ROBOTS, TDMREP, f"{ORIGIN}/ai.txt", f"{ORIGIN}/.well-known/trust.txt"} < set(first)
    needs = gate.judge(URL, origin_files={})
    assert needs == Needs(first)
    rest = gate.judge(URL, origin_files={ROBOTS: files()[ROBOTS]})
    assert rest == Needs(tuple(url for url in first if url != ROBOTS))


LICENCE = OriginFile(
    f"{ORIGIN}/l.xml",
    200,
    body=b'<rsl xmlns="https://rslstandard.org/rsl"><content url="/"><license><prohibits type="usage">all'
    b"</prohibits></license></content></rsl>",
)
LINK = ("Link", '</l.xml>; rel="license"; type="application/rsl+xml"')
FURTHER = {
    "trust.txt, the second location": ({}, f"{ORIGIN}/trust.txt"),
    "RSL, announced in robots.txt": ({"robots": "License: /l.xml"}, LICENCE.url),
    "RSL, announced by a header": ({"headers": [LINK]}, LICENCE.url),
}


@pytest.mark.parametrize(("given_", "url"), FURTHER.values(), ids=FURTHER)
def test_files_can_make_further_ones_necessary(given_, url):
    gate = Gate("PictureBot")
    first = {each: OriginFile(each, 404) for each in gate.origin_files(URL)}
    given = first | {file.url: file for file in files(given_.get("robots")).values()}
    response = Response(200, tuple(given_["headers"])) if "headers" in given_ else None
    needs = gate.judge(URL, origin_files=given, response=response)
    assert isinstance(needs, Needs)
    assert url in needs.urls


@pytest.mark.parametrize(
    ("trust", "action"),
    [
        ({"/.well-known/trust.txt": "datatrainingallowed=no"}, "skip"),
        ({"/trust.txt": "datatrainingallowed=no"}, "skip"),
        ({"/.well-known/trust.txt": "<!DOCTYPE html>", "/trust.txt": "datatrainingallowed=no"}, "skip"),
        ({"/.well-known/trust.txt": "member=x", "/trust.txt": "datatrainingallowed=no"}, "store"),
    ],
    ids=["the first", "the second", "a page, then the second", "a first without a word is there"],
)
def test_locations_of_trust_txt(trust, action):
    more = {ORIGIN + path: OriginFile(ORIGIN + path, 200, body=text.encode()) for path, text in trust.items()}
    assert judge(more=more).action == action


@pytest.mark.parametrize("headers", [[LINK], []], ids=["linked", "announced"])
@pytest.mark.parametrize(
    ("policy", "licence", "action", "reasons"),
    [
        ("standard", LICENCE, "skip", ["rsl"]),
        ("standard", OriginFile(LICENCE.url, 404), "store", []),
        ("strict", OriginFile(LICENCE.url, 404), "skip", ["rsl"]),
        ("standard", OriginFile(LICENCE.url, 200, body=b"<rsl"), "store", []),
        ("strict", OriginFile(LICENCE.url, 200, body=b"<rsl"), "skip", ["rsl"]),
        ("standard", OriginFile(LICENCE.url, 503), "store", []),
        ("strict", OriginFile(LICENCE.url, 503), "defer", ["undetermined"]),
    ],
)
def test_rsl_documents(headers, policy, licence, action, reasons):
    robots = None if headers else "License: /l.xml"
    verdict = judge(policy, robots=robots, headers=headers, more={LICENCE.url: licence})
    assert (verdict.action, list(verdict.reasons)) == (action, reasons)


def test_ai_txt_is_asked_again_once_the_type_is_known():
    more = {f"{ORIGIN}/ai.txt": OriginFile(f"{ORIGIN}/ai.txt", 200, body=b"User-Agent: *\nDisallow: *.jpg\n")}
    url = f"{ORIGIN}/picture/1"
    assert judge(url=url, more=more).action is Action.STORE
    verdict = judge(url=url, more=more, headers=[("Content-Type", "image/jpeg; q=1")])
    assert (verdict.reason, verdict.stage) == (Reason.AI_TXT, Stage.HEADERS)
    assert judge(url=url, more=more, headers=[("Content-Type", "image/png")]).action is Action.STORE


NOAI_PAGE = Page(f"{ORIGIN}/", (), '<meta name="robots" content="noai">')
PAGES = {
    "a meta tag": (NOAI_PAGE, {}, "skip", ["meta-robots"]),
    "a header": (Page(f"{ORIGIN}/", ((TAG, "noai"),)), {}, "skip", ["x-robots-tag"]),
    "a page's noindex is its own": (Page(f"{ORIGIN}/", ((TAG, "noindex"),)), {}, "store", []),
    "a page's noimageindex": (Page(f"{ORIGIN}/", ((TAG, "noimageindex"),)), {}, "skip", ["x-robots-tag"]),
    "by the letter": (
        Page(f"{ORIGIN}/", ((TAG, "noimageindex"),)),
        {"policy": "letter"},
        "store",
        [],
    ),
}


@pytest.mark.parametrize(("page", "given_", "action", "reasons"), PAGES.values(), ids=PAGES)
def test_pages(page, given_, action, reasons):
    verdict = judge(page=page, **given_)
    assert (verdict.action, list(verdict.reasons)) == (action, reasons)
    if reasons:
        assert verdict.stage is Stage.PAGE
        assert judge(page=page, stage=Stage.ORIGIN, **given_).action is Action.SKIP  # before any contact


TRAINERS = "User-agent: GPTBot\nUser-agent: CCBot\nDisallow: /\n"
INFERRED = {
    "two trainers": ({"robots": TRAINERS}, "skip", ["robots.ai-token"]),
    "by the letter": ({"robots": TRAINERS, "policy": "letter"}, "store", []),
    "an explicit allow in the file": (
        {"robots": TRAINERS + "\nUser-agent: *\nContent-Signal: ai-train=yes\n"},
        "store",
        [],
    ),
    "an explicit allow in a header": ({"robots": TRAINERS, "headers": [(TDM, "0")]}, "store", []),
    "an Allow is none": (
        {"robots": TRAINERS + "\nUser-agent: PictureBot\nAllow: /\n"},
        "skip",
        ["robots.ai-token"],
    ),
    "it lifts nothing that is soft": (
        {
            "robots": "User-agent: *\nContent-Signal: ai-train=no\nAllow: /\n\n"
            "User-agent: PictureBot\nAllow: /\n",
            "headers": [(TDM, "0")],
        },
        "skip",
        ["content-signal"],
    ),
    "one trainer": ({"robots": "User-agent: GPTBot\nDisallow: /\n"}, "store", []),
    "one trainer, strict": (
        {"robots": "User-agent: GPTBot\nDisallow: /\n", "policy": "strict"},
        "skip",
        ["robots.ai-token"],
    ),
}


@pytest.mark.parametrize(("given_", "action", "reasons"), INFERRED.values(), ids=INFERRED)
def test_what_is_inferred(given_, action, reasons):
    verdict = judge(**given_)
    assert (verdict.action, list(verdict.reasons)) == (action, reasons)


def test_what_was_lifted_is_kept():
    verdict = judge(robots=TRAINERS, headers=[(TDM, "0")])
    (lifted,) = verdict.overridden
    assert (lifted.signal, lifted.strength) == ("robots.ai-token", "inferred")


OVERRIDE = '[[override]]\n{}\naction = "{}"\nevidence = "contract 7"\n'
OVERRIDES = {
    "a deny by host": ('host = "ART.example"', "deny", {}, "skip", ["operator.deny"]),
    "another host": ('host = "example"', "deny", {}, "store", []),
    "a deny by domain": ('domain = "example"', "deny", {}, "skip", ["operator.deny"]),
    "no part of a label": ('domain = "rt.example"', "deny", {}, "store", []),
    "a deny by URL": (f'url = "{ORIGIN}/*.jpg$"', "deny", {}, "skip", ["operator.deny"]),
    "another path": (f'url = "{ORIGIN}/art/"', "deny", {}, "store", []),
    "another port": ('url = "http://art.example:81/"', "deny", {}, "store", []),
    "a licence lifts a deny": ('host = "art.example"', "licence", {"headers": [(TAG, "noai")]}, "store", []),
    "and that of robots.txt": (
        'host = "art.example"',
        "licence",
        {"robots": "User-agent: *\nDisallow: /"},
        "store",
        [],
    ),
    "no doubt, though": ('host = "art.example"', "licence", {"robots": 500}, "defer", ["robots.unreachable"]),
    "an expired licence": (
        'host = "art.example"\nexpires = 2026-01-01',
        "licence",
        {"headers": [(TAG, "noai")], "now": 1.8e9},
        "skip",
        ["x-robots-tag"],
    ),
    "a licence for another purpose": (
        'host = "art.example"\npurpose = "train-generative"',
        "licence",
        {"headers": [(TAG, "noai")]},
        "skip",
        ["x-robots-tag"],
    ),
}


@pytest.mark.parametrize(
    ("match", "ruling", "given_", "action", "reasons"), OVERRIDES.values(), ids=OVERRIDES
)
def test_overrides(tmp_path, match, ruling, given_, action, reasons):
    path = tmp_path / "p.toml"
    path.write_text(OVERRIDE.format(match, ruling))
    verdict = judge(path, **given_)
    assert (verdict.action, list(verdict.reasons)) == (action, reasons)
    if action == "skip" and ruling == "deny":
        assert verdict.stage is Stage.URL
        assert verdict.evidence[0].evidence.raw == "contract 7"
        assert verdict.evidence[0].evidence.where == "override 1"
    if action == "store" and ruling == "licence":
        assert verdict.evidence[0].rule == "licence host art.example"
        assert verdict.overridden


def test_a_deny_of_the_operator_beats_a_licence(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text(
        OVERRIDE.format('domain = "example"', "licence") + OVERRIDE.format('host = "art.example"', "deny")
    )
    assert judge(path).reason is Reason.OPERATOR_DENY


def test_a_licence_opts_in(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text('extends = "opt-in"\n' + OVERRIDE.format('host = "art.example"', "licence"))
    assert judge(path).action is Action.STORE


def test_policy_tokens(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text('policy_tokens = ["no-training"]\n')
    robots = "User-agent: No-Training\nDisallow: /1\n\nUser-agent: *\nDisallow: /2\n"
    assert judge(path, robots=robots).reason is Reason.ROBOTS_POLICY_TOKEN
    assert judge(robots=robots).action is Action.STORE
    assert judge(path, robots=robots, url=f"{ORIGIN}/2").reason is Reason.ROBOTS_DISALLOW


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


def test_all_faults_are_told():
    with pytest.raises(ConfigurationError) as caught:
        Gate("Picture Bot", "strickt")
    assert len(caught.value.faults) == 2


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
        bodies = itertools.cycle((robots, tdmrep))
        made = {
            each: OriginFile(each, 200, body=body)
            for each, body in zip(gate.origin_files(address), bodies, strict=False)
        }
        names = (TAG, TDM, CU, "Robots-Tag", "Content-Signal", "Link", "Content-Type")
        response = Response(200, tuple((name, value) for name in names))
        page = Page(url, (), robots)
        assert isinstance(complete(gate, address, made, response=response, page=page), Verdict)


@pytest.mark.parametrize(
    ("age", "status", "told"),
    [
        pytest.param(60.0, 200, [], id="fresh"),
        pytest.param(3650.0, 200, [], id="overdue while a picture came in"),
        pytest.param(3700.0, 200, ["robots.disallow"], id="a copy"),
        pytest.param(3700.0, 404, [], id="there was none"),
    ],
)
def test_a_copy_that_stands_in_is_told(age, status, told):
    hour = (("Cache-Control", "max-age=3600"),)
    robots = OriginFile(ROBOTS, status, hour, b"User-agent: *\nDisallow: /admin/\n", fetched=1000.0)
    verdict = complete(Gate("PictureBot"), URL, {ROBOTS: robots}, now=1000.0 + age)
    assert verdict.action is Action.STORE
    assert [warning.signal.value for warning in verdict.warnings] == told
    if told:
        (warning,) = verdict.warnings
        assert "an older copy stood in" in warning.message
        assert warning.evidence.raw == "fetched 1970-01-01T00:16:40.000000+00:00"
