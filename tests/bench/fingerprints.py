"""Measures what fingerprints find of copies, and what they take for copies that are none.

    python tests/bench/fingerprints.py [--json]

The pictures are the photographs that scikit-image, scikit-learn, matplotlib and PyWavelets bring along; for
wrong matches also, each set by itself, what is as alike as different pictures get: their tiles, the tiny
pictures of faces of scikit-image, and drawn ones that share a template. Copies are looked up as crawlers do
it, in a hurry; what is listed is exact.
"""

from __future__ import annotations

import argparse
import io
import itertools
import random
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pywt.data
from measuring import median_us, shown
from PIL import Image, ImageDraw, ImageFilter, ImageOps, features
from rich.console import Console
from rich.table import Table

from heedful import fingerprint
from heedful.fingerprint import LARGE_RADIUS, LONE_RADIUS, SMALL_RADIUS, Fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Copy = Callable[[Image.Image], bytes]

FILES: Final = {
    "skimage/data": (
        "astronaut.png brick.png camera.png cell.png chelsea.png clock_motion.png coffee.png coins.png "
        "grass.png gravel.png hubble_deep_field.jpg ihc.png microaneurysms.png moon.png "
        "motorcycle_left.png motorcycle_right.png page.png retina.jpg rocket.jpg text.png"
    ),
    "sklearn/datasets/images": "china.jpg flower.jpg",
    "matplotlib/mpl-data/sample_data": "grace_hopper.jpg",
}
"""Photographs, micrographs and scans, in colour or grey; no drawings, diagrams and logos."""

ARRAYS: Final = ("aero", "ascent", "camera")
"""Those of PyWavelets."""

SAME: Final = {
    "motorcycle_right.png": "the same moment as motorcycle_left.png, through the other lens",
    "pywt camera": "the same photograph as scikit-image's camera.png",
}
"""Pictures that are left out, as near-duplicates of others, and why."""

TILE: Final = 128
"""Pixels a side of tiles."""

DRAWN: Final = 100
"""Pictures of each kind that are drawn."""

SIZES: Final = ((512, 512), (2000, 1500))
"""Of the pictures that are timed."""


# -- pictures ----------------------------------------------------------------------------------------------


def photographs() -> dict[str, Image.Image]:
    found = {}
    for place, names in FILES.items():
        package, _, folder = place.partition("/")
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise SystemExit(f"{package} is not installed: pip install 'heedful[bench]'")
        for name in names.split():
            with Image.open(Path(spec.origin).parent / folder / name) as image:
                found[name] = image.convert("RGB")
    for name in ARRAYS:
        found[f"pywt {name}"] = Image.fromarray(getattr(pywt.data, name)().astype(np.uint8)).convert("RGB")
    return found


def tiles(images: Iterable[Image.Image]) -> list[Image.Image]:
    return [
        image.crop((left, top, left + TILE, top + TILE))
        for image in images
        for top in range(0, image.height - TILE + 1, TILE)
        for left in range(0, image.width - TILE + 1, TILE)
    ]


def faces() -> list[Image.Image]:
    """A hundred faces, and a hundred that are none."""
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    array = np.load(Path(spec.origin).parent / "data" / "lfw_subset.npy")
    return [Image.fromarray((each * 255).astype(np.uint8)) for each in array]


def words(rng: random.Random, least: int, most: int) -> str:
    return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz    ") for _ in range(rng.randint(least, most)))


def letter(seed: int) -> Image.Image:
    """A page full of text under a bar."""
    rng = random.Random(seed)
    image = Image.new("L", (600, 800), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 600, 40), 60)
    for top in range(60, 760, 18):
        draw.text((40, top), words(rng, 20, 75), "black", font_size=14)
    return image


def slide(seed: int) -> Image.Image:
    """A few lines on a template: a bar with a title, and a logo."""
    rng = random.Random(seed)
    image = Image.new("RGB", (800, 600), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 800, 90), "navy")
    draw.ellipse((700, 500, 780, 580), "orange")
    draw.text((30, 25), words(rng, 25, 25), "white", font_size=36)
    for top in range(130, 520, 65):
        draw.text((60, top), words(rng, 15, 40), "black", font_size=26)
    return image


def chart(seed: int) -> Image.Image:
    """Twelve bars."""
    rng = random.Random(seed)
    image = Image.new("RGB", (800, 600), "white")
    draw = ImageDraw.Draw(image)
    draw.line((60, 20, 60, 550, 780, 550), "black")
    for left in range(80, 776, 58):
        draw.rectangle((left, 550 - rng.randint(50, 500), left + 40, 550), "steelblue")
    return image


# -- copies ------------------------------------------------------------------------------------------------


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def scaled(image: Image.Image, by: float, **how: Any) -> Image.Image:
    return image.resize((max(1, round(image.width * by)), max(1, round(image.height * by))), **how)


def as_img2dataset(image: Image.Image) -> bytes:
    """The shorter side 256 pixels, JPEG: what it stores by default, but for the padding."""
    return saved(scaled(image, 256 / min(image.size), resample=Image.Resampling.BOX), "JPEG", quality=95)


def inset(image: Image.Image, share: float) -> tuple[int, int]:
    return round(image.width * share), round(image.height * share)


def cropped(image: Image.Image, share: float) -> Image.Image:
    """Without `share` of its width and height, half of it on each side."""
    x, y = inset(image, share / 2)
    return image.crop((x, y, image.width - x, image.height - y))


def cropped_aside(image: Image.Image, share: float) -> Image.Image:
    """Without `share` of its width and height, all of it at the right and the bottom."""
    x, y = inset(image, share)
    return image.crop((0, 0, image.width - x, image.height - y))


def framed(image: Image.Image, share: float, colour: str = "white") -> Image.Image:
    """With a border as wide as `share` of the shorter side, on all sides."""
    return ImageOps.expand(image, max(1, round(min(image.size) * share)), colour)


def padded(image: Image.Image) -> Image.Image:
    """On white, to a square: what img2dataset does by default."""
    return ImageOps.pad(image, (256, 256), color="white")


def signed(image: Image.Image) -> Image.Image:
    """With a line of text in the corner."""
    image = image.copy()
    size = max(10, image.height // 20)
    draw = ImageDraw.Draw(image)
    draw.text((size, image.height - 2 * size), "(c) Somebody 2026", "white", font_size=size)
    return image


def watermarked(image: Image.Image) -> Image.Image:
    """With large letters over its middle, a third opaque."""
    layer = Image.new("L", image.size, 0)
    draw = ImageDraw.Draw(layer)
    size = max(12, image.width // 8)
    draw.text((image.width // 2, image.height // 2), "STOCK IMAGE", 85, font_size=size, anchor="mm")
    return Image.composite(Image.new("RGB", image.size, "white"), image, layer)


def captioned(image: Image.Image) -> Image.Image:
    """With white letters on a black bar over its lowest tenth."""
    image = image.copy()
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, image.height * 9 // 10, image.width, image.height), "black")
    size = max(8, image.height // 16)
    at = (image.width // 2, image.height * 19 // 20)
    draw.text(at, "when the tests pass", "white", font_size=size, anchor="mm")
    return image


def levelled(image: Image.Image) -> Image.Image:
    return image.point(lambda value: min(255, 20 + value * 0.8))


COPIES: Final[Mapping[str, Copy]] = {
    "the same pixels": saved,
    "resized to 1/2": lambda image: saved(scaled(image, 1 / 2)),
    "resized to 1/4": lambda image: saved(scaled(image, 1 / 4)),
    "resized to 256 px": lambda image: saved(scaled(image, 256 / max(image.size))),
    "resized to 1024 px": lambda image: saved(scaled(image, 1024 / max(image.size))),
    "squeezed to 256 x 256": lambda image: saved(image.resize((256, 256))),
    "JPEG 95": lambda image: saved(image, "JPEG", quality=95),
    "JPEG 75": lambda image: saved(image, "JPEG", quality=75),
    "JPEG 50": lambda image: saved(image, "JPEG", quality=50),
    "JPEG 20": lambda image: saved(image, "JPEG", quality=20),
    "WebP 80": lambda image: saved(image, "WEBP", quality=80),
    **({"AVIF 60": lambda image: saved(image, "AVIF", quality=60)} if features.check("avif") else {}),
    "GIF": lambda image: saved(image, "GIF"),
    "256 px and JPEG 95, as img2dataset": as_img2dataset,
    "512 px, WebP 60, then JPEG 60": lambda image: saved(
        Image.open(io.BytesIO(saved(scaled(image, 512 / max(image.size)), "WEBP", quality=60))),
        "JPEG",
        quality=60,
    ),
    "grey": lambda image: saved(image.convert("L"), "JPEG"),
    "brightness and contrast": lambda image: saved(levelled(image), "JPEG"),
    "contrast stretched": lambda image: saved(ImageOps.autocontrast(image, cutoff=1), "JPEG"),
    "sharpened": lambda image: saved(image.filter(ImageFilter.SHARPEN), "JPEG"),
    "blurred (radius 2)": lambda image: saved(image.filter(ImageFilter.GaussianBlur(2)), "JPEG"),
    "text in the corner": lambda image: saved(signed(image), "JPEG"),
    "watermark over the middle": lambda image: saved(watermarked(image), "JPEG"),
    "caption over the lowest tenth": lambda image: saved(captioned(image), "JPEG"),
    **{
        f"cropped by {share:.0%}, evenly": lambda image, share=share: saved(cropped(image, share), "JPEG")
        for share in (0.01, 0.02, 0.05, 0.10)
    },
    **{
        f"cropped by {share:.0%}, on one side": lambda image, share=share: saved(
            cropped_aside(image, share), "JPEG"
        )
        for share in (0.01, 0.02, 0.05, 0.10)
    },
    **{
        f"border of {share:.0%}": lambda image, share=share: saved(framed(image, share), "JPEG")
        for share in (0.01, 0.02, 0.05)
    },
    "padded to a square": lambda image: saved(padded(image), "JPEG"),
    "turned by 1 degree": lambda image: saved(image.rotate(1, Image.Resampling.BICUBIC), "JPEG"),
    "turned by 5 degrees": lambda image: saved(image.rotate(5, Image.Resampling.BICUBIC), "JPEG"),
    "turned by 90 degrees": lambda image: saved(image.transpose(Image.Transpose.ROTATE_90), "JPEG"),
    "mirrored": lambda image: saved(ImageOps.mirror(image), "JPEG"),
    "upside down": lambda image: saved(ImageOps.flip(image), "JPEG"),
    "inverted": lambda image: saved(ImageOps.invert(image), "JPEG"),
}


# -- what is found -----------------------------------------------------------------------------------------

Views = tuple[Fingerprint, ...]


def listed(images: Mapping[str, Image.Image]) -> tuple[dict[str, Views], list[str]]:
    """Fingerprints as a registry has them, and which pictures have none."""
    found = {name: fingerprint.views(saved(image)) for name, image in images.items()}
    return {name: each for name, each in found.items() if each}, [name for name in found if not found[name]]


def away(some: Views, others: Views) -> tuple[int, int]:
    """How far the views are apart that are nearest to each other; of none, as far as can be."""
    return min(
        (
            (fingerprint.small_distance(one, other), fingerprint.large_distance(one, other) or 0)
            for one, other in itertools.product(some, others)
        ),
        key=lambda found: (found[0] > SMALL_RADIUS or found[1] > LARGE_RADIUS, found),
        default=(64, 256),
    )


def recall(images: Mapping[str, Image.Image]) -> list[dict[str, Any]]:
    entries, _ = listed(images)
    rows = []
    for what, copy in COPIES.items():
        copies = {name: fingerprint.views(copy(images[name]), quick=True) for name in entries}
        small, large = np.array([away(copies[name], entry) for name, entry in entries.items()]).T
        rows.append(
            {
                "copy": what,
                "of": len(entries),
                "found": int(((small <= SMALL_RADIUS) & (large <= LARGE_RADIUS)).sum()),
                "by 64 bits": int((small <= SMALL_RADIUS).sum()),
                "by 64 lone": int((small <= LONE_RADIUS).sum()),
                "no fingerprint": sum(not views for views in copies.values()),
                "of 64: median": int(np.median(small)),
                "90 %": int(np.percentile(small, 90)),
                "of 256: median": int(np.median(large)),
                "90 % ": int(np.percentile(large, 90)),
            }
        )
    return rows


def false_matches(what: str, images: Mapping[str, Image.Image]) -> dict[str, Any]:
    """Of all pairs."""
    entries, without = listed(images)
    small, large = np.array([away(*pair) for pair in itertools.combinations(entries.values(), 2)]).T
    candidates = small <= SMALL_RADIUS
    return {
        "pictures": what,
        "count": len(images),
        "no fingerprint": len(without),
        "pairs": len(small),
        "matches": int((candidates & (large <= LARGE_RADIUS)).sum()),
        "by 64 bits": int(candidates.sum()),
        "by 64 lone": int((small <= LONE_RADIUS).sum()),
        "least of 64": int(small.min()),
        "of 256": int(large.min()),
    }


def numbered(images: Iterable[Image.Image]) -> dict[str, Image.Image]:
    return {str(number): image for number, image in enumerate(images)}


# -- what it costs -----------------------------------------------------------------------------------------


def costs(image: Image.Image) -> list[dict[str, Any]]:
    rows = []
    for width, height in SIZES:
        resized = image.resize((width, height))
        for kind, options in (
            ("JPEG", {"quality": 85}),
            ("progressive JPEG", {"quality": 85, "progressive": True}),
            ("WEBP", {"quality": 80}),
            ("PNG", {}),
        ):
            data = saved(resized, kind.rpartition(" ")[2], **options)

            def decode(data: bytes = data) -> None:
                with Image.open(io.BytesIO(data)) as opened:
                    opened.load()

            rows.append(
                {
                    "file": f"{width} x {height} {kind}",
                    "bytes": len(data),
                    "quick": median_us(lambda data=data: fingerprint.views(data, quick=True)),
                    "exact": median_us(lambda data=data: fingerprint.views(data)),
                    "decode": median_us(decode),
                }
            )
    return rows


# -- the tables --------------------------------------------------------------------------------------------


def printed(console: Console, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    table = Table(title=title)
    for name in rows[0]:
        table.add_column(name, justify="left" if isinstance(rows[0][name], str) else "right")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table)


def _cell(value: Any) -> str:
    return "" if value is None else shown(value) if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    as_json = parser.parse_args().json
    everything = photographs()
    images = {name: image for name, image in everything.items() if name not in SAME}
    tiny = faces()
    result = {
        "radii": {"small": SMALL_RADIUS, "large": LARGE_RADIUS, "lone": LONE_RADIUS},
        "left out": SAME,
        "without": listed(images)[1],
        "recall": recall(images),
        "false": [
            false_matches("photographs", images),
            false_matches("with those left out", everything),
            false_matches(f"tiles of {TILE} x {TILE}", numbered(tiles(images.values()))),
            false_matches("faces of 25 x 25", numbered(tiny[:100])),
            false_matches("no faces of 25 x 25", numbered(tiny[100:])),
            false_matches("letters", numbered(map(letter, range(DRAWN)))),
            false_matches("charts", numbered(map(chart, range(DRAWN)))),
            false_matches("slides of one template", numbered(map(slide, range(DRAWN)))),
        ],
        "costs": costs(images["china.jpg"]),
    }
    console = Console(width=180)
    if as_json:
        console.print_json(data=result)
        return
    for name, why in SAME.items():
        console.print(f"left out: {name}, {why}")
    console.print(f"photographs without a fingerprint: {', '.join(result['without']) or 'none'}")
    printed(console, f"Copies found within {SMALL_RADIUS} of 64 and {LARGE_RADIUS} of 256", result["recall"])
    printed(console, "Pairs of different pictures", result["false"])
    printed(console, "Microseconds a picture", result["costs"])


if __name__ == "__main__":
    main()
