"""What an operator does with stored records: keep them so long and no longer, forget a person.

*Retention* removes decisions by age and by size, the oldest first, each with what was said of it: a few at a time, each
batch in a transaction of its own, so that nothing waits for it. Conversations whose assigned level has yet to mature
stay: their feedback still counts.

*Forgetting* a person, or a conversation, is done on demand, at once and for good: what was decided for them, what was
said about it, what they were assigned and what their conversations keep is removed. In SQLite nothing of it is left in
the file. PostgreSQL overwrites removed rows when it next needs their room.

Either way outcomes, the tuner's log, audits and counts stay: what levels and thresholds rest on, bit for bit. They hold
no words of anybody, and outcomes lose the names of unit, conversation and decision. Audits name a decision that is no
more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection, Table, and_, delete, exists, func, or_, select, update
from sqlalchemy.sql import ColumnElement

from router.stores.database import SEARCH_WITHIN_S, Database, pages
from router.stores.rows import NAMES_AT_ONCE, Row, chunks
from router.stores.schema import assignments, decisions, feedback, outcomes, pins

DAY_MS = 24 * 3600 * 1000

LATE_MS = DAY_MS
"""An assignment that matured so long ago without an outcome gets none any more, and protects nothing."""

BATCH_DECISIONS = NAMES_AT_ONCE
"""Decisions removed in one transaction: thirty milliseconds in SQLite, with what was said of them."""

MEASURE_WITHIN_S = 60.0
"""PostgreSQL counts its rows one by one: about a second for ten million."""


class Removed(NamedTuple):
    """How many rows were removed, and how many outcomes have lost their name."""

    decisions: int = 0
    feedback: int = 0
    assignments: int = 0
    pins: int = 0
    outcomes: int = 0

    def plus(self, other: Removed) -> Removed:
        """Return the sums."""
        return Removed(*(mine + its for mine, its in zip(self, other, strict=True)))


class _Decision(NamedTuple):
    id: str
    tenant: str
    policy: str
    conversation: str


@dataclass(frozen=True, slots=True)
class Retention:
    """Keeps decisions for `max_age_days`, and no more than fit into `max_bytes`; None sets no limit.

    The bytes are those that rows take. A file of SQLite shrinks with them where this program made it; PostgreSQL keeps
    the room for new rows.
    """

    database: Database
    max_age_days: float | None = None
    max_bytes: int | None = None

    def sweep(self, now_ms: int) -> Removed:
        """Remove what is too old or too much at this time, and return how much that was. Raises Degraded."""
        swept = Removed()
        if self.max_age_days is not None:
            upto_ms = now_ms - int(self.max_age_days * DAY_MS)
            while some := self._oldest(now_ms, decisions.c.at_ms < upto_ms):
                swept = swept.plus(self._remove(some))
            swept = swept.plus(Removed(feedback=self._remove_left(upto_ms)))
        if self.max_bytes is not None:
            while (surplus := self._surplus(self.max_bytes)) and (gone := self._remove_oldest(now_ms, surplus)):
                swept = swept.plus(gone)
        if swept != Removed():
            self.database.give_back()
        return swept

    def _surplus(self, most_bytes: int) -> int:
        """Return about how many decisions are too many: no more than are, since other rows count as theirs."""

        def measure(connection: Connection) -> tuple[int, int]:
            kept = connection.scalar(select(func.count()).select_from(decisions)) or 0
            return self.database.used_bytes(connection), kept

        used, kept = self.database.read(
            measure, "retention_failed", "the database cannot be measured", within_s=MEASURE_WITHIN_S
        )
        return 0 if used <= most_bytes else math.ceil(kept * (used - most_bytes) / used)

    def _remove_oldest(self, now_ms: int, wanted: int) -> Removed | None:
        """Remove the oldest decisions, as many as wanted and some more; None where there is nothing to remove."""
        swept = None
        while (swept is None or swept.decisions < wanted) and (some := self._oldest(now_ms)):
            swept = (swept or Removed()).plus(self._remove(some))
        return swept

    def _oldest(self, now_ms: int, *wanted: ColumnElement[bool]) -> list[_Decision]:
        """Return the next decisions to go."""
        waits = exists().where(
            assignments.c.policy == decisions.c.policy,
            assignments.c.conversation == decisions.c.conversation,
            assignments.c.settled == 0,
            assignments.c.matures_ms > now_ms - LATE_MS,
        )
        oldest = (
            select(*(decisions.c[name] for name in _Decision._fields))
            .where(~waits, *wanted)
            .order_by(decisions.c.at_ms, decisions.c.id)
            .limit(BATCH_DECISIONS)
        )
        return self.database.read(
            lambda connection: [_Decision(*row) for row in connection.execute(oldest)],
            "retention_failed",
            "old decisions cannot be found",
        )

    def _remove(self, some: Sequence[_Decision]) -> Removed:
        """Remove decisions, what was said of them, and of conversations of which none is left."""
        ids = [each.id for each in some]
        conversations = sorted({each.conversation for each in some})
        policies, tenants = sorted({each.policy for each in some}), sorted({each.tenant for each in some})
        of_them = and_(feedback.c.tenant.in_(tenants), feedback.c.conversation.in_(conversations))

        def change(connection: Connection) -> Removed:
            gone = connection.execute(delete(decisions).where(decisions.c.id.in_(ids))).rowcount
            said = connection.execute(
                delete(feedback).where(
                    of_them, or_(feedback.c.decision.in_(ids), and_(feedback.c.decision == "", ~_decided()))
                )
            ).rowcount
            given = connection.execute(
                delete(assignments).where(
                    assignments.c.policy.in_(policies),
                    assignments.c.conversation.in_(conversations),
                    assignments.c.decision.in_(ids),
                )
            ).rowcount
            return Removed(gone, said, given)

        return self.database.write(change, "retention_failed", f"{len(some)} old decisions were not removed")

    def _remove_left(self, upto_ms: int) -> int:
        """Remove old feedback that came while its decision was being removed."""
        return self.database.write(
            lambda connection: (
                connection.execute(delete(feedback).where(feedback.c.at_ms < upto_ms, ~_decided())).rowcount
            ),
            "retention_failed",
            "old feedback was not removed",
        )


def _decided() -> ColumnElement[bool]:
    """Return the condition that a decision of the conversation that feedback is about is still there."""
    return exists().where(decisions.c.tenant == feedback.c.tenant, decisions.c.conversation == feedback.c.conversation)


WITHIN_S = 60.0
"""All goes in one transaction, so it may take longer than what runs beside requests."""

ROUNDS = 5
"""Decisions may still come in while those before are removed; of whoever goes on talking there is no end."""


def forget_unit(database: Database, tenant: str, unit: str) -> Removed:
    """Forget an end user of a tenant, by their keyed hash. Raises Degraded; then nothing is forgotten."""
    return _forget(database, tenant, "unit", unit)


def forget_conversation(database: Database, tenant: str, conversation: str) -> Removed:
    """Forget a conversation of a tenant, by its keyed hash. Raises Degraded; then nothing is forgotten."""
    return _forget(database, tenant, "conversation", conversation)


def _forget(database: Database, tenant: str, column: str, name: str) -> Removed:
    found = select(decisions.c.id, decisions.c.conversation).where(
        decisions.c.tenant == tenant, decisions.c[column] == name
    )
    total = Removed()
    for _ in range(ROUNDS):
        # Found without holding up those who write: by a unit, it takes a look at every decision.
        rows = [
            row
            for page in pages(
                database,
                found,
                [decisions.c.id],
                "forget_failed",
                "decisions cannot be found",
                within_s=SEARCH_WITHIN_S,
            )
            for row in page
        ]
        gone = database.write(
            partial(_remove, tenant=tenant, column=column, name=name, rows=rows),
            "forget_failed",
            "nothing was forgotten",
            durable=True,
            within_s=WITHIN_S,
        )
        total = total.plus(gone)
        if gone == Removed():
            break
    database.give_back()
    return total


def _remove(connection: Connection, tenant: str, column: str, name: str, rows: Sequence[Row]) -> Removed:
    ids = [row["id"] for row in rows]
    conversations = {row["conversation"] for row in rows}

    def gone(table: Table, *wanted: ColumnElement[bool]) -> int:
        return connection.execute(delete(table).where(*wanted)).rowcount

    def of_them(table: Table) -> tuple[ColumnElement[bool], ...]:
        return table.c.tenant == tenant, table.c[column] == name

    decided = sum(gone(decisions, decisions.c.id.in_(some)) for some in chunks(ids))
    said = gone(feedback, *of_them(feedback))
    given = gone(assignments, *of_them(assignments))
    others = exists().where(decisions.c.tenant == tenant, decisions.c.conversation == pins.c.conversation)
    kept = sum(gone(pins, pins.c.conversation.in_(some), ~others) for some in chunks(conversations))
    nameless = connection.execute(
        update(outcomes).where(*of_them(outcomes)).values(decision=None, conversation=None, unit=None)
    ).rowcount
    return Removed(decided, said, given, kept, nameless)
