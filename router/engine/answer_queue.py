"""Examine answers off the hot path: run checks, hear signals, ask the judge, and hand what they say to the stores.

    put (event loop)  ->  a bounded queue  ->  one thread: read the words, evaluate, store in batches

The request path appends one record of references; nothing is copied. When more comes than can be examined, the oldest
waiting answers are left out and counted, whoever sent them, so what is measured stays a fair sample. The thread takes a
share of one core at most and gives way to the event loop after every answer.

Words are read here and dropped.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeAlias

from router.core.learning import Compliance, Feedback
from router.engine.answer_evaluation import SIGNAL, Answered, AnswerEvaluator, JudgeCall, attempt

log = logging.getLogger("router.engine")

QUEUE_ANSWERS = 2_000
QUEUE_BYTES = 64 << 20
"""How many answers wait at most, and how large they and their requests are in all."""

PAUSE_S = 0.2
"""How long answers are collected before they are examined."""

BUSY_SHARE = 0.2
"""The most of one core's time that examining takes; at 0.15 ms an answer it is enough for 1,300 answers a second."""

BATCH_ROWS = 500
"""Rows that are stored in one transaction, about."""

JUDGED_AT_ONCE = 8
JUDGE_WAITING = 200
"""Calls to the judge that are under way at once, and that wait; a prompt is 30 KB at most."""


Record: TypeAlias = Callable[[Sequence[Feedback]], Sequence[bool]]
Tally: TypeAlias = Callable[[Sequence[Compliance]], None]
"""`FeedbackStore.record` and `LearningStore.tally`."""

Ask: TypeAlias = Callable[[str, bytes], Coroutine[Any, Any, str]]
"""Sends a body to a model by its alias and returns the words of its answer. Raises RouterError."""


class AnswerQueue:
    """Examines answers in its own thread.

    `evaluator` finds out what an answer tells, `record` and `tally` take what was found, and `ask` reaches the judge;
    without it nothing is judged. `count_dropped` is called with the number of answers left out, `count_signal` with
    policy and name of a signal that was met.
    """

    def __init__(
        self,
        evaluator: AnswerEvaluator,
        record: Record,
        tally: Tally,
        *,
        ask: Ask | None = None,
        count_dropped: Callable[[int], None] = lambda answers: None,
        count_signal: Callable[[str, str], None] = lambda policy, signal: None,
        queue: int = QUEUE_ANSWERS,
        queue_bytes: int = QUEUE_BYTES,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._evaluator = evaluator
        self._record = record
        self._tally = tally
        self._fault_handler = evaluator.fault_handler
        self._ask = ask
        self._count_dropped = count_dropped
        self._count_signal = count_signal
        self._now_ms = evaluator.now_ms
        self._limit = queue
        self._limit_bytes = queue_bytes
        self._pause_s = pause_s
        self._waiting: deque[Answered] = deque()
        self._put_bytes = 0  # written where answers are put only,
        self._taken_bytes = 0  # and this where they are taken only: neither needs a lock
        self._rows: list[Feedback] = []
        self._counts: dict[Compliance, list[int]] = {}
        self._to_judge: deque[JudgeCall] = deque()
        self._judged: deque[tuple[JudgeCall, Future[str]]] = deque()
        self._asking = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._working = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="answer_queue", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Start the thread. The judge is asked in `loop`; without one nothing is judged."""
        self._loop = loop
        self._thread.start()

    def put(self, answered: Answered) -> None:
        """Queue an answer. Never blocks, never raises. Called from one thread only."""
        if answered.status != 200:
            return
        waiting, size = self._waiting, _size(answered)
        while waiting and (
            len(waiting) >= self._limit or self._put_bytes - self._taken_bytes + size > self._limit_bytes
        ):
            try:
                self._put_bytes -= _size(waiting.popleft())
            except IndexError:  # the thread was faster
                break
            self._count_dropped(1)
        self._put_bytes += size
        waiting.append(answered)

    def flush(self) -> None:
        """Examine what is waiting and store what was found, in the calling thread."""
        with self._working:
            while self._waiting or self._judged:
                self._look(float("inf"))
            self._store()

    def close(self) -> None:
        """Stop the thread and examine the rest. The judge is asked no more."""
        self._loop = None
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.flush()

    # ---------------------------------------------------------------------------------------- in the queue's own thread

    def _run(self) -> None:
        pause = self._pause_s
        while not self._stop.wait(pause):
            began = time.thread_time()
            with self._working:
                self._look(time.monotonic() + self._pause_s)
                self._store()
            spent = time.thread_time() - began
            pause = max(self._pause_s, spent / BUSY_SHARE - spent)

    def _look(self, until_s: float) -> None:
        """Examine what is waiting, for as long as there is time; then hear the judge, and ask it."""
        while self._waiting and time.monotonic() < until_s:
            try:
                answered = self._waiting.popleft()
            except IndexError:  # left out by whoever put the newest
                break
            self._taken_bytes += _size(answered)
            attempt(self._fault_handler, "examine_failed", self._examine, answered)
            if len(self._rows) >= BATCH_ROWS:
                self._store()
            time.sleep(0)  # the event loop comes first
        while self._judged:
            self._hear(*self._judged.popleft())
        while self._to_judge and self._asking < JUDGED_AT_ONCE and self._loop is not None:
            self._send(self._to_judge.popleft(), self._loop)

    def _examine(self, answered: Answered) -> None:
        text = _words(answered)
        found = self._evaluator.look_at(answered, text)
        self._rows += found.rows
        for count in found.counts:
            total = self._counts.setdefault(count._replace(answers=0, held=0), [0, 0])
            total[0] += count.answers
            total[1] += count.held
        if found.judging is not None and self._ask is not None:
            if len(self._to_judge) >= JUDGE_WAITING:
                self._to_judge.popleft()
                self._fault_handler.note("judge_dropped")
            self._to_judge.append(found.judging)

    def _send(self, judging: JudgeCall, loop: asyncio.AbstractEventLoop) -> None:
        assert self._ask is not None
        asked = self._ask(judging.model, judging.body)
        try:
            future = asyncio.run_coroutine_threadsafe(asked, loop)
        except RuntimeError:  # the loop is closed: the server is going down
            asked.close()
            return
        self._asking += 1
        future.add_done_callback(lambda done: self._judged.append((judging, done)))

    def _hear(self, judging: JudgeCall, reply: Future[str]) -> None:
        """Take in what the judge said. What it could not say is counted, and the answer stays without a verdict."""
        self._asking -= 1
        error = None if reply.cancelled() else reply.exception()
        if error is not None:
            self._fault_handler.note("judge_failed")
            log.warning("the judge %s gave no verdict: %s: %s", judging.model, type(error).__name__, error)
        elif not reply.cancelled():
            value = attempt(self._fault_handler, "judge_failed", judging.rules.verdict, reply.result())
            if value is None:
                self._fault_handler.note("judge_unclear")
            else:
                self._rows.append(replace(judging.row, value=value, at_ms=self._now_ms()))

    def _store(self) -> None:
        """Hand on what was found. What cannot be stored is lost, and counted: it was acknowledged to nobody."""
        rows, self._rows = self._rows, []
        counts, self._counts = self._counts, {}
        if rows:
            fresh = attempt(self._fault_handler, "findings_lost", self._record, rows) or ()
            for row, new in zip(rows, fresh, strict=False):
                if new and row.comment.startswith(SIGNAL):
                    self._count_signal(row.policy, row.comment.removeprefix(SIGNAL))
        if counts:
            told = [count._replace(answers=answers, held=held) for count, (answers, held) in counts.items()]
            attempt(self._fault_handler, "findings_lost", self._tally, told)


def _size(answered: Answered) -> int:
    """Return how many bytes an answer holds on to: its own, and those of the request, as they came and as read."""
    return answered.size + 2 * len(answered.prepared.request.body)


def _words(answered: Answered) -> str:
    return answered.wire.spoken(b"".join(answered.pieces), stream=answered.stream)
