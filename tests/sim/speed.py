"""V4 and V5: how long a real difference takes to be certified, and a worse level to be stopped."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, isfinite

import numpy as np
from scipy.stats import norm

from router.tuning.sequential_test import HARM_ALARM
from tests.sim.finding import Bools, Doubles, Finding, Tier, first, median_at_most
from tests.sim.paths import evalue_paths
from tests.sim.peeking import FEWEST_MATURED, FIRST_ALPHA, chunks, drawn

BASE_RATE = 0.7
LIFTS = ((0.10, 550, 3_000), (0.05, 2_700, 12_000), (0.03, 6_800, 30_000))
"""Lift, most conversations in the median, and how many are simulated."""

PAPER_STAKES = tuple(0.01 * 2**step for step in range(7))
HARM_SHARE, HARM_EXPOSURES = 0.1, 250


def fixed_stakes(rewards: Doubles, arms: Bools, share: float) -> Doubles:
    """Return the evidence after each conversation with stakes fixed as parts of the largest loss: the reference.

    The mean over kappa of prod(1 + kappa D / L), without the running variance that the shipped stakes go by.
    """
    counted = np.arange(rewards.shape[-1])
    before = np.concatenate([np.zeros((len(rewards), 1)), np.cumsum(rewards, axis=-1)[:, :-1]], axis=1)
    b = (before + 1.0) / (counted + 2.0)
    d = (rewards - b) * np.where(arms, 1 / share, -1 / (1 - share))
    gains = d / np.maximum(b / share, (1 - b) / (1 - share))
    return np.asarray(sum(np.cumprod(1 + kappa * gains, axis=-1) for kappa in PAPER_STAKES) / len(PAPER_STAKES))


def shipped_stakes(rewards: Doubles, arms: Bools, share: float) -> Doubles:
    """Return the evidence after each conversation, as the tuner has it."""
    return evalue_paths(rewards, arms, np.full(1, share))


def taken(evidence: Callable[[Doubles, Bools, float], Doubles], runs: int, n: int, lift: float) -> Doubles:
    """Return how many conversations each run takes to be certified; the same draws for every kind of evidence."""
    dice = np.random.default_rng([4, round(1_000 * lift)])
    times = []
    for some in chunks(runs):
        rewards, arms = drawn(dice, some, n, BASE_RATE, lift, 0.5)
        times.append(first(evidence(rewards, arms, 0.5), 1 / FIRST_ALPHA, FEWEST_MATURED))
    return np.concatenate(times)


def planned(lift: float) -> int:
    """Return the size of a z-test of both arms together, two-sided 5 % and power 80 %, that is looked at once."""
    mean = BASE_RATE + lift / 2
    z = norm.ppf(0.975) + norm.ppf(0.8)
    return 2 * ceil(2 * mean * (1 - mean) * (z / lift) ** 2)


def _counts(medians: list[float]) -> str:
    return " / ".join(f"{median:,.0f}" if isfinite(median) else "never" for median in medians)


def time_to_certify(tier: Tier) -> Finding:
    """V4: a better level, half and half."""
    runs = tier.pick(60, 200, 2_000)
    ours = [taken(shipped_stakes, runs, n, lift) for lift, _, n in LIFTS]
    fixed = [taken(fixed_stakes, runs, n, lift) for lift, _, n in LIFTS]
    return Finding(
        row="V4",
        what="conversations to certify +10 / +5 / +3 points, median",
        target="<= 550 / 2,700 / 6,800",
        ours=_counts([float(np.median(times)) for times in ours]),
        reference=f"the same bets with fixed stakes: {_counts([float(np.median(times)) for times in fixed])}; "
        f"z-test of planned size, one look, power 80 %: {_counts([planned(lift) for lift, _, _ in LIFTS])}",
        met=all(median_at_most(times, most) for times, (_, most, _) in zip(ours, LIFTS, strict=True)),
        conditions=f"{runs:,} runs, base rate {BASE_RATE}, 50:50, first challenger of a task (alpha .025), "
        f"{FEWEST_MATURED} matured; seed 4",
        note="the seven full days are left out: they depend on the traffic",
    )


def harm(tier: Tier) -> Finding:
    """V5: a level 10 points worse, on the smallest share."""
    runs, n = tier.pick(100, 300, 2_000), 12_000
    exposed, at_half = [], []
    dice = np.random.default_rng(5)
    for some in chunks(runs):
        for share, into in ((HARM_SHARE, exposed), (0.5, at_half)):
            rewards, arms = drawn(dice, some, n if share == HARM_SHARE else 3_000, BASE_RATE, -0.10, share)
            seen = np.cumsum(arms, axis=1)
            into.append(_at(seen, first(evalue_paths(rewards, arms, np.full(1, share), side="harm"), HARM_ALARM)))
    medians = [float(np.median(np.concatenate(each))) for each in (exposed, at_half)]
    by_z = planned(-0.10) / (4 * (1 - HARM_SHARE))  # the variance is that of 1 / (share * (1 - share)), not of 4
    return Finding(
        row="V5",
        what="challenger conversations until a level 10 points worse is stopped, median",
        target=f"<= {HARM_EXPOSURES}",
        ours=f"{medians[0]:,.0f} at a share of 10 % ({medians[1]:,.0f} at 50 %)",
        reference=f"z-test of planned size, one look, power 80 %: {by_z:,.0f} at 10 %",
        met=median_at_most(np.concatenate(exposed), HARM_EXPOSURES),
        conditions=f"{runs:,} runs, base rate {BASE_RATE} against {BASE_RATE - 0.1:.1f}, alarm at {HARM_ALARM:g}; seed 5",
        note="those still waiting for their horizon when it stops come on top: its days x the day's traffic x 10 %",
    )


def _at(seen: Doubles, times: Doubles) -> Doubles:
    """Return the challengers seen by these times; infinity for never."""
    index = np.minimum(times, seen.shape[1]).astype(int) - 1
    return np.where(np.isfinite(times), seen[np.arange(len(seen)), index], np.inf)
