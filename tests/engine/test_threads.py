"""Conversations whose earlier turns the backend keeps: decided as if the client had sent all of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from router.core.evidence import withhold
from router.engine.prepare import Call, RequestPreparer
from router.engine.threads import Link, Thread, Threads
from router.wire.responses import Responses
from tests.support.parts import Clock, body, preparer, sent_messages, small_policy, snapshot

RESPONSES = Responses()


def sent(of: RequestPreparer, given: dict[str, Any], answer: str, tenant: str = "") -> dict[str, Any]:
    prepared = of.prepare(Call(RESPONSES, json.dumps({"model": "m", **given}).encode(), tenant=tenant))
    of.remember(tenant, prepared, answer)
    return dict(json.loads(of.weave(prepared, RESPONSES).body), decision=prepared.decision)


def test_a_chained_request_says_the_same_head_and_only_what_is_new() -> None:
    seen = preparer()
    first = sent(seen, {"input": "I want a refund"}, "resp_1")
    second = sent(seen, {"input": "It broke", "previous_response_id": "resp_1"}, "resp_2")
    third = sent(seen, {"input": "Where is my parcel?", "previous_response_id": "resp_2"}, "resp_3")
    fourth = sent(seen, {"input": "and the refund?", "previous_response_id": "resp_3"}, "resp_4")
    assert first["instructions"] == second["instructions"] == third["instructions"] == fourth["instructions"]
    assert "Help with the refund." in first["instructions"]
    assert second["input"] == "It broke"
    assert "Say where the parcel is." in json.dumps(third["input"])
    assert "the case is: Money back." in json.dumps(fourth["input"])
    assert "Help with the refund." not in json.dumps(fourth["input"])


def test_the_decisions_are_those_of_the_whole_conversation() -> None:
    talk = ["I want a refund", "Sure.", "thanks", "Welcome.", "my parcel", "Coming.", "ok"]
    whole = sent_messages(preparer(), body(*talk))
    chained = preparer()
    pieces = []
    for number, text in enumerate(talk[::2]):
        go_on = {"previous_response_id": f"resp_{number}"} if number else {}
        pieces.append(sent(chained, {"input": text, **go_on}, f"resp_{number + 1}"))
    assert pieces[-1]["instructions"] == whole[0]["content"]
    assert [piece["input"] for piece in pieces] == [m["content"] for m in whole if m["role"] == "user"]


def test_tool_results_alone_keep_the_decision_of_the_turn_they_answer() -> None:
    seen = preparer()
    first = sent(seen, {"input": "I want a refund"}, "resp_1")
    output = {"type": "function_call_output", "call_id": "c", "output": "{}"}
    second = sent(seen, {"input": [output], "previous_response_id": "resp_1"}, "resp_2")
    assert second["decision"] is first["decision"] or second["decision"] == first["decision"]
    assert second["instructions"] == first["instructions"] and second["input"] == [output]


def test_a_stored_conversation_is_followed_by_its_name() -> None:
    seen = preparer()
    first = sent(seen, {"input": "I want a refund", "conversation": "conv_1"}, "resp_1")
    second = sent(seen, {"input": "ok", "conversation": {"id": "conv_1"}}, "resp_2")
    assert second["instructions"] == first["instructions"] and second["input"] == "ok"


def test_what_is_not_known_is_said_and_general_instructions_go_out() -> None:
    output = {"type": "function_call_output", "call_id": "c", "output": "{}"}
    found = sent(preparer(), {"input": [output], "previous_response_id": "resp_lost"}, "resp_2")
    assert found["instructions"] == "Be polite."
    assert "thread_unknown" in [reason.code for reason in found["decision"].reasons]


def test_no_tenant_goes_on_from_anothers_answer() -> None:
    seen = preparer()
    sent(seen, {"input": "I want a refund"}, "resp_1", tenant="a")
    found = sent(seen, {"input": "ok", "previous_response_id": "resp_1"}, "resp_2", tenant="b")
    assert "refund" not in found["instructions"]


def test_a_reload_or_an_idle_hour_between_two_answers() -> None:
    clock = Clock()
    seen = preparer(clock=clock)
    first = sent(seen, {"input": "I want a refund"}, "resp_1")
    seen.registry.swap("desk", snapshot(small_policy("rev-2", " Changed.")))
    second = sent(seen, {"input": "ok", "previous_response_id": "resp_1"}, "resp_2")
    assert second["instructions"] == first["instructions"]
    clock.now += 10**6
    assert "Changed." in sent(seen, {"input": "ok", "previous_response_id": "resp_2"}, "resp_3")["instructions"]


def test_after_a_restart_the_traces_tell_how_to_go_on() -> None:
    clock = Clock()
    old = preparer(clock=clock)
    asked = {"metadata": {"name": "Ann", "tier": "pro"}}
    first = sent(old, {"input": "I want a refund", **asked}, "resp_1")
    second = sent(old, {"input": "my parcel", "previous_response_id": "resp_1", **asked}, "resp_2")
    links = [traced(old, "resp_1", 0), traced(old, "resp_2", 1), replace(traced(old, "resp_2", 3), response_id="gap")]

    new = preparer(snapshot(small_policy("rev-2", " Changed.")), clock)
    new.registry.keep_old(snapshot())
    new.pins.restore(old.pins.changed({"desk": small_policy()}))
    new.take_up(links)
    third = sent(new, {"input": "ok", "previous_response_id": "resp_2", **asked}, "resp_3")
    assert first["instructions"] == second["instructions"] == third["instructions"]
    assert "Ann" in third["instructions"] and third["input"] == "ok"
    assert new.threads.find("", "gap") is None


def traced(of: RequestPreparer, answer: str, turn: int) -> Link:
    """What the trace of an answer says: neither the nonce nor free text."""
    thread = of.threads.find("", answer)
    assert thread is not None
    evidence = thread.observations[-1].evidence
    stored = replace(evidence, nonce="", cues=withhold(thread.snapshot.policy, evidence.cues))
    identity, policy = thread.identity, thread.snapshot.policy
    return Link("", policy.name, policy.revision, identity.conversation, identity.unit, turn, answer, stored)


def test_threads_are_bounded() -> None:
    threads = Threads(limit=2)
    thread: Any = Thread(None, None, None, ())  # type: ignore[arg-type]
    for name in "abc":
        threads.keep("", name, thread)
    assert [threads.find("", name) is thread for name in "abc"] == [False, True, True]
