"""The whole fit: from the examples of a policy to an artefact.

    rows to fit to -> blocks that pay -> out-of-fold scores -> calibration -> certified thresholds
                                      -> one model on everything, which serves

Deterministic: rows in the order of the pack, folds by counting, no random number anywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from router.classify import answers, belief, languages, lexical, sentence_encoder, small_talk
from router.classify.artefact import Artefact, StoredBlock, StoredLanguage, StoredSecond
from router.classify.belief import Filter, Tree, spoken
from router.classify.blocks import sentence_vectors
from router.classify.cascade import ModelAverage
from router.classify.encoder import Doubles, Flags, Integers, tokenized
from router.classify.fit import calibration, certify, everyday, selection, training, turning
from router.classify.fit.calibration import Calibration, OutOfFoldProbabilities, OutOfFoldScores
from router.classify.fit.dialogues import ScoredTurn, estimate
from router.classify.fit.selection import FittedBlocks, Hyperparameters, recipes, second_recipes, weighted
from router.classify.fit.training import DialogueRow, Material, TrainingSet, shipped, training_set
from router.classify.fit.turning import HeldOutRows
from router.classify.languages import MAIN, LanguageIdentifier
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
        12,  # raised when the code changes what a fit gives
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
        [training.NEAR, training.MOST_ROWS, SMALL_PACK, LARGE_PACK, OURS_AFTER_ALL],
        [
            belief.STAY,
            belief.GOES_ON,
            belief.WEIGHT,
            belief.REPLY,
            belief.AWAY,
            belief.FOREIGN,
            small_talk.HOSTING_SHARE,
        ],
        [calibration.NONE_SHARE, certify.DELTA, turning.SURE_ODDS, certify.LEAST_SHORTLIST, certify.CAUTION],
        [
            _digest(small_talk.shipped_list()),
            _digest(answers.shipped_list()),
            *(_digest("\n".join(shipped(name, tag))) for tag in tags for name in BACKGROUND),
        ],
        [languages.CAUTION, languages.MAIN_PRIOR, languages.LIKELY, LANGUAGE_FOLDS],
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
    with threadpool_limits(1), warnings.catch_warnings():
        # Both are meant so: tasks of one or two examples, and a solver that stops early on thousands of tasks.
        warnings.filterwarnings("ignore", "The number of unique classes is greater", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        return _cross_validate(material, progress)


def _cross_validate(material: Material, progress: Progress | None) -> CrossValidation:
    tell = progress or (lambda done: None)
    own, *others = material.by_language().items()
    rows = training_set(own[1])
    if rows is None:
        nothing, tree = HeldOutRows(np.zeros((0, 0)), ()), Tree(material.paths, ())
        certified = certify.certificate(nothing, tree, material.asked)
        nobody = StoredLanguage(MAIN, (), np.zeros(0), 1.0, np.zeros(0, np.float32))
        return CrossValidation(_artefact(material, (), Filter(np.zeros(0)), certified, nobody))
    tree = Tree(material.paths, rows.classes)
    ours = 1.0 / (1.0 + LANGUAGE_TIME * len(others))
    chosen = selection.choose(rows, recipes(material.encoder))
    tell(0.2 * ours)
    folds = 5 if len(rows) <= SMALL_PACK else 3
    worked = 1 if len(rows) * len(rows.groups) > LARGE_PACK else folds
    # Attention reads by the static table. Where that is no use, long messages are read as they are.
    texts = _Around.of(rows, material, attends=any(name == "static" for name, _ in chosen.recipe))
    questions = [
        (said.row, said.question) for talk in rows.dialogues for said in talk if said.row >= 0 and said.question
    ]
    candidates = [chosen]
    if own[1].cascade is not None:
        candidates.append(selection.choose(rows, second_recipes(own[1].cascade.encoder)))
    unseen, *seconds = selection.out_of_fold(
        rows,
        candidates,
        folds,
        worked,
        [*texts.beside, *questions],
        lambda done: tell(ours * (0.2 + 0.8 * done / (worked + 1))),
        texts.everyday,
    )
    first = unseen.calibrated(rows)
    turns = calibration.turns_alone(first)
    replies = dict(zip(questions, turns.parts[len(texts.beside) :], strict=True))
    stored = _stored(MAIN, rows, chosen, first.calibration, texts, rows.classes)
    tell(ours)
    further = []
    with ThreadPoolExecutor(min(selection.THREADS, os.cpu_count() or 1)) as pool:
        for number, model in enumerate(pool.map(lambda other: _language(other[0], other[1], tree), others), 1):
            further.append(model)
            tell(ours + (1.0 - ours) * number / len(others))
    found = [_judged(tree, rows, unseen, texts, turns), *(judged for _, judged in further)]
    certified = certify.certificate(turning.together([each.held_out for each in found]), tree, material.asked)
    second: StoredSecond | None = None
    if own[1].cascade is not None:
        other = seconds[0].calibrated(rows)
        joint = calibration.join(first, other, rows, own[1].cascade.share)
        alone = certified.thresholds
        second = _second(rows, candidates[1], other.calibration, joint, own[1].cascade.budget_s, alone)
        turns = calibration.turns_together(joint, first, other, [row for row, _ in texts.beside])
        found[0] = _judged(tree, rows, unseen, texts, turns)
        certified = certify.certificate(turning.together([each.held_out for each in found]), tree, material.asked)
    prior = np.bincount(rows.labels, rows.weights)
    filter_ = _paced(rows, unseen.judged, turns.rows, replies, Filter(prior / prior.sum()))
    return CrossValidation(
        artefact=_artefact(
            material, rows.classes, filter_, certified, stored, tuple(model for model, _ in further), second
        ),
        texts=tuple(text for each in found for text in each.texts),
        truths=tuple(truth for each in found for truth in each.truths),
        probabilities=np.concatenate([each.probabilities for each in found]),
        weights=np.concatenate([each.weights for each in found]),
        own=np.concatenate([each.own for each in found]),
        certified=np.concatenate([each.certified for each in found]),
        held_out=turning.together([each.held_out for each in found]),
    )


@dataclass(frozen=True, slots=True)
class _Around:
    """What is judged beside the rows: sentences, by row, then rows as they read within a story.

    `everyday` are the sentences that the attention of out-of-fold models is learned against, words of courtesy among
    them, `told` those that stories
    are told with; without attention there are none of them.
    """

    sentences: list[tuple[int, str]]
    stories: Mapping[int, str]
    everyday: Sequence[str]
    told: Sequence[str]

    @classmethod
    def of(cls, rows: TrainingSet, material: Material, language: str = MAIN, attends: bool = True) -> _Around:
        names = rows.truths
        polite = [text for text, name in zip(rows.texts, names, strict=True) if name in material.courtesy]
        attends = attends and sum(name != ROOT for name in names) - len(polite) >= everyday.LEAST_TEXTS
        learned, told = everyday.halves(language) if attends else ([], [])
        learned += polite if attends else []
        stories = everyday.stories(rows, told) if attends else {}
        held = [(at, stories.get(at, text)) for at, text in enumerate(rows.texts) if rows.held[at]]
        return cls([(at, part) for at, text in held for part in sentences(text)], stories, learned, told)

    @property
    def beside(self) -> list[tuple[int, str]]:
        return [*self.sentences, *self.stories.items()]


def _language(tag: str, material: Material, tree: Tree) -> tuple[StoredLanguage, _Judged]:
    """Return the model of a language beside the pack's own, and how models like it fared."""
    rows = training_set(material, tag)
    assert rows is not None  # a language is one because of its examples
    # Six of seven packs would choose it; the static table is of English words.
    candidate = Hyperparameters(selection.LEXICAL, selection.STRENGTHS[0])
    texts = _Around.of(rows, material, tag, attends=material.encoder == "static")
    # What certifies nothing is only calibrated by, and for that one fold is enough.
    worked = 1 if (rows.generated | ~rows.own).all() else LANGUAGE_FOLDS
    [unseen] = selection.out_of_fold(rows, [candidate], LANGUAGE_FOLDS, worked, texts.beside, everyday=texts.everyday)
    first = unseen.calibrated(rows)
    stored = _stored(tag, rows, candidate, first.calibration, texts, tree.classes)
    # What is foreign to the pack is told by the texts in its own language, which are not as many times the same.
    return stored, _judged(tree, rows, unseen, texts, calibration.turns_alone(first), shipped=False)


class _Judged(NamedTuple):
    """The rows of one language that can be judged by; fields as in `CrossValidation`."""

    texts: list[str]
    truths: tuple[str, ...]
    probabilities: Doubles
    weights: Doubles
    own: Flags
    certified: Flags
    held_out: HeldOutRows


def _judged(
    tree: Tree,
    rows: TrainingSet,
    unseen: OutOfFoldScores,
    texts: _Around,
    turns: OutOfFoldProbabilities,
    shipped: bool = True,
) -> _Judged:
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
    asking = zip(texts.sentences, turns.parts, unseen.asking, strict=False)
    beliefs, part_rows = _part_beliefs(
        certifying, [(row, turn) for (row, _), turn, asks in asking if asks], len(columns)
    )
    within = turns.parts[len(texts.sentences) : len(texts.beside)]
    told = probabilities.copy()
    told[list(texts.stories)] = all_classes(within[:, :-2] / (1.0 - within[:, -1:]))
    truths = tuple(names[at] for at in certifying.tolist())
    return _Judged(
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


def _artefact(
    material: Material,
    classes: tuple[str, ...],
    filter_: Filter,
    certified: Certificate,
    main: StoredLanguage,
    languages: tuple[StoredLanguage, ...] = (),
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
        identifier=_identifier(material) if languages else None,
        second=second,
    )


def _identifier(material: Material) -> StoredBlock:
    """Return what tells the languages of a pack apart, by its examples and the background texts of each."""
    texts = {
        tag: [text for _, text in part.examples] + [text for name in BACKGROUND if tag for text in shipped(name, tag)]
        for tag, part in material.by_language().items()
    }
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
    texts: _Around,
    classes: tuple[str, ...],
) -> StoredLanguage:
    """Return the model of a language, fitted to all its rows."""
    blocks, intercepts = _weights(rows, candidate, calibrated, classes)
    attention = np.zeros(0, np.float32)
    if texts.everyday:
        tasks = rows.texts_at(np.flatnonzero(rows.labels < len(rows.classes)))
        attention = everyday.attention_to(tasks, [*texts.everyday, *texts.told]).numbers
    return StoredLanguage(tag, blocks, intercepts, calibrated.sharpness, attention)


def _weights(
    rows: TrainingSet, candidate: Hyperparameters, calibrated: Calibration, classes: tuple[str, ...]
) -> tuple[tuple[StoredBlock, ...], Doubles]:
    """Return the blocks of a model fitted to all rows, and its intercepts, with a column for each of some classes."""
    learned = FittedBlocks([name for name, _ in candidate.recipe], rows.texts)
    parts = weighted(learned.matrices(list(map(tokenized, rows.texts))), candidate.recipe)
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
