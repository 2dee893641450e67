"""From raw scores to probabilities one may act on: the temperature, and the thresholds. Fitting only, numpy only.

Everything here reads out-of-fold rows: scores of examples by models that did not see them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from router.classify.encoder import Doubles, Integers
from router.classify.mass import Tree
from router.core.evidence import Thresholds
from router.core.policy import ROOT

Flags: TypeAlias = NDArray[np.bool_]

SHARPNESS_RANGE = (0.05, 20.0)
"""Bounds of the factor on the scores; a pack whose examples are all alike would run off."""

DEFAULT_THRESHOLD = 0.5
"""Where there are too few rows to choose by: more likely than everything else together."""

THRESHOLD_RANGE = (0.35, 0.75)
"""No threshold is chosen outside. Below, two siblings could tie. Above, clear but short messages would not settle: of
CLINC150's messages at 10 examples a task, .65 settles 80 % on a task (6.2 % wrong), .75 74 % (4.6 %), .85 67 % (2.8 %).
So with few examples the accepted rate may be exceeded; who would rather say less sets the thresholds by hand."""

ENOUGH_ERRORS = 5.0
"""A rate is only read off the rows when that many wrong ones would be within it; fewer are an accident either way."""

SOFT_SHARE = 0.6
"""The soft zone begins at this share of the task threshold."""

_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


def softmax(scores: Doubles) -> Doubles:
    """Return probabilities along the last axis."""
    powers = np.exp(scores - np.maximum.reduce(scores, axis=-1, keepdims=True))
    powers /= np.add.reduce(powers, axis=-1, keepdims=True)
    return powers


def choose_sharpness(scores: Doubles, labels: Integers, weights: Doubles) -> float:
    """Return the factor on the scores (one over the temperature) with the least log-loss on these rows.

    Guo et al. 2017, "On Calibration of Modern Neural Networks". Found by golden-section search over its logarithm:
    the loss has one minimum in it.
    """
    if not len(labels):
        return 1.0
    rows = np.arange(len(labels))

    def loss(log_sharpness: float) -> float:
        scaled = scores * math.exp(log_sharpness)
        scaled -= scaled.max(axis=1, keepdims=True)
        logs = scaled[rows, labels] - np.log(np.exp(scaled).sum(axis=1))
        return float(-(logs * weights).sum())

    low, high = (math.log(bound) for bound in SHARPNESS_RANGE)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > 1e-4:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = loss(right)
    return math.exp((low + high) / 2)


@dataclass(frozen=True, slots=True)
class Judged:
    """Out-of-fold rows as a decision would see them.

    `probabilities` has a column per class of the tree (what is missing to one is "none of these"), `truths` the path
    of each row, `/` for none, `weights` what a row counts for.
    """

    probabilities: Doubles
    truths: tuple[str, ...]
    weights: Doubles


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What the operator accepts: rates of wrong specific text, thresholds set by hand, the tasks of high stakes."""

    error_domain: float = 0.01
    error_task: float = 0.03
    threshold_domain: float | None = None
    threshold_task: float | None = None
    high_stakes: tuple[str, ...] = ()


def choose_thresholds(rows: Judged, tree: Tree, tolerance: Tolerance) -> Thresholds:
    """Return the lowest thresholds at which acting was wrong on no more than the accepted share of the rows.

    One for the domains, one for all below; a tree of one level has its tasks on the first, with the tasks' rate. A
    task of high stakes is held to the domains' rate at its own depth. What is set by hand is taken as it is; a task of
    high stakes then lies half way between that and the top of the range.
    """
    deep = any(path.count("/") > 1 for path in tree.nodes)
    rates = (tolerance.error_domain, tolerance.error_task) if deep else (tolerance.error_task, tolerance.error_task)
    blocks = [_blocks(rows, tree, depth) for depth in (1, 2)]
    chosen = [_lowest(*block, rows.weights, rate) for block, rate in zip(blocks, rates, strict=True)]
    by_hand = (tolerance.threshold_domain, tolerance.threshold_task)
    domain, task = (hand if hand is not None else found for hand, found in zip(by_hand, chosen, strict=True))
    if tolerance.threshold_task is None:
        task = max(task, min(domain, THRESHOLD_RANGE[1]))
    strict = [_lowest(*block, rows.weights, min(tolerance.error_domain, rates[1])) for block in blocks]
    by_task = {}
    for path in tolerance.high_stakes:
        at = min(path.count("/"), 2) - 1
        plain = (domain, task)[at]
        by_task[path] = (
            max(strict[at], plain) if by_hand[at] is None else round((plain + max(plain, THRESHOLD_RANGE[1])) / 2, 4)
        )
    return Thresholds((domain, task), round(SOFT_SHARE * (task if deep else domain), 4), by_task)


def _blocks(rows: Judged, tree: Tree, depth: int) -> tuple[Doubles, Flags]:
    """Return, for each row, the mass of the heaviest node at a depth, and whether the truth lies elsewhere.

    The walk goes down from the heaviest domain, as settling does. A row whose walk ends higher up has mass 0.
    """
    masses = tree.all_masses(rows.probabilities)
    heaviest = np.zeros(len(rows.truths))
    wrong = np.ones(len(rows.truths), np.bool_)
    children = tree.children
    for row, truth in enumerate(rows.truths):
        here, weight = ROOT, 0.0
        for _ in range(depth):
            below = children.get(here)
            if not below:
                here = ""
                break
            best = max(below, key=lambda at: masses[row, at])
            here, weight = tree.nodes[best], float(masses[row, best])
        if here:
            heaviest[row] = weight
            wrong[row] = truth != here and not truth.startswith(here + "/")
    return heaviest, wrong


def _lowest(mass: Doubles, wrong: Flags, weights: Doubles, rate: float) -> float:
    """Return the lowest threshold whose wrong rows, and one more, are at most `rate` of all rows and one more."""
    total = float(weights.sum())
    if total * rate < ENOUGH_ERRORS or not mass.any():
        return DEFAULT_THRESHOLD
    order = np.argsort(-mass, kind="stable")
    errors = np.cumsum(np.where(wrong, weights, 0.0)[order])
    allowed = errors + 1.0 <= rate * (total + 1.0)
    ranked = mass[order]
    count = len(order) if allowed.all() else int(np.argmin(allowed))
    if 0 < count < len(order):  # rows of equal mass pass together or not at all
        count = int(np.searchsorted(-ranked, -ranked[count], side="left"))
    # Half way to the next row down, so that the threshold is not one example's own score.
    upper = ranked[count - 1] if count else 1.0
    lower = ranked[count] if count < len(ranked) else 0.0
    low, high = THRESHOLD_RANGE
    return round(min(high, max(low, float(upper + lower) / 2)), 4)
