"""The page as text: what it holds, and that nothing from the web is more than text in it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re

import pytest
from lxml import html

from heedful import Action, Stage
from heedful.ledger.tables import LedgerTables
from heedful.model import printable
from heedful.report import totals_of
from heedful.report._decisions import newest, packed
from heedful.report._page import page
from heedful.report._plots import plots

from .payloads import PAYLOADS, hostile

NOW = 1_790_100_000.0


def written(path, rows=1000):
    with LedgerTables(path) as tables:
        totals = totals_of(tables)
        return page(totals, newest(tables, rows), NOW)


def data_of(text):
    return json.loads(gzip.decompress(base64.b64decode(html.fromstring(text).get_element_by_id("data").text)))


def test_what_it_says(small):
    text = written(small)
    tree = html.fromstring(text)
    assert "Of 8 decisions from 2026-09-21 to 2026-09-22, 3 (37.5 %)" in tree.findtext(".//p[@class='lead']")
    cards = {card.get("class"): card.findtext("span[@class='figure']") for card in tree.find_class("card")}
    assert cards == {"card skip": "3", "card defer": "2", "card store": "2", "card failed": "1"}
    assert [node.text for node in tree.iterfind(".//figure//h3")] == [
        "Skips and deferrals over time",
        "Reasons, by the stage that decided",
        "Hosts with the most skips",
        "Registry lists' share of the skips",
    ]
    assert "Written on 2026-09-22 18:00 (UTC)" in " ".join(tree.text_content().split())


def test_every_plot_has_its_figures_as_a_table(tables):
    for plot in plots(totals_of(tables)):
        assert plot.rows
        assert all(len(row) == len(plot.columns) for row in plot.rows)


def test_marks_are_named_links(tables):
    _, reasons, hosts, _ = plots(totals_of(tables))
    for plot, names in (
        (reasons, {"registry.host, url: 2 skipped", "x-robots-tag, headers: 1 skipped"}),
        (hosts, {"a.example: 2 skipped", "c.example: 2 deferred"}),
    ):
        for drawing in plot.drawings.values():
            links = re.findall(r'<a xlink:href="#find=[^"]*" aria-label="([^"]*)"', drawing)
            assert names <= set(links)
            assert "http" not in re.sub(r'xmlns(:xlink)?="[^"]*"', "", drawing)


def test_the_policy_of_the_page_names_its_own_scripts_and_nothing_else(small):
    text = written(small)
    policy = html.fromstring(text).xpath("//meta[@http-equiv='Content-Security-Policy']/@content")[0]
    hashes = [
        base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        for part in (
            *re.findall(r'<script type="module">(.*?)</script>', text, re.DOTALL),
            *re.findall(r"<style>(.*?)</style>", text, re.DOTALL),
        )
    ]
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert "\r" not in text


def test_nothing_is_loaded(small):
    tree = html.fromstring(written(small))
    assert (
        tree.xpath("//@src | //link/@href | //image | //iframe | //object | //@*[starts-with(name(), 'on')]")
        == []
    )
    assert {link[0] for link in tree.xpath("//a/@href")} == {"#"}
    assert tree.xpath("//@style") == []


def test_decisions_come_newest_first_and_no_more_than_asked_for(tables):
    totals_of(tables)
    data = newest(tables, 3)
    columns, words = data["columns"], data["words"]
    assert [data["actions"][number] for number in columns["action"]] == ["store", "failed", "defer"]
    assert [words[number] for number in columns["host"]] == ["c.example", "d.example", "c.example"]
    assert newest(tables, 0)["columns"]["time"] == []
    assert len(newest(tables, 100)["columns"]["time"]) == 8


def test_what_is_left_out_is_said(small):
    assert "The newest 3 of 8 decisions" in " ".join(
        html.fromstring(written(small, 3)).text_content().split()
    )


def test_evidence_is_kept_once(ledger):
    add = ledger()
    for number in range(50):
        add(f"https://a.example/{number}", Action.STORE, stage=Stage.BODY, registries=(("artists", 3),))
    with LedgerTables(ledger.path) as tables:
        totals_of(tables)
        data = newest(tables, 100)
    assert data["details"] == [{"registries": [{"name": "artists", "version": 3}]}]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_comes_from_the_web_is_text(ledger, payload):
    hostile(ledger, payload)
    text = written(ledger.path)
    tree = html.fromstring(text)
    names = {node.tag for node in tree.iter() if isinstance(node.tag, str)}
    assert names.isdisjoint({"img", "iframe", "object", "embed", "b", "base"})
    assert len(tree.xpath("//script")) == 2
    outside = re.sub(r"<script.*?</script>|<style>.*?</style>", "", text, flags=re.DOTALL)
    assert all(sign.isprintable() for sign in outside.replace("\n", ""))
    data = data_of(text)
    assert payload_of(payload) in data["columns"]["url"][0]
    assert all(
        sign.isprintable()
        for word in (*data["words"], *data["columns"]["url"])
        for sign in word.replace("\n", "")
    )


def payload_of(payload):
    return "\n".join(map(printable, payload.split("\n")))


def test_packed_is_small_and_the_same_every_time(tables):
    totals_of(tables)
    data = newest(tables, 10)
    assert packed(data) == packed(data)
    assert json.loads(gzip.decompress(base64.b64decode(packed(data)))) == data
