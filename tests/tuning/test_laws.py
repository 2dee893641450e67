"""What holds of the tuner whatever comes: any outcomes, any words of people, any change of policy, in any order."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.core.learning import DialKey, ExperimentEvent, Outcome
from router.core.policy import ROOT, Level, Policy, lineage
from router.tuning.allocation import ArmKey, ArmStatistics, count_outcomes
from router.tuning.candidates import DAY_MS, MATURED
from router.tuning.level_state import LevelState, advance_tests, fold, say
from router.tuning.sequential_test import HARM_ALARM, SequentialTest
from router.tuning.tuner import DAYS_LEAST, ROLLBACK_AT, alpha_of, refresh
from router.tuning.words import ANY
from tests.tuning.desk import BILLING, INVOICE, MODEL, REFUND, SHIPPING, T0, drawn, numbered, pack

OFF, BRIEF, GUIDED, DETAILED = Level
POLICIES = {
    (mode, say_): pack(mode, say=say_, refund={"stakes": "high"})
    for mode in ("auto", "suggest", "observe")
    for say_ in ("", "new")
}
WORTHS = [
    {OFF: 0.5, BRIEF: 0.6, GUIDED: 0.7, DETAILED: 0.9},
    {OFF: 0.1, BRIEF: 0.8, GUIDED: 0.8, DETAILED: 0.2},
    {OFF: 0.5, BRIEF: 0.5, GUIDED: 0.5, DETAILED: 0.5},
    {OFF: 1.0, BRIEF: 1.0, GUIDED: 1.0, DETAILED: 1.0},
]
KEYS = [
    DialKey(ROOT, ANY),
    DialKey(BILLING, MODEL),
    DialKey(REFUND, MODEL),
    DialKey(SHIPPING, ANY),
    DialKey(INVOICE, MODEL),
]
LEAVES = st.sampled_from([REFUND, INVOICE, SHIPPING])
WORTH = st.integers(0, len(WORTHS) - 1)
WORDS = st.sampled_from(["accepted", "rejected", "frozen", "thawed", "reset"])
STEPS = st.one_of(
    st.tuples(st.just("live"), st.integers(1, 400), st.just(1), WORTH, LEAVES),
    st.tuples(st.just("live"), st.integers(250, 400), st.integers(5, 15), WORTH, LEAVES),
    st.tuples(st.just("wait"), st.integers(1, 40)),
    st.tuples(st.just("person"), WORDS, st.sampled_from(KEYS)),
    st.tuples(st.just("mode"), st.sampled_from(["auto", "suggest", "observe"])),
    st.tuples(st.just("text"), st.sampled_from(["", "new"])),
)


class Town:
    """A router in which days pass. Every refresh is looked at by `watch`."""

    def __init__(self, watch: Callable[[Town, list[ExperimentEvent], LevelState], None]) -> None:
        self.watch = watch
        self.mode, self.text = "auto", ""
        self.now_ms = T0
        self.units = 0
        self.log: list[ExperimentEvent] = []
        self.outcomes: list[Outcome] = []
        self.tests: dict[str, SequentialTest] = {}
        self.arms: dict[ArmKey, ArmStatistics] = {}
        self.state = LevelState()
        self.dice = np.random.default_rng(5)

    @property
    def policy(self) -> Policy:
        return POLICIES[self.mode, self.text]

    def take(self, step: tuple) -> None:
        kind, *rest = step
        if kind == "live":
            n, days, worth, leaf = rest
            for _ in range(days - 1):
                self.take(("live", n, 1, worth, leaf))
            units = range(self.units, self.units + n)
            self.units += n
            found = drawn(self.policy, self.state.levels(b"s"), units, self.dice, WORTHS[worth], leaf, self.now_ms)
            self.outcomes += found
            self.arms = count_outcomes(self.arms, found)
            self.tests = advance_tests(self.state, found, self.tests)
            self.now_ms += DAY_MS
        elif kind == "wait":
            self.now_ms += rest[0] * DAY_MS
        elif kind == "person":
            try:
                self.write([say(self.policy, self.state, rest[0], rest[1], "ann", self.now_ms)])
            except ValueError:
                return
        elif kind == "mode":
            self.mode = rest[0]
        else:
            self.text = rest[0]
        before = self.state
        events = refresh(self.policy, self.state, self.tests, self.arms, self.now_ms)
        self.write(events)
        self.watch(self, events, before)

    def write(self, events: list[ExperimentEvent]) -> None:
        events = numbered(events, self.state.last)
        self.log += events
        self.state = fold(events, self.state)
        self.bets_before, self.tests = self.tests, advance_tests(self.state, [], self.tests)

    def live(self, steps: list[tuple]) -> Town:
        for step in steps:
            self.take(step)
        return self


SCENES = st.lists(STEPS, min_size=3, max_size=8)
town = settings(max_examples=40, deadline=None)


def alone(town: Town, events: list[ExperimentEvent], before: LevelState) -> None:
    for one, other in combinations(town.state.running, 2):
        assert one[1:] != other[1:] or (one.task not in lineage(other.task) and other.task not in lineage(one.task))


@given(SCENES)
@town
def test_never_two_trials_on_one_lineage(steps) -> None:
    Town(alone).live(steps)


def certified(town: Town, events: list[ExperimentEvent], before: LevelState) -> None:
    for event in events:
        running = before.dial(event.key).running
        if event.kind not in ("stepped", "proposed"):
            continue
        bets = town.bets_before[running.id]
        assert not bets.alarms and bets.evidence_against < HARM_ALARM
        if running.accepted:
            assert any(e.kind == "proposed" and e.facts["trial"] == running.id for e in town.log)
            continue
        assert bets.evidence_for >= 1 / alpha_of(running.k) and bets.reward.n >= MATURED
        assert town.now_ms - running.started_ms >= DAYS_LEAST * DAY_MS
        assert event.kind == ("stepped" if town.mode == "auto" else "proposed")


@given(SCENES)
@town
def test_never_a_step_without_a_certificate(steps) -> None:
    Town(certified).live(steps)


def wrongs_undone(town: Town, events: list[ExperimentEvent], before: LevelState) -> None:
    for key, running in before.running.items():
        bets = town.bets_before[running.id]
        bad = bets.evidence_for >= ROLLBACK_AT if running.kind == "holdback" else bets.evidence_against >= HARM_ALARM
        if bad and before.held(key) is None:
            assert any(event.key == key and event.kind in ("stopped", "rolled_back") for event in events)


@given(SCENES)
@town
def test_harm_never_goes_on(steps) -> None:
    Town(wrongs_undone).live(steps)


def frozen(town: Town, events: list[ExperimentEvent], before: LevelState) -> None:
    for event in events:
        if before.held(event.key) is not None:
            assert event.kind == "stopped" and event.facts["why"] in ("voided", "metric", "rejected")
    levels = town.state.levels(b"s")
    old = before.levels(b"s")
    for task in (BILLING, REFUND, INVOICE, SHIPPING):
        key = DialKey(task, MODEL)
        if before.held(key) is not None:
            assert levels.choice(town.policy, key)[:3:2] == old.choice(town.policy, key)[:3:2]
            assert levels.choice(town.policy, key).trial is None


@given(SCENES)
@example([("live", 400, 6, 0, SHIPPING), ("person", "frozen", KEYS[3]), ("wait", 9)])
@example([("live", 400, 3, 0, SHIPPING), ("person", "frozen", KEYS[0]), ("wait", 70)])
@town
def test_what_is_frozen_holds(steps) -> None:
    Town(frozen).live(steps)


def settled(town: Town, events: list[ExperimentEvent], before: LevelState) -> None:
    assert refresh(town.policy, town.state, town.tests, town.arms, town.now_ms) == []
    for key, standing in before.dials.items():
        assert town.state.dial(key).k >= standing.k
    for event in events:
        assert event.words.endswith(".") and "None" not in event.words and event.policy == "desk"


@given(SCENES)
@town
def test_a_refresh_is_whole_and_k_never_goes_back(steps) -> None:
    Town(settled).live(steps)


@given(SCENES, st.integers(0, 60))
@settings(max_examples=25, deadline=None)
def test_a_replay_gives_the_same_books_and_the_same_bits(steps, cut) -> None:
    lived = Town(lambda *_: None).live(steps)
    assert fold(lived.log) == lived.state == fold(lived.log[cut:], fold(lived.log[:cut]))
    assert advance_tests(lived.state, lived.outcomes) == lived.tests
    assert count_outcomes({}, lived.outcomes) == lived.arms
    stored = [replace(event, facts=json.loads(json.dumps(dict(event.facts)))) for event in lived.log]
    assert fold(stored) == lived.state
    again = Town(lambda *_: None).live(steps)
    assert again.log == lived.log


@given(SCENES)
@settings(max_examples=15, deadline=None)
def test_ids_are_never_used_twice(steps) -> None:
    log = Town(lambda *_: None).live(steps).log
    ids = [event.facts["trial"] for event in log if event.kind == "started"]
    assert len(ids) == len(set(ids))


def test_the_scenes_do_come_to_steps_and_rollbacks() -> None:
    """So that the laws above are not empty."""
    days = [("live", 400, 14, 0, SHIPPING), ("live", 400, 8, 1, SHIPPING)]
    kinds = [event.kind for event in Town(settled).live(days).log]
    assert {"started", "shared", "stepped", "rolled_back"} <= set(kinds)
