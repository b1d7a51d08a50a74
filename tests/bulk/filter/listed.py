"""A registry's entries, and what they say of URLs."""

from __future__ import annotations

import datetime as dt

from heedful.model import Purpose
from heedful.registry import Writer
from heedful.registry.entries import Entry, Kind

YESTERDAY = dt.date(2020, 1, 1)

ENTRIES = (
    Entry(Kind.URL, "https://art.example/1.jpg", "artists"),
    Entry(Kind.URL, "https://ART.example:443/a/../2.jpg#top", "artists"),
    Entry(Kind.URL, "https://art.example/3.jpg", "agency"),
    Entry(Kind.HOST, "host.example", "artists"),
    Entry(Kind.DOMAIN, "domain.example"),
    Entry(Kind.PATH, "paths.example/private/", "artists"),
    Entry(Kind.PATTERN, "paths.example/*/large/*.png$", "artists"),
    Entry(Kind.URL, "https://host.example/free.jpg", "artists", opt_in=True),
    Entry(Kind.URL, "https://free.example/1.jpg", "artists", opt_in=True),
    Entry(Kind.HOST, "expired.example", "artists", expires=YESTERDAY),
    Entry(Kind.HOST, "generative.example", "artists", purpose=Purpose.TRAIN_GENERATIVE),
    Entry(Kind.HOST, "bücher.example", "artists"),
    Entry(Kind.URL, '=HYPERLINK(1),"x"', "artists"),
    Entry(Kind.URL, 'https://quotes.example/a,"b".jpg', 'a "list", named'),
)

SKIP, DEFER, STORE = "skip", "defer", "store"

ROWS = (
    ("https://art.example/1.jpg", SKIP, "registry.url", "artists", "https://art.example/1.jpg"),
    ("HTTP://Art.Example/1.jpg", SKIP, "registry.url", "artists", "https://art.example/1.jpg"),
    ("https://art.example/2.jpg", SKIP, "registry.url", "artists", "https://ART.example:443/a/../2.jpg#top"),
    ("https://art.example/3.jpg", SKIP, "registry.url", "agency", "https://art.example/3.jpg"),
    ("https://art.example/4.jpg", STORE, None, None, None),
    ("http://host.example/x?y=1", SKIP, "registry.host", "artists", "host.example"),
    ("http://below.host.example/x", STORE, None, None, None),
    ("https://host.example/free.jpg", STORE, None, "artists", "https://host.example/free.jpg"),
    ("https://a.b.domain.example:8080/", SKIP, "registry.domain", "tests", "domain.example"),
    ("https://paths.example/private/1.jpg", SKIP, "registry.path", "artists", "paths.example/private/"),
    (
        "https://paths.example/a/large/b.png",
        SKIP,
        "registry.pattern",
        "artists",
        "paths.example/*/large/*.png$",
    ),
    ("https://paths.example/a/large/b.png?c", STORE, None, None, None),
    ("https://free.example/1.jpg", STORE, None, "artists", "https://free.example/1.jpg"),
    ("https://expired.example/1.jpg", STORE, None, None, None),
    ("https://generative.example/1.jpg", SKIP, "registry.host", "artists", "generative.example"),
    ("https://bücher.example/ä.jpg", SKIP, "registry.host", "artists", "bücher.example"),
    ("https://xn--bcher-kva.example/", SKIP, "registry.host", "artists", "bücher.example"),
    (
        'https://quotes.example/a,"b".jpg',
        SKIP,
        "registry.url",
        'a "list", named',
        'https://quotes.example/a,"b".jpg',
    ),
    ("https://free.example/日本/%E2%98%83.jpg", STORE, None, None, None),
    ("https://127.0.0.1:99999/", DEFER, "undetermined", None, None),
    ("ftp://art.example/1.jpg", DEFER, "undetermined", None, None),
    ("javascript:alert(1)", DEFER, "undetermined", None, None),
    ('=HYPERLINK(1),"x"', SKIP, "registry.url", "artists", '=HYPERLINK(1),"x"'),
    ("data:image/png;base64,AAAA", DEFER, "undetermined", None, None),
    ("not a url \x1b[31m at all", DEFER, "undetermined", None, None),
)
"""URLs, and what stands in the columns that tagging adds."""

URLS = tuple(row[0] for row in ROWS)
KEPT = tuple(row[0] for row in ROWS if row[1] == STORE)
TAGS = tuple(row[1:] for row in ROWS)


def built(folder):
    """A registry of these entries."""
    with Writer.build(folder, source="tests") as writer:
        for entry in ENTRIES:
            writer.add(entry)
    return folder
