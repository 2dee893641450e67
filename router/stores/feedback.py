"""What was said of decisions, in the database: feedback by anybody, and the labels of auditors.

Feedback is durable when acknowledged, and counts once for each id of a tenant. What a sender names (a decision, an
answer's id, a conversation) is looked up within the tenant alone, so that nobody learns, or says anything of, what is
another's.

Audits are only ever added to. A label that is stored already changes nothing; `number` is the order in which labels
came, and with it every reader folds them alike. The command line writes, the server reads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, func, or_, select
from sqlalchemy.sql import ColumnElement, Select

from router.core.audit import Audit, numbers
from router.core.learning import Feedback
from router.core.store_ports import FeedbackSubject, FeedbackTarget
from router.stores.database import Database, Insertion, lock, pages
from router.stores.rows import Row, chunks, feedback_row, loaded_feedback, loaded_thresholds, storable_name
from router.stores.schema import audits, decisions, feedback

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

COLUMNS = tuple(column.name for column in feedback.columns if column.name != "number")

SHOWN_MOST = 1_000
"""Pieces of feedback on one conversation that are shown: a sender may have sent a million."""

_PLACE = tuple(decisions.c[name] for name in ("id", "policy", "conversation", "unit", "at_ms"))


class SqlFeedbackStore:
    """Implements `core.store_ports.FeedbackStore`. Owns nothing: who opened the database closes it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insertion = Insertion(database, feedback, COLUMNS)

    def locate(self, tenant: str, targets: Sequence[FeedbackTarget]) -> list[FeedbackSubject | None]:
        """Return what each of these means to a tenant; None for what is not there, or is another tenant's.

        An answer's id, or a conversation, means the newest of its decisions. Raises Degraded.
        """
        asked = [target._replace(name=storable_name(target.name)) for target in targets]
        wanted: dict[Literal["decision", "response", "conversation"], set[str]] = defaultdict(set)
        for target in asked:
            if target.name:
                wanted[target.kind].add(target.name)

        def ask(connection: Connection) -> dict[FeedbackTarget, FeedbackSubject]:
            found: dict[FeedbackTarget, FeedbackSubject] = {}
            for kind, names in wanted.items():
                for some in chunks(names):
                    for name, id_, policy, conversation, unit, at_ms in connection.execute(
                        _QUERIES[kind](tenant, some)
                    ):
                        decision = "" if kind == "conversation" else id_
                        found[FeedbackTarget(kind, name)] = FeedbackSubject(policy, conversation, unit, decision, at_ms)
            return found

        found = self._database.read(ask, "feedback_failed", "what feedback is about cannot be looked up")
        return [found.get(target) for target in asked]

    def record(self, rows: Sequence[Feedback]) -> list[bool]:
        """Store rows durably in one transaction, and say of each whether it is new: an id of a tenant counts once.

        Raises Degraded; then none is stored.
        """
        if not rows:
            return []
        named: dict[tuple[str, str], Row] = {}
        keys = []
        for row in map(feedback_row, rows):
            key = (row["tenant"], row["id"])
            keys.append(key)
            named.setdefault(key, row)

        def change(connection: Connection) -> set[tuple[str, str]]:
            return self._store(connection, named)

        new = self._database.write(
            change, "feedback_failed", f"{len(rows)} pieces of feedback were not stored", durable=True
        )
        said = []
        for key in keys:  # of the same id twice in one batch, the first is new
            said.append(key in new)
            new.discard(key)
        return said

    def about(self, tenant: str, located: FeedbackSubject, limit: int = SHOWN_MOST) -> list[Feedback]:
        """Return the newest feedback on a decision and on its conversation, in the order of receipt; where a
        conversation is meant, on all of its decisions. Raises Degraded.
        """
        query = select(feedback).where(
            feedback.c.tenant == tenant,
            feedback.c.conversation == located.conversation,
            feedback.c.policy == located.policy,
        )
        if located.decision:
            query = query.where(or_(feedback.c.decision == located.decision, feedback.c.decision == ""))
        newest = query.order_by(feedback.c.number.desc()).limit(limit)
        return self._read(newest)[::-1]

    def last_ms(self) -> int:
        """Return when the newest feedback was received; 0 where there is none. Raises Degraded."""
        return self._database.read(
            lambda connection: connection.scalar(select(func.max(feedback.c.at_ms))) or 0,
            "feedback_failed",
            "feedback cannot be read",
        )

    def _read(self, query: Select[Any]) -> list[Feedback]:
        return self._database.read(
            lambda connection: [loaded_feedback(row) for row in connection.execute(query).mappings()],
            "feedback_failed",
            "feedback cannot be read",
        )

    def _store(self, connection: Connection, named: dict[tuple[str, str], Row]) -> set[tuple[str, str]]:
        """Insert rows and return the keys of those that were not there.

        SQLite has one writer at a time: what is not there now will not be there a moment later. PostgreSQL says in the
        same breath what it inserted.
        """
        if connection.dialect.name == "postgresql":
            insertion = self._database.insert_new(feedback).returning(feedback.c.tenant, feedback.c.id)
            return {(row.tenant, row.id) for row in connection.execute(insertion, list(named.values()))}
        known = set(_known(connection, named))
        new = {key: row for key, row in named.items() if key not in known}
        self._insertion.run(connection, self._insertion.arrange(list(new.values())))
        return set(new)


def _known(connection: Connection, keys: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    by_tenant: dict[str, list[str]] = defaultdict(list)
    for tenant, id_ in keys:
        by_tenant[tenant].append(id_)
    for tenant, ids in by_tenant.items():
        for some in chunks(ids):
            query = select(feedback.c.id).where(feedback.c.tenant == tenant, feedback.c.id.in_(some))
            for id_ in connection.scalars(query):
                yield tenant, id_


def _of(tenant: str) -> ColumnElement[bool]:
    """Return the condition that a decision is a tenant's, so spelled that no index answers it: ids find far fewer."""
    return func.coalesce(decisions.c.tenant, "") == tenant


def _by_id(tenant: str, ids: Sequence[str]) -> Select[Any]:
    """Return the query of these decisions: name, then place."""
    return select(decisions.c.id.label("name"), *_PLACE).where(decisions.c.id.in_(ids), _of(tenant))


def _newest_by(
    column: ColumnElement[str], of: Callable[[str], ColumnElement[bool]]
) -> Callable[[str, Sequence[str]], Select[Any]]:
    """Return the query of a tenant's newest decision for each value of a column: name, then place."""
    rank = func.row_number().over(partition_by=column, order_by=(decisions.c.at_ms.desc(), decisions.c.id.desc()))

    def query(tenant: str, names: Sequence[str]) -> Select[Any]:
        ranked = (
            select(column.label("name"), *_PLACE, rank.label("rank")).where(of(tenant), column.in_(names)).subquery()
        )
        return select(ranked.c.name, *(ranked.c[each.name] for each in _PLACE)).where(ranked.c.rank == 1)

    return query


_QUERIES = {
    "decision": _by_id,
    "response": _newest_by(decisions.c.response_id, _of),
    "conversation": _newest_by(decisions.c.conversation, lambda tenant: decisions.c.tenant == tenant),
}


AUDITABLE = ("classified", "shortlisted", "unclassified")
"""The outcomes of decisions in which recognition was asked and acted by."""

_DRAWN = ("id", "at_ms", "policy", "conversation", "turn", "response_id", "tasks", "shortlist", "confidence")


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
                yield row | {name: _decode(row[name]) for name in ("tasks", "shortlist")}

    def decisions(self, ids: Collection[str]) -> dict[str, Row]:
        """Return those of these decisions that are stored, with what an audit holds of them. Raises Degraded."""
        wanted = [decisions.c[name] for name in ("id", "policy", "outcome", "tasks", "shortlist", "evidence")]
        found: dict[str, Row] = {}
        for some in chunks(ids):
            for row in self._rows(select(*wanted).where(decisions.c.id.in_(some))):
                stored = _decode(row["evidence"])["thresholds"]
                thresholds = loaded_thresholds(stored)
                found[row["id"]] = {
                    "policy": row["policy"],
                    "outcome": row["outcome"],
                    "settled": tuple(_decode(row["tasks"])),
                    "shortlist": tuple(_decode(row["shortlist"])),
                    "thresholds": numbers(thresholds),
                    "certificate": stored.get("certificate", ""),
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
        rows = [_audit_row(audit) for audit in given]
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
                shortlist=tuple(_decode(row["shortlist"])),
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


def _audit_row(audit: Audit) -> Row:
    return {
        "decision": audit.decision,
        "auditor": audit.auditor,
        "at_ms": audit.at_ms,
        "policy": audit.policy,
        "certificate": audit.certificate,
        "thresholds": _encode(audit.thresholds).decode(),
        "settled": _encode(audit.settled).decode(),
        "label": _encode(audit.label).decode(),
        "shortlist": _encode(audit.shortlist).decode(),
    }
