"""Lists as they come: files in many formats, read into registry entries, and written again."""

from heedful.registry.sources._export import export
from heedful.registry.sources._formats import Format
from heedful.registry.sources._items import Defaults, Reject, SourceError, Terms, Urls, fingerprint_text
from heedful.registry.sources._read import Source, list_name, open_source, read
from heedful.registry.sources._surt import surt

__all__ = [
    "Defaults",
    "Format",
    "Reject",
    "Source",
    "SourceError",
    "Terms",
    "Urls",
    "export",
    "fingerprint_text",
    "list_name",
    "open_source",
    "read",
    "surt",
]
