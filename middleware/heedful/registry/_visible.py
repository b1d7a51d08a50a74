"""The entries of several segments that no newer segment takes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from heedful.registry._segment import hash_keys
from heedful.registry.entries import identity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from heedful.registry._records import Record
    from heedful.registry._segment import Segment
    from heedful.registry.entries import Kind

_BATCH: Final = 4096
_BATCH_CHARACTERS: Final = 4 << 20


class Visible(NamedTuple):
    """Some entries.

    Attributes:
        records: those that are in force.
        read: how many were read for that.
    """

    records: list[Record]
    read: int


def visible(segments: Sequence[Segment]) -> Iterator[Visible]:
    """All entries that are in force, in the order in which they were written, some at a time.

    Args:
        segments: all of a registry, the oldest first.

    Raises:
        RegistryError: one is damaged.
    """
    for number, segment in enumerate(segments):
        newer = [each for each in segments[number + 1 :] if each.withdrawals]
        for batch in _batches(segment):
            gone = _withdrawn(batch, newer)
            kept = [record for record in batch if identity(record.entry, record.key) not in gone]
            yield Visible(kept, len(batch))


def _batches(segment: Segment) -> Iterator[list[Record]]:
    """A segment's entries, some at a time."""
    batch: list[Record] = []
    characters = 0
    for record in segment.records():
        if record.withdrawal:
            continue
        batch.append(record)
        characters += len(record.entry.text)
        if len(batch) >= _BATCH or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _withdrawn(batch: list[Record], newer: list[Segment]) -> set[tuple[str, Kind, bytes, str]]:
    """The identities of what newer segments take back, among others those of a batch's entries."""
    gone: set[tuple[str, Kind, bytes, str]] = set()
    if not newer:
        return gone
    keys = list(dict.fromkeys(record.key for record in batch))
    hashes = hash_keys(keys)
    for segment in newer:
        for place, slot in zip(*(found.tolist() for found in segment.find_many(hashes)), strict=True):
            for record in segment.at(slot, keys[place]).records:
                if record.withdrawal:
                    gone.add(identity(record.entry, record.key))
    return gone
