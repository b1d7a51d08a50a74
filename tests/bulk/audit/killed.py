"""Removes what is opted out, and is killed at one of the moments that matter: see `killing`.

Arguments: dataset, registry, the number of the change on disk at which the removal ends as by kill -9, and
`before` or `after` it.
"""

from __future__ import annotations

import os
import signal

from killing import serve

from heedful.bulk.audit import audit
from heedful.bulk.audit._folder import Folder

CHANGES = ("move", "remove", "remove_all")


def remove(dataset, registry, number, when):
    count = 0

    def killing(original):
        def change(self, *args):
            nonlocal count
            count += 1
            if count == number and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            original(self, *args)
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

        return change

    for name in CHANGES:
        setattr(Folder, name, killing(getattr(Folder, name)))
    audit(dataset, purge=True, registries=[registry])


if __name__ == "__main__":
    serve(remove)
