"""A run's manifest, beside its records: under what it ran, when, and what must be there of it.

Written when the run starts, and once more when it ends: a run that was killed has no end.
"""

from __future__ import annotations

import hashlib
import json
import platform
from typing import TYPE_CHECKING, Any, Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from heedful._places import within
from heedful._version import __version__
from heedful.errors import LedgerError
from heedful.ledger.writer import PART, Part, unwritable
from heedful.model import isotime
from heedful.registry._manifest import NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from heedful.ledger.records import Run
    from heedful.ledger.writer import LedgerWriter
    from heedful.policy import Policy
    from heedful.registry import Registry

SCHEMA: Final = 1
"""The version of a manifest's form."""

SUFFIX: Final = ".run.json"
"""What the names of manifests end with; a run's id comes before it."""


class RunManifest:
    """The manifest of a run that is going on."""

    def __init__(
        self, ledger: str, run: Run, *, policy: Policy, registries: Iterable[Registry], now: float
    ) -> None:
        """Write it: the run has started.

        Args:
            ledger: the ledger's folder, or its URL.
            run: the run.
            policy: its policy, which is told in full.
            registries: its registries.
            now: Unix time in seconds.

        Raises:
            LedgerError: it cannot be written.
        """
        self._ledger = ledger
        self._run = run
        self._data = {
            "schema": SCHEMA,
            "run": run.id,
            "crawler": run.crawler,
            "heedful": __version__,
            "python": platform.python_version(),
            "token": run.token,
            "enforced": run.enforced,
            "policy": {"name": policy.name, "hash": policy.hash, "resolved": policy.as_dict()},
            "registries": [_registry(each) for each in registries],
            "started": isotime(now),
            "ended": None,
            "totals": None,
            "counted": None,
            "files": None,
        }
        self._write()

    def end(self, parts: Iterable[Part], totals: Mapping[str, int], *, counted: int = 0, now: float) -> None:
        """Write it once more: the run is over.

        Args:
            parts: the record files.
            totals: decisions by action, and by action and reason, as `LedgerWriter` counts them.
            counted: how many of them are not recorded, but counted.
            now: Unix time in seconds.

        Raises:
            LedgerError: it cannot be written.
        """
        self._data |= {
            "ended": isotime(now),
            "totals": dict(sorted(totals.items())),
            "counted": counted,
            "files": [part._asdict() for part in parts],
        }
        self._write()

    def end_of(self, writer: LedgerWriter, *, now: float) -> None:
        """As `end`, for a run with one writer, which is closed.

        Raises:
            LedgerError: something cannot be written.
        """
        self.end(writer.close(), writer.totals, counted=writer.counted, now=now)

    def _write(self) -> None:
        try:
            fs, folder = fsspec.core.url_to_fs(self._ledger)
            path = f"{folder.rstrip('/')}/{self._run.id}{SUFFIX}"
            data = json.dumps(self._data, indent=1).encode() + b"\n"
            if isinstance(fs, LocalFileSystem):
                fs.makedirs(folder, exist_ok=True)
                fs.pipe_file(path + PART, data)
                fs.mv(path + PART, path)
            else:
                fs.pipe_file(path, data)
        except Exception as error:  # whatever a remote file system raises
            raise unwritable(self._ledger, error) from error


def read_manifests(ledger: str) -> list[dict[str, Any]]:
    """The manifests in a ledger's folder, in the order of the runs.

    Raises:
        LedgerError: one of them cannot be read.
    """
    try:
        fs, folder = fsspec.core.url_to_fs(ledger)
        paths = within(fs, folder, f"*{SUFFIX}")
    except (OSError, ValueError, ImportError) as error:
        raise LedgerError(f"The ledger {ledger} cannot be read: {error}.") from error
    manifests = []
    for path in paths:
        try:
            data = json.loads(fs.cat_file(path))
            if data["schema"] != SCHEMA:
                raise ValueError(f"schema {data['schema']!r}, this version reads {SCHEMA}")
            _check(data)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise LedgerError(f"{path} cannot be read: {type(error).__name__}: {error}.") from error
        manifests.append(data)
    return manifests


def _check(data: Mapping[str, Any]) -> None:
    """Look whether all is there that readers rely upon.

    Raises:
        KeyError, TypeError, ValueError: something is not.
    """
    policy = data["policy"]
    texts = [data["run"], data["started"], policy["hash"], policy["resolved"]["purpose"]]
    numbers = [0]
    if data["ended"] is not None:
        parts = [Part(**part) for part in data["files"]]
        texts += [text for part in parts for text in (part.name, part.chain)]
        numbers += [*dict(data["totals"]).values(), data["counted"], *(part.records for part in parts)]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a text is none")
    if not all(isinstance(number, int) for number in numbers):
        raise TypeError("a number is none")


def _registry(registry: Registry) -> dict[str, Any]:
    manifest = (registry.folder / NAME).read_bytes()
    return {
        "name": registry.name,
        "version": registry.version,
        "folder": str(registry.folder),
        "sha256": hashlib.sha256(manifest).hexdigest(),
    }
