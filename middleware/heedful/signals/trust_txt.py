"""trust.txt, JournalList's file of a publisher's affiliations: its variable `datatrainingallowed` (2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from heedful.model import NOTHING, ParseWarning, Preference, Reading, Reason, Statement

if TYPE_CHECKING:
    from heedful.model import Source

PATHS: Final = ("/.well-known/trust.txt", "/trust.txt")
"""Where the file is; the second is asked only when the first is absent, whatever the first says."""

FAULTS_MAX: Final = 10
"""Most warnings that are kept for one file; they are repeated with every picture judged by it."""

VARIABLE: Final = "datatrainingallowed"

_PREFERENCES: Final = {"no": Preference.DISALLOW, "yes": Preference.ALLOW}


class Line(NamedTuple):
    """A line with the variable.

    Attributes:
        number: its number in the file, from 1.
        value: what it says, in lower case.
        raw: the whole line.
    """

    number: int
    value: str
    raw: str


@dataclass(frozen=True, slots=True)
class TrustTxt:
    """A parsed file. Without a line that decides it says nothing, as if it were absent.

    Attributes:
        line: the line that decides.
        faults: the lines with any other value, the first `FAULTS_MAX` of them.
        absent: there is no such file: a web page came in its place.
    """

    line: Line | None = None
    faults: tuple[Line, ...] = ()
    absent: bool = False

    def read(self, source: Source) -> Reading:
        """What the file says of every URL of its origin.

        Args:
            source: the file.
        """
        if self.line is None and not self.faults:
            return NOTHING
        statements: tuple[Statement, ...] = ()
        if self.line is not None:
            number, value, raw = self.line
            evidence = source.at(f"line {number}", raw)
            rule = f"{VARIABLE}={value}"
            statements = (Statement(Reason.TRUST_TXT, _PREFERENCES[value], rule, evidence),)
        warnings = (
            ParseWarning(
                Reason.TRUST_TXT, f"{VARIABLE} is neither yes nor no", source.at(f"line {number}", raw)
            )
            for number, _, raw in self.faults
        )
        return Reading(statements, tuple(warnings))


def parse(body: bytes, *, truncated: bool = False) -> TrustTxt:
    """Parse a trust.txt; any bytes give a value.

    Args:
        body: the file, in UTF-8, with or without a byte order mark.
        truncated: the body was cut before its end; what is left of it can only deny.
    """
    body = body.removeprefix(b"\xef\xbb\xbf").replace(b"\0", b"")
    if body.lstrip().startswith(b"<"):
        return TrustTxt(absent=True)  # a page that says "not found" with status 200
    decisive: Line | None = None
    faults: list[Line] = []
    for number, octets in enumerate(body.splitlines(), 1):
        raw = octets.decode("utf-8", "surrogateescape")
        key, equals, value = raw.partition("#")[0].partition("=")
        if not equals or key.strip().lower() != VARIABLE:
            continue
        line = Line(number, value.strip().lower(), raw)
        if line.value not in _PREFERENCES:
            faults.append(line)
        # several: the restrictive one
        elif decisive is None or (decisive.value, line.value) == ("yes", "no"):
            decisive = line
    if truncated and decisive is not None and decisive.value == "yes":
        decisive = None
    return TrustTxt(decisive, tuple(faults[:FAULTS_MAX]))
