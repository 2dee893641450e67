"""Labelled data from elsewhere, put to the recogniser that serves: turn by turn, along each conversation.

What its numbers mean, for the turns that are labelled:

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
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from router.classify import LinearRecogniser
from router.core.policy import ROOT, Policy, depth
from router.core.ports import State
from router.core.settle import settle
from router.evaluate import measures
from router.evaluate.labelled import Labelled, LabelledTurn
from router.evaluate.outcomes import Outcomes, Ways, collect_steps, deepest_of, is_right

TELL_EVERY = 500
"""Turns between two words about progress."""


@dataclass(frozen=True, slots=True)
class ServedTurns:
    """Labelled turns as they were served, the time each step took, and the labels that were skipped."""

    name: str
    outcomes: Outcomes
    latency: measures.Latency
    unknown: Counter[str]

    @property
    def title(self) -> str:
        """What people see of the name: the file without its folders."""
        return Path(self.name).name


def serve(
    labelled: Labelled, policy: Policy, recogniser: LinearRecogniser, progress: Callable[[float], None]
) -> ServedTurns:
    """Put every conversation to the recogniser, and keep what came of each labelled turn."""
    total = sum(len(turns) for turns in labelled.conversations)
    ways = Ways(policy.tasks, recogniser.artefact.classes)
    kept: list[LabelledTurn] = []
    guesses: list[tuple[str, float]] = []
    walks: list[list[tuple[str, float]]] = []
    settled: list[tuple[str, ...]] = []
    known: list[float] = []
    times: list[int] = []
    for turns in labelled.conversations:
        state: State | None = None
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
            guesses.append(ways.guess(belief.mass))
            walks.append(ways.down(belief.mass))
            known.append(sum(mass for path, mass in belief.mass.items() if depth(path) == 1))
            settled.append(tuple(one.path for one in found if one.path != ROOT))
    classes = frozenset(recogniser.artefact.classes)
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
        weights=np.ones(len(kept)),
    )
    return ServedTurns(labelled.name, outcomes, measures.latency(times), labelled.unknown)
