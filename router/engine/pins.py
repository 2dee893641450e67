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
from typing import NamedTuple

from router.core.decision import Decision
from router.core.evidence import Evidence
from router.core.levels import USUAL, Draw, start_level
from router.core.policy import CueValue, Level, Policy
from router.core.ports import State
from router.core.store_ports import PinRecord
from router.core.trace import WITHHELD, withhold

PINS_KEPT = 100_000
"""Conversations remembered at most; a pin is about 500 bytes."""

PINS_ALIKE = 16
"""Conversations remembered under one key at most."""

STORED_AGAIN_S = 60.0
"""A pin that is only used is stored again after so long: what a restart can cost of its time to live."""


class Mark(NamedTuple):
    """What tells a pin from its stored record."""

    revision: str
    cues: int
    faulted: int
    moves: int
    seen_s: float


UNSTORED = Mark("", 0, 0, 0, 0.0)


class Given(NamedTuple):
    """The level that a conversation was given at a task when it first settled there, and what drew it, if anything."""

    task: str
    complexity: str
    model: str
    level: Level
    draw: Draw | None
    holdout: bool


@dataclass(slots=True)
class Pin:
    """One conversation's record. `cues` holds (turn, values) where the values changed, in rising order of turn.

    `faulted` keeps the state and the evidence of turns at which something was missing: they must not be gathered anew,
    better, on the next call, or the text sent earlier would change. It keeps that of a first turn, too, that was taken
    for a machine's own call by what people can type. `new` says that the call at hand is the first. `began_s` and
    `seen_s` are seconds of the wall clock; a pin is void when it was not used for `idle_s`. `first` tells it from other
    pins under its key, which differ in the cues of their first turn and only there for good (`name_pin`). `moment`
    holds the passing cues of the newest user turn; it is not stored. `moves` are what it was given by task
    (`core.levels`), None where the conversation began while nothing was tuned; `drawn` says that a trial drew for it,
    and `given` waits for the answer with which it counts: what is only explained, or counted in tokens, is not
    answered. `stored` is what of it was last stored (`mark`).
    """

    revision: str
    began_s: float
    seen_s: float
    idle_s: float
    cues: list[tuple[int, Mapping[str, CueValue]]]
    faulted: dict[int, tuple[State | None, Evidence]] = field(default_factory=dict)
    first: str = ""
    moment: tuple[int, Mapping[str, CueValue]] = (-1, MappingProxyType({}))
    moves: Mapping[str, int] | None = None
    drawn: bool = False
    given: Given | None = None
    stored: Mark = UNSTORED
    new: bool = False

    @property
    def mark(self) -> Mark:
        """What tells a pin from its stored record: the revision, how much it holds of each kind, and the time."""
        return Mark(self.revision, len(self.cues), len(self.faulted), len(self.moves or ()), self.seen_s)

    def give(self, decision: Decision) -> None:
        """Keep the moves that a decision gave, and whether a trial drew."""
        self.drawn |= decision.draw is not None
        if self.moves is not None and decision.moves:
            before, new = self.moves, decision.moves
            # Shared with the decision, and so among the conversations that are given the same, as most are.
            self.moves = {**before, **new} if before.keys() - new else new

    def cues_at(self, turn: int) -> Mapping[str, CueValue]:
        """Return the request cues that held at a user turn."""
        found = self.cues[0][1]
        for at, values in self.cues:
            if at > turn:
                break
            found = values
        return found

    def hold(self, turn: int, values: Mapping[str, CueValue], passing: Mapping[str, CueValue]) -> None:
        """Record with which cues user turn `turn` is decided: those that last, and those that are passing.

        Where others held before, these hold from here on, and what was recorded of later turns is void.
        """
        self.moment = turn, passing
        self._reveal(values)
        if self.cues_at(turn) != values:
            while len(self.cues) > 1 and self.cues[-1][0] >= turn:
                self.cues.pop()
            self.cues.append((turn, values))
            self.stored = UNSTORED

    def held(self, turn: int, values: Mapping[str, CueValue], passing: Mapping[str, CueValue]) -> dict[str, CueValue]:
        """Return the cues with which user turn `turn` was decided; this call's own where they are not known."""
        self._reveal(values)
        at, before = self.moment
        return {**self.cues_at(turn), **(before if at == turn else passing)}

    def _reveal(self, values: Mapping[str, CueValue]) -> None:
        """Put this call's free text where a pin that was stored has none."""
        for number, (turn, kept) in enumerate(self.cues):
            if WITHHELD in kept.values():
                shown = {name: values.get(name, value) if value == WITHHELD else value for name, value in kept.items()}
                self.cues[number] = turn, shown


class Pins:
    """The pins by policy and conversation, forgotten after their idle time or when there are too many.

    Clients that do not name their conversations may have several that begin alike ("hi"). These share a key, and each
    keeps a pin of its own: a request belongs to the pin whose cues are its own.
    """

    def __init__(self, limit: int = PINS_KEPT) -> None:
        self._pins: OrderedDict[tuple[str, str], list[Pin]] = OrderedDict()
        self._limit = limit
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
    ) -> Pin | None:
        """Return the live pin that a request at user turn `turn` with these cues belongs to.

        `answering` is false for a request that goes on with a turn that was decided already, as with tool results.
        """
        key = (policy, conversation)
        alike = self._pins.get(key)
        if alike is None:
            return None
        alike[:] = [pin for pin in alike if now_s - pin.seen_s <= pin.idle_s]
        pin = next((pin for pin in alike if _fits(pin.cues_at(turn), cues)), None)
        # With other cues it is the same conversation after a change, unless it is a new one of many that begin alike.
        if pin is None and alike and (turn > 0 or (not answering and len(alike) == 1)):
            pin = max(alike, key=lambda pin: pin.seen_s)
        if pin is not None:
            self.use(policy, conversation, pin, now_s)
            self._pins.move_to_end(key)
        return pin

    def last(self, policy: str, conversation: str) -> Pin | None:
        """Return the pin under a key that was used last."""
        return max(self._pins.get((policy, conversation), ()), key=lambda pin: pin.seen_s, default=None)

    def keep(self, policy: str, conversation: str, pin: Pin) -> None:
        """Remember a new pin."""
        alike = self._pins.setdefault((policy, conversation), [])
        alike.append(pin)
        del alike[:-PINS_ALIKE]
        if len(self._pins) > self._limit:
            self._pins.popitem(last=False)
        self._used[id(pin)] = policy, conversation, pin

    def use(self, policy: str, conversation: str, pin: Pin, now_s: float) -> None:
        """Note that a pin is used now."""
        pin.seen_s = now_s
        self._used[id(pin)] = policy, conversation, pin

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
                list(record.cues),
                {turn: (None, evidence) for turn, evidence in record.faulted.items()},
            )
            pin.moves = record.moves
            if record.levels:
                pin.moves = _moves(policy_of(record.policy, record.revision), record.levels)
            pin.drawn = record.drawn
            pin.first, pin.stored = record.first, pin.mark
            self.keep(record.policy, record.conversation, pin)


def name_pin(policy: Policy, pin: Pin) -> str:
    """Return what tells a pin from others under its key: a digest of its first turn's cues, free text left out."""
    if not pin.first:
        known = repr(sorted(withhold(policy, pin.cues[0][1]).items()))
        pin.first = blake2b(known.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return pin.first


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
