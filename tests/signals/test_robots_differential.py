"""Our reading of robots.txt beside two other parsers, on questions drawn at random.

No difference is excused by the mere presence of something odd: the other parser is asked again in the words
in which we read the file, and must then give our answer.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import pytest
from protego import Protego

from heedful.model import Source
from heedful.signals._paths import split_url
from heedful.signals.robots import Robots, access, parse

from .deviations import DEVIATIONS, FAST, PROTEGO, Question

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FILES = 2600
PATHS = 4
ORIGIN = "http://127.0.0.1"
SOURCE = Source(ORIGIN + "/robots.txt")

TOKENS = ["PictureBot", "picturebot", "Other-Bot", "third_bot"]
ODD_TOKENS = ["img2dataset", "AI2Bot", "img", "AI"]
AGENTS = ["PictureBot", "PICTUREBOT", "Other-Bot", "third_bot", "*", "*", "Someone"]
ODD_AGENTS = [
    *(
        "img2dataset",
        "AI2Bot",
        "img",
        "AI",
        "Picture",
        "Bot",
        "",
        "PictureBot/2.1",
        "PictureBot (+http://x/)",
    ),
    *("PictureBot;x", "PictureBot*", "*Bot", "*/1.0", "* all", "other-bot\tx"),
]
PIECES = ["a", "b", "ab", "/", "/a", ".jpg", "é", "%C3%A9", "x=1"]
WILD = [*PIECES, *PIECES, "*", "*", "**"]
ODD_PIECES = [
    *("%61", "%7E", "~", "%2F", "%2f", "%3F", "%26", "%25", "%E9", "%2A", "%24", "$", "?", "&"),
    *(" ", "/index.html", "/index.htm"),
]
ODD_PATHS = ["/robots.txt", "/robots.txt?a", "/a?", "/", "/a/", "/index.html", "/a/index.htm", "/*"]
RULES = ["Disallow", "Disallow", "Allow", "disallow", "ALLOW", "Disallow ", "\tAllow\t"]
ODD_LINES = [
    *("Sitemap: http://x/s.xml", "Crawl-delay: 5", "Content-Signal: ai-train=no", "License: /l", "Host: x"),
    *(
        "Content-Usage: train-ai=n",
        "DisallowAITraining: /",
        "AllowAITraining: /",
        "Disallowed: /",
        "Allow-all: /",
    ),
    *(
        "User-agents: PictureBot",
        "useragent: PictureBot",
        "User agent: *",
        "User agent PictureBot",
        "User-agent *",
    ),
    *(
        "Disalow: /a",
        "dissallow: /b",
        "Dissalow: /ab",
        "diasllow: /a/b",
        "disallaw: *b",
        "Disallow /a",
        "Disalow\t/b",
    ),
    *(
        "Disallow /a:b",
        "Disallow /a b",
        "Disallow",
        "Allow /a",
        "Allow /",
        "Disallow:",
        "Allow:",
        "Disallow: a",
    ),
    *(
        "Disallow: /a # b",
        "Disallow: /b#",
        "# Disallow: /",
        "<br />",
        "hello",
        ": /",
        "no key here",
        "",
        "  ",
    ),
    *("Allow: /index.html", "Allow: /a/index.html", "Disallow: /", "Disallow: /a/"),
    *("Disallow:\xa0/a", "User-agent:\xa0*", "\ufeffDisallow: /a", "\ufeffUser-agent: *", "Disal\0low: /a"),
    *("Disallow: /\0b", "# x\u2028Disallow: /", "Allow: /a\x0bDisallow: /a", "Disallow: /b\x85Allow: /b"),
]


def drawn(rng: random.Random, *, odd: float) -> Iterator[Question]:
    """The questions on one file; `odd` is the share of what parsers are known to read differently."""

    def one_of(usual: list[str], strange: list[str]) -> str:
        return rng.choice(strange if rng.random() < odd else usual)

    def path(pieces: list[str]) -> str:
        return "/" + "".join(one_of(pieces, ODD_PIECES) for _ in range(rng.randint(0, 4)))

    def pattern() -> str:
        start = rng.choice(["", "*"]) if rng.random() < 0.1 else ""
        return start + (path(WILD).removeprefix("/") if start else path(WILD)) + "$" * (rng.random() < 0.15)

    lines = []
    for _ in range(rng.randint(1, 4)):
        lines += [f"User-agent: {one_of(AGENTS, ODD_AGENTS)}" for _ in range(rng.choice([1, 1, 1, 2, 3]))]
        if rng.random() < 3 * odd:
            lines.insert(rng.randint(0, len(lines)), rng.choice(ODD_LINES))
        lines += [f"{rng.choice(RULES)}: {pattern()}" for _ in range(rng.randint(0, 5))]
        if rng.random() < 3 * odd:
            lines.insert(rng.randint(0, len(lines)), rng.choice(ODD_LINES))
    robots = rng.choice(["\n", "\n", "\r\n", "\r"]).join(lines)
    for _ in range(PATHS):
        asked = rng.choice(ODD_PATHS) if rng.random() < odd / 2 else path(PIECES).rstrip()
        yield Question(robots, one_of(TOKENS, ODD_TOKENS), asked)
        yield Question(robots, one_of(TOKENS, ODD_TOKENS), asked)


@cache
def questions() -> list[Question]:
    rng = random.Random(9309)
    return [question for number in range(FILES) for question in drawn(rng, odd=0.08 * (number % 3))]


@lru_cache(maxsize=8)
def _our_file(robots: str) -> Robots:
    return parse(robots.encode())


def ours(question: Question) -> bool:
    found = split_url(ORIGIN + question.path)
    assert found is not None
    return not access(_our_file(question.robots), question.token, found[1], SOURCE).statements


@cache
def our_answers() -> list[bool]:
    return [ours(question) for question in questions()]


def fast() -> Callable[[Question], bool]:
    matcher = pytest.importorskip("robotstxt").RobotsMatcher()
    return lambda question: matcher.is_allowed(question.robots, question.token, ORIGIN + question.path)


def protego() -> Callable[[Question], bool]:
    file = lru_cache(maxsize=8)(Protego.parse)
    return lambda question: file(question.robots).can_fetch(ORIGIN + question.path, question.token)


PEERS = [pytest.param(FAST, fast, id=FAST), pytest.param(PROTEGO, protego, id=PROTEGO)]


@cache
def levelled(question: Question, peer: str) -> Question:
    for deviation in DEVIATIONS:
        if peer in deviation.peers and deviation.level:
            question = deviation.level(question)
    return question


def test_there_is_something_to_ask():
    answers = our_answers()
    assert len(answers) >= 20_000
    assert min(answers.count(True), answers.count(False)) >= 4_000


@pytest.mark.parametrize(("name", "peer"), PEERS)
def test_every_difference_is_a_known_deviation(name, peer):
    ask = peer()
    unexplained = []
    for question, answer in zip(questions(), our_answers(), strict=True):
        level = levelled(question, name)
        if ask(level) is not answer:
            unexplained.append((question, level, answer))
    assert unexplained[:3] == []


@pytest.mark.parametrize("name", [FAST, PROTEGO])
def test_levelled_words_mean_the_same_to_us(name):
    changed = [
        (question, levelled(question, name))
        for question, answer in zip(questions(), our_answers(), strict=True)
        if ours(levelled(question, name)) is not answer
    ]
    assert changed[:3] == []


@pytest.mark.parametrize(("name", "peer"), PEERS)
def test_every_known_deviation_is_seen(name, peer):
    ask = peer()
    differing = [
        (question, answer)
        for question, answer in zip(questions(), our_answers(), strict=True)
        if ask(question) is not answer
    ]
    seen = Counter(
        deviation.name
        for question, answer in differing
        for deviation in DEVIATIONS
        if name in deviation.peers and deviation.level and ask(deviation.level(question)) is answer
    )
    listed = {deviation.name for deviation in DEVIATIONS if name in deviation.peers and deviation.level}
    assert listed - seen.keys() == set()


# -- work grows with the file, and no faster --


def calls(body: bytes, targets: list[str]) -> tuple[int, int]:
    """How many functions are called, Python's own included, to read a file and to answer for all targets."""
    count = 0

    def seen(frame, event, argument):
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        robots = parse(body)
        robots.group("PictureBot").match("/")  # makes the index
        read = count
        for target in targets:
            access(robots, "PictureBot", target, SOURCE)
    finally:
        sys.setprofile(before)
    return read, count - read


def repeated(template: str, octets: int) -> bytes:
    """A file of about so many octets, of lines that are all different."""
    lines = octets // len(template)
    return b"User-agent: *\n" + "".join(f"{template.format(number)}\n" for number in range(lines)).encode()


SHAPES = [
    *(
        "Disallow: /{}",
        "Disallow: /{}/",
        "Disallow: /*{}",
        "Disallow: *{}$",
        "Disallow: /a*{}b*",
        "Allow: /{}*?x",
    ),
    *(
        "Disallow: /%61{}",
        "Disallow: /é{}",
        "Disallow: /" + "a" * 400 + "{}",
        "Disallow: /" + "*a" * 200 + "{}",
    ),
    *("Disallow: /*a*b{}", "Disallow: /*abcd{}efgh$", "Disallow: /{}$", "Content-Usage: /{} train-ai=n"),
    *(
        "User-agent: a{}",
        "User-agent: PictureBot # {}",
        "User-agent: PictureBot\nDisallow: /{}",
        "Sitemap: {}",
    ),
    *("hello {}", "disalow /{}", "Disallow /{}:", "<p class='x: {}'>", "#{}", "\r{}", ": {}", "\ufeff{}"),
]


@pytest.mark.parametrize("template", SHAPES)
def test_work_grows_with_the_file(template):
    targets = ["/", "/123/a.jpg?x=1", "/" + "a" * 500, "/" + "ab" * 250, "/abcd1efgh", "/" + "%61" * 100]
    small, large = (calls(repeated(template, octets), targets) for octets in (32_768, 131_072))
    assert large[0] <= 4.5 * small[0]
    assert large[1] <= 4.5 * small[1] + 100


@pytest.mark.parametrize(
    "template",
    [
        "Disallow: /{}/",
        "Disallow: /{}*.jpg$",
        "Disallow: /folder{}/*/",
        "Disallow: /*?session{}=",
        "Disallow: /*{}.gif$",
    ],
)
def test_10_000_rules_are_not_tried_one_by_one(template):
    body = b"User-agent: *\n" + "".join(f"{template.format(n)}\n" for n in range(10_000)).encode()
    _, asked = calls(body, ["/gallery/2024/picture-1234.jpg?width=300"])
    assert asked < 1_000
