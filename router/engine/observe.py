"""Gather everything: the evidence at each user turn of a conversation.

A client resends its whole conversation, and each of its user turns has a decision of its own, made from nothing but the
messages up to it, the pinned revision and the pinned cues. They are remembered by a digest of exactly these, so that a
growing conversation costs one step per call; a miss is worked out again and comes out the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from types import MappingProxyType

from router.core.conversation import Conversation, Turn
from router.core.decision import Decision
from router.core.errors import Degraded
from router.core.evidence import Belief, Evidence, Thresholds
from router.core.policy import AuxiliaryRule, CueValue
from router.core.ports import Request, State
from router.core.trace import WITHHELD
from router.engine.guarding import Guard
from router.engine.pins import Pin
from router.engine.snapshot import Memo, Snapshot

TURNS_DECIDED = 512
"""User turns that get a decision of their own. Later ones keep the last; it bounds the work one request can ask for."""

REPLY_CHARS = 500
"""Of the assistant's last words, so many are handed to the recogniser."""


_NO_CUES: Mapping[str, CueValue] = MappingProxyType({})


@dataclass(slots=True)
class TurnObservation:
    """What is known at one user turn: the recogniser's state, the evidence and, once made, the decision.

    `key` is the digest of all that it was made from.
    """

    state: State | None
    evidence: Evidence
    key: bytes
    decision: Decision | None = None

    def revived(self, cues: Mapping[str, CueValue], nonce: str) -> TurnObservation:
        """Return a sight that comes from a trace as it was."""
        return TurnObservation(self.state, revived(self.evidence, cues, nonce), self.key)


class Observer:
    """Observes conversations under one snapshot. `guard` turns what breaks on the way into a fault and counts it."""

    def __init__(self, snapshot: Snapshot, guard: Guard) -> None:
        self.snapshot = snapshot
        self._guard = guard
        self._memo: Memo[TurnObservation] = Memo()
        policy = snapshot.policy
        self._rules = policy.auxiliary
        self._volatile = frozenset(name for name, cue in policy.cues.items() if cue.volatile)
        self._faults = snapshot.faults + (() if snapshot.recogniser else ("recogniser_absent",))
        self._thresholds = snapshot.recogniser.thresholds if snapshot.recogniser else Thresholds()

    def parted(self, cues: Mapping[str, CueValue]) -> tuple[Mapping[str, CueValue], Mapping[str, CueValue]]:
        """Return the cues that hold for more than one call, and those that are passing."""
        if not self._volatile:
            return cues, _NO_CUES
        passing = {name: value for name, value in cues.items() if name in self._volatile}
        return {name: value for name, value in cues.items() if name not in passing}, passing

    def observe(
        self,
        request: Request,
        pin: Pin,
        cues: Mapping[str, CueValue],
        nonce: str,
        late: str = "",
        earlier: Sequence[TurnObservation] = (),
    ) -> list[TurnObservation]:
        """Return a sight for each user turn, those `earlier` ones first that the backend keeps.

        `cues` are this call's own, volatile ones included. With `late`, turns that are not known yet go without
        recognition, and that is their fault code.
        """
        conversation = request.conversation
        sights = [sight if sight.evidence.nonce else sight.revived(cues, nonce) for sight in earlier]
        asked = list(_user_turns(conversation))
        if not asked and not earlier:
            return [self.unseen(cues, nonce)]
        key = nonce.encode()
        state: State | None = None
        if earlier:
            state, key = earlier[-1].state, earlier[-1].key
        first = len(earlier)
        for number, (turn, reply) in enumerate(asked[: max(0, TURNS_DECIDED - first)], first):
            last = number == first + len(asked) - 1
            here = cues if last else pin.cues_at(number)
            key = _digest(key, turn.text, reply, here)
            rule = self._auxiliary(request, turn.text, number, pin, last) if self._rules else None
            name = key + rule.name.encode() if rule else key
            sight = self._memo.get(name)
            if sight is None:
                sight = self._look(key, state, turn, reply, number, here, nonce, pin, late, rule.name if rule else "")
                if sight.evidence.faults == self._faults:
                    self._memo.put(name, sight)
            if rule is not None and rule.typed:
                pin.faulted.setdefault(0, (sight.state, sight.evidence))
            state = sight.state
            sights.append(sight)
        sights += [sights[-1]] * (first + len(asked) - len(sights))
        return sights

    def unseen(self, cues: Mapping[str, CueValue], nonce: str) -> TurnObservation:
        """Return the sight of a conversation whose user turns are all kept elsewhere, and not known here."""
        evidence = Evidence(
            belief=None,
            cues=MappingProxyType(dict(cues)),
            faults=(*self._faults, "thread_unknown"),
            nonce=nonce,
        )
        return TurnObservation(None, evidence, nonce.encode())

    def _look(
        self,
        key: bytes,
        state: State | None,
        turn: Turn,
        reply: str,
        number: int,
        cues: Mapping[str, CueValue],
        nonce: str,
        pin: Pin,
        late: str,
        rule: str,
    ) -> TurnObservation:
        if number in pin.faulted:
            before, evidence = pin.faulted[number]
            if evidence.faults != self._faults and evidence.auxiliary == rule:
                return TurnObservation(before, revived(evidence, cues, nonce), key)
        faults = list(self._faults)
        known = dict(cues)
        belief: Belief | None = None
        thresholds = self._thresholds
        try:
            known |= self._guard.run("cue_detector_failed", self.snapshot.cues.detect, turn.text, number)
        except Degraded as fault:
            faults.append(fault.code)
        if late:
            faults.append(late)
        elif self.snapshot.recogniser is not None:
            step = self.snapshot.recogniser.step
            try:
                state, belief = self._guard.run("recogniser_failed", step, state, turn.text, reply)
            except Degraded as fault:
                faults.append(fault.code)
            if belief is not None and belief.shortfall is not None:
                self._guard.note(belief.shortfall.code)
                faults.append(belief.shortfall.code)
                thresholds = belief.shortfall.thresholds.stricter(self.snapshot.recogniser.thresholds)
                belief = replace(belief, shortfall=None)
        evidence = Evidence(
            belief=belief,
            cues=MappingProxyType(known),
            faults=tuple(faults),
            nonce=nonce,
            thresholds=thresholds,
            auxiliary=rule,
        )
        if len(faults) > len(self._faults):
            pin.faulted[number] = (state, evidence)
        return TurnObservation(state, evidence, key)

    def _auxiliary(self, request: Request, text: str, number: int, pin: Pin, newest: bool) -> AuxiliaryRule | None:
        """Return the rule that takes a user turn for a machine's own call, if one does.

        The app's system text speaks for the whole conversation, the limits of a call for a call that is no more than
        this turn. What people can type counts there alone, too, and not in a conversation that is under way; where a
        conversation began with it, its first turn stays what it was.
        """
        conversation = request.conversation
        alone = newest and not number and not conversation.continues and len(conversation.turns) == 1
        began = pin.faulted[0][1].auxiliary if not number and 0 in pin.faulted else ""
        for rule in self._rules:
            if rule.typed:
                stands = rule.name == began or (alone and pin.new)
            else:
                stands = alone or not rule.of_call
            if stands and _matches(rule, request, text.lstrip()):
                return rule
        return None


def _matches(rule: AuxiliaryRule, request: Request, user: str) -> bool:
    limit = request.conversation.max_tokens
    if rule.max_tokens_below is not None and (limit is None or limit >= rule.max_tokens_below):
        return False
    if rule.stream is not None and rule.stream is not request.stream:
        return False
    if rule.system_contains and not any(part in request.conversation.system for part in rule.system_contains):
        return False
    if rule.user_starts and not user.startswith(rule.user_starts):
        return False
    return not rule.user_contains or any(part in user for part in rule.user_contains)


def revived(evidence: Evidence, cues: Mapping[str, CueValue], nonce: str) -> Evidence:
    """Return evidence that comes from a store with what is not kept there: the nonce, and free text of this call."""
    if evidence.nonce:
        return evidence
    shown = {name: cues.get(name) if value == WITHHELD else value for name, value in evidence.cues.items()}
    known = {name: value for name, value in shown.items() if value is not None}
    return replace(evidence, nonce=nonce, cues=MappingProxyType(known))


def _user_turns(conversation: Conversation) -> Iterator[tuple[Turn, str]]:
    """Yield each user turn with the assistant's last words before it."""
    reply = ""
    for turn in conversation.turns:
        if turn.role == "assistant":
            reply = turn.text[-REPLY_CHARS:]
        elif turn.role == "user":
            yield turn, reply
            reply = ""


def _digest(before: bytes, text: str, reply: str, cues: Mapping[str, CueValue]) -> bytes:
    words = f"{len(text)}:{text}{len(reply)}:{reply}"
    if cues:
        words += repr(sorted(cues.items()))
    return blake2b(words.encode("utf-8", "surrogatepass"), digest_size=16, key=before[:64]).digest()
