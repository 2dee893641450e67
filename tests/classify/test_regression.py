"""The regression in the space of the examples is the regression on the features."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from sklearn.linear_model import LogisticRegression

from router.classify.encoder import SparseMatrix
from router.classify.fit import selection
from router.classify.fit.selection import fit_softmax, landmarks, predict


def problem(seed: int, rows: int, classes: int) -> tuple[SparseMatrix, np.ndarray, scipy.sparse.csr_matrix]:
    draw = np.random.default_rng(seed)
    matrix = scipy.sparse.random(rows, 300, density=0.05, random_state=draw, format="csr")
    labels = np.arange(rows) % classes
    return (
        SparseMatrix(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data, 300),
        labels,
        matrix,
    )


@pytest.mark.parametrize("classes", [2, 5])
def test_it_is_scikit_learns_optimum(classes: int) -> None:
    rows, labels, matrix = problem(0, 60, classes)
    weights = np.linspace(0.5, 2.0, 60)
    [coefficients], intercepts = fit_softmax([rows], labels, weights, np.arange(classes), strength=3.0)
    direct = LogisticRegression(C=3.0, tol=1e-6, max_iter=2_000).fit(matrix, labels, sample_weight=weights)
    ours = matrix @ coefficients + intercepts
    ours = np.exp(ours) / np.exp(ours).sum(axis=1, keepdims=True)
    assert np.abs(ours - direct.predict_proba(matrix)).max() < 0.01


def test_equal_rows_do_no_harm() -> None:
    rows = SparseMatrix(np.arange(9), np.zeros(8, np.int64), np.ones(8), 1)
    [coefficients], intercepts = fit_softmax([rows], np.arange(8) % 2, np.ones(8), np.arange(2))
    assert np.isfinite(coefficients).all() and np.isfinite(intercepts).all()


def test_siblings_share_what_their_group_has_learned() -> None:
    rows, labels, matrix = problem(1, 60, 6)
    [alone], _ = fit_softmax([rows], labels, np.ones(60), np.arange(6))
    [grouped], _ = fit_softmax([rows], labels, np.ones(60), np.array([0, 0, 0, 1, 1, 1]))
    shared = matrix @ (grouped - alone)
    assert np.allclose(shared[:, 0], shared[:, 1]) and np.allclose(shared[:, 3], shared[:, 5])
    assert (shared[labels < 3, 0] > shared[labels < 3, 3]).mean() > 0.9


def test_landmarks_are_drawn_from_every_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "LANDMARKS", 10)
    labels = np.array([0] * 50 + [1] * 3 + [2] * 20)
    chosen = landmarks(labels)
    assert (np.diff(chosen) > 0).all() and np.bincount(labels[chosen]).tolist() == [3, 3, 3]
    assert chosen[:3].tolist() == [0, 16, 33]  # evenly drawn: a pack's last examples may be in another language


def test_many_rows_are_fitted_on_landmarks_almost_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    _, labels, noise = problem(2, 200, 4)
    matrix = (noise + scipy.sparse.csr_matrix((np.ones(200), (np.arange(200), labels)), shape=(200, 300))).tocsr()
    rows = SparseMatrix(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data, 300)
    monkeypatch.setattr(selection, "EXACT", 80)
    monkeypatch.setattr(selection, "LANDMARKS", 80)
    [coefficients], intercepts = fit_softmax([rows], labels, np.ones(200), np.arange(4))
    assert ((matrix @ coefficients + intercepts).argmax(axis=1) == labels).mean() > 0.97


def test_blocks_side_by_side_are_one_matrix() -> None:
    rows, labels, matrix = problem(3, 60, 4)
    dense = np.random.default_rng(4).normal(size=(60, 7))
    parts, apart = fit_softmax([rows, dense], labels, np.ones(60), np.arange(4))
    [whole], joined = fit_softmax([np.hstack([matrix.toarray(), dense])], labels, np.ones(60), np.arange(4))
    assert np.allclose(np.vstack(parts), whole, atol=1e-3) and np.allclose(apart, joined, atol=1e-3)
    assert np.allclose(
        predict([rows, dense], parts, apart), np.hstack([matrix.toarray(), dense]) @ whole + joined, atol=1e-2
    )
