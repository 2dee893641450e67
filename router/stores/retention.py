"""How long decisions are kept, by age and by size. The oldest go first, each with what was said of it.

Removed a few at a time, each batch in a transaction of its own, so that nothing waits for it. What stays:

- outcomes, the tuner's log, audits and counts: what levels and thresholds rest on. They hold no words of anybody;
- conversations whose assigned level has yet to mature: their feedback still counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, and_, delete, exists, func, or_, select
from sqlalchemy.sql import ColumnElement

from router.stores.database import Database
from router.stores.rows import NAMES_AT_ONCE
from router.stores.schema import assignments, decisions, feedback

DAY_MS = 24 * 3600 * 1000

LATE_MS = DAY_MS
"""An assignment that matured so long ago without an outcome gets none any more, and protects nothing."""

BATCH_DECISIONS = NAMES_AT_ONCE
"""Decisions removed in one transaction: thirty milliseconds in SQLite, with what was said of them."""

MEASURE_WITHIN_S = 60.0
"""PostgreSQL counts its rows one by one: about a second for ten million."""

CODE = "retention_failed"


class Swept(NamedTuple):
    """How many rows were removed."""

    decisions: int = 0
    feedback: int = 0
    assignments: int = 0

    def plus(self, other: Swept) -> Swept:
        """Return the sums."""
        return Swept(*(mine + its for mine, its in zip(self, other, strict=True)))


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

    def sweep(self, now_ms: int) -> Swept:
        """Remove what is too old or too much at this time, and return how much that was. Raises Degraded."""
        swept = Swept()
        if self.max_age_days is not None:
            upto_ms = now_ms - int(self.max_age_days * DAY_MS)
            while some := self._oldest(now_ms, decisions.c.at_ms < upto_ms):
                swept = swept.plus(self._remove(some))
            swept = swept.plus(Swept(feedback=self._remove_left(upto_ms)))
        if self.max_bytes is not None:
            while (surplus := self._surplus(self.max_bytes)) and (gone := self._remove_oldest(now_ms, surplus)):
                swept = swept.plus(gone)
        if swept != Swept():
            self.database.give_back()
        return swept

    def _surplus(self, most_bytes: int) -> int:
        """Return about how many decisions are too many: no more than are, since other rows count as theirs."""

        def measure(connection: Connection) -> tuple[int, int]:
            kept = connection.scalar(select(func.count()).select_from(decisions)) or 0
            return self.database.used_bytes(connection), kept

        used, kept = self.database.read(measure, CODE, "the database cannot be measured", within_s=MEASURE_WITHIN_S)
        return 0 if used <= most_bytes else math.ceil(kept * (used - most_bytes) / used)

    def _remove_oldest(self, now_ms: int, wanted: int) -> Swept | None:
        """Remove the oldest decisions, as many as wanted and some more; None where there is nothing to remove."""
        swept = None
        while (swept is None or swept.decisions < wanted) and (some := self._oldest(now_ms)):
            swept = (swept or Swept()).plus(self._remove(some))
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
            CODE,
            "old decisions cannot be found",
        )

    def _remove(self, some: Sequence[_Decision]) -> Swept:
        """Remove decisions, what was said of them, and of conversations of which none is left."""
        ids = [each.id for each in some]
        conversations = sorted({each.conversation for each in some})
        policies, tenants = sorted({each.policy for each in some}), sorted({each.tenant for each in some})
        of_them = and_(feedback.c.tenant.in_(tenants), feedback.c.conversation.in_(conversations))

        def change(connection: Connection) -> Swept:
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
            return Swept(gone, said, given)

        return self.database.write(change, CODE, f"{len(some)} old decisions were not removed")

    def _remove_left(self, upto_ms: int) -> int:
        """Remove old feedback that came while its decision was being removed."""
        return self.database.write(
            lambda connection: (
                connection.execute(delete(feedback).where(feedback.c.at_ms < upto_ms, ~_decided())).rowcount
            ),
            CODE,
            "old feedback was not removed",
        )


def _decided() -> ColumnElement[bool]:
    """Return the condition that a decision of the conversation that feedback is about is still there."""
    return exists().where(decisions.c.tenant == feedback.c.tenant, decisions.c.conversation == feedback.c.conversation)
