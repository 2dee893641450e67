"""Feedback in the database: found within a tenant, once for each id, in the order of receipt."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.core.errors import Degraded
from router.core.learning import Feedback
from router.core.store_ports import FeedbackSubject, FeedbackTarget
from router.core.trace import Trace
from router.stores import Database, SqlFeedbackStore, SqlTraceStore, open_database

Traces = Callable[..., Trace]
Said = Callable[..., Feedback]
ON_1 = FeedbackSubject("shop", "c1", "u1", "dec_1", 1_001)


@pytest.fixture
def store(database: Database) -> SqlFeedbackStore:
    return SqlFeedbackStore(database)


@pytest.fixture
def traces(database: Database) -> SqlTraceStore:
    return SqlTraceStore(database)


@pytest.fixture
def decided(trace: Traces, traces: SqlTraceStore) -> None:
    traces.write(
        [
            trace(1),
            trace(2, response_id="same", unit="u2"),
            trace(3, response_id="same", at_ms=1_002, unit="u3"),  # as new as the one before: the greater id is newer
            trace(4, tenant="other", response_id="same", conversation="c2", at_ms=9_999),
            trace(5, conversation="c3", response_id=""),
        ]
    )


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (FeedbackTarget("decision", "dec_1"), ON_1),
        (FeedbackTarget("response", "chatcmpl-1"), ON_1),
        (FeedbackTarget("response", "same"), FeedbackSubject("shop", "c1", "u3", "dec_3", 1_002)),
        (FeedbackTarget("conversation", "c1"), FeedbackSubject("shop", "c1", "u3", "", 1_002)),
        (FeedbackTarget("decision", "dec_4"), None),
        (FeedbackTarget("conversation", "c2"), None),
        (FeedbackTarget("decision", "dec_9"), None),
        (FeedbackTarget("decision", "chatcmpl-1"), None),
        (FeedbackTarget("response", "dec_1"), None),
        (FeedbackTarget("response", ""), None),
        (FeedbackTarget("conversation", "'; --"), None),
        (FeedbackTarget("decision", "\ud800\0"), None),
    ],
    ids=str,
)
@pytest.mark.usefixtures("decided")
def test_a_target_is_found_within_the_tenant(
    store: SqlFeedbackStore, target: FeedbackTarget, found: FeedbackSubject | None
) -> None:
    assert store.locate("acme", [target]) == [found]
    assert store.locate("nobody", [target]) == [None]


def test_many_targets_are_found_in_their_order(trace: Traces, traces: SqlTraceStore, store: SqlFeedbackStore) -> None:
    traces.write([trace(number, conversation=f"c{number}") for number in range(1_200)])
    wanted = [FeedbackTarget(kind, f"{prefix}{n}") for n in range(1_300) for kind, prefix in KINDS]
    found = store.locate("acme", wanted)
    assert [each is not None for each in found] == [n < 1_200 for n in range(1_300) for _ in KINDS]
    assert [each.decision for each in found[21:24]] == ["dec_7", "dec_7", ""]
    assert store.locate("acme", []) == []
    assert store.locate("acme", [wanted[0]] * 3) == [found[0]] * 3


KINDS = (("decision", "dec_"), ("response", "chatcmpl-"), ("conversation", "c"))


def test_what_was_said_is_read_in_the_order_of_receipt(feedback: Said, store: SqlFeedbackStore) -> None:
    full = feedback(3, comment="Grüße \U0001f600", said_at_ms=1_700, value=0.1 + 0.2, source="agent")
    on_all = feedback(2, decision="")
    elsewhere = [feedback(4, decision="dec_2"), feedback(5, conversation="c2"), feedback(6, tenant="other")]
    assert store.record([full, on_all, *elsewhere, feedback(1)]) == [True] * 6
    assert store.about("acme", ON_1) == [full, on_all, feedback(1)]
    assert store.about("acme", ON_1._replace(decision="")) == [full, on_all, elsewhere[0], feedback(1)]
    assert store.about("acme", ON_1._replace(policy="bank")) == []
    assert store.about("nobody", ON_1) == []


def test_of_very_much_the_newest_is_read(feedback: Said, store: SqlFeedbackStore) -> None:
    said = [feedback(number) for number in range(30)]
    store.record(said)
    assert store.about("acme", ON_1, limit=10) == said[20:]


def test_an_id_of_a_tenant_counts_once_and_stays_as_it_was(feedback: Said, store: SqlFeedbackStore) -> None:
    assert store.record([feedback(1), feedback(1, value=0.0), feedback(2)]) == [True, False, True]
    assert store.record([feedback(2, value=0.0), feedback(3), feedback(1)]) == [False, True, False]
    assert store.record([feedback(1, tenant="other")]) == [True]
    assert [(said.id, said.value) for said in store.about("acme", ON_1)] == [("fb_1", 1), ("fb_2", 1), ("fb_3", 1)]
    assert store.record([]) == []


def test_the_newest_receipt_is_known(feedback: Said, store: SqlFeedbackStore) -> None:
    assert store.last_ms() == 0
    store.record([feedback(7, at_ms=70), feedback(8, at_ms=60)])
    assert store.last_ms() == 70


def test_odd_texts_cost_no_batch(feedback: Said, store: SqlFeedbackStore) -> None:
    odd = feedback(1, id="a\0b", comment="x\0y\ud800z", said_at_ms=10**40, metric="m\0")
    assert store.record([odd, feedback(2)]) == [True, True]
    assert store.record([odd]) == [False]
    found = store.about("acme", ON_1)[0]
    assert (found.id, found.comment, found.metric, found.said_at_ms) == ("a?b", "x?y?z", "m?", 2**62)


def test_all_or_none_is_stored(feedback: Said, store: SqlFeedbackStore) -> None:
    with pytest.raises(Degraded, match="3 pieces of feedback were not stored: ") as caught:
        store.record([feedback(1), feedback(2, at_ms=2**80), feedback(3)])
    assert caught.value.code == "feedback_failed"
    assert store.about("acme", ON_1) == []
    assert store.record([feedback(1)]) == [True]


def test_an_id_that_several_replicas_store_at_once_is_new_to_one(
    feedback: Said, database: Database, store: SqlFeedbackStore, url: str
) -> None:
    other = open_database(url)
    said: dict[str, int] = {}
    counting = threading.Lock()

    def record(into: SqlFeedbackStore, turned: bool) -> None:
        for start in range(0, 60, 6):
            rows = [feedback(number) for number in range(start, start + 9)]  # the last ones belong to two batches
            rows = rows[::-1] if turned else rows
            for row, new in zip(rows, into.record(rows), strict=True):
                with counting:
                    said[row.id] = said.get(row.id, 0) + new

    pairs = [(store, False), (SqlFeedbackStore(other), True), (store, True)]
    threads = [threading.Thread(target=record, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(said.values()) == {1}
    assert len(store.about("acme", ON_1)) == len(said) == 63
    other.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(0, 12), max_size=8), max_size=6))
def test_the_first_of_each_id_is_new_whatever_comes_in_which_batches(feedback: Said, batches: list[list[int]]) -> None:
    database = open_database("sqlite://")
    store = SqlFeedbackStore(database)
    seen: set[int] = set()
    for batch in batches:
        expected = []
        for number in batch:
            expected.append(number not in seen)
            seen.add(number)
        assert store.record([feedback(number) for number in batch]) == expected
    assert {said.id for said in store.about("acme", ON_1)} == {f"fb_{number}" for number in seen}
    database.close()


def test_a_broken_store_is_degraded(feedback: Said, database: Database, store: SqlFeedbackStore) -> None:
    for table in ("feedback", "decisions"):
        database.write(lambda c, table=table: c.exec_driver_sql(f"DROP TABLE {table}"), "failed", "no")
    uses = (
        lambda: store.record([feedback(1)]),
        lambda: store.about("acme", ON_1),
        lambda: store.locate("acme", [FeedbackTarget("decision", "dec_1")]),
        store.last_ms,
    )
    for use in uses:
        with pytest.raises(Degraded, match=r"no such table|does not exist") as caught:
            use()
        assert caught.value.code == "feedback_failed"
