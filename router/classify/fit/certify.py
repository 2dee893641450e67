"""Certified thresholds: how sure must we be, so that acting is wrong no more often than was accepted?

Thresholds are sought along one path, on which each row turns from untold to told and from right to wrong (`turning`).

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
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from router.classify.belief import Tree
from router.classify.encoder import Doubles
from router.classify.fit.turning import HeldOutRows, Turning, sure_at, turning
from router.core.decide import settle
from router.core.decision import breach
from router.core.evidence import MASS_DIGITS, SILENT, Certificate, Thresholds, Tolerance
from router.core.policy import ROOT, Task, lineage

DELTA = 0.05
"""Each of the two tests, of errors and of exposure, may fail with this probability: together all promises hold with a
probability of 90 %."""

LEAST_SHORTLIST = 0.4
"""However well the rows came out, no list is said that weighs less. Rows that come out well are easier than what people
write, and a list that may be wrong is said as cases: of 102 messages of the shipped help desk that recognition was
worked on with, .55 told 10 nothing, and .4 told 4 of them of their task and none of another's."""

CAUTION = 0.5
"""Of the accepted exposure, so much is tested. What no task answers is an open class: twice as many of CLINC150's test
messages out of scope pass for known as of those of its train and validation parts, by which the threshold was chosen
(10 examples a task, four draws). From one half of the test part to the other, no more do."""

HIGH_STAKES = 1 / 3
"""Of the accepted rate of wrong plain text, where a task of high stakes is concerned."""

DEFAULT = Thresholds()

ALONE = 0.8
"""The threshold of a pack's only task, when no list can be said and no message of the pack's be taken for another's. Of
12 packs of one task with 12 examples, out of the shipped help desk's: 95 % of the task's further messages were told its
text, 2.5 % of texts that no task answers, 5 % of messages for the desk's other tasks."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What the operator asks for: accepted rates, the longest list, thresholds by hand, the tasks of high stakes."""

    accepted: Tolerance = field(default_factory=Tolerance)
    longest: int = 3
    threshold_sure: float | None = None
    threshold_shortlist: float | None = None
    high_stakes: tuple[str, ...] = ()


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
    inside: Turning, outside: Turning, accepted: Tolerance, *, ours: bool = True
) -> tuple[Thresholds, bool] | None:
    """Return the laxest thresholds at which all accepted rates are kept, and whether exposure is promised.

    `inside` are rows that some task answers, `outside` such as none does. Where the latter are not `ours` nothing is
    promised of them, so that their own rate will do. None: too few rows for any promise.
    """
    limits = []
    for turned, alpha in ((inside.wrong, accepted.error), (inside.plainly, accepted.unconditional)):
        most = allowed(len(turned), alpha, DELTA)
        if most < 0:
            return None
        limits.append(_above_too_many(turned, most))
    shortlist = max(LEAST_SHORTLIST, *limits)
    if shortlist >= 1.0:
        return SILENT, ours
    foreign = len(outside.acted)
    exposed = allowed(foreign, accepted.exposure, DELTA) if ours else math.floor(accepted.exposure * foreign)
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
        plainly, wrong = breach((settled,), listed, (truth,))
        counted["reach"] += truth in said
        counted["sure"] += settled != ROOT and not tasks[settled].children
        counted["unconditional"] += plainly
        counted["error"] += wrong

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
