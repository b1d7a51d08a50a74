"""The add-on's settings: their defaults, their meaning, and all their faults at once."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from platformdirs import user_cache_path

from heedful.errors import ConfigurationError
from heedful.gate import Gate
from heedful.ledger.writer import absolute
from heedful.registry import Registry

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
    "HEEDFUL_REGISTRIES": ((), "Built registries, each a folder; a list, or one string with commas."),
    "HEEDFUL_LEDGER": ("ledger/", "The folder of the ledger, or a folder's URL that fsspec understands."),
    "HEEDFUL_LEDGER_STORES": (
        "record",
        'Whether stored pictures are recorded ("record") or only counted ("count").',
    ),
    "HEEDFUL_CACHE": (None, "The folder of what a machine's crawls share; None: the user's cache folder."),
    "HEEDFUL_AUDIT": (False, "Judge and record, but skip nothing; records say enforced: false."),
}


@dataclass(frozen=True, slots=True)
class Options:
    """The add-on's settings, checked."""

    gate: Gate
    contact: str | None
    ledger: str
    cache: Path
    record_stores: bool
    audit: bool

    @classmethod
    def read(cls, settings: BaseSettings, *, now: float, verify: bool) -> Options:
        """Check the settings.

        Args:
            settings: Scrapy's.
            now: Unix time in seconds.
            verify: take the checksums of the registries' files, where no earlier run has done so.

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
        gate, registries = None, []
        for folder in settings.getlist("HEEDFUL_REGISTRIES"):
            try:
                registries.append(Registry.open(folder, now=now, verify=verify))
            except ConfigurationError as error:
                faults += error.faults
        if token is REQUIRED or not token:
            faults.append(
                'HEEDFUL_TOKEN is missing: set the product token that you crawl under, such as "PictureBot".'
            )
            token = "none"
        try:
            gate = Gate(str(token), get("HEEDFUL_POLICY"), registries)
        except ConfigurationError as error:
            faults += error.faults
        if stores not in {"record", "count"}:
            faults.append(f'HEEDFUL_LEDGER_STORES is {stores!r}, but must be "record" or "count".')
        if contact is not None and not (isinstance(contact, str) and contact.isprintable()):
            faults.append("HEEDFUL_CONTACT must be one line of text, such as a URL or a mail address.")
        cache = get("HEEDFUL_CACHE")
        if cache is not None and not isinstance(cache, (str, Path)):
            faults.append("HEEDFUL_CACHE must be a folder.")
            cache = None
        try:
            audit = settings.getbool("HEEDFUL_AUDIT", default=False)
        except ValueError:
            faults.append("HEEDFUL_AUDIT must be True or False.")
            audit = False
        if faults or gate is None:
            raise ConfigurationError(*faults)
        return cls(
            gate=gate,
            contact=contact,
            ledger=absolute(get("HEEDFUL_LEDGER")),
            cache=user_cache_path("heedful") if cache is None else Path(cache).absolute(),
            record_stores=stores == "record",
            audit=audit,
        )

    @property
    def user_agent(self) -> str:
        """The honest User-Agent: token, contact, and what it is that crawls."""
        contact = f" (+{self.contact})" if self.contact else ""
        return f"{self.gate.token}{contact} heedful/{_version()}"


def _version() -> str:
    from heedful import __version__  # noqa: PLC0415 - the package is still being imported at the top

    return __version__
