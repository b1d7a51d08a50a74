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
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from heedful import c2pa
from heedful.body import Body
from heedful.errors import ConfigurationError, Deferred, LedgerError, OptedOut
from heedful.ledger import LedgerWriter, Run
from heedful.model import (
    RAW_MAX,
    Action,
    Evidence,
    Needs,
    Preference,
    Reason,
    Stage,
    Statement,
    Verdict,
    printable,
)
from heedful.origins.addresses import Place, literal, place
from heedful.origins.cache import OriginCache
from heedful.origins.fetch import OriginFetcher
from heedful.registry.remote import RemoteRegistry, statement
from heedful.signals._paths import split_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from typing_extensions import Self

    from heedful.configuration import Configuration
    from heedful.gate import Registered
    from heedful.model import OriginFile, Page, Response, Signature

logger = logging.getLogger(__name__)

READ_ANYWAY: Final = 64 * 1024
"""Bytes up to which a body is read although it is opted out: that keeps the connection usable."""

_FURTHER_MAX: Final = 20_000
"""Origins of which it is remembered what their files led to."""

_CRASHES_MAX: Final = 100
"""Different faults of which the traceback is logged."""


@dataclass(slots=True, eq=False)
class Hop:
    """A URL on its way: what was asked for, or what a redirect led to.

    Attributes:
        url: the URL.
        first: the URL that was asked for first.
        page: the page on which the picture was found, if that is known.
        registered: what registries have about `url`; None: not looked up yet.
        remote: what remote registries said of it.
        recorded: whether its decision is in the ledger. An audit goes on after a refusal.
    """

    url: str
    first: str
    page: Page | None = None
    registered: tuple[Registered, ...] | None = None
    remote: dict[str, Statement] = field(default_factory=dict)
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
        ledger: LedgerWriter | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Open all that is needed.

        Args:
            configuration: what was checked.
            crawler: the software that fetches, such as `requests/2.32.5`, for the ledger.
            opted_out: what a refusal raises.
            deferred: what a refusal raises where it is in doubt.
            ledger: where to record, instead of in a file of its own in the configuration's ledger.
            now: Unix time in seconds.

        Raises:
            ConfigurationError: a registry cannot be relied upon, a remote one's key is missing, or the ledger
                cannot be written.
        """
        self.configuration = configuration
        self._refusals = {Action.SKIP: opted_out, Action.DEFER: deferred}
        self._now = now
        self._lock = threading.Lock()
        self._further: dict[str, tuple[str, ...]] = {}
        self._crashes: set[str] = set()
        self._ledger_failed: LedgerError | None = None
        self._warned = bool(configuration.contact)
        with ExitStack() as opened:
            self.gate = configuration.gate(now=now())
            for registry in self.gate.registries:
                opened.callback(registry.close)
            cache = OriginCache(configuration.cache, now=now)
            opened.callback(cache.close)
            self.origins = OriginFetcher(cache, user_agent=configuration.user_agent, now=now)
            opened.callback(self.origins.close)
            self._remotes = {
                config.name: RemoteRegistry(
                    config, cache=configuration.cache, user_agent=configuration.user_agent, now=now
                )
                for config in self.gate.policy.remotes
            }
            for remote in self._remotes.values():
                opened.callback(remote.close)
            self._ledger = ledger
            if ledger is None and configuration.ledger is not None:
                self._ledger = self._opened_ledger(configuration.ledger, crawler)
                opened.callback(self._ledger.close)
            self._resources = opened.pop_all()

    def _opened_ledger(self, ledger: str, crawler: str) -> LedgerWriter:
        run = Run.start(
            crawler=crawler,
            token=self.gate.token,
            policy=self.gate.policy,
            enforced=not self.configuration.audit,
            now=self._now(),
        )
        try:
            return LedgerWriter(ledger, run, clock=self._now)
        except LedgerError as error:
            raise ConfigurationError(str(error)) from error

    def close(self) -> None:
        """Close all that was opened.

        Raises:
            LedgerError: what was not yet written could not be.
        """
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
        verdict = self.judge(hop, Stage.HEADERS, response)
        read = length if length is not None and read_anyway(length) else 0
        avoided = None if length is None else length - read
        self._refuse_unless_free(hop, verdict, status=response.status, read=read, avoided=avoided)

    def body(self, hop: Hop, response: Response, data: bytes) -> None:
        """Judge a body, the last stage, and record what was decided.

        Args:
            hop: what was asked for.
            response: the head.
            data: the body, content encoding undone. Only that of a success is a picture.

        Raises:
            OptedOut: it must not be stored.
            LedgerError: the decision cannot be recorded: it must not be stored either.
        """
        if not 200 <= response.status < 300:
            self.failed(hop, f"status {response.status}", status=response.status, read=len(data))
            return
        verdict = self.judge(hop, Stage.BODY, response, Body(data))
        self._refuse_unless_free(hop, verdict, status=response.status, read=len(data))
        self.record(hop, Action.STORE, verdict, status=response.status, read=len(data))

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
            files, signature = self._at_hand(hop.url), None
            while True:
                answer = self._ask(hop, stage, files, response, body, signature)
                if not isinstance(answer, Needs):
                    return answer
                if answer.urls:
                    self._note(hop.url, answer)
                    files |= self.origins.files(answer.urls, hop.url)
                if answer.remotes:
                    hop.remote |= self._told(answer.remotes, hop.url)
                if answer.signature and body is not None:
                    signature = c2pa.check(body.data, body.media_type or "")
        except Exception as error:  # noqa: BLE001 - a doubt, whatever it was
            return self._crashed(hop.url, stage, error)

    async def _prepare(self, hop: Hop, stage: Stage, response: Response | None = None) -> None:
        """Fetch what `judge` will want, without blocking the event loop."""
        with suppress(Exception):  # `judge` meets it again, and tells
            files = self._at_hand(hop.url)
            while isinstance(answer := self._ask(hop, stage, files, response), Needs):
                if answer.urls:
                    self._note(hop.url, answer)
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

    def _at_hand(self, url: str) -> dict[str, OriginFile]:
        first = self.gate.origin_files(url)
        return self.origins.kept((*first, *self._further.get(first[0], ()))) if first else {}

    def _note(self, url: str, needs: Needs) -> None:
        """Remember what an origin's files led to, so that the gate need not ask for it each time."""
        first = self.gate.origin_files(url)
        further = tuple(each for each in needs.urls if each not in first)
        if further:
            with self._lock:
                if len(self._further) > _FURTHER_MAX:
                    self._further.clear()
                known = self._further.get(first[0], ())
                self._further[first[0]] = tuple(dict.fromkeys(known + further))

    def _told(self, names: Iterable[str], url: str) -> dict[str, Statement]:
        """What remote registries say of a URL."""
        told = {}
        for name in names:
            remote = self._remotes[name]
            told[name] = statement(remote.ask((url,))[url], url, remote.config)
        return told

    def _crashed(self, url: str, stage: Stage, error: Exception) -> Verdict:
        words = f"{type(error).__name__}: {error}"
        with self._lock:
            new = words not in self._crashes and len(self._crashes) < _CRASHES_MAX
            if new:
                self._crashes.add(words)
        if new:
            logger.error("A check failed, the picture is not stored: %s", printable(url), exc_info=error)
        return _doubt(url, stage, "the check failed", words)

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
        if self._ledger_failed is not None:
            raise self._ledger_failed
        if action is Action.STORE and not self.configuration.record_stores:
            hop.recorded = True
            return
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
            self._ledger_failed = failure  # rather no dataset than one without a record
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


def read_anyway(length: int) -> bool:
    """Whether a body of so many bytes is read although it is opted out."""
    return length <= READ_ANYWAY


def _doubt(url: str, stage: Stage, rule: str, raw: str) -> Verdict:
    evidence = Evidence(url, "check", raw[:RAW_MAX])
    statement = Statement(Reason.UNDETERMINED, Preference.UNDETERMINED, rule, evidence)
    return Verdict(url, Action.DEFER, (Reason.UNDETERMINED,), stage, (statement,))
