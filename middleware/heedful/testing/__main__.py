"""`python -m heedful.testing [--port N]`: serves the gallery until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
import threading
from typing import TYPE_CHECKING

from heedful.testing.gallery import GALLERY, PROFILES, TOKEN
from heedful.testing.pictures import make
from heedful.testing.server import serve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heedful.testing.server import RunningGallery


def table(gallery: RunningGallery) -> str:
    """The exhibits with what is wanted of each, a line each."""
    rows: list[tuple[str, ...]] = [("id", "name", *PROFILES, "reason", "signal", "url")]
    for exhibit in GALLERY.exhibits:
        wanted = (exhibit.wanted[profile].value for profile in PROFILES)
        reason = exhibit.reason.value if exhibit.reason else "-"
        url = gallery.exhibit_url(exhibit)
        rows.append((str(exhibit.id), exhibit.name, *wanted, reason, exhibit.signal, url))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(line.rstrip() + "\n" for line in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the gallery until interrupted.

    Returns:
        The exit code: 0, or 2 where it cannot be served.
    """
    parser = argparse.ArgumentParser(
        "python -m heedful.testing", description="Serves a loopback web with opted-out pictures until Ctrl-C."
    )
    parser.add_argument("--port", type=int, default=0, help="the port of its sites; default: any")
    port: int = parser.parse_args(arguments).port
    try:
        make(0)  # tells early whether Pillow is there
        gallery = serve(port=port)
    except (ImportError, OSError, OverflowError) as error:
        parser.error(str(error))
    with gallery:
        try:
            sys.stdout.write(table(gallery))
            sys.stdout.write(f"\nThe rules speak to {TOKEN}. Ctrl-C ends.\n")
            sys.stdout.write(f"Start: {gallery.start_url}\n")
            sys.stdout.flush()
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
