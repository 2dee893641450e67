"""What to do about a pack: tasks to merge, labels to look at again, and tasks to give more examples.

The last is read off the learning curve: what half of the examples would give, and so where ten more would pay most.
Each half of the examples (every second one of each task) is cross-validated like the whole. What is measured is the
*miss*: one minus the probability given to the right task, out of fold, which falls more smoothly than counted errors
do. Misses fall with the number of examples like a power of it (Hestness et al. 2017, "Deep Learning Scaling is
Predictable, Empirically"), so two sizes give the power: one for the pack, and for each task a blend of its own with the
pack's.

Measured on CLINC150 (Larson et al. 2019) by going from 10 to 20 examples of all 150 tasks: the probability given to the
right task on its test messages rose by .030 on average, and by .076 for the ten tasks named first here. The amounts are
too hopeful (.048 was expected on average): read the order, not the decimals.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from router.classify import CrossValidation, cross_validate
from router.classify.fit.fitting import SMALL_PACK
from router.classify.fit.training import Material
from router.classify.text import clip
from router.core.policy import ROOT
from router.evaluate.summary import ConfusedPair
from router.packs import Pack

MERGE_RATE = 0.15
"""From this share of rows taken for the other on, two tasks are one to whoever reads the words."""

LEAST_CONFUSED = 3
"""Fewer confused rows are an accident."""

SURE = 0.75
"""A label is only doubted where another task is three times as likely as all others together."""

MOST_SUSPECTS = 100


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


def merges(pairs: Sequence[ConfusedPair]) -> tuple[ConfusedPair, ...]:
    """Return the pairs that are confused both ways and often: one task with two variants may serve better."""
    found = (pair for pair in pairs if min(pair.counts) > 0 and sum(pair.counts) >= LEAST_CONFUSED)
    often = [pair for pair in found if pair.rate >= MERGE_RATE]
    return tuple(sorted(often, key=lambda pair: (-pair.rate, pair.first)))


def label_issues(study: CrossValidation, places: Mapping[tuple[str, str], tuple[str, int]]) -> tuple[LabelIssue, ...]:
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
    """Return where each example stands, by its task and its text as a cross-validation has it."""
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


MORE = 10
"""Examples that a task is imagined to gain."""

PACK_COUNTS_FOR = 20.0
"""Rows that the pack's power counts for beside a task's own: with 20 examples the two weigh the same."""

STEEPEST = 1.0
"""No miss falls faster than one over the number of examples."""

LEAST_EXAMPLES = 2
"""A task needs as many for each half to have one."""


@dataclass(frozen=True, slots=True)
class _TaskGain:
    """What ten more examples of a task may bring: the probability given to it on its own messages, now and then.

    `power` is how fast the task's misses fall.
    """

    task: str
    examples: int
    now: float
    then: float
    power: float

    @property
    def gain(self) -> float:
        """The difference."""
        return round(self.then - self.now, 4)

    def left(self, more: int) -> float:
        """Return which part of the task's misses so many more examples leave."""
        return float((self.examples / (self.examples + more)) ** self.power)


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """The pack's curve as (examples a task that a model saw, mean probability given to the right task), and the tasks.

    `power` is how fast misses fall: doubling the examples divides them by 2 ** power.
    """

    points: tuple[tuple[float, float], ...]
    power: float
    gains: tuple[_TaskGain, ...]


def growth(whole: CrossValidation, material: Material, progress: Callable[[float], None]) -> LearningCurve | None:
    """Cross-validate both halves and return the curve; None where no task has two examples that were judged."""
    if not whole.artefact.classes:
        return None
    halves = [
        cross_validate(_half(material, 0), progress=lambda done: progress(done / 2)),
        cross_validate(_half(material, 1), progress=lambda done: progress((1.0 + done) / 2)),
    ]
    counts = Counter(path for path, _ in material.examples)
    at_full, at_half = _misses([whole]), _misses(halves)
    tasks = [path for path in at_full if path in at_half and counts[path] >= LEAST_EXAMPLES]
    if not tasks:
        return None
    seen_full, seen_half = _seen(whole, material), _seen(halves[0], material) / 2
    steps = math.log(seen_full / seen_half)
    pack_full, pack_half = (fmean(misses[path] for path in tasks) for misses in (at_full, at_half))
    power = _power(pack_half, pack_full, steps)
    gains = []
    for path in tasks:
        count = counts[path]
        own = _power(at_half[path], at_full[path], steps)
        blend = (count * own + PACK_COUNTS_FOR * power) / (count + PACK_COUNTS_FOR)
        now = at_full[path] * seen_full**blend
        then = now * (count / (count + MORE)) ** blend
        gains.append(_TaskGain(path, count, round(1.0 - now, 4), round(1.0 - then, 4), round(blend, 4)))
    gains.sort(key=lambda gain: (-gain.gain, gain.task))
    average = fmean(counts[path] for path in tasks)
    points = ((seen_half * average, 1.0 - pack_half), (seen_full * average, 1.0 - pack_full))
    return LearningCurve(tuple((round(x, 2), round(y, 4)) for x, y in points), round(power, 4), tuple(gains))


def _half(material: Material, half: int) -> Material:
    """Return the material with every second example of each task and every second unrelated text."""
    kept = []
    seen: Counter[str] = Counter()
    for path, text in material.examples:
        if seen[path] % 2 == half:
            kept.append((path, text))
        seen[path] += 1
    return replace(material, examples=tuple(kept), unrelated=material.unrelated[half::2])


def _misses(studies: Iterable[CrossValidation]) -> dict[str, float]:
    """Return the mean of one minus the probability of the truth over the pack's rows in scope, by task."""
    found: dict[str, list[float]] = defaultdict(list)
    for one in studies:
        number = {path: at for at, path in enumerate(one.artefact.classes)}
        for row in np.flatnonzero(one.own).tolist():
            at = number.get(one.truths[row])
            if at is not None:
                found[one.truths[row]].append(1.0 - float(one.probabilities[row, at]))
    return {path: fmean(misses) for path, misses in found.items()}


def _seen(one: CrossValidation, material: Material) -> float:
    """Return the share of the examples that each out-of-fold model was fitted to."""
    rows = len(one.texts) + len(material.about)
    return 1.0 - 1.0 / (5 if rows <= SMALL_PACK else 3)


def _power(before: float, after: float, steps: float) -> float:
    """Return by which power misses fell; 0 where they did not."""
    if before <= 0.0 or after <= 0.0 or steps <= 0.0:
        return 0.0
    return min(STEEPEST, max(0.0, math.log(before / after) / steps))
