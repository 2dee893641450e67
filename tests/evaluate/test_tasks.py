"""Task by task: scores against scikit-learn, pairs by hand."""

from __future__ import annotations

import random

import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from router.evaluate.summary import confused_pairs, macro_f1, task_scores, texts_by_task, weakest
from tests.evaluate.conftest import judged_by_hand

NAMES = ("/a", "/b", "/c")


def test_scores_are_scikit_learns() -> None:
    draw = random.Random(3)
    truth = [draw.choice(NAMES) for _ in range(200)]
    guess = [path if draw.random() < 0.7 else draw.choice(NAMES) for path in truth]
    scores = task_scores(judged_by_hand([(t, g, 0.5) for t, g in zip(truth, guess, strict=True)]))
    assert macro_f1(scores) == pytest.approx(f1_score(truth, guess, average="macro"), abs=1e-4)
    by_task = {score.task: score for score in scores}
    for at, path in enumerate(NAMES):
        score = by_task[path]
        assert score.rows == truth.count(path)
        assert score.recall == pytest.approx(recall_score(truth, guess, average=None)[at], abs=1e-4)
        assert score.precision == pytest.approx(precision_score(truth, guess, average=None)[at], abs=1e-4)


def test_what_a_task_is_taken_for_and_turns_of_no_task() -> None:
    outcomes = judged_by_hand(
        [("/a", "/b", 0.6), ("/a", "/b", 0.5), ("/a", "/c", 0.9), ("", "/a", 0.9), ("/c", "", 0.0)]
    )
    first, second = task_scores(outcomes)
    assert (first.task, first.rows, first.recall, first.precision, first.f1) == ("/a", 3, 0.0, None, 0.0)
    assert (first.taken_for, first.times) == ("/b", 2)
    assert (second.task, second.taken_for, second.times) == ("/c", "", 0)
    assert macro_f1(()) is None


def test_a_turn_of_several_tasks_counts_for_the_one_that_was_guessed() -> None:
    (score,) = task_scores(judged_by_hand([(("/a", "/b"), "/b", 0.6)]))
    assert (score.task, score.recall, score.precision) == ("/b", 1.0, 1.0)


def test_a_guess_below_a_truth_that_has_no_examples_is_no_mistake() -> None:
    outcomes = judged_by_hand([("/a", "/a/one", 0.8)], classes=["/a/one"])
    (score,) = task_scores(outcomes)
    assert (score.task, score.f1) == ("/a", 1.0) and confused_pairs(outcomes, {}) == ()


def test_the_weakest_come_first_and_the_perfect_not_at_all() -> None:
    rows = [("/a", "/a", 1.0)] * 3 + [("/b", "/c", 1.0)] + [("/c", "/c", 1.0)] * 2
    assert [score.task for score in weakest(task_scores(judged_by_hand(rows)), 5)] == ["/b", "/c"]


def test_pairs_hold_both_directions_with_the_text_most_alike() -> None:
    texts = ["refund my order", "refund please", "cancel it all", "where is it", "money for my order"]
    outcomes = judged_by_hand(
        [
            ("/refund", "/cancel", 0.4),
            ("/refund", "/cancel", 0.8),
            ("/cancel", "/refund", 0.9),
            ("/track", "/track", 0.9),
            ("/refund", "/refund", 0.9),
        ],
        texts=texts,
    )
    known = {"/cancel": ["stop it please", "cancel my order"], "/refund": ["pay it all back", "money"]}
    (pair,) = confused_pairs(outcomes, known)
    assert (pair.first, pair.second) == ("/cancel", "/refund")
    assert (pair.counts, pair.rows, pair.rate) == ((1, 2), (1, 3), 0.75)
    assert [(one.text, one.like) for one in pair.second_as_first] == [
        ("refund please", "stop it please"),
        ("refund my order", "cancel my order"),
    ]
    assert [(one.text, one.like) for one in pair.first_as_second] == [("cancel it all", "pay it all back")]
    assert texts_by_task(outcomes)["/cancel"] == ["cancel it all"]


def test_a_pair_with_nothing_to_compare_is_still_told() -> None:
    (pair,) = confused_pairs(judged_by_hand([("/a", "/b", 0.5)], texts=[""]), {})
    assert pair.first_as_second[0].like == ""
