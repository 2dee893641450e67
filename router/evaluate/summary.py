"""The figures of one set of labelled turns, the same for a pack's own examples and for data from elsewhere.

Task by task they are: how well each is told from the others, which two are confused, and by which of their examples.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from router.core.decide import Tree
from router.core.evidence import Certificate
from router.core.policy import ROOT
from router.evaluate import measures
from router.evaluate.outcomes import Judged, applies, heaviest_domain, known_mass
from router.evaluate.reach import Budget, Language, PathPoint, Reach, Sending, along_known, along_path, by_language

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


def task_scores(turns: Sequence[Judged]) -> tuple[TaskScore, ...]:
    """Return the scores of every task that has turns in scope, in their order.

    A turn with several truths counts for the one that was guessed, else for its first.
    """
    rows: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    guessed: Counter[str] = Counter()
    instead: dict[str, Counter[str]] = defaultdict(Counter)
    for _, truth, _, guess, _, right, _ in turns:
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


def confused_pairs(turns: Sequence[Judged], texts_of: Mapping[str, Sequence[str]]) -> tuple[ConfusedPair, ...]:
    """Return the pairs of tasks that were taken for one another, the most frequent first.

    `texts_of` gives the texts of a task that a confused one is put beside.
    """
    rows: Counter[str] = Counter()
    between: dict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
    for text, truth, _, guess, confidence, right, _ in turns:
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


def texts_by_task(turns: Sequence[Judged]) -> dict[str, list[str]]:
    """Return the texts of each task; those of none under `/`."""
    found: dict[str, list[str]] = defaultdict(list)
    for turn in turns:
        found[turn.truth[0] if turn.truth else ROOT].append(turn.text)
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
class Summary:
    """All figures of some turns.

    `reach` is what is sent at the thresholds in force, `languages` the same by language, `trade` the same at the
    thresholds of each budget (None where none can be certified), `path` along the path of all thresholds, `known_path`
    at each of all tasks together. `misled` is the share of all turns, those out of scope included, that get text
    plainly which does not apply. The domain is the heaviest first-level branch. `ece_all` is the calibration error with
    the turns out of scope counted as mistakes, `oos_auroc` the chance that the tasks together weigh more for a turn in
    scope than for one out of scope.
    """

    reach: Reach
    languages: tuple[Language, ...]
    trade: tuple[Reach | None, ...]
    path: tuple[PathPoint, ...]
    known_path: tuple[PathPoint, ...]
    misled: float | None
    accuracy_task: float | None
    accuracy_domain: float | None
    macro_f1: float | None
    calibration: measures.CalibrationCurve
    ece_all: float | None
    oos_auroc: float | None
    tasks: tuple[TaskScore, ...]
    pairs: tuple[ConfusedPair, ...]

    @property
    def rows(self) -> int:
        """How many turns there are."""
        return self.reach.in_scope + self.reach.out_of_scope

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-ready data, the trade left out: it belongs beside its budgets."""
        return {
            "n": self.rows,
            "in_scope": self.reach.in_scope,
            "out_of_scope": self.reach.out_of_scope,
            "sent": asdict(self.reach),
            "settled": {"coverage": self.reach.sure, "wrong": self.misled},
            "languages": [asdict(one) for one in self.languages],
            "accuracy": {"task": self.accuracy_task, "domain": self.accuracy_domain},
            "macro_f1": self.macro_f1,
            "ece": self.calibration.ece,
            "ece_all": self.ece_all,
            "calibration": [asdict(part) for part in self.calibration.bins],
            "oos_auroc": self.oos_auroc,
            "path": [point._asdict() for point in self.path],
            "known_path": [point._asdict() for point in self.known_path],
            "tasks": [asdict(score) for score in self.tasks],
            "confused": [asdict(pair) for pair in self.pairs],
        }


def summarise(
    turns: Sequence[Judged],
    tree: Tree,
    sending: Sending,
    certificate: Certificate,
    budgets: Sequence[Budget],
    texts_of: Mapping[str, Sequence[str]],
) -> Summary:
    """Work out every figure. `texts_of` gives each task's examples, to be put beside what was confused with them."""
    asked = [turn for turn in turns if turn.truth]
    sent = sending.sent(turns, certificate.thresholds)
    weights = np.array([known_mass(turn.belief, tree) for turn in turns], np.float64)
    inside = np.array([bool(turn.truth) for turn in turns], np.bool_)
    scores = task_scores(asked)
    return Summary(
        reach=sending.reach(sent),
        languages=by_language(turns, sent, sending, certificate),
        trade=tuple(sending.reach(sending.sent(turns, one.thresholds)) if one.thresholds else None for one in budgets),
        path=along_path(turns, sending, certificate.thresholds),
        known_path=along_known(turns, sending, certificate.thresholds),
        misled=measures.share([one.plainly for one in sent]),
        accuracy_task=measures.share([turn.right for turn in asked]),
        accuracy_domain=measures.share([applies(heaviest_domain(turn.belief, tree), turn.truth) for turn in asked]),
        macro_f1=macro_f1(scores),
        calibration=_calibration(asked),
        ece_all=_calibration(turns).ece,
        oos_auroc=measures.auroc(weights[inside], weights[~inside]),
        tasks=scores,
        pairs=confused_pairs(asked, texts_of),
    )


def _calibration(turns: Sequence[Judged]) -> measures.CalibrationCurve:
    confidences = np.array([turn.confidence for turn in turns], np.float64)
    return measures.calibration(confidences, np.array([turn.right for turn in turns], np.bool_))
