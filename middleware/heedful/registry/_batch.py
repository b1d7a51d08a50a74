"""Many URLs at once, taken apart: in columns if that can be, else one by one."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from heedful.registry._plain import plain_key
from heedful.registry.entries import address

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import ModuleType

    from heedful.registry._columns import Columns


class Row(NamedTuple):
    """A URL.

    Attributes:
        place: where it stood.
        key: that of an entry of the kind `url`.
        name: of the host, with its port, if any.
    """

    place: int
    key: bytes
    name: str


class Urls(NamedTuple):
    """URLs, taken apart.

    Attributes:
        size: how many there are.
        columns: most of them, if they came in a column.
        rows: the others.
        unparsed: what is no URL of http(s), or None, by its place.
    """

    size: int
    columns: Columns | None
    rows: Sequence[Row]
    unparsed: Mapping[int, str | None]


def take_apart(urls: Any) -> Urls:
    """Take URLs apart, for as many registries as are asked.

    Args:
        urls: as for `Registry.lookup_batch`.
    """
    if isinstance(urls, Urls):
        return urls
    bulk = _bulk()
    column = None if bulk is None else bulk.column(urls)
    if bulk is None or column is None:
        texts = _texts(urls)
        return Urls(len(texts), None, *_one_by_one(enumerate(texts), plain=True))
    columns, places, octets = bulk.plain(column)
    others = zip(places, map(_text, octets), strict=True)
    return Urls(len(column), columns, *_one_by_one(others, plain=False))


@cache
def _bulk() -> ModuleType | None:
    """What takes columns apart, if the extra `bulk` is installed."""
    try:
        from heedful.registry import _columns  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    return _columns


def _texts(urls: Any) -> Sequence[str | None]:
    if hasattr(urls, "to_pylist"):  # of pyarrow
        return [_text(octets) for octets in urls.cast("binary").to_pylist()]
    texts: Sequence[str | None] = urls.to_list() if hasattr(urls, "to_list") else urls
    return texts


def _text(octets: bytes | None) -> str | None:
    return None if octets is None else octets.decode("utf-8", "surrogateescape")


def _one_by_one(
    urls: Iterable[tuple[int, str | None]], *, plain: bool
) -> tuple[list[Row], dict[int, str | None]]:
    """As `take_apart`, of URLs with their places.

    Args:
        urls: place and URL.
        plain: there may be some that are canonical already.
    """
    rows: list[Row] = []
    unparsed: dict[int, str | None] = {}
    for place, text in urls:
        if text is None:
            unparsed[place] = None
            continue
        key = plain_key(text) if plain else None
        if key is not None:
            rows.append(Row(place, key, key[1 : key.index(b"/")].decode()))
            continue
        at = address(text)
        if at is None:
            unparsed[place] = text
        else:
            rows.append(Row(place, at.key, at.host + at.port))
    return rows, unparsed
