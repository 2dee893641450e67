"""V2 and V3: two levels that are equally good, looked at after every conversation. Whoever promotes one is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.sim.finding import Bools, Doubles, Finding, Tier, at_most, ever, spread
from tests.sim.naive import z_paths
from tests.sim.paths import evalue_paths

CONVERSATIONS = 10_000
BASE_RATES = (0.5, 0.7, 0.95, 0.985)
FEWEST_MATURED = 200
FIRST_ALPHA = 0.025  # of a task's first challenger: .05 / (1 * 2)
NOMINAL_Z = 1.645  # one-sided 5 %
_CHUNK = 50  # runs at a time: their columns stay in the cache


def chunks(runs: int) -> Iterator[int]:
    """Yield how many runs to simulate at a time."""
    for start in range(0, runs, _CHUNK):
        yield min(_CHUNK, runs - start)


def drawn(
    dice: np.random.Generator, runs: int, n: int, base: float, lift: float, share: float
) -> tuple[Doubles, Bools]:
    """Return rewards of 0 and 1, and arms, of conversations that nothing changes along the way."""
    arms = dice.random((runs, n)) < share
    rewards = (dice.random((runs, n)) < np.where(arms, base + lift, base)).astype(float)
    return rewards, arms


def equal_arms(tier: Tier) -> Finding:
    """V2: fixed shares, half and half."""
    runs = tier.pick(100, 300, 2_000)
    promoted, at_five, fooled = {}, {}, {}
    for number, base in enumerate(BASE_RATES):
        dice = np.random.default_rng([2, number])
        wrong = wrong_at_five = wrong_z = 0
        for some in chunks(runs):
            rewards, arms = drawn(dice, some, CONVERSATIONS, base, 0.0, 0.5)
            paths = evalue_paths(rewards, arms, np.full(1, 0.5))
            wrong += int(ever(paths, 1 / FIRST_ALPHA, FEWEST_MATURED).sum())
            wrong_at_five += int(ever(paths, 1 / 0.05).sum())
            wrong_z += int(ever(z_paths(rewards, arms), NOMINAL_Z).sum())
        promoted[base], at_five[base], fooled[base] = wrong, wrong_at_five, wrong_z
    return Finding(
        row="V2",
        what="equal arms, a look after every conversation",
        target="false promotions <= 5 %",
        ours=f"{spread([count / runs for count in promoted.values()])} "
        f"(alpha .05 in one bet: {spread([count / runs for count in at_five.values()])})",
        reference=f"z-test at 5 %: {spread([count / runs for count in fooled.values()], 0)}",
        met=all(at_most(count, runs, 0.05) for count in (*promoted.values(), *at_five.values())),
        conditions=f"{runs:,} runs x {CONVERSATIONS:,} conversations x base rates .5 .7 .95 .985; seed 2",
    )
