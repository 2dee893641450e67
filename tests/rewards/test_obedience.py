"""What is said of instructions by their counts."""

from __future__ import annotations

import pytest

from router.core.learning import Compliance
from router.rewards.checks import difference, interval, obedience


def count(said: bool, answers: int, held: int, *, drawn: bool = False, text: str = "t", model: str = "m") -> Compliance:
    return Compliance("desk", "/refund:guided.1", text, model, said, drawn, answers, held)


@pytest.mark.parametrize(
    ("said", "unsaid", "verdict"),
    [
        ((29, 29), (0, 0), "unknown"),
        ((200, 190), (0, 0), "obeyed"),
        ((200, 190), (29, 0), "obeyed"),
        ((200, 190), (200, 60), "helps"),
        ((400, 380), (400, 378), "anyway"),
        ((200, 20), (0, 0), "ignored"),
        ((200, 60), (200, 2), "ignored"),
        ((400, 20), (400, 20), "no effect"),
        ((40, 20), (0, 0), "unknown"),
    ],
)
def test_the_verdict(said: tuple[int, int], unsaid: tuple[int, int], verdict: str) -> None:
    [found] = obedience([count(True, *said), count(False, *unsaid)])
    assert (found.said, found.held_said, found.unsaid, found.held_unsaid, found.verdict) == (*said, *unsaid, verdict)


def test_drawn_counts_are_preferred_where_both_sides_have_enough() -> None:
    rows = [
        count(True, 900, 880),  # chosen by somebody: detailed text goes to other conversations
        count(False, 900, 100),
        count(True, 100, 95, drawn=True),
        count(False, 100, 94, drawn=True),
    ]
    [found] = obedience(rows)
    assert (found.drawn, found.said, found.unsaid, found.verdict) == (True, 100, 100, "anyway")
    [thin] = obedience([*rows[:3], count(False, 29, 29, drawn=True)])
    assert (thin.drawn, thin.said, thin.unsaid) == (False, 1000, 929)


def test_models_stand_apart_and_old_texts_are_left_out() -> None:
    rows = [count(True, 50, 50), count(True, 50, 0, model="other"), count(True, 500, 0, text="old")]
    assert [(f.model, f.verdict) for f in obedience(rows, {"/refund:guided.1": "t"})] == [
        ("m", "obeyed"),
        ("other", "ignored"),
    ]


def test_the_intervals_are_those_of_the_literature() -> None:
    # Newcombe 1998, table II: 56/70 against 48/80, and 9/10 against 3/10
    assert difference(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-4)
    assert difference(9, 10, 3, 10) == pytest.approx((0.1705, 0.8090), abs=5e-4)
    assert interval(0, 10)[0] == 0 and interval(10, 10)[1] == pytest.approx(1)
