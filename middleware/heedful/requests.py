"""requests with every picture judged: `heedful.requests.Session(token="PictureBot")`."""

from __future__ import annotations

import copy
import io
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final, Literal

try:
    import requests
    import urllib3
except ImportError as error:  # pragma: no cover
    raise ImportError("heedful.requests needs requests: pip install 'heedful[requests]'") from error

from requests.adapters import BaseAdapter, HTTPAdapter
from requests.utils import default_user_agent

import heedful
from heedful.enforcer import Enforcer, Hop, read_anyway
from heedful.errors import HeedfulError
from heedful.model import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from requests import PreparedRequest
    from typing_extensions import Self, Unpack

    from heedful.enforcer import Options
    from heedful.model import Headers, Page
    from heedful.policy import Policy

__all__ = ["Adapter", "Deferred", "OptedOut", "Session", "found_on"]


class OptedOut(heedful.OptedOut, requests.RequestException):
    """The picture must not be stored; `verdict` says why, `request` what was asked for."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.verdict,)  # a response would be read to be pickled


class Deferred(OptedOut, heedful.Deferred):
    """It could not be determined whether the picture is opted out: not to be asked for again in this run."""


def found_on(page: Page) -> Callable[..., None]:
    """A hook that says on which page a picture was found, for sessions that have no `page` argument.

    `session.get(url, hooks={"response": found_on(page)})`.
    """
    return _Asked(page)


class Adapter(BaseAdapter):
    """Judges all that a transport adapter fetches: each URL and redirect, headers, bodies.

    Mount it on any session. What a cache in that session answers by itself does not come by here: for that
    there is `Session`.
    """

    def __init__(
        self,
        inner: BaseAdapter | None = None,
        enforcer: Enforcer | None = None,
        **options: Unpack[Options],
    ) -> None:
        """Wrap an adapter; `close` closes it, and what is opened here.

        Args:
            inner: fetches; None: a usual `HTTPAdapter`.
            enforcer: one that is there already, and stays open; then there are no `options`.
            **options: as for every adapter.

        Raises:
            ConfigurationError: with every fault there is.
        """
        super().__init__()
        self.inner = HTTPAdapter() if inner is None else inner
        self._owned = enforcer is None
        self._enforcer = _enforcer(enforcer, **options)

    def close(self) -> None:
        """Close the inner adapter; the ledger and all else, unless the enforcer was given.

        Raises:
            LedgerError: what was not yet written could not be.
        """
        self.inner.close()
        if self._owned:
            self._enforcer.close()

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 - as the base class has it
        timeout: Any = None,
        verify: Any = True,  # noqa: FBT002
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Fetch a URL, unless it must not be contacted; the body is judged when it is first asked for.

        Raises:
            OptedOut: it must not be stored.
            LedgerError: the decision cannot be recorded.
        """
        asked = _Asked.begun(request)
        if asked is None:
            asked = _Asked.begin(request, self._enforcer)
        hop = asked.hop = asked.start(request.url or "")
        with asked.refusing(request):
            self._enforcer.before(hop)
        try:
            response = self.inner.send(
                self._introduced(request),
                stream=stream,
                timeout=timeout,
                verify=verify,
                cert=cert,
                proxies=proxies,
            )
        except Exception as error:
            self._enforcer.failed(hop, f"{type(error).__name__}: {error}")
            raise
        # So that what asks once more, such as a digest authentication, comes by here again.
        response.connection = self  # type: ignore[assignment]
        vars(response)[_PASSED] = asked
        self._judge(asked, hop, request, response)
        return response

    def _introduced(self, request: PreparedRequest) -> PreparedRequest:
        """The request, with our name unless the user has given another one."""
        if request.headers.get("User-Agent") in {None, default_user_agent()}:
            request = copy.copy(request)
            request.headers = request.headers.copy()
            request.headers["User-Agent"] = self._enforcer.configuration.user_agent
        return request

    def _judge(self, asked: _Asked, hop: Hop, request: PreparedRequest, response: requests.Response) -> None:
        """Judge a head, and have the body judged in time."""
        raw = response.raw
        unread = isinstance(raw, urllib3.BaseHTTPResponse) and response._content is False  # noqa: SLF001
        length = raw.length_remaining if unread and isinstance(raw, urllib3.HTTPResponse) else None
        head = Response(response.status_code, _lines(response))
        with asked.refusing(request, response):
            try:
                self._enforcer.head(hop, head, length=length)
            except HeedfulError:
                if length is not None and read_anyway(length):
                    raw.drain_conn()
                response.close()
                raise
        method = request.method or ""
        if not self._enforcer.awaits_body(hop, method, head, redirects=response.is_redirect):
            return
        if unread:
            response.raw = _Picture(raw, partial(self._judge_body, asked, hop, request, head))
        else:
            asked.judge_content(self._enforcer, hop, request, response)

    def _judge_body(
        self, asked: _Asked, hop: Hop, request: PreparedRequest, head: Response, raw: urllib3.BaseHTTPResponse
    ) -> bytes:
        """Read a body whole, as it was sent, and judge it."""
        try:
            data = raw.read(decode_content=False)
        except Exception as error:
            self._enforcer.failed(hop, f"{type(error).__name__}: {error}", status=head.status)
            raise
        with asked.refusing(request):
            self._enforcer.body(hop, head, data)
        return data


class Session(requests.Session):
    """A session for pictures: each URL and redirect is judged, headers and bodies, and what caches answer.

    As safe for threads as requests' own session. Fetch pages with a plain one.
    """

    def __init__(
        self,
        *args: Any,
        token: str | None = None,
        policy: Policy | str | Path = "standard",
        registries: str | Path | Iterable[str | Path] = (),
        ledger: str | Path | None = "ledger/",
        ledger_stores: Literal["record", "count"] = "record",
        cache: str | Path | None = None,
        contact: str | None = None,
        audit: bool = False,
        **kwargs: Any,
    ) -> None:
        """Open all that is needed; `close` it at the end, or use it as a context manager.

        Args:
            *args: for the other base classes of a subclass.
            token: the product token, required.
            policy: a policy, a profile's name, or a TOML file.
            registries: folders of built registries, or one.
            ledger: a folder, or a folder's URL that fsspec understands; None: nothing is recorded.
            ledger_stores: whether stored pictures are recorded or only counted.
            cache: the folder of what a machine's crawls share; None: the user's cache folder.
            contact: a URL or an address that site owners can turn to.
            audit: judge and record, but refuse nothing.
            **kwargs: for the other base classes of a subclass.

        Raises:
            ConfigurationError: with every fault there is.
        """
        self._enforcer = _enforcer(
            token=token,
            policy=policy,
            registries=registries,
            ledger=ledger,
            ledger_stores=ledger_stores,
            cache=cache,
            contact=contact,
            audit=audit,
        )
        super().__init__(*args, **kwargs)
        self.headers["User-Agent"] = self._enforcer.configuration.user_agent

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Stand around all that a subclass and its other bases do to send: there may be a cache."""
        super().__init_subclass__(**kwargs)
        inner = cls.send
        if inner is not Session.send:

            def send(self: Session, request: PreparedRequest, **kwargs: Any) -> requests.Response:
                return self._heeded(partial(inner, self), request, **kwargs)

            cls.send = send  # type: ignore[method-assign]

    def __getstate__(self) -> Any:
        raise TypeError("a session that judges cannot be pickled: make one in each process")

    def close(self) -> None:
        """Close the adapters, the ledger and all else; nothing is handed out from then on.

        Raises:
            LedgerError: what was not yet written could not be.
        """
        super().close()
        self._enforcer.close()

    def get_adapter(self, url: str) -> Adapter:
        """The adapter that is mounted for a URL, judged."""
        adapter = super().get_adapter(url)
        return adapter if isinstance(adapter, Adapter) else Adapter(adapter, self._enforcer)

    def request(  # type: ignore[override]
        self, method: str, url: str, *args: Any, page: Page | None = None, **kwargs: Any
    ) -> requests.Response:
        """As requests' own, which all of `get`, `head`, ... call.

        Args:
            method: the HTTP method.
            url: the picture's URL.
            *args: as of requests.
            page: the page on which it was found, which may speak of it.
            **kwargs: as of requests.

        Raises:
            OptedOut: it must not be stored.
            LedgerError: the decision cannot be recorded.
            requests.RequestException: it could not be fetched.
        """
        if page is not None:
            hooks = kwargs.get("hooks") or {}
            own = hooks.get("response") or self.hooks["response"]  # the request's replace the session's
            own = [own] if callable(own) else own
            kwargs["hooks"] = {**hooks, "response": [*own, found_on(page)]}
        return super().request(method, url, *args, **kwargs)

    def send(self, request: PreparedRequest, **kwargs: Any) -> requests.Response:
        """As requests' own, for a prepared request."""
        return self._heeded(super().send, request, **kwargs)

    def _heeded(
        self, send: Callable[..., requests.Response], request: PreparedRequest, **kwargs: Any
    ) -> requests.Response:
        if _Asked.begun(request) is not None:
            return send(request, **kwargs)  # a redirect, or a base class's turn
        request = copy.copy(request)  # the user's own stays as it is
        asked = _Asked.begin(request, self._enforcer)
        try:
            response = send(request, **kwargs)
        except HeedfulError:
            raise
        except Exception as error:
            if asked.refused is None and asked.hop is not None:
                self._enforcer.failed(asked.hop, f"{type(error).__name__}: {error}")
            raise
        if asked.refused is not None:
            raise asked.refused  # whatever a cache has found to answer instead
        asked(response)
        if response.is_redirect and request.method != "HEAD" and asked.hop is not None:
            status = response.status_code
            self._enforcer.failed(asked.hop, f"status {status}", status=status)
        return response


@dataclass(eq=False)
class _Asked:
    """What is known of a picture from its first URL to its last; travels as one of the request's hooks.

    A request's copies, as which requests makes redirects, have the same hooks.

    Attributes:
        page: the page on which it was found.
        enforcer: judges; None: it was not yet asked for.
        first: the URL asked for first.
        hop: the latest hop.
        refused: the refusal, which is final: some caches answer with what they have instead.
    """

    page: Page | None = None
    enforcer: Enforcer | None = None
    first: str = ""
    hop: Hop | None = None
    refused: HeedfulError | None = None

    @classmethod
    def _of(cls, request: PreparedRequest) -> Self | None:
        hooks = request.hooks.get("response") or ()
        return next((hook for hook in hooks if isinstance(hook, cls)), None)

    @classmethod
    def begun(cls, request: PreparedRequest) -> Self | None:
        """That of a request that is on its way."""
        asked = cls._of(request)
        return asked if asked is not None and asked.enforcer is not None else None

    @classmethod
    def begin(cls, request: PreparedRequest, enforcer: Enforcer) -> Self:
        """Put a new one before a request's hooks, which then see nothing that was not judged."""
        found = cls._of(request)
        asked = cls(found.page if found else None, enforcer, request.url or "")
        hooks = request.hooks.get("response") or ()
        request.hooks = {
            **request.hooks,
            "response": [asked, *(hook for hook in hooks if not isinstance(hook, cls))],
        }
        asked.hop = asked.start(asked.first)
        return asked

    def start(self, url: str) -> Hop:
        """A hop of it."""
        return Hop(url, self.first, self.page)

    def __call__(self, response: requests.Response, **_: object) -> None:
        """Judge responses that have not come through an adapter of ours: a cache had them."""
        for each in (*response.history, response):
            if self.enforcer is not None and vars(each).get(_PASSED) is not self:
                self._judge_kept(self.enforcer, each)

    def _judge_kept(self, enforcer: Enforcer, response: requests.Response) -> None:
        request = response.request
        hop = self.hop = self.start(response.url or self.first)
        head = Response(response.status_code, _kept_lines(response))
        with self.refusing(request):
            enforcer.before(hop)
            enforcer.head(hop, head)
        if enforcer.awaits_body(hop, request.method or "", head, redirects=response.is_redirect):
            self.judge_content(enforcer, hop, request, response)
        vars(response)[_PASSED] = self

    def judge_content(
        self, enforcer: Enforcer, hop: Hop, request: PreparedRequest, response: requests.Response
    ) -> None:
        """Judge a body that is there already."""
        plain = tuple(line for line in _kept_lines(response) if line[0].lower() != "content-encoding")
        with self.refusing(request):
            enforcer.body(hop, Response(response.status_code, plain), response.content)

    @contextmanager
    def refusing(self, request: PreparedRequest, response: requests.Response | None = None) -> Iterator[None]:
        """Note a refusal, and on it what was asked and answered."""
        try:
            yield
        except HeedfulError as error:
            self.refused = error
            if isinstance(error, OptedOut):
                error.request, error.response = request, response
            raise


class _Picture(urllib3.HTTPResponse):
    """A body that is read whole and judged before any byte of it is handed out."""

    def __init__(
        self, raw: urllib3.BaseHTTPResponse, judged: Callable[[urllib3.BaseHTTPResponse], bytes]
    ) -> None:
        super().__init__(
            io.BytesIO(),
            headers=raw.headers,
            status=raw.status,
            version=raw.version,
            version_string=raw.version_string,
            reason=raw.reason,
            preload_content=False,
            decode_content=raw.decode_content,
            original_response=getattr(raw, "_original_response", None),
            msg=getattr(raw, "msg", None),
            retries=raw.retries,
            enforce_content_length=False,  # it is of the original
            request_url=raw.url,
        )
        self._unread: urllib3.BaseHTTPResponse | None = raw
        self._raw = raw
        self._judged = judged
        self._error: Exception | None = None

    def read(self, *args: Any, **kwargs: Any) -> bytes:
        self._judge()
        return super().read(*args, **kwargs)

    def read1(self, *args: Any, **kwargs: Any) -> bytes:
        self._judge()
        return super().read1(*args, **kwargs)

    def _judge(self) -> None:
        if self._error is not None:
            raise self._error
        raw, self._unread = self._unread, None
        if raw is None or self.closed:
            return
        try:
            data = self._judged(raw)
        except Exception as error:
            self._error = error
            raise
        self._fp = io.BytesIO(data)  # type: ignore[assignment]

    def close(self) -> None:
        super().close()
        self._raw.close()

    def release_conn(self) -> None:
        self._raw.release_conn()

    def drain_conn(self) -> None:
        self._raw.drain_conn()


_CRAWLER: Final = f"requests/{metadata.version('requests')}"

_PASSED: Final = "heedful_passed"
"""The attribute of a response that says on which way it was judged."""


_SCOPED: Final = frozenset({"x-robots-tag", "robots-tag"})
"""Headers of which a line may be for one crawler only."""


def _enforcer(enforcer: Enforcer | None = None, **options: Unpack[Options]) -> Enforcer:
    return Enforcer.configured(enforcer, crawler=_CRAWLER, opted_out=OptedOut, deferred=Deferred, **options)


def _lines(response: requests.Response) -> Headers:
    """Its header lines, each for itself where they are known."""
    raw = getattr(response.raw, "headers", None)
    headers = raw if isinstance(raw, urllib3.HTTPHeaderDict) else response.headers
    return tuple(headers.items())


def _kept_lines(response: requests.Response) -> Headers:
    """The header lines of a response that was kept: where lines were joined, also what they may have been.

    `otherbot: noindex, noai` could be two lines, of which the second is for everybody.
    """
    lines = _lines(response)
    joined = (line for line in lines if line[0].lower() in _SCOPED)
    return (*lines, *((name, piece.strip()) for name, value in joined for piece in value.split(",")))
