"""urllib with every picture judged: `build_opener(heedful.urllib.Handler(token="PictureBot"))`."""

from __future__ import annotations

import io
import platform
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler

import heedful
from heedful.enforcer import Enforcer, Hop, read_anyway
from heedful.errors import HeedfulError
from heedful.model import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from http.client import HTTPMessage
    from types import TracebackType
    from typing import IO
    from urllib.request import Request

    from typing_extensions import Self, Unpack

    from heedful.enforcer import Options
    from heedful.model import Verdict

URLLIB_AGENT: Final = "Python-urllib/"
"""What urllib calls itself where nobody has said otherwise."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

_LOCATION: Final = frozenset({"location", "uri"})
"""The headers by which urllib follows redirects."""

_HOP: Final = "heedful_hop"
_BEFORE: Final = "heedful_redirected_from"


class OptedOut(heedful.OptedOut, URLError):  # noqa: N818 - a refusal, not an error
    """The picture must not be stored; `verdict` says why, `reason` in few words."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict)
        self.reason = f"{verdict.action.value}: {verdict.reason.value if verdict.reason else ''}"

    def __str__(self) -> str:
        return str(self.reason)


class Deferred(OptedOut, heedful.Deferred):
    """It could not be determined whether the picture is opted out: not to be asked for again in this run."""


class Handler(HTTPRedirectHandler):
    """Judges all that an opener fetches: each URL and redirect, headers, bodies.

    `build_opener` puts it in the place of its own handler for redirects. Threads may share an opener as far
    as its other handlers allow.
    """

    handler_order = 100
    """Before urllib's own (500): a redirect is judged before it is followed, headers as they came."""

    def __init__(
        self,
        enforcer: Enforcer | None = None,
        *,
        start: Callable[[str], Hop] = Hop.start,
        replace_user_agent: bool = False,
        **options: Unpack[Options],
    ) -> None:
        """Open all that is needed; `close` it at the end.

        Args:
            enforcer: one that is there already, which `close` closes as well; then there are no `options`.
            start: makes the hop of a URL that is asked for first; called in the thread that asks.
            replace_user_agent: send the honest User-Agent also where another one is set.
            **options: as for every adapter.

        Raises:
            ConfigurationError: with every fault there is.
        """
        self._enforcer = Enforcer.configured(
            enforcer,
            crawler=f"urllib/{platform.python_version()}",
            opted_out=OptedOut,
            deferred=Deferred,
            **options,
        )
        self._start = start
        self._replace_user_agent = replace_user_agent
        self._user_agent = self._enforcer.configuration.user_agent

    @classmethod
    def of(
        cls, enforcer: Enforcer, start: Callable[[str], Hop] = Hop.start, *, replace_user_agent: bool = False
    ) -> Self:
        """One for an enforcer that is there already."""
        return cls(enforcer, start=start, replace_user_agent=replace_user_agent)

    def close(self) -> None:
        """Close the ledger and all else; nothing is handed out from then on.

        Raises:
            LedgerError: what was not yet written could not be.
        """
        self._enforcer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- what an opener calls ------------------------------------------------------------------------------

    def http_request(self, request: Request) -> Request:
        """Give our name, unless the user has given another one."""
        if self._replace_user_agent or self._is_urllibs(request):
            request.remove_header("User-agent")
            request.add_header("User-agent", self._user_agent)
        return request

    https_request = http_request

    def default_open(self, request: Request) -> Any:
        """Judge a URL, whatever its scheme, then let the other handlers fetch it."""
        hop = self._before(request)
        try:
            response = self._fetched(request)
        except (HeedfulError, HTTPError):
            raise  # a handler has had the request opened once more, in a way of its own
        except Exception as error:
            self._enforcer.failed(hop, f"{type(error).__name__}: {error}")
            raise
        setattr(request, _HOP, hop)
        return response

    def http_response(self, request: Request, response: Any) -> Any:
        """Judge an answer by its head; its body is judged when it is first asked for."""
        if isinstance(response, _Picture):
            return response
        hop: Hop | None = vars(request).pop(_HOP, None)
        if hop is None:  # it was not fetched, but a handler before this one had it
            hop = self._before(request)
        head = Response(response.status, tuple(response.headers.items()))
        length = getattr(response, "length", None)
        try:
            self._enforcer.head(hop, head, length=length)
        except HeedfulError:
            if length is not None and read_anyway(length):
                response.read()
            response.close()
            raise
        redirects = head.status in _REDIRECTS and _LOCATION.intersection(map(str.lower, response.headers))
        if redirects:
            setattr(request, _HOP, hop)
        if not self._enforcer.awaits_body(hop, request.get_method(), head, redirects=bool(redirects)):
            return response
        return _Picture(response, self._enforcer, hop, head)

    https_response = http_response

    def redirect_request(
        self, request: Request, answer: IO[bytes], code: int, words: str, headers: HTTPMessage, url: str
    ) -> Request | None:
        """The request that a redirect leads to, which knows where it comes from."""
        following = super().redirect_request(request, answer, code, words, headers, url)
        if following is not None:
            setattr(following, _BEFORE, getattr(request, _HOP))
        return following

    def http_error_302(
        self, request: Request, answer: IO[bytes], code: int, words: str, headers: HTTPMessage
    ) -> Any:
        """Follow a redirect; that one which urllib refuses to follow has failed."""
        try:
            return super().http_error_302(request, answer, code, words, headers)
        except HTTPError as error:
            if error.fp is answer:
                self._enforcer.failed(getattr(request, _HOP), f"status {code}", status=code)
            raise

    http_error_301 = http_error_303 = http_error_302  # type: ignore[assignment]
    http_error_307 = http_error_308 = http_error_302  # type: ignore[assignment]

    # ------------------------------------------------------------------------------------------------------

    def _is_urllibs(self, request: Request) -> bool:
        """Whether the User-Agent that would be sent is urllib's own, or there is none."""
        given = request.get_header("User-agent")
        if given is None:
            usual = {name.lower(): value for name, value in self.parent.addheaders}
            given = usual.get("user-agent", URLLIB_AGENT)
        return given.startswith(URLLIB_AGENT)

    def _before(self, request: Request) -> Hop:
        url = request.full_url
        redirected: Hop | None = getattr(request, _BEFORE, None)
        hop = self._start(url) if redirected is None else redirected.to(url)
        self._enforcer.before(hop)
        return hop

    def _fetched(self, request: Request) -> Any:
        """What the handlers after this one fetch, in the order in which the opener asks them."""
        for kind in ("default", request.type, "unknown"):
            for handler in self.parent.handle_open.get(kind, ()):  # type: ignore[attr-defined]
                if handler is not self:
                    response = getattr(handler, f"{kind}_open")(request)
                    if response is not None:
                        return response
        return None


_HEAD: Final = frozenset(
    {
        *("headers", "msg", "status", "code", "reason", "version", "url", "length", "chunked", "will_close"),
        *("info", "geturl", "getcode", "getheader", "getheaders", "isclosed", "closed", "debuglevel"),
    }
)
"""What can be asked of a response before its body is judged; all else is asked of the judged body."""


class _Picture:
    """A response, the body of which is read whole and judged before any byte of it is handed out."""

    def __init__(self, response: Any, enforcer: Enforcer, hop: Hop, head: Response) -> None:
        self._response = response
        self._enforcer = enforcer
        self._hop = hop
        self._head = head
        self._body: io.BytesIO | None = None
        self._error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._response if name in _HEAD else self._file(), name)

    def __iter__(self) -> Iterator[bytes]:
        return self._file()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the response, whether or not its body was read."""
        self._response.close()
        self._body = io.BytesIO()

    def _file(self) -> io.BytesIO:
        if self._error is not None:
            raise self._error
        if self._body is None:
            try:
                self._body = io.BytesIO(self._judged())
            except Exception as error:
                self._error = error
                self._response.close()
                raise
        return self._body

    def _judged(self) -> bytes:
        try:
            data: bytes = self._response.read()
        except Exception as error:
            self._enforcer.failed(self._hop, f"{type(error).__name__}: {error}", status=self._head.status)
            raise
        self._enforcer.body(self._hop, self._head, data)
        return data
