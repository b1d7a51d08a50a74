"""The survey on the real engine, against sites on loopback."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("scrapy")
pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

from pyarrow import parquet

from heedful._origin import ALL
from heedful.origins import FILE_MAX
from heedful.testing import serve
from heedful.testing.gallery import Fault, File, Site, Web, redirect

HERE = Path(__file__).parent
RSL = '<rsl xmlns="https://rslstandard.org/rsl"><content url="/"><license>{}</license></content></rsl>'
TEXT = (("Content-Type", "text/plain"),)
WAIT = 60


def text(body, status=200):
    return File(body, status, TEXT)


WEB = Web(
    {
        "silent": Site({}),
        "closed": Site(
            {
                "/robots.txt": text("User-agent: *\nDisallow: /\n"),
                "/ai.txt": text("User-agent: *\nDisallow: /"),
            }
        ),
        "reserved": Site({"/.well-known/tdmrep.json": text('[{"location": "/", "tdm-reservation": 1}]')}),
        "second": Site({"/trust.txt": text("datatrainingallowed=no\n")}),
        "licensed": Site(
            {
                "/robots.txt": text("License: /licence.xml\nLicense: {{far}}/licence.xml\n"),
                "/licence.xml": text(RSL.format('<prohibits type="usage">ai-train</prohibits>')),
            }
        ),
        "far": Site({"/licence.xml": text(RSL.format('<permits type="usage">search</permits>'))}),
        "moved": Site({"/robots.txt": redirect("{{closed}}/robots.txt")}),
        "round": Site({f"/{n}": redirect(f"/{n + 1}") for n in range(9)} | {"/robots.txt": redirect("/0")}),
        "inward": Site({"/robots.txt": redirect("http://192.0.2.1/robots.txt")}),
        "large": Site({"/robots.txt": text("User-agent: *\nDisallow: /\n" + "#" * 3 * FILE_MAX)}),
        "busy": Site({"/robots.txt": text("later", 503)}),
        "reset": Site({"/robots.txt": File(fault=Fault.RESET)}),
        "stalled": Site({"/robots.txt": File(fault=Fault.STALL)}),
        "hostile": Site(
            {"/robots.txt": text("<script>\x1b[2J\u202e\nUser-agent: *\nContent-Signal: ai-train=no, <b>\n")}
        ),
    }
)


@pytest.fixture
def web():
    with serve(WEB) as running:
        yield running


def name(running, site):
    return running.origin(site).removeprefix("http://")


@pytest.fixture
def survey(tmp_path):
    """Run the spider; the rows by site."""

    def run(sites, **job):
        arguments = {"token": "PictureBot", "cache": str(tmp_path / "machine"), **job.pop("arguments", {})}
        done = subprocess.run(
            [sys.executable, str(HERE / "surveying.py")],
            input=json.dumps({"sites": sites, "arguments": arguments, **job}),
            capture_output=True,
            text=True,
            timeout=WAIT,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        return {row["site"]: row for row in answer["rows"]}, answer["error"], done.stderr

    return run


@pytest.fixture
def command(tmp_path):
    """Start the command."""

    def start(*args):
        given = [str(arg) for arg in args]
        if "--summary" not in given and "--token" not in given:
            given += ["--token", "PictureBot", "--cache", str(tmp_path / "machine"), "--delay", "0"]
        return subprocess.Popen(
            [sys.executable, "-m", "heedful.cli", "survey", *given],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def told(process, code=0):
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == code, err
    return out if code == 0 else err


# -- what is asked ---------------------------------------------------------------------------------------


SAID = {
    "silent": ("answered", "store", []),
    "closed": ("answered", "skip", ["robots.disallow", "ai-txt"]),
    "reserved": ("answered", "skip", ["tdmrep"]),
    "second": ("answered", "skip", ["trust-txt"]),
    "licensed": ("answered", "skip", ["rsl"]),
    "far": ("answered", "store", []),
    "moved": ("answered", "skip", ["robots.disallow"]),
    "round": ("answered", "store", []),
    "inward": ("no-answer", "defer", ["robots.unreachable"]),
    "large": ("answered", "skip", ["robots.disallow"]),
    "busy": ("server-fault", "defer", ["robots.unreachable"]),
    "reset": ("no-answer", "defer", ["robots.unreachable"]),
    "stalled": ("no-answer", "defer", ["robots.unreachable"]),
    "hostile": ("answered", "skip", ["content-signal"]),
}


def test_the_sites(web, survey):
    impatient = {
        "DOWNLOADER_MIDDLEWARES": {"surveying.Impatient": 900},
        "IMPATIENT_WITH": web.origin("stalled"),
    }
    rows, _, _ = survey([web.origin(site) for site in SAID], settings=impatient)
    by_site = {site: rows[web.origin(site)] for site in SAID}
    assert {
        site: (row["reach"], row["picture_action"], row["picture_reasons"]) for site, row in by_site.items()
    } == SAID
    # No page and no picture; and where something declines, the rest is asked all the same.
    allowed = {*ALL, "/licence.xml", *(f"/{n}" for n in range(9))}
    assert {hit.path for hit in web.log} <= allowed
    assert {hit.path for hit in web.hits("closed")} == {*ALL}
    assert len(web.hits("silent")) == len(ALL)
    assert {hit.path for hit in web.hits("second")} == {*ALL}
    assert {hit.path for hit in web.hits("busy")} == {"/robots.txt"}
    assert len(web.hits("licensed", "/licence.xml")) == len(web.hits("far", "/licence.xml")) == 1
    assert len(web.hits("round")) <= 6 + len(ALL) - 1
    (robots,) = (file for file in by_site["large"]["files"] if file["url"].endswith("/robots.txt"))
    assert (robots["bytes"], robots["truncated"]) == (FILE_MAX, True)
    assert by_site["licensed"]["rsl_urls"] == [
        web.url("licensed", "/licence.xml"),
        web.url("far", "/licence.xml"),
    ]


def test_who_asks(web, survey):
    survey([web.origin("silent")], arguments={"contact": "https://me.example/bot"})
    agents = {dict(hit.headers)["User-Agent"] for hit in web.log}
    (agent,) = agents
    assert agent.startswith("PictureBot (+https://me.example/bot) heedful/")
    assert not any({"Cookie", "Referer"} & dict(hit.headers).keys() for hit in web.log)


def test_https_is_tried_first_and_http_then(web, survey):
    rows, _, _ = survey([name(web, "reserved"), "https://" + name(web, "closed")])
    assert rows[name(web, "reserved")]["origin"] == web.origin("reserved")
    assert rows[name(web, "reserved")]["tdmrep"] == "declined"
    # who names a scheme means it
    closed = rows["https://" + name(web, "closed")]
    assert (closed["reach"], web.hits("closed", "/robots.txt")) == ("no-answer", ())


def test_what_the_machine_knows_is_not_asked_again(web, survey):
    survey([web.origin("closed")])
    first = len(web.log)
    rows, _, _ = survey([web.origin("closed"), web.origin("reserved")])
    assert {hit.site for hit in web.log[first:]} == {"reserved"}
    assert rows[web.origin("closed")]["robots"] == "declined"


@pytest.mark.parametrize("reactor", ["asyncioreactor.AsyncioSelectorReactor", "selectreactor.SelectReactor"])
def test_reactors(web, survey, reactor):
    settings = {"TWISTED_REACTOR": f"twisted.internet.{reactor}"}
    sites = [web.origin(site) for site in ("silent", "closed", "reserved", "second")]
    rows, _, _ = survey(sites, settings=settings, arguments={"at_once": 2})
    assert set(rows) == set(sites)


# -- where nobody goes -----------------------------------------------------------------------------------


NAMES = {
    "private.example": ["10.1.2.3"],
    "meta.example": ["169.254.169.254"],
    "loop.example": ["127.0.0.1"],
    "gone.example": [],
    # public when it is looked up, and something else when it is connected to
    "rebound.example": ["93.184.215.14", "127.0.0.1"],
}


def test_private_places_are_not_asked(web, survey):
    port = web.origin("silent").rpartition(":")[2]  # of 127.0.0.1
    sites = [f"http://{host}:{port}" for host in NAMES] + ["http://10.9.9.9", "http://[fd00::1]"]
    rows, _, _ = survey(sites, names=NAMES)
    reach = {
        site.partition("://")[2].rpartition(f":{port}")[0] or site: row["reach"] for site, row in rows.items()
    }
    assert reach == {
        "private.example": "refused",
        "meta.example": "refused",
        "loop.example": "refused",
        "gone.example": "no-address",
        "rebound.example": "no-answer",
        "http://10.9.9.9": "refused",
        "http://[fd00::1]": "refused",
    }
    # Connected to once, as nobody could know; what was answered there is not used.
    assert {row["site"] for row in rows.values() if row["statements"]} == {f"http://rebound.example:{port}"}
    assert {hit.path for hit in web.log} == {"/robots.txt"}


# -- faults ----------------------------------------------------------------------------------------------


def test_a_site_that_breaks_a_check_has_a_row_and_the_others_too(web, survey):
    sites = [web.origin("reserved"), web.origin("closed")]
    rows, _, log = survey(sites, broken=sites[0])
    assert rows[sites[0]]["tdmrep"] == "unreadable"
    assert rows[sites[0]]["picture_action"] == "defer"
    assert rows[sites[1]]["robots"] == "declined"
    assert "ZeroDivisionError: broken check" in log


def test_a_survey_that_is_closed_early_tells_nothing_untrue(web, survey):
    sites = [web.origin(site) for site in ("silent", "closed", "reserved", "second", "far")]
    rows, _, _ = survey(sites, closing=sites[2], arguments={"at_once": 1})
    assert {site: row["reach"] for site, row in rows.items()} == dict.fromkeys(sites[:2], "answered")


def test_what_cannot_be_kept_ends_the_survey(web, survey):
    sites = [web.origin(site) for site in ("silent", "closed", "reserved", "second", "far")]
    rows, error, _ = survey(sites, room=1, arguments={"at_once": 1})
    assert (len(rows), error) == (1, "no space left")


# -- the command -----------------------------------------------------------------------------------------


def rows_of(folder):
    return [
        row
        for path in sorted(folder.glob("survey-*.parquet"))
        for row in parquet.read_table(path).to_pylist()
    ]


def test_the_command(web, command, tmp_path):
    out = tmp_path / "out"
    sites = [web.origin(site) for site in ("silent", "closed", "reserved", "hostile")]
    (tmp_path / "list").write_text("\n".join([*sites[1:], "# x", "no-site\x1b[2J", sites[1]]))
    words = told(command(sites[0], sites[1], "--file", tmp_path / "list", "--out", out))
    assert "Of 4 sites asked on" in words
    assert "no-site\\x1b[2J" in words
    assert "\x1b" not in words
    assert sorted(path.name for path in out.iterdir()) == [
        *("rejected.jsonl", "report.html", "summary.json", "survey-00000.parquet", "survey.log")
    ]
    assert {row["site"] for row in rows_of(out)} == set(sites)
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["sites"], summary["outcomes"]["declined"], summary["rejected"]) == (4, 3, 1)
    assert "<script>\x1b" not in (out / "report.html").read_text()
    log = len(web.log)
    again = json.loads(told(command(*sites, "--out", out, "--json")))
    assert (again["sites"], again["files"], again["rejected"]) == (4, 1, 0)
    assert len(web.log) == log
    for file in ("summary.json", "report.html"):
        (out / file).unlink()
    assert json.loads(told(command("--summary", out, "--json"))) == again
    assert (out / "report.html").stat().st_size > 100_000


USAGE = {
    "nothing": ((), "Give domains, --file LIST, or both"),
    "no folder": (("a.example",), "Missing option '--out'"),
    "no token": (("a.example", "--out", "{}", "--token", ""), "--token is missing"),
    "no such list": (("--file", "{}/list", "--out", "{}"), "there is no such file"),
    "a policy": (("a.example", "--out", "{}", "--policy", "lax"), "lax"),
    "a summary and domains": (("a.example", "--summary", "."), "--summary FOLDER asks nobody"),
    "a summary of nothing": (("--summary", "{}"), "holds no survey"),
}


@pytest.mark.parametrize(("args", "why"), USAGE.values(), ids=USAGE)
def test_usage(command, tmp_path, args, why):
    process = command(*(arg.replace("{}", str(tmp_path)) for arg in args))
    assert why in " ".join(told(process, code=2).split())


def test_another_token_is_another_survey(web, command, tmp_path):
    told(command(web.origin("silent"), "--out", tmp_path / "out"))
    error = told(command(web.origin("silent"), "--out", tmp_path / "out", "--token", "OtherBot"), code=2)
    assert "holds a survey under token PictureBot and not OtherBot" in error


def many(stalled):
    """Ten sites; one of them stalls, if need be."""
    faulty = Site({"/robots.txt": File(fault=Fault.STALL)})
    sites = {f"site-{n}": Site({"/robots.txt": text(f"# {n}\n")}) for n in range(10)}
    return Web(sites | ({"site-7": faulty} if stalled else {}))


def test_killed_and_started_again(command, tmp_path):
    out = tmp_path / "out"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with serve(many(stalled=True), port=port) as first:
        sites = [first.origin(site) for site in first.web.sites]
        arguments = (*sites, "--out", out, "--part", 3, "--at-once", 1)
        process = command(*arguments)
        with first._state:
            assert first._state.wait_for(lambda: any(hit.site == "site-7" for hit in first._log), WAIT)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=WAIT)
    assert [row["site"] for row in rows_of(out)] == sites[:6]
    # what is claimed is free again once the lease of the killed process is over: another machine's, here
    (tmp_path / "machine").rename(tmp_path / "other")
    with serve(many(stalled=False), port=port) as second:
        told(command(*arguments))
        assert {hit.site for hit in second.log} == {"site-6", "site-7", "site-8", "site-9"}
    assert [row["site"] for row in rows_of(out)] == sites
    assert {row["reach"] for row in rows_of(out)} == {"answered"}
