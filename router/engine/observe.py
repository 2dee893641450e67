"""Gather everything: the evidence at each user turn of a conversation.

A client resends its whole conversation, and each of its user turns has a decision of its own, made from nothing but the
messages up to it, the pinned revision and the pinned cues. They are remembered by a digest of exactly these, so that a
growing conversation costs one step per call; a miss is worked out again and comes out the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from types import MappingProxyType

from router.core.evidence import WITHHELD, Belief, Evidence
from router.core.levels import Levels
from router.core.policy import AuxiliaryRule, CueValue
from router.core.ports import RecogniserState, Request
from router.core.voice import without_lookalikes
from router.engine.guarding import FaultHandler
from router.engine.identity import Identity
from router.engine.named_words import NamedWords, words_of
from router.engine.pins import Pin, Timeline, cues_at
from router.engine.snapshot import Snapshot

TURNS_DECIDED = 512
"""User turns that get a decision of their own. Later ones keep the last; it bounds the work one request can ask for."""

REPLY_CHARS = 500
"""Of the assistant's last words, so many are handed to the recogniser."""


@dataclass(frozen=True, slots=True, eq=False)
class TurnObservation:
    """What is known at one user turn: the recogniser's state and the evidence. Shared between requests, never changed.

    `key` is the digest of all that it was made from. `lookalike` says that some of its text looks like ours, which
    recognition did not read.
    """

    state: RecogniserState | None
    evidence: Evidence
    key: bytes
    lookalike: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class PlacedRequest:
    """Where a request belongs: its policy, its conversation, and the facts that it is decided with.

    `pin` is what the conversation keeps, `new` where it was made for this request. The newest user turn is number
    `turn`; of the turns, those `earlier` ones are kept by the backend. It is decided with `cues`, which are `lasting`
    ones and `passing` ones; those before it with what `timeline` says. `answering` is false where a turn that was
    decided before goes on, as with tool results. `notes` are the codes of what was amiss, with the words for people.
    `tuned` says how the dials stand, None where nothing is tuned, or was not when the conversation began. `words` are
    the user's own words where the client names them (`router.engine.named_words`).
    """

    snapshot: Snapshot
    identity: Identity
    pin: Pin
    new: bool
    turn: int
    cues: Mapping[str, CueValue]
    lasting: Mapping[str, CueValue]
    passing: Mapping[str, CueValue]
    timeline: Timeline
    answering: bool
    earlier: tuple[TurnObservation, ...]
    notes: tuple[tuple[str, str], ...]
    tuned: Levels | None
    words: NamedWords | None


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """What is known at each user turn.

    `kept` are those, by number, that must not be gathered anew on the next call (`Pin.faulted`). `aside` says that this
    is a machine's own call by what an app set in it: it stands beside its conversation and changes nothing there.
    """

    turns: tuple[TurnObservation, ...]
    kept: Mapping[int, TurnObservation]
    aside: bool = False


_NOTHING: Mapping[int, TurnObservation] = MappingProxyType({})


def observe(placed: PlacedRequest, request: Request, fault_handler: FaultHandler, late: str = "") -> Observed:
    """Return what is known at each user turn, those first that the backend keeps.

    With `late`, turns that are not known yet go without recognition, and that is their fault code. `fault_handler`
    turns what breaks on the way into a fault and counts it.
    """
    snapshot, nonce = placed.snapshot, placed.identity.nonce
    found = [_revived(each, placed.cues, nonce) for each in placed.earlier] if placed.earlier else []
    if placed.turn < 0:
        rule = _find_auxiliary(placed, request, "", 0) if snapshot.policy.auxiliary else None
        return Observed((_unseen(placed, request, rule),), _NOTHING, rule is not None and rule.of_call)
    state, key = (found[-1].state, found[-1].key) if found else (None, nonce.encode())
    kept: dict[int, TurnObservation] = {}
    aside, reply = False, ""
    for turn in request.conversation.turns:
        if turn.role == "assistant":
            reply = turn.text[-REPLY_CHARS:]
        if turn.role != "user":
            continue
        number = len(found)
        if number == TURNS_DECIDED:
            break
        cues = placed.cues if number == placed.turn else cues_at(placed.timeline, number)
        said = words_of(turn, placed.words) if placed.words else (turn.text, turn.parts)
        text = said[0]
        words = f"{len(text)}:{text}{len(reply)}:{reply}{sorted(cues.items()) if cues else ''}"
        if said[1]:  # where its parts end is seen by recognition alone
            words += f"{list(map(len, said[1]))}"
        key = blake2b(words.encode("utf-8", "surrogatepass"), digest_size=16, key=key[:64]).digest()
        rule = _find_auxiliary(placed, request, turn.text, number) if snapshot.policy.auxiliary else None
        name = key + rule.name.encode() if rule else key
        # What was missing stays missing, even where a recogniser that came too late has found it in the meantime.
        seen = None if number in placed.pin.faulted else snapshot.observations.get(name)
        if seen is None:
            seen = _gather(placed, name, number, state, (text, reply, said[1]), cues, fault_handler, late, rule)
        if seen.evidence.faults == snapshot.missing:
            snapshot.observations.keep(name, seen)
        else:
            kept[number] = seen
        if rule is not None:
            aside = rule.of_call
            if rule.typed:  # by this alone the next call knows that the rule fired: it is no first call any more
                kept[0] = seen
        state, reply = seen.state, ""
        found.append(seen)
    found += found[-1:] * (placed.turn + 1 - len(found))
    return Observed(tuple(found), kept, aside)


def _gather(
    placed: PlacedRequest,
    name: bytes,
    number: int,
    state: RecogniserState | None,
    said: tuple[str, str, tuple[str, ...]],
    cues: Mapping[str, CueValue],
    fault_handler: FaultHandler,
    late: str,
    rule: AuxiliaryRule | None,
) -> TurnObservation:
    """Return what there is to know at one user turn: the cues in it, what it is about.

    `said` is the turn, the reply before it, and the parts of the turn where it has several.
    """
    text, reply, parts = said
    if text.isascii() and "<" not in text and ":" not in text:  # as most are: then nothing in it looks like ours
        own = text
    else:
        own = without_lookalikes(text)
        parts = tuple(map(without_lookalikes, parts))
    snapshot, nonce, auxiliary = placed.snapshot, placed.identity.nonce, rule.name if rule else ""
    if number in placed.pin.faulted:
        before, evidence = placed.pin.faulted[number]
        if evidence.faults != snapshot.missing and evidence.auxiliary == auxiliary:
            return TurnObservation(before, _with_words(evidence, cues, nonce), name)
    faults = snapshot.missing
    known, belief, thresholds = dict(cues), None, snapshot.thresholds
    try:
        known |= snapshot.cues.detect(text, number)
    except Exception as error:  # noqa: BLE001  fail open: it becomes a fault, here and below
        faults = (*faults, fault_handler.degraded("cue_detector_failed", error).code)
    if late:
        faults = (*faults, late)
    elif snapshot.recogniser is not None:
        try:
            state, belief = snapshot.recogniser.step(state, own, reply, parts)
        except Exception as error:  # noqa: BLE001
            faults = (*faults, fault_handler.degraded("recogniser_failed", error).code)
        if belief is not None and belief.shortfall is not None:
            fault_handler.note(belief.shortfall.code)
            faults = (*faults, belief.shortfall.code)
            thresholds = belief.shortfall.thresholds.stricter(thresholds)
            belief = replace(belief, shortfall=None)
    evidence = Evidence(belief, MappingProxyType(known), thresholds, _NO_LEVELS, faults, nonce, auxiliary=auxiliary)
    return TurnObservation(state, evidence, name, own is not text)


_NO_LEVELS = Evidence(None).levels


def _unseen(placed: PlacedRequest, request: Request, rule: AuxiliaryRule | None) -> TurnObservation:
    """Return what is known where no user speaks: nothing was asked, or all that was is kept elsewhere, not known here.

    What nobody asked needs no recognition to be about no task.
    """
    snapshot, nonce, faults = placed.snapshot, placed.identity.nonce, placed.snapshot.missing
    belief: Belief | None = Belief({}, known=0.0)
    if request.conversation.stored:
        belief, faults = None, (*faults, "thread_unknown")
    evidence = Evidence(
        belief,
        MappingProxyType(dict(placed.cues)),
        snapshot.thresholds,
        faults=faults,
        nonce=nonce,
        auxiliary=rule.name if rule else "",
    )
    return TurnObservation(None, evidence, nonce.encode())


def _revived(seen: TurnObservation, cues: Mapping[str, CueValue], nonce: str) -> TurnObservation:
    """Return an observation that comes from a trace as it was."""
    if seen.evidence.nonce:
        return seen
    return TurnObservation(seen.state, _with_words(seen.evidence, cues, nonce), seen.key)


def _with_words(evidence: Evidence, cues: Mapping[str, CueValue], nonce: str) -> Evidence:
    """Return evidence that comes from a store with what is not kept there: the nonce, and free text of this call."""
    if evidence.nonce:
        return evidence
    shown = {name: cues.get(name) if value == WITHHELD else value for name, value in evidence.cues.items()}
    known = {name: value for name, value in shown.items() if value is not None}
    return replace(evidence, nonce=nonce, cues=MappingProxyType(known))


def _find_auxiliary(placed: PlacedRequest, request: Request, text: str, number: int) -> AuxiliaryRule | None:
    """Return the rule that takes a user turn for a machine's own call, if one does.

    The app's system text speaks for the whole conversation, the limits of a call for a call that is no more than this
    turn. What people can type counts there alone, too, and not in a conversation that is under way; nor does a limit of
    tokens, which an app may set on every call, where the conversation is named and may be longer than what is sent.
    Where a conversation began with either, its first turn stays what it was.
    """
    spoken, kept = request.conversation, placed.pin.faulted
    alone = placed.turn <= 0 and not spoken.continues and len(spoken.turns) <= 1
    began = kept[0][1].auxiliary if not number and 0 in kept else ""
    for rule, typed, of_call in placed.snapshot.rules:
        opens = typed or (placed.identity.opening is None and rule.max_tokens_below is not None)
        if opens and not (rule.name == began or (alone and placed.new)):
            continue
        if of_call and not alone:
            continue
        if rule.max_tokens_below and (spoken.max_tokens is None or spoken.max_tokens >= rule.max_tokens_below):
            continue
        if rule.stream is not None and rule.stream is not request.stream:
            continue
        if rule.user_starts and not text.lstrip().startswith(rule.user_starts):
            continue
        if rule.user_contains and not any(map(text.__contains__, rule.user_contains)):
            continue
        if rule.system_contains and not any(map(spoken.system.__contains__, rule.system_contains)):
            continue
        return rule
    return None
