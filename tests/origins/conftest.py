from __future__ import annotations

import socket
import socketserver
import threading
import time

import pytest

from heedful.origins.cache import OriginCache
from heedful.origins.fetch import OriginFetcher
from heedful.testing import serve


class Clock:
    def __init__(self):
        self.time = 1_800_000_000.0

    def now(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def cache(tmp_path, clock):
    """Open the cache of one folder, as often as processes would; it goes by the test's clock."""
    made = []

    def make(**options):
        made.append(OriginCache(tmp_path / "cache", **{"now": clock.now, **options}))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def fetcher():
    made = []

    def make(store=None, **options):
        made.append(OriginFetcher(store, **{"user_agent": "PictureBot/1.0", "timeout": 30.0, **options}))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def served():
    """Serve a web on loopback until the test is over."""
    running = []

    def start(web, **options):
        running.append(serve(web, **options))
        return running[-1]

    yield start
    for each in running:
        each.close()


@pytest.fixture
def until():
    """Wait until a web's log is as it should be."""

    def wait(web, condition):
        with web._state:
            assert web._state.wait_for(lambda: condition(web._log), 30)

    return wait


class Internet:
    """Names with the addresses that they are given here; what is public is served on loopback."""

    def __init__(self):
        self.names = {}
        self.hosts = {}
        self.resolved = []
        self.dialled = []

    def resolve(self, name):
        self.resolved.append(name)
        addresses = self.names.get(name)
        if addresses is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return addresses.pop(0) if isinstance(addresses[0], list) else addresses


@pytest.fixture
def internet(monkeypatch):
    made = Internet()
    connect = socket.create_connection

    def dial(address, *args, **options):
        host, port = address
        made.dialled.append(host)
        return connect((made.hosts.get(host, host), port), *args, **options)

    monkeypatch.setattr(socket, "create_connection", dial)
    return made


class Raw(socketserver.ThreadingTCPServer):
    """Answers any request with the bytes that it was told; where these are over, it closes, or stalls."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), None)
        self.answers = []
        self.requests = []
        self.closing = threading.Event()
        self.drip = None
        self.stall = False
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def finish_request(self, request, client_address):
        received = b""
        while b"\r\n\r\n" not in received and (piece := request.recv(4096)):
            received += piece
        self.requests.append(received)
        try:
            request.sendall(self.answers[min(len(self.requests), len(self.answers)) - 1])
            while self.drip is not None and not self.closing.wait(0.01):
                request.sendall(self.drip)
        except OSError:  # it has heard enough
            return
        if self.stall:
            self.closing.wait()


@pytest.fixture
def raw():
    with Raw() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def stopwatch():
    return time.monotonic
