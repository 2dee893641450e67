"""Recording: everything is written in the end, and a store that fails costs traces, never requests."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from router.engine.guarding import FaultHandler
from router.engine.recorder import Recorder


class Shelf:
    """A store that keeps a list; `gate` holds writes back, `fail` makes them raise."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fail = False
        self.closed = False
        self.wrote = threading.Event()

    def write(self, traces: Sequence[Any]) -> None:
        assert self.gate.wait(10)
        if self.fail:
            raise OSError("disk full")
        self.kept += traces
        self.wrote.set()

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def registry() -> Shelf:
    return Shelf()


def recorder(registry: Shelf, lost: list[int], queue: int = 100) -> Recorder:
    return Recorder(registry, FaultHandler(lambda code: None), lost.append, queue=queue, pause_s=0.01)  # type: ignore[arg-type]


def test_what_is_put_is_written_in_order_without_being_asked(registry: Shelf) -> None:
    keeping = recorder(registry, [])
    keeping.start()
    keeping.put(1)  # type: ignore[arg-type]
    assert registry.wrote.wait(10)
    keeping.close()
    assert registry.kept == [1]


def test_closing_writes_the_rest_and_closes_the_store(registry: Shelf) -> None:
    keeping = recorder(registry, [])
    for trace in range(50):
        keeping.put(trace)  # type: ignore[arg-type]
    keeping.close()
    assert (registry.kept, registry.closed) == (list(range(50)), True)


def test_a_full_queue_drops_the_oldest_and_counts_them(registry: Shelf) -> None:
    lost: list[int] = []
    keeping = recorder(registry, lost, queue=10)
    for trace in range(25):
        keeping.put(trace)  # type: ignore[arg-type]
    keeping.close()
    assert registry.kept == list(range(15, 25))
    assert sum(lost) == 15


def test_a_store_that_fails_costs_its_batch_and_later_ones_are_kept(registry: Shelf) -> None:
    lost: list[int] = []
    keeping = recorder(registry, lost)
    registry.fail = True
    keeping.put(1)  # type: ignore[arg-type]
    keeping.flush()
    registry.fail = False
    keeping.put(2)  # type: ignore[arg-type]
    keeping.close()
    assert (registry.kept, sum(lost)) == ([2], 1)
