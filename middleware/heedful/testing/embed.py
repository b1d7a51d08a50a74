"""Puts metadata that speak of AI training into image files: XMP packets and C2PA manifest stores.

Each packer takes a file and returns it with the metadata in the place that the format's specification names
(XMP part 3; C2PA 2.2, appendix A). The picture itself stays as it was, byte for byte: nothing is decoded.
They are made for tests: a file that already has such metadata gets a second one.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import struct
import zlib
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple
from xml.sax.saxutils import escape, quoteattr

import cbor2

if TYPE_CHECKING:
    from collections.abc import Mapping

PLUS: Final = "http://ns.useplus.org/ldf/xmp/1.0/"
"""The namespace of `plus:DataMining`."""

VOCABULARY: Final = "http://ns.useplus.org/ldf/vocab/"
"""What the keys of PLUS's vocabulary are appended to."""

Form = Literal["resource", "element", "attribute", "bag", "alt", "label", "key"]
"""How a packet writes the value of `plus:DataMining`; see `dmi_packet`."""

Place = Literal["item", "uuid"]
"""Where AVIF and HEIC keep a packet: as an item of the `meta` box (the rule), or in a `uuid` box."""

_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_LABELS: Final = {
    "DMI-UNSPECIFIED": "Unspecified - no prohibition defined",
    "DMI-ALLOWED": "Allowed",
    "DMI-PROHIBITED-AIMLTRAINING": "Prohibited for AI/ML training",
    "DMI-PROHIBITED-GENAIMLTRAINING": "Prohibited for Generative AI/ML training",
    "DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING": "Prohibited except for search engine indexing",
    "DMI-PROHIBITED": "Prohibited",
    "DMI-PROHIBITED-SEECONSTRAINT": "Prohibited, see plus:OtherConstraints",
    "DMI-PROHIBITED-SEEEMBEDDEDRIGHTSEXPR": "Prohibited, see iptcExt:EmbdEncRightsExpr",
    "DMI-PROHIBITED-SEELINKEDRIGHTSEXPR": "Prohibited, see iptcExt:LinkedEncRightsExpr",
}
_JPEG_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_EXTENSION: Final = b"http://ns.adobe.com/xmp/extension/\0"
_JPEG_XMP_MAX: Final = 0xFFFF - 2 - len(_JPEG_XMP)
_JPEG_EXTENSION_MAX: Final = 65_000  # of a chunk; XMP part 3, 1.1.3.1 suggests it
_XMP_UUID: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_C2PA_UUID: Final = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_JXL: Final = b"\0\0\0\x0cJXL \r\n\x87\n"
_SVG_TAG: Final = re.compile(rb"""<(?:\w+:)?svg\b(?:[^>"']|"[^"]*"|'[^']*')*>""")


def xmp(data: bytes, packet: bytes, *, place: Place = "item") -> bytes:
    """An image file with an XMP packet in it.

    Args:
        data: JPEG, PNG, WebP, GIF, TIFF, AVIF or HEIC, JPEG XL (a bare codestream gets its container), SVG or
            SVGZ, told by its first bytes. Of a JPEG, a packet above 64 KiB becomes extended XMP.
        packet: the packet, UTF-8.
        place: where AVIF and HEIC keep it.

    Raises:
        ValueError: none of these formats, or damaged.
    """
    try:
        return _with_xmp(data, packet, place)
    except (struct.error, LookupError) as error:
        raise ValueError("an image file that is damaged or cut off") from error


def _with_xmp(data: bytes, packet: bytes, place: Place) -> bytes:
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data, _jpeg_xmp(packet))
    if data.startswith(b"\x89PNG"):
        return _png(data, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)
    if data.startswith(b"RIFF"):
        return _webp(data, b"XMP ", packet, flag=0x04)
    if data.startswith(b"GIF8"):  # no sub-blocks: the "magic trailer" leads readers of those to its end
        trailer = b"\1" + bytes(range(255, -1, -1)) + b"\0"
        return _gif(data, b"XMP DataXMP", packet + trailer)
    if data[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}:
        return _tiff(data, tag=700, kind=1, value=packet)
    if data[4:8] == b"ftyp":
        if place == "uuid":
            return data + _box(b"uuid", _XMP_UUID + packet)
        return _bmff_item(data, packet)
    if data.startswith((_JXL, b"\xff\n")):
        return _jxl(data) + _box(b"xml ", packet)
    return _svg(data, packet)


def jumbf(data: bytes, store: bytes) -> bytes:
    """An image file with a C2PA manifest store in it.

    Args:
        data: the file, as for `xmp`.
        store: the store, a JUMBF superbox, such as `training_mining_store` makes.

    Raises:
        ValueError: none of these formats, or damaged.
    """
    try:
        return _with_jumbf(data, store)
    except (struct.error, LookupError) as error:
        raise ValueError("an image file that is damaged or cut off") from error


def _with_jumbf(data: bytes, store: bytes) -> bytes:
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data, _jpeg_jumbf(store))
    if data.startswith(b"\x89PNG"):
        return _png(data, b"caBX", store)
    if data.startswith(b"RIFF"):
        return _webp(data, b"C2PA", store)
    if data.startswith(b"GIF8"):
        return _gif(data, b"C2PA_GIF\1\0\0", _sub_blocks(store))
    if data[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}:
        return _tiff(data, tag=0xCD41, kind=7, value=store)
    if data[4:8] == b"ftyp":
        return _bmff_uuid(data, store)
    if data.startswith((_JXL, b"\xff\n")):
        return _jxl(data) + store
    namespace = b'xmlns:c2pa="http://c2pa.org/manifest"'
    return _svg(data, b"<c2pa:manifest %b>%b</c2pa:manifest>" % (namespace, base64.b64encode(store)))


def xmp_packet(properties: str, attributes: str = "") -> bytes:
    """A whole XMP packet around the properties of one `rdf:Description`, given as XML.

    Args:
        properties: elements; `rdf:` is declared, other prefixes they declare themselves.
        attributes: attributes of the `rdf:Description`, namespaces declared there count for both.
    """
    text = (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">'
        f'<rdf:Description rdf:about="" {attributes}>{properties}</rdf:Description>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )
    return text.encode()


def dmi_packet(value: str, *, form: Form = "resource", prefix: str = "plus", namespace: str = PLUS) -> bytes:
    """An XMP packet with `plus:DataMining`, in one of the forms that are found in files.

    Args:
        value: a key of PLUS's vocabulary, such as `DMI-PROHIBITED-AIMLTRAINING`.
        form: the vocabulary's URL as `rdf:resource`, as an element's text, as an attribute, or as the only
            member of a Bag or Alt; or, as an element's text, the label or the bare key.
        prefix: the prefix of the property.
        namespace: the namespace that it stands for.

    Raises:
        ValueError: the vocabulary knows no label of this value.
    """
    name, bound, url = f"{prefix}:DataMining", f"xmlns:{prefix}={quoteattr(namespace)}", VOCABULARY + value
    if form == "resource":
        return xmp_packet(f"<{name} rdf:resource={quoteattr(url)}/>", bound)
    if form == "attribute":
        return xmp_packet("", f"{bound} {name}={quoteattr(url)}")
    if form in {"bag", "alt"}:
        kind = f"rdf:{form.capitalize()}"
        return xmp_packet(f"<{name}><{kind}><rdf:li>{escape(url)}</rdf:li></{kind}></{name}>", bound)
    if form == "label":
        if value not in _LABELS:
            raise ValueError(f"no label is known of {value!r}")
        return xmp_packet(f"<{name}>{escape(_LABELS[value])}</{name}>", bound)
    return xmp_packet(f"<{name}>{escape(url if form == 'element' else value)}</{name}>", bound)


def training_mining_store(
    entries: Mapping[str, str | Mapping[str, Any]],
    *,
    label: str = "cawg.training-mining",
    content: Literal["cbor", "json"] = "cbor",
    wrapped: bool = True,
    manifest: str = "urn:c2pa:00000000-0000-4000-8000-000000000000",
) -> bytes:
    """A C2PA manifest store with one training-mining assertion, unsigned.

    Args:
        entries: by name, such as `cawg.ai_training`: its `use` (`allowed`, `notAllowed`, `constrained`), or a
            mapping of all its fields.
        label: the assertion's label.
        content: how the assertion is written.
        wrapped: whether the entries stand under `entries`, as both specifications have it.
        manifest: the manifest's label.
    """
    fields = {name: {"use": use} if isinstance(use, str) else dict(use) for name, use in entries.items()}
    value = {"entries": fields} if wrapped else fields
    raw = cbor2.dumps(value) if content == "cbor" else json.dumps(value).encode()
    assertion = _superbox(content.encode(), label, _box(content.encode(), raw))
    return manifest_store({manifest: [assertion]})


def manifest_store(manifests: Mapping[str, list[bytes]]) -> bytes:
    """A C2PA manifest store of these manifests, the last of which is the active one.

    Args:
        manifests: assertions (JUMBF superboxes) by the manifest's label.
    """
    boxes = [
        _superbox(b"c2ma", name, _superbox(b"c2as", "c2pa.assertions", b"".join(assertions)))
        for name, assertions in manifests.items()
    ]
    return _superbox(b"c2pa", "c2pa", b"".join(boxes))


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _superbox(kind: bytes, label: str, content: bytes) -> bytes:
    """A JUMBF superbox (ISO 19566-5): its description box with type, toggles and label, then its content."""
    uuid = kind + bytes.fromhex("00110010800000aa00389b71")
    return _box(b"jumb", _box(b"jumd", uuid + b"\3" + label.encode() + b"\0") + content)


# JPEG


def _jpeg(data: bytes, segments: bytes) -> bytes:
    """`segments` behind the APP0 that begins the file, if it has one."""
    at = 4 + int.from_bytes(data[4:6], "big") if data[2:4] == b"\xff\xe0" else 2
    return data[:at] + segments + data[at:]


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _jpeg_xmp(packet: bytes) -> bytes:
    if len(packet) <= _JPEG_XMP_MAX:
        return _segment(0xE1, _JPEG_XMP + packet)
    guid = hashlib.md5(packet, usedforsecurity=False).hexdigest().upper()
    note = 'xmlns:xmpNote="http://ns.adobe.com/xmp/note/"'
    segments = [_segment(0xE1, _JPEG_XMP + xmp_packet("", f'{note} xmpNote:HasExtendedXMP="{guid}"'))]
    for at in range(0, len(packet), _JPEG_EXTENSION_MAX):
        head = _JPEG_EXTENSION + guid.encode() + struct.pack(">II", len(packet), at)
        segments.append(_segment(0xE1, head + packet[at : at + _JPEG_EXTENSION_MAX]))
    return b"".join(segments)


def _jpeg_jumbf(store: bytes) -> bytes:
    """APP11 segments (ISO 19566-5, D.2); each repeats the box's own header behind the sequence number."""
    header, content = store[:8], store[8:]
    size = 0xFFFF - 2 - 16
    parts = [content[at : at + size] for at in range(0, len(content), size)]
    return b"".join(
        _segment(0xEB, struct.pack(">2sHI", b"JP", 1, number) + header + part)
        for number, part in enumerate(parts, start=1)
    )


# PNG, WebP, GIF


def _png(data: bytes, kind: bytes, content: bytes) -> bytes:
    """A chunk behind IHDR, which is always 25 bytes long."""
    at = 8 + 25
    body = kind + content
    chunk = struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
    return data[:at] + chunk + data[at:]


def _webp(data: bytes, kind: bytes, content: bytes, *, flag: int = 0) -> bytes:
    """A chunk at the end; the simple file formats become the extended one, which alone may have it."""
    chunks = data[12 : 8 + int.from_bytes(data[4:8], "little")]
    if not chunks.startswith(b"VP8X"):
        width, height, alpha = _webp_size(chunks)
        flags = alpha << 4
        size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
        chunks = b"VP8X" + struct.pack("<II", 10, flags) + size + chunks
    chunks = chunks[:8] + bytes((chunks[8] | flag,)) + chunks[9:]
    chunks += kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def _webp_size(chunks: bytes) -> tuple[int, int, bool]:
    """Width and height in pixels, and whether there is an alpha channel (RFC 9649, 2.5 and 2.6)."""
    if chunks.startswith(b"VP8L"):
        (bits,) = struct.unpack_from("<I", chunks, 9)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
    if chunks.startswith(b"VP8 ") and chunks[11:14] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", chunks, 14)
        return width & 0x3FFF, height & 0x3FFF, False
    raise ValueError("a WebP file without a picture")


def _gif(data: bytes, application: bytes, content: bytes) -> bytes:
    """An application extension behind the global colour table; such are of GIF 89a."""
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    return b"GIF89a" + data[6:at] + b"\x21\xff\x0b" + application + content + data[at:]


def _sub_blocks(content: bytes) -> bytes:
    parts = [content[at : at + 255] for at in range(0, len(content), 255)]
    return b"".join(bytes((len(part),)) + part for part in parts) + b"\0"


# TIFF


def _tiff(data: bytes, *, tag: int, kind: int, value: bytes) -> bytes:
    """A copy of the first directory with one more entry, at the end of the file, behind its value."""
    end = "<" if data.startswith(b"II") else ">"
    big = data[2:4] in {b"+\0", b"\0+"}
    offset, count, head = ("Q", "Q", 8) if big else ("I", "H", 4)
    size = 20 if big else 12
    (start,) = struct.unpack_from(end + offset, data, head)
    (number,) = struct.unpack_from(end + count, data, start)
    first = start + struct.calcsize(count)
    entries = [data[at : at + size] for at in range(first, first + number * size, size)]
    following = data[first + number * size :][: struct.calcsize(offset)]
    if len(b"".join(entries)) != number * size or len(following) != struct.calcsize(offset):
        raise ValueError("a TIFF file whose directory is cut off")
    data += bytes(len(data) % 2)
    entries.append(struct.pack(f"{end}HH{offset}{offset}", tag, kind, len(value), len(data)))
    entries.sort(key=lambda entry: struct.unpack(end + "H", entry[:2]))
    data += value + bytes(len(value) % 2)
    directory = struct.pack(end + count, len(entries)) + b"".join(entries) + following
    return data[:head] + struct.pack(end + offset, len(data)) + data[head + len(following) :] + directory


# AVIF, HEIC, JPEG XL


class _Found(NamedTuple):
    at: int
    end: int
    content: int


def _boxes(data: bytes, at: int, end: int) -> dict[bytes, _Found]:
    """The boxes between two offsets, by type; of several of a type, the first."""
    found: dict[bytes, _Found] = {}
    while at < end:
        if at + 8 > end:
            raise ValueError("a box that is cut off")
        size, kind = struct.unpack_from(">I4s", data, at)
        content = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data[content : content + 8].ljust(8, b"\0"))
            content += 8
        stop = end if size == 0 else at + size
        if not content <= stop <= end:
            raise ValueError("a box of impossible size")
        found.setdefault(kind, _Found(at, stop, content))
        at = stop
    return found


def _bmff_item(data: bytes, packet: bytes) -> bytes:
    """The packet in a box at the end, an item of type `mime` that describes the primary one (HEIF, 6.6)."""
    meta = _still(_boxes(data, 0, len(data)))
    inner = _boxes(data, meta.content + 4, meta.end)
    pitm, iinf, iloc, iref = inner[b"pitm"], inner[b"iinf"], inner[b"iloc"], inner.get(b"iref")
    primary = int.from_bytes(data[pitm.content + 4 : pitm.end], "big")
    items = _items(data, iloc)
    number = max(item.number for item in items) + 1
    count = iinf.content + (6 if data[iinf.content] == 0 else 8)  # where the number of items ends
    entries = int.from_bytes(data[iinf.content + 4 : count], "big") + 1
    entry = _box(b"infe", struct.pack(">IHH", 2 << 24, number, 0) + b"mime\0application/rdf+xml\0")
    head = data[iinf.content : iinf.content + 4] + entries.to_bytes(count - iinf.content - 4, "big")
    described = _box(b"cdsc", struct.pack(">HHH", number, 1, primary))
    new = {iinf: _box(b"iinf", head + data[count : iinf.end] + entry)}
    if iref is None:
        new[_Found(meta.end, meta.end, meta.end)] = _box(b"iref", bytes(4) + described)
    else:
        new[iref] = _box(b"iref", data[iref.content : iref.end] + described)

    def rebuilt(shift: int) -> bytes:
        located = [item.moved(meta.end, shift) for item in items]
        located.append(_Item(number, 0, 0, 0, ((len(data) + shift + 8, len(packet)),)))
        return _box(b"meta", _patched(data, meta.content, meta.end, {**new, iloc: _iloc(located)}))

    shift = len(rebuilt(0)) - (meta.end - meta.at)  # the size does not depend on the offsets
    return data[: meta.at] + rebuilt(shift) + data[meta.end :] + _box(b"mdat", packet)


def _bmff_uuid(data: bytes, store: bytes) -> bytes:
    """The store in a `uuid` box behind `ftyp`, the offsets of items moved with them (C2PA, A.5.1)."""
    top = _boxes(data, 0, len(data))
    meta, ftyp = _still(top), top[b"ftyp"]
    iloc = _boxes(data, meta.content + 4, meta.end)[b"iloc"]
    box = _box(b"uuid", _C2PA_UUID + bytes(4) + b"manifest\0" + bytes(8) + store)
    items = _items(data, iloc)
    shift = len(box) + len(_iloc(items)) - (iloc.end - iloc.at)  # ours may be of another version
    located = _iloc([item.moved(ftyp.end, shift) for item in items])
    rebuilt = _box(b"meta", _patched(data, meta.content, meta.end, {iloc: located}))
    return data[: ftyp.end] + box + data[ftyp.end : meta.at] + rebuilt + data[meta.end :]


def _patched(data: bytes, at: int, end: int, new: Mapping[_Found, bytes]) -> bytes:
    """The bytes between two offsets, some boxes of which are replaced."""
    parts = []
    for box in sorted(new):
        parts += [data[at : box.at], new[box]]
        at = box.end
    return b"".join(parts) + data[at:end]


def _still(top: Mapping[bytes, _Found]) -> _Found:
    if b"meta" not in top or b"moov" in top or b"mdat" not in top or top[b"meta"].at > top[b"mdat"].at:
        raise ValueError("only still pictures whose `meta` box precedes their data can be rewritten")
    return top[b"meta"]


class _Item(NamedTuple):
    """Where an item is: by which method, from which base, in which (offset, length)s."""

    number: int
    method: int
    reference: int
    base: int
    extents: tuple[tuple[int, int], ...]

    def moved(self, behind: int, shift: int) -> _Item:
        """The item, if it lies behind an offset of the file, `shift` bytes later."""
        if self.method:
            return self
        places = ((self.base + at, size) for at, size in self.extents)
        return self._replace(
            base=0, extents=tuple((at + shift if at >= behind else at, size) for at, size in places)
        )


def _items(data: bytes, iloc: _Found) -> list[_Item]:
    """What an `iloc` box says (ISO 14496-12, 8.11.3)."""
    at = iloc.content
    version = data[at]
    sizes = (data[at + 4] >> 4, data[at + 4] & 15, data[at + 5] >> 4, data[at + 5] & 15)
    at += 6

    def take(size: int) -> int:
        nonlocal at
        at += size
        if at > iloc.end:
            raise ValueError("an `iloc` box that is cut off")
        return int.from_bytes(data[at - size : at], "big")

    items = []
    for _ in range(take(2 if version < 2 else 4)):
        number = take(2 if version < 2 else 4)
        method = take(2) & 15 if version else 0
        reference, base = take(2), take(sizes[2])
        extents = []
        for _ in range(take(2)):
            take(sizes[3] if version else 0)
            extents.append((take(sizes[0]), take(sizes[1])))
        items.append(_Item(number, method, reference, base, tuple(extents)))
    return items


def _iloc(items: list[_Item]) -> bytes:
    """An `iloc` box of version 1 with offsets, lengths and bases of four bytes."""
    out = [b"\1\0\0\0\x44\x40", struct.pack(">H", len(items))]
    for item in items:
        out.append(struct.pack(">HHHIH", *item[:4], len(item.extents)))
        out.extend(struct.pack(">II", *extent) for extent in item.extents)
    return _box(b"iloc", b"".join(out))


def _jxl(data: bytes) -> bytes:
    if data.startswith(_JXL):
        return data
    return _JXL + _box(b"ftyp", b"jxl \0\0\0\0jxl ") + _box(b"jxlc", data)


# SVG


def _svg(data: bytes, metadata: bytes) -> bytes:
    """A `metadata` element as the root's first child."""
    if data.startswith(b"\x1f\x8b"):
        try:
            plain = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError("an SVGZ file that cannot be read") from error
        return gzip.compress(_svg(plain, metadata), mtime=0)
    root = _SVG_TAG.search(data)
    if root is None or root[0].endswith(b"/>"):
        raise ValueError("no image format that metadata can be put into")
    return data[: root.end()] + b"<metadata>" + metadata + b"</metadata>" + data[root.end() :]
