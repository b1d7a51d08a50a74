from __future__ import annotations

import io

import pytest
from PIL import Image

from heedful.media_type import is_picture


def drawn(kind):
    file = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "ICO", "AVIF"])
@pytest.mark.parametrize("content_type", ["", "text/html; charset=utf-8", "application/octet-stream"])
def test_pictures_are_known_by_their_bytes(kind, content_type):
    assert is_picture(content_type, drawn(kind))


@pytest.mark.parametrize(
    "start",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'>",
        b"\xef\xbb\xbf <?xml version='1.0'?>\n<!-- a -->\n<svg>",
        b"<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' ''>\n<svg>",
        b"II+\x00\x08\x00\x00\x00",
        b"\xff\x0a" + b"\0" * 8,
        b"\x00\x00\x00\x0cJXL \x0d\x0a\x87\x0a",
        b"\x00\x00\x00\x18ftypheic",
        b"\x00\x00\x00\x0cjP  ",
    ],
    ids=[
        "SVG",
        "SVG after a declaration",
        "SVG with a DTD",
        "BigTIFF",
        "JPEG XL",
        "JPEG XL in boxes",
        "HEIC",
        "JPEG 2000",
    ],
)
def test_more_pictures(start):
    assert is_picture("text/plain", start)


@pytest.mark.parametrize(
    ("content_type", "start"),
    [
        ("text/html", b"<!DOCTYPE html><html><body><svg></svg>"),
        ("text/html", b""),
        ("", b"BM is how this text begins"),
        ("application/json", b"{}"),
        ("video/mp4", b"\x00\x00\x00\x18ftypmp42"),
        ("audio/wav", b"RIFF\x00\x00\x00\x00WAVE"),
    ],
    ids=["a page with a drawing", "nothing", "text", "JSON", "MP4", "WAV"],
)
def test_what_is_none(content_type, start):
    assert not is_picture(content_type, start)


@pytest.mark.parametrize("content_type", ["image/jpeg", "IMAGE/PNG", " image/x-new ;q=1"])
def test_pictures_are_known_by_their_type(content_type):
    assert is_picture(content_type)


def test_hostile_starts_are_quick():
    assert not is_picture("text/html", b"<!--" * 300)
    assert not is_picture("text/html", b" " * 5000)
