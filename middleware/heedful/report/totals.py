"""What the records of ledgers come to. DuckDB counts; here are the questions, and values as answers."""

# ruff: noqa: S608 - what stands in the SQL are our own constants, and quoted paths

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from heedful.model import Action, Reason, isotime

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heedful.ledger.reader import Fault
    from heedful.ledger.tables import LedgerTables

MINUTE: Final = 60
DAY: Final = 86_400

BUCKETS: Final = (1, 10, MINUTE, 5 * MINUTE, 15 * MINUTE, 3600, 6 * 3600, DAY, 7 * DAY, 30 * DAY, 365 * DAY)
"""Widths of the steps that time is told in, in seconds."""

TOP: Final = 10
"""Rows of each list that grows with the web, unless told otherwise."""

BUCKETS_MAX: Final = 60
"""Most steps that are told."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Decisions by action."""

    store: int = 0
    skip: int = 0
    defer: int = 0
    failed: int = 0

    @property
    def all(self) -> int:
        """All of them."""
        return self.store + self.skip + self.defer + self.failed


@dataclass(frozen=True, slots=True)
class ByReason:
    """Decisions of one reason at one stage. Each decision counts once, under the first of its reasons."""

    action: str
    reason: str
    stage: str
    count: int


@dataclass(frozen=True, slots=True)
class ByHost:
    """Decisions on the pictures of one host; empty where the URL has none."""

    host: str
    counts: Counts


@dataclass(frozen=True, slots=True)
class ByList:
    """Skips that an entry of one list stands behind; a skip counts for every list that has the picture."""

    registry: str
    list: str
    skips: int


@dataclass(frozen=True, slots=True)
class ByDay:
    """Decisions of one crawler on one day (UTC, `YYYY-MM-DD`)."""

    day: str
    crawler: str
    counts: Counts


@dataclass(frozen=True, slots=True)
class ByTime:
    """Decisions in one step of time; `start` in ISO 8601, UTC."""

    start: str
    counts: Counts


@dataclass(frozen=True, slots=True)
class Retry:
    """URLs of one host whose newest decision is a deferral: what a later run should ask again."""

    host: str
    reason: str
    urls: int


@dataclass(frozen=True, slots=True)
class Malformed:
    """Signals that could not be read, or only in part: how often, and one place where it was seen."""

    signal: str
    message: str
    count: int
    source_url: str
    where: str
    raw: str


@dataclass(frozen=True, slots=True)
class Overruled:
    """Statements that spoke against what was decided, and lost: how many, by signal and action."""

    signal: str
    statement: str
    action: str
    count: int


@dataclass(frozen=True, slots=True)
class Totals:
    """All that a report says in figures; the largest comes first, but times and days in their order.

    Of what grows with the web (`by_host`, `lists`, `retries`, `malformed`) the top rows are told.

    Attributes:
        files: how many record files.
        first, last: the times of the first and the last decision (ISO 8601, UTC); None where there is none.
        runs, crawlers, tokens: how many runs; the crawlers and product tokens that were at work.
        policies: name and hash of each policy.
        registries: name and version of each registry that was asked.
        actions: all decisions.
        not_enforced: those of them that were made in an audit, where nothing is skipped or deferred.
        requests_saved: skips and deferrals for which the picture's URL was never contacted.
        bytes_read: body bytes received.
        bytes_avoided: body bytes that servers announced and that were not received; bodies of unknown length,
            and all those of `requests_saved`, are not among them.
        hosts: how many hosts the pictures lie on.
        to_retry: how many URLs were deferred and not decided since.
        warnings: how many signals were malformed.
        step: seconds of each step of `times`.
    """

    files: int
    first: str | None
    last: str | None
    runs: int
    crawlers: tuple[str, ...]
    tokens: tuple[str, ...]
    policies: tuple[tuple[str, str], ...]
    registries: tuple[tuple[str, int], ...]
    actions: Counts
    not_enforced: int
    requests_saved: int
    bytes_read: int
    bytes_avoided: int
    hosts: int
    to_retry: int
    warnings: int
    reasons: tuple[ByReason, ...]
    by_host: tuple[ByHost, ...]
    lists: tuple[ByList, ...]
    days: tuple[ByDay, ...]
    step: int
    times: tuple[ByTime, ...]
    retries: tuple[Retry, ...]
    malformed: tuple[Malformed, ...]
    overruled: tuple[Overruled, ...]
    faults: tuple[Fault, ...]

    def as_dict(self) -> dict[str, Any]:
        """The form that is printed as JSON."""
        return asdict(self) | {
            "policies": [{"name": name, "hash": digest} for name, digest in self.policies],
            "registries": [{"name": name, "version": version} for name, version in self.registries],
        }


def totals_of(tables: LedgerTables, top: int = TOP) -> Totals:
    """Count the records.

    Args:
        tables: the ledgers.
        top: most rows of each list that grows with the web.

    Raises:
        LedgerError: they cannot be read.
    """
    tables.execute(_DECISIONS)
    tables.execute(_TO_RETRY)
    (sums,) = tables.rows(_SUMS)
    step = _step(sums["first"], sums["last"])
    return Totals(
        files=len(tables.files),
        first=_iso(sums["first"]),
        last=_iso(sums["last"]),
        runs=sums["runs"],
        crawlers=tuple(sums["crawlers"]),
        tokens=tuple(sums["tokens"]),
        policies=tuple((row["policy"] or "", row["policy_hash"] or "") for row in tables.rows(_POLICIES)),
        registries=tuple((row["name"] or "", row["version"] or 0) for row in tables.rows(_REGISTRIES)),
        actions=_counts(sums),
        not_enforced=sums["not_enforced"],
        requests_saved=sums["requests_saved"],
        bytes_read=sums["bytes_read"],
        bytes_avoided=sums["bytes_avoided"],
        hosts=sums["hosts"],
        to_retry=sums["to_retry"],
        warnings=sums["warnings"],
        reasons=tuple(ByReason(**row) for row in tables.rows(_REASONS)),
        by_host=tuple(ByHost(row["host"], _counts(row)) for row in tables.rows(_HOSTS, {"top": top})),
        lists=tuple(ByList(**row) for row in tables.rows(_LISTS, {"top": top})),
        days=tuple(ByDay(row["day"], row["crawler"], _counts(row)) for row in tables.rows(_DAYS)),
        step=step,
        times=tuple(
            ByTime(isotime(row["start"]), _counts(row)) for row in tables.rows(_TIMES, {"step": step})
        ),
        retries=tuple(Retry(**row) for row in tables.rows(_RETRIES, {"top": top})),
        malformed=tuple(Malformed(**row) for row in tables.rows(_MALFORMED, {"top": top})),
        overruled=tuple(Overruled(**row) for row in tables.rows(_OVERRULED)),
        faults=tuple(tables.faults),
    )


def _step(first: float | None, last: float | None) -> int:
    """The narrowest step in which the time is told in few enough of them."""
    span = (last or 0) - (first or 0)
    return next((step for step in BUCKETS if span / step < BUCKETS_MAX), BUCKETS[-1])


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else isotime(seconds)


def _counts(row: Mapping[str, Any]) -> Counts:
    return Counts(**{action.value: row[action.value] for action in Action})


# -- questions -------------------------------------------------------------------------------------------

_ACTIONS: Final = ", ".join(
    f"count(*) FILTER (action = '{action.value}') AS {action.value}" for action in Action
)

_REFUSED: Final = "action IN ('skip', 'defer')"

_LIST: Final = "^(?:list )?(.*?)(?:, registered [0-9-]+)?(?:, expires [0-9-]+)?$"

# What is counted more than once, read from the files once. A registry's evidence says which list it is of
# (heedful.registry.statements): `list NAME`, then dates. A remote registry has no lists but its name.
_DECISIONS: Final = f"""
CREATE OR REPLACE TEMP TABLE decisions AS
SELECT epoch(time) AS time, run, crawler, token, policy, policy_hash, coalesce(hop_of, url) AS url, host,
    action, coalesce(reason, '') AS reason, coalesce(stage, '') AS stage, status, bytes_read, bytes_avoided,
    enforced,
    CASE WHEN action = 'skip' THEN list_distinct([
        {{
            'registry': regexp_replace(each.source_url, '^registry ', ''),
            'list': CASE WHEN each.signal = '{Reason.REGISTRY_REMOTE.value}' THEN each.where
                ELSE regexp_extract(each.where, '{_LIST}', 1) END
        }}
        FOR each IN evidence
        IF starts_with(each.signal, 'registry.') AND each.statement = 'disallow'
    ]) ELSE [] END AS lists,
    [{{'signal': each.signal, 'statement': each.statement}} FOR each IN overridden] AS overruled,
    warnings, registries
FROM records
"""

_SUMS: Final = f"""
SELECT min(time) AS first, max(time) AS last, count(DISTINCT run) AS runs,
    coalesce(list(DISTINCT crawler ORDER BY crawler) FILTER (crawler IS NOT NULL), []) AS crawlers,
    coalesce(list(DISTINCT token ORDER BY token) FILTER (token IS NOT NULL), []) AS tokens,
    {_ACTIONS},
    count(*) FILTER (NOT enforced) AS not_enforced,
    count(*) FILTER ({_REFUSED} AND status IS NULL AND enforced) AS requests_saved,
    coalesce(sum(bytes_read), 0)::BIGINT AS bytes_read,
    coalesce(sum(bytes_avoided), 0)::BIGINT AS bytes_avoided,
    count(DISTINCT host) AS hosts,
    (SELECT count(*) FROM to_retry) AS to_retry,
    coalesce(sum(len(warnings)), 0)::BIGINT AS warnings
FROM decisions
"""

_POLICIES: Final = """
SELECT policy, policy_hash FROM decisions GROUP BY ALL ORDER BY count(*) DESC, policy, policy_hash
"""

_REGISTRIES: Final = """
SELECT each.name AS name, each.version AS version FROM (
    SELECT DISTINCT unnest(registries) AS each FROM (SELECT DISTINCT registries FROM decisions)
) ORDER BY ALL
"""

_REASONS: Final = f"""
SELECT action, reason, stage, count(*) AS count FROM decisions WHERE {_REFUSED}
GROUP BY ALL ORDER BY count DESC, action, reason, stage
"""

_HOSTS: Final = f"""
SELECT host, {_ACTIONS} FROM decisions
GROUP BY host ORDER BY skip DESC, defer DESC, count(*) DESC, host LIMIT $top
"""

_LISTS: Final = """
SELECT coalesce(each.registry, '') AS registry, coalesce(each.list, '') AS list, count(*) AS skips
FROM (SELECT unnest(lists) AS each FROM decisions)
GROUP BY ALL ORDER BY skips DESC, registry, list LIMIT $top
"""

_DAYS: Final = f"""
SELECT make_timestamp((floor(time) * 1000000)::BIGINT)::DATE::VARCHAR AS day,
    coalesce(crawler, '') AS crawler, {_ACTIONS}
FROM decisions GROUP BY ALL ORDER BY day, crawler
"""

_TIMES: Final = f"""
SELECT (floor(time / $step) * $step)::DOUBLE AS start, {_ACTIONS} FROM decisions GROUP BY ALL ORDER BY start
"""

_TO_RETRY: Final = """
CREATE OR REPLACE TEMP TABLE to_retry AS SELECT host, reason FROM (
    SELECT arg_max(host, time) AS host, arg_max(reason, time) AS reason, arg_max(action, time) AS action
    FROM decisions WHERE url IN (SELECT url FROM decisions WHERE action = 'defer') GROUP BY url
) WHERE action = 'defer'
"""

_RETRIES: Final = """
SELECT host, reason, count(*) AS urls FROM to_retry GROUP BY ALL ORDER BY urls DESC, host, reason LIMIT $top
"""

_MALFORMED: Final = """
SELECT coalesce(each.signal, '') AS signal, coalesce(each.message, '') AS message, count(*) AS count,
    coalesce(any_value(each.source_url), '') AS source_url, coalesce(any_value(each.where), '') AS "where",
    coalesce(any_value(each.raw), '') AS raw
FROM (SELECT unnest(warnings) AS each FROM decisions)
GROUP BY ALL ORDER BY count DESC, signal, message LIMIT $top
"""

_OVERRULED: Final = """
SELECT coalesce(each.signal, '') AS signal, coalesce(each.statement, '') AS "statement", action,
    count(*) AS count
FROM (SELECT unnest(overruled) AS each, action FROM decisions)
GROUP BY ALL ORDER BY count DESC, signal, "statement", action
"""
