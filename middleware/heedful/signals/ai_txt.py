"""ai.txt in both its dialects.

Dialect A (Spawning, 2023) has the grammar of robots.txt and matching of its own. Dialect B
(draft-car-ai-txt-wellknown, 2026) is a list of fields, or the same as JSON. The keys in a file tell its
dialect, the location does not.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from heedful.model import NOTHING, RAW_MAX, Preference, Reading, Reason, Statement
from heedful.signals import robots
from heedful.signals._faults import Fault
from heedful.signals._paths import PathPattern, canonical

if TYPE_CHECKING:
    from collections.abc import Iterable

    from heedful.model import Source

PATHS: Final = ("/ai.txt", "/.well-known/ai.txt", "/.well-known/ai.json")
"""Where the files are; each one that is there counts."""

RULES_MAX: Final = 10_000
"""Most rules or globs that are read; matched one by one, they still take milliseconds a picture."""

FAULTS_MAX: Final = 10
"""Most warnings that are kept for one file; they are repeated with every picture judged by it."""

_MALFORMED: Final = "without both Site-Name and Site-URL: it can only deny"


class _Word(NamedTuple):
    """What a file says of one URL, and the place that says it."""

    allow: bool
    rule: str
    where: str
    raw: str


class AiTxt:
    """A parsed file, of either dialect; one that is neither says nothing, as if it were absent."""

    __slots__ = ("_cut", "_fields", "_rules", "_sections", "faults")

    def __init__(
        self,
        sections: robots.Robots | None = None,
        fields: _Fields | None = None,
        faults: tuple[Fault, ...] = (),
        *,
        cut: bool = False,
    ) -> None:
        self.faults = faults
        self._sections = sections
        self._fields = fields
        self._cut = cut
        self._rules: dict[str, _Rules] = {}

    @property
    def absent(self) -> bool:
        """There is no such file: what came in its place is of neither dialect."""
        return self._sections is None and self._fields is None

    def read(self, token: str, target: str, source: Source, media_type: str | None = None) -> Reading:
        """What the file says of training on one picture.

        Args:
            token: our product token.
            target: canonical path and query of the URL.
            source: the file.
            media_type: the picture's Content-Type, once it is known. A URL without an extension is then
                judged as if it had one of that type too.

        Returns:
            one statement at most; any deny in the file is preferred to an allow.
        """
        faults = list(self.faults)
        words: list[_Word] = []
        if self._fields is not None and (said := self._fields.says(token, target)) is not None:
            words.append(said)
        if self._sections is not None:
            rules = self._rules.get(token)
            if rules is None:
                rules = self._rules[token] = _Rules(self._sections.group(token).rules)
            faults += rules.faults
            found = (rules.decide(each) for each in (target, *_with_extension(target, media_type)))
            # In a file of dialect B the rules of dialect A are out of place: they can only deny.
            words += (word for word in found if word and (not word.allow or self._fields is None))
        if self._cut:
            words = [word for word in words if not word.allow]
        if not words and not faults:
            return NOTHING
        return Reading(
            tuple(_statement(word, source) for word in sorted(words, key=lambda word: word.allow)[:1]),
            tuple(fault.warning(Reason.AI_TXT, source) for fault in faults),
        )


def _statement(word: _Word, source: Source) -> Statement:
    preference = Preference.ALLOW if word.allow else Preference.DISALLOW
    return Statement(Reason.AI_TXT, preference, word.rule[:RAW_MAX], source.at(word.where, word.raw))


def parse(body: bytes, content_type: str = "", *, truncated: bool = False) -> AiTxt:
    """Parse an ai.txt or ai.json; any bytes give a value, what is none of them an empty one.

    Args:
        body: the file, in UTF-8, with or without a byte order mark.
        content_type: the Content-Type it was sent with.
        truncated: the body was cut before its end; what is left of it can only deny.
    """
    body = body.removeprefix(b"\xef\xbb\xbf").replace(b"\0", b"")
    start = body.lstrip()[:1]
    if start == b"<":
        return AiTxt()  # a page that says "not found" with status 200
    if start == b"{":
        return _parse_json(body)
    if len(body) > robots.ROBOTS_MAX:
        body, truncated = body[: robots.ROBOTS_MAX + 1], True
    if truncated:
        body = body[: max(body.rfind(b"\n"), body.rfind(b"\r")) + 1]
    lines = [line.decode("utf-8", "surrogateescape") for line in body.splitlines()]
    keys = {line.partition(":")[0].strip().lower() for line in lines if ":" in line}
    fields = _parse_fields(lines) if keys & _FIELD_KEYS else None
    sections = robots.parse(body)
    faults: list[Fault] = []
    if fields is not None:
        faults += fields.faults
    elif sections.tokens or keys & _RULE_KEYS:
        faults += (Fault(fault.message, f"line {fault.line}", fault.raw) for fault in sections.warnings)
    else:
        if "json" in content_type.lower():
            faults.append(Fault("not a JSON object: taken as absent", "file", _start(body)))
        return AiTxt(faults=tuple(faults))
    if truncated:
        faults.insert(0, Fault("cut off: it can only deny", "file", _start(body)))
    return AiTxt(sections, fields, tuple(faults[:FAULTS_MAX]), cut=truncated)


def _start(body: bytes) -> str:
    return body[:RAW_MAX].decode("utf-8", "replace")


# -- dialect A -------------------------------------------------------------------------------------------

_RULE_KEYS: Final = frozenset({"allow", "disallow"})
_EXTENSION: Final = re.compile(r"\.[A-Za-z0-9]+\Z")

_JPEG: Final = (".jpg", ".jpeg", ".jpe", ".jfif")
_EXTENSIONS: Final = {
    "jpeg": _JPEG,
    "jpg": _JPEG,
    "pjpeg": _JPEG,
    "apng": (".apng", ".png"),
    "tiff": (".tif", ".tiff"),
    "bmp": (".bmp", ".dib"),
    "svg+xml": (".svg", ".svgz"),
    "icon": (".ico",),
    "vnd.microsoft.icon": (".ico",),
    "avif": (".avif", ".avifs"),
    "heic": (".heic", ".heif"),
    "heif": (".heif", ".heic"),
    "jp2": (".jp2", ".j2k", ".jpf"),
    "vnd.adobe.photoshop": (".psd",),
}
"""Extensions by subtype of `image`, without `x-`; a subtype that is not listed is an extension itself."""


def _with_extension(target: str, media_type: str | None) -> list[str]:
    """The targets under which a picture is judged again: with each extension of its type before the query."""
    path, mark, query = target.partition("?")
    if media_type is None or "." in path.rpartition("/")[2]:
        return []
    kind, _, subtype = media_type.partition(";")[0].strip().lower().partition("/")
    subtype = subtype.removeprefix("x-")
    if kind != "image":
        return []
    named_alike = (f".{subtype}",) if subtype.isascii() and subtype.isalnum() else ()
    return [f"{path}{extension}{mark}{query}" for extension in _EXTENSIONS.get(subtype, named_alike)]


class _Pattern:
    """One pattern: a prefix with `*`; `$` is an ordinary character, an extension at its end has no case."""

    __slots__ = ("_extension", "_parts", "length", "rule")

    def __init__(self, rule: robots.Rule) -> None:
        parts = [canonical(part) for part in rule.pattern.split("*")]
        self.rule = rule
        self.length = sum(map(len, parts)) + len(parts) - 1
        while len(parts) > 1 and not parts[-1]:
            parts.pop()  # a star at the end of a prefix changes nothing
        extension = _EXTENSION.search(parts[-1])
        self._extension = extension[0].lower() if extension else ""
        parts[-1] = parts[-1].removesuffix(extension[0] if extension else "")
        self._parts = tuple(parts)

    def matches(self, target: str, lowered: str) -> bool:
        """Whether the pattern matches `target` from its start; `lowered` is the same in lower case."""
        *before, last = self._parts
        if not before:
            return target.startswith(last) and lowered.startswith(self._extension, len(last))
        head, *middle = before
        if not target.startswith(head):
            return False
        position = len(head)
        for part in middle:
            found = target.find(part, position)
            if found < 0:
                return False
            position = found + len(part)
        if not self._extension:
            return target.find(last, position) >= 0
        found = lowered.find(self._extension, position + len(last))
        while found >= 0 and not target.endswith(last, position, found):
            found = lowered.find(self._extension, found + 1)
        return found >= 0


class _Rules:
    """The rules of one group, ready to be matched."""

    __slots__ = ("_patterns", "faults")

    def __init__(self, rules: Iterable[robots.Rule]) -> None:
        chosen: dict[str, robots.Rule] = {}
        for rule in sorted(rules, key=lambda rule: rule.allow):  # of equal patterns the Disallow stays
            if rule.pattern:
                chosen.setdefault(rule.pattern, rule)
        kept = list(chosen.values())
        self.faults: tuple[Fault, ...] = ()
        if len(kept) > RULES_MAX:
            unread = kept[RULES_MAX]
            message = f"more than {RULES_MAX} rules: the others are not read, no Allow counts"
            self.faults = (Fault(message, f"line {unread.line}", unread.raw),)
            kept = [rule for rule in kept[:RULES_MAX] if not rule.allow]
        self._patterns = [_Pattern(rule) for rule in kept]
        # longest match; of equal lengths the Disallow, as everywhere but in access by robots.txt
        self._patterns.sort(key=lambda each: (-each.length, each.rule.allow, each.rule.line))

    def decide(self, target: str) -> _Word | None:
        """What the longest matching rule says; no matching rule: unknown."""
        lowered = target.lower()
        for pattern in self._patterns:
            if pattern.matches(target, lowered):
                rule = pattern.rule
                return _Word(rule.allow, str(rule), f"line {rule.line}", rule.raw)
        return None


# -- dialect B -------------------------------------------------------------------------------------------

_SITE_KEYS: Final = ("site-name", "site-url")
_GLOB_KEYS: Final = {"training-allow": True, "training-deny": False}
_FIELD_KEYS: Final = frozenset((*_SITE_KEYS, *_GLOB_KEYS, "training", "agent"))

_COMMENT: Final = re.compile(r"(?:\A|[ \t])#.*", re.DOTALL)
_NAME_END: Final = re.compile(r"[\s/]")
_STARS: Final = re.compile(r"\*{2,}")

_ALLOW, _CONDITIONAL, _INVALID, _DENY = "allow", "conditional", "invalid", "deny"
_SEVERITY: Final = (_ALLOW, _CONDITIONAL, _INVALID, _DENY)


class _Glob:
    """A glob for paths, anchored at both ends.

    The draft does not say what a glob is. In its author's implementation, as in shells, `*` stays within a
    folder and `**` does not; `?` is any character in shells, itself in the implementation. A deny is read as
    whatever it may mean, an allow as what it means to all.
    """

    __slots__ = ("_below", "_flat", "_query", "_whole", "length", "word")

    def __init__(self, glob: str, word: _Word) -> None:
        text = glob.replace("$", "%24")
        self.word = word
        self.length = PathPattern(_STARS.sub("*", text)).length
        self._query = "?" in text
        # As many slashes as in the glob: none was matched by a star.
        self._flat = None if "**" in text else text.count("/")
        if not word.allow:
            text = text.replace("/**/", "/*").replace("?", "*")
            text = text if text[0] in "/*" else f"*{text}"
        self._whole = PathPattern(f"{text}$")
        self._below = PathPattern(text.rstrip("/") + "/")

    def matches(self, target: str) -> bool:
        """Whether it matches a path; the query is left out, unless the glob is or may be for it as well."""
        path = target.partition("?")[0]
        if self.word.allow:
            path = target if self._query else path
            return self._whole.matches(path) and self._flat in {None, path.count("/")}
        # what denies a folder denies what is in it
        return any(self._whole.matches(each) or self._below.matches(each) for each in {path, target})


class _Training(NamedTuple):
    """A value of `Training`, and its place."""

    value: str
    word: _Word


class _Block:
    """The fields of the site, or those under an Agent line."""

    __slots__ = ("allow", "deny", "title", "training")

    def __init__(self, title: str = "") -> None:
        self.title = title
        self.training: _Training | None = None
        self.allow: list[_Glob] = []
        self.deny: list[_Glob] = []


class _Fields:
    """The fields of a file, however they were written."""

    __slots__ = ("_agents", "_globs", "_names", "faults", "site")

    def __init__(self) -> None:
        self.site = _Block()
        self.faults: list[Fault] = []
        self._agents: dict[str, _Block] = {}
        self._names: dict[str, tuple[str, str]] = {}
        self._globs = 0

    def fault(self, message: str, where: str, raw: str) -> None:
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(Fault(message, where, raw))

    def name(self, key: str, value: str, where: str, raw: str) -> None:
        """Notes one of the two required fields."""
        if value:
            self._names.setdefault(key, (where, raw))

    def agent(self, name: str) -> _Block:
        """The block of an agent; "Agent Blocks": the first token of its User-Agent, in any case."""
        name = _folded(_NAME_END.split(name.strip(), maxsplit=1)[0])
        return self._agents.setdefault(name, _Block(f"Agent: {name}, "))

    def train(self, block: _Block, value: object, where: str, raw: str) -> None:
        """Notes a `Training`; of several in one block the most restrictive counts."""
        written = value.strip().lower() if isinstance(value, str) else ""
        if written not in _SEVERITY or written == _INVALID:
            self.fault("Training is none of allow, deny, conditional: read as if it were missing", where, raw)
            written = _INVALID
        known = block.training
        if known is None or _SEVERITY.index(written) > _SEVERITY.index(known.value):
            said = "deny (by default)" if written == _INVALID else written
            word = _Word(written == _ALLOW, f"{block.title}Training: {said}", where, raw)
            block.training = _Training(written, word)

    def path(self, block: _Block, glob: object, where: str, raw: str, *, allow: bool) -> None:
        """Notes a glob."""
        if not isinstance(glob, str) or not glob.strip():
            self.fault("no glob", where, raw)
            return
        glob = glob.strip()
        self._globs += 1
        if self._globs > RULES_MAX:
            if self._globs == RULES_MAX + 1:
                self.fault(
                    f"more than {RULES_MAX} globs: the others are not read, nothing allows", where, raw
                )
            return
        if glob[0] not in "/*":
            self.fault("a glob that does not start with / or * can only deny", where, raw)
        key = "Training-Allow" if allow else "Training-Deny"
        word = _Word(allow, f"{block.title}{key}: {glob}", where, raw)
        (block.allow if allow else block.deny).append(_Glob(glob, word))

    def finish(self) -> None:
        """Notes what is missing, once everything is read."""
        if len(self._names) < len(_SITE_KEYS):
            self.faults = [Fault(_MALFORMED, "file", ""), *self.faults[: FAULTS_MAX - 1]]

    def says(self, token: str, target: str) -> _Word | None:
        """What the fields say of one URL to one agent."""
        # the block for our token, else the one for `*`, overrides field by field
        block = self._agents.get(_folded(token)) or self._agents.get("*")
        blocks = [self.site] if block is None else [block, self.site]
        trainings = [block.training for block in blocks if block.training is not None]
        # Training-Deny always counts; one in a block comes on top of the site's
        denied = _longest((glob for block in blocks for glob in block.deny), target)
        if len(self._names) < len(_SITE_KEYS):
            explicit = [training.word for training in trainings if training.value == _DENY]
            return explicit[0] if explicit else (denied.word if denied else None)
        if not trainings:
            # default "deny"
            return _Word(False, "Training: deny (by default)", *self._names["site-name"])  # noqa: FBT003
        value, word = trainings[0]
        all_read = self._globs <= RULES_MAX
        if value == _ALLOW:
            return denied.word if denied else (word if all_read else None)
        if value != _CONDITIONAL:
            return word._replace(allow=False)
        globs = next((block.allow for block in blocks if block.allow), [])
        allowed = _longest(globs, target) if all_read else None
        # the longest glob wins, a tie denies
        if allowed is not None and (denied is None or allowed.length > denied.length):
            return allowed.word
        # no match denies
        return denied.word if denied else word._replace(rule=f"{word.rule}, and no glob allows it")


def _longest(globs: Iterable[_Glob], target: str) -> _Glob | None:
    matching = (glob for glob in globs if glob.matches(target))
    return max(matching, key=lambda glob: glob.length, default=None)


def _folded(name: str) -> str:
    # Not for other scripts: the Kelvin sign would become a `k`.
    return name.lower() if name.isascii() else name


def _parse_fields(lines: list[str]) -> _Fields:
    """The text form: `Key: value`, and indented lines that belong to the Agent line above them."""
    fields = _Fields()
    agent: _Block | None = None
    for number, raw in enumerate(lines, 1):
        key, colon, value = _COMMENT.sub("", raw).partition(":")
        key, value = key.strip().lower(), value.strip()
        if not key and not colon:
            continue
        where = f"line {number}"
        indented = raw[0] in " \t"
        if not indented:
            agent = None
        if key == "agent":
            if value:
                agent = fields.agent(value)
            else:
                fields.fault("Agent without a name", where, raw)
            continue
        if key not in _FIELD_KEYS:
            continue  # other fields say nothing of training
        block = agent or fields.site
        if indented and agent is None:
            fields.fault("indented, but under no Agent line: it can only deny", where, raw)
            if key != "training-deny" and (key, value.lower()) != ("training", _DENY):
                continue
        if key in _SITE_KEYS:
            if agent is None:
                fields.name(key, value, where, raw)
        elif key == "training":
            fields.train(block, value, where, raw)
        else:
            fields.path(block, value, where, raw, allow=_GLOB_KEYS[key])
    fields.finish()
    return fields


def _parse_json(body: bytes) -> AiTxt:
    """The JSON form: `site`, `policies`, `trainingPaths`, `agents`."""
    try:
        data = json.loads(body.decode())
    except (ValueError, RecursionError):  # not UTF-8, not JSON, or nested too deeply
        return AiTxt(faults=(Fault("not valid JSON: taken as absent", "file", _start(body)),))
    site, policies, paths, agents = (
        _object(data, key) for key in ("site", "policies", "trainingPaths", "agents")
    )
    if not (paths or agents or "training" in policies or "name" in site or "url" in site):
        return AiTxt()
    fields = _Fields()
    for key, name in zip(_SITE_KEYS, ("name", "url"), strict=True):
        value = site.get(name)
        if isinstance(value, str):
            fields.name(key, value.strip(), f"site.{name}", _raw(value))
    _training(fields, fields.site, policies, "policies")
    for name, entry in agents.items():
        _training(fields, fields.agent(name), entry, f"agents.{name[:RAW_MAX]}")
    for key, allow in (("allow", True), ("deny", False)):
        globs = paths.get(key, [])
        if not isinstance(globs, list):
            fields.fault("not an array: it can only deny", f"trainingPaths.{key}", _raw(globs))
            globs = [] if allow else [globs]
        for number, glob in enumerate(globs):
            fields.path(fields.site, glob, f"trainingPaths.{key}[{number}]", _raw(glob), allow=allow)
    fields.finish()
    return AiTxt(fields=fields, faults=tuple(fields.faults))


def _object(data: Any, key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _training(fields: _Fields, block: _Block, entry: Any, where: str) -> None:
    if isinstance(entry, dict) and entry.get("training") is not None:
        fields.train(block, entry["training"], f"{where}.training", _raw(entry["training"]))


def _raw(item: object) -> str:
    return json.dumps(item)[:RAW_MAX]
