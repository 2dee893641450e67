"""Judging by rows that a model had not seen: which of them, with what beside them, as a decision would see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from router.classify.belief import Tree, opened, spoken
from router.classify.encoder import Doubles, Flags, Integers
from router.classify.fit import everyday
from router.classify.fit.calibration import OutOfFoldProbabilities, OutOfFoldScores
from router.classify.fit.training import Material, TrainingSet
from router.classify.fit.turning import HeldOutRows
from router.classify.shipped import MAIN
from router.classify.text import sentences
from router.core.policy import ROOT

OURS_AFTER_ALL = 0.5
"""A shipped text that no task is supposed to answer, and that out of fold is given to one task, or one branch of the
tree, with more than this, is what this pack is for ("tell me a joke")."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What is judged beside the rows: sentences, by row, then rows as they read within a story.

    `everyday` are the sentences that the attention of out-of-fold models is learned against, words of courtesy among
    them, `told` those that stories are told with; without attention there are none of them.
    """

    sentences: list[tuple[int, str]]
    stories: Mapping[int, str]
    everyday: Sequence[str]
    told: Sequence[str]

    @classmethod
    def of(cls, rows: TrainingSet, material: Material, language: str = MAIN, attends: bool = True) -> Beside:
        """Return what stands beside the rows of a language; `attends` says whether its models have attention."""
        names = rows.truths
        polite = [text for text, name in zip(rows.texts, names, strict=True) if name in material.courtesy]
        attends = attends and sum(name != ROOT for name in names) - len(polite) >= everyday.LEAST_TEXTS
        learned, told = everyday.halves(language) if attends else ([], [])
        learned += polite if attends else []
        stories = everyday.stories(rows, told) if attends else {}
        held = [(at, stories.get(at, text)) for at, text in enumerate(rows.texts) if rows.held[at]]
        return cls([(at, part) for at, text in held for part in sentences(text)], stories, learned, told)

    @property
    def texts(self) -> list[tuple[int, str]]:
        """All of them, each with its row."""
        return [*self.sentences, *self.stories.items()]


class JudgedRows(NamedTuple):
    """The rows of one language that can be judged by; fields as in `CrossValidation`."""

    texts: list[str]
    truths: tuple[str, ...]
    probabilities: Doubles
    weights: Doubles
    own: Flags
    certified: Flags
    held_out: HeldOutRows


def judge(
    tree: Tree,
    rows: TrainingSet,
    unseen: OutOfFoldScores,
    beside: Beside,
    turns: OutOfFoldProbabilities,
    shipped: bool = True,
) -> JudgedRows:
    """Return the judged rows; those that certify with their sentences, or within a story, as a decision sees them.

    `shipped` says whether shipped texts that no task answers may be among these.
    """
    judged, names = np.flatnonzero(unseen.judged & rows.opening), rows.truths
    columns = [tree.classes.index(path) for path in rows.classes]

    def all_classes(openings: Doubles) -> Doubles:
        found = np.zeros((len(openings), len(tree.classes)))
        found[:, columns] = openings
        return found

    probabilities = all_classes(turns.openings)
    certified = _certifying(tree, rows, judged, probabilities, shipped)
    certifying = judged[certified]
    asking = zip(beside.sentences, turns.parts, unseen.asking, strict=False)
    beliefs, part_rows = _part_beliefs(
        certifying, [(row, turn) for (row, _), turn, asks in asking if asks], len(columns)
    )
    within = turns.parts[len(beside.sentences) : len(beside.texts)]
    told = probabilities.copy()
    told[list(beside.stories)] = all_classes(opened(within))
    truths = tuple(names[at] for at in certifying.tolist())
    return JudgedRows(
        texts=rows.texts_at(judged),
        truths=tuple(names[at] for at in judged.tolist()),
        probabilities=probabilities[judged],
        weights=rows.weights[judged],
        own=rows.own[judged],
        certified=certified,
        held_out=HeldOutRows(
            told[certifying], truths, all_classes(beliefs), part_rows, ours=bool(rows.own[certifying].all())
        ),
    )


def _part_beliefs(judged: Integers, said: Sequence[tuple[int, Doubles]], width: int) -> tuple[Doubles, Integers]:
    """Return the beliefs after the sentences of the judged rows over `width` classes, and of which row each is."""
    of_row: dict[int, list[Doubles]] = {}
    for row, turn in said:
        of_row.setdefault(row, []).append(turn)
    beliefs: list[Doubles] = []
    part_rows: list[int] = []
    for place, row in enumerate(judged.tolist()):
        if row in of_row:
            found = spoken(np.array(of_row[row]))
            beliefs.extend(found)
            part_rows += [place] * len(found)
    return np.array(beliefs).reshape(len(beliefs), width), np.array(part_rows, np.int64)


def _certifying(tree: Tree, rows: TrainingSet, judged: Integers, openings: Doubles, shipped: bool) -> Flags:
    """Return which of the judged rows to certify thresholds on: the pack's own, as far as customers wrote them.

    Of the shipped texts that no task answers those count that do not look like one of this pack's. Shipped turns that
    only go on are not among them: what "yes, please" asks for at an opening, nobody can say.
    """
    from_here = ~rows.own[judged] & (rows.labels[judged] == len(rows.classes))
    heaviest = tree.all_masses(openings[judged]).max(axis=1)
    foreign = from_here & (heaviest <= OURS_AFTER_ALL) & shipped
    certifying: Flags = (rows.own[judged] & ~rows.generated[judged]) | foreign
    return certifying
