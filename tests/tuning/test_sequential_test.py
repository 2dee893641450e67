"""Evidence: the fold gives the same bits any way it is done, and the guarantee holds where there is nothing to find."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.core.learning import Outcome
from router.tuning.sequential_test import (
    GUARD_ALARM,
    MARGIN,
    RATIO_ALARM,
    SPOKEN_ALARM,
    SequentialTest,
    advance,
    new_test,
    replayed,
)
from tests.tuning.desk import T0, outcome
from tests.tuning.one_by_one import advance_one

REWARDS = st.one_of(st.none(), st.sampled_from([0.0, 1.0]), st.floats(0, 1))
SHARES = st.sampled_from([0.1, 0.25, 0.5, 0.9])
GUARDS = st.dictionaries(st.sampled_from(["slow", "tokens", "escalated"]), st.floats(0, 1), max_size=2)
OUTCOMES = st.lists(
    st.builds(
        lambda reward, arm, share, guards, again, at: outcome(reward, arm, share, at, guards, again),
        REWARDS,
        st.booleans(),
        SHARES,
        GUARDS,
        st.booleans(),
        st.integers(0, 10**6),
    ),
    max_size=60,
)


def one_by_one(bets: SequentialTest, outcomes: list[Outcome]) -> SequentialTest:
    for one in outcomes:
        bets = advance_one(bets, one)
    return bets


@given(OUTCOMES, st.integers(0, 60), st.sampled_from([0.0, MARGIN, -MARGIN]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_evidence_is_the_same_bits_one_by_one_at_once_or_in_parts(outcomes, cut, margin, reverse) -> None:
    start = new_test(margin, reverse=reverse)
    expected = one_by_one(start, outcomes)
    assert advance(start, outcomes) == expected
    assert advance(advance(start, outcomes[:cut]), outcomes[cut:]) == expected


@pytest.mark.parametrize("good", [(0.98, 0.02), (0.02, 0.98), (0.5, 0.5), (0.995, 0.99), (0.005, 0.01)])
@pytest.mark.parametrize("margin", [0.0, MARGIN, -MARGIN])
def test_long_runs_are_the_same_bits_where_wealth_is_lost_or_as_large_as_can_be(good, margin: float) -> None:
    dice = np.random.default_rng(3)
    arms = dice.random(5_000) < 0.5
    rows = [outcome(float(dice.random() < good[int(arm)]), bool(arm), 0.5, i) for i, arm in enumerate(arms)]
    bets = one_by_one(new_test(margin), rows)
    assert bets == replayed(rows, margin)
    assert np.isfinite([bets.evidence_for, bets.evidence_against]).all()


@given(
    st.floats(0.01, 0.99),
    st.booleans(),
    REWARDS.filter(lambda x: x is not None),
    OUTCOMES,
    st.sampled_from([0, MARGIN, -MARGIN]),
)
@settings(max_examples=100, deadline=None)
def test_no_single_outcome_ever_takes_all(share, arm, reward, before, margin) -> None:
    old = one_by_one(new_test(margin), before)
    new = advance(old, [outcome(reward, arm, share)])
    for was, now in zip((*old.reward.better, *old.reward.worse), (*new.reward.better, *new.reward.worse), strict=True):
        assert now > 0.09 * was


def test_a_unit_that_was_counted_before_is_not_bet_on() -> None:
    before = replayed([outcome(1.0, True), outcome(0.0, False)])
    after = advance(before, [outcome(1.0, True, repeated=True, at_ms=T0 + 99)])
    assert (after.outcomes, after.repeated, after.last_ms) == (3, 1, T0 + 99)
    assert (after.reward, after.spoken, after.ratio) == (before.reward, before.spoken, before.ratio)


def test_a_conversation_without_a_reward_moves_only_what_watches_silence_and_shares() -> None:
    after = advance(new_test(), [outcome(None, True)])
    assert after.reward == new_test().reward and after.spoken.n == 1 and after.ratio != new_test().ratio


@pytest.mark.parametrize(
    ("share", "reward", "guards", "says"),
    [
        (0.0, 1.0, {}, "between 0 and 1"),
        (1.0, 1.0, {}, "between 0 and 1"),
        (nan, 1.0, {}, "between 0 and 1"),
        (0.5, 1.01, {}, r"in \[0, 1\]"),
        (0.5, nan, {}, r"in \[0, 1\]"),
        (0.5, inf, {}, r"in \[0, 1\]"),
        (0.5, 1.0, {"slow": -0.1}, "'slow'"),
    ],
)
def test_what_no_trial_can_have_drawn_is_refused(share, reward, guards, says) -> None:
    wrong = outcome(reward, True, share, guards=guards)
    with pytest.raises(ValueError, match=says):
        advance(new_test(), [wrong])


def rows(n: int, share: float, arms: float, good: tuple[float, float], said: tuple[float, float] = (1, 1), bad=(0, 0)):
    dice = np.random.default_rng(11)
    for number in range(n):
        arm = int(dice.random() < arms)
        spoke = dice.random() < said[arm]
        reward = float(dice.random() < good[arm]) if spoke else None
        yield outcome(reward, bool(arm), share, number, {"escalated": float(dice.random() < bad[arm])})


@pytest.mark.parametrize(
    ("case", "alarms"),
    [
        (rows(3_000, 0.5, 0.5, (0.7, 0.8)), ()),
        (rows(3_000, 0.5, 0.4, (0.7, 0.7)), ("sample ratio",)),
        (rows(3_000, 0.1, 0.15, (0.7, 0.7)), ("sample ratio",)),
        (rows(3_000, 0.5, 0.5, (0.7, 0.7), said=(0.3, 0.4)), ("silence",)),
        (rows(3_000, 0.5, 0.5, (0.7, 0.7), bad=(0.1, 0.2)), ("escalated",)),
        (rows(3_000, 0.5, 0.5, (0.7, 0.7), bad=(0.2, 0.1)), ()),
        (rows(3_000, 0.5, 0.5, (0.7, 0.7), bad=(0.1, 0.11)), ()),
    ],
)
def test_alarms(case, alarms) -> None:
    assert replayed(case).alarms == alarms


def test_in_reverse_a_guardrail_watches_the_level_that_was_stepped_to() -> None:
    worse_now = list(rows(3_000, 0.5, 0.5, (0.7, 0.7), bad=(0.2, 0.1)))
    assert replayed(worse_now, reverse=True).alarms == ("escalated",)


def test_more_guardrails_need_more_evidence_each() -> None:
    guards = replayed(rows(900, 0.5, 0.5, (0.7, 0.7), bad=(0.1, 0.2)))
    evidence = guards.guard("escalated")
    others = {f"g{i}": new_test().reward for i in range(int(evidence / GUARD_ALARM) + 1)}
    assert guards.alarms == ("escalated",)
    assert replace(guards, guards={**guards.guards, **others}).alarms == ()


def test_false_alarms_are_as_rare_as_they_should_be() -> None:
    ratio = silence = 0
    for seed in range(150):
        dice = np.random.default_rng(seed)
        arms = dice.random(600) < 0.25
        bets = replayed(
            [outcome(1.0 if dice.random() < 0.2 else None, bool(arm), 0.25, i) for i, arm in enumerate(arms)]
        )
        ratio += bets.sample_ratio >= RATIO_ALARM
        silence += bets.silence >= SPOKEN_ALARM
    assert ratio <= 4 and silence <= 4
