"""The whole evaluation of a pack: its cross-validation, what it suggests, and labelled data from elsewhere.

    cross-validation -> outcomes -> summary   how models fare on the pack's rows that they had not seen
    halves -> learning curve                    where more examples would pay
    recogniser -> steps                   latency; labelled data put to what serves

A task has examples; a *row* is one of them, or a text that no task answers (the pack's own, or shipped).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import compress, islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from router.classify import CrossValidation, LinearRecogniser, cross_validate
from router.classify.belief import Tree
from router.classify.fit.training import Material
from router.core.decide import settle
from router.core.evidence import Belief, Certificate
from router.core.policy import ROOT, Policy
from router.evaluate import measures, suggestions
from router.evaluate.labelled import Labelled
from router.evaluate.outcomes import Outcomes, is_right, serve, walk_down
from router.evaluate.suggestions import LearningCurve, growth
from router.evaluate.summary import ConfusedPair, Summary, summarise, texts_by_task
from router.packs import Pack

Progress: TypeAlias = Callable[[float], None]

PATIENCE_S = 10.0
"""A pack whose fit takes more processor time is not fitted twice more for its learning curve."""

TIMED_STEPS = 1_000
"""Texts of the pack whose steps are timed, and as many passes as that needs with fewer texts."""

STUDY_SHARE, GROWTH_SHARE = 0.45, 0.45
"""Of the bar of progress: the whole, its halves; the rest is for labelled data."""

ASSUMPTION = (
    "All this assumes that traffic is like the examples of the pack. The certificates bound how often wrong text is "
    "sent for messages drawn as the examples were; they say nothing about messages of another kind."
)


OWN = "held-out examples"
"""What the pack's own rows are called."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured on some labelled turns: their name, every figure, the time of a step, labels skipped."""

    name: str
    summary: Summary
    latency: measures.Latency
    unknown: Counter[str] = field(default_factory=Counter)

    @property
    def title(self) -> str:
        """What people see of the name: the file without its folders."""
        return Path(self.name).name

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-ready data, without the name."""
        return {**self.summary.as_json(), "latency_us": asdict(self.latency)}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that was found out about a pack, by its own rows (`own`) and by labelled data (`served`).

    `notes` say in words what was left out, and why.
    """

    policy: str
    revision: str
    examples: int
    unrelated: int
    shipped: int
    encoder: str
    blocks: tuple[str, ...]
    certificates: tuple[Certificate, ...]
    own: Measured
    served: Measured | None
    merges: tuple[ConfusedPair, ...]
    label_issues: tuple[suggestions.LabelIssue, ...]
    growth: LearningCurve | None
    fit_s: float
    notes: tuple[str, ...]

    @property
    def sources(self) -> tuple[Measured, ...]:
        """What was measured on: the pack's own rows, and labelled data where it was given."""
        return (self.own,) if self.served is None else (self.own, self.served)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-ready data; `against` is there when labelled data was given."""
        found: dict[str, Any] = {
            "policy": self.policy,
            "revision": self.revision,
            "rows": {"examples": self.examples, "unrelated": self.unrelated, "shipped": self.shipped},
            "encoder": self.encoder,
            "blocks": list(self.blocks),
            "fit_s": self.fit_s,
            "certificates": [asdict(one) for one in self.certificates],
            "assumes": ASSUMPTION,
            **self.own.as_json(),
            "suggestions": {
                "merge": [
                    {
                        "first": pair.first,
                        "second": pair.second,
                        "confused": sum(pair.counts),
                        "rows": sum(pair.rows),
                        "rate": pair.rate,
                    }
                    for pair in self.merges
                ],
                "mislabelled": [asdict(one) for one in self.label_issues],
                "more_examples": [asdict(one) | {"gain": one.gain} for one in self.growth.gains]
                if self.growth
                else None,
            },
            "learning_curve": {"points": self.growth.points, "power": self.growth.power} if self.growth else None,
            "notes": list(self.notes),
        }
        if self.served is not None:
            unknown = self.served.unknown
            skipped = {"turns": sum(unknown.values()), "tasks": dict(unknown)}
            found["against"] = {"file": self.served.name, **self.served.as_json(), "skipped": skipped}
        return found


def evaluate(pack: Pack, labelled: Labelled | None = None, *, quick: bool = False, progress: Progress) -> Evaluation:
    """Evaluate a pack, and labelled data against it. Imports scikit-learn; takes two to three times as long as a fit.

    `quick` leaves the learning curve out. `progress` is told the share that is done.
    """
    policy = pack.policy
    material = Material.of(policy)
    started, worked = time.perf_counter(), time.process_time()
    found = cross_validate(material, progress=lambda done: progress(STUDY_SHARE * done))
    took, worked = time.perf_counter() - started, time.process_time() - worked
    notes = _notes(found, material, quick, worked)
    curve = None
    if not quick and worked <= PATIENCE_S:
        curve = growth(found, material, lambda done: progress(STUDY_SHARE + GROWTH_SHARE * done))
    progress(STUDY_SHARE + GROWTH_SHARE)
    recogniser = LinearRecogniser(found.artefact)
    outcomes = outcomes_of(found, policy)
    texts_of = texts_by_task(outcomes.chosen(outcomes.in_scope))
    summary = summarise(outcomes, policy.tasks, found.artefact.certificates, texts_of)
    served = None
    if labelled is not None:
        rest = STUDY_SHARE + GROWTH_SHARE
        judged, steps = serve(labelled, policy, recogniser, lambda done: progress(rest + (1.0 - rest) * done))
        theirs = summarise(judged, policy.tasks, found.artefact.certificates, texts_of)
        served = Measured(labelled.name, theirs, steps, labelled.unknown)
    progress(1.0)
    return Evaluation(
        policy=policy.name,
        revision=policy.revision,
        examples=len(material.examples),
        unrelated=len(material.unrelated),
        shipped=summary.rows - int(found.own.sum()),
        encoder=material.encoder,
        blocks=tuple(block.name for block in found.artefact.blocks),
        certificates=found.artefact.certificates,
        own=Measured(OWN, summary, _latency(recogniser, list(compress(found.texts, found.own.tolist())))),
        served=served,
        merges=suggestions.merges(summary.pairs),
        label_issues=suggestions.label_issues(found, suggestions.example_places(pack)),
        growth=curve,
        fit_s=round(took, 2),
        notes=notes,
    )


def _notes(found: CrossValidation, material: Material, quick: bool, worked: float) -> tuple[str, ...]:
    """Return what is to be said beside the figures: what was left out, and why."""
    if not found.artefact.classes:
        return ("the pack has no examples: nothing is recognised, every request gets the general instructions",)
    notes = []
    if quick:
        notes.append("the learning curve was left out (--quick)")
    elif worked > PATIENCE_S:
        notes.append(f"the learning curve was left out: it takes two more fits, and one took {worked:.0f} s")
    judged = sum(truth != ROOT for truth in found.truths)
    if judged < len(material.examples):
        every = f"{judged:,} of {len(material.examples):,} examples were held out and judged"
        notes.append(f"{every}: one fold of a large pack, or examples that hold no words")
    return tuple(notes)


def outcomes_of(found: CrossValidation, policy: Policy) -> Outcomes:
    """Return the rows of a cross-validation as outcomes. What would be settled is settled as for an opening message.

    They are the rows that the thresholds were certified on.
    """
    kept = found.certified
    probabilities = found.probabilities[kept]
    artefact = found.artefact
    tree = Tree(artefact.paths, artefact.classes)
    rows = np.arange(len(probabilities))
    best = probabilities.argmax(axis=1) if artefact.classes else np.zeros(0, np.int64)
    guesses = tuple(artefact.classes[at] for at in best.tolist())
    truths = tuple(
        (truth,) if truth != ROOT else () for truth, row in zip(found.truths, kept.tolist(), strict=True) if row
    )
    classes = frozenset(artefact.classes)
    settled = (
        settle(policy.tasks, Belief(tree.mass(row)), artefact.thresholds, policy.settings.max_tasks)
        for row in probabilities
    )
    return Outcomes(
        texts=tuple(text for text, row in zip(found.texts, kept.tolist(), strict=True) if row),
        truths=truths,
        guesses=guesses,
        confidences=probabilities[rows, best],
        right=np.array([is_right(*row, classes) for row in zip(guesses, truths, strict=True)], np.bool_),
        walk=walk_down(tree, tree.all_masses(probabilities)),
        known=probabilities.sum(axis=1),
        settled=tuple(tuple(one.path for one in paths if one.path != ROOT) for paths in settled),
    )


def _latency(recogniser: LinearRecogniser, texts: list[str]) -> measures.Latency:
    """Time single steps over texts spread evenly through the pack, after one that is not counted."""
    if not texts:
        return measures.latency([])
    recogniser.step(None, texts[0])
    times = []
    for text in islice(texts, 0, None, max(1, len(texts) // TIMED_STEPS)):
        started = time.perf_counter_ns()
        recogniser.step(None, text)
        times.append(time.perf_counter_ns() - started)
    return measures.latency(times)
