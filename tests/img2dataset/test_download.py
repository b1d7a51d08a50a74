"""The call: what is refused before it begins, what is found wrong at its end, and what it leaves behind."""

from __future__ import annotations

import copy
import io
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from heedful.errors import ConfigurationError
from heedful.img2dataset import OPTIONS, Summary, UnfinishedError, _main
from heedful.img2dataset._download import DISTRIBUTORS
from heedful.testing import File, Picture, Site, Web, serve

JPEG = ("Content-Type", "image/jpeg")
NOAI = ("X-Robots-Tag", "noai")


@pytest.fixture
def art():
    site = {
        "/1.jpg": File(Picture(1, "JPEG"), headers=(JPEG,)),
        "/2.jpg": File(Picture(2, "JPEG"), headers=(JPEG, NOAI)),
        "/3.jpg": File(Picture(3, "JPEG"), headers=(JPEG,)),
    }
    with serve(Web({"a": Site(site)})) as served:
        yield served


@pytest.fixture
def urls(art, listed):
    return listed(*(art.url("a", f"/{number}.jpg") for number in (1, 2, 3)))


# -- before it begins ----------------------------------------------------------------------------------------

WRONG = {
    "no token": ({"heedful_token": None}, "heedful_token is missing: "),
    "a token that is none": ({"heedful_token": "Picture Bot"}, "'Picture Bot' is no product token"),
    "no such option": (
        {"heedful_registry": "x"},
        "heedful_registry is no option of this version of heedful. Did you mean heedful_registries?",
    ),
    "no such option at all": ({"heedful_zzz": 1}, "heedful_zzz is no option of this version of heedful."),
    "no such policy": ({"heedful_policy": "stict"}, "There is no policy 'stict' (did you mean 'strict'?)"),
    "no such registry": ({"heedful_registries": ["/nowhere.heed"]}, "/nowhere.heed"),
    "audit": ({"heedful_audit": "yes"}, "heedful_audit must be True or False."),
    "stores": (
        {"heedful_ledger_stores": "all"},
        "heedful_ledger_stores is 'all', but must be \"record\" or ",
    ),
    "contact": ({"heedful_contact": "a\nb"}, "heedful_contact must be one line"),
    "pages in a list without columns": (
        {"heedful_page_col": "page"},
        "heedful_page_col: input_format txt has no columns, so no 'page'.",
    ),
    "a tag twice": (
        {"heedful_tag": True, "input_format": "csv", "save_additional_columns": ["heedful_id"]},
        "heedful_tag: it adds heedful_id, which is among save_additional_columns already.",
    ),
    "no Ray": ({"distributor": "ray"}, "The distributor ray needs ray: pip install 'heedful[ray]'"),
    "no Spark": ({"distributor": "pyspark"}, "The distributor pyspark needs pyspark: pip install "),
    "an unknown distributor": ({"distributor": "x"}, "img2dataset: ValueError: Distributor x not supported"),
    "an unknown input format": ({"input_format": "x"}, "img2dataset: ValueError: Invalid input format x"),
    "an unknown output format": ({"output_format": "x"}, "img2dataset: ValueError: Invalid output format x"),
    "an unwritable ledger": (
        {"heedful_ledger": "/proc/ledger"},
        "The ledger /proc/ledger cannot be written: No such file or directory.",
    ),
    "a ledger nowhere": ({"heedful_ledger": "nowhere://x"}, "The ledger nowhere://x cannot be written: "),
    "an unwritable output": ({"output_folder": "/proc/out"}, "img2dataset: No such file or directory"),
}


@pytest.mark.parametrize(("options", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_before_anything_is_fetched(download, urls, art, monkeypatch, options, words):
    if "distributor" in options:
        monkeypatch.setitem(sys.modules, options["distributor"], None)
    with pytest.raises(ConfigurationError) as told:
        download(urls, **options)
    assert words in str(told.value)
    assert "img2dataset argument" not in str(told.value)
    assert art.log == ()


def test_all_faults_are_told_together(download, urls):
    with pytest.raises(ConfigurationError) as told:
        download(urls, heedful_token="", heedful_policy="x", heedful_zzz=1, heedful_page_col="p")
    assert len(told.value.faults) == 4


@pytest.mark.parametrize(
    ("args", "options", "words"),
    [
        (("urls.txt",), {"urllist": "x"}, "urllist"),
        ((), {}, "url_list"),
        (("urls.txt", 256, "out"), {"image_size": 2}, "image_size"),
    ],
    ids=["unknown", "missing", "twice"],
)
def test_img2datasets_arguments_are_checked_as_pythons_are(img2dataset, args, options, words):
    from heedful.img2dataset import download

    with pytest.raises(TypeError, match=words):
        download(*args, **options, heedful_token="T")


LISTS = {
    "missing": (None, {}, "missing.csv cannot be read as csv: No such file or directory"),
    "empty": ("", {}, "cannot be read as csv: ArrowInvalid: Empty CSV file"),
    "no such column": (
        "link,x\nhttp://a/,1\n",
        {},
        "missing.csv has no column 'url'. Its columns are 'link', 'x'.",
    ),
    "no such page column": (
        "url,page_url\nhttp://a/,x\n",
        {"heedful_page_col": "pageurl"},
        "missing.csv has no column 'pageurl'. Did you mean 'page_url'?",
    ),
    "no such caption": (
        "url\ttext\nhttp://a/\tx\n",
        {"input_format": "tsv", "caption_col": "txt"},
        "mean 'text'?",
    ),
    "another form": ("PAR1", {"input_format": "parquet"}, "cannot be read as parquet: ArrowInvalid: "),
    "not compressed": ("url\n", {"input_format": "csv.gz"}, "cannot be read as csv.gz: BadGzipFile: "),
    "not UTF-8": ("url\n\udcff\n", {"input_format": "jsonl"}, "cannot be read as jsonl: ArrowInvalid: "),
}


@pytest.mark.parametrize(("text", "options", "words"), LISTS.values(), ids=LISTS)
def test_a_list_that_cannot_be_read(download, tmp_path, text, options, words):
    path = tmp_path / "missing.csv"
    if text is not None:
        path.write_text(text, "utf-8", "surrogateescape")
    with pytest.raises(ConfigurationError) as told:
        download(path, **{"input_format": "csv", **options})
    assert words in str(told.value)


def test_options_have_meanings():
    assert all(meaning.endswith(".") for _, meaning in OPTIONS.values())


# -- arguments -----------------------------------------------------------------------------------------------


def test_positional_arguments_and_relative_paths(img2dataset, download, urls, tmp_path, monkeypatch):
    from heedful.img2dataset import download as real

    monkeypatch.chdir(tmp_path)
    options = {"heedful_token": "PictureBot", "heedful_cache": "cache", "heedful_ledger": "ledger"}
    summary = real(urls.name, 32, "out", 1, "no", number_sample_per_shard=2, thread_count=2, **options)
    assert isinstance(summary, Summary)
    assert (summary.count, summary.stored, summary.skipped) == (3, 2, 1)
    assert summary.ledger == str(tmp_path / "ledger")
    assert len(list((tmp_path / "ledger").glob("*-shard-0000[01].jsonl"))) == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"00000", "00001_stats.json", "_heedful"}


def test_paths_may_be_path_objects(download, urls, tmp_path):
    data, summary = download(urls, output_folder=tmp_path / "data", heedful_ledger=tmp_path / "l")
    assert data.stored == [1, 3]
    assert summary.ledger == str(tmp_path / "l")


def test_several_datasets_share_a_ledger(download, urls, tmp_path):
    for name in ("one", "two"):
        download(urls, output=tmp_path / name, heedful_ledger=tmp_path / "ledger")
    assert len(list((tmp_path / "ledger").glob("img2dataset-*-shard-00000.jsonl"))) == 2


def test_a_ledger_that_is_not_on_a_disk(download, urls):
    import fsspec

    _, summary = download(urls, heedful_ledger="memory://ledger")
    assert summary.stored == 2
    (path,) = fsspec.filesystem("memory").glob("/ledger/*.jsonl")
    assert len(fsspec.filesystem("memory").cat_file(path).splitlines()) == 3


# -- incremental modes ---------------------------------------------------------------------------------------


def test_a_second_call_has_nothing_left_to_do(download, urls, art):
    download(urls)
    before = len(art.log)
    data, summary = download(urls)
    assert len(art.log) == before
    assert (summary.shards, summary.count) == (0, 0)
    assert len(data.records) == 3


def test_extended_it_has_both(download, urls, art):
    download(urls)
    data, summary = download(urls, incremental_mode="extend")
    assert (summary.shards, summary.count) == (1, 3)
    assert data.stored == [1, 1, 3, 3]
    assert len(data.records) == 6


def test_overwritten_it_has_the_new_one(download, urls, listed, art):
    download(urls)
    data, summary = download(listed(art.url("a", "/3.jpg"), name="other.txt"), incremental_mode="overwrite")
    assert summary.stored == 1
    assert data.stored == [3]
    assert len(data.records) == 1


LEFT = {
    "files": ("00000/000000009.jpg", True),
    "webdataset": ("00000.tar", True),
    "parquet": ("00000.parquet", True),
    "another shard's": ("00001/000010000.jpg", False),
}


@pytest.mark.parametrize(("name", "removed"), LEFT.values(), ids=LEFT)
def test_what_an_undone_shard_has_left_is_removed(download, urls, tmp_path, name, removed):
    left = tmp_path / "data" / name
    left.parent.mkdir(parents=True)
    left.write_bytes(Picture(2, "JPEG").render())
    data, _ = download(urls, output_format="files")
    assert (2 not in data.stored) is removed
    assert {1, 3} <= set(data.stored)


def test_shards_that_were_done_without_us_are_told_of(download, urls, tmp_path, caplog):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "00000_stats.json").write_text('{"count": 3}')
    _, summary = download(urls)
    assert summary.count == 0
    assert "1 shards that are done already have no ledger at " in caplog.text


# -- at its end ----------------------------------------------------------------------------------------------


def losing(what):
    """A distributor after which a shard's ledger is not as the worker left it."""

    def distributor(processes_count, downloader, reader, subjob_size, max_shard_retry):
        for number, row in enumerate(reader):
            copy.deepcopy(downloader)(row)
            if number == 0:
                (ledger,) = Path(downloader._guard.ledger).glob("*-shard-00000.jsonl")
                what(ledger)

    return distributor


SHORT = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "short": lambda path: path.write_bytes(path.read_bytes().splitlines(keepends=True)[0]),
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-30]),
}


@pytest.mark.parametrize("what", SHORT.values(), ids=SHORT)
def test_a_shard_without_its_whole_ledger_is_done_anew(download, urls, img2dataset, monkeypatch, what):
    whole = img2dataset.multiprocessing_distributor
    monkeypatch.setattr(img2dataset, "multiprocessing_distributor", losing(what))
    with pytest.raises(UnfinishedError) as told:
        download(urls, number_sample_per_shard=2)
    assert told.value.faults[0].startswith("Shard 0 is to be done anew: ")
    assert told.value.summary.count == 1
    assert "Run the same command again" in str(told.value)

    monkeypatch.setattr(img2dataset, "multiprocessing_distributor", whole)
    data, summary = download(urls, number_sample_per_shard=2)
    assert (summary.shards, summary.count) == (1, 2)
    assert data.stored == [1, 3]
    assert len(data.records) == 3


def test_shards_that_a_distributor_has_lost_are_told_of(download, urls, img2dataset, monkeypatch):
    def losing_one(processes_count, downloader, reader, subjob_size, max_shard_retry):
        for number, row in enumerate(reader):
            if number != 1:
                downloader(row)

    monkeypatch.setattr(img2dataset, "multiprocessing_distributor", losing_one)
    with pytest.raises(UnfinishedError) as told:
        download(urls, number_sample_per_shard=1)
    assert told.value.faults == ["Shard 1 is not done."]
    assert (told.value.summary.count, told.value.summary.stored) == (2, 2)


def test_nothing_is_stored_where_the_ledger_is_full(download, urls, tmp_path):
    private = tmp_path / "data" / "_heedful"
    (private / "ledger").mkdir(parents=True)
    (private / "dataset").write_text("img2dataset-full")
    (private / "ledger" / "img2dataset-full-shard-00000.jsonl.part").symlink_to("/dev/full")
    with pytest.raises(UnfinishedError) as told:
        download(urls, thread_count=1, retries=3, max_shard_retry=0)
    assert told.value.faults == ["Shard 0 is not done."]
    assert list((tmp_path / "data").rglob("*.jpg")) == []
    assert not list((tmp_path / "data").glob("*_stats.json"))


def test_a_shard_that_cannot_be_written_is_not_done(download, urls, tmp_path, monkeypatch):
    """As on a full disk: img2dataset alone would call such a shard done."""
    from img2dataset.writer import FilesSampleWriter

    write = FilesSampleWriter.write

    def full(self, picture, key, caption, meta):
        if key.endswith("2"):
            raise OSError(28, "No space left on device")
        write(self, picture, key, caption, meta)

    with monkeypatch.context() as patched:
        patched.setattr(FilesSampleWriter, "write", full)
        with pytest.raises(UnfinishedError):
            download(urls)
    data, summary = download(urls)
    assert (summary.stored, summary.skipped) == (2, 1)
    assert data.stored == [1, 3]
    assert len(data.records) == 3


def test_what_is_skipped_is_printed_beside_what_img2dataset_prints(download, urls, monkeypatch, tmp_path):
    from heedful.img2dataset import _results

    download(urls)

    class Terminal(io.StringIO):
        told = threading.Event()

        def flush(self):
            self.told.set()

    terminal = Terminal()
    monkeypatch.setattr(_results, "EVERY", 0.01)
    monkeypatch.setattr(sys, "stdout", terminal)
    with _results.progress(str(tmp_path / "data"), [0, 1], 5):
        assert terminal.told.wait(30)
    assert terminal.getvalue() == (
        "heedful - stored: 0.667 - opted out: 0.333 - deferred: 0.000 - count: 3\n"
    )


def test_an_error_of_a_distributor_is_raised(download, urls, img2dataset, monkeypatch):
    def broken(*args):
        raise RuntimeError("broken")

    monkeypatch.setattr(img2dataset, "multiprocessing_distributor", broken)
    with pytest.raises(RuntimeError, match="broken"):
        download(urls)


def test_an_interrupt_is_one(download, urls, img2dataset, monkeypatch):
    """img2dataset itself says with exit code 0 that all is well."""

    def interrupted(*args):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(img2dataset, "multiprocessing_distributor", interrupted)
    with pytest.raises(KeyboardInterrupt):
        download(urls)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# -- what it leaves behind -----------------------------------------------------------------------------------


def state(module):
    downloader = sys.modules["img2dataset.downloader"]
    return {
        **{name: getattr(module, name) for name in DISTRIBUTORS},
        "download_image": downloader.download_image,
        "write_stats": downloader.write_stats,
        "opener": vars(urllib.request)["_opener"],
        "SIGINT": signal.getsignal(signal.SIGINT),
        "environment": dict(os.environ),
        "children": multiprocessing.active_children(),
    }


@pytest.mark.parametrize("fails", [False, True], ids=["done", "failed"])
def test_process_and_worker_are_as_they_were(download, urls, img2dataset, monkeypatch, fails):
    opener = urllib.request.build_opener()
    monkeypatch.setattr(urllib.request, "_opener", opener)
    before = state(img2dataset)
    if fails:
        from img2dataset.writer import FilesSampleWriter

        monkeypatch.setattr(FilesSampleWriter, "__init__", lambda *_: 1 / 0)
        with pytest.raises(UnfinishedError):
            download(urls)
    else:
        download(urls)
    assert state(img2dataset) == before


def test_plain_img2dataset_is_plain_again(download, urls, img2dataset, tmp_path):
    download(urls)
    interrupt = signal.getsignal(signal.SIGINT)
    img2dataset.download(
        str(urls), output_folder=str(tmp_path / "plain"), resize_mode="no", disallowed_header_directives=[]
    )
    signal.signal(signal.SIGINT, interrupt)  # img2dataset leaves its own
    assert len(list((tmp_path / "plain").rglob("*.jpg"))) == 3
    assert not (tmp_path / "plain" / "_heedful").exists()


def test_another_version_of_img2dataset_is_refused(img2dataset, monkeypatch):
    from heedful.img2dataset import _download

    monkeypatch.setattr(_download.metadata, "version", lambda _: "1.48.0")
    with pytest.raises(ConfigurationError, match=r"img2dataset 1\.48\.0 is not known"):
        _download.img2dataset_main()


def test_what_is_not_installed_is_named(monkeypatch):
    from heedful.img2dataset import _download

    monkeypatch.setitem(sys.modules, "img2dataset.main", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'heedful\[img2dataset\]'"):
        _download.img2dataset_main()


def test_importing_it_needs_nothing_of_img2dataset():
    code = (
        "import sys, heedful.img2dataset, heedful.cli\n"
        "print(sorted({'img2dataset', 'pyarrow', 'fire', 'wandb'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# -- the main script -----------------------------------------------------------------------------------------

DOWNLOAD = 'heedful.img2dataset.download("urls.txt", output_folder="out", heedful_token="T")'
CHECK = "heedful.img2dataset._main.check_guard()"
SCRIPTS = {
    "at the top": (DOWNLOAD, False),
    "in a function": (f"def go():\n    {DOWNLOAD}\ngo()", False),
    "below another condition": (f"if True:\n    {DOWNLOAD}", False),
    "guarded": (f"if __name__ == '__main__':\n    {CHECK}", True),
    "guarded in a try": (f"try:\n  if '__main__' == __name__:\n    {CHECK}\nfinally: pass", True),
    "guarded, in a function": (f"def go():\n    {CHECK}\nif __name__ == '__main__':\n    go()", True),
}


@pytest.mark.parametrize(("script", "good"), SCRIPTS.values(), ids=SCRIPTS)
def test_a_script_without_a_guard_is_told_at_once(tmp_path, script, good):
    (tmp_path / "script.py").write_text(f"import heedful.img2dataset\n{script}\n")
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    if good:
        assert (done.returncode, done.stderr) == (0, "")
        return
    *_, last = done.stderr.splitlines()
    assert last.startswith("heedful.errors.ConfigurationError: ")
    assert "script.py again: put what calls download below `if __name__ == '__main__':`" in last
    assert not (tmp_path / "out").exists()


def test_a_process_that_reads_the_script_again_is_told_as_well(monkeypatch):
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(ConfigurationError, match="each of them would start a download of its own"):
        _main.check_guard()
