"""Asks sites for their origin files alone, and yields what each says of AI training, a row a site."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.request import getproxies

import scrapy
from scrapy import signals
from scrapy.crawler import CrawlerProcess
from scrapy.settings import Settings
from scrapy.utils.defer import deferred_from_coro, maybe_deferred_to_future
from twisted.internet.defer import DeferredQueue

from heedful._origin import FIRST, ROBOTS, Origin
from heedful.configuration import Configuration
from heedful.gate import Gate
from heedful.model import Action, OriginFile, printable
from heedful.origins import TIMEOUT
from heedful.origins._resolving import Resolver
from heedful.origins.addresses import Place, RefusedError, literal, place
from heedful.origins.target import host_of
from heedful.scrapy._origins import INTERNAL, OriginFiles
from heedful.scrapy._waiting import Threads, pause
from heedful.survey._classify import Asked, Reach, reach_of, row_of
from heedful.survey._sites import Rejected, Site, from_arguments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.python.failure import Failure
    from typing_extensions import Self

logger = logging.getLogger(__name__)

AT_ONCE: Final = 64
"""Sites that are asked at once, unless told otherwise."""

RESOLVING_MAX: Final = 32
"""Names that are looked up at once."""

DELAY: Final = 0.25
"""Seconds between two requests to one site, on the average."""

PUBLIC_ONLY_ORDER: Final = 960
"""Next to the network: here it is known which proxy a request takes."""

BODY_MAX: Final = 32 * 2**20
"""Bytes of a body at most, also once decompressed; of what is sent plain, `FILE_MAX` are read."""


class SurveySpider(scrapy.Spider):
    """Surveys sites: which opt-out signals do they send?

    Asked for are the files that heedful's gate reads: robots.txt, tdmrep.json, ai.txt, trust.txt, and RSL
    licences that robots.txt announces; no page, and no picture. A row for each site is yielded as an item.

    Args:
        sites: what to ask: domains, hosts or URLs, in a list or one string with white space between them.
        token: the product token that robots.txt files know you by.
        contact: where site owners can turn to.
        policy: a profile's name, or a TOML file; its remote registries are not asked.
        cache: the folder of what a machine's crawls share; None: the user's.
        at_once: sites that are asked at once.
    """

    name = "survey"

    def __init__(
        self,
        sites: str | Iterable[str | Site],
        token: str,
        contact: str | None = None,
        policy: str = "standard",
        cache: str | None = None,
        at_once: int | str = AT_ONCE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._sites = sites.split() if isinstance(sites, str) else sites
        self.configuration = Configuration.check(
            token=token, contact=contact, policy=policy, cache=cache, ledger=None, now=time.time()
        )
        self.gate = gate_of(self.configuration)
        self._at_once = int(at_once)
        self._resolver = Resolver()
        self._names = Threads(RESOLVING_MAX)
        self.origin_files: OriginFiles

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        """Make it, with the downloader of `crawler` to ask by."""
        spider = super().from_crawler(crawler, *args, **kwargs)
        spider.origin_files = OriginFiles(crawler, spider.configuration.cache)
        # Not sooner: `CrawlerProcess.crawl` applies its own settings once more, over those of a class.
        crawler.settings.setdefault_in_component_priority_dict(
            "DOWNLOADER_MIDDLEWARES", PublicOnly, PUBLIC_ONLY_ORDER
        )
        if not crawler.settings.getpriority("USER_AGENT"):
            crawler.settings.set("USER_AGENT", spider.configuration.user_agent, "spider")
        return spider

    @classmethod
    def update_settings(cls, settings: Any) -> None:
        """Be polite, and leave all that follows, repeats or stores requests to the rules for origin files."""
        super().update_settings(settings)
        settings.setdict(POLITE, priority="spider")

    def closed(self, reason: str) -> None:  # noqa: ARG002 - Scrapy gives it
        """Close the cache."""
        self._names.close()
        self.origin_files.close()

    async def start(self) -> AsyncIterator[dict[str, Any]]:
        """Ask the sites, some at once; the rows come in the order in which they are complete."""
        ready: DeferredQueue[dict[str, Any]] = DeferredQueue()
        asking = 0
        sites = iter(self._parsed())
        while True:
            while asking < self._at_once and (site := next(sites, None)) is not None:
                asking += 1
                deferred_from_coro(self._ask(site, ready))
            if not asking:
                return
            row = await maybe_deferred_to_future(ready.get())
            asking -= 1
            if self._is_closing():
                return  # what is asked now gets no answer, and that says nothing of the site
            yield row

    def _is_closing(self) -> bool:
        """Whether the crawl is about to end, which Scrapy has no other way to tell."""
        slot = getattr(self.crawler.engine, "_slot", None)
        return slot is not None and slot.closing is not None

    def _parsed(self) -> Iterable[Site]:
        for each in self._sites:
            for site in (each,) if isinstance(each, Site) else from_arguments((each,)):
                if isinstance(site, Rejected):
                    logger.warning("No site: %s: %s", printable(site.text), site.why)
                else:
                    yield site

    # -- one site ----------------------------------------------------------------------------------------

    async def _ask(self, site: Site, ready: DeferredQueue[dict[str, Any]]) -> None:
        asked = Asked(site.name, Reach.NO_ANSWER, site.origins[0], {}, time.time())
        try:
            asked = await self._asked(site)
            row = row_of(asked, self.gate)
        except Exception:  # whatever a site sends, the others are asked, and it has a row
            logger.exception("A site cannot be surveyed: %s", printable(site.name))
            row = row_of(asked._replace(files={}), self.gate)
        ready.put(row)

    async def _asked(self, site: Site) -> Asked:
        reach = await self._reach(host_of(site.origins[0]))
        if reach is not Reach.ANSWERED:
            return Asked(site.name, reach, site.origins[0], {}, time.time())
        tried: dict[str, OriginFile] = {}
        for origin in site.origins:
            files = await self._get(origin, [origin + ROBOTS])
            tried |= files
            reach = reach_of(files[origin + ROBOTS])
            if reach is Reach.ANSWERED:
                files |= await self._rest(origin, files)
            if reach is not Reach.NO_ANSWER:
                return Asked(site.name, reach, origin, files, time.time())
        return Asked(site.name, Reach.NO_ANSWER, site.origins[0], tried, time.time())

    async def _rest(self, origin: str, files: dict[str, OriginFile]) -> dict[str, OriginFile]:
        """All that the gate could ask for beside robots.txt, whether or not an earlier file has decided."""
        files = dict(files)
        wanted = [origin + path for path in FIRST[1:]]
        while wanted:
            files |= await self._get(origin, wanted)
            read = Origin(origin, files, self.gate.token, self.gate.policy.policy_tokens)
            announced = (each.url for each in read.announced)
            wanted = [url for url in (*read.missing, *announced) if url not in files]
        return files

    async def _get(self, origin: str, urls: Iterable[str]) -> dict[str, OriginFile]:
        return await self.origin_files.get(urls, origin + "/")

    # -- where requests may go ---------------------------------------------------------------------------

    async def _reach(self, host: str) -> Reach:
        """Whether a host may be asked, as far as its name tells."""
        if not literal(host) and getproxies():
            return Reach.ANSWERED  # it is the proxy that looks it up
        try:
            addresses = await self._names.run(self._resolver.addresses, host, TIMEOUT)
        except OSError:
            return Reach.NO_ADDRESS
        return Reach.ANSWERED if all(may_be_asked(host, each) for each in addresses) else Reach.REFUSED

    async def check(self, request: Request) -> None:
        """See to it that a request goes only where it may.

        Raises:
            RefusedError, OSError: it may not.
        """
        await self.origin_files.check(request)

    async def check_answer(self, request: Request, response: Response) -> None:
        """As `check`, for the address that was connected to: it may be another than the one looked up.

        Raises:
            RefusedError: the answer may not be used.
        """
        host = host_of(request.url)
        if response.ip_address is not None and not request.meta.get("proxy"):
            address = str(response.ip_address)
            if host == request.meta[INTERNAL] and not may_be_asked(host, address):
                raise RefusedError(f"{host} is not public")
        await self.origin_files.check_answer(request, response)


def gate_of(configuration: Configuration) -> Gate:
    """The gate of a survey: remote registries, which know nothing of origin files, are not asked."""
    return Gate(configuration.token, replace(configuration.policy, remotes=()))


def may_be_asked(host: str, address: str) -> bool:
    """Whether a site may be asked at an address: at a public one, or on this machine if it is named so."""
    where = place(address)
    return where is Place.PUBLIC or (
        where is Place.MACHINE and all(place(each) is Place.MACHINE for each in literal(host) or ("",))
    )


class PublicOnly:
    """The downloader middleware next to the network: requests go only where they may."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make it."""
        return cls(crawler)

    @property
    def _spider(self) -> SurveySpider:
        spider = self._crawler.spider
        assert isinstance(spider, SurveySpider)  # noqa: S101
        return spider

    async def process_request(self, request: Request) -> None:
        """Check where a request would go."""
        await self._spider.check(request)

    async def process_response(self, request: Request, response: Response) -> Response:
        """Check where it went."""
        await self._spider.check_answer(request, response)
        return response


POLITE: Final = {
    "CONCURRENT_REQUESTS": 2 * AT_ONCE,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
    "DOWNLOAD_DELAY": DELAY,
    "DOWNLOAD_TIMEOUT": TIMEOUT,
    "DOWNLOAD_MAXSIZE": BODY_MAX,
    "DOWNLOAD_WARNSIZE": 0,
    "DNS_TIMEOUT": TIMEOUT,
    "REACTOR_THREADPOOL_MAXSIZE": RESOLVING_MAX,
    "ROBOTSTXT_OBEY": False,
    "COOKIES_ENABLED": False,
    "REDIRECT_ENABLED": False,
    "METAREFRESH_ENABLED": False,
    "RETRY_ENABLED": False,
    "HTTPCACHE_ENABLED": False,
    "REFERER_ENABLED": False,
    "TELNETCONSOLE_ENABLED": False,
    "REMOTE_CONTROL_ENABLED": False,
}


# -- a whole survey --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Counts:
    """Where a survey stands.

    Attributes:
        asked: sites that have a row.
        declining: those of them of whose pictures the gate says to skip.
        silent: those that did not answer.
        finish_reason: Scrapy's, once it is over.
    """

    asked: int = 0
    declining: int = 0
    silent: int = 0
    finish_reason: str = ""

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a row."""
        self.asked += 1
        self.declining += row["picture_action"] == Action.SKIP.value
        self.silent += row["reach"] != Reach.ANSWERED.value


def survey(
    sites: Iterable[Site],
    keep: Callable[[Mapping[str, Any]], None],
    *,
    settings: Mapping[str, Any],
    progress: Callable[[Counts], None] = lambda _: None,
    **arguments: Any,
) -> Counts:
    """Run the spider. A process can do this once: Scrapy's reactor does not restart.

    Args:
        sites: what to ask.
        keep: takes each row; what it raises ends the survey.
        settings: Scrapy's.
        progress: told the counts after each row.
        arguments: those of `SurveySpider`.

    Raises:
        ConfigurationError: an argument is wrong; nothing was asked.
        Exception: what `keep` raised.
    """
    given = Settings()
    given.setdict(settings, priority="cmdline")
    process = CrawlerProcess(given)
    crawler = process.create_crawler(SurveySpider)
    counts = Counts()
    failures: list[BaseException] = []

    def scraped(item: Mapping[str, Any]) -> None:
        if failures:
            return
        try:
            keep(item)
        except Exception as error:  # noqa: BLE001 - raised below, once the spider has been closed
            failures.append(error)
            deferred_from_coro(_close(crawler))
            return
        counts.add(item)
        progress(counts)

    def failed(failure: Failure) -> None:
        assert failure.value is not None  # noqa: S101
        failures.append(failure.value)

    crawler.signals.connect(scraped, signals.item_scraped, weak=False)
    process.crawl(crawler, sites=sites, **arguments).addErrback(failed)
    process.start()
    if failures:
        raise failures[0]
    assert crawler.stats is not None  # noqa: S101
    counts.finish_reason = str(crawler.stats.get_value("finish_reason"))
    return counts


async def _close(crawler: Crawler) -> None:
    await pause(0)  # an item that is being handled when Scrapy begins to close is waited for in vain
    assert crawler.engine is not None  # noqa: S101
    await crawler.engine.close_spider_async(reason="heedful_cannot_be_kept")
