"""TDMRep, the TDM Reservation Protocol (W3C Community Group report, 2024-05-10): header and origin file.

Section titles named below are those of the report. HTML metadata is not read: it speaks of the page itself,
not of the pictures on it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from heedful.model import NOTHING, RAW_MAX, ParseWarning, Preference, Reading, Reason, Statement
from heedful.signals._faults import Fault
from heedful.signals._paths import PathPattern

if TYPE_CHECKING:
    from heedful.model import Headers, Source

PATH: Final = "/.well-known/tdmrep.json"
"""Where the origin file is."""

HEADER: Final = "tdm-reservation"
"""The header that supersedes the file, in lower case."""

ALIASES: Final = "tdmrep_aliases"
"""The policy's switch for values and forms that the report does not have, but that plainly reserve."""

ENTRIES_MAX: Final = 10_000
"""Most entries of a file that are read; matched one by one, they still take milliseconds a picture."""

FAULTS_MAX: Final = 10
"""Most warnings that are kept for one file; they are repeated with every picture judged by it."""

RESERVED: Final = "tdm-reservation: 1"
NOT_RESERVED: Final = "tdm-reservation: 0"


def read_headers(headers: Headers, source: Source) -> Reading:
    """What the TDM-Reservation lines of a response say.

    Args:
        headers: the response's header lines.
        source: the response.
    """
    lines = [value.strip() for name, value in headers if name.lower() == HEADER]
    if not lines:
        return NOTHING
    policies = [value.strip() for name, value in headers if name.lower() == "tdm-policy"]
    raw = "; ".join([", ".join(lines), *(f"tdm-policy: {policy}" for policy in policies)])
    evidence = source.at("header TDM-Reservation", raw)
    values = {value.strip() for line in lines for value in line.split(",")}
    statements: tuple[Statement, ...] = ()
    # "TDM Header Field in HTTP Responses"; 1 wins, whatever the policy says
    if "1" in values:
        statements = (Statement(Reason.TDMREP, Preference.DISALLOW, RESERVED, evidence),)
    elif "0" in values:
        statements = (Statement(Reason.TDMREP, Preference.ALLOW, NOT_RESERVED, evidence),)
    # any other value is a protocol error, and the property is unset
    if values <= {"0", "1"}:
        return Reading(statements)
    return Reading(statements, (ParseWarning(Reason.TDMREP, "tdm-reservation is neither 1 nor 0", evidence),))


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the file, ready to be matched.

    Attributes:
        pattern: the location.
        where: its place in the file, counted from 1.
        raw: the entry as JSON text, cut at `RAW_MAX` characters.
        preference: what it says; unknown: the value is in error, and the entry wins without saying anything.
        switch: the policy's switch that decides whether it counts; None: it always does.
    """

    pattern: PathPattern
    where: str
    raw: str
    preference: Preference
    switch: str | None = None


@dataclass(frozen=True, slots=True)
class TdmRep:
    """A tdmrep.json, parsed. Without entries it says nothing, as if it were absent."""

    entries: tuple[Entry, ...] = ()
    faults: tuple[Fault, ...] = ()

    def read(self, target: str, source: Source) -> Reading:
        """What the file says of one URL.

        Args:
            target: canonical path and query of the URL.
            source: the file.
        """
        warnings = [fault.warning(Reason.TDMREP, source) for fault in self.faults]
        statements: list[Statement] = []
        # "TDM File on the Origin Server": the most specific match is "the first in sequence"
        for entry in self.entries:
            if not entry.pattern.matches(target):
                continue
            evidence = source.at(entry.where, entry.raw)
            if entry.preference is Preference.UNKNOWN:
                message = "tdm-reservation is neither 1 nor 0"
                warnings.append(ParseWarning(Reason.TDMREP, message, evidence))
            else:
                rule = RESERVED if entry.preference is Preference.DISALLOW else NOT_RESERVED
                statements.append(
                    Statement(Reason.TDMREP, entry.preference, rule, evidence, switch=entry.switch)
                )
            break
        return Reading(tuple(statements), tuple(warnings))


def parse_file(body: bytes) -> TdmRep:
    """Parse a tdmrep.json; what is none gives an empty one.

    Args:
        body: the file, JSON in UTF-8, with or without a byte order mark.
    """
    try:
        text = body.decode("utf-8-sig")
        if text.lstrip().startswith("<"):
            return TdmRep()  # a page that says "not found" with status 200
        data = json.loads(text)
        if isinstance(data, list):
            return _entries(data)
        if isinstance(data, dict):
            return _single(data)
    except (ValueError, RecursionError):  # not UTF-8, not JSON, or nested too deeply
        return TdmRep(faults=(Fault("not valid JSON: taken as absent", "file", _start(body)),))
    return TdmRep(faults=(Fault("not an array: taken as absent", "file", _start(body)),))


def _start(body: bytes) -> str:
    return body[:RAW_MAX].decode("utf-8", "replace")


def _entries(data: list[Any]) -> TdmRep:
    entries: list[Entry] = []
    faults: list[Fault] = []
    for number, item in enumerate(data[:ENTRIES_MAX], 1):
        where = f"entry {number}"
        location = item.get("location") if isinstance(item, dict) else None
        # RFC 9309, section 2.2.2: an empty pattern matches nothing
        if isinstance(location, str) and location:
            preference, switch = _reservation(item.get("tdm-reservation"))
            entries.append(Entry(PathPattern(location), where, _raw(item), preference, switch))
        elif len(faults) < FAULTS_MAX:
            faults.append(Fault("no location: the entry is passed over", where, _raw(item)))
    if len(data) > ENTRIES_MAX:
        message = f"more than {ENTRIES_MAX} entries: the rest is not read"
        faults.append(Fault(message, f"entry {ENTRIES_MAX + 1}", _raw(data[ENTRIES_MAX])))
    return TdmRep(tuple(entries), tuple(faults))


def _single(item: dict[str, Any]) -> TdmRep:
    """An object where an array of them belongs: read in the denying direction only."""
    parsed = _entries([item])
    fault = Fault("an object, not an array: it can only reserve", "entry 1", _raw(item))
    reserving = tuple(
        Entry(entry.pattern, entry.where, entry.raw, Preference.DISALLOW, ALIASES)
        for entry in parsed.entries
        if entry.preference is Preference.DISALLOW
    )
    return TdmRep(reserving, (fault, *parsed.faults))


def _reservation(value: object) -> tuple[Preference, str | None]:
    # the integers 1 and 0; `true == 1` and `1.0 == 1` hold in Python, not in JSON
    if type(value) is int and value in {0, 1}:
        return (Preference.DISALLOW if value else Preference.ALLOW), None
    if value is True or value == "1":
        return Preference.DISALLOW, ALIASES
    return Preference.UNKNOWN, None


def _raw(item: object) -> str:
    return json.dumps(item)[:RAW_MAX]
