"""What lies in the store after a crawl of the gallery: the product's measure."""

from __future__ import annotations

import pytest

from heedful import Action, Reason, Stage
from heedful.testing import GALLERY, PROFILES, serve


@pytest.mark.parametrize("profile", PROFILES)
def test_every_free_picture_is_stored_and_no_other(crawl, tmp_path, profile):
    with serve() as gallery:
        settings = {
            "HEEDFUL_POLICY": profile,
            "HEEDFUL_REGISTRIES": [str(gallery.registry(tmp_path / "gallery.heed"))],
        }
        result = crawl("Images", settings, urls=[gallery.start_url])
        urls = {gallery.exhibit_url(exhibit): exhibit for exhibit in GALLERY.exhibits}
        gallery.settle()

        assert result.stored == sorted(exhibit.id for exhibit in GALLERY.wanted(profile, Action.STORE))

        records = {record.hop_of or record.url: record for record in result.records}
        assert records.keys() == urls.keys()
        assert len(records) == len(result.records)
        for url, exhibit in urls.items():
            record = records[url]
            assert record.action is exhibit.wanted[profile], exhibit.name
            assert record.run.enforced
            if profile == "standard":
                assert record.reason is exhibit.reason, exhibit.name
            if record.action in {Action.SKIP, Action.DEFER} and record.reason is not Reason.NO_OPT_IN:
                assert record.evidence, exhibit.name
                assert record.evidence[0]["signal"] == record.reason
                assert record.evidence[0]["fetched"] or record.reason.startswith("registry.")
            assert record.registries == (("gallery", 1),)

            # No contact where the origin's files or the page decide; no body read that is large.
            hits = gallery.hits(exhibit.site, exhibit.path)
            if record.stage in {Stage.URL, Stage.ORIGIN, Stage.PAGE} and record.hop_of is None:
                assert hits == (), exhibit.name
            else:
                assert len(hits) == 1, exhibit.name
            if exhibit.min_bytes > 1024 * 1024 and record.action is Action.SKIP:
                assert hits[0].body_bytes_sent < exhibit.min_bytes / 2, exhibit.name

        # One fetch of each origin file.
        files = [
            (hit.site, hit.path)
            for hit in gallery.log
            if hit.path in {"/robots.txt", "/.well-known/tdmrep.json"}
        ]
        again = {site for site in GALLERY.sites if files.count((site, "/robots.txt")) != 1}
        # retried once; not asked at all
        assert again <= {"robots-500", "robots-429", "robots-reset", "listed-domain"}
        assert gallery.hits("listed-domain") == ()


def test_stats_add_up(crawl, tmp_path):
    with serve() as gallery:
        settings = {"HEEDFUL_REGISTRIES": [str(gallery.registry(tmp_path / "gallery.heed"))]}
        result = crawl("Images", settings, urls=[gallery.start_url])
    stats = result.stats
    actions = {action: len(GALLERY.wanted("standard", action)) for action in Action}
    assert {action: stats[f"heedful/{action.value}"] for action in Action} == actions
    assert sum(n for key, n in stats.items() if key.startswith("heedful/skip/")) == actions[Action.SKIP]
    assert stats["heedful/defer/robots.unreachable"] == actions[Action.DEFER]
    assert stats["heedful/bytes_avoided"] > 1024 * 1024
    assert stats["heedful/origin_files/requests"] >= 2 * len(GALLERY.sites)
    assert stats["heedful/ledger"] == str(result.folder / "ledger")
