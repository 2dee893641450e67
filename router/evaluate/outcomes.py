"""Labelled turns, and what recognition made of them: the rows that every measure reads.

They come about in two ways with the same meaning: from the rows of a cross-validation (models that had not seen the
row), and turn by turn from the beliefs of the recogniser that serves (labelled data from elsewhere).

A guess is *right* when it is the truth. Where the truth is a task that the model cannot name, because it has no
examples of its own, a guess inside its subtree is right: the label says no more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from router.classify import LinearRecogniser
from router.core.decide import Tree, likeliest
from router.core.evidence import Belief
from router.core.policy import ROOT
from router.core.ports import RecogniserState
from router.evaluate import measures
from router.evaluate.labelled import Labelled, Truth


class Judged(NamedTuple):
    """A labelled turn: what was believed of it, the most probable task with examples ("" for none), and its mass.

    `right` says whether that task is the truth. `language` is that of the text where its file says so, else "".
    """

    text: str
    truth: Truth
    belief: Belief
    guess: str
    confidence: float
    right: bool
    language: str = ""


def judged(rows: Iterable[tuple[str, Truth, Belief]], tree: Tree, classes: Collection[str]) -> list[Judged]:
    """Return labelled turns with their guesses. `classes` are the tasks that the model can name."""
    found = []
    for text, truth, belief in rows:
        guess, mass = next(iter(likeliest(tree, belief)), ("", 0.0))
        if not mass:
            guess = ""
        found.append(Judged(text, truth, belief, guess, mass, is_right(guess, truth, classes)))
    return found


def applies(path: str, truth: Truth) -> bool:
    """Say whether the text of a path applies: it is one of the truths, or lies above one."""
    return bool(path) and any(path == true or true.startswith(path + "/") for true in truth)


def is_right(guess: str, truth: Truth, classes: Collection[str]) -> bool:
    """Say whether a guess is as right as the label can tell."""
    return any(guess == true or (true not in classes and guess.startswith(true + "/")) for true in truth)


def heaviest_domain(belief: Belief, tree: Tree) -> str:
    """Return the heaviest first-level branch; "" for a belief in none."""
    return max((path for path in tree[ROOT].children if path in belief.mass), key=belief.mass.__getitem__, default="")


def known_mass(belief: Belief, tree: Tree) -> float:
    """Return the mass of all tasks together."""
    return belief.known if belief.likeliest else sum(belief.mass.get(path, 0.0) for path in tree[ROOT].children)


TELL_EVERY = 500
"""Turns between two words about progress."""


def serve(
    labelled: Labelled, tree: Tree, recogniser: LinearRecogniser, progress: Callable[[float], None]
) -> tuple[list[Judged], measures.Latency]:
    """Put every conversation to the recogniser, turn by turn.

    Return what came of each turn that is labelled, and the processor time of a step.
    """
    total = sum(len(turns) for turns in labelled.conversations)
    found: list[tuple[str, Truth, Belief]] = []
    times: list[int] = []
    for turns in labelled.conversations:
        state: RecogniserState | None = None
        for turn in turns:
            started = time.process_time_ns()
            state, belief = recogniser.step(state, turn.text, turn.reply_before)
            times.append(time.process_time_ns() - started)
            if len(times) % TELL_EVERY == 0:
                progress(len(times) / total)
            if turn.truth is not None:
                found.append((turn.text, turn.truth, belief))
    return judged(found, tree, frozenset(recogniser.artefact.classes)), measures.latency(times)
