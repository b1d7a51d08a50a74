"""What a site's origin files say, as one row of a survey. The parsers and the gate have the rules.

Nothing is asked for here: files come in, a row goes out.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from heedful._origin import ALL, ROBOTS, as_ai_txt, as_robots, as_tdmrep, as_trust_txt
from heedful.model import Needs, OriginFile, Preference, Reason, Source, Verdict
from heedful.origins.freshness import stale
from heedful.policy import Effect
from heedful.signals import ai_tokens, ai_txt, content_usage, legacy, robots, rsl, tdmrep, trust_txt
from heedful.signals.ai_tokens import token_map

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from heedful.gate import Gate
    from heedful.model import Heard, Statement

ROOT: Final = "/"
"""The path that stands for a site as a whole."""

PICTURE: Final = "/picture.jpg"
"""The path that stands for its pictures: judged, never asked for."""

STATEMENTS_MAX: Final = 100
"""Most statements that a row holds."""

WARNINGS_MAX: Final = 20
"""Most warnings that a row holds."""

VALUES_MAX: Final = 20
"""Most lines of one kind that a row holds."""

VALUE_MAX: Final = 200
"""Longest of these, in characters."""


class Reach(str, Enum):
    """Whether a site answered."""

    __str__ = str.__str__

    ANSWERED = "answered"
    SERVER_FAULT = "server-fault"
    NO_ANSWER = "no-answer"
    NO_ADDRESS = "no-address"
    REFUSED = "refused"


REACHES: Final = {
    Reach.ANSWERED: "its robots.txt was there, or there is none",
    Reach.SERVER_FAULT: "it answered with 5xx or 429, and was left alone",
    Reach.NO_ANSWER: "no connection, no TLS, or no answer in time",
    Reach.NO_ADDRESS: "its name has no address",
    Reach.REFUSED: "its address is not public: it was not asked",
}


class Standing(str, Enum):
    """What a site says by one protocol, as the policy counts it."""

    __str__ = str.__str__

    DECLINED = "declined"
    PARTLY = "partly"
    ALLOWED = "allowed"
    HINTED = "hinted"
    UNREADABLE = "unreadable"
    SILENT = "silent"
    ABSENT = "absent"


STANDINGS: Final = {
    Standing.DECLINED: "it declines for the whole site",
    Standing.PARTLY: "it declines for some paths",
    Standing.ALLOWED: "it agrees, and declines nowhere",
    Standing.HINTED: "it declines in words that the policy does not count",
    Standing.UNREADABLE: "it could not be read",
    Standing.SILENT: "it is there, and says nothing of training",
    Standing.ABSENT: "it is not there",
}
"""The first that holds, in this order."""

SIGNALS: Final = {
    "robots": Reason.ROBOTS_DISALLOW,
    "ai_tokens": Reason.ROBOTS_AI_TOKEN,
    "policy_tokens": Reason.ROBOTS_POLICY_TOKEN,
    "legacy": Reason.ROBOTS_LEGACY,
    "content_usage": Reason.CONTENT_USAGE,
    "content_signal": Reason.CONTENT_SIGNAL,
    "tdmrep": Reason.TDMREP,
    "ai_txt": Reason.AI_TXT,
    "trust_txt": Reason.TRUST_TXT,
    "rsl": Reason.RSL,
}
"""The columns that hold a standing, and the reason that each stands for."""


class Access(str, Enum):
    """What a robots.txt closes to a crawler."""

    __str__ = str.__str__

    CLOSED = "closed"
    PARTLY = "partly"
    OPEN = "open"


def access_of(group: robots.Group) -> Access:
    """What the rules of a group close: both the root and pictures, some paths, or nothing."""
    refused = [group.refusal(path) is not None for path in (ROOT, PICTURE)]
    if all(refused):
        return Access.CLOSED
    allowed = {rule.pattern for rule in group.rules if rule.allow}  # of equal patterns the Allow wins
    closing = (rule.pattern for rule in group.rules if not rule.allow and rule.pattern not in allowed)
    some = any(refused) or any(pattern.startswith(("/", "*")) for pattern in closing)
    return Access.PARTLY if some else Access.OPEN


class Asked(NamedTuple):
    """A site that was asked.

    Attributes:
        site: its name, as in `heedful.survey._sites.Site`.
        reach: whether it answered.
        origin: the origin that answered; of none, the first that was tried.
        files: what was fetched, by URL.
        at: Unix time in seconds.
    """

    site: str
    reach: Reach
    origin: str
    files: Mapping[str, OriginFile]
    at: float


def reach_of(file: OriginFile) -> Reach:
    """Whether a site answered, by its robots.txt."""
    if not file.status:
        return Reach.NO_ANSWER
    return Reach.SERVER_FAULT if file.unreachable else Reach.ANSWERED


def row_of(asked: Asked, gate: Gate) -> dict[str, Any]:
    """The row of a site: what each protocol says, and what the gate makes of it.

    Args:
        asked: the site with its files. Those that are missing count as without an answer.
        gate: under whose token and policy it is judged. Its policy has no remote registries.
    """
    files = dict(asked.files)
    for path in ALL:
        url = asked.origin + path
        files.setdefault(url, OriginFile(url, 0, fetched=asked.at))
    root, picture = (_judged(gate, asked.origin + path, files, asked.at) for path in (ROOT, PICTURE))
    reader = _Reader(gate, asked.origin, files, root, picture)
    statements = [each for each in reader.statements() if each["source_url"] in asked.files]
    row = {
        "site": asked.site,
        "host": asked.origin.partition("://")[2],
        "origin": asked.origin,
        "asked": asked.at,
        "reach": asked.reach.value,
        "action": root.action.value,
        "reasons": [reason.value for reason in root.reasons],
        "picture_action": picture.action.value,
        "picture_reasons": [reason.value for reason in picture.reasons],
        **{name: reader.standing(signal).value for name, signal in SIGNALS.items()},
        **reader.robots_columns(),
        "rsl_urls": list(reader.licences),
        "statements": statements[:STATEMENTS_MAX],
        "warnings": [
            {
                "signal": each.signal.value,
                "message": each.message,
                "source_url": each.evidence.source_url,
                "where": each.evidence.where,
                "raw": each.evidence.raw,
            }
            for each in dict.fromkeys((*root.warnings, *picture.warnings))
        ][:WARNINGS_MAX],
        "files": [_file(file, asked.at) for file in asked.files.values()],
    }
    return {name: _storable(value) for name, value in row.items()}


def _storable(value: Any) -> Any:
    """The same, its texts without lone surrogates, which UTF-8 cannot hold."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {key: _storable(each) for key, each in value.items()}
    return [_storable(each) for each in value] if isinstance(value, list) else value


def _judged(gate: Gate, url: str, files: dict[str, OriginFile], now: float) -> Verdict:
    # The last stage: of a picture there, nothing else is said. At the stage of origin files the word of a
    # tdmrep.json would be provisional, as a response header could supersede it.
    answer = gate.judge(url, origin_files=files, now=now)
    while isinstance(answer, Needs):
        files |= {each: OriginFile(each, 0, fetched=now) for each in answer.urls}
        answer = gate.judge(url, origin_files=files, now=now)
    return answer


def _file(file: OriginFile, now: float) -> dict[str, Any]:
    return {
        "url": file.url,
        "status": file.status,
        "bytes": len(file.body),
        "truncated": file.truncated,
        "sha256": file.sha256 if file.readable else None,
        "fetched": file.fetched,
        "stale": file.readable and stale(file, now),
    }


class _Reader:
    """Reads the files of one origin for what the verdicts do not say."""

    def __init__(
        self, gate: Gate, origin: str, files: Mapping[str, OriginFile], root: Verdict, picture: Verdict
    ) -> None:
        self._gate = gate
        self._origin = origin
        self._files = files
        self._effects = gate.policy.effects()
        self._heard = {ROOT: root.heard, PICTURE: picture.heard}
        self._robots_file = files[origin + ROBOTS]
        self._robots = robots.Robots({}, (), (), ())
        if self._robots_file.readable:
            self._robots = self._robots_file.parsed(as_robots)
        self._group = self._robots.group(gate.token)
        announced = rsl.announced(self._robots, gate.token, self._robots_file.url)
        self.licences = tuple(each.url for each in announced)

    # -- one protocol ------------------------------------------------------------------------------------

    def standing(self, signal: Reason) -> Standing:
        """What is said by one protocol."""
        denied = [
            any(self._denies(each.statement) for each in heard if each.statement.signal is signal)
            for heard in self._heard.values()
        ]
        said = [each.statement for heard in self._heard.values() for each in heard]
        said = [each for each in said if each.signal is signal and each.switch != rsl.UNUSABLE]
        if all(denied):
            return Standing.DECLINED
        if any(denied) or self._elsewhere(signal):
            return Standing.PARTLY
        if any(each.preference is Preference.ALLOW for each in said):
            return Standing.ALLOWED
        if any(each.preference is Preference.DISALLOW for each in said):
            return Standing.HINTED
        if self._unreadable(signal):
            return Standing.UNREADABLE
        return Standing.SILENT if self._present(signal) else Standing.ABSENT

    def _denies(self, statement: Statement) -> bool:
        """Whether a statement denies, and the policy counts it."""
        return (
            statement.for_purpose(self._gate.policy.purpose) is Preference.DISALLOW
            and self._effects[statement.switch] is Effect.COUNT
            and statement.switch != rsl.UNUSABLE
        )

    def _of(self, paths: Iterable[str]) -> Iterator[OriginFile]:
        return (self._files[self._origin + path] for path in paths)

    def _documents(self) -> Iterator[OriginFile]:
        return (self._files[url] for url in self.licences if url in self._files)

    def _unreadable(self, signal: Reason) -> bool:
        if signal is Reason.TDMREP:
            files = self._of((tdmrep.PATH,))
        elif signal is Reason.AI_TXT:
            files = self._of(ai_txt.PATHS)
        elif signal is Reason.TRUST_TXT:
            first, second = self._of(trust_txt.PATHS)
            files = iter(
                (second if first.absent or (first.readable and first.parsed(as_trust_txt).absent) else first,)
            )
        elif signal is Reason.RSL and self.licences:
            return any(not file.readable or _document(file).broken for file in self._documents())
        else:
            files = iter((self._robots_file,))
        return any(file.unreachable for file in files)

    def _present(self, signal: Reason) -> bool:
        """Whether a site uses a protocol at all."""
        if signal is Reason.ROBOTS_DISALLOW:
            return self._robots_file.readable
        if signal is Reason.ROBOTS_AI_TOKEN:
            return bool(ai_tokens.named(self._robots, self._gate.token))
        if signal is Reason.ROBOTS_POLICY_TOKEN:
            return any(self._robots.explicit(token) for token in self._gate.policy.policy_tokens)
        if signal is Reason.ROBOTS_LEGACY:
            return bool(legacy.lines(self._robots, self._gate.token))
        if signal is Reason.CONTENT_USAGE:
            return bool(self._group.usage)
        if signal is Reason.CONTENT_SIGNAL:
            return bool(self._signal_lines())
        if signal is Reason.TDMREP:
            return any(
                file.readable and file.parsed(as_tdmrep) != tdmrep.TdmRep()
                for file in self._of((tdmrep.PATH,))
            )
        if signal is Reason.AI_TXT:
            return any(file.readable and not file.parsed(as_ai_txt).absent for file in self._of(ai_txt.PATHS))
        if signal is Reason.TRUST_TXT:
            return any(
                file.readable and not file.parsed(as_trust_txt).absent for file in self._of(trust_txt.PATHS)
            )
        return bool(self.licences)

    def _elsewhere(self, signal: Reason) -> bool:
        """Whether a protocol that speaks of paths declines for others than the two that were judged."""
        if signal is Reason.ROBOTS_DISALLOW:
            return access_of(self._group) is not Access.OPEN
        if signal is Reason.ROBOTS_AI_TOKEN:
            return self._ai_tokens_closed_in_part()
        if signal is Reason.ROBOTS_POLICY_TOKEN:
            groups = map(self._robots.explicit, self._gate.policy.policy_tokens)
            return any(group is not None and access_of(group) is not Access.OPEN for group in groups)
        if signal is Reason.ROBOTS_LEGACY:
            counts = self._effects[legacy.SWITCH] is Effect.COUNT
            lines = legacy.lines(self._robots, self._gate.token)
            return counts and any(line.key.startswith("disallow") for line in lines)
        if signal is Reason.CONTENT_USAGE:
            nowhere = Source("").at("", "")
            return any(
                self._denies(mention.statement(nowhere))
                for rule in content_usage.compile_rules(self._group.usage)
                for mention in rule.mentions
            )
        if signal is Reason.TDMREP:
            return any(
                self._effects[entry.switch] is Effect.COUNT
                for file in self._of((tdmrep.PATH,))
                if file.readable
                for entry in _reached(file.parsed(as_tdmrep).entries)
                if entry.preference is Preference.DISALLOW
            )
        if signal is Reason.AI_TXT:
            return any(self._ai_txt_declines(file) for file in self._of(ai_txt.PATHS) if file.readable)
        if signal is Reason.RSL:
            return any(
                content.origin in {None, self._origin} and _declines(content)
                for file in self._documents()
                if file.readable
                for content in _document(file).contents
            )
        return False

    def _ai_tokens_closed_in_part(self) -> bool:
        """Whether what is closed to training's crawlers on some path would count, were it one path."""
        names = ai_tokens.named(self._robots, self._gate.token)
        groups = {name: self._robots.explicit(name) for name in names}
        closed = [
            token_map().training[name]
            for name, group in groups.items()
            if group is not None and access_of(group) is not Access.OPEN
        ]
        clear = len(closed) > 1 or any(token.suffices for token in closed)
        switch = ai_tokens.SWITCH if clear else ai_tokens.SINGLE_SWITCH
        return bool(closed) and self._effects[switch] is Effect.COUNT

    def _ai_txt_declines(self, file: OriginFile) -> bool:
        if file.parsed(as_ai_txt).absent:
            return False
        sections = robots.parse(file.body, truncated=file.truncated)
        return access_of(sections.group(self._gate.token)) is not Access.OPEN

    # -- columns -----------------------------------------------------------------------------------------

    def robots_columns(self) -> dict[str, Any]:
        """What the robots.txt says to others, and the lines that speak of use."""
        known = token_map()
        named = sorted(self._robots.tokens & (known.training.keys() | known.others.keys()))
        usage = (*self._group.usage, *self._robots.group("*").usage)
        return {
            "agents": [
                {
                    "token": token.name,
                    "kind": token.kind.value,
                    "access": access_of(group).value,
                }
                for name in named
                if (group := self._robots.explicit(name)) is not None
                for token in (known.training.get(name) or known.others[name],)
            ],
            "everyone": access_of(self._robots.group("*")).value if self._robots_file.readable else None,
            "content_signals": _values(self._signal_lines()),
            "content_usages": _values(usage),
        }

    def _signal_lines(self) -> tuple[robots.Line, ...]:
        lines = (*self._robots.preamble, *self._group.records, *self._robots.group("*").records)
        return tuple(dict.fromkeys(line for line in lines if line.key == "content-signal"))

    def statements(self) -> Iterator[dict[str, Any]]:
        """What was heard, each with the paths that it was said of."""
        paths: dict[Heard, list[str]] = {}
        for path, heard in self._heard.items():
            for each in heard:
                paths.setdefault(each, []).append(path)
        for each, spoken_of in paths.items():
            told = each.as_dict()
            yield {
                **{name: told[name] for name in ("signal", "statement", "rule", "strength", "covers")},
                "counted": self._effects[each.statement.switch] is Effect.COUNT,
                "paths": spoken_of,
                **{name: told[name] for name in ("source_url", "where", "raw")},
            }


def _values(lines: Iterable[robots.Line]) -> list[str]:
    return list(dict.fromkeys(line.value[:VALUE_MAX] for line in lines))[:VALUES_MAX]


def _reached(entries: Iterable[tdmrep.Entry]) -> Iterator[tdmrep.Entry]:
    """The entries up to the first one that matches every path: the first match wins."""
    for entry in entries:
        yield entry
        if entry.pattern.literal and entry.pattern.head in {"", "/"}:
            return


def _declines(content: rsl.Content) -> bool:
    terms = (content.generative, content.nongenerative)
    return any(term is not None and term.preference is Preference.DISALLOW for term in terms)


def _document(file: OriginFile) -> rsl.Document:
    return rsl.parse(file.body)  # what is announced may be one of the other files
