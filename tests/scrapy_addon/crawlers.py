"""Spiders and faults for the tests of the add-on."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field

import scrapy
from scrapy.pipelines.images import ImagesPipeline
from scrapy.resolver import dnscache

import heedful.gate
import heedful.ledger.writer
from heedful import LedgerError, OptedOut
from heedful.scrapy._enforcer import Enforcer
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


class Head(Plain):
    """Asks for URLs by HEAD."""

    name = "head"

    async def start(self):
        async for request in super().start():
            yield request.replace(method="HEAD")


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

    seconds = 0.5

    def process_request(self, request):
        request.meta["download_timeout"] = self.seconds


class LessImpatient(Impatient):
    seconds = 2.0


class BrokenSignal(Media):
    """A media spider under an enforcer that crashes when headers come in."""

    def __init__(self, urls):
        super().__init__(urls)

        def crash(enforcer, *_):
            raise ZeroDivisionError("broken signal")

        Enforcer.not_to_be_read = crash


class PictureItem(scrapy.Item):
    image_urls = scrapy.Field()
    images = scrapy.Field()


class TellingItem(PictureItem):
    heedful_skipped = scrapy.Field()


@dataclass
class PictureData:
    image_urls: list
    images: list = field(default_factory=list)
    heedful_skipped: list = field(default_factory=list)


ITEMS = {"dict": dict, "item": PictureItem, "telling item": TellingItem, "dataclass": PictureData}


class PageItems(scrapy.Spider):
    """Yields an item of some kind with the pictures of each page."""

    name = "page-items"

    def __init__(self, urls, kind="dict"):
        super().__init__()
        self.start_urls, self.kind = urls, kind

    def parse(self, response):
        urls = [response.urljoin(source) for source in response.css("img::attr(src)").getall()]
        yield ITEMS[self.kind](image_urls=urls)
        for link in response.css("a::attr(href)").getall():
            yield response.follow(link)


class Replacing:
    """A pipeline that hands on another item in place of the one it was given."""

    def process_item(self, item):
        return dict(item)


class OwnRequests(ImagesPipeline):
    """A pipeline that makes its requests itself, one after the other."""

    def get_media_requests(self, item, info):
        for url in item["image_urls"]:
            yield scrapy.Request(url, meta={"of": "own"})


class Named(Media):
    """A media spider in a world where names lead where it is told: as looked up, and as connected to."""

    def __init__(self, urls, names):
        super().__init__(urls)
        look_up = socket.getaddrinfo

        def resolve(host, *args, **kwargs):
            return look_up(names[host][0] if host in names else host, *args, **kwargs)

        socket.getaddrinfo = resolve
        for name, (_, connected) in names.items():
            dnscache[name] = connected  # Scrapy's own resolver, which asks for nothing that is in here


class Proxied(Media):
    """A media spider whose requests go through a proxy."""

    def __init__(self, urls, proxy):
        super().__init__(urls)
        os.environ["http_proxy"] = proxy
