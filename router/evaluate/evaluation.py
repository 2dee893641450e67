"""The whole evaluation of a pack: its cross-validation, what it suggests, and labelled data from elsewhere.

    cross-validation -> judged rows -> summary   how models fare on the pack's rows that they had not seen
    certifying rows -> trade -> advice           what other budgets would give
    halves -> learning curve -> advice           where more examples would pay
    recogniser -> steps                          time; labelled data put to what serves

A task has examples; a *row* is one of them, or a text that no task answers (the pack's own, or shipped).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import compress, islice
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from router.classify import CrossValidation, LinearRecogniser, cross_validate
from router.classify.belief import Tree
from router.classify.fit.training import Material
from router.core.evidence import Certificate
from router.core.policy import ROOT
from router.evaluate import measures, suggestions
from router.evaluate.advice import Advice, Adviser
from router.evaluate.labelled import Labelled, Truth
from router.evaluate.outcomes import Judged, judged, serve
from router.evaluate.reach import Budget, Sending, SentTurn, budgets
from router.evaluate.suggestions import LearningCurve, growth
from router.evaluate.summary import ConfusedPair, Summary, summarise, texts_by_task
from router.evaluate.wording import plural
from router.packs import Pack

Progress: TypeAlias = Callable[[float], None]

PATIENCE_S = 10.0
"""A pack whose fit takes more processor time is not fitted twice more for its learning curve."""

TIMED_STEPS = 1_000
"""Texts of the pack whose steps are timed, and as many passes as that needs with fewer texts."""

STUDY_SHARE, GROWTH_SHARE = 0.45, 0.45
"""Of the bar of progress: the whole, its halves; the rest is for labelled data."""

ASSUMPTION = (
    "All this assumes that traffic is like the examples of the pack. The certificate bounds how often wrong text is "
    "sent for messages drawn as the examples were; it says nothing about messages of another kind."
)


OWN = "held-out examples"
"""What the pack's own rows are called."""


@dataclass(frozen=True, slots=True)
class MissedLine:
    """A labelled line whose message did not get its text: what it is about, and which tasks were said instead.

    `outcome` is "wrong" where something was sent that does not apply, "backed off" where nothing specific was.
    """

    line: int
    outcome: str
    truth: Truth
    said: Truth
    text: str


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured on some labelled turns: their name, every figure, the time of a step, labels skipped.

    `missed` are the lines of a file that were wrong or backed off.
    """

    name: str
    summary: Summary
    latency: measures.Latency
    unknown: Counter[str] = field(default_factory=Counter)
    missed: tuple[MissedLine, ...] = ()

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

    `budgets` are those of the trade, `everything_tokens` what all tasks' text takes, `fit_s` is processor time, and
    `notes` say in words what was left out, and why.
    """

    policy: str
    revision: str
    examples: int
    unrelated: int
    shipped: int
    encoder: str
    blocks: tuple[str, ...]
    certificate: Certificate
    budgets: tuple[Budget, ...]
    everything_tokens: int
    own: Measured
    served: Measured | None
    advice: tuple[Advice, ...]
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
        own = self.own.as_json()
        found: dict[str, Any] = {
            "policy": self.policy,
            "revision": self.revision,
            "sent": own.pop("sent"),
            "certificate": _plain(self.certificate) | {"promise": self.certificate.promise},
            "advice": list(map(_plain, self.advice)),
            "trade": self.trade(self.own),
            "everything_tokens": self.everything_tokens,
            "rows": {"examples": self.examples, "unrelated": self.unrelated, "shipped": self.shipped},
            "encoder": self.encoder,
            "blocks": list(self.blocks),
            "fit_s": self.fit_s,
            "assumes": ASSUMPTION,
            **own,
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
            served = {**self.served.as_json(), "trade": self.trade(self.served)}
            missed = [asdict(one) for one in self.served.missed]
            found["against"] = {"file": self.served.name, **served, "skipped": skipped, "missed": missed}
        return found

    @property
    def origin(self) -> str:
        """What the evaluation rests on, in words."""
        parts = [plural(len(self.own.summary.tasks), "task"), plural(self.examples, "example")]
        if self.unrelated:
            parts.append(f"{plural(self.unrelated, 'text')} of no task")
        if self.blocks:
            parts.append(f"encoder {self.encoder} ({' + '.join(self.blocks)})")
        return ", ".join([*parts, f"fitted and cross-validated in {self.fit_s:.1f} s of processor time"])

    def trade(self, measured: Measured) -> list[dict[str, Any]]:
        """Return what each budget gives on some turns, as JSON-ready data; nulls where none can be certified."""
        return [
            _plain(one) | {"sent": _plain(reach) if reach else None}
            for one, reach in zip(self.budgets, measured.summary.trade, strict=True)
        ]


def _plain(value: Any) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(value, enc_hook=dict)  # for read-only mappings
    return plain


def evaluate(pack: Pack, labelled: Labelled | None = None, *, quick: bool = False, progress: Progress) -> Evaluation:
    """Evaluate a pack, and labelled data against it. Imports scikit-learn; takes two to three times as long as a fit.

    `quick` leaves the learning curve out. `progress` is told the share that is done.
    """
    policy = pack.policy
    material = Material.of(policy)
    worked = time.process_time()
    found = cross_validate(material, progress=lambda done: progress(STUDY_SHARE * done))
    worked = time.process_time() - worked
    notes = _notes(found, material, quick, worked)
    curve = None
    if not quick and worked <= PATIENCE_S:
        curve = growth(found, material, lambda done: progress(STUDY_SHARE + GROWTH_SHARE * done))
    progress(STUDY_SHARE + GROWTH_SHARE)
    artefact, sending = found.artefact, Sending(policy)
    certificate, tree = artefact.certificate, Tree(artefact.paths, artefact.classes)
    trade = budgets(certificate, found.held_out, tree, material.asked)
    turns = own_rows(found, pack, tree)
    texts_of = texts_by_task([turn for turn in turns if turn.truth])

    def measure(name: str, turns: Sequence[Judged], latency: measures.Latency, unknown: Counter[str]) -> Measured:
        summary = summarise(turns, policy.tasks, sending, certificate, trade, texts_of)
        return Measured(name, summary, latency, unknown)

    recogniser = LinearRecogniser(artefact)
    own = measure(OWN, turns, _latency(recogniser, list(compress(found.texts, found.own.tolist()))), Counter())
    served = None
    if labelled is not None:
        rest = STUDY_SHARE + GROWTH_SHARE
        theirs, steps = serve(labelled, policy.tasks, recogniser, lambda done: progress(rest + (1.0 - rest) * done))
        served = measure(labelled.name, theirs, steps, labelled.unknown)
        served = replace(served, missed=missed_lines(labelled, sending.sent(theirs, certificate.thresholds)))
    progress(1.0)
    return Evaluation(
        policy=policy.name,
        revision=policy.revision,
        examples=len(material.written),
        unrelated=len(material.unrelated) - sum(path == ROOT for path, _ in material.generated),
        shipped=int((found.certified & ~found.own).sum()),
        encoder=material.encoder,
        blocks=tuple(block.name for block in artefact.blocks),
        certificate=certificate,
        budgets=trade,
        everything_tokens=sending.everything,
        own=own,
        served=served,
        advice=Adviser(found, policy, turns, sending, list(zip(trade, own.summary.trade, strict=True)), curve).advice(),
        merges=suggestions.merges(own.summary.pairs),
        label_issues=suggestions.label_issues(found, suggestions.example_places(pack)),
        growth=curve,
        fit_s=round(worked, 2),
        notes=notes,
    )


def missed_lines(labelled: Labelled, sent: Sequence[SentTurn]) -> tuple[MissedLine, ...]:
    """Return the turns that got text which does not apply, or not their own, in the order of their lines.

    `sent` is what each turn that is labelled got.
    """
    turns = [turn for turns in labelled.conversations for turn in turns if turn.truth is not None]
    return tuple(
        MissedLine(turn.line, "wrong" if one.misses else "backed off", turn.truth or (), one.said, turn.text)
        for turn, one in zip(turns, sent, strict=True)
        if one.misses or (one.in_scope and not one.reached)
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
    held_out, written = sum(truth != ROOT for truth in found.held_out.truths), len(material.written)
    if held_out < written:
        every = f"{held_out:,} of {written:,} examples were held out and judged"
        notes.append(f"{every}: one fold of a large pack, or examples that hold no words")
    if generated := len(material.generated):
        notes.append(f"{generated:,} rows are marked as generated: they train, and nothing is measured on them")
    return tuple(notes)


def own_rows(found: CrossValidation, pack: Pack, tree: Tree) -> list[Judged]:
    """Return the rows that the thresholds were certified on, each as an opening message.

    Sentences are left out: a second request is nobody's truth here.
    """
    rows = zip(compress(found.texts, found.certified.tolist()), found.held_out.truths, strict=True)
    beliefs = map(tree.belief, found.held_out.probabilities)
    judgeable = (
        (text, () if truth == ROOT else (truth,), belief) for (text, truth), belief in zip(rows, beliefs, strict=True)
    )
    turns = judged(judgeable, pack.policy.tasks, frozenset(found.artefact.classes))
    return [turn._replace(language=pack.policy.languages.get(turn.text, "")) for turn in turns]


def _latency(recogniser: LinearRecogniser, texts: list[str]) -> measures.Latency:
    """Time single steps over texts spread evenly through the pack, after one that is not counted."""
    if not texts:
        return measures.latency([])
    recogniser.step(None, texts[0])
    times = []
    for text in islice(texts, 0, None, max(1, len(texts) // TIMED_STEPS)):
        started = time.process_time_ns()
        recogniser.step(None, text)
        times.append(time.process_time_ns() - started)
    return measures.latency(times)
