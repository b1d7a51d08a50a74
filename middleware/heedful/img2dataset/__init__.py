"""img2dataset with every picture judged: `from heedful.img2dataset import download`.

Importing this needs no img2dataset; calling `download` does.
"""

from heedful.img2dataset._download import OPTIONS, UnfinishedError, download
from heedful.img2dataset._results import Summary

__all__ = ["OPTIONS", "Summary", "UnfinishedError", "download"]
