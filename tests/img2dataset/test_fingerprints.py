"""Copies of a listed picture under img2dataset, looked at in the store, the tables and the ledger."""

from __future__ import annotations

import pytest

from heedful import fingerprint
from heedful.model import Action, Reason, Stage
from heedful.registry import Writer
from heedful.registry.entries import Entry, Kind
from heedful.testing import File, Site, Web, serve

from ..photographs import photograph, saved  # noqa: TID252

JPEG = (("Content-Type", "image/jpeg"),)


PHASH = fingerprint.read(saved(photograph(1), "PNG"))
COPY = "/mirror/untitled.jpg"
FREE = ["/2.jpg", "/3.jpg", "/4.jpg"]
TORN = "/torn.jpg"
SITE = {
    COPY: saved(photograph(1).resize((300, 225))),
    **{path: saved(photograph(seed)) for seed, path in enumerate(FREE, 2)},
    TORN: saved(photograph(6))[:-2000],
}


@pytest.fixture(scope="module")
def web():
    with serve(Web({"copies": Site({path: File(data, headers=JPEG) for path, data in SITE.items()})})) as web:
        yield web


@pytest.fixture
def downloaded(download, listed, web, tmp_path):
    """Download under a registry: what lies in the output folder, and img2dataset's rows by path."""

    def run(kind, text, **options):
        with Writer.build(tmp_path / "x.heed", source="test") as writer:
            writer.add(Entry(kind, text, "artists"))
        urls = {path: web.url("copies", path) for path in SITE}
        data, _ = download(
            listed(*urls.values()),
            heedful_registries=str(tmp_path / "x.heed"),
            image_size=256,
            **options,
        )
        rows = data.rows
        return data, {path: (rows[url]["status"], rows[url]["error_message"]) for path, url in urls.items()}

    return run


@pytest.mark.parametrize("resize", ["no", "keep_ratio"])
@pytest.mark.parametrize("output", ["files", "webdataset"])
def test_a_copy_elsewhere_is_not_stored(downloaded, web, resize, output):
    data, rows = downloaded(Kind.PHASH, f"{PHASH} 1.png", resize_mode=resize, output_format=output)
    assert rows == {
        COPY: ("skipped_opt_out", "registry.fingerprint"),
        **dict.fromkeys(FREE, ("success", None)),
        TORN: ("deferred_opt_out", "undetermined"),
    }
    pictures = [each for each in data.pictures if each.startswith(b"\xff\xd8")]
    assert len(pictures) == len(FREE)
    if resize == "no":
        seen = [fingerprint.read(each) for each in pictures]
        assert min(fingerprint.small_distance(each, PHASH) for each in seen) > fingerprint.SMALL_RADIUS
    record = data.by_url[web.url("copies", COPY)]
    assert (record.action, record.reason, record.stage) == (
        Action.SKIP,
        Reason.REGISTRY_FINGERPRINT,
        Stage.BODY,
    )
    (evidence,) = record.evidence
    assert evidence["raw"] == f"{PHASH} 1.png"
    assert evidence["rule"].startswith("opt-out, phash, distance ")


def test_without_fingerprints_in_the_registry_nothing_is_compared(downloaded, web):
    """What is torn is handed on; that its resizer cannot decode it is img2dataset's own word."""
    data, rows = downloaded(Kind.HOST, "other.example")
    assert rows == {
        **dict.fromkeys(SITE, ("success", None)),
        TORN: ("failed_to_resize", "Image decoding error"),
    }
    assert data.by_url[web.url("copies", COPY)].action is Action.STORE
