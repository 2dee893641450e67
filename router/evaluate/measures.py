"""The measures: numbers in, numbers out. Nothing here knows of packs or texts.

Whatever cannot be said (a rate of no rows, an area with one side missing) is None, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from router.classify.encoder import Doubles, Flags

MOST_BINS = 15
"""Bins of a calibration curve, as in Guo et al. 2017, "On Calibration of Modern Neural Networks"."""

ROWS_A_BIN = 10
"""With fewer rows to a bin its accuracy is mostly chance, and the error reads chance as error: rather fewer bins."""


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Some rows of like confidence: how many, how sure on average, and the share that was right."""

    rows: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class CalibrationCurve:
    """The calibration curve and its error, the mean distance of accuracy and confidence over the rows."""

    ece: float | None
    bins: tuple[CalibrationBin, ...]


@dataclass(frozen=True, slots=True)
class Latency:
    """Processor time of one step, in microseconds, over `steps` of them."""

    p50: float | None
    p99: float | None
    steps: int


def share(flags: Sequence[bool]) -> float | None:
    """Return the share of true ones, None of none."""
    return round(sum(flags) / len(flags), 4) if flags else None


def calibration(confidences: Doubles, right: Flags) -> CalibrationCurve:
    """Return the calibration curve over bins of equal numbers of rows, the least sure first, and the expected error.

    Bins of equal numbers are less biased than bins of equal width (Nixon et al. 2019, "Measuring Calibration in Deep
    Learning").
    """
    if not len(confidences):
        return CalibrationCurve(None, ())
    count = max(1, min(MOST_BINS, len(confidences) // ROWS_A_BIN))
    parts = np.array_split(np.argsort(confidences, kind="stable"), count)
    bins = [CalibrationBin(len(part), float(confidences[part].mean()), float(right[part].mean())) for part in parts]
    error = sum(part.rows * abs(part.confidence - part.accuracy) for part in bins) / len(confidences)
    return CalibrationCurve(
        round(error, 4),
        tuple(CalibrationBin(part.rows, round(part.confidence, 4), round(part.accuracy, 4)) for part in bins),
    )


def auroc(inside: Doubles, outside: Doubles) -> float | None:
    """Return the chance that a row in scope scores higher than one out of scope, ties counting half.

    That is the area under the ROC curve (Hanley and McNeil 1982).
    """
    if not len(inside) or not len(outside):
        return None
    ranked = np.sort(outside)
    below = np.searchsorted(ranked, inside, side="left")
    not_above = np.searchsorted(ranked, inside, side="right")
    return round(float((below + not_above).mean()) / (2 * len(outside)), 4)


def latency(nanoseconds: Sequence[int]) -> Latency:
    """Return the median and the 99th percentile of some measured times."""
    if not nanoseconds:
        return Latency(None, None, 0)
    p50, p99 = np.percentile(np.array(nanoseconds, np.float64) / 1_000.0, [50, 99]).tolist()
    return Latency(round(p50, 1), round(p99, 1), len(nanoseconds))
