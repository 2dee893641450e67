"""DialStatus: figures and sentences of every dial, and when a decision is likely."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from router.core.policy import Level, Policy
from router.tuning.candidates import DAY_MS
from router.tuning.forecast import DialStatus, forecast, statuses
from router.tuning.level_state import LevelState, RunningTrial, fold
from router.tuning.sequential_test import SequentialTest
from router.tuning.tuner import refresh
from tests.tuning.desk import (
    BILLING,
    HELD_BACK,
    INVOICE,
    REFUND,
    SHIPPING,
    STARTED,
    T0,
    arms,
    dial,
    event,
    evidence,
    pack,
)

OFF, BRIEF, GUIDED, DETAILED = Level
RECORD = {(REFUND, GUIDED): (500, 0.7), (INVOICE, GUIDED): (12, 0.5)}
RUNNING = fold([STARTED]).dial(dial()).running


def found(
    state: LevelState | None = None,
    bets: SequentialTest | None = None,
    policy: Policy | None = None,
    record: Any = RECORD,
    days: float = 0,
    task: str = BILLING,
) -> DialStatus:
    policy, state = policy or pack(), state or LevelState()
    known = {running.id: bets for running in state.running.values()} if bets else {}
    table = statuses(policy, state, known, arms(policy, record, T0), T0 + round(days * DAY_MS))
    return next(status for status in table if status.key.task == task)


def running(**more: Any) -> RunningTrial:
    return replace(RUNNING, **more)


@pytest.mark.parametrize(
    ("trial", "bets", "per_day", "day", "in_days"),
    [
        # e^2 in 400 conversations; 40 = e^3.69 needs 338 more, at 50 a day
        (running(), evidence(gain=7.389), 50.0, 8, 6.8),
        (running(), evidence(gain=50.0), 50.0, 5, 2.0),  # certified, but a week is not over
        (running(), evidence(n=100, gain=50.0), 50.0, 8, 2.0),  # certified, but not 200 conversations
        (running(), evidence(gain=0.5), 50.0, 8, None),  # does not grow
        (running(), evidence(gain=1.01), 50.0, 8, None),  # not within 8,000 conversations
        (running(), evidence(gain=2.7), 5.0, 8, None),  # not within 60 days
        (running(), evidence(n=0), 50.0, 8, None),
        (running(), evidence(gain=7.4), 0.0, 8, None),
        (running(kind="holdback"), evidence(), 50.0, 8, 22.0),
        (running(kind="holdback"), evidence(), 50.0, 80, 0.0),
    ],
)
def test_when_a_decision_is_likely(
    trial: RunningTrial, bets: SequentialTest, per_day: float, day: int, in_days: float | None
) -> None:
    said = forecast(trial, bets, per_day, T0 + day * DAY_MS)
    assert said == (None if in_days is None else pytest.approx(in_days, abs=0.05))


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        (
            found(),
            ["/billing, requests to m: guided, where it starts.", "A trial is about to start."],
        ),
        (
            found(task=REFUND),
            [
                "/billing/refund, requests to m: guided, where it starts.",
                "Its turn comes when /billing has nothing left to try.",
            ],
        ),
        (
            found(task=INVOICE),
            [
                "/billing/invoice, requests to m: guided, where it starts.",
                "Too rare for a trial of its own so far (12 conversations with a reward; 30 are needed): it follows /billing.",
            ],
        ),
        (
            found(record={(SHIPPING, GUIDED): (60, 0.7)}, task=SHIPPING),
            [
                "/shipping, requests to m: guided, where it starts.",
                "Too rare for a trial of its own (14 conversations a week; 24 are needed): it stays where it starts.",
            ],
        ),
        (
            found(record={(SHIPPING, GUIDED): (600, 1.0)}, task=SHIPPING),
            [
                "/shipping, requests to m: guided, where it starts.",
                "All 600 conversations had the same reward, so there is nothing to learn from yet: does any feedback "
                "beside the default value come in?",
            ],
        ),
        (
            found(fold([STARTED]), evidence(n=150, gain=14.2), days=5),
            [
                "/billing, requests to m: guided, where it starts.",
                "On trial: detailed instead of guided for 10 % of users: is it better? So far 80 % against "
                "70 %, of 150 conversations in 5 days: not proven: chance alone shows as much in at most 1 of 14 such trials; proof is 1 of 40.",
                "Still missing: proof, 150 of 200 conversations, 5 of 7 days. At this pace a decision is likely "
                "in about 4 days.",
            ],
        ),
        (
            found(fold([STARTED]), evidence(gain=0.3), days=9),
            [
                "/billing, requests to m: guided, where it starts.",
                "On trial: detailed instead of guided for 10 % of users: is it better? So far 80 % against "
                "70 %, of 400 conversations in 9 days: nothing is shown yet.",
                "Still missing: proof. A decision is not in sight; after 60 days the trial ends by itself.",
            ],
        ),
        (
            found(fold([STARTED, event("proposed")]), evidence(gain=44), days=9),
            [
                "/billing, requests to m: guided, where it starts.",
                "On trial: detailed instead of guided for 10 % of users: is it better? So far 80 % against "
                "70 %, of 400 conversations in 9 days: proven: chance alone shows as much in at most 1 of 44 such trials.",
                "The step waits for a person: accept or reject it.",
            ],
        ),
        (
            found(fold([STARTED, event("frozen", dial(REFUND))]), evidence(), days=9),
            [
                "/billing, requests to m: guided, where it starts.",
                "On trial: detailed instead of guided for 10 % of users: is it better? So far 80 % against "
                "70 %, of 400 conversations in 9 days: nothing is shown yet.",
                "It is frozen: nobody is drawn.",
            ],
        ),
        (
            found(fold([STARTED]), evidence(ratio=(900.0,) * 4), days=9),
            [
                "/billing, requests to m: guided, where it starts.",
                "On trial: detailed instead of guided for 10 % of users: is it better? So far 80 % against "
                "70 %, of 400 conversations in 9 days: nothing is shown yet.",
                "Alarm: users did not come to the two levels in the shares that were drawn: conversations are being lost.",
            ],
        ),
        (
            found(
                fold([STARTED, event("stepped", **{"from": "guided", "to": "detailed"}), replace(HELD_BACK, at_ms=T0)]),
                evidence(gain=0.2),
                days=9,
            ),
            [
                "/billing, requests to m: detailed, turned there from guided 9 days ago; it started at guided.",
                "On trial: guided instead of detailed for 10 % of users: was it better before? So far 80 % "
                "against 70 %, of 400 conversations in 9 days: nothing is shown yet.",
                "In 21 days it ends and the step stays; if the step proves wrong before, it is taken back.",
            ],
        ),
        (
            found(fold([STARTED, event("stepped", **{"from": "guided", "to": "detailed"})]), task=REFUND),
            [
                "/billing/refund, requests to m: detailed, instead of guided: it follows /billing.",
                "Its turn comes when /billing has nothing left to try.",
            ],
        ),
    ],
)
def test_status_in_words(status: DialStatus, lines: list[str]) -> None:
    assert list(status.lines) == lines


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (pack(metric=""), "no primary metric"),
        (pack("observe"), "tuning is set to observe"),
        (pack(levels=dict.fromkeys((BILLING, REFUND, INVOICE), ())), "say the same text"),
    ],
)
def test_why_nothing_runs(policy: Policy, says: str) -> None:
    assert says in found(policy=policy).lines[-1]


def test_what_rests_and_what_is_not_worth_it() -> None:
    text = pack().texts[BILLING]
    log = []
    for k, challenger in enumerate(("detailed", "brief")):
        facts = {
            "trial": f"t{k}",
            "challenger": challenger,
            "text": text,
            "why": "futile",
            "rests_until_ms": T0 + 9 * DAY_MS,
        }
        log += [event("started", **facts), event("stopped", **facts)]
    assert found(fold(log)).lines[-1] == "Tried already, and left alone for 9 more days: detailed and brief."
    worse = {**RECORD, (REFUND, BRIEF): (9_000, 0.2), (REFUND, DETAILED): (9_000, 0.2)}
    assert "not expected to win anything" in found(record=worse).lines[-1]


def test_a_trial_that_is_in_the_way_is_named() -> None:
    assert "waits for the trial at /billing to end" in found(fold([STARTED]), task=REFUND).lines[-1]
    assert "Frozen by the word on /billing." in found(fold([event("frozen")])).lines


def test_all_of_it_is_plain_data() -> None:
    policy = pack()
    table = arms(policy, RECORD, T0)
    state = fold(refresh(policy, LevelState(), {}, table, T0))
    found = json.loads(json.dumps([status.as_data() for status in statuses(policy, state, {}, table, T0)]))
    assert [status["key"]["task"] for status in found] == [BILLING, REFUND, INVOICE]
    assert found[0]["trial"]["n_needed"] == 200 and found[0]["n"] == 512


def test_dials_without_conversations_are_shown_where_a_trial_or_a_step_was() -> None:
    assert [status.key for status in statuses(pack(), fold([STARTED]), {}, {}, T0)] == [dial()]
    assert statuses(pack(), LevelState(), {}, {}, T0) == []
