from __future__ import annotations

import io
import json

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

from rich.console import Console

from heedful.errors import ConfigurationError
from heedful.survey._classify import Reach, Standing
from heedful.survey._summary import (
    OUTCOMES,
    REJECTED,
    ByAgent,
    Counted,
    Outcome,
    Rows,
    summary_of,
)
from heedful.survey._terminal import rendered
from heedful.survey._words import CAME_OUT, LABELS, SAID, sentence

from .conftest import CLOSED, row


def summary(folder, top=20):
    with Rows(folder) as rows:
        return summary_of(rows, top)


def test_totals(small):
    found = summary(small)
    assert (found.sites, found.answered, found.files) == (6, 5, 3)
    assert (found.first, found.last) == (
        "2026-09-21T14:13:20.000000+00:00",
        "2026-09-22T14:13:20.000000+00:00",
    )
    assert found.reach == {"answered": 5, "server-fault": 0, "no-answer": 0, "no-address": 1, "refused": 0}
    assert found.outcomes == {"declined": 2, "partly": 1, "open": 2, "undetermined": 1}
    assert found.picture.actions == {"store": 3, "skip": 2, "defer": 0}
    assert found.by_robots_alone == 1
    assert (found.terms.token, found.terms.policy) == ("PictureBot", "standard")


def test_by_signal(small):
    found = {each.signal: each.standings for each in summary(small).signals}
    assert set(found) == set(LABELS)
    assert all(sum(standings.values()) == 5 for standings in found.values())
    assert found["tdmrep"] == dict.fromkeys(map(str, Standing), 0) | {
        "declined": 1,
        "partly": 1,
        "silent": 1,
        "absent": 2,
    }


def test_lists(small):
    found = summary(small)
    assert found.agents == (
        ByAgent("CCBot", "training-crawler", 1, 0, 0),
        ByAgent("GPTBot", "training-crawler", 1, 0, 0),
    )
    assert found.everyone == {"closed": 1, "partly": 0, "open": 1}
    assert found.overlaps == (
        Counted("ai_tokens + content_signal + tdmrep", 1),
        Counted("robots", 1),
        Counted("tdmrep", 1),
    )
    assert found.content_signals == (Counted("ai-train=no", 1), Counted("search=yes", 1))
    assert ("/.well-known/tdmrep.json", 200, 3) in found.statuses
    assert ("/robots.txt", 404, 3) in found.statuses
    (malformed,) = found.malformed
    assert (malformed.signal, malformed.sites, malformed.raw) == ("tdmrep", 1, "{<script>")


def test_lists_are_bounded(survey):
    rows = [
        row(f"{n}.example", **{"/robots.txt": f"User-agent: *\nContent-Signal: x{n}=y\nDisallow: /x{n}\n"})
        for n in range(5)
    ]
    assert len(summary(survey(rows), top=3).content_signals) == 3


def test_rules_that_close_some_paths_to_all_decline_nothing(survey):
    folder = survey([row(**{"/robots.txt": "User-agent: *\nDisallow: /admin/\n"})])
    found = summary(folder)
    assert (found.outcomes["open"], found.overlaps) == (1, ())


def test_consent_lifts_what_was_inferred(survey):
    text = CLOSED.format("CCBot") + "User-agent: *\nContent-Signal: ai-train=yes\n"
    assert summary(survey([row(**{"/robots.txt": text})])).outcomes["partly"] == 1


def test_rejected_lines(small):
    lines = [{"source": "list", "line": n, "text": "x\x1b[2J", "why": "no"} for n in range(1, 31)]
    (small / REJECTED).write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = summary(small)
    assert (found.rejected, len(found.rejects), found.rejects[0].line) == (30, 20, 1)
    assert json.loads(json.dumps(found.as_dict()))["rejects"][0]["why"] == "no"
    (small / REJECTED).write_text("{")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        summary(small)


def test_sentence(small, survey):
    assert sentence(summary(small)) == (
        "Of 6 sites asked from 2026-09-21 to 2026-09-22, 5 (83.3 %) answered. "
        "2 of these (40.0 %) decline that their pictures are used for training; "
        "1 more (20.0 %) decline in part. A crawler that only obeys the rules for PictureBot in robots.txt "
        "would have missed 1 (50.0 %) of the 2."
    )
    silent = survey([row(reach=Reach.NO_ANSWER)], folder="silent")
    assert sentence(summary(silent)) == "Of 1 sites asked on 2026-09-21, 0 (0 %) answered."


def told(found):
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(rendered(found))
    return console.export_text()


def test_terminal(small):
    (small / REJECTED).write_text(
        json.dumps({"source": "list", "line": 3, "text": "[red]x\x1b[2J\u202e", "why": "no"}) + "\n"
    )
    text = told(summary(small))
    for words in (
        "declined       │     2 │ 33.3 %",
        "no-address │     1 │ 16.7 %",
        "TDMRep",
        "GPTBot",
        "all others (*)",
        "robots.ai-token │     1 │ 20.0 %",
        "AI crawlers + Content-Signal + TDMRep",
        "ai-train=no",
        "[red]x\\x1b[2J\\u202e",
    ):
        assert words in text
    assert "\x1b" not in text


def test_no_survey(tmp_path):
    with pytest.raises(ConfigurationError, match="holds no survey"):
        summary(tmp_path)


def test_a_damaged_file(small):
    (small / "survey-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        summary(small)


def test_the_words_cover_all():
    assert set(CAME_OUT) == set(OUTCOMES) == set(Outcome)
    assert set(SAID) == set(Standing)
