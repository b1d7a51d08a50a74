"""Imported by Python when it starts, in the workers of clusters: what tests have to know of, or do to, them.

In the folder of `HEEDFUL_WORKERS`, `opened` gets a line for each registry that a process opens. `kill` may
hold the end of a file's name: the process that is about to give a file such a name ends instead, as by
kill -9, and removes `kill`, unless `always` is there.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

FOLDER = os.environ.get("HEEDFUL_WORKERS")


def watch(event, arguments):
    folder = Path(FOLDER)
    if event == "open" and str(arguments[0]).endswith(".heed/MANIFEST.json"):
        with (folder / "opened").open("a") as file:
            file.write(f"{os.getpid()} {arguments[0]}\n")
    elif event == "os.rename" and to_be_killed(folder, str(arguments[1])):
        if not (folder / "always").exists():
            (folder / "kill").unlink()
        os._exit(1)


def to_be_killed(folder, name):
    kill = folder / "kill"
    return kill.exists() and name.endswith(kill.read_text())


if FOLDER:
    sys.addaudithook(watch)
