"""What is sent to a remote registry and what its answer means; pure: bytes in, values out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from heedful.model import RAW_MAX
from heedful.registry.entries import address, url_key
from heedful.registry.remote._config import SPAWNING
from heedful.signals._paths import split_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from heedful.registry.remote._config import RemoteConfig

REQUEST_MAX: Final = 2**20
"""Longest list of URLs in one request, in characters: a megabyte, the default limit of common servers."""

PADDING: Final = ("https://example.com/", "https://example.net/")
"""What is asked beside a lone URL: names that are reserved (RFC 2606, section 3), so they are nobody's."""


class Question(NamedTuple):
    """A URL as it is asked for.

    Attributes:
        key: its canonical key, under which registries hold it.
        text: what is sent: one line, without fragment and without a user's name and password.
    """

    key: bytes
    text: str


_AS_WRITTEN: Final = re.compile(r"https?://[^\s@/?#\\]+(?:[/?][^\s#]*)?", re.IGNORECASE)


def question(url: str) -> Question | None:
    """How `url` is asked for: as it is written, where that can be; None: it is no http(s) URL."""
    found = address(url)
    if found is None:
        return None
    text = url.partition("#")[0]
    if not (_AS_WRITTEN.fullmatch(text) and text.isprintable()):
        origin, target = split_url(url) or ("", "")
        text = origin + target
    return Question(found.key, text)


def batches(questions: Iterable[Question], most: int) -> Iterator[list[Question]]:
    """The questions in lists of at most `most`, and of at most `REQUEST_MAX` characters."""
    batch: list[Question] = []
    length = 0
    for each in questions:
        if batch and (len(batch) == most or length + len(each.text) > REQUEST_MAX):
            yield batch
            batch, length = [], 0
        batch.append(each)
        length += len(each.text) + 1
    if batch:
        yield batch


@dataclass(frozen=True, slots=True)
class Layout:
    """Where in an answer things are: each a path of names; `opt_in` is None where it is not said."""

    items: tuple[str, ...]
    url: tuple[str, ...]
    opt_out: tuple[str, ...]
    opt_in: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Spawning:
    """Spawning's API, version 2, as its clients use it.

    URLs as lines of plain text, at least two; the answer is `{"urls": [{"url", "optOut", "optIn"}]}`.
    """

    layout: Layout = Layout(("urls",), ("url",), ("optOut",), ("optIn",))

    def headers(self, key: str | None) -> dict[str, str]:
        """The header lines that go with `encode`."""
        return {"Content-Type": "text/plain", "Authorization": f"API {key}"}

    def encode(self, urls: Sequence[str]) -> bytes:
        """The body that asks for `urls`."""
        if len(urls) == 1:
            lone = url_key(urls[0])
            urls = [*urls, next(each for each in PADDING if url_key(each) != lone)]
        return "\n".join(urls).encode()


@dataclass(frozen=True, slots=True)
class Json:
    """URLs as `{"urls": [...]}`; the key, if there is one, as a bearer token (RFC 6750, section 2.1)."""

    layout: Layout

    def headers(self, key: str | None) -> dict[str, str]:
        """The header lines that go with `encode`."""
        content = {"Content-Type": "application/json"}
        return content if key is None else {**content, "Authorization": f"Bearer {key}"}

    def encode(self, urls: Sequence[str]) -> bytes:
        """The body that asks for `urls`."""
        return json.dumps({"urls": list(urls)}).encode()


def protocol_of(config: RemoteConfig) -> Spawning | Json:
    """The protocol that a registry speaks."""
    if config.protocol == SPAWNING:
        return Spawning()
    return Json(
        Layout(
            tuple(filter(None, config.items.split("."))),
            tuple(config.url_field.split(".")),
            tuple(config.opt_out_field.split(".")),
            None if config.opt_in_field is None else tuple(config.opt_in_field.split(".")),
        )
    )


class Item(NamedTuple):
    """One item of an answer.

    Attributes:
        url: the URL that it is about, as the registry writes it.
        opt_out: what it says; None: it is neither true nor false, so nothing is known.
        opt_in: it says true.
        raw: the item as JSON, cut at `RAW_MAX` characters; empty where it says neither.
    """

    url: str
    opt_out: bool | None
    opt_in: bool
    raw: str


def decode(layout: Layout, body: bytes) -> list[Item]:
    """The items of an answer; its content type does not matter, its form does.

    Raises:
        ValueError: it is not JSON, or has no list of items where `layout` says; the message says so.
    """
    try:
        data = json.loads(body.decode("utf-8-sig"), object_pairs_hook=_unambiguous)
    except _AmbiguousError:
        raise
    except (ValueError, RecursionError) as error:
        raise ValueError("not valid JSON") from error
    items = _at(data, layout.items)
    if not isinstance(items, list):
        raise ValueError("without a list of items")  # noqa: TRY004 - their content, not our types
    return [found for item in items if (found := _item(layout, item)) is not None]


class _AmbiguousError(ValueError):
    """An object has the same name twice: readers do not agree on which one counts (RFC 8259, section 4)."""


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _AmbiguousError("with a name twice in one object")
    return found


def _at(data: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return data


def _item(layout: Layout, item: object) -> Item | None:
    """An item that does not say what it is about is passed over: its URL stays unanswered."""
    url = _at(item, layout.url)
    if not isinstance(url, str):
        return None
    opt_out = _at(item, layout.opt_out)
    opt_in = layout.opt_in is not None and _at(item, layout.opt_in) is True
    known = isinstance(opt_out, bool)
    raw = json.dumps(item)[:RAW_MAX] if opt_out is True or opt_in else ""
    return Item(url, opt_out if known else None, opt_in, raw)


class Said(NamedTuple):
    """What all items about one URL say together."""

    opt_out: bool
    opt_in: bool
    raw: str


def match(questions: Sequence[Question], items: Sequence[Item]) -> dict[str, Said]:
    """What is said of each question, by its text; what is missing was not answered.

    An item is about the question whose text is its `url`, else about all those whose key is that of its
    `url`; where it stands does not matter. Where several are about one question, any opt-out counts, any
    doubt leaves it unanswered, and only if all opt in is it an opt-in.
    """
    texts = {each.text for each in questions}
    by_key: dict[bytes, list[str]] = {}
    for each in questions:
        by_key.setdefault(each.key, []).append(each.text)
    about: dict[str, list[Item]] = {}
    for item in items:
        for text in [item.url] if item.url in texts else by_key.get(url_key(item.url), []):
            about.setdefault(text, []).append(item)
    said: dict[str, Said] = {}
    for text, group in about.items():
        denies = next((item for item in group if item.opt_out), None)
        if denies is not None:
            said[text] = Said(opt_out=True, opt_in=False, raw=denies.raw)
        elif all(item.opt_out is False for item in group):
            opt_in = all(item.opt_in for item in group)
            said[text] = Said(opt_out=False, opt_in=opt_in, raw=group[0].raw if opt_in else "")
    return said


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110, section 10.2.3): seconds, or a date.

    Args:
        value: the header's value, None if there is none.
        now: Unix time in seconds.

    Returns:
        At least 0; None: it says nothing that can be understood.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:10])
    try:
        date = parsedate_to_datetime(value)
        if date.tzinfo is None:  # "-0000"
            date = date.replace(tzinfo=timezone.utc)
        return max(0.0, date.timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
