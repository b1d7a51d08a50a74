"""What the rows of a survey come to. DuckDB counts; here are the questions, and values as answers."""

# ruff: noqa: S608 - what stands in the SQL are our own constants, and quoted paths

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from heedful.errors import ConfigurationError
from heedful.ledger.tables import literal, quoted
from heedful.model import Action, Reason, isotime, printable
from heedful.signals.ai_tokens import Kind
from heedful.survey._classify import SIGNALS, Access, Reach, Standing
from heedful.survey._parts import Terms, files_of, terms_of
from heedful.survey._sites import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

TOP: Final = 20
"""Rows of each list that grows with the web, unless told otherwise."""

REJECTED: Final = "rejected.jsonl"
"""The file that lists what of the last input was no site."""

REJECTED_SHOWN: Final = 20
"""Of these, how many a summary names."""


class Outcome(str, Enum):
    """What a survey comes to for one site."""

    __str__ = str.__str__

    DECLINED = "declined"
    PARTLY = "partly"
    OPEN = "open"
    UNDETERMINED = "undetermined"


OUTCOMES: Final = {
    Outcome.DECLINED: "a crawler skips their pictures",
    Outcome.PARTLY: "some signal declines, but not of their pictures",
    Outcome.OPEN: "no origin file speaks against it",
    Outcome.UNDETERMINED: "no answer, or not to be read",
}


@dataclass(frozen=True, slots=True)
class Counted:
    """How many sites something holds of."""

    what: str
    sites: int


@dataclass(frozen=True, slots=True)
class BySignal:
    """Sites that answered, by what they say by one protocol: its column, and a count a standing."""

    signal: str
    standings: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ByAgent:
    """Sites whose robots.txt names an AI crawler, by what they close to it."""

    token: str
    kind: str
    closed: int
    partly: int
    open: int


@dataclass(frozen=True, slots=True)
class Decided:
    """Sites by what the gate says of them; reasons count once each, so that their sum may be larger."""

    actions: Mapping[str, int]
    reasons: tuple[Counted, ...]


@dataclass(frozen=True, slots=True)
class Malformed:
    """Signals that could not be read, or only in part: on how many sites, and one place where it was seen."""

    signal: str
    message: str
    sites: int
    source_url: str
    where: str
    raw: str


@dataclass(frozen=True, slots=True)
class Summary:
    """All that a survey comes to; the largest comes first. Shares are best taken of `answered`.

    Attributes:
        terms: what all rows have in common.
        files: how many Parquet files.
        sites: all that were asked.
        answered: those that answered.
        first, last: when the first and the last were asked (ISO 8601, UTC); None where there is none.
        reach: sites by whether they answered.
        root: what the gate says of the root of the sites that answered.
        picture: and of their pictures.
        outcomes: all sites, each under one of `OUTCOMES`.
        by_robots_alone: sites of whose pictures the gate says to skip where a crawler would know that already
            which obeys the rules for its own token, and hears nothing else.
        signals: by protocol.
        everyone: what the sites' rules for all other crawlers (`*`) close.
        agents: by AI crawler, the most declined first.
        overlaps: which protocols sites decline by, together.
        content_signals, content_usages: the values of these lines, each once a site.
        statuses: of the files that were asked for: the path, and the HTTP status (0: no answer).
        malformed: what was malformed.
        rejected: how many lines of the last input were no sites, and `rejects` the first of them.
    """

    terms: Terms
    files: int
    sites: int
    answered: int
    first: str | None
    last: str | None
    reach: Mapping[str, int]
    root: Decided
    picture: Decided
    outcomes: Mapping[str, int]
    by_robots_alone: int
    signals: tuple[BySignal, ...]
    everyone: Mapping[str, int]
    agents: tuple[ByAgent, ...]
    overlaps: tuple[Counted, ...]
    content_signals: tuple[Counted, ...]
    content_usages: tuple[Counted, ...]
    statuses: tuple[tuple[str, int, int], ...]
    malformed: tuple[Malformed, ...]
    rejected: int
    rejects: tuple[Rejected, ...]

    def as_dict(self) -> dict[str, Any]:
        """The form that is written and printed as JSON."""
        return asdict(self) | {
            "terms": self.terms._asdict(),
            "statuses": [
                {"path": path, "status": status, "sites": sites} for path, status, sites in self.statuses
            ],
            "rejects": [each._asdict() for each in self.rejects],
        }


class Rows:
    """The view `rows` over a survey's files, and `answered`, those of the sites that did."""

    def __init__(self, folder: Path) -> None:
        """Open it. Use it as a context manager.

        Raises:
            ConfigurationError: DuckDB is not installed, there is no survey, or its files do not fit together.
        """
        try:
            import duckdb  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ConfigurationError("This command needs duckdb: pip install 'heedful[report]'") from error
        self.folder = folder
        self.files = files_of(folder)
        if not self.files:
            raise ConfigurationError(f"{folder} holds no survey: there is no survey-00000.parquet in it.")
        self.terms = terms_of(self.files[0])
        self._stack = ExitStack()
        temporary = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="heedful-"))
        config: dict[str, Any] = {"autoinstall_known_extensions": "false", "temp_directory": temporary}
        try:
            self._database = self._stack.enter_context(duckdb.connect(config=config))
            self._database.execute("SET TimeZone = 'UTC'")
            paths = ", ".join(literal(str(path)) for path in self.files)
            self._database.execute(
                f"CREATE VIEW rows AS SELECT *, {_OUTCOME} AS outcome FROM read_parquet([{paths}])"
            )
            self._database.execute(
                "CREATE VIEW answered AS SELECT * FROM rows WHERE reach = " + literal(Reach.ANSWERED.value)
            )
        except duckdb.Error as error:
            self._stack.close()
            raise ConfigurationError(f"{folder} cannot be read: {error}.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def ask(self, sql: str, values: Sequence[Any] | None = None) -> list[dict[str, Any]]:
        """The rows of a query, by the names of its columns.

        Raises:
            ConfigurationError: a file cannot be read.
        """
        import duckdb  # noqa: PLC0415 - an extra

        try:
            found = self._database.execute(sql, values)
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        except duckdb.Error as error:
            raise ConfigurationError(f"{self.folder} cannot be read: {error}.") from error


def summary_of(rows: Rows, top: int = TOP) -> Summary:
    """Count the rows.

    Args:
        rows: the survey.
        top: most rows of each list that grows with the web.

    Raises:
        ConfigurationError: a file cannot be read.
    """
    (sums,) = rows.ask(_SUMS)
    rejected, rejects = _rejected(rows.folder)
    return Summary(
        terms=rows.terms,
        files=len(rows.files),
        sites=sums["sites"],
        answered=sums["answered"],
        first=None if sums["first"] is None else isotime(sums["first"]),
        last=None if sums["last"] is None else isotime(sums["last"]),
        reach=_filled(Reach, rows.ask(_by("reach", "rows"))),
        root=_decided(rows, "action", "reasons"),
        picture=_decided(rows, "picture_action", "picture_reasons"),
        outcomes=_filled(Outcome, rows.ask(_by("outcome", "rows"))),
        by_robots_alone=sums["by_robots_alone"],
        signals=tuple(BySignal(name, _filled(Standing, rows.ask(_by(name, "answered")))) for name in SIGNALS),
        everyone=_filled(Access, rows.ask(_by("everyone", "answered"))),
        agents=tuple(ByAgent(**row) for row in rows.ask(_AGENTS)),
        overlaps=_counted(rows.ask(_OVERLAPS, [top])),
        content_signals=_counted(rows.ask(_values("content_signals"), [top])),
        content_usages=_counted(rows.ask(_values("content_usages"), [top])),
        statuses=tuple((row["path"], row["status"], row["sites"]) for row in rows.ask(_STATUSES, [2 * top])),
        malformed=tuple(Malformed(**row) for row in rows.ask(_MALFORMED, [top])),
        rejected=rejected,
        rejects=rejects,
    )


def _filled(kinds: Iterable[Any], rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    """A count for each kind, also where it is none."""
    found = {row["what"]: row["sites"] for row in rows}
    return {kind.value: found.get(kind.value, 0) for kind in kinds}


def _counted(rows: Iterable[dict[str, Any]]) -> tuple[Counted, ...]:
    return tuple(Counted(**row) for row in rows)


def _decided(rows: Rows, action: str, reasons: str) -> Decided:
    actions = (Action.STORE, Action.SKIP, Action.DEFER)
    return Decided(
        _filled(actions, rows.ask(_by(action, "answered"))),
        _counted(rows.ask(_by(reasons, "answered", f"unnest({reasons})"))),
    )


def _rejected(folder: Path) -> tuple[int, tuple[Rejected, ...]]:
    """How many lines of the last input were no sites, and the first of them."""
    path = folder / REJECTED
    count, first = 0, []
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                count += 1
                if count <= REJECTED_SHOWN:
                    first.append(Rejected(**json.loads(line)))
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {printable(str(error))}.") from error
    return count, tuple(first)


# -- questions -------------------------------------------------------------------------------------------


def _by(column: str, view: str, value: str | None = None) -> str:
    return (
        f"SELECT what, count(*) AS sites FROM (SELECT {value or quoted(column)} AS what FROM {view}) "
        "WHERE what IS NOT NULL GROUP BY what ORDER BY sites DESC, what"
    )


def _words(standings: Iterable[Standing]) -> str:
    return ", ".join(literal(each.value) for each in standings)


_DECLINES: Final = _words((Standing.DECLINED, Standing.PARTLY))

# To close some paths to all crawlers is what most sites do, and says nothing of training.
_DECLINING: Final[Mapping[str, str]] = {
    name: f"{quoted(name)} = {literal(Standing.DECLINED.value)}"
    if name == "robots"
    else f"{quoted(name)} IN ({_DECLINES})"
    for name in SIGNALS
}

_OUTCOME: Final = f"""
CASE picture_action WHEN 'skip' THEN {literal(Outcome.DECLINED.value)}
WHEN 'defer' THEN {literal(Outcome.UNDETERMINED.value)}
ELSE CASE WHEN {" OR ".join(_DECLINING.values())} THEN {literal(Outcome.PARTLY.value)}
ELSE {literal(Outcome.OPEN.value)} END END
"""

_SUMS: Final = f"""
SELECT count(*) AS sites, epoch(min(asked)) AS first, epoch(max(asked)) AS last,
    count(*) FILTER (reach = {literal(Reach.ANSWERED.value)}) AS answered,
    count(*) FILTER (reach = {literal(Reach.ANSWERED.value)} AND picture_action = 'skip'
        AND list_contains(picture_reasons, {literal(Reason.ROBOTS_DISALLOW.value)})) AS by_robots_alone
FROM rows
"""

_ACCESS: Final = ", ".join(
    f"count(*) FILTER (agent.access = {literal(access.value)}) AS {quoted(access.value)}" for access in Access
)

_AGENTS: Final = f"""
SELECT agent.token AS token, agent.kind AS kind, {_ACCESS} FROM (SELECT unnest(agents) AS agent FROM answered)
GROUP BY ALL ORDER BY closed DESC, partly DESC, "open" DESC, token
"""

_OVERLAPS: Final = f"""
SELECT array_to_string(signals, ' + ') AS what, count(*) AS sites FROM (SELECT list_filter(
    [{", ".join(f"CASE WHEN {declines} THEN {literal(name)} END" for name, declines in _DECLINING.items())}],
    lambda each: each IS NOT NULL
) AS signals FROM answered) WHERE len(signals) > 0 GROUP BY what ORDER BY sites DESC, what LIMIT ?
"""

_STATUSES: Final = """
SELECT path, status, count(*) AS sites FROM (
    SELECT regexp_extract(file.url, '^[a-z]+://[^/]*(/.*)$', 1) AS path, file.status AS status, rsl
    FROM (SELECT unnest(files) AS file, list_contains(rsl_urls, unnest(files).url) AS rsl FROM rows)
) WHERE NOT rsl GROUP BY ALL ORDER BY path, sites DESC, status LIMIT ?
"""

_MALFORMED: Final = """
SELECT coalesce(each.signal, '') AS signal, coalesce(each.message, '') AS message,
    count(DISTINCT site) AS sites, coalesce(any_value(each.source_url), '') AS source_url,
    coalesce(any_value(each.where), '') AS "where", coalesce(any_value(each.raw), '') AS raw
FROM (SELECT site, unnest(warnings) AS each FROM answered)
GROUP BY ALL ORDER BY sites DESC, signal, message LIMIT ?
"""


def _values(column: str) -> str:
    """The pieces between commas, in lower case and without space around them, each once a site."""
    return f"""
SELECT what, count(*) AS sites FROM (
    SELECT DISTINCT site, regexp_replace(trim(lower(piece)), '\\s*=\\s*', '=') AS what
    FROM (SELECT site, unnest(string_split(line, ',')) AS piece
        FROM (SELECT site, unnest({column}) AS line FROM answered))
) WHERE what <> '' GROUP BY what ORDER BY sites DESC, what LIMIT ?
"""


KINDS: Final = {
    Kind.POLICY_ONLY: "names that exist to say no to training",
    Kind.TRAINING_CRAWLER: "crawlers for training",
    Kind.DATASET_TOOL: "tools that make datasets",
    Kind.NOT_TRAINING: "search, assistants, and others",
}
"""What the kinds of AI crawlers are called."""
