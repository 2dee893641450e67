"""Softmax regression by scikit-learn, in a space as small as the number of examples. Fitting only.

A pack has far fewer examples than features (1,500 against 20,000 in a pack of 150 tasks). With a quadratic penalty the
best weights are a combination of the training rows (the representer theorem: Schoelkopf, Herbrich, Smola 2001), so the
problem is turned by an isometry into one with a column per example: X X^T = L L^T, fit on L, turn the weights back.
That is the same optimum as fitting on X itself, in a tenth of the time (CLINC150 at 10 examples: 1.0 s for 9 s).

From `LANDMARKS` rows on the weights are sought among the combinations of so many rows, drawn evenly from all classes
(the Nystroem subset-of-regressors form: Williams, Seeger 2001).

The only importer of scikit-learn and scipy, inside the function, so that the serving process never loads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from router.classify.encoder import Doubles, Integers, Matrix

STRENGTH = 20.0
"""Inverse penalty (scikit-learn's C). Between 5 and 40 accuracy moves by less than half a point."""

TOLERANCE = 3e-4
"""With 1e-3 the solver may stop too soon: after 9 steps instead of 21, and 1.5 points, on one draw of CLINC150."""

GROUP_SHARE = 0.25
"""Measured at 10 examples on CLINC150 (ten domains): accuracy 82.4 -> 83.3 % by task, 92.8 -> 93.8 % by domain."""

LEAST_STEPS, MOST_STEPS = 10, 300
MOST_PRODUCTS = 1e12
"""The solver takes 10 to 35 steps. Only a pack of thousands of tasks is stopped before: within minutes, not hours."""

LANDMARKS = 2_000
JITTER = 1e-6
"""Added to the diagonal, so that equal examples do not make the factorisation fail."""


def fit_softmax(
    blocks: Sequence[Matrix], labels: Integers, weights: Doubles, groups: Integers, strength: float = STRENGTH
) -> tuple[list[Doubles], Doubles]:
    """Return weights of shape (features, classes) for each block, and intercepts.

    The blocks have a row for each label; labels run from 0 to classes-1, and each occurs. `groups` gives the group of
    each class. A second model tells the groups apart, and `GROUP_SHARE` of a group's weights is added to each of its
    classes: what siblings have in common is learned from all their examples. Both models are linear, so their sum is
    one. Needs at least two classes.
    """
    # Here, not at the top: they cost seconds and 100 MB, which serving never needs.
    import scipy.linalg  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    def softmax_of(targets: Integers) -> tuple[Doubles, Doubles]:
        steps = int(MOST_PRODUCTS / dense.size / (targets.max() + 1))
        model = LogisticRegression(C=strength, tol=TOLERANCE, max_iter=min(MOST_STEPS, max(LEAST_STEPS, steps)))
        model.fit(dense, targets, sample_weight=weights)
        coefficients, intercepts = model.coef_.astype(np.float64), model.intercept_.astype(np.float64)
        if len(coefficients) == 1:  # scikit-learn folds two classes into one sigmoid: half of it either way
            return np.vstack([-coefficients, coefficients]) / 2, np.concatenate([-intercepts, intercepts]) / 2
        return coefficients, intercepts

    parts = [_matrix(block) for block in blocks]
    marks = [part[landmarks(labels)] for part in parts] if len(labels) > LANDMARKS else parts
    lower = _products(marks, marks)
    lower[np.diag_indices_from(lower)] += JITTER
    lower = scipy.linalg.cholesky(lower, lower=True, overwrite_a=True, check_finite=False)
    across = lower
    if marks is not parts:
        across = scipy.linalg.solve_triangular(lower, _products(marks, parts), lower=True, check_finite=False).T
    dense = np.ascontiguousarray(across, np.float32)
    coefficients, intercepts = softmax_of(labels)
    names, of_class = np.unique(groups, return_inverse=True)
    if 1 < len(names) < len(groups):
        shared, offsets = softmax_of(of_class[labels])
        coefficients = coefficients + GROUP_SHARE * shared[of_class]
        intercepts = intercepts + GROUP_SHARE * offsets[of_class]
    back = scipy.linalg.solve_triangular(lower, coefficients.T, trans="T", lower=True, check_finite=False)
    return [np.asarray(part.T @ back) for part in marks], intercepts


def predict(blocks: Sequence[Matrix], coefficients: Sequence[Doubles], intercepts: Doubles) -> Doubles:
    """Return the scores of rows, of shape (rows, classes)."""
    scores = sum(_matrix(block) @ part for block, part in zip(blocks, coefficients, strict=True))
    return np.asarray(scores) + intercepts


def _matrix(block: Matrix) -> Any:
    """Return a block as numpy or scipy has it."""
    import scipy.sparse  # noqa: PLC0415

    if isinstance(block, np.ndarray):
        return block
    shape = (len(block), block.width)
    # A copy: adding up equal columns happens in place, and the block may be asked for again.
    matrix = scipy.sparse.csr_matrix((block.values, block.columns, block.starts), shape=shape, copy=True)
    matrix.sum_duplicates()
    return matrix


def _products(first: Sequence[Any], second: Sequence[Any]) -> Doubles:
    """Return the inner products of the rows of both, summed over the blocks."""
    total: Doubles | None = None
    for one, other in zip(first, second, strict=True):
        product = one @ other.T
        product = product if isinstance(product, np.ndarray) else product.toarray()
        total = product if total is None else total + product
    assert total is not None  # a recipe has at least one block
    return total


def landmarks(labels: Integers) -> Integers:
    """Return `LANDMARKS` row numbers, taking from each class in turn."""
    rank = np.zeros(len(labels), np.int64)
    seen: dict[int, int] = {}
    for row, label in enumerate(labels.tolist()):
        rank[row] = seen.get(label, 0)
        seen[label] = int(rank[row]) + 1
    return np.sort(np.lexsort((labels, rank))[:LANDMARKS])
