"""kill -9 at any moment, and readers that never see anything but whole versions."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from heedful.registry import _manifest, _verifying
from heedful.registry._errors import RegistryError
from heedful.registry._locking import LOCK
from heedful.registry._manifest import NAME
from heedful.registry._segment import Segment
from heedful.registry._verifying import STAMP, Verifier
from heedful.registry._writer import Writer, merge
from heedful.registry.entries import Entry, Kind

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork, no kill -9")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The user's cache folder, for this process and those that it starts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(_verifying, "user_cache_path", lambda name: tmp_path / "cache" / name)


def url(number):
    return f"https://host{number % 5}.example/{number}.jpg"


def texts_of(folder):
    """Version, and texts of all records by segment; everything is verified."""
    manifest = _manifest.read(folder)[0]
    Verifier(folder, stamping=False).check(manifest, anew=True)
    records = [list(Segment(folder / part.name).records()) for part in manifest.parts]
    return manifest.version, [[(each.withdrawal, each.entry.text) for each in part] for part in records]


# -- kill -9 -----------------------------------------------------------------------------------------------

KILLED = """
import os, shutil, signal, sys
from heedful.registry import _segment
from heedful.registry._heap import HeapWriter
from heedful.registry._writer import Writer, merge
from heedful.registry.entries import Entry, Kind

OPERATIONS = {"open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.utime", "mmap.__new__"}
_segment._BATCH = 16

def url(number):
    return f"https://host{number % 5}.example/{number}.jpg"

def entries():
    for number in range(100, 160):
        yield Entry(Kind.URL, url(number), "art")

def change(how, folder):
    if how == "merge":
        merge(folder)
        return
    with Writer.build(folder, source="new") if how == "build" else Writer.update(folder) as writer:
        if how == "update":
            writer.withdraw(Entry(Kind.URL, url(1), "art"))
        for entry in entries():
            writer.add(entry)

how, template, folders = sys.argv[1:]
step = 0
while True:
    folder = os.path.join(folders, str(step))
    if os.path.exists(template):
        shutil.copytree(template, folder)
    if (child := os.fork()) == 0:
        steps = 0

        def count(event, args=()):
            global steps
            if event in OPERATIONS:
                if steps == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                steps += 1

        def counted(call):
            def wrapped(*args):
                count("open")
                return call(*args)
            return wrapped

        os.fsync = counted(os.fsync)
        HeapWriter._write = counted(HeapWriter._write)
        sys.addaudithook(count)
        change(how, folder)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status == 0:
        break
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
    step += 1
print(step)
"""


@pytest.mark.parametrize("how", ["first build", "build", "update", "merge"])
def test_kill_9_before_any_operation(tmp_path, how):
    """The child dies before each thing it does to the disk: the registry is the old one or the new one, and
    the next writer works, and removes what was left.
    """
    template, folders = tmp_path / "template", tmp_path / "killed"
    folders.mkdir()
    old = None
    if how != "first build":
        with Writer.build(template, source="old") as writer:
            writer.add_urls([url(number) for number in range(20)], list="art")
        if how == "merge":
            with Writer.update(template) as writer:
                writer.withdraw(Entry(Kind.URL, url(1), "art"))
                writer.add_urls([url(20), url(2)], list="art")
        old = texts_of(template)
    command = [sys.executable, "-c", KILLED, how.removeprefix("first "), str(template), str(folders)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    steps = int(done.stdout)
    assert steps > 30
    new = texts_of(folders / str(steps))  # where nothing was killed
    assert new != old
    seen = []
    for step in range(steps):
        folder = folders / str(step)
        seen.append(_manifest.read(folder)[0].version if (folder / NAME).exists() else 0)
        if seen[-1]:
            assert texts_of(folder) in (old, new)
        assert_next_writer_works(folder, seen[-1])
    assert seen == sorted(seen)
    assert set(seen) == {0 if old is None else old[0], new[0]}  # some were killed after the step that counts


def assert_next_writer_works(folder, version):
    before = texts_of(folder)[1] if version else []
    change = Writer.update(folder) if version else Writer.build(folder, source="next")
    with change as writer:
        writer.add(Entry(Kind.URL, url(7), "next"))
    assert texts_of(folder) == (version + 1, [*before, [(False, url(7))]])
    named = {part.name for part in writer.manifest.parts}
    for path in folder.iterdir():
        replaced = path.name.startswith("seg-") and int(path.name.split("-")[1]) <= version
        assert path.name in {NAME, LOCK, STAMP, *named} or replaced
        if path.name in named:
            assert sorted(file.name for file in path.iterdir()) == ["B", "E", "G", "H", "K", "R", "T"]


WAITING = """
import sys
from heedful.registry import _segment
from heedful.registry._writer import Writer
_segment._BATCH = 4
with Writer.update(sys.argv[1]) as writer:
    for number in range(50):
        if number == 30:
            print("here", flush=True)
            sys.stdin.read()
        writer.add_urls([f"https://a.example/{number}"], list="art")
"""


def test_killed_from_outside_while_it_holds_the_lock(tmp_path):
    folder = tmp_path / "x.heed"
    with Writer.build(folder, source="old") as writer:
        writer.add_urls([url(1)], list="art")
    old = texts_of(folder)
    command = [sys.executable, "-c", WAITING, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "here\n"
        assert len(list(folder.glob("seg-*"))) == 2
        with pytest.raises(RegistryError, match="another process is changing it"):
            merge(folder)
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert texts_of(folder) == old
    assert_next_writer_works(folder, 1)


# -- readers -----------------------------------------------------------------------------------------------

READER = """
import json, select, sys, time
from pathlib import Path
from heedful.registry import Registry, _manifest
from heedful.registry._segment import Segment
from heedful.registry._verifying import Verifier

folder, mode = Path(sys.argv[1]), sys.argv[2]
checking = mode == "checking"
registry = Registry.open(folder, now=time.time()) if mode == "staying" else None

def read_again():
    registry.refresh(time.time())
    while True:
        version, texts = registry.version, [entry.text for entry in registry.entries()]
        if registry.version == version:  # it looks by itself, too
            return version, texts

def read():
    if registry:
        return read_again()
    manifest = _manifest.read(folder)[0]
    Verifier(folder, stamping=not checking).check(manifest, anew=checking)
    texts = []
    for part in manifest.parts:
        segment = Segment(folder / part.name)
        texts += [record.entry.text for record in segment.records()]
        segment.close()
    return manifest.version, texts

seen = {}
reads = 0
over = False
while True:
    version, texts = read()
    if seen.setdefault(version, texts) != texts:
        sys.exit(f"version {version} is {texts} and {seen[version]}")
    if reads == 0:
        print("ready", flush=True)
    reads += 1
    if over:
        break
    over = bool(select.select([sys.stdin], [], [], 0)[0])
json.dump({"reads": reads, "seen": seen}, sys.stdout)
"""


def versions():
    """Changes without end, and what is there after each."""
    for version in itertools.count(1, 4):
        texts = [url(version * 100 + number) for number in range(30)]
        yield ("build", texts, texts)
        for number in (1, 2):
            more = [url(version * 100 + number * 1000)]
            texts = texts + more
            yield ("update", more, texts)
        yield ("merge", [], texts)


def test_readers_of_other_processes_see_whole_versions(tmp_path):
    folder = tmp_path / "x.heed"
    wanted = {}
    changes = zip(itertools.count(1), versions(), strict=False)

    def step():
        version, (how, added, texts) = next(changes)
        if how == "merge":
            merge(folder)
        else:
            with Writer.build(folder, source="") if how == "build" else Writer.update(folder) as writer:
                writer.add_urls(added, list="art")
        wanted[str(version)] = texts

    step()
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, str(folder), mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for mode in ("checking", "trusting", "staying")
    ]
    try:
        for reader in readers:
            assert reader.stdout.readline() == "ready\n", reader.stderr.read()
        for _ in range(120):
            step()
        results = [reader.communicate("stop", timeout=60) for reader in readers]
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()
    for reader, (out, errors) in zip(readers, results, strict=True):
        assert reader.returncode == 0, errors
        found = json.loads(out)
        assert found["reads"] > 1
        assert "121" in found["seen"]
        assert found["seen"] == {version: wanted[version] for version in found["seen"]}


def test_a_reader_keeps_what_it_has_opened(tmp_path):
    """Though the folder is removed under it."""
    folder = tmp_path / "x.heed"
    with Writer.build(folder, source="") as writer:
        writer.add_urls([url(number) for number in range(500)], list="art")
    segment = Segment(folder / writer.manifest.parts[0].name)
    shutil.rmtree(folder)
    assert [record.entry.text for record in segment.records()] == [url(number) for number in range(500)]
