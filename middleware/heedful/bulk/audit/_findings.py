"""What an audit finds: one line a picture, for people, programs and spreadsheets."""

from __future__ import annotations

import csv
import json
import re
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from heedful.bulk.audit._tables import arrow
from heedful.errors import ConfigurationError
from heedful.ledger._export import harmless, replacing
from heedful.model import Action, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from heedful.bulk.audit._stored import Stored
    from heedful.model import Statement, Verdict

SUFFIXES: Final = (".csv", ".jsonl", ".parquet")
"""What the name of a file of findings ends with."""

# As `heedful.registry.statements` says it: `list NAME`, then dates.
_LIST: Final = re.compile(r"(?:list )?(.*?)(?:, registered [0-9-]+)?(?:, expires [0-9-]+)?", re.DOTALL)
NO_WORD: Final = "nobody agreed"
"""The evidence where agreement is asked for, and there is none."""

_REGISTRY: Final = "registry."
_BATCH: Final = 4096


@dataclass(frozen=True, slots=True)
class Finding:
    """A stored picture that is opted out, or of which that is in doubt.

    Attributes:
        dataset: the dataset.
        shard: its part.
        key: what the picture is known by there.
        place: where it lies, relative to the dataset's folder.
        url: its URL; None: not known.
        action: `skip`: it is opted out; `defer`: it is in doubt.
        reason: the first of `reasons`.
        reasons: all of them.
        list: the list of a registry that it stands in; None: no registry says it.
        entry: the entry there; else the raw text that was read.
        evidence: what was said, and where, in words.
        sha256: of the stored bytes, in hexadecimal; None: they were not read.
    """

    dataset: str
    shard: str
    key: str
    place: str
    url: str | None
    action: str
    reason: str
    reasons: tuple[str, ...]
    list: str | None
    entry: str
    evidence: str
    sha256: str | None

    @classmethod
    def of(
        cls,
        dataset: str,
        shard: str,
        stored: Stored,
        verdict: Verdict,
        sha256: str | None,
    ) -> Finding:
        """From a verdict not to store it: of what decides, the first reason's is told."""
        statement = verdict.evidence[0] if verdict.evidence else None
        at = None if statement is None else statement.evidence
        return cls(
            dataset=dataset,
            shard=shard,
            key=stored.key,
            place=stored.place,
            url=stored.urls[0] if stored.urls else None,
            action=verdict.action.value,
            reason=verdict.reasons[0].value,
            reasons=tuple(reason.value for reason in verdict.reasons),
            list=None if statement is None else _list(statement),
            entry="" if at is None else at.raw,
            evidence=NO_WORD if statement is None else _words(statement),
            sha256=sha256,
        )

    @property
    def opted_out(self) -> bool:
        """Whether it is, without a doubt."""
        return self.action == Action.SKIP.value

    def as_dict(self) -> dict[str, Any]:
        """The form that is written as JSON."""
        return asdict(self)


def _words(statement: Statement) -> str:
    at = statement.evidence
    return f"{statement.rule}: {at.where} of {at.source_url}"


def _list(statement: Statement) -> str | None:
    if not statement.signal.value.startswith(_REGISTRY):
        return None
    if statement.signal is Reason.REGISTRY_REMOTE:
        return statement.evidence.where
    found = _LIST.fullmatch(statement.evidence.where)
    return found[1] if found else statement.evidence.where


def check_out(out: Path) -> None:
    """See whether findings can be written there.

    Raises:
        ConfigurationError: they cannot.
    """
    if out.suffix not in SUFFIXES:
        raise ConfigurationError(f"{out} must end with {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.")
    if not out.parent.is_dir():
        raise ConfigurationError(f"{out} cannot be written: there is no folder {out.parent}.")


@contextmanager
def writing(out: Path) -> Iterator[Callable[[Finding], object]]:
    """Write findings to a file, which takes the place of `out` at the end.

    Raises:
        ConfigurationError: it cannot be written.
    """
    check_out(out)
    with replacing(out) as temporary, _WRITERS[out.suffix](temporary) as write:
        yield write


@contextmanager
def _csv(path: Path) -> Iterator[Callable[[Finding], object]]:
    """RFC 4180; what comes from the web is made harmless, as in exports of ledgers."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(field.name for field in fields(Finding))

        def write(finding: Finding) -> None:
            cells = finding.as_dict() | {"reasons": " ".join(finding.reasons)}
            rows.writerow("" if cell is None else harmless(cell) for cell in cells.values())

        yield write


@contextmanager
def _jsonl(path: Path) -> Iterator[Callable[[Finding], object]]:
    with path.open("w", encoding="utf-8") as file:
        yield lambda finding: file.write(json.dumps(finding.as_dict()) + "\n")


@contextmanager
def _parquet(path: Path) -> Iterator[Callable[[Finding], object]]:
    pa = arrow()
    schema = pa.schema(
        (field.name, pa.list_(pa.string()) if field.name == "reasons" else pa.string())
        for field in fields(Finding)
    )
    kept: list[dict[str, Any]] = []

    with pa.parquet.ParquetWriter(path, schema, compression="zstd") as file:

        def flush() -> None:
            file.write_table(pa.Table.from_pylist(kept, schema))
            kept.clear()

        def write(finding: Finding) -> None:
            kept.append(finding.as_dict())
            if len(kept) >= _BATCH:
                flush()

        yield write
        flush()


_WRITERS: Final = dict(zip(SUFFIXES, (_csv, _jsonl, _parquet), strict=True))
