"""What a record costs: to write one to a local disk, its bytes, and what it takes to verify and replay it.

The write itself, one system call a record, is shown apart: it is the price of losing no record to a kill.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from measuring import US, Figure, median_us, report

from heedful import Action, Gate, OriginFile, Policy, Response, Stage
from heedful.ledger import LedgerReader, LedgerWriter, Run, verify
from heedful.ledger.records import first_link, to_line
from heedful.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heedful import Verdict

URL = "https://images.example.com/photos/2026/11/landscape-123456-large.jpg"
ROBOTS = "https://images.example.com/robots.txt"
RECORDS = 2000
NOW = 1_790_000_000.25
BYTES = "bytes a line"

TRAINERS = b"User-agent: GPTBot\nUser-agent: ClaudeBot\nDisallow: /\n"

DECISIONS: dict[str, tuple[str, bytes, tuple[tuple[str, str], ...]]] = {
    "a store, nothing said": ("standard", b"User-agent: *\nDisallow: /admin/\n", ()),
    "a store, something said to others": ("letter", TRAINERS, ()),
    "a skip by robots.txt": ("standard", TRAINERS, ()),
    "a skip by a header": ("standard", b"", (("X-Robots-Tag", "noai"),)),
}


def judged(policy: str, robots: bytes, headers: tuple[tuple[str, str], ...]) -> Verdict:
    gate = Gate("PictureBot", policy)
    files = {url: OriginFile(url, 404) for url in gate.origin_files(URL)}
    files |= {"https://images.example.com/trust.txt": OriginFile("https://images.example.com/trust.txt", 404)}
    files[ROBOTS] = OriginFile(ROBOTS, 200, (), robots, NOW)
    for stage, response in ((Stage.ORIGIN, None), (Stage.BODY, Response(200, headers, NOW))):
        verdict = gate.judge(URL, origin_files=files, response=response, stage=stage, now=NOW)
        if verdict.action is not Action.STORE:
            break
    return verdict


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        numbers = itertools.count()
        for what, (policy, robots, headers) in DECISIONS.items():
            verdict = judged(policy, robots, headers)
            run = Run.start(
                crawler="scrapy/2.19.0",
                token="PictureBot",
                policy=Policy.load(policy),
                enforced=True,
                now=NOW,
            )
            writer = LedgerWriter(folder, run, worker=str(next(numbers)))

            def write(writer: LedgerWriter = writer, verdict: Verdict = verdict) -> None:
                writer.record(URL, verdict.action, verdict, status=200, bytes_read=11_000)

            yield Figure(what, US, median_us(write))
            record = writer.record(URL, verdict.action, verdict, status=200, bytes_read=11_000)
            writer.close()
            line, _ = to_line(record, first_link("x"))
            yield Figure(what, BYTES, float(len(line)))
        yield Figure("the system's share: a line appended", US, appended(line, Path(folder) / "plain"))
        yield from read(f"{folder}/read", judged(*DECISIONS["a store, something said to others"]))


def appended(line: bytes, path: Path) -> float:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        return median_us(lambda: os.write(file, line))
    finally:
        os.close(file)


def read(ledger: str, verdict: Verdict) -> Iterator[Figure]:
    """What a record costs once it is there."""
    run = Run.start(crawler="x", token="PictureBot", policy=Policy.load("letter"), enforced=True, now=NOW)
    writer = LedgerWriter(ledger, run)
    for _ in range(RECORDS):
        writer.record(URL, verdict.action, verdict, status=200, bytes_read=11_000)
    writer.close()
    yield Figure("read a record", US, median_us(lambda: list(LedgerReader(ledger))) / RECORDS)
    yield Figure("verify a record", US, median_us(lambda: verify([ledger])) / RECORDS)
    strict = Policy.load("strict")

    def replay() -> None:
        for _ in Replay(strict, lambda _: None).of(LedgerReader(ledger)):
            pass

    yield Figure("replay a record, reading included", US, median_us(replay) / RECORDS)


if __name__ == "__main__":
    report(__doc__, [US, BYTES], measure)
