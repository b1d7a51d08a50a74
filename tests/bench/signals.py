"""Measures the parsers beside others, all in one run: figures of different runs or machines do not compare.

    python tests/bench/signals.py [--json]

Medians of several repetitions, in microseconds a call. A tool that is not installed is left out and named.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
from functools import partial
from http.client import HTTPMessage
from typing import TYPE_CHECKING
from urllib.robotparser import RobotFileParser

from measuring import US, Figure, median_us, report

from heedful import gate
from heedful.fold import Fold
from heedful.model import OriginFile, Response, Source
from heedful.signals import (
    ai_tokens,
    ai_txt,
    content_signal,
    content_usage,
    legacy,
    meta_robots,
    policy_tokens,
    robots,
    rsl,
    tdmrep,
    trust_txt,
)
from heedful.signals._paths import split_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from heedful.model import Headers

TOKEN = "PictureBot"
ORIGIN = "http://127.0.0.1"
SOURCE = Source(ORIGIN + "/x")
PROTEGO, FAST, URLLIB = "protego", "fast-robotstxt", "urllib.robotparser"
DATADILIGENCE, IMG2DATASET = "datadiligence", "img2dataset"
TOOLS = [US, PROTEGO, FAST, URLLIB, DATADILIGENCE, IMG2DATASET]


# -- robots.txt --

SHORT = """User-agent: *
Crawl-delay: 10
Disallow: /wp-admin/
Allow: /wp-admin/admin-ajax.php
Disallow: /*?s=
Disallow: /search
Disallow: /*.pdf$
Disallow: /cart/

User-agent: GPTBot
User-agent: CCBot
User-agent: Google-Extended
Disallow: /

User-agent: PictureBot
Disallow: /private/
Disallow: /*/preview/
Allow: /private/press/

Sitemap: https://127.0.0.1/sitemap.xml
"""
MANY_RULES = "User-agent: *\n" + "".join(
    (f"Disallow: /folder{n}/", f"Disallow: /*/old{n}/", f"Disallow: /*?id={n}$", f"Allow: /folder{n}/open")[
        n % 4
    ]
    + "\n"
    for n in range(10_000)
)
# Wildcards that all try the whole of a long path, and fail at its end.
HOSTILE = ("User-agent: *\n" + "".join(f"Disallow: /*a*a*a*a*{n:x}b$\n" for n in range(25_000)))[: 500 * 1024]
PICTURE = "/gallery/2024/picture-1234.jpg?width=300"
FILES = {
    "robots.txt, short": (SHORT, PICTURE),
    "robots.txt, 10,000 rules": (MANY_RULES, PICTURE),
    "robots.txt, 500 KiB, hostile": (HOSTILE, "/" + "a" * 2000),
}


def robots_figures() -> Iterator[Figure]:
    for name, (text, path) in FILES.items():
        body, lines, url = text.encode(), text.splitlines(), ORIGIN + path
        parts = split_url(url)
        assert parts is not None
        target = parts[1]

        ours = robots.parse(body)
        yield Figure(f"{name}: parse", US, median_us(lambda body=body: robots.parse(body)))
        yield Figure(
            f"{name}: parse, first answer",
            US,
            median_us(
                lambda body=body, target=target: robots.access(robots.parse(body), TOKEN, target, SOURCE)
            ),
        )
        yield Figure(
            f"{name}: answer",
            US,
            median_us(lambda ours=ours, url=url: robots.access(ours, TOKEN, split_url(url)[1], SOURCE)),  # type: ignore[index]
        )

        try:
            from protego import Protego
        except ImportError:
            pass
        else:
            theirs = Protego.parse(text)
            yield Figure(f"{name}: parse", PROTEGO, median_us(partial(Protego.parse, text)))
            yield Figure(
                f"{name}: parse, first answer",
                PROTEGO,
                median_us(lambda text=text, url=url, parse=Protego.parse: parse(text).can_fetch(url, TOKEN)),
            )
            yield Figure(f"{name}: answer", PROTEGO, median_us(partial(theirs.can_fetch, url, TOKEN)))

        try:
            from robotstxt import RobotsMatcher
        except ImportError:
            pass
        else:
            # It keeps nothing: each answer reads the file again.
            asked = median_us(partial(RobotsMatcher().is_allowed, text, TOKEN, url))
            yield Figure(f"{name}: parse, first answer", FAST, asked)
            yield Figure(f"{name}: answer", FAST, asked)

        def read(lines: list[str] = lines) -> RobotFileParser:
            parser = RobotFileParser()
            parser.parse(lines)
            return parser

        yield Figure(f"{name}: parse", URLLIB, median_us(read))
        yield Figure(
            f"{name}: parse, first answer",
            URLLIB,
            median_us(lambda read=read, url=url: read().can_fetch(TOKEN, url)),
        )
        yield Figure(f"{name}: answer", URLLIB, median_us(partial(read().can_fetch, TOKEN, url)))


# -- response headers --

PLAIN_HEADERS: Headers = (
    ("Date", "Sun, 22 Nov 2026 10:00:00 GMT"),
    ("Content-Type", "image/jpeg"),
    ("Content-Length", "182044"),
    ("Connection", "keep-alive"),
    ("Cache-Control", "public, max-age=31536000"),
    ("ETag", '"5f2b-17a9c"'),
    ("Last-Modified", "Tue, 03 Mar 2026 08:00:00 GMT"),
    ("Accept-Ranges", "bytes"),
    ("Age", "3600"),
    ("Vary", "Accept-Encoding"),
    ("Server", "nginx"),
    ("X-Cache", "HIT"),
)
SIGNAL_HEADERS: Headers = (
    *PLAIN_HEADERS,
    ("X-Robots-Tag", "otherbot: nofollow"),
    ("X-Robots-Tag", "noai, noimageai"),
    ("TDM-Reservation", "1"),
    ("TDM-Policy", "https://127.0.0.1/policy.json"),
    ("Content-Usage", "train-ai=n, search=y"),
    ("Content-Signal", "search=yes, ai-train=no"),
)
URL = "https://art.example/1.jpg"
GATE = gate.Gate(TOKEN)
ABSENT = {url: OriginFile(url, 404) for url in (*GATE.origin_files(URL), "https://art.example/trust.txt")}


def read_headers(headers: Headers) -> None:
    speaking = tuple(header for header in headers if header[0].lower() in gate.SPEAKING)
    if speaking:
        GATE._headers(speaking, SOURCE, Fold(GATE._effects, GATE.policy))


def header_figures() -> Iterator[Figure]:
    one = (*PLAIN_HEADERS, ("X-Robots-Tag", "noai"))
    for name, headers in (("no signal", PLAIN_HEADERS), ("one", one), ("five", SIGNAL_HEADERS)):
        what = f"headers with {name}"
        yield Figure(what, US, median_us(partial(read_headers, headers)))
        judge = partial(GATE.judge, URL, origin_files=ABSENT, response=Response(200, headers))
        yield Figure(f"whole verdict, {what}", US, median_us(judge))
        message = HTTPMessage()
        for key, value in headers:
            message[key] = value
        try:
            with contextlib.redirect_stdout(sys.stderr):  # it asks for an API key
                from datadiligence import HttpEvaluator
        except ImportError:
            pass
        else:
            evaluator = HttpEvaluator(user_agent=TOKEN)
            yield Figure(what, DATADILIGENCE, median_us(partial(evaluator.is_allowed, headers=message)))
        try:
            from img2dataset.downloader import is_disallowed
        except ImportError:
            pass
        else:
            rules = ["noai", "noimageai", "noindex", "noimageindex"]
            yield Figure(what, IMG2DATASET, median_us(partial(is_disallowed, message, TOKEN.lower(), rules)))


def other_figures() -> Iterator[Figure]:
    seen = (("Content-Usage", "train-ai=n, search=y"),)
    # More of them than are remembered.
    unseen = itertools.cycle([(("Content-Usage", f"train-ai=n, search=y;x={n}"),) for n in range(5000)])
    yield Figure(
        "Content-Usage, seen before", US, median_us(lambda: content_usage.read_headers(seen, SOURCE))
    )
    yield Figure(
        "Content-Usage, new", US, median_us(lambda: content_usage.read_headers(next(unseen), SOURCE))
    )

    text = "".join(f"Content-Usage: /folder{n}/ train-ai=n\n" for n in range(100))
    rules = content_usage.compile_rules(robots.parse(f"User-agent: *\n{text}".encode()).group(TOKEN).usage)
    yield Figure(
        "Content-Usage, 100 rules in robots.txt: answer",
        US,
        median_us(lambda: content_usage.read_rules(rules, "/folder99/a.jpg", SOURCE)),
    )

    for count in (3, 1000):
        entries = [{"location": f"/folder{n}/*.jpg$", "tdm-reservation": n % 2} for n in range(count)]
        body = json.dumps(entries).encode()
        parsed = tdmrep.parse_file(body)
        name = f"tdmrep.json, {count:,} entries"
        yield Figure(f"{name}: parse", US, median_us(partial(tdmrep.parse_file, body)))
        yield Figure(
            f"{name}: answer, last entry",
            US,
            median_us(partial(parsed.read, f"/folder{count - 1}/a.jpg", SOURCE)),
        )


ROBOTS = robots.parse(
    b"User-agent: *\nContent-Signal: search=yes, ai-train=no\nDisallowAITraining: /kept/\nAllow: /\n\n"
    b"User-agent: GPTBot\nUser-agent: CCBot\nDisallow: /\n\nLicense: /license.xml\n"
)
AI_TXT = b"User-Agent: *\nDisallow: *.jpg\nDisallow: *.png\nAllow: *.webp\n"
AI_JSON = b'{"site": {"name": "A", "url": "https://art.example"}, "policies": {"training": "deny"}}'
TRUST_TXT = b"member=https://a.example\nsocial=https://b.example\ndatatrainingallowed=no\n"
RSL = (
    b'<rsl xmlns="https://rslstandard.org/rsl"><content url="/art/"><license>'
    b'<prohibits type="usage">ai-train</prohibits></license></content></rsl>'
)
PAGE = "<html><head><title>A page</title>" + '<meta name="robots" content="noai"></head><body>'
PAGE += "<p>Words <b>and</b> more.</p>" * 1000
SILENT_PAGE = PAGE.replace("noai", "index")
ART = "/art/a.jpg"


def further_figures() -> Iterator[Figure]:
    """The other protocols, each on a small file; nobody else reads them."""
    ai_text, ai_json = ai_txt.parse(AI_TXT), ai_txt.parse(AI_JSON)
    trust, licence = trust_txt.parse(TRUST_TXT), rsl.parse(RSL)
    speaking: dict[str, Callable[[], object]] = {
        "other agents' tokens: answer": lambda: ai_tokens.read(ROBOTS, TOKEN, ART, SOURCE),
        "policy tokens: answer": lambda: policy_tokens.read(ROBOTS, ["no-training"], ART, SOURCE),
        "DisallowAITraining: answer": lambda: legacy.read(ROBOTS, TOKEN, ART, SOURCE),
        "Content-Signal in robots.txt: parse": lambda: content_signal.read_robots(ROBOTS, TOKEN, SOURCE),
        "ai.txt: parse": lambda: ai_txt.parse(AI_TXT),
        "ai.txt: answer": lambda: ai_text.read(TOKEN, ART, SOURCE),
        "ai.json: parse": lambda: ai_txt.parse(AI_JSON),
        "ai.json: answer": lambda: ai_json.read(TOKEN, ART, SOURCE),
        "trust.txt: parse": lambda: trust_txt.parse(TRUST_TXT),
        "trust.txt: answer": lambda: trust.read(SOURCE),
        "RSL: announced in robots.txt": lambda: rsl.announced(ROBOTS, TOKEN, SOURCE.url),
        "RSL: parse": lambda: rsl.parse(RSL),
        "RSL: answer": lambda: licence.read("https://art.example", ART, SOURCE),
        "meta robots, a page of 30 kB": lambda: meta_robots.read(PAGE, TOKEN, SOURCE),
        "meta robots, the page without them": lambda: meta_robots.read(SILENT_PAGE, TOKEN, SOURCE),
    }
    for what, call in speaking.items():
        yield Figure(what, US, median_us(call))


def main() -> None:
    def measure() -> Iterator[Figure]:
        yield from robots_figures()
        yield from header_figures()
        yield from other_figures()
        yield from further_figures()

    report(__doc__, TOOLS, measure)


if __name__ == "__main__":
    main()
