"""Which blocks, and how strongly fitted: chosen by what they are worth on rows the model had not seen.

No set of blocks wins everywhere. Meaning carries the subject of a message, structure the kind of work; for a pack in
another language the shipped table may be mere noise. So each recipe is tried on a part of the pack, and the one with
the least log-loss out of fold is taken; a recipe further down the list must be better by a clear margin.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from router.classify import regression
from router.classify.blocks import Learned, Recipe, weighted
from router.classify.calibration import Calibration, Flags, calibrate
from router.classify.encoder import Doubles
from router.classify.training import TrainingSet

TRIAL_CLASSES, TRIAL_ROWS = 36, 12
"""A trial takes three runs of neighbouring tasks, together at most so many, and so many rows of each: half a second."""

TRIAL_FOLDS = 3

MARGIN = 0.02
"""Share of the log-loss by which a later recipe must be better than an earlier one."""

STRENGTHS = (20.0, 5.0)
"""Inverse penalties to choose from (scikit-learn's C). Between 5 and 40 accuracy moves by less than half a point."""

THREADS = 3
"""Folds worked on at a time, where there are cores for them. Each needs a matrix of its own, of rows times rows."""

ABSENT = -50.0
"""The score of a class that a fold has no example of."""


class Trial(NamedTuple):
    """What a model is fitted with."""

    recipe: Recipe
    strength: float


def choose(rows: TrainingSet, recipes: Sequence[Recipe]) -> Trial:
    """Return the recipe and the strength to fit a model with."""
    part = part_to_try(rows)
    tried = [Trial(recipes[0], strength) for strength in STRENGTHS]
    tried += [Trial(recipe, STRENGTHS[0]) for recipe in recipes[1:]]
    best, least = tried[0], np.inf
    for trial, unseen in zip(tried, out_of_fold(part, tried, TRIAL_FOLDS), strict=True):
        loss = unseen.log_loss(part)
        if loss < least * (1.0 - MARGIN):
            best, least = trial, loss
    return best


def part_to_try(rows: TrainingSet) -> TrainingSet:
    """Return the part of the rows to try recipes on: few classes with their neighbours, few rows of each."""
    tasks = len(rows.classes)
    if tasks <= TRIAL_CLASSES:
        chosen = np.arange(tasks)
    else:
        run = TRIAL_CLASSES // 3
        starts = (0, (tasks - run) // 2, tasks - run)
        chosen = np.concatenate([np.arange(start, start + run) for start in starts])
    kept = np.zeros(len(rows), np.bool_)
    for label in (*chosen.tolist(), tasks, tasks + 1):
        members = np.flatnonzero(rows.labels == label)
        held = members[rows.held[members]]
        most = TRIAL_ROWS if label < tasks else 4 * TRIAL_ROWS
        kept[held[:: max(1, -(-len(held) // most))]] = True
        kept[members[~rows.held[members]]] = True
    return rows.part(np.flatnonzero(kept), chosen)


@dataclass(frozen=True, slots=True)
class Unseen:
    """Scores of rows by models that had not seen them.

    `scores` has a column per class, and zeros where a row has none; `judged` says which rows have scores, `predictable`
    which could have been right. `parts` are the scores of the rows' parts, by the models that had not seen the row.
    """

    scores: Doubles
    judged: Flags
    predictable: Flags
    parts: Doubles

    def calibration(self, rows: TrainingSet) -> Calibration:
        """Return the calibration these scores ask for."""
        usable = self.predictable & rows.opening
        return calibrate(self.scores[usable], rows.labels[usable], rows.weights[usable])

    def log_loss(self, rows: TrainingSet) -> float:
        """Return the mean log-loss of the tasks' rows after calibration; 0 where none could be right."""
        usable = self.predictable & rows.opening & (rows.labels < len(rows.classes))
        if not usable.any():
            return 0.0
        labels, weights = rows.labels[usable], rows.weights[usable]
        found = self.calibration(rows).opening(self.scores[usable])
        logs = np.log(np.maximum(found[np.arange(len(labels)), labels], 1e-12))
        return float(-(logs * weights).sum() / weights.sum())


def out_of_fold(
    rows: TrainingSet,
    trials: Sequence[Trial],
    folds: int,
    worked: int | None = None,
    parts: Sequence[tuple[int, str]] = (),
    progress: Callable[[int], None] = lambda done: None,
) -> list[Unseen]:
    """Return, for each trial, what models fitted to the other folds make of each row.

    Folds are drawn by counting within each class; a dialogue stays together. Rows that are not to be held out are part
    of every model. A class of one example is unknown to the model that is to score it. `worked` is the number of folds
    to go through, where not all are asked for. `parts` are further texts, each of a row; `progress` is told after each
    fold.
    """
    fold = np.full(len(rows), -1, np.int64)
    for label in range(len(rows.groups)):
        members = np.flatnonzero((rows.labels == label) & rows.held)
        fold[members] = np.arange(len(members)) % folds
    fold[rows.talk >= 0] = rows.talk[rows.talk >= 0] % folds
    found = [np.zeros((len(rows) + len(parts), len(rows.groups))) for _ in trials]
    judged, predictable = np.zeros((2, len(rows)), np.bool_)
    names = dict.fromkeys(name for trial in trials for name, _ in trial.recipe)

    def work(number: int) -> bool:
        inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        known, labels = np.unique(rows.labels[inside], return_inverse=True)
        if not len(outside) or len(known) < 2:
            return False
        learned = Learned(names, rows.texts_at(inside))
        # Fewer rows under the same penalty would give flatter scores than the model on all rows has.
        weights = rows.weights[inside] * (rows.weights.sum() / rows.weights[inside].sum())
        beside = [at for at, (row, _) in enumerate(parts) if fold[row] == number]
        seen = learned.matrices(rows.texts_at(inside))
        unseen = learned.matrices(rows.texts_at(outside) + [parts[at][1] for at in beside])
        places = np.concatenate([outside, np.array(beside, np.int64) + len(rows)])
        for scores, trial in zip(found, trials, strict=True):
            coefficients, intercepts = regression.fit_softmax(
                weighted(seen, trial.recipe), labels, weights, rows.groups[known], trial.strength
            )
            scores[places] = ABSENT
            scores[np.ix_(places, known)] = regression.predict(weighted(unseen, trial.recipe), coefficients, intercepts)
        judged[outside] = True
        predictable[outside] = np.isin(rows.labels[outside], known)
        return True

    # Each fold writes to its own rows; what is not in numpy's and scipy's own code takes turns.
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        for done, _ in enumerate(pool.map(work, range(folds if worked is None else worked)), 1):
            progress(done)
    return [Unseen(scores[: len(rows)], judged, predictable, scores[len(rows) :]) for scores in found]
