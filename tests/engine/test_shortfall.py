"""A recogniser that had to do without something: counted, told, decided by the thresholds that hold, and not undone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from router.core.evidence import Belief, Shortfall, Thresholds
from tests.engine.test_prepare import body, call, preparer
from tests.support.parts import WordRecogniser, snapshot


class Short(WordRecogniser):
    """Falls short while `short` is set; its belief is then worth less."""

    short = True

    def step(self, before: Any, text: str, reply_before: str = "", parts: Any = ()) -> tuple[Any, Belief]:
        state, belief = super().step(before, text, reply_before, parts)
        fallen = Shortfall("encoder_late", Thresholds(0.94, 0.92)) if self.short else None
        return state, replace(belief, shortfall=fallen)


def test_a_shortfall_is_counted_and_decides_by_the_stricter_thresholds() -> None:
    faults: list[str] = []
    recogniser = Short()
    seen = preparer(snapshot(recogniser=recogniser), faults=faults)
    prepared = seen.prepare(call(body("refund")))
    assert faults == ["encoder_late"]
    assert prepared.evidence.faults == ("encoder_late",)
    assert prepared.evidence.thresholds == Thresholds(0.94, 0.92)
    assert prepared.evidence.belief is not None and prepared.evidence.belief.shortfall is None
    assert prepared.decision.task == "/billing", "the domain's .95 is enough, the task's .9 is not"


def test_what_was_decided_without_stays_so_in_its_conversation() -> None:
    recogniser = Short()
    seen = preparer(snapshot(recogniser=recogniser))
    first = seen.prepare(call(body("refund"))).decision
    recogniser.short = False
    later = seen.prepare(call(body("refund", "ok", "go on"))).decisions
    assert later[0] == first
    assert later[1].task == "/billing/refund", "the state after the short turn lives on"


def test_other_conversations_are_not_held_to_it() -> None:
    recogniser = Short()
    seen = preparer(snapshot(recogniser=recogniser))
    seen.prepare(call(body("refund")))
    recogniser.short = False
    assert seen.prepare(call(body("my refund"))).decision.task == "/billing/refund"


def test_stricter_thresholds_are_nowhere_below_either() -> None:
    one = Thresholds(0.5, 0.8, {"/a/b": 0.95})
    other = Thresholds(0.6, 0.7, {"/c": 0.1})
    both = one.stricter(other)
    assert (both.sure, both.shortlist) == (0.6, 0.8)
    assert [both.at(path) for path in ("/a/b", "/c", "/x", "/x/y")] == [0.95, 0.5, 0.6, 0.6]


def test_stricter_thresholds_keep_the_order_of_the_pack() -> None:
    by_task = {f"/task{number}": 0.5 for number in range(20)}
    assert list(Thresholds(by_task=by_task).stricter(Thresholds(by_task={"/late": 0.5})).by_task) == [*by_task, "/late"]
