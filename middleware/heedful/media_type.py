"""Whether a response is a picture: by its Content-Type, or by its first bytes whatever the type says."""

from __future__ import annotations

import re
from typing import Final

SNIFF_BYTES: Final = 1024
"""Bytes of the body that are looked at; what browsers sniff (WHATWG MIME Sniffing, 1445) is of that order."""

_RASTER: Final = re.compile(
    rb"\xff\xd8\xff"  # JPEG
    rb"|\x89PNG\r\n\x1a\n"
    rb"|GIF8[79]a"
    rb"|RIFF....WEBP"
    rb"|(?:II[*+]\x00|MM\x00[*+])"  # TIFF, BigTIFF
    rb"|BM.{4}\x00\x00\x00\x00"
    rb"|\x00\x00\x01\x00[^\x00]\x00"  # ICO
    rb"|....ftyp(?:avi[fs]|hei[cmsx]|hev[cmsx]|mif1|msf1|miaf)"  # AVIF, HEIC
    rb"|\xff\x0a|\x00\x00\x00\x0cJXL "  # JPEG XL
    rb"|\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51",  # JPEG 2000
    re.DOTALL,
)
_SVG: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*|<!DOCTYPE svg[^>]*>\s*)*<svg[\s>]",
    re.DOTALL,
)


def is_picture(content_type: str, start: bytes = b"") -> bool:
    """Whether a body that begins with `start`, sent as `content_type`, is to be judged as a picture."""
    if content_type.strip().lower().startswith("image/"):
        return True
    start = start[:SNIFF_BYTES]
    return is_raster(start) or _SVG.match(start) is not None


def is_raster(start: bytes) -> bool:
    """Whether a body that begins with `start` is a picture made of pixels."""
    return _RASTER.match(start) is not None
