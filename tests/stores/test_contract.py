"""What every trace store promises, run against each of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator

import pytest

from router.core.store_ports import TraceStore
from router.core.trace import Trace
from router.stores import open_database
from router.stores.rows import evidence_of
from router.stores.traces import SqlTraceStore
from tests.support.memory_traces import MemoryTraceStore
from tests.support.postgres import GROUP


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=GROUP), "memory"])
def store(request: pytest.FixtureRequest, address: Callable[[str], str]) -> Iterator[SqlTraceStore | MemoryTraceStore]:
    if request.param == "memory":
        yield MemoryTraceStore()
        return
    database = open_database(address(request.param))
    yield SqlTraceStore(database)
    database.close()


Traces = Callable[..., Trace]


def ids(rows: list[dict]) -> list[str]:
    return [row["id"] for row in rows]


def test_it_is_a_trace_store(store: TraceStore) -> None:
    store.write([])
    assert store.read("dec_1") is None


def test_what_was_written_is_read(trace: Traces, store: SqlTraceStore) -> None:
    store.write([trace(1), trace(2, status=502, error="backend_error")])
    row = store.read("dec_2")
    assert (row["status"], row["error"], row["turn"]) == (502, "backend_error", 2)
    assert evidence_of(row) == trace(2).evidence
    assert json.loads(json.dumps(row)) == row


def test_stores_return_the_same_fields_in_the_same_order(trace: Traces, store: SqlTraceStore) -> None:
    twin = MemoryTraceStore()
    for each in (store, twin):
        each.write([trace(1)])
    assert list(store.read("dec_1").items()) == list(twin.read("dec_1").items())


def test_a_trace_sent_twice_is_stored_once_and_unchanged(trace: Traces, store: SqlTraceStore) -> None:
    store.write([trace(1)])
    store.write([trace(1, status=500), trace(2)])
    assert ids(store.recent()) == ["dec_2", "dec_1"]
    assert store.read("dec_1")["status"] == 0


def test_an_answer_leads_to_all_to_whom_it_was_passed_on_the_newest_first(trace: Traces, store: SqlTraceStore) -> None:
    store.write([trace(1, response_id="same", backend="one"), trace(2, response_id="same", backend="two")])
    store.write([trace(3, response_id=""), trace(4, response_id="same", backend="one", tenant="other")])
    (owner, one), (tenant, two), (again, first) = store.owners("same")
    assert (owner, one, two, first) == ("other", "one", "two", "one") and tenant == again != owner
    assert store.owners("unknown") == store.owners("") == []


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["dec_5", "dec_4", "dec_3", "dec_2", "dec_1"]),
        ({"limit": 2}, ["dec_5", "dec_4"]),
        ({"limit": 0}, []),
        ({"before_ms": 1_003}, ["dec_2", "dec_1"]),
        ({"before_ms": 1_003, "limit": 1}, ["dec_2"]),
        ({"tenant": "other"}, ["dec_4"]),
        ({"policy": "bank"}, ["dec_5"]),
        ({"task": "/delivery", "tenant": "acme"}, ["dec_3"]),
        ({"task": "/nowhere"}, []),
    ],
    ids=str,
)
def test_recent_traces_newest_first(trace: Traces, store: SqlTraceStore, wanted: dict, found: list[str]) -> None:
    store.write([trace(2), trace(1), trace(3, task="/delivery"), trace(4, tenant="other"), trace(5, policy="bank")])
    assert ids(store.recent(**wanted)) == found


def test_it_is_read_while_it_is_written(trace: Traces, store: SqlTraceStore) -> None:
    def write() -> None:
        for start in range(0, 200, 10):
            store.write([trace(number) for number in range(start, start + 10)])

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        assert len(store.recent(500)) % 10 == 0  # whole batches only
    writer.join()
    assert len(store.recent(500)) == 200


def test_closing_twice_is_safe(store: SqlTraceStore) -> None:
    store.close()
    store.close()
