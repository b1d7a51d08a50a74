"""Stored pictures are judged by the ordinary gate: registries, remote registries, the operator, the bytes.

What only the origin could tell, its files and headers, was not asked: it neither denies nor leaves a doubt,
and no opt-in is missed. So what is found here holds whatever the origin says.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from heedful.body import Body
from heedful.judging import Crashes, doubt
from heedful.model import (
    Action,
    Evidence,
    Needs,
    OriginFile,
    Preference,
    Reason,
    Stage,
    Statement,
    Verdict,
)
from heedful.registry import RegistryError
from heedful.registry.remote import RemoteRegistry, statement
from heedful.signals._paths import split_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from heedful.bulk.audit._stored import Stored
    from heedful.configuration import Configuration
    from heedful.gate import Registered
    from heedful.registry.entries import Match

UNKNOWN: Final = "http://unknown.invalid/"
"""What, with its place, a picture is called whose URL is not known: `invalid` is no one's (RFC 2606)."""

_LAST: Final = Stage.PAGE
"""The last stage that is complete: with the next one, an opt-in that is not there would be missed."""

_ABSENT: Final = OriginFile("", 404)


class _NoFiles(Mapping[str, OriginFile]):
    """Origin files, none of which is there."""

    def __getitem__(self, url: str) -> OriginFile:
        return _ABSENT

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class Judged(NamedTuple):
    """What came out for a picture.

    Attributes:
        stored: the picture.
        url: the URL that decided, or stands for one that is not known.
        verdict: the verdict on it.
        sha256: of the bytes, in hexadecimal; None: they are not read.
    """

    stored: Stored
    url: str
    verdict: Verdict
    sha256: str | None


class Judge:
    """Judges stored pictures. One a process."""

    def __init__(self, configuration: Configuration, *, now: float) -> None:
        """Open registries, which the parent has verified.

        Args:
            configuration: what was checked.
            now: Unix time in seconds, by which entries expire.

        Raises:
            ConfigurationError: one cannot be relied upon, or a remote one's key is missing.
        """
        self._gate = configuration.gate(now=now)
        self._now = now
        self._crashes = Crashes()
        self._remotes = {
            config.name: RemoteRegistry(
                config, cache=configuration.cache, user_agent=configuration.user_agent, now=time.time
            )
            for config in self._gate.policy.remotes
        }

    def close(self) -> None:
        """Close what was opened."""
        for registry in self._gate.registries:
            registry.close()
        for remote in self._remotes.values():
            remote.close()

    def of(self, batch: Sequence[Stored]) -> Iterator[Judged]:
        """Judge pictures, all of whose URLs are looked up at once.

        Raises:
            RegistryError: a registry turned out to be damaged, or has expired.
        """
        urls = [url for stored in batch for url in stored.urls or (None,)]
        registered = iter(self._gate.registered_batch(urls, self._now))
        pictures = [
            (stored, None if stored.data is None else Body(stored.data), self._hops(stored, registered))
            for stored in batch
        ]
        unsettled = []
        for stored, body, hops in pictures:
            for hop in hops:
                self._add_noted(hop, stored, body)
                hop.answer = self._ask(hop, body)
                if isinstance(hop.answer, Needs):
                    unsettled.append((hop, body))
        self._ask_remotes([hop for hop, _ in unsettled])
        for hop, body in unsettled:
            hop.answer = self._ask(hop, body)
        for stored, body, hops in pictures:
            hop, verdict = _worst(stored, hops)
            sha256 = None if body is None or verdict.action is Action.STORE else body.sha256.hex()
            yield Judged(stored, hop.url, verdict, sha256)

    def _hops(self, stored: Stored, registered: Iterator[tuple[Registered, ...]]) -> list[_Hop]:
        """The URLs that a picture is judged by; one that is none is looked up, but not judged as such."""
        return [
            _Hop(url if url is not None and split_url(url) else _unknown(stored), next(registered))
            for url in stored.urls or (None,)
        ]

    def _add_noted(self, hop: _Hop, stored: Stored, body: Body | None) -> None:
        """Look up the digests that were noted of the original, unless it is what is stored."""
        if stored.sha256 is stored.md5 is None:
            return
        found = []
        for registry, known in zip(self._gate.registries, hop.registered, strict=True):
            more: list[Match] = []
            if registry.has_digests:
                sha256 = None if body is not None and body.sha256 == stored.sha256 else stored.sha256
                md5 = None if body is not None and body.md5 == stored.md5 else stored.md5
                more = registry.lookup_digests(sha256, md5)
            found.append(known._replace(matches=(*known.matches, *more)) if more else known)
        hop.registered = tuple(found)

    def _ask(self, hop: _Hop, body: Body | None) -> Verdict | Needs:
        """Judge; signatures need not be checked: they lift only what was inferred from origin files."""
        try:
            return self._gate.judge(
                hop.url,
                origin_files=_NO_FILES,
                body=body,
                remote=hop.remote,
                registered=hop.registered,
                stage=_LAST,
                now=self._now,
            )
        except RegistryError:
            raise
        except Exception as error:  # noqa: BLE001 - a doubt, whatever it was
            return self._crashes.doubt(hop.url, Stage.BODY, error)

    def _ask_remotes(self, hops: Sequence[_Hop]) -> None:
        """Ask of all URLs that are known."""
        known = [hop for hop in hops if not hop.url.startswith(UNKNOWN)]
        for name, remote in self._remotes.items():
            answers = remote.ask(dict.fromkeys(hop.url for hop in known)) if known else {}
            for hop in hops:
                answer = answers.get(hop.url)
                hop.remote[name] = (
                    _not_asked(name, hop.url) if answer is None else statement(answer, hop.url, remote.config)
                )


def _not_asked(name: str, url: str) -> Statement:
    evidence = Evidence(url, name, "")
    return Statement(Reason.REGISTRY_REMOTE, Preference.UNKNOWN, "not asked: no URL is known", evidence)


@dataclass(slots=True)
class _Hop:
    """A URL of a picture, or what stands for it."""

    url: str
    registered: tuple[Registered, ...]
    remote: dict[str, Statement] = field(default_factory=dict)
    answer: Verdict | Needs | None = None


def _unknown(stored: Stored) -> str:
    return UNKNOWN + quote(stored.place)


def _worst(stored: Stored, hops: Sequence[_Hop]) -> tuple[_Hop, Verdict]:
    """The verdict that counts, and the URL that it is on; a denial holds before anything was asked."""
    verdicts = [(hop, hop.answer) for hop in hops if isinstance(hop.answer, Verdict)]
    hop, verdict = min(verdicts, key=lambda each: _ORDER.index(each[1].action))
    if verdict.action is Action.SKIP:
        return hop, replace(verdict, complete=Stage.URL)
    if stored.fault is not None:
        return hop, doubt(hop.url, Stage.BODY, f"the stored picture is {stored.fault}", stored.place)
    return hop, verdict


_ORDER: Final = (Action.SKIP, Action.DEFER, Action.STORE)
_NO_FILES: Final = _NoFiles()
