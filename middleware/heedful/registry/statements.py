"""From what the lists of a registry decide to statements, with the entries as evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heedful.model import RAW_MAX, Evidence, Preference, Reading, Stage, Statement
from heedful.registry.entries import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from heedful.registry.entries import Decision, Entry

PROTOCOL: Final = "registry"
"""What statements of registries are heard under: across registries and lists, the most restrictive counts."""

_OF_CONTENT: Final = frozenset({Kind.SHA256, Kind.MD5})


def statements_of(registry: str, decisions: Iterable[Decision]) -> Iterator[tuple[Stage, Reading]]:
    """What each list says, with the stage at which it is known; entries that were overruled are recorded.

    Args:
        registry: its name.
        decisions: as `heedful.registry.entries.decide` gives them.
    """
    for decision in decisions:
        preference = Preference.ALLOW if decision.opt_in else Preference.DISALLOW
        for match in decision.decisive:
            yield _stage(match.entry), Reading((_statement(registry, match.entry, preference),))
        for match in decision.overruled:
            yield _stage(match.entry), Reading((_statement(registry, match.entry, Preference.UNKNOWN),))


def _stage(entry: Entry) -> Stage:
    return Stage.BODY if entry.kind in _OF_CONTENT else Stage.URL


def _statement(registry: str, entry: Entry, preference: Preference) -> Statement:
    words = "opt-in" if entry.opt_in else "opt-out"
    overruled = ", overruled by a more specific entry" if preference is Preference.UNKNOWN else ""
    where = [f"list {entry.list}" if entry.list else "unnamed list"]
    where += [f"registered {entry.date}"] if entry.date else []
    where += [f"expires {entry.expires}"] if entry.expires else []
    return Statement(
        entry.kind.reason,
        preference,
        f"{words}, {entry.kind.value}{overruled}",
        Evidence(f"registry {registry}", ", ".join(where), entry.text[:RAW_MAX]),
        covers=entry.purpose,
    )
