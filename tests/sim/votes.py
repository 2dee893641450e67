"""V10: thumbs. Unhappy users vote four times as often as happy ones, and few vote at all.

The model. A conversation goes well or not; the challenger is truly better or truly worse by five points. A happy user
votes with one chance in a hundred, an unhappy one with four. In the second world the longer answers of the challenger
send unhappy users away instead of making them vote, so that there they vote as seldom as happy ones: then votes are
not only few but wrong.

The dense metric is defined for every conversation: 1 unless something is heard by the horizon. Of the conversations
that went badly, three in five show it in either world (asked again, complained, escalated), of the others one in
twenty looks as if; votes are believed where there are any. Going by thumbs alone: the level that has the better mean
of votes after all conversations, or the first that a z-test of the votes calls better.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from router.tuning.sequential_test import HARM_ALARM
from tests.sim.finding import Bools, Doubles, Finding, Tier, at_most, first, percent
from tests.sim.naive import z_paths
from tests.sim.paths import evalue_paths
from tests.sim.peeking import FEWEST_MATURED, FIRST_ALPHA, NOMINAL_Z, chunks

CONVERSATIONS = 8_000
BASE, LIFT = 0.70, 0.05
VOTES_HAPPY, TIMES = 0.01, 4
SHOWN, MISTAKEN = 0.6, 0.05


class Run(NamedTuple):
    """What many runs gave: arms, the dense metric, and the votes, NaN where there is none."""

    arms: Bools
    dense: Doubles
    votes: Doubles


def simulated(dice: np.random.Generator, runs: int, lift: float, *, leaving: bool) -> Run:
    """Return runs, as rows, in which the challenger is better by `lift`."""
    shape = (runs, CONVERSATIONS)
    arms = dice.random(shape) < 0.5
    well = dice.random(shape) < BASE + lift * arms
    silenced = leaving & arms
    voting = dice.random(shape) < np.where(well | silenced, VOTES_HAPPY, TIMES * VOTES_HAPPY)
    heard = dice.random(shape) < np.where(well, MISTAKEN, SHOWN)
    dense = np.where(voting, well, ~heard).astype(float)
    return Run(arms, dense, np.where(voting, well, np.nan))


def by_certificate(run: Run) -> tuple[Bools, Bools]:
    """Return which runs adopt the challenger, and which stop it."""
    half = np.full(1, 0.5)
    won = first(evalue_paths(run.dense, run.arms, half), 1 / FIRST_ALPHA, FEWEST_MATURED)
    lost = first(evalue_paths(run.dense, run.arms, half, side="harm"), HARM_ALARM)
    return (won < lost) & np.isfinite(won), (lost < won) & np.isfinite(lost)


def by_votes(run: Run) -> Bools:
    """Return which runs have the challenger ahead in the mean of the votes at the end."""
    voted = ~np.isnan(run.votes)
    value = np.where(voted, run.votes, 0.0)
    means = [(value * of).sum(axis=1) / np.maximum((voted & of).sum(axis=1), 1) for of in (run.arms, ~run.arms)]
    return np.asarray(means[0] > means[1])


def by_tested_votes(run: Run) -> Bools:
    """Return which runs have the challenger called better by a z-test of the votes, looked at after each."""
    found = []
    for arms, votes in zip(run.arms, run.votes, strict=True):
        voted = ~np.isnan(votes)
        found.append(bool((z_paths(votes[voted][None], arms[voted][None]) >= NOMINAL_Z).any()))
    return np.array(found)


def thumbs(tier: Tier) -> Finding:
    """V10: the worse level adopted, or the better one stopped."""
    runs = tier.pick(100, 300, 2_000)
    wrong = {"dense": 0, "votes": 0, "few votes": 0, "wrong votes": 0, "tested": 0}
    adopted = stopped = 0
    for world, leaving in enumerate((False, True)):
        for sign in (1, -1):
            dice = np.random.default_rng([10, world, sign + 1])
            for some in chunks(runs):
                run = simulated(dice, some, sign * LIFT, leaving=leaving)
                up, down = by_certificate(run)
                wrong["dense"] += int(down.sum() if sign > 0 else up.sum())
                adopted += int(up.sum()) if sign > 0 else 0
                stopped += int(down.sum()) if sign < 0 else 0
                ahead = by_votes(run)
                misled = int((~ahead if sign > 0 else ahead).sum())
                wrong["votes"] += misled
                if leaving and sign < 0:  # the votes flatter the challenger: wrong where it is worse
                    wrong["wrong votes"] += misled
                    wrong["tested"] += int(by_tested_votes(run).sum())
                if not leaving:
                    wrong["few votes"] += misled
    return Finding(
        row="V10",
        what="unhappy users vote four times as often: wrong level adopted or right one stopped",
        target="<= 5 %",
        ours=f"{percent(wrong['dense'] / (4 * runs))} (right and within 8k: {percent((adopted + stopped) / (4 * runs), 0)})",
        reference=f"thumbs only: {percent(wrong['votes'] / (4 * runs), 0)} "
        f"({percent(wrong['few votes'] / (2 * runs), 0)} because votes are few; "
        f"{percent(wrong['wrong votes'] / runs, 0)}, by z-test {percent(wrong['tested'] / runs, 0)}, where the worse "
        "level's unhappy users leave instead)",
        met=at_most(wrong["dense"], 4 * runs, 0.05),
        conditions=f"2 worlds x 2 signs x {runs:,} runs x {CONVERSATIONS:,} conversations, {BASE} and "
        f"{100 * LIFT:.0f} points; votes 1 % / 4 %; metric with default 1, signals show 60 % of what went badly and 5 % "
        "of the rest; seed 10",
    )
