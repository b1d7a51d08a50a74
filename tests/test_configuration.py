"""What adapters are told, checked in one place."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from platformdirs import user_cache_path

from heedful import ConfigurationError, Policy
from heedful.configuration import Configuration
from heedful.registry import Writer
from heedful.registry._manifest import NAME
from heedful.registry.entries import Entry, Kind

NOW = 1_780_000_000.0


@pytest.fixture
def artists(tmp_path):
    folder = tmp_path / "artists.heed"
    with Writer.build(folder, source="test") as writer:
        writer.add(Entry(Kind.HOST, "art.example", "artists"))
    return folder


def check(**options):
    return Configuration.check(**{"token": "PictureBot", "now": NOW, **options})


def test_paths_are_made_absolute_and_defaults_filled_in(artists, monkeypatch):
    monkeypatch.chdir(artists.parent)
    made = check(registries="artists.heed", cache="cache")
    assert made.registries == (str(artists),)
    assert made.ledger == str(artists.parent / "ledger")
    assert made.cache == artists.parent / "cache"
    assert made.policy == Policy.load("standard")
    assert check().cache == user_cache_path("heedful")
    assert check(ledger="memory://ledger").ledger == "memory://ledger"
    assert check(ledger=None).ledger is None


@pytest.mark.parametrize("given", [None, "mine"], ids=["environment", "given"])
def test_the_environment_names_the_cache_where_nothing_is_given(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEEDFUL_CACHE", str(tmp_path / "theirs"))
    assert check(cache=given).cache == tmp_path / (given or "theirs")


def test_it_travels_to_workers_and_opens_there(artists):
    told = check(registries=[artists], policy="strict", contact="me@a.example")
    made = pickle.loads(pickle.dumps(told))  # noqa: S301
    with made.gate(now=NOW).registries[0] as registry:
        assert registry.lookup("https://art.example/")
    assert made.user_agent.startswith("PictureBot (+me@a.example) heedful/")


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        pytest.param({"token": ""}, "--token is missing", id="token"),
        pytest.param({"token": "Picture Bot"}, "'Picture Bot' is no product token", id="no-token"),
        pytest.param({"policy": "strickt"}, "no policy 'strickt'", id="policy"),
        pytest.param({"registries": ["nowhere.heed"]}, "nowhere.heed", id="registry"),
        pytest.param({"ledger_stores": "all"}, "--ledger-stores is 'all'", id="stores"),
        pytest.param({"ledger": ""}, "--ledger must be a folder", id="ledger"),
        pytest.param({"contact": "a\nb"}, "--contact must be one line", id="contact"),
        pytest.param({"cache": 7}, "--cache must be a folder", id="cache"),
        pytest.param({"audit": "maybe"}, "--audit must be True or False", id="audit"),
    ],
)
def test_faults_name_what_the_user_gave(options, fault, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=fault):
        check(called=lambda name: "--" + name.replace("_", "-"), **options)


def test_all_faults_are_told_together():
    with pytest.raises(ConfigurationError) as caught:
        check(token=None, policy="x", registries=["a.heed", Path("b.heed")], audit=1, faults=("earlier",))
    assert len(caught.value.faults) == 6


def test_a_registry_that_went_away_is_told_and_the_others_are_closed(artists):
    made = check(registries=[artists, artists])
    (artists / NAME).unlink()
    with pytest.raises(ConfigurationError, match=r"artists\.heed"):
        made.gate(now=NOW)
