"""The evidence of whole runs at once: for simulation, and for pages that draw how it grew."""

from __future__ import annotations

import numpy as np

from router.tuning.comparison import (
    CEILING,
    EFFECTS,
    FLOOR,
    NEW,
    Bools,
    Floats,
    bet_factors,
    moments_before,
    new_comparison,
)


def evalue_paths(rewards: Floats, arms: Bools, shares: Floats, margin: float = 0.0, side: str = "gain") -> Floats:
    """Return the evidence after each conversation of one run, shape (n,), or of many runs at once, shape (runs, n).

    `side` is `gain` or `harm`; rewards of NaN are not bet on. The last value is that of `evidence_for` or `evidence_against` to
    the bit, unless a wealth fell below FLOOR or rose above CEILING on the way.
    """
    known = ~np.isnan(rewards)
    x = np.where(known, rewards, 0.0)
    pi = np.broadcast_to(shares, x.shape)
    b, v = moments_before(x, arms, known, NEW)
    total = np.zeros_like(x)
    starts = new_comparison(margin).worse if side == "harm" else new_comparison(margin).better
    with np.errstate(under="ignore", over="ignore"):
        for effect, start in zip(EFFECTS, starts, strict=True):
            factors = np.where(known, bet_factors(x, arms, pi, b, v, margin, effect, side == "harm"), 1.0)
            factors[..., 0] *= start
            total += np.cumprod(factors, axis=-1)
    paths: Floats = total / len(EFFECTS)
    return paths


class Runs:
    """The reward's bets of many independent trials at once, advanced in time: for simulation with adaptive shares.

    `gain` and `harm` have shape (runs,) and hold what `SequentialTest.evidence_for` and `evidence_against` would.
    """

    def __init__(self, runs: int, margin: float = 0.0) -> None:
        self.margin = margin
        self.n = np.zeros(runs)
        self.challenger_n = np.zeros(runs)
        self._sums = np.zeros((2, runs))
        self._squares = np.zeros(runs)
        start = new_comparison(margin)
        self._wealths = np.array([start.better, start.worse])[:, :, None] * np.ones(runs)

    def step(self, rewards: Floats, arms: Bools, shares: Floats, active: Bools | None = None) -> None:
        """Take the next outcome of every run, shape (runs,); of those only that are `active`, if given."""
        on = ~np.isnan(rewards) if active is None else active & ~np.isnan(rewards)
        x = np.where(on, rewards, 0.0)
        b, v = moments(self._sums[0] + self._sums[1], self._squares, self.n)
        for side in range(2):
            for i, effect in enumerate(EFFECTS):
                factors = bet_factors(x, arms, shares, b, v, self.margin, effect, side == 1)
                grown = self._wealths[side, i] * np.where(on, factors, 1.0)
                self._wealths[side, i] = np.where(grown < FLOOR, 0.0, np.minimum(grown, CEILING))
        self._sums[0] += np.where(arms & on, x, 0.0)
        self._sums[1] += np.where(~arms & on, x, 0.0)
        self._squares += np.where(on, (x - b) * (x - b), 0.0)
        self.n += on
        self.challenger_n += on & arms

    @property
    def gain(self) -> Floats:
        """Evidence that the challenger is better than the incumbent less the margin."""
        return self._mean(0)

    @property
    def harm(self) -> Floats:
        """Evidence that it is worse."""
        return self._mean(1)

    def _mean(self, side: int) -> Floats:
        total = np.zeros(self._wealths.shape[2])
        for wealth in self._wealths[side]:
            total += wealth
        return total / len(EFFECTS)


def moments(total: Floats, squares: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Return baseline and variance from the sum, the squares and the number of what was seen before."""
    b = (total + 2.0 * 0.5) / (n + 2.0)
    return b, (squares + 10.0 * 0.25) / (n + 10.0)
