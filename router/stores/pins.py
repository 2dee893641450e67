"""Pins of running conversations, beside the traces: what a restart must not change.

Written in batches from one thread, read once at start. Cues are stored as they may be: free text is withheld.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select
from sqlalchemy.sql import Delete

from router.core.policy import Level
from router.core.store_ports import PinRecord
from router.stores.database import Database
from router.stores.rows import Row, evidence_text, loaded_evidence, storable
from router.stores.schema import pins

_KEY = ("policy", "conversation", "first")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class SqlPinStore:
    """Implements `core.store_ports.PinStore`. Owns nothing: who opened the database closes it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remove = delete(pins).where(*(pins.c[name] == bindparam(f"of_{name}") for name in _KEY))

    def write(self, records: Sequence[PinRecord]) -> None:
        """Store records, each in place of an earlier one of the same pin, in one transaction. Raises Degraded."""
        if not records:
            return
        rows = list({tuple(row[name] for name in _KEY): row for row in map(_row, records)}.values())
        rows.sort(key=lambda row: [row[name] for name in _KEY])  # two that write the same rows never wait crosswise

        def change(connection: Connection) -> None:
            # In place of an upsert, which every database spells in its own way.
            connection.execute(self._remove, [{f"of_{name}": row[name] for name in _KEY} for row in rows])
            connection.execute(insert(pins), rows)

        self._database.write(change, "pins_failed", f"{len(rows)} pins were not stored")

    def read(self, now_s: float) -> list[PinRecord]:
        """Return the records that are not void yet, the least recently used first, and forget the others.

        Raises Degraded.
        """

        def change(connection: Connection) -> list[PinRecord]:
            connection.execute(_void(now_s))
            found = connection.execute(select(pins).order_by(pins.c.seen_s)).mappings()
            return [_record(row) for row in found]

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


def _row(record: PinRecord) -> Row:
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
    }


def _record(row: Mapping[str, Any] | Any) -> PinRecord:
    given: Any = None if row["levels"] is None else _decode(row["levels"])
    by_complexity = any(isinstance(levels, dict) for levels in (given or {}).values())  # of an earlier release
    return PinRecord(
        **{name: row[name] for name in (*_KEY, "revision", "began_s", "seen_s", "idle_s")},
        cues=tuple((turn, values) for turn, values in _decode(row["cues"])),
        faulted={int(turn): loaded_evidence(stored) for turn, stored in _decode(row["faulted"]).items()},
        moves={} if by_complexity else given,
        drawn=bool(row["drawn"]),
        levels=_levels(given) if given and by_complexity else {},
    )


def _levels(given: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, Level]]:
    return {complexity: {task: Level(level) for task, level in levels.items()} for complexity, levels in given.items()}
