"""Record: a bounded queue and a thread that writes traces in batches. The request path only appends.

When the store is slower than the traffic, or broken, the oldest waiting traces are dropped and counted; requests are
served as ever.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from router.core.store_ports import TraceStore
from router.core.trace import Trace
from router.engine.guarding import FaultHandler

log = logging.getLogger("router.engine")

QUEUE_TRACES = 20_000
BATCH_TRACES = 500
PAUSE_S = 0.1
"""How long traces are collected before they are written, and so what a crash can lose of them."""


class Recorder:
    """Writes traces to a store from its own thread. `count_dropped` is called with the number of traces lost.

    `fault` says why the last ones could not be written; it is empty when they were.
    """

    def __init__(
        self,
        store: TraceStore,
        fault_handler: FaultHandler,
        count_dropped: Callable[[int], None],
        queue: int = QUEUE_TRACES,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._store = store
        self._fault_handler = fault_handler
        self._count_dropped = count_dropped
        self._limit = queue
        self._pause_s = pause_s
        self.fault = ""
        self._waiting: deque[Trace] = deque()
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Start the writing thread."""
        self._thread.start()

    def put(self, trace: Trace) -> None:
        """Queue a trace. Never blocks, never raises."""
        if len(self._waiting) >= self._limit:
            self._waiting.popleft()
            self._count_dropped(1)
        self._waiting.append(trace)

    def flush(self) -> None:
        """Write what is waiting, in the calling thread."""
        with self._writing:
            while self._waiting:
                self._write(self._take())

    def close(self) -> None:
        """Stop the thread, write the rest and close the store."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.flush()
        self._store.close()

    def _run(self) -> None:
        while not self._stop.wait(self._pause_s):
            self.flush()

    def _take(self) -> list[Trace]:
        waiting = self._waiting
        batch: list[Trace] = []
        while waiting and len(batch) < BATCH_TRACES:
            batch.append(waiting.popleft())
        return batch

    def _write(self, batch: list[Trace]) -> None:
        try:
            self._store.write(batch)
        except Exception as error:  # noqa: BLE001  the next batch is tried again
            fault = self._fault_handler.degraded("store_failed", error)
            if fault is error:  # what nobody foresaw is counted by the handler
                self._fault_handler.note(fault.code)
            if not self.fault:
                log.error("decisions are not recorded: %s", fault)
            self.fault = str(fault)
            self._count_dropped(len(batch))
        else:
            if self.fault:
                log.warning("decisions are recorded again")
            self.fault = ""
