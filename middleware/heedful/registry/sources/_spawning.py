"""Answers of Spawning's API, as files: `{"urls": [{"url": ..., "optOut": ..., "optIn": ...}, ...]}`.

One such object in the file, or one in each line, or in each line an item alone.
"""

from __future__ import annotations

import json
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from heedful.registry.entries import Entry, Kind
from heedful.registry.sources._items import (
    Bulk,
    Defaults,
    Reject,
    Urls,
    checked,
    plain_url,
    reject,
    shown,
)
from heedful.registry.sources._lines import NO_URL, is_url
from heedful.registry.sources._text import batches, decoded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DOCUMENT_MAX: Final = 268_435_456
"""Longest JSON object, in characters: a million URLs and more, where the API answers 10,000."""


def read(chunks: Iterable[bytes], defaults: Defaults) -> Iterator[Entry | Reject | Urls]:
    """What is said of each URL: both opted out and in is out; neither is no statement, and no entry."""
    bulk = Bulk()
    for number, text in _documents(batches(decoded(chunks), DOCUMENT_MAX)):
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            yield reject(number, text.strip(), "it is not valid JSON")
            continue
        items = data.get("urls") if isinstance(data, dict) and "urls" in data else data
        if isinstance(items, list):
            for position, item in enumerate(items, 1):
                yield from _item(item, number, f"item {position}: ", defaults, bulk)
        else:
            yield from _item(items, number, "", defaults, bulk)
    yield from bulk.flush()


def _documents(found: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, str]]:
    """The lines but the blank ones; if the first is not JSON and all of them together are, these."""
    numbered = (
        (number, line) for first, batch in found for number, line in enumerate(batch, first) if line.strip()
    )
    begun = list(islice(numbered, 1))
    if begun and not _is_json(begun[0][1]):
        size = 0
        for number, line in numbered:
            begun.append((number, line))
            size += len(line)
            if size > DOCUMENT_MAX:
                break
        else:
            whole = "\n".join(line for _, line in begun)
            if _is_json(whole):
                begun = [(begun[0][0], whole)]
    return chain(begun, numbered)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _item(
    item: Any, line: int, where: str, defaults: Defaults, bulk: Bulk
) -> Iterator[Entry | Reject | Urls]:
    if not isinstance(item, dict) or not isinstance(item.get("url"), str):
        yield reject(line, shown(item), f"{where}it is no object with a url")
        return
    text = item["url"].strip()
    opted_out, opted_in = item.get("optOut"), item.get("optIn")
    if {type(opted_out), type(opted_in)} - {bool, type(None)} or opted_out is opted_in is None:
        yield reject(line, text, f"{where}its optOut and optIn are not true or false")
        return
    if not opted_out and not opted_in:
        return
    terms = defaults.terms._replace(opt_in=not opted_out)
    if plain_url(text):
        if bulk.add(text, terms):
            yield from bulk.flush()
        return
    found = checked(terms, Kind.URL, text, line) if is_url(text) else reject(line, text, NO_URL)
    yield found._replace(why=where + found.why) if isinstance(found, Reject) else found
