"""`heedful filter` as users see it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from heedful import cli
from heedful.bulk._filter_cli import filter_
from heedful.errors import ConfigurationError

from .listed import KEPT, URLS

PROGRAM = "from heedful.cli import main; main()"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"URL": list(URLS)}), path)
    return path


@pytest.fixture
def run(artists, tmp_path):
    """Run the command in this process."""

    def invoke(*args, command=filter_):
        given = [*map(str, args), "--registry", str(artists), "--workers", "1"]
        return CliRunner().invoke(command, given, env={"COLUMNS": "160"})

    return invoke


def test_a_list_without_what_is_opted_out(run, source, tmp_path):
    out = tmp_path / "out.parquet"
    done = run("filter", source, out, command=cli.main)
    assert done.exit_code == 0
    assert pq.read_table(out).column("URL").to_pylist() == list(KEPT)
    lines = [" ".join(line.replace("│", " ").split()) for line in done.stdout.splitlines()]
    for words in (
        "read 25",
        "kept 7",
        "of them opted in 2",
        "skipped 13",
        "registry.url 6",
        "deferred 5",
        "of them no http(s) URL 5",
        "list artists 10",
        'list a "list", named 1',
    ):
        assert words in lines
    assert f"1 file, in {out}" in lines
    assert f"ledger {out}.heedful/ledger" in lines
    assert "Filtering" not in done.stdout


def test_tags_are_explained(run, source, tmp_path):
    done = run(source, tmp_path / "out.parquet", "--tag")
    assert "All rows were kept and tagged" in done.stdout
    assert "to skip" in done.stdout


def test_json_is_one_object(run, source, tmp_path):
    out = tmp_path / "out.parquet"
    done = run(source, out, "--json", "--no-ledger", "--policy", "opt-in")
    data = json.loads(done.stdout)
    seconds = data.pop("seconds")
    assert 0 < seconds < 60
    assert data == {
        "rows": 25,
        "kept": 7,
        "skipped": {
            "registry.url": 6,
            "registry.host": 4,
            "registry.domain": 1,
            "registry.path": 1,
            "registry.pattern": 1,
        },
        "deferred": {"undetermined": 5},
        "lists": {"artists": 10, "agency": 1, "tests": 1, 'a "list", named': 1},
        "no_url": 5,
        "opted_in": 2,
        "files": 1,
        "before": 0,
        "unreadable": [],
        "tagged": False,
        "needs_opt_in": True,
        "out": str(out),
        "ledger": None,
    }
    assert not (tmp_path / "out.parquet.heedful" / "ledger").exists()


def test_what_cannot_be_read_is_named_and_makes_the_exit_code(run, source, tmp_path):
    bad = tmp_path / "bad\x1b[31m.parquet"
    bad.write_bytes(b"x")
    done = run(source, bad, tmp_path / "out")
    assert done.exit_code == 1
    assert "Error: " in done.stderr
    assert "\x1b" not in done.stderr
    assert pq.read_table(tmp_path / "out" / "in.parquet").num_rows == len(KEPT)
    assert not (tmp_path / "out" / bad.name).exists()


FAULTS = {
    "nothing there": ("no.parquet", "out.parquet", (), "no.parquet"),
    "another format": ("in.parquet", "out.csv", (), "out.csv must end with .parquet"),
    "itself": ("in.parquet", "in.parquet", (), "its own output"),
    "into the source": (".", "./out/", (), "whose files are filtered"),
    "no format": ("in.dat", "out.dat", (), "no file that is called .parquet, .txt"),
    "lines tagged": ("in.txt", "out.txt", ("--tag",), "has no columns"),
    "no such engine": ("in.parquet", "out.parquet", ("--engine", "flink"), "flink"),
    "no such policy": ("in.parquet", "out.parquet", ("--policy", "lax"), "lax"),
    "two ledgers": ("in.parquet", "out.parquet", ("--ledger", "x", "--no-ledger"), "not both"),
    "pipe": ("-", "out.txt", (), "Standard input cannot be filtered"),
    "two of a name": ("in.parquet sub/in.parquet", "out/", (), "would both become in.parquet"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_told_before_anything_is_done(run, source, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "in.parquet").write_bytes(source.read_bytes())
    for text in ("in.txt", "in.dat"):
        (tmp_path / text).write_text("https://a.example/\n")
    before = sorted(tmp_path.rglob("*"))
    sources, out, options, words = FAULTS[name]
    done = run("filter", *sources.split(), out, *options, command=cli.main)
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.split())
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_to_filter_by(source, tmp_path):
    done = CliRunner().invoke(filter_, [str(source), str(tmp_path / "out.parquet")])
    assert isinstance(done.exception, ConfigurationError)
    assert "give --registry" in str(done.exception)


def test_a_program_without_the_extra_says_what_is_missing(source, tmp_path):
    """The command line is there without it."""
    program = "import sys; sys.modules['polars'] = sys.modules['pyarrow'] = None\n" + PROGRAM
    done = subprocess.run(
        [sys.executable, "-c", program, "filter", str(source), str(tmp_path / "out.parquet")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "pip install 'heedful[bulk]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminal_shows_how_far_it_is(artists, source, tmp_path):
    parent, child = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "filter", source, tmp_path / "out.parquet", "--registry", artists],
        stdout=subprocess.PIPE,
        stderr=child,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"},
    ) as done:
        os.close(child)
        shown = b""
        while True:
            try:
                more = os.read(parent, 4096)
            except OSError:
                break
            if not more:
                break
            shown += more
        assert done.stdout.read()
    os.close(parent)
    assert done.returncode == 0
    assert b"Filtering" in shown
    assert b"1 of 1 files, 25 rows" in shown
