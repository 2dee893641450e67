"""What is special about the store in memory: it keeps only so many."""

from __future__ import annotations

from collections.abc import Callable

from router.core.trace import Trace
from tests.support.memory_traces import MemoryTraceStore


def test_the_oldest_are_forgotten_first(trace: Callable[..., Trace]) -> None:
    store = MemoryTraceStore(limit=3)
    for number in range(5):
        store.write([trace(number)])
    assert [row["id"] for row in store.recent()] == ["dec_4", "dec_3", "dec_2"]
    assert store.read("dec_1") is None
