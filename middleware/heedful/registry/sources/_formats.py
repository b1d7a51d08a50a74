"""Which format a file is in, told from its beginning."""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter
from enum import Enum
from typing import Any, Final

from heedful.registry.sources import _adblock, _denypath, _rows
from heedful.registry.sources._items import SourceError
from heedful.registry.sources._text import decoded

HEAD: Final = 65_536
"""Octets, decompressed, that the format is told from."""

MIXED: Final = 0.05
"""The part of the lines that may look like another format, before it is not known which is meant."""

PARQUET: Final = b"PAR1"
"""How a Parquet file begins."""


class Format(str, Enum):
    """The formats of lists."""

    __str__ = str.__str__

    ENTRIES = "entries"
    URLS = "urls"
    DOMAINS = "domains"
    HOSTS = "hosts"
    ADBLOCK = "adblock"
    DENYPATH = "denypath"
    COLUMNS = "columns"
    SPAWNING = "spawning"
    IMAGES = "images"


_FORCE: Final = "give it with --format"

_NAME: Final = re.compile(r"(?:\*?\.)?(?:[\w\-]+\.)+[\w\-]+\.?/?")
_SCHEMELESS: Final = re.compile(r"[\w.\-]+\.[\w\-]+(?::[0-9]+)?/\S+")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://\S")
_DIGEST: Final = re.compile(r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{16}(?::[0-9A-Fa-f]{64})?")


def recognise(head: bytes, *, whole: bool) -> Format:
    """The format of a text.

    Args:
        head: its first `HEAD` octets.
        whole: these are all of it, so that the last line is complete.

    Raises:
        SourceError: it could be several, or none.
    """
    text = "".join(decoded([head]))
    lines = text.split("\n")
    if not whole and len(lines) > 1:
        lines.pop()
    lines = [line for line in map(str.strip, lines) if line]
    if not lines:
        raise SourceError(f"it is empty: nothing tells its format; {_FORCE}")
    if lines[0].lower().startswith("[adblock"):
        return Format.ADBLOCK
    if lines[0][0] in "{[":
        return _json_format(lines[0], text)
    if any(line.lower().startswith("denypath") and _denypath.LINE.match(line) for line in lines):
        return Format.DENYPATH
    table = _rows.header(lines[0])
    if table is not None:
        return table_format(table[1])
    return _lines_format(lines)


def table_format(names: list[str]) -> Format:
    """The format of a table with columns of these names (in lower case)."""
    return Format.ENTRIES if set(names).issuperset(_rows.GENERAL) else Format.COLUMNS


def is_json(head: bytes) -> bool:
    """Whether a table is one of JSON Lines."""
    return "".join(decoded([head])).lstrip()[:1] == "{"


def _json_format(line: str, text: str) -> Format:
    try:
        data: Any = json.loads(line)
    except (ValueError, RecursionError):  # cut off, or over many lines
        if re.search(r'"(?:optOut|optIn)"', text):
            return Format.SPAWNING
        data = None
    keys = {key.strip().lower() for key in data} if isinstance(data, dict) else set()
    if keys & {"urls", "optout", "optin"}:
        return Format.SPAWNING
    if isinstance(data, list) and all(isinstance(item, dict) and "url" in item for item in data):
        return Format.SPAWNING
    if keys.issuperset(_rows.GENERAL) or keys & {*_rows.PICTURES, *_rows.SITES}:
        return table_format(list(keys))
    raise SourceError(
        "it is JSON, but neither lines of objects with kind and entry, or with a url, nor Spawning's form; "
        f"if it is one of these, {_FORCE} entries, columns or spawning"
    )


def _lines_format(lines: list[str]) -> Format:
    seen = Counter(found for line in lines if (found := _line_format(line)) is not None)
    if not seen:
        digests = any(map(_DIGEST.fullmatch, lines))
        hint = "; for bare digests give --kind sha256, md5 or phash" if digests else ""
        raise SourceError(f"its format cannot be told: {_FORCE} ({', '.join(Format)}){hint}")
    if Format.ADBLOCK in seen:  # a filter may look like anything
        return Format.ADBLOCK
    (best, count), *others = seen.most_common()
    if sum(number for _, number in others) > MIXED * (count + sum(number for _, number in others)):
        named = ", ".join(f"{found} ({number} lines)" for found, number in seen.most_common())
        raise SourceError(f"its first lines look like several formats: {named}; {_FORCE}")
    return best


def _line_format(line: str) -> Format | None:
    if line[0] == "#" and not _adblock.COSMETIC.match(line):
        return None
    if line.startswith(("||", "@@", "|http", "!")) or _adblock.COSMETIC.search(line.partition("/")[0]):
        return Format.ADBLOCK
    if _denypath.LINE.fullmatch(line):
        return Format.DENYPATH
    bare = line.partition(" #")[0].rstrip()
    if _SCHEME.match(bare):
        return Format.URLS
    first, *names = bare.split()
    if names:
        return Format.HOSTS if _is_ip(first) else None
    if _NAME.fullmatch(bare):
        return Format.DOMAINS
    return Format.URLS if _SCHEMELESS.fullmatch(bare) else None


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
