"""img2dataset's other distributors, the real ones: the same gallery, the same result."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from heedful.ledger import LedgerReader
from heedful.model import Action
from heedful.testing import GALLERY, TOKEN, identify, serve

JOB = Path(__file__).parents[1] / "img2dataset" / "job.py"
SHARDS = 4
ENVIRONMENT = {
    "SPARK_LOCAL_IP": "127.0.0.1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@pytest.fixture(params=["pyspark", "ray"])
def distributor(request):
    pytest.importorskip(request.param, reason=f"{request.param} is not installed: make test-distributed")
    if request.param == "pyspark" and shutil.which("java") is None:
        pytest.skip("Spark needs Java 17 or newer")
    return request.param


@pytest.fixture
def run(distributor, tmp_path):
    """Download the gallery; what the run printed."""

    def run(gallery):
        urls = tmp_path / "urls.txt"
        urls.write_text("".join(f"{gallery.exhibit_url(exhibit)}\n" for exhibit in GALLERY.exhibits))
        options = {
            "url_list": str(urls),
            "output_folder": "data",
            "distributor": distributor,
            "processes_count": 2,
            "thread_count": 16,
            "number_sample_per_shard": -(-len(GALLERY.exhibits) // SHARDS),
            "subjob_size": 3,
            "image_size": 32,
            "resize_mode": "no",
            "timeout": 5,
            "heedful_token": TOKEN,
            "heedful_cache": "cache",
            "heedful_registries": [str(gallery.registry(tmp_path / "gallery.heed"))],
        }
        environment = {key: value for key, value in os.environ.items() if key != "PYSPARK_PYTHON"}
        return subprocess.run(
            [sys.executable, str(JOB)],
            input=json.dumps({"plain": False, "options": options}),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            cwd=tmp_path,
            env=environment | ENVIRONMENT,
        )

    return run


def said_by_pages(exhibit):
    """Of these, only their page says what is wished, which the list does not name."""
    return exhibit.name in {"page-meta", "page-header"}


def test_every_free_picture_is_stored_and_no_other(run, tmp_path):
    with serve() as gallery:
        done = run(gallery)
        assert done.returncode == 0, done.stdout + done.stderr
        urls = {gallery.exhibit_url(exhibit): exhibit for exhibit in GALLERY.exhibits}
        asked = [hit.site for hit in gallery.log if hit.path == "/robots.txt"]
        assert gallery.hits("listed-domain") == ()
    stored = sorted(identify(path) for path in (tmp_path / "data").rglob("*.jpg"))
    free = [e.id for e in GALLERY.exhibits if e.wanted["standard"] is Action.STORE or said_by_pages(e)]
    assert stored == sorted(free)
    reader = LedgerReader(str(tmp_path / "data" / "_heedful" / "ledger"))
    records = {record.hop_of or record.url: record for record in reader}
    assert reader.faults == []
    assert records.keys() == urls.keys()
    for url, exhibit in urls.items():
        if not said_by_pages(exhibit):
            assert (records[url].action, records[url].reason) == (exhibit.wanted["standard"], exhibit.reason)
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["shards"], summary["count"]) == (SHARDS, len(GALLERY.exhibits))
    again = {site for site in asked if asked.count(site) > 1}
    assert again <= {"robots-500", "robots-429", "robots-reset"}


def test_a_shard_that_fails_is_told_of_although_ray_drops_it(run, tmp_path):
    private = tmp_path / "data" / "_heedful"
    (private / "ledger").mkdir(parents=True)
    (private / "dataset").write_text("img2dataset-full")
    (private / "ledger" / "img2dataset-full-shard-00001.jsonl.part").symlink_to("/dev/full")
    with serve() as gallery:
        done = run(gallery)
    assert done.returncode == 1
    assert "UnfinishedError: Shard 1 is not done." in done.stderr
    assert not (tmp_path / "data" / "00001_stats.json").exists()
    assert len(list((tmp_path / "data").glob("*_stats.json"))) == SHARDS - 1
