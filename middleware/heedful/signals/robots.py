"""robots.txt after RFC 9309: groups, rules, and the records that other protocols keep in the file.

A body is parsed once; what a product token's group says of a path is then found by look-up, without any
regular expression made from the file's text.
"""

from __future__ import annotations

import re
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from heedful.model import RAW_MAX, ParseWarning, Preference, Reading, Reason, Statement
from heedful.signals._paths import PathPattern, canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, KeysView

    from heedful.model import Source

_T = TypeVar("_T")

ROBOTS_MAX: Final = 1_048_576
"""Octets of a body that are read at most; RFC 9309, section 2.5, asks for 500 KiB at least."""

FAULTS_MAX: Final = 20
"""Faults kept for one file; an HTML page in place of the file would give one a line."""

_USER_AGENT, _ALLOW, _DISALLOW, _CONTENT_USAGE = "user-agent", "allow", "disallow", "content-usage"

# The misspellings that Google's parser and Protego read as well. None of Allow: an alias may only deny.
_KEYS: Final = {
    **dict.fromkeys(("user-agent", "useragent", "user agent"), _USER_AGENT),
    **dict.fromkeys(
        ("disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw"),
        _DISALLOW,
    ),
    "allow": _ALLOW,
    "content-usage": _CONTENT_USAGE,
}
_BARE_KEYS: Final = frozenset(key for key, kind in _KEYS.items() if kind in {_USER_AGENT, _DISALLOW})
_BARE_INITIALS: Final = frozenset("UuDd")
_RULES: Final = frozenset((_ALLOW, _DISALLOW, _CONTENT_USAGE))

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+")
_TOKEN_END: Final = re.compile(r"[\s/]")

_FIRST_MARKS: Final = "\ufeff\udcef\udcbb\udcfe\udcff"
"""What a file may start with: a BOM, the first octets of one, or UTF-16's (its NULs are removed)."""

_CROWD: Final = 16
"""Rules with one head that are still tried one by one: about as fast as the look-ups that replace it."""

_GRAM: Final = 4
"""Length of the fragment by which a crowd is divided; shorter ones are shared by too many patterns."""

_GRAMS_TRIED: Final = 16
"""Fragments of one pattern among which the rarest is chosen; bounds the work that a long pattern makes."""


class Rule(NamedTuple):
    """An Allow or Disallow line.

    Attributes:
        allow: Allow, else Disallow.
        pattern: the path pattern as written; empty: it matches nothing.
        line: its number in the file, from 1.
        raw: the whole line.
    """

    allow: bool
    pattern: str
    line: int
    raw: str

    def __str__(self) -> str:
        return f"{'Allow' if self.allow else 'Disallow'}: {self.pattern[:RAW_MAX]}"


class Line(NamedTuple):
    """Any other line with a key.

    Attributes:
        number: its number in the file, from 1.
        key: what stands before the colon, in lower case.
        value: what follows it, without the comment.
        raw: the whole line.
    """

    number: int
    key: str
    value: str
    raw: str


class Fault(NamedTuple):
    """A malformed line: its number from 1, what is wrong, and the whole line."""

    line: int
    message: str
    raw: str


class _Section:
    """One group as it stands in the file."""

    __slots__ = ("records", "rules", "usage")

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.usage: list[Line] = []
        self.records: list[Line] = []


class _Entry(NamedTuple):
    """A rule with a wildcard or an anchor, and its rank: octets, Allow before Disallow, first in the file."""

    rank: tuple[int, bool, int]
    pattern: PathPattern
    rule: Rule


class _Index:
    """The rules of a group, so arranged that a look-up does not try them one by one."""

    __slots__ = ("_crowds", "_heads", "_prefixes", "_sizes", "_wild")

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        # RFC 9309, section 2.2.2: of equal patterns the Allow wins.
        chosen: dict[str, Rule] = {}
        for rule in rules:
            _put(chosen, rule.pattern, rule)
        chosen.pop("", None)

        self._prefixes: dict[str, Rule] = {}
        by_head: dict[str, list[_Entry]] = {}
        for rule in chosen.values():
            if "*" in rule.pattern or rule.pattern.endswith("$"):
                pattern = PathPattern(rule.pattern)
                entry = _Entry((pattern.length, rule.allow, -rule.line), pattern, rule)
                by_head.setdefault(pattern.head, []).append(entry)
            else:
                _put(self._prefixes, canonical(rule.pattern), rule)
        self._sizes = sorted({len(prefix) for prefix in self._prefixes}, reverse=True)

        self._wild: dict[str, list[_Entry]] = {}
        self._crowds: dict[str, list[_Entry]] = {}
        for head, entries in by_head.items():
            for entry in entries:
                gram = self._rarest(entry.rule.pattern) if len(entries) > _CROWD else None
                if gram is None:
                    self._wild.setdefault(head, []).append(entry)
                else:
                    self._crowds.setdefault(gram, []).append(entry)
        for bucket in (*self._wild.values(), *self._crowds.values()):
            bucket.sort(key=itemgetter(0), reverse=True)
        self._heads = sorted({len(head) for head in self._wild}, reverse=True)

    def _rarest(self, pattern: str) -> str | None:
        """A fragment that every target of `pattern` holds, and few other patterns were filed under."""
        pieces = [canonical(piece) for piece in pattern.removesuffix("$").split("*")]
        longest = max(pieces, key=len)
        starts = range(min(len(longest) - _GRAM + 1, _GRAMS_TRIED))
        grams = (longest[start : start + _GRAM] for start in starts)
        return min(grams, key=lambda gram: len(self._crowds.get(gram, ())), default=None)

    def _candidates(self, target: str) -> Iterator[list[_Entry]]:
        for size in self._heads:
            if size <= len(target) and (bucket := self._wild.get(target[:size])) is not None:
                yield bucket
        if self._crowds:
            grams = {target[start : start + _GRAM] for start in range(len(target) - _GRAM + 1)}
            for gram in grams & self._crowds.keys():
                yield self._crowds[gram]

    def find(self, target: str) -> Rule | None:
        """The most specific rule that matches; of equally specific ones an Allow."""
        best: Rule | None = None
        rank = (0, False, 0)
        for size in self._sizes:
            if size <= len(target) and (found := self._prefixes.get(target[:size])) is not None:
                best, rank = found, (size, found.allow, -found.line)
                break
        for bucket in self._candidates(target):
            for entry in bucket:
                if entry.rank < rank:
                    break
                if entry.pattern.matches(target):
                    best, rank = entry.rule, entry.rank
                    break
        return best


def _put(rules: dict[str, Rule], key: str, rule: Rule) -> None:
    kept = rules.setdefault(key, rule)
    if rule.allow and not kept.allow:
        rules[key] = rule


class Group:
    """What a file says to one product token, all groups that name it merged in file order.

    Attributes:
        rules: the Allow and Disallow lines.
        usage: the Content-Usage lines.
        records: the lines that are no rules, such as Content-Signal or License.
    """

    __slots__ = ("_index", "records", "rules", "usage")

    def __init__(
        self, rules: tuple[Rule, ...] = (), usage: tuple[Line, ...] = (), records: tuple[Line, ...] = ()
    ) -> None:
        self.rules = rules
        self.usage = usage
        self.records = records
        self._index: _Index | None = None

    def match(self, target: str) -> Rule | None:
        """The rule that decides on a path (RFC 9309, section 2.2.2).

        Args:
            target: path and query in canonical form, see `heedful.signals._paths.split_url`.

        Returns:
            the matching rule with the longest pattern in octets, an Allow rather than a Disallow of the same
            length; None if no rule matches: the path is allowed.
        """
        if self._index is None:
            self._index = _Index(self.rules)
        return self._index.find(target)

    def refusal(self, target: str) -> Rule | None:
        """The Disallow that closes a path, in canonical form, to the group; None: it is open."""
        if target == "/robots.txt" or target.startswith("/robots.txt?"):
            return None  # section 2.2.2: implicitly allowed
        rule = self.match(target)
        return None if rule is None or rule.allow else rule


class Robots:
    """A parsed file.

    Attributes:
        preamble: the records before the first User-agent line, which belong to no group.
        trailing: the records that follow the last rule of the last group; that group has them as well.
        warnings: what is malformed, the first `FAULTS_MAX` of it.
    """

    __slots__ = ("_explicit", "_once", "_rest", "_sections", "_warned", "preamble", "trailing", "warnings")

    def __init__(
        self,
        sections: dict[str, list[_Section]],
        preamble: tuple[Line, ...],
        trailing: tuple[Line, ...],
        warnings: tuple[Fault, ...],
    ) -> None:
        self.preamble = preamble
        self.trailing = trailing
        self.warnings = warnings
        self._sections = sections
        self._explicit: dict[str, Group] = {}
        self._once: dict[str, Any] = {}
        self._rest: Group | None = None
        self._warned: tuple[Source, tuple[ParseWarning, ...]] | None = None

    @property
    def tokens(self) -> KeysView[str]:
        """What the User-agent lines name, in lower case; `*` if it is among them."""
        return self._sections.keys()

    def group(self, token: str) -> Group:
        """The group that a crawler with the product token `token` obeys (RFC 9309, section 2.2.1).

        Returns:
            all groups that name the token, merged; else the groups for `*`, merged; else an empty one.
        """
        named = self.explicit(token)
        if named is not None:
            return named
        if self._rest is None:
            self._rest = _merged(self._sections.get("*", []))
        return self._rest

    def explicit(self, token: str) -> Group | None:
        """All groups that name `token` itself, in any case, merged; None if there is none."""
        name = _folded(token)
        group = self._explicit.get(name)
        if group is None and name != "*" and (sections := self._sections.get(name)) is not None:
            group = self._explicit[name] = _merged(sections)
        return group

    def once(self, key: str, build: Callable[[], _T]) -> _T:
        """What another protocol makes of this file, whatever the URL: built once, then remembered."""
        if key not in self._once:
            self._once[key] = build()
        return self._once[key]  # type: ignore[no-any-return]

    def warnings_in(self, source: Source) -> tuple[ParseWarning, ...]:
        """The faults with their evidence, `source` being where the file was fetched from."""
        if not self.warnings:
            return ()
        if self._warned is None or self._warned[0] != source:
            found = tuple(
                ParseWarning(
                    Reason.ROBOTS_DISALLOW, fault.message, source.at(f"line {fault.line}", fault.raw)
                )
                for fault in self.warnings
            )
            self._warned = source, found
        return self._warned[1]


def _merged(sections: list[_Section]) -> Group:
    return Group(
        tuple(rule for section in sections for rule in section.rules),
        tuple(line for section in sections for line in section.usage),
        tuple(line for section in sections for line in section.records),
    )


def _folded(token: str) -> str:
    # Not for other scripts: the Kelvin sign would become a `k`.
    return token.lower() if token.isascii() else token


def valid_token(token: str) -> bool:
    """Whether `token` can be a product token.

    RFC 9309, section 2.2.1, has ASCII letters, `-` and `_`; digits are an extension, since agents in the
    field have them (`img2dataset`, `AI2Bot`).
    """
    return _TOKEN.fullmatch(token) is not None


def _lines(body: bytes, *, truncated: bool) -> list[str]:
    if len(body) > ROBOTS_MAX:
        # One octet more shows whether the line was just complete.
        body, truncated = body[: ROBOTS_MAX + 1], True
    if truncated:
        body = body[: max(body.rfind(b"\n"), body.rfind(b"\r")) + 1]
    text = body.replace(b"\0", b"").decode("utf-8", "surrogateescape")
    # section 2.2: EOL is CR, LF or CRLF; str.splitlines knows eight more.
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")


class _Parser:
    """The state of one pass over the lines."""

    def __init__(self) -> None:
        self.sections: dict[str, list[_Section]] = {}
        self.preamble: list[Line] = []
        self.faults: list[Fault] = []
        self._section: _Section | None = None
        self._in_run = False  # the last line that is no record was a User-agent line
        self._since_rule = 0  # records of the section that stand before its last rule

    def fault(self, number: int, message: str, raw: str) -> None:
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(Fault(number, message, raw))

    def line(self, number: int, raw: str) -> None:
        content = raw[: raw.index("#")] if "#" in raw else raw  # section 2.2: a comment may end any line
        written, colon, value = content.partition(":")
        key = written.strip().lower()
        value = value.strip()
        kind = _KEYS.get(key) if colon else None
        if kind is None:
            # A BOM amid the file shows where two files were joined.
            content = content.strip().lstrip(_FIRST_MARKS if number == 1 else "\ufeff").strip()
            if not content:
                return
            kind, value = self._repaired(number, content, raw)
        elif kind != key:
            self.fault(number, f"read as {kind.capitalize()}", raw)

        if kind in _RULES:
            self._rule(number, kind, value, raw)
        elif kind == _USER_AGENT:
            self._user_agent(number, value, raw)
        elif kind:
            self._record(Line(number, kind, value, raw))

    def _repaired(self, number: int, content: str, raw: str) -> tuple[str, str]:
        """Key and value of a line whose key is none of the grammar's; no key: nothing can be read."""
        written, colon, value = content.partition(":")
        key = written.strip().lower()
        if colon and key in _KEYS:
            return _KEYS[key], value.strip()
        if content[0] in _BARE_INITIALS:
            # A missing colon, before exactly one value.
            first, *rest = content.rsplit(None, 1)
            bare = " ".join(first.split()).lower()
            if rest and bare in _BARE_KEYS:
                kind = _KEYS[bare]
                self.fault(number, f"no colon: read as {kind.capitalize()}", raw)
                return kind, rest[0]
        if not key or not colon:
            self.fault(number, "neither a rule nor a record", raw)
            return "", ""
        return key, value.strip()

    def _user_agent(self, number: int, value: str, raw: str) -> None:
        if self._section is None or not self._in_run:
            self._section, self._in_run, self._since_rule = _Section(), True, 0
        token = _folded(_TOKEN_END.split(value, maxsplit=1)[0])
        if not token:
            self.fault(number, "User-agent without a product token", raw)
            return
        named = self.sections.setdefault(token, [])
        if not named or named[-1] is not self._section:
            named.append(self._section)

    def _rule(self, number: int, kind: str, value: str, raw: str) -> None:
        section = self._section
        if section is None:
            self.fault(number, "a rule before the first User-agent line is ignored", raw)
            return
        self._in_run = False
        self._since_rule = len(section.records)
        if kind == _CONTENT_USAGE:
            section.usage.append(Line(number, kind, value, raw))
            return
        if value and value[0] not in "/*":
            # section 2.2: a path-pattern starts with `/`; field practice adds `*`
            self.fault(number, "a pattern that does not start with / or * matches nothing", raw)
        section.rules.append(Rule(kind == _ALLOW, value, number, raw))

    def _record(self, line: Line) -> None:
        # section 2.2.4: other records neither end a group nor split a run of User-agent lines
        (self.preamble if self._section is None else self._section.records).append(line)

    def result(self) -> Robots:
        last = self._section
        trailing = [] if last is None or self._in_run else last.records[self._since_rule :]
        return Robots(self.sections, tuple(self.preamble), tuple(trailing), tuple(self.faults))


def parse(body: bytes, *, truncated: bool = False) -> Robots:
    """Reads a robots.txt; any bytes give a value, lines that cannot be read are passed over.

    Args:
        body: the file, content encoding undone; at most its first `ROBOTS_MAX` octets are read.
        truncated: the body was cut before its end; the line that the cut may have gone through is dropped.

    Returns:
        the groups and records, after RFC 9309, section 2.2.
    """
    parser = _Parser()
    for number, raw in enumerate(_lines(body, truncated=truncated), 1):
        if raw:
            parser.line(number, raw)
    return parser.result()


def access(robots: Robots, token: str, target: str, source: Source) -> Reading:
    """Whether the crawler with the product token `token` may fetch a path.

    Args:
        robots: the file.
        token: our product token.
        target: path and query in canonical form.
        source: the file's origin, for the evidence.

    Returns:
        one denying statement when a Disallow decides (RFC 9309, section 2.2.2), else none: an Allow is no
        permission to train; and the file's faults.
    """
    warnings = robots.warnings_in(source)
    rule = robots.group(token).refusal(target)
    if rule is None:
        return Reading((), warnings)
    evidence = source.at(f"line {rule.line}", rule.raw)
    statement = Statement(Reason.ROBOTS_DISALLOW, Preference.DISALLOW, str(rule), evidence)
    return Reading((statement,), warnings)
