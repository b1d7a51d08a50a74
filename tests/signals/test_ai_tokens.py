from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.model import NOTHING, RAW_MAX, Evidence, Preference, Purpose, Reading, Reason, Source, Strength
from heedful.signals import robots
from heedful.signals._paths import canonical
from heedful.signals.ai_tokens import Kind, read, token_map

SOURCE = Source("http://127.0.0.1/robots.txt", "ab", 1.0)
TOKEN = "PictureBot"
CLEAR, SINGLE = "other_agents", "other_agents_single"


def reading(text: str | bytes, target: str = "/art/a.jpg", token: str = TOKEN) -> Reading:
    body = text if isinstance(text, bytes) else text.encode()
    return read(robots.parse(body), token, canonical(target), SOURCE)


def said(text: str | bytes, target: str = "/art/a.jpg", token: str = TOKEN) -> tuple[str | None, str] | None:
    statements = reading(text, target, token).statements
    assert len(statements) <= 1
    return (statements[0].switch, statements[0].rule) if statements else None


def closed(*tokens: str) -> str:
    return "".join(f"User-agent: {token}\nDisallow: /\n\n" for token in tokens)


def rule(tokens: str, path: str = "/") -> str:
    return f"Disallow: {path} for {tokens} (map 2026-11-22)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(closed("Google-Extended"), (CLEAR, rule("Google-Extended")), id="policy-only"),
        pytest.param(closed("Applebot-Extended"), (CLEAR, rule("Applebot-Extended")), id="policy-only-apple"),
        pytest.param(closed("img2dataset"), (CLEAR, rule("img2dataset")), id="dataset-tool"),
        pytest.param(closed("LAIONDownloader"), (CLEAR, rule("LAIONDownloader")), id="dataset-tool-laion"),
        pytest.param(closed("CCBot"), (CLEAR, rule("CCBot")), id="ccbot"),
        pytest.param(closed("GPTBot"), (SINGLE, rule("GPTBot")), id="one-crawler"),
        pytest.param(closed("gptbot"), (SINGLE, rule("GPTBot")), id="case"),
        pytest.param(closed("GPTBot/1.2"), (SINGLE, rule("GPTBot")), id="version"),
        pytest.param(closed("GPTBot", "ClaudeBot"), (CLEAR, rule("GPTBot, ClaudeBot")), id="two-crawlers"),
        pytest.param(
            closed("AI2Bot", "Ai2Bot-Dolma"), (CLEAR, rule("AI2Bot, Ai2Bot-Dolma")), id="one-operator"
        ),
        pytest.param(closed("GPTBot", "gptbot"), (SINGLE, rule("GPTBot")), id="one-token-twice"),
        pytest.param(
            closed("GPTBot", "img2dataset"), (CLEAR, rule("GPTBot, img2dataset")), id="crawler-and-tool"
        ),
        pytest.param(
            "User-agent: GPTBot\nUser-agent: CCBot\nDisallow: /",
            (CLEAR, rule("CCBot, GPTBot")),
            id="one-group",
        ),
        pytest.param(
            "User-agent: GPTBot\nDisallow: /\nUser-agent: CCBot\nDisallow: /art/",
            (CLEAR, "Disallow: / for GPTBot; Disallow: /art/ for CCBot (map 2026-11-22)"),
            id="two-rules",
        ),
        pytest.param(
            closed("GPTBot") + "User-agent: CCBot\nDisallow: /b/",
            (SINGLE, rule("GPTBot")),
            id="special-elsewhere",
        ),
        pytest.param("User-agent: CCBot\nDisallow: /\nAllow: /art/", None, id="longest-match-allows"),
        pytest.param("User-agent: CCBot\nDisallow:", None, id="nothing-closed"),
        pytest.param("User-agent: CCBot\nAllow: /", None, id="allowed"),
        pytest.param("User-agent: CCBot\nCrawl-delay: 9", None, id="no-rules"),
        pytest.param("User-agent: *\nDisallow: /", None, id="never-the-star-group"),
        pytest.param("User-agent: *\nDisallow: /\nUser-agent: CCBot\nAllow: /", None, id="star-beside"),
        pytest.param(
            closed("OAI-SearchBot", "ChatGPT-User", "Claude-User", "PerplexityBot"), None, id="not-training"
        ),
        pytest.param(closed("GPTBot", "ChatGPT-User"), (SINGLE, rule("GPTBot")), id="one-of-two-trains"),
        pytest.param(closed("Code", "Spider", "Operator"), None, id="common-words"),
        pytest.param(closed("MyGPTBot", "GPTBot2", "Bot", "GPT", "CCBot-x"), None, id="whole-words"),
        pytest.param(closed("Mozilla/5.0 CCBot"), None, id="user-agent-string"),
        pytest.param("", None, id="empty-file"),
    ],
)
def test_read(text, expected):
    assert said(text) == expected


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        pytest.param("PictureBot", (CLEAR, rule("GPTBot, img2dataset")), id="anothers"),
        pytest.param("img2dataset", (SINGLE, rule("GPTBot")), id="ours"),
        pytest.param("IMG2DATASET", (SINGLE, rule("GPTBot")), id="ours-in-other-case"),
    ],
)
def test_our_own_token_never_counts(token, expected):
    assert said(closed("GPTBot", "img2dataset"), token=token) == expected
    assert said(closed("img2dataset"), token="img2dataset") is None


def test_paths():
    text = "User-agent: CCBot\nDisallow: *.jpg$\nUser-agent: GPTBot\nDisallow: /art/"
    assert said(text, "/a.jpg") == (CLEAR, rule("CCBot", "*.jpg$"))
    assert said(text, "/art/a.png") == (SINGLE, rule("GPTBot", "/art/"))
    assert said(text, "/a.png") is None
    assert said(closed("CCBot"), "/robots.txt") is None


def test_nothing():
    assert reading(closed("Googlebot")) is NOTHING


def test_evidence():
    text = (
        "User-agent: GPTBot\nUser-agent: CCBot\nDisallow: / # no\n\nUser-agent: img2dataset\nDisallow: /art/"
    )
    (statement,) = reading(text).statements
    assert statement.signal is Reason.ROBOTS_AI_TOKEN
    assert statement.preference is Preference.DISALLOW
    assert statement.strength is Strength.INFERRED
    assert statement.covers is Purpose.TRAIN_ANY
    raw = "Disallow: / # no\nDisallow: /art/"
    assert statement.evidence == Evidence(SOURCE.url, "lines 3, 6", raw, "ab", 1.0)
    (statement,) = reading("User-agent: GPTBot\nDisallow: /").statements
    assert statement.evidence == Evidence(SOURCE.url, "line 2", "Disallow: /", "ab", 1.0)


def test_evidence_is_bounded():
    text = "".join(f"User-agent: {name}\nDisallow: /{'*' * 999}{name[0]}*\n" for name in token_map().training)
    (statement,) = reading(text, "/" + "".join(token_map().training)).statements
    assert len(statement.evidence.raw) <= RAW_MAX
    assert len(statement.rule) < RAW_MAX + 30
    assert statement.rule.endswith(" (map 2026-11-22)")


# -- the map --

NAMED = {
    Kind.POLICY_ONLY: "Google-Extended Applebot-Extended",
    Kind.TRAINING_CRAWLER: "GPTBot ClaudeBot anthropic-ai CCBot Bytespider meta-externalagent Amazonbot "
    "cohere-training-data-crawler AI2Bot Ai2Bot-Dolma ICC-Crawler Diffbot omgili Webzio-Extended PanguBot "
    "Timpibot imageSpider GoogleOther-Image",
    Kind.DATASET_TOOL: "img2dataset LAIONDownloader laion-huggingface-processor",
    Kind.NOT_TRAINING: "OAI-SearchBot ChatGPT-User Claude-User PerplexityBot",
}


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.value) for kind in Kind])
def test_map_holds_the_tokens_of_the_reference(kind):
    known = token_map()
    part = known.others if kind is Kind.NOT_TRAINING else known.training
    for name in NAMED[kind].split():
        assert (part[name.lower()].name, part[name.lower()].kind) == (name, kind)


def test_map_is_sound():
    known = token_map()
    assert known.version == "2026-11-22"
    assert token_map() is known
    assert not known.training.keys() & known.others.keys()
    assert {token.kind for token in known.training.values()} == set(Kind) - {Kind.NOT_TRAINING}
    assert {token.kind for token in known.others.values()} == {Kind.NOT_TRAINING}
    for key, token in (known.training | known.others).items():
        assert key == token.name.lower()
        assert robots.valid_token(token.name)
        assert ": " in token.why or token.kind is Kind.DATASET_TOOL
        assert token.why.endswith(".")


def test_no_name_stands_twice_in_the_map():
    from importlib.resources import files

    lines = files("heedful.signals").joinpath("ai_tokens.toml").read_text("utf-8").splitlines()
    entries = sum(' = "' in line and not line.startswith("#") for line in lines) - 1
    assert entries == len(token_map().training) + len(token_map().others)


@pytest.mark.parametrize("name", [pytest.param(t.name, id=t.name) for t in token_map().training.values()])
def test_each_token_is_heard(name):
    token = token_map().training[name.lower()]
    assert said(closed(name)) == (CLEAR if token.suffices else SINGLE, rule(name))


@pytest.mark.parametrize("name", [pytest.param(t.name, id=t.name) for t in token_map().others.values()])
def test_what_is_not_training_is_not_heard(name):
    assert said(closed(name)) is None


names = st.sampled_from(["GPTBot", "ClaudeBot", "CCBot", "Google-Extended", "OAI-SearchBot", "*", "Other"])
rows = st.lists(
    names.map("User-agent: {}".format)
    | st.sampled_from(["Disallow: /", "Disallow:", "Allow: /art/", "Sitemap: x"]),
    max_size=10,
)


@given(st.binary(max_size=60), st.text(max_size=5), rows)
def test_total(body, path, lines):
    reading("\n".join(lines).encode() + b"\nUser-agent: CCBot\nDisallow:" + body, "/" + path)


@given(rows, names)
def test_one_more_closed_group_never_lifts_a_denial(lines, name):
    before, after = said("\n".join(lines)), said("\n".join([*lines, "Sitemap:", "", closed(name)]))
    if before is not None:
        assert after is not None
        assert after[0] == CLEAR or before[0] == SINGLE
