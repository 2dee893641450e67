"""Signals: a rule of the pack is met, or is not."""

import pytest

from router.core.policy import Metric, Policy, Signal, Task
from router.rewards.answer_rules import Signals

POLICY = Policy(
    "shop",
    "r",
    {path: Task(path) for path in ("/", "/person", "/person/now", "/refund")},
    boilerplate=("(?m)^>.*$",),
    metrics={
        "resolved": Metric("resolved", "boolean"),
        "csat": Metric("csat", "rating", 1.0, 5.0),
        "escalated": Metric("escalated", "boolean", better="low"),
    },
    signals=(
        Signal("thanks", "resolved", 1.0, user_says=(r"(?i)\bthank(s| you)\b", r"(?i)\bdanke\b")),
        Signal("thanks", "csat", 5.0, user_says=(r"(?i)\bthanks\b",)),
        Signal("refused", "resolved", 0.0, answer_says=(r"(?i)\bI cannot help\b",)),
        Signal("handed_over", "escalated", 1.0, tasks=("/person",)),
        Signal("asked_again", "resolved", 0.0, again_within_s=3600.0),
    ),
)
SIGNALS = Signals(POLICY)


def named(found):
    return [(signal.name, signal.metric) for signal in found]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Thanks a lot!", [("thanks", "resolved"), ("thanks", "csat")]),
        ("DANKE 🙂", [("thanks", "resolved")]),
        ("> thanks\nand now?", []),  # quoted, not said
        ("thanksgiving", []),
        ("", []),
        ("\ud83d thanks", [("thanks", "resolved"), ("thanks", "csat")]),
    ],
)
def test_what_a_user_says(text, found):
    assert named(SIGNALS.in_user_turn(text)) == found


@pytest.mark.parametrize(("text", "met"), [("Sorry, I cannot help.", True), ("Thanks", False), ("", False)])
def test_what_an_answer_says(text, met):
    assert named(SIGNALS.in_answer(text)) == [("refused", "resolved")] * met


@pytest.mark.parametrize(
    ("paths", "before", "met"),
    [
        (["/person"], [], True),
        (["/person/now"], ["/refund"], True),
        (["/refund", "/person"], ["/refund"], True),
        (["/person"], ["/person/now"], False),  # it was there already
        (["/refund"], [], False),
        (["/gone"], ["/gone"], False),
    ],
)
def test_where_a_conversation_comes_to(paths, before, met):
    assert named(SIGNALS.in_tasks(paths, before)) == [("handed_over", "escalated")] * met


def test_coming_again_is_looked_up_by_the_caller():
    assert named(SIGNALS.again) == [("asked_again", "resolved")]


def test_a_policy_without_signals_has_none():
    nothing = Signals(Policy("p", "r", {"/": Task("/")}))
    assert not nothing and SIGNALS
    assert nothing.in_user_turn("thanks") == nothing.in_answer("x") == nothing.in_tasks(["/"]) == nothing.again == ()


@pytest.mark.parametrize("turned", [False, True])
def test_of_words_at_one_moment_the_worst_counts_metric_by_metric(turned):
    met = [
        Signal("thanks", "resolved", 1.0),
        Signal("complaint", "resolved", 0.0),
        Signal("calm", "escalated", 0.0),
        Signal("person", "escalated", 1.0),
        Signal("stars", "csat", 4.0),
    ]
    said = {(s.metric, s.value) for s in SIGNALS.one_word(met[::-1] if turned else met)}
    assert said == {("resolved", 0.0), ("escalated", 1.0), ("csat", 4.0)}
