"""A survey in words, the same in the terminal and on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heedful.report._words import share
from heedful.survey._classify import Standing
from heedful.survey._summary import Counted, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from heedful.survey._summary import Summary

LABELS: Final = {
    "robots": "robots.txt rules",
    "ai_tokens": "AI crawlers",
    "policy_tokens": "policy tokens",
    "legacy": "DisallowAITraining",
    "content_usage": "Content-Usage",
    "content_signal": "Content-Signal",
    "tdmrep": "TDMRep",
    "ai_txt": "ai.txt",
    "trust_txt": "trust.txt",
    "rsl": "RSL",
}
"""What the columns of `heedful.survey._classify.SIGNALS` are called."""

SAID: Final = {
    Standing.DECLINED: "declined",
    Standing.PARTLY: "in part",
    Standing.ALLOWED: "agreed",
    Standing.HINTED: "hinted",
    Standing.UNREADABLE: "unreadable",
    Standing.SILENT: "silent",
    Standing.ABSENT: "absent",
}

CAME_OUT: Final = {
    Outcome.DECLINED: "declined",
    Outcome.PARTLY: "in part",
    Outcome.OPEN: "open",
    Outcome.UNDETERMINED: "not determined",
}


def speaks(signal: str, standing: Standing) -> bool:
    """Whether a standing tells of training; rules that close some paths to every crawler do not."""
    if signal == "robots" and standing is Standing.PARTLY:
        return False
    return standing not in {Standing.SILENT, Standing.ABSENT}


def labelled(overlaps: Iterable[Counted]) -> tuple[Counted, ...]:
    """The same, with what the signals are called."""
    return tuple(
        Counted(" + ".join(map(LABELS.__getitem__, each.what.split(" + "))), each.sites) for each in overlaps
    )


def period(summary: Summary) -> str:
    """When the sites were asked, by the day (UTC)."""
    if summary.first is None or summary.last is None:
        return ""
    first, last = summary.first[:10], summary.last[:10]
    return f"on {first}" if first == last else f"from {first} to {last}"


def sentence(summary: Summary) -> str:
    """The survey in a few sentences."""
    if not summary.sites:
        return "No site has been asked yet."
    answered, declined = summary.answered, summary.outcomes[Outcome.DECLINED.value]
    partly = summary.outcomes[Outcome.PARTLY.value]
    words = (
        f"Of {summary.sites:,} sites asked {period(summary)}, "
        f"{answered:,} ({share(answered, summary.sites)}) answered."
    )
    if not answered:
        return words
    words += (
        f" {declined:,} of these ({share(declined, answered)}) decline that their pictures are used for "
        f"training; {partly:,} more ({share(partly, answered)}) decline in part."
    )
    if declined:
        missed = declined - summary.by_robots_alone
        words += (
            f" A crawler that only obeys the rules for {summary.terms.token} in robots.txt would have missed "
            f"{missed:,} ({share(missed, declined)}) of the {declined:,}."
        )
    return words
