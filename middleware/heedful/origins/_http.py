"""One GET of an origin file: bounded in time and size, and sent to the very address that was checked.

The sockets are our own, and `http.client` reads the answer. A library with a pool resolves a name and
connects in one step: what was checked and what is connected to could be two addresses (DNS rebinding). Here a
name is resolved once, its addresses are judged, and one of them is connected to, while TLS (server name and
certificate) and the Host header go by the name.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
import urllib.request
import zlib
from base64 import b64encode
from contextlib import closing
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Final, NamedTuple, cast
from urllib.parse import unquote, urlsplit

from heedful.errors import ConfigurationError
from heedful.origins.addresses import Place, literal, place
from heedful.origins.exchange import FILE_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from heedful.model import Headers
    from heedful.origins._resolving import Resolver
    from heedful.origins.target import Target

HEAD_MAX: Final = 64 * 1024
"""Bytes of an answer's head, as many as http.client allows for one of its lines; few servers send a tenth."""

_TRANSFER_MAX: Final = 4 * FILE_MAX
"""Bytes of the rest: a body in chunks is longer than what it carries."""

_ADDRESSES_MAX: Final = 4
"""Addresses of one host that are tried; the time is shared out between them."""

_PIECE: Final = 64 * 1024
_ZLIB_OR_GZIP: Final = zlib.MAX_WBITS | 32


class Answer(NamedTuple):
    """What came back.

    Attributes:
        status: the HTTP status.
        headers: its header lines.
        body: that of a success, content encoding undone; empty for all else, which is not read.
        truncated: the body was longer than `FILE_MAX`.
    """

    status: int
    headers: Headers
    body: bytes
    truncated: bool


class Client:
    """Sends GETs. Safe to share between threads.

    Certificates are verified against the system's (OpenSSL's `SSL_CERT_FILE` is heeded). Proxies are those of
    the environment, `no_proxy` included, as Python's urllib finds them. Through a proxy, it is the proxy that
    resolves names: only an address in the URL itself can be judged here, the rest is the proxy's part. Hosts
    whose URL already says that they are not public are asked directly.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        user_agent: str,
        allow_private: bool = False,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make one.

        Args:
            resolver: gives addresses.
            user_agent: what we call ourselves.
            allow_private: every address may be asked, for tests and closed networks.
            tls: how servers are verified; None: as usual.
            clock: monotonic, in seconds.

        Raises:
            ConfigurationError: the user agent cannot be sent, or the environment names a proxy that cannot be
                used.
        """
        if not user_agent.isascii() or not user_agent.isprintable() or not user_agent.strip():
            raise ConfigurationError(f"{user_agent!r} cannot be sent as a User-Agent.")
        self._resolver = resolver
        self._allow_private = allow_private
        self._tls = ssl.create_default_context() if tls is None else tls
        self._clock = clock
        self._fields = "".join(
            f"{name}: {value}\r\n"
            for name, value in (
                ("User-Agent", user_agent),
                ("Accept", "*/*"),
                ("Accept-Encoding", "identity"),  # so that a body cut at the limit can be read
                ("Connection", "close"),
            )
        )
        found = urllib.request.getproxies()
        self._proxies = {True: _Proxy.of("https", found), False: _Proxy.of("http", found)}

    def get(self, target: Target, picture_host: str, timeout: float) -> Answer:
        """Ask for `target`, following nothing.

        Args:
            target: what to ask for.
            picture_host: host of the picture for which this is done, as `Target.host`.
            timeout: seconds for all of it.

        Raises:
            RefusedError: it may not be asked.
            TimeoutError: it was not done in time.
            OSError, HTTPException: there was no answer, or none that can be relied on.
        """
        deadline = self._clock() + timeout
        proxy = self._proxy(target)
        if proxy is None:
            connected = self._connect(self._checked(target, picture_host, deadline), target.port, deadline)
        else:
            addresses = self._resolver.addresses(proxy.host, self._left(deadline))
            connected = self._connect(addresses, proxy.port, deadline)
        with closing(connected):
            path, fields = target.path, self._fields
            if proxy is not None and target.secure:
                self._tunnel(connected, target, proxy, deadline)
            elif proxy is not None:
                path, fields = f"http://{target.authority}{path}", fields + proxy.field
            request = f"GET {path} HTTP/1.1\r\nHost: {target.authority}\r\n{fields}\r\n"
            if not target.secure:
                return self._exchanged(connected, request, deadline)
            connected.settimeout(self._left(deadline))
            with self._tls.wrap_socket(connected, server_hostname=target.host) as secured:
                return self._exchanged(secured, request, deadline)

    def _proxy(self, target: Target) -> _Proxy | None:
        proxy = self._proxies[target.secure]
        if (
            proxy is None
            or any(place(each) is not Place.PUBLIC for each in literal(target.host))
            or urllib.request.proxy_bypass(target.authority)
        ):
            return None
        return proxy

    def _checked(self, target: Target, picture_host: str, deadline: float) -> Sequence[str]:
        """The addresses of `target` that may be asked."""
        left = self._left(deadline)
        if self._allow_private:
            return self._resolver.addresses(target.host, left)
        return self._resolver.permitted(target.host, picture_host, left)

    def _connect(self, addresses: Sequence[str], port: int, deadline: float) -> socket.socket:
        *others, last = addresses[:_ADDRESSES_MAX]
        for number, address in enumerate(others):
            try:
                return self._connect_to(address, port, self._left(deadline) / (len(others) + 1 - number))
            except OSError:
                continue
        return self._connect_to(last, port, self._left(deadline))

    def _connect_to(self, address: str, port: int, timeout: float) -> socket.socket:
        connected = socket.create_connection((address, port), timeout)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected

    def _tunnel(self, connected: socket.socket, target: Target, proxy: _Proxy, deadline: float) -> None:
        host = f"[{target.host}]" if ":" in target.host else target.host
        authority = f"{host}:{target.port}"
        wire = _Wire(connected, deadline, self._clock)
        wire.send(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{proxy.field}\r\n")
        with closing(HTTPResponse(wire.as_socket(), method="CONNECT")) as response:
            response.begin()
            if response.status != 200:
                raise OSError(f"the proxy answered {response.status}")

    def _exchanged(self, connected: socket.socket, request: str, deadline: float) -> Answer:
        wire = _Wire(connected, deadline, self._clock)
        wire.send(request)
        with closing(HTTPResponse(wire.as_socket(), method="GET")) as response:
            response.begin()
            wire.head_is_read()
            body, truncated = _body(response) if 200 <= response.status < 300 else (b"", False)
            return Answer(response.status, tuple(response.getheaders()), body, truncated)

    def _left(self, deadline: float) -> float:
        left = deadline - self._clock()
        if left <= 0:
            raise TimeoutError("timed out")
        return left


class _Proxy(NamedTuple):
    """A proxy, and the header line, if any, by which it knows us."""

    host: str
    port: int
    field: str

    @classmethod
    def of(cls, scheme: str, found: Mapping[str, str]) -> _Proxy | None:
        url = found.get(scheme)
        if not url:
            return None
        try:
            parts = urlsplit(url if "://" in url else "http://" + url)
            if parts.scheme != "http" or not parts.hostname:
                raise ValueError(url)
            port = parts.port or 80
        except ValueError:  # what is in it is not repeated: it may hold a password
            raise ConfigurationError(
                f"The proxy that the environment names for {scheme}:// is no http:// URL."
            ) from None
        if parts.username is None:
            return cls(parts.hostname, port, "")
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        return cls(parts.hostname, port, f"Proxy-Authorization: Basic {b64encode(login).decode()}\r\n")


class _Wire(io.RawIOBase):
    """What a socket sends, up to a time and a number of bytes. Closing it leaves the socket open."""

    def __init__(self, connected: socket.socket, deadline: float, clock: Callable[[], float]) -> None:
        self._socket = connected
        self._deadline = deadline
        self._clock = clock
        self._room = HEAD_MAX
        self._in_head = True

    def as_socket(self) -> socket.socket:
        """As much of a socket as `HTTPResponse` asks for, which is `makefile`."""
        return cast("socket.socket", self)

    def makefile(self, mode: str) -> io.BufferedReader:  # noqa: ARG002 - it is always "rb"
        return io.BufferedReader(self)

    def send(self, head: str) -> None:
        self._wait()
        self._socket.sendall(head.encode("ascii"))

    def head_is_read(self) -> None:
        self._in_head = False
        self._room += _TRANSFER_MAX

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer)[: self._room]
        if not view:
            raise HTTPException("the answer is too long")
        self._wait()
        count = self._socket.recv_into(view)
        if not count and self._in_head:  # http.client would take what there is for all
            raise HTTPException("the answer broke off")
        self._room -= count
        return count

    def _wait(self) -> None:
        left = self._deadline - self._clock()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)


def _body(response: HTTPResponse) -> tuple[bytes, bool]:
    """The body, cut at `FILE_MAX`, its content encoding undone; and whether it was cut.

    Raises:
        HTTPException: it is not all there, or not to be read. Half a file allows what its other half forbids.
    """
    if response.status == 206:
        raise HTTPException("a part, of which nobody asked")
    if response.getheader("Transfer-Encoding") and not response.chunked:
        raise HTTPException("it is transferred in a way that is not known")
    raw = bytearray()
    while len(raw) <= FILE_MAX and (piece := response.read(min(_PIECE, FILE_MAX + 1 - len(raw)))):
        raw += piece
    cut = len(raw) > FILE_MAX
    if not cut and response.length:
        raise HTTPException("it broke off")
    encoding = (response.getheader("Content-Encoding") or "identity").strip().lower()
    if encoding == "identity":
        return bytes(raw[:FILE_MAX]), cut
    if encoding not in {"gzip", "x-gzip", "deflate"}:  # it was told that we want none
        raise HTTPException(f"it comes in {encoding}")
    unpacking = zlib.decompressobj(_ZLIB_OR_GZIP)
    try:
        plain = unpacking.decompress(raw, FILE_MAX + 1)
    except zlib.error as error:
        raise HTTPException("it cannot be unpacked") from error
    if len(plain) <= FILE_MAX and not unpacking.eof and not cut:
        raise HTTPException("it broke off")
    return plain[:FILE_MAX], cut or len(plain) > FILE_MAX
