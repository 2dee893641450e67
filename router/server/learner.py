"""Learning at work: what matured becomes outcomes, outcomes evidence, evidence steps, and steps levels.

    assignments, feedback  ->  outcomes  ->  tests and arms ->  events  ->  state  ->  levels
          (store)            written once      folds, here       the log     a fold    registry

Nothing is kept here that could not be worked out again from the store, so every replica, and every start, comes to the
same. Any replica may do the tuner's work: outcomes are written once whoever writes them, and events are only added
behind those that the tuner had read, under a lock of the whole fleet.

Runs in threads of its own, never in a request. Where the store or the tuner fails, levels stay as they were last known
and feedback goes on being collected.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from router.core.errors import Degraded
from router.core.learning import ExperimentEvent, MaturedAssignment, Outcome
from router.core.policy import Policy
from router.core.store_ports import LearningStore
from router.engine.guarding import FaultHandler
from router.engine.snapshot import PolicyRegistry
from router.rewards.reward import reward_of
from router.tuning.allocation import ArmKey, ArmStatistics, count_outcomes
from router.tuning.level_state import LevelState, advance_tests, fold
from router.tuning.sequential_test import SequentialTest
from router.tuning.tuner import refresh

log = logging.getLogger("router.tuning")

GRACE_MS = 5_000
"""A conversation is looked at so long after it matured: by then what was received before is stored everywhere."""

DUE_AT_ONCE = 2_000
OUTCOMES_AT_ONCE = 50_000

FROZEN = "tuner_frozen"
"""The fault's code when the tuner cannot work: levels are frozen where they are."""


class Records:
    """All that is known of one policy's learning, folded as far as it was read. `tests` are by trial, `arms` by arm."""

    def __init__(self, policy: str, store: LearningStore) -> None:
        self.policy = policy
        self._store = store
        self.state = LevelState()
        self.tests: Mapping[str, SequentialTest] = {}
        self.arms: Mapping[ArmKey, ArmStatistics] = {}
        self._last = 0

    def read_log(self) -> Sequence[ExperimentEvent]:
        """Fold in what is new in the log, and return it. Raises Degraded, and ValueError for a log that is corrupt."""
        events = self._store.events(self.policy, self.state.last)
        if events:
            self.state = fold(events, self.state)
        return events

    def read_outcomes(self) -> None:
        """Fold in the outcomes that are new; the log is to be read first. Raises Degraded."""
        while True:
            outcomes = self._store.outcomes(self.policy, self._last, OUTCOMES_AT_ONCE)
            self.tests = advance_tests(self.state, outcomes, self.tests)
            self.arms = count_outcomes(self.arms, outcomes)
            if outcomes:
                self._last = outcomes[-1].number
            if len(outcomes) < OUTCOMES_AT_ONCE:
                return


class Learner:
    """Learns for the policies of a registry that have a primary metric.

    `salt` keys the draws: equal in all replicas. `fault_handler` counts what fails. `now_ms` is the wall clock.
    """

    def __init__(
        self,
        store: LearningStore,
        registry: PolicyRegistry,
        salt: bytes,
        fault_handler: FaultHandler,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._store = store
        self._registry = registry
        self._salt = salt
        self._fault_handler = fault_handler
        self._now_ms = now_ms
        self._one_at_a_time = threading.Lock()
        self._records: dict[str, Records] = {}
        self._told: dict[str, tuple[int, str]] = {}

    def all_records(self) -> Mapping[str, Records]:
        """Return what is known of the learning of each policy for which there is any."""
        return dict(self._records)

    def heed(self) -> None:
        """Take up what the log of each policy says by now; of a policy that is served for the first time, all of it.

        Failures are counted and logged; the levels then stay as they are.
        """
        self._for_each(self._heed)

    def advance(self) -> None:
        """Do the tuner's work for each policy, unless another replica is at it. Failures are counted and logged."""
        self._for_each(self._advance)

    def _for_each(self, work: Callable[[Policy, Records], None]) -> None:
        with self._one_at_a_time:
            for name in self._registry.names:
                policy = self._registry.current(name).policy
                if policy.primary is not None:
                    self._attempt(policy, work)

    def _attempt(self, policy: Policy, work: Callable[[Policy, Records], None]) -> None:
        records = self._records.setdefault(policy.name, Records(policy.name, self._store))
        try:
            self._fault_handler.run(FROZEN, work, policy, records)
        except Degraded as fault:
            if fault.code != FROZEN:
                self._fault_handler.note(fault.code)
            log.error("policy %s: its levels stay as they are: %s", policy.name, fault)

    def _heed(self, policy: Policy, records: Records) -> None:
        for event in records.read_log():
            log.info("policy %s: %s", policy.name, event.words or event.kind)
        now = (records.state.last, policy.revision)
        if self._told.get(policy.name) != now or self._registry.levels(policy.name) is None:
            self._registry.tune(policy.name, records.state.levels(self._salt, policy.settings.holdout))
            self._told[policy.name] = now

    def _advance(self, policy: Policy, records: Records) -> None:
        now_ms = self._now_ms()
        while due := self._store.due(policy.name, now_ms - GRACE_MS, DUE_AT_ONCE):
            self._store.settle(self._outcomes(policy, due))
        self._heed(policy, records)
        records.read_outcomes()
        events = refresh(policy, records.state, records.tests, records.arms, now_ms)
        if events and self._store.append(events, records.state.last):
            self._heed(policy, records)

    def _outcomes(self, policy: Policy, due: Sequence[MaturedAssignment]) -> list[Outcome]:
        """Return what matured as outcomes. A trial counts a unit once: its arm is no draw any more given the first."""
        counted_units = {
            (trial, unit)
            for trial in {each.assignment.trial for each in due} - {""}
            for unit in self._store.seen(trial, [e.assignment.unit for e in due if e.assignment.trial == trial])
        }
        outcomes = []
        for each in due:
            given = each.assignment
            reward, guards = reward_of(policy, each)
            repeated = (given.trial, given.unit) in counted_units
            if given.trial:
                counted_units.add((given.trial, given.unit))
            outcomes.append(Outcome(given, reward, guards, repeated))
        return outcomes
