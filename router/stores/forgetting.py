"""Forgetting a person, or a conversation, on demand: at once and for good.

What was decided for them, what was said about it, what they were assigned and what their conversations keep is removed.
Outcomes stay, as numbers without a name: neither unit nor conversation nor decision. So the evidence that levels were
certified with stays what it was, bit for bit, and says nothing of anybody. Audits name a decision that is no more.

In SQLite nothing of it is left in the file. PostgreSQL overwrites removed rows when it next needs their room.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection, Table, delete, exists, select, update
from sqlalchemy.sql import ColumnElement

from router.stores.database import Database
from router.stores.paging import SEARCH_WITHIN_S, pages
from router.stores.rows import Row, chunks
from router.stores.schema import assignments, decisions, feedback, outcomes, pins

CODE = "forget_failed"

WITHIN_S = 60.0
"""All goes in one transaction, so it may take longer than what runs beside requests."""

ROUNDS = 5
"""Decisions may still come in while those before are removed; of whoever goes on talking there is no end."""


class Forgotten(NamedTuple):
    """How many rows were removed, and how many outcomes have lost their name."""

    decisions: int = 0
    feedback: int = 0
    assignments: int = 0
    pins: int = 0
    outcomes: int = 0


def forget_unit(database: Database, tenant: str, unit: str) -> Forgotten:
    """Forget an end user of a tenant, by their keyed hash. Raises Degraded; then nothing is forgotten."""
    return _forget(database, tenant, "unit", unit)


def forget_conversation(database: Database, tenant: str, conversation: str) -> Forgotten:
    """Forget a conversation of a tenant, by its keyed hash. Raises Degraded; then nothing is forgotten."""
    return _forget(database, tenant, "conversation", conversation)


def _forget(database: Database, tenant: str, column: str, name: str) -> Forgotten:
    found = select(decisions.c.id, decisions.c.conversation).where(
        decisions.c.tenant == tenant, decisions.c[column] == name
    )
    total = Forgotten()
    for _ in range(ROUNDS):
        # Found without holding up those who write: by a unit, it takes a look at every decision.
        rows = [
            row
            for page in pages(
                database, found, [decisions.c.id], CODE, "decisions cannot be found", within_s=SEARCH_WITHIN_S
            )
            for row in page
        ]
        gone = database.write(
            partial(_remove, tenant=tenant, column=column, name=name, rows=rows),
            CODE,
            "nothing was forgotten",
            durable=True,
            within_s=WITHIN_S,
        )
        total = Forgotten(*(before + now for before, now in zip(total, gone, strict=True)))
        if gone == Forgotten():
            break
    database.give_back()
    return total


def _remove(connection: Connection, tenant: str, column: str, name: str, rows: Sequence[Row]) -> Forgotten:
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
    return Forgotten(decided, said, given, kept, nameless)
