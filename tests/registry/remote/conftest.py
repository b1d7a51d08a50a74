"""A remote registry on loopback that answers as it is told to, and a clock that nobody waits for."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from heedful.registry.remote import RemoteConfig, RemoteRegistry

KEY = "s3cret-Key/with=signs"


@dataclass
class Given:
    """An answer: what is sent, and how."""

    body: bytes = b""
    status: int = 200
    headers: dict = field(default_factory=dict)
    length: int | None = None  # the Content-Length that is claimed, if it is not the true one
    stall: bool = False  # nothing is sent at all until the server is closed
    cut: bool = False  # the connection is closed at once


@dataclass
class Asked:
    """A request."""

    headers: dict
    body: bytes
    path: str
    number: int

    @property
    def urls(self):
        return self.body.decode().split("\n")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        registry = self.server.registry
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with registry.lock:
            headers = {name.title(): value for name, value in self.headers.items()}
            asked = Asked(headers, body, self.path, len(registry.asked))
            registry.asked.append(asked)
        given = registry.reply(asked)
        if given.stall:
            registry.closing.wait(30)
        if given.stall or given.cut:
            self.close_connection = True
            return
        self.send_response(given.status)
        length = len(given.body) if given.length is None else given.length
        for name, value in {"Content-Length": length, **given.headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        try:
            self.wfile.write(given.body)
        except OSError:  # the client had enough
            self.close_connection = True
        if length != len(given.body):
            self.close_connection = True

    def log_message(self, *args):
        pass


class _Http(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):  # clients close connections as they please
            super().handle_error(request, client_address)


class Server:
    """A registry; `reply` is what it does, a function of a request."""

    def __init__(self):
        self.asked = []
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.opted_out = set()
        self.opted_in = set()
        self.reply = self.honest
        self.http = _Http(("127.0.0.1", 0), _Handler)
        self.http.registry = self
        self.url = f"http://127.0.0.1:{self.http.server_port}/query"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    def items(self, urls):
        return [{"url": url, "optOut": url in self.opted_out, "optIn": url in self.opted_in} for url in urls]

    def honest(self, asked):
        return Given(json.dumps({"urls": self.items(asked.urls)}).encode())

    def close(self):
        self.closing.set()
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


class Clock:
    """Time that passes when somebody sleeps, and at no other time."""

    def __init__(self):
        self.time = 1_800_000_000.0
        self.slept = []
        self.lock = threading.Lock()

    def now(self):
        return self.time

    def sleep(self, seconds):
        with self.lock:
            self.slept.append(seconds)
            self.time += seconds


@pytest.fixture
def given():
    return Given


@pytest.fixture
def key():
    return KEY


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def elsewhere():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def config(server):
    def make(**settings):
        table = {"name": "artists", "url": server.url, "protocol": "spawning", "key_env": "KEY"}
        return RemoteConfig.parse({**table, **settings})

    return make


@pytest.fixture
def remote(config, clock):
    """Make a client; it is closed at the end."""
    made = []

    def make(*, cache=None, user_agent=None, environ=None, clock=clock, **settings):
        registry = RemoteRegistry(
            config(**settings),
            cache=cache,
            user_agent=user_agent,
            environ={"KEY": KEY} if environ is None else environ,
            now=clock.now,
            clock=clock.now,
            sleep=clock.sleep,
        )
        made.append(registry)
        return registry

    yield make
    for registry in made:
        registry.close()
