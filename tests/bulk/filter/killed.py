"""Filters lists, and is killed at one of the moments that matter: see `killing`.

Arguments: sources, output, registry, the number of the change on disk before which the run ends as by
kill -9.
"""

from __future__ import annotations

import os
import signal

import polars_hash  # noqa: F401 - imported once, not by each run
from killing import serve

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


if __name__ == "__main__":
    _parquet.PIECE_BYTES, _text.PIECE_BYTES = 1, 80
    serve(run)
