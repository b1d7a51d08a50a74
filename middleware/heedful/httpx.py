"""httpx with every picture judged: `httpx.Client(transport=heedful.httpx.Transport(token="PictureBot"))`."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

try:
    import httpx
except ImportError as error:  # pragma: no cover
    raise ImportError("heedful.httpx needs httpx: pip install 'heedful[httpx]'") from error

import heedful
from heedful.enforcer import Enforcer, Hop, read_anyway
from heedful.errors import HeedfulError
from heedful.model import Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator

    from typing_extensions import Unpack

    from heedful.enforcer import Options

__all__ = ["PAGE", "AsyncTransport", "Deferred", "OptedOut", "Transport"]

PAGE: Final = "heedful_page"
"""The extension of a request that has the page on which the picture was found."""

HTTPX_AGENT: Final = "python-httpx/"
"""What httpx calls itself where nobody has said otherwise."""

_CRAWLER: Final = f"httpx/{metadata.version('httpx')}"

_FIRST: Final = "heedful_first"
"""The extension of a request that has the URL that was asked for first: redirects' requests inherit it."""


class OptedOut(heedful.OptedOut, httpx.RequestError):
    """The picture must not be stored; `verdict` says why, `request` what was asked for."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.verdict,)


class Deferred(OptedOut, heedful.Deferred):
    """It could not be determined whether the picture is opted out: not to be asked for again in this run."""


class _Judge:
    """What both transports share."""

    _usual: type[httpx.BaseTransport | httpx.AsyncBaseTransport]

    def __init__(
        self, inner: Any = None, enforcer: Enforcer | None = None, **options: Unpack[Options]
    ) -> None:
        """Wrap a transport; the client, when it closes it, closes that one, and what is opened here.

        Args:
            inner: fetches; None: a usual transport of httpx.
            enforcer: one that is there already, and stays open; then there are no `options`.
            **options: as for every adapter.

        Raises:
            ConfigurationError: with every fault there is.
        """
        self._inner: Any = self._usual() if inner is None else inner
        self._owned = enforcer is None
        self._enforcer = Enforcer.configured(
            enforcer,
            crawler=_CRAWLER,
            opted_out=OptedOut,
            deferred=Deferred,
            **options,
        )

    def _hop(self, request: httpx.Request) -> Hop:
        """The hop of a request, on which our name is put unless the user has given another one."""
        if request.headers.get("User-Agent", HTTPX_AGENT).startswith(HTTPX_AGENT):
            request.headers["User-Agent"] = self._enforcer.configuration.user_agent
        url = str(request.url)
        return Hop(url, request.extensions.setdefault(_FIRST, url), request.extensions.get(PAGE))

    @contextmanager
    def _fetching(self, hop: Hop, status: int | None = None) -> Iterator[None]:
        """Record what cannot be fetched."""
        try:
            yield
        except Exception as error:
            self._enforcer.failed(hop, f"{type(error).__name__}: {error}", status=status)
            raise

    def _awaits_body(self, hop: Hop, head: Response, request: httpx.Request, answer: httpx.Response) -> bool:
        redirects = answer.has_redirect_location
        return self._enforcer.awaits_body(hop, request.method, head, redirects=redirects)


class Transport(_Judge, httpx.BaseTransport):
    """Judges all that another transport fetches: each URL and redirect, headers, bodies."""

    _usual = httpx.HTTPTransport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Fetch a URL, unless it must not be contacted; the body is judged when it is first asked for.

        Raises:
            OptedOut: it must not be stored.
            LedgerError: the decision cannot be recorded.
        """
        hop = self._hop(request)
        self._enforcer.before(hop)
        with self._fetching(hop):
            answer: httpx.Response = self._inner.handle_request(request)
        head, length = _head(answer)
        try:
            self._enforcer.head(hop, head, length=length)
        except HeedfulError:
            if length is not None and read_anyway(length):
                with suppress(
                    httpx.HTTPError
                ):  # then the connection cannot be kept, which was all it was for
                    answer.read()
            answer.close()
            raise
        if not self._awaits_body(hop, head, request, answer):
            return answer
        return _with(answer, _Picture(answer.stream, partial(self._judged, hop, head)))

    def _judged(self, hop: Hop, head: Response, stream: Iterable[bytes]) -> bytes:
        with self._fetching(hop, head.status):
            data = b"".join(stream)
        self._enforcer.body(hop, head, data)
        return data

    def close(self) -> None:
        """Close the inner transport; the ledger and all else, unless the enforcer was given.

        Raises:
            LedgerError: what was not yet written could not be.
        """
        self._inner.close()
        if self._owned:
            self._enforcer.close()


class AsyncTransport(_Judge, httpx.AsyncBaseTransport):
    """As `Transport`, for asyncio."""

    _usual = httpx.AsyncHTTPTransport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As `Transport.handle_request`."""
        hop = self._hop(request)
        await self._enforcer.before_async(hop)
        with self._fetching(hop):
            answer: httpx.Response = await self._inner.handle_async_request(request)
        head, length = _head(answer)
        try:
            await self._enforcer.head_async(hop, head, length=length)
        except HeedfulError:
            if length is not None and read_anyway(length):
                with suppress(httpx.HTTPError):
                    await answer.aread()
            await answer.aclose()
            raise
        if not self._awaits_body(hop, head, request, answer):
            return answer
        return _with(answer, _Picture(answer.stream, partial(self._judged, hop, head)))

    async def _judged(self, hop: Hop, head: Response, stream: AsyncIterable[bytes]) -> bytes:
        with self._fetching(hop, head.status):
            data = b"".join([piece async for piece in stream])
        await self._enforcer.body_async(hop, head, data)
        return data

    async def aclose(self) -> None:
        """As `Transport.close`."""
        await self._inner.aclose()
        if self._owned:
            self._enforcer.close()


class _Picture(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that is read whole and judged before any byte of it is handed out."""

    def __init__(self, stream: Any, judged: Callable[[Any], Any]) -> None:
        self._stream = stream
        self._judged = judged

    def __iter__(self) -> Iterator[bytes]:
        yield self._judged(self._stream)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield await self._judged(self._stream)

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()


def _head(answer: httpx.Response) -> tuple[Response, int | None]:
    """The head, and the length of the body if that is known."""
    length = answer.headers.get("Content-Length", "")
    said = length.isascii() and length.isdigit() and "Transfer-Encoding" not in answer.headers
    lines = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers.raw)
    return Response(answer.status_code, lines), int(length) if said else None


def _with(answer: httpx.Response, stream: _Picture) -> httpx.Response:
    """The answer with another body; a new one, as the old one may have its own at hand."""
    headers = answer.headers
    return httpx.Response(answer.status_code, headers=headers, stream=stream, extensions=answer.extensions)
