"""Reads a registry: looks URLs and digests up in all its segments, and takes new versions up as they come."""

from __future__ import annotations

import os
import threading
import time
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from heedful.model import isotime
from heedful.registry import _manifest as manifests
from heedful.registry._batch import take_apart
from heedful.registry._errors import RegistryError
from heedful.registry._fingerprints import nearness, thinned
from heedful.registry._plain import NAMES_MAX, plain_key
from heedful.registry._segment import Hits, Segment, hash_keys
from heedful.registry._signing import verify as verify_signature
from heedful.registry._verifying import Verifier
from heedful.registry._visible import visible
from heedful.registry.entries import (
    RANK_URL,
    Address,
    Kind,
    Match,
    address,
    content_key,
    decide,
    host_key,
    identity,
    match,
    prefix_key,
    raw_key,
    url_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from types import TracebackType

    import numpy.typing as npt
    from typing_extensions import Self

    from heedful.fingerprint import Fingerprint
    from heedful.model import Purpose
    from heedful.registry._batch import Urls
    from heedful.registry._manifest import Manifest, Seen
    from heedful.registry._records import Record
    from heedful.registry.entries import Distance, Entry

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at whether there is a new version."""

ATTEMPTS: Final = 3
"""How often a version is opened that a newer one replaces meanwhile."""

PLANS_MAX: Final = 32_768
"""Hosts of which is kept what to look for; together some megabytes."""

SUFFIX: Final = ".heed"
"""What the folders of registries end with, by custom."""

NOT_LISTED, OPTED_OUT, OPTED_IN = range(3)
"""What `Batch.decisions` hold."""


class Batch(NamedTuple):
    """What a registry says of many URLs.

    Attributes:
        decisions: for each, `NOT_LISTED`, `OPTED_OUT` or `OPTED_IN`.
        matches: all that was found, by the URL's place, in order; those without are left out.
        unparsed: places of nulls, and of what is no URL of http(s), in order.
    """

    decisions: npt.NDArray[np.int8]
    matches: Mapping[int, list[Match]]
    unparsed: npt.NDArray[np.int64]


class Found(NamedTuple):
    """What stands in a registry about many URLs.

    Attributes:
        version: that in which they were looked up.
        matches: as those of a `Batch`.
    """

    version: int
    matches: Mapping[int, list[Match]]


class _Plan(NamedTuple):
    """What is to be looked for on a host.

    Attributes:
        matches: the entries about the host and its domains.
        probes: what the keys of prefixes that are worth looking up begin with, and how long the prefixes are.
    """

    matches: tuple[Match, ...] = ()
    probes: tuple[tuple[bytes, int], ...] = ()

    def prefixes(self, target: bytes) -> list[bytes]:
        """The keys of prefixes that are worth looking up for a path and query on the host."""
        return [scope + target[:length] for scope, length in self.probes if len(target) >= length]


_NO_PLAN: Final = _Plan()
_RULES: Final = (Kind.HOST, Kind.DOMAIN, Kind.PATH, Kind.PATTERN)
_URL_RANK: Final = (RANK_URL, 0)


class _Version:
    """One version, opened: it never changes, so that a lookup sees all of it or nothing."""

    def __init__(self, folder: Path, manifest: Manifest, seen: Seen, before: _Version | None) -> None:
        self.manifest = manifest
        self.seen = seen
        kept: dict[str, Segment] = {} if before is None else before.by_name
        self.by_name: dict[str, Segment] = {
            part.name: kept.get(part.name) or Segment(folder / part.name) for part in manifest.parts
        }
        self.segments = tuple(self.by_name.values())
        self.kinds = manifest.kinds
        self.has_rules = any(self.kinds.get(kind) for kind in _RULES)
        self.has_digests = bool(self.kinds.get(Kind.SHA256) or self.kinds.get(Kind.MD5))
        self.radii = manifest.radii if self.kinds.get(Kind.PHASH) else None
        self._plans: dict[str, _Plan] = {}

    def records(self, key: bytes, among: AbstractSet[bytes] | None = None) -> Sequence[Record]:
        """The entries under a key, without those that a newer segment takes back.

        Args:
            key: the key.
            among: keys under which there may be something; None: nobody has looked yet.
        """
        if among is not None and key not in among:
            return ()
        if len(self.segments) == 1:
            return self.segments[0].find(key).records  # there is nothing older to be taken back
        return _in_force(self._hits(key))

    def _hits(self, key: bytes) -> list[Hits]:
        return [segment.find(key) for segment in self.segments]

    def lookup(self, url: str) -> list[Match]:
        key = plain_key(url)
        if key is not None:
            name = key[1 : key.index(b"/")].decode()
            return self._matches(key, name, self._plan(name))
        at = address(url)
        return self._raw(url) if at is None else self.lookup_address(at)

    def lookup_address(self, at: Address) -> list[Match]:
        name = at.host + at.port
        return self._matches(at.key, name, self._plan(name))

    def _raw(self, text: str) -> list[Match]:
        """Of what is no URL of http(s)."""
        keys = dict.fromkeys((url_key(text), raw_key(text)))
        return _sorted([Match(record.entry, _URL_RANK) for key in keys for record in self.records(key)])

    def _matches(
        self, key: bytes, name: str, plan: _Plan, among: AbstractSet[bytes] | None = None
    ) -> list[Match]:
        matches = [Match(record.entry, _URL_RANK) for record in self.records(key, among)]
        if plan is not _NO_PLAN:
            target = key[1 + len(name) :]
            matches += plan.matches
            for prefix in plan.prefixes(target):
                records = self.records(prefix, among)
                if records:
                    at = Address(*_parted(name), target.decode())
                    found = (match(record.entry, prefix, at) for record in records)
                    matches += [each for each in found if each is not None]
        return _sorted(matches)

    def _plan(self, name: str) -> _Plan:
        """What to look for on a host (with its port)."""
        if not self.has_rules:
            return _NO_PLAN
        plan = self._plans.get(name)
        return self._keep(name, self._planned(name)) if plan is None else plan

    def _keep(self, name: str, plan: _Plan) -> _Plan:
        """Keep the plan of a host (with its port) for the next URL."""
        if len(self._plans) >= PLANS_MAX:
            self._plans = {}
        self._plans[name] = plan
        return plan

    def _planned(self, name: str, filed: AbstractSet[str] | None = None) -> _Plan:
        """What to look for on a host.

        Args:
            name: the host (with its port).
            filed: names under which there may be something; None: nobody has looked yet.
        """
        host, port = _parted(name)
        at = Address(host, port, "/")
        matches: list[Match] = []
        probes: dict[tuple[bytes, int], None] = {}
        for each in at.names():
            place = each + port
            if filed is not None and each not in filed and place not in filed:
                continue
            key = host_key(each)
            hits = self._hits(key)
            for record in _in_force(hits):
                found = match(record.entry, key, at)
                if found is not None:
                    matches.append(found)
            if port:
                hits = self._hits(host_key(place))
            for hit in hits:
                for length, below in hit.lengths:
                    if below:
                        probes[prefix_key("*." + place, ""), length] = None
                    elif each == host:
                        probes[prefix_key(place, ""), length] = None
        return _Plan(tuple(matches), tuple(probes)) if matches or probes else _NO_PLAN

    def tried(self, url: str) -> list[tuple[str, str]]:
        at = address(url)
        if at is None:
            return [("as it stands", url.strip())]
        name = at.host + at.port
        domains = at.names()
        plan = self._planned(name)
        prefixes = [
            ("prefix", scope[1:].decode() + at.target[:length])
            for scope, length in plan.probes
            if len(at.target) >= length
        ]
        return [
            ("url", name + at.target),
            ("host", at.host),
            *(("domain", domain) for domain in domains),
            *prefixes,
        ]

    def lookup_digests(self, sha256: bytes | None, md5: bytes | None) -> list[Match]:
        keys = [
            content_key(kind, digest)
            for kind, digest in ((Kind.SHA256, sha256), (Kind.MD5, md5))
            if digest is not None and self.kinds.get(kind)
        ]
        return _sorted([Match(record.entry, _URL_RANK) for key in keys for record in self.records(key)])

    def lookup_fingerprint(self, asked: Fingerprint) -> list[Match]:
        if self.radii is None or asked.degenerate:
            return []
        found = [segment.near(asked, self.radii) for segment in self.segments]
        few = iter(thinned([near for near in found if near is not None]))
        hits: list[Hits] = []
        distances: dict[bytes, Distance] = {}
        for segment, any_near in zip(self.segments, found, strict=True):
            told = () if any_near is None else segment.records_of(next(few), asked)
            hits.append(Hits(tuple([record for record, _ in told])))
            distances.update([(record.key, distance) for record, distance in told])
        nearest = sorted(_in_force(hits), key=lambda record: nearness(distances[record.key]))
        return _sorted([Match(record.entry, _URL_RANK, distances[record.key]) for record in nearest])

    def lookup_batch(self, urls: Urls) -> dict[int, list[Match]]:
        """The matches of each URL that has any, by its place.

        In bulk is only found out of which there may be some; what there is says the same code as for one.
        """
        found = [(place, self._raw(text)) for place, text in urls.unparsed.items() if text is not None]
        rows, columns = urls.rows, urls.columns
        if rows:
            plans = self._plans_of({row.name for row in rows}) if self.has_rules else {}
            among = self._among([row.key for row in rows])
            found += self._near([row for row in rows if row.key in among or row.name in plans], plans)
        if columns is not None:
            plans = self._plans_of(*columns.filed(self._held)) if self.has_rules else {}
            marks = self._held(columns.hashes) | columns.on(plans)
            found += self._near(columns.rows(marks), plans)
        return {place: matches for place, matches in sorted(found) if matches}

    def _near(
        self, rows: Iterable[tuple[int, bytes, str]], plans: Mapping[str, _Plan]
    ) -> list[tuple[int, list[Match]]]:
        """The matches of those of which there may be some."""
        planned = [(*row, plans.get(row[2], _NO_PLAN)) for row in rows]
        among = self._among(
            [each for _, key, name, plan in planned for each in (key, *plan.prefixes(key[1 + len(name) :]))]
        )
        return [(place, self._matches(key, name, plan, among)) for place, key, name, plan in planned]

    def _among(self, keys: list[bytes]) -> set[bytes]:
        """Those of the keys under which there may be something."""
        return set(compress(keys, self._held(hash_keys(keys)).tolist()))

    def _held(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Whether there may be something under the keys with these hashes."""
        held = np.zeros(len(hashes), np.bool_)
        for segment in self.segments:
            held[segment.find_many(hashes)[0]] = True
        return held

    def _plans_of(self, hosts: Iterable[str], filed: AbstractSet[str] | None = None) -> dict[str, _Plan]:
        """The plans of those of the hosts (with their ports) on which there is something to look for.

        Args:
            hosts: the hosts, each once.
            filed: the names of all of them under which there may be something; None: nobody has looked yet.
        """
        known = self._plans  # when it is full, another takes its place
        plans: dict[str, _Plan] = {}
        unknown: list[str] = []
        for name in hosts:
            plan = known.get(name)
            if plan is None:
                unknown.append(name)
            elif plan is not _NO_PLAN:
                plans[name] = plan
        if filed is None:
            filed = self._filed(unknown)
        for name in unknown:
            plan = self._keep(name, self._planned(name, filed if name.count(".") < NAMES_MAX else None))
            if plan is not _NO_PLAN:
                plans[name] = plan
        return plans

    def _filed(self, hosts: Iterable[str]) -> set[str]:
        """The names under which something may be filed about hosts of no more than `NAMES_MAX` names."""
        names: set[str] = set()
        for host, port in map(_parted, hosts):
            if host.count(".") < NAMES_MAX:
                for each in Address(host, port, "").names():
                    names.update((each, each + port))
        tried = [*names]
        return set(compress(tried, self._held(hash_keys([*map(host_key, tried)])).tolist()))


def _in_force(by_segment: Sequence[Hits]) -> Sequence[Record]:
    """The entries of all segments, the oldest first, without those that a newer one takes back."""
    if len(by_segment) == 1:
        return by_segment[0].records  # there is nothing older to be taken back
    kept: list[Record] = []
    gone: set[Any] = set()
    for hits in reversed(by_segment):
        if not hits.records:
            continue
        named = [(record, identity(record.entry, record.key)) for record in hits.records]
        kept += [record for record, name in named if not record.withdrawal and name not in gone]
        gone.update(name for record, name in named if record.withdrawal)
    return kept


def _parted(name: str) -> tuple[str, str]:
    """Host and port."""
    host, colon, port = name.rpartition(":")
    return (host, ":" + port) if colon and port.isdigit() else (name, "")


def _sorted(matches: list[Match]) -> list[Match]:
    """The most specific first; of equal ones, those that decline."""
    if len(matches) > 1:
        matches.sort(key=lambda each: (each.rank, not each.entry.opt_in), reverse=True)
    return matches


class Registry:
    """Looks things up. Threads may share it; processes that open the same one share its memory.

    At most once in `LOOK_EVERY` seconds, a lookup looks whether there is a new version, and takes it up. If
    that cannot be relied upon, or the registry has expired meanwhile, lookups raise `RegistryError` from then
    on, until there is one that can: what is not known must not be stored.

    Attributes:
        folder: the registry.
        name: its folder's name without `.heed`.
    """

    def __init__(self, folder: Path, version: _Version, key: bytes | Path | None) -> None:
        """For `open`."""
        self.folder = folder
        self.name = folder.name.removesuffix(SUFFIX) or folder.name
        self._key = key
        self._version: _Version | None = version
        self._fault: RegistryError | None = None
        self._failed: Seen | None = None
        self._lock = threading.Lock()
        self._next_look = time.monotonic() + LOOK_EVERY

    @classmethod
    def open(
        cls, folder: str | Path, *, now: float, verify: bool = True, key: bytes | Path | None = None
    ) -> Self:
        """Open a registry.

        Args:
            folder: the registry.
            now: Unix time in seconds.
            verify: take the checksums of all files for which no earlier run has left a stamp. Workers, whose
                parent has done so, leave it out.
            key: a public key (Ed25519: PEM, or 32 raw octets) or its file, by which it must be signed.

        Raises:
            RegistryError: it is missing, damaged, truncated, expired or wrongly signed: it says which.
        """
        folder = Path(folder).absolute()
        return cls(folder, _opened(folder, now, key, None, verify=verify), key)

    # -- what it is ----------------------------------------------------------------------------------------

    @property
    def manifest(self) -> Manifest:
        """The version in use, as the manifest describes it."""
        return self._in_use().manifest

    @property
    def version(self) -> int:
        """The number of the version in use."""
        return self._in_use().manifest.version

    @property
    def kinds(self) -> Mapping[Kind, int]:
        """Entries by kind; those that were withdrawn count as well."""
        return self._in_use().kinds

    @property
    def has_digests(self) -> bool:
        """Whether there is any entry about a file's content, so that files must be hashed."""
        return self._in_use().has_digests

    @property
    def has_fingerprints(self) -> bool:
        """Whether there is any entry about what a picture looks like, so that pictures must be decoded."""
        return self._in_use().radii is not None

    # -- looking up ----------------------------------------------------------------------------------------

    def lookup(self, url: str) -> list[Match]:
        """All entries that name a URL, the most specific first; what is no URL is looked up as it stands.

        Raises:
            RegistryError: it is damaged, has expired, or is closed.
        """
        return self._current().lookup(url)

    def lookup_address(self, at: Address) -> list[Match]:
        """As `lookup`, of a URL that was taken apart already."""
        return self._current().lookup_address(at)

    def lookup_digests(self, sha256: bytes | None = None, md5: bytes | None = None) -> list[Match]:
        """All entries that name a file's content.

        Args:
            sha256: one digest; None: not known.
            md5: the other.

        Raises:
            RegistryError: as `lookup`.
        """
        return self._current().lookup_digests(sha256, md5)

    def lookup_fingerprint(self, fingerprint: Fingerprint) -> list[Match]:
        """All entries about pictures that look so, within the manifest's radii: the nearest first.

        Of each list, purpose and wish at most `heedful.registry._fingerprints.KEPT` are given, and the one
        that stays in force longest; a list says the same with these as with all. Of flat pictures, none.

        Args:
            fingerprint: of a picture; without its large half, only what is almost equal is found.

        Raises:
            RegistryError: as `lookup`.
        """
        return self._current().lookup_fingerprint(fingerprint)

    def lookup_batch(self, urls: Any, *, purpose: Purpose, now: float | None) -> Batch:
        """What is said of many URLs; as `lookup` and `decide` for each, sooner.

        Args:
            urls: a `pyarrow.Array` or `ChunkedArray` of strings, or a polars `Series`: some ten thousand at
                once are best. Or a sequence of strings, which takes longer: these are taken apart one by
                one, as all are without the extra `bulk`. Of None nothing is listed; octets that are no text
                are as `surrogateescape` decodes them.
            purpose: the use.
            now: Unix time in seconds, by which entries expire.

        Raises:
            RegistryError: as `lookup`.
        """
        apart = take_apart(urls)
        matches = self.find_batch(apart).matches
        decisions = np.zeros(apart.size, np.int8)
        for place, found in matches.items():
            decided = decide(found, purpose, now)
            if decided:
                decisions[place] = OPTED_IN if decided[0].opt_in else OPTED_OUT
        return Batch(decisions, matches, np.array([*apart.unparsed], np.int64))

    def find_batch(self, urls: Any) -> Found:
        """All entries that name any of many URLs: as `lookup` for each, sooner.

        Args:
            urls: as for `lookup_batch`, or what `heedful.registry.take_apart` made of them, once for several
                registries.

        Raises:
            RegistryError: as `lookup`.
        """
        version = self._current()
        return Found(version.manifest.version, version.lookup_batch(take_apart(urls)))

    def tried(self, url: str) -> list[tuple[str, str]]:
        """What `lookup` looks for: pairs of what it is and the key in words."""
        return self._current().tried(url)

    def entries(self) -> Iterator[Entry]:
        """All entries that are in force, in the order in which they were written.

        Raises:
            RegistryError: as `lookup`.
        """
        for some in visible(self._current().segments):
            for record in some.records:
                yield record.entry

    # -- versions ------------------------------------------------------------------------------------------

    def refresh(self, now: float) -> bool:
        """Look whether there is a new version, and take it up.

        Args:
            now: Unix time in seconds.

        Returns:
            Whether another version is in use now.

        Raises:
            RegistryError: there is one that cannot be relied upon, or the present one has expired.
        """
        with self._lock:
            changed = self._look(now)
        if self._fault is not None:
            raise self._fault
        return changed

    def _look(self, now: float) -> bool:
        version = self._in_use()
        try:
            seen = manifests.Seen.of((self.folder / manifests.NAME).stat())
        except OSError as error:
            self._fault = RegistryError(f"{self.folder} cannot be read any more: {error.strerror or error}.")
            return False
        if seen == version.seen:
            self._fault = _expired(self.folder, version.manifest, now)
            return False
        if seen == self._failed:
            return False
        try:
            self._version = _opened(self.folder, now, self._key, version, verify=True)
        except RegistryError as error:
            self._fault, self._failed = error, seen
            return False
        self._fault = self._failed = None
        return True

    def _current(self) -> _Version:
        if time.monotonic() >= self._next_look and self._lock.acquire(blocking=False):
            try:
                self._next_look = time.monotonic() + LOOK_EVERY
                self._look(time.time())
            finally:
                self._lock.release()
        if self._fault is not None:
            raise self._fault
        return self._in_use()

    def _in_use(self) -> _Version:
        version = self._version
        if version is None:
            raise RegistryError(f"{self.folder} is closed.")
        return version

    def close(self) -> None:
        """Look up no more; memory is given back as soon as no thread uses it."""
        version, self._version = self._version, None
        if version is not None:
            for segment in version.segments:
                segment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (os.fspath(self.folder), self._key)


def _reopened(folder: str, key: bytes | Path | None) -> Registry:
    """A registry in another process: whoever sent it there has verified it."""
    return Registry.open(folder, now=time.time(), verify=False, key=key)


def _expired(folder: Path, manifest: Manifest, now: float) -> RegistryError | None:
    if manifest.valid_until is None or now < manifest.valid_until:
        return None
    return RegistryError(f"{folder} has expired: it was valid until {isotime(manifest.valid_until)}.")


def _opened(
    folder: Path, now: float, key: bytes | Path | None, before: _Version | None, *, verify: bool
) -> _Version:
    for attempt in range(1, ATTEMPTS + 1):
        manifest, seen = manifests.read(folder)
        if key is not None:
            if manifest.signature is None:
                raise RegistryError(f"{folder} is not signed, but a key is given that it must be signed by.")
            if not verify_signature(manifest.body, manifest.signature, key):
                raise RegistryError(
                    f"{folder} is not signed by the key given: another one, or it was forged."
                )
        if expired := _expired(folder, manifest, now):
            raise expired
        try:
            if verify:
                Verifier(folder, private=key is not None).check(manifest)
            return _Version(folder, manifest, seen, before)
        except RegistryError:
            # a writer may have replaced this version, and removed its segments, in between
            if attempt == ATTEMPTS or manifests.read(folder)[1] == seen:
                raise
    raise AssertionError("unreachable")  # pragma: no cover
