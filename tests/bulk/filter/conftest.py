from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from heedful.bulk.filter import filter_urls
from heedful.ledger import LedgerReader, verify
from heedful.registry import Writer

from .listed import ENTRIES


@pytest.fixture(scope="session")
def artists(tmp_path_factory):
    """A registry."""
    folder = tmp_path_factory.mktemp("filter") / "tests.heed"
    with Writer.build(folder, source="tests") as writer:
        for entry in ENTRIES:
            writer.add(entry)
    return folder


@pytest.fixture
def filtered(artists):
    """Filter in this process, unless told otherwise."""

    def run(sources, out, **options):
        return filter_urls(sources, out, **{"registries": artists, "workers": 1, **options})

    return run


@pytest.fixture
def recorded():
    """All records of a ledger, which must be whole and as the run's manifest says."""

    def read(ledger):
        found = verify([str(ledger)])
        assert [str(each) for each in found.findings] == []
        reader = LedgerReader(str(ledger))
        records = list(reader)
        assert reader.faults == []
        return records

    return read


class Remote:
    """A remote registry that lists URLs with a word in them; None: it answers nothing of use."""

    def __init__(self, word):
        self.asked = []
        remote = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                urls = json.loads(body)["urls"]
                remote.asked.append(urls)
                items = [{"url": url, "out": word in url, "optIn": "agreed" in url} for url in urls if word]
                data = json.dumps({"urls": items}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def policy(self, path):
        path.write_text(
            '[[remote]]\nname = "union"\nprotocol = "json"\nopt_out_field = "out"\n'
            'opt_in_field = "optIn"\n'
            f'url = "http://127.0.0.1:{self.server.server_port}/query"\n'
        )
        return path


@pytest.fixture
def remote():
    return Remote
