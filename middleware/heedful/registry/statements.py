"""From what the lists of a registry decide to statements, with the entries as evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heedful.model import RAW_MAX, Evidence, Preference, Reading, Stage, Statement
from heedful.registry.entries import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from heedful.registry.entries import Decision, Match

PROTOCOL: Final = "registry"
"""What statements of registries are heard under: across registries and lists, the most restrictive counts."""

_OF_CONTENT: Final = frozenset({Kind.SHA256, Kind.MD5, Kind.PHASH})

_OVERRULED: Final = "overruled by a more specific entry"
_ALIKE: Final = "of a picture that looks alike, which agrees to nothing"


def statements_of(registry: str, decisions: Iterable[Decision]) -> Iterator[tuple[Stage, Reading]]:
    """What each list says, with the stage at which it is known; entries that were overruled are recorded.

    Args:
        registry: its name.
        decisions: as `heedful.registry.entries.decide` gives them.
    """
    for decision in decisions:
        preference = Preference.ALLOW if decision.opt_in else Preference.DISALLOW
        for match in decision.decisive:
            yield _heard(registry, match, preference)
        for match in decision.overruled:
            yield _heard(registry, match, Preference.UNKNOWN, _OVERRULED)


def recorded(registry: str, opt_ins: Iterable[Match]) -> Iterator[tuple[Stage, Reading]]:
    """Opt-ins that were found by their fingerprint: a copy may be anybody's, so they are only recorded."""
    for match in opt_ins:
        yield _heard(registry, match, Preference.UNKNOWN, _ALIKE)


def _heard(registry: str, match: Match, preference: Preference, words: str = "") -> tuple[Stage, Reading]:
    entry, distance = match.entry, match.distance
    rule = [f"{'opt-in' if entry.opt_in else 'opt-out'}, {entry.kind.value}"]
    if distance is not None:
        rule += [f"distance {distance.small} of 64"]
        rule += [] if distance.large is None else [f"{distance.large} of 256"]
    rule += [words] if words else []
    where = [f"list {entry.list}" if entry.list else "unnamed list"]
    where += [f"registered {entry.date}"] if entry.date else []
    where += [f"expires {entry.expires}"] if entry.expires else []
    statement = Statement(
        entry.kind.reason,
        preference,
        ", ".join(rule),
        Evidence(f"registry {registry}", ", ".join(where), entry.text[:RAW_MAX]),
        covers=entry.purpose,
    )
    return Stage.BODY if entry.kind in _OF_CONTENT else Stage.URL, Reading((statement,))
