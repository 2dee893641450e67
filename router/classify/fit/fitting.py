"""The whole fit: from the examples of a policy to an artefact.

    rows to fit to -> blocks that pay -> out-of-fold scores -> calibration -> certified thresholds
                                      -> one model on everything, which serves

Deterministic: rows in the order of the pack, folds by counting, no random number anywhere.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from router.classify import belief, lexical, sentence_encoder, small_talk
from router.classify.artefact import Artefact, StoredBlock, StoredSecond
from router.classify.belief import Filter, Tree, spoken
from router.classify.blocks import sentence_vectors
from router.classify.cascade import ModelAverage
from router.classify.encoder import Doubles, Flags, Integers
from router.classify.fit import calibration, certify, selection, training, turning
from router.classify.fit.calibration import Calibration, OutOfFoldProbabilities
from router.classify.fit.dialogues import ScoredTurn, estimate
from router.classify.fit.selection import FittedBlocks, Hyperparameters, recipes, second_recipes, weighted
from router.classify.fit.training import Material, TrainingSet, shipped, training_set
from router.classify.fit.turning import HeldOutRows
from router.classify.static import StaticTable
from router.classify.text import sentences
from router.core.evidence import Certificate, Thresholds
from router.core.policy import ROOT, EncoderCascade, Policy

SMALL_PACK = 1_000
"""Up to so many rows there are five folds instead of three: few examples suffer most from being made fewer."""

LARGE_PACK = 600_000
"""From so many rows times classes on one fold of three is enough to judge by: 150 tasks of 100 examples."""

OURS_AFTER_ALL = 0.5
"""A shipped text that no task is supposed to answer, and that out of fold is given to one task, or one branch of the
tree, with more than this, is what this pack is for ("tell me a joke")."""

SHIPPED = ("unrelated", "follow_ups", "small_talk")

Progress: TypeAlias = Callable[[float], None]
"""Told the share of a fit that is done, from 0 to 1, at each step."""


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """A fitted model, and how models fitted like it fared on the rows they had not seen.

    All fields beside the artefact have one entry a row: the text, the path it belongs to (`/` for none of these), the
    calibrated probability of each class of the artefact (the last axis; what is missing to one is none of these), what
    a row counts for, whether the pack itself holds it (the others are shipped texts that no task answers), and whether
    it is one of those that the thresholds were certified on. Rows are in the order of the pack. `held_out` are these
    last, as the certificate read them.
    """

    artefact: Artefact
    texts: tuple[str, ...] = ()
    truths: tuple[str, ...] = ()
    probabilities: Doubles = field(default_factory=lambda: np.zeros((0, 0)))
    weights: Doubles = field(default_factory=lambda: np.zeros(0))
    own: Flags = field(default_factory=lambda: np.zeros(0, np.bool_))
    certified: Flags = field(default_factory=lambda: np.zeros(0, np.bool_))
    held_out: HeldOutRows = field(default_factory=lambda: HeldOutRows(np.zeros((0, 0)), ()))


def fit_policy(policy: Policy) -> Artefact:
    """Fit a model to the policy's examples. Imports scikit-learn; takes about two seconds for 150 tasks of 10."""
    return fit_material(Material.of(policy))


def key_of(material: Material) -> str:
    """Return the key of the artefact that fitting this material gives, by the constants of this version."""
    recipe = [
        12,  # raised when the code changes what a fit gives
        recipes(material.encoder),
        StaticTable.load().digest if material.encoder == "static" else "",
        _second_key(material.cascade),
        [lexical.GRAM_SIZES, lexical.GRAM_WEIGHT, lexical.RARE_ROWS],
        [selection.GROUP_SHARE, selection.LANDMARKS],
        [selection.STRENGTHS, selection.MARGIN, selection.SEARCH_CLASSES, selection.SEARCH_ROWS],
        [
            training.ABOUT_WEIGHT,
            training.NONE_WEIGHT,
            training.GOES_ON_WEIGHT,
            training.LEAST_WEIGHT,
            training.ENOUGH_NONE,
        ],
        [training.NEAR, training.MOST_ROWS, SMALL_PACK, LARGE_PACK, OURS_AFTER_ALL],
        [belief.STAY, belief.GOES_ON, belief.WEIGHT, belief.REPLY, small_talk.HOSTING_SHARE],
        [calibration.NONE_SHARE, certify.DELTA, turning.SURE_ODDS, certify.LEAST_SHORTLIST, certify.CAUTION],
        [hashlib.sha256("\n".join(shipped(name)).encode()).hexdigest() for name in SHIPPED],
    ]
    return material.digest(json.dumps(recipe))


def _second_key(asked: EncoderCascade | None) -> list[Any]:
    if asked is None:
        return []
    return [
        sentence_vectors(asked.encoder).source.digest,
        second_recipes(asked.encoder),
        [calibration.WEIGHTS, calibration.ENOUGH_UNSURE, sentence_encoder.TOKENS],
    ]


def fit_material(material: Material, progress: Progress | None = None) -> Artefact:
    """Fit a model. Without a single usable example the artefact has no classes and recognises nothing."""
    return cross_validate(material, progress).artefact


def cross_validate(material: Material, progress: Progress | None = None) -> CrossValidation:
    """Fit a model, and keep what each row looked like to a model that had not seen it."""
    # Here, not at the top: serving never needs them.
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    # The sums must not depend on how many cores there are.
    with threadpool_limits(1), warnings.catch_warnings():
        # Both are meant so: tasks of one or two examples, and a solver that stops early on thousands of tasks.
        warnings.filterwarnings("ignore", "The number of unique classes is greater", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        return _cross_validate(material, progress)


def _cross_validate(material: Material, progress: Progress | None) -> CrossValidation:
    tell = progress or (lambda done: None)
    rows = training_set(material)
    if rows is None:
        nothing, tree = HeldOutRows(np.zeros((0, 0)), ()), Tree(material.paths, ())
        certified = certify.certificate(nothing, tree, material.asked)
        return CrossValidation(_artefact(material, (), Filter(np.zeros(0)), certified))
    chosen = selection.choose(rows, recipes(material.encoder))
    tell(0.2)
    folds = 5 if len(rows) <= SMALL_PACK else 3
    worked = 1 if len(rows) * len(rows.groups) > LARGE_PACK else folds
    parts = [(at, part) for at, text in enumerate(rows.texts) if rows.held[at] for part in sentences(text)]
    questions = [
        (said.row, said.question) for talk in rows.dialogues for said in talk if said.row >= 0 and said.question
    ]
    candidates = [chosen]
    if material.cascade is not None:
        candidates.append(selection.choose(rows, second_recipes(material.cascade.encoder)))
    unseen, *others = selection.out_of_fold(
        rows, candidates, folds, worked, parts + questions, lambda done: tell(0.2 + 0.8 * done / (worked + 1))
    )
    prior = np.bincount(rows.labels, rows.weights)
    first = unseen.calibrated(rows)
    calibrated = first.calibration
    turns = calibration.turns_alone(first)
    replies = dict(zip(questions, turns.parts[len(parts) :], strict=True))
    judged, truths = np.flatnonzero(unseen.judged & rows.opening), rows.truths
    tree = Tree(material.paths, rows.classes)

    def certified_by(turns: OutOfFoldProbabilities) -> tuple[Flags, HeldOutRows, Certificate]:
        certifying = _certifying(tree, rows, judged, turns.openings)
        held_out = _held_out(rows, judged[certifying], parts, turns)
        return certifying, held_out, certify.certificate(held_out, tree, material.asked)

    certifying, held_out, certified = certified_by(turns)
    second: StoredSecond | None = None
    if material.cascade is not None:
        other = others[0].calibrated(rows)
        joint = calibration.join(first, other, rows, material.cascade.share)
        alone = certified.thresholds
        second = _second(rows, candidates[1], other.calibration, joint, material.cascade.budget_s, alone)
        turns = calibration.turns_together(joint, first, other, [row for row, _ in parts])
        certifying, held_out, certified = certified_by(turns)
    filter_ = _paced(rows, unseen.judged, turns.rows, replies, Filter(prior / prior.sum()))
    stored, intercepts = _weights(rows, chosen)
    intercepts = calibrated.adjusted(intercepts)
    tell(1.0)
    return CrossValidation(
        artefact=_artefact(
            material, rows.classes, filter_, certified, stored, intercepts, calibrated.sharpness, second
        ),
        texts=tuple(rows.texts_at(judged)),
        truths=tuple(truths[at] for at in judged.tolist()),
        probabilities=turns.openings[judged],
        weights=rows.weights[judged],
        own=rows.own[judged],
        certified=certifying,
        held_out=held_out,
    )


def _held_out(
    rows: TrainingSet, judged: Integers, parts: Sequence[tuple[int, str]], turns: OutOfFoldProbabilities
) -> HeldOutRows:
    """Return some of the judged rows, with their sentences, as a decision would see them."""
    beliefs, part_rows = _part_beliefs(judged, parts, turns.parts[: len(parts)])
    truths = tuple(rows.truths[at] for at in judged.tolist())
    return HeldOutRows(turns.openings[judged], truths, beliefs, part_rows, ours=bool(rows.own[judged].all()))


def _paced(
    rows: TrainingSet,
    judged: Flags,
    turns: Doubles,
    replies: Mapping[tuple[int, str], Doubles],
    start: Filter,
) -> Filter:
    """Return the filter with the pace of the labelled dialogues; as it was where there are none."""
    columns = {ROOT: (len(rows.classes),)} | {
        task: tuple(at for at, path in enumerate(rows.classes) if f"{path}/".startswith(f"{task}/"))
        for task in {said.task for talk in rows.dialogues for said in talk} - {ROOT}
    }
    observed = [
        [
            ScoredTurn(
                turns[said.row] if said.row >= 0 and judged[said.row] else None,
                replies.get((said.row, said.question)),
                columns[said.task],
            )
            for said in talk
        ]
        for talk in rows.dialogues
        if all(said.row < 0 or judged[said.row] for said in talk)
    ]
    return estimate(observed, start)


def _part_beliefs(judged: Integers, parts: Sequence[tuple[int, str]], turns: Doubles) -> tuple[Doubles, Integers]:
    """Return the beliefs after the sentences of the judged rows, and which of these rows each is of."""
    of_row: dict[int, list[int]] = {}
    for at, (row, _) in enumerate(parts):
        of_row.setdefault(row, []).append(at)
    beliefs, part_rows = [np.zeros((0, turns.shape[1] - 2))], []
    for place, row in enumerate(judged.tolist()):
        if row in of_row:
            found = spoken(turns[of_row[row]])
            if len(found):
                beliefs.append(found)
                part_rows += [place] * len(found)
    return np.concatenate(beliefs), np.array(part_rows, np.int64)


def _artefact(
    material: Material,
    classes: tuple[str, ...],
    filter_: Filter,
    certified: Certificate,
    blocks: tuple[StoredBlock, ...] = (),
    intercepts: Doubles | None = None,
    sharpness: float = 1.0,
    second: StoredSecond | None = None,
) -> Artefact:
    return Artefact(
        key=key_of(material),
        paths=material.paths,
        classes=classes,
        certificate=certified,
        sharpness=sharpness,
        intercepts=np.zeros(0) if intercepts is None else intercepts,
        prior=filter_.prior,
        stay=filter_.stay,
        goes_on=filter_.goes_on,
        weight=filter_.weight,
        reply=filter_.reply,
        hosted=small_talk.hosted(material.examples),
        boilerplate=material.boilerplate,
        user_words=material.user_words,
        blocks=blocks,
        second=second,
    )


def _second(
    rows: TrainingSet,
    candidate: Hyperparameters,
    calibrated: Calibration,
    joint: ModelAverage,
    budget_s: float,
    alone: Thresholds,
) -> StoredSecond:
    """Return the second model of a cascade, fitted to all rows."""
    stored, intercepts = _weights(rows, candidate)
    return StoredSecond(stored, calibrated.adjusted(intercepts), calibrated.sharpness, joint, budget_s, alone)


def _weights(rows: TrainingSet, candidate: Hyperparameters) -> tuple[tuple[StoredBlock, ...], Doubles]:
    """Return the blocks of a model fitted to all rows, and its intercepts."""
    learned = FittedBlocks([name for name, _ in candidate.recipe], rows.texts)
    parts = weighted(learned.matrices(rows.texts), candidate.recipe)
    coefficients, intercepts = selection.fit_softmax(parts, rows.labels, rows.weights, rows.groups, candidate.strength)
    for part in coefficients:  # so that serving has no more to do than to add
        part[:, -2] *= calibration.NONE_SHARE
    scorers = learned.fold(candidate.recipe, coefficients)
    return tuple(StoredBlock(name, scorer.words(), scorer.arrays()) for name, scorer in scorers.items()), intercepts


def _certifying(tree: Tree, rows: TrainingSet, judged: Integers, openings: Doubles) -> Flags:
    """Return which of the judged rows to certify thresholds on: the pack's own, as far as customers wrote them.

    Of the shipped texts that no task answers those count that do not look like one of this pack's. Shipped turns that
    only go on are not among them: what "yes, please" asks for at an opening, nobody can say.
    """
    shipped = ~rows.own[judged] & (rows.labels[judged] == len(rows.classes))
    heaviest = tree.all_masses(openings[judged]).max(axis=1)
    foreign = shipped & (heaviest <= OURS_AFTER_ALL)
    certifying: Flags = (rows.own[judged] & ~rows.generated[judged]) | foreign
    return certifying
