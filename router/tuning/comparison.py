"""The arithmetic of the sequential test: one quantity compared between two arms by betting on their difference.

How the stakes are chosen, in the letters of `sequential_test` (no assumption rests on it, only speed)
    lam = min(d sqrt(v) / V, CAP / (L - margin)) for each d of EFFECTS, V = v / (pi (1 - pi)) the variance of D, with v
    the running variance of R: the stake that grows fastest if the true difference is d standard deviations (Kelly). E
    is the mean over d, weighted towards small d where the challenger need only be not worse. A fixed grid
    kappa / L with kappa = .01, .02, .04, ... .64 has the same guarantee and is slower everywhere. Medians of
    conversations at 50:50 until 1/alpha = 40, there and here: rewards of mean .7, +10, +5 and +3 points: 654, 3,189,
    8,450 and 535, 2,245, 6,564; as good at mean .7 with a margin of 3 points: 7,963 and 5,520.

Products rather than sums of logs, because +, *, / and comparisons are exactly rounded everywhere (IEEE 754) while log
is not: a replay on another machine, one by one or all at once, gives the same bits. Sums run from left to right for
the same reason. An e-value below FLOOR counts as lost and one above CEILING stays there: both only lower it, so the
guarantee holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EFFECTS = (0.065, 0.13, 0.26)
"""The differences that are bet on, in standard deviations of the quantity: 3, 6 and 12 points where the mean is .7."""

SPREAD = (0.9, 0.9, 1.2)
"""How the first e-value, 1 on average, is spread over the effects: a little more on the largest, which shows first.

Medians to certify +10 / +5 / +3 points at .7, 50:50: 535 / 2,245 / 6,564, spread evenly 552 / 2,182 / 6,448.
"""

NOT_WORSE = (2.0, 0.75, 0.25)
"""The same where the challenger may be worse by a margin: it is most likely as good, and then the effect is small."""

CAP = 0.9
"""The largest part of what could be lost at once that is ever staked."""

FLOOR, CEILING = 1e-290, 1e290
"""Beyond these an e-value is lost, or grows no more: floats would lose their precision."""

_PRIOR_N, _PRIOR_MEAN = 2.0, 0.5
_PRIOR_VARIANCE_N, _PRIOR_VARIANCE = 10.0, 0.25

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Comparison(NamedTuple):
    """One quantity in [0, 1], compared between the arms: counts and sums of each, and the e-values by effect.

    `better` are those against "the challenger's mean is no higher than the incumbent's less the margin", `worse` those
    against "it is no lower". `squares` sums the squared distances from the baseline.
    """

    challenger_n: int = 0
    challenger_sum: float = 0.0
    incumbent_n: int = 0
    incumbent_sum: float = 0.0
    squares: float = 0.0
    better: tuple[float, ...] = SPREAD
    worse: tuple[float, ...] = SPREAD

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


NEW = Comparison()
"""Before the first conversation."""


def new_comparison(margin: float) -> Comparison:
    """Return a comparison before the first conversation, where the challenger may be worse by a margin."""
    return Comparison(better=NOT_WORSE) if margin > 0.0 else NEW


def mean(e_values: Sequence[float]) -> float:
    """Return the mean of a few e-values, summed from left to right."""
    total = 0.0
    for e_value in e_values:
        total += e_value
    return total / len(e_values)


def limited(e_value: float) -> float:
    """Return an e-value held within FLOOR and CEILING: lost below, no more above."""
    if e_value < FLOOR:
        return 0.0
    return CEILING if e_value > CEILING else e_value


def compared(old: Comparison, x: Floats, arms: Bools, pi: Floats, margin: float) -> Comparison:
    """Return the comparison after more conversations with values `x`, whose arms were drawn with shares `pi`.

    The challenger is allowed to be below the incumbent by `margin`; a negative one asks it to be above by so much.
    """
    if len(x) == 0:
        return old
    # The whole proof hangs on this line: baseline and variance of each bet are made of what came before it, and its own
    # value enters neither. Sums are carried on from the last batch, so batches of any size bet alike.
    b, v = moments_before(x, arms, np.ones(len(x), dtype=np.bool_), old)
    better, worse = (
        tuple(
            grown(e_value, bet_factors(x, arms, pi, b, v, margin, effect, down))
            for e_value, effect in zip(e_values, EFFECTS, strict=True)
        )
        for e_values, down in ((old.better, False), (old.worse, True))
    )
    return Comparison(
        old.challenger_n + int(arms.sum()),
        _added(old.challenger_sum, x[arms]),
        old.incumbent_n + int((~arms).sum()),
        _added(old.incumbent_sum, x[~arms]),
        _added(old.squares, (x - b) * (x - b)),
        better,
        worse,
    )


def moments_before(x: Floats, arms: Bools, known: Bools, old: Comparison) -> tuple[Floats, Floats]:
    """Return baseline and variance as they stood before each conversation, along the last axis."""
    sums = [
        _before(np.where(known & of, x, 0.0), start)
        for of, start in ((arms, old.challenger_sum), (~arms, old.incumbent_sum))
    ]
    n = _before(known.astype(np.float64), float(old.n))
    b = (sums[0] + sums[1] + _PRIOR_N * _PRIOR_MEAN) / (n + _PRIOR_N)
    squares = _before(np.where(known, (x - b) * (x - b), 0.0), old.squares)
    return b, (squares + _PRIOR_VARIANCE_N * _PRIOR_VARIANCE) / (n + _PRIOR_VARIANCE_N)


def bet_factors(
    x: Floats, arms: Bools, pi: Floats, b: Floats, v: Floats, margin: float, effect: float, down: bool
) -> Floats:
    """Return what each bet on one effect multiplies its e-value by."""
    # The mean of d given the past is challenger less incumbent, plus the margin: dividing by the chance of the draw
    # undoes the draw. The stake is cut at CAP of what could be lost at once, so no factor is negative.
    rest = 1.0 - pi
    d = np.where(arms, (x - b) / pi, -((x - b) / rest)) + margin
    stake = effect * (np.sqrt(v) / (v / (pi * rest)))
    if down:
        return 1.0 - np.minimum(stake, CAP / (np.maximum((1.0 - b) / pi, b / rest) + margin)) * d
    return 1.0 + np.minimum(stake, CAP / (np.maximum(b / pi, (1.0 - b) / rest) - margin)) * d


def ratio_factors(odds: float, arms: Bools, pi: Floats) -> Floats:
    """Return what each draw multiplies the e-value by that is bet on other odds than were logged."""
    # The denominator is the mean of the numerator under the logged share, so a fair draw wins nothing on average.
    factors: Floats = np.where(arms, odds, 1.0) / (1.0 - pi + odds * pi)
    return factors


def _before(values: Floats, start: float) -> Floats:
    """Return the running sum before each value along the last axis, from `start` on, added from left to right."""
    shifted = np.empty_like(values)
    shifted[..., 0] = start
    shifted[..., 1:] = values[..., :-1]
    # cumsum adds from left to right; sum adds in pairs, and would give other bits for other batches.
    sums: Floats = np.cumsum(shifted, axis=-1)
    return sums


def _added(start: float, values: Floats) -> float:
    return float(np.cumsum(np.concatenate(([start], values)))[-1])


def grown(e_value: float, factors: Floats) -> float:
    """Return an e-value after all these factors, as if each had been applied, and the limits minded, one by one."""
    with np.errstate(under="ignore", over="ignore"):
        path = np.cumprod(np.concatenate(([e_value], factors)))
    if path.min() >= FLOOR and path.max() <= CEILING:
        return float(path[-1])
    # Somewhere on the way a limit was met. What was lost stays lost, and what was capped grows from the cap, so the
    # order matters and the product of all does not do.
    for factor in factors.tolist():
        e_value = limited(e_value * factor)
    return e_value
