"""The figures of one set of labelled turns, the same for a pack's own examples and for data from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from router.core.evidence import Certificate
from router.core.policy import Task, depth
from router.evaluate import measures
from router.evaluate.outcomes import Outcomes, applies
from router.evaluate.tasks import ConfusedPair, TaskScore, confused_pairs, macro_f1, task_scores


@dataclass(frozen=True, slots=True)
class DepthRisk:
    """Acting at one depth: its certificate, what its threshold means on these rows, and the curve it lies on.

    The last certificate is for all depths from its own down.
    """

    certificate: Certificate
    at_threshold: measures.RiskPoint | None
    curve: tuple[measures.RiskPoint, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """All figures of some turns; `against` says what each means. `by_depth[d - 1]` is the accuracy at depth d.

    `ece_all` is the calibration error with the turns out of scope counted as mistakes.
    """

    rows: int
    in_scope: int
    accuracy_task: float | None
    accuracy_domain: float | None
    by_depth: tuple[float | None, ...]
    macro_f1: float | None
    coverage: float | None
    wrong: float | None
    calibration: measures.CalibrationCurve
    ece_all: float | None
    oos_auroc: float | None
    passing: tuple[measures.RocPoint, ...]
    risks: tuple[DepthRisk, ...]
    tasks: tuple[TaskScore, ...]
    pairs: tuple[ConfusedPair, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-ready data."""
        return {
            "n": self.rows,
            "in_scope": self.in_scope,
            "out_of_scope": self.rows - self.in_scope,
            "accuracy": {"task": self.accuracy_task, "domain": self.accuracy_domain, "by_depth": list(self.by_depth)},
            "macro_f1": self.macro_f1,
            "settled": {"coverage": self.coverage, "wrong": self.wrong},
            "ece": self.calibration.ece,
            "ece_all": self.ece_all,
            "calibration": [asdict(part) for part in self.calibration.bins],
            "oos_auroc": self.oos_auroc,
            "out_of_scope_curve": [asdict(point) for point in self.passing],
            "risk": [asdict(risk) for risk in self.risks],
            "tasks": [asdict(score) for score in self.tasks],
            "confused": [asdict(pair) for pair in self.pairs],
        }


def summarise(
    outcomes: Outcomes,
    tree: Mapping[str, Task],
    certificates: Sequence[Certificate],
    texts_of: Mapping[str, Sequence[str]],
) -> Summary:
    """Work out every figure. `texts_of` gives each task's examples, to be put beside what was confused with them."""
    inside = outcomes.in_scope
    asked = outcomes.chosen(inside)
    scores = task_scores(asked)
    by_depth = tuple(_accuracy_at(outcomes, level) for level in range(1, len(outcomes.walk) + 1))
    covered = np.array([_as_deep(*row, tree) for row in zip(asked.settled, asked.truths, strict=True)], np.bool_)
    wrong = np.array([_misled(*row) for row in zip(outcomes.settled, outcomes.truths, strict=True)], np.bool_)
    return Summary(
        rows=len(outcomes),
        in_scope=len(asked),
        accuracy_task=measures.share(asked.right),
        accuracy_domain=by_depth[0] if by_depth else measures.share(asked.right),
        by_depth=by_depth,
        macro_f1=macro_f1(scores),
        coverage=measures.share(covered),
        wrong=measures.share(wrong, outcomes.weights),
        calibration=measures.calibration(asked.confidences, asked.right),
        ece_all=measures.calibration(outcomes.confidences, outcomes.right).ece,
        oos_auroc=measures.auroc(outcomes.known[inside], outcomes.known[~inside]),
        passing=measures.passing(outcomes.known[inside], outcomes.known[~inside]),
        risks=_risks(outcomes, certificates) if len(outcomes) else (),
        tasks=scores,
        pairs=confused_pairs(asked, texts_of),
    )


def _accuracy_at(outcomes: Outcomes, level: int) -> float | None:
    """Return the share on the lineage of the truth, of the turns whose truth lies so deep."""
    return measures.share(outcomes.on_lineage(level)[outcomes.reaching(level)])


def _risks(outcomes: Outcomes, certificates: Sequence[Certificate]) -> tuple[DepthRisk, ...]:
    """Return the risk at each certificate's depth; at the last also of whatever lies below it.

    A row is acted on wrongly at a threshold when the first step that leads astray, at these depths, weighs as much.
    Whoever does not pass the threshold above is not acted on here.
    """
    found = []
    passed = np.ones(len(outcomes), np.bool_)
    for certificate in certificates:
        acted, wrong = np.zeros((2, len(outcomes)))
        for level, steps in enumerate(outcomes.walk, start=1):
            if level == certificate.depth:
                acted = np.where(passed, steps.masses, 0.0)
            if level == certificate.depth or (certificate is certificates[-1] and level > certificate.depth):
                astray = ~outcomes.on_lineage(level) & (wrong == 0.0) & passed
                wrong = np.where(astray, steps.masses, wrong)
        masses = (acted, wrong, outcomes.weights)
        found.append(
            DepthRisk(certificate, measures.risk_at(*masses, certificate.threshold), measures.risk_curve(*masses))
        )
        passed &= acted >= certificate.threshold
    return tuple(found)


def _as_deep(settled: tuple[str, ...], truth: tuple[str, ...], tree: Mapping[str, Task]) -> bool:
    goal = max(map(depth, truth))
    return any(not tree[path].children or depth(path) >= goal for path in settled)


def _misled(settled: tuple[str, ...], truth: tuple[str, ...]) -> bool:
    return not all(applies(path, truth) for path in settled)
