"""What the real img2dataset leaves, audited: each form, each way in which a picture can be known."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from heedful import Gate, Policy, fingerprint
from heedful.bulk.audit import Auditing, _img2dataset, _judging, _stored, _working, audit
from heedful.errors import ConfigurationError
from heedful.ledger import LedgerWriter, Run
from heedful.model import Action
from heedful.testing import Picture, identify
from heedful.testing.embed import dmi_packet

FORMS = ("webdataset", "files", "parquet", "jpg")
MINED = Picture(3, xmp=dmi_packet("DMI-PROHIBITED-AIMLTRAINING")).render()


@pytest.fixture
def audited(registry):
    """Audit a dataset; the result and all findings."""

    def run(data, *entries, **options):
        given = [registry(*entries)] if entries else []
        with Auditing(data.folder, registries=given, **options) as auditing:
            return auditing.run(), list(auditing.findings())

    return run


def original(number):
    return Picture(number).render() if number != 3 else MINED


def md5(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def stored_of(data, number):
    """The bytes of a picture as they are stored."""
    return next(each for each in data._pictures() if identify(each) == number)


WAYS = {
    "url": lambda url, _: url,
    "path": lambda url, _: url,
    "pattern": lambda url, _: url.replace("2.jpg", "2.*g$"),
    "sha256": lambda _, stored: hashlib.sha256(stored).hexdigest(),
    "md5": lambda _, stored: md5(stored),
}
"""What may name a picture: of its URL, or of the bytes that are stored."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", FORMS)
def test_a_listed_picture_is_found(form, way, dataset, audited, url):
    data = dataset(form)
    text = WAYS[way](url(2), stored_of(data, 2))
    result, findings = audited(data, (way, text))
    (found,) = [each for each in findings if each.list]
    reason = "registry.hash" if way in {"sha256", "md5"} else f"registry.{way}"
    assert (found.reason, found.list, found.entry, found.url) == (reason, "artists", text, url(2))
    assert found.sha256 == hashlib.sha256(stored_of(data, 2)).hexdigest()
    assert found.shard == "00000"
    assert result.pictures == 12
    assert result.by_shard["00000"] == result.found.total()
    assert not result.clean
    assert result.lists == {"artists": 1}


@pytest.mark.parametrize(
    ("form", "algorithm"),
    [("webdataset", "md5"), ("files", "sha256"), ("parquet", "sha256"), ("jpg", "sha256")],
)
def test_the_digest_of_the_original_is_known_though_it_was_encoded_anew(
    form, algorithm, dataset, audited, url
):
    data = dataset(form)
    digest = hashlib.new(algorithm, original(5)).hexdigest()
    reencoded = stored_of(data, 5) != original(5)
    assert reencoded is (form != "webdataset")
    result, findings = audited(data, (algorithm, digest))
    (found,) = [each for each in findings if each.list]
    assert (found.reason, found.entry, found.url) == ("registry.hash", digest, url(5))
    assert result.found["registry.hash"] == 1


def test_a_picture_that_is_known_by_both_digests_is_told_once(dataset, audited):
    data = dataset("webdataset")
    digest = md5(original(5))
    audited(data, ("md5", digest))
    (record,) = [each for each in data.records if each.reason == "registry.hash"]
    assert len(record.evidence) == 1


@pytest.mark.parametrize(
    ("form", "reasons"), [("webdataset", {"data-mining": 1}), ("jpg", {}), ("files", {})]
)
def test_what_a_picture_says_itself_is_found_where_its_bytes_survive(form, reasons, dataset, audited, url):
    result, findings = audited(dataset(form))
    assert result.found == reasons
    assert [each.url for each in findings] == [url(3)] * len(reasons)
    assert result.clean is not bool(reasons)


def test_all_of_a_host_is_found(dataset, audited):
    result, findings = audited(dataset("parquet"), ("host", "127.0.0.1"))
    assert result.found == {"registry.host": 12}
    assert result.by_shard == {"00000": 5, "00001": 5, "00002": 2}
    assert [each.key for each in findings] == [
        f"{number:06d}" for number in (*range(5), *range(10, 15), 20, 21)
    ]


def test_many_processes_find_the_same(dataset, audited):
    data = dataset("webdataset")
    one, findings = audited(data, ("host", "127.0.0.1"))
    two, same = audited(data, ("host", "127.0.0.1"), processes=2)
    assert findings == same
    assert one.as_dict() == two.as_dict()
    assert one.found == {"registry.host": 12}


def test_where_a_redirect_led_is_judged_as_well(dataset, audited, url, registry):
    """A ledger of the download knows: the table has the first URL alone."""
    data = dataset("jpg")
    (data.folder / "_heedful" / "ledger").mkdir(parents=True)
    (data.folder / "_heedful" / "dataset").write_text("img2dataset-x")
    run = Run.start(crawler="img2dataset", token="t", policy=Policy.load("standard"), enforced=True, now=0)
    writer = LedgerWriter(
        str(data.folder / "_heedful" / "ledger"), run, worker="img2dataset-x-shard-00002", atomic=True
    )
    there = url("cdn/12")
    writer.record(there, Action.STORE, hop_of=url(12))
    writer.record(url(11), Action.STORE)
    writer.close()
    result, (found,) = audited(data, ("url", there))
    assert (found.url, found.entry, found.reason) == (url(12), there, "registry.url")
    (record,) = [each for each in data.records if each.run.crawler == "heedful audit"]
    assert (record.url, record.hop_of) == (there, url(12))
    assert result.found.total() == 1


def test_an_opt_in_that_is_not_known_is_not_missed(dataset, audited, url):
    result, _ = audited(dataset("jpg"), ("url", url(2)), policy="opt-in")
    assert result.found == {"registry.url": 1}


def test_the_operator_is_heard(dataset, audited, tmp_path, url):
    policy = tmp_path / "mine.toml"
    policy.write_text(
        'extends = "standard"\n'
        f'[[override]]\nurl = "{url(4)}"\naction = "deny"\nevidence = "letter of 2026"\n'
        f'[[override]]\nurl = "{url(2)}"\naction = "licence"\nevidence = "contract"\n'
    )
    _, (found,) = audited(dataset("jpg"), ("url", url(2)), policy=str(policy))
    assert (found.url, found.reason, found.list, found.entry) == (
        url(4),
        "operator.deny",
        None,
        "letter of 2026",
    )


class Remote(BaseHTTPRequestHandler):
    """A registry on the network that has the fourth picture."""

    def do_POST(self):
        urls = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["urls"]
        self.server.asked += urls
        items = [{"url": each, "out": each.endswith("/4.jpg")} for each in urls]
        body = json.dumps({"urls": items}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def remote():
    with ThreadingHTTPServer(("127.0.0.1", 0), Remote) as server:
        server.asked, server.status = [], 200
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "found", "doubts"),
    [(200, {"registry.remote": 1}, {}), (403, {}, {"registry.remote": 7})],
    ids=["answers", "refuses"],
)
def test_remote_registries_are_asked_about_urls_that_are_known(
    status, found, doubts, remote, dataset, audited, url, tmp_path, registry
):
    data = dataset("parquet")
    without_urls(data.folder, "00001.parquet")
    remote.status = status
    policy = tmp_path / "remote.toml"
    policy.write_text(
        'extends = "standard"\n[[remote]]\nname = "union"\nprotocol = "json"\nopt_out_field = "out"\n'
        f'url = "http://127.0.0.1:{remote.server_port}/query"\n'
    )
    result, findings = audited(data, policy=str(policy))
    assert (result.found, result.doubts, result.unknown) == (found, doubts, 5)
    known = {url(number) for number in (1, 2, 3, 4, 5, 11, 12)}
    assert set(remote.asked) <= known  # who refuses is not asked again
    assert found == {} or set(remote.asked) == known
    assert {each.list for each in findings} == {"union"}


def test_findings_are_in_the_ledger_and_not_enforced(dataset, audited, url):
    data = dataset("webdataset")
    audited(data, ("url", url(2)))
    (listed, mined) = sorted(data.records, key=lambda record: record.url)
    assert (listed.url, listed.action, listed.reason) == (url(2), Action.SKIP, "registry.url")
    assert mined.reason == "data-mining"
    for record in (listed, mined):
        assert record.run.crawler == "heedful audit"
        assert not record.run.enforced
        assert record.complete == "url"  # of its origin, nothing was asked
    assert listed.registries == (("r", 1),)


# -- what is not as img2dataset left it ------------------------------------------------------------------


def without_table(folder):
    (folder / "00000.parquet").unlink()


def without_urls(folder, name="00000.parquet"):
    table = pq.read_table(folder / name)
    pq.write_table(table.drop_columns(["url"]), folder / name)


@pytest.mark.parametrize("form", ["webdataset", "files"])
def test_without_a_table_the_file_beside_a_picture_is_read(form, dataset, audited, url):
    data = dataset(form)
    without_table(data.folder)
    result, _ = audited(data, ("url", url(2)))
    assert result.found["registry.url"] == 1
    assert result.unknown == 0
    assert result.faults == []


def test_without_any_url_the_content_counts(dataset, audited):
    data = dataset("parquet")
    without_urls(data.folder)
    digest = hashlib.sha256(stored_of(data, 2)).hexdigest()
    result, (found,) = audited(data, ("sha256", digest), ("url", "http://unknown.invalid/x"))
    assert (found.url, found.reason) == (None, "registry.hash")
    assert result.unknown == 5
    assert data.records[0].url == f"http://unknown.invalid/00000.parquet%3A{found.key}"
    assert "5 pictures without a known URL" in " ".join(result.sentences())


@pytest.mark.parametrize("text", ["file:///etc/passwd", "data:image/png,x", "not a url", "http://[::1"])
def test_a_url_that_is_none_is_matched_as_it_stands_and_the_content_judged(text, dataset, audited):
    data = dataset("parquet")
    table = pq.read_table(data.folder / "00002.parquet")
    urls = pa.array([text] * len(table))
    changed = table.set_column(table.column_names.index("url"), "url", urls)
    pq.write_table(changed, data.folder / "00002.parquet")
    result, findings = audited(data)
    assert (result.unknown, findings) == (2, [])
    result, findings = audited(data, ("url", text))
    assert [each.reason for each in findings] == ["registry.url"] * 2


def cut(name, size):
    def change(folder):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:size])

    return change


def flip_header(folder):
    """Make a header in the middle invalid, which tarfile takes for the end."""
    path = folder / "00001.tar"
    with tarfile.open(path) as tar:
        place = tar.getmembers()[6].offset
    data = bytearray(path.read_bytes())
    data[place + 150] ^= 0xFF
    path.write_bytes(data)


def cut_behind_a_member(folder):
    path = folder / "00001.tar"
    with tarfile.open(path) as tar:
        place = tar.getmembers()[6].offset
    path.write_bytes(path.read_bytes()[:place])


def link_a_picture(folder):
    path = folder / "00001" / "000010.png"
    path.rename(folder / "elsewhere.png")
    path.symlink_to(folder / "elsewhere.png")


def link_a_shard(folder):
    (folder / "00001").rename(folder / "elsewhere")
    (folder / "00001").symlink_to(folder / "elsewhere")


def drop_pictures(folder):
    table = pq.read_table(folder / "00001.parquet")
    pq.write_table(table.drop_columns(["webp"]), folder / "00001.parquet")


def drop_key(folder):
    table = pq.read_table(folder / "00001.parquet")
    pq.write_table(table.drop_columns(["key"]), folder / "00001.parquet")


def as_tfrecord(folder):
    (folder / "00001.tar").rename(folder / "00001.tfrecord")


DAMAGES = {
    "tar cut in a member": ("webdataset", cut("00001.tar", 2000), "breaks off in 000010.jpg"),
    "tar cut behind a member": ("webdataset", cut_behind_a_member, "breaks off"),
    "tar with a broken header": ("webdataset", flip_header, "damaged, or breaks off, after"),
    "empty tar": ("webdataset", cut("00001.tar", 0), "no tar file"),
    "no tar": ("webdataset", lambda folder: (folder / "00001.tar").write_bytes(b"x" * 5000), "no tar file"),
    "table cut": ("webdataset", cut("00001.parquet", 100), "its table cannot be read"),
    "pictures cut": ("parquet", cut("00001.parquet", -100), "its table cannot be read"),
    "pictures gone": ("parquet", drop_pictures, "are not there"),
    "keys gone": ("parquet", drop_key, "without a key"),
    "linked picture": ("files", link_a_picture, "1 symbolic links"),
    "linked shard": ("files", link_a_shard, "symbolic link"),
    "tfrecord": ("webdataset", as_tfrecord, "tfrecord files are not read"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_cannot_be_read_is_named_and_never_clean(damage, dataset, audited, url):
    form, change, words = DAMAGES[damage]
    data = dataset(form)
    change(data.folder)
    result, findings = audited(data, ("url", url(2)))
    (fault,) = result.faults
    assert fault.startswith("00001: ")
    assert words in fault
    assert not result.clean
    assert "registry.url" in {each.reason for each in findings}
    assert fault in " ".join(result.sentences())


def test_what_comes_before_a_damage_is_judged(dataset, audited, url):
    data = dataset("webdataset")
    cut_behind_a_member(data.folder)
    _, findings = audited(data, ("url", url(6)), ("url", url(10)))
    assert url(6) in {each.url for each in findings}


def test_of_tfrecords_what_the_table_knows_is_judged(dataset, audited, url):
    data = dataset("webdataset")
    as_tfrecord(data.folder)
    _, findings = audited(data, ("url", url(6)), ("md5", md5(original(7))))
    assert {each.reason for each in findings if each.shard == "00001"} == {"registry.url", "registry.hash"}


def test_a_shard_without_stats_is_left_out_unless_it_is_wanted(dataset, audited, url):
    data = dataset("webdataset")
    (data.folder / "00000_stats.json").unlink()
    result, findings = audited(data, ("url", url(2)))
    assert (result.left_out, result.shards, findings) == (("00000",), 2, [])
    assert not result.clean
    assert "1 shards without _stats.json were left out" in " ".join(result.sentences())
    result, findings = audited(data, ("url", url(2)), unfinished=True)
    assert (result.left_out, result.shards, len(findings)) == ((), 3, 2)


def test_stats_alone_are_the_dummy_form(dataset, audited):
    data = dataset("webdataset")
    for path in [*data.folder.glob("*.tar"), *data.folder.glob("*.parquet")]:
        path.unlink()
    result, _ = audited(data)
    assert (result.recognised, result.pictures) == ("img2dataset output (nothing stored)", 0)
    assert result.clean


def test_a_picture_that_is_too_large_is_in_doubt(dataset, audited, monkeypatch):
    monkeypatch.setattr(_img2dataset, "PICTURE_MAX", 1000)
    monkeypatch.setattr(_stored, "PICTURE_MAX", 1000)
    for form in ("webdataset", "files"):
        result, findings = audited(dataset(form))
        assert result.doubts == {"undetermined": 12}
        assert {each.action for each in findings} == {"defer"}
        assert not result.clean


def test_memory_is_bounded_by_batches(dataset, audited, monkeypatch):
    sizes = []
    batches = _working._batches

    def noted(pictures):
        for batch in batches(pictures):
            sizes.append(len(batch))
            yield batch

    monkeypatch.setattr(_working, "BATCH", 2)
    monkeypatch.setattr(_working, "_batches", noted)
    result, _ = audited(dataset("jpg"))
    assert result.pictures == sum(sizes) == 12
    assert max(sizes) == 2


def broken(*args, **kwargs):
    raise ZeroDivisionError("deliberate")


def test_a_check_that_fails_is_a_doubt(dataset, audited, monkeypatch, caplog):
    monkeypatch.setattr(Gate, "judge", broken)
    result, findings = audited(dataset("jpg"))
    assert result.doubts == {"undetermined": 12}
    assert "ZeroDivisionError: deliberate" in findings[0].entry
    assert len(caplog.records) == 1


def test_a_shard_that_fails_is_named(dataset, audited, monkeypatch):
    monkeypatch.setattr(_judging, "Body", broken)
    result, _ = audited(dataset("jpg"))
    assert [fault.partition(": ")[2] for fault in result.faults] == ["ZeroDivisionError: deliberate"] * 3


def test_remote_file_systems_are_read(dataset, audited, url):
    data = dataset("webdataset")
    memory = fsspec.filesystem("memory")
    memory.put(str(data.folder), "/audited", recursive=True)
    try:
        result = audit("memory://audited", ledger=str(data.folder / "l"))
        assert (result.pictures, result.found) == (12, {"data-mining": 1})
    finally:
        memory.rm("/audited", recursive=True)


def test_metadata_of_a_redirected_ledger_do_not_matter_when_damaged(dataset, audited):
    data = dataset("jpg")
    (data.folder / "_heedful" / "ledger").mkdir(parents=True)
    (data.folder / "_heedful" / "dataset").write_text("x")
    (data.folder / "_heedful" / "ledger" / "x-shard-00000.jsonl").write_bytes(b'{"hop_of": 1')
    assert audited(data)[0].pictures == 12


def test_pictures_of_other_kinds_are_judged_too(dataset, audited):
    """A sample may have more in it: what is no picture is passed over, what is one is judged."""
    data = dataset("webdataset")
    path = data.folder / "00000.tar"
    with tarfile.open(path) as old:
        members = [(info, old.extractfile(info).read()) for info in old]
    with tarfile.open(path, "w") as new:
        for info, content in members:
            new.addfile(info, io.BytesIO(content))
            if info.name == "000000.jpg":
                for name in ("000000.mask.JPEG", "000000.npy"):
                    extra = tarfile.TarInfo(name)
                    extra.size = len(MINED)
                    new.addfile(extra, io.BytesIO(MINED))
    result, findings = audited(data)
    assert result.pictures == 13
    assert [each.place for each in findings] == ["00000.tar:000000.mask.JPEG", "00000.tar:000002.jpg"]


def test_a_folder_that_is_no_dataset_is_refused(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.txt").write_text("x")
    with pytest.raises(ConfigurationError, match="neither img2dataset's output"):
        audit(tmp_path / "x")
    with pytest.raises(ConfigurationError, match="There is no folder"):
        audit(tmp_path / "y")


def test_json_beside_pictures_may_be_anything(dataset, audited):
    data = dataset("files")
    without_table(data.folder)
    (data.folder / "00000" / "000000.json").write_text("[" * 100_000)
    (data.folder / "00000" / "000001.json").write_text(json.dumps({"url": 7, "sha256": ["x"]}))
    (data.folder / "00000" / "000002.json").unlink()
    result, _ = audited(data)
    assert (result.pictures, result.unknown, result.faults) == (12, 3, [])
    shutil.rmtree(data.folder)


def photograph(size, form, **more):
    """A picture with enough in it to be known by."""
    noise = np.random.default_rng(7).integers(0, 256, (9, 12, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(out, form, **more)
    return out.getvalue()


def test_a_copy_under_another_url_is_known_by_what_it_looks_like(dataset, audited, url):
    """The listed original was never fetched from here, and what is stored was made smaller."""
    data = dataset("files")
    text = str(fingerprint.read(photograph((900, 700), "PNG")))
    (data.folder / "00000" / "000004.png").write_bytes(photograph((128, 128), "JPEG", quality=75))
    result, (found,) = audited(data, ("phash", text))
    assert (found.url, found.reason, found.list) == (url(5), "registry.fingerprint", "artists")
    assert found.entry.startswith(text)
    assert result.found == {"registry.fingerprint": 1}
