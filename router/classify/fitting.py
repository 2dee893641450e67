"""The whole fit: from the examples of a policy to an artefact.

    rows to fit to -> out-of-fold scores -> sharpness -> thresholds     (what the model is worth on texts it never saw)
                   -> one model on everything                           (what serves)

Deterministic: rows in the order of the pack, folds by counting, no random number anywhere.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np

from router.classify import filtering, lexical, regression, training
from router.classify.artefact import Artefact
from router.classify.calibration import (
    DEFAULT_THRESHOLD,
    SOFT_SHARE,
    THRESHOLD_RANGE,
    Flags,
    Judged,
    choose_sharpness,
    choose_thresholds,
    softmax,
)
from router.classify.encoder import Doubles, Encoder
from router.classify.lexical import Lexical
from router.classify.mass import Tree
from router.classify.material import Material
from router.classify.training import TrainingSet, shipped, training_set
from router.core.evidence import Thresholds
from router.core.policy import Policy

SMALL_PACK = 1_000
"""Up to so many rows there are five folds instead of three: few examples suffer most from being made fewer."""

LARGE_PACK = 600_000
"""From so many rows times classes on one fold of three is enough to judge by: 150 tasks of 100 examples."""

ABSENT = -50.0
"""The score of a class that a fold has no example of."""


def fit(policy: Policy) -> Artefact:
    """Fit a model to the policy's examples. Imports scikit-learn; takes about two seconds for 150 tasks of 10."""
    return fit_material(Material.of(policy))


def key_of(material: Material) -> str:
    """Return the key of the artefact that fitting this material gives, by the constants of this version."""
    recipe = [
        3,  # raised when the code changes what a fit gives
        [lexical.GRAM_SIZES, lexical.GRAM_WEIGHT, lexical.RARE_ROWS],
        [regression.STRENGTH, regression.GROUP_SHARE, regression.LANDMARKS],
        [
            training.ABOUT_WEIGHT,
            training.NONE_WEIGHT,
            training.GOES_ON_WEIGHT,
            training.LEAST_WEIGHT,
            training.ENOUGH_NONE,
        ],
        [training.NEAR_NONE, training.NEAR_GOES_ON, SMALL_PACK, LARGE_PACK],
        [filtering.STAY, filtering.GOES_ON, filtering.WEIGHT],
        [DEFAULT_THRESHOLD, THRESHOLD_RANGE, SOFT_SHARE],
        [hashlib.sha256("\n".join(shipped(name)).encode()).hexdigest() for name in ("unrelated", "follow_ups")],
    ]
    return material.digest(json.dumps(recipe))


def fit_material(material: Material, encoder: Encoder | None = None) -> Artefact:
    """Fit a model. Without a single usable example the artefact has no classes and recognises nothing."""
    encoder = encoder or Lexical()
    key = key_of(material)
    rows = training_set(material, encoder)
    if rows is None:
        return _empty(material, key)
    scores, judged, predictable = out_of_fold(rows, encoder)
    sharpness = choose_sharpness(scores[predictable], rows.labels[predictable], rows.weights[predictable])
    truths = tuple(truth for truth, out in zip(rows.truths, judged.tolist(), strict=True) if out)
    unseen = Judged(softmax(scores[judged] * sharpness)[:, :-2], truths, rows.weights[judged])
    tree = Tree(material.paths, rows.classes)
    features = encoder.learn(rows.texts)
    coefficients, intercepts = regression.fit_softmax(features.rows(rows.texts), rows.labels, rows.weights, rows.groups)
    scorer = features.fold(coefficients)
    prior = np.bincount(rows.labels, rows.weights)
    return Artefact(
        key=key,
        paths=material.paths,
        classes=rows.classes,
        thresholds=choose_thresholds(unseen, tree, material.tolerance),
        sharpness=sharpness,
        intercepts=intercepts,
        prior=prior / prior.sum(),
        stay=filtering.STAY,
        goes_on=filtering.GOES_ON,
        weight=filtering.WEIGHT,
        boilerplate=material.boilerplate,
        encoder=encoder.name,
        words=scorer.words(),
        arrays=scorer.arrays(),
    )


def out_of_fold(rows: TrainingSet, encoder: Encoder) -> tuple[Doubles, Flags, Flags]:
    """Return scores by models that did not see the row, which rows have scores, and which could have been right.

    Rows that are not to be held out are part of every model. A class of one example is unknown to the model that is to
    score it. Rows without scores have zeros.
    """
    folds = 5 if len(rows) <= SMALL_PACK else 3
    fold = np.full(len(rows), -1, np.int64)
    for label in range(int(rows.labels.max()) + 1):
        members = np.flatnonzero((rows.labels == label) & rows.held)
        fold[members] = np.arange(len(members)) % folds
    scores = np.zeros((len(rows), len(rows.groups)))
    judged, predictable = np.zeros((2, len(rows)), np.bool_)
    for number in range(1 if scores.size > LARGE_PACK else folds):
        inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        known, labels = np.unique(rows.labels[inside], return_inverse=True)
        texts = [rows.texts[at] for at in inside]
        features = encoder.learn(texts)
        coefficients, intercepts = regression.fit_softmax(
            features.rows(texts), labels, rows.weights[inside], rows.groups[known]
        )
        scorer = features.fold(coefficients)
        scores[outside] = ABSENT
        for at in outside.tolist():
            found = scorer.score(rows.texts[at])
            scores[at, known] = intercepts if found is None else intercepts + found
        judged[outside] = True
        predictable[outside] = np.isin(rows.labels[outside], known)
    return scores, judged, predictable


def _empty(material: Material, key: str) -> Artefact:
    by_hand = (material.tolerance.threshold_domain, material.tolerance.threshold_task)
    return Artefact(
        key=key,
        paths=material.paths,
        classes=(),
        thresholds=Thresholds(tuple(DEFAULT_THRESHOLD if hand is None else hand for hand in by_hand)),
        sharpness=1.0,
        intercepts=np.zeros(0),
        prior=np.zeros(0),
        stay=filtering.STAY,
        goes_on=filtering.GOES_ON,
        weight=filtering.WEIGHT,
    )
