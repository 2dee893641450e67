"""How two models become one: the numbers of a `cascade.Joint`, from rows that neither has seen. Fitting only.

The average of logarithms is calibrated anew: two models that agree are surer than either. With "none of these" there is
a catch: each model serves with that class adjusted already (`Calibration.adjusted`), so what is stored is the
difference of the joint offset to the average of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from router.classify.calibration import Calibration, calibrate, softmax
from router.classify.cascade import Joint, gaps
from router.classify.encoder import Doubles, Integers
from router.classify.selection import Unseen
from router.classify.training import TrainingSet

WEIGHTS = (0.7, 0.5, 0.3)
"""Of the second model's logarithms; the one with the least log-loss out of fold is taken, the first of equals."""

ENOUGH_UNSURE = 150
"""From so many unsure rows on the joint probabilities are calibrated on these alone. They are hard ones: at 10 examples
a task of Banking77 and a fifth asked, the calibration error is .022 by them, and .028 by all rows."""

ALWAYS = 2.0
"""A bound that every difference of probabilities lies below."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one model says of rows that it has not seen, and its calibration."""

    unseen: Unseen
    calibration: Calibration

    def calibrated(self, scores: Doubles) -> Doubles:
        """Return scores as they serve: their softmax is the model's probabilities."""
        return self.calibration.sharpness * self.calibration.adjusted(scores)


def join(first: Opinion, second: Opinion, rows: TrainingSet, share: float) -> Joint:
    """Return how to join two models, so that `share` of the pack's own rows is unsure: all of them with one."""
    usable = np.flatnonzero(first.unseen.predictable & second.unseen.predictable)
    found = gaps(softmax(first.calibrated(first.unseen.scores)))
    own = usable[rows.own[usable]]
    bound = ALWAYS if share >= 1.0 or not len(own) else float(np.quantile(found[own], share))
    unsure = usable[found[usable] < bound]
    chosen = unsure if (rows.labels[unsure] < len(rows.classes)).sum() >= ENOUGH_UNSURE else usable
    tried = [_tried(first, second, rows, chosen, weight) for weight in WEIGHTS]
    _, weight, sharpness, shift = min(tried, key=lambda found: found[0])
    return Joint(bound, weight, sharpness, shift)


def _tried(
    first: Opinion, second: Opinion, rows: TrainingSet, chosen: Integers, weight: float
) -> tuple[float, float, float, float]:
    """Return the log-loss of the tasks among the chosen rows, the weight it comes of, its sharpness and its shift."""
    one, other = (1.0 - weight) * first.calibration.sharpness, weight * second.calibration.sharpness
    scores = one * first.unseen.scores[chosen] + other * second.unseen.scores[chosen]
    labels, weights = rows.labels[chosen], rows.weights[chosen]
    calibrated = calibrate(scores, labels, weights)
    shift = calibrated.none_offset - one * first.calibration.none_offset - other * second.calibration.none_offset
    tasks = np.flatnonzero(labels < len(rows.classes))
    chances = calibrated.opening(scores[tasks])[np.arange(len(tasks)), labels[tasks]]
    loss = -float((np.log(np.maximum(chances, 1e-12)) * weights[tasks]).sum())
    return loss, weight, calibrated.sharpness, shift


@dataclass(frozen=True, slots=True)
class Turns:
    """What serves would make of rows: probabilities of all classes as turns of any kind, of the tasks as openings.

    `parts` are turns beside the rows: their sentences, and questions of the assistant.
    """

    rows: Doubles
    openings: Doubles
    parts: Doubles


def turns_alone(first: Opinion) -> Turns:
    """Return what one model makes of rows."""
    scores, parts = first.unseen.scores, first.unseen.parts
    calibration = first.calibration
    return Turns(calibration.turn(scores), calibration.opening(scores), calibration.turn(parts))


def turns_together(joint: Joint, first: Opinion, second: Opinion, of_row: Sequence[int]) -> Turns:
    """Return what the cascade makes of rows.

    `of_row` says of which row each of the first parts is. A sentence is asked about where its row is unsure, and it
    itself; further parts are not asked about.
    """
    alone = turns_alone(first)
    unsure = joint.unsure(alone.rows)
    both = joint.scores(first.calibrated(first.unseen.scores), second.calibrated(second.unseen.scores))
    asked = np.zeros(len(alone.parts), np.bool_)
    asked[: len(of_row)] = unsure[np.array(of_row, np.int64)]
    asked &= joint.unsure(alone.parts)
    parts = joint.scores(first.calibrated(first.unseen.parts), second.calibrated(second.unseen.parts))
    return Turns(
        np.where(unsure[:, None], softmax(both), alone.rows),
        np.where(unsure[:, None], softmax(both[:, :-1])[:, :-1], alone.openings),
        np.where(asked[:, None], softmax(parts), alone.parts),
    )
