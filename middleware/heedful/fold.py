"""The fold: from what all protocols say to one verdict.

Inside a protocol its own precedence holds; across protocols the most restrictive wins. An explicit allow
lifts only what was inferred from words to others; skip beats defer beats store; only the operator's own
licence lifts a deny.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heedful.model import (
    REASON_ORDER,
    STAGE_ORDER,
    Action,
    Heard,
    Preference,
    Purpose,
    Reason,
    Stage,
    Strength,
    Verdict,
    sorted_reasons,
)
from heedful.policy import Effect
from heedful.signals import tdmrep

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from heedful.model import ParseWarning, Reading, Statement
    from heedful.policy import Policy

OVERRIDE: Final = "override"
"""What the operator's own word is heard under."""


class Fold:
    """Gathers statements, then combines them; their order does not matter.

    Attributes:
        snapshots: URL and SHA-256 (hex) of each file that was read.
        registries: name and version of each registry that was asked.
    """

    def __init__(self, effects: Mapping[str | None, Effect], policy: Policy) -> None:
        self._effects = effects
        self._policy = policy
        self._denies: list[Heard] = []
        self._allows: list[Heard] = []
        self._undetermined: list[Heard] = []
        self._recorded: list[Heard] = []
        self._licences: list[Heard] = []
        self._ignored: list[Heard] = []
        self._warnings: list[ParseWarning] = []
        self.snapshots: list[tuple[str, str]] = []
        self.registries: list[tuple[str, int]] = []

    def add(self, stage: Stage, reading: Reading, protocol: str) -> None:
        """Hear what a parser found at a stage; `protocol` is the header or path that it read."""
        self._warnings += reading.warnings
        for statement in reading.statements:
            effect = self._effects[statement.switch]
            preference = statement.for_purpose(self._policy.purpose)
            silent = preference is Preference.UNKNOWN
            heard = Heard(stage, protocol, statement)
            if effect is Effect.DROP or (silent and statement.preference is not preference):
                self._ignored.append(heard)
            elif effect is Effect.RECORD or silent:
                self._recorded.append(heard)
            elif preference is Preference.DISALLOW:
                self._denies.append(heard)
            elif preference is Preference.ALLOW:
                self._allows.append(heard)
            else:
                self._undetermined.append(heard)

    def license(self, statement: Statement) -> None:
        """Hear the operator's licence; one for a part of training does not cover all of it."""
        if statement.covers in {Purpose.TRAIN_ANY, self._policy.purpose}:
            self._licences.append(Heard(Stage.URL, OVERRIDE, statement))

    def verdict(self, url: str, stage: Stage, supposing: Iterable[Statement] = ()) -> Verdict:
        """The verdict, if `stage` is the last one whose input is complete.

        With `supposing`, what it would be if these allows counted as well.
        """
        supposed = [Heard(stage, "", statement) for statement in supposing]
        if not (self._denies or self._allows or self._undetermined or self._licences or supposed):
            return self._silence(url, stage)
        superseded = self._superseded(stage)
        denies, allows, undetermined = (
            [heard for heard in group if heard not in superseded]
            for group in (self._denies, self._allows, self._undetermined)
        )
        allows = self._licences + allows + supposed
        explicit = any(heard.statement.strength is Strength.EXPLICIT for heard in allows)
        lifted = [heard for heard in denies if explicit and self._lifts(heard.statement)]
        denies = [heard for heard in denies if heard not in lifted]
        reasons = sorted_reasons(heard.statement.signal for heard in denies)
        causes = sorted_reasons(heard.statement.signal for heard in undetermined)

        lost = lifted + superseded
        if denies or undetermined:
            action = Action.SKIP if denies else Action.DEFER
            decisive, lost = denies + undetermined, allows + lost
        elif not explicit:
            return self._silence(url, stage, allows + lost)
        else:
            action, decisive = Action.STORE, allows
        stages = [
            # The word of a tdmrep.json stands once the header that could supersede it is known.
            Stage.HEADERS if heard.protocol == tdmrep.PATH and heard in denies else heard.stage
            for heard in denies or undetermined
        ]
        return Verdict(
            url=url,
            action=action,
            reasons=reasons + tuple(cause for cause in causes if cause not in reasons),
            stage=min(stages, key=STAGE_ORDER.__getitem__, default=stage),
            evidence=_statements(decisive) + _statements(self._recorded),
            overridden=_statements(lost),
            warnings=tuple(dict.fromkeys(self._warnings)),
            snapshots=tuple(dict.fromkeys(self.snapshots)),
            registries=tuple(self.registries),
            heard=self._heard(),
            complete=stage,
        )

    def _silence(self, url: str, stage: Stage, lost: Sequence[Heard] = ()) -> Verdict:
        """Nobody said anything that counts: the regime decides, once all has been heard."""
        opt_in = self._policy.regime == "opt-in" and stage is Stage.BODY
        return Verdict(
            url=url,
            action=Action.SKIP if opt_in else Action.STORE,
            reasons=(Reason.NO_OPT_IN,) if opt_in else (),
            stage=stage,
            evidence=_statements(self._recorded),
            overridden=_statements(lost),
            warnings=tuple(dict.fromkeys(self._warnings)),
            snapshots=tuple(dict.fromkeys(self.snapshots)),
            registries=tuple(self.registries),
            heard=self._heard(),
            complete=stage,
        )

    def _heard(self) -> tuple[Heard, ...]:
        return (
            *self._denies,
            *self._allows,
            *self._undetermined,
            *self._recorded,
            *self._licences,
            *self._ignored,
        )

    def _lifts(self, deny: Statement) -> bool:
        """Whether an explicit allow that was heard lifts `deny`: a licence any one but the operator's own."""
        if deny.signal is Reason.OPERATOR_DENY:
            return False
        return bool(self._licences) or deny.strength is Strength.INFERRED

    def _superseded(self, stage: Stage) -> list[Heard]:
        """TDMRep's own precedence: the response header supersedes the file, both ways.

        Until the header can have been seen, the file's word is therefore provisional; what could not be
        read is not: there is no contact in doubt.
        """
        by_file, by_header = (
            [
                heard
                for heard in self._denies + self._allows + self._undetermined
                if heard.protocol == protocol
            ]
            for protocol in (tdmrep.PATH, tdmrep.HEADER)
        )
        if by_header:
            return by_file
        if STAGE_ORDER[stage] < STAGE_ORDER[Stage.HEADERS]:
            return [heard for heard in by_file if heard not in self._undetermined]
        return []


def _statements(heard: Sequence[Heard]) -> tuple[Statement, ...]:
    """The statements, in the order of their reasons."""
    if not heard:  # of most pictures nothing is said
        return ()
    return tuple(sorted((each.statement for each in heard), key=lambda each: REASON_ORDER[each.signal]))
