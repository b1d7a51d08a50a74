"""The ledger: a JSON Lines record of every decision, with its evidence."""

from heedful.ledger.manifest import RunManifest, read_manifests
from heedful.ledger.reader import Fault, LedgerReader
from heedful.ledger.records import SCHEMA, Record, Run
from heedful.ledger.run import RunLedger, start_run
from heedful.ledger.verify import Finding, Verification, verify
from heedful.ledger.writer import LedgerWriter, Part

__all__ = [
    "SCHEMA",
    "Fault",
    "Finding",
    "LedgerReader",
    "LedgerWriter",
    "Part",
    "Record",
    "Run",
    "RunLedger",
    "RunManifest",
    "Verification",
    "read_manifests",
    "start_run",
    "verify",
]
