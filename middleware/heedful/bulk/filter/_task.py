"""What is done with each batch of rows, whatever engine brings it: engines only carry batches about.

An engine has a module `_NAME` with a function `run`, like `_local.run`. It sends the `Task`, which is small,
to its processes; each of them opens it with `Task.open`, once, and gives batches to `Tagger.apply`. What is
to be recorded of a batch comes out beside it: `Task.recorder` writes it to a part of the ledger, and
`Applied.counts` add up to the summary.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from heedful.errors import ConfigurationError
from heedful.judging import Crashes, doubt
from heedful.ledger import LedgerWriter
from heedful.model import (
    RAW_MAX,
    Action,
    Evidence,
    Heard,
    Needs,
    Preference,
    Reason,
    Stage,
    Statement,
    Verdict,
)
from heedful.policy import Matches
from heedful.registry.entries import decide
from heedful.registry.remote import RemoteRegistry, statement
from heedful.registry.statements import PROTOCOL, statements_of
from heedful.signals._paths import split_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from heedful.configuration import Configuration
    from heedful.gate import Registered
    from heedful.ledger import Part, Run
    from heedful.policy import Override
    from heedful.registry import Registry

TAGS: Final = ("heedful_action", "heedful_reason", "heedful_list", "heedful_entry")
"""The columns that tagging adds: what is to be done with a row, the first reason against it, and the list and
entry that say so, or that allow it."""

BATCH: Final = 65_536
"""Most rows of a batch."""

REFUSED: Final = (Action.SKIP, Action.DEFER)
"""What is dropped."""

ALIKE_MAX: Final = 4096
"""Terms of entries, such as a list and a date, of which it is remembered what follows from them."""

NO_TOKEN: Final = "none"
"""The product token of records: filtering contacts nobody, so it goes by no name."""


class Pinned(NamedTuple):
    """The version of a registry that a whole run uses.

    Attributes:
        name: the registry's.
        version: its number.
        checksum: its manifest's, by which another one of that number is told from it.
    """

    name: str
    version: int
    checksum: str

    @classmethod
    def of(cls, registry: Registry) -> Self:
        """That which is open."""
        manifest = registry.manifest
        return cls(registry.name, manifest.version, manifest.checksum)


class ChangedError(ConfigurationError):
    """A registry is no longer the one that the run began with."""

    def __init__(self, pinned: Pinned, now: Pinned) -> None:
        super().__init__(
            f"The registry {pinned.name} was changed meanwhile, from version {pinned.version} to "
            f"{now.version}: a list is filtered by one version. Start anew with --overwrite; of a registry "
            "that changes often, filter by a copy of its folder."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return ConfigurationError, self.args


@dataclass(slots=True)
class Counts:
    """What became of rows; what several processes counted can be added.

    Attributes:
        rows: all of them.
        skipped: opted-out ones, by their first reason.
        deferred: those of which that could not be determined, by their first reason.
        lists: opted-out ones, by the list that says so.
        no_url: deferred ones without an http(s) URL.
        unrecorded: of these, those with nothing in the place of the URL: they are only counted.
        opted_in: those that a registry or a licence of the operator's explicitly allows.
    """

    rows: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    deferred: Counter[str] = field(default_factory=Counter)
    lists: Counter[str] = field(default_factory=Counter)
    no_url: int = 0
    unrecorded: int = 0
    opted_in: int = 0

    @property
    def kept(self) -> int:
        """Those that are neither skipped nor deferred."""
        return self.rows - self.skipped.total() - self.deferred.total()

    def add(self, other: Counts) -> None:
        """Add what another process counted."""
        self.rows += other.rows
        self.skipped.update(other.skipped)
        self.deferred.update(other.deferred)
        self.lists.update(other.lists)
        self.no_url += other.no_url
        self.unrecorded += other.unrecorded
        self.opted_in += other.opted_in

    def as_dict(self) -> dict[str, Any]:
        """The form that is printed as JSON, and kept of a file that is done."""
        return {
            "rows": self.rows,
            "kept": self.kept,
            "skipped": dict(self.skipped.most_common()),
            "deferred": dict(self.deferred.most_common()),
            "lists": dict(self.lists.most_common()),
            "no_url": self.no_url,
            "unrecorded": self.unrecorded,
            "opted_in": self.opted_in,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The inverse of `as_dict`.

        Raises:
            KeyError, TypeError: it is none.
        """
        return cls(
            rows=data["rows"],
            skipped=Counter(data["skipped"]),
            deferred=Counter(data["deferred"]),
            lists=Counter(data["lists"]),
            no_url=data["no_url"],
            unrecorded=data["unrecorded"],
            opted_in=data["opted_in"],
        )

    def totals(self) -> dict[str, int]:
        """As a run's manifest has them: by action, and by action and reason."""
        groups = {Action.SKIP: self.skipped, Action.DEFER: self.deferred}
        totals = {str(Action.STORE): self.kept} if self.kept else {}
        for action, group in groups.items():
            if group:
                totals[str(action)] = group.total()
                totals |= {f"{action}/{reason}": count for reason, count in group.items()}
        return totals


class Mark(NamedTuple):
    """A row that anything is known of.

    Attributes:
        place: its number in the batch.
        url: what stands in the place of its URL; empty: nothing.
        parsed: whether that is a URL of http(s).
        verdict: the verdict, as far as it can be known without contact.
        list: the list that decides, or the registry if it has no name; None: no list does.
        entry: the entry, or the rule of the operator's; None: there is none.
    """

    place: int
    url: str
    parsed: bool
    verdict: Verdict
    list: str | None
    entry: str | None


class Applied(NamedTuple):
    """What came out for a batch.

    Attributes:
        batch: the rows that are kept; when tagging, all of them, with `TAGS`.
        marks: the rows of which anything is known, in order; all others are kept.
        counts: what became of the rows.
    """

    batch: pa.RecordBatch
    marks: Sequence[Mark]
    counts: Counts


@dataclass(frozen=True, slots=True)
class Task:
    """What a process is told: values and paths only.

    Attributes:
        configuration: policy, registries by their folders, ledger, cache.
        pinned: the versions of the registries, in their order.
        run: what all records have in common.
        now: Unix time in seconds, by which entries expire: the start of the run.
        url_col: the column of the URLs; None: that which is called `url`, in any case.
        tag: keep all rows and add `TAGS`; else drop what is refused.
        processes: how many work at once; they share the rates of remote registries.
    """

    configuration: Configuration
    pinned: tuple[Pinned, ...]
    run: Run
    now: float
    url_col: str | None
    tag: bool
    processes: int

    def open(self) -> Tagger:
        """What does it in this process: opened once, then the same one.

        Raises:
            ConfigurationError: a registry cannot be relied upon, or is not the one that the run began with;
                or a remote one's key is missing.
        """
        return Tagger.of(self)

    def recorder(self, name: str) -> Recorder:
        """What writes a part of the ledger.

        Args:
            name: unique within the run; one that was there already is replaced when the part is closed.
        """
        return Recorder(self, f"{self.run.id}-{name}")

    def schema(self, schema: pa.Schema) -> pa.Schema:
        """The schema of what comes out for batches of `schema`, its metadata kept."""
        if not self.tag:
            return schema
        for name in TAGS:
            at = schema.get_field_index(name)
            tag = pa.field(name, pa.string())
            schema = schema.append(tag) if at < 0 else schema.set(at, tag)
        return schema

    def url_column(self, names: Sequence[str]) -> int:
        """Which of the columns has the URLs.

        Raises:
            ValueError: none, or it cannot be told which; the message says so.
        """
        wanted = self.url_col
        found = [
            place
            for place, name in enumerate(names)
            if (name.lower() == "url" if wanted is None else name == wanted)
        ]
        if len(found) == 1:
            return found[0]
        called = "called url" if wanted is None else repr(wanted)
        some = f"{len(found)} columns" if found else "no column"
        raise ValueError(
            f"it has {some} {called}: name the one with the URLs (--url-col) of {', '.join(map(repr, names))}"
        )


class Recorder:
    """Writes a part of the ledger; there is a file once there is anything to be recorded."""

    def __init__(self, task: Task, name: str) -> None:
        """See `Task.recorder`."""
        self._task = task
        self._name = name
        self._writer: LedgerWriter | None = None

    def record(self, marks: Iterable[Mark]) -> None:
        """Record the refused ones of these rows.

        Raises:
            LedgerError: it cannot be done.
        """
        ledger = self._task.configuration.ledger
        if ledger is None:
            return
        for mark in marks:
            action = mark.verdict.action
            if mark.url and action in REFUSED:
                if self._writer is None:
                    self._writer = LedgerWriter(ledger, self._task.run, worker=self._name, atomic=True)
                self._writer.record(mark.url, action, mark.verdict)

    def close(self) -> tuple[Part, ...]:
        """Put the part in its place; none, if nothing was recorded.

        Raises:
            LedgerError: it cannot be done.
        """
        return () if self._writer is None else self._writer.close()


class Tagger:
    """Judges rows by what can be known without contacting their origins. One a process."""

    _now: ClassVar[Tagger | None] = None

    @classmethod
    def of(cls, task: Task) -> Tagger:
        """See `Task.open`."""
        if cls._now is None or cls._now.task != task:
            if cls._now is not None:
                cls._now.close()
                cls._now = None
            cls._now = cls(task)
        return cls._now

    def __init__(self, task: Task) -> None:
        """Open registries, which the parent has verified.

        Raises:
            ConfigurationError: see `Task.open`.
        """
        self.task = task
        configuration = task.configuration
        policy = configuration.policy
        self._crashes = Crashes()
        self._opt_in = policy.regime == "opt-in"
        self._overrides = _Overrides(policy.overrides) if policy.overrides else None
        with ExitStack() as opened:
            self._gate = configuration.gate(now=task.now)
            for registry in self._gate.registries:
                opened.callback(registry.close)
            self._manifests = [registry.manifest for registry in self._gate.registries]
            for pinned, registry in zip(task.pinned, self._gate.registries, strict=True):
                if pinned != (now := Pinned.of(registry)):
                    raise ChangedError(pinned, now)
            self._remotes = {
                config.name: RemoteRegistry(
                    replace(config, rate=config.rate / task.processes), cache=configuration.cache
                )
                for config in policy.remotes
            }
            for remote in self._remotes.values():
                opened.callback(remote.close)
            self._resources = opened.pop_all()
        self._alike: dict[Any, Mark] = {}
        self._nothing = doubt("", Stage.URL, "no URL", "")

    def close(self) -> None:
        """Close all that was opened."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def apply(self, batch: pa.RecordBatch) -> Applied:
        """Drop or tag the rows of a batch.

        Args:
            batch: rows, some ten thousand at best, with the column of the URLs.

        Raises:
            ValueError: the column is not there, or is not of text; the message says so.
            RegistryError: a registry turned out to be damaged, or has expired, or was changed.
        """
        urls = batch.column(self.task.url_column(batch.schema.names))
        marks, counts = self.mark(urls)
        if self.task.tag:
            return Applied(self._tagged(batch, marks), marks, counts)
        refused = [mark.place for mark in marks if mark.verdict.action in REFUSED]
        if refused:
            keep = np.ones(batch.num_rows, np.bool_)
            keep[refused] = False
            batch = _only(batch, pa.array(keep))
        return Applied(batch, marks, counts)

    def mark(self, urls: pa.Array) -> tuple[list[Mark], Counts]:
        """The rows of which anything is known, in order, and what becomes of all.

        Args:
            urls: URLs as text or as octets, or nulls.

        Raises:
            ValueError, RegistryError: see `apply`.
        """
        octets = _octets(urls)
        listed = self._gate.listed_batch(octets, self.task.now)
        self._check_versions()
        unparsed = set(listed.unparsed)
        places = {*listed.matches, *unparsed}
        if self._overrides is not None:
            places.update(self._overrides.places(octets))

        def row(place: int) -> _Row:
            registered = listed.matches.get(place, listed.nothing)
            return _Row(place, _text(octets[place]), registered, place not in unparsed, place in places)

        marks = {place: mark for place in places if (mark := self._mark(row(place))) is not None}
        if self._remotes:
            self._ask([row(place) for place in range(len(octets)) if place not in unparsed], marks)
        found = [marks[place] for place in sorted(marks)]
        return found, _counted(len(octets), found)

    def tags(self, mark: Mark) -> tuple[str | None, ...]:
        """What stands in the columns `TAGS` of a marked row."""
        verdict = mark.verdict
        return str(verdict.action), _word(verdict.reason), mark.list, mark.entry

    @property
    def unmarked(self) -> tuple[str | None, ...]:
        """What stands there in all other rows: where an opt-in is needed, the crawl will tell."""
        return None if self._opt_in else str(Action.STORE), None, None, None

    def _tagged(self, batch: pa.RecordBatch, marks: Sequence[Mark]) -> pa.RecordBatch:
        rows = np.zeros(batch.num_rows, np.int64)
        rows[[mark.place for mark in marks]] = np.arange(1, len(marks) + 1)
        which = pa.array(rows)
        values = zip(self.unmarked, *map(self.tags, marks), strict=True)
        columns, names = list(batch.columns), batch.schema.names
        for name, each in zip(TAGS, values, strict=True):
            column = pa.array(each, pa.string()).take(which)
            if name in names:
                columns[names.index(name)] = column
            else:
                columns.append(column)
        return pa.RecordBatch.from_arrays(columns, schema=self.task.schema(batch.schema))

    def _mark(self, row: _Row, remote: Sequence[Heard] = ()) -> Mark | None:
        """A row's mark; None: nothing is known of it, or remote registries must be asked first."""
        if not row.url:
            return Mark(row.place, "", False, self._nothing, None, None)  # noqa: FBT003
        terms = self._terms(row)
        if terms in self._alike:
            return _as(self._alike[terms], row)
        known: dict[int, tuple[str, str]] = {}
        try:
            verdict = self._judge(row, remote, known)
        except Exception as error:  # noqa: BLE001 - a doubt, whatever it was
            verdict = self._crashes.doubt(row.url, Stage.URL, error)
        if isinstance(verdict, Needs):
            return None
        first = verdict.evidence[0] if verdict.evidence else None
        if first is None or (verdict.action is Action.STORE and first.preference is not Preference.ALLOW):
            return None
        mark = Mark(row.place, row.url, row.parsed, verdict, *(known.get(id(first)) or _named(first)))
        if terms is not None and [each.statement for each in verdict.heard] == [first]:
            if len(self._alike) >= ALIKE_MAX:
                self._alike.clear()
            self._alike[terms] = mark
        return mark

    def _terms(self, row: _Row) -> Any:
        """All that the verdict on a row hangs on, but for its words, where one entry alone speaks of it.

        None: more than that is to be heard.
        """
        if self._remotes or self._overrides is not None or not row.parsed:
            return None
        found = None
        for place, (_, _, matches) in enumerate(row.registered):
            if matches:
                if found is not None or len(matches) > 1:
                    return None
                found = place, matches[0].entry
        if found is None:
            return None
        place, entry = found
        return place, entry.list, entry.kind, entry.opt_in, entry.date, entry.purpose, entry.expires

    def _judge(
        self, row: _Row, remote: Sequence[Heard], known: dict[int, tuple[str, str]]
    ) -> Verdict | Needs:
        """The verdict, as far as nobody is contacted: what origins say is not missed.

        Args:
            row: the row.
            remote: what remote registries say of it.
            known: gets list and entry of each statement, by the statement's identity.
        """
        gate, now = self._gate, self.task.now
        heard = [*remote]
        for name, _, matches in row.registered:
            for decision in decide(list(matches), gate.policy.purpose, now) if matches else ():
                entries = (match.entry.text for match in (*decision.decisive, *decision.overruled))
                for (stage, reading), entry in zip(statements_of(name, [decision]), entries, strict=True):
                    (said,) = reading.statements
                    heard.append(Heard(stage, PROTOCOL, said))
                    known[id(said)] = decision.list or name, entry
        verdict = gate.rejudge(row.url, heard, stage=Stage.URL, now=now)
        refused = isinstance(verdict, Verdict) and verdict.action is Action.SKIP
        if not row.parsed and not refused:
            return gate.judge(row.url, origin_files={}, registered=row.registered, stage=Stage.URL, now=now)
        if isinstance(verdict, Needs):
            return verdict
        return replace(verdict, registries=tuple([(each.name, each.version) for each in row.registered]))

    def _ask(self, rows: Sequence[_Row], marks: dict[int, Mark]) -> None:
        """Ask remote registries about all rows that nothing at hand settles.

        Args:
            rows: all rows with a URL of http(s).
            marks: those that are marked already; gets the others.
        """
        open_ = [row for row in rows if row.place not in marks]
        heard: dict[str, list[Heard]] = {}
        for name, remote in self._remotes.items():
            for url, answer in remote.ask({row.url for row in open_}).items():
                said = statement(answer, url, remote.config)
                heard.setdefault(url, []).append(Heard(Stage.URL, name, said))
        silent = Preference.UNKNOWN
        for row in open_:
            told = heard[row.url]
            if row.known or any(each.statement.preference is not silent for each in told):
                mark = self._mark(row, told)
                if mark is not None:
                    marks[row.place] = mark

    def _check_versions(self) -> None:
        """Look whether the registries are still those that the run began with.

        Raises:
            ChangedError: one is not.
        """
        for registry, manifest, pinned in zip(
            self._gate.registries, self._manifests, self.task.pinned, strict=True
        ):
            if registry.manifest is not manifest:
                raise ChangedError(pinned, Pinned.of(registry))


class _Row(NamedTuple):
    """A row that is judged.

    Attributes:
        place: its number in the batch.
        url: what stands in the place of its URL; empty: nothing.
        registered: what registries have about it.
        parsed: whether it is a URL of http(s).
        known: whether registries or the operator may have a word on it.
    """

    place: int
    url: str
    registered: tuple[Registered, ...]
    parsed: bool
    known: bool


_PLAIN_HOST: Final = r"^\s*https?://[a-z0-9_-]([a-z0-9_.-]*\.)?[a-z][a-z0-9_-]*([:/?#]|$)"
"""A URL whose host is written as it is meant, but for its case, and is no IP address."""


class _Overrides:
    """Finds the URLs that the operator's overrides may speak of, without taking all of them apart."""

    def __init__(self, overrides: Iterable[Override]) -> None:
        """Make ready."""
        hosts: set[str] = set()
        for override in overrides:
            url = override.value if override.matches is Matches.URL else f"http://{override.value}/"
            parts = split_url(url)
            host = None if parts is None else urlsplit(parts[0]).hostname
            hosts.update(each.strip(".") for each in (host, override.value) if each)
        self._hosts = "|".join(sorted(map(re.escape, hosts)))

    def places(self, octets: pa.Array) -> list[int]:
        """The places of those that name such a host, or whose host can only be told by the URL parser."""
        named = pc.match_substring_regex(octets, self._hosts, ignore_case=True)
        plain = pc.match_substring_regex(octets, _PLAIN_HOST, ignore_case=True)
        marks = pc.fill_null(pc.or_(named, pc.invert(plain)), False)  # noqa: FBT003
        places: list[int] = np.flatnonzero(marks.to_numpy(zero_copy_only=False)).tolist()
        return places


def _as(other: Mark, row: _Row) -> Mark:
    """The mark of a row that one entry speaks of, on the same terms as another one of the other row."""
    text = next(each.matches[0].entry.text for each in row.registered if each.matches)
    verdict = other.verdict
    ((stage, protocol, said),) = verdict.heard
    at = said.evidence
    said = Statement(
        said.signal,
        said.preference,
        said.rule,
        Evidence(at.source_url, at.where, text[:RAW_MAX], at.sha256, at.fetched),
        said.strength,
        said.covers,
        said.switch,
    )
    verdict = replace(verdict, url=row.url, evidence=(said,), heard=(Heard(stage, protocol, said),))
    return Mark(row.place, row.url, row.parsed, verdict, other.list, text)


def _named(said: Statement) -> tuple[str | None, str | None]:
    """List and entry of what no local registry says."""
    if said.signal is Reason.REGISTRY_REMOTE:
        return said.evidence.where, None
    return (None, said.rule) if said.signal is Reason.OPERATOR_DENY else (None, None)


def _octets(urls: pa.Array) -> pa.Array:
    """URLs as octets: nobody has seen to it that what a file calls a string is one.

    Raises:
        ValueError: these are no URLs.
    """
    kind = urls.type
    if pa.types.is_dictionary(kind):
        urls = urls.dictionary_decode()
        kind = urls.type
    text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    if not any(is_text(kind) for is_text in (*text, pa.types.is_string_view, pa.types.is_null)):
        raise ValueError(f"the URLs are no text, but {kind}")
    return urls.cast(pa.large_binary())


def _text(octets: pa.LargeBinaryScalar) -> str:
    found: bytes = octets.as_py() or b""
    return "" if found.isspace() else found.decode("utf-8", "surrogateescape")


def _only(batch: pa.RecordBatch, keep: pa.Array) -> pa.RecordBatch:
    """Some rows of a batch."""
    try:
        return batch.filter(keep)
    except pa.ArrowNotImplementedError:  # of string views, for example
        columns = [_only_of(column, keep) for column in batch.columns]
        return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _only_of(column: pa.Array, keep: pa.Array) -> pa.Array:
    try:
        return column.filter(keep)
    except pa.ArrowNotImplementedError:
        kind = column.type
        plain = pa.large_string() if pa.types.is_string_view(kind) else pa.large_binary()
        return column.cast(plain).filter(keep).cast(kind)


def _word(reason: Reason | None) -> str | None:
    return None if reason is None else str(reason)


def _counted(rows: int, marks: Iterable[Mark]) -> Counts:
    counts = Counts(rows)
    for mark in marks:
        action = mark.verdict.action
        reason = str(mark.verdict.reason)
        if action is Action.SKIP:
            counts.skipped[reason] += 1
            if mark.list is not None:
                counts.lists[mark.list] += 1
        elif action is Action.DEFER:
            counts.deferred[reason] += 1
            counts.no_url += not mark.parsed
            counts.unrecorded += not mark.url
        else:
            counts.opted_in += 1
    return counts
