"""The gate and registries, local and remote."""

from __future__ import annotations

import hashlib
from datetime import date

import pytest

from heedful import (
    Action,
    ConfigurationError,
    Gate,
    Needs,
    OriginFile,
    Policy,
    Preference,
    Reason,
    Response,
    Stage,
)
from heedful.body import Body
from heedful.model import Evidence, Purpose, Statement
from heedful.registry import Registry, Writer
from heedful.registry.entries import Entry, Kind
from heedful.testing import make

NOW = 1_780_000_000.0
URL = "http://art.example/a/1.jpg"
ORIGIN = "http://art.example"
PICTURE = make(1)


@pytest.fixture
def registry(tmp_path):
    made = []

    def build(*entries, name="x"):
        folder = tmp_path / f"{name}.heed"
        with Writer.build(folder, source="test") as writer:
            for entry in entries:
                writer.add(entry)
        made.append(Registry.open(folder, now=NOW))
        return made[-1]

    yield build
    for each in made:
        each.close()


def out(kind, text, name="artists", **more):
    return Entry(kind, text, name, **more)


def into(kind, text, name="artists", **more):
    return Entry(kind, text, name, opt_in=True, **more)


def files(robots=None):
    made = {ORIGIN + path: OriginFile(ORIGIN + path, 404) for path in ("/trust.txt",)}
    for url in Gate("PictureBot").origin_files(URL):
        made[url] = OriginFile(url, 404)
    if robots:
        made[ORIGIN + "/robots.txt"] = OriginFile(ORIGIN + "/robots.txt", 200, body=robots)
    return made


def judge(*registries, policy="standard", robots=None, headers=(), url=URL, **kwargs):
    gate = Gate("PictureBot", policy, registries)
    kwargs = {"body": Body(PICTURE), "now": NOW, **kwargs}
    return gate.judge(
        url, origin_files=files(robots), response=Response(200, tuple(headers), fetched=5.0), **kwargs
    )


SHA256 = hashlib.sha256(PICTURE).hexdigest()
MD5 = hashlib.md5(PICTURE, usedforsecurity=False).hexdigest()
TRAINERS = b"User-agent: GPTBot\nUser-agent: CCBot\nDisallow: /\n"
PAST = date(2020, 1, 1)

CASES = {
    "not listed": ([out(Kind.HOST, "other.example")], {}, "store", []),
    "url": ([out(Kind.URL, URL)], {}, "skip", ["registry.url"]),
    "host": ([out(Kind.HOST, "art.example")], {}, "skip", ["registry.host"]),
    "domain": ([out(Kind.DOMAIN, "example")], {}, "skip", ["registry.domain"]),
    "path": ([out(Kind.PATH, "art.example/a/")], {}, "skip", ["registry.path"]),
    "pattern": ([out(Kind.PATTERN, "art.example/*.jpg$")], {}, "skip", ["registry.pattern"]),
    "sha256": ([out(Kind.SHA256, SHA256)], {}, "skip", ["registry.hash"]),
    "md5": ([out(Kind.MD5, MD5.upper())], {}, "skip", ["registry.hash"]),
    "the file is not there yet": ([out(Kind.SHA256, SHA256)], {"body": None}, "store", []),
    "several": (
        [out(Kind.URL, URL, "one"), out(Kind.HOST, "art.example", "two")],
        {},
        "skip",
        ["registry.url", "registry.host"],
    ),
    "an exception in one list": (
        [out(Kind.HOST, "art.example"), into(Kind.URL, URL)],
        {"policy": "opt-in"},
        "store",
        [],
    ),
    "an exception by the file's hash": (
        [out(Kind.HOST, "art.example"), into(Kind.SHA256, SHA256)],
        {},
        "store",
        [],
    ),
    "an exception of another list": (
        [out(Kind.HOST, "art.example"), into(Kind.URL, URL, "agency")],
        {},
        "skip",
        ["registry.host"],
    ),
    "an opt-in, under opt-in": ([into(Kind.URL, URL)], {"policy": "opt-in"}, "store", []),
    "an opt-in lifts what was said to others": ([into(Kind.URL, URL)], {"robots": TRAINERS}, "store", []),
    "an opt-in lifts no deny": (
        [into(Kind.URL, URL)],
        {"headers": [("X-Robots-Tag", "noai")]},
        "skip",
        ["x-robots-tag"],
    ),
    "it has expired": ([out(Kind.URL, URL, expires=PAST)], {}, "store", []),
    "the time is not known: an opt-out holds": (
        [out(Kind.URL, URL, expires=PAST)],
        {"now": None},
        "skip",
        ["registry.url"],
    ),
    "a part of training is declined": (
        [out(Kind.URL, URL, purpose=Purpose.TRAIN_GENERATIVE)],
        {},
        "skip",
        ["registry.url"],
    ),
    "a part of training is agreed to": (
        [into(Kind.URL, URL, purpose=Purpose.TRAIN_GENERATIVE)],
        {"policy": "opt-in"},
        "skip",
        ["no-opt-in"],
    ),
    "what is no URL, and listed": (
        [out(Kind.URL, "http://[bad")],
        {"url": "http://[bad"},
        "skip",
        ["registry.url"],
    ),
    "what is no URL": ([out(Kind.URL, URL)], {"url": "http://[bad"}, "defer", ["undetermined"]),
}


@pytest.mark.parametrize(("entries", "given", "action", "reasons"), CASES.values(), ids=CASES)
def test_cases(registry, entries, given, action, reasons):
    verdict = judge(registry(*entries), **given)
    assert (verdict.action.value, [reason.value for reason in verdict.reasons]) == (action, reasons)
    assert verdict.registries == (("x", 1),)


def test_several_registries_and_the_most_restrictive_counts(registry):
    one, two = registry(into(Kind.URL, URL)), registry(out(Kind.DOMAIN, "art.example"), name="two")
    verdict = judge(one, two)
    assert verdict.reasons == (Reason.REGISTRY_DOMAIN,)
    assert verdict.registries == (("x", 1), ("two", 1))
    assert [statement.preference for statement in verdict.overridden] == [Preference.ALLOW]


def test_nothing_else_is_needed_where_a_registry_declines(registry):
    gate = Gate("PictureBot", "standard", [registry(out(Kind.HOST, "art.example"))])
    verdict = gate.judge(URL, origin_files={}, stage=Stage.ORIGIN, now=NOW)
    assert (verdict.action, verdict.stage, verdict.bars_contact) == (Action.SKIP, Stage.URL, True)


def test_evidence(registry):
    made = registry(
        out(Kind.HOST, "art.example", date=date(2026, 1, 2)),
        out(Kind.DOMAIN, "example"),
        into(Kind.PATH, "art.example/b/"),
    )
    decisive, overruled = judge(made).evidence
    assert decisive.evidence == Evidence("registry x", "list artists, registered 2026-01-02", "art.example")
    assert decisive.rule == "opt-out, host"
    assert overruled.preference is Preference.UNKNOWN
    assert overruled.rule == "opt-out, domain, overruled by a more specific entry"
    assert Statement.from_dict(decisive.as_dict()) == decisive


def test_the_operators_licence_lifts_it(registry, tmp_path):
    policy = tmp_path / "p.toml"
    policy.write_text('[[override]]\nhost = "art.example"\naction = "licence"\nevidence = "contract"\n')
    verdict = judge(registry(out(Kind.HOST, "art.example")), policy=policy)
    assert verdict.action is Action.STORE
    assert [statement.signal for statement in verdict.overridden] == [Reason.REGISTRY_HOST]


def test_registries_by_their_folders_and_all_faults_at_once(registry, tmp_path):
    made = registry(out(Kind.URL, URL))
    gate = Gate("PictureBot", "standard", [str(made.folder), made])
    assert [each.name for each in gate.registries] == ["x", "x"]
    gate.registries[0].close()
    with pytest.raises(ConfigurationError) as caught:
        Gate("a b", "nowhere", [tmp_path / "one", tmp_path / "two"])
    assert len(caught.value.faults) == 4


# -- remote registries -------------------------------------------------------------------------------------

REMOTE = """
[[remote]]
name = "union"
protocol = "json"
url = "https://registry.example/query"
opt_out_field = "out"
"""


@pytest.fixture
def asking(tmp_path):
    path = tmp_path / "remote.toml"
    path.write_text(REMOTE)
    return Policy.load(path)


def said(preference):
    return {
        "union": Statement(
            Reason.REGISTRY_REMOTE, preference, "union: x", Evidence("https://r.example/", "union", "x")
        )
    }


def test_a_remote_registry_is_asked_for_along_with_the_files(asking):
    gate = Gate("PictureBot", asking)
    needs = gate.judge(URL, origin_files={}, stage=Stage.ORIGIN, now=NOW)
    assert isinstance(needs, Needs)
    assert needs.remotes == ("union",)
    assert needs.urls
    assert judge(policy=asking) == Needs(remotes=("union",))


@pytest.mark.parametrize(
    ("preference", "action", "reasons"),
    [
        (Preference.DISALLOW, Action.SKIP, (Reason.REGISTRY_REMOTE,)),
        (Preference.ALLOW, Action.STORE, ()),
        (Preference.UNKNOWN, Action.STORE, ()),
        (Preference.UNDETERMINED, Action.DEFER, (Reason.REGISTRY_REMOTE,)),
    ],
)
def test_what_a_remote_registry_says(asking, preference, action, reasons):
    verdict = judge(policy=asking, remote=said(preference))
    assert (verdict.action, verdict.reasons) == (action, reasons)


def test_no_remote_registry_is_asked_about_what_is_declined_anyway(asking, registry):
    assert judge(registry(out(Kind.URL, URL)), policy=asking).reasons == (Reason.REGISTRY_URL,)


def test_remote_registries_are_part_of_the_policy(asking, tmp_path):
    assert asking.as_dict()["remote"][0]["name"] == "union"
    assert asking.hash != Policy.load("standard").hash
    more = tmp_path / "more.toml"
    more.write_text(f'extends = "remote.toml"\n{REMOTE.replace("query", "other")}')
    assert [remote.url for remote in Policy.load(more).remotes] == ["https://registry.example/other"]
    more.write_text(REMOTE + REMOTE)
    with pytest.raises(ConfigurationError, match="there is a remote registry 'union' already"):
        Policy.load(more)
    more.write_text(REMOTE.replace("union", "a b") + "batch = 0\n")
    with pytest.raises(ConfigurationError) as caught:
        Policy.load(more)
    assert [fault.partition(": ")[0].rpartition(":")[2] for fault in caught.value.faults] == ["3", "7"]
    more.write_text("remote = 1\n")
    with pytest.raises(ConfigurationError, match=r"write \[\[remote\]\]"):
        Policy.load(more)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(URL, id="url"),
        pytest.param("http://art.example/b/2.jpg", id="host"),
        pytest.param("http://www.art.example/b/2.jpg", id="domain"),
        pytest.param("http://free.example/1.jpg", id="free"),
        pytest.param("ftp://art.example/1.jpg", id="no-http"),
        pytest.param("no url at all", id="raw"),
    ],
)
def test_what_was_looked_up_before_counts_as_what_is_looked_up_now(registry, url):
    first = registry(
        out(Kind.URL, URL), out(Kind.HOST, "art.example"), out(Kind.URL, "no url at all"), name="first"
    )
    second = registry(into(Kind.DOMAIN, "art.example"), out(Kind.SHA256, SHA256), name="second")
    gate = Gate("PictureBot", "standard", (first, second))
    (batched,) = gate.registered_batch([url], NOW)
    origin_files = {each: OriginFile(each, 404) for each in gate.origin_files(url)}
    trust = {
        each.replace("/.well-known", ""): OriginFile(each.replace("/.well-known", ""), 404)
        for each in origin_files
        if "trust" in each
    }
    known = {"origin_files": origin_files | trust, "body": Body(PICTURE), "now": NOW}
    wanted = gate.judge(url, **known)
    assert gate.judge(url, registered=gate.registered(url), **known) == wanted
    assert gate.judge(url, registered=batched, **known) == wanted


def test_a_batch_names_the_registries_of_what_is_not_listed(registry):
    gate = Gate("PictureBot", "standard", (registry(out(Kind.URL, URL)),))
    listed, free, nothing = gate.registered_batch([URL, "http://free.example/", None], NOW)
    assert [len(each[0].matches) for each in (listed, free, nothing)] == [1, 0, 0]
    assert {each[0].name for each in (listed, free, nothing)} == {"x"}


def test_registries_that_were_not_all_looked_up_are_no_answer(registry):
    gate = Gate("PictureBot", "standard", (registry(out(Kind.URL, URL)),))
    with pytest.raises(ValueError, match="zip"):
        gate.judge(URL, origin_files=files(), registered=(), now=NOW)
