"""Examining answers: what is found, about what it speaks, and that nothing of it ever touches a request."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from router.core.errors import BackendError, Degraded
from router.core.evidence import Thresholds
from router.core.learning import Compliance, Feedback
from router.core.policy import AuxiliaryRule, Check, Judge, Level, Metric, Policy, Signal, Task
from router.core.store_ports import FeedbackSubject
from router.engine.answer_evaluation import Answered, AnswerEvaluator
from router.engine.answer_queue import JUDGE_WAITING, JUDGED_AT_ONCE, AnswerQueue
from router.engine.guarding import FaultHandler
from router.engine.prepare import RequestPreparer
from router.rewards import PolicyAnswerRules
from tests.support.parts import (
    CHAT,
    EITHER,
    WordRecogniser,
    body,
    call,
    instruction,
    preparer,
    small_policy,
    snapshot,
)

METRICS = {
    metric.name: metric
    for metric in (
        Metric("resolved", "boolean", primary=True, default=1.0),
        Metric("escalated", "boolean", better="low"),
        Metric("quality", "rating", 1.0, 5.0),
        Metric("checks", "checks"),
    )
}
SIGNALS = (
    Signal("thanks", "resolved", 1.0, user_says=("(?i)thanks",)),
    Signal("complaint", "resolved", 0.0, user_says=("(?i)wrong",)),
    Signal("refused", "resolved", 0.0, answer_says=("(?i)cannot help",)),
    Signal("parcel_next", "escalated", 1.0, tasks=("/delivery",)),
    Signal("asked_again", "resolved", 0.0, again_within_s=3600.0),
)


def policy(**more: Any) -> Policy:
    desk = small_policy()
    refund = desk.tasks["/billing/refund"]
    lines = (
        instruction("/billing/refund", "short", "- Be short.", check=Check("max_words", 3)),
        instruction("/billing/refund", "amount", "- Name the amount.", check=Check("matches", r"\d")),
        instruction(
            "/billing/refund", "day", "- Name the day.", Level.DETAILED, check=Check("mentions_any", ("Monday",))
        ),
    )
    tasks = MappingProxyType({**desk.tasks, refund.path: replace(refund, instructions=lines)})
    return replace(desk, tasks=tasks, metrics=MappingProxyType(METRICS), signals=SIGNALS, **more)


def whole(text: str) -> bytes:
    return json.dumps({"id": "chatcmpl-1", "choices": [{"index": 0, "message": {"content": text}}]}).encode()


class Desk:
    """An answer_queue over lists, and conversations that are answered by hand."""

    def __init__(self, of: Policy | None = None, recogniser: WordRecogniser | None = None, **more: Any) -> None:
        self.rows: list[Feedback] = []
        self.counts: list[Compliance] = []
        self.faults: list[str] = []
        self.dropped: list[int] = []
        self.signals: list[tuple[str, str]] = []
        self.looked_up: list[dict[str, Any]] = []
        self.before: FeedbackSubject | None = None
        self.now = 5_000
        self.of: RequestPreparer = preparer(snapshot(of or policy(), recogniser))
        self.fault_handler = FaultHandler(self.faults.append)
        self.ids = 0
        evaluator = AnswerEvaluator(
            lambda known: PolicyAnswerRules(known, lambda text: None),
            self.fault_handler,
            earlier=self.earlier,
            salt=b"salt",
            now_ms=lambda: self.now,
        )
        self.answer_queue = AnswerQueue(
            evaluator,
            self.record,
            self.counts.extend,
            count_dropped=self.dropped.append,
            count_signal=lambda policy, signal: self.signals.append((policy, signal)),
            **more,
        )

    def record(self, rows: Sequence[Feedback]) -> list[bool]:
        """Store as the real stores do: an id counts once."""
        fresh = []
        for row in rows:
            fresh.append(row.id not in {known.id for known in self.rows})
            self.rows += [row] * fresh[-1]
        return fresh

    def earlier(self, **asked: Any) -> FeedbackSubject | None:
        self.looked_up.append(asked)
        return self.before

    def put(self, *texts: str, answer: str | bytes = "Fine, 5 EUR", id_: str = "", **more: Any) -> str:
        self.ids += 1
        id_ = id_ or f"dec_{self.ids}"
        pieces = [answer] if isinstance(answer, bytes) else [whole(answer)]
        fields = {key: more.pop(key) for key in ("stream", "whole", "status", "size") if key in more}
        fields.setdefault("size", sum(map(len, pieces)))
        fields.setdefault("stream", False)
        prepared = self.of.prepare(call(body(*texts, **more)))
        self.answer_queue.put(Answered(CHAT, prepared, "acme", id_, "m", 9_000_000, pieces, **fields))
        return id_

    def say(self, *texts: str, **more: Any) -> list[tuple[str, float, str, str]]:
        """Examine one answer and return the rows it gave: metric, value, decision, comment."""
        before = len(self.rows)
        self.put(*texts, **more)
        self.answer_queue.flush()
        return [(row.metric, row.value, row.decision, row.comment) for row in self.rows[before:]]


@pytest.fixture
def desk() -> Desk:
    return Desk()


# ---------------------------------------------------------------------------------------------------- what is found


@pytest.mark.parametrize(
    ("answer", "share"), [("Only 5 EUR", 1.0), ("None of it, not one cent", 0.0), ("Some 5 EUR or so maybe", 0.5)]
)
def test_checks_speak_of_the_answer(desk: Desk, answer: str, share: float) -> None:
    assert desk.say("I want a refund", answer=answer) == [("checks", share, "dec_1", "")]
    (row,) = desk.rows
    assert (row.source, row.tenant, row.policy, row.at_ms) == ("system", "acme", "desk", 5_000)
    assert len(row.conversation) == len(row.unit) > 8


def test_an_answer_in_a_stream_is_read_too(desk: Desk) -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": "5 "}}]}
    stream = f"data: {json.dumps(chunk)}\n\n".encode() * 2
    assert desk.say("I want a refund", answer=stream, stream=True)[0][:2] == ("checks", 1.0)


def test_of_a_cut_answer_only_what_is_certain_counts(desk: Desk) -> None:
    assert desk.say("I want a refund", answer="It has many words", whole=False) == [("checks", 0.0, "dec_1", "")]
    assert desk.say("I want a refund", answer="5", whole=False) == []


def test_compliance_is_summed_up_also_of_what_was_not_said(desk: Desk) -> None:
    for answer in ("Only 5 EUR", "Nothing on Monday"):
        desk.put("I want a refund", answer=answer)
    desk.answer_queue.flush()
    told = {count.instruction.rpartition(":")[2]: count for count in desk.counts}
    assert {name: (c.said, c.answers, c.held) for name, c in told.items()} == {
        "short": (True, 2, 2),
        "amount": (True, 2, 1),
        "day": (False, 2, 1),
    }
    assert {(c.policy, c.model, c.drawn) for c in desk.counts} == {("desk", "m", False)}


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        (["Thanks in advance"], []),  # nothing was answered before
        (["Hello", "Hi.", "Thanks!"], [("resolved", 1.0, "", "signal thanks")]),
        (["Hello", "Hi.", "Thanks, but that is wrong"], [("resolved", 0.0, "", "signal complaint")]),
        (["Hello", "Hi.", "And now?"], []),
        (["Hello", "Hi.", "Where is my parcel?"], [("escalated", 1.0, "", "signal parcel_next")]),
        (["parcel", "Yes?", "It is wrong"], [("resolved", 0.0, "", "signal complaint")]),  # it was there already
    ],
)
def test_a_turn_speaks_of_the_conversation_before_it(
    desk: Desk, turns: list[str], said: list[tuple[str, float, str, str]]
) -> None:
    assert desk.say(*turns) == said
    assert desk.signals == [("desk", comment.removeprefix("signal ")) for _, _, _, comment in said]


def test_a_turn_that_is_sent_again_counts_once(desk: Desk) -> None:
    turns = ["Hello", "Hi.", "Thanks!"]
    assert len(desk.say(*turns)) == 1
    assert desk.say(*turns) == []
    assert len(desk.say(*turns, "Bye.", "Thanks again!")) == 1
    assert desk.signals == [("desk", "thanks")] * 2


def test_a_signal_in_an_answer_speaks_of_that_answer(desk: Desk) -> None:
    assert desk.say("Hello", answer="I cannot help.") == [("resolved", 0.0, "dec_1", "signal refused")]


def test_ids_follow_from_what_a_row_is_about_and_from_the_salt(desk: Desk) -> None:
    desk.say("I want a refund", id_="dec_a")
    desk.say("I want a refund", id_="dec_a")
    desk.say("I want a refund", id_="dec_b")
    assert [row.decision for row in desk.rows] == ["dec_a", "dec_b"]
    assert "dec_a" not in desk.rows[0].id


def test_who_comes_back_speaks_of_the_conversation_before(desk: Desk) -> None:
    desk.before = FeedbackSubject("desk", "c-old", "u-1", "dec_old", 100)
    said = desk.say("I want a refund", user="ann")
    assert ("resolved", 0.0, "dec_old", "signal asked_again") in said
    row = next(row for row in desk.rows if row.decision == "dec_old")
    assert (row.conversation, row.unit, row.tenant) == ("c-old", "u-1", "acme")
    (asked,) = desk.looked_up
    assert (asked["tenant"], asked["policy"], asked["task"]) == ("acme", "desk", "/billing/refund")
    assert asked["since_ms"] == 9_000_000 - 3_600_000 and asked["conversation"] != asked["unit"]
    desk.say("I want a refund", "Sure.", "the refund please", user="ann")
    assert len(desk.looked_up) == 1  # still the same visit


@pytest.mark.parametrize(("texts", "user"), [(("I want a refund",), ""), (("Hello",), "ann")])
def test_nobody_is_looked_up_without_a_name_or_a_task(desk: Desk, texts: tuple[str, ...], user: str) -> None:
    desk.say(*texts, **({"user": user} if user else {}))
    assert desk.looked_up == []


DOUBT = f"{EITHER}, I cannot say"


def doubting(sure: bool) -> Desk:
    """A desk to which a message may come about either of two tasks of /delivery, sure of the domain or not."""
    desk = policy()
    carried = [
        instruction(path, "day", "- Name the day.", check=Check("mentions_any", ("Monday",)))
        for path in ("/", "/delivery", "/delivery/late", "/delivery/lost")
    ]
    tasks = {line.task: replace(desk.tasks.get(line.task, Task(line.task)), instructions=(line,)) for line in carried}
    tasks["/delivery"] = replace(tasks["/delivery"], children=("/delivery/late", "/delivery/lost"))
    recogniser = WordRecogniser()
    recogniser.doubts = {EITHER: ("/delivery/late", "/delivery/lost")}  # 0.92 together
    recogniser.thresholds = Thresholds(0.5, 0.5, {} if sure else {"/delivery": 0.95})
    return Desk(replace(desk, tasks=MappingProxyType({**desk.tasks, **tasks})), recogniser)


@pytest.mark.parametrize("sure", [True, False])
def test_only_tasks_that_a_turn_was_sure_of_count(sure: bool) -> None:
    desk = doubting(sure)
    desk.before = FeedbackSubject("desk", "c-old", "u-1", "dec_old", 100)
    said = desk.say("Hello", "Hi.", DOUBT, user="ann")
    decision = desk.of.prepare(call(body("Hello", "Hi.", DOUBT, user="ann"))).decision
    assert (decision.outcome, decision.task, len(decision.listed)) == ("shortlisted", "/delivery", 2)
    assert [asked["task"] for asked in desk.looked_up] == ["/delivery"] * sure
    assert [comment for *_, comment in said if comment] == ["signal parcel_next", "signal asked_again"] * sure
    # What was a guess before is news once it is sure.
    desk = doubting(sure)
    desk.of.registry.current().recogniser.WORDS = {"late": "/delivery/late"}
    said = desk.say("Hello", "Hi.", DOUBT, "Which?", "it is late", user="ann")
    assert ("signal parcel_next" in [comment for *_, comment in said]) is not sure


def test_checks_are_run_for_what_is_said_plainly_and_never_for_a_case(desk: Desk) -> None:
    assert desk.say(DOUBT) == []  # a refund speaks as a case alone, and the root carries no check
    assert desk.counts == []
    desk = doubting(sure=False)
    assert desk.say(DOUBT, answer="On Monday") == [("checks", 1.0, "dec_1", "")]
    assert [(count.instruction, count.said) for count in desk.counts] == [("/:day", True), ("/delivery:day", True)]


def test_a_machines_own_call_is_not_examined() -> None:
    desk = Desk(policy(auxiliary=(AuxiliaryRule("title", user_starts=("refund",)),)))
    assert desk.say("refund title", answer="I cannot help.") == []
    assert desk.counts == []


@pytest.mark.parametrize("status", [201, 400, 499, 502])
def test_only_answers_that_went_well_are_examined(desk: Desk, status: int) -> None:
    assert desk.say("I want a refund", status=status) == []


@pytest.mark.parametrize("answer", [b"", b"rubbish", b"\xff\xfe", b"{}"])
def test_an_answer_without_words_tells_nothing(desk: Desk, answer: bytes) -> None:
    assert desk.say("I want a refund", answer=answer) == []
    assert not desk.counts


# ---------------------------------------------------------------------------------------------------- the judge

JUDGE = Judge("critic", "quality", "Is it right?", rate=1.0)


class Court:
    """A judge that answers by hand."""

    def __init__(self, reply: str | BaseException = '{"score": 0.75}') -> None:
        self.reply = reply
        self.asked: list[tuple[str, bytes]] = []
        self.under_way = self.most = 0
        self.gate: asyncio.Event | None = None

    async def __call__(self, model: str, body: bytes) -> str:
        self.asked.append((model, body))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        if self.gate is not None:
            await self.gate.wait()
        self.under_way -= 1
        if isinstance(self.reply, BaseException):
            raise self.reply
        return self.reply


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.005)


async def judged(court: Court, answers: int = 1, **more: Any) -> Desk:
    desk = Desk(policy(judge=JUDGE), ask=court, pause_s=0.005, **more)
    desk.answer_queue.start(asyncio.get_running_loop())
    for number in range(answers):
        desk.put(f"Question {number}", answer=f"Answer {number}")
    return desk


async def test_the_judge_speaks_of_an_answer_within_the_metrics_range() -> None:
    court = Court()
    desk = await judged(court)
    await until(lambda: desk.rows)
    await asyncio.to_thread(desk.answer_queue.close)
    (row,) = desk.rows
    assert (row.metric, row.value, row.source, row.decision) == ("quality", 4.0, "judge", "dec_1")
    ((model, sent),) = court.asked
    assert model == "critic" and b"Question 0" in sent and b"Answer 0" in sent and b"dec_1" not in sent


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        ("I like it", "judge_unclear"),
        (BackendError("no"), "judge_failed"),
        (OSError("no"), "judge_failed"),
    ],
)
async def test_a_judge_that_fails_is_counted(reply: str | BaseException, fault: str) -> None:
    desk = await judged(Court(reply))
    await until(lambda: desk.faults)
    await asyncio.to_thread(desk.answer_queue.close)
    assert (desk.faults, desk.rows) == ([fault], [])


async def test_few_calls_to_the_judge_are_under_way_and_few_wait() -> None:
    court = Court()
    court.gate = asyncio.Event()
    desk = await judged(court, JUDGE_WAITING + JUDGED_AT_ONCE + 50)
    await until(lambda: court.under_way == JUDGED_AT_ONCE and desk.faults.count("judge_dropped") >= 50)
    court.gate.set()
    await until(lambda: len(desk.rows) + desk.faults.count("judge_dropped") == JUDGE_WAITING + JUDGED_AT_ONCE + 50)
    await asyncio.to_thread(desk.answer_queue.close)
    assert court.most == JUDGED_AT_ONCE
    assert set(desk.faults) == {"judge_dropped"}


def test_without_a_judge_to_ask_nothing_is_judged() -> None:
    desk = Desk(policy(judge=JUDGE))
    assert desk.say("Hello") == []


async def test_nothing_is_judged_once_the_loop_is_gone() -> None:
    court = Court()
    desk = Desk(policy(judge=JUDGE), ask=court, pause_s=0.005)
    gone = asyncio.new_event_loop()
    gone.close()
    desk.answer_queue.start(gone)
    desk.put("Hello")
    await asyncio.to_thread(desk.answer_queue.flush)
    await asyncio.to_thread(desk.answer_queue.close)
    assert (court.asked, desk.rows, desk.faults) == ([], [], [])


# ---------------------------------------------------------------------------------------------------- queue and faults


def test_the_thread_examines_without_being_asked_and_closing_does_the_rest() -> None:
    desk = Desk(pause_s=0.001)
    stored = threading.Event()
    record = desk.record

    def tell(rows: Sequence[Feedback]) -> list[bool]:
        fresh = record(rows)
        stored.set()
        return fresh

    desk.answer_queue._record = tell
    desk.answer_queue.start()
    desk.put("I want a refund")
    assert stored.wait(20)
    for _ in range(20):
        desk.put("I want a refund")
    desk.answer_queue.close()
    assert len(desk.rows) == 21
    desk.answer_queue.close()  # a second time changes nothing


def test_when_too_much_waits_the_oldest_is_left_out_and_counted() -> None:
    desk = Desk(queue=3)
    for number in range(5):
        desk.put("I want a refund", id_=f"dec_{number}")
    desk.answer_queue.flush()
    assert [row.decision for row in desk.rows] == ["dec_2", "dec_3", "dec_4"]
    assert sum(desk.dropped) == 2


def test_what_waits_is_bounded_in_bytes_too() -> None:
    desk = Desk(queue_bytes=3_000)
    for size in (1_200, 1_200, 1_200, 300, 15_000):
        desk.put("I want a refund", size=size)
    desk.answer_queue.flush()
    assert [row.decision for row in desk.rows] == ["dec_5"]
    assert sum(desk.dropped) == 4
    for size in (1_200, 1_200):
        desk.put("I want a refund", size=size)
    desk.answer_queue.flush()
    assert len(desk.rows) == 3 and sum(desk.dropped) == 4


def test_a_large_request_counts_as_what_it_holds_on_to() -> None:
    desk = Desk(queue_bytes=100_000)
    for _ in range(3):
        desk.put("I want a refund", system="x" * 30_000)
    desk.answer_queue.flush()
    assert (len(desk.rows), sum(desk.dropped)) == (1, 2)


@pytest.mark.parametrize(
    ("error", "code"), [(Degraded("feedback_store_failed"), "feedback_store_failed"), (OSError("no"), "findings_lost")]
)
def test_a_store_that_fails_costs_findings_and_nothing_else(desk: Desk, error: Exception, code: str) -> None:
    def fail(rows: Sequence[Any]) -> list[bool]:
        raise error

    record, desk.answer_queue._record = desk.answer_queue._record, fail
    assert desk.say("I want a refund") == []
    assert desk.faults == [code]
    desk.answer_queue._record = record
    assert len(desk.say("I want a refund")) == 1


def test_a_lookup_that_fails_costs_that_signal_only(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**asked: Any) -> FeedbackSubject | None:
        raise Degraded("store_locked")

    monkeypatch.setattr(desk.answer_queue._evaluator, "_earlier", fail)
    assert desk.say("I want a refund", user="ann") == [("checks", 1.0, "dec_1", "")]
    assert desk.faults == ["store_locked"]


def test_an_answer_on_which_we_break_costs_that_answer_only(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    look_at = desk.answer_queue._evaluator.look_at

    def fail(answered: Answered, text: str) -> Any:
        if "break" in text:
            raise ZeroDivisionError
        return look_at(answered, text)

    monkeypatch.setattr(desk.answer_queue._evaluator, "look_at", fail)
    desk.put("I want a refund", answer="break")
    assert len(desk.say("I want a refund")) == 1
    assert desk.faults == ["examine_failed"]
