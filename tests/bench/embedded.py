"""Measures reading what pictures say of themselves, beside others, all in one run.

    python tests/bench/embedded.py [--json]

Medians of several repetitions, in microseconds a file. A tool that is not installed is left out and named.
Peak memory of the hostile files is told apart, in megabytes. exiv2, which pyexiv2 wraps, is under the GPL: it
is measured if it is there, and never installed by this project.
"""

from __future__ import annotations

import contextlib
import io
import tracemalloc
from functools import partial
from typing import TYPE_CHECKING, Any

from hostile import HOSTILE
from measuring import US, Figure, median_us, report
from PIL import Image

from heedful.model import Source
from heedful.signals import embedded
from heedful.testing import embed
from heedful.testing.pictures import make

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOURCE = Source("http://127.0.0.1/1.jpg")
PILLOW, PYEXIV2, DATADILIGENCE = "Pillow getxmp", "pyexiv2", "datadiligence C2PA"
MEMORY = "peak MB"
TOOLS = [US, PILLOW, PYEXIV2, DATADILIGENCE, MEMORY]
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF")
DENY = embed.dmi_packet("DMI-PROHIBITED-AIMLTRAINING")
STORE = embed.training_mining_store({"cawg.ai_training": "notAllowed", "cawg.data_mining": "notAllowed"})


def pillow(data: bytes) -> Any:
    with Image.open(io.BytesIO(data)) as image:
        return image.getxmp()


def others() -> dict[str, Callable[[bytes], object]]:
    tools: dict[str, Callable[[bytes], object]] = {PILLOW: pillow}
    with contextlib.suppress(ImportError):
        import pyexiv2

        def read(data: bytes) -> object:
            with pyexiv2.ImageData(data) as image:
                return image.read_xmp()

        tools[PYEXIV2] = read
    with contextlib.suppress(ImportError):
        from datadiligence.rules import C2PAMetadataRule

        rule = C2PAMetadataRule()
        tools[DATADILIGENCE] = lambda data: rule.is_allowed(body=data)
    return tools


def files() -> Iterator[tuple[str, bytes]]:
    for name in FORMATS:
        clean = make(1, format=name, size=(1024, 1024), min_bytes=100_000)
        yield f"{name}, {len(clean) // 1000} kB: nothing there", clean
        yield f"{name}: XMP that denies", embed.xmp(clean, DENY)
        yield (
            f"{name}: XMP that says nothing",
            embed.xmp(clean, embed.xmp_packet("<a:b xmlns:a='x'>c</a:b>" * 60)),
        )
        yield f"{name}: C2PA that denies", embed.jumbf(clean, STORE)


def measure() -> Iterator[Figure]:
    tools = others()
    for what, data in files():
        yield Figure(what, US, median_us(partial(embedded.read, data, SOURCE)))
        for tool, read in tools.items():
            with contextlib.suppress(Exception):  # a file that it cannot read
                yield Figure(what, tool, median_us(partial(read, data)))
    for name, make_hostile in HOSTILE.items():
        data = make_hostile()
        what = f"hostile, {len(data) / 1e6:.1f} MB: {name}"
        yield Figure(what, US, median_us(partial(embedded.read, data, SOURCE)))
        tracemalloc.start()
        embedded.read(data, SOURCE)
        yield Figure(what, MEMORY, tracemalloc.get_traced_memory()[1] / 1e6)
        tracemalloc.stop()


if __name__ == "__main__":
    report(__doc__, TOOLS, measure)
