"""The sequential test of a trial: e-values, valid however often one looks. A pure fold over outcomes in their order.

For each conversation with a reward R in [0, 1], arm c (1 challenger, 0 incumbent), logged share pi, and a baseline b
that was fixed before the outcome was seen:

    D = (R - b) (c / pi - (1 - c) / (1 - pi)),    L = max(b / pi, (1 - b) / (1 - pi)),    D >= -L

The draw of c is random given everything before it, so the mean of D given the past is the difference of the arms. A
player who starts with 1 and stakes a share lam of the stake allowed on each conversation owns prod(1 + lam D): the
e-value. Where the challenger is not better it cannot grow on average, and the chance that it *ever* reaches 1/alpha is
at most alpha.
One looks whenever one likes, shares may follow the evidence, and the trial may stop for any reason.

What is proved
    For b, lam and pi that depend on the past alone and 0 <= lam < 1 / (L - margin), the e-value is a nonnegative
    supermartingale wherever mean(challenger) <= mean(incumbent) - margin on every conversation given the past; a mean
    of such is one too; Ville's inequality (1939) gives the bound over all times. Rewards need not be Bernoulli,
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
      bet on as well (`spoken`); from SPOKEN_ALARM on the trial is not to be believed. A primary metric with a
      default value has no silence.
    * Every assignment matures. If one arm loses conversations (crashes, say) the counts drift from the logged shares,
      which the sample-ratio process finds (`ratio`, a likelihood ratio of two-point alternatives: a martingale
      when the draws are fair; the e-process form of the chi-square check of Fabijan et al., KDD 2019).

The arithmetic, and how the stakes are chosen, is in `comparison`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.core.learning import Outcome
from router.tuning.comparison import (
    NEW,
    Bools,
    Comparison,
    Floats,
    compared,
    grown,
    mean,
    new_comparison,
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
"""At this evidence against the challenger a trial stops: one in ten of a harmless level, however long it runs."""
GUARD_ALARM = 10.0
"""At this times the number of guardrails one of them alarms: for all of them together one false alarm in ten trials."""
RATIO_ALARM = 100.0
"""At this the draws are not what was logged; a false alarm in one of a hundred trials."""
SPOKEN_ALARM = 100.0
"""At this the arms differ in how often there is a reward; a false alarm in one of a hundred trials."""

ODDS = (0.45, 0.8, 1.25, 2.2)
"""Alternatives of the sample-ratio process: the odds of the challenger are so many times what was logged."""

EVEN = (1.0,) * len(ODDS)
"""The e-values of the sample-ratio process before the first outcome."""


@dataclass(frozen=True, slots=True)
class SequentialTest:
    """The sequential test of one trial, as far as it has come.

    `margin` is by how much the challenger may be worse: 0, or MARGIN for a cheaper level.

    `reverse` says that the challenger is the level that was left by a step, kept for a while to see whether that was
    right; then guardrails alarm where the *incumbent* is worse.

    `reward` is the primary metric, `spoken` whether there was a reward at all, `guards` the guardrails (1 = bad, so
    what is `better` there is worse for users by more than the guardrail's margin; in reverse `worse` is, for the
    incumbent). `ratio` are the e-values of the sample-ratio process. `outcomes` counts all, `repeated` those of units
    that were counted before. Times are those of assignments, `matured_ms` the last maturity.
    """

    margin: float = 0.0
    reverse: bool = False
    reward: Comparison = NEW
    spoken: Comparison = NEW
    guards: Mapping[str, Comparison] = field(default_factory=lambda: MappingProxyType({}))
    ratio: tuple[float, ...] = EVEN
    outcomes: int = 0
    repeated: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    matured_ms: int | None = None

    @property
    def evidence_for(self) -> float:
        """The e-value of "the challenger is better" (than the incumbent less the margin): a step from 1 / alpha on."""
        return mean(self.reward.better)

    @property
    def evidence_against(self) -> float:
        """The e-value of "it is worse" (by more than the margin)."""
        return mean(self.reward.worse)

    @property
    def sample_ratio(self) -> float:
        """Evidence that arms come in other shares than were logged."""
        return mean(self.ratio)

    @property
    def silence(self) -> float:
        """Evidence that the arms differ in how often there is a reward."""
        return (mean(self.spoken.better) + mean(self.spoken.worse)) / 2.0

    def guard(self, name: str) -> float:
        """Evidence that the level to be judged is worse on a guardrail by more than its margin."""
        return mean(self.guards[name].worse if self.reverse else self.guards[name].better)

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


class _Columns(NamedTuple):
    """Outcomes as columns, in their order, all of length n. NaN stands for no reward and for a guardrail not known."""

    arms: Bools
    shares: Floats
    rewards: Floats
    repeated: Bools
    at_ms: NDArray[np.int64]
    matures_ms: NDArray[np.int64]
    guards: Mapping[str, Floats]


def new_test(margin: float = 0.0, *, reverse: bool = False) -> SequentialTest:
    """Return the test of a trial before its first outcome."""
    return SequentialTest(margin, reverse, reward=new_comparison(margin))


def replayed(outcomes: Iterable[Outcome], margin: float = 0.0, *, reverse: bool = False) -> SequentialTest:
    """Return the test of a trial after all its outcomes, in their order."""
    return advance(new_test(margin, reverse=reverse), list(outcomes))


def _columns(outcomes: Sequence[Outcome]) -> _Columns:
    """Return outcomes as columns.

    Raises ValueError for a share outside (0, 1), or a reward or guardrail outside [0, 1]: such an outcome was not drawn
    by a trial.
    """
    for outcome in outcomes:
        _check(outcome.assignment.share, outcome.reward, outcome.guards)
    names = sorted({name for outcome in outcomes for name in outcome.guards})
    nan = float("nan")
    return _Columns(
        np.array([o.assignment.challenger for o in outcomes], dtype=np.bool_),
        np.array([o.assignment.share for o in outcomes], dtype=np.float64),
        np.array([nan if o.reward is None else o.reward for o in outcomes], dtype=np.float64),
        np.array([o.repeated for o in outcomes], dtype=np.bool_),
        np.array([o.assignment.at_ms for o in outcomes], dtype=np.int64),
        np.array([o.assignment.matures_ms for o in outcomes], dtype=np.int64),
        {name: np.array([o.guards.get(name, nan) for o in outcomes], dtype=np.float64) for name in names},
    )


def advance(test: SequentialTest, outcomes: Sequence[Outcome]) -> SequentialTest:
    """Return the test after further outcomes, in their order. Any parts give the same bits.

    Eight thousand take 10 ms. Raises ValueError for an outcome that no trial can have drawn (`_columns`).
    """
    table = _columns(outcomes)
    n = len(table.arms)
    if n == 0:
        return test
    # A unit's arm is drawn once: its second conversation is no draw given the first, and betting on it would count one
    # person's taste twice. It is counted as an outcome, nothing more.
    fresh = ~table.repeated
    arms, shares, rewards = table.arms[fresh], table.shares[fresh], table.rewards[fresh]
    said = ~np.isnan(rewards)
    guards = dict(test.guards)
    for name, values in table.guards.items():
        # Guardrails bet only where they are known. Nobody checks here that this does not depend on the arm, so the
        # built-in ones always have a value.
        known = ~np.isnan(values[fresh])
        if known.any():
            before = guards.get(name, NEW)
            guards[name] = compared(before, values[fresh][known], arms[known], shares[known], test.guard_margin(name))
    ratio = tuple(
        grown(e_value, ratio_factors(odds, arms, shares)) for e_value, odds in zip(test.ratio, ODDS, strict=True)
    )
    # Outcomes come by maturity, not by assignment: the first assignment may be in a later batch.
    old = test.first_ms, test.last_ms, test.matured_ms
    first, last, matured = int(table.at_ms.min()), int(table.at_ms.max()), int(table.matures_ms.max())
    return SequentialTest(
        test.margin,
        test.reverse,
        compared(test.reward, rewards[said], arms[said], shares[said], test.margin),
        compared(test.spoken, said.astype(np.float64), arms, shares, 0.0),
        MappingProxyType(guards),
        ratio,
        test.outcomes + n,
        test.repeated + n - len(arms),
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
