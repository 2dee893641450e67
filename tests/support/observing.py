"""All that can be seen of a pack from outside: what is sent, explained, tested, learnt, examined, tuned and found.

Nothing in it repeats what the pack says, nor its revision, so that a key which nobody reads leaves no trace here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from router.backends import EchoBackend
from router.classify.fit.training import Material
from router.classify.user_words import UserWords
from router.core.errors import RequestError
from router.core.evidence import Belief, Likely
from router.core.learning import Assignment, DialKey, Feedback, MaturedAssignment, ServiceRecord
from router.core.policy import Level, Policy
from router.cues import DeclaredCues
from router.cues.detectors import detect_language
from router.engine.answer_evaluation import Answered, AnswerEvaluator
from router.engine.explain import explanation
from router.engine.guarding import FaultHandler
from router.engine.identity import Identifier
from router.engine.pipeline import Pipeline
from router.engine.prepare import RequestPreparer
from router.engine.send import BackendSender, BackendTarget, RetryBudget
from router.engine.snapshot import PolicyRegistry, Snapshot
from router.packs import Pack, check, judge
from router.rewards.answer_rules import PolicyAnswerRules
from router.rewards.reward import reward_of
from router.tuning.candidates import Candidates
from router.tuning.level_state import LevelState
from tests.support.parts import CHAT, Clock, WordRecogniser, body, call

ASKED: list[dict[str, Any]] = [
    body("where is my parcel", metadata={"tier": "pro", "name": "Ann", "conversation_id": "c0"}),
    body("I want a refund, thanks", user="u1", metadata={"tier": "free", "known": True, "conversation_id": "c1"}),
    body("a refund, either way", metadata={"conversation_id": "c2"}),
    body("any of these", metadata={"tier": "pro", "conversation_id": "c3"}),
    body("both, please", metadata={"conversation_id": "c4"}),
    body("hello", "Hi!", "a refund", "I cannot help.", "thanks, and my parcel?", user="u1", metadata={"tier": "free"}),
    body("Generate a title, please", system="You write titles.", max_tokens=9, stream=False),
    body("Generate a title, please", stream=True),
    body("If my parcel is not here because it was lost, what then? And when does it come?"),
    body(" ".join(["Is it so that the parcel comes, if nobody is there?"] * 12), system="You are a bot."),
]
"""Requests that any key of a pack may make a difference to."""

ANSWERS = (
    "I cannot help.",
    "It is 7 days. Your order number, please?",
    '{"a": 1}',
    "Das ist nicht so, wie wir es wollen.",
)


class _Recogniser(WordRecogniser):
    """Knows tasks by words; `both` settles two of them, `any` might be any of three."""

    def step(self, before: Any, text: str, reply_before: str = "", parts: Any = ()) -> tuple[Any, Belief]:
        if "both" in text:
            parcel = Belief({"/delivery": 0.9}, (Likely("/delivery", 0.9),))
            return before, Belief({"/billing": 0.9, "/billing/refund": 0.9, "/delivery": 0.1}, (), (parcel,))
        if "any" in text:
            masses = dict.fromkeys(("/billing/refund", "/delivery", "/thanks"), 0.2)
            return before, Belief({**masses, "/billing": 0.2}, tuple(Likely(*each) for each in masses.items()))
        return super().step(before, text, reply_before, parts)


def observed(pack: Pack) -> dict[str, Any]:
    """Return all that can be seen of a pack."""
    policy = pack.policy
    seen: dict[str, Any] = {
        "name": policy.name,
        "found": [(finding.code, finding.message) for finding in check(pack)],
        "requests": [_request(policy, asked) for asked in ASKED],
        "tests": [(test.name, test.todo, _tested(policy, test)) for test in pack.tests],
        "learnt": _learnt(policy),
        "answers": [_answered(policy, asked) for asked in ASKED],
        "rewards": [_reward(policy, metric, value) for metric in ("m", "") for value in (0.0, 1.0, 4.0)],
        "revisions": _revisions(policy),
        "tuned": _tuned(policy),
        "line": asyncio.run(_line(policy)),
    }
    return seen


def _preparer(policy: Policy, clock: Clock | None = None) -> tuple[RequestPreparer, PolicyRegistry]:
    snapshot = Snapshot(policy, DeclaredCues(policy), _Recogniser())
    registry = PolicyRegistry({policy.name: snapshot}, policy.name)
    handler = FaultHandler(lambda code: None)
    return RequestPreparer(registry, Identifier(b"secret", ("x-session-id",)), handler, clock or Clock()), registry


def _request(policy: Policy, asked: Mapping[str, Any]) -> Any:
    """Return what leaves for a request, and how it is explained."""
    of, _ = _preparer(policy)
    try:
        prepared = of.prepare(call(asked, headers={"customer-tier": "pro"}))
    except RequestError as error:
        return error.code, error.message
    told = explanation(prepared)
    del told["revision"], told["certificate"], told["on_switch"]
    return of.weave(prepared, CHAT).body.decode().replace(policy.revision, ""), json.dumps(told, default=str)


def _tested(policy: Policy, test: Any) -> str:
    of, _ = _preparer(policy)
    try:
        prepared = of.prepare(call(body(*test.turns), metadata=dict(test.cues)))
    except RequestError as error:
        return error.code
    return repr(judge(test, prepared.decision))


def _learnt(policy: Policy) -> tuple[Any, ...]:
    """Return what a recogniser is fitted to, and what it reads of a message."""
    read = UserWords(policy.boilerplate, policy.user_words).read
    return Material.of(policy), read("<question>Where is it?</question> Sent from my phone")


def _answered(policy: Policy, asked: Mapping[str, Any]) -> list[Any]:
    """Return what is made of answers: checks, signals, the judge."""
    of, _ = _preparer(policy)
    since: list[int] = []
    evaluator = AnswerEvaluator(
        lambda policy: PolicyAnswerRules(policy, detect_language, b"salt"),
        FaultHandler(lambda code: None),
        earlier=lambda **of: since.append(of["since_ms"]),
        now_ms=lambda: 0,
    )
    try:
        prepared = of.prepare(call(asked))
    except RequestError:
        return []
    told: list[Any] = []
    for text in ANSWERS:
        found = evaluator.look_at(Answered(CHAT, prepared, "", "dec_1", "m", 10**9, (), 0, False), text)
        if ask := found.judging:
            told.append((ask.model, ask.body, ask.rules.verdict('{"score": 0.5}')))
        told += [(row.metric, row.value, row.comment) for row in found.rows]
        told += [(each.instruction, each.said, each.held) for each in found.counts]
    return [*told, since]


def _reward(policy: Policy, metric: str, value: float) -> Any:
    """Return what a conversation is worth of which somebody says a value, or nobody anything."""
    row = Feedback("f", 0, "", policy.name, "c", "u", "dec_1", metric, value, "agent")
    given = Assignment("d", 0, "", policy.name, "c", "u", "/delivery", "", "m", Level.GUIDED, "x", 0)
    return reward_of(policy, MaturedAssignment(given, (row,) if metric else (), ServiceRecord(1)))


def _revisions(policy: Policy) -> list[str]:
    """Return by which revision a conversation goes on after so many seconds."""
    clock = Clock()
    of, registry = _preparer(policy, clock)
    first = body("hello", metadata={"conversation_id": "c", "tier": "free"})
    on = body("hello", "Hi!", "and now", metadata={"conversation_id": "c", "tier": "free"})
    found = []
    for seconds in (0, 3_000, 5_000):
        try:
            found.append(of.prepare(call(on if seconds else first)).decision.revision)
        except RequestError as error:
            found.append(error.code)
        later = replace(registry.current().policy, revision=f"later {seconds}")
        registry.swap(policy.name, Snapshot(later, DeclaredCues(later), _Recogniser()))
        clock.now += 3_000 + seconds
    return [revision.replace(policy.revision, "first") for revision in found]


def _tuned(policy: Policy) -> tuple[Any, ...]:
    """Return why nothing is tried, and who is left out of tuning."""
    levels = LevelState().levels(b"salt", policy.settings.holdout)
    waits = [Candidates(policy, LevelState(), {}, 0).wait(DialKey(path, "m")) for path in policy.tasks]
    return waits, [levels.held_out(f"u{n}") for n in range(100)]


async def _line(policy: Policy) -> Any:
    """Return what the line records for the tuner of a request."""
    preparer, registry = _preparer(policy)
    registry.tune(policy.name, LevelState().levels(b"salt", 0.0))
    traces: list[Any] = []
    target = BackendTarget(EchoBackend(name="echo", nonce="n"))
    sender = BackendSender(0, lambda: RetryBudget(0.0))
    pipeline = Pipeline(preparer, sender, lambda model: (target,), traces.append, now_ms=lambda: 0)
    try:
        await pipeline.run(call(ASKED[0]))
    except RequestError as error:
        return error.code
    given = [trace.assignment for trace in traces if trace.assignment]
    return [round(each.matures_ms / 60_000) for each in given]  # minutes: an answer takes some milliseconds
