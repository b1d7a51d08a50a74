"""The page as text: what it holds, and that nothing from the web is more than text in it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")
pytest.importorskip("vl_convert")

from lxml import html

from heedful.survey._classify import Reach
from heedful.survey._page import page, sites, write_page
from heedful.survey._plots import plots
from heedful.survey._summary import REJECTED, Rows, summary_of

from ..report.payloads import PAYLOADS  # noqa: TID252
from .conftest import AT, row


def written(folder, shown=1000):
    with Rows(folder) as rows:
        return page(summary_of(rows), sites(rows, shown), AT)


def data_of(text):
    return json.loads(gzip.decompress(base64.b64decode(html.fromstring(text).get_element_by_id("data").text)))


def test_what_it_says(small):
    tree = html.fromstring(written(small))
    assert tree.findtext(".//p[@class='lead']").startswith(
        "Of 6 sites asked from 2026-09-21 to 2026-09-22, 5"
    )
    cards = {card.get("class"): card.findtext("span[@class='figure']") for card in tree.find_class("card")}
    assert cards == {"card skip": "2", "card defer": "1", "card store": "2", "card failed": "1"}
    assert [node.text for node in tree.iterfind(".//figure//h3")] == [
        "What sites say, by signal",
        "AI crawlers that sites close out",
        "Why a crawler would not store their pictures",
        "Signals that decline together",
        "Whether they answered",
        "Values in robots.txt",
    ]


ALONE = {
    "nothing said": {},
    "some paths closed to all": {"/robots.txt": "User-agent: *\nDisallow: /x\n"},
    "a crawler let in": {"/robots.txt": "User-agent: GPTBot\nAllow: /\n"},
    "a value": {"/robots.txt": "User-agent: *\nContent-Usage: search=n\n"},
    "a fault": {"/.well-known/tdmrep.json": "{"},
}


@pytest.mark.parametrize("bodies", ALONE.values(), ids=ALONE)
def test_a_page_of_little(survey, bodies):
    tree = html.fromstring(written(survey([row(**bodies)])))
    assert "Whether they answered" in [node.text for node in tree.iterfind(".//figure//h3")]
    assert tree.findtext(".//p[@class='lead']").startswith(
        "Of 1 sites asked on 2026-09-21, 1 (100 %) answered."
    )


def test_a_page_of_sites_that_did_not_answer(survey):
    tree = html.fromstring(written(survey([row(reach=Reach.REFUSED)])))
    assert [node.text for node in tree.iterfind(".//figure//h3")] == ["Whether they answered"]


def test_every_plot_has_its_figures_as_a_table(small):
    with Rows(small) as rows:
        for plot in plots(summary_of(rows)):
            assert plot.rows
            assert all(len(each) == len(plot.columns) for each in plot.rows)
            for drawing in plot.drawings.values():
                links = re.findall(r'<a xlink:href="#find=[^"]*" aria-label="([^"]*)"', drawing)
                assert links
                assert "http" not in re.sub(r'xmlns(:xlink)?="[^"]*"', "", drawing)


def test_the_policy_of_the_page_names_its_own_scripts_and_nothing_else(small):
    text = written(small)
    policy = html.fromstring(text).xpath("//meta[@http-equiv='Content-Security-Policy']/@content")[0]
    script, style = (
        base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        for part in (
            *re.findall(r'<script type="module">(.*?)</script>', text, re.DOTALL),
            *re.findall(r"<style>(.*?)</style>", text, re.DOTALL),
        )
    )
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_sites_that_decline_come_first_and_no_more_than_asked_for(small):
    text = written(small, 3)
    assert data_of(text)["columns"]["site"] == ["both.example", "robots.example", "part.example"]
    assert "3 of 6 sites, those that decline first" in " ".join(html.fromstring(text).text_content().split())


def test_an_empty_table_is_left_out(small):
    assert html.fromstring(written(small, 0)).xpath("//table[@id='table']") == []


def test_what_a_row_tells(small):
    data = data_of(written(small))
    told = {
        name: data["words"][data["columns"][name][0]] for name in ("signals", "agents", "reasons", "files")
    }
    assert told == {
        "signals": "AI crawlers declined, Content-Signal declined, TDMRep declined",
        "agents": "CCBot closed, GPTBot closed",
        "reasons": "robots.ai-token content-signal tdmrep",
        "files": (
            "200 /robots.txt\n200 /.well-known/tdmrep.json\n404 /ai.txt\n404 /.well-known/ai.txt\n"
            "404 /.well-known/ai.json\n404 /.well-known/trust.txt\n404 /trust.txt"
        ),
    }
    assert data["columns"]["closed"][0] == 2
    statements = data["columns"]["details"][0]["statements"]
    assert {each["signal"] for each in statements} == {"robots.ai-token", "content-signal", "tdmrep"}


def hostile(survey, payload):
    """A survey of a site that says nothing but the payload, wherever it can."""
    line = payload.replace("\n", " ").replace("\r", " ").encode("utf-8", "surrogatepass")
    line = line.decode("utf-8", "surrogateescape")
    entries = [{"location": "/", "tdm-reservation": 1, "x": payload}, {"location": payload}, {"x": payload}]
    bodies = {
        "/robots.txt": f"{line}\nUser-agent: *\nDisallow: /{line}\n"
        f"Content-Signal: ai-train=no, {line}\nContent-Usage: {line}\n",
        "/.well-known/tdmrep.json": json.dumps(entries),
        "/ai.txt": f"User-agent: *\nDisallow: *{line}",
    }
    folder = survey([row(**bodies)])
    reject = {"source": payload, "line": 1, "text": payload, "why": payload}
    (folder / REJECTED).write_text(json.dumps(reject) + "\n")
    return folder


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_comes_from_the_web_is_text(survey, payload):
    text = written(hostile(survey, payload))
    tree = html.fromstring(text)
    names = {node.tag for node in tree.iter() if isinstance(node.tag, str)}
    assert names.isdisjoint({"img", "iframe", "object", "embed", "b", "base"})
    assert len(tree.xpath("//script")) == 2
    assert tree.xpath("//@*[starts-with(name(), 'on')] | //@style | //@src") == []
    outside = re.sub(r"<script.*?</script>|<style>.*?</style>", "", text, flags=re.DOTALL)
    assert all(sign.isprintable() for sign in outside.replace("\n", ""))
    data = data_of(text)
    evidence = json.dumps(data["columns"]["details"], ensure_ascii=False)
    assert all(sign.isprintable() for sign in evidence)
    # the statement's raw text is the entry as JSON, which spells out all but ASCII
    raw = [each["raw"] for each in data["columns"]["details"][0]["statements"] if each["signal"] == "tdmrep"]
    assert raw == [json.dumps({"location": "/", "tdm-reservation": 1, "x": payload})]


def test_it_is_replaced_when_it_is_complete(small):
    with Rows(small) as rows:
        summary = summary_of(rows)
        out = small / "report.html"
        assert write_page(out, rows, summary, now=AT) == len(out.read_bytes().decode())
    assert [path.name for path in small.glob(".*")] == []
