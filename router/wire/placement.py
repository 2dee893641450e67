"""Which text goes where in a conversation; the same for every wire format.

Providers cache the prefix of a request, so what was sent once must come again byte for byte while a conversation grows.
Decisions are a function of the turns up to theirs, and text is placed as a function of the decisions up to its own:

- head: the mix of the first user turn, once and for all;
- tail of user turn j: what its mix says that was not said before, right before that turn, on every later request too.
  An instruction whose words changed (a cue's value) is said again, and again when they change back;
- volatile text (a clock, a queue length): at the newest user turn only, behind the rest of its tail, never put back.

`on_switch: head` gives this up: the newest mix in the head, and no tails.

The model must know at every turn which part of the conversation it is in. What is in force is what was said last to be
so: settled tasks, and the cases of a shortlist. A turn that settles on nothing, or no deeper than what is in force,
changes nothing. Else its tail opens with a line: with SWITCH_LINE where all of it is new; where it relies on what is
said above, with the names of the tasks. Cases are put up again where the list is another, or has something new; what
was said of them before is pointed at, not repeated.

An instruction whose conditions cease to hold is lifted at the turn at which they do, by a sentence that says so
(`Dropped.lifted`); the instruction counts as not said from there on. So is one whose sentence another said, unless that
one says it still.

What was said as a case was said under a condition. It counts as said for the task of that case, whether as a case again
or once it is sure; for other tasks, and what lies above both, it was never in force.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Literal, NamedTuple

from router.core.compose import MARK, REPEATED, is_frame, is_heading, required_of
from router.core.decision import TASK_GAP, Decision, say
from router.core.policy import ROOT, Level, Piece, lineage, title
from router.core.voice import ABOUT_LINE, ANY_CASE_LINE, SWITCH_LINE

AS_ABOVE = " What is said above for it holds."
"""Ends ABOUT_LINE where there is such text."""

LIFTS = "lifts"
"""The id of a piece that takes back what was said."""

SAID_ABOVE = "- As said above."
"""Stands in a case for those of its lines that were said before."""

_SPEAKING = frozenset({"classified", "shortlisted", "unclassified", "unavailable"})
_NO_NAMES: Mapping[str, str] = MappingProxyType({})
_NONE: Sequence[Piece] = ()


class PlacedTexts(NamedTuple):
    """What goes where. Empty texts are left out.

    The head is for the system text: `general` is what the root says, the same in every conversation, and `special` what
    the tasks of the first user turn say; with `open_case` it ends in a case. `tails` are (user turn, text) pairs in
    order.
    """

    general: str
    special: str
    tails: tuple[tuple[int, str], ...]
    open_case: bool = False

    @property
    def head(self) -> str:
        """The head as one text."""
        return TASK_GAP.join(filter(None, (self.general, self.special)))


def place(
    decisions: Sequence[Decision], on_switch: Literal["tail", "head"], names: Mapping[str, str] = _NO_NAMES
) -> PlacedTexts:
    """Return the texts to add. `decisions[j]` belongs to user turn j, the last one to the newest.

    A blocked decision adds nothing. One that was skipped or bypassed says what is required and no more: that nobody can
    switch off, no client and no user by what they write. `names` are those of tasks.
    """
    if not decisions:
        return PlacedTexts("", "", ())
    if on_switch == "head":
        mix = _spoken(decisions[-1])
        return PlacedTexts(*_parted(mix), (), _is_open(mix))
    if len(decisions) == 1:  # most requests: below, it comes to the same
        mix = decisions[0].mix if decisions[0].outcome in _SPEAKING else _spoken(decisions[0])
        passing = tuple([piece for piece in mix if piece.volatile])
        is_open = bool(decisions[0].shortlist) and _is_open(mix)
        if not passing:
            return PlacedTexts(*_parted(mix), (), is_open)
        if not is_open:
            return PlacedTexts(*_parted([piece for piece in mix if not piece.volatile]), ((0, say(passing)),))
    general = special = ""
    open_case = False
    tails: list[tuple[int, str]] = []
    told = _Told()
    heard: tuple[Sequence[Piece], tuple[str, ...]] = (), ()
    last = len(decisions) - 1
    for j, decision in enumerate(decisions):
        mix = _spoken(decision)
        # A turn that was kept silent is passed over, not taken for a switch: the next one is compared with the turn
        # before it, as if it had not been there.
        if not mix and decision.outcome not in _SPEAKING:
            continue
        # No turn before the last sees anything here that it did not see when it was the last itself, so its tail comes
        # out again byte for byte. What the last one says is noted in vain: none follows that would ask.
        line, fresh, block = "", _NONE, _NONE
        if mix is not heard[0] or decision.tasks != heard[1]:  # else all is as it was
            line, fresh, block = told.hear(decision, mix, names)
            heard = mix, decision.tasks
        if j == 0:
            (general, special), open_case = _parted((*fresh, *block)), bool(block)
            fresh, block = _NONE, _NONE
        if fresh or block or line or j == last:
            text = _join(line, fresh, block, mix if j == last else (), told.open_case)
            if text:
                tails.append((j, text))
    return PlacedTexts(general, special, tuple(tails), open_case)


class _Told:
    """What was said so far, and what of it is in force.

    `plain` are texts by id, `under` those that were said as a case, by its task, `in_words_of` the ids of those whose
    sentence another says, with its id. `tasks` and `listed` are in force,
    and `voiced` says that they have text. `open_case` says that the last words stood in a case.
    """

    __slots__ = ("begun", "in_words_of", "listed", "open_case", "plain", "tasks", "under", "voiced")

    def __init__(self) -> None:
        self.plain: dict[str, str] = {}
        self.under: dict[str, dict[str, str]] = {}
        self.in_words_of: dict[str, str] = {}
        self.tasks: tuple[str, ...] = ()
        self.listed: frozenset[str] = frozenset()
        self.begun = False
        self.voiced = False
        self.open_case = False

    def hear(
        self, decision: Decision, mix: Sequence[Piece], names: Mapping[str, str]
    ) -> tuple[str, Sequence[Piece], Sequence[Piece]]:
        """Return what one turn adds for good: the line that opens it, plain pieces, and cases. It is noted as said."""
        plain, cases = _divided(mix)
        now = tuple([path for path in decision.tasks if path != ROOT])
        listed = frozenset([piece.case for piece in cases if is_heading(piece)])
        moved = bool(now or listed) and not self._covers(now)
        other = moved or (bool(listed) and listed != self.listed)
        # Where nothing else comes into force, what does holds for the tasks that were settled deeper.
        tasks = now if other else self.tasks
        if self.under:
            fresh = [piece for piece in plain if not piece.volatile and not self._holds(piece, tasks)]
        else:
            said = self.plain
            fresh = [piece for piece in plain if said.get(piece.id) != piece.text and not piece.volatile]
        lasting = [piece for piece in cases if not piece.volatile]
        lines = [piece for piece in lasting if not is_frame(piece)]
        new = [piece for piece in lines if not self._holds(piece, (piece.case,))]
        speaks = decision.outcome in _SPEAKING
        lifted = self._lift(decision, plain) if speaks and decision.dropped else ()
        if not speaks:
            if not (fresh or new):
                return "", _NONE, _NONE
            moved = moved and (bool(new) or any(piece.task != ROOT for piece in fresh))
        put_up = bool(new) or (speaks and bool(listed) and other)
        block = (lasting if len(new) == len(lines) else _put_up(lasting, new)) if put_up else _NONE
        line = ""
        if self.begun:
            if moved and now:
                line = self._opening(now if speaks else (), plain, fresh, names)
            if not line and (fresh or lifted) and self.open_case:
                line = ANY_CASE_LINE
        self.begun = True
        if moved or block:
            self.tasks, self.listed = now, listed
            self.voiced = any([piece.task != ROOT and not piece.volatile for piece in mix])
        elif not self.voiced:
            self.voiced = any([piece.task != ROOT for piece in fresh])
        if block or fresh or lifted or line:
            self.open_case = bool(block)
        for piece in fresh:
            self.plain[piece.id] = piece.text
            for told in self.under.values():  # the last word on it
                told.pop(piece.id, None)
        for piece in new:
            self.under.setdefault(piece.case, {})[piece.id] = piece.text
        return line, [*lifted, *fresh] if lifted else fresh, block

    def _lift(self, decision: Decision, plain: Sequence[Piece]) -> Sequence[Piece]:
        """Return the sentences, each once, that take back what was said and does not hold any more."""
        words: dict[str, None] = {}
        for dropped in decision.dropped:
            if dropped.reason.startswith(REPEATED):
                self.in_words_of[dropped.id] = dropped.reason.removeprefix(REPEATED)
            if not dropped.lifted:
                continue
            ids = [dropped.id]
            other = self.in_words_of.pop(dropped.id, "")
            if other and all(piece.id != other for piece in plain):
                ids.append(other)
            said = [told.pop(each, "") for told in (self.plain, *self.under.values()) for each in ids]
            if text := next(filter(None, said), ""):
                words[dropped.lifted.replace("{text}", " ".join(text.removeprefix(MARK).split()))] = None
        return [Piece(LIFTS, ROOT, Level.BRIEF, text, 0) for text in words]

    def _holds(self, piece: Piece, tasks: Collection[str]) -> bool:
        """Say whether a text was said already, plainly or as the case of one of these tasks."""
        texts = {told[piece.id] for path in tasks if piece.id in (told := self.under.get(path, {}))}
        return texts == {piece.text} if texts else self.plain.get(piece.id) == piece.text

    def _covers(self, now: Sequence[str]) -> bool:
        """Say whether settled tasks are those in force, or lie above them."""
        if now == self.tasks or not self.tasks or not now:
            return now == self.tasks
        pairs = [(path, task) for path in now for task in self.tasks if task == path or task.startswith(path + "/")]
        return {path for path, _ in pairs} == {*now} and {task for _, task in pairs} == {*self.tasks}

    def _opening(
        self, now: Collection[str], plain: Sequence[Piece], fresh: Sequence[Piece], names: Mapping[str, str]
    ) -> str:
        """Return the line that opens a tail at which other tasks come into force, `now` being those to be named."""
        named: list[str] = []
        above = False
        new = {piece.id for piece in fresh}
        for path in now:
            own = [piece.id for piece in plain if piece.task == path and not piece.volatile]
            own = own or [piece.id for piece in plain if piece.task in lineage(path)[1:] and not piece.volatile]
            relies = not new.issuperset(own)
            above = above or relies
            # One that has nothing to say is named where else what is in force would seem to go on.
            if relies or (self.voiced and not own):
                named.append(names.get(path) or title(path))
        if named:
            return ABOUT_LINE.format(names="; ".join(named)) + (AS_ABOVE if above else "")
        return SWITCH_LINE if fresh else ""


def _join(line: str, fresh: Sequence[Piece], block: Sequence[Piece], mix: Sequence[Piece], open_case: bool) -> str:
    """Return a tail: what is said for good, and behind it what is passing in `mix`."""
    plain, cases = _divided(mix)
    passing = [piece for piece in plain if piece.volatile]
    held = [piece for piece in cases if piece.volatile]
    if not open_case:
        fresh, passing = [*fresh, *passing], []
    texts = [_lines(line, fresh), say(tuple(block))]
    if passing:
        texts.append(_lines(ANY_CASE_LINE, passing))
    if held:
        texts.append(say(tuple(_put_up(cases, held))))
    return TASK_GAP.join(filter(None, texts))


def _lines(line: str, pieces: Sequence[Piece]) -> str:
    return "\n".join(filter(None, (line, say(tuple(pieces)))))


def _is_open(mix: Sequence[Piece]) -> bool:
    """Say whether a mix has cases: they are its end."""
    return bool(mix) and mix[-1].case != ""


def _divided(mix: Sequence[Piece]) -> tuple[Sequence[Piece], Sequence[Piece]]:
    """Return what a mix says plainly, and its cases."""
    if not _is_open(mix):
        return mix, ()
    return [piece for piece in mix if not piece.case], [piece for piece in mix if piece.case]


def _put_up(cases: Sequence[Piece], new: Collection[Piece]) -> list[Piece]:
    """Return the cases with those lines that are new, each with a line that points above in place of its others."""
    fresh = set(map(id, new))  # they are some of the cases themselves
    old = {piece.case for piece in cases if not is_frame(piece) and id(piece) not in fresh}
    block: list[Piece] = []
    for piece in cases:
        if is_frame(piece) or id(piece) in fresh:
            block.append(piece)
        if is_heading(piece) and piece.case in old:
            block.append(replace(piece, text=SAID_ABOVE))
    return block


def _parted(mix: Sequence[Piece]) -> tuple[str, str]:
    """Return what the root says, which comes first, and what is said after it."""
    general = 0
    for piece in mix:
        if piece.task != ROOT or piece.case:
            break
        general += 1
    return say(tuple(mix[:general])), say(tuple(mix[general:]))


def _spoken(decision: Decision) -> tuple[Piece, ...]:
    """Return what of a decision's mix is said, given its outcome."""
    if decision.outcome in _SPEAKING:
        return decision.mix
    if decision.outcome in ("skipped", "bypassed"):
        return required_of(decision.mix)
    return ()
