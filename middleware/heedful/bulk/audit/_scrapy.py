"""What Scrapy's media pipelines leave: files named by the SHA-1 of their URL, and thumbnails of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from heedful.bulk.audit._stored import (
    PRIVATE,
    Dataset,
    Shard,
    Stored,
    Unit,
    UnreadableError,
    read_picture,
)
from heedful.bulk.audit._urls import DIGITS, REST, Urls, part_of, stem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from heedful.bulk.audit._folder import Entry, Folder
    from heedful.bulk.audit._staging import Staging

FULL: Final = "full"
THUMBS: Final = "thumbs"
FEED: Final = "images.jsonl"
"""What `heedful crawl` has of each stored picture, beside the store."""

_STORES: Final = ("", "images", "files")
"""Where the store is: the folder itself, or one in it, as `heedful crawl` has it."""

_LEDGERS: Final = ("ledger", f"{PRIVATE}/ledger")


@dataclass(frozen=True, slots=True)
class Store(Unit):
    """All stores of a dataset, with what is said of them: a feed tells of many files."""

    folder: Folder
    stores: tuple[str, ...]
    name: str = "store"

    def state(self) -> object:
        """Nothing: what was added since stays, and what was fetched anew is the same URL's."""
        return None

    def rewrite(self, removed: Mapping[str, str], staging: Staging) -> None:
        """Stage the removal of files, of all thumbnails of them, and of their lines in the feed."""
        self._rewrite_feed(removed, staging)
        for store in self.stores:
            stems = {stem(name) for name in removed if name.startswith(f"{store}/" if store else "")}
            for entry in self.folder.files(f"{store}/{THUMBS}".lstrip("/")):
                if stem(entry.name) in stems:
                    staging.remove(entry.name)
        for name in removed:
            staging.remove(name)

    def _rewrite_feed(self, removed: Mapping[str, str], staging: Staging) -> None:
        if not self.folder.there(FEED):
            return
        with self.folder.open(FEED) as old, staging.file(FEED) as new:
            for line in old:
                new.write(_without(line, self.stores, removed))


@dataclass(frozen=True, slots=True)
class Part(Shard):
    """The files of a store whose names begin with the same digit.

    Attributes:
        name: unique in the dataset.
        stores: all stores of the dataset.
        store: the store, relative to the dataset's folder.
        part: the digit, or `rest`.
        urls: the folder of ours that their URLs are in.
    """

    name: str
    stores: Store
    store: str
    part: str
    urls: str

    @property
    def unit(self) -> Unit:
        """The stores: one feed tells of many files."""
        return self.stores

    @property
    def folder(self) -> Folder:
        """The dataset's folder."""
        return self.stores.folder

    def pictures(self) -> Iterator[Stored]:
        """The pictures that lie in it; what is linked to is not followed."""
        urls = Urls.of(self.urls, self.part)
        links = 0
        try:
            for entry in self._files():
                if entry.link:
                    links += 1
                    continue
                path = entry.name[len(self.store) :].lstrip("/")
                known = dict.fromkeys((*urls.get(path, ()), *urls.get(stem(path), ())))
                data, fault = read_picture(self.folder, entry.name)
                yield Stored(entry.name, entry.name, data, tuple(known), fault=fault)
        except OSError as error:
            raise UnreadableError(str(error)) from error
        if links:
            raise UnreadableError(f"{links:,} symbolic links in it are not followed")

    def _files(self) -> Iterator[Entry]:
        """Those in `full` or, where a project has names of its own, in other folders."""
        for top in self.folder.entries(self.store):
            if not top.folder or top.base in {THUMBS, PRIVATE, *_LEDGERS}:
                continue
            if top.link:
                if self.part == REST:
                    yield top
                continue
            for entry in self.folder.files(top.name):
                if part_of(entry.base) == self.part:
                    yield entry


def _without(line: bytes, stores: Iterable[str], removed: Mapping[str, str]) -> bytes:
    """A line of the feed without pictures that are removed: as it was, changed, or empty."""
    try:
        item = json.loads(line)
        images = item["images"]
        gone = [
            each
            for each in images
            if any(f"{store}/{each['path']}".lstrip("/") in removed for store in stores)
        ]
        if not gone:
            return line
        kept = [each for each in images if each not in gone]
        urls = {each["url"] for each in gone}
        item["image_urls"] = [url for url in item.get("image_urls", ()) if url not in urls]
    except (ValueError, TypeError, LookupError, RecursionError):
        return line
    return json.dumps(item | {"images": kept}).encode() + b"\n" if kept else b""


def recognise(folder: Folder, sources: Sequence[str], work: Path) -> Dataset | None:
    """The store in a folder; None: there is none.

    Args:
        folder: the folder.
        sources: feeds and ledgers that URLs stand in; none: those that lie in the folder.
        work: a folder of ours, for what is known of its files.

    Raises:
        ConfigurationError: a feed cannot be read.
    """
    stores = [
        store for store in _STORES if any(each.folder for each in folder.entries(store) if each.base == FULL)
    ]
    if not stores:
        return None
    there = [name for name in (FEED, *_LEDGERS) if folder.there(name)]
    own = [folder.place(name) for name in there if name == FEED or any(folder.entries(name))]
    Urls(work, sources or own)
    unit = Store(folder, tuple(stores))
    return Dataset(
        folder=folder,
        words=f"a Scrapy store ({', '.join(store or FULL for store in stores)})",
        shards=tuple(
            Part(f"{store}/{part}".lstrip("/"), unit, store, part, str(work))
            for store in stores
            for part in (*DIGITS, REST)
        ),
        left_out=(),
        ledger=next((name for name in there if name in _LEDGERS), _LEDGERS[1]),
    )
