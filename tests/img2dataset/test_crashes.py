"""A run that is killed, and the same command again."""

from __future__ import annotations

import collections
import json
import signal
import subprocess
import sys
from pathlib import Path

from heedful.model import Action
from heedful.registry import Writer
from heedful.registry.entries import Entry, Kind
from heedful.testing import TOKEN, File, Picture, Site, Web, identify, serve

SCRIPT = Path(__file__).parent / "crashing.py"
MOMENTS = ("in the middle of a shard", "before the ledger is closed", "between ledger and stats")
JPEG = ("Content-Type", "image/jpeg")
COUNT, SHARD = 30, 10


def command(folder, options, at=None):
    return subprocess.run(
        [sys.executable, str(SCRIPT)],
        input=json.dumps({"at": at, "options": options}),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        start_new_session=True,
    )


def test_killed_at_three_moments_and_resumed(dataset, tmp_path):
    """Each row is recorded once in the end, and nothing is stored that is opted out by then."""
    site = {
        f"/{number}.jpg": File(
            Picture(number, "JPEG"), headers=(JPEG, *[("X-Robots-Tag", "noai")] * (number % 5 == 0))
        )
        for number in range(1, COUNT + 1)
    }
    data = dataset(tmp_path / "data")
    with serve(Web({"a": Site(site)})) as served:
        urls = [served.url("a", path) for path in site]
        (tmp_path / "urls.txt").write_text("".join(f"{url}\n" for url in urls))
        folder = tmp_path / "new.heed"
        with Writer.build(folder, source="tests") as writer:
            writer.add(Entry(Kind.URL, "http://nobody.example/", "artists", opt_in=False))
        options = {
            "url_list": "urls.txt",
            "output_folder": "data",
            "image_size": 32,
            "resize_mode": "no",
            "number_sample_per_shard": SHARD,
            "thread_count": 1,
            "processes_count": 1,
            "heedful_token": TOKEN,
            "heedful_cache": str(tmp_path / "cache"),
            "heedful_registries": [str(folder)],
        }
        listed = []
        for done_shards, moment in enumerate(MOMENTS):
            killed = command(tmp_path, options, at=moment)
            assert killed.returncode == -signal.SIGKILL, killed.stderr
            assert set(data.stats) == set(range(done_shards))
            ledgers = {path.name.rpartition("-")[2] for path in data.ledger.glob("*.jsonl")}
            assert ledgers >= {f"{shard:05d}.jsonl" for shard in data.stats}
            # Meanwhile, the owner of a picture that the shard has left opts out.
            left = [identify(path) for path in (data.folder / f"{done_shards:05d}").glob("*.jpg")]
            number = min(set(left) - set(listed))
            listed.append(number)
            with Writer.update(folder) as writer:
                writer.add(Entry(Kind.URL, served.url("a", f"/{number}.jpg"), "artists", opt_in=False))
        done = command(tmp_path, options)
        assert done.returncode == 0, done.stderr
    assert data.stored == [n for n in range(1, COUNT + 1) if n % 5 and n not in listed]
    records = data.by_url
    assert records.keys() == set(urls)
    skipped = collections.Counter(
        record.reason for record in records.values() if record.action is Action.SKIP
    )
    assert skipped == {"x-robots-tag": COUNT // 5, "registry.url": len(listed)}
    assert list(data.ledger.glob("*.part")) == []
    assert len(data.stats) == COUNT / SHARD
