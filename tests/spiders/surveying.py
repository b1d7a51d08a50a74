"""Runs one survey in a process of its own, as the reactor demands, and prints its rows as JSON.

Standard input: {"sites": [...], "settings": {...}, "arguments": {...}, and what is to go wrong}.
"""

from __future__ import annotations

import json
import socket
import sys

from scrapy.resolver import dnscache
from scrapy.utils.defer import deferred_from_coro

import heedful_spiders.survey as module
from heedful.survey._sites import Site


class Impatient:
    """A downloader middleware that shortens a site's time-outs, so that a test need not wait for them."""

    def __init__(self, site):
        self.site = site

    @classmethod
    def from_crawler(cls, crawler):
        return cls(crawler.settings["IMPATIENT_WITH"])

    def process_request(self, request):
        if request.url.startswith(f"{self.site}/"):
            request.meta["download_timeout"] = 0.5


def named(names):
    """Make a world where names lead where it is told: as looked up, and as connected to."""
    look_up = socket.getaddrinfo

    def resolve(host, *args, **kwargs):
        if names.get(host) == []:
            raise socket.gaierror("no such name")
        return look_up(names[host][0] if host in names else host, *args, **kwargs)

    socket.getaddrinfo = resolve
    for name, addresses in names.items():
        if addresses:
            dnscache[name] = addresses[-1]  # Scrapy's own resolver, which asks for nothing that is in here


def broken(part):
    """Let the classification of some sites crash."""
    row_of = module.row_of

    def crash(asked, gate):
        if part in asked.site and asked.files:
            raise ZeroDivisionError("broken check")
        return row_of(asked, gate)

    module.row_of = crash


def closing(part):
    """Let the crawl be closed by another when a site's turn comes."""
    asked = module.SurveySpider._asked

    async def close(spider, site):
        if part in site.name:
            deferred_from_coro(spider.crawler.engine.close_spider_async(reason="closed by a test"))
        return await asked(spider, site)

    module.SurveySpider._asked = close


def main():
    job = json.load(sys.stdin)
    named(job.get("names", {}))
    if "broken" in job:
        broken(job["broken"])
    if "closing" in job:
        closing(job["closing"])
    rows, error = [], None

    def keep(row):
        if len(rows) >= job.get("room", len(job["sites"])):
            raise OSError("no space left")
        rows.append(dict(row))

    settings = {"DOWNLOAD_DELAY": 0, **job.get("settings", {})}
    try:
        module.survey(map(Site.parse, job["sites"]), keep, settings=settings, **job["arguments"])
    except OSError as raised:
        error = str(raised)
    json.dump({"rows": rows, "error": error}, sys.stdout)


if __name__ == "__main__":
    main()
