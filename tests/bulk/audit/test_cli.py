"""`heedful audit` as users see it."""

from __future__ import annotations

import csv
import json
import os
import pty
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from heedful.bulk.audit import _cli
from heedful.errors import ConfigurationError

PROGRAM = "from heedful.bulk.audit._cli import audit; audit()"


@pytest.fixture
def run():
    """Run the command in this process."""

    def invoke(*args, stdin=None):
        return CliRunner().invoke(
            _cli.audit, [*map(str, args), "--processes", "1"], input=stdin, env={"COLUMNS": "160"}
        )

    return invoke


def test_a_clean_dataset(run, dataset):
    done = run(dataset("jpg").folder)
    assert done.exit_code == 0
    assert "img2dataset output (3 webdataset)" in done.stdout
    assert "judged" in done.stdout
    assert "First findings" not in done.stdout


def test_what_is_found_is_shown(run, dataset, registry, url):
    data = dataset("jpg")
    done = run(data.folder, "--registry", registry(("url", url(2)), ("url", url(7), "studio")))
    assert done.exit_code == 1
    for words in ("opted out", "registry.url", "artists", "studio", "00001", "00000.tar:000001.jpg", url(7)):
        assert words in done.stdout
    assert str(data.folder / "_heedful" / "ledger") in done.stdout.replace("\n", "")


def test_json_is_one_object(run, dataset, registry, url):
    one, two = dataset("jpg"), dataset("parquet")
    done = run(one.folder, two.folder, "--registry", registry(("url", url(2))), "--json")
    assert done.exit_code == 1
    first, second = json.loads(done.stdout)["datasets"]
    assert (first["pictures"], first["opted_out"], first["reasons"]) == (12, 1, {"registry.url": 1})
    assert second["recognised"] == "img2dataset output (3 parquet)"
    assert first["by_shard"] == second["by_shard"] == {"00000": 1}
    assert first["removed"] == 0


READ = {
    "csv": lambda path: list(csv.DictReader(path.read_text().splitlines())),
    "jsonl": lambda path: [json.loads(line) for line in path.read_text().splitlines()],
    "parquet": lambda path: pq.read_table(path).to_pylist(),
}


@pytest.mark.parametrize("form", READ)
def test_all_findings_go_to_a_file(form, run, dataset, registry, url, tmp_path):
    data = dataset("webdataset")
    out = tmp_path / f"f.{form}"
    done = run(
        data.folder, "--registry", registry(("host", "127.0.0.1", "=cmd()")), "--out", out, "--rows", "1"
    )
    assert done.exit_code == 1
    rows = READ[form](out)
    assert len(rows) == 12
    row = rows[2]
    assert (row["shard"], row["key"], row["place"]) == ("00000", "000002", "00000.tar:000002.jpg")
    assert (row["url"], row["action"], row["reason"]) == (url(3), "skip", "registry.host")
    assert row["list"] == ("'=cmd()" if form == "csv" else "=cmd()")
    both = ["registry.host", "data-mining"]
    assert row["reasons"] == (" ".join(both) if form == "csv" else both)
    assert len(row["sha256"]) == 64
    assert str(out) in done.stdout.replace("\n", "")


def test_an_audit_without_findings_leaves_an_empty_file(run, dataset, tmp_path):
    for form, read in READ.items():
        run(dataset("jpg").folder, "--out", tmp_path / f"f.{form}", "--ledger", tmp_path / "l" / form)
        assert read(tmp_path / f"f.{form}") == []
        (tmp_path / "jpg").rename(tmp_path / f"was-{form}")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--out", "x.txt"], "must end with"),
        (["--out", "nowhere/x.csv"], "no folder"),
        (["--yes"], "go with --purge"),
        (["--dry-run"], "go with --purge"),
        (["--purge", "--yes", "--dry-run"], "contradict"),
        (["--registry", "nowhere.heed"], "nowhere.heed"),
        (["--policy", "nothing"], "nothing"),
        (["--live"], "--token is missing"),
        (["--live", "--token", "no token"], "no product token"),
        (["--urls", "nowhere.jsonl"], None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_wrong_is_told_before_anything_happens(args, words, run, dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(dataset("jpg").folder, *args)
    if words is None:
        assert done.exit_code == 0  # an option of Scrapy stores does not matter here
        return
    assert isinstance(done.exception, ConfigurationError)
    assert words in str(done.exception)


def test_an_unwritable_ledger_is_told_first(run, dataset, tmp_path):
    (tmp_path / "file").write_text("x")
    done = run(dataset("jpg").folder, "--ledger", tmp_path / "file")
    assert isinstance(done.exception, ConfigurationError)
    assert "--ledger" in str(done.exception)


def test_it_needs_arrow_for_tables_alone_and_says_so(dataset, store):
    """The command is there without any extra; a Scrapy store can be audited."""
    program = f"import sys; sys.modules['pyarrow'] = None; {PROGRAM}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def run(folder):
        return subprocess.run(
            [sys.executable, "-c", program, str(folder), "--processes", "1"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=environment,
        )

    assert "pip install 'heedful[bulk]'" in run(dataset("jpg").folder).stderr
    assert run(store.folder).returncode == 0


# -- purge -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--dry-run"], "1 picture would be removed by --purge --yes."),
        ([], "Nothing was removed: --purge --yes removes 1 picture."),
    ],
    ids=["dry run", "no terminal"],
)
def test_nothing_is_removed_without_a_yes(args, words, run, dataset, registry, url):
    data = dataset("jpg")
    before, state = data.content, data.state
    done = run(data.folder, "--registry", registry(("url", url(2))), "--purge", *args)
    assert done.exit_code == 1
    assert words in done.stderr
    assert (data.content, data.state) == (before, state)
    assert not any(record.run.enforced for record in data.records)


def test_yes_removes(run, dataset, registry, url):
    data = dataset("jpg")
    done = run(data.folder, "--registry", registry(("url", url(2))), "--purge", "--yes")
    assert done.exit_code == 1
    assert "Removed: 1 picture." in done.stdout
    assert 2 not in data.numbers
    assert run(data.folder, "--purge", "--yes").exit_code == 0


def test_yes_and_json(run, dataset, registry, url):
    data = dataset("jpg")
    done = run(data.folder, "--registry", registry(("url", url(2))), "--purge", "--yes", "--json")
    (told,) = json.loads(done.stdout)["datasets"]
    assert told["removed"] == 1
    (each,) = data.removed
    assert (each["url"], each["run"] in told["removal_list"]) == (url(2), True)


@pytest.mark.parametrize(("answer", "removed"), [("y", True), ("n", False)])
def test_on_a_terminal_it_asks(answer, removed, dataset, registry, url):
    data = dataset("jpg")
    master, slave = pty.openpty()
    command = [sys.executable, "-c", PROGRAM, str(data.folder), "--registry", registry(("url", url(2)))]
    with subprocess.Popen(
        [*command, "--purge", "--processes", "1"],
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as child:
        os.close(slave)
        os.write(master, f"{answer}\n".encode())
        out, err = child.communicate(timeout=60)
    os.close(master)
    assert child.returncode == 1, err
    assert f"Remove 1 picture from {data.folder}?" in err
    assert (2 not in data.numbers) is removed
    assert ("Removed: 1 picture." in out) is removed
    enforced = [record.run.enforced for record in data.records]
    assert sorted(enforced) == ([False, True] if removed else [False])


def test_nothing_from_a_dataset_reaches_the_terminal_raw(run, dataset, registry):
    data = dataset("parquet")
    table = pq.read_table(data.folder / "00000.parquet")
    urls = pa.array([f"https://x.example/{number}\x1b[31m[bold]" for number in range(len(table))])
    pq.write_table(
        table.set_column(table.column_names.index("url"), "url", urls), data.folder / "00000.parquet"
    )
    done = run(data.folder, "--registry", registry(("domain", "x.example", "[red]list[/red]")))
    assert done.exit_code == 1
    assert "\x1b" not in done.stdout
    assert "[red]list[/red]" in done.stdout
    assert "[bold]" in done.stdout.replace("\n", "")
