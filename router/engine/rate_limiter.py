"""How much one name may do in a minute: keys, and what is more than anybody could list in settings: users, tokens.

A bucket for each name fills evenly and holds a minute's worth. A bucket that was not used for a minute is full, and so
the same as none: the least recently used ones are forgotten first, and memory stays bounded whoever comes.

For one thread at a time.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

NAMES_KEPT = 50_000
"""Buckets remembered at most; one is about 250 bytes."""


class RateLimiter:
    """Buckets by name. `clock` counts seconds and never goes back."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic, limit: int = NAMES_KEPT) -> None:
        self.per_minute = per_minute
        self._per_s = per_minute / 60
        self._clock = clock
        self._limit = limit
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> float:
        """Take one of what a name may do now; return 0, or in how many seconds there is one again."""
        left, now = self._left(name)
        if left < 1:
            return (1 - left) / self._per_s
        self._keep(name, left - 1, now)
        return 0.0

    def give_back(self, name: str) -> None:
        """Undo a `take` that came to nothing."""
        left, now = self._left(name)
        self._keep(name, min(left + 1, self.per_minute), now)

    def __len__(self) -> int:
        return len(self._buckets)

    def _left(self, name: str) -> tuple[float, float]:
        now = self._clock()
        left, filled_at = self._buckets.get(name, (float(self.per_minute), now))
        return min(left + (now - filled_at) * self._per_s, float(self.per_minute)), now

    def _keep(self, name: str, left: float, now: float) -> None:
        self._buckets[name] = left, now
        self._buckets.move_to_end(name)
        if len(self._buckets) > self._limit:
            self._buckets.popitem(last=False)
