"""V9: saying less. A level that costs less is adopted where it is as good, and not where it is worse by more than m."""

from __future__ import annotations

import numpy as np

from router.tuning.sequential_test import MARGIN
from router.tuning.tuner import CONVERSATIONS_MOST
from tests.sim.finding import Finding, Tier, at_least, at_most, ever, percent, spread
from tests.sim.paths import evalue_paths
from tests.sim.peeking import FEWEST_MATURED, FIRST_ALPHA, chunks, drawn

BASE_RATES = (0.7, 0.85)
LEAST_ADOPTED, MOST_WRONG = 0.60, 0.05
WORSE = (MARGIN, 0.04, 0.06)


def saying_less(tier: Tier) -> Finding:
    """V9: half and half, for at most as long as a trial goes on."""
    runs = tier.pick(80, 300, 2_000)
    adopted = {(base, by): 0 for base in BASE_RATES for by in (0.0, *WORSE)}
    better = 0  # a trial that must show that the cheaper level is better, not only not worse
    for base, by in adopted:
        dice = np.random.default_rng([9, round(100 * base), round(100 * by)])
        for some in chunks(runs):
            rewards, arms = drawn(dice, some, CONVERSATIONS_MOST, base, -by, 0.5)
            half = np.full(1, 0.5)
            paths = evalue_paths(rewards, arms, half, margin=MARGIN)
            adopted[base, by] += int(ever(paths, 1 / FIRST_ALPHA, FEWEST_MATURED).sum())
            if by == 0.0:
                better += int(ever(evalue_paths(rewards, arms, half), 1 / FIRST_ALPHA, FEWEST_MATURED).sum())
    equal = [adopted[base, 0.0] for base in BASE_RATES]
    worse = [adopted[base, by] for base in BASE_RATES for by in WORSE]
    shown = ", ".join(f"{percent(count / runs, 0)} at {base}" for base, count in zip(BASE_RATES, equal, strict=True))
    return Finding(
        row="V9",
        what="an equally good, cheaper level is adopted; one worse by 3 points or more is not",
        target=">= 60 % within 8k; <= 5 %",
        ours=f"{shown}; {spread([count / runs for count in worse])}",
        reference=f"without the margin: {percent(better / runs / len(BASE_RATES))} adopted",
        met=all(at_least(count, runs, LEAST_ADOPTED) for count in equal)
        and all(at_most(count, runs, MOST_WRONG) for count in worse),
        conditions=f"{runs:,} runs x {CONVERSATIONS_MOST:,} conversations, base rates {BASE_RATES[0]} and {BASE_RATES[1]},"
        f" worse by {', '.join(f'{100 * by:.0f}' for by in WORSE)} points, 50:50, first challenger; seed 9",
    )
