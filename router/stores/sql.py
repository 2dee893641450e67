"""Traces in a SQL database, and with them the assignments of levels that they carry, in the same transaction.

Traces may be lost with the machine (the last batches), so they are not written durably. A failure is Degraded: requests
go on without their traces.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.sql import Select

from router.core.trace import Trace
from router.stores.database import Database
from router.stores.inserting import Insertion
from router.stores.learned import assignment_row
from router.stores.rows import Row, RowMaker, loaded
from router.stores.schema import assignments, decisions

ASSIGNED = tuple(column.name for column in assignments.columns if column.name != "settled")


class SqlTraceStore:
    """Implements `core.store_ports.TraceStore`. Owns nothing: who opened the database closes it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._making = threading.Lock()
        self._maker = RowMaker()
        self._decide = Insertion(database, decisions)
        self._assign = Insertion(database, assignments, ASSIGNED)

    def write(self, traces: Sequence[Trace]) -> None:
        """Store a batch in one transaction. Raises Degraded.

        A trace whose id is stored already changes nothing, nor does an assignment of the same conversation and task.
        """
        if not traces:
            return
        row = self._maker.row
        with self._making:
            decided = self._decide.arrange([row(trace) for trace in traces])
        assigned = self._assign.arrange([assignment_row(t.assignment) for t in traces if t.assignment is not None])

        def change(connection: Connection) -> None:
            self._decide.run(connection, decided)
            self._assign.run(connection, assigned)

        self._database.write(change, "store_failed", f"{len(traces)} traces were not stored")

    def read(self, decision_id: str) -> Row | None:
        """Return a stored trace as JSON-ready data, or None. Raises Degraded."""
        return self._first(select(decisions).where(decisions.c.id == decision_id))

    def owners(self, response_id: str) -> list[tuple[str, str]]:
        """Return tenant and backend of the traces whose answer had this id, the newest first. Raises Degraded.

        Backends make up a new id for each answer; where one lets its clients choose, there may be several.
        """
        if not response_id:
            return []
        newest = func.max(decisions.c.at_ms).desc()
        query = (
            select(decisions.c.tenant, decisions.c.backend)
            .where(decisions.c.response_id == response_id)
            .group_by(decisions.c.tenant, decisions.c.backend)
            .order_by(newest)
        )

        def ask(connection: Connection) -> list[tuple[str, str]]:
            return [(row.tenant, row.backend) for row in connection.execute(query)]

        return self._database.read(ask, "store_failed", "the trace store cannot be read")

    def recent(
        self,
        limit: int = 50,
        *,
        tenant: str | None = None,
        policy: str | None = None,
        task: str | None = None,
        before_ms: int | None = None,
    ) -> list[Row]:
        """Return up to `limit` traces, newest first, that have the given tenant, policy and task, and are older.

        Raises Degraded.
        """
        query = _newest(select(decisions), limit)
        for column, value in ((decisions.c.tenant, tenant), (decisions.c.policy, policy), (decisions.c.task, task)):
            if value is not None:
                query = query.where(column == value)
        if before_ms is not None:
            query = query.where(decisions.c.at_ms < before_ms)
        return self._all(query)

    def chained(self, since_ms: int, limit: int) -> list[Row]:
        """Return the last `limit` traces since then of answers that may be gone on from, in the order of time.

        Raises Degraded.
        """
        query = select(decisions).where(
            decisions.c.at_ms >= since_ms,
            decisions.c.wire == "responses",
            decisions.c.response_id != "",
            decisions.c.outcome.in_(("classified", "unclassified", "unavailable")),
        )
        return self._all(_newest(query, limit))[::-1]

    def close(self) -> None:
        """Do nothing: batches are written whole, and the database is closed by who opened it."""

    def _first(self, query: Select[Any]) -> Row | None:
        found = self._all(query)
        return found[0] if found else None

    def _all(self, query: Select[Any]) -> list[Row]:
        def ask(connection: Connection) -> list[Row]:
            return [loaded(row) for row in connection.execute(query).mappings()]  # type: ignore[arg-type]

        return self._database.read(ask, "store_failed", "the trace store cannot be read")


def _newest(query: Select[Any], limit: int) -> Select[Any]:
    return query.order_by(decisions.c.at_ms.desc(), decisions.c.id.desc()).limit(limit)
