"""Audits in the database of the traces: which decisions may be drawn, and what auditors said of them.

Evidence is only ever added. A label that is stored already changes nothing; `number` is the order in which labels came,
and with it every reader folds them alike. The command line writes, the server reads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select
from sqlalchemy.sql import Select

from router.core.audit import Audit
from router.stores.database import Database, lock
from router.stores.paging import pages
from router.stores.rows import Row, chunks
from router.stores.schema import audits, decisions

AUDITABLE = ("classified", "unclassified")
"""The outcomes of decisions in which recognition was asked and acted by."""

_DRAWN = ("id", "at_ms", "policy", "revision", "conversation", "turn", "response_id", "tasks", "confidence")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class SqlAuditStore:
    """Keeps audits in a database, beside the traces. Owns nothing: who opened the database closes it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = database.insert_new(audits)

    def unaudited(self, since_ms: int = 0, policy: str | None = None) -> Iterator[Row]:
        """Yield the decisions since then, oldest first, in which recognition acted and that have no label yet.

        Raises Degraded.
        """
        columns = [decisions.c[name] for name in _DRAWN]
        labelled = select(audits.c.number).where(audits.c.decision == decisions.c.id).exists()
        query = select(*columns).where(decisions.c.at_ms >= since_ms, decisions.c.outcome.in_(AUDITABLE), ~labelled)
        if policy is not None:
            query = query.where(decisions.c.policy == policy)
        keys = (decisions.c.at_ms, decisions.c.id)
        for page in pages(self._database, query, keys, "audits_failed", "the audits cannot be read"):
            for row in page:
                yield row | {"tasks": _decode(row["tasks"])}

    def decisions(self, ids: Collection[str]) -> dict[str, Row]:
        """Return those of these decisions that are stored: policy, outcome, tasks and thresholds. Raises Degraded."""
        wanted = [decisions.c[name] for name in ("id", "policy", "outcome", "tasks", "evidence")]
        found: dict[str, Row] = {}
        for some in chunks(ids):
            for row in self._rows(select(*wanted).where(decisions.c.id.in_(some))):
                thresholds = _decode(row["evidence"])["thresholds"]
                found[row["id"]] = {
                    "policy": row["policy"],
                    "outcome": row["outcome"],
                    "settled": tuple(_decode(row["tasks"])),
                    "thresholds": tuple(thresholds["by_depth"]),
                    "certificate": thresholds.get("certificate", ""),
                }
        return found

    def labels(self, ids: Collection[str]) -> dict[tuple[str, str], tuple[str, ...]]:
        """Return the stored labels of these decisions, by decision and auditor. Raises Degraded."""
        wanted = select(audits.c.decision, audits.c.auditor, audits.c.label)
        return {
            (row["decision"], row["auditor"]): tuple(_decode(row["label"]))
            for some in chunks(ids)
            for row in self._rows(wanted.where(audits.c.decision.in_(some)))
        }

    def record(self, given: Sequence[Audit]) -> int:
        """Store audits in one transaction and return how many are new: one auditor labels a decision once.

        Raises Degraded; then none is stored.
        """
        if not given:
            return 0
        rows = [_row(audit) for audit in given]
        counted = select(func.count()).select_from(audits)

        def change(connection: Connection) -> int:
            lock(connection, audits.name)  # numbers are in the order of commits: `last` misses none
            before = connection.scalar(counted) or 0
            connection.execute(self._insert, rows)
            return (connection.scalar(counted) or 0) - before

        return self._database.write(change, "audits_failed", f"{len(given)} labels were not stored", durable=True)

    def read(self, policy: str) -> list[Audit]:
        """Return the audits of a policy's decisions in the order in which they were recorded. Raises Degraded."""
        query = select(audits).where(audits.c.policy == policy).order_by(audits.c.number)
        return [
            Audit(
                decision=row["decision"],
                policy=row["policy"],
                certificate=row["certificate"],
                thresholds=tuple(_decode(row["thresholds"])),
                settled=tuple(_decode(row["settled"])),
                label=tuple(_decode(row["label"])),
                auditor=row["auditor"],
                at_ms=row["at_ms"],
            )
            for row in self._rows(query)
        ]

    def last(self) -> int:
        """Return the number of the newest audit; 0 where there is none. Raises Degraded."""
        return self._rows(select(func.max(audits.c.number).label("last")))[0]["last"] or 0

    def _rows(self, query: Select[Any]) -> list[Row]:
        return self._database.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()],
            "audits_failed",
            "the audits cannot be read",
        )


def _row(audit: Audit) -> Row:
    return {
        "decision": audit.decision,
        "auditor": audit.auditor,
        "at_ms": audit.at_ms,
        "policy": audit.policy,
        "certificate": audit.certificate,
        "thresholds": _encode(audit.thresholds).decode(),
        "settled": _encode(audit.settled).decode(),
        "label": _encode(audit.label).decode(),
    }
