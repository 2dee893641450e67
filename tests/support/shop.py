"""A server in made-up time: requests through the real line, feedback into the real store, the tuner now and then.

Who is served how, and what they say of it, is decided by seeded chance; days pass as fast as the store can write.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from router.backends import EchoBackend
from router.core.learning import DialKey, ExperimentEvent, Feedback
from router.core.levels import Levels, usual_level
from router.core.policy import Level, Metric, Policy
from router.core.trace import Trace
from router.engine.guarding import FaultHandler
from router.engine.identity import Identifier
from router.engine.pipeline import Pipeline
from router.engine.prepare import RequestPreparer
from router.engine.send import BackendSender, BackendTarget, RetryBudget
from router.engine.snapshot import PolicyRegistry
from router.server.learner import Learner, Records
from router.stores import Database, SqlFeedbackStore, SqlLearningStore, SqlTraceStore
from router.tuning.level_state import say
from tests.support.parts import body, call, small_policy, snapshot

DAY_MS = 24 * 3600 * 1000
KEY = DialKey("/delivery", "m")
Goes = Callable[[Level], float]


def tuned_policy(mode: str = "suggest", revision: str = "rev-1", extra: str = "") -> Policy:
    policy = small_policy(revision, extra, tuning=mode, holdout=0.02)
    resolved = Metric("resolved", "boolean", primary=True, horizon_s=3 * 24 * 3600, default=1.0)
    return replace(policy, metrics=MappingProxyType({"resolved": resolved}))


class Shop:
    """A server in made-up time: customers ask where their parcel is, and a part of them comes away helped."""

    def __init__(self, database: Database, policy: Policy, seed: int = 1) -> None:
        self.database = database
        self.now = 1_000 * DAY_MS
        self.chance = random.Random(seed)
        self.faults: list[str] = []
        self.traces: list[Trace] = []
        self.registry = PolicyRegistry({policy.name: snapshot(policy)}, policy.name)
        self.store = SqlLearningStore(database)
        self.fault_handler = FaultHandler(self.faults.append)
        self.learner = self.another()
        self.learner.heed()
        self.preparer = RequestPreparer(
            self.registry, Identifier(b"secret"), self.fault_handler, lambda: self.now / 1000
        )
        target = BackendTarget(EchoBackend(name="echo", nonce="n"))
        self.pipeline = Pipeline(
            self.preparer,
            BackendSender(0, lambda: RetryBudget(0.0)),
            lambda model: (target,),
            self.traces.append,
            now_ms=lambda: self.now,
        )
        self.asked = 0

    def another(self, registry: PolicyRegistry | None = None) -> Learner:
        """Another replica over the same database."""
        return Learner(self.store, registry or self.registry, b"salt", self.fault_handler, lambda: self.now)

    async def days(self, days: float, goes: Goes, per_day: int = 100, every_h: int = 8) -> None:
        """Serve so many conversations a day, of which `goes(level)` end well, and let the tuner work now and then."""
        for _ in range(round(days * 24 / every_h)):
            for _ in range(per_day * every_h // 24):
                self.now += every_h * 3600 * 1000 // (per_day * every_h // 24)
                self.asked += 1
                asked = body(
                    "where is my parcel", user=f"user{self.asked}", metadata={"conversation_id": f"c{self.asked}"}
                )
                reply = await self.pipeline.run(replace(call(asked), id=f"dec_{self.asked}"))
                assert reply.decision is not None
                if self.chance.random() > goes(reply.decision.levels["/delivery"]):
                    self.complain(self.traces[-1])
            self.flush()
            self.learner.advance()

    def complain(self, trace: Trace, **more: Any) -> None:
        self.flush()
        row = Feedback(
            id=f"fb_{trace.id}",
            at_ms=self.now,
            tenant=trace.tenant,
            policy=trace.policy,
            conversation=trace.conversation,
            unit=trace.unit,
            decision=trace.id,
            metric="resolved",
            value=0.0,
            source="agent",
        )
        SqlFeedbackStore(self.database).record([replace(row, **more)])

    def flush(self) -> None:
        SqlTraceStore(self.database).write(self.traces)
        del self.traces[:-1]

    def log(self, *kinds: str) -> list[ExperimentEvent]:
        events = self.store.events("desk")
        return [event for event in events if event.kind in kinds] if kinds else list(events)

    def word(self, word: Any, key: DialKey = KEY) -> None:
        records = Records("desk", self.store)
        records.read_log()
        event = say(self.registry.current().policy, records.state, word, key, "ann", self.now)
        assert self.store.append([event], records.state.last)

    @property
    def levels(self) -> Levels:
        found = self.registry.levels("desk")
        assert found is not None
        return found

    @property
    def in_force(self) -> Level:
        policy = self.registry.current().policy
        return usual_level(policy, KEY.task, self.levels.choice(policy, KEY).move)


def better(level: Level) -> float:
    """Detailed text helps a great deal."""
    return {Level.DETAILED: 0.95}.get(level, 0.6)
