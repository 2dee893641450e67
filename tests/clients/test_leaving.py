"""Clients that give up: time-outs and cancelling stop the backend, within a second, in every phase."""

from __future__ import annotations

import pytest

from tests.clients.cases import Twice, raised, seen, spoken
from tests.clients.upstream import MODEL

PROMISE_S = 1.0
MACHINE_S = 1.0
"""What a busy machine may take on top."""

IMPATIENCE_S = 0.25
NO_TIME_OUT_IN_STREAMS = ("openai-node",)
"""Its `timeout` ends with the headers of the answer."""

LEAVE_STREAMS_OPEN = ("llama-index",)
"""Closing its stream leaves the connection open, to the backend itself as well; cancelling the task closes it."""

TIME_OUTS = ("APITimeoutError", "Timeout", "APIConnectionTimeoutError", "TimeoutError", "ReadTimeout")


def assert_stopped(twice: Twice) -> None:
    """Hold the router to its promise about the request that the backend is serving."""
    assert twice.upstream.await_taken().gone.wait(PROMISE_S + MACHINE_S)


@spoken()
def test_a_time_out_is_the_client_s_own_and_stops_the_backend(twice: Twice) -> None:
    error = raised(twice.through(twice.whole, f"{MODEL}-silent", timeout_s=IMPATIENCE_S))
    kinds = [*error["classes"], error.get("cause") or "", error.get("name") or ""]
    assert any(kind.rpartition(".")[2] in TIME_OUTS for kind in kinds), kinds
    assert_stopped(twice)


@spoken(without=NO_TIME_OUT_IN_STREAMS)
def test_a_time_out_in_the_middle_of_a_stream_stops_the_backend(twice: Twice) -> None:
    raised(twice.through(twice.streamed, f"{MODEL}-halting", timeout_s=IMPATIENCE_S))
    assert_stopped(twice)


@spoken()
@pytest.mark.parametrize("manner", ["silent", "halting", "endless"])
def test_cancelling_stops_the_backend(manner: str, twice: Twice) -> None:
    case = twice.whole if manner == "silent" else twice.streamed
    twice.driver.begin(twice.asking(case, f"{MODEL}-{manner}"))
    taken = twice.upstream.await_taken()
    assert taken.begun.wait(20)
    twice.driver.cancel()
    twice.driver.end()
    assert_stopped(twice)


@spoken("leave", without=LEAVE_STREAMS_OPEN)
def test_closing_a_stream_after_the_first_words_stops_the_backend(twice: Twice) -> None:
    assert seen(twice.through("leave", f"{MODEL}-endless")) == {"left": True}
    assert_stopped(twice)
