"""Sharpness, and how likely "none of these" is, from out-of-fold scores."""

from __future__ import annotations

import numpy as np
import pytest

from router.classify.fit.calibration import NONE_SHARE, Calibration, calibrate, softmax


def test_softmax_sums_to_one_however_large_the_scores() -> None:
    assert softmax(np.array([[1e4, 0.0], [-1e4, 0.0]])).tolist() == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_sharpness_undoes_a_wrong_scale(factor: float) -> None:
    draw = np.random.default_rng(0)
    tasks = draw.normal(size=(4_000, 5)) * 2
    labels = np.array([draw.choice(5, p=row) for row in softmax(tasks)])
    scores = np.hstack([tasks / factor, np.full((4_000, 2), -50.0)])
    assert calibrate(scores, labels, np.ones(4_000)).sharpness == pytest.approx(factor, rel=0.1)


def test_foreign_rows_move_the_offset_and_not_the_sharpness() -> None:
    draw = np.random.default_rng(1)
    scores = draw.normal(size=(3_000, 7)) * 2
    labels = np.array([draw.choice(5, p=row) for row in softmax(scores[:, :5])])
    alone = calibrate(scores, labels, np.ones(3_000))
    scores[2_000:, :5] -= 3.0  # a thousand rows that no task claims
    labels[2_000:] = 5
    mixed = calibrate(scores, labels, np.ones(3_000))
    assert mixed.sharpness == pytest.approx(alone.sharpness, rel=0.15)
    claimed = mixed.opening(scores).sum(axis=1)
    assert 1 - claimed.mean() == pytest.approx(1 / 3, abs=0.03)
    assert claimed[:2_000].mean() > claimed[2_000:].mean() + 0.3


def test_without_rows_nothing_is_changed() -> None:
    assert calibrate(np.zeros((0, 3)), np.zeros(0, np.int64), np.zeros(0)) == Calibration(1.0, 0.0)


def test_none_of_these_keeps_a_share_of_its_score_and_leaves_the_rest_alone() -> None:
    scores = np.array([[1.0, 2.0, 5.0, -1.0]])
    assert Calibration(1.0, 0.5).adjusted(scores).tolist() == [[1.0, 2.0, NONE_SHARE * 5.0 + 0.5, -1.0]]
    assert scores[0, 2] == 5.0


def test_at_an_opening_nothing_goes_on() -> None:
    found = Calibration(2.0, 0.0)
    scores = np.array([[1.0, 0.0, 0.0, 8.0]])
    assert found.turn(scores)[0, -1] > 0.99
    tasks = found.turn(scores)[0, :2]
    assert np.allclose(found.opening(scores)[0], tasks / (1 - found.turn(scores)[0, -1]))
