"""Fuzzes the parsers: whatever they are given, they raise nothing and say only what is well-formed.

Under atheris if it is installed, else by plain random mutation. Each target runs in a process of its own:

    python tests/fuzz/fuzz_signals.py [--seconds 20] [TARGET ...]

Exit code 1: a target failed; its input is printed as a Python literal, to be made a test case.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

try:
    import atheris
except ImportError:
    atheris = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from heedful.model import Headers

# Only where fuzzing happens: the process that starts the targets needs none of it.
ALONE = "--alone"
with atheris.instrument_imports(include=["heedful"]) if atheris and ALONE in sys.argv else nullcontext():
    from heedful.captured import Captured
    from heedful.errors import HeedfulError
    from heedful.model import (
        RAW_MAX,
        ParseWarning,
        Preference,
        Purpose,
        Reading,
        Reason,
        Source,
        Statement,
        Strength,
    )
    from heedful.signals import (
        ai_tokens,
        ai_txt,
        content_signal,
        content_usage,
        embedded,
        legacy,
        meta_robots,
        policy_tokens,
        robots,
        robots_tag,
        rsl,
        tdmrep,
        trust_txt,
        x_robots_tag,
    )
    from heedful.signals._paths import split_url
    from heedful.testing import embed

TOKEN = "PictureBot"
ORIGIN = "http://127.0.0.1"
TARGETS_ASKED = ["/", "/a.jpg", "/a?b=c", "/%C3%A9/%2F%2A%24"]
SOURCE = Source(ORIGIN + "/x", "ab", 1.0)
WARNINGS_MAX = 50
LENGTH_MAX = 4096
SEPARATOR = b"\x1e"  # between header lines, and between what else a target is given
"""The end of a part of the input: no parser gives it a meaning, so that it costs none of them anything."""


def well_formed(*readings: Reading) -> None:
    """Checks what every reading must be, whatever it was made from."""
    for reading in readings:
        assert len(reading.warnings) <= WARNINGS_MAX
        for warning in reading.warnings:
            assert isinstance(warning, ParseWarning)
            assert warning.message
            assert len(warning.evidence.raw) <= RAW_MAX
            json.dumps(warning.as_dict())
        for statement in reading.statements:
            assert isinstance(statement.preference, Preference)
            assert statement.preference is not Preference.UNKNOWN
            assert isinstance(statement.strength, Strength)
            assert isinstance(statement.covers, Purpose)
            assert statement.rule
            assert len(statement.rule) <= 2 * RAW_MAX
            assert statement.evidence.source_url
            assert statement.evidence.where
            assert len(statement.evidence.raw) <= RAW_MAX
            written = json.loads(json.dumps(statement.as_dict()))
            assert Statement.from_dict(written) == statement


def denials(reading: Reading) -> int:
    return sum(statement.preference is Preference.DISALLOW for statement in reading.statements)


def headers(data: bytes, *names: str) -> Headers:
    """The input as header lines; the first octet of each says which of `names` it is."""
    lines = data.split(SEPARATOR)
    return tuple((names[line[0] % len(names)], line[1:].decode("latin-1")) for line in lines if line)


def targets(data: bytes) -> tuple[bytes, list[str]]:
    """The input's file, and paths to ask it for: the usual ones, and the one that the input ends with."""
    body, separator, path = data.rpartition(SEPARATOR)
    if not separator:
        return data, TARGETS_ASKED
    found = split_url(ORIGIN + "/" + path.decode("latin-1"))
    return body, TARGETS_ASKED if found is None else [*TARGETS_ASKED, found[1]]


# -- targets --


def fuzz_robots(data: bytes) -> None:
    body, paths = targets(data)
    parsed = robots.parse(body)
    group = parsed.group(TOKEN)
    for path in paths:
        for token in (TOKEN, "*", "a"):
            well_formed(robots.access(parsed, token, path, SOURCE))
        well_formed(
            robots.access(robots.parse(body, truncated=True), TOKEN, path, SOURCE),
            content_usage.read_rules(content_usage.compile_rules(group.usage), path, SOURCE),
            legacy.read(parsed, TOKEN, path, SOURCE),
            ai_tokens.read(parsed, TOKEN, path, SOURCE),
            policy_tokens.read(parsed, ["a", "b-c"], path, SOURCE),
        )
        # A Disallow more takes no refusal away.
        more = robots.parse(body + b"\nUser-agent: PictureBot\nDisallow: " + path.encode() + b"\n")
        assert group.refusal(path) is None or more.group(TOKEN).refusal(path) is not None
    well_formed(content_signal.read_robots(parsed, TOKEN, SOURCE))
    assert len(rsl.announced(parsed, TOKEN, SOURCE.url)) <= rsl.ANNOUNCED_MAX


def fuzz_content_usage(data: bytes) -> None:
    well_formed(content_usage.read_headers(headers(data, "Content-Usage"), SOURCE))
    line = robots.Line(1, "content-usage", data.decode("utf-8", "surrogateescape"), "x")
    well_formed(content_usage.read_rules(content_usage.compile_rules([line, line]), "/a.jpg", SOURCE))


def fuzz_content_signal(data: bytes) -> None:
    lines = headers(data, "Content-Signal")
    reading = content_signal.read_headers(lines, SOURCE)
    well_formed(reading)
    assert denials(content_signal.read_headers((*lines, ("content-signal", "ai-train=no")), SOURCE)) >= 1


def fuzz_tdmrep(data: bytes) -> None:
    body, paths = targets(data)
    parsed = tdmrep.parse_file(body)
    well_formed(*(parsed.read(path, SOURCE) for path in paths))
    lines = headers(data, "TDM-Reservation", "TDM-Policy")
    well_formed(tdmrep.read_headers(lines, SOURCE))
    assert denials(tdmrep.read_headers((*lines, ("tdm-reservation", "1")), SOURCE)) == 1


def fuzz_x_robots_tag(data: bytes) -> None:
    lines = headers(data, "X-Robots-Tag")
    for joined in (False, True):
        reading = x_robots_tag.read(lines, TOKEN, SOURCE, joined=joined)
        well_formed(reading, meta_robots.page_headers(lines, TOKEN, SOURCE, joined=joined))
        more = x_robots_tag.read((*lines, ("x-robots-tag", "noai")), TOKEN, SOURCE, joined=joined)
        assert denials(more) == denials(reading) + 1


def fuzz_robots_tag(data: bytes) -> None:
    well_formed(robots_tag.read(headers(data, "Robots-Tag"), TOKEN, SOURCE))


def fuzz_meta_robots(data: bytes) -> None:
    for html in (data, data.decode("latin-1"), data.decode("utf-8", "surrogateescape")):
        reading = meta_robots.read(html, TOKEN, SOURCE)
        well_formed(reading)
        kept = "".join(meta_robots.tags(html))
        assert set(said(meta_robots.read(kept, TOKEN, SOURCE))) == set(said(reading))


def said(reading: Reading) -> list[str]:
    return [statement.rule for statement in reading.statements]


def fuzz_ai_txt(data: bytes) -> None:
    body, paths = targets(data)
    for truncated in (False, True):
        parsed = ai_txt.parse(body, truncated=truncated)
        for path in paths:
            well_formed(parsed.read(TOKEN, path, SOURCE), parsed.read(TOKEN, path, SOURCE, "image/png"))


def fuzz_trust_txt(data: bytes) -> None:
    for truncated in (False, True):
        well_formed(trust_txt.parse(data, truncated=truncated).read(SOURCE))


def fuzz_rsl(data: bytes) -> None:
    body, paths = targets(data)
    parsed = rsl.parse(body)
    well_formed(*(parsed.read(ORIGIN, path, SOURCE) for path in paths))
    assert len(rsl.linked(headers(data, "Link"), SOURCE.url)) <= rsl.ANNOUNCED_MAX


def fuzz_embedded(data: bytes) -> None:
    found = embedded.read(data, SOURCE)
    assert found.media_type == embedded.media_type(data)
    statements = found.reading.statements
    assert len(statements) <= 4 * embedded.STATEMENTS_MAX
    assert len(found.reading.warnings) <= embedded.STATEMENTS_MAX
    spoken = tuple(each for each in statements if each.preference is not Preference.UNKNOWN)
    well_formed(Reading((*spoken, *found.signed), found.reading.warnings[:WARNINGS_MAX]))
    # As it comes in, it denies the same.
    watch = embedded.Watch(SOURCE)
    size = 1 + len(data) // 7
    for at in range(0, len(data), size):
        watch.feed(data[at : at + size])
    denied = tuple(each for each in statements if each.preference is Preference.DISALLOW)
    assert watch.embedded.reading.statements == denied
    # Cut off, it does not begin to allow.
    cut = embedded.read(data[: len(data) * 2 // 3], SOURCE)
    assert denied or allowing(cut.reading) <= allowing(found.reading)


def allowing(reading: Reading) -> set[Reason]:
    return {each.signal for each in reading.statements if each.preference is Preference.ALLOW}


def fuzz_captured(data: bytes) -> None:
    try:
        row = Captured.parse(data)
    except ValueError:
        return
    try:
        verdict = row.judge(token=TOKEN, policy="strict", now=0.0)
    except HeedfulError:
        return
    json.dumps(verdict.as_dict())


ROBOTS = b"""User-agent: PictureBot
User-agent: *
Content-Signal: ai-train=no, use=reference
DisallowAITraining: /a
License: https://127.0.0.1/l.xml
Content-Usage: /a train-ai=n
Disallow: /*.jpg$
Allow: /%C3%A9/%2F
disalow /b
User-agent: GPTBot
Disallow: /
"""
AI_TXT = (
    b"Site-Name: A\nSite-URL: http://127.0.0.1\nTraining: conditional\nTraining-Deny: /**/*.jpg\n"
    b"Agent: PictureBot\n  Training: deny\n"
)
AI_JSON = (
    b'{"site":{"name":"A","url":"http://127.0.0.1"},"policies":{"training":"conditional"},'
    b'"trainingPaths":{"allow":["/a/*"],"deny":["/**"]},"agents":{"PictureBot":{"training":"deny"}}}'
)
RSL = (
    b'<rsl xmlns="https://rslstandard.org/rsl"><content url="/*.jpg" server="http://127.0.0.1/l"><license>'
    b'<permits type="usage">ai-train search</permits><prohibits type="usage">ai-all</prohibits>'
    b'<payment type="free"/></license></content></rsl>'
)
ROW = {
    "id": "a",
    "url": ORIGIN + "/a.jpg",
    "purpose": "train-any",
    "status": 200,
    "headers": [["X-Robots-Tag", "noai"]],
    "hops": [{"url": ORIGIN + "/b", "status": 302, "headers": [["Location", "/a.jpg"]]}],
    "page": {"url": ORIGIN + "/p", "headers": [], "html": "<meta name=robots content=noai>"},
    "origin_files": {
        ORIGIN + "/robots.txt": {"status": 200, "headers": [], "body": "User-agent: *\nAllow: /"}
    },
    "want": {"action": "skip", "reasons": ["x-robots-tag"]},
}


def pictures() -> list[bytes]:
    """A file of each container, with a packet, with a manifest store, with both."""
    box = bytes.fromhex
    clean = [
        b"\xff\xd8\xff\xda\0\2\xff\xd9",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(17) + b"\0\0\0\0IEND" + box("ae426082"),
        b"RIFF\x16\0\0\0WEBPVP8X\n\0\0\0" + bytes(10),
        b"GIF89a" + bytes(7) + b";",
        b"II*\0\x08\0\0\0" + bytes(6),
        b"MM\0+\0\x08\0\0" + box("0000000000000010") + bytes(16),
        b"\xff\x0a" + bytes(4),
        b"<svg><g/></svg>",
    ]
    packet, store = (
        embed.dmi_packet("DMI-PROHIBITED"),
        embed.training_mining_store(
            {"cawg.ai_training": "allowed", "cawg.ai_generative_training": "allowed"}
        ),
    )
    allow = embed.dmi_packet("DMI-ALLOWED", form="attribute")
    files = [
        made
        for data in clean
        for made in (
            embed.xmp(data, packet),
            embed.jumbf(data, store),
            embed.jumbf(embed.xmp(data, allow), store),
        )
    ]
    return [*files, embed.xmp(b"\0\0\0\x10ftypavif\0\0\0\0", packet, place="uuid")]


# What each target starts from; what it is made of is taken from here as well.
TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "robots": (
        fuzz_robots,
        [ROBOTS, ROBOTS + SEPARATOR + b"a.jpg", b"\xef\xbb\xbf\0" + ROBOTS.replace(b"\n", b"\r\n")],
    ),
    "content_usage": (
        fuzz_content_usage,
        [b'\0train-ai=n, search="y";x=1' + SEPARATOR + b"\0Train-AI=?0", b"/a* train-ai=(n @1 1.5 :YQ==:)"],
    ),
    "content_signal": (
        fuzz_content_signal,
        [b"\0search=yes, ai-train=no" + SEPARATOR + b"\0use=reference,ai_train=0"],
    ),
    "tdmrep": (
        fuzz_tdmrep,
        [
            b'[{"location":"/*.jpg$","tdm-reservation":1,"tdm-policy":"http://127.0.0.1/p"},{"location":"*"}]'
            + SEPARATOR
            + b"a.jpg",
            b"\x000, 1" + SEPARATOR + b"\x01http://127.0.0.1/p",
        ],
    ),
    "x_robots_tag": (
        fuzz_x_robots_tag,
        [
            b"\0picturebot: noindex, unavailable_after: 25 Jun 2010 15:00:00 PST"
            + SEPARATOR
            + b"\0*: noai; nocache"
        ],
    ),
    "robots_tag": (
        fuzz_robots_tag,
        [b'\0*;noai, PictureBot;noindex=?1, "x";none' + SEPARATOR + b"\0(a b);noml"],
    ),
    "meta_robots": (
        fuzz_meta_robots,
        [
            b'<!-- <meta> --><META NAME="robots" content="noai, noimageindex"><script><meta></script>',
            b"<title>&lt;</title><meta content='no&#97;i' name=picturebot /><svg><meta name=robots>",
        ],
    ),
    "ai_txt": (
        fuzz_ai_txt,
        [AI_TXT, AI_JSON, b"User-Agent: *\nDisallow: *.jpg\nAllow: /a$\n/\n" + SEPARATOR + b"a.JPG?x=1"],
    ),
    "trust_txt": (
        fuzz_trust_txt,
        [b"# x\ndatatrainingallowed=no\r\nDataTrainingAllowed = YES # y\nmember=http://x/"],
    ),
    "rsl": (
        fuzz_rsl,
        [
            RSL,
            b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]>' + RSL + SEPARATOR + b"a.jpg",
            b'\0</l.xml>; rel="license"; type="application/rsl+xml", <b>; rel=x',
        ],
    ),
    "embedded": (fuzz_embedded, pictures()),
    "captured": (fuzz_captured, [json.dumps(ROW).encode(), json.dumps({"url": ORIGIN}).encode()]),
}


# -- running them --


def mutated(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        start = rng.randint(0, len(data))
        end = start + rng.choice((0, 1, 1, 2, 8, 64))
        other = rng.choice(seeds)
        at = rng.randint(0, len(other))
        data[start:end] = rng.choice(
            (
                b"",
                rng.randbytes(1),
                rng.randbytes(3),
                data[start:end] * 3,
                other[at : at + rng.randint(1, 40)],
            )
        )
    return bytes(data[:LENGTH_MAX])


def mutate(name: str, seconds: float) -> None:
    """Without atheris: seeded, so that two runs differ only in how far they come."""
    target, seeds = TARGETS[name]
    rng = random.Random(name)
    pool = list(seeds)
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        data = mutated(rng, pool)
        count += 1
        try:
            target(data)
        except BaseException:
            click.echo(f"{name} failed on {data!r}", err=True)
            raise
        if len(pool) < 1000:
            pool.append(data)
    click.echo(f"{count} inputs")


def guided(name: str, seconds: float) -> None:
    """With atheris, which ends the process."""
    target, seeds = TARGETS[name]

    def one(data: bytes) -> None:
        try:
            target(data)
        except BaseException:
            click.echo(f"{name} failed on {data!r}", err=True)
            raise

    folder = tempfile.mkdtemp()  # in the starter's own folder, which it removes
    for number, seed in enumerate(seeds):
        Path(folder, str(number)).write_bytes(seed)
    arguments = [
        *(sys.argv[0], folder, f"-max_total_time={max(1, round(seconds))}", f"-max_len={LENGTH_MAX}"),
        *("-seed=1", "-timeout=10", "-rss_limit_mb=2048", "-verbosity=0", "-print_final_stats=1"),
        f"-artifact_prefix={folder}/",
    ]
    atheris.Setup(arguments, one)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20, help="for each target (default: %(default)s)")
    parser.add_argument(ALONE, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)"
    )
    options = parser.parse_args()
    names = options.targets or list(TARGETS)
    for name in names:
        if name not in TARGETS:
            parser.error(f"no such target: {name}")
    if options.alone:
        (guided if atheris else mutate)(names[0], options.seconds)
        return 0
    if not atheris:
        click.echo("atheris is not installed: plain random mutation, which finds less.")
    failed = []
    for name in names:
        command = [sys.executable, __file__, ALONE, "--seconds", str(options.seconds), name]
        with tempfile.TemporaryDirectory() as folder:
            run = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                env={**os.environ, "TMPDIR": folder},
            )
        output = (run.stdout + run.stderr).strip()
        if run.returncode:
            failed.append(name)
            click.echo(output)
        else:
            counts = [
                line for line in output.splitlines() if line.endswith(" inputs") or "executed_units" in line
            ]
            click.echo(f"{name}: nothing found. {' '.join(counts)}")
    if failed:
        click.echo(f"Failed: {', '.join(failed)}.")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
