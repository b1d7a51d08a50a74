"""How long an origin file stays good, and what stands in for it while it cannot be read.

Pure: the time is an argument. The rules are those of RFC 9309 (sections 2.3.1.4 and 2.4) and, for what its
sender says of it, RFC 9111.
"""

from __future__ import annotations

import re
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from heedful.model import OriginFile

LIFETIME_MAX: Final = 24 * 3600.0
"""RFC 9309, section 2.4: not longer than 24 hours."""

LIFETIME_MIN: Final = 300.0
"""Floor for `Cache-Control: no-store, max-age=0`: one site's pictures are asked for within minutes."""

RETRY_AFTER: Final = 300.0
"""An unreachable file is asked for again after this time; until then its host is left alone."""

STALE_MAX: Final = 30 * 24 * 3600.0
"""Age up to which a copy stands in for a file that cannot be read (RFC 9309, section 2.3.1.4: 30 days)."""

CLOCK_SKEW: Final = 60.0
"""Seconds by which a file may come from the future; beyond that, the clock was set back."""

HEADERS_KEPT: Final = frozenset(
    {
        "age",
        "cache-control",
        "content-language",
        "content-type",
        "date",
        "etag",
        "expires",
        "last-modified",
        "retry-after",
        "x-robots-tag",  # of pages, which are kept in the same way
    }
)
"""Header lines of origin files that are kept: what rules read, and what tells of a version."""

_MAX_AGE = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?([0-9]{1,10})", re.IGNORECASE)
_NO_STORE = re.compile(r"(?:^|[\s,])no-(?:store|cache)(?:$|[\s,=])", re.IGNORECASE)
_NEVER_STALE = re.compile(r"(?:^|[\s,])(?:no-store|no-cache|must-revalidate)(?:$|[\s,=])", re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]{1,10}")
_DATE_LENGTH_MAX = 64  # an HTTP date has 29 characters


class Use(NamedTuple):
    """What is to be used for an origin file, and while that holds.

    Attributes:
        file: the file, or its copy.
        since: Unix time in seconds when this began.
        until: Unix time in seconds when it must be asked for again.
    """

    file: OriginFile
    since: float
    until: float

    def holds(self, now: float) -> bool:
        """Whether it does so at `now`."""
        return self.since - CLOCK_SKEW <= now < self.until


class Entry(NamedTuple):
    """What is known of one origin file.

    Attributes:
        answer: what its server last said of it: it is this, or there is none.
        failure: the newest attempt, if it gave no such answer.
    """

    answer: OriginFile | None = None
    failure: OriginFile | None = None

    def after(self, file: OriginFile) -> Entry:
        """What is known once `file` was fetched."""
        return Entry(self.answer, file) if file.unreachable else Entry(file)

    def use(self, now: float) -> Use | None:
        """What is to be used at `now`: None if it must be asked for.

        While the file cannot be read, a readable copy stands in for it; without one, the failure itself is
        what counts. That there was no file once is no copy: the site may have one by now.
        """
        answer, failure = self.answer, self.failure
        if answer is not None and (use := _fresh(answer)) is not None and use.holds(now):
            return use
        if failure is None or (use := _fresh(failure)) is None or not use.holds(now):
            return None
        if answer is not None and may_stand_in(answer, now):
            assert answer.fetched is not None  # noqa: S101
            return Use(answer, use.since, min(use.until, answer.fetched + STALE_MAX))
        return use


def lifetime(file: OriginFile) -> float:
    """Seconds, from its fetch on, that `file` may be used without being asked for again.

    What a server says counts within our bounds: `max-age`, else `Expires`, less the `Age` that it has already
    spent in caches on the way. `s-maxage` is for caches that serve many users (RFC 9111, section 5.2.2.10); a
    crawler's serves one. For a file that cannot be read, `Retry-After` counts, from our own pause to a day.
    """
    if file.unreachable:
        return min(max(_until(file, _header(file, "retry-after")) or 0.0, RETRY_AFTER), LIFETIME_MAX)
    control = _cache_control(file)
    if _NO_STORE.search(control):
        return LIFETIME_MIN
    if found := _MAX_AGE.search(control):
        seconds = float(found[1])
    elif (expires := _header(file, "expires")) is not None:
        # What is no date is in the past (RFC 9111, section 5.3).
        seconds = 0.0 if _SECONDS.fullmatch(expires) else _until(file, expires) or 0.0
    else:
        return LIFETIME_MAX
    age = _header(file, "age")
    if age is not None and _SECONDS.fullmatch(age):
        seconds -= float(age)
    return min(max(seconds, LIFETIME_MIN), LIFETIME_MAX)


def stale(file: OriginFile, now: float) -> bool:
    """Whether `file` is used although its time is over, since it could not be read again."""
    return file.fetched is not None and now >= file.fetched + lifetime(file)


def may_stand_in(file: OriginFile, now: float) -> bool:
    """Whether a copy may be used for a file that cannot be read now.

    Its sender can forbid that (RFC 9111, section 4.2.4).
    """
    return (
        file.readable
        and file.fetched is not None
        and -CLOCK_SKEW <= now - file.fetched < STALE_MAX
        and not _NEVER_STALE.search(_cache_control(file))
    )


def _fresh(file: OriginFile) -> Use | None:
    if file.fetched is None:
        return None
    return Use(file, file.fetched, file.fetched + lifetime(file))


def _cache_control(file: OriginFile) -> str:
    return ",".join(value for name, value in file.headers if name.lower() == "cache-control")


def _header(file: OriginFile, wanted: str) -> str | None:
    return next((value.strip() for name, value in file.headers if name.lower() == wanted), None)


def _until(file: OriginFile, value: str | None) -> float | None:
    """Seconds from the answer until `value`, a number of them or an HTTP date; None if it is neither."""
    if value is None:
        return None
    if _SECONDS.fullmatch(value):
        return float(value)
    end = _date(value)
    begin = _date(_header(file, "date") or "")
    if begin is None:
        begin = file.fetched
    return None if end is None or begin is None else end - begin


def _date(value: str) -> float | None:
    if len(value) > _DATE_LENGTH_MAX:
        return None
    try:
        found = parsedate_to_datetime(value)
        return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
