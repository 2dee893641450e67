"""What to do about a pack, read off its own examples: tasks to merge, and labels to look at again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from router.classify import CrossValidation
from router.classify.text import clip
from router.core.policy import ROOT
from router.evaluate.tasks import ConfusedPair
from router.packs import Pack

MERGE_RATE = 0.15
"""From this share of rows taken for the other on, two tasks are one to whoever reads the words."""

LEAST_CONFUSED = 3
"""Fewer confused rows are an accident."""

SURE = 0.75
"""A label is only doubted where another task is three times as likely as all others together."""

MOST_SUSPECTS = 100


@dataclass(frozen=True, slots=True)
class MergeSuggestion:
    """Two tasks that are mutually confused: one task with two variants may serve better, or clearer examples."""

    first: str
    second: str
    confused: int
    rows: int
    rate: float


@dataclass(frozen=True, slots=True)
class LabelIssue:
    """An example that looks mislabelled: where it stands, and what models that had not seen it took it for.

    `guess` is `/` where it looks like no task at all.
    """

    text: str
    task: str
    guess: str
    confidence: float
    file: str
    line: int


def merges(pairs: Sequence[ConfusedPair]) -> tuple[MergeSuggestion, ...]:
    """Return the pairs that are confused both ways and often."""
    found = [
        MergeSuggestion(pair.first, pair.second, sum(pair.counts), sum(pair.rows), pair.rate)
        for pair in pairs
        if min(pair.counts) > 0 and sum(pair.counts) >= LEAST_CONFUSED and pair.rate >= MERGE_RATE
    ]
    return tuple(sorted(found, key=lambda merge: (-merge.rate, merge.first)))


def suspects(study: CrossValidation, places: Mapping[tuple[str, str], tuple[str, int]]) -> tuple[LabelIssue, ...]:
    """Return the pack's examples that confident learning doubts, the surest doubt first.

    A label is doubted where another class is as probable as it is, on average, for that class's own rows (Northcutt et
    al. 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels"), and at least SURE.
    """
    if not study.own.any():
        return ()
    probabilities = np.column_stack([study.probabilities, 1.0 - study.probabilities.sum(axis=1)])
    names = (*study.artefact.classes, ROOT)
    number = {name: at for at, name in enumerate(names)}
    truths = np.array([number[truth] for truth in study.truths])
    at_home = np.full(len(names), np.inf)
    for label in np.unique(truths).tolist():
        at_home[label] = probabilities[truths == label, label].mean()
    likely = np.where(probabilities >= np.maximum(at_home, SURE), probabilities, 0.0)
    guesses = likely.argmax(axis=1)
    doubted = study.own & (guesses != truths) & (likely[np.arange(len(truths)), guesses] > 0.0)
    found = []
    for row in np.flatnonzero(doubted).tolist():
        text, task, sure = study.texts[row], study.truths[row], float(probabilities[row, guesses[row]])
        file, line = places.get((task, text), ("", 0))
        found.append(LabelIssue(text, task, names[guesses[row]], round(sure, 4), file, line))
    found.sort(key=lambda suspect: (-suspect.confidence, suspect.task, suspect.text))
    return tuple(found[:MOST_SUSPECTS])


def example_places(pack: Pack) -> dict[tuple[str, str], tuple[str, int]]:
    """Return where each example stands, by its task and its text as a study has it."""
    found: dict[tuple[str, str], tuple[str, int]] = {}
    for path, task in pack.policy.tasks.items():
        for number, text in enumerate(task.examples, start=1):
            place = pack.places.get(f"{path}:example.{number}")
            if place is not None:
                found.setdefault((path, clip(text)), place)
    for number, text in enumerate(pack.policy.unrelated, start=1):
        place = pack.places.get(f"pack:unrelated.{number}")
        if place is not None:
            found.setdefault((ROOT, clip(text)), place)
    return found
