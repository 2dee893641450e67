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
    assert measures.passing(doubles(*inside), doubles(*outside)) == ()


@given(SCORES, SCORES)
def test_the_roc_curve_says_what_passes(inside: list[float], outside: list[float]) -> None:
    points = measures.passing(doubles(*inside), doubles(*outside))
    for point in points:
        assert point.inside == pytest.approx(np.mean(doubles(*inside) >= point.threshold), abs=1e-4)
        assert point.outside == pytest.approx(np.mean(doubles(*outside) >= point.threshold), abs=1e-4)
    assert (points[-1].inside, points[-1].outside) == (1.0, 1.0)


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


@given(st.lists(st.tuples(st.integers(0, 10), st.booleans(), st.integers(1, 3)), min_size=1, max_size=30))
def test_the_risk_curve_is_what_acting_at_each_threshold_means(rows: list[tuple[int, bool, int]]) -> None:
    rows = [row for row in rows for _ in range(row[2])]
    acted = doubles(*(mass / 10 for mass, _, _ in rows))
    wrong = np.where([bad for _, bad, _ in rows], acted, 0.0)
    curve = measures.risk_curve(acted, wrong)
    assert [point.threshold for point in curve] == sorted({mass for mass in acted.tolist() if mass}, reverse=True)
    for point in curve:
        assert point.coverage == pytest.approx((acted >= point.threshold).sum() / len(rows), abs=1e-5)
        assert point.wrong == pytest.approx((wrong >= point.threshold).sum() / len(rows), abs=1e-5)
        at = measures.risk_at(acted, wrong, point.threshold)
        assert at is not None and at.coverage == pytest.approx(point.coverage, abs=1e-4)


def test_a_threshold_of_nothing_acts_on_all_and_errs_only_where_something_is_wrong() -> None:
    at = measures.risk_at(doubles(0.4, 0.0), doubles(0.0, 0.0), 0.0)
    assert at == measures.RiskPoint(0.0, 1.0, 0.0)
    assert measures.risk_at(doubles(), doubles(), 0.5) is None


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    values = np.arange(10_000.0)
    found = measures.thinned(values)
    assert len(found) == measures.CURVE_POINTS and (found[0], found[-1]) == (0.0, 9_999.0)
    assert (np.diff(found) > 0).all()
    assert measures.thinned(values[:5]).tolist() == [0, 1, 2, 3, 4]


def test_latency_is_in_microseconds() -> None:
    assert measures.latency([1_000 * value for value in range(1, 102)]) == measures.Latency(51.0, 100.0, 101)
    assert measures.latency([]) == measures.Latency(None, None, 0)


def test_shares_of_nothing_are_not_said() -> None:
    assert measures.share(np.zeros(0, np.bool_)) is None
    assert measures.share(np.array([True, True, True, False])) == 0.75
