"""What Scrapy's media pipelines leave, audited and purged."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from heedful import Policy
from heedful.bulk.audit import Auditing, audit
from heedful.errors import ConfigurationError
from heedful.ledger import LedgerReader, LedgerWriter, Run
from heedful.model import Action
from heedful.testing import GALLERY, TOKEN, identify, serve

CRAWLING = Path(__file__).with_name("crawling.py")


def sha1(url):
    return hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()


@pytest.fixture(scope="session")
def crawled(web, url, tmp_path_factory):
    """What a real project without heedful has stored: pictures 1 to 6 and 12, a picture with a comma too."""
    out = tmp_path_factory.mktemp("crawled")
    urls = [url(number) for number in (1, 2, 3, 4, 5, 12)] + [url(6) + "?a,b=http"]
    subprocess.run(
        [sys.executable, str(CRAWLING), str(out), *urls],
        check=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return out


@pytest.fixture
def project(crawled, tmp_path, store):
    shutil.copytree(crawled, tmp_path / "project", copy_function=shutil.copy2)
    return type(store)(tmp_path / "project")


def found(folder, **options):
    with Auditing(folder, **options) as auditing:
        return auditing.run(), list(auditing.findings())


@pytest.mark.parametrize("feed", ["feed.jsonl", "feed.json", "feed.csv"])
@pytest.mark.parametrize("number", [1, 2, 4, 12])
def test_the_feed_of_a_real_project_leads_to_the_urls(feed, number, project, registry, url):
    listed = registry(("url", url(number)))
    result, findings = found(project.folder, registries=[listed], urls=[str(project.folder / feed)])
    assert result.recognised == "a Scrapy store (images, files)"
    assert result.pictures == 14
    assert result.unknown == 0
    places = [each.place for each in findings if each.reason == "registry.url"]
    name = sha1(url(number))
    assert sorted(places) == [f"files/full/{name}.jpg", f"images/full/{name}.jpg"]


def test_where_the_original_bytes_survive_they_speak(project):
    """FilesPipeline stores what was sent, ImagesPipeline what it made of it."""
    result, findings = found(project.folder)
    assert result.unknown == 14
    assert "--urls names feeds" in " ".join(result.sentences())
    assert {each.place.partition("/")[0] for each in findings} == {"files"}
    assert result.found == {"data-mining": 1}
    (finding,) = findings
    assert finding.url is None
    assert identify(project.folder / finding.place) == 3


def test_a_comma_in_a_url_is_understood_in_csv(project, registry, url):
    there = url(6) + "?a,b=http"
    options = {"registries": [registry(("url", there))], "urls": [str(project.folder / "feed.csv")]}
    assert found(project.folder, **options)[0].found["registry.url"] == 2


def test_thumbnails_go_with_their_pictures_and_feeds_of_others_stay(project, registry, url):
    feed = (project.folder / "feed.jsonl").read_bytes()
    assert project.numbers.count(2) == 4
    result = audit(
        project.folder,
        purge=True,
        registries=[registry(("url", url(2)))],
        urls=[str(project.folder / "feed.jsonl")],
    )
    assert result.removed == 3
    assert result.faults == []
    assert project.numbers.count(2) == 0
    assert project.numbers.count(1) == 4
    assert (
        project.numbers.count(3) == 3
    )  # the file that says so itself is gone, the picture made of it is not
    assert (project.folder / "feed.jsonl").read_bytes() == feed
    assert {each["place"].partition("/")[0] for each in project.removed} == {"files", "images"}


def test_the_store_of_heedful_crawl(store, registry, web, url):
    listed = registry(("url", url(2)), ("url", url(5)))
    result, findings = found(store.folder, registries=[listed])
    assert (result.recognised, result.pictures, result.unknown) == ("a Scrapy store (images)", 6, 0)
    assert {each.url for each in findings} == {url(2), url(5)}
    names = {f"images/{sha1(each)[0]}" for each in (url(2), url(5))}
    assert set(result.by_shard) == names


def test_a_purge_takes_lines_out_of_its_feed(store, registry, url):
    lines = (store.folder / "images.jsonl").read_bytes().splitlines(keepends=True)
    state = store.state
    result = audit(store.folder, purge=True, registries=[registry(("url", url(2)), ("url", url(5)))])
    assert result.removed == 2
    assert (store.folder / "images.jsonl").read_bytes() == b"".join(lines[:1] + lines[2:4] + lines[5:])
    assert sorted(store.numbers) == [1, 1, 3, 3, 4, 4, 6, 6]
    assert {name: when for name, when in store.state.items() if name != "images.jsonl"} == {
        name: when
        for name, when in state.items()
        if name != "images.jsonl" and sha1(url(2)) not in name and sha1(url(5)) not in name
    }
    assert audit(store.folder, registries=[registry(("url", url(2)), name="again.heed")]).clean
    assert [record.run.enforced for record in store.records if record.run.enforced] == [True, True]


def test_a_line_with_several_pictures_keeps_the_others(store, registry, url):
    feed = store.folder / "images.jsonl"
    first, second, *rest = (json.loads(line) for line in feed.read_text().splitlines())
    both = first | {key: first[key] + second[key] for key in ("image_urls", "images")}
    odd = ["7", '{"images": 7}', '{"images": [{"path": 7}]}', "[]", "{}"]
    kept = [json.dumps(line) for line in rest]
    feed.write_text("\n".join([json.dumps(both), *kept]) + "\n")
    (store.folder / "feed2.jsonl").write_text(feed.read_text())
    feed.write_text("\n".join([json.dumps(both), *odd[1:3], *kept]) + "\n")
    audit(store.folder, purge=True, registries=[registry(("url", url(2)))])
    assert feed.read_text().splitlines() == [json.dumps(first), *odd[1:3], *kept]


# -- where URLs are read ---------------------------------------------------------------------------------


def ledger_of(folder, urls, hops=()):
    run = Run.start(crawler="scrapy", token="t", policy=Policy.load("standard"), enforced=True, now=0)
    writer = LedgerWriter(str(folder), run)
    for url in urls:
        writer.record(url, Action.STORE)
    for first, url in hops:
        writer.record(url, Action.STORE, hop_of=first)
    writer.record("https://else.example/", Action.FAILED, error="x")
    writer.close()


@pytest.mark.parametrize("place", ["ledger", "_heedful/ledger", "given", "given file"])
def test_a_ledger_leads_to_the_urls(place, store, registry, url, tmp_path):
    (store.folder / "images.jsonl").unlink()
    given = place.startswith("given")
    folder = tmp_path / "l" if given else store.folder / place
    ledger_of(folder, [url(number) for number in range(1, 7)])
    source = next(folder.glob("*.jsonl")) if place == "given file" else folder
    result, findings = found(
        store.folder, registries=[registry(("url", url(2)))], urls=[str(source)] if given else []
    )
    assert (result.unknown, [each.url for each in findings]) == (0, [url(2)])


def test_a_ledger_knows_where_redirects_led(store, registry, url):
    (store.folder / "images.jsonl").unlink()
    ledger_of(store.folder / "ledger", [], [(url(2), "https://cdn.example/2")])
    result, (finding,) = found(store.folder, registries=[registry(("host", "cdn.example"))])
    assert (finding.url, finding.reason, result.unknown) == (url(2), "registry.host", 5)


def plain(data):
    return data


@pytest.mark.parametrize(
    ("name", "pack"), [("feed.jl", plain), ("feed.jsonl.gz", gzip.compress), ("feed", plain)]
)
def test_feeds_under_other_names(name, pack, store, registry, url, tmp_path):
    data = (store.folder / "images.jsonl").read_bytes()
    (store.folder / "images.jsonl").unlink()
    (tmp_path / name).write_bytes(pack(data))
    result, _ = found(store.folder, registries=[registry(("url", url(2)))], urls=[str(tmp_path / name)])
    assert (result.unknown, result.found) == (0, {"registry.url": 1})


def test_names_of_their_own_are_found_by_path(store, registry, url):
    """A project may name files as it likes: the feed tells the path."""
    path = store.folder / "images" / "full" / f"{sha1(url(2))}.jpg"
    other = store.folder / "images" / "by-artist" / "two.jpg"
    other.parent.mkdir()
    path.rename(other)
    feed = store.folder / "images.jsonl"
    feed.write_text(feed.read_text().replace(f"full/{path.name}", "by-artist/two.jpg"))
    _, (finding,) = found(store.folder, registries=[registry(("url", url(2)))])
    assert (finding.place, finding.shard) == ("images/by-artist/two.jpg", "images/rest")
    audit(store.folder, purge=True, registries=[registry(("url", url(2)), name="again.heed")])
    assert not other.exists()


def test_a_url_that_scrapy_writes_otherwise_is_known(store, registry, url):
    asked, written = url(2) + "?é x", url(2) + "?%C3%A9%20x"
    old = store.folder / "images" / "full" / f"{sha1(url(2))}.jpg"
    old.rename(old.with_name(f"{sha1(written)}.jpg"))
    (store.folder / "images.jsonl").write_text(json.dumps({"image_urls": [asked]}) + "\n")
    result, (finding,) = found(store.folder, registries=[registry(("url", asked))])
    assert (finding.url, result.unknown) == (written, 5)


@pytest.mark.parametrize(
    ("text", "words"), [("{", "no feed"), ("7\n", "no feed"), ('"x"\n', "no feed"), ("{}\n[\n", "no feed")]
)
def test_what_is_no_feed_is_refused(text, words, store, tmp_path):
    (tmp_path / "x.jsonl").write_text(text + "\n")
    with pytest.raises(ConfigurationError, match=words):
        audit(store.folder, urls=[str(tmp_path / "x.jsonl")])


def test_a_damaged_table_is_refused_and_leaves_the_limit_of_cells_alone(store, tmp_path):
    """The limit is the whole program's."""
    before = csv.field_size_limit()
    (tmp_path / "x.csv").write_bytes(b"images,n\nhttp://a.example/1,2\na\rb,c\n")
    with pytest.raises(ConfigurationError, match="no feed and no ledger"):
        audit(store.folder, urls=[str(tmp_path / "x.csv")])
    assert csv.field_size_limit() == before


def test_what_is_not_there_is_refused(store):
    with pytest.raises(ConfigurationError, match="no feed and no ledger"):
        audit(store.folder, urls=["/nowhere.jsonl"])


# -- hostile ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["../../victim.jpg", "{victim}", "full/../../../victim.jpg", "full/link/victim.jpg", "\0", ""]
)
def test_a_feed_that_points_outside_touches_nothing(path, store, registry, url, tmp_path):
    victim = tmp_path / "victim.jpg"
    victim.write_bytes(b"x")
    (store.folder / "images" / "full" / "link").symlink_to(tmp_path)
    image = {"url": url(2), "path": path.replace("{victim}", str(victim))}
    with (store.folder / "images.jsonl").open("a") as feed:
        feed.write(json.dumps({"image_urls": [url(2)], "images": [image]}) + "\n")
    result = audit(store.folder, purge=True, registries=[registry(("url", url(2)))])
    assert result.removed == 1
    assert victim.read_bytes() == b"x"
    assert result.faults == ["images/rest: 1 symbolic links in it are not followed"]


def test_links_are_not_followed_and_never_clean(store, tmp_path, url):
    elsewhere = tmp_path / "elsewhere.jpg"
    path = store.folder / "images" / "full" / f"{sha1(url(2))}.jpg"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    (store.folder / "images" / "other").symlink_to(tmp_path)
    result, _ = found(store.folder)
    assert result.pictures == 5
    assert sorted(fault.partition(": ")[0] for fault in result.faults) == [
        f"images/{sha1(url(2))[0]}",
        "images/rest",
    ]
    assert not result.clean


def test_a_linked_thumbnail_keeps_all_as_it_is(store, registry, tmp_path, url):
    thumb = store.folder / "images" / "thumbs" / "small" / f"{sha1(url(2))}.jpg"
    thumb.rename(tmp_path / "thumb.jpg")
    thumb.symlink_to(tmp_path / "thumb.jpg")
    content = store.content
    result = audit(store.folder, purge=True, registries=[registry(("url", url(2)))])
    assert result.removed == 0
    assert "symbolic link" in result.faults[0]
    assert store.content == content


def test_a_file_that_cannot_be_read_is_in_doubt(store, url, monkeypatch):
    from heedful.bulk.audit._folder import Folder

    original = Folder.open

    def refusing(self, name):
        if sha1(url(2)) in name:
            raise PermissionError(13, "Permission denied")
        return original(self, name)

    monkeypatch.setattr(Folder, "open", refusing)
    result, (finding,) = found(store.folder)
    assert result.doubts == {"undetermined": 1}
    assert (finding.action, finding.url) == ("defer", url(2))
    assert "Permission denied" in finding.evidence


# -- the whole way ---------------------------------------------------------------------------------------


def test_what_heedful_crawl_stored_and_was_opted_out_since(heedful, registry, tmp_path):
    """A real crawl, then an opt-out, then its removal; another crawl does not bring the picture back."""
    out = tmp_path / "pictures"
    with serve() as gallery:
        crawl = ["crawl", gallery.start_url, "--out", out, "--token", TOKEN, "--follow", "all"]
        heedful(*crawl)
        stored = {identify(path) for path in (out / "images" / "full").iterdir()}
        exhibit = next(
            each for each in GALLERY.wanted("standard", "store") if each.id in stored and not each.listed
        )
        listed = registry(("url", gallery.exhibit_url(exhibit)))
        result = audit(out, purge=True, registries=[listed])
        assert result.unknown == 0
        assert result.found == {"registry.url": 1}
        assert result.ledger == str(out / "ledger")
        left = {identify(path) for path in (out / "images" / "full").iterdir()}
        assert left == stored - {exhibit.id}
        assert exhibit.name not in (out / "images.jsonl").read_text()
        records = [
            record for record in LedgerReader(str(out / "ledger")) if record.url.endswith(exhibit.path)
        ]
        assert [record.action for record in records] == [Action.STORE, Action.SKIP]
        heedful(*crawl, "--registry", listed)
        again = {identify(path) for path in (out / "images" / "full").iterdir()}
        assert exhibit.id not in again
