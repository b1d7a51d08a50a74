from __future__ import annotations

import pytest

from heedful.bulk.filter import filter_urls
from heedful.ledger import LedgerReader, verify

from .listed import built


@pytest.fixture(scope="session")
def artists(tmp_path_factory):
    """A registry."""
    return built(tmp_path_factory.mktemp("filter") / "tests.heed")


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
