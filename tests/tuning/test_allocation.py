"""Allocation: the posterior is the exact one, siblings lend their shape, and shares keep to their limits."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.policy import Level
from router.tuning.allocation import (
    SD_DOMAIN,
    SD_OWN,
    SD_SHARED,
    SD_TASK,
    ArmKey,
    ArmStatistics,
    Difference,
    count_outcomes,
    curves,
    domain_of,
    merged,
    share_of,
)
from tests.tuning.desk import BILLING, MODEL, T0, outcome

OFF, BRIEF, GUIDED, DETAILED = Level
TASKS = ("/a", "/a/x", "/a/x/deep", "/b", "/b/y", "/c")


def cell(n: int, mean: float) -> ArmStatistics:
    return ArmStatistics(n, n * mean, n * mean)


def dense(arms, tasks):
    """The same posterior by one solve over all tasks and levels at once."""
    size = 4 * len(tasks)
    prior = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            (v, k), (w, m) = divmod(i, 4), divmod(j, 4)
            near = domain_of(tasks[v]) == domain_of(tasks[w])
            prior[i, j] = SD_TASK**2 * (v == w) + (k == m) * (SD_SHARED**2 + SD_DOMAIN**2 * near) + SD_OWN**2 * (i == j)
    n = sum(c.n for c in arms.values())
    centre = sum(c.total for c in arms.values()) / n
    within = sum(c.squares - c.total**2 / c.n for c in arms.values())
    pooled = (within + 10 * 0.25) / (n + 10)
    seen = [4 * tasks.index(task) + level for task, level in arms]
    y = np.array([c.total / c.n - centre for c in arms.values()])
    spread = [c.squares - c.total**2 / c.n for c in arms.values()]
    noise = [(s + 10 * pooled) / (c.n + 10) / c.n for s, c in zip(spread, arms.values(), strict=True)]
    gain = prior[:, seen] @ np.linalg.inv(prior[np.ix_(seen, seen)] + np.diag(noise))
    return centre + gain @ y, prior - gain @ prior[seen]


@pytest.fixture(scope="module")
def arms():
    dice = np.random.default_rng(1)
    places = [(task, level) for task in TASKS for level in Level if dice.random() < 0.6]
    return {place: cell(int(dice.integers(5, 400)), float(dice.uniform(0.3, 0.9))) for place in places}


def test_the_posterior_is_that_of_one_dense_solve(arms) -> None:
    mean, cov = dense(arms, TASKS)
    found = curves(arms, TASKS)
    assert np.allclose(found.mean.ravel(), mean, atol=1e-6)
    for row, task in enumerate(TASKS):
        for level in Level:
            at = 4 * row + level
            assert found.level(task, level) == pytest.approx((mean[at], sqrt(cov[at, at])), abs=1e-6)


def test_the_difference_of_a_domain_is_weighted_by_traffic(arms) -> None:
    mean, cov = dense(arms, TASKS)
    moves = {"/a": (GUIDED, DETAILED), "/a/x": (BRIEF, GUIDED), "/a/x/deep": (DETAILED, DETAILED)}
    contrast = np.zeros(24)
    contrast[[3, 2, 6, 5]] = [0.5, -0.5, 0.25, -0.25]
    found = curves(arms, TASKS).difference(moves, {"/a": 200.0, "/a/x": 100.0, "/a/x/deep": 100.0, "/b": 900.0})
    assert found == pytest.approx((contrast @ mean, sqrt(contrast @ cov @ contrast)), abs=1e-6)


def test_levels_of_several_domains_are_not_moved_at_once(arms) -> None:
    with pytest.raises(ValueError, match="one domain at a time"):
        curves(arms, TASKS).difference({"/a": (BRIEF, GUIDED), "/b": (BRIEF, GUIDED)}, {"/a": 1.0})


def test_a_task_that_was_never_seen_borrows_the_shape_of_its_siblings() -> None:
    steep = {(task, level): cell(2_000, 0.5 + 0.1 * level) for task in ("/a", "/a/x") for level in Level}
    found = curves(steep, TASKS).difference({"/a/x/deep": (GUIDED, DETAILED)}, {})
    elsewhere = curves(steep, TASKS).difference({"/c": (GUIDED, DETAILED)}, {})
    assert found.mean == pytest.approx(0.1, abs=0.03) and found.better() > 0.9
    assert 0.0 < elsewhere.mean < found.mean and elsewhere.sd > found.sd


def test_without_conversations_nothing_is_known_and_all_levels_are_alike() -> None:
    found = curves({}, TASKS).difference({"/a": (GUIDED, DETAILED)}, {})
    assert found.mean == 0.0 and found.better() == 0.5
    assert found.sd == pytest.approx(sqrt(2 * (SD_SHARED**2 + SD_DOMAIN**2 + SD_OWN**2)))


def test_cells_of_unknown_tasks_are_left_out() -> None:
    known = {("/a", GUIDED): cell(50, 0.7)}
    assert np.array_equal(curves({**known, ("/gone", GUIDED): cell(10**6, 0.1)}, TASKS).mean, curves(known, TASKS).mean)


@pytest.mark.parametrize(
    ("difference", "better", "improvement"),
    [
        (Difference(0.1, 0.0), 1.0, 0.1),
        (Difference(-0.1, 0.0), 0.0, 0.0),
        (Difference(0.0, 0.1), 0.5, 0.1 / sqrt(2 * np.pi)),
        (Difference(0.1, 0.05), 0.97725, 0.10042),
    ],
)
def test_chance_and_expected_improvement(difference, better, improvement) -> None:
    assert difference.better() == pytest.approx(better, abs=1e-4)
    assert difference.improvement() == pytest.approx(improvement, abs=1e-4)


@pytest.mark.parametrize(
    ("better", "kind", "n", "share"),
    [
        (0.99, "up", 0, 0.10),
        (0.99, "up", 29, 0.10),
        (0.99, "up", 30, 0.25),
        (0.99, "up", 100, 0.50),
        (0.99, "up", 200, 0.90),
        (0.60, "up", 200, 0.60),
        (0.50, "up", 200, 0.40),
        (0.00, "up", 999, 0.10),
        (0.99, "down", 999, 0.50),
    ],
)
def test_shares(better: float, kind: str, n: int, share: float) -> None:
    assert share_of(better, kind, n) == share
    assert share_of(better, kind, n, high_stakes=True) == 0.10


@given(st.floats(0, 1), st.sampled_from(["up", "down"]), st.integers(0, 500))
def test_a_share_is_always_one_that_can_be_bet_on(better: float, kind: str, n: int) -> None:
    assert 0.10 <= share_of(better, kind, n) <= 0.90


def test_outcomes_are_counted_by_arm_in_any_parts() -> None:
    rows = [
        outcome(1.0, number=1),
        outcome(0.5, number=2),
        outcome(None, number=3),
        outcome(1.0, number=4, level=BRIEF),
    ]
    table = count_outcomes({}, rows)
    assert table == count_outcomes(count_outcomes({}, rows[:2]), rows[2:])
    key = ArmKey(BILLING, MODEL, GUIDED, BILLING, "")
    assert table[key] == ArmStatistics(2, 1.5, 1.25, 1, T0 + 1, T0 + 3)
    assert merged(table.values()) == ArmStatistics(3, 2.5, 2.25, 1, T0 + 1, T0 + 4)
    assert merged([]) == ArmStatistics()
