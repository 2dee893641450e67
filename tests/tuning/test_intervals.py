"""Intervals: what they cover, how they mirror, and that no bad input gets a figure."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from router.core.learning import Assignment, Outcome
from router.core.policy import Level
from router.tuning import intervals
from router.tuning.intervals import (
    ALPHA,
    STAKES,
    Interval,
    bounded_interval,
    difference_interval,
    evidence,
    gain_interval,
    mean_interval,
    running_baselines,
)

rewards = st.lists(st.floats(0, 1), min_size=1, max_size=60)


def coins(n: int, mean: float, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random(n) < mean).astype(float)


def test_the_examples_hold() -> None:
    assert doctest.testmod(intervals).failed == 0


@given(rewards)
def test_an_interval_holds_its_estimate_and_lies_within_the_range(values: list[float]) -> None:
    found = mean_interval(values)
    assert 0.0 <= found.low <= found.estimate <= found.high <= 1.0
    assert found.n == len(values)
    assert found.estimate == pytest.approx(np.mean(values), abs=1e-6)


@given(rewards)
def test_an_interval_of_losses_is_that_of_gains_mirrored(values: list[float]) -> None:
    found, mirrored = mean_interval(values), mean_interval([1 - value for value in values])
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((found.low, found.high), abs=1e-5)


@given(st.lists(st.floats(0, 1), min_size=5, max_size=60), st.floats(0.05, 0.95))
def test_the_ends_are_where_the_bets_have_won(values: list[float], mean: float) -> None:
    found = mean_interval(values)
    assume(abs(mean - found.low) > 1e-5 and abs(mean - found.high) > 1e-5)
    over = evidence(values, 0.0, mean)[-1] >= np.log(2 / ALPHA)
    under = evidence([-value for value in values], -1.0, -mean)[-1] >= np.log(2 / ALPHA)
    assert (mean < found.low) == over
    assert (mean > found.high) == under


def test_evidence_is_the_mean_of_products() -> None:
    values, mean = [0.2, 0.9, 0.4], 0.3
    product = np.mean([np.prod([1 + stake * (x - mean) / mean for x in values]) for stake in STAKES])
    assert evidence(values, 0.0, mean)[-1] == pytest.approx(np.log(product))


def test_evidence_does_not_grow_on_average_where_the_mean_is_true() -> None:
    found = [np.exp(evidence(coins(50, 0.3, seed), 0.0, 0.3)[-1]) for seed in range(4_000)]
    assert np.mean(found) <= 1 + 4 * np.std(found) / np.sqrt(len(found))


@pytest.mark.parametrize(("n", "widest"), [(100, 0.34), (1_000, 0.105), (10_000, 0.033), (100_000, 0.0105)])
def test_more_values_make_it_narrower(n: int, widest: float) -> None:
    """At most twice what a normal interval has that may be looked at once: 1.8 points at ten thousand."""
    found = mean_interval(coins(n, 0.7))
    assert found.low < 0.7 < found.high
    assert found.high - found.low < widest


@pytest.mark.parametrize("values", [[1.0] * 300, [0.0] * 300])
def test_values_that_are_all_alike_leave_the_other_end_open(values: list[float]) -> None:
    found = mean_interval(values)
    assert found.estimate == values[0]
    assert 0.01 < found.high - found.low < 0.06


@pytest.mark.parametrize("value", [5e-324, 2.2e-16, 1e-9, 1 - 1.1e-16])
def test_values_at_the_very_edge_are_values(value: float) -> None:
    found = mean_interval([value] * 3)
    assert 0.0 <= found.low <= found.estimate <= found.high <= 1.0


def test_nothing_known_is_the_whole_range() -> None:
    assert mean_interval([]) == Interval(0.5, 0.0, 1.0, 0)
    assert difference_interval([], [], []) == Interval(0.0, -1.0, 1.0, 0)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_difference_is_covered_and_told_from_nothing(share: float) -> None:
    dice = np.random.default_rng(5)
    n = 12_000
    challenger = dice.random(n) < share
    reward = (dice.random(n) < np.where(challenger, 0.80, 0.68)).astype(float)
    found = difference_interval(reward, challenger, np.full(n, share))
    assert 0.0 < found.low < 0.12 < found.high < 0.25
    mirrored = difference_interval(reward, ~challenger, np.full(n, 1 - share))
    assert (-mirrored.high, -mirrored.low) == pytest.approx((found.low, found.high), abs=1e-5)


def outcome(challenger: bool, reward: float | None, *, share: float = 0.5, repeated: bool = False) -> Outcome:
    given = Assignment("d", 0, "", "shop", "c", "u", "/a", "", "m", Level.BRIEF, "t", 1, "t1", "/a", challenger, share)
    return Outcome(given, reward, repeated=repeated)


def test_the_gain_of_a_trial_is_that_of_its_counted_outcomes() -> None:
    dice = np.random.default_rng(9)
    arms = dice.random(2_000) < 0.5
    rewards = (dice.random(2_000) < np.where(arms, 0.9, 0.6)).astype(float)
    outcomes = [outcome(bool(arm), float(reward)) for arm, reward in zip(arms, rewards, strict=True)]
    ignored = [outcome(True, None), outcome(True, 0.0, repeated=True)] * 500
    found = gain_interval(outcomes + ignored)
    assert found == difference_interval(rewards, arms, np.full(2_000, 0.5))
    assert 0.15 < found.low < 0.3 < found.high
    with pytest.raises(ValueError, match="not drawn"):
        gain_interval([outcome(False, 1.0, share=0.0)])


def test_shares_that_change_with_the_times_do_not_mislead() -> None:
    """Good times with many challengers and bad times with few: the plain means differ by 24 points, the arms by none."""
    dice = np.random.default_rng(6)
    shares = np.repeat([0.9, 0.1], 3_000)
    challenger = dice.random(6_000) < shares
    reward = (dice.random(6_000) < np.repeat([0.9, 0.6], 3_000)).astype(float)
    assert reward[challenger].mean() - reward[~challenger].mean() > 0.2
    found = difference_interval(reward, challenger, shares)
    assert found.low < 0.0 < found.high


def test_a_baseline_that_is_bad_costs_width_not_truth() -> None:
    dice = np.random.default_rng(7)
    challenger = dice.random(4_000) < 0.5
    reward = (dice.random(4_000) < np.where(challenger, 0.95, 0.90)).astype(float)
    shares = np.full(4_000, 0.5)
    good, bad = (difference_interval(reward, challenger, shares, np.full(4_000, b)) for b in (0.92, 0.0))
    assert good.low <= 0.05 <= good.high
    assert bad.low <= 0.05 <= bad.high
    assert good.high - good.low < 0.6 * (bad.high - bad.low)


def test_a_baseline_is_fixed_before_the_reward() -> None:
    assert running_baselines([1.0, 0.0, 1.0]).tolist() == pytest.approx([0.5, 0.75, 0.5])
    assert len(running_baselines([])) == 0


def test_values_may_have_bounds_of_their_own() -> None:
    dice = np.random.default_rng(8)
    scale = np.repeat([1.0, 10.0], 1_500)
    values = scale * (dice.random(3_000) < 0.5 / scale)
    found = bounded_interval(values, 0.0, scale)
    assert found.low < 0.5 < found.high


def test_a_mean_is_never_below_what_every_value_must_be() -> None:
    found = bounded_interval([0.4, 0.5, 0.3], [0.0, 0.2, 0.1], [1.0, 1.0, 0.9])
    assert 0.2 <= found.low < 0.21
    assert 0.87 < found.high <= 0.9


@pytest.mark.parametrize("values", [[-3.0] * 50, [3.0] * 50])
def test_a_mean_beyond_what_is_possible_is_the_nearest_that_is(values: list[float]) -> None:
    found = bounded_interval(values, -4.0, 4.0, within=(-1.0, 1.0))
    assert found.estimate == np.sign(values[0]) * 1.0
    assert -1.0 <= found.low <= found.high <= 1.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mean_interval([0.5, 1.2]), "between 0 and 1"),
        (lambda: mean_interval([0.5, float("nan")]), "finite"),
        (lambda: mean_interval([[0.5], [0.2]]), "one row"),
        (lambda: mean_interval([0.5], alpha=0.0), "alpha"),
        (lambda: bounded_interval([2.0], 0.0, 1.0), "outside its bounds"),
        (lambda: difference_interval([0.5, 0.5], [True], [0.5]), "one length"),
        (lambda: difference_interval([1.5], [True], [0.5]), "between 0 and 1"),
        (lambda: difference_interval([0.5], [True], [1.0]), "what was certain was not drawn"),
        (lambda: difference_interval([0.5], [True], [0.5], [2.0]), "between 0 and 1"),
    ],
)
def test_what_cannot_be_is_refused(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]


def test_it_is_said_in_points() -> None:
    assert str(Interval(-0.021, -0.06, 0.02, 10)) == "-2 points, between -6 and +2"
