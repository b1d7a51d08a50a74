"""What img2dataset leaves: numbered shards, each with a table, pictures in one of four forms, and stats."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, ClassVar, Final

from heedful.bulk.audit import _tables, _tar
from heedful.bulk.audit._stored import (
    PICTURE_MAX,
    PICTURES,
    PRIVATE,
    TOO_LARGE,
    Dataset,
    Shard,
    Stored,
    UnchangeableError,
    Unit,
    UnreadableError,
    read_picture,
)
from heedful.bulk.audit._tables import REMOVED, Row, Table
from heedful.errors import LedgerError
from heedful.ledger import LedgerReader
from heedful.ledger.records import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from heedful.bulk.audit._folder import Entry, Folder
    from heedful.bulk.audit._staging import Staging

LEDGER: Final = f"{PRIVATE}/ledger"
"""Where heedful's own ledger of such a dataset is, unless it is elsewhere."""

REASONS: Final = "removed_reasons"
"""The key of `_stats.json` that counts removed rows by reason; `removed_opt_out` has their sum."""

_NAME: Final = re.compile(r"(\d+)(_stats\.json|\.tar|\.tfrecord|\.parquet)?")
_STATS, _TAR, _TFRECORD, _PARQUET = "_stats.json", ".tar", ".tfrecord", ".parquet"


def recognise(folder: Folder, *, unfinished: bool = False) -> Dataset | None:
    """The dataset in a folder; None: it is not img2dataset's.

    Args:
        folder: the folder.
        unfinished: take in shards without `_stats.json`, which else somebody may be writing.

    Raises:
        ConfigurationError: what reads its tables is not installed.
    """
    found: dict[str, dict[str, Entry]] = defaultdict(dict)
    for entry in folder.entries():
        if match := _NAME.fullmatch(entry.base):
            kind = match[2] or ""
            if entry.folder == (kind == ""):
                found[match[1]][kind] = entry
    if not found:
        return None
    _tables.arrow()
    shards, left_out = [], []
    for name, parts in sorted(found.items()):
        if _STATS not in parts and not unfinished:
            left_out.append(name)
        elif form := _form(parts):
            shards.append(form(folder, name))
    forms = Counter(shard.form for shard in shards)
    words = ", ".join(f"{count:,} {form}" for form, count in forms.most_common()) or "nothing stored"
    return Dataset(
        folder=folder,
        words=f"img2dataset output ({words})",
        shards=tuple(shards),
        left_out=tuple(left_out),
        ledger=LEDGER,
    )


def _form(parts: Mapping[str, Entry]) -> type[_Numbered] | None:
    if _TAR in parts:
        return WebDataset
    if "" in parts:
        return Files
    if _TFRECORD in parts:
        return TfRecord
    return Parquet if _PARQUET in parts else None  # the dummy form leaves stats alone


@dataclass(frozen=True, slots=True)
class _Numbered(Shard, Unit):
    """A shard of any form."""

    folder: Folder
    name: str
    form: ClassVar[str]

    @property
    def unit(self) -> Unit:
        """Itself."""
        return self

    @property
    def table(self) -> str:
        """The file of its table."""
        return self.name + _PARQUET

    @property
    def stats(self) -> str:
        """The file of its stats."""
        return self.name + _STATS

    def state(self) -> object:
        """What changes when a file of it does."""
        files = (self.table, self.stats, self.name + _TAR, self.name)
        return [self.folder.state(name) for name in files]

    def stored(
        self,
        key: str,
        place: str,
        row: Row | None,
        hops: Mapping[str, str],
        data: bytes | None,
        fault: str | None = None,
    ) -> Stored:
        """A picture, with all that is known of it."""
        if row is None:
            return Stored(key, place, data, fault=fault)
        urls = () if row.url is None else tuple(dict.fromkeys((row.url, hops.get(row.url, row.url))))
        return Stored(key, place, data, urls, row.sha256, row.md5, fault)

    def hops(self) -> dict[str, str]:
        """Where redirects of pictures led to, by their URLs: as far as our own ledger is there."""
        try:
            dataset = self.folder.read(f"{PRIVATE}/dataset").decode()
            reader = LedgerReader(self.folder.place(f"{LEDGER}/{dataset}-shard-{int(self.name):05d}{SUFFIX}"))
            return redirects(line for _, lines in reader.lines() for line in lines)
        except (OSError, ValueError, LedgerError):
            return {}

    def rewrite(self, removed: Mapping[str, str], staging: Staging) -> None:
        """Stage the table, which so never names a picture that is gone, then the pictures, then the stats."""
        if self.folder.there(self.table):
            rows = {key.rpartition("/")[2]: reason for key, reason in removed.items()}
            with self.folder.open(self.table) as old, staging.file(self.table) as new:
                Table(old).empty_rows(rows, new)
        self.rewrite_pictures(removed, staging)
        if self.folder.there(self.stats):
            stats = _stats_without(self.folder.read(self.stats), removed)
            with staging.file(self.stats) as new:
                new.write(stats)

    def rewrite_pictures(self, removed: Mapping[str, str], staging: Staging) -> None:
        """Stage what lies beside the table."""


def redirects(lines: Iterable[bytes]) -> dict[str, str]:
    """Where redirects led to, in the lines of a ledger."""
    found = {}
    for line in lines:
        if b'"hop_of"' in line:
            record = json.loads(line)
            if record["action"] == "store":
                found[record["hop_of"]] = record["url"]
    return found


def _stats_without(data: bytes, removed: Mapping[str, str]) -> bytes:
    """A shard's stats when pictures are removed: they are no successes any more.

    Raises:
        UnreadableError: they are no stats.
    """
    reasons = Counter(removed.values())
    try:
        stats = json.loads(data)
        stats["successes"] -= len(removed)
        status = Counter(stats["status_dict"])
        status[_tables.SUCCESS] -= len(removed)
        status.update(reasons)
        stats["status_dict"] = {name: count for name, count in status.items() if count > 0}
        stats[REMOVED] = stats.get(REMOVED, 0) + len(removed)
        stats[REASONS] = dict(Counter(stats.get(REASONS, {})) + reasons)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise UnreadableError(f"its stats cannot be read: {error}") from error
    return json.dumps(stats, indent=4).encode()


class WebDataset(_Numbered):
    """Pictures in a tar file, each with its caption and what is known of it."""

    __slots__ = ()
    form = "webdataset"

    def pictures(self) -> Iterator[Stored]:
        """The pictures that lie in it."""
        rows, hops, name = _tables.read(self.folder, self.table) or {}, self.hops(), self.name + _TAR
        try:
            with self.folder.open(name) as file:
                for key, group in groupby(_tar.members(file), lambda member: member.key):
                    yield from self._sample(key, group, rows.get(key.rpartition("/")[2]), hops)
        except OSError as error:
            raise UnreadableError(f"{name} cannot be read: {error}") from error

    def _sample(
        self, key: str, group: Iterable[_tar.Member], row: Row | None, hops: Mapping[str, str]
    ) -> Iterator[Stored]:
        found: list[tuple[str, bytes | None]] = []
        for member in group:
            kind = member.kind.rpartition(".")[2].lower()
            small = member.size <= PICTURE_MAX
            if kind in PICTURES:
                found.append((member.name, member.read() if small else None))
            elif kind == "json" and row is None and small:
                row = _row_of(member.read())
        for name, data in found:
            place = f"{self.name}{_TAR}:{name}"
            yield self.stored(key, place, row, hops, data, TOO_LARGE if data is None else None)

    def rewrite_pictures(self, removed: Mapping[str, str], staging: Staging) -> None:
        """Stage the tar file."""
        name = self.name + _TAR
        with self.folder.open(name) as old, staging.file(name) as new:
            _tar.copy_without(old, new, removed)


class Files(_Numbered):
    """Pictures as files in a folder, each with its caption and what is known of it."""

    __slots__ = ()
    form = "files"

    def pictures(self) -> Iterator[Stored]:
        """The pictures that lie in it; what is linked to is not followed."""
        rows, hops = _tables.read(self.folder, self.table) or {}, self.hops()
        links = 0
        for entry in self._entries():
            key, kind = _tar.split(entry.base)
            if entry.link:
                links += 1
            elif kind.rpartition(".")[2].lower() in PICTURES and not entry.folder:
                data, fault = read_picture(self.folder, entry.name)
                row = rows.get(key) or self._described(key)
                yield self.stored(key, entry.name, row, hops, data, fault)
        if links:
            raise UnreadableError(f"{links:,} symbolic links in it are not followed")

    def _entries(self) -> list[Entry]:
        try:
            self.folder.inside(self.name)
            return sorted(self.folder.entries(self.name))
        except OSError as error:
            raise UnreadableError(str(error)) from error

    def _described(self, key: str) -> Row | None:
        """What is known of a picture by the file beside it."""
        try:
            return _row_of(self.folder.read(f"{self.name}/{key}.json"))
        except OSError:
            return None

    def rewrite_pictures(self, removed: Mapping[str, str], staging: Staging) -> None:
        """Have all files of the pictures removed, whatever they are."""
        for entry in self._entries():
            if _tar.split(entry.base)[0] in removed:
                staging.remove(entry.name)


class Parquet(_Numbered):
    """Pictures in the table itself."""

    __slots__ = ()
    form = "parquet"

    def pictures(self) -> Iterator[Stored]:
        """The pictures that lie in it."""
        hops = self.hops()
        try:
            with self.folder.open(self.table) as file:
                table = Table(file)
                if table.pictures is None:
                    if any(row.status in {None, _tables.SUCCESS} for _, row in table.rows()):
                        raise UnreadableError("the pictures of its table are not there")
                    return
                for key, row, data in table.stored():
                    yield self.stored(key, f"{self.table}:{key}", row, hops, data)
        except OSError as error:
            raise UnreadableError(f"{self.table} cannot be read: {error}") from error


class TfRecord(_Numbered):
    """Pictures in a file of TensorFlow's, which is not read: their table says what is known of them."""

    __slots__ = ()
    form = "tfrecord"

    def pictures(self) -> Iterator[Stored]:
        """The pictures, without their bytes."""
        hops = self.hops()
        for key, row in (_tables.read(self.folder, self.table) or {}).items():
            if row.status == _tables.SUCCESS:
                yield self.stored(key, f"{self.name}{_TFRECORD}:{key}", row, hops, None)
        raise UnreadableError("tfrecord files are not read: URLs and hashes in its table were looked at")

    def rewrite(self, removed: Mapping[str, str], staging: Staging) -> None:  # noqa: ARG002
        """Refuse.

        Raises:
            UnchangeableError: always.
        """
        raise UnchangeableError("pictures cannot be removed from tfrecord files.")


def _row_of(data: bytes) -> Row | None:
    """What the file beside a picture says of it; None: it is damaged."""
    try:
        known = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return Row.of(known) if isinstance(known, dict) else None
