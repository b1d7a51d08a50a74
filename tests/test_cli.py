"""The command line as a user meets it: the real program, its output and its exit codes."""

from __future__ import annotations

import json

import pytest

from heedful import __version__
from heedful.ledger import LedgerReader
from heedful.testing import File, Picture, Site, Web, identify, serve

JPEG = (("Content-Type", "image/jpeg"),)
HTML = (("Content-Type", "text/html"),)


def site(**extra):
    files = {
        "/": File('<img src="/1.jpg" alt="one"><img src="/2.jpg"><a href="/closed/">x</a>', headers=HTML),
        "/robots.txt": File("User-agent: *\nDisallow: /closed/\n"),
        "/1.jpg": File(Picture(1, "JPEG"), headers=JPEG),
        "/2.jpg": File(Picture(2, "JPEG"), headers=(*JPEG, ("X-Robots-Tag", "noai"))),
        "/closed/": File('<img src="/3.jpg">', headers=HTML),
        **extra,
    }
    return serve(Web({"a": Site(files)}))


def test_version_and_help(heedful):
    assert heedful("--version").stdout == f"heedful, version {__version__}\n"
    for command in ("crawl", "demo", "policy"):
        assert command in heedful("-h").stdout


# -- crawl ---------------------------------------------------------------------------------------------------


def test_crawl_makes_a_dataset(heedful, tmp_path):
    out = tmp_path / "out"
    with site() as web:
        done = heedful("crawl", web.start_url, "--out", out, "--token", "PictureBot")
        assert web.hits("a", "/closed/") == ()
    assert done.returncode == 0, done.stderr
    assert [identify(path) for path in (out / "images").rglob("*.jpg")] == [1]
    (line,) = (out / "images.jsonl").read_text().splitlines()
    item = json.loads(line)
    assert (item["alt"], item["page"]) == ("one", web.start_url)
    assert (out / "images" / item["images"][0]["path"]).exists()
    assert "x-robots-tag" in done.stdout
    assert str(out / "ledger") in done.stdout
    actions = sorted(
        (record.url.rpartition("/")[2], record.action) for record in LedgerReader(str(out / "ledger"))
    )
    assert actions == [("", "skip"), ("1.jpg", "store"), ("2.jpg", "skip")]


def test_crawl_json(heedful, tmp_path):
    with site() as web:
        done = heedful(
            "crawl", web.start_url, "--out", "out", "--json", cwd=tmp_path, HEEDFUL_TOKEN="PictureBot"
        )
    assert json.loads(done.stdout) == {
        "pages": 1,
        "pictures": 2,
        "stored": 1,
        "skipped": {"x-robots-tag": 1},
        "deferred": {},
        "failed": 0,
        "bytes_avoided": 0,
        "finish_reason": "finished",
        "out": str(tmp_path / "out"),
        "ledger": str(tmp_path / "out" / "ledger"),
    }


def test_crawl_audits(heedful, tmp_path):
    with site() as web:
        done = heedful(
            "crawl", web.start_url, "--out", tmp_path, "--token", "PictureBot", "--audit", "--json"
        )
    assert done.returncode == 0, done.stderr
    assert sorted(identify(path) for path in (tmp_path / "images").rglob("*.jpg")) == [1, 2]
    assert not any(record.run.enforced for record in LedgerReader(str(tmp_path / "ledger")))


BAD = {
    "no token": (["http://127.0.0.1:9/"], ["--token"]),
    "an invalid token": (
        ["--token", "Picture Bot", "http://127.0.0.1:9/"],
        ["Error: 'Picture Bot' is no product token"],
    ),
    "an unknown policy": (
        ["--token", "T", "--policy", "stict", "http://127.0.0.1:9/"],
        ["Error: There is no policy 'stict' (did you mean 'strict'?)"],
    ),
    "no URL": (["--token", "T"], ["Missing argument 'URL...'"]),
    "a URL that does not parse": (
        ["--token", "T", "http://["],
        ["Error: 'http://[' is not a valid http(s) URL."],
    ),
    "another scheme": (["--token", "T", "ftp://x/"], ["Error: 'ftp://x/' is not a valid http(s) URL."]),
    "an unwritable ledger": (
        ["--token", "T", "--ledger", "/proc/ledger", "http://127.0.0.1:9/"],
        ["Error: HEEDFUL_LEDGER: The ledger /proc/ledger cannot be written: "],
    ),
    "an unwritable output": (
        ["--token", "T", "--out", "/proc/out", "http://127.0.0.1:9/"],
        ["Error: The output folder /proc/out cannot be written: "],
    ),
    "several faults": (
        ["--token", "", "--policy", "x", "nonsense"],
        ["'nonsense' is not a valid", "'' is no product token"],
    ),
    "a terminal escape": (["--token", "T", "\x1b[2Jx"], [r"Error: '\x1b[2Jx' is not a valid"]),
}


@pytest.mark.parametrize(("args", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_one_clear_sentence_and_exit_2(heedful, tmp_path, args, words):
    if "--out" not in args:
        args = ["--out", str(tmp_path / "out"), *args]
    done = heedful("crawl", *args)
    assert done.returncode == 2, done.stderr
    for part in words:
        assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr
    assert done.stdout == ""


def test_what_is_missing_is_named(heedful, tmp_path):
    (tmp_path / "scrapy.py").write_text("raise ImportError('No module named scrapy', name='scrapy')")
    done = heedful(
        "crawl", "http://127.0.0.1:9/", "--out", tmp_path / "o", "--token", "T", PYTHONPATH=str(tmp_path)
    )
    assert done.returncode == 2
    assert "pip install 'heedful[scrapy]'" in done.stderr


# -- demo ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["standard", "letter"])
def test_demo(heedful, tmp_path, policy):
    out = tmp_path / "demo"
    for _ in range(2):  # an earlier demo's folder is used again
        done = heedful("demo", "--out", out, "--policy", policy, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["good"]
    free = [each for each in outcome["exhibits"] if each["wanted"] == "store"]
    assert len(free) == outcome["stored"]
    for crawler, folder in (("scrapy", "images"), ("img2dataset", "img2dataset")):
        assert len(free) == len(list((out / folder).rglob("*.jpg")))
        assert sum(each["crawlers"][crawler]["stored"] for each in outcome["exhibits"]) == len(free)
    assert outcome["bytes_avoided"] > 1_000_000


def test_demo_prints_what_it_did(heedful, tmp_path):
    done = heedful("demo", cwd=tmp_path)
    assert done.returncode == 0
    assert "robots.txt answers 500" in done.stdout
    assert done.stdout.count("free pictures stored, 0 of") == 2
    assert "body bytes not downloaded" in done.stdout


def test_demo_spares_what_is_not_its_own(heedful, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    done = heedful("demo", "--out", tmp_path)
    assert done.returncode == 2
    assert "holds other things than a demo" in done.stderr
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_demo_knows_the_shipped_policies_only(heedful):
    done = heedful("demo", "--policy", "mine")
    assert done.returncode == 2
    assert "The demo knows the truth for standard, strict, letter, opt-in" in done.stderr


# -- policy --------------------------------------------------------------------------------------------------


def test_policy_show(heedful):
    shown = heedful("policy", "show", "strict").stdout
    assert "index_rules" in shown
    assert "deny log off" in shown
    data = json.loads(heedful("policy", "show", "--json").stdout)
    assert (data["name"], data["switches"]["index_rules"], len(data["hash"])) == ("standard", "deny", 64)


def test_policy_validate(heedful, tmp_path):
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('extends = "letter"\n')
    bad.write_text('regime = "x"\npurpose = "y"\n')
    done = heedful("policy", "validate", "strict", good, bad)
    assert done.returncode == 2
    assert "strict: valid" in done.stdout
    assert f"{good}: valid" in done.stdout
    assert f"{bad}:1: regime" in done.stderr
    assert f"{bad}:2: purpose" in done.stderr
    assert heedful("policy", "validate", good).returncode == 0
