from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful import OriginFile
from heedful.origins import Entry, lifetime, stale
from heedful.origins.freshness import CLOCK_SKEW, LIFETIME_MAX, LIFETIME_MIN, RETRY_AFTER, STALE_MAX

URL = "http://a.example/robots.txt"
AT = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT
DATE = ("Date", "Fri, 15 Jan 2027 08:00:00 GMT")
LATER = "Fri, 15 Jan 2027 09:00:00 GMT"
DAY, MINUTES = LIFETIME_MAX, LIFETIME_MIN


def file(status=200, *headers, at=AT, body=b""):
    return OriginFile(URL, status, headers, body, at)


LIFETIMES = {
    "Age is spent already": ([("Cache-Control", "max-age=3600"), ("Age", "600")], 3000.0),
    "Age beyond max-age": ([("Cache-Control", "max-age=3600"), ("Age", "7200")], MINUTES),
    "Age is no number": ([("Cache-Control", "max-age=3600"), ("Age", "-5")], 3600.0),
    "Age alone": ([("Age", "7200")], DAY),
    "Expires": ([DATE, ("Expires", LATER)], 3600.0),
    "Expires by their clock, not by ours": (
        [("Date", "Fri, 15 Jan 2027 08:30:00 GMT"), ("Expires", LATER)],
        1800.0,
    ),
    "Expires without a Date": ([("expires", LATER)], 3600.0),
    "Expires in the past": ([DATE, ("Expires", "Thu, 19 Nov 1981 08:52:00 GMT")], MINUTES),
    "Expires is no date": ([DATE, ("Expires", "0")], MINUTES),
    "Expires is nonsense": ([DATE, ("Expires", "soon")], MINUTES),
    "Expires is very long": ([DATE, ("Expires", "9" * 5000)], MINUTES),
    "max-age beats Expires": ([DATE, ("Expires", LATER), ("Cache-Control", "max-age=600")], 600.0),
    "the first max-age": ([("Cache-Control", "max-age=600, max-age=900")], 600.0),
    "s-maxage is for shared caches": ([("Cache-Control", "s-maxage=600")], DAY),
    "no-store beats Expires": ([DATE, ("Expires", LATER), ("Cache-Control", "no-store")], MINUTES),
}


@pytest.mark.parametrize(("headers", "seconds"), LIFETIMES.values(), ids=LIFETIMES)
def test_what_a_server_says_of_it(headers, seconds):
    assert lifetime(file(200, *headers)) == seconds


RETRIES = {
    "nothing said": ([], RETRY_AFTER),
    "later": ([("Retry-After", "3600")], 3600.0),
    "at a date": ([DATE, ("Retry-After", LATER)], 3600.0),
    "sooner than we would": ([("Retry-After", "1")], RETRY_AFTER),
    "in the past": ([DATE, ("Retry-After", "Thu, 19 Nov 1981 08:52:00 GMT")], RETRY_AFTER),
    "in a year": ([("Retry-After", "31536000")], DAY),
    "nonsense": ([("Retry-After", "soon")], RETRY_AFTER),
    "Cache-Control says nothing of it": ([("Cache-Control", "max-age=3600")], RETRY_AFTER),
}


@pytest.mark.parametrize("status", [503, 429])
@pytest.mark.parametrize(("headers", "seconds"), RETRIES.values(), ids=RETRIES)
def test_when_a_failure_is_tried_again(status, headers, seconds):
    assert lifetime(file(status, *headers)) == seconds


@given(st.lists(st.tuples(st.sampled_from(["Cache-Control", "Expires", "Age", "Date"]), st.text())))
def test_any_headers_give_a_lifetime_within_bounds(headers):
    assert MINUTES <= lifetime(file(200, *headers)) <= DAY


@given(
    st.lists(st.tuples(st.sampled_from(["Retry-After", "Date"]), st.text())), st.sampled_from([0, 429, 503])
)
def test_any_failure_is_tried_again_within_bounds(headers, status):
    assert RETRY_AFTER <= lifetime(file(status, *headers)) <= DAY


OLD, GONE = file(), file(404)
STRICT = file(200, ("Cache-Control", "max-age=60, must-revalidate"))
FAILED = AT + 10 * DAY


def failure(status=503, at=FAILED):
    return file(status, at=at)


COPIES = {
    "nothing known": (Entry(), AT, None),
    "just fetched": (Entry(OLD), AT, OLD),
    "until a day is over": (Entry(OLD), AT + DAY - 1, OLD),
    "then it is asked for": (Entry(OLD), AT + DAY, None),
    "from a little in the future: another process's clock": (Entry(OLD), AT - CLOCK_SKEW, OLD),
    "from the future: the clock was set back": (Entry(OLD), AT - CLOCK_SKEW - 1, None),
    "there is none": (Entry(GONE), AT + 1, GONE),
    "a failure": (Entry(None, failure()), FAILED + 1, failure()),
    "a failure, later": (Entry(None, failure()), FAILED + RETRY_AFTER, None),
    "a failure from the future": (Entry(None, failure()), FAILED - CLOCK_SKEW - 1, None),
    "a failure, and a copy": (Entry(OLD, failure()), FAILED + 1, OLD),
    "a failure, and a copy: asked for again": (Entry(OLD, failure()), FAILED + RETRY_AFTER, None),
    "no answer, and a copy": (Entry(OLD, failure(0)), FAILED + 1, OLD),
    "a copy of 30 days": (Entry(OLD, failure(at=AT + STALE_MAX - 2)), AT + STALE_MAX - 1, OLD),
    "a copy that is older": (
        Entry(OLD, failure(at=AT + STALE_MAX)),
        AT + STALE_MAX,
        failure(at=AT + STALE_MAX),
    ),
    "there was none once": (Entry(GONE, failure()), FAILED + 1, failure()),
    "a copy that may not be used stale": (Entry(STRICT, failure()), FAILED + 1, failure()),
    "a failure while the copy is still fresh": (Entry(OLD, failure(at=AT + 5)), AT + 6, OLD),
    "a copy of unknown age": (Entry(file(at=None)), AT, None),
    "a copy of unknown age, and a failure": (Entry(file(at=None), failure()), FAILED, failure()),
}


@pytest.mark.parametrize(("entry", "now", "wanted"), COPIES.values(), ids=COPIES)
def test_what_is_used(entry, now, wanted):
    use = entry.use(now)
    assert (None if use is None else use.file) is wanted or (use is not None and use.file == wanted)
    if use is not None:
        assert use.holds(now)


def test_a_copy_is_not_used_beyond_its_end_although_the_failure_is_young():
    use = Entry(OLD, failure(at=AT + STALE_MAX - 100)).use(AT + STALE_MAX - 50)
    assert use is not None
    assert use.until == AT + STALE_MAX


def test_what_is_known_after_an_answer():
    entry = Entry(OLD)
    assert entry.after(failure()) == Entry(OLD, failure())
    assert entry.after(failure()).after(failure(0)) == Entry(OLD, failure(0))
    assert entry.after(failure()).after(GONE) == Entry(GONE)
    assert Entry().after(failure()) == Entry(None, failure())


def test_a_stale_copy_can_be_told():
    assert not stale(OLD, AT + DAY - 1)
    assert stale(OLD, AT + DAY)
    assert not stale(file(at=None), AT)


headers = st.lists(
    st.tuples(
        st.just("Cache-Control"),
        st.sampled_from(["no-store", "must-revalidate", "max-age=0", "max-age=9999"]),
    ),
    max_size=2,
)
times = st.integers(0, int(2 * STALE_MAX)).map(lambda seconds: AT + seconds)
files = st.builds(
    lambda status, headers, at: file(status, *headers, at=at),
    st.sampled_from([200, 404, 0, 429, 503]),
    headers,
    times,
)


@given(st.lists(files, max_size=4), times)
def test_what_is_used_is_never_older_than_it_may_be(fetched, now):
    entry = Entry()
    for each in fetched:
        entry = entry.after(each)
    use = entry.use(now)
    if use is None:
        return
    assert use.file in fetched
    assert now - use.file.fetched < (STALE_MAX if use.file.readable else DAY)
    if stale(use.file, now):
        assert use.file.readable
        assert entry.failure is not None
    if use.until - 1 > now:  # what is said to hold does
        assert entry.use(use.until - 1).file == use.file


def test_the_rules_open_nothing():
    script = (
        "import sys, heedful; before = set(sys.modules); import heedful.origins, heedful.origins.addresses;"
        "print(sorted({'socket', 'ssl', 'sqlite3', 'http.client'} & (set(sys.modules) - before)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.check_output([sys.executable, "-c", script], env=environment) == b"[]\n"
