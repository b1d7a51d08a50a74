"""Pages that open without a network: one file each, with plots, figures, and a table to search.

The table is DataTables (MIT), which the package itables brings. The policy of a page lets nothing run but the
two scripts that were written into it, named by their hashes, and nothing be loaded.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import re
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from heedful import __version__
from heedful.errors import ConfigurationError
from heedful.model import isotime, printable
from heedful.report._decisions import packed
from heedful.report._words import share

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BUNDLE: Final = "itables/html/dt_bundle.js"
_EXPORT: Final = re.compile(r"export\{([^{}]*)\};?")
_DEFAULT: Final = re.compile(r"([\w$]+) as default")


@contextmanager
def needed() -> Iterator[None]:
    """Name the extra whose library cannot be imported.

    Raises:
        ConfigurationError: a library is missing.
    """
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(f"The page needs {error.name}: pip install 'heedful[report]'") from error


def rendered(
    template: str,
    *,
    scripts: Iterable[str],
    styles: Iterable[str],
    data: dict[str, Any],
    now: float,
    **context: Any,
) -> str:
    """A page's HTML.

    Args:
        template: it, which extends `heedful.report/base.html`; assets are called `package/file`.
        scripts: what makes its table, on top of what all pages share.
        styles: what it looks like, likewise.
        data: what its table shows.
        now: Unix time in seconds.
        context: what the template needs.

    Raises:
        ConfigurationError: a library is missing.
    """
    with needed():
        import jinja2  # noqa: PLC0415 - an extra
        from markupsafe import Markup  # noqa: PLC0415 - an extra

    script = _library() + "".join(map(_asset, ("heedful.report/common.js", *scripts)))
    style = "".join(map(_asset, ("heedful.report/page.css", *styles)))
    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.FunctionLoader(_asset),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["printable"] = printable
    return environment.get_template(
        template
    ).render(
        **context,
        share=share,
        data=packed(data),
        script=Markup(script),  # noqa: S704 - our own, and a library's
        style=Markup(style),  # noqa: S704 - our own
        script_hash=_hash(script),
        style_hash=_hash(style),
        version=__version__,
        written=isotime(now)[:16].replace("T", " "),
    )


def _asset(name: str) -> str:
    package, _, file = name.partition("/")
    return files(package).joinpath(file).read_text("utf-8")


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
