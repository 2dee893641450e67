"""Looking at growing conversations: what was sent stays a prefix, whatever changes on the way."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.compose import CASES, NOTHING_MORE
from router.core.errors import RequestError
from router.core.policy import AuxiliaryRule, Condition, Cue, Instruction, Level
from router.core.voice import OWN_TAGS_LINE
from router.engine.prepare import INLINE_BYTES, PreparedRequest
from tests.support.parts import CHAT, Clock, WordRecogniser, body, call, preparer, sent_messages, small_policy, snapshot

TALK = ["I want a refund", "Sure.", "It broke", "I see.", "Now where is my parcel?", "On its way.", "And the refund?"]


def test_the_head_says_the_first_task_and_a_switch_speaks_before_its_own_turn() -> None:
    messages = sent_messages(preparer(), body(*TALK[:5]))
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert messages[0]["content"] == "Be polite.\n\n- Promise nothing.\nHelp with the refund."
    assert "Say where the parcel is." in messages[-1]["content"]
    assert messages[-1]["content"].endswith("Now where is my parcel?")
    assert messages[3]["content"] == "It broke"


def test_what_was_said_once_is_not_said_again_but_named_when_it_is_in_force_again() -> None:
    messages = sent_messages(preparer(), body(*TALK))
    line = "For this part of the conversation, the case is: Money back. What is said above for it holds."
    found = re.fullmatch(
        r"<(instructions-[0-9a-f]{12})>\n(.*)\n(.*)\n</\1>\n\nAnd the refund\?", messages[-1]["content"]
    )
    assert found is not None and found.groups()[1:] == (OWN_TAGS_LINE, line)
    grown = sent_messages(preparer(), body(*TALK, "Done.", "Thanks for the refund"))
    assert grown[: len(messages)] == messages
    assert grown[-1]["content"] == "Thanks for the refund"


turns = st.lists(st.sampled_from(["hello", "refund please", "my parcel", "thanks", "ok"]), min_size=1, max_size=7)
cue_steps = st.lists(st.sampled_from([{}, {"tier": "free"}, {"tier": "pro"}, {"name": "Ann"}]), min_size=7, max_size=7)
events = st.lists(st.sampled_from(["", "", "restart", "reload", "forget"]), min_size=7, max_size=7)


@given(turns, cue_steps, events, st.booleans())
def test_what_is_sent_grows_at_its_end_only(
    said: list[str], cues: list[dict[str, str]], happens: list[str], named: bool
) -> None:
    """Law 3, with cues that change, reloads, and (where nothing but the words counts) restarts and lost memory."""
    plain = not any(cues)
    seen = preparer()
    before: list[Any] = []
    history: list[str] = []
    for number, text in enumerate(said):
        if number and happens[number] == "reload":
            seen.registry.swap("desk", snapshot(small_policy(f"rev-{number + 1}", " Changed.")))
        elif number and plain and "reload" not in happens and happens[number] in ("restart", "forget"):
            seen = preparer()
        metadata = dict(cues[number])
        if named:
            metadata["conversation_id"] = "c1"
        elif "name" in metadata:
            del metadata["name"]  # an unnamed conversation is told from others by its free text
        history.append(text)
        now = sent_messages(seen, body(*history, metadata=metadata))
        assert now[: len(before)] == before
        before = now
        history.append(f"answer {number}")


def test_a_cue_that_changes_is_said_at_its_turn_and_put_back_there() -> None:
    seen = preparer()
    sent_messages(seen, body("hello", metadata={"tier": "free"}))
    second = sent_messages(seen, body("hello", "hi", "refund", metadata={"tier": "pro"}))
    third = sent_messages(seen, body("hello", "hi", "refund", "ok", "thanks", metadata={"tier": "pro"}))
    assert second[0]["content"] == "Be polite.\nTier: free"
    assert "Tier: pro" in second[-1]["content"]
    assert third[: len(second)] == second


TAKEN_BACK = 'No longer holds: "Ask for the membership level."'
KNOWN = {
    "unless level": ("enum", "gold", "silver", {"unless": ("gold",)}, "The membership level is now known: gold."),
    "unless verified": ("boolean", True, False, {"unless": (True,)}, TAKEN_BACK),
    "unless name": ("text", "Ann", "", {"unless": ()}, "The membership level is now known."),
    "when level": ("enum", "gold", "silver", {"when": ("silver",)}, TAKEN_BACK),
    "when verified": ("boolean", True, False, {"when": (False,)}, TAKEN_BACK),
}


@pytest.mark.parametrize(("kind", "known", "other", "given", "lifts"), KNOWN.values(), ids=KNOWN)
def test_what_was_said_under_a_condition_is_lifted_where_that_ceases_to_hold(
    kind: Any, known: Any, other: Any, given: dict[str, tuple[Any, ...]], lifts: str
) -> None:
    policy = small_policy()
    asks = Instruction(
        "/billing/refund:ask",
        "/billing/refund",
        Level.BRIEF,
        "- Ask for the membership level.",
        7,
        **{
            key: (Condition("membership_level", values) if values else Condition("membership_level", present=True),)
            for key, values in given.items()
        },
    )
    refund = policy.tasks["/billing/refund"]
    tasks = {**policy.tasks, refund.path: replace(refund, instructions=(*refund.instructions, asks))}
    cue = Cue("membership_level", kind, values=("gold", "silver") if kind == "enum" else ())
    seen = preparer(snapshot(replace(policy, tasks=tasks, cues={"membership_level": cue})))
    said: list[str] = []
    before: list[Any] = []
    for text, value in [("refund", other), ("it broke", known), ("and now?", known), ("well?", other), ("oh", known)]:
        facts = {"conversation_id": "c", **({"membership_level": value} if value != "" else {})}
        now = sent_messages(seen, body(*said, text, metadata=facts))
        assert now[: len(before)] == before
        before, said = now, [*said, text, "Well."]
    texts = [message["content"] for message in before]
    lines = [sum(line == lifts for line in text.splitlines()) for text in texts if text != "Well."]
    asked = [text.count("- Ask for the membership level.") for text in texts if text != "Well."]
    assert lines == [0, 0, 1, 0, 0, 1], "the system text, then the turns"
    assert asked == [1, 0, 0, 0, 1, 0], "said again where it holds again"


def test_a_cue_of_the_moment_is_said_at_the_newest_turn_alone() -> None:
    seen = preparer()
    first = sent_messages(seen, body("hello", metadata={"queue": 7}))
    second = sent_messages(seen, body("hello", "hi", "refund", metadata={"queue": 9}))
    assert "Waiting: 7" in str(first) and "Waiting" not in str(first[0])
    assert "Waiting: 7" not in str(second) and "Waiting: 9" in second[-1]["content"]


def test_people_whose_conversations_begin_alike_never_get_each_others_facts() -> None:
    seen = preparer()
    sent_messages(seen, body("hi", metadata={"name": "Ann", "tier": "free"}))
    sent_messages(seen, body("hi", metadata={"name": "Bob", "tier": "pro"}))
    ann = sent_messages(seen, body("hi", "Hello!", "refund", metadata={"name": "Ann", "tier": "free"}))
    assert "Ann" in ann[0]["content"] and "Tier: free" in ann[0]["content"]
    assert "Bob" not in str(ann) and "pro" not in str(ann)


def test_unnamed_conversations_that_begin_alike_are_told_apart_by_their_cues() -> None:
    seen = preparer()
    sent_messages(seen, body("hi", metadata={"tier": "free"}))
    sent_messages(seen, body("hi", metadata={"tier": "pro"}))
    later = sent_messages(seen, body("hi", "Hello!", "refund", metadata={"tier": "free"}))
    assert "Tier: free" in later[0]["content"] and "pro" not in str(later)


def test_a_conversation_keeps_its_revision_until_it_was_idle_for_long() -> None:
    clock = Clock()
    seen = preparer(clock=clock)
    sent_messages(seen, body("hello"))
    seen.registry.swap("desk", snapshot(small_policy("rev-2", " New.")))
    pinned = seen.prepare(call(body("hello", "hi", "refund")))
    fresh = seen.prepare(call(body("good day")))
    clock.now += 3601
    woken = seen.prepare(call(body("hello", "hi", "refund", "ok", "thanks")))
    assert [prepared.decision.revision for prepared in (pinned, fresh, woken)] == ["rev-1", "rev-2", "rev-2"]


def test_a_growing_conversation_costs_one_step_a_call() -> None:
    recogniser = WordRecogniser()
    seen = preparer(snapshot(recogniser=recogniser))
    for end in (1, 3, 5, 7):
        seen.prepare(call(body(*TALK[:end])))
    assert recogniser.steps == 4


def test_a_machines_own_call_decides_nothing_for_a_person_with_the_same_words() -> None:
    rules = (AuxiliaryRule("ping", max_tokens_below=5), AuxiliaryRule("title", system_contains=("write a title",)))
    seen = preparer(snapshot(replace(small_policy(), auxiliary=rules)))
    named = {"metadata": {"conversation_id": "c1"}}
    asked = [
        body("refund", max_tokens=1),
        body("refund"),
        body("refund", max_tokens=1),
        body("parcel", system="write a title", **named),
        body("parcel", system="You are Kim.", **named),
    ]
    outcomes = [seen.prepare(call(each)).decision.outcome for each in asked]
    assert outcomes == ["skipped", "classified", "skipped", "skipped", "classified"]


def test_switched_off_keeps_only_what_is_required() -> None:
    prepared = preparer().prepare(call(body("refund"), off=True))
    assert prepared.decision.outcome == "bypassed"
    assert [piece.id for piece in prepared.decision.mix] == ["/billing/refund:required.1"]
    seen = preparer()
    woven = seen.weave(seen.prepare(call(body("refund"), off=True)), CHAT).body
    assert b"Promise nothing" in woven and b"Be polite" not in woven
    either = preparer().prepare(call(body("either"), off=True)).decision
    assert either.text == f"{CASES}\n\nCase: delivery\n{NOTHING_MORE}\n\nCase: Money back\n- Promise nothing."


def test_a_failing_recogniser_costs_the_specific_instructions_only_and_is_counted() -> None:
    faults: list[str] = []
    recogniser = WordRecogniser()
    recogniser.fail = ValueError("broken")
    seen = preparer(snapshot(recogniser=recogniser), faults=faults)
    prepared = seen.prepare(call(body("refund")))
    assert (prepared.decision.outcome, prepared.decision.task) == ("unavailable", "/")
    assert prepared.decision.text == "Be polite."
    assert faults == ["recogniser_failed"]


def test_what_was_decided_while_something_was_missing_stays_for_that_conversation() -> None:
    recogniser = WordRecogniser()
    recogniser.fail = ValueError("broken")
    seen = preparer(snapshot(recogniser=recogniser))
    first = sent_messages(seen, body("refund"))
    recogniser.fail = None
    second = sent_messages(seen, body("refund", "ok", "my refund"))
    assert second[: len(first)] == first
    assert "Help with the refund" in second[-1]["content"]


async def test_a_slow_recogniser_is_not_waited_for() -> None:
    release = threading.Event()

    class Slow(WordRecogniser):
        def step(self, before: Any, text: str, reply_before: str = "", parts: Any = ()) -> Any:
            release.wait(5)
            return super().step(before, text, reply_before, parts)

    faults: list[str] = []
    seen = preparer(snapshot(recogniser=Slow(inline=False)), faults=faults)
    prepared: PreparedRequest = await seen.prepare_in_time(call(body("refund")))
    release.set()
    assert prepared.decision.outcome == "unavailable"
    assert faults == ["recogniser_late"]


async def test_a_large_body_does_not_hold_up_the_loop() -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Waiting(WordRecogniser):
        def step(self, before: Any, text: str, reply_before: str = "", parts: Any = ()) -> Any:
            begun.set()
            assert go_on.wait(5)  # in vain where this very loop waits for it
            return super().step(before, text, reply_before, parts)

    seen = preparer(snapshot(recogniser=Waiting()))
    working = asyncio.create_task(seen.prepare_in_time(call(body("refund", extra="x" * INLINE_BYTES))))
    assert await asyncio.to_thread(begun.wait, 5)
    go_on.set()
    assert (await working).decision.outcome == "classified"


async def test_a_recogniser_that_comes_too_late_changes_nothing() -> None:
    release, done = threading.Event(), threading.Event()

    class Slow(WordRecogniser):
        def step(self, before: Any, text: str, reply_before: str = "", parts: Any = ()) -> Any:
            release.wait(5)
            try:
                return super().step(before, text, reply_before, parts)
            finally:
                done.set()

    seen = preparer(snapshot(recogniser=Slow(inline=False)))
    first = await seen.prepare_in_time(call(body("refund")))
    release.set()
    assert await asyncio.to_thread(done.wait, 5)
    later = await seen.prepare_in_time(call(body("refund", "ok", "my refund")))
    assert later.decisions[0] == first.decision and first.decision.outcome == "unavailable"
    assert later.decision.task == "/billing/refund"
    before, after = (json.loads(seen.weave(each, CHAT).body)["messages"] for each in (first, later))
    assert after[: len(before)] == before


def test_what_is_only_explained_is_forgotten() -> None:
    seen = preparer()
    seen.prepare(call(body("refund")), keep=False)
    assert seen.pins.changed({"desk": small_policy()}) == []


@pytest.mark.parametrize(("required", "goes_out"), [("refund", False), ("hello", True)])
def test_a_weave_that_fails_sends_the_request_as_it_came_unless_that_loses_required_text(
    required: str, goes_out: bool
) -> None:
    seen = preparer()
    prepared = seen.prepare(call(body(required)))

    class Broken:
        def weave(self, *_: Any) -> bytes:
            raise ValueError("broken")

    if goes_out:
        body_, decision = seen.weave(prepared, Broken())  # type: ignore[arg-type]
        assert body_ == prepared.request.body
        assert decision.outcome == "bypassed"
    else:
        with pytest.raises(RequestError) as caught:
            seen.weave(prepared, Broken())  # type: ignore[arg-type]
        assert caught.value.status == 503


def test_unknown_policy_is_a_404_with_a_hint() -> None:
    with pytest.raises(RequestError, match='did you mean "desk"') as caught:
        preparer().prepare(call(body("hello"), policy="desc"))
    assert caught.value.status == 404


def test_tool_results_keep_what_was_decided_about_their_turn_whatever_the_facts_say_now() -> None:
    seen = preparer()
    asked = body("refund", metadata={"tier": "free", "queue": 7})
    first = sent_messages(seen, asked)
    called = {"role": "assistant", "content": None, "tool_calls": []}
    asked["messages"] += [called, {"role": "tool", "tool_call_id": "c", "content": "found"}]
    second = sent_messages(seen, asked | {"metadata": {"tier": "pro", "queue": 9}})
    assert second[: len(first)] == first
