"""Turns that ask for nothing, pasted texts, and what the assistant asked: through the recogniser."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from router.classify import Artefact, LinearRecogniser, fit_policy
from router.core.decide import settle
from router.core.policy import Policy
from router.core.ports import RecogniserState
from tests.classify.conftest import EXAMPLES, lines, make_policy
from tests.classify.test_cleaning import FAILING, JSON, TRACE
from tests.classify.test_small_talk import CASES

Paths = Callable[..., tuple[str, ...]]


def settled(policy: Policy, recogniser: LinearRecogniser, *turns: str) -> tuple[str, ...]:
    state: RecogniserState | None = None
    paths: tuple[str, ...] = ("/",)
    for turn in turns:
        state, belief = recogniser.step(state, turn)
        paths = tuple(path.path for path in settle(policy.tasks, belief, recogniser.thresholds, 2).paths)
    return paths


@pytest.fixture(scope="module")
def talker(artefact: Artefact) -> LinearRecogniser:
    return LinearRecogniser(artefact)


@pytest.mark.parametrize("text", [text for text, _ in CASES])
def test_small_talk_moves_no_belief_and_settles_nowhere(policy: Policy, talker: LinearRecogniser, text: str) -> None:
    assert settled(policy, talker, text) == ("/",)
    state, belief = talker.step(None, "I want my money back for the lamp")
    after, same = talker.step(state, text, "Shall I reset your password?")
    assert after == state and same.mass == belief.mass
    assert settled(policy, talker, text, "where is my parcel") == ("/delivery/track",)


def test_a_pack_with_a_task_for_thanks_opens_with_it_and_keeps_the_task_afterwards() -> None:
    thanks = ("thanks", "thank you so much", "many thanks", "ok, thank you", "thanks a lot for your help", "thx")
    policy = make_policy({path: lines(text) for path, text in EXAMPLES.items()} | {"/talk/thanks": thanks})
    recogniser = LinearRecogniser(fit_policy(policy))
    assert settled(policy, recogniser, "thank you very much") == ("/talk/thanks",)
    assert settled(policy, recogniser, "vielen Dank, tschüss") in (("/",), ("/talk/thanks",))
    refund = settled(policy, recogniser, "I want my money back for the lamp, please refund my order")
    assert refund == ("/billing/refund",)
    assert (
        settled(policy, recogniser, "I want my money back for the lamp, please refund my order", "Thanks, that's all!")
        == refund
    )
    assert settled(policy, recogniser, "thanks", "where is my parcel") == ("/delivery/track",)


ASK = "I forgot my password, how do I reset it"


@pytest.mark.parametrize(
    "text",
    [
        f"{ASK}\n\nOn Mon, 3 Mar 2026, Shop wrote:\n> Where is my parcel?\n> Your invoice is attached.",
        f"{ASK}\n\n-----Original Message-----\nFrom: Shop\n\nPlease refund my order, I want my money back.",
        f"{ASK}\n-- \nAnn Lee\nInvoice and billing department",
        f"{ASK}\n```\n" + "total = fold(rows, key=first)\n" * 40 + "```",
        f"{ASK}\n{TRACE}",
        f"{ASK}\n{FAILING}",
        f"{ASK}\n{JSON}",
        f"{ASK} 3f2504e0-4f89-41d3-9a0c-0305e82c3301",
        f"{ASK}\n{'QUJD' * 50}",
        ASK.upper(),
        f"{ASK} 😡😡😡",
    ],
    ids=lambda text: repr(text[30:60]),
)
def test_what_is_pasted_beside_a_request_does_not_hide_it(policy: Policy, talker: LinearRecogniser, text: str) -> None:
    assert settled(policy, talker, text) == ("/account/password",)


def test_what_the_assistant_asked_is_weighed_with_a_turn_that_speaks(talker: LinearRecogniser) -> None:
    state, _ = talker.step(None, "I cannot log in and I still wait for my parcel")
    asked = talker.step(state, "it should have come to my office", "Where should we send your parcel?")[1].mass
    other = talker.step(state, "it should have come to my office", "Did you forget your password?")[1].mass
    assert asked.get("/delivery", 0.0) >= other.get("/delivery", 0.0)
    assert asked != other
