"""Audits in the database: in order, once, all or none, beside the traces they are about."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from router.core.audit import Audit, ThresholdsInForce
from router.core.decision import Decision, Settled
from router.core.errors import Degraded
from router.core.evidence import Belief, Evidence, Likely
from router.core.trace import Trace
from router.stores import Database, SqlAuditStore, SqlTraceStore, evidence_of, open_database
from router.stores.schema import decisions

Traces = Callable[..., Trace]
PROMISED = ThresholdsInForce(0.6, 0.5, {"/billing": 0.7}, 0.4, "cafe")
TWO = (Likely("/billing", 0.5), Likely("/delivery", 0.4))


@pytest.fixture
def traces(database: Database) -> SqlTraceStore:
    return SqlTraceStore(database)


@pytest.fixture
def store(database: Database) -> SqlAuditStore:
    return SqlAuditStore(database)


def audit(number: int, **changes: Any) -> Audit:
    made = Audit(f"dec_{number}", "shop", "cafe", (0.6, 0.5), ("/billing",), ("/delivery",), "ann", 5_000 + number)
    return dataclasses.replace(made, **changes)


def test_what_was_recorded_is_read_in_order_even_after_a_restart(
    database: Database, store: SqlAuditStore, url: str
) -> None:
    listed = audit(1, label=(), settled=("/",), shortlist=("/billing", "/delivery"))
    given = [audit(3), listed, audit(2, policy="bank"), audit(1, auditor="bob")]
    assert store.record(given) == 4
    database.close()
    reopened = open_database(url)
    again = SqlAuditStore(reopened)
    assert again.read("shop") == [given[0], given[1], given[3]]
    assert again.read("bank") == [given[2]]
    assert again.read("nobody") == []
    reopened.close()


def test_a_label_sent_twice_counts_once_and_changes_nothing(store: SqlAuditStore) -> None:
    assert store.record([audit(1)]) == 1
    assert store.record([audit(1, label=("/billing",), at_ms=9), audit(2)]) == 1
    assert store.read("shop") == [audit(1), audit(2)]
    assert store.record([]) == 0


def test_the_newest_number_tells_that_something_came(store: SqlAuditStore) -> None:
    numbers = [store.last()]
    for number in range(3):
        store.record([audit(number)])
        numbers.append(store.last())
    assert numbers[0] == 0 and numbers == sorted(set(numbers))


def test_only_acted_on_and_unlabelled_decisions_may_be_drawn(
    trace: Traces, traces: SqlTraceStore, store: SqlAuditStore
) -> None:
    skipped = Decision("rev", "skipped", (Settled("/", 1.0, 0.0),))
    unsure = Decision("rev", "unclassified", (Settled("/", 1.0, 0.0),))
    listed = Decision("rev", "shortlisted", (Settled("/", 1.0, 0.0),), TWO)
    traces.write([trace(1), trace(2, decision=skipped), trace(3, decision=unsure), trace(4), trace(5, policy="bank")])
    traces.write([trace(6, decision=listed)])
    store.record([audit(4)])

    def found(**wanted: Any) -> list[str]:
        return [row["id"] for row in store.unaudited(**wanted)]

    assert found() == ["dec_1", "dec_3", "dec_5", "dec_6"]
    assert found(since_ms=1_005) == ["dec_5", "dec_6"]
    assert found(policy="bank") == ["dec_5"]
    first, *_, last = store.unaudited()
    assert (first["tasks"], first["shortlist"]) == (["/billing"], [])
    assert (last["tasks"], last["shortlist"]) == (["/"], ["/billing", "/delivery"])


def test_a_decision_tells_what_was_done_and_under_which_promise(
    trace: Traces, traces: SqlTraceStore, store: SqlAuditStore
) -> None:
    evidence = Evidence(Belief({"/billing": 0.9}), thresholds=PROMISED)
    decision = Decision("rev", "shortlisted", (Settled("/", 1.0, 0.0),), TWO)
    many = [trace(number, evidence=evidence, decision=decision) for number in range(1, 1_200)]
    traces.write([*many, trace(2_000)])
    assert evidence_of(traces.read("dec_1")) == evidence
    found = store.decisions([each.id for each in many] + ["dec_2000", "dec_none"])
    assert len(found) == 1_200
    assert found["dec_7"] == {
        "policy": "shop",
        "outcome": "shortlisted",
        "settled": ("/",),
        "shortlist": ("/billing", "/delivery"),
        "thresholds": (0.6, 0.5, 0.4),
        "certificate": "cafe",
    }
    assert found["dec_2000"]["certificate"] == ""


def test_a_decision_of_an_earlier_release_may_be_labelled(
    trace: Traces, traces: SqlTraceStore, store: SqlAuditStore, database: Database
) -> None:
    """Its certificate is gone, so what is said of it counts for none; but it is no error."""
    traces.write([trace(1)])
    thresholds = {"by_depth": [0.6, 0.5], "soft": 0.3, "by_task": {}, "certificate": "cafe"}
    stored = {"belief": None, "cues": {}, "thresholds": thresholds, "levels": {}, "faults": []}
    changed = decisions.update().values(evidence=json.dumps(stored))
    database.write(lambda connection: connection.execute(changed), "failed", "no")
    found = store.decisions(["dec_1"])["dec_1"]
    assert (found["settled"], found["shortlist"], found["certificate"]) == (("/billing",), (), "cafe")
    told = audit(1, thresholds=found["thresholds"])
    assert store.record([told]) == 1 and store.read("shop") == [told]


def test_labels_are_known_by_decision_and_auditor(store: SqlAuditStore) -> None:
    store.record([audit(1), audit(1, auditor="bob", label=()), audit(2)])
    assert store.labels(["dec_1", "dec_9"]) == {("dec_1", "ann"): ("/delivery",), ("dec_1", "bob"): ()}


def test_all_or_none_is_recorded(store: SqlAuditStore) -> None:
    too_long = audit(2, auditor="x" * 200, decision="d" * 64, certificate="c" * 40, at_ms=2**70)
    with pytest.raises(Degraded, match="3 labels were not stored: ") as caught:
        store.record([audit(1), too_long, audit(3)])
    assert str(2**70) not in str(caught.value)
    assert store.read("shop") == []
    assert store.record([audit(1)]) == 1


def test_two_that_record_at_once_lose_nothing(database: Database, url: str) -> None:
    other = open_database(url)

    def record(into: Database, auditor: str) -> None:
        for number in range(20):
            SqlAuditStore(into).record([audit(number, auditor=auditor)])

    threads = [threading.Thread(target=record, args=(into, name)) for into, name in ((database, "ann"), (other, "bob"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(SqlAuditStore(database).read("shop")) == 40
    assert SqlAuditStore(other).last() == SqlAuditStore(database).last()
    other.close()


def test_a_store_without_its_table_is_degraded(store: SqlAuditStore, database: Database) -> None:
    database.write(lambda connection: connection.exec_driver_sql("DROP TABLE audits"), "failed", "no")
    for read in (store.last, lambda: store.read("shop"), lambda: list(store.unaudited())):
        with pytest.raises(Degraded, match=r"no such table|does not exist") as caught:
            read()
        assert caught.value.code == "audits_failed"
