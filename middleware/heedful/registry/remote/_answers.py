"""What a remote registry says of a URL, and the statement that follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from heedful.model import Preference, Reason, Source, Statement

if TYPE_CHECKING:
    from heedful.registry.remote._config import RemoteConfig


@dataclass(frozen=True, slots=True)
class Answer:
    """The registry answered.

    Attributes:
        opt_out: the owner declines.
        opt_in: the owner agrees; never together with `opt_out`: who did both declined.
        fetched: when it answered, Unix time in seconds.
        raw: the item of its answer, as JSON; empty where it says neither.
    """

    opt_out: bool
    opt_in: bool
    fetched: float
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """It is not known what the registry holds: nothing may be stored.

    Attributes:
        why: in a few words, without anything secret.
    """

    why: str


def statement(answer: Answer | Unanswered, url: str, config: RemoteConfig) -> Statement:
    """What an answer says of `url`.

    Args:
        answer: what `RemoteRegistry.ask` returned for it.
        url: the URL.
        config: the registry that was asked.
    """
    if isinstance(answer, Unanswered):
        evidence = Source(config.source_url).at(config.name, answer.why)
        rule = f"{config.name}: no answer"
        return Statement(Reason.REGISTRY_REMOTE, Preference.UNDETERMINED, rule, evidence)
    evidence = Source(config.source_url, fetched=answer.fetched).at(config.name, answer.raw or url)
    if answer.opt_out:
        preference, words = Preference.DISALLOW, "opted out"
    elif answer.opt_in:
        preference, words = Preference.ALLOW, "opted in"
    else:
        preference, words = Preference.UNKNOWN, "not listed"
    return Statement(Reason.REGISTRY_REMOTE, preference, f"{config.name}: {words}", evidence)
