"""What is left for a later run, and the list that the next crawler reads."""

from __future__ import annotations

import csv
import json

import pytest
from click.testing import CliRunner

from heedful import Action, Evidence, Policy, Preference, Reason, Stage, Statement, Verdict
from heedful._explain_cli import retry
from heedful.cli import _Main
from heedful.explain import Lines
from heedful.ledger import LedgerWriter, Run
from heedful.retry import leftovers

NOW = 1_790_000_000.0
A, B, C = "https://a.example/1.jpg", "https://b.example/2.jpg", "https://c.example/3.jpg"
UNREACHABLE, UNDETERMINED = Reason.ROBOTS_UNREACHABLE, Reason.UNDETERMINED


def decision(action, url=A, first=None, *reasons):
    """The arguments of a record; a defer has a reason."""
    reasons = reasons or {Action.DEFER: (UNREACHABLE,), Action.SKIP: (Reason.TDMREP,)}.get(action, ())
    evidence = [
        Statement(reason, Preference.UNDETERMINED, A, Evidence(A, A, f'"url":"{A}"')) for reason in reasons
    ]
    verdict = Verdict(url, action, tuple(reasons), Stage.ORIGIN, tuple(evidence))
    return url, action, None if action is Action.FAILED else verdict, first


def defer(url=A, first=None, *reasons):
    return decision(Action.DEFER, url, first, *reasons)


def store(url=A, first=None):
    return decision(Action.STORE, url, first)


def skip(url=A, first=None):
    return decision(Action.SKIP, url, first)


def fail(url=A, first=None):
    return decision(Action.FAILED, url, first)


def write(folder, *runs):
    """A run each, a second a decision; returns the ledger."""
    seconds = iter(range(1_000_000))
    for decisions in runs:
        run = Run.start(
            crawler="requests/2", token="Bot", policy=Policy.load("standard"), enforced=True, now=NOW
        )
        writer = LedgerWriter(str(folder), run, clock=lambda: NOW + next(seconds))
        for url, action, verdict, first in decisions:
            writer.record(url, action, verdict, hop_of=first)
        writer.close()
    return str(folder)


@pytest.fixture
def run():
    main = _Main("heedful", commands={"retry": retry})

    def invoke(*args):
        return CliRunner().invoke(main, ["retry", *map(str, args)])

    return invoke


CASES = {
    "nothing": ([[store()], [skip(B)]], {}, []),
    "a defer": ([[defer()]], {}, [A]),
    "each once": ([[defer(), defer()], [defer()]], {}, [A]),
    "in the order of the latest decisions": ([[defer(C), defer(), defer(B), defer(C)]], {}, [A, B, C]),
    "settled by a store": ([[defer(), defer(B)], [store()]], {}, [B]),
    "settled by a skip": ([[defer()], [skip()]], {}, []),
    "settled by a failure": ([[defer()], [fail()]], {}, []),
    "settled in the same run": ([[defer(), store()]], {}, []),
    "deferred again": ([[store()], [defer()]], {}, [A]),
    "the first URL of a redirect": ([[defer(B, A)]], {}, [A]),
    "settled at another hop": ([[defer(B, A)], [store(C, A)]], {}, []),
    "settled before the redirect": ([[defer(B, A)], [skip(A)]], {}, []),
    "not settled by the hop asked for itself": ([[defer(B, A)], [store(B)]], {}, [A]),
    "a hop that was asked for itself as well": ([[defer(B, A), defer(B)]], {}, [A, B]),
    "not settled by a word of others": ([[defer()], [skip(B), defer(C)]], {}, [A, C]),
    "failures are left out": ([[fail(), defer(B)]], {}, [B]),
    "failures as well": ([[fail(), defer(B)]], {"failed": True}, [A, B]),
    "failures that are settled": ([[fail(), defer(B), store()]], {"failed": True}, [B]),
    "a defer that failed": ([[defer(), fail()]], {"failed": True}, [A]),
    "by reason": ([[defer(), defer(B, None, UNDETERMINED)]], {"reasons": [UNREACHABLE]}, [A]),
    "by any of the reasons": (
        [[defer(), defer(B, None, UNDETERMINED, Reason.REGISTRY_REMOTE)]],
        {"reasons": [Reason.REGISTRY_REMOTE, UNDETERMINED]},
        [B],
    ),
    "the latest reason counts": (
        [[defer()], [defer(A, None, UNDETERMINED)]],
        {"reasons": [UNREACHABLE]},
        [],
    ),
    "reasons do not filter failures": (
        [[defer(), fail(B)]],
        {"reasons": [UNDETERMINED], "failed": True},
        [B],
    ),
}


@pytest.mark.parametrize(("runs", "options", "urls"), CASES.values(), ids=CASES)
def test_what_is_left(tmp_path, runs, options, urls):
    lines = Lines(write(tmp_path, *runs))
    assert [each.url for each in leftovers(lines, **options)] == urls
    assert lines.faults == ()


@pytest.mark.parametrize("names", [("old", "new"), ("new", "old")])
def test_time_decides_not_the_order_of_the_files(tmp_path, names):
    for name, second, made in (("old", 0, defer()), ("new", 1, store())):
        run = Run.start(crawler="x/1", token="Bot", policy=Policy.load("standard"), enforced=True, now=NOW)
        writer = LedgerWriter(str(tmp_path / name), run, clock=lambda second=second: NOW + second)
        url, action, verdict, _ = made
        writer.record(url, action, verdict)
        writer.close()
    assert leftovers(Lines(*(str(tmp_path / name) for name in names))) == []


STRANGE = [
    "https://a.example/a b",
    "https://a.example/\n",
    "https://a.example/\x1b[2J",
    "",
    "https://a.example/\ud800",
]


def test_what_cannot_stand_on_a_line_is_left_out_and_counted(tmp_path, run):
    done = run(write(tmp_path, [*map(defer, STRANGE), defer("https://a.example/é")]))
    assert done.stdout == "https://a.example/é\n"
    assert "1 URL to ask for again" in done.stderr
    assert f"{len(STRANGE)} left out" in done.stderr
    told = json.loads(run(tmp_path, "--json").stdout)
    assert (len(told["urls"]), told["left_out"]) == (1, len(STRANGE))


def test_to_standard_output(tmp_path, run):
    done = run(write(tmp_path, [defer(), defer(C), defer(B, A)]))
    assert (done.exit_code, done.stdout) == (0, f"{C}\n{A}\n")
    assert done.stderr == "2 URLs to ask for again\n"


def test_nothing_is_left(tmp_path, run):
    done = run(write(tmp_path, [store()]), "--failed", "--reason", "undetermined")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "0 URLs to ask for again\n")


def test_to_a_file(tmp_path, run):
    out = tmp_path / "again.txt"
    done = run(write(tmp_path / "ledger", [defer(), fail(B)]), "--out", out, "--failed")
    assert (done.exit_code, done.stdout, out.read_bytes()) == (0, "", f"{A}\n{B}\n".encode())


AWKWARD = ["https://a.example/w=1,h=2", 'https://a.example/"x"', "https://a.example/'"]


def test_img2dataset_reads_the_csv_form(tmp_path, run):
    reading = pytest.importorskip("pyarrow.csv")
    ledger = write(tmp_path / "ledger", [*map(defer, AWKWARD)])
    out = tmp_path / "again.CSV"
    assert "comma" not in run(ledger, "--out", out).stderr
    assert reading.read_csv(out).to_pydict() == {"url": AWKWARD}  # as its reader does
    with out.open(newline="") as file:
        assert list(csv.reader(file)) == [["url"], *([url] for url in AWKWARD)]
    assert "2 hold a comma or a quotation mark" in run(ledger).stderr


def test_json(tmp_path, run):
    done = run(write(tmp_path, [defer(B, A), fail(C)]), "--json", "--failed")
    told = json.loads(done.stdout)
    assert [(each["url"], each["hop"], each["action"], each["reasons"]) for each in told["urls"]] == [
        (A, B, "defer", ["robots.unreachable"]),
        (C, C, "failed", []),
    ]
    assert told["urls"][0]["time"] == "2026-09-21T14:13:20.000000+00:00"
    assert told["faults"] == []


def test_json_beside_a_file(tmp_path, run):
    out = tmp_path / "again.txt"
    done = run(write(tmp_path / "ledger", [defer()]), "--out", out, "--json")
    assert [each["url"] for each in json.loads(done.stdout)["urls"]] == [A]
    assert out.read_text() == f"{A}\n"


def test_lines_that_are_no_records_are_told(tmp_path, run):
    ledger = write(tmp_path, [defer()])
    (tmp_path / "z.jsonl").write_bytes(b'"defer"\n{"action":"defer"')
    done = run(ledger)
    assert (done.exit_code, done.stdout) == (0, f"{A}\n")
    assert done.stderr.count("Passed over:") == 2


@pytest.mark.parametrize(
    "args",
    [["nowhere"], ["ledger", "--out", "nowhere/again.txt"], ["ledger", "--reason", "no-reason"], []],
    ids=["no ledger there", "no such folder", "no such reason", "no ledger named"],
)
def test_usage_errors(tmp_path, monkeypatch, run, args):
    monkeypatch.chdir(tmp_path)
    write("ledger", [defer()])
    done = run(*args)
    assert done.exit_code == 2
    assert done.stderr
