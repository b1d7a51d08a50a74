"""Opt-outs in the picture's own bytes, on the real engine."""

from __future__ import annotations

import gzip
import zlib

import pytest

from heedful import Action, Stage
from heedful.testing import File, Picture, Site, Web, embed, redirect, serve

JPEG = (("Content-Type", "image/jpeg"),)
DENY = embed.dmi_packet("DMI-PROHIBITED-AIMLTRAINING")
STORE = embed.training_mining_store({"cawg.ai_training": "notAllowed", "cawg.data_mining": "constrained"})
LARGE = 6_000_000


def web(**files):
    return Web({"a": Site({f"/{name.replace('_', '.')}": file for name, file in files.items()})})


def picture(number, *, headers=JPEG, chunked=False, **more):
    return File(Picture(number, **more), headers=headers, chunked=chunked)


CASES = {
    "XMP": (picture(1, xmp=DENY), "data-mining"),
    "C2PA": (picture(1, jumbf=STORE), "training-mining"),
    "PNG": (picture(1, format="PNG", xmp=DENY, headers=(("Content-Type", "image/png"),)), "data-mining"),
    "WebP": (picture(1, format="WEBP", jumbf=STORE), "training-mining"),
    "AVIF": (picture(1, format="AVIF", xmp=DENY), "data-mining"),
    "sent as text": (picture(1, xmp=DENY, headers=(("Content-Type", "text/plain"),)), "data-mining"),
    "without a length": (picture(1, xmp=DENY, chunked=True), "data-mining"),
    "compressed on the way": (
        File(
            gzip.compress(Picture(1, xmp=DENY).render(), mtime=0),
            headers=(*JPEG, ("Content-Encoding", "gzip")),
        ),
        "data-mining",
    ),
    "deflated, large": (
        File(
            zlib.compress(Picture(1, xmp=DENY, min_bytes=200_000).render(), 0),
            headers=(*JPEG, ("Content-Encoding", "deflate")),
        ),
        "data-mining",
    ),
}


@pytest.mark.parametrize("spider", ["Media", "Plain"])
@pytest.mark.parametrize(("file", "reason"), CASES.values(), ids=CASES)
def test_what_the_file_says_is_heeded(crawl, file, reason, spider):
    with serve(web(**{"1_jpg": file, "2_jpg": picture(2)})) as site:
        urls = [site.url("a", "/1.jpg"), site.url("a", "/2.jpg")]
        result = crawl(spider, urls=urls)
    said = {record.url: (record.action, record.reason and record.reason.value) for record in result.records}
    assert said == {urls[0]: (Action.SKIP, reason), urls[1]: (Action.STORE, None)}
    assert result.stored == ([2] if spider == "Media" else [])
    (skip,) = (record for record in result.records if record.action is Action.SKIP)
    assert skip.stage is Stage.BODY
    assert skip.evidence[0]["source_url"] == urls[0]
    assert "Traceback" not in result.log


def test_no_denied_body_is_cached(crawl, tmp_path):
    cache = tmp_path / "cache"
    files = {"1_jpg": picture(1, xmp=DENY), "2_jpg": picture(2, jumbf=STORE, min_bytes=200_000)}
    with serve(web(**files)) as site:
        urls = [site.url("a", "/1.jpg"), site.url("a", "/2.jpg")]
        result = crawl("Media", {"HTTPCACHE_ENABLED": True, "HTTPCACHE_DIR": str(cache)}, urls=urls)
    assert result.stored == []
    assert list(cache.rglob("response_body")) == []


def test_a_picture_behind_a_redirect_is_read(crawl):
    files = {"/1.jpg": redirect("{{b}}/2.jpg")}
    with serve(Web({"a": Site(files), "b": Site({"/2.jpg": picture(2, xmp=DENY)})})) as site:
        result = crawl("Media", urls=[site.url("a", "/1.jpg")])
        (record,) = result.records
        assert (record.url, record.hop_of) == (site.url("b", "/2.jpg"), site.url("a", "/1.jpg"))
    assert result.stored == []


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "no length"])
@pytest.mark.parametrize("more", [{"xmp": DENY}, {"jumbf": STORE}], ids=["XMP", "C2PA"])
def test_a_large_body_is_not_read_on_once_it_denies(crawl, more, chunked):
    with serve(web(**{"1_jpg": picture(1, min_bytes=LARGE, chunked=chunked, **more)})) as site:
        result = crawl("Media", urls=[site.url("a", "/1.jpg")])
        site.settle()
        (hit,) = site.hits("a", "/1.jpg")
    (record,) = result.records
    assert (record.action, record.stage, record.status) == (Action.SKIP, Stage.BODY, 200)
    assert 0 < record.bytes_read < LARGE / 3
    assert hit.body_bytes_sent < LARGE / 2
    if not chunked:
        assert record.bytes_avoided > LARGE / 2
        assert result.stats["heedful/bytes_avoided"] == record.bytes_avoided
    assert result.stored == []
    assert [line for line in result.log.splitlines() if "WARNING" in line or "ERROR" in line] == []


def test_in_an_audit_everything_is_read_and_stored(crawl):
    file = picture(1, xmp=DENY, min_bytes=300_000)
    with serve(web(**{"1_jpg": file})) as site:
        result = crawl("Media", {"HEEDFUL_AUDIT": True}, urls=[site.url("a", "/1.jpg")])
    assert result.stored == [1]
    (record,) = result.records
    assert (record.action, record.run.enforced) == (Action.SKIP, False)


def test_a_content_encoding_that_is_not_known_is_a_doubt(crawl):
    scrambled = File(
        bytes(byte ^ 0x55 for byte in Picture(1).render()), headers=(*JPEG, ("Content-Encoding", "x-mine"))
    )
    plain = picture(2, headers=(*JPEG, ("Content-Encoding", "none")))
    with serve(web(**{"1_jpg": scrambled, "2_jpg": plain})) as site:
        urls = [site.url("a", "/1.jpg"), site.url("a", "/2.jpg")]
        result = crawl("Plain", urls=urls)
    said = {
        record.url[-5]: (record.action, record.reason and record.reason.value) for record in result.records
    }
    assert said == {"1": (Action.DEFER, "undetermined"), "2": (Action.STORE, None)}


SIGNED = {
    "cawg.training-mining": {
        "entries": {"cawg.ai_training": {"use": "allowed"}, "cawg.ai_generative_training": {"use": "allowed"}}
    }
}


def test_under_opt_in_only_a_valid_signature_allows(crawl, c2pa_signed):
    data = c2pa_signed(Picture(1).render(), "image/jpeg", SIGNED)
    changed = bytearray(data)
    changed[-300] ^= 1
    files = {"1_jpg": File(data, headers=JPEG), "2_jpg": File(bytes(changed), headers=JPEG)}
    with serve(web(**files)) as site:
        urls = [site.url("a", "/1.jpg"), site.url("a", "/2.jpg")]
        result = crawl("Media", {"HEEDFUL_POLICY": "opt-in"}, urls=urls)
    said = {
        record.url[-5]: (record.action, record.reason and record.reason.value) for record in result.records
    }
    assert said == {"1": (Action.STORE, None), "2": (Action.SKIP, "no-opt-in")}
    assert result.stored == [1]
