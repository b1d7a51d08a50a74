"""The exceptions of heedful: one base class, two branches.

`ConfigurationError` is what you can mend; `OptedOut` is what others have said of their content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heedful.model import Verdict


class HeedfulError(Exception):
    """The base of every exception that heedful raises on purpose."""


class ConfigurationError(HeedfulError):
    """The settings are wrong; nothing was started. All faults found are in `faults`, a sentence each."""

    def __init__(self, *faults: str) -> None:
        super().__init__(*faults)
        self.faults: Sequence[str] = faults

    def __str__(self) -> str:
        return "\n".join(self.faults)


class LedgerError(HeedfulError):
    """The ledger cannot be written or read. A run stops rather than store without a record."""


class OptedOut(HeedfulError):  # noqa: N818 - a refusal, not an error
    """The picture must not be stored; `verdict` says why."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict)
        self.verdict = verdict

    def __str__(self) -> str:
        return str(self.verdict)


class Deferred(OptedOut):
    """It could not be determined whether the picture is opted out: not contacted again within the run."""
