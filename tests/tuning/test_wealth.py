"""The arithmetic of bets: what was seen, what it is compared with, and how wealth moves."""

from __future__ import annotations

import numpy as np
import pytest

from router.tuning.wealth import (
    CEILING,
    EFFECTS,
    FLOOR,
    NEW,
    ODDS,
    Compared,
    compare,
    compare_many,
    grown,
    kept,
    mean,
    opening,
    ratio_factor,
)


@pytest.mark.parametrize("margin", [0.0, 0.03, -0.03])
def test_wealth_begins_at_one(margin: float) -> None:
    start = opening(margin)
    assert mean(start.gain) == mean(start.harm) == 1.0
    assert len(start.gain) == len(start.harm) == len(EFFECTS)


def test_the_baseline_is_fixed_before_the_outcome_and_never_at_an_end() -> None:
    state = NEW
    assert state.baseline == 0.5
    for _ in range(1_000):
        state = compare(state, 1.0, True, 0.5, 0.0)
    assert 0.99 < state.baseline < 1.0
    first, other = (compare(NEW, x, True, 0.5, 0.0) for x in (0.0, 1.0))
    assert first.gain[0] - NEW.gain[0] == pytest.approx(NEW.gain[0] - other.gain[0])


def test_means_are_of_each_arm() -> None:
    state = compare(compare(compare(NEW, 1.0, True, 0.5, 0.0), 0.5, True, 0.5, 0.0), 0.25, False, 0.5, 0.0)
    assert (state.challenger_mean, state.incumbent_mean, state.n) == (0.75, 0.25, 3)
    assert (NEW.challenger_mean, NEW.incumbent_mean) == (None, None)


@pytest.mark.parametrize("challenger", [True, False])
def test_what_gains_on_one_side_loses_on_the_other(challenger: bool) -> None:
    good, bad = (compare(NEW, x, challenger, 0.5, 0.0) for x in (1.0, 0.0))
    assert (good.gain > NEW.gain) is challenger and (good.harm > NEW.harm) is not challenger
    assert good.gain == pytest.approx(bad.harm) and good.harm == pytest.approx(bad.gain)


def test_nothing_more_changes_nothing() -> None:
    state = compare(NEW, 1.0, True, 0.5, 0.0)
    none = np.array([])
    assert compare_many(state, none, none.astype(bool), none, 0.0) is state


def test_wealth_is_held_within_limits_that_only_lower_it() -> None:
    assert (kept(FLOOR / 2), kept(1.0), kept(CEILING * 2), kept(float("inf"))) == (0.0, 1.0, CEILING, CEILING)
    assert grown(1.0, np.full(3_000, 0.5)) == 0.0
    assert grown(1.0, np.full(3_000, 2.0)) == CEILING
    assert grown(1.0, np.array([0.5] * 1_000 + [2.0] * 5_000)) == 0.0, "what is lost stays lost"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("odds", ODDS)
def test_the_sample_ratio_is_fair_where_draws_are(share: float, odds: float) -> None:
    fair = share * ratio_factor(odds, True, share) + (1 - share) * ratio_factor(odds, False, share)
    assert fair == pytest.approx(1.0)


def test_a_comparison_is_plain() -> None:
    assert Compared() == NEW
