"""What a registry holds: entries, the canonical keys by which they are found, and which of them decides.

Keys follow the WHATWG URL Standard, with the percent-encoding normalisation of RFC 3986, section 6.2.2; the
scheme, a default port, a trailing dot of the host and the fragment are dropped, the query is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from heedful.fingerprint import Fingerprint
from heedful.model import Purpose, Reason, lasts
from heedful.signals._paths import PathPattern, canonical, split_url

if TYPE_CHECKING:
    import datetime as dt

TEXT_MAX: Final = 16_384
"""Longest entry, in characters: that of the longest URL that is judged."""

_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


class Kind(str, Enum):
    """What an entry names.

    URL: one picture. PATH: all that begins with its host and path. PATTERN: a path with `*` (anything) and
    a trailing `$` (the end), as in robots.txt. HOST: one host, whatever its port. DOMAIN: a host and all
    below it. SHA256, MD5: a file's content. PHASH: what a picture looks like.
    """

    __str__ = str.__str__

    URL = "url"
    HOST = "host"
    DOMAIN = "domain"
    PATH = "path"
    PATTERN = "pattern"
    SHA256 = "sha256"
    MD5 = "md5"
    PHASH = "phash"

    @property
    def reason(self) -> Reason:
        """The reason that a match of this kind gives."""
        return _REASONS[self]


_REASONS: Final = {
    Kind.URL: Reason.REGISTRY_URL,
    Kind.HOST: Reason.REGISTRY_HOST,
    Kind.DOMAIN: Reason.REGISTRY_DOMAIN,
    Kind.PATH: Reason.REGISTRY_PATH,
    Kind.PATTERN: Reason.REGISTRY_PATTERN,
    Kind.SHA256: Reason.REGISTRY_HASH,
    Kind.MD5: Reason.REGISTRY_HASH,
    Kind.PHASH: Reason.REGISTRY_FINGERPRINT,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list.

    Attributes:
        kind: what it names.
        text: the entry as it was written.
        list: the name of the list that it stands in.
        opt_in: the owner agrees; else the owner declines.
        date: when the wish was registered.
        purpose: the use that it is about.
        expires: the last day (UTC) on which it is in force.
    """

    kind: Kind
    text: str
    list: str = ""
    opt_in: bool = False
    date: dt.date | None = None
    purpose: Purpose = Purpose.TRAIN_ANY
    expires: dt.date | None = None

    def in_force(self, now: float | None) -> bool:
        """Whether it is in force at `now` (Unix time, seconds); not known: opt-outs are, opt-ins are not."""
        lasting = lasts(self.expires, now)
        return not self.opt_in if lasting is None else lasting

    def applies_to(self, purpose: Purpose) -> bool:
        """Whether it speaks of `purpose`: declining a part of it is enough, agreeing to a part is not."""
        if self.purpose in {Purpose.TRAIN_ANY, purpose}:
            return True
        return not self.opt_in and purpose is Purpose.TRAIN_ANY

    def as_dict(self) -> dict[str, Any]:
        """The form that is printed and exported."""
        return {
            "kind": self.kind.value,
            "entry": self.text,
            "list": self.list,
            "opt_in": self.opt_in,
            "date": self.date.isoformat() if self.date else None,
            "purpose": self.purpose.value,
            "expires": self.expires.isoformat() if self.expires else None,
        }


class Distance(NamedTuple):
    """How far two fingerprints are apart.

    Attributes:
        small: bits of 64 in which they differ.
        large: bits of 256; None: of one of them, these are not known.
    """

    small: int
    large: int | None


class Match(NamedTuple):
    """An entry that names what was looked up.

    Attributes:
        entry: the entry.
        rank: how specific it is: within one list, the greatest decides.
        distance: of a fingerprint, how far it is from that which was looked up.
    """

    entry: Entry
    rank: tuple[int, int]
    distance: Distance | None = None


class Address(NamedTuple):
    """A URL as registries see it.

    Attributes:
        host: in lower case, ASCII, without a trailing dot.
        port: `:` and the port, if it is not the scheme's default, else empty.
        target: canonical path and query.
    """

    host: str
    port: str
    target: str

    @property
    def key(self) -> bytes:
        """The key of the URL itself."""
        return b"u" + (self.host + self.port + self.target).encode()

    def names(self) -> list[str]:
        """The host and the domains that it lies in, the longest first; of an IP address, itself alone."""
        names = [self.host]
        if self.host.startswith("[") or self.host.replace(".", "").isdigit():
            return names
        rest = self.host
        while "." in rest:
            rest = rest.partition(".")[2]
            names.append(rest)
        return names


def address(url: str) -> Address | None:
    """The address of a URL; None if it is none of http(s), or longer than is judged."""
    parts = split_url(url)
    return None if parts is None else address_of(*parts)


def address_of(origin: str, target: str) -> Address:
    """As `address`, of a URL that `split_url` has taken apart already."""
    scheme, _, authority = origin.partition("://")
    host, colon, port = authority.rpartition(":")
    if not colon or not port.isdigit():  # no port, or the inside of an IPv6 address
        return Address(authority.rstrip("."), "", target)
    port = ":" + port
    return Address(host.rstrip("."), "" if port == _DEFAULT_PORTS[scheme] else port, target)


_SCHEMELESS: Final = re.compile(r"[^\s/?#@:]+\.[^\s/?#@:]+(?::[0-9]+)?[/?]")


def url_key(text: str) -> bytes:
    """The key of a URL, with or without its scheme; what is no URL is matched as it stands."""
    found = address(text)
    if found is None and _SCHEMELESS.match(text):
        found = address("http://" + text)
    return raw_key(text) if found is None else found.key


def raw_key(text: str) -> bytes:
    """The key of what cannot be parsed as a URL: it is matched as it stands, rather than ignored."""
    return b"r" + text.strip().encode("utf-8", "surrogatepass")


def host_key(name: str) -> bytes:
    """The key under which all that is said of a host, a domain, or paths below them is found."""
    return b"H" + name.encode()


def prefix_key(scope: str, prefix: str) -> bytes:
    """The key of paths and patterns that begin with `prefix`, in the scope of a host (with its port, if
    any) or, written `*.domain`, of a domain.
    """  # noqa: D205 - one sentence
    return b"p" + (scope + prefix).encode()


def content_key(kind: Kind, digest: bytes) -> bytes:
    """The key of a file's content."""
    return (b"s" if kind is Kind.SHA256 else b"m") + digest


def fingerprint_key(fingerprint: Fingerprint) -> bytes:
    """The key of what a picture looks like."""
    return b"f" + fingerprint.small.to_bytes(8, "big") + (fingerprint.large or b"")


class Marker(NamedTuple):
    """Says that paths or patterns with a literal start of `length` octets are worth looking up for a host.

    Attributes:
        name: host or domain, with its port, if any: the name of the `host_key`.
        length: octets.
        below: for all hosts of the domain `name`, not for the host of that name alone.
    """

    name: str
    length: int
    below: bool


class Indexed(NamedTuple):
    """Where an entry is filed.

    Attributes:
        key: the key under which it is found.
        marker: what must be known of its host, so that it is looked for.
    """

    key: bytes
    marker: Marker | None = None


_SCHEME: Final = re.compile(r"\A(?:https?:)?//", re.IGNORECASE)
_HEX: Final = re.compile(r"[0-9A-Fa-f]+")
_DIGEST_BYTES: Final = {Kind.SHA256: 32, Kind.MD5: 16}


def index(kind: Kind, text: str) -> Indexed:
    """File an entry.

    Args:
        kind: what it names.
        text: the entry: a URL (scheme and all) or what stands for one; a host or domain, perhaps with
            a scheme, a port and a `/` around it; a path or pattern as `host/path` or a URL, where `*.domain`
            as host stands for a domain with all below it; a digest in hexadecimal; a fingerprint, perhaps
            with a space and some words about the picture behind it.

    Raises:
        ValueError: it is no such thing; the message says what is wrong.
    """
    text = text.strip()
    if not text:
        raise ValueError("it is empty")
    if len(text) > TEXT_MAX:
        raise ValueError(f"it is longer than {TEXT_MAX} characters")
    if kind is Kind.URL:
        return Indexed(url_key(text))
    if kind in _DIGEST_BYTES:
        if len(text) != 2 * _DIGEST_BYTES[kind] or not _HEX.fullmatch(text):
            raise ValueError(f"it is not {2 * _DIGEST_BYTES[kind]} hexadecimal digits")
        return Indexed(content_key(kind, bytes.fromhex(text)))
    if kind is Kind.PHASH:
        return Indexed(fingerprint_key(Fingerprint.parse(text.partition(" ")[0])))
    if kind in {Kind.HOST, Kind.DOMAIN}:
        return Indexed(host_key(_host(text, kind)))
    scope, prefix = _place(kind, text)
    below = scope.startswith("*.")
    name = scope[2:] if below else scope
    return Indexed(prefix_key(scope, prefix), Marker(name, len(prefix), below))


def _host(text: str, kind: Kind) -> str:
    bare = _SCHEME.sub("", text, count=1)
    if kind is Kind.DOMAIN:
        bare = bare.removeprefix("*.").removeprefix(".")
    found = _address_of_host(bare.removesuffix("/"))
    if found is None or found.target != "/" or "/" in bare.removesuffix("/"):
        raise ValueError(f"it is not a {kind.value}'s name")
    return found.host


def _address_of_host(host: str) -> Address | None:
    if any(sign in host for sign in "*@?#\\ "):
        return None
    return address(f"http://{host}/")


def pattern_text(kind: Kind, text: str) -> str:
    """The path part of a PATH or PATTERN entry, as it was written: from the first slash after the host."""
    rest = _SCHEME.sub("", text.strip(), count=1)
    slash = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    path = rest[slash:]
    if kind is Kind.PATH:
        path = path.partition("#")[0]
    return path if path.startswith("/") else "/" + path


def _place(kind: Kind, text: str) -> tuple[str, str]:
    """Scope and literal start of a path or pattern."""
    scheme = _SCHEME.match(text)
    rest = text[scheme.end() :] if scheme else text
    slash = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    host = rest[:slash]
    below = host.startswith("*.")
    https = scheme is not None and scheme[0].lower().startswith("https")
    bare = host[2:] if below else host
    found = None
    if bare and not any(sign in bare for sign in "*@?#\\ "):
        found = address(f"{'https' if https else 'http'}://{bare}/")
    if found is None:
        raise ValueError("it does not begin with a host, such as example.com/art/")
    if not scheme and found.port == ":443":  # no scheme is given: this port is some scheme's default
        found = found._replace(port="")
    scope = ("*." if below else "") + found.host + found.port
    written = pattern_text(kind, text)
    if kind is Kind.PATTERN:
        return scope, PathPattern(written).head
    whole = address(f"http://{found.host}{written}")
    if whole is None:
        raise ValueError("its path cannot stand in a URL")
    return scope, whole.target


def identity(entry: Entry, key: bytes) -> tuple[str, Kind, bytes, str]:
    """What an entry and one that takes it back have in common: list, kind, key; of patterns, the pattern.

    Args:
        entry: an entry or a withdrawal.
        key: the key under which it is filed, which says all, but of a pattern its literal start only.
    """
    pattern = ""
    if entry.kind is Kind.PATTERN:
        written = pattern_text(entry.kind, entry.text)
        anchored = written.endswith("$")
        parts = written.removesuffix("$").split("*")
        pattern = "*".join(map(canonical, parts)) + "$" * anchored
    return entry.list, entry.kind, key, pattern


RANK_URL: Final = 4
RANK_PATH: Final = 3
RANK_HOST: Final = 2
RANK_DOMAIN: Final = 1


def match(entry: Entry, key: bytes, found: Address) -> Match | None:
    """The entry as a match of `found`, if it is one.

    Args:
        entry: an entry that was found under `key`, which is one of the keys of `found`.
        key: that key.
        found: the URL that is looked up.
    """
    kind = entry.kind
    if kind is Kind.HOST:
        return Match(entry, (RANK_HOST, 0)) if key == host_key(found.host) else None
    if kind is Kind.DOMAIN:
        return Match(entry, (RANK_DOMAIN, len(key)))
    if kind is Kind.PATTERN:
        pattern = PathPattern(pattern_text(kind, entry.text))
        return Match(entry, (RANK_PATH, pattern.length)) if pattern.matches(found.target) else None
    if kind is Kind.PATH:
        # the key is `p`, the scope, and the canonical prefix, which begins at the first slash
        return Match(entry, (RANK_PATH, len(key) - key.index(b"/")))
    return Match(entry, (RANK_URL, 0))


class Decision(NamedTuple):
    """What one list says.

    Attributes:
        list: its name.
        opt_in: it agrees; else it declines.
        decisive: the most specific entries, those that carry the decision first.
        overruled: the others.
    """

    list: str
    opt_in: bool
    decisive: tuple[Match, ...]
    overruled: tuple[Match, ...]


def decide(matches: list[Match], purpose: Purpose, now: float | None) -> list[Decision]:
    """What each list says of a use: its most specific entries count; where these disagree, it declines.

    Args:
        matches: all that was found.
        purpose: the use.
        now: Unix time in seconds, by which entries expire.

    Returns:
        A decision for each list with an entry that is in force and speaks of `purpose`, declining ones first.
    """
    lists: dict[str, list[Match]] = {}
    for each in matches:
        if each.entry.in_force(now) and each.entry.applies_to(purpose):
            lists.setdefault(each.entry.list, []).append(each)
    decisions = []
    for name, group in lists.items():
        top = max(each.rank for each in group)
        best = sorted((each for each in group if each.rank == top), key=lambda each: each.entry.opt_in)
        opt_in = best[0].entry.opt_in
        decisive = tuple(each for each in best if each.entry.opt_in is opt_in)
        overruled = tuple(each for each in group if each not in decisive)
        decisions.append(Decision(name, opt_in, decisive, overruled))
    return sorted(decisions, key=lambda each: each.opt_in)
