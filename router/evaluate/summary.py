"""The figures of one set of labelled turns, the same for a pack's own examples and for data from elsewhere.

Task by task they are: how well each is told from the others, which two are confused, and by which of their examples.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from router.core.evidence import Certificate
from router.core.policy import ROOT, Task, depth
from router.evaluate import measures
from router.evaluate.outcomes import Outcomes, applies

MOST_PAIRS = 100
SHOWN_EACH_WAY = 5
"""Examples kept of each direction of a confused pair."""

MOST_COMPARED = 500
"""Examples of a task that a confused one is compared with."""

GRAM = 3
"""Letters in a row by which two texts are compared; "Dice" of Dice 1945 over their sets."""


@dataclass(frozen=True, slots=True)
class TaskScore:
    """How one task fares: rows, recall, precision, F1, and what it is most often taken for ("" for nothing)."""

    task: str
    rows: int
    recall: float
    precision: float | None
    f1: float
    taken_for: str
    times: int


@dataclass(frozen=True, slots=True)
class ConfusedExample:
    """A text of one task that was taken for the other, and the other's text that is most like it."""

    text: str
    like: str
    confidence: float


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """Two tasks that are confused. `first_as_second` are texts of `first` taken for `second`, the surest first.

    `rate` is the share of all their rows that was taken for the other; `counts` how many each way.
    """

    first: str
    second: str
    counts: tuple[int, int]
    rows: tuple[int, int]
    rate: float
    first_as_second: tuple[ConfusedExample, ...]
    second_as_first: tuple[ConfusedExample, ...]


def task_scores(outcomes: Outcomes) -> tuple[TaskScore, ...]:
    """Return the scores of every task that has rows in scope, in their order.

    A turn with several truths counts for the one that was guessed, else for its first.
    """
    rows: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    guessed: Counter[str] = Counter()
    instead: dict[str, Counter[str]] = defaultdict(Counter)
    for truth, guess, right in zip(outcomes.truths, outcomes.guesses, outcomes.right.tolist(), strict=True):
        if not truth:
            continue
        counted = guess if guess in truth else truth[0]
        rows[counted] += 1
        guessed[counted if right else guess] += 1
        if right:
            hits[counted] += 1
        elif guess:
            instead[counted][guess] += 1
    found = []
    for task, count in rows.items():
        recall, precision = hits[task] / count, hits[task] / guessed[task] if guessed[task] else None
        f1 = 2 * hits[task] / (count + guessed[task])
        taken_for, times = next(iter(instead[task].most_common(1)), ("", 0))
        found.append(
            TaskScore(
                task,
                count,
                round(recall, 4),
                round(precision, 4) if precision is not None else None,
                round(f1, 4),
                taken_for,
                times,
            )
        )
    return tuple(found)


def macro_f1(scores: Sequence[TaskScore]) -> float | None:
    """Return the mean F1 of the tasks, each counting the same; None of no tasks."""
    return round(sum(score.f1 for score in scores) / len(scores), 4) if scores else None


def weakest(scores: Sequence[TaskScore], most: int) -> tuple[TaskScore, ...]:
    """Return the tasks of the least F1 that are not perfect, the weakest first."""
    ordered = sorted((score for score in scores if score.f1 < 1.0), key=lambda score: (score.f1, score.task))
    return tuple(ordered[:most])


def confused_pairs(outcomes: Outcomes, texts_of: Mapping[str, Sequence[str]]) -> tuple[ConfusedPair, ...]:
    """Return the pairs of tasks that were taken for one another, the most frequent first.

    `texts_of` gives the texts of a task that a confused one is put beside.
    """
    rows: Counter[str] = Counter()
    between: dict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
    columns = (outcomes.truths, outcomes.guesses, outcomes.right.tolist(), outcomes.confidences.tolist())
    for text, truth, guess, right, confidence in zip(outcomes.texts, *columns, strict=True):
        if truth:
            rows[truth[0]] += 1
            if guess and not right:
                between[truth[0], guess].append((confidence, text))
    unordered = {(min(pair), max(pair)) for pair in between}
    found = []
    for first, second in unordered:
        there, back = between.get((first, second), []), between.get((second, first), [])
        found.append((len(there) + len(back), first, second, there, back))
    found.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    return tuple(
        ConfusedPair(
            first,
            second,
            (len(there), len(back)),
            (rows[first], rows[second]),
            round(count / max(1, rows[first] + rows[second]), 4),
            _beside(there, texts_of.get(second, ())),
            _beside(back, texts_of.get(first, ())),
        )
        for count, first, second, there, back in found[:MOST_PAIRS]
    )


def texts_by_task(outcomes: Outcomes) -> dict[str, list[str]]:
    """Return the texts of each task; those of none under `/`."""
    found: dict[str, list[str]] = defaultdict(list)
    for text, truth in zip(outcomes.texts, outcomes.truths, strict=True):
        found[truth[0] if truth else ROOT].append(text)
    return found


def _beside(confused: list[tuple[float, str]], others: Sequence[str]) -> tuple[ConfusedExample, ...]:
    compared = [(text, _grams(text)) for text in others[:MOST_COMPARED]]
    found = []
    for confidence, text in sorted(confused, key=lambda pair: (-pair[0], pair[1]))[:SHOWN_EACH_WAY]:
        grams = _grams(text)
        like = max(compared, key=lambda pair: _dice(grams, pair[1]), default=("", grams))[0]
        found.append(ConfusedExample(text, like, round(confidence, 4)))
    return tuple(found)


def _grams(text: str) -> frozenset[str]:
    padded = f" {' '.join(text.lower().split())} "
    return frozenset(padded[at : at + GRAM] for at in range(max(1, len(padded) - GRAM + 1)))


def _dice(first: frozenset[str], second: frozenset[str]) -> float:
    return 2 * len(first & second) / (len(first) + len(second))


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
    """All figures of some turns; `outcomes` says what each means. `by_depth[d - 1]` is the accuracy at depth d.

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
        wrong=measures.share(wrong),
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
        at_threshold = measures.risk_at(acted, wrong, certificate.threshold)
        found.append(DepthRisk(certificate, at_threshold, measures.risk_curve(acted, wrong)))
        passed &= acted >= certificate.threshold
    return tuple(found)


def _as_deep(settled: tuple[str, ...], truth: tuple[str, ...], tree: Mapping[str, Task]) -> bool:
    goal = max(map(depth, truth))
    return any(not tree[path].children or depth(path) >= goal for path in settled)


def _misled(settled: tuple[str, ...], truth: tuple[str, ...]) -> bool:
    return not all(applies(path, truth) for path in settled)
