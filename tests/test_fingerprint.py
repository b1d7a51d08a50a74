"""Fingerprints: imagehash's values, none of what says nothing, and no harm from hostile files."""

from __future__ import annotations

import io
import itertools
import random
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import imagehash
import numpy as np
import pytest
import pywt.data
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps, features

from heedful import fingerprint
from heedful.body import Body
from heedful.fingerprint import Fingerprint, Undecodable, large_distance, small_distance, views
from heedful.testing import make

ORIENTATION = 0x0112


def clouds(seed, size=(160, 120)):
    """A picture in colour without edges."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).resize(size)


def scribble(seed, size=(150, 200)):
    """A picture in colour of shapes with edges, some of them fine."""
    rng = random.Random(seed)
    image = Image.new("RGB", size, tuple(rng.randrange(256) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    for _ in range(40):
        left, top = rng.randrange(size[0]), rng.randrange(size[1])
        box = (left, top, left + rng.randrange(1, 60), top + rng.randrange(1, 60))
        getattr(draw, rng.choice(["ellipse", "rectangle", "line"]))(
            box, tuple(rng.randrange(256) for _ in range(3))
        )
    return image


PHOTOGRAPHS = {
    name: Image.fromarray(getattr(pywt.data, name)().astype(np.uint8))
    for name in ("aero", "ascent", "camera")
}
"""Those that come with PyWavelets, which imagehash needs; all grey."""

PICTURES = {
    **PHOTOGRAPHS,
    **{f"clouds {seed}": clouds(seed) for seed in range(6)},
    **{f"scribble {seed}": scribble(seed) for seed in range(6)},
    "narrow": scribble(7, (40, 900)),
    "small": scribble(8, (20, 15)),
}


def saved(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def theirs(image):
    """What imagehash says."""
    return Fingerprint(
        int(str(imagehash.phash(image)), 16), bytes.fromhex(str(imagehash.phash(image, hash_size=16)))
    )


def turned(number, image):
    """A picture whose tag says how it is to be turned."""
    exif = Image.Exif()
    exif[ORIENTATION] = number
    return saved(image, "JPEG", exif=exif, quality=95)


# -- the values --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", PICTURES.values(), ids=PICTURES)
def test_values_are_those_of_imagehash(image):
    assert fingerprint.of(image) == theirs(image)
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"):
        data = saved(image, kind)
        assert fingerprint.read(data) == theirs(Image.open(io.BytesIO(data))), kind


COLOUR = scribble(1)
GREY = PHOTOGRAPHS["aero"]
OPACITY = clouds(2, COLOUR.size).convert("L")


def with_opacity(mode):
    image = COLOUR.convert(mode)
    image.putalpha(OPACITY)
    return image


def paletted(*, octets):
    """With one transparent colour, or with as many opacities as colours."""
    image = COLOUR.quantize(64)
    return saved(image, transparency=bytes(range(0, 256, 4)) if octets else 3)


def grey_16(order):
    grey = np.asarray(GREY, np.uint16)
    return Image.fromarray(np.where(grey < 120, grey, grey * 256).astype(f"{order}u2"))


MODES = {
    "L": ("L", saved(GREY)),
    "LA": ("LA", saved(with_opacity("L"))),
    "1": ("1", saved(COLOUR.convert("1"))),
    "P": ("P", saved(COLOUR.quantize(64))),
    "P with a transparent colour": ("P", paletted(octets=False)),
    "P with opacities": ("P", paletted(octets=True)),
    "RGBA": ("RGBA", saved(with_opacity("RGB"))),
    "RGB with a transparent colour": ("RGB", saved(COLOUR, transparency=COLOUR.getpixel((0, 0)))),
    "CMYK JPEG": ("CMYK", saved(COLOUR.convert("CMYK"), "JPEG")),
    "CMYK TIFF": ("CMYK", saved(COLOUR.convert("CMYK"), "TIFF")),
    "YCbCr": ("YCbCr", saved(COLOUR.convert("YCbCr"), "TIFF")),
    "I;16": ("I;16", saved(grey_16("<"))),
    "I;16B": ("I;16B", saved(grey_16(">"), "TIFF")),
    "I": ("I", saved(Image.fromarray(np.asarray(GREY, np.int32) * 2), "TIFF")),
    "BigTIFF": ("RGB", saved(COLOUR, "TIFF", big_tiff=True)),
    "F": ("F", saved(Image.fromarray(np.asarray(GREY, np.float32) * 0.9), "TIFF")),
    "animated GIF": (
        "P",
        saved(COLOUR, "GIF", save_all=True, append_images=[scribble(2), scribble(3)], duration=50),
    ),
    "animated WebP": ("RGB", saved(COLOUR, "WEBP", save_all=True, append_images=[scribble(2)], duration=50)),
    "turned": ("RGB", turned(6, COLOUR)),
}


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")  # imagehash's
@pytest.mark.parametrize(("mode", "data"), MODES.values(), ids=MODES)
def test_modes(mode, data):
    image = Image.open(io.BytesIO(data))
    assert image.mode == mode
    assert fingerprint.read(data) == theirs(image)
    assert views(data)[0] == fingerprint.read(data)


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
    st.sampled_from([clouds, scribble]),
)
@settings(max_examples=60)
def test_whatever_has_a_fingerprint_has_that_of_imagehash(seed, size, kind):
    image = kind(seed, size)
    found = fingerprint.of(image)
    assert found is None or found == theirs(image)
    assert found is None or not found.degenerate


# -- as text -----------------------------------------------------------------------------------------------

SMALL = "99c6d2a52d5a2d9a"
LARGE = "9966" * 16

TEXTS = {
    "small": (SMALL, Fingerprint(0x99C6D2A52D5A2D9A)),
    "both": (f"{SMALL}:{LARGE}", Fingerprint(0x99C6D2A52D5A2D9A, bytes.fromhex(LARGE))),
    "leading zeros": ("00000000ffffffff", Fingerprint(0xFFFFFFFF)),
    "capitals": (SMALL.upper(), Fingerprint(0x99C6D2A52D5A2D9A)),
    "spaces around": (f" {SMALL}\n", Fingerprint(0x99C6D2A52D5A2D9A)),
}

NOT_TEXTS = {
    "nothing": ("", "not 16 hexadecimal digits"),
    "short": (SMALL[1:], "not 16 hexadecimal digits"),
    "long": (SMALL + "0", "not 16 hexadecimal digits"),
    "large alone": (LARGE, "not 16 hexadecimal digits"),
    "no digits": ("g" * 16, "not 16 hexadecimal digits"),
    "other digits": ("\u0660" * 16, "not 16 hexadecimal digits"),
    "large short": (f"{SMALL}:{LARGE[1:]}", "not 16 hexadecimal digits"),
    "large missing": (f"{SMALL}:", "not 16 hexadecimal digits"),
    "three": (f"{SMALL}:{LARGE}:{LARGE}", "not 16 hexadecimal digits"),
    "flat": ("8000000000000000", "flat or regular"),
    "no ones": ("0" * 16, "flat or regular"),
    "large flat": (f"{SMALL}:8{'0' * 63}", "flat or regular"),
}


@pytest.mark.parametrize(("text", "parsed"), TEXTS.values(), ids=TEXTS)
def test_parsed(text, parsed):
    assert Fingerprint.parse(text) == parsed
    assert str(parsed) == text.strip().lower()


@pytest.mark.parametrize(("text", "why"), NOT_TEXTS.values(), ids=NOT_TEXTS)
def test_not_parsed(text, why):
    with pytest.raises(ValueError, match=why):
        Fingerprint.parse(text)


@pytest.mark.parametrize("image", PICTURES.values(), ids=PICTURES)
def test_what_is_made_can_be_written_and_read(image):
    found = fingerprint.of(image)
    assert Fingerprint.parse(str(found)) == found
    assert str(found) == f"{imagehash.phash(image)}:{imagehash.phash(image, hash_size=16)}"


def test_distances_are_those_of_imagehash():
    one, other = PICTURES["clouds 1"], PICTURES["clouds 2"]
    ours = fingerprint.of(one), fingerprint.of(other)
    assert small_distance(*ours) == imagehash.phash(one) - imagehash.phash(other)
    assert large_distance(*ours) == imagehash.phash(one, 16) - imagehash.phash(other, 16)
    lone = Fingerprint(ours[0].small)
    assert small_distance(lone, ours[1]) == small_distance(*ours)
    assert large_distance(lone, ours[1]) is large_distance(ours[1], lone) is None


# -- what says nothing -------------------------------------------------------------------------------------

PLACES = np.indices((240, 320))


def greys(values):
    return Image.fromarray(np.clip(np.broadcast_to(values, PLACES.shape[1:]), 0, 255).astype(np.uint8))


def disc():
    image = Image.new("L", (320, 240), "white")
    ImageDraw.Draw(image).ellipse((100, 60, 220, 180), "black")
    return image


REGULAR = {
    "black": greys(0),
    "white": greys(255),
    "one colour": Image.new("RGB", (64, 64), "navy"),
    "one pixel": Image.new("RGB", (1, 1), "red"),
    "faint noise": greys(128 + np.random.default_rng(1).normal(0, 1, PLACES.shape[1:])),
    "gradient across": greys(PLACES[1] * 255 / 320),
    "gradient down": greys(PLACES[0] * 255 / 240),
    "gradient aslant": greys(PLACES.sum(0) * 255 / 560),
    "radial gradient": Image.radial_gradient("L"),
    "vignette": greys(200 - np.hypot(PLACES[0] - 120, PLACES[1] - 160) / 2),
    "two halves": greys(np.where(PLACES[1] < 160, 40, 210)),
    "stripes": greys(PLACES[1] // 16 % 2 * 255),
    "lines": greys(np.where(PLACES[0] % 12 < 2, 0, 255)),
    "checkerboard": greys(PLACES.sum(0) // 20 % 2 * 255),
    "checkerboard of squares": greys((PLACES // 40).sum(0) % 2 * 255),
    "grid": greys(np.where((PLACES % 24 < 2).any(0), 0, 255)),
    "disc": disc(),
    "the gallery's, one half of which is the other's complement": Image.open(io.BytesIO(make(1))),
    "one pixel high": clouds(9, (300, 1)),
    "a line of nothing": Image.new("RGB", (3000, 1), "white"),
}


@pytest.mark.parametrize("image", REGULAR.values(), ids=REGULAR)
def test_flat_and_regular_pictures_have_none(image):
    assert fingerprint.of(image) is None
    data = saved(image)
    assert fingerprint.read(data) is None
    assert views(data) == views(data, quick=True) == ()
    assert (Body(data).fingerprints, Body(data).undecodable) == ((), None)


def test_pages_of_text_are_told_apart():
    """They are neither flat nor regular, and of one layout; 64 bits alone would not do."""

    def page(seed):
        rng = random.Random(seed)
        image = Image.new("L", (600, 800), "white")
        for top in range(40, 760, 18):
            text = "".join(rng.choice("abcdefghijkl   ") for _ in range(rng.randrange(20, 75)))
            ImageDraw.Draw(image).text((40, top), text, "black", font_size=14)
        return fingerprint.of(image)

    pages = [page(seed) for seed in range(12)]
    for one, other in itertools.combinations(pages, 2):
        small, large = small_distance(one, other), large_distance(one, other)
        assert small > fingerprint.SMALL_RADIUS or large > fingerprint.LARGE_RADIUS
        assert small > fingerprint.LONE_RADIUS


# -- as it is shown ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("quick", [False, True])
def test_turned_as_its_tag_says(number, quick):
    data = turned(number, scribble(3))
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    found = views(data, quick=quick)
    assert len(found) == (1 if number == 1 else 2)
    assert small_distance(found[-1], theirs(shown)) <= 2
    assert large_distance(found[-1], theirs(shown)) <= (16 if quick else 8)
    assert small_distance(found[0], theirs(Image.open(io.BytesIO(data)))) <= (2 if quick else 0)


@pytest.mark.parametrize("number", [0, 9, 0xFFFF])
def test_tags_that_say_nothing(number):
    exif = Image.Exif()
    exif[ORIENTATION] = number
    image = scribble(3)
    data = saved(image, exif=exif)
    assert views(data) == (theirs(image),)


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")  # imagehash's
@pytest.mark.parametrize("mode", ["LA", "RGBA", "P with a transparent colour", "P with opacities"])
def test_transparent_pictures_stand_on_white(mode):
    data = MODES[mode][1]
    image = Image.open(io.BytesIO(data)).convert("RGBA")
    shown = Image.new("RGBA", image.size, "white")
    shown.alpha_composite(image)
    stored, seen, *_ = views(data)
    assert stored == theirs(Image.open(io.BytesIO(data)))
    assert small_distance(seen, theirs(shown.convert("RGB"))) <= 1
    assert large_distance(seen, theirs(shown.convert("RGB"))) <= 4


def test_a_picture_that_is_all_transparency():
    """The shape of a logo is in its opacity alone; what it looks like is all that says anything."""
    image = Image.new("RGBA", OPACITY.size, "black")
    image.putalpha(OPACITY)
    (seen,) = views(saved(image))
    assert small_distance(seen, theirs(ImageOps.invert(OPACITY))) <= 1


def expanded(colour, border):
    return ImageOps.expand(clouds(1, (320, 240)), border, colour)


FRAMES = {
    "white": expanded("white", 16),
    "thin": expanded("black", 8),
    "wide, in colour": expanded("teal", 100),
    "bars above and below": expanded("black", (0, 50)),
    "bars beside": expanded("black", (120, 0)),
    "uneven": expanded("white", (10, 20, 30, 60)),
    "padded to a square": ImageOps.pad(clouds(1, (320, 240)), (512, 512), color="white"),
    "a large one": expanded("white", 40).resize((2400, 1920)),
    "transparent": expanded("white", 0),
}
FRAMES["transparent"].putalpha(255)
FRAMES["transparent"] = ImageOps.expand(FRAMES["transparent"], 30, (0, 0, 0, 0))


@pytest.mark.parametrize("image", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("quick", [False, True])
def test_what_stands_inside_a_border_is_seen(image, kind, quick):
    if kind == "JPEG" and image.mode == "RGBA":
        pytest.skip("JPEG is never transparent")
    bare = theirs(clouds(1, (320, 240)))
    stored, *_, inner = views(saved(image, kind, quality=75), quick=quick)
    assert (small_distance(stored, bare), large_distance(stored, bare)) > (4, 20)
    assert small_distance(inner, bare) <= 4
    assert large_distance(inner, bare) <= 20


def test_a_border_is_taken_off_what_is_turned():
    found = views(turned(6, expanded("white", (0, 60))))
    shown = theirs(clouds(1, (320, 240)).transpose(Image.Transpose.ROTATE_270))
    assert len(found) == 3
    assert small_distance(found[-1], shown) <= 4


def on_white(image, mask):
    white = Image.new("RGB", (400, 400), "white")
    white.paste(image.resize((300, 300)), (50, 50), mask)
    return white


def stars():
    image = Image.new("L", (400, 300))
    rng = random.Random(1)
    for _ in range(60):
        x, y, size = rng.randrange(20, 380), rng.randrange(20, 280), rng.randrange(1, 5)
        ImageDraw.Draw(image).ellipse((x, y, x + size, y + size), 255)
    return image


def framed_by(frame, image):
    frame.paste(image, (50, 50))
    return frame


def half_a_sky():
    image = scribble(1, (320, 240))
    image.paste("lightblue", (0, 0, 320, 110))
    image.paste(clouds(4, (20, 110)), (0, 0))
    return image


ROUND, SLANTING = Image.new("L", (300, 300)), Image.new("L", (300, 300))
ImageDraw.Draw(ROUND).ellipse((0, 0, 299, 299), 255)
ImageDraw.Draw(SLANTING).polygon([(60, 0), (299, 90), (240, 299), (0, 200)], 255)

NO_FRAMES = {
    "no border": clouds(1),
    "a border that is not of one colour": framed_by(scribble(1, (400, 300)), clouds(1, (300, 200))),
    "something round on white": on_white(clouds(1), ROUND),
    "something slanting on white": on_white(clouds(1), SLANTING),
    "a detail on white": ImageOps.expand(clouds(1, (40, 30)), 200, "white"),
    "stars": stars(),
    "half a sky": half_a_sky(),
}


@pytest.mark.parametrize("image", NO_FRAMES.values(), ids=NO_FRAMES)
def test_what_only_looks_like_a_border_is_none(image):
    """Else all stars, and whatever is put before a white wall, would look alike."""
    assert len(views(saved(image))) <= 1


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_16_bits_are_scaled(mode):
    stored, seen = views(MODES[mode][1])
    assert stored == theirs(Image.open(io.BytesIO(MODES[mode][1])))
    assert seen != stored
    grey = np.asarray(GREY)
    assert seen == theirs(Image.fromarray(np.where(grey < 120, 0, grey).astype(np.uint8)))


@pytest.mark.parametrize("image", PICTURES.values(), ids=PICTURES)
@pytest.mark.parametrize("by", [1, 2, 5])
def test_in_a_hurry_few_bits_differ(image, by):
    larger = image.convert("RGB").resize((by * image.width, by * image.height))
    for kind in ("JPEG", "WEBP"):
        data = saved(larger, kind)
        (quick,), (exact,) = views(data, quick=True), views(data)
        assert small_distance(quick, exact) <= 2
        assert large_distance(quick, exact) <= 16


# -- what is no picture, and what is a bad one ---------------------------------------------------------------


def png(width, height, body=b""):
    """A PNG whose header says whatever it likes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def icon(picture):
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(picture), 22) + picture


NO_RASTER = {
    "nothing": b"",
    "text": b"no picture at all",
    "HTML": b"<!doctype html><img src=a.jpg>",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>',
    "PDF": b"%PDF-1.7\n" + bytes(100),
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    "EPS from DOS": b"\xc5\xd0\xd3\xc6" + bytes(100),
    "WMF": b"\xd7\xcd\xc6\x9a" + bytes(100),
    "XPM": b"/* XPM */\nstatic char *a[] = {};",
    "MP4": b"\0\0\0\x18ftypmp42" + bytes(100),
}


@pytest.mark.parametrize("data", NO_RASTER.values(), ids=NO_RASTER)
def test_no_picture_made_of_pixels(data):
    assert fingerprint.read(data) is None
    assert views(data) == views(data, quick=True) == ()
    assert (Body(data).fingerprints, Body(data).undecodable) == ((), None)


JPEG = saved(clouds(1), "JPEG")
CODED = saved(clouds(1), "WEBP")


def many_scans(count, **options):
    """A JPEG whose last scan is there over and over."""
    data = saved(clouds(1), "JPEG", **options)
    at = data.rindex(b"\xff\xda")
    scan = data[at : at + 2 + data[at + 3]]
    return data[:-2] + scan * count + data[-2:]


BAD = {
    "JPEG, torn in its head": JPEG[:300],
    "JPEG, torn in its pixels": JPEG[: len(JPEG) // 2],
    "JPEG, nothing but its beginning": b"\xff\xd8\xff",
    "PNG, torn": saved(clouds(1))[:2000],
    "PNG, wrong checksum": saved(clouds(1)).replace(b"IDAT", b"IDAU", 1),
    "PNG, no pixels": png(100, 100),
    "PNG, zero wide": png(0, 100, zlib.compress(b"")),
    "PNG, zero high": png(100, 0, zlib.compress(b"")),
    "PNG, immense": png(0x7FFF_FFFF, 0x7FFF_FFFF),
    "PNG, just too large": png(fingerprint.PIXELS_MAX // 1000 + 1, 1000),
    "GIF, torn": saved(scribble(1), "GIF")[:900],
    "GIF, immense": b"GIF89a\xff\xff\xff\xff\0\0\0" + b"," + b"\0\0\0\0\xff\xff\xff\xff\0\x08" + bytes(9),
    "GIF, only a head": b"GIF89a" + bytes(20),
    "WebP, torn": CODED[: len(CODED) // 2],
    "WebP, only a head": b"RIFF\x00\x00\x00\x00WEBPVP8 ",
    "TIFF, a loop": b"II*\0\x08\0\0\0" + b"\0\0" + b"\x08\0\0\0",
    "TIFF, torn": saved(clouds(1), "TIFF")[:5000],
    "TIFF, nothing": b"MM\0*" + bytes(4),
    "BMP, immense": b"BM" + bytes(8) + struct.pack("<IIiiHHI", 54, 40, 60000, 60000, 1, 24, 0) + bytes(24),
    "BMP, torn": saved(clouds(1), "BMP")[:100],
    "icon, empty": b"\0\0\1\0\1\0" + bytes(30),
    "icon with an immense picture": icon(png(12_000, 12_000, zlib.compress(bytes(12_001 * 12_000), 1))),
    "TIFF, of colours that cannot be made grey": saved(Image.merge("LAB", COLOUR.split()), "TIFF"),
    "JPEG 2000, only a head": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
    "JPEG XL": b"\xff\x0a" + bytes(40),
    "HEIC": b"\0\0\0\x18ftypheic" + bytes(40),
    "AVIF, only a head": b"\0\0\0\x18ftypavif" + bytes(40),
    "JPEG, scans without end": many_scans(5000),
    "progressive JPEG, scans without end": many_scans(5000, progressive=True),
    "progressive JPEG, a scan too many": many_scans(fingerprint.SCANS_MAX - 9, progressive=True),
    "wrong magic": b"\x89PNG\r\n\x1a\n" + JPEG,
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning", "ignore::UserWarning")
@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
@pytest.mark.parametrize("look", [fingerprint.read, views, lambda data: views(data, quick=True)])
def test_what_cannot_be_decoded_says_so(data, look):
    begin = time.process_time()
    with pytest.raises(Undecodable) as fault:
        look(data)
    assert time.process_time() - begin < 2
    assert 0 < len(str(fault.value)) <= fingerprint.WORDS_MAX
    assert "0x" not in str(fault.value)
    body = Body(data)
    assert body.fingerprints == ()
    assert body.undecodable


def test_as_many_scans_as_encoders_write():
    data = saved(clouds(1), "JPEG", progressive=True)
    more = many_scans(fingerprint.SCANS_MAX - data.count(b"\xff\xda"), progressive=True)
    assert fingerprint.read(more) == fingerprint.read(data)


@pytest.mark.parametrize("kind", ["JPEG", "MPO"])
def test_what_only_looks_like_a_scan_is_none(kind):
    """Film that telephones append, and thumbnails in Exif, hold such octets by chance or in earnest."""
    image = clouds(1)
    more = {"save_all": True, "append_images": [clouds(2)]} if kind == "MPO" else {}
    before = b"\xff\xe5\x10\x00" + b"\xff\xda" * 2047
    data = saved(image, kind, **more)
    data = data[:2] + before + data[2:] + b"\xff\xda" * 200
    assert fingerprint.read(data) == theirs(Image.open(io.BytesIO(data)))


def test_an_end_that_is_hidden_in_a_comment_hides_no_scans():
    """What a decoder passes over does not end the count."""
    data = saved(clouds(1), "JPEG", progressive=True)
    at = data.rindex(b"\xff\xda")
    scan = data[at : at + 2 + data[at + 3]]
    comment = b"\xff\xfe\x00\x04\xff\xd9"
    with pytest.raises(Undecodable, match="scans"):
        views(data[:at] + comment + data[at:-2] + scan * 5000 + data[-2:])


@given(st.binary(max_size=400), st.sampled_from(sorted({data[:12] for data in BAD.values()})))
@settings(max_examples=300)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_garbage_is_none_or_undecodable(data, start):
    try:
        found = views(start + data, quick=True)
    except Undecodable:
        return
    assert all(not each.degenerate for each in found)


@given(st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF"]), st.data())
@settings(max_examples=200)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_files_are_read_or_undecodable(kind, data):
    if kind == "AVIF" and not features.check("avif"):
        return
    octets = bytearray(saved(scribble(4, (48, 40)), kind))
    for _ in range(data.draw(st.integers(1, 5))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    octets = bytes(octets[: data.draw(st.integers(0, len(octets)))])
    try:
        fingerprint.read(octets)
        views(octets, quick=True)
    except Undecodable:
        pass


def test_what_takes_much_memory_is_decoded_one_by_one(monkeypatch):
    monkeypatch.setattr(fingerprint, "ABREAST_MAX", 100)
    inside, most, lock = [0], [0], threading.Lock()
    reduced = fingerprint._reduced

    def counted(*args):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        try:
            return reduced(*args)
        finally:
            with lock:
                inside[0] -= 1

    monkeypatch.setattr(fingerprint, "_reduced", counted)
    datas = [saved(scribble(seed, (300, 300))) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(views, datas))
    assert most == [1]
    assert found == [(theirs(Image.open(io.BytesIO(data))),) for data in datas]
    with pytest.raises(Undecodable):
        views(saved(clouds(1))[:2000])
    assert views(datas[0]) == found[0]  # what failed holds nobody up


def test_threads_agree():
    datas = [turned(number, scribble(number)) for number in range(1, 9)] * 4
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(views, datas)) == [views(data) for data in datas]


# -- without Pillow ----------------------------------------------------------------------------------------

WITHOUT = """
import sys

sys.modules["PIL"] = None
from heedful import ConfigurationError, Gate, fingerprint

print(fingerprint.Fingerprint.parse("99c6d2a52d5a2d9a"))
print(fingerprint.read(b"no picture"))
for call in (fingerprint.require, lambda: Gate("PictureBot", registries=sys.argv[1:])):
    try:
        call()
    except ConfigurationError as error:
        print(error)
"""


def test_without_pillow_a_run_that_needs_it_does_not_start(tmp_path):
    from heedful.registry import Writer
    from heedful.registry.entries import Entry, Kind

    with Writer.build(tmp_path / "x.heed", source="test") as writer:
        writer.add(Entry(Kind.PHASH, SMALL, "artists"))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(tmp_path / "x.heed")], capture_output=True, text=True, check=True
    )
    parsed, read, *refused = done.stdout.splitlines()
    assert (parsed, read) == (SMALL, "None")
    assert len(refused) == 2
    assert all("pip install 'heedful[fingerprint]'" in line for line in refused)
