"""Programs that do something again and again, and are killed at one of the moments that matter.

Each line of a program's standard input is a JSON list of arguments; the answer is a line: the signal that
ended what was done with them, or 0. All is imported once; each time is in a process of its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path


def serve(do):
    """In the program: do it for each line."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                do(*json.loads(line))
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
        sys.stdout.write(f"{os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0}\n")
        sys.stdout.flush()


@contextmanager
def started(program):
    """In the tests: a function that has it done with some arguments, and tells whether it was killed."""
    here = str(Path(__file__).parent)
    with subprocess.Popen(
        [sys.executable, str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([here, *sys.path])},
    ) as child:

        def run(*arguments):
            child.stdin.write(json.dumps(arguments, default=str) + "\n")
            child.stdin.flush()
            ended = int(child.stdout.readline())
            assert ended in {0, signal.SIGKILL}
            return ended != 0

        yield run
        child.stdin.close()
