"""Which URLs are left for a later run: those whose latest decision is still a defer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heedful.explain._lines import Lines, quoted, urls_in
from heedful.model import Action, isotime

if TYPE_CHECKING:
    from collections.abc import Collection

    from heedful.ledger import Record
    from heedful.model import Reason


@dataclass(frozen=True, slots=True)
class Leftover:
    """A URL to ask for once more.

    Attributes:
        url: the one that was asked for first.
        latest: the latest decision on it, or on a hop that it led to.
    """

    url: str
    latest: Record

    @property
    def writable(self) -> bool:
        """Whether it can stand alone on a line of a list of URLs."""
        return self.url.isprintable() and bool(self.url) and " " not in self.url

    def as_dict(self) -> dict[str, Any]:
        """The form that is printed as JSON."""
        return {
            "url": self.url,
            "hop": self.latest.url,
            "action": self.latest.action.value,
            "reasons": [reason.value for reason in self.latest.reasons],
            "error": self.latest.error,
            "time": isotime(self.latest.time),
            "id": self.latest.id,
        }


def leftovers(lines: Lines, *, failed: bool = False, reasons: Collection[Reason] = ()) -> list[Leftover]:
    """The URLs that are still deferred, in the order of their latest decisions.

    Memory is needed for the URLs that were ever deferred, not for the others. Pictures that were stored and
    only counted are not known of.

    Args:
        lines: the ledgers.
        failed: those whose latest fetch failed as well.
        reasons: only those that are deferred for one of these; none: all.

    Raises:
        LedgerError: a file cannot be read.
    """
    wanted = {Action.DEFER, Action.FAILED} if failed else {Action.DEFER}
    latest: dict[str, Record] = {}
    for line in lines.holding(*(quoted(action.value) for action in wanted)):
        record = lines.record(line)
        if record is not None and record.action in wanted:
            _note(latest, record)
    if latest:
        _settle(lines, latest)
    left = [
        Leftover(url, record)
        for url, record in latest.items()
        if record.action in wanted and (record.action is Action.FAILED or _is_for(record, reasons))
    ]
    return sorted(left, key=lambda each: each.latest.time)


def _settle(lines: Lines, latest: dict[str, Record]) -> None:
    """Hear what was decided on the same URLs later."""
    known = {quoted(url) for url in latest}
    for line in lines.holding():
        if known.isdisjoint(urls_in(line.raw)):
            continue
        record = lines.record(line)
        if record is not None and (record.hop_of or record.url) in latest:
            _note(latest, record)


def _note(latest: dict[str, Record], record: Record) -> None:
    first = record.hop_of or record.url
    known = latest.get(first)
    if known is None or known.time <= record.time:
        latest[first] = record


def _is_for(record: Record, reasons: Collection[Reason]) -> bool:
    return not reasons or not set(reasons).isdisjoint(record.reasons)
