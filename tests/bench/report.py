"""What a report costs: a ledger as crawls write it, then the terminal, the JSON, the page and the exports.

    python tests/bench/report.py --records 1000000 --files 500

Figures are seconds of a process of its own, its start included, and its largest resident memory.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table

from heedful import Action, Evidence, Policy, Preference, Reason, Stage, Statement, Verdict
from heedful.ledger import LedgerWriter, Run
from heedful.model import ParseWarning

if TYPE_CHECKING:
    from collections.abc import Iterator

DAYS = 30
HOSTS = 20_000
START = 1_790_000_000.0
CRAWLERS = ("scrapy/2.19.0", "img2dataset/1.47.0")
LISTS = ("artists", "photographers", "do-not-train", "museum-works")

# action, reason, stage, rule, where it is read, the signal's switch, and its share of all records
KINDS: tuple[tuple[Action, Reason | None, Stage, str, str, str | None, float], ...] = (
    (Action.STORE, None, Stage.BODY, "", "", None, 0.55),
    (Action.SKIP, Reason.REGISTRY_DOMAIN, Stage.URL, "opt-out, domain", "list {list}", None, 0.11),
    (
        Action.SKIP,
        Reason.REGISTRY_URL,
        Stage.URL,
        "opt-out, url",
        "list {list}, registered 2026-02-03",
        None,
        0.06,
    ),
    (Action.SKIP, Reason.ROBOTS_DISALLOW, Stage.ORIGIN, "Disallow: /art/", "line 12", None, 0.06),
    (Action.SKIP, Reason.ROBOTS_AI_TOKEN, Stage.ORIGIN, "GPTBot: Disallow: /", "line 31", "ai_tokens", 0.07),
    (Action.SKIP, Reason.TDMREP, Stage.ORIGIN, "tdm-reservation 1", "entry 1", None, 0.02),
    (Action.SKIP, Reason.X_ROBOTS_TAG, Stage.HEADERS, "noai", "header X-Robots-Tag", None, 0.04),
    (Action.SKIP, Reason.META_ROBOTS, Stage.PAGE, "noimageai", "meta 2", None, 0.01),
    (Action.SKIP, Reason.DATA_MINING, Stage.BODY, "DMI-PROHIBITED-AIMLTRAINING", "XMP", None, 0.01),
    (Action.DEFER, Reason.ROBOTS_UNREACHABLE, Stage.ORIGIN, "503", "status", None, 0.02),
    (Action.DEFER, Reason.UNDETERMINED, Stage.ORIGIN, "timeout", "status", None, 0.01),
    (Action.FAILED, None, Stage.HEADERS, "", "", None, 0.04),
)


def verdict(rng: random.Random, url: str, host: str) -> Verdict:
    """One decision as the gate gives it."""
    (kind,) = rng.choices(KINDS, [each[-1] for each in KINDS])
    action, reason, stage, rule, where, switch, _ = kind
    robots = f"https://{host}/robots.txt"
    digest = hashlib.sha256(host.encode()).hexdigest()
    if reason is None:
        return Verdict(url, action, stage=stage, snapshots=((robots, digest),))
    at = rng.choice(LISTS)
    listed = reason.value.startswith("registry.")
    source = "registry artists.heed" if listed else url if stage is Stage.HEADERS else robots
    evidence = Evidence(
        source,
        where.format(list=at),
        host if listed else f"User-agent: *\n{rule}",
        None if listed else digest,
        None if listed else START,
    )
    preference = Preference.UNDETERMINED if action is Action.DEFER else Preference.DISALLOW
    spoke = Statement(reason, preference, rule, evidence, switch=switch)
    malformed = rng.random() < 0.02
    warnings = (
        (ParseWarning(Reason.ROBOTS_DISALLOW, "a line that is no record", evidence),) if malformed else ()
    )
    return Verdict(
        url,
        action,
        (reason,),
        stage,
        (spoke,),
        warnings=warnings,
        snapshots=((robots, digest),),
        registries=(("artists", 3), ("spawning", 1)),
    )


def write(ledger: str, records: int, files: int) -> None:
    """A ledger of so many records over so many workers' files."""
    rng = random.Random(7)
    weights = [1 / (rank + 10) for rank in range(HOSTS)]
    hosts = [f"www{rank}.art-{rank % 977}.example" for rank in range(HOSTS)]

    def clock() -> float:
        return START + rng.random() * DAYS * 86_400

    runs = [
        Run.start(
            crawler=crawler, token="PictureBot", policy=Policy.load("standard"), enforced=True, now=START
        )
        for crawler in CRAWLERS
    ]
    each = records // files
    for file in range(files):
        writer = LedgerWriter(ledger, runs[file % 2], worker=f"{file:05d}", clock=clock)
        for host in rng.choices(hosts, weights, k=each if file else records - each * (files - 1)):
            url = f"https://{host}/art/{rng.getrandbits(40):x}/picture-{rng.randrange(10_000)}.jpg"
            found = verdict(rng, url, host)
            read = found.action is not Action.DEFER and found.stage in {Stage.HEADERS, Stage.BODY}
            size = rng.randrange(5_000, 800_000)
            writer.record(
                url,
                found.action,
                found,
                status=200 if read else None,
                bytes_read=size if found.action is Action.STORE else 0,
                bytes_avoided=size if found.stage is Stage.HEADERS else None,
                error="timeout" if found.action is Action.FAILED else None,
            )
        writer.close()


class Cost(NamedTuple):
    """One command: seconds, and the largest resident memory in MB."""

    what: str
    seconds: float
    megabytes: float
    bytes_written: int


def cost(what: str, out: Path | None, *args: str) -> Cost:
    begin = time.perf_counter()
    command = [sys.executable, "-m", "heedful.cli", *args]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begin
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return Cost(what, seconds, usage.ru_maxrss / 1024, out.stat().st_size if out else 0)


def costs(ledger: str, folder: Path) -> Iterator[Cost]:
    page, csv, parquet = folder / "report.html", folder / "ledger.csv", folder / "ledger.parquet"
    yield cost("terminal", None, "report", ledger)
    yield cost("--json", None, "report", ledger, "--json")
    yield cost("--html", page, "report", ledger, "--html", str(page))
    yield cost("export --csv", csv, "export", ledger, "--csv", str(csv))
    yield cost("export --parquet", parquet, "export", ledger, "--parquet", str(parquet))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=50)
    parser.add_argument("--ledger", help="use this one, and write it if it is not there")
    parser.add_argument("--json", action="store_true", help="print JSON, one list of figures")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        ledger = given.ledger or f"{temporary}/ledger"
        if not Path(ledger).exists():
            write(ledger, given.records, given.files)
        figures = list(costs(ledger, Path(temporary)))
    if given.json:
        Console().print_json(data=[figure._asdict() for figure in figures])
        return
    table = Table("", title=f"{given.records:,} records in {given.files:,} files")
    for heading in ("s", "MB of memory", "MB written"):
        table.add_column(heading, justify="right")
    for figure in figures:
        written = f"{figure.bytes_written / 1e6:,.1f}" if figure.bytes_written else ""
        table.add_row(figure.what, f"{figure.seconds:.2f}", f"{figure.megabytes:,.0f}", written)
    Console().print(table)


if __name__ == "__main__":
    main()
