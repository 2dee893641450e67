"""Certified thresholds: how sure must we be, so that acting is wrong no more often than was accepted?

A row is an example scored by a model that had not seen it. Walking down the tree from the heaviest domain, its *wrong
mass* is the mass of the first node on the way that its truth does not lie in; 0 where all are right. At a threshold t
the row is acted on wrongly exactly when its wrong mass is at least t, so lowering t can only add wrong rows.

Fixed-sequence testing from the strictest threshold down (Bauer 1991; as "Learn then Test", Angelopoulos et al. 2021): a
threshold with E wrong rows of n is safe when so few would be a surprise at a true rate of alpha,

    P(Binomial(n, alpha) <= E) <= delta,

and the first threshold that fails ends the walk. Then P(rate of wrong action <= alpha) >= 1 - delta, for traffic like
the rows. The rate is over *all* messages, acted on or not: who says less is wrong less often. With too few rows for
that, (E + 1) / (n + 1) <= alpha bounds the expected rate (conformal risk control: Angelopoulos et al. 2024).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from router.classify.belief import FEW, Tree
from router.classify.encoder import Doubles, Integers
from router.core.evidence import MASS_DIGITS, Certificate, Thresholds
from router.core.policy import ROOT

DELTA = 0.10
"""The promise may fail with this probability; split evenly over the two depths."""

DEFAULT_THRESHOLD = 0.5
"""Where there are too few rows for any promise: more likely than everything else together."""

LEAST_THRESHOLD = 0.5
"""However well the rows came out, nothing is acted on that is likelier wrong than right."""

SOFT_FACTOR = 3.0
"""A task may be named as a possibility where acting on it, whatever the domain, would be wrong at most this many times
as often as is accepted."""

LEAST_SOFT = 0.3
"""With three in ten at least two more tasks could be as likely; then naming one is guessing."""

SOFT_SHARE = 0.6
"""Of the task threshold, where there are too few rows for any promise."""

DEEPEST = 1_000

Basis: TypeAlias = Literal["certified", "expected", "default", "hand"]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What the operator accepts: rates of wrong specific text, thresholds set by hand, the tasks of high stakes."""

    error_domain: float = 0.01
    error_task: float = 0.03
    threshold_domain: float | None = None
    threshold_task: float | None = None
    high_stakes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeldOutRows:
    """Out-of-fold rows as a decision would see them.

    `probabilities` has a column per class of the tree (what is missing to one is "none of these"), `truths` the path
    of each row, `/` for none. `part_beliefs` are the beliefs after single sentences, `part_rows` the rows these are of.
    """

    probabilities: Doubles
    truths: tuple[str, ...]
    part_beliefs: Doubles = field(default_factory=lambda: np.zeros((0, 0)))
    part_rows: Integers = field(default_factory=lambda: np.zeros(0, np.int64))

    def only(self, rows: Integers) -> HeldOutRows:
        """Return some of the rows, given in ascending order, with their parts."""
        kept = np.isin(self.part_rows, rows)
        return HeldOutRows(
            self.probabilities[rows],
            tuple(self.truths[at] for at in rows.tolist()),
            self.part_beliefs[kept],
            np.searchsorted(rows, self.part_rows[kept]),
        )


class _Descent(NamedTuple):
    """What each row's way down the tree comes to at one depth.

    `settled` is the mass of the node at that depth, `wrong` that of the first wrong node: at the first depth of two at
    it alone, else at it or deeper. Both are 0 where there is none.
    """

    settled: Doubles
    wrong: Doubles


def allowed(rows: int, alpha: float, delta: float) -> int:
    """Return the most wrong rows of so many at which a rate above `alpha` is refuted; -1 when none are few enough.

    >>> allowed(1500, 0.03, 0.05), allowed(99, 0.03, 0.05), allowed(98, 0.03, 0.05)
    (33, 0, -1)
    """
    term = rows * math.log1p(-alpha)  # the logarithm of P(Binomial = k), beginning at k = 0
    odds = math.log(alpha) - math.log1p(-alpha)
    total, most = 0.0, -1
    while most < rows:
        total += math.exp(term)
        if total > delta:
            return most
        most += 1
        term += math.log(rows - most) - math.log(most + 1) + odds if most < rows else 0.0
    return most


def certify(wrong_mass: Doubles, alpha: float, delta: float, least: float = LEAST_THRESHOLD) -> tuple[float, Basis]:
    """Return the lowest safe threshold of at least `least` for rows with these wrong masses, and the promise's basis.

    A threshold above 1 acts on nothing.
    """
    rows = len(wrong_mass)
    most = allowed(rows, alpha, delta)
    basis: Basis = "certified"
    if most < 0:
        most, basis = math.floor(alpha * (rows + 1)) - 1, "expected"
    if most < 0:
        return DEFAULT_THRESHOLD, "default"
    if most >= rows:
        return least, basis
    # The first row too many must fail, and with it all of equal mass. Masses are rounded, so half a step is enough.
    limit = float(np.sort(wrong_mass)[::-1][most])
    return max(least, round(limit + 0.5 * 10**-MASS_DIGITS, MASS_DIGITS + 1)), basis


def certificates(rows: HeldOutRows, tree: Tree, tolerance: Tolerance) -> tuple[Thresholds, tuple[Certificate, ...]]:
    """Return the thresholds to act by, and how the one for each depth came about.

    One for the domains, one for all below; a tree of one level has its tasks on the first, with the tasks' rate. The
    second is certified for the messages that pass the first: who is not sure of the domain is not asked for the task.
    A task of high stakes is held to the domains' rate at its own depth. What is set by hand is taken as it is.
    """
    deep = any(path.count("/") > 1 for path in tree.nodes)
    rates = (tolerance.error_domain, tolerance.error_task) if deep else (tolerance.error_task, tolerance.error_task)
    by_hand = (tolerance.threshold_domain, tolerance.threshold_task)
    delta = DELTA / 2 if deep else DELTA
    walks: list[_Descent] = []
    found: list[Certificate] = []
    for depth in (1, 2) if deep else (1,):
        settled, wrong = walk(rows, tree, depth, 1 if deep and depth == 1 else DEEPEST)
        gate = found[0].threshold if found else 0.0
        if found:
            passed = walks[0].settled >= gate
            settled, wrong = np.where(passed, settled, 0.0), np.where(passed, wrong, 0.0)
        np.maximum.at(wrong, rows.part_rows, astray(rows, tree, depth, gate))
        walks.append(_Descent(settled, wrong))
        alpha, hand = rates[depth - 1], by_hand[depth - 1]
        threshold, basis = certify(wrong, alpha, delta)
        if hand is not None:
            threshold, basis = hand, "hand"
        found.append(
            Certificate(
                depth=depth,
                basis=basis,
                alpha=alpha,
                delta=delta,
                threshold=threshold,
                rows=len(wrong),
                coverage=_share(settled >= threshold),
                wrong=_share((wrong >= threshold) & (wrong > 0.0)),
                stricter=_one_step(threshold, certify(wrong, alpha / 2, delta)),
            )
        )
    soft, basis = certify(
        walk(rows, tree, len(found), DEEPEST).wrong, min(0.5, SOFT_FACTOR * rates[-1]), delta, LEAST_SOFT
    )
    if basis == "default":
        soft = SOFT_SHARE * found[-1].threshold
    strict = {
        path: _stricter(walks, found, min(path.count("/"), len(found)) - 1, tolerance) for path in tolerance.high_stakes
    }
    by_depth = tuple(certificate.threshold for certificate in found)
    if not deep:
        by_depth = (*by_depth, by_depth[0] if by_hand[1] is None else by_hand[1])
    return Thresholds(by_depth, soft, strict), tuple(found)


def _one_step(threshold: float, halved: tuple[float, Basis]) -> float:
    """Return the threshold that an alarm moves to: the one for half the accepted rate.

    Rows that are all easy give the same one for any rate, and too few rows none; then it is half the way to 1, for an
    alarm must change something.
    """
    strict, basis = halved
    return strict if basis != "default" and strict > threshold else max(threshold, (1.0 + threshold) / 2)


def _stricter(walks: Sequence[_Descent], found: list[Certificate], at: int, tolerance: Tolerance) -> float:
    plain = found[at]
    strict, basis = certify(walks[at].wrong, min(tolerance.error_domain, plain.alpha), plain.delta)
    return max(plain.threshold, strict if basis != "default" else (1.0 + plain.threshold) / 2)


def astray(rows: HeldOutRows, tree: Tree, depth: int, gate: float) -> Doubles:
    """Return the mass from which on each sentence counts and is wrong at a depth; 0 where it is right or never counts.

    A sentence counts where its task, and in a short message another task of another one, pass the thresholds of all
    nodes on the way (see `parts`). `gate` is the threshold of the domains, for depths below them.
    """
    acted = np.zeros(len(rows.part_rows))
    if not len(acted):
        return acted
    tasks = rows.part_beliefs.argmax(axis=1)
    mass = _leaf_mass(rows.part_beliefs, tree, depth, gate)
    for at, (task, row) in enumerate(zip(tasks.tolist(), rows.part_rows.tolist(), strict=True)):
        together = rows.part_rows == row
        most = mass[at]
        if together.sum() <= FEW:
            most = min(most, mass[together & (tasks != task)].max(initial=0.0))
        lineage_of = tree.classes[task].split("/")[1:]
        asked = lineage_of[:1] if depth == 1 else lineage_of
        wrong = len(asked) >= depth and asked != rows.truths[row].split("/")[1 : len(asked) + 1]
        acted[at] = most if wrong else 0.0
    return acted


def _leaf_mass(beliefs: Doubles, tree: Tree, depth: int, gate: float) -> Doubles:
    """Return the mass of each row's likeliest task: that of its domain at depth 1, else its own behind the gate."""
    masses = np.round(tree.all_masses(beliefs), MASS_DIGITS)
    number = {path: at for at, path in enumerate(tree.nodes)}
    paths = [tree.classes[task] for task in beliefs.argmax(axis=1).tolist()]
    rows = np.arange(len(beliefs))
    domains = masses[rows, [number["/" + path.split("/")[1]] for path in paths]]
    if depth == 1:
        return domains
    return np.where(domains >= gate, masses[rows, [number[path] for path in paths]], 0.0)


def _share(flags: NDArray[np.bool_]) -> float:
    return round(float(flags.mean()), 6) if len(flags) else 0.0


def walk(rows: HeldOutRows, tree: Tree, first: int, last: int) -> _Descent:
    """Return each row's way down the tree from the heaviest domain, looking at the nodes of some depths alone."""
    masses = np.round(tree.all_masses(rows.probabilities), MASS_DIGITS)
    settled, wrong = np.zeros((2, len(rows.truths)))
    spelled, truth_of = np.unique(np.array(rows.truths, dtype=np.str_), return_inverse=True)
    beneath = [f"{truth}/" for truth in spelled.tolist()]
    inside = {
        path: np.array([truth.startswith(f"{path}/") for truth in beneath], np.bool_)[truth_of] for path in tree.nodes
    }

    def descend(path: str, depth: int, here: Integers) -> None:
        children = tree.children.get(path)
        if not children or not len(here) or depth > last:
            return
        best = masses[here][:, children].argmax(axis=1)
        for number, child in enumerate(children):
            chosen = here[best == number]
            if depth >= first:
                mass = masses[chosen, child]
                if depth == first:
                    settled[chosen] = mass
                lost = ~inside[tree.nodes[child]][chosen] & (wrong[chosen] == 0.0)
                wrong[chosen[lost]] = mass[lost]
            descend(tree.nodes[child], depth + 1, chosen)

    descend(ROOT, 1, np.arange(len(rows.truths)))
    return _Descent(settled, wrong)
