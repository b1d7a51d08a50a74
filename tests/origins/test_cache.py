"""The cache on disk: it saves requests and never invents answers; a damaged file is no fault."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest

from heedful import OriginFile
from heedful import _sqlite as sqlite
from heedful.origins import FILE_MAX, Entry
from heedful.origins import cache as caching
from heedful.origins.cache import LEASE, OriginCache
from heedful.origins.freshness import CLOCK_SKEW, RETRY_AFTER, STALE_MAX

ROBOTS, OTHER = "http://a.example/robots.txt", "http://b.example/robots.txt"
AT = 1_800_000_000.0
BODY = b"User-agent: *\nDisallow: /art/\n"
NAME = "origin-files-v1-1.sqlite3"


def file(url=ROBOTS, status=200, body=BODY, headers=(("Content-Type", "text/plain"),), at=AT, **options):
    return OriginFile(url, status, headers, body, at, **options)


def digest(body):
    return hashlib.sha256(body).hexdigest()


FILES = {
    "a success": file(),
    "an empty one": file(body=b""),
    "a cut one": file(truncated=True),
    "as large as can be": file(body=os.urandom(FILE_MAX // 2) * 2),
    "octets of all kinds": file(body=bytes(range(256))),
    "no headers": file(headers=()),
    "headers twice, in any letters": file(headers=(("cache-control", "a"), ("CACHE-CONTROL", "\xe9"))),
    "none there": file(status=404, body=b""),
    "a redirect that leads nowhere": file(status=304, body=b""),
}


@pytest.mark.parametrize("kept", FILES.values(), ids=FILES)
def test_what_was_put_is_found(cache, kept):
    assert cache().put(kept) == Entry(kept)
    assert cache().get([ROBOTS, OTHER]) == {ROBOTS: Entry(kept)}


def test_a_failure_takes_no_answers_place(cache):
    kept = cache()
    failures = [
        file(status=503, body=b"", headers=(("Retry-After", "9"),)),
        file(status=0, body=b"", headers=()),
    ]
    assert kept.put(failures[0]) == Entry(None, failures[0])
    for failure in failures:
        kept.put(file())
        assert kept.put(failure) == Entry(file(), failure)
        assert cache().get([ROBOTS]) == {ROBOTS: Entry(file(), failure)}
    kept.put(file(status=404, body=b""))
    assert kept.get([ROBOTS]) == {ROBOTS: Entry(file(status=404, body=b""))}


def test_what_no_rule_reads_is_not_kept(cache):
    lines = (("Set-Cookie", "a=b"), ("Content-Type", "text/html"), ("Server", "x"))
    entry = cache().put(file(status=404, body=b"<h1>Not found</h1>", headers=lines))
    assert entry == Entry(file(status=404, body=b"", headers=lines[1:2]))
    assert cache().get([ROBOTS]) == {ROBOTS: entry}
    assert cache().snapshot(digest(b"<h1>Not found</h1>")) is None


def test_a_body_that_is_too_large_is_cut(cache):
    entry = cache().put(file(body=b"x" * (FILE_MAX + 1)))
    assert entry == Entry(file(body=b"x" * FILE_MAX, truncated=True))
    assert cache().get([ROBOTS]) == {ROBOTS: entry}


def test_when_it_was_fetched_must_be_known(cache):
    with pytest.raises(ValueError, match="does not say when"):
        cache().put(file(at=None))


def test_many(cache):
    kept = cache()
    urls = [f"https://{number}.example/robots.txt" for number in range(1000)]
    for url in urls:
        kept.put(file(url))
    assert cache().get([*urls, *urls, OTHER]) == {url: Entry(file(url)) for url in urls}


# -- snapshots -----------------------------------------------------------------------------------------------


def test_what_was_read_can_be_shown_later(cache):
    kept = cache()
    kept.put(file())
    kept.put(file(body=b"changed"))
    assert kept.snapshot(digest(BODY)) == BODY
    assert kept.snapshot(digest(b"changed").upper()) == b"changed"
    assert kept.snapshot(digest(b"")) == b""
    assert kept.snapshot(digest(b"never read")) is None


def test_what_is_no_hash(cache):
    with pytest.raises(ValueError, match="hex"):
        cache().snapshot("xyz")


# -- claims --------------------------------------------------------------------------------------------------


def test_one_at_a_time(cache):
    one, two = cache(), cache()
    assert one.claim(ROBOTS)
    assert not two.claim(ROBOTS)
    assert not one.claim(ROBOTS)
    assert two.claim(OTHER)
    two.release(ROBOTS)  # it is not its own
    assert not two.claim(ROBOTS)
    one.release(ROBOTS)
    assert two.claim(ROBOTS)
    two.put(file())
    assert one.claim(ROBOTS)


def test_a_claim_ends_by_itself(cache, clock):
    assert cache().claim(ROBOTS)
    clock.time += LEASE - 1
    assert not cache().claim(ROBOTS)
    clock.time += 1
    assert cache().claim(ROBOTS)
    assert not cache().claim(ROBOTS)


def test_a_clock_that_was_set_back_prolongs_no_claim(cache, clock):
    assert cache().claim(ROBOTS)
    clock.time -= CLOCK_SKEW
    assert not cache().claim(ROBOTS)  # another process's clock may be a little ahead
    clock.time -= 1
    assert cache().claim(ROBOTS)


CLAIM = """
import signal, sys
from pathlib import Path
from heedful.origins.cache import OriginCache

cache = OriginCache(Path(sys.argv[1]), now=lambda: 1_800_000_000.0)
print(cache.claim(sys.argv[2]), flush=True)
signal.pause()
"""


def test_a_process_that_was_killed_blocks_nobody_for_long(cache, clock, tmp_path):
    kept = cache()
    command = [sys.executable, "-c", CLAIM, str(tmp_path / "cache"), ROBOTS]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout.readline() == "True\n"
        assert not kept.claim(ROBOTS)
        process.send_signal(signal.SIGKILL)
    assert not kept.claim(ROBOTS)
    clock.time += LEASE
    assert kept.claim(ROBOTS)


def test_threads_share_it(cache):
    kept = cache()
    won = []
    start = threading.Barrier(16)

    def work(number):
        start.wait()
        for each in range(40):
            url = f"https://{each}.example/robots.txt"
            if kept.claim(url):
                won.append(url)
                kept.put(file(url, body=b"%d" % each))
            entry = kept.get([url]).get(url)
            assert entry is None or entry.answer.body == b"%d" % each

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(won)) == 40


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_it_is_carried_over_a_fork(cache):
    kept = cache()
    kept.put(file())
    assert kept.claim(OTHER)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            right = kept.get([ROBOTS]) == {ROBOTS: Entry(file())} and not kept.claim(OTHER)
            kept.put(file(OTHER))  # without a claim
            status = 0 if right and not kept.claim(OTHER) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert kept.get([ROBOTS, OTHER]) == {ROBOTS: Entry(file()), OTHER: Entry(file(OTHER))}


# -- hosts that do not answer --------------------------------------------------------------------------------


def test_a_host_that_does_not_answer_is_known_to_all(cache, clock):
    cache().silence("a.example:80", clock.time + RETRY_AFTER)
    assert cache().silent("a.example:80")
    assert not cache().silent("a.example:443")
    clock.time += RETRY_AFTER
    assert not cache().silent("a.example:80")
    clock.time -= 10 * 24 * 3600
    assert not cache().silent("a.example:80")  # the clock was set back


# -- size ----------------------------------------------------------------------------------------------------


def rows(tmp_path, table):
    connection = sqlite3.connect(tmp_path / "cache" / NAME)
    ((count,),) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()  # noqa: S608
    connection.close()
    return count


def test_what_no_rule_could_use_is_dropped(cache, clock, tmp_path):
    kept = cache()
    kept.put(file())
    kept.claim(OTHER)
    kept.silence("a.example:80", clock.time + 1)
    clock.time += STALE_MAX
    kept.put(file(OTHER, at=clock.time))
    assert set(cache().get([ROBOTS, OTHER])) == {OTHER}
    assert [rows(tmp_path, table) for table in ("claims", "silent", "files")] == [0, 0, 1]
    assert kept.snapshot(digest(BODY)) == BODY  # a ledger may speak of it


@pytest.fixture
def small(cache, monkeypatch):
    monkeypatch.setattr(caching, "PRUNE_EVERY", 8)
    monkeypatch.setattr(caching, "_PRUNED", 20)
    return cache(bytes_max=300_000)


def test_it_stays_small(small, clock, tmp_path):
    bodies = [os.urandom(300) if number % 4 == 0 else b"" for number in range(1600)]
    for number, body in enumerate(bodies):
        clock.time += 1
        small.put(file(f"https://{number}.example/", 200 if body else 404, body, at=clock.time))
    urls = [f"https://{number}.example/" for number in range(1600)]
    found = small.get(urls)
    assert set(found) == set(urls[-len(found) :])  # the newest
    shown = [small.snapshot(digest(body)) for body in bodies if body]
    count = sum(body is not None for body in shown)
    assert shown[-count:] == [body for body in bodies if body][-count:]
    assert 100 < len(found) < 4 * count  # evidence is kept longest
    small.close()
    assert (tmp_path / "cache" / NAME).stat().st_size < 450_000


def test_a_file_that_changes_often_does_not_drive_out_others(small, clock, tmp_path):
    urls = [f"https://{number}.example/robots.txt" for number in range(100)]
    for url in urls:
        small.put(file(url))
    bodies = [os.urandom(1000) for _ in range(600)]
    for body in bodies:
        clock.time += 1
        small.put(file(body=body, at=clock.time))
    assert set(small.get(urls)) == set(urls)
    assert [small.snapshot(digest(body)) for body in (bodies[0], bodies[-100])] == [None, bodies[-100]]
    small.close()
    assert (tmp_path / "cache" / NAME).stat().st_size < 450_000


# -- damage --------------------------------------------------------------------------------------------------


def change(path, sql):
    connection = sqlite3.connect(path)
    connection.execute(sql)
    connection.commit()
    connection.close()


def flip(path):
    data = bytearray(path.read_bytes())
    data[4096:] = (octet ^ 0xFF for octet in data[4096:])
    path.write_bytes(data)


DAMAGE = {
    "nonsense": lambda path: path.write_bytes(b"nonsense" * 1000),
    "empty": lambda path: path.write_bytes(b""),
    "flipped bits": flip,
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:9000]),
    "another status": lambda path: change(path, "UPDATE files SET status = 404"),
    "a younger file": lambda path: change(path, "UPDATE files SET fetched = fetched + 1000"),
    "another's file": lambda path: change(path, "UPDATE files SET url = url || 'x'"),
    "another type": lambda path: change(path, "UPDATE files SET headers = X'00'"),
    "another body": lambda path: change(path, "UPDATE snapshots SET body = X'28b52ffd0000000000'"),
    "a body that cannot be unpacked": lambda path: change(path, "UPDATE snapshots SET body = X'00'"),
    "a body that is text": lambda path: change(path, "UPDATE snapshots SET body = 'x'"),
    "no bodies": lambda path: change(path, "DELETE FROM snapshots"),
    "another table": lambda path: change(path, "ALTER TABLE files RENAME COLUMN status TO state"),
    "fewer columns": lambda path: change(path, "ALTER TABLE files DROP COLUMN seal"),
    "no tables": lambda path: change(path, "DROP TABLE files"),
}
URLS = [f"https://{number}.example/robots.txt" for number in range(300)]


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_set_aside(cache, tmp_path, caplog, damage):
    first = cache()
    for url in URLS:
        first.put(file(url, body=url.encode()))
    first.close()
    damage(tmp_path / "cache" / NAME)
    kept = cache()
    for _ in range(2):
        found = kept.get([*URLS, URLS[0] + "x"])
        assert all(entry == Entry(file(url, body=url.encode())) for url, entry in found.items())
    for url in URLS[:3]:
        kept.put(file(url))
        kept.put(file(url))
    assert cache().get(URLS[:3]) == {url: Entry(file(url)) for url in URLS[:3]}
    assert kept.claim(OTHER)
    assert not cache().claim(OTHER)
    damaged = [path for path in (tmp_path / "cache").iterdir() if path.suffix == ".damaged"]
    if damaged:
        assert {record.levelno for record in caplog.records} == {logging.WARNING}
        assert f"{NAME} are damaged (" in caplog.text
        assert (tmp_path / "cache" / NAME.replace("-1", "-2").replace("v2", "v1")).exists()
    else:  # what is left is what was written
        assert damage in (DAMAGE["empty"], DAMAGE["another table"], DAMAGE["no tables"])


def test_a_damaged_snapshot_is_not_shown(cache, tmp_path, caplog):
    cache().put(file())
    change(tmp_path / "cache" / NAME, "UPDATE snapshots SET body = X'28b52ffd200161000078'")
    assert cache().snapshot(digest(BODY)) is None
    assert "damaged" in caplog.text


def test_who_finds_it_damaged_does_not_disturb_others(cache, tmp_path):
    one, two = cache(), cache()
    one.put(file())
    assert two.get([ROBOTS]) != {}
    change(tmp_path / "cache" / NAME, "UPDATE files SET status = 404")
    three = cache()
    assert three.get([ROBOTS]) == {}
    three.put(file())
    assert one.get([ROBOTS]) == {}  # it still has the damaged one open, and finds that out
    assert one.get([ROBOTS]) == {ROBOTS: Entry(file())}
    assert three.get([ROBOTS]) == {ROBOTS: Entry(file())}


def test_a_disk_that_damages_all_is_given_up(cache, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(caching, "_seal", lambda _: os.urandom(8))
    kept = cache()
    for _ in range(sqlite.RENEWALS_MAX + 5):
        kept.put(file())
        assert kept.get([ROBOTS]) == {}
        assert kept.claim(ROBOTS)
        kept.release(ROBOTS)
    assert len(caplog.records) == sqlite.RENEWALS_MAX + 1
    assert len([path for path in (tmp_path / "cache").iterdir() if path.suffix == ".damaged"]) <= 2


def assert_of_no_use(kept):
    for _ in range(2):
        assert kept.put(file()) is None
        assert kept.get([ROBOTS]) == {}
        assert kept.claim(ROBOTS)  # who cannot know asks himself
        assert kept.claim(ROBOTS)
        assert kept.snapshot(digest(BODY)) is None
        kept.silence("a.example:80", AT + 1)
        assert not kept.silent("a.example:80")


def test_a_folder_that_cannot_be_written_is_told_once(tmp_path, clock, caplog):
    (tmp_path / "cache").write_bytes(b"")
    kept = OriginCache(tmp_path / "cache", now=clock.now)
    assert_of_no_use(kept)
    kept.close()
    (record,) = caplog.records
    assert "Origin files cannot be kept in" in record.getMessage()
    assert (tmp_path / "cache").read_bytes() == b""


def test_a_full_disk_is_no_fault(cache, tmp_path, caplog):
    kept = cache()
    kept.put(file())
    kept._file._connection.execute("PRAGMA max_page_count = 1")
    assert kept.put(file(OTHER, body=os.urandom(100_000))) is None
    assert "database or disk is full" in caplog.text
    assert kept.get([ROBOTS, OTHER]) == {ROBOTS: Entry(file())}
    assert kept.put(file(OTHER)) == Entry(file(OTHER))  # there is room again
    assert len(caplog.records) == 1
    assert [path for path in (tmp_path / "cache").iterdir() if path.suffix == ".damaged"] == []


def test_a_cache_that_is_locked_is_no_fault(cache, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(sqlite, "BUSY", 0.01)
    kept = cache()
    kept.put(file())
    other = sqlite3.connect(tmp_path / "cache" / NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert kept.put(file(OTHER)) is None
    assert kept.claim(OTHER)
    assert kept.get([ROBOTS, OTHER]) == {ROBOTS: Entry(file())}  # readers do not wait for writers
    other.execute("ROLLBACK")
    other.close()
    assert kept.put(file(OTHER)) is not None
    assert "database is locked" in caplog.text
    assert len(caplog.records) == 1


def test_a_writer_that_was_halted_halts_nobody(cache, tmp_path, monkeypatch, stopwatch):
    monkeypatch.setattr(sqlite, "BUSY", 0.5)
    monkeypatch.setattr(sqlite, "HURRY", 0.001)
    kept = cache()
    kept.put(file())
    halted = sqlite3.connect(tmp_path / "cache" / NAME, isolation_level=None)
    halted.execute("BEGIN IMMEDIATE")
    begin = stopwatch()
    for _ in range(20):
        assert kept.put(file(OTHER)) is None
        assert kept.get([ROBOTS]) == {ROBOTS: Entry(file())}
    assert 0.5 <= stopwatch() - begin < 5
    monkeypatch.setattr(sqlite, "HURRIED_FOR", 0)
    assert kept.put(file(OTHER)) is None
    halted.close()
    assert kept.put(file(OTHER)) is not None  # with patience again
    assert kept._file._hurried_until is None


OPEN = """
import sys
from pathlib import Path
from heedful import OriginFile
from heedful.origins.cache import OriginCache

print("ready", flush=True)
sys.stdin.readline()
cache = OriginCache(Path(sys.argv[1]), now=lambda: 1_800_000_000.0)
print(sum(cache.claim(f"https://{number}.example/") for number in range(100)), flush=True)
"""


def test_processes_that_make_it_at_the_same_time(tmp_path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, str(tmp_path / "cache")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    results = [process.communicate(timeout=60) for process in processes]
    assert [errors for _, errors in results] == [""] * 4
    assert sum(int(out) for out, _ in results) == 100


def test_after_closing_nothing_is_found_nor_kept(cache):
    kept = cache()
    kept.put(file())
    kept.close()
    assert_of_no_use(kept)
    assert cache().get([ROBOTS]) == {ROBOTS: Entry(file())}
