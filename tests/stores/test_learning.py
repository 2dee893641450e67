"""What levels are tuned from: what is due, in which order it is kept, and who may add to the log."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import pytest

from router.core.errors import Degraded
from router.core.learning import Assignment, Compliance, DialKey, ExperimentEvent, Feedback, Outcome, ServiceRecord
from router.core.policy import Level
from router.core.ports import Usage
from router.core.store_ports import FeedbackSubject
from router.core.trace import Trace
from router.stores import Database, SqlFeedbackStore, SqlLearningStore, SqlTraceStore, open_database
from router.stores.learning import SAID_MOST

Traces = Callable[..., Trace]
Said = Callable[..., Feedback]
Assignments = Callable[..., Assignment]
KEY = DialKey("/billing", "fast")


@pytest.fixture
def store(database: Database) -> SqlLearningStore:
    return SqlLearningStore(database)


@pytest.fixture
def traces(database: Database) -> SqlTraceStore:
    return SqlTraceStore(database)


def event(kind: str = "started", policy: str = "shop", **changes: object) -> ExperimentEvent:
    return dataclasses.replace(
        ExperimentEvent(5_000, policy, kind, KEY, {"share": 0.1}, "It begins.", "ann"), **changes
    )


# ---------------------------------------------------------------------------------------------------------- due


def test_what_has_matured_is_due_in_the_order_of_maturity_then_of_decisions(
    trace: Traces, assignment: Assignments, traces: SqlTraceStore, store: SqlLearningStore
) -> None:
    matures = {1: 500, 2: 300, 3: 501, 5: 300, 4: 300}
    given = {n: assignment(n, conversation=f"c{n}", matures_ms=at) for n, at in matures.items()}
    given[6] = assignment(6, policy="bank", conversation="c6", matures_ms=1)
    traces.write([trace(n, conversation=f"c{n}", assignment=each) for n, each in given.items()])
    due = [each.assignment for each in store.due("shop", 500, 10)]
    assert due == [given[2], given[4], given[5], given[1]]
    assert [each.assignment for each in store.due("shop", 500, 3)] == due[:3]
    assert store.due("shop", 299, 10) == store.due("nobody", 9_999, 10) == store.due("shop", 9_999, 0) == []


def test_an_assignment_comes_back_as_it_was(
    trace: Traces, assignment: Assignments, traces: SqlTraceStore, store: SqlLearningStore
) -> None:
    drawn = assignment(
        1, trial="t1", node="/", challenger=True, share=0.30000000000000004, holdout=True, level=Level.OFF
    )
    traces.write([trace(1, assignment=drawn)])
    (due,) = store.due("shop", 9_000, 10)
    assert due.assignment == drawn
    assert isinstance(due.assignment.level, Level) and due.assignment.challenger is True


def test_feedback_counts_that_came_by_the_time_of_maturity(
    trace: Traces, assignment: Assignments, feedback: Said, database: Database, store: SqlLearningStore
) -> None:
    SqlTraceStore(database).write(
        [
            trace(1, assignment=assignment(1, matures_ms=5_000)),
            trace(2, assignment=assignment(2, "/delivery", matures_ms=6_000)),
            trace(3, conversation="c2", assignment=assignment(3, conversation="c2")),
        ]
    )
    said = [
        feedback(1, at_ms=5_000),
        feedback(2, at_ms=4_000, decision=""),  # received after the first, whatever the clock says
        feedback(3, at_ms=5_001, decision="dec_2"),
        feedback(4, at_ms=6_001),
        feedback(5, at_ms=10, policy="bank"),
        feedback(6, at_ms=10, tenant="other"),
        feedback(7, at_ms=10, conversation="c3"),
    ]
    SqlFeedbackStore(database).record(said)
    first, second, third = store.due("shop", 9_999, 10)
    assert first.feedback == (said[0], said[1])
    assert second.feedback == (said[0], said[1], said[2])
    assert third.feedback == ()


def test_what_came_before_the_conversation_was_at_the_task_says_nothing_of_it(
    trace: Traces, assignment: Assignments, feedback: Said, database: Database, store: SqlLearningStore
) -> None:
    later = assignment(2, "/delivery", at_ms=3_000, matures_ms=9_000)
    SqlTraceStore(database).write([trace(1, status=502), trace(2, at_ms=3_001, status=499, assignment=later)])
    said = [feedback(1, at_ms=2_999), feedback(2, at_ms=3_000)]
    SqlFeedbackStore(database).record(said)
    (due,) = store.due("shop", 9_999, 10)
    assert due.feedback == (said[1],)
    assert (due.served.answers, due.served.failures) == (1, 0)  # a client that went away was failed by nobody


def test_of_a_million_words_of_one_source_the_first_are_looked_at(
    trace: Traces, assignment: Assignments, feedback: Said, database: Database, store: SqlLearningStore
) -> None:
    SqlTraceStore(database).write([trace(1, assignment=assignment(1, matures_ms=99_000))])
    many = [feedback(number) for number in range(SAID_MOST + 50)]
    other = feedback(50_000, at_ms=90_000, source="audit")
    SqlFeedbackStore(database).record([*many, other])
    (due,) = store.due("shop", 99_999, 10)
    assert due.feedback == (*many[:SAID_MOST], other)


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({}, FeedbackSubject("shop", "c2", "u1", "dec_2", 1_002)),
        ({"conversation": "c2"}, FeedbackSubject("shop", "c1", "u1", "dec_1", 1_001)),
        ({"since_ms": 1_003}, None),
        ({"unit": "u9"}, None),
        ({"task": "/delivery"}, None),
        ({"tenant": "other"}, None),
        ({"policy": "bank"}, None),
    ],
)
def test_who_came_to_a_task_before_is_known(
    trace: Traces,
    assignment: Assignments,
    database: Database,
    store: SqlLearningStore,
    more: dict[str, Any],
    found: FeedbackSubject | None,
) -> None:
    SqlTraceStore(database).write(
        [
            trace(1, assignment=assignment(1)),
            trace(2, conversation="c2", assignment=assignment(2, conversation="c2")),
        ]
    )
    asked = {"tenant": "acme", "policy": "shop", "unit": "u1", "task": "/billing", "conversation": "c3", "since_ms": 0}
    assert store.earlier(**{**asked, **more}) == found


def test_it_is_known_how_a_conversation_was_served_by_then(
    trace: Traces, assignment: Assignments, traces: SqlTraceStore, store: SqlLearningStore
) -> None:
    traces.write(
        [
            trace(1, status=200, total_ms=7.5, usage=Usage(100, 0, 0, 20), assignment=assignment(1)),
            trace(2, status=502, error="backend_error", total_ms=9.25, at_ms=9_000),
            trace(3, status=200, error="stream_cut", total_ms=1.0, usage=Usage(1, 0, 0, 2)),
            trace(4, status=429, total_ms=2.0),
            trace(5, at_ms=9_001, total_ms=99.0),
            trace(6, tenant="other", total_ms=99.0),
            trace(7, policy="bank", total_ms=99.0),
            trace(8, conversation="c2", total_ms=99.0),
        ]
    )
    (due,) = store.due("shop", 9_999, 10)
    assert due.served == ServiceRecord(answers=4, failures=3, slowest_ms=9.25, tokens=123)


def test_of_a_conversation_whose_decisions_are_gone_nothing_is_known(
    trace: Traces, assignment: Assignments, database: Database, store: SqlLearningStore
) -> None:
    SqlTraceStore(database).write([trace(1, assignment=assignment(1))])
    database.write(lambda connection: connection.exec_driver_sql("DELETE FROM decisions"), "failed", "no")
    (due,) = store.due("shop", 9_999, 10)
    assert due.served == ServiceRecord()


def test_what_is_due_is_found_by_an_index(sqlite: Database) -> None:
    seen: list[str] = []

    def explain(connection) -> None:
        from sqlalchemy.dialects import sqlite as dialect

        from router.stores.learning import _matured

        query = _matured("shop", 9_999, 2_000).compile(
            dialect=dialect.dialect(), compile_kwargs={"literal_binds": True}
        )
        seen.extend(row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}"))

    sqlite.read(explain, "failed", "unread")
    assert seen == ["SEARCH assignments USING INDEX ix_assignments_due (policy=? AND settled=? AND matures_ms<?)"]


# ----------------------------------------------------------------------------------------------------- outcomes


def test_outcomes_are_kept_in_their_order_and_are_no_longer_due(
    trace: Traces, assignment: Assignments, traces: SqlTraceStore, store: SqlLearningStore
) -> None:
    given = [assignment(n, conversation=f"c{n}") for n in range(4)]
    traces.write([trace(n, conversation=f"c{n}", assignment=each) for n, each in enumerate(given)])
    outcomes = [
        Outcome(given[2], 0.1 + 0.2, {"escalated": 1.0, "slow": 1 / 3}),
        Outcome(given[0], None, {}, repeated=True),
        Outcome(assignment(9, policy="bank"), 1.0),
        Outcome(given[1], 0.0),
    ]
    store.settle(outcomes)
    found = store.outcomes("shop")
    assert [dataclasses.replace(each, number=0) for each in found] == [outcomes[0], outcomes[1], outcomes[3]]
    numbers = [each.number for each in found]
    assert numbers == sorted(set(numbers)) and numbers[0] > 0
    assert store.outcomes("shop", after=numbers[0]) == found[1:]
    assert store.outcomes("shop", limit=2) == found[:2]
    assert [each.assignment for each in store.due("shop", 9_999, 10)] == [given[3]]


def test_an_outcome_is_written_once(
    trace: Traces, assignment: Assignments, traces: SqlTraceStore, store: SqlLearningStore
) -> None:
    given = [assignment(n, conversation=f"c{n}") for n in range(3)]
    traces.write([trace(n, conversation=f"c{n}", assignment=each) for n, each in enumerate(given)])
    store.settle([Outcome(given[0], 1.0)])
    before = store.outcomes("shop")
    store.settle([Outcome(given[1], 0.5), Outcome(given[0], 0.0), Outcome(given[1], 0.7)])
    after = store.outcomes("shop")
    assert after[0] == before[0]
    assert [each.reward for each in after] == [1.0, 0.5]
    store.settle([])
    assert store.outcomes("shop") == after


def test_a_trial_knows_whom_it_has_counted(assignment: Assignments, store: SqlLearningStore) -> None:
    def outcome(number: int, unit: str, trial: str, reward: float | None = 1.0) -> Outcome:
        return Outcome(assignment(number, conversation=f"c{number}", unit=unit, trial=trial), reward)

    store.settle([outcome(1, "ann", "t1"), outcome(2, "bob", "t2"), outcome(3, "cem", "t1", None)])
    assert store.seen("t1", ["ann", "bob", "cem", "dee"]) == {"ann", "cem"}
    assert store.seen("t1", []) == store.seen("t3", ["ann"]) == frozenset()
    assert store.seen("t2", [f"u{n}" for n in range(1_200)] + ["bob"]) == {"bob"}


def test_outcomes_that_cannot_all_be_stored_are_not(
    trace: Traces, assignment: Assignments, traces: SqlTraceStore, store: SqlLearningStore
) -> None:
    traces.write([trace(1, assignment=assignment(1))])
    with pytest.raises(Degraded, match="2 outcomes were not stored: ") as caught:
        store.settle([Outcome(assignment(1), 1.0), Outcome(assignment(2, conversation="c2", at_ms=2**80), 1.0)])
    assert caught.value.code == "learning_failed"
    assert store.outcomes("shop") == []
    assert len(store.due("shop", 9_999, 10)) == 1


# --------------------------------------------------------------------------------------------------------- log


def test_the_log_is_read_in_order_and_by_policy(store: SqlLearningStore) -> None:
    assert store.newest() == {} and store.events("shop") == []
    given = [event(), event("shared", facts={"share": 0.25, "of": ["a", None]}), event("stepped", words="Ü \0")]
    assert store.append(given, 0)
    found = store.events("shop")
    assert [dataclasses.replace(each, number=0) for each in found] == [*given[:2], event("stepped", words="Ü ?")]
    last = found[-1].number
    assert store.append([event(policy="bank")], 0)
    assert store.append([event("stopped")], last)
    assert [each.kind for each in store.events("shop", after=last)] == ["stopped"]
    assert store.newest() == {
        "shop": store.events("shop")[-1].number,
        "bank": store.events("bank")[-1].number,
    }


def test_who_does_not_know_the_newest_event_adds_nothing(store: SqlLearningStore) -> None:
    store.append([event()], 0)
    last = store.newest()["shop"]
    assert not store.append([event("shared")], 0)
    assert not store.append([event("shared")], last + 1)
    assert not store.append([event(policy="bank")], last)
    assert store.append([], 77)
    assert len(store.events("shop")) == 1 and store.events("bank") == []
    with pytest.raises(ValueError, match="one policy"):
        store.append([event(), event(policy="bank")], last)


def test_of_a_fleet_one_adds_at_a_time(database: Database, store: SqlLearningStore, url: str) -> None:
    others = [open_database(url) for _ in range(3)]
    added: list[tuple[str, int]] = []

    def tune(into: SqlLearningStore, name: str) -> None:
        for _ in range(15):
            last = into.newest().get("shop", 0)
            if into.append([event(by=name), event("shared", by=name)], last):
                added.append((name, last))

    stores = [store, *map(SqlLearningStore, others)]
    threads = [threading.Thread(target=tune, args=(each, str(n))) for n, each in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = store.events("shop")
    assert [each.kind for each in log] == ["started", "shared"] * len(added)
    assert len({last for _, last in added}) == len(added)
    by_last = dict(sorted((last, name) for name, last in added))
    assert [each.by for each in log[::2]] == list(by_last.values())
    for other in others:
        other.close()


# --------------------------------------------------------------------------------------------------- compliance


def test_counts_add_up(store: SqlLearningStore) -> None:
    said = Compliance("shop", "/billing#1", "cafe", "fast", True, False, 3, 2)
    unsaid, drawn, other = said._replace(said=False), said._replace(drawn=True), said._replace(policy="bank")
    store.tally([said, unsaid, said])
    store.tally([drawn, said, other])
    store.tally([])
    assert store.compliance("shop") == [unsaid, said._replace(answers=9, held=6), drawn]
    assert store.compliance("bank") == [other]


def test_a_broken_store_is_degraded(assignment: Assignments, database: Database, store: SqlLearningStore) -> None:
    for table in ("assignments", "outcomes", "experiments", "compliance"):
        database.write(lambda c, table=table: c.exec_driver_sql(f"DROP TABLE {table}"), "failed", "no")
    reads = (
        lambda: store.due("shop", 1, 1),
        lambda: store.outcomes("shop"),
        store.newest,
        lambda: store.compliance("shop"),
    )
    writes = (
        lambda: store.settle([Outcome(assignment(1), 1.0)]),
        lambda: store.append([event()], 0),
        lambda: store.tally([Compliance("shop", "i", "t", "m", True, True, 1, 1)]),
    )
    for use in (*reads, *writes):
        with pytest.raises(Degraded, match=r"no such table|does not exist") as caught:
            use()
        assert caught.value.code == "learning_failed"
