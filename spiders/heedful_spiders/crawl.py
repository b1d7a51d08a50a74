"""Runs the images spider into a folder: what `heedful crawl` does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from scrapy import signals
from scrapy.crawler import CrawlerProcess
from scrapy.extensions.feedexport import ItemFilter
from scrapy.settings import Settings

from heedful.errors import ConfigurationError
from heedful_spiders.images import FOUND, PAGES, ImagesSpider

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from twisted.python.failure import Failure

PICTURES: Final = "images"
"""Folder of the stored pictures, in the output folder."""

METADATA: Final = "images.jsonl"
"""One line for each stored picture: its file, URL, alternative text and page."""

LOG: Final = "crawl.log"


class StoredOnly(ItemFilter):
    """Lets items through whose picture was stored."""

    def accepts(self, item: Any) -> bool:
        """Whether a picture lies in the store for `item`."""
        return bool(item.get("images"))


@dataclass(frozen=True, slots=True)
class Counts:
    """Where a crawl stands: pictures found, and what became of them."""

    pages: int
    found: int
    stored: int
    skipped: Mapping[str, int]
    deferred: Mapping[str, int]
    failed: int
    bytes_avoided: int
    finish_reason: str | None = None

    @classmethod
    def of(cls, stats: Mapping[str, Any]) -> Counts:
        """The counts in a crawl's stats."""

        def by_reason(action: str) -> dict[str, int]:
            prefix = f"heedful/{action}/"
            counts = {key[len(prefix) :]: n for key, n in sorted(stats.items()) if key.startswith(prefix)}
            pictures = {
                reason: n - stats.get(f"{PAGES}_{action}/{reason}", 0) for reason, n in counts.items()
            }
            return {reason: n for reason, n in pictures.items() if n > 0}

        return cls(
            pages=stats.get(PAGES, 0),
            found=stats.get(FOUND, 0),
            stored=stats.get("heedful/store", 0),
            skipped=by_reason("skip"),
            deferred=by_reason("defer"),
            failed=stats.get("heedful/failed", 0),
            bytes_avoided=stats.get("heedful/bytes_avoided", 0),
            finish_reason=stats.get("finish_reason"),
        )

    @property
    def decided(self) -> int:
        """Pictures that something became of."""
        return self.stored + sum(self.skipped.values()) + sum(self.deferred.values()) + self.failed


def crawl(
    urls: Sequence[str],
    out: Path,
    *,
    heedful: Mapping[str, Any],
    follow: str = "site",
    scrapy: Mapping[str, Any] | None = None,
    progress: Callable[[Counts], None] = lambda _: None,
) -> Counts:
    """Crawl sites into an image dataset. A process can do this once: Scrapy's reactor does not restart.

    Args:
        urls: the pages to start from.
        out: the output folder.
        heedful: `HEEDFUL_` settings.
        follow: as for `ImagesSpider`.
        scrapy: further Scrapy settings.
        progress: told the counts now and then.

    Raises:
        ConfigurationError: a setting is wrong or a folder cannot be written; nothing was fetched.
    """
    settings = Settings()
    settings.setmodule("heedful_settings.scrapy_default", priority="project")
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / LOG).write_bytes(b"")
    except OSError as error:
        raise ConfigurationError(f"The output folder {out} cannot be written: {error.strerror}.") from error
    settings.setdict(
        {
            "IMAGES_STORE": str(out / PICTURES),
            "FEEDS": {out / METADATA: {"format": "jsonlines", "overwrite": True, "item_filter": StoredOnly}},
            "LOG_FILE": str(out / LOG),
            "LOG_LEVEL": "INFO",
            **heedful,
            **(scrapy or {}),
        },
        priority="cmdline",
    )
    process = CrawlerProcess(settings)
    crawler = process.create_crawler(ImagesSpider)

    def report(*_: Any, **__: Any) -> None:
        if crawler.stats is not None:
            progress(Counts.of(crawler.stats.get_stats()))

    for signal in (signals.response_received, signals.item_scraped, signals.item_error):
        crawler.signals.connect(report, signal, weak=False)
    failures: list[BaseException] = []

    def failed(failure: Failure) -> None:
        assert failure.value is not None  # noqa: S101
        failures.append(failure.value)

    process.crawl(crawler, urls=list(urls), follow=follow).addErrback(failed)
    process.start()
    if failures:
        raise failures[0]
    assert crawler.stats is not None  # noqa: S101
    return Counts.of(crawler.stats.get_stats())
