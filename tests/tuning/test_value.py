"""Off-policy value: three estimates against truth, what is refused and why, and records as rows."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.learning import Assignment, Outcome
from router.core.policy import Level
from router.tuning import value
from router.tuning.value import (
    LEAST_EFFECTIVE,
    LoggedColumns,
    LoggedOutcome,
    columns_of,
    estimate,
    estimate_columns,
    rows_of,
)

WORTH = {"brief": 0.55, "guided": 0.70, "detailed": 0.80}
LOGGED = {"brief": 0.2, "guided": 0.7, "detailed": 0.1}


def traffic(
    n: int, wanted: dict[str, float], seed: int = 0, logged: dict[str, float] | None = None
) -> list[LoggedOutcome]:
    """Return recorded conversations, drawn by `logged`, that go as well as WORTH says."""
    dice = np.random.default_rng(seed)
    logged = LOGGED if logged is None else logged
    taken = dice.choice(list(logged), n, p=list(logged.values()))
    return [
        LoggedOutcome(str(action), float(luck < WORTH[str(action)]), logged, wanted)
        for action, luck in zip(taken, dice.random(n), strict=True)
    ]


def test_the_examples_hold() -> None:
    assert doctest.testmod(value).failed == 0


@pytest.mark.parametrize("wanted", [{"detailed": 1.0}, {"brief": 0.5, "detailed": 0.5}, LOGGED])
def test_the_value_is_found_and_covered(wanted: dict[str, float]) -> None:
    truth = sum(share * WORTH[action] for action, share in wanted.items())
    found = estimate(traffic(20_000, wanted))
    assert found.refused == ""
    assert found.interval is not None
    assert found.interval.low < truth < found.interval.high
    for figure in (found.ips, found.snips, found.dr):
        assert figure == pytest.approx(truth, abs=0.03)
    assert found.recorded == pytest.approx(0.68, abs=0.01)
    assert found.gain is not None
    assert found.gain.low < truth - 0.68 < found.gain.high


def test_the_estimates_are_right_on_average() -> None:
    wanted = {"guided": 0.3, "detailed": 0.7}
    truth = 0.3 * 0.70 + 0.7 * 0.80
    found = [estimate(traffic(1_500, wanted, seed)) for seed in range(60)]
    for name in ("ips", "snips", "dr"):
        figures = [getattr(each, name) for each in found]
        assert np.mean(figures) == pytest.approx(truth, abs=4 * np.std(figures) / np.sqrt(len(figures)))


@pytest.mark.parametrize("guess", [0.0, 1.0])
def test_a_model_that_is_wrong_about_everything_does_not_mislead(guess: float) -> None:
    wanted = {"detailed": 1.0}
    predicted = dict.fromkeys(WORTH, guess)
    found = estimate([replace(row, predicted=predicted) for row in traffic(20_000, wanted)])
    assert found.dr == pytest.approx(0.80, abs=0.05)
    assert found.interval is not None
    assert found.interval.low < 0.80 < found.interval.high


def test_a_model_that_knows_narrows_the_interval() -> None:
    """What the levels are worth differs by task far more than by chance: only a model sees that coming."""
    dice = np.random.default_rng(4)
    rows = []
    for _ in range(4_000):
        task, action = int(dice.integers(0, 2)), "detailed" if dice.random() < 0.2 else "guided"
        sure = {"guided": (0.05, 0.90)[task], "detailed": (0.10, 0.95)[task]}
        rows.append(
            LoggedOutcome(
                action,
                float(dice.random() < sure[action]),
                {"guided": 0.8, "detailed": 0.2},
                {"detailed": 1.0},
                sure,
                task,
            )
        )
    knowing = estimate(rows)
    learning = estimate([replace(row, predicted={}) for row in rows])
    blind = estimate([replace(row, predicted={"guided": 0.0, "detailed": 0.0}) for row in rows])
    assert knowing.interval and learning.interval and blind.interval
    widths = [each.interval.high - each.interval.low for each in (knowing, learning, blind) if each.interval]
    assert widths[0] <= widths[1] * 1.05 < widths[2] * 0.8


def test_without_a_change_the_gain_is_nothing_at_all() -> None:
    rows = [replace(row, logged={row.action: 1.0}, wanted={row.action: 1.0}) for row in traffic(500, LOGGED)]
    found = estimate(rows)
    assert found.gain is not None
    assert found.gain.estimate == pytest.approx(0.0, abs=1e-9)
    assert found.ips == found.recorded == pytest.approx(np.mean([row.reward for row in rows]))
    assert found.effective == 500


def test_the_gain_is_narrower_than_the_value_where_little_changes() -> None:
    rows = traffic(3_000, {"guided": 1.0}, logged={"guided": 1.0})
    changed = traffic(600, {"detailed": 1.0}, 1, {"guided": 0.5, "detailed": 0.5})
    found = estimate(rows + changed)
    assert found.gain and found.interval
    assert found.gain.high - found.gain.low < found.interval.high - found.interval.low
    assert found.gain.low < (600 / 3_600) * 0.05 < found.gain.high


# ------------------------------------------------------------------------------------------------ refusals


def mixed(known: int, unknown: int) -> list[LoggedOutcome]:
    """Return so many conversations done alike, and so many where the new policy does what was never tried."""
    same = traffic(known, {"guided": 1.0}, logged={"guided": 1.0})
    other = traffic(unknown, {"detailed": 1.0}, 1, {"guided": 1.0})
    return same + other


@pytest.mark.parametrize(("unknown", "refused"), [(0, False), (100, False), (200, False), (201, True), (1_000, True)])
def test_what_was_never_tried_is_told_and_too_much_of_it_refused(unknown: int, refused: bool) -> None:
    found = estimate(mixed(1_000 - unknown, unknown))
    assert found.unknown == pytest.approx(unknown / 1_000)
    assert bool(found.refused) is refused
    assert (
        (found.ips is None) is (found.interval is None) is (found.gain is None) is (found.recorded is None) is refused
    )
    if refused:
        assert "never tried" in found.refused or "ever tried" in found.refused
    else:
        assert found.ips == pytest.approx(0.70, abs=0.05)  # of the decisions that are known


def test_what_was_never_tried_neither_fails_nor_widens() -> None:
    found, known = estimate(mixed(900, 100)), estimate(mixed(900, 0))
    assert found == replace(known, rows=1_000, unknown=found.unknown)
    assert found.ips == found.recorded


def test_a_decision_may_be_known_in_part() -> None:
    """One in ten times the new policy does what was never tried: the figures are of the other nine."""
    wanted = {"guided": 0.9, "unheard of": 0.1}
    found = estimate(traffic(4_000, wanted, logged={"guided": 1.0}))
    assert found.unknown == pytest.approx(0.1)
    assert found.interval and found.gain
    assert found.ips == pytest.approx(found.recorded)
    assert found.snips == found.dr == pytest.approx(found.recorded)
    assert found.interval.low < 0.70 < found.interval.high
    assert found.interval.low > 0.65
    assert (found.gain.low, found.gain.high) == pytest.approx((0, 0), abs=0.02)


def test_the_two_weighted_means_differ_in_what_they_are_divided_by() -> None:
    rows = [row for seed in range(20) for row in traffic(37, {"detailed": 1.0}, seed)] * 2
    taken = [row.reward for row in rows if row.action == "detailed"]
    found = estimate(rows)
    assert found.snips == pytest.approx(np.mean(taken))
    assert found.ips == pytest.approx(np.sum(taken) / 0.1 / len(rows))
    assert found.ips != pytest.approx(found.snips, rel=1e-3)


@pytest.mark.parametrize(("n", "refused"), [(99, True), (101, False)])
def test_too_few_conversations_give_no_figure(n: int, refused: bool) -> None:
    found = estimate(traffic(n, {"guided": 1.0}, logged={"guided": 1.0}))
    assert found.effective == pytest.approx(n)
    assert bool(found.refused) is refused
    assert ("weight of 99 conversations" in found.refused) is refused


def test_many_conversations_may_weigh_little() -> None:
    """A tenth of a thousand took the wanted level: about a hundred conversations, whatever the table's length."""
    found = estimate(traffic(700, {"detailed": 1.0}))
    assert found.effective < LEAST_EFFECTIVE
    assert "needed" in found.refused
    assert found.unknown == 0.0


def test_probabilities_that_do_not_agree_with_what_was_done_are_noticed() -> None:
    rows = [
        replace(row, logged={"brief": 0.2, "guided": 0.2, "detailed": 0.6}) for row in traffic(2_000, {"detailed": 1.0})
    ]
    assert "do not agree" in estimate(rows).refused


def test_nothing_recorded_is_no_figure() -> None:
    found = estimate([])
    assert (found.rows, found.unknown, found.refused) == (0, 1.0, "no recorded conversation has matured")


HALF = {"guided": 0.5, "detailed": 0.5}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (LoggedOutcome("guided", 1.5, HALF, HALF), r"rows\[1\]\.reward is 1\.5"),
        (LoggedOutcome("guided", float("nan"), HALF, HALF), r"rows\[1\]\.reward"),
        (LoggedOutcome("guided", 1.0, {"guided": 0.5}, HALF), r"rows\[1\]\.logged .* sum to 1"),
        (LoggedOutcome("guided", 1.0, HALF, {"guided": 1.5, "detailed": -0.5}), r"rows\[1\]\.wanted"),
        (LoggedOutcome("brief", 1.0, HALF, HALF), r"no probability to 'brief'"),
        (LoggedOutcome("guided", 1.0, HALF, HALF, {"guided": 1.2}), r"rows\[1\]\.predicted has 1\.2"),
    ],
)
def test_rows_that_cannot_be_are_named(row: LoggedOutcome, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        estimate([LoggedOutcome("guided", 1.0, HALF, HALF), row])


# ------------------------------------------------------------------------------------------------ rows as numbers


def ways(row: LoggedOutcome) -> Iterator[LoggedOutcome]:
    for action, share in row.logged.items():
        for reward in (0.0, 1.0):
            if share:
                yield replace(row, action=action, reward=reward)


@given(
    st.lists(st.floats(0.05, 1), min_size=3, max_size=3),
    st.lists(st.floats(0, 1), min_size=4, max_size=4).filter(lambda shares: sum(shares) > 0.01),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
)
def test_a_row_is_worth_what_it_should_on_average_and_never_beyond_its_bounds(
    logged: list[float], wanted: list[float], predicted: list[float]
) -> None:
    row = LoggedOutcome(
        "a",
        0.0,
        dict(zip("abc", np.array(logged) / sum(logged), strict=True)),
        dict(zip("abcd", np.array(wanted) / sum(wanted), strict=True)),
        dict(zip("abc", predicted, strict=True)),
    )
    worth_of, mean, weights, squares = {"a": 0.1, "b": 0.5, "c": 0.9}, 0.0, 0.0, 0.0
    for way in ways(row):
        one = LoggedColumns(*(column[0] for column in columns_of([way])))
        worth = one.expected + one.weight * (one.reward - one.predicted)
        assert one.floor - 1e-9 <= worth <= one.ceiling + 1e-9
        assert one.gain_floor - 1e-9 <= worth - one.support * one.reward <= one.gain_ceiling + 1e-9
        chance = row.logged[way.action] * (worth_of[str(way.action)] if way.reward else 1 - worth_of[str(way.action)])
        mean, weights, squares = mean + chance * worth, weights + chance * one.weight, squares + chance * one.weight**2
    assert mean == pytest.approx(sum(row.wanted[action] * worth_of[action] for action in "abc"))
    assert weights == pytest.approx(one.support)
    assert squares - weights**2 == pytest.approx(one.spread, abs=1e-9)


def test_predictions_come_from_earlier_rows_alone() -> None:
    rows = [
        LoggedOutcome("guided", reward, {"guided": 1.0}, {"guided": 1.0}, context="t") for reward in (1.0, 1.0, 0.0)
    ]
    assert columns_of(rows).predicted[0] == 0.5
    assert columns_of(rows).predicted[1] > 0.5
    for n in (1, 2, 3):
        assert columns_of(rows[:n]).predicted.tolist() == columns_of(rows).predicted[:n].tolist()


def test_numbers_and_rows_give_the_same() -> None:
    rows = traffic(2_000, {"detailed": 1.0})
    assert estimate_columns(columns_of(rows)) == estimate(rows)


# ------------------------------------------------------------------------------------------------ from the records


def outcome(number: int, challenger: bool = False, **changes: object) -> Outcome:
    assignment = Assignment(
        decision=f"dec_{number}",
        at_ms=number,
        tenant="acme",
        policy="shop",
        conversation=f"c{number}",
        unit=f"u{number}",
        task="/billing",
        complexity="",
        model="m",
        level=Level.DETAILED if challenger else Level.GUIDED,
        text="abc",
        matures_ms=number + 10,
        trial="t1",
        node="/billing",
        challenger=challenger,
        share=0.3,
    )
    fields = {name: changes.pop(name) for name in ("reward", "repeated") if name in changes}
    return Outcome(replace(assignment, **changes), **{"reward": 1.0, **fields})  # type: ignore[arg-type]


def test_records_become_rows_with_the_probabilities_that_were_logged() -> None:
    rows = rows_of([outcome(0), outcome(1, True)])
    guided, detailed = ("abc", Level.GUIDED), ("abc", Level.DETAILED)
    assert [row.action for row in rows] == [guided, detailed]
    assert rows[0].logged == rows[1].logged == {guided: 0.7, detailed: 0.3}
    assert rows[0].wanted == rows[0].logged
    assert rows[0].context == ("/billing", "", "m")


def test_what_was_not_random_supports_itself_alone() -> None:
    for certain in (outcome(0, trial="", share=0.0), outcome(0, holdout=True)):
        (row,) = rows_of([certain])
        assert row.logged == {("abc", Level.GUIDED): 1.0}


def test_an_arm_that_nobody_drew_was_never_tried() -> None:
    wanted = {f"dec_{number}": {("abc", Level.DETAILED): 1.0} for number in range(300)}
    found = estimate(rows_of([outcome(number) for number in range(300)], wanted))
    assert found.unknown == 1.0
    assert found.refused
    assert estimate(rows_of([outcome(number, number % 10 < 3) for number in range(900)], {})).unknown == 0.0


def test_what_is_silent_or_came_again_is_left_out() -> None:
    again = outcome(4, unit="u0", reward=0.25)
    rows = rows_of(
        [outcome(0), outcome(1, reward=None), outcome(2, repeated=True), outcome(3, True, reward=0.0), again]
    )
    assert [row.reward for row in rows] == [1.0, 0.0]
    elsewhere = outcome(5, unit="u0", task="/delivery")
    assert len(rows_of([outcome(0), again, elsewhere])) == 2


def test_another_text_is_another_action() -> None:
    kept = [outcome(number, number % 2 == 0, share=0.5) for number in range(400)]
    old = {each.assignment.decision: {("abc", Level.DETAILED): 1.0} for each in kept}
    new = {each.assignment.decision: {("xyz", Level.DETAILED): 1.0} for each in kept}
    assert estimate(rows_of(kept, old)).refused == ""
    assert estimate(rows_of(kept, new)).unknown == 1.0
