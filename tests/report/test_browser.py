"""The page in a real browser: what a reader does with it, and what nobody may do to it."""

from __future__ import annotations

import re

import pytest

from heedful import Action, Reason, Stage
from heedful.ledger.tables import LedgerTables
from heedful.report import totals_of
from heedful.report._page import write_page

from .browser import CONTRAST, PHONE, Keys, Reader, reading, started
from .conftest import START, says
from .payloads import PAYLOADS, hostile

ROWS = 120


@pytest.fixture(scope="module")
def chromium():
    with started() as driver:
        yield driver


@pytest.fixture
def reader(chromium):
    with reading(chromium) as made:
        yield made


@pytest.fixture
def report(tmp_path):
    def write(ledger, rows=100_000):
        out = tmp_path / "report.html"
        with LedgerTables(ledger) as tables:
            write_page(out, tables, totals_of(tables), now=START, rows=rows)
        return out

    return write


@pytest.fixture
def many(ledger, report):
    """A page of pictures 0 to 119, the newest first: every third is skipped."""
    add = ledger()
    for number in range(ROWS):
        url = f"https://host{number % 10}.example/picture-{number:03d}.jpg"
        if number % 3:
            add(url, Action.STORE, stage=Stage.BODY, status=200, read=1000 + number)
        else:
            said = says(
                Reason.X_ROBOTS_TAG, raw=f"noai, evidence-{number}", where="header X-Robots-Tag", source=url
            )
            add(url, Action.SKIP, said, stage=Stage.HEADERS, status=200, avoided=5000)
    return report(ledger.path)


# -- the table -----------------------------------------------------------------------------------------------


def test_search(reader, many):
    reader.open(many)
    assert reader.info == "1 to 25 of 120"
    reader.search("picture-04")
    reader.until(lambda: reader.info == "1 to 10 of 10 (of 120)")
    assert reader.urls()[0].endswith("picture-049.jpg")
    reader.search("evidence-33")
    reader.until(lambda: reader.info == "1 to 1 of 1 (of 120)")
    assert reader.urls() == ["https://host3.example/picture-033.jpg"]
    reader.search("nowhere")
    reader.until(lambda: reader.texts("td.dt-empty") == ["Nothing fits."])


def test_sort(reader, many):
    reader.open(many)
    assert reader.urls()[0].endswith("picture-119.jpg")
    heading = reader.one("#table th.time")
    heading.click()
    reader.until(lambda: reader.urls()[0].endswith("picture-000.jpg"))
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.click()
    reader.until(lambda: reader.urls()[0].endswith("picture-119.jpg"))


def test_pages(reader, many):
    reader.open(many)
    assert len(reader.urls()) == 25
    reader.one(".dt-paging-button.next").click()
    reader.until(lambda: reader.info == "26 to 50 of 120")
    assert reader.urls()[0].endswith("picture-094.jpg")
    reader.one(".dt-length select").send_keys("100")
    reader.until(lambda: len(reader.urls()) == 100)


def test_filters(reader, many):
    reader.open(many)
    reader.one("input[value=store]").click()
    reader.until(lambda: reader.info == "1 to 25 of 40 (of 120)")
    assert set(reader.texts("#table tbody .action")) == {"skipped"}
    reader.one("input[value=store]").click()
    reader.one("#reason").send_keys("x-robots-tag")
    reader.until(lambda: reader.info == "1 to 25 of 40 (of 120)")
    reader.one("input[value=skip]").click()
    reader.until(lambda: reader.texts("td.dt-empty") == ["Nothing fits."])


def test_evidence_is_unfolded(reader, many):
    reader.open(many)
    reader.search("picture-117")
    reader.until(lambda: len(reader.urls()) == 1)
    button = reader.one(".unfold")
    assert button.accessible_name == "Evidence for https://host7.example/picture-117.jpg"
    assert (button.get_attribute("aria-expanded"), reader.all(".details")) == ("false", [])
    button.click()
    assert button.get_attribute("aria-expanded") == "true"
    words = reader.one(".details").text
    for part in (
        *("noai, evidence-117", "header X-Robots-Tag, https://host7.example/picture-117.jpg", "ab" * 32),
        *(
            "disallow (rule)",
            "scrapy/2.19.0",
            "PictureBot",
            "5,000 bytes",
            "2026-09-21 14:15:17",
            "standard ",
        ),
    ):
        assert part in words
    button.click()
    assert (button.get_attribute("aria-expanded"), reader.all(".details")) == ("false", [])


def test_a_bar_looks_its_word_up(reader, many):
    reader.open(many)
    (link,) = [
        link
        for link in reader.all(".drawing.wide a")
        if link.get_attribute("aria-label") == "x-robots-tag, headers: 40 skipped"
    ]
    link.click()
    reader.until(lambda: reader.info == "1 to 25 of 40 (of 120)")
    assert reader.one("input[type=search]").get_attribute("value") == "x-robots-tag"
    assert reader.focused().get_attribute("id") == "decisions"


def test_a_page_can_be_opened_at_a_word(reader, many):
    reader.open(f"{many}#find=picture-007")
    reader.until(lambda: reader.urls() == ["https://host7.example/picture-007.jpg"])


def test_a_page_without_rows(reader, small, report):
    path = report(small, 1)
    reader.open(path)
    assert "The newest 1 of 8 decisions" in reader.one("main").text
    assert reader.info == "1 to 1 of 1"


# -- for everyone --------------------------------------------------------------------------------------------


def test_the_keyboard_is_enough(reader, many):
    reader.open(many)
    reader.press(Keys.TAB)
    assert reader.focused().text == "To the decisions"
    assert reader.focused().is_displayed()
    reader.press(Keys.ENTER)
    names = []
    for _ in range(14):
        reader.press(Keys.TAB)
        assert reader.js("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        names.append(reader.focused().accessible_name.strip())
        if names[-1].startswith("Evidence for"):
            break
    assert names[:6] == ["skipped", "deferred", "stored", "failed", "Reason", "Search"]
    assert [name.partition(":")[0] for name in names[6:12]] == [
        *("Time (UTC)", "Action", "Reason", "Stage", "Picture", "Crawler")
    ]
    reader.press(Keys.ENTER)
    assert len(reader.all(".details")) == 1
    reader.press(Keys.SPACE)
    assert reader.all(".details") == []
    reader.one("#table th.time [role=button]").send_keys(Keys.ENTER)
    reader.until(lambda: reader.urls()[0].endswith("picture-000.jpg"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(reader, small, report, scheme):
    reader.open(report(small), prefers_color_scheme=scheme)
    reader.js("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    reader.all(".unfold")[0].click()
    assert reader.js(CONTRAST) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_one_colour_per_action(reader, small, report, scheme):
    """The same in cards, plots, and table; other grounds in light and dark."""
    reader.open(report(small), prefers_color_scheme=scheme)
    plot = {
        re.search(r"skip|defer", mark.get_attribute("aria-label"))[0]: reader.js(
            "getComputedStyle(arguments[0]).fill", mark
        )
        for mark in reader.all(".drawing.wide path[role=graphics-symbol]")
    }
    for action in ("skip", "defer"):
        card = reader.one(f".card.{action}")
        dot = reader.all(f"#table .action.{action}")[0]
        colours = {
            plot[action],
            reader.js("getComputedStyle(arguments[0]).borderTopColor", card),
            reader.js("getComputedStyle(arguments[0], '::before').backgroundColor", dot),
        }
        assert len(colours) == 1
    ground = reader.js("getComputedStyle(document.body).backgroundColor")
    assert (min(map(int, re.findall(r"\d+", ground))) > 200) == (scheme == "light")


def test_a_phone(reader, many):
    reader.open(many, PHONE)
    assert reader.js("document.documentElement.scrollWidth") == PHONE[0]
    assert not any(drawing.is_displayed() for drawing in reader.all(".drawing.wide"))
    assert all(drawing.is_displayed() for drawing in reader.all(".drawing.narrow"))
    reader.all(".unfold")[0].click()
    assert reader.js("document.documentElement.scrollWidth") == PHONE[0]
    (row,) = {cell.get_attribute("role") for cell in reader.all("#table tbody tr:first-child td")}
    assert row == "cell"
    for control in reader.all("button, select, input[type=search], summary"):
        if control.is_displayed():
            assert control.size["height"] >= 24, control.accessible_name  # WCAG 2.2, 2.5.8


def test_nothing_moves(reader, many):
    """Nothing to be reduced for those who prefer less motion."""
    reader.open(many)
    moving = """[...document.querySelectorAll("*")].map((each) => getComputedStyle(each)).filter((style) =>
      style.transitionDuration !== "0s" || style.animationName !== "none" || style.scrollBehavior !== "auto"
    ).length"""
    assert reader.js(moving) == 0


# -- against everyone ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_from_the_web_is_run(reader, ledger, report, payload):
    hostile(ledger, payload)
    reader.open(report(ledger.path))
    reader.one(".unfold").click()
    for column in reader.all("#table th[data-dt-column] [role=button]"):
        column.click()
    # what is looked up is decoded by the table's library when it holds an ampersand
    reader.search("x-robots-tag")
    reader.until(lambda: len(reader.urls()) == 1)
    assert reader.js("window.owned") is None
    assert reader.all("#table img, #table script, #table b, .details img") == []
    shown = payload.splitlines()[0] if payload.isprintable() else "https://"
    assert shown in reader.one("#table td.url").text


def test_a_damaged_page_says_so(chromium, many):
    text = many.read_text()
    many.write_text(text.replace('id="data">H4sI', 'id="data">AAAA'))
    made = Reader(chromium)
    made.driver.get(f"file://{many}")
    made.until(lambda: made.one("#failed").is_displayed())
    assert "cannot be shown" in made.one("#failed").text
    assert made.errors()
