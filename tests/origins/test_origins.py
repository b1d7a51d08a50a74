from __future__ import annotations

import pytest

from heedful import OriginFile
from heedful.origins import FILE_MAX, REDIRECTS_MAX, Exchange, lifetime

ROBOTS = "http://a.example/robots.txt"


def run(*answers):
    """Play answers (status, location) to an exchange; the URLs asked and the file."""
    exchange = Exchange(ROBOTS)
    asked = []
    for status, location in answers:
        asked.append(exchange.next_url)
        headers = (("Location", location),) if location is not None else ()
        file = exchange.received(status, headers, b"User-agent: *\n", now=5.0)
        if file is not None:
            return asked, file
    raise AssertionError(f"goes on with {exchange.next_url}")


def hops(count):
    return [(302, f"/{number}") for number in range(count)]


CASES = {
    "an answer": ([(200, None)], 1, 200),
    "not there": ([(404, None)], 1, 404),
    "a server fault is retried once": ([(503, None), (503, None)], 2, 503),
    "and may be over": ([(503, None), (200, None)], 2, 200),
    "429 as well": ([(429, None), (429, None)], 2, 429),
    "one retry in all": ([(503, None), (302, "/b"), (500, None)], 3, 500),
    "a relative redirect": ([(301, "/r.txt"), (200, None)], 2, 200),
    "across hosts": ([(308, "https://b.example/x"), (200, None)], 2, 200),
    "five redirects": ([*hops(REDIRECTS_MAX), (200, None)], 6, 200),
    "six redirects are no file": (hops(REDIRECTS_MAX + 1), 6, 404),
    "a loop": ([(302, "/b"), (302, "/robots.txt")], 2, 404),
    "a loop by fragment": ([(302, "/robots.txt#x")], 1, 404),
    "no Location": ([(302, None)], 1, 404),
    "empty Location": ([(302, "  ")], 1, 404),
    "another scheme": ([(302, "ftp://a.example/robots.txt")], 1, 404),
    "a Location that is no URL": ([(302, "http://[")], 1, 404),
    "304 and 300 are no redirects": ([(304, "/x")], 1, 304),
}


@pytest.mark.parametrize(("answers", "asked", "status"), CASES.values(), ids=CASES)
def test_redirects(answers, asked, status):
    urls, file = run(*answers)
    assert (len(urls), file.status) == (asked, status)
    assert file.url == ROBOTS  # what was found governs the authority that was asked
    assert file.fetched == 5.0
    assert (file.body == b"") == (status == 404 and answers[-1][0] != 404)


def test_no_answer_is_given_another_chance_and_a_time_out_none():
    exchange = Exchange(ROBOTS)
    assert exchange.failed(now=0.0) is None
    assert exchange.next_url == ROBOTS
    file = exchange.failed(now=1.0)
    assert (file.url, file.status, file.body, file.fetched) == (ROBOTS, 0, b"", 1.0)
    assert Exchange(ROBOTS).failed(now=1.0, timed_out=True) == file


@pytest.mark.parametrize(
    ("size", "truncated", "says"),
    [(FILE_MAX, False, False), (FILE_MAX + 1, False, True), (3, True, True)],
    ids=["at the limit", "beyond it", "cut by the caller"],
)
def test_size(size, truncated, says):
    file = Exchange(ROBOTS).received(200, (), b"x" * size, now=0.0, truncated=truncated)
    assert file is not None
    assert len(file.body) == min(size, FILE_MAX)
    assert file.truncated is says


DAY, FLOOR, RETRY = 86400.0, 300.0, 300.0
LIFETIMES = {
    "a day without word": (200, [], DAY),
    "shorter by word": (200, ["public, max-age=3600"], 3600.0),
    "never longer than a day": (200, ["max-age=999999"], DAY),
    "a floor": (200, ["max-age=0"], FLOOR),
    "no-store": (200, ["no-store"], FLOOR),
    "no-cache beats max-age": (200, ["no-cache, max-age=7200"], FLOOR),
    "over two lines": (200, ["public", "max-age=7200"], 7200.0),
    "quoted": (200, ['max-age="7200"'], 7200.0),
    "s-maxage is not ours": (200, ["s-maxage=7200"], DAY),
    "junk": (200, ["max-age=soon"], DAY),
    "4xx as well": (404, ["max-age=3600"], 3600.0),
    "5xx is asked again soon": (500, ["max-age=3600"], RETRY),
    "429": (429, [], RETRY),
    "no answer": (0, [], RETRY),
}


@pytest.mark.parametrize(("status", "control", "seconds"), LIFETIMES.values(), ids=LIFETIMES)
def test_lifetime(status, control, seconds):
    headers = tuple(("cache-Control", value) for value in control)
    assert lifetime(OriginFile(ROBOTS, status, headers)) == seconds
