"""RSL, Really Simple Licensing 1.0: where a licence document is announced, and what it says of training.

A document is XML: `<content url="...">` elements name pictures by path or URL, each with its licences. To a
crawler without a licence token it allows what a licence covers and asks nothing for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urljoin

import can_ada
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, XMLParser

from heedful.model import (
    RAW_MAX,
    ParseWarning,
    Preference,
    Purpose,
    Reading,
    Reason,
    Statement,
    Strength,
)
from heedful.signals._faults import Fault
from heedful.signals._paths import URL_MAX, PathPattern, split_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from heedful.model import Headers, Source
    from heedful.signals.robots import Robots

NAMESPACE: Final = "https://rslstandard.org/rsl"
"""The XML namespace of the elements that are read."""

MEDIA_TYPE: Final = "application/rsl+xml"
"""The type that a link must have; a `rel="license"` of another type is no RSL."""

UNUSABLE: Final = "rsl_unusable"
"""The policy's switch for documents that are announced but cannot be had or read."""

ANNOUNCED_MAX: Final = 4
"""Most documents that one file or response announces to us; each is one more thing to fetch."""

DOCUMENT_MAX: Final = 1_048_576
"""Octets of a document; a longer one is refused."""

DEPTH_MAX: Final = 64
"""Deepest nesting of elements; RSL needs five levels, a document that it is embedded in some more."""

CONTENTS_MAX: Final = 10_000
"""Most `<content>` elements that are read; matched one by one, they still take milliseconds a picture."""

FAULTS_MAX: Final = 10
"""Most warnings that are kept for one document; they are repeated with every picture judged by it."""


# -- where a document is announced -----------------------------------------------------------------------


class Announcement(NamedTuple):
    """A licence document that a robots.txt or a response points to.

    Attributes:
        url: its absolute http(s) URL, without fragment.
        where: the place where it is announced, such as `line 3` or `header Link`.
        raw: the text that announces it, cut at `RAW_MAX` characters.
    """

    url: str
    where: str
    raw: str


def announced(robots: Robots, token: str, robots_url: str) -> tuple[Announcement, ...]:
    """The documents that a robots.txt announces to us, the first `ANNOUNCED_MAX` of them.

    Args:
        robots: the file.
        token: our product token.
        robots_url: the file's URL, which relative references start from.

    Returns:
        What the License records of our group announce; if it has none, those outside of any group. Records
        that trail the last group are taken as that group's and as global ones: what either reading yields.
    """
    group, outside, trailing = (
        {line for line in lines if line.key == "license"}
        for lines in (robots.group(token).records, robots.preamble, robots.trailing)
    )
    # 4.4 "License directive": those of a group replace the global ones
    if_of_the_group = group or outside
    if_global = group - trailing or outside | trailing
    return _distinct(
        (line.value.strip("<>"), f"line {line.number}", line.raw, robots_url)
        for line in sorted(if_of_the_group | if_global)
    )


def linked(headers: Headers, url: str) -> tuple[Announcement, ...]:
    """The documents that the Link lines of a response announce, the first `ANNOUNCED_MAX` of them.

    Args:
        headers: the response's header lines.
        url: the response's URL, which relative references start from.
    """
    lines = [value for name, value in headers if name.lower() == "link"]
    return _distinct(
        (target, "header Link", line, url) for line in lines for target in _licence_links(line, url)
    )


def _distinct(references: Iterable[tuple[str, str, str, str]]) -> tuple[Announcement, ...]:
    found: dict[str, Announcement] = {}
    for reference, where, raw, base in references:
        url = _absolute(reference, base)
        if url is not None and url not in found:
            found[url] = Announcement(url, where, raw[:RAW_MAX])
            if len(found) == ANNOUNCED_MAX:
                break
    return tuple(found.values())


def _absolute(reference: str, base: str) -> str | None:
    """The URL of a reference, without fragment; None for what is empty, or is no http(s) URL."""
    reference = reference.strip()
    if not reference or len(reference) > URL_MAX:
        return None
    try:
        url = can_ada.parse(urljoin(base, reference)).href.partition("#")[0]
    except (ValueError, TypeError):  # TypeError: lone surrogates
        return None
    return None if split_url(url) is None else url


# RFC 8288, appendix B.2: `<target>`, then parameters with perhaps quoted values; commas divide the links.
_TARGET: Final = re.compile(r"\s*<([^<>]*)>")
_PARAMETER: Final = re.compile(
    r"""\s*;\s*([^\s=;,"]*)\s*(?:=\s*(?:"([^"\\]*(?:\\.[^"\\]*)*)"?|([^;,"]*)))?""", re.DOTALL
)


def _licence_links(line: str, base: str) -> Iterator[str]:
    """The targets of those links in a line that announce a document."""
    position = 0
    while True:
        target = _TARGET.match(line, position)
        if target is not None:
            position = target.end()
            parameters: dict[str, str] = {}
            while parameter := _PARAMETER.match(line, position):
                position = parameter.end()
                name, quoted, bare = parameter.groups()
                value = (bare or "").rstrip() if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
                parameters.setdefault(name.lower(), value)  # section 3.3: the first one counts
            if _announces(parameters, base):
                yield target[1]
        position = line.find(",", position) + 1
        if not position:
            return


def _announces(parameters: dict[str, str], base: str) -> bool:
    if "license" not in parameters.get("rel", "").lower().split():
        return False
    if parameters.get("type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        return False
    # RFC 8288, section 3.2: a link with an anchor speaks of what the anchor names
    anchor = parameters.get("anchor", "")
    return not anchor or _absolute(anchor, base) == _absolute(base, base)


# -- what a document says --------------------------------------------------------------------------------

_KINDS: Final = (Purpose.TRAIN_GENERATIVE, Purpose.TRAIN_NONGENERATIVE)

# "Usage and User Classification Vocabularies": `all` > `ai-all` > (`ai-train`, `ai-input`, `ai-index`);
# `train-ai` and `train-genai` are those of the drafts.
_TRAINING: Final[dict[str, tuple[Purpose, ...]]] = {
    **dict.fromkeys(("all", "ai-all", "ai-train", "train-ai"), _KINDS),
    "train-genai": (Purpose.TRAIN_GENERATIVE,),
    **dict.fromkeys(("ai-input", "ai-index", "search"), ()),
}


class Term(NamedTuple):
    """What a `<content>` says of one kind of training.

    Attributes:
        preference: what it says.
        rule: the words that it follows from, such as `prohibits ai-train`.
        where: the place of the `<content>` in the document, counted from 1.
        raw: its text without the end tag, cut at `RAW_MAX` characters.
    """

    preference: Preference
    rule: str
    where: str
    raw: str


@dataclass(frozen=True, slots=True)
class Content:
    """A `<content>` element, ready to be matched.

    Attributes:
        origin: the origin that it speaks of; None: its `url` is a path, on any origin.
        pattern: the pattern for path and query.
        generative: what it says of generative models; None: nothing.
        nongenerative: what it says of other models; None: nothing.
    """

    origin: str | None
    pattern: PathPattern
    generative: Term | None
    nongenerative: Term | None


@dataclass(frozen=True, slots=True)
class Document:
    """A licence document, parsed.

    Attributes:
        contents: its `<content>` elements, in their order.
        faults: what is malformed in them, the first `FAULTS_MAX`.
        broken: why nothing of it can be used; None: it can.
    """

    contents: tuple[Content, ...] = ()
    faults: tuple[Fault, ...] = ()
    broken: Fault | None = None

    def read(self, origin: str, target: str, source: Source) -> Reading:
        """What the document says of training with one picture.

        Args:
            origin: the origin of the picture's URL, as `heedful.signals._paths.split_url` gives it.
            target: canonical path and query of that URL.
            source: the document.
        """
        if self.broken is not None:
            return unusable(source, self.broken.message, self.broken.raw)
        matching = [
            content
            for content in self.contents
            if content.origin in {None, origin} and content.pattern.matches(target)
        ]
        # 3.3 "content": matched as in RFC 9309; the longest pattern wins, equal ones restrict each other
        length = max((content.pattern.length for content in matching), default=0)
        longest = [content for content in matching if content.pattern.length == length]
        generative = _most_restrictive(content.generative for content in longest)
        nongenerative = _most_restrictive(content.nongenerative for content in longest)
        if generative == nongenerative:
            terms = [(Purpose.TRAIN_ANY, generative)]
        else:
            terms = [(Purpose.TRAIN_GENERATIVE, generative), (Purpose.TRAIN_NONGENERATIVE, nongenerative)]
        statements = tuple(
            Statement(Reason.RSL, term.preference, term.rule, source.at(term.where, term.raw), covers=covers)
            for covers, term in terms
            if term is not None
        )
        return Reading(statements, tuple(fault.warning(Reason.RSL, source) for fault in self.faults))


def _most_restrictive(terms: Iterable[Term | None]) -> Term | None:
    return min(filter(None, terms), key=lambda term: term.preference is not Preference.DISALLOW, default=None)


def unusable(source: Source, words: str, raw: str | None = None) -> Reading:
    """What follows from a document that was announced, but cannot be had or read.

    Args:
        source: the document.
        words: what is wrong with it, such as `status 404`.
        raw: its text, as far as there is any.
    """
    evidence = source.at("document", words if raw is None else raw)
    rule = f"unusable document: {words}"
    statement = Statement(
        Reason.RSL, Preference.DISALLOW, rule, evidence, strength=Strength.SOFT, switch=UNUSABLE
    )
    return Reading((statement,), (ParseWarning(Reason.RSL, rule, evidence),))


class _RefusedError(ValueError):
    """A document that is well-formed, perhaps, but is not read."""


class _Element:
    """An element of the namespace, with those of its children that are; or another, nameless, and without."""

    __slots__ = ("attributes", "children", "end", "name", "start", "text")

    def __init__(self, name: str, attributes: dict[str, str], start: int) -> None:
        self.name = name
        self.attributes = attributes
        self.children: list[_Element] = []
        self.text: list[str] = []
        self.start = self.end = start

    def __getitem__(self, attribute: str) -> str:
        return self.attributes.get(attribute, "").strip()


class _Target:
    """Takes the parser's events and keeps the `<content>` elements."""

    _PREFIX = f"{{{NAMESPACE}}}"

    def __init__(self) -> None:
        self.parser = XMLParser(target=self, forbid_dtd=True)
        self.contents: list[_Element] = []
        self.is_rsl = False
        self._open: list[_Element] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self._open) == DEPTH_MAX:
            raise _RefusedError(f"nested more than {DEPTH_MAX} deep")
        name = tag[len(self._PREFIX) :] if tag.startswith(self._PREFIX) else ""
        element = _Element(name, attributes, self.parser.parser.CurrentByteIndex)
        if name and self._open and self._open[-1].name:
            self._open[-1].children.append(element)
        self._open.append(element)
        self.is_rsl |= name == "rsl"

    def data(self, text: str) -> None:
        if self._open[-1].name:
            self._open[-1].text.append(text)

    def end(self, _tag: str) -> None:
        element = self._open.pop()
        element.end = self.parser.parser.CurrentByteIndex
        if element.name == "content" and self._open and self._open[-1].name == "rsl":
            self.contents.append(element)


def parse(body: bytes) -> Document:
    """Parse a licence document, or another XML document with `<rsl>` elements in it.

    Args:
        body: the document, content encoding undone.
    """
    target = _Target()
    try:
        if len(body) > DOCUMENT_MAX:
            raise _RefusedError(f"longer than {DOCUMENT_MAX} octets")
        target.parser.feed(body)
        target.parser.close()
        if not target.is_rsl:
            raise _RefusedError(f"no <rsl> element of the namespace {NAMESPACE}")
    except DefusedXmlException:
        message = "a document type or entities are declared"
    except _RefusedError as error:
        message = str(error)
    except (ParseError, ValueError, LookupError, Warning) as error:  # all but the first: its encoding
        message = f"not well-formed XML: {error}"[:RAW_MAX]
    else:
        return _document(body, target.contents)
    return Document(broken=Fault(message, "document", _text(body, 0, len(body))))


def _text(body: bytes, start: int, end: int) -> str:
    # Read thus, the ASCII part of UTF-16 is legible too.
    return body[start : min(end, start + 4 * RAW_MAX)].decode("utf-8", "replace").replace("\0", "")[:RAW_MAX]


def _document(body: bytes, elements: list[_Element]) -> Document:
    contents: list[Content] = []
    faults: list[Fault] = []
    for number, element in enumerate(elements[:CONTENTS_MAX], 1):
        where = f"content {number}"
        raw = _text(body, element.start, element.end)
        messages: list[str] = []
        place = _place(element["url"])
        if place is None:
            messages.append("url is neither a path nor an http(s) URL: the content is passed over")
        else:
            preferences = _preferences(element, messages)
            terms = (found and Term(*found, where, raw) for found in preferences)
            contents.append(Content(*place, *terms))
        room = FAULTS_MAX - len(faults)
        faults += [Fault(message[:RAW_MAX], where, raw) for message in messages[:room]]
    if len(elements) > CONTENTS_MAX:
        message = f"more than {CONTENTS_MAX} contents: the rest is not read"
        faults.append(Fault(message, f"content {CONTENTS_MAX + 1}", ""))
    return Document(tuple(contents), tuple(faults))


_ABSOLUTE: Final = re.compile(r"(https?://[^/?]*)(.*)", re.IGNORECASE | re.DOTALL)


def _place(url: str) -> tuple[str | None, PathPattern] | None:
    """The origin and the path pattern of a `<content>`."""
    url = url.partition("#")[0]
    if url.startswith(("/", "*")):
        return None, PathPattern(url)
    absolute = _ABSOLUTE.fullmatch(url)
    parts = absolute and split_url(absolute[1])
    if not absolute or not parts:
        return None
    path = absolute[2]
    return parts[0], PathPattern(path if path.startswith("/") else "/" + path)


class _Licence:
    """A `<license>`: its tokens that bear on training, and the first condition that we do not meet."""

    def __init__(self, element: _Element, messages: list[str]) -> None:
        self.prohibited: dict[Purpose, str] = {}
        self.permitted: dict[Purpose, str] = {}
        self.closed: list[str] | None = None  # all that is permitted, if it is listed
        self.unmet: str | None = None
        for child in element.children:
            kind = child["type"]
            tokens = re.split(r"[\s,;]+", "".join(child.text).strip())
            if child.name == "payment":
                # "payment": free is no payment; every other type, attribution too, is unmet
                if kind != "free":
                    self.unmet = self.unmet or f'payment type="{kind}"'
            elif child.name == "reporting":
                self.unmet = self.unmet or "reporting"
            elif child.name == "prohibits" and kind.lower() not in {"user", "geo"}:
                if kind != "usage":
                    messages.append(f'prohibits type="{kind}" is read as usage')
                tokens = [token.lower() for token in tokens]
                self._note(self.prohibited, tokens, messages)
            elif child.name == "permits" and kind == "usage":
                # "permits": a closed list; a token that is not known adds nothing to it
                self.closed = self.closed or []
                self.closed += tokens
                self._note(self.permitted, tokens, messages)
            elif child.name == "permits" and kind not in {"user", "geo"}:
                messages.append(f'permits type="{kind}" is passed over')

    @staticmethod
    def _note(noted: dict[Purpose, str], tokens: list[str], messages: list[str]) -> None:
        for token in filter(None, tokens):
            if token not in _TRAINING:
                messages.append(f"unknown usage {token}")
            for purpose in _TRAINING.get(token, ()):
                noted.setdefault(purpose, token)


def _preferences(content: _Element, messages: list[str]) -> Iterator[tuple[Preference, str] | None]:
    """What a `<content>` says of generative and of other training, each with the rule that decides."""
    licences = [_Licence(element, messages) for element in content.children if element.name == "license"]
    server, encrypted = content["server"], content["encrypted"]
    unmet = None
    # 3.3 "content": with a server a licence must be obtained, even one that costs nothing
    if server:
        unmet = f'server="{server}"'
    elif encrypted not in {"", "false", "0"}:
        unmet = f'encrypted="{encrypted}"'
        if encrypted not in {"true", "1"}:
            messages.append(f"{unmet} is read as true")
    for purpose in _KINDS:
        found = _preference(purpose, licences, unmet)
        yield found and (found[0], found[1][:RAW_MAX])


def _preference(
    purpose: Purpose, licences: list[_Licence], unmet: str | None
) -> tuple[Preference, str] | None:
    # Licences are alternatives, but a prohibition in any of them holds; prohibits beats permits.
    for licence in licences:
        if purpose in licence.prohibited:
            return Preference.DISALLOW, f"prohibits {licence.prohibited[purpose]}"
    if unmet is not None:
        return Preference.DISALLOW, unmet
    for licence in licences:
        if purpose in licence.permitted and licence.unmet is None:
            return Preference.ALLOW, f"permits {licence.permitted[purpose]}"
    for licence in licences:
        if licence.closed is not None and purpose not in licence.permitted:
            return Preference.DISALLOW, f"permits {' '.join(licence.closed)}".rstrip()
        if licence.unmet is not None:
            return Preference.DISALLOW, licence.unmet
    return None
