"""Adblock filter lists: those rules that name hosts, paths below them, or URLs; the rest are rejects.

The syntax is that of Adblock Plus ("How to write filters"). Paths are taken in the case in which they are
written, as the paths of URLs are; filters ignore it unless they say `match-case`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from heedful.registry.entries import Entry, Kind
from heedful.registry.sources._items import Defaults, Reject, checked, reject
from heedful.registry.sources._lines import bare_name
from heedful.registry.sources._places import place
from heedful.registry.sources._text import LINE_MAX, TOO_LONG, lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

COMMENT: Final = re.compile(r"!|\[Adblock|#(?:\s|$)", re.IGNORECASE)
"""How the lines begin that say nothing: comments, and the header."""

COSMETIC: Final = re.compile(r"#@?[?$%]{0,2}@?#")
"""What stands between the pages and the elements of a rule that hides these."""

_OPTION: Final = re.compile(r"~?[\w\-]*(?:=.*)?")

_HARMLESS: Final = frozenset({"all", "match-case"})
"""Options that leave a rule in force for each request for what it names."""

_PLACE: Final = re.compile(r"(\[[^\]/]*\]|[^\s/?^*|:#@\\\[\]]+)(:[0-9]+)?(?=[/?^*|:]|$)(.*)", re.DOTALL)


def read(chunks: Iterable[bytes], defaults: Defaults) -> Iterator[Entry | Reject]:
    """Block rules decline, exceptions (`@@`) agree; what cannot be said exactly is a reject."""
    for number, line in lines(chunks):
        if COMMENT.match(line):
            continue
        if len(line) > LINE_MAX:
            yield reject(number, line, TOO_LONG)
            continue
        opt_in = line.startswith("@@")
        try:
            kind, text = _rule(line.removeprefix("@@"))
        except ValueError as error:
            yield reject(number, line, str(error))
        else:
            yield checked(defaults.terms._replace(opt_in=opt_in), kind, text, number, line)


def _rule(rule: str) -> tuple[Kind, str]:
    if COSMETIC.search(rule):
        raise ValueError("it hides parts of pages, and blocks nothing")
    rule, sign, given = rule.rpartition("$") if "$" in rule else (rule, "", "")
    options = given.split(",") if sign else []
    if all(map(_OPTION.fullmatch, options)):
        for option in options:
            if option not in _HARMLESS:
                raise ValueError(f"its option ${option} cannot be kept, and without it the rule says more")
    else:
        rule += sign + given
    if rule.startswith("||"):
        below, rest = True, rule[2:]
    elif rule.startswith(("|http://", "|https://")):
        below, rest = False, rule.partition("//")[2]
    else:
        raise ValueError("it names no host; ||host^, ||host/path and |https://host/path do")
    found = _PLACE.fullmatch(rest)
    if found is None:
        raise ValueError("what should be its host is none")
    host, port, tail = found[1], found[2] or "", found[3]
    if not tail.strip("|") or tail.startswith("*"):
        raise ValueError("it also blocks hosts that merely begin so; to end the host write ^ after it")
    bare_name(host)
    scope = ("*." if below else "") + host + port
    ends = tail.endswith("|")
    tail = tail[:-1] if ends else tail.rstrip("*")
    if tail == "^" and not ends:
        if port:
            return Kind.PATH, scope + "/"
        return (Kind.DOMAIN if below else Kind.HOST), host
    if not tail.startswith("/"):
        raise ValueError("what follows its host is neither ^ nor a path")
    for sign in "^|#":
        if sign in tail:
            raise ValueError(f"a {sign} in its path cannot be kept")
    if ends and not below and "*" not in tail:
        return Kind.URL, rule.strip("|")
    return place(scope, tail.split("*"), ends=ends)
