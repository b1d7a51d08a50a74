"""The report as one file that opens without a network: plots, totals, and every decision to search.

The table is DataTables (MIT), which the package itables brings. The policy of the page lets nothing run but
the two scripts that were written into it, named by their hashes, and nothing be loaded.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from heedful import __version__
from heedful.errors import ConfigurationError
from heedful.ledger._export import replacing
from heedful.model import isotime, printable
from heedful.report._decisions import newest, packed
from heedful.report._figures import more_figures
from heedful.report._words import DONE, MEANING, period, sentence, share

if TYPE_CHECKING:
    from heedful.ledger.tables import LedgerTables
    from heedful.report.totals import Totals

ROWS: Final = 100_000
"""Decisions that a page holds, unless told otherwise: about 10 MB."""

_BUNDLE: Final = "itables/html/dt_bundle.js"
_EXPORT: Final = re.compile(r"export\{([^{}]*)\};?")
_DEFAULT: Final = re.compile(r"([\w$]+) as default")


def write_page(out: Path, tables: LedgerTables, totals: Totals, *, now: float, rows: int = ROWS) -> int:
    """Write the page, which is replaced when it is complete.

    Args:
        out: the file.
        tables: the ledgers.
        totals: what `totals_of` made of them.
        now: Unix time, in seconds.
        rows: the newest decisions that the page holds.

    Returns:
        Its size in bytes.

    Raises:
        ConfigurationError: it cannot be written, or a library is missing.
        LedgerError: the ledger cannot be read.
    """
    text = page(totals, newest(tables, rows), now)
    with replacing(out) as temporary:
        return temporary.write_text(text, encoding="utf-8")


def page(totals: Totals, decisions: dict[str, Any], now: float) -> str:
    """The page's HTML.

    Raises:
        ConfigurationError: a library is missing.
    """
    try:
        import jinja2  # noqa: PLC0415 - an extra
        from markupsafe import Markup  # noqa: PLC0415 - an extra

        from heedful.report._plots import plots  # noqa: PLC0415 - needs an extra

        drawn = list(plots(totals))
    except ImportError as error:
        raise ConfigurationError(f"The page needs {error.name}: pip install 'heedful[report]'") from error
    script, style = _library() + _asset("page.js"), _asset("page.css")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["printable"] = printable
    return environment.from_string(
        _asset("page.html")
    ).render(
        totals=totals,
        sentence=sentence(totals),
        period=period(totals),
        cards=[
            (action, DONE[action], MEANING[action], getattr(totals.actions, action.value)) for action in DONE
        ],
        share=share,
        plots=drawn,
        tables=list(more_figures(totals)),
        shown=len(decisions["columns"]["time"]),
        actions=[(action.value, word) for action, word in DONE.items()],
        data=packed(decisions),
        script=Markup(script),  # noqa: S704 - our own, and a library's
        style=Markup(style),  # noqa: S704 - our own
        script_hash=_hash(script),
        style_hash=_hash(style),
        version=__version__,
        written=isotime(now)[:16].replace("T", " "),
    )


def _asset(name: str) -> str:
    return files("heedful.report").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    """The source expression of Content Security Policy for an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _library() -> str:
    """DataTables as a part of our own module, where it is called `DataTable`."""
    try:
        distribution = importlib.metadata.distribution("itables")
        text = Path(str(distribution.locate_file(_BUNDLE))).read_text("utf-8")
    except (ImportError, OSError) as error:
        raise ConfigurationError("The page needs itables: pip install 'heedful[report]'") from error
    found = _EXPORT.search(text)
    name = found and _DEFAULT.search(found[1])
    if found is None or name is None:
        raise ConfigurationError(
            f"itables {distribution.version} brings DataTables otherwise: pip install 'heedful[report]'"
        )
    text = text[: found.start()] + f"\nconst DataTable = {name[1]};\n" + text[found.end() :]
    # within a script element these two are not what they are elsewhere (HTML Standard, 13.1.3.1)
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")
