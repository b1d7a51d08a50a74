"""Asking a remote registry over loopback: whatever it does, what it does not answer is unanswered."""

from __future__ import annotations

import gzip
import json
import logging
import os
import socket
import sys
import threading
from datetime import datetime, timezone
from email.utils import format_datetime
from itertools import pairwise

import pytest

from heedful import __version__
from heedful.errors import ConfigurationError
from heedful.registry.remote import Answer, RemoteConfig, RemoteRegistry, Unanswered
from heedful.registry.remote._client import ATTEMPTS, BACKOFF, RETRY_AFTER_MAX
from heedful.registry.remote._http import ANSWER_MAX
from heedful.registry.remote._pace import FAILURES_MAX, REST, REST_MAX, Limiter

A, B, C = (f"https://{name}.example/1.jpg" for name in "abc")


def said(answers):
    """Answers in a word each."""
    words = {}
    for url, answer in answers.items():
        if isinstance(answer, Unanswered):
            words[url] = answer.why
        else:
            words[url] = "out" if answer.opt_out else "in" if answer.opt_in else "not listed"
    return words


# -- what is sent --------------------------------------------------------------------------------------------


def test_what_spawnings_api_is_sent(server, remote, key):
    server.opted_out.add(B)
    answers = remote().ask([A, B])
    (asked,) = server.asked
    assert asked.body == f"{A}\n{B}".encode()
    assert asked.path == "/query"
    wanted = {
        "Authorization": f"API {key}",
        "Content-Type": "text/plain",
        "User-Agent": f"heedful/{__version__}",
        "Accept-Encoding": "identity",
    }
    assert {name: asked.headers[name] for name in wanted} == wanted
    assert said(answers) == {A: "not listed", B: "out"}


def test_what_other_registries_are_sent(server, remote, given, key):
    items = [{"about": {"url": A}, "out": True}, {"about": {"url": B}, "out": False}]
    server.reply = lambda _: given(json.dumps({"a": {"b": items}}).encode())
    registry = remote(
        protocol="json", items="a.b", url_field="about.url", opt_out_field="out", user_agent="Bot/1 (ü)"
    )
    assert said(registry.ask([A, B])) == {A: "out", B: "not listed"}
    (asked,) = server.asked
    assert json.loads(asked.body) == {"urls": [A, B]}
    assert asked.headers["Authorization"] == f"Bearer {key}"
    assert asked.headers["User-Agent"] == "Bot/1 (?)"


def test_without_a_key(server, remote, given):
    server.reply = lambda _: given(json.dumps([{"url": A, "out": True}]).encode())
    registry = remote(protocol="json", key_env=None, items="", opt_out_field="out", environ={})
    assert said(registry.ask([A])) == {A: "out"}
    assert "Authorization" not in server.asked[0].headers


def test_a_lone_url_is_asked_with_another_one(server, remote):
    server.opted_out.add(A)
    assert said(remote().ask([A])) == {A: "out"}
    assert server.asked[0].urls == [A, "https://example.com/"]
    remote().ask(["https://example.com/"])
    assert server.asked[1].urls == ["https://example.com/", "https://example.net/"]


def test_batches(server, remote):
    urls = [f"https://a.example/{n}.jpg" for n in range(2001)]
    server.opted_out.update(urls[::7])
    answers = remote().ask(urls)
    assert [len(asked.urls) for asked in server.asked] == [1000, 1000, 2]
    assert list(answers) == urls
    assert [url for url, word in said(answers).items() if word == "out"] == urls[::7]


def test_long_urls_make_smaller_batches(server, remote):
    urls = [f"https://a.example/{n}/" + "x" * 16_000 for n in range(100)]
    assert set(said(remote().ask(urls)).values()) == {"not listed"}
    assert [len(asked.urls) for asked in server.asked] == [65, 35]
    assert all(len(asked.body) <= 2**20 for asked in server.asked)


ODD = {
    "a fragment is not sent": (f"{A}#top", A),
    "nor a password": ("https://me:pw@a.example/x", "https://a.example/x"),
    "nor a line end": ("https://a.example/x\ny", "https://a.example/xy"),
    "white space is encoded": (" https://a.example/x y ", "https://a.example/x%20y"),
    "as it is written": ("HTTPS://A.example:443/%7Ex/../ü?", "HTTPS://A.example:443/%7Ex/../ü?"),
    "no URL": ("hello", None),
    "another scheme": ("ftp://a.example/", None),
    "half a character": ("https://a.example/\ud800", None),
    "too long": ("https://a.example/" + "x" * 20_000, None),
}


@pytest.mark.parametrize(("url", "text"), ODD.values(), ids=ODD)
def test_odd_urls(server, remote, url, text):
    answers = said(remote().ask([url, B]))
    assert answers[B] == "not listed"
    if text is None:
        assert answers[url] == "it is no http(s) URL"
        assert B in server.asked[0].urls
    else:
        assert answers[url] == "not listed"
        assert server.asked[0].urls == [text, B]


def test_nothing_is_asked_about_nothing(server, remote):
    assert remote().ask([]) == {}
    assert said(remote().ask(["x"])) == {"x": "it is no http(s) URL"}
    assert server.asked == []


# -- answers to be matched -----------------------------------------------------------------------------------

NOT = "it is missing in the answer"


def item(url, out=False, opted_in=False, **more):
    return {"url": url, "optOut": out, "optIn": opted_in, **more}


MATCHED = {
    "in another order": ([item(C), item(A, True), item(B)], ["out", "not listed", "not listed"]),
    "one is missing": ([item(A, True), item(C)], ["out", NOT, "not listed"]),
    "twice, and disagreeing": ([item(A), item(A, True), item(B)], ["out", "not listed", NOT]),
    "others": ([item("https://x.example/", True), item(A), item(B)], ["not listed", "not listed", NOT]),
    "other spellings": ([item("HTTPS://A.EXAMPLE:443/1.jpg#x", True), item(B)], ["out", "not listed", NOT]),
    "both": ([item(A, True, True), item(B, False, True), item(C)], ["out", "in", "not listed"]),
    "not said": ([{"url": A}, item(B, None), item(C, "true")], [NOT, NOT, NOT]),
    "a number": ([item(A, 1), item(B, 0), item(C, "")], [NOT, NOT, NOT]),
    "a doubt beside": ([item(A), item(A, "false"), item(B, True), item(B, 1)], [NOT, "out", NOT]),
    "opt-in not boolean": ([item(A, False, "true"), item(B, False, 1)], ["not listed", "not listed", NOT]),
    "no objects": ([None, 1, "x", [], {}, item(A, True)], ["out", NOT, NOT]),
    "url no text": ([{"url": [A], "optOut": False}, item(B)], [NOT, "not listed", NOT]),
}  # fmt: skip


@pytest.mark.parametrize(("items", "wanted"), MATCHED.values(), ids=MATCHED)
def test_answers_are_matched_by_url(server, remote, given, items, wanted):
    server.reply = lambda _: given(json.dumps({"urls": items}).encode())
    answers = list(said(remote().ask([A, B, C])).values())
    if set(wanted) == {NOT}:
        wanted = [answers[0] if answers[0] == "its answer is about other URLs" else NOT] * 3
    assert answers == wanted


def test_an_opt_out_of_one_spelling_holds_for_all(server, remote):
    other = "https://a.example:443/1.jpg"
    server.opted_out.add(A)
    server.opted_in.add(other)
    assert said(remote().ask([other, A])) == {other: "out", A: "out"}
    server.opted_out.clear()
    assert said(remote().ask([other, A])) == {other: "in", A: "not listed"}


# -- answers that are none -----------------------------------------------------------------------------------

GOOD = json.dumps({"urls": [item(A), item(B)]}).encode()
BAD = {
    "not JSON": ({"body": b"{"}, "its answer is not valid JSON"),
    "nothing": ({"body": b""}, "its answer is not valid JSON"),
    "HTML": ({"body": b"<html>"}, "its answer is not valid JSON"),
    "not UTF-8": ({"body": b'{"urls": ["\xff"]}'}, "its answer is not valid JSON"),
    "nested deeply": ({"body": b"[" * 200_000}, "its answer is not valid JSON"),
    "a huge number": ({"body": b'{"urls": [' + b"9" * 10_000 + b"]}"}, "its answer is not valid JSON"),
    "compressed": ({"body": gzip.compress(GOOD), "headers": {"Content-Encoding": "gzip"}}, "not valid JSON"),
    "ambiguous": (
        {"body": b'{"urls": [{"url": "%s", "optOut": true, "optOut": false}]}' % A.encode()},
        "with a name twice in one object",
    ),
    "two lists": ({"body": b'{"urls": [], "urls": []}'}, "with a name twice in one object"),
    "no list": ({"body": b'{"urls": {}}'}, "without a list of items"),
    "a list at the top": ({"body": b"[]"}, "without a list of items"),
    "empty": ({"body": b'{"urls": []}'}, "its answer is about other URLs"),
    "about others": ({"body": json.dumps({"urls": [item(C)]}).encode()}, "its answer is about other URLs"),
    "too long": ({"body": b" " * (ANSWER_MAX + 1)}, f"longer than {ANSWER_MAX} bytes"),
    "not found": ({"status": 404, "body": GOOD}, "it answers with status 404"),
    "bad request": ({"status": 400, "body": GOOD}, "it answers with status 400"),
    "accepted": ({"status": 202, "body": GOOD}, "it answers with status 202"),
    "a redirect to nowhere": ({"status": 302}, "it answers with status 302"),
}
AGAIN = {
    "an error": ({"status": 500, "body": GOOD}, "it answers with status 500"),
    "a gateway's": ({"status": 502, "body": GOOD}, "it answers with status 502"),
    "too slow": ({"status": 408}, "it answers with status 408"),
    "closed at once": ({"cut": True}, "the connection broke off"),
    "cut off": ({"body": GOOD, "length": len(GOOD) + 1}, "the connection broke off"),
    "busy": ({"status": 503}, "it answers with status 503"),
    "too many": ({"status": 429}, "it answers with status 429"),
    "Retry-After that says nothing": ({"status": 429, "headers": {"Retry-After": "soon"}}, "status 429"),
}


@pytest.mark.parametrize(("form", "why"), BAD.values(), ids=BAD)
def test_an_answer_that_is_none(server, remote, given, clock, caplog, form, why):
    server.reply = lambda _: given(**form)
    answers = remote().ask([A, B])
    assert all(isinstance(answer, Unanswered) and why in answer.why for answer in answers.values())
    assert len(server.asked) == 1
    assert clock.slept == []
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "The registry artists left 2 URLs unanswered" in record.getMessage()


@pytest.mark.parametrize(("form", "why"), AGAIN.values(), ids=AGAIN)
def test_it_is_tried_again(server, remote, given, clock, form, why):
    server.reply = lambda _: given(**form)
    answers = remote().ask([A, B])
    assert all(isinstance(answer, Unanswered) and why in answer.why for answer in answers.values())
    assert len(server.asked) == ATTEMPTS
    assert len({asked.body for asked in server.asked}) == 1
    for number, slept in enumerate(clock.slept):
        assert BACKOFF * 2**number <= slept <= 1.5 * BACKOFF * 2**number


@pytest.mark.parametrize(("form", "why"), AGAIN.values(), ids=AGAIN)
def test_it_recovers(server, remote, given, form, why, caplog):
    server.reply = lambda asked: given(**form) if asked.number < ATTEMPTS - 1 else server.honest(asked)
    assert said(remote().ask([A, B])) == {A: "not listed", B: "not listed"}
    assert caplog.records == []


def test_a_registry_that_never_answers(server, remote, given):
    server.reply = lambda _: given(stall=True)
    assert said(remote(timeout=0.1).ask([A, B])) == {A: "timed out", B: "timed out"}
    assert len(server.asked) == ATTEMPTS


def test_a_body_that_never_ends(server, remote, given, clock):
    """Each piece comes in time, all of them do not."""
    pieces = iter(range(100))

    def tick():
        next(pieces)
        clock.time += 1
        return clock.time

    registry = remote(timeout=20)
    registry._transport._clock = tick
    server.reply = lambda _: given(GOOD + b" " * 15 * 2**20)
    server.honest = server.reply
    assert said(registry.ask([A, B])) == {A: "timed out", B: "timed out"}


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_dead_registry(remote, clock, name):
    with socket.socket() as bound:  # bound, but nobody listens
        bound.bind(("127.0.0.1", 0))
        registry = remote(url=f"http://{name}:{bound.getsockname()[1]}/")
        assert set(said(registry.ask([A, B])).values()) == {"no connection"}
        assert len(clock.slept) >= ATTEMPTS - 1


# -- refusals, redirects -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_final(server, remote, given, caplog, key, status):
    server.reply = lambda _: given(status=status, body=key.encode())
    registry = remote(batch=2)
    answers = registry.ask([f"https://a.example/{n}" for n in range(10)])
    answers |= registry.ask([A])
    assert set(said(answers).values()) == {f"it refuses to answer (status {status})"}
    assert len(server.asked) == 1
    (error,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert "see whether the key in KEY is right" in error.getMessage()
    assert len(caplog.records) == 2  # the error, and how many URLs the first batch had
    assert key not in caplog.text


def test_a_refusal_without_a_key(server, remote, given, caplog):
    server.reply = lambda _: given(status=401)
    remote(protocol="json", key_env=None, opt_out_field="o", environ={}).ask([A])
    assert "it may want a key (key_env)" in caplog.text


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(server, elsewhere, remote, given, key, caplog, status):
    place = f"{elsewhere.url}?key={key}"
    server.reply = lambda _: given(status=status, headers={"Location": place})
    answers = remote().ask([A, B])
    assert set(said(answers).values()) == {
        f"it redirects to {elsewhere.url}?key=[key], which is not followed"
    }
    assert elsewhere.asked == []
    assert len(server.asked) == 1
    assert key not in caplog.text


# -- pace ----------------------------------------------------------------------------------------------------


def test_the_rate_is_kept(server, remote, clock):
    times = []

    def reply(asked):
        times.append(clock.time)
        return server.honest(asked)

    server.reply = reply
    remote(batch=2).ask([f"https://a.example/{n}" for n in range(200)])
    assert len(times) == 100
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert min(gaps) > 1 / 25 - 1e-6
    assert times[-1] - times[0] < 99 / 25 + 1e-3


def test_all_threads_together_keep_the_rate(clock):
    limiter = Limiter(25, clock.now, clock.sleep)
    turns = []
    threads = [
        threading.Thread(target=lambda: turns.extend(limiter.wait() for _ in range(50))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    turns.sort()
    assert len(turns) == 400
    assert all(b - a > 1 / 25 - 1e-6 for a, b in pairwise(turns))


def test_who_waits_for_a_turn_is_held_too(clock):
    limiter = Limiter(1, clock.now, clock.sleep)
    limiter.wait()
    start, calls = clock.time, []

    def sleep(seconds):
        if not calls:
            limiter.hold(30)  # while the turn is waited for, another thread is told to wait
        calls.append(seconds)
        clock.sleep(seconds)

    limiter._sleep = sleep
    assert limiter.wait() == start + 30


RETRIES = {
    "seconds": lambda _: "7",
    "a date": lambda now: format_datetime(datetime.fromtimestamp(now + 7, timezone.utc), usegmt=True),
}


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", RETRIES.values(), ids=RETRIES)
def test_retry_after_is_heeded(server, remote, given, clock, status, form):
    start = clock.time
    times = []

    def reply(asked):
        times.append(clock.time)
        if asked.number == 0:
            return given(status=status, headers={"Retry-After": form(clock.time)})
        return server.honest(asked)

    server.reply = reply
    assert said(remote().ask([A, B])) == {A: "not listed", B: "not listed"}
    assert times == [start, pytest.approx(start + 7)]


def test_a_retry_after_that_is_past(server, remote, given, clock):
    past = RETRIES["a date"](clock.time - 100)
    server.reply = lambda asked: (
        server.honest(asked) if asked.number else given(status=429, headers={"Retry-After": past})
    )
    assert said(remote().ask([A, B])) == {A: "not listed", B: "not listed"}
    assert sum(clock.slept) < 1


def test_after_a_long_retry_after_it_is_left_in_peace(server, remote, given, clock):
    seconds = RETRY_AFTER_MAX + 120
    server.reply = lambda _: given(status=429, headers={"Retry-After": f"{seconds:.0f}"})
    registry = remote()
    words = "it answers with status 429, and wants to be left for 180 s"
    assert said(registry.ask([A])) == {A: words}
    assert said(registry.ask([B])) == {B: "not asked: it failed too often"}
    clock.time += seconds - 1
    assert said(registry.ask([B])) == {B: "not asked: it failed too often"}
    assert len(server.asked) == 1
    server.reply = server.honest
    clock.time += 1
    assert said(registry.ask([B])) == {B: "not listed"}
    assert said(registry.ask([A])) == {A: "not listed"}


def test_no_rest_is_longer_than_an_hour(server, remote, given, clock):
    server.reply = lambda _: given(status=503, headers={"Retry-After": "9" * 400})
    registry = remote()
    registry.ask([A])
    server.reply = server.honest
    clock.time += REST_MAX
    assert said(registry.ask([A])) == {A: "not listed"}


def test_a_registry_that_fails_is_left_in_peace(server, remote, given, clock):
    server.reply = lambda _: given(b"?")
    registry = remote(batch=2)
    answers = list(said(registry.ask([f"https://a.example/{n}" for n in range(20)])).values())
    assert answers[: 2 * FAILURES_MAX] == ["its answer is not valid JSON"] * 2 * FAILURES_MAX
    assert set(answers[2 * FAILURES_MAX :]) == {"not asked: it failed too often"}
    assert len(server.asked) == FAILURES_MAX
    clock.time += REST + 1
    registry.ask([A])  # a single batch tries
    assert len(server.asked) == FAILURES_MAX + 1
    assert said(registry.ask([A])) == {A: "not asked: it failed too often"}
    clock.time += REST + 1
    server.reply = server.honest
    assert said(registry.ask([A])) == {A: "not listed"}


# -- threads and processes -----------------------------------------------------------------------------------


def test_threads_share_it(server, remote, tmp_path):
    server.opted_out.update(f"https://a.example/{n}/0" for n in range(16))
    registry = remote(cache=tmp_path)
    answers = {}

    def ask(number):
        for _ in range(3):
            answers.update(registry.ask([f"https://a.example/{number}/{n}" for n in range(5)]))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    words = said(answers)
    assert len(words) == 80
    assert {url for url, word in words.items() if word == "out"} == server.opted_out
    assert set(words.values()) == {"out", "not listed"}
    assert len(server.asked) == 16


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_fork_asks_on_connections_of_its_own(server, remote, tmp_path):
    server.opted_out.add(B)
    registry = remote(cache=tmp_path)
    registry.ask([A])
    transport, connection = registry._transport, registry._cache._file._connection
    assert connection is not None
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        try:
            words = said(registry.ask([A, B, C]))
            new = registry._transport is not transport
            os.write(writing, json.dumps([words, new]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        assert json.load(file) == [{A: "not listed", B: "out", C: "not listed"}, True]
    os.waitpid(child, 0)
    assert [asked.urls for asked in server.asked[1:]] == [[B, C]]  # A was in the cache
    assert said(registry.ask([A, B, C])) == {A: "not listed", B: "out", C: "not listed"}
    assert len(server.asked) == 2  # and what the child kept there is found by the parent
    assert registry._transport is transport


# -- the key -------------------------------------------------------------------------------------------------


def test_the_key_is_seen_nowhere(server, remote, given, key, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)

    def reply(asked):  # it repeats what it was sent
        return given(json.dumps({"urls": [item(A, True, said=asked.headers["Authorization"])]}).encode())

    server.reply = reply
    registry = remote(cache=tmp_path)
    answers = registry.ask([A, B])
    assert said(answers)[A] == "out"
    registry._cache.close()
    shown = [repr(registry), str(registry), repr(registry.config), repr(answers), caplog.text]
    shown.append(json.dumps(registry.config.as_dict()))
    assert not any(key in text for text in shown)
    files = list(tmp_path.iterdir())
    assert files
    assert not any(key.encode() in path.read_bytes() for path in files)


BAD_KEYS = {
    "none": ({}, "set the environment variable KEY to it"),
    "empty": ({"KEY": " \n"}, "set the environment variable KEY to it"),
    "two lines": ({"KEY": "hush\r\nX: y"}, "other than printable ASCII"),
    "not ASCII": ({"KEY": "hush\u00fc"}, "other than printable ASCII"),
}


@pytest.mark.parametrize(("environ", "words"), BAD_KEYS.values(), ids=BAD_KEYS)
def test_a_key_that_is_none(remote, environ, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        remote(environ=environ)
    assert "hush" not in str(caught.value)


def test_a_line_end_after_the_key_is_dropped(server, remote, key):
    remote(environ={"KEY": f"{key}\n"}).ask([A])
    assert server.asked[0].headers["Authorization"] == f"API {key}"


# -- library and proxies -------------------------------------------------------------------------------------


def test_the_extra_is_named(remote, monkeypatch):
    monkeypatch.delitem(sys.modules, "heedful.registry.remote._http")
    monkeypatch.setitem(sys.modules, "urllib3", None)
    with pytest.raises(ConfigurationError, match=r"needs urllib3: pip install 'heedful\[remote\]'"):
        remote()


@pytest.fixture
def proxy(elsewhere, monkeypatch):
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def use(url):
        monkeypatch.setenv("http_proxy", url)

    return use


OTHER = {
    "url": "http://registry.example/query",
    "protocol": "json",
    "key_env": None,
    "opt_out_field": "optOut",
}


@pytest.mark.parametrize("form", ["http://me:pass%20word@{}", "me:pass%20word@{}"])
def test_the_proxy_of_the_environment_is_used(server, elsewhere, remote, proxy, form):
    proxy(form.format(elsewhere.url.removeprefix("http://").removesuffix("/query")))
    elsewhere.opted_out.add(A)
    elsewhere.reply = lambda asked: elsewhere.honest(type(asked)({}, A.encode(), "", 0))
    assert said(remote(**OTHER).ask([A])) == {A: "out"}
    (asked,) = elsewhere.asked
    assert asked.path == "http://registry.example/query"
    assert asked.headers["Proxy-Authorization"] == "Basic bWU6cGFzcyB3b3Jk"


def test_no_proxy_sees_the_key_that_is_for_this_machine(server, elsewhere, remote, proxy):
    proxy(elsewhere.url)
    assert said(remote().ask([A])) == {A: "not listed"}
    assert elsewhere.asked == []


@pytest.mark.parametrize("url", ["socks5://me:hush@127.0.0.1:1", "http://me:hush@[::1", "http://"])
def test_a_proxy_that_cannot_be_used(remote, proxy, url):
    proxy(url)
    with pytest.raises(ConfigurationError, match="proxy that the environment names for http://") as caught:
        remote(**OTHER)
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_certificate_that_nobody_trusts(clock, server, given):
    """The handshake fails against a server that speaks no TLS; the key is not sent in plain."""
    config = RemoteConfig.parse(
        {"name": "x", "url": server.url.replace("http:", "https:"), "protocol": "spawning", "key_env": "KEY"}
    )
    with RemoteRegistry(
        config, cache=None, environ={"KEY": "k"}, now=clock.now, clock=clock.now, sleep=clock.sleep
    ) as registry:
        assert set(said(registry.ask([A])).values()) <= {
            "its certificate or TLS cannot be trusted",
            "the connection broke off",
        }
    assert server.asked == []


def test_when_it_was_answered(server, remote, clock):
    server.opted_out.add(A)
    answer = remote().ask([A])[A]
    assert isinstance(answer, Answer)
    assert answer.fetched == clock.time
    assert json.loads(answer.raw) == item(A, True)
