"""Retention: the oldest goes first with all that was said of it; evidence, and what is still to mature, stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from router.core.audit import Audit
from router.core.errors import Degraded
from router.core.learning import Assignment, DialKey, ExperimentEvent, Feedback, Outcome
from router.core.trace import Trace
from router.stores import (
    Database,
    Removed,
    Retention,
    SqlAuditStore,
    SqlFeedbackStore,
    SqlLearningStore,
    SqlTraceStore,
)
from router.stores.records import BATCH_DECISIONS, DAY_MS, LATE_MS
from router.stores.schema import assignments, decisions
from router.stores.schema import feedback as said

Traces = Callable[..., Trace]
Said = Callable[..., Feedback]
Assignments = Callable[..., Assignment]
NOW_MS = 1_000 * DAY_MS
OLD_MS = NOW_MS - 91 * DAY_MS
KEPT_DAYS = 90


def ids(database: Database, column=decisions.c.id) -> list[str]:
    return database.read(lambda c: sorted(c.scalars(select(column))), "failed", "unread")


def test_what_is_older_goes_with_what_was_said_of_it(trace: Traces, feedback: Said, database: Database) -> None:
    at = {1: OLD_MS, 2: NOW_MS - KEPT_DAYS * DAY_MS, 3: NOW_MS}
    SqlTraceStore(database).write([trace(n, at_ms=ms, conversation=f"c{n}") for n, ms in at.items()])
    SqlFeedbackStore(database).record(
        [
            feedback(1, decision="dec_1", at_ms=OLD_MS + 5),
            feedback(2, decision="dec_1", at_ms=NOW_MS),
            feedback(3, decision="", conversation="c1", at_ms=NOW_MS),
            feedback(4, decision="dec_2", conversation="c2", at_ms=NOW_MS),
            feedback(5, decision="", conversation="c3", at_ms=NOW_MS),
            feedback(6, decision="dec_1", tenant="other", at_ms=NOW_MS),
        ]
    )
    assert Retention(database, KEPT_DAYS).sweep(NOW_MS) == Removed(decisions=1, feedback=3)
    assert ids(database) == ["dec_2", "dec_3"]
    assert ids(database, said.c.id) == ["fb_4", "fb_5", "fb_6"]
    assert Retention(database, KEPT_DAYS).sweep(NOW_MS) == Removed()


def test_of_a_conversation_that_goes_on_the_old_part_goes(trace: Traces, feedback: Said, database: Database) -> None:
    SqlTraceStore(database).write([trace(1, at_ms=OLD_MS), trace(2, at_ms=NOW_MS)])
    SqlFeedbackStore(database).record(
        [feedback(1, at_ms=OLD_MS), feedback(2, decision="", at_ms=OLD_MS), feedback(3, decision="dec_2")]
    )
    assert Retention(database, KEPT_DAYS).sweep(NOW_MS) == Removed(decisions=1, feedback=1)
    assert ids(database, said.c.id) == ["fb_2", "fb_3"]


def test_feedback_that_came_too_late_for_its_decision_goes_by_its_own_age(feedback: Said, database: Database) -> None:
    SqlFeedbackStore(database).record([feedback(1, at_ms=OLD_MS), feedback(2, at_ms=NOW_MS)])
    assert Retention(database, KEPT_DAYS).sweep(NOW_MS) == Removed(feedback=1)
    assert ids(database, said.c.id) == ["fb_2"]


@pytest.mark.parametrize(
    ("matures_ms", "settled", "stays"),
    [
        (NOW_MS + DAY_MS, False, True),
        (NOW_MS - LATE_MS + 1, False, True),
        (NOW_MS - LATE_MS, False, False),  # nobody turns it into an outcome any more
        (NOW_MS + DAY_MS, True, False),
    ],
)
def test_a_conversation_whose_level_has_yet_to_mature_stays(
    trace: Traces,
    feedback: Said,
    assignment: Assignments,
    database: Database,
    matures_ms: int,
    settled: bool,
    stays: bool,
) -> None:
    given = assignment(1, at_ms=OLD_MS, matures_ms=matures_ms)
    learning = SqlLearningStore(database)
    SqlTraceStore(database).write([trace(1, at_ms=OLD_MS, assignment=given), trace(2, at_ms=OLD_MS + 1)])
    SqlFeedbackStore(database).record([feedback(1, at_ms=OLD_MS)])
    if settled:
        learning.settle([Outcome(given, 1.0)])
    evidence = learning.outcomes("shop")
    assert Retention(database, KEPT_DAYS, 0).sweep(NOW_MS) == (Removed() if stays else Removed(2, 1, 1))
    assert ids(database, assignments.c.decision) == (["dec_1"] if stays else [])
    assert learning.outcomes("shop") == evidence


def test_what_levels_and_thresholds_rest_on_stays(trace: Traces, assignment: Assignments, database: Database) -> None:
    given = assignment(1, at_ms=OLD_MS)
    learning, audits = SqlLearningStore(database), SqlAuditStore(database)
    SqlTraceStore(database).write([trace(1, at_ms=OLD_MS, assignment=given)])
    learning.settle([Outcome(given, 0.5, {"slow": 0.25})])
    learning.append([ExperimentEvent(OLD_MS, "shop", "started", DialKey("/", "fast"))], 0)
    audits.record([Audit("dec_1", "shop", "cafe", (0.6,), ("/billing",), ("/billing",), "ann", OLD_MS)])
    before = (learning.outcomes("shop"), learning.events("shop"), audits.read("shop"))
    assert Retention(database, KEPT_DAYS).sweep(NOW_MS).decisions == 1
    assert (learning.outcomes("shop"), learning.events("shop"), audits.read("shop")) == before


def test_more_than_a_batch_goes_in_several(trace: Traces, database: Database) -> None:
    many = 2 * BATCH_DECISIONS + 7
    SqlTraceStore(database).write([trace(n, at_ms=OLD_MS + n % 3, conversation=f"c{n % 5}") for n in range(many)])
    assert Retention(database, KEPT_DAYS).sweep(NOW_MS).decisions == many
    assert ids(database) == []


def test_what_is_too_much_goes_from_the_oldest_on(trace: Traces, database: Database) -> None:
    store = SqlTraceStore(database)
    for start in range(0, 4_000, 1_000):
        store.write([trace(n, at_ms=n, conversation=f"c{n}") for n in range(start, start + 1_000)])

    def used() -> int:
        return database.read(database.used_bytes, "failed", "unread")

    most = used() * 6 // 10
    swept = Retention(database, None, most).sweep(NOW_MS)
    assert most - 2_000_000 < used() <= most
    left = database.read(lambda c: c.execute(select(func.min(decisions.c.at_ms), func.count())).one(), "failed", "no")
    assert tuple(left) == (swept.decisions, 4_000 - swept.decisions)
    assert 0 < swept.decisions < 4_000
    assert Retention(database, None, most).sweep(NOW_MS) == Removed()


def test_a_file_shrinks_with_what_it_holds(trace: Traces, sqlite: Database, file: Path) -> None:
    SqlTraceStore(sqlite).write([trace(n, at_ms=n) for n in range(4_000)])
    sqlite.give_back()
    before = file.stat().st_size
    Retention(sqlite, None, before // 4).sweep(NOW_MS)
    assert file.stat().st_size <= before // 4
    assert file.with_name(file.name + "-wal").stat().st_size == 0


def test_without_limits_nothing_goes(trace: Traces, database: Database) -> None:
    SqlTraceStore(database).write([trace(1, at_ms=1)])
    assert Retention(database).sweep(NOW_MS) == Removed()
    assert ids(database) == ["dec_1"]


def test_a_store_that_fails_is_degraded(database: Database) -> None:
    database.close()
    with pytest.raises(Degraded) as caught:
        Retention(database, KEPT_DAYS).sweep(NOW_MS)
    assert caught.value.code == "retention_failed"
