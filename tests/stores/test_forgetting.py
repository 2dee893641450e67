"""Forgetting a person removes what is theirs and nothing else, and leaves the evidence as it was, bit for bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from router.core.errors import Degraded
from router.core.learning import Assignment, Feedback, Outcome
from router.core.store_ports import PinRecord
from router.core.trace import Trace
from router.stores import (
    Database,
    Removed,
    SqlFeedbackStore,
    SqlLearningStore,
    SqlPinStore,
    SqlTraceStore,
    forget_conversation,
    forget_unit,
)
from router.stores.schema import metadata

Traces = Callable[..., Trace]
Said = Callable[..., Feedback]
Assignments = Callable[..., Assignment]

# conversation, unit, tenant: ann has two conversations, and one that is not hers alone.
TALKS = (("c1", "ann", "acme"), ("c2", "ann", "acme"), ("c3", "bob", "acme"), ("c4", "ann", "other"))
SHARED = "c5"


@pytest.fixture
def full(trace: Traces, feedback: Said, assignment: Assignments, database: Database) -> Database:
    """A database in which everybody has everything."""
    talks = [*TALKS, (SHARED, "ann", "acme"), (SHARED, "bob", "acme")]
    given = [
        assignment(n, f"/task{n}", conversation=conversation, unit=unit, tenant=tenant)
        for n, (conversation, unit, tenant) in enumerate(talks)
    ]
    SqlTraceStore(database).write(
        [
            trace(n, conversation=each.conversation, unit=each.unit, tenant=each.tenant, assignment=each)
            for n, each in enumerate(given)
        ]
    )
    SqlFeedbackStore(database).record(
        [
            feedback(
                n, decision=f"dec_{n}", conversation=a.conversation, unit=a.unit, tenant=a.tenant, comment="private"
            )
            for n, a in enumerate(given)
        ]
    )
    SqlPinStore(database).write(
        [PinRecord("shop", c, "0", "rev", 1.0, 2.0, 60.0, (), {}) for c in ("c1", "c2", "c3", "c4", SHARED)]
    )
    SqlLearningStore(database).settle([Outcome(each, 0.1 * n, {"slow": 1 / 3}) for n, each in enumerate(given)])
    return database


def column(database: Database, table: str, name: str) -> list:
    found = select(metadata.tables[table].c[name])
    return database.read(lambda connection: sorted(connection.scalars(found), key=str), "failed", "unread")


def test_a_person_is_forgotten(full: Database) -> None:
    assert forget_unit(full, "acme", "ann") == Removed(3, 3, 3, 2, 3)
    for table in ("decisions", "feedback", "assignments"):
        assert column(full, table, "unit") == ["ann", "bob", "bob"]
        assert column(full, table, "tenant") == ["acme", "acme", "other"]
    assert column(full, "pins", "conversation") == ["c3", "c4", SHARED]
    assert forget_unit(full, "acme", "ann") == Removed()


def test_a_conversation_is_forgotten(full: Database) -> None:
    assert forget_conversation(full, "acme", SHARED) == Removed(2, 2, 2, 1, 2)
    for table in ("decisions", "feedback", "assignments", "pins"):
        assert column(full, table, "conversation") == ["c1", "c2", "c3", "c4"]


def test_another_tenants_are_not(full: Database) -> None:
    assert forget_unit(full, "nobody", "ann") == forget_conversation(full, "other", "c1") == Removed()
    assert len(column(full, "decisions", "id")) == 6


def test_the_evidence_stays_as_numbers_that_belong_to_nobody(full: Database) -> None:
    learning = SqlLearningStore(full)
    before = learning.outcomes("shop")
    forget_unit(full, "acme", "ann")
    after = learning.outcomes("shop")

    def nameless(outcome: Outcome) -> Outcome:
        given = dataclasses.replace(outcome.assignment, decision="", conversation="", unit="")
        return dataclasses.replace(outcome, assignment=given)

    assert [nameless(each) for each in after] == [nameless(each) for each in before]
    assert {each.assignment.unit for each in after if each.assignment.tenant == "acme"} == {"", "bob"}


def test_what_outlived_its_decision_is_forgotten_as_well(full: Database) -> None:
    full.write(lambda connection: connection.exec_driver_sql("DELETE FROM decisions"), "failed", "no")
    assert forget_unit(full, "acme", "ann") == Removed(0, 3, 3, 0, 3)


def test_many_decisions_are_forgotten(trace: Traces, database: Database) -> None:
    SqlTraceStore(database).write([trace(n, conversation=f"c{n}", unit="ann") for n in range(1_300)])
    assert forget_unit(database, "acme", "ann") == Removed(decisions=1_300)


def test_no_trace_of_it_is_left_in_the_file(sqlite: Database, trace: Traces, feedback: Said, file: Path) -> None:
    SqlTraceStore(sqlite).write([trace(1, conversation="c" * 24)])
    SqlFeedbackStore(sqlite).record([feedback(1, conversation="c" * 24, comment="very private")])
    forget_unit(sqlite, "acme", "u1")
    sqlite.close()
    kept = b"".join(part.read_bytes() for part in file.parent.glob("router.db*"))
    assert b"very private" not in kept and b"c" * 24 not in kept


def test_all_or_nothing_is_forgotten(full: Database) -> None:
    full.write(lambda connection: connection.exec_driver_sql("DROP TABLE pins"), "failed", "no")
    with pytest.raises(Degraded, match="nothing was forgotten: ") as caught:
        forget_unit(full, "acme", "ann")
    assert caught.value.code == "forget_failed"
    assert len(column(full, "decisions", "id")) == len(column(full, "feedback", "id")) == 6
