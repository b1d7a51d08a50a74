"""The main job on an embedded default: crawl the gallery, then look at what lies in the stores."""

from __future__ import annotations

import csv
import os
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

from heedful.errors import ConfigurationError
from heedful.ledger import LedgerReader
from heedful.model import Action, printable
from heedful.testing import GALLERY, PROFILES, TOKEN, Exhibit, identify, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from heedful.ledger import Record
    from heedful.testing import RunningGallery
    from heedful_spiders.crawl import Counts

MARKER: Final = ".heedful-demo"
"""Says that a folder is a demo's own and may be emptied by the next one."""

_COLOURS: Final = {
    Action.STORE: "green",
    Action.SKIP: "red",
    Action.DEFER: "yellow",
    Action.FAILED: "dim",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What a crawler made of an exhibit: whether it lies in the store, and what the ledger says of it."""

    stored: bool
    record: Record | None

    @property
    def action(self) -> Action | None:
        """What the ledger says was done."""
        return self.record.action if self.record else None

    def is_as(self, wanted: Action) -> bool:
        """Whether the picture is where it belongs, and the ledger agrees."""
        return self.stored == (wanted is Action.STORE) and self.action is wanted

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "stored": self.stored,
            "action": self.action.value if self.action else None,
            "reasons": [reason.value for reason in self.record.reasons] if self.record else [],
        }


@dataclass(frozen=True, slots=True)
class Row:
    """One exhibit, what was wanted, and what each crawler made of it, by the crawler's name."""

    exhibit: Exhibit
    wanted: Action
    found: Mapping[str, Found]

    @property
    def good(self) -> bool:
        """Each crawler did what was wanted."""
        return all(found.is_as(self.wanted) for found in self.found.values())


@dataclass(frozen=True, slots=True)
class Outcome:
    """A demo's result: `counts` are those of Scrapy."""

    rows: Sequence[Row]
    counts: Counts
    ledger: str

    @property
    def good(self) -> bool:
        """Every free picture is stored, no other one is."""
        return all(row.good for row in self.rows)

    @property
    def crawlers(self) -> Sequence[str]:
        """The crawlers' names."""
        return tuple(self.rows[0].found)

    def as_dict(self) -> dict[str, Any]:
        """The exhibits, for `--json`."""
        return {
            "good": self.good,
            "exhibits": [
                {
                    "name": row.exhibit.name,
                    "signal": row.exhibit.signal,
                    "wanted": row.wanted.value,
                    "crawlers": {name: found.as_dict() for name, found in row.found.items()},
                }
                for row in self.rows
            ],
        }

    def table(self) -> Table:
        """The exhibits, for the terminal."""
        table = Table(title="The gallery, and what lies in the stores", title_justify="left")
        table.add_column("what its owner says", ratio=1)
        table.add_column("verdict")
        table.add_column("reason")
        for name in self.crawlers:
            table.add_column(name)
        for row in self.rows:
            first = row.found[self.crawlers[0]]
            action, record = first.action, first.record
            table.add_row(
                printable(row.exhibit.signal),
                f"[{_COLOURS[action]}]{action.value}[/]" if action else "[red]not in the ledger[/]",
                record.reason.value if record and record.reason else "",
                *(
                    ("stored" if each.stored else "-")
                    + ("" if each.is_as(row.wanted) else " [bold red](wrong)[/]")
                    for each in row.found.values()
                ),
            )
        return table

    def sentences(self) -> Sequence[str]:
        """The outcome, a sentence for each crawler."""
        free = [row for row in self.rows if row.wanted is Action.STORE]
        denied = [row for row in self.rows if row.wanted in {Action.SKIP, Action.DEFER}]
        return [
            f"{name}: {sum(row.found[name].stored for row in free)} of {len(free)} free pictures stored, "
            f"{sum(row.found[name].stored for row in denied)} of {len(denied)} opted-out or doubtful ones."
            for name in self.crawlers
        ]


def run(
    out: Path,
    policy: str,
    crawl: Callable[..., Counts],
    download: Callable[..., object] | None,
    says: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Serve the gallery on loopback, crawl it into `out`, and compare the stores with the truth.

    Args:
        out: the output folder: a new or empty one, or an earlier demo's, which is emptied.
        policy: one of the shipped profiles.
        crawl: `heedful_spiders.crawl.crawl`, or a function like it.
        download: `heedful.img2dataset.download`; None: without it.
        says: told what is being done.

    Raises:
        ConfigurationError: the folder holds other things, or the policy is not a shipped one.
    """
    if policy not in PROFILES:
        raise ConfigurationError(
            f"The demo knows the truth for {', '.join(PROFILES)}: there is no {policy!r}."
        )
    _prepare(out)
    ledger = str((out / "ledger").absolute())
    with serve() as gallery:
        told = {
            "token": TOKEN,
            "policy": policy,
            "registries": [str(gallery.registry(out / "gallery.heed"))],
            "ledger": ledger,
            "cache": str(out / "cache"),
        }
        counts = crawl(
            (gallery.start_url,),
            out,
            heedful={f"HEEDFUL_{name.upper()}": value for name, value in told.items()},
            follow="all",
            # On loopback there is nobody to be polite to.
            scrapy={"AUTOTHROTTLE_ENABLED": False, "RETRY_TIMES": 0},
        )
        stores = {"scrapy": out / "images"}
        if download is not None:
            says("img2dataset downloads the same pictures")
            stores["img2dataset"] = out / "img2dataset"
            _download(download, gallery, out, told)
        urls = {exhibit.name: gallery.exhibit_url(exhibit) for exhibit in GALLERY.exhibits}
    records = {(_crawler(record), record.hop_of or record.url): record for record in LedgerReader(ledger)}
    stored = {name: {identify(path) for path in store.rglob("*.jpg")} for name, store in stores.items()}
    rows = [
        Row(
            exhibit,
            exhibit.wanted[policy],
            {
                name: Found(exhibit.id in stored[name], records.get((name, urls[exhibit.name])))
                for name in stores
            },
        )
        for exhibit in GALLERY.exhibits
    ]
    return Outcome(rows, counts, ledger)


def _crawler(record: Record) -> str:
    return record.run.crawler.partition("/")[0]


def _download(
    download: Callable[..., object], gallery: RunningGallery, out: Path, told: Mapping[str, Any]
) -> None:
    """Have img2dataset download the gallery, from a list as dataset builders have it."""
    urls = out / "urls.csv"
    with urls.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["url", "page"])
        for exhibit in GALLERY.exhibits:
            rows.writerow([gallery.exhibit_url(exhibit), gallery.url(exhibit.shown_on or exhibit.site)])
    with _output_to(out / "img2dataset.log"):
        download(
            str(urls),
            output_folder=str(out / "img2dataset"),
            input_format="csv",
            processes_count=2,
            number_sample_per_shard=80,
            thread_count=16,
            resize_mode="no",
            **{f"heedful_{name}": value for name, value in told.items()},
            heedful_page_col="page",
        )


@contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Let all that this process and its children print go to a file."""
    streams = (sys.stdout, sys.stderr)
    for stream in streams:
        stream.flush()
    kept = [os.dup(number) for number in (1, 2)]
    with log.open("wb") as file:
        try:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
            yield
        finally:
            for stream in streams:
                stream.flush()
            for number, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)


def _prepare(out: Path) -> None:
    try:
        if out.exists():
            if any(out.iterdir()) and not (out / MARKER).exists():
                raise ConfigurationError(
                    f"{out} holds other things than a demo: give a new or empty folder with --out."
                )
            shutil.rmtree(out)
        out.mkdir(parents=True)
        (out / MARKER).touch()
    except OSError as error:
        raise ConfigurationError(f"The output folder {out} cannot be written: {error.strerror}.") from error
