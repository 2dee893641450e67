"""What there is to try: the traffic of every task, the levels beside the one in force, and why a task must wait.

Policy, state and arms at one moment, shared by the tuner and by the page that explains it. Arms of another text than
the policy's are left out: what was learned of the old text says nothing of the new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

from router.core.learning import DialKey
from router.core.levels import Dial, Levels, Trial, usual_level
from router.core.policy import ROOT, Level, Policy, depth, lineage
from router.tuning.allocation import ArmKey, ArmStatistics, Candidate, Difference, LevelCurves, curves, merged
from router.tuning.level_state import Cooldown, LevelState, RunningTrial
from router.tuning.sequential_test import MARGIN

DAY_MS = 24 * 3600 * 1000

READY = 30
"""A trial starts when so many conversations with a reward have matured: fewer do not tell what is worth trying."""

MATURED = 200
"""No step before so many matured conversations of the trial."""
DAYS_MOST = 60
"""A trial that has shown nothing after so many days ends."""

SAVING = 0.01
"""What saying less is worth by itself, in units of reward, when it is weighed what to try; saying nothing at all is
worth nothing. In simulation (40 tasks, 30 worlds) regret was .61 of static with it and .62 without."""

LEAST_IMPROVEMENT = 0.002
"""No trial starts for less than a fifth of a point: 8,000 conversations could not show it."""


class WaitReason(NamedTuple):
    """Why no trial starts at a task now: a stable code, and the figures for the sentence that says it."""

    code: str
    facts: Mapping[str, Any] = MappingProxyType({})


PASSED_ON = ("resting", "nothing", "unlikely")
"""When a task waits for one of these, its children may have trials of their own."""


@dataclass(frozen=True)
class _ModelArms:
    """All requests to one model: the arms by task and level, texts and nodes taken together."""

    model: str
    arms: Mapping[tuple[str, Level], ArmStatistics]
    tasks: tuple[str, ...]

    @cached_property
    def by_task(self) -> Mapping[str, ArmStatistics]:
        """All levels of a task as one."""
        found: dict[str, list[ArmStatistics]] = {}
        for (task, _), stats in self.arms.items():
            found.setdefault(task, []).append(stats)
        return {task: merged(arms) for task, arms in found.items()}

    @cached_property
    def traffic(self) -> Mapping[str, float]:
        """Conversations by task, with a reward or without."""
        return {task: float(stats.n + stats.silent) for task, stats in self.by_task.items()}

    @cached_property
    def curves(self) -> LevelCurves:
        """What is believed of every task and level."""
        return curves(self.arms, self.tasks)


@dataclass(frozen=True)
class Candidates:
    """Policy, state and arms at one moment."""

    policy: Policy
    state: LevelState
    arms: Mapping[ArmKey, ArmStatistics]
    now_ms: int
    _found: dict[DialKey, WaitReason | None] = field(default_factory=dict, repr=False, compare=False)

    def with_state(self, state: LevelState) -> Candidates:
        """Return the same with another state."""
        found = Candidates(self.policy, state, self.arms, self.now_ms)
        if {key.model for key in state.running} <= set(self.models):
            # Each event of a refresh comes by here, and the posterior of all tasks hangs on `models`: it is not worked
            # out again where arms and policy are the same.
            found.__dict__["models"] = self.models
        return found

    @cached_property
    def running(self) -> Mapping[DialKey, RunningTrial]:
        """The trials that are under way."""
        return dict(sorted(self.state.running.items()))

    @cached_property
    def busy(self) -> Mapping[DialKey, str]:
        """The tasks with a trial, and those above them, each with the task whose trial it is."""
        return {
            key._replace(task=path): key.task
            for key in reversed(tuple(self.running))
            for path in lineage(key.task)
            if path != ROOT
        }

    @cached_property
    def models(self) -> Mapping[str, _ModelArms]:
        """The arms of every model with conversations or trials, in a fixed order."""
        found: dict[str, dict[tuple[str, Level], list[ArmStatistics]]] = {key.model: {} for key in self.running}
        for key, stats in self.arms.items():
            if key.task in self.policy.tasks and self.policy.texts.get(key.node) == key.text:
                found.setdefault(key.model, {}).setdefault((key.task, key.level), []).append(stats)
        tasks = tuple(path for path in self.policy.tasks if path != ROOT)
        return {
            model: _ModelArms(model, {place: merged(arms) for place, arms in found[model].items()}, tasks)
            for model in sorted(found)
        }

    def of_model(self, key: DialKey) -> _ModelArms:
        """Return the arms of the model that a dial is for."""
        found = self.models.get(key.model)
        return found or _ModelArms(key.model, {}, tuple(p for p in self.policy.tasks if p != ROOT))

    @cached_property
    def levels(self) -> Levels:
        """The dials as they stand, trials included."""
        return self.state.levels()

    def in_force(self, key: DialKey) -> tuple[Level, str]:
        """Return the level in force at a task for ordinary requests, and the task whose dial says so ("" for none)."""
        choice = self.levels.choice(self.policy, key)
        return usual_level(self.policy, key.task, choice.move), choice.node

    def followers(self, key: DialKey) -> tuple[str, ...]:
        """Return the task and those below it that move with its dial."""
        own = {
            other.task
            for other, dial in self.state.dials.items()
            if other.model == key.model and (dial.level is not None or dial.running is not None)
        }
        return tuple(self._below(key.task, own))

    def _below(self, task: str, own: set[str]) -> Iterator[str]:
        yield task
        for child in self.policy.tasks[task].children:
            if child not in own:
                yield from self._below(child, own)

    def record(self, key: DialKey) -> ArmStatistics:
        """Return all matured conversations at a task and those that move with it."""
        by_task = self.of_model(key).by_task
        return merged(by_task[task] for task in self.followers(key) if task in by_task)

    def per_day(self, stats: ArmStatistics) -> float:
        """Return how many conversations with a reward mature in a day."""
        horizon_s = self.policy.primary.horizon_s if self.policy.primary else 0.0
        until = max(stats.last_ms, self.now_ms - round(1000 * horizon_s))
        return stats.n / max((until - stats.first_ms) / DAY_MS, 1.0)

    def high_stakes(self, key: DialKey) -> bool:
        """Say whether the task has high stakes. For those that only move with it, each draw minds theirs itself."""
        return self.policy.tasks[key.task].stakes == "high"

    def moves(self, key: DialKey, incumbent: Level, challenger: Level) -> dict[str, tuple[Level, Level]]:
        """Return for every task that moves with the dial the level from and to; empty where no text would change."""
        trial = Trial("", challenger, 0.5, self.policy.texts[key.task])
        tried = Levels({key: Dial(incumbent, trial)})
        found = {}
        for task in self.followers(key):
            below = key._replace(task=task)
            choice = tried.choice(self.policy, below)
            if choice.node != key.task:
                continue
            level = usual_level(self.policy, task, choice.move)
            if level is not self.in_force(below)[0]:
                return {}  # a dial of its own at this task would by itself move another, whose start is out of range
            found[task] = (level, usual_level(self.policy, task, choice.challenger))
        if found.get(key.task) is None or found[key.task][1] is not challenger:
            return {}
        return found if any(self._differs(task, *move) for task, move in found.items()) else {}

    def _differs(self, task: str, old: Level, new: Level) -> bool:
        low, high = sorted((old, new))
        return low < high and any(
            line.level <= high and (line.level > low or low is Level.OFF)
            for line in self.policy.tasks[task].instructions
        )

    def believed(self, key: DialKey, moves: Mapping[str, tuple[Level, Level]]) -> Difference:
        """Return what is believed of a move of the dial, the tasks weighted by their traffic."""
        arms = self.of_model(key)
        return arms.curves.difference(moves, arms.traffic)

    def candidate(self, key: DialKey, incumbent: Level, challenger: Level) -> Candidate | None:
        """Return what a challenger promises; None where it would change no text."""
        moves = self.moves(key, incumbent, challenger)
        if not moves:
            return None
        difference = self.believed(key, moves)
        up = challenger > incumbent
        return Candidate(
            key,
            "up" if up else "down",
            incumbent,
            challenger,
            difference,
            difference.better(0.0 if up else -MARGIN),
            difference.improvement(SAVING if Level.OFF < challenger < incumbent else 0.0),
        )

    def neighbours(self, key: DialKey) -> tuple[list[Candidate], list[Cooldown]]:
        """Return the neighbouring levels that could be tried, most promising first, and those in a cooldown."""
        incumbent, _ = self.in_force(key)
        dial, text = self.state.dial(key), self.policy.texts[key.task]
        found, cooldowns = [], []
        for step in (1, -1):
            if not Level.OFF <= incumbent + step <= Level.DETAILED:
                continue
            challenger = Level(incumbent + step)
            cooldown = dial.cooldown(incumbent, challenger, text, self.now_ms)
            if cooldown is not None:
                cooldowns.append(cooldown)
            elif (candidate := self.candidate(key, incumbent, challenger)) is not None:
                found.append(candidate)
        return sorted(found, key=lambda candidate: -candidate.improvement), cooldowns

    def wait(self, key: DialKey) -> WaitReason | None:
        """Return why no trial may start at a task now; None where one may."""
        if self.policy.primary is None:
            return WaitReason("metric")
        if self.policy.settings.tuning == "observe":
            return WaitReason("observe")
        word = self.state.held(key)
        if word is not None:
            return WaitReason("frozen", {"task": word.task})
        busy = self.busy.get(key) or next((p for p in lineage(key.task) if key._replace(task=p) in self.running), "")
        if busy:
            return WaitReason("trial", {"task": busy})
        return self._unfit(key)

    def _unfit(self, key: DialKey) -> WaitReason | None:
        """Return why a task should have no trial of its own, whatever else is going on."""
        if key not in self._found:
            self._found[key] = self._too_little(self.record(key)) or self._parent_first(key) or self._unpromising(key)
        return self._found[key]

    def _too_little(self, stats: ArmStatistics) -> WaitReason | None:
        """Say whether there is too little to learn from."""
        if stats.n < READY:
            return WaitReason("few", {"n": stats.n, "needed": READY, "silent": stats.silent})
        if stats.squares - stats.total * stats.total / stats.n <= 1e-9 * stats.n:
            return WaitReason("equal", {"n": stats.n})
        per_day = self.per_day(stats)
        if per_day * DAYS_MOST < MATURED:
            return WaitReason("rare", {"per_week": 7.0 * per_day, "needed": 7.0 * MATURED / DAYS_MOST})
        return None

    def _parent_first(self, key: DialKey) -> WaitReason | None:
        """Say whether the task above comes first."""
        if depth(key.task) < 2:
            return None
        above = key._replace(task=key.task.rsplit("/", 1)[0])
        wait = self._unfit(above)
        return None if wait is not None and wait.code in PASSED_ON else WaitReason("parent", {"task": above.task})

    def _unpromising(self, key: DialKey) -> WaitReason | None:
        found, cooldowns = self.neighbours(key)
        if found and found[0].improvement >= LEAST_IMPROVEMENT:
            return None
        if found:
            return WaitReason("unlikely", {"level": found[0].challenger.word, "improvement": found[0].improvement})
        if cooldowns:
            days = (max(each.until_ms for each in cooldowns) - self.now_ms) / DAY_MS
            return WaitReason("resting", {"levels": [each.challenger.word for each in cooldowns], "days": days})
        return WaitReason("nothing")
