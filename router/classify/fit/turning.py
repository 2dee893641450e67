"""Where rows turn: from which thresholds on each is told something, and something wrong.

A row is an example scored by a model that had not seen it. What `settle` does with it depends on two thresholds, and
both move along one path: `sure_at(shortlist)` asks of one task twenty times the odds of a list. Going down that path a
row is told more and more, and what it was told wrongly once counts as wrong from there on. So each row has the point
of the path from which it is told anything (*acted*), told wrong text plainly (*plainly*), and told wrong text or a
shortlist without its task (*wrong*).

A list of three that holds the right task helps a model as much as that task alone, and with the same mass it
is wrong far less often; so errors are better spent on lists. CLINC150 and Banking77, 10 examples a task, medians of
five draws, exposure not bounded: at odds of 3, 7, 12, 20, 55 times those of a list 91.6, 92.8, 93.4, 94.0, 94.3 % and
83.9, 85.9, 87.3, 88.2, 89.0 % of messages got their task's text; 73, 70, 67, 62, 51 and 54, 43, 39, 35, 24 % alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from router.classify.belief import FEW, Tree
from router.classify.encoder import Doubles, Flags, Integers
from router.core.evidence import LEAST_LISTED, MASS_DIGITS, MASS_FLOOR
from router.core.policy import ROOT, lineage

SURE_ODDS = 20.0
"""To be settled on alone, a task must have so many times the odds that a list must have."""

LEAST_SURE = 0.96
"""However lax lists may be, no task is settled on alone with less. Rows turn as if it could be: that only errs on the
side of what is wrong, for what is listed in its place begins with the same task."""


@dataclass(frozen=True, slots=True)
class HeldOutRows:
    """Out-of-fold rows as a decision would see them.

    `probabilities` has a column per class of the tree (what is missing to one is "none of these"), `truths` the path
    of each row, `/` for none. `part_beliefs` are the beliefs after single sentences, `part_rows` the rows these are of.
    `ours` says that the rows with the truth `/` are what this pack's own users wrote.
    """

    probabilities: Doubles
    truths: tuple[str, ...]
    part_beliefs: Doubles = field(default_factory=lambda: np.zeros((0, 0)))
    part_rows: Integers = field(default_factory=lambda: np.zeros(0, np.int64))
    ours: bool = True


def together(parts: Sequence[HeldOutRows]) -> HeldOutRows:
    """Return the rows of several models over the same classes as those of one."""
    first, *others = parts
    if not others:
        return first
    before = np.cumsum([0, *(len(part.truths) for part in parts)])
    said = [part.part_beliefs for part in parts if len(part.part_rows)]
    return HeldOutRows(
        np.concatenate([part.probabilities for part in parts]),
        tuple(truth for part in parts for truth in part.truths),
        np.concatenate(said) if said else first.part_beliefs,
        np.concatenate([part.part_rows + start for part, start in zip(parts, before.tolist(), strict=False)]),
        all(part.ours for part in parts),
    )


class Turning(NamedTuple):
    """For each row the threshold of lists from which on it is acted on, plainly wrong, wrong at all; 0 for never.

    `known` is what all tasks together weigh in it: the most that it, or a sentence of it, has.
    """

    acted: Doubles
    plainly: Doubles
    wrong: Doubles
    known: Doubles

    def some(self, rows: Integers | Flags) -> Turning:
        """Return some of the rows."""
        return Turning(*(each[rows] for each in self))


def sure_at(shortlist: float) -> float:
    """Return the threshold of single tasks that goes with one of lists.

    >>> sure_at(0.4), round(sure_at(0.6), 3), sure_at(1.0)
    (0.96, 0.968, 1.0)
    """
    return max(LEAST_SURE, SURE_ODDS * shortlist / (1.0 + (SURE_ODDS - 1.0) * shortlist))


def _shortlist_at(sure: Doubles) -> Doubles:
    """Return the threshold of lists that goes with one of single tasks, `LEAST_SURE` aside."""
    found: Doubles = sure / (SURE_ODDS - (SURE_ODDS - 1.0) * sure)
    return found


def turning(rows: HeldOutRows, tree: Tree, longest: int) -> Turning:
    """Return where on the path each row turns, as `settle` goes about it."""
    truths = _Truths(rows.truths, tree)
    probabilities = np.round(rows.probabilities, MASS_DIGITS)
    first, off, leaf = _walk(rows, tree)
    plainly, acted = _shortlist_at(off), _shortlist_at(first)
    wrong = plainly.copy()
    shapes = _shapes(probabilities, longest)
    every = np.arange(len(rows.truths))
    for shape in shapes:
        begins = shape.mass if shape is shapes[-1] else _shortlist_at(shape.mass)
        np.maximum(acted, begins, out=acted)
        np.maximum(wrong, np.where(truths.among(shape.tasks, every), 0.0, begins), out=wrong)
        np.maximum(plainly, np.where(truths.below_shared(shape.tasks, every), 0.0, begins), out=plainly)
    for at, mass in zip(rows.part_rows.tolist(), _astray(rows, tree), strict=True):
        plainly[at] = max(plainly[at], mass)
    known = rows.probabilities.sum(axis=1)
    if len(rows.part_rows):
        _second_requests(rows, truths, longest, leaf, probabilities.argmax(axis=1), wrong)
        np.maximum.at(known, rows.part_rows, rows.part_beliefs.sum(axis=1))
    return Turning(
        np.maximum(acted, plainly), plainly, np.maximum(wrong, plainly), np.minimum(known.round(MASS_DIGITS), 1.0)
    )


class _Shape(NamedTuple):
    """The list of so many likeliest classes of each row, and their mass."""

    tasks: Integers
    mass: Doubles


def _shapes(probabilities: Doubles, longest: int) -> list[_Shape]:
    """Return the lists of two and more, the longest last; none with fewer classes."""
    most = min(longest, probabilities.shape[1])
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :most]
    masses = np.take_along_axis(probabilities, order, 1)
    # What weighs next to nothing is not listed: the first task in its place adds nothing.
    idle = (masses < MASS_FLOOR) & (np.arange(most) >= LEAST_LISTED)
    order, masses = np.where(idle, order[:, :1], order), np.where(idle, 0.0, masses)
    mass = np.cumsum(masses, axis=1)
    return [_Shape(order[:, :count], mass[:, count - 1]) for count in range(2, most + 1)]


class _Truths:
    """The truths of rows, as a list of classes is held against them. A row without a truth is never right."""

    def __init__(self, truths: Sequence[str], tree: Tree) -> None:
        spelled, self._of_row = np.unique(np.array(truths, dtype=np.str_), return_inverse=True)
        own = [lineage(truth) for truth in spelled.tolist()]
        names = [lineage(path) for path in tree.classes]
        reached = [[truth[-1] in name and truth[-1] != ROOT for name in names] for truth in own]
        self._reached = np.array(reached, np.bool_).reshape(len(own), len(names))
        # Nodes at each depth: strictly above the classes, and on the lineage of the truths.
        depths = range(1, max(map(len, names), default=1) - 1)
        number = {path: at for at, path in enumerate(tree.nodes)}
        self._above = np.array(
            [[number[name[at]] if len(name) > at + 1 else -1 for name in names] for at in depths], np.int64
        ).reshape(len(depths), len(names))
        self._lineage = np.array(
            [[number.get(truth[at], -2) if len(truth) > at else -2 for truth in own] for at in depths], np.int64
        ).reshape(len(depths), len(own))

    def among(self, tasks: Integers, rows: Integers) -> Flags:
        """Say which rows' truth is among some classes, of shape (rows, classes), or above one."""
        found: Flags = np.logical_or.reduce(self._reached[self._of_row[rows][:, None], tasks], axis=1)
        return found

    def below_shared(self, tasks: Integers, rows: Integers) -> Flags:
        """Say for which rows the truth lies below all that the classes of a list share above them."""
        right: Flags = np.full(len(rows), True)
        for above, truth in zip(self._above, self._lineage, strict=True):
            nodes = above[tasks]
            alike = np.logical_and.reduce(nodes == nodes[:, :1], axis=1)  # all below one node, or all beside any
            fine = (nodes[:, 0] < 0) | ~alike | (nodes[:, 0] == truth[self._of_row[rows]])
            np.logical_and(right, fine, out=right)
        return right


def _astray(rows: HeldOutRows, tree: Tree) -> Doubles:
    """Return, for each sentence, the point from which it counts and is plainly wrong; 0 for never.

    A sentence counts where its task, and in a short message another task of another one, are sure on the whole way
    down (see `belief.spoken`).
    """
    acted = np.zeros(len(rows.part_rows))
    if not len(acted):
        return acted
    tasks = rows.part_beliefs.argmax(axis=1)
    # A task counts with those below it, and no node weighs less than the task below it.
    number = {path: at for at, path in enumerate(tree.nodes)}
    nodes = np.array([number[path] for path in tree.classes], np.int64)[tasks]
    mass = np.take_along_axis(np.round(tree.all_masses(rows.part_beliefs), MASS_DIGITS), nodes[:, None], 1)[:, 0]
    for at, (task, row) in enumerate(zip(tasks.tolist(), rows.part_rows.tolist(), strict=True)):
        together = rows.part_rows == row
        most = mass[at]
        if together.sum() <= FEW:
            most = min(most, mass[together & (tasks != task)].max(initial=0.0))
        acted[at] = 0.0 if tree.classes[task] in lineage(rows.truths[row]) else most
    return _shortlist_at(acted)


def _second_requests(
    rows: HeldOutRows, truths: _Truths, longest: int, leaf: Doubles, guess: Integers, wrong: Doubles
) -> None:
    """Raise `wrong` to where a sentence adds a list without the truth to a message that is settled on a task."""
    of = rows.part_rows
    for shape in _shapes(np.round(rows.part_beliefs, MASS_DIGITS), longest):
        said = np.minimum(shape.mass, leaf[of])
        said[truths.among(shape.tasks, of) | (shape.tasks == guess[of][:, None]).any(axis=1)] = 0.0
        np.maximum.at(wrong, of, _shortlist_at(said))


def _walk(rows: HeldOutRows, tree: Tree) -> tuple[Doubles, Doubles, Doubles]:
    """Return of each row's way down from the heaviest node: the first mass, that of the first wrong node, the last."""
    masses = np.round(tree.all_masses(rows.probabilities), MASS_DIGITS)
    first, off, leaf = np.zeros((3, len(rows.truths)))
    spelled, truth_of = np.unique(np.array(rows.truths, dtype=np.str_), return_inverse=True)
    beneath = [f"{truth}/" for truth in spelled.tolist()]
    inside = {
        path: np.array([truth.startswith(f"{path}/") for truth in beneath], np.bool_)[truth_of] for path in tree.nodes
    }

    def descend(path: str, here: Integers) -> None:
        children = tree.children.get(path)
        if not children or not len(here):
            return
        best = masses[here][:, children].argmax(axis=1)
        for number, child in enumerate(children):
            chosen = here[best == number]
            mass = masses[chosen, child]
            if path == ROOT:
                first[chosen] = mass
            leaf[chosen] = mass
            lost = ~inside[tree.nodes[child]][chosen] & (off[chosen] == 0.0)
            off[chosen[lost]] = mass[lost]
            descend(tree.nodes[child], chosen)

    descend(ROOT, np.arange(len(rows.truths)))
    return first, off, leaf
