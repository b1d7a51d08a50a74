"""URLs as image datasets have them: many hosts of which few are large, long paths, some spelt oddly."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK: Final = 1_000_000
"""URLs of one chunk; each is made from its own number alone, so that chunks can be made apart."""

_WORDS: Final = (
    "red", "blue", "vintage", "wood", "table", "lamp", "portrait", "sunset", "beach", "dog", "cat",
    "kitchen", "modern", "wedding", "dress", "flower", "rose", "mountain", "car", "classic",
    "interior", "design", "home", "garden", "painting", "abstract", "watercolor", "print", "poster",
    "art", "canvas", "photo", "stock", "vector", "logo", "icon", "shirt", "shoes", "bag", "leather",
    "gold", "silver", "ring", "city", "street", "night", "sky", "winter", "snow",
)  # fmt: skip
_ENDS: Final = ("com",) * 12 + (
    "net",
    "org",
    "de",
    "co.uk",
    "fr",
    "it",
    "nl",
    "jp",
    "com.au",
    "io",
    "example",
)
_PREFIXES: Final = ("www.",) * 4 + ("",) * 3 + ("cdn.", "images.", "static3.", "img.media.")


class Population:
    """Listed URLs and others, on the same hosts.

    Attributes:
        hosts: how many hosts there are.
    """

    def __init__(self, hosts: int) -> None:
        self.hosts = hosts

    def host(self, number: int) -> str:
        """The host of that number; those of small numbers have more URLs."""
        a, b = _WORDS[number % 47], _WORDS[number // 47 % 47]
        return f"{_PREFIXES[number % 11]}{a}{b}{number}.{_ENDS[number % 23]}"

    def urls(self, chunk: int, count: int = CHUNK, *, listed: bool = True) -> list[str]:
        """A chunk of URLs; none of a listed chunk is in one that is not."""
        rng = np.random.default_rng((chunk, listed))
        # Zipf's law with exponent 1, cut off at the number of hosts
        ranks = np.minimum(np.exp(rng.random(count) * np.log(self.hosts)).astype(np.int64), self.hosts) - 1
        forms = rng.integers(0, 100, count).tolist()
        numbers = rng.integers(0, 2**62, count).tolist()
        words = rng.integers(0, len(_WORDS), (3, count)).tolist()
        mark = "" if listed else "x"
        known: dict[int, str] = {}
        made = []
        for rank, form, number, a, b, c in zip(ranks.tolist(), forms, numbers, *words, strict=True):
            host = known.get(rank) or known.setdefault(rank, self.host(rank))
            made.append(_url(host, form, f"{mark}{number:x}", (_WORDS[a], _WORDS[b], _WORDS[c])))
        return made

    def rules(self, count: int) -> Iterator[tuple[str, str]]:
        """Kinds and texts of entries about hosts, domains, paths and patterns, each of another host."""
        chosen = random.Random(1)
        for number in range(count):
            host = self.host(self.hosts - 1 - number)
            kind = chosen.choice(("host", "domain", "path", "path", "pattern"))
            yield kind, host + {"path": "/art/", "pattern": "/*/large/*.png$"}.get(kind, "")


def _url(host: str, form: int, unique: str, words: tuple[str, str, str]) -> str:
    a, b, c = words
    scheme = "https" if form % 5 else "http"
    if form < 38:
        month = f"20{form % 16 + 10}/{form % 12 + 1:02d}"
        return f"{scheme}://{host}/wp-content/uploads/{month}/{a}-{b}-{c}-{unique}-300x225.jpg"
    if form < 55:
        return f"{scheme}://{host}/images/{a}/{unique}.jpg"
    if form < 70:
        return f"{scheme}://{host}/media/catalog/product/cache/1/image/{unique}/{a}_{b}.jpg"
    if form < 80:
        return f"{scheme}://{host}/image.php?id={unique}&w=300&src={a}+{b}"
    if form < 90:
        return f"{scheme}://{host}/{a}-{b}-{c}-{unique}.png?resize=640%2C480&ssl=1"
    if form < 95:
        return f"{scheme}://{host}/images/{a}%20{b}%20{unique}.jpg"
    if form < 97:
        return f"{scheme}://{host.upper()}/Images/../Gallery/{a}%2d{unique}.JPG#top"
    if form < 98:
        return f"{scheme}://{host}/bücher/{a}_{unique}.jpg"
    if form < 99:
        return f"{scheme}://{host}:8080/thumb//{a}/{unique}.gif"
    return f"{scheme}://{host}/{a}/{b}/{c}/{a}/{b}/{c}/{unique}/{unique}.jpg?" + "&".join(
        f"p{n}={unique}" for n in range(6)
    )
