"""The main job on an embedded default: crawl the gallery, then look at what lies in the store."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

from heedful.errors import ConfigurationError
from heedful.ledger import LedgerReader
from heedful.model import Action, printable
from heedful.testing import GALLERY, PROFILES, TOKEN, Exhibit, identify, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from heedful.ledger import Record
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
class Row:
    """One exhibit: what was wanted, what lies in the store, and what the ledger says of it."""

    exhibit: Exhibit
    wanted: Action
    stored: bool
    record: Record | None

    @property
    def good(self) -> bool:
        """The picture is where it belongs, and the ledger agrees."""
        action = self.record.action if self.record else None
        return self.stored == (self.wanted is Action.STORE) and action is self.wanted


@dataclass(frozen=True, slots=True)
class Outcome:
    """A demo's result."""

    rows: Sequence[Row]
    counts: Counts
    ledger: str

    @property
    def good(self) -> bool:
        """Every free picture is stored, no other one is."""
        return all(row.good for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """The exhibits, for `--json`."""
        return {
            "good": self.good,
            "exhibits": [
                {
                    "name": row.exhibit.name,
                    "signal": row.exhibit.signal,
                    "wanted": row.wanted.value,
                    "stored": row.stored,
                    "action": row.record.action.value if row.record else None,
                    "reasons": [reason.value for reason in row.record.reasons] if row.record else [],
                }
                for row in self.rows
            ],
        }

    def table(self) -> Table:
        """The exhibits, for the terminal."""
        table = Table(title="The gallery, and what lies in the store", title_justify="left")
        table.add_column("what its owner says", ratio=1)
        table.add_column("verdict")
        table.add_column("reason")
        table.add_column("in the store")
        for row in self.rows:
            action = row.record.action if row.record else None
            table.add_row(
                printable(row.exhibit.signal),
                f"[{_COLOURS[action]}]{action.value}[/]" if action else "[red]not in the ledger[/]",
                row.record.reason.value if row.record and row.record.reason else "",
                ("yes" if row.stored else "no") + ("" if row.good else " [bold red](wrong)[/]"),
            )
        return table

    def sentence(self) -> str:
        """The outcome in one sentence."""
        free = [row for row in self.rows if row.wanted is Action.STORE]
        denied = [row for row in self.rows if row.wanted in {Action.SKIP, Action.DEFER}]
        return (
            f"{sum(row.stored for row in free)} of {len(free)} free pictures stored, "
            f"{sum(row.stored for row in denied)} of {len(denied)} opted-out or doubtful ones."
        )


def run(out: Path, policy: str, crawl: Callable[..., Counts]) -> Outcome:
    """Serve the gallery on loopback, crawl it into `out`, and compare the store with the truth.

    Args:
        out: the output folder: a new or empty one, or an earlier demo's, which is emptied.
        policy: one of the shipped profiles.
        crawl: `heedful_spiders.crawl.crawl`, or a function like it.

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
        counts = crawl(
            (gallery.start_url,),
            out,
            heedful={
                "HEEDFUL_TOKEN": TOKEN,
                "HEEDFUL_POLICY": policy,
                "HEEDFUL_REGISTRIES": [str(gallery.registry(out / "gallery.heed"))],
                "HEEDFUL_LEDGER": ledger,
            },
            follow="all",
            # On loopback there is nobody to be polite to.
            scrapy={"AUTOTHROTTLE_ENABLED": False, "RETRY_TIMES": 0},
        )
        urls = {exhibit.name: gallery.exhibit_url(exhibit) for exhibit in GALLERY.exhibits}
    stored = {identify(path) for path in (out / "images").rglob("*.jpg")}
    records = {record.hop_of or record.url: record for record in LedgerReader(ledger)}
    rows = [
        Row(exhibit, exhibit.wanted[policy], exhibit.id in stored, records.get(urls[exhibit.name]))
        for exhibit in GALLERY.exhibits
    ]
    return Outcome(rows, counts, ledger)


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
