"""Pins: what a conversation keeps from its first turn, within its time to live, and beyond a restart."""

from __future__ import annotations

from typing import Any

import pytest

from router.core.evidence import WITHHELD, Evidence
from router.engine.pins import STORED_AGAIN_S, Pin, Pins, cues_at
from tests.support.parts import Clock, body, preparer, sent_messages, small_policy, snapshot

POLICIES = {"desk": small_policy()}


def pin(now: float = 0.0, idle_s: float = 60.0, **cues: Any) -> Pin:
    return Pin("rev", now, now, idle_s, ((0, cues),))


def used(pins: Pins, turn: int, cues: dict[str, Any], now: float) -> Pin | None:
    """The pin that a request finds, and that it is used by it."""
    found = pins.find("desk", "c", turn, cues, now)
    if found is not None:
        pins.use("desk", "c", found, now)
    return found


def test_pins_are_bounded() -> None:
    pins = Pins(limit=2)
    for name in "abc":
        pins.keep("desk", name, pin())
    assert [pins.find("desk", name, 0, {}, 1.0) is not None for name in "abc"] == [False, True, True]


@pytest.mark.parametrize(("idle", "held"), [(59.9, True), (60.1, False)])
def test_a_pin_lives_from_its_last_use(idle: float, held: bool) -> None:
    pins = Pins()
    pins.keep("desk", "c", pin())
    assert used(pins, 1, {}, 50.0) is not None
    assert (used(pins, 2, {}, 50.0 + idle) is not None) is held


def test_what_is_new_or_has_changed_is_stored_and_what_is_only_used_is_not() -> None:
    pins = Pins()
    pins.keep("desk", "c", pin(tier="free"))
    assert [record.cues for record in pins.changed(POLICIES)] == [((0, {"tier": "free"}),)]
    assert pins.changed(POLICIES) == []
    used(pins, 1, {"tier": "free"}, STORED_AGAIN_S - 1)
    assert pins.changed(POLICIES) == []
    found = used(pins, 2, {"tier": "pro"}, STORED_AGAIN_S - 1)
    assert found is not None
    found.hold(found.cues, 2, {"tier": "pro"})
    assert [record.cues for record in pins.changed(POLICIES)] == [((0, {"tier": "free"}), (2, {"tier": "pro"}))]


def test_a_pin_in_use_is_stored_before_its_time_to_live_is_over() -> None:
    pins = Pins()
    pins.keep("desk", "c", pin(idle_s=3600))
    pins.changed(POLICIES)
    used(pins, 1, {}, STORED_AGAIN_S + 1)
    assert [record.seen_s for record in pins.changed(POLICIES)] == [STORED_AGAIN_S + 1]


def test_free_text_is_never_stored_and_comes_back_with_the_next_request() -> None:
    pins = Pins()
    pins.keep("desk", "c", pin(name="Ann", tier="pro"))
    (record,) = pins.changed(POLICIES)
    assert record.cues == ((0, {"name": WITHHELD, "tier": "pro"}),)
    again = Pins()
    again.restore([record])
    assert again.find("desk", "c", 0, {"name": "Ann", "tier": "free"}, 1.0) is None
    found = used(again, 1, {"name": "Ann", "tier": "pro"}, 1.0)
    assert found is not None
    found.hold(found.shown({"name": "Ann", "tier": "pro"}), 1, {"name": "Ann", "tier": "pro"})
    assert cues_at(found.cues, 0) == {"name": "Ann", "tier": "pro"}
    assert again.changed(POLICIES) == []  # nothing about it is new


def test_what_was_missing_at_a_turn_stays_missing_after_a_restart() -> None:
    pins = Pins()
    faulted = pin()
    faulted.faulted = {1: (None, Evidence(belief=None, faults=("recogniser_failed",), nonce="n"))}
    pins.keep("desk", "c", faulted)
    again = Pins()
    again.restore(pins.changed(POLICIES))
    found = again.find("desk", "c", 2, {}, 1.0)
    assert found is not None and found.faulted[1][1].faults == ("recogniser_failed",)


def test_a_conversation_goes_on_as_it_began_after_a_restart_with_another_pack() -> None:
    """Law 3 over a restart, a changed pack, a changed cue and a turn at which recognition failed."""
    clock = Clock()
    talk = ["hello Ann", "hi", "refund", "sure", "where is my parcel", "coming"]
    context = {"metadata": {"name": "Ann", "tier": "free", "conversation_id": "c1"}}
    old = preparer(snapshot(small_policy("rev-1")), clock)
    sent_messages(old, body(*talk[:1], **context))
    context["metadata"]["tier"] = "pro"
    recogniser = old.registry.current().recogniser
    assert recogniser is not None
    recogniser.fail = RuntimeError("gone")  # type: ignore[attr-defined]
    before = sent_messages(old, body(*talk[:3], **context))
    records = old.pins.changed({"desk": old.registry.current().policy})

    new = preparer(snapshot(small_policy("rev-2", " Changed.")), clock)
    new.registry.keep_old(snapshot(small_policy("rev-1")))
    new.pins.restore(records)
    after = sent_messages(new, body(*talk[:5], **context))
    assert after[: len(before)] == before and "Say where the parcel is." in after[-1]["content"]

    clock.now += 10**6
    assert "Changed." in sent_messages(new, body(*talk[:5], **context))[0]["content"]
