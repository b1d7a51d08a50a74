"""What both middlewares share: one gate, one ledger, one set of origin files for each crawl."""

from __future__ import annotations

import ipaddress
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import scrapy
from scrapy import signals
from scrapy.utils.defer import deferred_from_coro
from scrapy.utils.httpobj import urlparse_cached

from heedful import c2pa
from heedful._origin import FIRST
from heedful.errors import ConfigurationError, LedgerError
from heedful.judging import READ_ANYWAY, Crashes, OriginFileUrls
from heedful.ledger import RunLedger
from heedful.media_type import is_picture
from heedful.model import (
    Action,
    Needs,
    Response,
    Source,
    Stage,
    Statement,
    Verdict,
)
from heedful.scrapy import _options
from heedful.scrapy._bodies import Bodies
from heedful.scrapy._exceptions import Deferred, LedgerFailed, OptedOut
from heedful.scrapy._media import PICTURE, wrap_media_pipelines
from heedful.scrapy._origins import OriginFiles, pairs
from heedful.scrapy._pages import PAGE, Pages
from heedful.scrapy._remotes import Remotes
from heedful.scrapy._waiting import in_thread
from heedful.signals.embedded import Watch

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.crawler import Crawler
    from scrapy.http import Headers as ScrapyHeaders
    from scrapy.http import Response as ScrapyResponse

    from heedful.body import Body
    from heedful.gate import Registered
    from heedful.model import OriginFile, Signature
    from heedful.signals.embedded import Embedded

logger = logging.getLogger(__name__)

HOPS: Final = "heedful_hops"
"""Request meta key: verdicts of earlier hops, which count once it turns out that a picture was asked for."""

RECORDED: Final = "heedful_recorded"
"""Request meta key: the URL for which an audit has written its record."""

HEADERS_ONLY: Final = "heedful_headers_only"
"""Request meta key: the picture is judged as far as its headers say, and its body is not read."""

LISTED: Final = "heedful_listed"
"""Request meta key: the URL as it is listed, where Scrapy writes it otherwise; `hop_of` in the ledger."""

ROBOTS_FORBIDDEN: Final = "Forbidden by robots.txt"
"""What Scrapy's robots middleware, which has no exception of its own, says."""


class Stopwatch:
    """Adds up the CPU seconds that heedful's own code takes in the crawl's thread."""

    __slots__ = ("_begin", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self._begin = 0.0

    def __enter__(self) -> None:
        self._begin = time.thread_time()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.thread_time() - self._begin


class _Handed(NamedTuple):
    """A verdict that the next one who judges the same can take over."""

    stage: Stage
    response: ScrapyResponse | None
    verdict: Verdict


@dataclass(slots=True, eq=False)
class _Hop:
    """What is known of a request, however often it is judged on its way."""

    url: str
    registered: tuple[Registered, ...]
    files: dict[str, OriginFile] = field(default_factory=dict)
    handed: _Handed | None = None


class Enforcer:
    """Judges a crawl's requests and responses, records what was decided, and refuses what is opted out."""

    @classmethod
    def of(cls, crawler: Crawler) -> Enforcer:
        """The crawler's one enforcer.

        Raises:
            heedful.ConfigurationError: a setting is wrong, or the ledger cannot be written.
        """
        # Kept by the crawler itself: in a table of ours, even a weak one, both would live for ever.
        shared: dict[str, Any] = vars(crawler)
        if "heedful_enforcer" not in shared:
            shared["heedful_enforcer"] = cls(crawler)
        enforcer: Enforcer = shared["heedful_enforcer"]
        return enforcer

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self.options = _options.read(crawler.settings, now=time.time(), verify=True)
        self.gate = self.options.gate(now=time.time())
        self.origins = OriginFiles(crawler, self.options.cache)
        self.stopwatch = Stopwatch()
        self._hops: WeakKeyDictionary[Request, _Hop] = WeakKeyDictionary()
        self.pages = Pages()
        self._bodies = Bodies(crawler)
        self._remotes = Remotes(
            self.gate.policy.remotes, self.options.cache, str(crawler.settings["USER_AGENT"])
        )
        try:
            self._ledger = RunLedger(self.options, self.gate, crawler=f"scrapy/{scrapy.__version__}")
        except ConfigurationError as error:
            raise ConfigurationError(f"HEEDFUL_LEDGER: {error}") from error
        self._ledger_failed = False
        self._origin_files = OriginFileUrls(self.gate)
        self._crashes = Crashes()
        self._warned = bool(self.options.contact)
        user_agent = str(crawler.settings["USER_AGENT"])
        if self.gate.token.lower() not in user_agent.lower():
            logger.warning(
                "USER_AGENT %r does not contain HEEDFUL_TOKEN %r: sites cannot tell whose rules you follow.",
                user_agent,
                self.gate.token,
            )
        crawler.signals.connect(self._spider_opened, signals.spider_opened)
        crawler.signals.connect(self._spider_closed, signals.spider_closed)

    def _spider_opened(self, spider: Spider) -> None:  # noqa: ARG002
        wrap_media_pipelines(self._crawler, self)
        self._count("ledger", self.options.ledger)

    def _spider_closed(self, spider: Spider) -> None:  # noqa: ARG002
        self._count("time", round(self.stopwatch.seconds, 6))
        self.origins.close()
        self._remotes.close()
        for registry in self.gate.registries:
            registry.close()
        try:
            self._ledger.close()
        except LedgerError as error:
            logger.critical("%s", error)

    # -- judging -----------------------------------------------------------------------------------------

    async def judge(
        self,
        request: Request,
        stage: Stage,
        response: ScrapyResponse | None = None,
        *,
        again: bool = False,
    ) -> Verdict:
        """The verdict on a request, or on the response to it, what is missing for it fetched.

        A check that raises is a doubt: nothing is stored.

        Args:
            request: what is judged.
            stage: the last stage whose input is complete.
            response: the response to it.
            again: it is judged once more at once, by the next one on its way.
        """
        url = request.url if response is None else response.url
        head, body, signature = None, None, None
        try:
            with self.stopwatch:
                hop = self._hop(request, url)
                handed, hop.handed = hop.handed, None
                if handed is not None and handed.stage is stage and handed.response is response:
                    return handed.verdict
                if response is not None:
                    head = Response(response.status, pairs(response.headers), time.time())
                    body = self._bodies.of(request, response) if stage is Stage.BODY else None
                files = hop.files = self._at_hand(hop, stage)
                remote = self._remotes.known(url)
                answer = self._ask(hop, request, files, head, stage, remote, body)
            while isinstance(answer, Needs):
                if answer.remotes:
                    remote |= await self._remotes.ask(answer.remotes, url)
                if answer.urls:
                    self._origin_files.note(url, answer)
                    files |= await self.origins.get(answer.urls, url)
                if answer.signature and body is not None:
                    signature = await in_thread(c2pa.check, body.data, body.media_type or "")
                with self.stopwatch:
                    answer = self._ask(hop, request, files, head, stage, remote, body, signature)
        except Exception as error:  # noqa: BLE001 - a doubt, whatever it was
            return self._crashes.doubt(url, stage, error)
        if again:
            hop.handed = _Handed(stage, response, answer)
        return answer

    def judge_now(
        self, request: Request, stage: Stage, head: Response, body: Embedded | None = None
    ) -> Verdict | None:
        """As `judge`, from what is at hand; None if that does not suffice."""
        url = request.url
        try:
            with self.stopwatch:
                hop, remote = self._hop(request, url), self._remotes.known(url)
                answer = self._ask(hop, request, self._at_hand(hop, stage), head, stage, remote, body)
        except Exception as error:  # noqa: BLE001 - a doubt, whatever it was
            return self._crashes.doubt(url, stage, error)
        return None if isinstance(answer, Needs) else answer

    def _hop(self, request: Request, url: str) -> _Hop:
        hop = self._hops.get(request)
        if hop is None or hop.url != url:
            hop = self._hops[request] = _Hop(url, self.gate.registered(url))
        return hop

    def _ask(
        self,
        hop: _Hop,
        request: Request,
        files: dict[str, OriginFile],
        head: Response | None,
        stage: Stage,
        remote: dict[str, Statement],
        body: Body | Embedded | None = None,
        signature: Signature | None = None,
    ) -> Verdict | Needs:
        return self.gate.judge(
            hop.url,
            origin_files=files,
            page=request.meta.get(PAGE),
            response=head,
            body=body,
            signature=signature,
            remote=remote,
            registered=hop.registered,
            stage=stage,
            now=time.time(),
        )

    def _at_hand(self, hop: _Hop, stage: Stage) -> dict[str, OriginFile]:
        if hop.files and stage is not Stage.ORIGIN:
            return hop.files  # those with which the request was let go
        return self.origins.at_hand(self._origin_files.of(hop.url))

    # -- what the middlewares ask ------------------------------------------------------------------------

    async def before(self, request: Request) -> None:
        """Judge a request before anything is contacted.

        Raises:
            OptedOut: it must not be made.
        """
        self._warn_without_contact(request)
        if request.meta.get(HEADERS_ONLY):
            request.meta["dont_cache"] = True  # a body that was not read is not one to keep
        if request.url.endswith(FIRST) and request.url in self.gate.origin_files(request.url):
            return
        verdict = await self.judge(request, Stage.ORIGIN)
        # What is not known to be a picture is refused only where it must not be contacted, whatever it is;
        # a page may carry links to pictures that are free.
        if verdict.action is not Action.STORE and (request.meta.get(PICTURE) or verdict.bars_contact):
            self.refuse(request, verdict)

    async def after(self, request: Request, response: ScrapyResponse, *, final: bool) -> None:
        """Judge a response; with `final`, the one that goes on to the spider or the pipeline.

        Raises:
            OptedOut: it must not be stored.
        """
        redirect = not final and 300 <= response.status < 400
        picture = request.meta.get(PICTURE) or is_picture(_content_type(response.headers), response.body)
        if not picture and not redirect:
            return
        # Only a success brings a picture: elsewhere the body stage, where silence is judged, is not reached.
        brings = 200 <= response.status < 300 and not _without_body(request)
        stage = Stage.BODY if brings else Stage.HEADERS
        verdict = await self.judge(request, stage, response, again=not final)
        if not picture:
            if verdict.action is not Action.STORE:
                request.meta[HOPS] = [*request.meta.get(HOPS, ()), verdict]
            return
        for earlier in (*request.meta.get(HOPS, ()), verdict):
            if earlier.action is not Action.STORE:
                self.refuse(request, earlier, response)
        if final:
            self._release(request, response, verdict)

    def not_to_be_read(self, request: Request, headers: ScrapyHeaders, length: object) -> Verdict | None:
        """The verdict, if these headers already refuse a body that is large, or of unknown length."""
        if self.options.audit or _without_body(request) or not self._large_picture(request, headers, length):
            return None
        verdict = self.judge_now(request, Stage.HEADERS, _head(headers))
        return None if verdict is None or verdict.action is Action.STORE else verdict

    def watch(self, request: Request, headers: ScrapyHeaders, length: object) -> Watch | None:
        """What a body that is large, or of unknown length, is to be watched by while it comes in."""
        if (
            self.options.audit
            or _without_body(request)
            or headers.get("Content-Encoding")
            or not self._large_picture(request, headers, length)
        ):
            return None
        return Watch(Source(request.url))

    def not_to_be_read_on(self, request: Request, headers: ScrapyHeaders, watch: Watch) -> Verdict | None:
        """The verdict, if what has come in of a body already refuses it."""
        verdict = self.judge_now(request, Stage.BODY, _head(headers), watch.embedded)
        return verdict if verdict is not None and verdict.action is Action.SKIP else None

    def _large_picture(self, request: Request, headers: ScrapyHeaders, length: object) -> bool:
        if isinstance(length, int) and 0 <= length <= READ_ANYWAY:
            return False
        return bool(request.meta.get(PICTURE)) or is_picture(_content_type(headers))

    async def failed(self, request: Request, error: Exception) -> None:
        """A request did not work. If Scrapy's own robots middleware forbade it, our word comes first.

        Raises:
            OptedOut: it is opted out as well.
        """
        if str(error) == ROBOTS_FORBIDDEN:
            await self.before(request)
        if request.meta.get(PICTURE):
            self._record(request, Action.FAILED, error=f"{type(error).__name__}: {error}")

    def refuse(self, request: Request, verdict: Verdict, response: ScrapyResponse | None = None) -> None:
        """Record the refusal and raise it; in an audit, only record it.

        Raises:
            OptedOut, LedgerFailed: the picture must not be stored.
        """
        self._record(request, verdict.action, verdict, response)
        if not self.options.audit:
            raise (OptedOut if verdict.action is Action.SKIP else Deferred)(verdict)

    def _release(self, request: Request, response: ScrapyResponse, verdict: Verdict) -> None:
        if 200 <= response.status < 300:
            if request.method != "HEAD" or request.meta.get(HEADERS_ONLY):  # else nothing is stored
                self._record(request, Action.STORE, verdict, response)
        else:
            self._record(request, Action.FAILED, verdict, response, error=f"status {response.status}")

    # -- recording ---------------------------------------------------------------------------------------

    def _record(
        self,
        request: Request,
        action: Action,
        verdict: Verdict | None = None,
        response: ScrapyResponse | None = None,
        *,
        error: str | None = None,
    ) -> None:
        url = verdict.url if verdict else request.url
        if self.options.audit and request.meta.get(RECORDED) == url:  # an audit goes on after a refusal
            return
        request.meta[RECORDED] = url
        self._count(action.value)
        if verdict and verdict.reason:
            self._count(f"{action.value}/{verdict.reason.value}")
        length, read = None, 0
        if response is not None:
            read = len(response.body)
            length = response.headers.get("Content-Length")
        avoided = (
            max(int(length) - read, 0) if length and length.isdigit() and not _encoded(response) else None
        )
        if action in {Action.SKIP, Action.DEFER} and avoided:
            self._count("bytes_avoided", avoided)
        first = request.meta.get(LISTED) or (request.meta.get("redirect_urls") or [url])[0]
        if self._ledger_failed:
            raise LedgerFailed("The ledger cannot be written.")
        try:
            with self.stopwatch:
                self._ledger.record(
                    url,
                    action,
                    verdict,
                    hop_of=first if first != url else None,
                    status=response.status if response is not None else None,
                    bytes_read=read,
                    bytes_avoided=avoided,
                    error=error,
                )
        except LedgerError as failure:
            self._stop(failure)
            raise LedgerFailed(str(failure)) from failure

    def _stop(self, failure: LedgerError) -> None:
        """Rather no dataset than one without a record."""
        self._ledger_failed = True
        logger.critical("%s The crawl is stopped.", failure)
        engine = self._crawler.engine
        assert engine is not None  # noqa: S101
        deferred_from_coro(engine.close_spider_async(reason="heedful_ledger_failed"))

    def _count(self, name: str, value: Any = 1) -> None:
        stats = self._crawler.stats
        assert stats is not None  # noqa: S101
        if isinstance(value, int):
            stats.inc_value(f"heedful/{name}", value)
        else:
            stats.set_value(f"heedful/{name}", value)

    def _warn_without_contact(self, request: Request) -> None:
        url = urlparse_cached(request)
        if self._warned or url.scheme not in {"http", "https"} or _is_loopback(url.hostname or ""):
            return
        self._warned = True
        logger.warning(
            "HEEDFUL_CONTACT is not set: site owners cannot reach you. Set it to a URL or a mail address."
        )


def _without_body(request: Request) -> bool:
    return request.method == "HEAD" or bool(request.meta.get(HEADERS_ONLY))


def _head(headers: ScrapyHeaders) -> Response:
    """The head of a response whose status is not known yet; it changes nothing."""
    return Response(0, pairs(headers), time.time())


def _content_type(headers: ScrapyHeaders) -> str:
    return (headers.get("Content-Type") or b"").decode("latin-1")


def _encoded(response: ScrapyResponse | None) -> bool:
    """The body's length is not the transfer's: it was decoded on the way."""
    return response is not None and bool(
        response.headers.get("Content-Encoding") or "decoded" in response.flags
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
