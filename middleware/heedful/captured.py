"""Captured exchanges, one JSON object a line, judged offline: what `heedful judge` reads.

All that a row holds is evaluated; origin files that it does not give are 404.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from heedful import c2pa
from heedful.body import Body
from heedful.errors import ConfigurationError
from heedful.gate import Gate
from heedful.model import Action, Needs, OriginFile, Page, Purpose, Reason, Response, Stage, Verdict
from heedful.origins import Exchange
from heedful.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heedful.model import Headers

_ABSENT = 404


@dataclass(frozen=True, slots=True)
class Want:
    """What a row expects: the action, and reasons that must be among those given."""

    action: Action
    reasons: tuple[Reason, ...] = ()

    def met_by(self, verdict: Verdict) -> bool:
        """Whether `verdict` is as expected."""
        return verdict.action is self.action and set(self.reasons) <= set(verdict.reasons)


@dataclass(frozen=True, slots=True)
class Hop:
    """A URL and the response to it: its head, and the body if it was captured."""

    url: str
    response: Response | None
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Captured:
    """One row.

    Attributes:
        id: its name.
        token, policy: what it is judged under; None: the caller's default.
        purpose: replaces the policy's.
        origin_files: by URL.
        hops: the redirects, in order, and then the picture itself.
    """

    id: str
    hops: tuple[Hop, ...]
    origin_files: Mapping[str, OriginFile]
    token: str | None = None
    policy: str | None = None
    purpose: Purpose | None = None
    page: Page | None = None
    want: Want | None = None

    @classmethod
    def parse(cls, line: str | bytes) -> Captured:
        """Read a row.

        Raises:
            ValueError: it is none; the message says what is wrong.
        """
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not JSON: {error}") from error
        _known(_expect(row, dict, "a row"), _KEYS)
        files = _get(row, "origin_files", dict, {})
        page = _get(row, "page", dict, None)
        want = _get(row, "want", dict, None)
        purpose = _get(row, "purpose", str, None)
        hops = [_hop(_expect(hop, dict, "a hop")) for hop in _get(row, "hops", list, [])]
        return cls(
            id=str(row.get("id", "")),
            hops=(*hops, _hop(row)),
            origin_files=_files(files),
            token=_get(row, "token", str, None),
            policy=_get(row, "policy", str, None),
            purpose=None if purpose is None else Purpose(purpose),
            page=None
            if page is None
            else Page(_get(page, "url", str), _headers(page), _get(page, "html", str, "")),
            want=None
            if want is None
            else Want(Action(_get(want, "action", str)), tuple(map(Reason, _get(want, "reasons", list, [])))),
        )

    def judge(self, *, token: str | None, policy: str, now: float | None = None) -> Verdict:
        """The verdict on all hops together: a skip on any of them, else a defer, else a store.

        Args:
            token: the product token, if the row has none.
            policy: the policy, if the row has none.
            now: Unix time in seconds, by which overrides expire.

        Raises:
            ConfigurationError: no token at all, or a token or policy that is not valid.
        """
        token = token if self.token is None else self.token
        if token is None:
            raise ConfigurationError("The row has no token: give one with --token.")
        gate = _gate(token, policy if self.policy is None else self.policy, self.purpose)
        *redirects, last = self.hops
        verdicts = [self._judge(gate, hop, Stage.HEADERS, now) for hop in redirects]
        return combined([*verdicts, self._judge(gate, last, Stage.BODY, now)])

    def _judge(self, gate: Gate, hop: Hop, stage: Stage, now: float | None) -> Verdict:
        files = dict(self.origin_files)
        body = None if hop.body is None or stage is not Stage.BODY else Body(hop.body)
        signature = None
        while isinstance(
            answer := gate.judge(
                hop.url,
                origin_files=files,
                page=self.page,
                response=hop.response,
                body=body,
                signature=signature,
                stage=stage,
                now=now,
            ),
            Needs,
        ):
            files |= {url: OriginFile(url, _ABSENT) for url in answer.urls}
            if answer.signature and body is not None:
                signature = c2pa.check(body.data, body.media_type or "")
        return answer


def combined(verdicts: list[Verdict]) -> Verdict:
    """The verdict on the hops of one picture, of which the last is the picture itself."""
    decisive = [verdict for verdict in verdicts if verdict.action is Action.SKIP] or [
        verdict for verdict in verdicts if verdict.action is Action.DEFER
    ]
    if not decisive:
        return verdicts[-1]
    others = [verdict for verdict in verdicts if verdict not in decisive and verdict.reasons]
    first, *more = decisive + others
    return replace(
        first,
        reasons=tuple(dict.fromkeys(reason for each in (first, *more) for reason in each.reasons)),
        evidence=tuple(statement for each in (first, *more) for statement in each.evidence),
        overridden=tuple(statement for each in (first, *more) for statement in each.overridden),
    )


@lru_cache(maxsize=64)
def _gate(token: str, policy: str, purpose: Purpose | None) -> Gate:
    loaded = Policy.load(policy)
    return Gate(token, loaded if purpose is None else replace(loaded, purpose=purpose))


_KEYS = {
    *(
        "id",
        "shows",
        "clause",
        "url",
        "token",
        "policy",
        "origin_files",
        "page",
        "hops",
        "purpose",
        "response",
    ),
    "want",
}
_REQUIRED: Any = object()


def _expect(value: Any, kind: type, what: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{what} must be {_WORDS[kind]}")
    return value


_WORDS = {dict: "an object", list: "an array", str: "a string", int: "a whole number"}


def _get(data: Mapping[str, Any], key: str, kind: type, default: Any = _REQUIRED) -> Any:
    value = data.get(key)
    if value is None:
        if default is _REQUIRED:
            raise ValueError(f"{key!r} is missing")
        return default
    return _expect(value, kind, repr(key))


def _headers(data: Mapping[str, Any]) -> Headers:
    pairs = _get(data, "headers", list, [])
    for pair in pairs:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(each, str) for each in pair)):
            raise ValueError("'headers' must be an array of [name, value] pairs")
    return tuple((name, value) for name, value in pairs)


def _known(data: Mapping[str, Any], keys: set[str]) -> None:
    if unknown := data.keys() - keys:
        raise ValueError(f"unknown key {min(unknown)!r}")


def _files(data: Mapping[str, Any]) -> dict[str, OriginFile]:
    """Origin files by URL; redirects are followed to other files of the row."""
    given = {url: _file(url, file) for url, file in data.items()}
    return {url: _followed(url, given) for url in given}


def _followed(url: str, given: Mapping[str, OriginFile]) -> OriginFile:
    exchange = Exchange(url)
    while True:
        file = given.get(exchange.next_url, OriginFile(url, _ABSENT))
        if file.status == 0:
            end = exchange.failed(now=None)
        else:
            end = exchange.received(file.status, file.headers, file.body, now=None)
        if end is not None:
            return end


def _file(url: str, data: Any) -> OriginFile:
    _known(_expect(data, dict, f"the origin file {url!r}"), {"status", "headers", "body", "body_base64"})
    return OriginFile(url, _get(data, "status", int, 200), _headers(data), _content(data) or b"")


def _content(data: Mapping[str, Any]) -> bytes | None:
    body = _get(data, "body", str, None)
    if body is not None:
        return str(body).encode("utf-8", "surrogatepass")
    return _base64(data) if "body_base64" in data else None


def _base64(data: Mapping[str, Any]) -> bytes:
    try:
        return base64.b64decode(_get(data, "body_base64", str, ""), validate=True)
    except binascii.Error as error:
        raise ValueError(f"'body_base64': {error}") from error


def _hop(data: Mapping[str, Any]) -> Hop:
    url, response = _get(data, "url", str), _get(data, "response", dict, None)
    if response is None:
        return Hop(url, None)
    _known(response, {"status", "headers", "body", "body_base64"})
    return Hop(url, Response(_get(response, "status", int, 200), _headers(response)), _content(response))
