"""The words of recent answers, in memory only and for some minutes: what a correction is compared with."""

from __future__ import annotations

import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

KEPT_S = 15 * 60.0
"""How long an answer is remembered: who corrects a draft does so before it is sent."""

KEPT_BYTES = 8 << 20


class _Kept(NamedTuple):
    text: str
    until_s: float


class RecentTexts:
    """Texts by name, the oldest forgotten first. Safe to call from any thread. `clock` never goes back (seconds)."""

    def __init__(
        self, kept_s: float = KEPT_S, kept_bytes: int = KEPT_BYTES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._kept_s = kept_s
        self._most = kept_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._texts: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0

    def keep(self, name: str, text: str) -> None:
        """Remember a text under a name, and forget what is too old or too much."""
        now = self._clock()
        with self._lock:
            self._forget(name)
            self._texts[name] = _Kept(text, now + self._kept_s)
            self._bytes += sys.getsizeof(text)
            while self._texts:
                oldest, kept = next(iter(self._texts.items()))
                if kept.until_s > now and self._bytes <= self._most:
                    break
                self._forget(oldest)

    def find(self, name: str) -> str | None:
        """Return the text under a name, or None."""
        now = self._clock()
        with self._lock:
            kept = self._texts.get(name)
            return kept.text if kept is not None and kept.until_s > now else None

    def _forget(self, name: str) -> None:
        kept = self._texts.pop(name, None)
        if kept is not None:
            self._bytes -= sys.getsizeof(kept.text)
