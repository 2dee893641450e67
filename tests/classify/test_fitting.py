"""The whole fit on packs of every shape."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType

import numpy as np
import pytest

from router.classify import Artefact, LinearRecogniser, fit, fitting
from router.classify.fitting import out_of_fold
from router.classify.lexical import Lexical
from router.classify.material import Material
from router.classify.training import training_set
from router.core.policy import Policy, Settings
from tests.classify.conftest import EXAMPLES, lines, make_policy


def test_equal_policies_give_equal_bytes(policy: Policy, artefact: Artefact) -> None:
    shuffled = dataclasses.replace(policy, tasks=MappingProxyType(dict(reversed(policy.tasks.items()))))
    assert fit(shuffled).dump() == artefact.dump()


def test_no_row_is_scored_by_a_model_that_saw_it(policy: Policy) -> None:
    marked = {path: (*lines(text), f"zzmark{path[-3:]} qqmark{path[-3:]}") for path, text in EXAMPLES.items()}
    rows = training_set(Material.of(make_policy(marked)), Lexical())
    assert rows is not None
    scores, judged, predictable = out_of_fold(rows, Lexical())
    assert judged.all() and predictable.all()
    odd = [at for at, text in enumerate(rows.texts) if text.startswith("zzmark")]
    right = [scores[at].argmax() == rows.labels[at] for at in odd]
    assert sum(right) < len(odd)
    tasks = rows.labels < len(rows.classes)
    assert (scores[tasks].argmax(axis=1) == rows.labels[tasks]).mean() > 0.4


def test_a_large_pack_is_judged_by_one_fold(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "LARGE_PACK", 0)
    rows = training_set(Material.of(policy), Lexical())
    assert rows is not None
    scores, judged, predictable = out_of_fold(rows, Lexical())
    assert 0.1 < judged.mean() < 0.4 and (predictable <= judged).all() and not scores[~judged].any()
    assert fit(policy).classes == rows.classes


def test_thresholds_by_hand_reach_the_artefact() -> None:
    policy = make_policy(
        {"/a": ("refund me", "money back")}, settings=Settings(threshold_domain=0.7, threshold_task=0.8)
    )
    assert fit(policy).thresholds.by_depth == (0.7, 0.8)
    assert fit(make_policy({}, settings=policy.settings)).thresholds.by_depth == (0.7, 0.8)


@pytest.mark.parametrize(
    "examples",
    [
        {},
        {"/a": ()},
        {"/a": ("refund me",)},
        {"/a": ("refund me",), "/b": ("where is my parcel",)},
        {"/a/b/c/d": ("refund me", "money back"), "/a": ("billing question", "about my bill")},
        {"/a": ("the same text",), "/b": ("the same text",)},
        {"/a": ("same", "same", "same"), "/b": ("12345", "67890", "1")},
        {"/a": ("😀", "👍👍"), "/b": ("", " ", "?")},
        {"/a": ("أين طردي؟", "اين الطرد"), "/b": ("我要退款", "退款")},
        {"/a": ("refund " * 20_000, "money back"), "/b": ("x" * 100_000, "parcel")},
        {"/a": tuple(f"refund number {'abcdefghij'[i % 10]}{i}" for i in range(120)), "/b": ("where is my parcel",)},
    ],
    ids=[
        "none",
        "empty",
        "one",
        "one each",
        "deep and inner",
        "twins",
        "all alike",
        "marks",
        "scripts",
        "huge",
        "skewed",
    ],
)
def test_packs_of_every_shape_are_fitted_and_serve(examples: dict[str, tuple[str, ...]]) -> None:
    recogniser = LinearRecogniser(fit(make_policy(examples)))
    for text in ("refund me please", "where is my parcel", "", "12345", "😀", "我要退款"):
        _, belief = recogniser.step(None, text)
        assert all(0.0 <= mass <= 1.0 for mass in belief.mass.values())
        assert sum(recogniser.scores(text).values()) == pytest.approx(1.0)


def test_a_pack_without_examples_believes_nothing() -> None:
    recogniser = LinearRecogniser(fit(make_policy({"/a": ()})))
    state, belief = recogniser.step(None, "refund me")
    assert belief.mass == {} and recogniser.scores("refund me") == {"/": 1.0}
    assert recogniser.step(state, "and again")[1].mass == {}


def test_examples_of_an_inner_task_weigh_for_it_alone() -> None:
    policy = make_policy(
        {
            "/billing": ("a question about billing", "something with billing", "billing department please"),
            "/billing/refund": ("I want my money back", "refund please", "give me a refund"),
            "/delivery": ("where is my parcel", "parcel not here", "track the parcel"),
        }
    )
    mass = LinearRecogniser(fit(policy)).step(None, "a billing question")[1].mass
    assert mass["/billing"] > 2 * mass.get("/billing/refund", 0.0)


def test_probabilities_are_nearly_calibrated_on_what_was_not_seen(policy: Policy) -> None:
    half = {path: lines(text)[::2] for path, text in EXAMPLES.items()}
    recogniser = LinearRecogniser(fit(make_policy(half)))
    sure, right = [], []
    for path, text in EXAMPLES.items():
        for example in lines(text)[1::2]:
            scores = recogniser.scores(example)
            scores.pop("/")
            best = max(scores, key=scores.__getitem__)
            sure.append(scores[best])
            right.append(best == path)
    assert abs(np.mean(sure) - np.mean(right)) < 0.25
