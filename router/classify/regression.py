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

import numpy as np

from router.classify.encoder import Doubles, Integers, Rows

STRENGTH = 10.0
"""Inverse penalty (scikit-learn's C). Between 5 and 25 accuracy moves by less than half a point."""

GROUP_SHARE = 0.25
"""Measured at 10 examples on CLINC150 (ten domains): accuracy 82.4 -> 83.3 % by task, 92.8 -> 93.8 % by domain."""

LANDMARKS = 2_000
JITTER = 1e-6
"""Added to the diagonal, so that equal examples do not make the factorisation fail."""


def fit_softmax(
    rows: Rows, labels: Integers, weights: Doubles, groups: Integers, strength: float = STRENGTH
) -> tuple[Doubles, Doubles]:
    """Return weights of shape (features, classes) and intercepts for labels 0..classes-1, each of which occurs.

    `groups` gives the group of each class. A second model tells the groups apart, and `GROUP_SHARE` of a group's
    weights is added to each of its classes: what siblings have in common is learned from all their examples. Both
    models are linear, so their sum is one. Needs at least two classes.
    """
    # Here, not at the top: they cost seconds and 100 MB, which serving never needs.
    import scipy.linalg  # noqa: PLC0415
    import scipy.sparse  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    def softmax_of(targets: Integers) -> tuple[Doubles, Doubles]:
        model = LogisticRegression(C=strength, tol=1e-3, max_iter=300)
        model.fit(dense, targets, sample_weight=weights)
        coefficients, intercepts = model.coef_.astype(np.float64), model.intercept_.astype(np.float64)
        if len(coefficients) == 1:  # scikit-learn folds two classes into one sigmoid: half of it either way
            return np.vstack([-coefficients, coefficients]) / 2, np.concatenate([-intercepts, intercepts]) / 2
        return coefficients, intercepts

    matrix = scipy.sparse.csr_matrix((rows.values, rows.columns, rows.starts), shape=(len(rows), rows.width))
    matrix.sum_duplicates()
    marks = matrix[landmarks(labels)] if len(rows) > LANDMARKS else matrix
    with threadpool_limits(1):  # the sums must not depend on how many cores there are
        gram = (marks @ marks.T).toarray()
        gram[np.diag_indices_from(gram)] += JITTER
        lower = scipy.linalg.cholesky(gram, lower=True, overwrite_a=True, check_finite=False)
        across = lower
        if marks is not matrix:
            across = scipy.linalg.solve_triangular(
                lower, (marks @ matrix.T).toarray(), lower=True, check_finite=False
            ).T
        dense = np.ascontiguousarray(across, np.float32)
        coefficients, intercepts = softmax_of(labels)
        names, of_class = np.unique(groups, return_inverse=True)
        if 1 < len(names) < len(groups):
            shared, offsets = softmax_of(of_class[labels])
            coefficients = coefficients + GROUP_SHARE * shared[of_class]
            intercepts = intercepts + GROUP_SHARE * offsets[of_class]
        back = scipy.linalg.solve_triangular(lower, coefficients.T, trans="T", lower=True, check_finite=False)
        return np.asarray(marks.T @ back), intercepts


def landmarks(labels: Integers) -> Integers:
    """Return `LANDMARKS` row numbers, taking from each class in turn."""
    rank = np.zeros(len(labels), np.int64)
    seen: dict[int, int] = {}
    for row, label in enumerate(labels.tolist()):
        rank[row] = seen.get(label, 0)
        seen[label] = int(rank[row]) + 1
    return np.sort(np.lexsort((labels, rank))[:LANDMARKS])
