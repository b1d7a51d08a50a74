"""Runs one download in a process of its own, as users' scripts do, and prints its summary as JSON.

Standard input: {"plain": whether it is img2dataset's own, "options": {...}}.
"""

from __future__ import annotations

import json
import sys

if __name__ == "__main__":
    job = json.load(sys.stdin)
    if job["plain"]:
        from img2dataset import download
    else:
        from heedful.img2dataset import download
    summary = download(**job["options"])
    json.dump(summary.as_dict() if summary else None, sys.stdout)
