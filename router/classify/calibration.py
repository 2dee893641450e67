"""From raw scores to probabilities: the temperature, and how likely "none of these" is. Fitting only, numpy only.

Everything here reads out-of-fold rows: scores of examples by models that did not see them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from router.classify.encoder import Doubles, Integers

Flags: TypeAlias = NDArray[np.bool_]

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


def softmax(scores: Doubles) -> Doubles:
    """Return probabilities along the last axis."""
    powers = np.exp(scores - np.maximum.reduce(scores, axis=-1, keepdims=True))
    powers /= np.add.reduce(powers, axis=-1, keepdims=True)
    return powers


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
    finds it.
    """
    none = scores.shape[1] - 2
    of_tasks = labels < none
    if not of_tasks.any():
        return Calibration()
    tasks = scores[of_tasks, :none]
    low, high = (math.log(bound) for bound in SHARPNESS_RANGE)
    sharpness = math.exp(
        _golden(lambda at: _log_loss(math.exp(at) * tasks, labels[of_tasks], weights[of_tasks]), low, high)
    )
    usable = labels <= none
    openings = scores[usable]

    def loss_at(offset: float) -> float:
        scaled = sharpness * Calibration(sharpness, offset).adjusted(openings)[:, :-1]
        return _log_loss(scaled, labels[usable], weights[usable])

    return Calibration(sharpness, _golden(loss_at, *OFFSET_RANGE) if (labels == none).any() else 0.0)


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
