"""The ledger: a JSON Lines record of every decision, with its evidence."""

from heedful.ledger.reader import Fault, LedgerReader
from heedful.ledger.records import SCHEMA, Record, Run
from heedful.ledger.writer import LedgerWriter

__all__ = ["SCHEMA", "Fault", "LedgerReader", "LedgerWriter", "Record", "Run"]
