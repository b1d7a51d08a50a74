"""What became of a URL: found in large ledgers, told in its context, safe to look at."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import fsspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from heedful import (
    Action,
    Evidence,
    Gate,
    LedgerError,
    Needs,
    OriginFile,
    Page,
    Policy,
    Preference,
    Purpose,
    Reason,
    Response,
    Stage,
    Statement,
    Strength,
    Verdict,
)
from heedful._explain_cli import explain
from heedful.cli import _Main
from heedful.explain import Lines, Role, excerpt, nearest, said, silent, stories, summarise
from heedful.explain import _lines as lines_module
from heedful.explain._hosts import host_of
from heedful.explain._lines import quoted, urls_in
from heedful.ledger import LedgerReader, LedgerWriter, Run
from heedful.model import ParseWarning
from heedful.origins.cache import OriginCache

NOW = 1_790_000_000.0
DAY = 86_400.0
ORIGIN = "https://art.example"
URL = f"{ORIGIN}/closed/1.jpg"
ROBOTS = "User-agent: *\nAllow: /\n\nUser-agent: PictureBot\nAllow: /open/\n# ours\nDisallow: /closed/\n"


def judged(url=URL, *, policy="standard", files=None, status=200, headers=(), stage=Stage.BODY, page=None):
    """What the gate says; origin files that are not given are 404."""
    given = {
        file: OriginFile(file, 200, body=body.encode(), fetched=NOW) for file, body in (files or {}).items()
    }
    gate = Gate("PictureBot", policy)
    response = Response(status, headers, NOW) if headers else None
    body = b"\xff\xd8\xff\xd9" if stage is Stage.BODY else None
    while isinstance(
        answer := gate.judge(url, origin_files=given, response=response, body=body, page=page, stage=stage),
        Needs,
    ):
        given |= {needed: OriginFile(needed, 404) for needed in answer.urls}
    return answer


class Ledger:
    """A ledger in the making: each run is a day later than the one before."""

    def __init__(self, folder):
        self.path = str(folder)
        self._now = NOW

    def run(self, *decisions, policy="standard", enforced=True, crawler="scrapy/2.19.0"):
        """Write a run; each decision is (url, action, verdict, options)."""
        self._now += DAY
        run = Run.start(
            crawler=crawler,
            token="PictureBot",
            policy=Policy.load(policy),
            enforced=enforced,
            now=self._now,
        )
        ticks = iter(range(1_000_000))
        writer = LedgerWriter(self.path, run, clock=lambda: self._now + next(ticks))
        written = [
            writer.record(url, action, verdict, **options) for url, action, verdict, options in decisions
        ]
        writer.close()
        return written

    def skip(self, url=URL, **options):
        verdict = judged(url, headers=(("X-Robots-Tag", "noai"),))
        return url, Action.SKIP, verdict, {"status": 200, **options}


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def cache(tmp_path):
    """Keep origin files; returns the folder."""

    def keep(files):
        kept = OriginCache(tmp_path / "cache", now=lambda: NOW)
        for url, body in files.items():
            kept.put(OriginFile(url, 200, body=body.encode(), fetched=NOW))
        kept.close()
        return tmp_path / "cache"

    return keep


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the command; a cache that is not named is an empty one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    main = _Main("heedful", commands={"explain": explain})

    def invoke(*args, columns=100):
        return CliRunner().invoke(main, ["explain", *map(str, args)], env={"COLUMNS": str(columns)})

    return invoke


# -- lines -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 4096])
@given(
    content=st.lists(st.text("ab\n", max_size=12), max_size=8).map("x".join),
    texts=st.lists(st.text("ab", min_size=1, max_size=3), max_size=3),
)
def test_lines_that_hold_a_text_are_found_wherever_they_are_cut(chunk, content, texts):
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/cut/1.jsonl", content.encode())
    *complete, rest = content.split("\n")
    expected = [
        (number, line)
        for number, line in enumerate(complete, 1)
        if not texts or any(text in line for text in texts)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "CHUNK", chunk)
        lines = Lines("memory://cut")
        found = [
            (line.number, line.raw.decode()) for line in lines.holding(*(text.encode() for text in texts))
        ]
    assert found == expected
    assert lines.count == len(complete)
    assert [fault.kind for fault in lines.faults] == (["torn"] if rest else [])


def test_case_may_be_folded():
    fsspec.filesystem("memory").pipe_file("/fold/1.jsonl", b"ART.Example\nart\n")
    lines = Lines("memory://fold")
    assert [line.raw for line in lines.holding(b"art.example", fold_case=True)] == [b"ART.Example"]
    assert list(lines.holding(b"art.example")) == []


def test_lines_that_are_no_records_are_told_once(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'"x"\n{"x"\n"x')
    lines = Lines(str(tmp_path))
    for _ in range(2):
        assert [lines.record(line) for line in lines.holding(b'"x"')] == [None, None]
    assert [(fault.line, fault.kind) for fault in lines.faults] == [
        (1, "invalid"),
        (2, "invalid"),
        (3, "torn"),
    ]


@pytest.mark.parametrize("ledger", ["nowhere", "empty", "nothing://at/all"])
def test_a_ledger_that_is_not_there(tmp_path, ledger):
    (tmp_path / "empty").mkdir()
    with pytest.raises(LedgerError):
        Lines(ledger if "://" in ledger else str(tmp_path / ledger))


def test_a_file_that_cannot_be_read(tmp_path, ledger):
    ledger.run(ledger.skip())
    lines = Lines(ledger.path)
    for file in (tmp_path / "ledger").glob("*.jsonl"):
        file.unlink()
    with pytest.raises(LedgerError, match="cannot be read"):
        list(lines.holding())


STRANGE = {
    "plain": URL,
    "query": f"{ORIGIN}/?a=b&c=%22,d",
    "quotation mark and backslash": f'{ORIGIN}/"\\.jpg',
    "ends with a backslash": f"{ORIGIN}/\\",
    "not ASCII": "https://bücher.example/bild-ß-画.jpg",
    "beyond the BMP": f"{ORIGIN}/🖼.jpg",
    "control characters": f"{ORIGIN}/\n\x1b[31m\x7f\u2028.jpg",
    "lone surrogate": f"{ORIGIN}/\ud800.jpg",
    "key of a record": f'{ORIGIN}/","url":"x',
    "no URL": "file:///etc/passwd",
}


@pytest.mark.parametrize("url", STRANGE.values(), ids=STRANGE)
def test_every_url_is_found_as_it_was_written(ledger, url):
    first = "https://first.example/" + url
    ledger.run(ledger.skip(url), ledger.skip(url + "x"), (url + "y", Action.FAILED, None, {"hop_of": first}))
    lines = Lines(ledger.path)
    (story,) = stories(lines, url)
    assert [each.record.url for each in story.decisions] == [url]
    (other,) = stories(lines, first)
    assert [each.record.url for each in other.decisions] == [url + "y"]
    held = [urls_in(line.raw) for line in lines.holding()]
    assert held == [[quoted(url)], [quoted(url + "x")], [quoted(url + "y"), quoted(first)]]


# -- excerpts --------------------------------------------------------------------------------------------


def drawn(body, where, raw=""):
    """The lines of an excerpt, the marked ones with `>`."""
    body = body.encode() if isinstance(body, str) else body
    return [
        f"{'>' if line.marked else ''}{line.number} {line.text}" for line in excerpt(body, where, raw).lines
    ]


TDMREP = '[\n {"location": "/a/",\n  "tdm-reservation": 1},\n {"location": "/b/", "tdm-reservation": 0}\n]\n'
SIX = "a\nb\nc\nd\ne\nf\n"

EXCERPTS = {
    "a line and what is around it": (SIX, "line 4", "d", ["2 b", "3 c", ">4 d", "5 e", "6 f"]),
    "first line": (SIX, "line 1", "a", [">1 a", "2 b", "3 c"]),
    "last line": (SIX, "line 6", "f", ["4 d", "5 e", ">6 f"]),
    "no line end at the end": ("a\nb", "line 2", "b", ["1 a", ">2 b"]),
    "an empty line at the end": ("a\n\n", "line 2", "", ["1 a", ">2 "]),
    "two lines": (SIX, "lines 1, 6", "a\nf", [">1 a", "2 b", "3 c", "4 d", "5 e", ">6 f"]),
    "CR, LF, CRLF": ("a\rb\nc\r\nd", "line 3", "c", ["1 a", "2 b", ">3 c", "4 d"]),
    "not the line ends of str.splitlines": ("a\x0b\u2028b\nc", "line 2", "c", ["1 a\x0b\u2028b", ">2 c"]),
    "the agents that it is under": (
        "User-agent: a\nUSER-AGENT : b\nx\ny\nz\nu\nDisallow: /\nv\n",
        "line 7",
        "",
        ["1 User-agent: a", "2 USER-AGENT : b", "5 z", "6 u", ">7 Disallow: /", "8 v"],
    ),
    "the agent of an ai.txt": (
        "Agent: a\nx\ny\nz\n  Training: deny\n",
        "line 5",
        "",
        ["1 Agent: a", "3 y", "4 z", ">5   Training: deny"],
    ),
    "a line that is not there": (SIX, "line 7", "", ["1 a", "2 b", "3 c", "4 d", "5 e", "6 f"]),
    "line 0": ("a\n", "line 0", "", ["1 a"]),
    "an entry": (
        TDMREP,
        "entry 1",
        "",
        [
            "1 [",
            '>2  {"location": "/a/",',
            '>3   "tdm-reservation": 1},',
            '4  {"location": "/b/", "tdm-reservation": 0}',
            "5 ]",
        ],
    ),
    "the second entry": (
        TDMREP,
        "entry 2",
        "",
        [
            '2  {"location": "/a/",',
            '3   "tdm-reservation": 1},',
            '>4  {"location": "/b/", "tdm-reservation": 0}',
            "5 ]",
        ],
    ),
    "an entry behind a byte order mark": ("\ufeff[1,\n2]", "entry 2", "2", ["1 \ufeff[1,", ">2 2]"]),
    "an object in the array's place": ('{"location":\n"/"}', "entry 1", "", ['>1 {"location":', '>2 "/"}']),
    "an entry that is not there": ("[1]", "entry 2", "", ["1 [1]"]),
    "an entry in what is no JSON": ("[1,\nx]", "entry 2", "", ["1 [1,", "2 x]"]),
    "a text that occurs once": (
        "<rsl>\n<content\n url='/'/>\n</rsl>",
        "content 1",
        "<content\n url='/'/>",
        ["1 <rsl>", ">2 <content", ">3  url='/'/>", "4 </rsl>"],
    ),
    "a text that occurs twice": (
        '{"a": "deny",\n"b": "deny"}',
        "a",
        '"deny"',
        ['1 {"a": "deny",', '2 "b": "deny"}'],
    ),
    "a long file without a place": ("x\n" * 50, "response", "", []),
    "an empty file": ("", "line 1", "", [">1 "]),
    "not UTF-8": (b"\xff\nb", "line 1", "", [">1 \ufffd", "2 b"]),
}


@pytest.mark.parametrize(("body", "where", "raw", "lines"), EXCERPTS.values(), ids=EXCERPTS)
def test_excerpts(body, where, raw, lines):
    assert drawn(body, where, raw) == lines


def test_a_long_line_is_cut_around_what_speaks():
    body = "[" + '"x",' * 1000 + '"here",' + '"y",' * 1000 + '"z"]'
    (line,) = excerpt(body.encode(), "paths[1000]", '"here"').lines
    assert line.marked
    assert '"here"' in line.text
    assert line.text.startswith("... ")
    assert line.text.endswith(" ...")
    assert len(line.text) < 310


def test_a_hostile_file_is_not_printed_whole():
    body = ("Disallow: /\n" * 100_000).encode()
    where = "lines " + ", ".join(map(str, range(1, 100_000, 3)))
    shown = excerpt(body, where, "")
    assert len(shown.lines) == 40
    assert shown.marks == 33_333


@given(
    st.binary(max_size=200) | st.text('[]{},"1\n\r\ufeff ', max_size=200).map(str.encode),
    st.builds("{} {}".format, st.sampled_from(["line", "lines", "entry", "content"]), st.integers(-1, 9)),
    st.text(max_size=5),
)
def test_any_file_gives_an_excerpt(body, where, raw):
    shown = excerpt(body, where, raw)
    assert [line.number for line in shown.lines] == sorted({line.number for line in shown.lines})
    assert shown.marks == sum(line.marked for line in shown.lines)


# -- stories ---------------------------------------------------------------------------------------------

A, B, C = "https://a.example/1", "https://b.example/2", "https://c.example/3"


@pytest.fixture
def chain(ledger):
    """A redirects to B and C, in two runs; an unrelated URL mentions A."""
    old = ledger.run((A, Action.FAILED, None, {"error": "timeout"}))
    new = ledger.run(
        ledger.skip("https://d.example/"),
        ledger.skip(B, hop_of=A),
        (C, Action.STORE, judged(C), {"hop_of": A, "status": 200}),
        ("https://e.example/", Action.FAILED, None, {"error": A}),
        enforced=False,
    )
    return Lines(ledger.path), old, new


@pytest.mark.parametrize("question", [A, B, C], ids=["first", "middle", "last"])
def test_every_hop_leads_to_the_whole_story(chain, question):
    lines, _, _ = chain
    told = stories(lines, question)
    assert [[each.record.url for each in story.decisions] for story in told] == [[B, C], [A]]
    assert {story.first for story in told} == {A}


def test_the_story_of_an_id_comes_first(chain):
    lines, (old,), new = chain
    assert [story.outcome.id for story in stories(lines, old.id)] == [old.id, new[2].id]
    assert [story.outcome.id for story in stories(lines, new[1].id)] == [new[2].id, old.id]


def test_a_decision_says_where_it_stands(chain):
    lines, _, new = chain
    decision = stories(lines, B)[0].decisions[0]
    assert decision.record.id == new[1].id
    line = Path(decision.file).read_text().splitlines()[decision.line - 1]
    assert json.loads(line)["id"] == new[1].id


def test_decisions_on_the_same_url_are_one_hop(ledger):
    ledger.run(ledger.skip(), (URL, Action.DEFER, judged(), {}), ledger.skip())
    (story,) = stories(Lines(ledger.path), URL)
    assert [(decision.line, count) for decision, count in story.hops] == [(3, 3)]


def test_the_target_of_very_many_redirects(ledger):
    ledger.run(*(ledger.skip(B, hop_of=f"{A}/{number}") for number in range(100)))
    told = stories(Lines(ledger.path), B)
    assert [story.first for story in told] == [f"{A}/{number}" for number in reversed(range(100))]


def test_only_the_newest_of_very_many_decisions_are_kept(ledger, monkeypatch):
    monkeypatch.setattr("heedful.explain._stories.DECISIONS_MAX", 3)
    ledger.run(*(ledger.skip(B, hop_of=f"{A}/{number}") for number in range(9)))
    assert [story.first[-1] for story in stories(Lines(ledger.path), B)] == ["8", "7", "6"]


@pytest.mark.parametrize("question", ["https://nowhere.example/", "", "x", '"', "e.example"])
def test_nothing_is_known(chain, question):
    lines, _, _ = chain
    assert stories(lines, question) == []


def record_of(ledger, verdict, policy="standard"):
    (written,) = ledger.run((verdict.url, verdict.action, verdict, {}), policy=policy)
    (read,) = LedgerReader(ledger.path)
    assert read.as_dict() == written.as_dict()
    return read


PARTS = {
    "a logged switch only notes": (
        "standard",
        (("X-Robots-Tag", "noai, noarchive"),),
        [(Role.DECIDED, "noai"), (Role.NOTED, "noarchive")],
    ),
    "where it denies it decides": (
        "strict",
        (("X-Robots-Tag", "noai, noarchive"),),
        [(Role.DECIDED, "noai"), (Role.DECIDED, "noarchive")],
    ),
    "an allow that lost": (
        "standard",
        (("X-Robots-Tag", "noai"), ("TDM-Reservation", "0")),
        [(Role.DECIDED, "noai"), (Role.OVERRIDDEN, "tdm-reservation: 0")],
    ),
    "an allow that stores": (
        "standard",
        (("X-Robots-Tag", "noarchive"), ("TDM-Reservation", "0")),
        [(Role.DECIDED, "tdm-reservation: 0"), (Role.NOTED, "noarchive")],
    ),
    "silence that skips": ("opt-in", (), []),
}


@pytest.mark.parametrize(("policy", "headers", "parts"), PARTS.values(), ids=PARTS)
def test_which_statement_decided(ledger, policy, headers, parts):
    record = record_of(ledger, judged(policy=policy, headers=headers), policy)
    assert [(role, statement["rule"]) for role, statement in said(record)][: len(parts)] == parts


def test_of_a_policy_that_is_not_known_any_deny_may_have_decided(ledger):
    record = record_of(ledger, judged(headers=(("X-Robots-Tag", "noai, noarchive"),)))
    mine = dataclasses.replace(
        record, run=dataclasses.replace(record.run, policy=("/etc/mine.toml", "ab" * 32))
    )
    assert [role for role, _ in said(mine)] == [Role.DECIDED, Role.DECIDED]


def test_a_doubt_decides_a_defer(ledger):
    robots = f"{ORIGIN}/robots.txt"
    given = {robots: OriginFile(robots, 503, fetched=NOW)}
    gate = Gate("PictureBot", "standard")
    while isinstance(verdict := gate.judge(URL, origin_files=given, stage=Stage.ORIGIN), Needs):
        given |= {url: OriginFile(url, 404) for url in verdict.urls}
    record = record_of(ledger, verdict)
    assert record.action is Action.DEFER
    assert [(role, statement["signal"]) for role, statement in said(record)] == [
        (Role.DECIDED, Reason.ROBOTS_UNREACHABLE)
    ]


def test_files_that_were_read_and_said_nothing(ledger):
    files = {f"{ORIGIN}/robots.txt": ROBOTS, f"{ORIGIN}/ai.txt": "User-Agent: *\n"}
    record = record_of(ledger, judged(files=files))
    assert record.action is Action.SKIP
    assert silent(record) == {
        f"{ORIGIN}/ai.txt": hashlib.sha256(files[f"{ORIGIN}/ai.txt"].encode()).hexdigest()
    }


# -- hosts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "host"),
    [
        ("art.example", "art.example"),
        ("ART.Example.", "art.example"),
        ("art.example:8080", "art.example:8080"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("localhost", "localhost"),
        ("art", None),
        ("20260921T141320Z-0a1b2c3d-0-1", None),
        ("https://art.example", None),
        ("art.example/1.jpg", None),
        ("a b.example", None),
        ("", None),
    ],
)
def test_what_is_a_host(question, host):
    found = host_of(question)
    assert (found and found.host + found.port) == host


def test_a_host_without_a_dot(run, ledger):
    ledger.run(ledger.skip("http://studio/1.jpg"))
    assert run(ledger.path, "studio").exit_code == 1
    assert run(ledger.path, "--host", "studio").stdout.startswith("studio  1 decision\n")


def test_the_summary_of_a_host(ledger):
    ledger.run(
        ledger.skip("https://ART.example/1"),
        ledger.skip("https://art.example:8080/2"),
        (f"{ORIGIN}/3", Action.STORE, judged(f"{ORIGIN}/3"), {}),
        ledger.skip("https://sub.art.example/"),
        ledger.skip("https://xart.example/"),
        (f"{A}", Action.FAILED, None, {"hop_of": f"{ORIGIN}/4"}),
    )
    ledger.run(ledger.skip("https://user@art.example/5"))
    lines = Lines(ledger.path)
    host = summarise(lines, host_of("art.example"), latest=3)
    assert host.outcomes == {("skip", "x-robots-tag"): 3, ("store", ""): 1}
    assert host.decisions == 4
    assert len(host.runs) == 2
    assert [each.record.url.rpartition("/")[2] for each in host.latest] == ["5", "3", "2"]
    assert host.ended - host.began == pytest.approx(DAY)
    assert summarise(lines, host_of("art.example:8080"), latest=3).decisions == 1


def test_a_host_in_its_own_script(ledger):
    ledger.run(ledger.skip("https://bücher.example/1"), ledger.skip("https://xn--bcher-kva.example/2"))
    assert summarise(Lines(ledger.path), host_of("bücher.example"), latest=9).decisions == 2


def test_the_nearest_urls(ledger):
    same = [f"{ORIGIN}/a/1.jpg", "http://ART.example:80/a/%31.jpg"]
    other = [f"{ORIGIN}/b/1.jpg", f"{ORIGIN}/a/2.jpg", f"{ORIGIN}/a/1.jpeg"]
    ledger.run(*map(ledger.skip, [*other, *same, "https://x.example/?https://art.example/a/1.jpg"]))
    near = nearest(Lines(ledger.path), "https://art.example/a/1.jpg#top")
    assert near.same == tuple(same)
    assert near.host == (f"{ORIGIN}/a/1.jpeg", f"{ORIGIN}/a/2.jpg", f"{ORIGIN}/b/1.jpg")
    assert nearest(Lines(ledger.path), "art.example/a/1.jpg").same == tuple(same)
    assert nearest(Lines(ledger.path), "") == nearest(Lines(ledger.path), "http://[") == ((), ())


def test_only_the_best_of_very_many_are_kept(ledger):
    ledger.run(*(ledger.skip(f"{ORIGIN}/{number:04}") for number in range(1500)))
    assert nearest(Lines(ledger.path), f"{ORIGIN}/1234x").host[0] == f"{ORIGIN}/1234"


# -- the command -----------------------------------------------------------------------------------------


def test_a_skip_is_told_in_its_context(run, ledger, cache):
    robots = f"{ORIGIN}/robots.txt"
    verdict = judged(files={robots: ROBOTS}, stage=Stage.ORIGIN)
    (record,) = ledger.run((URL, Action.SKIP, verdict, {"hop_of": A}))
    done = run(ledger.path, URL, "--cache", cache({robots: ROBOTS}))
    assert done.exit_code == 0, done.output
    text = [line.rstrip() for line in done.stdout.splitlines()]
    assert text[0] == f"SKIP  {URL}"
    assert f"asked for   {A}, which redirected here" in text
    assert "because of  robots.disallow" in text
    assert "judged      by the origin's files; the picture was not contacted" in text
    assert f"policy      standard, sha256 {Policy.load('standard').hash[:12]}" in text
    assert record.id in done.stdout
    at = text.index("decided     robots.disallow: Disallow: /closed/")
    assert text[at + 1].strip().startswith(f"disallow; line 7 of {robots}, read 2026-09-21 14:13:20 UTC")
    assert text[at + 2 : at + 6] == [
        " " * 12 + line
        for line in (
            "     4  User-agent: PictureBot",
            "     5  Allow: /open/",
            "     6  # ours",
            ">    7  Disallow: /closed/",
        )
    ]
    assert done.stderr == ""


def test_a_store_tells_what_was_silent(run, ledger, cache):
    robots, tdmrep = f"{ORIGIN}/robots.txt", f"{ORIGIN}/.well-known/tdmrep.json"
    url = f"{ORIGIN}/open/1.jpg"
    verdict = judged(url, files={robots: "User-agent: *\nDisallow:\n", tdmrep: "[]"})
    ledger.run((url, Action.STORE, verdict, {"status": 200, "bytes_read": 4}))
    text = run(ledger.path, url, "--cache", cache({robots: "User-agent: *\nDisallow:\n"}), columns=200).stdout
    assert text.startswith(f"STORE  {url}\n")
    assert "said        nothing, by anybody" in text
    assert "the picture's bytes" in text
    assert "status 200, 4 bytes read" in text
    silent_ones = [line.split() for line in text.splitlines() if line.startswith("silent")]
    assert [line[1] for line in silent_ones] == [robots, tdmrep]
    assert "not kept any more" not in " ".join(silent_ones[0])
    assert "not kept any more" in " ".join(silent_ones[1])


def test_a_missing_snapshot_is_told_and_no_cache_is_made(run, ledger, tmp_path):
    robots = f"{ORIGIN}/robots.txt"
    ledger.run((URL, Action.SKIP, judged(files={robots: ROBOTS}, stage=Stage.ORIGIN), {}))
    done = run(ledger.path, URL, "--cache", tmp_path / "nothing")
    assert done.exit_code == 0
    assert "Disallow: /closed/" in done.stdout
    assert "is not in the cache" in done.stdout
    assert not (tmp_path / "nothing").exists()
    assert not (tmp_path / "none").exists()


def test_every_hop_is_told_and_older_runs_in_short(run, chain, ledger):
    text = run(ledger.path, A).stdout
    assert text.index(f"SKIP (audit: not enforced)  {B}") < text.index(f"STORE (audit: not enforced)  {C}")
    assert "hop 1 of 2" in text
    short = text[text.index("Also in the ledger") :]
    assert "failed" in short
    assert "timeout" not in short
    full = run(ledger.path, "--all", A).stdout
    assert "Also in the ledger" not in full
    assert "error       timeout" in full


def test_what_happened_often_in_a_run_is_told_once(run, ledger):
    ledger.run(ledger.skip(bytes_avoided=5000), ledger.skip(bytes_avoided=5000))
    text = run(ledger.path, URL).stdout
    assert text.count("SKIP") == 1
    assert "the last of 2 times in this run" in text
    assert "5,000 not downloaded" in text


def test_a_hash_that_is_none_is_not_looked_up(run, ledger, cache):
    statement = Statement(Reason.TDMREP, Preference.DISALLOW, "x", Evidence(URL, "entry 1", "x", "no hash"))
    ledger.run(
        (URL, Action.SKIP, Verdict(URL, Action.SKIP, (Reason.TDMREP,), Stage.ORIGIN, (statement,)), {})
    )
    done = run(ledger.path, URL, "--cache", cache({}))
    assert done.exit_code == 0
    assert "sha256 no hash is not in the cache" in done.stdout


def test_very_many_other_runs_are_counted(run, ledger):
    ledger.run(*(ledger.skip(B, hop_of=f"{A}/{number}") for number in range(30)))
    text = run(ledger.path, B).stdout
    assert "and 9 more" in text
    assert f"{A}/28" in text


def test_a_page_and_a_warning(run, ledger):
    page = Page(f"{ORIGIN}/", html='<meta name="robots" content="noai">', fetched=NOW)
    files = {f"{ORIGIN}/robots.txt": "what is this\n"}
    ledger.run((URL, Action.SKIP, judged(page=page, files=files), {"status": 200}))
    text = run(ledger.path, URL).stdout
    assert "because of  meta-robots" in text
    assert "warning     robots.disallow: neither a rule nor a record" in text


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal(run, ledger, cache, columns):
    robots = f"{ORIGIN}/robots.txt"
    content = ROBOTS + "Disallow: /" + "x" * 400
    url = f"{ORIGIN}/closed/{'long/' * 60}"
    ledger.run((url, Action.SKIP, judged(url, files={robots: content}, stage=Stage.ORIGIN), {}))
    for question in (url, "art.example", url + "x"):
        done = run(ledger.path, question, "--cache", cache({robots: content}), columns=columns)
        assert max(map(len, done.stdout.splitlines())) <= columns
    assert url in "".join(
        line.strip() for line in run(ledger.path, "art.example", columns=columns).stdout.splitlines()
    )


HOSTILE = "[bold red]x[/] \x1b]0;owned\x07\x1b[2J\u202egpj.\r\x7f:smile:"


def test_what_comes_from_the_web_cannot_act_on_the_terminal(run, ledger, cache):
    robots = f"{ORIGIN}/robots.txt"
    content = f"User-agent: *\n# {HOSTILE}\nDisallow: /closed/{HOSTILE}\n"
    url = f"{URL}?{HOSTILE}"
    verdict = judged(
        url,
        files={robots: "User-agent: *\nDisallow: /closed/\n"},
        headers=(("X-Robots-Tag", f"noai, {HOSTILE}"),),
    )
    statement = dict(
        verdict.evidence[0].as_dict(), sha256=hashlib.sha256(content.encode()).hexdigest(), where="line 3"
    )
    ledger.run((url, Action.SKIP, verdict, {"hop_of": f"{A}?{HOSTILE}", "error": HOSTILE}))
    (file,) = Path(ledger.path).glob("*.jsonl")
    line = json.loads(file.read_text())
    line["evidence"][0] = statement | {"rule": HOSTILE, "source_url": HOSTILE, "switch": HOSTILE}
    line |= {"token": HOSTILE, "crawler": HOSTILE}
    file.write_text(json.dumps(line) + "\n")
    for args in ([url, "--cache", cache({robots: content})], ["art.example"], [f"{URL}?{HOSTILE}x"]):
        done = run(ledger.path, *args, columns=300)
        assert "[bold red]x[/]" in done.output
        assert ":smile:" in done.output
        assert not re.search(r"[^\n -~]", done.output), args


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ([URL], 0),
        ([URL + "x"], 1),
        (["art.example"], 0),
        (["other.example"], 1),
        (["--host", "art"], 1),
        (["--host", "http://art.example/"], 2),
        ([], 2),
    ],
    ids=[
        "URL",
        "no URL",
        "host",
        "no host",
        "no host without a dot",
        "--host that is a URL",
        "nothing asked",
    ],
)
def test_exit_codes(run, ledger, args, code):
    ledger.run(ledger.skip())
    assert run(ledger.path, *args).exit_code == code
    if code != 2:
        done = run(ledger.path, *args, "--json")
        assert done.exit_code == code
        assert json.loads(done.stdout)["found"] is not bool(code)


def test_a_ledger_that_is_not_there_is_a_usage_error(run, tmp_path):
    done = run(tmp_path / "nowhere", URL)
    assert done.exit_code == 2
    assert "There is no ledger" in done.stderr


def test_json(run, ledger, cache):
    robots = f"{ORIGIN}/robots.txt"
    (record,) = ledger.run((URL, Action.SKIP, judged(files={robots: ROBOTS}, stage=Stage.ORIGIN), {}))
    told = json.loads(run(ledger.path, record.id, "--json", "--cache", cache({robots: ROBOTS})).stdout)
    assert told["faults"] == told["others"] == []
    (story,) = told["stories"]
    assert (story["first"], story["run"], story["action"]) == (URL, record.run.id, "skip")
    (decision,) = story["decisions"]
    assert record.as_dict().items() <= decision.items()
    assert decision["line"] == 1
    (statement,) = decision["said"]
    assert (statement["role"], statement["rule"]) == ("decided", "Disallow: /closed/")
    marked = [line for line in statement["excerpt"]["lines"] if line["marked"]]
    assert marked == [{"number": 7, "text": "Disallow: /closed/", "marked": True}]


def test_json_of_a_host_and_of_what_is_near(run, ledger):
    ledger.run(ledger.skip())
    told = json.loads(run(ledger.path, "art.example", "--json").stdout)
    assert (told["host"], told["decisions"]) == ("art.example", 1)
    assert told["outcomes"] == [{"action": "skip", "reason": "x-robots-tag", "count": 1}]
    assert [each["url"] for each in told["latest"]] == [URL]
    told = json.loads(run(ledger.path, f"{URL}#x", "--json").stdout)
    assert (told["same"], told["host"]) == ([URL], [])
    told = json.loads(run(ledger.path, "other.example", "--json").stdout)
    assert (told["decisions"], told["first"]) == (0, None)


def test_torn_and_invalid_lines_are_told(run, ledger, tmp_path):
    ledger.run(ledger.skip())
    broken = b"".join(b'{"url":"%s"}\n' % URL.encode() for _ in range(7)) + b'{"id"'
    (tmp_path / "ledger" / "z.jsonl").write_bytes(broken)
    done = run(ledger.path, URL)
    assert done.exit_code == 0
    assert done.stderr.count("z.jsonl:") == 5
    assert "3 more lines that are no records" in done.stderr
    assert len(json.loads(run(ledger.path, URL, "--json").stdout)["faults"]) == 8


def test_several_ledgers(run, ledger, tmp_path):
    ledger.run(ledger.skip())
    other = Ledger(tmp_path / "other")
    other.run(ledger.skip())
    other.run(ledger.skip())
    told = json.loads(run(ledger.path, other.path, URL, "--json", "--all").stdout)
    assert len(told["stories"]) == 3


# -- the page on compliance ------------------------------------------------------------------------------

COMPLIANCE = (Path(__file__).parent.parent / "docs" / "compliance.md").read_text("utf-8")


def columns_of_tables():
    """The cells of each row that answers a question: question, fields, remark."""
    rows = [line.split("|")[1:-1] for line in COMPLIANCE.splitlines() if line.startswith("| ")]
    return [row for row in rows if row[0].strip() != "question"]


@pytest.fixture
def full(ledger):
    """A record with all fields, as it is written."""
    statement = Statement(
        Reason.TDMREP,
        Preference.DISALLOW,
        "tdm-reservation: 1",
        Evidence(URL, "entry 1", "{}", "ab" * 32, NOW),
        Strength.SOFT,
        Purpose.TRAIN_GENERATIVE,
        "tdmrep_aliases",
    )
    verdict = Verdict(
        URL,
        Action.SKIP,
        (Reason.TDMREP,),
        Stage.HEADERS,
        (statement,),
        (statement,),
        (ParseWarning(Reason.TDMREP, "malformed", statement.evidence),),
        ((URL, "ab" * 32),),
        (("artists", 1),),
    )
    more = {"hop_of": A, "status": 200, "bytes_read": 1, "bytes_avoided": 1, "error": "timeout"}
    ledger.run((URL, Action.SKIP, verdict, more), enforced=False)
    (file,) = Path(ledger.path).glob("*.jsonl")
    return json.loads(file.read_text())


@pytest.mark.parametrize("row", columns_of_tables(), ids=lambda row: row[0].strip())
def test_the_fields_that_answer_a_question_are_those_of_records(full, row):
    fields, colon, within = row[1].partition("`evidence`:")
    named = re.findall(r"`([^`]+)`", fields + ("`evidence`" if colon else ""))
    assert named
    assert set(named) <= set(full)
    assert set(re.findall(r"`([^`]+)`", within)) <= set(full["evidence"][0])


def test_the_page_speaks_of_every_measure_and_of_the_reasons_there_are():
    assert re.findall(r"^## Measure (1\.\d)", COMPLIANCE, re.MULTILINE) == [
        "1.1",
        "1.2",
        "1.3",
        "1.4",
        "1.5",
    ]
    reasons = set(re.findall(r"`((?:registry|robots|operator)\.[a-z-]+)`", COMPLIANCE)) - {"robots.txt"}
    assert reasons
    assert reasons <= {reason.value for reason in Reason}
