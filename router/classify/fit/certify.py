"""Certified thresholds: how sure must we be, so that acting is wrong no more often than was accepted?

A row is an example scored by a model that had not seen it. What `settle` does with it depends on two thresholds, and
both move along one path: `sure_at(shortlist)` asks of one task twenty times the odds of a list. Going down that path a
row is told more and more, and what it was told wrongly once counts as wrong from there on. So each row has the point
of the path from which it is told anything (*acted*), told wrong text plainly (*plainly*), and told wrong text or a
shortlist without its task (*wrong*).

Fixed-sequence testing from the strictest point down (Bauer 1991; as "Learn then Test", Angelopoulos et al. 2021): a
rate alpha is kept at a point where so few of n rows break it that this would be a surprise at a true rate of alpha,

    P(Binomial(n, alpha) <= E) <= delta,

and the first point where one of the rates is not kept ends the walk. Both rates of errors are tested at `delta` at each
point and must both pass (an intersection-union test: Berger 1982), so with a probability of 1 - delta both are kept at
once, for traffic like the rows. Errors are counted among the messages that some task answers, acted on or not.

Then, at these thresholds, the same test is made of a third one on the texts that no task answers: how much all tasks
together must weigh for any of them to speak (`Thresholds.known`). It says more about whether a message is for this pack
at all than how one task stands out among the others, so messages that may be about either of two tasks do not pay for
foreign ones: on 92 near-miss texts of the shipped support pack, at an exposure tested at 20 %, 64 % of its messages are
settled on one task with it, and 43 % where the thresholds of tasks and lists alone have to keep foreign texts out.

The path. A list of three that holds the right task helps a model as much as that task alone, and with the same mass it
is wrong far less often; so errors are better spent on lists. CLINC150 and Banking77, 10 examples a task, medians of
five draws, exposure not bounded: at odds of 3, 7, 12, 20, 55 times those of a list 91.6, 92.8, 93.4, 94.0, 94.3 % and
83.9, 85.9, 87.3, 88.2, 89.0 % of messages got their task's text; 73, 70, 67, 62, 51 and 54, 43, 39, 35, 24 % alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from router.classify.belief import FEW, Tree
from router.classify.encoder import Doubles, Flags, Integers
from router.core.decide import LEAST_LISTED, settle
from router.core.evidence import MASS_DIGITS, MASS_FLOOR, SILENT, Certificate, Thresholds, Tolerance
from router.core.policy import ROOT, Task, lineage

DELTA = 0.05
"""Each of the two tests, of errors and of exposure, may fail with this probability: together all promises hold with a
probability of 90 %."""

SURE_ODDS = 20.0
"""To be settled on alone, a task must have so many times the odds that a list must have."""

LEAST_SHORTLIST = 0.55
"""However well the rows came out, no list is said that is hardly likelier right than wrong."""

CAUTION = 0.5
"""Of the accepted exposure, so much is tested. What no task answers is an open class: twice as many of CLINC150's test
messages out of scope pass for known as of those of its train and validation parts, by which the threshold was chosen
(10 examples a task, four draws). From one half of the test part to the other, no more do."""

HIGH_STAKES = 1 / 3
"""Of the accepted rate of wrong plain text, where a task of high stakes is concerned."""

DEFAULT = Thresholds()

ALONE = 0.5
"""The threshold of a pack's only task, when no list can be said and no message of the pack's be taken for another's."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What the operator asks for: accepted rates, the longest list, thresholds by hand, the tasks of high stakes."""

    accepted: Tolerance = field(default_factory=Tolerance)
    longest: int = 3
    threshold_sure: float | None = None
    threshold_shortlist: float | None = None
    high_stakes: tuple[str, ...] = ()


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

    >>> round(sure_at(0.5), 3), sure_at(1.0)
    (0.952, 1.0)
    """
    return SURE_ODDS * shortlist / (1.0 + (SURE_ODDS - 1.0) * shortlist)


def _shortlist_at(sure: Doubles) -> Doubles:
    """Return the inverse of `sure_at`."""
    found: Doubles = sure / (SURE_ODDS - (SURE_ODDS - 1.0) * sure)
    return found


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


def least_share(rows: int, hits: int, delta: float) -> float:
    """Return the share that so many hits promise at least, with probability 1 - delta (Clopper, Pearson 1934).

    >>> least_share(100, 0, 0.1), round(least_share(100, 90, 0.1), 3)
    (0.0, 0.85)
    """
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        # So few misses would be a surprise at a share of hits as low as this: it is not the share.
        low, high = (middle, high) if allowed(rows, 1.0 - middle, delta) >= rows - hits else (low, middle)
    return low if hits else 0.0


def thresholds_for(
    inside: Turning, outside: Turning, accepted: Tolerance, delta: float = DELTA, *, ours: bool = True
) -> tuple[Thresholds, bool] | None:
    """Return the laxest thresholds at which all accepted rates are kept, and whether exposure is promised.

    `inside` are rows that some task answers, `outside` such as none does. Where the latter are not `ours` nothing is
    promised of them, so that their own rate will do. None: too few rows for any promise.
    """
    limits = []
    for turned, alpha in ((inside.wrong, accepted.error), (inside.plainly, accepted.unconditional)):
        most = allowed(len(turned), alpha, delta)
        if most < 0:
            return None
        limits.append(_above_too_many(turned, most))
    shortlist = max(LEAST_SHORTLIST, *limits)
    if shortlist >= 1.0:
        return SILENT, ours
    foreign = len(outside.acted)
    exposed = allowed(foreign, accepted.exposure, delta) if ours else math.floor(accepted.exposure * foreign)
    told = outside.known[outside.acted >= shortlist]
    known = _above_too_many(told, exposed) if exposed >= 0 else 0.0
    return Thresholds(sure_at(shortlist), shortlist, known=known), ours and exposed >= 0


def _above_too_many(turned: Doubles, most: int) -> float:
    """Return the lowest point at which no more than `most` rows have turned; 0 where it may be any.

    Masses are rounded, so half a step above the first row too many is enough.
    """
    if most >= len(turned):
        return 0.0
    return float(round(np.sort(turned)[::-1][most] + 0.5 * 10**-MASS_DIGITS, MASS_DIGITS + 1))


def cautious(accepted: Tolerance) -> Tolerance:
    """Return what to test rows at for these rates to hold of traffic."""
    return replace(accepted, exposure=accepted.exposure * CAUTION)


def _first_too_many(turning: Doubles, most: int) -> float:
    """Return the highest point at which more rows than `most` have turned; 0 where there is none."""
    return float(np.sort(turning)[::-1][most]) if most < len(turning) else 0.0


def certificate(rows: HeldOutRows, tree: Tree, asked: Acceptance) -> Certificate:
    """Return the thresholds to act by, and what they promise.

    Rows with the truth `/` bound the exposure, all others the errors. Where they are not the pack's own they are only a
    guess at what its users write, so nothing is promised of it. What is set by hand is taken as it is.
    """
    of_tasks = np.array([truth != ROOT for truth in rows.truths], np.bool_)
    turned = turning(rows, tree, asked.longest)
    inside, outside = turned.some(of_tasks), turned.some(~of_tasks)
    accepted = cautious(asked.accepted) if rows.ours else asked.accepted
    found = thresholds_for(inside, outside, accepted, ours=rows.ours)
    own, bounded = found or (DEFAULT, False)
    if len(tree.classes) == 1 and own is not SILENT:
        own = replace(own, sure=ALONE)
    high = replace(accepted, unconditional=accepted.unconditional * HIGH_STAKES)
    if asked.high_stakes:
        strict, _ = thresholds_for(inside, outside, high, ours=rows.ours) or (Thresholds((1.0 + own.sure) / 2), False)
        own = replace(own, by_task=dict.fromkeys(asked.high_stakes, max(strict.sure, own.sure)))
    halved = Tolerance(accepted.error / 2, accepted.unconditional / 2, accepted.exposure / 2)
    stricter = _one_step(own, thresholds_for(inside, outside, halved, ours=rows.ours))
    by_hand = asked.threshold_sure is not None or asked.threshold_shortlist is not None
    if by_hand:
        sure, shortlist = asked.threshold_sure, asked.threshold_shortlist
        own = replace(
            own,
            sure=own.sure if sure is None else sure,
            shortlist=own.shortlist if shortlist is None else shortlist,
            by_task={} if sure is not None else own.by_task,
        )
    told = Certificate(
        basis="hand" if by_hand else "certified" if found else "default",
        accepted=asked.accepted,
        delta=2 * DELTA,
        thresholds=own,
        stricter=stricter,
        rows=int(of_tasks.sum()),
        foreign=int((~of_tasks).sum()),
        bounds_exposure=bounded,
    )
    return _with_shares(told, rows, tree, asked.longest)


def _one_step(own: Thresholds, halved: tuple[Thresholds, bool] | None) -> Thresholds:
    """Return the thresholds that an alarm moves to: those for half the accepted rates.

    Rows that are all easy give the same ones for any rate, and too few rows none; then it is half the way to 1, for an
    alarm must change something.
    """
    if halved is not None and halved[0].shortlist > own.shortlist:
        return halved[0].stricter(own)
    half = Thresholds(
        max(own.sure, (1.0 + own.sure) / 2), max(own.shortlist, (1.0 + own.shortlist) / 2), known=(1.0 + own.known) / 2
    )
    return half.stricter(own)


def _with_shares(told: Certificate, rows: HeldOutRows, tree: Tree, longest: int) -> Certificate:
    """Return the certificate with what its thresholds do to the rows, by the very function that decides.

    Sentences are left out: a second request is nobody's truth here.
    """
    tasks = {
        path: Task(path, children=tuple(tree.nodes[at] for at in tree.children.get(path, ())))
        for path in (ROOT, *tree.nodes)
    }
    counted = dict.fromkeys(("reach", "sure", "error", "unconditional", "exposed"), 0)
    for probabilities, truth in zip(rows.probabilities, rows.truths, strict=True):
        found = settle(tasks, tree.belief(probabilities), told.thresholds, 1, longest)
        listed = [path for path, _ in found.shortlist]
        settled = found.paths[0].path
        if truth == ROOT:
            counted["exposed"] += settled != ROOT or bool(listed)
            continue
        said = {path for task in (settled, *listed) for path in lineage(task)}
        plainly = settled not in lineage(truth)
        counted["reach"] += truth in said
        counted["sure"] += settled != ROOT and not tasks[settled].children
        counted["unconditional"] += plainly
        counted["error"] += plainly or (bool(listed) and truth not in said)

    def share(name: str, of: int) -> float:
        return round(counted[name] / max(1, of), 6)

    return replace(
        told,
        reach=share("reach", told.rows),
        least_reach=round(least_share(told.rows, counted["reach"], DELTA), 6),
        sure=share("sure", told.rows),
        error=share("error", told.rows),
        unconditional=share("unconditional", told.rows),
        exposed=share("exposed", told.foreign),
    )


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
