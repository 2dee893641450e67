"""What is said about a pack: planted mistakes are found, with their places."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from router.classify import CrossValidation, fit_policy
from router.classify.fit.training import Material
from router.evaluate import suggestions
from router.evaluate.suggestions import SURE, example_places, label_issues, merges
from router.evaluate.summary import ConfusedPair
from router.packs import Pack
from tests.classify.conftest import EXAMPLES, lines
from tests.evaluate.conftest import policy_of

NESTED = {
    "billing": {"refund": lines(EXAMPLES["/billing/refund"]), "invoice": lines(EXAMPLES["/billing/invoice"])},
    "delivery": {"track": lines(EXAMPLES["/delivery/track"]), "address": lines(EXAMPLES["/delivery/address"])},
}


def pair(first: str, counts: tuple[int, int], rows: tuple[int, int]) -> ConfusedPair:
    return ConfusedPair(first, "/z", counts, rows, round(sum(counts) / sum(rows), 4), (), ())


def test_only_what_is_confused_both_ways_and_often_is_to_be_merged() -> None:
    pairs = [
        pair("/often", (4, 3), (10, 10)),
        pair("/one way", (9, 0), (10, 10)),
        pair("/rarely", (4, 4), (50, 50)),
        pair("/by accident", (1, 1), (2, 2)),
        pair("/always", (5, 5), (5, 5)),
    ]
    assert [merge.first for merge in merges(pairs)] == ["/always", "/often"]


@pytest.fixture(scope="module")
def small_study() -> Callable[..., CrossValidation]:
    artefact = fit_policy(policy_of("/a", "/b"))  # no examples: only its shape is wanted

    def make(rows: list[tuple[str, tuple[float, float], bool]]) -> CrossValidation:
        from dataclasses import replace

        return CrossValidation(
            replace(artefact, classes=("/a", "/b")),
            tuple(f"text {at}" for at in range(len(rows))),
            tuple(truth for truth, _, _ in rows),
            np.array([probabilities for _, probabilities, _ in rows]),
            np.ones(len(rows)),
            np.array([own for _, _, own in rows]),
        )

    return make


def test_a_label_is_doubted_where_another_class_is_surer_than_at_home(
    small_study: Callable[..., CrossValidation],
) -> None:
    study = small_study(
        [
            ("/a", (0.90, 0.05), True),
            ("/a", (0.80, 0.10), True),
            ("/a", (0.05, 0.95), True),  # doubted: as sure of /b as its own rows
            ("/a", (0.10, 0.74), True),  # not sure enough to trouble anybody
            ("/b", (0.05, 0.90), True),
            ("/b", (0.10, 0.85), True),
            ("/b", (0.01, 0.02), True),  # doubted: looks like no task
            ("/", (0.03, 0.02), True),
            ("/", (0.01, 0.02), False),
            ("/", (0.98, 0.01), False),  # a shipped text is nobody's to correct
        ]
    )
    found = label_issues(study, {("/a", "text 2"): ("pack.yaml", 7)})
    assert [(one.text, one.task, one.guess, one.file, one.line) for one in found] == [
        ("text 6", "/b", "/", "", 0),
        ("text 2", "/a", "/b", "pack.yaml", 7),
    ]
    assert all(one.confidence >= SURE for one in found)
    assert label_issues(small_study([("/", (0.9, 0.0), False)]), {}) == ()


def test_places_of_examples_are_those_of_the_file(make_pack: Callable[..., Pack]) -> None:
    long = "refund " * 2_000
    pack = make_pack({"refund": ["money back", long], "track": ["parcel"]}, unrelated=["tell me a joke"])
    places = example_places(pack)
    assert {path for path, _ in places} == {"/", "/refund", "/track"}
    assert len(places) == 4 and all(file.endswith("by_hand.yaml") for file, _ in places.values())


def test_halves_part_the_examples_of_each_task(make_pack: Callable[..., Pack]) -> None:
    material = Material.of(make_pack(NESTED).policy)
    halves = [suggestions._half(material, number) for number in (0, 1)]
    assert not set(halves[0].examples) & set(halves[1].examples)
    assert sorted(halves[0].examples + halves[1].examples) == sorted(material.examples)
    assert len(halves[0].examples) == len(halves[1].examples)


def test_the_learning_curve_follows_the_power_that_the_halves_show(
    make_pack: Callable[..., Pack], small_study: Callable[..., CrossValidation], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"text {at}" for at in range(40)]
    material = Material.of(make_pack({"a": rows, "b": [row + " b" for row in rows]}).policy)

    def rows_missing(miss_a: float, miss_b: float, each: int) -> CrossValidation:
        a, b = [("/a", (1 - miss_a, 0.0), True)] * each, [("/b", (0.0, 1 - miss_b), True)] * each
        return small_study(a + b)

    # Halving the examples doubles the misses of /a and does nothing to those of /b.
    monkeypatch.setattr(suggestions, "cross_validate", lambda half, progress: rows_missing(0.4, 0.1, 20))
    told: list[float] = []
    found = suggestions.growth(rows_missing(0.2, 0.1, 40), material, told.append)
    assert found is not None
    assert [gain.task for gain in found.gains] == ["/a", "/b"]
    first, second = found.gains
    assert first.examples == 40 and first.gain > 0.02 > second.gain
    assert first.left(10) == pytest.approx((1 - first.then) / (1 - first.now), abs=1e-3) and first.left(0) == 1.0
    assert first.then > first.now > 0.8 and second.now == pytest.approx(0.9, abs=0.02)
    assert found.points == ((16.0, 0.75), (32.0, 0.85))
    assert found.power == pytest.approx(np.log(0.25 / 0.15) / np.log(2), abs=1e-3)


def test_there_is_no_curve_without_examples_to_halve(
    make_pack: Callable[..., Pack], small_study: Callable[..., CrossValidation], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = small_study([("/a", (0.9, 0.0), True)])
    monkeypatch.setattr(suggestions, "cross_validate", lambda half, progress: one)
    material = Material.of(make_pack({"a": ["only one"], "b": ["and another"]}).policy)
    assert suggestions.growth(one, material, lambda done: None) is None
