"""The `[[remote]]` table of a policy: which registry is asked, how, and how often."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from heedful.errors import ConfigurationError
from heedful.signals._paths import split_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SPAWNING: Final = "spawning"
JSON: Final = "json"
PROTOCOLS: Final = (SPAWNING, JSON)

BATCH: Final = 1_000
"""URLs asked for at once; what the clients of Spawning's API send."""

BATCH_MAX: Final = 10_000
"""Most URLs asked for at once; the limit of Spawning's API."""

RATE: Final = 25.0
"""Requests per second, of one process; what Spawning's API is said to bear."""

RATE_MAX: Final = 1_000.0
"""Highest rate, in requests per second: more can only be a mistake."""

TIMEOUT: Final = 20.0
"""Seconds for connecting, for any wait, and for the body of an answer; what Spawning's client allows."""

TIMEOUT_MAX: Final = 300.0
"""Longest timeout, in seconds: behind it a whole worker waits."""

EXPIRES: Final = 86_400.0
"""Seconds for which an answer is kept: a day, as for robots.txt (RFC 9309, section 2.4)."""

EXPIRES_MAX: Final = 30 * 86_400.0
"""Longest keeping, in seconds: who opts out today should not be overheard for longer than a month."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_FIELD: Final = re.compile(r"[^\s.]+(?:\.[^\s.]+)*")


@dataclass(frozen=True, slots=True)
class RemoteConfig:
    """A remote registry, as a policy names it.

    Attributes:
        name: what ledgers call it.
        url: where it is asked.
        protocol: `spawning`, Spawning's API (documented at `https://opts-api.spawningaiapi.com/docs`; its
            `url` is `https://opts-api.spawningaiapi.com/api/v2/query/urls`), or `json`, for which the URLs
            are posted as `{"urls": [...]}` and the answer is described by the fields below.
        key_env: the environment variable that holds the key; None: it asks for none.
        batch: most URLs in one request.
        rate: requests per second, over all threads of a process.
        timeout: seconds for connecting, for any wait, and for an answer's body as a whole.
        expires: seconds for which an answer is kept; 0: not at all.
        items: where in the answer the list of items is, a path of names joined by dots; empty: the answer is
            the list.
        url_field: where in an item its URL is, such a path too, as are the next two.
        opt_out_field: whether its owner opted out: true or false.
        opt_in_field: whether its owner opted in: true or false; None: the registry does not say.
    """

    name: str
    url: str
    protocol: str
    key_env: str | None = None
    batch: int = BATCH
    rate: float = RATE
    timeout: float = TIMEOUT
    expires: float = EXPIRES
    items: str = "urls"
    url_field: str = "url"
    opt_out_field: str = "optOut"
    opt_in_field: str | None = "optIn"

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> RemoteConfig:
        """The registry of one table.

        Raises:
            ConfigurationError: with every fault there is.
        """
        faults: list[str] = []
        config = read_remote("remote", table, lambda key, words: faults.append(f"{key}: {words}"))
        if config is None:
            raise ConfigurationError(*faults)
        return config

    def as_dict(self) -> dict[str, Any]:
        """The resolved form, as it would stand in a file."""
        data = asdict(self)
        if self.protocol == SPAWNING:
            for field in _JSON_ONLY:
                del data[field]
        return data

    @property
    def source_url(self) -> str:
        """The registry as evidence names it: its URL without query."""
        return self.url.partition("?")[0]


_JSON_ONLY: Final = ("items", "url_field", "opt_out_field", "opt_in_field")
_KEYS: Final = tuple(RemoteConfig.__dataclass_fields__)


def read_remote(
    place: str, given: Mapping[str, Any], fault: Callable[[str, str], None]
) -> RemoteConfig | None:
    """Read one table.

    Args:
        place: where it stands, such as `remote[1]`.
        given: what stands there.
        fault: is told of each fault: its place, such as `remote[1].url`, and what is wrong.

    Returns:
        The registry; None if there is any fault.
    """
    reader = _Reader(place, given, fault)
    config = reader.read()
    return None if reader.faults else config


class _Reader:
    def __init__(self, place: str, given: Mapping[str, Any], fault: Callable[[str, str], None]) -> None:
        self._place = place
        self._given = given
        self._tell = fault
        self.faults = 0

    def _fault(self, key: str, words: str) -> None:
        self.faults += 1
        self._tell(f"{self._place}.{key}" if key else self._place, words)

    def read(self) -> RemoteConfig:
        given = self._given
        for key in given:
            if key == "key":
                words = "never the key itself: key_env names the environment variable that holds it."
                self._fault(key, words)
            elif key not in _KEYS:
                close = get_close_matches(key, _KEYS, n=1)
                hint = f" (did you mean {close[0]!r}?)" if close else ""
                self._fault(key, f"no such setting{hint}.")
        name = given.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self._fault("name", "must be a short name: letters, digits, '.', '-' and '_', such as artists.")
        protocol = given.get("protocol")
        if protocol not in PROTOCOLS:
            self._fault("protocol", f"{protocol!r} is none of {', '.join(PROTOCOLS)}.")
        key_env = given.get("key_env")
        if key_env is None:
            if protocol == SPAWNING:
                self._fault("key_env", "is missing: the environment variable that holds your key.")
        elif not isinstance(key_env, str) or not _VARIABLE.fullmatch(key_env):
            # what was given is not repeated: it might be the key
            self._fault("key_env", "must be the name of an environment variable, such as REGISTRY_KEY.")
        self._url(given.get("url"), keyed=key_env is not None)
        batch = given.get("batch", BATCH)
        if type(batch) is not int or not 1 <= batch <= BATCH_MAX:
            self._fault("batch", f"must be a whole number from 1 to {BATCH_MAX}.")
        return RemoteConfig(
            name=str(name),
            url=str(given.get("url")),
            protocol=str(protocol),
            key_env=key_env,
            batch=batch,
            rate=self._number("rate", RATE, RATE_MAX, "requests per second"),
            timeout=self._number("timeout", TIMEOUT, TIMEOUT_MAX, "seconds"),
            expires=self._number("expires", EXPIRES, EXPIRES_MAX, "seconds, or 0", zero=True),
            **self._fields(protocol),
        )

    def _url(self, url: object, *, keyed: bool) -> None:
        if not isinstance(url, str) or not url.isascii() or not url.isprintable() or split_url(url) is None:
            self._fault("url", "must be the URL that is asked, such as https://registry.example/query.")
            return
        parts = urlsplit(url)
        if "@" in parts.netloc:
            self._fault("url", "must not hold a user's name or password; a key belongs into key_env.")
        if "#" in url:
            self._fault("url", "must not have a fragment (#...).")
        if keyed and parts.scheme.lower() != "https" and not is_loopback(parts.hostname or ""):
            self._fault("url", "must begin with https://, or the key would be sent for all to read.")

    def _number(self, key: str, default: float, most: float, unit: str, *, zero: bool = False) -> float:
        value = self._given.get(key, default)
        if type(value) in {int, float} and (0 < value <= most or (zero and value == 0)):
            return float(value)
        self._fault(key, f"must be a number above 0 and up to {most:g}: {unit}.")
        return default

    def _fields(self, protocol: object) -> dict[str, Any]:
        if protocol == SPAWNING:
            for key in _JSON_ONLY:
                if key in self._given:
                    self._fault(key, "is for the protocol json: what Spawning's answers look like is known.")
        if protocol != JSON:
            return {}
        given = self._given
        fields: dict[str, Any] = {
            "items": given.get("items", "urls"),
            "url_field": given.get("url_field", "url"),
            "opt_out_field": given.get("opt_out_field"),
            "opt_in_field": given.get("opt_in_field"),
        }
        for key, path in fields.items():
            missing = path is None and key == "opt_in_field"
            whole = path == "" and key == "items"
            if not (missing or whole or (isinstance(path, str) and _FIELD.fullmatch(path))):
                self._fault(key, f"must be a name, or names joined by dots: where {_MEANINGS[key]}.")
        return fields


_MEANINGS: Final = {
    "items": "the list of items is in the answer",
    "url_field": "an item's URL is",
    "opt_out_field": "it says (true, false) whether the owner opted out",
    "opt_in_field": "it says (true, false) whether the owner opted in",
}


def is_loopback(host: str) -> bool:
    """Whether a host, as it stands in a URL, is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
