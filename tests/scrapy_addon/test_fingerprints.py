"""Copies of a listed picture on the real engine, with the real ImagesPipeline."""

from __future__ import annotations

import pytest
from PIL import Image

from heedful import Action, Stage, fingerprint
from heedful.registry import Writer
from heedful.registry.entries import Entry, Kind
from heedful.testing import File, Site, Web, serve

from ..photographs import photograph, saved  # noqa: TID252

JPEG = (("Content-Type", "image/jpeg"),)


PHASH = str(fingerprint.read(saved(photograph(1), "PNG")))
COPIES = {"/mirror/untitled.jpg": saved(photograph(1).resize((300, 225)))}
FREE = {f"/{seed}.jpg": saved(photograph(seed)) for seed in range(2, 6)}
FLAT = {"/flat.jpg": saved(Image.new("RGB", (64, 64), "navy"))}
TORN = {"/torn.jpg": saved(photograph(6))[:4000]}


@pytest.fixture(scope="module")
def web():
    found = COPIES | FREE | FLAT | TORN
    files = {path: File(data, headers=JPEG) for path, data in found.items()}
    with serve(Web({"copies": Site(files)})) as web:
        yield web


@pytest.fixture
def crawled(crawl, web, tmp_path):
    """Crawl pictures under a registry: which were stored, by their paths, and all else that came of it."""

    def run(paths, kind, text, **settings):
        with Writer.build(tmp_path / "x.heed", source="test") as writer:
            writer.add(Entry(kind, text, "artists"))
        urls = {web.url("copies", path): path for path in paths}
        settings = {"HEEDFUL_REGISTRIES": [str(tmp_path / "x.heed")], **settings}
        result = crawl("Media", settings, urls=list(urls))
        stored = {urls[image["url"]] for item in result.items for image in item.get("images", ())}
        assert len(stored) == sum(path.is_file() for path in (tmp_path / "store").rglob("*"))
        return stored, result

    return run


@pytest.mark.parametrize("cache", [False, True], ids=["", "with HttpCache"])
def test_a_copy_elsewhere_is_not_stored(crawled, tmp_path, cache):
    more = {"HTTPCACHE_ENABLED": cache, "HTTPCACHE_DIR": str(tmp_path / "http")}
    stored, result = crawled({**COPIES, **FREE, **FLAT}, Kind.PHASH, f"{PHASH} 1.png", **more)
    assert stored == {*FREE, *FLAT}
    assert result.stats["heedful/skip/registry.fingerprint"] == 1
    (record,) = [record for record in result.records if record.action is Action.SKIP]
    assert record.url.endswith("/mirror/untitled.jpg")
    assert (record.reason, record.stage) == ("registry.fingerprint", Stage.BODY)
    (evidence,) = record.evidence
    assert evidence["raw"] == f"{PHASH} 1.png"
    assert evidence["rule"].startswith("opt-out, phash, distance ")
    kept = [path.read_bytes() for path in (tmp_path / "http").rglob("response_body")]
    assert COPIES["/mirror/untitled.jpg"] not in kept
    assert (FREE["/2.jpg"] in kept) is cache
    assert "Traceback" not in result.log


def test_what_cannot_be_compared_is_deferred(crawled):
    stored, result = crawled({**FREE, **TORN}, Kind.PHASH, PHASH)
    assert stored == FREE.keys()
    assert result.stats["heedful/defer/undetermined"] == 1


def test_without_fingerprints_in_the_registry_it_is_handed_on(crawled):
    """The pipeline itself fails to decode it, as without heedful."""
    stored, result = crawled({**COPIES, **TORN}, Kind.HOST, "other.example")
    assert stored == COPIES.keys()
    assert result.stats["heedful/store"] == 2
