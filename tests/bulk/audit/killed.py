"""Removes what is opted out, again and again, and is killed at one of the moments that matter.

Each line of standard input is a JSON list: dataset, registry, the number of the change on disk at which the
removal ends as by kill -9, and `before` or `after` it. The answer is a line: the signal that ended it, or 0.
All is imported once; each removal has a process of its own.
"""

from __future__ import annotations

import json
import os
import signal
import sys

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


def main():
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                remove(*json.loads(line))
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
        sys.stdout.write(f"{os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
