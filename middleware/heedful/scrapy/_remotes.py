"""Remote registries: what a crawl asks of them, gathered into batches."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from scrapy.utils.asyncio import call_later
from scrapy.utils.defer import deferred_from_coro, maybe_deferred_to_future
from twisted.internet.defer import Deferred

from heedful.registry.remote import Answer, RemoteRegistry, Unanswered, statement
from heedful.scrapy._waiting import in_thread

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from heedful.model import Statement
    from heedful.registry.remote import RemoteConfig

LINGER: Final = 0.05
"""Seconds for which a batch waits for company; much less than the registries' own answers take."""

ANSWERS_KEPT: Final = 20_000
"""Answers kept in memory: a picture is judged several times on its way, and then no more."""


class Remotes:
    """The remote registries of a crawl.

    Raises:
        ConfigurationError: a key is missing; all such faults are told.
    """

    def __init__(self, configs: Iterable[RemoteConfig], cache: Path, user_agent: str) -> None:
        self._queues = {
            config.name: _Queue(RemoteRegistry(config, cache=cache, user_agent=user_agent))
            for config in configs
        }

    def known(self, url: str) -> dict[str, Statement]:
        """What is known already of a URL."""
        return {
            name: statement(answer, url, queue.registry.config)
            for name, queue in self._queues.items()
            if (answer := queue.kept.get(url)) is not None
        }

    async def ask(self, names: Iterable[str], url: str) -> dict[str, Statement]:
        """What each of these registries says of a URL."""
        waiting = [(name, self._queues[name].ask(url)) for name in names]
        return {
            name: statement(await maybe_deferred_to_future(answer), url, self._queues[name].registry.config)
            for name, answer in waiting
        }

    def close(self) -> None:
        """Close connections and caches."""
        for queue in self._queues.values():
            queue.registry.close()


class _Queue:
    def __init__(self, registry: RemoteRegistry) -> None:
        self.registry = registry
        self.kept: OrderedDict[str, Answer] = OrderedDict()
        self._waiting: dict[str, list[Deferred[Answer | Unanswered]]] = {}

    def ask(self, url: str) -> Deferred[Answer | Unanswered]:
        answer: Deferred[Answer | Unanswered] = Deferred()
        if not self._waiting:
            call_later(LINGER, self._send)
        self._waiting.setdefault(url, []).append(answer)
        if len(self._waiting) >= self.registry.config.batch:
            self._send()
        return answer

    def _send(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, {}
            deferred_from_coro(self._deliver(waiting))

    async def _deliver(self, waiting: dict[str, list[Deferred[Answer | Unanswered]]]) -> None:
        answers: dict[str, Answer | Unanswered] = {}
        why = "no answer"
        try:
            answers = await in_thread(self.registry.ask, list(waiting))
        except Exception as error:  # noqa: BLE001 - a doubt, whatever it was
            why = f"{type(error).__name__}: {error}"
        finally:
            for url, deferreds in waiting.items():
                answer = answers.get(url, Unanswered(why))
                self._keep(url, answer)
                for deferred in deferreds:
                    deferred.callback(answer)

    def _keep(self, url: str, answer: Answer | Unanswered) -> None:
        if isinstance(answer, Answer):
            self.kept[url] = answer
            self.kept.move_to_end(url)
            if len(self.kept) > ANSWERS_KEPT:
                self.kept.popitem(last=False)
