"""V11: three in ten conversations were sent to the wrong task. A level that harms the traffic as it comes must not pass.

A conversation that was recognised wrongly gets the task's text all the same, and its outcome counts. What a level is
worth to the task is thus what it is worth to all that is sent there. Whoever judges by the conversations that truly
are the task's, as a labelled test set does, sees another level than the users get.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tests.sim.finding import Finding, Tier, at_most, ever, percent, spread
from tests.sim.naive import z_paths
from tests.sim.paths import evalue_paths
from tests.sim.peeking import CONVERSATIONS, FEWEST_MATURED, FIRST_ALPHA, NOMINAL_Z, chunks

LOST = 0.3
BASE_OWN, BASE_LOST = 0.75, 0.45


class Case(NamedTuple):
    """What a level adds for the task's own conversations and for the lost ones, of which `late` sends half as many in
    the first half: the harm grows.
    """

    own: float
    lost: float
    late: bool = False


CASES = (Case(0.03, -0.10), Case(0.04, -0.15), Case(-0.04, 0.0), Case(0.0, -0.06))
LATE = Case(0.02, -0.20, late=True)


def simulated(dice: np.random.Generator, case: Case, runs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rewards, arms, and which conversations were lost."""
    shape = (runs, CONVERSATIONS)
    arms = dice.random(shape) < 0.5
    lost = dice.random(shape) < LOST
    if case.late:
        lost[:, : CONVERSATIONS // 2] &= dice.random((runs, CONVERSATIONS // 2)) < 0.5
    worth = np.where(lost, BASE_LOST + case.lost * arms, BASE_OWN + case.own * arms)
    return (dice.random(shape) < worth).astype(float), arms, lost


def misrouting(tier: Tier) -> Finding:
    """V11: levels that help the task's own conversations or nobody, and harm what is sent there all in all."""
    runs = tier.pick(50, 150, 1_000)
    certified, by_label, by_z = [], [], []
    for number, case in enumerate((*CASES, LATE)):
        dice = np.random.default_rng([11, number])
        counts = np.zeros(3, dtype=int)
        for some in chunks(runs):
            rewards, arms, lost = simulated(dice, case, some)
            counts += (
                int(ever(evalue_paths(rewards, arms, np.full(1, 0.5)), 1 / FIRST_ALPHA, FEWEST_MATURED).sum()),
                # The test set: half as many conversations, all of them the task's own.
                int(ever(_own_only(rewards, arms, lost), NOMINAL_Z).sum()),
                int(ever(z_paths(rewards, arms), NOMINAL_Z).sum()),
            )
        for count, into in zip(counts.tolist(), (certified, by_label, by_z), strict=True):
            into.append(count)
    total = len(certified) * runs
    return Finding(
        row="V11",
        what="30 % misrouting: a level that harms what is sent to the task is certified",
        target="never (<= 5 % of runs)",
        ours=f"{sum(certified)} of {total:,} runs ({percent(max(certified) / runs)} of the worst case)",
        reference=f"z-test on conversations that truly are the task's: {spread([c / runs for c in by_label], 0)}; "
        f"on all: {spread([c / runs for c in by_z], 0)}",
        met=all(at_most(count, runs, 0.05) for count in certified),
        conditions=f"{len(certified)} cases x {runs:,} runs x {CONVERSATIONS:,} conversations; own +4 to -4 points, lost "
        f"-20 to 0, all in all {_range()} points; seed 11",
    )


def _own_only(rewards: np.ndarray, arms: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Return the z-statistics of the task's own conversations, in their order."""
    order = np.argsort(lost, axis=1, kind="stable")  # own ones first, as they came
    kept = int((~lost).sum(axis=1).min())
    row = np.arange(len(lost))[:, None]
    return z_paths(rewards[row, order][:, :kept], arms[row, order][:, :kept])


def _range() -> str:
    effects = [(1 - LOST) * case.own + LOST * case.lost for case in (*CASES, LATE)]
    return f"{100 * max(effects):+.1f} to {100 * min(effects):+.1f}"
