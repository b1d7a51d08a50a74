"""Answers on disk: they save requests, never invent answers, and a damaged file is no fault."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import subprocess
import sys

import pytest

from heedful import _sqlite
from heedful._sqlite import RENEWALS_MAX
from heedful.registry.remote import Answer, Unanswered
from heedful.registry.remote import _cache as caching
from heedful.registry.remote._cache import AnswerCache, Row

A, B = "https://a.example/1.jpg", "https://b.example/1.jpg"
FILE = "remote-answers-v1-1.sqlite3"
OUT = Answer(opt_out=True, opt_in=False, fetched=1_800_000_000.0, raw="{}")
NOT = Answer(opt_out=False, opt_in=False, fetched=1_800_000_000.0)


@pytest.fixture
def cache(tmp_path, clock):
    made = []

    def make(registry="artists", *, lifetime=100, folder=tmp_path, **options):
        made.append(AnswerCache(folder, registry, lifetime=lifetime, now=clock.now, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def rows(count, answer=NOT):
    return [Row(b"k%d" % number, f"text {number}", answer) for number in range(count)]


# -- through the client --------------------------------------------------------------------------------------


def test_what_was_answered_is_not_asked_again(server, remote, tmp_path):
    server.opted_out.add(A)
    first = remote(cache=tmp_path).ask([A, B])
    assert remote(cache=tmp_path).ask([A, B]) == first
    assert len(server.asked) == 1


def test_what_was_not_answered_is_asked_again(server, remote, given, tmp_path):
    server.reply = lambda _: given(json.dumps({"urls": server.items([A])}).encode())
    registry = remote(cache=tmp_path)
    assert isinstance(registry.ask([A, B])[B], Unanswered)
    server.reply = server.honest
    assert isinstance(registry.ask([A, B])[B], Answer)
    assert [asked.urls for asked in server.asked] == [[A, B], [B, "https://example.com/"]]


def test_answers_expire(server, remote, clock, tmp_path):
    registry = remote(cache=tmp_path, expires=60)
    registry.ask([A])
    clock.time += 59
    assert not registry.ask([A])[A].opt_out
    assert len(server.asked) == 1
    clock.time += 1
    server.opted_out.add(A)
    assert registry.ask([A])[A].opt_out
    assert len(server.asked) == 2


def test_nothing_is_kept_that_expires_at_once(server, remote, tmp_path):
    registry = remote(cache=tmp_path, expires=0)
    registry.ask([A])
    registry.ask([A])
    assert len(server.asked) == 2
    assert list(tmp_path.iterdir()) == []


def test_an_opt_out_that_is_kept_holds_for_other_spellings(server, remote, tmp_path):
    server.opted_out.add(A)
    registry = remote(cache=tmp_path)
    registry.ask([A, B])
    other = {A: A.replace("1", "%31"), B: B.replace("1", "%31")}
    answers = registry.ask(other.values())
    assert answers[other[A]].opt_out
    assert not answers[other[B]].opt_out
    assert [asked.urls[0] for asked in server.asked[1:]] == [other[B]]


SETTINGS = {
    "another name": ({"name": "other"}, 1),
    "other pace": ({"rate": 5, "timeout": 3, "batch": 7, "expires": 1000}, 1),
    "another protocol": ({"protocol": "json", "opt_out_field": "optOut"}, 2),
}


@pytest.mark.parametrize(("settings", "requests"), SETTINGS.values(), ids=SETTINGS)
def test_settings_that_change_what_answers_mean(server, remote, given, tmp_path, settings, requests):
    server.reply = lambda _: given(json.dumps({"urls": server.items([A])}).encode())
    remote(cache=tmp_path).ask([A])
    assert isinstance(remote(cache=tmp_path, **settings).ask([A])[A], Answer)
    assert len(server.asked) == requests


ASK = """
import json, sys
from pathlib import Path
from heedful.registry.remote import RemoteConfig, RemoteRegistry

table, folder, urls = json.loads(sys.argv[1])
with RemoteRegistry(RemoteConfig.parse(table), cache=Path(folder), now=lambda: 1_800_000_000.0) as registry:
    print(json.dumps({url: answer.opt_out for url, answer in registry.ask(urls).items()}))
"""


def test_processes_share_it(server, config, tmp_path):
    urls = [f"https://a.example/{number}" for number in range(300)]
    server.opted_out.update(urls[::3])
    table = {"name": "artists", "url": server.url, "protocol": "spawning", "key_env": "KEY", "batch": 50}
    wanted = {url: url in server.opted_out for url in urls}
    runs = [urls[:200], urls[100:]]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, json.dumps([table, str(tmp_path), run])],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "KEY": "k", "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for run in runs
    ]
    for process, run in zip(processes, runs, strict=True):
        out, errors = process.communicate(timeout=60)
        assert errors == ""
        assert json.loads(out) == {url: wanted[url] for url in run}
    asked = len(server.asked)
    assert 6 <= asked <= 8
    done = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps([table, str(tmp_path), urls])],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "KEY": "k", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert json.loads(done.stdout) == wanted
    assert len(server.asked) == asked


# -- by itself -----------------------------------------------------------------------------------------------


def test_many_rows(cache):
    kept = cache()
    kept.put(rows(5000, OUT))
    found = cache().get(b"k%d" % number for number in range(6000))
    assert found == {row.key: {row.text: OUT} for row in rows(5000)}


def test_registries_are_kept_apart(cache):
    cache("one").put(rows(1))
    assert cache("two").get([b"k0"]) == {}
    assert cache("one").get([b"k0"]) == {b"k0": {"text 0": NOT}}


def test_a_newer_answer_takes_the_place_of_an_older_one(cache):
    kept = cache()
    kept.put(rows(1, OUT))
    kept.put(rows(1, NOT))
    assert kept.get([b"k0"]) == {b"k0": {"text 0": NOT}}


@pytest.mark.parametrize("shift", [100, -1], ids=["expired", "the clock was set back"])
def test_rows_outside_of_their_time(cache, clock, shift):
    kept = cache()
    kept.put(rows(1))
    clock.time += shift
    assert kept.get([b"k0"]) == {}


def test_a_shorter_lifetime_counts_at_once(cache, clock):
    cache(lifetime=1000).put(rows(1))
    clock.time += 50
    assert cache(lifetime=50).get([b"k0"]) == {}
    assert cache(lifetime=51).get([b"k0"]) != {}


def test_it_stays_small(cache, clock, tmp_path, monkeypatch):
    monkeypatch.setattr(caching, "PRUNE_EVERY", 4)
    monkeypatch.setattr(caching, "_PRUNED", 100)
    kept = cache(bytes_max=200_000)
    for number in range(40):
        clock.time += 1
        answer = Answer(opt_out=True, opt_in=False, fetched=clock.time, raw="x" * 400)
        kept.put(Row(b"%d-%d" % (number, n), "text", answer) for n in range(50))
    kept.put([])
    assert kept.get([b"39-0"]) != {}
    assert kept.get([b"0-0"]) == {}
    kept.close()
    assert (tmp_path / FILE).stat().st_size < 400_000


def test_the_expired_is_dropped(cache, clock, tmp_path):
    cache().put(rows(500))
    clock.time += 101
    cache().close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        assert connection.execute("SELECT count(*) FROM answers").fetchone() == (0,)
    connection.close()


# -- damage --------------------------------------------------------------------------------------------------


def change(path, sql):
    connection = sqlite3.connect(path)
    connection.execute(sql)
    connection.commit()
    connection.close()


def overwrite(path):
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xaa" * (len(data) - 4096)
    path.write_bytes(data)


DAMAGE = {
    "nonsense": lambda path: path.write_bytes(b"nonsense" * 1000),
    "pages": overwrite,
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "an opt-out that became none": lambda path: change(path, "UPDATE answers SET opt_out = 0"),
    "a longer life": lambda path: change(path, "UPDATE answers SET expires = expires + 1000"),
    "another key": lambda path: change(path, "UPDATE answers SET key = CAST('k9' || key AS BLOB)"),
    "another type": lambda path: change(path, "UPDATE answers SET fetched = 'x', seal = X'00'"),
    "another table": lambda path: change(path, "ALTER TABLE answers RENAME COLUMN raw TO cooked"),
    "fewer columns": lambda path: change(path, "ALTER TABLE answers DROP COLUMN seal"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_set_aside(cache, tmp_path, caplog, damage):
    first = cache()
    first.put([Row(b"k0" if number == 0 else b"k%d" % number, "t", OUT) for number in range(300)])
    first.close()
    damage(tmp_path / FILE)
    kept = cache()
    answers = kept.get([b"k0", b"k1", b"k299", b"k9k1"])
    assert all(found == {"t": OUT} for found in answers.values())  # right, or none
    kept.put(rows(2, OUT))
    kept.put(rows(2, OUT))
    assert cache().get([b"k0"])[b"k0"]["text 0"] == OUT
    damaged = [path for path in tmp_path.iterdir() if path.suffix == ".damaged"]
    if damaged:
        assert caplog.records[0].levelno == logging.WARNING
        assert "are damaged" in caplog.text
        assert (tmp_path / "remote-answers-v1-2.sqlite3").exists()
    else:
        assert damage is DAMAGE["another table"]  # what stands in it is what was written


def test_who_finds_it_damaged_does_not_disturb_others(cache, tmp_path):
    one, two = cache(), cache()
    one.put(rows(1, OUT))
    assert two.get([b"k0"]) != {}
    two.close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("UPDATE answers SET opt_out = 0")
    connection.close()
    three = cache()
    assert three.get([b"k0"]) == {}
    three.put(rows(1, OUT))
    assert one.get([b"k0"]) == {}  # it still has the damaged one open, and finds that out
    assert one.get([b"k0"]) == {b"k0": {"text 0": OUT}}
    assert three.get([b"k0"]) == {b"k0": {"text 0": OUT}}


def test_a_disk_that_damages_all_is_given_up(cache, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(caching, "_seal", lambda _: os.urandom(8))
    kept = cache()
    for _ in range(RENEWALS_MAX + 5):
        kept.put(rows(1))
        assert kept.get([b"k0"]) == {}
    assert len(caplog.records) == RENEWALS_MAX + 1
    assert len([path for path in tmp_path.iterdir() if path.suffix == ".damaged"]) <= 2


def test_a_folder_that_cannot_be_written_is_told_once(server, remote, tmp_path, caplog):
    (tmp_path / "file").write_bytes(b"")
    registry = remote(cache=tmp_path / "file")
    server.opted_out.add(A)
    for _ in range(3):
        assert registry.ask([A])[A].opt_out
    assert len(server.asked) == 3
    (record,) = caplog.records
    assert "Registry answers cannot be kept in" in record.getMessage()
    assert (tmp_path / "file").read_bytes() == b""


def test_a_cache_that_is_locked_is_no_fault(cache, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(_sqlite, "BUSY", 0.01)
    kept = cache()
    kept.put(rows(1))
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    kept.put(rows(2))
    assert kept.get([b"k0", b"k1"]) == {b"k0": {"text 0": NOT}}  # readers do not wait for writers
    other.execute("ROLLBACK")
    other.close()
    kept.put(rows(2))
    assert kept.get([b"k1"]) != {}
    assert "database is locked" in caplog.text
    assert len(caplog.records) == 1
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".damaged"] == []


def test_after_closing_nothing_is_found_nor_kept(cache):
    kept = cache()
    kept.put(rows(1))
    kept.close()
    kept.put(rows(2))
    assert kept.get([b"k0"]) == {}
    assert cache().get([b"k0", b"k1"]) == {b"k0": {"text 0": NOT}}
