from __future__ import annotations

import re

import pytest
from scrapy.settings import default_settings

from heedful import Action
from heedful.testing import Fault, File, Picture, Site, Web, redirect, serve

WITHOUT_REACTOR = hasattr(default_settings, "TWISTED_REACTOR_ENABLED")

TEXT = (("Content-Type", "text/plain"),)
JPEG = (("Content-Type", "image/jpeg"),)


def picture(number=1, *headers, **kwargs):
    return File(Picture(number, "JPEG", **kwargs), headers=(*JPEG, *headers))


def robots(text, status=200):
    return {"/robots.txt": File(text, status, TEXT)}


FILES = [
    *("/.well-known/ai.json", "/.well-known/ai.txt", "/.well-known/tdmrep.json", "/.well-known/trust.txt"),
    "/ai.txt",
]
"""What each origin is asked for beside its robots.txt; /trust.txt is not, once access is denied."""

CLOSED = robots("User-agent: *\nDisallow: /\n")
NOAI = ("X-Robots-Tag", "noai")


def web(**sites):
    return Web({name: Site(files) for name, files in sites.items()})


def kinds(result):
    return [(record.action, record.reason and record.reason.value) for record in result.records]


# -- origin files: once, and nobody slips through ------------------------------------------------------------


@pytest.mark.parametrize("obey", [False, True], ids=["without ROBOTSTXT_OBEY", "with ROBOTSTXT_OBEY"])
@pytest.mark.parametrize("count", [3, 10, 100])
@pytest.mark.parametrize("spider", ["Plain", "Media"])
def test_concurrent_first_requests_to_a_disallowed_host(crawl, spider, count, obey):
    pictures = {f"/{number}.jpg": picture(number) for number in range(count)}
    with serve(web(a={**CLOSED, **pictures}), latency=0.05) as site:
        result = crawl(
            spider,
            {"CONCURRENT_REQUESTS": 200, "CONCURRENT_REQUESTS_PER_DOMAIN": 200, "ROBOTSTXT_OBEY": obey},
            urls=[site.url("a", path) for path in pictures],
            **({"together": True} if spider == "Media" else {}),
        )
        contacted = sorted(hit.path for hit in site.log)
    # Scrapy's own robots middleware asks for itself.
    assert contacted == sorted(FILES + ["/robots.txt"] * (1 + obey))
    assert result.stored == []
    assert kinds(result) == [(Action.SKIP, "robots.disallow")] * count


@pytest.mark.parametrize("obey", [False, True], ids=["without ROBOTSTXT_OBEY", "with ROBOTSTXT_OBEY"])
def test_one_request_at_a_time_does_not_wait_for_itself(crawl, obey):
    files = {f"/{number}.jpg": picture(number) for number in range(4)}
    with serve(web(a=files, b={**CLOSED, **files})) as site:
        urls = [site.url(name, path) for name in "ab" for path in files]
        result = crawl("Media", {"CONCURRENT_REQUESTS": 1, "ROBOTSTXT_OBEY": obey}, urls=urls)
    assert result.stored == [0, 1, 2, 3]
    assert result.stats["heedful/skip"] == 4


def test_a_large_robots_txt_is_read_up_to_the_limit(crawl):
    body = "User-agent: *\nDisallow: /a\n" + "# filler\n" * 200_000
    with serve(web(a={**robots(body), "/a.jpg": picture(1), "/b.jpg": picture(2)})) as site:
        result = crawl("Media", urls=[site.url("a", "/a.jpg"), site.url("a", "/b.jpg")])
    assert result.stored == [2]


@pytest.mark.parametrize(
    ("files", "stored"),
    [
        (robots("", 404), [1]),
        (robots("", 403), [1]),
        (robots("", 503), []),
        (robots("", 429), []),
        ({"/robots.txt": File(fault=Fault.RESET)}, []),
        ({"/robots.txt": redirect("{{b}}/rules.txt")}, []),
        ({"/robots.txt": redirect("{{a}}/robots.txt")}, [1]),
        (
            {"/robots.txt": File("<!DOCTYPE html><p>Disallow: /", headers=(("Content-Type", "text/html"),))},
            [1],
        ),
    ],
    ids=["404", "403", "503", "429", "reset", "redirected", "a loop", "soft 404"],
)
def test_what_an_answer_to_robots_txt_means(crawl, files, stored):
    elsewhere = {"/rules.txt": File("User-agent: *\nDisallow: /\n", headers=TEXT)}
    with serve(web(a={**files, "/1.jpg": picture(1)}, b=elsewhere)) as site:
        result = crawl("Media", urls=[site.url("a", "/1.jpg")])
        contacted = bool(site.hits("a", "/1.jpg"))
    assert result.stored == stored
    assert contacted == bool(stored)


def test_a_dead_host_defers_its_pictures_and_holds_up_nobody(crawl):
    with serve(
        web(a={"/robots.txt": File(fault=Fault.STALL), "/1.jpg": picture(1)}, b={"/2.jpg": picture(2)})
    ) as site:
        result = crawl(
            "Media",
            {"DOWNLOADER_MIDDLEWARES": {"crawlers.Impatient": 940}},
            urls=[site.url("a", "/1.jpg"), site.url("b", "/2.jpg")],
        )
        assert len(site.hits("a", "/robots.txt")) == 1  # a time-out is not repeated
        assert site.hits("a", "/1.jpg") == ()
    assert result.stored == [2]
    assert sorted(kinds(result)) == [(Action.DEFER, "robots.unreachable"), (Action.STORE, None)]


# -- requests of all kinds -----------------------------------------------------------------------------------


def test_a_spiders_own_requests_reach_its_errback_with_the_verdict(crawl):
    files = {
        "/free.jpg": picture(1),
        "/noai.jpg": picture(2, NOAI),
        "/octets": File(Picture(3, "PNG"), headers=(("Content-Type", "application/octet-stream"), NOAI)),
        "/page": File("<p>noai on a page</p>", headers=(("Content-Type", "text/html"), NOAI)),
        "/moved": redirect("{{a}}/free.jpg?2", headers=(NOAI,)),
        "/moved-page": redirect("{{a}}/page", headers=(NOAI,)),
    }
    with serve(web(a=files)) as site:
        result = crawl("Plain", urls=[site.url("a", path) for path in files])
        skipped = ["OptedOut", "skip", "x-robots-tag"]
        outcome = {tuple(seen[1].split("/")[3:]): [seen[0], *seen[2:]] for seen in result.seen}
    assert outcome.pop(("free.jpg",))[0] == "response"
    assert outcome.pop(("page",))[0] == "response"
    assert outcome == {("noai.jpg",): skipped, ("octets",): skipped, ("free.jpg?2",): skipped}


def test_a_page_is_fetched_although_its_pictures_are_reserved(crawl):
    files = {
        "/.well-known/tdmrep.json": File('[{"location": "/", "tdm-reservation": 1}]'),
        "/": File('<img src="{{b}}/1.jpg"><img src="/2.jpg">', headers=(("Content-Type", "text/html"),)),
        "/2.jpg": picture(2),
    }
    with serve(web(a=files, b={"/1.jpg": picture(1)})) as site:
        result = crawl("Images", urls=[site.start_url])
    assert result.stored == [1]
    assert result.stats["heedful/skip/tdmrep"] == 1


NOAI_META = '<meta name="robots" content="noai">'


def page(html, *headers):
    return File(html, headers=(("Content-Type", "text/html"), *headers))


@pytest.mark.parametrize("spider", ["Images", "PagePlain"])
def test_what_a_page_says_holds_for_its_pictures_and_no_others(crawl, spider):
    files = {
        "/": page('<a href="/meta">a</a> <a href="/header">b</a> <a href="/free">c</a>'),
        "/meta": page(NOAI_META + '<img src="{{b}}/1.jpg"><img src="{{b}}/2.jpg">'),
        "/header": page('<img src="{{b}}/3.jpg">', NOAI),
        "/free": page('<meta name="otherbot" content="noai"><img src="{{b}}/4.jpg">'),
    }
    pictures = {f"/{number}.jpg": picture(number) for number in range(1, 5)}
    with serve(web(a=files, b=pictures)) as site:
        result = crawl(spider, urls=[site.start_url])
        contacted = [hit.path for hit in site.hits("b") if hit.path.endswith(".jpg")]
    assert contacted == ["/4.jpg"]
    assert result.stats["heedful/skip/meta-robots"] == 2
    assert result.stats["heedful/skip/x-robots-tag"] == 1
    assert result.stats["heedful/store"] == 1
    sources = {
        record.url[-5]: record.evidence[0]["source_url"].rpartition("/")[2]
        for record in result.records
        if record.evidence
    }
    assert sources == {"1": "meta", "2": "meta", "3": "header"}


@pytest.mark.parametrize(
    ("meta", "contacted"),
    [({}, True), ({"heedful_picture": True}, False)],
    ids=["not marked", "marked as picture"],
)
def test_a_request_marked_as_a_picture_is_not_made_in_vain(crawl, meta, contacted):
    files = {**robots("User-agent: *\nContent-Usage: train-ai=n\nAllow: /\n"), "/1.jpg": picture(1)}
    with serve(web(a=files)) as site:
        result = crawl("Plain", urls=[site.url("a", "/1.jpg")], meta=meta)
        assert bool(site.hits("a", "/1.jpg")) == contacted
    assert [seen[0] for seen in result.seen] == ["OptedOut"]


@pytest.mark.parametrize("url", ["data:image/gif;base64,R0lGODlhAQABAAAAACw=", "file:///etc/hostname"])
def test_other_schemes_are_not_stored(crawl, url):
    result = crawl("Media", urls=[url])
    assert result.stored == []
    assert kinds(result) == [(Action.DEFER, "undetermined")]


def test_files_pipeline(crawl):
    files = {"/1.jpg": picture(1), "/2.jpg": picture(2, NOAI)}
    with serve(web(a=files)) as site:
        result = crawl(
            "Media",
            {"ITEM_PIPELINES": {"scrapy.pipelines.files.FilesPipeline": 1}},
            urls=[site.url("a", path) for path in files],
            field="file_urls",
        )
    assert result.stored == [1]


def test_a_refusal_is_final_and_a_failure_is_retried(crawl):
    files = {
        "/1.jpg": picture(1, NOAI),
        "/2.jpg": File("busy", 503, JPEG),
        "/3.jpg": File("no", 503, (*JPEG, NOAI)),
    }
    with serve(web(a=files)) as site:
        result = crawl("Media", {"RETRY_TIMES": 2}, urls=[site.url("a", path) for path in files])
        hits = [len(site.hits("a", path)) for path in files]
    assert hits == [1, 3, 1]
    assert sorted(kinds(result)) == [
        (Action.FAILED, None),
        (Action.SKIP, "x-robots-tag"),
        (Action.SKIP, "x-robots-tag"),
    ]


def test_skips_are_quiet(crawl):
    files = {"/1.jpg": picture(1, NOAI), "/2.jpg": picture(2, NOAI, min_bytes=200_000)}
    down = {**robots("", 500), "/4.jpg": picture(4)}
    with serve(web(a=files, b={**CLOSED, "/3.jpg": picture(3)}, c=down)) as site:
        urls = [*(site.url("a", path) for path in files), site.url("b", "/3.jpg"), site.url("c", "/4.jpg")]
        result = crawl("Media", urls=urls)
    assert (result.stats["heedful/skip"], result.stats["heedful/defer"]) == (3, 1)
    assert [line for line in result.log.splitlines() if "WARNING" in line or "ERROR" in line] == []
    assert "Traceback" not in result.log


def test_a_large_refused_body_is_not_read_and_the_ledger_says_how_much(crawl):
    with serve(web(a={"/1.jpg": picture(1, NOAI, min_bytes=3_000_000), "/2.jpg": picture(2, NOAI)})) as site:
        result = crawl("Media", urls=[site.url("a", "/1.jpg"), site.url("a", "/2.jpg")])
        site.settle()
        (large,) = site.hits("a", "/1.jpg")
    records = {record.url[-5]: record for record in result.records}
    assert (records["1"].bytes_read, records["1"].status) == (0, 200)
    assert records["1"].bytes_avoided >= 3_000_000
    assert large.body_bytes_sent < 1_500_000
    assert records["2"].bytes_read > 0  # small: read, which keeps the connection
    assert records["2"].bytes_avoided == 0
    assert result.stats["heedful/bytes_avoided"] == records["1"].bytes_avoided


def test_a_connection_that_fails_is_recorded(crawl):
    with serve(web(a={"/1.jpg": File(fault=Fault.RESET)})) as site:
        result = crawl("Media", urls=[site.url("a", "/1.jpg")])
    (record,) = result.records
    assert (record.action, record.status) == (Action.FAILED, None)
    assert record.error


# -- what is kept already ------------------------------------------------------------------------------------


def test_a_picture_in_the_store_is_judged_again(crawl, tmp_path):
    files = {"/1.jpg": picture(1)}
    with serve(web(a=files)) as site:
        url = site.url("a", "/1.jpg")
        assert crawl("Media", urls=[url]).items[0]["images"][0]["status"] == "downloaded"
        assert crawl("Media", urls=[url]).items[0]["images"][0]["status"] == "uptodate"
        files |= CLOSED  # the owner changes their mind
        result = crawl("Media", {"HEEDFUL_CACHE": str(tmp_path / "a day later")}, urls=[url])
    assert result.items[0]["images"] == []
    assert result.stats["heedful/skip/robots.disallow"] == 1


def test_no_opted_out_body_is_cached(crawl, tmp_path):
    files = {"/1.jpg": picture(1), "/2.jpg": picture(2, NOAI), "/3.jpg": picture(3, NOAI, min_bytes=200_000)}
    cache = tmp_path / "cache"
    settings = {"HTTPCACHE_ENABLED": True, "HTTPCACHE_DIR": str(cache)}
    with serve(web(a=files)) as site:
        urls = [site.url("a", path) for path in files]
        assert crawl("Media", settings, urls=urls).stored == [1]
        bodies = list(cache.rglob("response_body"))
        assert len(bodies) == 1
        (tmp_path / "store").rename(tmp_path / "old")
        files |= CLOSED
        settings["HEEDFUL_CACHE"] = str(tmp_path / "a day later")
        again = crawl("Media", settings, urls=urls)
    assert again.stored == []  # a hit in the cache is judged as well


# -- modes ---------------------------------------------------------------------------------------------------


def test_audit_records_and_skips_nothing(crawl):
    files = {"/1.jpg": picture(1), "/2.jpg": picture(2, NOAI, min_bytes=200_000)}
    with serve(web(a=files, b={**CLOSED, "/3.jpg": picture(3)})) as site:
        urls = [site.url("a", "/1.jpg"), site.url("a", "/2.jpg"), site.url("b", "/3.jpg")]
        result = crawl("Media", {"HEEDFUL_AUDIT": True}, urls=urls)
    assert result.stored == [1, 2, 3]
    assert sorted(kinds(result)) == [
        (Action.SKIP, "robots.disallow"),
        (Action.SKIP, "x-robots-tag"),
        (Action.STORE, None),
    ]
    assert not any(record.run.enforced for record in result.records)


def test_stores_may_be_counted_only(crawl):
    with serve(web(a={"/1.jpg": picture(1), "/2.jpg": picture(2, NOAI)})) as site:
        urls = [site.url("a", "/1.jpg"), site.url("a", "/2.jpg")]
        result = crawl("Media", {"HEEDFUL_LEDGER_STORES": "count"}, urls=urls)
    assert result.stats["heedful/store"] == 1
    assert kinds(result) == [(Action.SKIP, "x-robots-tag")]


@pytest.mark.parametrize(
    "settings",
    [
        {"TWISTED_REACTOR": "twisted.internet.selectreactor.SelectReactor"},
        {"AUTOTHROTTLE_ENABLED": True, "AUTOTHROTTLE_START_DELAY": 0.05},
        {"RETRY_ENABLED": False, "REDIRECT_ENABLED": False, "COOKIES_ENABLED": False},
        pytest.param(
            {"TWISTED_REACTOR_ENABLED": False},
            marks=pytest.mark.skipif(not WITHOUT_REACTOR, reason="this Scrapy needs a reactor"),
        ),
    ],
    ids=["select reactor", "throttled", "bare", "no reactor"],
)
def test_other_ways_to_run_scrapy(crawl, settings):
    files = {**robots("User-agent: *\nDisallow: /2\n"), "/1.jpg": picture(1), "/2.jpg": picture(2)}
    with serve(web(a=files)) as site:
        result = crawl("Media", settings, urls=[site.url("a", "/1.jpg"), site.url("a", "/2.jpg")])
    assert result.stored == [1]
    assert result.stats["heedful/skip/robots.disallow"] == 1


def test_an_order_of_the_users_own_is_kept(crawl):
    settings = {
        "DOWNLOADER_MIDDLEWARES": {"heedful.scrapy.PolicyMiddleware": 760},
        "ITEM_PIPELINES": {"heedful.scrapy.PagePipeline": 5, "scrapy.pipelines.images.ImagesPipeline": 10},
    }
    with serve(web(a={**CLOSED, "/1.jpg": picture(1)})) as site:
        result = crawl("Media", settings, urls=[site.url("a", "/1.jpg")])
    assert result.stored == []
    names = re.findall(r"\.(\w+Middleware)'", result.log)
    assert names.count("PolicyMiddleware") == 1
    assert names[names.index("PolicyMiddleware") - 1] == "HttpProxyMiddleware"  # 750


def test_requests_may_wait_on_disk(crawl, tmp_path):
    files = {
        "/": page(NOAI_META + '<img src="/1.jpg"><a href="/free">x</a>'),
        "/free": page('<img src="/2.jpg">'),
    }
    pictures = {f"/{number}.jpg": picture(number) for number in (1, 2)}
    with serve(web(a={**files, **pictures})) as site:
        result = crawl("PagePlain", {"JOBDIR": str(tmp_path / "job")}, urls=[site.start_url])
    assert "Unable to serialize" not in result.log
    assert result.stats["scheduler/enqueued/disk"] == 4
    assert kinds(result) == [(Action.SKIP, "meta-robots"), (Action.STORE, None)]


@pytest.mark.parametrize(
    ("settings", "user_agent"),
    [
        ({}, "PictureBot heedful/"),
        ({"HEEDFUL_CONTACT": "https://me.example/bot"}, "PictureBot (+https://me.example/bot) heedful/"),
        ({"USER_AGENT": "MyBot/1.0"}, "MyBot/1.0"),
    ],
    ids=["token", "token and contact", "the user's own"],
)
def test_user_agent(crawl, settings, user_agent):
    with serve(web(a={"/1.jpg": picture(1)})) as site:
        result = crawl("Media", settings, urls=[site.url("a", "/1.jpg")])
        sent = {dict(hit.headers)["User-Agent"] for hit in site.log}
    (agent,) = sent
    assert agent.startswith(user_agent)
    assert result.user_agent == agent
    assert ("does not contain HEEDFUL_TOKEN" in result.log) == (agent == "MyBot/1.0")
    assert "HEEDFUL_CONTACT is not set" not in result.log  # nobody to reach on loopback


# -- faults --------------------------------------------------------------------------------------------------


FAULTS = {
    "no token": ({"HEEDFUL_TOKEN": None}, ["HEEDFUL_TOKEN is missing"]),
    "an invalid token": ({"HEEDFUL_TOKEN": "Picture Bot"}, ["'Picture Bot' is no product token"]),
    "unknown policy": ({"HEEDFUL_POLICY": "strickt"}, ["no policy 'strickt' (did you mean 'strict'?)"]),
    "unwritable ledger": (
        {"HEEDFUL_LEDGER": "/proc/ledger"},
        ["HEEDFUL_LEDGER: The ledger /proc/ledger cannot"],
    ),
    "stores": ({"HEEDFUL_LEDGER_STORES": "all"}, ["HEEDFUL_LEDGER_STORES is 'all'"]),
    "a misspelt setting": (
        {"HEEDFUL_LEDGR": "x"},
        ["HEEDFUL_LEDGR is no setting", "Did you mean HEEDFUL_LEDGER?"],
    ),
    "audit": ({"HEEDFUL_AUDIT": "maybe"}, ["HEEDFUL_AUDIT must be True or False"]),
    "contact": ({"HEEDFUL_CONTACT": "a\r\nX: y"}, ["HEEDFUL_CONTACT must be one line"]),
    "all at once": (
        {"HEEDFUL_TOKEN": "", "HEEDFUL_POLICY": "x"},
        ["HEEDFUL_TOKEN is missing", "no policy 'x'"],
    ),
}


@pytest.mark.parametrize(("settings", "words"), FAULTS.values(), ids=FAULTS)
def test_a_wrong_setting_is_told_and_nothing_is_fetched(crawl, settings, words):
    with serve(web(a={"/1.jpg": picture(1)})) as site:
        result = crawl("Media", settings, urls=[site.url("a", "/1.jpg")])
        assert site.log == ()
    (failure,) = result.failures
    for part in words:
        assert part in failure


@pytest.mark.parametrize("stage", ["origin", "headers"])
def test_a_check_that_raises_stores_nothing_and_tells_once(crawl, stage):
    files = {f"/broken-{number}.jpg": picture(number) for number in range(3)} | {"/4.jpg": picture(4)}
    with serve(web(a=files)) as site:
        urls = [site.url("a", path) for path in files]
        result = crawl("BrokenCheck", urls=urls, broken="broken", stage=stage)
    assert result.stored == [4]
    assert sorted(kinds(result)) == [(Action.DEFER, "undetermined")] * 3 + [(Action.STORE, None)]
    assert result.log.count("ZeroDivisionError: broken check") == 1


def test_a_full_disk_stops_the_crawl_and_stores_nothing_unrecorded(crawl):
    files = {f"/{number}.jpg": picture(number) for number in range(40)}
    with serve(web(a=files)) as site:
        result = crawl("FullDisk", {"CONCURRENT_REQUESTS": 1}, urls=[site.url("a", path) for path in files])
    assert result.stats["finish_reason"] == "heedful_ledger_failed"
    assert len(result.stored) == 2 == len(result.records)
    assert "No space left on device" in result.log
