"""What every adapter is told, whatever its user calls it: checked at once, all faults together."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from platformdirs import user_cache_path

from heedful._version import __version__
from heedful.errors import ConfigurationError
from heedful.gate import Gate
from heedful.ledger.writer import absolute
from heedful.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from heedful.policy import Policy

STORES: Final = ("record", "count")
"""What can be done with the pictures that are stored: record each, or only count them."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """An adapter's configuration, checked. It carries paths and no open object, so that workers can have it.

    Attributes:
        token: the product token.
        policy: the policy.
        registries: folders of built registries, absolute.
        ledger: the ledger's folder, absolute, or its URL; None: nothing is recorded.
        record_stores: whether stored pictures are recorded, not only counted.
        cache: the folder of what a machine's crawls share.
        contact: where site owners can turn to; None: nowhere.
        audit: judge and record, but skip nothing.
    """

    token: str
    policy: Policy
    registries: tuple[str, ...]
    ledger: str | None
    record_stores: bool
    cache: Path
    contact: str | None
    audit: bool

    @classmethod
    def check(
        cls,
        *,
        token: Any,
        policy: Any = "standard",
        registries: Any = (),
        ledger: Any = "ledger/",
        ledger_stores: Any = "record",
        cache: Any = None,
        contact: Any = None,
        audit: Any = False,
        now: float,
        verify: bool = True,
        called: Callable[[str], str] = str,
        faults: Iterable[str] = (),
    ) -> Configuration:
        """Check what a user gave.

        Args:
            token: the product token.
            policy: a policy, a profile's name, or a TOML file.
            registries: folders of built registries, or one.
            ledger: a folder, or a folder's URL that fsspec understands; None: nothing is recorded.
            ledger_stores: one of `STORES`.
            cache: a folder; None: that which the environment names as `HEEDFUL_CACHE`, else the user's.
            contact: a URL or an address; None: there is none.
            audit: True or False.
            now: Unix time in seconds.
            verify: take the checksums of the registries' files, where no earlier run has done so.
            called: an argument's name to what the user calls it.
            faults: what was found wrong already.

        Raises:
            ConfigurationError: with every fault there is.
        """
        found = list(faults)
        if not token:
            found.append(
                f"{called('token')} is missing: set the product token that you crawl under, such as "
                '"PictureBot".'
            )
        folders = []
        for folder in (registries,) if isinstance(registries, (str, Path)) else registries or ():
            try:
                Registry.open(folder, now=now, verify=verify).close()
                folders.append(str(Path(folder).absolute()))
            except ConfigurationError as error:
                found += error.faults
        try:
            # The gate has the rules of what a token and a policy are.
            policy = Gate(str(token or "none"), policy).policy
        except ConfigurationError as error:
            found += error.faults
        if ledger_stores not in STORES:
            found.append(f'{called("ledger_stores")} is {ledger_stores!r}, but must be "record" or "count".')
        if contact is not None and not (isinstance(contact, str) and contact.isprintable()):
            found.append(f"{called('contact')} must be one line of text, such as a URL or a mail address.")
        if cache is not None and not isinstance(cache, (str, Path)):
            found.append(f"{called('cache')} must be a folder.")
        if ledger is not None and not (isinstance(ledger, (str, Path)) and str(ledger)):
            found.append(f"{called('ledger')} must be a folder, or the URL of one.")
        if not isinstance(audit, bool):
            found.append(f"{called('audit')} must be True or False.")
        if found:
            raise ConfigurationError(*found)
        return cls(
            token=str(token),
            policy=policy,
            registries=tuple(folders),
            ledger=None if ledger is None else absolute(str(ledger)),
            record_stores=ledger_stores == "record",
            cache=cache_folder(cache),
            contact=contact,
            audit=audit,
        )

    def gate(self, *, now: float, verify: bool = False) -> Gate:
        """A gate, its registries opened.

        Args:
            now: Unix time in seconds.
            verify: as for `check`, which has done so: workers leave it out.

        Raises:
            ConfigurationError: a registry cannot be relied upon.
        """
        with ExitStack() as opened:
            registries = [
                opened.enter_context(Registry.open(folder, now=now, verify=verify))
                for folder in self.registries
            ]
            gate = Gate(self.token, self.policy, registries)
            opened.pop_all()
        return gate

    @property
    def user_agent(self) -> str:
        """The honest User-Agent: token, contact, and what it is that crawls."""
        contact = f" (+{self.contact})" if self.contact else ""
        return f"{self.token}{contact} heedful/{__version__}"


def cache_folder(given: str | Path | None) -> Path:
    """The folder of what a machine's crawls share.

    Args:
        given: what the user gave; None: that which the environment names as `HEEDFUL_CACHE`, else the user's.
    """
    folder = given or os.environ.get("HEEDFUL_CACHE")
    return Path(folder).absolute() if folder else user_cache_path("heedful")
