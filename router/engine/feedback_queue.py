"""Take feedback in: an acknowledgement is a promise, so it is given when the rows are on the disk and not before.

    put (event loop)  ->  a bounded queue  ->  one thread: find, judge, record, in groups  ->  the waiting put returns

A disk takes some milliseconds to be sure, whether of one row or of thousands. So everything that waits is stored in one
transaction (group commit), and while that is written the next group gathers: the busier, the larger the groups.

What cannot be stored now is refused with a 503 and `retry-after`, all that waited in that group with it, and nothing of
it is acknowledged; nobody is made to wait in a queue that is full. A sender may send it again as it is: an id counts
once, whether or not the first attempt had got as far as the disk.

Rows get their time of receipt here, from a clock that stands still where the wall clock is set back: what counts is
decided by the order of receipt, and a newer word must not come before an older one, also across a restart. A clock that
leaps far ahead and back again is believed at once: otherwise time would stand still until then.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import TypeAlias

from router.core.errors import Degraded, RequestError
from router.core.learning import Feedback
from router.core.policy import Policy
from router.core.store_ports import FeedbackStore, FeedbackSubject, FeedbackTarget
from router.engine.feedback_item import FeedbackItem, Receipt, find, measure, metric_of, wanted
from router.engine.guarding import FaultHandler
from router.engine.rate_limiter import RateLimiter
from router.engine.snapshot import PolicyRegistry

log = logging.getLogger("router.engine")

QUEUE_REMARKS = 20_000
"""Remarks that may wait; about 600 bytes each."""

GROUP_REMARKS = 2_000
"""Remarks that are stored in one transaction, unless one sender brought more at once."""

RETRY_AFTER_S = 1

BEHIND_MS = 60_000
"""A wall clock that is behind the newest receipt by more than this is worth a warning."""

LEAP_MS = 600_000
"""By how much the newest receipt must be ahead of the clock for it to be the receipt that is wrong: the clock had leapt
forward, and the times of all that comes may not wait for that moment."""

PATIENCE_S = (0.2, 0.5)
"""After which pauses is looked again for what is not known, where several replicas share a database: another one writes
its decisions a tenth of a second later."""

YOUNG_MS = 60_000
"""A decision that was made so lately, by the time in its id, may still be on its way into the database."""

_MADE_AT = re.compile(r"dec_([0-9a-f]{11})[0-9a-f]{16}")

_UNFORESEEN = "feedback_failed"

Result: TypeAlias = Receipt | RequestError


@dataclass(frozen=True, slots=True)
class _Waiting:
    items: Sequence[FeedbackItem]
    done: asyncio.Future[list[Result]]


class FeedbackQueue:
    """Takes items in. `start` it in the event loop that will `put`, `close` it in a thread beside that loop.

    `flush` writes the decisions that are still waiting to be: they may be what an item is about. `per_minute` caps
    what one end user may say; None does not. `shared` says that others write decisions as well: what is not known is
    then looked for again, and a decision that was made just now is not unknown. `count_unstored` is told how many items
    were refused because they could not be stored. `now_ms` is the wall clock.

    `fault` says why the last items could not be stored; it is empty when they were.
    """

    def __init__(
        self,
        store: FeedbackStore,
        registry: PolicyRegistry,
        fault_handler: FaultHandler,
        flush: Callable[[], None],
        *,
        per_minute: int | None = None,
        shared: bool = False,
        count_unstored: Callable[[int], None] = lambda items: None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        queue: int = QUEUE_REMARKS,
    ) -> None:
        self._store = store
        self._registry = registry
        self._fault_handler = fault_handler
        self._flush = flush
        self._limiter = RateLimiter(per_minute) if per_minute else None
        self._shared = shared
        self._count_unstored = count_unstored
        self._now_ms = now_ms
        self._last_ms: int | None = None
        self._most = queue
        self._waiting = 0  # items that were put and not answered; counted in the event loop alone
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self.fault = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """How many items were put and are not answered."""
        return self._waiting

    def start(self) -> None:
        """Start the storing thread."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, args=(self._loop,), name="feedback", daemon=True)
        self._thread.start()

    async def put(self, items: Sequence[FeedbackItem]) -> list[Result]:
        """Store items and return what became of each, an error in place of those that cannot be stored as they are.

        Raises RequestError (503) when they cannot be stored now; then none is acknowledged.
        """
        results = await self._put(items)
        for pause_s in PATIENCE_S if self._shared else ():
            unknown = [at for at, result in enumerate(results) if _is_unknown(result)]
            if not unknown:
                break
            await asyncio.sleep(pause_s)
            for at, result in zip(unknown, await self._put([items[at] for at in unknown]), strict=True):
                results[at] = result
        if self._shared:
            return [self._in_time(*pair) for pair in zip(items, results, strict=True)]
        return results

    async def _put(self, items: Sequence[FeedbackItem]) -> list[Result]:
        """Wait for what becomes of items. Raises RequestError (503)."""
        if not items:
            return []
        loop = self._loop
        if loop is None:
            raise _unavailable("No feedback is taken now.", "feedback_unavailable")
        if self._waiting + len(items) > self._most:
            self._count_unstored(len(items))
            raise _unavailable("Too much feedback is waiting to be stored.", "feedback_queue_full")
        done: asyncio.Future[list[Result]] = loop.create_future()
        self._waiting += len(items)
        self._queue.put(_Waiting(items, done))
        return await done

    def close(self) -> None:
        """Store what is waiting and stop the thread. What is put from then on is refused."""
        self._loop = None
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    # ------------------------------------------------------------------------------------------- in the queue's thread

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        open_ = True
        while open_:
            group, open_ = self._take()
            if group:
                loop.call_soon_threadsafe(self._answer, group, self._try(group))

    def _take(self) -> tuple[list[_Waiting], bool]:
        """Return all that waits, up to the size of a group, and whether more may come."""
        group: list[_Waiting] = []
        size = 0
        try:
            while size < GROUP_REMARKS:
                waiting = self._queue.get(block=not group)
                if waiting is None:
                    return group, False
                group.append(waiting)
                size += len(waiting.items)
        except Empty:
            pass
        return group, True

    def _try(self, group: Sequence[_Waiting]) -> list[Result] | None:
        """Return the results of a whole group, or None where nothing of it could be stored."""
        items = [item for each in group for item in each.items]
        try:
            results = self._settle(items)
        except Exception as error:  # noqa: BLE001  refused, and the next group is tried again
            fault = self._fault_handler.degraded(_UNFORESEEN, error)
            if fault is error:  # what nobody foresaw is counted by the handler
                self._fault_handler.note(fault.code)
            self._count_unstored(len(items))
            if not self.fault:
                log.error("feedback cannot be stored: %s", fault)
            self.fault = str(fault)
            return None
        if self.fault:
            log.warning("feedback is stored again")
        self.fault = ""
        return results

    def _settle(self, items: Sequence[FeedbackItem]) -> list[Result]:
        """Find, judge and record. Raises Degraded; then nothing is stored."""
        at_ms = self._receipt_ms()
        found = self._locate(items)
        results: list[Result] = []
        rows: list[Feedback] = []
        places: list[int] = []
        for item in items:
            try:
                row, receipt = self._judge(item, find(item, found[item.tenant]), at_ms)
            except RequestError as error:
                results.append(error)
                continue
            places.append(len(results))
            results.append(receipt)
            rows.append(row)
        try:
            news = self._store.record(rows) if rows else ()
        except Degraded:
            for row in rows:
                self._uncount(row)
            raise
        for place, row, new in zip(places, rows, news, strict=True):
            if not new:
                self._uncount(row)
                before = results[place]
                assert isinstance(before, Receipt)
                results[place] = replace(before, new=False)
        return results

    def _receipt_ms(self) -> int:
        if self._last_ms is None:
            self._last_ms = self._store.last_ms()
        now_ms = self._now_ms()
        if now_ms < self._last_ms - BEHIND_MS:
            self._fault_handler.note("clock_behind")
        leapt = now_ms < self._last_ms - LEAP_MS
        self._last_ms = now_ms if leapt else max(now_ms, self._last_ms)
        return self._last_ms

    def _locate(self, items: Sequence[FeedbackItem]) -> dict[str, dict[FeedbackTarget, FeedbackSubject | None]]:
        """PreparedRequest everything up, and what is not there once more when all decisions have been written."""
        found: dict[str, dict[FeedbackTarget, FeedbackSubject | None]] = {}
        flushed = False
        for tenant, targets in wanted(items).items():
            known = found[tenant] = dict(zip(targets, self._store.locate(tenant, targets), strict=True))
            missing = [target for target, located in known.items() if located is None]
            if missing:
                if not flushed:
                    self._flush()
                    flushed = True
                known.update(zip(missing, self._store.locate(tenant, missing), strict=True))
        return found

    def _judge(self, item: FeedbackItem, located: FeedbackSubject, at_ms: int) -> tuple[Feedback, Receipt]:
        """Return the row of an item and its receipt. Raises RequestError."""
        metric = metric_of(self._policy(located.policy), item)
        value = measure(metric, item.value)
        self._count(item, located)
        row = Feedback(
            id=item.id,
            at_ms=at_ms,
            tenant=item.tenant,
            policy=located.policy,
            conversation=located.conversation,
            unit=located.unit,
            decision=located.decision,
            metric=metric.name,
            value=value,
            source=item.source,
            comment=item.comment,
            said_at_ms=item.said_at_ms,
        )
        return row, Receipt(item.id, True, located)

    def _policy(self, name: str) -> Policy:
        if name not in self._registry.names:
            raise RequestError(
                f'This was decided under the policy "{name}", which is not served any more.',
                status=410,
                code="policy_not_served",
                param="decision",
            )
        return self._registry.current(name).policy

    def _count(self, item: FeedbackItem, located: FeedbackSubject) -> None:
        """Count an item of an end user. Raises RequestError (429)."""
        if self._limiter is None or item.source != "user":
            return
        wait_s = self._limiter.take(_name(item.tenant, located.unit))
        if wait_s:
            raise too_often(self._limiter.per_minute, wait_s)

    def _uncount(self, row: Feedback) -> None:
        if self._limiter is not None and row.source == "user":
            self._limiter.give_back(_name(row.tenant, row.unit))

    # ----------------------------------------------------------------------------------------------- in the event loop

    def _in_time(self, item: FeedbackItem, result: Result) -> Result:
        """Return the result, or that the item is to be sent again where its decision was made just now."""
        if not _is_unknown(result):
            return result
        names = [item.granted, *(target.name for target in item.targets if target.kind == "decision")]
        for made in filter(None, map(_MADE_AT.fullmatch, names)):
            if abs(self._now_ms() - int(made[1], 16)) < YOUNG_MS:
                return _unavailable("The decision is not stored yet.", "decision_not_stored_yet")
        return result

    def _answer(self, group: Sequence[_Waiting], results: list[Result] | None) -> None:
        begin = 0
        for waiting in group:
            end = begin + len(waiting.items)
            self._waiting -= len(waiting.items)
            if not waiting.done.done():  # a sender that has gone away waits no more; the rows stay
                if results is None:
                    waiting.done.set_exception(_unavailable("It could not be stored.", "feedback_unavailable"))
                else:
                    waiting.done.set_result(results[begin:end])
            begin = end


def _is_unknown(result: Result) -> bool:
    """Say whether what an item is about is not there, or a token's decision is not."""
    return isinstance(result, RequestError) and (result.status == 404 or result.code == "token_not_for_this")


def too_often(per_minute: int, wait_s: float) -> RequestError:
    """Return the error for an end user, or a token, that says too much."""
    seconds = int(wait_s) + 1
    return RequestError(
        f"One end user may give feedback {per_minute} times a minute. Try again in {seconds} s.",
        status=429,
        code="feedback_rate_limit",
        kind="rate_limit_error",
        headers={"retry-after": str(seconds)},
    )


def _name(tenant: str, unit: str) -> str:
    return f"{tenant}\n{unit}"


def _unavailable(why: str, code: str) -> RequestError:
    return RequestError(
        f"{why} Nothing was acknowledged; send it again in a moment.",
        status=503,
        code=code,
        kind="server_error",
        headers={"retry-after": str(RETRY_AFTER_S)},
    )
