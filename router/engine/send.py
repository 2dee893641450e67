"""Send the woven request: one owner of retries, then the fallback models, then the mapped error.

A request is tried again only while nothing of an answer has reached the client, at most `attempts` more times in all,
and only while retries are a small share of all requests (a budget, so that a struggling provider is not trampled).

A stream is passed on as it comes (`relay`): whole events, the end checked, what breaks off told in the format's shape.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field

from router.core.errors import BackendError
from router.core.ports import AnswerMetadata, Backend, BackendAnswer, BackendRequest, Capability, StreamGuard, Wire

Sleep = Callable[[float], Awaitable[None]]

BACKOFF_S = (0.25, 1.0)
"""Pauses before the first and every later retry, where the provider names none."""

WAIT_CAP_S = 5.0
"""A provider that asks for more patience than this is not waited for: the next model, or its error, is the answer."""

CLIENT_LEFT = "client_gone"
"""The error of a stream that nobody read to its end."""

KEPT_BYTES = 1 << 20
"""Of a stream that is to be examined, so many bytes are kept: about 6,000 tokens, at 173 bytes for each one's event."""


@dataclass(frozen=True, slots=True)
class BackendTarget:
    """One model behind one backend. `model` is the name the backend knows; empty keeps the client's word.

    `capability` holds in the wire formats that the backend `speaks`; what is bridged into another one takes `bridged`.
    """

    backend: Backend
    model: str = ""
    capability: Capability = field(default_factory=Capability)
    speaks: frozenset[str] | None = None
    bridged: Capability = field(default_factory=Capability)

    def takes(self, wire: str) -> Capability:
        """Return what the model takes in one wire format."""
        return self.capability if self.speaks is None or wire in self.speaks else self.bridged


@dataclass(slots=True)
class BackendResult:
    """An answer, who gave it, and how many calls it took. A stream's first chunk has already been taken."""

    answer: BackendAnswer
    target: BackendTarget
    attempts: int
    first: bytes = b""


class RetryBudget:
    """Allows retries as a share of requests: each request earns `share` of a retry, up to `burst` in stock."""

    def __init__(self, share: float = 0.1, burst: float = 10.0) -> None:
        self._share = share
        self._burst = burst
        self._stock = burst

    def earn(self) -> None:
        """Count a request."""
        self._stock = min(self._burst, self._stock + self._share)

    def spend(self) -> bool:
        """Take one retry from the stock; False when there is none."""
        if self._stock < 1.0:
            return False
        self._stock -= 1.0
        return True


class BackendSender:
    """Sends to the first target that answers."""

    def __init__(self, attempts: int = 2, budget: RetryBudget | None = None, sleep: Sleep = asyncio.sleep) -> None:
        self._attempts = attempts
        self._budget = budget or RetryBudget()
        self._sleep = sleep

    async def send(
        self, targets: tuple[BackendTarget, ...], outgoing: Callable[[BackendTarget], BackendRequest]
    ) -> BackendResult:
        """Return the first answer. Raises the last BackendError when no target gives one."""
        self._budget.earn()
        calls = 0
        for number, target in enumerate(targets):
            request = outgoing(target)
            while True:
                calls += 1
                try:
                    return await _begin(target, request, calls)
                except BackendError as error:
                    last = number == len(targets) - 1
                    if not error.retryable and (last or error.status in (400, 413, 422)):
                        raise  # the request itself is at fault: no other model will like it better
                    pause = _pause(error, calls)
                    if error.retryable and pause <= WAIT_CAP_S and calls <= self._attempts and self._budget.spend():
                        await self._sleep(pause)
                        continue
                    if last:
                        raise
                    break
        raise BackendError("No model is configured for this request.", status=503, retryable=False)


async def _begin(target: BackendTarget, request: BackendRequest, calls: int) -> BackendResult:
    """Send, and take the first chunk of a stream: until it is here, a failure is still an ordinary error."""
    answer = await target.backend.send(request)
    if answer.chunks is None:
        return BackendResult(answer, target, calls)
    try:
        first = await anext(answer.chunks)
    except StopAsyncIteration:
        raise BackendError("The backend ended its stream before it began.", code="truncated") from None
    except BaseException:
        await answer.aclose()
        raise
    return BackendResult(answer, target, calls, first)


def _pause(error: BackendError, calls: int) -> float:
    for name, value in error.headers:
        scale = {"retry-after-ms": 0.001, "retry-after": 1.0}.get(name.lower())
        if scale is not None:
            try:
                return max(0.0, float(value) * scale)
            except ValueError:
                continue  # an HTTP date: nobody sends it on this path, and our own pause will do
    return BACKOFF_S[min(calls - 1, len(BACKOFF_S) - 1)]


@dataclass(slots=True)
class StreamEnding:
    """How a stream ended. `error` is empty for a whole one; it stays CLIENT_LEFT when nobody read to the end.

    `guard` is what watches it pass.

    `kept` takes what was sent, up to KEPT_BYTES, where it is not None.
    """

    error: str = CLIENT_LEFT
    kept: list[bytes] | None = None
    guard: StreamGuard | None = None

    @property
    def answer_metadata(self) -> AnswerMetadata:
        """What the stream has said of the answer by now."""
        return AnswerMetadata() if self.guard is None else AnswerMetadata(self.guard.response_id, self.guard.usage)


def as_stream(sent: BackendResult, wire: Wire) -> BackendResult:
    """Return a whole answer to a request for a stream as that stream. Raises BackendError when it is no answer."""
    answer = sent.answer
    headers = [header for header in answer.headers if header[0].lower() != "content-type"]
    events = wire.as_stream(answer.body)
    stream = BackendAnswer(answer.status, (*headers, ("content-type", "text/event-stream")), chunks=_nothing())
    return BackendResult(stream, sent.target, sent.attempts, events)


async def _nothing() -> AsyncGenerator[bytes, None]:
    return
    yield


async def relay(
    sent: BackendResult, wire: Wire, ending: StreamEnding | None = None, hide_usage: bool = False, choices: int = 1
) -> AsyncGenerator[bytes, None]:
    """Yield the stream's bytes, and an error event in the wire's own shape where it breaks off or stalls.

    `hide_usage` leaves out the usage that the client did not ask for, `choices` is how many it wants. Closing the
    iterator stops the backend.
    """
    ending = ending or StreamEnding()
    guard = ending.guard = wire.guard(hide_usage, choices, sent.target.takes(wire.name).lenient)
    chunks = sent.answer.chunks
    chunk: bytes | None = sent.first
    room = KEPT_BYTES
    try:
        while True:
            whole = guard.finish(not sent.answer.until_close) if chunk is None else guard.release(chunk)
            if whole:
                if ending.kept is not None and room > 0:
                    ending.kept.append(whole)
                    room -= len(whole)
                yield whole
            if chunk is None or guard.over:
                break
            chunk = None if chunks is None else await anext(chunks, None)
        if not _all_is_said(guard):
            why = guard.error or "truncated"
            raise BackendError("The backend's stream ended before the answer was complete.", code=why)
        ending.error = guard.error
    except BackendError as error:
        if _all_is_said(guard):  # how the connection ends behind it is no news for the client
            ending.error = guard.error
        else:
            ending.error = error.code
            yield guard.boundary() + guard.error_event(error)
    finally:
        await sent.answer.aclose()


def _all_is_said(guard: StreamGuard) -> bool:
    """Say whether the client knows how the answer ended: it is whole, or the backend itself has told of a failure."""
    return guard.complete if not guard.error else guard.heard
