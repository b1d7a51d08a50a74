"""Serves a web of sites on loopback, each an origin of its own, and logs every request."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import re
import selectors
import socket
import socketserver
import struct
import threading
from dataclasses import dataclass
from http.client import responses
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from heedful.registry import Writer
from heedful.registry.entries import Entry, Kind
from heedful.testing.gallery import GALLERY, Exhibit, Fault, File, Gallery, Listed, Web
from heedful.testing.pictures import Picture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from heedful.model import Headers

_HOST = "127.0.{}.{}"
_FALLBACK_HOST = "127.0.0.1"  # where only this address is configured, as on macOS, ports tell the sites apart
_PIECE = 16 * 1024  # bytes sent at once
_SEND_BUFFER = 32 * 1024  # small, so that little of an unread body counts as sent
_BACKLOG = 128
_JOIN = 5.0  # seconds to wait at close for a thread whose connection is already shut
_PLACEHOLDER = re.compile(r"\{\{([\w-]+)\}\}")
_NOT_FOUND = File(b"404\n", 404, (("Content-Type", "text/plain"),))


@dataclass(slots=True)
class Hit:
    """A request that reached a site, logged before it is answered.

    Attributes:
        site: the site's name.
        method: `GET` or `HEAD`.
        path: the request's target, path and query, as received.
        headers: the request's header lines.
        status: what it is answered with; 0 for a fault.
        body_bytes_sent: bytes of the body handed to the connection, growing while it is sent. Where the
            client hung up, what it had not read may be in here, as far as the socket buffers took it.
    """

    site: str
    method: str
    path: str
    headers: Headers
    status: int
    body_bytes_sent: int = 0


class RunningGallery:
    """A web that is being served; a context manager, closed at its end."""

    def __init__(self, web: Web, *, port: int = 0, latency: float = 0.0) -> None:
        self.web = web
        self._latency = latency
        self._log: list[Hit] = []
        self._closing = threading.Event()
        self._state = threading.Condition()
        self._answering = 0
        with contextlib.ExitStack() as stack:
            self._servers: dict[str, _Server] = {}
            for index, name in enumerate(web.sites):
                self._servers[name] = server = _bind(index, port, name, self)
                stack.callback(server.server_close)
            self._wake, woken = socket.socketpair()
            stack.callback(self._wake.close)
            stack.callback(woken.close)
            self._resources = stack.pop_all()
        self._acceptor = threading.Thread(target=self._accept, args=(woken,), name="gallery", daemon=True)
        self._acceptor.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def origin(self, site: str) -> str:
        """Scheme, host and port of a site, such as `http://127.0.0.2:40123`.

        Raises:
            KeyError: there is no such site.
        """
        host, port = self._servers[site].server_address[:2]
        return f"http://{host!s}:{port}"

    def url(self, site: str, path: str = "/") -> str:
        """The URL of `path` (with the query, if any) on a site."""
        return self.origin(site) + path

    @property
    def start_url(self) -> str:
        """The page of the first site, which links to all others that have one."""
        return self.url(next(iter(self.web.sites)))

    def exhibit_url(self, exhibit: Exhibit) -> str:
        """The URL under which an exhibit is linked, before any redirect."""
        return self.url(exhibit.site, exhibit.path)

    def registry(self, folder: Path) -> Path:
        """Build the registry in which the owners of exhibits have their wishes.

        Args:
            folder: where it goes, such as `gallery.heed`.

        Returns:
            The same folder.
        """
        with Writer.build(folder, source="the gallery") as writer:
            for exhibit in self.web.exhibits if isinstance(self.web, Gallery) else ():
                for listed in exhibit.listed:
                    text = self._listed(exhibit, listed)
                    writer.add(Entry(Kind(listed.kind), text, listed.list, listed.opt_in))
        return folder

    def _listed(self, exhibit: Exhibit, listed: Listed) -> str:
        if listed.entry:
            return self.fill(listed.entry)
        if listed.kind in {"sha256", "md5"}:
            return hashlib.new(listed.kind, exhibit.picture.render()).hexdigest()
        return self.exhibit_url(exhibit)

    @property
    def log(self) -> tuple[Hit, ...]:
        """Every request so far, in the order of arrival."""
        with self._state:
            return tuple(self._log)

    def hits(self, site: str | None = None, path: str | None = None) -> tuple[Hit, ...]:
        """The requests so far to one site, one path, or both."""
        return tuple(hit for hit in self.log if site in (None, hit.site) and path in (None, hit.path))

    def settle(self, timeout: float = 5.0) -> bool:
        """Wait until no answer is being sent, so that every `body_bytes_sent` is final.

        Args:
            timeout: seconds to wait at most; stalled requests are not waited for.

        Returns:
            Whether it came to that.
        """
        with self._state:
            return self._state.wait_for(lambda: not self._answering, timeout)

    def close(self) -> None:
        """Stop serving: drop every connection, release what stalls. May be called twice."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake.send(b"\0")
        self._acceptor.join()
        for server in self._servers.values():
            server.drop_connections()
        self._resources.close()

    def fill(self, text: str) -> str:
        """`text` with `{{site}}` replaced by that site's origin, for each site there is."""
        servers = self._servers
        return _PLACEHOLDER.sub(
            lambda match: self.origin(match[1]) if match[1] in servers else match[0], text
        )

    @contextlib.contextmanager
    def answering(self, hit: Hit) -> Iterator[None]:
        """Log `hit`, and count it as being answered."""
        with self._state:
            self._log.append(hit)
            self._answering += 1
            self._state.notify_all()
        try:
            self._closing.wait(self._latency)
            yield
        finally:
            with self._state:
                self._answering -= 1
                self._state.notify_all()

    def stall(self) -> None:
        """Wait for `close`."""
        self._closing.wait()

    def _accept(self, woken: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(woken, selectors.EVENT_READ)
            for server in self._servers.values():
                selector.register(server, selectors.EVENT_READ, server)
            while not self._closing.is_set():
                for key, _ in selector.select():
                    if key.data is not None:
                        key.data.handle_request()


def serve(web: Web = GALLERY, *, port: int = 0, latency: float = 0.0) -> RunningGallery:
    """Serve a web on loopback, each site at an address of its own: 127.0.0.1, 127.0.0.2, ...

    Where such addresses cannot be bound, the sites differ by port instead. Serving has begun on return.

    Args:
        web: the sites.
        port: the port of every site (the sites after the first count up from it where they share an address);
            0: any that is free.
        latency: seconds by which each answer is delayed.

    Raises:
        OSError: the port is taken.
    """
    return RunningGallery(web, port=port, latency=latency)


class _Server(socketserver.TCPServer):
    allow_reuse_address = True
    request_queue_size = _BACKLOG
    timeout = 0  # `handle_request` is called when a connection waits; should it be gone, it must not block

    def __init__(self, address: tuple[str, int], name: str, running: RunningGallery) -> None:
        self.name = name
        self.running = running
        self.site = running.web.sites[name]
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._resets: set[socket.socket] = set()
        super().__init__(address, _Handler)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self._converse, args=(request, client_address), name=f"gallery {self.name}", daemon=True
        )
        with self._lock:
            self._connections[request] = thread
        thread.start()

    def _converse(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except ConnectionError:
            pass  # the client hung up
        except Exception:  # noqa: BLE001 - as socketserver does: report it, go on serving
            self.handle_error(request, client_address)
        finally:
            with self._lock:
                del self._connections[request]
                reset = request in self._resets
                self._resets.discard(request)
            if reset:
                self.close_request(request)  # without the orderly shutdown
            else:
                self.shutdown_request(request)

    def reset(self, connection: socket.socket) -> None:
        """Have the connection end with RST instead of FIN."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with self._lock:
            self._resets.add(connection)

    def drop_connections(self) -> None:
        with self._lock:
            connections = dict(self._connections)
            for connection in connections:
                with contextlib.suppress(OSError):  # already gone
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in connections.values():
            thread.join(_JOIN)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        file = self.server.site.find(self.path) or _NOT_FOUND
        hit = Hit(
            self.server.name,
            self.command,
            self.path,
            tuple(self.headers.items()),
            0 if file.fault else file.status,
        )
        running = self.server.running
        with running.answering(hit):
            if file.fault is None:
                self._answer(file, hit)
                return
            self.close_connection = True
            if file.fault is Fault.RESET:
                self.server.reset(self.connection)
                return
        running.stall()

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def _answer(self, file: File, hit: Hit) -> None:
        body = file.body
        if isinstance(body, Picture):
            body = body.render()
        elif isinstance(body, str):
            body = self.server.running.fill(body).encode()
        # Date and Server are left out: the same request gives the same bytes.
        self.send_response_only(file.status, responses.get(file.status, ""))
        for name, value in file.headers:
            self.send_header(name, self.server.running.fill(value))
        if file.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        for start in range(0, len(body), _PIECE):
            piece = body[start : start + _PIECE]
            if file.chunked:
                self.wfile.write(b"%x\r\n" % len(piece))
            rest = memoryview(piece)
            while rest:
                sent = self.connection.send(rest)
                hit.body_bytes_sent += sent
                rest = rest[sent:]
            if file.chunked:
                self.wfile.write(b"\r\n")
        if file.chunked:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing is printed; the requests are in the log."""


def _bind(index: int, port: int, name: str, running: RunningGallery) -> _Server:
    host = _HOST.format(index // 254, index % 254 + 1)
    try:
        return _Server((host, port), name, running)
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
    return _Server((_FALLBACK_HOST, port + index if port else 0), name, running)
