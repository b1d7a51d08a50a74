from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from heedful.ledger import LedgerReader
from heedful.testing import identify

HERE = Path(__file__).parent


@dataclass
class Crawl:
    """What came of a crawl."""

    folder: Path
    log: str
    stats: dict = field(default_factory=dict)
    items: list = field(default_factory=list)
    failures: list = field(default_factory=list)
    seen: list = field(default_factory=list)
    user_agent: str = ""

    @property
    def records(self):
        reader = LedgerReader(str(self.folder / "ledger"))
        records = list(reader)
        assert reader.faults == []
        return records

    @property
    def stored(self):
        """The numbers of the pictures in the store."""
        return sorted(identify(path) for path in (self.folder / "store").rglob("*") if path.is_file())


@pytest.fixture(scope="session")
def started():
    """Start a crawl and wait for it; its exit code."""
    command = [sys.executable, str(HERE / "jobs.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as crawls:

        def run(order):
            crawls.stdin.write(json.dumps(order) + "\n")
            crawls.stdin.flush()
            return int(crawls.stdout.readline())

        yield run
        crawls.stdin.close()


@pytest.fixture
def crawl(tmp_path, started):
    """Run a spider of `crawlers.py` on the real engine, with the add-on and the real ImagesPipeline."""

    def run(spider, settings=None, folder=tmp_path, **args):
        folder.mkdir(exist_ok=True)
        job = {
            "spider": spider,
            "args": args,
            "settings": {
                "ADDONS": {"heedful.scrapy.Addon": 500},
                "HEEDFUL_TOKEN": "PictureBot",
                "HEEDFUL_LEDGER": str(folder / "ledger"),
                "HEEDFUL_CACHE": str(folder / "machine"),
                "ITEM_PIPELINES": {"scrapy.pipelines.images.ImagesPipeline": 1},
                "IMAGES_STORE": str(folder / "store"),
                "FILES_STORE": str(folder / "store"),
                "MEDIA_ALLOW_REDIRECTS": True,
                "RETRY_TIMES": 0,
                "TELNETCONSOLE_ENABLED": False,
                **(settings or {}),
            },
        }
        order = {"folder": str(folder), "environment": dict(os.environ), "job": job}
        code = started(order)
        log = (folder / "err").read_text("utf-8")
        assert code == 0, log
        return Crawl(folder=folder, log=log, **json.loads((folder / "out").read_text("utf-8")))

    return run
