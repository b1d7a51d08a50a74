"""The gate and the picture's own bytes."""

from __future__ import annotations

import hashlib

import pytest

from heedful import Gate, Needs, OriginFile, Preference, Reason, Response, Stage
from heedful.body import Body
from heedful.model import Signature, Source
from heedful.signals.embedded import Watch
from heedful.testing import embed
from heedful.testing.pictures import make

URL = "http://art.example/1.jpg"
JPEG = make(1)
ALLOWS = {"cawg.ai_training": "allowed", "cawg.ai_generative_training": "allowed"}
VALID, INVALID = Signature(valid=True, words="valid"), Signature(valid=False, words="invalid: a hash")


def dmi(value, data=JPEG):
    return embed.xmp(data, embed.dmi_packet(value))


def store(entries, data=JPEG):
    return embed.jumbf(data, embed.training_mining_store(entries))


def judge(body, policy="standard", robots=None, headers=(), signature=None, **kwargs):
    gate = Gate("PictureBot", policy)
    files = {url: OriginFile(url, 404) for url in gate.origin_files(URL)}
    files["http://art.example/trust.txt"] = OriginFile("http://art.example/trust.txt", 404)
    if robots:
        files["http://art.example/robots.txt"] = OriginFile("http://art.example/robots.txt", 200, body=robots)
    return gate.judge(
        URL,
        origin_files=files,
        response=Response(200, tuple(headers), fetched=5.0),
        body=body,
        signature=signature,
        **kwargs,
    )


TRAINERS = b"User-agent: GPTBot\nUser-agent: CCBot\nDisallow: /\n"
NOAI = [("X-Robots-Tag", "noai")]

CASES = {
    "nothing in it": (JPEG, {}, "store", []),
    "nothing in it, opt-in": (JPEG, {"policy": "opt-in"}, "skip", ["no-opt-in"]),
    "prohibited": (dmi("DMI-PROHIBITED"), {}, "skip", ["data-mining"]),
    "prohibited, by the letter": (dmi("DMI-PROHIBITED"), {"policy": "letter"}, "skip", ["data-mining"]),
    "allowed": (dmi("DMI-ALLOWED"), {}, "store", []),
    "allowed, opt-in": (dmi("DMI-ALLOWED"), {"policy": "opt-in"}, "store", []),
    "allowed lifts what was said to others": (dmi("DMI-ALLOWED"), {"robots": TRAINERS}, "store", []),
    "allowed lifts no deny": (dmi("DMI-ALLOWED"), {"headers": NOAI}, "skip", ["x-robots-tag"]),
    "prohibited beside an allow": (
        dmi("DMI-PROHIBITED"),
        {"headers": [("tdm-reservation", "0")]},
        "skip",
        ["data-mining"],
    ),
    "TDMRep 1 in the file, 0 in the header": (
        embed.xmp(
            JPEG,
            embed.xmp_packet("<t:reservation>1</t:reservation>", 'xmlns:t="http://www.w3.org/ns/tdmrep/"'),
        ),
        {"headers": [("tdm-reservation", "0")]},
        "skip",
        ["tdmrep"],
    ),
    "TDMRep 0 in the file, 1 in the header": (
        embed.xmp(
            JPEG,
            embed.xmp_packet("<t:reservation>0</t:reservation>", 'xmlns:t="http://www.w3.org/ns/tdmrep/"'),
        ),
        {"headers": [("tdm-reservation", "1")]},
        "skip",
        ["tdmrep"],
    ),
    "not allowed by C2PA": (store({"c2pa.ai_training": "notAllowed"}), {}, "skip", ["training-mining"]),
    "both deny": (
        dmi("DMI-PROHIBITED", store({"cawg.data_mining": "constrained"})),
        {},
        "skip",
        ["data-mining", "training-mining"],
    ),
    "allowed, signed, opt-in": (store(ALLOWS), {"policy": "opt-in", "signature": VALID}, "store", []),
    "allowed, not signed, opt-in": (
        store(ALLOWS),
        {"policy": "opt-in", "signature": INVALID},
        "skip",
        ["no-opt-in"],
    ),
    "a part allowed, signed, opt-in": (
        store({"cawg.ai_training": "allowed"}),
        {"policy": "opt-in", "signature": VALID},
        "skip",
        ["no-opt-in"],
    ),
    "allowed, signed, said to others": (
        store(ALLOWS),
        {"robots": TRAINERS, "signature": VALID},
        "store",
        [],
    ),
    "allowed, signed, but noai": (
        store(ALLOWS),
        {"headers": NOAI, "signature": VALID},
        "skip",
        ["x-robots-tag"],
    ),
}


@pytest.mark.parametrize(("body", "given", "action", "reasons"), CASES.values(), ids=CASES)
def test_cases(body, given, action, reasons):
    verdict = judge(body, **given)
    assert (verdict.action.value, [each.value for each in verdict.reasons]) == (action, reasons)


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, False),
        ({"policy": "opt-in"}, True),
        ({"robots": TRAINERS}, True),
        ({"robots": TRAINERS, "headers": NOAI}, False),
        ({"headers": NOAI}, False),
        ({"policy": "opt-in", "signature": INVALID}, False),
        ({"policy": "opt-in", "headers": [("tdm-reservation", "0")]}, False),
    ],
    ids=["stored anyway", "opt-in", "said to others", "denied anyway", "denied", "known", "allowed anyway"],
)
def test_the_signature_is_asked_for_only_where_the_verdict_hangs_on_it(given, asked):
    answer = judge(store(ALLOWS), **given)
    assert (answer == Needs(signature=True)) is asked


def test_evidence_names_the_file_its_hash_and_the_place():
    body = dmi("DMI-PROHIBITED-AIMLTRAINING")
    (statement,) = judge(body).evidence
    evidence = statement.evidence
    assert (evidence.source_url, evidence.sha256) == (URL, hashlib.sha256(body).hexdigest())
    assert evidence.fetched == 5.0
    assert "XMP" in evidence.where
    assert "DMI-PROHIBITED-AIMLTRAINING" in evidence.raw


def test_an_allow_that_is_not_signed_is_kept_with_the_reason():
    verdict = judge(store(ALLOWS), policy="opt-in", signature=INVALID)
    (statement,) = verdict.evidence
    assert statement.preference is Preference.UNKNOWN
    assert statement.signal is Reason.TRAINING_MINING
    assert "a hash" in statement.rule


@pytest.mark.parametrize(
    ("policy", "action"), [("standard", "store"), ("letter", "store"), ("strict", "defer")]
)
def test_what_is_there_and_cannot_be_read_is_a_doubt_by_the_switch(policy, action):
    broken = embed.jumbf(JPEG, embed.training_mining_store({"c2pa.ai_training": "x"}, content="json")[:-9])
    assert judge(broken, policy=policy).action.value == action


def test_a_body_is_read_once_however_often_it_is_judged():
    body = Body(dmi("DMI-PROHIBITED"))
    first = body.embedded
    assert judge(body) == judge(body)
    assert body.embedded is first


def test_a_picture_that_is_still_coming_in_is_refused_at_its_first_kilobytes():
    data = embed.xmp(make(1, min_bytes=200_000), embed.dmi_packet("DMI-PROHIBITED"))
    watch = Watch(Source(""))
    read = next(end for end in range(512, len(data), 512) if watch.feed(data[end - 512 : end]))
    assert read <= 8192
    verdict = judge(watch.embedded, stage=Stage.BODY)
    assert verdict.reasons == (Reason.DATA_MINING,)


def test_a_picture_that_is_still_coming_in_allows_nothing():
    watch = Watch(Source(""))
    assert not watch.feed(dmi("DMI-ALLOWED"))
    assert judge(watch.embedded, policy="opt-in").reasons == (Reason.NO_OPT_IN,)
