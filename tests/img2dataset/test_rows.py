"""What becomes of each row of a list, looked at in the store, the tables, the ledger and the server's log."""

from __future__ import annotations

import base64
import collections
import hashlib
import json
import threading
from importlib.util import find_spec

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from heedful.gate import Gate
from heedful.img2dataset._shard import REASONS, STATUS, TAGS
from heedful.model import Action, Reason, Stage
from heedful.registry import Writer
from heedful.registry.entries import Entry, Kind
from heedful.testing import Fault, File, Picture, Site, Web, redirect, serve

from ..remote import Remote  # noqa: TID252

JPEG = ("Content-Type", "image/jpeg")
NOAI = ("X-Robots-Tag", "noai")
CLOSED = File("User-agent: *\nDisallow: /\n")
HUGE = 3 * 512 * 1024


def web(**sites):
    return serve(Web({name: Site(files) for name, files in sites.items()}))


def picture(number, *headers, **options):
    return File(Picture(number, "JPEG", **options), headers=(JPEG, *headers))


def registry(folder, *entries):
    with Writer.build(folder, source="tests") as writer:
        for kind, text in entries:
            writer.add(Entry(kind, text, "artists", opt_in=False))
    return str(folder)


def table(folder, **columns):
    path = folder / "urls.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def status(row):
    return row["status"], row["error_message"]


def test_a_skip_is_never_tried_again_and_a_503_is(download, listed):
    site = {"/free.jpg": picture(1), "/noai.jpg": picture(2, NOAI), "/down.jpg": File(status=503)}
    with web(a=site, b={"/robots.txt": CLOSED, "/1.jpg": picture(3)}) as served:
        urls = [*(served.url("a", path) for path in site), served.url("b", "/1.jpg")]
        data, summary = download(listed(*urls), retries=3)
        assert [len(served.hits("a", path)) for path in site] == [1, 1, 4]
        assert served.hits("b", "/1.jpg") == ()
    assert data.stored == [1]
    rows = data.rows
    assert [status(rows[url]) for url in urls] == [
        ("success", None),
        ("skipped_opt_out", "x-robots-tag"),
        ("failed_to_download", "HTTP Error 503: Service Unavailable"),
        ("skipped_opt_out", "robots.disallow"),
    ]
    assert summary.as_dict() == {
        "shards": 1,
        "count": 4,
        "stored": 1,
        "skipped": 2,
        "deferred": 0,
        "failed": 1,
        "reasons": {"x-robots-tag": 1, "robots.disallow": 1},
        "ledger": str(data.ledger),
    }
    assert str(summary) == "heedful - stored: 0.250 - opted out: 0.500 - deferred: 0.000 - count: 4"
    (stats,) = data.stats.values()
    assert {key: stats[key] for key in ("count", "successes", "failed_to_download", "failed_to_resize")} == {
        "count": 4,
        "successes": 1,
        "failed_to_download": 1,
        "failed_to_resize": 0,
    }
    assert {key: stats[key] for key in STATUS.values()} == {"skipped_opt_out": 2, "deferred_opt_out": 0}
    assert stats[REASONS] == {"x-robots-tag": 1, "robots.disallow": 1}


def test_a_deferred_row_is_not_contacted_nor_tried_again(download, listed):
    with web(a={"/robots.txt": File(status=500), "/1.jpg": picture(1)}) as served:
        url = served.url("a", "/1.jpg")
        data, summary = download(listed(url), retries=3)
        assert served.hits("a", "/1.jpg") == ()
    assert data.stored == []
    assert status(data.rows[url]) == ("deferred_opt_out", "robots.unreachable")
    assert (summary.deferred, summary.skipped, summary.failed) == (1, 0, 0)
    assert data.by_url[url].action is Action.DEFER


def test_what_fails_at_first_and_is_stored_at_last_is_recorded_as_stored(download, listed, monkeypatch):
    answers = iter([File(status=503), File(fault=Fault.RESET), picture(1)])
    monkeypatch.setattr(Site, "find", lambda _, target: next(answers) if target == "/1.jpg" else None)
    with web(a={}) as served:
        url = served.url("a", "/1.jpg")
        data, summary = download(listed(url), retries=2)
    assert data.stored == [1]
    assert (data.by_url[url].action, data.by_url[url].error) == (Action.STORE, None)
    assert (summary.stored, summary.failed) == (1, 0)


# -- hops and bodies -----------------------------------------------------------------------------------------

HOPS = {
    "followed": ({}, "{{b}}/1.jpg", ("store", None, "b", 1)),
    "a redirect that says noai": ({"headers": (NOAI,)}, "{{b}}/1.jpg", ("skip", "x-robots-tag", "a", 0)),
    "to a site that disallows": ({}, "{{closed}}/1.jpg", ("skip", "robots.disallow", "closed", 0)),
    "to a registered URL": ({}, "{{listed}}/1.jpg", ("skip", "registry.host", "listed", 0)),
    "to a site that is down": ({}, "{{down}}/1.jpg", ("defer", "robots.unreachable", "down", 0)),
    "to a picture that says noai": ({}, "{{b}}/noai.jpg", ("skip", "x-robots-tag", "b", 1)),
    "in two steps": ({}, "{{b}}/next.jpg", ("skip", "robots.disallow", "closed", 0)),
    "308": ({"status": 308}, "{{closed}}/1.jpg", ("skip", "robots.disallow", "closed", 0)),
}


@pytest.fixture(scope="module")
def hops():
    with web(
        a={f"/{number}.jpg": redirect(to, **how) for number, (how, to, _) in enumerate(HOPS.values())},
        b={
            "/1.jpg": picture(1),
            "/noai.jpg": picture(2, NOAI),
            "/next.jpg": redirect("{{closed}}/2.jpg"),
        },
        closed={"/robots.txt": CLOSED, "/1.jpg": picture(3), "/2.jpg": picture(4)},
        listed={"/1.jpg": picture(5)},
        down={"/robots.txt": File(status=503), "/1.jpg": picture(6)},
    ) as served:
        yield served


def test_every_hop_is_judged_before_it_is_contacted(download, listed, hops, tmp_path):
    entries = registry(tmp_path / "r.heed", (Kind.HOST, hops.origin("listed")))
    urls = [hops.url("a", f"/{number}.jpg") for number in range(len(HOPS))]
    data, _ = download(listed(*urls), heedful_registries=[entries], retries=1)
    assert data.stored == [1]
    records = data.by_url
    for url, (name, (_, _, (action, reason, site, _))) in zip(urls, HOPS.items(), strict=True):
        record = records[url]
        assert (record.action, record.reason) == (action, reason), name
        assert record.url.startswith(hops.origin(site)), name
        assert record.hop_of == (None if record.url == url else url), name
        assert record.registries == (("r", 1),), name
    contacts = collections.Counter(hit.path for hit in hops.hits("a"))
    assert [contacts[f"/{number}.jpg"] for number in range(len(HOPS))] == [1] * len(HOPS)
    assert hops.hits("b", "/1.jpg")
    assert {hit.path for hit in hops.hits("closed")}.isdisjoint({"/1.jpg", "/2.jpg"})
    assert hops.hits("down", "/1.jpg") == ()
    assert hops.hits("listed") == ()


def test_the_body_of_a_large_picture_that_is_skipped_is_not_read(download, listed):
    site = {
        "/noai.jpg": picture(1, NOAI, min_bytes=HUGE),
        "/free.jpg": picture(2, min_bytes=HUGE),
        "/small.jpg": picture(3, NOAI),
    }
    with web(a=site) as served:
        data, _ = download(listed(*(served.url("a", path) for path in site)))
        served.settle()
        noai, free, small = (served.hits("a", path)[0].body_bytes_sent for path in site)
        records = [data.by_url[served.url("a", path)] for path in site]
    assert data.stored == [2]
    assert noai < HUGE / 2
    assert free >= HUGE
    assert (records[0].bytes_read, records[1].bytes_read) == (0, free)
    assert records[0].bytes_avoided > HUGE / 2
    assert (records[2].bytes_read, records[2].bytes_avoided) == (small, 0)


def test_what_is_registered_gets_no_request_at_all(download, listed, tmp_path):
    with web(a={"/1.jpg": picture(1)}, b={"/1.jpg": picture(2)}) as served:
        entries = registry(
            tmp_path / "r.heed", (Kind.HOST, served.origin("a")), (Kind.URL, served.url("b", "/1.jpg"))
        )
        urls = [served.url("a", "/1.jpg"), served.url("b", "/1.jpg")]
        data, _ = download(listed(*urls), heedful_registries=entries)
        assert served.log == ()
    assert [status(data.rows[url]) for url in urls] == [
        ("skipped_opt_out", "registry.host"),
        ("skipped_opt_out", "registry.url"),
    ]
    assert data.by_url[urls[0]].stage is Stage.URL


# -- strange rows --------------------------------------------------------------------------------------------


def test_only_http_is_fetched(download, listed, tmp_path):
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(Picture(1, "JPEG").render())
    data_url = "data:image/jpeg;base64," + base64.b64encode(secret.read_bytes()).decode()
    there = f"file://{secret}"
    ways = [there, f"FILE:{secret}", "ftp://127.0.0.1:9/1.jpg", data_url.replace(",", "%2C"), "jar:file:/x"]
    with web(
        a={
            "/1.jpg": redirect(there),
            "/2.jpg": redirect("ftp://127.0.0.1:9/1.jpg"),
            "/3.jpg": redirect(data_url),
        }
    ) as served:
        hops = [served.url("a", f"/{number}.jpg") for number in (1, 2, 3)]
        path = table(tmp_path, url=[*ways, data_url, *hops])
        data, summary = download(path, input_format="parquet", retries=1)
    assert data.stored == []
    assert summary.stored == 0
    assert summary.count == len(data.records) == len(ways) + 1 + len(hops)
    for url in (*ways, data_url):
        assert status(data.rows[url]) == ("deferred_opt_out", "undetermined"), url
    for url in hops:
        assert data.by_url[url].action in {Action.DEFER, Action.FAILED}, url


ODD = {
    "empty": "",
    "none": None,
    "blank": " ",
    "no scheme": "art.example/1.jpg",
    "words": "not a URL",
    "no host": "http://",
    "half an address": "http://[::1/1.jpg",
    "a port too high": "http://127.0.0.1:99999/1.jpg",
    "a space": "http://127.0.0.1:9/a b.jpg",
    "not ASCII": "http://127.0.0.1:9/\u00e4.jpg",
    "control characters": "http://127.0.0.1:9/\x1b[2J\r\nHost: x",
    "a nul": "http://127.0.0.1:9/\x00.jpg",
    "a name that is none": "http://\u2028/1.jpg",
    "nobody listens": "http://127.0.0.1:9/1.jpg",
    "very long": "http://127.0.0.1:9/" + "a" * 70_000,
}


def test_odd_rows_are_recorded_once_each_and_keep_no_other_from_being_stored(download, tmp_path):
    with web(a={"/1.jpg": picture(1), "/2.jpg": picture(2)}) as served:
        good = [served.url("a", "/1.jpg"), f" {served.url('a', '/2.jpg')}#top "]
        path = table(tmp_path, url=[good[0], *ODD.values(), good[1]])
        data, summary = download(path, input_format="parquet", retries=1)
    assert data.stored == [1, 2]
    assert (summary.count, summary.stored, len(data.records)) == (len(ODD) + 2, 2, len(ODD) + 2)
    rows = data.rows
    for name, url in ODD.items():
        assert rows[url]["status"] in {"failed_to_download", "deferred_opt_out"}, name


@pytest.mark.parametrize(
    "column", [pa.array([1, 2]), pa.array([None, None]), pa.array([b"x", b"y"])], ids=str
)
def test_a_column_that_holds_no_text_fails_row_by_row(download, tmp_path, column):
    _, summary = download(table(tmp_path, url=column), input_format="parquet")
    assert (summary.count, summary.failed + summary.deferred) == (2, 2)


def test_rows_that_stand_twice_are_two_rows(download, listed):
    with web(a={"/1.jpg": picture(1), "/2.jpg": picture(2, NOAI)}) as served:
        urls = [served.url("a", f"/{number}.jpg") for number in (1, 2, 1, 2)]
        data, summary = download(listed(*urls))
    assert data.stored == [1, 1]
    assert (summary.stored, summary.skipped, len(data.records)) == (2, 2, 4)


# -- pages ---------------------------------------------------------------------------------------------------


def test_what_the_page_says_counts(download, tmp_path):
    html = ("Content-Type", "text/html")
    pictures = {f"/{number}.jpg": picture(number) for number in range(1, 10)}
    sites = {
        "art": pictures,
        "meta": {"/": File('<meta name="robots" content="noai">', headers=(html,))},
        "header": {"/": File("<p>", headers=(html, NOAI))},
        "free": {"/": File("<p>", headers=(html,))},
        "down": {"/": File(status=503)},
        "gone": {},
        "closed": {"/robots.txt": CLOSED, "/": File("<p>", headers=(html,))},
        "listed": {"/": File("<p>", headers=(html,))},
    }
    with web(**sites) as served:
        cases = [
            ("meta", "skip", "meta-robots"),
            ("header", "skip", "x-robots-tag"),
            ("free", "store", None),
            ("gone", "store", None),
            ("down", "defer", "undetermined"),
            ("closed", "defer", "undetermined"),
            (None, "store", None),
        ]
        urls = [served.url("art", f"/{number}.jpg") for number in range(1, len(cases) + 1)]
        pages = [site and served.url(site) for site, _, _ in cases]
        registered = served.url("art", "/9.jpg")
        path = table(
            tmp_path, url=[*urls, registered], page=[*pages, served.url("listed")], caption=["x"] * 8
        )
        data, _ = download(
            path,
            input_format="parquet",
            caption_col="caption",
            retries=2,
            heedful_page_col="page",
            heedful_registries=[registry(tmp_path / "r.heed", (Kind.URL, registered))],
        )
        assert served.hits("listed") == ()
        assert served.hits("closed", "/") == ()
        assert [len(served.hits(site, "/")) for site in ("meta", "header", "free", "gone")] == [1, 1, 1, 1]
        contacted = {hit.path for hit in served.hits("art")} & pictures.keys()
        assert contacted == {"/3.jpg", "/4.jpg", "/7.jpg"}
    records, rows = data.by_url, data.rows
    for url, page, (site, action, reason) in zip(urls, pages, cases, strict=True):
        assert (records[url].action, records[url].reason) == (action, reason), site
        assert rows[url]["page"] == page
    assert data.stored == [3, 4, 7]


@pytest.mark.parametrize("extra", [None, ["artist"], ["page", "artist"]], ids=str)
def test_the_page_column_joins_the_additional_ones(download, tmp_path, extra):
    with web(
        a={"/1.jpg": picture(1)}, b={"/": File("<p>", headers=(("Content-Type", "text/html"),))}
    ) as served:
        path = table(tmp_path, link=[served.url("a", "/1.jpg")], page=[served.url("b")], artist=["x"])
        data, _ = download(
            path,
            input_format="parquet",
            url_col="link",
            save_additional_columns=extra,
            heedful_page_col="page",
        )
        (row,) = data.rows.values()
        assert row["page"] == served.url("b")
        assert ("artist" in row) is bool(extra)
    assert data.stored == [1]


# -- what img2dataset itself offers --------------------------------------------------------------------------


def test_tags_lead_to_the_records(download, listed):
    with web(a={"/1.jpg": picture(1), "/2.jpg": picture(2, NOAI), "/3.jpg": File(status=404)}) as served:
        urls = [served.url("a", f"/{number}.jpg") for number in (1, 2, 3)]
        data, _ = download(listed(*urls), heedful_tag=True)
    ids = {record.id: record for record in data.records}
    for url, action, reason in zip(
        urls, ("store", "skip", "failed"), (None, "x-robots-tag", None), strict=True
    ):
        row = data.rows[url]
        assert (row["heedful_action"], row["heedful_reason"]) == (action, reason)
        assert ids[row["heedful_id"]].url == url
    (meta,) = data.folder.glob("00000/*.json")
    assert set(TAGS) <= json.loads(meta.read_text()).keys()


OUTPUT_FORMATS = [
    "files",
    "webdataset",
    "parquet",
    "dummy",
    pytest.param(
        "tfrecord",
        marks=pytest.mark.skipif(
            find_spec("tensorflow_io") is None, reason="tfrecord needs tensorflow and tensorflow_io"
        ),
    ),
]


@pytest.mark.parametrize("output_format", OUTPUT_FORMATS)
def test_tags_in_every_output_format(download, listed, output_format):
    with web(a={"/1.jpg": picture(1), "/2.jpg": picture(2, NOAI)}) as served:
        urls = [served.url("a", f"/{number}.jpg") for number in (1, 2)]
        data, summary = download(listed(*urls), heedful_tag=True, output_format=output_format)
    assert (summary.stored, summary.skipped) == (1, 1)
    if output_format in {"files", "webdataset", "parquet"}:
        assert data.stored == [1]
    if output_format != "dummy":
        assert [data.rows[url]["heedful_action"] for url in urls] == ["store", "skip"]


def test_hashes_captions_and_bytes_as_they_came(download, tmp_path):
    served_bytes = {number: Picture(number, "JPEG").render() for number in (1, 2, 3)}
    with web(a={"/1.jpg": picture(1), "/2.jpg": picture(2), "/3.jpg": picture(3, NOAI)}) as served:
        urls = [served.url("a", f"/{number}.jpg") for number in (1, 2, 3)]
        digests = [hashlib.sha256(data).hexdigest() for data in served_bytes.values()]
        path = table(tmp_path, url=urls, text=["one", "two", None], sha=[digests[0], "0" * 64, digests[2]])
        data, summary = download(
            path,
            input_format="parquet",
            caption_col="text",
            compute_hash="sha256",
            verify_hash=["sha", "sha256"],
            disable_all_reencoding=True,
            retries=1,
        )
        rows = data.rows
    assert [status(rows[url]) for url in urls] == [
        ("success", None),
        ("failed_to_download", "hash mismatch"),
        ("skipped_opt_out", "x-robots-tag"),
    ]
    assert (summary.stored, summary.failed, summary.skipped) == (1, 1, 1)
    assert rows[urls[0]]["sha256"] == digests[0]
    (stored,) = data.folder.glob("00000/*.jpg")
    assert stored.read_bytes() == served_bytes[1]
    assert stored.with_suffix(".txt").read_text() == "one"
    record = data.by_url[urls[1]]
    assert (record.action, record.error) == (Action.FAILED, "failed_to_download: hash mismatch")


def test_what_is_no_picture_failed_to_be_resized(download, listed):
    with web(a={"/1.jpg": File("not a picture", headers=(JPEG,))}) as served:
        data, summary = download(listed(served.url("a", "/1.jpg")))
        record = data.by_url[served.url("a", "/1.jpg")]
    assert (summary.failed, summary.stored) == (1, 0)
    assert record.action is Action.FAILED
    assert record.error.startswith("failed_to_resize: ")
    assert data.stats[0]["failed_to_resize"] == 1


@pytest.mark.parametrize("form", ["txt.gz", "csv", "csv.gz", "tsv", "json", "jsonl"])
def test_input_formats(download, tmp_path, form):
    import gzip

    with web(a={"/1.jpg": picture(1), "/2.jpg": picture(2, NOAI)}) as served:
        urls = [served.url("a", f"/{number}.jpg") for number in (1, 2)]
        text = {
            "txt": "\n".join(urls),
            "csv": "url\n" + "\n".join(urls),
            "tsv": "url\tx\n" + "\n".join(f"{url}\t1" for url in urls),
            "json": json.dumps([{"url": url} for url in urls]),
            "jsonl": "\n".join(json.dumps({"url": url}) for url in urls),
        }[form.removesuffix(".gz")].encode()
        path = tmp_path / f"urls.{form}"
        path.write_bytes(gzip.compress(text) if form.endswith(".gz") else text)
        data, summary = download(path, input_format=form)
        assert data.by_url.keys() == set(urls)
    assert data.stored == [1]
    assert (summary.stored, summary.skipped) == (1, 1)


@pytest.mark.parametrize(
    ("given", "kept"), [(None, [1, 2]), ([], [1, 2]), (["noindex"], [1])], ids=["unsaid", "none", "noindex"]
)
def test_img2datasets_own_check_of_headers_is_on_where_it_is_asked_for(download, listed, given, kept):
    """Otherwise `noindex` counts as the policy has it: in `letter`, not at all."""
    with web(a={"/1.jpg": picture(1), "/2.jpg": picture(2, ("X-Robots-Tag", "noindex"))}) as served:
        urls = [served.url("a", f"/{number}.jpg") for number in (1, 2)]
        data, summary = download(
            listed(*urls), disallowed_header_directives=given, heedful_policy="letter", retries=1
        )
    assert data.stored == kept
    assert summary.failed == 2 - len(kept)
    assert len(data.records) == 2


def test_who_asks_is_said_honestly(download, listed):
    with web(a={"/1.jpg": picture(1)}) as served:
        download(
            listed(served.url("a", "/1.jpg")),
            user_agent_token="other",
            heedful_contact="https://me.example/bot",
        )
        agents = {dict(hit.headers)["User-Agent"] for hit in served.log}
    (agent,) = agents
    assert agent.startswith("PictureBot (+https://me.example/bot) heedful/")


# -- audit and count -----------------------------------------------------------------------------------------


def test_an_audit_stores_everything_and_records_what_it_would_have_skipped(download, listed):
    sites = {
        "a": {"/1.jpg": picture(1), "/2.jpg": picture(2, NOAI), "/3.jpg": redirect("{{b}}/3.jpg")},
        "b": {"/robots.txt": CLOSED, "/3.jpg": picture(3), "/4.jpg": File(status=503)},
    }
    with web(**sites) as served:
        urls = [*(served.url("a", f"/{number}.jpg") for number in (1, 2, 3)), served.url("b", "/4.jpg")]
        data, summary = download(listed(*urls), heedful_audit=True, heedful_tag=True, retries=1)
        assert len(served.hits("b", "/4.jpg")) == 2
    assert data.stored == [1, 2, 3]
    records = data.by_url
    assert not any(record.run.enforced for record in records.values())
    assert [(records[url].action, records[url].reason) for url in urls] == [
        ("store", None),
        ("skip", "x-robots-tag"),
        ("skip", "robots.disallow"),
        ("skip", "robots.disallow"),
    ]
    assert [data.rows[url]["status"] for url in urls] == ["success"] * 3 + ["failed_to_download"]
    assert [data.rows[url]["heedful_action"] for url in urls] == ["store", "skip", "skip", "skip"]
    assert (summary.stored, summary.skipped, summary.failed) == (3, 3, 1)


@pytest.mark.parametrize("audit", [False, True], ids=["enforced", "audit"])
def test_stored_pictures_may_be_counted_only(download, listed, audit):
    with web(a={"/1.jpg": picture(1), "/2.jpg": picture(2, NOAI), "/3.jpg": File(status=404)}) as served:
        urls = [served.url("a", f"/{number}.jpg") for number in (1, 2, 3)]
        data, summary = download(
            listed(*urls), heedful_ledger_stores="count", heedful_tag=True, heedful_audit=audit
        )
    assert {record.url: record.action for record in data.records} == {
        urls[1]: Action.SKIP,
        urls[2]: Action.FAILED,
    }
    assert (summary.stored, summary.skipped) == ((2, 1) if audit else (1, 1))
    ids = {record.id for record in data.records}
    assert {data.rows[url]["heedful_id"] for url in urls} == {None, *ids}
    assert data.rows[urls[0]]["heedful_action"] == "store"


# -- what is asked of whom -----------------------------------------------------------------------------------


def test_registries_are_asked_once_a_shard(download, listed, tmp_path, monkeypatch):
    batches, singles = [], []
    batch, single = Gate.registered_batch, Gate.registered
    monkeypatch.setattr(
        Gate, "registered_batch", lambda self, urls, now: batches.append(len(urls)) or batch(self, urls, now)
    )
    monkeypatch.setattr(Gate, "registered", lambda self, url: singles.append(url) or single(self, url))
    with web(a={f"/{number}.jpg": picture(number) for number in range(1, 8)}) as served:
        urls = [served.url("a", f"/{number}.jpg") for number in range(1, 8)]
        entries = registry(tmp_path / "r.heed", (Kind.URL, urls[0]))
        data, _ = download(listed(*urls), heedful_registries=[entries], number_sample_per_shard=4)
    assert sorted(batches) == [3, 4]
    assert singles == []
    assert data.stored == [2, 3, 4, 5, 6, 7]


def test_remote_registries_are_asked_once_a_shard_of_what_is_unsettled(download, tmp_path):
    with web(a={f"/{name}.jpg": picture(1) for name in ("free", "other", "theirs", "ours")}) as served:
        urls = [served.url("a", f"/{name}.jpg") for name in ("free", "theirs", "ours", "other")]
        entries = registry(tmp_path / "r.heed", (Kind.URL, urls[2]))
        with Remote("theirs") as remote:
            data, summary = download(
                table(tmp_path, url=[*urls, "no URL", None]),
                input_format="parquet",
                number_sample_per_shard=6,
                heedful_registries=[entries],
                heedful_policy=remote.policy(tmp_path / "policy.toml"),
            )
        assert [sorted(asked) for asked in remote.asked] == [sorted([urls[0], urls[1], urls[3]])]
        assert served.hits("a", "/theirs.jpg") == ()
    assert summary.reasons == {"registry.remote": 1, "registry.url": 1}
    assert data.stored == [1, 1]


def test_a_remote_registry_that_refuses_to_answer_defers(download, listed, tmp_path):
    with web(a={"/1.jpg": picture(1)}) as served, Remote("x", status=403) as remote:
        url = served.url("a", "/1.jpg")
        data, summary = download(listed(url), heedful_policy=remote.policy(tmp_path / "policy.toml"))
        assert served.hits("a", "/1.jpg") == ()
    assert status(data.rows[url]) == ("deferred_opt_out", "registry.remote")
    assert summary.deferred == 1


def test_the_next_shards_origins_are_asked_while_this_one_downloads(download, listed, monkeypatch):
    """The origin of the second shard is known before the last picture of the first one is answered."""
    asked = threading.Event()
    find = Site.find

    def slow(self, target):
        if self.title == "next" and target == "/robots.txt":
            asked.set()
        if self.title == "now" and target == "/1.jpg":
            assert asked.wait(30)
        return find(self, target)

    monkeypatch.setattr(Site, "find", slow)
    sites = {"a": Site({"/1.jpg": picture(1)}, "now"), "b": Site({"/2.jpg": picture(2)}, "next")}
    with serve(Web(sites)) as served:
        urls = [served.url("a", "/1.jpg"), served.url("b", "/2.jpg")]
        data, _ = download(listed(*urls), number_sample_per_shard=1)
    assert data.stored == [1, 2]
    assert asked.is_set()


def test_many_shards_with_one_row_each(download, listed):
    with web(
        a={f"/{number}.jpg": picture(number, *[NOAI] * (number % 2)) for number in range(1, 6)}
    ) as served:
        urls = [served.url("a", f"/{number}.jpg") for number in range(1, 6)]
        data, summary = download(listed(*urls), number_sample_per_shard=1, oom_shard_count=2)
        assert data.by_url.keys() == set(urls)
    assert data.stored == [2, 4]
    assert summary.shards == 5
    assert min(path.name for path in data.folder.glob("*_stats.json")) == "00_stats.json"


def test_a_check_that_raises_defers(download, listed, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("broken")

    monkeypatch.setattr(Gate, "judge", broken)
    with web(a={"/1.jpg": picture(1)}) as served:
        data, summary = download(listed(served.url("a", "/1.jpg")), retries=2)
        assert served.hits("a", "/1.jpg") == ()
    assert data.stored == []
    assert summary.reasons == {Reason.UNDETERMINED: 1}


def test_what_was_fetched_past_the_judge_is_not_stored(download, listed, monkeypatch):
    from heedful.urllib import Handler

    monkeypatch.setattr(Handler, "http_response", lambda *args: args[-1])
    with web(a={"/1.jpg": picture(1)}) as served:
        data, summary = download(listed(served.url("a", "/1.jpg")))
    assert data.stored == []
    assert (summary.stored, summary.deferred, summary.failed) == (0, 1, 0)
