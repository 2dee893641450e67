"""V3: equal arms again, with everything that breaks ordinary tests: shares that follow the evidence, outcomes that come
three days late, a base rate that drifts, and users who come again and again.

Shares are those of the shipped allocation, renewed once a day from the outcomes that have matured.
"""

from __future__ import annotations

import numpy as np

from router.core.policy import Level
from router.tuning.allocation import ArmStatistics, curves, share_of
from tests.sim.finding import Bools, Doubles, Finding, Tier, at_most, ever, percent
from tests.sim.naive import FEWEST, z_paths
from tests.sim.paths import Runs, evalue_paths
from tests.sim.peeking import CONVERSATIONS, FEWEST_MATURED, FIRST_ALPHA, NOMINAL_Z, chunks

PER_DAY, DELAY_DAYS = 200, 3
DAYS = CONVERSATIONS // PER_DAY
TASK = "/task"
USERS = 2_000
RETURNING = 0.8
"""How often the user of rank r comes, as r to minus this: the busiest tenth has more than half of the conversations."""


def drifting(conversation: int) -> float:
    """Return the base rate: up from .45 to .85 over the time, with a weekly wave of six points."""
    at = conversation / CONVERSATIONS
    return 0.45 + 0.4 * at + 0.06 * float(np.sin(2 * np.pi * conversation / (7 * PER_DAY)))


class Arms:
    """What has matured of each arm, for many runs: counts and sums, incumbent first."""

    def __init__(self, runs: int) -> None:
        self.n = np.zeros((2, runs))
        self.total = np.zeros((2, runs))

    def add(self, rewards: Doubles, arms: Bools) -> None:
        """Count the next outcome of every run."""
        for side, taken in enumerate((~arms, arms)):
            self.n[side] += taken
            self.total[side] += np.where(taken, rewards, 0.0)

    def shares(self) -> Doubles:
        """Return the share that the shipped allocation gives to each run's challenger."""
        found = []
        for n, total in zip(self.n.T.tolist(), self.total.T.tolist(), strict=True):
            arms = {
                (TASK, level): ArmStatistics(int(n[side]), total[side], total[side])
                for side, level in enumerate((Level.GUIDED, Level.DETAILED))
            }
            believed = curves(arms, (TASK,)).difference({TASK: (Level.GUIDED, Level.DETAILED)}, {TASK: 1.0})
            found.append(share_of(believed.better(), "up", int(n[1])))
        return np.array(found)

    def z(self) -> Doubles:
        """Return the z-statistic of the pooled counts, as if all had been drawn alike."""
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = self.total.sum(axis=0) / self.n.sum(axis=0)
            means = self.total / self.n
            z = (means[1] - means[0]) / np.sqrt(rate * (1 - rate) * (1 / self.n[0] + 1 / self.n[1]))
        return np.nan_to_num(np.where(self.n.sum(axis=0) < FEWEST, 0.0, z), nan=0.0, posinf=0.0, neginf=0.0)


def lived(dice: np.random.Generator, runs: int) -> tuple[Bools, Bools]:
    """Return which of these runs promoted their challenger, by the bets and by the z-test of the pooled counts."""
    bets, arms = Runs(runs), Arms(runs)
    promoted, fooled = np.zeros((2, runs), dtype=bool)
    waiting: list[tuple[Doubles, Bools, Doubles]] = []
    for day in range(DAYS + DELAY_DAYS):
        if day < DAYS:
            shares = arms.shares()
            rates = np.array([drifting(day * PER_DAY + number) for number in range(PER_DAY)])
            drawn = dice.random((PER_DAY, runs)) < shares
            waiting.append(((dice.random((PER_DAY, runs)) < rates[:, None]).astype(float), drawn, shares))
        if day < DELAY_DAYS:
            continue
        for rewards, drawn, shares in zip(*waiting[0][:2], [waiting[0][2]] * PER_DAY, strict=True):
            bets.step(rewards, drawn, shares)
            arms.add(rewards, drawn)
            promoted |= (bets.gain >= 1 / FIRST_ALPHA) & (bets.n >= FEWEST_MATURED)
            fooled |= arms.z() >= NOMINAL_Z
        waiting.pop(0)
    return promoted, fooled


def returning(dice: np.random.Generator, runs: int) -> tuple[int, int, int]:
    """Return how many of these runs promote: each user count_outcomes once, every conversation count_outcomes, and by z-test.

    A user keeps an arm, and has a mean reward of their own, whatever the arm.
    """
    often = np.arange(1, USERS + 1) ** -RETURNING
    users = dice.choice(USERS, (runs, CONVERSATIONS), p=often / often.sum())
    row = np.arange(runs)[:, None]
    arms = (dice.random((runs, USERS)) < 0.5)[row, users]
    rewards = (dice.random(users.shape) < dice.beta(1.4, 0.6, (runs, USERS))[row, users]).astype(float)
    first = np.zeros(users.shape, dtype=bool)
    for run, came in enumerate(users):
        first[run, np.unique(came, return_index=True)[1]] = True
    half = np.full(1, 0.5)
    once = evalue_paths(np.where(first, rewards, np.nan), arms, half)
    return (
        int(ever(once, 1 / FIRST_ALPHA).sum()),
        int(ever(evalue_paths(rewards, arms, half), 1 / FIRST_ALPHA, FEWEST_MATURED).sum()),
        int(ever(z_paths(rewards, arms), NOMINAL_Z).sum()),
    )


def adaptive(tier: Tier) -> Finding:
    """V3: adaptive shares, delay, drift; and returning users."""
    runs = tier.pick(60, 200, 2_000)
    dice = np.random.default_rng(3)
    results = [lived(dice, some) for some in _batches(runs)]
    promoted, fooled = (int(sum(each[side].sum() for each in results)) for side in (0, 1))
    counts = np.zeros(3, dtype=int)
    for some in chunks(runs):
        counts += returning(dice, some)
    once, always, z = counts.tolist()
    return Finding(
        row="V3",
        what="the same with adaptive shares, outcomes 3 days late, drift; users who return",
        target="false promotions <= 5 %",
        ours=f"{percent(promoted / runs)}; returning users, each count_outcomes once: {percent(once / runs)}",
        reference=f"z-test of the pooled counts: {percent(fooled / runs, 0)}; returning users, every conversation "
        f"count_outcomes: our bets {percent(always / runs, 0)}, z-test {percent(z / runs, 0)}",
        met=at_most(promoted, runs, 0.05) and at_most(once, runs, 0.05),
        conditions=f"{runs:,} runs x {CONVERSATIONS:,} conversations, {PER_DAY} a day, shares of the shipped allocation "
        f"renewed daily, base rate .45 to .85 and weekly wave; {USERS:,} users, of whom the busiest tenth has "
        "more than half of the conversations; seed 3",
    )


def _batches(runs: int) -> list[int]:
    return [min(500, runs - start) for start in range(0, runs, 500)]
