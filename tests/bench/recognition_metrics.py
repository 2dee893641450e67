"""What recognition is judged by, worked out with numpy alone; the tests hold it against scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 15
"""Of the calibration error, each with the same number of messages (equal mass)."""

NAN = float("nan")


def auroc(inside: ArrayLike, outside: ArrayLike) -> float:
    """Return the probability that a message in scope scores higher than one out of scope; ties count half."""
    high, low = np.asarray(inside, float), np.sort(np.asarray(outside, float))
    if not len(high) or not len(low) or np.isnan(high).any() or np.isnan(low).any():
        return NAN
    below, not_above = np.searchsorted(low, high, "left"), np.searchsorted(low, high, "right")
    return float((below + not_above).mean() / 2 / len(low))


def calibration_error(confidence: ArrayLike, right: ArrayLike, bins: int = BINS) -> float:
    """Return the mean distance between stated and true share of right answers, over bins of equal mass."""
    stated, true = np.asarray(confidence, float), np.asarray(right, float)
    if not len(stated) or np.isnan(stated).any():
        return NAN
    parts = np.array_split(np.argsort(stated, kind="stable"), min(bins, len(stated)))
    return float(sum(len(part) * abs(stated[part].mean() - true[part].mean()) for part in parts) / len(stated))


def leads_to(found: str, truth: str) -> bool:
    """Say whether a settled path is right: the task itself or above it; `/` claims nothing and is right."""
    return found == "/" or truth == found or truth.startswith(found + "/")


def share(flags: ArrayLike) -> float:
    """Return the share of true flags; nan without any flags."""
    values = np.asarray(flags, float)
    return float(values.mean()) if len(values) else NAN


def p50_p99(rounds: Sequence[NDArray[np.float64] | Sequence[float]]) -> tuple[float, float]:
    """Return the medians, over rounds, of each round's 50th and 99th percentile."""
    ranks = np.array([np.quantile(one, [0.5, 0.99]) for one in rounds])
    middle = np.median(ranks, axis=0)
    return float(middle[0]), float(middle[1])


def percent(value: float, digits: int = 1) -> str:
    """Return a share in per cent; a dash for one that is not known.

    >>> percent(0.1234), percent(float("nan"))
    ('12.3', '-')
    """
    return "-" if np.isnan(value) else f"{value * 100:.{digits}f}"


def plain(value: float, digits: int = 1) -> str:
    """Return a number, or a dash for one that is not known."""
    return "-" if np.isnan(value) else f"{value:,.{digits}f}"


def spread(values: Sequence[float]) -> str:
    """Return mean and standard deviation of shares over draws, in per cent.

    >>> spread([0.8, 0.82]), spread([0.8])
    ('81.0 ± 1.4', '80.0')
    """
    if len(values) < 2 or np.isnan(values).any():
        return percent(fmean(values))
    return f"{percent(fmean(values))} ± {percent(stdev(values))}"
