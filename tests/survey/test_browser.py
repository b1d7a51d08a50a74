"""The page in a real browser: what a reader does with it, and what nobody may do to it."""

from __future__ import annotations

import pytest

from heedful.survey._page import write_page
from heedful.survey._summary import Rows, summary_of

from ..report.browser import CONTRAST, PHONE, Keys, reading, started  # noqa: TID252
from ..report.payloads import PAYLOADS  # noqa: TID252
from .conftest import AT, CLOSED, row
from .test_page import hostile

SITES = 60


@pytest.fixture(scope="module")
def chromium():
    with started() as driver:
        yield driver


@pytest.fixture
def reader(chromium):
    with reading(chromium) as made:
        yield made


def page_of(folder):
    with Rows(folder) as rows:
        write_page(folder / "report.html", rows, summary_of(rows), now=AT)
    return folder / "report.html"


@pytest.fixture
def many(survey):
    """A page of 60 sites: every third one declines, half of these to GPTBot and CCBot."""
    rows = []
    for number in range(SITES):
        bodies = {}
        if number % 6 == 0:
            bodies = {"/robots.txt": CLOSED.format("GPTBot\nUser-agent: CCBot")}
        elif number % 3 == 0:
            bodies = {"/trust.txt": f"# {number}\ndatatrainingallowed=no"}
        rows.append(row(f"site-{number:03d}.example", **bodies))
    return page_of(survey(rows, size=50))


def found(reader):
    return reader.texts("#table tbody td.site")


def test_search(reader, many):
    reader.open(many)
    assert reader.info == "1 to 25 of 60"
    assert found(reader)[:2] == ["site-000.example", "site-003.example"]
    reader.search("site-04")
    reader.until(lambda: reader.info == "1 to 10 of 10 (of 60)")
    reader.search("datatrainingallowed=no")
    reader.until(lambda: reader.info == "1 to 10 of 10 (of 60)")
    reader.search("nowhere")
    reader.until(lambda: reader.texts("td.dt-empty") == ["Nothing fits."])


def test_filters(reader, many):
    reader.open(many)
    reader.one("input[value=store]").click()
    reader.until(lambda: reader.info == "1 to 20 of 20 (of 60)")
    assert set(reader.texts("#table tbody .action")) == {"declined"}
    reader.one("#reason").send_keys("trust-txt")
    reader.until(lambda: reader.info == "1 to 10 of 10 (of 60)")


LINKS = {
    "a signal": ("trust.txt, declined: 10 sites, 16.7 %", "10"),
    "a crawler": ("GPTBot, closed: 10 sites, 16.7 %", "10"),
    "a reason": ("robots.ai-token: 10 sites, 16.7 %", "10"),
    "signals together": ("AI crawlers: 10 sites, 16.7 %", "10"),
    "an answer": ("answered: 60 sites, 100 %", "60"),
}


@pytest.mark.parametrize(("name", "count"), LINKS.values(), ids=LINKS)
def test_a_bar_looks_its_word_up(reader, many, name, count):
    reader.open(many)
    links = {link.get_attribute("aria-label"): link for link in reader.all(".drawing.wide a")}
    links[name].click()
    reader.until(lambda: f"of {count}" in reader.info)
    assert reader.focused().get_attribute("id") == "sites"


def test_evidence_is_unfolded(reader, many):
    reader.open(many)
    reader.search("site-003")
    reader.until(lambda: len(found(reader)) == 1)
    button = reader.one(".unfold")
    assert button.accessible_name == "Evidence for site-003.example"
    button.click()
    words = reader.one(".details").text
    for part in (
        *("disallow (datatrainingallowed=no)", "line 2, https://site-003.example/trust.txt"),
        *("/ /picture.jpg", "2026-09-21 14:13:20", "404 /robots.txt\n404 /.well-known/tdmrep.json"),
    ):
        assert part in words
    button.click()
    assert reader.all(".details") == []


def test_the_keyboard_is_enough(reader, many):
    reader.open(many)
    reader.press(Keys.TAB)
    assert reader.focused().text == "To the sites"
    reader.press(Keys.ENTER)
    names = []
    for _ in range(14):
        reader.press(Keys.TAB)
        assert reader.js("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        names.append(reader.focused().accessible_name.strip().partition(":")[0])
        if names[-1].startswith("Evidence for"):
            break
    assert names == [
        *("declined", "in part", "open", "not determined", "Reason", "Search"),
        *(
            "Site",
            "Pictures",
            "Reasons",
            "Signals",
            "AI crawlers closed out",
            "Evidence for site-000.example",
        ),
    ]
    reader.press(Keys.ENTER)
    assert len(reader.all(".details")) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(reader, small, scheme):
    reader.open(page_of(small), prefers_color_scheme=scheme)
    reader.js("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    reader.all(".unfold")[0].click()
    assert reader.js(CONTRAST) == []


def test_a_phone(reader, many):
    reader.open(many, PHONE)
    assert reader.js("document.documentElement.scrollWidth") == PHONE[0]
    assert all(drawing.is_displayed() for drawing in reader.all(".drawing.narrow"))
    reader.all(".unfold")[0].click()
    assert reader.js("document.documentElement.scrollWidth") == PHONE[0]
    for control in reader.all("button, select, input[type=search], summary"):
        if control.is_displayed():
            assert control.size["height"] >= 24, control.accessible_name  # WCAG 2.2, 2.5.8


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_from_the_web_is_run(reader, survey, payload):
    reader.open(page_of(hostile(survey, payload)))
    reader.js("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    reader.one(".unfold").click()
    for column in reader.all("#table th[data-dt-column] [role=button]"):
        column.click()
    reader.search("tdmrep")
    reader.until(lambda: len(found(reader)) == 1)
    assert reader.js("window.owned") is None
    assert reader.all("#table img, #table script, #table b, .details img, main script") == []
