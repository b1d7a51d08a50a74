"""A survey on disk: Parquet files, each complete as soon as it is there."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from heedful import __version__
from heedful.errors import ConfigurationError
from heedful.ledger._export import replacing
from heedful.registry._locking import Lock
from heedful.signals.ai_tokens import token_map
from heedful.survey._classify import SIGNALS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pyarrow as pa

    from heedful.gate import Gate

PART: Final = 2_000
"""Sites of one file, unless told otherwise: what a killed survey asks again, from the cache mostly."""

VERSION: Final = 1
"""Of the form of the files; in their metadata, under `heedful`."""

_NAME: Final = "survey-{:05d}.parquet"
_PATTERN: Final = "survey-*.parquet"
_KEY: Final = b"heedful"


class Terms(NamedTuple):
    """What all parts of a survey have in common.

    Attributes:
        version: of the form of the files.
        token: the product token that the sites were asked and judged for.
        policy: name of the policy, and its hash.
        policy_hash: its hash.
        tokens: version of the map of AI crawlers.
        heedful: version of this program when the survey began.
    """

    version: int
    token: str
    policy: str
    policy_hash: str
    tokens: str
    heedful: str

    @classmethod
    def of(cls, gate: Gate) -> Terms:
        """Those under which a gate judges."""
        policy = gate.policy
        return cls(VERSION, gate.token, policy.name, policy.hash, token_map().version, __version__)

    def differences(self, other: Terms) -> list[str]:
        """In what it differs, so that rows of both must not stand side by side."""
        return [
            f"{name.replace('_', ' ')} {mine} and not {theirs}"
            for name, mine, theirs in zip(self._fields, self, other, strict=True)
            if mine != theirs and name not in {"heedful", "policy"}
        ]


def schema(terms: Terms) -> pa.Schema:
    """The columns of the files."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    text, texts = pa.string(), pa.list_(pa.string())
    word = pa.dictionary(pa.int32(), pa.string())
    statement = pa.struct(
        [
            *((name, text) for name in ("signal", "statement", "rule", "strength", "covers")),
            ("counted", pa.bool_()),
            ("paths", texts),
            *((name, text) for name in ("source_url", "where", "raw")),
        ]
    )
    file = pa.struct(
        [
            ("url", text),
            ("status", pa.int16()),
            ("bytes", pa.int32()),
            ("truncated", pa.bool_()),
            ("sha256", text),
            ("fetched", pa.timestamp("us", "UTC")),
            ("stale", pa.bool_()),
        ]
    )
    agent = pa.struct([("token", text), ("kind", text), ("access", text)])
    warning = pa.struct([(name, text) for name in ("signal", "message", "source_url", "where", "raw")])
    return pa.schema(
        [
            ("site", text),
            ("host", text),
            ("origin", text),
            ("asked", pa.timestamp("us", "UTC")),
            ("reach", word),
            ("action", word),
            ("reasons", texts),
            ("picture_action", word),
            ("picture_reasons", texts),
            *((name, word) for name in SIGNALS),
            ("agents", pa.list_(agent)),
            ("everyone", word),
            ("content_signals", texts),
            ("content_usages", texts),
            ("rsl_urls", texts),
            ("statements", pa.list_(statement)),
            ("warnings", pa.list_(warning)),
            ("files", pa.list_(file)),
        ],
        metadata={_KEY: json.dumps(terms._asdict()).encode()},
    )


class Parts:
    """Writes rows into a folder, many to a file; holds its lock, so that one process at a time does.

    A file gets its name when it is complete: whatever is there was surveyed.
    """

    def __init__(self, folder: Path, terms: Terms, *, size: int = PART) -> None:
        """Open it.

        Args:
            folder: where the files are, or will be; it is made if need be.
            terms: those of this survey.
            size: rows of one file.

        Raises:
            ConfigurationError: pyarrow is missing, the folder cannot be written, another process is at work
                in it, or it holds a survey on other terms.
        """
        need_pyarrow()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(folder)
        except OSError as error:
            raise ConfigurationError(f"{folder} cannot be written: {error.strerror}.") from error
        self._folder = folder
        self._schema = schema(terms)
        self._size = size
        self._rows: list[dict[str, Any]] = []
        try:
            self._check(terms)
        except ConfigurationError:
            self._lock.release(remove=True)
            raise

    def _check(self, terms: Terms) -> None:
        there = files_of(self._folder)
        for torn in self._folder.glob(f".{_PATTERN}*"):  # what a killed process was about to write
            torn.unlink(missing_ok=True)
        self._next = 1 + max((int(path.stem.partition("-")[2]) for path in there), default=-1)
        for path in there[:1]:
            if differences := terms_of(path).differences(terms):
                raise ConfigurationError(
                    f"{self._folder} holds a survey under {'; '.join(differences)}: give another --out."
                )

    def done(self) -> Iterator[str]:
        """The sites that are in the files, by their names."""
        import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

        for path in files_of(self._folder):
            with _readable(path), pq.ParquetFile(path) as file:
                for batch in file.iter_batches(columns=["site"]):
                    yield from batch.column(0).to_pylist()

    def add(self, row: Mapping[str, Any]) -> None:
        """Take a row, as `heedful.survey._classify.row_of` gives it.

        Raises:
            ConfigurationError: a file cannot be written.
        """
        self._rows.append(_timed(row))
        if len(self._rows) >= self._size:
            self.flush()

    def flush(self) -> None:
        """Make a file of what is there.

        Raises:
            ConfigurationError: it cannot be written.
        """
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

        if not self._rows:
            return
        table = pa.Table.from_pylist(self._rows, schema=self._schema)
        with replacing(self._folder / _NAME.format(self._next)) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        self._next += 1
        self._rows.clear()

    def close(self) -> None:
        """Write the last file, and let others go on.

        Raises:
            ConfigurationError: it cannot be written.
        """
        try:
            self.flush()
        finally:
            self._lock.release(remove=True)


def need_pyarrow() -> None:
    """See whether Parquet can be written.

    Raises:
        ConfigurationError: it cannot.
    """
    try:
        import pyarrow.parquet  # noqa: F401, PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError("This command needs pyarrow: pip install 'heedful[bulk]'") from error


def files_of(folder: Path) -> list[Path]:
    """The files of a survey, in their order."""
    return sorted(path for path in folder.glob(_PATTERN) if path.stem.partition("-")[2].isdecimal())


def terms_of(path: Path) -> Terms:
    """The terms of a file.

    Raises:
        ConfigurationError: it is none of a survey's.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

    with _readable(path):
        metadata = pq.read_schema(path).metadata or {}
    try:
        terms = Terms(**json.loads(metadata[_KEY]))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{path} is no file of a survey.") from error
    if terms.version != VERSION:
        raise ConfigurationError(f"{path} was written by heedful {terms.heedful}, in another form.")
    return terms


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Make a sentence of what pyarrow raises."""
    try:
        yield
    except (OSError, ValueError) as error:  # pyarrow's own are both
        raise ConfigurationError(f"{path} cannot be read: {error}.") from error


def _timed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row, its times in microseconds."""
    files = [{**file, "fetched": _microseconds(file["fetched"])} for file in row["files"]]
    return {**row, "asked": _microseconds(row["asked"]), "files": files}


def _microseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1_000_000)
