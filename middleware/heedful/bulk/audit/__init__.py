"""Audits of stored datasets: what is opted out by today's registries and by the bytes, and its removal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heedful.bulk.audit._audit import Auditing, Result
from heedful.bulk.audit._findings import Finding
from heedful.bulk.audit._live import Live

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Auditing", "Finding", "Live", "Result", "audit"]


def audit(dataset: str | Path, *, purge: bool = False, **options: Any) -> Result:
    """Audit a dataset; `Auditing` does it step by step, and gives every finding.

    Args:
        dataset: a folder, or a folder's URL that fsspec understands.
        purge: remove what is found, at once.
        **options: as those of `Auditing`.

    Raises:
        ConfigurationError: something given is wrong.
        LedgerError: a finding could not be recorded.
    """
    with Auditing(dataset, removing=purge, **options) as auditing:
        auditing.run()
        return auditing.remove() if purge else auditing.result
