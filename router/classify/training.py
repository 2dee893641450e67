"""The rows a model is fitted to, beside the examples themselves.

- What each task says it is `about`: one more row, never held out, so it counts as words of the task and not as proof.
- Texts that no task answers ("none of these"): the pack's own, filled up with shipped ones.
- Turns that only go on with what was said: shipped ones.
- The users' turns of labelled dialogues, but for courtesies: what people say in mid-conversation, with its task.

A shipped text that resembles an example of the pack is left out: a pack may have a task for exactly that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import NamedTuple

import numpy as np

from router.classify.calibration import Flags
from router.classify.cleaning import heard
from router.classify.courtesy import courtesy
from router.classify.encoder import Doubles, Integers
from router.classify.material import Material
from router.classify.neighbours import Neighbours
from router.classify.text import last_question, tokens
from router.core.policy import ROOT, Dialogue

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

ENOUGH_NONE = 30
"""With so many unrelated texts of its own a pack needs none of the shipped ones."""


class Said(NamedTuple):
    """A user's turn of a labelled dialogue: its row, the assistant's question before it, and the task it is at.

    `row` is -1 where the turn has none: a courtesy, or a text without words.
    """

    row: int
    question: str
    task: str


@dataclass(frozen=True)
class TrainingSet:
    """Texts with their class numbers and weights.

    `classes` are the tasks with examples, in pre-order; the numbers of NONE and GOES_ON follow. `groups` gives a number
    for the top-level branch of each class.

    Of each row, `held` says whether it may be held out to judge a model by, `own` whether the pack itself holds it (the
    others are shipped), `opening` whether it asks for something by itself (turns in mid-dialogue need not), and `talk`
    which of the `dialogues` it is from, -1 for none.
    """

    classes: tuple[str, ...]
    groups: Integers
    texts: tuple[str, ...]
    labels: Integers
    weights: Doubles
    held: Flags
    own: Flags
    opening: Flags
    talk: Integers
    dialogues: tuple[tuple[Said, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.texts)

    def texts_at(self, rows: Integers) -> list[str]:
        """Return the texts of some rows."""
        return [self.texts[at] for at in rows.tolist()]

    def part(self, rows: Integers, tasks: Integers) -> TrainingSet:
        """Return some rows, with some of the tasks as the only ones; the rows are of these or of no task."""
        kept = [*tasks.tolist(), len(self.classes), len(self.classes) + 1]
        number = np.zeros(len(self.groups), np.int64)
        number[kept] = np.arange(len(kept))
        return TrainingSet(
            classes=tuple(self.classes[at] for at in tasks.tolist()),
            groups=np.unique(self.groups[kept], return_inverse=True)[1],
            texts=tuple(self.texts_at(rows)),
            labels=number[self.labels[rows]],
            weights=self.weights[rows],
            held=self.held[rows],
            own=self.own[rows],
            opening=self.opening[rows],
            talk=self.talk[rows],
        )

    @property
    def truths(self) -> tuple[str, ...]:
        """The path each row belongs to; `/` for both classes that are not tasks."""
        names = (*self.classes, ROOT, ROOT)
        return tuple(names[label] for label in self.labels.tolist())


class _Row(NamedTuple):
    """A row by the name of its class; fields as in `TrainingSet`."""

    name: str
    text: str
    weight: float
    held: bool = True
    own: bool = True
    opening: bool = True
    talk: int = -1


def training_set(material: Material) -> TrainingSet | None:
    """Return the rows to fit to; None when there is no usable example at all."""
    examples = [(path, text) for path, raw in material.examples if tokens(text := heard(raw))]
    turns, dialogues = _turns(material.dialogues, len(examples))
    asked = [(row.name, row.text) for row in turns if row.name != ROOT]
    known = dict(examples + asked)
    classes = tuple(path for path in material.paths if path in known)
    if not classes:
        return None
    none = [text for raw in material.unrelated if tokens(text := heard(raw))]
    own = len(none)
    neighbours = Neighbours(material.encoder, [text for _, text in examples + asked])
    if len(none) < ENOUGH_NONE:
        none += neighbours.unlike(shipped("unrelated"))
    goes_on = neighbours.unlike(shipped("follow_ups"))
    average = (len(examples) + len(asked)) / len(classes)
    weight_none = _share(NONE_WEIGHT, len(classes)) * average / len(none)
    weight_goes_on = _share(GOES_ON_WEIGHT, len(classes)) * average / len(goes_on)
    rows = [_Row(path, text, 1.0) for path, text in examples]
    rows += turns
    rows += [_Row(NONE, text, weight_none, own=at < own) for at, text in enumerate(none)]
    rows += [_Row(GOES_ON, text, weight_goes_on, own=False) for text in goes_on]
    rows += [
        _Row(path, text, ABOUT_WEIGHT, held=False, own=False)
        for path, text in material.about
        if path in classes and tokens(text)
    ]
    number = {name: at for at, name in enumerate((*classes, NONE, GOES_ON))}
    branches = [path.split("/")[1] for path in classes] + [NONE, GOES_ON]
    return TrainingSet(
        classes=classes,
        groups=np.array([list(dict.fromkeys(branches)).index(branch) for branch in branches], np.int64),
        texts=tuple(row.text for row in rows),
        labels=np.array([number[row.name] for row in rows], np.int64),
        weights=np.array([row.weight for row in rows]),
        held=np.array([row.held for row in rows]),
        own=np.array([row.own for row in rows]),
        opening=np.array([row.opening for row in rows]),
        talk=np.array([row.talk for row in rows], np.int64),
        dialogues=dialogues,
    )


def _turns(dialogues: Sequence[Dialogue], first: int) -> tuple[list[_Row], tuple[tuple[Said, ...], ...]]:
    """Return the users' turns as rows, the first of which will be row `first`, and the dialogues that refer to them."""
    rows: list[_Row] = []
    found: list[tuple[Said, ...]] = []
    for talk, dialogue in enumerate(dialogues):
        said: list[Said] = []
        question, before = "", None
        for turn in dialogue.turns:
            if turn.role == "assistant":
                question = last_question(turn.text)
                continue
            text = heard(turn.text)
            row = -1
            if tokens(text) and not courtesy(text):
                row = first + len(rows)
                rows.append(_Row(turn.task, text, 1.0, opening=turn.task != before, talk=talk))
            said.append(Said(row, question, turn.task))
            question, before = "", turn.task
        found.append(tuple(said))
    return rows, tuple(found)


def shipped(name: str) -> list[str]:
    """Return the lines of a text file that ships with this package."""
    text = resources.files("router.classify").joinpath(f"{name}.txt").read_text("utf-8")
    return [line for line in text.splitlines() if line]


def _share(weight: float, tasks: int) -> float:
    return max(LEAST_WEIGHT, weight * math.sqrt(tasks))
