"""What became of a host's URLs, and which of them are close to one that is not in the ledger."""

from __future__ import annotations

import heapq
import json
import os.path
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from heedful.explain._lines import Lines, quoted, urls_in
from heedful.explain._stories import Decision
from heedful.model import isotime
from heedful.registry.entries import Address, address, url_key

if TYPE_CHECKING:
    from collections.abc import Iterator

NEAR_MAX: Final = 5
"""URLs of the same host that are offered."""

_ALIKE_MAX: Final = 1_000  # of these, the best are chosen, now and then


def host_of(question: str, *, certain: bool = False) -> Address | None:
    """The host, perhaps with a port, that `question` is; None if it is none.

    Args:
        question: what was asked for.
        certain: it is a host; else one without a dot may be a decision's id.
    """
    found = None if re.search(r"[/?#@\s]", question) else address(f"http://{question}/")
    if found is None or certain or "." in found.host or ":" in found.host or found.host == "localhost":
        return found
    return None


@dataclass(slots=True)
class Host:
    """A host's decisions.

    Attributes:
        name: the host, with its port if one was asked for.
        runs: the ids of the runs.
        outcomes: how many decisions there are of each action and reason (empty: none).
        began, ended: Unix time in seconds of the earliest and the latest.
        latest: the latest ones, newest first.
    """

    name: str
    runs: set[str] = field(default_factory=set)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    began: float = float("inf")
    ended: float = float("-inf")
    latest: tuple[Decision, ...] = ()

    @property
    def decisions(self) -> int:
        """How many there are."""
        return self.outcomes.total()

    def as_dict(self) -> dict[str, Any]:
        """The form that is printed as JSON."""
        return {
            "host": self.name,
            "decisions": self.decisions,
            "runs": sorted(self.runs),
            "first": isotime(self.began) if self.runs else None,
            "last": isotime(self.ended) if self.runs else None,
            "outcomes": [
                {"action": action, "reason": reason or None, "count": count}
                for (action, reason), count in self.outcomes.most_common()
            ],
            "latest": [decision.as_dict() for decision in self.latest],
        }


def summarise(lines: Lines, host: Address, latest: int) -> Host:
    """Count the decisions on a host's URLs.

    Args:
        lines: the ledgers.
        host: the host; without a port, of whatever port.
        latest: how many of them are wanted, the newest.

    Raises:
        LedgerError: a file cannot be read.
    """
    summary = Host(host.host + host.port)
    kept: list[tuple[float, int, Decision]] = []
    for line in lines.holding(*_texts(host), fold_case=True):
        record = lines.record(line)
        if record is None or not _on(host, address(record.url)):
            continue
        summary.runs.add(record.run.id)
        summary.outcomes[record.action.value, record.reason.value if record.reason else ""] += 1
        summary.began = min(summary.began, record.time)
        summary.ended = max(summary.ended, record.time)
        entry = (record.time, summary.decisions, Decision(record, line.file, line.number))
        heapq.heappush(kept, entry) if len(kept) < latest else heapq.heappushpop(kept, entry)
    summary.latest = tuple(decision for _, _, decision in sorted(kept, reverse=True))
    return summary


class Near(NamedTuple):
    """URLs in the ledger that are close to one that is not.

    Attributes:
        same: those that registries take for the same URL, written differently.
        host: of the same host, those that begin most alike.
    """

    same: tuple[str, ...] = ()
    host: tuple[str, ...] = ()


def nearest(lines: Lines, question: str) -> Near:
    """The URLs in ledgers that are closest to `question`.

    Raises:
        LedgerError: a file cannot be read.
    """
    asked = address(question) or address(f"http://{question}")
    if asked is None:
        return Near()
    key = url_key(question)
    same: dict[str, None] = {}
    alike: dict[str, int] = {}
    for url in _urls(lines, asked):
        found = None if url in same or url in alike else address(url)
        if found is None or found.host != asked.host:
            continue
        if found.key == key:
            same[url] = None
        else:
            alike[url] = len(os.path.commonprefix((found.target, asked.target)))  # noqa: RUF071 - characters
            if len(alike) > _ALIKE_MAX:
                alike = dict(_best(alike))
    return Near(tuple(same)[:NEAR_MAX], tuple(url for url, _ in _best(alike)))


def _best(alike: dict[str, int]) -> list[tuple[str, int]]:
    return heapq.nlargest(NEAR_MAX, alike.items(), key=lambda each: each[1])


def _urls(lines: Lines, host: Address) -> Iterator[str]:
    for line in lines.holding(*_texts(host), fold_case=True):
        for written in urls_in(line.raw):
            yield json.loads(written)


def _texts(host: Address) -> set[bytes]:
    """A host as it may stand in the URLs of a line, in lower case."""
    names = {host.host}
    with suppress(UnicodeError):
        names.add(host.host.encode("ascii").decode("idna"))
    return {before + quoted(name)[1:-1].lower() for name in names for before in (b"//", b"@")}


def _on(host: Address, found: Address | None) -> bool:
    return found is not None and found.host == host.host and host.port in {"", found.port}
