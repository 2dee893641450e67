"""What a row of the table is: an experiment with known truth, what it must show, and what it showed.

Every experiment takes a tier, which says how many runs are worth their minutes, and draws from generators with fixed
seeds, so that two runs of one tier on one machine print the same figures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

Doubles: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
TierName: TypeAlias = Literal["tiny", "short", "long"]
T = TypeVar("T")

SURE = 0.999
"""A row misses a rate only where so few runs, at a rate that just meets it, would be beaten with this probability."""


@dataclass(frozen=True, slots=True)
class Tier:
    """How much to simulate: `tiny` for the tests, `short` for every commit, `long` with the full counts."""

    name: TierName

    def pick(self, tiny: T, short: T, long: T) -> T:
        """Return what this tier takes."""
        return {"tiny": tiny, "short": short, "long": long}[self.name]


TIERS = {name: Tier(name) for name in ("tiny", "short", "long")}


@dataclass(frozen=True, slots=True)
class Finding:
    """One row: `ours` beside `reference`, the figures of the naive method on the same draws."""

    row: str
    what: str
    target: str
    ours: str
    reference: str
    met: bool
    conditions: str
    note: str = ""


Experiment: TypeAlias = Callable[[Tier], Finding]


def at_most(events: float, runs: int, target: float) -> bool:
    """Say whether so many events of so many runs are no surprise where the rate is at most `target`."""
    return bool(events <= binom.ppf(SURE, runs, target))


def at_least(events: float, runs: int, target: float) -> bool:
    """Say whether so many events of so many runs are no surprise where the rate is at least `target`."""
    return bool(events >= binom.ppf(1.0 - SURE, runs, target))


def median_at_most(values: Doubles, target: float) -> bool:
    """Say whether the median is at most `target`, or so near that order statistics cannot tell."""
    lowest = int(binom.ppf(1.0 - SURE, len(values), 0.5))
    return bool(np.sort(values)[max(0, lowest - 1)] <= target)


def ever(paths: Doubles, limit: float, after: int = 0) -> Bools:
    """Say of each run, a row, whether it reaches the limit once `after` conversations are counted."""
    reached: Bools = (paths[:, max(0, after - 1) :] >= limit).any(axis=1)
    return reached


def first(paths: Doubles, limit: float, after: int = 0) -> Doubles:
    """Return how many conversations each run, a row, takes to reach the limit; infinity where it never does."""
    reached = paths >= limit
    reached[:, : max(0, after - 1)] = False
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1.0, np.inf)


def percent(share: float, digits: int = 1) -> str:
    """Return a share in per cent.

    >>> percent(0.0213)
    '2.1 %'
    """
    return f"{100 * share:.{digits}f} %"


def spread(values: list[float], digits: int = 1) -> str:
    """Return the range of some shares in per cent.

    >>> spread([0.02, 0.035])
    '2.0-3.5 %'
    """
    low, high = f"{100 * min(values):.{digits}f}", f"{100 * max(values):.{digits}f}"
    return f"{low} %" if low == high else f"{low}-{high} %"
