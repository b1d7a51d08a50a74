from __future__ import annotations

import itertools

import pytest

from heedful import Action, Evidence, Policy, Preference, Reason, Stage, Statement, Verdict
from heedful.ledger import LedgerWriter, Run
from heedful.ledger.tables import LedgerTables
from heedful.model import ParseWarning

pytest.importorskip("duckdb")
pytest.importorskip("jinja2")
pytest.importorskip("vl_convert")

START = 1_790_000_000.0  # 2026-09-21T14:13:20Z
DAY = 86_400
ROBOTS = "https://a.example/robots.txt"


def says(signal, *, raw="raw", where="line 1", source=ROBOTS, preference=Preference.DISALLOW, rule="rule"):
    return Statement(signal, preference, rule, Evidence(source, where, raw, "ab" * 32, START))


def listed(name, *, registry="artists", extra=""):
    where = f"list {name}{extra}"
    return says(Reason.REGISTRY_HOST, raw="a.example", where=where, source=f"registry {registry}")


def verdict(
    url, action, *statements, reasons=None, stage=Stage.ORIGIN, warnings=(), registries=(), overridden=()
):
    if reasons is None:
        reasons = tuple(dict.fromkeys(each.signal for each in statements))
    return Verdict(
        url,
        action,
        () if action is Action.STORE else reasons,
        stage,
        statements,
        overridden,
        warnings=warnings,
        registries=registries,
    )


@pytest.fixture
def ledger(tmp_path):
    """Write records into a ledger: a function of the run's particulars that gives its writer's `add`."""

    def write(*, folder="ledger", crawler="scrapy/2.19.0", enforced=True, step=1.0, start=START, worker="0"):
        run = Run.start(
            crawler=crawler, token="PictureBot", policy=Policy.load("standard"), enforced=enforced, now=start
        )
        times = itertools.count()
        writer = LedgerWriter(
            str(tmp_path / folder), run, worker=worker, clock=lambda: start + step * next(times)
        )

        def add(
            url, action, *statements, hop_of=None, status=None, read=0, avoided=None, error=None, **given
        ):
            decided = None if action is Action.FAILED else verdict(url, action, *statements, **given)
            return writer.record(
                url,
                action,
                decided,
                hop_of=hop_of,
                status=status,
                bytes_read=read,
                bytes_avoided=avoided,
                error=error,
            )

        return add

    write.path = str(tmp_path / "ledger")
    return write


@pytest.fixture
def small(ledger):
    """A ledger with one decision of each kind, over two days and two crawlers."""
    add = ledger()
    add(
        "https://a.example/1.jpg",
        Action.SKIP,
        listed("artists"),
        stage=Stage.URL,
        registries=(("artists", 3),),
    )
    allowed = says(Reason.CONTENT_USAGE, preference=Preference.ALLOW)
    both = (listed("artists", extra=", registered 2026-01-02, expires 2027-01-02"), listed("photographers"))
    add("https://A.example:8443/2.jpg", Action.SKIP, *both, stage=Stage.URL, registries=(("artists", 3),))
    noai = says(
        Reason.X_ROBOTS_TAG, raw="noai", where="header X-Robots-Tag", source="https://b.example/3.jpg"
    )
    add(
        "https://b.example/3.jpg",
        Action.SKIP,
        noai,
        stage=Stage.HEADERS,
        status=200,
        avoided=9000,
        overridden=(allowed,),
    )
    warning = ParseWarning(Reason.TDMREP, "not JSON", Evidence("https://b.example/tdmrep", "line 1", "{"))
    add("https://b.example/4.jpg", Action.STORE, stage=Stage.BODY, status=200, read=500, warnings=(warning,))
    timeout = says(Reason.ROBOTS_UNREACHABLE, preference=Preference.UNDETERMINED)
    add("https://c.example/5.jpg", Action.DEFER, timeout)
    add("https://c.example/6.jpg", Action.DEFER, timeout)
    add("https://d.example/7.jpg", Action.FAILED, error="timeout")
    later = ledger(crawler="img2dataset/1.47.0", start=START + DAY, worker="1")
    later("https://c.example/6.jpg", Action.STORE, stage=Stage.BODY, status=200, read=700)
    return ledger.path


@pytest.fixture
def tables(small):
    with LedgerTables(small) as opened:
        yield opened
