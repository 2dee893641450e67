"""Taking feedback in: nothing is acknowledged that is not stored, nothing counts twice, nothing goes back in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from router.core.errors import Degraded, RequestError
from router.core.policy import Metric
from router.core.store_ports import FeedbackTarget
from router.engine.feedback_item import FeedbackItem, Receipt
from router.engine.feedback_queue import BEHIND_MS, YOUNG_MS, FeedbackQueue, Result
from router.engine.guarding import FaultHandler
from router.engine.rate_limiter import RateLimiter
from router.engine.snapshot import PolicyRegistry, Snapshot
from tests.support.feedback import ListStore
from tests.support.parts import small_policy

METRICS = {
    "resolved": Metric("resolved", "boolean", primary=True),
    "csat": Metric("csat", "rating", 1.0, 5.0),
    "minutes": Metric("minutes", "number", 0.0, 60.0, better="low"),
    "checks": Metric("checks", "checks"),
}
NUMBERS = iter(range(10**9))


class NoCues:
    pass


def item(decision: str = "d1", **more: Any) -> FeedbackItem:
    given: dict[str, Any] = {
        "id": f"id{next(NUMBERS)}",
        "tenant": "local",
        "targets": (FeedbackTarget("decision", decision),),
        "named": decision,
        "metric": "resolved",
        "value": True,
        "source": "user",
    }
    return FeedbackItem(**given | more)


class Desk:
    """An intake that runs, its store and its clock."""

    def __init__(self, intake: FeedbackQueue, store: ListStore, noted: list[str]) -> None:
        self.queue, self.store, self.noted = intake, store, noted

    async def put(self, *items: FeedbackItem) -> list[Result]:
        return await self.queue.put(items)

    async def refused(self, one: FeedbackItem) -> tuple[int, str, str | None]:
        """Put an item that is refused; return status, code and param. Nothing may have been stored."""
        before = len(self.store.rows)
        (error,) = await self.put(one)
        assert isinstance(error, RequestError) and len(self.store.rows) == before
        return error.status, error.code, error.param


@pytest.fixture
async def desk() -> AsyncIterator[Callable[..., Desk]]:
    async with AsyncExitStack() as stack:

        def begin(**more: Any) -> Desk:
            policy = replace(small_policy(), metrics=MappingProxyType(METRICS))
            registry = PolicyRegistry({"desk": Snapshot(policy, NoCues(), None)}, "desk")  # type: ignore[arg-type]
            store, noted = ListStore(), list[str]()
            store.add("d1")
            store.add("d2")
            store.add("theirs", tenant="acme")
            store.add("old", policy="gone")
            intake = FeedbackQueue(store, registry, FaultHandler(noted.append), store.flush, **more)
            intake.start()
            stack.push_async_callback(asyncio.to_thread, intake.close)
            return Desk(intake, store, noted)

        yield begin


async def test_what_is_acknowledged_is_stored_with_all_that_was_said(desk: Callable[..., Desk]) -> None:
    at = desk(now_ms=lambda: 5000)
    (receipt,) = await at.put(item(id="a", metric="csat", value=4, comment="thanks", said_at_ms=4000, source="agent"))
    assert isinstance(receipt, Receipt) and receipt.new and receipt.located.decision == "d1"
    (row,) = at.store.rows
    assert (row.id, row.at_ms, row.tenant, row.policy, row.decision) == ("a", 5000, "local", "desk", "d1")
    assert (row.conversation, row.unit) == ("conv_d1", "conv_d1")
    assert (row.metric, row.value, row.source) == ("csat", 4.0, "agent")
    assert (row.comment, row.said_at_ms) == ("thanks", 4000)


@pytest.mark.parametrize(
    ("target", "decision"),
    [
        (FeedbackTarget("decision", "d1"), "d1"),
        (FeedbackTarget("response", "resp_d1"), "d1"),
        (FeedbackTarget("conversation", "conv_d1"), ""),
    ],
)
async def test_three_ways_to_name_what_it_is_about(
    desk: Callable[..., Desk], target: FeedbackTarget, decision: str
) -> None:
    at = desk()
    await at.put(item(targets=(target,)))
    assert (at.store.rows[0].conversation, at.store.rows[0].decision) == ("conv_d1", decision)


@pytest.mark.parametrize(
    ("metric", "value", "stored"),
    [
        ("resolved", True, 1.0),
        ("resolved", False, 0.0),
        ("csat", 1, 1.0),
        ("csat", 4.5, 4.5),
        ("csat", 5, 5.0),
        ("minutes", 0, 0.0),
    ],
)
async def test_values_that_fit(desk: Callable[..., Desk], metric: str, value: Any, stored: float) -> None:
    at = desk()
    await at.put(item(metric=metric, value=value))
    assert at.store.rows[0].value == stored and isinstance(at.store.rows[0].value, float)


BAD: dict[str, tuple[dict[str, Any], tuple[int, str, str]]] = {
    "unknown decision": ({"decision": "nope"}, (404, "decision_not_found", "decision")),
    "another tenant's decision": ({"decision": "theirs"}, (404, "decision_not_found", "decision")),
    "unknown answer": ({"targets": (FeedbackTarget("response", "x"),)}, (404, "response_not_found", "response_id")),
    "unknown conversation": (
        {"targets": (FeedbackTarget("conversation", "x"), FeedbackTarget("conversation", "y"))},
        (404, "conversation_not_found", "conversation"),
    ),
    "a policy that is not the key's": ({"policies": frozenset({"sales"})}, (404, "decision_not_found", "decision")),
    "a policy that is gone": ({"decision": "old"}, (410, "policy_not_served", "decision")),
    "unknown metric": ({"metric": "resolvd"}, (400, "unknown_metric", "metric")),
    "a number for a boolean": ({"value": 1}, (400, "invalid_type", "value")),
    "a boolean for a rating": ({"metric": "csat", "value": True}, (400, "invalid_type", "value")),
    "below the range": ({"metric": "csat", "value": 0}, (400, "out_of_range", "value")),
    "above the range": ({"metric": "csat", "value": 5.0001}, (400, "out_of_range", "value")),
    "far above the range": ({"metric": "csat", "value": 10**400}, (400, "out_of_range", "value")),
    "not a number": ({"metric": "csat", "value": float("nan")}, (400, "out_of_range", "value")),
    "checks by a user": ({"metric": "checks", "value": 1}, (400, "source_not_allowed", "source")),
    "a token for another decision": ({"granted": "d2"}, (403, "token_not_for_this", "token")),
    "a token, and what does not exist": (
        {"decision": "nope", "granted": "d2"},
        (403, "token_not_for_this", "token"),
    ),
    "a token for another conversation": (
        {"targets": (FeedbackTarget("conversation", "conv_d2"),), "granted": "d1"},
        (403, "token_not_for_this", "token"),
    ),
    "a token whose decision is gone": (
        {"decision": "nope", "granted": "nope"},
        (404, "decision_not_found", "decision"),
    ),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_cannot_be_stored_is_told_and_nothing_is_stored(desk: Callable[..., Desk], name: str) -> None:
    given, told = BAD[name]
    assert await desk().refused(item(**given)) == told


async def test_errors_name_the_way_out(desk: Callable[..., Desk]) -> None:
    at = desk()
    said = [str(error) for error in await at.put(item(metric="resolvd"), item("old"), item(metric="csat", value=9))]
    assert 'did you mean "resolved"?' in said[0]
    assert '"gone"' in said[1]
    assert "1 to 5" in said[2]


async def test_a_stranger_s_decision_and_none_at_all_are_told_in_the_same_words(desk: Callable[..., Desk]) -> None:
    theirs, none = await desk().put(item("theirs", named="x"), item("nope", named="x"))
    assert vars(theirs) == vars(none)


@pytest.mark.parametrize(
    "target",
    [
        FeedbackTarget("decision", "d1"),
        FeedbackTarget("response", "resp_d1"),
        FeedbackTarget("conversation", "conv_d1"),
    ],
)
async def test_a_token_allows_its_decision_and_the_conversation_of_that(
    desk: Callable[..., Desk], target: FeedbackTarget
) -> None:
    (receipt,) = await desk().put(item(targets=(target,), granted="d1"))
    assert isinstance(receipt, Receipt)


async def test_one_bad_remark_keeps_no_other_from_being_stored(desk: Callable[..., Desk]) -> None:
    at = desk()
    results = await at.put(item(id="a"), item("nope"), item(id="b"), item(metric="x"), item(id="c"))
    assert [isinstance(result, Receipt) for result in results] == [True, False, True, False, True]
    assert [row.id for row in at.store.rows] == ["a", "b", "c"]


async def test_an_id_counts_once_and_contradictions_are_all_kept_in_their_order(desk: Callable[..., Desk]) -> None:
    at = desk()
    first = await at.put(item(id="a", value=True), item(id="a", value=False))
    again = await at.put(item(id="a", value=False), item(id="b", value=False))
    assert [r.new for r in (*first, *again) if isinstance(r, Receipt)] == [True, False, False, True]
    assert [(row.id, row.value) for row in at.store.rows] == [("a", 1.0), ("b", 0.0)]


async def test_a_decision_that_is_still_being_written_is_found(desk: Callable[..., Desk]) -> None:
    at = desk()
    at.store.add("fresh", late=True)
    results = await at.put(item("fresh"), item("nope"), item("d1"))
    assert [isinstance(result, Receipt) for result in results] == [True, False, True]
    assert at.store.flushed == 1
    await at.put(item("fresh"))
    assert at.store.flushed == 1  # what is found needs none


async def test_what_waits_is_stored_in_one_transaction(desk: Callable[..., Desk]) -> None:
    at = desk()
    at.store.gate.clear()
    first = asyncio.create_task(at.put(item()))
    assert await asyncio.to_thread(at.store.entered.wait, 10)
    rest = [asyncio.create_task(at.put(item(), item())) for _ in range(50)]
    while at.queue.waiting < 101:
        await asyncio.sleep(0)
    assert not first.done()  # no word before it is stored
    at.store.gate.set()
    await asyncio.gather(first, *rest)
    assert at.store.transactions == [1, 100]


async def test_a_full_queue_refuses_and_what_waits_is_stored_all_the_same(desk: Callable[..., Desk]) -> None:
    at = desk(queue=3)
    at.store.gate.clear()
    waiting = asyncio.create_task(at.put(item(), item(), item()))
    assert await asyncio.to_thread(at.store.entered.wait, 10)
    with pytest.raises(RequestError) as caught:
        await at.put(item())
    assert (caught.value.status, caught.value.code) == (503, "feedback_queue_full")
    assert caught.value.headers["retry-after"] == "1"
    at.store.gate.set()
    assert len(await waiting) == 3 and len(await at.put(item())) == 1


async def test_a_store_that_fails_acknowledges_nothing_and_heals(desk: Callable[..., Desk]) -> None:
    at = desk(per_minute=1)
    at.store.fails = 1
    with pytest.raises(RequestError) as caught:
        await at.put(item(id="a"))
    assert (caught.value.status, caught.value.code) == (503, "feedback_unavailable")
    assert caught.value.headers["retry-after"] == "1"
    assert at.noted == ["store_failed"] and not at.store.rows
    (receipt,) = await at.put(item(id="a"))  # nor was it counted against the user
    assert isinstance(receipt, Receipt) and receipt.new


async def test_what_nobody_foresaw_is_counted_and_the_intake_goes_on(
    desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = desk()
    with monkeypatch.context() as broken:
        broken.setattr(at.store, "locate", lambda tenant, targets: 1 / 0)
        with pytest.raises(RequestError) as caught:
            await at.put(item())
        assert caught.value.status == 503
    assert at.noted == ["feedback_failed"]
    assert len(await at.put(item())) == 1


async def test_times_of_receipt_never_go_back_not_even_across_a_restart(desk: Callable[..., Desk]) -> None:
    times = iter([1000, 7000, 7000 - BEHIND_MS - 1, 8000])
    at = desk(now_ms=lambda: next(times))
    at.store.newest_ms = 5000  # what an earlier run has stored
    for _ in range(4):
        await at.put(item())
    assert [row.at_ms for row in at.store.rows] == [5000, 7000, 7000, 8000]
    assert at.noted == ["clock_behind"]


async def test_an_end_user_says_so_much_in_a_minute_and_others_are_not_touched(desk: Callable[..., Desk]) -> None:
    at = desk(per_minute=3)
    results = await at.put(*(item("d1") for _ in range(5)), item("d2"), item("d1", source="agent"))
    told = [result.code if isinstance(result, RequestError) else "stored" for result in results]
    assert told == ["stored"] * 3 + ["feedback_rate_limit"] * 2 + ["stored"] * 2
    refused = results[3]
    assert isinstance(refused, RequestError) and refused.status == 429
    assert 0 < int(refused.headers["retry-after"]) <= 21


async def test_what_is_sent_again_is_not_counted_again(desk: Callable[..., Desk]) -> None:
    at = desk(per_minute=2)
    for _ in range(10):
        (result,) = await at.put(item(id="a"))
        assert isinstance(result, Receipt)


async def test_a_sender_that_goes_away_leaves_its_rows_and_no_trouble(desk: Callable[..., Desk]) -> None:
    at = desk()
    at.store.gate.clear()
    gone = asyncio.create_task(at.put(item(id="a")))
    assert await asyncio.to_thread(at.store.entered.wait, 10)
    gone.cancel()
    at.store.gate.set()
    (receipt,) = await at.put(item(id="a"))
    assert isinstance(receipt, Receipt) and not receipt.new
    assert at.queue.waiting == 0


async def test_closing_stores_what_waits_and_refuses_the_rest(desk: Callable[..., Desk]) -> None:
    at = desk()
    at.store.gate.clear()
    waiting = [asyncio.create_task(at.put(item())) for _ in range(20)]
    assert await asyncio.to_thread(at.store.entered.wait, 10)
    closing = asyncio.create_task(asyncio.to_thread(at.queue.close))
    at.store.gate.set()
    await closing
    assert len(await asyncio.gather(*waiting)) == len(at.store.rows) == 20
    with pytest.raises(RequestError) as caught:
        await at.put(item())
    assert caught.value.status == 503


async def test_nothing_put_is_nothing_stored(desk: Callable[..., Desk]) -> None:
    at = desk()
    assert await at.put() == [] and at.store.transactions == []


def test_caps_fill_evenly_and_remember_no_more_than_they_may() -> None:
    now = [0.0]
    caps = RateLimiter(60, lambda: now[0], limit=100)
    assert [caps.take("a") for _ in range(61)] == [0.0] * 60 + [1.0]
    now[0] = 2.5
    assert [caps.take("a") > 0 for _ in range(3)] == [False, False, True]
    for number in range(10_000):
        assert caps.take(f"name {number}") == 0
    assert len(caps) == 100
    for _ in range(500):
        caps.give_back("b")
    assert sum(caps.take("b") == 0 for _ in range(100)) == 60


async def test_a_clock_that_leapt_ahead_and_back_spoils_no_later_time(desk: Callable[..., Desk]) -> None:
    year = 365 * 86_400_000
    times = iter([5000, year, 6000, 6500, 7000])
    at = desk(now_ms=lambda: next(times))
    for _ in range(5):
        await at.put(item())
    assert [row.at_ms for row in at.store.rows] == [5000, year, 6000, 6500, 7000]
    assert at.noted == ["clock_behind"]


async def test_a_time_from_the_future_that_an_earlier_run_stored_is_not_kept_to(desk: Callable[..., Desk]) -> None:
    at = desk(now_ms=lambda: 5000)
    at.store.newest_ms = 10**12
    await at.put(item())
    await at.put(item())
    assert [row.at_ms for row in at.store.rows] == [5000, 5000] and at.noted == ["clock_behind"]


async def test_what_cannot_be_stored_is_counted_whatever_the_store_calls_it(desk: Callable[..., Desk]) -> None:
    lost: list[int] = []
    at = desk(count_unstored=lost.append)

    def fail(rows: object) -> None:
        raise Degraded("feedback_failed", "2 pieces of feedback were not stored: database or disk is full")

    record, at.store.record = at.store.record, fail  # type: ignore[method-assign, assignment]
    with pytest.raises(RequestError):
        await at.put(item(), item())
    assert at.noted == ["feedback_failed"] and lost == [2] and "disk is full" in at.queue.fault
    at.store.record = record  # type: ignore[method-assign]
    await at.put(item())
    assert at.queue.fault == ""


def made_at(ms: int) -> str:
    return f"dec_{ms:011x}{'0' * 16}"


async def test_what_another_replica_has_just_decided_is_waited_for_or_to_be_sent_again(
    desk: Callable[..., Desk],
) -> None:
    at = desk(shared=True, now_ms=lambda: 10**12)
    fresh, late = made_at(10**12 - 1000), made_at(10**12 - 2 * YOUNG_MS)
    results = await at.put(item(), item(fresh), item(late))
    told = [result.code if isinstance(result, RequestError) else "stored" for result in results]
    assert told == ["stored", "decision_not_stored_yet", "decision_not_found"]
    again = results[1]
    assert isinstance(again, RequestError) and again.status == 503 and again.headers["retry-after"] == "1"
    answer = asyncio.create_task(at.put(item("d9", targets=(FeedbackTarget("response", "resp_d9"),))))
    while not at.queue.waiting:
        await asyncio.sleep(0)
    while at.queue.waiting:
        await asyncio.sleep(0)
    at.store.add("d9")  # as the other replica does
    (receipt,) = await answer
    assert isinstance(receipt, Receipt) and receipt.new


async def test_one_process_alone_knows_at_once_what_is_not_there(desk: Callable[..., Desk]) -> None:
    at = desk(now_ms=lambda: 10**12)
    assert (await at.refused(item(made_at(10**12 - 1000))))[:2] == (404, "decision_not_found")
