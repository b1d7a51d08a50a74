"""Image files of every container, written by as many programs as there are at hand, and what they say."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import random
import shutil
import subprocess
from collections import Counter
from typing import NamedTuple

import pytest
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from heedful.model import Preference, Purpose, Reason, Source
from heedful.signals.embedded import Watch, read
from heedful.testing import embed

SOURCE = Source("https://a.example/picture")
EXIFTOOL = shutil.which("exiftool")
needs_exiftool = pytest.mark.skipif(EXIFTOOL is None, reason="exiftool is not installed")

# What a statement says, and of what.
GENERATIVE, NONGENERATIVE, ANY = Purpose.TRAIN_GENERATIVE, Purpose.TRAIN_NONGENERATIVE, Purpose.TRAIN_ANY
DENIED = {(Reason.DATA_MINING, Preference.DISALLOW, ANY)}
DENIED_GENERATIVE = {(Reason.DATA_MINING, Preference.DISALLOW, GENERATIVE)}
ALLOWED = {(Reason.DATA_MINING, Preference.ALLOW, ANY)}
RESERVED = {(Reason.TDMREP, Preference.DISALLOW, ANY)}
NOT_RESERVED = {(Reason.TDMREP, Preference.ALLOW, ANY)}
NOTHING = set()


def said(reading):
    """The statements that could decide anything; others are notes."""
    return {
        (statement.signal, statement.preference, statement.covers)
        for statement in reading.statements
        if statement.preference is not Preference.UNKNOWN
    }


def denies(reading):
    return {statement for statement in said(reading) if statement[1] is Preference.DISALLOW}


# -- containers ------------------------------------------------------------------------------------------

PICTURE = Image.linear_gradient("L").resize((64, 48)).convert("RGB")


def saved(kind, image=PICTURE, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def frames(kind, **options):
    images = [Image.new("RGB", (40, 40), (shade, 0, 90)) for shade in (10, 100)]
    return saved(kind, images[0], save_all=True, append_images=images[1:], **options)


def text(key, value, **options):
    info = PngInfo()
    info.add_text(key, value, **options)
    return info


CLEAN = {
    "jpeg": saved("JPEG"),
    "jpeg-progressive-grey": saved("JPEG", PICTURE.convert("L"), progressive=True),
    "jpeg-cmyk": saved("JPEG", PICTURE.convert("CMYK")),
    "jpeg-icc": saved("JPEG", icc_profile=bytes(100_000)),
    "jpeg-comment": saved("JPEG", comment=b"DataMining"),
    "mpo": frames("MPO"),
    "png": saved("PNG"),
    "png-palette": saved("PNG", PICTURE.convert("P")),
    "png-text": saved("PNG", PICTURE.convert("LA"), pnginfo=text("Title", "x")),
    "apng": frames("PNG"),
    "webp": saved("WEBP"),
    "webp-lossless": saved("WEBP", lossless=True),
    "webp-animated": frames("WEBP"),
    "gif": saved("GIF", PICTURE.convert("P")),
    "gif-animated": frames("GIF", loop=0),
    "gif-comment": saved("GIF", PICTURE.convert("P"), comment=b"XMP DataXMP"),
    "tiff": saved("TIFF"),
    "tiff-big-endian": saved("TIFF", PICTURE.convert("L").convert("I;16B")),
    "tiff-pages": frames("TIFF"),
    "bigtiff": saved("TIFF", big_tiff=True),
    "avif": saved("AVIF"),
    "avif-alpha": saved("AVIF", PICTURE.convert("RGBA")),
    "avif-animated": frames("AVIF"),
    "jxl": embed._jxl(b"\xff\n" + bytes(40)),
    "jxl-codestream": b"\xff\n" + bytes(40),
    "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><g/></svg>',
    "svgz": gzip.compress(b'<svg xmlns="http://www.w3.org/2000/svg"><desc>noai</desc></svg>', mtime=0),
    "bmp": saved("BMP"),
    "ico": saved("ICO"),
    "jpeg-2000": saved("JPEG2000"),
}


def png(packet, *, write=saved, **options):
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", packet, **options)
    return write("PNG", pnginfo=info)


def png_behind_idat(packet):
    info = PngInfo()
    info.add(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet, after_idat=True)
    return saved("PNG", pnginfo=info)


def png_profile(packet, **options):
    """As ImageMagick writes it: the name, the length, lines of hexadecimal digits."""
    digits = packet.hex()
    lines = [digits[at : at + 72] for at in range(0, len(digits), 72)]
    profile = "\n".join(["", "xmp", f"{len(packet):8}", *lines, ""])
    return saved("PNG", pnginfo=text("Raw profile type xmp", profile, **options))


def tiff(packet, *, prefix=b"II", **options):
    tags = ImageFileDirectory_v2(prefix=prefix)
    tags.tagtype[700] = 1
    tags[700] = packet
    return saved("TIFF", tiffinfo=tags, **options)


def exif(kind, packet):
    tags = Image.Exif()
    tags[ExifTags.Base.ImageDescription] = "x"
    tags[700] = packet
    return saved(kind, exif=tags)


WRITERS = {
    "pillow-jpeg": lambda packet: saved("JPEG", xmp=packet),
    "pillow-jpeg-icc": lambda packet: saved("JPEG", xmp=packet, icc_profile=bytes(70_000)),
    "pillow-jpeg-exif": lambda packet: exif("JPEG", packet),
    "pillow-mpo": lambda packet: frames("MPO", xmp=packet),
    "pillow-png": png,
    "pillow-png-compressed": lambda packet: png(packet, zip=True),
    "pillow-png-language": lambda packet: png(packet, lang="en", tkey="XMP"),
    "pillow-png-behind-idat": png_behind_idat,
    "pillow-png-profile": png_profile,
    "pillow-png-profile-compressed": lambda packet: png_profile(packet, zip=True),
    "pillow-apng": lambda packet: png(packet, write=frames),
    "pillow-webp": lambda packet: saved("WEBP", xmp=packet),
    "pillow-webp-alpha": lambda packet: saved("WEBP", PICTURE.convert("RGBA"), xmp=packet, lossless=True),
    "pillow-webp-animated": lambda packet: frames("WEBP", xmp=packet),
    "pillow-tiff": tiff,
    "pillow-tiff-big-endian": lambda packet: tiff(packet, prefix=b"MM"),
    "pillow-tiff-lzw": lambda packet: tiff(packet, compression="tiff_lzw"),
    "pillow-bigtiff": lambda packet: tiff(packet, big_tiff=True),
    "pillow-avif": lambda packet: saved("AVIF", xmp=packet),
    "pillow-avif-alpha": lambda packet: saved("AVIF", PICTURE.convert("RGBA"), xmp=packet),
    "pillow-avif-animated": lambda packet: frames("AVIF", xmp=packet),
    "heic-brand": lambda packet: saved("AVIF", xmp=packet).replace(b"avif", b"heic", 1),
    "avif-uuid": lambda packet: embed.xmp(CLEAN["avif"], packet, place="uuid"),
    "jpeg-extended": lambda packet: embed.xmp(CLEAN["jpeg"], packet + b" " * 70_000),
}
OURS = ("jpeg", "png", "webp", "webp-animated", "gif", "gif-animated", "tiff", "tiff-big-endian", "bigtiff")
OURS += ("avif", "avif-alpha", "jxl", "jxl-codestream", "svg", "svgz")
WRITERS |= {name: lambda packet, name=name: embed.xmp(CLEAN[name], packet) for name in OURS}

# -- packets ---------------------------------------------------------------------------------------------

TDM = 'xmlns:tdm="http://www.w3.org/ns/tdmrep/"'
RIGHTS = 'xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/"'
DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
PLUS = f'xmlns:plus="{embed.PLUS}"'
PROHIBITED = f"{embed.VOCABULARY}DMI-PROHIBITED"


class Packet(NamedTuple):
    data: bytes
    says: set


KEYS = {
    "DMI-UNSPECIFIED": NOTHING,
    "DMI-ALLOWED": ALLOWED,
    "DMI-PROHIBITED": DENIED,
    "DMI-PROHIBITED-AIMLTRAINING": DENIED,
    "DMI-PROHIBITED-GENAIMLTRAINING": DENIED_GENERATIVE,
    "DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING": DENIED,
    "DMI-PROHIBITED-SEECONSTRAINT": DENIED,
    "DMI-PROHIBITED-SEEEMBEDDEDRIGHTSEXPR": DENIED,
    "DMI-PROHIBITED-SEELINKEDRIGHTSEXPR": DENIED,
}
USES = {"denied": "DMI-PROHIBITED-AIMLTRAINING", "generative": "DMI-PROHIBITED-GENAIMLTRAINING"}
HTTPS = embed.PLUS.replace("http", "https")
FORMS = ("resource", "element", "attribute", "bag", "alt", "label", "key")


def alternative(name, text):
    return f'<{name}><rdf:Alt><rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt></{name}>'


PACKETS = {
    **{key.lower(): Packet(embed.dmi_packet(key), says) for key, says in KEYS.items()},
    "unknown-prohibition": Packet(embed.dmi_packet("DMI-PROHIBITED-NOVEL"), DENIED),
    "unknown-key": Packet(embed.dmi_packet("DMI-NOVEL"), NOTHING),
    **{
        f"{form}-{name}": Packet(embed.dmi_packet(key, form=form), KEYS[key])
        for form in FORMS
        for name, key in USES.items()
    },
    **{
        f"{form}-allowed": Packet(embed.dmi_packet("DMI-ALLOWED", form=form), ALLOWED)
        for form in ("resource", "element", "attribute", "key")
    },
    "other-prefix": Packet(embed.dmi_packet("DMI-PROHIBITED", prefix="p"), DENIED),
    "other-prefix-allowed": Packet(embed.dmi_packet("DMI-ALLOWED", prefix="ns0"), ALLOWED),
    "https-denied": Packet(embed.dmi_packet("DMI-PROHIBITED", namespace=HTTPS), DENIED),
    "https-allowed": Packet(embed.dmi_packet("DMI-ALLOWED", namespace=HTTPS), NOTHING),
    "foreign": Packet(embed.dmi_packet("DMI-PROHIBITED", namespace="http://other.example/"), NOTHING),
    "tdm-1": Packet(embed.xmp_packet("<tdm:reservation>1</tdm:reservation>", TDM), RESERVED),
    "tdm-1-attribute": Packet(embed.xmp_packet("", f'{TDM} tdm:reservation="1"'), RESERVED),
    "tdm-0": Packet(embed.xmp_packet("<tdm:reservation>0</tdm:reservation>", TDM), NOT_RESERVED),
    "tdm-0-dmi": Packet(
        embed.xmp_packet(
            f"<plus:DataMining>{PROHIBITED}</plus:DataMining>", f'{TDM} {PLUS} tdm:reservation="0"'
        ),
        NOT_RESERVED | DENIED,
    ),
    "noai": Packet(embed.xmp_packet(alternative("xmpRights:UsageTerms", "All mine; NoAI."), RIGHTS), DENIED),
    "noimageai": Packet(embed.xmp_packet("", f'{RIGHTS} xmpRights:UsageTerms="noimageai"'), DENIED),
    "terms": Packet(embed.xmp_packet(alternative("xmpRights:UsageTerms", "Noairline use"), RIGHTS), NOTHING),
    "description": Packet(embed.xmp_packet(alternative("dc:description", f"{PROHIBITED} noai"), DC), NOTHING),
    "comment": Packet(
        embed.xmp_packet(f'<!-- <plus:DataMining rdf:resource="{PROHIBITED}"/> -->', PLUS), NOTHING
    ),
    "empty": Packet(embed.xmp_packet(""), NOTHING),
}


@pytest.fixture(scope="module")
def written():
    """Each packet in each container; a container need not be written twice."""
    return {
        (writer, packet): write(PACKETS[packet].data)
        for (writer, write), packet in itertools.product(WRITERS.items(), PACKETS)
    }


def test_there_are_files_enough(written):
    assert len(set(written.values())) > 120


@pytest.mark.parametrize("packet", PACKETS)
@pytest.mark.parametrize("writer", WRITERS)
def test_packets(written, writer, packet):
    embedded = read(written[writer, packet], SOURCE)
    assert said(embedded.reading) == PACKETS[packet].says
    assert embedded.signed == ()
    if not PACKETS[packet].says and packet.startswith(("dmi-", "unknown-key")):
        assert Reason.DATA_MINING in {statement.signal for statement in embedded.reading.statements}
    for statement in embedded.reading.statements:
        assert statement.evidence.source_url == SOURCE.url
        assert statement.evidence.where


# What only some containers can hold, and forms of whole files.
UTF16 = embed.dmi_packet("DMI-PROHIBITED").decode().encode("utf-16-le")
PADDED = embed.dmi_packet("DMI-PROHIBITED") + b" \n" * 3000
TEXT_ONLY = ("svg", "pillow-png", "pillow-apng")


@pytest.mark.parametrize("writer", [name for name in WRITERS if not name.startswith(TEXT_ONLY)])
def test_encodings(writer):
    for packet in (UTF16, b"\xff\xfe" + UTF16, PADDED):
        assert said(read(WRITERS[writer](packet), SOURCE).reading) == DENIED


@pytest.mark.parametrize("name", CLEAN)
def test_clean_files_say_nothing(name):
    embedded = read(CLEAN[name], SOURCE)
    assert embedded.reading.statements == ()
    assert embedded.signed == ()
    watch = Watch(SOURCE)
    assert not watch.feed(CLEAN[name])
    assert watch.embedded.reading.statements == ()


TYPES = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "tiff": "image/tiff",
    "bigtiff": "image/tiff",
    "avif": "image/avif",
    "jxl": "image/jxl",
    "svg": "image/svg+xml",
    "bmp": None,
}


@pytest.mark.parametrize(("name", "media_type"), TYPES.items(), ids=TYPES)
def test_media_types(name, media_type):
    assert read(CLEAN[name], SOURCE).media_type == media_type


@pytest.mark.parametrize("second", ["dmi-prohibited", "dmi-allowed"])
@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "gif", "avif", "jxl", "svg"])
def test_every_packet_of_a_file_counts(name, second):
    first = "dmi-allowed" if second == "dmi-prohibited" else "dmi-prohibited"
    data = embed.xmp(embed.xmp(CLEAN[name], PACKETS[first].data), PACKETS[second].data)
    assert said(read(data, SOURCE).reading) == DENIED | ALLOWED


# -- C2PA ------------------------------------------------------------------------------------------------

MINING = Reason.TRAINING_MINING


def denied(covers):
    return {(MINING, Preference.DISALLOW, covers)}


class Assertion(NamedTuple):
    entries: dict
    says: set
    signed: set


def allowed(covers):
    return {(MINING, Preference.ALLOW, covers)}


ASSERTIONS = {
    "generative": Assertion({"cawg.ai_generative_training": "notAllowed"}, denied(GENERATIVE), NOTHING),
    "nongenerative": Assertion({"cawg.ai_training": "notAllowed"}, denied(NONGENERATIVE), NOTHING),
    "both": Assertion(
        {"cawg.ai_training": "notAllowed", "cawg.ai_generative_training": "notAllowed"}, denied(ANY), NOTHING
    ),
    "mining": Assertion({"cawg.data_mining": "notAllowed"}, denied(ANY), NOTHING),
    "constrained": Assertion(
        {"cawg.ai_generative_training": {"use": "constrained", "constraint_info": "ask me"}},
        denied(GENERATIVE),
        NOTHING,
    ),
    "inference": Assertion({"cawg.ai_inference": "notAllowed"}, NOTHING, NOTHING),
    "c2pa": Assertion(
        {
            "c2pa.ai_generative_training": "notAllowed",
            "c2pa.ai_inference": "allowed",
            "c2pa.ai_training": "notAllowed",
            "c2pa.data_mining": "constrained",
        },
        denied(ANY),
        NOTHING,
    ),
    "allowed": Assertion(
        {"cawg.ai_training": "allowed", "cawg.ai_generative_training": "allowed"}, NOTHING, allowed(ANY)
    ),
    "allowed-generative": Assertion({"cawg.ai_generative_training": "allowed"}, NOTHING, allowed(GENERATIVE)),
    "one-of-two": Assertion(
        {"cawg.ai_training": "allowed", "cawg.ai_generative_training": "notAllowed"},
        denied(GENERATIVE),
        NOTHING,
    ),
    "mining-allowed": Assertion({"cawg.data_mining": "allowed"}, NOTHING, NOTHING),
}

STORED = {
    "cawg": {},
    "c2pa-label": {"label": "c2pa.training-mining"},
    "second": {"label": "cawg.training-mining__1"},
    "json": {"content": "json"},
    "bare": {"wrapped": False},
}
BOXED = ("jpeg", "png", "webp", "gif", "tiff", "tiff-big-endian", "bigtiff", "avif", "jxl", "svg", "svgz")


def stored(name, assertion, form):
    store = embed.training_mining_store(ASSERTIONS[assertion].entries, **STORED[form])
    return embed.jumbf(CLEAN[name], store)


def said_if_signed(embedded):
    return {(statement.signal, statement.preference, statement.covers) for statement in embedded.signed}


@pytest.mark.parametrize("form", STORED)
@pytest.mark.parametrize("assertion", ASSERTIONS)
@pytest.mark.parametrize("name", BOXED)
def test_unsigned_stores(name, assertion, form):
    embedded = read(stored(name, assertion, form), SOURCE)
    assert said(embedded.reading) == ASSERTIONS[assertion].says
    assert said_if_signed(embedded) == ASSERTIONS[assertion].signed


SIGNABLE = ("jpeg", "png", "webp", "gif", "tiff", "avif", "svg")


def fields(entries):
    return {name: {"use": use} if isinstance(use, str) else use for name, use in entries.items()}


@pytest.fixture(scope="module")
def signed(c2pa_signed):
    return {
        (name, assertion): c2pa_signed(
            CLEAN[name],
            TYPES[name],
            {"cawg.training-mining": {"entries": fields(ASSERTIONS[assertion].entries)}},
        )
        for name, assertion in itertools.product(SIGNABLE, ASSERTIONS)
    }


@pytest.mark.parametrize("assertion", ASSERTIONS)
@pytest.mark.parametrize("name", SIGNABLE)
def test_signed_stores(signed, name, assertion):
    embedded = read(signed[name, assertion], SOURCE)
    assert said(embedded.reading) == ASSERTIONS[assertion].says
    assert said_if_signed(embedded) == ASSERTIONS[assertion].signed


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "avif"])
def test_ingredients(signed, c2pa_signed, name):
    """What an ingredient's manifest denies counts, what it allows does not."""
    kinds = {
        "both": (denied(ANY), NOTHING),
        "allowed": (NOTHING, NOTHING),
    }
    for assertion, (says, allows) in kinds.items():
        data = c2pa_signed(CLEAN[name], TYPES[name], {}, ingredient=signed[name, assertion])
        embedded = read(data, SOURCE)
        assert said(embedded.reading) == says
        assert said_if_signed(embedded) == allows


@pytest.mark.parametrize("name", ["jpeg", "png"])
def test_clean_signed_files_say_nothing(c2pa_signed, name):
    embedded = read(c2pa_signed(CLEAN[name], TYPES[name], {}), SOURCE)
    assert said(embedded.reading) == NOTHING
    assert embedded.signed == ()


@pytest.mark.parametrize("name", BOXED)
def test_xmp_and_c2pa_in_one_file(name):
    store = embed.training_mining_store(ASSERTIONS["generative"].entries)
    data = embed.jumbf(embed.xmp(CLEAN[name], PACKETS["tdm-1"].data), store)
    assert said(read(data, SOURCE).reading) == RESERVED | denied(GENERATIVE)


# -- exiftool --------------------------------------------------------------------------------------------

CONFIG = r"""
%Image::ExifTool::UserDefined = (
    'Image::ExifTool::PLUS::XMP' => { DataMining => {} },
    'Image::ExifTool::XMP::Main' => {
        tdm => { SubDirectory => { TagTable => 'Image::ExifTool::UserDefined::tdm' } },
    },
);
%Image::ExifTool::UserDefined::tdm = (
    GROUPS => { 0 => 'XMP', 1 => 'XMP-tdm', 2 => 'Image' },
    NAMESPACE => { 'tdm' => 'http://www.w3.org/ns/tdmrep/' },
    WRITABLE => 'string',
    reservation => {},
);
1;
"""
"""Tags of newer versions, as they define them."""

ENDINGS = {
    "jpeg": "jpg",
    "png": "png",
    "webp": "webp",
    "gif": "gif",
    "tiff": "tif",
    "avif": "avif",
    "jxl": "jxl",
}
TAGS = {
    **{key.lower(): (f"-XMP-plus:DataMining={embed.VOCABULARY}{key}", says) for key, says in KEYS.items()},
    "noai": ("-XMP-xmpRights:UsageTerms=Noai", DENIED),
    "reserved": ("-XMP-tdm:reservation=1", RESERVED),
    "not-reserved": ("-XMP-tdm:reservation=0", NOT_RESERVED),
    "description": (f"-XMP-dc:Description={PROHIBITED}", NOTHING),
}


def exiftool(folder, *commands):
    """Many commands in one process."""
    (folder / "config").write_text(CONFIG)
    lines = [line for command in commands for line in (*command, "-execute")]
    (folder / "arguments").write_text("\n".join(lines) + "\n")
    return subprocess.run(
        [EXIFTOOL, "-config", folder / "config", "-@", folder / "arguments", "-common_args", "-q", "-q"],
        capture_output=True,
        check=True,
        timeout=300,
    ).stdout


@pytest.fixture(scope="module")
def by_exiftool(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exiftool")
    files, commands = {}, []
    for (name, ending), tag, shorthand in itertools.product(ENDINGS.items(), TAGS, (False, True)):
        path = folder / f"{tag}-{shorthand}.{ending}"
        path.write_bytes(CLEAN[name])
        compact = ["-api", "Compact=Shorthand"] if shorthand else []
        commands.append([*compact, TAGS[tag][0], "-overwrite_original", str(path)])
        files[name, tag, shorthand] = path
    exiftool(folder, *commands)
    return {key: path.read_bytes() for key, path in files.items()}


@needs_exiftool
@pytest.mark.parametrize("shorthand", [False, True], ids=["elements", "attributes"])
@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("name", ENDINGS)
def test_written_by_exiftool(by_exiftool, name, tag, shorthand):
    data = by_exiftool[name, tag, shorthand]
    assert data != CLEAN[name]
    assert said(read(data, SOURCE).reading) == TAGS[tag][1]


@pytest.fixture(scope="module")
def read_by_exiftool(tmp_path_factory, written):
    """What exiftool finds of PLUS and TDMRep in the files of this test, by writer and packet."""
    folder = tmp_path_factory.mktemp("read")
    files = folder / "files"
    files.mkdir()
    for number, data in enumerate(written.values()):
        (files / f"{number:05}").write_bytes(data)
    tags = ["-XMP-plus:DataMining", "-XMP-tdm:reservation"]
    out = exiftool(folder, ["-j", "-a", "-struct", "-n", *tags, "-ext", "*", str(files)])
    by_number = {int(row["SourceFile"].rpartition("/")[2]): row for row in json.loads(out)}
    return {key: by_number.get(number, {}) for number, key in enumerate(written)}


# exiftool 12.57 reads packets under `XML:com.adobe.xmp` only without a language, none in SVGZ; of an SVG it
# names the property by its path. Like us, it takes namespaces literally, but we let some aliases deny.
UNSEEN_BY_EXIFTOOL = {"pillow-png-language", "svg", "svgz"}
ALIASES = {"https-denied", "https-allowed"}


@needs_exiftool
@pytest.mark.parametrize("writer", sorted(WRITERS.keys() - UNSEEN_BY_EXIFTOOL))
def test_exiftool_reads_the_same(read_by_exiftool, written, writer):
    """The values that exiftool finds stand in our evidence; where it finds none, neither do we."""
    for packet in sorted(PACKETS.keys() - ALIASES):
        row = read_by_exiftool[writer, packet]
        statements = read(written[writer, packet], SOURCE).reading.statements
        for name, tag in (("plus:DataMining", "DataMining"), ("tdm:reservation", "Reservation")):
            ours = {s.evidence.raw for s in statements if s.evidence.where.endswith(name)}
            theirs = row.get(tag, [])
            assert ours == set(theirs if isinstance(theirs, list) else [str(theirs)]), packet


# -- reading as it comes ---------------------------------------------------------------------------------


def fed(data, sizes):
    """A watch that was given `data` in chunks of these sizes, and whether it spoke up."""
    watch, at, spoke = Watch(SOURCE), 0, False
    while at < len(data):
        size = next(sizes)
        spoke = watch.feed(data[at : at + size]) or spoke
        at += size
    return watch, spoke


@pytest.mark.parametrize("writer", WRITERS)
def test_watch_denies_what_read_denies(written, writer):
    for packet, size in zip(PACKETS, itertools.cycle([1, 7, 100, 997, 65_536])):
        data = written[writer, packet]
        if size == 1 and len(data) > 20_000:
            size = 64  # noqa: PLW2901 - as good, and quicker
        watch, spoke = fed(data, itertools.repeat(size))
        assert said(watch.embedded.reading) == denies(read(data, SOURCE).reading), packet
        assert spoke is bool(denies(read(data, SOURCE).reading)), packet


@pytest.mark.parametrize("name", BOXED)
def test_watch_denies_what_stores_deny(name):
    sizes = itertools.cycle([1, 3, 50, 200, 17])
    for assertion, form in itertools.product(ASSERTIONS, STORED):
        watch, spoke = fed(stored(name, assertion, form), sizes)
        assert said(watch.embedded.reading) == denies(read(stored(name, assertion, form), SOURCE).reading)
        assert spoke is bool(ASSERTIONS[assertion].says)
        assert watch.embedded.signed == ()


@pytest.mark.parametrize("name", SIGNABLE)
def test_watch_and_signed_stores(signed, name):
    random_ = random.Random(1)
    for assertion, (_, says, _) in ASSERTIONS.items():
        watch, spoke = fed(signed[name, assertion], iter(lambda: random_.randrange(1, 400), 0))
        assert said(watch.embedded.reading) == says
        assert spoke is bool(says)
        assert watch.embedded.signed == ()


# -- what is cut off -------------------------------------------------------------------------------------

SMALL = Image.new("RGB", (8, 8))
SHORT = embed.dmi_packet("DMI-ALLOWED")
CUT = {
    "jpeg": saved("JPEG", SMALL, xmp=SHORT),
    "png": embed.xmp(saved("PNG", SMALL), SHORT),
    "webp": saved("WEBP", SMALL, xmp=SHORT),
    "avif": saved("AVIF", SMALL, xmp=SHORT),
    "gif": embed.xmp(saved("GIF", SMALL), SHORT),
    "tiff": embed.xmp(saved("TIFF", SMALL), SHORT),
    "jxl": embed.xmp(CLEAN["jxl"], SHORT),
    "svg": embed.xmp(CLEAN["svg"], SHORT),
}


@pytest.mark.parametrize("name", CUT)
def test_a_cut_packet_never_allows(name):
    data = CUT[name]
    end = data.index(SHORT) + len(SHORT)
    assert said(read(data, SOURCE).reading) == ALLOWED
    for size in range(end):
        reading = read(data[:size], SOURCE).reading
        assert Preference.ALLOW not in {statement.preference for statement in reading.statements}, size


@pytest.mark.parametrize("name", CUT)
def test_cut_files_deny_no_more_than_whole_ones(name):
    """What cuts off a prohibition may lose it, but does not invent one of other things."""
    data = embed.xmp(embed.jumbf(CLEAN[name], embed.training_mining_store({})), PACKETS["description"].data)
    for size in range(0, len(data), 3):
        assert denies(read(data[:size], SOURCE).reading) == NOTHING, size


def test_what_is_counted(written, signed):
    """The number of files, by container: told when a container is forgotten."""
    names = Counter(read(data, SOURCE).media_type for data in {*written.values(), *signed.values()})
    assert set(names) == set(TYPES.values()) - {None} | {"image/heic"}
