"""Audits: bets that rarely alarm without cause, alarm soon with one, and a fold that replays."""

from __future__ import annotations

import dataclasses
import math
from itertools import accumulate
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.audit import (
    ALARM_AT,
    AUDIT_RATE,
    ODDS_RATIOS,
    SILENT,
    Audit,
    AuditBet,
    ThresholdsInForce,
    draw_position,
    evidence_against,
    in_force,
    is_drawn,
    is_wrong,
    least_rate,
    name_of,
    watch,
)
from router.core.decide import settle
from router.core.evidence import Belief, Certificate, Thresholds
from router.core.policy import Task

DOMAIN = Certificate(1, "certified", 0.01, 0.05, 0.6, 1000, 0.8, 0.005, 0.7)
TASK = Certificate(2, "certified", 0.03, 0.05, 0.5, 1000, 0.7, 0.02, 0.55)
BOTH = (DOMAIN, TASK)
TREE = {"/": ("/a",), "/a": ("/a/x",), "/a/x": ()}
RIGHT, WRONG_TASK, WRONG_DOMAIN = ("/a/x",), ("/a/y",), ("/b/z",)


def audit(number: int, settled: tuple[str, ...] = RIGHT, **changes: Any) -> Audit:
    made = Audit(
        decision=f"dec_{number}",
        policy="shop",
        certificate=name_of(BOTH),
        thresholds=(0.6, 0.5),
        settled=settled,
        label=RIGHT,
        auditor="ann",
        at_ms=number,
    )
    return dataclasses.replace(made, **changes)


def least_wrong_to_alarm(alpha: float, audits: int) -> list[int]:
    """The fewest wrong among the first n audits that alarm, for n = 1 .. `audits`."""
    wrong, found = 0, []
    for n in range(1, audits + 1):
        while evidence_against(alpha, n, wrong) < ALARM_AT:
            wrong += 1
        found.append(wrong)
    return found


def first_alarms(alpha: float, rate: float, audits: int, runs: int, seed: int) -> np.ndarray:
    """When each of many runs alarms; beyond `audits` for never."""
    wrong = np.cumsum(np.random.default_rng(seed).random((runs, audits)) < rate, axis=1)
    alarmed = wrong >= np.array(least_wrong_to_alarm(alpha, audits))
    return np.where(alarmed.any(axis=1), alarmed.argmax(axis=1) + 1, audits + 1)


# ------------------------------------------------------------------------------------------------------- the bet


@pytest.mark.parametrize("alpha", [0.005, 0.01, 0.03, 0.05, 0.2])
def test_while_the_promise_just_holds_one_in_twenty_alarms_at_most(alpha: float) -> None:
    alarms = first_alarms(alpha, alpha, audits=1000, runs=2000, seed=1)
    assert (alarms <= 1000).mean() <= 1 / ALARM_AT


@pytest.mark.parametrize(
    ("alpha", "times", "half_within", "most_within"),
    [(0.01, 3, 350, 1000), (0.01, 10, 30, 100), (0.03, 3, 100, 270), (0.03, 10, 12, 30), (0.05, 3, 60, 160)],
)
def test_too_many_errors_are_found_within_so_many_audits(
    alpha: float, times: float, half_within: int, most_within: int
) -> None:
    alarms = first_alarms(alpha, alpha * times, audits=1500, runs=500, seed=2)
    assert np.quantile(alarms, 0.5) <= half_within
    assert np.quantile(alarms, 0.9) <= most_within


@pytest.mark.parametrize("audits", [1, 10, 100])
@pytest.mark.parametrize("alpha", [0.01, 0.03, 0.3])
def test_on_average_the_stake_stays_what_it_was_and_shrinks_with_fewer_errors(alpha: float, audits: int) -> None:
    def mean(rate: float) -> float:
        return math.fsum(
            math.comb(audits, k) * rate**k * (1 - rate) ** (audits - k) * evidence_against(alpha, audits, k)
            for k in range(audits + 1)
        )

    assert mean(alpha) == pytest.approx(1.0, rel=1e-9)
    assert mean(alpha / 2) < 1.0


@given(st.floats(0.001, 0.5), st.lists(st.booleans(), max_size=60))
def test_evidence_is_the_mean_of_the_bets_whatever_the_order(alpha: float, errors: list[bool]) -> None:
    stakes = []
    for ratio in ODDS_RATIOS:
        share = (ratio - 1) / (1 + alpha * (ratio - 1))
        assert 0 <= share < 1 / alpha  # no bet can lose more than it has
        stakes.append(math.prod(1 + share * (error - alpha) for error in errors))
    assert evidence_against(alpha, len(errors), sum(errors)) == pytest.approx(math.fsum(stakes) / len(stakes))


@given(st.floats(0.001, 0.5), st.integers(0, 5000), st.floats(0, 1))
def test_the_least_rate_passes_alpha_where_the_bet_alarms(alpha: float, audits: int, share: float) -> None:
    wrong = round(share * audits)
    least = least_rate(audits, wrong)
    assert 0 <= least <= (wrong / audits if audits else 0)
    if abs(least - alpha) > 1e-9:
        assert (least > alpha) is (evidence_against(alpha, audits, wrong) >= ALARM_AT)


def test_huge_counts_stay_finite() -> None:
    assert math.isfinite(evidence_against(0.01, 10**7, 10**7))
    assert 0 <= evidence_against(0.01, 10**7, 0) < 1e-6
    assert evidence_against(0.01, 0, 0) == 1.0


# ------------------------------------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize(
    ("settled", "label", "wrong_above", "wrong_below"),
    [
        (("/",), ("/a/x",), False, False),
        (("/",), (), False, False),
        (("/a",), ("/a/x",), False, False),
        (("/a/x",), ("/a/x",), False, False),
        (("/a/x",), ("/a/y",), False, True),
        (("/a/x",), ("/a",), False, True),
        (("/a/x",), ("/b/z",), True, True),
        (("/a/x",), (), True, True),
        (("/a/x",), ("/",), True, True),
        (("/a",), ("/ab/x",), True, False),
        (("/a/x/deep",), ("/a/x",), False, True),
        (("/a/x/deep",), ("/a/x/deep",), False, False),
        (("/a/x", "/b/z"), ("/a/x",), True, True),
        (("/a/x", "/b/z"), ("/b/z", "/a/x"), False, False),
        (("/a/x", "/b"), ("/b/z",), True, True),
    ],
)
def test_what_is_wrong_at_each_depth(
    settled: tuple[str, ...], label: tuple[str, ...], wrong_above: bool, wrong_below: bool
) -> None:
    assert is_wrong(settled, label, 1, below=False) is wrong_above
    assert is_wrong(settled, label, 2, below=True) is wrong_below


# ----------------------------------------------------------------------------------------------------- the fold


def run_until_alarm(
    over: AuditBet, at: tuple[float, ...], settled: tuple[str, ...] = WRONG_DOMAIN
) -> tuple[AuditBet, int]:
    """Feed wrong audits until the watch alarms once more."""
    before, number = len(over.alarms), 0
    while len(over.alarms) == before:
        number += 1
        assert number < 100
        over = over.after(audit(number, settled, thresholds=at))
    return over, number


def test_an_alarm_moves_the_threshold_one_step_up_and_begins_anew() -> None:
    over, number = run_until_alarm(AuditBet(DOMAIN, deepest=False), (0.6, 0.5))
    assert (over.threshold, over.step, over.audits, over.wrong, over.evidence) == (0.7, 1, 0, 0, 1.0)
    assert (over.alarms[0].threshold, over.alarms[0].audits, over.alarms[0].wrong) == (0.6, number, number)
    late = over.after(audit(99, WRONG_DOMAIN, thresholds=(0.6, 0.5)))
    assert late == over  # made at the old threshold: it says nothing about the new one
    assert over.after(audit(99, WRONG_DOMAIN, thresholds=(0.7, 0.5))).wrong == 1


def test_a_second_alarm_silences_the_depth_which_is_never_wrong() -> None:
    over = AuditBet(DOMAIN, deepest=False)
    assert over.steps == (0.6, 0.7, SILENT)
    for threshold in (0.6, 0.7):
        assert (over.threshold, over.silent) == (threshold, False)
        over, _ = run_until_alarm(over, (threshold, 0.5))
    assert (over.threshold, over.silent, len(over.alarms)) == (SILENT, True, 2)
    for number in range(100):
        over = over.after(audit(number, ("/",), thresholds=(SILENT, 0.5)))
    assert (over.audits, over.wrong, len(over.alarms)) == (100, 0, 2)


def test_a_threshold_by_hand_stays_and_alarms_once() -> None:
    over, _ = run_until_alarm(AuditBet(dataclasses.replace(DOMAIN, basis="hand"), deepest=True), (0.6, 0.5))
    assert (over.threshold, over.silent, len(over.alarms)) == (0.6, False, 1)
    further = over.after(audit(99, WRONG_DOMAIN, thresholds=(0.6, 0.5)))
    assert further.audits == over.audits + 1 and further.alarms == over.alarms


@pytest.mark.parametrize("alpha", [0.01, 0.03])
def test_a_promise_that_is_kept_silences_a_depth_once_in_twenty_at_most(alpha: float) -> None:
    """Also where only the stricter threshold keeps it: the first alarm is then deserved, the second is not."""
    first = first_alarms(alpha, 5 * alpha, audits=2000, runs=1000, seed=3)
    second = first_alarms(alpha, alpha, audits=1000, runs=1000, seed=4)
    assert (first <= 2000).mean() > 0.99
    assert (second <= 1000).mean() <= 1 / ALARM_AT


audit_lists = st.lists(
    st.builds(
        audit,
        st.integers(1, 30),
        st.sampled_from([RIGHT, WRONG_TASK, WRONG_DOMAIN, ("/",), ("/a",)]),
        thresholds=st.sampled_from(
            [(0.6, 0.5), (0.7, 0.5), (0.6, 0.55), (0.7, 0.55), (SILENT, 0.55), (0.7, SILENT), (0.6,)]
        ),
        auditor=st.sampled_from(["ann", "bob"]),
        certificate=st.sampled_from([name_of(BOTH)] * 4 + ["another"]),
    ),
    max_size=80,
)


@given(audit_lists, st.integers(0, 80))
def test_replaying_gives_the_same_and_strictness_only_grows(audits: list[Audit], cut: int) -> None:
    whole = watch(BOTH, audits)
    assert watch(BOTH, iter(audits)) == whole
    states = [watch(BOTH, audits[:n]) for n in range(len(audits) + 1)]
    for each in range(len(BOTH)):
        thresholds = [state[each].threshold for state in states]
        assert thresholds == list(accumulate(thresholds, max))
    counting = [a for a in audits if a.certificate == name_of(BOTH)]
    assert watch(BOTH, counting) == whole


@given(audit_lists)
def test_a_decision_counts_once_with_the_label_that_came_first(audits: list[Audit]) -> None:
    second = [dataclasses.replace(each, auditor="cem", label=WRONG_DOMAIN) for each in audits]
    assert watch(BOTH, audits + second) == watch(BOTH, audits)


def test_another_fit_and_another_tolerance_start_anew() -> None:
    wrong = [audit(number, WRONG_DOMAIN) for number in range(50)]
    assert all(each.alarms for each in watch(BOTH, wrong))
    for changed in (
        (DOMAIN, dataclasses.replace(TASK, alpha=0.05)),
        (DOMAIN, dataclasses.replace(TASK, rows=1001)),
        (DOMAIN, dataclasses.replace(TASK, wrong=0.021)),
        (DOMAIN, dataclasses.replace(TASK, stricter=0.56)),
        (DOMAIN,),
    ):
        assert all((each.audits, each.alarms) == (0, ()) for each in watch(changed, wrong))
    assert watch((), wrong) == ()


def test_a_certificate_has_one_name_however_its_numbers_are_held() -> None:
    held = dataclasses.replace(
        DOMAIN,
        alpha=np.float64(DOMAIN.alpha),
        threshold=np.float64(DOMAIN.threshold),
        stricter=np.float64(DOMAIN.stricter),
    )
    assert name_of((held, TASK)) == name_of(BOTH)


# ------------------------------------------------------------------------------------------- thresholds, the draw


def test_thresholds_in_force_are_those_of_the_steps_and_never_laxer() -> None:
    base = Thresholds((0.6, 0.5), 0.3, {"/a/x": 0.9, "/a/y": 0.52, "/b": 0.61})
    untouched = in_force(base, watch(BOTH, ()))
    assert (untouched.by_depth, untouched.soft, untouched.by_task) == (base.by_depth, base.soft, base.by_task)
    assert isinstance(untouched, ThresholdsInForce) and untouched.certificate == name_of(BOTH)
    moved = in_force(base, [AuditBet(DOMAIN, False, step=1), AuditBet(TASK, True, step=1)])
    assert moved.by_depth == (0.7, 0.55)
    assert moved.by_task == {"/a/x": 0.9, "/a/y": 0.55, "/b": 0.7}
    assert moved.at("/a/z/deep") == 0.55


def test_a_silent_depth_settles_nothing_and_what_is_above_speaks() -> None:
    base = Thresholds((0.6, 0.5), 0.3, {"/a/x": 0.9})
    tree = {path: Task(path, "", children=below) for path, below in TREE.items()}
    sure = Belief({"/a": 1.0, "/a/x": 1.0}, ({"/a": 1.0, "/a/x": 1.0},))
    for step, deepest in ((0, "/a/x"), (1, "/a/x"), (2, "/a")):
        moved = in_force(base, [AuditBet(DOMAIN, False), AuditBet(TASK, True, step=step)])
        assert [each.path for each in settle(tree, sure, moved)] == [deepest]
    moved = in_force(base, [AuditBet(DOMAIN, False, step=2), AuditBet(TASK, True)])
    assert [each.path for each in settle(tree, sure, moved)] == ["/"]


def test_in_a_flat_tree_one_watch_moves_all() -> None:
    flat = dataclasses.replace(TASK, depth=1)
    moved = in_force(Thresholds((0.5, 0.5)), [AuditBet(flat, True, step=1)])
    assert moved.by_depth == (0.55, 0.55)


def test_the_draw_is_by_chance_nested_and_the_same_every_time() -> None:
    ids = [f"dec_{number:011x}{number * 7919:016x}" for number in range(50_000)]
    drawn = {each for each in ids if is_drawn(each)}
    assert len(drawn) == pytest.approx(AUDIT_RATE * len(ids), rel=0.1)
    assert drawn == {each for each in ids if is_drawn(each)}
    assert drawn < {each for each in ids if is_drawn(each, 0.05)}
    assert all(is_drawn(each, 1.0) and not is_drawn(each, 0.0) for each in ids[:100])
    halves = [sum(draw_position(each) < 0.5 for each in ids[at::10]) for at in range(10)]
    assert all(half == pytest.approx(2500, rel=0.1) for half in halves)
