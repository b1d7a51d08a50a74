"""Stored pictures' URLs are asked for again: what their origins say today, joined with what is stored."""

from __future__ import annotations

import hashlib
import importlib
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from heedful.errors import ConfigurationError
from heedful.ledger import LedgerReader
from heedful.model import Action, Heard, Stage, Statement, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from heedful.configuration import Configuration
    from heedful.ledger import Record

KEPT: Final = 24 * 3600.0
"""Seconds after which answers of a run that was interrupted are too old to go on with."""


class Answer(NamedTuple):
    """What was said of a URL that is opted out, or in doubt."""

    url: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Live:
    """How URLs are asked for again.

    Attributes:
        policy: the policy as it was given: a profile's name or a TOML file.
        contact: where site owners can turn to.
    """

    policy: str | Path
    contact: str | None = None

    def ask(
        self,
        urls: Iterable[str],
        configuration: Configuration,
        work: Path,
        counts: dict[str, int],
        progress: Callable[[int, int], object],
    ) -> Mapping[str, Answer]:
        """Ask for each URL once.

        Args:
            urls: the URLs.
            configuration: what was checked.
            work: a folder of ours. What it has of a run that was interrupted lately is not asked for again.
            counts: gets what became of the URLs, by action.
            progress: told now and then how many were asked, of how many.

        Returns:
            The answers that matter, by the URLs as they were given.

        Raises:
            ConfigurationError: something that is needed is missing, or the process that asks has crashed.
        """
        rechecking = rechecker()
        name = hashlib.sha256(f"{configuration.token} {configuration.policy.hash}".encode()).hexdigest()[:8]
        folder = work / f"live-{name}"
        if folder.exists() and time.time() - folder.stat().st_mtime > KEPT:
            shutil.rmtree(folder)
        try:
            asked = rechecking.recheck(
                urls,
                token=configuration.token,
                ledger=folder,
                policy=self.policy,
                registries=configuration.registries,
                contact=self.contact,
                # without an opt-in, the bytes are the last place where one could be
                read_bytes=configuration.policy.regime == "opt-in",
                progress=lambda asked: progress(asked.decided, asked.to_ask),
            )
        except rechecking.RecheckError as error:
            raise ConfigurationError(str(error)) from error
        if asked.decided < asked.to_ask:
            raise ConfigurationError(
                "The URLs were not all asked for: the same command goes on with the rest."
            )
        answers = {}
        if asked.listed > asked.unaskable:
            for record in LedgerReader(str(folder)):
                counts[record.action.value] = counts.get(record.action.value, 0) + 1
                if record.action in {Action.SKIP, Action.DEFER}:
                    answers[record.hop_of or record.url] = Answer(record.url, _verdict(record))
        shutil.rmtree(folder, ignore_errors=True)
        return answers


def rechecker() -> Any:
    """The module that asks.

    Raises:
        ConfigurationError: what it needs is not installed.
    """
    try:
        return importlib.import_module("heedful_spiders.recheck")
    except ImportError as error:
        raise ConfigurationError(
            f"--live needs {error.name or 'scrapy'}: pip install 'heedful[scrapy]'"
        ) from error


def _verdict(record: Record) -> Verdict:
    """A record's verdict, as far as records have it."""
    told = [
        Heard.from_dict(each)
        if "stage" in each
        else Heard(record.stage or Stage.URL, "", Statement.from_dict(each))
        for each in record.evidence
    ]
    return Verdict(
        url=record.url,
        action=record.action,
        reasons=record.reasons,
        stage=record.stage or Stage.URL,
        evidence=tuple(each.statement for each in told),
        snapshots=tuple((record.snapshots or {}).items()),
        registries=record.registries,
        heard=tuple(each for each in told if each.protocol),
        complete=record.complete,
    )
