"""One POST over HTTP, bounded in size and time: urllib3's pool, our limits."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError, ProxyError, SSLError
from urllib3.exceptions import TimeoutError as TooLateError

from heedful.errors import ConfigurationError
from heedful.registry.remote._config import is_loopback
from heedful.registry.remote._reply import NoReplyError, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ANSWER_MAX: Final = 16 * 2**20
"""Longest answer that is read, in bytes: ten times that of a batch of the longest lists of URLs."""

CONNECTIONS: Final = 32
"""Connections that are kept; img2dataset's default is 32 threads a worker."""

_PIECE: Final = 64 * 1024


class Transport:
    """Posts to one URL. Safe to share between threads, not between processes.

    No redirect is followed: the key goes to the URL that the user wrote, and nowhere else. Certificates are
    verified against the system's (OpenSSL's `SSL_CERT_FILE` is heeded). Proxies are those of the
    environment, `no_proxy` included, as Python's urllib finds them; this machine itself is asked directly.
    """

    def __init__(self, url: str, *, timeout: float, clock: Callable[[], float]) -> None:
        """Make a transport; it connects to nothing yet.

        Args:
            url: where to post.
            timeout: seconds for connecting, for any wait, and for the body as a whole.
            clock: monotonic, in seconds.

        Raises:
            ConfigurationError: the environment names a proxy that cannot be used.
        """
        self._url = url
        self._timeout = timeout
        self._clock = clock
        self._pool = _pool(url, urllib3.Timeout(connect=timeout, read=timeout))

    def post(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Post `body`.

        Raises:
            NoReplyError: no answer, or none that could be read to its end.
        """
        try:
            response = self._pool.request(
                "POST",
                self._url,
                body=body,
                headers={**headers, "Accept": "application/json", "Accept-Encoding": "identity"},
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
            whole = False
            try:
                content = self._read(response) if response.status == 200 else b""
                whole = response.status == 200
            finally:
                if not whole:  # what was not read to its end cannot be used again
                    response.close()
                response.release_conn()
        except SSLError as error:
            raise NoReplyError("its certificate or TLS cannot be trusted", again=False) from error
        except ProxyError as error:
            raise NoReplyError("the proxy does not let it through", again=True) from error
        except NewConnectionError as error:
            raise NoReplyError("no connection", again=True) from error
        except TooLateError as error:
            raise NoReplyError("timed out", again=True) from error
        except HTTPError as error:
            raise NoReplyError("the connection broke off", again=True) from error
        found = response.headers
        return Reply(response.status, found.get("retry-after"), found.get("location"), content)

    def _read(self, response: urllib3.BaseHTTPResponse) -> bytes:
        deadline = self._clock() + self._timeout
        pieces: list[bytes] = []
        length = 0
        while piece := response.read1(_PIECE):
            pieces.append(piece)
            length += len(piece)
            if length > ANSWER_MAX:
                raise NoReplyError(f"its answer is longer than {ANSWER_MAX} bytes", again=False)
            if self._clock() > deadline:
                raise NoReplyError("timed out", again=True)
        return b"".join(pieces)

    def close(self) -> None:
        """Give the connections back."""
        self._pool.clear()


def _pool(url: str, timeout: urllib3.Timeout) -> urllib3.PoolManager:
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy or is_loopback(host) or urllib.request.proxy_bypass(host):
        return urllib3.PoolManager(maxsize=CONNECTIONS, timeout=timeout)
    if "://" not in proxy:
        proxy = "http://" + proxy
    try:
        found = urllib3.util.parse_url(proxy)
        if found.scheme not in {"http", "https"} or not found.host:
            raise ValueError(proxy)
    except ValueError:  # what is in it is not repeated: it may hold a password
        raise ConfigurationError(
            f"The proxy that the environment names for {parts.scheme}:// is no http:// or https:// URL."
        ) from None
    headers = None
    if found.auth:
        headers = urllib3.make_headers(proxy_basic_auth=unquote(found.auth))
    return urllib3.ProxyManager(proxy, maxsize=CONNECTIONS, timeout=timeout, proxy_headers=headers)
