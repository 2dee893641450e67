"""Intervals that hold however often somebody looks: of a mean, and of what a challenger gains on the incumbent.

A bet is kept against every candidate m. Against "the mean is at most m" a stake kappa turns capital 1 into

    prod(1 + kappa * (x_i - m) / (m - low_i)),

where low_i is the least that x_i could be, known before x_i came. No factor is negative, and where m is the mean none
gains on average, whatever went before: the capital ever reaches 1 / alpha with a probability of at most alpha (Ville
1939). So the candidates whose capital has not reached it form an interval that covers the mean at all times at once
(Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting"). Capital is spread evenly over
several stakes, which costs a logarithm and tunes itself to the spread of the values. Bets against "at least m"
mirror it; each side gets half of alpha.

Stakes are constant, so with the same bounds for all values the interval also covers, at any *one* time, the average of
means that drift: a product of 1 + kappa * (m_i - m) / (m - low) is at most 1 where the m_i average to m. Values of one
user are not independent: count a user once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from router.core.learning import Outcome

Doubles: TypeAlias = NDArray[np.float64]

ALPHA = 0.05
"""The chance that an interval ever misses what it is of."""

STAKES = tuple(0.64 / 2**step for step in range(10))
"""Parts of the largest bet: good for some ten values as for a hundred thousand (measured in tests/sim, V6)."""

HALVINGS = 22
"""Of the range of candidates: a millionth of it is finer than any figure that is shown."""

_BLOCK = 8  # factors multiplied before the logarithm is taken: far from overflow, and one logarithm for eight values


@dataclass(frozen=True, slots=True)
class Interval:
    """What a mean is estimated as, and the ends that cover it. `n` is how many values it is made from."""

    estimate: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        """Return it in points, hundredths of the range from 0 to 1.

        >>> str(Interval(0.06, 0.012, 0.108, 900))
        '+6 points, between +1 and +11'
        """
        return f"{100 * self.estimate:+.0f} points, between {100 * self.low:+.0f} and {100 * self.high:+.0f}"


def mean_interval(values: ArrayLike, alpha: float = ALPHA) -> Interval:
    """Return the interval of the mean of values in [0, 1], shape (n,), in the order in which they came.

    Raises ValueError for a value outside.

    >>> found = mean_interval([1, 1, 0, 1] * 50)
    >>> round(found.estimate, 2), found.low < 0.75 < found.high
    (0.75, True)
    """
    x = _row(values, "values")
    _demand(bool(np.all((x >= 0.0) & (x <= 1.0))), "values must lie between 0 and 1")
    return bounded_interval(x, 0.0, 1.0, alpha=alpha)


def gain_interval(outcomes: Iterable[Outcome], *, alpha: float = ALPHA) -> Interval:
    """Return the interval of what the challenger of a trial gains, from the trial's outcomes in their order.

    Outcomes without a reward, and of units that were counted before, are left out. Raises ValueError for an outcome
    that no trial drew.
    """
    counted = [each for each in outcomes if each.reward is not None and not each.repeated]
    return difference_interval(
        [each.reward for each in counted if each.reward is not None],
        [each.assignment.challenger for each in counted],
        [each.assignment.share for each in counted],
        alpha=alpha,
    )


def difference_interval(
    rewards: ArrayLike,
    challenger: ArrayLike,
    shares: ArrayLike,
    baselines: ArrayLike | None = None,
    *,
    alpha: float = ALPHA,
) -> Interval:
    """Return the interval of the challenger's mean reward minus the incumbent's, from one draw for each conversation.

    All have shape (n,), in the order in which outcomes were counted: `rewards` in [0, 1]; `challenger`, whether it was
    drawn; `shares`, the logged probability with which it was drawn, above 0 and below 1; `baselines`, a guess at the
    reward made before it came (by default `running_baselines`), which costs nothing when wrong and narrows the interval
    when right. Raises ValueError for values outside, or for different lengths.
    """
    r, c, p = _row(rewards, "rewards"), _row(challenger, "challenger").astype(np.bool_), _row(shares, "shares")
    b = running_baselines(r) if baselines is None else _row(baselines, "baselines")
    _demand(len(r) == len(c) == len(p) == len(b), "rewards, challenger, shares and baselines must be of one length")
    _demand(bool(np.all((r >= 0.0) & (r <= 1.0) & (b >= 0.0) & (b <= 1.0))), "rewards must lie between 0 and 1")
    _demand(bool(np.all((p > 0.0) & (p < 1.0))), "a share must lie between 0 and 1: what was certain was not drawn")
    worth = (r - b) * np.where(c, 1.0 / p, -1.0 / (1.0 - p))
    low = -np.maximum(b / p, (1.0 - b) / (1.0 - p))
    high = np.maximum((1.0 - b) / p, b / (1.0 - p))
    return bounded_interval(worth, low, high, within=(-1.0, 1.0), alpha=alpha)


def running_baselines(rewards: ArrayLike) -> Doubles:
    """Return the mean of the rewards before each one, as if one of a half had come first."""
    r = _row(rewards, "rewards")
    before = np.concatenate(([0.0], np.cumsum(r)[:-1])) if len(r) else r
    return (0.5 + before) / np.arange(1, len(r) + 1)


def bounded_interval(
    values: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    within: tuple[float, float] = (0.0, 1.0),
    alpha: float = ALPHA,
) -> Interval:
    """Return the interval of the common mean of values that each have bounds of their own.

    `low` and `high`, scalars or of shape (n,), are known before the value comes; `within` is where the mean can lie.
    Takes a few milliseconds for ten thousand values. Raises ValueError for values outside their bounds.
    """
    x = _row(values, "values")
    lows, highs = np.broadcast_to(np.asarray(low, float), x.shape), np.broadcast_to(np.asarray(high, float), x.shape)
    _demand(0.0 < alpha < 1.0, "alpha must lie between 0 and 1")
    if not len(x):
        return Interval((within[0] + within[1]) / 2, *within, 0)
    slack = 1e-9 * (1.0 + np.abs(x))
    _demand(bool(np.all((x >= lows - slack) & (x <= highs + slack))), "a value lies outside its bounds")
    least = _least(x, lows, within, alpha / 2)
    most = -_least(-x, -highs, (-within[1], -within[0]), alpha / 2)
    if least > most:  # no common mean fits: happens with a probability of at most alpha
        least = most = (least + most) / 2
    return Interval(min(max(float(x.mean()), least), most), least, most, len(x))


def evidence(values: ArrayLike, low: ArrayLike, mean: float) -> Doubles:
    """Return the logarithm of the capital after each value of the bets against "the mean is at most `mean`".

    `bounded_interval` has its lower end at or above `mean` where the last of them is at least log(2 / alpha).
    """
    x = _row(values, "values")
    gains = (x - mean) / (mean - np.asarray(low, float))
    logs = np.stack([np.cumsum(np.log1p(stake * gains)) for stake in STAKES])
    return np.asarray(np.logaddexp.reduce(logs, axis=0) - np.log(len(STAKES)))


def _least(x: Doubles, lows: Doubles, within: tuple[float, float], alpha: float) -> float:
    """Return the largest candidate such that the bets against "at most so much" have won."""
    refuted, standing = max(within[0], float(lows.max())), min(within[1], float(x.mean()))
    goal = float(np.log(len(STAKES) / alpha))
    for _ in range(HALVINGS):
        middle = (refuted + standing) / 2
        if not refuted < middle < standing:
            break  # there is no number between them
        refuted, standing = (middle, standing) if _log_capital(x, lows, middle) >= goal else (refuted, middle)
    return refuted


def _log_capital(x: Doubles, lows: Doubles, mean: float) -> float:
    """Return the logarithm of the sum over stakes of what 1 has turned into."""
    columns = -(-len(x) // _BLOCK)
    gains = np.zeros(columns * _BLOCK)
    gains[: len(x)] = (x - mean) / (mean - lows)
    blocks = gains.reshape(_BLOCK, columns)
    logs = [float(np.log(np.multiply.reduce(1.0 + stake * blocks, axis=0)).sum()) for stake in STAKES]
    return float(np.logaddexp.reduce(logs))


def _row(values: ArrayLike, name: str) -> Doubles:
    row = np.asarray(values, dtype=np.float64)
    _demand(row.ndim == 1, f"{name} must be one row of numbers")
    _demand(bool(np.isfinite(row).all()), f"{name} must be finite numbers")
    return row


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
