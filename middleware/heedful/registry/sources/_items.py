"""What the formats give: entries, plain URLs in bulk, and rejects."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from heedful.errors import ConfigurationError
from heedful.fingerprint import Fingerprint
from heedful.model import RAW_MAX, Purpose
from heedful.registry.entries import TEXT_MAX, Entry, Kind, index

if TYPE_CHECKING:
    from collections.abc import Iterator

URLS_MAX: Final = 16_384
"""Most URLs that are handed on at once."""


class SourceError(ConfigurationError):
    """A source cannot be read at all, or it is not known how."""


class Terms(NamedTuple):
    """What an entry says besides what it names.

    Attributes:
        list: the name of the list.
        opt_in: the owner agrees; else the owner declines.
        date: when the wish was registered.
        purpose: the use that it is about.
        expires: the last day (UTC) on which it is in force.
    """

    list: str = ""
    opt_in: bool = False
    date: dt.date | None = None
    purpose: Purpose = Purpose.TRAIN_ANY
    expires: dt.date | None = None

    def entry(self, kind: Kind, text: str) -> Entry:
        """An entry on these terms."""
        return Entry(kind, text, self.list, self.opt_in, self.date, self.purpose, self.expires)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a source's entries say where the source does not.

    Attributes:
        terms: the terms of entries that have none of their own.
        kind: what bare lines name; None: what the format's name says.
    """

    terms: Terms
    kind: Kind | None = None


class Reject(NamedTuple):
    """Something in a source that is no entry.

    Attributes:
        line: where: the number of the line, or of the row of a Parquet file, from 1.
        text: what stands there, cut at `RAW_MAX` characters.
        why: what is wrong with it.
    """

    line: int
    text: str
    why: str


class Urls(NamedTuple):
    """Plain URLs, all on the same terms. Each begins with http:// or https:// and is an entry of kind URL."""

    texts: list[str]
    terms: Terms

    def entries(self) -> Iterator[Entry]:
        """The same, one by one."""
        return (self.terms.entry(Kind.URL, text) for text in self.texts)


PLAIN: Final = ("http://", "https://")
"""How a URL begins that needs no second look: if it does not parse, it is matched as it stands."""


def reject(line: int, text: str, why: str) -> Reject:
    """A reject, its text cut."""
    return Reject(line, text[:RAW_MAX], why)


def storable(text: str) -> bool:
    """Whether a file can hold the text, so that it is read back as it is: no lone surrogates in it."""
    if text.isascii():
        return True
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape") == text
    except UnicodeEncodeError:
        return False


def plain_url(text: str) -> bool:
    """Whether a stripped text is a URL that may go the bulk road."""
    return text.startswith(PLAIN) and len(text) <= TEXT_MAX and storable(text)


def checked(terms: Terms, kind: Kind, text: str, line: int, raw: str | None = None) -> Entry | Reject:
    """An entry, if what it names can be filed.

    Args:
        terms: what it says.
        kind: what it names.
        text: the entry, stripped.
        line: its place.
        raw: the line that it was made from, for the reject; None: `text`.
    """
    try:
        if kind is Kind.PHASH:
            text = fingerprint_text(text)
        index(kind, text)
    except ValueError as error:
        return reject(line, text if raw is None else raw, str(error))
    if not storable(text):
        return reject(line, text if raw is None else raw, "it holds half a character (a lone surrogate)")
    return terms.entry(kind, text)


_HEX_SIGN: Final = re.compile(r"0[xX](?=[0-9A-Fa-f])")


def fingerprint_text(text: str) -> str:
    """A fingerprint as it is kept, from one as tools write it: in capitals, with `0x` before it.

    Raises:
        ValueError: it is none.
    """
    value, _, words = text.partition(" ")
    halves = (_HEX_SIGN.sub("", half, count=1) if half[:1] == "0" else half for half in value.split(":"))
    return f"{Fingerprint.parse(':'.join(halves))} {words.strip()}".rstrip()


class Bulk:
    """Gathers plain URLs on equal terms."""

    def __init__(self) -> None:
        self._groups: dict[Terms, list[str]] = {}
        self._count = 0

    def add(self, text: str, terms: Terms) -> bool:
        """Take a URL; True: it is time to flush."""
        self._groups.setdefault(terms, []).append(text)
        self._count += 1
        return self._count >= URLS_MAX

    def flush(self) -> Iterator[Urls]:
        """All that was gathered."""
        groups, self._groups, self._count = self._groups, {}, 0
        return (Urls(texts, terms) for terms, texts in groups.items())


# -- cells -----------------------------------------------------------------------------------------------

SHOWN_MAX: Final = 60
"""Longest cell in a message, in characters."""

_BOOLEANS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def boolean(cell: Any, name: str) -> bool | None:
    """A truth value; None: the cell is empty.

    Raises:
        ValueError: it is none of true, false, 1, 0, yes, no.
    """
    if cell is None:
        return None
    if isinstance(cell, (bool, int, float)) and cell in {0, 1}:
        return bool(cell)
    word = cell.strip().lower() if isinstance(cell, str) else None
    if word == "":
        return None
    if word not in _BOOLEANS:
        raise ValueError(f"its {name} {shown(cell)} is none of true, false, 1, 0, yes, no")
    return _BOOLEANS[word]


def day(cell: Any, name: str) -> dt.date | None:
    """A date; None: the cell is empty.

    Raises:
        ValueError: it is not written YYYY-MM-DD.
    """
    if cell is None:
        return None
    if isinstance(cell, dt.datetime):
        return (cell if cell.tzinfo is None else cell.astimezone(dt.timezone.utc)).date()
    if isinstance(cell, dt.date):
        return cell
    text = cell.strip() if isinstance(cell, str) else None
    if text == "":
        return None
    if text is not None and text.isascii() and _DATE.fullmatch(text):
        try:
            return dt.date.fromisoformat(text)
        except ValueError:  # such as 30 February
            pass
    raise ValueError(f"its {name} {shown(cell)} is no date such as 2026-01-31")


def purpose(cell: Any) -> Purpose | None:
    """A purpose; None: the cell is empty.

    Raises:
        ValueError: there is no such purpose.
    """
    word = words(cell, "purpose").lower()
    try:
        return Purpose(word) if word else None
    except ValueError:
        known = ", ".join(each.value for each in Purpose)
        raise ValueError(f"its purpose {shown(cell)} is none of {known}") from None


def words(cell: Any, name: str) -> str:
    """A cell's text, stripped.

    Raises:
        ValueError: it is no text.
    """
    if cell is None:
        return ""
    if not isinstance(cell, str):
        raise ValueError(f"its {name} {shown(cell)} is no text")  # noqa: TRY004 - a fault of the content
    if not storable(cell):
        raise ValueError(f"its {name} holds half a character (a lone surrogate)")
    return cell.strip()


def shown(cell: Any) -> str:
    """A cell for a message."""
    if isinstance(cell, (list, dict)):  # it may be nested too deeply to be printed
        return f"({type(cell).__name__})"
    text = repr(cell)
    return text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "..."
