"""What is usually done instead, on the same draws: the references of the table."""

from __future__ import annotations

import numpy as np

from tests.sim.finding import Bools, Doubles

FEWEST = 100
"""A careless analyst, but not a fool: nothing is tested before so many conversations."""


def z_paths(rewards: Doubles, arms: Bools) -> Doubles:
    """Return the z-statistic of challenger against incumbent after each conversation, for runs as rows.

    The two-sample test with the variance of all rewards, which for 0 and 1 is the usual test of two proportions.
    """
    n = np.arange(1, rewards.shape[-1] + 1)
    challengers = np.cumsum(arms, axis=-1)
    incumbents = n - challengers
    total = np.cumsum(rewards, axis=-1)
    of_challenger = np.cumsum(np.where(arms, rewards, 0.0), axis=-1)
    mean = total / n
    variance = np.cumsum(rewards * rewards, axis=-1) / n - mean * mean
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = of_challenger / challengers - (total - of_challenger) / incumbents
        z = difference / np.sqrt(variance * (1 / challengers + 1 / incumbents))
    z[..., :FEWEST] = 0.0
    return np.nan_to_num(z, nan=0.0, posinf=0.0, neginf=0.0)
