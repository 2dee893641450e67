"""Send the woven request: one owner of retries, then the fallback models, then the mapped error.

A request is tried again only while nothing of an answer has reached the client, at most `attempts` more times in all,
and only while retries are a small share of a backend's requests (a budget, so that a struggling one is not trampled).

Where no model answers, the client gets the error of the first: it is the one that was asked for, and says whether to
come again. A refusal of the request itself ends the search there; a fallback's does not, for it may dislike only what
the first model wrote.

What only we put into a request is taken out where a model refuses it (`refusals`), and from then on left out for that
backend and model. That is no retry: it costs no budget.

A stream is passed on as it comes (`relay`): whole events, the end checked, what breaks off told in the format's shape.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

from router.core.errors import BackendError
from router.core.ports import AnswerMetadata, Backend, BackendAnswer, BackendRequest, Capability, StreamGuard, Wire
from router.engine.refusals import NAMING, is_foreign, lesser, pause_of, refused_within, text_of

log = logging.getLogger("router.engine")

Sleep = Callable[[float], Awaitable[None]]
Weave = Callable[["BackendTarget"], BackendRequest]

WAIT_CAP_S = 5.0
"""A provider that asks for more patience than this is not waited for: the next model, or its error, is the answer."""

CLIENT_LEFT = "client_gone"
"""The error of a stream that nobody read to its end."""

LEARNT = 1024
"""Of so many models at most is remembered what they refuse; clients may make up any name."""

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

    def without(self, changes: dict[str, Any]) -> BackendTarget:
        """Return the target with a lesser capability, in every format."""
        return replace(self, capability=replace(self.capability, **changes), bridged=replace(self.bridged, **changes))


@dataclass(slots=True)
class BackendResult:
    """An answer, who gave it, how many calls it took, and the body that it answers.

    A stream's first chunk has already been taken.
    """

    answer: BackendAnswer
    target: BackendTarget
    attempts: int
    first: bytes = b""
    asked: bytes = b""


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
    """Sends to the first target that answers. `budget` makes the retry budget of each backend."""

    def __init__(
        self,
        attempts: int = 2,
        budget: Callable[[], RetryBudget] = RetryBudget,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._attempts = attempts
        self._budgets: defaultdict[str, RetryBudget] = defaultdict(budget)
        self._sleep = sleep
        self._learnt: dict[BackendTarget, BackendTarget] = {}

    async def send(
        self,
        targets: tuple[BackendTarget, ...],
        outgoing: Weave,
        portable: Callable[[bytes], bytes] | None = None,
    ) -> BackendResult:
        """Return the first answer. Raises the first target's BackendError when no target gives one.

        `portable` takes out of a body what only the model can read that wrote it. It is asked where there are several
        models, one of which refuses what may be another's.
        """
        first: BackendError | None = None
        calls = 0
        for number, target in enumerate(targets):
            try:
                return await self._ask(target, outgoing, calls, portable if len(targets) > 1 else None)
            except BackendError as error:
                calls = error.attempts
                first = first or error
                at_fault = not error.retryable and error.status in (400, 413, 422)
                if number + 1 == len(targets) or (number == 0 and at_fault):
                    break  # where the request itself is at fault, no other model will like it better
                if number:
                    what = f"{error.code}, status {error.status}: {text_of(error)[:200]}"
                    log.warning("fallback %s of backend %s is passed over: %s", target.model, target.backend.name, what)
        if first is None:
            raise BackendError("No model is configured for this request.", status=503, retryable=False)
        first.attempts = calls
        raise first

    async def _ask(
        self, target: BackendTarget, outgoing: Weave, calls: int, portable: Callable[[bytes], bytes] | None
    ) -> BackendResult:
        """Return the answer of one target. Raises BackendError, whose `attempts` goes on from `calls`."""
        budget = self._budgets[target.backend.name]
        budget.earn()
        asked = self._learnt.get(target, target) if self._learnt else target
        weave = outgoing
        request = weave(asked)
        while True:
            calls += 1
            try:
                result = await _begin(asked, request, calls)
            except BackendError as error:
                error.attempts = calls
                less = _without_ours(asked, request, error, weave) if error.status in NAMING else None
                if less is not None:
                    asked, request = less
                    continue
                if portable is not None and weave is outgoing and is_foreign(error):
                    weave = _ported(outgoing, portable)
                    bare = weave(asked)
                    if bare.body != request.body:
                        request = bare
                        continue
                pause = pause_of(error, calls)
                if error.retryable and pause <= WAIT_CAP_S and calls <= self._attempts and budget.spend():
                    await self._sleep(pause)
                    continue
                raise
            if asked is not target and self._learnt.get(target) != asked:
                self._learn(target, asked)
            return result

    def _learn(self, target: BackendTarget, asked: BackendTarget) -> None:
        """Remember what a model refused and answered without, and say once which setting would say so at once."""
        if len(self._learnt) >= LEARNT:
            self._learnt.clear()
        self._learnt[target] = asked
        for each in fields(Capability):
            before, now = getattr(target.capability, each.name), getattr(asked.capability, each.name)
            if before != now:
                log.warning(
                    "model %s of backend %s refused what only the router adds, and answered without it;"
                    " `backends: {%s: {%s: %s}}` in the settings spares the second call",
                    target.model,
                    target.backend.name,
                    target.backend.name,
                    each.name,
                    _written(now),
                )


def _written(value: object) -> str:
    """Return a value of a capability as router.yaml has it."""
    if isinstance(value, frozenset):
        return f"[{', '.join(sorted(value))}]"
    return str(value).lower() if isinstance(value, bool) else f'"{value}"'


def _without_ours(
    asked: BackendTarget, request: BackendRequest, error: BackendError, weave: Weave
) -> tuple[BackendTarget, BackendRequest] | None:
    """Return the target and the request without what a refusal names of ours; None where nothing of it is ours."""
    steps = lesser(request, asked.capability, error, lambda changes: weave(asked.without(changes)))
    return next(((asked.without(changes), again) for changes, again in steps), None)


def _ported(outgoing: Weave, portable: Callable[[bytes], bytes]) -> Weave:
    """Return a weaving whose bodies another model than their author can read."""

    def weave(target: BackendTarget) -> BackendRequest:
        woven = outgoing(target)
        return replace(woven, body=portable(woven.body))

    return weave


async def _begin(target: BackendTarget, request: BackendRequest, calls: int) -> BackendResult:
    """Send, and take the first chunk of a stream: until it is here, a failure is still an ordinary error."""
    answer = await target.backend.send(request)
    if answer.chunks is None:
        body = answer.body
        if (not body.startswith(b"{") or b'"error"' in body) and (
            refused := refused_within(answer, body, request.path)
        ):
            raise refused
        return BackendResult(answer, target, calls, asked=request.body)
    try:
        first = await anext(answer.chunks)
        if (first[:1] not in b"de:" or b'"error"' in first) and (
            refused := refused_within(answer, first, request.path)
        ):
            raise refused
    except StopAsyncIteration:
        raise BackendError("The backend ended its stream before it began.", code="truncated") from None
    except BaseException:
        await answer.aclose()
        raise
    return BackendResult(answer, target, calls, first, request.body)


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
