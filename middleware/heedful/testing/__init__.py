"""The gallery: a loopback web with opted-out pictures, of which the truth is known.

For the demo, for heedful's own tests, and for tests of yours:

    with serve() as gallery:
        crawl(gallery.start_url)
    stored = {identify(path) for path in store.iterdir()}
    assert stored == {exhibit.id for exhibit in GALLERY.wanted("standard", "store")}
"""

from __future__ import annotations

from heedful.testing.gallery import (
    GALLERY,
    PROFILES,
    TOKEN,
    Exhibit,
    Fault,
    File,
    Gallery,
    Hop,
    Listed,
    Site,
    Web,
    build,
    redirect,
)
from heedful.testing.pictures import Picture, identify, make
from heedful.testing.server import Hit, RunningGallery, serve

__all__ = [
    "GALLERY",
    "PROFILES",
    "TOKEN",
    "Exhibit",
    "Fault",
    "File",
    "Gallery",
    "Hit",
    "Hop",
    "Listed",
    "Picture",
    "RunningGallery",
    "Site",
    "Web",
    "build",
    "identify",
    "make",
    "redirect",
    "serve",
]
