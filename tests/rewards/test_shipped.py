"""The signals and checks of the shipped packs, on what people and models write."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.cues.detectors import detect_language
from router.packs import load_pack
from router.rewards import PolicyAnswerRules
from router.rewards.checks import holds

HELPED, NOT_HELPED, WANTS_A_PERSON = {"resolved": 1.0}, {"resolved": 0.0}, {"resolved": 0.0, "escalated": 1.0}


@pytest.fixture(scope="module")
def policies(project: Path):
    return {name: load_pack(project / "policies" / name).policy for name in ("customer_support", "assistant")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Thanks a lot!", HELPED),
        ("ok thank you, bye", HELPED),
        ("Great, that worked.", HELPED),
        ("Thanks! And when will it arrive?", {}),  # goes on, and says nothing of how it was
        ("Thanks, but that's wrong", NOT_HELPED),
        ("It still doesn't work", NOT_HELPED),
        ("that did not help", NOT_HELPED),
        ("this isn’t what I asked", NOT_HELPED),
        ("You are useless", NOT_HELPED),
        ("You don't understand me", NOT_HELPED),
        ("I already told you the number", NOT_HELPED),
        ("Can I speak to a human please?", WANTS_A_PERSON),
        ("put me through to your supervisor", WANTS_A_PERSON),
        ("I want a real person", WANTS_A_PERSON),
        ("thanks, I'd rather talk to someone", WANTS_A_PERSON),
        ("12345", {}),
        ("My parcel has not arrived", {}),
        ("Is it a gift for a person of 60?", {}),
        ("Which agent delivers it?", {}),
    ],
)
def test_what_customers_say(policies, text, said):
    rules = PolicyAnswerRules(policies["customer_support"], detect_language)
    assert {s.metric: s.value for s in rules.in_turn(text, ["/billing"], ["/billing"])} == said


def test_coming_to_the_task_of_a_person_is_an_escalation(policies):
    rules = PolicyAnswerRules(policies["customer_support"], detect_language)
    met = rules.in_turn("12345", ["/complaints/human_agent"], ["/billing"])
    assert [(s.name, s.metric, s.value) for s in met] == [("handed_over", "escalated", 1.0)]
    assert [s.again_within_s for s in rules.again] == [259_200.0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Perfect, thanks", {"helpful": 1.0}),
        ("No, I meant the second one", {"helpful": 0.0}),
        ("That's not what I asked", {"helpful": 0.0}),
        ("try again", {"helpful": 0.0}),
        ("you forgot the last line", {"helpful": 0.0}),
        ("Now translate it into French", {}),
        ("Nothing else for now", {}),
    ],
)
def test_what_users_of_the_assistant_say(policies, text, said):
    rules = PolicyAnswerRules(policies["assistant"], detect_language)
    assert {s.metric: s.value for s in rules.in_turn(text, ["/"], ["/"])} == said


@pytest.mark.parametrize(
    ("task", "kind", "text", "held"),
    [
        ("/orders", "mentions_any", "What is your Order Number?", True),
        ("/orders", "mentions_any", "Your order not found", False),
        ("/small_talk/goodbye", "ends_with_question", "Good night! 👋\n", True),
        ("/small_talk/goodbye", "ends_with_question", "Good night! Anything else?\n", False),
        ("/small_talk", "max_words", "Hello! How can I help you today? 🙂", True),
    ],
)
def test_shipped_checks(policies, task, kind, text, held):
    lines = policies["customer_support"].tasks[task].instructions
    (check,) = [line.check for line in lines if line.check and line.check.kind == kind]
    assert holds(check, text, detect_language) is held
