"""Traces in memory: the same contract as the SQL store, for tests that want no database."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from router.core.trace import Trace
from router.stores.rows import Row, RowMaker, loaded

KEPT_TRACES = 10_000


class MemoryTraceStore:
    """Keeps the newest `limit` traces, as rows: what `read` returns is what a database would return."""

    def __init__(self, limit: int = KEPT_TRACES) -> None:
        self._limit = limit
        self._maker = RowMaker()
        self._rows: dict[str, Row] = {}
        self._lock = threading.Lock()

    def write(self, traces: Sequence[Trace]) -> None:
        """Store a batch. A trace whose id is stored already changes nothing."""
        with self._lock:
            for trace in traces:
                self._rows.setdefault(trace.id, self._maker.row(trace))
            while len(self._rows) > self._limit:
                del self._rows[next(iter(self._rows))]

    def read(self, decision_id: str) -> Row | None:
        """Return a stored trace as JSON-ready data, or None."""
        row = self._rows.get(decision_id)
        return None if row is None else loaded(row)

    def owners(self, response_id: str) -> list[tuple[str, str]]:
        """Return tenant and backend of the traces whose answer had this id, the newest first."""
        found = [row for row in self._newest_first() if response_id and row["response_id"] == response_id]
        return list(dict.fromkeys((row["tenant"], row["backend"]) for row in found))

    def recent(
        self,
        limit: int = 50,
        *,
        tenant: str | None = None,
        policy: str | None = None,
        task: str | None = None,
        before_ms: int | None = None,
    ) -> list[Row]:
        """Return up to `limit` traces, newest first, that have the given tenant, policy and task, and are older."""
        wanted = {"tenant": tenant, "policy": policy, "task": task}
        wanted = {column: value for column, value in wanted.items() if value is not None}
        fitting = [
            loaded(row)
            for row in self._newest_first()
            if all(row[column] == value for column, value in wanted.items())
            and (before_ms is None or row["at_ms"] < before_ms)
        ]
        return fitting[:limit]

    def close(self) -> None:
        """Do nothing: there is nothing to flush."""

    def _newest_first(self) -> list[Row]:
        with self._lock:
            rows = list(self._rows.values())
        return sorted(rows, key=lambda row: (row["at_ms"], row["id"]), reverse=True)
