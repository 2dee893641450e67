"""Fitting models, and choosing between them: the solver, out-of-fold scores, which blocks and how strong a penalty.

Blocks and penalty are chosen by what they are worth on rows the model had not seen.

No set of blocks wins everywhere. Meaning carries the subject of a message, structure the kind of work; for a pack in
another language the shipped table may be mere noise. So each recipe is tried on a part of the pack, and the one with
the least log-loss out of fold is taken; a recipe further down the list must be better by a clear margin.

The solver is softmax regression by scikit-learn, in a space as small as the number of examples.

A pack has far fewer examples than features (1,500 against 20,000 in a pack of 150 tasks). With a quadratic penalty the
best weights are a combination of the training rows (the representer theorem: Schoelkopf, Herbrich, Smola 2001), so the
problem is turned by an isometry into one with a column per example: X X^T = L L^T, fit on L, turn the weights back.
That is the same optimum as fitting on X itself, in a tenth of the time (CLINC150 at 10 examples: 1.0 s for 9 s).

Beyond `EXACT` rows the weights are sought among the combinations of `LANDMARKS` rows, drawn evenly from all classes
(the Nystroem subset-of-regressors form: Williams, Seeger 2001).

The only importer of scikit-learn and scipy, inside the function, so that the serving process never loads them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from router.classify import blocks
from router.classify.encoder import Doubles, Features, Integers, Matrix, Scorer, SparseMatrix, TokenizedText, tokenized
from router.classify.fit.calibration import OutOfFoldScores
from router.classify.fit.everyday import attention_to
from router.classify.fit.training import TrainingSet

Recipe: TypeAlias = tuple[tuple[str, float], ...]
"""Names of blocks, each with its weight: how long its part of a text's vector is."""

STRUCTURE_WEIGHT = 0.7
"""Out of fold on the shipped `assistant` pack: log-loss .56 at .3, .53 at .5, .50 at .7."""

LEXICAL: Recipe = (("lexical", 1.0),)
STATIC: Recipe = (("lexical", 1.0), ("static", 1.0))
"""Weights of .7, 1 and 1.4 measured within half a point of each other on Banking77 and CLINC150 at 10 examples."""

SEARCH_CLASSES, SEARCH_ROWS = 36, 12
"""A search takes three runs of neighbouring tasks, together so many at most, so many rows of each: half a second."""

SEARCH_FOLDS = 3

MARGIN = 0.02
"""Share of the log-loss by which a later recipe must be better than an earlier one."""

STRENGTHS = (20.0, 5.0)
"""Inverse penalties to choose from (scikit-learn's C). Between 5 and 40 accuracy moves by less than half a point."""

THREADS = 3
"""Folds worked on at a time, where there are cores for them. Each needs a matrix of its own, of rows times rows."""

ABSENT = -50.0
"""The score of a class that a fold has no example of."""


def recipes(encoder: str) -> tuple[Recipe, ...]:
    """Return what to choose from for a setting of `encoder`, the preferred one first. Raises ValueError."""
    if encoder == "lexical":
        plain: tuple[Recipe, ...] = (LEXICAL,)
    elif encoder == "static":
        plain = (STATIC, LEXICAL)
    else:
        raise ValueError(f'no encoder is called "{encoder}"')
    return plain + tuple((*recipe, ("structure", STRUCTURE_WEIGHT)) for recipe in plain)


def second_recipes(encoder: str) -> tuple[Recipe, ...]:
    """Return what to choose from for the second model of a cascade. The words are the first model's business."""
    return ((encoder, 1.0),), ((encoder, 1.0), ("structure", STRUCTURE_WEIGHT))


class FittedBlocks:
    """The learned vocabularies of some blocks, by name."""

    def __init__(self, names: Iterable[str], texts: Sequence[str]) -> None:
        self._features: dict[str, Features] = {name: blocks.learn(name, texts) for name in names}

    def matrices(self, readings: Sequence[TokenizedText]) -> dict[str, Matrix]:
        """Return each block's part of the training matrix, before its weight."""
        return {name: features.rows(readings) for name, features in self._features.items()}

    def fold(self, recipe: Recipe, coefficients: Sequence[Doubles]) -> dict[str, Scorer]:
        """Return a scorer for each block, for weights fitted to its weighted part."""
        return {
            name: self._features[name].fold(part * weight)
            for (name, weight), part in zip(recipe, coefficients, strict=True)
        }


def weighted(matrices: Mapping[str, Matrix], recipe: Recipe) -> list[Matrix]:
    """Return the parts a recipe names, each times its weight."""
    return [_times(matrices[name], weight) for name, weight in recipe]


def _times(matrix: Matrix, weight: float) -> Matrix:
    if weight == 1.0:
        return matrix
    if isinstance(matrix, np.ndarray):
        return matrix * weight
    return SparseMatrix(matrix.starts, matrix.columns, matrix.values * weight, matrix.width)


class Hyperparameters(NamedTuple):
    """What a model is fitted with."""

    recipe: Recipe
    strength: float


def choose(rows: TrainingSet, recipes: Sequence[Recipe]) -> Hyperparameters:
    """Return the recipe and the strength to fit a model with."""
    part = part_to_try(rows)
    tried = [Hyperparameters(recipes[0], strength) for strength in STRENGTHS]
    tried += [Hyperparameters(recipe, STRENGTHS[0]) for recipe in recipes[1:]]
    best, least = tried[0], np.inf
    for candidate, unseen in zip(tried, out_of_fold(part, tried, SEARCH_FOLDS), strict=True):
        loss = unseen.log_loss(part)
        if loss < least * (1.0 - MARGIN):
            best, least = candidate, loss
    return best


def part_to_try(rows: TrainingSet) -> TrainingSet:
    """Return the part of the rows to try recipes on: few classes with their neighbours, few rows of each."""
    tasks = len(rows.classes)
    if tasks <= SEARCH_CLASSES:
        chosen = np.arange(tasks)
    else:
        run = SEARCH_CLASSES // 3
        starts = (0, (tasks - run) // 2, tasks - run)
        chosen = np.concatenate([np.arange(start, start + run) for start in starts])
    kept = np.zeros(len(rows), np.bool_)
    for label in (*chosen.tolist(), tasks, tasks + 1):
        members = np.flatnonzero(rows.labels == label)
        held = members[rows.held[members]]
        most = SEARCH_ROWS if label < tasks else 4 * SEARCH_ROWS
        kept[held[:: max(1, -(-len(held) // most))]] = True
        kept[members[~rows.held[members]]] = True
    return rows.part(np.flatnonzero(kept), chosen)


def out_of_fold(
    rows: TrainingSet,
    candidates: Sequence[Hyperparameters],
    folds: int,
    worked: int | None = None,
    parts: Sequence[tuple[int, str]] = (),
    progress: Callable[[int], None] = lambda done: None,
    everyday: Sequence[str] = (),
) -> list[OutOfFoldScores]:
    """Return, for each candidate, what models fitted to the other folds make of each row.

    Folds are drawn by counting within each class; a dialogue stays together. Rows that are not to be held out are part
    of every model. A class of one example is unknown to the model that is to score it. `worked` is the number of folds
    to go through, where not all are asked for. `parts` are further texts, each of a row; `progress` is told after each
    fold. Against `everyday` sentences attention is learned, by which long texts are read.
    """
    fold = np.full(len(rows), -1, np.int64)
    for label in range(len(rows.groups)):
        members = np.flatnonzero((rows.labels == label) & rows.held)
        fold[members] = np.arange(len(members)) % folds
    fold[rows.talk >= 0] = rows.talk[rows.talk >= 0] % folds
    found = [np.zeros((len(rows) + len(parts), len(rows.groups))) for _ in candidates]
    judged, predictable = np.zeros((2, len(rows)), np.bool_)
    asking = np.ones(len(parts), np.bool_)
    names = dict.fromkeys(name for candidate in candidates for name, _ in candidate.recipe)

    def work(number: int) -> bool:
        inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        known, labels = np.unique(rows.labels[inside], return_inverse=True)
        if not len(outside) or len(known) < 2:
            return False
        learned = FittedBlocks(names, rows.texts_at(inside))
        # Fewer rows under the same penalty would give flatter scores than the model on all rows has.
        weights = rows.weights[inside] * (rows.weights.sum() / rows.weights[inside].sum())
        beside = [at for at, (row, _) in enumerate(parts) if fold[row] == number]
        seen = learned.matrices(rows.readings_at(inside))
        new = rows.readings_at(outside) + [tokenized(parts[at][1]) for at in beside]
        if everyday:
            attention = attention_to(rows.texts_at(inside[rows.labels[inside] < len(rows.classes)]), everyday)
            asking[beside] = [attention.asks(reading) for reading in new[len(outside) :]]
            new = list(map(attention.attend, new))
        unseen = learned.matrices(new)
        places = np.concatenate([outside, np.array(beside, np.int64) + len(rows)])
        for scores, candidate in zip(found, candidates, strict=True):
            coefficients, intercepts = fit_softmax(
                weighted(seen, candidate.recipe), labels, weights, rows.groups[known], candidate.strength
            )
            scores[places] = ABSENT
            scores[np.ix_(places, known)] = predict(weighted(unseen, candidate.recipe), coefficients, intercepts)
        judged[outside] = True
        predictable[outside] = np.isin(rows.labels[outside], known)
        return True

    # Each fold writes to its own rows; what is not in numpy's and scipy's own code takes turns.
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        for done, _ in enumerate(pool.map(work, range(folds if worked is None else worked)), 1):
            progress(done)
    return [OutOfFoldScores(scores[: len(rows)], judged, predictable, scores[len(rows) :], asking) for scores in found]


TOLERANCE = 3e-4
"""With 1e-3 the solver may stop too soon: after 9 steps instead of 21, and 1.5 points, on one draw of CLINC150."""

GROUP_SHARE = 0.25
"""Measured at 10 examples on CLINC150 (ten domains): accuracy 82.4 -> 83.3 % by task, 92.8 -> 93.8 % by domain."""

LEAST_STEPS, MOST_STEPS = 10, 300
MOST_PRODUCTS = 1e12
"""The solver takes 10 to 35 steps. Only a pack of thousands of tasks is stopped before: within minutes, not hours."""

EXACT = 4_000
"""Up to so many rows nothing is approximated: of 102 messages to a help desk of 3,300 English rows the likeliest task
was right in 79 %, with 2,000 landmarks in 74, in the same time."""

LANDMARKS = 2_000
JITTER = 1e-6
"""Added to the diagonal, so that equal examples do not make the factorisation fail."""


def fit_softmax(
    blocks: Sequence[Matrix], labels: Integers, weights: Doubles, groups: Integers, strength: float = STRENGTHS[0]
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
    marks = [part[landmarks(labels)] for part in parts] if len(labels) > EXACT else parts
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
    """Return at most `LANDMARKS` row numbers: of each class all rows, or else so many of them, evenly drawn."""
    sizes = np.bincount(labels)
    most = 1
    while np.minimum(sizes, most + 1).sum() <= LANDMARKS and most < sizes.max():
        most += 1
    chosen = []
    for label, size in enumerate(sizes.tolist()):
        kept = min(most, size)
        chosen.append(np.flatnonzero(labels == label)[np.arange(kept) * size // max(kept, 1)])
    return np.sort(np.concatenate(chosen))
