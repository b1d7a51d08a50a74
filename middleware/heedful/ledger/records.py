"""One record a decision, and the line that it is written as."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

import msgspec

from heedful.model import Action, Reason, Stage, isotime, unixtime

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heedful.policy import Policy

SUFFIX = ".jsonl"
"""What the names of record files end with."""

SCHEMA = 1
"""The version of the record's form; a reader refuses a newer one."""


@dataclass(frozen=True, slots=True)
class Run:
    """What all records of a run have in common.

    Attributes:
        id: sorts by the time of the start, and is unique among runs.
        crawler: the software that fetched, such as `scrapy/2.19.0`.
        token: the product token.
        policy: the policy's name and hash.
        enforced: False in an audit, where nothing is skipped.
    """

    id: str
    crawler: str
    token: str
    policy: tuple[str, str]
    enforced: bool = True

    @classmethod
    def start(cls, *, crawler: str, token: str, policy: Policy, enforced: bool, now: float) -> Run:
        """A new run that starts at `now` (Unix time, seconds)."""
        stamp = datetime.fromtimestamp(now, timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        return cls(f"{stamp}-{secrets.token_hex(4)}", crawler, token, (policy.name, policy.hash), enforced)


@dataclass(frozen=True, slots=True)
class Record:
    """One decision.

    Attributes:
        id: unique among all records of all runs.
        time: Unix time in seconds, written as ISO 8601 in UTC.
        url: the hop that was judged.
        hop_of: the first URL asked for, when `url` was reached by a redirect.
        reason: the first of `reasons`; for a failed fetch, None.
        error: for a failed fetch, what happened.
        status: HTTP status of the picture's response, None when it was not contacted.
        bytes_read: body bytes received.
        bytes_avoided: body bytes announced but not received; None where the length is not known.
        evidence, overridden, ignored: what was said, as in `heedful.Verdict.told`.
        warnings: what was malformed, as in `heedful.Verdict.as_dict`.
        snapshots: SHA-256 (hex) of each origin file that was read, by URL.
        registries: name and version of each registry that was asked.
        complete: the last stage of which all was heard, as in `heedful.Verdict`.
    """

    id: str
    time: float
    run: Run
    url: str
    action: Action
    stage: Stage | None = None
    reasons: tuple[Reason, ...] = ()
    hop_of: str | None = None
    status: int | None = None
    bytes_read: int = 0
    bytes_avoided: int | None = None
    error: str | None = None
    evidence: tuple[Mapping[str, Any], ...] = ()
    overridden: tuple[Mapping[str, Any], ...] = ()
    ignored: tuple[Mapping[str, Any], ...] = ()
    warnings: tuple[Mapping[str, Any], ...] = ()
    snapshots: Mapping[str, str] | None = None
    registries: tuple[tuple[str, int], ...] = ()
    complete: Stage | None = None

    @property
    def reason(self) -> Reason | None:
        """The first of `reasons`."""
        return self.reasons[0] if self.reasons else None

    def as_dict(self) -> dict[str, Any]:
        """All of it, in the order of the fields."""
        written = self.written()
        return {name: written.pop(name, copy(empty)) for name, empty in _EMPTY.items()} | written

    def written(self) -> dict[str, Any]:
        """The form that is written: what is empty is left out."""
        run = self.run
        record: dict[str, Any] = {
            "schema": SCHEMA,
            "id": self.id,
            "time": isotime(self.time),
            "run": run.id,
            "crawler": run.crawler,
            "url": self.url,
        }
        if self.hop_of is not None:
            record["hop_of"] = self.hop_of
        record["action"] = str(self.action)
        if self.reasons:
            record["reason"] = str(self.reasons[0])
            record["reasons"] = [str(reason) for reason in self.reasons]
        if self.stage is not None:
            record["stage"] = str(self.stage)
        if self.evidence:
            record["evidence"] = list(self.evidence)
        record["policy"] = {"name": run.policy[0], "hash": run.policy[1]}
        if self.registries:
            record["registries"] = [{"name": name, "version": version} for name, version in self.registries]
        record["token"] = run.token
        if self.status is not None:
            record["status"] = self.status
        if self.bytes_read:
            record["bytes_read"] = self.bytes_read
        if self.bytes_avoided is not None:
            record["bytes_avoided"] = self.bytes_avoided
        record["enforced"] = run.enforced
        if self.complete is not None:
            record["complete"] = str(self.complete)
        if self.error:
            record["error"] = self.error
        if self.overridden:
            record["overridden"] = list(self.overridden)
        if self.ignored:
            record["ignored"] = list(self.ignored)
        if self.warnings:
            record["warnings"] = list(self.warnings)
        if self.snapshots:
            record["snapshots"] = dict(self.snapshots)
        return record

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Record:
        """The inverse of `as_dict`, and of `written`.

        Raises:
            KeyError, TypeError, ValueError: not a record of this schema.
        """
        if data["schema"] != SCHEMA:
            raise ValueError(f"schema {data['schema']!r}, this version reads {SCHEMA}")
        return cls(
            id=data["id"],
            time=unixtime(data["time"]),
            run=Run(
                data["run"],
                data["crawler"],
                data["token"],
                (data["policy"]["name"], data["policy"]["hash"]),
                data["enforced"],
            ),
            url=data["url"],
            action=Action(data["action"]),
            stage=Stage(data["stage"]) if data.get("stage") else None,
            reasons=tuple(map(Reason, data.get("reasons", ()))),
            hop_of=data.get("hop_of"),
            status=data.get("status"),
            bytes_read=data.get("bytes_read", 0),
            bytes_avoided=data.get("bytes_avoided"),
            error=data.get("error"),
            evidence=tuple(data.get("evidence", ())),
            overridden=tuple(data.get("overridden", ())),
            ignored=tuple(data.get("ignored", ())),
            warnings=tuple(data.get("warnings", ())),
            snapshots=data.get("snapshots") or None,
            registries=tuple((each["name"], each["version"]) for each in data.get("registries", ())),
            complete=Stage(data["complete"]) if data.get("complete") else None,
        )


_EMPTY: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("schema", "id", "time", "run", "crawler", "url", "hop_of", "action", "reason")),
    "reasons": [],
    "stage": None,
    "evidence": [],
    "policy": None,
    "registries": [],
    **dict.fromkeys(("token", "status")),
    "bytes_read": 0,
    **dict.fromkeys(("bytes_avoided", "enforced")),
}
"""The fields of every record, and what they are where a line leaves them out."""

# JSON leaves U+007F alone; a terminal does not.
_DELETE = b"\x7f"


def to_line(record: Record, before: bytes) -> tuple[bytes, bytes]:
    """One line of ASCII, ended by a line feed: no control character of a URL or header survives in it.

    Its last field, `chain`, is the SHA-256 over the line before it (that field of it) and this one: lines
    cannot be changed, removed or put in without every later one being written anew.

    Args:
        record: the record.
        before: the digest that the line before ends with, or `first_link`.

    Returns:
        The line, and the digest that it ends with.
    """
    fields = record.written()
    try:
        text = msgspec.json.encode(fields)
    except UnicodeEncodeError:  # a lone surrogate
        text = b"\xff"
    if not text.isascii() or _DELETE in text:
        ascii_only = json.dumps(fields, ensure_ascii=True, separators=(",", ":"))
        text = ascii_only.encode("ascii").replace(_DELETE, b"\\u007f")
    link = hashlib.sha256(before + text).digest()
    return b'%b,"chain":"%b"}\n' % (text[:-1], link.hex().encode()), link


def first_link(name: str) -> bytes:
    """What the first line of a file is linked to: the file's name, without its suffix."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()


def unlinked(line: bytes) -> tuple[bytes, bytes] | None:
    """A line's text as it was before it was linked, and the digest that it ends with; None: it has none."""
    found = _LINK.search(line)
    return None if found is None else (line[: found.start()] + b"}", bytes.fromhex(found[1].decode()))


_LINK = re.compile(rb',"chain":"([0-9a-f]{64})"}\n\Z')
