"""Assertions about training and data mining in C2PA manifests (CAWG 1.1; C2PA 1.4, 18.21, and before).

Manifests of any age may deny, ingredients' too, and no signature is needed for that. What the active manifest
allows is told apart: it counts only once the signature is found valid.
"""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from heedful.model import (
    NOTHING,
    RAW_MAX,
    ParseWarning,
    Preference,
    Purpose,
    Reading,
    Reason,
    Statement,
)
from heedful.signals.embedded._jumbf import Budget, UnreadError, decoded, walk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heedful.model import Evidence, Source
    from heedful.signals.embedded._jumbf import Assertion
    from heedful.signals.embedded._parts import Part

STATEMENTS_MAX: Final = 64
"""Most statements, and most warnings, that a file's manifests give; they are repeated in the ledger."""

ENTRIES_MAX: Final = 64
"""Most entries of an assertion that are looked at; both specifications know four."""


class Claims(NamedTuple):
    """What the manifests of a file say.

    Attributes:
        reading: what denies or says nothing, and warnings; nothing here allows.
        signed: what the active manifest allows, if its signature is valid.
        faults: what could not be read, in words.
    """

    reading: Reading = NOTHING
    signed: tuple[Statement, ...] = ()
    faults: tuple[str, ...] = ()


_SILENT: Final = Claims()

# CAWG Training and Data Mining 1.1: `ai_training` is that of models that are not generative.
_COVERS: Final = {
    "ai_training": Purpose.TRAIN_NONGENERATIVE,
    "ai_generative_training": Purpose.TRAIN_GENERATIVE,
    "data_mining": Purpose.TRAIN_ANY,
}
"""What an entry speaks of, by its name without prefix; any other is not about training."""

_TRAINING: Final = frozenset((Purpose.TRAIN_NONGENERATIVE, Purpose.TRAIN_GENERATIVE))
"""What must be denied, or allowed, together for all training to be."""

_USES: Final = {
    "allowed": Preference.ALLOW,
    "notAllowed": Preference.DISALLOW,
    "constrained": Preference.DISALLOW,
}
"""A constraint denies, described or not: no crawler can tell whether it is met."""

_ALIASES: Final = {"notallowed": "notAllowed", "constrained": "constrained"}
"""What denies, however it is written: in lower case, without what is no letter."""

_EXACT: Final = frozenset(f"{prefix}.{name}" for prefix in ("cawg", "c2pa") for name in _COVERS)
_NAME: Final = re.compile(r"\s{0,8}(?:(cawg|c2pa)\.)?([a-z_]{1,64})\s{0,8}", re.IGNORECASE | re.ASCII)
_NO_LETTER: Final = re.compile(r"[\W_]+")

# In CBOR as in JSON, three characters or so stand between key and value; a full stop begins the next entry.
_DENIAL: Final = re.compile(
    rb"((?:cawg|c2pa)\.(?:ai_training|ai_generative_training|data_mining))[^.]{1,64}?"
    rb"use[^.]{1,16}?(notAllowed|constrained)"
)
"""An entry that denies, in an assertion that is malformed."""


class _Entry(NamedTuple):
    """An entry about training.

    Attributes:
        name: as it is written.
        rule: its name and use.
        value: its fields.
        preference: what it says.
        covers: the kind of training.
        exact: it is written as specified.
    """

    name: str
    rule: str
    value: Any
    preference: Preference
    covers: Purpose
    exact: bool


class _Reader:
    """Turns assertions into statements."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.denies: list[Statement] = []
        self.denied: set[Purpose] = set()
        self.records: list[Statement] = []
        self.allows: list[Statement] = []
        self.warnings: list[ParseWarning] = []
        self.faults: dict[str, None] = {}

    def warn(self, message: str, evidence: Evidence) -> None:
        if len(self.warnings) < STATEMENTS_MAX:
            self.warnings.append(ParseWarning(Reason.TRAINING_MINING, message, evidence))

    def record(self, rule: str, evidence: Evidence, covers: Purpose = Purpose.TRAIN_ANY) -> None:
        if len(self.records) < STATEMENTS_MAX // 2:
            statement = Statement(Reason.TRAINING_MINING, Preference.UNKNOWN, rule, evidence, covers=covers)
            self.records.append(statement)

    def fail(self, words: str) -> None:
        if len(self.faults) < STATEMENTS_MAX:
            self.faults[words] = None

    def assertion(self, where: str, assertion: Assertion, *, sound: bool) -> None:
        """Hear an assertion.

        Args:
            where: its place, its label included.
            assertion: what was found.
            sound: it may allow, unless there is something wrong with it: it is one of the active manifest.
        """
        if not assertion.kind:
            self.warn("an assertion without content", self.source.at(where, ""))
            return
        try:
            value = decoded(assertion.kind, assertion.content)
        except UnreadError as error:
            sound = False
            value = _denials(assertion.content)
            raw = assertion.content[:RAW_MAX].decode("utf-8", "backslashreplace")
            self.warn(f"{error}: it can only deny", self.source.at(where, raw))
            self.fail(f"{where}: {error}")
        entries = [*value.items()]
        if "entries" in value:
            inner = value["entries"]
            if isinstance(inner, dict):
                entries += inner.items()
            else:
                sound = False
                self.warn("entries that are no map", self.source.at(where, _text(inner)))
        if len(entries) > ENTRIES_MAX:
            sound = False
            self.fail(f"{where}: more than {ENTRIES_MAX} entries")
            entries = [entry for entry in entries if entry[0] in _EXACT]
        denies: list[_Entry] = []
        allows: list[_Entry] = []
        for name, entry in entries:
            said = self._entry(where, name, entry)
            if said is None:
                continue
            sound = sound and said.exact
            if said.preference is Preference.DISALLOW:
                denies.append(said)
            elif said.preference is Preference.ALLOW and said.covers in _TRAINING:
                allows.append(said)
            else:  # `data_mining: allowed` says nothing of training
                self.record(said.rule, self.source.at(f"{where}, {said.name}", _text(entry)), said.covers)
        for statement in self._statements(where, denies, Preference.DISALLOW):
            # what denies something else must not be crowded out
            if len(self.denies) < STATEMENTS_MAX or statement.covers not in self.denied:
                self.denies.append(statement)
                self.denied.add(statement.covers)
        for statement in self._statements(where, allows, Preference.ALLOW):
            if sound:
                self.allows.append(statement)
            else:
                self.record(statement.rule, statement.evidence, statement.covers)

    def _entry(self, where: str, name: Any, entry: Any) -> _Entry | None:
        """What an entry says; None of what is no entry, as far as is known here."""
        match = _NAME.fullmatch(name) if isinstance(name, str) else None
        if match is None:
            return None
        covers = _COVERS.get(match[2].lower())
        if covers is None and name != f"{match[1]}.{match[2]}":
            return None  # an alias of an entry that is not known is no entry
        exact = isinstance(entry, dict) and (name in _EXACT or covers is None)
        use = entry.get("use") if isinstance(entry, dict) else entry
        use = use if isinstance(use, str) else ""
        name = name.strip()
        preference = _USES.get(use) if exact else None
        if covers is None:
            rule = f"{name}: {use}" if preference else name
            return _Entry(name, rule, entry, Preference.UNKNOWN, Purpose.TRAIN_ANY, exact=True)
        if preference is not None:
            return _Entry(name, f"{name}: {use}", entry, preference, covers, exact=True)
        evidence = self.source.at(f"{where}, {name}", _text(entry))
        alias = _ALIASES.get(_NO_LETTER.sub("", use[:RAW_MAX]).lower())
        if alias is None:
            self.warn("a use that is not specified, or not written as specified: unknown", evidence)
            return _Entry(name, name, entry, Preference.UNKNOWN, covers, exact=False)
        self.warn(f"not written as specified: read as {alias}", evidence)
        return _Entry(name, f"{name}: {alias}", entry, Preference.DISALLOW, covers, exact=False)

    def _statements(self, where: str, entries: list[_Entry], preference: Preference) -> list[Statement]:
        """A statement for each entry, and one for those that speak of all training together."""
        together = [entry for entry in entries if entry.covers in _TRAINING]
        if {entry.covers for entry in together} != _TRAINING:
            together = []
        groups = [[entry] for entry in entries if entry not in together]
        if together:
            groups.insert(0, together)
        statements = []
        for group in groups:
            names = " and ".join(entry.name for entry in group)
            raw = _text(group[0].value if len(group) == 1 else {entry.name: entry.value for entry in group})
            statements.append(
                Statement(
                    Reason.TRAINING_MINING,
                    preference,
                    ", ".join(entry.rule for entry in group),
                    self.source.at(f"{where}, {names}", raw),
                    covers=group[0].covers if len(group) == 1 else Purpose.TRAIN_ANY,
                )
            )
        return statements

    def claims(self, *, alone: bool) -> Claims:
        """All of it.

        Args:
            alone: there is one store: of several, none is the one that a signature is checked of.
        """
        signed = tuple(self.allows[:STATEMENTS_MAX])
        if self.denies or self.faults or not alone:
            for statement in signed:
                self.record(statement.rule, statement.evidence, statement.covers)
            signed = ()
        reading = Reading((*self.denies, *self.records), tuple(self.warnings))
        return Claims(reading, signed, tuple(self.faults))


def _denials(content: bytes) -> dict[str, Any]:
    """Entries that deny, as far as they can be told in what is malformed."""
    return {
        match[1].decode(): {"use": match[2].decode()}
        for match in islice(_DENIAL.finditer(content), ENTRIES_MAX)
    }


def _text(value: Any) -> str:
    """A value as JSON, for evidence."""
    text = json.dumps(value, ensure_ascii=False, skipkeys=True, default=str)
    return text.encode("utf-8", "replace").decode()


def read(parts: Sequence[Part], source: Source) -> Claims:
    """What C2PA manifest stores say of training.

    Args:
        parts: the stores of a file, of kind JUMBF.
        source: the file.

    Returns:
        Denials of all manifests. Of what is malformed or cut off, only what denies is read. What is allowed
        is told apart if it is said in the active manifest of the file's only store and nothing is wrong with
        that, nor anything in the file denied; otherwise it is an unknown statement.
    """
    reader: _Reader | None = None
    stores = 0
    budget = Budget()
    for part in parts:
        store = walk(part.data, budget)
        stores += store.stores
        if not (store.assertions or store.faults) and part.whole:
            continue
        if reader is None:
            reader = _Reader(source)
        if not part.whole:
            reader.fail(f"{part.where}: cut off or damaged")
        for fault in store.faults:
            reader.fail(f"{part.where}: {fault}")
        for assertion in store.assertions:
            number = f"manifest {assertion.number}, " if assertion.number else ""
            active = 0 < assertion.number == store.manifests
            sound = active and assertion.whole and part.whole
            reader.assertion(f"{part.where}: {number}{assertion.label}", assertion, sound=sound)
    if reader is None:
        return _SILENT
    return reader.claims(alone=stores == 1 and len(parts) == 1)
