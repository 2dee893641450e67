"""The candidates: what there is to try, for whom, and why a task must wait."""

from __future__ import annotations

from typing import Any

import pytest

from router.core.learning import DialKey, ExperimentEvent
from router.core.policy import Level, Policy
from router.tuning.allocation import ArmKey, ArmStatistics
from router.tuning.candidates import DAY_MS, Candidates
from router.tuning.level_state import LevelState, fold
from router.tuning.tuner import refresh
from tests.tuning.desk import (
    BILLING,
    INVOICE,
    MODEL,
    REFUND,
    SHIPPING,
    STARTED,
    T0,
    arms,
    dial,
    event,
    instruction,
    pack,
)

OFF, BRIEF, GUIDED, DETAILED = Level
PLENTY = {(REFUND, GUIDED): (500, 0.7), (INVOICE, GUIDED): (700, 0.7)}


def candidates(
    policy: Policy | None = None, record: Any = PLENTY, state: LevelState | None = None, now_ms: int = T0, **more: Any
) -> Candidates:
    policy = policy or pack()
    return Candidates(policy, state or LevelState(), arms(policy, record, T0, **more), now_ms)


def code(found: Candidates, task: str = BILLING) -> str:
    wait = found.wait(dial(task))
    return wait.code if wait else ""


@pytest.mark.parametrize(
    ("found", "waits"),
    [
        (candidates(), ""),
        (candidates(pack(metric="")), "metric"),
        (candidates(pack("observe")), "observe"),
        (candidates(state=fold([event("frozen", dial(REFUND))])), "frozen"),
        (candidates(state=fold([STARTED])), "trial"),
        (candidates(state=fold([event("started", dial(REFUND))])), "trial"),
        (candidates(record={(REFUND, GUIDED): (29, 0.7)}), "few"),
        (candidates(record={(REFUND, GUIDED): (500, 1.0)}), "equal"),
        (candidates(record={(REFUND, GUIDED): (500, 0.0)}), "equal"),
        (candidates(record={(REFUND, GUIDED): (90, 0.7)}, days=30), "rare"),
        (candidates(record={(REFUND, GUIDED): (110, 0.7)}, days=30), ""),
        (candidates(pack(levels={BILLING: [BRIEF], REFUND: [], INVOICE: []})), "nothing"),
        (candidates(pack(levels={BILLING: [BRIEF], REFUND: [DETAILED], INVOICE: []})), ""),
        (candidates(pack(levels=dict.fromkeys((BILLING, REFUND, INVOICE), ()))), "nothing"),
        (candidates(pack(billing={"levels": {"": OFF}})), "nothing"),
        (candidates(record={**PLENTY, (REFUND, BRIEF): (9_000, 0.2), (REFUND, DETAILED): (9_000, 0.2)}), "unlikely"),
    ],
)
def test_why_a_task_waits(found: Candidates, waits: str) -> None:
    assert code(found) == waits


def test_rewards_that_all_are_the_default_value_start_nothing() -> None:
    """Where nobody ever says anything all rewards are equal: a draw would cost, and could never teach."""
    policy = pack()
    table = {
        ArmKey(REFUND, MODEL, GUIDED, REFUND, policy.texts[REFUND]): ArmStatistics(
            900, 900 * 0.37, 900 * 0.37**2, 0, T0, T0
        )
    }
    assert code(Candidates(policy, LevelState(), table, T0)) == "equal"


def test_children_come_after_their_domain_has_nothing_left_to_try() -> None:
    assert code(candidates(), REFUND) == "parent"
    assert code(candidates(pack(levels={BILLING: (), INVOICE: ()})), REFUND) == "parent", (
        "the domain moves its children"
    )


def test_a_child_waits_where_only_another_childs_trial_keeps_the_domain_from_trying() -> None:
    policy = pack()
    text = policy.texts[BILLING]
    log: list[ExperimentEvent] = []
    for k, challenger in enumerate(("detailed", "brief"), 1):
        facts = {"trial": f"t{k}", "challenger": challenger, "text": text, "k": k}
        log += [event("started", **facts), event("stopped", **facts, why="futile", rests_until_ms=T0 + 90 * DAY_MS)]
    log.append(event("started", dial(REFUND), trial="r1", text=policy.texts[REFUND]))
    early, late = (candidates(policy, state=fold(log), now_ms=T0 + days * DAY_MS, days=5) for days in (1, 91))
    assert code(early, INVOICE) == ""
    assert code(late, INVOICE) == "parent"


def test_required_text_is_never_tried_without() -> None:
    must = {"levels": {"": BRIEF}, "instructions": (instruction(BILLING, BRIEF, required=True),)}
    found, _ = candidates(pack(billing=must)).neighbours(dial())
    assert [prospect.challenger for prospect in found] == [GUIDED]


@pytest.mark.parametrize(("start", "first"), [(GUIDED, BRIEF), (BRIEF, GUIDED)])
def test_where_nothing_is_known_less_is_tried_first_but_not_nothing_at_all(start: Level, first: Level) -> None:
    policy = pack(billing={"levels": {"": start}})
    assert candidates(policy, {}).neighbours(dial())[0][0].challenger is first


def test_levels_beyond_the_scale_are_not_tried() -> None:
    found, _ = candidates(pack(billing={"levels": {"": DETAILED}})).neighbours(dial())
    assert [prospect.challenger for prospect in found] == [GUIDED]


def test_a_trial_moves_all_that_follow_and_no_others() -> None:
    state = fold([event("started", dial(REFUND)), event("stepped", dial(REFUND))])
    found = candidates(state=state)
    assert found.followers(dial()) == (BILLING, INVOICE)
    assert found.moves(dial(), GUIDED, DETAILED) == {BILLING: (GUIDED, DETAILED), INVOICE: (GUIDED, DETAILED)}
    assert found.record(dial()).n == 700


def test_followers_move_as_many_steps_from_where_they_start() -> None:
    found = candidates(pack(refund={"levels": {"": DETAILED}}, invoice={"levels": {"": OFF}}))
    assert found.moves(dial(), GUIDED, BRIEF) == {BILLING: (GUIDED, BRIEF), REFUND: (DETAILED, GUIDED)}


def test_the_record_of_other_texts_and_other_groups_is_left_out() -> None:
    policy = pack()
    old, other = arms(pack(say="old"), PLENTY, T0), arms(policy, PLENTY, T0, model="large")
    found = Candidates(policy, LevelState(), {**old, **other}, T0)
    assert found.record(dial()).n == 0 and found.record(DialKey(BILLING, "large")).n == 1_200


def test_a_trial_that_changes_no_text_is_not_held() -> None:
    found = candidates(pack(levels={BILLING: [BRIEF], REFUND: [BRIEF, GUIDED], INVOICE: [BRIEF], SHIPPING: [BRIEF]}))
    assert found.candidate(dial(), GUIDED, DETAILED) is None
    assert found.candidate(dial(), GUIDED, BRIEF) is not None


def test_a_child_whose_own_dial_would_move_others_by_itself_is_left_with_its_parent() -> None:
    """A domain two steps up has its child at the end of the scale; from there the grandchild would be placed anew."""
    deep = "/billing/refund/late"
    policy = pack(paths=(BILLING, REFUND, deep), refund={"levels": {"": DETAILED}}, late={"levels": {"": BRIEF}})
    stepped = event("stepped", text=policy.texts[BILLING])
    found = Candidates(policy, fold([STARTED, stepped]), {}, T0)
    assert found.in_force(dial(deep))[0] is GUIDED
    assert found.moves(dial(REFUND), DETAILED, GUIDED) == {}


def test_traffic_is_counted_up_to_the_horizon() -> None:
    found = candidates(days=10, now_ms=T0 + 3_600_000)
    assert found.per_day(found.record(dial())) == pytest.approx(120.0)


def test_a_survey_with_another_book_is_the_same_as_a_new_one() -> None:
    first = candidates()
    log = refresh(first.policy, LevelState(), {}, first.arms, T0)
    later, fresh = first.with_state(fold(log)), candidates(state=fold(log))
    assert later.models == fresh.models and code(later) == code(fresh) == "trial"
    elsewhere = fold([event("started", DialKey(SHIPPING, "large"))])
    assert set(first.with_state(elsewhere).models) == {MODEL, "large"}
