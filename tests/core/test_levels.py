"""How much each task says: where it starts, how it follows a dial, and what a trial draws."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from router.core.learning import DialKey
from router.core.levels import Dial, LevelQuery, Levels, Trial, choose_levels, draw, start_level
from router.core.policy import ROOT, Instruction, Level, Policy, PolicySettings, Task

OFF, BRIEF, GUIDED, DETAILED = Level
SOMEBODY = LevelQuery("u", model="m")
SETTLED = ["/billing/refund"]
SPEAKING = (ROOT, "/billing", "/billing/refund")


def desk(**refund: Any) -> Policy:
    tasks = {
        ROOT: Task(ROOT, children=("/billing",)),
        "/billing": Task("/billing", children=("/billing/refund",)),
        "/billing/refund": Task("/billing/refund", **refund),
    }
    return Policy("desk", "rev-1", MappingProxyType(tasks))


def levels(policy: Policy, task: str, level: Level | None, *trials: Trial, **more: Any) -> Levels:
    dial = Dial(level, trials[0] if trials else None)
    return Levels({DialKey(task, "m"): dial}, salt=b"s", **more)


def trial(policy: Policy, node: str, challenger: Level, share: float = 1.0, name: str = "t1") -> Trial:
    return Trial(name, challenger, share, policy.texts[node])


def chosen(policy: Policy, state: Levels, asked: LevelQuery = SOMEBODY) -> list[Level]:
    return list(choose_levels(policy, SETTLED, state, {}, asked)[0].values())


@pytest.mark.parametrize(
    ("task", "by_cue", "complexity", "level"),
    [
        (Task("/t"), {}, "", GUIDED),
        (Task("/t", complexity="core"), {}, "", BRIEF),
        (Task("/t", complexity="complex"), {}, "", DETAILED),
        (Task("/t"), {"simple": BRIEF}, "simple", BRIEF),
        (Task("/t", complexity="core"), {"complex": DETAILED}, "complex", DETAILED),
        (Task("/t", complexity="complex"), {"simple": BRIEF}, "simple", DETAILED),
        (Task("/t", levels={"": BRIEF}), {"complex": DETAILED}, "complex", BRIEF),
        (Task("/t", levels={"": BRIEF, "complex": OFF}, complexity="complex"), {}, "complex", OFF),
        (Task("/t", levels={"simple": BRIEF}), {}, "complex", GUIDED),
    ],
)
def test_where_a_task_starts(task: Task, by_cue: dict[str, Level], complexity: str, level: Level) -> None:
    assert start_level(task, PolicySettings(levels=by_cue), complexity) is level


@pytest.mark.parametrize(
    ("refund", "node", "level", "said"),
    [
        ({}, "/billing", DETAILED, [GUIDED, DETAILED, DETAILED]),
        ({}, "/billing/refund", BRIEF, [GUIDED, GUIDED, BRIEF]),
        ({"complexity": "core"}, "/billing", DETAILED, [GUIDED, DETAILED, GUIDED]),
        ({"complexity": "complex"}, "/billing", DETAILED, [GUIDED, DETAILED, DETAILED]),
        ({"levels": {"": OFF}}, "/billing", DETAILED, [GUIDED, DETAILED, OFF]),
        ({}, "/billing/refund", OFF, [GUIDED, GUIDED, OFF]),
        (
            {"instructions": (Instruction("r", "/billing/refund", BRIEF, "- Never.", 3, required=True),)},
            "/billing/refund",
            OFF,
            [GUIDED, GUIDED, BRIEF],
        ),
        ({}, ROOT, DETAILED, [GUIDED, GUIDED, GUIDED]),
    ],
    ids=["follows", "own", "as much more", "no more than all", "off stays off", "off", "required stays", "root stays"],
)
def test_a_dial_moves_its_task_and_those_that_follow(
    refund: dict[str, Any], node: str, level: Level, said: list[Level]
) -> None:
    policy = desk(**refund)
    assert chosen(policy, levels(policy, node, level)) == said


def test_the_nearest_dial_is_followed_and_other_models_are_not_touched() -> None:
    policy = desk()
    dials = {DialKey("/billing", "m"): Dial(DETAILED), DialKey("/billing/refund", "m"): Dial(BRIEF)}
    assert chosen(policy, Levels(dials)) == [GUIDED, DETAILED, BRIEF]
    assert chosen(policy, Levels(dials), LevelQuery("u", model="other")) == [GUIDED] * 3


def test_levels_that_a_conversation_has_stay_and_end_its_part_in_the_trial() -> None:
    policy = desk()
    state = levels(policy, "/billing/refund", None, trial(policy, "/billing/refund", DETAILED))
    asked = SOMEBODY
    fixed = {"/billing/refund": BRIEF}
    said, _, drawn = choose_levels(policy, SETTLED, state, fixed, asked)
    assert said["/billing/refund"] is BRIEF and drawn is None
    given = asked._replace(moves={"/billing/refund": -1})
    said, moves, drawn = choose_levels(policy, SETTLED, state, {}, given)
    assert said["/billing/refund"] is BRIEF and moves["/billing/refund"] == -1 and drawn is None
    said, _, drawn = choose_levels(policy, SETTLED, state, {}, asked._replace(drawn=True))
    assert said["/billing/refund"] is GUIDED and drawn is None


@pytest.mark.parametrize(
    ("level", "said"), [(None, [BRIEF, GUIDED, DETAILED]), (DETAILED, [GUIDED, DETAILED, DETAILED])]
)
def test_a_dial_moves_requests_of_each_complexity_from_where_they_start(level: Level | None, said: list[Level]) -> None:
    policy = desk(levels={"": GUIDED, "simple": BRIEF, "complex": DETAILED})
    state = levels(policy, "/billing/refund", level)
    asked = [LevelQuery("u", complexity, "m") for complexity in ("simple", "standard", "complex")]
    found = [choose_levels(policy, SETTLED, state, {}, each) for each in asked]
    assert [each.levels["/billing/refund"] for each in found] == said
    kept = [choose_levels(policy, SETTLED, None, {}, each._replace(moves=found[0].moves)) for each in asked]
    assert [each.levels for each in kept] == [each.levels for each in found]


def test_nothing_is_drawn_for_a_request_whose_complexity_leaves_no_choice() -> None:
    policy = desk(levels={"": GUIDED, "complex": DETAILED})
    state = levels(policy, "/billing/refund", None, trial(policy, "/billing/refund", DETAILED))
    assert choose_levels(policy, SETTLED, state, {}, LevelQuery("u", "complex", "m")).draw is None
    assert choose_levels(policy, SETTLED, state, {}, LevelQuery("u", "simple", "m")).draw is not None


def test_a_trial_moves_all_that_follow_and_says_what_it_drew() -> None:
    policy = desk()
    state = levels(policy, "/billing", None, trial(policy, "/billing", DETAILED))
    said, moves, drawn = choose_levels(policy, SETTLED, state, {}, SOMEBODY)
    assert list(moves.values()) == [0, 1, 1]
    assert list(said.values()) == [GUIDED, DETAILED, DETAILED]
    assert drawn == ("t1", "/billing", "/billing/refund", True, 1.0)


@pytest.mark.parametrize(("stakes", "share"), [("normal", 0.9), ("high", 0.1)])
def test_a_task_of_high_stakes_is_drawn_for_with_care(stakes: str, share: float) -> None:
    policy = desk(stakes=stakes)
    state = levels(policy, "/billing", None, trial(policy, "/billing", DETAILED, share=0.9))
    asked = [LevelQuery(f"unit{number}", model="m") for number in range(4_000)]
    draws = [choose_levels(policy, SETTLED, state, {}, each).draw for each in asked]
    assert {each.share for each in draws if each} == {share}
    assert abs(sum(each.challenger for each in draws if each) / len(draws) - share) < 0.03


def test_a_trial_of_another_text_draws_nothing() -> None:
    policy = desk()
    old = Trial("t1", DETAILED, 1.0, "another text")
    assert choose_levels(policy, SETTLED, levels(policy, "/billing", None, old), {}, SOMEBODY) == (
        dict.fromkeys(SPEAKING, GUIDED),
        dict.fromkeys(SPEAKING, 0),
        None,
    )


def test_nothing_is_drawn_where_the_levels_are_the_same_anyway() -> None:
    policy = desk(complexity="complex")
    state = levels(policy, "/billing", None, trial(policy, "/billing", DETAILED))
    above = {"/": GUIDED, "/billing": GUIDED}  # decided before
    # Detailed as it is: it would gain nothing.
    assert choose_levels(policy, SETTLED, state, above, SOMEBODY) == (
        {**above, "/billing/refund": DETAILED},
        {"/billing/refund": 0},
        None,
    )


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
def test_draws_take_their_share_are_kept_and_know_nothing_of_each_other(share: float) -> None:
    units = [f"unit{number}" for number in range(20_000)]
    first = [draw(b"s", unit, "t1") < share for unit in units]
    second = [draw(b"s", unit, "t2") < share for unit in units]
    assert first == [draw(b"s", unit, "t1") < share for unit in units]
    spread = 5 * (share * (1 - share) / len(units)) ** 0.5
    assert abs(sum(first) / len(units) - share) < spread
    both = sum(a and b for a, b in zip(first, second, strict=True)) / len(units)
    assert abs(both - share**2) < spread


def test_units_held_out_stay_where_the_pack_starts() -> None:
    policy = desk()
    state = levels(policy, "/billing", DETAILED, holdout=0.02)
    units = [f"unit{number}" for number in range(5_000)]
    held = [unit for unit in units if state.held_out(unit)]
    assert 0.01 < len(held) / len(units) < 0.03
    for unit in units[:500]:
        said = chosen(policy, state, LevelQuery(unit, model="m"))
        assert said == ([GUIDED] * 3 if unit in held else [GUIDED, DETAILED, DETAILED])


def test_texts_change_with_what_a_task_or_one_below_it_can_say_and_with_nothing_else() -> None:
    line = Instruction("r", "/billing/refund", DETAILED, "- Name the amount.", 5)
    before, after = desk().texts, desk(instructions=(line,)).texts
    assert before["/billing"] != after["/billing"] and before["/billing/refund"] != after["/billing/refund"]
    assert desk(examples=("I want my money back",), about="Money").texts == before
