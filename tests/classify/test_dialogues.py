"""The filter's numbers from labelled dialogues: found again where they are known, left alone where nothing is."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.classify.belief import GOES_ON, REPLY, STAY, WEIGHT, Filter
from router.classify.fit.dialogues import MOST_TURNS, ScoredTurn, estimate

TASKS = 5
PRIOR = np.array([*[0.8 / TASKS] * TASKS, 0.12, 0.08])
START = Filter(PRIOR)


def numbers(found: Filter) -> tuple[float, float, float, float]:
    return found.stay, found.goes_on, found.weight, found.reply


def reading(draw: Random, column: int, clarity: float) -> np.ndarray:
    """Return probabilities that speak for a column more or less clearly, and sometimes for another."""
    shares = np.array([draw.uniform(0.2, 1.0) for _ in PRIOR]) * PRIOR
    shares[column] *= clarity * draw.uniform(0.5, 2.0)
    return np.asarray(shares / shares.sum())


def dialogues(count: int, stay: float, silent: float = 0.3, asks: bool = False) -> list[list[ScoredTurn]]:
    """Return dialogues whose users stay with a task so often, and then say something beside it so often."""
    draw = Random(3)
    found = []
    for _ in range(count):
        task = draw.randrange(TASKS)
        turns = [ScoredTurn(reading(draw, task, 60.0), None, (task,))]
        for _ in range(6):
            if draw.random() > stay:
                task = draw.randrange(TASKS)
                turns.append(ScoredTurn(reading(draw, task, 60.0), None, (task,)))
            else:
                beside = draw.random() < silent
                said = reading(draw, draw.randrange(TASKS) if beside else task, 4.0)
                turns.append(ScoredTurn(said, reading(draw, task, 20.0) if asks else None, (task,)))
        found.append(turns)
    return found


def test_without_labels_the_numbers_stay_as_they_are() -> None:
    assert estimate([], START) is START
    assert estimate([[]], START) is START
    assert estimate([[ScoredTurn(reading(Random(1), 0, 9.0))]], START) is START


def test_who_stays_longer_is_believed_to_stay_longer() -> None:
    moving, staying = estimate(dialogues(80, 0.4), START), estimate(dialogues(80, 0.99, silent=0.8), START)
    assert moving.stay < STAY - 0.05
    assert staying.stay > moving.stay + 0.1


def test_the_assistant_is_heard_where_it_gives_the_task_away() -> None:
    telling = estimate(dialogues(60, 0.95, silent=0.9, asks=True), START)
    assert telling.reply > REPLY
    mute = estimate(dialogues(60, 0.95, silent=0.9), START)
    assert mute.reply == pytest.approx(REPLY, abs=0.01)


def test_one_dialogue_moves_little() -> None:
    found = numbers(estimate(dialogues(1, 0.5), START))
    assert found == pytest.approx((STAY, GOES_ON, WEIGHT, REPLY), abs=0.5)
    far = numbers(estimate(dialogues(100, 0.5), START))
    assert abs(far[0] - STAY) > abs(found[0] - STAY)


def test_it_is_deterministic_and_bounded_in_its_work() -> None:
    many = dialogues(50, 0.8)
    assert numbers(estimate(many, START)) == numbers(estimate(many, START))
    long = [many[0][0]] * 5_000
    assert numbers(estimate([long], START)) == numbers(estimate([long[:MOST_TURNS]], START))


shares = st.lists(st.floats(0.001, 1.0), min_size=TASKS + 2, max_size=TASKS + 2).map(
    lambda s: np.asarray(np.array(s) / sum(s))
)
observed = st.builds(
    ScoredTurn,
    st.none() | shares,
    st.none() | shares,
    st.lists(st.integers(0, TASKS), max_size=3, unique=True).map(tuple),
)


@given(st.lists(st.lists(observed, max_size=4), max_size=3))
def test_whatever_comes_the_numbers_are_sane(some: list[list[ScoredTurn]]) -> None:
    found = estimate(some, START)
    assert 0.6 <= found.stay <= 0.98
    assert 0.1 <= found.goes_on <= 0.95
    assert 0.6 <= found.weight <= 2.0
    assert 0.0 <= found.reply <= 1.0


def test_a_wrong_label_does_not_outweigh_the_rest() -> None:
    good = dialogues(40, 0.9)
    wrong = [ScoredTurn(turn.turn, turn.reply, ((turn.truth[0] + 1) % TASKS,)) for turn in good[0]]
    assert estimate([*good, wrong], START).stay == pytest.approx(estimate(good, START).stay, abs=0.05)
