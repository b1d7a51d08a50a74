"""Opening registries, and what happens to them while they are in use."""

from __future__ import annotations

import pickle
import random
import shutil
import subprocess
import sys
import threading

import pytest

from heedful.model import Purpose
from heedful.registry import OPTED_OUT, Registry, RegistryError, Writer
from heedful.registry import _registry as registries
from heedful.registry._plain import plain_key
from heedful.registry.entries import Entry, Kind, index

NOW = 2_000_000_000.0
URL = "https://a.example/1.jpg"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "x.heed"
    with Writer.build(folder, source="test", now=lambda: NOW - 100) as writer:
        writer.add_urls([URL, "https://b.example/x y.png"], list="artists")
        writer.add(Entry(Kind.DOMAIN, "c.example", "artists"))
        writer.add(Entry(Kind.PATTERN, "d.example/*/large/*.jpg$", "artists"))
        writer.add(Entry(Kind.SHA256, "ab" * 32, "artists"))
    return folder


def kinds(matches):
    return [match.entry.kind for match in matches]


def test_what_it_says_of_itself(folder):
    with Registry.open(folder, now=NOW) as registry:
        assert (registry.name, registry.version, registry.folder) == ("x", 1, folder)
        assert registry.has_digests
        assert registry.kinds[Kind.URL] == 2
        assert registry.manifest.source == "test"
        assert next(registry.entries()).text == URL


@pytest.mark.parametrize("verify", [True, False])
def test_any_byte_that_is_flipped_is_told_or_does_no_harm(folder, verify):
    """With checksums always told; a worker, which trusts its parent's, never says what is not there."""
    shutil.rmtree(folder.parent / "cache", ignore_errors=True)
    (folder / "VERIFIED.json").unlink(missing_ok=True)
    rng = random.Random(1)
    files = sorted(path for path in folder.glob("seg-*/*") if path.stat().st_size)
    assert {path.name for path in files} >= {"B", "E", "H", "K", "R", "T"}
    for path in files:
        whole = path.read_bytes()
        for place in rng.sample(range(len(whole)), min(len(whole), 12)):
            path.write_bytes(
                whole[:place] + bytes((whole[place] ^ 1 << rng.randrange(8),)) + whole[place + 1 :]
            )
            if verify:
                with pytest.raises(RegistryError, match="damaged"):
                    Registry.open(folder, now=NOW)
                continue
            try:
                with Registry.open(folder, now=NOW, verify=False) as registry:
                    assert registry.lookup("https://free.example/1.jpg") == []
                    assert kinds(registry.lookup(URL)) in ([], [Kind.URL])
            except RegistryError:
                pass
        path.write_bytes(whole)


@pytest.mark.parametrize("name", ["B", "E", "G", "H", "K", "R", "T"])
@pytest.mark.parametrize("verify", [True, False])
def test_a_file_that_is_cut_off_or_missing_is_told(folder, name, verify):
    (path,) = folder.glob(f"seg-*/{name}")
    whole = path.read_bytes()
    for change in ("cut", "longer", "gone"):
        path.write_bytes(whole[:-1] if change == "cut" else whole + b"\0")
        if change == "gone":
            path.unlink()
        if change == "cut" and not whole:
            continue
        with pytest.raises(RegistryError, match=r"damaged|cannot be read"):
            Registry.open(folder, now=NOW, verify=verify)
        path.write_bytes(whole)


def test_what_is_no_registry(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(RegistryError, match="is no registry"):
            Registry.open(place, now=NOW)


def test_it_expires_also_while_it_is_in_use(tmp_path, monkeypatch):
    folder = tmp_path / "x.heed"
    with Writer.build(folder, source="test", valid_until=NOW + 50, now=lambda: NOW) as writer:
        writer.add_urls([URL], list="l")
    with pytest.raises(RegistryError, match="has expired: it was valid until 2033"):
        Registry.open(folder, now=NOW + 50)
    with Registry.open(folder, now=NOW + 49) as registry:
        with pytest.raises(RegistryError, match="has expired"):
            registry.refresh(NOW + 51)
        with pytest.raises(RegistryError, match="has expired"):
            registry.lookup(URL)
        with Writer.update(folder, valid_until=NOW + 500, now=lambda: NOW + 60):
            pass
        assert registry.refresh(NOW + 61)
        assert kinds(registry.lookup(URL)) == [Kind.URL]


def test_signatures(tmp_path):
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    private, other = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    signed, bare = tmp_path / "signed.heed", tmp_path / "bare.heed"
    for folder, key in ((signed, private.private_bytes_raw()), (bare, None)):
        with Writer.build(folder, source="test", key=key) as writer:
            writer.add_urls([URL], list="l")
    with Registry.open(signed, now=NOW, key=public) as registry:
        again = pickle.loads(pickle.dumps(registry))  # noqa: S301 - our own
        assert kinds(again.lookup(URL)) == [Kind.URL]
        again.close()
    with pytest.raises(RegistryError, match="is not signed by the key given"):
        Registry.open(signed, now=NOW, key=other.public_key().public_bytes_raw())
    with pytest.raises(RegistryError, match="is not signed, but a key is given"):
        Registry.open(bare, now=NOW, key=public)


def test_a_new_version_is_taken_up_by_lookups_themselves(folder, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(registries.time, "monotonic", lambda: clock[0])
    with Registry.open(folder, now=NOW) as registry:
        with Writer.update(folder) as writer:
            writer.add_urls(["https://new.example/"], list="artists")
            writer.withdraw(Entry(Kind.URL, URL, "artists"))
        assert registry.lookup("https://new.example/") == []  # it has not looked yet
        clock[0] += registries.LOOK_EVERY
        assert kinds(registry.lookup("https://new.example/")) == [Kind.URL]
        assert registry.lookup(URL) == []
        assert registry.version == 2


def test_a_new_version_that_is_damaged_stops_all_until_there_is_a_good_one(folder):
    with Registry.open(folder, now=NOW) as registry:
        good = (folder / "MANIFEST.json").read_bytes()
        (folder / "MANIFEST.json").write_bytes(good[:-10])
        with pytest.raises(RegistryError, match="is damaged"):
            registry.refresh(NOW)
        with pytest.raises(RegistryError, match="is damaged"):
            registry.lookup(URL)
        (folder / "MANIFEST.json").unlink()
        with pytest.raises(RegistryError, match="cannot be read any more"):
            registry.refresh(NOW)
        (folder / "MANIFEST.json").write_bytes(good)
        assert registry.refresh(NOW)
        assert kinds(registry.lookup(URL)) == [Kind.URL]


def test_closed(folder):
    registry = Registry.open(folder, now=NOW)
    registry.close()
    registry.close()
    with pytest.raises(RegistryError, match="is closed"):
        registry.lookup(URL)


def test_another_process_opens_it_by_its_pickle(folder):
    with Registry.open(folder, now=NOW) as registry:
        data = pickle.dumps(registry)
    code = (
        "import pickle, sys; registry = pickle.load(sys.stdin.buffer);"
        f"print([match.entry.text for match in registry.lookup({URL!r})])"
    )
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    assert done.stdout.decode().strip() == repr([URL])


def test_batches(folder):
    pa = pytest.importorskip("pyarrow")
    urls = [
        *(URL, None, "https://x.c.example/", "https://free.example/", "", "not a url", "http://[bad"),
        *(
            "HTTP://B.example:80/x%20y.png",
            "https://d.example/q/large/1.jpg",
            "https://d.example/large/1.jpg",
        ),
    ]
    wanted = [1, 0, 1, 0, 0, 0, 0, 1, 1, 0]
    with Registry.open(folder, now=NOW) as registry:
        for given in (urls, pa.array(urls), pa.chunked_array([urls[:4], urls[4:]])):
            batch = registry.lookup_batch(given, purpose=Purpose.TRAIN_ANY, now=NOW)
            assert batch.decisions.tolist() == wanted
            assert sorted(batch.matches) == [place for place, said in enumerate(wanted) if said == OPTED_OUT]
        empty = registry.lookup_batch([], purpose=Purpose.TRAIN_ANY, now=NOW)
        assert (len(empty.decisions), empty.matches) == (0, {})


def test_what_cannot_be_parsed_is_matched_as_it_stands(tmp_path):
    folder = tmp_path / "x.heed"
    odd = ["http://[bad", "javascript:x", "a.example/no-scheme.jpg"]
    with Writer.build(folder, source="test") as writer:
        for text in odd:
            writer.add(Entry(Kind.URL, text, "l"))
    with Registry.open(folder, now=NOW) as registry:
        for text in (*odd, "https://a.example/no-scheme.jpg"):
            assert kinds(registry.lookup(text)) == [Kind.URL], text
        batch = registry.lookup_batch(odd, purpose=Purpose.TRAIN_ANY, now=NOW)
        assert batch.decisions.tolist() == [1, 1, 1]


def test_more_hosts_than_plans_are_kept(folder, monkeypatch):
    monkeypatch.setattr(registries, "PLANS_MAX", 4)
    with Registry.open(folder, now=NOW) as registry:
        for number in range(20):
            assert registry.lookup(f"https://h{number}.example/") == []
            assert kinds(registry.lookup(f"https://h{number}.c.example/")) == [Kind.DOMAIN]
        hosts = [f"https://h{number}.c.example/" for number in range(20)]
        assert set(registry.lookup_batch(hosts, purpose=Purpose.TRAIN_ANY, now=NOW).decisions) == {1}


@pytest.fixture
def eager_threads():
    """Threads take turns often: more chances for a mixture, and the writer is not kept waiting."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("eager_threads")
def test_threads_see_one_version_or_the_next(tmp_path):
    """The two URLs are listed in turn, never both, never none; all while versions follow each other."""
    folder = tmp_path / "x.heed"
    pair = [Entry(Kind.DOMAIN, "a.example", "l"), Entry(Kind.URL, "https://x.a.example/1", "l", opt_in=True)]
    with Writer.build(folder, source="test") as writer:
        writer.add(pair[0])
    faults, over = [], threading.Event()
    with Registry.open(folder, now=NOW) as registry:

        def look():
            while not over.is_set():
                found = [match.entry for match in registry.lookup("https://x.a.example/1")]
                if len(found) != 1:
                    faults.append(found)

        threads = [threading.Thread(target=look) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for turn in range(30):
                old, new = pair[turn % 2], pair[(turn + 1) % 2]
                with Writer.update(folder) as writer:
                    writer.withdraw(old)
                    writer.add(new)
                registry.refresh(NOW)
                assert registry.version == turn + 2
        finally:
            over.set()
            for thread in threads:
                thread.join()
    assert faults == []


PLAIN = {
    "https://a.example/b/c.jpg?d=1": True,
    "http://a.b.example/x%20y%C3%BC": True,
    "http://a.example/[1]?b[]=c?d": True,
    "https://a.example/b?'": False,
    "https://a.example/b|c": False,
    "https://a.example/x%2fy": False,
    "https://a.example/x%41": False,
    "https://a.example/../b": False,
    "https://a.example/%2e%2e/b": False,
    "https://a.example/b?": False,
    "https://a.example": False,
    "https://A.example/": False,
    "https://a.example:80/": False,
    "https://xn--a.example/": False,
    "https://1.2.3.4/": False,
    "https://a.example/b#c": False,
    "https://a.example/b\n": False,
}


@pytest.mark.parametrize(("url", "plain"), PLAIN.items())
def test_the_short_way_gives_the_same_key_or_none(url, plain):
    key = plain_key(url)
    assert (key is not None) == plain
    if plain:
        assert key == index(Kind.URL, url).key
