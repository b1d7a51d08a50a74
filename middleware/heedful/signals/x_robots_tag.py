"""The X-Robots-Tag response header, and the robots directives that it shares with its relatives.

A line reads `[bot:] rule, rule, ...`. The notation is that of Google's robots meta tag specification;
`noai` and `noimageai` are DeviantArt's rules, `noml` is Mojeek's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from heedful.model import NOTHING, Preference, Reading, Reason, Statement, Strength

if TYPE_CHECKING:
    from collections.abc import Iterable

    from heedful.model import Evidence, Headers, Source

INDEX_RULES = "index_rules"
"""The policy's switch for rules on indexing, which dataset tools have come to obey."""

CACHE_RULES = "cache_rules"
"""The policy's switch for rules on copies kept by search engines."""

AI_RULES = frozenset({"noai", "noimageai", "noml"})
"""The rules that speak of AI training and nothing else."""

_DENYING: dict[str, tuple[str | None, Strength]] = {
    **dict.fromkeys(AI_RULES, (None, Strength.EXPLICIT)),
    "noindex": (INDEX_RULES, Strength.EXPLICIT),
    "none": (INDEX_RULES, Strength.EXPLICIT),
    "noimageindex": (INDEX_RULES, Strength.EXPLICIT),
    "noarchive": (CACHE_RULES, Strength.SOFT),
    "nocache": (CACHE_RULES, Strength.SOFT),
}
_DATE_RULE = "unavailable_after"
_VALUE_RULES = frozenset({"max-snippet", "max-image-preview", "max-video-preview", _DATE_RULE})
_EVERYONE = "*"


def scoped_rules(line: str) -> list[tuple[str, str]]:
    """The rules of one header line, each with the bot it is for, all in lower case.

    Args:
        line: the value of one X-Robots-Tag line; in joined lines a bot would scope the rules of the next.

    Returns:
        Pairs of bot (`*` for all, a version cut off) and rule, in the order of the line. Rules that take a
        value are given by their name alone.
    """
    rules = []
    bot = _EVERYONE
    in_date = False
    for piece in line.lower().replace(";", ",").split(","):
        # "unavailable_after: [date/time]": RFC 822 and 850 dates hold a comma, then digits and colons.
        if in_date and piece.strip()[:1].isdigit():
            continue
        *prefixes, rule = (part.strip() for part in piece.split(":"))
        for prefix in prefixes:
            # "Rules specified without a user agent are valid for all crawlers"; a bot holds until the next.
            if prefix in _VALUE_RULES or not _is_bot(prefix):
                rule = prefix
                break
            bot = prefix.partition("/")[0].rstrip()
        in_date = rule == _DATE_RULE
        if rule:
            rules.append((bot, rule))
    return rules


def _is_bot(prefix: str) -> bool:
    # The remainder of a date, such as `25 jun 2010 15`, stands before a colon too.
    return prefix == _EVERYONE or (
        len(prefix.split()) == 1 and any(character.isalpha() for character in prefix)
    )


def denials(rules: Iterable[str], signal: Reason, evidence: Evidence) -> tuple[Statement, ...]:
    """One statement for each denying rule, whichever notation it was found in.

    Args:
        rules: names of rules, in lower case.
        signal: the protocol that they were found in.
        evidence: where they were found.
    """
    return tuple(
        Statement(
            signal, Preference.DISALLOW, rule, evidence, strength=_DENYING[rule][1], switch=_DENYING[rule][0]
        )
        for rule in dict.fromkeys(rules)
        if rule in _DENYING
    )


def read(headers: Headers, token: str, source: Source, *, joined: bool = False) -> Reading:
    """What the X-Robots-Tag lines of a response say of training.

    Args:
        headers: the response's header lines.
        token: our product token.
        source: the response.
        joined: the HTTP library may have joined lines. The end of a bot's scope is then lost, so that rules
            on AI count whatever bot stands before them.
    """
    lines = [value for name, value in headers if name.lower() == "x-robots-tag"]
    if not lines:
        return NOTHING
    ours = {_EVERYONE, token.lower()}
    statements: list[Statement] = []
    for number, line in enumerate(lines, 1):
        where = "header X-Robots-Tag" + (f" (line {number})" if len(lines) > 1 else "")
        rules = [rule for bot, rule in scoped_rules(line) if bot in ours or (joined and rule in AI_RULES)]
        statements += denials(rules, Reason.X_ROBOTS_TAG, source.at(where, line))
    return Reading(tuple(statements))
