from __future__ import annotations

import http.client
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from heedful.testing import GALLERY, Fault, File, Picture, Site, Web, identify, redirect, serve
from heedful.testing import __main__ as command
from heedful.testing import server as server_module

BIG = bytes(3_000_000)  # more than the socket buffers hold
MIDDLEWARE = Path(__file__).parents[2] / "middleware"

WEB = Web(
    {
        "a": Site(
            {
                "/": File(
                    "see {{b}}/x and {{nowhere}}", headers=(("X", "one"), ("X", "two"), ("Y", "{{b}}/y"))
                ),
                "/bytes": File(b"{{b}}"),
                "/q?x=1": File(b"with"),
                "/q": File(b"without"),
                "/gone": File(b"gone", 410),
                "/move": redirect("{{b}}/x", status=307, headers=(("X-Robots-Tag", "noai"),)),
                "/big": File(BIG),
                "/chunked": File(bytes(range(256)) * 200, chunked=True),
                "/chunked-empty": File(chunked=True),
                "/picture": File(Picture(77, "PNG")),
                "/reset": File(fault=Fault.RESET),
                "/stall": File(fault=Fault.STALL),
            }
        ),
        "b": Site({"/x": File(b"x")}),
    }
)


@pytest.fixture
def running():
    with serve(WEB) as web:
        yield web


@pytest.fixture
def client(running):
    parts = urlsplit(running.start_url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    yield connection
    connection.close()


def await_hit(running):
    with running._state:
        assert running._state.wait_for(lambda: running._log, 10)


def ask(client, path, method="GET"):
    client.request(method, path, headers={"User-Agent": "PictureBot"})
    response = client.getresponse()
    return response.status, response.getheaders(), response.read()


def test_sites_are_origins_of_their_own(running):
    origins = [running.origin(name) for name in WEB.sites]
    assert len(set(origins)) == 2
    assert all(re.fullmatch(r"http://127\.\d+\.\d+\.\d+:\d+", origin) for origin in origins)
    assert running.start_url == running.url("a") == origins[0] + "/"
    with pytest.raises(KeyError):
        running.url("c")


def test_keep_alive_status_headers_and_placeholders(running, client):
    status, headers, body = ask(client, "/")
    before = client.sock
    assert status == 200
    assert headers[:3] == [("X", "one"), ("X", "two"), ("Y", running.url("b", "/y"))]
    assert body.decode() == f"see {running.url('b', '/x')} and {{{{nowhere}}}}"
    assert ask(client, "/bytes")[2] == b"{{b}}"
    assert [ask(client, path)[2] for path in ("/q?x=1", "/q?x=2", "/q")] == [b"with", b"without", b"without"]
    assert ask(client, "/gone")[::2] == (410, b"gone")
    assert ask(client, "/none")[0] == 404
    status, headers, body = ask(client, "/move")
    assert (status, body) == (307, b"")
    assert dict(headers)["Location"] == running.url("b", "/x")
    assert dict(headers)["X-Robots-Tag"] == "noai"
    assert identify(ask(client, "/picture")[2]) == 77
    assert client.sock is before


def test_log(running, client):
    ask(client, "/q?x=1")
    ask(client, "/none", "HEAD")
    assert running.settle()
    first, second = running.log
    assert (first.site, first.method, first.path, first.status, first.body_bytes_sent) == (
        "a",
        "GET",
        "/q?x=1",
        200,
        4,
    )
    assert ("User-Agent", "PictureBot") in first.headers
    assert (second.method, second.status, second.body_bytes_sent) == ("HEAD", 404, 0)
    assert running.hits("a") == running.hits() == (first, second)
    assert running.hits("a", "/none") == running.hits(path="/none") == (second,)
    assert running.hits("b") == ()


def test_head_has_the_headers_of_get(client):
    _, got, _ = ask(client, "/big")
    status, headers, body = ask(client, "/big", "HEAD")
    assert (status, headers, body) == (200, got, b"")
    assert dict(headers)["Content-Length"] == str(len(BIG))


def test_answers_are_deterministic(client):
    assert ask(client, "/") == ask(client, "/")


def test_chunked(running, client):
    status, headers, body = ask(client, "/chunked")
    assert (status, headers) == (200, [("Transfer-Encoding", "chunked")])
    assert body == bytes(range(256)) * 200
    assert ask(client, "/chunked-empty")[2] == b""
    running.settle()
    assert [hit.body_bytes_sent for hit in running.log] == [51_200, 0]


def test_whole_body_is_counted(running, client):
    assert ask(client, "/big")[2] == BIG
    assert running.settle()
    assert running.log[0].body_bytes_sent == len(BIG)


@pytest.mark.parametrize("read", [0, 1, 50_000])
def test_partial_read_is_counted(running, client, read):
    client.request("GET", "/big")
    with client.getresponse() as response:
        assert len(response.read(read)) == read
        client.close()
    assert running.settle()
    assert read <= running.log[0].body_bytes_sent < len(BIG)


def test_reset(running, client):
    with pytest.raises(ConnectionResetError):
        ask(client, "/reset")
    assert [(hit.path, hit.status, hit.body_bytes_sent) for hit in running.log] == [("/reset", 0, 0)]


def test_stall_ends_at_close(running, client):
    client.request("GET", "/stall")
    answer = []

    def read():
        try:
            client.getresponse()
        except ConnectionError as error:
            answer.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    await_hit(running)
    assert running.settle()
    assert reader.is_alive()
    running.close()
    reader.join(10)
    assert len(answer) == 1


def test_settle_gives_up(running, client):
    client.request("GET", "/big")
    await_hit(running)
    assert not running.settle(0.01)


def test_close_drops_idle_and_busy_connections_and_leaves_no_threads():
    before = threading.active_count()
    running = serve(WEB)
    host, port = urlsplit(running.start_url).netloc.split(":")
    idle = socket.create_connection((host, int(port)), timeout=10)
    busy = socket.create_connection((host, int(port)), timeout=10)
    busy.sendall(b"GET /big HTTP/1.1\r\n\r\n")
    assert busy.recv(1) == b"H"
    running.close()
    running.close()
    assert threading.active_count() == before
    assert idle.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=10)
    idle.close()
    busy.close()


def test_many_at_once(running):
    parts = urlsplit(running.url("b", "/x"))
    bodies = []

    def fetch():
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
        bodies.append(ask(connection, "/x")[2])
        connection.close()

    threads = [threading.Thread(target=fetch) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bodies == [b"x"] * 40
    assert len(running.hits("b", "/x")) == 40


def test_latency_delays_answers():
    with serve(WEB, latency=0.05) as running:
        parts = urlsplit(running.start_url)
        client = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
        start = time.monotonic()
        ask(client, "/q")
        assert time.monotonic() - start >= 0.05
        client.close()


def test_latency_does_not_hold_up_close(client):
    with serve(WEB, latency=3600) as running:
        parts = urlsplit(running.start_url)
        waiting = socket.create_connection((parts.hostname, parts.port), timeout=10)
        waiting.sendall(b"GET /q HTTP/1.1\r\n\r\n")
        await_hit(running)
    waiting.close()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def test_fixed_port_is_that_of_every_site():
    port = free_port()
    with serve(WEB, port=port) as running:
        assert [running.origin(name) for name in WEB.sites] == [
            f"http://127.0.0.1:{port}",
            f"http://127.0.0.2:{port}",
        ]


def test_where_only_one_address_is_there_the_ports_differ(monkeypatch):
    monkeypatch.setattr(server_module, "_HOST", "192.0.{}.{}")  # of no machine: cannot be bound
    with serve(WEB) as running:
        parts = [urlsplit(running.url(name)) for name in WEB.sites]
        assert {part.hostname for part in parts} == {"127.0.0.1"}
        assert len({part.port for part in parts}) == 2


def test_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        serve(WEB, port=taken.getsockname()[1])


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to one process there")
def test_command_serves_until_interrupted():
    process = subprocess.Popen(
        [sys.executable, "-m", "heedful.testing"],
        cwd=MIDDLEWARE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = []
    try:
        for line in process.stdout:
            lines.append(line.rstrip())
            if line.startswith("Start: "):
                break
        parts = urlsplit(lines[-1].removeprefix("Start: "))
        client = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
        assert ask(client, "/")[0] == 200
        client.close()
    finally:
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=20)
    assert (process.returncode, rest, errors) == (0, "", "")
    assert lines[0].split()[:3] == ["id", "name", "standard"]
    assert [line.split()[1] for line in lines[1:-3]] == [exhibit.name for exhibit in GALLERY.exhibits]


@pytest.mark.parametrize("port", ["taken", "x", "99999"])
def test_command_refuses_a_bad_port(port, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit) as stop:
        command.main(["--port", str(taken.getsockname()[1]) if port == "taken" else port])
    assert stop.value.code == 2
    assert "error: " in capsys.readouterr().err
