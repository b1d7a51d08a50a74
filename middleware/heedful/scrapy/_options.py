"""The add-on's settings: their defaults, their meaning, and all their faults at once."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from heedful.configuration import Configuration

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


def read(settings: BaseSettings, *, now: float, verify: bool) -> Configuration:
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

    token = get("HEEDFUL_TOKEN")
    try:
        audit: Any = settings.getbool("HEEDFUL_AUDIT", default=False)
    except ValueError:
        audit = settings.get("HEEDFUL_AUDIT")
    return Configuration.check(
        token=None if token is REQUIRED else token,
        policy=get("HEEDFUL_POLICY"),
        registries=settings.getlist("HEEDFUL_REGISTRIES"),
        ledger=get("HEEDFUL_LEDGER"),
        ledger_stores=get("HEEDFUL_LEDGER_STORES"),
        cache=get("HEEDFUL_CACHE"),
        contact=get("HEEDFUL_CONTACT"),
        audit=audit,
        now=now,
        verify=verify,
        called=lambda name: f"HEEDFUL_{name.upper()}",
        faults=faults,
    )
