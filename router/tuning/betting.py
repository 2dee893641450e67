"""Certification: what a trial has shown so far, as wealth won by betting. A pure fold over outcomes in their order.

For each conversation with a reward R in [0, 1], arm c (1 challenger, 0 incumbent), logged share pi, and a baseline b
that was fixed before the outcome was seen:

    D = (R - b) (c / pi - (1 - c) / (1 - pi)),    L = max(b / pi, (1 - b) / (1 - pi)),    D >= -L

The draw of c is random given everything before it, so the mean of D given the past is the difference of the arms. A
player who starts with 1 and stakes a share lam of the stake allowed on each conversation owns prod(1 + lam D). Where
the challenger is not better this cannot grow on average: the chance that it *ever* reaches 1/alpha is at most alpha.
One looks whenever one likes, shares may follow the evidence, and the trial may stop for any reason.

What is proved
    For b, lam and pi that depend on the past alone and 0 <= lam < 1 / (L - margin), the wealth is a nonnegative
    supermartingale wherever mean(challenger) <= mean(incumbent) - margin on every conversation given the past; a mean
    of such wealths is one too; Ville's inequality (1939) gives the bound over all times. Rewards need not be Bernoulli,
    independent or of one distribution: drift is allowed. Betting on bounded means: Waudby-Smith and Ramdas, "Estimating
    means of bounded random variables by betting" (JRSS B 2024, arXiv 2010.09686); weighted by logged propensities, for
    adaptive shares: Waudby-Smith, Wu, Ramdas, Karampatziakis and Mineiro, "Anytime-valid off-policy inference for
    contextual bandits" (arXiv 2210.10768); time-uniform boundaries in general: Howard, Ramdas, McAuliffe and Sekhon
    (Annals of Statistics 2021, arXiv 1810.08240).

What is assumed
    * The draw is as good as random: a keyed hash of the unit and the trial. A unit's arm never changes, so its second
      conversation is not random given its first: `Outcome.repeated` is counted and not bet on. This is also why
      clustering by user does no harm.
    * One unit's arm does not change another unit's reward.
    * Outcomes come in an order that does not look at rewards: by maturity, at a fixed horizon after the assignment.
      Delay is then harmless: the share is that of the assignment, the baseline that of the outcomes before.
    * A conversation without a reward says nothing about the level. If the arms differ in *how often* anybody speaks,
      the arms' means are of different people, and a comparison of them may be wrong in either direction. So silence is
      bet on as well (`Bets.spoken`); from SPOKEN_ALARM on the trial is not to be believed. A primary metric with a
      default value has no silence.
    * Every assignment matures. If one arm loses conversations (crashes, say) the counts drift from the logged shares,
      which the sample-ratio process finds (`Bets.ratio`, a likelihood ratio of two-point alternatives: a martingale
      when the draws are fair; the e-process form of the chi-square check of Fabijan et al., KDD 2019).

How the stakes are chosen (no assumption rests on it, only speed)
    lam = min(d sqrt(v) / V, CAP / (L - margin)) for each d of EFFECTS, V = v / (pi (1 - pi)) the variance of D, with v
    the running variance of R: the stake that grows fastest if the true difference is d standard deviations (Kelly). E
    is the mean over d, weighted towards small d where the challenger need only be not worse. A fixed grid
    kappa / L with kappa = .01, .02, .04, ... .64 has the same guarantee and is slower everywhere. Medians of
    conversations at 50:50 until 1/alpha = 40, there and here: rewards of mean .7, +10, +5 and +3 points: 654, 3,189,
    8,450 and 535, 2,245, 6,564; as good at mean .7 with a margin of 3 points: 7,963 and 5,520.

Products rather than sums of logs, because +, *, / and comparisons are exactly rounded everywhere (IEEE 754) while log
is not: a replay on another machine, one by one or all at once, gives the same bits. A wealth below FLOOR counts as lost
and one above CEILING stays there: both only lower it, so the guarantee holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.core.learning import Outcome
from router.tuning.wealth import (
    EVEN,
    NEW,
    ODDS,
    Bools,
    Compared,
    Floats,
    compare,
    compare_many,
    grown,
    kept,
    mean,
    opening,
    ratio_factor,
    ratio_factors,
)

MARGIN = 0.03
"""A cheaper level may be worse by so much."""

GUARD_MARGINS: Mapping[str, float] = MappingProxyType({"slow": 0.10, "tokens": 0.10})
"""By how much a guardrail may be worse. These two grow with every word said; on their scale x / (x + half), from one
half on, this is half as much again."""
GUARD_MARGIN = 0.02
"""By how much any other guardrail may be worse."""

HARM_ALARM = 10.0
"""At this harm a trial stops: one in ten of the trials of a harmless level, however long it runs."""
GUARD_ALARM = 10.0
"""At this times the number of guardrails one of them alarms: for all of them together one false alarm in ten trials."""
RATIO_ALARM = 100.0
"""At this the draws are not what was logged; a false alarm in one of a hundred trials."""
SPOKEN_ALARM = 100.0
"""At this the arms differ in how often there is a reward; a false alarm in one of a hundred trials."""

FEW = 40
"""So many outcomes are counted in sooner one by one (25 microseconds each) than as columns (1 ms)."""


@dataclass(frozen=True, slots=True)
class Bets:
    """The evidence of one trial. `margin` is by how much the challenger may be worse: 0, or MARGIN for a cheaper level.

    `reverse` says that the challenger is the level that was left by a step, kept for a while to see whether that was
    right; then guardrails alarm where the *incumbent* is worse.

    `reward` is the primary metric, `spoken` whether there was a reward at all, `guards` the guardrails (1 = bad, so
    their `gain` is evidence that the challenger is worse by more than the guardrail's margin, in reverse their `harm`
    that the incumbent is). `ratio` are the wealths of
    the sample-ratio process. `outcomes` counts all, `repeated` those of units that were counted before. Times are those
    of assignments, `matured_ms` the last maturity.
    """

    margin: float = 0.0
    reverse: bool = False
    reward: Compared = NEW
    spoken: Compared = NEW
    guards: Mapping[str, Compared] = field(default_factory=lambda: MappingProxyType({}))
    ratio: tuple[float, ...] = EVEN
    outcomes: int = 0
    repeated: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    matured_ms: int | None = None

    @property
    def gain(self) -> float:
        """Evidence that the challenger is better (than the incumbent less the margin): certified from 1 / alpha on."""
        return mean(self.reward.gain)

    @property
    def harm(self) -> float:
        """Evidence that the challenger is worse (by more than the margin)."""
        return mean(self.reward.harm)

    @property
    def sample_ratio(self) -> float:
        """Evidence that arms come in other shares than were logged."""
        return mean(self.ratio)

    @property
    def silence(self) -> float:
        """Evidence that the arms differ in how often there is a reward."""
        return (mean(self.spoken.gain) + mean(self.spoken.harm)) / 2.0

    def guard(self, name: str) -> float:
        """Evidence that the level to be judged is worse on a guardrail by more than its margin."""
        return mean(self.guards[name].harm if self.reverse else self.guards[name].gain)

    def guard_margin(self, name: str) -> float:
        """Return the margin by which a guardrail is bet on, signed like `margin`."""
        allowed = GUARD_MARGINS.get(name, GUARD_MARGIN)
        return allowed if self.reverse else -allowed

    @property
    def alarms(self) -> tuple[str, ...]:
        """What forbids a step: names of guardrails, `sample ratio`, `silence`. Empty where all is well."""
        limit = GUARD_ALARM * len(self.guards)
        found = [name for name in sorted(self.guards) if self.guard(name) >= limit]
        if self.sample_ratio >= RATIO_ALARM:
            found.append("sample ratio")
        if self.silence >= SPOKEN_ALARM:
            found.append("silence")
        return tuple(found)


class Columns(NamedTuple):
    """Outcomes as columns, in their order, all of length n. NaN stands for no reward and for a guardrail not known."""

    arms: Bools
    shares: Floats
    rewards: Floats
    repeated: Bools
    at_ms: NDArray[np.int64]
    matures_ms: NDArray[np.int64]
    guards: Mapping[str, Floats]


def opened(margin: float = 0.0, *, reverse: bool = False) -> Bets:
    """Return the evidence of a trial before its first outcome."""
    return Bets(margin, reverse, reward=opening(margin))


def advance(bets: Bets, outcome: Outcome) -> Bets:
    """Return the evidence after one more outcome of the trial.

    Raises ValueError for a share outside (0, 1), or a reward or guardrail outside [0, 1]: such an outcome was not drawn
    by a trial.
    """
    given = outcome.assignment
    challenger, share = given.challenger, given.share
    _check(share, outcome.reward, outcome.guards)
    first = given.at_ms if bets.first_ms is None else min(bets.first_ms, given.at_ms)
    last = given.at_ms if bets.last_ms is None else max(bets.last_ms, given.at_ms)
    matured = given.matures_ms if bets.matured_ms is None else max(bets.matured_ms, given.matures_ms)
    if outcome.repeated:
        return replace(
            bets,
            outcomes=bets.outcomes + 1,
            repeated=bets.repeated + 1,
            first_ms=first,
            last_ms=last,
            matured_ms=matured,
        )
    reward, guards = bets.reward, bets.guards
    if outcome.reward is not None:
        reward = compare(reward, outcome.reward, challenger, share, bets.margin)
    if outcome.guards:
        guards = MappingProxyType(
            {
                **guards,
                **{
                    name: compare(guards.get(name, NEW), value, challenger, share, bets.guard_margin(name))
                    for name, value in outcome.guards.items()
                },
            }
        )
    spoken = compare(bets.spoken, 0.0 if outcome.reward is None else 1.0, challenger, share, 0.0)
    ratio = tuple([kept(w * ratio_factor(odds, challenger, share)) for w, odds in zip(bets.ratio, ODDS, strict=True)])
    return Bets(
        bets.margin,
        bets.reverse,
        reward,
        spoken,
        guards,
        ratio,
        bets.outcomes + 1,
        bets.repeated,
        first,
        last,
        matured,
    )


def advance_all(bets: Bets, outcomes: Sequence[Outcome]) -> Bets:
    """Return the evidence after further outcomes, by whichever way is faster: both give the same bits."""
    if len(outcomes) > FEW:
        return advance_many(bets, columns(outcomes))
    for outcome in outcomes:
        bets = advance(bets, outcome)
    return bets


def bets_of(outcomes: Iterable[Outcome], margin: float = 0.0, *, reverse: bool = False) -> Bets:
    """Return the evidence of a trial from all its outcomes, in their order."""
    return advance_all(opened(margin, reverse=reverse), list(outcomes))


def columns(outcomes: Sequence[Outcome]) -> Columns:
    """Return outcomes as columns. Raises ValueError like `advance`."""
    for outcome in outcomes:
        _check(outcome.assignment.share, outcome.reward, outcome.guards)
    names = sorted({name for outcome in outcomes for name in outcome.guards})
    nan = float("nan")
    return Columns(
        np.array([o.assignment.challenger for o in outcomes], dtype=np.bool_),
        np.array([o.assignment.share for o in outcomes], dtype=np.float64),
        np.array([nan if o.reward is None else o.reward for o in outcomes], dtype=np.float64),
        np.array([o.repeated for o in outcomes], dtype=np.bool_),
        np.array([o.assignment.at_ms for o in outcomes], dtype=np.int64),
        np.array([o.assignment.matures_ms for o in outcomes], dtype=np.int64),
        {name: np.array([o.guards.get(name, nan) for o in outcomes], dtype=np.float64) for name in names},
    )


def advance_many(bets: Bets, table: Columns) -> Bets:
    """Return the evidence after many more outcomes: the same bits as `advance` gives one by one."""
    n = len(table.arms)
    if n == 0:
        return bets
    fresh = ~table.repeated
    arms, shares, rewards = table.arms[fresh], table.shares[fresh], table.rewards[fresh]
    said = ~np.isnan(rewards)
    guards = dict(bets.guards)
    for name, values in table.guards.items():
        known = ~np.isnan(values[fresh])
        if known.any():
            before = guards.get(name, NEW)
            guards[name] = compare_many(
                before, values[fresh][known], arms[known], shares[known], bets.guard_margin(name)
            )
    ratio = tuple(
        grown(wealth, ratio_factors(odds, arms, shares)) for wealth, odds in zip(bets.ratio, ODDS, strict=True)
    )
    old = bets.first_ms, bets.last_ms, bets.matured_ms
    first, last, matured = int(table.at_ms.min()), int(table.at_ms.max()), int(table.matures_ms.max())
    return Bets(
        bets.margin,
        bets.reverse,
        compare_many(bets.reward, rewards[said], arms[said], shares[said], bets.margin),
        compare_many(bets.spoken, said.astype(np.float64), arms, shares, 0.0),
        MappingProxyType(guards),
        ratio,
        bets.outcomes + n,
        bets.repeated + n - len(arms),
        first if old[0] is None else min(old[0], first),
        last if old[1] is None else max(old[1], last),
        matured if old[2] is None else max(old[2], matured),
    )


def _check(share: float, reward: float | None, guards: Mapping[str, float]) -> None:
    if not 0.0 < share < 1.0:
        raise ValueError(f"the share of a drawn conversation lies between 0 and 1, not at {share!r}")
    if reward is not None and not 0.0 <= reward <= 1.0:
        raise ValueError(f"a reward lies in [0, 1]; {reward!r} does not")
    for name, value in guards.items():
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"the guardrail {name!r} lies in [0, 1]; {value!r} does not")
