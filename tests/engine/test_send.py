"""Sending: who is asked, how often, and what the client gets when nobody answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from router.core.errors import BackendError
from router.core.ports import BackendAnswer, BackendRequest
from router.engine.refusals import pause_of
from router.engine.send import BackendSender, BackendTarget, RetryBudget


class Scripted:
    """A backend that answers from a list."""

    def __init__(self, name: str, *script: BackendAnswer | BackendError) -> None:
        self.name = name
        self.script = list(script)
        self.calls = 0

    async def send(self, outgoing: BackendRequest) -> BackendAnswer:
        self.calls += 1
        step = self.script.pop(0)
        if isinstance(step, BackendError):
            raise step
        return step

    async def aclose(self) -> None:
        pass


def failed(status: int, *, retryable: bool = True, **headers: str) -> BackendError:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return BackendError("no", status=status, headers=named, retryable=retryable)


GOOD = BackendAnswer(200, body=b"{}")


async def sent_through(*backends: Scripted, budget: RetryBudget | None = None) -> tuple[object, list[float]]:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    sender = BackendSender(attempts=2, budget=lambda: budget or RetryBudget(), sleep=sleep)
    try:
        sent = await sender.send(tuple(map(BackendTarget, backends)), lambda target: BackendRequest("/x", b""))
        return (sent.target.backend.name, sent.attempts), pauses
    except BackendError as error:
        return error.status, pauses


@pytest.mark.parametrize(
    ("first", "second", "outcome", "pauses"),
    [
        ([GOOD], [], ("a", 1), []),
        ([failed(503), GOOD], [], ("a", 2), [0.25]),
        ([failed(503), failed(503), GOOD], [], ("a", 3), [0.25, 1.0]),
        ([failed(503), failed(503), failed(503)], [GOOD], ("b", 4), [0.25, 1.0]),
        ([failed(429, retry_after="2"), GOOD], [], ("a", 2), [2.0]),
        ([failed(429, retry_after_ms="500"), GOOD], [], ("a", 2), [0.5]),
        ([failed(429, retry_after_ms="0.001"), GOOD], [], ("a", 2), [0.25]),
        *(
            ([failed(429, retry_after=wait), failed(429, retry_after=wait), GOOD], [], ("a", 3), [0.25, 1.0])
            for wait in ("0", "-3", "nan", "-inf", "soon", "", "Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 32 Foo 99999")
        ),
        ([failed(429, retry_after=format_datetime(datetime.now(UTC) + timedelta(hours=1)))], [GOOD], ("b", 2), []),
        *(([failed(429, retry_after=wait)], [GOOD], ("b", 2), []) for wait in ("1e300", "inf", "9" * 400)),
        ([failed(429, retry_after="60")], [GOOD], ("b", 2), []),
        ([failed(401, retryable=False)], [GOOD], ("b", 2), []),
        ([failed(400, retryable=False)], [GOOD], 400, []),
        ([failed(503)] * 3, [failed(500, retryable=False)], 503, [0.25, 1.0]),
        ([failed(529, retry_after="60")], [failed(400, retryable=False)], 529, []),
    ],
)
async def test_who_answers(first: list, second: list, outcome: object, pauses: list[float]) -> None:
    backends = [Scripted("a", *first)] + ([Scripted("b", *second)] if second else [])
    assert await sent_through(*backends) == (outcome, pauses)


async def test_retries_stop_when_their_share_of_all_requests_is_spent() -> None:
    budget = RetryBudget(share=0.1, burst=1.0)
    assert (await sent_through(Scripted("a", failed(503), GOOD), budget=budget))[0] == ("a", 2)
    assert (await sent_through(Scripted("a", failed(503), GOOD), budget=budget))[0] == 503
    for _ in range(10):
        await sent_through(Scripted("a", GOOD), budget=budget)
    assert (await sent_through(Scripted("a", failed(503), GOOD), budget=budget))[0] == ("a", 2)


async def test_a_date_is_waited_for() -> None:
    at = format_datetime(datetime.fromtimestamp(1_000_003, UTC), usegmt=True)
    assert pause_of(failed(429, retry_after=at), 1, lambda: 1_000_000.0) == 3.0


async def test_each_backend_has_a_budget_of_its_own() -> None:
    sender = BackendSender(attempts=2, budget=lambda: RetryBudget(share=0.1, burst=1.0), sleep=asyncio.sleep)

    async def calls(name: str) -> int:
        backend = Scripted(name, *[failed(503, retry_after_ms="1") for _ in range(3)])
        with pytest.raises(BackendError) as caught:
            await sender.send((BackendTarget(backend),), lambda target: BackendRequest("/x", b""))
        assert caught.value.attempts == backend.calls
        return backend.calls

    assert [await calls(name) for name in ("a", "a", "b", "b")] == [2, 1, 2, 1]


async def test_a_fallback_that_dislikes_the_request_is_passed_over() -> None:
    backends = Scripted("a", failed(503, retry_after="60")), Scripted("b", failed(400, retryable=False))
    assert (await sent_through(*backends, Scripted("c", GOOD)))[0] == ("c", 3)


async def test_a_stream_that_fails_before_its_first_byte_is_tried_again() -> None:
    async def broken() -> AsyncIterator[bytes]:
        raise BackendError("cut", code="truncated")
        yield b""

    async def empty() -> AsyncIterator[bytes]:
        for chunk in ():
            yield chunk

    async def whole() -> AsyncIterator[bytes]:
        yield b"data"

    backend = Scripted("a", *(BackendAnswer(200, chunks=chunks) for chunks in (broken(), empty(), whole())))
    assert (await sent_through(backend))[0] == ("a", 3)
