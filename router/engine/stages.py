"""How long each stage of the straight line took."""

from __future__ import annotations

from time import perf_counter


class Stages:
    """A stop-watch with laps: `mark` ends the lap that is running and names it. Times are milliseconds."""

    __slots__ = ("_at", "laps", "started")

    def __init__(self) -> None:
        self.started = self._at = perf_counter()
        self.laps: dict[str, float] = {}

    def mark(self, stage: str) -> None:
        """End a lap. Laps of the same name add up."""
        now = perf_counter()
        self.laps[stage] = self.laps.get(stage, 0.0) + (now - self._at) * 1e3
        self._at = now

    @property
    def total_ms(self) -> float:
        """Milliseconds since the start."""
        return (perf_counter() - self.started) * 1e3
