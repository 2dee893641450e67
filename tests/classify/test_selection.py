"""Blocks are chosen by what they are worth on rows that the model had not seen."""

from __future__ import annotations

import numpy as np
import pytest

from router.classify.fit.selection import (
    LEXICAL,
    SEARCH_CLASSES,
    STATIC,
    STRENGTHS,
    STRUCTURE_WEIGHT,
    Hyperparameters,
    choose,
    out_of_fold,
    part_to_try,
    recipes,
)
from router.classify.fit.training import Material, TrainingSet, training_set
from tests.classify.conftest import EXAMPLES, lines, make_policy

PLAIN = Hyperparameters(STATIC, STRENGTHS[0])


def rows_of(examples: dict[str, tuple[str, ...]]) -> TrainingSet:
    rows = training_set(Material.of(make_policy(examples)))
    assert rows is not None
    return rows


@pytest.fixture(scope="module")
def rows() -> TrainingSet:
    return rows_of({path: lines(text) for path, text in EXAMPLES.items()})


def test_no_row_is_scored_by_a_model_that_saw_it() -> None:
    odd_ones = ("xqzv wkjh", "bbnm ttyk", "jjpw ovvd", "ghfx uuqz", "kkwl ixxa", "zrrc eeqp")
    marked = {path: (*lines(text), odd) for (path, text), odd in zip(EXAMPLES.items(), odd_ones, strict=True)}
    rows = rows_of(marked)
    [unseen] = out_of_fold(rows, [Hyperparameters(LEXICAL, STRENGTHS[0])], 5)
    assert unseen.judged[rows.held].all() and unseen.predictable[rows.held].all()
    odd = [at for at, text in enumerate(rows.texts) if text in odd_ones]
    right = [unseen.scores[at, : len(rows.classes)].argmax() == rows.labels[at] for at in odd]
    assert sum(right) < len(odd) / 2
    tasks = rows.labels < len(rows.classes)
    assert (unseen.scores[tasks].argmax(axis=1) == rows.labels[tasks]).mean() > 0.4


def test_trials_side_by_side_are_trials_one_by_one(rows: TrainingSet) -> None:
    other = Hyperparameters((*STATIC, ("structure", STRUCTURE_WEIGHT)), 5.0)
    both = out_of_fold(rows, [PLAIN, other], 3)
    for candidate, together in zip((PLAIN, other), both, strict=True):
        [alone] = out_of_fold(rows, [candidate], 3)
        assert np.allclose(alone.scores, together.scores)


def test_the_parts_of_a_row_are_scored_by_the_models_that_had_not_seen_it(rows: TrainingSet) -> None:
    parts = [(at, rows.texts[at]) for at in (0, 7, 20)]
    [unseen] = out_of_fold(rows, [PLAIN], 3, parts=parts)
    assert np.allclose(unseen.parts, unseen.scores[[0, 7, 20]])


def test_only_some_folds_may_be_worked_through(rows: TrainingSet) -> None:
    [unseen] = out_of_fold(rows, [PLAIN], 3, 1)
    assert 0.2 < unseen.judged.mean() < 0.5 and (unseen.predictable <= unseen.judged).all()
    assert not unseen.scores[~unseen.judged].any()


def test_a_task_of_one_example_cannot_be_predicted() -> None:
    rows = rows_of({"/a": ("refund me", "money back", "refund please"), "/b": ("where is my parcel",)})
    [unseen] = out_of_fold(rows, [PLAIN], 3)
    only = rows.texts.index("where is my parcel")
    assert unseen.judged[only] and not unseen.predictable[only]


def test_how_a_message_is_built_is_used_where_it_tells() -> None:
    """The same subjects in both tasks; only the openings tell them apart."""
    subjects = ["the book", "my mail", "this report", "a long letter", "our contract", "the news", "her speech", "it all",
                "that story", "the minutes", "his paper", "the manual"]  # fmt: skip
    kinds = {"/short": "please give me briefly", "/why": "please give me reasons for", "/other": "please say aloud"}
    rows = rows_of({path: tuple(f"{words} {subject}" for subject in subjects) for path, words in kinds.items()})
    built = (*LEXICAL, ("structure", STRUCTURE_WEIGHT))
    with_marks, without = (
        unseen.log_loss(rows)
        for unseen in out_of_fold(rows, [Hyperparameters(built, 20.0), Hyperparameters(LEXICAL, 20.0)], 3)
    )
    assert with_marks < without
    assert "structure" in dict(choose(rows, (LEXICAL, built)).recipe)


def test_a_later_recipe_must_be_better_by_a_margin(rows: TrainingSet) -> None:
    twice = (("lexical", 1.0), ("static", 1.0 + 1e-9))
    assert choose(rows, (STATIC, twice)).recipe == STATIC


def test_a_trial_takes_few_classes_with_their_neighbours() -> None:
    names = [f"/d{at // 10}/t{at:03}" for at in range(120)]
    rows = rows_of({name: tuple(f"{word} {name[-3:]}" for word in ("alpha", "beta", "gamma")) for name in names})
    part = part_to_try(rows)
    assert len(part.classes) == SEARCH_CLASSES and part.labels.max() == SEARCH_CLASSES + 1
    run = SEARCH_CLASSES // 3
    assert part.classes[:run] == rows.classes[:run] and part.classes[-run:] == rows.classes[-run:]
    for text, label in zip(part.texts, part.labels.tolist(), strict=True):
        was = rows.labels[rows.texts.index(text)]
        assert label >= SEARCH_CLASSES or part.classes[label] == rows.classes[was]


def test_an_unknown_encoder_has_no_recipes() -> None:
    with pytest.raises(ValueError, match="psychic"):
        recipes("psychic")
