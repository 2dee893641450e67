"""What a conversation keeps: its revision, the cues of each turn at which they changed, and the levels it was given.

Clients resend history without our text, so earlier decisions are made again on every call. They come out the same
because whatever they depended on is either in the messages or pinned here. Requests find pins in memory alone; what
changed is handed out by `Pins.changed` to be stored, and taken back by `Pins.restore` after a restart.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from router.core.evidence import WITHHELD, Evidence, withhold
from router.core.levels import USUAL, Draw, start_level
from router.core.policy import CueValue, Level, Policy
from router.core.ports import RecogniserState
from router.core.store_ports import PinRecord
from router.engine.identity import OF, Opening
from router.engine.named_words import NamedWords

PINS_KEPT = 100_000
"""Conversations remembered at most; a pin is about 500 bytes."""

PINS_ALIKE = 256
"""Conversations without a name, and with the same beginning, that are remembered at most."""

STORED_AGAIN_S = 60.0
"""A pin that is only used is stored again after so long: what a restart can cost of its time to live."""


class _Mark(NamedTuple):
    """What tells a pin from its stored record."""

    revision: str
    cues: int
    faulted: int
    moves: int
    answer: str
    seen_s: float


UNSTORED = _Mark("", 0, 0, 0, "", 0.0)


class GivenLevel(NamedTuple):
    """The level that a conversation was given at a task when it first settled there, and what drew it, if anything."""

    task: str
    complexity: str
    model: str
    level: Level
    draw: Draw | None
    holdout: bool


Timeline: TypeAlias = tuple[tuple[int, Mapping[str, CueValue]], ...]
"""(turn, cues) where the cues of a conversation changed, in rising order of turn."""


@dataclass(slots=True)
class Pin:
    """What one conversation keeps. It changes when a request has been decided, in one place (`RequestPreparer.keep`).

    Until then requests only read, so whatever it holds is replaced, never written to. `cues` says from which turn on
    which cues held. `faulted` keeps the state and the evidence of turns at which something was missing: they must not
    be gathered anew, better, on the next call, or the text sent earlier would change. It keeps that of a first turn,
    too, that was taken for a machine's own call by what people can type. `began_s` and `seen_s` are seconds of the wall
    clock; a pin is void when it was not used for `idle_s`. `first` tells a stored one from others under its key, which
    differ in the cues of their first turn and only there for good (`name_pin`). `moment` holds the passing cues of the
    newest user turn, `words` the user's own words where the client names them (`named_words`); neither is stored.
    `moves` are what it was given by task (`core.levels`), None where it began while nothing was tuned; `drawn` says
    that a trial drew for it. `stored` is what of it was last stored (`mark`). Where it has no name, `answer` is the
    hash of the first answer to it, "" while that is not known; `heard` works it out, when it is first asked for.
    """

    revision: str
    began_s: float
    seen_s: float
    idle_s: float
    cues: Timeline
    faulted: Mapping[int, tuple[RecogniserState | None, Evidence]] = field(default_factory=dict)
    first: str = ""
    moment: tuple[int, Mapping[str, CueValue]] = (-1, MappingProxyType({}))
    words: NamedWords | None = None
    moves: Mapping[str, int] | None = None
    drawn: bool = False
    stored: _Mark = UNSTORED
    conversation: str = ""
    answer: str = ""
    heard: Callable[[], str] | None = None

    @property
    def mark(self) -> _Mark:
        """What tells a pin from its stored record: the revision, how much it holds of each kind, and the time."""
        moves, answer = len(self.moves or ()), self.known_answer()
        return _Mark(self.revision, len(self.cues), len(self.faulted), moves, answer, self.seen_s)

    def known_answer(self) -> str:
        """Return `answer`, from what was heard if need be."""
        heard = self.heard
        if heard is not None:  # two threads may ask at once: they find the same
            self.answer = heard()
            self.heard = None
        return self.answer

    def shown(self, values: Mapping[str, CueValue]) -> Timeline:
        """Return the cues with this call's free text where a pin that was stored has none."""
        if not self.first:
            return self.cues
        shown = []
        for turn, kept in self.cues:
            if WITHHELD in kept.values():
                kept = {name: values.get(name, value) if value == WITHHELD else value for name, value in kept.items()}
            shown.append((turn, kept))
        return tuple(shown)

    def hold(self, shown: Timeline, turn: int, values: Mapping[str, CueValue]) -> None:
        """Keep with which cues user turn `turn` was decided, `shown` being those before.

        Where others held before, these hold from here on, and what was kept of later turns is void.
        """
        if cues_at(shown, turn) == values:
            self.cues = shown
        else:
            before = [entry for number, entry in enumerate(shown) if not number or entry[0] < turn]
            self.cues = (*before, (turn, values))
            self.stored = UNSTORED


def cues_at(timeline: Timeline, turn: int) -> Mapping[str, CueValue]:
    """Return the cues that held at a user turn."""
    found = timeline[0][1]
    for at, values in timeline:
        if at > turn:
            break
        found = values
    return found


class Pins:
    """The pins by policy and conversation, or beginning, forgotten after their idle time or when there are too many.

    Clients that do not name their conversations may have several that begin alike ("hi"). These share a key, and each
    keeps a pin of its own: a request that goes on belongs to the pin whose first answer is its own, and whose cues are.
    """

    def __init__(self, limit: int = PINS_KEPT) -> None:
        self._pins: OrderedDict[tuple[str, str], list[Pin]] = OrderedDict()
        self._limit = limit
        self._held = 0
        self._used: dict[int, tuple[str, str, Pin]] = {}

    def find(
        self,
        policy: str,
        conversation: str,
        turn: int,
        cues: Mapping[str, CueValue],
        now_s: float,
        *,
        answering: bool = True,
        opening: Opening | None = None,
    ) -> Pin | None:
        """Return the live pin that a request at user turn `turn` with these cues belongs to. It is not changed.

        `answering` is false for a request that goes on with a turn that was decided already, as with tool results.
        `opening` is how a conversation without a name is known.
        """
        alike = self._pins.get((policy, conversation.partition(OF)[0]))
        if alike is None:
            return None
        before = len(alike)
        alike[:] = [pin for pin in alike if now_s - pin.seen_s <= pin.idle_s]
        self._held += len(alike) - before
        some = alike if opening is None else _going_on(alike, opening, turn - answering)
        for pin in some:  # by the cues of that very turn: others may have had others
            if _fits(cues_at(pin.cues, turn), cues):
                return pin
        # With other cues it is the same conversation after a change, unless it is a new one of many that begin alike.
        if opening is None and alike and (turn > 0 or (not answering and len(alike) == 1)):
            return max(alike, key=lambda pin: pin.seen_s)
        return some[0] if some and opening is not None else None

    def last(self, policy: str, conversation: str) -> Pin | None:
        """Return the pin of a conversation that was used last."""
        alike = [
            pin
            for pin in self._pins.get((policy, conversation.partition(OF)[0]), ())
            if pin.conversation == conversation
        ]
        return max(alike, key=lambda pin: pin.seen_s, default=None)

    def keep(self, policy: str, conversation: str, pin: Pin) -> None:
        """Remember a new pin."""
        pin.conversation = conversation = pin.conversation or conversation
        key = policy, conversation.partition(OF)[0]
        alike = self._pins.setdefault(key, [])
        alike.append(pin)
        self._pins.move_to_end(key)
        self._held += 1
        if len(alike) > PINS_ALIKE:
            alike.remove(min(alike, key=lambda each: each.seen_s))
            self._held -= 1
        while self._held > self._limit and len(self._pins) > 1:
            self._held -= len(self._pins.popitem(last=False)[1])
        self._used[id(pin)] = policy, conversation, pin

    def use(self, policy: str, conversation: str, pin: Pin, now_s: float) -> None:
        """Note that a pin is used now."""
        pin.seen_s = now_s
        self._used[id(pin)] = policy, conversation, pin
        key = policy, conversation.partition(OF)[0]
        if key in self._pins:
            self._pins.move_to_end(key)

    def hear(self, policy: str, pin: Pin, heard: Callable[[], str]) -> None:
        """Take what tells a new conversation's first answer."""
        if not pin.conversation:  # it was not kept
            return
        pin.heard = heard
        self._used[id(pin)] = policy, pin.conversation, pin

    def revisions(self, now_s: float) -> set[tuple[str, str]]:
        """Return (policy, revision) of all live pins. One thread may ask while another finds.

        A pin that was used when the clock was ahead lives from now on.
        """
        while True:
            try:
                kept = [(policy, list(alike)) for (policy, _), alike in self._pins.items()]
                break
            except RuntimeError:  # one was added meanwhile
                continue
        live = set()
        for policy, alike in kept:
            for pin in alike:
                pin.seen_s = min(pin.seen_s, now_s)
                if now_s - pin.seen_s <= pin.idle_s:
                    live.add((policy, pin.revision))
        return live

    def changed(self, policies: Mapping[str, Policy]) -> list[PinRecord]:
        """Return what to store: pins that are new, have changed, or were not stored for STORED_AGAIN_S.

        Free text is withheld. One thread may ask while another finds.
        """
        used, self._used = self._used, {}
        records = []
        for policy, conversation, pin in list(used.values()):
            mark = pin.mark
            if mark[:-1] == pin.stored[:-1] and mark.seen_s - pin.stored.seen_s < STORED_AGAIN_S:
                continue
            pin.stored = mark
            records.append(_record(policies[policy], conversation, pin))
        return records

    def restore(
        self, records: Iterable[PinRecord], policy_of: Callable[[str, str], Policy | None] = lambda name, revision: None
    ) -> None:
        """Take back stored pins, the least recently used first.

        `policy_of` returns a revision of a policy: what an earlier release stored is understood by it alone.
        """
        for record in records:
            pin = Pin(
                record.revision,
                record.began_s,
                record.seen_s,
                record.idle_s,
                record.cues,
                {turn: (None, evidence) for turn, evidence in record.faulted.items()},
            )
            pin.moves = record.moves
            if record.levels:
                pin.moves = _moves(policy_of(record.policy, record.revision), record.levels)
            pin.drawn, pin.answer = record.drawn, record.answer
            pin.first, pin.stored = record.first, pin.mark
            self.keep(record.policy, record.conversation, pin)


def _going_on(alike: list[Pin], opening: Opening, turn: int) -> list[Pin]:
    """Return the pins of conversations without a name that a request may go on with, likeliest first.

    They are those with its first answer, else those whose answer nobody heard. Of several, it is probably the one that
    got as far as the user turn before (`turn`), and was used last. Apps may resend an answer in other words than were
    given: so the only one that began so goes on as well, unless it has gone on already.
    """
    found = [pin for pin in alike if pin.known_answer() == opening.answer] if opening.answer else []
    if not found and opening.answered:
        found = [pin for pin in alike if not pin.answer]
        found = found or [pin for pin in alike if len(alike) == 1 and pin.moment[0] <= 0]
    return sorted(found, key=lambda pin: (pin.moment[0] == turn, pin.seen_s), reverse=True)


def name_pin(policy: Policy, pin: Pin) -> str:
    """Return what tells a pin from others under its key: a digest of its first turn's cues, free text left out."""
    if pin.first:
        return pin.first
    known = repr(sorted(withhold(policy, pin.cues[0][1]).items()))
    return blake2b(known.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _fits(kept: Mapping[str, CueValue], cues: Mapping[str, CueValue]) -> bool:
    """Say whether cues are the kept ones. Free text that was withheld fits: it is part of the conversation's key."""
    if kept == cues:
        return True
    if WITHHELD not in kept.values() or kept.keys() != cues.keys():
        return False
    return all(value in (cues[name], WITHHELD) for name, value in kept.items())


def _record(policy: Policy, conversation: str, pin: Pin) -> PinRecord:
    cues = tuple((turn, withhold(policy, values)) for turn, values in pin.cues)
    faulted = {
        turn: replace(evidence, cues=withhold(policy, evidence.cues), nonce="")
        for turn, (_, evidence) in pin.faulted.items()
    }
    return PinRecord(
        policy=policy.name,
        conversation=conversation,
        first=name_pin(policy, pin),
        revision=pin.revision,
        began_s=pin.began_s,
        seen_s=pin.seen_s,
        idle_s=pin.idle_s,
        cues=cues,
        faulted=faulted,
        moves=pin.moves,
        drawn=pin.drawn,
        answer=pin.answer,
    )


def _moves(policy: Policy | None, levels: Mapping[str, Mapping[str, Level]]) -> dict[str, int]:
    """Return levels by complexity and task as moves by task: how far each is from where the task starts.

    Where they differ by complexity, as levels did that were tuned apart, that of the first is kept.
    """
    moves: dict[str, int] = {}
    for complexity in sorted(levels, key=lambda name: (name != USUAL, name)):
        for path, level in levels[complexity].items():
            task = policy.tasks.get(path) if policy else None
            moves.setdefault(path, level - start_level(task, policy.settings, complexity) if policy and task else 0)
    return moves
