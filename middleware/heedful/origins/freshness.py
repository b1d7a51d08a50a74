"""How long an origin file stays good."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from heedful.model import OriginFile

LIFETIME_MAX: Final = 24 * 3600.0
"""RFC 9309, section 2.4: not longer than 24 hours."""

LIFETIME_MIN: Final = 300.0
"""Floor for `Cache-Control: no-store, max-age=0`: one site's pictures are asked for within minutes."""

RETRY_AFTER: Final = 300.0
"""An unreachable file is asked for again after this time; until then its host is left alone."""

_MAX_AGE = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?([0-9]{1,10})", re.IGNORECASE)
_NO_STORE = re.compile(r"(?:^|[\s,])no-(?:store|cache)(?:$|[\s,=])", re.IGNORECASE)


def lifetime(file: OriginFile) -> float:
    """Seconds, from its fetch on, that `file` may be used without being asked for again."""
    if file.unreachable:
        return RETRY_AFTER
    control = ",".join(value for name, value in file.headers if name.lower() == "cache-control")
    if _NO_STORE.search(control):
        return LIFETIME_MIN
    if age := _MAX_AGE.search(control):
        return min(max(float(age[1]), LIFETIME_MIN), LIFETIME_MAX)
    return LIFETIME_MAX
