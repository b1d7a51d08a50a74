"""`Host`/`Domain` and `DenyPath` lines, the rules of Apache Nutch's fast URL filter (and of news crawls).

There a DenyPath is a Java regular expression that is *found*, anywhere, in the path of a URL; a DenyPathQuery
in path and query. Read are those that consist of literal text, `.*`, and `^` and `$` at their ends. An entry
sees path and query as one, so what a DenyPath finds after the path's first character is also found in the
query: it declines a little more than there, never less.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from heedful.registry.entries import Entry, Kind
from heedful.registry.sources._items import Defaults, Reject, checked, reject
from heedful.registry.sources._places import place
from heedful.registry.sources._text import LINE_MAX, TOO_LONG, lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LINE: Final = re.compile(r"(Host|Domain|DenyPathQuery|DenyPath)(?:\s*:\s*|\s+)(.*)", re.IGNORECASE)
"""A line; that a colon may follow the word is an addition."""

_TOKEN: Final = re.compile(r"\.\*\??|\\([^A-Za-z0-9])|([^\\.*+?()\[\]{}|^$])")
"""Anything, an escaped sign, or a plain one."""

_ALL: Final = frozenset({".*", ".*?", ".?", ".+", "."})
"""Expressions that are found in every path."""


class _Scope(NamedTuple):
    host: str
    domain: bool
    line: int
    raw: str


def read(chunks: Iterable[bytes], defaults: Defaults) -> Iterator[Entry | Reject]:
    """Each rule below its host or domain; `#` begins a comment."""
    scope: _Scope | None = None
    used = True
    for number, line in lines(chunks):
        rule = line.partition("#")[0].strip()
        if not rule:
            continue
        found = LINE.fullmatch(rule) if len(line) <= LINE_MAX else None
        if found is None:
            why = "it is none of Host, Domain, DenyPath, DenyPathQuery" if len(line) <= LINE_MAX else TOO_LONG
            yield reject(number, line, why)
            continue
        word, value = found[1].lower(), found[2].strip()
        if word in {"host", "domain"}:
            if not used and scope is not None:
                yield _unused(scope)
            scope, used = _Scope(value, word == "domain", number, line), False
            continue
        used = True
        if scope is None:
            yield reject(number, line, "no Host or Domain stands above it")
            continue
        try:
            entries = list(_entries(scope, value, query=word == "denypathquery"))
        except ValueError as error:
            yield reject(number, line, str(error))
            continue
        for kind, text in entries:
            yield checked(defaults.terms, kind, text, number, line)
    if not used and scope is not None:
        yield _unused(scope)


def _unused(scope: _Scope) -> Reject:
    return reject(scope.line, scope.raw, "no DenyPath follows it; for all of it write DenyPath .*")


def _entries(scope: _Scope, expression: str, *, query: bool) -> Iterator[tuple[Kind, str]]:
    if scope.host == ".":
        raise ValueError("it is a rule for every host (Domain .)")
    if not scope.host or len(scope.host.split()) > 1:
        raise ValueError(f"no single name stands in the line above it: {scope.raw!r}")
    if not expression or len(expression.split()) > 1:
        raise ValueError("it is not one expression without blanks")
    if expression == "^$":
        raise ValueError("it is never found: a path is never empty")
    begins, parts, ends = _parse(expression)
    if not query and any("?" in part for part in parts):
        raise ValueError("a path has no `?`: write DenyPathQuery")
    below = "*." + scope.host if scope.domain else scope.host
    if expression in _ALL or (not any(parts)) or (parts == ["/"] and not ends):
        yield (Kind.DOMAIN if scope.domain else Kind.HOST), scope.host
        return
    starts = [parts] if parts[0].startswith("/") else []
    if not begins:
        starts.append(["/", *parts])
    elif not starts:
        raise ValueError("it is never found: a path begins with a slash")
    for start in starts:
        yield place(below, start, ends=ends)
        if ends and not query:  # the path's end, where a query follows
            yield place(below, [*start[:-1], start[-1] + "?"], ends=False)


def _parse(expression: str) -> tuple[bool, list[str], bool]:
    """Whether it is bound to the start, its literal parts with anything between them, and whether to the end.

    Raises:
        ValueError: it has more of the language of regular expressions.
    """
    if expression in _ALL:
        return False, ["", ""], False
    begins = expression.startswith("^")
    ends = expression.endswith("$") and not expression.endswith("\\$")
    body = expression[begins : len(expression) - ends]
    parts = [""]
    position = 0
    while position < len(body):
        token = _TOKEN.match(body, position)
        if token is None or body[token.end() : token.end() + 1] in {"*", "+", "?", "{"}:
            sign = body[position : position + 2]
            raise ValueError(
                rf"`{sign}` is more of an expression than is read: literal text (`\.`), `.*`, ^, $"
            )
        if token[0].startswith(".*"):
            parts.append("")
        else:
            parts[-1] += token[1] or token[2]
        position = token.end()
    if not parts[-1]:  # `.*` at the end
        ends = False
        while len(parts) > 1 and not parts[-1]:
            parts.pop()
    if not parts[0]:  # `.*` at the start
        begins = False
        while len(parts) > 1 and not parts[0]:
            del parts[0]
    return begins, parts, ends
