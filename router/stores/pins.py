"""Pins of running conversations, beside the traces: what a restart must not change.

Written in batches from one thread, read once at start. Cues are stored as they may be: free text is withheld.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql import Delete

from router.core.errors import Degraded
from router.core.ports import PinRecord
from router.stores.database import cause, open_database
from router.stores.rows import Row, evidence_text, loaded_evidence, storable
from router.stores.schema import pins

_KEY = ("policy", "conversation", "first")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class SqlPinStore:
    """Implements `core.ports.PinStore` in the database at `url`. Raises SettingsError when it cannot be opened."""

    def __init__(self, url: str) -> None:
        self._engine, self._writer = open_database(url)
        self._writing = threading.Lock()
        self._remove = delete(pins).where(*(pins.c[name] == bindparam(f"of_{name}") for name in _KEY))

    def write(self, records: Sequence[PinRecord]) -> None:
        """Store records, each in place of an earlier one of the same pin, in one transaction. Raises Degraded."""
        if not records:
            return
        rows = list({tuple(row[name] for name in _KEY): row for row in map(_row, records)}.values())
        with self._writing:
            try:
                with self._writer.begin():
                    # In place of an upsert, which every database spells in its own way.
                    self._writer.execute(self._remove, [{f"of_{name}": row[name] for name in _KEY} for row in rows])
                    self._writer.execute(insert(pins), rows)
            except SQLAlchemyError as error:
                raise Degraded("pins_failed", f"{len(rows)} pins were not stored: {cause(error)}") from error

    def read(self, now_s: float) -> list[PinRecord]:
        """Return the records that are not void yet, the least recently used first, and forget the others.

        Raises Degraded.
        """
        with self._writing:
            try:
                with self._writer.begin():
                    self._writer.execute(_void(now_s))
                    found = self._writer.execute(select(pins).order_by(pins.c.seen_s)).mappings().all()
            except SQLAlchemyError as error:
                raise Degraded("pins_failed", f"the pins cannot be read: {cause(error)}") from error
        return [_record(row) for row in found]

    def forget(self, now_s: float) -> None:
        """Remove the records that are void. Raises Degraded."""
        with self._writing:
            try:
                with self._writer.begin():
                    self._writer.execute(_void(now_s))
            except SQLAlchemyError as error:
                raise Degraded("pins_failed", f"void pins cannot be removed: {cause(error)}") from error

    def close(self) -> None:
        """Close all connections. Safe to call twice."""
        with self._writing:
            self._writer.close()
            self._engine.dispose()


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
    }


def _record(row: Mapping[str, Any] | Any) -> PinRecord:
    return PinRecord(
        **{name: row[name] for name in (*_KEY, "revision", "began_s", "seen_s", "idle_s")},
        cues=tuple((turn, values) for turn, values in _decode(row["cues"])),
        faulted={int(turn): loaded_evidence(stored) for turn, stored in _decode(row["faulted"]).items()},
    )
