"""Masses of nodes from probabilities of classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.classify.belief import Tree
from router.core.evidence import MASS_FLOOR, Likely

PATHS = ("/", "/a", "/a/x", "/a/y", "/a-b", "/b", "/b/z", "/b/z/deep", "/c")
CLASSES = ("/a/x", "/a/y", "/a-b", "/b", "/b/z/deep", "/c")


def test_a_node_weighs_what_lies_below_it_and_itself() -> None:
    mass = Tree(PATHS, CLASSES).belief(np.array([0.3, 0.2, 0.1, 0.15, 0.05, 0.004])).mass
    assert mass == pytest.approx(
        {"/a": 0.5, "/a/x": 0.3, "/a/y": 0.2, "/a-b": 0.1, "/b": 0.2, "/b/z": 0.05, "/b/z/deep": 0.05}
    )


@pytest.mark.parametrize(("weight", "kept"), [(0.00994, {}), (0.00996, {"/c": 0.01}), (0.012345, {"/c": 0.0123})])
def test_masses_are_rounded_and_then_held_to_the_floor(weight: float, kept: dict[str, float]) -> None:
    assert Tree(PATHS, CLASSES).belief(np.array([0.0, 0.0, 0.0, 0.0, 0.0, weight])).mass == kept


@given(st.lists(st.floats(0, 1), min_size=6, max_size=6))
def test_a_child_never_weighs_more_than_its_parent(weights: list[float]) -> None:
    probabilities = np.array(weights) / max(1.0, sum(weights))
    mass = Tree(PATHS, CLASSES).belief(probabilities).mass
    assert "/" not in mass
    for path, value in mass.items():
        assert MASS_FLOOR <= value == round(value, 4)
        parent = path.rpartition("/")[0]
        assert not parent or mass[parent] >= value


def test_classes_in_another_order_are_refused() -> None:
    with pytest.raises(ValueError, match="order"):
        Tree(PATHS, ("/b", "/a/x"))
    with pytest.raises(ValueError, match="order"):
        Tree(PATHS, ("/unknown",))


def test_the_likeliest_tasks_come_heaviest_first_and_of_equal_ones_the_first() -> None:
    tree = Tree(PATHS, CLASSES)
    belief = tree.belief(np.array([0.1, 0.3, 0.1, 0.0, 0.3, 0.00004]))
    assert belief.likeliest == tuple(Likely(CLASSES[at], mass) for at, mass in ((1, 0.3), (4, 0.3), (0, 0.1), (2, 0.1)))
    assert belief.known == 0.8
    sure = tree.belief(np.array([0.001, 0.0, 0.99, 0.0, 0.004, 0.0]))
    assert sure.likeliest == (Likely("/a-b", 0.99), Likely("/b/z/deep", 0.004)), "two are always told"
    many = Tree(("/", *"abcdefg"), tuple("abcdefg")).belief(np.full(7, 0.1))
    assert [likely.path for likely in many.likeliest] == list("abcde")
