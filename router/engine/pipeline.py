"""The straight line: parse, observe, decide, weave, send, record.

`Pipeline.run` is the whole product for one request. It contains no word about what any policy says, and every failure
of ours on the way has become a fault on the decision by the time it gets here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial

from router.core.decision import Decision
from router.core.errors import BackendError, RequestError
from router.core.evidence import withhold
from router.core.learning import Assignment
from router.core.ports import AnswerMetadata, BackendRequest, Request, Weaving, Wire
from router.core.trace import Trace
from router.engine.answer_evaluation import Answered
from router.engine.pins import GivenLevel
from router.engine.prefix import WatchedRequest
from router.engine.prepare import INLINE_BYTES, Call, PreparedRequest, RequestPreparer
from router.engine.send import (
    CLIENT_LEFT,
    KEPT_BYTES,
    BackendResult,
    BackendSender,
    BackendTarget,
    StreamEnding,
    as_stream,
    relay,
)
from router.engine.threads import Ownership

CLIENT_GONE = 499
"""The status recorded (never sent) when the client went away first; nginx's word for it."""


@dataclass(slots=True)
class Reply:
    """What goes back to the client. A stream has `chunks`; whoever sends it must `aclose` it, come what may.

    `unnamed` says that nothing in the request named its conversation.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    chunks: AsyncGenerator[bytes, None] | None = None
    decision: Decision | None = None
    id: str = ""
    unnamed: bool = False


@dataclass(slots=True)
class Progress:
    """How far one request has come: what the trace will tell. `decision` is the one that was sent.

    `kept` says that its conversation keeps what was decided. `ended_ms` is when it ended, by the wall clock.
    """

    call: Call
    prepared: PreparedRequest
    decision: Decision
    target: BackendTarget | None = None
    attempts: int = 0
    overhead_ms: float = 0.0
    first_ms: float = 0.0
    ended_ms: int = 0
    hides_usage: bool = False
    kept: bool = False
    answer_metadata: AnswerMetadata = field(default_factory=AnswerMetadata)


@dataclass(frozen=True)
class Pipeline:
    """Runs requests. `resolve` finds the targets of a model name and raises RequestError for an unknown one.

    `ownership` says whose the stored answers are that requests go on from; without it they are everybody's.
    `record` takes the finished trace, `watch` what came and what was sent, and `examine` what was answered; none may
    block. `now_ms` is the wall clock.
    """

    preparer: RequestPreparer
    sender: BackendSender
    resolve: Callable[[str], tuple[BackendTarget, ...]]
    record: Callable[[Trace], None]
    watch: Callable[[WatchedRequest], None] = field(default=lambda _: None)
    examine: Callable[[Answered], None] | None = None
    now_ms: Callable[[], int] = field(default=lambda: time.time_ns() // 1_000_000)
    ownership: Ownership | None = None

    async def run(self, call: Call) -> Reply:
        """Serve one request. Raises RequestError; what a backend does wrong is a Reply in the wire's own shape."""
        prepared = await self.preparer.prepare_in_time(call, keep=False)
        progress = Progress(call, prepared, prepared.decided.decisions[-1])
        try:
            if prepared.request.conversation.stored:
                await self._require(call, prepared.request)
            self.preparer.keep(prepared)  # not before: who names another tenant's answer leaves no trace in its pin
            progress.kept = True
            targets = self._targets(prepared)
            sent = await self.sender.send(targets, partial(self._outgoing, progress), call.wire.portable)
            progress.target, progress.attempts = sent.target, sent.attempts
            model = sent.target.model or prepared.request.model
            self.watch(WatchedRequest(call, prepared, sent.target.backend.name, model, sent.asked))
            progress.first_ms = prepared.stages.mark("send")
            if prepared.request.stream and sent.answer.chunks is None:
                sent = as_stream(sent, call.wire)
                progress.hides_usage = not prepared.request.tells_usage
            if sent.answer.chunks is not None:
                return self._reply(progress, sent, chunks=self._relay(progress, sent))
            progress.answer_metadata = call.wire.read_answer(sent.answer.body)
        except BackendError as error:
            progress.attempts = error.attempts or progress.attempts
            self._finish(progress, error.status, error.code)
            body = call.wire.error_body(error)
            kept = (header for header in error.headers if header[0].lower() != "content-type")
            headers = (*kept, ("content-type", "application/json"))
            return Reply(error.status, headers, body, decision=progress.decision, id=call.id)
        except RequestError as error:
            self._finish(progress, error.status, error.code)
            raise
        except asyncio.CancelledError:
            self._finish(progress, CLIENT_GONE, CLIENT_LEFT)
            raise
        self._finish(progress, sent.answer.status)
        self._examine(progress, sent, [sent.answer.body])
        return self._reply(progress, sent)

    async def count(self, call: Call) -> Reply:
        """Ask what a request would cost, our text included. Nothing is answered, so nothing is recorded."""
        prepared = await self.preparer.prepare_in_time(call, keep=False)
        await self._require(call, prepared.request)
        progress = Progress(call, prepared, prepared.decision)
        answer = (await self.sender.send(self._targets(prepared), partial(self._outgoing, progress))).answer
        call.wire.read_answer(answer.body)
        return Reply(answer.status, answer.headers, answer.body, id=call.id)

    async def pass_on(self, call: Call) -> Reply:
        """Send a request that is no conversation as it came, but for the model's name. Raises BackendError too."""
        large = len(call.body) > INLINE_BYTES
        request = await asyncio.to_thread(call.wire.parse, call.body) if large else call.wire.parse(call.body)
        await self._require(call, request)

        def outgoing(target: BackendTarget) -> BackendRequest:
            body = call.wire.weave(request, (), Weaving(model=target.model))
            return BackendRequest(call.wire.path, body, call.forward, request.stream, target.model or request.model)

        sent = await self.sender.send(self.resolve(request.model), outgoing)
        return reply_to(sent, call.wire, call.id, request.stream, request.choices)

    async def _require(self, call: Call, request: Request) -> None:
        """Raise RequestError (404) where a request goes on from what the backend keeps for another tenant."""
        stored = request.conversation.stored
        if stored and self.ownership is not None:
            await self.ownership.require(call.tenant, stored)

    def _targets(self, prepared: PreparedRequest) -> tuple[BackendTarget, ...]:
        """Return the targets of the policy's model for the task if that is a known alias, else the client's."""
        model = prepared.decided.decisions[-1].model
        if model:
            try:
                return self.resolve(model)
            except RequestError:
                pass
        return self.resolve(prepared.request.model)

    def _outgoing(self, progress: Progress, target: BackendTarget) -> BackendRequest:
        call, prepared = progress.call, progress.prepared
        progress.target = target
        progress.attempts += 1
        model = target.model or prepared.request.model
        capability = target.takes(call.wire.name)
        # A request to which nothing is added leaves as it came; so usage is asked for only beside text of ours.
        ask = capability.usage_in_streams and not prepared.request.tells_usage
        progress.hides_usage = ask and any(decision.mix for decision in prepared.decided.decisions)
        body, progress.decision = self.preparer.weave(
            prepared, call.wire, target.model, capability, ask_usage=progress.hides_usage
        )
        overhead_ms = prepared.stages.mark("weave")
        progress.overhead_ms = progress.overhead_ms or overhead_ms
        stream, parameters = prepared.request.stream, progress.decision.parameters
        return BackendRequest(call.wire.path, body, call.forward, stream, model, parameters=parameters)

    def _reply(
        self, progress: Progress, sent: BackendResult, chunks: AsyncGenerator[bytes, None] | None = None
    ) -> Reply:
        answer, unnamed = sent.answer, progress.prepared.placed.identity.opening is not None
        return Reply(answer.status, answer.headers, answer.body, chunks, progress.decision, progress.call.id, unnamed)

    async def _relay(self, progress: Progress, sent: BackendResult) -> AsyncGenerator[bytes, None]:
        """Pass a stream on and record what became of it."""
        opening = progress.prepared.placed.identity.opening
        heard = self.examine is not None and progress.prepared.snapshot.policy.heard
        heard = heard or (opening is not None and not opening.answered)
        ending = StreamEnding(kept=[] if heard else None)
        wire, tenant = progress.call.wire, progress.call.tenant
        ownership = self.ownership if wire.chains else None
        try:
            with ownership.streaming(tenant, sent.target.backend.name, ending) if ownership else nullcontext():
                async for chunk in relay(sent, wire, ending, progress.hides_usage, progress.prepared.request.choices):
                    yield chunk
        finally:
            progress.answer_metadata = ending.answer_metadata
            self._finish(progress, CLIENT_GONE if ending.error == CLIENT_LEFT else sent.answer.status, ending.error)
            if not ending.error and ending.kept:
                self._examine(progress, sent, ending.kept)

    def _examine(self, progress: Progress, sent: BackendResult, pieces: list[bytes]) -> None:
        """Hand on an answer to be examined, where its policy wants to hear of it, or by which one is known."""
        call, prepared, target = progress.call, progress.prepared, progress.target
        size, opening = sum(map(len, pieces)), prepared.placed.identity.opening
        if opening is not None and not opening.answered and size < KEPT_BYTES:
            self.preparer.hear(prepared, call.wire, pieces, prepared.request.stream)
        if self.examine is None or target is None or not prepared.placed.snapshot.policy.heard:
            return
        self.examine(
            Answered(
                wire=call.wire,
                prepared=prepared,
                tenant=call.tenant,
                decision=call.id,
                model=target.model or prepared.request.model,
                at_ms=progress.ended_ms,
                pieces=pieces,
                size=size,
                stream=prepared.request.stream,
                whole=size < KEPT_BYTES,
                status=sent.answer.status,
            )
        )

    def _finish(self, progress: Progress, status: int, error: str = "") -> None:
        call, prepared, target, answer_metadata = (
            progress.call,
            progress.prepared,
            progress.target,
            progress.answer_metadata,
        )
        policy, identity, decided = prepared.placed.snapshot.policy, prepared.placed.identity, prepared.decided
        total_ms = (time.perf_counter() - prepared.stages.started) * 1e3
        if answer_metadata.id and call.wire.chains:
            self.preparer.remember(call.tenant, prepared, answer_metadata.id)
        at_ms = progress.ended_ms = self.now_ms()
        self.record(
            Trace(
                id=call.id,
                at_ms=at_ms,
                policy=policy.name,
                tenant=call.tenant,
                conversation=identity.conversation,
                unit=identity.unit,
                turn=len(decided.decisions) - 1,
                wire=call.wire.name,
                model=(target.model if target else "") or prepared.request.model,
                backend=target.backend.name if target else "",
                stream=prepared.request.stream,
                decision=progress.decision,
                evidence=decided.evidence,
                cues=withhold(policy, decided.evidence.cues),
                status=status,
                error=error,
                response_id=answer_metadata.id,
                attempts=progress.attempts,
                usage=answer_metadata.usage,
                retry=_retry(call),
                overhead_ms=progress.overhead_ms,
                first_ms=progress.first_ms,
                total_ms=total_ms,
                stages=prepared.stages.laps,
                assignment=_assignment(call, prepared, decided.given, at_ms - round(total_ms))
                if decided.given and progress.kept  # what the conversation was not given will be given again
                else None,
            )
        )


def reply_to(sent: BackendResult, wire: Wire, id_: str, stream: bool, choices: int = 1) -> Reply:
    """Return an answer about which nothing was decided, as it came, but as a stream where that is wanted."""
    if stream and sent.answer.chunks is None:
        sent = as_stream(sent, wire)
    answer = sent.answer
    if answer.chunks is None:
        return Reply(answer.status, answer.headers, answer.body, id=id_)
    return Reply(answer.status, answer.headers, chunks=relay(sent, wire, choices=choices), id=id_)


def _assignment(call: Call, prepared: PreparedRequest, given: GivenLevel, at_ms: int) -> Assignment | None:
    """Return the level that a conversation was given at a task, as the tuner reads it; None where nothing is tuned.

    `at_ms` is when the request came: how long an answer takes must not move its conversation among the others.
    """
    policy, identity = prepared.placed.snapshot.policy, prepared.placed.identity
    if policy.primary is None:
        return None
    draw = given.draw
    node = draw.node if draw else given.task
    return Assignment(
        decision=call.id,
        at_ms=at_ms,
        tenant=call.tenant,
        policy=policy.name,
        conversation=identity.conversation,
        unit=identity.unit,
        task=given.task,
        complexity=given.complexity,
        model=given.model,
        level=given.level,
        text=policy.texts[node],
        matures_ms=at_ms + round(1000 * policy.primary.horizon_s),
        trial=draw.trial if draw else "",
        node=node,
        challenger=draw.challenger if draw else False,
        share=draw.share if draw else 0.0,
        holdout=given.holdout,
    )


def _retry(call: Call) -> int:
    """Return how often the client had sent this request before; the official SDKs tell."""
    count = call.headers.get("x-stainless-retry-count", "")
    return int(count) if count.isascii() and count.isdigit() and len(count) < 4 else 0
