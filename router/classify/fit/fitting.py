"""The whole fit: from the examples of a policy to an artefact.

    rows to fit to -> blocks that pay -> out-of-fold scores -> calibration -> certified thresholds
                                      -> one model on everything, which serves

Deterministic: rows in the order of the pack, folds by counting, no random number anywhere.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from router.classify import answers, belief, encoder, languages, lexical, sentence_encoder, small_talk
from router.classify.artefact import Artefact, StoredBlock, StoredLanguage, StoredSecond
from router.classify.belief import Filter, Tree
from router.classify.blocks import sentence_vectors
from router.classify.cascade import ModelAverage
from router.classify.encoder import Doubles, Flags
from router.classify.fit import calibration, certify, everyday, judging, selection, training, turning
from router.classify.fit.calibration import Calibration
from router.classify.fit.dialogues import ScoredTurn, estimate
from router.classify.fit.judging import Beside, JudgedRows, judge
from router.classify.fit.selection import FittedBlocks, Hyperparameters, recipes, second_recipes, weighted
from router.classify.fit.training import DialogueRow, Material, TrainingSet, training_set
from router.classify.fit.turning import HeldOutRows
from router.classify.languages import LanguageIdentifier
from router.classify.shipped import MAIN, background, shipped_text
from router.classify.static import StaticTable
from router.core.evidence import Certificate, Thresholds
from router.core.policy import ROOT, EncoderCascade, Policy

SMALL_PACK = 1_000
"""Up to so many rows there are five folds instead of three: few examples suffer most from being made fewer."""

LARGE_PACK = 600_000
"""From so many rows times classes on one fold of three is enough to judge by: 150 tasks of 100 examples."""

BACKGROUND = ("unrelated", "follow_ups", "everyday")

LANGUAGE_FOLDS = 3

LANGUAGE_TIME = 0.3
"""What a further language takes of the time of the pack's own."""

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
    tags = sorted({MAIN, *dict(material.languages).values()})
    recipe = [
        18,  # raised when the code changes what a fit gives
        recipes(material.encoder),
        StaticTable.load().digest if material.encoder == "static" else "",
        _second_key(material.cascade),
        [lexical.GRAM_SIZES, lexical.GRAM_WEIGHT, lexical.RARE_ROWS],
        [selection.GROUP_SHARE, selection.EXACT, selection.LANDMARKS],
        [selection.STRENGTHS, selection.MARGIN, selection.SEARCH_CLASSES, selection.SEARCH_ROWS],
        [
            training.ABOUT_WEIGHT,
            training.NONE_WEIGHT,
            training.GOES_ON_WEIGHT,
            training.LEAST_WEIGHT,
            training.ENOUGH_NONE,
        ],
        [everyday.EVERY, everyday.AROUND, everyday.MOST_TEXTS, everyday.WINDOWS, everyday.STRENGTH],
        [training.NEAR, training.MOST_ROWS, SMALL_PACK, LARGE_PACK, judging.OURS_AFTER_ALL],
        [
            belief.STAY,
            belief.GOES_ON,
            belief.WEIGHT,
            belief.REPLY,
            belief.AWAY,
            belief.FOREIGN,
            small_talk.HOSTING_SHARE,
        ],
        [
            calibration.NONE_SHARE,
            certify.DELTA,
            turning.SURE_ODDS,
            turning.LEAST_SURE,
            certify.LEAST_SHORTLIST,
            certify.CAUTION,
        ],
        [
            _digest(shipped_text(small_talk.SHIPPED)),
            _digest(shipped_text(answers.SHIPPED)),
            *(_digest("\n".join(background(kind, tag))) for tag in tags for kind in BACKGROUND),
        ],
        [languages.CAUTION, languages.MAIN_PRIOR, encoder.LIKELY, LANGUAGE_FOLDS],
    ]
    return material.digest(json.dumps(recipe))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


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
    with threadpool_limits(1), warnings.catch_warnings(), _pool() as pool:
        # Both are meant so: tasks of one or two examples, and a solver that stops early on thousands of tasks.
        warnings.filterwarnings("ignore", "The number of unique classes is greater", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        return _cross_validate(material, progress, pool)


def _pool() -> Executor:
    """Return what works on languages: processes where a fork is safe, else threads, most of whose steps take turns."""
    workers = min(selection.THREADS, os.cpu_count() or 1)
    # A lock that another thread holds stays locked in the child: only a process that does nothing but fit is forked.
    if sys.platform == "linux" and workers > 1 and threading.active_count() == 1:
        return ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), _end_with_parent)
    return ThreadPoolExecutor(workers)


def _end_with_parent() -> None:
    """Let this process end when the one that forked it is killed, as a fit is that takes too long."""

    def wait() -> None:
        if parent := multiprocessing.parent_process():
            parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _cross_validate(material: Material, progress: Progress | None, pool: Executor) -> CrossValidation:
    tell = progress or (lambda done: None)
    spoken = material.by_language()
    own, others = spoken[MAIN], [(tag, part) for tag, part in spoken.items() if tag != MAIN]
    rows = training_set(own)
    if rows is None:
        nothing, tree = HeldOutRows(np.zeros((0, 0)), ()), Tree(material.paths, ())
        certified = certify.certificate(nothing, tree, material.asked)
        nobody = StoredLanguage(MAIN, (), np.zeros(0), 1.0, np.zeros(0, np.float32))
        return CrossValidation(_artefact(material, (), Filter(np.zeros(0)), certified, nobody))
    tree = Tree(material.paths, rows.classes)
    working = [pool.submit(_language, tag, part, tree) for tag, part in others]
    ours = 1.0 / (1.0 + LANGUAGE_TIME * len(others))
    chosen = selection.choose(rows, recipes(material.encoder))
    tell(0.2 * ours)
    folds = 5 if len(rows) <= SMALL_PACK else 3
    worked = 1 if len(rows) * len(rows.groups) > LARGE_PACK else folds
    # Attention reads by the static table. Where that is no use, long messages are read as they are.
    beside = Beside.of(rows, material, attends=any(name == "static" for name, _ in chosen.recipe))
    questions = [
        (said.row, said.question) for talk in rows.dialogues for said in talk if said.row >= 0 and said.question
    ]
    candidates = [chosen]
    if own.cascade is not None:
        candidates.append(selection.choose(rows, second_recipes(own.cascade.encoder)))
    unseen, *seconds = selection.out_of_fold(
        rows,
        candidates,
        folds,
        worked,
        [*beside.texts, *questions],
        lambda done: tell(ours * (0.2 + 0.8 * done / (worked + 1))),
        beside.everyday,
    )
    first = unseen.calibrated(rows)
    turns = calibration.turns_alone(first)
    replies = dict(zip(questions, turns.parts[len(beside.texts) :], strict=True))
    stored = _stored(MAIN, rows, chosen, first.calibration, beside, rows.classes)
    tell(ours)
    further = []
    for number, language in enumerate(working, 1):
        further.append(language.result())
        tell(ours + (1.0 - ours) * number / len(others))
    found = [judge(tree, rows, unseen, beside, turns), *(judged for _, judged in further)]
    held_out, certified = _certified(found, tree, material)
    second: StoredSecond | None = None
    if own.cascade is not None:
        other = seconds[0].calibrated(rows)
        joint = calibration.join(first, other, rows, own.cascade.share)
        alone = certified.thresholds
        second = _second(rows, candidates[1], other.calibration, joint, own.cascade.budget_s, alone)
        turns = calibration.turns_together(joint, first, other, [row for row, _ in beside.texts])
        found[0] = judge(tree, rows, unseen, beside, turns)
        held_out, certified = _certified(found, tree, material)
    prior = np.bincount(rows.labels, rows.weights)
    filter_ = _paced(rows, unseen.judged, turns.rows, replies, Filter(prior / prior.sum()))
    return CrossValidation(
        artefact=_artefact(
            material,
            rows.classes,
            filter_,
            certified,
            stored,
            tuple(model for model, _ in further),
            _identifier(spoken) if further else None,
            second,
        ),
        texts=tuple(text for each in found for text in each.texts),
        truths=tuple(truth for each in found for truth in each.truths),
        probabilities=np.concatenate([each.probabilities for each in found]),
        weights=np.concatenate([each.weights for each in found]),
        own=np.concatenate([each.own for each in found]),
        certified=np.concatenate([each.certified for each in found]),
        held_out=held_out,
    )


def _certified(found: Sequence[JudgedRows], tree: Tree, material: Material) -> tuple[HeldOutRows, Certificate]:
    """Return the rows of all languages that certify, and the certificate that they give together."""
    held_out = turning.together([each.held_out for each in found])
    return held_out, certify.certificate(held_out, tree, material.asked)


def _language(tag: str, material: Material, tree: Tree) -> tuple[StoredLanguage, JudgedRows]:
    """Return the model of a language beside the pack's own, and how models like it fared."""
    rows = training_set(material, tag)
    assert rows is not None  # a language is one because of its examples
    # Six of seven packs would choose it; the static table is of English words.
    candidate = Hyperparameters(selection.LEXICAL, selection.STRENGTHS[0])
    beside = Beside.of(rows, material, tag, attends=material.encoder == "static")
    # What certifies nothing is only calibrated by, and for that one fold is enough.
    worked = 1 if (rows.generated | ~rows.own).all() else LANGUAGE_FOLDS
    [unseen] = selection.out_of_fold(rows, [candidate], LANGUAGE_FOLDS, worked, beside.texts, everyday=beside.everyday)
    first = unseen.calibrated(rows)
    stored = _stored(tag, rows, candidate, first.calibration, beside, tree.classes)
    # What is foreign to the pack is told by the texts in its own language, which are not as many times the same.
    return stored, judge(tree, rows, unseen, beside, calibration.turns_alone(first), shipped=False)


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
        [_scored(rows, judged, turns, replies, said, columns[said.task]) for said in talk]
        for talk in rows.dialogues
        if all(said.row < 0 or judged[said.row] for said in talk)
    ]
    return estimate(observed, start)


def _scored(
    rows: TrainingSet,
    judged: Flags,
    turns: Doubles,
    replies: Mapping[tuple[int, str], Doubles],
    said: DialogueRow,
    truth: tuple[int, ...],
) -> ScoredTurn:
    """Return a user's turn of a labelled dialogue as the filter would read it."""
    told = answers.told(rows.texts[said.row], said.question) if said.row >= 0 else ""
    silent = said.row < 0 or not judged[said.row] or told in answers.GOING_ON
    reply = replies.get((said.row, said.question))
    return ScoredTurn(None if silent else turns[said.row], reply, truth, told == "request")


def _artefact(
    material: Material,
    classes: tuple[str, ...],
    filter_: Filter,
    certified: Certificate,
    main: StoredLanguage,
    languages: tuple[StoredLanguage, ...] = (),
    identifier: StoredBlock | None = None,
    second: StoredSecond | None = None,
) -> Artefact:
    return Artefact(
        key=key_of(material),
        paths=material.paths,
        classes=classes,
        certificate=certified,
        sharpness=main.sharpness,
        intercepts=main.intercepts,
        prior=filter_.prior,
        stay=filter_.stay,
        goes_on=filter_.goes_on,
        weight=filter_.weight,
        reply=filter_.reply,
        hosted=small_talk.hosted(material.examples),
        boilerplate=material.boilerplate,
        user_words=material.user_words,
        blocks=main.blocks,
        attention=main.attention,
        languages=languages,
        identifier=identifier,
        second=second,
    )


def _identifier(spoken: Mapping[str, Material]) -> StoredBlock:
    """Return what tells the languages of a pack apart, by its examples and the background texts of each."""
    texts = {tag: [text for _, text in part.examples] for tag, part in spoken.items()}
    for tag in spoken.keys() - {MAIN}:
        texts[tag] += [text for kind in BACKGROUND for text in background(kind, tag)]
    learned = LanguageIdentifier.learn(texts)
    return StoredBlock("languages", {"tags": learned.tags, "grams": learned.grams}, {"weights": learned.weights})


def _second(
    rows: TrainingSet,
    candidate: Hyperparameters,
    calibrated: Calibration,
    joint: ModelAverage,
    budget_s: float,
    alone: Thresholds,
) -> StoredSecond:
    """Return the second model of a cascade, fitted to all rows."""
    blocks, intercepts = _weights(rows, candidate, calibrated, rows.classes)
    return StoredSecond(blocks, intercepts, calibrated.sharpness, joint, budget_s, alone)


def _stored(
    tag: str,
    rows: TrainingSet,
    candidate: Hyperparameters,
    calibrated: Calibration,
    beside: Beside,
    classes: tuple[str, ...],
) -> StoredLanguage:
    """Return the model of a language, fitted to all its rows."""
    blocks, intercepts = _weights(rows, candidate, calibrated, classes)
    attention = np.zeros(0, np.float32)
    if beside.everyday:
        tasks = rows.texts_at(np.flatnonzero(rows.labels < len(rows.classes)))
        attention = everyday.attention_to(tasks, [*beside.everyday, *beside.told]).numbers
    return StoredLanguage(tag, blocks, intercepts, calibrated.sharpness, attention)


def _weights(
    rows: TrainingSet, candidate: Hyperparameters, calibrated: Calibration, classes: tuple[str, ...]
) -> tuple[tuple[StoredBlock, ...], Doubles]:
    """Return the blocks of a model fitted to all rows, and its intercepts, with a column for each of some classes."""
    learned = FittedBlocks([name for name, _ in candidate.recipe], rows.texts)
    parts = weighted(learned.matrices(rows.readings), candidate.recipe)
    coefficients, intercepts = selection.fit_softmax(parts, rows.labels, rows.weights, rows.groups, candidate.strength)
    columns = [*map(classes.index, rows.classes), len(classes), len(classes) + 1]
    wide = []
    for part in coefficients:
        part[:, -2] *= calibration.NONE_SHARE  # so that serving has no more to do than to add
        wide.append(np.zeros((len(part), len(classes) + 2)))
        wide[-1][:, columns] = part
    adjusted = np.full(len(classes) + 2, selection.ABSENT)
    adjusted[columns] = calibrated.adjusted(intercepts)
    scorers = learned.fold(candidate.recipe, wide)
    return tuple(StoredBlock(name, scorer.words(), scorer.arrays()) for name, scorer in scorers.items()), adjusted
