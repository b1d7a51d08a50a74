"""Other agents' tokens: what a robots.txt says to AI crawlers, and so of AI training.

Formally such a group is not ours, so that what follows from it is inferred. Which tokens stand for training,
says a curated map beside this module, `ai_tokens.toml`; its version goes into the evidence.
"""

from __future__ import annotations

import sys
from enum import Enum
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, NamedTuple

from heedful.model import NOTHING, RAW_MAX, Preference, Reading, Reason, Statement, Strength

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heedful.model import Source
    from heedful.signals.robots import Robots, Rule

SWITCH: Final = "other_agents"
"""The policy's switch for a special token, or two training crawlers."""

SINGLE_SWITCH: Final = "other_agents_single"
"""The policy's switch for one training crawler alone."""

_SPECIAL: Final = "ccbot"
"""The crawler that suffices alone: its archive is where most training sets come from."""


class Kind(Enum):
    """What a token stands for."""

    POLICY_ONLY = "policy-only"
    TRAINING_CRAWLER = "training-crawler"
    DATASET_TOOL = "dataset-tool"
    NOT_TRAINING = "not-training"


class Token(NamedTuple):
    """One entry of the map.

    Attributes:
        name: the token as its operator writes it.
        kind: what it stands for.
        why: whose it is, and why it is of that kind.
    """

    name: str
    kind: Kind
    why: str

    @property
    def suffices(self) -> bool:
        """Whether a Disallow for it alone says no to training."""
        return self.kind in {Kind.POLICY_ONLY, Kind.DATASET_TOOL} or self.name.lower() == _SPECIAL


class TokenMap(NamedTuple):
    """The curated map.

    Attributes:
        version: its date.
        training: the tokens that stand for training, by name in lower case.
        others: those that do not, although block lists have them, likewise.
    """

    version: str
    training: Mapping[str, Token]
    others: Mapping[str, Token]


@cache
def token_map() -> TokenMap:
    """The map that is shipped with this package, read once."""
    data = tomllib.loads(files(__package__).joinpath("ai_tokens.toml").read_text("utf-8"))
    tokens = [Token(name, kind, why) for kind in Kind for name, why in data[kind.value].items()]
    training, others = (
        {token.name.lower(): token for token in tokens if (token.kind is Kind.NOT_TRAINING) is other}
        for other in (False, True)
    )
    return TokenMap(data["version"], training, others)


class _Refused(NamedTuple):
    """A token of the map, and the rule that closes the path to it."""

    rule: Rule
    token: Token


def named(robots: Robots, token: str) -> set[str]:
    """The tokens of the map that stand for training and have a group, in lower case; ours never counts."""
    return (robots.tokens & token_map().training.keys()) - {token.lower()}


def read(robots: Robots, token: str, target: str, source: Source) -> Reading:
    """Whether a path is closed to agents that stand for AI training.

    Args:
        robots: the file.
        token: our product token, which never counts here.
        target: path and query in canonical form.
        source: the file's origin, for the evidence.

    Returns:
        one denying statement that lists the tokens, their rules and the map's version; or none.
    """
    known = token_map()
    refused = []
    for name in named(robots, token):
        group = robots.explicit(name)  # explicit groups only, never that for `*`
        rule = group.refusal(target) if group else None
        if rule:
            refused.append(_Refused(rule, known.training[name]))
    if not refused:
        return NOTHING
    refused.sort(key=lambda each: (each.rule.line, each.token.name))
    # two or more training crawlers, or one token that says it alone
    clear = len(refused) > 1 or refused[0].token.suffices
    lines = {rule.line: rule.raw for rule, _ in refused}
    where = f"line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines))}"
    statement = Statement(
        Reason.ROBOTS_AI_TOKEN,
        Preference.DISALLOW,
        f"{_words(refused)} (map {known.version})",
        source.at(where, "\n".join(raw[:RAW_MAX] for raw in lines.values())),
        strength=Strength.INFERRED,
        switch=SWITCH if clear else SINGLE_SWITCH,
    )
    return Reading((statement,))


def _words(refused: list[_Refused]) -> str:
    """The rules, each with the tokens that it is for."""
    names: dict[str, list[str]] = {}
    for rule, token in refused:
        names.setdefault(str(rule), []).append(token.name)
    return "; ".join(f"{rule} for {', '.join(tokens)}" for rule, tokens in names.items())[:RAW_MAX]
