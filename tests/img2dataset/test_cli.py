"""`heedful img2dataset`: what it refuses, in this process; what it does, as the real program."""

from __future__ import annotations

import json
import socket

import pytest
from click.testing import CliRunner

from heedful.cli import main
from heedful.testing import TOKEN, File, Picture, Site, Web, identify, serve

JPEG = ("Content-Type", "image/jpeg")


@pytest.fixture
def art():
    site = {
        "/1.jpg": File(Picture(1, "JPEG"), headers=(JPEG,)),
        "/2.jpg": File(Picture(2, "JPEG"), headers=(JPEG, ("X-Robots-Tag", "noai"))),
    }
    with serve(Web({"a": Site(site)})) as served:
        yield served


@pytest.fixture
def refused(img2dataset, tmp_path, monkeypatch):
    """Run the command in this process; it is to end before anything is fetched."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEEDFUL_TOKEN", raising=False)

    def run(*args):
        done = CliRunner().invoke(main, ["img2dataset", *args])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert not (tmp_path / "images").exists()
        return done

    return run


REFUSED = {
    "no token": (("--", "--url_list", "x"), ["Error: --token is missing: "]),
    "no list": (("--token", "T", "--"), ["Error: img2dataset: ", "url_list"]),
    "an unknown flag": (
        ("--token", "T", "--", "--url_list", "x", "--output_foldr", "y"),
        ["Error: img2dataset has no argument --output_foldr. Did you mean --output_folder?"],
    ),
    "an unknown flag with a value": (
        ("--token", "T", "--", "--url_list=x", "--proceses-count=2"),
        ["Error: img2dataset has no argument --proceses-count. Did you mean --processes_count?"],
    ),
    "a flag like no other": (
        ("--token", "T", "--", "--url_list", "x", "--zzz"),
        ["Error: img2dataset has no argument --zzz.\n"],
    ),
    "no dashes between": (
        ("--token", "T", "--url_list", "x"),
        ["Error: No such option: --url_list", "goes behind --: heedful img2dataset ... -- --url_list"],
    ),
    "an option that is ours": (
        ("--token", "T", "--", "--url_list", "x", "--heedful_policy", "strict"),
        ["Error: img2dataset has no argument --heedful_policy."],
    ),
    "too many": (
        ("--token", "T", "--", *"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"),
        ["Error: "],
    ),
    "an unknown policy": (
        ("--token", "T", "--policy", "stict", "--", "--url_list", "x"),
        ["Error: There is no policy 'stict' (did you mean 'strict'?)"],
    ),
    "a missing registry": (
        ("--token", "T", "--registry", "x.heed", "--", "--url_list", "x"),
        ["x.heed"],
    ),
    "pages without columns": (
        ("--token", "T", "--page-col", "p", "--", "--url_list", "x"),
        ["Error: --page-col: input_format txt has no columns, so no 'p'."],
    ),
    "a terminal escape": (
        ("--token", "T", "--policy", "\x1b[2Jx", "--", "--url_list", "x"),
        [r"'\x1b[2Jx'"],
    ),
    "several faults": (
        ("--policy", "x", "--page-col", "p", "--", "--url_list", "x"),
        ["--token is missing", "There is no policy", "--page-col: "],
    ),
    "stores": (("--token", "T", "--ledger-stores", "all", "--", "--url_list", "x"), ["--ledger-stores"]),
}


@pytest.mark.parametrize(("args", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_one_clear_sentence_and_exit_2(refused, args, words):
    done = refused(*args)
    assert done.exit_code == 2, done.output
    for each in words:
        assert each in done.stderr
    assert "heedful_" not in done.stderr or "--heedful_policy" in args
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_of_both(refused, flag):
    ours = refused(flag)
    assert ours.exit_code == 0
    for words in ("--page-col", "--token", "heedful img2dataset -- --help"):
        assert words in " ".join(ours.stdout.split())
    theirs = refused("--", flag)
    assert theirs.exit_code == 0
    assert theirs.stdout.startswith("NAME\n    img2dataset - ")
    assert "URL_LIST" in theirs.stdout
    assert "--max_shard_retry" in theirs.stdout


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--url_list", "other.csv"], "other.csv cannot be read as csv: No such file or directory"),
        (
            ["--url_list", "urls.csv", "--output_format", "png"],
            "img2dataset: ValueError: Invalid output format",
        ),
    ],
    ids=["a missing list", "before img2dataset's own logger is told to end"],
)
def test_what_img2dataset_stumbles_over_ends_the_program(heedful, tmp_path, args, words):
    (tmp_path / "urls.csv").write_text("url\n")
    command = (
        "img2dataset",
        "--token",
        TOKEN,
        "--json",
        "--",
        "--input_format",
        "csv",
        "--output_folder",
        "out",
    )
    done = heedful(*command, *args, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert words in done.stderr.splitlines()[-1]
    assert done.stdout == ""
    assert not list((tmp_path / "out").glob("*.json"))


def test_a_run_printed_as_json_whose_workers_ask_nobody_else(heedful, art, tmp_path):
    """Relative paths; who looks for updates does so over HTTPS, and would come to the proxy here."""
    (tmp_path / "urls.txt").write_text("".join(art.url("a", f"/{number}.jpg\n") for number in (1, 2)))
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        environment = {
            "HTTPS_PROXY": address,
            "https_proxy": address,
            "HEEDFUL_TOKEN": TOKEN,
            "HEEDFUL_CONTACT": "https://me.example/bot",
        }
        args = ["--url_list", "urls.txt", "--output_folder", "out", "--processes_count", "2"]
        args += ["--resize_mode", "no", "--number_sample_per_shard", "1", "--noextract_exif"]
        done = heedful(
            "img2dataset", "--cache", "cache", "--tag", "--json", "--", *args, cwd=tmp_path, **environment
        )
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):
            proxy.accept()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "shards": 2,
        "count": 2,
        "stored": 1,
        "skipped": 1,
        "deferred": 0,
        "failed": 0,
        "reasons": {"x-robots-tag": 1},
        "ledger": str(tmp_path / "out" / "_heedful" / "ledger"),
        "faults": [],
    }
    assert [identify(path) for path in (tmp_path / "out").rglob("*.jpg")] == [1]
    assert (tmp_path / "cache").exists()
    agents = {dict(hit.headers)["User-Agent"] for hit in art.log}
    assert all(agent.startswith(f"{TOKEN} (+https://me.example/bot) heedful/") for agent in agents)


def test_a_run_for_people_that_did_not_come_to_its_end(heedful, art, tmp_path):
    (tmp_path / "urls.txt").write_text("".join(art.url("a", f"/{number}.jpg\n") for number in (1, 2)))
    private = tmp_path / "out" / "_heedful"
    (private / "ledger").mkdir(parents=True)
    (private / "dataset").write_text("img2dataset-full")
    (private / "ledger" / "img2dataset-full-shard-00001.jsonl.part").symlink_to("/dev/full")
    args = ["--url_list", "urls.txt", "--output_folder", "out", "--resize_mode", "no"]
    done = heedful(
        "img2dataset",
        "--token",
        TOKEN,
        "--cache",
        "cache",
        "--",
        *args,
        "--number_sample_per_shard=1",
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-2:] == [
        "Error: Shard 1 is not done.",
        "Error: Run the same command again: what is done is not done anew.",
    ]
    table = done.stdout[done.stdout.index("Pictures") :]
    assert "stored" in table
    assert str(private / "ledger") in done.stdout
    assert [identify(path) for path in (tmp_path / "out").rglob("*.jpg")] == [1]
