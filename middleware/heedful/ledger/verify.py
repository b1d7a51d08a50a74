"""Whether a ledger is as it was written: no line changed, none missing, and the sums add up."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from heedful.errors import LedgerError
from heedful.ledger.manifest import read_manifests
from heedful.ledger.reader import LedgerReader
from heedful.ledger.records import SUFFIX, Record, first_link, unlinked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ACTIONS: Final = ("store", "skip", "defer", "failed")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was written.

    Attributes:
        kind: `torn` (a last line without its end, as a killed worker leaves it), `invalid` (no record),
            `broken` (this line, or one before it, was changed, removed or put in), `missing` (a file),
            `short` (a file that has lost its end, or has more than it had), `sums` (a run's totals),
            `unfinished` (a run that was killed, or is still going on).
        place: the file, with the line if there is one, or the run.
        words: what is wrong.
    """

    kind: str
    place: str
    words: str

    def __str__(self) -> str:
        return f"{self.place}: {self.kind}: {self.words}"


@dataclass(slots=True)
class Verification:
    """What was looked at, and what was found."""

    files: int = 0
    records: int = 0
    runs: int = 0
    totals: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The form that is printed as JSON."""
        return {
            "files": self.files,
            "records": self.records,
            "runs": self.runs,
            "totals": {action: self.totals[action] for action in ACTIONS},
            "findings": [
                {"kind": each.kind, "place": each.place, "words": each.words} for each in self.findings
            ],
        }


@dataclass(slots=True)
class _Seen:
    """What a file holds."""

    records: int = 0
    chain: str = ""
    runs: dict[str, Counter[str]] = field(default_factory=dict)


def verify(ledgers: Sequence[str], *, progress: Callable[[str], None] = lambda _: None) -> Verification:
    """Look through ledgers.

    Args:
        ledgers: folders, or URLs of such that fsspec understands.
        progress: told each file's name before it is read.

    Raises:
        LedgerError: a ledger, or a manifest, cannot be read.
    """
    done = Verification()
    for ledger in ledgers:
        if ledger.endswith(SUFFIX):
            raise LedgerError(
                f"{ledger} is a part of a ledger: give the folder, which has the manifests as well."
            )
        seen: dict[str, _Seen] = {}
        manifests = read_manifests(ledger)
        for file, lines in _files(ledger, manifests):
            progress(file)
            name = file.rpartition("/")[2].removesuffix(SUFFIX)
            seen[name] = _look(name, file, lines, done)
        _compare(manifests, seen, done)
    return done


def _files(ledger: str, manifests: list[dict[str, Any]]) -> Iterator[tuple[str, Iterator[bytes]]]:
    """The record files and their lines; where runs are known, there may be none."""
    try:
        reader = LedgerReader(ledger)
    except LedgerError:
        if not manifests:
            raise
        return iter(())
    return reader.lines()


def _look(name: str, file: str, lines: Iterator[bytes], done: Verification) -> _Seen:
    """Look through one file."""
    seen = _Seen()
    link = first_link(name)
    done.files += 1
    for number, line in enumerate(lines, 1):
        place = f"{file}:{number}"
        if not line.endswith(b"\n"):
            done.findings.append(Finding("torn", place, f"{len(line)} bytes without an end of line"))
            break
        linked = unlinked(line)
        try:
            record = Record.from_dict(json.loads(line))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            done.findings.append(Finding("invalid", place, f"{type(error).__name__}: {error}"))
            continue
        if linked is None:
            done.findings.append(Finding("broken", place, "it is not linked to the line before"))
        else:
            text, said = linked
            if hashlib.sha256(link + text).digest() != said:
                words = "it was changed, or lines before it were changed, removed or put in"
                done.findings.append(Finding("broken", place, words))
            link = said
        seen.records += 1
        done.records += 1
        done.totals[record.action.value] += 1
        counts = seen.runs.setdefault(record.run.id, Counter())
        counts[record.action.value] += 1
        if record.reason is not None:
            counts[f"{record.action.value}/{record.reason.value}"] += 1
    seen.chain = link.hex()
    return seen


def _compare(manifests: list[dict[str, Any]], seen: dict[str, _Seen], done: Verification) -> None:
    """Compare what the runs said at their end with what is there."""
    known = {manifest["run"] for manifest in manifests}
    # A shard that was done anew is its last run's; what it was before is no longer known.
    latest = {part["name"]: manifest["run"] for manifest in manifests for part in manifest["files"] or ()}
    for name, file in seen.items():
        for run in file.runs.keys() - known:
            done.findings.append(Finding("missing", run, f"the manifest of this run, which wrote {name}"))
    for manifest in manifests:
        done.runs += 1
        run = manifest["run"]
        if manifest["ended"] is None:
            done.findings.append(Finding("unfinished", run, f"started {manifest['started']}, never ended"))
            continue
        totals: Counter[str] = Counter()
        whole = True
        for part in manifest["files"]:
            there = seen.get(part["name"])
            if latest[part["name"]] != run:
                whole = False
            elif there is None:
                whole = False
                words = f"{part['records']} records were in {part['name']}{SUFFIX}"
                done.findings.append(Finding("missing", run, words))
            elif (there.records, there.chain) != (part["records"], part["chain"]):
                whole = False
                words = f"{part['name']}{SUFFIX} had {part['records']} records and has {there.records}"
                done.findings.append(Finding("short", run, words))
            else:
                totals.update(there.runs.get(run, {}))
        said = Counter(manifest["totals"])
        missing = sum(said[action] - totals[action] for action in ACTIONS)
        surplus = [key for key in totals if totals[key] > said[key]]
        if whole and (missing != manifest["counted"] or surplus):
            decided, recorded = (sum(each[action] for action in ACTIONS) for each in (said, totals))
            words = f"{decided} decisions were counted, {recorded} are recorded"
            done.findings.append(Finding("sums", run, words))
