from __future__ import annotations

import builtins
import io
import random
from typing import Any

import pytest
from PIL import Image

from heedful.testing import identify, make
from heedful.testing.pictures import CONTENT_TYPES, ID_MAX

IDS = (0, 4711, 0xAAAA, ID_MAX)


def reencoded(data, *, size=None, mode="RGB", save=("PNG", {})):
    image = Image.open(io.BytesIO(data)).convert(mode)
    if size:
        image = image.resize(size)
    out = io.BytesIO()
    image.save(out, save[0], **save[1])
    return out.getvalue()


SAVES = {
    "png": ("PNG", {}),
    "jpeg-50": ("JPEG", {"quality": 50}),
    "jpeg-20": ("JPEG", {"quality": 20}),
    "webp-50": ("WEBP", {"quality": 50}),
}


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [None, (128, 128), (200, 130), (50, 50)], ids=str)
@pytest.mark.parametrize("kind", CONTENT_TYPES)
def test_identity_survives(kind, size, mode, save):
    for number in IDS:
        data = make(number, format=kind)
        assert identify(data) == number
        assert identify(reencoded(data, size=size, mode=mode, save=save)) == number


def test_identity_survives_in_many_numbers():
    for number in random.Random(1).sample(range(ID_MAX + 1), 200):
        assert identify(reencoded(make(number), size=(128, 128), save=SAVES["jpeg-50"])) == number


@pytest.mark.parametrize("size", [(128, 128), (640, 360), (301, 499)], ids=str)
def test_size(size):
    data = make(7, size=size)
    assert Image.open(io.BytesIO(data)).size == size
    assert identify(data) == 7


@pytest.mark.parametrize("kind", CONTENT_TYPES)
@pytest.mark.parametrize("min_bytes", [7_001, 65_537, 200_000, 1_600_001])
def test_padding(kind, min_bytes):
    data = make(9, format=kind, min_bytes=min_bytes)
    assert min_bytes <= len(data) <= min_bytes * 1.01 + 12
    image = Image.open(io.BytesIO(data))
    image.load()
    assert image.format == kind
    assert identify(data) == 9


def test_deterministic():
    for kind in CONTENT_TYPES:
        assert make(5, format=kind) == make(5, format=kind) != make(6, format=kind)


def test_identify_takes_paths_and_images(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(make(12))
    assert identify(path) == 12
    with Image.open(path) as image:
        assert identify(image) == 12
        assert identify(image.convert("RGBA")) == 12
    with pytest.raises(FileNotFoundError):
        identify(tmp_path / "none.jpg")


def noise(seed):
    return Image.frombytes("RGB", (256, 256), random.Random(seed).randbytes(3 * 256 * 256))


def blocks(seed):
    return Image.frombytes("L", (8, 8), random.Random(seed).randbytes(64)).resize((256, 256), 0)


OTHERS = {
    "black": Image.new("RGB", (256, 256)),
    "tiny": Image.new("RGB", (4, 4)),
    "gradient": Image.linear_gradient("L"),
    "radial": Image.radial_gradient("L"),
    "noise": noise(1),
    "smooth": noise(2).resize((9, 9)).resize((256, 256), 2),
    "blocks": blocks(3),
    "half": Image.open(io.BytesIO(make(3))).crop((0, 0, 256, 128)),
    "turned": Image.open(io.BytesIO(make(3))).rotate(90),
}


@pytest.mark.parametrize("image", OTHERS.values(), ids=OTHERS)
def test_other_images_are_not_ours(image):
    assert identify(image) is None


def test_random_blocks_are_not_ours():
    assert not [seed for seed in range(300) if identify(blocks(seed)) is not None]


@pytest.mark.parametrize("data", [b"", b"<html>", make(3)[:300], b"\x89PNG\r\n\x1a\n" + bytes(40)], ids=len)
def test_other_bytes_are_not_ours(data):
    assert identify(data) is None


@pytest.mark.parametrize(
    ("number", "options"),
    [(-1, {}), (ID_MAX + 1, {}), (1, {"size": (100, 300)}), (1, {"format": "BMP"})],
    ids=["negative", "too-large", "too-small", "format"],
)
def test_what_cannot_be_made(number, options):
    with pytest.raises(ValueError, match=r"number|pixels|format"):
        make(number, **options)


def test_without_pillow_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without_pillow(name, *rest: Any):
        if name.partition(".")[0] == "PIL":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_pillow)
    with pytest.raises(ImportError, match=r'pip install "heedful\[scrapy\]"'):
        make(1)
