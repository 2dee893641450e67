"""Judged turns: the way down, the guess, and what counts as right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.classify.belief import Tree
from router.core.decide import settle
from router.core.evidence import Belief, Thresholds
from router.evaluate.outcomes import applies, deepest_of, heaviest_way, is_right, most_probable, walk_down
from tests.evaluate.conftest import outcomes_by_hand, tree_of

PATHS = ("/a", "/a/one", "/a/two", "/a/two/deep", "/b", "/b/one", "/c")
CLASSES = ("/a", "/a/one", "/a/two/deep", "/b/one", "/c")
TASKS = tree_of(*PATHS)


@given(st.lists(st.lists(st.integers(1, 60), min_size=6, max_size=6), min_size=1, max_size=12))
def test_rows_and_single_beliefs_are_read_alike(weights: list[list[int]]) -> None:
    probabilities = np.array(weights, np.float64)
    probabilities = (probabilities / probabilities.sum(axis=1, keepdims=True))[:, :-1]
    tree = Tree(tuple(TASKS), CLASSES)
    masses = tree.all_masses(probabilities)
    steps = walk_down(tree, masses)
    for row, vector in enumerate(masses.tolist()):
        mass = dict(zip(tree.nodes, vector, strict=True))
        way = heaviest_way(mass, TASKS)
        found = [(step.paths[row], step.masses[row]) for step in steps if step.paths[row]]
        if len(set(vector)) == len(vector):
            assert [path for path, _ in way] == [path for path, _ in found]
            assert way[-1][0] == settle(TASKS, Belief(mass), Thresholds((0.0, 0.0)))[0].path
        assert [weight for _, weight in way][:1] == pytest.approx([weight for _, weight in found][:1])
        guess, sure = most_probable(mass, CLASSES)
        assert sure == pytest.approx(probabilities[row].max())
        assert probabilities[row][CLASSES.index(guess)] == pytest.approx(sure)


def test_a_belief_in_nothing_guesses_nothing() -> None:
    assert most_probable({}, CLASSES) == ("", 0.0) and heaviest_way({}, TASKS) == []
    assert most_probable({"/b": 0.4}, CLASSES) == ("", 0.0), "/b has no examples of its own"


@pytest.mark.parametrize(
    ("guess", "truth", "right"),
    [
        ("/a/one", ("/a/one",), True),
        ("/a/one", ("/a",), False),  # /a has examples of its own: the model could have known
        ("/b/one", ("/b",), True),  # /b has none: the label says no more
        ("/a", ("/a/one",), False),
        ("/c", ("/a/one", "/c"), True),
        ("/c", (), False),
        ("", ("/c",), False),
    ],
)
def test_a_guess_is_as_right_as_the_label_can_tell(guess: str, truth: tuple[str, ...], right: bool) -> None:
    assert is_right(guess, truth, CLASSES) is right


@pytest.mark.parametrize(
    ("path", "truth", "does"),
    [
        ("/a", ("/a/one",), True),
        ("/a/one", ("/a/one",), True),
        ("/a/one", ("/a",), False),
        ("/a", ("/ab",), False),
        ("/a", (), False),
        ("", ("/a",), False),
        ("/b", ("/a", "/b/one"), True),
    ],
)
def test_text_applies_on_the_lineage_of_the_truth(path: str, truth: tuple[str, ...], does: bool) -> None:
    assert applies(path, truth) is does


def test_rows_can_be_chosen() -> None:
    outcomes = outcomes_by_hand([("/a/one", [("/a", 0.9), ("/a/one", 0.8)]), ("", [("/c", 0.3)]), ("/c", [])])
    assert outcomes.in_scope.tolist() == [True, False, True]
    asked = outcomes.chosen(outcomes.in_scope)
    assert len(asked) == 2 and asked.truths == (("/a/one",), ("/c",))
    assert asked.walk[0].paths == ("/a", "") and asked.walk[1].masses.tolist() == [0.8, 0.0]
    assert outcomes.reaching(2).tolist() == [True, False, False]
    assert outcomes.on_lineage(1).tolist() == [True, False, False]


def test_depths() -> None:
    assert deepest_of(PATHS) == 3 and deepest_of(["/"]) == 0 and deepest_of([]) == 0
