"""Files that are made to be slow or to fill the memory; the benchmark, which has the same, tells the time."""

from __future__ import annotations

import runpy
import tracemalloc
from pathlib import Path

import pytest

from heedful.model import Preference, Source
from heedful.signals import embedded
from heedful.signals.embedded import OCTETS_MAX, PARTS_MAX, STATEMENTS_MAX, Watch, _c2pa, _xmp, read

BENCH = Path(__file__).parents[2] / "bench"
HOSTILE = runpy.run_path(str(BENCH / "hostile.py"))["HOSTILE"]
SOURCE = Source("https://a.example/picture")
MEMORY_MAX = 64_000_000


class Work:
    """What is handed to the readers of packets and stores."""

    def __init__(self, monkeypatch):
        self.parts = self.octets = 0
        monkeypatch.setattr(embedded._xmp, "read", self.counted(_xmp.read, lambda part: [part]))
        monkeypatch.setattr(embedded._c2pa, "read", self.counted(_c2pa.read, list))

    def counted(self, reader, parts):
        def counting(given, source):
            for part in parts(given):
                self.parts += 1
                self.octets += len(part.data)
            return reader(given, source)

        return counting


@pytest.mark.parametrize("name", HOSTILE)
def test_work_and_memory_are_bounded(name, monkeypatch):
    data = HOSTILE[name]()
    work = Work(monkeypatch)
    tracemalloc.start()
    try:
        found = read(data, SOURCE)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_MAX
    assert work.parts <= PARTS_MAX
    assert work.octets <= OCTETS_MAX
    assert len(found.reading.statements) <= 4 * STATEMENTS_MAX
    assert len(found.reading.warnings) <= STATEMENTS_MAX
    assert found.signed == ()
    assert Preference.ALLOW not in {statement.preference for statement in found.reading.statements}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_watch_does_no_more_than_a_few_times_that(name, monkeypatch):
    data = HOSTILE[name]()
    work = Work(monkeypatch)
    watch = Watch(SOURCE)
    for at in range(0, len(data), 16_384):
        watch.feed(data[at : at + 16_384])
    assert work.parts <= 2 * PARTS_MAX
    assert work.octets <= 2 * OCTETS_MAX
