"""Parse, observe, decide: everything about a request that needs no backend.

`RequestPreparer.prepare` is what `explain`, `test`, the library call and the proxy share: one function, four products.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter
from typing import NamedTuple

from router.core.decision import Decision, Reason
from router.core.evidence import Evidence
from router.core.ports import Capability, Request, Weaving, Wire
from router.core.voice import LOOKALIKE
from router.engine.decide_turns import Decided, blocked, decide_turns, required_only, with_notes
from router.engine.guarding import FaultHandler
from router.engine.identity import Identifier, Identity
from router.engine.named_words import KEY, name_words
from router.engine.observe import Observed, PlacedRequest, observe
from router.engine.pins import GivenLevel, Pin, Pins, Timeline, cues_at
from router.engine.snapshot import NO_CUES, PolicyRegistry, Snapshot
from router.engine.threads import Link, Thread, Threads, rebuild

STORED_CONVERSATION = "conv_"
"""How the names of conversations begin that OpenAI keeps; other names that a request goes on from are of answers."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request as the edge hands it over.

    `metadata` adds to what the body's own metadata says. `off` asks for no instructions. `forward` are the client's
    headers that may go to the backend. `user` is the end user as trusted headers name them.
    """

    wire: Wire
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    tenant: str = ""
    policy: str | None = None
    off: bool = False
    metadata: Mapping[str, object] = field(default_factory=dict)
    forward: tuple[tuple[str, str], ...] = ()
    user: str = ""
    id: str = ""


class _Stages:
    """A stop-watch with laps: `mark` ends the lap that is running and names it. Times are milliseconds."""

    __slots__ = ("_at", "laps", "started")

    def __init__(self) -> None:
        self.started = self._at = perf_counter()
        self.laps: dict[str, float] = {}

    def mark(self, stage: str) -> float:
        """End a lap, and return the milliseconds since the start. Laps of the same name add up."""
        now = perf_counter()
        self.laps[stage] = self.laps.get(stage, 0.0) + (now - self._at) * 1e3
        self._at = now
        return (now - self.started) * 1e3


@dataclass(frozen=True, slots=True, eq=False)
class PreparedRequest:
    """A request with all that was found and decided about it. `decisions[j]` belongs to user turn j."""

    request: Request
    placed: PlacedRequest
    observed: Observed
    decided: Decided
    stages: _Stages

    @property
    def snapshot(self) -> Snapshot:
        """What it was decided with."""
        return self.placed.snapshot

    @property
    def identity(self) -> Identity:
        """Who is asking, in which conversation."""
        return self.placed.identity

    @property
    def pin(self) -> Pin:
        """What its conversation keeps."""
        return self.placed.pin

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The decision at every user turn."""
        return self.decided.decisions

    @property
    def decision(self) -> Decision:
        """The decision at the newest user turn."""
        return self.decided.decisions[-1]

    @property
    def evidence(self) -> Evidence:
        """The evidence at the newest user turn."""
        return self.decided.evidence

    @property
    def given(self) -> GivenLevel | None:
        """The level with which the answer counts, where the conversation was given one by this request."""
        return self.decided.given


class _Woven(NamedTuple):
    """A body to send, and the decision that it carries: what was decided, unless nothing could be woven in."""

    body: bytes
    decision: Decision


INLINE_BYTES = 128 * 1024
"""A body of more bytes may take tens of milliseconds: 10,000 messages, or photos."""


class RequestPreparer:
    """Prepares requests under the policies of a registry, in three values that are made once and never changed.

        placed = self._place(call, request)
        observed = observe(placed, request, fault_handler)
        decided = decide_turns(placed, observed, model, fault_handler)

    What a conversation keeps of them is written at the end, by `keep`. `clock` returns seconds of the wall clock, for
    pins only.
    """

    def __init__(
        self, registry: PolicyRegistry, identifier: Identifier, fault_handler: FaultHandler, clock: Callable[[], float]
    ) -> None:
        self.registry = registry
        self._identifier = identifier
        self._fault_handler = fault_handler
        self._clock = clock
        self.pins = Pins()
        self.threads = Threads()

    def prepare(self, call: Call, late: str = "", *, keep: bool = True) -> PreparedRequest:
        """Return what is decided about a request. Raises RequestError for one that cannot be served.

        `late` is the fault with which recognition is left out, where it was asked already and did not answer in time.
        Without `keep` the conversation forgets it: what is only explained, or counted, is not answered.
        """
        prepared = self._prepare(call, self.registry.current(call.policy), late)
        if keep:
            self.keep(prepared)
        return prepared

    async def prepare_in_time(self, call: Call, *, keep: bool = True) -> PreparedRequest:
        """Like `prepare`, but never holds up the event loop: a slow recogniser runs in a thread, within its deadline,
        and so does all of it where the body is large, without one.

        A thread that comes too late has changed nothing, and what is prepared in its place is prepared anew.
        """
        snapshot = self.registry.current(call.policy)
        recogniser = snapshot.recogniser
        large = len(call.body) > INLINE_BYTES
        try:
            if recogniser is None or recogniser.inline:
                prepared = (
                    await asyncio.to_thread(self._prepare, call, snapshot) if large else self._prepare(call, snapshot)
                )
            else:
                working = asyncio.to_thread(self._prepare, call, snapshot)
                prepared = await asyncio.wait_for(working, recogniser.deadline_s)
        except TimeoutError:
            self._fault_handler.note("recogniser_late")
            missed = (call, snapshot, "recogniser_late")
            prepared = await asyncio.to_thread(self._prepare, *missed) if large else self._prepare(*missed)
        if keep:
            self.keep(prepared)
        return prepared

    def _prepare(self, call: Call, snapshot: Snapshot, late: str = "") -> PreparedRequest:
        stages = _Stages()
        request = call.wire.parse(call.body)
        stages.mark("parse")
        placed = self._place(call, request, snapshot)
        observed = observe(placed, request, self._fault_handler, late)
        stages.mark("observe")
        decided = decide_turns(placed, observed, request.model, self._fault_handler)
        notes = placed.notes
        if observed.turns[-1].lookalike and request.conversation.turns[-1].role == "user":  # once a message
            notes = (*notes, (LOOKALIKE, "some of the message looks like instructions of ours: it is the user's text"))
        if notes:
            decided = with_notes(decided, notes)
        if call.off:  # so nothing is tuned by it, and the conversation is given nothing
            decisions = tuple(map(required_only, decided.decisions))
            decided = Decided(decisions, decided.evidence, None, placed.pin.moves, placed.pin.drawn)
        stages.mark("decide")
        return PreparedRequest(request, placed, observed, decided, stages)

    def keep(self, prepared: PreparedRequest) -> None:
        """Let the conversation keep what it was decided with. Nothing else ever changes a pin."""
        placed, observed, decided = prepared.placed, prepared.observed, prepared.decided
        pin, policy = placed.pin, placed.snapshot.policy
        if not placed.new:
            self.pins.use(policy.name, placed.identity.conversation, pin, self._clock())
        if observed.aside:  # a title that an app asks for must not open the conversation, nor change it
            return
        opening = placed.identity.opening
        if opening is not None and opening.answered:
            pin.answer = opening.answer  # as its client resends it
        if placed.new:
            self.pins.keep(policy.name, placed.identity.conversation, pin)
        else:
            if not placed.earlier:  # else the thread goes on under the revision of its own turns
                pin.revision = policy.revision
            if placed.answering and placed.turn >= 0:
                pin.moment = placed.turn, placed.passing
                pin.hold(placed.timeline, placed.turn, placed.lasting)
        if placed.words:
            pin.words = placed.words
        if observed.kept:
            kept = {number: (seen.state, seen.evidence) for number, seen in observed.kept.items()}
            pin.faulted = {**pin.faulted, **kept}  # a new dict: another thread may be reading the old one
        pin.moves, pin.drawn = decided.moves, decided.drawn

    def hear(self, prepared: PreparedRequest, wire: Wire, pieces: Sequence[bytes], stream: bool) -> None:
        """Take the answer by which the conversation that a request opened will be known; its words are read later."""
        placed, answer = prepared.placed, partial(self._identifier.answer_in, wire, pieces, stream)
        self.pins.hear(placed.snapshot.policy.name, placed.pin, answer)

    def remember(self, tenant: str, prepared: PreparedRequest, response_id: str) -> None:
        """Remember what was decided, for requests that go on from this answer without resending its turns."""
        placed = prepared.placed
        thread = Thread(placed.identity, placed.snapshot, placed.pin, prepared.observed.turns)
        continues = prepared.request.conversation.continues
        for name in {response_id, continues if continues.startswith(STORED_CONVERSATION) else response_id}:
            self.threads.keep(tenant, name, thread)

    def take_up(self, links: Iterable[Link]) -> None:
        """Remember again what was decided before a restart, by the traces in the order of time."""
        for link, thread in rebuild(links, self.pins, self.registry, self._identifier):
            self.threads.keep(link.tenant, link.response_id, thread)

    def weave(
        self,
        prepared: PreparedRequest,
        wire: Wire,
        model: str = "",
        capability: Capability | None = None,
        *,
        ask_usage: bool = False,
    ) -> _Woven:
        """Return the body to send for one target.

        Where weaving fails the request goes out as it came, unless that would lose a required instruction.
        """
        policy = prepared.placed.snapshot.policy
        settings = policy.settings
        decisions = prepared.decided.decisions
        decision = decisions[-1]
        capability = capability or DEFAULT_CAPABILITY
        parameters = decision.parameters
        if capability.refuses and parameters:
            parameters = {name: value for name, value in parameters.items() if name not in capability.refuses}
        weaving = Weaving(
            settings.place,
            settings.on_switch,
            model,
            parameters,
            capability,
            ask_usage,
            policy.names,
            prepared.placed.identity.nonce,
        )
        try:
            return _Woven(wire.weave(prepared.request, decisions, weaving), decision)
        except Exception as error:  # noqa: BLE001  fail open
            fault = self._fault_handler.degraded("weave_failed", error)
            if any(piece.required for each in decisions for piece in each.mix):
                raise blocked(fault) from fault
            reasons = (Reason(fault.code, str(fault)),)
            return _Woven(prepared.request.body, replace(decision, outcome="bypassed", mix=(), reasons=reasons))

    # ------------------------------------------------------------------------------------------------------- placing

    def _place(self, call: Call, request: Request, snapshot: Snapshot) -> PlacedRequest:
        """Find the conversation and the facts that a request is decided with, `snapshot` being the policy in force."""
        metadata = {**request.metadata, **call.metadata} if call.metadata else request.metadata
        continues = request.conversation.continues
        if continues:
            thread = self._thread(call, continues, snapshot.policy.name)
            if thread is not None:
                return self._resume(call, request, thread, metadata)
        turns, asked = request.conversation.turns, 0
        for turn in turns:
            if turn.role == "user":
                asked += 1
        # Tool results, and the beginning of an answer, keep what was decided about the user turn that they go on from.
        answering = not turns or turns[-1].role == "user" or not (asked or continues)
        policy = snapshot.policy
        cues, faults = snapshot.cues.read(call.headers, metadata)
        user = request.user or call.user
        # Conversations that begin alike but differ in free text belong to different people.
        personal = sorted(policy.personal.intersection(cues))
        identity = self._identifier.identify(
            call.tenant,
            request.conversation,
            user,
            call.headers,
            metadata,
            [f"{name}={cues[name]}" for name in personal] if personal else (),
        )
        lasting, passing = snapshot.parted(cues) if snapshot.volatile else (cues, NO_CUES)
        now = self._clock()
        key, opening, pin = (policy.name, identity.conversation), identity.opening, None
        if opening is None or opening.answer:  # else it begins here
            pin = self.pins.find(*key, asked - 1, lasting, now, answering=answering, opening=opening)
        levels = self.registry.levels(policy.name)
        new = pin is None
        if pin is not None and pin.conversation != identity.conversation:
            identity = identity.going_on_with(pin.conversation)
        if self.registry.canaries if pin is None else pin.revision != policy.revision:
            # Where an old revision is gone from the registry, the conversation moves on to the present one.
            other = self.registry.elsewhere(
                policy.name, identity.conversation, pin.revision if pin else "", pin.seen_s if pin else 0.0
            )
            if other is not None:
                snapshot, policy = other, other.policy
                cues, faults = snapshot.cues.read(call.headers, metadata)
                lasting, passing = snapshot.parted(cues)
        if pin is None:
            moves: Mapping[str, int] | None = None if levels is None else {}
            timeline: Timeline = ((0, lasting),)
            moment = (asked - 1, passing)
            pin = Pin(policy.revision, now, now, policy.settings.pin_idle_s, timeline, moment=moment, moves=moves)
        else:
            timeline = pin.shown(lasting)
            if not answering:
                at, before = pin.moment
                cues = {**cues_at(timeline, asked - 1), **(before if at == asked - 1 else passing)}
        notes = _notes(faults) if faults else ()
        words = pin.words
        if KEY in metadata:
            words, amiss = name_words(words or {}, turns, metadata)
            notes = (*notes, *amiss)
        if continues:
            notes = (*notes, ("thread_unknown", "what was decided about the turns before is not known here"))
        return PlacedRequest(
            snapshot,
            identity,
            pin,
            new,
            asked - 1,
            cues,
            lasting,
            passing,
            timeline,
            answering,
            (),
            notes,
            None if pin.moves is None else levels,
            words,
        )

    def _thread(self, call: Call, continues: str, policy: str) -> Thread | None:
        """Find what is known of the turns that the backend keeps, while it holds and under the same policy."""
        thread = self.threads.find(call.tenant, continues)
        if thread is None or self._clock() - thread.pin.seen_s > thread.pin.idle_s:
            return None
        if thread.snapshot.policy.name != policy:
            return None
        revision, pin = thread.snapshot.policy.revision, thread.pin
        if policy in self.registry.released and (revision != pin.revision or self.registry.lets_go(policy, pin.seen_s)):
            found = self.registry.elsewhere(policy, thread.identity.conversation) or self.registry.current(policy)
            return replace(thread, snapshot=found, observations=())
        return thread

    def _resume(self, call: Call, request: Request, thread: Thread, metadata: Mapping[str, object]) -> PlacedRequest:
        """Return where a request belongs whose earlier turns the backend keeps: each of its turns has its own cues."""
        cues, faults = thread.snapshot.cues.read(call.headers, metadata)
        asked = sum(turn.role == "user" for turn in request.conversation.turns)
        words, amiss = name_words({}, request.conversation.turns, metadata)
        return PlacedRequest(
            thread.snapshot,
            thread.identity,
            thread.pin,
            False,
            len(thread.observations) + asked - 1,
            cues,
            cues,
            {},
            thread.pin.cues,
            False,
            thread.observations,
            (*_notes(faults), *amiss),
            None if thread.pin.moves is None else self.registry.levels(thread.snapshot.policy.name),
            words,
        )


DEFAULT_CAPABILITY = Capability()


def _notes(faults: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return tuple((fault, "the cue was not usable and fell to its default") for fault in faults)
