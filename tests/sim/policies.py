"""V7: what two hundred changed policies are worth, estimated from the traffic of one that is known through and through.

Twenty tasks, four levels. At twelve of them a trial was on when the traffic was recorded, with a share of its own; at
the others nothing was random. A changed policy takes, at each task, the level that is in force, the one on trial, a
mixture of both, or one that was never tried there. Predicted rewards, where the estimate gets any, are the truth with
errors of ten points: nobody's model is right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from router.tuning.value import LEAST_SUPPORT, Columns, Row, Value, columns_of, estimate, estimate_columns
from tests.sim.finding import Doubles, Finding, Tier, at_least, percent

TASKS, LEVELS, POLICIES = 20, 4, 200
SHARES = (0.1, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.5, 0.6, 0.9)
CONVERSATIONS = 4_000
MOST_BIAS, LEAST_COVERED = 0.005, 0.95
PREDICTION_ERROR = 0.1


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
    """A changed policy, the share of its decisions that was tried, its true value there, and its possible rows."""

    support: float
    truth: float
    wanted: list[dict[int, float]]
    rows: tuple[Row, ...]
    columns: Columns


def judged(known: World, wanted: list[dict[int, float]]) -> Changed:
    """Return a policy with every row that the traffic may hold: each task, each level tried there, reward 0 and 1."""
    could = [(task, level) for task, logged in enumerate(known.logged) for level in logged]
    rows = tuple(
        Row(
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
    worth = [known.worth[task, level] for task, level in could]
    support = float(sum(tried))
    return Changed(support, float(np.dot(tried, worth)) / max(support, 1e-12), wanted, rows, columns_of(rows))


def recorded(dice: np.random.Generator, known: World, n: int) -> np.ndarray:
    """Return which of the possible rows came."""
    could = [(task, level, share) for task, logged in enumerate(known.logged) for level, share in logged.items()]
    chances = np.array([known.often[task] * share for task, _, share in could])
    pairs = dice.choice(len(could), n, p=chances / chances.sum())
    good = dice.random(n) < np.array([known.worth[task, level] for task, level, _ in could])[pairs]
    return 2 * pairs + good


def learned(policy: Changed, which: np.ndarray) -> Value:
    """Estimate as `plan` does: row by row, with no predictions but the means of what came before."""
    return estimate(
        [
            Row(row.action, row.reward, row.logged, row.wanted, context=row.context)
            for row in map(policy.rows.__getitem__, which.tolist())
        ]
    )


def off_policy(tier: Tier) -> Finding:
    """V7: bias and coverage of the three estimates, and what is refused."""
    repeats = tier.pick(2, 20, 200)
    dice = np.random.default_rng(7)
    errors: dict[str, list[float]] = {"ips": [], "snips": [], "dr": [], "naive": []}
    by_policy: dict[str, list[float]] = {name: [] for name in errors}
    covered = counted = gave = refused = gave_wrongly = covered_learned = counted_learned = 0
    for number in range(POLICIES):
        known = world(dice)
        policy = judged(known, changed(dice, known, (0.0, 0.1, 0.5, 0.0)[number % 4]))
        before = sum(
            known.often[task]
            * share
            * known.worth[task, level]
            * sum(policy.wanted[task].get(at, 0.0) for at in logged)
            for task, logged in enumerate(known.logged)
            for level, share in logged.items()
        ) / max(policy.support, 1e-12)
        mine: dict[str, list[float]] = {name: [] for name in errors}
        for repeat in range(repeats):
            which = recorded(dice, known, CONVERSATIONS)
            value = estimate_columns(Columns(*(column[which] for column in policy.columns)))
            if repeat == 0 and number % tier.pick(20, 4, 1) == 0:
                again = learned(policy, which[:1_500])
                if again.interval is not None:
                    counted_learned += 1
                    covered_learned += again.interval.low <= policy.truth <= again.interval.high
            if value.interval is None or value.gain is None:
                refused += 1
                continue
            gave += 1
            # Near the limit the traffic that came decides; a policy with a fifth less than that is never let through.
            gave_wrongly += policy.support < LEAST_SUPPORT - 0.04
            counted += 2
            covered += value.interval.low <= policy.truth <= value.interval.high
            covered += value.gain.low <= policy.truth - before <= value.gain.high
            figures = {"ips": value.ips, "snips": value.snips, "dr": value.dr, "naive": _naive(policy, which)}
            for name, figure in figures.items():
                mine[name].append(float(figure or 0.0) - policy.truth)
        for name, each in mine.items():
            if each:
                by_policy[name].append(float(np.mean(each)))
                errors[name] += each
    bias = {name: float(np.mean(each)) for name, each in errors.items()}
    size = {name: float(np.mean(np.abs(each))) for name, each in errors.items()}
    worst = {name: max(map(abs, each)) for name, each in by_policy.items()}
    return Finding(
        row="V7",
        what="off-policy value of 200 changed policies: bias; interval covers; unsupported policies refused",
        target="< .005; >= 95 %; always",
        ours=f"IPS {bias['ips']:+.4f}, SNIPS {bias['snips']:+.4f}, DR {bias['dr']:+.4f} (worst policy "
        f"{worst['ips']:.3f}, {worst['snips']:.3f}, {worst['dr']:.3f}); "
        f"{percent(covered / counted)}; {'always' if not gave_wrongly else f'{gave_wrongly} of {gave} let through'}",
        reference=f"mean reward where the action is the new policy's: worst policy {worst['naive']:.3f}; mean error "
        f"{size['naive']:.4f} (SNIPS {size['snips']:.4f}, DR {size['dr']:.4f}); refuses nothing",
        met=all(abs(bias[name]) < MOST_BIAS for name in ("ips", "snips", "dr"))
        and at_least(covered, counted, LEAST_COVERED)
        and at_least(covered_learned, counted_learned, LEAST_COVERED)
        and not gave_wrongly,
        conditions=f"{POLICIES} policies x {repeats} x {CONVERSATIONS:,} conversations, {TASKS} tasks, shares .1 to .9, "
        f"{percent(refused / (gave + refused), 0)} refused; {covered_learned} of {counted_learned} covered with "
        "predictions learned on the way; seed 7",
    )


def _naive(policy: Changed, which: np.ndarray) -> float:
    """Return the mean reward of the recorded conversations whose level the changed policy might have taken."""
    same = policy.columns.weight[which] > 0
    return float(policy.columns.reward[which][same].mean())
