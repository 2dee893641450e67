"""V7: what two hundred changed policies are worth, estimated from the traffic of one that is known through and through.

Twenty tasks, four levels. At twelve of them a trial was on when the traffic was recorded, with a share of its own; at
the others nothing was random. A changed policy takes, at each task, the level that is in force, the one on trial, a
mixture of both, or one that was never tried there. Predicted rewards, where the estimate gets any, are the truth with
errors of ten points: nobody's model is right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from router.tuning.value import (
    LEAST_SUPPORT,
    LoggedColumns,
    LoggedOutcome,
    PolicyValue,
    columns_of,
    estimate,
    estimate_columns,
)
from tests.sim.finding import Doubles, Finding, Tier, at_least, percent

TASKS, LEVELS, POLICIES = 20, 4, 200
SHARES = (0.1, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.5, 0.6, 0.9)
CONVERSATIONS = 4_000
MOST_BIAS, LEAST_COVERED = 0.005, 0.95
PREDICTION_ERROR = 0.1
CHANCE = 4.0  # standard errors: of 600 biases that are nothing, one in thirty tables has one beyond


@dataclass(frozen=True, slots=True)
class World:
    """The traffic: how often each task comes, what each level is worth there, and how the levels were drawn."""

    often: Doubles
    worth: Doubles
    guessed: Doubles
    logged: tuple[dict[int, float], ...]


def world(dice: np.random.Generator) -> World:
    """Return one."""
    often = dice.dirichlet(np.full(TASKS, 3.0))
    worth = np.clip(dice.normal(0.7, 0.12, (TASKS, 1)) + dice.normal(0, 0.08, (TASKS, LEVELS)), 0.05, 0.97)
    guessed = np.clip(worth + dice.normal(0, PREDICTION_ERROR, worth.shape), 0, 1)
    logged: list[dict[int, float]] = [{1: 1 - share, 2: share} for share in SHARES]
    logged += [{1: 1.0} for _ in range(TASKS - len(SHARES))]
    return World(often, worth, guessed, tuple(logged))


def changed(dice: np.random.Generator, known: World, strange: float) -> list[dict[int, float]]:
    """Return a policy that takes something untried at a share `strange` of the tasks."""
    wanted: list[dict[int, float]] = []
    for logged in known.logged:
        if dice.random() < strange:
            wanted.append({int(dice.choice([0, 3])): 1.0})
        elif len(logged) == 1:
            wanted.append(dict(logged))
        else:
            mix = float(dice.choice([0.0, 0.5, 1.0]))
            wanted.append({1: 1 - mix, 2: mix})
    return wanted


@dataclass(frozen=True, slots=True)
class Changed:
    """A changed policy and the rows that the traffic may hold for it, also as numbers.

    `support` is the share of its decisions that was tried; `truth` its value there, `before` that of the recorded
    policy on the same decisions.
    """

    support: float
    truth: float
    before: float
    rows: tuple[LoggedOutcome, ...]
    columns: LoggedColumns


def judged(known: World, wanted: list[dict[int, float]]) -> Changed:
    """Return a policy with every row that the traffic may hold: each task, each level tried there, reward 0 and 1."""
    could = [(task, level) for task, logged in enumerate(known.logged) for level in logged]
    rows = tuple(
        LoggedOutcome(
            level,
            float(reward),
            known.logged[task],
            wanted[task],
            {at: float(known.guessed[task, at]) for at in range(LEVELS)},
            context=task,
        )
        for task, level in could
        for reward in (0, 1)
    )
    tried = [known.often[task] * wanted[task].get(level, 0.0) for task, level in could]
    shared = [sum(wanted[task].get(level, 0.0) for level in logged) for task, logged in enumerate(known.logged)]
    had = [known.often[task] * known.logged[task][level] * shared[task] for task, level in could]
    worth = [known.worth[task, level] for task, level in could]
    support = max(float(sum(tried)), 1e-12)
    truth, before = float(np.dot(tried, worth)) / support, float(np.dot(had, worth)) / support
    return Changed(support, truth, before, rows, columns_of(rows))


def recorded(dice: np.random.Generator, known: World, n: int) -> np.ndarray:
    """Return which of the possible rows came."""
    could = [(task, level, share) for task, logged in enumerate(known.logged) for level, share in logged.items()]
    chances = np.array([known.often[task] * share for task, _, share in could])
    pairs = dice.choice(len(could), n, p=chances / chances.sum())
    good = dice.random(n) < np.array([known.worth[task, level] for task, level, _ in could])[pairs]
    return 2 * pairs + good


class Tally:
    """What the estimates of all policies came to. `errors` has, by name of the estimate, those of each policy."""

    def __init__(self) -> None:
        self.errors: dict[str, list[list[float]]] = {name: [] for name in NAMES}
        self.given = self.refused = self.let_through = 0
        self.covered, self.counted = [0, 0], [0, 0]

    def begin(self) -> None:
        """Begin with another policy."""
        for each in self.errors.values():
            each.append([])

    def add(self, policy: Changed, value: PolicyValue, naive: float) -> None:
        """Count one estimate."""
        if value.interval is None or value.gain is None:
            self.refused += 1
            return
        self.given += 1
        # Near the limit the traffic that came decides; what is well below it is never let through.
        self.let_through += policy.support < LEAST_SUPPORT - 0.04
        self.cover(0, value.interval.low <= policy.truth <= value.interval.high)
        self.cover(0, value.gain.low <= policy.truth - policy.before <= value.gain.high)
        for name, figure in zip(NAMES, (value.ips, value.snips, value.dr, naive), strict=True):
            self.errors[name][-1].append(float(figure or 0.0) - policy.truth)

    def cover(self, place: int, covers: bool) -> None:
        """Count an interval: of predictions that were given in place 0, of such that were learned in place 1."""
        self.counted[place] += 1
        self.covered[place] += covers

    def bias(self, name: str) -> float:
        """Return the mean error over policies."""
        return float(np.mean([np.mean(each) for each in self.errors[name] if each]))

    def biased(self, name: str) -> int:
        """Return how many policies have a bias beyond MOST_BIAS that chance does not explain."""
        enough = [each for each in self.errors[name] if len(each) > 1]
        return sum(abs(np.mean(e)) > MOST_BIAS + CHANCE * np.std(e, ddof=1) / np.sqrt(len(e)) for e in enough)

    def worst(self, name: str) -> float:
        """Return the largest mean error of a policy: also what chance leaves of few repeats."""
        return float(max(abs(np.mean(each)) for each in self.errors[name] if each))


NAMES = ("ips", "snips", "dr", "naive")


def learned(policy: Changed, which: np.ndarray) -> PolicyValue:
    """Estimate as `plan` does: row by row, with no predictions but the means of what came before."""
    rows = [policy.rows[at] for at in which.tolist()]
    return estimate(
        [LoggedOutcome(row.action, row.reward, row.logged, row.wanted, context=row.context) for row in rows]
    )


def off_policy(tier: Tier) -> Finding:
    """V7: bias and coverage of the three estimates, and what is refused."""
    repeats = tier.pick(2, 20, 200)
    dice = np.random.default_rng(7)
    tally = Tally()
    for number in range(POLICIES):
        known = world(dice)
        policy = judged(known, changed(dice, known, (0.0, 0.1, 0.5, 0.0)[number % 4]))
        tally.begin()
        for repeat in range(repeats):
            which = recorded(dice, known, CONVERSATIONS)
            columns = LoggedColumns(*(column[which] for column in policy.columns))
            # What is usually done: the mean reward where the action is one that the new policy takes.
            tally.add(policy, estimate_columns(columns), float(columns.reward[columns.weight > 0].mean()))
            if repeat == 0 and number % tier.pick(20, 4, 1) == 0:
                again = learned(policy, which[:1_500]).interval
                if again is not None:
                    tally.cover(1, again.low <= policy.truth <= again.high)
    biases = [tally.bias(name) for name in NAMES[:3]]
    shown = ", ".join(f"{name.upper()} {bias:+.4f}" for name, bias in zip(NAMES, biases, strict=False))
    worst = [f"{tally.worst(name):.3f}" for name in NAMES]
    biased = sum(tally.biased(name) for name in NAMES[:3])
    return Finding(
        row="V7",
        what="off-policy value of 200 changed policies: bias; interval covers; unsupported policies refused",
        target="< .005; >= 95 %; always",
        ours=f"{shown} (the worst of 200 policies {' / '.join(worst[:3])}); "
        f"{percent(tally.covered[0] / tally.counted[0])}; "
        f"{f'{tally.let_through} let through' if tally.let_through else 'always'}",
        reference=f"mean reward where the action is the new policy's: {tally.bias('naive'):+.4f}, the worst {worst[3]}; "
        "refuses nothing",
        met=max(map(abs, biases)) < MOST_BIAS
        and (repeats < 10 or not biased)
        and all(at_least(*pair, LEAST_COVERED) for pair in zip(tally.covered, tally.counted, strict=True))
        and not tally.let_through,
        conditions=f"{POLICIES} policies x {repeats} x {CONVERSATIONS:,} conversations, {TASKS} tasks, shares .1 to .9, "
        f"{percent(tally.refused / (tally.given + tally.refused), 0)} refused; {tally.covered[1]} of {tally.counted[1]} "
        "covered with predictions learned on the way; seed 7",
        note=f"of {repeats} estimates of one policy the mean is off by chance as well; beyond that and .005 are {biased} "
        f"of ours, {tally.biased('naive')} of the reference's",
    )
