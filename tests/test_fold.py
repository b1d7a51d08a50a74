"""The laws of the fold, over statements of all kinds."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from heedful import Action, Evidence, Policy, Preference, Purpose, Reason, Stage, Statement, Strength
from heedful.fold import Fold
from heedful.model import Reading
from heedful.policy import OTHER_AGENTS_SINGLE, PROFILES, SWITCHES
from heedful.signals import tdmrep

PREFERENCES = (Preference.DISALLOW, Preference.ALLOW, Preference.UNKNOWN, Preference.UNDETERMINED)
STATEMENTS = st.builds(
    Statement,
    signal=st.sampled_from(
        [Reason.ROBOTS_AI_TOKEN, Reason.CONTENT_USAGE, Reason.TDMREP, Reason.UNDETERMINED]
    ),
    preference=st.sampled_from(PREFERENCES),
    rule=st.sampled_from(["a", "b"]),
    evidence=st.just(Evidence("http://h/", "line 1", "x")),
    strength=st.sampled_from(Strength),
    covers=st.sampled_from(Purpose),
    switch=st.sampled_from([None, None, OTHER_AGENTS_SINGLE, *SWITCHES]),
)
HEARD = st.lists(
    st.tuples(
        st.sampled_from([Stage.ORIGIN, Stage.HEADERS, Stage.BODY]),
        STATEMENTS,
        st.sampled_from([tdmrep.PATH, tdmrep.HEADER, "x"]),
    ),
    max_size=6,
)
POLICIES = st.builds(
    replace,
    st.sampled_from([Policy.load(name) for name in PROFILES]),
    purpose=st.sampled_from(Purpose),
)
DENY = Statement(Reason.X_ROBOTS_TAG, Preference.DISALLOW, "noai", Evidence("http://h/", "header", "noai"))
RANK = {Action.STORE: 0, Action.DEFER: 1, Action.SKIP: 2}


def fold(policy, heard, stage=Stage.BODY):
    gathered = Fold(policy.effects(), policy)
    for at, statement, protocol in heard:
        gathered.add(at, Reading((statement,)), protocol)
    return gathered.verdict("http://h/1.jpg", stage)


@given(POLICIES, HEARD, st.randoms(use_true_random=False))
def test_the_order_of_statements_does_not_matter(policy, heard, random):
    other = list(heard)
    random.shuffle(other)
    one, two = fold(policy, heard), fold(policy, other)
    assert (one.action, one.reasons, one.stage) == (two.action, two.reasons, two.stage)
    assert set(one.evidence) == set(two.evidence)
    assert set(one.overridden) == set(two.overridden)


@given(POLICIES, HEARD)
def test_a_deny_that_counts_skips_whatever_else_is_said(policy, heard):
    verdict = fold(policy, [*heard, (Stage.HEADERS, DENY, "x")])
    assert verdict.action is Action.SKIP
    assert Reason.X_ROBOTS_TAG in verdict.reasons
    assert DENY in verdict.evidence


@given(POLICIES, HEARD, STATEMENTS.map(lambda each: replace(each, preference=Preference.DISALLOW)))
def test_adding_a_deny_never_makes_a_verdict_milder(policy, heard, deny):
    before = fold(policy, heard)
    after = fold(policy, [*heard, (Stage.HEADERS, deny, "x")])
    assert RANK[after.action] >= RANK[before.action]
    assert set(before.reasons) - {Reason.NO_OPT_IN} <= set(after.reasons)


@given(POLICIES, HEARD)
def test_nothing_that_was_heard_is_lost(policy, heard):
    verdict = fold(policy, heard)
    effects = policy.effects()
    kept = {
        statement
        for _, statement, _ in heard
        if effects[statement.switch].value != "drop"
        and (
            statement.preference is Preference.UNKNOWN
            or statement.for_purpose(policy.purpose) is not Preference.UNKNOWN
        )
    }
    assert set(verdict.evidence) | set(verdict.overridden) == kept


@given(POLICIES, HEARD)
def test_reasons_are_backed_by_evidence(policy, heard):
    verdict = fold(policy, heard)
    assert bool(verdict.reasons) == (verdict.action is not Action.STORE)
    assert set(verdict.reasons) - {Reason.NO_OPT_IN} <= {each.signal for each in verdict.evidence}
    assert len(set(verdict.reasons)) == len(verdict.reasons)
