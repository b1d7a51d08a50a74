"""Filters lists, again and again, and is killed at one of the moments that matter.

Each line of standard input is a JSON list: sources, output, registry, the number of the change on disk
before which the run ends as by kill -9. The answer is a line: the signal that ended it, or 0. All is imported
once; each run has a process of its own.
"""

from __future__ import annotations

import json
import os
import signal
import sys

import polars_hash  # noqa: F401 - imported once, not by each run

from heedful.bulk.filter import _local, _parquet, _text, filter_urls
from heedful.bulk.filter._state import State
from heedful.bulk.filter._task import Recorder
from heedful.ledger import RunManifest

CHANGES = (
    (State, "_put"),
    (State, "forget"),
    (RunManifest, "__init__"),
    (RunManifest, "end"),
    (Recorder, "close"),
    (_parquet, "work"),
    (_text, "work"),
    (_local, "put"),
    (os, "replace"),
)


def run(sources, out, registry, number):
    count = 0

    def killing(original):
        def change(*args, **options):
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **options)

        return change

    for owner, name in CHANGES:
        setattr(owner, name, killing(getattr(owner, name)))
    filter_urls(sources, out, registries=[registry], workers=1)


def main():
    _parquet.PIECE_BYTES, _text.PIECE_BYTES = 1, 80
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                run(*json.loads(line))
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
        sys.stdout.write(f"{os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
