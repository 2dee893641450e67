"""Labelled turns, and what recognition made of them: the table that every measure reads.

It comes about in two ways with the same meaning: from the rows of a cross-validation (models that had not seen the
row), and turn by turn from the beliefs of the recogniser that serves (labelled data from elsewhere).

A guess is *right* when it is the truth. Where the truth is a task that the model cannot name, because it has no
examples of its own, a guess inside its subtree is right: the label says no more. A path is *on the lineage* of the
truth when the truth is it or lies below it: then its text applies.

Labelled data from elsewhere is put to the recogniser that serves, turn by turn along each conversation (`serve`). What
the numbers of a summary mean, for the turns that are labelled:

- `accuracy.task`: of the turns in scope (labelled with a task), the share whose most probable task is the truth. "None
  of these" is no candidate here: that is judged by `settled` and `oos_auroc`.
- `accuracy.domain`: of the same turns, the share whose heaviest first-level branch is the truth's.
- `settled.coverage`: of the turns in scope, the share where something was settled as deep as a task goes: on a leaf, or
  as deep as the truth lies. Right or wrong; how often it is wrong says the next.
- `settled.wrong`: of all turns, the share where a path was settled that does not lead to the truth, so that text was
  sent which does not apply. Whatever is settled for a turn out of scope is wrong. This is the rate that the
  certificates bound.
- `ece`: distance of probability and accuracy of the most probable task, over the turns in scope.
- `oos_auroc`: the chance that the tasks together weigh more for a turn in scope than for one out of scope.
- `latency_us`: one step of the recogniser: features, scores, filter, sentences.

A number that cannot be had (no turn out of scope, say) is None.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from router.classify import LinearRecogniser
from router.classify.belief import Tree
from router.classify.encoder import Doubles, Flags
from router.core.decide import settle
from router.core.policy import ROOT, Policy, Task, depth
from router.core.ports import RecogniserState
from router.evaluate import measures
from router.evaluate.labelled import Labelled, LabelledTurn, Truth


@dataclass(frozen=True, slots=True)
class _DepthSteps:
    """Where the heaviest way down the tree stands at one depth, for each turn; "" where it has ended higher up."""

    paths: tuple[str, ...]
    masses: Doubles


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Labelled turns. All fields but `walk` have one entry a turn; `walk[d - 1]` holds those of depth d.

    `guesses` are the most probable tasks with examples ("" for none at all), `confidences` their probabilities.
    `known` is the mass of all tasks together, `settled` are the paths that would be acted on, without `/`.
    """

    texts: tuple[str, ...]
    truths: tuple[Truth, ...]
    guesses: tuple[str, ...]
    confidences: Doubles
    right: Flags
    walk: tuple[_DepthSteps, ...]
    known: Doubles
    settled: tuple[tuple[str, ...], ...]

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
            walk=tuple(_DepthSteps(tuple(step.paths[i] for i in at), step.masses[rows]) for step in self.walk),
            known=self.known[rows],
            settled=tuple(self.settled[i] for i in at),
        )


def applies(path: str, truth: Truth) -> bool:
    """Say whether a path is on the lineage of one of the truths."""
    return bool(path) and any(path == true or true.startswith(path + "/") for true in truth)


def is_right(guess: str, truth: Truth, classes: Collection[str]) -> bool:
    """Say whether a guess is as right as the label can tell."""
    return any(guess == true or (true not in classes and guess.startswith(true + "/")) for true in truth)


def walk_down(tree: Tree, masses: Doubles) -> tuple[_DepthSteps, ...]:
    """Return the heaviest way down for each row of `masses`, whose columns are the nodes of the tree."""
    rows = len(masses)
    here = np.full(rows, -1)
    steps: list[_DepthSteps] = []
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
        steps.append(_DepthSteps(tuple(tree.nodes[at] if at >= 0 else "" for at in found.tolist()), reached))
        here = found


def most_probable(mass: Mapping[str, float], classes: Collection[str]) -> tuple[str, float]:
    """Return the most probable task with examples in a belief, and its probability; ("", 0.0) for one in nothing.

    What a node weighs beyond its children is its own. Tasks below the floor of a belief (1 %) count as nothing.
    """
    own = dict(mass)
    for path, weight in mass.items():
        above = path.rpartition("/")[0]
        if above:
            own[above] = own.get(above, 0.0) - weight
    known = [(weight, path) for path, weight in own.items() if path in classes and weight > 0.0]
    weight, path = max(known, key=lambda pair: (pair[0], pair[1]), default=(0.0, ""))
    return path, weight


def heaviest_way(mass: Mapping[str, float], tasks: Mapping[str, Task]) -> list[tuple[str, float]]:
    """Return the heaviest way down the tree in a belief as (path, mass), the domain first."""
    way: list[tuple[str, float]] = []
    here = ROOT
    while children := [path for path in tasks[here].children if path in mass]:
        here = max(children, key=mass.__getitem__)
        way.append((here, mass[here]))
    return way


def collect_steps(ways: Sequence[Sequence[tuple[str, float]]], deepest: int) -> tuple[_DepthSteps, ...]:
    """Return the steps of single ways down, depth by depth."""
    nothing = ("", 0.0)
    steps = []
    for level in range(deepest):
        found = [way[level] if len(way) > level else nothing for way in ways]
        steps.append(_DepthSteps(tuple(path for path, _ in found), np.array([mass for _, mass in found], np.float64)))
    return tuple(steps)


def deepest_of(paths: Collection[str]) -> int:
    """Return the depth of the deepest path."""
    return max(map(depth, paths), default=0)


TELL_EVERY = 500
"""Turns between two words about progress."""


def serve(
    labelled: Labelled, policy: Policy, recogniser: LinearRecogniser, progress: Callable[[float], None]
) -> tuple[Outcomes, measures.Latency]:
    """Put every conversation to the recogniser; return what came of each labelled turn, and the time of a step."""
    total = sum(len(turns) for turns in labelled.conversations)
    classes = frozenset(recogniser.artefact.classes)
    kept: list[LabelledTurn] = []
    guesses: list[tuple[str, float]] = []
    walks: list[list[tuple[str, float]]] = []
    settled: list[tuple[str, ...]] = []
    known: list[float] = []
    times: list[int] = []
    for turns in labelled.conversations:
        state: RecogniserState | None = None
        for turn in turns:
            started = time.perf_counter_ns()
            state, belief = recogniser.step(state, turn.text, turn.reply_before)
            times.append(time.perf_counter_ns() - started)
            if len(times) % TELL_EVERY == 0:
                progress(len(times) / total)
            if turn.truth is None:
                continue
            found = settle(policy.tasks, belief, recogniser.thresholds, policy.settings.max_tasks)
            kept.append(turn)
            guesses.append(most_probable(belief.mass, classes))
            walks.append(heaviest_way(belief.mass, policy.tasks))
            known.append(sum(mass for path, mass in belief.mass.items() if depth(path) == 1))
            settled.append(tuple(one.path for one in found if one.path != ROOT))
    truths = tuple(turn.truth or () for turn in kept)
    outcomes = Outcomes(
        texts=tuple(turn.text for turn in kept),
        truths=truths,
        guesses=tuple(path for path, _ in guesses),
        confidences=np.array([sure for _, sure in guesses], np.float64),
        right=np.array(
            [is_right(path, truth, classes) for (path, _), truth in zip(guesses, truths, strict=True)], np.bool_
        ),
        walk=collect_steps(walks, deepest_of(policy.tasks)),
        known=np.array(known, np.float64),
        settled=tuple(settled),
    )
    return outcomes, measures.latency(times)
