"""Which text goes where in a conversation; the same for every wire format.

Providers cache the prefix of a request, so what was sent once must come again byte for byte while a conversation grows.
Decisions are a function of the turns up to theirs, and text is placed as a function of the decisions up to its own:

- head: the mix of the first user turn, once and for all;
- tail of user turn j: what its mix says that was not said before, right before that turn, on every later request too.
  An instruction whose words changed (a cue's value) is said again, and again when they change back;
- volatile text (a clock, a queue length): at the newest user turn only, behind the rest of its tail, never put back.

`on_switch: head` gives this up: the newest mix in the head, and no tails.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from router.core.decision import TASK_GAP, Decision, say
from router.core.policy import ROOT, Piece

SWITCH_LINE = "For this part of the conversation:"
"""Opens a tail when the settled task is another one than at the user turn before.

It names no direction: a tail stands before its user turn or behind it, as the format demands.
"""

BLOCK_OPEN, BLOCK_CLOSE = "<instructions>\n", "\n</instructions>\n\n"
"""Mark our text where it must stand inside a user turn."""

_SPEAKING = frozenset({"classified", "unclassified", "unavailable"})


class PlacedTexts(NamedTuple):
    """What goes where. Empty texts are left out.

    The head is for the system text: `general` is what the root says, the same in every conversation, and `special` what
    the tasks of the first user turn say. `tails` are (user turn, text) pairs in order.
    """

    general: str
    special: str
    tails: tuple[tuple[int, str], ...]

    @property
    def head(self) -> str:
        """The head as one text."""
        return TASK_GAP.join(filter(None, (self.general, self.special)))


def place(decisions: Sequence[Decision], on_switch: Literal["tail", "head"]) -> PlacedTexts:
    """Return the texts to add. `decisions[j]` belongs to user turn j, the last one to the newest.

    A blocked decision adds nothing. One that was skipped or bypassed says what is required and no more: that nobody can
    switch off, no client and no user by what they write.
    """
    if not decisions:
        return PlacedTexts("", "", ())
    if on_switch == "head":
        return PlacedTexts(*_parted(_spoken(decisions[-1])), ())
    general = special = ""
    tails: list[tuple[int, str]] = []
    said: dict[str, str] = {}
    before: Decision | None = None
    last = len(decisions) - 1
    for j, decision in enumerate(decisions):
        mix = _spoken(decision)
        # A turn that was kept silent is passed over, not taken for a switch: the next one is compared with the turn
        # before it, as if it had not been there.
        if not mix and decision.outcome not in _SPEAKING:
            continue
        if said:
            fresh = [p for p in mix if said.get(p.id) != p.text and not p.volatile]
        else:
            fresh = [p for p in mix if not p.volatile]
        opening = ""
        # No turn before the last sees anything here that it did not see when it was the last itself, so its tail comes
        # out again byte for byte. What the last one says need not be noted: none follows that would ask.
        if j < last:
            said.update([(p.id, p.text) for p in fresh])
        if j == 0:
            (general, special), fresh = _parted(fresh), []
        elif fresh and before is not None and before.tasks != decision.tasks:
            opening = SWITCH_LINE + "\n"
        before = decision
        # Behind the rest of the tail, which stays as it is when this is gone from the next request.
        if j == last:
            fresh += [p for p in mix if p.volatile]
        if fresh:
            tails.append((j, opening + say(tuple(fresh))))
    return PlacedTexts(general, special, tuple(tails))


def _parted(mix: Sequence[Piece]) -> tuple[str, str]:
    """Return what the root says, which comes first, and what is said after it."""
    general = 0
    for piece in mix:
        if piece.task != ROOT:
            break
        general += 1
    return say(tuple(mix[:general])), say(tuple(mix[general:]))


def _spoken(decision: Decision) -> tuple[Piece, ...]:
    """Return what of a decision's mix is said, given its outcome."""
    if decision.outcome in _SPEAKING:
        return decision.mix
    if decision.outcome in ("skipped", "bypassed"):
        return tuple(piece for piece in decision.mix if piece.required)
    return ()


def in_block(text: str) -> str:
    """Return our text as the marked block that stands at the top of a user turn.

    >>> in_block("Be brief.")
    '<instructions>\\nBe brief.\\n</instructions>\\n\\n'
    """
    return BLOCK_OPEN + text + BLOCK_CLOSE
