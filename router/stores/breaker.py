"""A breaker: what has failed several times in a row is left alone for a while, so that nobody waits for it in vain."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

FAILURES = 5
"""Failures in a row after which the breaker opens."""

OPEN_S = 10.0
"""How long it stays open. Then one call tries again, and the next after as long if that fails as well."""


class Breaker:
    """Counts failures in a row. Safe to use from any thread. `clock` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._closed_at = 0.0
        self._cause = ""

    def refusal(self) -> str:
        """Return why a call should not even be tried, naming the last failure; empty where it may be tried."""
        if self._failures < FAILURES:
            return ""
        with self._lock:
            now = self._clock()
            if now >= self._closed_at:
                self._closed_at = now + OPEN_S  # this call tries; the others wait for what becomes of it
                return ""
            return f"left alone for {OPEN_S:g} s after {self._failures} failures, the last: {self._cause}"

    def failed(self, cause: str) -> None:
        """Count a failure."""
        with self._lock:
            self._failures += 1
            self._cause = cause
            if self._failures >= FAILURES:
                self._closed_at = self._clock() + OPEN_S

    def succeeded(self) -> None:
        """Forget the failures."""
        if self._failures:
            with self._lock:
                self._failures = 0
