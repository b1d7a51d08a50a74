"""The add-on's settings: their defaults, their meaning, and all their faults at once."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from heedful.errors import ConfigurationError
from heedful.gate import Gate
from heedful.ledger.writer import absolute

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

REQUIRED: Final = object()

SETTINGS: Final[dict[str, tuple[Any, str]]] = {
    "HEEDFUL_TOKEN": (
        REQUIRED,
        "The product token that robots.txt files know you by, such as PictureBot. Required.",
    ),
    "HEEDFUL_CONTACT": (
        None,
        "A URL or address that site owners can turn to; it goes into the User-Agent.",
    ),
    "HEEDFUL_POLICY": ("standard", "A profile (standard, strict, letter, opt-in) or a TOML file."),
    "HEEDFUL_LEDGER": ("ledger/", "The folder of the ledger, or a folder's URL that fsspec understands."),
    "HEEDFUL_LEDGER_STORES": (
        "record",
        'Whether stored pictures are recorded ("record") or only counted ("count").',
    ),
    "HEEDFUL_AUDIT": (False, "Judge and record, but skip nothing; records say enforced: false."),
}


@dataclass(frozen=True, slots=True)
class Options:
    """The add-on's settings, checked."""

    gate: Gate
    contact: str | None
    ledger: str
    record_stores: bool
    audit: bool

    @classmethod
    def read(cls, settings: BaseSettings) -> Options:
        """Check the settings.

        Raises:
            ConfigurationError: with every fault there is.
        """
        faults = []
        for name in settings:
            if str(name).startswith("HEEDFUL_") and name not in SETTINGS:
                close = get_close_matches(name, SETTINGS, n=1)
                hint = f" Did you mean {close[0]}?" if close else ""
                faults.append(f"{name} is no setting of this version of heedful.{hint}")

        def get(name: str) -> Any:
            value = settings.get(name)
            return SETTINGS[name][0] if value is None else value

        token, stores, contact = get("HEEDFUL_TOKEN"), get("HEEDFUL_LEDGER_STORES"), get("HEEDFUL_CONTACT")
        gate = None
        if token is REQUIRED or not token:
            faults.append(
                'HEEDFUL_TOKEN is missing: set the product token that you crawl under, such as "PictureBot".'
            )
            token = "none"
        try:
            gate = Gate(str(token), get("HEEDFUL_POLICY"))
        except ConfigurationError as error:
            faults += error.faults
        if stores not in {"record", "count"}:
            faults.append(f'HEEDFUL_LEDGER_STORES is {stores!r}, but must be "record" or "count".')
        if contact is not None and not (isinstance(contact, str) and contact.isprintable()):
            faults.append("HEEDFUL_CONTACT must be one line of text, such as a URL or a mail address.")
        try:
            audit = settings.getbool("HEEDFUL_AUDIT", default=False)
        except ValueError:
            faults.append("HEEDFUL_AUDIT must be True or False.")
            audit = False
        if faults or gate is None:
            raise ConfigurationError(*faults)
        return cls(gate, contact, absolute(get("HEEDFUL_LEDGER")), stores == "record", audit)

    @property
    def user_agent(self) -> str:
        """The honest User-Agent: token, contact, and what it is that crawls."""
        contact = f" (+{self.contact})" if self.contact else ""
        return f"{self.gate.token}{contact} heedful/{_version()}"


def _version() -> str:
    from heedful import __version__  # noqa: PLC0415 - the package is still being imported at the top

    return __version__
