"""The numbers, against numbers by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from router.evaluate import measures

SCORES = st.lists(st.integers(0, 20).map(lambda tenth: tenth / 20), min_size=1, max_size=40)


def doubles(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


@given(SCORES, SCORES)
def test_auroc_is_scikit_learns(inside: list[float], outside: list[float]) -> None:
    expected = roc_auc_score([1] * len(inside) + [0] * len(outside), inside + outside)
    assert measures.auroc(doubles(*inside), doubles(*outside)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("inside", "outside"), [((), (0.5,)), ((0.5,), ()), ((), ())])
def test_auroc_of_one_side_is_not_said(inside: tuple[float, ...], outside: tuple[float, ...]) -> None:
    assert measures.auroc(doubles(*inside), doubles(*outside)) is None


def test_calibration_error_by_hand() -> None:
    sure = doubles(*[0.2] * 10, *[0.9] * 10)
    right = np.array([True] * 4 + [False] * 6 + [True] * 7 + [False] * 3)
    found = measures.calibration(sure, right)
    assert found.ece == 0.2
    assert found.bins == (measures.CalibrationBin(10, 0.2, 0.4), measures.CalibrationBin(10, 0.9, 0.7))


def test_bins_have_equal_numbers_of_rows_and_few_rows_few_bins() -> None:
    random = np.random.default_rng(7)
    sure = random.random(1_234)
    found = measures.calibration(sure, random.random(1_234) < sure)
    assert len(found.bins) == measures.MOST_BINS
    assert {part.rows for part in found.bins} <= {82, 83} and sum(part.rows for part in found.bins) == 1_234
    assert found.ece is not None and found.ece < 0.06
    assert len(measures.calibration(sure[:9], sure[:9] > 0.5).bins) == 1
    assert measures.calibration(sure[:0], sure[:0] > 0.5) == measures.CalibrationCurve(None, ())


def test_latency_is_in_microseconds() -> None:
    assert measures.latency([1_000 * value for value in range(1, 102)]) == measures.Latency(51.0, 100.0, 101)
    assert measures.latency([]) == measures.Latency(None, None, 0)


def test_shares_of_nothing_are_not_said() -> None:
    assert measures.share([]) is None
    assert measures.share([True, True, True, False]) == 0.75
