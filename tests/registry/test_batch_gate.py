"""What registries say of many URLs at once, as the gate hands it on."""

from __future__ import annotations

from datetime import date

import pytest

from heedful import Action, Gate, Stage, Verdict
from heedful.registry import Registry, Writer
from heedful.registry.entries import Entry, Kind

pa = pytest.importorskip("pyarrow")

NOW = 1_780_000_000.0
PAST = date(2020, 1, 1)
URLS = [
    "https://free.example/1.jpg",
    "https://a.example/1.jpg",
    "https://x.b.example/1.jpg",
    None,
    "http://[bad",
    "ftp://a.example/1.jpg",
    "https://old.example/1.jpg",
    "HTTPS://A.example/1.jpg#top",
    "https://in.example/1.jpg",
]
LISTED, UNPARSED = [1, 2, 4, 7, 8], (3, 4, 5)


@pytest.fixture
def gate(tmp_path):
    entries = {
        "one": [
            Entry(Kind.URL, "https://a.example/1.jpg", "l"),
            Entry(Kind.URL, "http://[bad", "l"),
            Entry(Kind.DOMAIN, "old.example", "l", expires=PAST),
        ],
        "two": [
            Entry(Kind.DOMAIN, "b.example", "l"),
            Entry(Kind.HOST, "a.example", "l", opt_in=True),
            Entry(Kind.HOST, "in.example", "l", opt_in=True),
        ],
    }
    for name, some in entries.items():
        with Writer.build(tmp_path / f"{name}.heed", source="test") as writer:
            for entry in some:
                writer.add(entry)
    registries = [Registry.open(tmp_path / f"{name}.heed", now=NOW) for name in entries]
    yield Gate("PictureBot", "standard", registries)
    for registry in registries:
        registry.close()


def told(registered):
    return [(each.name, each.version, [*each.matches]) for each in registered]


@pytest.mark.parametrize("form", [list, pa.array], ids=["list", "array"])
def test_only_what_is_listed_is_named(gate, form):
    listed = gate.listed_batch(form(URLS), NOW)
    assert ([*listed.matches], listed.unparsed) == (LISTED, UNPARSED)
    for place in LISTED:
        assert told(listed.matches[place]) == told(gate.registered(URLS[place]))
    assert told(listed.nothing) == told(gate.registered("https://free.example/2.jpg"))


def test_all_are_named_where_each_is_asked_for(gate):
    listed = gate.listed_batch(URLS, NOW)
    assert gate.registered_batch(URLS, NOW) == [
        listed.matches.get(place, listed.nothing) for place in range(len(URLS))
    ]


def test_verdicts_are_those_of_one_by_one(gate):
    listed = gate.listed_batch(pa.array(URLS), NOW)
    skipped = set()
    for place, url in enumerate(URLS):
        if url is not None:
            given = {"origin_files": {}, "stage": Stage.URL, "now": NOW}
            verdict = gate.judge(url, **given)
            registered = listed.matches.get(place, listed.nothing)
            assert gate.judge(url, registered=registered, **given) == verdict
            if isinstance(verdict, Verdict) and verdict.action is Action.SKIP:
                skipped.add(place)
    assert skipped == {1, 2, 4, 7}


def test_without_registries():
    listed = Gate("PictureBot").listed_batch(pa.array(URLS), NOW)
    assert listed == ({}, UNPARSED, ())
