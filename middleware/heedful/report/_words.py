"""Figures in words, the same in the terminal and on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heedful.model import Action, Reason

if TYPE_CHECKING:
    from heedful.report.totals import Totals

DONE: Final = {
    Action.SKIP: "skipped",
    Action.DEFER: "deferred",
    Action.STORE: "stored",
    Action.FAILED: "failed",
}
"""What was done, in the order in which a report tells it."""

MEANING: Final = {
    Action.SKIP: "opted out, not stored",
    Action.DEFER: "could not be determined, not stored",
    Action.STORE: "nothing spoke against it",
    Action.FAILED: "could not be fetched",
}

_UNITS: Final = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def share(part: int, whole: int) -> str:
    """`part` in per cent of `whole`; never 0 % or 100 % unless it is all or nothing."""
    if not whole or part in {0, whole}:
        return "100 %" if part else "0 %"
    percent = 100 * part / whole
    if percent < 0.1:
        return "< 0.1 %"
    return f"{min(percent, 99.9):.1f} %"


def period(totals: Totals) -> str:
    """From when to when, by the day (UTC)."""
    if totals.first is None or totals.last is None:
        return ""
    first, last = totals.first[:10], totals.last[:10]
    return f"on {first}" if first == last else f"from {first} to {last}"


def sentence(totals: Totals) -> str:
    """The totals in a few sentences."""
    actions = totals.actions
    if not actions.all:
        return "There are no decisions in this ledger yet."
    words = (
        f"Of {actions.all:,} decisions {period(totals)}, "
        f"{actions.skip:,} ({share(actions.skip, actions.all)}) "
        f"were to skip{_why(totals)}, {actions.defer:,} to defer because it could not be determined, "
        f"{actions.store:,} to store; {actions.failed:,} fetches failed."
    )
    if totals.not_enforced == actions.all:
        return words + " This was an audit: nothing was skipped."
    if totals.not_enforced:
        words += f" {totals.not_enforced:,} of them were made in audits, where nothing is skipped."
    if totals.requests_saved:
        words += f" For {totals.requests_saved:,} of them the picture was never asked for."
    return words


def _why(totals: Totals) -> str:
    """On whose word the skips were made."""
    counts = dict.fromkeys((Reason.OPERATOR_DENY, Reason.NO_OPT_IN), 0)
    for row in totals.reasons:
        if row.action == Action.SKIP.value and row.reason in counts:
            counts[Reason(row.reason)] += row.count
    owners = totals.actions.skip - sum(counts.values())
    whose = [
        (owners, "because the owner opted out"),
        (counts[Reason.NO_OPT_IN], "because nobody had opted in"),
        (counts[Reason.OPERATOR_DENY], "by the operator's own rules"),
    ]
    said = [(count, words) for count, words in whose if count]
    if len(said) == 1:
        return f" {said[0][1]}"
    return f" ({', '.join(f'{count:,} {words}' for count, words in said)})" if said else ""


def every(step: int) -> str:
    """A step of time in words: `day`, `6 hours`."""
    count, word = next((step // seconds, word) for seconds, word in _UNITS if step % seconds == 0)
    return word if count == 1 else f"{count} {word}s"
