"""Spiders and faults for the tests of the add-on."""

from __future__ import annotations

import scrapy

import heedful.gate
import heedful.ledger.writer
from heedful import LedgerError, OptedOut
from heedful_spiders.images import ImagesSpider


class Images(ImagesSpider):
    """The images spider, over every link."""

    def __init__(self, urls, follow="all", **kwargs):
        super().__init__(urls, follow, **kwargs)


class Media(scrapy.Spider):
    """Hands URLs to the media pipelines, all in one item or one item each."""

    name = "media"

    def __init__(self, urls, together=False, field="image_urls"):
        super().__init__()
        self.urls, self.together, self.field = urls, together, field

    async def start(self):
        yield scrapy.Request("data:,a%20page", meta={"dont_cache": True})

    def parse(self, response):
        for group in [self.urls] if self.together else [[url] for url in self.urls]:
            yield {self.field: group}


class Plain(scrapy.Spider):
    """Asks for URLs itself, as a spider does that stores pictures in its callback."""

    name = "plain"

    def __init__(self, urls, meta=None):
        super().__init__()
        self.urls, self.meta, self.seen = urls, meta or {}, []

    async def start(self):
        for url in self.urls:
            yield scrapy.Request(url, errback=self.failed, meta=dict(self.meta), dont_filter=True)

    def parse(self, response):
        self.seen.append(["response", response.url, response.status, len(response.body)])

    def failed(self, failure):
        error = failure.value
        words = [type(error).__name__, failure.request.url]
        if isinstance(error, OptedOut):
            words += [error.verdict.action.value, error.verdict.reason.value]
        self.seen.append(words)


class PagePlain(scrapy.Spider):
    """Follows links, and asks for the pictures of pages itself, handing on whatever meta there is."""

    name = "page-plain"

    def __init__(self, urls):
        super().__init__()
        self.start_urls = urls

    def parse(self, response):
        for link in response.css("a::attr(href)").getall():
            yield response.follow(link, meta=response.meta)
        for source in response.css("img::attr(src)").getall():
            yield response.follow(source, self.stored, meta={**response.meta, "heedful_picture": True})

    def stored(self, response):
        pass


class BrokenCheck(Media):
    """A media spider under a gate that crashes on some URLs."""

    def __init__(self, urls, broken, stage):
        super().__init__(urls)
        judge = heedful.gate.Gate.judge

        def crash(gate, url, **known):
            if broken in url and (stage == "origin" or known.get("response") is not None):
                raise ZeroDivisionError("broken check")
            return judge(gate, url, **known)

        heedful.gate.Gate.judge = crash


class FullDisk(Media):
    """A media spider whose ledger cannot be written from the third record on."""

    def __init__(self, urls):
        super().__init__(urls)
        record = heedful.ledger.writer.LedgerWriter.record
        calls = []

        def full(writer, *args, **kwargs):
            calls.append(args)
            if len(calls) > 2:
                raise LedgerError("The ledger cannot be written: No space left on device.")
            return record(writer, *args, **kwargs)

        heedful.ledger.writer.LedgerWriter.record = full


class Impatient:
    """A downloader middleware that shortens time-outs, so that a test need not wait for them."""

    def process_request(self, request):
        request.meta["download_timeout"] = 0.5
