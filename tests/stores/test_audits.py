"""Audits in the database: in order, once, all or none, beside the traces they are about."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from router.core.audit import Audit, InForce
from router.core.decision import Decision, Settled
from router.core.errors import Degraded, SettingsError
from router.core.evidence import Belief, Evidence
from router.core.trace import Trace
from router.stores import SqlAuditStore, SqlTraceStore, evidence_of
from router.stores.schema import SCHEMA_VERSION

Traces = Callable[..., Trace]
PROMISED = InForce((0.6, 0.5), 0.3, {"/billing": 0.7}, "cafe")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'router.db'}"


@pytest.fixture
def traces(url: str) -> Iterator[SqlTraceStore]:
    made = SqlTraceStore(url)
    yield made
    made.close()


@pytest.fixture
def store(url: str) -> Iterator[SqlAuditStore]:
    made = SqlAuditStore(url)
    yield made
    made.close()


def audit(number: int, **changes: Any) -> Audit:
    made = Audit(f"dec_{number}", "shop", "cafe", (0.6, 0.5), ("/billing",), ("/delivery",), "ann", 5_000 + number)
    return dataclasses.replace(made, **changes)


def test_what_was_recorded_is_read_in_order_even_after_a_restart(store: SqlAuditStore, url: str) -> None:
    given = [audit(3), audit(1, label=(), settled=("/",)), audit(2, policy="bank"), audit(1, auditor="bob")]
    assert store.record(given) == 4
    store.close()
    again = SqlAuditStore(url)
    assert again.read("shop") == [given[0], given[1], given[3]]
    assert again.read("bank") == [given[2]]
    assert again.read("nobody") == []
    again.close()


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
    traces.write(
        [trace(1), trace(2, decision=skipped), trace(3, decision=unsure), trace(4), trace(5, policy="bank"), trace(6)]
    )
    store.record([audit(4)])

    def found(**wanted: Any) -> list[str]:
        return [row["id"] for row in store.unaudited(**wanted)]

    assert found() == ["dec_1", "dec_3", "dec_5", "dec_6"]
    assert found(since_ms=1_005) == ["dec_5", "dec_6"]
    assert found(policy="bank") == ["dec_5"]
    assert next(iter(store.unaudited()))["tasks"] == ["/billing"]


def test_a_decision_tells_what_was_done_and_under_which_promise(
    trace: Traces, traces: SqlTraceStore, store: SqlAuditStore
) -> None:
    evidence = Evidence(Belief({"/billing": 0.9}), thresholds=PROMISED)
    many = [trace(number, evidence=evidence) for number in range(1, 1_200)]
    traces.write([*many, trace(2_000)])
    assert evidence_of(traces.read("dec_1")) == evidence
    found = store.decisions([each.id for each in many] + ["dec_2000", "dec_none"])
    assert len(found) == 1_200
    assert found["dec_7"] == {
        "policy": "shop",
        "outcome": "classified",
        "settled": ("/billing",),
        "thresholds": (0.6, 0.5),
        "certificate": "cafe",
    }
    assert found["dec_2000"]["certificate"] == ""


def test_labels_are_known_by_decision_and_auditor(store: SqlAuditStore) -> None:
    store.record([audit(1), audit(1, auditor="bob", label=()), audit(2)])
    assert store.labels(["dec_1", "dec_9"]) == {("dec_1", "ann"): ("/delivery",), ("dec_1", "bob"): ()}


def test_all_or_none_is_recorded(store: SqlAuditStore, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "router.db")
    with connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON audits WHEN new.decision = 'dec_2'"
            " BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
    with pytest.raises(Degraded, match="3 labels were not stored: disk is full"):
        store.record([audit(1), audit(2), audit(3)])
    assert store.read("shop") == []
    assert store.record([audit(1)]) == 1
    connection.close()


def test_a_database_from_before_audits_gains_their_table(url: str, traces: SqlTraceStore, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "router.db")
    connection.execute("DROP TABLE audits")
    connection.close()
    store = SqlAuditStore(url)
    assert store.record([audit(1)]) == 1
    store.close()


def test_a_newer_database_is_refused_and_a_broken_one_is_degraded(
    store: SqlAuditStore, url: str, tmp_path: Path
) -> None:
    connection = sqlite3.connect(tmp_path / "router.db")
    with connection:
        connection.execute("DROP TABLE audits")
    for read in (store.last, lambda: store.read("shop"), lambda: list(store.unaudited())):
        with pytest.raises(Degraded, match="no such table"):
            read()
    with connection:
        connection.execute("UPDATE schema_version SET version = ?", (SCHEMA_VERSION + 1,))
    with pytest.raises(SettingsError, match="newer"):
        SqlAuditStore(url)
    connection.close()
