"""Compose the mix: the instructions of the settled lineages, general first, within the budget.

Order: by depth of the task, so that every ancestor speaks before its descendants; within a task required, brief,
guided, detailed. After the root come the cues that the pack wants said; last, the soft line where recognition was
unsure.

Over budget, text goes in a fixed order (`_expendable`); required text never goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from router.core.decision import Dropped, Settled
from router.core.evidence import Evidence
from router.core.policy import ROOT, Cue, CueValue, Instruction, Level, Piece, Policy, count_tokens, depth


@dataclass(frozen=True, slots=True)
class Mix:
    """The result of composing: what is said, how many tokens that takes, what is not said and why, at which levels."""

    pieces: tuple[Piece, ...]
    dropped: tuple[Dropped, ...]
    levels: Mapping[str, Level]
    tokens: int


def compose(
    policy: Policy,
    paths: tuple[Settled, ...],
    evidence: Evidence,
    levels: Mapping[str, Level],
    possible: tuple[str, ...] = (),
) -> Mix:
    """Return the mix for the settled paths, every task that speaks at its level in `levels`.

    `possible` names the tasks of the soft line, if there is to be one.
    """
    pieces: list[Piece] = []
    dropped: list[Dropped] = []
    for path, level in levels.items():
        for instruction in policy.tasks[path].instructions:
            if instruction.level > level or level is Level.OFF:
                continue
            reason = _unfit(instruction, evidence.cues)
            if reason:
                dropped.append(Dropped(instruction.id, reason))
            else:
                pieces.append(_say(instruction, evidence.cues))
        if path == ROOT:
            pieces += _cue_lines(policy.cues, evidence)
    if possible:
        pieces.append(_soft_line(policy, paths[0].path, possible))
    kept = _within_budget(pieces, policy.settings.budget_tokens, {settled.path for settled in paths}, dropped)
    return Mix(tuple(kept), tuple(dropped), levels, sum(piece.tokens for piece in kept))


def _unfit(instruction: Instruction, cues: Mapping[str, CueValue]) -> str:
    """Return why an instruction must not be said under these cues, or the empty string."""
    for clause in instruction.when:
        if not clause.holds(cues):
            return f"when:{clause.cue}"
    if instruction.unless and all(clause.holds(cues) for clause in instruction.unless):
        return f"unless:{instruction.unless[0].cue}"
    for cue in instruction.cues:
        if cue not in cues:
            return f"cue_missing:{cue}"
    return ""


def _say(instruction: Instruction, cues: Mapping[str, CueValue]) -> Piece:
    if not instruction.cues:
        return instruction.piece
    text = instruction.text
    for cue in instruction.cues:
        text = text.replace("{" + cue + "}", cue_word(cues[cue]))
    return replace(instruction.piece, text=text, tokens=count_tokens(text) + 1)


def cue_word(value: CueValue) -> str:
    """Return a cue's value as it stands in a sentence.

    >>> cue_word(True), cue_word(2.50), cue_word("pro")
    ('true', '2.5', 'pro')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cue_lines(declared: Mapping[str, Cue], evidence: Evidence) -> Iterator[Piece]:
    for name, cue in declared.items():
        value = evidence.cues.get(name)
        if not cue.say or value is None:
            continue
        word = cue_word(value)
        if cue.kind == "text":
            # Free text is data, never an instruction: the mark around it cannot be guessed by whoever wrote the text.
            word = f"<data-{evidence.nonce}>{word}</data-{evidence.nonce}>"
        text = cue.say.replace("{value}", word)
        yield Piece(f"cue:{name}", ROOT, Level.BRIEF, text, count_tokens(text) + 1, volatile=cue.volatile)


def _soft_line(policy: Policy, path: str, possible: tuple[str, ...]) -> Piece:
    names = " or ".join(policy.tasks[p].title for p in possible)
    text = f"This may be about {names}; ask if that is unclear."
    return Piece("soft", path, Level.BRIEF, text, count_tokens(text) + 1)


def _within_budget(pieces: list[Piece], budget: int, settled: set[str], dropped: list[Dropped]) -> list[Piece]:
    """Drop pieces until the rest fits, appending to `dropped`; required pieces stay whatever they cost.

    What lasts must fit by itself: it may not depend on what is said only once, or it would change on the next turn.
    What is said once gets what is left.
    """
    over = sum(piece.tokens for piece in pieces) - budget
    if over <= 0:
        return pieces
    gone: set[int] = set()
    once = sum(piece.tokens for piece in pieces if piece.volatile)
    for volatile, excess in ((False, over - once), (True, over)):
        excess -= sum(pieces[index].tokens for index in gone)
        for index in _expendable(pieces, settled, volatile):
            if excess <= 0:
                break
            gone.add(index)
            excess -= pieces[index].tokens
            dropped.append(Dropped(pieces[index].id, "budget"))
    return [piece for index, piece in enumerate(pieces) if index not in gone]


def _expendable(pieces: list[Piece], settled: set[str], volatile: bool) -> list[int]:
    """Order the pieces that may go: detailed of the ancestors, guided of the ancestors, then those of the tasks.

    Within each step the most general task goes first and, in a task, what was written last. Brief text goes only when
    nothing else is left, the most specific first.
    """

    def rank(index: int) -> tuple[int, int, int]:
        piece = pieces[index]
        place = depth(piece.task)
        if piece.level <= Level.BRIEF:
            return (4, -place, -index)
        return (2 * (piece.task in settled) + (piece.level is Level.GUIDED), place, -index)

    may_go = (i for i, piece in enumerate(pieces) if piece.volatile is volatile and not piece.required)
    return sorted(may_go, key=rank)
