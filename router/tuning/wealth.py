"""How one quantity is compared between the arms of a trial: its running moments, and the wealth of each bet on it.

The arithmetic under `betting`, where it is explained. Written twice, for one conversation and for many at once, with
the same operations in the same order, so that both give the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EFFECTS = (0.065, 0.13, 0.26)
"""The differences that are bet on, in standard deviations of the quantity: 3, 6 and 12 points where the mean is .7."""

SPREAD = (0.9, 0.9, 1.2)
"""How the first wealth of 1 on average is spread over the effects: a little more on the largest, which shows first.

Medians to certify +10 / +5 / +3 points at .7, 50:50: 535 / 2,245 / 6,564, spread evenly 552 / 2,182 / 6,448.
"""

NOT_WORSE = (2.0, 0.75, 0.25)
"""The same where the challenger may be worse by a margin: it is most likely as good, and then the effect is small."""

CAP = 0.9
"""The largest part of what could be lost at once that is ever staked."""

ODDS = (0.45, 0.8, 1.25, 2.2)
"""Alternatives of the sample-ratio process: the odds of the challenger are so many times what was logged."""

EVEN = (1.0,) * len(ODDS)
"""The wealths of the sample-ratio process before the first outcome."""

FLOOR, CEILING = 1e-290, 1e290
"""Beyond these a wealth is lost, or grows no more: floats would lose their precision."""

_PRIOR_N, _PRIOR_MEAN = 2.0, 0.5
_PRIOR_VARIANCE_N, _PRIOR_VARIANCE = 10.0, 0.25

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Compared(NamedTuple):
    """One quantity in [0, 1], compared between the arms: counts and sums of each, and the wealths by effect.

    `gain` bets that the challenger's mean is above the incumbent's less the margin, `harm` that it is below. `squares`
    sums the squared distances from the baseline.
    """

    challenger_n: int = 0
    challenger_sum: float = 0.0
    incumbent_n: int = 0
    incumbent_sum: float = 0.0
    squares: float = 0.0
    gain: tuple[float, ...] = SPREAD
    harm: tuple[float, ...] = SPREAD

    @property
    def n(self) -> int:
        """Conversations of both arms."""
        return self.challenger_n + self.incumbent_n

    @property
    def challenger_mean(self) -> float | None:
        """The challenger's mean, None before the first."""
        return self.challenger_sum / self.challenger_n if self.challenger_n else None

    @property
    def incumbent_mean(self) -> float | None:
        """The incumbent's mean, None before the first."""
        return self.incumbent_sum / self.incumbent_n if self.incumbent_n else None

    @property
    def baseline(self) -> float:
        """What the next outcome is compared with: the mean so far, drawn a little to one half, never 0 or 1."""
        total = self.challenger_sum + self.incumbent_sum
        return (total + _PRIOR_N * _PRIOR_MEAN) / (self.n + _PRIOR_N)


NEW = Compared()
"""Before the first conversation."""


def opening(margin: float) -> Compared:
    """Return a comparison before the first conversation, where the challenger may be worse by a margin."""
    return Compared(gain=NOT_WORSE) if margin > 0.0 else NEW


def mean(wealths: Sequence[float]) -> float:
    """Return the mean of a few wealths, summed from left to right."""
    total = 0.0
    for wealth in wealths:
        total += wealth
    return total / len(wealths)


def kept(wealth: float) -> float:
    """Return a wealth held within FLOOR and CEILING: lost below, no more above."""
    if wealth < FLOOR:
        return 0.0
    return CEILING if wealth > CEILING else wealth


def compare(old: Compared, x: float, challenger: bool, pi: float, margin: float) -> Compared:
    """Return the comparison after one more conversation with value `x`, whose arm was drawn with share `pi`.

    The challenger is allowed to be below the incumbent by `margin`; a negative one asks it to be above by so much.
    """
    total, n = old.challenger_sum + old.incumbent_sum, old.challenger_n + old.incumbent_n
    b = (total + _PRIOR_N * _PRIOR_MEAN) / (n + _PRIOR_N)
    v = (old.squares + _PRIOR_VARIANCE_N * _PRIOR_VARIANCE) / (n + _PRIOR_VARIANCE_N)
    rest = 1.0 - pi
    d = ((x - b) / pi if challenger else -((x - b) / rest)) + margin
    kelly = sqrt(v) / (v / (pi * rest))
    up = CAP / (max(b / pi, (1.0 - b) / rest) - margin)
    down = CAP / (max((1.0 - b) / pi, b / rest) + margin)
    gain, harm = [], []
    for effect, won, lost in zip(EFFECTS, old.gain, old.harm, strict=True):
        stake = effect * kelly
        won *= 1.0 + min(stake, up) * d
        lost *= 1.0 - min(stake, down) * d
        gain.append(won if FLOOR <= won <= CEILING else kept(won))
        harm.append(lost if FLOOR <= lost <= CEILING else kept(lost))
    squares = old.squares + (x - b) * (x - b)
    if challenger:
        return Compared(
            old.challenger_n + 1,
            old.challenger_sum + x,
            old.incumbent_n,
            old.incumbent_sum,
            squares,
            tuple(gain),
            tuple(harm),
        )
    return Compared(
        old.challenger_n,
        old.challenger_sum,
        old.incumbent_n + 1,
        old.incumbent_sum + x,
        squares,
        tuple(gain),
        tuple(harm),
    )


def compare_many(old: Compared, x: Floats, arms: Bools, pi: Floats, margin: float) -> Compared:
    """Return the comparison after many more conversations: the same bits as `compare` gives one by one."""
    if len(x) == 0:
        return old
    b, v = running(x, arms, np.ones(len(x), dtype=np.bool_), old)
    gain, harm = (
        tuple(
            grown(wealth, factors_of(x, arms, pi, b, v, margin, effect, down))
            for wealth, effect in zip(wealths, EFFECTS, strict=True)
        )
        for wealths, down in ((old.gain, False), (old.harm, True))
    )
    return Compared(
        old.challenger_n + int(arms.sum()),
        _added(old.challenger_sum, x[arms]),
        old.incumbent_n + int((~arms).sum()),
        _added(old.incumbent_sum, x[~arms]),
        _added(old.squares, (x - b) * (x - b)),
        gain,
        harm,
    )


def running(x: Floats, arms: Bools, known: Bools, old: Compared) -> tuple[Floats, Floats]:
    """Return baseline and variance as they stood before each conversation, along the last axis."""
    sums = [
        _before(np.where(known & of, x, 0.0), start)
        for of, start in ((arms, old.challenger_sum), (~arms, old.incumbent_sum))
    ]
    n = _before(known.astype(np.float64), float(old.n))
    b = (sums[0] + sums[1] + _PRIOR_N * _PRIOR_MEAN) / (n + _PRIOR_N)
    squares = _before(np.where(known, (x - b) * (x - b), 0.0), old.squares)
    return b, (squares + _PRIOR_VARIANCE_N * _PRIOR_VARIANCE) / (n + _PRIOR_VARIANCE_N)


def moments(total: Floats, squares: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Return baseline and variance from the sum, the squares and the number of what was seen before."""
    b = (total + _PRIOR_N * _PRIOR_MEAN) / (n + _PRIOR_N)
    return b, (squares + _PRIOR_VARIANCE_N * _PRIOR_VARIANCE) / (n + _PRIOR_VARIANCE_N)


def factors_of(
    x: Floats, arms: Bools, pi: Floats, b: Floats, v: Floats, margin: float, effect: float, down: bool
) -> Floats:
    """Return what each bet on one effect multiplies the wealth by: operation for operation as in `_compare`."""
    rest = 1.0 - pi
    d = np.where(arms, (x - b) / pi, -((x - b) / rest)) + margin
    stake = effect * (np.sqrt(v) / (v / (pi * rest)))
    if down:
        return 1.0 - np.minimum(stake, CAP / (np.maximum((1.0 - b) / pi, b / rest) + margin)) * d
    return 1.0 + np.minimum(stake, CAP / (np.maximum(b / pi, (1.0 - b) / rest) - margin)) * d


def ratio_factor(odds: float, challenger: bool, pi: float) -> float:
    """Return what one draw multiplies the wealth by that is bet on other odds than were logged."""
    return (odds if challenger else 1.0) / (1.0 - pi + odds * pi)


def ratio_factors(odds: float, arms: Bools, pi: Floats) -> Floats:
    """Return the same for many draws."""
    factors: Floats = np.where(arms, odds, 1.0) / (1.0 - pi + odds * pi)
    return factors


def _before(values: Floats, start: float) -> Floats:
    """Return the running sum before each value along the last axis, from `start` on, added from left to right."""
    shifted = np.empty_like(values)
    shifted[..., 0] = start
    shifted[..., 1:] = values[..., :-1]
    sums: Floats = np.cumsum(shifted, axis=-1)
    return sums


def _added(start: float, values: Floats) -> float:
    return float(np.cumsum(np.concatenate(([start], values)))[-1])


def grown(wealth: float, factors: Floats) -> float:
    """Return a wealth after all these factors, as if each had been applied, and the limits minded, one by one."""
    with np.errstate(under="ignore", over="ignore"):
        path = np.cumprod(np.concatenate(([wealth], factors)))
    if path.min() >= FLOOR and path.max() <= CEILING:
        return float(path[-1])
    for factor in factors.tolist():
        wealth = kept(wealth * factor)
    return wealth
