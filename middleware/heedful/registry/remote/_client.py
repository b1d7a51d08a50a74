"""Asks a remote registry: batched, paced, retried, remembered; what it does not answer is unanswered."""

from __future__ import annotations

import json
import logging
import os
import random
import re
import threading
import time
from typing import TYPE_CHECKING, Final

from heedful._version import __version__
from heedful.errors import ConfigurationError
from heedful.model import RAW_MAX, printable
from heedful.registry.remote._answers import Answer, Unanswered
from heedful.registry.remote._cache import AnswerCache, Row
from heedful.registry.remote._pace import REST_MAX, Breaker, Limiter
from heedful.registry.remote._protocols import batches, decode, match, protocol_of, question, retry_after
from heedful.registry.remote._reply import NoReplyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from heedful.registry.remote._config import RemoteConfig
    from heedful.registry.remote._http import Transport
    from heedful.registry.remote._protocols import Item, Layout, Question
    from heedful.registry.remote._reply import Reply

logger = logging.getLogger(__name__)

ATTEMPTS: Final = 4
"""How often a batch is tried, the first time included."""

BACKOFF: Final = 0.5
"""Seconds before the first retry, doubled with each further one; at most half as much again is added."""

RETRY_AFTER_MAX: Final = 60.0
"""Longest Retry-After that is waited for, in seconds; with a longer one the registry is left in peace."""

_REFUSED: Final = (401, 403)
_BUSY: Final = (429, 503)
_AGAIN: Final = (408, 425)  # of the 4xx, those that are about the moment (RFC 9110, RFC 8470)

_IRRELEVANT: Final = dict.fromkeys(("name", "key_env", "batch", "rate", "timeout", "expires"))
"""Settings that do not change what an answer means: answers are kept when these change."""

_KEY: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
"""What a header line can carry (RFC 9110, section 5.5), as far as it is ASCII."""


class RemoteRegistry:
    """Asks one registry. Safe to share between threads; each process needs its own."""

    def __init__(
        self,
        config: RemoteConfig,
        *,
        cache: Path | None,
        user_agent: str | None = None,
        environ: Mapping[str, str] = os.environ,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Make ready to ask; nothing is connected to yet.

        Args:
            config: the registry.
            cache: the folder in which answers are kept; None: they are not.
            user_agent: the User-Agent that is sent; None: heedful and its version.
            environ: where the key is found.
            now: Unix time in seconds.
            clock: monotonic, in seconds.
            sleep: waits for some seconds.

        Raises:
            ConfigurationError: the key is not in the environment, or the library for HTTP is not installed,
                or the environment names a proxy that cannot be used.
        """
        self.config = config
        self._protocol = protocol_of(config)
        self._key = _key(config, environ)
        self._headers = self._protocol.headers(self._key)
        # contacts may hold anything; what header lines carry is ASCII (RFC 9110, section 5.5)
        agent = printable(user_agent or _user_agent())
        self._headers["User-Agent"] = agent.encode("ascii", "replace").decode()
        self._now = now
        self._clock = clock
        self._sleep = sleep
        self._random = random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._start()
        self._cache = None
        if cache is not None and config.expires:
            identity = json.dumps(config.as_dict() | _IRRELEVANT, sort_keys=True)
            self._cache = AnswerCache(cache, identity, lifetime=config.expires, now=now)

    def _start(self) -> None:
        """What a forked process must not share."""
        self._lock = threading.Lock()
        self._refused: str | None = None
        self._limiter = Limiter(self.config.rate, self._clock, self._sleep)
        self._breaker = Breaker(self._clock)
        self._transport = _transport(self.config, self._clock)
        self._process = os.getpid()  # comes last: another thread that sees it finds the rest

    def ask(self, urls: Iterable[str]) -> dict[str, Answer | Unanswered]:
        """Ask whether URLs are opted out, or in; takes as long as it takes.

        What the registry says of one spelling of a URL holds for the others if it is an opt-out.

        Args:
            urls: any number, in any form.

        Returns:
            An answer, or why there is none, for each URL as it was given.
        """
        if os.getpid() != self._process:
            self._start()
        questions = {url: question(url) for url in urls}
        told: dict[bytes, dict[str, Answer]] = {}
        if self._cache is not None:
            told = self._cache.get(each.key for each in questions.values() if each)
        missing = dict.fromkeys(each for each in questions.values() if each and _settled(each, told) is None)
        whys: dict[Question, str] = {}
        for batch in batches(missing, self.config.batch):
            answers = self._answers(batch)
            if isinstance(answers, Unanswered):
                whys |= dict.fromkeys(batch, answers.why)
                continue
            rows = [Row(*each, answers[each.text]) for each in batch if each.text in answers]
            for row in rows:
                told.setdefault(row.key, {})[row.text] = row.answer
            if self._cache is not None:
                self._cache.put(rows)
        return {
            url: Unanswered("it is no http(s) URL")
            if each is None
            else _settled(each, told) or Unanswered(whys.get(each, "it is missing in the answer"))
            for url, each in questions.items()
        }

    def close(self) -> None:
        """Close connections and cache."""
        self._transport.close()
        if self._cache is not None:
            self._cache.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _answers(self, batch: Sequence[Question]) -> dict[str, Answer] | Unanswered:
        """What a batch is answered with, by text."""
        if self._refused is not None:
            return Unanswered(self._refused)
        if not self._breaker.admits():
            return Unanswered("not asked: it failed too often")
        try:
            body = self._fetch(self._protocol.encode([each.text for each in batch]))
            fetched = self._now()
            said = match(batch, _decoded(self._protocol.layout, body))
            if not said:
                raise _FailedError("its answer is about other URLs")
        except _FailedError as error:
            self._breaker.failed(rest=error.rest)
            logger.warning(
                "The registry %s left %d URLs unanswered: %s.", self.config.name, len(batch), error
            )
            return Unanswered(str(error))
        self._breaker.succeeded()
        return {
            text: Answer(each.opt_out, each.opt_in, fetched, self._masked(each.raw))
            for text, each in said.items()
        }

    def _fetch(self, body: bytes) -> bytes:
        """Post until there is an answer.

        Raises:
            _FailedError: there was none, as often as it was tried.
        """
        for attempt in range(1, ATTEMPTS):
            found = self._attempt(body, last=False)
            if isinstance(found, bytes):
                return found
            backoff = BACKOFF * 2 ** (attempt - 1)
            self._sleep(backoff + self._random.uniform(0, backoff / 2))
        found = self._attempt(body, last=True)
        if isinstance(found, bytes):
            return found
        raise _FailedError(found)

    def _attempt(self, body: bytes, *, last: bool) -> bytes | str:
        """Post once.

        Args:
            body: what is posted.
            last: it will not be tried again.

        Returns:
            The answer; or, in a few words, why there is none this time.

        Raises:
            _FailedError: there will be none the next time either.
        """
        self._limiter.wait()
        if self._refused is not None:  # meanwhile, by the answer to another thread
            raise _FailedError(self._refused)
        try:
            reply = self._transport.post(body, self._headers)
        except NoReplyError as error:
            if error.again:
                return error.why
            raise _FailedError(error.why) from error
        status = reply.status
        if status == 200:
            return reply.body
        if status in _REFUSED:
            raise _FailedError(self._refuse(status))
        why = f"it answers with status {status}"
        if status in _BUSY:
            self._hold(reply, why, last=last)
        if status in _BUSY or status in _AGAIN or status >= 500:
            return why
        if 300 <= status < 400 and reply.location is not None:
            place = self._masked(printable(reply.location[:RAW_MAX]))
            why = f"it redirects to {place}, which is not followed"
        raise _FailedError(why)

    def _refuse(self, status: int) -> str:
        """Ask no more; returns why."""
        with self._lock:
            if self._refused is None:
                self._refused = f"it refuses to answer (status {status})"
                variable = self.config.key_env
                logger.error(
                    "The registry %s refuses to answer (status %d): %s. It is not asked again in this run.",
                    self.config.name,
                    status,
                    f"see whether the key in {variable} is right"
                    if variable
                    else "it may want a key (key_env)",
                )
            return self._refused

    def _hold(self, reply: Reply, why: str, *, last: bool) -> None:
        """Do as it says with Retry-After: wait, all threads; or leave it in peace.

        Raises:
            _FailedError: it is left in peace.
        """
        seconds = retry_after(reply.retry_after, self._now())
        if seconds is None:
            return
        if last or seconds > RETRY_AFTER_MAX:
            seconds = min(seconds, REST_MAX)
            raise _FailedError(f"{why}, and wants to be left for {seconds:g} s", rest=seconds)
        self._limiter.hold(seconds)

    def _masked(self, text: str) -> str:
        """What a registry sent, without the key, should it repeat that."""
        return text if self._key is None else text.replace(self._key, "[key]")


class _FailedError(Exception):
    """A batch is left unanswered.

    Attributes:
        rest: seconds for which the registry wants to be left in peace; None: it did not say.
    """

    def __init__(self, why: str, *, rest: float | None = None) -> None:
        super().__init__(why)
        self.rest = rest


def _decoded(layout: Layout, body: bytes) -> list[Item]:
    try:
        return decode(layout, body)
    except ValueError as error:
        raise _FailedError(f"its answer is {error}") from error


def _settled(asked: Question, told: Mapping[bytes, Mapping[str, Answer]]) -> Answer | None:
    """An opt-out of any spelling of the URL, else the answer to the very text, else None."""
    answers = told.get(asked.key, {})
    denial = next((answer for answer in answers.values() if answer.opt_out), None)
    return denial or answers.get(asked.text)


def _key(config: RemoteConfig, environ: Mapping[str, str]) -> str | None:
    """The key, if the registry asks for one.

    Raises:
        ConfigurationError: it is not there, or cannot be one; it is not repeated in the message.
    """
    if config.key_env is None:
        return None
    key = environ.get(config.key_env, "").strip()
    if not key:
        raise ConfigurationError(
            f"The registry {config.name} wants a key: set the environment variable {config.key_env} to it."
        )
    if not _KEY.fullmatch(key):
        raise ConfigurationError(
            f"What is in the environment variable {config.key_env} is no key for the registry {config.name}: "
            "it has other than printable ASCII characters."
        )
    return key


def _user_agent() -> str:
    return f"heedful/{__version__}"


def _transport(config: RemoteConfig, clock: Callable[[], float]) -> Transport:
    """What posts to the registry.

    Raises:
        ConfigurationError: urllib3 is not installed, or the environment names a proxy that cannot be used.
    """
    try:
        from heedful.registry.remote._http import Transport  # noqa: PLC0415 - needs an extra
    except ImportError as error:
        raise ConfigurationError(
            f"The registry {config.name} needs {error.name or 'urllib3'}: pip install 'heedful[remote]'"
        ) from error
    return Transport(config.url, timeout=config.timeout, clock=clock)
