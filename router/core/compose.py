"""Compose the mix: the instructions of the settled lineages, general first, then those of the cases, within the budget.

Order: branch by branch, what branches share before them, so that every ancestor speaks before its descendants and what
belongs to one request stands together; within a task required, brief, guided, detailed. After the root come the cues
that the pack wants said; then the soft line where recognition was unsure; last, the cases of a shortlist, likeliest
first.

A sentence is said once. Where tasks share one it stands at the first, and goes for the budget no sooner than any of
them would let it. A case is headed by what the customer wants and says all that lies on its task's lineage and is not
said plainly. A text that two cases share stands in both, for a model is told to follow one of them.

Over budget, text goes in a fixed order (`_expendable`); required text of settled tasks never goes, and that of a case
only with all of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from router.core.decision import Dropped, Settlement
from router.core.evidence import Evidence, Likely
from router.core.levels import speaking
from router.core.policy import (
    ROOT,
    Cue,
    CueValue,
    Instruction,
    Level,
    Piece,
    Policy,
    Task,
    count_tokens,
    depth,
    title,
)


@dataclass(frozen=True, slots=True)
class Mix:
    """The result of composing: what is said, how many tokens that takes, what is not said and why, at which levels."""

    pieces: tuple[Piece, ...]
    dropped: tuple[Dropped, ...]
    levels: Mapping[str, Level]
    tokens: int


CASES = (
    "The message may be one of the cases below. Follow the lines of the case that fits, and of no other. "
    "If none fits, answer without them."
)
"""Opens the cases. One sentence for all of them: a small model followed the right task's rules as often as where they
stood alone, and other tasks' rules no oftener; with a condition before each, it did so half as often again."""

OPENING = "case:opening"
"""The id of the sentence that opens the cases, and what it has for a case: it stands apart from plain text."""

NOTHING_MORE = "- Nothing beyond the above."
"""What a case says whose task has nothing to say: left out, the others would seem likelier than they are."""

NOW_KNOWN, NO_LONGER = "The {cue} is now known{word}.", 'No longer holds: "{text}"'
"""Take back, at a later turn, what was said under conditions that hold no more. They add, for what was sent stays as it
was. The first says the fact alone, which is enough where the fact was asked for; the second repeats what goes."""


def compose(
    policy: Policy,
    found: Settlement,
    evidence: Evidence,
    levels: Mapping[str, Level],
    possible: tuple[str, ...] = (),
) -> Mix:
    """Return the mix for what is settled and listed, every task that speaks at its level in `levels`.

    `possible` names the tasks of the soft line, if there is to be one.
    """
    pieces: list[Piece] = []
    dropped: list[Dropped] = []
    settled = [path for path, _, _ in found.paths]
    plain = speaking(policy, settled)
    for path in plain:
        pieces += _lines(policy, path, levels[path], evidence.cues, dropped)
        if path == ROOT:
            pieces += _cue_lines(policy.cues, evidence)
    if len({piece.text.removeprefix(MARK) for piece in pieces}) < len(pieces):
        pieces = _said_once(pieces, dropped)
    if possible:
        pieces.append(_soft_line(policy, settled[0], possible))
    if found.shortlist:
        said = {piece.text.removeprefix(MARK): piece for piece in pieces if _outlasts_cases(piece)}
        pieces += _cases(policy, found.shortlist, plain, levels, evidence.cues, said, dropped)
    kept = _within_budget(pieces, policy.settings.budget_tokens, set(settled), dropped)
    # Two cases may share an ancestor, and then what it does not say.
    return Mix(tuple(kept), tuple(dict.fromkeys(dropped)), levels, sum(piece.tokens for piece in kept))


def _lines(
    policy: Policy, path: str, level: Level, cues: Mapping[str, CueValue], dropped: list[Dropped]
) -> Iterator[Piece]:
    """Yield what a task says at a level; what its conditions forbid is dropped."""
    for instruction in policy.tasks[path].instructions:
        if instruction.level > level or level is Level.OFF:
            continue
        reason = _unfit(instruction, cues)
        if reason:
            dropped.append(Dropped(instruction.id, reason, _lifts(policy.cues, instruction, reason, cues)))
        else:
            yield _say(instruction, cues)


MARK = "- "
"""Begins an instruction that is an item of a list."""

REPEATED = "repeated:"
"""Begins why an instruction is dropped whose sentence another one says, and is followed by its id."""


def _said_once(pieces: list[Piece], dropped: list[Dropped]) -> list[Piece]:
    """Return plain pieces without those whose sentence another one says.

    What lasts may not depend on what is said only once, so that goes first, and gives nothing of its own.
    """
    kept = dict(enumerate(pieces))
    first: dict[str, int] = {}
    for at in sorted(kept, key=lambda at: pieces[at].volatile):
        piece = pieces[at]
        place = first.setdefault(piece.text.removeprefix(MARK), at)
        if place == at:
            continue
        other = kept[place]
        level, required = min(other.level, piece.level), other.required or piece.required
        if not piece.volatile or other.volatile:
            kept[place] = replace(other, level=level, required=required)
        elif (level, required) != (other.level, other.required):
            continue
        dropped.append(Dropped(kept.pop(at).id, REPEATED + other.id))
    return [kept[at] for at in sorted(kept)]


def _outlasts_cases(piece: Piece) -> bool:
    """Say whether a plain piece stays for as long as any case does."""
    return not piece.volatile and (piece.required or piece.level <= Level.BRIEF)


def _cases(
    policy: Policy,
    shortlist: tuple[Likely, ...],
    plain: Collection[str],
    levels: Mapping[str, Level],
    cues: Mapping[str, CueValue],
    said: Mapping[str, Piece],
    dropped: list[Dropped],
) -> Iterator[Piece]:
    """Yield the sentence that opens the cases, and each case with its heading; nothing where none could say more.

    `said` are the sentences that are said plainly whatever becomes of the cases.
    """
    cases = {
        path: [policy.tasks[above] for above in policy.lineages[path] if above not in plain] for path, _ in shortlist
    }
    if not any(_speaks(task, levels[task.path]) for tasks in cases.values() for task in tasks):
        return
    yield _OPENING
    for path, tasks in cases.items():
        yield _frame(_heading_id(path), path, case_heading(policy.tasks[path]))
        lines = [piece for task in tasks for piece in _lines(policy, task.path, levels[task.path], cues, dropped)]
        lines = _said_once(lines, dropped)
        for piece in list(lines):
            plainly = said.get(piece.text.removeprefix(MARK))
            if plainly and plainly.required >= piece.required:
                lines.remove(piece)
                dropped.append(Dropped(piece.id, REPEATED + plainly.id))
        if all(piece.volatile for piece in lines):
            yield _frame(_nothing_id(path), path, NOTHING_MORE)
        yield from (_within_case(piece, path) for piece in lines)


def case_heading(task: Task) -> str:
    """Return the first line of a task's case."""
    return f"Case: {task.case}"


def _speaks(task: Task, level: Level) -> bool:
    """Say whether a task has something to say at a level, under some cues at least."""
    return level is not Level.OFF and any(instruction.level <= level for instruction in task.instructions)


@lru_cache(maxsize=4096)
def _frame(id: str, path: str, text: str) -> Piece:
    return Piece(id, path, Level.BRIEF, text, count_tokens(text) + 1, case=path)


@lru_cache(maxsize=4096)
def _within_case(piece: Piece, path: str) -> Piece:
    return replace(piece, case=path)


_HEADS = ":heading"


def _heading_id(path: str) -> str:
    """Return the id of the piece that opens the case of a task."""
    return f"case:{path}{_HEADS}"


def _nothing_id(path: str) -> str:
    return f"case:{path}:nothing"


_OPENING = Piece(OPENING, ROOT, Level.BRIEF, CASES, count_tokens(CASES) + 1, case=OPENING)


def is_frame(piece: Piece) -> bool:
    """Say whether a piece is no instruction but part of the frame in which cases stand."""
    return piece.id.startswith("case:")  # instructions are named by their path, or by the pack, without a colon


def is_heading(piece: Piece) -> bool:
    """Say whether a piece is what opens one case."""
    return is_frame(piece) and piece.id.endswith(_HEADS)


def said_as_cases(shortlist: tuple[Likely, ...], mix: Mix) -> tuple[Likely, ...]:
    """Return the tasks of a shortlist whose cases were not dropped for the budget."""
    dropped = {dropped.id for dropped in mix.dropped}
    return tuple(likely for likely in shortlist if _heading_id(likely.path) not in dropped)


def required_of(mix: Sequence[Piece]) -> tuple[Piece, ...]:
    """Return what of a mix nobody can switch off; that of cases with their frame, so that its condition is said, too.

    All cases keep their headings: one alone would be taken for what fits.
    """
    kept = [piece for piece in mix if piece.required]
    if not any(piece.case for piece in kept):
        return tuple(kept)
    speaking = {piece.case for piece in kept if not piece.volatile}
    kept = []
    for piece in mix:
        if piece.required or piece.id == OPENING or is_heading(piece):
            kept.append(piece)
        if is_heading(piece) and piece.case not in speaking:
            kept.append(_frame(_nothing_id(piece.case), piece.case, NOTHING_MORE))
    return tuple(kept)


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


def _lifts(declared: Mapping[str, Cue], instruction: Instruction, reason: str, cues: Mapping[str, CueValue]) -> str:
    """Return the words that lift an instruction whose conditions do not hold; `{text}` is what was said of it.

    That a value is known says all where it was asked for; where a cue is said anyway, that is its word. Of what depends
    on more than that the text itself is taken back: the model never saw the condition. A cue without a value takes back
    nothing that holds `when` it has one: not every request of a conversation tells all cues.
    """
    kind, _, name = reason.partition(":")
    if kind == "when":
        return NO_LONGER if name in cues and not instruction.volatile else ""
    if kind != "unless":
        return ""
    said = []
    for name in dict.fromkeys(clause.cue for clause in instruction.unless):
        cue, value = declared[name], cues.get(name)
        if value is None or isinstance(value, bool):
            return NO_LONGER
        if not cue.say:
            word = "" if cue.kind == "text" else f": {cue_word(value)}"  # free text stands nowhere but in its marks
            said.append(NOW_KNOWN.format(cue=title(name), word=word))
    return " ".join(said)


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
    """Drop pieces until the rest fits, appending to `dropped`; required pieces of settled tasks stay in any case.

    What lasts must fit by itself: it may not depend on what is said only once, or it would change on the next turn.
    What is said once gets what is left.
    """
    if sum(piece.tokens for piece in pieces) <= budget:
        return pieces
    kept = dict(enumerate(pieces))
    for once in (False, True):
        excess = sum(piece.tokens for piece in kept.values() if once or not piece.volatile) - budget
        for group in _expendable(pieces, settled, once):
            if excess <= 0:
                break
            for piece in (kept.pop(index) for index in group if index in kept):
                dropped.append(Dropped(piece.id, "budget"))
                excess -= piece.tokens if once or not piece.volatile else 0
    return list(kept.values())


def _expendable(pieces: list[Piece], settled: set[str], once: bool) -> list[list[int]]:
    """Return, in their order, the pieces that may go, by number; those that only go together in one entry.

    First detailed text of the ancestors, then guided of the ancestors, then those of the tasks: of the cases, the
    least likely first, then of what is settled. Within each step the most general task goes first and, in a task, what
    was written last. Then whole cases, the least likely first, and the last two together: what is brief in a case goes
    with it alone, and so does its first line. Brief text of what is said plainly goes only when nothing else is left,
    the most specific first.
    """
    cases = list(dict.fromkeys(piece.case for piece in pieces if piece.case and piece.case != OPENING))
    place = {case: -number for number, case in enumerate(cases, 1)}
    ranked: list[tuple[tuple[int, int, int, int], list[int]]] = []
    begun: set[str] = set()
    for index, piece in enumerate(pieces):
        opens = piece.case not in begun and not piece.volatile and not is_frame(piece)
        if opens:
            begun.add(piece.case)
        if piece.required or piece.volatile is not once:
            continue
        if piece.level <= Level.BRIEF:
            rank = (6, 0, -depth(piece.task), -index)
        else:
            of_task = bool(piece.case) or piece.task in settled
            rank = (2 * of_task + (piece.level is Level.GUIDED), place.get(piece.case, 0), depth(piece.task), -index)
        if once or not piece.case or (piece.level > Level.BRIEF and not opens):
            ranked.append((rank, [index]))
    if cases and not once:
        ranked += [((4, place[case], 0, 0), _numbers(pieces, {case})) for case in cases[2:]]
        ranked.append(((5, 0, 0, 0), _numbers(pieces, {OPENING, *cases[:2]})))
    return [group for _, group in sorted(ranked)]


def _numbers(pieces: list[Piece], cases: Collection[str]) -> list[int]:
    return [index for index, piece in enumerate(pieces) if piece.case in cases]
