"""Judged turns: the guess, the domain, and what counts as right."""

from __future__ import annotations

import pytest

from router.core.evidence import Belief, Likely
from router.evaluate.outcomes import applies, heaviest_domain, is_right, judged, known_mass
from tests.evaluate.conftest import tree_of

PATHS = ("/a", "/a/one", "/a/two", "/a/two/deep", "/b", "/b/one", "/c")
CLASSES = ("/a", "/a/one", "/a/two/deep", "/b/one", "/c")
TREE = tree_of(*PATHS)


def test_the_guess_is_the_heaviest_task_with_examples_of_its_own() -> None:
    inner = Belief({"/a": 0.9, "/a/one": 0.2}, (Likely("/a", 0.7), Likely("/a/one", 0.2)))
    (row,) = judged([("text", ("/a",), inner)], TREE, CLASSES)
    assert (row.guess, row.confidence, row.right) == ("/a", 0.7, True)


@pytest.mark.parametrize("belief", [Belief({}), Belief({}, (Likely("/c", 0.0),), known=0.0)])
def test_a_belief_in_nothing_guesses_nothing(belief: Belief) -> None:
    (row,) = judged([("text", ("/c",), belief)], TREE, CLASSES)
    assert (row.guess, row.right) == ("", False)
    assert heaviest_domain(belief, TREE) == "" and known_mass(belief, TREE) == 0.0


def test_domains_are_the_branches_below_the_root() -> None:
    belief = Belief({"/a": 0.3, "/a/one": 0.3, "/b": 0.5, "/b/one": 0.5})
    assert heaviest_domain(belief, TREE) == "/b" and known_mass(belief, TREE) == 0.8


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
