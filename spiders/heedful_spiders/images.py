"""Follows the pages of sites and yields their pictures, each with its alternative text and its page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import scrapy
from scrapy.http import HtmlResponse
from scrapy.linkextractors import LinkExtractor

from heedful.errors import OptedOut

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from scrapy.http import Response
    from twisted.python.failure import Failure

FOLLOW: Final = ("site", "none", "all")

PAGES: Final = "heedful_spiders/pages"
"""The stat that counts the pages read."""

FOUND: Final = "heedful_spiders/pictures"
"""The stat that counts the pictures found, each URL once."""


class ImagesSpider(scrapy.Spider):
    """Crawls sites into items for Scrapy's media pipelines.

    Each item is `{"image_urls": [URL], "alt": str, "page": URL, "title": str}`.

    Args:
        urls: the pages to start from: a list, or one string with white space between them.
        follow: which links are followed: `site` (same host and port as a start page), `none`, or `all`.
    """

    name = "images"

    def __init__(self, urls: str | Iterable[str], follow: str = "site", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start_urls = urls.split() if isinstance(urls, str) else list(urls)
        if follow not in FOLLOW:
            raise ValueError(f"follow={follow!r} is none of {', '.join(FOLLOW)}")
        self._follow = follow
        self._sites = {urlsplit(url).netloc.lower() for url in self.start_urls}
        self._links = LinkExtractor()
        self._seen: set[str] = set()

    async def start(self) -> AsyncIterator[scrapy.Request]:
        """Ask for the start pages."""
        for url in self.start_urls:
            yield scrapy.Request(url, errback=self.refused, dont_filter=True)

    def parse(self, response: Response, **_: Any) -> Iterator[Any]:
        """Yield the pictures of a page, then the links to follow."""
        self._count(PAGES)
        if not isinstance(response, HtmlResponse):
            if (response.headers.get("Content-Type") or b"").startswith(b"image/"):
                yield from self._item(response.url, "", response.url, "")
            return
        title = " ".join(response.css("title::text").getall()).strip()
        for image in response.css("img"):
            if source := _source(image.attrib):
                alt = image.attrib.get("alt", "").strip()
                yield from self._item(response.urljoin(source), alt, response.url, title)
        if self._follow == "none":
            return
        for link in self._links.extract_links(response):
            if self._follow == "all" or urlsplit(link.url).netloc.lower() in self._sites:
                yield response.follow(link, errback=self.refused)

    def refused(self, failure: Failure) -> None:
        """Count pages that must not be fetched apart from pictures."""
        if isinstance(failure.value, OptedOut):
            verdict = failure.value.verdict
            self._count(f"{PAGES}_{verdict.action.value}/{verdict.reason}")

    def _item(self, url: str, alt: str, page: str, title: str) -> Iterator[dict[str, Any]]:
        url = url.partition("#")[0]
        if url in self._seen or not url.lower().startswith(("http://", "https://")):
            return
        self._seen.add(url)
        self._count(FOUND)
        yield {"image_urls": [url], "alt": alt, "page": page, "title": title}

    def _count(self, stat: str) -> None:
        stats = self.crawler.stats
        assert stats is not None  # noqa: S101
        stats.inc_value(stat)


def _source(attributes: dict[str, str]) -> str:
    """The largest picture that an `img` offers: the best of `srcset`, else `src` or its lazy stand-in."""
    candidates = []
    for name in ("srcset", "data-srcset"):
        for candidate in attributes.get(name, "").split(", "):
            url, _, size = candidate.strip().rstrip(",").partition(" ")
            if url:
                candidates.append((_size(size), url))
    if candidates:
        return max(candidates, key=lambda each: each[0])[1]
    source = attributes.get("src", "").strip()
    if not source or source.startswith("data:"):
        source = attributes.get("data-src", "").strip() or source
    return source


def _size(descriptor: str) -> float:
    """A `srcset` descriptor (`2x`, `800w`) as a number; none is `1x`."""
    try:
        return float(descriptor.strip()[:-1])
    except ValueError:
        return 1.0
