"""The decisions that a page holds: compact, and with nothing in them that a page could take for its own."""

# ruff: noqa: S608 - what stands in the SQL are our own constants, and quoted paths

from __future__ import annotations

import base64
import gzip
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from heedful.model import Action, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heedful.ledger.tables import LedgerTables

_WORDS: Final = ("host", "reasons", "stage", "crawler", "run", "token", "policy", "hop_of", "error")
"""Columns whose texts are kept once each."""

_PLAIN: Final = ("id", "url", "status", "bytes_read", "bytes_avoided")

_DETAILS: Final = ("evidence", "overridden", "ignored", "warnings", "registries")
"""What is unfolded; equal ones are kept once."""

# Lists become text in the database, which is quick, and lets equal ones be found before they are read.
_NEWEST: Final = f"""
SELECT round(epoch(time), 3) AS time, action, enforced, id, url, status, bytes_read, bytes_avoided, host,
    array_to_string(reasons, ' ') AS reasons, stage, crawler, run, token,
    concat(policy, ' ', policy_hash[:12]) AS policy, hop_of, error,
    {", ".join(f"CASE WHEN len({name}) > 0 THEN to_json({name})::VARCHAR END AS {name}" for name in _DETAILS)}
FROM records WHERE epoch(time) >= coalesce(
    (SELECT time FROM decisions ORDER BY time DESC LIMIT 1 OFFSET $rows - 1), '-infinity'::DOUBLE
) ORDER BY records.time DESC, id LIMIT $rows
"""


class Pool:
    """Values, each once, and found again by their number."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._numbers: dict[Any, int] = {}

    def number(self, key: Any, value: Any = None) -> int:
        """The number of what is known by `key`; its value is made, if need be, by `value(key)`."""
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self.values)
            self.values.append(key if value is None else value(key))
        return found


def newest(tables: LedgerTables, rows: int) -> dict[str, Any]:
    """The newest decisions, a list a column.

    Every text is printable: what a terminal or a browser would not show as it is, is written as in the log.

    Args:
        tables: ledgers of which `totals_of` has made the totals.
        rows: how many at most.

    Raises:
        LedgerError: they cannot be read.
    """
    found = tables.rows(_NEWEST, {"rows": rows}) if rows else []
    words, details = Pool(), Pool()
    actions = {action.value: number for number, action in enumerate(Action)}
    columns: dict[str, list[Any]] = {
        "time": [row["time"] for row in found],
        "action": [actions[row["action"]] for row in found],
        "audit": [int(not row["enforced"]) for row in found],
        "details": [
            details.number(tuple(row[name] for name in _DETAILS), _unfolded)
            if any(row[name] for name in _DETAILS)
            else -1
            for row in found
        ],
    }
    for name in _PLAIN:
        columns[name] = [safe(row[name]) for row in found]
    for name in _WORDS:
        columns[name] = [words.number(row[name] or "", safe) for row in found]
    return {
        "actions": list(actions),
        "columns": columns,
        "words": words.values,
        "details": details.values,
    }


def packed(data: dict[str, Any]) -> str:
    """As gzip in base64, which no HTML can break out of."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def _unfolded(texts: Sequence[str | None]) -> dict[str, Any]:
    return {
        name: _compact(json.loads(text))
        for name, text in zip(_DETAILS, texts, strict=True)
        if text is not None
    }


def _compact(value: Any) -> Any:
    """Without what is empty, and with texts made safe."""
    if isinstance(value, dict):
        return {key: _compact(each) for key, each in value.items() if each not in {None, ""}}
    if isinstance(value, list):
        return [_compact(each) for each in value]
    return safe(value)


@lru_cache(maxsize=65_536)
def safe(value: Any) -> Any:
    """A value as it is, a text so that all of it can be seen."""
    if not isinstance(value, str) or value.isprintable():
        return value
    return "\n".join(map(printable, value.split("\n")))
