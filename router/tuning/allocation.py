"""Allocation: which level to try next, and how many units should get it. May guess; what it guesses binds nothing.

The reward of level l at task v, for requests to one model, is modelled as

    y = mu + a_v + F_l + f_{g,l} + e_{v,l} + noise,     sd of a .15, F .10, f .08, e .04,     g the domain of v

a task's own ease, the curve over levels that all tasks share, the domain's deviation from it, and the task's. All
Gaussian, so the posterior is closed: a task that is rarely seen borrows the *shape* of the curve from its siblings,
while its own ease is its own. `mu` is the mean of all rewards; differences of levels do not depend on it.

The solve is exact and never larger than 4 x 4: given its domain's curve h = F + f a task's levels are independent of
all other tasks, and given F a domain's of all other domains. So each task is reduced to what it says of h (Woodbury),
each domain to what it says of F, and the answer is carried back. Time is linear in the number of tasks.

What is assumed: arms are compared as if conversations had come to them at random, which is true of those that trials
drew and roughly true of others. That is good enough here, since a share that was guessed badly costs time, never the
guarantee of `sequential_test`. The model is of the family of hierarchical Thompson sampling with a known prior (Hong,
Kveton, Zaheer and Ghavamzadeh, AISTATS 2022, arXiv 2111.06929); expected improvement is that of Jones, Schonlau and
Welch (Journal of Global Optimization 1998).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import erf, exp, pi, sqrt
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.core.learning import DialKey, Outcome
from router.core.policy import ROOT, Level, lineage

SD_TASK, SD_SHARED, SD_DOMAIN, SD_OWN = 0.15, 0.10, 0.08, 0.04
"""Prior standard deviations of a, F, f and e."""

PRIOR_N, PRIOR_VARIANCE = 10.0, 0.25
"""An arm's variance is drawn to that of all arms, and that to the largest possible, as by so many conversations."""

LEAST_VARIANCE = 1e-4
UNSEEN = 1e6
"""The variance of the mean of an arm without conversations: against the priors, as good as infinite."""

SHARE_STEP = 0.05
LEAST_SHARE = 0.10
CAPS = ((30, 0.10), (100, 0.25), (200, 0.50))
"""Until so many matured conversations of the challenger, its share is no larger than this."""
MOST_SHARE = 0.90
MOST_SHARE_DOWN = 0.50
"""Of a cheaper level, which is not expected to be better: at one half the evidence grows fastest."""

LEVELS = len(Level)
Floats = NDArray[np.float64]


class ArmKey(NamedTuple):
    """One arm: a level at a task for a model. `node` and `text` name the texts it was said with."""

    task: str
    model: str
    level: Level
    node: str
    text: str


class ArmStatistics(NamedTuple):
    """The record of one arm: matured conversations with a reward, the sum of rewards and of their squares.

    `silent` counts conversations without a reward. Times are of the first and last assignment.
    """

    n: int = 0
    total: float = 0.0
    squares: float = 0.0
    silent: int = 0
    first_ms: int = 0
    last_ms: int = 0


def count_outcomes(arms: Mapping[ArmKey, ArmStatistics], outcomes: Iterable[Outcome]) -> dict[ArmKey, ArmStatistics]:
    """Return the arms with further outcomes counted in: a fold, random draws or not, every conversation once."""
    table = dict(arms)
    for outcome in outcomes:
        given = outcome.assignment
        key = ArmKey(given.task, given.model, given.level, given.node, given.text)
        old = table.get(key) or ArmStatistics(first_ms=given.at_ms)
        x, first, last = outcome.reward, min(old.first_ms, given.at_ms), max(old.last_ms, given.at_ms)
        if x is None:
            table[key] = old._replace(silent=old.silent + 1, first_ms=first, last_ms=last)
        else:
            table[key] = ArmStatistics(old.n + 1, old.total + x, old.squares + x * x, old.silent, first, last)
    return table


def merged(arms: Iterable[ArmStatistics]) -> ArmStatistics:
    """Return several arms as one."""
    kept = [stats for stats in arms if stats.n or stats.silent]
    if not kept:
        return ArmStatistics()
    return ArmStatistics(
        sum(stats.n for stats in kept),
        sum(stats.total for stats in kept),
        sum(stats.squares for stats in kept),
        sum(stats.silent for stats in kept),
        min(stats.first_ms for stats in kept),
        max(stats.last_ms for stats in kept),
    )


class Difference(NamedTuple):
    """What is believed of challenger less incumbent: mean and standard deviation, in units of reward."""

    mean: float
    sd: float

    def better(self, by: float = 0.0) -> float:
        """Return the chance that the challenger is better by more than `by` (worse by less, where negative)."""
        if self.sd <= 0.0:
            return 1.0 if self.mean > by else 0.0
        return 0.5 * (1.0 + erf((self.mean - by) / self.sd / sqrt(2.0)))

    def improvement(self, bonus: float = 0.0) -> float:
        """Return the expected improvement: the mean of what is won if the challenger is taken only where it wins."""
        mean = self.mean + bonus
        if self.sd <= 0.0:
            return max(mean, 0.0)
        z = mean / self.sd
        return self.sd * exp(-0.5 * z * z) / sqrt(2.0 * pi) + mean * 0.5 * (1.0 + erf(z / sqrt(2.0)))


@dataclass(frozen=True)
class LevelCurves:
    """The posterior of the rewards of all tasks, for one model.

    `mean` is (tasks, 4). Within a domain the covariance of the levels of tasks v and w is
    `lean[v] @ shape[g] @ lean[w].T`, plus `own[v]` where v is w.
    """

    rows: Mapping[str, int]
    domains: NDArray[np.intp]
    mean: Floats
    lean: Floats
    own: Floats
    shape: Floats

    def level(self, task: str, level: Level) -> Difference:
        """Return what is believed of the reward of one level at one task, mean and standard deviation."""
        row = self.rows[task]
        spread = self.lean[row] @ self.shape[self.domains[row]] @ self.lean[row].T + self.own[row]
        return Difference(float(self.mean[row, level]), sqrt(max(float(spread[level, level]), 0.0)))

    def difference(self, moves: Mapping[str, tuple[Level, Level]], weights: Mapping[str, float]) -> Difference:
        """Return what is believed of moving tasks of one domain from one level to another, weighted by traffic.

        `moves` gives for each task the level from and to. Raises ValueError for tasks of several domains.
        """
        # One curve moves all tasks of a domain, so their doubts add up before they are squared (`pull`); their own
        # parts are independent, and are squared one by one.
        total = sum(weights.get(task, 0.0) for task in moves)
        shares = {task: weights.get(task, 0.0) / total if total else 1.0 / len(moves) for task in moves}
        mean, variance = 0.0, 0.0
        pull = np.zeros(LEVELS)
        found = {int(self.domains[self.rows[task]]) for task in moves}
        if len(found) > 1:
            raise ValueError(f"levels are moved in one domain at a time, not in {len(found)}")
        for task, (old, new) in moves.items():
            row, share = self.rows[task], shares[task]
            if old is new or not share:
                continue
            mean += share * float(self.mean[row, new] - self.mean[row, old])
            pull += share * (self.lean[row][new] - self.lean[row][old])
            own = self.own[row]
            variance += share * share * float(own[new, new] + own[old, old] - 2.0 * own[new, old])
        for domain in found:
            variance += float(pull @ self.shape[domain] @ pull)
        return Difference(mean, sqrt(max(variance, 0.0)))


def domain_of(task: str) -> str:
    """Return the first task on a path below the root; the root's own is the root."""
    return task if task == ROOT else lineage(task)[1]


def curves(arms: Mapping[tuple[str, Level], ArmStatistics], tasks: Sequence[str]) -> LevelCurves:
    """Return what the arms of one model say of all tasks; arms of other tasks are left out."""
    rows = {task: i for i, task in enumerate(tasks)}
    n, totals, squares = np.zeros((3, len(tasks), LEVELS))
    for (task, level), stats in arms.items():
        row = rows.get(task)
        if row is not None and stats.n:
            n[row, level], totals[row, level], squares[row, level] = stats.n, stats.total, stats.squares
    # A few equal rewards have no variance, and would be believed without end: each arm's is drawn to that of all, and
    # that to the largest there can be, so that few conversations stay few.
    means = totals / np.maximum(n, 1.0)
    spread = np.maximum(squares - n * means * means, 0.0)
    pooled = (spread.sum() + PRIOR_N * PRIOR_VARIANCE) / (n.sum() + PRIOR_N)
    variance = np.maximum((spread + PRIOR_N * pooled) / (n + PRIOR_N), LEAST_VARIANCE)
    # An arm never tried keeps its place in the matrix with next to no weight: one shape for all tasks, one solve.
    noise = np.where(n > 0, variance / np.maximum(n, 1.0), UNSEEN)
    centre = float(totals.sum() / n.sum()) if n.sum() else 0.5
    names = list(dict.fromkeys(domain_of(task) for task in tasks))
    place = {name: i for i, name in enumerate(names)}
    domains = np.array([place[domain_of(task)] for task in tasks], dtype=np.intp)
    return _solve(rows, domains, len(names), np.where(n > 0, means - centre, 0.0), noise, centre)


def _solve(
    rows: Mapping[str, int], domains: NDArray[np.intp], count: int, y: Floats, noise: Floats, centre: float
) -> LevelCurves:
    """Return the posterior from the arms' means less `centre` and their variances, both (tasks, 4)."""
    # Up: what each task says of its domain's curve (precision and pull), then what each domain says of the shared one.
    # A task's own ease is integrated out first, by the ones in `prior`: so easy tasks do not pass for good levels.
    eye = np.eye(LEVELS)
    prior = SD_TASK**2 * np.ones((LEVELS, LEVELS)) + SD_OWN**2 * eye
    weight = np.linalg.inv(prior + noise[:, :, None] * eye)  # of a task's means, given the curve of its domain
    said = np.zeros((count, LEVELS, LEVELS))
    pull = np.zeros((count, LEVELS))
    np.add.at(said, domains, weight)
    np.add.at(pull, domains, (weight @ y[:, :, None])[:, :, 0])
    # (1 + s J) is inverted rather than J, which is singular for a domain of which little is known.
    s = SD_DOMAIN**2
    through = np.linalg.inv(eye + s * said)
    shared_cov = np.linalg.inv(eye / SD_SHARED**2 + (through @ said).sum(axis=0))
    shared = shared_cov @ (through @ pull[:, :, None])[:, :, 0].sum(axis=0)
    # The curve of a domain given F has covariance s (1 + s J)^-1 and mean (1 + s J)^-1 F + s (1 + s J)^-1 b.
    inner = np.linalg.inv(eye + s * said.transpose(0, 2, 1)).transpose(0, 2, 1)
    curve = (inner @ shared) + s * (inner @ pull[:, :, None])[:, :, 0]
    shape = inner @ shared_cov @ inner.transpose(0, 2, 1) + s * inner
    # Down: a task's own part is the share `gain` of its residual; what is left (`lean`) it takes from its domain's
    # curve, so the doubt about that curve reaches a task only as far as it leans on it.
    gain = prior @ weight
    lean = eye - gain
    mean = curve[domains] + (gain @ (y - curve[domains])[:, :, None])[:, :, 0]
    return LevelCurves(rows, domains, centre + mean, lean, prior - gain @ prior, shape)


class Candidate(NamedTuple):
    """A level that might be tried: what is believed of it, the chance that it is good enough, and what it may win."""

    key: DialKey
    kind: Literal["up", "down"]
    incumbent: Level
    challenger: Level
    difference: Difference
    better: float
    improvement: float


def share_of(better: float, kind: str, challenger_n: int, *, high_stakes: bool = False) -> float:
    """Return the share of units that a challenger gets, in steps of SHARE_STEP.

    `better` is the chance that it is good enough, `challenger_n` its matured conversations.
    """
    # The chance is a guess with a prior; until many have had the challenger, few should bear it if the guess is wrong.
    cap = next((cap for until, cap in CAPS if challenger_n < until), MOST_SHARE)
    if kind == "down":
        cap = min(cap, MOST_SHARE_DOWN)
    if high_stakes:
        cap = LEAST_SHARE
    wanted = 0.1 + 0.8 * better if better > 0.5 else 0.8 * better
    # In whole steps: a guess that moves a little moves nobody.
    steps = round(min(max(wanted, LEAST_SHARE), cap) / SHARE_STEP)
    return round(steps * SHARE_STEP, 2)
