"""One record a decision, and the line that it is written as."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from heedful.model import Action, Reason, Stage, isotime, unixtime

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heedful.policy import Policy

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
        evidence, overridden, warnings: as in `heedful.Verdict.as_dict`.
        snapshots: SHA-256 (hex) of each origin file that was read, by URL.
        registries: name and version of each registry that was asked.
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
    warnings: tuple[Mapping[str, Any], ...] = ()
    snapshots: Mapping[str, str] | None = None
    registries: tuple[tuple[str, int], ...] = ()

    @property
    def reason(self) -> Reason | None:
        """The first of `reasons`."""
        return self.reasons[0] if self.reasons else None

    def as_dict(self) -> dict[str, Any]:
        """The form that is written, in the order of its fields."""
        run = self.run
        record = {
            "schema": SCHEMA,
            "id": self.id,
            "time": isotime(self.time),
            "run": run.id,
            "crawler": run.crawler,
            "url": self.url,
            "hop_of": self.hop_of,
            "action": self.action.value,
            "reason": self.reason.value if self.reason else None,
            "reasons": [reason.value for reason in self.reasons],
            "stage": self.stage.value if self.stage else None,
            "evidence": list(self.evidence),
            "policy": {"name": run.policy[0], "hash": run.policy[1]},
            "registries": [{"name": name, "version": version} for name, version in self.registries],
            "token": run.token,
            "status": self.status,
            "bytes_read": self.bytes_read,
            "bytes_avoided": self.bytes_avoided,
            "enforced": run.enforced,
        }
        extra = {
            "error": self.error,
            "overridden": list(self.overridden),
            "warnings": list(self.warnings),
            "snapshots": dict(self.snapshots or {}),
        }
        return record | {key: value for key, value in extra.items() if value}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Record:
        """The inverse of `as_dict`.

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
            stage=Stage(data["stage"]) if data["stage"] else None,
            reasons=tuple(map(Reason, data["reasons"])),
            hop_of=data["hop_of"],
            status=data["status"],
            bytes_read=data["bytes_read"],
            bytes_avoided=data["bytes_avoided"],
            error=data.get("error"),
            evidence=tuple(data["evidence"]),
            overridden=tuple(data.get("overridden", ())),
            warnings=tuple(data.get("warnings", ())),
            snapshots=data.get("snapshots") or None,
            registries=tuple((each["name"], each["version"]) for each in data["registries"]),
        )


# JSON leaves U+007F alone; a terminal does not.
_DELETE = "\x7f"


def to_line(record: Record) -> bytes:
    """One line of ASCII, ended by a line feed: no control character of a URL or header survives in it."""
    text = json.dumps(record.as_dict(), ensure_ascii=True, separators=(",", ":"))
    return text.replace(_DELETE, "\\u007f").encode("ascii") + b"\n"
