"""Runs crawls, each in a process of its own, as the reactor demands; what they need is imported once.

Each line of standard input is a JSON object: `folder`, the working folder; `environment`; `job`: {"spider":
class in crawlers.py, "args": {...}, "settings": {...}}. In the folder the crawl leaves `out`, what came of it
as JSON, and `err`, its log. The answer is a line with its exit code.
"""

from __future__ import annotations

import json
import os
import signal
import sys

import crawlers
import scrapy.core.downloader.handlers.http11
import scrapy.core.engine
import scrapy.pipelines.images  # noqa: F401
from itemadapter import ItemAdapter
from scrapy import signals
from scrapy.utils.project import get_project_settings

import heedful.scrapy  # noqa: F401

SECONDS = 120


def process_class(settings):
    if settings.getbool("TWISTED_REACTOR_ENABLED", True):
        from scrapy.crawler import CrawlerProcess

        return CrawlerProcess
    from scrapy.crawler import AsyncCrawlerProcess

    return AsyncCrawlerProcess


def crawl(job):
    settings = get_project_settings()
    settings.setdict(job["settings"], priority="project")
    process = process_class(settings)(settings)
    crawler = process.create_crawler(getattr(crawlers, job["spider"]))
    items = []
    crawler.signals.connect(
        lambda item: items.append(ItemAdapter(item).asdict()), signals.item_scraped, weak=False
    )
    failures = []
    started = process.crawl(crawler, **job["args"])
    if hasattr(started, "addErrback"):
        started.addErrback(lambda failure: failures.append(str(failure.value)))
    process.start()
    spider = crawler.spider
    stats = {} if failures else crawler.stats.get_stats()
    result = {
        "stats": stats,
        "items": items,
        "failures": failures,
        "seen": getattr(spider, "seen", []),
        "user_agent": crawler.settings["USER_AGENT"],
    }
    json.dump(result, sys.stdout, default=str)


def begin(order):
    """Make this process one that was started for the job alone."""
    signal.alarm(SECONDS)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, number)
        os.close(file)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def main():
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            begin(order)
            crawl(order["job"])
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
