"""Host names to addresses, within a time limit, each name asked for once."""

from __future__ import annotations

import socket
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Final, NamedTuple

from heedful.origins.addresses import Place, RefusedError, literal, permitted, place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Resolve = Callable[[str], Sequence[str]]

KEPT_FOR: Final = 60.0
"""Seconds for which a name's addresses are remembered, or that it has none: one origin's files, no more."""

NAMES_MAX: Final = 10_000
"""Names remembered."""


class _Asked(NamedTuple):
    answer: Future[tuple[str, ...]]
    at: float


def system(host: str) -> Sequence[str]:
    """The addresses that the system knows of `host`, best first.

    Raises:
        OSError: it has none.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


class Resolver:
    """Asks for names, each in a thread of its own: a system call that hangs cannot be broken off."""

    def __init__(self, resolve: Resolve = system) -> None:
        """Make one.

        Args:
            resolve: gives the addresses of a host; raises `OSError` if there are none.
        """
        self._resolve = resolve
        self._asked: OrderedDict[str, _Asked] = OrderedDict()
        self._lock = threading.Lock()

    def addresses(self, host: str, timeout: float) -> tuple[str, ...]:
        """The addresses of `host`, at least one.

        Args:
            host: as in a URL: a name, or an address.
            timeout: seconds to wait.

        Raises:
            TimeoutError: there was no answer in time.
            OSError: there are none.
        """
        if known := literal(host):
            return known
        with self._lock:
            now = time.monotonic()
            asked = self._asked.get(host)
            if asked is None or now >= asked.at + KEPT_FOR:
                asked = self._asked[host] = _Asked(Future(), now)
                self._asked.move_to_end(host)
                if len(self._asked) > NAMES_MAX:
                    self._asked.popitem(last=False)
                name = f"heedful resolving {host}"
                threading.Thread(target=self._ask, args=(host, asked.answer), name=name, daemon=True).start()
        try:
            return asked.answer.result(timeout)
        except FutureTimeoutError as error:  # the built-in one from Python 3.11 on
            raise TimeoutError(f"no address of {host} in time") from error

    def permitted(
        self, host: str, picture_host: str, timeout: float, *, every: bool = False
    ) -> tuple[str, ...]:
        """The addresses of `host` that a side request may go to, at least one.

        Args:
            host: as for `addresses`.
            picture_host: the host of the picture for which it is made.
            timeout: seconds to wait.
            every: refuse the host unless all its addresses are; who connects chooses one for itself.

        Raises:
            RefusedError: there are none.
            TimeoutError, OSError: as for `addresses`.
        """
        end = time.monotonic() + timeout
        addresses = self.addresses(host, timeout)
        if all(place(each) is Place.PUBLIC for each in addresses):
            return addresses
        others = addresses
        if host != picture_host:
            try:
                others = self.addresses(picture_host, max(end - time.monotonic(), 0.0))
            except OSError:
                others = ()
        allowed = tuple(each for each in addresses if permitted(each, others))
        if not allowed or (every and allowed != addresses):
            raise RefusedError(f"{host} is not public, and {picture_host} is not in the same place")
        return allowed

    def after_fork(self) -> None:
        """Go on in a child, which has none of the threads that were asking."""
        self._lock = threading.Lock()
        self._asked.clear()

    def _ask(self, host: str, answer: Future[tuple[str, ...]]) -> None:
        try:
            addresses = tuple(self._resolve(host))
            if not addresses:
                raise OSError(f"{host} has no address")
            answer.set_result(addresses)
        except UnicodeError as error:  # a label is too long
            answer.set_exception(OSError(f"{host} is no host name: {error}"))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            answer.set_exception(error)
