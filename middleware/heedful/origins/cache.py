"""Origin files on disk: one SQLite file that all processes of a machine share, and the runs after them.

What is known of each file, by URL. Snapshots: the bodies that were read, by hash, so that the evidence in a
ledger can be shown later. Who is asking for what just now, so that each file is asked for once, whatever the
number of processes. And which hosts did not answer.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import zstandard

from heedful._sqlite import DamagedError, SqliteFile, transaction, used
from heedful.model import OriginFile
from heedful.origins.exchange import FILE_MAX, TIMEOUT
from heedful.origins.freshness import CLOCK_SKEW, HEADERS_KEPT, LIFETIME_MAX, STALE_MAX, Entry

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterable
    from pathlib import Path

CACHE_MAX: Final = 2**30
"""Bytes of the file that are aimed at: some 400,000 origins with five files each."""

FILES_SHARE: Final = 0.25
"""How much of a file that is full belongs to what is known of files; above it, that is dropped, below it,
snapshots are: evidence is kept longest."""

FILE_BYTES: Final = 480
"""What is known of one file takes as much, its place in the indexes included, its body not (measured)."""

LEASE: Final = 2 * TIMEOUT + 5.0
"""Seconds for which a claim holds unless it is released: longer than any fetch takes, and no longer, as what
a killed process has claimed is out of reach until then."""

PAUSE_MIN: Final = 0.005
"""Seconds between two looks at what another process has claimed: doubled each time."""

PAUSE_MAX: Final = 0.25
"""Seconds up to which they are doubled."""

PRUNE_EVERY: Final = 64
"""Writes between two looks at the size."""

_PRUNED: Final = 2_000  # rows dropped at once
_ASKED: Final = 900  # URLs in one query; SQLite's limit on variables was 999 before 3.32

_STEM: Final = "origin-files-v1"  # v1: the form of the tables below

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS files (
    url TEXT NOT NULL PRIMARY KEY, status INTEGER, headers TEXT NOT NULL, fetched REAL,
    truncated INTEGER NOT NULL, sha256 BLOB NOT NULL, failed_status INTEGER, failed_headers TEXT NOT NULL,
    failed_at REAL, touched REAL NOT NULL, seal BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS files_by_age ON files (touched);
CREATE INDEX IF NOT EXISTS files_by_body ON files (sha256);
CREATE TABLE IF NOT EXISTS snapshots (
    sha256 BLOB NOT NULL PRIMARY KEY, seen REAL NOT NULL, body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS snapshots_by_age ON snapshots (seen, sha256);
CREATE TABLE IF NOT EXISTS claims (
    url TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, expires REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS silent (
    host TEXT NOT NULL PRIMARY KEY, until REAL NOT NULL
) WITHOUT ROWID;
"""

_SELECT: Final = """
SELECT files.*, snapshots.body FROM files LEFT JOIN snapshots USING (sha256) WHERE url IN ({})
"""
_INSERT: Final = "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SNAPSHOT: Final = """
INSERT INTO snapshots VALUES (?, ?, ?) ON CONFLICT (sha256) DO UPDATE SET seen = excluded.seen
"""
_CLAIM: Final = """
INSERT INTO claims VALUES (?, ?, ?) ON CONFLICT (url) DO UPDATE
SET owner = excluded.owner, expires = excluded.expires WHERE expires <= ? OR expires > ?
"""
_DROP_FILES: Final = """
DELETE FROM files WHERE url IN (SELECT url FROM files ORDER BY touched LIMIT ?)
"""
_DROP_SNAPSHOTS: Final = """
DELETE FROM snapshots WHERE sha256 IN (
    SELECT sha256 FROM snapshots WHERE NOT EXISTS (SELECT 1 FROM files WHERE files.sha256 = snapshots.sha256)
    ORDER BY seen LIMIT ?)
"""

_EMPTY: Final = hashlib.sha256(b"").digest()


class _Row(NamedTuple):
    """A row of `files` but its seal, in the order of the columns."""

    url: str
    status: int | None
    headers: str
    fetched: float | None
    truncated: int
    sha256: bytes
    failed_status: int | None
    failed_headers: str
    failed_at: float | None
    touched: float


class OriginCache:
    """The origin files of a machine. Safe to share between threads, and to carry over a fork.

    It can only save requests: where it cannot be used, nothing is found, nothing kept, and every claim is
    granted; a warning says so once.
    """

    def __init__(
        self,
        folder: Path,
        *,
        now: Callable[[], float],
        bytes_max: int = CACHE_MAX,
        lease: float = LEASE,
    ) -> None:
        """Open it.

        Args:
            folder: where the file is, or will be.
            now: Unix time in seconds.
            bytes_max: size of the file that is aimed at.
            lease: seconds for which a claim holds at most.
        """
        self._now = now
        self._bytes_max = bytes_max
        self._lease = lease
        self._writes = itertools.count(1)
        self._file = SqliteFile(folder, _STEM, _SCHEMA, "Origin files")
        self._compressor = zstandard.ZstdCompressor(level=3)
        self._decompressor = zstandard.ZstdDecompressor()
        self._nonce = os.urandom(8).hex()
        self._file.run(self._prune)

    def get(self, urls: Iterable[str]) -> dict[str, Entry]:
        """What is known of each of `urls`, by URL; those that nothing is known of are left out."""
        wanted = tuple(dict.fromkeys(urls))
        return self._file.run(lambda connection: self._get(connection, wanted)) or {}

    def put(self, file: OriginFile) -> Entry | None:
        """Keep `file`, whose claim, if it was ours, is released.

        A file that could not be read takes no earlier answer's place: it is kept beside it.

        Args:
            file: as it was fetched. Of its header lines, `HEADERS_KEPT` are kept; its body if it was there.

        Returns:
            What is known of it now; None if it could not be kept.

        Raises:
            ValueError: the file does not say when it was fetched.
        """
        if file.fetched is None:
            raise ValueError(f"{file.url} does not say when it was fetched")
        kept, owner = _slim(file), self._owner()
        entry = self._file.run(lambda connection: self._put(connection, kept, owner))
        if next(self._writes) % PRUNE_EVERY == 0:
            self._file.run(self._prune)
        return entry

    def claim(self, url: str) -> bool:
        """Whether it is for the caller to ask for `url`: nobody else does, or not any longer.

        Look again with `get` when it is: another may just have finished. A claim ends with `put` or
        `release`, or by itself.
        """
        return bool(self.claim_all((url,)))

    def claim_all(self, urls: Collection[str]) -> set[str]:
        """Those of `urls` that it is for the caller to ask for, as `claim` has it, at the price of one."""
        owner = self._owner()
        claimed = self._file.run(lambda connection: self._claim(connection, urls, owner))
        return set(urls) if claimed is None else claimed

    def release(self, url: str) -> None:
        """Give up a claim without a result."""
        values = (url, self._owner())
        self._file.run(lambda connection: connection.execute(_RELEASE, values).rowcount)

    def silent(self, host: str) -> bool:
        """Whether `host` has lately been waited for in vain, by whatever process."""
        now = self._now()
        row = self._file.run(lambda connection: connection.execute(_SILENT, (host,)).fetchone())
        return row is not None and now < row[0] <= now + LIFETIME_MAX

    def silence(self, host: str, until: float) -> None:
        """Note that `host` is not to be asked before `until`, Unix time in seconds."""
        self._file.run(lambda connection: connection.execute(_SILENCE, (host, until)).rowcount)

    def snapshot(self, sha256: str) -> bytes | None:
        """The body of an origin file that was read once, by its hash, which evidence carries.

        Args:
            sha256: in hexadecimal digits.

        Raises:
            ValueError: not such a hash.
        """
        digest = bytes.fromhex(sha256)
        if digest == _EMPTY:
            return b""

        def read(connection: sqlite3.Connection) -> bytes | None:
            row = connection.execute("SELECT body FROM snapshots WHERE sha256 = ?", (digest,)).fetchone()
            if row is None:
                return None
            body = self._decompressed(row[0])
            if hashlib.sha256(body).digest() != digest:
                raise DamagedError("a snapshot does not fit its hash")
            return body

        return self._file.run(read)

    def close(self) -> None:
        """Close the file; what comes later is neither found nor kept."""
        self._file.close()

    def _owner(self) -> str:
        return f"{self._nonce}-{os.getpid()}"  # a forked child is another

    # -- one thread at a time ------------------------------------------------------------------------------

    def _get(self, connection: sqlite3.Connection, urls: tuple[str, ...]) -> dict[str, Entry]:
        found = {}
        for start in range(0, len(urls), _ASKED):
            some = urls[start : start + _ASKED]
            for *values, seal, body in connection.execute(_SELECT.format(",".join("?" * len(some))), some):
                if seal != _seal(values):
                    raise DamagedError("a checksum does not fit")
                row = _Row(*values)
                found[row.url] = self._entry(row, body)
        return found

    def _entry(self, row: _Row, body: bytes | None) -> Entry:
        answer = failure = None
        if row.status is not None:
            content = b"" if row.sha256 == _EMPTY else self._decompressed(body)
            headers = _headers(row.headers)
            answer = OriginFile(row.url, row.status, headers, content, row.fetched, bool(row.truncated))
            if answer.sha256 != row.sha256.hex():
                raise DamagedError("a snapshot does not fit its hash")
        if row.failed_status is not None:
            failure = OriginFile(
                row.url, row.failed_status, _headers(row.failed_headers), fetched=row.failed_at
            )
        return Entry(answer, failure)

    def _put(self, connection: sqlite3.Connection, file: OriginFile, owner: str) -> Entry:
        with transaction(connection):
            entry = Entry()
            if file.unreachable:
                entry = self._get(connection, (file.url,)).get(file.url, entry)
            entry = entry.after(file)
            row = _row(entry, file)
            if file is entry.answer and file.body:
                packed = self._compressor.compress(file.body)
                connection.execute(_SNAPSHOT, (row.sha256, file.fetched, packed))
            connection.execute(_INSERT, (*row, _seal(row)))
            connection.execute(_RELEASE, (file.url, owner))
        return entry

    def _claim(self, connection: sqlite3.Connection, urls: Collection[str], owner: str) -> set[str]:
        with transaction(connection):
            now = self._now()  # not before: others claim while this one waits to write
            end = now + self._lease
            # What ends later than a claim could comes from before the clock was set back.
            rest = owner, end, now, end + CLOCK_SKEW
            return {url for url in urls if connection.execute(_CLAIM, (url, *rest)).rowcount > 0}

    def _decompressed(self, packed: bytes | None) -> bytes:
        if not isinstance(packed, bytes):
            raise DamagedError("a snapshot is missing")
        try:
            return self._decompressor.decompress(packed, max_output_size=FILE_MAX)
        except zstandard.ZstdError as error:
            raise DamagedError("a snapshot cannot be unpacked") from error

    def _prune(self, connection: sqlite3.Connection) -> None:
        """Drop what no rule could use any more; then, while the file is too large, what is oldest.

        A snapshot outlives what is known of its file; it is dropped once it belongs to none, and all others
        of that kind were read later.
        """
        now = self._now()
        with transaction(connection):
            connection.execute("DELETE FROM files WHERE touched <= ?", (now - STALE_MAX,))
            connection.execute("DELETE FROM claims WHERE expires <= ?", (now,))
            connection.execute("DELETE FROM silent WHERE until <= ?", (now,))
        dropped = 1
        while dropped > 0 and used(connection) > self._bytes_max:
            (files,) = connection.execute("SELECT count(*) FROM files").fetchone()
            first, second = _DROP_FILES, _DROP_SNAPSHOTS
            if files * FILE_BYTES < FILES_SHARE * self._bytes_max:
                first, second = second, first
            with transaction(connection):
                dropped = (
                    connection.execute(first, (_PRUNED,)).rowcount
                    or connection.execute(second, (_PRUNED,)).rowcount
                )


_RELEASE: Final = "DELETE FROM claims WHERE url = ? AND owner = ?"
_SILENT: Final = "SELECT until FROM silent WHERE host = ?"
_SILENCE: Final = "INSERT OR REPLACE INTO silent VALUES (?, ?)"


def _row(entry: Entry, file: OriginFile) -> _Row:
    answer, failure = entry
    return _Row(
        file.url,
        None if answer is None else answer.status,
        "" if answer is None else json.dumps(answer.headers),
        None if answer is None else answer.fetched,
        int(answer is not None and answer.truncated),
        _EMPTY if answer is None else bytes.fromhex(answer.sha256),
        None if failure is None else failure.status,
        "" if failure is None else json.dumps(failure.headers),
        None if failure is None else failure.fetched,
        file.fetched or 0.0,
    )


def _slim(file: OriginFile) -> OriginFile:
    """`file` without what no rule reads."""
    headers = tuple([line for line in file.headers if line[0].lower() in HEADERS_KEPT])
    body = file.body[:FILE_MAX] if file.readable else b""
    truncated = file.truncated or len(file.body) > FILE_MAX
    return OriginFile(file.url, file.status, headers, body, file.fetched, truncated)


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    return tuple([(name, value) for name, value in json.loads(text)])


def _seal(values: Iterable[Any]) -> bytes:
    return hashlib.blake2b(repr(tuple(values)).encode("utf-8", "surrogatepass"), digest_size=8).digest()
