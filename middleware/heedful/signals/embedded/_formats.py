"""Which image format a file is in, told from its first bytes, and how it is walked through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from heedful.signals.embedded import _bmff, _gif, _jpeg, _png, _riff, _svg, _tiff

if TYPE_CHECKING:
    from collections.abc import Callable

    from heedful.signals.embedded._parts import Buffer, Walk

SNIFF_BYTES: Final = _svg.ROOT_MAX
"""Octets that the format is told from; all but SVG show it in their first twelve, or in their brands."""


class Format(NamedTuple):
    """A format.

    Attributes:
        media_type: its media type; None: not known.
        walk: walks through such a file; None: it can hold nothing of ours.
    """

    media_type: str | None
    walk: Callable[[Buffer], Walk] | None


_UNKNOWN: Final = Format(None, None)
_JPEG: Final = Format("image/jpeg", _jpeg.walk)
_PNG: Final = Format("image/png", _png.walk)
_WEBP: Final = Format("image/webp", _riff.walk)
_GIF: Final = Format("image/gif", _gif.walk)
_TIFF: Final = Format("image/tiff", _tiff.walk)
_AVIF: Final = Format("image/avif", _bmff.walk)
_HEIC: Final = Format("image/heic", _bmff.walk)
_HEIF: Final = Format("image/heif", _bmff.walk)
_JXL: Final = Format("image/jxl", _bmff.walk)
_BARE_JXL: Final = Format("image/jxl", None)
_JP2: Final = Format("image/jp2", _bmff.walk)
_SVG: Final = Format("image/svg+xml", _svg.walk)
_SVGZ: Final = Format("image/svg+xml", _svg.walk_compressed)

_BRANDS: Final = {
    b"avif": _AVIF,
    b"avis": _AVIF,
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), _HEIC),
}
_GENERIC_BRANDS: Final = frozenset((b"mif1", b"mif2", b"msf1", b"miaf"))
"""Brands of files that may hold pictures of any codec (HEIF, ISO/IEC 23008-12, 10)."""

BRANDS_MAX: Final = 64
"""Most compatible brands that are looked at; files have about six."""


def sniff(data: bytes) -> Format:
    """The format of a file that begins with `data`, `SNIFF_BYTES` of it if there are so many."""
    if data.startswith(b"\xff\xd8\xff"):
        return _JPEG
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _PNG
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _WEBP
    if data.startswith((b"GIF87a", b"GIF89a")):
        return _GIF
    if data.startswith(_tiff.STARTS):
        return _TIFF
    if data[4:8] == b"ftyp":
        return _branded(data)
    if data.startswith(b"\xff\x0a"):
        return _BARE_JXL
    if data.startswith(b"\0\0\0\x0cJXL \r\n\x87\n"):
        return _JXL
    if data.startswith(b"\0\0\0\x0cjP  "):
        return _JP2
    if data.startswith(b"\x1f\x8b\x08"):
        return _SVGZ if _svg.is_svg(_svg.inflated_head(data[:SNIFF_BYTES])) else _UNKNOWN
    return _SVG if _svg.is_svg(data[:SNIFF_BYTES]) else _UNKNOWN


def _branded(data: bytes) -> Format:
    size = int.from_bytes(data[:4], "big")
    end = min(size if size >= 16 else len(data), len(data), 16 + 4 * BRANDS_MAX)
    brands = [bytes(data[at : at + 4]) for at in (8, *range(16, end, 4))]  # the major one first
    for brand in brands:
        if brand in _BRANDS:
            return _BRANDS[brand]
    return _UNKNOWN if _GENERIC_BRANDS.isdisjoint(brands) else _HEIF
