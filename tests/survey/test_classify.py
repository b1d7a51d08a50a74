"""What a row says of a site: the parsers' and the gate's word, in columns."""

from __future__ import annotations

import json

import pytest

from heedful import Reason
from heedful.model import OriginFile
from heedful.signals import robots
from heedful.survey._classify import (
    REACHES,
    SIGNALS,
    STANDINGS,
    STATEMENTS_MAX,
    Access,
    Reach,
    Standing,
    access_of,
    reach_of,
)

from .conftest import AT, CLOSED, ORIGIN, row

TDMREP = "/.well-known/tdmrep.json"
ROBOTS = "/robots.txt"
RSL = '<rsl xmlns="https://rslstandard.org/rsl"><content url="{}"><license>{}</license></content></rsl>'
PROHIBITS = '<prohibits type="usage">ai-train</prohibits>'
PERMITS = '<permits type="usage">ai-train</permits>'


def reserved(location, value=1):
    return f'[{{"location": "{location}", "tdm-reservation": {value}}}]'


STANDING = {
    # robots.txt for our token
    "robots closed": ("robots", {ROBOTS: CLOSED.format("*")}, "declined"),
    "robots closed but for the root": (
        "robots",
        {ROBOTS: "User-agent: *\nDisallow: /\nAllow: /$\n"},
        "partly",
    ),
    "robots closes pictures": ("robots", {ROBOTS: "User-agent: *\nDisallow: /*.jpg\n"}, "partly"),
    "robots closes a path": ("robots", {ROBOTS: "User-agent: *\nDisallow: /x/\n"}, "partly"),
    "robots closes nothing": ("robots", {ROBOTS: "User-agent: *\nDisallow:\n"}, "silent"),
    "robots closes to others": ("robots", {ROBOTS: CLOSED.format("OtherBot")}, "silent"),
    "no robots": ("robots", {}, "absent"),
    # tokens of AI crawlers
    "a special token": ("ai_tokens", {ROBOTS: CLOSED.format("Google-Extended")}, "declined"),
    "two tokens": ("ai_tokens", {ROBOTS: CLOSED.format("GPTBot\nUser-agent: ClaudeBot")}, "declined"),
    "one token": ("ai_tokens", {ROBOTS: CLOSED.format("GPTBot")}, "hinted"),
    "a token on a path": ("ai_tokens", {ROBOTS: "User-agent: CCBot\nDisallow: /x/\n"}, "partly"),
    "one token on a path": ("ai_tokens", {ROBOTS: "User-agent: GPTBot\nDisallow: /x/\n"}, "silent"),
    "a token let in": ("ai_tokens", {ROBOTS: "User-agent: GPTBot\nAllow: /\n"}, "silent"),
    "a search engine's token": ("ai_tokens", {ROBOTS: CLOSED.format("PerplexityBot")}, "absent"),
    # other lines of robots.txt
    "legacy": ("legacy", {ROBOTS: "User-agent: *\nDisallowAITraining: /\n"}, "declined"),
    "legacy on a path": ("legacy", {ROBOTS: "DisallowAITraining: /x/\n"}, "partly"),
    "legacy allows": ("legacy", {ROBOTS: "AllowAITraining: /\n"}, "silent"),
    "usage n": ("content_usage", {ROBOTS: "User-agent: *\nContent-Usage: train-ai=n\n"}, "declined"),
    "usage y": ("content_usage", {ROBOTS: "User-agent: *\nContent-Usage: train-ai=y\n"}, "allowed"),
    "usage on a path": (
        "content_usage",
        {ROBOTS: "User-agent: *\nContent-Usage: /x/ train-ai=n\nContent-Usage: train-ai=y\n"},
        "partly",
    ),
    "usage of another value": (
        "content_usage",
        {ROBOTS: "User-agent: *\nContent-Usage: train-ai=no\n"},
        "hinted",
    ),
    "usage of something else": (
        "content_usage",
        {ROBOTS: "User-agent: *\nContent-Usage: search=n\n"},
        "silent",
    ),
    "signal no": ("content_signal", {ROBOTS: "User-agent: *\nContent-Signal: ai-train=no\n"}, "declined"),
    "signal yes": ("content_signal", {ROBOTS: "User-agent: *\nContent-Signal: ai-train=yes\n"}, "allowed"),
    "signal ceiling": (
        "content_signal",
        {ROBOTS: "User-agent: *\nContent-Signal: use=reference\n"},
        "hinted",
    ),
    "signal search": ("content_signal", {ROBOTS: "User-agent: *\nContent-Signal: search=no\n"}, "silent"),
    "no signal": ("content_signal", {ROBOTS: "User-agent: *\nAllow: /\n"}, "absent"),
    # TDMRep
    "reserved": ("tdmrep", {TDMREP: reserved("/")}, "declined"),
    "reserved on a path": ("tdmrep", {TDMREP: reserved("/x")}, "partly"),
    "reserved where it is never reached": (
        "tdmrep",
        {TDMREP: reserved("/", 0)[:-1] + "," + reserved("/x")[1:]},
        "allowed",
    ),
    "not reserved": ("tdmrep", {TDMREP: reserved("/", 0)}, "allowed"),
    "reserved in error": ("tdmrep", {TDMREP: reserved("/", 7)}, "silent"),
    "no JSON": ("tdmrep", {TDMREP: "{"}, "silent"),
    "a page in its place": ("tdmrep", {TDMREP: "<!doctype html>"}, "absent"),
    "tdmrep down": ("tdmrep", {TDMREP: 503}, "unreadable"),
    # ai.txt
    "ai.txt": ("ai_txt", {"/ai.txt": CLOSED.format("*")}, "declined"),
    "ai.txt for pictures": ("ai_txt", {"/ai.txt": "User-Agent: *\nDisallow: *.jpg\n"}, "partly"),
    "ai.txt for texts": ("ai_txt", {"/ai.txt": "User-Agent: *\nDisallow: *.txt\n"}, "partly"),
    "ai.txt allows": ("ai_txt", {"/ai.txt": "User-Agent: *\nAllow: /\n"}, "allowed"),
    "ai.txt of another kind": ("ai_txt", {"/ai.txt": "# About us\n\nWe like machines.\n"}, "absent"),
    "ai.json": (
        "ai_txt",
        {"/.well-known/ai.json": '{"site": {"name": "a", "url": "b"}, "policies": {"training": "deny"}}'},
        "declined",
    ),
    "one ai.txt down": ("ai_txt", {"/ai.txt": CLOSED.format("*"), "/.well-known/ai.txt": 500}, "declined"),
    "ai.txt down": ("ai_txt", {"/.well-known/ai.txt": 0}, "unreadable"),
    # trust.txt
    "trust no": ("trust_txt", {"/trust.txt": "datatrainingallowed=no\n"}, "declined"),
    "trust yes": ("trust_txt", {"/.well-known/trust.txt": "datatrainingallowed=yes\n"}, "allowed"),
    "trust of others": ("trust_txt", {"/trust.txt": "member=https://b.example/\n"}, "silent"),
    "the second trust.txt down": ("trust_txt", {"/trust.txt": 500}, "unreadable"),
    "the second, not asked": ("trust_txt", {"/.well-known/trust.txt": "x=y\n", "/trust.txt": 500}, "silent"),
    # RSL
    "rsl": ("rsl", {ROBOTS: "License: /l\n", "/l": RSL.format("/", PROHIBITS)}, "declined"),
    "rsl on a path": ("rsl", {ROBOTS: "License: /l\n", "/l": RSL.format("/x", PROHIBITS)}, "partly"),
    "rsl permits": ("rsl", {ROBOTS: "License: /l\n", "/l": RSL.format("/", PERMITS)}, "allowed"),
    "rsl of another site": (
        "rsl",
        {ROBOTS: "License: /l\n", "/l": RSL.format("https://b.example/", PROHIBITS)},
        "silent",
    ),
    "rsl missing": ("rsl", {ROBOTS: "License: /l\n", "/l": 404}, "unreadable"),
    "rsl broken": ("rsl", {ROBOTS: "License: /l\n", "/l": "<rsl>"}, "unreadable"),
    "rsl not announced": ("rsl", {"/l": RSL.format("/", PROHIBITS)}, "absent"),
}


@pytest.mark.parametrize(("column", "bodies", "standing"), STANDING.values(), ids=STANDING)
def test_standings(column, bodies, standing):
    assert row(**bodies)[column] == standing


def test_the_standings_of_a_site_are_apart():
    found = row(**{TDMREP: reserved("/")})
    assert {name: found[name] for name in SIGNALS if found[name] != "absent"} == {"tdmrep": "declined"}


@pytest.mark.parametrize("status", [0, 429, 503])
def test_without_a_robots_txt_nothing_in_it_is_known(status):
    found = row(**{ROBOTS: status})
    in_it = ("robots", "ai_tokens", "policy_tokens", "legacy", "content_usage", "content_signal", "rsl")
    assert {found[name] for name in in_it} == {"unreadable"}
    assert (found["action"], found["reasons"]) == ("defer", ["robots.unreachable"])


POLICIES = {
    "one token counts in strict": (
        "strict",
        {ROBOTS: CLOSED.format("GPTBot")},
        "ai_tokens",
        "declined",
        "skip",
    ),
    "tokens do not in letter": (
        "letter",
        {ROBOTS: CLOSED.format("GPTBot\nUser-agent: CCBot")},
        "ai_tokens",
        "hinted",
        "store",
    ),
    "what is down is a doubt in strict": ("strict", {TDMREP: 503}, "tdmrep", "unreadable", "defer"),
    "silence is not enough in opt-in": ("opt-in", {}, "tdmrep", "absent", "skip"),
    "consent is": ("opt-in", {TDMREP: reserved("/", 0)}, "tdmrep", "allowed", "store"),
}


@pytest.mark.parametrize(
    ("policy", "bodies", "column", "standing", "action"), POLICIES.values(), ids=POLICIES
)
def test_policies(policy, bodies, column, standing, action):
    found = row(policy=policy, **bodies)
    assert (found[column], found["action"]) == (standing, action)


def test_pictures_are_judged_apart_from_the_root():
    found = row(**{"/ai.txt": "User-Agent: *\nDisallow: *.jpg\n"})
    assert (found["action"], found["reasons"]) == ("store", [])
    assert (found["picture_action"], found["picture_reasons"]) == ("skip", ["ai-txt"])
    (statement,) = found["statements"]
    assert statement == {
        "signal": "ai-txt",
        "statement": "disallow",
        "rule": "Disallow: *.jpg",
        "strength": "explicit",
        "covers": "train-any",
        "counted": True,
        "paths": ["/picture.jpg"],
        "source_url": f"{ORIGIN}/ai.txt",
        "where": "line 2",
        "raw": "Disallow: *.jpg",
    }


def test_the_word_of_tdmrep_is_final():
    """No response is there whose header could supersede it."""
    assert row(**{TDMREP: reserved("/")})["picture_reasons"] == ["tdmrep"]


def test_agents():
    found = row(
        **{
            ROBOTS: CLOSED.format("gptbot")
            + "User-agent: CCBot\nDisallow: /x\n"
            + "User-agent: PerplexityBot\nAllow: /\n"
            + CLOSED.format("SomeBot")
        }
    )
    assert found["agents"] == [
        {"token": "CCBot", "kind": "training-crawler", "access": "partly"},
        {"token": "GPTBot", "kind": "training-crawler", "access": "closed"},
        {"token": "PerplexityBot", "kind": "not-training", "access": "open"},
    ]
    assert found["everyone"] == "open"
    assert row()["everyone"] is None


def test_lines_are_kept_as_they_were_written():
    text = "Content-Signal: search=yes\nUser-agent: *\nContent-Signal: AI-Train = no\n"
    text += "Content-Usage: /x train-ai=n\n"
    found = row(**{ROBOTS: text + CLOSED.format("PictureBot") + "Content-Signal: " + "y" * 999})
    assert found["content_signals"] == ["search=yes", "y" * 200, "AI-Train = no"]
    assert found["content_usages"] == ["/x train-ai=n"]


def test_licences():
    found = row(**{ROBOTS: "License: /l\nLicense: https://b.example/l\n", "/l": RSL.format("/", PROHIBITS)})
    assert found["rsl_urls"] == [f"{ORIGIN}/l", "https://b.example/l"]
    assert found["picture_reasons"] == ["rsl"]


def test_files():
    found = {file["url"]: file for file in row(**{ROBOTS: "Allow: /\n", "/ai.txt": 500})["files"]}
    assert found[ORIGIN + ROBOTS] == {
        "url": ORIGIN + ROBOTS,
        "status": 200,
        "bytes": 9,
        "truncated": False,
        "sha256": OriginFile("", 200, (), b"Allow: /\n").sha256,
        "fetched": AT,
        "stale": False,
    }
    assert (found[f"{ORIGIN}/ai.txt"]["status"], found[f"{ORIGIN}/ai.txt"]["sha256"]) == (500, None)


def test_nothing_is_told_of_what_was_not_asked():
    found = row(reach=Reach.NO_ADDRESS)
    assert (found["statements"], found["files"], found["warnings"]) == ([], [], [])
    assert {found[name] for name in SIGNALS} == {"unreadable"}
    assert found["picture_action"] == "defer"


def test_what_a_row_holds_is_bounded():
    text = "".join(f"User-agent: x{n}\nContent-Signal: ai-train=maybe{n}\n" for n in range(3000))
    found = row(
        **{ROBOTS: f"{text}\nUser-agent: *\n{text}" + "junk\n" * 3000, "/ai.txt": "\udcff: x\n" * 3000}
    )
    assert len(found["statements"]) <= STATEMENTS_MAX
    assert len(found["warnings"]) <= 20
    assert len(found["content_signals"]) <= 20


def test_any_octets_make_a_row_that_can_be_stored():
    found = row(
        **{
            ROBOTS: "User-agent: *\nContent-Signal: \udcff\n\udcfe",
            "/ai.txt": "User-agent: *\nDisallow: /\udcfd",
        }
    )
    json.dumps(found, ensure_ascii=False).encode()
    assert found["content_signals"] == ["\\udcff"]


REACH = {
    200: "answered",
    404: "answered",
    403: "answered",
    429: "server-fault",
    503: "server-fault",
    0: "no-answer",
}


@pytest.mark.parametrize(("status", "reach"), REACH.items())
def test_reach(status, reach):
    assert reach_of(OriginFile(ORIGIN + ROBOTS, status)).value == reach


ACCESS = {
    "Disallow: /": Access.CLOSED,
    "Disallow: *": Access.CLOSED,
    "Disallow: /\nAllow: /x": Access.CLOSED,
    "Disallow: /\nAllow: /": Access.OPEN,
    "Disallow: /$": Access.PARTLY,
    "Disallow: /x": Access.PARTLY,
    "Disallow: x": Access.OPEN,
    "Disallow:": Access.OPEN,
    "Allow: /x": Access.OPEN,
}


@pytest.mark.parametrize(("rules", "access"), ACCESS.items())
def test_access(rules, access):
    assert access_of(robots.parse(f"User-agent: *\n{rules}\n".encode()).group("*")) is access


def test_the_words_cover_all():
    assert set(REACHES) == set(Reach)
    assert tuple(STANDINGS) == tuple(Standing)
    assert len(set(SIGNALS.values())) == len(SIGNALS)
    assert all(isinstance(reason, Reason) for reason in SIGNALS.values())
