"""Which URL a file of a Scrapy store is of: by feeds of items, and by ledgers.

Media pipelines name files by the SHA-1 of the URL, and tell items the path. Both ways lead to it; a path in a
feed is compared with the paths that are there, and never opened.
"""

from __future__ import annotations

import ast
import codecs
import csv
import hashlib
import json
import re
import sys
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import fsspec

from heedful.errors import ConfigurationError, LedgerError
from heedful.ledger import LedgerReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

try:
    from w3lib.url import safe_url_string  # as Scrapy's requests write URLs; it comes with Scrapy
except ImportError:  # pragma: no cover
    safe_url_string = str  # type: ignore[assignment]

DIGITS: Final = "0123456789abcdef"
REST: Final = "rest"
"""What is not named by a SHA-1."""

_SHA1: Final = re.compile(r"[0-9a-f]{40}")
_SEVERAL: Final = re.compile(r",(?=https?://)")


def stem(path: str) -> str:
    """The name of a file without its folder and what it ends with."""
    return path.rpartition("/")[2].partition(".")[0]


def part_of(path: str) -> str:
    """The part of a store that a file belongs to: the first digit of the SHA-1 that it is named by."""
    name = stem(path)
    return name[0] if _SHA1.fullmatch(name) else REST


class Urls:
    """URLs by file, sorted into a file of ours for each part of a store, however many there are."""

    def __init__(self, folder: Path, sources: Iterable[str]) -> None:
        """Sort.

        Args:
            folder: a folder of ours.
            sources: feeds and ledgers: paths, or URLs that fsspec understands.

        Raises:
            ConfigurationError: one cannot be read, or is none.
        """
        self._folder = folder
        files = {part: (folder / part).open("w", encoding="utf-8") for part in (*DIGITS, REST)}
        try:
            for source in sources:
                for name, urls in _named(source):
                    files[part_of(name)].write(json.dumps([name, urls]) + "\n")
        finally:
            for file in files.values():
                file.close()

    @staticmethod
    def of(folder: str, part: str) -> dict[str, tuple[str, ...]]:
        """The URLs of the files of a part, by their paths or their stems."""
        found: dict[str, dict[str, None]] = defaultdict(dict)
        with (Path(folder) / part).open(encoding="utf-8") as lines:
            for line in lines:
                name, urls = json.loads(line)
                found[name].update(dict.fromkeys(urls))
        return {name: tuple(urls) for name, urls in found.items()}


def _named(source: str) -> Iterator[tuple[str, list[str]]]:
    """Paths or stems of files, and their URLs, as far as a source has them."""
    try:
        fs, path = fsspec.core.url_to_fs(source)
        if fs.isdir(path):
            for _, lines in LedgerReader(source).lines():
                yield from _of_lines(lines)
            return
        with fs.open(path, "rb", compression="infer") as file:
            yield from _reader(path)(file)
    except (OSError, ValueError, csv.Error, ImportError, LedgerError, RecursionError) as error:
        raise ConfigurationError(f"{source}: no feed and no ledger: {error}") from error


def _reader(path: str) -> Callable[[IO[bytes]], Iterator[tuple[str, list[str]]]]:
    suffixes = Path(path).suffixes
    if ".csv" in suffixes:
        return _of_csv
    return _of_json if ".json" in suffixes else _of_lines


def _of_lines(lines: Iterable[bytes]) -> Iterator[tuple[str, list[str]]]:
    """JSON Lines, of items or of a ledger's records; a torn line is passed over."""
    for line in lines:
        try:
            item = json.loads(line)
        except ValueError:
            if line.endswith(b"\n") and line.strip():
                raise
            continue
        yield from _of_item(item)


def _of_json(file: IO[bytes]) -> Iterator[tuple[str, list[str]]]:
    for item in json.load(file):
        yield from _of_item(item)


def _of_csv(file: IO[bytes]) -> Iterator[tuple[str, list[str]]]:
    before = csv.field_size_limit(sys.maxsize)  # it is the whole program's
    try:
        lines = (line.removeprefix(codecs.BOM_UTF8).decode() for line in file)
        for item in csv.DictReader(lines):
            yield from _of_item({key: _cell(text) for key, text in item.items() if isinstance(text, str)})
    finally:
        csv.field_size_limit(before)


def _cell(text: str) -> Any:
    """A list as Scrapy writes it: URLs joined by commas, or results as Python would show them."""
    if text.startswith("[{"):
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return ast.literal_eval(text)
    return [text, *_SEVERAL.split(text)] if text.startswith(("http://", "https://")) else text


def _of_item(item: Any) -> Iterator[tuple[str, list[str]]]:
    if not isinstance(item, dict):
        raise ValueError("not an item")  # noqa: TRY004 - what a parser would raise
    if "schema" in item and "action" in item:
        if item["action"] == "store":
            first = item.get("hop_of") or item["url"]
            yield _sha1(first), list(dict.fromkeys((first, item["url"])))
        return
    for values in item.values():
        for value in values if isinstance(values, list) else ():
            if isinstance(value, dict) and isinstance(value.get("url"), str):
                url = value["url"]
                yield _sha1(url), [url]
                if isinstance(value.get("path"), str):
                    yield value["path"], [url]
            elif isinstance(value, str) and value.startswith(("http://", "https://")):
                yield _sha1(value), [value]
                if (safe := safe_url_string(value)) != value:
                    yield _sha1(safe), [safe]


def _sha1(url: str) -> str:
    return hashlib.sha1(url.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
