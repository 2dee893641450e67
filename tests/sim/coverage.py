"""V6: how often the intervals that we report ever miss the truth, when somebody looks after every conversation."""

from __future__ import annotations

import numpy as np

from router.tuning.intervals import ALPHA, STAKES, Doubles, evidence, running_baselines
from tests.sim.finding import Finding, Tier, at_most, percent, spread

CONVERSATIONS = 10_000
NORMAL = 1.96
FEWEST = 100  # the interval from the normal distribution is not looked at before


def adaptive(dice: np.random.Generator, rewards: tuple[Doubles, Doubles]) -> tuple[Doubles, Doubles]:
    """Return arms and shares where every 500 conversations the arm that looks better gets more."""
    n = len(rewards[0])
    arms, shares = np.zeros(n), np.full(n, 0.1)
    for start in range(0, n, 500):
        now = slice(start, start + 500)
        if start:
            taken, drawn = arms[:start] > 0, np.where(arms[:start] > 0, rewards[1][:start], rewards[0][:start])
            shares[now] = 0.9 if drawn[taken].mean() > drawn[~taken].mean() else 0.1
        arms[now] = dice.random(len(arms[now])) < shares[now]
    return arms, shares


def missed_mean(rewards: Doubles, mean: float) -> bool:
    """Say whether the interval of a mean excludes the truth at any time."""
    over = max(evidence(rewards, 0.0, mean).max(), evidence(-rewards, -1.0, -mean).max())
    return bool(over >= np.log(2 / ALPHA))


def missed_difference(rewards: Doubles, arms: Doubles, shares: Doubles, truth: float) -> bool:
    """Say whether the interval of the gain excludes the truth at any time."""
    b = running_baselines(rewards)
    worth = (rewards - b) * np.where(arms > 0, 1 / shares, -1 / (1 - shares))
    low = -np.maximum(b / shares, (1 - b) / (1 - shares))
    high = np.maximum((1 - b) / shares, b / (1 - shares))
    over = max(evidence(worth, low, truth).max(), evidence(-worth, -high, -truth).max())
    return bool(over >= np.log(2 / ALPHA))


def missed_normal(rewards: Doubles, mean: float) -> bool:
    """Say whether the usual 95 % interval of a mean excludes the truth at any time."""
    n = np.arange(1, len(rewards) + 1)
    so_far = np.cumsum(rewards) / n
    reach = NORMAL * np.sqrt(so_far * (1 - so_far) / n)
    return bool((np.abs(so_far - mean) > reach)[FEWEST:].any())


CASES = ((0.5, 0.05, 0.5), (0.7, 0.03, 0.1), (0.95, 0.0, 0.5), (0.985, 0.0, 0.1), (0.7, 0.05, None))
"""Base rate, gain, and share; None for one that follows what was seen."""


def miscoverage(tier: Tier) -> Finding:
    """V6: means and gains, at fixed and at adaptive shares."""
    runs = tier.pick(60, 200, 2_000)
    means, gains, normal = [], [], []
    for number, (base, gain, share) in enumerate(CASES):
        dice = np.random.default_rng([6, number])
        counts = np.zeros(3, dtype=int)
        for _ in range(runs):
            u = dice.random(CONVERSATIONS)
            rewards = ((u < base).astype(float), (u < base + gain).astype(float))
            if share is None:
                arms, shares = adaptive(dice, rewards)
            else:
                arms, shares = (dice.random(CONVERSATIONS) < share).astype(float), np.full(CONVERSATIONS, share)
            got = np.where(arms > 0, rewards[1], rewards[0])
            counts += (
                missed_mean(rewards[0], base),
                missed_difference(got, arms, shares, gain),
                missed_normal(rewards[0], base),
            )
        for rate, into in zip(counts / runs, (means, gains, normal), strict=True):
            into.append(float(rate))
    return Finding(
        row="V6",
        what="intervals that ever miss the truth, a look after every conversation",
        target="<= 5 %",
        ours=f"means {spread(means)}, gains {spread(gains)}",
        reference=f"usual 95 % interval: {spread(normal, 0)}",
        met=all(at_most(round(rate * runs), runs, ALPHA) for rate in (*means, *gains)),
        conditions=f"{runs:,} runs x {CONVERSATIONS:,} conversations x {len(CASES)} cases (base rates .5 to .985, gains "
        f"0 to 5 points, shares .1, .5 and adaptive), {len(STAKES)} stakes, {percent(1 - ALPHA, 0)} intervals; seed 6",
    )
