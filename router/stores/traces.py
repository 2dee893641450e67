"""What requests leave in the database: traces, and the pins of running conversations.

With traces come the assignments of levels that they carry, in the same transaction. Traces may be lost with the machine
(the last batches), so they are not written durably; requests go on without them. Pins are what a restart must not
change: written in batches from one thread, read once at start, free text withheld. A failure is Degraded.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, insert, select
from sqlalchemy.sql import Delete, Select

from router.core.policy import Level
from router.core.store_ports import PinRecord
from router.core.trace import Trace
from router.stores.database import Database, Insertion
from router.stores.rows import (
    Row,
    RowMaker,
    assignment_row,
    evidence_text,
    loaded,
    loaded_evidence,
    storable,
    storable_name,
)
from router.stores.schema import assignments, decisions, pins

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

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

    def of_answer(self, response_id: str, tenant: str) -> Row | None:
        """Return a tenant's newest trace whose answer had this id, as `read` does. Raises Degraded."""
        query = select(decisions).where(decisions.c.response_id == storable_name(response_id))
        return self._first(_newest(query.where(decisions.c.tenant == tenant), 1))

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
            decisions.c.outcome.in_(("classified", "shortlisted", "unclassified", "unavailable")),
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


_PIN_KEY = ("policy", "conversation", "first")


class SqlPinStore:
    """Implements `core.store_ports.PinStore`. Owns nothing: who opened the database closes it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remove = delete(pins).where(*(pins.c[name] == bindparam(f"of_{name}") for name in _PIN_KEY))

    def write(self, records: Sequence[PinRecord]) -> None:
        """Store records, each in place of an earlier one of the same pin, in one transaction. Raises Degraded."""
        if not records:
            return
        rows = list({tuple(row[name] for name in _PIN_KEY): row for row in map(_pin_row, records)}.values())
        rows.sort(key=lambda row: [row[name] for name in _PIN_KEY])  # two that write the same rows never wait crosswise

        def change(connection: Connection) -> None:
            # In place of an upsert, which every database spells in its own way.
            connection.execute(self._remove, [{f"of_{name}": row[name] for name in _PIN_KEY} for row in rows])
            connection.execute(insert(pins), rows)

        self._database.write(change, "pins_failed", f"{len(rows)} pins were not stored")

    def read(self, now_s: float) -> list[PinRecord]:
        """Return the records that are not void yet, the least recently used first, and forget the others.

        Raises Degraded.
        """

        def change(connection: Connection) -> list[PinRecord]:
            connection.execute(_void(now_s))
            found = connection.execute(select(pins).order_by(pins.c.seen_s)).mappings()
            return [_pin(row) for row in found]

        return self._database.write(change, "pins_failed", "the pins cannot be read")

    def forget(self, now_s: float) -> None:
        """Remove the records that are void. Raises Degraded."""
        self._database.write(
            lambda connection: connection.execute(_void(now_s)), "pins_failed", "void pins cannot be removed"
        )

    def close(self) -> None:
        """Do nothing: the database is closed by who opened it."""


def _void(now_s: float) -> Delete:
    return delete(pins).where(pins.c.seen_s + pins.c.idle_s < now_s)


def _pin_row(record: PinRecord) -> Row:
    return {
        "policy": record.policy,
        "conversation": record.conversation,
        "first": record.first,
        "revision": record.revision,
        "began_s": record.began_s,
        "seen_s": record.seen_s,
        "idle_s": record.idle_s,
        "cues": _encode([(turn, storable(values)) for turn, values in record.cues]).decode(),
        "faulted": _encode(
            {str(turn): msgspec.Raw(evidence_text(seen, seen.cues).encode()) for turn, seen in record.faulted.items()}
        ).decode(),
        "levels": None if record.moves is None else _encode(record.moves).decode(),
        "drawn": int(record.drawn),
        "answer": record.answer,
    }


def _pin(row: Mapping[str, Any] | Any) -> PinRecord:
    given: Any = None if row["levels"] is None else _decode(row["levels"])
    by_complexity = any(isinstance(levels, dict) for levels in (given or {}).values())  # of an earlier release
    return PinRecord(
        **{name: row[name] for name in (*_PIN_KEY, "revision", "began_s", "seen_s", "idle_s", "answer")},
        cues=tuple((turn, values) for turn, values in _decode(row["cues"])),
        faulted={int(turn): loaded_evidence(stored) for turn, stored in _decode(row["faulted"]).items()},
        moves={} if by_complexity else given,
        drawn=bool(row["drawn"]),
        levels=_levels(given) if given and by_complexity else {},
    )


def _levels(given: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, Level]]:
    return {complexity: {task: Level(level) for task, level in levels.items()} for complexity, levels in given.items()}
