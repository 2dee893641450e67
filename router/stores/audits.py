"""Audits in the database of the traces: which decisions may be drawn, and what auditors said of them.

Evidence is only ever added. A label that is stored already changes nothing; `number` is the order in which labels came,
and with it every reader folds them alike. The command line writes, the server reads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import func, insert, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql import Select

from router.core.audit import Audit
from router.core.errors import Degraded
from router.stores.database import cause, open_database
from router.stores.rows import Row
from router.stores.schema import audits, decisions

AUDITABLE = ("classified", "unclassified")
"""The outcomes of decisions in which recognition was asked and acted by."""

IDS_AT_ONCE = 500
"""Ids asked for in one statement; SQLite allowed 999 parameters before 3.32."""

_DRAWN = ("id", "at_ms", "policy", "revision", "conversation", "turn", "response_id", "tasks", "confidence")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class SqlAuditStore:
    """Keeps audits in the database at `url`, beside the traces. Raises SettingsError when it cannot be opened."""

    def __init__(self, url: str) -> None:
        self._engine, self._writer = open_database(url, durable=True)
        self._insert = insert(audits).prefix_with("OR IGNORE", dialect="sqlite")

    def unaudited(self, since_ms: int = 0, policy: str | None = None) -> Iterator[Row]:
        """Yield the decisions since then, oldest first, in which recognition acted and that have no label yet.

        Raises Degraded.
        """
        columns = [decisions.c[name] for name in _DRAWN]
        labelled = select(audits.c.number).where(audits.c.decision == decisions.c.id).exists()
        query = select(*columns).where(decisions.c.at_ms >= since_ms, decisions.c.outcome.in_(AUDITABLE), ~labelled)
        if policy is not None:
            query = query.where(decisions.c.policy == policy)
        for row in self._rows(query.order_by(decisions.c.at_ms, decisions.c.id)):
            yield row | {"tasks": _decode(row["tasks"])}

    def decisions(self, ids: Collection[str]) -> dict[str, Row]:
        """Return those of these decisions that are stored: policy, outcome, tasks and thresholds. Raises Degraded."""
        wanted = [decisions.c[name] for name in ("id", "policy", "outcome", "tasks", "evidence")]
        found: dict[str, Row] = {}
        for some in _chunks(ids):
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
            for some in _chunks(ids)
            for row in self._rows(wanted.where(audits.c.decision.in_(some)))
        }

    def record(self, given: Sequence[Audit]) -> int:
        """Store audits in one transaction and return how many are new: one auditor labels a decision once.

        Raises Degraded; then none is stored.
        """
        if not given:
            return 0
        try:
            with self._writer.begin():
                before = self._writer.scalar(select(func.count()).select_from(audits)) or 0
                self._writer.execute(self._insert, [_row(audit) for audit in given])
                return (self._writer.scalar(select(func.count()).select_from(audits)) or 0) - before
        except SQLAlchemyError as error:
            raise Degraded("audits_failed", f"{len(given)} labels were not stored: {cause(error)}") from error

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
        return next(iter(self._rows(select(func.max(audits.c.number).label("last")))))["last"] or 0

    def close(self) -> None:
        """Close all connections. Safe to call twice."""
        self._writer.close()
        self._engine.dispose()

    def _rows(self, query: Select[Any]) -> Iterator[Row]:
        try:
            with self._engine.connect() as connection:
                for row in connection.execute(query).mappings():
                    yield dict(row)
        except SQLAlchemyError as error:
            raise Degraded("audits_failed", f"the audits cannot be read: {cause(error)}") from error


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


def _chunks(ids: Collection[str]) -> Iterator[list[str]]:
    listed = sorted(set(ids))
    for at in range(0, len(listed), IDS_AT_ONCE):
        yield listed[at : at + IDS_AT_ONCE]
