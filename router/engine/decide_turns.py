"""Decide at every user turn of a conversation, and say what the conversation is given by it.

Clients resend their history without our text, so what was decided about earlier turns is decided again. It comes out
the same, because all that it depends on is in the words or kept by the conversation's pin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from router.core.compose import required_of
from router.core.decide import decide
from router.core.decision import Decision, Reason, nothing
from router.core.errors import Degraded, RequestError
from router.core.evidence import Evidence
from router.core.levels import NOBODY, Draw, LevelQuery, Levels, usual_level
from router.core.policy import ROOT, Policy
from router.engine.guarding import FaultHandler
from router.engine.observe import Observed, PlacedRequest, TurnObservation
from router.engine.pins import GivenLevel
from router.engine.snapshot import Snapshot


@dataclass(frozen=True, slots=True, eq=False)
class _TurnDecision:
    """What was decided at one user turn, and the evidence, levels included, from which it follows again."""

    evidence: Evidence
    decision: Decision


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """What was decided at each user turn, and what the conversation is given by it.

    `given` is the level with which the answer counts for tuning. `moves` and `drawn` are what the conversation has
    from here on (`Pin`).
    """

    decisions: tuple[Decision, ...]
    evidence: Evidence
    given: GivenLevel | None
    moves: Mapping[str, int] | None
    drawn: bool


def decide_turns(placed: PlacedRequest, observed: Observed, model: str, fault_handler: FaultHandler) -> Decided:
    """Return the decision at every user turn, and what the conversation is given on the way.

    `model` is the one that the client asks for.
    """
    memo, moves, drawn, tuned = placed.snapshot.decisions, placed.pin.moves, placed.pin.drawn, placed.tuned
    asked = LevelQuery(placed.identity.unit, model=model)
    decisions: list[Decision] = []
    evidence, draw = observed.turns[-1].evidence, None
    fresh: set[str] = set()  # tasks at which the conversation is given a level for the first time
    for seen in observed.turns:
        found: _TurnDecision | None = memo.get(seen)
        # Conversations that begin alike share what is observed, but may have been given other moves.
        if found is None or not _stands(found, moves):
            found = _decide_turn(
                fault_handler, placed.snapshot, seen, tuned, asked._replace(drawn=drawn, moves=moves or {})
            )
            decision = found.decision
            if tuned is not None and moves is not None and decision.moves:
                task = decision.paths[0].path
                if task not in moves:
                    fresh.add(task)
                # Shared with the decision, and so among the conversations that are given the same, as most are.
                moves = {**moves, **decision.moves} if moves.keys() - decision.moves else decision.moves
                draw = decision.draw or draw
                drawn = drawn or decision.draw is not None
        if seen.evidence.faults == placed.snapshot.missing:
            memo.keep(seen, found)
        decisions.append(found.decision)
        evidence = found.evidence
    # Only where a level is new does the answer count, else each turn of a long talk would count it again.
    given = None
    if tuned is not None and (draw is not None or (fresh and decisions[-1].paths[0].path in fresh)):
        given = _given(placed.snapshot.policy, decisions[-1], draw, tuned, asked, evidence)
    return Decided(tuple(decisions), evidence, given, moves, drawn)


def _decide_turn(
    fault_handler: FaultHandler, snapshot: Snapshot, seen: TurnObservation, tuned: Levels | None, asked: LevelQuery
) -> _TurnDecision:
    evidence = seen.evidence
    if tuned is not None or evidence.levels:
        evidence = replace(evidence, levels={}, tuned=tuned, asked=asked)
    decision = _decide_or_less(fault_handler, snapshot, evidence)
    if tuned is not None:
        # From here on it follows from the levels that were given, however the dials turn.
        evidence = replace(evidence, levels=decision.levels, tuned=None, asked=NOBODY)
    return _TurnDecision(evidence, decision)


def _decide_or_less(fault_handler: FaultHandler, snapshot: Snapshot, evidence: Evidence) -> Decision:
    """Return the decision; where deciding fails, that without recognition, and where this fails too, nothing."""
    policy = snapshot.policy
    try:
        return decide(policy, evidence, snapshot.compose)
    except Exception as error:  # noqa: BLE001  fail open
        fault = fault_handler.degraded("decide_failed", error)
        general = replace(evidence, belief=None, faults=(*evidence.faults, fault.code))
    try:
        return fault_handler.run("decide_failed", decide, policy, general, snapshot.compose)
    except Degraded as fault:
        if any(instruction.required for instruction in policy.tasks[ROOT].instructions):
            raise blocked(fault) from fault
        return nothing(policy.revision, "bypassed", Reason(fault.code, str(fault)))


def with_notes(decided: Decided, notes: tuple[tuple[str, str], ...]) -> Decided:
    """Return what was decided with the notes among its reasons."""
    *before, newest = decided.decisions
    reasons = (*newest.reasons, *(Reason(*note) for note in notes))
    return replace(decided, decisions=(*before, replace(newest, reasons=reasons)))


def required_only(decision: Decision) -> Decision:
    """What a client cannot switch off."""
    mix = required_of(decision.mix)
    return replace(decision, outcome="bypassed", mix=mix, reasons=(Reason("off", "switched off by the client"),))


def blocked(fault: Degraded) -> RequestError:
    """Return the error for a request that may not go out without its required instructions."""
    return RequestError(
        f"The request was not sent: instructions that it requires could not be added ({fault.code}).",
        status=503,
        code="required_instructions_unavailable",
        kind="server_error",
    )


def _stands(found: _TurnDecision, held: Mapping[str, int] | None) -> bool:
    """Say whether a decision that was made before was made with the moves that the conversation has."""
    if held is None:
        return not found.evidence.levels
    if not found.evidence.levels:  # nothing was tuned then
        return False
    return all(held.get(path) == move for path, move in found.decision.moves.items())


def _given(
    policy: Policy, decision: Decision, drawn: Draw | None, tuned: Levels, asked: LevelQuery, evidence: Evidence
) -> GivenLevel | None:
    task = drawn.task if drawn else decision.paths[0].path
    move = decision.moves.get(task)
    if move is None or task == ROOT:
        return None
    model, level = decision.model or asked.model, usual_level(policy, task, move)
    complexity = str(evidence.cues.get("complexity", ""))
    return GivenLevel(task, complexity, model, level, drawn, tuned.held_out(asked.unit))
