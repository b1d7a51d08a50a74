"""What the files of one origin say: read once, then asked for each of its pictures.

Most files say the same of all pictures, or nothing at all; only the rest is asked for a picture's path.
"""

from __future__ import annotations

import math
from operator import is_
from typing import TYPE_CHECKING, Final

from heedful.model import (
    OriginFile,
    ParseWarning,
    Preference,
    Reading,
    Reason,
    Stage,
    Statement,
    isotime,
)
from heedful.origins.freshness import lifetime, stale
from heedful.signals import (
    ai_tokens,
    ai_txt,
    content_signal,
    content_usage,
    legacy,
    policy_tokens,
    robots,
    rsl,
    tdmrep,
    trust_txt,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from heedful.fold import Fold
    from heedful.model import Headers, Source

    _Read = Callable[[str, str], Iterable[tuple[Stage, Reading]]]
    """Path and query, and the picture's media type, as far as it is known, to what is said at which stage."""

ROBOTS: Final = "/robots.txt"

FIRST: Final = (ROBOTS, tdmrep.PATH, *ai_txt.PATHS, trust_txt.PATHS[0])
"""The files that every origin is asked for, side by side."""

GRACE: Final = 60.0
"""Seconds by which a file may be overdue without a word: so long a picture may take that began in time."""

ALL: Final = (*FIRST, trust_txt.PATHS[1])
"""These, and the one that is asked where its first location is empty."""

_SECOND: Final = len(FIRST)

_SIGNALS: Final = {
    ROBOTS: Reason.ROBOTS_DISALLOW,
    tdmrep.PATH: Reason.TDMREP,
    **dict.fromkeys(ai_txt.PATHS, Reason.AI_TXT),
    **dict.fromkeys(trust_txt.PATHS, Reason.TRUST_TXT),
}
"""What warnings about a file are told under."""


class Origin:
    """The files of an origin, made ready.

    Attributes:
        missing: the URLs of those that are not there yet.
        announced: the RSL documents that robots.txt points to.
        size: bytes of all bodies.
    """

    __slots__ = (
        "_files",
        "_fresh_until",
        "_readers",
        "_snapshots",
        "_typed",
        "_urls",
        "announced",
        "missing",
        "size",
    )

    def __init__(
        self, origin: str, files: Mapping[str, OriginFile], token: str, policy_tokens_: Sequence[str]
    ) -> None:
        """Read the files.

        Args:
            origin: scheme, host and port.
            files: the files by URL; more may be given.
            token: our product token.
            policy_tokens_: the tokens that stand for training.
        """
        self._urls = tuple([origin + path for path in ALL])
        self._files = tuple(map(files.get, self._urls))
        self.missing: list[str] = []
        self.announced: tuple[rsl.Announcement, ...] = ()
        self._snapshots: list[tuple[str, str]] = []
        self._readers: list[tuple[str, _Read]] = []
        self._typed = False
        for path, url, file in zip(FIRST, self._urls, self._files, strict=False):
            if file is None:
                self.missing.append(url)
            elif not file.absent:
                self._add(path, file, token, policy_tokens_)
        first, second = self._files[_SECOND - 1 :]
        if first is not None and _absent_trust(first):
            # The second location is asked only when the first is absent, and all else has not decided.
            if second is None:
                self.missing += () if self.missing else (self._urls[_SECOND],)
            elif not second.absent:
                self._add(trust_txt.PATHS[1], second, token, policy_tokens_)
        self._fresh_until = min(
            (
                file.fetched + lifetime(file)
                for file in self._files
                if file is not None and file.readable and file.fetched is not None
            ),
            default=math.inf,
        )
        self.size = sum(len(file.body) for file in self._files if file is not None)

    def is_of(self, files: Mapping[str, OriginFile]) -> bool:
        """Whether it was made of these very files."""
        return all(map(is_, map(files.get, self._urls), self._files))

    def hear(self, target: str, headers: Headers | None, fold: Fold, now: float | None) -> None:
        """Hear what the files say.

        Args:
            target: path and query in canonical form.
            headers: those of the picture's response, once it is there.
            fold: hears it.
            now: Unix time in seconds; None: not known.
        """
        if now is not None and now >= self._fresh_until + GRACE:
            fold.add(Stage.ORIGIN, Reading((), tuple(self._stale(now))), "stale")
        fold.snapshots += self._snapshots
        # A URL without an extension is checked again with those of the picture's type.
        media_type = _media_type(headers) if self._typed and headers is not None else ""
        for path, read in self._readers:
            for stage, reading in read(target, media_type):
                fold.add(stage, reading, path)

    def _stale(self, now: float) -> Iterator[ParseWarning]:
        """That older copies stand in for files that could not be read anew."""
        for path, file in zip(ALL, self._files, strict=True):
            if file is not None and file.readable and stale(file, now):
                assert file.fetched is not None  # noqa: S101 - else its age were not known
                at = file.source.at("response", f"fetched {isotime(file.fetched)}")
                words = "an older copy stood in, as the file could not be read anew"
                yield ParseWarning(_SIGNALS[path], words, at)

    def _add(self, path: str, file: OriginFile, token: str, policy_tokens_: Sequence[str]) -> None:
        """Take in a file that is there, or cannot be read."""
        if not file.readable:
            known = path == ROBOTS
            reason = Reason.ROBOTS_UNREACHABLE if known else Reason.UNDETERMINED
            self._add_constant(path, undetermined(file, reason, None if known else "unreadable"))
            return
        self._snapshots.append((file.url, file.sha256))
        source = file.source
        if path == ROBOTS:
            parsed = file.parsed(as_robots)
            self.announced = rsl.announced(parsed, token, file.url)
            self._add_robots(parsed, token, policy_tokens_, source)
        elif path == tdmrep.PATH:
            entries = file.parsed(as_tdmrep)
            self._add_by_path(path, lambda target: entries.read(target, source))
        elif path in ai_txt.PATHS:
            self._typed = True
            self._readers.append((path, _ai_txt_reader(file.parsed(as_ai_txt), token, source)))
        else:
            self._add_constant(path, file.parsed(as_trust_txt).read(source))

    def _add_robots(
        self, parsed: robots.Robots, token: str, policy_tokens_: Sequence[str], source: Source
    ) -> None:
        group = parsed.group(token)
        if group.usage:
            self._readers.append((ROBOTS, _usage_reader(parsed, token, source)))
        elif group.rules:
            open_ = Reading((), parsed.warnings_in(source))
            refusal, access = group.refusal, robots.access
            self._add_by_path(
                ROBOTS,
                lambda target: access(parsed, token, target, source) if refusal(target) else open_,
            )
        else:
            self._add_constant(ROBOTS, Reading((), parsed.warnings_in(source)))
        if legacy.lines(parsed, token):
            self._add_by_path(ROBOTS, lambda target: legacy.read(parsed, token, target, source))
        self._add_constant(
            ROBOTS,
            parsed.once("signal " + token, lambda: content_signal.read_robots(parsed, token, source)),
        )
        if ai_tokens.named(parsed, token):
            self._add_by_path(ROBOTS, lambda target: ai_tokens.read(parsed, token, target, source))
        if any(parsed.explicit(each) for each in policy_tokens_):
            self._add_by_path(
                ROBOTS, lambda target: policy_tokens.read(parsed, policy_tokens_, target, source)
            )

    def _add_by_path(self, path: str, read: Callable[[str], Reading]) -> None:
        self._readers.append((path, lambda target, _: ((Stage.ORIGIN, read(target)),)))

    def _add_constant(self, path: str, reading: Reading) -> None:
        if reading.statements or reading.warnings:
            said = ((Stage.ORIGIN, reading),)
            self._readers.append((path, lambda *_: said))


def _usage_reader(parsed: robots.Robots, token: str, source: Source) -> _Read:
    usage = parsed.group(token).usage
    rules = parsed.once("usage " + token, lambda: content_usage.compile_rules(usage))

    def read(target: str, _: str) -> Iterable[tuple[Stage, Reading]]:
        access = robots.access(parsed, token, target, source)
        yield Stage.ORIGIN, access
        if not access.statements:  # paths that may not be crawled carry no preference
            yield Stage.ORIGIN, content_usage.read_rules(rules, target, source)

    return read


def _ai_txt_reader(text: ai_txt.AiTxt, token: str, source: Source) -> _Read:
    def read(target: str, media_type: str) -> Iterable[tuple[Stage, Reading]]:
        yield Stage.ORIGIN, text.read(token, target, source)
        if media_type:
            yield Stage.HEADERS, text.read(token, target, source, media_type)

    return read


# -- what `OriginFile.parsed` is asked for ---------------------------------------------------------------


def as_robots(file: OriginFile) -> robots.Robots:
    """A file read as robots.txt."""
    return robots.parse(file.body, truncated=file.truncated)


def as_tdmrep(file: OriginFile) -> tdmrep.TdmRep:
    """A file read as tdmrep.json."""
    return tdmrep.parse_file(file.body)


def as_ai_txt(file: OriginFile) -> ai_txt.AiTxt:
    """A file read as ai.txt or ai.json."""
    return ai_txt.parse(file.body, _content_type(file.headers), truncated=file.truncated)


def as_trust_txt(file: OriginFile) -> trust_txt.TrustTxt:
    """A file read as trust.txt."""
    return trust_txt.parse(file.body, truncated=file.truncated)


def as_rsl(file: OriginFile) -> rsl.Document:
    """A file read as an RSL document."""
    return rsl.parse(file.body)


def _absent_trust(file: OriginFile) -> bool:
    return file.absent or (file.readable and file.parsed(as_trust_txt).absent)


def undetermined(file: OriginFile, reason: Reason, switch: str | None) -> Reading:
    """What is said by a file that could not be read."""
    words = f"status {file.status}" if file.status else "no answer"
    name = file.url.rsplit("/", 1)[-1]
    statement = Statement(
        reason,
        Preference.UNDETERMINED,
        f"{name}: {words}",
        file.source.at("response", words),
        switch=switch,
    )
    return Reading((statement,))


def _content_type(headers: Headers) -> str:
    return next((value for name, value in headers if name.lower() == "content-type"), "")


def _media_type(headers: Headers) -> str:
    return _content_type(headers).partition(";")[0].strip().lower()
