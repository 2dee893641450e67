"""Certified thresholds: the statement itself by simulation, and each rule by hand-made rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from router.classify.belief import Tree
from router.classify.fit.certify import (
    DEFAULT_THRESHOLD,
    LEAST_THRESHOLD,
    HeldOutRows,
    Tolerance,
    allowed,
    certificates,
    certify,
)

TREE = Tree(("/", "/a", "/a/x", "/a/y", "/b", "/b/z"), ("/a/x", "/a/y", "/b/z"))
FLAT = Tree(("/", "/a", "/b"), ("/a", "/b"))
LAX = Tolerance(error_domain=0.5, error_task=0.5)


def judged(*rows: tuple[list[float], str, int]) -> HeldOutRows:
    probabilities = [row for row, _, times in rows for _ in range(times)]
    return HeldOutRows(np.array(probabilities), tuple(truth for _, truth, times in rows for _ in range(times)))


@given(st.integers(0, 3_000), st.sampled_from([0.001, 0.01, 0.03, 0.2, 0.5]), st.sampled_from([0.05, 0.1]))
def test_so_many_wrong_rows_are_allowed_as_the_binomial_says(rows: int, alpha: float, delta: float) -> None:
    most = allowed(rows, alpha, delta)
    assert most == -1 or binom.cdf(most, rows, alpha) <= delta * (1 + 1e-9)
    assert most >= rows or binom.cdf(most + 1, rows, alpha) > delta * (1 - 1e-9)


@pytest.mark.parametrize("rows", [200, 500, 1_500, 3_000])
def test_the_promise_is_kept(rows: int) -> None:
    """A thousand draws from a population where two in five are never surely right."""
    draw = np.random.default_rng(rows)
    population = np.where(draw.random(200_000) < 0.6, draw.beta(30, 1, 200_000), draw.beta(2, 2, 200_000))
    wrong = draw.random(200_000) < 1 - population
    population = np.round(population, 4)
    alpha, delta, broken, acted = 0.03, 0.1, 0, []
    masses = np.where(wrong, population, 0.0)
    for _ in range(1_000):
        threshold, basis = certify(masses[draw.integers(0, 200_000, rows)], alpha, delta)
        assert basis == "certified"
        broken += (masses >= max(threshold, 1e-9)).mean() > alpha
        acted.append((population >= threshold).mean())
    assert broken <= binom.ppf(0.999, 1_000, delta)  # what a thousand draws at exactly delta may show
    by_mass = np.sort(masses)[::-1]
    best = (population >= by_mass[int(alpha * 200_000)]).mean()  # who knows the population
    assert np.mean(acted) >= (0.8 if rows >= 500 else 0.7) * best


@pytest.mark.parametrize(("rows", "basis"), [(20, "default"), (60, "expected"), (400, "certified")])
def test_with_few_rows_less_is_promised(rows: int, basis: str) -> None:
    masses = np.round(np.linspace(0.3, 0.9, rows), 4)
    threshold, found = certify(masses, 0.03, 0.05)
    assert found == basis
    if basis == "default":
        assert threshold == DEFAULT_THRESHOLD
    if basis == "expected":
        assert ((masses >= threshold).sum() + 1) / (rows + 1) <= 0.03


@given(st.lists(st.sampled_from([0.0, 0.2, 0.6, 0.9, 1.0]) | st.floats(0, 1), min_size=100, max_size=400))
def test_no_more_rows_are_wrong_than_allowed_whatever_the_ties(masses: list[float]) -> None:
    wrong = np.round(np.array(masses), 4)
    threshold, _ = certify(wrong, 0.05, 0.1)
    assert (wrong >= threshold).sum() <= allowed(len(wrong), 0.05, 0.1) and threshold >= LEAST_THRESHOLD


def test_a_wrong_leaf_under_the_right_parent_counts_for_the_task_alone() -> None:
    rows = judged(([0.90, 0.0, 0.0], "/a/x", 900), ([0.80, 0.0, 0.0], "/a/y", 200))
    domain, task = certificates(rows, TREE, Tolerance(0.05, 0.05))[0].by_depth
    assert domain == LEAST_THRESHOLD and 0.8 < task < 0.9


def test_rows_that_no_task_answers_are_wrong_wherever_they_settle() -> None:
    rows = judged(([0.92, 0.0, 0.0], "/a/x", 900), ([0.88, 0.0, 0.0], "/", 200))
    assert certificates(rows, TREE, Tolerance(0.05, 0.05))[0].by_depth[0] > 0.88


def test_who_does_not_pass_the_domain_is_not_asked_for_the_task() -> None:
    """Wrong tasks in doubtful domains cost the task's threshold nothing."""
    rows = judged(([0.95, 0.0, 0.0], "/a/x", 900), ([0.85, 0.0, 0.0], "/b/z", 200))
    domain, task = certificates(rows, TREE, Tolerance(0.05, 0.05))[0].by_depth
    assert 0.85 < domain < 0.95 and task == LEAST_THRESHOLD


def test_deeper_than_two_the_first_wrong_node_counts() -> None:
    tree = Tree(("/", "/a", "/a/x", "/a/x/p", "/a/x/q"), ("/a/x/p", "/a/x/q"))
    rows = judged(([0.70, 0.29], "/a/x/q", 100), ([0.95, 0.0], "/a/x/p", 900))
    assert 0.70 < certificates(rows, tree, Tolerance(0.05, 0.05))[0].by_depth[1] < 0.95


def test_a_tree_of_one_level_is_held_to_the_tasks_rate() -> None:
    rows = HeldOutRows(np.array([[0.9, 0.0]] * 900 + [[0.8, 0.0]] * 40), ("/a",) * 900 + ("/b",) * 40)
    assert certificates(rows, FLAT, Tolerance(0.01, 0.10))[0].by_depth[0] == LEAST_THRESHOLD
    thresholds, (only,) = certificates(rows, FLAT, Tolerance(0.10, 0.01))
    assert thresholds.by_depth[0] > 0.8 and (only.depth, only.alpha, only.delta) == (1, 0.01, 0.1)


def test_sentences_count_where_two_of_them_ask_for_different_tasks() -> None:
    alone = HeldOutRows(
        probabilities=np.full((1_000, 3), 0.05),
        truths=("/a/x",) * 1_000,
        part_beliefs=np.array([[0.9, 0.0, 0.0], [0.0, 0.0, 0.8]] * 100),
        part_rows=np.repeat(np.arange(100), 2),
    )
    assert certificates(alone, TREE, Tolerance(0.05, 0.05))[0].by_depth[0] > 0.8
    agreed = HeldOutRows(alone.probabilities, alone.truths, np.tile([0.0, 0.0, 0.8], (200, 1)), alone.part_rows)
    assert certificates(agreed, TREE, Tolerance(0.05, 0.05))[0].by_depth == (LEAST_THRESHOLD, LEAST_THRESHOLD)


def test_what_is_set_by_hand_is_taken_and_nothing_promised() -> None:
    rows = judged(([0.9, 0.0, 0.0], "/b/z", 2_000))
    by_hand = Tolerance(threshold_domain=0.2, threshold_task=0.95, high_stakes=("/a/x",))
    thresholds, found = certificates(rows, TREE, by_hand)
    assert thresholds.by_depth == (0.2, 0.95) and thresholds.at("/a/x") >= 0.95
    assert [certificate.basis for certificate in found] == ["hand", "hand"]
    assert [certificate.wrong for certificate in found] == [1.0, 0.0]


def test_high_stakes_are_stricter_never_laxer() -> None:
    rows = judged(([0.90, 0.0, 0.0], "/a/x", 900), ([0.80, 0.0, 0.0], "/a/y", 30))
    thresholds, _ = certificates(rows, TREE, Tolerance(0.01, 0.05, high_stakes=("/a/x", "/a")))
    assert thresholds.at("/a/x") > thresholds.at("/a/y")
    assert thresholds.at("/a") >= thresholds.at("/b")
    by_hand, _ = certificates(rows, TREE, Tolerance(threshold_task=0.5, high_stakes=("/a/x",)))
    assert by_hand.at("/a/x") > by_hand.at("/a/y") == 0.5
    without_rows, _ = certificates(HeldOutRows(np.zeros((0, 3)), ()), TREE, Tolerance(high_stakes=("/a/x",)))
    assert without_rows.at("/a/x") > without_rows.at("/a/y")


def test_an_alarm_has_something_stricter_to_move_to() -> None:
    draw = np.random.default_rng(0)
    sure = draw.random(2_000)
    truths = tuple("/a/x" if right else "/b/z" for right in draw.random(2_000) < 0.5 + sure / 2)
    rows = HeldOutRows(np.column_stack([np.round(sure, 4), np.zeros((2_000, 2))]), truths)
    easy = judged(([0.9, 0.0, 0.0], "/a/x", 2_000))
    few = judged(([0.9, 0.0, 0.0], "/a/x", 5))
    for some in (rows, easy, few):
        for certificate in certificates(some, TREE, Tolerance(0.1, 0.1))[1]:
            assert certificate.threshold < certificate.stricter <= 1.0
    half = certificates(rows, TREE, Tolerance(0.05, 0.05))[1][0].threshold
    assert certificates(rows, TREE, Tolerance(0.1, 0.1))[1][0].stricter == half
    assert [each.stricter for each in certificates(easy, TREE, Tolerance())[1]] == [0.75, 0.75]


def test_a_possibility_is_named_earlier_than_it_is_acted_on() -> None:
    draw = np.random.default_rng(0)
    sure = draw.random(2_000)
    truths = tuple("/a/x" if right else "/a/y" for right in draw.random(2_000) < sure)
    rows = HeldOutRows(np.column_stack([np.round(sure, 4), np.zeros((2_000, 2))]), truths)
    thresholds, _ = certificates(rows, TREE, Tolerance(0.01, 0.01))
    assert thresholds.soft < thresholds.by_depth[1]
    few, _ = certificates(judged(([0.9, 0.0, 0.0], "/a/x", 20)), TREE, Tolerance())
    assert 0.0 < few.soft < few.by_depth[1]


def test_coverage_and_error_are_those_at_the_threshold() -> None:
    rows = judged(([0.90, 0.0, 0.0], "/a/x", 600), ([0.80, 0.0, 0.0], "/b/z", 400))
    _, (domain, _) = certificates(rows, TREE, Tolerance(0.05, 0.05))
    assert (domain.rows, domain.coverage, domain.wrong) == (1_000, 0.6, 0.0)
    _, (lax, _) = certificates(rows, TREE, LAX)
    assert (lax.coverage, lax.wrong) == (1.0, 0.4)
