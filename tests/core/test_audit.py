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
    NUMBERS,
    ODDS_RATIOS,
    PROMISES,
    Audit,
    AuditWatch,
    draw_position,
    evidence_against,
    is_drawn,
    least_rate,
    name_of,
    numbers,
    watch,
)
from router.core.decide import settle
from router.core.evidence import Belief, Certificate, Thresholds, Tolerance
from router.core.policy import Task

PROMISED = Certificate(
    basis="certified",
    accepted=Tolerance(0.05, 0.03, 0.10),
    delta=0.1,
    thresholds=Thresholds(0.9, 0.6, {"/a/x": 0.95}, 0.5),
    stricter=Thresholds(0.93, 0.7, {"/a/x": 0.96}, 0.8),
    rows=1000,
    foreign=100,
    bounds_exposure=True,
    reach=0.9,
    error=0.03,
    unconditional=0.01,
    exposed=0.05,
)
OWN, STRICTER, SILENCE = (0.9, 0.6, 0.5), (0.93, 0.7, 0.8), (2.0, 2.0, 0.5)
RIGHT, WRONG = ("/a/x",), ("/b/z",)
ROOT, LISTED, MISSED = ("/",), ("/a/x", "/b/z"), ("/a/y", "/b/z")


def audit(number: int, settled: tuple[str, ...] = RIGHT, **changes: Any) -> Audit:
    made = Audit(
        decision=f"dec_{number}",
        policy="shop",
        certificate=name_of(PROMISED),
        thresholds=OWN,
        settled=settled,
        label=RIGHT,
        auditor="ann",
        at_ms=number,
    )
    return dataclasses.replace(made, **changes)


def least_wrong_to_alarm(alpha: float, audits: int, evidence: float = ALARM_AT) -> list[int]:
    """The fewest wrong among the first n audits that make so much evidence, for n = 1 .. `audits`."""
    wrong, found = 0, []
    for n in range(1, audits + 1):
        while evidence_against(alpha, n, wrong) < evidence:
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


@given(st.floats(0.001, 0.5), st.integers(0, 5000), st.floats(0, 1), st.sampled_from([1.0, 0.5, 1 / 3]))
def test_the_least_rate_passes_alpha_where_the_bet_alarms(
    alpha: float, audits: int, share: float, stake: float
) -> None:
    wrong = round(share * audits)
    least = least_rate(audits, wrong, stake)
    assert 0 <= least <= (wrong / audits if audits else 0)
    if abs(least - alpha) > 1e-9:
        assert (least > alpha) is (evidence_against(alpha, audits, wrong) >= ALARM_AT / stake)


def test_huge_counts_stay_finite() -> None:
    assert math.isfinite(evidence_against(0.01, 10**7, 10**7))
    assert 0 <= evidence_against(0.01, 10**7, 0) < 1e-6
    assert evidence_against(0.01, 0, 0) == 1.0


# ------------------------------------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize(
    ("settled", "shortlist", "label", "error", "unconditional"),
    [
        (("/",), (), ("/a/x",), False, False),
        (("/a",), (), ("/a/x",), False, False),
        (("/a/x",), (), ("/a/x",), False, False),
        (("/a/x",), (), ("/a/y",), True, True),
        (("/a/x",), (), ("/a",), True, True),
        (("/a",), (), ("/ab/x",), True, True),
        (("/a/x/deep",), (), ("/a/x",), True, True),
        (("/a/x", "/b/z"), (), ("/a/x",), True, True),
        (("/a/x", "/b/z"), (), ("/b/z", "/a/x"), False, False),
        (("/",), ("/a/x", "/b/z"), ("/b/z",), False, False),
        (("/",), ("/a/x", "/b/z"), ("/a/y",), True, False),
        (("/",), ("/a/x", "/b/z"), ("/b",), False, False),
        (("/",), ("/a/x", "/b/z"), ("/b/z/deep",), True, False),
        (("/a",), ("/a/x", "/a/y"), ("/a/y",), False, False),
        (("/a",), ("/a/x", "/a/y"), ("/b/z",), True, True),
        (("/a/x",), ("/b/y", "/b/z"), ("/a/x", "/b/z"), False, False),
        (("/a/x",), ("/b/y", "/b/z"), ("/a/x",), True, False),
    ],
)
def test_wrong_is_plain_text_of_another_task_or_a_shortlist_without_the_right_one(
    settled: tuple[str, ...], shortlist: tuple[str, ...], label: tuple[str, ...], error: bool, unconditional: bool
) -> None:
    made = audit(1, settled, shortlist=shortlist, label=label)
    assert [made.breaks(promise) for promise in PROMISES] == [error, unconditional, None]


@pytest.mark.parametrize("label", [(), ("/",)])
@pytest.mark.parametrize(
    ("settled", "shortlist", "exposed"),
    [(("/",), (), False), (("/a",), (), True), (("/a/x",), (), True), (("/",), ("/a/x", "/b/z"), True)],
)
def test_what_no_task_answers_is_exposed_to_any_text_of_one(
    settled: tuple[str, ...], shortlist: tuple[str, ...], exposed: bool, label: tuple[str, ...]
) -> None:
    made = audit(1, settled, shortlist=shortlist, label=label)
    assert [made.breaks(promise) for promise in PROMISES] == [None, None, exposed]


# ----------------------------------------------------------------------------------------------------- the fold


def run_until_alarm(over: AuditWatch, at: tuple[float, ...], **wrong: Any) -> tuple[AuditWatch, int]:
    """Feed wrong audits until the watch alarms once more."""
    before, number = len(over.alarms), 0
    while len(over.alarms) == before:
        number += 1
        assert number < 100
        over = over.after(audit(number, thresholds=at, **{"settled": WRONG, **wrong}))
    return over, number


def counts(over: AuditWatch) -> dict[str, tuple[int, int]]:
    return {bet.promise: (bet.audits, bet.wrong) for bet in over.bets}


def test_an_audit_counts_for_the_promises_about_such_messages() -> None:
    audits = [audit(1), audit(2, WRONG), audit(3, ROOT, shortlist=MISSED), audit(4, ROOT, shortlist=LISTED)]
    audits += [audit(5, ROOT, label=()), audit(6, ROOT, shortlist=LISTED, label=())]
    over = watch(PROMISED, audits)
    assert counts(over) == {"error": (4, 2), "unconditional": (4, 1), "exposure": (2, 1)}
    assert [bet.accepted for bet in over.bets] == [0.05, 0.03, 0.10]
    assert [bet.rate for bet in over.bets] == [0.5, 0.25, 0.5]
    assert over.evidence == pytest.approx(
        (evidence_against(0.05, 4, 2) + evidence_against(0.03, 4, 1) + evidence_against(0.10, 2, 1)) / 3
    )


def test_what_the_certificate_does_not_bound_is_not_bet_against() -> None:
    unbounded = dataclasses.replace(PROMISED, bounds_exposure=False)
    exposed = [audit(number, label=(), certificate=name_of(unbounded)) for number in range(100)]
    over = watch(unbounded, exposed)
    assert counts(over) == {"error": (0, 0), "unconditional": (0, 0)}
    assert (over.evidence, over.alarms) == (1.0, ())


@pytest.mark.parametrize(
    ("promise", "wrong"),
    [
        ("unconditional", {"settled": WRONG}),
        ("error", {"settled": ROOT, "shortlist": MISSED}),
        ("exposure", {"label": ()}),
    ],
)
def test_an_alarm_names_its_promise_moves_the_thresholds_one_step_up_and_begins_anew(
    promise: str, wrong: dict[str, Any]
) -> None:
    over, number = run_until_alarm(watch(PROMISED, ()), OWN, **wrong)
    (alarm,) = over.alarms
    assert (alarm.promise, alarm.step, alarm.audits, alarm.wrong, alarm.at_ms) == (promise, 0, number, number, number)
    assert (over.step, over.evidence) == (1, pytest.approx(1.0))
    assert set(counts(over).values()) == {(0, 0)}
    assert numbers(over.thresholds) == STRICTER
    late = over.after(audit(99, thresholds=OWN, **wrong))
    assert late == over  # made at the old thresholds: it says nothing about the new ones
    assert counts(over.after(audit(99, thresholds=STRICTER, **wrong)))[promise] == (1, 1)


def test_bets_against_different_promises_win_together() -> None:
    """A fifth of the shortlists misses its task, a third of what no task answers gets text: neither bet wins alone."""
    over, before, made = watch(PROMISED, ()), watch(PROMISED, ()), audit(0)
    for number in range(1, 100):
        if number % 2:
            made = audit(number, ROOT, shortlist=MISSED if number % 10 == 1 else LISTED)
        else:
            made = audit(number, ROOT if number % 6 else RIGHT, label=())
        before, over = over, over.after(made)
        if over.alarms:
            break
    last = [bet.after(broken=made.breaks(bet.promise)) for bet in before.bets]
    assert over.alarms and max(bet.evidence for bet in last) < ALARM_AT
    assert over.alarms[0].promise == "error" and last[0].evidence > last[2].evidence > 1


def test_a_second_alarm_silences_recognition_which_is_never_wrong() -> None:
    over = watch(PROMISED, ())
    for at in (OWN, STRICTER):
        assert (numbers(over.thresholds), over.silent) == (at, False)
        over, _ = run_until_alarm(over, at)
    assert (numbers(over.thresholds), over.silent) == (SILENCE, True)
    assert [alarm.step for alarm in over.alarms] == [0, 1]
    for number in range(100):
        over = over.after(audit(number, ROOT, thresholds=SILENCE))
    assert counts(over)["error"] == (100, 0) and len(over.alarms) == 2


def test_thresholds_by_hand_stay_and_alarm_once() -> None:
    over, _ = run_until_alarm(watch(dataclasses.replace(PROMISED, basis="hand"), ()), OWN)
    assert (numbers(over.thresholds), over.silent, len(over.alarms)) == (OWN, False, 1)
    further = over.after(audit(99, WRONG))
    assert counts(further)["error"][0] == counts(over)["error"][0] + 1 and further.alarms == over.alarms


def test_promises_that_are_just_kept_alarm_once_in_twenty_at_most_whichever_and_however_many() -> None:
    """Errors, plain or not, and exposures come exactly as often as is accepted."""
    chance, runs, audits = np.random.default_rng(3), 400, 300
    foreign = chance.random((runs, audits)) < 0.3
    draws = chance.random((runs, audits))
    alarms = 0
    for of_none, drawn in zip(foreign.tolist(), draws.tolist(), strict=True):
        over = watch(PROMISED, ())
        for number, (none, at) in enumerate(zip(of_none, drawn, strict=True)):
            wrong = {"settled": ROOT, "shortlist": LISTED} if at < 0.10 else {"settled": ROOT}
            if not none:
                wrong = {"settled": WRONG} if at < 0.03 else {"shortlist": MISSED if at < 0.05 else ()}
            over = over.after(audit(number, label=() if none else RIGHT, **wrong))
            if over.alarms:
                alarms += 1
                break
    assert alarms / runs <= 1 / ALARM_AT


audit_lists = st.lists(
    st.builds(
        audit,
        st.integers(1, 30),
        st.sampled_from([RIGHT, WRONG, ROOT, ("/a",)]),
        shortlist=st.sampled_from([(), (), LISTED, MISSED]),
        label=st.sampled_from([RIGHT, RIGHT, ()]),
        thresholds=st.sampled_from([OWN, OWN, STRICTER, SILENCE, (0.6,), (0.9, 0.6)]),
        auditor=st.sampled_from(["ann", "bob"]),
        certificate=st.sampled_from([name_of(PROMISED)] * 4 + ["another"]),
    ),
    max_size=80,
)


@given(audit_lists)
def test_replaying_gives_the_same_and_strictness_only_grows(audits: list[Audit]) -> None:
    whole = watch(PROMISED, audits)
    assert watch(PROMISED, iter(audits)) == whole
    states = [watch(PROMISED, audits[:n]) for n in range(len(audits) + 1)]
    for name in NUMBERS:
        thresholds = [getattr(state.thresholds, name) for state in states]
        assert thresholds == list(accumulate(thresholds, max))
    assert watch(PROMISED, [a for a in audits if a.certificate == name_of(PROMISED)]) == whole


@given(audit_lists)
def test_a_decision_counts_once_with_the_label_that_came_first(audits: list[Audit]) -> None:
    second = [dataclasses.replace(each, auditor="cem", label=WRONG) for each in audits]
    assert watch(PROMISED, audits + second) == watch(PROMISED, audits)


@pytest.mark.parametrize(
    "changed",
    [
        {"accepted": Tolerance(0.05, 0.03, 0.09)},
        {"accepted": Tolerance(0.04, 0.03, 0.10)},
        {"rows": 1001},
        {"foreign": 101},
        {"bounds_exposure": False},
        {"error": 0.031},
        {"exposed": 0.051},
        {"stricter": Thresholds(0.94, 0.7, {"/a/x": 0.96}, 0.8)},
        {"thresholds": Thresholds(0.9, 0.6, {"/a/x": 0.96}, 0.5)},
        {"thresholds": Thresholds(0.9, 0.6, {"/a/y": 0.95}, 0.5)},
        {"thresholds": Thresholds(0.9, 0.6, {"/a/x": 0.95}, 0.6)},
        {"basis": "default"},
    ],
)
def test_another_fit_and_other_tolerances_start_anew(changed: dict[str, Any]) -> None:
    wrong = [audit(number, WRONG) for number in range(50)]
    assert watch(PROMISED, wrong).alarms
    over = watch(dataclasses.replace(PROMISED, **changed), wrong)
    assert set(counts(over).values()) == {(0, 0)} and over.alarms == ()


def test_a_certificate_has_one_name_however_its_numbers_are_held() -> None:
    held = dataclasses.replace(
        PROMISED,
        accepted=Tolerance(np.float64(0.05), np.float64(0.03), np.float64(0.10)),
        thresholds=Thresholds(np.float64(0.9), np.float64(0.6), {"/a/x": np.float64(0.95)}, 0.5),
        error=np.float64(0.03),
    )
    assert name_of(held) == name_of(PROMISED)


# ------------------------------------------------------------------------------------------- thresholds, the draw


def test_thresholds_in_force_are_those_of_the_step_and_never_laxer_than_the_certificates_own() -> None:
    untouched = watch(PROMISED, ()).thresholds
    own = PROMISED.thresholds
    assert (numbers(untouched), untouched.by_task) == (numbers(own), own.by_task)
    assert untouched.certificate == name_of(PROMISED)
    lax = dataclasses.replace(PROMISED, stricter=Thresholds(0.5, 0.7))
    moved = dataclasses.replace(watch(lax, ()), step=1).thresholds
    assert (numbers(moved), moved.at("/a/x"), moved.at("/b")) == ((0.9, 0.7, 0.5), 0.95, 0.9)


def test_silence_settles_and_lists_nothing() -> None:
    children = {"/": ("/a", "/b"), "/a": ("/a/x",), "/a/x": (), "/b": ()}
    tree = {path: Task(path, "", children=below) for path, below in children.items()}
    sure = Belief({"/a": 1.0, "/a/x": 1.0}, sentences=(Belief({"/a": 1.0, "/a/x": 1.0}),))
    unsure = Belief({"/a": 0.5, "/a/x": 0.5, "/b": 0.5})
    done = []
    for step in (0, 1, 2):
        thresholds = dataclasses.replace(watch(PROMISED, ()), step=step).thresholds
        done.append(([each.path for each in settle(tree, sure, thresholds).paths], settle(tree, unsure, thresholds)))
    assert [paths for paths, _ in done] == [["/a/x"], ["/a/x"], ["/"]]
    assert [bool(found.shortlist) for _, found in done] == [True, True, False]


def test_the_draw_is_by_chance_nested_and_the_same_every_time() -> None:
    ids = [f"dec_{number:011x}{number * 7919:016x}" for number in range(50_000)]
    drawn = {each for each in ids if is_drawn(each)}
    assert len(drawn) == pytest.approx(AUDIT_RATE * len(ids), rel=0.1)
    assert drawn == {each for each in ids if is_drawn(each)}
    assert drawn < {each for each in ids if is_drawn(each, 0.05)}
    assert all(is_drawn(each, 1.0) and not is_drawn(each, 0.0) for each in ids[:100])
    halves = [sum(draw_position(each) < 0.5 for each in ids[at::10]) for at in range(10)]
    assert all(half == pytest.approx(2500, rel=0.1) for half in halves)
