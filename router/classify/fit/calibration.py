"""Calibration: from raw scores to probabilities, of one model and of two together.

Of one it is the temperature, and how likely "none of these" is.

Everything here reads out-of-fold rows: scores of examples by models that did not see them.

Of two it is the numbers of a `cascade.ModelAverage`. The average of logarithms is calibrated anew: two models that
agree are surer than either. With "none of these" there is a catch: each model serves with that class adjusted already
(`Calibration.adjusted`), so what is stored is the difference of the joint offset to the average of both."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from router.classify.cascade import ModelAverage, gaps
from router.classify.encoder import Doubles, Flags, Integers, softmax
from router.classify.fit.training import TrainingSet

SHARPNESS_RANGE = (0.05, 20.0)
"""Bounds of the factor on the scores; a pack whose examples are all alike would run off."""

NONE_SHARE = 0.2
"""How much of its own score the class "none of these" keeps; the rest is a constant.

With a constant alone, a message is foreign when no task scores well, whatever it is about; with its own score, when it
is like the foreign texts the fit happened to see. AUROC of CLINC150's out-of-scope messages at 10 examples a task (two
draws): .948 and .953 with none of it, .954 and .959 with a fifth, .929 and .937 with all; with all examples .960, .964
and .951."""

OFFSET_RANGE = (-10.0, 10.0)
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """How scores become probabilities: `softmax(sharpness * self.adjusted(scores))`."""

    sharpness: float = 1.0
    none_offset: float = 0.0

    def adjusted(self, scores: Doubles) -> Doubles:
        """Return scores in which "none of these", the last class but one, stands as NONE_SHARE has it."""
        adjusted = scores.copy()
        adjusted[..., -2] = NONE_SHARE * scores[..., -2] + self.none_offset
        return adjusted

    def turn(self, scores: Doubles) -> Doubles:
        """Return the probabilities of all classes, for texts that may stand anywhere."""
        return softmax(self.sharpness * self.adjusted(scores))

    def opening(self, scores: Doubles) -> Doubles:
        """Return the probabilities of the tasks for texts that open a conversation; the rest is "none of these".

        Nothing can go on at an opening, so that class stands aside.
        """
        return softmax(self.sharpness * self.adjusted(scores)[..., :-1])[..., :-1]


def calibrate(scores: Doubles, labels: Integers, weights: Doubles) -> Calibration:
    """Return the calibration with the least log-loss on these rows, each a text that opens a conversation.

    First the sharpness, one over the temperature of Guo et al. 2017 ("On Calibration of Modern Neural Networks"), on
    the rows of the tasks alone: foreign rows are so easily told apart that they would make everything look surer than
    it is. Then, with it, how likely "none of these" is, on all rows. Either loss has one minimum; golden-section search
    finds it. A single task is told from nothing but foreign rows, so there both are sought on all of them.
    """
    none = scores.shape[1] - 2
    of_tasks = labels < none
    if not of_tasks.any():
        return Calibration()
    tasks = scores[of_tasks, :none]
    low, high = (math.log(bound) for bound in SHARPNESS_RANGE)
    usable = labels <= none
    openings = scores[usable]
    has_foreign = bool((labels == none).any())

    def loss_at(offset: float, sharpness: float) -> float:
        scaled = sharpness * Calibration(sharpness, offset).adjusted(openings)[:, :-1]
        return _log_loss(scaled, labels[usable], weights[usable])

    def offset_at(sharpness: float) -> float:
        return _golden(lambda offset: loss_at(offset, sharpness), *OFFSET_RANGE) if has_foreign else 0.0

    def loss_of(at: float) -> float:
        sharpness = math.exp(at)
        if none == 1 and has_foreign:
            return loss_at(offset_at(sharpness), sharpness)
        return _log_loss(sharpness * tasks, labels[of_tasks], weights[of_tasks])

    sharpness = math.exp(_golden(loss_of, low, high))
    return Calibration(sharpness, offset_at(sharpness))


def _log_loss(scaled: Doubles, labels: Integers, weights: Doubles) -> float:
    highest = scaled.max(axis=1)
    logs = highest + np.log(np.exp(scaled - highest[:, None]).sum(axis=1)) - scaled[np.arange(len(labels)), labels]
    return float((logs * weights).sum())


def _golden(loss: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function with one minimum between two bounds has it."""
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > 1e-3:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = loss(right)
    return (low + high) / 2


@dataclass(frozen=True, slots=True)
class OutOfFoldScores:
    """Scores of rows by models that had not seen them.

    `scores` has a column per class, and zeros where a row has none; `judged` says which rows have scores, `predictable`
    which could have been right. `parts` are the scores of the rows' parts, by the models that had not seen the row, and
    `asking` says which of these ask for something (`attention`). `calibration` is what makes probabilities of them all.
    """

    scores: Doubles
    judged: Flags
    predictable: Flags
    parts: Doubles
    asking: Flags
    calibration: Calibration = Calibration()

    def calibrated(self, rows: TrainingSet) -> OutOfFoldScores:
        """Return these scores with the calibration that they ask for."""
        usable = self.predictable & rows.opening
        written = usable & ~rows.generated
        if (rows.labels[written] < len(rows.classes)).sum() >= ENOUGH_WRITTEN:
            usable = written
        found = calibrate(self.scores[usable], rows.labels[usable], rows.weights[usable])
        return replace(self, calibration=found)

    def serving(self, scores: Doubles) -> Doubles:
        """Return scores as they serve: their softmax is the model's probabilities."""
        return self.calibration.sharpness * self.calibration.adjusted(scores)

    def log_loss(self, rows: TrainingSet) -> float:
        """Return the mean log-loss of the tasks' rows after calibration; 0 where none could be right."""
        usable = self.predictable & rows.opening & (rows.labels < len(rows.classes))
        if not usable.any():
            return 0.0
        labels, weights = rows.labels[usable], rows.weights[usable]
        found = self.calibrated(rows).calibration.opening(self.scores[usable])
        logs = np.log(np.maximum(found[np.arange(len(labels)), labels], 1e-12))
        return float(-(logs * weights).sum() / weights.sum())


ENOUGH_WRITTEN = 99
"""From so many messages on that customers wrote, generated ones do not calibrate: machines write harder ones. It is as
many as certify (`certify`)."""

WEIGHTS = (0.7, 0.5, 0.3)
"""Of the second model's logarithms; the one with the least log-loss out of fold is taken, the first of equals."""

ENOUGH_UNSURE = 150
"""From so many unsure rows on the joint probabilities are calibrated on these alone. They are hard ones: at 10 examples
a task of Banking77 and a fifth asked, the calibration error is .022 by them, and .028 by all rows."""

ALWAYS = 2.0
"""A bound that every difference of probabilities lies below."""


def join(first: OutOfFoldScores, second: OutOfFoldScores, rows: TrainingSet, share: float) -> ModelAverage:
    """Return how to join two models, so that `share` of the pack's own rows is unsure: all of them with one."""
    usable = np.flatnonzero(first.predictable & second.predictable)
    found = gaps(softmax(first.serving(first.scores)))
    own = usable[rows.own[usable]]
    bound = ALWAYS if share >= 1.0 or not len(own) else float(np.quantile(found[own], share))
    unsure = usable[found[usable] < bound]
    chosen = unsure if (rows.labels[unsure] < len(rows.classes)).sum() >= ENOUGH_UNSURE else usable
    tried = [_tried(first, second, rows, chosen, weight) for weight in WEIGHTS]
    _, weight, sharpness, shift = min(tried, key=lambda found: found[0])
    return ModelAverage(bound, weight, sharpness, shift)


def _tried(
    first: OutOfFoldScores, second: OutOfFoldScores, rows: TrainingSet, chosen: Integers, weight: float
) -> tuple[float, float, float, float]:
    """Return the log-loss of the tasks among the chosen rows, the weight it comes of, its sharpness and its shift."""
    one, other = (1.0 - weight) * first.calibration.sharpness, weight * second.calibration.sharpness
    scores = one * first.scores[chosen] + other * second.scores[chosen]
    labels, weights = rows.labels[chosen], rows.weights[chosen]
    calibrated = calibrate(scores, labels, weights)
    shift = calibrated.none_offset - one * first.calibration.none_offset - other * second.calibration.none_offset
    tasks = np.flatnonzero(labels < len(rows.classes))
    chances = calibrated.opening(scores[tasks])[np.arange(len(tasks)), labels[tasks]]
    loss = -float((np.log(np.maximum(chances, 1e-12)) * weights[tasks]).sum())
    return loss, weight, calibrated.sharpness, shift


@dataclass(frozen=True, slots=True)
class OutOfFoldProbabilities:
    """What serves would make of rows: probabilities of all classes as turns of any kind, of the tasks as openings.

    `parts` are turns beside the rows: their sentences, and questions of the assistant.
    """

    rows: Doubles
    openings: Doubles
    parts: Doubles


def turns_alone(first: OutOfFoldScores) -> OutOfFoldProbabilities:
    """Return what one model makes of rows."""
    scores, parts = first.scores, first.parts
    calibration = first.calibration
    return OutOfFoldProbabilities(calibration.turn(scores), calibration.opening(scores), calibration.turn(parts))


def turns_together(
    joint: ModelAverage, first: OutOfFoldScores, second: OutOfFoldScores, of_row: Sequence[int]
) -> OutOfFoldProbabilities:
    """Return what the cascade makes of rows.

    `of_row` says of which row each of the first parts is. A sentence is asked about where its row is unsure, and it
    itself; further parts are not asked about.
    """
    alone = turns_alone(first)
    unsure = joint.unsure(alone.rows)
    both = joint.scores(first.serving(first.scores), second.serving(second.scores))
    asked = np.zeros(len(alone.parts), np.bool_)
    asked[: len(of_row)] = unsure[np.array(of_row, np.int64)]
    asked &= joint.unsure(alone.parts)
    parts = joint.scores(first.serving(first.parts), second.serving(second.parts))
    return OutOfFoldProbabilities(
        np.where(unsure[:, None], softmax(both), alone.rows),
        np.where(unsure[:, None], softmax(both[:, :-1])[:, :-1], alone.openings),
        np.where(asked[:, None], softmax(parts), alone.parts),
    )
