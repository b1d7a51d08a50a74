"""What counts: a policy is a frozen value, read from a TOML file or a shipped profile.

Faults of a policy file are collected and reported together, each with its line.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from dataclasses import asdict, dataclass
from datetime import date, datetime
from difflib import get_close_matches
from enum import Enum
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from heedful.errors import ConfigurationError
from heedful.model import Purpose, lasts
from heedful.registry.remote import RemoteConfig, read_remote
from heedful.signals._paths import split_url
from heedful.signals.robots import valid_token

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

PROFILES: Final = ("standard", "strict", "letter", "opt-in")

EXTENDS_MAX: Final = 8
"""Longest chain of `extends`; a longer one is a mistake."""


class Effect(Enum):
    """What a switch's setting does with the statements that name it."""

    COUNT = "count"
    RECORD = "record"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Knob:
    """One thing that a policy decides: the values it may have, and what it is about."""

    values: tuple[str, ...]
    meaning: str


_DENY_LOG_OFF: Final = ("deny", "log", "off")

POLICY_TOKENS: Final = "policy_tokens"
"""The one setting that is a list: product tokens whose robots.txt groups speak of training itself."""

KNOBS: Final[dict[str, Knob]] = {
    "regime": Knob(
        ("opt-out", "opt-in"),
        "What happens where nobody said anything: opt-out stores, opt-in skips (reason no-opt-in).",
    ),
    "purpose": Knob(
        tuple(purpose.value for purpose in Purpose),
        "What the pictures are for; train-any heeds the denials of both kinds of training.",
    ),
}

SWITCHES: Final[dict[str, Knob]] = {
    "index_rules": Knob(
        _DENY_LOG_OFF,
        "noindex, none and noimageindex in X-Robots-Tag: meant for search engines, denied by default.",
    ),
    "cache_rules": Knob(_DENY_LOG_OFF, "noarchive and nocache in X-Robots-Tag: a soft wish."),
    "other_agents": Knob(
        ("two", "one", "off"),
        "robots.txt closes the path to AI trainers: two of them or a telling one (two), or any one.",
    ),
    "legacy_rules": Knob(_DENY_LOG_OFF, "DisallowAITraining lines in robots.txt, an expired draft."),
    "content_signal_value_aliases": Knob(
        _DENY_LOG_OFF, "Content-Signal values that mean no: disallow, deny, false, 0, n."
    ),
    "content_signal_star_group": Knob(
        _DENY_LOG_OFF, "The Content-Signal of the * group, where a group of our own replaces it."
    ),
    "content_signal_use": Knob(_DENY_LOG_OFF, "A Content-Signal `use` below full: storing is not granted."),
    "rsl_unusable": Knob(
        _DENY_LOG_OFF, "An RSL document that is announced, but is not there or cannot be understood."
    ),
    "tdmrep_aliases": Knob(
        _DENY_LOG_OFF, 'tdmrep.json values "1" and true, and a single object where a list belongs.'
    ),
    "content_usage_label_aliases": Knob(
        _DENY_LOG_OFF,
        "Content-Usage labels from outside the vocabulary: train-genai, genai, ai, bots, all, tdm, ai-train.",
    ),
    "content_usage_value_aliases": Knob(
        _DENY_LOG_OFF,
        'Content-Usage values no, "n", ?0, false; upper-case or otherwise broken lines, read piece by piece.',
    ),
    "content_usage_category_fallback": Knob(
        ("on", "off"),
        "A longer Content-Usage path that does not mention training leaves a shorter one's word in force.",
    ),
    "unreadable": Knob(
        ("unknown", "defer"),
        "An origin file (not robots.txt) or metadata in the picture that cannot be read; defer: not stored.",
    ),
}

OTHER_AGENTS: Final = "other_agents"
OTHER_AGENTS_SINGLE: Final = "other_agents_single"
"""What statements name that rest on one ordinary trainer's group: they count if `other_agents` is `one`."""

_EFFECTS: Final = {
    "two": Effect.COUNT,
    "one": Effect.COUNT,
    "deny": Effect.COUNT,
    "on": Effect.COUNT,
    "defer": Effect.COUNT,
    "log": Effect.RECORD,
    "unknown": Effect.RECORD,
    "off": Effect.DROP,
}


class Matches(Enum):
    """What an override is matched with."""

    URL = "url"
    HOST = "host"
    DOMAIN = "domain"


class Ruling(Enum):
    """What an override does."""

    DENY = "deny"
    LICENCE = "licence"


@dataclass(frozen=True, slots=True)
class Override:
    """An operator's own word, which is the only one that lifts a deny.

    Attributes:
        matches: what `value` is: a URL (its path a pattern with `*` and `$`, as in robots.txt), a host, or a
            domain with its subdomains.
        value: the URL, host or domain.
        ruling: deny the pictures, or say that they are licensed.
        evidence: why: a contract, a mail, a ticket.
        purpose: the use that it is about.
        expires: the last day (UTC) on which it is in force.
    """

    matches: Matches
    value: str
    ruling: Ruling
    evidence: str
    purpose: Purpose = Purpose.TRAIN_ANY
    expires: date | None = None

    def in_force(self, now: float | None) -> bool:
        """Whether it is in force at `now` (Unix time, seconds); not known: a deny is, a licence is not."""
        lasting = lasts(self.expires, now)
        return self.ruling is Ruling.DENY if lasting is None else lasting

    def as_dict(self) -> dict[str, Any]:
        """The resolved form, as it would stand in a file."""
        data = asdict(self) | {self.matches.value: self.value, "action": self.ruling.value}
        del data["matches"], data["value"], data["ruling"]
        return data | {
            "purpose": self.purpose.value,
            "expires": self.expires.isoformat() if self.expires else None,
        }


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy in force.

    Attributes:
        name: the profile's name or the file's path, for people; not part of the hash.
        regime: `opt-out` or `opt-in`.
        purpose: what the pictures are for.
        switches: the setting of every switch, in the order of `SWITCHES`.
        policy_tokens: product tokens whose robots.txt groups speak of training itself.
        overrides: the operator's own denies and licences.
        remotes: registries on the network that are asked about each URL.
    """

    name: str
    regime: str
    purpose: Purpose
    switches: tuple[tuple[str, str], ...]
    policy_tokens: tuple[str, ...] = ()
    overrides: tuple[Override, ...] = ()
    remotes: tuple[RemoteConfig, ...] = ()

    @classmethod
    def load(cls, policy: str | Path) -> Policy:
        """The shipped profile of that name; with a `/` in it or ending in `.toml`, that file.

        Raises:
            ConfigurationError: there is no such policy, or it has faults; all of them are told.
        """
        name = str(policy)
        if not _is_file(name):
            if name not in PROFILES:
                raise ConfigurationError(_no_profile(name))
            return _resolve(name, name)
        path = Path(name).absolute()
        return _resolve(str(path), str(path))

    def effects(self) -> dict[str | None, Effect]:
        """What becomes of a statement, by the switch that it names (None: it counts)."""
        settings = dict(self.switches)
        single = Effect.COUNT if settings[OTHER_AGENTS] == "one" else Effect.DROP
        return {None: Effect.COUNT, OTHER_AGENTS_SINGLE: single} | {
            switch: _EFFECTS[setting] for switch, setting in settings.items()
        }

    def as_dict(self) -> dict[str, Any]:
        """The resolved policy, every knob in it."""
        return {
            "regime": self.regime,
            "purpose": self.purpose.value,
            POLICY_TOKENS: list(self.policy_tokens),
            "switches": dict(self.switches),
            "override": [override.as_dict() for override in self.overrides],
            "remote": [remote.as_dict() for remote in self.remotes],
        }

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of the resolved canonical form: equal for policies that decide alike."""
        canonical = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def _is_file(name: str) -> bool:
    return "/" in name or "\\" in name or name.endswith(".toml")


def _no_profile(name: str) -> str:
    hint = _hint(name, PROFILES)
    return (
        f"There is no policy {name!r}{hint}: give one of {', '.join(PROFILES)}, "
        "or a file (with a / in it or ending in .toml)."
    )


def _hint(word: str, choices: tuple[str, ...] | list[str]) -> str:
    close = get_close_matches(word, choices, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _read(name: str) -> str:
    if name in PROFILES:
        return files("heedful_settings").joinpath(f"{name}.toml").read_text("utf-8")
    try:
        return Path(name).read_text("utf-8")
    except OSError as error:
        raise ConfigurationError(f"The policy {name} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"The policy {name} is not UTF-8 text: {error}.") from error


@dataclass(slots=True)
class _Layer:
    """One file's own settings, and what it extends."""

    settings: dict[str, str]
    extends: str | None = None
    policy_tokens: tuple[str, ...] | None = None
    overrides: tuple[Override, ...] = ()
    remotes: tuple[RemoteConfig, ...] = ()


def _resolve(start: str, label: str) -> Policy:
    """Follow `extends` down to a whole profile, then lay the files over each other."""
    layers: list[_Layer] = []
    faults: list[str] = []
    seen: list[str] = []
    name: str | None = start
    while name is not None:
        if name in seen or len(seen) == EXTENDS_MAX:
            raise ConfigurationError(
                f"{label}: extends goes in a circle or too deep: {' -> '.join([*seen, name])}."
            )
        seen.append(name)
        try:
            text = _read(name)
        except ConfigurationError as error:
            raise ConfigurationError(*faults, *error.faults) from error
        reader = _LayerReader(name, text)
        layers.append(reader.layer)
        faults += reader.faults
        name = reader.layer.extends
    if faults:
        raise ConfigurationError(*faults)
    settings: dict[str, str] = {}
    tokens: tuple[str, ...] = ()
    overrides: tuple[Override, ...] = ()
    remotes: dict[str, RemoteConfig] = {}
    for layer in reversed(layers):
        settings |= layer.settings
        tokens = tokens if layer.policy_tokens is None else layer.policy_tokens
        overrides += layer.overrides
        remotes |= {remote.name: remote for remote in layer.remotes}
    return Policy(
        name=label,
        regime=settings["regime"],
        purpose=Purpose(settings["purpose"]),
        switches=tuple((switch, settings[f"switches.{switch}"]) for switch in SWITCHES),
        policy_tokens=tokens,
        overrides=overrides,
        remotes=tuple(remotes.values()),
    )


class _LayerReader:
    """Reads one file and collects its faults, each with its line."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._lines = _key_lines(text)
        self.faults: list[str] = []
        self.layer = _Layer({})
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            self.faults.append(f"{name}: not valid TOML: {error}.")
            return
        self.layer.extends = self._extends(data.pop("extends", None if name in PROFILES else "standard"))
        self.layer.policy_tokens = self._tokens(data.pop(POLICY_TOKENS, None))
        overrides = data.pop("override", [])
        if isinstance(overrides, list) and all(isinstance(each, dict) for each in overrides):
            read = [self._override(f"override[{number}]", each) for number, each in enumerate(overrides, 1)]
            self.layer.overrides = tuple(each for each in read if each)
        else:
            self._fault("override", "must be tables: write [[override]] on a line of its own.")
        self.layer.remotes = self._remotes(data.pop("remote", []))
        switches = data.pop("switches", {})
        if not isinstance(switches, dict):
            self._fault("switches", "must be a table: write [switches] on a line of its own.")
            switches = {}
        self._settings(data, KNOBS, "")
        self._settings(switches, SWITCHES, "switches.")

    def _fault(self, key: str, words: str) -> None:
        line = self._lines.get(key) or self._lines.get(key.rpartition(".")[0], 1)
        self.faults.append(f"{self._name}:{line}: {key}: {words}")

    def _extends(self, extends: object) -> str | None:
        if extends is None:
            return None
        if not isinstance(extends, str):
            self._fault("extends", "must be a profile's name or a file.")
        elif _is_file(extends):
            return str(Path(self._name).parent / extends)
        elif extends in PROFILES:
            return extends
        else:
            self._fault("extends", _no_profile(extends))
        return None

    def _tokens(self, tokens: object) -> tuple[str, ...] | None:
        if tokens is None:
            return None
        if isinstance(tokens, list) and all(isinstance(each, str) and valid_token(each) for each in tokens):
            return tuple(tokens)
        self._fault(POLICY_TOKENS, 'must be a list of product tokens, such as ["no-training"].')
        return None

    def _remotes(self, tables: object) -> tuple[RemoteConfig, ...]:
        if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
            self._fault("remote", "must be tables: write [[remote]] on a line of its own.")
            return ()
        remotes: dict[str, RemoteConfig] = {}
        for number, table in enumerate(tables, 1):
            remote = read_remote(f"remote[{number}]", table, self._fault)
            if remote is not None and remotes.setdefault(remote.name, remote) is not remote:
                self._fault(f"remote[{number}].name", f"there is a remote registry {remote.name!r} already.")
        return tuple(remotes.values())

    def _settings(self, given: dict[str, Any], knobs: dict[str, Knob], prefix: str) -> None:
        for key, value in given.items():
            knob = knobs.get(key)
            if knob is None:
                self._fault(prefix + key, f"no such setting{_hint(key, list(knobs))}.")
            elif value not in knob.values:
                self._fault(prefix + key, f"{value!r} is none of {', '.join(knob.values)}.")
            else:
                self.layer.settings[prefix + key] = value

    def _override(self, place: str, given: dict[str, Any]) -> Override | None:
        faults = len(self.faults)
        for key in given.keys() - _OVERRIDE_KEYS:
            self._fault(f"{place}.{key}", f"no such setting{_hint(key, sorted(_OVERRIDE_KEYS))}.")
        kinds = [kind for kind in Matches if kind.value in given]
        if len(kinds) != 1:
            self._fault(place, "needs one of url, host, domain: what it matches.")
        for kind in kinds:
            if not _matchable(kind, given[kind.value]):
                words = "a URL with a host, its path perhaps with *" if kind is Matches.URL else "a host name"
                self._fault(f"{place}.{kind.value}", f"{given[kind.value]!r} is not {words}.")
        ruling = given.get("action")
        if ruling not in {each.value for each in Ruling}:
            self._fault(f"{place}.action", f"{ruling!r} is none of deny, licence.")
        evidence = given.get("evidence")
        if not isinstance(evidence, str) or not evidence.strip():
            self._fault(f"{place}.evidence", "say why: a contract, a mail, a ticket.")
        purpose = given.get("purpose", Purpose.TRAIN_ANY.value)
        if purpose not in KNOBS["purpose"].values:
            self._fault(f"{place}.purpose", f"{purpose!r} is none of {', '.join(KNOBS['purpose'].values)}.")
        expires = given.get("expires")
        if expires is not None and (not isinstance(expires, date) or isinstance(expires, datetime)):
            self._fault(f"{place}.expires", "must be a date, such as 2027-01-31, without quotes.")
        if len(self.faults) > faults:
            return None
        kind = kinds[0]
        value = given[kind.value]
        return Override(
            kind,
            value if kind is Matches.URL else value.lower().strip("."),
            Ruling(ruling),
            str(evidence),
            Purpose(purpose),
            expires,
        )


_OVERRIDE_KEYS: Final = {"action", "evidence", "purpose", "expires", *(kind.value for kind in Matches)}


def _matchable(kind: Matches, value: object) -> bool:
    if not isinstance(value, str):
        return False
    url = value if kind is Matches.URL else f"http://{value}/"
    return split_url(url) is not None and (kind is Matches.URL or not set("/:?#@ *") & set(value))


_TABLE = re.compile(r"\s*\[+\s*([^\[\]]+?)\s*\]+\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*["']?([A-Za-z0-9_.-]+)["']?\s*=""")


def _key_lines(text: str) -> dict[str, int]:
    """The line of each dotted key, so that a fault can be pointed at (the TOML reader tells none)."""
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.split("\n"), 1):
        if header := _TABLE.match(line):
            name = header[1]
            if line.lstrip().startswith("[["):
                counts[name] = counts.get(name, 0) + 1
                name = f"{name}[{counts[name]}]"
            table = name + "."
            lines.setdefault(name, number)
        elif key := _KEY.match(line):
            lines.setdefault(table + key[1], number)
    return lines
