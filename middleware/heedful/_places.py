"""Folders on whatever file system."""

from __future__ import annotations

import glob
from typing import Any


def within(fs: Any, folder: str, pattern: str) -> list[str]:
    """What is in a folder by a pattern, sorted; the folder's own name may have `[`, `*` or `?` in it.

    Args:
        fs: a file system of fsspec.
        folder: the folder, as a path of `fs`.
        pattern: with wildcards.

    Raises:
        OSError: it cannot be read.
    """
    return sorted(fs.glob(f"{glob.escape(folder.rstrip('/'))}/{pattern}"))
