"""The conversation filter by its laws: openings, follow-ups, switches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.classify.belief import NOTHING_YET, Filter, FilterState

# Three tasks, "none of these", "goes on".
PRIOR = np.array([0.2, 0.2, 0.2, 0.3, 0.1])
FILTER = Filter(PRIOR)


def turn(*shares: float) -> np.ndarray:
    return np.array(shares) / sum(shares)


CLEAR_A = turn(90, 2, 2, 4, 2)
CLEAR_B = turn(2, 90, 2, 4, 2)
GOES_ON = turn(2, 2, 2, 14, 80)
VAGUE = turn(10, 12, 8, 35, 35)
ELSEWHERE = turn(1, 1, 1, 95, 2)


def after(*turns: np.ndarray | None) -> np.ndarray | None:
    memory = NOTHING_YET
    for each in turns:
        memory = FILTER.advance(memory, each)
    return memory.belief


def test_the_opening_is_believed_as_it_is() -> None:
    assert np.array_equal(after(CLEAR_A), CLEAR_A[:-2])


@pytest.mark.parametrize("silent", [None, GOES_ON])
def test_a_turn_that_says_nothing_leaves_the_belief_exactly_where_it_was(silent: np.ndarray | None) -> None:
    assert np.array_equal(after(CLEAR_A, *[silent] * 20), after(CLEAR_A))


def test_before_anything_was_said_silence_believes_nothing() -> None:
    assert after(None, None) is None


def test_a_vague_turn_keeps_the_task() -> None:
    belief = after(CLEAR_A, VAGUE)
    assert belief is not None and belief.argmax() == 0 and belief[0] > 0.6


def test_a_clear_new_request_moves_at_once() -> None:
    belief = after(CLEAR_A, CLEAR_B)
    assert belief is not None and belief.argmax() == 1 and belief[1] > 0.55
    again = after(CLEAR_A, CLEAR_B, CLEAR_B)
    assert again is not None and again[1] > belief[1]


def test_the_same_request_again_makes_surer() -> None:
    once, twice = after(CLEAR_A), after(CLEAR_A, CLEAR_A)
    assert once is not None and twice is not None and twice[0] > once[0]


def test_after_none_of_these_a_clear_request_is_heard_at_once() -> None:
    belief = after(ELSEWHERE, CLEAR_A)
    assert belief is not None and belief[0] > 0.7
    surer = after(ELSEWHERE, turn(990, 2, 2, 4, 2))
    assert surer is not None and surer[0] > 0.97


def test_after_none_of_these_a_vague_turn_is_for_none_more_likely_than_at_an_opening() -> None:
    vague = turn(30, 12, 8, 35, 15)
    away, opening = after(ELSEWHERE, vague), after(vague)
    assert away is not None and opening is not None and away.sum() < 0.9 * opening.sum()


# With a prior as small packs have it: "none of these" weighs little in the fit.
LIKE_A_PACK = Filter(np.array([0.31, 0.31, 0.31, 0.04, 0.03]))


def known_after(filter_: Filter, *turns: np.ndarray, asks: bool = True) -> float:
    memory = NOTHING_YET
    for each in turns:
        memory = filter_.advance(memory, each, asks=asks)
    assert memory.belief is not None
    return float(memory.belief.sum())


def test_a_request_for_none_of_the_tasks_leaves_the_task() -> None:
    foreign = turn(3, 3, 3, 89, 2)
    assert known_after(LIKE_A_PACK, CLEAR_A, foreign) < 0.5
    # Who only tells something has most likely not turned to something else.
    assert known_after(LIKE_A_PACK, CLEAR_A, foreign, asks=False) > known_after(LIKE_A_PACK, CLEAR_A, foreign)


def test_a_conversation_that_has_left_the_tasks_stays_away() -> None:
    foreign, beside = turn(3, 3, 3, 89, 2), turn(12, 14, 10, 60, 4)
    assert known_after(LIKE_A_PACK, CLEAR_A, foreign, beside) < known_after(LIKE_A_PACK, beside)
    assert known_after(LIKE_A_PACK, CLEAR_A, foreign, turn(2, 990, 2, 4, 2)) > 0.85


def test_an_earlier_task_is_returned_to_by_words_for_it() -> None:
    belief = after(CLEAR_A, GOES_ON, CLEAR_B, GOES_ON, VAGUE, CLEAR_A)
    assert belief is not None and belief.argmax() == 0 and belief[0] > 0.6


def test_a_turn_of_two_tasks_leaves_both_in_sight() -> None:
    belief = after(ELSEWHERE, turn(45, 45, 2, 5, 3))
    assert belief is not None and belief[0] == pytest.approx(belief[1]) and belief[0] > 0.35


@pytest.mark.parametrize("asked", [CLEAR_A, CLEAR_B])
def test_what_the_assistant_asked_tells_vague_turns_apart(asked: np.ndarray) -> None:
    memory = FILTER.advance(NOTHING_YET, turn(45, 45, 2, 5, 3))
    with_it = FILTER.advance(memory, VAGUE, asked).belief
    without = FILTER.advance(memory, VAGUE).belief
    assert with_it is not None and without is not None
    assert with_it.argmax() == asked.argmax()
    assert with_it.sum() == pytest.approx(without.sum())  # it says nothing on "none of these"


@pytest.mark.parametrize("silent", [None, GOES_ON])
def test_what_the_assistant_asked_moves_nothing_by_itself(silent: np.ndarray | None) -> None:
    memory = FILTER.advance(NOTHING_YET, CLEAR_A)
    assert FILTER.advance(memory, silent, CLEAR_B) is memory
    opening = FILTER.advance(NOTHING_YET, CLEAR_A, CLEAR_B).belief
    assert opening is not None and np.array_equal(opening, CLEAR_A[:-2])


def test_a_clear_request_outweighs_what_the_assistant_asked() -> None:
    memory = FILTER.advance(NOTHING_YET, CLEAR_A)
    belief = FILTER.advance(memory, CLEAR_B, turn(50, 10, 10, 20, 10)).belief
    assert belief is not None and belief.argmax() == 1


def test_a_question_of_nothing_known_changes_nothing() -> None:
    memory = FILTER.advance(NOTHING_YET, CLEAR_A)
    with_it, without = FILTER.advance(memory, VAGUE, PRIOR).belief, FILTER.advance(memory, VAGUE).belief
    assert with_it is not None and without is not None and np.allclose(with_it, without)


shares = st.lists(st.floats(0.001, 1.0), min_size=5, max_size=5).map(lambda s: turn(*s))


@given(st.lists(shares, min_size=1, max_size=8))
def test_a_belief_is_always_a_part_of_one(turns: list[np.ndarray]) -> None:
    belief = after(*turns)
    assert belief is not None
    assert (belief >= 0).all() and belief.sum() <= 1 + 1e-9


@given(st.lists(shares, min_size=1, max_size=4))
def test_many_turns_weighed_together_equal_each_by_itself(turns: list[np.ndarray]) -> None:
    belief = CLEAR_A[:-2]
    together = FILTER.weigh(belief, np.array(turns))
    assert np.allclose(together, [FILTER.weigh(belief, each) for each in turns])


@given(st.lists(st.tuples(shares, shares, shares), min_size=1, max_size=4))
def test_turns_with_beliefs_and_questions_of_their_own_equal_each_by_itself(
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> None:
    beliefs, turns, replies = (np.array(column) for column in zip(*rows, strict=True))
    together = FILTER.weigh(beliefs[:, :-2], turns, replies)
    alone = [FILTER.weigh(belief[:-2], each, reply) for belief, each, reply in rows]
    assert np.allclose(together, alone)
    assert (together >= 0).all() and (together.sum(axis=1) <= 1 + 1e-9).all()


def test_the_state_is_not_changed_by_what_follows() -> None:
    first = FILTER.advance(NOTHING_YET, CLEAR_A)
    before = np.array(first.belief)
    FILTER.advance(first, CLEAR_B)
    assert np.array_equal(first.belief, before)
    assert FilterState().belief is None
