"""Runs one crawl in a process of its own, as the reactor demands, and prints what came of it as JSON.

Standard input: {"spider": class in crawlers.py, "args": {...}, "settings": {...}}.
"""

from __future__ import annotations

import json
import sys

import crawlers
from itemadapter import ItemAdapter
from scrapy import signals
from scrapy.utils.project import get_project_settings


def process_class(settings):
    if settings.getbool("TWISTED_REACTOR_ENABLED", True):
        from scrapy.crawler import CrawlerProcess

        return CrawlerProcess
    from scrapy.crawler import AsyncCrawlerProcess

    return AsyncCrawlerProcess


def main():
    job = json.load(sys.stdin)
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


if __name__ == "__main__":
    main()
