"""The page in a real browser: what a reader does with it, and what nobody may do to it."""

from __future__ import annotations

import os
import re
import shutil

import pytest

from heedful import Action, Reason, Stage
from heedful.ledger.tables import LedgerTables
from heedful.report import totals_of
from heedful.report._page import write_page

from .conftest import START, says
from .payloads import PAYLOADS, hostile

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if not (CHROMIUM and DRIVER) and not os.environ.get("CI"):
    pytest.skip("needs chromium and chromedriver: apt-get install chromium-driver", allow_module_level=True)

webdriver = pytest.importorskip("selenium.webdriver")

from selenium.webdriver.chrome.service import Service  # noqa: E402 - after the look for selenium
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

DESKTOP, PHONE = (1280, 900), (375, 812)
WAIT = 20
ROWS = 120


@pytest.fixture(scope="module")
def chromium():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_script_timeout(WAIT)
    yield driver
    driver.quit()


class Reader:
    """What a reader of the page can do and see."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, path, size=DESKTOP, **media):
        width, height = size
        self.driver.get("about:blank")
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size is PHONE},
        )
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.get(f"file://{path}")
        self.until(lambda: self.all("#table tbody tr"))

    def until(self, condition):
        return WebDriverWait(self.driver, WAIT).until(lambda _: condition())

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def one(self, selector):
        (found,) = self.all(selector)
        return found

    def js(self, script, *args):
        return self.driver.execute_script(f"return {script}", *args)

    def texts(self, selector):
        # at once: the table may be drawn anew at any time
        return self.js(
            "[...document.querySelectorAll(arguments[0])].map((each) => each.innerText.trim())", selector
        )

    def urls(self):
        return self.texts("#table tbody td.url")

    @property
    def info(self):
        return self.js("document.querySelector('.dt-info').innerText")

    def search(self, text):
        box = self.one("input[type=search]")
        box.clear()
        box.send_keys(text)

    def press(self, *keys):
        for key in keys:
            webdriver.ActionChains(self.driver).send_keys(key).perform()

    def focused(self):
        return self.driver.switch_to.active_element

    def errors(self):
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture
def reader(chromium):
    made = Reader(chromium)
    made.errors()
    yield made
    assert made.errors() == []


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


CONTRAST = """(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = (colour) => {
    const part = (value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = [...rgba(colour)].slice(0, 3).map((each) => part(each / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (rgba(colour)[3] === 255) return colour;
    }
    return "white";
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const words = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!words || !element.checkVisibility()) continue;
    if (element.closest("script, .hidden, .skip-link, select")) continue;
    const style = getComputedStyle(element);
    const colour = element.closest("svg") ? style.fill : style.color;
    const [one, two] = [light(colour), light(ground(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (two + 0.05);
    if (ratio < 4.5) poor.push(`${element.tagName}.${element.className} ${colour} ${ratio.toFixed(2)}`);
  }
  return poor;
})()"""


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
