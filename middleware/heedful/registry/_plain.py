"""A short way to the key of URLs that are canonical already, as most of a long list are."""

from __future__ import annotations

import re
from typing import Final

from heedful.registry.entries import Kind, index
from heedful.signals._paths import URL_MAX

NAMES_MAX: Final = 16
"""Names of a host, which are its own and those of the domains it lies in, that are looked up in bulk: of more
it would take too much memory, and the URLs of hosts with more are looked up one by one."""

_PATH_SIGN: Final = r"[A-Za-z0-9_~!()+,;:=@&/.\[\]-]"
_QUERY_SIGN: Final = r"[A-Za-z0-9_~!()+,;:=@&/.\[\]?-]"
_ESCAPE: Final = "%(?:[01][0-9A-F]|2[0-9A-CF]|3[A-F]|40|5[B-E]|60|7[B-DF]|[89A-F][0-9A-F])"
_PATH: Final = f"{_PATH_SIGN}*(?:{_ESCAPE}{_PATH_SIGN}*)*"
_QUERY: Final = f"(?:{_QUERY_SIGN}|{_ESCAPE}){_QUERY_SIGN}*(?:{_ESCAPE}{_QUERY_SIGN}*)*"


def _plain(labels: str) -> str:
    """A lower-case name as host, no port, and only what neither the URL Standard nor RFC 3986 writes
    otherwise: of escapes, those in upper case of what is not unreserved.

    The last label begins with a letter, so that it is no IPv4 address in one of its many forms.

    Args:
        labels: the host from its second character on, up to the last label.
    """  # noqa: D205 - one sentence
    return rf"https?://([a-z0-9]{labels}[a-z][a-z0-9-]*/{_PATH}(?:\?{_QUERY})?)"


_PLAIN: Final = re.compile(_plain(r"[a-z0-9.-]*\."))
PLAIN: Final = "^" + _plain(rf"(?:[a-z0-9-]*\.){{1,{NAMES_MAX - 1}}}") + "$"
"""The same for the `regex` of Rust, to which `$` is the very end; of hosts with `NAMES_MAX` names or less."""

DOTS: Final = "/."
PUNYCODE: Final = "xn--"
"""What has one of these is not plain: dot segments are resolved, names are checked, by the URL parser."""


def plain_key(text: str) -> bytes | None:
    """The key of a URL, if it is canonical already; None: the URL parser must be asked."""
    found = _PLAIN.fullmatch(text)
    if found is None or DOTS in text or PUNYCODE in text or len(text) > URL_MAX:
        return None
    return b"u" + found[1].encode()


def url_entry_key(text: str) -> bytes:
    """The key of an entry of the kind `url`: that of `index`, sooner.

    Raises:
        ValueError: it is none; the message says what is wrong.
    """
    return plain_key(text) or index(Kind.URL, text).key
