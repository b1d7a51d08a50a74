"""A short way to the key of URLs that are canonical already, as most of a long list are."""

from __future__ import annotations

import re
from typing import Final

from heedful.registry.entries import Kind, index
from heedful.signals._paths import URL_MAX

_SIGNS: Final = r"[A-Za-z0-9_~!()+,;:=@&/.-]*"
_ESCAPE: Final = "%(?:[01][0-9A-F]|2[0-9A-CF]|3[A-F]|40|5[B-E]|60|7[B-DF]|[89A-F][0-9A-F])"
_TEXT: Final = f"{_SIGNS}(?:{_ESCAPE}{_SIGNS})*"
_PLAIN: Final = re.compile(
    rf"https?://([a-z0-9][a-z0-9.-]*\.[a-z][a-z0-9-]*/{_TEXT}(?:\?(?=.){_TEXT})?)", re.DOTALL
)
"""A lower-case name as host, no port, and only what neither the URL Standard nor RFC 3986 writes otherwise:
of escapes, those in upper case of what is not unreserved.

The last label begins with a letter, so that it is no IPv4 address in one of its many forms.
"""


def plain_key(text: str) -> bytes | None:
    """The key of a URL, if it is canonical already; None: the URL parser must be asked."""
    found = _PLAIN.fullmatch(text)
    # dot segments are resolved, and names in Punycode are checked, by the URL parser
    if found is None or "/." in text or "xn--" in text or len(text) > URL_MAX:
        return None
    return b"u" + found[1].encode()


def url_entry_key(text: str) -> bytes:
    """The key of an entry of the kind `url`: that of `index`, sooner.

    Raises:
        ValueError: it is none; the message says what is wrong.
    """
    return plain_key(text) or index(Kind.URL, text).key
