"""The whole fit on packs of every shape."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType

import numpy as np
import pytest

from router.classify import Artefact, LinearRecogniser, belief, cross_validate, fit_policy
from router.classify.fit import fitting
from router.classify.fit.training import Material
from router.core.policy import Dialogue, DialogueTurn, Policy, PolicySettings, Task
from tests.classify.conftest import EXAMPLES, lines, make_policy


def test_equal_policies_give_equal_bytes(policy: Policy, artefact: Artefact) -> None:
    shuffled = dataclasses.replace(policy, tasks=MappingProxyType(dict(reversed(policy.tasks.items()))))
    assert fit_policy(shuffled).dump() == artefact.dump()


def test_a_large_pack_is_judged_by_one_fold(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cross_validate(Material.of(policy))
    monkeypatch.setattr(fitting, "LARGE_PACK", 0)
    part = cross_validate(Material.of(policy))
    assert 0.1 < len(part.texts) / len(whole.texts) < 0.4
    assert part.artefact.classes == whole.artefact.classes


def test_a_study_tells_what_was_not_seen_from_what_is_shipped(policy: Policy) -> None:
    told: list[float] = []
    found = cross_validate(Material.of(policy), told.append)
    assert told == sorted(told) and told[-1] == 1.0
    own = [text for text, mine in zip(found.texts, found.own.tolist(), strict=True) if mine]
    assert own == [text for path in sorted(EXAMPLES) for text in lines(EXAMPLES[path])]
    assert {truth for truth, mine in zip(found.truths, found.own.tolist(), strict=True) if not mine} == {"/"}
    assert found.probabilities.shape == (len(found.texts), len(found.artefact.classes))
    assert (found.probabilities.sum(axis=1) <= 1.0 + 1e-9).all()


def test_the_language_of_the_pack_decides_on_the_blocks() -> None:
    """The shipped table knows English; a pack it does not help is fitted without it, or at least not worse."""
    names = [
        block.name
        for block in fit_policy(
            make_policy({"/a": ("refund me",) * 3}, settings=PolicySettings(encoder="lexical"))
        ).blocks
    ]
    assert "lexical" in names and "static" not in names
    assert "static" in [block.name for block in fit_policy(make_policy({"/a": ("refund me", "money back")})).blocks]


def test_an_unknown_encoder_is_refused() -> None:
    with pytest.raises(ValueError, match="psychic"):
        fit_policy(make_policy({"/a": ("refund me",)}, settings=PolicySettings(encoder="psychic")))


def test_thresholds_by_hand_reach_the_artefact() -> None:
    policy = make_policy(
        {"/a": ("refund me", "money back")}, settings=PolicySettings(threshold_sure=0.8, threshold_shortlist=0.7)
    )
    for asked in (policy, make_policy({}, settings=policy.settings)):
        found = fit_policy(asked).thresholds
        assert (found.sure, found.shortlist) == (0.8, 0.7)


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
    recogniser = LinearRecogniser(fit_policy(make_policy(examples)))
    for text in ("refund me please", "where is my parcel", "", "12345", "😀", "我要退款"):
        _, belief = recogniser.step(None, text)
        assert all(0.0 <= mass <= 1.0 for mass in belief.mass.values())
        assert sum(recogniser.scores(text).values()) == pytest.approx(1.0)


def test_a_pack_without_examples_believes_nothing() -> None:
    recogniser = LinearRecogniser(fit_policy(make_policy({"/a": ()})))
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
    mass = LinearRecogniser(fit_policy(policy)).step(None, "a billing question")[1].mass
    assert mass["/billing"] > 2 * mass.get("/billing/refund", 0.0)


def test_probabilities_are_nearly_calibrated_on_what_was_not_seen(policy: Policy) -> None:
    half = {path: lines(text)[::2] for path, text in EXAMPLES.items()}
    recogniser = LinearRecogniser(fit_policy(make_policy(half)))
    sure, right = [], []
    for path, text in EXAMPLES.items():
        for example in lines(text)[1::2]:
            scores = recogniser.scores(example)
            scores.pop("/")
            best = max(scores, key=scores.__getitem__)
            sure.append(scores[best])
            right.append(best == path)
    assert abs(np.mean(sure) - np.mean(right)) < 0.25


def test_labelled_dialogues_set_the_pace() -> None:
    """Where every dialogue changes its task at each turn, less is held of what was said before."""
    texts = {path: lines(text) for path, text in EXAMPLES.items()}
    paths = sorted(texts)

    def talks(stride: int) -> tuple[Dialogue, ...]:
        return tuple(
            Dialogue(
                tuple(
                    DialogueTurn("user", texts[path][start], path)
                    for turn in range(4)
                    for path in [paths[(start + turn * stride) % len(paths)]]
                )
            )
            for start in range(8)
        )

    jumping, staying = (fit_policy(make_policy(texts, dialogues=talks(stride))) for stride in (1, 0))
    assert jumping.stay < staying.stay
    assert fit_policy(make_policy(texts)).stay == belief.STAY


def test_a_pack_of_one_task_keeps_quiet_about_all_else() -> None:
    """The first pack that anybody writes."""
    asked = [
        "late check-out please",
        "can I check out later",
        "may we stay in the room until two",
        "is a late departure ok",
    ]
    asked += [
        "how much is a late check-out",
        "we need the room till noon, our train goes late",
        "checkout at 3 pm possible",
    ]
    asked += [
        "could we leave later on Sunday",
        "I'd like to keep my room a few hours longer",
        "late checkout for room 12",
    ]
    recogniser = LinearRecogniser(
        fit_policy(
            Policy("inn", "1", {"/": Task("/", children=("/late",)), "/late": Task("/late", examples=tuple(asked))})
        )
    )
    at = recogniser.thresholds.at("/late")
    for text in ("who won the world cup?", "can I bring my dog?", "write me a python function", "asdf qwer"):
        assert recogniser.scores(text)["/late"] < at, text
    for text in ("is it possible to check out later, at one?", "we would like a late departure"):
        assert recogniser.scores(text)["/late"] >= at, text
