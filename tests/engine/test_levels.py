"""What a conversation is given, when it counts, and that it keeps it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from router.core.decide import decide
from router.core.evidence import Belief, Likely
from router.core.learning import DialKey
from router.core.levels import Dial, Levels, Trial
from router.core.policy import Level, Task
from router.engine.pins import GivenLevel
from router.engine.prepare import PreparedRequest, RequestPreparer
from tests.support.parts import EITHER, WordRecogniser, body, call, preparer, small_policy, snapshot


def tuned(share: float = 1.0, level: Level | None = None, task: str = "/delivery") -> RequestPreparer:
    of = preparer()
    policy = of.registry.current().policy
    trial = Trial("t1", Level.DETAILED, share, policy.texts[task])
    of.registry.tune("desk", Levels({DialKey(task, "m"): Dial(level, trial)}, b"s"))
    return of


def given(of: RequestPreparer, *texts: str, **more: Any) -> GivenLevel | None:
    return taken(of.prepare(call(body(*texts, metadata={"conversation_id": "c1"}), **more)))


def taken(prepared: PreparedRequest) -> GivenLevel | None:
    """What the answer to this would count for."""
    return prepared.given


def test_the_first_time_a_conversation_settles_on_a_task_counts_and_no_other() -> None:
    of = tuned()
    first = given(of, "where is my parcel")
    assert first is not None and first.draw is not None
    assert (first.task, first.level, first.model, first.draw.challenger) == ("/delivery", Level.DETAILED, "m", True)
    assert given(of, "where is my parcel", "On its way.", "and when") is None
    moved = given(of, "where is my parcel", "On its way.", "then a refund")
    assert moved == GivenLevel("/billing/refund", "", "m", Level.GUIDED, None, False)


def test_a_turn_that_is_not_sure_of_its_task_draws_nothing_and_counts_for_none() -> None:
    of = tuned()
    unsure = of.prepare(call(body(EITHER, metadata={"conversation_id": "c1"})))
    assert unsure.decision.listed == ("/delivery", "/billing/refund")
    assert (taken(unsure), unsure.decision.draw, unsure.decision.levels["/delivery"]) == (None, None, Level.GUIDED)
    sure = given(of, EITHER, "Which?", "my parcel")
    assert sure is not None and sure.draw is not None
    assert (sure.task, sure.level) == ("/delivery", Level.DETAILED)


def test_beside_a_second_request_that_is_none_the_sure_task_alone_counts() -> None:
    class Twice(WordRecogniser):
        def step(self, before: Any, text: str, reply_before: str = "", parts: Any = ()) -> tuple[Any, Belief]:
            two = (Likely("/billing/refund", 0.47), Likely("/hours", 0.45))
            return None, Belief({"/delivery": 0.9}, (Likely("/delivery", 0.9),), (Belief(dict(two), two),))

    desk = small_policy()
    tasks = {**desk.tasks, "/": replace(desk.tasks["/"], children=("/billing", "/delivery", "/hours"))}
    of = preparer(snapshot(replace(desk, tasks={**tasks, "/hours": Task("/hours")}), Twice()))
    dials = {DialKey(task, "m"): Dial(Level.DETAILED) for task in ("/delivery", "/billing", "/hours")}
    of.registry.tune("desk", Levels(dials, b"s"))
    prepared = of.prepare(call(body("my parcel. And the money?")))
    decision = prepared.decision
    assert (decision.outcome, decision.listed) == ("classified", ("/billing/refund", "/hours"))
    assert decision.levels["/delivery"] is Level.DETAILED and decision.levels["/billing/refund"] is Level.GUIDED
    counted = taken(prepared)
    assert counted is not None and (counted.task, counted.level) == ("/delivery", Level.DETAILED)
    assert prepared.decided.moves is not None and set(prepared.decided.moves) == {"/", "/delivery"}


def test_a_conversation_takes_part_in_one_trial() -> None:
    of = tuned()
    policy = of.registry.current().policy
    both = {
        DialKey(task, "m"): Dial(None, Trial(task, Level.DETAILED, 1.0, policy.texts[task]))
        for task in ("/delivery", "/billing")
    }
    of.registry.tune("desk", Levels(both, b"s"))
    first = given(of, "where is my parcel")
    second = given(of, "where is my parcel", "On its way.", "then a refund")
    assert first is not None and first.draw is not None
    assert second is not None and second.draw is None and second.level is Level.GUIDED


def test_a_conversation_that_began_untuned_stays_so() -> None:
    of = preparer()
    assert given(of, "where is my parcel") is None
    policy = of.registry.current().policy
    of.registry.tune("desk", Levels({DialKey("/delivery", "m"): Dial(Level.DETAILED)}, b"s"))
    prepared = of.prepare(call(body("where is my parcel", "Soon.", "ok", metadata={"conversation_id": "c1"})))
    assert taken(prepared) is None and set(prepared.decision.levels.values()) == {Level.GUIDED}
    assert policy.texts  # the policy itself knows nothing of what is tuned


def test_a_turn_that_is_not_sure_is_given_nothing_and_does_not_say_what_later_turns_are_given() -> None:
    """Else it would be decided anew with moves that it was not sent with, and a prompt's beginning would change."""
    of = tuned(share=0.0, level=Level.DETAILED)
    talk = ["either", "Which?", "my parcel", "Soon.", "either", "Hm.", "thanks"]
    said = []
    for size in (1, 3, 5, 7):
        of.registry.current().decisions.clear()
        prepared = of.prepare(call(body(*talk[:size], metadata={"conversation_id": "c1"})))
        assert (taken(prepared) is not None) is (size == 3)
        assert [decision.mix for decision in prepared.decisions[:-1]] == said
        said = [decision.mix for decision in prepared.decisions]
    levels = [decision.levels["/delivery"] for decision in prepared.decisions]
    assert levels == [Level.GUIDED, Level.DETAILED, Level.GUIDED, Level.GUIDED]
    assert prepared.pin.moves == {"/": 0, "/delivery": 1}


def test_what_is_remembered_of_a_doubtful_turn_holds_for_conversations_with_any_moves() -> None:
    of = tuned(share=0.5)
    seen = {}
    for user in map(str, range(20)):
        asked = body("my parcel", "Soon.", "either", user=user, metadata={"conversation_id": user})
        prepared = of.prepare(call(asked))
        assert of.prepare(call(asked)).decisions == prepared.decisions
        assert decide(prepared.snapshot.policy, prepared.evidence).mix == prepared.decision.mix
        sure, unsure = prepared.decisions
        seen[sure.levels["/delivery"]] = unsure.mix
    assert seen.keys() == {Level.GUIDED, Level.DETAILED}
    assert len(set(seen.values())) == 1


def test_a_client_that_joins_in_mid_conversation_counts_once_it_is_seen() -> None:
    first = given(tuned(), "where is my parcel", "On its way.", "and when")
    assert first is not None and first.draw is not None


def test_what_is_remembered_of_a_tuned_conversation_does_not_outlive_its_pin() -> None:
    of = tuned()
    asked = body("where is my parcel", metadata={"conversation_id": "c1"})
    assert of.prepare(call(asked)).decision.level is Level.DETAILED
    for pins in of.pins._pins.values():  # as after an hour, or where there were too many, of one that began untuned
        for pin in pins:
            pin.moves = None
    for _ in range(2):
        prepared = of.prepare(call(asked))
        assert prepared.decision.level is Level.GUIDED and not prepared.evidence.levels


def test_what_was_said_stays_when_the_dial_turns() -> None:
    of = tuned(share=0.0, level=Level.BRIEF)
    before = of.prepare(call(body("where is my parcel", metadata={"conversation_id": "c1"}))).decision
    of.registry.tune("desk", Levels({DialKey("/delivery", "m"): Dial(Level.DETAILED)}, b"s"))
    grown = of.prepare(call(body("where is my parcel", "Soon.", "ok", metadata={"conversation_id": "c1"})))
    new = of.prepare(call(body("where is my parcel", metadata={"conversation_id": "c2"})))
    assert grown.decisions[0] == before and grown.decision.level is Level.BRIEF
    assert new.decision.level is Level.DETAILED


def test_a_user_gets_the_same_in_every_conversation() -> None:
    of = tuned(share=0.5)
    for user in map(str, range(20)):
        drawn = set()
        for conversation in "abc":
            asked = body("where is my parcel", metadata={"conversation_id": user + conversation}, user=user)
            found = taken(of.prepare(call(asked)))
            assert found is not None and found.draw is not None
            drawn.add(found.draw.challenger)
        assert len(drawn) == 1


def test_the_trace_of_a_tuned_decision_decides_to_itself() -> None:
    of = tuned()
    prepared = of.prepare(call(body("where is my parcel")))
    assert prepared.decision.level is Level.DETAILED
    again = decide(prepared.snapshot.policy, prepared.evidence)
    assert (again.levels, again.mix) == (prepared.decision.levels, prepared.decision.mix)


@pytest.mark.parametrize("tuned_before", [True, False])
def test_levels_outlive_a_restart(tuned_before: bool) -> None:
    of = tuned() if tuned_before else preparer()
    asked = body("where is my parcel", metadata={"conversation_id": "c1"})
    said = of.prepare(call(asked)).decision
    records = of.pins.changed({"desk": of.registry.current().policy})
    after = preparer(snapshot())
    after.registry.tune("desk", Levels({DialKey("/delivery", "m"): Dial(Level.BRIEF)}, b"s"))
    after.pins.restore(records)
    prepared = after.prepare(call(json.loads(json.dumps(asked))))
    assert prepared.decision.levels == said.levels and taken(prepared) is None


def test_what_an_earlier_release_stored_by_complexity_says_the_same_again() -> None:
    of = tuned()
    asked = body("where is my parcel", metadata={"conversation_id": "c1", "complexity": "complex"})
    said = of.prepare(call(asked)).decision
    (record,) = of.pins.changed({"desk": of.registry.current().policy})
    old = replace(record, moves={}, levels={"complex": said.levels, "simple": {"/delivery": Level.OFF}})
    after = preparer(snapshot())
    after.registry.tune("desk", Levels({DialKey("/delivery", "m"): Dial(Level.BRIEF)}, b"s"))
    after.pins.restore([old], lambda name, revision: after.registry.current(name).policy)
    assert said.levels["/delivery"] is Level.DETAILED
    assert after.prepare(call(asked)).decision.levels == said.levels
