"""Copies of a listed picture, elsewhere and under other names, at the gate and behind the adapters."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import replace
from datetime import date

import httpx
import pytest
from PIL import Image, ImageOps

import heedful
import heedful.httpx
import heedful.requests
import heedful.urllib
from heedful import Action, Gate, OriginFile, Policy, Preference, Reason, Response, Stage, fingerprint
from heedful.body import Body
from heedful.model import Purpose
from heedful.registry import Registry, Writer
from heedful.registry.entries import Entry, Kind
from heedful.testing import File, Site, Web, serve

from .photographs import photograph, saved

NOW = 1_780_000_000.0
ORIGIN = "http://copies.example"
URL = f"{ORIGIN}/mirror/untitled.jpg"
TRAINERS = b"User-agent: GPTBot\nUser-agent: CCBot\nDisallow: /\n"


ORIGINAL = saved(photograph(1), "PNG")
COPY = saved(photograph(1).resize((300, 225)), quality=75)
OTHER = saved(photograph(2), quality=75)
TORN = OTHER[: len(OTHER) // 2]
FLAT = saved(Image.new("RGB", (64, 64), "navy"))
PHASH = str(fingerprint.read(ORIGINAL))
LONE = PHASH.partition(":")[0]


def entry(text=PHASH, kind=Kind.PHASH, name="artists", **more):
    return Entry(kind, text, name, **more)


def built(folder, *entries):
    with Writer.build(folder, source="test") as writer:
        for each in entries:
            writer.add(each)
    return folder


# -- the gate ----------------------------------------------------------------------------------------------


@pytest.fixture
def judge(tmp_path):
    """The verdict on a body under registries, each a list of entries."""
    opened = []

    def run(*registries, body=COPY, policy="standard", robots=None):
        for number, entries in enumerate(registries):
            folder = built(tmp_path / f"{number}.heed", *entries)
            opened.append(Registry.open(folder, now=NOW))
        gate = Gate("PictureBot", policy, opened)
        files = {url: OriginFile(url, 404) for url in (*gate.origin_files(URL), f"{ORIGIN}/trust.txt")}
        if robots:
            files[f"{ORIGIN}/robots.txt"] = OriginFile(f"{ORIGIN}/robots.txt", 200, body=robots)
        given = Body(body) if isinstance(body, bytes) else body
        return gate.judge(URL, origin_files=files, response=Response(200, ()), body=given, now=NOW)

    yield run
    for each in opened:
        each.close()


TURNED = Image.Exif()
TURNED[0x0112] = 8

SEEN = {
    "the same file": ORIGINAL,
    "smaller, as JPEG": COPY,
    "larger, as WebP": saved(photograph(1).resize((1000, 750)), "WEBP", quality=80),
    "in grey": saved(photograph(1).convert("L")),
    "squeezed into a square": saved(photograph(1).resize((256, 256)), quality=90),
    "a frame around it": saved(photograph(1).crop((-40, -30, 680, 510)), quality=90),
    "padded to a square": saved(ImageOps.pad(photograph(1), (256, 256), color="white"), quality=90),
    "first frame of an animation": saved(photograph(1), "GIF", save_all=True, append_images=[photograph(3)]),
    "turned, and its tag turns it back": saved(
        photograph(1).transpose(Image.Transpose.ROTATE_270), exif=TURNED
    ),
}


@pytest.mark.parametrize("body", SEEN.values(), ids=SEEN)
def test_copies_are_skipped(judge, body):
    verdict = judge([entry(f"{PHASH} 1.png", date=date(2026, 1, 2))], body=body)
    assert (verdict.action, verdict.reasons) == (Action.SKIP, (Reason.REGISTRY_FINGERPRINT,))
    assert verdict.stage is Stage.BODY
    (statement,) = verdict.evidence
    assert statement.preference is Preference.DISALLOW
    assert statement.rule.startswith("opt-out, phash, distance ")
    small, large = (int(part.split()[-3]) for part in statement.rule.split(", ")[2:])
    assert 0 <= small <= fingerprint.SMALL_RADIUS
    assert 0 <= large <= fingerprint.LARGE_RADIUS
    evidence = statement.evidence
    assert (evidence.source_url, evidence.where) == ("registry 0", "list artists, registered 2026-01-02")
    assert evidence.raw == f"{PHASH} 1.png"


GENERATIVE = replace(Policy.load("standard"), purpose=Purpose.TRAIN_GENERATIVE)

CASES = {
    "another picture": ([[entry()]], {"body": OTHER}, "store", []),
    "a flat one": ([[entry()]], {"body": FLAT}, "store", []),
    "its small half only": ([[entry(LONE)]], {}, "skip", ["registry.fingerprint"]),
    "no picture": ([[entry()]], {"body": b"<svg></svg>"}, "store", []),
    "not there yet": ([[entry()]], {"body": None}, "store", []),
    "torn": ([[entry()]], {"body": TORN}, "defer", ["undetermined"]),
    "torn, and listed otherwise": (
        [[entry(), entry(hashlib.sha256(TORN).hexdigest(), Kind.SHA256)]],
        {"body": TORN},
        "skip",
        ["registry.hash", "undetermined"],
    ),
    "torn, but nothing to compare it with": (
        [[entry("other.example", Kind.HOST)]],
        {"body": TORN},
        "store",
        [],
    ),
    "torn, one of two registries has fingerprints": (
        [[entry("other.example", Kind.HOST)], [entry()]],
        {"body": TORN},
        "defer",
        ["undetermined"],
    ),
    "its URL opts in, in the same list": (
        [[entry(), entry(URL, Kind.URL, opt_in=True)]],
        {},
        "skip",
        ["registry.fingerprint"],
    ),
    "its host opts in, in the same list": (
        [[entry(), entry("copies.example", Kind.HOST, opt_in=True)]],
        {},
        "skip",
        ["registry.fingerprint"],
    ),
    "two lists": (
        [[entry(), entry(name="agency")]],
        {},
        "skip",
        ["registry.fingerprint"],
    ),
    "expired": ([[entry(expires=date(2020, 1, 1))]], {}, "store", []),
    "of another purpose": (
        [[entry(purpose=Purpose.TRAIN_NONGENERATIVE)]],
        {"policy": GENERATIVE},
        "store",
        [],
    ),
    "an opt-in that looks alike, under opt-in": (
        [[entry(opt_in=True)]],
        {"policy": "opt-in"},
        "skip",
        ["no-opt-in"],
    ),
    "an opt-in that looks alike, with an inferred deny": (
        [[entry(opt_in=True)]],
        {"robots": TRAINERS},
        "skip",
        ["robots.ai-token"],
    ),
    "an opt-in that looks alike lifts no host": (
        [[entry(opt_in=True), entry("copies.example", Kind.HOST)]],
        {},
        "skip",
        ["registry.host"],
    ),
    "an opt-in that looks alike lifts none of its list": (
        [[entry(opt_in=True), entry(LONE)]],
        {},
        "skip",
        ["registry.fingerprint"],
    ),
}


@pytest.mark.parametrize(("registries", "more", "action", "reasons"), CASES.values(), ids=CASES)
def test_judged(judge, registries, more, action, reasons):
    verdict = judge(*registries, **more)
    assert (verdict.action.value, [reason.value for reason in verdict.reasons]) == (action, reasons)


def test_an_opt_in_that_looks_alike_is_recorded(judge):
    verdict = judge([entry(opt_in=True)])
    assert verdict.action is Action.STORE
    (heard,) = [each for each in verdict.heard if each.statement.signal is Reason.REGISTRY_FINGERPRINT]
    assert heard.statement.preference is Preference.UNKNOWN
    assert heard.statement.rule.startswith("opt-in, phash, distance ")
    assert heard.statement.rule.endswith("agrees to nothing")


def test_why_it_could_not_be_compared_is_told(judge):
    verdict = judge([entry()], body=TORN)
    (statement,) = verdict.evidence
    assert statement.rule == "a picture that cannot be compared with listed ones"
    assert statement.evidence.where == "picture"
    assert "truncated" in statement.evidence.raw


def test_fingerprints_that_are_added_while_a_crawl_runs(tmp_path):
    folder = built(tmp_path / "x.heed", entry("other.example", Kind.HOST))
    with Registry.open(folder, now=NOW) as registry:
        gate = Gate("PictureBot", registries=[registry])
        files = {url: OriginFile(url, 404) for url in (*gate.origin_files(URL), f"{ORIGIN}/trust.txt")}

        def actions():
            given = {"origin_files": files, "response": Response(200, ()), "now": NOW}
            return [gate.judge(URL, body=body, **given).action for body in (COPY, TORN, OTHER)]

        assert actions() == [Action.STORE] * 3
        with Writer.update(folder, now=lambda: NOW) as writer:
            writer.add(entry())
        assert registry.refresh(NOW)
        assert actions() == [Action.SKIP, Action.DEFER, Action.STORE]


PLAIN = """
import sys

from heedful import Gate, OriginFile, Response
from heedful.body import Body

url = "http://copies.example/1.jpg"
gate = Gate("PictureBot", registries=sys.argv[1:])
files = {each: OriginFile(each, 404) for each in (*gate.origin_files(url), "http://copies.example/trust.txt")}
verdict = gate.judge(url, origin_files=files, response=Response(200, ()), body=sys.stdin.buffer.read())
print(getattr(verdict, "action", verdict), "PIL" in sys.modules, "scipy" in sys.modules)
"""

IMPORTED = {
    "no registry": ([], "store", False),
    "no fingerprints": ([entry("other.example", Kind.HOST), entry("0" * 64, Kind.SHA256)], "store", False),
    "fingerprints": ([entry()], "skip", True),
}


@pytest.mark.parametrize(("entries", "action", "imported"), IMPORTED.values(), ids=IMPORTED)
def test_pillow_is_only_imported_where_there_are_fingerprints(tmp_path, entries, action, imported):
    folders = [str(built(tmp_path / "x.heed", *entries))] if entries else []
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, *folders], input=COPY, capture_output=True, check=True
    )
    assert done.stdout.decode().split() == [action, str(imported), "False"]


# -- the adapters ------------------------------------------------------------------------------------------

JPEG = ("Content-Type", "image/jpeg")
FREE = {f"/free/{seed}.jpg": saved(photograph(seed).resize((300, 225))) for seed in range(2, 6)}
SITE = {"/mirror/untitled.jpg": COPY, "/flat.jpg": FLAT, "/torn.jpg": TORN, **FREE}


@pytest.fixture(scope="module")
def web():
    files = {path: File(data, headers=(JPEG,)) for path, data in SITE.items()}
    with serve(Web({"copies": Site(files)})) as web:
        yield web


@contextmanager
def by_requests(**options):
    with heedful.requests.Session(**options) as session:
        yield lambda url: session.get(url, timeout=30).content


@contextmanager
def by_urllib(**options):
    handler = heedful.urllib.Handler(**options)
    opener = urllib.request.build_opener(handler)

    def get(url):
        with opener.open(url, timeout=30) as answer:
            return answer.read()

    try:
        yield get
    finally:
        handler.close()


@contextmanager
def by_httpx(**options):
    with httpx.Client(transport=heedful.httpx.Transport(**options), timeout=30) as client:
        yield lambda url: client.get(url).content


@contextmanager
def by_httpx_async(**options):
    loop = asyncio.new_event_loop()
    client = httpx.AsyncClient(transport=heedful.httpx.AsyncTransport(**options), timeout=30)
    try:
        yield lambda url: loop.run_until_complete(client.get(url)).content
    finally:
        loop.run_until_complete(client.aclose())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


ADAPTERS = {
    "requests": by_requests,
    "urllib": by_urllib,
    "httpx": by_httpx,
    "httpx with asyncio": by_httpx_async,
}


@pytest.fixture(params=ADAPTERS.values(), ids=ADAPTERS)
def fetch(request, web, tmp_path):
    """What becomes of each picture of the site, by its path."""

    def run(*entries):
        options = {
            "token": "PictureBot",
            "ledger": tmp_path / "ledger",
            "cache": tmp_path / "cache",
            "registries": [built(tmp_path / "x.heed", *entries)],
        }
        found = {}
        with request.param(**options) as get:
            for path in SITE:
                try:
                    found[path] = get(web.url("copies", path))
                except heedful.Deferred:
                    found[path] = "deferred"
                except heedful.OptedOut as refused:
                    found[path] = refused.verdict.reason.value
        return found

    return run


def test_a_copy_on_another_host_is_not_handed_out(fetch, records, web):
    assert fetch(entry(f"{PHASH} 1.png")) == {
        **SITE,
        "/mirror/untitled.jpg": "registry.fingerprint",
        "/torn.jpg": "deferred",
    }
    by_path = {record.url.removeprefix(web.origin("copies")): record for record in records()}
    assert {path: record.action.value for path, record in by_path.items()} == {
        **dict.fromkeys(SITE, "store"),
        "/mirror/untitled.jpg": "skip",
        "/torn.jpg": "defer",
    }
    copy = by_path["/mirror/untitled.jpg"]
    assert (copy.reason, copy.stage) == (Reason.REGISTRY_FINGERPRINT, Stage.BODY)
    (evidence,) = copy.evidence
    assert evidence["raw"] == f"{PHASH} 1.png"
    assert evidence["rule"].startswith("opt-out, phash, distance ")
    assert by_path["/torn.jpg"].reason is Reason.UNDETERMINED


def test_where_no_fingerprints_are_listed_nothing_is_compared(fetch):
    assert fetch(entry("other.example", Kind.HOST)) == SITE


def test_an_audit_hands_out_what_it_records(web, records, tmp_path):
    registry = built(tmp_path / "x.heed", entry())
    options = {"token": "PictureBot", "ledger": tmp_path / "ledger", "cache": tmp_path / "cache"}
    with heedful.requests.Session(**options, registries=[registry], audit=True) as session:
        assert session.get(web.url("copies", "/mirror/untitled.jpg"), timeout=30).content == COPY
    (record,) = records()
    assert (record.reason, record.run.enforced) == (Reason.REGISTRY_FINGERPRINT, False)
