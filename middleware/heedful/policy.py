"""What counts: a policy is a frozen value, read from a TOML file or a shipped profile.

Faults of a policy file are collected and reported together, each with its line.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from heedful.errors import ConfigurationError
from heedful.model import Purpose

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
        "An origin file other than robots.txt that cannot be read (5xx, 429, timeout); defer: not stored.",
    ),
}

_EFFECTS: Final = {
    "deny": Effect.COUNT,
    "on": Effect.COUNT,
    "defer": Effect.COUNT,
    "log": Effect.RECORD,
    "unknown": Effect.RECORD,
    "off": Effect.DROP,
}


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy in force.

    Attributes:
        name: the profile's name or the file's path, for people; not part of the hash.
        regime: `opt-out` or `opt-in`.
        purpose: what the pictures are for.
        switches: the setting of every switch, in the order of `SWITCHES`.
    """

    name: str
    regime: str
    purpose: Purpose
    switches: tuple[tuple[str, str], ...]

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
        return {None: Effect.COUNT} | {switch: _EFFECTS[setting] for switch, setting in self.switches}

    def as_dict(self) -> dict[str, Any]:
        """The resolved policy, every knob in it."""
        return {"regime": self.regime, "purpose": self.purpose.value, "switches": dict(self.switches)}

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


def _resolve(start: str, label: str) -> Policy:
    """Follow `extends` down to a whole profile, then lay the files over each other."""
    layers: list[dict[str, Any]] = []
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
            layer, name, found = _layer(name)
        except ConfigurationError as error:
            raise ConfigurationError(*faults, *error.faults) from error
        layers.append(layer)
        faults += found
    if faults:
        raise ConfigurationError(*faults)
    settings: dict[str, str] = {}
    for layer in reversed(layers):
        settings |= layer
    return Policy(
        name=label,
        regime=settings["regime"],
        purpose=Purpose(settings["purpose"]),
        switches=tuple((switch, settings[f"switches.{switch}"]) for switch in SWITCHES),
    )


def _layer(name: str) -> tuple[dict[str, str], str | None, list[str]]:
    """One file's own settings by dotted key, what it extends, and its faults."""
    text = _read(name)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return {}, None, [f"{name}: not valid TOML: {error}."]
    lines = _key_lines(text)
    faults: list[str] = []

    def fault(key: str, words: str) -> None:
        faults.append(f"{name}:{lines.get(key, 1)}: {key}: {words}")

    extends = data.pop("extends", None if name in PROFILES else "standard")
    if extends is not None:
        if not isinstance(extends, str):
            fault("extends", "must be a profile's name or a file.")
            extends = None
        elif _is_file(extends):
            extends = str(Path(name).parent / extends)
        elif extends not in PROFILES:
            fault("extends", _no_profile(extends))
            extends = None

    switches = data.pop("switches", {})
    if not isinstance(switches, dict):
        fault("switches", "must be a table: write [switches] on a line of its own.")
        switches = {}
    settings: dict[str, str] = {}
    for given, knobs, prefix in ((data, KNOBS, ""), (switches, SWITCHES, "switches.")):
        for key, value in given.items():
            knob = knobs.get(key)
            if knob is None:
                fault(prefix + key, f"no such setting{_hint(key, list(knobs))}.")
            elif value not in knob.values:
                fault(prefix + key, f"{value!r} is none of {', '.join(knob.values)}.")
            else:
                settings[prefix + key] = value
    return settings, extends, faults


_TABLE = re.compile(r"\s*\[+\s*([^\[\]]+?)\s*\]+\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*["']?([A-Za-z0-9_.-]+)["']?\s*=""")


def _key_lines(text: str) -> dict[str, int]:
    """The line of each dotted key, so that a fault can be pointed at (the TOML reader tells none)."""
    lines: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.split("\n"), 1):
        if header := _TABLE.match(line):
            table = header[1] + "."
            lines.setdefault(header[1], number)
        elif key := _KEY.match(line):
            lines.setdefault(table + key[1], number)
    return lines
