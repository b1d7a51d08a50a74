"""The child process of `heedful.c2pa`: a file on stdin, its media type and a time limit as arguments.

It prints one JSON object: `valid` and `words`. It is run by its path and imports nothing of heedful,
so that it starts quickly and its memory limit is about c2pa-python alone.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
from typing import Any, Final

MEMORY_MAX: Final = 1 << 30
"""Bytes of address space; with a picture of 20 MB, 0.1 GB is used, with one of 75 MB, 0.2 GB."""

FAULTS_MAX: Final = 5
"""Codes of faults that are named."""

SETTINGS: Final[dict[str, Any]] = {
    "verify": {"verify_after_reading": True, "remote_manifest_fetch": False, "ocsp_fetch": False},
    "core": {
        "allowed_network_hosts": [],  # empty: none; missing: all
        "allow_redirects": False,
        "decode_identity_assertions": False,  # may resolve did:web, whatever hosts are allowed
        "max_decompressed_manifest_size_in_mb": 32,
    },
}
"""c2pa-rs's settings: everything is validated, nothing is fetched."""


def main() -> None:
    """Answer on stdout."""
    del sys.path[0]  # this folder, whose c2pa.py is not the library
    media_type, seconds = sys.argv[1:]
    limit(int(seconds))
    data = sys.stdin.buffer.read()
    answer = validate(data, media_type)
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)  # the library's teardown is none of the answer


def validate(data: bytes, media_type: str) -> dict[str, Any]:
    """The answer for one file; from here on, this process opens no file and no socket."""
    try:
        c2pa: Any = importlib.import_module("c2pa")
    except ImportError:
        return _no('no c2pa-python: pip install "heedful[c2pa]"')
    try:
        with c2pa.Context.from_dict(SETTINGS) as context:
            close_doors()
            with c2pa.Reader(media_type, io.BytesIO(data), context=context) as reader:
                return judge(json.loads(reader.json()))
    except c2pa.C2paError as error:
        return _no(_reason(str(error)))
    except Exception as error:  # noqa: BLE001 - whatever the library does, the signature is not valid
        return _no(f"c2pa-python failed: {type(error).__name__}: {error}")


def judge(report: dict[str, Any]) -> dict[str, Any]:
    """What c2pa-python's report on a manifest store comes to."""
    if report.get("validation_state") in {"Valid", "Trusted"} and report.get("active_manifest"):
        return {"valid": True, "words": "valid"}
    results = report.get("validation_results") or {}
    faults = list((results.get("activeManifest") or {}).get("failure") or [])
    for ingredient in results.get("ingredientDeltas") or []:
        faults += (ingredient.get("validationDeltas") or {}).get("failure") or []
    codes = dict.fromkeys(str(fault.get("code")) for fault in faults)
    codes.pop("signingCredential.untrusted", None)  # alone it is no fault
    return _no(f"invalid: {', '.join(list(codes)[:FAULTS_MAX]) or 'no reason given'}")


def limit(seconds: int) -> None:
    """Bound memory and CPU time, and leave no core file; on systems that have such limits."""
    try:
        import resource  # noqa: PLC0415
    except ImportError:  # Windows
        return
    for name, most in (
        (resource.RLIMIT_AS, MEMORY_MAX),
        (resource.RLIMIT_CPU, seconds + 1),  # should the parent be gone, which would have killed us
        (resource.RLIMIT_CORE, 0),
    ):
        _lower(resource, name, most)


def close_doors() -> None:
    """Open no file and no socket any more: what the settings may have missed fails here."""
    try:
        import resource  # noqa: PLC0415
    except ImportError:
        return
    _lower(resource, resource.RLIMIT_NOFILE, 3)


def _lower(resource: Any, name: int, most: int) -> None:
    """Lower a limit, if it is not lower yet."""
    _, hard = resource.getrlimit(name)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    try:
        resource.setrlimit(name, (most, most))
    except (ValueError, OSError):  # macOS knows RLIMIT_AS, but does not let it be set
        return


def _reason(message: str) -> str:
    kind = message.partition(":")[0]
    known = {"ManifestNotFound": "no manifest", "Remote": "the manifest is remote; it is not fetched"}
    return known.get(kind, f"invalid: {message}")


def _no(words: str) -> dict[str, Any]:
    return {"valid": False, "words": words}


if __name__ == "__main__":
    main()
