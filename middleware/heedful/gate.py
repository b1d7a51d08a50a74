"""The gate: what is known of a URL goes in, one verdict comes out.

Pure: it opens no socket and no file and asks for no time. Which origin files it lacks it says as a value
(`Needs`). The fold to one verdict is in `heedful.fold`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from heedful import fingerprint
from heedful._origin import FIRST, Origin, as_rsl, undetermined
from heedful.body import Body
from heedful.errors import ConfigurationError
from heedful.fold import OVERRIDE, Fold
from heedful.model import (
    STAGE_ORDER,
    Action,
    Evidence,
    Needs,
    OriginFile,
    Preference,
    Purpose,
    Reading,
    Reason,
    Source,
    Stage,
    Statement,
    Verdict,
)
from heedful.policy import Matches, Policy, Ruling
from heedful.registry import Registry, take_apart
from heedful.registry.entries import address_of, decide
from heedful.registry.statements import PROTOCOL, recorded, statements_of
from heedful.signals import (
    content_signal,
    content_usage,
    meta_robots,
    robots,
    robots_tag,
    rsl,
    tdmrep,
    x_robots_tag,
)
from heedful.signals._paths import PathPattern, split_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from heedful.model import Headers, Heard, Page, Response, Signature
    from heedful.policy import Override
    from heedful.registry.entries import Entry, Match
    from heedful.signals.embedded import Embedded

_NOTHING_SAID: Final[Mapping[str, Statement]] = MappingProxyType({})

_READY_MAX: Final = 1024
"""Origins whose files are kept ready: more than are asked at once."""

_READY_BYTES_MAX: Final = 64 * 1024
"""Bytes of an origin's files up to which they are kept ready."""

TOKEN_RULE: Final = "letters, digits, '-' and '_' only, such as PictureBot"


class _Url(NamedTuple):
    """The URL that is judged, taken apart once."""

    url: str
    origin: str
    target: str


class Registered(NamedTuple):
    """What a registry has about a URL.

    Attributes:
        name: the registry's.
        version: that in which it was looked up.
        matches: the entries that name the URL.
    """

    name: str
    version: int
    matches: Sequence[Match]


class Listed(NamedTuple):
    """What registries have about many URLs.

    Attributes:
        matches: what `registered` gives for a URL, by its place, in order; only where any entry is in force.
        unparsed: places of nulls, and of what is no URL of http(s), in order; one may be in `matches` too.
        nothing: what `registered` gives for a URL that is not listed.
    """

    matches: Mapping[int, tuple[Registered, ...]]
    unparsed: Sequence[int]
    nothing: tuple[Registered, ...]


class Gate:
    """Judges URLs under one product token, one policy, and registries. Safe to share between threads."""

    def __init__(
        self,
        token: str,
        policy: Policy | str | Path = "standard",
        registries: Iterable[Registry | str | Path] = (),
    ) -> None:
        """Make a gate.

        Args:
            token: the product token that robots.txt files know us by (RFC 9309, section 2.2.1).
            policy: a policy, a shipped profile's name, or a TOML file.
            registries: built indexes, open, or by their folders: these are opened, and verified where no
                earlier run has done so.

        Raises:
            ConfigurationError: the token or the policy is not valid, or a registry cannot be relied upon: all
                faults are told.
        """
        faults = []
        if not robots.valid_token(token):
            faults.append(f"{token!r} is no product token: {TOKEN_RULE}.")
        try:
            self.policy = policy if isinstance(policy, Policy) else Policy.load(policy)
        except ConfigurationError as error:
            faults += error.faults
        opened = []
        for registry in registries:
            try:
                if isinstance(registry, Registry):
                    opened.append(registry)
                else:
                    opened.append(Registry.open(registry, now=time.time()))
            except ConfigurationError as error:
                faults += error.faults
        if any(registry.has_fingerprints for registry in opened):
            try:
                fingerprint.require()
            except ConfigurationError as error:
                faults += error.faults
        if faults:
            raise ConfigurationError(*faults)
        self.token = token
        self.registries = tuple(opened)
        self._remotes = tuple(remote.name for remote in self.policy.remotes)
        self._effects = self.policy.effects()
        self._origins: dict[str, Origin] = {}
        self._overrides = tuple(
            _CompiledOverride(override, f"override {number}", self.policy.name)
            for number, override in enumerate(self.policy.overrides, 1)
        )

    def origin_files(self, url: str) -> tuple[str, ...]:
        """The origin files that are read first for `url`; none if it cannot be judged.

        What they hold can make further ones necessary: see `judge`.
        """
        parts = split_url(url)
        return () if parts is None else tuple([parts[0] + path for path in FIRST])

    def registered(self, url: str) -> tuple[Registered, ...]:
        """What each registry has about `url`: `judge` need not look it up anew at every stage.

        Raises:
            RegistryError: a registry turned out to be damaged, or has expired.
        """
        return self._lookup(url, split_url(url)) if self.registries else ()

    def _lookup(self, url: str, parts: tuple[str, str] | None) -> tuple[Registered, ...]:
        address = None if parts is None else address_of(*parts)
        return tuple(
            Registered(
                each.name, each.version, each.lookup(url) if address is None else each.lookup_address(address)
            )
            for each in self.registries
        )

    def registered_batch(self, urls: Sequence[str | None], now: float) -> list[tuple[Registered, ...]]:
        """As `registered` for each of `urls`, sooner; of None, nothing is registered.

        Args:
            urls: some ten thousand at once are best.
            now: Unix time in seconds; where no entry is in force any more, none is given.

        Raises:
            RegistryError: as `registered`.
        """
        listed = self.listed_batch(urls, now)
        return [listed.matches.get(place, listed.nothing) for place in range(len(urls))]

    def listed_batch(self, urls: Any, now: float) -> Listed:
        """As `registered_batch`, but only what is listed is named, so that all else costs nothing more.

        Unless an override or a remote registry speaks of it, the verdict on what is neither named here nor
        unparsed is the same for all.

        Args:
            urls: as for `Registry.lookup_batch`.
            now: Unix time in seconds, as for `registered_batch`.

        Raises:
            RegistryError: as `registered`.
        """
        apart = take_apart(urls)
        found = [(each.name, each.find_batch(apart)) for each in self.registries]
        listed = {
            place
            for _, each in found
            for place, matches in each.matches.items()
            if any(match.entry.in_force(now) for match in matches)
        }
        return Listed(
            {
                place: tuple(
                    [Registered(name, each.version, each.matches.get(place, ())) for name, each in found]
                )
                for place in sorted(listed)
            },
            tuple(apart.unparsed),
            tuple([Registered(name, each.version, ()) for name, each in found]),
        )

    def judge(
        self,
        url: str,
        *,
        origin_files: Mapping[str, OriginFile],
        page: Page | None = None,
        response: Response | None = None,
        body: bytes | Body | Embedded | None = None,
        signature: Signature | None = None,
        remote: Mapping[str, Statement] = _NOTHING_SAID,
        registered: Iterable[Registered] | None = None,
        stage: Stage = Stage.BODY,
        now: float | None = None,
    ) -> Verdict | Needs:
        """Judge one URL, that is one hop: a redirect's target is a URL of its own.

        Args:
            url: the absolute URL of the picture.
            origin_files: the files of the URL's own origin, by URL; more may be given.
            page: the page on which the picture was found, if that is known.
            response: the head of the response to `url`, once it is there. Its status changes nothing.
            body: the picture as it was sent, content encoding undone, before anything re-encodes it. A `Body`
                is read once however often it is judged. Of a picture that is still coming in, what is already
                certain: `heedful.signals.embedded.Watch.embedded`.
            signature: whether the body's C2PA signature is valid; asked for where the verdict hangs on it.
            remote: what the policy's remote registries say of the URL, by their names.
            registered: what `registered` gave for the URL, or `registered_batch`; None: it is looked up now.
            stage: the last stage whose input is complete. What a later stage could still overrule does not
                decide yet; with the default, all that there will ever be was given.
            now: Unix time in seconds, by which overrides and entries of registries expire. Not known: denies
                hold, licences and opt-ins do not.

        Returns:
            A verdict, or what is needed to reach one.

        Raises:
            RegistryError: a registry turned out to be damaged, or has expired.
        """
        fold = Fold(self._effects, self.policy)
        if isinstance(body, bytes):
            body = Body(body)
        parts = split_url(url)
        if registered is None:
            registered = self._lookup(url, parts)
        self._registered(registered, body, fold, now)
        if parts is None:
            listed = fold.verdict(url, stage)
            return (
                listed
                if listed.action is Action.SKIP
                else replace(_unjudgeable(url), registries=listed.registries)
            )
        at = _Url(url, *parts)
        for name in self._remotes:
            if name in remote:
                fold.add(Stage.URL, Reading((remote[name],)), name)
        self._overrule(at, fold, now)

        origin = self._origin(at, origin_files)
        origin.hear(at.target, None if response is None else response.headers, fold, now)
        missing = [*origin.missing, *_licences(at, origin.announced, Stage.ORIGIN, origin_files, fold)]
        linked: list[str] = []
        if response is not None:
            headers = tuple([header for header in response.headers if header[0].lower() in SPEAKING])
            if headers:
                self._headers(headers, Source(url, fetched=response.fetched), fold)
                links = rsl.linked(headers, url)
                linked = _licences(at, links, Stage.HEADERS, origin_files, fold)
        if page is not None:
            self._page(page, fold)
        signed: tuple[Statement, ...] = ()
        if body is not None:
            fetched = None if response is None else response.fetched
            signed = self._body(body, Source(url, fetched=fetched), signature, fold)

        verdict = fold.verdict(url, stage)
        unasked = tuple([name for name in self._remotes if name not in remote])
        hangs = bool(signed) and fold.verdict(url, stage, signed).action is not verdict.action
        if _final(verdict) and not hangs:
            part = body is not None and not isinstance(body, Body)
            return _so_far(verdict, bool(unasked), bool(missing), bool(linked), part)
        if missing or linked or unasked:
            return Needs(tuple(dict.fromkeys(missing + linked)), remotes=unasked)
        return Needs(signature=True) if hangs else verdict

    def rejudge(
        self, url: str, heard: Iterable[Heard], *, stage: Stage, now: float | None = None
    ) -> Verdict | Needs:
        """Judge a URL by what was heard of it under whatever policy, as a ledger has it.

        Args:
            url: the absolute URL of the picture.
            heard: what was said up to `stage`. The operator's own word, and which remote registries count,
                are this gate's policy's to say.
            stage: the last stage whose input is there.
            now: Unix time in seconds, as for `judge`.

        Returns:
            As `judge`, but that origin files are never needed.
        """
        fold = Fold(self._effects, self.policy)
        asked, signed = set(), []
        for each in heard:
            statement = each.statement
            if statement.signal is Reason.REGISTRY_REMOTE:
                asked.add(each.protocol)
                if each.protocol not in self._remotes:
                    continue
            elif each.protocol == OVERRIDE:
                continue
            elif statement.rule.endswith(_NOT_CHECKED):
                rule = statement.rule.removesuffix(_NOT_CHECKED)
                signed.append(replace(statement, preference=Preference.ALLOW, rule=rule))
            fold.add(each.stage, Reading((statement,)), each.protocol)
        parts = split_url(url)
        if parts is not None:
            self._overrule(_Url(url, *parts), fold, now)
        verdict = fold.verdict(url, stage)
        agreed = self._agreed(signed)
        hangs = bool(agreed) and fold.verdict(url, stage, agreed).action is not verdict.action
        unasked = tuple(name for name in self._remotes if name not in asked)
        if (unasked and not _final(verdict)) or hangs:
            return Needs(remotes=unasked, signature=hangs)
        return verdict

    def _overrule(self, at: _Url, fold: Fold, now: float | None) -> None:
        """Hear the operator."""
        for override in self._overrides:
            if override.matches(at) and override.override.in_force(now):
                override.add_to(fold)

    def _registered(
        self, registered: Iterable[Registered], body: Body | Embedded | None, fold: Fold, now: float | None
    ) -> None:
        """Hear the local registries: the URL, and the file's hashes and looks if it is there."""
        for registry, (name, version, matches) in zip(self.registries, registered, strict=True):
            fold.registries.append((name, version))
            found = list(matches)
            if isinstance(body, Body):
                if registry.has_digests:
                    found += registry.lookup_digests(body.sha256, body.md5)
                if registry.has_fingerprints:
                    declining, agreeing = _alike(registry, body)
                    found += declining
                    for stage, reading in recorded(name, agreeing):
                        fold.add(stage, reading, PROTOCOL)
            if found:
                for stage, reading in statements_of(name, decide(found, self.policy.purpose, now)):
                    fold.add(stage, reading, PROTOCOL)

    def _compares(self) -> bool:
        """Whether pictures are compared with listed ones: a new version of a registry may be the first to."""
        return any(registry.has_fingerprints for registry in self.registries)

    def _origin(self, at: _Url, files: Mapping[str, OriginFile]) -> Origin:
        """The files of the URL's origin, made ready: mostly by an earlier picture."""
        origin = self._origins.get(at.origin)
        if origin is None or not origin.is_of(files):
            origin = Origin(at.origin, files, self.token, self.policy.policy_tokens)
            if origin.size <= _READY_BYTES_MAX:
                if len(self._origins) >= _READY_MAX:
                    self._origins.clear()
                self._origins[at.origin] = origin
        return origin

    def _headers(self, headers: Headers, source: Source, fold: Fold) -> None:
        length = sum(len(value) for _, value in headers)
        read = _read_headers if length <= _REMEMBERED_MAX else _read_headers.__wrapped__
        for name, reading in read(headers, self.token):
            fold.add(Stage.HEADERS, reading.found_in(source), name)

    def _page(self, page: Page, fold: Fold) -> None:
        source = Source(page.url, fetched=page.fetched)
        fold.add(Stage.PAGE, meta_robots.page_headers(page.headers, self.token, source), "page")
        fold.add(Stage.PAGE, meta_robots.read(page.html, self.token, source), "page")

    def _body(
        self, body: Body | Embedded, source: Source, signature: Signature | None, fold: Fold
    ) -> tuple[Statement, ...]:
        """Hear the picture itself; returns the allows that would count if its signature were valid."""
        if isinstance(body, Body) and self._compares() and body.undecodable is not None:
            fold.add(Stage.BODY, Reading((_undecodable(body.undecodable, source),)), PROTOCOL)
        found = body.embedded if isinstance(body, Body) else body
        if not (found.reading.statements or found.reading.warnings or found.signed):
            return ()
        if isinstance(body, Body):
            source = replace(source, sha256=body.sha256.hex())
        fold.add(Stage.BODY, found.reading.found_in(source), _FILE)
        signed = [statement.found_in(source) for statement in found.signed]
        agreed = self._agreed(signed)
        if signature is not None and signature.valid:
            fold.add(Stage.BODY, Reading(agreed), _FILE)
            return ()
        words = _NOT_CHECKED if signature is None else f"; signature: {signature.words}"
        unproved = [replace(each, preference=Preference.UNKNOWN, rule=each.rule + words) for each in signed]
        fold.add(Stage.BODY, Reading(tuple(unproved)), _FILE)
        return agreed if signature is None else ()

    def _agreed(self, signed: Iterable[Statement]) -> tuple[Statement, ...]:
        """Those that count: agreeing to a part of the training is not agreeing to all of it."""
        return tuple(each for each in signed if each.covers in {Purpose.TRAIN_ANY, self.policy.purpose})


_FILE: Final = "file"
"""The protocol that the picture's own words are heard under: no precedence inside it."""


_NOT_CHECKED: Final = "; signature not checked"
"""What is added to the rule of a signed allow that changes nothing, whether it is valid or not."""


def _final(verdict: Verdict) -> bool:
    """Whether nothing that is not yet heard is waited for."""
    return verdict.action is Action.SKIP and verdict.reason is not Reason.NO_OPT_IN


def _so_far(verdict: Verdict, unasked: bool, missing: bool, linked: bool, part: bool) -> Verdict:  # noqa: FBT001
    """A final verdict that says how far all was heard.

    Args:
        verdict: it.
        unasked: a remote registry was not asked.
        missing: an origin file is missing.
        linked: a file that the response's headers lead to is missing.
        part: only a part of the body was there.
    """
    if not (unasked or missing or linked or part):
        return verdict
    last = Stage.URL if missing else Stage.ORIGIN if linked else Stage.HEADERS
    complete = None if unasked else min(verdict.complete or last, last, key=STAGE_ORDER.__getitem__)
    return replace(verdict, complete=complete)


def _unjudgeable(url: str) -> Verdict:
    """Not a URL, or none of http(s): no signal can be asked for, so nothing may be stored."""
    statement = Statement(
        Reason.UNDETERMINED,
        Preference.UNDETERMINED,
        "not a valid http(s) URL",
        Evidence(url, "URL", url),
    )
    return Verdict(url, Action.DEFER, (Reason.UNDETERMINED,), Stage.URL, (statement,))


# -- overrides -------------------------------------------------------------------------------------------


class _CompiledOverride:
    """An override, ready to be matched."""

    def __init__(self, override: Override, where: str, policy: str) -> None:
        self.override = override
        self._pattern: PathPattern | None = None
        self._origin: str | None = None
        if override.matches is Matches.URL:
            parts = split_url(override.value)
            assert parts is not None  # noqa: S101 - the policy was validated
            self._origin = parts[0]
            self._pattern = PathPattern(_path_of(override.value))
        deny = override.ruling is Ruling.DENY
        self._statement = Statement(
            Reason.OPERATOR_DENY,
            Preference.DISALLOW if deny else Preference.ALLOW,
            f"{override.ruling.value} {override.matches.value} {override.value}",
            Evidence(policy, where, override.evidence),
            covers=override.purpose,
        )

    def matches(self, at: _Url) -> bool:
        if self._pattern is not None:
            return at.origin == self._origin and self._pattern.matches(at.target)
        host = (urlsplit(at.origin).hostname or "").rstrip(".")
        if self.override.matches is Matches.HOST:
            return host == self.override.value
        return host == self.override.value or host.endswith("." + self.override.value)

    def add_to(self, fold: Fold) -> None:
        if self.override.ruling is Ruling.DENY:
            fold.add(Stage.URL, Reading((self._statement,)), OVERRIDE)
        else:
            fold.license(self._statement)


def _path_of(url: str) -> str:
    """Path and query of an override's URL, its `*` and `$` as they were written."""
    rest = url.partition("://")[2]
    slash = min((i for i in (rest.find("/"), rest.find("?")) if i >= 0), default=len(rest))
    path = rest[slash:].partition("#")[0]
    return path if path.startswith("/") else "/" + path


# -- origin files ----------------------------------------------------------------------------------------


def _undecodable(why: str, source: Source) -> Statement:
    return Statement(
        Reason.UNDETERMINED,
        Preference.UNDETERMINED,
        "a picture that cannot be compared with listed ones",
        source.at("picture", why),
    )


def _alike(registry: Registry, body: Body) -> tuple[list[Match], list[Match]]:
    """The entries about pictures that look like this one: those that decline, and those that agree."""
    found: dict[Entry, Match] = {}
    for view in body.fingerprints:
        for match in registry.lookup_fingerprint(view):
            found.setdefault(match.entry, match)
    declining = [match for match in found.values() if not match.entry.opt_in]
    return declining, [match for match in found.values() if match.entry.opt_in]


def _licences(
    at: _Url,
    announced: Iterable[rsl.Announcement],
    stage: Stage,
    files: Mapping[str, OriginFile],
    fold: Fold,
) -> list[str]:
    """Hear the RSL documents that were announced; returns those that are missing."""
    missing = []
    for url in dict.fromkeys(announcement.url for announcement in announced):
        file = files.get(url)
        if file is None:
            missing.append(url)
            continue
        if file.unreachable:
            reading = undetermined(file, Reason.UNDETERMINED, "unreadable")
        elif not file.readable:
            reading = rsl.unusable(file.source, f"status {file.status}")
        else:
            fold.snapshots.append((file.url, file.sha256))
            document = file.parsed(as_rsl)
            reading = document.read(at.origin, at.target, file.source)
        fold.add(stage, reading, "rsl")
    return missing


# -- response headers ------------------------------------------------------------------------------------


def _tokenless(read: Callable[[Headers, Source], Reading]) -> Callable[[Headers, str, Source], Reading]:
    return lambda headers, _, source: read(headers, source)


_HEADER_READERS: Final[dict[str, Callable[[Headers, str, Source], Reading]]] = {
    "x-robots-tag": x_robots_tag.read,
    "robots-tag": robots_tag.read,
    tdmrep.HEADER: _tokenless(tdmrep.read_headers),
    "content-usage": _tokenless(content_usage.read_headers),
    "content-signal": _tokenless(content_signal.read_headers),
}

_REMEMBERED_MAX: Final = 2048
"""Longest header values, in characters, of which the reading is remembered."""


@lru_cache(maxsize=512)  # a site says the same with each of its pictures
def _read_headers(headers: Headers, token: str) -> tuple[tuple[str, Reading], ...]:
    """What response headers say, by the header's name; the evidence does not yet say of which response."""
    names = {name.lower() for name, _ in headers}
    nowhere = Source("")
    return tuple(
        (name, read(headers, token, nowhere)) for name, read in _HEADER_READERS.items() if name in names
    )


SPEAKING: Final = frozenset({*_HEADER_READERS, "tdm-policy", "link"})
"""The header lines that anybody reads: most responses have none, and are passed over at once."""
