"""Checks the signatures of C2PA manifests, with the optional library c2pa-python, in a process of its own.

The library parses hostile files in native code. So it runs in a child process that has a time limit, a memory
limit and no network, and whatever happens to it is an answer: the signature is not valid.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from heedful.model import Signature

TIMEOUT: Final = 10.0
"""Seconds that a check may take. Usual are 0.1, nearly all of it the start of the process."""

_CHILD: Final = Path(__file__).with_name("_c2pa_child.py")
_COMMAND: Final = (sys.executable or "", str(_CHILD))
_KEPT: Final = ("SYSTEMROOT",)  # of the environment; Windows needs it to load libraries
_WORDS_MAX: Final = 300


def check(data: bytes, media_type: str, *, timeout: float = TIMEOUT) -> Signature:
    """Whether a file's active C2PA manifest is validly signed.

    Valid means that c2pa-python's state is `Valid` or `Trusted`: the claim's signature, the hashes of all
    assertions, and the binding to this very file hold (C2PA 2.2, 15). The signer need not be on a trust list:
    a list would have to be distributed and kept current, and DMI-ALLOWED, which counts as well, needs no
    signature at all. What the signature shows is that nobody changed the file since someone allowed its use.

    Not valid are a manifest that is damaged or missing, one that is only linked to (nothing is ever fetched,
    neither manifests nor the states of certificates), and one whose certificate has expired, unless a time
    stamp shows that it was signed before.

    Args:
        data: the file.
        media_type: its media type, such as `image/jpeg`; what the bytes show goes first.
        timeout: seconds after which the check is given up.

    Returns:
        The answer. Its words are `valid`, or why it is not, such as `no manifest`,
        `invalid: assertion.dataHash.mismatch`, `took longer than 10 s`, `crashed with signal 11`,
        `no c2pa-python: pip install "heedful[c2pa]"`.
    """
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    environment["PYTHONIOENCODING"] = "utf-8"
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            [*_COMMAND, media_type.replace("\0", ""), f"{timeout:.0f}"],
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired:  # by now it is killed, and its exit read
        return Signature(valid=False, words=f"took longer than {timeout:g} s")
    except (OSError, ValueError) as error:
        return Signature(valid=False, words=f"could not be started: {error}"[:_WORDS_MAX])
    if done.returncode < 0:
        return Signature(valid=False, words=f"crashed with signal {-done.returncode}")
    if done.returncode:
        return Signature(valid=False, words=f"crashed with exit code {done.returncode}")
    return _answer(done.stdout)


def _answer(output: bytes) -> Signature:
    try:
        answer = json.loads(output)
        valid, words = answer["valid"], answer["words"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return Signature(valid=False, words="gave no answer")
    if not isinstance(words, str):
        return Signature(valid=False, words="gave no answer")
    return Signature(valid is True, words[:_WORDS_MAX])
