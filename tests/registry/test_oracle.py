"""Lookups against a brute-force oracle, which knows from the making of each URL and entry what they are.

Nothing is parsed here: hosts, ports and targets are put together in their canonical form, and written in
other spellings for the registry. What matches, and which entry decides, is said anew, after the
documentation.
"""

from __future__ import annotations

import random
import re
from datetime import date, datetime, timezone
from typing import NamedTuple

import pytest

from heedful.model import Purpose
from heedful.registry import Registry, Writer, _segment, merge
from heedful.registry.entries import Entry, Kind, decide

pa = pytest.importorskip("pyarrow")

NOW = datetime(2026, 6, 1, 12, tzinfo=timezone.utc).timestamp()
PAST, TODAY, FUTURE = date(2026, 5, 31), date(2026, 6, 1), date(2027, 1, 1)
ANY, GENERATIVE, OTHER = Purpose.TRAIN_ANY, Purpose.TRAIN_GENERATIVE, Purpose.TRAIN_NONGENERATIVE

HOSTS = [
    *("example", "a.example", "b.example", "x.a.example", "y.x.a.example", "cdn.b.example", "aa.example"),
    *("a.test", "www.a.test", "127.0.0.1", "[::1]", "a-b.c.test", "n1.test"),
]
PORTS = ["", "", "", ":8080"]
PARTS = ["art", "a", "large", "1.jpg", "2.png", "x%20y", "%C3%BC", "(1)", "a.b", "~me"]
QUERIES = ["", "", "", "?q=1", "?", "?a=/b&c=%2F"]


class Url(NamedTuple):
    host: str
    port: str
    target: str

    def spelt(self, rng):
        """The URL in one of its spellings."""
        host, target, port = self.host, self.target, self.port
        scheme = rng.choice(["http", "https", "HTTP", "hTTps"])
        if rng.random() < 0.2:
            host = host.upper()
        if rng.random() < 0.1 and not host[-1].isdigit() and not host.startswith("["):
            host += "."
        if not port and rng.random() < 0.2:
            port = ":80" if scheme.lower() == "http" else ":443"
        path, mark, query = target.partition("?")
        if rng.random() < 0.2:
            path = path.replace("a", "%61")
        if rng.random() < 0.2:
            path = path.replace("%C3%BC", rng.choice(["ü", "%c3%bc"])).replace("%20", " ")
        if rng.random() < 0.1:
            path = rng.choice(["/./", "/zz/../"]) + path[1:]
        fragment = rng.choice(["", "", "#top"])
        return f"{scheme}://{host}{port}{path}{mark}{query}{fragment}"


def target(rng, parts=3):
    path = "/" + "/".join(rng.choice(PARTS) for _ in range(rng.randint(0, parts)))
    return path + rng.choice(QUERIES)


def url(rng):
    return Url(rng.choice(HOSTS), rng.choice(PORTS), target(rng))


class Wish(NamedTuple):
    """An entry, and what the oracle knows of it."""

    entry: Entry
    host: str
    port: str
    below: bool
    pattern: str  # canonical path, pattern or target
    segment: int

    def rank(self, asked):
        """How specific it is for a URL; None: it does not match."""
        kind = self.entry.kind
        if kind is Kind.URL:
            same = (self.host, self.port, self.pattern) == asked
            return (4, 0) if same else None
        if kind is Kind.HOST:
            return (2, 0) if self.host == asked.host else None
        is_below = asked.host == self.host or (
            asked.host.endswith("." + self.host) and not re.fullmatch(r"[\d.]+|\[.*\]", asked.host)
        )
        if kind is Kind.DOMAIN:
            return (1, len(self.host)) if is_below else None
        if self.port != asked.port or not (is_below if self.below else asked.host == self.host):
            return None
        if kind is Kind.PATH:
            return (3, len(self.pattern)) if asked.target.startswith(self.pattern) else None
        anchored = self.pattern.endswith("$")
        parts = map(re.escape, self.pattern.removesuffix("$").split("*"))
        found = re.match(".*".join(parts) + ("$" if anchored else ""), asked.target, re.DOTALL)
        return (3, len(self.pattern)) if found else None

    @property
    def identity(self):
        return (self.entry.list, self.entry.kind, self.host, self.port, self.below, self.pattern)


def wish(rng, segment):
    kind = rng.choice([Kind.URL, Kind.URL, Kind.HOST, Kind.DOMAIN, Kind.PATH, Kind.PATTERN])
    made = url(rng)
    host, port, pattern, below = made.host, made.port, made.target, False
    if kind is Kind.URL:
        text = made.spelt(rng)
    elif kind in {Kind.HOST, Kind.DOMAIN}:
        port, pattern = "", ""
        text = rng.choice([host, host.upper(), f"https://{host}/", host + port])
    else:
        below = rng.random() < 0.3 and not re.fullmatch(r"[\d.]+|\[.*\]", host)
        if kind is Kind.PATH:
            pattern = target(rng, 2).partition("?")[0]
        else:
            pattern = target(rng, 2).partition("?")[0]
            pieces = pattern.split("/")
            for place in range(1, len(pieces)):
                if rng.random() < 0.4:
                    pieces[place] = rng.choice(["*", "*.jpg", "a*", "*.*"])
            pattern = "/".join(pieces) + rng.choice(["", "", "*", "$"])
        text = ("*." if below else "") + host + port + pattern
    entry = Entry(
        kind,
        text,
        rng.choice(["one", "two"]),
        rng.random() < 0.35,
        rng.choice([None, PAST]),
        rng.choice([ANY, ANY, ANY, GENERATIVE, OTHER]),
        rng.choice([None, None, None, PAST, TODAY, FUTURE]),
    )
    return Wish(entry, host, port, below, pattern, segment)


class Oracle:
    """All wishes that are in force in a registry, by the hosts that they may concern."""

    def __init__(self):
        self.wishes = []

    def change(self, added, withdrawn):
        gone = {each.identity for each in withdrawn}
        self.wishes = [each for each in self.wishes if each.identity not in gone] + added
        self.by_host = {
            host: [each for each in self.wishes if host == each.host or host.endswith("." + each.host)]
            for host in HOSTS
        }

    def matches(self, asked):
        return [(each, rank) for each in self.by_host[asked.host] if (rank := each.rank(asked)) is not None]

    def decision(self, matches, purpose):
        """0: nothing; 1: opted out; 2: opted in."""
        lists = {}
        for each, rank in matches:
            entry = each.entry
            if entry.expires == PAST:
                continue
            if entry.opt_in:
                speaks = entry.purpose in {ANY, purpose}
            else:
                speaks = ANY in {entry.purpose, purpose} or entry.purpose is purpose
            if speaks:
                lists.setdefault(entry.list, []).append((rank, not entry.opt_in))
        says = [max(group)[1] for group in lists.values()]
        return (1 if any(says) else 2) if says else 0


def written(folder, rng, oracle, segment, count):
    """One segment more, in the registry and in the oracle."""
    added = [wish(rng, segment) for _ in range(count)]
    withdrawn = []
    if segment:
        withdrawn = rng.sample(oracle.wishes, count // 4) + [wish(rng, segment) for _ in range(count // 4)]
    writer = Writer.update(folder) if segment else Writer.build(folder, source="test")
    with writer:
        for each in withdrawn:
            writer.withdraw(each.entry)
        for each in added:
            writer.add(each.entry)
    oracle.change(added, withdrawn)


def compare(registry, oracle, rng, questions, purpose):
    asked = [url(rng) for _ in range(questions)]
    spelt = [each.spelt(rng) for each in asked]
    form = pa.array if registry.version % 2 else list  # the two ways in which URLs are taken apart
    batch = registry.lookup_batch(form(spelt), purpose=purpose, now=NOW)
    for place, each in enumerate(asked):
        matches = oracle.matches(each)
        assert batch.decisions[place] == oracle.decision(matches, purpose), (spelt[place], matches)
        found = batch.matches.get(place, [])
        wanted = {(repr(match.entry), rank[0]) for match, rank in matches}
        # said twice in one segment is written once
        assert {(repr(match.entry), match.rank[0]) for match in found} == wanted, spelt[place]
        assert [match.rank for match in found] == sorted((match.rank for match in found), reverse=True)
    for place in rng.sample(range(questions), questions // 10):
        assert sorted(map(repr, registry.lookup(spelt[place]))) == sorted(
            map(repr, batch.matches.get(place, []))
        )
        decided = decide(registry.lookup(spelt[place]), purpose, NOW)
        said = 0 if not decided else 1 if not decided[0].opt_in else 2
        assert said == batch.decisions[place]


CASES = [
    *((seed, 1, 300, 12_000, None) for seed in range(4)),
    *((seed, 4, 120, 6_000, None) for seed in range(4, 10)),
    *((seed, 3, 80, 2_000, 8) for seed in range(10, 14)),
    (14, 2, 60, 1_000, 1),
]


def test_there_are_questions_enough():
    assert sum(segments * questions for _, segments, _, questions, _ in CASES) >= 200_000


@pytest.mark.parametrize(
    ("seed", "segments", "count", "questions", "bits"),
    CASES,
    ids=[f"{seed}-{segments}x{count}-{bits or 64} bits" for seed, segments, count, _, bits in CASES],
)
def test_the_registry_agrees_with_the_oracle(tmp_path, monkeypatch, seed, segments, count, questions, bits):
    if bits:  # keys collide
        monkeypatch.setattr(_segment, "HASH_MASK", ((1 << bits) - 1) << (64 - bits))
    rng = random.Random(seed)
    oracle = Oracle()
    folder = tmp_path / "x.heed"
    written(folder, rng, oracle, 0, count)
    with Registry.open(folder, now=NOW) as registry:
        for segment in range(segments):
            if segment:  # while it is in use
                written(folder, rng, oracle, segment, count)
                assert registry.refresh(NOW)
            assert registry.version == segment + 1
            compare(registry, oracle, rng, questions, rng.choice([ANY, GENERATIVE, OTHER]))
        if segments > 1:
            merge(folder)
            assert registry.refresh(NOW)
            compare(registry, oracle, rng, questions // 4, ANY)
