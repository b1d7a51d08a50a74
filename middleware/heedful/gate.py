"""The gate: what is known of a URL goes in, one verdict comes out.

Pure: it opens no socket and no file and asks for no time. Which origin files it lacks it says as a value
(`Needs`). The order of its stages and the fold to one verdict are those of the project's signal reference:
inside a protocol its own precedence, across protocols the most restrictive; an explicit allow lifts only what
was inferred; skip beats defer beats store.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from heedful.errors import ConfigurationError
from heedful.model import (
    NOTHING,
    REASON_ORDER,
    Action,
    Evidence,
    Needs,
    OriginFile,
    ParseWarning,
    Preference,
    Reading,
    Reason,
    Source,
    Stage,
    Statement,
    Strength,
    Verdict,
    sorted_reasons,
)
from heedful.policy import Effect, Policy
from heedful.signals import content_usage, robots, tdmrep, x_robots_tag
from heedful.signals._paths import split_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from heedful.model import Headers, Response

TOKEN_RULE: Final = "letters, digits, '-' and '_' only, such as PictureBot"


class _Url(NamedTuple):
    """The URL that is judged, taken apart once."""

    url: str
    origin: str
    target: str


class Gate:
    """Judges URLs under one product token and one policy. Safe to share between threads."""

    def __init__(self, token: str, policy: Policy | str | Path = "standard") -> None:
        """Make a gate.

        Args:
            token: the product token that robots.txt files know us by (RFC 9309, section 2.2.1).
            policy: a policy, a shipped profile's name, or a TOML file.

        Raises:
            ConfigurationError: the token or the policy is not valid.
        """
        if not robots.valid_token(token):
            raise ConfigurationError(f"{token!r} is no product token: {TOKEN_RULE}.")
        self.token = token
        self.policy = policy if isinstance(policy, Policy) else Policy.load(policy)
        self._effects = self.policy.effects()
        self._header_readers: dict[str, Callable[[Headers, Source], Reading]] = {
            "x-robots-tag": partial(_x_robots_tag, token),
            tdmrep.HEADER: tdmrep.read_headers,
            "content-usage": content_usage.read_headers,
        }

    def origin_files(self, url: str) -> tuple[str, ...]:
        """The origin files that must be read before `url` may be fetched; none if it cannot be judged."""
        parts = split_url(url)
        return () if parts is None else tuple(parts[0] + path for path in _ORIGIN_READERS)

    def judge(
        self,
        url: str,
        *,
        origin_files: Mapping[str, OriginFile],
        response: Response | None = None,
        stage: Stage = Stage.BODY,
    ) -> Verdict | Needs:
        """Judge one URL, that is one hop: a redirect's target is a URL of its own.

        Args:
            url: the absolute URL of the picture.
            origin_files: the files of the URL's own origin, by URL; more may be given.
            response: the head of the response to `url`, once it is there. Its status changes nothing.
            stage: the last stage whose input is complete. What a later stage could still overrule does not
                decide yet; with the default, all that there will ever be was given.

        Returns:
            A verdict, or the origin files that are needed to reach one.
        """
        parts = split_url(url)
        if parts is None:
            return _unjudgeable(url)
        at = _Url(url, *parts)
        fold = _Fold(self._effects, self.policy)
        missing = []
        for path, reader in _ORIGIN_READERS.items():
            file = origin_files.get(at.origin + path)
            if file is None:
                missing.append(at.origin + path)
                continue
            if _readable(file):
                fold.snapshots.append((file.url, file.sha256))
            fold.add(Stage.ORIGIN, reader(self, at, file), path)
        if response is not None:
            source = Source(url, fetched=response.fetched)
            for name in dict.fromkeys(key.lower() for key, _ in response.headers):
                if read := self._header_readers.get(name):
                    fold.add(Stage.HEADERS, read(response.headers, source), name)
        if missing and not fold.denies:
            return Needs(tuple(missing))
        return fold.verdict(url, stage)


def _unjudgeable(url: str) -> Verdict:
    """Not a URL, or none of http(s): no signal can be asked for, so nothing may be stored."""
    statement = Statement(
        Reason.UNDETERMINED,
        Preference.UNDETERMINED,
        "not a valid http(s) URL",
        Evidence(url, "URL", url),
    )
    return Verdict(url, Action.DEFER, (Reason.UNDETERMINED,), Stage.URL, (statement,))


def _x_robots_tag(token: str, headers: Headers, source: Source) -> Reading:
    return x_robots_tag.read(headers, token, source)


# -- origin files ----------------------------------------------------------------------------------------


def _unreachable(file: OriginFile) -> bool:
    """5xx, 429, or no answer at all (RFC 9309, section 2.3.1.4); every other failure means: no such file."""
    return file.status >= 500 or file.status in {0, 429}


def _readable(file: OriginFile) -> bool:
    return 200 <= file.status < 300


def _undetermined(file: OriginFile, reason: Reason, switch: str | None) -> Reading:
    words = f"status {file.status}" if file.status else "no answer"
    name = file.url.rsplit("/", 1)[-1]
    return Reading(
        (
            Statement(
                reason,
                Preference.UNDETERMINED,
                f"{name}: {words}",
                file.source.at("response", words),
                switch=switch,
            ),
        )
    )


def _read_robots(gate: Gate, at: _Url, file: OriginFile) -> Reading:
    if _unreachable(file):
        return _undetermined(file, Reason.ROBOTS_UNREACHABLE, None)
    if not _readable(file):
        return NOTHING
    parsed = file.parsed(partial(robots.parse, file.body, truncated=file.truncated))
    access = robots.access(parsed, gate.token, at.target, file.source)
    if access.statements:  # paths that may not be crawled carry no preference
        return access
    group = parsed.group(gate.token)
    if not group.usage:
        return access
    usage = content_usage.read_robots(group.usage, at.target, file.source)
    return Reading(usage.statements, access.warnings + usage.warnings)


def _read_tdmrep(_: Gate, at: _Url, file: OriginFile) -> Reading:
    if _unreachable(file):
        return _undetermined(file, Reason.UNDETERMINED, "unreadable")
    if not _readable(file):
        return NOTHING
    return file.parsed(partial(tdmrep.parse_file, file.body)).read(at.target, file.source)


_ORIGIN_READERS: Final[dict[str, Callable[[Gate, _Url, OriginFile], Reading]]] = {
    "/robots.txt": _read_robots,
    tdmrep.PATH: _read_tdmrep,
}


# -- the fold --------------------------------------------------------------------------------------------

_RANK: Final = {stage: rank for rank, stage in enumerate(Stage)}


class _Heard(NamedTuple):
    stage: Stage
    protocol: str
    statement: Statement


class _Fold:
    """Gathers statements, then combines them; their order does not matter."""

    def __init__(self, effects: Mapping[str | None, Effect], policy: Policy) -> None:
        self._effects = effects
        self._policy = policy
        self.denies: list[_Heard] = []
        self.allows: list[_Heard] = []
        self.undetermined: list[_Heard] = []
        self.recorded: list[_Heard] = []
        self.warnings: list[ParseWarning] = []
        self.snapshots: list[tuple[str, str]] = []

    def add(self, stage: Stage, reading: Reading, protocol: str) -> None:
        self.warnings += reading.warnings
        for statement in reading.statements:
            effect = self._effects[statement.switch]
            preference = statement.for_purpose(self._policy.purpose)
            if effect is Effect.DROP or preference is Preference.UNKNOWN:
                continue
            heard = _Heard(stage, protocol, statement)
            if effect is Effect.RECORD:
                self.recorded.append(heard)
            elif preference is Preference.DISALLOW:
                self.denies.append(heard)
            elif preference is Preference.ALLOW:
                self.allows.append(heard)
            else:
                self.undetermined.append(heard)

    def verdict(self, url: str, stage: Stage) -> Verdict:
        superseded = self._superseded(stage)
        denies, allows, undetermined = (
            [heard for heard in group if heard not in superseded]
            for group in (self.denies, self.allows, self.undetermined)
        )
        # An explicit allow lifts what was inferred from words to others, and nothing else.
        explicit = any(heard.statement.strength is Strength.EXPLICIT for heard in allows)
        lifted = [heard for heard in denies if explicit and heard.statement.strength is Strength.INFERRED]
        denies = [heard for heard in denies if heard not in lifted]
        reasons = sorted_reasons(heard.statement.signal for heard in denies)
        causes = sorted_reasons(heard.statement.signal for heard in undetermined)

        lost = lifted + superseded
        if denies or undetermined:
            action = Action.SKIP if denies else Action.DEFER
            decisive, lost = denies + undetermined, allows + lost
        elif self._policy.regime == "opt-in" and not explicit and stage is Stage.BODY:
            action, reasons, decisive = Action.SKIP, (Reason.NO_OPT_IN,), []
        else:
            action, decisive = Action.STORE, allows
        stages = [
            # The word of a tdmrep.json stands once the header that could supersede it is known.
            Stage.HEADERS if heard.protocol == tdmrep.PATH and heard in denies else heard.stage
            for heard in denies or undetermined
        ]
        return Verdict(
            url=url,
            action=action,
            reasons=reasons + causes,
            stage=min(stages, key=_RANK.__getitem__, default=stage),
            evidence=_statements(decisive) + _statements(self.recorded),
            overridden=_statements(lost),
            warnings=tuple(self.warnings),
            snapshots=tuple(self.snapshots),
        )

    def _superseded(self, stage: Stage) -> list[_Heard]:
        """TDMRep's own precedence: the response header supersedes the file, both ways.

        Until the header can have been seen, the file's word is therefore provisional; what could not be
        read is not: there is no contact in doubt.
        """
        by_file, by_header = (
            [heard for heard in self.denies + self.allows + self.undetermined if heard.protocol == protocol]
            for protocol in (tdmrep.PATH, tdmrep.HEADER)
        )
        if by_header:
            return by_file
        if _RANK[stage] < _RANK[Stage.HEADERS]:
            return [heard for heard in by_file if heard not in self.undetermined]
        return []


def _statements(heard: Iterable[_Heard]) -> tuple[Statement, ...]:
    """The statements, in the order of their reasons."""
    return tuple(sorted((each.statement for each in heard), key=lambda each: REASON_ORDER[each.signal]))
