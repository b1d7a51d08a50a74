from __future__ import annotations

import base64
import gzip
import io
import json
import struct

import cbor2
import pytest
from PIL import Image, ImageChops

from heedful.testing import embed, identify, make
from heedful.testing.pictures import CONTENT_TYPES, Picture

PACKET = embed.dmi_packet("DMI-PROHIBITED")
STORE = embed.training_mining_store({"cawg.ai_training": "notAllowed"})


def saved(kind, *, mode="RGB", size=(70, 50), **options):
    out = io.BytesIO()
    image = Image.linear_gradient("L").resize(size).convert(mode)
    image.save(out, kind, **options)
    return out.getvalue()


def frames(kind, **options):
    images = [Image.new("RGB", (40, 40), (shade, 0, 90)) for shade in (10, 100, 200)]
    out = io.BytesIO()
    images[0].save(out, kind, save_all=True, append_images=images[1:], **options)
    return out.getvalue()


def wide_iloc(data):
    """The same file as others write it: `iloc` version 2, offsets of 8 bytes from a base (ISO 14496-12)."""
    meta, iloc = located(data)

    def box(shift):
        items = [item.moved(meta.end, shift) for item in embed._items(data, iloc)]
        body = b"\2\0\0\0\x84\x80" + struct.pack(">I", len(items))
        for item in items:
            ((offset, length),) = item.extents
            body += struct.pack(">IHHQHQI", item.number, 0, 0, 100, 1, offset - 100, length)
        return embed._box(b"iloc", body)

    shift = len(box(0)) - (iloc.end - iloc.at)
    inner = embed._patched(data, meta.content, meta.end, {iloc: box(shift)})
    return data[: meta.at] + embed._box(b"meta", inner) + data[meta.end :]


def located(data):
    meta = embed._boxes(data, 0, len(data))[b"meta"]
    return meta, embed._boxes(data, meta.content + 4, meta.end)[b"iloc"]


FILES = {
    "jpeg": saved("JPEG"),
    "jpeg-grey-progressive": saved("JPEG", mode="L", progressive=True),
    "jpeg-exif": saved("JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"),
    "png": saved("PNG"),
    "png-palette": saved("PNG", mode="P"),
    "webp": saved("WEBP"),
    "webp-lossless": saved("WEBP", lossless=True),
    "webp-lossless-alpha": saved("WEBP", mode="RGBA", lossless=True),
    "webp-alpha": saved("WEBP", mode="RGBA"),
    "webp-animated": frames("WEBP"),
    "webp-odd": saved("WEBP", size=(33, 17), quality=3),
    "gif": saved("GIF", mode="P"),
    "gif-animated": frames("GIF", loop=0),
    "tiff": saved("TIFF"),
    "tiff-lzw": saved("TIFF", compression="tiff_lzw"),
    "tiff-pages": frames("TIFF"),
    "bigtiff": saved("TIFF", big_tiff=True),
    "tiff-big-endian": saved("TIFF", mode="I;16B"),
    "avif": saved("AVIF"),
    "avif-alpha": saved("AVIF", mode="RGBA"),
    "avif-exif": saved("AVIF", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"),
    "avif-wide-iloc": wide_iloc(saved("AVIF", mode="RGBA")),
}

WAYS = {
    "xmp": lambda data: embed.xmp(data, PACKET),
    "jumbf": lambda data: embed.jumbf(data, STORE),
    "both": lambda data: embed.jumbf(embed.xmp(data, PACKET), STORE),
    "both-reversed": lambda data: embed.xmp(embed.jumbf(data, STORE), PACKET),
    "twice": lambda data: embed.xmp(embed.xmp(data, PACKET), PACKET + b" "),
    "uuid": lambda data: embed.xmp(data, PACKET, place="uuid"),
    "long": lambda data: embed.jumbf(embed.xmp(data, PACKET + b" " * 200_001), STORE + bytes(200_000)),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("name", FILES)
def test_the_picture_stays_the_same(name, way):
    before, after = (Image.open(io.BytesIO(data)) for data in (FILES[name], way(FILES[name])))
    assert before.format == after.format
    assert before.size == after.size
    assert getattr(before, "n_frames", 1) == getattr(after, "n_frames", 1)
    assert ImageChops.difference(before.convert("RGBA"), after.convert("RGBA")).getbbox() is None
    before.seek(getattr(before, "n_frames", 1) - 1)
    after.seek(getattr(after, "n_frames", 1) - 1)
    assert ImageChops.difference(before.convert("RGBA"), after.convert("RGBA")).getbbox() is None


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("gif")])
def test_pillow_finds_the_packet(name):
    """Pillow knows no XMP in GIF files."""
    image = Image.open(io.BytesIO(embed.xmp(FILES[name], PACKET)))
    found = image.info.get("xmp") or image.tag_v2[700]
    assert found == PACKET


@pytest.mark.parametrize("kind", CONTENT_TYPES)
def test_pictures_with_metadata_keep_their_number(kind):
    plain = Picture(4711, kind)
    told = Picture(4711, kind, xmp=PACKET, jumbf=STORE, min_bytes=70_000)
    assert identify(plain.render()) == identify(told.render()) == 4711
    assert told.render() is told.render()
    assert len(told.render()) >= 70_000 + len(PACKET) + len(STORE)
    assert plain.render() == make(4711, format=kind)
    assert PACKET in told.render()
    assert hash(told) != hash(plain)


OTHERS = {
    "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><g/></svg>',
    "jxl": b"\xff\n" + bytes(40),
}


def active_manifest(data, media_type):
    """The label of the active manifest, as c2pa-python reads it."""
    library = pytest.importorskip("c2pa")
    settings = {"verify": {"remote_manifest_fetch": False}}
    with (
        library.Context.from_dict(settings) as context,
        library.Reader(media_type, io.BytesIO(data), context=context) as reader,
    ):
        return json.loads(reader.json())["active_manifest"]


@pytest.fixture(scope="module")
def store(c2pa_signed):
    """A signed store, and its active manifest's label."""
    data = c2pa_signed(make(1, format="PNG"), "image/png", {})
    at = data.index(b"caBX")
    store = data[at + 4 : at + 4 + struct.unpack_from(">I", data, at - 4)[0]]
    return store, active_manifest(data, "image/png")


@pytest.mark.parametrize("name", FILES | OTHERS)
def test_c2pa_finds_the_store(store, name):
    """It belongs to another file, so that it is invalid; but it is found."""
    content, manifest = store
    media_type = "image/svg+xml" if name == "svg" else ""  # the one format that it does not tell by itself
    data = embed.jumbf((FILES | OTHERS)[name], content)
    assert active_manifest(data, media_type) == manifest


def test_jxl_gets_its_container_once():
    once = embed.xmp(b"\xff\ncodestream", PACKET)
    assert once.startswith(b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ")
    assert embed.jumbf(once, STORE) == once + STORE
    assert once.count(b"jxlc") == 1


@pytest.mark.parametrize(
    "root",
    ["<svg xmlns='http://www.w3.org/2000/svg'>", '<svg:svg xmlns:svg="x" a=">">', '<svg\n  id="a>b"\n>'],
)
def test_svg(root):
    data = f"<!DOCTYPE svg>{root}<g/></svg>".encode()
    expected = data.replace(root.encode(), root.encode() + b"<metadata>" + PACKET + b"</metadata>")
    assert embed.xmp(data, PACKET) == expected
    assert gzip.decompress(embed.xmp(gzip.compress(data), PACKET)) == expected
    assert base64.b64encode(STORE) in embed.jumbf(data, STORE)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        b"<html/>",
        b"<svg/>",
        b"\x1f\x8bxx",
        gzip.compress(b"<svg></svg>", mtime=0)[:-9],
        b"RIFF\4\0\0\0WEBP",
        b"II*\0\x08\0\0\0",
        b"II*\0\x08\0\0\0\4\0",
        b"GIF89a",
        b"\0\0\0\x08ftyp",
        b"\0\0\0\x0cftypavif",
        FILES["avif"][:200],
        frames("AVIF"),
    ],
    ids=lambda data: repr(data[:24]),  # what follows can hold the time of its making
)
def test_what_cannot_be_packed(data):
    with pytest.raises(ValueError, match=r"."):
        embed.xmp(data, PACKET)
    with pytest.raises(ValueError, match=r"."):
        embed.jumbf(data, STORE)


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "gif", "tiff", "avif"])
def test_cut_files_raise_nothing_else(name):
    for end in range(0, len(FILES[name]), 7):
        for pack in (lambda data: embed.xmp(data, PACKET), lambda data: embed.jumbf(data, STORE)):
            try:
                pack(FILES[name][:end])
            except ValueError:
                continue


FORMS = {
    "resource": '<plus:DataMining rdf:resource="http://ns.useplus.org/ldf/vocab/DMI-ALLOWED"/>',
    "element": "<plus:DataMining>http://ns.useplus.org/ldf/vocab/DMI-ALLOWED</plus:DataMining>",
    "attribute": 'plus:DataMining="http://ns.useplus.org/ldf/vocab/DMI-ALLOWED"',
    "bag": "<rdf:Bag><rdf:li>http://ns.useplus.org/ldf/vocab/DMI-ALLOWED</rdf:li></rdf:Bag>",
    "alt": "<rdf:Alt><rdf:li>http://ns.useplus.org/ldf/vocab/DMI-ALLOWED</rdf:li></rdf:Alt>",
    "label": "<plus:DataMining>Allowed</plus:DataMining>",
    "key": "<plus:DataMining>DMI-ALLOWED</plus:DataMining>",
}


@pytest.mark.parametrize(("form", "text"), FORMS.items(), ids=FORMS)
def test_forms(form, text):
    assert text in embed.dmi_packet("DMI-ALLOWED", form=form).decode()


def test_unknown_label():
    with pytest.raises(ValueError, match="no label is known"):
        embed.dmi_packet("DMI-NOVEL", form="label")


def test_store():
    made = embed.training_mining_store({"a": "allowed", "b": {"use": "constrained", "constraint_info": "x"}})
    value = cbor2.loads(made[made.index(b"cbor", made.index(b"cawg.training-mining")) + 4 :])
    assert value == {
        "entries": {"a": {"use": "allowed"}, "b": {"use": "constrained", "constraint_info": "x"}}
    }
    bare = embed.training_mining_store(
        {"a": "allowed"}, wrapped=False, content="json", label="l", manifest="m"
    )
    assert bare.endswith(b'json{"a": {"use": "allowed"}}')
    assert b"\3l\0" in bare
    assert b"\3m\0" in bare
