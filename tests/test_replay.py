"""A ledger under another policy: what replay claims to know is what judging anew would say."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
import requests

from heedful import (
    Action,
    Evidence,
    Gate,
    Needs,
    OriginFile,
    Page,
    Policy,
    Preference,
    Purpose,
    Reason,
    Response,
    Stage,
    Statement,
    c2pa,
)
from heedful.body import Body
from heedful.captured import Captured
from heedful.configuration import Configuration
from heedful.enforcer import doubt
from heedful.ledger import LedgerReader, LedgerWriter, Run, RunLedger
from heedful.ledger.records import Record
from heedful.model import Signature
from heedful.registry import Writer
from heedful.registry.entries import Entry, Kind
from heedful.replay import Lack, Replay
from heedful.requests import Session
from heedful.signals import ai_txt, trust_txt
from heedful.testing import GALLERY, PROFILES, embed, serve
from heedful.testing.pictures import make

VECTORS = Path(__file__).parent / "vectors"
ROWS = [
    Captured.parse(line)
    for file in sorted(VECTORS.glob("*.jsonl"))
    for line in file.read_text("utf-8").splitlines()[::3]  # of each signal's rows enough
]
PLAIN = [row for row in ROWS if row.purpose is None]
NOW = 1_790_000_000.0
TOKENS = """
extends = "standard"
policy_tokens = ["train-ai", "GPTBot"]
"""
OWN = """
extends = "standard"
[[override]]
domain = "example"
action = "licence"
evidence = "contract"
[[override]]
host = "art.example"
action = "deny"
evidence = "letter"
"""


def crawled(url, policy, files, *, response=None, body=None, page=None, answers=None, **gate):
    """What a crawler does: it judges before it asks, and then with all that it got.

    `files` are at hand at once, `answers` (files, statements of remote registries) once they are asked for.
    """
    gate = Gate(gate.pop("token", None) or "PictureBot", policy, **gate)
    files, remote, signature, answers = dict(files), {}, None, answers or {}
    verdict = None
    for stage, head in ((Stage.ORIGIN, None), (Stage.BODY, response)):
        known = {"page": page, "response": head, "body": body if head else None, "stage": stage, "now": NOW}
        while isinstance(
            verdict := gate.judge(url, origin_files=files, remote=remote, signature=signature, **known), Needs
        ):
            files |= {each: answers.get(each, OriginFile(each, 404)) for each in verdict.urls}
            remote |= {name: answers[name] for name in verdict.remotes}
            if verdict.signature:
                signature = answers.get("signature") or c2pa.check(body, "image/jpeg")
        if verdict.action is not Action.STORE:
            break
    return verdict


def live(row, policy):
    (*_, hop) = row.hops
    return crawled(
        hop.url,
        policy,
        row.origin_files,
        response=hop.response or Response(200),
        body=hop.body,
        page=row.page,
        token=row.token,
    )


def written(ledger, policies, verdicts):
    """The records of verdicts, as they are read back."""
    writers, ids = {}, []
    for policy, verdict in zip(policies, verdicts, strict=True):
        if policy.hash not in writers:
            run = Run.start(crawler="test/1", token="PictureBot", policy=policy, enforced=True, now=NOW)
            writers[policy.hash] = LedgerWriter(str(ledger), run, clock=lambda: NOW)
        ids.append(writers[policy.hash].record(verdict.url, verdict.action, verdict).id)
    for writer in writers.values():
        writer.close()
    records = {record.id: record for record in LedgerReader(str(ledger))}
    return [records[each] for each in ids]


def of(policy, rows):
    """The policy, for what each row is for."""
    return [replace(policy, purpose=row.purpose or policy.purpose) for row in rows]


@pytest.fixture
def policy(tmp_path):
    def load(name):
        texts = {"tokens": TOKENS, "own": OWN}
        if name not in texts:
            return Policy.load(name)
        (tmp_path / f"{name}.toml").write_text(texts[name])
        return Policy.load(tmp_path / f"{name}.toml")

    return load


@pytest.mark.parametrize("after", [*PROFILES, "tokens", "own"])
@pytest.mark.parametrize("before", [*PROFILES, "own"])
def test_replay_is_judging_anew(tmp_path, policy, before, after):
    before, after = of(policy(before), ROWS), of(policy(after), ROWS)
    verdicts = [live(row, each) for row, each in zip(ROWS, before, strict=True)]
    records = written(tmp_path / "ledger", before, verdicts)
    snapshots = {file.sha256: file.body for row in ROWS for file in row.origin_files.values()}
    purposes = {each.hash: each.purpose for each in before}
    replays = {each.hash: Replay(each, snapshots.get, purposes) for each in after}
    known = 0
    for row, verdict, record, other in zip(ROWS, verdicts, records, after, strict=True):
        replayed = replays[other.hash].judge(record)
        if after == before:
            assert (replayed.action, replayed.reasons) == (verdict.action, verdict.reasons), row.id
        elif replayed.action is not None:
            assert replayed.action is live(row, other).action, row.id
        known += replayed.action is not None
    assert known > 100


@pytest.fixture(scope="module")
def crawls(tmp_path_factory):
    """The gallery, crawled under each profile: the records, by the URL that was asked for."""
    folder = tmp_path_factory.mktemp("crawls")
    found = {}
    with serve(GALLERY) as gallery:
        options = {"token": "PictureBot", "cache": folder / "cache"}
        options["registries"] = gallery.registry(folder / "gallery.heed")
        for profile in PROFILES:
            with Session(policy=profile, ledger=folder / profile, **options) as session:
                for exhibit in GALLERY.exhibits:
                    page = gallery.url(exhibit.shown_on or exhibit.site)
                    with suppress(requests.RequestException):
                        session.get(gallery.exhibit_url(exhibit), page=page)
            found[profile] = {
                record.hop_of or record.url: record for record in LedgerReader(str(folder / profile))
            }
    return found


@pytest.mark.parametrize("before", PROFILES)
def test_what_was_crawled_is_reproduced(crawls, before):
    replay = Replay(Policy.load(before), lambda _: None)
    told = list(replay.of(crawls[before].values()))
    assert [(each.action, each.reasons) for each in told] == [
        (each.record.action, each.record.reasons) for each in told
    ]
    assert len(told) > 100
    assert replay.summary.changes == {}


@pytest.mark.parametrize(("before", "after"), list(permutations(PROFILES, 2)))
def test_what_would_be_crawled_is_what_is_crawled(crawls, before, after):
    replay = Replay(Policy.load(after), lambda _: None)
    known = 0
    for each in replay.of(crawls[before].values()):
        first = each.record.hop_of or each.record.url
        on_the_way = each.action is Action.STORE and each.record.hop_of is not None
        if each.action is not None and not on_the_way:
            known += 1
            crawled_then = crawls[after][first]
            assert (each.action, first) == (crawled_then.action, first)
    assert known > 60


URL = "https://art.example/1.jpg"
PICTURE = make(1)
TRAINERS = b"User-agent: GPTBot\nUser-agent: ClaudeBot\nDisallow: /\n"
LICENCE = "https://art.example/licence.xml"
RSL = b"""<rsl xmlns="https://rslstandard.org/rsl"><content url="/"><license>
<prohibits type="usage">ai-train</prohibits></license></content></rsl>"""
ALLOWS = {"cawg.ai_training": "allowed", "cawg.ai_generative_training": "allowed"}
SIGNED = embed.jumbf(PICTURE, embed.training_mining_store(ALLOWS))
REMOTE = """
[[remote]]
name = "union"
protocol = "json"
url = "https://registry.example/query"
opt_out_field = "out"
"""


def at(path, status=200, body=b"", headers=()):
    return {f"https://art.example{path}": OriginFile(f"https://art.example{path}", status, headers, body)}


def union(preference):
    evidence = Evidence("https://registry.example/query", "union", URL)
    return {"union": Statement(Reason.REGISTRY_REMOTE, preference, "union", evidence)}


LISTED = (Entry(Kind.HOST, "art.example", "artists", purpose=Purpose.TRAIN_GENERATIVE),)
NOTHING = {
    url: file
    for path in ("/robots.txt", *ai_txt.PATHS, *trust_txt.PATHS)
    for url, file in at(path, 404).items()
}
TDM_FILE = NOTHING | at("/.well-known/tdmrep.json", body=b'[{"location": "/", "tdm-reservation": 1}]')

BEYOND = {
    # what each policy is, beyond the profile; what the web says; what the claim is, and what is true
    "a licence document that a skip did not wait for": (
        ("standard", ""),
        ("letter", '[switches]\nunreadable = "defer"'),
        {
            "files": at("/robots.txt", body=TRAINERS + f"License: {LICENCE}\n".encode())
            | at("/.well-known/tdmrep.json", 503),
            "answers": {LICENCE: OriginFile(LICENCE, 200, (), RSL)},
        },
        (None, Lack.UNSEEN),
        Action.SKIP,
    ),
    "a word on mining that a header takes back": (
        ("strict", ""),
        ("letter", ""),
        {
            "files": TDM_FILE,
            "page": Page("https://art.example/", (("X-Robots-Tag", "noimageindex"),)),
            "response": Response(200, (("TDM-Reservation", "0"),)),
        },
        (None, Lack.UNSEEN),
        Action.STORE,
    ),
    "a registry's entry for another use": (
        ("standard", 'purpose = "train-nongenerative"'),
        ("standard", 'purpose = "train-generative"'),
        {"entries": LISTED},
        (None, Lack.PURPOSE),
        Action.SKIP,
    ),
    "another use, and no registry": (
        ("standard", 'purpose = "train-nongenerative"'),
        ("standard", 'purpose = "train-generative"'),
        {},
        (Action.STORE, None),
        Action.STORE,
    ),
    "a remote registry that was not asked": (
        ("standard", ""),
        ("standard", REMOTE),
        {"answers": union(Preference.DISALLOW)},
        (None, Lack.REMOTE),
        Action.SKIP,
    ),
    "a remote registry that was not asked, of what is refused anyway": (
        ("standard", ""),
        ("standard", REMOTE),
        {"answers": union(Preference.ALLOW), "files": at("/robots.txt", body=b"User-agent: *\nDisallow: /")},
        (Action.SKIP, None),
        Action.SKIP,
    ),
    "a remote registry that no longer counts": (
        ("standard", REMOTE),
        ("standard", ""),
        {"answers": union(Preference.UNDETERMINED)},
        (None, Lack.UNSEEN),
        Action.STORE,
    ),
    "a remote registry that still counts": (
        ("standard", REMOTE),
        ("strict", REMOTE),
        {"answers": union(Preference.UNKNOWN)},
        (Action.STORE, None),
        Action.STORE,
    ),
    "a signature that was not checked": (
        ("standard", ""),
        ("opt-in", ""),
        {"body": SIGNED, "answers": {"signature": Signature(valid=True, words="valid")}},
        (None, Lack.SIGNATURE),
        Action.STORE,
    ),
    "a signature that was found valid": (
        ("opt-in", ""),
        ("opt-in", '[switches]\ncache_rules = "off"'),
        {"body": SIGNED, "answers": {"signature": Signature(valid=True, words="valid")}},
        (Action.STORE, None),
        Action.STORE,
    ),
    "a signature that was found invalid": (
        ("opt-in", ""),
        ("opt-in", '[switches]\ncache_rules = "off"'),
        {"body": SIGNED, "answers": {"signature": Signature(valid=False, words="invalid")}},
        (Action.SKIP, None),
        Action.SKIP,
    ),
    "a header beside bytes that were seen as well": (
        ("strict", ""),
        ("letter", ""),
        {"response": Response(200, (("X-Robots-Tag", "noarchive"),))},
        (Action.STORE, None),
        Action.STORE,
    ),
    "what was said to others, before a header could allow it": (
        ("letter", ""),
        ("standard", ""),
        {
            "files": at("/robots.txt", body=TRAINERS),
            "response": Response(200, (("Content-Usage", "train-ai=y"),)),
        },
        (Action.SKIP, None),
        Action.SKIP,
    ),
}


@pytest.mark.parametrize(("before", "after", "web", "claim", "truth"), BEYOND.values(), ids=BEYOND)
def test_what_it_claims_to_know(tmp_path, before, after, web, claim, truth):
    def load(name, profile, more):
        path = tmp_path / f"{name}.toml"
        path.write_text(f'extends = "{profile}"\n{more}')
        return Policy.load(path)

    before, after, web = load("before", *before), load("after", *after), dict(web)
    if "entries" in web:
        with Writer.build(tmp_path / "artists.heed", source="test") as writer:
            for entry in web.pop("entries"):
                writer.add(entry)
        web["registries"] = [tmp_path / "artists.heed"]
    web = {"files": {}, "response": Response(200), "body": PICTURE} | web
    (record,) = written(tmp_path / "ledger", [before], [crawled(URL, before, **web)])
    replayed = Replay(after, lambda _: None, {before.hash: before.purpose}).judge(record)
    assert (replayed.action, replayed.lack) == claim
    assert crawled(URL, after, **web).action is truth


def test_a_part_of_a_picture_is_not_known_to_be_free(tmp_path):
    data = embed.xmp(PICTURE, embed.dmi_packet("DMI-PROHIBITED"))
    standard, own = Policy.load("standard"), replace(Policy.load("opt-in"), purpose=Purpose.TRAIN_GENERATIVE)
    gate = Gate("PictureBot", standard)
    part = Body(data).embedded
    verdict = gate.judge(
        URL, origin_files={each: OriginFile(each, 404) for each in gate.origin_files(URL)}, body=part, now=NOW
    )
    (record,) = written(tmp_path, [standard], [verdict])
    assert (record.action, record.stage, record.complete) == (Action.SKIP, Stage.BODY, Stage.URL)
    unmarked = replace(record, evidence=())
    assert Replay(own, lambda _: None).judge(unmarked).lack is Lack.UNSEEN


@pytest.mark.parametrize(
    "change",
    [{"switch": "moonlight"}, {"signal": "moonlight"}, {"stage": "moon"}, {"rule": None}, {"switch": []}],
    ids=["switch", "signal", "stage", "no text", "no switch"],
)
def test_statements_that_are_not_understood_are_counted(tmp_path, change):
    standard = Policy.load("standard")
    skip = crawled(URL, standard, at("/robots.txt", body=b"User-agent: *\nDisallow: /"))
    (record,) = written(tmp_path, [standard], [skip])
    strange = replace(record, evidence=({**record.evidence[0], **change},))
    replay = Replay(standard, lambda _: None)
    assert list(replay.of([strange])) == []
    assert replay.summary.invalid == 1


def test_a_doubt_of_the_crawler_stays(tmp_path):
    standard = Policy.load("standard")
    (record,) = written(tmp_path, [standard], [doubt(URL, Stage.BODY, "the check failed", "KeyError")])
    for name in PROFILES:
        assert Replay(Policy.load(name), lambda _: None).judge(record).action is Action.DEFER


def test_what_is_no_url_stays(tmp_path):
    standard = Policy.load("standard")
    (record,) = written(tmp_path, [standard], [crawled("data:,x", standard, {})])
    for name in PROFILES:
        assert Replay(Policy.load(name), lambda _: None).judge(record).action is Action.DEFER


def test_what_is_not_known_is_said_to_go_on(tmp_path):
    strict, letter = Policy.load("strict"), Policy.load("letter")
    verdicts = [live(row, strict) for row in PLAIN]
    (record, *_) = [
        record
        for record in written(tmp_path, [strict] * len(PLAIN), verdicts)
        if record.reason == "robots.ai-token"
    ]
    replay = Replay(letter, lambda _: None)
    (replayed,) = replay.of([record])
    assert (replayed.action, replayed.changes, replayed.lack) == (None, True, Lack.UNSEEN)
    assert replay.summary.as_dict()["changes"] == [
        {"before": "skip", "after": "unknown", "count": 1, "reasons": {"robots.ai-token": 1}}
    ]


def test_a_failed_fetch_is_left_out(tmp_path):
    replay = Replay(Policy.load("strict"), lambda _: None)
    run = Run.start(crawler="x", token="T", policy=Policy.load("strict"), enforced=True, now=NOW)
    assert list(replay.of([Record("1", NOW, run, "http://h/", Action.FAILED)])) == []
    assert (replay.summary.unjudged, replay.summary.records) == (1, 0)


def test_files_that_are_no_longer_kept_are_counted(tmp_path, policy):
    standard = policy("standard")
    silent = next(
        row
        for row in ROWS
        if live(row, standard).snapshots
        and live(row, standard).action == "store"
        and any(url.endswith("/robots.txt") for url, _ in live(row, standard).snapshots)
    )
    replay = Replay(policy("tokens"), lambda _: None)
    (replayed,) = replay.of(written(tmp_path / "ledger", [standard], [live(silent, standard)]))
    assert (replayed.action, replayed.lack) == (None, Lack.SNAPSHOT)
    assert replay.summary.lacks == {Lack.SNAPSHOT: 1}


@pytest.fixture
def ledger(tmp_path):
    standard = Policy.load("standard")
    written(tmp_path / "ledger", [standard] * len(PLAIN), [live(row, standard) for row in PLAIN])
    return tmp_path / "ledger"


def test_the_command(heedful, ledger, tmp_path):
    same = heedful("replay", ledger, "--policy", "standard", "--cache", tmp_path)
    assert same.returncode == 0
    assert f"0 of {len(PLAIN):,} decisions would change." in same.stdout
    told = json.loads(heedful("replay", ledger, "--policy", "strict", "--json", "--cache", tmp_path).stdout)
    assert told["policy"] == "strict"
    changed = sum(each["count"] for each in told["changes"])
    assert changed > 10
    listed = heedful("replay", ledger, "--policy", "strict", "--list", "--cache", tmp_path).stdout
    assert len(listed.splitlines()) == changed
    assert {line.split("\t")[0] for line in listed.splitlines()} <= {"store", "skip", "defer"}
    shown = heedful("replay", ledger, "--policy", "letter", "--cache", tmp_path)
    assert "Under letter" in shown.stdout
    assert "they would go on, and what comes then is not known" in shown.stdout


def test_what_cannot_be_replayed_is_said(heedful, tmp_path):
    options = {"token": "PictureBot", "policy": "standard", "ledger": tmp_path / "ledger"}
    told = Configuration.check(**options, ledger_stores="count", now=NOW)
    ledger = RunLedger(told, told.gate(now=NOW), crawler="test/1", clock=lambda: NOW)
    store = crawled(URL, told.policy, {}, response=Response(200), body=PICTURE)
    ledger.record(URL, Action.STORE, store)
    ledger.record(URL, Action.FAILED, error="timeout")
    ledger.close()
    (record,) = written(tmp_path / "ledger", [told.policy], [store])
    assert record.action is Action.STORE
    moved = LedgerWriter(str(tmp_path / "ledger"), record.run, worker="1", clock=lambda: NOW)
    moved.record(URL, Action.STORE, store, hop_of="https://art.example/old.jpg")
    moved.close()
    call = ("replay", tmp_path / "ledger", "--policy", "strict", "--cache", tmp_path)
    assert json.loads(heedful(*call, "--json").stdout) == {
        "policy": "strict",
        "records": 2,
        "unjudged": 1,
        "invalid": 0,
        "redirected": 1,
        "unknown": {"unseen": 0, "remote": 0, "purpose": 0, "signature": 0, "snapshot": 0},
        "changes": [],
        "counted": 1,
    }
    words = heedful(*call).stdout
    assert "1 stored pictures were only counted" in words
    assert "1 that would be stored were reached by redirects" in words
    assert "1 failed fetches are left out" in words


def test_torn_lines_are_told(heedful, ledger, tmp_path):
    (file,) = ledger.glob("*.jsonl")
    file.write_bytes(file.read_bytes()[:-5])
    done = heedful("replay", ledger, "--policy", "strict", "--cache", tmp_path)
    assert done.returncode == 0
    assert "1 lines are no records, the first" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["nowhere", "--policy", "strict"], "There is no ledger at nowhere", id="no ledger"),
        pytest.param(["nowhere", "--policy", "strickt"], "did you mean 'strict'?", id="no policy"),
        pytest.param(["nowhere"], "Missing option '--policy'", id="nothing to compare"),
    ],
)
def test_faults_of_a_call(heedful, tmp_path, arguments, words):
    done = heedful("replay", *arguments, "--cache", tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
