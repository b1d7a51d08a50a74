"""Columns of URLs: those are taken apart in bulk that are canonical already, as most of a list are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from polars_hash import NonCryptographicHashingNameSpace as Hashing

from heedful.registry import _segment
from heedful.registry._plain import DOTS, PLAIN, PUNYCODE
from heedful.signals._paths import URL_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    import numpy.typing as npt

    Marks = npt.NDArray[np.bool_]
    Numbers = npt.NDArray[np.uint64]

_TEXT: Final = pl.col("text")
_KEY: Final = pl.col("key")
_HOST: Final = pl.col("host")
_IS_PLAIN: Final = (
    _TEXT.str.contains(PLAIN)
    & ~_TEXT.str.contains(f"{re.escape(DOTS)}|{PUNYCODE}")
    & (_TEXT.str.len_bytes() <= URL_MAX)
).fill_null(value=False)


def _hash(key: pl.Expr) -> pl.Expr:
    """As `hash_keys` does, but for `HASH_MASK`."""
    return Hashing(key).xxh3_64().alias("hash")


_APART: Final = (
    _KEY,
    _hash(_KEY),
    _KEY.str.slice(1, _KEY.str.find("/", literal=True) - 1).alias("host"),
)
_NAMED: Final = (
    _HOST,
    _hash("H" + _HOST),
    _HOST.str.slice(_HOST.str.find(".", literal=True) + 1).alias("domain"),  # null: there is none
)


class Columns(NamedTuple):
    """Plain URLs; a row is one of these.

    Attributes:
        places: where they stood.
        keys: of entries of the kind `url`, as text.
        hashes: of the keys.
        hosts: none is an IP address, or has a port, or more than `NAMES_MAX` names.
    """

    places: npt.NDArray[np.int64]
    keys: pl.Series
    hashes: Numbers
    hosts: pl.Series

    def filed(self, held: Callable[[Numbers], Marks]) -> tuple[list[str], set[str]]:
        """The hosts on which something may be filed, and the names under which: theirs, or of their domains.

        Args:
            held: whether there may be something under the keys with these hashes.
        """
        names: set[str] = set()
        return _filed(self.hosts, held, names).to_list(), names

    def on(self, hosts: Collection[str]) -> Marks:
        """Which rows are on one of the hosts."""
        if not hosts:
            return np.zeros(len(self.hosts), np.bool_)
        return self.hosts.is_in(pl.Series([*hosts], dtype=pl.String).implode()).to_numpy()

    def rows(self, marks: Marks) -> Iterator[tuple[int, bytes, str]]:
        """Places, keys and hosts."""
        chosen = pl.Series(marks)
        keys = self.keys.filter(chosen).cast(pl.Binary).to_list()
        return zip(self.places[marks].tolist(), keys, self.hosts.filter(chosen).to_list(), strict=True)


def column(urls: Any) -> pl.Series | None:
    """URLs as octets; None: they are in no column.

    Args:
        urls: a `pyarrow.Array` or `ChunkedArray` of strings, whatever their layout, or a polars `Series`.
    """
    if isinstance(urls, pl.Series):
        octets = urls.cast(pl.String).cast(pl.Binary)
    elif isinstance(urls, (pa.Array, pa.ChunkedArray)):
        # as octets: nobody has seen to it that what a file calls a string is one
        octets = pl.Series(urls.cast(pa.large_binary()))
    else:
        return None
    return pl.Series(octets.rechunk())


def plain(octets: pl.Series) -> tuple[Columns, list[int], list[bytes | None]]:
    """Take those apart that are plain; the places of the others, and these."""
    texts = _texts(octets)
    marks = texts.to_frame("text").select(_IS_PLAIN).to_series()
    keys = texts.filter(marks).str.replace("^https?://", "u")
    apart = keys.to_frame("key").select(_APART)
    rest = ~marks
    return (
        Columns(_places(marks), apart["key"], _numbers(apart["hash"]), apart["host"]),
        _places(rest).tolist(),
        octets.filter(rest).to_list(),
    )


def _places(marks: pl.Series) -> npt.NDArray[np.int64]:
    return np.flatnonzero(marks.to_numpy())


def _texts(octets: pl.Series) -> pl.Series:
    """As text; null where it is none."""
    try:
        texts: pl.Series = octets.cast(pl.String)
    except pl.exceptions.ComputeError:
        return pl.Series([_text(each) for each in octets.to_list()], dtype=pl.String)
    return texts


def _text(octets: bytes | None) -> str | None:
    try:
        return None if octets is None else octets.decode()
    except UnicodeDecodeError:
        return None


def _numbers(hashes: pl.Series) -> Numbers:
    numbers: Numbers = hashes.to_numpy() & np.uint64(_segment.HASH_MASK)
    return numbers


def _filed(hosts: pl.Series, held: Callable[[Numbers], Marks], names: set[str]) -> pl.Series:
    """Of hosts, those on which something may be filed, each once; the names are added to `names`."""
    named = hosts.unique().to_frame("host").select(_NAMED)
    found = pl.Series(held(_numbers(named["hash"])), dtype=pl.Boolean)
    names.update(named["host"].filter(found).to_list())
    domains = named["domain"].drop_nulls()
    if len(domains):
        found |= named["domain"].is_in(_filed(domains, held, names).implode())
    filed: pl.Series = named["host"].filter(found)
    return filed
