from __future__ import annotations

import json
from dataclasses import replace

import pytest

from heedful import Action, Reason, Stage
from heedful.ledger import LedgerReader
from heedful.ledger.tables import LedgerTables
from heedful.report import totals_of
from heedful.report._words import every, sentence, share
from heedful.report.totals import DAY, ByReason, Counts


def test_totals(tables):
    totals = totals_of(tables)
    assert totals.actions == Counts(store=2, skip=3, defer=2, failed=1)
    assert (totals.first, totals.last) == (
        "2026-09-21T14:13:20.000000+00:00",
        "2026-09-22T14:13:20.000000+00:00",
    )
    assert (totals.files, totals.runs, totals.hosts) == (2, 2, 4)
    assert (totals.crawlers, totals.tokens) == (("img2dataset/1.47.0", "scrapy/2.19.0"), ("PictureBot",))
    assert [name for name, _ in totals.policies] == ["standard"]
    assert totals.registries == (("artists", 3),)
    assert (totals.bytes_read, totals.bytes_avoided) == (1200, 9000)
    assert totals.not_enforced == 0
    # both skips by the registry, and both deferrals: nobody was asked for the picture
    assert totals.requests_saved == 4


def test_by_reason(tables):
    assert totals_of(tables).reasons == (
        ByReason("defer", "robots.unreachable", "origin", 2),
        ByReason("skip", "registry.host", "url", 2),
        ByReason("skip", "x-robots-tag", "headers", 1),
    )


def test_by_host(tables):
    found = [
        (row.host, row.counts.skip, row.counts.defer, row.counts.all) for row in totals_of(tables).by_host
    ]
    assert found == [
        ("a.example", 2, 0, 2),
        ("b.example", 1, 0, 2),
        ("c.example", 0, 2, 3),
        ("d.example", 0, 0, 1),
    ]


def test_by_list(tables):
    found = [(row.registry, row.list, row.skips) for row in totals_of(tables).lists]
    assert found == [("artists", "artists", 2), ("artists", "photographers", 1)]


def test_by_day_and_time(tables):
    totals = totals_of(tables)
    assert [(row.day, row.crawler, row.counts.all) for row in totals.days] == [
        ("2026-09-21", "scrapy/2.19.0", 7),
        ("2026-09-22", "img2dataset/1.47.0", 1),
    ]
    assert totals.step == 3600
    assert [(row.start[:13], row.counts.all) for row in totals.times] == [
        ("2026-09-21T14", 7),
        ("2026-09-22T14", 1),
    ]


def test_what_is_left_to_retry(tables):
    totals = totals_of(tables)
    assert totals.to_retry == 1  # the other one was stored the day after
    assert [(row.host, row.reason, row.urls) for row in totals.retries] == [
        ("c.example", "robots.unreachable", 1)
    ]


def test_malformed_signals(tables):
    (row,) = totals_of(tables).malformed
    assert (row.signal, row.message, row.count, row.raw) == ("tdmrep", "not JSON", 1, "{")


def test_conflicting_signals(tables):
    (row,) = totals_of(tables).overruled
    assert (row.signal, row.statement, row.action, row.count) == ("content-usage", "allow", "skip", 1)


def test_top_cuts_what_grows(tables):
    totals = totals_of(tables, 1)
    assert [len(each) for each in (totals.by_host, totals.lists, totals.retries, totals.malformed)] == [1] * 4
    assert totals.hosts == 4
    assert len(totals.reasons) == 3


def test_a_redirect_is_retried_from_where_it_began(ledger):
    add = ledger()
    add(
        "https://cdn.example/1.jpg",
        Action.DEFER,
        reasons=(Reason.UNDETERMINED,),
        hop_of="https://a.example/1.jpg",
    )
    add("https://a.example/1.jpg", Action.SKIP, reasons=(Reason.X_ROBOTS_TAG,), stage=Stage.HEADERS)
    with LedgerTables(ledger.path) as tables:
        assert totals_of(tables).to_retry == 0


def test_an_audit_saves_nothing(ledger):
    add = ledger(enforced=False)
    add("https://a.example/1.jpg", Action.SKIP, reasons=(Reason.REGISTRY_URL,), stage=Stage.URL)
    with LedgerTables(ledger.path) as tables:
        totals = totals_of(tables)
    assert (totals.not_enforced, totals.requests_saved) == (1, 0)
    assert "This was an audit: nothing was skipped." in sentence(totals)


def test_a_ledger_without_decisions(tmp_path):
    (tmp_path / "0.jsonl").touch()
    with LedgerTables(str(tmp_path)) as tables:
        totals = totals_of(tables)
    assert (totals.actions, totals.first, totals.days) == (Counts(), None, ())
    assert sentence(totals) == "There are no decisions in this ledger yet."


def test_the_figures_are_those_of_the_reader(tables, small):
    records = list(LedgerReader(small))
    totals = totals_of(tables)
    for action in Action:
        assert getattr(totals.actions, action.value) == sum(record.action is action for record in records)
    assert totals.bytes_read == sum(record.bytes_read for record in records)


def test_as_json(tables):
    told = json.loads(json.dumps(totals_of(tables).as_dict()))
    assert told["actions"] == {"store": 2, "skip": 3, "defer": 2, "failed": 1}
    assert told["registries"] == [{"name": "artists", "version": 3}]
    assert told["by_host"][0] == {
        "host": "a.example",
        "counts": {"store": 0, "skip": 2, "defer": 0, "failed": 0},
    }
    assert told["faults"] == []


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [
        (0, 0, "0 %"),
        (0, 9, "0 %"),
        (9, 9, "100 %"),
        (1, 3, "33.3 %"),
        (1, 10_000, "< 0.1 %"),
        (99_999, 100_000, "99.9 %"),
    ],
    ids=["nothing of nothing", "nothing", "all", "a third", "hardly any", "nearly all"],
)
def test_share(part, whole, words):
    assert share(part, whole) == words


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (1, "second"),
        (10, "10 seconds"),
        (60, "minute"),
        (900, "15 minutes"),
        (3600, "hour"),
        (DAY, "day"),
        (7 * DAY, "7 days"),
    ],
)
def test_steps_in_words(step, words):
    assert every(step) == words


@pytest.mark.parametrize(
    ("reasons", "words"),
    [
        ([("tdmrep", 3)], "were to skip because the owner opted out,"),
        ([("no-opt-in", 3)], "were to skip because nobody had opted in,"),
        (
            [("tdmrep", 1), ("operator.deny", 2)],
            "were to skip (1 because the owner opted out, 2 by the operator's own rules),",
        ),
    ],
    ids=["owners", "nobody", "several"],
)
def test_on_whose_word(tables, reasons, words):
    rows = tuple(ByReason("skip", reason, "url", count) for reason, count in reasons)
    assert words in sentence(replace(totals_of(tables), reasons=rows))
