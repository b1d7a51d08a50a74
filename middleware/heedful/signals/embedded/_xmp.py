"""XMP packets (ISO 16684-1): PLUS Data Mining, TDMRep's properties, noai and noimageai in usage terms.

Namespaces decide what a property is. Its place does not matter: an SVG is read like a packet, since tools
keep the properties outside of `rdf:RDF` too, and nothing else has these names.
"""

from __future__ import annotations

import html
import re
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple
from xml.parsers import expat

from heedful.model import (
    NOTHING,
    RAW_MAX,
    Evidence,
    ParseWarning,
    Preference,
    Purpose,
    Reading,
    Reason,
    Statement,
)
from heedful.signals.tdmrep import NOT_RESERVED, RESERVED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heedful.model import Source
    from heedful.signals.embedded._parts import Part

PACKET_MAX: Final = 8_388_608
"""Octets of a packet that are read; extended XMP that carries a depth map takes some megabytes."""

ELEMENTS_MAX: Final = 100_000
"""Most `<` of a packet that is parsed; one of more is only scanned. A history of 10,000 steps has 20,000."""

ATTRIBUTES_MAX: Final = 100_000
"""Most `=` of a packet that is parsed: the parser hands out all attributes of an element at once."""

DEPTH_MAX: Final = 200
"""Deepest nesting within a property; structures of arrays of structures need about ten."""

OCCURRENCES_MAX: Final = 1_000
"""Most places of a malformed packet that are looked at because a property's name stands there."""

MARKUP_MAX: Final = 10_000
"""Most comments, CDATA sections and instructions that are taken out of a malformed packet."""

PIECES_MAX: Final = 64
"""Most tags of a property that are looked at in a malformed packet."""

TEXT_MAX: Final = 4_096
"""Octets of a text, tag or attribute that are looked at in a malformed packet; values have a hundred."""

LOOKBACK_MAX: Final = 8_192
"""Octets before an attribute of a malformed packet in which the tag that it belongs to must begin."""

STATEMENTS_MAX: Final = 64
"""Most statements, and most warnings, that a packet gives; they are repeated in the ledger."""


class Packet(NamedTuple):
    """What a part says.

    Attributes:
        reading: its statements and warnings.
        remote_manifest: a C2PA manifest that lies elsewhere, noted with its URL.
    """

    reading: Reading = NOTHING
    remote_manifest: Statement | None = None


_NO_PACKET: Final = Packet()

# -- names -----------------------------------------------------------------------------------------------

PLUS: Final = "http://ns.useplus.org/ldf/xmp/1.0/"
"""The namespace of PLUS LDF's XMP properties."""

VOCABULARY: Final = "http://ns.useplus.org/ldf/vocab/"
"""What the keys of PLUS's vocabulary follow in a URL."""

TDM: Final = "http://www.w3.org/ns/tdmrep/"
"""TDMRep's namespace, in "TDM Metadata in PDF Content"."""

_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XMP_RIGHTS: Final = "http://ns.adobe.com/xap/1.0/rights/"

_DATA_MINING: Final = "plus:DataMining"
_CONSTRAINTS: Final = "plus:OtherConstraints"
_RESERVATION: Final = "tdm:reservation"
_POLICY: Final = "tdm:policy"
_TERMS: Final = "xmpRights:UsageTerms"
_PROVENANCE: Final = "dcterms:provenance"

_PROPERTIES: Final = (
    (_DATA_MINING, PLUS, "DataMining"),
    (_CONSTRAINTS, PLUS, "OtherConstraints"),
    (_RESERVATION, TDM, "reservation"),
    (_POLICY, TDM, "policy"),
    (_TERMS, _XMP_RIGHTS, "UsageTerms"),
    ("dc:rights", "http://purl.org/dc/elements/1.1/", "rights"),
    ("Iptc4xmpExt:DigitalSourceType", "http://iptc.org/std/Iptc4xmpExt/2008-02-29/", "DigitalSourceType"),
    (_PROVENANCE, "http://purl.org/dc/terms/", "provenance"),
)

_NOTED: Final = (_CONSTRAINTS, _TERMS, "dc:rights", "Iptc4xmpExt:DigitalSourceType")
"""Not judged, but recorded: the first of each."""

_NEEDLES: Final = (
    b"DataMining",
    b"reservation",
    b"UsageTerms",
    b"DigitalSourceType",
    b"provenance",
    b":rights",
    b"<rights",
)
"""Names of elements and attributes cannot be escaped in XML: a packet without any of these says nothing.

`OtherConstraints` and `policy` mean nothing alone; `/rights/` stands in the namespace of XMP's rights schema.
"""

_SEPARATOR: Final = "\n"
"""Stands between namespace and name; expat refuses namespaces that hold it."""


def _aliases(namespace: str) -> tuple[str, ...]:
    """A namespace and how it is misspelt; the `#` is that of TDMRep's EPUB metadata."""
    bare = namespace.partition("://")[2].rstrip("/")
    return tuple(f"{scheme}://{bare}{end}" for scheme in ("http", "https") for end in ("/", "", "#"))


_NAMES: Final = {
    f"{uri}{_SEPARATOR}{local}": (name, uri == namespace and local == own)
    for name, namespace, own in _PROPERTIES
    for uri in (_aliases(namespace) if name in {_DATA_MINING, _RESERVATION, _TERMS} else (namespace,))
    for local in ((own, "tdm-reservation") if name == _RESERVATION else (own,))
}
"""Properties by expanded name; True if that is their own name, which may allow too."""

_KNOWN: Final = frozenset(_NAMES)

_STRUCTURE: Final = frozenset(
    f"{_RDF}{_SEPARATOR}{local}" for local in ("Alt", "Bag", "Description", "Seq", "li", "value")
)
_RESOURCE: Final = f"{_RDF}{_SEPARATOR}resource"
_VALUE: Final = f"{_RDF}{_SEPARATOR}value"
_ABOUT: Final = f"{_RDF}{_SEPARATOR}about"

# -- PLUS's vocabulary -----------------------------------------------------------------------------------

_ANY: Final = (Preference.DISALLOW, Purpose.TRAIN_ANY)
_KEYS: Final = {
    "DMI-UNSPECIFIED": (Preference.UNKNOWN, Purpose.TRAIN_ANY),
    "DMI-ALLOWED": (Preference.ALLOW, Purpose.TRAIN_ANY),
    "DMI-PROHIBITED": _ANY,
    "DMI-PROHIBITED-AIMLTRAINING": _ANY,
    "DMI-PROHIBITED-GENAIMLTRAINING": (Preference.DISALLOW, Purpose.TRAIN_GENERATIVE),
    "DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING": _ANY,
    "DMI-PROHIBITED-SEECONSTRAINT": _ANY,
    "DMI-PROHIBITED-SEEEMBEDDEDRIGHTSEXPR": _ANY,
    "DMI-PROHIBITED-SEELINKEDRIGHTSEXPR": _ANY,
}

_LABELS: Final = {
    "Unspecified": "DMI-UNSPECIFIED",
    "Unspecified - no prohibition defined": "DMI-UNSPECIFIED",
    "Allowed": "DMI-ALLOWED",
    "Prohibited": "DMI-PROHIBITED",
    "Prohibited for AI/ML training": "DMI-PROHIBITED-AIMLTRAINING",
    "Prohibited for Generative AI/ML training": "DMI-PROHIBITED-GENAIMLTRAINING",
    "Prohibited except for search engine indexing": "DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING",
    "Prohibited, see Other Constraints property": "DMI-PROHIBITED-SEECONSTRAINT",
    "Prohibited, see plus:OtherConstraints": "DMI-PROHIBITED-SEECONSTRAINT",
    "Prohibited, see Embedded Encoded Rights Expression property": "DMI-PROHIBITED-SEEEMBEDDEDRIGHTSEXPR",
    "Prohibited, see iptcExt:EmbdEncRightsExpr": "DMI-PROHIBITED-SEEEMBEDDEDRIGHTSEXPR",
    "Prohibited, see Linked Encoded Rights Expression property": "DMI-PROHIBITED-SEELINKEDRIGHTSEXPR",
    "Prohibited, see iptcExt:LinkedEncRightsExpr": "DMI-PROHIBITED-SEELINKEDRIGHTSEXPR",
}
"""The labels of PLUS's vocabulary as IPTC lists and ExifTool prints them."""


def _folded(text: str) -> str:
    return "".join(text.casefold().split())


_FOLDED_LABELS: Final = {_folded(label): key for label, key in _LABELS.items()}
_PROHIBITED: Final = re.compile(r"DMI-PROHIBITED[\w-]*", re.IGNORECASE)


def _mining(text: str) -> tuple[Preference, Purpose, str] | None:
    """What a value of `plus:DataMining` says, and the key that says it; None: none of the vocabulary."""
    key = text.removeprefix(VOCABULARY)
    key = _LABELS.get(key, key)
    if key in _KEYS:
        return (*_KEYS[key], key)
    # not as PLUS writes it: it can only deny
    prohibited = _PROHIBITED.search(text)
    if prohibited is not None:
        key = prohibited[0].upper()
    else:
        folded = _folded(text[:TEXT_MAX])
        key = _FOLDED_LABELS.get(folded, text if folded.startswith("prohibited") else "")
        if not key or _KEYS.get(key, _ANY)[0] is Preference.ALLOW:
            return None
    return (*_KEYS.get(key, _ANY), key[:RAW_MAX])


# -- the parser ------------------------------------------------------------------------------------------


class _Value(NamedTuple):
    """A value of a property.

    Attributes:
        name: the property, as prefixed in its specification.
        text: the value, stripped.
        exact: its place and namespace are those of the specification; otherwise it can only deny.
    """

    name: str
    text: str
    exact: bool


class _RefusedError(ValueError):
    """A packet that is well-formed, perhaps, but is not parsed."""


class _Parser:
    """Keeps the values of the properties; most elements cost one look at their names."""

    def __init__(self) -> None:
        self.values: list[_Value] = []
        self._open: list[tuple[str, bool]] = []
        self._texts: list[str] = []
        self._parser = parser = expat.ParserCreate("utf-8", _SEPARATOR)
        parser.buffer_text = True
        parser.StartElementHandler = self._start

    def parse(self, body: bytes) -> None:
        """Take a packet.

        Raises:
            expat.ExpatError, _RefusedError: it is malformed; what came before the fault is kept.
        """
        # One root for packets that follow each other. No document type can be declared within it, hence no
        # entity; the encoding is known, whatever is declared.
        try:
            self._parser.Parse(b"<_>" + body + b"</_>", True)  # noqa: FBT003 - takes no keywords
        finally:
            while self._open:
                self._flush()
                self._open.pop()
            # handlers hold what holds the parser: it would wait for the garbage collector
            self._parser.StartElementHandler = None
            self._parser.EndElementHandler = None
            self._parser.CharacterDataHandler = None

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name in _KNOWN:
            self._open.append(_NAMES[name])
            self._attributes(attributes, nested=False)
            self._parser.StartElementHandler = self._start_within
            self._parser.EndElementHandler = self._end_within
            self._parser.CharacterDataHandler = self._texts.append
        elif attributes and not _KNOWN.isdisjoint(attributes):
            self._properties(attributes)

    def _properties(self, attributes: dict[str, str]) -> None:
        for name, text in attributes.items():
            if name in _KNOWN:
                self._keep(*_NAMES[name], text)

    def _attributes(self, attributes: dict[str, str], *, nested: bool) -> None:
        if not attributes:
            return
        self._properties(attributes)
        name, exact = self._open[-1]
        for attribute, right in ((_RESOURCE, True), (_VALUE, True), ("resource", False)):
            self._keep(name, exact and right, attributes.get(attribute, ""))
        if nested:  # a resource with properties of its own
            self._keep(name, exact, attributes.get(_ABOUT, ""))

    def _start_within(self, name: str, attributes: dict[str, str]) -> None:
        self._flush()
        if len(self._open) == DEPTH_MAX:
            raise _RefusedError(f"nested more than {DEPTH_MAX} deep")
        outer, exact = self._open[-1]
        self._open.append(_NAMES.get(name, (outer, exact and name in _STRUCTURE)))
        self._attributes(attributes, nested=name not in _KNOWN)

    def _end_within(self, _name: str) -> None:
        self._flush()
        self._open.pop()
        if not self._open:
            self._parser.StartElementHandler = self._start
            self._parser.EndElementHandler = None
            self._parser.CharacterDataHandler = None

    def _flush(self) -> None:
        if self._texts:
            self._keep(*self._open[-1], "".join(self._texts))
            self._texts.clear()

    def _keep(self, name: str, exact: bool, text: str) -> None:  # noqa: FBT001 - the fields of a value
        text = text.strip()
        if text:
            self.values.append(_Value(name, text, exact))


_DECLARATION: Final = re.compile(rb"<\?xml\s[^<>]{0,256}\?>")
_DOCTYPE: Final = re.compile(rb"<!DOCTYPE\s[^\[\]<>]{0,1024}>")


def _parsed(body: bytes) -> tuple[list[_Value], str | None]:
    """The values of the properties, and what is wrong with the packet."""
    end = body.rfind(b">") + 1
    body = body[body.find(b"<") : end if body.find(b"<", end) < 0 else len(body)]
    most = min(ELEMENTS_MAX, ATTRIBUTES_MAX)
    if len(body) > most and (body.count(b"<") > ELEMENTS_MAX or body.count(b"=") > ATTRIBUTES_MAX):
        return [], f"more than {ELEMENTS_MAX} elements or {ATTRIBUTES_MAX} attributes"
    values, fault = _parsed_as_is(body)
    if fault is not None:
        # the declarations of a document are a fault within our root; those that declare an entity stay one
        bare = _DOCTYPE.sub(b"", _DECLARATION.sub(b"", body, count=PIECES_MAX), count=1)
        if len(bare) < len(body):
            return _parsed_as_is(bare)
    return values, fault


def _parsed_as_is(body: bytes) -> tuple[list[_Value], str | None]:
    parser = _Parser()
    try:
        parser.parse(body)
    except expat.ExpatError as error:
        return parser.values, f"not well-formed XML: {error}"
    except _RefusedError as error:
        return parser.values, str(error)
    return parser.values, None


# -- encodings -------------------------------------------------------------------------------------------

_WIDE: Final = (
    ("utf-32-le", 4, re.compile(rb"<\0\0\0[?!A-Za-z]\0\0\0")),
    ("utf-32-be", 4, re.compile(rb"\0\0\0<\0\0\0[?!A-Za-z]")),
    ("utf-16-le", 2, re.compile(rb"<\0[?!A-Za-z]\0")),
    ("utf-16-be", 2, re.compile(rb"\0<\0[?!A-Za-z]")),
)
"""Encodings by the beginning of a tag, each with the octets of a character."""


def _utf8(data: bytes) -> tuple[bytes, bool]:
    """A packet with NULs in UTF-8, and whether nothing of it was lost."""
    starts = [
        (match.start() % width, match.start(), width, encoding)
        for encoding, width, start in _WIDE
        if (match := start.search(data))
    ]
    if not starts:
        return data.strip(b"\0"), True
    # behind its first tag, one byte order looks like the other from between two characters
    _, at, width, encoding = min(starts)
    end = len(data) - (len(data) - at) % width
    text = data[at:end].decode(encoding, "replace")
    clean = not data[end:].strip(b"\0") and "\ufffd" not in text
    return text.strip("\0").encode("utf-8", "replace"), clean


# -- malformed packets -----------------------------------------------------------------------------------

_CLOSING: Final = {b"<!--": b"-->", b"<![CDATA[": b"]]>", b"<?": b">"}
_OPENING: Final = re.compile(rb"<!--|<!\[CDATA\[|<\?")
_BRACKETS: Final = re.compile(rb"[<>]")


def _without_markup(text: bytes) -> bytes:
    """Text without comments and instructions, and with CDATA sections as text without brackets."""
    kept: list[bytes] = []
    position = 0
    for _ in range(MARKUP_MAX):
        opening = _OPENING.search(text, position)
        if opening is None:
            kept.append(text[position:])
            break
        kept.append(text[position : opening.start()])
        closing = _CLOSING[opening[0]]
        end = text.find(closing, opening.end())
        position = len(text) if end < 0 else end + len(closing)
        if opening[0] == b"<![CDATA[":
            kept.append(_BRACKETS.sub(b" ", text[opening.end() : end if end >= 0 else len(text)]))
    return b"".join(kept)


_DENYING: Final = {
    b"DataMining": (_DATA_MINING, b"plus"),
    b"reservation": (_RESERVATION, b"tdm"),
    b"tdm-reservation": (_RESERVATION, b"tdm"),
    b"UsageTerms": (_TERMS, b"xmpRights"),
}
"""The properties that can deny, by local name, each with its usual prefix."""

_LOCAL: Final = re.compile(rb"DataMining|tdm-reservation|reservation|UsageTerms")
_BEFORE: Final = re.compile(rb"[<\s\"'](?:([\w.-]{1,64}):)?\Z")
_AFTER: Final = re.compile(rb"[\s=/>]|\Z")
_BINDING: Final = re.compile(
    rb"xmlns(?::([\w.-]{1,64}))?\s{0,16}=\s{0,16}(?:\"([^\"<>]{0,200})|'([^'<>]{0,200}))"
)
_ATTRIBUTE: Final = re.compile(
    rb"\s{0,256}([\w.:-]{1,128})\s{0,64}=\s{0,64}(?:\"([^\"<]{0,4096})\"?|'([^'<]{0,4096})'?)"
)
_ATTRIBUTE_VALUE: Final = re.compile(rb"\s{0,64}=\s{0,64}(?:\"([^\"<]{0,4096})|'([^'<]{0,4096}))")
_QUOTED: Final = re.compile(rb"\"[^\"]*\"|'[^']*'")
_TAG: Final = re.compile(rb"<(/?)(?:[\w.-]{1,64}:)?(Alt|Bag|Description|Seq|li|value)(?=[\s/>])")


def _scanned(text: bytes) -> Iterator[_Value]:
    """Values of properties in a malformed packet that can deny: to be read in that direction only."""
    text = _without_markup(text)
    bound: dict[bytes, set[str]] = {}
    for match in _BINDING.finditer(text):
        uri = html.unescape((match[2] or match[3] or b"").decode("utf-8", "replace")).strip()
        bound.setdefault(match[1] or b"", set()).add(uri)
    for match in islice(_LOCAL.finditer(text), OCCURRENCES_MAX):
        position = match.end()
        before = _BEFORE.search(text[max(match.start() - 66, 0) : match.start()])
        if before is None or not _AFTER.match(text, position):
            continue
        name, usual = _DENYING[match[0]]
        prefix, local = before[1] or b"", match[0].decode()
        if prefix in bound:
            ours = any(f"{uri}{_SEPARATOR}{local}" in _KNOWN for uri in bound[prefix])
        else:
            ours = prefix == usual
        if not ours:
            continue
        if before[0].startswith(b"<"):
            values = _element_values(text, position)
        else:
            tag = text.rfind(b"<", max(match.start() - LOOKBACK_MAX, 0), match.start())
            within = tag >= 0 and b">" not in _QUOTED.sub(b"", text[tag : match.start()])
            found = _ATTRIBUTE_VALUE.match(text, position) if within else None
            values = iter(() if found is None else (found[1] or found[2] or b"",))
        for value in values:
            value_text = html.unescape(value.decode("utf-8", "replace")).strip()
            if value_text:
                yield _Value(name, value_text, exact=False)


def _element_values(text: bytes, position: int) -> Iterator[bytes]:
    """The texts and resources of an element from behind its name, up to a tag that is not RDF's structure."""
    for piece in range(PIECES_MAX):
        while attribute := _ATTRIBUTE.match(text, position):
            position = attribute.end()
            if attribute[1].rpartition(b":")[2] in {b"resource", b"value", b"about"}:
                yield attribute[2] or attribute[3] or b""
        end = text.find(b">", position, position + TEXT_MAX)
        if end < 0:
            return
        empty = text[position:end].endswith(b"/")
        position = text.find(b"<", end, end + TEXT_MAX)
        if empty and not piece:
            return
        if position < 0:
            yield text[end + 1 : end + TEXT_MAX]
            return
        yield text[end + 1 : position]
        tag = _TAG.match(text, position)
        if tag is None:
            return
        position = tag.end()


# -- what the values say ---------------------------------------------------------------------------------

_WORDS: Final = re.compile(r"\b(?:noai|noimageai)\b", re.IGNORECASE)


class _Judge:
    """Turns values into statements."""

    def __init__(self, part: Part, source: Source) -> None:
        self.part = part
        self.source = source
        self.statements: dict[tuple[str, str, str], Statement] = {}
        self.denied: set[tuple[Reason, Purpose]] = set()
        self.warnings: dict[tuple[str, str], ParseWarning] = {}
        self.notes: dict[str, Statement] = {}
        self.remote_manifest: Statement | None = None

    def at(self, name: str, raw: str) -> Evidence:
        return self.source.at(f"{self.part.where}: {name}", raw)

    def warn(self, signal: Reason, message: str, evidence: Evidence) -> None:
        if len(self.warnings) < STATEMENTS_MAX:
            key = message, evidence.raw
            if key not in self.warnings:
                self.warnings[key] = ParseWarning(signal, message, evidence)

    def say(self, statement: Statement) -> None:
        # what denies must not be crowded out by what does not, nor by what denies something else
        denies = statement.preference is Preference.DISALLOW
        kind = statement.signal, statement.covers
        room = STATEMENTS_MAX if denies else STATEMENTS_MAX // 2
        if len(self.statements) < room or (denies and kind not in self.denied):
            key = statement.preference.value, statement.rule, statement.evidence.raw
            self.statements.setdefault(key, statement)
            if denies:
                self.denied.add(kind)

    def judge(self, values: list[_Value], *, sound: bool) -> None:
        """Take the values of a packet.

        Args:
            values: what it holds.
            sound: it is whole and well-formed; otherwise nothing is allowed by it.
        """
        policies = [value.text[:RAW_MAX] for value in values if value.name == _POLICY]
        policy = "".join(f"; tdm-policy: {text}" for text in policies[:PIECES_MAX])
        for value in values:
            if value.name == _DATA_MINING:
                self._data_mining(value, allowing=sound and value.exact)
            elif value.name == _RESERVATION:
                self._reservation(value, policy, allowing=sound and value.exact)
            elif value.name == _PROVENANCE:
                self._provenance(value)
            elif value.name != _TERMS or not self._usage_terms(value):
                self._note(value)

    def _data_mining(self, value: _Value, *, allowing: bool) -> None:
        evidence = self.at(_DATA_MINING, value.text)
        said = _mining(value.text)
        if said is None:
            said = Preference.UNKNOWN, Purpose.TRAIN_ANY, _DATA_MINING
            self.warn(Reason.DATA_MINING, "not of PLUS's vocabulary", evidence)
        preference, covers, rule = said
        if preference is Preference.ALLOW and not allowing:
            preference = Preference.UNKNOWN
            self.warn(Reason.DATA_MINING, "malformed, or in another namespace: it can only deny", evidence)
        self.say(Statement(Reason.DATA_MINING, preference, rule, evidence, covers=covers))

    def _reservation(self, value: _Value, policy: str, *, allowing: bool) -> None:
        evidence = self.at(_RESERVATION, f"{value.text[:RAW_MAX]}{policy}")
        if value.text == "1":
            self.say(Statement(Reason.TDMREP, Preference.DISALLOW, RESERVED, evidence))
        elif value.text != "0":
            self.warn(Reason.TDMREP, "tdm:reservation is neither 1 nor 0", evidence)
        elif allowing:
            self.say(Statement(Reason.TDMREP, Preference.ALLOW, NOT_RESERVED, evidence))
        else:
            self.warn(Reason.TDMREP, "malformed, or in another namespace: it can only reserve", evidence)

    def _usage_terms(self, value: _Value) -> bool:
        words = {word.lower(): None for word in islice(_WORDS.findall(value.text), PIECES_MAX)}
        for word in words:
            evidence = self.at(_TERMS, value.text)
            self.say(Statement(Reason.DATA_MINING, Preference.DISALLOW, word, evidence))
        return bool(words)

    def _provenance(self, value: _Value) -> None:
        # C2PA, "Embedding a Reference to an external Manifest"; `self#jumbf=` is one in this file
        if self.remote_manifest is None and value.text.lower().startswith(("http://", "https://")):
            evidence = self.at(_PROVENANCE, value.text)
            rule = "remote manifest, not fetched"
            self.remote_manifest = Statement(Reason.TRAINING_MINING, Preference.UNKNOWN, rule, evidence)

    def _note(self, value: _Value) -> None:
        if value.name in _NOTED and value.name not in self.notes:
            evidence = self.at(value.name, value.text)
            note = Statement(Reason.DATA_MINING, Preference.UNKNOWN, value.name, evidence)
            self.notes[value.name] = note

    def packet(self) -> Packet:
        statements = (*self.statements.values(), *self.notes.values())
        reading = Reading(statements, tuple(self.warnings.values()))
        return Packet(reading, self.remote_manifest)


def _denies(value: _Value) -> bool:
    if value.name == _DATA_MINING:
        said = _mining(value.text)
        return said is not None and said[0] is Preference.DISALLOW
    return value.text == "1" if value.name == _RESERVATION else _WORDS.search(value.text) is not None


def read(part: Part, source: Source) -> Packet:
    """What an XMP packet, or an SVG, says of training.

    Args:
        part: the packet; in any Unicode encoding, whatever it declares, perhaps several behind each other.
        source: the file.

    Returns:
        Statements about data mining (PLUS), TDMRep's reservation, and usage terms with the words noai or
        noimageai. Of what is malformed or cut off, only what denies is read, and a warning says so. Terms in
        prose, and other free text that bears on rights, are unknown statements.
    """
    data = part.data
    wide = b"\0" in data
    names = data.replace(b"\0", b"") if wide else data
    for needle in _NEEDLES:
        if needle in names:
            break
    else:
        return _NO_PACKET
    judge = _Judge(part, source)
    sound = part.whole
    fault: str | None = None if part.whole else "cut off or damaged"
    if len(data) > PACKET_MAX:
        data, sound, fault = data[:PACKET_MAX], False, f"longer than {PACKET_MAX} octets"
    if wide:
        data, clean = _utf8(data)
        if not clean:
            sound, fault = False, "not in the encoding that it seems to have"
    values, error = _parsed(data)
    if error is None:
        judge.judge(values, sound=sound)
    else:
        sound, fault = False, error
        judge.judge(values, sound=False)
    if not sound:
        raw = data[: 4 * RAW_MAX].decode("utf-8", "replace").replace("\0", "")
        judge.warn(Reason.DATA_MINING, f"{fault}: it can only deny", source.at(part.where, raw))
        squeezed = part.data[:PACKET_MAX].replace(b"\0", b"")
        judge.judge([value for value in _scanned(squeezed) if _denies(value)], sound=False)
    return judge.packet()


def read_copyright(part: Part, source: Source) -> Reading:
    """The text of EXIF's Copyright tag, as an unknown statement: prose is not judged.

    Args:
        part: the text; photographer and editor are divided by a NUL (Exif 2.32, 4.6.5).
        source: the file.
    """
    try:
        text = part.data.decode("utf-8")
    except UnicodeDecodeError:
        text = part.data.decode("latin-1")
    text = "; ".join(filter(None, (piece.strip() for piece in text.split("\0"))))
    if not text:
        return NOTHING
    evidence = source.at(part.where, text)
    return Reading((Statement(Reason.DATA_MINING, Preference.UNKNOWN, "Exif Copyright", evidence),))
