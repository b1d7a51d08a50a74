"""Fingerprints of pictures: perceptual hashes, which copies share though their bytes differ.

The values are those of `imagehash.phash`: the picture in grey, made small with Lanczos, its cosine transform
taken, and of each of the lowest frequencies one bit: whether it is above their median. 64 bits of 32 x 32
pixels find candidates, 256 bits of 64 x 64 pixels confirm them.

Pillow is imported when it is first needed, not before: only who lists or compares fingerprints needs it.
"""

from __future__ import annotations

import io
import re
import threading
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from heedful.errors import ConfigurationError
from heedful.media_type import is_raster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import PIL.Image
    from numpy.typing import NDArray

    Grey = NDArray[np.float64]

SMALL_RADIUS: Final = 8
"""Bits of 64 by which a copy may differ from its entry."""

LARGE_RADIUS: Final = 48
"""Bits of 256 by which a copy may differ from its entry."""

LONE_RADIUS: Final = 2
"""Bits of 64 by which a copy may differ from an entry of which only these are known."""

PIXELS_MAX: Final = 89_478_485
"""Pixels of a picture that is decoded: Pillow's own limit, at which it only warns."""

ABREAST_MAX: Final = 16_000_000
"""Pixels up to which pictures are decoded side by side, larger ones one after the other: seven octets a
pixel are usual, eighteen the most, and crawlers have hundreds of threads.
"""

SCANS_MAX: Final = 100
"""Scans of a JPEG that is decoded: encoders write ten; one of ten octets may walk all pixels."""

WORDS_MAX: Final = 200
"""Characters of what is told of a picture that cannot be decoded."""

_SIDES: Final = (8, 16)
"""Frequencies in each direction, of the small and the large fingerprint."""

_SAMPLES: Final = 4
"""Pixels for each frequency, in each direction."""

_DRAFT: Final = 3 * _SIDES[1] * _SAMPLES
"""Pixels in each direction that are always decoded, even in a hurry."""

_GAP: Final = 2.0
"""How many times as large as wanted a picture stays when it is first, in a hurry, averaged to be smaller."""

_NOISE_MAX: Final = 1 / 8
"""Share of the frequencies that may lie where rounding the pixels decides their bits. Photographs have up to
a tenth there; flat and symmetric pictures, gradients, checkerboards and discs a sixth or more."""

_BORDER_NOISE: Final = 12
"""Greys by which a border differs from its corner: what compression leaves there."""

_BORDER_SIDE: Final = 256
"""Pixels of the shorter side in which a border is looked for."""

_INNER_MIN: Final = 4
"""How many times as wide or high as what stands inside it a border may be: else that is a detail."""

_SOME: Final = 0.1
_FULL: Final = 0.5
_SOFT: Final = 0.02
"""Pictures end suddenly: from lines of which a tenth differs from the border to those of which half does, it
is this share of their side. With a disc, it is three times as much; so with most that stands before a wall.
"""

_FORMATS: Final = (
    "JPEG",
    "MPO",
    "PNG",
    "GIF",
    "WEBP",
    "TIFF",
    "BMP",
    "ICO",
    "AVIF",
    "JPEG2000",
    "HEIF",
    "JXL",
)
"""What is decoded, by Pillow's names, if Pillow or a plugin of it can: no formats that run other programs."""

_ORIENTATION: Final = 0x0112
"""The Exif tag that says how the picture is to be turned when shown."""

_SCAN: Final = b"\xff\xda"
"""What a scan of a JPEG begins with."""

_MARKER: Final = re.compile(rb"\xff+([^\x00\x01\xd0-\xd8\xff])")
"""What comes next in a JPEG that is neither data nor stands for itself (T.81, B.1.1.3)."""

_END: Final = b"\xd9"
_ICON: Final = b"\x00\x00\x01\x00"
_PNG_SIZE: Final = re.compile(rb"\x89PNG\r\n\x1a\n.{4}IHDR(.{4})(.{4})", re.DOTALL)

_large = threading.Lock()

_TEXT: Final = re.compile(r"([0-9a-f]{16})(?::([0-9a-f]{64}))?", re.IGNORECASE)


class Undecodable(ValueError):  # noqa: N818 - it says what the picture is
    """What claims to be a picture cannot be decoded, or not within bounds."""


class Fingerprint(NamedTuple):
    """What a picture looks like.

    Attributes:
        small: 64 bits: `int(str(imagehash.phash(image)), 16)`.
        large: 256 bits: `bytes.fromhex(str(imagehash.phash(image, hash_size=16)))`; None: they are not known.
    """

    small: int
    large: bytes | None = None

    @classmethod
    def parse(cls, text: str) -> Fingerprint:
        """Read 16 hexadecimal digits, or these, a colon and 64 more.

        Raises:
            ValueError: it is no such thing, or one that says nothing.
        """
        found = _TEXT.fullmatch(text.strip())
        if found is None:
            raise ValueError("it is not 16 hexadecimal digits, nor these, a colon and 64 more")
        parsed = cls(int(found[1], 16), None if found[2] is None else bytes.fromhex(found[2]))
        if parsed.degenerate:
            raise ValueError("it is that of a flat or regular picture: its bits are not half ones")
        return parsed

    def __str__(self) -> str:
        """As `parse` reads it."""
        return f"{self.small:016x}" + (f":{self.large.hex()}" if self.large is not None else "")

    @property
    def degenerate(self) -> bool:
        """Whether it is of no picture with content: half of the frequencies lie above their median, unless
        many lie on it.
        """  # noqa: D205 - one sentence
        if self.large is not None and int.from_bytes(self.large, "big").bit_count() != 4 * len(self.large):
            return True
        return self.small.bit_count() != _SIDES[0] ** 2 // 2


def small_distance(one: Fingerprint, other: Fingerprint) -> int:
    """Bits of 64 in which two differ."""
    return (one.small ^ other.small).bit_count()


def large_distance(one: Fingerprint, other: Fingerprint) -> int | None:
    """Bits of 256 in which two differ; None: they are not known of both."""
    if one.large is None or other.large is None:
        return None
    return (int.from_bytes(one.large, "big") ^ int.from_bytes(other.large, "big")).bit_count()


def require() -> None:
    """Make sure that pictures can be decoded.

    Raises:
        ConfigurationError: Pillow is not installed.
    """
    try:
        import PIL  # noqa: F401, PLC0415 - only where fingerprints are asked for
    except ImportError:
        raise ConfigurationError(
            "A registry lists fingerprints of pictures, and without Pillow none can be compared: "
            "pip install 'heedful[fingerprint]'"
        ) from None


def of(image: PIL.Image.Image) -> Fingerprint | None:
    """What `imagehash.phash` makes of a picture that is open.

    That is: of the pixels as they are stored, whatever an Orientation tag says; without regard to
    transparency; 16-bit grey cut off at 255; of an animation, the frame that it stands at.

    Returns:
        None: the picture is flat, or so regular that its bits are noise or shared by many.
    """
    return _fingerprint(_reduced(_grey(image), quick=False))


def read(data: bytes) -> Fingerprint | None:
    """As `of`, of a file's bytes, the first frame of an animation.

    Returns:
        None: as `of`, or it is no raster picture.

    Raises:
        Undecodable: it claims to be one, and cannot be decoded.
        ModuleNotFoundError: Pillow is not installed.
    """
    if not is_raster(data):
        return None
    with _Opened(data) as image:
        return of(image)


def views(data: bytes, *, quick: bool = False) -> tuple[Fingerprint, ...]:
    """All that a copy of a picture may look like: as it is stored, as it is shown, and without its border.

    Shown, it is turned as its Orientation tag says, stands on white where it is transparent, and 16-bit grey
    is scaled. Programs that re-encode pictures write them like that, and some pad them.

    Args:
        data: a file's bytes.
        quick: leave details out that hardly matter, which is up to ten times as fast and moves few bits: for
            looking up, where the radii bear that; what is listed is to be exact.

    Returns:
        The distinct ones, as stored first; none: as `read`.

    Raises:
        Undecodable, ModuleNotFoundError: as `read`.
    """
    if not is_raster(data):
        return ()
    with _Opened(data) as image:
        if quick:
            image.draft("L", (_DRAFT, _DRAFT))
        found = [_fingerprint(pixels) for pixels in _views(image, quick)]
    return tuple(dict.fromkeys(each for each in found if each is not None))


# -- decoding --------------------------------------------------------------------------------------------


class _Opened:
    """A picture that is decoded inside a `with`: what goes wrong there is `Undecodable`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._held = ExitStack()

    def __enter__(self) -> PIL.Image.Image:
        from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - only where fingerprints are asked for

        with self._held as held:
            _check_icon(self._data)  # an icon is decoded when it is opened
            try:
                image: PIL.Image.Image = held.enter_context(
                    Image.open(io.BytesIO(self._data), formats=_formats())
                )
            except UnidentifiedImageError:  # its words hold an address in memory
                raise Undecodable("damaged, or of a format that Pillow does not decode") from None
            except Exception as error:
                raise _undecodable(error) from error
            _check_size(image.width, image.height)
            if image.format in {"JPEG", "MPO"} and self._data.count(_SCAN) > SCANS_MAX:
                _check_scans(self._data)
            if image.width * image.height > ABREAST_MAX:
                held.enter_context(_large)
            self._held = held.pop_all()
        return image

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._held.close()
        if isinstance(error, Exception):  # whatever it is: decoders of damaged files raise all kinds
            raise _undecodable(error) from error


def _undecodable(error: Exception) -> Undecodable:
    return Undecodable(f"{type(error).__name__}: {error}"[:WORDS_MAX])


def _check_size(width: int, height: int) -> None:
    if width * height > PIXELS_MAX:
        raise Undecodable(f"{width} x {height} pixels, more than {PIXELS_MAX}")


def _check_icon(data: bytes) -> None:
    """Look at the pictures inside an icon, which may be larger than it says."""
    if data.startswith(_ICON):
        for found in _PNG_SIZE.finditer(data):
            _check_size(int.from_bytes(found[1], "big"), int.from_bytes(found[2], "big"))


def _check_scans(data: bytes) -> None:
    """Count a JPEG's scans as its decoder does: neither in segments nor behind the end."""
    scans, at = 0, 2
    while (marker := _MARKER.search(data, at)) is not None and marker[1] != _END:
        scans += marker[1] == _SCAN[1:]
        if scans > SCANS_MAX:
            raise Undecodable(f"more than {SCANS_MAX} scans")
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")


@cache
def _formats() -> tuple[str, ...]:
    """Those of `_FORMATS` for which there is a decoder."""
    from PIL import Image  # noqa: PLC0415 - only where fingerprints are asked for

    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


# -- from a picture to small grey ones -------------------------------------------------------------------


def _grey(image: PIL.Image.Image) -> PIL.Image.Image:
    if image.mode == "P" and isinstance(image.info.get("transparency"), bytes):
        image = image.copy()
        del image.info["transparency"]  # it changes nothing here, but Pillow would warn
    return image.convert("L")


def _reduced(grey: PIL.Image.Image, quick: bool) -> tuple[Grey, ...]:  # noqa: FBT001
    """A grey picture in the sizes that fingerprints are made of, the small one first."""
    from PIL import Image  # noqa: PLC0415 - only where fingerprints are asked for

    small, large = ((side * _SAMPLES, side * _SAMPLES) for side in _SIDES)
    lanczos = Image.Resampling.LANCZOS
    fine = grey.resize(large, lanczos, reducing_gap=_GAP if quick else None)
    coarse = (fine if quick else grey).resize(small, lanczos)
    return np.asarray(coarse, np.float64), np.asarray(fine, np.float64)


def _views(image: PIL.Image.Image, quick: bool) -> Iterator[tuple[Grey, ...]]:  # noqa: FBT001
    """A picture as it is stored, as it is shown if that may differ, and as it is shown without its border."""
    grey, turn = _grey(image), _turn(image)
    yield _reduced(grey, quick)
    shown = _shown(image, grey)
    inner = _without_border(shown)
    others = [shown] if shown is not grey or turn is not None else []
    for each in (*others, *([] if inner is None else [inner])):
        pixels = _reduced(each, quick)
        yield pixels if turn is None else tuple(turn(side) for side in pixels)


def _without_border(grey: PIL.Image.Image) -> PIL.Image.Image | None:
    """What stands inside a border of one colour, or between bars; None: there is none."""
    by = max(1, min(grey.size) // _BORDER_SIDE)
    levels = np.asarray(grey.reduce(by), np.int16)
    differing = np.abs(levels - levels[0, 0]) > _BORDER_NOISE
    if differing[0].any() and differing[:, 0].any():
        return None
    rows, columns = _sudden(differing.sum(1)), _sudden(differing.sum(0))
    if rows is None or columns is None:
        return None
    (top, bottom), (left, right) = rows, columns
    inner = grey.crop((left * by, top * by, min(right * by, grey.width), min(bottom * by, grey.height)))
    return None if inner.size == grey.size else inner


def _sudden(counts: NDArray[np.int_]) -> tuple[int, int] | None:
    """Where the lines begin and end of which most is no border; None: not suddenly, or they are few.

    Args:
        counts: of each line the pixels that differ from the border.
    """
    most = counts.max()
    some, full = np.flatnonzero(counts > most * _SOME), np.flatnonzero(counts >= most * _FULL)
    if most == 0 or len(full) * _INNER_MIN < len(counts):
        return None
    begin, end = int(full[0]), int(full[-1]) + 1
    soft = max(begin - int(some[0]), int(some[-1]) + 1 - end)
    return (begin, end) if soft <= 1 + _SOFT * len(full) else None


def _shown(image: PIL.Image.Image, grey: PIL.Image.Image) -> PIL.Image.Image:
    """A picture in grey as it is shown, but not turned; the same as it is stored if that is no different."""
    from PIL import Image  # noqa: PLC0415 - only where fingerprints are asked for

    if image.has_transparency_data:
        opacity = (image if "A" in image.getbands() else image.convert("LA")).getchannel("A")
        white = Image.new("L", grey.size, "white")
        white.paste(grey, mask=opacity)
        return white
    if image.mode.startswith("I;16"):
        levels: NDArray[np.uint8] = (np.asarray(image) >> 8).astype(np.uint8)
        return Image.fromarray(levels)
    return grey


def _turn(image: PIL.Image.Image) -> Callable[[Grey], Grey] | None:
    """What the Orientation tag asks for; None: nothing."""
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION))
    except Exception:  # noqa: BLE001 - a damaged tag turns nothing
        return None


_TURNS: Final[dict[object, Callable[[Grey], Grey]]] = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(np.transpose(pixels), 2),
    8: np.rot90,
}
"""How to turn a square picture, by the tag's value."""


# -- from small grey pictures to bits --------------------------------------------------------------------


def _fingerprint(pixels: tuple[Grey, ...]) -> Fingerprint | None:
    small, large = (_bits(each, side) for each, side in zip(pixels, _SIDES, strict=True))
    return None if small is None or large is None else Fingerprint(int.from_bytes(small, "big"), large)


def _bits(pixels: Grey, side: int) -> bytes | None:
    """Which of the lowest frequencies lie above their median, row by row; None: that says nothing."""
    basis, count = _basis(side), side * side
    frequencies = (basis @ pixels @ basis.T).ravel()
    ordered = np.sort(frequencies)
    median = (ordered[count // 2 - 1] + ordered[count // 2]) / 2
    noise = np.count_nonzero(np.abs(frequencies - median) < 2 * _rounding(side))
    above = frequencies > median
    if noise > _NOISE_MAX * count or np.count_nonzero(above) != count // 2:
        return None
    return np.packbits(above).tobytes()


@cache
def _basis(side: int) -> Grey:
    """The cosines of the lowest `side` frequencies, scaled as `scipy.fftpack.dct` (type 2) scales them."""
    size = side * _SAMPLES
    return 2 * np.cos(np.pi / size * np.outer(np.arange(side), np.arange(size) + 0.5))


def _rounding(side: int) -> float:
    """By how much rounding the pixels to whole greys moves a frequency: the standard deviation."""
    return float(2 * side * _SAMPLES / np.sqrt(12))
