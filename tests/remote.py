"""A remote registry on loopback."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Remote:
    """Opts out URLs with a word in them, and opts in those with `agreed`; without a word it says nothing."""

    def __init__(self, word, status=200):
        self.asked = asked = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                urls = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["urls"]
                asked.append(urls)
                items = [{"url": url, "out": word in url, "optIn": "agreed" in url} for url in urls if word]
                body = json.dumps({"urls": items}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

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
        return str(path)
