"""What XMP packets say: forms, values, encodings; what is malformed, foreign or hostile."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.model import NOTHING, RAW_MAX, Preference, Purpose, Reason, Source
from heedful.signals.embedded import _xmp
from heedful.signals.embedded._parts import Kind, Part
from heedful.signals.embedded._xmp import Packet
from heedful.testing import embed

SOURCE = Source("https://a.example/1.jpg", "00", 5.0)
WHERE = "JPEG APP1 XMP"
GENERATIVE, ANY = Purpose.TRAIN_GENERATIVE, Purpose.TRAIN_ANY

DENIED = {(Reason.DATA_MINING, Preference.DISALLOW, ANY)}
DENIED_GENERATIVE = {(Reason.DATA_MINING, Preference.DISALLOW, GENERATIVE)}
ALLOWED = {(Reason.DATA_MINING, Preference.ALLOW, ANY)}
UNKNOWN = {(Reason.DATA_MINING, Preference.UNKNOWN, ANY)}
RESERVED = {(Reason.TDMREP, Preference.DISALLOW, ANY)}
NOT_RESERVED = {(Reason.TDMREP, Preference.ALLOW, ANY)}
NONE = set()

PLUS = f'xmlns:plus="{embed.PLUS}"'
TDM = 'xmlns:tdm="http://www.w3.org/ns/tdmrep/"'
RIGHTS = 'xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/"'
DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
TERMS = 'xmlns:dcterms="http://purl.org/dc/terms/"'
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
PROHIBITED = f"{embed.VOCABULARY}DMI-PROHIBITED"
ALLOWING = f"{embed.VOCABULARY}DMI-ALLOWED"


def read(data, *, whole=True):
    return _xmp.read(Part(Kind.XMP, WHERE, data, whole), SOURCE)


def statements(data, *, whole=True):
    return read(data, whole=whole).reading.statements


def said(data, *, whole=True):
    """The statements, those that are only recorded among them."""
    return {(each.signal, each.preference, each.covers) for each in statements(data, whole=whole)}


def warned(data, *, whole=True):
    return [warning.message for warning in read(data, whole=whole).reading.warnings]


def properties(xml, *namespaces):
    return embed.xmp_packet(xml, " ".join((PLUS, TDM, RIGHTS, DC, TERMS, *namespaces)))


def mining(text):
    return properties(f"<plus:DataMining>{text}</plus:DataMining>")


# -- plus:DataMining -------------------------------------------------------------------------------------

KEYS = {
    "DMI-UNSPECIFIED": UNKNOWN,
    "DMI-ALLOWED": ALLOWED,
    "DMI-PROHIBITED": DENIED,
    "DMI-PROHIBITED-AIMLTRAINING": DENIED,
    "DMI-PROHIBITED-GENAIMLTRAINING": DENIED_GENERATIVE,
    "DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING": DENIED,
    "DMI-PROHIBITED-SEECONSTRAINT": DENIED,
    "DMI-PROHIBITED-SEEEMBEDDEDRIGHTSEXPR": DENIED,
    "DMI-PROHIBITED-SEELINKEDRIGHTSEXPR": DENIED,
}
FORMS = {
    "resource": '<plus:DataMining rdf:resource="{url}"/>',
    "resource-open": '<plus:DataMining rdf:resource="{url}"></plus:DataMining>',
    "resource-single-quoted": "<plus:DataMining rdf:resource = '{url}' />",
    "text": "<plus:DataMining>{url}</plus:DataMining>",
    "text-spaced": "<plus:DataMining>\n  {url}\n</plus:DataMining>",
    "text-cdata": "<plus:DataMining><![CDATA[{url}]]></plus:DataMining>",
    "text-references": "<plus:DataMining>&#x68;ttp&#58;{rest}</plus:DataMining>",
    "text-comment": "<plus:DataMining>http:<!-- x -->{rest}</plus:DataMining>",
    "key": "<plus:DataMining>{key}</plus:DataMining>",
    "attribute": '<rdf:Description plus:DataMining="{url}"/>',
    "attribute-key": '<rdf:Description plus:DataMining="{key}"/>',
    "value": '<plus:DataMining rdf:value="{url}"/>',
    "value-element": "<plus:DataMining><rdf:value>{url}</rdf:value></plus:DataMining>",
    "description": '<plus:DataMining><rdf:Description rdf:about="{url}"/></plus:DataMining>',
    "bag": "<plus:DataMining><rdf:Bag><rdf:li>{url}</rdf:li></rdf:Bag></plus:DataMining>",
    "bag-resource": '<plus:DataMining><rdf:Bag><rdf:li rdf:resource="{url}"/></rdf:Bag></plus:DataMining>',
    "seq": "<plus:DataMining><rdf:Seq><rdf:li>{url}</rdf:li></rdf:Seq></plus:DataMining>",
    "alt": '<plus:DataMining><rdf:Alt><rdf:li xml:lang="en">{url}</rdf:li></rdf:Alt></plus:DataMining>',
    "other-prefix": '<p:DataMining xmlns:p="http://ns.useplus.org/ldf/xmp/1.0/">{url}</p:DataMining>',
    "no-prefix": '<DataMining xmlns="http://ns.useplus.org/ldf/xmp/1.0/">{url}</DataMining>',
}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("form", FORMS)
def test_forms(form, key):
    url = f"{embed.VOCABULARY}{key}"
    data = properties(FORMS[form].format(key=key, url=url, rest=url.removeprefix("http:")))
    assert said(data) == KEYS[key]
    assert warned(data) == []
    (statement,) = statements(data)
    assert statement.rule == key
    assert statement.evidence.where == f"{WHERE}: plus:DataMining"
    assert statement.evidence.raw.endswith(key)
    assert statement.evidence.source_url == SOURCE.url


LABELS = {
    "Unspecified - no prohibition defined": UNKNOWN,
    "Allowed": ALLOWED,
    "Prohibited": DENIED,
    "Prohibited for AI/ML training": DENIED,
    "Prohibited for Generative AI/ML training": DENIED_GENERATIVE,
    "Prohibited except for search engine indexing": DENIED,
    "Prohibited, see Other Constraints property": DENIED,
    "Prohibited, see plus:OtherConstraints": DENIED,
    "Prohibited, see iptcExt:EmbdEncRightsExpr": DENIED,
    "Prohibited, see Linked Encoded Rights Expression property": DENIED,
}


@pytest.mark.parametrize(("label", "expected"), LABELS.items(), ids=LABELS)
def test_labels(label, expected):
    assert said(mining(label)) == expected
    assert warned(mining(label)) == []


VALUES = {  # as PLUS does not write them: in the denying direction only
    "DMI-PROHIBITED-NOVEL": DENIED,
    "dmi-prohibited": DENIED,
    "dmi-prohibited-genaimltraining": DENIED_GENERATIVE,
    "DMI-PROHIBITED_X": DENIED,
    "https://ns.useplus.org/ldf/vocab/DMI-PROHIBITED": DENIED,
    "http://ns.useplus.org/LDF/vocab#DMI-PROHIBITED": DENIED,
    f"{PROHIBITED}/": DENIED,
    f"{ALLOWING} {PROHIBITED}": DENIED,
    "plus:DMI-PROHIBITED": DENIED,
    "PROHIBITED": DENIED,
    "prohibited for ai / ml training": DENIED,
    "Prohibited for generative AI/ML Training": DENIED_GENERATIVE,
    "Prohibited by its maker": DENIED,
    "DMI-UNSPECIFIED ": UNKNOWN,
    "dmi-allowed": UNKNOWN,
    "allowed": UNKNOWN,
    "DMI-ALLOWED-NOT": UNKNOWN,
    "https://ns.useplus.org/ldf/vocab/DMI-ALLOWED": UNKNOWN,
    f"{embed.VOCABULARY}{ALLOWING}": UNKNOWN,
    "DMI-NOVEL": UNKNOWN,
    "not prohibited": UNKNOWN,
    "noai": UNKNOWN,
    "1": UNKNOWN,
}


@pytest.mark.parametrize(("value", "expected"), VALUES.items(), ids=VALUES)
def test_values(value, expected):
    assert said(mining(value)) == expected


def test_values_without_meaning_are_warned_of():
    assert warned(mining("DMI-NOVEL")) == ["not of PLUS's vocabulary"]


@pytest.mark.parametrize("value", ["", " \n", "&#32;"], ids=repr)
def test_empty_values(value):
    assert read(mining(value)) == Packet()


NAMESPACES = {
    "https": (embed.PLUS.replace("http", "https"), True),
    "no-slash": (embed.PLUS.rstrip("/"), True),
    "hash": (embed.PLUS.rstrip("/") + "#", True),
    "foreign": ("http://other.example/", False),
    "plus-vocabulary": (embed.VOCABULARY, False),
    "newer": ("http://ns.useplus.org/ldf/xmp/2.0/", False),
    "upper": (embed.PLUS.upper(), False),
}


@pytest.mark.parametrize(("namespace", "alias"), NAMESPACES.values(), ids=NAMESPACES)
def test_namespaces(namespace, alias):
    """Other namespaces are others', whatever their prefix; some misspellings deny, none allows."""
    assert said(embed.dmi_packet("DMI-PROHIBITED", namespace=namespace)) == (DENIED if alias else NONE)
    data = embed.dmi_packet("DMI-ALLOWED", namespace=namespace)
    assert said(data) == (UNKNOWN if alias else NONE)
    assert warned(data) == ["malformed, or in another namespace: it can only deny"] * alias


INNER = {
    "foreign-element": "<plus:DataMining><x:a xmlns:x='x:'>{}</x:a></plus:DataMining>",
    "foreign-attribute": "<plus:DataMining resource='{}'/>",
    "qualifier": (
        "<plus:DataMining><rdf:Description><rdf:value/><x:q xmlns:x='x:'>{}</x:q></rdf:Description>"
        "</plus:DataMining>"
    ),
}


@pytest.mark.parametrize("form", INNER.values(), ids=INNER)
def test_values_at_a_wrong_place_can_only_deny(form):
    assert said(properties(form.format(PROHIBITED))) == DENIED
    assert said(properties(form.format(ALLOWING))) == UNKNOWN


def test_each_value_counts():
    both = f"<rdf:li>{ALLOWING}</rdf:li><rdf:li>{PROHIBITED}</rdf:li>"
    assert (
        said(properties(f"<plus:DataMining><rdf:Bag>{both}</rdf:Bag></plus:DataMining>")) == ALLOWED | DENIED
    )


def test_a_property_within_another_counts():
    inner = f"<plus:DataMining>{PROHIBITED}</plus:DataMining>"
    data = properties(f"<dc:rights><rdf:Alt><rdf:li>mine{inner}</rdf:li></rdf:Alt></dc:rights>")
    assert said(data) == DENIED | UNKNOWN


# -- what does not count ---------------------------------------------------------------------------------

SILENT = {
    "comment": f"<!-- <plus:DataMining>{PROHIBITED}</plus:DataMining> -->",
    "comment-in-it": f"<plus:DataMining><!-- {PROHIBITED} --></plus:DataMining>",
    "instruction": f"<?plus DataMining {PROHIBITED}?>",
    "text": f"<dc:title>plus:DataMining {PROHIBITED} noai</dc:title>",
    "cdata": f"<dc:title><![CDATA[<plus:DataMining>{PROHIBITED}</plus:DataMining>]]></dc:title>",
    "escaped": f"<dc:title>&lt;plus:DataMining>{PROHIBITED}&lt;/plus:DataMining></dc:title>",
    "attribute": f"<rdf:Description dc:title='plus:DataMining=\"{PROHIBITED}\"'/>",
    "longer-name": f"<plus:DataMiningX>{PROHIBITED}</plus:DataMiningX>",
    "shorter-name": f"<plus:Data>{PROHIBITED}</plus:Data><dc:DataMining/>",
    "other-case": f"<plus:datamining>{PROHIBITED}</plus:datamining><dc:DataMining/>",
    "description": f"<dc:description>UsageTerms noai {PROHIBITED}</dc:description>",
    "attribute-without-prefix": f"<rdf:Description DataMining='{PROHIBITED}'/>",
    "behind-it": f"<plus:DataMining/>{PROHIBITED}",
    "rebound-prefix": f"<a xmlns:plus='x:'><plus:DataMining>{PROHIBITED}</plus:DataMining></a>",
}


@pytest.mark.parametrize("xml", SILENT.values(), ids=SILENT)
def test_what_is_no_property_says_nothing(xml):
    assert read(properties(xml)) == Packet()


@pytest.mark.parametrize("xml", SILENT.values(), ids=SILENT)
def test_what_is_no_property_says_nothing_to_the_parser_either(xml):
    """Names that a packet without needles does not have are looked for here."""
    assert said(properties(xml + "<plus:DataMining/>")) == NONE


@pytest.mark.parametrize(
    "name", ["comment", "comment-in-it", "instruction", "text", "cdata", "escaped", "rebound-prefix"]
)
def test_what_is_no_property_says_nothing_when_malformed(name):
    xml = f"<rdf:Description xmlns:plus='x:'>{SILENT[name]}" if name == "rebound-prefix" else SILENT[name]
    packet = f"<r {RDF}>{xml}<x:unbound/>".encode()
    assert said(packet) == NONE


def test_other_properties_are_passed_over_quickly():
    assert read(properties("<dc:format>image/jpeg</dc:format>", 'photoshop:Credit="rights"')) == Packet()


# -- usage terms, rights, TDMRep, provenance -------------------------------------------------------------


def terms(text):
    alternative = f'<rdf:Alt><rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt>'
    return properties(f"<xmpRights:UsageTerms>{alternative}</xmpRights:UsageTerms>")


USAGE = {
    "noai": ["noai"],
    "NoAI": ["noai"],
    "noimageai": ["noimageai"],
    "All rights reserved. NOIMAGEAI, NOAI!": ["noimageai", "noai"],
    "noai noai": ["noai"],
    "see https://a.example/noai": ["noai"],
    "(noai)": ["noai"],
    "no ai": [],
    "no-ai": [],
    "noairline": [],
    "casanoai": [],
    "no_noai_": [],
    "all rights reserved": [],
    "No training of any kind": [],
}


@pytest.mark.parametrize(("text", "words"), USAGE.items(), ids=USAGE)
def test_usage_terms(text, words):
    found = statements(terms(text))
    assert [each.rule for each in found if each.preference is Preference.DISALLOW] == words
    if not words:
        (note,) = found
        assert (note.preference, note.rule) == (Preference.UNKNOWN, "xmpRights:UsageTerms")
    assert {each.evidence.raw for each in found} == {text}


def test_usage_terms_as_attribute_and_by_other_prefix():
    assert said(embed.xmp_packet("", f'{RIGHTS} xmpRights:UsageTerms="noai"')) == DENIED
    other = RIGHTS.replace("xmpRights", "r")
    assert said(embed.xmp_packet("<r:UsageTerms>noai</r:UsageTerms>", other)) == DENIED


def test_the_words_count_in_usage_terms_only():
    data = properties("<dc:rights>noai</dc:rights><plus:OtherConstraints>noimageai</plus:OtherConstraints>")
    assert [(each.rule, each.preference) for each in statements(data)] == [
        ("dc:rights", Preference.UNKNOWN),
        ("plus:OtherConstraints", Preference.UNKNOWN),
    ]


def test_free_texts_are_recorded_once_each():
    source = 'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    kind = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    xml = "<dc:rights>one</dc:rights><dc:rights>two</dc:rights>"
    data = properties(xml, source, f'Iptc4xmpExt:DigitalSourceType="{kind}"')
    found = {each.rule: (each.preference, each.evidence.raw) for each in statements(data)}
    assert found == {
        "dc:rights": (Preference.UNKNOWN, "one"),
        "Iptc4xmpExt:DigitalSourceType": (Preference.UNKNOWN, kind),
    }


RESERVATIONS = {
    "1": ("1", RESERVED, 0),
    "0": ("0", NOT_RESERVED, 0),
    "spaces": (" 1 ", RESERVED, 0),
    "true": ("true", NONE, 1),
    "01": ("01", NONE, 1),
    "2": ("2", NONE, 1),
    "empty": ("", NONE, 0),
}


@pytest.mark.parametrize("form", ["element", "attribute"])
@pytest.mark.parametrize(("value", "expected", "warnings"), RESERVATIONS.values(), ids=RESERVATIONS)
def test_reservations(value, expected, warnings, form):
    if form == "element":
        data = properties(f"<tdm:reservation>{value}</tdm:reservation>")
    else:
        data = properties("", f'tdm:reservation="{value}"')
    assert said(data) == expected
    assert len(warned(data)) == warnings


@pytest.mark.parametrize(
    ("name", "namespace"),
    [
        ("reservation", "https://www.w3.org/ns/tdmrep/"),
        ("reservation", "http://www.w3.org/ns/tdmrep"),
        ("reservation", "http://www.w3.org/ns/tdmrep#"),
        ("tdm-reservation", "http://www.w3.org/ns/tdmrep/"),
    ],
    ids=["https", "no-slash", "hash", "long-name"],
)
def test_reservations_by_another_name_can_only_reserve(name, namespace):
    for value, expected in (("1", RESERVED), ("0", NONE)):
        data = embed.xmp_packet(f"<t:{name}>{value}</t:{name}>", f'xmlns:t="{namespace}"')
        assert said(data) == expected
        assert len(warned(data)) == (value == "0")


def test_the_policy_is_kept_as_evidence():
    policy = "https://a.example/policy.json"
    data = properties(f"<tdm:reservation>1</tdm:reservation><tdm:policy rdf:resource='{policy}'/>")
    (statement,) = statements(data)
    assert statement.evidence.where == f"{WHERE}: tdm:reservation"
    assert statement.evidence.raw == f"1; tdm-policy: {policy}"
    assert read(properties(f"<tdm:policy>{policy}</tdm:policy>")) == Packet()


PROVENANCE = {
    "remote": ("https://a.example/1.c2pa", True),
    "remote-upper": ("HTTP://a.example/1.c2pa", True),
    "embedded": ("self#jumbf=/c2pa/urn:1", False),
    "text": ("bought in 1999", False),
}


@pytest.mark.parametrize(("value", "remote"), PROVENANCE.values(), ids=PROVENANCE)
def test_remote_manifests_are_noted(value, remote):
    packet = read(properties("", f'dcterms:provenance="{value}"'))
    assert packet.reading == NOTHING
    if remote:
        assert packet.remote_manifest.signal is Reason.TRAINING_MINING
        assert packet.remote_manifest.preference is Preference.UNKNOWN
        assert packet.remote_manifest.evidence.raw == value
    else:
        assert packet.remote_manifest is None


# -- encodings -------------------------------------------------------------------------------------------

ENCODINGS = ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
TEXTS = {
    "prohibited": (mining(PROHIBITED), DENIED),
    "allowed": (mining(ALLOWING), ALLOWED),
    "foreign-letters": (properties("<dc:rights>\u00a9 \u4f5c\u8005 \U0001f5bc</dc:rights>"), UNKNOWN),
    "silent": (properties("<dc:title>\u4f5c</dc:title>"), NONE),
}


@pytest.mark.parametrize("bom", [True, False], ids=["bom", "no-bom"])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", TEXTS)
def test_encodings(name, encoding, bom):
    data, expected = TEXTS[name]
    text = data.decode().replace("\ufeff", "")
    encoded = (("\ufeff" if bom else "") + text).encode(encoding)
    assert said(encoded) == expected
    assert warned(encoded) == []
    for statement in statements(encoded):
        assert statement.evidence.raw in text


@pytest.mark.parametrize("declared", ["utf-8", "UTF-16", "iso-8859-1", "x-none", "utf-7"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_declared_does_not_matter(encoding, declared):
    text = f'<?xml version="1.0" encoding="{declared}"?>' + mining(ALLOWING).decode()
    assert said(text.encode(encoding)) == ALLOWED


PADDED = {
    "spaces": (b" " * 2000, b"\n" * 4000),
    "nul-behind": (b"", bytes(3)),
    "nul-before": (bytes(4), b""),
    "length-before": (b"\x12\x34", b""),
    "text-around": (b"XMP ", b" XMP"),
}


@pytest.mark.parametrize(("before", "behind"), PADDED.values(), ids=PADDED)
def test_padding(before, behind):
    assert said(before + mining(ALLOWING) + behind) == ALLOWED


def test_a_wide_packet_cut_within_a_character_does_not_allow():
    wide = mining(ALLOWING).decode().encode("utf-16-le")
    assert said(wide + b"x") == UNKNOWN
    assert warned(wide + b"x")[-1] == "not in the encoding that it seems to have: it can only deny"
    denying = mining(PROHIBITED).decode().encode("utf-16-le")
    assert said(denying + b"x") == DENIED


def test_octets_that_are_no_utf_8_do_not_allow():
    for key, expected in ((ALLOWING, NONE), (PROHIBITED, DENIED)):
        data = mining(key).replace(b"<plus:", b"<dc:title>\xff\xfe</dc:title><plus:")
        assert said(data) == expected
        assert len(warned(data)) == 1


def test_several_packets_behind_each_other():
    assert said(mining(PROHIBITED) + b"\n" + mining(ALLOWING)) == DENIED | ALLOWED
    assert said(terms("x") + properties("<tdm:reservation>0</tdm:reservation>")) == UNKNOWN | NOT_RESERVED


def test_several_packets_one_of_which_is_malformed():
    broken = mining(ALLOWING).replace(b"</plus:DataMining>", b"")
    assert Preference.ALLOW not in {each[1] for each in said(mining(ALLOWING) + broken)}
    assert said(broken + mining(PROHIBITED)) >= DENIED


# -- SVG -------------------------------------------------------------------------------------------------

SVG = (
    '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
    '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">\n'
    '<svg xmlns="http://www.w3.org/2000/svg"><metadata>{}</metadata><desc>noai</desc></svg>'
)


def test_svg():
    assert said(SVG.format(mining(ALLOWING).decode()).encode()) == ALLOWED
    assert said(SVG.format(mining(PROHIBITED).decode()).encode()) == DENIED
    assert said(SVG.format(f"<plus:DataMining {PLUS}>{ALLOWING}</plus:DataMining>").encode()) == ALLOWED
    assert read(SVG.format("").encode()) == Packet()


DOCTYPES = {
    "entity": '<!DOCTYPE svg [<!ENTITY a "DMI-">]>',
    "external": '<!DOCTYPE svg SYSTEM "file:///etc/passwd" [<!ENTITY % a SYSTEM "http://a.example/"> %a;]>',
    "attribute-default": f'<!DOCTYPE svg [<!ATTLIST svg plus:DataMining CDATA "{ALLOWING}">]>',
    "bomb": '<!DOCTYPE svg [<!ENTITY a "xxxxxxxx"><!ENTITY b "&a;&a;&a;"><!ENTITY c "&b;&b;&b;">]>',
    "two": "<!DOCTYPE svg><!DOCTYPE svg>",
}


@pytest.mark.parametrize("doctype", DOCTYPES.values(), ids=DOCTYPES)
def test_document_types_that_declare_are_refused(doctype):
    """Nothing of it is resolved, and what the document says can only deny."""
    for key, expected in ((ALLOWING, NONE), (PROHIBITED, DENIED)):
        data = f"{doctype}<svg {PLUS}><plus:DataMining>{key}</plus:DataMining></svg>".encode()
        assert said(data) == expected
        assert warned(data)[0].startswith("not well-formed XML")


def test_entities_are_not_resolved():
    data = f'<!DOCTYPE s [<!ENTITY p "DMI-PROHIBITED">]><s {PLUS} plus:DataMining="&p;"/>'.encode()
    assert said(data) == NONE
    assert said(f'<s {PLUS} plus:DataMining="&p;"/>'.encode()) == NONE


# -- malformed packets -----------------------------------------------------------------------------------

BROKEN = {
    "end-missing": lambda data: data[: data.rindex(b"</rdf:RDF>")],
    "end-of-another": lambda data: data.replace(b"</rdf:RDF>", b"</rdf:rdf>"),
    "prefix-unbound": lambda data: data.replace(b"<rdf:Description", b"<zz:a/><rdf:Description"),
    "ampersand": lambda data: data.replace(b"<rdf:Description", b"<a>R&D</a><rdf:Description"),
    "no-quotes": lambda data: data.replace(b'about=""', b"about="),
    "attribute-twice": lambda data: data.replace(b'rdf:about=""', b'rdf:about="" rdf:about=""'),
    "control-character": lambda data: data.replace(b"<rdf:Description", b"\x01<rdf:Description"),
    "nul": lambda data: data.replace(b"<rdf:Description", b"\0<rdf:Description"),
    "open-comment": lambda data: data.replace(b"</x:xmpmeta>", b"<!-- "),
    "open-tag": lambda data: data.replace(b"</x:xmpmeta>", b"<a"),
    "namespace-missing": lambda data: data.replace(embed.PLUS.encode(), b"").replace(b'xmlns:plus=""', b""),
}
WRITTEN = {
    "resource": '<plus:DataMining rdf:resource="{}"/>',
    "text": "<plus:DataMining>{}</plus:DataMining>",
    "text-spaced": "<plus:DataMining>\n{}\n</plus:DataMining>",
    "attribute": '<rdf:Description plus:DataMining="{}"/>',
    "attribute-late": "<rdf:Description dc:title='a > b' plus:DataMining='{}'/>",
    "bag": "<plus:DataMining><rdf:Bag>\n<rdf:li>{}</rdf:li>\n</rdf:Bag></plus:DataMining>",
    "alt": '<plus:DataMining><rdf:Alt><rdf:li xml:lang="x-default">{}</rdf:li></rdf:Alt></plus:DataMining>',
    "cdata": "<plus:DataMining><![CDATA[{}]]></plus:DataMining>",
    "references": "<plus:DataMining>&#x20;{}</plus:DataMining>",
}


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("broken", BROKEN)
def test_malformed_packets_are_read_in_the_denying_direction_only(broken, written):
    for key, says in KEYS.items():
        data = BROKEN[broken](properties(WRITTEN[written].format(embed.VOCABULARY + key)))
        expected = says if says in (DENIED, DENIED_GENERATIVE) else NONE
        assert {each for each in said(data) if each[1] is not Preference.UNKNOWN} == expected
        assert any(message.endswith("it can only deny") for message in warned(data))


def test_a_namespace_cannot_reach_into_the_name():
    """What divides both in the parser's names is refused in a namespace."""
    split = embed.PLUS + "\nDataMining"
    for name in ("x", "DataMining"):
        data = f'<r xmlns:p="{split.replace(chr(10), "&#10;")}"><p:{name}>{ALLOWING}</p:{name}></r>'.encode()
        assert ALLOWED.isdisjoint(said(data + b"<!-- DataMining -->"))


@pytest.mark.parametrize("broken", [name for name in BROKEN if name != "namespace-missing"])
def test_malformed_packets_and_the_other_properties(broken):
    denying = "<tdm:reservation>1</tdm:reservation><xmpRights:UsageTerms>noai</xmpRights:UsageTerms>"
    allowing = "<tdm:reservation>0</tdm:reservation><xmpRights:UsageTerms>yes</xmpRights:UsageTerms>"
    assert said(BROKEN[broken](properties(denying))) == DENIED | RESERVED
    assert said(BROKEN[broken](properties(allowing))) <= UNKNOWN


@pytest.mark.parametrize("written", WRITTEN)
def test_what_is_cut_off_denies_once_it_is_there_and_never_allows(written):
    for key, expected in ((PROHIBITED, DENIED), (ALLOWING, NONE)):
        data = properties(WRITTEN[written].format(key))
        end = data.index(key.encode()) + len(key)
        for whole in (True, False):
            for size in range(end - len(key) - 40, len(data) - len('<?xpacket end="w"?>')):
                found = {each for each in said(data[:size], whole=whole) if each[1] is not Preference.UNKNOWN}
                assert found <= expected
                if size > end + 1:
                    assert found == expected


def test_a_packet_that_is_not_whole_can_only_deny():
    assert said(mining(PROHIBITED), whole=False) == DENIED
    assert said(mining(ALLOWING), whole=False) == UNKNOWN
    assert warned(mining(ALLOWING), whole=False)[-1] == "cut off or damaged: it can only deny"


def test_a_packet_without_the_end_of_any_tag():
    assert said(f'<a {PLUS} plus:DataMining="{PROHIBITED}"'.encode()) == DENIED


def test_malformed_packets_keep_the_scopes_of_prefixes():
    """A prefix that is bound to something else is not ours; one that is bound to ours is, whatever it is."""
    for namespace, expected in (("http://other.example/", NONE), (embed.PLUS, DENIED)):
        for prefix in ("plus", "p"):
            xml = f"<{prefix}:DataMining xmlns:{prefix}='{namespace}'>{PROHIBITED}</{prefix}:DataMining>"
            assert said(f"<r {RDF}>{xml}".encode()) == expected
    assert said(f"<DataMining xmlns='{embed.PLUS}'>{PROHIBITED}".encode()) == DENIED
    assert said(f"<DataMining>{PROHIBITED}".encode()) == NONE
    assert said(f"<dc:title {PLUS}>plus:DataMining {PROHIBITED}".encode()) == NONE


def test_malformed_packets_in_wide_encodings():
    text = f"<r {PLUS}>\u4f5c<plus:DataMining>{PROHIBITED}</plus:DataMining>"
    for encoding in ENCODINGS:
        assert said(text.encode(encoding)) == DENIED


# -- limits ----------------------------------------------------------------------------------------------


def test_long_packets_can_only_deny(monkeypatch):
    monkeypatch.setattr(_xmp, "PACKET_MAX", 4000)
    padding = "<!-- " + "x" * 4000 + " -->"
    for key, expected in ((PROHIBITED, DENIED), (ALLOWING, UNKNOWN)):
        data = properties(f"<plus:DataMining>{key}</plus:DataMining>{padding}")
        assert {each for each in said(data) if each[1] is not Preference.UNKNOWN} == expected - UNKNOWN
        assert any("it can only deny" in message for message in warned(data))
    late = properties(f"{padding}<plus:DataMining>{PROHIBITED}</plus:DataMining>")
    assert said(late) == NONE
    assert len(warned(late)) == 1


@pytest.mark.parametrize(
    "filling",
    ["<a/>" * (_xmp.ELEMENTS_MAX + 1), "<a " + "a='' " * _xmp.ATTRIBUTES_MAX + "/>"],
    ids=["elements", "attributes"],
)
def test_too_many_elements_and_attributes_are_not_parsed(filling):
    for key, expected in ((PROHIBITED, DENIED), (ALLOWING, NONE)):
        data = properties(f"<plus:DataMining>{key}</plus:DataMining>{filling}")
        assert said(data) == expected
        (message,) = warned(data)
        assert message.startswith("more than 100000 elements")


def test_nesting_is_bounded():
    def deep(levels, key):
        inner = "<rdf:Bag>" * levels + key + "</rdf:Bag>" * levels
        return properties(f"<plus:DataMining>{inner}</plus:DataMining>")

    assert said(deep(_xmp.DEPTH_MAX - 1, ALLOWING)) == ALLOWED
    assert said(deep(_xmp.DEPTH_MAX, ALLOWING)) == NONE
    assert warned(deep(_xmp.DEPTH_MAX, ALLOWING)) == [
        f"nested more than {_xmp.DEPTH_MAX} deep: it can only deny"
    ]
    assert said(deep(_xmp.PIECES_MAX - 1, PROHIBITED)) == DENIED


def test_nesting_outside_of_properties_does_not_matter():
    data = properties("<a>" * 40_000 + f"<plus:DataMining>{ALLOWING}</plus:DataMining>" + "</a>" * 40_000)
    assert said(data) == ALLOWED


def test_statements_are_bounded_and_what_denies_is_not_crowded_out():
    unknown = "".join(f"<rdf:li>x{number}</rdf:li>" for number in range(500))
    denying = "".join(f"<rdf:li>DMI-PROHIBITED-{number}</rdf:li>" for number in range(500))
    data = properties(f"<plus:DataMining><rdf:Bag>{unknown}{denying}</rdf:Bag></plus:DataMining>")
    preferences = [each.preference for each in statements(data)]
    assert len(preferences) == _xmp.STATEMENTS_MAX
    assert preferences.count(Preference.DISALLOW) == _xmp.STATEMENTS_MAX // 2
    assert len(read(data).reading.warnings) == _xmp.STATEMENTS_MAX


def test_what_denies_something_else_is_not_crowded_out():
    many = "".join(f"<rdf:li>DMI-PROHIBITED-GENAIMLTRAINING {number}</rdf:li>" for number in range(100))
    reserved = "<tdm:reservation>1</tdm:reservation>"
    data = properties(
        f"<plus:DataMining><rdf:Bag>{many}<rdf:li>{PROHIBITED}</rdf:li></rdf:Bag></plus:DataMining>{reserved}"
    )
    assert said(data) == DENIED_GENERATIVE | DENIED | RESERVED


def test_evidence_is_bounded():
    (statement,) = statements(mining(f"{PROHIBITED}-{'X' * 10_000}"))
    assert len(statement.evidence.raw) == len(statement.rule) == RAW_MAX
    policies = "<tdm:policy>x</tdm:policy>" * 1000
    (statement,) = statements(properties(f"<tdm:reservation>1</tdm:reservation>{policies}"))
    assert len(statement.evidence.raw) <= RAW_MAX


# -- hostile packets -------------------------------------------------------------------------------------


def hostile(unit, before="", behind=""):
    return lambda size: properties(before + unit * size + behind)


HOSTILE = {
    "values": hostile("<plus:DataMining>x</plus:DataMining>"),
    "items": hostile("<rdf:li>x</rdf:li>", "<plus:DataMining><rdf:Bag>", "</rdf:Bag></plus:DataMining>"),
    "items-malformed": hostile("<rdf:li>x</rdf:li>", "<plus:DataMining><rdf:Bag>"),
    "values-malformed": hostile("<plus:DataMining>x"),
    "attributes-malformed": hostile(" plus:DataMining='x'", "<a"),
    "empty-malformed": hostile("<plus:DataMining/>", "<a>"),
    "bindings": hostile("<a xmlns:plus='&amp;x'>"),
    "references": hostile("&amp;", "<plus:DataMining>", "</plus:DataMining>"),
    "words": hostile("noai ", "<xmpRights:UsageTerms>", "</xmpRights:UsageTerms>"),
    "reservations": hostile("<tdm:reservation>1</tdm:reservation><tdm:policy>x</tdm:policy>"),
    "comments": hostile("<!-- -->", "<a>UsageTerms"),
    "open-comments": hostile("<!--", "<a>UsageTerms"),
    "open-cdata": hostile("<![CDATA[", "<a>UsageTerms"),
    "instructions": hostile("<?xml ", "<a>UsageTerms"),
    "document-types": hostile("<!DOCTYPE ", "<a>UsageTerms"),
    "names": hostile("UsageTerms "),
    "brackets": hostile("<", "UsageTerms"),
    "packets": lambda size: mining("x") * (size // 10),
    "wide": lambda size: (mining("x") * (size // 10)).decode().encode("utf-16"),
}


def work(data):
    """Calls of functions, in Python and in C, while a packet is read: the unit that no clock measures."""
    calls = 0

    def count(_frame, event, _argument):
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        read(data)
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_work_grows_with_the_size(make):
    once, twice = work(make(2000)), work(make(4000))
    assert twice <= 2.2 * once + 100


def copied(data, monkeypatch):
    """Octets of evidence that are put together while a packet is read."""
    size = 0
    at = Source.at

    def counted(self, where, raw):
        nonlocal size
        size += len(where) + len(raw)
        return at(self, where, raw)

    with monkeypatch.context() as patched:
        patched.setattr(Source, "at", counted)
        read(data)
    return size


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_evidence_grows_with_the_size(make, monkeypatch):
    once, twice = copied(make(1000), monkeypatch), copied(make(2000), monkeypatch)
    assert twice <= 2.2 * once + 10_000


# -- any bytes -------------------------------------------------------------------------------------------

PIECES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [
            b"<plus:DataMining>",
            b"</plus:DataMining>",
            b'<plus:DataMining rdf:resource="',
            b'"/>',
            b"<r>",
            b"</r>",
            f"<r {PLUS} {RDF} {TDM} {RIGHTS}>".encode(),
            PROHIBITED.encode(),
            ALLOWING.encode(),
            b"<tdm:reservation>",
            b"1</tdm:reservation>",
            b"<xmpRights:UsageTerms>noai",
            b"<!--",
            b"-->",
            b"<![CDATA[",
            b"]]>",
            b"<!DOCTYPE x [",
            b"\0",
            b"<\0a\0",
            mining(PROHIBITED),
            mining(ALLOWING).decode().encode("utf-16"),
        ]
    ),
)


@given(st.lists(PIECES, max_size=14).map(b"".join), st.booleans())
def test_any_bytes_are_read(data, whole):
    for statement in statements(data, whole=whole):
        statement.evidence.raw.encode()
        assert len(statement.evidence.raw) <= RAW_MAX


@given(st.lists(PIECES | st.just(mining(ALLOWING)), max_size=14).map(b"".join))
def test_what_is_malformed_never_allows(data):
    """An element that is not closed makes any packet malformed."""
    data = data.replace(b"\0", b"")  # or the encoding would be another
    for packet in (b"<r>" + data.replace(b"</r>", b""), data + b"<plus:DataMining"):
        assert Preference.ALLOW not in {each[1] for each in said(packet)}


@given(st.integers(0, 600), st.binary(min_size=1, max_size=6))
def test_damage_never_turns_a_prohibition_into_an_allow(at, noise):
    data = mining(PROHIBITED)
    assert Preference.ALLOW not in {each[1] for each in said(data[:at] + noise + data[at:])}


# -- Exif's Copyright ------------------------------------------------------------------------------------

COPYRIGHTS = {
    "one": (b"A. Artist\0", "A. Artist"),
    "editor": (b"A. Artist\0 E. Editor\0", "A. Artist; E. Editor"),
    "editor-only": (b" \0E. Editor\0", "E. Editor"),
    "utf-8": ("\u00a9 noai".encode(), "\u00a9 noai"),
    "latin-1": ("\u00a9 A".encode("latin-1"), "\u00a9 A"),
    "blank": (b"   \0", None),
    "empty": (b"", None),
}


@pytest.mark.parametrize(("data", "text"), COPYRIGHTS.values(), ids=COPYRIGHTS)
def test_copyright_is_recorded(data, text):
    reading = _xmp.read_copyright(Part(Kind.COPYRIGHT, "JPEG Exif Copyright", data), SOURCE)
    if text is None:
        assert reading == NOTHING
        return
    (statement,) = reading.statements
    assert (statement.preference, statement.evidence.raw) == (Preference.UNKNOWN, text)
    assert statement.evidence.where == "JPEG Exif Copyright"
