"""Rules of other systems into paths and patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heedful.registry.entries import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence


def place(scope: str, parts: Sequence[str], *, ends: bool) -> tuple[Kind, str]:
    """The path or pattern for a host and what stands between wildcards.

    Args:
        scope: the host, perhaps with a port, or `*.domain`.
        parts: literal texts, with anything between them; the first begins with a slash.
        ends: nothing follows the last one.
    """
    literal = parts[0]
    # the dot segments of a path are resolved (WHATWG URL Standard): of `/.` the whole host would remain
    if (
        len(parts) == 1
        and not ends
        and not any(sign in literal.lower() for sign in ("/.", "/%2e", "\\", "#"))
    ):
        return Kind.PATH, scope + literal
    escaped = "*".join(part.replace("*", "%2A").replace("$", "%24") for part in parts)
    return Kind.PATTERN, scope + escaped + ("$" if ends else "")
