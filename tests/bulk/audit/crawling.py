"""A Scrapy project without heedful: arguments are the output folder and URLs of pictures.

Leaves `images` (with thumbnails), `files`, and the feed in three formats.
"""

from __future__ import annotations

import sys

import scrapy
from scrapy.crawler import CrawlerProcess


class Pictures(scrapy.Spider):
    name = "pictures"

    async def start(self):
        yield {"name": "several", "image_urls": self.urls[:2], "file_urls": self.urls[:2]}
        for url in self.urls[2:]:
            yield {"name": url, "image_urls": [url], "file_urls": [url]}


def main(out, *urls):
    process = CrawlerProcess(
        {
            "ITEM_PIPELINES": {
                "scrapy.pipelines.images.ImagesPipeline": 1,
                "scrapy.pipelines.files.FilesPipeline": 2,
            },
            "IMAGES_STORE": f"{out}/images",
            "IMAGES_THUMBS": {"small": (64, 64), "tiny": (32, 32)},
            "FILES_STORE": f"{out}/files",
            "MEDIA_ALLOW_REDIRECTS": True,
            "FEEDS": {f"{out}/feed.{kind}": {"format": form} for kind, form in FORMATS.items()},
            "LOG_LEVEL": "ERROR",
            "TELNETCONSOLE_ENABLED": False,
        }
    )
    process.crawl(Pictures, urls=list(urls))
    process.start()


FORMATS = {"jsonl": "jsonlines", "json": "json", "csv": "csv"}

if __name__ == "__main__":
    main(*sys.argv[1:])
