"""`heedful report` and `heedful export`, as a user calls them."""

from __future__ import annotations

import importlib.metadata
import json
import sys

import pytest
from click.testing import CliRunner

from heedful import Action, ConfigurationError, Reason, Stage
from heedful.report._cli import export, report


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")

    def call(command, *args, code=0):
        done = CliRunner().invoke(command, [*map(str, args)], catch_exceptions=False)
        assert done.exit_code == code, done.output
        return done.stdout

    return call


def test_the_terminal(run, small):
    text = run(report, small)
    words = " ".join(text.split())
    assert (
        "Of 8 decisions from 2026-09-21 to 2026-09-22, 3 (37.5 %) were to skip because the owner opted out, "
        "2 to defer because it could not be determined, 2 to store; 1 fetches failed."
    ) in words
    for title in (
        *("Decisions", "By reason", "By host", "By registry list", "By day (UTC) and crawler"),
        *(
            "Deferred: to ask again in a later run",
            "Malformed signals",
            "Conflicting signals: what was overruled",
            "Under",
        ),
    ):
        assert title in text
    for row in (
        "│ skipped │ 3 │ 37.5 % │",
        "│ requests never made │ 4 │ │",
        "│ registry.host │ url │ skipped │ 2 │ 25.0 % │",
        "│ a.example │ 2 │ 0 │ 0 │ 0 │",
        "│ artists │ photographers │ 1 │ 33.3 % │",
        "│ 2026-09-22 │ img2dataset/1.47.0 │ 0 │ 0 │ 1 │ 0 │",
        "│ c.example │ robots.unreachable │ 1 │",
        "│ tdmrep │ not JSON │ 1 │ line 1 of https://b.example/tdmrep │",
    ):
        assert row in words


def test_what_is_not_shown_is_counted(run, small):
    text = run(report, small, "--top", 1)
    assert "and 3 more hosts" in text
    assert "and 1 rows before" in text
    assert "b.example" not in text.partition("By host")[2].partition("By registry")[0]


def test_json(run, small):
    told = json.loads(run(report, small, "--json", "--top", 2))
    assert told["actions"]["skip"] == 3
    assert len(told["by_host"]) == 2


def test_faults_are_named(run, ledger, small, tmp_path):
    file = next((tmp_path / "ledger").glob("*.jsonl"))
    file.write_bytes(file.read_bytes()[:-5])
    assert f"{file.name}:" in "".join(run(report, small).replace("│", "").split())
    (fault,) = json.loads(run(report, small, "--json"))["faults"]
    assert (fault["file"], fault["kind"]) == (str(file), "torn")
    assert (
        "1 lines are no records"
        in CliRunner().invoke(export, [small, "--csv", str(tmp_path / "x.csv")]).stderr
    )


@pytest.mark.parametrize(
    "text", ["\x1b]0;title\x07", "[red]x[/red]", "\u202egpj.exe", "\r\n[/]forged", "[link=http://x]y[/link]"]
)
def test_a_terminal_is_not_written_to_by_the_web(run, ledger, text):
    add = ledger(crawler=f"crawler {text}")
    add(f"https://h{text}/1.jpg", Action.SKIP, reasons=(Reason.TDMREP,), stage=Stage.ORIGIN)
    out = run(report, ledger.path)
    assert all(sign.isprintable() for sign in out.replace("\n", ""))
    if text.isprintable():
        assert text in out


def test_a_page(run, small, tmp_path):
    out = tmp_path / "report.html"
    assert f"{out}: 8 decisions, " in run(report, small, "--html", out)
    assert out.read_text().startswith("<!doctype html>")


def test_exports(run, small, tmp_path):
    csv, parquet = tmp_path / "x.csv", tmp_path / "x.parquet"
    assert run(export, small, "--csv", csv, "--parquet", parquet).splitlines() == [
        f"{parquet}: 8 records",
        f"{csv}: 8 records",
    ]
    told = json.loads(run(export, small, "--csv", csv, "--json"))
    assert told == {"files": [{"out": str(csv), "records": 8}], "faults": []}


def test_an_export_to_nowhere(run, small):
    assert "Give --parquet FILE" in run_error(run, export, small)


def run_error(run, command, *args):
    done = CliRunner().invoke(command, [*map(str, args)])
    assert done.exit_code == 2
    return done.stderr


@pytest.mark.parametrize("command", [report, export])
def test_no_ledger(run, command, tmp_path):
    options = ["--csv", tmp_path / "x.csv"] if command is export else []
    with pytest.raises(ConfigurationError, match="There is no ledger"):
        run(command, tmp_path / "nowhere", *options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["duckdb", "jinja2", "vl_convert", "itables"])
def test_what_is_missing_is_named(run, small, tmp_path, monkeypatch, module):
    if module == "itables":
        distribution = importlib.metadata.distribution

        def hidden(name):
            if name == "itables":
                raise importlib.metadata.PackageNotFoundError(name)
            return distribution(name)

        monkeypatch.setattr(importlib.metadata, "distribution", hidden)
    else:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=rf"{module}: pip install 'heedful\[report\]'"):
        run(report, small, "--html", tmp_path / "x.html")
