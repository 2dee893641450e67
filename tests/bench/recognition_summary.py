"""The figures of all parts against what was aimed at, as one table for docs/figures-recognition.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

import numpy as np

from tests.bench.recognition_certificate import RESAMPLES
from tests.bench.recognition_metrics import NAN, percent
from tests.bench.recognition_table import OURS
from tests.bench.report import milliseconds, print_table

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Aim:
    """One figure, the target and the aim beyond it. `unit` is one of %, points, ms, s, x or empty."""

    what: str
    unit: str
    target: float
    stretch: float
    reached: float
    more_is_better: bool = True

    @property
    def verdict(self) -> str:
        """How far the figure got, in words."""
        if np.isnan(self.reached):
            return "not measured"
        sign = 1.0 if self.more_is_better else -1.0
        if not np.isnan(self.stretch) and sign * self.reached >= sign * self.stretch:
            return "stretch"
        if sign * self.reached >= sign * self.target:
            return "target"
        return f"missed by {self.said(abs(self.target - self.reached))}"

    def said(self, value: float) -> str:
        """Return a value in this unit."""
        if np.isnan(value):
            return "-"
        match self.unit:
            case "%" | "points":
                return f"{percent(value)} {self.unit}"
            case "ms":
                return f"{milliseconds(value)} ms"
            case "s" | "x":
                return f"{value:.1f} {self.unit}"
            case _:
                return f"{value:.3f}"


def mean_of(lines: Sequence[Figures], field: str, data_set: str, shots: int | None) -> float:
    """Return the mean over draws of a figure of this project's."""
    values = [
        line[field] for line in lines if (line["contender"], line["data"], line["shots"]) == (OURS, data_set, shots)
    ]
    return fmean(values) if values else NAN


def of_the_table(lines: Sequence[Figures]) -> Iterator[Aim]:
    """Yield what the main table says."""
    accuracies = (
        ("Banking77", 10, 0.81, 0.84),
        ("Banking77", None, 0.92, 0.93),
        ("CLINC150", 10, 0.85, 0.88),
        ("CLINC150", None, 0.935, 0.945),
    )
    for data_set, shots, target, stretch in accuracies:
        reached = mean_of(lines, "task", data_set, shots)
        yield Aim(f"{data_set}, {_examples(shots)}: accuracy in scope", "%", target, stretch, reached)
    for shots, target, stretch in ((10, 0.945, 0.96), (None, 0.96, 0.97)):
        reached = mean_of(lines, "auroc_some", "CLINC150", shots)
        yield Aim(f"CLINC150, {_examples(shots)}: out-of-scope AUROC", "", target, stretch, reached)
    for data_set, shots, *_ in accuracies:
        reached = mean_of(lines, "error", data_set, shots)
        yield Aim(f"{data_set}, {_examples(shots)}: calibration error", "", 0.03, 0.02, reached, False)


def of_the_certificates(found: Figures) -> Iterator[Aim]:
    """Yield how often promises were broken, over all settings that allow one, and what fits at their thresholds reach."""
    noise = percent((0.1 * 0.9 / RESAMPLES) ** 0.5)
    for kind, where in (("resampled", "resampled test messages"), ("carried", "out-of-fold rows to test messages")):
        broken = [one["broken"] for one in found[kind] if one["certified"] == 1.0]
        if broken:
            yield Aim(f"promises broken, {where}, mean of {len(broken)} settings", "%", 0.10, NAN, fmean(broken), False)
            label = f"promises broken, {where}, worst setting ({RESAMPLES:,} resamples: ± {noise})"
            yield Aim(label, "%", 0.10, NAN, max(broken), False)
    for data_set, general, reach in (("Banking77", 0.17, 0.83), ("CLINC150", 0.07, 0.93)):
        same = [one for one in found["fits"] if (one["data"], one["shots"]) == (data_set, 10)]
        if same:
            label = f"{data_set}, 10 examples a task, median of {len(same)} draws"
            middle = median(one["general"] for one in same)
            yield Aim(f"{label}: general text only", "%", general, NAN, middle, False)
            yield Aim(f"{label}: reach", "%", reach, NAN, median(one["reach"] for one in same))
        for shots in (2, 3, 4):
            few = [one["unconditional"] for one in found["fits"] if (one["data"], one["shots"]) == (data_set, shots)]
            if few:
                yield Aim(f"{data_set}, {shots} examples a task: unconditional", "%", 0.03, NAN, median(few), False)


def of_the_dialogues(found: Sequence[Figures]) -> Iterator[Aim]:
    """Yield the filter's accuracy; the better of the two ways to use it is the product's to choose, so both."""
    for way in dict.fromkeys(one["way"] for one in found if one["way"].startswith("filter")):
        reached = fmean(one["everything"] for one in found if one["way"] == way)
        yield Aim(f"SGD, trained on openings: {way}, all turns", "%", 0.76, 0.82, reached)


def of_the_noise(found: Figures) -> Iterator[Aim]:
    """Yield what noise costs."""
    noises = (
        ("one random edit in a third of the words", 0.08, 0.04),
        ("20 words of courtesy appended", 0.05, 0.02),
        ("20 random function words appended", 0.05, 0.02),
    )
    for data_set in ("CLINC150", "Banking77"):
        spoilt = found[data_set]["spoilt"]
        for noise, target, stretch in noises:
            lost = spoilt["as it is"]["task"] - spoilt[noise]["task"]
            yield Aim(f"{data_set}, lost to {noise}", "points", target, stretch, lost, False)
        worst = max(one["flipped"] for one in found[data_set]["attacked"].values() if "flipped" in one)
        yield Aim(f"{data_set}, settled task flipped by the worst of the suffixes", "%", NAN, NAN, worst, False)
    settled = fmean(found["elsewhere"].values())
    yield Aim("CLINC150, sentences in seven other languages that get a task's text", "%", NAN, NAN, settled, False)


def of_the_growth(found: Figures) -> Iterator[Aim]:
    """Yield times."""
    decided = found["decide"]
    for form, target, stretch in (("15", 0.15e-3, 0.08e-3), ("500", 0.6e-3, 0.3e-3)):
        p50, p99, *_ = decided["150"][form]
        yield Aim(f"decide, whole, 150 leaves, {form} tokens: p50", "ms", target, stretch, p50, False)
        yield Aim(f"decide, whole, 150 leaves, {form} tokens: p99", "ms", 1e-3, 0.5e-3, p99, False)
    yield Aim("fit, 150 tasks of 10 examples", "s", 3, 1, found["fit"]["10"][0], False)
    yield Aim("fit, 150 tasks of 100 examples", "s", 20, 8, found["fit"]["100"][0], False)
    growth = decided["1000"]["15"][0] / decided["10"]["15"][0]
    yield Aim("decide p50, 1,000 leaves over 10", "x", 4, 2, growth, False)


SOURCES: Mapping[str, Callable[[Any], Iterator[Aim]]] = {
    "table": of_the_table,
    "certificate": of_the_certificates,
    "dialogues": of_the_dialogues,
    "robustness": of_the_noise,
    "growth": of_the_growth,
}


def aims(figures: Figures) -> list[Aim]:
    """Return every aim that there are figures for."""
    return [aim for name, read in SOURCES.items() if name in figures for aim in read(figures[name])]


def print_summary(figures: Figures) -> None:
    """Print the table."""
    print("\n# Aimed at and reached\n")
    rows = [
        [aim.what, aim.said(aim.target), aim.said(aim.stretch), aim.said(aim.reached), _verdict(aim)]
        for aim in aims(figures)
    ]
    print_table(["figure", "target", "stretch", "measured", ""], rows)


def _verdict(aim: Aim) -> str:
    return "-" if np.isnan(aim.target) else aim.verdict


def _examples(shots: int | None) -> str:
    return f"{shots} examples a task" if shots else "all examples"
