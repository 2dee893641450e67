"""The rows a model is fitted to, beside the examples themselves.

- What each task says it is `about`: one more row, never held out, so it counts as words of the task and not as proof.
- Texts that no task answers ("none of these"): the pack's own, filled up with shipped ones.
- Turns that only go on with what was said: shipped ones.

A shipped text that resembles an example of the pack is left out: a pack may have a task for exactly that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from router.classify.encoder import Doubles, Encoder, Features, Integers, Rows
from router.classify.material import Material
from router.classify.text import clip, tokens
from router.core.policy import ROOT

NONE, GOES_ON = ROOT, "…"
"""The two classes that are not tasks. They stand last."""

ABOUT_WEIGHT = 2.0
"""Of the row of `about`, in examples. Out of fold on the shipped pack: 78.2 % of the rows right without, 80.7 with."""

NONE_WEIGHT, GOES_ON_WEIGHT = 0.25, 0.17
LEAST_WEIGHT = 0.5
"""How much all rows of such a class count for together, in average tasks: so much times the square root of the number
of tasks. Draws from CLINC150, foreign messages that settled and messages that settled on their own task: 6 tasks of 8
examples 4 % and 82 % (with a weight of three tasks 0 % and 66 %, with a third of one 31 % and 87 %). At 150 tasks of 10
examples a weight of three is right: accuracy in scope 83 %, and five points less with every row at its full weight."""

NEAR_NONE, NEAR_GOES_ON = 0.4, 0.6
"""A shipped text that is more alike than this (cosine) to any example is left out."""

ENOUGH_NONE = 30
"""With so many unrelated texts of its own a pack needs none of the shipped ones."""

LEAST_SHIPPED = 10
"""So many shipped texts stay in any case, the least alike first."""


@dataclass(frozen=True)
class TrainingSet:
    """Texts with their class numbers and weights. `held` says which rows may be held out to judge a model by.

    `classes` are the tasks with examples, in pre-order; the numbers of NONE and GOES_ON follow. `groups` gives a number
    for the top-level branch of each class.
    """

    classes: tuple[str, ...]
    groups: Integers
    texts: tuple[str, ...]
    labels: Integers
    weights: Doubles
    held: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def truths(self) -> tuple[str, ...]:
        """The path each row belongs to; `/` for both classes that are not tasks."""
        names = (*self.classes, ROOT, ROOT)
        return tuple(names[label] for label in self.labels.tolist())


def training_set(material: Material, encoder: Encoder) -> TrainingSet | None:
    """Return the rows to fit to; None when there is no usable example at all."""
    examples = [(path, clip(text)) for path, text in material.examples if tokens(clip(text))]
    classes = tuple(dict.fromkeys(path for path, _ in examples))
    if not classes:
        return None
    texts = [text for _, text in examples]
    features = encoder.learn(texts)
    known = features.rows(texts)
    none = [clip(text) for text in material.unrelated if tokens(clip(text))]
    if len(none) < ENOUGH_NONE:
        none += _unlike(shipped("unrelated"), features, known, NEAR_NONE)
    goes_on = _unlike(shipped("follow_ups"), features, known, NEAR_GOES_ON)
    about = [(path, text) for path, text in material.about if path in classes and tokens(text)]
    rows = examples + [(NONE, text) for text in none] + [(GOES_ON, text) for text in goes_on] + about
    average = len(examples) / len(classes)
    weights = (
        [1.0] * len(examples)
        + [_share(NONE_WEIGHT, len(classes)) * average / len(none)] * len(none)
        + [_share(GOES_ON_WEIGHT, len(classes)) * average / len(goes_on)] * len(goes_on)
        + [ABOUT_WEIGHT] * len(about)
    )
    number = {name: at for at, name in enumerate((*classes, NONE, GOES_ON))}
    branches = [path.split("/")[1] for path in classes] + [NONE, GOES_ON]
    branch_number = {branch: at for at, branch in enumerate(dict.fromkeys(branches))}
    return TrainingSet(
        classes=classes,
        groups=np.array([branch_number[branch] for branch in branches], np.int64),
        texts=tuple(text for _, text in rows),
        labels=np.array([number[name] for name, _ in rows], np.int64),
        weights=np.array(weights),
        held=np.arange(len(rows)) < len(rows) - len(about),
    )


def shipped(name: str) -> list[str]:
    """Return the lines of a text file that ships with this package."""
    text = resources.files("router.classify").joinpath(f"{name}.txt").read_text("utf-8")
    return [line for line in text.splitlines() if line]


def _share(weight: float, tasks: int) -> float:
    return max(LEAST_WEIGHT, weight * math.sqrt(tasks))


def _unlike(texts: Sequence[str], features: Features, rows: Rows, near: float) -> list[str]:
    likeness = _cosines(features.rows(texts), rows).max(axis=1)
    order = np.argsort(likeness, kind="stable")
    kept = set(order[: max(LEAST_SHIPPED, int((likeness < near).sum()))].tolist())
    return [text for at, text in enumerate(texts) if at in kept]


def _cosines(few: Rows, many: Rows) -> Doubles:
    """Return the cosine of each of a few rows to each of many."""
    dense = np.zeros((few.width, len(few)))
    np.add.at(dense, (few.columns, np.repeat(np.arange(len(few)), np.diff(few.starts))), few.values)
    dense /= np.maximum(np.linalg.norm(dense, axis=0), 1e-12)
    cosines = np.zeros((len(few), len(many)))
    for at in range(len(many)):
        part = slice(many.starts[at], many.starts[at + 1])
        values = many.values[part]
        cosines[:, at] = values @ dense[many.columns[part]] / max(float(np.linalg.norm(values)), 1e-12)
    return cosines
