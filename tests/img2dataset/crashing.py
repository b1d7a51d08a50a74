"""A user's script that dies in the middle: the whole process group, as on a power cut or from the OOM killer.

Standard input: {"at": a moment of `MOMENTS` or None, "options": {...}}. Spawned workers read this script too,
and learn the moment from the environment.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys

from heedful.img2dataset import _shard, download

MOMENT = "CRASH_AT"


def die():
    os.killpg(0, signal.SIGKILL)


def dies(function, call):
    """What a function is replaced by to die at its `call`th call, instead of it."""
    calls = itertools.count(1)
    return lambda *args, **kwargs: die() if next(calls) == call else function(*args, **kwargs)


def in_the_middle_of_a_shard():
    _shard._GuardedWriter.write = dies(_shard._GuardedWriter.write, 7)


def before_the_ledger_is_closed():
    _shard.LedgerWriter.close = dies(_shard.LedgerWriter.close, 2)


def between_ledger_and_stats():
    _shard._Shard.write_stats = dies(_shard._Shard.write_stats, 2)


MOMENTS = {
    "in the middle of a shard": in_the_middle_of_a_shard,
    "before the ledger is closed": before_the_ledger_is_closed,
    "between ledger and stats": between_ledger_and_stats,
}

if os.environ.get(MOMENT):
    MOMENTS[os.environ[MOMENT]]()

if __name__ == "__main__":
    job = json.load(sys.stdin)
    os.environ[MOMENT] = job["at"] or ""
    download(**job["options"])
