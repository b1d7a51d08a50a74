"""Pictures that carry a number which survives re-encoding, so that a stored file is traced to its exhibit.

A picture is a grid of 8 x 8 light and dark cells of one hue. The upper half codes 32 bits, the number and its
check value; the lower half codes their complement. Each bit is read as the difference of two cells, so that
no threshold is needed and changes of brightness, colour or compression leave it alone. The grid fills the
picture, so that scaling leaves it alone too; it is square by default, as some tools pad or crop to a square.
"""

from __future__ import annotations

import colorsys
import functools
import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from heedful.testing import embed

if TYPE_CHECKING:
    from types import ModuleType

    from PIL.Image import Image

Format = Literal["JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF"]
"""The formats that can be made."""

ID_MAX = 0xFFFF
"""The largest number a picture can carry."""

CONTENT_TYPES: dict[Format, str] = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "TIFF": "image/tiff",
}
"""The media type of each format."""

_GRID = 8
_BITS = _GRID * _GRID // 2
_SAMPLES = 8  # pixels a side to which each cell is averaged; its inner half is read
_CONTRAST_MIN = 30  # grey levels between a cell and its complement; ours differ by about 100, noise by a few
_SIDE_MIN = 2 * _GRID  # below two pixels a cell nothing can be told
_SAVED: dict[Format, dict[str, Any]] = {
    "JPEG": {"quality": 85},
    "WEBP": {"quality": 85},
    "AVIF": {"quality": 85, "speed": 10},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}
_CACHED = 256  # pictures kept; about twice the gallery's


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture yet to be made: the arguments of `make` as a value.

    Attributes:
        id: the number that it carries.
        format: the file format.
        size: width and height in pixels.
        min_bytes: its least size, before metadata are put in.
        xmp: an XMP packet that is put into the file, if not empty.
        jumbf: a C2PA manifest store that is put into the file, if not empty.
    """

    id: int
    format: Format = "JPEG"
    size: tuple[int, int] = (256, 256)
    min_bytes: int = 0
    xmp: bytes = b""
    jumbf: bytes = b""

    def render(self) -> bytes:
        """The file; made once."""
        return _render(self)


def make(
    id: int,  # noqa: A002
    *,
    format: Format = "JPEG",  # noqa: A002
    size: tuple[int, int] = (256, 256),
    min_bytes: int = 0,
) -> bytes:
    """An image file that carries a number; the same arguments give the same bytes.

    Args:
        id: the number, 0 to `ID_MAX`.
        format: the file format.
        size: width and height in pixels, at least 128 each.
        min_bytes: the file is padded to at least so many bytes, in a place that decoders pass over.

    Raises:
        ValueError: the number or size cannot be coded, or the format is unknown.
        ImportError: Pillow is missing.
    """
    if not 0 <= id <= ID_MAX:
        raise ValueError(f"a picture's number is between 0 and {ID_MAX}, not {id}")
    if min(size) < 128:
        raise ValueError(f"a picture is at least 128 pixels a side, not {size}")
    if format not in CONTENT_TYPES:
        raise ValueError(f"unknown format {format!r}: one of {', '.join(CONTENT_TYPES)}")
    pillow = _pillow()
    image = pillow.new("RGB", size)
    cells = _cells(id)
    hue = (id * 0.618034) % 1.0  # the golden ratio keeps neighbours apart
    for row in range(_GRID):
        top, bottom = row * size[1] // _GRID, (row + 1) * size[1] // _GRID
        for column in range(_GRID):
            left, right = column * size[0] // _GRID, (column + 1) * size[0] // _GRID
            shade = 0.04 * (column - row) / _GRID
            lightness = (0.78 if cells[row * _GRID + column] else 0.36) + shade
            colour = colorsys.hls_to_rgb((hue + 0.01 * row) % 1.0, lightness, 0.55)
            image.paste(tuple(round(255 * part) for part in colour), (left, top, right, bottom))
    out = io.BytesIO()
    image.save(out, format, **_SAVED.get(format, {}))
    data = out.getvalue()
    return _padded(data, format, min_bytes - len(data)) if len(data) < min_bytes else data


def identify(image: bytes | Path | Image) -> int | None:
    """The number that a picture carries; None for what is no picture of ours.

    Args:
        image: an image file's bytes, the path of one, or an open Pillow image.

    Raises:
        OSError: a path that cannot be read.
        ImportError: Pillow is missing.
    """
    pillow = _pillow()
    if isinstance(image, Path):
        image = image.read_bytes()
    if isinstance(image, bytes):
        try:
            with pillow.open(io.BytesIO(image)) as opened:
                return _read(opened)
        except (
            OSError,
            SyntaxError,
            ValueError,
            pillow.DecompressionBombError,
        ):  # what Pillow raises on bad files
            return None
    return _read(image)


def _pillow() -> Any:
    try:
        from PIL import Image as module  # noqa: PLC0415, N813
    except ImportError as error:
        raise ImportError('the gallery draws with Pillow: pip install "heedful[scrapy]"') from error
    pillow: ModuleType = module
    return pillow


@functools.lru_cache(maxsize=_CACHED)
def _render(picture: Picture) -> bytes:
    data = make(picture.id, format=picture.format, size=picture.size, min_bytes=picture.min_bytes)
    if picture.xmp:
        data = embed.xmp(data, picture.xmp)
    return embed.jumbf(data, picture.jumbf) if picture.jumbf else data


def _code(id: int) -> int:  # noqa: A002
    return id << 16 | zlib.crc32(b"heedful" + id.to_bytes(2, "big")) & 0xFFFF


def _cells(id: int) -> list[bool]:  # noqa: A002
    code = _code(id)
    bits = [bool(code >> (_BITS - 1 - place) & 1) for place in range(_BITS)]
    return bits + [not bit for bit in bits]


def _read(image: Image) -> int | None:
    if min(image.size) < _SIDE_MIN:
        return None
    side = _GRID * _SAMPLES
    grey = image.convert("RGB").convert("L").resize((side, side), _pillow().Resampling.BOX).tobytes()
    inner = range(_SAMPLES // 4, _SAMPLES - _SAMPLES // 4)

    def level(cell: int) -> float:
        row, column = divmod(cell, _GRID)
        start = row * _SAMPLES * side + column * _SAMPLES
        return sum(grey[start + y * side + x] for y in inner for x in inner) / len(inner) ** 2

    code = 0
    for place in range(_BITS):
        difference = level(place) - level(place + _BITS)
        if abs(difference) < _CONTRAST_MIN:
            return None
        code = code << 1 | (difference > 0)
    found = code >> 16
    return found if _code(found) == code else None


def _padded(data: bytes, format: Format, missing: int) -> bytes:  # noqa: A002
    filler = (b"heedful " * (missing // 8 + 1))[:missing]
    if format == "JPEG":  # COM segments, right after the start of image
        segments = [filler[at : at + 0xFFFD] for at in range(0, missing, 0xFFFD)]
        padding = b"".join(b"\xff\xfe" + struct.pack(">H", len(part) + 2) + part for part in segments)
        return data[:2] + padding + data[2:]
    if format == "PNG":  # an ancillary private chunk, before IEND (12 bytes)
        chunk = b"heEd" + filler
        padding = struct.pack(">I", missing) + chunk + struct.pack(">I", zlib.crc32(chunk))
        return data[:-12] + padding + data[-12:]
    if format == "WEBP":  # an unknown RIFF chunk at the end, of even length
        filler += b" " * (missing % 2)
        body = data[8:] + b"HEED" + struct.pack("<I", len(filler)) + filler
        return b"RIFF" + struct.pack("<I", len(body)) + body
    if format == "AVIF":  # a free box at the end
        return data + struct.pack(">I4s", 8 + missing, b"free") + filler
    if format == "TIFF":  # bytes at the end that no directory names
        return data + filler
    blocks = [filler[at : at + 255] for at in range(0, missing, 255)]  # GIF: a comment, before the trailer
    padding = b"\x21\xfe" + b"".join(bytes((len(block),)) + block for block in blocks) + b"\0"
    return data[:-1] + padding + data[-1:]
