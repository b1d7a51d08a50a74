from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.model import NOTHING, RAW_MAX, Evidence, Preference, Purpose, Reading, Reason, Source, Strength
from heedful.signals import robots
from heedful.signals.content_signal import FAULTS_MAX, LINES_MAX, VALUE_MAX, read_headers, read_robots

SOURCE = Source("http://127.0.0.1/robots.txt", "ab", 1.0)
TOKEN = "PictureBot"

NO = ("disallow", "ai-train=no", None)
YES = ("allow", "ai-train=yes", None)
STAR_NO = ("disallow", "ai-train=no", "content_signal_star_group")


def alias(word: str) -> tuple[str, str, str]:
    return ("disallow", f"ai-train={word}", "content_signal_value_aliases")


def use(word: str) -> tuple[str, str, str]:
    return ("disallow", f"use={word}", "content_signal_use")


def said(reading: Reading) -> list[tuple[str, str, str | None]]:
    return [(each.preference.value, each.rule, each.switch) for each in reading.statements]


def in_file(text: str | bytes, token: str = TOKEN) -> Reading:
    body = text if isinstance(text, bytes) else text.encode()
    return read_robots(robots.parse(body), token, SOURCE)


def in_headers(*lines: str) -> Reading:
    return read_headers(tuple(("Content-Signal", line) for line in lines), SOURCE)


@pytest.mark.parametrize(
    ("line", "expected", "warned"),
    [
        pytest.param("ai-train=no", [NO], 0, id="no"),
        pytest.param("ai-train=yes", [YES], 0, id="yes"),
        pytest.param("search=yes, ai-train=no, use=reference", [NO, use("reference")], 0, id="all-keys"),
        pytest.param("search=yes,ai-train=no,use=full", [NO], 0, id="no-white-space"),
        pytest.param(" ai-train\t=  no ,\tsearch = yes ", [NO], 0, id="white-space"),
        pytest.param("AI-Train=No", [NO], 0, id="case"),
        pytest.param("AI-TRAIN=YES", [YES], 0, id="upper-case"),
        pytest.param("search=no", [], 0, id="search-only"),
        pytest.param("search=no, ai-input=no", [], 0, id="not-training"),
        pytest.param("ai-train=yes, ai-train=no", [NO], 0, id="restrictive-wins"),
        pytest.param("ai-train=no, ai-train=yes", [NO], 0, id="in-any-order"),
        pytest.param("use=immediate", [use("immediate")], 0, id="use-immediate"),
        pytest.param("use=reference", [use("reference")], 0, id="use-reference"),
        pytest.param("use=full", [], 0, id="use-full-grants-nothing"),
        pytest.param("use=full, use=reference, use=immediate", [use("immediate")], 0, id="lowest-ceiling"),
        pytest.param("ai-train=yes, use=reference", [YES, use("reference")], 0, id="yes-below-a-ceiling"),
        pytest.param("ai-train=disallow", [alias("disallow")], 0, id="alias-disallow"),
        pytest.param("ai-train=deny", [alias("deny")], 0, id="alias-deny"),
        pytest.param("ai-train=False", [alias("false")], 0, id="alias-false"),
        pytest.param("ai-train=0", [alias("0")], 0, id="alias-0"),
        pytest.param("ai-train=n", [alias("n")], 0, id="alias-n"),
        pytest.param("ai-train=yes, ai-train=deny", [YES, alias("deny")], 0, id="alias-beside-yes"),
        pytest.param("ai-train=no, ai-train=deny", [NO], 0, id="alias-beside-no"),
        pytest.param("ai-train=n, ai-train=deny", [alias("n")], 0, id="first-alias"),
        pytest.param("ai-train=allow", [], 1, id="no-alias-allows"),
        pytest.param("ai-train=true", [], 1, id="true"),
        pytest.param("ai-train=1", [], 1, id="1"),
        pytest.param("ai-train=y", [], 1, id="y"),
        pytest.param('ai-train="no"', [], 1, id="quoted"),
        pytest.param("ai-train=no;x=1", [], 1, id="parameter"),
        pytest.param("ai-train", [], 1, id="no-value"),
        pytest.param("ai-train=", [], 1, id="empty-value"),
        pytest.param("ai-train:no", [], 1, id="colon"),
        pytest.param("ai-train=yes=no", [], 1, id="two-equal-signs"),
        pytest.param("ai_train=no", [], 1, id="misspelt"),
        pytest.param("ai_train=yes", [], 1, id="misspelt-yes"),
        pytest.param("aitrain=no, train-ai=no", [], 2, id="other-keys"),
        pytest.param("ai_train=no, ai-train=yes", [YES], 1, id="misspelt-beside"),
        pytest.param("=no", [], 1, id="no-key"),
        pytest.param("use=yes", [], 1, id="use-yes"),
        pytest.param("use=none", [], 1, id="use-unknown"),
        pytest.param("search=maybe, ai-train=no", [NO], 1, id="fault-in-another-key"),
        pytest.param(",, ai-train=no,", [NO], 0, id="empty-members"),
        pytest.param("", [], 0, id="empty"),
    ],
)
def test_line(line, expected, warned):
    for reading in (in_file(f"User-agent: *\nContent-Signal: {line}\nAllow: /"), in_headers(line)):
        assert said(reading) == expected
        assert len(reading.warnings) == warned


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("User-agent: *\nAllow: /", [], id="absent"),
        pytest.param("User-agent: *\nContent-Signal: ai-train=no\nAllow: /", [NO], id="star-is-ours"),
        pytest.param("User-agent: *\nAllow: /\nContent-Signal: ai-train=no", [NO], id="after-the-rules"),
        pytest.param("User-agent: *\nCONTENT-SIGNAL: ai-train=no", [NO], id="case-of-the-name"),
        pytest.param("User-agent: *\n# Content-Signal: ai-train=no", [], id="in-a-comment"),
        pytest.param("User-agent: *\nContent-Signal: ai-train=no # search=yes", [NO], id="comment-after"),
        pytest.param("User-agent: *\nContent-Signal: search=yes # ai-train=no", [], id="no-in-the-comment"),
        pytest.param("User-agent: picturebot\nContent-Signal: ai-train=no", [NO], id="own-group"),
        pytest.param("User-agent: Other\nContent-Signal: ai-train=no", [], id="anothers"),
        pytest.param(
            "User-agent: Other\nContent-Signal: ai-train=no\nUser-agent: PictureBot\nAllow: /",
            [NO],
            id="between-two-agents",
        ),
        pytest.param("Content-Signal: ai-train=no\nUser-agent: PictureBot\nAllow: /", [NO], id="global"),
        pytest.param(
            "Content-Signal: ai-train=no\nUser-agent: *\nContent-Signal: ai-train=yes", [NO], id="global-no"
        ),
        pytest.param(
            "Content-Signal: ai-train=yes\nUser-agent: *\nContent-Signal: ai-train=no", [NO], id="group-no"
        ),
        pytest.param("Content-Signal: ai-train=yes", [YES], id="global-alone"),
        pytest.param(
            "User-agent: *\nContent-Signal: ai-train=no\nAllow: /\n\nUser-agent: *\nDisallow: /",
            [NO],
            id="prepended-group",
        ),
        pytest.param(
            "User-agent: *\nContent-Signal: ai-train=yes\nAllow: /\n\n"
            "User-agent: *\nContent-Signal: ai-train=no\nAllow: /",
            [NO],
            id="two-star-groups",
        ),
        pytest.param(
            "User-agent: *\nContent-Signal: ai-train=no\nUser-agent: PictureBot\n"
            "Content-Signal: ai-train=yes\nDisallow:\nUser-agent: *\nAllow: /",
            [NO],
            id="one-run",
        ),
    ],
)
def test_group(text, expected):
    assert said(in_file(text)) == expected


OWN = "User-agent: PictureBot\n{own}\nAllow: /\n\nUser-agent: *\n{star}\nAllow: /"


@pytest.mark.parametrize(
    ("own", "star", "expected"),
    [
        pytest.param("", "ai-train=no", [STAR_NO], id="own-silent"),
        pytest.param("ai-train=yes", "ai-train=no", [YES, STAR_NO], id="own-allows"),
        pytest.param("ai-train=no", "ai-train=no", [NO], id="said-twice"),
        pytest.param("ai-train=no", "ai-train=yes", [NO], id="star-allows"),
        pytest.param("", "ai-train=yes", [], id="star-only-denies"),
        pytest.param("", "ai-train=deny", [("disallow", "ai-train=deny", STAR_NO[2])], id="star-alias"),
        pytest.param("", "ai-train=no, ai-train=n", [STAR_NO], id="star-no-and-alias"),
        pytest.param("ai-train=n", "ai-train=no", [alias("n"), STAR_NO], id="own-alias"),
        pytest.param("", "use=reference", [use("reference")], id="star-ceiling"),
        pytest.param("use=reference", "use=immediate", [use("reference")], id="own-ceiling"),
        pytest.param("", "search=yes", [], id="star-silent"),
    ],
)
def test_star_group_under_our_own(own, star, expected):
    text = OWN.format(own=f"Content-Signal: {own}" if own else "", star=f"Content-Signal: {star}")
    reading = in_file(text)
    assert said(reading) == expected
    # Another crawler has no group of its own: to it the `*` group speaks plainly.
    assert not any(switch == STAR_NO[2] for _, _, switch in said(in_file(text, "Another")))
    for statement in reading.statements:
        if statement.switch == STAR_NO[2]:
            assert statement.strength is Strength.SOFT


def test_evidence():
    allowed, ceiling = in_file("User-agent: *\n\ncontent-signal:  AI-Train=yes, use=reference # x").statements
    raw = "content-signal:  AI-Train=yes, use=reference # x"
    for statement in (allowed, ceiling):
        assert statement.signal is Reason.CONTENT_SIGNAL
        assert statement.covers is Purpose.TRAIN_ANY
        assert statement.evidence == Evidence(SOURCE.url, "line 3", raw, "ab", 1.0)
    assert (allowed.strength, ceiling.strength) == (Strength.EXPLICIT, Strength.SOFT)


def test_evidence_is_the_decisive_line():
    text = (
        "Content-Signal: ai-train=yes\nUser-agent: *\nContent-Signal: search=yes\nContent-Signal: ai-train=no"
    )
    (statement,) = in_file(text).statements
    assert statement.evidence.where == "line 4"


@pytest.mark.parametrize(
    ("lines", "expected", "where"),
    [
        pytest.param(["ai-train=no"], [NO], "header Content-Signal", id="one"),
        pytest.param(["search=yes", "ai-train=no"], [NO], "header Content-Signal (line 2)", id="two"),
        pytest.param(["ai-train=no", "ai-train=yes"], [NO], "header Content-Signal (line 1)", id="differing"),
        pytest.param(["ai-train=yes", "x"], [YES], "header Content-Signal (line 1)", id="beside-a-fault"),
    ],
)
def test_header_lines(lines, expected, where):
    reading = in_headers(*lines)
    assert said(reading) == expected
    assert reading.statements[0].evidence.where == where


def test_header_names():
    headers = (("x-content-signal", "ai-train=no"), ("content-type", "image/png"))
    assert read_headers(headers, SOURCE) is NOTHING
    assert said(read_headers((("CONTENT-SIGNAL", "ai-train=no"),), SOURCE)) == [NO]


def test_warning():
    (warning,) = in_file("User-agent: *\nContent-Signal: ai_train=no").warnings
    assert warning.signal is Reason.CONTENT_SIGNAL
    assert warning.message == "unknown key 'ai_train'"
    assert warning.evidence == Evidence(SOURCE.url, "line 2", "Content-Signal: ai_train=no", "ab", 1.0)


def test_limits():
    (warning,) = in_headers("ai-train=no" + " " * VALUE_MAX).warnings
    assert warning.message == f"longer than {VALUE_MAX} characters: not read"
    assert len(warning.evidence.raw) == RAW_MAX
    many = "User-agent: *\n" + "Content-Signal: search=yes\n" * LINES_MAX + "Content-Signal: ai-train=no\n"
    reading = in_file(many)
    assert said(reading) == []
    (warning,) = reading.warnings
    assert warning.evidence.where == f"line {LINES_MAX + 2}"
    faulty = "Content-Signal: x\n" * 100
    assert len(
        in_file(f"User-agent: PictureBot\n{faulty}User-agent: A\nAllow:\nUser-agent: *\n{faulty}").warnings
    ) == (FAULTS_MAX)


def test_other_records_are_no_fault():
    assert in_file("User-agent: *\nSitemap: http://127.0.0.1/s\nAllow: /") is NOTHING


words = st.sampled_from(
    [
        "ai-train=no",
        "ai-train=yes",
        "ai-train=deny",
        "use=reference",
        "use=full",
        "search=no",
        "ai_train=no",
        ",",
    ]
)
signals = st.lists(words | st.text(max_size=5), max_size=4).map(",".join)
rows = st.lists(
    st.sampled_from(["User-agent: *", "User-agent: PictureBot", "User-agent: B", "Allow: /"])
    | signals.map("Content-Signal: {}".format),
    max_size=8,
)


@given(st.binary(max_size=60), rows)
def test_robots_is_total(junk, lines):
    in_file("\n".join(lines).encode("utf-8", "surrogatepass") + b"\ncontent-signal:" + junk)


@given(st.lists(signals | st.text(max_size=8), max_size=4))
def test_headers_are_total_and_no_wins(lines):
    in_headers(*lines)
    reading = in_headers(*lines, "ai-train=no")
    assert NO in said(reading)
    assert not any(each.preference is Preference.ALLOW for each in reading.statements)


def trained(reading: Reading) -> bool:
    return any(rule.startswith("ai-train=") and word == "disallow" for word, rule, _ in said(reading))


@given(rows, st.integers(0, 8))
def test_one_more_no_never_lifts_a_denial(lines, at):
    body = "\n".join(lines).encode("utf-8", "surrogatepass")
    more = "\n".join([*lines[:at], "Content-Signal: ai-train=no", *lines[at:]]).encode(
        "utf-8", "surrogatepass"
    )
    assert trained(in_file(more)) >= trained(in_file(body))
