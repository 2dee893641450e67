"""What is special about the SQL trace store: rows, assignments beside them, and a database that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from router.core.errors import Degraded
from router.core.learning import Assignment
from router.core.policy import Level
from router.core.ports import Usage
from router.core.trace import Trace
from router.stores import Database, SqlLearningStore, SqlTraceStore, open_database
from router.stores.rows import RowMaker
from router.stores.schema import decisions

Traces = Callable[..., Trace]
Assignments = Callable[..., Assignment]


@pytest.fixture
def store(database: Database) -> SqlTraceStore:
    return SqlTraceStore(database)


def test_traces_survive_a_restart(trace: Traces, database: Database, store: SqlTraceStore, url: str) -> None:
    store.write([trace(1)])
    database.close()
    again = open_database(url)
    assert SqlTraceStore(again).read("dec_1")["tenant"] == "acme"
    again.close()


def test_every_column_is_filled_by_the_row_maker(trace: Traces) -> None:
    assert list(RowMaker().row(trace(1))) == [column.name for column in decisions.columns]


def test_an_assignment_is_stored_with_its_decision(
    trace: Traces, assignment: Assignments, database: Database, store: SqlTraceStore
) -> None:
    drawn = assignment(2, "/delivery", trial="t1", node="/", challenger=True, share=0.1, holdout=True)
    store.write([trace(1, assignment=assignment(1)), trace(2, assignment=drawn), trace(3)])
    due = SqlLearningStore(database).due("shop", 9_000, 10)
    assert [each.assignment for each in due] == [assignment(1), drawn]


def test_the_first_assignment_of_a_conversation_to_a_task_stays(
    trace: Traces, assignment: Assignments, database: Database, store: SqlTraceStore
) -> None:
    first, again = assignment(1), assignment(2, level=Level.BRIEF)
    store.write([trace(1, assignment=first)])
    store.write([trace(1, assignment=first), trace(2, assignment=again), trace(3, assignment=again)])
    assert [each.assignment for each in SqlLearningStore(database).due("shop", 9_000, 10)] == [first]
    assert store.read("dec_2") is not None


def test_a_batch_that_fails_is_degraded_whole_and_the_next_one_is_stored(
    trace: Traces, assignment: Assignments, store: SqlTraceStore
) -> None:
    with pytest.raises(Degraded, match="2 traces were not stored: ") as caught:
        store.write([trace(1, assignment=assignment(1, matures_ms=2**70)), trace(2)])
    assert caught.value.code == "store_failed"
    assert store.read("dec_1") is store.read("dec_2") is None
    store.write([trace(1)])
    assert store.read("dec_1") is not None


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"model": "a\0b\udcff"}, {"model": "a?b?"}),
        ({"usage": Usage(2**40, 0, 0, 7)}, {"prompt_tokens": 2**31 - 1, "completion_tokens": 7}),
        ({"retry": 10**30}, {"retry": 2**31 - 1}),
    ],
    ids=["name", "tokens", "retry"],
)
def test_one_odd_value_never_costs_a_batch(
    trace: Traces, store: SqlTraceStore, changes: dict[str, Any], kept: dict[str, Any]
) -> None:
    store.write([trace(1, **changes), trace(2)])
    row = store.read("dec_1")
    assert {name: row[name] for name in kept} == kept


def test_a_broken_store_is_degraded(trace: Traces, database: Database, store: SqlTraceStore) -> None:
    database.write(lambda connection: connection.exec_driver_sql("DROP TABLE decisions"), "failed", "no")
    for use in (store.recent, lambda: store.write([trace(1)])):
        with pytest.raises(Degraded, match=r"no such table|does not exist"):
            use()


def test_using_it_after_closing_is_degraded(trace: Traces, database: Database, store: SqlTraceStore) -> None:
    database.close()
    for use in (store.recent, lambda: store.write([trace(1)])):
        with pytest.raises(Degraded, match="closed"):
            use()
