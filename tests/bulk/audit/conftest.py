from __future__ import annotations

import copy
import csv
import hashlib
import io
import json
import shutil
import signal
import tarfile
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from heedful.img2dataset import _shard
from heedful.ledger import LedgerReader
from heedful.registry import Writer
from heedful.registry.entries import Entry, Kind
from heedful.testing import File, Picture, Site, Web, embed, identify, redirect, serve

if TYPE_CHECKING:
    from pathlib import Path

MINED = embed.dmi_packet("DMI-PROHIBITED-AIMLTRAINING")

PICTURES = {
    **{f"/{number}.jpg": Picture(number) for number in range(1, 12) if number != 3},
    "/3.jpg": Picture(3, xmp=MINED),
    "/cdn/12.jpg": Picture(12),
}

WEB = Web(
    {
        "art": Site(
            {
                **{path: File(picture) for path, picture in PICTURES.items()},
                "/5.jpg": File(PICTURES["/5.jpg"], headers=(("TDM-Reservation", "1"),)),
                "/12.jpg": redirect("{{art}}/cdn/12.jpg"),
                "/robots.txt": File("User-agent: PictureBot\nDisallow: /6.jpg\nDisallow: /cdn/\n"),
            }
        )
    }
)
"""Twelve free pictures, as far as img2dataset and Scrapy by themselves know.

The third says in its bytes that it is not to be trained on, the fifth in its headers; of the sixth and the
twelfth robots.txt says so.
"""

OPTIONS = {
    "webdataset": {"output_format": "webdataset", "disable_all_reencoding": True, "compute_hash": "md5"},
    "files": {"output_format": "files", "encode_format": "png", "encode_quality": 1},
    "parquet": {"output_format": "parquet", "encode_format": "webp"},
    "jpg": {"output_format": "webdataset"},
}
"""What img2dataset is told, by the name of the dataset."""


class SilentLogger:
    """Stands in for img2dataset's logger, a process that takes seconds to start and only prints."""

    def __init__(self, *args):
        self.done_shards = set()

    def start(self):
        pass

    join = terminate = start


def in_this_process(processes_count, downloader, reader, subjob_size, max_shard_retry):
    """A distributor as img2dataset's own, but for the processes."""
    done = [copy.deepcopy(downloader)(row)[0] for row in reader]
    assert all(done)


@pytest.fixture(scope="session")
def web():
    with serve(WEB) as running:
        yield running


@pytest.fixture(scope="session")
def url(web):
    """The URL of a picture by its number, or name."""
    return lambda number: web.url("art", f"/{number}.jpg")


@pytest.fixture(scope="session")
def made(web, url, tmp_path_factory):
    """The datasets as img2dataset leaves them, by name; one row of each cannot be had."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _shard.quiet_albumentations():
            from heedful.img2dataset._download import img2dataset_main

            module = img2dataset_main()
            root = tmp_path_factory.mktemp("made")
            with (root / "list.csv").open("w", newline="") as file:
                rows = csv.writer(file)
                rows.writerow(["url", "text", "artist"])
                for number in (*range(1, 13), 99):
                    rows.writerow([url(number), f"caption {number}", f"artist {number}"])
            interrupt = signal.getsignal(signal.SIGINT)  # img2dataset leaves its own
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(module, "LoggerProcess", SilentLogger)
                patch.setattr(module, "multiprocessing_distributor", in_this_process)
                for name, options in OPTIONS.items():
                    download(module, root, name, options)
            signal.signal(signal.SIGINT, interrupt)
    return root


def download(module, root, name, options):
    module.download(
        url_list=str(root / "list.csv"),
        output_folder=str(root / name),
        **{
            "input_format": "csv",
            "caption_col": "text",
            "save_additional_columns": ["artist"],
            "number_sample_per_shard": 5,
            "image_size": 128,
            "thread_count": 1,
            "timeout": 5,
            **options,
        },
    )


@pytest.fixture
def dataset(made, tmp_path):
    """A copy of a dataset, times of change included."""

    def copied(name):
        shutil.copytree(made / name, tmp_path / name, copy_function=shutil.copy2)
        return Dataset(tmp_path / name)

    return copied


@pytest.fixture
def registry(tmp_path):
    """Build a registry of entries `(kind, text)` or `(kind, text, list)`."""

    def build(*entries, name="r.heed"):
        with Writer.build(tmp_path / name, source="test") as writer:
            for kind, text, *rest in entries:
                writer.add(Entry(Kind(kind), text, *(rest or ("artists",))))
        return str(tmp_path / name)

    return build


@dataclass(frozen=True)
class Dataset:
    """What lies in a folder."""

    folder: Path

    @property
    def numbers(self):
        """The numbers of all pictures in it, thumbnails too."""
        return sorted(number for number in map(identify, self._pictures()) if number is not None)

    def _pictures(self):
        for path in self.folder.rglob("*"):
            if path.suffix == ".tar":
                with tarfile.open(path) as tar:
                    yield from (tar.extractfile(member).read() for member in tar)
            elif path.suffix == ".parquet":
                table = pq.read_table(path)
                if "webp" in table.column_names:
                    yield from filter(None, table.column("webp").to_pylist())
            elif path.is_file():
                yield path.read_bytes()

    @property
    def rows(self):
        """img2dataset's rows by URL."""
        tables = sorted(self.folder.glob("*.parquet"))
        return {row["url"]: row for path in tables for row in pq.read_table(path).to_pylist()}

    def stats(self, shard="00000"):
        return json.loads((self.folder / f"{shard}_stats.json").read_text())

    @property
    def content(self):
        """The bytes of all files, by name, but for our own ones."""
        return {
            name: path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and not (name := str(path.relative_to(self.folder))).startswith("_heedful")
        }

    @property
    def state(self):
        """Times of change of all files, by name, but for our own ones."""
        return {
            name: path.stat().st_mtime_ns
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and not (name := str(path.relative_to(self.folder))).startswith("_heedful")
        }

    @property
    def everything(self):
        """All bytes, our own files and what is compressed or packed included, as far as it can be undone."""
        for path in self.folder.rglob("*"):
            if path.suffix == ".parquet":
                yield repr(pq.read_table(path).to_pylist()).encode()
            elif path.is_file():
                yield path.read_bytes()

    @property
    def records(self):
        reader = LedgerReader(str(self.folder / "_heedful" / "ledger"))
        records = list(reader)
        assert reader.faults == []
        return records

    @property
    def removed(self):
        """What our lists of removals say."""
        lists = sorted((self.folder / "_heedful").glob("removed-*.jsonl"))
        return [json.loads(line) for path in lists for line in path.read_text().splitlines()]


def sha1(url):
    return hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()


@pytest.fixture
def store(tmp_path, web):
    """A store as `heedful crawl` leaves it, with thumbnails: pictures 1 to 6, re-encoded."""
    root = tmp_path / "crawl"

    def put(path, picture, size=None):
        from PIL import Image

        path.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(io.BytesIO(picture.render())) as image:
            (image.resize(size) if size else image).save(path, "JPEG")

    lines = []
    for number in range(1, 7):
        url = web.url("art", f"/{number}.jpg")
        picture, name = PICTURES[f"/{number}.jpg"], f"{sha1(url)}.jpg"
        put(root / "images" / "full" / name, picture)
        put(root / "images" / "thumbs" / "small" / name, picture, (64, 64))
        image = {"url": url, "path": f"full/{name}", "checksum": "0" * 32, "status": "downloaded"}
        lines.append({"image_urls": [url], "alt": f"picture {number}", "images": [image]})
    (root / "images.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Dataset(root)
