"""A breaker opens after failures in a row, and lets one call at a time find out whether all is well again."""

from __future__ import annotations

from router.stores.database import FAILURES, OPEN_S, CircuitBreaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> CircuitBreaker:
    breaker = CircuitBreaker(clock)
    for _ in range(FAILURES):
        assert breaker.refusal() == ""
        breaker.failed("no route to host")
    return breaker


def test_failures_in_a_row_open_it_and_the_last_one_is_named() -> None:
    assert "5 failures, the last: no route to host" in opened(Clock()).refusal()


def test_failures_with_a_success_between_them_do_not() -> None:
    breaker = CircuitBreaker(Clock())
    for _ in range(3):
        for _ in range(FAILURES - 1):
            breaker.failed("no")
        breaker.succeeded()
    assert breaker.refusal() == ""


def test_after_a_while_one_call_tries_and_the_others_wait_for_it() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = OPEN_S
    assert [bool(breaker.refusal()) for _ in range(3)] == [False, True, True]
    breaker.succeeded()
    assert breaker.refusal() == ""


def test_if_that_fails_as_well_it_stays_open_for_as_long_again() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = OPEN_S
    assert breaker.refusal() == ""
    clock.now = OPEN_S + 3
    breaker.failed("still none")
    clock.now = 2 * OPEN_S + 2
    assert "still none" in breaker.refusal()
    clock.now = 2 * OPEN_S + 3
    assert breaker.refusal() == ""


def test_a_call_that_never_comes_back_does_not_keep_it_open_for_ever() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now = OPEN_S
    assert breaker.refusal() == ""
    clock.now = 2 * OPEN_S
    assert breaker.refusal() == ""
