"""What the documentation says of the add-on is what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from heedful import Reason
from heedful.scrapy import SETTINGS
from heedful.scrapy._enforcer import HEADERS_ONLY, HOPS, LISTED, RECORDED
from heedful.scrapy._media import PICTURE, SKIPPED
from heedful.scrapy._options import REQUIRED
from heedful.scrapy._origins import INTERNAL, Counted
from heedful.scrapy._pages import PAGE
from heedful.testing import serve

DOCS = Path(__file__).parents[2] / "docs"
PAGE_TEXT = (DOCS / "scrapy.md").read_text("utf-8")


def entries(section):
    """The entries of a section of the page, by name."""
    text = PAGE_TEXT.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^### (\S+)\n(.+?)(?=^### |\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(dict(found)) == len(found)
    return dict(found)


def test_every_setting_has_an_entry_that_begins_with_its_default():
    documented = entries("Settings")
    assert documented.keys() == SETTINGS.keys()
    for name, (default, _) in SETTINGS.items():
        words = "Required." if default is REQUIRED else f"Default: `{default!r}`".replace("'", '"')
        words = words.replace("()", "[]")
        assert documented[name].startswith(words), name


def test_every_meta_key_and_item_field_has_an_entry():
    keys = {PICTURE, HEADERS_ONLY, LISTED, PAGE, HOPS, RECORDED, INTERNAL}
    assert entries("Request meta keys").keys() == keys
    assert entries("Item fields").keys() == {SKIPPED}


def test_every_stat_has_an_entry(crawl, tmp_path):
    with serve() as gallery:
        settings = {"HEEDFUL_REGISTRIES": [str(gallery.registry(tmp_path / "gallery.heed"))]}
        stats = crawl("Images", settings, urls=[gallery.start_url]).stats
    ours = {name for name in stats if name.startswith("heedful/")}
    reasons = {reason.value for reason in Reason}
    bare = {
        re.sub(r"/([^/]+)$", lambda match: "" if match[1] in reasons else match[0], name) for name in ours
    }
    counted = {f"heedful/origin_files/{what}" for what in get_args(Counted)}
    assert counted > {name for name in bare if name.startswith("heedful/origin_files/")} > set()
    assert bare | counted == entries("Stats").keys()
    assert 0 < stats["heedful/time"] < stats["elapsed_time_seconds"]


PROGRAM = re.search(
    r"```python\n(# slip\.py.*?)```", (DOCS / "scrapy-robotstxt.md").read_text("utf-8"), re.DOTALL
)[1]
OBEYING = '"ROBOTSTXT_OBEY": True'


@pytest.mark.parametrize("heeding", [False, True], ids=["ROBOTSTXT_OBEY", "heedful"])
def test_the_program_on_robotstxt_obey(tmp_path, heeding):
    program = PROGRAM
    if heeding:
        ours = (
            '"ADDONS": {"heedful.scrapy.Addon": 500}, "HEEDFUL_TOKEN": "PictureBot", "HEEDFUL_CACHE": "cache"'
        )
        program = program.replace(OBEYING, f"{OBEYING}, {ours}")
        assert program != PROGRAM
    (tmp_path / "slip.py").write_text(program, "utf-8")
    done = subprocess.run(
        [sys.executable, "slip.py"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    fetched = re.findall(r"/\d\.jpg", done.stdout)
    assert len(fetched) == (0 if heeding else 8)
