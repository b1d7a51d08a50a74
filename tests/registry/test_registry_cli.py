"""`heedful registry`, as a user calls it."""

from __future__ import annotations

import csv
import json
from datetime import datetime, timedelta, timezone

import pytest
from click.testing import CliRunner

from heedful.cli import main
from heedful.registry import Registry
from heedful.registry.entries import Kind

URLS = "https://a.example/1.jpg\nhttps://b.example/2.jpg\nhttps://b.example/2.jpg\n"
GENERAL = """kind,entry,list,date,purpose,expires,opt_in
host,c.example,artists,2026-01-02,,,
url,https://c.example/ok.jpg,artists,,,,true
path,d.example/art/,artists,,train-generative,,
"""
NOW = datetime.now(timezone.utc).timestamp()


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Call the command line in a folder of its own; what it printed, and its exit code."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "urls.txt").write_text(URLS)
    (tmp_path / "general.csv").write_text(GENERAL)

    def call(*args, code=0, as_json=True):
        done = CliRunner().invoke(main, ["registry", *args, *(["--json"] if as_json else [])])
        assert done.exit_code == code, done.output
        if not as_json:
            return done.output
        return [json.loads(line) for line in done.stdout.splitlines()]

    return call


def entries(folder="x.heed"):
    with Registry.open(folder, now=NOW) as found:
        return [(entry.kind.value, entry.text, entry.opt_in) for entry in found.entries()]


def test_build(run):
    (told,) = run("build", "x.heed", "urls.txt", "general.csv")
    assert (told["version"], told["taken"], told["duplicates"], told["rejected"]) == (1, 5, 1, 0)
    assert told["kinds"] == {"url": 3, "host": 1, "path": 1}
    assert [(file["name"].rpartition("/")[2], file["format"], file["lines"]) for file in told["files"]] == [
        ("urls.txt", "urls", 3),
        ("general.csv", "entries", 3),
    ]
    assert entries()[0] == ("url", "https://a.example/1.jpg", False)
    text = run("build", "x.heed", "urls.txt", as_json=False)
    assert "version 2" in text
    assert "duplicates" in text
    assert len(entries()) == 2


def test_options_say_what_the_source_does_not(run):
    expires = (datetime.now(timezone.utc) + timedelta(days=9)).date().isoformat()
    options = ["--list", "mine", "--opt-in", "--date", "2026-02-03", "--purpose", "train-generative"]
    run("build", "x.heed", "urls.txt", *options, "--expires", expires, "--valid-until", expires)
    with Registry.open("x.heed", now=NOW) as found:
        entry = next(found.entries())
        assert (entry.list, entry.opt_in, entry.purpose.value) == ("mine", True, "train-generative")
        assert (entry.date.isoformat(), entry.expires.isoformat()) == ("2026-02-03", expires)
        end = datetime.fromisoformat(expires).replace(tzinfo=timezone.utc) + timedelta(days=1)
        assert found.manifest.valid_until == end.timestamp()


def test_add_withdraw_merge(run, tmp_path):
    run("build", "x.heed", "urls.txt")
    run("add", "x.heed", "general.csv")
    (tmp_path / "gone.txt").write_text("http://a.example/1.jpg\n")
    (told,) = run("withdraw", "x.heed", "gone.txt", "--list", "urls")
    assert (told["withdrawn"], told["version"]) == (1, 3)
    before = entries()
    assert ("url", "https://a.example/1.jpg", False) not in before
    (told,) = run("merge", "x.heed")
    assert (told["version"], told["entries"]) == (4, 4)
    assert entries() == before
    (told,) = run("info", "x.heed")
    assert (told["entries"], len(told["segments"]), told["lists"]) == (4, 1, ["artists", "urls"])
    assert "version" in run("info", "x.heed", as_json=False)


ROTTEN = "kind,entry\nhost,a.example\nhost,b c\nnonsense,x\n"


@pytest.mark.parametrize(("most", "code"), [("1%", 2), ("66%", 2), ("67%", 0), ("1", 2), ("2", 0), ("0", 2)])
def test_rejects(run, tmp_path, most, code):
    (tmp_path / "rotten.csv").write_text(ROTTEN)
    run("build", "x.heed", "urls.txt")
    words = run(
        *("build", "x.heed", "rotten.csv", "--rejects", "rejects.csv", "--max-rejects", most),
        code=code,
        as_json=False,
    )
    rows = list(csv.DictReader((tmp_path / "rejects.csv").read_text().splitlines()))
    assert [(row["line"], row["source"].rpartition("/")[2]) for row in rows] == [
        ("3", "rotten.csv"),
        ("4", "rotten.csv"),
    ]
    assert "rotten.csv:3: it is not a host's name" in words
    assert ("nothing was changed" in words) == bool(code)
    assert len(entries()) == (2 if code else 1)  # what was there before is whole


@pytest.mark.parametrize("most", ["x", "-1", "-1%", "1.5"])
def test_a_wrong_limit_is_told(run, most):
    assert "part of them such as 1%" in run(
        "build", "x.heed", "urls.txt", "--max-rejects", most, code=2, as_json=False
    )


LOOKUPS = {
    "opted out": ("http://a.example:80/1.jpg#x", "opted out", [("url", "decides for its list")], 1),
    "opted in": (
        "https://c.example/ok.jpg",
        "opted in",
        [("url", "decides for its list"), ("host", "is overruled by a more specific entry of its list")],
        0,
    ),
    "not listed": ("https://e.example/", "not listed", [], 0),
    "another use": ("https://d.example/art/1", "not listed", [("path", "is about another use")], 0),
}


@pytest.mark.parametrize(("url", "decision", "says", "code"), LOOKUPS.values(), ids=LOOKUPS)
def test_lookup(run, url, decision, says, code):
    run("build", "x.heed", "urls.txt", "general.csv")
    (answer,) = run("lookup", "x.heed", url, "--purpose", "train-nongenerative", code=code)
    assert answer["decision"] == decision
    assert [(match["kind"], match["says"]) for match in answer["matches"]] == says
    assert {"kind": "host", "key": url.split("/")[2].partition(":")[0]} in answer["tried"]
    text = run("lookup", "x.heed", url, "--purpose", "train-nongenerative", code=code, as_json=False)
    assert decision in text
    assert "tried url" in text


def test_lookup_of_digests_and_of_what_is_no_url(run, tmp_path):
    digest = "ab" * 32
    (tmp_path / "files.csv").write_text(f"kind,entry\nsha256,{digest}\nmd5,{'cd' * 16}\nurl,http://[bad\n")
    run("build", "x.heed", "files.csv")
    answers = run("lookup", "x.heed", digest.upper(), "cd" * 16, "http://[bad", "ef" * 16, code=1)
    assert [answer["decision"] for answer in answers] == ["opted out"] * 3 + ["not listed"]
    assert answers[0]["matches"][0]["kind"] == Kind.SHA256.value


def test_export_is_read_back(run, tmp_path):
    run("build", "x.heed", "urls.txt", "general.csv")
    (told,) = run("export", "x.heed", "out.csv")
    assert told["entries"] == 5
    run("build", "y.heed", "out.csv")
    assert sorted(entries("y.heed")) == sorted(entries())
    run("export", "x.heed", "sorted.csv", "--surt")
    keys = [row["surt"] for row in csv.DictReader((tmp_path / "sorted.csv").read_text().splitlines())]
    assert keys == sorted(keys)
    assert keys[0] == "example,a)/1.jpg"


def test_verify(run, tmp_path):
    run("build", "x.heed", "urls.txt")
    (told,) = run("verify", "x.heed")
    assert (told["entries"], told["signed"]) == (2, "no")
    (part,) = (path for path in (tmp_path / "x.heed").glob("seg-*") if path.is_dir())
    heap = part / "E"
    data = bytearray(heap.read_bytes())
    data[len(data) // 2] ^= 1
    heap.write_bytes(data)
    assert "is damaged: the checksum" in run("verify", "x.heed", code=2, as_json=False)


def test_signatures(run, tmp_path):
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    keys = [ed25519.Ed25519PrivateKey.generate() for _ in range(2)]
    for number, key in enumerate(keys):
        (tmp_path / f"{number}.key").write_bytes(key.private_bytes_raw())
        (tmp_path / f"{number}.pub").write_bytes(key.public_key().public_bytes_raw())
    run("build", "x.heed", "urls.txt", "--sign-key", "0.key")
    (told,) = run("verify", "x.heed", "--public-key", "0.pub")
    assert told["signed"] == "by the key given"
    assert "is not signed by the key given" in run(
        "verify", "x.heed", "--public-key", "1.pub", code=2, as_json=False
    )
    assert "is signed: give the private key" in run("add", "x.heed", "general.csv", code=2, as_json=False)
    run("add", "x.heed", "general.csv", "--sign-key", "0.key")
    assert run("verify", "x.heed", "--public-key", "0.pub")[0]["version"] == 2


FAULTS = {
    "no such source": (("build", "x.heed", "nowhere.txt"), "nowhere.txt: there is no such file"),
    "no such registry": (("lookup", "nowhere.heed", "http://a.example/"), "is no registry"),
    "nothing to add to": (("add", "nowhere.heed", "urls.txt"), "is no registry"),
    "a folder of other things": (("build", ".", "urls.txt"), "is no registry, and not empty"),
    "no such format": (("build", "x.heed", "urls.txt", "--format", "pdf"), "'pdf' is not one of"),
    "an export that is no table": (("export", "y.heed", "out.txt"), "must end in .csv or .parquet"),
    "past": (("build", "x.heed", "urls.txt", "--valid-until", "2020-01-01"), "that is past"),
}


@pytest.mark.parametrize(("args", "words"), FAULTS.values(), ids=FAULTS)
def test_faults_are_told(run, args, words):
    run("build", "y.heed", "urls.txt")
    assert words in run(*args, code=2, as_json=False)


def test_from_standard_input_by_the_real_command(heedful, tmp_path):
    done = heedful(
        "registry", "build", str(tmp_path / "x.heed"), "-", "--json", stdin="https://a.example/1.jpg\n" * 3
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["taken"], told["duplicates"], told["files"][0]["name"]) == (1, 2, "standard input")
    assert done.stderr == ""


def test_names_are_no_markup(run):
    assert "a[bold]b.heed" in run("build", "a[bold]b.heed", "urls.txt", as_json=False)
    assert "a[bold]b.heed" in run("info", "a[bold]b.heed", as_json=False)
