"""Judges, records and refuses what a program with threads fetches.

What the adapters for requests, urllib, httpx and img2dataset share: each of them only translates its
library's requests and responses. (Scrapy has its own way of waiting, and with it its own driver.)
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypedDict
from urllib.parse import urlsplit

from heedful import c2pa
from heedful._origin import ALL, ROBOTS
from heedful.body import Body
from heedful.configuration import Configuration
from heedful.content_encoding import undone
from heedful.errors import Deferred, LedgerError, OptedOut
from heedful.gate import SPEAKING
from heedful.judging import READ_ANYWAY, Crashes, OriginFileUrls, doubt
from heedful.ledger import RunLedger
from heedful.model import (
    Action,
    Needs,
    Page,
    Stage,
    Statement,
    Verdict,
)
from heedful.origins import TIMEOUT
from heedful.origins.addresses import Place, literal, place
from heedful.origins.cache import OriginCache
from heedful.origins.fetch import OriginFetcher
from heedful.registry.remote import RemoteRegistry, statement
from heedful.signals import meta_robots
from heedful.signals._paths import split_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from heedful.gate import Registered
    from heedful.model import OriginFile, Response, Signature
    from heedful.policy import Policy

logger = logging.getLogger(__name__)

_NOT_MODIFIED: Final = 304
"""The status that sends a cache to what it has: nothing was fetched."""

_PARTIAL: Final = 206
"""The status of an answer to a Range request."""


class Options(TypedDict, total=False):
    """What a user of an adapter gives, as `Configuration.check` takes it; only `token` is required."""

    token: str | None
    policy: Policy | str | Path
    registries: str | Path | Iterable[str | Path]
    ledger: str | Path | None
    ledger_stores: Literal["record", "count"]
    cache: str | Path | None
    contact: str | None
    audit: bool


@dataclass(slots=True, eq=False)
class Hop:
    """A URL on its way: what was asked for, or what a redirect led to.

    Attributes:
        url: the URL.
        first: the URL that was asked for first.
        page: the page on which the picture was found, if that is known.
        registered: what registries have about `url`; None: not looked up yet.
        remote: what remote registries said of it.
        files: the origin files that it is judged by, the same ones at all stages; None: not looked up yet.
        recorded: whether its decision is in the ledger. An audit goes on after a refusal.
    """

    url: str
    first: str
    page: Page | None = None
    registered: tuple[Registered, ...] | None = None
    remote: dict[str, Statement] = field(default_factory=dict)
    files: dict[str, OriginFile] | None = None
    recorded: bool = False

    @classmethod
    def start(cls, url: str, *, page: Page | None = None) -> Hop:
        """The first one."""
        return cls(url, url, page)

    def to(self, url: str) -> Hop:
        """The next one: where a redirect leads."""
        return Hop(url, self.first, self.page)


class Enforcer:
    """One gate, one ledger, one set of origin files for a program. Safe to share between threads.

    A check that raises is a doubt: what it was about is deferred, never stored.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        crawler: str,
        opted_out: type[OptedOut] = OptedOut,
        deferred: type[Deferred] = Deferred,
        recording: bool = True,
        timeout: float = TIMEOUT,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Open all that is needed.

        Args:
            configuration: what was checked.
            crawler: the software that fetches, such as `requests/2.32.5`, for the ledger.
            opted_out: what a refusal raises.
            deferred: what a refusal raises where it is in doubt.
            recording: write to the configuration's ledger; else `record` is another's.
            timeout: seconds that a request for an origin file may take.
            now: Unix time in seconds.

        Raises:
            ConfigurationError: a registry cannot be relied upon, a remote one's key is missing, or the ledger
                cannot be written.
        """
        self.configuration = configuration
        self._refusals = {Action.SKIP: opted_out, Action.DEFER: deferred}
        self._now = now
        self._recording = threading.Lock()
        self._crashes = Crashes()
        self._ledger_failed: LedgerError | None = None
        self._warned = bool(configuration.contact)
        with ExitStack() as opened:
            self.gate = configuration.gate(now=now())
            self._origin_files = OriginFileUrls(self.gate)
            for registry in self.gate.registries:
                opened.callback(registry.close)
            cache = OriginCache(configuration.cache, now=now)
            opened.callback(cache.close)
            self.origins = OriginFetcher(cache, user_agent=configuration.user_agent, timeout=timeout, now=now)
            opened.callback(self.origins.close)
            self._remotes = {
                config.name: RemoteRegistry(
                    config, cache=configuration.cache, user_agent=configuration.user_agent, now=now
                )
                for config in self.gate.policy.remotes
            }
            for remote in self._remotes.values():
                opened.callback(remote.close)
            self._ledger = None
            if recording and configuration.ledger is not None:
                self._ledger = RunLedger(configuration, self.gate, crawler=crawler, clock=now)
                opened.callback(self._ledger.close)
            self._resources = opened.pop_all()

    @classmethod
    def configured(
        cls,
        enforcer: Enforcer | None = None,
        *,
        crawler: str,
        opted_out: type[OptedOut],
        deferred: type[Deferred],
        **options: Unpack[Options],
    ) -> Enforcer:
        """That of a program's own adapter: one that is there already, or a new one as the user wants it.

        Raises:
            ConfigurationError: with every fault there is.
            TypeError: there is one, and options for another; or an option is not known.
        """
        if enforcer is not None:
            if options:
                raise TypeError(f"give an enforcer or {', '.join(options)}, not both")
            return enforcer
        options.setdefault("token", None)
        configuration = Configuration.check(**options, now=time.time())
        return cls(configuration, crawler=crawler, opted_out=opted_out, deferred=deferred)

    def close(self) -> None:
        """Close all that was opened; from then on, nothing is handed out.

        Raises:
            LedgerError: what was not yet written could not be.
        """
        with self._recording:
            self._ledger_failed = self._ledger_failed or LedgerError("The ledger is closed.")
            self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- what adapters ask ---------------------------------------------------------------------------------

    def before(self, hop: Hop) -> None:
        """Judge a URL before it is contacted.

        Raises:
            OptedOut: it must not be contacted.
            LedgerError: the refusal cannot be recorded.
        """
        self._warn_without_contact(hop.url)
        self._refuse_unless_free(hop, self.judge(hop, Stage.ORIGIN))

    def head(self, hop: Hop, response: Response, *, length: int | None = None) -> None:
        """Judge a response by its head, before its body is read; a redirect, before it is followed.

        Args:
            hop: what was asked for.
            response: the head.
            length: bytes of the body, if they are known.

        Raises:
            OptedOut: the redirect must not be followed, the body not be used; it should be read only if it
                is `read_anyway`.
            LedgerError: the refusal cannot be recorded.
        """
        read = length if length is not None and read_anyway(length) else 0
        if read and 200 <= response.status < 300 and not speaks(response):
            return  # with its body, which is read anyway, it is judged soon enough
        verdict = self.judge(hop, Stage.HEADERS, response)
        avoided = None if length is None else length - read
        self._refuse_unless_free(hop, verdict, status=response.status, read=read, avoided=avoided)

    def awaits_body(self, hop: Hop, method: str, response: Response, *, redirects: bool) -> bool:
        """Whether a body follows that is to be judged; what brings no picture has failed, and is recorded.

        Args:
            hop: what was asked for.
            method: how.
            response: the head.
            redirects: whether it leads on to another URL.

        Raises:
            LedgerError: the failure cannot be recorded.
        """
        if method == "HEAD" or response.status == _NOT_MODIFIED or redirects:
            return False
        if not 200 <= response.status < 300:
            self.failed(hop, f"status {response.status}", status=response.status)
            return False
        return True

    def body(self, hop: Hop, response: Response, data: bytes) -> None:
        """Judge a body, the last stage, and record what was decided.

        Args:
            hop: what was asked for.
            response: the head.
            data: the body as it was sent; its content encoding is undone here. Only that of a success is a
                picture.

        Raises:
            OptedOut: it must not be stored.
            LedgerError: the decision cannot be recorded: it must not be stored either.
        """
        if not 200 <= response.status < 300:
            self.failed(hop, f"status {response.status}", status=response.status, read=len(data))
            return
        verdict = self._judge_body(hop, response, data)
        self._refuse_unless_free(hop, verdict, status=response.status, read=len(data))
        self.record(hop, Action.STORE, verdict, status=response.status, read=len(data))

    def look_at_page(self, hop: Hop, url: str) -> Verdict | None:
        """Read the page on which a picture was found, for what it says of it.

        Pages are fetched and kept as origin files are: once, by all processes of a machine.

        Args:
            hop: the picture's, which then has the page, if there is one.
            url: the page's.

        Returns:
            A doubt, if it could not be read.
        """
        try:
            return self._page_doubt(hop, url)
        except Exception as error:  # noqa: BLE001 - a doubt, whatever it was
            return self._crashes.doubt(hop.url, Stage.PAGE, error)

    def _page_doubt(self, hop: Hop, url: str) -> Verdict | None:
        if isinstance(known := self._ask(hop, Stage.URL, {}), Verdict) and known.action is Action.SKIP:
            return None  # it is refused without anybody being contacted
        barred = self.judge(Hop.start(url), Stage.ORIGIN)
        if barred.bars_contact:
            return doubt(hop.url, Stage.PAGE, "its page may not be fetched", str(barred))
        file = self.origins.files((url,), url)[url]
        if file.readable:
            html = file.parsed(_tags)
            hop.page = Page(url, file.headers, html, file.fetched)
        elif file.unreachable:
            words = f"status {file.status}" if file.status else "no answer"
            return doubt(hop.url, Stage.PAGE, "its page cannot be read", f"{url}: {words}")
        return None

    def prefetch(self, urls: Iterable[str]) -> None:
        """Have the origin files of pictures fetched in the background; returns at once."""
        wanted: dict[str, None] = {}
        for url in urls:
            first = self._origin_files.of(url)
            if first and first[0] not in wanted:
                origin = first[0].removesuffix(ROBOTS)
                wanted |= dict.fromkeys((*(origin + path for path in ALL), *first))
        self.origins.prefetch(wanted)

    async def before_async(self, hop: Hop) -> None:
        """As `before`, for a program with an asyncio event loop, which goes on meanwhile."""
        await self._prepare(hop, Stage.ORIGIN)
        self.before(hop)

    async def head_async(self, hop: Hop, response: Response, *, length: int | None = None) -> None:
        """As `head`."""
        await self._prepare(hop, Stage.HEADERS, response)
        self.head(hop, response, length=length)

    async def body_async(self, hop: Hop, response: Response, data: bytes) -> None:
        """As `body`."""
        await asyncio.to_thread(self.body, hop, response, data)

    def failed(self, hop: Hop, error: str, *, status: int | None = None, read: int = 0) -> None:
        """Record that a URL could not be fetched.

        Raises:
            LedgerError: it cannot be recorded.
        """
        self.record(hop, Action.FAILED, status=status, read=read, error=error)

    # -- judging -------------------------------------------------------------------------------------------

    def judge(
        self, hop: Hop, stage: Stage, response: Response | None = None, body: Body | None = None
    ) -> Verdict:
        """The verdict, what is missing for it fetched. Raises nothing: a check that raises is a doubt."""
        try:
            files, signature = self._files(hop), None
            while True:
                answer = self._ask(hop, stage, files, response, body, signature)
                if not isinstance(answer, Needs):
                    return answer
                if answer.urls:
                    self._origin_files.note(hop.url, answer)
                    files |= self.origins.files(answer.urls, hop.url)
                if answer.remotes:
                    hop.remote |= self._told(answer.remotes, hop.url)
                if answer.signature and body is not None:
                    signature = c2pa.check(body.data, body.media_type or "")
        except Exception as error:  # noqa: BLE001 - a doubt, whatever it was
            return self._crashes.doubt(hop.url, stage, error)

    def _judge_body(self, hop: Hop, response: Response, data: bytes) -> Verdict:
        if response.status == _PARTIAL:
            return doubt(hop.url, Stage.BODY, "only a part of the file", f"status {response.status}")
        body = Body(data)
        try:
            body = Body(undone(data, response.headers))
        except ValueError as error:
            if body.media_type is None:  # else the header is wrong, and the picture there to be judged
                return doubt(hop.url, Stage.BODY, "the content encoding cannot be undone", str(error))
        except Exception as error:  # noqa: BLE001 - a doubt, whatever it was
            return self._crashes.doubt(hop.url, Stage.BODY, error)
        return self.judge(hop, Stage.BODY, response, body)

    async def _prepare(self, hop: Hop, stage: Stage, response: Response | None = None) -> None:
        """Fetch what `judge` will want, without blocking the event loop."""
        with suppress(Exception):  # `judge` meets it again, and tells
            files = self._files(hop)
            while isinstance(answer := self._ask(hop, stage, files, response), Needs):
                if answer.urls:
                    self._origin_files.note(hop.url, answer)
                    files |= await self.origins.files_async(answer.urls, hop.url)
                if answer.remotes:
                    hop.remote |= await asyncio.to_thread(self._told, answer.remotes, hop.url)

    def _ask(
        self,
        hop: Hop,
        stage: Stage,
        files: dict[str, OriginFile],
        response: Response | None = None,
        body: Body | None = None,
        signature: Signature | None = None,
    ) -> Verdict | Needs:
        if hop.registered is None:
            hop.registered = self.gate.registered(hop.url)
        return self.gate.judge(
            hop.url,
            origin_files=files,
            page=hop.page,
            response=response,
            body=body,
            signature=signature,
            remote=hop.remote,
            registered=hop.registered,
            stage=stage,
            now=self._now(),
        )

    def _files(self, hop: Hop) -> dict[str, OriginFile]:
        """The origin files of a hop, as far as they are at hand; to be added to."""
        if hop.files is None:
            hop.files = self.origins.kept(self._origin_files.of(hop.url))
        return hop.files

    def _told(self, names: Iterable[str], url: str) -> dict[str, Statement]:
        """What remote registries say of a URL."""
        told = {}
        for name in names:
            remote = self._remotes[name]
            told[name] = statement(remote.ask((url,))[url], url, remote.config)
        return told

    # -- recording -----------------------------------------------------------------------------------------

    def _refuse_unless_free(
        self,
        hop: Hop,
        verdict: Verdict,
        *,
        status: int | None = None,
        read: int = 0,
        avoided: int | None = None,
    ) -> None:
        if verdict.action is Action.STORE:
            return
        self.record(hop, verdict.action, verdict, status=status, read=read, avoided=avoided)
        if not self.configuration.audit:
            raise self._refusals[verdict.action](verdict)

    def record(
        self,
        hop: Hop,
        action: Action,
        verdict: Verdict | None = None,
        *,
        status: int | None = None,
        read: int = 0,
        avoided: int | None = None,
        error: str | None = None,
    ) -> None:
        """Record a decision, once a hop. Where it is settled later what becomes of a picture, override this.

        Raises:
            LedgerError: it could not be; nothing may be stored from then on.
        """
        if hop.recorded or self._ledger is None:
            return
        with self._recording:
            if self._ledger_failed is not None:
                # Rather no dataset than one without a record. A new exception: threads share none.
                raise LedgerError(str(self._ledger_failed)) from self._ledger_failed
            try:
                self._ledger.record(
                    hop.url,
                    action,
                    verdict,
                    hop_of=None if hop.first == hop.url else hop.first,
                    status=status,
                    bytes_read=read,
                    bytes_avoided=avoided,
                    error=error,
                )
            except LedgerError as failure:
                self._ledger_failed = failure
                raise
            hop.recorded = True

    def _warn_without_contact(self, url: str) -> None:
        parts = None if self._warned else split_url(url)
        if parts is None:
            return
        host = urlsplit(parts[0]).hostname or ""
        if any(place(each) is Place.MACHINE for each in literal(host)):
            return
        self._warned = True
        logger.warning("No contact is set: site owners cannot reach you. Give a URL or a mail address.")


def _tags(page: OriginFile) -> str:
    """What a page says of its pictures, in the form that `Page` wants."""
    return "".join(meta_robots.tags(page.body))


def read_anyway(length: int) -> bool:
    """Whether a body of so many bytes is read although it is opted out."""
    return length <= READ_ANYWAY


def speaks(response: Response) -> bool:
    """Whether any header of a response is one that is read for opt-outs."""
    return any(name.lower() in SPEAKING for name, _ in response.headers)
