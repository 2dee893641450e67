"""The arithmetic of bets: what was seen, what it is compared with, and how wealth moves."""

from __future__ import annotations

import numpy as np
import pytest

from router.tuning.comparison import (
    CEILING,
    EFFECTS,
    FLOOR,
    NEW,
    Comparison,
    compared,
    grown,
    limited,
    mean,
    new_comparison,
)
from router.tuning.sequential_test import ODDS
from tests.tuning.one_by_one import compare, ratio_factor


@pytest.mark.parametrize("margin", [0.0, 0.03, -0.03])
def test_wealth_begins_at_one(margin: float) -> None:
    start = new_comparison(margin)
    assert mean(start.better) == mean(start.worse) == 1.0
    assert len(start.better) == len(start.worse) == len(EFFECTS)


def test_the_baseline_is_fixed_before_the_outcome_and_never_at_an_end() -> None:
    state = NEW
    assert state.baseline == 0.5
    for _ in range(1_000):
        state = compare(state, 1.0, True, 0.5, 0.0)
    assert 0.99 < state.baseline < 1.0
    first, other = (compare(NEW, x, True, 0.5, 0.0) for x in (0.0, 1.0))
    assert first.better[0] - NEW.better[0] == pytest.approx(NEW.better[0] - other.better[0])


def test_means_are_of_each_arm() -> None:
    state = compare(compare(compare(NEW, 1.0, True, 0.5, 0.0), 0.5, True, 0.5, 0.0), 0.25, False, 0.5, 0.0)
    assert (state.challenger_mean, state.incumbent_mean, state.n) == (0.75, 0.25, 3)
    assert (NEW.challenger_mean, NEW.incumbent_mean) == (None, None)


@pytest.mark.parametrize("challenger", [True, False])
def test_what_gains_on_one_side_loses_on_the_other(challenger: bool) -> None:
    good, bad = (compare(NEW, x, challenger, 0.5, 0.0) for x in (1.0, 0.0))
    assert (good.better > NEW.better) is challenger and (good.worse > NEW.worse) is not challenger
    assert good.better == pytest.approx(bad.worse) and good.worse == pytest.approx(bad.better)


def test_nothing_more_changes_nothing() -> None:
    state = compare(NEW, 1.0, True, 0.5, 0.0)
    none = np.array([])
    assert compared(state, none, none.astype(bool), none, 0.0) is state


def test_wealth_is_held_within_limits_that_only_lower_it() -> None:
    assert (limited(FLOOR / 2), limited(1.0), limited(CEILING * 2), limited(float("inf"))) == (
        0.0,
        1.0,
        CEILING,
        CEILING,
    )
    assert grown(1.0, np.full(3_000, 0.5)) == 0.0
    assert grown(1.0, np.full(3_000, 2.0)) == CEILING
    assert grown(1.0, np.array([0.5] * 1_000 + [2.0] * 5_000)) == 0.0, "what is lost stays lost"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("odds", ODDS)
def test_the_sample_ratio_is_fair_where_draws_are(share: float, odds: float) -> None:
    fair = share * ratio_factor(odds, True, share) + (1 - share) * ratio_factor(odds, False, share)
    assert fair == pytest.approx(1.0)


def test_a_comparison_is_plain() -> None:
    assert Comparison() == NEW
