"""Policy tokens: robots.txt groups for a purpose instead of a crawler.

After draft-kelley-aipref-training-preference-signal-00 (2026-10-30): an ordinary group under a token that
stands for training, whose Disallow lines speak of use, not of access. Which tokens do is the policy's to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from heedful.model import Preference, Reading, Reason, Statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heedful.model import Source
    from heedful.signals.robots import Robots


def read(robots: Robots, policy_tokens: Sequence[str], target: str, source: Source) -> Reading:
    """Whether the groups of policy tokens close a path to training.

    Args:
        robots: the file.
        policy_tokens: the tokens that stand for training, in any case.
        target: path and query in canonical form.
        source: the file's origin, for the evidence.

    Returns:
        one denying statement for each token with a Disallow that decides. An Allow permits nothing.
    """
    statements = []
    for token in policy_tokens:
        group = robots.explicit(token)  # explicit groups only, never that for `*`
        rule = group.refusal(target) if group else None
        if rule:
            words, evidence = f"{rule} for {token}", source.at(f"line {rule.line}", rule.raw)
            statements.append(Statement(Reason.ROBOTS_POLICY_TOKEN, Preference.DISALLOW, words, evidence))
    return Reading(tuple(statements))
