"""Registries: lists of pictures, paths, hosts and domains whose owners opted out, or in."""

from heedful.registry._batch import take_apart
from heedful.registry._errors import RegistryError
from heedful.registry._registry import NOT_LISTED, OPTED_IN, OPTED_OUT, Batch, Found, Registry
from heedful.registry._writer import Writer, merge

__all__ = [
    "NOT_LISTED",
    "OPTED_IN",
    "OPTED_OUT",
    "Batch",
    "Found",
    "Registry",
    "RegistryError",
    "Writer",
    "merge",
    "take_apart",
]
