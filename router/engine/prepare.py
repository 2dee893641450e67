"""Parse, observe, decide: everything about a request that needs no backend.

`RequestPreparer.prepare` is what `explain`, `test`, the library call and the proxy share: one function, four products.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from router.core.decide import decide
from router.core.decision import Decision, Reason, nothing
from router.core.errors import Degraded, RequestError
from router.core.evidence import Evidence
from router.core.levels import NOBODY, Asked, Draw, Levels, usual_level
from router.core.policy import ROOT, CueValue, Policy
from router.core.ports import Capability, Request, Weaving, Wire
from router.engine.guarding import Guard
from router.engine.identity import Identifier, Identity
from router.engine.observe import Observer, TurnObservation
from router.engine.pins import Given, Pin, Pins
from router.engine.snapshot import Shelf, Snapshot
from router.engine.stages import Stages
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


@dataclass(slots=True)
class PreparedRequest:
    """A request with all that was found and decided about it. `decisions[j]` belongs to user turn j."""

    request: Request
    snapshot: Snapshot
    identity: Identity
    sights: list[TurnObservation]
    decisions: list[Decision]
    stages: Stages
    pin: Pin

    @property
    def decision(self) -> Decision:
        """The decision at the newest user turn."""
        return self.decisions[-1]

    @property
    def evidence(self) -> Evidence:
        """The evidence at the newest user turn."""
        return self.sights[-1].evidence


class RequestPreparer:
    """Looks at requests under the policies of a shelf. `clock` returns seconds of the wall clock, for pins only."""

    def __init__(self, shelf: Shelf, identifier: Identifier, guard: Guard, clock: Callable[[], float]) -> None:
        self.shelf = shelf
        self._identifier = identifier
        self._guard = guard
        self._clock = clock
        self.pins = Pins()
        self.threads = Threads()
        self._observers: dict[Snapshot, Observer] = {}

    def prepare(self, call: Call, late: str = "") -> PreparedRequest:
        """Return what is decided about a request. Raises RequestError for one that cannot be served.

        `late` is the fault with which recognition is left out, where it was asked already and did not answer in time.
        """
        stages = Stages()
        request = call.wire.parse(call.body)
        stages.mark("parse")
        thread = self._thread(call, request.conversation.continues)
        observer, pin, identity, cues, faults = self._resume(call, request, thread) or self._place(call, request)
        earlier = thread.sights if thread else ()
        sights = observer.observe(request, pin, cues, identity.nonce, late, earlier)
        stages.mark("observe")
        asked = Asked(identity.unit, model=request.model)
        decisions = self._decide_all(observer.snapshot, sights, pin, asked)
        notes = [Reason(fault, "the cue was not usable and fell to its default") for fault in faults]
        if request.conversation.continues and thread is None:
            notes.append(Reason("thread_unknown", "what was decided about the turns before is not known here"))
        if notes:
            decisions[-1] = replace(decisions[-1], reasons=(*decisions[-1].reasons, *notes))
        if call.off:
            decisions = [_required_only(decision) for decision in decisions]
        stages.mark("decide")
        return PreparedRequest(request, observer.snapshot, identity, sights, decisions, stages, pin)

    async def prepare_in_time(self, call: Call) -> PreparedRequest:
        """Like `look`, but never holds up the event loop: a slow recogniser runs in a thread, within its deadline."""
        recogniser = self.shelf.current(call.policy).recogniser
        if recogniser is None or recogniser.inline:
            return self.prepare(call)
        try:
            return await asyncio.wait_for(asyncio.to_thread(self.prepare, call), recogniser.deadline_s)
        except TimeoutError:
            self._guard.note("recogniser_late")
            return self.prepare(call, late="recogniser_late")

    def remember(self, tenant: str, look: PreparedRequest, response_id: str) -> None:
        """Remember what was decided, for requests that go on from this answer without resending its turns."""
        thread = Thread(look.identity, look.snapshot, look.pin, tuple(look.sights))
        continues = look.request.conversation.continues
        for name in {response_id, continues if continues.startswith(STORED_CONVERSATION) else response_id}:
            self.threads.keep(tenant, name, thread)

    def take_up(self, links: Iterable[Link]) -> None:
        """Remember again what was decided before a restart, by the traces in the order of time."""
        for link, thread in rebuild(links, self.pins, self.shelf):
            self.threads.keep(link.tenant, link.response_id, thread)

    def weave(
        self,
        look: PreparedRequest,
        wire: Wire,
        model: str = "",
        capability: Capability | None = None,
        *,
        ask_usage: bool = False,
    ) -> bytes:
        """Return the body to send for one target.

        Where weaving fails the request goes out as it came, unless that would lose a required instruction.
        """
        settings = look.snapshot.policy.settings
        weaving = Weaving(
            settings.place,
            settings.on_switch,
            model,
            look.decision.parameters,
            capability or DEFAULT_CAPABILITY,
            ask_usage,
        )
        try:
            return self._guard.run("weave_failed", wire.weave, look.request, look.decisions, weaving)
        except Degraded as fault:
            if any(piece.required for decision in look.decisions for piece in decision.mix):
                raise blocked(fault) from fault
            look.decisions[-1] = replace(
                look.decision, outcome="bypassed", mix=(), reasons=(Reason(fault.code, str(fault)),)
            )
            return look.request.body

    def _place(
        self, call: Call, request: Request
    ) -> tuple[Observer, Pin, Identity, dict[str, CueValue], tuple[str, ...]]:
        """Find the snapshot, the pin and the cues that a request is decided with."""
        snapshot = self.shelf.current(call.policy)
        policy = snapshot.policy
        metadata = {**request.metadata, **call.metadata} if call.metadata else request.metadata
        cues, faults = snapshot.cues.read(call.headers, metadata)
        identity = self._identifier.identify(
            call.tenant,
            request.conversation,
            request.user or call.user,
            call.headers,
            metadata,
            _personal(policy, cues),
        )
        turns = request.conversation.turns
        turn = sum(turn.role == "user" for turn in turns) - 1
        # Tool results, and the beginning of an answer, keep what was decided about the user turn that they go on from.
        answering = not turns or turns[-1].role == "user"
        observer = self._observer(snapshot)
        lasting, passing = observer.parted(cues)
        now = self._clock()
        pin = self.pins.find(policy.name, identity.conversation, turn, lasting, now, answering=answering)
        if pin is None:
            idle_s = policy.settings.pin_idle_s
            moves: dict[str, int] | None = None if self.shelf.levels(policy.name) is None else {}
            pin = Pin(policy.revision, now, now, idle_s, [(0, lasting)], moment=(turn, passing), moves=moves, new=True)
            self.pins.keep(policy.name, identity.conversation, pin)
            return observer, pin, identity, cues, faults
        pin.new = False
        if pin.revision != policy.revision:
            earlier = self.shelf.pinned(policy.name, pin.revision)
            if earlier is None:
                pin.revision = policy.revision  # the old revision is gone from the shelf: the conversation moves on
            else:
                observer = self._observer(earlier)
                cues, faults = earlier.cues.read(call.headers, metadata)
                lasting, passing = observer.parted(cues)
        if answering:
            pin.hold(turn, lasting, passing)
        else:
            cues = pin.held(turn, lasting, passing)
        return observer, pin, identity, cues, faults

    def _thread(self, call: Call, continues: str) -> Thread | None:
        """Find what is known of the turns that the backend keeps, while it holds and under the same policy."""
        thread = self.threads.find(call.tenant, continues) if continues else None
        if thread is None or self._clock() - thread.pin.seen_s > thread.pin.idle_s:
            return None
        return thread if thread.snapshot.policy.name == self.shelf.current(call.policy).policy.name else None

    def _resume(
        self, call: Call, request: Request, thread: Thread | None
    ) -> tuple[Observer, Pin, Identity, dict[str, CueValue], tuple[str, ...]] | None:
        """Return what a conversation was decided with whose earlier turns the backend keeps."""
        if thread is None:
            return None
        snapshot, pin = thread.snapshot, thread.pin
        cues, faults = snapshot.cues.read(call.headers, {**request.metadata, **call.metadata})
        self.pins.use(snapshot.policy.name, thread.identity.conversation, pin, self._clock())
        return self._observer(snapshot), pin, thread.identity, cues, faults

    def _observer(self, snapshot: Snapshot) -> Observer:
        observer = self._observers.get(snapshot)
        if observer is None:
            live = {s: o for s, o in self._observers.items() if self.shelf.holds(s)}
            observer = live[snapshot] = Observer(snapshot, self._guard)
            self._observers = live
        return observer

    def _decide_all(self, snapshot: Snapshot, sights: list[TurnObservation], pin: Pin, asked: Asked) -> list[Decision]:
        """Return the decision at every user turn. What the conversation is given on the way, its pin keeps."""
        decisions: list[Decision] = []
        tuned = None if pin.moves is None else self.shelf.levels(snapshot.policy.name)
        drawn: Draw | None = None
        fresh: set[str] = set()  # tasks at which the conversation is given a level for the first time
        for sight in sights:
            if sight.decision is None or not _stands(sight, pin):
                sight.evidence = _levelled(sight, pin, tuned, asked)
                sight.decision = decision = self._decide(snapshot, sight.evidence)
                drawn = decision.draw or drawn
                if tuned is not None:
                    fresh |= set() if decision.task in (pin.moves or ()) else {decision.task}
                    pin.give(decision)
                    sight.evidence = replace(sight.evidence, levels=decision.levels, tuned=None, asked=NOBODY)
            decisions.append(sight.decision)
        if tuned is not None and (drawn is not None or decisions[-1].task in fresh):
            pin.given = _given(snapshot.policy, decisions[-1], drawn, tuned, asked, sights[-1]) or pin.given
        return decisions

    def _decide(self, snapshot: Snapshot, evidence: Evidence) -> Decision:
        policy = snapshot.policy
        try:
            return self._guard.run("decide_failed", decide, policy, evidence, snapshot.compose)
        except Degraded as fault:
            general = replace(evidence, belief=None, faults=(*evidence.faults, fault.code))
        try:
            return self._guard.run("decide_failed", decide, policy, general, snapshot.compose)
        except Degraded as fault:
            if any(instruction.required for instruction in policy.tasks[ROOT].instructions):
                raise blocked(fault) from fault
            return nothing(policy.revision, "bypassed", Reason(fault.code, str(fault)))


DEFAULT_CAPABILITY = Capability()


def blocked(fault: Degraded) -> RequestError:
    """Return the error for a request that may not go out without its required instructions."""
    return RequestError(
        f"The request was not sent: instructions that it requires could not be added ({fault.code}).",
        status=503,
        code="required_instructions_unavailable",
        kind="server_error",
    )


def _required_only(decision: Decision) -> Decision:
    """What a client cannot switch off."""
    mix = tuple(piece for piece in decision.mix if piece.required)
    return replace(decision, outcome="bypassed", mix=mix, reasons=(Reason("off", "switched off by the client"),))


def _personal(policy: Policy, cues: Mapping[str, CueValue]) -> tuple[str, ...]:
    """The free-text cues: conversations that begin alike but differ here belong to different people."""
    return tuple(f"{name}={cues[name]}" for name in sorted(policy.personal) if name in cues)


def _complexity(sight: TurnObservation) -> str:
    return str(sight.evidence.cues.get("complexity", ""))


def _stands(sight: TurnObservation, pin: Pin) -> bool:
    """Say whether a decision that was made before was made with the moves that the conversation has."""
    if pin.moves is None:
        return not sight.evidence.levels
    assert sight.decision is not None
    moves, held = sight.decision.moves, pin.moves
    return len(moves) == len(sight.decision.levels) and all(held.get(path) == move for path, move in moves.items())


def _levelled(sight: TurnObservation, pin: Pin, tuned: Levels | None, asked: Asked) -> Evidence:
    """Return the evidence at a turn with the moves that the conversation has, and the dials for what it has not."""
    if tuned is None and not sight.evidence.levels:
        return sight.evidence
    asked = asked._replace(drawn=pin.drawn, moves=pin.moves or {})
    return replace(sight.evidence, levels={}, tuned=tuned, asked=asked)


def _given(
    policy: Policy, decision: Decision, drawn: Draw | None, tuned: Levels, asked: Asked, sight: TurnObservation
) -> Given | None:
    task = drawn.task if drawn else decision.task
    move = decision.moves.get(task)
    if move is None or task == ROOT:
        return None
    model, level = decision.model or asked.model, usual_level(policy, task, move)
    return Given(task, _complexity(sight), model, level, drawn, tuned.held_out(asked.unit))
