"""What a conversation keeps from its first turn: the revision, and the cues of each turn at which they changed.

Clients resend history without our text, so earlier decisions are made again on every call. They come out the same
because whatever they depended on is either in the messages or pinned here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from router.core.evidence import Evidence
from router.core.policy import CueValue
from router.core.ports import State

PINS_KEPT = 100_000
"""Conversations remembered at most; a pin is about 500 bytes."""

PINS_ALIKE = 16
"""Conversations remembered under one key at most."""


@dataclass(slots=True)
class Pin:
    """One conversation's record. `cues` holds (turn, values) where the values changed, in rising order of turn.

    `faulted` keeps the state and the evidence of turns at which something was missing: they must not be gathered anew,
    better, on the next call, or the text sent earlier would change.
    """

    revision: str
    seen_s: float
    cues: list[tuple[int, Mapping[str, CueValue]]]
    faulted: dict[int, tuple[State | None, Evidence]] = field(default_factory=dict)

    def cues_at(self, turn: int) -> Mapping[str, CueValue]:
        """Return the request cues that held at a user turn."""
        found = self.cues[0][1]
        for at, values in self.cues:
            if at > turn:
                break
            found = values
        return found

    def change(self, turn: int, values: Mapping[str, CueValue]) -> None:
        """Record that from user turn `turn` on other values hold; what was recorded of later turns is void."""
        while len(self.cues) > 1 and self.cues[-1][0] >= turn:
            self.cues.pop()
        self.cues.append((turn, values))


class Pins:
    """The pins by policy and conversation, forgotten after their idle time or when there are too many.

    Clients that do not name their conversations may have several that begin alike ("hi"). These share a key, and each
    keeps a pin of its own: a request belongs to the pin whose cues are its own.
    """

    def __init__(self, limit: int = PINS_KEPT) -> None:
        self._pins: OrderedDict[tuple[str, str], list[Pin]] = OrderedDict()
        self._limit = limit

    def find(
        self, policy: str, conversation: str, turn: int, cues: Mapping[str, CueValue], now_s: float, idle_s: float
    ) -> Pin | None:
        """Return the live pin that a request at user turn `turn` with these cues belongs to, noting changed cues."""
        key = (policy, conversation)
        alike = self._pins.get(key)
        if alike is None:
            return None
        alike[:] = [pin for pin in alike if now_s - pin.seen_s <= idle_s]
        pin = next((pin for pin in alike if pin.cues_at(turn) == cues), None)
        if pin is None and turn > 0 and alike:
            pin = max(alike, key=lambda pin: pin.seen_s)
            pin.change(turn, cues)
        if pin is not None:
            pin.seen_s = now_s
            self._pins.move_to_end(key)
        return pin

    def keep(self, policy: str, conversation: str, pin: Pin) -> None:
        """Remember a new pin."""
        alike = self._pins.setdefault((policy, conversation), [])
        alike.append(pin)
        del alike[:-PINS_ALIKE]
        if len(self._pins) > self._limit:
            self._pins.popitem(last=False)
