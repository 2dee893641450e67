"""Labelled turns, and what recognition made of them: the table that every measure reads.

It comes about in two ways with the same meaning: from the rows of a study (models that had not seen the row), and turn
by turn from the beliefs of the recogniser that serves (labelled data from elsewhere).

A guess is *right* when it is the truth. Where the truth is a task that the model cannot name, because it has no
examples of its own, a guess inside its subtree is right: the label says no more. A path is *on the lineage* of the
truth when the truth is it or lies below it: then its text applies.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from router.classify.belief import Tree
from router.core.policy import ROOT, Task, depth

Doubles: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]
Truth: TypeAlias = tuple[str, ...]
"""The paths that a turn is about; none for a turn that no task answers."""


@dataclass(frozen=True, slots=True)
class DepthSteps:
    """Where the heaviest way down the tree stands at one depth, for each turn; "" where it has ended higher up."""

    paths: tuple[str, ...]
    masses: Doubles


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Labelled turns. All fields but `walk` have one entry a turn; `walk[d - 1]` holds those of depth d.

    `guesses` are the most probable tasks with examples ("" for none at all), `confidences` their probabilities.
    `known` is the mass of all tasks together, `settled` are the paths that would be acted on, without `/`. `weights`
    say what a turn counts for.
    """

    texts: tuple[str, ...]
    truths: tuple[Truth, ...]
    guesses: tuple[str, ...]
    confidences: Doubles
    right: Flags
    walk: tuple[DepthSteps, ...]
    known: Doubles
    settled: tuple[tuple[str, ...], ...]
    weights: Doubles

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def in_scope(self) -> Flags:
        """Which turns some task answers."""
        return np.array([bool(truth) for truth in self.truths], np.bool_)

    def reaching(self, level: int) -> Flags:
        """Return which turns have a truth at least so deep."""
        return np.array([any(depth(path) >= level for path in truth) for truth in self.truths], np.bool_)

    def on_lineage(self, level: int) -> Flags:
        """Return for which turns the heaviest way down is on the lineage of the truth at a depth."""
        paths = self.walk[level - 1].paths
        return np.array([applies(path, truth) for path, truth in zip(paths, self.truths, strict=True)], np.bool_)

    def chosen(self, rows: Flags) -> Outcomes:
        """Return some of the turns."""
        at = np.flatnonzero(rows).tolist()
        return Outcomes(
            texts=tuple(self.texts[i] for i in at),
            truths=tuple(self.truths[i] for i in at),
            guesses=tuple(self.guesses[i] for i in at),
            confidences=self.confidences[rows],
            right=self.right[rows],
            walk=tuple(DepthSteps(tuple(step.paths[i] for i in at), step.masses[rows]) for step in self.walk),
            known=self.known[rows],
            settled=tuple(self.settled[i] for i in at),
            weights=self.weights[rows],
        )


def applies(path: str, truth: Truth) -> bool:
    """Say whether a path is on the lineage of one of the truths."""
    return bool(path) and any(path == true or true.startswith(path + "/") for true in truth)


def is_right(guess: str, truth: Truth, classes: Collection[str]) -> bool:
    """Say whether a guess is as right as the label can tell."""
    return any(guess == true or (true not in classes and guess.startswith(true + "/")) for true in truth)


def walk_down(tree: Tree, masses: Doubles) -> tuple[DepthSteps, ...]:
    """Return the heaviest way down for each row of `masses`, whose columns are the nodes of the tree."""
    rows = len(masses)
    here = np.full(rows, -1)
    steps: list[DepthSteps] = []
    while True:
        found = np.full(rows, -1)
        for place in np.unique(here).tolist():
            if steps and place < 0:
                continue
            below = tree.children.get(tree.nodes[place] if steps else ROOT)
            if below:
                inside = np.flatnonzero(here == place)
                found[inside] = np.array(below)[masses[inside][:, below].argmax(axis=1)]
        if not (found >= 0).any():
            return tuple(steps)
        reached = np.where(found >= 0, np.take_along_axis(masses, np.maximum(found, 0)[:, None], 1)[:, 0], 0.0)
        steps.append(DepthSteps(tuple(tree.nodes[at] if at >= 0 else "" for at in found.tolist()), reached))
        here = found


class Ways:
    """Reads single beliefs: the most probable task with examples, and the heaviest way down."""

    def __init__(self, tasks: Mapping[str, Task], classes: Sequence[str]) -> None:
        self._children = {path: task.children for path, task in tasks.items()}
        self._classes = frozenset(classes)

    def guess(self, mass: Mapping[str, float]) -> tuple[str, float]:
        """Return the most probable task with examples, and its probability; ("", 0.0) for a belief in nothing.

        What a node weighs beyond its children is its own. Tasks below the floor of a belief (1 %) count as nothing.
        """
        own = dict(mass)
        for path, weight in mass.items():
            above = path.rpartition("/")[0]
            if above:
                own[above] = own.get(above, 0.0) - weight
        known = [(weight, path) for path, weight in own.items() if path in self._classes and weight > 0.0]
        weight, path = max(known, key=lambda pair: (pair[0], pair[1]), default=(0.0, ""))
        return path, weight

    def down(self, mass: Mapping[str, float]) -> list[tuple[str, float]]:
        """Return the heaviest way down as (path, mass), the domain first."""
        way: list[tuple[str, float]] = []
        here = ROOT
        while children := [path for path in self._children[here] if path in mass]:
            here = max(children, key=mass.__getitem__)
            way.append((here, mass[here]))
        return way


def collect_steps(ways: Sequence[Sequence[tuple[str, float]]], deepest: int) -> tuple[DepthSteps, ...]:
    """Return the steps of single ways down, depth by depth."""
    nothing = ("", 0.0)
    steps = []
    for level in range(deepest):
        found = [way[level] if len(way) > level else nothing for way in ways]
        steps.append(DepthSteps(tuple(path for path, _ in found), np.array([mass for _, mass in found], np.float64)))
    return tuple(steps)


def deepest_of(paths: Collection[str]) -> int:
    """Return the depth of the deepest path."""
    return max(map(depth, paths), default=0)
