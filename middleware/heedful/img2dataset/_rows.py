"""The rows of a shard: what is known of each before it is asked for, and what becomes of it."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from heedful.enforcer import Enforcer, Hop
from heedful.model import Action, Needs, Stage
from heedful.registry.remote import statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from heedful.configuration import Configuration
    from heedful.gate import Registered
    from heedful.model import Verdict

REFUSED: Final = frozenset({Action.SKIP, Action.DEFER})
"""What is never asked for again within a run."""

ORIGIN_TIMEOUT: Final = 10.0
"""Seconds that a request for an origin file may take: img2dataset's own default for a picture."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was decided of a row: recorded once it is known what img2dataset made of it."""

    url: str
    action: Action
    verdict: Verdict | None
    status: int | None
    read: int
    avoided: int | None
    error: str | None

    @property
    def reason(self) -> str | None:
        """The first reason of a refusal."""
        return self.verdict.reason.value if self.verdict and self.verdict.reason else None

    @property
    def code(self) -> str:
        """What is said of a refusal in img2dataset's tables: one of few words."""
        return self.reason or self.action.value


@dataclass(slots=True, eq=False)
class Row(Hop):
    """The first URL of a row.

    Attributes:
        outcome: the first refusal, else the last word on it; shared with the hops that follow.
    """

    outcome: list[Outcome] = field(default_factory=list)

    def to(self, url: str) -> Row:
        """Where a redirect leads."""
        return Row(url, self.first, self.page, outcome=self.outcome)


class RowEnforcer(Enforcer):
    """Holds records back until img2dataset has done what it does with a picture."""

    def __init__(self, configuration: Configuration) -> None:
        """Open all that is needed.

        Raises:
            ConfigurationError: a registry cannot be relied upon, or a remote one's key is missing.
        """
        super().__init__(configuration, crawler="img2dataset", recording=False, timeout=ORIGIN_TIMEOUT)

    def ask_remotes(self, hops: Iterable[Hop]) -> None:
        """Ask remote registries of many URLs at once: those that nothing at hand settles."""
        if not self._remotes:
            return
        unsettled: list[Hop] = []
        for hop in hops:
            with suppress(Exception):  # its row meets it again, and is deferred
                answer = self._ask(hop, Stage.URL, {})
                if isinstance(answer, Needs) and answer.remotes:
                    unsettled.append(hop)
        for name, remote in self._remotes.items():
            answers = remote.ask([hop.url for hop in unsettled])
            for hop in unsettled:
                hop.remote[name] = statement(answers[hop.url], hop.url, remote.config)

    def record(
        self,
        hop: Hop,
        action: Action,
        verdict: Verdict | None = None,
        *,
        status: int | None = None,
        read: int = 0,
        avoided: int | None = None,
        error: str | None = None,
    ) -> None:
        """Keep an outcome; a refusal is final, also in an audit."""
        assert isinstance(hop, Row)  # noqa: S101 - rows start as such
        if hop.outcome and hop.outcome[0].action in REFUSED:
            return
        hop.outcome[:] = [Outcome(hop.url, action, verdict, status, read, avoided, error)]


class Rows:
    """The rows of one shard, by their number in it. Its threads may share it."""

    def __init__(
        self,
        enforcer: RowEnforcer,
        urls: Sequence[str],
        pages: Sequence[str] | None,
        registered: Sequence[tuple[Registered, ...] | None],
    ) -> None:
        """Make them.

        Args:
            enforcer: judges them.
            urls: the pictures' URLs.
            pages: the URLs of the pages on which they were found, empty where that is not known; None: there
                are none.
            registered: what registries have about each; None: that could not be looked up.
        """
        self._enforcer = enforcer
        self._pages = pages
        self._rows = [Row(url, url, registered=known) for url, known in zip(urls, registered, strict=True)]
        self._current = threading.local()

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def __getitem__(self, number: int) -> Row:
        return self._rows[number]

    def enter(self, number: int) -> Row:
        """This thread now asks for a row; a page that cannot be read is a doubt, and its outcome."""
        row = self._rows[number]
        self._current.row = row
        page = self._pages[number] if self._pages else ""
        if page and not row.outcome:
            verdict = self._enforcer.look_at_page(row, page)
            if verdict is not None:
                self._enforcer.record(row, verdict.action, verdict)
        return row

    def start(self, url: str) -> Hop:
        """The hop for what this thread asks for."""
        row: Row = self._current.row
        return row if row.url == url else row.to(url)
