"""The ledger of a run that has one writer: its records, and its manifest."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from heedful.errors import ConfigurationError, LedgerError
from heedful.ledger.manifest import RunManifest
from heedful.ledger.records import Run
from heedful.ledger.writer import LedgerWriter
from heedful.model import Action

if TYPE_CHECKING:
    from collections.abc import Callable

    from heedful.configuration import Configuration
    from heedful.gate import Gate
    from heedful.ledger.records import Record
    from heedful.model import Verdict


def start_run(configuration: Configuration, *, crawler: str, now: float) -> Run:
    """A new run under a configuration.

    Args:
        configuration: what was checked.
        crawler: the software that fetches, such as `scrapy/2.19.0`.
        now: Unix time in seconds.
    """
    return Run.start(
        crawler=crawler,
        token=configuration.token,
        policy=configuration.policy,
        enforced=not configuration.audit,
        now=now,
    )


class RunLedger:
    """Records what a program decides, from its start to its end. Safe to share between threads."""

    def __init__(
        self,
        configuration: Configuration,
        gate: Gate,
        *,
        crawler: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the configuration's ledger.

        Args:
            configuration: what was checked; its ledger is not None.
            gate: the gate, with its registries.
            crawler: the software that fetches.
            clock: gives the Unix time in seconds.

        Raises:
            ConfigurationError: it cannot be written.
        """
        assert configuration.ledger is not None  # noqa: S101 - who has none records nothing
        self._clock = clock
        self._record_stores = configuration.record_stores
        run = start_run(configuration, crawler=crawler, now=clock())
        try:
            self._writer = LedgerWriter(configuration.ledger, run, clock=clock)
            self._manifest = RunManifest(
                configuration.ledger, run, policy=gate.policy, registries=gate.registries, now=clock()
            )
        except LedgerError as error:
            raise ConfigurationError(str(error)) from error

    def record(self, url: str, action: Action, verdict: Verdict | None = None, **more: Any) -> Record | None:
        """Record a decision, as `LedgerWriter.record` does; None: a store that is only counted.

        Raises:
            LedgerError: it could not be written; the picture must not be stored.
        """
        if action is Action.STORE and not self._record_stores:
            self._writer.count(action)
            return None
        return self._writer.record(url, action, verdict, **more)

    def close(self) -> None:
        """Write what is not yet written, and that the run is over.

        Raises:
            LedgerError: it could not be.
        """
        self._manifest.end_of(self._writer, now=self._clock())
