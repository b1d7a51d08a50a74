"""The gallery's list, downloaded by the real img2dataset in real workers: the product's measure."""

from __future__ import annotations

import collections
import csv
import json
import random
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heedful.model import Action, Reason, Stage
from heedful.testing import GALLERY, TOKEN, Hit, serve

SAID_BY_PAGES = {"page-meta", "page-header"}
"""Exhibits of which only their page says what is wished."""


@dataclass(frozen=True)
class Run:
    """What came of a download of the gallery."""

    data: object
    summary: dict
    urls: dict
    log: tuple[Hit, ...]
    pages: bool
    again: tuple[Hit, ...] = ()


def page(gallery, exhibit):
    return gallery.url(exhibit.shown_on or exhibit.site)


def as_txt(path, gallery, exhibits):
    path.write_text("".join(f"{gallery.exhibit_url(exhibit)}\n" for exhibit in exhibits))
    return {}


def as_csv(path, gallery, exhibits):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["link", "found_on", "text"])
        for each in exhibits:
            writer.writerow([gallery.exhibit_url(each), page(gallery, each), each.name])
    return {"url_col": "link", "caption_col": "text", "heedful_page_col": "found_on"}


def as_parquet(path, gallery, exhibits):
    columns = {
        "url": [gallery.exhibit_url(each) for each in exhibits],
        "page": [page(gallery, each) for each in exhibits],
        "name": [each.name for each in exhibits],
    }
    pq.write_table(pa.table(columns), path)
    return {"heedful_page_col": "page", "save_additional_columns": ["name"], "heedful_tag": True}


FORMS = {"files": ("txt", as_txt), "webdataset": ("csv", as_csv), "parquet": ("parquet", as_parquet)}


@pytest.fixture(scope="session", params=FORMS)
def run(request, job, dataset, tmp_path_factory):
    output_format, (input_format, write) = request.param, FORMS[request.param]
    folder = tmp_path_factory.mktemp(output_format)
    exhibits = list(GALLERY.exhibits)
    random.Random(0).shuffle(exhibits)
    with serve() as gallery:
        options = {
            "url_list": f"urls.{input_format}",
            "input_format": input_format,
            "output_format": output_format,
            "output_folder": "data",
            "number_sample_per_shard": 40,
            "retries": 1,
            "heedful_registries": [str(gallery.registry(folder / "gallery.heed"))],
            **write(folder / f"urls.{input_format}", gallery, exhibits),
        }
        done = job(folder, **options)
        gallery.settle()
        log = gallery.log
        again = ()
        if output_format == "files":  # once more, with what the first run has learnt of origins
            job(folder, **options | {"output_folder": "again"})
            again = gallery.log[len(log) :]
        urls = {gallery.exhibit_url(exhibit): exhibit for exhibit in exhibits}
    summary = json.loads(done.stdout.splitlines()[-1])
    return Run(dataset(folder / "data"), summary, urls, log, input_format != "txt", again)


def wanted(run, exhibit):
    if not run.pages and exhibit.name in SAID_BY_PAGES:
        return Action.STORE, None
    return exhibit.wanted["standard"], exhibit.reason


def test_every_free_picture_is_stored_and_no_other(run):
    assert run.data.stored == sorted(
        exhibit.id for exhibit in run.urls.values() if wanted(run, exhibit)[0] is Action.STORE
    )


def test_each_row_has_one_record_and_it_is_right(run):
    records = run.data.by_url
    assert records.keys() == run.urls.keys()
    for url, exhibit in run.urls.items():
        record = records[url]
        assert (record.action, record.reason) == wanted(run, exhibit), exhibit.name
        if record.action is not Action.FAILED:
            assert record.registries == (("gallery", 1),)
        assert record.run.enforced
        assert record.run.crawler.startswith("img2dataset/1.4")
        assert record.run.token == TOKEN
        if record.action in {Action.SKIP, Action.DEFER}:
            assert record.evidence[0]["signal"] == record.reason, exhibit.name
    assert len({record.id for record in records.values()}) == len(records)


def test_tables_and_stats_agree_with_the_ledger(run):
    records, rows = run.data.by_url, run.data.rows
    counts = collections.Counter()
    for url, record in records.items():
        row = rows[url]
        expected = {Action.STORE: "success", Action.SKIP: "skipped_opt_out", Action.DEFER: "deferred_opt_out"}
        assert row["status"] == expected.get(record.action, "failed_to_download"), url
        if record.reason is not None:
            assert row["error_message"] == record.reason
        if "heedful_id" in row:
            assert (row["heedful_action"], row["heedful_reason"]) == (record.action, record.reason)
            assert row["heedful_id"] == record.id
            assert row["name"] == run.urls[url].name
        counts[record.action] += 1
    stats = run.data.stats.values()
    assert len(stats) == run.summary["shards"] == 4
    for key, action in [
        ("successes", Action.STORE),
        ("skipped_opt_out", Action.SKIP),
        ("deferred_opt_out", Action.DEFER),
    ]:
        assert sum(each[key] for each in stats) == counts[action]
    assert (
        sum(each["failed_to_download"] + each["failed_to_resize"] for each in stats) == counts[Action.FAILED]
    )
    assert [run.summary[key] for key in ("count", "stored", "skipped", "deferred", "failed")] == [
        len(GALLERY.exhibits),
        *(counts[action] for action in (Action.STORE, Action.SKIP, Action.DEFER, Action.FAILED)),
    ]
    assert sum(run.summary["reasons"].values()) == counts[Action.SKIP] + counts[Action.DEFER]


def test_nobody_is_contacted_in_vain(run):
    records = run.data.by_url
    for url, exhibit in run.urls.items():
        record = records[url]
        hits = [hit for hit in run.log if (hit.site, hit.path) == (exhibit.site, exhibit.path)]
        if record.stage in {Stage.URL, Stage.ORIGIN, Stage.PAGE} and record.hop_of is None:
            assert hits == [], exhibit.name
        elif record.action is Action.FAILED:
            assert len(hits) == 2, exhibit.name  # `retries` is 1
        else:
            assert len(hits) == 1, exhibit.name
        if exhibit.min_bytes > 1024 * 1024 and record.action is Action.SKIP and record.stage is Stage.HEADERS:
            assert hits[0].body_bytes_sent < exhibit.min_bytes / 2, exhibit.name
    assert not [hit for hit in run.log if hit.site == "listed-domain" and hit.path != "/"]
    agents = {dict(hit.headers)["User-Agent"] for hit in run.log}
    assert all(agent.startswith(f"{TOKEN} heedful/") for agent in agents)


def test_each_origin_is_asked_once_by_all_workers_together(run):
    for name in ("/robots.txt", "/.well-known/tdmrep.json"):
        asked = collections.Counter(hit.site for hit in run.log if hit.path == name)
        more = {site for site, count in asked.items() if count > 1}
        assert more <= {"robots-500", "robots-429", "robots-reset", "rights-down"}, (
            name
        )  # after a fault, once more


@pytest.mark.parametrize("run", ["files"], indirect=True)
def test_a_second_run_asks_no_origin(run):
    assert run.again
    files = {"/robots.txt", "/.well-known/tdmrep.json", "/ai.txt", "/trust.txt", "/.well-known/trust.txt"}
    assert [hit for hit in run.again if hit.path in files] == []


def test_plain_img2dataset_stores_what_was_opted_out(job, dataset, tmp_path):
    """The comparison: the same list, the same options, without us."""
    with serve() as gallery:
        as_txt(tmp_path / "urls.txt", gallery, GALLERY.exhibits)
        job(tmp_path, plain=True, url_list="urls.txt", output_folder="data", number_sample_per_shard=40)
    stored = set(dataset(tmp_path / "data").stored)
    refused = {
        exhibit.id: exhibit
        for action in (Action.SKIP, Action.DEFER)
        for exhibit in GALLERY.wanted("standard", action)
    }
    against = stored & refused.keys()
    assert len(against) > 0.8 * len(refused)
    reasons = {refused[number].reason for number in against}
    assert {Reason.ROBOTS_DISALLOW, Reason.TDMREP, Reason.REGISTRY_URL, Reason.DATA_MINING} <= reasons
