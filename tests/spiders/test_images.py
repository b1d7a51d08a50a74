from __future__ import annotations

import pytest

scrapy = pytest.importorskip("scrapy")

from scrapy.crawler import Crawler  # noqa: E402
from scrapy.http import HtmlResponse, Response  # noqa: E402
from scrapy.statscollectors import MemoryStatsCollector  # noqa: E402

from heedful_spiders.images import FOUND, PAGES, ImagesSpider  # noqa: E402

PAGE = "http://a.example/dir/page"


def parse(html, follow="site", url=PAGE, response=None):
    crawler = Crawler(ImagesSpider)
    crawler.stats = MemoryStatsCollector(crawler)
    spider = ImagesSpider.from_crawler(crawler, urls=[PAGE], follow=follow)
    results = list(spider.parse(response or HtmlResponse(url, body=html.encode(), encoding="utf-8")))
    items = [each for each in results if isinstance(each, dict)]
    links = [each.url for each in results if not isinstance(each, dict)]
    return items, links, crawler.stats


SOURCES = {
    "src": ('<img src="a.jpg">', ["http://a.example/dir/a.jpg"]),
    "base": ('<base href="http://b.example/x/"><img src="a.jpg">', ["http://b.example/x/a.jpg"]),
    "a CDN": ('<img src="//cdn.example/a.jpg">', ["http://cdn.example/a.jpg"]),
    "white space": ('<img src="\n a.jpg ">', ["http://a.example/dir/a.jpg"]),
    "lazy": ('<img src="data:image/gif;base64,R0" data-src="b.jpg">', ["http://a.example/dir/b.jpg"]),
    "lazy without src": ('<img data-src="b.jpg">', ["http://a.example/dir/b.jpg"]),
    "srcset by width": (
        '<img src="s.jpg" srcset="m.jpg 400w, l.jpg 800w, s.jpg 100w">',
        ["http://a.example/dir/l.jpg"],
    ),
    "srcset by density": ('<img src="1.jpg" srcset="1.jpg, 2.jpg 2x">', ["http://a.example/dir/2.jpg"]),
    "srcset with commas in a URL": (
        '<img srcset="/w_1,h_2/a.jpg 1x, /w_2,h_4/a.jpg 2x">',
        ["http://a.example/w_2,h_4/a.jpg"],
    ),
    "the same twice": ('<img src="a.jpg"><img src="a.jpg#x">', ["http://a.example/dir/a.jpg"]),
    "no picture": ('<img><img src=""><img src="data:image/gif;base64,R0"><img src="ftp://x/a.jpg">', []),
}


@pytest.mark.parametrize(("html", "urls"), SOURCES.values(), ids=SOURCES)
def test_pictures_of_a_page(html, urls):
    items, _, stats = parse(html)
    assert [item["image_urls"] for item in items] == [[url] for url in urls]
    assert stats.get_value(FOUND, 0) == len(urls)
    assert stats.get_value(PAGES) == 1


def test_an_item_has_the_context():
    (item,), _, _ = parse('<title> A\n wall </title><img src="/a.jpg" alt=" A <b> &amp; c ">')
    assert item == {
        "image_urls": ["http://a.example/a.jpg"],
        "alt": "A <b> & c",
        "page": PAGE,
        "title": "A\n wall",
    }


@pytest.mark.parametrize(
    ("follow", "links"),
    [
        ("site", ["http://a.example/other"]),
        ("all", ["http://a.example/other", "http://b.example/", "http://a.example:81/"]),
        ("none", []),
    ],
)
def test_links(follow, links):
    html = '<a href="/other">a</a><a href="http://b.example/">b</a><a href="http://a.example:81/">c</a>'
    assert parse(html, follow)[1] == links


def test_a_start_page_that_is_a_picture():
    response = Response("http://a.example/a.png", headers={"Content-Type": "image/png"}, body=b"\x89PNG")
    (item,), _, _ = parse("", response=response)
    assert item["image_urls"] == ["http://a.example/a.png"]
    other = Response("http://a.example/a.pdf", headers={"Content-Type": "application/pdf"})
    assert parse("", response=other)[:2] == ([], [])


def test_urls_may_come_as_one_text():
    assert ImagesSpider("http://a/ \n http://b/").start_urls == ["http://a/", "http://b/"]


def test_follow_is_checked():
    with pytest.raises(ValueError, match="follow='some' is none of site, none, all"):
        ImagesSpider([], follow="some")
