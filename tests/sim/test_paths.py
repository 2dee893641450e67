"""Whole runs at once: the same bits as the fold gives, and no growth on average where there is nothing to find."""

from __future__ import annotations

from math import nan

import numpy as np
import pytest

from router.tuning.sequential_test import MARGIN, replayed
from tests.sim.paths import Runs, evalue_paths
from tests.tuning.desk import outcome

NAMES = {"gain": "evidence_for", "harm": "evidence_against"}


@pytest.mark.parametrize("margin", [0.0, MARGIN])
@pytest.mark.parametrize("side", ["gain", "harm"])
def test_paths_end_where_the_fold_ends(margin: float, side: str) -> None:
    dice = np.random.default_rng(4)
    arms, shares = dice.random((3, 300)) < 0.3, np.full((3, 300), 0.3)
    rewards = np.where(dice.random((3, 300)) < 0.1, nan, dice.random((3, 300)))
    paths = evalue_paths(rewards, arms, shares, margin, side)
    runs = Runs(3, margin)
    for t in range(300):
        runs.step(rewards[:, t], arms[:, t], shares[:, t])
    for run in range(3):
        rows = [
            outcome(None if np.isnan(x) else float(x), bool(c), 0.3, i)
            for i, (x, c) in enumerate(zip(rewards[run], arms[run], strict=True))
        ]
        for length in (1, 17, 300):
            assert getattr(replayed(rows[:length], margin), NAMES[side]) == paths[run, length - 1]
        assert getattr(runs, side)[run] == paths[run, -1]


def test_a_run_that_is_not_active_stands_still() -> None:
    runs = Runs(2)
    runs.step(np.ones(2), np.array([True, True]), np.full(2, 0.5), np.array([True, False]))
    assert runs.n.tolist() == [1, 0] and runs.gain[0] > 1.0 and runs.gain[1] == 1.0


@pytest.mark.parametrize("base", [0.05, 0.5, 0.7, 0.985])
@pytest.mark.parametrize(("margin", "side"), [(0.0, "gain"), (0.0, "harm"), (MARGIN, "gain"), (MARGIN, "harm")])
def test_where_there_is_nothing_to_find_wealth_does_not_grow_on_average(base: float, margin: float, side: str) -> None:
    """Shares and, through the baseline, stakes change along the way, as the past makes them; rewards drift."""
    dice = np.random.default_rng(7)
    runs, n = 4_000, 120
    worse = -margin  # the edge of what must not be certified
    bets, ahead = Runs(runs, margin), np.zeros(runs)
    for t in range(n):
        share = np.where(ahead > 0, 0.9, np.where(ahead < -2, 0.1, 0.5))
        arms = dice.random(runs) < share
        mean = np.clip(base + 0.03 * np.sin(t / 10), margin, 1.0)
        rewards = (dice.random(runs) < np.where(arms, mean + worse, mean)).astype(float)
        bets.step(rewards, arms, share)
        ahead += np.where(arms, rewards - mean, mean - rewards)
        wealth = getattr(bets, side)
        assert wealth.min() >= 0.0
        if t % 20 == 19:
            error = wealth.std() / np.sqrt(runs)
            assert wealth.mean() <= 1.0 + 4.0 * error
    assert np.mean(wealth >= 20.0) <= 0.05
