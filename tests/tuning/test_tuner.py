"""The tuner: each rule by itself, what each mode does, and what people say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from router.core.learning import DialKey, ExperimentEvent
from router.core.policy import ROOT, Level, Policy
from router.tuning.allocation import ArmKey, ArmStatistics
from router.tuning.candidates import DAY_MS
from router.tuning.comparison import Comparison
from router.tuning.level_state import LevelState, fold
from router.tuning.sequential_test import MARGIN, SequentialTest
from router.tuning.tuner import alpha_of, refresh
from router.tuning.words import ANY
from tests.tuning.desk import BILLING, INVOICE, REFUND, SHIPPING, T0, arms, dial, evidence, pack

OFF, BRIEF, GUIDED, DETAILED = Level
PROMISING = {(BILLING, GUIDED): (60, 0.6), (BILLING, BRIEF): (400, 0.3), (BILLING, DETAILED): (60, 0.7)}
CHEAPER = {(BILLING, GUIDED): (60, 0.7), (BILLING, BRIEF): (60, 0.7), (BILLING, DETAILED): (400, 0.3)}


class Desk:
    """A tuner with its log, and one trial at /billing that has just begun."""

    def __init__(self, mode: str = "auto", record: Mapping[Any, Any] = PROMISING, **more: Any) -> None:
        self.policy: Policy = pack(mode, **more)
        self.arms: dict[ArmKey, ArmStatistics] = arms(self.policy, record, T0)
        self.log: list[ExperimentEvent] = []
        self.refresh(0)

    @property
    def state(self) -> LevelState:
        return fold(self.log)

    def refresh(self, days: float = 8, bets: SequentialTest | None = None, policy: Policy | None = None) -> list[str]:
        """Return the kinds of events of a refresh so many days after the start."""
        known = {running.id: bets for running in self.state.running.values()} if bets else {}
        events = refresh(policy or self.policy, self.state, known, self.arms, T0 + round(days * DAY_MS))
        self.log += events
        return [event.kind for event in events]

    def say(self, word: str, key: DialKey | None = None, by: str = "ann") -> None:
        self.log.append(ExperimentEvent(T0, "desk", word, key or dial(), {}, by=by))

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.log[-1].facts

    def last(self, kind: str) -> ExperimentEvent:
        return next(event for event in reversed(self.log) if event.kind == kind)


def test_more_text_must_be_better_and_less_must_not_be_worse_by_the_margin() -> None:
    up, down = Desk().facts, Desk(record=CHEAPER).facts
    assert (up["kind"], up["incumbent"], up["challenger"], up["margin"]) == ("up", "guided", "detailed", 0.0)
    assert (down["kind"], down["incumbent"], down["challenger"], down["margin"]) == ("down", "guided", "brief", MARGIN)
    assert up["share"] == down["share"] == 0.1


def test_the_error_of_all_challengers_of_a_dial_adds_up() -> None:
    assert sum(alpha_of(k) for k in range(1, 10_000)) == pytest.approx(0.05, abs=1e-5)


@pytest.mark.parametrize(
    ("days", "bets", "kinds"),
    [
        (8, evidence(gain=41), ["stepped", "started"]),
        (8, evidence(gain=39), []),
        (6.9, evidence(gain=41), []),
        (8, evidence(n=198, gain=41), []),
        (8, evidence(gain=41, harm=10), ["stopped"]),
        (8, evidence(gain=41, ratio=(400.0,) * 4), ["stopped"]),
        (8, evidence(gain=41, guards={"escalated": Comparison(better=(10.0,) * 3)}), ["stopped"]),
        (8, evidence(gain=41, guards={"escalated": Comparison(better=(9.0,) * 3)}), ["stepped", "started"]),
        (8, evidence(gain=41, spoken=Comparison(worse=(200.0,) * 3)), ["stopped"]),
        (1, evidence(n=30, harm=10), ["stopped"]),
        (30, evidence(outcomes=7_999), []),
        (30, evidence(outcomes=8_000), ["stopped"]),
        (60, evidence(), ["stopped"]),
    ],
)
def test_what_becomes_of_a_trial(days: float, bets: SequentialTest, kinds: list[str]) -> None:
    desk = Desk()
    found = [kind for kind in desk.refresh(days, bets) if kind != "shared"]
    assert found[: len(kinds)] == kinds and (kinds or not found)


@pytest.mark.parametrize(
    ("bets", "why", "rests"),
    [
        (evidence(harm=11), "harm", 90),
        (evidence(outcomes=9_000), "futile", 90),
        (evidence(guards={"escalated": Comparison(better=(99.0,) * 3)}), "alarm", 90),
        (evidence(ratio=(400.0,) * 4), "alarm", 7),
        (evidence(spoken=Comparison(better=(900.0,) * 3)), "alarm", 7),
    ],
)
def test_a_challenger_that_was_stopped_rests(bets: SequentialTest, why: str, rests: int) -> None:
    desk = Desk()
    desk.refresh(8, bets)
    assert desk.last("stopped").facts["why"] == why
    rest = desk.state.dial(dial()).cooldowns[0]
    assert rest[:2] == (GUIDED, DETAILED) and rest.until_ms == T0 + (8 + rests) * DAY_MS


def test_a_trial_without_hope_ends_early_to_make_room() -> None:
    desk = Desk()
    desk.arms |= arms(desk.policy, {(BILLING, GUIDED): (900, 0.9), (BILLING, DETAILED): (900, 0.5)}, T0)
    assert desk.refresh(2, evidence(n=150))[:1] == []
    assert desk.refresh(2, evidence(n=200))[0] == "stopped"
    assert desk.last("stopped").facts["why"] == "futile"


def test_the_share_follows_what_is_believed_under_its_caps() -> None:
    desk = Desk()
    desk.arms |= arms(desk.policy, {(BILLING, GUIDED): (900, 0.5), (BILLING, DETAILED): (900, 0.9)}, T0)
    shares = []
    for n in (58, 60, 198, 200, 398, 400):
        desk.refresh(2, evidence(n=n))
        shares.append(desk.state.dial(dial()).running.share)
    assert shares == [0.10, 0.25, 0.25, 0.50, 0.50, 0.90]
    assert desk.refresh(2, evidence(n=401)) == []


@pytest.mark.parametrize(("path", "events"), [(BILLING, []), (REFUND, ["shared"])])
def test_where_stakes_are_high_the_share_stays_small_and_those_below_mind_their_own(
    path: str, events: list[str]
) -> None:
    desk = Desk(**{path.rsplit("/", 1)[-1]: {"stakes": "high"}})
    desk.arms |= arms(desk.policy, {(BILLING, GUIDED): (900, 0.5), (BILLING, DETAILED): (900, 0.9)}, T0)
    assert desk.refresh(2, evidence()) == events


def test_the_second_challenger_needs_more() -> None:
    desk = Desk(record={**PROMISING, (BILLING, BRIEF): (60, 0.6)})
    desk.refresh(8, evidence(harm=11))
    assert (desk.facts["challenger"], desk.facts["k"]) == ("brief", 2) and desk.facts["alpha"] == pytest.approx(
        0.05 / 6
    )
    assert "stepped" not in desk.refresh(16, evidence(gain=119))
    assert "stepped" in desk.refresh(16, evidence(gain=121))


class TestSuggest:
    def test_a_person_is_asked_once_and_the_trial_goes_on(self) -> None:
        desk = Desk("suggest")
        assert desk.refresh(8, evidence(gain=50)) == ["proposed"]
        assert desk.refresh(9, evidence(gain=50)) == []
        assert desk.state.levels().dials[dial()].trial is not None

    def test_an_acceptance_makes_the_step_in_that_persons_name(self) -> None:
        desk = Desk("suggest")
        desk.refresh(8, evidence(gain=50))
        desk.say("accepted")
        assert desk.refresh(9, evidence(gain=20)) == ["stepped", "started"]
        assert desk.last("stepped").by == "ann" and desk.state.dial(dial()).level is DETAILED

    def test_an_acceptance_of_what_was_not_proposed_does_nothing(self) -> None:
        desk = Desk("suggest")
        desk.say("accepted")
        assert "stepped" not in desk.refresh(9, evidence(gain=20))

    def test_harm_comes_before_an_acceptance(self) -> None:
        desk = Desk("suggest")
        desk.refresh(8, evidence(gain=50))
        desk.say("accepted")
        assert desk.refresh(9, evidence(gain=50, harm=11))[0] == "stopped"

    def test_a_rejection_ends_the_trial_and_the_challenger_rests(self) -> None:
        desk = Desk("suggest")
        desk.say("rejected")
        assert desk.refresh(8, evidence(gain=50))[0] == "stopped"
        assert (desk.last("stopped").facts["why"], desk.last("stopped").by) == ("rejected", "ann")
        assert desk.state.dial(dial()).cooldown(GUIDED, DETAILED, desk.policy.texts[BILLING], T0 + 9 * DAY_MS)

    def test_a_proposal_waits_as_long_as_it_must(self) -> None:
        desk = Desk("suggest")
        desk.refresh(8, evidence(gain=50))
        assert "stopped" not in desk.refresh(200, evidence(gain=30, outcomes=20_000))


class TestHoldback:
    @pytest.fixture
    def desk(self) -> Desk:
        desk = Desk()
        desk.refresh(8, evidence(gain=50))
        return desk

    def test_some_stay_on_the_old_level_for_a_month(self, desk: Desk) -> None:
        found = desk.state.levels().dials[dial()]
        assert (found.level, found.trial.challenger, found.trial.share) == (DETAILED, GUIDED, 0.1)
        assert desk.refresh(37.9, evidence()) == []
        assert desk.refresh(38.1, evidence())[0] == "stopped" and desk.last("stopped").facts["why"] == "kept"
        assert desk.state.levels().dials[dial()].level is DETAILED

    @pytest.mark.parametrize("mode", ["auto", "suggest", "observe"])
    @pytest.mark.parametrize(
        "bets", [evidence(gain=10), evidence(guards={"escalated": Comparison(worse=(10.0,) * 3)}, reverse=True)]
    )
    def test_a_step_that_was_wrong_is_taken_back_by_itself_in_every_mode(
        self, desk: Desk, mode: str, bets: SequentialTest
    ) -> None:
        assert desk.refresh(12, bets, pack(mode))[0] == "rolled_back"
        assert desk.state.dial(dial()).level is None
        assert desk.state.dial(dial()).cooldown(GUIDED, DETAILED, desk.policy.texts[BILLING], T0 + 13 * DAY_MS)

    def test_after_a_cheaper_step_a_loss_within_the_margin_is_no_reason(self) -> None:
        desk = Desk(record=CHEAPER)
        desk.refresh(8, evidence(gain=50))
        assert (desk.facts["kind"], desk.facts["margin"]) == ("holdback", -MARGIN)

    def test_observe_draws_nobody_but_waits_for_what_was_drawn(self, desk: Desk) -> None:
        assert desk.refresh(9, evidence(), pack("observe")) == ["shared"]
        assert desk.state.levels().dials[dial()].trial is None
        assert desk.refresh(10, evidence()) == ["shared"] and desk.state.dial(dial()).running.share == 0.1

    def test_where_draws_are_lost_it_ends_and_the_step_stays(self, desk: Desk) -> None:
        assert desk.refresh(12, evidence(gain=99, ratio=(400.0,) * 4, outcomes=1))[0] == "rolled_back"
        other = Desk()
        other.refresh(8, evidence(gain=50))
        assert other.refresh(12, evidence(ratio=(400.0,) * 4))[0] == "stopped"
        assert other.state.dial(dial()).level is DETAILED


def test_observe_ends_trials_and_starts_none() -> None:
    assert Desk("observe").log == []
    desk = Desk()
    assert desk.refresh(1, evidence(), pack("observe")) == ["stopped"] and desk.facts["why"] == "observe"
    assert desk.refresh(2) == ["started"], "what was stopped by a mode does not rest"


def test_a_new_text_starts_the_evidence_again_and_k_goes_on() -> None:
    desk = Desk()
    new = pack(say="new")
    desk.arms |= arms(new, PROMISING, T0)
    assert desk.refresh(2, evidence(gain=99), new) == ["stopped", "started"]
    assert desk.log[-2].facts["why"] == "voided"
    assert (desk.facts["text"], desk.facts["k"]) == (new.texts[BILLING], 2)


def test_what_was_learned_of_another_text_starts_nothing() -> None:
    desk = Desk()
    assert desk.refresh(2, evidence(gain=99), pack(say="new")) == ["stopped"]


def test_another_primary_metric_voids_a_trial() -> None:
    desk = Desk()
    assert desk.refresh(2, evidence(gain=99), pack(metric="happy"))[0] == "stopped"
    assert desk.last("stopped").facts["why"] == "metric"
    assert Desk().refresh(2, evidence(), pack(metric="")) == ["stopped"]


def test_a_task_that_is_gone_takes_its_trial_along() -> None:
    desk = Desk()
    assert desk.refresh(2, evidence(gain=99), pack(paths=(SHIPPING,))) == ["stopped"]


@pytest.mark.parametrize("word", [dial(), dial(REFUND), dial(ROOT, ANY)])
def test_what_is_frozen_does_not_move(word: DialKey) -> None:
    desk = Desk()
    desk.say("frozen", word)
    assert desk.refresh(8, evidence(gain=99)) == []
    assert desk.refresh(8, evidence(harm=99)) == []
    assert desk.refresh(99, evidence(outcomes=9_999)) == []
    assert desk.state.levels().dials[dial()].trial is None
    desk.say("thawed", dial(ROOT, ANY))
    assert desk.refresh(8, evidence(gain=99))[0] == "stepped"


def test_what_is_frozen_can_still_be_rejected() -> None:
    desk = Desk()
    desk.say("frozen")
    desk.say("rejected")
    assert desk.refresh(8, evidence(gain=99)) == ["stopped"]


def test_a_trial_at_a_domain_comes_before_its_children() -> None:
    leaves = {(REFUND, GUIDED): (500, 0.7), (INVOICE, GUIDED): (500, 0.7), (SHIPPING, GUIDED): (500, 0.7)}
    desk = Desk(record=leaves)
    assert {event.key.task for event in desk.log} == {BILLING, SHIPPING}
    for day in (8, 16):
        desk.refresh(day, evidence(harm=99))
    assert {event.key.task for event in desk.log} == {BILLING, SHIPPING, REFUND, INVOICE}
    assert set(desk.state.running) == {dial(REFUND), dial(INVOICE)}


def test_a_child_that_stepped_no_longer_follows() -> None:
    leaves = {(REFUND, GUIDED): (500, 0.6), (REFUND, BRIEF): (900, 0.1), (REFUND, DETAILED): (500, 0.8)}
    desk = Desk(record=leaves)
    desk.refresh(8, evidence(harm=99))
    desk.refresh(30, evidence(gain=999))
    levels = desk.state.levels()
    moves = {task: levels.choice(desk.policy, dial(task)).move for task in (BILLING, REFUND, INVOICE)}
    assert moves == {BILLING: 0, REFUND: 1, INVOICE: 0}


def test_groups_are_tuned_apart() -> None:
    policy = pack()
    both = {**arms(policy, PROMISING, T0, model="small"), **arms(policy, CHEAPER, T0, model="large")}
    events = refresh(policy, LevelState(), {}, both, T0)
    assert [(event.key.model, event.facts["challenger"]) for event in events] == [
        ("large", "brief"),
        ("small", "detailed"),
    ]


def test_asked_again_it_has_nothing_to_add() -> None:
    desk = Desk()
    assert desk.refresh(0) == []
    desk.refresh(8, evidence(gain=99))
    assert desk.refresh(8) == []


def test_a_clock_that_was_set_back_moves_nothing() -> None:
    assert Desk().refresh(-400, evidence(n=40, gain=99)) == []


def test_ids_of_trials_are_never_used_twice() -> None:
    desk = Desk(record={(BILLING, level): (20_000, 0.6) for level in (BRIEF, GUIDED, DETAILED)})
    for day in range(8, 1_000, 31):
        desk.refresh(day, evidence(gain=500 if day % 2 else 1, harm=1 if day % 2 else 99))
        if day % 5 == 0:
            desk.say("reset")
    ids = [event.facts["trial"] for event in desk.log if event.kind == "started"]
    assert len(ids) == len(set(ids)) > 5
