"""V8: the whole controller in simulated time: 40 tasks in 5 domains, 36,000 conversations, and what it costs to learn.

Nothing stands in for the shipped parts: levels are chosen by `core.levels`, outcomes count_outcomes, bet on and allocated by
`router.tuning`, and every day the tuner reads them and writes its log, from which the levels follow. A conversation has
its own user, settles on one task and matures after 72 hours. The reward of a level at a task is drawn as the allocation
believes it is (a shared curve, a domain's and a task's deviation from it); regret is the sum over conversations of
what the best level at the task would have been worth more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from router.core.learning import Assignment, DialKey, ExperimentEvent, Outcome
from router.core.levels import LevelQuery, Levels, choose_levels
from router.core.policy import ROOT, Instruction, Level, Metric, Policy, PolicySettings, Task
from router.tuning.allocation import SD_DOMAIN, SD_OWN, SD_SHARED, SD_TASK, ArmKey, ArmStatistics, count_outcomes
from router.tuning.candidates import Candidates
from router.tuning.level_state import LevelState, advance_tests, fold, level_named
from router.tuning.sequential_test import SequentialTest
from router.tuning.tuner import refresh
from tests.sim.finding import Doubles, Finding, Tier, at_most

DOMAINS, TASKS_EACH = 5, 8
CONVERSATIONS, PER_DAY = 36_000, 400
MEAN_REWARD = 0.65
HORIZON_MS = 72 * 3600 * 1000
DAY_MS = 24 * 3600 * 1000
MODEL = "model"
MOST_REGRET, MOST_WRONG = 0.80, 0.05


def pack() -> Policy:
    """Return forty tasks in five domains, each with something to say at every level."""
    tasks = {ROOT: Task(ROOT, children=tuple(f"/d{d}" for d in range(DOMAINS)))}
    for d in range(DOMAINS):
        children = tuple(f"/d{d}/t{t}" for t in range(TASKS_EACH))
        for path, below in ((f"/d{d}", children), *((child, ()) for child in children)):
            lines = tuple(
                Instruction(f"{path}:{level.word}", path, level, f"- {path} {level.word}", 5)
                for level in (Level.BRIEF, Level.GUIDED, Level.DETAILED)
            )
            tasks[path] = Task(path, instructions=lines, children=below)
    metric = Metric("resolved", "boolean", primary=True, default=1.0, horizon_s=HORIZON_MS / 1000)
    return Policy("simulated", "1", tasks, settings=PolicySettings(tuning="auto"), metrics={"resolved": metric})


@dataclass(frozen=True, slots=True)
class World:
    """What is true: the leaves, how often each is asked for, and the reward of each level at each, (tasks, 4)."""

    leaves: tuple[str, ...]
    often: Doubles
    worth: Doubles

    def best(self) -> Doubles:
        """Return the reward of the best level at each task."""
        return np.asarray(self.worth.max(axis=1))


def world(dice: np.random.Generator, policy: Policy) -> World:
    """Return one, drawn as the allocation's prior has it."""
    leaves = tuple(path for path, task in policy.tasks.items() if not task.children)
    domain = np.repeat(np.arange(DOMAINS), TASKS_EACH)
    shared = dice.normal(0, SD_SHARED, len(Level))
    by_domain = dice.normal(0, SD_DOMAIN, (DOMAINS, len(Level)))
    own = dice.normal(0, SD_OWN, (len(leaves), len(Level)))
    ease = dice.normal(MEAN_REWARD, SD_TASK, (len(leaves), 1))
    often = dice.dirichlet(np.full(len(leaves), 1.5))
    return World(leaves, often, np.clip(ease + shared + by_domain[domain] + own, 0.02, 0.98))


@dataclass
class Simulated:
    """A controller at work. `fixed_share` replaces the shares that it gives to its trials."""

    policy: Policy
    world: World
    fixed_share: float | None = None
    state: LevelState = field(default_factory=LevelState)
    regret: float = 0.0
    promoted: int = 0
    wrong: int = 0
    trials: int = 0

    def run(self, dice: np.random.Generator, conversations: int = CONVERSATIONS) -> Simulated:
        """Live through the conversations, a day at a time."""
        asked = dice.choice(len(self.world.leaves), conversations, p=self.world.often)
        luck = dice.random(conversations)
        salt = dice.bytes(16)
        waiting: list[Outcome] = []
        bets: dict[str, SequentialTest] = {}
        arms: dict[ArmKey, ArmStatistics] = {}
        for day in range(conversations // PER_DAY):
            levels = self.state.levels(salt, self.policy.settings.holdout)
            for number in range(day * PER_DAY, (day + 1) * PER_DAY):
                waiting.append(self._conversation(number, int(asked[number]), float(luck[number]), levels))
            now_ms = (day + 1) * DAY_MS
            matured = [outcome for outcome in waiting if outcome.assignment.matures_ms <= now_ms]
            waiting = waiting[len(matured) :]
            arms = count_outcomes(arms, matured)
            bets = advance_tests(self.state, matured, bets)
            self._write(refresh(self.policy, self.state, bets, arms, now_ms), arms, now_ms)
            bets = advance_tests(self.state, (), bets)
        return self

    def _conversation(self, number: int, at: int, luck: float, levels: Levels) -> Outcome:
        leaf, unit = self.world.leaves[at], f"u{number}"
        chosen, _, draw = choose_levels(self.policy, [leaf], levels, {}, LevelQuery(unit, "", MODEL))
        self.regret += float(self.world.best()[at] - self.world.worth[at, chosen[leaf]])
        at_ms = number * DAY_MS // PER_DAY
        node = draw.node if draw else leaf
        assignment = Assignment(
            decision=f"dec_{number}",
            at_ms=at_ms,
            tenant="",
            policy=self.policy.name,
            conversation=unit,
            unit=unit,
            task=leaf,
            complexity="",
            model=MODEL,
            level=chosen[leaf],
            text=self.policy.texts[node],
            matures_ms=at_ms + HORIZON_MS,
            trial=draw.trial if draw else "",
            node=node,
            challenger=draw.challenger if draw else False,
            share=draw.share if draw else 0.0,
            holdout=levels.held_out(unit),
        )
        return Outcome(assignment, float(luck < self.world.worth[at, chosen[leaf]]), number=number)

    def _write(self, events: Iterable[ExperimentEvent], arms: dict[ArmKey, ArmStatistics], now_ms: int) -> None:
        for event in events:
            kind = event.facts.get("kind")
            if event.kind == "started" and kind != "holdback":
                self.trials += 1
            if self.fixed_share is not None and kind != "holdback":
                if event.kind == "shared":
                    continue
                if event.kind == "started":
                    event = replace(event, facts={**event.facts, "share": self.fixed_share})
            if event.kind == "stepped":
                self.promoted += 1
                self.wrong += self._is_wrong(event, Candidates(self.policy, self.state, arms, now_ms))
            self.state = fold([event], self.state)

    def _is_wrong(self, event: ExperimentEvent, candidates: Candidates) -> bool:
        """Say whether a step makes the tasks that it moves worse in truth (by more than its margin)."""
        moves = candidates.moves(
            DialKey(*event.key), level_named(event.facts["incumbent"]), level_named(event.facts["challenger"])
        )
        gain = 0.0
        for at, leaf in enumerate(self.world.leaves):
            old, new = moves.get(leaf, (Level.OFF, Level.OFF))
            gain += self.world.often[at] * (self.world.worth[at, new] - self.world.worth[at, old])
        weight = sum(self.world.often[at] for at, leaf in enumerate(self.world.leaves) if leaf in moves)
        return bool(gain < -float(event.facts["margin"]) * weight)


def regret(tier: Tier) -> Finding:
    """V8: against levels that stay where the pack has them, and against the same trials at fixed shares."""
    runs = tier.pick(1, 5, 40)
    policy = pack()
    totals = np.zeros(3)
    promoted = wrong = trials = 0
    for run in range(runs):
        truth = world(np.random.default_rng([8, run]), policy)
        ours = Simulated(policy, truth).run(np.random.default_rng([80, run]))
        fixed = Simulated(policy, truth, fixed_share=0.5).run(np.random.default_rng([80, run]))
        static = CONVERSATIONS * float(truth.often @ (truth.best() - truth.worth[:, Level.GUIDED]))
        totals += (ours.regret, static, fixed.regret)
        promoted, wrong, trials = promoted + ours.promoted, wrong + ours.wrong, trials + ours.trials
    per = totals / (runs * CONVERSATIONS)
    return Finding(
        row="V8",
        what="40 tasks, 5 domains, 36k conversations: regret; wrong promotions",
        target="<= .80 x static; <= 5 %",
        ours=f"{totals[0] / totals[1]:.2f} x static; {wrong} of {promoted} promotions ({trials} trials)",
        reference=f"the same trials at 50:50: {totals[2] / totals[1]:.2f} x static",
        met=totals[0] <= MOST_REGRET * totals[1] and at_most(wrong, max(trials, 1), MOST_WRONG),
        conditions=f"{runs} runs, {CONVERSATIONS // PER_DAY} days of {PER_DAY} conversations, mode auto, horizon 72 h, "
        f"regret a conversation {100 * per[0]:.2f} against {100 * per[1]:.2f} points; seed 8",
    )
