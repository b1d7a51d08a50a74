"""The Robots-Tag response header (draft): the rules of X-Robots-Tag in a Structured Field (RFC 9651).

The field is a List; its members are bots, their parameters the rules: `*;nosnippet, ExampleBot;noindex`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

import http_sf

from heedful.model import NOTHING, ParseWarning, Reading, Reason
from heedful.signals import x_robots_tag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heedful.model import Headers, Source

VALUE_MAX: Final = 16_384
"""Longest value that is parsed, in characters; twice what common servers accept as a header line (8 KiB)."""

_EVERYONE = "*"
_MALFORMED = "not a list of Structured Fields (RFC 9651): its well-formed pieces are read"


def read(headers: Headers, token: str, source: Source) -> Reading:
    """What the Robots-Tag lines of a response say of training.

    Args:
        headers: the response's header lines.
        token: our product token.
        source: the response.
    """
    lines = [value.strip(" \t") for name, value in headers if name.lower() == "robots-tag"]
    if not lines:
        return NOTHING
    # RFC 9651, section 4.2: lines are joined before parsing
    joined = ", ".join(lines)
    evidence = source.at("header Robots-Tag", joined)
    ours = token.lower()
    rules = _rules(joined, ours)
    if rules is not None:
        return Reading(x_robots_tag.denials(rules, Reason.ROBOTS_TAG, evidence))
    # RFC 9651 would have all of it ignored. Every rule here denies, so a piece can be heeded without risk.
    pieces = joined[:VALUE_MAX].lower().split(",")
    rules = tuple(rule for piece in pieces for rule in _rules(piece.strip(" \t"), ours) or ())
    warning = ParseWarning(Reason.ROBOTS_TAG, _MALFORMED, evidence)
    return Reading(x_robots_tag.denials(rules, Reason.ROBOTS_TAG, evidence), (warning,))


def _rules(text: str, token: str) -> tuple[str, ...] | None:
    """The rules for everyone and for `token`, in the order of the list; None if the list is malformed."""
    return _parsed(text, token) if len(text) <= VALUE_MAX else None


@lru_cache(maxsize=256)  # sites say the same few things; with VALUE_MAX this bounds the memory held
def _parsed(text: str, token: str) -> tuple[str, ...] | None:
    try:
        # What is not ASCII is none in UTF-8 either, and so fails as it must.
        parsed = http_sf.parse(text.encode("utf-8", "surrogatepass"), tltype="list")
    except (ValueError, OverflowError, OSError):  # the latter two: dates out of range, in some versions
        return None
    members = cast("list[tuple[Any, dict[str, object]]]", parsed)
    return tuple(
        rule
        for bot, parameters in members
        if not {_EVERYONE, token}.isdisjoint(_bots(bot))
        for rule, value in parameters.items()
        if value is not False
    )


def _bots(member: object) -> Iterator[str]:
    """The bots that a member names, in lower case: a Token or String, or several in an inner list."""
    names = [name for name, _ in member] if isinstance(member, list) else [member]
    for name in names:
        if isinstance(name, (str, http_sf.Token)):
            yield str(name).partition("/")[0].strip().lower()
