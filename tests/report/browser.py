"""A real browser for the tests of pages."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if not (CHROMIUM and DRIVER) and not os.environ.get("CI"):
    pytest.skip("needs chromium and chromedriver: apt-get install chromium-driver", allow_module_level=True)

webdriver = pytest.importorskip("selenium.webdriver")

from selenium.webdriver.chrome.service import Service  # noqa: E402 - after the look for selenium
from selenium.webdriver.common.keys import Keys  # noqa: E402, F401 - for those who import this
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

DESKTOP, PHONE = (1280, 900), (375, 812)
WAIT = 20


@contextmanager
def started():
    """A browser of its own."""
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


@contextmanager
def reading(driver):
    """A reader; whatever the browser complains of in the meantime is a fault."""
    made = Reader(driver)
    made.errors()
    yield made
    assert made.errors() == []


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
