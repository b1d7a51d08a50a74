"""`--live`: what origins say today of what is stored."""

from __future__ import annotations

import json
import sys

import pytest
from click.testing import CliRunner

from heedful.bulk.audit import Auditing, Live, _cli, audit
from heedful.errors import ConfigurationError
from heedful.model import Action
from heedful.testing import TOKEN

SAID = {5: "tdmrep", 6: "robots.disallow", 12: "robots.disallow"}
"""What only the origin tells, by the pictures' numbers."""


def test_what_only_origins_tell_is_found(dataset, url, registry):
    data = dataset("webdataset")
    listed = registry(("url", url(2)))
    options = {"token": TOKEN, "registries": [listed], "live": Live("standard")}
    with Auditing(data.folder, **options) as auditing:
        result = auditing.run()
        findings = {each.url: each for each in auditing.findings()}
    assert {each: found.reason for each, found in findings.items()} == {
        url(2): "registry.url",
        url(3): "data-mining",
        **{url(number): reason for number, reason in SAID.items()},
    }
    assert result.live == {"store": 7, "skip": 3}
    assert result.by_shard == {"00000": 3, "00001": 1, "00002": 1}
    assert "TDM-Reservation" in findings[url(5)].evidence
    records = {record.hop_of or record.url: record for record in data.records}
    assert {each: record.reason for each, record in records.items()} == {
        each: found.reason for each, found in findings.items()
    }
    assert records[url(12)].url == url("cdn/12")
    assert all(record.run.crawler == "heedful audit" for record in records.values())
    assert records[url(6)].evidence[0]["stage"] == "origin"
    assert not list((data.folder / "_heedful").glob("live-*"))


def test_what_is_found_is_removed(dataset, url):
    data = dataset("parquet")
    result = audit(data.folder, purge=True, token=TOKEN, live=Live("standard"))
    assert result.removed == 3
    assert set(data.numbers) == {*range(1, 13)} - set(SAID)
    assert {each["url"]: each["reason"] for each in data.removed} == {
        url(number): reason for number, reason in SAID.items()
    }


def test_many_processes_and_a_store(store, url):
    result = audit(store.folder, token=TOKEN, live=Live("standard"), processes=2)
    assert result.found == {"tdmrep": 1, "robots.disallow": 1}
    assert result.live == {"store": 4, "skip": 2}


def test_what_cannot_be_asked_for_is_told_and_not_found(store, url, web):
    feed = store.folder / "images.jsonl"
    path = json.loads(feed.read_text().splitlines()[0])["images"][0]["path"]
    gone = web.url("art", "/gone.jpg")
    feed.write_text(json.dumps({"images": [{"url": gone, "path": path}]}) + "\n")
    result = audit(store.folder, token=TOKEN, live=Live("standard"))
    assert (result.live, result.found) == ({"failed": 1}, {})
    assert "1 URLs could not be asked for" in " ".join(result.sentences())


def test_under_opt_in_all_is_asked_so_that_silence_counts(store):
    result = audit(store.folder, token=TOKEN, policy="opt-in", live=Live("opt-in"))
    assert result.found == {"no-opt-in": 3, "data-mining": 1, "tdmrep": 1, "robots.disallow": 1}


def test_it_needs_a_token(store):
    with pytest.raises(ConfigurationError, match="token is missing"):
        audit(store.folder, live=Live("standard"))


def test_it_names_the_extra(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "heedful_spiders.recheck", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'heedful\[scrapy\]'"):
        audit(store.folder, token=TOKEN, live=Live("standard"))


def test_the_command(store, url):
    done = CliRunner().invoke(
        _cli.audit, [str(store.folder), "--live", "--token", TOKEN, "--json", "--processes", "1"]
    )
    (told,) = json.loads(done.stdout)["datasets"]
    assert done.exit_code == 1
    assert told["live"] == {"store": 4, "skip": 2}
    assert all(record.action is Action.SKIP for record in store.records)
