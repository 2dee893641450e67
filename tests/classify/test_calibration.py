"""Sharpness and thresholds from out-of-fold rows."""

from __future__ import annotations

import numpy as np
import pytest

from router.classify.calibration import (
    DEFAULT_THRESHOLD,
    THRESHOLD_RANGE,
    Judged,
    Tolerance,
    choose_sharpness,
    choose_thresholds,
    softmax,
)
from router.classify.mass import Tree

TREE = Tree(("/", "/a", "/a/x", "/a/y", "/b", "/b/z"), ("/a/x", "/a/y", "/b/z"))
FLAT = Tree(("/", "/a", "/b"), ("/a", "/b"))


def judged(*rows: tuple[list[float], str, int]) -> Judged:
    probabilities = [row for row, _, times in rows for _ in range(times)]
    truths = [truth for _, truth, times in rows for _ in range(times)]
    return Judged(np.array(probabilities), tuple(truths), np.ones(len(truths)))


def test_softmax_sums_to_one_however_large_the_scores() -> None:
    assert softmax(np.array([[1e4, 0.0], [-1e4, 0.0]])).tolist() == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_sharpness_undoes_a_wrong_scale(factor: float) -> None:
    draw = np.random.default_rng(0)
    scores = draw.normal(size=(4_000, 5)) * 2
    labels = np.array([draw.choice(5, p=row) for row in softmax(scores)])
    assert choose_sharpness(scores / factor, labels, np.ones(4_000)) == pytest.approx(factor, rel=0.1)


def test_sharpness_without_rows_changes_nothing() -> None:
    assert choose_sharpness(np.zeros((0, 3)), np.zeros(0, np.int64), np.zeros(0)) == 1.0


def test_the_threshold_lies_where_errors_would_pass_the_accepted_rate() -> None:
    rows = judged(
        ([0.60, 0.0, 0.0], "/a/x", 900),
        ([0.55, 0.0, 0.0], "/a/x", 80),
        ([0.45, 0.0, 0.0], "/b/z", 200),
    )
    domain, task = choose_thresholds(rows, TREE, Tolerance(error_domain=0.02, error_task=0.02)).by_depth
    assert 0.45 < domain < 0.55 and 0.45 < task < 0.55


def test_a_wrong_leaf_under_the_right_parent_counts_for_the_task_alone() -> None:
    rows = judged(([0.60, 0.0, 0.0], "/a/x", 900), ([0.50, 0.0, 0.0], "/a/y", 200))
    domain, task = choose_thresholds(rows, TREE, Tolerance(error_domain=0.05, error_task=0.05)).by_depth
    assert domain == THRESHOLD_RANGE[0] and 0.5 < task < 0.6


def test_rows_that_no_task_answers_are_errors_wherever_they_settle() -> None:
    rows = judged(([0.62, 0.0, 0.0], "/a/x", 900), ([0.58, 0.0, 0.0], "/", 200))
    assert choose_thresholds(rows, TREE, Tolerance(0.05, 0.05)).by_depth[0] > 0.58


@pytest.mark.parametrize(
    "rows",
    [judged(([0.9, 0.0, 0.0], "/b/z", 20)), judged(([0.9, 0.0, 0.0], "/a/x", 20))],
    ids=["all wrong", "all right"],
)
def test_few_rows_choose_nothing(rows: Judged) -> None:
    assert choose_thresholds(rows, TREE, Tolerance()).by_depth == (DEFAULT_THRESHOLD, DEFAULT_THRESHOLD)


def test_no_threshold_leaves_the_range() -> None:
    all_wrong = choose_thresholds(judged(([0.99, 0.0, 0.0], "/b/z", 2_000)), TREE, Tolerance(0.1, 0.1))
    assert all_wrong.by_depth == (THRESHOLD_RANGE[1], THRESHOLD_RANGE[1])
    all_right = choose_thresholds(judged(([0.1, 0.0, 0.0], "/a/x", 2_000)), TREE, Tolerance(0.1, 0.1))
    assert all_right.by_depth == (THRESHOLD_RANGE[0], THRESHOLD_RANGE[0])


def test_a_tree_of_one_level_is_held_to_the_tasks_rate() -> None:
    rows = Judged(np.array([[0.6, 0.0]] * 900 + [[0.5, 0.0]] * 40), ("/a",) * 900 + ("/b",) * 40, np.ones(940))
    assert choose_thresholds(rows, FLAT, Tolerance(0.01, 0.10)).by_depth[0] == THRESHOLD_RANGE[0]
    assert choose_thresholds(rows, FLAT, Tolerance(0.10, 0.01)).by_depth[0] > 0.5


def test_what_is_set_by_hand_is_taken() -> None:
    rows = judged(([0.9, 0.0, 0.0], "/b/z", 2_000))
    by_hand = Tolerance(threshold_domain=0.2, threshold_task=0.95, high_stakes=("/a/x",))
    thresholds = choose_thresholds(rows, TREE, by_hand)
    assert thresholds.by_depth == (0.2, 0.95)
    assert thresholds.at("/a/x") == 0.95


def test_high_stakes_are_stricter_never_laxer() -> None:
    rows = judged(([0.60, 0.0, 0.0], "/a/x", 900), ([0.50, 0.0, 0.0], "/a/y", 30))
    thresholds = choose_thresholds(rows, TREE, Tolerance(0.01, 0.05, high_stakes=("/a/x", "/a")))
    assert thresholds.at("/a/x") > thresholds.at("/a/y")
    assert thresholds.at("/a") >= thresholds.at("/b")
    by_hand = choose_thresholds(rows, TREE, Tolerance(threshold_task=0.5, high_stakes=("/a/x",)))
    assert by_hand.at("/a/x") > by_hand.at("/a/y") == 0.5


def test_the_soft_zone_begins_below_the_threshold() -> None:
    thresholds = choose_thresholds(judged(([0.9, 0.0, 0.0], "/a/x", 20)), TREE, Tolerance())
    assert 0.0 < thresholds.soft < thresholds.by_depth[1]
