from __future__ import annotations

import copy
import json
import subprocess
import sys
import tarfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from heedful.img2dataset import _shard
from heedful.ledger import LedgerReader
from heedful.testing import TOKEN, identify

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Dataset:
    """What lies in an output folder."""

    folder: Path

    @property
    def pictures(self):
        """Every file in the store that is a picture, wherever it lies, whatever the output format."""
        for path in self.folder.rglob("*"):
            if path.suffix == ".tar":
                with tarfile.open(path) as tar:
                    yield from (tar.extractfile(member).read() for member in tar if member.isfile())
            elif path.suffix == ".parquet":
                table = pq.read_table(path)
                if "jpg" in table.column_names:
                    yield from filter(None, table.column("jpg").to_pylist())
            elif path.is_file():
                yield path.read_bytes()

    @property
    def stored(self):
        """The numbers of the pictures in the store."""
        return sorted(found for found in map(identify, self.pictures) if found is not None)

    @property
    def rows(self):
        """img2dataset's own table, by URL."""
        rows = [
            row for path in sorted(self.folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()
        ]
        assert len({row["key"] for row in rows}) == len(rows)
        return {row["url"]: row for row in rows}

    @property
    def stats(self):
        """What each shard says of itself, by its number."""
        return {
            int(path.name.partition("_")[0]): json.loads(path.read_text())
            for path in self.folder.glob("*_stats.json")
        }

    @property
    def ledger(self):
        return self.folder / "_heedful" / "ledger"

    @property
    def records(self):
        reader = LedgerReader(str(self.ledger))
        records = list(reader)
        assert reader.faults == []
        return records

    @property
    def by_url(self):
        """The record of each row, by the URL that was asked for."""
        records = self.records
        found = {record.hop_of or record.url: record for record in records}
        assert len(found) == len(records)
        return found


@pytest.fixture(scope="session")
def dataset():
    """The class that looks into an output folder."""
    return Dataset


@pytest.fixture
def listed(tmp_path):
    """Write a list of URLs, one a line."""

    def write(*urls, name="urls.txt"):
        path = tmp_path / name
        path.write_text("".join(f"{url}\n" for url in urls), "utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def img2dataset():
    """img2dataset's module `main`; what it imports warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _shard.quiet_albumentations():
            from heedful.img2dataset._download import img2dataset_main

            return img2dataset_main()


class SilentLogger:
    """Stands in for img2dataset's logger, a process that takes seconds to start and only prints."""

    def __init__(self, *args):
        self.done_shards = set()

    def start(self):
        pass

    join = terminate = start


def in_this_process(processes_count, downloader, reader, subjob_size, max_shard_retry):
    """A distributor as img2dataset's own, but for the processes; what travels is packed as theirs is."""
    left = list(reader)
    for _ in range(1 + max_shard_retry):
        left = [row for done, row in map(copy.deepcopy(downloader), left) if not done]


@pytest.fixture
def download(img2dataset, monkeypatch, tmp_path):
    """Run `heedful.img2dataset.download` with its worker in this process: seconds faster, the same code."""
    from heedful.img2dataset import download

    monkeypatch.setattr(img2dataset, "LoggerProcess", SilentLogger)
    monkeypatch.setattr(img2dataset, "multiprocessing_distributor", in_this_process)

    def run(url_list, output=tmp_path / "data", **options):
        given = {
            "output_folder": str(output),
            "image_size": 32,
            "resize_mode": "no",
            "number_sample_per_shard": 100,
            "thread_count": 8,
            "timeout": 5,
            "heedful_token": TOKEN,
            "heedful_cache": str(tmp_path / "cache"),
            **options,
        }
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="img2dataset|webdataset")
            return Dataset(Path(output)), download(str(url_list), **given)

    yield run
    if _shard._Process._now is not None:
        _shard._Process._now.enforcer.close()
        _shard._Process._now = None


@pytest.fixture(scope="session")
def job():
    """Run a download in a process of its own, with real workers; the process's output and exit code."""

    def run(folder, *, plain=False, check=True, **options):
        given = {
            "image_size": 32,
            "resize_mode": "no",
            "thread_count": 16,
            "timeout": 5,
            "processes_count": 2,
            **({} if plain else {"heedful_token": TOKEN, "heedful_cache": str(folder / "cache")}),
            **options,
        }
        done = subprocess.run(
            [sys.executable, str(HERE / "job.py")],
            input=json.dumps({"plain": plain, "options": given}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=folder,
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run
